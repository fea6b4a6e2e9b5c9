//! The text of a dump, taken apart as it streams by.
//!
//! Statements end where psql ends them: quotes, dollar quotes, comments,
//! parentheses and the bodies of SQL functions are followed, so that text
//! within a function is never taken for a statement. Rows of `COPY` are only
//! counted up to the next one that the sample wants. Nothing is kept but the
//! statement at hand, and of that only if it may concern a profile.

use memchr::memchr;
use memchr::memchr2;

use super::insert::Inserts;
use super::row::Row;

/// Longest statement that is read; longer ones are passed over.
pub const STATEMENT_BYTES_MAX: usize = 64 << 20;

/// What is kept of a statement that is too long.
const BEGINNING_BYTES: usize = 200;

/// Longest comment or psql command of which more is not kept.
const LINE_BYTES_MAX: usize = 4096;

/// What follows a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    Statements,
    /// Rows of `COPY`, up to `\.`.
    Rows,
}

/// Who hears what the text holds.
pub trait Sink {
    type Error;
    /// A statement that may concern a profile, without its semicolon.
    fn statement(&mut self, text: &[u8]) -> Result<Follows, Self::Error>;
    /// A statement that is too long to be read, by its beginning.
    fn too_long(&mut self, beginning: &[u8]);
    /// `INSERT INTO … ` up to `VALUES`: its rows follow.
    fn insert(&mut self, head: &[u8]) -> Result<(), Self::Error>;
    /// A row begins; whether it is to be read.
    fn wants_row(&mut self) -> bool;
    /// A row that was wanted.
    fn row(&mut self, row: &Row);
    /// The rows of a `COPY` end.
    fn end_of_rows(&mut self) -> Result<(), Self::Error>;
    /// A comment of one line, without its dashes.
    fn comment(&mut self, text: &[u8]) -> Result<(), Self::Error>;
    /// A command for psql, without its backslash.
    fn command(&mut self, text: &[u8]) -> Result<(), Self::Error>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Code,
    /// `'…'`; whether backslashes escape.
    Quote(bool),
    /// After such a backslash.
    Escaped,
    Identifier,
    /// `$tag`, which may become a dollar quote.
    Tag(Vec<u8>),
    /// Within one, and how much of its end was just seen.
    Dollar(Vec<u8>, usize),
    LineComment,
    BlockComment(u32),
    Command,
    /// The rest of the line of a `COPY` statement.
    BeforeRows,
    /// Rows of `COPY`: how much of `\.` the line began with, none = within a row.
    Rows(Option<u8>),
    Inserts,
}

/// Reads a text piece by piece.
#[derive(Debug)]
pub struct Reader {
    state: State,
    statement: Vec<u8>,
    words: Words,
    /// Not kept: it does not concern a profile, or is too long.
    passed: bool,
    too_long: bool,
    parentheses: u32,
    /// Open `BEGIN` and `CASE` of an SQL function's body.
    begins: u32,
    /// The byte before, as far as two make one sign.
    previous: u8,
    /// A quote has just ended; a second one makes it go on.
    ended_quote: Option<bool>,
    backslashes_escape: bool,
    /// Comment or psql command.
    line: Vec<u8>,
    row: Row,
    wanted: bool,
    inserts: Inserts,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Code,
            statement: Vec::new(),
            words: Words::default(),
            passed: false,
            too_long: false,
            parentheses: 0,
            begins: 0,
            previous: b' ',
            ended_quote: None,
            backslashes_escape: false,
            line: Vec::new(),
            row: Row::default(),
            wanted: false,
            inserts: Inserts::default(),
        }
    }
}

impl Reader {
    /// Whether the text may end here.
    #[must_use]
    pub const fn is_between_statements(&self) -> bool {
        !self.begun() && matches!(self.state, State::Code | State::LineComment | State::Command)
    }

    /// Memory that the statement at hand takes.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        self.statement.capacity()
    }

    /// Reads the next piece of the text.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn feed<S: Sink>(&mut self, mut piece: &[u8], sink: &mut S) -> Result<(), S::Error> {
        while !piece.is_empty() {
            let used = match self.state {
                State::Code => self.code(piece[0], sink)?,
                State::Rows(start) => self.rows(start, piece, sink)?,
                State::Inserts => self.insert_rows(piece, sink),
                State::Command | State::LineComment => self.line(piece, sink)?,
                State::BeforeRows => {
                    let end = memchr(b'\n', piece);
                    if end.is_some() {
                        self.state = State::Rows(Some(0));
                    }
                    end.map_or(piece.len(), |end| end + 1)
                }
                State::BlockComment(depth) => self.block_comment(depth, piece[0]),
                State::Tag(_) => self.tag(piece[0]),
                State::Quote(_) | State::Escaped | State::Identifier | State::Dollar(..) => {
                    let end = self.end_of_passed_text();
                    let used = self.quoted(piece);
                    match end {
                        None => self.keep(&piece[..used]),
                        Some(end) if self.state == State::Code => self.keep(&end),
                        Some(_) => {}
                    }
                    used
                }
            };
            piece = &piece[used..];
        }
        Ok(())
    }

    const fn begun(&self) -> bool {
        !self.statement.is_empty() || self.passed
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.passed {
            return;
        }
        if self.statement.len() + bytes.len() > STATEMENT_BYTES_MAX {
            (self.passed, self.too_long) = (true, true);
            self.statement.truncate(BEGINNING_BYTES);
            self.statement.shrink_to_fit();
            return;
        }
        self.statement.extend_from_slice(bytes);
    }

    fn code<S: Sink>(&mut self, byte: u8, sink: &mut S) -> Result<usize, S::Error> {
        let quote = self.ended_quote.take();
        if is_word(byte) {
            self.words.push(byte);
            self.previous = byte;
            self.keep(&[byte]);
            return Ok(1);
        }
        let word = self.words.end();
        if let Some(word) = word
            && self.word_ended(word, sink)?
        {
            return Ok(0);
        }
        let before = std::mem::replace(&mut self.previous, byte);
        match byte {
            b'\\' if !self.begun() => self.state = State::Command,
            _ if !self.begun() && byte.is_ascii_whitespace() => {}
            b'-' if before == b'-' => self.comment_begins(State::LineComment),
            b'*' if before == b'/' => self.comment_begins(State::BlockComment(1)),
            b';' if self.parentheses == 0 && self.begins == 0 => self.statement_ended(sink)?,
            _ => {
                self.keep(&[byte]);
                match byte {
                    b'\'' => {
                        let escape = self.backslashes_escape || word.is_some_and(|word| word.is(b"e"));
                        self.state = State::Quote(quote.unwrap_or(escape));
                    }
                    b'"' => self.state = State::Identifier,
                    b'$' => self.state = State::Tag(Vec::new()),
                    b'(' => self.parentheses += 1,
                    b')' => self.parentheses = self.parentheses.saturating_sub(1),
                    _ => {}
                }
            }
        }
        Ok(1)
    }

    /// A comment is no part of its statement.
    fn comment_begins(&mut self, state: State) {
        if !self.passed {
            self.statement.pop();
        }
        self.line.clear();
        self.previous = b' ';
        self.state = state;
    }

    /// True if the rows of an `INSERT` begin here.
    fn word_ended<S: Sink>(&mut self, word: Word, sink: &mut S) -> Result<bool, S::Error> {
        if self.parentheses > 0 {
            return Ok(false);
        }
        if self.words.is_routine() {
            if word.is(b"begin") || (word.is(b"case") && self.begins > 0) {
                self.begins += 1;
            } else if word.is(b"end") {
                self.begins = self.begins.saturating_sub(1);
            }
        }
        if self.words.count == 2 && !self.words.may_concern() {
            self.passed = true;
            self.statement = Vec::new();
        }
        if !word.is(b"values") || !self.words.is_insert() || self.passed {
            return Ok(false);
        }
        let head = std::mem::take(&mut self.statement);
        let head = &head[..head.len() - b"values".len()];
        sink.insert(head)?;
        let default = head.trim_ascii_end().to_ascii_lowercase().ends_with(b"default");
        if default && sink.wants_row() {
            self.row.clear();
            sink.row(&self.row);
        }
        self.inserts = Inserts::new(self.backslashes_escape);
        self.state = State::Inserts;
        Ok(true)
    }

    fn statement_ended<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let text = std::mem::take(&mut self.statement);
        let (passed, too_long) = (self.passed, self.too_long);
        self.forget();
        if too_long {
            sink.too_long(&text);
        }
        if passed || text.is_empty() {
            return Ok(());
        }
        if text.starts_with(b"SET standard_conforming_strings") {
            self.backslashes_escape = text.ends_with(b"off");
            return Ok(());
        }
        if sink.statement(&text)? == Follows::Rows {
            self.state = State::BeforeRows;
        }
        Ok(())
    }

    /// The next statement begins anew.
    fn forget(&mut self) {
        self.state = State::Code;
        self.statement.clear();
        self.words = Words::default();
        (self.passed, self.too_long) = (false, false);
        (self.parentheses, self.begins) = (0, 0);
        self.previous = b' ';
    }

    fn line<S: Sink>(&mut self, piece: &[u8], sink: &mut S) -> Result<usize, S::Error> {
        let end = memchr(b'\n', piece);
        let part = &piece[..end.unwrap_or(piece.len())];
        let room = LINE_BYTES_MAX - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        let Some(end) = end else { return Ok(piece.len()) };
        let text = std::mem::take(&mut self.line);
        let state = std::mem::replace(&mut self.state, State::Code);
        if state == State::Command {
            sink.command(text.trim_ascii())?;
        } else {
            sink.comment(text.trim_ascii())?;
        }
        // The newline itself is white space of the statement, if there is one.
        Ok(end)
    }

    fn block_comment(&mut self, depth: u32, byte: u8) -> usize {
        let before = std::mem::replace(&mut self.previous, byte);
        let depth = match (before, byte) {
            (b'*', b'/') => depth - 1,
            (b'/', b'*') => depth + 1,
            _ => return 1,
        };
        self.previous = b' ';
        self.state = if depth == 0 { State::Code } else { State::BlockComment(depth) };
        1
    }

    fn tag(&mut self, byte: u8) -> usize {
        let State::Tag(tag) = &mut self.state else { return 0 };
        let ends = byte == b'$';
        if !ends && (!is_word(byte) || tag.len() > 63 || (tag.is_empty() && byte.is_ascii_digit())) {
            self.state = State::Code;
            return 0;
        }
        if ends {
            let tag = [b"$", tag.as_slice(), b"$"].concat();
            self.state = State::Dollar(tag, 0);
        } else {
            tag.push(byte);
        }
        self.keep(&[byte]);
        1
    }

    /// The end of quoted text of which no more is kept: that of a function,
    /// whose body may be long, and in letters that cannot be read here.
    fn end_of_passed_text(&self) -> Option<Vec<u8>> {
        match &self.state {
            _ if !self.words.is_routine() => None,
            State::Dollar(tag, _) => Some(tag.clone()),
            State::Quote(_) | State::Escaped => Some(b"'".to_vec()),
            _ => None,
        }
    }

    /// Passes over quoted text; only its end matters.
    fn quoted(&mut self, piece: &[u8]) -> usize {
        let next;
        let used;
        match &mut self.state {
            State::Quote(escape) => {
                let escape = *escape;
                let found = if escape { memchr2(b'\'', b'\\', piece) } else { memchr(b'\'', piece) };
                let Some(at) = found else { return piece.len() };
                if piece[at] == b'\\' {
                    next = State::Escaped;
                } else {
                    self.ended_quote = Some(escape);
                    next = State::Code;
                }
                used = at + 1;
            }
            State::Identifier => {
                let Some(at) = memchr(b'"', piece) else { return piece.len() };
                next = State::Code;
                used = at + 1;
            }
            State::Dollar(tag, matched) => {
                let Some(at) = end_of_dollar(tag, matched, piece) else { return piece.len() };
                next = State::Code;
                used = at;
            }
            _ => {
                next = State::Quote(true);
                used = 1;
            }
        }
        self.previous = b' ';
        self.state = next;
        used
    }

    fn rows<S: Sink>(&mut self, start: Option<u8>, piece: &[u8], sink: &mut S) -> Result<usize, S::Error> {
        let Some(matched) = start else {
            return Ok(self.in_row(piece, sink));
        };
        match (matched, piece[0]) {
            (0, b'\\') | (1, b'.') => self.state = State::Rows(Some(matched + 1)),
            (2, b'\r') => {}
            (2, b'\n') => {
                self.forget();
                sink.end_of_rows()?;
            }
            _ => {
                self.wanted = sink.wants_row();
                if self.wanted {
                    self.row.clear();
                    self.row.feed_copy(&b"\\."[..usize::from(matched)]);
                }
                self.state = State::Rows(None);
                return Ok(0);
            }
        }
        Ok(1)
    }

    /// Within a row, and over the rows after it that are not wanted.
    fn in_row<S: Sink>(&mut self, piece: &[u8], sink: &mut S) -> usize {
        let mut used = 0;
        loop {
            let rest = &piece[used..];
            let end = memchr(b'\n', rest);
            if self.wanted {
                self.row.feed_copy(&rest[..end.unwrap_or(rest.len())]);
            }
            let Some(end) = end else { return piece.len() };
            used += end + 1;
            if std::mem::take(&mut self.wanted) {
                self.row.end_copy();
                sink.row(&self.row);
            }
            // Rows that are whole in this piece need no state.
            if piece.get(used).is_none_or(|first| *first == b'\\') {
                self.state = State::Rows(Some(0));
                return used;
            }
            self.wanted = sink.wants_row();
            if self.wanted {
                self.row.clear();
            }
        }
    }

    fn insert_rows<S: Sink>(&mut self, piece: &[u8], sink: &mut S) -> usize {
        let (used, ended) = self.inserts.feed(piece, &mut self.row, sink);
        if ended {
            self.forget();
        }
        used
    }
}

/// Where a dollar quote is over, if it ends in this piece.
fn end_of_dollar(tag: &[u8], matched: &mut usize, piece: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < piece.len() {
        if *matched == 0 {
            at += memchr(b'$', &piece[at..])?;
        }
        if piece[at] == tag[*matched] {
            *matched += 1;
        } else {
            *matched = usize::from(piece[at] == b'$');
        }
        at += 1;
        if *matched == tag.len() {
            return Some(at);
        }
    }
    None
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The first letters of a word, in lower case.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    bytes: [u8; 32],
    length: usize,
}

impl Word {
    fn is(&self, word: &[u8]) -> bool {
        self.length == word.len() && self.bytes.starts_with(word)
    }
}

/// The words at the beginning of a statement.
#[derive(Debug, Default)]
struct Words {
    current: Word,
    first: [Word; 4],
    count: usize,
}

impl Words {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.current.bytes.get_mut(self.current.length) {
            *place = byte.to_ascii_lowercase();
        }
        self.current.length += 1;
    }

    /// The word that ends here, if one does.
    fn end(&mut self) -> Option<Word> {
        if self.current.length == 0 {
            return None;
        }
        let word = std::mem::take(&mut self.current);
        if let Some(place) = self.first.get_mut(self.count) {
            *place = word;
        }
        self.count += 1;
        Some(word)
    }

    fn at(&self, place: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.first[place].is(word.as_bytes()))
    }

    fn is_insert(&self) -> bool {
        self.at(0, &["insert"]) && self.at(1, &["into"])
    }

    fn is_routine(&self) -> bool {
        const ROUTINES: &[&str] = &["function", "procedure"];
        self.at(0, &["create"])
            && (self.at(1, ROUTINES)
                || (self.at(1, &["or"]) && self.at(2, &["replace"]) && self.at(3, ROUTINES)))
    }

    /// Whether a statement that begins with these two words may say anything
    /// that a profile holds.
    fn may_concern(&self) -> bool {
        const CREATED: &[&str] = &[
            "table",
            "unlogged",
            "foreign",
            "type",
            "domain",
            "index",
            "unique",
            "trigger",
            "constraint",
            "view",
            "recursive",
            "function",
            "aggregate",
            "operator",
            "collation",
            "or",
        ];
        self.is_insert()
            || self.at(0, &["copy"])
            || (self.at(0, &["create"]) && self.at(1, CREATED))
            || (self.at(0, &["alter"]) && self.at(1, &["table", "view"]))
            || (self.at(0, &["set"]) && self.at(1, &["client_encoding", "standard_conforming_strings"]))
            || (self.at(0, &["select"]) && self.at(1, &["from"]))
    }
}
