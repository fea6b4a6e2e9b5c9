//! Numbers of JSON that are not kept as they are written.
//!
//! A number that is no whole number of 64 bits is read as a float: with more
//! digits than a float has it would become its neighbour.

/// Significant digits that every float keeps.
const DIGITS_MAX: usize = 15;

/// The first number in a JSON text that would be read as another.
#[must_use]
pub fn inexact_number(json: &str) -> Option<&str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let of_number = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = at + rest.iter().position(|byte| !of_number(byte)).unwrap_or(rest.len());
                let text = json.get(at..end)?;
                if !is_exact(text) {
                    return Some(text);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

/// The place after a string's closing quote.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn is_exact(text: &str) -> bool {
    if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() {
        return true;
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
    digits.count() <= DIGITS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_found_outside_strings() {
        for (json, expected) in [
            (
                r#"{"a": [1, -2.5, 1e5, 9223372036854775807, 18446744073709551615, 0.000000000000000001]}"#,
                None,
            ),
            (r#"{"a": ["99999999999999999999", "\\\"99999999999999999999"]}"#, None),
            (r#"[99999999999999999999]"#, Some("99999999999999999999")),
            (r#"["\\", 0.1000000000000000055]"#, Some("0.1000000000000000055")),
            (r#"-12345678901234567.5"#, Some("-12345678901234567.5")),
            (r#"[1, "x"#, None),
            (r#""\"#, None),
        ] {
            assert_eq!(inexact_number(json), expected, "{json}");
        }
    }
}
