//! A layout of few shards that stands for one of many.
//!
//! Locks and time allow the planner only so many shards. Of ranges and lists,
//! the ones that are alike to statements are put together: those made ahead
//! and the oldest; each then stands for several. Hash shards are all alike:
//! fewer of them are made. Every statement that is pruned to shards that stand
//! for others is charged with all of them, so the count is never too low.

use crate::model::bound::Bound;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Shard;

/// A layout to be planned with.
#[derive(Debug, Clone, PartialEq)]
pub struct Represented {
    pub layout: Layout,
    /// How many shards of the real layout each one stands for.
    pub stands_for: Vec<f64>,
    /// Shards of the real layout.
    pub shards: usize,
}

impl Represented {
    /// Whether it is the layout itself.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.layout.shards().len() == self.shards
    }

    /// Shards of the real layout that so many of this one are. Of hash, one
    /// that is pruned to is one, and all are all.
    #[must_use]
    pub fn scaled(&self, touched: f64) -> f64 {
        let made = self.layout.shards().len() as f64;
        let hash = self.layout.strategy() == Strategy::Hash && !self.is_whole();
        if hash && touched >= made { touched * self.shards as f64 / made } else { touched }
    }
}

/// The layout with at most `most` shards; none if that cannot be.
#[must_use]
pub fn represent(layout: &Layout, most: usize) -> Option<Represented> {
    let shards = layout.shards().len();
    if shards <= most {
        return Some(Represented { layout: layout.clone(), stands_for: vec![1.0; shards], shards });
    }
    let first = first_level(layout);
    let (parts, stands_for) = match layout.strategy() {
        Strategy::Hash => {
            let modulus = power_of_two_below(most)?;
            let rows = layout.shards().iter().map(|shard| shard.rows).sum::<f64>() / modulus as f64;
            let part = |(remainder, shard): (u32, &Shard)| {
                let bound = Bound::Hash { modulus: modulus as u32, remainder };
                Shard { bound, rows, of: None, ..shard.clone() }
            };
            let parts: Vec<Shard> = (0..).zip(layout.shards()).take(modulus).map(part).collect();
            (parts, vec![1.0; modulus])
        }
        Strategy::Range | Strategy::RangeHash => ranges(first, most)?,
        Strategy::List | Strategy::ListHash => lists(first, most)?,
        Strategy::None => return None,
    };
    let strategy = match layout.strategy() {
        Strategy::RangeHash => Strategy::Range,
        Strategy::ListHash => Strategy::List,
        other => other,
    };
    let key = layout.first_key().to_vec();
    let types = layout.key_types()[..key.len()].to_vec();
    let made = Layout::new(strategy, key, types, parts).ok()?;
    Some(Represented { layout: made, stands_for, shards })
}

/// The largest power of two that is not above `most`.
fn power_of_two_below(most: usize) -> Option<usize> {
    (most > 0).then(|| 1 << most.ilog2())
}

/// The partitions of the first level as shards, with the number of leaves.
fn first_level(layout: &Layout) -> Vec<(Shard, f64)> {
    layout
        .first_level()
        .into_iter()
        .map(|part| {
            let inside: Vec<&Shard> = layout
                .shards()
                .iter()
                .filter(|shard| match part.branch {
                    Some(branch) => shard.of == Some(branch),
                    None => shard.name == part.name,
                })
                .collect();
            let shard = Shard {
                name: part.name.to_owned(),
                bound: part.bound.clone(),
                rows: inside.iter().map(|shard| shard.rows).sum(),
                bytes: inside.iter().map(|shard| shard.bytes).sum(),
                tablespace: None,
                future: inside.iter().all(|shard| shard.future),
                of: None,
            };
            (shard, inside.len() as f64)
        })
        .collect()
}

type Parts = (Vec<Shard>, Vec<f64>);

/// Ranges, the future ones put together, and as many of the oldest as need be.
fn ranges(parts: Vec<(Shard, f64)>, most: usize) -> Option<Parts> {
    let (default, mut ranges): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|(shard, _)| shard.bound == Bound::Default);
    let room = most.checked_sub(default.len()).filter(|room| *room > 1)?;
    let present = ranges.iter().position(|(shard, _)| shard.future).unwrap_or(ranges.len());
    if ranges.len() > room && present > 0 && ranges.len() - present > 1 {
        let ahead = ranges.split_off(present);
        ranges.push(joined(ahead)?);
    }
    if ranges.len() > room {
        // Half of the room for the newest as they are, the older ones evenly.
        let newest = room / 2;
        let old: Vec<_> = ranges.drain(..ranges.len() - newest).collect();
        let each = old.len().div_ceil(room - newest);
        let mut together = Vec::new();
        for chunk in old.chunks(each) {
            together.push(joined(chunk.to_vec())?);
        }
        together.append(&mut ranges);
        ranges = together;
    }
    Some(ranges.into_iter().chain(default).unzip())
}

/// Neighbours as one.
fn joined(parts: Vec<(Shard, f64)>) -> Option<(Shard, f64)> {
    let count = parts.iter().map(|(_, leaves)| leaves).sum();
    let (rows, bytes) =
        parts.iter().fold((0.0, 0.0), |(rows, bytes), (shard, _)| (rows + shard.rows, bytes + shard.bytes));
    let (first, last) = (parts.first()?.0.clone(), &parts.last()?.0);
    let bound = match (&first.bound, &last.bound) {
        (Bound::Range { lower, .. }, Bound::Range { upper, .. }) => {
            Bound::Range { lower: lower.clone(), upper: upper.clone() }
        }
        _ => return None,
    };
    Some((Shard { bound, rows, bytes, ..first }, count))
}

/// Lists, the lightest ones put together.
fn lists(parts: Vec<(Shard, f64)>, most: usize) -> Option<Parts> {
    let (default, mut lists): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|(shard, _)| shard.bound == Bound::Default);
    let room = most.checked_sub(default.len()).filter(|room| *room > 0)?;
    if lists.len() > room {
        // A stable sort keeps the order of those that weigh the same.
        lists.sort_by(|a, b| b.0.rows.total_cmp(&a.0.rows));
        let light = lists.split_off(room - 1);
        let mut together = light.first()?.clone();
        let mut all = Vec::new();
        together.1 = 0.0;
        for (shard, leaves) in light {
            let Bound::List { values } = shard.bound else { return None };
            all.extend(values);
            together.1 += leaves;
            together.0.rows += shard.rows;
        }
        together.0.bound = Bound::List { values: all };
        lists.push(together);
    }
    Some(lists.into_iter().chain(default).unzip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bound::RangeDatum;
    use crate::model::key::KeyType;

    fn shard(at: usize, bound: Bound, future: bool) -> Shard {
        let name = format!("s{at}");
        Shard { name, bound, rows: 10.0, bytes: 100.0, tablespace: None, future, of: None }
    }

    fn ranges_of(count: usize, future: usize) -> Layout {
        let point = |at: usize| vec![RangeDatum::Value(at.to_string())];
        let mut shards: Vec<Shard> = (0..count)
            .map(|at| {
                let bound = Bound::Range { lower: point(at), upper: point(at + 1) };
                shard(at, bound, at >= count - future)
            })
            .collect();
        shards.push(shard(count, Bound::Default, false));
        Layout::new(Strategy::Range, vec!["k".to_owned()], vec![KeyType::Integer], shards).unwrap()
    }

    #[test]
    fn few_shards_stay_as_they_are() {
        let layout = ranges_of(10, 3);
        let found = represent(&layout, 64).unwrap();
        assert!(found.is_whole() && found.layout == layout);
        assert_eq!(found.scaled(11.0), 11.0);
    }

    #[test]
    fn ranges_are_put_together_and_every_shard_is_stood_for() {
        for (count, future, most) in [(100, 10, 64), (100, 60, 64), (1000, 0, 16), (70, 70, 4), (200, 1, 3)] {
            let found = represent(&ranges_of(count, future), most).unwrap();
            let made = found.layout.shards();
            assert!(made.len() <= most, "{count} {future} {most}: {}", made.len());
            assert_eq!(made.len(), found.stands_for.len());
            assert_eq!(found.stands_for.iter().sum::<f64>(), (count + 1) as f64);
            assert_eq!(made.iter().map(|shard| shard.rows).sum::<f64>(), 10.0 * (count + 1) as f64);
            assert!(!found.is_whole());
        }
    }

    #[test]
    fn hash_shards_become_fewer_and_are_counted_as_all() {
        let shards = (0..256).map(|at| shard(at, Bound::Hash { modulus: 256, remainder: at as u32 }, false));
        let layout =
            Layout::new(Strategy::Hash, vec!["k".to_owned()], vec![KeyType::Integer], shards.collect())
                .unwrap();
        let found = represent(&layout, 50).unwrap();
        assert_eq!(found.layout.shards().len(), 32);
        assert_eq!((found.scaled(1.0), found.scaled(32.0)), (1.0, 256.0));
        assert_eq!(represent(&layout, 0), None);
    }

    #[test]
    fn light_lists_are_put_together() {
        let shards = (0..100).map(|at| {
            let mut one = shard(at, Bound::List { values: vec![Some(at.to_string())] }, false);
            one.rows = at as f64;
            one
        });
        let layout =
            Layout::new(Strategy::List, vec!["k".to_owned()], vec![KeyType::Integer], shards.collect())
                .unwrap();
        let found = represent(&layout, 10).unwrap();
        assert_eq!(found.layout.shards().len(), 10);
        assert_eq!(found.stands_for[9], 91.0);
        assert_eq!(found.layout.shards()[0].rows, 99.0);
    }
}
