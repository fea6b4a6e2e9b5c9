//! Proposals made by hand.

use serde_json::Value;
use serde_json::json;

use crate::model::key::Strategy;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::TableKind;
use crate::model::profile::TypeName;
use crate::model::report::Report;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::ProposalError;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::by_hand;
use crate::planning::proposal::tests::fixture::*;

pub fn hand(
    fixture: &Fixture,
    table: &str,
    strategy: Strategy,
    key: &[&str],
    bounds: &Value,
) -> Result<RelationProposal, ProposalError> {
    let key: Vec<String> = key.iter().map(|column| (*column).to_owned()).collect();
    by_hand(&fixture.input(), &name(table), strategy, &key, bounds)
}

/// The bounds of all shards, joined.
#[track_caller]
fn laid(strategy: Strategy, key: &[&str], bounds: &Value, expected: &[&str]) -> RelationProposal {
    let found = hand(&events(200.0), "events", strategy, key, bounds).unwrap();
    let shards = found.layout.as_ref().unwrap().shards();
    let bounds: Vec<_> = shards.iter().map(|shard| shard.bound.sql()).collect();
    assert_eq!(bounds, expected);
    found
}

/// SQLSTATE, and a part of message, detail and hint together.
#[track_caller]
pub fn refused(fixture: &Fixture, strategy: Strategy, key: &[&str], bounds: &Value, code: &str, part: &str) {
    let error = hand(fixture, "events", strategy, key, bounds).unwrap_err();
    let told = format!("{error} {} {}", error.detail().unwrap_or_default(), error.hint().unwrap_or_default());
    assert_eq!(error.sqlstate().code(), code, "{told}");
    assert!(told.contains(part), "{told}");
}

#[test]
fn every_form_of_bounds_is_laid_out() {
    let found = laid(
        Strategy::Hash,
        &["tenant"],
        &json!({"modulus": 2}),
        &["FOR VALUES WITH (modulus 2, remainder 0)", "FOR VALUES WITH (modulus 2, remainder 1)"],
    );
    assert_eq!(found.layout.unwrap().shards()[0].name, "events_s0001");
    laid(
        Strategy::Range,
        &["id"],
        &json!({"split_points": ["10", 20]}),
        &[
            "FOR VALUES FROM (MINVALUE) TO ('10')",
            "FOR VALUES FROM ('10') TO ('20')",
            "FOR VALUES FROM ('20') TO (MAXVALUE)",
            "DEFAULT",
        ],
    );
    laid(
        Strategy::Range,
        &["tenant", "id"],
        &json!({"split_points": [["1", "5"]], "default": true}),
        &[
            "FOR VALUES FROM (MINVALUE, MINVALUE) TO ('1', '5')",
            "FOR VALUES FROM ('1', '5') TO (MAXVALUE, MAXVALUE)",
            "DEFAULT",
        ],
    );
    laid(
        Strategy::Range,
        &["ts"],
        &json!({"interval": "1 quarter", "from": "2025-10-01", "to": "2026-02-01"}),
        &[
            "FOR VALUES FROM ('2025-10-01 00:00:00+00') TO ('2026-01-01 00:00:00+00')",
            "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-04-01 00:00:00+00')",
            "DEFAULT",
        ],
    );
    laid(
        Strategy::List,
        &["body"],
        &json!({"lists": [["a", null], ["b"]], "default": false}),
        &["FOR VALUES IN ('a', NULL)", "FOR VALUES IN ('b')"],
    );
    laid(Strategy::List, &["tenant"], &json!({"lists": [["42"]]}), &["FOR VALUES IN ('42')", "DEFAULT"]);
}

#[test]
fn rows_are_shared_by_what_is_known() {
    let found = hand(
        &events(200.0),
        "events",
        Strategy::Range,
        &["ts"],
        &json!({"split_points": ["2025-07-01 00:00:00+00"]}),
    )
    .unwrap();
    let rows: Vec<f64> = found.layout.unwrap().shards().iter().map(|shard| shard.rows).collect();
    let total = 200.0 * GB / 100.0;
    assert!((rows[0] / total - 181.0 / 379.0).abs() < 1e-6, "{rows:?}");
    assert!((rows[0] + rows[1] - 1.1 * total).abs() < 2.0, "{rows:?}");
    let known = events(200.0).edit("events", |table| {
        table.columns[2].statistics = Some(ColumnStatistics {
            distinct: 12.0,
            null_fraction: 0.1,
            common_values: vec!["7".to_owned(), "8".to_owned()],
            common_fractions: vec![0.4, 0.2],
            ..ColumnStatistics::default()
        });
    });
    let lists = json!({"lists": [["7"], ["9", null]]});
    let found = hand(&known, "events", Strategy::List, &["tenant"], &lists).unwrap();
    let rows: Vec<f64> = found
        .layout
        .unwrap()
        .shards()
        .iter()
        .map(|shard| (shard.rows / total / 1.1 * 100.0).round())
        .collect();
    assert_eq!(rows, [40.0, 13.0, 47.0]);
}

#[test]
fn whole_is_a_proposal_too() {
    let found = hand(&events(200.0), "events", Strategy::None, &[], &json!({})).unwrap();
    let (fixture, none) = (events(200.0), Strategy::None);
    refused(
        &fixture,
        none,
        &["id"],
        &json!({}),
        "42P17",
        "It has a column. A table that stays whole has none",
    );
    for bounds in [json!({"modulus": 2}), json!([]), json!(null)] {
        refused(&fixture, none, &[], &bounds, "22023", "They are not an empty JSON object. Write them as {}");
    }
    assert_eq!((found.layout, found.candidates.len()), (None, 1));
}

#[test]
fn bounds_that_do_not_fit_are_refused() {
    let plain = events(200.0);
    let no = |strategy, key: &[&str], bounds: Value, code, part| {
        refused(&plain, strategy, key, &bounds, code, part)
    };
    use Strategy::Hash;
    use Strategy::List;
    use Strategy::Range;
    no(Hash, &["id"], json!([]), "22023", "not a JSON object");
    no(Hash, &["id"], json!({}), "22023", "\"modulus\" is not a whole number of at least 2");
    no(Hash, &["id"], json!({"modulus": 0}), "22023", "at least 2");
    no(Hash, &["id"], json!({"modulus": 1}), "22023", "at least 2");
    no(Hash, &["id"], json!({"modulus": 2.0}), "22023", "at least 2");
    no(Hash, &["id"], json!({"modulus": "2"}), "22023", "at least 2");
    no(Hash, &["id"], json!({"modulus": 5000}), "54000", "presplit.max_shards_per_table");
    no(Hash, &["id"], json!({"modulus": 4, "default": true}), "22023", "\"default\" is not one of modulus");
    no(Range, &["id"], json!({"modulus": 4}), "22023", "\"modulus\" is not one of");
    no(Range, &["id"], json!({}), "22023", "\"interval\" is missing");
    no(Range, &["id"], json!({"split_points": ["b"]}), "22023", "Write values of column id");
    no(Range, &["id"], json!({"split_points": ["20", "10"]}), "22023", "Bound 20 is followed by 10");
    no(Range, &["id"], json!({"split_points": ["10", "10"]}), "22023", "not in ascending order");
    no(Range, &["id"], json!({"split_points": [["1", "2"]]}), "22023", "one value for each column");
    no(Range, &["id"], json!({"split_points": [null]}), "22023", "null is not a value");
    no(Range, &["id"], json!({"split_points": ["1"], "from": "2"}), "22023", "exclude each other");
    no(
        Range,
        &["id"],
        json!({"split_points": [], "default": 1}),
        "22023",
        "\"default\" is not true or false",
    );
    let month = |from: &str, to: &str| json!({"interval": "1 month", "from": from, "to": to});
    no(Range, &["id"], month("1", "2"), "22023", "not a time");
    no(Range, &["ts"], month("2026-01-01", "2026-01-01"), "22023", "not before");
    no(Range, &["ts"], month("soon", "2026-01-01"), "22023", "value \"soon\" is not valid");
    no(Range, &["ts"], month("1000-01-01", "2026-01-01"), "54000", "The limit is 1024");
    let odd = json!({"interval": "1 moon", "from": "2026-01-01", "to": "2027-01-01"});
    no(Range, &["ts"], odd, "22023", "hour, day, week, month, quarter or year");
    no(List, &["id"], json!({"lists": [[]]}), "22023", "is empty");
    no(List, &["id"], json!({"lists": [["1"], ["1"]]}), "22023", "overlaps");
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let plain = events(200.0);
    let two = json!({"modulus": 2});
    refused(&plain, Strategy::Hash, &[], &two, "42P17", "no column");
    refused(
        &plain,
        Strategy::Hash,
        &["idd"],
        &two,
        "42703",
        "The table has the columns id, ts, tenant, body.",
    );
    refused(&plain, Strategy::Hash, &["id", "id"], &two, "42P17", "appears twice");
    refused(
        &plain,
        Strategy::List,
        &["id", "ts"],
        &json!({"lists": [["1"]]}),
        "42P17",
        "one column for list",
    );
    let generated = plain.clone().edit("events", |table| table.columns[0].generated = true);
    refused(&generated, Strategy::Hash, &["id"], &two, "42P17", "is generated");
    let unhashable = plain.clone().edit("events", |table| table.columns[0].hashable = false);
    refused(&unhashable, Strategy::Hash, &["id"], &two, "42P17", "no default hash operator class");
    let foreign = plain.clone().edit("events", |table| table.kind = TableKind::Foreign);
    refused(&foreign, Strategy::Hash, &["id"], &two, "42809", "foreign table");
    let keyed = plain.edit("events", |table| *table = table.clone().keyed(&["id"]));
    refused(
        &keyed,
        Strategy::Hash,
        &["tenant"],
        &two,
        "42P17",
        "Primary key events_pkey does not contain tenant",
    );
    let extended = keyed.with(|fixture| fixture.settings.unique_policy = UniquePolicy::Extend);
    let found = hand(&extended, "events", Strategy::Hash, &["tenant"], &two).unwrap();
    assert!(found.warnings[0].contains("is appended to primary key events_pkey"));
    let error = hand(&extended, "nothing", Strategy::Hash, &["id"], &two).unwrap_err();
    assert_eq!(error.sqlstate().code(), "42P01");
}

#[test]
fn what_is_stored_is_read_as_it_was() {
    let fixture = events(0.0);
    for fixture in [fixture, events(200.0)] {
        let found = hand(&fixture, "events", Strategy::Hash, &["id"], &json!({"modulus": 2})).unwrap();
        let text = serde_json::to_string(&found).unwrap();
        let read: RelationProposal = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        // What JSON of PostgreSQL does not keep.
        assert!(!text.contains("-0.0"), "{text}");
    }
}

#[test]
fn a_key_has_as_many_columns_as_postgresql_takes() {
    let names: Vec<String> = (0..40).map(|at| format!("c{at}")).collect();
    let key: Vec<&str> = names.iter().map(String::as_str).collect();
    refused(&events(1.0), Strategy::Hash, &key, &json!({"modulus": 2}), "42P17", "at most 32 columns");
}

/// What is said of rows that no shard names.
#[test]
fn rows_without_a_shard_are_told() {
    let nullable = events(200.0).edit("events", |table| {
        table.columns.iter_mut().for_each(|column| column.not_null = false);
    });
    let warnings = |strategy, key: &[&str], bounds: &Value| {
        let found = hand(&nullable, "events", strategy, key, bounds).unwrap();
        let about = |text: &&String| text.contains("may be NULL") || text.contains("default shard");
        found.warnings.iter().filter(about).cloned().collect::<Vec<_>>().join(" ")
    };
    let (range, list) = (Strategy::Range, Strategy::List);
    for (strategy, key, bounds, expected) in [
        (
            range,
            &["id"][..],
            json!({"split_points": ["1"]}),
            "Column id may be NULL: such rows go to the default shard.",
        ),
        (
            range,
            &["id"],
            json!({"split_points": ["1"], "default": false}),
            "Column id may be NULL, and there is no default shard: PostgreSQL will refuse such rows.",
        ),
        (
            range,
            &["ts"],
            json!({"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01", "default": false}),
            "Column ts may be NULL, and there is no default shard: PostgreSQL will refuse such rows. There is no \
             default shard: PostgreSQL will refuse rows whose ts is less than 2026-01-01 00:00:00+00, or 2026-03-01 \
             00:00:00+00 or more.",
        ),
        (
            list,
            &["tenant"],
            json!({"lists": [["1"]]}),
            "Column tenant may be NULL: such rows go to the default shard.",
        ),
        (list, &["tenant"], json!({"lists": [["1", null]]}), ""),
        (
            list,
            &["tenant"],
            json!({"lists": [["1", null]], "default": false}),
            "There is no default shard: PostgreSQL will refuse rows whose tenant is in no list.",
        ),
        (
            Strategy::Hash,
            &["tenant"],
            json!({"modulus": 2}),
            "Column tenant may be NULL: all such rows go to one shard of those that it divides.",
        ),
        (Strategy::Hash, &["tenant", "id"], json!({"modulus": 2}), ""),
    ] {
        assert_eq!(warnings(strategy, key, &bounds), expected, "{bounds}");
    }
}

/// A step of hours would be cut off by a column of dates.
#[test]
fn intervals_of_dates_are_whole_days() {
    let dated = events(200.0).edit("events", |table| {
        table.columns[1].type_name = TypeName {
            schema: "pg_catalog".to_owned(),
            name: "date".to_owned(),
            text: "date".to_owned(),
            array: false,
        };
    });
    let by = |interval: &str| json!({"interval": interval, "from": "2026-01-01", "to": "2026-01-04"});
    refused(
        &dated,
        Strategy::Range,
        &["ts"],
        &by("36 hours"),
        "22023",
        "a step of 36 hours is not one of whole days",
    );
    refused(&dated, Strategy::Range, &["ts"], &by("1 hour"), "22023", "a step of 1 hour is not one");
    assert!(hand(&dated, "events", Strategy::Range, &["ts"], &by("24 hours")).is_ok());
    assert!(hand(&events(200.0), "events", Strategy::Range, &["ts"], &by("36 hours")).is_ok());
}

/// Values beyond what is counted with here are left to PostgreSQL.
#[test]
fn extreme_values_are_taken() {
    let numbers = events(200.0).edit("events", |table| {
        table.columns[2].type_name = TypeName {
            schema: "pg_catalog".to_owned(),
            name: "numeric".to_owned(),
            text: "numeric".to_owned(),
            array: false,
        };
    });
    let points = |points: &[&str]| json!({"split_points": points});
    let huge = format!("1{}", "0".repeat(400));
    for taken in [
        &["9007199254740992", "9007199254740993"][..],
        &["1", &huge, "Infinity", "NaN"],
        &["-Infinity", "0.1"],
    ] {
        assert!(hand(&numbers, "events", Strategy::Range, &["tenant"], &points(taken)).is_ok(), "{taken:?}");
    }
    for taken in [&["-infinity", "2026-01-01", "infinity"][..], &["0044-03-15 BC", "12026-01-01 00:00:00+00"]]
    {
        assert!(
            hand(&events(200.0), "events", Strategy::Range, &["ts"], &points(taken)).is_ok(),
            "{taken:?}"
        );
    }
    refused(
        &numbers,
        Strategy::Range,
        &["tenant"],
        &points(&["2", "1"]),
        "22023",
        "Bound 2 is followed by 1",
    );
    refused(&numbers, Strategy::Range, &["tenant"], &points(&["1x"]), "22023", "not valid");
}
