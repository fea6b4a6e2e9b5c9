//! One row of a dump's data, field by field, within bounds.
//!
//! A row may be a gigabyte. Of each field no more than [`VALUE_BYTES_MAX`]
//! bytes are kept and the others counted, whatever pieces the row comes in.

use memchr::memchr2;

/// Bytes that are kept of a value. A longer one is "wide", as for ANALYZE: it
/// counts as a value of its own, and only its length matters.
pub const VALUE_BYTES_MAX: usize = 1024;

/// One field. The buffer of its bytes is used again for the next row.
#[derive(Debug, Clone, Default)]
pub struct Field {
    pub null: bool,
    /// The first bytes of the value.
    pub bytes: Vec<u8>,
    /// Bytes of the whole value.
    pub length: u64,
}

/// The fields of the row that is being read.
#[derive(Debug, Clone, Default)]
pub struct Row {
    fields: Vec<Field>,
    used: usize,
    escaped: bool,
    /// The last byte was a carriage return that was not escaped.
    returned: bool,
}

impl Row {
    /// The fields that were read.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields[..self.used]
    }

    /// Begins a new row without fields.
    pub fn clear(&mut self) {
        self.used = 0;
        self.escaped = false;
        self.returned = false;
    }

    /// Begins the next field.
    pub fn begin_field(&mut self) {
        if self.used == self.fields.len() {
            self.fields.push(Field::default());
        }
        let field = &mut self.fields[self.used];
        field.null = false;
        field.bytes.clear();
        field.length = 0;
        self.used += 1;
    }

    /// Appends to the last field.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(field) = self.last() {
            let room = VALUE_BYTES_MAX - field.bytes.len();
            field.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
            field.length += bytes.len() as u64;
        }
    }

    /// The last field.
    pub fn last(&mut self) -> Option<&mut Field> {
        self.used.checked_sub(1).map(|at| &mut self.fields[at])
    }

    /// Reads a piece of a row of `COPY` in text format, without its newline.
    pub fn feed_copy(&mut self, mut piece: &[u8]) {
        if self.used == 0 {
            self.begin_field();
        }
        while !piece.is_empty() {
            if self.escaped {
                (self.escaped, self.returned) = (false, false);
                self.unescape(piece[0]);
                piece = &piece[1..];
                continue;
            }
            let end = memchr2(b'\t', b'\\', piece).unwrap_or(piece.len());
            if end > 0 {
                self.push(&piece[..end]);
                self.returned = piece[end - 1] == b'\r';
            }
            match piece.get(end) {
                Some(b'\t') => {
                    self.returned = false;
                    self.begin_field();
                }
                Some(_) => self.escaped = true,
                None => return,
            }
            piece = &piece[end + 1..];
        }
    }

    fn unescape(&mut self, byte: u8) {
        let value = match byte {
            b'N' if self.last().is_some_and(|field| field.length == 0) => {
                if let Some(field) = self.last() {
                    field.null = true;
                }
                return;
            }
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            other => other,
        };
        self.push(&[value]);
    }

    /// Ends a row of `COPY`: a carriage return of a file that went through
    /// another system is not of the row, those of the data are escaped.
    pub fn end_copy(&mut self) {
        if self.used == 0 {
            self.begin_field();
        }
        if !std::mem::take(&mut self.returned) {
            return;
        }
        if let Some(field) = self.last() {
            field.length -= 1;
            field.bytes.truncate(usize::try_from(field.length).unwrap_or(VALUE_BYTES_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut row = Row::default();
        for piece in pieces {
            row.feed_copy(piece);
        }
        row.end_copy();
        row.fields().iter().map(|field| (!field.null).then(|| field.bytes.clone())).collect()
    }

    #[test]
    fn fields_are_split_and_unescaped() {
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(read(&[b"1\ta\\tb\t\\N\t"]), [some("1"), some("a\tb"), None, some("")]);
        assert_eq!(read(&[b"\\\\N\tx\\\\"]), [some("\\N"), some("x\\")]);
        assert_eq!(read(&[b""]), [some("")]);
        assert_eq!(read(&[b"a\\rb\r"]), [some("a\rb")]);
    }

    #[test]
    fn a_wide_value_is_counted_and_not_kept() {
        let mut row = Row::default();
        for _ in 0..1000 {
            row.feed_copy(&[b'x'; 10_000]);
        }
        row.feed_copy(b"\t7");
        row.end_copy();
        assert_eq!(row.fields()[0].length, 10_000_000);
        assert_eq!(row.fields()[0].bytes.len(), VALUE_BYTES_MAX);
        assert_eq!(row.fields()[1].bytes, b"7");
    }

    fn escape(value: &Option<Vec<u8>>) -> Vec<u8> {
        let Some(value) = value else { return b"\\N".to_vec() };
        let mut text = Vec::new();
        for byte in value {
            match byte {
                8 => text.extend(b"\\b"),
                9 => text.extend(b"\\t"),
                10 => text.extend(b"\\n"),
                11 => text.extend(b"\\v"),
                12 => text.extend(b"\\f"),
                13 => text.extend(b"\\r"),
                b'\\' => text.extend(b"\\\\"),
                other => text.push(*other),
            }
        }
        text
    }

    proptest! {
        #[test]
        fn whatever_was_written_is_read(
            values in proptest::collection::vec(proptest::option::of(proptest::collection::vec(any::<u8>(), 0..30)), 1..8),
            cuts in proptest::collection::vec(0usize..200, 0..5),
        ) {
            let line = values.iter().map(escape).collect::<Vec<_>>().join(&b'\t');
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(line.len())).collect();
            cuts.push(0);
            cuts.push(line.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &line[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), values);
        }
    }
}
