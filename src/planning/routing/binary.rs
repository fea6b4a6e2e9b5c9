//! Rows of the binary format, by the lengths in them.
//!
//! ```text
//! signature(11) flags(4) length(4) extension(length)
//! { columns(2) { size(4) bytes(size) }* }*
//! -1(2)
//! ```

use super::fault::FaultKind;
use super::fault::ROW_BYTES_MAX;
use super::lines::Found;
use super::lines::Line;

/// What a batch of binary rows begins with; it may end after its last row.
pub const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

const SIGNATURE_BYTES: usize = 11;

/// `WITH OIDS`, as it was until PostgreSQL 11.
const OIDS: i32 = 1 << 16;

/// Finds the ends of binary rows, one after the other.
#[derive(Debug)]
pub struct BinaryRows {
    columns: usize,
    header: Option<Header>,
    /// Fields of an incomplete row that need no second look, and where the next one is.
    seen: (usize, usize),
}

/// What is yet to be read before the first row.
#[derive(Debug, Clone, Copy)]
enum Header {
    Fixed,
    Extension(usize),
}

/// A row, or what there is instead; how many bytes are done with.
pub enum BinaryFound {
    Found(Found),
    Header(usize),
}

impl BinaryRows {
    pub const fn new(columns: usize) -> Self {
        Self { columns, header: Some(Header::Fixed), seen: (0, 2) }
    }

    pub const fn in_header(&self) -> bool {
        self.header.is_some()
    }

    /// The field that was looked at last.
    pub const fn field(&self) -> usize {
        self.seen.0
    }

    /// As `Lines::find`; of the header, how long the part is that was read.
    ///
    /// # Errors
    /// Those of PostgreSQL in the same place.
    pub fn find(&mut self, data: &[u8], whole: bool) -> Result<BinaryFound, FaultKind> {
        match self.header {
            None => self.find_row(data, whole).map(BinaryFound::Found),
            Some(Header::Fixed) => self.fixed_header(data, whole),
            Some(Header::Extension(left)) if left <= data.len() => {
                self.header = None;
                Ok(BinaryFound::Header(left))
            }
            Some(Header::Extension(_)) if whole => Err(FaultKind::HeaderExtension),
            Some(Header::Extension(_)) if data.is_empty() => Ok(BinaryFound::Found(Found::Starved)),
            Some(Header::Extension(left)) => {
                self.header = Some(Header::Extension(left - data.len()));
                Ok(BinaryFound::Header(data.len()))
            }
        }
    }

    fn fixed_header(&mut self, data: &[u8], whole: bool) -> Result<BinaryFound, FaultKind> {
        let signature = data.len().min(SIGNATURE_BYTES);
        if data[..signature] != HEADER[..signature] {
            return Err(FaultKind::Signature);
        }
        if data.len() < HEADER.len() && !whole {
            return Ok(BinaryFound::Found(Found::Starved));
        }
        if signature < SIGNATURE_BYTES {
            return Err(FaultKind::Signature);
        }
        let flags = number(data, SIGNATURE_BYTES).ok_or(FaultKind::HeaderFlags)?;
        if flags & OIDS != 0 {
            return Err(FaultKind::HeaderOids);
        }
        if flags >> 16 != 0 {
            return Err(FaultKind::HeaderCritical);
        }
        let length = number(data, SIGNATURE_BYTES + 4).ok_or(FaultKind::HeaderLength)?;
        let length = usize::try_from(length).map_err(|_| FaultKind::HeaderLength)?;
        self.header = Some(Header::Extension(length));
        Ok(BinaryFound::Header(HEADER.len()))
    }

    fn find_row(&mut self, data: &[u8], whole: bool) -> Result<Found, FaultKind> {
        let Some(count) = data.first_chunk() else {
            // PostgreSQL takes a single byte for the end, too.
            return Ok(if whole { Found::End } else { Found::Starved });
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            return match (data.len(), whole) {
                (2, true) => Ok(Found::End),
                (2, false) => Ok(Found::Starved),
                _ => Err(FaultKind::DataAfterEnd),
            };
        }
        if usize::try_from(count) != Ok(self.columns) {
            return Err(FaultKind::FieldCount { count, expected: self.columns });
        }
        let (mut field, mut at) = self.seen;
        while field < self.columns {
            self.seen = (field, at);
            let size = match number(data, at) {
                Some(-1) => 0,
                Some(size) => usize::try_from(size).map_err(|_| FaultKind::FieldSize)?,
                None if whole => return Err(FaultKind::UnexpectedEnd),
                None => return Ok(Found::Starved),
            };
            if size > ROW_BYTES_MAX {
                return Err(FaultKind::RowTooLong(ROW_BYTES_MAX));
            }
            let end = at + 4 + size;
            if end > data.len() {
                return if whole { Err(FaultKind::UnexpectedEnd) } else { Ok(Found::Starved) };
            }
            (field, at) = (field + 1, end);
        }
        self.seen = (0, 2);
        Ok(Found::Row(Line {
            content: at,
            kept: at,
            used: at,
            ending: b"",
            last: false,
            special: false,
            lines: 1,
            lines_in_batch: 1,
        }))
    }
}

fn number(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}
