//! `COPY … FROM` of text and CSV as PostgreSQL reads it, byte by byte and in no
//! hurry: what the scanner is measured by. Only what depends on the encoding is
//! not here.

use pg_presplit::planning::routing::fault::FaultKind;
use pg_presplit::planning::routing::format::CopyFormat;
use pg_presplit::planning::routing::format::KeyColumn;
use pg_presplit::planning::routing::format::Kind;
use pg_presplit::planning::routing::format::Source;
use pg_presplit::planning::routing::scanner::Next;
use pg_presplit::planning::routing::scanner::Row;
use pg_presplit::planning::routing::scanner::Scanner;
use pg_presplit::planning::routing::scanner::Value;

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Null,
    Bytes(Vec<u8>),
    Default,
    Absent,
    Invalid,
}

/// A row, by what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub line: u64,
    pub keys: Vec<Field>,
}

/// How the rows end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    End,
    Fault(FaultKind, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub rows: Vec<Said>,
    pub outcome: Outcome,
}

/// What the scanner makes of pieces of an input.
pub struct Scanned {
    pub read: Read,
    /// All rows with their endings, without the header.
    pub batch: Vec<u8>,
}

#[must_use]
pub fn scan<'a>(
    format: &CopyFormat,
    keys: &[KeyColumn],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Scanned {
    let mut scanner = Scanner::new(format, keys).unwrap();
    let mut pieces = pieces.into_iter();
    let (mut rows, mut batch) = (Vec::new(), Vec::new());
    let outcome = loop {
        match scanner.next_row() {
            Ok(Next::Row(row)) => {
                rows.push(Said {
                    line: row.line,
                    keys: (0..keys.len()).map(|key| field(&row, key)).collect(),
                });
                batch.extend_from_slice(row.bytes);
                batch.extend_from_slice(row.ending);
            }
            Ok(Next::Header(_)) => assert!(format.header, "a header that nobody spoke of"),
            Ok(Next::Starved) => match pieces.next() {
                Some(piece) => scanner.feed(piece),
                None => scanner.finish(),
            },
            Ok(Next::End) => break Outcome::End,
            Err(fault) => break Outcome::Fault(fault.kind, fault.line),
        }
    };
    Scanned { read: Read { rows, outcome }, batch }
}

fn field(row: &Row<'_>, key: usize) -> Field {
    match row.key(key).value {
        Value::Null => Field::Null,
        Value::Bytes(bytes) => Field::Bytes(bytes.to_vec()),
        Value::Default => Field::Default,
        Value::Absent => Field::Absent,
        Value::Invalid => Field::Invalid,
    }
}

/// What PostgreSQL makes of an input.
#[must_use]
pub fn read(format: &CopyFormat, keys: &[KeyColumn], data: &[u8]) -> Read {
    let mut input =
        Input { format, data, at: 0, style: None, line: 0, file: format.source == Source::Server };
    let mut rows = Vec::new();
    let outcome = loop {
        let header = format.header && input.line == 0;
        match input.line() {
            Err(kind) => break Outcome::Fault(kind, input.line),
            Ok((true, _)) if header => break Outcome::End,
            Ok((false, _)) if header => {}
            Ok((true, line)) if line.is_empty() => break Outcome::End,
            Ok((_, line)) => {
                let fields = if format.kind == Kind::Csv {
                    csv_fields(format, &line)
                } else {
                    text_fields(format, &line)
                };
                let keys = keys.iter().map(|key| key_field(format, key, &fields)).collect();
                rows.push(Said { line: input.line, keys });
            }
        }
    };
    Read { rows, outcome }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Feed,
    Return,
    ReturnFeed,
}

struct Input<'a> {
    format: &'a CopyFormat,
    data: &'a [u8],
    at: usize,
    style: Option<Style>,
    line: u64,
    file: bool,
}

impl Input<'_> {
    /// A byte, or zero after the end.
    fn byte(&self, at: usize) -> u8 {
        self.data.get(at).copied().unwrap_or(0)
    }

    /// The next line without its end, and whether the data ended.
    fn line(&mut self) -> Result<(bool, Vec<u8>), FaultKind> {
        self.line += 1;
        let csv = self.format.kind == Kind::Csv;
        let old = self.format.server_major < 18;
        let escape = if self.format.quote == self.format.escape { None } else { Some(self.format.escape) };
        let start = self.at;
        let (mut at, mut quoted, mut escaped) = (start, false, false);
        loop {
            if at >= self.data.len() {
                self.at = at;
                return Ok((true, self.data[start..at].to_vec()));
            }
            let first = at == start;
            let byte = self.data[at];
            at += 1;
            if csv {
                if quoted && Some(byte) == escape {
                    escaped = !escaped;
                }
                if byte == self.format.quote && !escaped {
                    quoted = !quoted;
                }
                if Some(byte) != escape {
                    escaped = false;
                }
                if quoted && byte == (if self.style == Some(Style::Feed) { b'\n' } else { b'\r' }) {
                    self.line += 1;
                }
            }
            if matches!(byte, b'\r' | b'\n') && (!csv || !quoted) {
                let end = at - 1;
                self.at = self.line_end(byte, at)?;
                return Ok((false, self.data[start..end].to_vec()));
            }
            if byte == b'\\' && (!csv || (first && old)) {
                if at >= self.data.len() {
                    self.at = at;
                    return Ok((true, self.data[start..at].to_vec()));
                }
                if self.byte(at) != b'.' {
                    at += usize::from(!csv);
                    continue;
                }
                if let Some(after) = self.marker(at + 1)? {
                    self.at = if self.file { after } else { self.data.len() };
                    let before = self.data[start..at - 1].to_vec();
                    if !old && !before.is_empty() {
                        return Err(FaultKind::MarkerNotAlone);
                    }
                    let header = self.format.header && self.line == 1;
                    if old && self.file && self.style.is_none() && !header && !before.is_empty() {
                        // The documented difference.
                        return Err(FaultKind::MarkerCorrupt);
                    }
                    return Ok((true, before));
                }
            }
        }
    }

    /// What follows a line whose end begins with the byte before `at`.
    fn line_end(&mut self, byte: u8, at: usize) -> Result<usize, FaultKind> {
        let csv = self.format.kind == Kind::Csv;
        let wrong = match (byte, csv) {
            (b'\r', true) => FaultKind::UnquotedReturn,
            (b'\r', false) => FaultKind::LiteralReturn,
            (_, true) => FaultKind::UnquotedNewline,
            (_, false) => FaultKind::LiteralNewline,
        };
        let both = byte == b'\r' && self.byte(at) == b'\n';
        let (style, after) = match (byte, self.style) {
            (b'\n', None | Some(Style::Feed)) => (Style::Feed, at),
            (b'\r', None | Some(Style::ReturnFeed)) if both => (Style::ReturnFeed, at + 1),
            (b'\r', None | Some(Style::Return)) => (Style::Return, at),
            _ => return Err(wrong),
        };
        self.style = Some(style);
        Ok(after)
    }

    /// Where an end-of-data marker ends whose `\.` ends at `at`; none if it is data.
    fn marker(&self, mut at: usize) -> Result<Option<usize>, FaultKind> {
        let csv = self.format.kind == Kind::Csv;
        let corrupt = match (csv, self.format.server_major < 18) {
            (true, _) => Ok(None),
            (false, true) => Err(FaultKind::MarkerCorrupt),
            (false, false) => Err(FaultKind::MarkerNotAlone),
        };
        if self.style == Some(Style::ReturnFeed) {
            let byte = self.byte(at);
            at += 1;
            if byte == b'\n' {
                return if csv { Ok(None) } else { Err(FaultKind::MarkerStyle) };
            }
            if byte != b'\r' {
                return corrupt;
            }
        }
        let byte = self.byte(at);
        at += 1;
        if byte != b'\r' && byte != b'\n' {
            return corrupt;
        }
        let wrong = match self.style {
            Some(Style::Feed | Style::ReturnFeed) => byte != b'\n',
            Some(Style::Return) => byte != b'\r',
            None => false,
        };
        if wrong { Err(FaultKind::MarkerStyle) } else { Ok(Some(at)) }
    }
}

/// A field as it came and as it is meant; the latter none if it has no end.
struct Parsed {
    raw: Vec<u8>,
    quoted: bool,
    value: Option<Vec<u8>>,
    zero: bool,
}

fn text_fields(format: &CopyFormat, line: &[u8]) -> Vec<Parsed> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (start, mut end, mut more, mut zero) = (at, at, false, false);
        let mut value = Vec::new();
        while at < line.len() {
            let mut byte = line[at];
            at += 1;
            if byte == format.delimiter {
                more = true;
                break;
            }
            if byte == b'\\' {
                if at >= line.len() {
                    break;
                }
                byte = line[at];
                at += 1;
                let mut digits = |base: u32, most: usize, first: u32| {
                    let mut number = first;
                    let mut count = 0;
                    while let Some(digit) = line.get(at).and_then(|byte| char::from(*byte).to_digit(base))
                        && count < most
                    {
                        number = number * base + digit;
                        at += 1;
                        count += 1;
                    }
                    (count > 0 || base == 8).then_some((number & 0xff) as u8)
                };
                let number = match byte {
                    b'0'..=b'7' => digits(8, 2, u32::from(byte - b'0')),
                    b'x' => digits(16, 2, 0),
                    _ => None,
                };
                zero |= number == Some(0);
                byte = match (number, byte) {
                    (Some(number), _) => number,
                    (None, b'b') => 8,
                    (None, b'f') => 12,
                    (None, b'n') => 10,
                    (None, b'r') => 13,
                    (None, b't') => 9,
                    (None, b'v') => 11,
                    (None, other) => other,
                };
            }
            value.push(byte);
            end = at;
        }
        fields.push(Parsed { raw: line[start..end].to_vec(), quoted: false, value: Some(value), zero });
        if !more {
            return fields;
        }
    }
}

fn csv_fields(format: &CopyFormat, line: &[u8]) -> Vec<Parsed> {
    let mut fields = Vec::new();
    let mut at = 0;
    'fields: loop {
        let (start, mut inside, mut quoted) = (at, false, false);
        let mut value = Vec::new();
        loop {
            let Some(&byte) = line.get(at) else {
                let value = if inside { None } else { Some(value) };
                fields.push(Parsed { raw: line[start..].to_vec(), quoted, value, zero: false });
                return fields;
            };
            at += 1;
            if !inside && byte == format.delimiter {
                let raw = line[start..at - 1].to_vec();
                fields.push(Parsed { raw, quoted, value: Some(value), zero: false });
                continue 'fields;
            }
            if !inside && byte == format.quote {
                (inside, quoted) = (true, true);
                continue;
            }
            if inside && byte == format.escape {
                let next = line.get(at).copied();
                if let Some(next) = next.filter(|next| *next == format.escape || *next == format.quote) {
                    value.push(next);
                    at += 1;
                    continue;
                }
            }
            if inside && byte == format.quote {
                inside = false;
                continue;
            }
            value.push(byte);
        }
    }
}

fn key_field(format: &CopyFormat, key: &KeyColumn, fields: &[Parsed]) -> Field {
    let Some(place) = key.field else { return Field::Absent };
    let Some(field) = fields.get(place) else { return Field::Invalid };
    let csv = format.kind == Kind::Csv;
    let Some(value) = &field.value else { return Field::Invalid };
    if !field.quoted && field.raw == format.null {
        return if csv && key.force_not_null { Field::Bytes(format.null.clone()) } else { Field::Null };
    }
    if Some(&field.raw) == format.default_marker.as_ref() {
        return Field::Default;
    }
    if field.zero {
        return Field::Invalid;
    }
    if csv && key.force_null && *value == format.null {
        return Field::Null;
    }
    Field::Bytes(value.clone())
}
