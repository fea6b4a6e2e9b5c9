//! Which statements the planner is asked about together.
//!
//! All that is made for a batch is given up at once, and a query cancel has to
//! wait for that. So a batch needs few relations; what statements of two
//! batches need is made twice, which is why those that share tables stay
//! together.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The statements, by their numbers in `needs`, in batches whose tables weigh
/// no more than `most` together, unless one statement's own do.
#[must_use]
pub fn batches<T: Ord + Copy>(
    needs: &[BTreeSet<T>],
    weight: impl Fn(T) -> usize,
    most: usize,
) -> Vec<Vec<usize>> {
    let mut alike: BTreeMap<&BTreeSet<T>, Vec<usize>> = BTreeMap::new();
    for (at, need) in needs.iter().enumerate() {
        alike.entry(need).or_default().push(at);
    }
    let mut left: Vec<(&BTreeSet<T>, Vec<usize>)> = alike.into_iter().collect();
    let sum = |of: &mut dyn Iterator<Item = &T>| of.map(|table| weight(*table)).sum::<usize>();
    let mut batches = Vec::new();
    while !left.is_empty() {
        let (mut tables, mut weighs, mut batch) = (BTreeSet::new(), 0, Vec::new());
        loop {
            let closeness = |need: &BTreeSet<T>| {
                (sum(&mut need.difference(&tables)), Reverse(sum(&mut need.intersection(&tables))))
            };
            let closest =
                left.iter().map(|(need, _)| (closeness(need), *need)).min_by_key(|(close, _)| *close);
            let Some(((more, _), need)) = closest else { break };
            if !batch.is_empty() && weighs + more > most {
                break;
            }
            tables.extend(need);
            weighs += more;
            left.retain_mut(|(need, statements)| {
                let fits = need.is_subset(&tables);
                if fits {
                    batch.append(statements);
                }
                !fits
            });
        }
        batch.sort_unstable();
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(needs: &[&[u32]]) -> Vec<BTreeSet<u32>> {
        needs.iter().map(|need| need.iter().copied().collect()).collect()
    }

    #[test]
    fn statements_that_share_tables_stay_together() {
        assert_eq!(batches(&of(&[]), |_| 1, 10), Vec::<Vec<usize>>::new());
        assert_eq!(batches(&of(&[&[1], &[2], &[1, 2]]), |_| 5, 10), [vec![0, 1, 2]]);
        // A chain whose links come in no order is cut once.
        let chain = of(&[&[3, 4], &[1, 2], &[5, 6], &[2, 3], &[4, 5], &[1], &[6]]);
        assert_eq!(batches(&chain, |_| 1, 3), [vec![1, 3, 5], vec![2, 4, 6], vec![0]]);
        assert_eq!(batches(&chain, |_| 1, 6).len(), 1);
        // What is too much by itself goes alone, and the rest as if it were not there.
        let wide = of(&[&[1, 2, 3, 4], &[1], &[2]]);
        assert_eq!(batches(&wide, |_| 10, 20), [vec![1, 2], vec![0]]);
        // Tables weigh what they weigh.
        assert_eq!(batches(&of(&[&[1], &[2], &[3]]), |table| table as usize, 3), [vec![0, 1], vec![2]]);
    }

    proptest! {
        #[test]
        fn each_statement_is_in_one_batch_that_is_not_too_heavy(
            needs in proptest::collection::vec(proptest::collection::btree_set(0_u32..12, 0..4), 0..40),
            most in 1_usize..30,
        ) {
            let weight = |table: u32| 1 + table as usize % 5;
            let sum = |tables: &BTreeSet<u32>| tables.iter().map(|table| weight(*table)).sum::<usize>();
            let found = batches(&needs, weight, most);
            let mut all: Vec<usize> = found.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..needs.len()).collect::<Vec<_>>());
            for batch in &found {
                let tables: BTreeSet<u32> = batch.iter().flat_map(|at| needs[*at].clone()).collect();
                let of_one = batch.iter().any(|at| needs[*at] == tables);
                prop_assert!(!batch.is_empty() && (sum(&tables) <= most || of_one));
            }
            // What fits as a whole is not torn apart.
            let every: BTreeSet<u32> = needs.iter().flatten().copied().collect();
            prop_assert!(found.len() <= 1 || sum(&every) > most);
        }
    }
}
