//! Statements that somebody says will run, with their rates.
//!
//! ```text
//! JSON ─→ Declared (rates) ─┐
//!            observed calls ┴→ one Workload: calls and time in the same seconds
//! ```
//!
//! What was observed are calls in some seconds, what is declared are calls per
//! second. Together they are told in the seconds of what was observed; where
//! those are not known they are supposed to be [`SECONDS_SUPPOSED`], as
//! everywhere. A mean that is missing is that of the calls whose time is known,
//! also for observed calls if none of them was timed.

use serde_json::Value;
use thiserror::Error;

use crate::model::profile::Statement;
use crate::model::profile::Workload;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::planning::workload::normal::Fnv;

/// Most statements of one declaration, and the longest text of one.
const STATEMENTS_MAX: usize = 10_000;
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Highest rate and mean: beyond them sums lose their meaning.
const RATE_MAX: f64 = 1e9;
const MEAN_MS_MAX: f64 = 1e9;

/// Seconds that statements were counted where nothing says how long: a day.
pub const SECONDS_SUPPOSED: f64 = 86_400.0;

/// The source that a workload names that has nothing but declared statements.
pub const SOURCE: &str = "declared";

/// A statement with its rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    pub sql: String,
    pub calls_per_second: f64,
    pub mean_ms: Option<f64>,
    /// Rows returned or affected by a call.
    pub rows: Option<f64>,
    /// The role whose search_path applies; empty = the database's.
    pub role: String,
}

/// A list that cannot be taken.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum DeclaredError {
    #[error("declared statements are not a list")]
    NotAList,
    #[error("too many declared statements")]
    TooMany(usize),
    #[error("declared statement {0} is not valid")]
    Invalid(usize, String),
    /// Position in the list, what the server says, and where in the text.
    #[error("declared statement {position} does not parse")]
    Syntax { position: usize, message: String, at: Option<usize> },
    #[error("declared statement {0} is not a query")]
    NotAQuery(usize, String),
}

impl Report for DeclaredError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::NotAList | Self::Invalid(..) => SqlState::InvalidParameterValue,
            Self::TooMany(_) => SqlState::ProgramLimitExceeded,
            Self::Syntax { .. } => SqlState::SyntaxError,
            Self::NotAQuery(..) => SqlState::FeatureNotSupported,
        }
    }
    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NotAList => "The value must be a JSON array of objects.".to_owned(),
            Self::TooMany(count) => format!("There are {count}; the limit is {STATEMENTS_MAX}."),
            Self::Invalid(_, what) => what.clone(),
            Self::Syntax { message, at: Some(at), .. } => {
                format!("PostgreSQL says at character {at}: {message}.")
            }
            Self::Syntax { message, at: None, .. } => format!("PostgreSQL says: {message}."),
            Self::NotAQuery(_, what) => what.clone(),
        })
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { .. } => {
                "Parameters are written $1, $2; constants may stand as they are.".to_owned()
            }
            Self::NotAQuery(..) => {
                "Declare SELECT, INSERT, UPDATE, DELETE, MERGE or VALUES, one statement in each entry."
                    .to_owned()
            }
            Self::TooMany(_) => "Declare the statements that take most of the time.".to_owned(),
            Self::NotAList | Self::Invalid(..) => {
                "Write [{\"sql\": \"SELECT 1\", \"calls_per_second\": 12.5, \"mean_ms\": 3}].".to_owned()
            }
        })
    }
}

/// Reads a list of declared statements; positions in errors begin with 1.
///
/// # Errors
/// [`DeclaredError`] for the first entry that is not as it should be. Whether
/// the texts parse is not looked at.
pub fn read(value: &Value) -> Result<Vec<Declared>, DeclaredError> {
    let entries = value.as_array().ok_or(DeclaredError::NotAList)?;
    if entries.len() > STATEMENTS_MAX {
        return Err(DeclaredError::TooMany(entries.len()));
    }
    let numbered = entries.iter().enumerate();
    numbered.map(|(at, entry)| read_one(entry).map_err(|what| DeclaredError::Invalid(at + 1, what))).collect()
}

fn read_one(entry: &Value) -> Result<Declared, String> {
    let object = entry.as_object().ok_or("It is not a JSON object.")?;
    const KEYS: [&str; 5] = ["sql", "calls_per_second", "mean_ms", "rows", "role"];
    if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("{} is not known; known are {}.", shown(key), KEYS.map(shown).join(", ")));
    }
    let text = |key: &str| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{} is not a text.", shown(key))),
    };
    let number = |key: &str, most: f64| match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|number| (0.0..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("{} is not a number from 0 to {most}.", shown(key))),
        },
    };
    let sql = text("sql")?.filter(|sql| !sql.trim().is_empty()).ok_or("\"sql\" is missing.")?;
    if sql.len() > TEXT_BYTES_MAX {
        return Err(format!("\"sql\" is longer than {TEXT_BYTES_MAX} bytes."));
    }
    Ok(Declared {
        sql,
        calls_per_second: number("calls_per_second", RATE_MAX)?.ok_or("\"calls_per_second\" is missing.")?,
        mean_ms: number("mean_ms", MEAN_MS_MAX)?,
        rows: number("rows", f64::from(u32::MAX))?,
        role: text("role")?.unwrap_or_default(),
    })
}

/// A key as it stands in JSON, not longer than it takes to know it.
fn shown(key: &str) -> String {
    const LETTERS_MAX: usize = 40;
    let cut: String = key.chars().take(LETTERS_MAX).collect();
    Value::String(cut).to_string()
}

/// Puts declared statements beside the observed ones.
pub fn join(workload: &mut Workload, declared: &[Declared]) {
    if declared.is_empty() {
        return;
    }
    if workload.statements.is_empty() {
        // Nothing was observed, so the seconds are ours to choose.
        workload.source = SOURCE.to_owned();
        workload.note = None;
        workload.seconds = Some(SECONDS_SUPPOSED);
    }
    let seconds = workload.seconds.filter(|seconds| *seconds > 0.0).unwrap_or(SECONDS_SUPPOSED);
    let mean = mean_ms(workload, declared, seconds);
    if workload.statements.iter().all(|one| one.exec_ms <= 0.0) {
        // Nobody timed them; without time they would weigh nothing.
        for one in &mut workload.statements {
            one.exec_ms = one.calls * mean;
        }
    }
    workload.statements.extend(declared.iter().map(|one| {
        let calls = one.calls_per_second * seconds;
        let mut hash = Fnv::default();
        hash.word(&one.role);
        hash.word(&one.sql);
        Statement {
            queryid: hash.value().cast_signed(),
            query: one.sql.clone(),
            role: one.role.clone(),
            calls,
            exec_ms: calls * one.mean_ms.unwrap_or(mean),
            rows: calls * one.rows.unwrap_or(0.0),
            samples: Vec::new(),
        }
    }));
}

/// Milliseconds of a call, of those whose time is known; 0 if there is none,
/// and then calls weigh instead of time.
fn mean_ms(workload: &Workload, declared: &[Declared], seconds: f64) -> f64 {
    let observed =
        workload.statements.iter().filter(|one| one.exec_ms > 0.0).map(|one| (one.calls, one.exec_ms));
    let stated = declared.iter().filter_map(|one| {
        let calls = one.calls_per_second * seconds;
        Some((calls, calls * one.mean_ms?))
    });
    let (calls, ms) = observed.chain(stated).fold((0.0, 0.0), |(calls, ms), (c, m)| (calls + c, ms + m));
    if calls > 0.0 { ms / calls } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(value: &Value) -> String {
        let error = read(value).unwrap_err();
        format!("{} {error}: {}", error.sqlstate().code(), error.detail().unwrap_or_default())
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(read(&json!([])), Ok(Vec::new()));
        let all = read(&json!([
            {"sql": "SELECT 1", "calls_per_second": 12.5, "mean_ms": 3, "rows": 2, "role": "app"},
            {"calls_per_second": 0, "sql": "SELECT 1", "mean_ms": null}
        ]))
        .unwrap();
        assert_eq!(all[0].mean_ms, Some(3.0));
        assert_eq!((all[0].rows, all[0].role.as_str()), (Some(2.0), "app"));
        assert_eq!((all[1].calls_per_second, all[1].mean_ms, all[1].role.as_str()), (0.0, None, ""));
    }

    #[test]
    fn other_values_are_refused_with_their_position() {
        for (value, expected) in [
            (
                json!({}),
                "22023 declared statements are not a list: The value must be a JSON array of objects.",
            ),
            (
                json!(null),
                "22023 declared statements are not a list: The value must be a JSON array of objects.",
            ),
            (json!([1]), "22023 declared statement 1 is not valid: It is not a JSON object."),
            (
                json!([{"sql": "x", "calls_per_second": 1}, {}]),
                "22023 declared statement 2 is not valid: \"sql\" is missing.",
            ),
            (
                json!([{"sql": " ", "calls_per_second": 1}]),
                "22023 declared statement 1 is not valid: \"sql\" is missing.",
            ),
            (
                json!([{"sql": 1, "calls_per_second": 1}]),
                "22023 declared statement 1 is not valid: \"sql\" is not a text.",
            ),
            (
                json!([{"sql": "x"}]),
                "22023 declared statement 1 is not valid: \"calls_per_second\" is missing.",
            ),
            (
                json!([{"sql": "x", "calls_per_second": -1}]),
                "22023 declared statement 1 is not valid: \"calls_per_second\" is not a number from 0 to 1000000000.",
            ),
            (
                json!([{"sql": "x", "calls_per_second": 1e300}]),
                "22023 declared statement 1 is not valid: \"calls_per_second\" is not a number from 0 to 1000000000.",
            ),
            (
                json!([{"sql": "x", "calls_per_second": "1"}]),
                "22023 declared statement 1 is not valid: \"calls_per_second\" is not a number from 0 to 1000000000.",
            ),
            (
                json!([{"sql": "x", "calls_per_second": 1, "mean_ms": -0.5}]),
                "22023 declared statement 1 is not valid: \"mean_ms\" is not a number from 0 to 1000000000.",
            ),
            (
                json!([{"sql": "x", "calls_per_second": 1, "Mean": 1}]),
                "22023 declared statement 1 is not valid: \"Mean\" is not known; known are \"sql\", \"calls_per_second\", \"mean_ms\", \"rows\", \"role\".",
            ),
        ] {
            assert_eq!(refused(&value), expected);
        }
        assert!(read(&Value::Array(vec![Value::Null; STATEMENTS_MAX + 1])).is_err());
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(read(&json!([{"sql": long, "calls_per_second": 1}])).is_err());
    }

    fn one(rate: f64, mean_ms: Option<f64>) -> Declared {
        Declared {
            sql: "SELECT 1".to_owned(),
            calls_per_second: rate,
            mean_ms,
            rows: None,
            role: String::new(),
        }
    }

    fn observed(seconds: Option<f64>, statements: &[(f64, f64)]) -> Workload {
        let statements = statements.iter().map(|(calls, exec_ms)| Statement {
            queryid: 1,
            query: "SELECT 2".to_owned(),
            role: String::new(),
            calls: *calls,
            exec_ms: *exec_ms,
            rows: 0.0,
            samples: Vec::new(),
        });
        let statements = statements.collect();
        Workload { source: "pg_stat_statements".to_owned(), seconds, statements, ..Workload::default() }
    }

    /// Seconds, and calls and milliseconds of each statement.
    fn joined(workload: &Workload, declared: &[Declared]) -> (Option<f64>, Vec<(f64, f64)>) {
        let mut workload = workload.clone();
        join(&mut workload, declared);
        (workload.seconds, workload.statements.iter().map(|one| (one.calls, one.exec_ms)).collect())
    }

    #[test]
    fn rates_become_calls_in_the_seconds_observed() {
        let declared = [one(2.0, Some(5.0)), one(1.0, None)];
        // Mean of what is known: (100 + 1000) ms of (10 + 200) calls.
        let (seconds, all) = joined(&observed(Some(100.0), &[(10.0, 100.0)]), &declared);
        assert_eq!(seconds, Some(100.0));
        assert_eq!(&all[..2], [(10.0, 100.0), (200.0, 1000.0)]);
        assert_eq!(all[2].0, 100.0);
        assert!((all[2].1 - 100.0 * 1100.0 / 210.0).abs() < 1e-9);
    }

    #[test]
    fn unknown_seconds_are_supposed_and_stay_unknown() {
        let (seconds, all) = joined(&observed(None, &[(86_400.0, 86_400.0)]), &[one(1.0, Some(1.0))]);
        assert_eq!((seconds, all), (None, vec![(86_400.0, 86_400.0), (86_400.0, 86_400.0)]));
    }

    #[test]
    fn calls_that_nobody_timed_take_the_mean() {
        let (_, all) = joined(&observed(Some(10.0), &[(30.0, 0.0)]), &[one(1.0, Some(2.0)), one(1.0, None)]);
        assert_eq!(all, [(30.0, 60.0), (10.0, 20.0), (10.0, 20.0)]);
        let (_, all) = joined(&observed(Some(10.0), &[(30.0, 0.0)]), &[one(1.0, None)]);
        assert_eq!(all, [(30.0, 0.0), (10.0, 0.0)]);
    }

    #[test]
    fn declared_alone_have_their_own_rates() {
        let (seconds, all) = joined(&observed(None, &[]), &[one(2.0, None), one(0.0, None)]);
        assert_eq!((seconds, all), (Some(86_400.0), vec![(172_800.0, 0.0), (0.0, 0.0)]));
        let before = observed(Some(5.0), &[(1.0, 1.0)]);
        let mut after = before.clone();
        join(&mut after, &[]);
        assert_eq!(after, before);
    }
}
