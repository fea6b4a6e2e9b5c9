//! Sizes and statistics of a table and of its shards, as they are today.
//!
//! What a shard has of its table follows from where its bound lies among the
//! values of the key; statistics of the key are cut to it. Of other columns a
//! shard is taken as a sample. A table without rows is supposed to have those
//! that are expected of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::profile::Table;
use crate::model::statistics::ColumnStatistics;
use crate::model::what_if::Supposed;
use crate::model::what_if::SupposedColumn;
use crate::planning::proposal::CostConstants;
use crate::planning::proposal::HashValues;
use crate::planning::proposal::edge::Scale;
use crate::planning::proposal::edge::position_of;
use crate::planning::proposal::evidence::integers::Integers;
use crate::planning::proposal::evidence::represent::Represented;
use crate::planning::proposal::spread::Spread;

/// The table as one.
#[must_use]
pub fn whole(table: &Table, expected_rows: f64, constants: &CostConstants) -> Supposed {
    let columns = table.columns.iter().map(|column| {
        let statistics = Arc::new(column.statistics.clone()?);
        Some(SupposedColumn { distinct: statistics.distinct, statistics })
    });
    let columns: Vec<_> = columns.collect();
    let rows = if table.rows > 0.0 { table.rows } else { expected_rows };
    let pages = if table.rows > 0.0 && table.heap_bytes > 0.0 {
        table.heap_bytes / constants.page_bytes
    } else {
        let known = columns.iter().flatten().map(|column| column.statistics.width).sum::<f64>();
        let width = if known > 0.0 { known } else { constants.row_bytes };
        rows * width / constants.page_bytes
    };
    Supposed { relation: table.name(), shard: None, stands_for: 1.0, rows, pages, columns }
}

/// The table and its shards.
#[must_use]
pub fn divided(
    table: &Table,
    layout: &Represented,
    hashes: &HashValues,
    constants: &CostConstants,
) -> Vec<Supposed> {
    let expected = layout.layout.shards().iter().map(|shard| shard.rows).sum();
    let root = whole(table, expected, constants);
    let parts = Parts::of(table, &layout.layout, hashes);
    let mut all = Vec::new();
    for ((at, shard), stands_for) in layout.layout.shards().iter().enumerate().zip(&layout.stands_for) {
        let share = parts.shares[at];
        let mut columns = root.columns.clone();
        for (column, supposed) in table.columns.iter().zip(&mut columns) {
            if let Some(supposed) = supposed {
                // A value that is asked for may be in any shard: those of the
                // table, so that the rows found in all shards are those of it.
                supposed.distinct = supposed.statistics.distinct_values(root.rows);
                if let Some(cut) = parts.cut(&column.name, shard) {
                    supposed.distinct = cut.distinct;
                    supposed.statistics = Arc::new(cut);
                }
            }
        }
        all.push(Supposed {
            relation: table.name(),
            shard: Some(shard.name.clone()),
            stands_for: *stands_for,
            rows: root.rows * share,
            pages: root.pages * share,
            columns,
        });
    }
    all.push(root);
    all
}

/// How the rows of a table fall into the shards of a layout.
struct Parts<'a> {
    layout: &'a Layout,
    /// Of the rows, by shard.
    shares: Vec<f64>,
    /// Statistics of the first column of the key.
    key: Option<&'a ColumnStatistics>,
    hashes: &'a [u64],
    spread: Option<Spread>,
    /// All values of a key that is hashed alone, if they are known.
    integers: Option<Integers>,
}

impl<'a> Parts<'a> {
    fn of(table: &'a Table, layout: &'a Layout, hashes: &'a HashValues) -> Self {
        let name = layout.first_key().first().cloned().unwrap_or_default();
        let column = table.column(&name);
        let key = column.and_then(|column| column.statistics.as_ref());
        let hashes = hashes.get(&(table.name(), name)).map_or(&[][..], Vec::as_slice);
        let spread =
            column.zip(key).and_then(|(column, key)| Spread::of_statistics(key, &Scale::of(column)?));
        let hashed = layout.strategy() == Strategy::Hash && layout.shard_key().len() == 1;
        let integers =
            key.filter(|_| hashed).and_then(|key| Integers::of(layout.key_types()[0], key, table.rows));
        let mut parts = Self { layout, shares: Vec::new(), key, hashes, spread, integers };
        parts.shares = parts.found().unwrap_or_else(|| parts.expected());
        parts
    }

    /// As they are expected at the horizon, where nothing else is known.
    fn expected(&self) -> Vec<f64> {
        let shards = self.layout.shards();
        let total: f64 = shards.iter().filter(|shard| !shard.future).map(|shard| shard.rows).sum();
        let of = |shard: &Shard| match total {
            _ if shard.future => 0.0,
            total if total > 0.0 => shard.rows / total,
            _ => 1.0 / shards.len() as f64,
        };
        shards.iter().map(of).collect()
    }

    /// By the statistics of the key; a branch's share is divided evenly.
    fn found(&self) -> Option<Vec<f64>> {
        // Ranges of two columns divide single values of the first one.
        if self.layout.first_strategy() == Strategy::Range && self.layout.first_key().len() > 1 {
            return None;
        }
        let first: BTreeMap<usize, f64> = (self.layout.branches().iter().enumerate())
            .map(|(at, branch)| Some((at, self.share(&branch.bound)?)))
            .collect::<Option<_>>()?;
        let mut shares = Vec::new();
        for shard in self.layout.shards() {
            shares.push(match shard.of {
                Some(branch) => {
                    let sisters = self.layout.shards().iter().filter(|other| other.of == Some(branch));
                    first.get(&branch)? / sisters.count() as f64
                }
                None if shard.bound == Bound::Default => 0.0,
                None => self.share(&shard.bound)?,
            });
        }
        let rest = (1.0 - shares.iter().sum::<f64>()).max(0.0);
        let defaults = self.layout.shards().iter().zip(&mut shares);
        for (_, share) in defaults.filter(|(shard, _)| shard.of.is_none() && shard.bound == Bound::Default) {
            *share = rest;
        }
        Some(shares)
    }

    /// The share of the rows that a bound takes.
    fn share(&self, bound: &Bound) -> Option<f64> {
        match bound {
            Bound::Range { lower, upper } => {
                let not_null = 1.0 - self.key?.null_fraction.clamp(0.0, 1.0);
                let spread = self.spread.as_ref()?;
                let (from, to) = self.ends(lower, upper)?;
                Some(spread.between(from, to) * not_null)
            }
            Bound::List { values } => {
                Some(values.iter().map(|value| self.share_of_value(value.as_ref())).sum())
            }
            Bound::Hash { modulus, remainder } => {
                if let Some(integers) = &self.integers {
                    return Some(integers.share(*modulus, *remainder));
                }
                let key = self.key.filter(|_| self.layout.shard_key().len() == 1);
                let here: f64 = self.common(key, *modulus, *remainder).map(|(_, share)| share).sum();
                let all: f64 = key
                    .filter(|_| !self.hashes.is_empty())
                    .map_or(0.0, |key| key.common_fractions.iter().sum());
                Some(here + (1.0 - all).max(0.0) / f64::from((*modulus).max(1)))
            }
            // What the others leave, which a branch does not tell.
            Bound::Default => None,
        }
    }

    fn share_of_value(&self, value: Option<&String>) -> f64 {
        let Some(key) = self.key else { return 1.0 / self.layout.shards().len() as f64 };
        let Some(value) = value else { return key.null_fraction.clamp(0.0, 1.0) };
        let common = key.common_values.iter().zip(&key.common_fractions);
        if let Some((_, share)) = common.clone().find(|(other, _)| self.same(other, value)) {
            return *share;
        }
        let rest = (1.0 - key.null_fraction - common.map(|(_, share)| share).sum::<f64>()).max(0.0);
        let others = if key.distinct > 0.0 { key.distinct - key.common_values.len() as f64 } else { 0.0 };
        if others >= 1.0 { rest / others } else { 0.0 }
    }

    fn same(&self, a: &str, b: &str) -> bool {
        let kind = self.layout.key_types()[0];
        a == b
            || match (kind.read(a), kind.read(b)) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            }
    }

    /// The common values that a hash shard takes, by their numbers.
    fn common<'k>(
        &self,
        key: Option<&'k ColumnStatistics>,
        modulus: u32,
        remainder: u32,
    ) -> impl Iterator<Item = (usize, f64)> + use<'k, 'a> {
        let shares = key.map_or(&[][..], |key| key.common_fractions.as_slice());
        let of_here = move |hash: u64| hash % u64::from(modulus.max(1)) == u64::from(remainder);
        let pairs = self.hashes.iter().zip(shares).enumerate();
        pairs.filter(move |(_, (hash, _))| of_here(**hash)).map(|(at, (_, share))| (at, *share))
    }

    fn ends(&self, lower: &[RangeDatum], upper: &[RangeDatum]) -> Option<(f64, f64)> {
        let kind = self.layout.key_types()[0];
        let (from, to) = (position(lower.first()?, kind)?, position(upper.first()?, kind)?);
        // Of a value that a second column divides a part lies in the range.
        let from = if matches!(lower.get(1), Some(RangeDatum::MaxValue)) { from.next_up() } else { from };
        let to = if matches!(upper.get(1), None | Some(RangeDatum::MinValue)) { to } else { to.next_up() };
        Some((from, to))
    }

    /// The statistics of the key within a shard; none for other columns.
    fn cut(&self, column: &str, shard: &Shard) -> Option<ColumnStatistics> {
        let key = self.key?;
        if self.layout.first_key().first().map(String::as_str) != Some(column) {
            return None;
        }
        let bound = self.layout.branch_of(shard).map_or(&shard.bound, |branch| &branch.bound);
        match bound {
            Bound::Range { lower, upper } => self.cut_to_range(key, lower, upper),
            Bound::List { values } => Some(self.cut_to_values(key, values)),
            Bound::Hash { modulus, remainder } if self.layout.shard_key().len() == 1 => {
                Some(self.cut_to_hash(key, *modulus, *remainder))
            }
            Bound::Hash { .. } => None,
            Bound::Default => Some(self.cut_to_rest(key)),
        }
    }

    fn cut_to_range(
        &self,
        key: &ColumnStatistics,
        lower: &[RangeDatum],
        upper: &[RangeDatum],
    ) -> Option<ColumnStatistics> {
        let kind = self.layout.key_types()[0];
        let (from, to) = self.ends(lower, upper)?;
        let read = |text: &String| value_position(text, kind);
        let inside = |text: &&String| read(text).is_some_and(|at| at >= from && at < to);
        let mut histogram: Vec<String> = key.histogram.iter().filter(inside).cloned().collect();
        // Ends of the bound within the histogram are ends of what is left of it.
        let reaches = |ends: (Option<f64>, Option<f64>), at: f64| matches!(ends, (Some(low), Some(high)) if low < at && at < high);
        let ends = (key.histogram.first().and_then(read), key.histogram.last().and_then(read));
        if let Some(RangeDatum::Value(text)) = lower.first()
            && reaches(ends, from)
            && histogram.first() != Some(text)
        {
            histogram.insert(0, text.clone());
        }
        if let Some(RangeDatum::Value(text)) = upper.first()
            && reaches(ends, to)
        {
            histogram.push(text.clone());
        }
        let keep: Vec<usize> =
            (0..key.common_values.len()).filter(|at| inside(&&key.common_values[*at])).collect();
        let share = self.share(&Bound::Range { lower: lower.to_vec(), upper: upper.to_vec() })?;
        let mut cut = renormalised(key, &keep, share);
        cut.histogram = if histogram.len() > 1 { histogram } else { Vec::new() };
        cut.null_fraction = 0.0;
        if key.distinct > 0.0 {
            let others = (key.distinct - key.common_values.len() as f64).max(0.0);
            cut.distinct = (keep.len() as f64 + others * share).max(1.0);
        }
        Some(cut)
    }

    fn cut_to_values(&self, key: &ColumnStatistics, values: &[Option<String>]) -> ColumnStatistics {
        let listed = |text: &String| values.iter().flatten().any(|value| self.same(value, text));
        let keep: Vec<usize> =
            (0..key.common_values.len()).filter(|at| listed(&key.common_values[*at])).collect();
        let share: f64 = values.iter().map(|value| self.share_of_value(value.as_ref())).sum();
        let mut cut = renormalised(key, &keep, share);
        cut.histogram = Vec::new();
        let nulls = if values.contains(&None) { key.null_fraction } else { 0.0 };
        cut.null_fraction = if share > 0.0 { (nulls / share).clamp(0.0, 1.0) } else { 0.0 };
        cut.distinct = (values.iter().flatten().count() as f64).max(1.0);
        cut
    }

    fn cut_to_hash(&self, key: &ColumnStatistics, modulus: u32, remainder: u32) -> ColumnStatistics {
        let keep: Vec<usize> = self.common(Some(key), modulus, remainder).map(|(at, _)| at).collect();
        let share = self.share(&Bound::Hash { modulus, remainder }).unwrap_or(0.0);
        let mut cut = renormalised(key, &keep, share);
        cut.histogram.clone_from(&key.histogram);
        if key.distinct > 0.0 {
            let others = (key.distinct - key.common_values.len() as f64).max(0.0);
            cut.distinct = (keep.len() as f64 + others / f64::from(modulus.max(1))).max(1.0);
        }
        if let Some(integers) = &self.integers {
            cut.distinct = integers.distinct(modulus, remainder).max(1.0);
        }
        cut
    }

    /// What no other shard takes.
    fn cut_to_rest(&self, key: &ColumnStatistics) -> ColumnStatistics {
        let listed = |text: &String| {
            self.layout.first_level().iter().any(|part| match part.bound {
                Bound::List { values } => values.iter().flatten().any(|value| self.same(value, text)),
                Bound::Range { lower, upper } => {
                    let at = value_position(text, self.layout.key_types()[0]);
                    matches!((at, self.ends(lower, upper)), (Some(at), Some((from, to))) if at >= from && at < to)
                }
                Bound::Hash { .. } | Bound::Default => false,
            })
        };
        let keep: Vec<usize> =
            (0..key.common_values.len()).filter(|at| !listed(&key.common_values[*at])).collect();
        let default = self.layout.shards().iter().position(|shard| shard.bound == Bound::Default);
        let share = default.map_or(0.0, |at| self.shares[at]);
        let mut cut = renormalised(key, &keep, share);
        cut.histogram = key.histogram.iter().filter(|text| !listed(text)).cloned().collect();
        cut
    }
}

/// The statistics with the common values of these numbers alone, in `share` of
/// the rows; without histogram.
fn renormalised(key: &ColumnStatistics, keep: &[usize], share: f64) -> ColumnStatistics {
    let scale = if share > 0.0 { 1.0 / share } else { 0.0 };
    let fraction = |at: &usize| Some((key.common_fractions.get(*at)? * scale).clamp(0.0, 1.0));
    ColumnStatistics {
        null_fraction: key.null_fraction,
        width: key.width,
        distinct: key.distinct,
        correlation: key.correlation,
        common_values: keep.iter().map(|at| key.common_values[*at].clone()).collect(),
        common_fractions: keep.iter().filter_map(fraction).collect(),
        common_hashes: Vec::new(),
        histogram: Vec::new(),
    }
}

fn position(datum: &RangeDatum, kind: KeyType) -> Option<f64> {
    match datum {
        RangeDatum::MinValue => Some(f64::NEG_INFINITY),
        RangeDatum::MaxValue => Some(f64::INFINITY),
        RangeDatum::Value(text) => value_position(text, kind),
    }
}

/// Of a value: infinity lies within a bound that is open.
fn value_position(text: &str, kind: KeyType) -> Option<f64> {
    position_of(kind, text).map(|at| at.min(f64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::Strategy;
    use crate::planning::proposal::evidence::represent::represent;
    use serde_json::json;

    fn table(statistics: serde_json::Value) -> Table {
        let of = |name: &str| json!({"schema": "pg_catalog", "name": name, "text": name});
        serde_json::from_value(json!({
            "schema": "app", "table": "t", "kind": "ordinary", "rows": 1000, "heap_bytes": 819_200, "index_bytes": 0, "toast_bytes": 0,
            "columns": [{"name": "k", "type": of("integer"), "not_null": false, "statistics": statistics},
                        {"name": "v", "type": of("integer"), "not_null": true,
                         "statistics": {"null_fraction": 0.0, "width": 4.0, "distinct": -1.0}}]
        }))
        .unwrap()
    }

    fn layout(strategy: Strategy, bounds: Vec<Bound>) -> Represented {
        let shard = |(at, bound): (usize, Bound)| Shard {
            name: format!("t_{at}"),
            bound,
            rows: 1.0,
            bytes: 1.0,
            tablespace: None,
            future: false,
            of: None,
        };
        let shards = bounds.into_iter().enumerate().map(shard).collect();
        let layout = Layout::new(strategy, vec!["k".to_owned()], vec![KeyType::Integer], shards).unwrap();
        represent(&layout, 64).unwrap()
    }

    fn rows(found: &[Supposed]) -> Vec<f64> {
        found.iter().map(|one| one.rows.round()).collect()
    }

    fn point(text: &str) -> Vec<RangeDatum> {
        vec![RangeDatum::Value(text.to_owned())]
    }

    #[test]
    fn ranges_have_the_rows_and_values_between_their_ends() {
        let statistics = json!({"null_fraction": 0.1, "width": 4.0, "distinct": -0.5, "common_values": ["5"],
            "common_fractions": [0.3], "histogram": ["0", "10", "20", "30", "40"]});
        let layout = layout(
            Strategy::Range,
            vec![
                Bound::Range { lower: vec![RangeDatum::MinValue], upper: point("15") },
                Bound::Range { lower: point("15"), upper: point("100") },
                Bound::Default,
            ],
        );
        let found = divided(&table(statistics), &layout, &HashValues::new(), &CostConstants::default());
        assert_eq!(rows(&found), [525.0, 375.0, 100.0, 1000.0]);
        let key = |at: usize| found[at].columns[0].clone().unwrap();
        assert_eq!(key(0).statistics.histogram, ["0", "10", "15"]);
        assert_eq!(key(1).statistics.histogram, ["15", "20", "30", "40"]);
        assert_eq!(key(0).statistics.common_values, ["5"]);
        assert!((key(0).statistics.common_fractions[0] - 0.3 / 0.525).abs() < 1e-9);
        assert!(key(1).statistics.common_values.is_empty());
        assert_eq!((key(0).statistics.null_fraction, key(2).statistics.null_fraction), (0.0, 0.1));
        // A unique column of the table is asked for a value of the table.
        assert_eq!(found[0].columns[1].clone().unwrap().distinct, 1000.0);
        assert!((found.iter().take(3).map(|one| one.pages).sum::<f64>() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn lists_have_their_values_and_the_default_the_rest() {
        let statistics = json!({"null_fraction": 0.1, "width": 4.0, "distinct": 6.0, "common_values": ["1", "2"],
            "common_fractions": [0.4, 0.2]});
        let list = |values: &[Option<&str>]| Bound::List {
            values: values.iter().map(|value| value.map(str::to_owned)).collect(),
        };
        let layout = layout(
            Strategy::List,
            vec![list(&[Some("1")]), list(&[Some("02"), None]), list(&[Some("9")]), Bound::Default],
        );
        let found = divided(&table(statistics), &layout, &HashValues::new(), &CostConstants::default());
        assert_eq!(rows(&found), [400.0, 300.0, 75.0, 225.0, 1000.0]);
        let one = found[1].columns[0].clone().unwrap();
        assert!((one.statistics.null_fraction - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!(one.distinct, 1.0);
    }

    #[test]
    fn hash_shards_have_the_common_values_that_fall_to_them() {
        let statistics = json!({"null_fraction": 0.0, "width": 4.0, "distinct": 102.0, "common_values": ["7", "8"],
            "common_fractions": [0.4, 0.2], "histogram": ["0", "1000"]});
        let hash = |remainder| Bound::Hash { modulus: 2, remainder };
        let layout = layout(Strategy::Hash, vec![hash(0), hash(1)]);
        let table = table(statistics);
        let hashes = HashValues::from([((table.name(), "k".to_owned()), vec![4, 11])]);
        let found = divided(&table, &layout, &hashes, &CostConstants::default());
        assert_eq!(rows(&found), [600.0, 400.0, 1000.0]);
        assert_eq!(found[0].columns[0].clone().unwrap().statistics.common_values, ["7"]);
        assert_eq!(found[0].columns[0].clone().unwrap().distinct, 51.0);
    }

    #[test]
    fn hash_shards_of_numbers_without_gaps_have_those_that_hash_to_them() {
        let statistics =
            json!({"null_fraction": 0.0, "width": 4.0, "distinct": -1.0, "histogram": ["1", "1000"]});
        let hash = |remainder| Bound::Hash { modulus: 32, remainder };
        let layout = layout(Strategy::Hash, (0..32).map(hash).collect());
        let found = divided(&table(statistics), &layout, &HashValues::new(), &CostConstants::default());
        let rows = rows(&found);
        assert_eq!((rows[0], rows[23], rows[27], rows[32]), (33.0, 46.0, 19.0, 1000.0));
        assert_eq!(found[23].columns[0].clone().unwrap().distinct, 46.0);
    }

    #[test]
    fn without_statistics_what_is_expected_counts() {
        let layout = layout(
            Strategy::Range,
            vec![Bound::Range { lower: point("0"), upper: point("9") }, Bound::Default],
        );
        let mut table = table(serde_json::Value::Null);
        assert_eq!(
            rows(&divided(&table, &layout, &HashValues::new(), &CostConstants::default())),
            [500.0, 500.0, 1000.0]
        );
        table.rows = 0.0;
        assert_eq!(
            rows(&divided(&table, &layout, &HashValues::new(), &CostConstants::default())),
            [1.0, 1.0, 2.0]
        );
    }
}
