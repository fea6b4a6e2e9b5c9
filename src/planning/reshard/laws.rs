//! Laws of splits and merges, for any shards.

use proptest::collection::btree_set;
use proptest::prelude::Just;
use proptest::prelude::Strategy;
use proptest::sample::subsequence;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::name::QualifiedName;
use crate::planning::reshard::Cuts;
use crate::planning::reshard::Shard;
use crate::planning::reshard::merge;
use crate::planning::reshard::order::testing::letters;
use crate::planning::reshard::order::testing::numbers;
use crate::planning::reshard::split;
use crate::planning::reshard::split::Divided;

fn named(bounds: &[Bound]) -> Vec<Shard> {
    let shard = |(at, bound): (usize, &Bound)| Shard {
        name: QualifiedName::new("app", format!("t_s{at:04}")),
        bound: bound.clone(),
    };
    bounds.iter().enumerate().map(shard).collect()
}

fn one(bound: Bound) -> Shard {
    Shard { name: QualifiedName::new("app", "t_s9999"), bound }
}

fn point(value: i32) -> Vec<RangeDatum> {
    vec![RangeDatum::Value(value.to_string())]
}

/// Whether a bound of whole numbers accepts one.
fn accepts(bound: &Bound, value: i32) -> bool {
    let Bound::Range { lower, upper } = bound else { return false };
    let end = |point: &Vec<RangeDatum>| match &point[0] {
        RangeDatum::MinValue => i32::MIN,
        RangeDatum::MaxValue => i32::MAX,
        RangeDatum::Value(text) => text.parse().unwrap(),
    };
    end(lower) <= value && value < end(upper)
}

/// A power of two and a shard of a modulus.
fn hashed() -> impl Strategy<Value = (u32, u32, u32)> {
    (1..200_u32, 1..6_u32).prop_flat_map(|(modulus, power)| (Just(modulus), 0..modulus, Just(1 << power)))
}

/// Values of a list, some of them for one new shard, some for another.
fn listed() -> impl Strategy<Value = (Vec<Option<String>>, Vec<Vec<Option<String>>>)> {
    let all: Vec<Option<String>> =
        std::iter::once(None).chain(('a'..='h').map(|letter| Some(letter.to_string()))).collect();
    subsequence(all, 3..9).prop_flat_map(|values| {
        let count = values.len();
        (subsequence(values.clone(), 2..count), Just(values), 1..count).prop_map(|(some, values, at)| {
            let (one, other) = some.split_at(at.min(some.len()));
            let lists = [one, other].into_iter().filter(|list| !list.is_empty());
            (values, lists.map(<[Option<String>]>::to_vec).collect())
        })
    })
}

proptest::proptest! {
    #[test]
    fn every_value_of_a_range_belongs_to_one_new_shard(
        ends in btree_set(0..300_i32, 2..8),
        open_below: bool,
        open_above: bool,
    ) {
        let ends: Vec<i32> = ends.into_iter().collect();
        let (first, last) = (ends[0], ends[ends.len() - 1]);
        let lower = if open_below { vec![RangeDatum::MinValue] } else { point(first) };
        let upper = if open_above { vec![RangeDatum::MaxValue] } else { point(last) };
        let whole = one(Bound::Range { lower, upper });
        let inner: Vec<_> = ends[1..ends.len() - 1].iter().copied().map(point).collect();
        let order = numbers(&["n"]);
        let divided = Divided { shard: &whole, siblings: &[], order: &order, shards_max: 100 };
        let Ok(bounds) = split::at(&divided, &Cuts::Points(inner.clone()), 2) else {
            assert!(inner.is_empty());
            return Ok(());
        };
        for value in -60..410 {
            let count = bounds.iter().filter(|bound| accepts(bound, value)).count();
            assert_eq!(count, usize::from(accepts(&whole.bound, value)), "{value}");
        }
        let mut shards = named(&bounds);
        shards.reverse();
        assert_eq!(merge::bound(&shards, &[], &order), Ok(whole.bound));
    }

    #[test]
    fn every_row_of_a_hash_shard_belongs_to_one_new_shard((modulus, remainder, parts) in hashed(), row: u32) {
        let whole = one(Bound::Hash { modulus, remainder });
        let order = numbers(&["n"]);
        let others: Vec<Bound> =
            (0..modulus).filter(|r| *r != remainder).map(|remainder| Bound::Hash { modulus, remainder }).collect();
        let siblings = named(&others);
        let divided = Divided { shard: &whole, siblings: &siblings, order: &order, shards_max: 1000 };
        let bounds = split::hash(&divided, modulus, remainder, parts).unwrap();
        let holds = |bound: &Bound| {
            matches!(bound, Bound::Hash { modulus, remainder } if row % modulus == *remainder)
        };
        let count = bounds.iter().filter(|bound| holds(bound)).count();
        assert_eq!(count, usize::from(holds(&whole.bound)));
        assert_eq!(merge::bound(&named(&bounds), &siblings, &order), Ok(whole.bound));
    }

    #[test]
    fn every_value_of_a_list_belongs_to_one_new_shard((values, lists) in listed()) {
        let whole = one(Bound::List { values: values.clone() });
        let order = letters();
        let divided = Divided { shard: &whole, siblings: &[], order: &order, shards_max: 100 };
        let bounds = split::at(&divided, &Cuts::Lists(lists), 2).unwrap();
        let sorted = |bounds: &[Bound]| {
            let mut all: Vec<Option<String>> = Vec::new();
            for bound in bounds {
                let Bound::List { values } = bound else { panic!("{bound:?}") };
                assert!(!values.is_empty());
                all.extend(values.iter().cloned());
            }
            all.sort();
            all
        };
        let mut expected = values;
        expected.sort();
        assert_eq!(sorted(&bounds), expected);
        assert_eq!(sorted(&[merge::bound(&named(&bounds), &[], &order).unwrap()]), expected);
    }

    #[test]
    fn what_is_cut_out_of_default_comes_back_by_a_merge(ends in btree_set(0..300_i32, 2..6)) {
        let whole = one(Bound::Default);
        let order = numbers(&["n"]);
        let divided = Divided { shard: &whole, siblings: &[], order: &order, shards_max: 100 };
        let points: Vec<_> = ends.into_iter().map(point).collect();
        let bounds = split::at(&divided, &Cuts::Points(points.clone()), 2).unwrap();
        assert_eq!(bounds.len(), points.len());
        assert_eq!(bounds.last(), Some(&Bound::Default));
        assert_eq!(merge::bound(&named(&bounds), &[], &order), Ok(Bound::Default));
    }
}
