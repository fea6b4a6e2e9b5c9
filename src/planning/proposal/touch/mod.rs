//! Which shards a statement touches.
//!
//! As PostgreSQL prunes, level by level: ranges and lists (`list`) by equality
//! and range at plan time (two columns: `span`), hash by equality of all its columns, each of them
//! by the rows of a nested loop while running. What leaves values open keeps
//! DEFAULT. A value that is not known is drawn as statements ask for it, and
//! so meets heavy shards more often. Not here: what touching costs. Invariant:
//! at least one shard, at most all.

mod list;
mod range;
mod span;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::model::key::Strategy;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::key::KeyColumn;
use crate::planning::proposal::traffic::Narrowing;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

/// Expected shards and rows of one execution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Touch {
    /// Shards that the planner keeps.
    pub planned: f64,
    /// Shards that are opened while running.
    pub opened: f64,
    /// Share of the rows in the shards opened.
    pub share: f64,
}

/// A division, ready to be asked by many statements.
#[derive(Debug, Clone)]
pub struct Pruning<'a> {
    pub division: &'a Division,
    /// Shards with DEFAULT.
    count: f64,
    /// Share of the rows in the shard of a value that is asked for.
    pub random: f64,
    /// Share of the rows of each cell, DEFAULT last (hash has none).
    shares: Vec<f64>,
    /// Sums of `shares` up to each cell.
    sums: Vec<f64>,
    /// Share of the rows in the cell of a row taken at random.
    typical: f64,
    /// Cells without rows, but DEFAULT.
    empty: f64,
    /// Positions of the edges of ranges.
    edges: Vec<f64>,
    /// Lists by their values.
    lists: HashMap<&'a str, usize>,
}

/// Cells of the first level that are touched, DEFAULT apart.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Reach {
    cells: f64,
    /// Share of the rows in them.
    share: f64,
    /// Chance that DEFAULT is touched too.
    default: f64,
}

/// How many of the shards of one hashed cell are touched.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Inner {
    planned: f64,
    opened: f64,
    /// Share of the cell's rows in those opened.
    share: f64,
}

impl Inner {
    const WHOLE: Self = Self { planned: 1.0, opened: 1.0, share: 1.0 };
}

impl<'a> Pruning<'a> {
    pub fn of(division: &'a Division) -> Self {
        let rows = division.cell_rows();
        let total: f64 = rows.iter().sum();
        let even = 1.0 / rows.len().max(1) as f64;
        let shares: Vec<f64> =
            rows.iter().map(|rows| if total > 0.0 { rows / total } else { even }).collect();
        let sum = |sum: &mut f64, share: &f64| {
            let before = *sum;
            *sum += share;
            Some(before)
        };
        let sums = shares.iter().scan(0.0, sum).collect();
        let typical = shares.iter().map(|share| share * share).sum::<f64>().clamp(f64::MIN_POSITIVE, 1.0);
        let asked = division.asked.iter().zip(&shares).map(|(asked, share)| asked * share).sum::<f64>();
        let (mut edges, mut lists) = (Vec::new(), HashMap::new());
        match &division.cells {
            Cells::Range { edges: found, .. } => {
                edges = found.iter().map(Edge::position).collect();
            }
            Cells::Spans { spans, .. } => {
                edges = spans.iter().map(|span| span.lower.first.position()).collect();
                edges.extend(spans.last().map(|span| span.upper.first.position()));
            }
            Cells::List { groups } => {
                for (at, group) in groups.iter().enumerate() {
                    lists.extend(group.iter().map(|value| (value.as_str(), at)));
                }
            }
            Cells::Whole | Cells::Hash { .. } => {}
        }
        let apart = match division.cells {
            Cells::Hash { apart, .. } => apart,
            _ => 0.0,
        };
        let without_default = shares.len() - usize::from(!matches!(division.cells, Cells::Hash { .. }));
        Self {
            division,
            count: division.shard_count() as f64,
            random: (asked + apart).clamp(f64::MIN_POSITIVE, 1.0),
            empty: shares[..without_default].iter().filter(|share| **share <= 0.0).count() as f64,
            shares,
            sums,
            typical,
            edges,
            lists,
        }
    }

    /// What one use touches.
    pub fn touch(&self, one: &Use) -> Touch {
        let found = match &self.division.cells {
            Cells::Whole => Touch { planned: 1.0, opened: 1.0, share: 1.0 },
            Cells::Range { .. } => self.by_ranges(one),
            Cells::Spans { .. } => self.by_spans(one),
            Cells::List { .. } => self.by_lists(one),
            Cells::Hash { modulus, .. } => {
                let modulus = f64::from(*modulus);
                let touched = self.hashed(one, &self.division.key.first, modulus, self.random);
                Touch { planned: touched.planned, opened: touched.opened, share: touched.share }
            }
        };
        Touch {
            planned: found.planned.clamp(1.0, self.count),
            opened: found.opened.clamp(1.0, self.count),
            share: found.share.clamp(0.0, 1.0),
        }
    }

    /// Shards of something hashed by some columns into `modulus` shards, of
    /// which the one of a value that is asked for has `random` of the rows.
    /// PostgreSQL needs a value of each column.
    fn hashed(&self, one: &Use, key: &[KeyColumn], modulus: f64, random: f64) -> Inner {
        let all = Inner { planned: modulus, opened: modulus, share: 1.0 };
        if modulus <= 1.0 {
            return Inner::WHOLE;
        }
        let (mut values, mut at_run_time) = (1.0, false);
        for column in key {
            let Some(narrowing) = one.narrowings.get(&column.name) else { return all };
            at_run_time |= narrowing.at_run_time;
            match narrowing.window {
                _ if !narrowing.at_run_time && !narrowing.prunes(Strategy::Hash) => return all,
                Window::Values { count, .. } => values *= count.max(1.0),
                Window::Null => {}
                _ => return all,
            }
        }
        let opened = modulus * (1.0 - (1.0 - 1.0 / modulus).powf(values));
        let planned = if at_run_time { modulus } else { opened };
        Inner { planned, opened, share: (opened * random).min(1.0) }
    }

    /// Chance that at least one of `count` values that are asked for lies in
    /// a cell.
    fn chance(&self, cell: usize, count: f64) -> f64 {
        let asked = self.division.asked.get(cell).copied().unwrap_or(0.0).clamp(0.0, 1.0);
        if count <= 1.0 { asked } else { 1.0 - (1.0 - asked).powf(count) }
    }

    /// How the shards of a cell are pruned, DEFAULT last; of a cell that is not
    /// hashed there is one.
    fn inner(&self, one: &Use, cell: usize) -> Inner {
        let modulus = f64::from(self.division.moduli.get(cell).copied().unwrap_or(1));
        self.hashed(one, self.division.inner_key(cell), modulus, 1.0 / modulus)
    }

    /// Zero for a DEFAULT that there is not.
    fn there(&self, cell: usize) -> f64 {
        if cell + 1 < self.shares.len() || self.division.with_default { 1.0 } else { 0.0 }
    }

    fn default_share(&self) -> f64 {
        self.shares.last().copied().unwrap_or(0.0)
    }

    /// How an access to the first level is pruned: at plan time, while
    /// running, or not at all.
    fn leading<'u>(&self, one: &'u Use) -> Option<&'u Narrowing> {
        let narrowing = one.narrowings.get(self.division.key.leading())?;
        (narrowing.at_run_time || narrowing.prunes(Strategy::Range)).then_some(narrowing)
    }
}
