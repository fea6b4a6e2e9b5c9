//! What a message of the log says of a statement.
//!
//! The texts are those of PostgreSQL 15 to 18 in English (`lc_messages`). A
//! statement is told when it begins (`log_statement`) or when it has ended
//! (`log_min_duration_statement`), with its duration; one that was told when
//! it began is followed by a duration without a text.

use crate::model::profile::SampledValue;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said<'a> {
    /// A statement runs, or ran for so many milliseconds.
    Statement {
        text: &'a str,
        ms: Option<f64>,
        step: Step,
    },
    /// Whatever was told last took so many milliseconds.
    Duration(f64),
    Nothing,
}

/// How a statement came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// By itself, perhaps several in one text.
    Simple,
    /// Prepared; its parameters are in the detail.
    Execute,
    /// Further rows of one that was executed before.
    Fetch,
}

/// Longest duration that is believed, 31 years: a damaged number must not
/// outweigh everything else, nor sums leave what a profile may hold.
const MS_MAX: f64 = 1e12;

/// Reads a message.
#[must_use]
pub fn said(message: &str) -> Said<'_> {
    let Some(rest) = message.strip_prefix("duration: ") else {
        return statement(message, None);
    };
    let Some((number, rest)) = rest.split_once(" ms") else { return Said::Nothing };
    let Some(ms) = number.parse::<f64>().ok().filter(|ms| (0.0..=MS_MAX).contains(ms)) else {
        return Said::Nothing;
    };
    match rest.strip_prefix("  ") {
        Some(rest) => statement(rest, Some(ms)),
        None if rest.is_empty() => Said::Duration(ms),
        None => Said::Nothing,
    }
}

fn statement(message: &str, ms: Option<f64>) -> Said<'_> {
    if let Some(text) = message.strip_prefix("statement: ") {
        return Said::Statement { text, ms, step: Step::Simple };
    }
    // Parsing and binding are told too; they are no executions.
    let Some(rest) = message.strip_prefix("execute ") else { return Said::Nothing };
    let (rest, step) = match rest.strip_prefix("fetch from ") {
        Some(rest) => (rest, Step::Fetch),
        None => (rest, Step::Execute),
    };
    match rest.split_once(": ") {
        Some((_, text)) => Said::Statement { text, ms, step },
        None => Said::Nothing,
    }
}

/// The text behind a detail `prepare: …`, which an EXECUTE brings along.
#[must_use]
pub fn prepared(detail: &str) -> Option<&str> {
    detail.strip_prefix("prepare: ")
}

/// The values in a detail `Parameters: $1 = 'a', $2 = NULL`; what is not as
/// expected ends the list. A value that was cut (`log_parameter_max_length`)
/// ends in three dots, and is omitted.
#[must_use]
pub fn parameters(detail: &str) -> Vec<(u32, SampledValue)> {
    let mut values = Vec::new();
    let Some(mut rest) = detail.strip_prefix("Parameters: ").or_else(|| detail.strip_prefix("parameters: "))
    else {
        return values;
    };
    while let Some((number, value, after)) = parameter(rest) {
        values.push((number, value));
        match after.strip_prefix(", ") {
            Some(next) => rest = next,
            None => break,
        }
    }
    values
}

/// One `$1 = 'a'`, and what follows it.
fn parameter(text: &str) -> Option<(u32, SampledValue, &str)> {
    let (number, rest) = text.strip_prefix('$')?.split_once(" = ")?;
    let number = number.parse().ok()?;
    if let Some(rest) = rest.strip_prefix("NULL") {
        return Some((number, SampledValue::Null, rest));
    }
    let rest = rest.strip_prefix('\'')?;
    let mut value = String::new();
    let mut from = 0;
    loop {
        let quote = from + rest[from..].find('\'')?;
        value.push_str(&rest[from..quote]);
        if !rest[quote + 1..].starts_with('\'') {
            let value =
                if value.ends_with("...") { SampledValue::omitted() } else { SampledValue::Value(value) };
            return Some((number, value, &rest[quote + 1..]));
        }
        value.push('\'');
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_understood() {
        let statement = |text, ms, step| Said::Statement { text, ms, step };
        for (message, expected) in [
            ("statement: SELECT 1", statement("SELECT 1", None, Step::Simple)),
            ("duration: 12.345 ms", Said::Duration(12.345)),
            ("duration: 0.034 ms  statement: SELECT\n 1", statement("SELECT\n 1", Some(0.034), Step::Simple)),
            ("execute <unnamed>: SELECT $1", statement("SELECT $1", None, Step::Execute)),
            (
                "duration: 1.000 ms  execute S_1/C_2: SELECT ': '",
                statement("SELECT ': '", Some(1.0), Step::Execute),
            ),
            (
                "duration: 1.000 ms  execute fetch from S/P: SELECT",
                statement("SELECT", Some(1.0), Step::Fetch),
            ),
            ("execute fetch from S: SELECT", statement("SELECT", None, Step::Fetch)),
            ("duration: 1.000 ms  parse S_1: SELECT $1", Said::Nothing),
            ("duration: 1e300 ms  statement: SELECT 1", Said::Nothing),
            ("duration: -1.000 ms  statement: SELECT 1", Said::Nothing),
            ("duration: NaN ms", Said::Nothing),
            ("duration: 1.000 ms  bind S_1: SELECT $1", Said::Nothing),
            ("duration: 1.000 ms  plan:\nQuery Text: SELECT 1", Said::Nothing),
            ("duration: 1.000 ms  fastpath function call: \"f\" (OID 1)", Said::Nothing),
            ("duration: x ms", Said::Nothing),
            ("duration: -1 ms", Said::Nothing),
            ("duration: NaN ms", Said::Nothing),
            ("duration: 1 msec", Said::Nothing),
            ("execute", Said::Nothing),
            ("execute without colon", Said::Nothing),
            ("connection received: host=[local]", Said::Nothing),
            ("", Said::Nothing),
        ] {
            assert_eq!(said(message), expected, "{message}");
        }
    }

    #[test]
    fn parameters_are_read() {
        let value = |text: &str| SampledValue::Value(text.to_owned());
        for detail in
            ["parameters: $1 = 'it''s', $2 = NULL, $3 = ''", "Parameters: $1 = 'it''s', $2 = NULL, $3 = ''"]
        {
            assert_eq!(parameters(detail), [(1, value("it's")), (2, SampledValue::Null), (3, value(""))]);
        }
        assert_eq!(
            parameters("Parameters: $1 = 'a, $2 = ''b'', $3', $2 = '5'"),
            [(1, value("a, $2 = 'b', $3")), (2, value("5"))]
        );
        assert_eq!(
            parameters("Parameters: $1 = 'abc...', $2 = '5'"),
            [(1, SampledValue::omitted()), (2, value("5"))]
        );
        for detail in [
            "",
            "prepare: PREPARE p AS SELECT 1",
            "Parameters: ",
            "Parameters: $1 = 'open",
            "Parameters: $x = 'a'",
            "Parameters: $1",
        ] {
            assert_eq!(parameters(detail), [], "{detail}");
        }
        assert_eq!(prepared("prepare: PREPARE p AS SELECT 1"), Some("PREPARE p AS SELECT 1"));
    }
}
