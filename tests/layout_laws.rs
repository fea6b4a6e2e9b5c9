//! Laws of layouts, over generated input.
//!
//! A layout that exists sends every key to exactly one shard, and stays what
//! it is on its way through JSON. The shards that a key belongs to are counted
//! here one by one, so that the law does not rest on the code that it is about.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod layouts;

use std::collections::BTreeSet;

use pg_presplit::model::bound::Bound;
use pg_presplit::model::bound::RangeDatum;
use pg_presplit::model::key::KeyType;
use pg_presplit::model::key::Strategy as Division;
use pg_presplit::model::layout::Layout;
use pg_presplit::model::layout::LayoutError;
use pg_presplit::model::layout::Shard;
use pg_presplit::model::name::shard_name;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;
use serde_json::json;

use layouts::Plan;
use layouts::kind;
use layouts::layout;
use layouts::list_hash;
use layouts::number;
use layouts::pair;
use layouts::range;
use layouts::range_hash;
use layouts::takers;
use layouts::two_levels;
use layouts::within;
use layouts::written;

/// What broke once is tried again: the seeds are kept beside this file.
fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(beside)), ..ProptestConfig::default() }
}

/// A valid layout of any strategy, with anything in the fields beside the
/// bounds.
fn any_layout() -> impl Strategy<Value = Layout> {
    let ranges = (kind(), prop::collection::btree_set(number(), 2..12), any::<bool>()).prop_map(
        |(kind, points, default)| {
            let points: Vec<_> = points.into_iter().collect();
            let mut bounds: Vec<_> =
                points.windows(2).map(|pair| range(kind, (Some(pair[0]), Some(pair[1])))).collect();
            bounds.extend(default.then_some(Bound::Default));
            layout(Division::Range, &[kind], bounds).unwrap()
        },
    );
    let lists = (prop::collection::btree_set(any::<Option<String>>(), 2..20), 1_usize..5, any::<bool>())
        .prop_map(|(values, size, default)| {
            let values: Vec<_> = values.into_iter().collect();
            let mut bounds: Vec<_> =
                values.chunks(size).map(|values| Bound::List { values: values.to_vec() }).collect();
            bounds.extend(default.then_some(Bound::Default));
            layout(Division::List, &[KeyType::Text], bounds).unwrap()
        });
    let hashes = (1_u32..32).prop_map(|modulus| {
        let bounds = (0..modulus).map(|remainder| Bound::Hash { modulus, remainder });
        layout(Division::Hash, &[KeyType::Other, KeyType::Uuid], bounds.collect()).unwrap()
    });
    let size = || prop_oneof![0.0..1e15_f64, any::<u64>().prop_map(|bits| bits as f64 / 7.0)];
    let beside = (size(), size(), any::<Option<String>>(), any::<bool>());
    let nested = prop_oneof![range_hash().prop_map(|(_, found)| found), list_hash()];
    (prop_oneof![ranges, lists, hashes, nested], beside).prop_map(
        |(found, (rows, bytes, tablespace, future))| {
            let changed = found.shards().iter().cloned();
            let changed =
                changed.map(|shard| Shard { rows, bytes, tablespace: tablespace.clone(), future, ..shard });
            let (key, kinds) = (found.shard_key().to_vec(), found.key_types().to_vec());
            if found.branches().is_empty() {
                Layout::new(found.strategy(), key, kinds, changed.collect()).unwrap()
            } else {
                let branches = found.branches().to_vec();
                Layout::two_level(found.strategy(), key, kinds, branches, changed.collect()).unwrap()
            }
        },
    )
}

/// The JSON of a layout made wrong in one of many ways; what was done.
fn tampered(mut value: Value, way: usize, at: Index) -> (Value, &'static str) {
    let count = value["shards"].as_array().unwrap().len();
    let at = at.index(count);
    let list = value["strategy"] == "list";
    let name = value["shards"][at]["name"].clone();
    let what = match way {
        0 => {
            value["shards"] = json!([]);
            "no shard"
        }
        1 => {
            value["shard_key"] = json!([]);
            "no key"
        }
        2 => {
            let two = value["strategy"].as_str().unwrap().ends_with("_hash");
            value["strategy"] = json!(if two { "hash" } else { "range_hash" });
            "another strategy"
        }
        3 => {
            value["strategy"] = json!(if list { "hash" } else { "list" });
            value["shards"][at]["bound"] = json!({"range": {"lower": [], "upper": []}});
            "a strategy that the bounds do not fit"
        }
        4 => {
            let twin = value["shards"][at].clone();
            value["shards"].as_array_mut().unwrap().push(twin);
            "a shard twice"
        }
        5 => {
            let mut twin = value["shards"][at].clone();
            twin["name"] = json!("another");
            value["shards"].as_array_mut().unwrap().insert(at, twin);
            "a bound twice"
        }
        6 => {
            let mut other = value["shards"][at].clone();
            other["name"] = name;
            other["bound"] = json!("default");
            value["shards"].as_array_mut().unwrap().push(other);
            "a name twice"
        }
        7 => {
            value["key_types"].as_array_mut().unwrap().push(json!("text"));
            "a type too many"
        }
        8 => {
            value["shards"][at].as_object_mut().unwrap().remove("bound");
            "no bound"
        }
        _ => {
            value["shards"][at]["bound"] = json!({"hash": {"modulus": 4, "remainder": 4}});
            "an impossible remainder"
        }
    };
    (value, what)
}

const WAYS: usize = 10;

/// The JSON of a layout of two levels made wrong in ways of its own.
fn tampered_branches(mut value: Value, way: usize, at: Index) -> (Value, &'static str) {
    let of = |shard: &Value| shard["of"].as_u64();
    let branches = value["branches"].as_array().unwrap().len();
    let at = at.index(branches);
    let leaf = value["shards"].as_array().unwrap().iter().position(|one| of(one) == Some(at as u64)).unwrap();
    let what = match way {
        0 => {
            value["branches"] = json!([]);
            "shards of no branch"
        }
        1 => {
            value["shards"][leaf]["of"] = json!(branches);
            "a branch that is not there"
        }
        2 => {
            value["shards"].as_array_mut().unwrap().remove(leaf);
            "a remainder missing"
        }
        3 => {
            value["shards"][leaf].as_object_mut().unwrap().remove("of");
            "a hash shard on the first level"
        }
        4 => {
            value["branches"][at]["name"] = value["shards"][leaf]["name"].clone();
            "a branch and a shard of one name"
        }
        5 => {
            value["branches"][at]["shard_key"] = json!([]);
            "a branch without a key"
        }
        6 => {
            value["branches"][at]["bound"] = json!({"hash": {"modulus": 2, "remainder": 0}});
            "a branch by hash"
        }
        7 => {
            let twin = value["branches"][at].clone();
            value["branches"].as_array_mut().unwrap().push(twin);
            value["branches"][branches]["name"] = json!("another");
            "a branch without shards"
        }
        8 => {
            value["shards"][leaf]["of"] = json!(-1);
            "a branch below the first"
        }
        _ => {
            value["shard_key"] = json!(["k0", "k1", "k2"]);
            value["key_types"] = json!(["integer", "integer", "integer"]);
            "a key of three columns"
        }
    };
    (value, what)
}

const BRANCH_WAYS: usize = 10;

proptest! {
    #![proptest_config(config())]

    /// Ranges between ascending points, open or not, with or without DEFAULT.
    #[test]
    fn ranges_cover_every_key_once(
        kind in kind(),
        points in prop::collection::btree_set(number(), 1..20),
        (open_below, open_above, default) in any::<(bool, bool, bool)>(),
        keys in prop::collection::vec(number(), 1..40),
    ) {
        let mut ends: Vec<Option<i64>> = points.iter().copied().map(Some).collect();
        if open_below {
            ends.insert(0, None);
        }
        let mut pairs: Vec<_> = ends.windows(2).map(|pair| (pair[0], pair[1])).collect();
        if open_above {
            pairs.push((points.last().copied(), None));
        }
        let mut bounds: Vec<_> = pairs.iter().map(|pair| range(kind, *pair)).collect();
        bounds.extend(default.then_some(Bound::Default));
        prop_assume!(!bounds.is_empty());
        let found = layout(Division::Range, &[kind], bounds.clone()).unwrap();
        prop_assert_eq!(found.shards().len(), bounds.len());
        for key in keys.into_iter().chain(points) {
            let takers = pairs.iter().filter(|pair| within(**pair, key)).count();
            prop_assert!(takers <= 1);
            prop_assert!(takers == 1 || default || !(open_below && open_above), "{key} has no shard");
        }
    }

    /// Whatever ranges are given: if a layout comes of them, no key has two
    /// shards and none is empty; if none comes, two overlap, one is empty or
    /// they are out of order.
    #[test]
    fn ranges_that_share_a_key_are_refused(
        kind in kind(),
        pairs in prop::collection::vec(pair(), 1..5),
    ) {
        let bounds = pairs.iter().map(|pair| range(kind, *pair)).collect();
        let full = |(lower, upper): &(Option<i64>, Option<i64>)| {
            lower.unwrap_or(i64::MIN) < upper.unwrap_or(i64::MAX)
        };
        let before = |two: &[(Option<i64>, Option<i64>)]| {
            two[0].1.unwrap_or(i64::MAX) <= two[1].0.unwrap_or(i64::MIN)
        };
        let right = pairs.iter().all(full) && pairs.windows(2).all(before);
        let found = layout(Division::Range, &[kind], bounds);
        prop_assert_eq!(found.is_ok(), right, "{:?}", found);
        if let Err(error) = found {
            let told = matches!(error, LayoutError::NotAscending { .. } | LayoutError::Overlap { .. });
            prop_assert!(told, "{error:?}");
        }
    }

    /// Points of two columns are ordered by the first, then by the second.
    #[test]
    fn ranges_of_two_columns_are_ordered_as_pairs(
        points in prop::collection::vec((-3_i64..3, -3_i64..3), 2..6),
    ) {
        let kinds = [KeyType::Integer, KeyType::Date];
        let point = |(a, b): (i64, i64)| vec![
            RangeDatum::Value(written(kinds[0], a)),
            RangeDatum::Value(written(kinds[1], b)),
        ];
        let bound = |two: &[(i64, i64)]| Bound::Range { lower: point(two[0]), upper: point(two[1]) };
        let found = layout(Division::Range, &kinds, points.windows(2).map(bound).collect());
        prop_assert_eq!(found.is_ok(), points.windows(2).all(|two| two[0] < two[1]));
    }

    /// Hash shards fill one modulus, or are refused.
    #[test]
    fn hash_shards_cover_every_remainder_once(
        modulus in 1_u32..12,
        remainders in prop::collection::vec(0_u32..12, 1..12),
        hashes in prop::collection::vec(any::<u64>(), 1..20),
    ) {
        let bounds = |remainders: &[u32]| {
            remainders.iter().map(|remainder| Bound::Hash { modulus, remainder: *remainder }).collect()
        };
        let all: Vec<u32> = (0..modulus).collect();
        let full = layout(Division::Hash, &[KeyType::Text], bounds(&all)).unwrap();
        for hash in hashes {
            let takes = |shard: &&Shard| match shard.bound {
                Bound::Hash { modulus, remainder } => hash % u64::from(modulus) == u64::from(remainder),
                _ => false,
            };
            prop_assert_eq!(full.shards().iter().filter(takes).count(), 1);
        }
        let mut sorted = remainders.clone();
        sorted.sort_unstable();
        let found = layout(Division::Hash, &[KeyType::Text], bounds(&remainders));
        prop_assert_eq!(found.is_ok(), sorted == all);
    }

    /// Lists that share a value are refused, however it is written; all
    /// others keep each value in one shard.
    #[test]
    fn lists_cover_every_value_once(
        lists in prop::collection::vec(
            prop::collection::vec((prop::option::weighted(0.9, -9_i64..9), any::<bool>()), 1..4), 1..5),
        default in any::<bool>(),
    ) {
        let value = |(number, zeros): &(Option<i64>, bool)| number.map(|number| match (number, zeros) {
            (0.., true) => format!("{number:03}"),
            _ => number.to_string(),
        });
        let mut bounds: Vec<_> =
            lists.iter().map(|list| Bound::List { values: list.iter().map(value).collect() }).collect();
        bounds.extend(default.then_some(Bound::Default));
        let numbers: Vec<_> = lists.iter().flatten().map(|(number, _)| *number).collect();
        let distinct: BTreeSet<_> = numbers.iter().collect();
        let found = layout(Division::List, &[KeyType::Integer], bounds);
        prop_assert_eq!(found.is_ok(), distinct.len() == numbers.len(), "{:?}", found);
        if let Err(error) = found {
            let LayoutError::Overlap { first, second, .. } = &error else { panic!("{error:?}") };
            let names: Vec<_> = (1..=lists.len()).map(|number| shard_name("orders", number)).collect();
            prop_assert!(names.contains(first) && names.contains(second), "{error}");
        }
    }

    /// A row of two levels has one shard: its range's part by its hash.
    #[test]
    fn hashed_ranges_cover_every_row_once(
        (kind, found) in range_hash(),
        keys in prop::collection::vec((number(), any::<u64>()), 1..40),
    ) {
        let defaults = found.first_level().iter().filter(|part| *part.bound == Bound::Default).count();
        for (key, hash) in keys {
            let of = vec![RangeDatum::Value(written(kind, key))];
            let first = |bound: &Bound| match bound {
                Bound::Range { lower, upper } => {
                    let order = |a: &[RangeDatum], b: &[RangeDatum]| a[0].compare(&b[0], kind).unwrap();
                    order(lower, &of).is_le() && order(&of, upper).is_lt()
                }
                _ => false,
            };
            prop_assert_eq!(takers(&found, &first, true, hash), 1);
            // Of NULL there is no range.
            prop_assert_eq!(takers(&found, &|_| false, true, hash), defaults);
        }
        prop_assert_eq!(found.key_columns(), ["k0", "k1"]);
        prop_assert_eq!(found.first_key(), ["k0"]);
    }

    #[test]
    fn hashed_lists_cover_every_row_once(
        found in list_hash(),
        keys in prop::collection::vec((prop::option::weighted(0.9, -12_i64..12), any::<u64>()), 1..40),
    ) {
        for (key, hash) in keys {
            let first = |bound: &Bound| match bound {
                Bound::List { values } => values.contains(&key.map(|key| key.to_string())),
                _ => false,
            };
            prop_assert_eq!(takers(&found, &first, true, hash), 1);
        }
        let columns = found.key_columns();
        prop_assert_eq!(columns.iter().collect::<BTreeSet<_>>().len(), columns.len());
        prop_assert!(found.branches().iter().flat_map(|one| &one.shard_key).all(|one| columns.contains(one)));
    }

    #[test]
    fn tampered_branches_are_refused(
        found in prop_oneof![range_hash().prop_map(|(_, found)| found), list_hash()],
        way in 0..BRANCH_WAYS,
        at in any::<Index>(),
    ) {
        let (value, what) = tampered_branches(serde_json::to_value(&found).unwrap(), way, at);
        prop_assert!(serde_json::from_value::<Layout>(value).is_err(), "{what}");
    }

    /// Whatever shards are said to be of which branch: they stand side by
    /// side, in the order of the branches, or are refused.
    #[test]
    fn scattered_shards_are_refused(found in list_hash(), swap in any::<(Index, Index)>()) {
        let mut shards = found.shards().to_vec();
        let (a, b) = (swap.0.index(shards.len()), swap.1.index(shards.len()));
        shards.swap(a, b);
        let order: Vec<_> = shards.iter().map(|shard| shard.of).collect();
        let before: Vec<_> = found.shards().iter().map(|shard| shard.of).collect();
        let key = found.shard_key().to_vec();
        let kinds = found.key_types().to_vec();
        let read = Layout::two_level(Division::ListHash, key, kinds, found.branches().to_vec(), shards);
        let mut seen: Vec<_> = order.clone();
        seen.dedup();
        let seen: Vec<_> = seen.into_iter().flatten().collect();
        prop_assert_eq!(read.is_ok(), seen.windows(2).all(|two| two[0] < two[1]), "{:?}", read);
        prop_assert!(order != before || read.is_ok());
    }

    #[test]
    fn layouts_come_back_from_json_unchanged(found in any_layout()) {
        let text = serde_json::to_string(&found).unwrap();
        let read: Layout = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &found);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        let value = serde_json::to_value(&found).unwrap();
        prop_assert_eq!(serde_json::from_value::<Layout>(value).unwrap(), found);
    }

    #[test]
    fn tampered_layouts_are_refused(found in any_layout(), way in 0..WAYS, at in any::<Index>()) {
        let (value, what) = tampered(serde_json::to_value(&found).unwrap(), way, at);
        prop_assert!(serde_json::from_value::<Layout>(value).is_err(), "{what}");
    }

}

/// What was stored before there were two levels is read, and written, as it was.
#[test]
fn layouts_of_one_level_have_no_word_of_branches() {
    let text = r#"{"strategy":"hash","shard_key":["k"],"key_types":["integer"],"shards":[{"name":"t_s0001","bound":{"hash":{"modulus":1,"remainder":0}},"rows":1.0,"bytes":2.0,"tablespace":null,"future":false}]}"#;
    let read: Layout = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

#[test]
fn levels_fit_the_strategy() {
    let ranges = |moduli: [Option<u32>; 3]| {
        let column = |modulus: u32| (modulus, vec!["k1".to_owned()]);
        let ends = [(None, Some(1)), (Some(1), Some(2)), (Some(2), None)];
        let plans = ends.into_iter().zip(moduli);
        plans.map(|(ends, modulus)| (range(KeyType::Integer, ends), modulus.map(column))).collect::<Vec<_>>()
    };
    let kinds = [KeyType::Integer, KeyType::Other];
    let wrong = LayoutError::WrongLevels(Division::RangeHash);
    let made = |plans: &[Plan]| two_levels(Division::RangeHash, &["k0", "k1"], &kinds, plans).map(|_| ());
    assert_eq!(made(&ranges([Some(2), Some(2), Some(2)])), Ok(()));
    assert_eq!(made(&ranges([Some(2), Some(4), Some(2)])), Err(wrong.clone()));
    assert_eq!(made(&ranges([Some(2), None, Some(2)])), Err(wrong.clone()));
    assert_eq!(made(&ranges([None, None, None])), Err(wrong.clone()));
    let mut other = ranges([Some(2), Some(2), Some(2)]);
    other[1].1 = Some((2, vec!["k2".to_owned()]));
    assert_eq!(made(&other), Err(wrong));
    for strategy in [Division::Range, Division::Hash, Division::List, Division::None] {
        let found = two_levels(strategy, &["k0"], &kinds[..1], &ranges([Some(2), Some(2), Some(2)]));
        assert_eq!(found, Err(LayoutError::WrongLevels(strategy)));
    }
    for strategy in [Division::RangeHash, Division::ListHash, Division::None] {
        let found = layout(strategy, &kinds, vec![Bound::Default]);
        assert_eq!(found, Err(LayoutError::WrongLevels(strategy)));
    }
}

#[test]
fn a_list_has_one_column() {
    let bounds = vec![Bound::List { values: vec![Some("a".to_owned())] }];
    let two = [KeyType::Text, KeyType::Text];
    assert!(matches!(layout(Division::List, &two, bounds), Err(LayoutError::WrongBound(_))));
}

#[test]
fn bounds_that_are_refused_are_told_as_they_were_given() {
    let bounds = vec![range(KeyType::Integer, (Some(9), Some(4)))];
    let error = layout(Division::Range, &[KeyType::Integer], bounds).unwrap_err();
    assert_eq!(error, LayoutError::NotAscending { first: "9".to_owned(), second: "4".to_owned() });
    let list = |value: &str| Bound::List { values: vec![Some(value.to_owned())] };
    let error = layout(Division::List, &[KeyType::Text], vec![list("a"), list("a")]).unwrap_err();
    assert_eq!(error.to_string(), "shard \"orders_s0002\" overlaps shard \"orders_s0001\"");
}

#[test]
fn estimates_come_back_from_json_to_the_last_bit() {
    let rows = 9.226_791_172_032_405e16;
    let text = serde_json::to_string(&rows).unwrap();
    assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), f64::to_bits(rows));
}
