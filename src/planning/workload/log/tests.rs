//! Whole logs: what is counted, what is timed, what is kept.

use proptest::prelude::*;

use crate::model::profile::SampledValue;
use crate::model::profile::Workload;
use crate::planning::workload::log::Format;
use crate::planning::workload::log::LogReader;
use crate::planning::workload::log::collect::SAMPLES_MAX;
use crate::planning::workload::log::collect::STATEMENTS_MAX;
use crate::planning::workload::log::collect::VALUE_BYTES_MAX;
use crate::planning::workload::normal::normalise;

/// One line of a log.
#[derive(Debug, Clone)]
struct Line {
    second: u32,
    user: &'static str,
    database: &'static str,
    session: u32,
    severity: &'static str,
    message: String,
    detail: Option<String>,
    statement: Option<String>,
}

fn line(session: u32, message: &str) -> Line {
    Line {
        second: 0,
        user: "ann",
        database: "shop",
        session,
        severity: "LOG",
        message: message.to_owned(),
        detail: None,
        statement: None,
    }
}

fn with_detail(session: u32, message: &str, detail: &str) -> Line {
    Line { detail: Some(detail.to_owned()), ..line(session, message) }
}

fn error(session: u32, statement: Option<&str>) -> Line {
    Line { severity: "ERROR", statement: statement.map(str::to_owned), ..line(session, "division by zero") }
}

fn written(format: Format, lines: &[Line]) -> String {
    let mut text = String::new();
    for one in lines {
        let at = format!("2026-01-02 03:{:02}:{:02}.000 UTC", one.second / 60, one.second % 60);
        match format {
            Format::Csv => {
                let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
                let optional = |text: &Option<String>| text.as_deref().map(quoted).unwrap_or_default();
                text.push_str(&format!(
                    "{at},{},{},1,,{:x}.1,1,\"x\",{at},1/1,0,{},00000,{},{},,,,,{},,,\"psql\",\"client backend\",,0\n",
                    quoted(one.user),
                    quoted(one.database),
                    one.session,
                    one.severity,
                    quoted(&one.message),
                    optional(&one.detail),
                    optional(&one.statement)
                ));
            }
            Format::Json => {
                let mut object = serde_json::json!({
                    "timestamp": at, "user": one.user, "dbname": one.database, "pid": 1,
                    "session_id": format!("{:x}.1", one.session), "error_severity": one.severity, "message": one.message});
                if let Some(detail) = &one.detail {
                    object["detail"] = detail.as_str().into();
                }
                if let Some(statement) = &one.statement {
                    object["statement"] = statement.as_str().into();
                }
                text.push_str(&format!("{object}\n"));
            }
        }
    }
    text
}

fn read(format: Format, text: &[u8], piece: usize) -> (u64, Workload) {
    let mut reader = LogReader::new(format, "shop");
    for part in text.chunks(piece.max(1)) {
        reader.feed(part, &|| ());
    }
    reader.finish(&|| ());
    (reader.executions(), reader.workload())
}

/// The statements of a log, `calls text milliseconds`, in both formats.
fn check(lines: &[Line], expected: &[&str]) -> Workload {
    let mut last = Workload::default();
    for format in [Format::Csv, Format::Json] {
        let text = written(format, lines);
        let (executions, workload) = read(format, text.as_bytes(), 1000);
        let mut found: Vec<String> = workload
            .statements
            .iter()
            .map(|one| format!("{} {} {:.1}", one.calls, one.query, one.exec_ms))
            .collect();
        found.sort();
        assert_eq!(found, expected, "{format:?}");
        let calls: f64 = workload.statements.iter().map(|one| one.calls).sum();
        assert_eq!(executions as f64, calls);
        last = workload;
    }
    last
}

#[test]
fn an_execution_counts_once() {
    let workload = check(
        &[
            line(1, "duration: 1.000 ms  statement: SELECT 1"),
            line(1, "statement: SELECT 2"),
            line(1, "duration: 2.000 ms"),
            line(1, "duration: 5.000 ms"),
            line(2, "duration: 0.100 ms  parse s: SELECT $1 + 1"),
            line(2, "duration: 0.100 ms  bind s: SELECT $1 + 1"),
            line(2, "duration: 0.300 ms  execute s: SELECT $1 + 1"),
            line(2, "duration: 0.200 ms  execute fetch from s: SELECT $1 + 1"),
            line(2, "execute s/p: SELECT $1 + 1"),
            line(3, "statement: SELECT 3"),
            line(2, "duration: 0.500 ms"),
            line(3, "duration: 3.000 ms"),
        ],
        &["2 SELECT $1 + $2 1.0", "3 SELECT $1 6.0"],
    );
    assert_eq!(workload.source, "log");
    assert_eq!((workload.note, workload.seconds), (None, None));
}

#[test]
fn what_is_not_of_the_workload_is_left_out() {
    check(
        &[
            Line { database: "other", ..line(1, "statement: SELECT 1") },
            line(1, "statement: CREATE ROLE r PASSWORD 'x'"),
            line(1, "duration: 1.000 ms  statement: BEGIN"),
            line(1, "duration: 9.000 ms  plan:\nQuery Text: SELECT 9"),
            line(1, "connection authorized: user=ann"),
            line(
                1,
                "duration: 4.000 ms  statement: BEGIN; SELECT 'a' ; DELETE FROM t WHERE a = 'b;c'; COMMIT",
            ),
        ],
        &["1 DELETE FROM t WHERE a = $1 2.0", "1 SELECT $1 2.0"],
    );
}

#[test]
fn failed_statements_are_no_calls() {
    check(
        &[
            line(1, "statement: SELECT 1 / 0"),
            error(1, Some("SELECT 1 / 0")),
            line(1, "statement: SELECT 1 / 0"),
            error(1, None),
            line(1, "statement: SELECT 1 / 0"),
            error(1, Some("SELECT of another")),
            line(1, "statement: SELECT 5"),
            error(2, None),
            line(3, "duration: 1.000 ms"),
        ],
        &["1 SELECT $1 / $2 0.0", "1 SELECT $1 0.0"],
    );
}

#[test]
fn execute_counts_for_what_was_prepared() {
    let workload = check(
        &[
            line(
                1,
                "duration: 1.000 ms  statement: PREPARE p (int) AS SELECT * FROM t WHERE a = $1 AND b = 'x'",
            ),
            with_detail(
                1,
                "duration: 2.000 ms  statement: EXECUTE p(5)",
                "prepare: PREPARE p (int) AS SELECT * FROM t WHERE a = $1 AND b = 'x'",
            ),
        ],
        &["1 SELECT * FROM t WHERE a = $1 AND b = $2 2.0"],
    );
    let value = |text: &str| SampledValue::Value(text.to_owned());
    assert_eq!(workload.statements[0].samples, [[value("5"), value("x")]]);
}

#[test]
fn values_come_from_parameters_and_constants() {
    let value = |text: &str| SampledValue::Value(text.to_owned());
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let workload = check(
        &[
            with_detail(
                1,
                "duration: 1.000 ms  execute <unnamed>: SELECT a FROM t WHERE b = $1 AND c = 7",
                "parameters: $1 = 'it''s'",
            ),
            with_detail(
                1,
                "duration: 1.000 ms  execute <unnamed>: SELECT a FROM t WHERE b = $1 AND c = 7",
                "Parameters: $1 = NULL",
            ),
            with_detail(
                1,
                "duration: 1.000 ms  execute <unnamed>: SELECT a FROM t WHERE b = $1 AND c = 7",
                &format!("Parameters: $1 = '{long}'"),
            ),
            with_detail(
                1,
                "duration: 1.000 ms  execute <unnamed>: SELECT a FROM t WHERE b IN ($1, $2, $3)",
                "Parameters: $1 = '1', $2 = NULL, $3 = '3'",
            ),
            with_detail(
                1,
                "duration: 1.000 ms  execute <unnamed>: SELECT a FROM t WHERE b = $1",
                "Parameters: $1 = '1'",
            ),
            line(1, "duration: 1.000 ms  execute <unnamed>: SELECT a FROM t WHERE b = $1"),
            line(1, "duration: 1.000 ms  statement: SELECT a FROM t WHERE password = 'x'"),
            line(1, "duration: 1.000 ms  statement: SELECT connect('user=a password=b')"),
        ],
        &[
            "1 SELECT a FROM t WHERE b IN ($1, $2 /*, ... */) 1.0",
            "1 SELECT a FROM t WHERE password = $1 1.0",
            "1 SELECT connect($1) 1.0",
            "2 SELECT a FROM t WHERE b = $1 2.0",
            "3 SELECT a FROM t WHERE b = $1 AND c = $2 3.0",
        ],
    );
    let samples = |query: &str| {
        workload
            .statements
            .iter()
            .find(|one| one.query.ends_with(query))
            .map(|one| one.samples.clone())
            .unwrap_or_default()
    };
    assert_eq!(
        samples("AND c = $2"),
        [
            [value("it's"), value("7")],
            [SampledValue::Null, value("7")],
            [SampledValue::omitted(), value("7")]
        ]
    );
    let list = SampledValue::List(vec![Some("1".to_owned()), None, Some("3".to_owned())]);
    assert_eq!(samples("*/)"), [[list, SampledValue::Null, value("3")]]);
    assert_eq!(samples("t WHERE b = $1"), [[value("1")]]);
    assert!(samples("password = $1").is_empty() && samples("connect($1)").is_empty());
    let json = serde_json::to_value(&workload).unwrap();
    assert_eq!(serde_json::from_value::<Workload>(json).unwrap(), workload);
}

#[test]
fn samples_are_few_and_spread_over_the_log() {
    let lines: Vec<Line> =
        (0..1000).map(|n| line(1, &format!("duration: 1.000 ms  statement: SELECT {n}"))).collect();
    let workload = check(&lines, &["1000 SELECT $1 1000.0"]);
    let samples = &workload.statements[0].samples;
    assert_eq!(samples.len(), SAMPLES_MAX);
    let late = samples
        .iter()
        .filter(|row| matches!(&row[0], SampledValue::Value(n) if n.parse::<u32>().unwrap() >= 500));
    assert!((3..=17).contains(&late.count()), "{samples:?}");
}

#[test]
fn the_seconds_are_those_of_the_file_and_roles_are_apart() {
    let lines = [
        Line { database: "other", ..line(1, "connection received") },
        Line { second: 30, user: "bob", ..line(1, "statement: SELECT 1") },
        Line { second: 90, ..line(2, "statement: SELECT 1") },
    ];
    let workload = check(&lines, &["1 SELECT $1 0.0", "1 SELECT $1 0.0"]);
    assert_eq!(workload.seconds, Some(90.0));
    assert_eq!(workload.note.as_deref(), Some("the duration of 2 of 2 calls was not logged"));
    let mut roles: Vec<&str> = workload.statements.iter().map(|one| one.role.as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["ann", "bob"]);
}

#[test]
fn only_the_weightiest_statements_are_kept() {
    let rare = (0..2 * STATEMENTS_MAX + 100)
        .map(|n| line(1, &format!("duration: 0.010 ms  statement: SELECT a{n}")));
    let mut lines: Vec<Line> = rare.collect();
    lines.insert(0, line(1, "duration: 1000.000 ms  statement: SELECT slow"));
    for _ in 0..50 {
        lines.insert(20, line(1, "duration: 0.000 ms  statement: SELECT frequent"));
    }
    let (executions, workload) = read(Format::Csv, written(Format::Csv, &lines).as_bytes(), 10_000);
    assert_eq!(executions, 2 * STATEMENTS_MAX as u64 + 151);
    assert_eq!(workload.statements.len(), STATEMENTS_MAX);
    let has = |text: &str| workload.statements.iter().any(|one| one.query == text);
    assert!(has("SELECT slow") && has("SELECT frequent"));
    let note = workload.note.unwrap();
    assert!(note.contains("rare statements are left out: 5102 of 10151 calls"), "{note}");
}

#[test]
fn damage_is_counted_and_said() {
    let good = written(Format::Csv, &[line(1, "duration: 1.000 ms  statement: SELECT 1")]);
    let text = format!("rest of a record\",,\n{good}noise\n{good}{}", &good[..60]);
    let (executions, workload) = read(Format::Csv, text.as_bytes(), 7);
    assert_eq!(executions, 2);
    assert_eq!(workload.note.as_deref(), Some("3 pieces of the file are no records of a log"));
    let mut bytes = good.clone().into_bytes();
    let at = good.find("SELECT").unwrap();
    bytes[at] = 0xff;
    let (executions, workload) = read(Format::Csv, &bytes, 1000);
    assert_eq!(executions, 0);
    assert!(workload.note.unwrap().contains("1 records that are not UTF-8"));
    let (executions, workload) = read(Format::Json, b"", 1);
    assert_eq!(
        (executions, workload.note.as_deref()),
        (0, Some("the log holds no statement of database \"shop\""))
    );
}

fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("SELECT".to_owned()),
        Just("FROM".to_owned()),
        Just("IN (".to_owned()),
        Just("(".to_owned()),
        Just(")".to_owned()),
        Just(",".to_owned()),
        Just("ORDER BY".to_owned()),
        Just("GROUP BY".to_owned()),
        Just("ARRAY[".to_owned()),
        Just("]".to_owned()),
        Just("::".to_owned()),
        Just("NULL".to_owned()),
        Just("IS".to_owned()),
        Just("true".to_owned()),
        Just("-".to_owned()),
        Just("/* c */".to_owned()),
        Just("-- c\n".to_owned()),
        Just(";".to_owned()),
        Just("'it''s'".to_owned()),
        Just("E'\\''".to_owned()),
        Just("$$x$$".to_owned()),
        Just("$1".to_owned()),
        Just("$7".to_owned()),
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("$".to_owned()),
        "[a-z]{1,3}",
        "[0-9]{1,4}(\\.[0-9]{1,2})?",
        "[ \n]{1,2}",
        "\\PC{1,3}",
    ];
    proptest::collection::vec(word, 0..30).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn normalising_again_changes_nothing(text in words()) {
        let once = normalise(&text);
        let twice = normalise(&once.text);
        prop_assert_eq!(&twice.text, &once.text);
        prop_assert_eq!(twice.key, once.key);
        prop_assert_eq!(twice.parameters, once.parameters);
    }

    #[test]
    fn as_many_parameters_as_constants(values in proptest::collection::vec("[a-z0-9' ]{0,8}", 1..20)) {
        let quoted: Vec<String> = values.iter().map(|value| format!("f('{}')", value.replace('\'', "''"))).collect();
        let normal = normalise(&format!("SELECT {}", quoted.join(", ")));
        prop_assert_eq!(normal.parameters as usize, values.len());
        prop_assert_eq!(normal.constants.len(), values.len());
        let expected: Vec<String> = (1..=values.len()).map(|n| format!("f(${n})")).collect();
        prop_assert_eq!(normal.text, format!("SELECT {}", expected.join(", ")));
    }

    /// Whatever is in the texts, and however the file is cut into pieces.
    #[test]
    fn texts_come_through_both_formats(
        texts in proptest::collection::vec("[ -~\n\t\"',äß]{0,40}", 1..8),
        piece in 1_usize..300,
    ) {
        let lines: Vec<Line> = texts.iter().map(|text| {
            line(1, &format!("duration: 1.000 ms  statement: SELECT '{}'", text.replace('\'', "''")))
        }).collect();
        for format in [Format::Csv, Format::Json] {
            let (executions, workload) = read(format, written(format, &lines).as_bytes(), piece);
            prop_assert_eq!(executions as usize, texts.len());
            prop_assert_eq!(workload.statements.len(), 1);
            prop_assert_eq!(&workload.statements[0].query, "SELECT $1");
        }
    }

    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..300) {
        for format in [Format::Csv, Format::Json] {
            let (executions, _) = read(format, &bytes, piece);
            prop_assert_eq!(executions, 0);
        }
    }

    /// A log that lost a piece in its middle goes on at the next record.
    #[test]
    fn a_lost_piece_costs_its_neighbours_only(from in 0_usize..3000, length in 1_usize..400, piece in 1_usize..500) {
        let lines: Vec<Line> = (0..30).map(|n| line(1, &format!("duration: 1.000 ms  statement: SELECT\n '{n}\n\"x\"'"))).collect();
        let mut text = written(Format::Csv, &lines).into_bytes();
        let lost = from.min(text.len())..(from + length).min(text.len());
        let touched = length / (text.len() / 30) + 3;
        text.drain(lost);
        let (executions, _) = read(Format::Csv, &text, piece);
        prop_assert!(executions as usize + touched >= 30, "{executions}");
    }
}
