//! Rows of `INSERT … VALUES`, as pg_dump writes them with `--inserts`.
//!
//! Values are literals: quoted strings, numbers, `true`, `NULL`, `DEFAULT`. As
//! in `COPY`, a row is read only if the sample wants it, and only so many
//! bytes of a value are kept.

use memchr::memchr;
use memchr::memchr2;

use super::reader::Sink;
use super::row::Row;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Outside of rows.
    #[default]
    Between,
    /// In a value that is not quoted, or after one that is.
    Bare,
    /// In a quoted value; whether backslashes escape.
    Quoted(bool),
    Escaped,
    /// A quote may have ended; a second one is one of the value.
    QuoteEnds(bool),
}

/// Where in the rows of an `INSERT` a text is.
#[derive(Debug, Clone, Default)]
pub struct Inserts {
    state: State,
    backslashes_escape: bool,
    depth: u32,
    wanted: bool,
    /// The value so far has a quoted part, which alone counts.
    quoted: bool,
    /// The last bare byte.
    last: u8,
}

impl Inserts {
    #[must_use]
    pub const fn new(backslashes_escape: bool) -> Self {
        Self { state: State::Between, backslashes_escape, depth: 0, wanted: false, quoted: false, last: b' ' }
    }

    /// Reads a piece; returns how much of it, and whether the statement ended.
    pub fn feed<S: Sink>(&mut self, piece: &[u8], row: &mut Row, sink: &mut S) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = piece.get(at) {
            match self.state {
                State::Between => {
                    at += 1;
                    match byte {
                        b';' => return (at, true),
                        b'(' => self.row_begins(row, sink),
                        _ => {}
                    }
                }
                State::Bare => {
                    at += 1;
                    self.bare(*byte, row, sink);
                }
                State::Quoted(escape) => {
                    let rest = &piece[at..];
                    let found = if escape { memchr2(b'\'', b'\\', rest) } else { memchr(b'\'', rest) };
                    let end = found.unwrap_or(rest.len());
                    if self.wanted {
                        row.push(&rest[..end]);
                    }
                    at += end + usize::from(found.is_some());
                    match rest.get(end) {
                        Some(b'\\') => self.state = State::Escaped,
                        Some(_) => self.state = State::QuoteEnds(escape),
                        None => {}
                    }
                }
                State::Escaped => {
                    at += 1;
                    self.literal(*byte, row);
                    self.state = State::Quoted(true);
                }
                State::QuoteEnds(escape) if *byte == b'\'' => {
                    at += 1;
                    self.literal(b'\'', row);
                    self.state = State::Quoted(escape);
                }
                State::QuoteEnds(_) => self.state = State::Bare,
            }
        }
        (at, false)
    }

    fn literal(&self, byte: u8, row: &mut Row) {
        if self.wanted {
            row.push(&[byte]);
        }
    }

    fn row_begins<S: Sink>(&mut self, row: &mut Row, sink: &mut S) {
        self.wanted = sink.wants_row();
        self.depth = 1;
        row.clear();
        self.value_begins(row);
    }

    fn value_begins(&mut self, row: &mut Row) {
        self.state = State::Bare;
        self.quoted = false;
        self.last = b' ';
        if self.wanted {
            row.begin_field();
        }
    }

    fn bare<S: Sink>(&mut self, byte: u8, row: &mut Row, sink: &mut S) {
        match byte {
            b'\'' => {
                let escape = self.backslashes_escape || matches!(self.last, b'E' | b'e');
                if let Some(field) = row.last().filter(|_| self.wanted && !self.quoted) {
                    // The letter before the quote is no part of the value.
                    field.bytes.clear();
                    field.length = 0;
                }
                self.quoted = true;
                self.state = State::Quoted(escape);
            }
            b',' if self.depth == 1 => {
                self.value_ends(row);
                self.value_begins(row);
            }
            b')' if self.depth == 1 => {
                self.value_ends(row);
                self.state = State::Between;
                self.depth = 0;
                if std::mem::take(&mut self.wanted) {
                    sink.row(row);
                }
            }
            _ => {
                match byte {
                    b'(' => self.depth += 1,
                    b')' => self.depth -= 1,
                    _ => {}
                }
                let white = byte.is_ascii_whitespace() && self.last == b' ';
                if !self.quoted && !white {
                    self.literal(byte, row);
                    self.last = byte;
                }
            }
        }
    }

    fn value_ends(&self, row: &mut Row) {
        let Some(field) = row.last().filter(|_| self.wanted && !self.quoted) else { return };
        let text = field.bytes.trim_ascii_end();
        let null = text.eq_ignore_ascii_case(b"null") || text.eq_ignore_ascii_case(b"default");
        // As COPY writes it.
        let word: Option<&[u8]> = match text {
            b"true" => Some(b"t"),
            b"false" => Some(b"f"),
            _ => None,
        };
        field.null = null;
        if let Some(word) = word {
            field.bytes = word.to_vec();
            field.length = 1;
        }
    }
}
