//! A text in the tokens of PostgreSQL's scanner.
//!
//! Bytes decide, as in the scanner: everything outside ASCII is a letter, and
//! white space is ASCII. Strings are read with `standard_conforming_strings`
//! on. Any text has tokens: what is still open at the end ends there. The work
//! is linear in the length of the text.

/// A part of a text that is neither space nor comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Where it begins in the text, in bytes.
    pub start: usize,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or an unquoted name.
    Word,
    QuotedWord,
    Number,
    /// `$1`
    Parameter,
    /// A string constant, however quoted, with its continuations.
    Text,
    /// A run of operator characters, as PostgreSQL would cut it.
    Operator,
    /// Any other character, and `::`.
    Sign,
}

impl Token<'_> {
    #[must_use]
    pub const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is this keyword, given in lower case.
    #[must_use]
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    #[must_use]
    pub fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }
}

/// No operator is longer; without a limit a text of nothing but signs would
/// be looked through once for each of them.
const OPERATOR_BYTES_MAX: usize = 63;

/// The tokens of a text.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::with_capacity(text.len() / 6);
    let mut start = 0;
    while start < text.len() {
        let (kind, length) = scan(&text.as_bytes()[start..]);
        // A token ends between characters: its last byte is ASCII, or it
        // took all bytes outside ASCII that follow.
        let length = ceil(text, start + length) - start;
        if let Some(kind) = kind {
            found.push(Token { kind, text: &text[start..start + length], start });
        }
        start += length;
    }
    found
}

/// The next place between two characters.
fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn in_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

const fn in_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

fn run(bytes: &[u8], holds: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| holds(**byte)).count()
}

/// Kind (none: space or comment) and length of the first token.
fn scan(rest: &[u8]) -> (Option<Kind>, usize) {
    let at = |at: usize| rest.get(at).copied().unwrap_or(0);
    match (at(0), at(1), at(2)) {
        (space, ..) if is_space(space) => (None, run(rest, is_space)),
        (b'-', b'-', _) => (None, line_comment(rest)),
        (b'/', b'*', _) => (None, comment(rest)),
        (b'\'', ..) => (Some(Kind::Text), string(rest, 0, false)),
        (b'e' | b'E', b'\'', _) => (Some(Kind::Text), string(rest, 1, true)),
        (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'', _) => (Some(Kind::Text), string(rest, 1, false)),
        (b'u' | b'U', b'&', b'\'') => (Some(Kind::Text), string(rest, 2, false)),
        (b'u' | b'U', b'&', b'"') => (Some(Kind::QuotedWord), quoted(rest, 2, b'"', false)),
        (b'"', ..) => (Some(Kind::QuotedWord), quoted(rest, 0, b'"', false)),
        (b'$', digit, _) if digit.is_ascii_digit() => {
            (Some(Kind::Parameter), 1 + run(&rest[1..], |byte| byte.is_ascii_digit()))
        }
        (b'$', ..) => dollar(rest).map_or((Some(Kind::Sign), 1), |length| (Some(Kind::Text), length)),
        (digit, ..) if digit.is_ascii_digit() => (Some(Kind::Number), number(rest)),
        (b'.', digit, _) if digit.is_ascii_digit() => (Some(Kind::Number), number(rest)),
        (letter, ..) if begins_word(letter) => (Some(Kind::Word), run(rest, in_word)),
        (b':', b':', _) => (Some(Kind::Sign), 2),
        (byte, ..) if in_operator(byte) => (Some(Kind::Operator), operator(rest)),
        _ => (Some(Kind::Sign), 1),
    }
}

fn line_comment(rest: &[u8]) -> usize {
    run(rest, |byte| byte != b'\n' && byte != b'\r')
}

/// Length of a comment, which may hold others.
fn comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at + 1 < rest.len() {
        match &rest[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a string that opens after `prefix` bytes, with the strings that
/// continue it on further lines.
fn string(rest: &[u8], prefix: usize, escapes: bool) -> usize {
    let mut end = quoted(rest, prefix, b'\'', escapes);
    while let Some(next) = continuation(&rest[end..]) {
        end += quoted(&rest[end..], next, b'\'', escapes);
    }
    end
}

/// Where the quote stands that continues a string: after white space with a
/// line end in it.
fn continuation(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut new_line = false;
    loop {
        match rest.get(at)? {
            b'\n' | b'\r' => {
                new_line = true;
                at += 1;
            }
            byte if is_space(*byte) => at += 1,
            b'-' if rest.get(at + 1) == Some(&b'-') => at += line_comment(&rest[at..]),
            b'\'' if new_line => return Some(at),
            _ => return None,
        }
    }
}

/// Length of a quoted part that opens after `prefix` bytes; doubled quotes
/// and, with `escapes`, backslashes stay inside.
fn quoted(rest: &[u8], prefix: usize, quote: u8, escapes: bool) -> usize {
    let mut at = prefix + 1;
    while let Some(byte) = rest.get(at) {
        if escapes && *byte == b'\\' {
            at += 2;
        } else if *byte == quote {
            if rest.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of `$tag$…$tag$`; none if no such string opens here.
fn dollar(rest: &[u8]) -> Option<usize> {
    let named = run(&rest[1..], |byte| in_word(byte) && byte != b'$');
    if rest.get(1 + named) != Some(&b'$') || (named > 0 && !begins_word(rest[1])) {
        return None;
    }
    let (tag, body) = rest.split_at(named + 2);
    let close = memchr::memmem::find(body, tag);
    Some(close.map_or(rest.len(), |at| tag.len() + at + tag.len()))
}

/// Length of a number: integers of any base, decimals, exponents.
fn number(rest: &[u8]) -> usize {
    let digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let mut end = run(rest, digit);
    if rest.get(end) == Some(&b'.') && rest.get(end + 1) != Some(&b'.') {
        end += 1;
        end += run(&rest[end..], digit);
    }
    if matches!(rest.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
        if rest.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end += 1 + sign;
        }
    }
    // What PostgreSQL would refuse as junk belongs to the number too.
    end + run(&rest[end..], |byte| in_word(byte) && byte != b'$')
}

/// Length of an operator: it ends before a comment, and one of several
/// characters ends in `+` or `-` only if it holds a character of no use in
/// arithmetic.
fn operator(rest: &[u8]) -> usize {
    let mut length = run(&rest[..rest.len().min(OPERATOR_BYTES_MAX)], in_operator);
    let opens = |pair: &[u8]| pair == b"--" || pair == b"/*";
    if let Some(at) = rest[..length].windows(2).position(opens) {
        length = at;
    }
    if !rest[..length].iter().any(|byte| b"~!@#^&|`?%".contains(byte)) {
        while length > 1 && matches!(rest[length - 1], b'+' | b'-') {
            length -= 1;
        }
    }
    length.max(1)
}

/// The value of a string constant. Bit strings keep their form.
#[must_use]
pub fn unquoted(text: &str) -> String {
    if let Some(rest) = text.strip_prefix('$') {
        let tag = rest.find('$').map_or(text.len(), |at| at + 2);
        let body = text.get(tag..text.len().saturating_sub(tag)).unwrap_or_default();
        return body.to_owned();
    }
    let (prefix, quoted) = text.split_at(text.find('\'').unwrap_or(text.len()));
    if matches!(prefix, "b" | "B" | "x" | "X") {
        return text.to_owned();
    }
    let escapes = matches!(prefix, "e" | "E");
    let mut value = String::with_capacity(quoted.len());
    let mut inside = false;
    let mut characters = quoted.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\'' if inside && characters.peek() == Some(&'\'') => {
                characters.next();
                value.push('\'');
            }
            '\'' => inside = !inside,
            // Between the parts of a continued string.
            _ if !inside => {}
            '\\' if escapes => match characters.next() {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(other) => value.push(other),
                None => {}
            },
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let letter = |kind| match kind {
            Kind::Word => 'w',
            Kind::QuotedWord => 'q',
            Kind::Number => 'n',
            Kind::Parameter => 'p',
            Kind::Text => 't',
            Kind::Operator => 'o',
            Kind::Sign => 's',
        };
        let shown: Vec<String> =
            tokens(text).iter().map(|token| format!("{}[{}]", letter(token.kind), token.text)).collect();
        shown.join(" ")
    }

    #[test]
    fn texts_are_cut_as_postgresql_cuts_them() {
        for (text, expected) in [
            ("", ""),
            ("a=-1", "w[a] o[=] o[-] n[1]"),
            ("a@-1", "w[a] o[@-] n[1]"),
            ("a--1\n+b", "w[a] o[+] w[b]"),
            ("a+--c\n1", "w[a] o[+] n[1]"),
            ("a*/*c/*d*/e*/b", "w[a] o[*] w[b]"),
            (
                "1.5e-3 .5 1. 1e 0x1F 1_000 2..3",
                "n[1.5e-3] n[.5] n[1.] n[1e] n[0x1F] n[1_000] n[2] s[.] n[.3]",
            ),
            ("$1 $12a $ $a$x$$y$a$ $$z$$", "p[$1] p[$12] w[a] s[$] t[$a$x$$y$a$] t[$$z$$]"),
            ("a$1 $1$2", "w[a$1] p[$1] p[$2]"),
            ("'a''b' E'\\'' 'c' \n 'd' 'e'", "t['a''b'] t[E'\\''] t['c' \n 'd'] t['e']"),
            ("'a' -- x\n 'b'", "t['a' -- x\n 'b']"),
            (
                "b'1' X'1F' n'x' U&'d!61' u&\"x\" \"a\"\"b\"",
                "t[b'1'] t[X'1F'] t[n'x'] t[U&'d!61'] q[u&\"x\"] q[\"a\"\"b\"]",
            ),
            ("größe::text[1]", "w[größe] s[::] w[text] s[[] n[1] s[]]"),
            ("a\u{a0}b", "w[a\u{a0}b]"),
            ("'open", "t['open]"),
            ("E'\\", "t[E'\\]"),
            ("$a$open", "t[$a$open]"),
            ("x /* open", "w[x]"),
            ("- ->> <= !=-", "o[-] o[->>] o[<=] o[!=-]"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn tokens_are_where_they_say() {
        let text = "SELECT 'ä' /* ö */ , \"ü\" + 1.5 -- end\n FROM t$1";
        for token in tokens(text) {
            assert_eq!(&text[token.start..token.end()], token.text);
        }
    }
}
