//! Layouts that are made up for tests: of one level by their bounds, of two by
//! what each partition of the first one is divided into.

#![allow(dead_code, reason = "every test file uses its part")]

use pg_presplit::model::bound::Bound;
use pg_presplit::model::bound::RangeDatum;
use pg_presplit::model::key::KeyType;
use pg_presplit::model::key::Strategy as Division;
use pg_presplit::model::layout::Branch;
use pg_presplit::model::layout::Layout;
use pg_presplit::model::layout::LayoutError;
use pg_presplit::model::layout::Shard;
use pg_presplit::model::name::branch_name;
use pg_presplit::model::name::shard_name;
use proptest::prelude::*;
use proptest::sample::select;

pub fn shards(bounds: Vec<Bound>) -> Vec<Shard> {
    let shard = |(number, bound)| Shard {
        name: shard_name("orders", number),
        bound,
        rows: 1.0,
        bytes: 8192.0,
        tablespace: None,
        future: false,
        of: None,
    };
    (1..).zip(bounds).map(shard).collect()
}

pub fn layout(strategy: Division, kinds: &[KeyType], bounds: Vec<Bound>) -> Result<Layout, LayoutError> {
    let key = (0..kinds.len()).map(|at| format!("k{at}")).collect();
    Layout::new(strategy, key, kinds.to_vec(), shards(bounds))
}

/// A partition of the first level to be: its bound, and how it is divided.
pub type Plan = (Bound, Option<(u32, Vec<String>)>);

/// A layout of two levels, whose branches are hashed by columns of any type.
pub fn two_levels(
    strategy: Division,
    key: &[&str],
    kinds: &[KeyType],
    plans: &[Plan],
) -> Result<Layout, LayoutError> {
    let (mut branches, mut leaves) = (Vec::new(), Vec::new());
    for (number, (bound, divided)) in plans.iter().enumerate() {
        let Some((modulus, columns)) = divided else {
            leaves.push((bound.clone(), None));
            continue;
        };
        leaves.extend(
            (0..*modulus)
                .map(|remainder| (Bound::Hash { modulus: *modulus, remainder }, Some(branches.len()))),
        );
        branches.push(Branch {
            name: branch_name("orders", number + 1),
            bound: bound.clone(),
            shard_key: columns.clone(),
            key_types: vec![KeyType::Other; columns.len()],
        });
    }
    let (bounds, of): (Vec<_>, Vec<_>) = leaves.into_iter().unzip();
    let shards = shards(bounds).into_iter().zip(of).map(|(shard, of)| Shard { of, ..shard }).collect();
    let key = key.iter().map(|column| (*column).to_owned()).collect();
    Layout::two_level(strategy, key, kinds.to_vec(), branches, shards)
}

/// How many shards of a layout take a row, counted one by one: the place of
/// its first column on the line, and its hash.
pub fn takers(layout: &Layout, first: &dyn Fn(&Bound) -> bool, default: bool, hash: u64) -> usize {
    let parts = layout.first_level();
    let in_others = parts.iter().any(|part| *part.bound != Bound::Default && first(part.bound));
    let in_part = |bound: &Bound| if *bound == Bound::Default { default && !in_others } else { first(bound) };
    let takes = |shard: &&Shard| match (layout.branch_of(shard), &shard.bound) {
        (Some(branch), Bound::Hash { modulus, remainder }) => {
            in_part(&branch.bound) && hash % u64::from(*modulus) == u64::from(*remainder)
        }
        (Some(_), _) => false,
        (None, bound) => in_part(bound),
    };
    layout.shards().iter().filter(takes).count()
}

/// A number on the line of a type, as the type writes it: an integer, or a
/// count of seconds from 2000 on.
pub fn written(kind: KeyType, number: i64) -> String {
    if kind.is_time() {
        let step = if kind == KeyType::Date { 86_400 } else { 1 };
        kind.write_moment((946_684_800 + number * step) * 1_000_000).unwrap()
    } else {
        number.to_string()
    }
}

pub fn datum(kind: KeyType, end: Option<i64>, open: &RangeDatum) -> RangeDatum {
    end.map_or_else(|| open.clone(), |number| RangeDatum::Value(written(kind, number)))
}

/// A range between two numbers; none is an open end.
pub fn range(kind: KeyType, (lower, upper): (Option<i64>, Option<i64>)) -> Bound {
    Bound::Range {
        lower: vec![datum(kind, lower, &RangeDatum::MinValue)],
        upper: vec![datum(kind, upper, &RangeDatum::MaxValue)],
    }
}

pub fn within((lower, upper): (Option<i64>, Option<i64>), number: i64) -> bool {
    lower.is_none_or(|lower| lower <= number) && upper.is_none_or(|upper| number < upper)
}

pub fn kind() -> impl Strategy<Value = KeyType> {
    select(vec![KeyType::Integer, KeyType::Date, KeyType::Timestamp, KeyType::TimestampTz])
}

/// Ends of ranges, few enough to meet each other.
pub fn number() -> impl Strategy<Value = i64> {
    prop_oneof![-20_i64..20, -40_000_i64..40_000]
}

pub fn pair() -> impl Strategy<Value = (Option<i64>, Option<i64>)> {
    (prop::option::weighted(0.9, number()), prop::option::weighted(0.9, number()))
}

/// Ranges that are hashed, with a DEFAULT of either kind or none.
pub fn range_hash() -> impl Strategy<Value = (KeyType, Layout)> {
    let default = prop::option::of(any::<bool>());
    (kind(), prop::collection::btree_set(number(), 1..9), 1_u32..6, default).prop_map(
        |(kind, points, modulus, default)| {
            let ends: Vec<_> = [None].into_iter().chain(points.into_iter().map(Some)).chain([None]).collect();
            let divided = Some((modulus, vec!["k1".to_owned()]));
            let mut plans: Vec<Plan> =
                ends.windows(2).map(|pair| (range(kind, (pair[0], pair[1])), divided.clone())).collect();
            plans.extend(default.map(|too| (Bound::Default, divided.filter(|_| too))));
            let kinds = [kind, KeyType::Other];
            (kind, two_levels(Division::RangeHash, &["k0", "k1"], &kinds, &plans).unwrap())
        },
    )
}

/// Lists of which at least one is hashed, by one column or two.
pub fn list_hash() -> impl Strategy<Value = Layout> {
    let divided = || {
        (1_u32..6, any::<bool>()).prop_map(|(modulus, two)| {
            (modulus, if two { vec!["k0".to_owned(), "k1".to_owned()] } else { vec!["k1".to_owned()] })
        })
    };
    let lists = prop::collection::btree_set(prop::option::weighted(0.9, -9_i64..9), 1..9);
    let subs = prop::collection::vec(prop::option::of(divided()), 9);
    (lists, 1_usize..4, subs, prop::option::of(divided())).prop_map(|(values, size, mut subs, default)| {
        let values: Vec<_> = values.into_iter().map(|value| value.map(|value| value.to_string())).collect();
        let mut plans: Vec<Plan> = values
            .chunks(size)
            .map(|values| (Bound::List { values: values.to_vec() }, subs.pop().flatten()))
            .collect();
        plans[0].1.get_or_insert((2, vec!["k2".to_owned()]));
        plans.push((Bound::Default, default));
        two_levels(Division::ListHash, &["k0"], &[KeyType::Integer], &plans).unwrap()
    })
}
