//! Proposals of two levels made by hand.

use serde_json::Value;
use serde_json::json;

use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::profile::ColumnStatistics;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::tests::fixture::*;
use crate::planning::proposal::tests::hand::hand;
use crate::planning::proposal::tests::hand::refused;

/// The shards of a layout by name, each after what it is in.
fn shape(layout: &Layout) -> Vec<String> {
    layout
        .shards()
        .iter()
        .map(|shard| {
            let of = layout.branch_of(shard).map_or_else(String::new, |branch| {
                format!("{} {} by {}: ", branch.name, branch.bound.sql(), branch.shard_key.join(", "))
            });
            format!("{of}{} {}", shard.name, shard.bound.sql()).replace("FOR VALUES ", "")
        })
        .collect()
}

#[track_caller]
fn laid(strategy: Strategy, key: &[&str], bounds: &Value, expected: &[&str]) -> Layout {
    let found = hand(&events(200.0), "events", strategy, key, bounds).unwrap();
    assert_eq!(found.strategy, strategy);
    let layout = found.layout.unwrap();
    assert_eq!(shape(&layout), expected);
    layout
}

#[test]
fn ranges_are_hashed() {
    let month = json!({"interval": "1 month", "from": "2026-01-01", "to": "2026-02-01", "modulus": 2});
    let layout = laid(
        Strategy::RangeHash,
        &["ts", "tenant"],
        &month,
        &[
            "events_b0001 FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00') by tenant: \
             events_s0001 WITH (modulus 2, remainder 0)",
            "events_b0001 FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00') by tenant: \
             events_s0002 WITH (modulus 2, remainder 1)",
            "events_default DEFAULT",
        ],
    );
    assert_eq!(layout.shard_key(), ["ts", "tenant"]);
    let points = json!({"split_points": ["10"], "modulus": 2, "default": false});
    laid(
        Strategy::RangeHash,
        &["id", "body"],
        &points,
        &[
            "events_b0001 FROM (MINVALUE) TO ('10') by body: events_s0001 WITH (modulus 2, remainder 0)",
            "events_b0001 FROM (MINVALUE) TO ('10') by body: events_s0002 WITH (modulus 2, remainder 1)",
            "events_b0002 FROM ('10') TO (MAXVALUE) by body: events_s0003 WITH (modulus 2, remainder 0)",
            "events_b0002 FROM ('10') TO (MAXVALUE) by body: events_s0004 WITH (modulus 2, remainder 1)",
        ],
    );
}

#[test]
fn lists_are_hashed_where_it_is_said() {
    let sub = json!([{"of": 0, "shard_key": ["id"], "modulus": 2},
                     {"of": "default", "shard_key": ["tenant", "id"], "modulus": 2}]);
    let layout = laid(
        Strategy::ListHash,
        &["tenant"],
        &json!({"lists": [["42"], ["7", null]], "sub": sub}),
        &[
            "events_b0001 IN ('42') by id: events_s0001 WITH (modulus 2, remainder 0)",
            "events_b0001 IN ('42') by id: events_s0002 WITH (modulus 2, remainder 1)",
            "events_s0003 IN ('7', NULL)",
            "events_default DEFAULT by tenant, id: events_s0004 WITH (modulus 2, remainder 0)",
            "events_default DEFAULT by tenant, id: events_s0005 WITH (modulus 2, remainder 1)",
        ],
    );
    assert_eq!(
        (layout.shard_key(), layout.key_columns()),
        (&["tenant".to_owned()][..], vec!["tenant".to_owned(), "id".to_owned()])
    );
    // A key of two columns says by what.
    let layout = laid(
        Strategy::ListHash,
        &["tenant", "id"],
        &json!({"lists": [["42"]], "sub": [{"of": 0, "modulus": 2}], "default": false}),
        &[
            "events_b0001 IN ('42') by id: events_s0001 WITH (modulus 2, remainder 0)",
            "events_b0001 IN ('42') by id: events_s0002 WITH (modulus 2, remainder 1)",
        ],
    );
    assert_eq!(layout.shard_key(), ["tenant"]);
}

#[test]
fn rows_are_shared_on_both_levels() {
    let known = events(200.0).edit("events", |table| {
        table.columns[2].statistics = Some(ColumnStatistics {
            distinct: 12.0,
            null_fraction: 0.0,
            common_values: vec!["7".to_owned()],
            common_fractions: vec![0.4],
            ..ColumnStatistics::default()
        });
    });
    let bounds = json!({"lists": [["7"]], "sub": [{"of": 0, "shard_key": ["id", "body"], "modulus": 4}]});
    let found = hand(&known, "events", Strategy::ListHash, &["tenant"], &bounds).unwrap();
    let shards = found.layout.unwrap().shards().to_vec();
    let total: f64 = shards.iter().map(|shard| shard.rows).sum();
    let shares: Vec<f64> = shards.iter().map(|shard| (shard.rows / total * 100.0).round()).collect();
    assert_eq!(shares, [10.0, 10.0, 10.0, 10.0, 60.0]);
}

#[test]
fn hashed_ranges_that_do_not_fit_are_refused() {
    let plain = events(200.0);
    let key = ["ts", "tenant"];
    let no = |key: &[&str], bounds: Value, code, part| {
        refused(&plain, Strategy::RangeHash, key, &bounds, code, part);
    };
    let with = |modulus: Value| json!({"split_points": [], "modulus": modulus});
    for modulus in [json!(0), json!(1), json!(-2), json!(1.5), json!("4"), Value::Null] {
        no(&key, with(modulus), "22023", "at least 2");
    }
    no(&key, json!({"split_points": []}), "22023", "\"modulus\" is not");
    no(&key, json!({"modulus": 2}), "22023", "\"interval\" is missing");
    no(&key, json!({"modulus": 2, "lists": []}), "22023", "\"lists\" is not one of split_points");
    no(&key, json!({"split_points": ["then"], "modulus": 2}), "22023", "value \"then\"");
    no(&key, json!({"split_points": [["2026-01-01", "1"]], "modulus": 2}), "22023", "one value for each");
    no(&["ts"], with(json!(2)), "42P17", "column of the ranges, then");
    no(&["ts", "tenant", "id"], with(json!(2)), "42P17", "column of the ranges, then");
    no(&["ts", "ts"], with(json!(2)), "42P17", "appears twice");
    no(&["ts", "nothing"], with(json!(2)), "42703", "nothing");
    no(&["ts", "tenant"], json!({"split_points": [], "modulus": 1024}), "54000", "The limit is 1024");
    let unhashable = events(200.0).edit("events", |table| table.columns[2].hashable = false);
    refused(&unhashable, Strategy::RangeHash, &key, &with(json!(2)), "42P17", "no default hash");
}

#[test]
fn hashed_lists_that_do_not_fit_are_refused() {
    let plain = events(200.0);
    let no = |sub: Value, part| {
        let bounds = json!({"lists": [["42"], ["43"]], "sub": sub});
        refused(&plain, Strategy::ListHash, &["tenant"], &bounds, "22023", part);
    };
    let entry = |of: Value| json!({"of": of, "shard_key": ["id"], "modulus": 2});
    no(json!([]), "missing or empty");
    no(json!({}), "not an array");
    no(json!([7]), "not a JSON object");
    no(json!([{"shard_key": ["id"], "modulus": 2}]), "\"of\" is missing");
    no(json!([entry(json!(2))]), "names no list; they count from 0 and are 2");
    no(json!([entry(json!(-1))]), "names no list");
    no(json!([entry(json!(0.5))]), "names no list");
    no(json!([entry(json!("42"))]), "neither the number of a list nor");
    no(json!([entry(Value::Null)]), "neither the number of a list nor");
    no(json!([entry(json!(0)), entry(json!(0))]), "two entries of 0");
    no(json!([entry(json!("default")), entry(json!("default"))]), "two entries of \"default\"");
    no(json!([{"of": 0, "modulus": 2}]), "\"shard_key\" is missing");
    no(json!([{"of": 0, "shard_key": [], "modulus": 2}]), "is empty");
    no(json!([{"of": 0, "shard_key": "id", "modulus": 2}]), "not an array of column names");
    no(json!([{"of": 0, "shard_key": [1], "modulus": 2}]), "not an array of column names");
    no(json!([{"of": 0, "shard_key": ["id", "id"], "modulus": 2}]), "appears twice");
    no(json!([{"of": 0, "shard_key": ["id"]}]), "at least 2");
    no(json!([{"of": 0, "shard_key": ["id"], "modulus": 2, "default": true}]), "is not one of of, shard_key");
    let bounds = |sub: Value| json!({"lists": [["42"]], "default": false, "sub": [sub]});
    let refuse = |key: &[&str], bounds: &Value, code, part| {
        refused(&plain, Strategy::ListHash, key, bounds, code, part);
    };
    refuse(&["tenant"], &bounds(entry(json!("default"))), "22023", "\"default\": false leaves out");
    refuse(&["tenant"], &json!({"lists": [["42"]]}), "22023", "without it the strategy is list");
    refuse(&["tenant", "ts"], &bounds(entry(json!(0))), "42P17", "Column ts divides no list");
    let unknown = json!({"of": 0, "shard_key": ["nothing"], "modulus": 2});
    refuse(&["tenant"], &bounds(unknown), "42703", "nothing");
    let many = json!({"of": 0, "shard_key": ["id"], "modulus": 1024});
    refuse(&["tenant"], &json!({"lists": [["42"]], "sub": [many]}), "54000", "The limit is 1024");
}

#[test]
fn uniqueness_includes_the_columns_of_both_levels() {
    let keyed = events(200.0).edit("events", |table| *table = table.clone().keyed(&["ts"]));
    let bounds = json!({"split_points": [], "modulus": 2});
    let key = ["ts", "tenant"];
    refused(&keyed, Strategy::RangeHash, &key, &bounds, "42P17", "events_pkey does not contain tenant");
    let extended = keyed.with(|fixture| fixture.settings.unique_policy = UniquePolicy::Extend);
    let found = hand(&extended, "events", Strategy::RangeHash, &key, &bounds).unwrap();
    assert!(found.warnings[0].contains("tenant is appended"), "{:?}", found.warnings);
    let keyed = events(200.0).edit("events", |table| *table = table.clone().keyed(&["tenant"]));
    let bounds = json!({"lists": [["1"]], "sub": [{"of": 0, "shard_key": ["id"], "modulus": 2}]});
    refused(&keyed, Strategy::ListHash, &["tenant"], &bounds, "42P17", "events_pkey does not contain id");
}

fn any_bounds() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..40).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!("default")),
        Just(json!("1 month")),
        Just(json!("2026-01-01")),
        Just(json!("tenant")),
        "[a-z0-9: -]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            proptest::sample::select(vec![
                "modulus",
                "split_points",
                "interval",
                "from",
                "to",
                "lists",
                "sub",
                "default",
                "of",
                "shard_key"
            ])
            .prop_map(str::to_owned),
            "[a-z]{0,3}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..5).prop_map(|map| json!(map)),
        ]
    })
}

proptest::proptest! {
    /// Whatever someone writes is laid out, or refused in words.
    #[test]
    fn any_bounds_are_laid_out_or_refused(
        bounds in any_bounds(),
        strategy in 0..5_usize,
        key in proptest::collection::vec(proptest::sample::select(vec!["id", "ts", "tenant", "body", "none"]), 0..4),
    ) {
        use crate::model::report::Report;
        let all = [Strategy::Range, Strategy::Hash, Strategy::List, Strategy::RangeHash, Strategy::ListHash];
        match hand(&events(200.0), "events", all[strategy], &key, &bounds) {
            Ok(found) => assert_eq!(found.layout.map(|layout| layout.strategy()), Some(all[strategy])),
            Err(error) => {
                let told = error.detail().or_else(|| error.hint());
                assert!(told.is_some_and(|told| told.ends_with('.')), "{error:?}");
            }
        }
    }
}
