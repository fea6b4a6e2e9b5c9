//! Where rows of text and CSV end.
//!
//! The rules are those of PostgreSQL's `CopyReadLineText`, which looks at every
//! byte; here only line ends, backslashes and quotes are looked at. An
//! incomplete row is gone on with where the last look at it ended.

use memchr::memchr_iter;
use memchr::memchr2;
use memchr::memchr3;

use super::fault::FaultKind;
use super::format::CopyFormat;
use super::format::Kind;
use super::format::Source;

/// The style of newlines, which the first line of an input decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Newline {
    Unknown,
    Feed,
    Return,
    ReturnFeed,
}

impl Newline {
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Unknown | Self::Feed => b"\n",
            Self::Return => b"\r",
            Self::ReturnFeed => b"\r\n",
        }
    }
}

/// How the row at the start of some bytes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Row(Line),
    /// The bytes do not tell.
    Starved,
    /// There is no further row.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Length without line end.
    pub content: usize,
    /// Length of what belongs into a batch.
    pub kept: usize,
    /// Length of what is done with.
    pub used: usize,
    /// What a batch needs after it.
    pub ending: &'static [u8],
    /// Nothing is read after it.
    pub last: bool,
    /// Whether a backslash (text) or a quote (CSV) occurs in it.
    pub special: bool,
    /// Lines that it adds to PostgreSQL's count.
    pub lines: u64,
    /// Lines that it adds where the style of newlines is known beforehand.
    pub lines_in_batch: u64,
}

/// Finds the ends of rows, one after the other.
#[derive(Debug)]
pub struct Lines {
    csv: bool,
    quote: u8,
    /// Unlike the quote; none if they are the same.
    escape: Option<u8>,
    /// `\.` with data before it is an error, and none at all in CSV.
    marker_is_strict: bool,
    reads_on_after_marker: bool,
    newline: Newline,
    /// The first line is yet to come.
    first: bool,
    header: bool,
    row: State,
}

/// What is known of an incomplete row.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Bytes that need no second look.
    seen: usize,
    special: bool,
    quoted: bool,
    /// The byte before was an escape that counts.
    escaped: bool,
    /// Line ends within quotes.
    newlines: u64,
}

impl Lines {
    pub fn new(format: &CopyFormat) -> Self {
        Self {
            csv: format.kind == Kind::Csv,
            quote: format.quote,
            escape: Some(format.escape).filter(|escape| *escape != format.quote),
            marker_is_strict: !format.csv_has_marker(),
            reads_on_after_marker: format.source == Source::Server,
            newline: Newline::Unknown,
            first: true,
            header: format.header,
            row: State::default(),
        }
    }

    /// How the first row of `data` ends. `whole` says that nothing follows
    /// `data`; while the answer is [`Found::Starved`], the next call must be
    /// with the same bytes and more.
    ///
    /// # Errors
    /// Those of PostgreSQL in the same place.
    pub fn find(&mut self, data: &[u8], whole: bool) -> Result<Found, FaultKind> {
        let mut found = if self.csv { self.find_csv(data, whole) } else { self.find_text(data, whole) }?;
        if let Found::Row(line) = &mut found {
            if self.first && line.special && self.csv {
                let newlines = memchr_iter(self.newline_in_batch(), &data[..line.content]);
                line.lines_in_batch = 1 + newlines.count() as u64;
            }
            self.first = false;
        }
        if found != Found::Starved {
            self.row = State::default();
        }
        Ok(found)
    }

    pub const fn newline(&self) -> Newline {
        self.newline
    }

    /// The byte that PostgreSQL counts as a line within quotes.
    fn newline_in_quotes(&self) -> u8 {
        if self.newline == Newline::Feed { b'\n' } else { b'\r' }
    }

    /// Likewise in a batch that begins with an empty line.
    fn newline_in_batch(&self) -> u8 {
        if self.newline.bytes() == b"\n" { b'\n' } else { b'\r' }
    }

    pub const fn lines_seen(&self) -> u64 {
        1 + self.row.newlines
    }

    fn find_text(&mut self, data: &[u8], whole: bool) -> Result<Found, FaultKind> {
        let mut at = self.row.seen;
        loop {
            let Some(hit) = memchr3(b'\n', b'\r', b'\\', &data[at..]) else {
                return Ok(self.no_end(data, whole));
            };
            at += hit;
            match (data[at], data.get(at + 1)) {
                (b'\\', Some(b'.')) => return self.text_marker(data, whole, at),
                (b'\\', Some(_)) => {
                    self.row.special = true;
                    at += 2;
                }
                // PostgreSQL passes over a backslash at the very end.
                (b'\\', None) if whole => {
                    self.row.special = true;
                    return Ok(Found::Row(Line { ending: b"", ..self.unended(data.len()) }));
                }
                (b'\\', None) => {
                    self.row.seen = at;
                    return Ok(Found::Starved);
                }
                _ => return self.line_end(data, whole, at),
            }
        }
    }

    fn find_csv(&mut self, data: &[u8], whole: bool) -> Result<Found, FaultKind> {
        if self.row.seen == 0 && !self.marker_is_strict && data.first() == Some(&b'\\') {
            match self.csv_marker(data, whole)? {
                Marker::None => {}
                Marker::Starved => return Ok(Found::Starved),
                Marker::Found => return Ok(Found::End),
            }
        }
        let mut at = self.row.seen;
        loop {
            if self.row.quoted {
                match self.quote_end(data, at) {
                    Some(next) => at = next,
                    None => return Ok(self.no_end(data, whole)),
                }
            }
            let Some(hit) = memchr3(b'\n', b'\r', self.quote, &data[at..]) else {
                return Ok(self.no_end(data, whole));
            };
            at += hit;
            if data[at] != self.quote {
                return self.line_end(data, whole, at);
            }
            self.row.special = true;
            self.row.quoted = true;
            at += 1;
        }
    }

    /// The byte after the closing quote.
    fn quote_end(&mut self, data: &[u8], mut at: usize) -> Option<usize> {
        let newline = self.newline_in_quotes();
        loop {
            let rest = &data[at..];
            let hit = match self.escape {
                None => memchr2(self.quote, newline, rest),
                Some(escape) => memchr3(self.quote, escape, newline, rest),
            };
            if hit.unwrap_or(rest.len()) > 0 {
                self.row.escaped = false;
            }
            at += hit?;
            let byte = data[at];
            at += 1;
            if Some(byte) == self.escape {
                self.row.escaped = !self.row.escaped;
            } else {
                let escaped = std::mem::replace(&mut self.row.escaped, false);
                if byte == newline {
                    self.row.newlines += 1;
                } else if !escaped {
                    self.row.quoted = false;
                    return Some(at);
                }
            }
        }
    }

    /// No line end in all of `data`.
    fn no_end(&mut self, data: &[u8], whole: bool) -> Found {
        if !whole {
            self.row.seen = data.len();
            return Found::Starved;
        }
        if data.is_empty() {
            return Found::End;
        }
        // With a newline, `\.` would end the data of a batch; within quotes it would be data.
        let alone = self.row.quoted || (self.csv && data == b"\\.");
        let line = self.unended(data.len());
        Found::Row(if alone { Line { ending: b"", ..line } } else { line })
    }

    /// The last row, which has no line end.
    const fn unended(&self, length: usize) -> Line {
        Line {
            content: length,
            kept: length,
            used: length,
            ending: self.newline.bytes(),
            last: true,
            special: self.row.special,
            lines: self.lines_seen(),
            lines_in_batch: self.lines_seen(),
        }
    }

    /// An unquoted line end at `at`.
    fn line_end(&mut self, data: &[u8], whole: bool, at: usize) -> Result<Found, FaultKind> {
        let length = if data[at] == b'\n' {
            if !matches!(self.newline, Newline::Unknown | Newline::Feed) {
                return Err(if self.csv { FaultKind::UnquotedNewline } else { FaultKind::LiteralNewline });
            }
            self.newline = Newline::Feed;
            1
        } else {
            let wrong = if self.csv { FaultKind::UnquotedReturn } else { FaultKind::LiteralReturn };
            match self.newline {
                Newline::Feed => return Err(wrong),
                Newline::Return => 1,
                Newline::Unknown | Newline::ReturnFeed => match data.get(at + 1) {
                    None if !whole => {
                        self.row.seen = at;
                        return Ok(Found::Starved);
                    }
                    Some(b'\n') => {
                        self.newline = Newline::ReturnFeed;
                        2
                    }
                    _ if self.newline == Newline::ReturnFeed => return Err(wrong),
                    _ => {
                        self.newline = Newline::Return;
                        1
                    }
                },
            }
        };
        Ok(Found::Row(Line {
            content: at,
            kept: at + length,
            used: at + length,
            ending: b"",
            last: false,
            special: self.row.special,
            lines: self.lines_seen(),
            lines_in_batch: self.lines_seen(),
        }))
    }

    /// `\.` at `at`, in text.
    fn text_marker(&mut self, data: &[u8], whole: bool, at: usize) -> Result<Found, FaultKind> {
        let corrupt =
            if self.marker_is_strict { FaultKind::MarkerNotAlone } else { FaultKind::MarkerCorrupt };
        self.row.seen = at;
        let mut next = at + 2;
        if self.newline == Newline::ReturnFeed {
            match data.get(next) {
                None if !whole => return Ok(Found::Starved),
                Some(b'\n') => return Err(FaultKind::MarkerStyle),
                Some(b'\r') => next += 1,
                _ => return Err(corrupt),
            }
        }
        match data.get(next) {
            None if !whole => return Ok(Found::Starved),
            Some(end @ (b'\n' | b'\r')) if self.suits(*end) => next += 1,
            Some(b'\n' | b'\r') => return Err(FaultKind::MarkerStyle),
            _ => return Err(corrupt),
        }
        if at == 0 {
            return Ok(Found::End);
        }
        // Nobody can tell which newline a batch should have after such a row.
        let header = self.first && self.header;
        let unknown = self.newline == Newline::Unknown && self.reads_on_after_marker && !header;
        if self.marker_is_strict || unknown {
            return Err(corrupt);
        }
        let last = !self.reads_on_after_marker;
        Ok(Found::Row(Line { used: next, last, ..self.unended(at) }))
    }

    /// A row of CSV that begins with a backslash.
    fn csv_marker(&self, data: &[u8], whole: bool) -> Result<Marker, FaultKind> {
        let mut expected: [Option<u8>; 2] = [Some(b'.'), Some(b'\r')];
        if self.newline != Newline::ReturnFeed {
            expected[1] = None;
        }
        let mut next = 1;
        for byte in expected.into_iter().flatten() {
            match data.get(next) {
                None if !whole => return Ok(Marker::Starved),
                Some(found) if *found == byte => next += 1,
                _ => return Ok(Marker::None),
            }
        }
        match data.get(next) {
            None if !whole => Ok(Marker::Starved),
            Some(end @ (b'\n' | b'\r')) if self.suits(*end) => Ok(Marker::Found),
            Some(b'\n' | b'\r') => Err(FaultKind::MarkerStyle),
            _ => Ok(Marker::None),
        }
    }

    /// Whether the last byte of a marker's line is that of other lines.
    const fn suits(&self, end: u8) -> bool {
        match self.newline {
            Newline::Unknown => true,
            Newline::Return => end == b'\r',
            Newline::Feed | Newline::ReturnFeed => end == b'\n',
        }
    }
}

/// Whether a row of CSV is `\.`.
enum Marker {
    None,
    Starved,
    Found,
}
