//! Whether a line of a dump's text begins in SQL itself, or within a string, a
//! quoted name, a dollar-quoted body or a comment that began above it.
//!
//! For who reads a dump by lines: a comment on a table may hold a line like
//! `\connect x` or `COPY t FROM stdin;`.

/// What the end of the last line was within.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Sql,
    /// A string; whether a backslash escapes in it.
    Text(bool),
    Name,
    Dollar(Vec<u8>),
    /// A comment, and how deep.
    Comment(u32),
}

/// Follows the lines of a text.
#[derive(Debug, Clone, Default)]
pub struct Quotes {
    within: Within,
    /// `standard_conforming_strings` is off.
    backslashes: bool,
}

impl Quotes {
    /// Whether the next line begins in SQL itself.
    #[must_use]
    pub fn in_sql(&self) -> bool {
        self.within == Within::Sql
    }

    /// Goes on by one line, which comes without its end.
    pub fn line(&mut self, line: &[u8]) {
        if self.in_sql() && line.starts_with(b"SET standard_conforming_strings = ") {
            self.backslashes = line.ends_with(b"= off;");
        }
        let mut at = 0;
        while at < line.len() {
            at += match &self.within {
                Within::Sql => self.sql(line, at),
                Within::Text(escapes) => {
                    let escapes = *escapes;
                    self.quoted(&line[at..], b'\'', escapes)
                }
                Within::Name => self.quoted(&line[at..], b'"', false),
                Within::Dollar(tag) => {
                    let length = tag.len();
                    if line[at..].starts_with(tag) {
                        self.within = Within::Sql;
                        length
                    } else {
                        1
                    }
                }
                Within::Comment(depth) => {
                    let depth = *depth;
                    self.comment(&line[at..], depth)
                }
            };
        }
    }

    /// Bytes to go on by, in SQL itself.
    fn sql(&mut self, line: &[u8], at: usize) -> usize {
        let before = at.checked_sub(1).map(|at| line[at]);
        match line[at] {
            b'-' if line[at..].starts_with(b"--") => line.len() - at,
            b'/' if line[at..].starts_with(b"/*") => {
                self.within = Within::Comment(1);
                2
            }
            b'\'' => {
                let marked = matches!(before, Some(b'e' | b'E'))
                    && !at.checked_sub(2).is_some_and(|at| is_word(line[at]));
                self.within = Within::Text(marked || self.backslashes);
                1
            }
            b'"' => {
                self.within = Within::Name;
                1
            }
            b'$' if !before.is_some_and(is_word) => match dollar_tag(&line[at..]) {
                Some(tag) => {
                    let length = tag.len();
                    self.within = Within::Dollar(tag.to_vec());
                    length
                }
                None => 1,
            },
            _ => 1,
        }
    }

    fn quoted(&mut self, rest: &[u8], quote: u8, escapes: bool) -> usize {
        match rest {
            [b'\\', _, ..] if escapes => 2,
            [first, second, ..] if *first == quote && *second == quote => 2,
            [first, ..] if *first == quote => {
                self.within = Within::Sql;
                1
            }
            _ => 1,
        }
    }

    fn comment(&mut self, rest: &[u8], depth: u32) -> usize {
        match rest {
            [b'*', b'/', ..] => {
                self.within = if depth > 1 { Within::Comment(depth - 1) } else { Within::Sql };
                2
            }
            [b'/', b'*', ..] => {
                self.within = Within::Comment(depth.saturating_add(1));
                2
            }
            _ => 1,
        }
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// `$tag$` at the start of a text.
fn dollar_tag(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().skip(1).position(|byte| *byte == b'$')? + 1;
    let tag = &text[1..end];
    let fits = tag.iter().all(|byte| is_word(*byte)) && !tag.first().is_some_and(u8::is_ascii_digit);
    fits.then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that begin in SQL itself, by number.
    fn in_sql(text: &str) -> Vec<usize> {
        let mut quotes = Quotes::default();
        let mut found = Vec::new();
        for (number, line) in text.split('\n').enumerate() {
            if quotes.in_sql() {
                found.push(number);
            }
            quotes.line(line.as_bytes());
        }
        found
    }

    #[test]
    fn strings_names_and_bodies_span_lines() {
        for (text, expected) in [
            ("SELECT 1;\nSELECT 2;", vec![0, 1]),
            ("COMMENT ON TABLE t IS 'a\n\\connect x\nCOPY t FROM stdin;\n''';\nx", vec![0, 4]),
            ("COMMENT ON TABLE \"a\nb\"\"\nc\" IS 'x';\n", vec![0, 3]),
            ("AS $$\nINSERT INTO t VALUES ('\n$$;\nx", vec![0, 3]),
            ("AS $_$\n$$\n'\n$_$;\nx", vec![0, 4]),
            ("/* a\n /* b */\n*/\nx -- it's\ny", vec![0, 3, 4]),
            ("SELECT E'\\'\n';\nx", vec![0, 2]),
            ("SELECT E'a''\\'\n';\nx", vec![0, 2]),
            ("SELECT '\\';\nx", vec![0, 1]),
            ("SET standard_conforming_strings = off;\nSELECT '\\'\n';\nx", vec![0, 1, 3]),
            ("SELECT name'\\';\nx", vec![0, 1]),
            ("SELECT a$1$, $1, $1$;\nx", vec![0, 1]),
            ("SELECT 'x' \"'\" '$$';\nx", vec![0, 1]),
        ] {
            assert_eq!(in_sql(text), expected, "{text}");
        }
    }

    #[test]
    fn what_ends_in_the_middle_ends_nothing() {
        for text in ["'", "E'\\", "\"", "$", "$a", "$a$", "/*", "/* /", "-", "--", "*/", "", "'\\"] {
            let mut quotes = Quotes::default();
            quotes.line(text.as_bytes());
            let before = quotes.within.clone();
            quotes.line(b"");
            assert_eq!(quotes.within, before);
        }
    }
}
