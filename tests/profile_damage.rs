//! Damaged profiles: each is refused with a report, or harmless.
//!
//! Captured files are changed at random places: fields lost, doubled and
//! exchanged, types changed, numbers out of range. What is still accepted goes
//! through everything that is made of a profile: shadow tables, growth, and
//! proposals, none of which may panic or come to a number that is not one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use pg_presplit::model::access::Access;
use pg_presplit::model::access::AccessKind;
use pg_presplit::model::access::Analysis;
use pg_presplit::model::access::Mention;
use pg_presplit::model::access::StatementFacts;
use pg_presplit::model::profile::FORMAT;
use pg_presplit::model::profile::Profile;
use pg_presplit::model::profile::Table;
use pg_presplit::model::report::Report;
use pg_presplit::model::settings::Settings;
use pg_presplit::planning::forecast;
use pg_presplit::planning::forecast::Declared;
use pg_presplit::planning::proposal::CostConstants;
use pg_presplit::planning::proposal::HashValues;
use pg_presplit::planning::proposal::ProposalInput;
use pg_presplit::planning::proposal::ServerFacts;
use pg_presplit::planning::proposal::propose;
use pg_presplit::planning::workload;
use pg_presplit::planning::workload::shadow;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;
use serde_json::json;

const DAY: i64 = 86_400_000_000;

fn config(cases: u32) -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(beside)), ..ProptestConfig::default() }
}

/// A captured profile, whose tables are made large enough to be divided.
fn captured(which: usize) -> Value {
    let text = match which % 3 {
        0 => include_str!("fixtures/profile_15.json"),
        1 => include_str!("fixtures/profile_18.json"),
        _ => include_str!("fixtures/profile_15_hidden.json"),
    };
    let mut value: Value = serde_json::from_str(text).unwrap();
    for table in value["tables"].as_array_mut().unwrap() {
        for field in ["rows", "heap_bytes", "index_bytes"] {
            table[field] = json!(table[field].as_f64().unwrap() * 1e6);
        }
    }
    value
}

/// What is done to one place of the JSON.
#[derive(Debug, Clone)]
enum Damage {
    Remove,
    Replace(Value),
    /// An element of a list once more.
    Double,
    /// The value of another place.
    Copy(prop::sample::Index),
    /// Inside of many lists.
    Bury(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let number = prop_oneof![
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(-0.5)),
        Just(json!(1)),
        Just(json!(2.5)),
        Just(json!(1e-300)),
        Just(json!(1e18)),
        Just(json!(9.2e18)),
        Just(json!(1e300)),
        Just(json!(f64::MAX)),
        Just(json!(-1e300)),
        Just(json!(u64::MAX)),
        Just(json!(i64::MIN)),
        any::<f64>().prop_map(|value| json!(value)),
    ];
    let text = prop_oneof![
        Just(""),
        Just("NaN"),
        Just("infinity"),
        Just("-infinity"),
        Just("9999-12-31T23:59:59Z"),
        Just("-009999-01-01T00:00:00Z"),
        Just("0044-03-15 BC"),
        Just("99999999999999999999999999999999999999999"),
        Just("-9223372036854775808"),
        Just("1e400"),
        Just("\u{1}\"';--/*"),
        Just("ordinary"),
        Just("primary_key"),
        Just("timestamp with time zone"),
        Just("numeric(10,2)"),
        Just("(("),
        Just(")("),
        Just("id"),
        Just("public"),
    ]
    .prop_map(|text| json!(text));
    let other = prop_oneof![
        Just(Value::Null),
        Just(json!(true)),
        Just(json!(false)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[]])),
        Just(json!([null])),
        Just(json!("x".repeat(3000))),
    ];
    prop_oneof![
        2 => Just(Damage::Remove),
        3 => number.prop_map(Damage::Replace),
        3 => text.prop_map(Damage::Replace),
        2 => other.prop_map(Damage::Replace),
        1 => Just(Damage::Double),
        2 => any::<prop::sample::Index>().prop_map(Damage::Copy),
        1 => (1_usize..100).prop_map(Damage::Bury),
    ]
}

/// Pointers to all places, and by their last name, so that a rare field is
/// damaged as often as a common one.
fn places(value: &Value) -> BTreeMap<String, Vec<String>> {
    fn walk(at: &str, name: &str, value: &Value, found: &mut BTreeMap<String, Vec<String>>) {
        found.entry(name.to_owned()).or_default().push(at.to_owned());
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    walk(&format!("{at}/{escaped}"), key, value, found);
                }
            }
            Value::Array(values) => {
                for (i, value) in values.iter().enumerate() {
                    walk(&format!("{at}/{i}"), &format!("{name}[]"), value, found);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    walk("", "", value, &mut found);
    found.remove("");
    found
}

type Place = (prop::sample::Index, prop::sample::Index);

fn pick(value: &Value, place: Place) -> String {
    let places = places(value);
    if places.is_empty() {
        return String::new();
    }
    let names: Vec<_> = places.keys().collect();
    let pointers = &places[names[place.0.index(names.len())]];
    pointers[place.1.index(pointers.len())].clone()
}

fn damaged(mut value: Value, damages: &[(Place, Damage)]) -> Value {
    for (place, damage) in damages {
        let pointer = pick(&value, *place);
        match damage {
            Damage::Replace(new) => *value.pointer_mut(&pointer).unwrap() = new.clone(),
            Damage::Copy(other) => {
                let from = pick(&value, (*other, place.1));
                let copy = value.pointer(&from).unwrap().clone();
                *value.pointer_mut(&pointer).unwrap() = copy;
            }
            Damage::Bury(depth) => {
                let target = value.pointer_mut(&pointer).unwrap();
                for _ in 0..*depth {
                    *target = Value::Array(vec![target.take()]);
                }
            }
            Damage::Remove | Damage::Double => {
                let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", ""));
                let key = key.replace("~1", "/").replace("~0", "~");
                match value.pointer_mut(parent).unwrap() {
                    Value::Object(fields) if matches!(damage, Damage::Remove) => {
                        fields.remove(&key);
                    }
                    Value::Array(values) => {
                        let i: usize = key.parse().unwrap();
                        let element = values.remove(i);
                        if matches!(damage, Damage::Double) {
                            values.push(element.clone());
                            values.push(element);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    value
}

/// Each statement of the profile is taken to use one table after the other.
fn statements(profile: &Profile) -> workload::AnalyzedWorkload {
    let mention = |table: &Table| Mention {
        relation: table.name(),
        accesses: table
            .columns
            .iter()
            .flat_map(|column| {
                [AccessKind::Equality, AccessKind::Range].map(|kind| Access::of(kind, &column.name))
            })
            .collect(),
    };
    let facts = |i: usize| {
        let mentions = profile.tables.iter().cycle().skip(i).take(2.min(profile.tables.len())).map(mention);
        Analysis::Facts(StatementFacts { mentions: mentions.collect(), ..StatementFacts::default() })
    };
    let analyses = (0..profile.workload.statements.len()).map(facts).collect();
    workload::analyzed(&profile.workload, analyses)
}

/// Everything that the server face asks of `planning`.
fn used(profile: &Profile) -> Result<(), TestCaseError> {
    let plan = shadow::plan(profile, &shadow::Existing::default(), "of_profile");
    prop_assert!(plan.steps.len() <= 100_000);
    prop_assert_eq!(workload::prepared(&profile.workload).len(), profile.workload.statements.len());
    let captured_at = profile.captured_micros().unwrap();
    let horizon_micros = 90 * DAY;
    let mut growth = BTreeMap::new();
    let mut hash_values = HashValues::new();
    for table in &profile.tables {
        let expected =
            forecast::growth(table, &profile.history, captured_at, horizon_micros, &Declared::default());
        let expected = expected.map_err(|error| TestCaseError::fail(format!("{}: {error}", table.name())))?;
        for point in expected.rows.iter().chain(&expected.bytes) {
            prop_assert!([point.value, point.lower, point.upper].iter().all(|v| v.is_finite() && *v >= 0.0));
        }
        growth.insert(table.name(), expected);
        for column in &table.columns {
            if let Some(statistics) = column.statistics.as_ref().filter(|s| !s.common_hashes.is_empty()) {
                hash_values.insert((table.name(), column.name.clone()), statistics.common_hashes.clone());
            }
        }
    }
    let analyzed = statements(profile);
    let constants = CostConstants::default();
    let settings = Settings::default();
    let proposal = propose(&ProposalInput {
        profile,
        workload: &analyzed,
        growth: &growth,
        only: None,
        horizon_micros,
        settings: &settings,
        retention: &BTreeMap::new(),
        hash_values: &hash_values,
        cores: 2,
        cache_bytes: 1e9,
        server: ServerFacts::default(),
        target_version_num: 150_000,
        constants: &constants,
        disqualified: &[],
        applied: &BTreeMap::new(),
        unlike_ours: &BTreeMap::new(),
        earlier: &BTreeMap::new(),
    });
    let Ok(proposal) = proposal else { return Ok(()) };
    for found in &proposal.relations {
        let numbers = [found.rows_scanned_share, found.skew, found.bytes_at_horizon];
        let costs = found.candidates.iter().flat_map(|c| [c.cost, c.cost_share, c.skew]);
        for number in numbers.into_iter().chain(costs) {
            prop_assert!(
                number.is_finite(),
                "{}: {numbers:?} {:?}",
                found.relation,
                found.candidates.first()
            );
        }
    }
    prop_assert_eq!(proposal.flaw(), None);
    Ok(())
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn a_damaged_profile_is_refused_or_harmless(
        which in 0_usize..3,
        damages in prop::collection::vec((any::<Place>(), damage()), 1..4),
    ) {
        let value = damaged(captured(which), &damages);
        match Profile::from_json(value) {
            Ok(profile) => {
                let again = Profile::from_json(serde_json::to_value(&profile).unwrap()).unwrap();
                prop_assert_eq!(&again, &profile);
                used(&profile)?;
            }
            Err(error) => {
                prop_assert!(["22023", "0A000"].contains(&error.sqlstate().code()));
                prop_assert!(error.detail().is_some() && error.hint().is_some());
            }
        }
    }
}

fn minimal() -> Value {
    json!({"format": FORMAT, "version": 1, "captured_at": "2026-01-02T03:04:05Z",
           "server_version_num": 150_020, "database": "d"})
}

fn plain_table(name: &str, columns: usize) -> Value {
    let columns: Vec<_> = (0..columns)
        .map(|i| {
            json!({"name": format!("c{i}"), "not_null": true, "orderable": true, "hashable": true,
                   "type": {"schema": "pg_catalog", "name": "int8", "text": "bigint"},
                   "statistics": {"null_fraction": 0, "width": 8, "distinct": -1}})
        })
        .collect();
    json!({"schema": "public", "table": name, "kind": "ordinary", "rows": 1e6, "heap_bytes": 1e8,
           "index_bytes": 1e7, "toast_bytes": 0, "columns": columns})
}

/// Each law, broken by one change to a table that obeys them.
#[test]
#[expect(clippy::too_many_lines, reason = "one line a law")]
fn what_later_code_relies_on_is_checked() {
    let good = || {
        let mut value = minimal();
        let mut table = plain_table("t", 2);
        table["columns"][0]["statistics"]["common_values"] = json!(["1", "2"]);
        table["columns"][0]["statistics"]["common_fractions"] = json!([0.5, 0.25]);
        table["columns"][0]["statistics"]["common_hashes"] = json!([1, u64::MAX]);
        table["columns"][0]["statistics"]["correlation"] = json!(0);
        table["constraints"] = json!([{"name": "k", "kind": "foreign_key", "columns": ["c0"],
            "references": {"schema": "public", "table": "t", "columns": ["c1"]}}]);
        table["indexes"] = json!([{"name": "i", "method": "btree", "unique": true, "columns": ["c0", null]}]);
        table["extended_statistics"] = json!([{"schema": "public", "name": "s", "columns": ["c0", "c1"],
            "counts": [{"columns": ["c0", "c1"], "distinct": 7}],
            "dependencies": [{"from": ["c0"], "to": "c1", "degree": 0.5}],
            "common_values": [["1", null]], "common_fractions": [0.5]}]);
        value["tables"] = json!([table]);
        value["views"] = json!([{"schema": "public", "view": "v", "definition": "SELECT 1"}]);
        value["types"] = json!([{"schema": "public", "name": "e", "kind": "other"}]);
        value["history"] = json!([{"schema": "public", "table": "t", "at": "2026-01-01T00:00:00Z",
            "rows": 1, "bytes": 1, "inserted": 1, "loaded": 1, "event_bytes": -1}]);
        value["workload"] = json!({"source": "declared", "seconds": 1,
            "statements": [{"queryid": 1, "query": "SELECT 1", "calls": 1, "exec_ms": 1, "rows": 1}]});
        value
    };
    let accepted = Profile::from_json(good()).unwrap();
    used(&accepted).unwrap();
    for (pointer, wrong, word) in [
        ("/captured_at", json!("soon"), "captured_at"),
        ("/tables/0/schema", json!(""), "empty name"),
        ("/tables/0/rows", json!(-1), "negative"),
        ("/tables/0/heap_bytes", json!(1e300), "larger than"),
        ("/tables/0/columns/1/name", json!("c0"), "twice"),
        ("/tables/0/columns/1/name", json!(""), "empty name"),
        ("/tables/0/columns/1/name", json!("c".repeat(64)), "more than 63 bytes"),
        ("/tables/0/table", json!("t".repeat(64)), "more than 63 bytes"),
        ("/tables/0/columns/0/statistics/null_fraction", json!(1.5), "between 0 and 1"),
        ("/tables/0/columns/0/statistics/width", json!(-8), "negative"),
        ("/tables/0/columns/0/statistics/distinct", json!(-2), "distinct"),
        ("/tables/0/columns/0/statistics/correlation", json!(7), "correlation"),
        ("/tables/0/columns/0/statistics/common_fractions", json!([0.5]), "2 entries instead of 1"),
        ("/tables/0/columns/0/statistics/common_fractions", json!([0.9, 0.9]), "more than the whole"),
        ("/tables/0/columns/0/statistics/common_hashes", json!([1]), "1 entries instead of 2"),
        ("/tables/0/constraints/0/columns", json!(["nowhere"]), "no column"),
        ("/tables/0/constraints/0/columns", json!(["c0", "c1"]), "2 columns refer to 1"),
        ("/tables/0/constraints/0/references/columns", json!(["nowhere"]), "has not"),
        ("/tables/0/indexes/0/columns", json!([null, "nowhere"]), "no column"),
        ("/tables/0/extended_statistics/0/columns/0", json!("nowhere"), "no column"),
        ("/tables/0/extended_statistics/0/counts/0/columns/0", json!("nowhere"), "no column"),
        ("/tables/0/extended_statistics/0/counts/0/distinct", json!(-7), "negative"),
        ("/tables/0/extended_statistics/0/dependencies/0/to", json!("nowhere"), "no column"),
        ("/tables/0/extended_statistics/0/dependencies/0/degree", json!(2), "between 0 and 1"),
        ("/tables/0/extended_statistics/0/common_values/0", json!(["1"]), "1 values stand for 2"),
        ("/history/0/at", json!("then"), "not a time"),
        ("/history/0/rows", json!(-1), "negative"),
        ("/history/0/inserted", json!(-1), "negative"),
        ("/history/0/loaded", json!(1e300), "larger than"),
        ("/history/0/event_bytes", json!(-1e300), "larger than"),
        ("/workload/seconds", json!(0), "seconds"),
        ("/workload/statements/0/calls", json!(-1), "statement 1"),
        (
            "/types",
            json!([{"schema": "a", "name": "b", "kind": "other"},
                          {"schema": "a", "name": "b", "kind": "other"}]),
            "type a.b is there twice",
        ),
        ("/views/0/view", json!(""), "empty name"),
    ] {
        let mut value = good();
        *value.pointer_mut(pointer).unwrap() = wrong;
        let error = Profile::from_json(value).unwrap_err();
        let detail = error.detail().unwrap();
        assert!(detail.contains(word), "{pointer}: {detail}");
    }
}

#[test]
fn temporal_keys_of_captures_that_do_not_tell_them_are_found() {
    let key = |method: &str, equal: Value| {
        let mut profile = minimal();
        profile["tables"] = json!([{"schema": "a", "table": "t", "kind": "ordinary", "rows": 0, "heap_bytes": 0,
            "index_bytes": 0, "toast_bytes": 0,
            "columns": [
                {"name": "room", "type": {"schema": "pg_catalog", "name": "int4range", "text": "int4range"}, "not_null": true},
                {"name": "during", "type": {"schema": "pg_catalog", "name": "daterange", "text": "daterange"}, "not_null": true}],
            "constraints": [{"name": "k", "kind": "primary_key", "columns": ["room", "during"], "equal_columns": equal}],
            "indexes": [{"name": "k", "method": method, "unique": true, "columns": ["room", "during"],
                "of_constraint": true}]}]);
        let read = Profile::from_json(profile.clone()).unwrap();
        assert_eq!(Profile::from_text(&profile.to_string()), Some(read.clone()));
        read.tables[0].constraints[0].clone()
    };
    let room = Some(vec!["room".to_owned()]);
    for equal in [json!(null), json!(["room"])] {
        let found = key("gist", equal);
        assert!(found.equal_columns == room && found.is_temporal(), "{found:?}");
    }
    let plain = key("btree", json!(null));
    assert!(plain.equal_columns.is_none() && !plain.is_temporal(), "{plain:?}");
}

#[test]
fn a_table_of_ten_thousand_columns_is_read_and_used() {
    let mut value = minimal();
    value["tables"] = json!([plain_table("wide", 10_000)]);
    let profile = Profile::from_json(value).unwrap();
    used(&profile).unwrap();
}

#[test]
fn a_hundred_thousand_tables_are_read() {
    let mut value = minimal();
    value["tables"] = (0..100_000).map(|i| plain_table(&format!("t{i}"), 2)).collect();
    let profile = Profile::from_json(value).unwrap();
    assert_eq!(profile.tables.len(), 100_000);
}
