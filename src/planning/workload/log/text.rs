//! Texts of statements: which of their parts count, and what EXECUTE runs.

use crate::model::profile::SampledValue;
use crate::planning::workload::normal::Constant;
use crate::planning::workload::normal::normalise;
use crate::planning::workload::token::Kind;
use crate::planning::workload::token::Token;
use crate::planning::workload::token::tokens;

/// First words of the statements that are part of a workload.
const QUERIES: &[&str] = &["select", "insert", "update", "delete", "merge", "with", "values", "table"];

/// Words that make a text one with a secret in it: its values are not kept.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "crypt",
    "dblink",
    "api_key",
    "apikey",
];

/// What a text runs that is part of a workload.
#[must_use]
pub fn queries(text: &str) -> Vec<&str> {
    parts(text).into_iter().filter(|part| is_query(part)).collect()
}

/// The statements of a text, without the semicolons between them.
#[must_use]
pub fn parts(text: &str) -> Vec<&str> {
    if memchr::memchr(b';', text.as_bytes()).is_none() {
        return vec![text];
    }
    let mut found = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    let mut before: Option<Token<'_>> = None;
    for token in tokens(text) {
        if token.kind == Kind::Sign {
            match token.text {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => {
                    found.push(&text[start..token.start]);
                    start = token.end();
                }
                _ => {}
            }
        }
        // The body of a function holds statements of its own.
        if token.is_word("atomic") && before.is_some_and(|before| before.is_word("begin")) {
            break;
        }
        before = Some(token);
    }
    found.push(&text[start..]);
    found
}

/// Whether a text is a query that a workload takes; utility statements may
/// hold passwords.
fn is_query(text: &str) -> bool {
    // A long text is not cut into tokens for its first word alone.
    const HEAD_BYTES: usize = 100;
    let end = (0..=HEAD_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let verdict = |head: &str| {
        let first = tokens(head).into_iter().find(|token| !token.is_sign("("))?;
        let whole = first.end() < head.len() || head.len() == text.len();
        whole.then(|| QUERIES.iter().any(|word| first.is_word(word)))
    };
    verdict(&text[..end]).or_else(|| verdict(text)).unwrap_or(false)
}

/// Whether values of a statement had better not be kept.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SECRETS.iter().any(|word| lower.contains(word))
}

/// What `PREPARE name (types) AS query` prepares.
#[must_use]
pub fn prepared_query(text: &str) -> Option<&str> {
    // The server shows the whole text that the client sent.
    let statement = parts(text).into_iter().find(|part| starts_with(part, "prepare"))?;
    let mut depth = 0_usize;
    for token in tokens(statement) {
        match token.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is_word("as") => return Some(&statement[token.end()..]),
            _ => {}
        }
    }
    None
}

fn starts_with(text: &str, word: &str) -> bool {
    tokens(text).first().is_some_and(|token| token.is_word(word))
}

/// The arguments of `EXECUTE name (…)`, by position; those that are no
/// constants are left out. None if the text is another statement.
#[must_use]
pub fn arguments(text: &str) -> Option<Vec<(u32, SampledValue)>> {
    let tokens = tokens(text);
    if !tokens.first()?.is_word("execute") {
        return None;
    }
    let mut found = Vec::new();
    let Some(open) = tokens.get(2).filter(|token| token.is_sign("(")) else { return Some(found) };
    let (mut number, mut depth, mut start) = (1, 0_usize, open.end());
    for token in &tokens[3..] {
        match (token.kind, token.text) {
            (Kind::Sign, "(" | "[") => depth += 1,
            (Kind::Sign, ")" | "]") if depth > 0 => depth -= 1,
            (Kind::Sign, "," | ")") if depth == 0 => {
                if let Some(value) = constant(&text[start..token.start]) {
                    found.push((number, value));
                }
                if token.text == ")" {
                    break;
                }
                number += 1;
                start = token.end();
            }
            _ => {}
        }
    }
    Some(found)
}

/// The value of a text that is nothing but a constant.
fn constant(text: &str) -> Option<SampledValue> {
    let normal = normalise(text);
    match &normal.constants[..] {
        [(1, Constant::Value(value))] if normal.text == "$1" => Some(value.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_into_their_queries() {
        for (text, expected) in [
            ("SELECT 1", vec!["SELECT 1"]),
            ("SELECT 1;", vec!["SELECT 1"]),
            ("SELECT ';'; -- ;\nBEGIN; (SELECT 2)", vec!["SELECT ';'", " (SELECT 2)"]),
            ("/* a */ with x as (select 1) select 2", vec!["/* a */ with x as (select 1) select 2"]),
            ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", vec![]),
            ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3", vec![]),
            ("CREATE ROLE r PASSWORD 'x'; VALUES (1)", vec![" VALUES (1)"]),
            ("selection", vec![]),
            ("VACUUM t", vec![]),
            ("", vec![]),
            (";;;", vec![]),
        ] {
            assert_eq!(queries(text), expected, "{text}");
        }
    }

    #[test]
    fn the_first_word_counts_wherever_it_is() {
        for before in [0, 90, 91, 94, 95, 96, 99, 100, 101, 3000] {
            let comment = format!("/*{}*/", "x".repeat(before));
            assert!(is_query(&format!("{comment}SELECT 1")), "{before}");
            assert!(is_query(&format!("{comment}(select")), "{before}");
            assert!(!is_query(&format!("{comment}SELECTION 1")), "{before}");
            assert!(!is_query(&format!("{comment}VACUUM t")), "{before}");
        }
    }

    #[test]
    fn what_execute_runs_is_found() {
        assert_eq!(prepared_query("PREPARE p AS SELECT 1"), Some(" SELECT 1"));
        assert_eq!(
            prepared_query("prepare \"a as\" (int, numeric(3,1)) as select $1 as x"),
            Some(" select $1 as x")
        );
        assert_eq!(prepared_query("BEGIN; PREPARE p AS SELECT 1; SELECT 2"), Some(" SELECT 1"));
        assert_eq!(prepared_query("SELECT 1 AS x"), None);
        let value = |text: &str| SampledValue::Value(text.to_owned());
        assert_eq!(
            arguments("EXECUTE p(1, 'a,b', f(2, 3), NULL, -5)"),
            Some(vec![(1, value("1")), (2, value("a,b")), (4, SampledValue::Null), (5, value("-5"))])
        );
        assert_eq!(arguments("EXECUTE p"), Some(vec![]));
        assert_eq!(arguments("EXECUTE p("), Some(vec![]));
        assert_eq!(arguments("SELECT p(1)"), None);
    }

    #[test]
    fn secrets_are_noticed() {
        assert!(is_secret("UPDATE users SET Password_Hash = $1"));
        assert!(is_secret("SELECT pgp_sym_encrypt($1, $2)"));
        assert!(!is_secret("SELECT * FROM orders WHERE id = $1"));
    }
}
