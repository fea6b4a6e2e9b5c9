//! The bounds of a layout: compared with those of another, and replaced.
//!
//! Not here: the laws that they obey (`layout`). Invariant: a layout with other
//! bounds has the same shards.

use std::collections::BTreeSet;

use crate::model::bound::Bound;
use crate::model::layout::Branch;
use crate::model::layout::Layout;
use crate::model::layout::LayoutError;
use crate::model::layout::Part;
use crate::model::layout::Shard;

/// A partition of the first level: its bound, and by what it is divided into
/// which partitions, if it is.
type Cut = (String, Option<(Vec<String>, BTreeSet<String>)>);

impl Layout {
    /// Whether another one divides a table in the same way, whatever its
    /// shards are named, expected to hold, and in which order they are told.
    #[must_use]
    pub fn divides_as(&self, other: &Self) -> bool {
        self.strategy() == other.strategy()
            && self.shard_key() == other.shard_key()
            && self.cut() == other.cut()
    }

    fn cut(&self) -> BTreeSet<Cut> {
        let part = |part: &Part<'_>| {
            let inner = part.branch.map(|at| {
                let leaves = self.shards().iter().filter(|shard| shard.of == Some(at));
                (self.branches()[at].shard_key.clone(), leaves.map(|shard| told(&shard.bound)).collect())
            });
            (told(part.bound), inner)
        };
        self.first_level().iter().map(part).collect()
    }

    /// The same with other bounds for the partitions of its first level, in
    /// their order.
    ///
    /// # Errors
    /// [`LayoutError`] if they do not cover the key space exactly once.
    pub fn with_first_level(&self, bounds: &[Bound]) -> Result<Self, LayoutError> {
        let (mut branches, mut shards): (Vec<Branch>, Vec<Shard>) =
            (self.branches().to_vec(), self.shards().to_vec());
        for (part, bound) in self.first_level().iter().zip(bounds) {
            match part.branch {
                Some(at) => branches[at].bound = bound.clone(),
                None => {
                    let own = shards.iter_mut().find(|shard| shard.of.is_none() && shard.name == part.name);
                    own.into_iter().for_each(|shard| shard.bound = bound.clone());
                }
            }
        }
        let (key, types) = (self.shard_key().to_vec(), self.key_types().to_vec());
        if branches.is_empty() {
            Self::new(self.strategy(), key, types, shards)
        } else {
            Self::two_level(self.strategy(), key, types, branches, shards)
        }
    }
}

/// A bound as it is told; values of a list have no order.
fn told(bound: &Bound) -> String {
    match bound {
        Bound::List { values } => {
            let mut values = values.clone();
            values.sort();
            Bound::List { values }.sql()
        }
        other => other.sql(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyType;
    use crate::model::key::Strategy;

    fn shard(name: &str, bound: Bound, of: Option<usize>) -> Shard {
        Shard { name: name.to_owned(), bound, rows: 0.0, bytes: 0.0, tablespace: None, future: false, of }
    }

    fn list(values: &[&str]) -> Bound {
        Bound::List { values: values.iter().map(|value| Some((*value).to_owned())).collect() }
    }

    fn lists(strategy: Strategy, branches: Vec<Branch>, shards: Vec<Shard>) -> Layout {
        let (key, types) = (vec!["k".to_owned()], vec![KeyType::Text]);
        if branches.is_empty() {
            Layout::new(strategy, key, types, shards).unwrap()
        } else {
            Layout::two_level(strategy, key, types, branches, shards).unwrap()
        }
    }

    fn hashed(key: &str, modulus: u32) -> Layout {
        let branch = Branch {
            name: "b".to_owned(),
            bound: list(&["a"]),
            shard_key: vec![key.to_owned()],
            key_types: vec![KeyType::Integer],
        };
        let leaf = |remainder| shard(&format!("b{remainder}"), Bound::Hash { modulus, remainder }, Some(0));
        let mut shards: Vec<Shard> = (0..modulus).map(leaf).collect();
        shards.push(shard("rest", Bound::Default, None));
        lists(Strategy::ListHash, vec![branch], shards)
    }

    #[test]
    fn layouts_divide_alike_whatever_their_shards_are_called_and_in_which_order() {
        let one = |shards| lists(Strategy::List, Vec::new(), shards);
        let first = one(vec![
            shard("s1", list(&["a", "b"]), None),
            shard("s2", list(&["c"]), None),
            shard("d", Bound::Default, None),
        ]);
        let other = one(vec![
            shard("x", Bound::Default, None),
            shard("y", list(&["c"]), None),
            shard("z", list(&["b", "a"]), None),
        ]);
        assert!(first.divides_as(&other) && other.divides_as(&first));
        let without = one(vec![shard("s1", list(&["a", "b"]), None), shard("s2", list(&["c"]), None)]);
        let elsewhere = one(vec![
            shard("s1", list(&["a"]), None),
            shard("s2", list(&["c", "b"]), None),
            shard("d", Bound::Default, None),
        ]);
        assert!(!first.divides_as(&without) && !first.divides_as(&elsewhere));
        assert!(hashed("id", 4).divides_as(&hashed("id", 4)));
        assert!(
            !hashed("id", 4).divides_as(&hashed("id", 2)) && !hashed("id", 4).divides_as(&hashed("no", 4))
        );
    }

    #[test]
    fn bounds_are_replaced_where_they_were() {
        let changed = hashed("id", 2).with_first_level(&[list(&["z"]), Bound::Default]).unwrap();
        assert_eq!(changed.branches()[0].bound, list(&["z"]));
        assert!(changed.names().eq(hashed("id", 2).names()));
        assert!(hashed("id", 2).with_first_level(&[Bound::Default, Bound::Default]).is_err());
    }
}
