//! The key columns of a row of text or CSV.
//!
//! Fields are passed over up to the last key column and no further. What
//! PostgreSQL decides by the raw field (`NULL`, `DEFAULT`) is decided by the raw
//! field here, and a value is unescaped only if there is an escape in it.

use memchr::memchr;
use memchr::memchr2;

use super::escape::escape_end;
use super::escape::unescape_csv;
use super::escape::unescape_text;
use super::format::CopyFormat;
use super::format::KeyColumn;
use super::format::Kind;

/// A key column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The field as it came; for binary, what the type's receive function gets.
    pub raw: &'a [u8],
    pub value: Value<'a>,
    /// An escape made a byte beyond ASCII. PostgreSQL takes it for one of the
    /// server's encoding, so where that is another one, `raw` is to be
    /// converted first and unescaped then.
    pub high_escape: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// What the type's input function gets, without a zero byte at its end.
    Bytes(&'a [u8]),
    /// The `DEFAULT` marker: only PostgreSQL can tell the value.
    Default,
    /// Not in the column list: its default, or null.
    Absent,
    /// PostgreSQL refuses the row, whichever shard it is given to.
    Invalid,
}

/// Finds key columns, and keeps those of the row at hand.
#[derive(Debug)]
pub struct Fields {
    csv: bool,
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    default_marker: Option<Vec<u8>>,
    /// For each key column its place among `cells`.
    places: Vec<Option<usize>>,
    /// In the order of fields.
    cells: Vec<Cell>,
    unescaped: Vec<u8>,
}

/// A wanted field.
#[derive(Debug)]
struct Cell {
    field: usize,
    force_not_null: bool,
    force_null: bool,
    raw: (usize, usize),
    held: Held,
    high_escape: bool,
}

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Null,
    /// The text of `NULL` itself, by `FORCE_NOT_NULL`.
    NullText,
    InRow(usize, usize),
    Unescaped(usize, usize),
    Default,
    Invalid,
}

/// A field that was passed over.
struct Passed {
    end: usize,
    /// Where the next one begins.
    next: Option<usize>,
    escapes: Escapes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    /// One pair of quotes, around all of it.
    Around,
    Inside,
}

impl Fields {
    pub fn new(format: &CopyFormat, keys: &[KeyColumn]) -> Self {
        let mut cells: Vec<Cell> = Vec::new();
        for key in keys {
            if let Some(field) = key.field {
                let KeyColumn { force_not_null, force_null, .. } = *key;
                let (raw, held) = ((0, 0), Held::Invalid);
                cells.push(Cell { field, force_not_null, force_null, raw, held, high_escape: false });
            }
        }
        cells.sort_by_key(|cell| cell.field);
        cells.dedup_by_key(|cell| cell.field);
        let place = |key: &KeyColumn| cells.iter().position(|cell| Some(cell.field) == key.field);
        let places = keys.iter().map(place).collect();
        Self {
            csv: format.kind == Kind::Csv,
            delimiter: format.delimiter,
            quote: format.quote,
            escape: format.escape,
            null: format.null.clone(),
            default_marker: format.default_marker.clone(),
            places,
            cells,
            unescaped: Vec::new(),
        }
    }

    /// Looks for the key columns of a row without its line end; `special` says
    /// that there is a backslash or, in CSV, a quote in it.
    pub fn find(&mut self, row: &[u8], special: bool) {
        self.unescaped.clear();
        let mut at = Some(0);
        let mut field = 0;
        for place in 0..self.cells.len() {
            while let Some(start) = at
                && field < self.cells[place].field
            {
                at = self.pass(row, start, special).and_then(|passed| passed.next);
                field += 1;
            }
            let passed = at.and_then(|start| self.pass(row, start, special));
            let Some((start, passed)) = at.zip(passed) else {
                self.cells[place].invalidate();
                at = None;
                continue;
            };
            self.hold(place, row, start, &passed);
            at = passed.next;
            field += 1;
        }
    }

    /// Likewise for a binary row, whose fields have their lengths before them.
    pub fn find_binary(&mut self, row: &[u8]) {
        let mut at = 2;
        let mut field = 0;
        for cell in &mut self.cells {
            loop {
                let Some(size) = row.get(at..).and_then(|rest| rest.first_chunk()) else {
                    cell.invalidate();
                    break;
                };
                let size = usize::try_from(i32::from_be_bytes(*size)).ok();
                let start = at + 4;
                at = start + size.unwrap_or(0);
                field += 1;
                if field > cell.field {
                    cell.raw = (start, at);
                    cell.held = if size.is_none() { Held::Null } else { Held::InRow(start, at) };
                    break;
                }
            }
        }
    }

    /// None if a quote has no end.
    fn pass(&self, row: &[u8], start: usize, special: bool) -> Option<Passed> {
        if !special {
            let end = memchr(self.delimiter, &row[start..]).map(|length| start + length);
            let next = end.map(|end| end + 1);
            return Some(Passed { end: end.unwrap_or(row.len()), next, escapes: Escapes::None });
        }
        if self.csv { self.pass_csv(row, start) } else { Some(self.pass_text(row, start)) }
    }

    fn pass_text(&self, row: &[u8], start: usize) -> Passed {
        let mut escapes = Escapes::None;
        let mut at = start;
        loop {
            let Some(hit) = memchr2(self.delimiter, b'\\', &row[at..]) else {
                return Passed { end: row.len(), next: None, escapes };
            };
            at += hit;
            if row[at] == self.delimiter {
                return Passed { end: at, next: Some(at + 1), escapes };
            }
            // A backslash at the very end does not belong to the field.
            if at + 1 == row.len() {
                return Passed { end: at, next: None, escapes };
            }
            escapes = Escapes::Inside;
            at = escape_end(row, at);
        }
    }

    fn pass_csv(&self, row: &[u8], start: usize) -> Option<Passed> {
        let mut escapes = Escapes::None;
        let mut at = start;
        loop {
            let Some(hit) = memchr2(self.delimiter, self.quote, &row[at..]) else {
                let escapes =
                    if at < row.len() && escapes == Escapes::Around { Escapes::Inside } else { escapes };
                return Some(Passed { end: row.len(), next: None, escapes });
            };
            if hit > 0 && escapes == Escapes::Around {
                escapes = Escapes::Inside;
            }
            at += hit;
            if row[at] == self.delimiter {
                return Some(Passed { end: at, next: Some(at + 1), escapes });
            }
            let (end, plain) = self.quote_end(row, at + 1)?;
            escapes = if at == start && plain { Escapes::Around } else { Escapes::Inside };
            at = end;
        }
    }

    /// Past the closing quote, and whether nothing was escaped before it.
    fn quote_end(&self, row: &[u8], mut at: usize) -> Option<(usize, bool)> {
        let mut plain = true;
        loop {
            at += memchr2(self.quote, self.escape, &row[at..])?;
            let byte = row[at];
            let next = row.get(at + 1);
            at += 1;
            if byte == self.escape && next.is_some_and(|next| *next == self.quote || *next == self.escape) {
                plain = false;
                at += 1;
            } else if byte == self.quote {
                return Some((at, plain));
            }
        }
    }

    fn hold(&mut self, place: usize, row: &[u8], start: usize, passed: &Passed) {
        let raw = &row[start..passed.end];
        let cell = &mut self.cells[place];
        cell.raw = (start, passed.end);
        cell.high_escape = false;
        // A quoted NULL of CSV is a value, an escaped one of text is not.
        if raw == self.null && !(self.csv && passed.escapes != Escapes::None) {
            cell.held = if self.csv && cell.force_not_null { Held::NullText } else { Held::Null };
            return;
        }
        if self.default_marker.as_deref() == Some(raw) {
            cell.held = Held::Default;
            return;
        }
        let before = self.unescaped.len();
        cell.held = match passed.escapes {
            Escapes::None => Held::InRow(start, passed.end),
            Escapes::Around => Held::InRow(start + 1, passed.end - 1),
            Escapes::Inside if self.csv => {
                unescape_csv(raw, self.quote, self.escape, &mut self.unescaped);
                Held::Unescaped(before, self.unescaped.len())
            }
            Escapes::Inside => {
                let made = unescape_text(raw, &mut self.unescaped);
                cell.high_escape = made.high;
                if made.zero { Held::Invalid } else { Held::Unescaped(before, self.unescaped.len()) }
            }
        };
        if self.csv && cell.force_null {
            let text = match cell.held {
                Held::Unescaped(from, to) => &self.unescaped[from..to],
                Held::InRow(from, to) => &row[from..to],
                _ => return,
            };
            if text == self.null {
                cell.held = Held::Null;
            }
        }
    }

    /// A key column of the row that was last looked at.
    pub fn key<'a>(&'a self, row: &'a [u8], key: usize) -> Key<'a> {
        let Some(Some(place)) = self.places.get(key) else {
            return Key { raw: &[], value: Value::Absent, high_escape: false };
        };
        let cell = &self.cells[*place];
        let value = match cell.held {
            Held::Null => Value::Null,
            Held::NullText => Value::Bytes(&self.null),
            Held::InRow(from, to) => Value::Bytes(&row[from..to]),
            Held::Unescaped(from, to) => Value::Bytes(&self.unescaped[from..to]),
            Held::Default => Value::Default,
            Held::Invalid => Value::Invalid,
        };
        Key { raw: &row[cell.raw.0..cell.raw.1], value, high_escape: cell.high_escape }
    }
}

impl Cell {
    fn invalidate(&mut self) {
        (self.raw, self.held, self.high_escape) = ((0, 0), Held::Invalid, false);
    }
}
