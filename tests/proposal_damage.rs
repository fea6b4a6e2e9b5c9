//! Exported proposals of every strategy: they come back as they were, and
//! whatever is done to them on the way is refused or obeys the laws.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod layouts;

use std::collections::BTreeSet;

use pg_presplit::model::bound::Bound;
use pg_presplit::model::key::KeyType;
use pg_presplit::model::key::Strategy as Division;
use pg_presplit::model::layout::Layout;
use pg_presplit::model::name::QualifiedName;
use pg_presplit::model::report::Report;
use pg_presplit::model::settings::Settings;
use pg_presplit::planning::proposal::CandidateSummary;
use pg_presplit::planning::proposal::Confidence;
use pg_presplit::planning::proposal::Price;
use pg_presplit::planning::proposal::Proposal;
use pg_presplit::planning::proposal::RelationProposal;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;
use serde_json::json;

use layouts::layout;
use layouts::list_hash;
use layouts::range;
use layouts::range_hash;

fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(beside)), ..ProptestConfig::with_cases(32) }
}

fn candidate(rank: u32, layout: Option<Layout>) -> CandidateSummary {
    CandidateSummary {
        rank,
        strategy: layout.as_ref().map_or(Division::None, Layout::strategy),
        shard_key: layout.as_ref().map_or_else(Vec::new, |layout| layout.shard_key().to_vec()),
        shard_count: layout.as_ref().map_or(1, |layout| layout.shards().len()),
        cost: 1.5,
        cost_share: 0.25,
        legal: true,
        reason: "Such.".to_owned(),
        generators: Vec::new(),
        price: Price::default(),
        terms: Vec::new(),
        layout,
        rows_scanned_share: 0.5,
        skew: 0.0,
        warnings: vec!["Beware.".to_owned()],
    }
}

/// A proposal for one table for each layout, with the others as alternatives.
fn proposal(all: Vec<Option<Layout>>) -> Proposal {
    let relations = all.iter().enumerate().map(|(at, layout)| {
        let mut candidates = vec![candidate(1, layout.clone())];
        let others = all.iter().enumerate().filter(|(other, _)| *other != at);
        candidates.extend((2..).zip(others).map(|(rank, (_, other))| candidate(rank, other.clone())));
        RelationProposal {
            relation: QualifiedName::new("app", format!("t{at}")),
            strategy: candidates[0].strategy,
            layout: layout.clone(),
            colocation_group: None,
            rows_scanned_share: 0.5,
            skew: 0.0,
            bytes_at_horizon: 1e9,
            confidence: Confidence::Low,
            reason: "Such.".to_owned(),
            warnings: Vec::new(),
            candidates,
            evidence: Vec::new(),
        }
    });
    Proposal {
        settings: Settings::default(),
        horizon_micros: 1,
        relations: relations.collect(),
        search: None,
    }
}

/// A layout of every strategy.
fn every_strategy() -> impl Strategy<Value = Vec<Option<Layout>>> {
    (range_hash(), list_hash()).prop_map(|((_, ranges), lists)| {
        let list = vec![Bound::List { values: vec![Some("a".to_owned()), None] }, Bound::Default];
        let hash = (0..2).map(|remainder| Bound::Hash { modulus: 2, remainder }).collect();
        vec![
            None,
            layout(Division::Range, &[KeyType::Date], vec![range(KeyType::Date, (None, Some(3)))]).ok(),
            layout(Division::Hash, &[KeyType::Text, KeyType::Uuid], hash).ok(),
            layout(Division::List, &[KeyType::Text], list).ok(),
            Some(ranges),
            Some(lists),
        ]
    })
}

/// Every place in a JSON value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(number, item)| places(item, &format!("{at}/{number}"), found));
        }
        Value::Object(items) => {
            items.iter().for_each(|(key, item)| places(item, &format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("default")),
        Just(json!("range_hash")),
        Just(json!("\0")),
        Just(json!("x".repeat(64))),
        Just(json!({"hash": {"modulus": 4_294_967_295_u32, "remainder": 4_294_967_294_u32}})),
        Just(json!({"range": {"lower": [], "upper": []}})),
        Just(json!({"list": {"values": []}})),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{0,6}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// What holds of every proposal that was read.
fn is_sound(read: &Proposal) {
    let mut seen = BTreeSet::new();
    for proposed in &read.relations {
        assert!(seen.insert(proposed.relation.clone()));
        let all = proposed.candidates.iter().filter_map(|one| one.layout.as_ref()).chain(&proposed.layout);
        for layout in all {
            let mut names = BTreeSet::new();
            assert!(layout.names().all(|name| names.insert(name) && !name.contains('\0') && name.len() < 64));
            assert!(
                layout.shards().iter().all(|shard| shard.of.is_none() == layout.branch_of(shard).is_none())
            );
            assert!(!layout.first_level().is_empty() && !layout.key_columns().is_empty());
        }
        for candidate in &proposed.candidates {
            // Whatever is chosen, it comes out whole, or is refused with a reason.
            match read.choose(&proposed.relation, candidate.rank) {
                Ok(chosen) => assert_eq!(Proposal::from_json(&chosen.to_json()).unwrap(), chosen),
                Err(refused) => assert!(!refused.to_string().is_empty()),
            }
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_strategy_comes_back_as_it_was(all in every_strategy()) {
        let made = proposal(all);
        let exported = made.to_json();
        prop_assert_eq!(&exported["version"], &json!(2));
        let read = Proposal::from_json(&serde_json::from_str(&exported.to_string()).unwrap()).unwrap();
        prop_assert_eq!(&read, &made);
        is_sound(&read);
        for rank in 1..=6 {
            prop_assert!(read.choose(&QualifiedName::new("app", "t0"), rank).is_ok());
        }
    }

    /// Any part of it replaced, removed, doubled or moved.
    #[test]
    fn damage_is_refused_or_harmless(
        all in every_strategy(),
        damages in prop::collection::vec((any::<Index>(), any::<Index>(), 0..4, any_json()), 1..4),
    ) {
        let mut value = proposal(all).to_json();
        for (at, other, way, json) in damages {
            let mut found = Vec::new();
            places(&value, "", &mut found);
            let copied = value.pointer(&found[other.index(found.len())]).cloned().unwrap();
            let at = found[at.index(found.len())].as_str();
            match way {
                0 => *value.pointer_mut(at).unwrap() = json,
                1 => *value.pointer_mut(at).unwrap() = copied,
                _ => {
                    let Some((parent, last)) = at.rsplit_once('/') else { continue };
                    match value.pointer_mut(parent).unwrap() {
                        Value::Object(items) => { items.remove(last); }
                        Value::Array(items) => {
                            let number: usize = last.parse().unwrap();
                            if way == 2 { items.remove(number); } else { items.push(copied); }
                        }
                        _ => {}
                    }
                }
            }
        }
        match Proposal::from_json(&value) {
            Ok(read) => is_sound(&read),
            Err(error) => {
                prop_assert!(error.detail().is_some_and(|detail| detail.ends_with('.')), "{error:?}");
                prop_assert!(error.hint().is_some());
            }
        }
    }

    #[test]
    fn any_json_is_refused(value in any_json()) {
        prop_assert!(Proposal::from_json(&value).is_err());
        let dressed = json!({"format": "pg_presplit proposal", "version": 2, "proposal": value});
        prop_assert!(Proposal::from_json(&dressed).is_err());
    }
}

#[test]
fn one_level_is_written_as_older_releases_read_it() {
    let hash = (0..2).map(|remainder| Bound::Hash { modulus: 2, remainder }).collect();
    let made = proposal(vec![layout(Division::Hash, &[KeyType::Text], hash).ok(), None]);
    let exported = made.to_json();
    assert_eq!(exported["version"], json!(1));
    assert!(!exported.to_string().contains("branches") && !exported.to_string().contains("\"of\""));
    assert_eq!(Proposal::from_json(&exported).unwrap(), made);
}

#[test]
fn damage_is_named() {
    let list = || vec![Bound::List { values: vec![Some("a".to_owned())] }, Bound::Default];
    let made = proposal(vec![layout(Division::List, &[KeyType::Text], list()).ok()]).to_json();
    let damaged = |at: &str, with: Value| {
        let mut value = made.clone();
        let (parent, last) = at.rsplit_once('/').unwrap();
        match value.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[last.parse::<usize>().unwrap()] = with,
            parent => parent[last] = with,
        }
        Proposal::from_json(&value).unwrap_err().detail().unwrap()
    };
    for (at, with, part) in [
        ("/version", json!(3), "versions 1 to 2"),
        ("/format", json!("another"), "\"format\" is"),
        ("/proposal", json!(null), "does not have its shape"),
        ("/proposal/relations/0/strategy", json!("hash"), "do not agree"),
        ("/proposal/relations/0/candidates/0/strategy", json!("hash"), "do not agree"),
        ("/proposal/relations/0/layout/shards/0/name", json!("a\0"), "is not a name"),
        ("/proposal/relations/0/layout/shard_key/0", json!(""), "is not a name"),
        ("/proposal/relations/0/layout/shards/0/tablespace", json!("x".repeat(64)), "is not a name"),
        ("/proposal/relations/0/layout/shards/0/bound/list/values/0", json!("\0"), "code zero"),
        ("/proposal/relations/0/layout/shards/0/of", json!(0), "levels of the layout do not fit"),
        (
            "/proposal/relations/0/layout/shards/0/name",
            made["proposal"]["relations"][0]["relation"]["name"].clone(),
            "own name",
        ),
        ("/proposal/relations/0/layout/shards/0/rows", json!(-1.0), "is negative"),
        ("/proposal/relations/0/layout/shards/1/bytes", json!(1e300), "larger than any"),
        ("/proposal/relations/0/bytes_at_horizon", json!(-5.0), "is negative"),
    ] {
        let told = damaged(at, with);
        assert!(told.contains(part), "{at}: {told}");
    }
}
