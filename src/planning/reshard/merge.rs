//! Several shards into one: the bound of the new one.
//!
//! Ranges that follow each other, any lists, and hash shards that one modulus
//! makes whole. With a DEFAULT shard among them the new one is DEFAULT: it
//! accepts what the others leave.
//!
//! Invariant: the new bound accepts exactly what the old ones did together.

use std::cmp::Ordering;

use crate::model::bound::Bound;
use crate::model::bound::RangePoint;
use crate::model::bound::write_point;
use crate::planning::reshard::KeyOrder;
use crate::planning::reshard::Shard;
use crate::planning::reshard::error::ReshardError;
use crate::planning::reshard::error::shown;
use crate::planning::reshard::split::fits_moduli;

/// The bound of the shard that comes in the place of these; `siblings` are the
/// other partitions of their table.
///
/// # Errors
/// [`ReshardError`] if no bound accepts exactly what they do.
pub fn bound(shards: &[Shard], siblings: &[Shard], order: &KeyOrder) -> Result<Bound, ReshardError> {
    let [first, .., _] = shards else { return Err(ReshardError::OneShard) };
    for (at, shard) in shards.iter().enumerate() {
        if shards[..at].iter().any(|other| other.name == shard.name) {
            return Err(ReshardError::NamedTwice { shard: shard.name.clone() });
        }
    }
    if shards.iter().any(|shard| shard.bound == Bound::Default) {
        return Ok(Bound::Default);
    }
    match first.bound {
        Bound::Hash { .. } => hash(shards, siblings),
        Bound::List { .. } => Ok(list(shards)),
        Bound::Range { .. } | Bound::Default => range(shards, order),
    }
}

fn list(shards: &[Shard]) -> Bound {
    let values = shards.iter().flat_map(|shard| match &shard.bound {
        Bound::List { values } => values.clone(),
        _ => Vec::new(),
    });
    Bound::List { values: values.collect() }
}

fn range(shards: &[Shard], order: &KeyOrder) -> Result<Bound, ReshardError> {
    let ends = |shard: &Shard| match &shard.bound {
        Bound::Range { lower, upper } => Some((shard.name.clone(), lower.clone(), upper.clone())),
        _ => None,
    };
    let mut ranges: Vec<(_, RangePoint, RangePoint)> = shards.iter().filter_map(ends).collect();
    ranges.sort_by(|(_, a, _), (_, b, _)| order.compare_points(a, b));
    for pair in ranges.windows(2) {
        let ((first, _, upper), (second, lower, _)) = (&pair[0], &pair[1]);
        if order.compare_points(upper, lower) != Ordering::Equal {
            return Err(ReshardError::NotAdjacent {
                first: first.clone(),
                second: second.clone(),
                upper: shown(&write_point(upper)),
                lower: shown(&write_point(lower)),
            });
        }
    }
    match (ranges.first(), ranges.last()) {
        (Some((_, lower, _)), Some((_, _, upper))) => {
            Ok(Bound::Range { lower: lower.clone(), upper: upper.clone() })
        }
        _ => Err(ReshardError::OneShard),
    }
}

fn hash(shards: &[Shard], siblings: &[Shard]) -> Result<Bound, ReshardError> {
    let found = |shard: &Shard| match shard.bound {
        Bound::Hash { modulus, remainder } => (modulus, remainder),
        _ => (1, 0),
    };
    let (modulus, first) = found(&shards[0]);
    let mut remainders = Vec::with_capacity(shards.len());
    for shard in shards {
        let (other, remainder) = found(shard);
        if other != modulus {
            return Err(ReshardError::UnequalModuli {
                first: shards[0].name.clone(),
                second: shard.name.clone(),
                moduli: (modulus, other),
            });
        }
        remainders.push(remainder);
    }
    remainders.sort_unstable();
    let count = u32::try_from(shards.len()).unwrap_or(u32::MAX);
    // Those of one remainder of the smaller modulus, all of them.
    let siblings_of =
        |smaller: u32| (0..count).map(|at| first % smaller + at * smaller).collect::<Vec<u32>>();
    let smaller = (modulus % count == 0).then_some(modulus / count);
    let whole = smaller.map(siblings_of).unwrap_or_default();
    match smaller {
        Some(smaller) if whole == remainders => {
            fits_moduli(u64::from(smaller), siblings)?;
            Ok(Bound::Hash { modulus: smaller, remainder: first % smaller })
        }
        _ => Err(ReshardError::NotSiblings { modulus, remainders, siblings: whole }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::QualifiedName;
    use crate::planning::reshard::order::testing::numbers;

    fn shards(bounds: &[&str]) -> Vec<Shard> {
        let shard = |(at, bound): (usize, &&str)| Shard {
            name: QualifiedName::new("app", format!("t_s{at:04}")),
            bound: Bound::read(bound).unwrap_or_else(|| panic!("{bound}")),
        };
        bounds.iter().enumerate().map(shard).collect()
    }

    fn merged(bounds: &[&str], siblings: &[&str]) -> Result<String, ReshardError> {
        let columns = numbers(&["a"]);
        Ok(bound(&shards(bounds), &shards(siblings), &columns)?.sql())
    }

    fn hashed(modulus: u32, remainder: u32) -> String {
        format!("FOR VALUES WITH (modulus {modulus}, remainder {remainder})")
    }

    #[test]
    fn ranges_that_follow_each_other_become_one() {
        let (a, b, c) = (
            "FOR VALUES FROM (MINVALUE) TO ('10')",
            "FOR VALUES FROM ('10.0') TO ('20')",
            "FOR VALUES FROM ('20') TO (MAXVALUE)",
        );
        assert_eq!(merged(&[b, a], &[]).unwrap(), "FOR VALUES FROM (MINVALUE) TO ('20')");
        assert_eq!(merged(&[c, a, b], &[]).unwrap(), "FOR VALUES FROM (MINVALUE) TO (MAXVALUE)");
        let error = merged(&[c, a], &[b]);
        let Err(ReshardError::NotAdjacent { first, second, upper, lower }) = error else {
            panic!("{error:?}");
        };
        assert_eq!((first.name.as_str(), second.name.as_str()), ("t_s0001", "t_s0000"));
        assert_eq!((upper.as_str(), lower.as_str()), ("10", "20"));
    }

    #[test]
    fn lists_become_one_list() {
        let lists = ["FOR VALUES IN ('a', NULL)", "FOR VALUES IN ('c')"];
        assert_eq!(merged(&lists, &[]).unwrap(), "FOR VALUES IN ('a', NULL, 'c')");
    }

    #[test]
    fn what_is_merged_with_default_is_default() {
        assert_eq!(merged(&["FOR VALUES IN ('a', NULL)", "DEFAULT"], &[]).unwrap(), "DEFAULT");
        assert_eq!(merged(&["DEFAULT", "FOR VALUES FROM ('10') TO ('20')"], &[]).unwrap(), "DEFAULT");
    }

    #[test]
    fn hash_siblings_become_one_of_the_smaller_modulus() {
        let many = |modulus: u32, remainders: &[u32], siblings: &[(u32, u32)]| {
            let bounds: Vec<String> = remainders.iter().map(|r| hashed(modulus, *r)).collect();
            let bounds: Vec<&str> = bounds.iter().map(String::as_str).collect();
            let siblings: Vec<String> = siblings.iter().map(|(m, r)| hashed(*m, *r)).collect();
            let siblings: Vec<&str> = siblings.iter().map(String::as_str).collect();
            merged(&bounds, &siblings)
        };
        assert_eq!(many(8, &[5, 1], &[]).unwrap(), hashed(4, 1));
        assert_eq!(many(8, &[7, 1, 3, 5], &[]).unwrap(), hashed(2, 1));
        assert_eq!(many(4, &[0, 1, 2, 3], &[]).unwrap(), hashed(1, 0));
        assert_eq!(many(12, &[1, 5, 9], &[]).unwrap(), hashed(4, 1));
        let error = many(8, &[1, 3], &[]);
        assert_eq!(
            error,
            Err(ReshardError::NotSiblings { modulus: 8, remainders: vec![1, 3], siblings: vec![1, 5] })
        );
        assert!(matches!(many(8, &[1, 3, 5], &[]), Err(ReshardError::NotSiblings { .. })));
        // 12 halved is 6, and neither of 6 and 4 divides the other.
        assert!(matches!(many(12, &[1, 7], &[(4, 0)]), Err(ReshardError::Moduli { modulus: 6, .. })));
        let unequal = merged(&[&hashed(4, 1), &hashed(8, 2)], &[]);
        assert!(matches!(unequal, Err(ReshardError::UnequalModuli { moduli: (4, 8), .. })));
    }

    #[test]
    fn one_shard_and_the_same_shard_are_no_merge() {
        let one = "FOR VALUES FROM ('10') TO ('20')";
        assert_eq!(merged(&[], &[]), Err(ReshardError::OneShard));
        assert_eq!(merged(&[one], &[]), Err(ReshardError::OneShard));
        let mut twice = shards(&[one, one]);
        twice[1].name = twice[0].name.clone();
        let error = bound(&twice, &[], &numbers(&["a"]));
        assert!(matches!(error, Err(ReshardError::NamedTwice { .. })));
    }
}
