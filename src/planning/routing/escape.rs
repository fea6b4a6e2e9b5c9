//! Backslashes of text and quotes of CSV, undone as PostgreSQL undoes them.

use memchr::memchr;
use memchr::memchr2;

/// What the escapes of a text field made that plain bytes could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Made {
    /// A byte beyond ASCII, which is one of the *server's* encoding.
    pub high: bool,
    /// A zero byte, which PostgreSQL refuses.
    pub zero: bool,
}

/// Where the escape ends whose backslash is at `at`. A backslash at the very
/// end is none, and ends there.
pub(super) fn escape_end(row: &[u8], at: usize) -> usize {
    let digits = match row.get(at + 1) {
        Some(b'x') => row[at + 2..].iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count(),
        _ => 0,
    };
    (at + 2 + digits).min(row.len())
}

/// Appends a field of text, without its escapes. In a database of another
/// encoding the field is to be converted before.
pub fn unescape_text(mut raw: &[u8], out: &mut Vec<u8>) -> Made {
    let mut made = Made::default();
    while let Some(at) = memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..at]);
        raw = &raw[at + 1..];
        let Some((&letter, rest)) = raw.split_first() else { return made };
        let (byte, rest) = match letter {
            b'0'..=b'7' => {
                let (value, rest) = number(raw, 8, 3);
                made.see(value);
                (value, rest)
            }
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
                let (value, rest) = number(rest, 16, 2);
                made.see(value);
                (value, rest)
            }
            b'b' => (8, rest),
            b'f' => (12, rest),
            b'n' => (b'\n', rest),
            b'r' => (b'\r', rest),
            b't' => (b'\t', rest),
            b'v' => (11, rest),
            other => (other, rest),
        };
        out.push(byte);
        raw = rest;
    }
    out.extend_from_slice(raw);
    made
}

impl Made {
    fn see(&mut self, byte: u8) {
        self.high |= byte >= 0x80;
        self.zero |= byte == 0;
    }
}

/// The number at the start of `raw`, and what follows; of more than a byte,
/// the lower eight bits.
fn number(raw: &[u8], base: u32, digits_max: usize) -> (u8, &[u8]) {
    let mut value = 0_u32;
    let mut used = 0;
    while let Some(digit) = raw.get(used).and_then(|byte| char::from(*byte).to_digit(base))
        && used < digits_max
    {
        value = value * base + digit;
        used += 1;
    }
    ((value & 0xff) as u8, &raw[used..])
}

/// Appends a field of CSV, without its quotes and escapes.
pub fn unescape_csv(raw: &[u8], quote: u8, escape: u8, out: &mut Vec<u8>) {
    let mut quoted = false;
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let hit = if quoted { memchr2(quote, escape, rest) } else { memchr(quote, rest) };
        let Some(hit) = hit else { break };
        out.extend_from_slice(&rest[..hit]);
        at += hit + 1;
        if !quoted {
            quoted = true;
            continue;
        }
        let next = raw.get(at).copied();
        let escapes = raw[at - 1] == escape;
        if let Some(next) = next.filter(|next| escapes && (*next == quote || *next == escape)) {
            out.push(next);
            at += 1;
        } else if raw[at - 1] == quote {
            quoted = false;
        } else {
            out.push(escape);
        }
    }
    out.extend_from_slice(&raw[at..]);
}
