//! Laws of layouts and names, over generated input.
//!
//! A layout that exists sends every key to exactly one shard, and stays what
//! it is on its way through JSON; names and literals are read back as they
//! were written. The shards that a key belongs to are counted here one by
//! one, so that the law does not rest on the code that it is about.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use pg_presplit::model::bound::Bound;
use pg_presplit::model::bound::RangeDatum;
use pg_presplit::model::key::KeyType;
use pg_presplit::model::key::Strategy as Division;
use pg_presplit::model::layout::Layout;
use pg_presplit::model::layout::LayoutError;
use pg_presplit::model::layout::Shard;
use pg_presplit::model::name::IDENTIFIER_BYTES_MAX;
use pg_presplit::model::name::QualifiedName;
use pg_presplit::model::name::WrittenName;
use pg_presplit::model::name::cut;
use pg_presplit::model::name::default_shard_name;
use pg_presplit::model::name::quote_literal;
use pg_presplit::model::name::shard_name;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use serde_json::Value;
use serde_json::json;

/// What broke once is tried again: the seeds are kept beside this file.
fn config() -> ProptestConfig {
    let beside = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { failure_persistence: Some(Box::new(beside)), ..ProptestConfig::default() }
}

fn shards(bounds: Vec<Bound>) -> Vec<Shard> {
    let shard = |(number, bound)| Shard {
        name: shard_name("orders", number),
        bound,
        rows: 1.0,
        bytes: 8192.0,
        tablespace: None,
        future: false,
    };
    (1..).zip(bounds).map(shard).collect()
}

fn layout(strategy: Division, kinds: &[KeyType], bounds: Vec<Bound>) -> Result<Layout, LayoutError> {
    let key = (0..kinds.len()).map(|at| format!("k{at}")).collect();
    Layout::new(strategy, key, kinds.to_vec(), shards(bounds))
}

/// A number on the line of a type, as the type writes it: an integer, or a
/// count of seconds from 2000 on.
fn written(kind: KeyType, number: i64) -> String {
    if kind.is_time() {
        let step = if kind == KeyType::Date { 86_400 } else { 1 };
        kind.write_moment((946_684_800 + number * step) * 1_000_000).unwrap()
    } else {
        number.to_string()
    }
}

fn datum(kind: KeyType, end: Option<i64>, open: &RangeDatum) -> RangeDatum {
    end.map_or_else(|| open.clone(), |number| RangeDatum::Value(written(kind, number)))
}

/// A range between two numbers; none is an open end.
fn range(kind: KeyType, (lower, upper): (Option<i64>, Option<i64>)) -> Bound {
    Bound::Range {
        lower: vec![datum(kind, lower, &RangeDatum::MinValue)],
        upper: vec![datum(kind, upper, &RangeDatum::MaxValue)],
    }
}

fn within((lower, upper): (Option<i64>, Option<i64>), number: i64) -> bool {
    lower.is_none_or(|lower| lower <= number) && upper.is_none_or(|upper| number < upper)
}

fn kind() -> impl Strategy<Value = KeyType> {
    select(vec![KeyType::Integer, KeyType::Date, KeyType::Timestamp, KeyType::TimestampTz])
}

/// Ends of ranges, few enough to meet each other.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![-20_i64..20, -40_000_i64..40_000]
}

fn pair() -> impl Strategy<Value = (Option<i64>, Option<i64>)> {
    (prop::option::weighted(0.9, number()), prop::option::weighted(0.9, number()))
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
    (prop_oneof![ranges, lists, hashes], beside).prop_map(|(found, (rows, bytes, tablespace, future))| {
        let changed = found.shards().iter().cloned();
        let changed =
            changed.map(|shard| Shard { rows, bytes, tablespace: tablespace.clone(), future, ..shard });
        let (key, kinds) = (found.shard_key().to_vec(), found.key_types().to_vec());
        Layout::new(found.strategy(), key, kinds, changed.collect()).unwrap()
    })
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
            value["strategy"] = json!("range_hash");
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
            value["shards"].as_array_mut().unwrap().push(twin);
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

/// What the server reads: a literal of either form, and nothing after it.
fn unquoted(sql: &str) -> Option<String> {
    let sql = sql.trim_start_matches(' ');
    let (escapes, body) = match sql.strip_prefix('E') {
        Some(body) => (true, body),
        None => (false, sql),
    };
    let mut characters = body.strip_prefix('\'')?.chars();
    let mut value = String::new();
    loop {
        match characters.next()? {
            '\'' => match characters.next() {
                Some('\'') => value.push('\''),
                None => return Some(value),
                Some(_) => return None,
            },
            '\\' if escapes => match characters.next()? {
                '\\' => value.push('\\'),
                _ => return None,
            },
            // With standard_conforming_strings off it would be an escape.
            '\\' => return None,
            other => value.push(other),
        }
    }
}

/// A name as the catalogs may hold it: of any characters but NUL.
fn identifier() -> impl Strategy<Value = String> {
    let any_text = prop_oneof![
        "[a-z_][a-z0-9_$]{0,62}",
        "[A-Za-z \"'.$\\\\]{1,63}",
        "\\PC{1,63}",
        prop::collection::vec(any::<char>(), 1..63).prop_map(|all| all.into_iter().collect::<String>()),
        select(vec!["select", "user", "none", "\"", "\"\"", "E", "a.b", " ", "ü", "\u{2028}"])
            .prop_map(str::to_owned),
    ];
    any_text
        .prop_map(|name| cut(&name.replace('\0', ""), IDENTIFIER_BYTES_MAX).to_owned())
        .prop_filter("a name has a character", |name| !name.is_empty())
}

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
            let LayoutError::Overlap { first, second } = &error else { panic!("{error:?}") };
            let names: Vec<_> = (1..=lists.len()).map(|number| shard_name("orders", number)).collect();
            prop_assert!(names.contains(first) && names.contains(second), "{error}");
        }
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

    #[test]
    fn shard_names_fit_and_differ(table in identifier()) {
        let mut seen = BTreeSet::from([default_shard_name(&table)]);
        for number in 0..=9999 {
            let name = shard_name(&table, number);
            prop_assert!(name.len() <= IDENTIFIER_BYTES_MAX, "{name}");
            prop_assert!(!name.is_empty() && !name.contains('\0'));
            prop_assert!(seen.insert(name), "{number} has the name of another");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written(schema in identifier(), name in identifier()) {
        let written = QualifiedName::new(&schema, &name).to_string();
        let read = WrittenName::parse(&written);
        prop_assert_eq!(read, Ok(WrittenName { schema: Some(schema), name }), "{}", written);
    }

    #[test]
    fn any_text_is_read_as_a_name_or_refused(text in "[a-zA-Z\". $0-9ü\u{0}]{0,90}") {
        if let Ok(read) = WrittenName::parse(&text) {
            for part in [read.schema.as_ref(), Some(&read.name)].into_iter().flatten() {
                prop_assert!(!part.is_empty() && part.len() <= IDENTIFIER_BYTES_MAX);
                prop_assert!(!part.contains('\0'));
            }
        }
    }

    #[test]
    fn literals_are_read_as_they_are_written(
        value in prop_oneof!["['\\\\E a]{0,20}", any::<String>()],
    ) {
        let sql = quote_literal(&value);
        prop_assert_eq!(unquoted(&sql), Some(value), "{}", sql);
    }

    /// Values of bounds are literals too, whatever they contain.
    #[test]
    fn bounds_quote_their_values(values in prop::collection::vec("['\\\\a, )]{0,8}", 1..4)) {
        let bound = Bound::List { values: values.iter().cloned().map(Some).collect() };
        let literals: Vec<_> = values.iter().map(|value| quote_literal(value).trim_start().to_owned()).collect();
        prop_assert_eq!(bound.sql(), format!("FOR VALUES IN ({})", literals.join(", ")));
        for (value, literal) in values.iter().zip(&literals) {
            prop_assert_eq!(unquoted(literal), Some(value.clone()));
        }
    }
}

#[test]
fn the_reader_of_literals_refuses_what_is_none() {
    for wrong in ["", "a", "'a", "'a'b'", "'a\\b'", "E'a\\b'", "'a''", "E'\\"] {
        assert_eq!(unquoted(wrong), None, "{wrong}");
    }
    assert_eq!(unquoted(" E'a\\\\''b'").as_deref(), Some("a\\'b"));
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
