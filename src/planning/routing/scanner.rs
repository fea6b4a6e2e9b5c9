//! Bytes in, rows out.
//!
//! ```text
//! loop {
//!     while let Next::Row(row) = scanner.next_row()? { … row.bytes, row.key(0) … }
//!     let read = source.read(scanner.space(65536));
//!     if read == 0 { scanner.finish() } else { scanner.filled(read) }
//! }
//! ```
//!
//! The bytes are read into the scanner's own buffer, where a row is always in
//! one piece. The buffer grows as long as a row does not fit, and shrinks again
//! after such rows.

use super::binary::BinaryFound;
use super::binary::BinaryRows;
use super::binary::HEADER;
use super::fault::Fault;
use super::fault::FaultKind;
use super::fault::ROW_BYTES_MAX;
use super::fields::Fields;
use super::format::CopyFormat;
use super::format::KeyColumn;
use super::format::Kind;
use super::format::Refusal;
use super::format::check;
use super::lines::Found;
use super::lines::Line;
use super::lines::Lines;

pub use super::fields::Key;
pub use super::fields::Value;

/// A buffer that is larger than needed is given back above this size.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// What the bytes so far hold next.
#[derive(Debug)]
pub enum Next<'a> {
    Row(Row<'a>),
    /// The line that `HEADER` speaks of; it belongs to no shard.
    Header(Row<'a>),
    /// More bytes are needed, or the word that there are none.
    Starved,
    /// No rows follow. What a client may still send is to be read and ignored.
    End,
}

/// A row as it came.
#[derive(Debug)]
pub struct Row<'a> {
    /// All of it with its line end, but without an end-of-data marker.
    pub bytes: &'a [u8],
    /// What must follow `bytes` before another row can: a line end where the
    /// input has none. Also empty after a row that nothing may follow, which is
    /// only ever the last one.
    pub ending: &'static [u8],
    /// The line number that PostgreSQL has when it has read the row. It counts
    /// newlines within quotes of CSV, if not quite all: those of the style of
    /// the other newlines.
    pub line: u64,
    /// How many lines the row adds to that count.
    pub lines: u64,
    /// How many it adds to the count of a batch, see [`Scanner::first_line`].
    pub lines_in_batch: u64,
    fields: &'a Fields,
}

impl<'a> Row<'a> {
    /// A key column, in the order in which they were given to the scanner.
    #[must_use]
    pub fn key(&self, index: usize) -> Key<'a> {
        self.fields.key(self.bytes, index)
    }
}

/// Splits the bytes of a `COPY` into rows.
#[derive(Debug)]
pub struct Scanner {
    ends: Ends,
    fields: Fields,
    buffer: Vec<u8>,
    /// The part of the buffer that is read and not yet handed out.
    unread: std::ops::Range<usize>,
    row_bytes_max: usize,
    /// Nothing follows what is in the buffer.
    whole: bool,
    /// The lines of all rows that were handed out.
    line: u64,
    header_due: bool,
    ended: bool,
    fault: Option<Fault>,
}

/// How rows end.
#[derive(Debug)]
enum Ends {
    Lines(Lines),
    Binary(BinaryRows),
}

impl Scanner {
    /// # Errors
    /// If rows of this kind cannot be found in raw bytes.
    pub fn new(format: &CopyFormat, keys: &[KeyColumn]) -> Result<Self, Refusal> {
        check(format, keys)?;
        let ends = match format.kind {
            Kind::Binary => Ends::Binary(BinaryRows::new(format.columns)),
            Kind::Text | Kind::Csv => Ends::Lines(Lines::new(format)),
        };
        Ok(Self {
            ends,
            fields: Fields::new(format, keys),
            buffer: Vec::new(),
            unread: 0..0,
            row_bytes_max: ROW_BYTES_MAX,
            whole: false,
            line: 0,
            header_due: format.header && format.kind != Kind::Binary,
            ended: false,
            fault: None,
        })
    }

    /// Refuses rows above this length instead of PostgreSQL's own limit.
    #[must_use]
    pub fn with_row_bytes_max(mut self, bytes: usize) -> Self {
        self.row_bytes_max = bytes.min(ROW_BYTES_MAX);
        self
    }

    /// Room for the next bytes, of this length. What of it was filled is to
    /// be told by [`Self::filled`]. Best called after [`Next::Starved`].
    pub fn space(&mut self, bytes: usize) -> &mut [u8] {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        let end = self.unread.end + bytes;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        } else if self.buffer.len() > KEPT_BYTES_MAX && end < self.buffer.len() / 4 {
            self.buffer.truncate(end);
            self.buffer.shrink_to_fit();
        }
        &mut self.buffer[self.unread.end..end]
    }

    /// That many bytes of the room were filled.
    pub fn filled(&mut self, bytes: usize) {
        self.unread.end = (self.unread.end + bytes).min(self.buffer.len());
    }

    /// Both, for bytes that are elsewhere already.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.space(bytes.len()).copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Nothing follows what was read.
    pub fn finish(&mut self) {
        self.whole = true;
    }

    /// What a batch should begin with, once its first row is there. For text and
    /// CSV it is an empty line, to be passed over by `HEADER true`: from it
    /// PostgreSQL knows the style of newlines as it knows it from the lines
    /// before in the whole input, so that it counts lines alike:
    ///
    /// ```text
    /// line of the input = row.line - row.lines
    ///                   + line in the batch - 1 - lines_in_batch of the rows before
    /// ```
    #[must_use]
    pub fn first_line(&self) -> &'static [u8] {
        match &self.ends {
            Ends::Lines(lines) => lines.newline().bytes(),
            Ends::Binary(_) => HEADER,
        }
    }

    /// The bytes that were read and not handed out; after a fault, they begin
    /// with the row that has it.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// Memory that the rows at hand take.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next row, which is valid until the next call.
    ///
    /// # Errors
    /// An error that PostgreSQL would raise here, see [`Fault`]; from then on
    /// always.
    pub fn next_row(&mut self) -> Result<Next<'_>, Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        if self.ended {
            return Ok(Next::End);
        }
        let line = match self.find() {
            Ok(Found::Row(line)) => line,
            Ok(Found::Starved) => return Ok(Next::Starved),
            Ok(Found::End) => {
                self.ended = true;
                return Ok(Next::End);
            }
            Err(kind) => {
                let fault = self.fault_of(kind);
                self.fault = Some(fault.clone());
                return Err(fault);
            }
        };
        let start = self.unread.start;
        self.unread.start += line.used;
        self.line += line.lines;
        let header = std::mem::take(&mut self.header_due);
        // After a header that the end of data ends, PostgreSQL reads no row.
        self.ended = line.last || (header && line.used > line.kept);
        let bytes = &self.buffer[start..start + line.kept];
        match self.ends {
            Ends::Binary(_) => self.fields.find_binary(bytes),
            Ends::Lines(_) => self.fields.find(&bytes[..line.content], line.special),
        }
        let Line { ending, lines, lines_in_batch, .. } = line;
        let row = Row { bytes, ending, line: self.line, lines, lines_in_batch, fields: &self.fields };
        Ok(if header { Next::Header(row) } else { Next::Row(row) })
    }

    fn find(&mut self) -> Result<Found, FaultKind> {
        loop {
            let data = &self.buffer[self.unread.clone()];
            let found = match &mut self.ends {
                Ends::Lines(lines) => lines.find(data, self.whole)?,
                Ends::Binary(rows) => match rows.find(data, self.whole)? {
                    BinaryFound::Found(found) => found,
                    BinaryFound::Header(used) => {
                        self.unread.start += used;
                        continue;
                    }
                },
            };
            let length = match &found {
                Found::Row(line) => line.used,
                Found::Starved => data.len(),
                Found::End => 0,
            };
            return if length > self.row_bytes_max {
                Err(FaultKind::RowTooLong(self.row_bytes_max))
            } else {
                Ok(found)
            };
        }
    }

    fn fault_of(&self, kind: FaultKind) -> Fault {
        let in_field = matches!(kind, FaultKind::UnexpectedEnd | FaultKind::FieldSize);
        match &self.ends {
            Ends::Lines(lines) => Fault { kind, line: self.line + lines.lines_seen(), field: None },
            Ends::Binary(rows) => {
                let line = if rows.in_header() { 0 } else { self.line + 1 };
                Fault { kind, line, field: in_field.then(|| rows.field()) }
            }
        }
    }
}
