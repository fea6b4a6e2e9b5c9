//! Layouts that are there are priced and kept as they are, whoever made them.

use serde_json::Value;
use serde_json::json;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::TableKind;
use crate::planning::proposal::RelationProposal;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::division::of_layout::of_layout;
use crate::planning::proposal::option;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject;
use crate::planning::proposal::tests::fixture::*;
use crate::planning::proposal::tests::hand::hand;

/// The fixture with a layout applied to a table.
fn having(fixture: &Fixture, table: &str, layout: &Layout) -> Fixture {
    fixture.clone().with(|fixture| {
        fixture.applied.insert(name(table), layout.clone());
    })
}

/// A layout made by hand for the fixture.
#[track_caller]
fn made(fixture: &Fixture, table: &str, strategy: Strategy, key: &[&str], bounds: &Value) -> Layout {
    hand(fixture, table, strategy, key, bounds).unwrap().layout.unwrap()
}

fn bounds(layout: &Layout) -> Vec<(String, Bound)> {
    let branches = layout.branches().iter().map(|branch| (branch.name.clone(), branch.bound.clone()));
    branches.chain(layout.shards().iter().map(|shard| (shard.name.clone(), shard.bound.clone()))).collect()
}

/// Sales of tenants, of which one has 40 % of the rows.
fn sales(gigabytes: f64) -> Fixture {
    let columns = [
        ("tenant", "integer"),
        ("id", "bigint"),
        ("ts", "timestamp with time zone"),
        ("state", "boolean"),
        ("code", "text"),
    ];
    let known = |column: &str| match column {
        "tenant" => ColumnStatistics {
            distinct: 100.0,
            common_values: vec!["7".to_owned(), "8".to_owned()],
            common_fractions: vec![0.4, 0.1],
            histogram: (0..=100)
                .filter(|value| !(7..=8).contains(value))
                .map(|value| value.to_string())
                .collect(),
            ..ColumnStatistics::default()
        },
        "id" => ColumnStatistics {
            distinct: -1.0,
            correlation: Some(0.0),
            histogram: (0..=100).map(|value| (value * 1_000_000).to_string()).collect(),
            ..ColumnStatistics::default()
        },
        "state" => ColumnStatistics {
            distinct: 2.0,
            common_values: vec!["t".to_owned(), "f".to_owned()],
            common_fractions: vec![0.7, 0.3],
            ..ColumnStatistics::default()
        },
        _ => ColumnStatistics { distinct: -0.5, correlation: Some(0.1), ..ColumnStatistics::default() },
    };
    let mut table = table("sales", &columns);
    for column in &mut table.columns {
        column.statistics = Some(known(&column.name));
    }
    table.indexes.push(index("sales_tenant", false, &[Some("tenant"), Some("id")]));
    Fixture::new()
        .table(table, gigabytes)
        .statement(864_000.0, 1e6, &[("sales", &[equality("tenant"), equality("id")])])
        .statement(86_400.0, 1e6, &[("sales", &[equality("tenant")])])
        .statement(8640.0, 1e6, &[("sales", &[range("ts")])])
        .statement(8640.0, 1e5, &[("sales", &[equality("state")])])
        .statement(8640.0, 1e5, &[("sales", &[equality("code")])])
}

/// Every form of layout that can be made or registered, by name.
fn forms(fixture: &Fixture) -> Vec<(&'static str, Layout)> {
    let of = |strategy, key: &[&str], bounds: Value| made(fixture, "sales", strategy, key, &bounds);
    let months = json!({"interval": "1 month", "from": "2025-01-01", "to": "2026-07-01"});
    vec![
        ("hash", of(Strategy::Hash, &["id"], json!({"modulus": 6}))),
        ("hash of two", of(Strategy::Hash, &["tenant", "id"], json!({"modulus": 8}))),
        ("months", of(Strategy::Range, &["ts"], months.clone())),
        (
            "odd moments",
            of(
                Strategy::Range,
                &["ts"],
                json!({"split_points": ["2025-02-03", "2025-02-17 04:00:00", "2025-11-30"]}),
            ),
        ),
        ("ids", of(Strategy::Range, &["id"], json!({"split_points": ["5", "70000000"], "default": false}))),
        ("of text", of(Strategy::Range, &["code"], json!({"split_points": ["b", "m", "q"]}))),
        (
            "of two",
            of(
                Strategy::Range,
                &["tenant", "id"],
                json!({"split_points": [["7", "5"], ["7", "50000000"], ["9", "1"]]}),
            ),
        ),
        ("lists", of(Strategy::List, &["tenant"], json!({"lists": [["7"], ["8", "9", null], ["1000"]]}))),
        ("flags", of(Strategy::List, &["state"], json!({"lists": [["true"], ["f"]], "default": false}))),
        (
            "ranges hashed",
            of(Strategy::RangeHash, &["ts", "tenant"], {
                let mut months = months;
                months["modulus"] = json!(4);
                months
            }),
        ),
        (
            "lists hashed",
            of(
                Strategy::ListHash,
                &["tenant"],
                json!({
                    "lists": [["7"], ["8"], ["9"]],
                    "sub": [
                        {"of": 0, "shard_key": ["id"], "modulus": 8},
                        {"of": 1, "shard_key": ["code"], "modulus": 2},
                        {"of": "default", "shard_key": ["tenant"], "modulus": 4},
                    ],
                }),
            ),
        ),
    ]
}

#[test]
fn every_form_is_kept_as_it_is() {
    // Whatever is better saves less than this.
    let fixture = sales(400.0).with(|fixture| fixture.constants.change_gain_min = 0.999);
    for (form, layout) in forms(&fixture) {
        let found = having(&fixture, "sales", &layout).relation("sales");
        assert!(found.reason.starts_with("It is cut so already"), "{form}: {}", found.reason);
        let kept = found.layout.as_ref().unwrap();
        assert_eq!(bounds(kept), bounds(&layout), "{form}");
        assert_eq!(found.candidates[0].shard_count, layout.shards().len(), "{form}");
        let rows: f64 = kept.shards().iter().map(|shard| shard.rows).sum();
        assert!(rows > 1e9, "{form}: {rows}");
        // Once more, from what was kept.
        let again = having(&fixture, "sales", kept).relation("sales");
        assert_eq!(again, found, "{form}");
    }
}

#[test]
fn ranges_of_an_unknown_order_are_kept_with_their_gaps() {
    // Whatever is better saves less than this.
    let fixture = sales(400.0).with(|fixture| fixture.constants.change_gain_min = 0.999);
    let points = json!({"split_points": ["b", "d", "m", "q"]});
    let whole = made(&fixture, "sales", Strategy::Range, &["code"], &points);
    for gone in [&["b"][..], &["d"], &["b", "m"]] {
        let gaps = changed(&whole, |shards| {
            shards.retain(|shard| match &shard.bound {
                Bound::Range { lower, .. } => {
                    !gone.iter().any(|from| lower[0] == RangeDatum::Value((*from).to_owned()))
                }
                _ => true,
            });
        });
        assert_eq!(gaps.shards().len() + gone.len(), whole.shards().len());
        let found = having(&fixture, "sales", &gaps).relation("sales");
        assert!(found.reason.starts_with("It is cut so already"), "{gone:?}: {}", found.reason);
        let kept = found.layout.as_ref().unwrap();
        assert_eq!(bounds(kept), bounds(&gaps), "{gone:?}");
        assert!(kept.shards().iter().all(|shard| shard.rows > 0.0), "{:?}", kept.shards());
        assert_eq!(having(&fixture, "sales", kept).relation("sales"), found, "{gone:?}");
    }
    // It gives way to what pays, as others do.
    let cheap = fixture.with(|fixture| fixture.constants.change_row_ms = 0.0).with(|fixture| {
        fixture.constants.change_gain_min = 0.0;
    });
    let gap = changed(&whole, |shards| drop(shards.remove(2)));
    let found = having(&cheap, "sales", &gap).relation("sales");
    assert!(found.reason.starts_with("It is cut now as range by code in 5 shards: "), "{}", found.reason);
}

#[test]
fn partitions_that_are_not_known_stay_and_no_others_are_told_of() {
    let fixture = accounts(400.0).edit("accounts", |table| {
        table.kind = TableKind::Partitioned;
        table.partition_key = Some("HASH (lower(email))".to_owned());
    });
    let told = |fixture: &Fixture| {
        let found = check(fixture, "accounts", "none");
        assert!(found.layout.is_none());
        // A person may have them replaced, and is told so.
        let other = found.candidates.iter().find(|one| one.layout.is_some()).unwrap();
        assert!(other.warnings.iter().any(|warning| warning.contains("would replace its partitions")));
        found.reason
    };
    let why = "its key has an expression";
    let here = fixture.clone().with(|fixture| {
        fixture.unlike_ours.insert(name("accounts"), why.to_owned());
    });
    let by = "It is partitioned by HASH (lower(email)) already, which is not analysed and stays as it is: ";
    assert_eq!(told(&here), format!("{by}{why}."));
    // In a profile alone.
    assert_eq!(told(&fixture), format!("{by}a profile does not tell the bounds of its partitions."));
}

#[test]
fn every_form_gives_way_to_what_pays() {
    // All statements ask for one moment, very often, and the move costs little.
    let fixture = sales(400.0).with(|fixture| {
        fixture.workload.statements.clear();
        fixture.constants.change_row_ms = 1e-4;
    });
    let fixture = fixture.statement(8.64e6, 1e9, &[("sales", &[range("ts")])]);
    let by_time = |layout: &Layout| layout.first_key() == ["ts"] && layout.shards().len() > 4;
    for (form, layout) in forms(&fixture).into_iter().filter(|(_, layout)| !by_time(layout)) {
        let found = having(&fixture, "sales", &layout).relation("sales");
        assert_eq!(found.layout.as_ref().unwrap().first_key(), ["ts"], "{form}: {}", found.reason);
        let reason = &found.reason;
        assert!(reason.starts_with("It is cut now as "), "{form}: {reason}");
        assert!(
            reason.contains("the change saves ") && reason.contains("pays for moving "),
            "{form}: {reason}"
        );
        let word = layout.strategy().word();
        assert!(reason.contains(&format!("{word} by ")) && reason.contains(" within "), "{form}: {reason}");
        assert!(reason.contains(&format!("in {} shards", layout.shards().len())), "{form}: {reason}");
    }
    // The same is not worth a dear move.
    let dear = fixture.with(|fixture| fixture.constants.change_row_ms = 1e9);
    for (form, layout) in forms(&dear) {
        let found = having(&dear, "sales", &layout).relation("sales");
        assert_eq!(bounds(found.layout.as_ref().unwrap()), bounds(&layout), "{form}: {}", found.reason);
    }
}

#[test]
fn each_is_priced_by_its_own_bounds() {
    let fixture = sales(400.0);
    let input = fixture.input();
    let stems = stem::stems(&fixture.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    // Ways of ours: what they cost, and what they cost as layouts that are there.
    let mut forms = std::collections::BTreeSet::new();
    for way in option::options(&input, &subjects[0], &|| false)
        .unwrap()
        .iter()
        .filter(|way| way.impossible.is_none())
    {
        let layout = way.division.layout(&subjects[0]).unwrap();
        let laid = of_layout(&input, &subjects[0], &layout).unwrap();
        let shown =
            format!("{:?} by {:?} x {}", layout.strategy(), layout.shard_key(), layout.shards().len());
        assert!(laid.division.same_bounds(&way.division) && laid.division.to_come == 0, "{shown}");
        assert_eq!(bounds(&laid.layout), bounds(&layout), "{shown}");
        for (found, expected) in laid.division.rows.iter().zip(&way.division.rows) {
            assert!((found - expected).abs() <= 1e-6 * expected + 1.0, "{shown}: {found} for {expected}");
        }
        let cost = Cost::of(&input, &subjects[0], &laid.division);
        let pairs = cost.terms().into_iter().zip(way.cost.terms());
        for (found, expected) in pairs {
            let near = (found.value - expected.value).abs() <= 1e-6 * expected.value + 1e-9;
            assert!(near, "{shown}: {found:?} for {expected:?}");
        }
        forms.insert(layout.strategy());
    }
    assert!(forms.len() >= 4, "{forms:?}");
    // A shard with nearly all rows costs as much as the whole table, nearly.
    let costs = |split: &[&str]| {
        let layout = made(&fixture, "sales", Strategy::Range, &["id"], &json!({"split_points": split}));
        let laid = of_layout(&input, &subjects[0], &layout).unwrap();
        (Cost::of(&input, &subjects[0], &laid.division).total(), laid.layout.shards()[0].rows)
    };
    let (even, odd) =
        (costs(&["25000000", "50000000", "75000000"]), costs(&["97000000", "98000000", "99000000"]));
    assert!(even.0 < odd.0, "{even:?} {odd:?}");
    assert!((odd.1 / even.1 - 97.0 / 25.0).abs() < 0.01, "{even:?} {odd:?}");
}

fn range_shard(name: &str, from: &str, to: &str) -> Shard {
    let point = |text: &str| vec![RangeDatum::Value(text.to_owned())];
    Shard {
        name: name.to_owned(),
        bound: Bound::Range { lower: point(from), upper: point(to) },
        rows: 0.0,
        bytes: 0.0,
        tablespace: Some("cold".to_owned()),
        future: false,
        of: None,
    }
}

fn changed(layout: &Layout, change: impl FnOnce(&mut Vec<Shard>)) -> Layout {
    let mut shards = layout.shards().to_vec();
    change(&mut shards);
    Layout::new(layout.strategy(), layout.shard_key().to_vec(), layout.key_types().to_vec(), shards).unwrap()
}

#[test]
fn what_was_changed_by_hand_is_priced_as_it_is() {
    // Whatever is better saves less than this.
    let fixture = events(40.0).with(|fixture| fixture.constants.change_gain_min = 0.9);
    let first = fixture.relation("events").layout.unwrap();
    assert_eq!(first.key_types(), [KeyType::TimestampTz]);
    let kept = |layout: &Layout| -> RelationProposal {
        let found = having(&fixture, "events", layout).relation("events");
        assert_eq!(bounds(found.layout.as_ref().unwrap()), bounds(layout), "{}", found.reason);
        assert!(found.reason.starts_with("It is cut so already"), "{}", found.reason);
        found
    };
    let share = |found: &RelationProposal, name: &str| {
        let shards = found.layout.as_ref().unwrap().shards();
        shards.iter().find(|shard| shard.name == name).unwrap().rows
            / shards.iter().map(|shard| shard.rows).sum::<f64>()
    };
    // Two years more ahead, under another name and elsewhere.
    let longer = changed(&first, |shards| {
        let at = shards.len() - 1;
        shards.insert(at, range_shard("Far ahead", "2026-07-01 00:00:00+00", "2028-07-01 00:00:00+00"));
    });
    let found = kept(&longer);
    assert_eq!(share(&found, "Far ahead"), 0.0);
    let far = found.layout.as_ref().unwrap().shards().iter().find(|shard| shard.name == "Far ahead").unwrap();
    assert!(far.future && far.tablespace.as_deref() == Some("cold"));
    // March went to an archive, and what is written into it goes to DEFAULT.
    let gap = changed(&first, |shards| {
        shards.retain(|shard| !shard.bound.sql().contains("FROM ('2025-03-01"));
    });
    assert_eq!(gap.shards().len() + 1, first.shards().len());
    assert!((share(&kept(&gap), "events_default") - 31.0 / 379.0 / 1.1).abs() < 0.01);
    // The first quarter was put together.
    let merged = changed(&first, |shards| {
        shards.drain(..3);
        shards.insert(0, range_shard("q1", "2025-01-01 00:00:00+00", "2025-04-01 00:00:00+00"));
    });
    assert!((share(&kept(&merged), "q1") - 90.0 / 379.0 / 1.1).abs() < 0.01);
    // Shards end before the horizon: they are priced as they will be continued.
    let short = changed(&first, |shards| {
        let at = shards.len() - 4;
        shards.drain(at..at + 3);
    });
    kept(&short);
    // Without a DEFAULT.
    kept(&changed(&first, |shards| drop(shards.pop())));
}

#[test]
fn what_is_there_without_a_default_is_warned_of_as_it_is() {
    let fixture = sales(400.0).with(|fixture| fixture.constants.change_gain_min = 0.999);
    let warned = |bounds: Value, key: &str, strategy| {
        let layout = made(&fixture, "sales", strategy, &[key], &bounds);
        having(&fixture, "sales", &layout)
            .edit("sales", |table| {
                let column = table.columns.iter_mut().find(|column| column.name == key);
                column.unwrap().not_null = false;
            })
            .relation("sales")
            .warnings
            .join("\n")
    };
    let refused =
        "Column tenant may be NULL, and there is no default shard: PostgreSQL will refuse such rows.";
    let elsewhere = "Column tenant may be NULL: such rows go to the default shard.";
    let outside = "There is no default shard: PostgreSQL will refuse rows whose tenant is in no list.";
    let with = |lists: Value, default: bool| {
        warned(json!({"lists": lists, "default": default}), "tenant", Strategy::List)
    };
    let (closed, open) = (with(json!([["7"], ["8"]]), false), with(json!([["7"], ["8"]]), true));
    assert!(closed.contains(refused) && closed.contains(outside) && !closed.contains(elsewhere), "{closed}");
    assert!(open.contains(elsewhere) && !open.contains("no default shard"), "{open}");
    let listed = with(json!([["7", null], ["8"]]), false);
    assert!(!listed.contains("may be NULL") && listed.contains(outside), "{listed}");
    let ranges = warned(json!({"split_points": ["8"], "default": false}), "tenant", Strategy::Range);
    assert!(ranges.contains(refused) && !ranges.contains(elsewhere), "{ranges}");
}

#[test]
fn a_single_partition_is_not_called_the_whole_table() {
    let fixture = sales(400.0).with(|fixture| fixture.constants.change_row_ms = 0.0);
    let bounds = json!({"lists": []});
    let alone = made(&fixture, "sales", Strategy::List, &["tenant"], &bounds);
    assert_eq!(alone.shards().len(), 1);
    let found = having(&fixture, "sales", &alone).relation("sales");
    assert!(found.reason.starts_with("It is cut now as list by tenant in one shard: "), "{}", found.reason);
}

#[test]
fn a_hash_of_more_shards_than_statements_bear_is_still_what_is_there() {
    let fixture = accounts(400.0).with(|fixture| {
        fixture.settings.shards_per_table_max = 16;
        fixture.constants.change_gain_min = 0.9;
    });
    let many = fixture.clone().with(|fixture| fixture.settings.shards_per_table_max = 1024);
    let layout = made(&many, "accounts", Strategy::Hash, &["id"], &json!({"modulus": 64}));
    let found = having(&fixture, "accounts", &layout).relation("accounts");
    assert_eq!(shape(&found), "hash(id) x 64", "{}", found.reason);
}

#[test]
fn a_layout_by_a_column_that_is_gone_is_not_known() {
    let fixture = sales(400.0);
    let layout = made(&fixture, "sales", Strategy::Hash, &["code"], &json!({"modulus": 4}));
    let gone = having(&fixture, "sales", &layout).edit("sales", |table| drop(table.columns.pop()));
    assert!(!gone.relation("sales").reason.starts_with("It is cut"), "{}", gone.relation("sales").reason);
}
