//! The rows of a table divided: whole, by ranges, by lists or by hash, on one
//! level or two.
//!
//! A division is a layout in numbers, before it has names and SQL bounds
//! (`layout`). A *cell* is a partition of the first level; on two levels some
//! cells are hashed once more, and shards are the leaves. Ranges of two columns,
//! and those with gaps, are *spans* (`span`). Invariant: edges ascend; the rows
//! of all shards and of DEFAULT add up to the rows at the horizon.

mod layout;
pub mod of_layout;
pub mod span;

use crate::model::key::Strategy;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::division::span::Atom;
use crate::planning::proposal::division::span::Span;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::key::KeyColumn;
use crate::planning::proposal::key::ShardKey;

/// How the first level of a table is cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    Whole,
    Range {
        /// None where the edges do not stand for moments of the calendar.
        unit: Option<CalendarUnit>,
        /// One more than there are ranges.
        edges: Vec<Edge>,
        /// Ranges that begin after this position hold nothing yet.
        future_from: f64,
        /// Ranges that end after it are not closed at the horizon.
        closed_until: f64,
        /// Whether new rows come in at `future_from`.
        follows: bool,
    },
    /// Ranges of which each has two ends of its own.
    Spans {
        unit: Option<CalendarUnit>,
        /// Ascending, without overlap.
        spans: Vec<Span>,
        /// The values of the first column in order, and which spans have them.
        atoms: Vec<Atom>,
        future_from: f64,
        closed_until: f64,
        follows: bool,
    },
    /// The values of each list; DEFAULT takes the others.
    List {
        groups: Vec<Vec<String>>,
    },
    Hash {
        modulus: u32,
        /// Largest over mean less 1, with the chance of distinct values
        /// falling together.
        skew: f64,
        /// Share of the rows that the shard of a value which is asked for has
        /// more than `rows` tell, because heavy values could not be placed.
        apart: f64,
    },
}

/// A table cut by a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Division {
    /// Without columns if whole.
    pub key: ShardKey,
    pub cells: Cells,
    /// Rows of each shard at the horizon, cell by cell; without DEFAULT, unless
    /// that is hashed once more.
    pub rows: Vec<f64>,
    /// Rows of a DEFAULT that is one shard.
    pub default_rows: f64,
    /// Chance that a value which statements ask for lies in each cell, DEFAULT
    /// last (hash has none).
    pub asked: Vec<f64>,
    /// Into how many shards each cell is hashed, DEFAULT last; 1 = it is a
    /// shard. Empty on one level.
    pub moduli: Vec<u32>,
    /// Largest over mean less 1 of the shards of a cell that is hashed.
    pub inner_skew: f64,
    /// By what each cell is hashed, DEFAULT last; empty = ranges and lists by
    /// the second columns of the key, DEFAULT by the first.
    pub inner_keys: Vec<Vec<KeyColumn>>,
    /// Whether there is a DEFAULT at all, where there could be one.
    pub with_default: bool,
    /// Ranges at the end that are not there yet: they are made ahead until the
    /// horizon.
    pub to_come: usize,
}

impl Division {
    /// The table as it is.
    pub fn whole(rows: f64) -> Self {
        Self { asked: vec![1.0], ..Self::of(ShardKey::default(), Cells::Whole, vec![rows]) }
    }

    /// One level with these rows in its cells and none in its DEFAULT.
    pub fn of(key: ShardKey, cells: Cells, rows: Vec<f64>) -> Self {
        Self {
            key,
            cells,
            rows,
            default_rows: 0.0,
            asked: Vec::new(),
            moduli: Vec::new(),
            inner_skew: 0.0,
            inner_keys: Vec::new(),
            with_default: true,
            to_come: 0,
        }
    }

    pub const fn strategy(&self) -> Strategy {
        match (&self.cells, self.moduli.is_empty()) {
            (Cells::Whole, _) => Strategy::None,
            (Cells::Range { .. } | Cells::Spans { .. }, true) => Strategy::Range,
            (Cells::Range { .. } | Cells::Spans { .. }, false) => Strategy::RangeHash,
            (Cells::List { .. }, true) => Strategy::List,
            (Cells::List { .. }, false) => Strategy::ListHash,
            (Cells::Hash { .. }, _) => Strategy::Hash,
        }
    }

    /// Whether rows may lie outside all cells.
    pub const fn has_outside(&self) -> bool {
        !matches!(self.cells, Cells::Whole | Cells::Hash { .. })
    }

    /// Whether there is a DEFAULT, and it is one shard.
    fn has_default_shard(&self) -> bool {
        self.with_default && self.has_outside() && self.moduli.last().is_none_or(|modulus| *modulus == 1)
    }

    /// Whether the cells are ranges.
    pub const fn is_range(&self) -> bool {
        matches!(self.cells, Cells::Range { .. } | Cells::Spans { .. })
    }

    /// Whether new rows come into the newest ranges.
    pub const fn follows(&self) -> bool {
        matches!(self.cells, Cells::Range { follows: true, .. } | Cells::Spans { follows: true, .. })
    }

    /// Whether both have the same bounds, as far as they are there.
    pub fn same_bounds(&self, other: &Self) -> bool {
        let first = match (&self.cells, &other.cells) {
            (Cells::Hash { modulus, .. }, Cells::Hash { modulus: theirs, .. }) => modulus == theirs,
            (Cells::Range { edges, .. }, Cells::Range { edges: theirs, .. }) => {
                edges[..edges.len() - self.to_come] == theirs[..theirs.len() - other.to_come]
            }
            (Cells::Spans { spans, .. }, Cells::Spans { spans: theirs, .. }) => {
                spans[..spans.len() - self.to_come] == theirs[..theirs.len() - other.to_come]
            }
            (Cells::List { groups }, Cells::List { groups: theirs }) => groups == theirs,
            _ => false,
        };
        first && self.same_inner(other)
    }

    /// Whether the cells that are there are hashed alike, DEFAULT last.
    fn same_inner(&self, other: &Self) -> bool {
        let there = |one: &Self| {
            let mut moduli = one.moduli.clone();
            if let Some(default) = moduli.pop() {
                moduli.truncate(moduli.len() - one.to_come);
                moduli.push(default);
            }
            moduli
        };
        self.with_default == other.with_default && there(self) == there(other)
    }

    /// Shards with DEFAULT; 1 for the whole table.
    pub fn shard_count(&self) -> usize {
        self.rows.len() + usize::from(self.has_default_shard())
    }

    /// Rows of each partition of the first level, DEFAULT last (hash has none).
    pub fn cell_rows(&self) -> Vec<f64> {
        if self.moduli.is_empty() {
            let default = self.has_outside().then_some(self.default_rows);
            return self.rows.iter().copied().chain(default).collect();
        }
        let mut leaves = self.rows.iter();
        let sum_of = |(at, modulus): (usize, &u32)| {
            if *modulus == 1 && at + 1 == self.moduli.len() {
                self.default_rows
            } else {
                leaves.by_ref().take(*modulus as usize).sum()
            }
        };
        self.moduli.iter().enumerate().map(sum_of).collect()
    }

    pub fn rows_total(&self) -> f64 {
        self.rows.iter().sum::<f64>() + self.default_rows
    }

    /// Share of the rows in a shard, 0 for an empty table.
    pub fn share(&self, rows: f64) -> f64 {
        let total = self.rows_total();
        if total > 0.0 { rows / total } else { 0.0 }
    }

    /// Share of the rows in the shard of a row taken at random: one over the
    /// number of shards if they are equal, more if not.
    pub fn concentration(&self) -> f64 {
        if matches!(self.cells, Cells::Whole) {
            return 1.0;
        }
        let total = self.rows_total();
        if total <= 0.0 {
            return 1.0 / self.rows.len().max(1) as f64;
        }
        let rows = self.rows.iter().chain([&self.default_rows]);
        rows.map(|rows| (rows / total).powi(2)).sum::<f64>().clamp(f64::MIN_POSITIVE, 1.0)
    }

    /// Share of the rows in the largest shard.
    pub fn largest_share(&self) -> f64 {
        let largest = self.rows.iter().copied().fold(self.default_rows, f64::max);
        match self.cells {
            Cells::Hash { modulus, skew, .. } => ((1.0 + skew) / f64::from(modulus)).min(1.0),
            _ => (self.share(largest) * (1.0 + self.inner_skew)).min(1.0),
        }
    }

    /// Largest over mean of the closed, non-default, non-empty shards at the
    /// horizon, less 1.
    pub fn skew(&self) -> f64 {
        let closed: Vec<f64> = match &self.cells {
            Cells::Whole => return 0.0,
            Cells::Hash { skew, .. } => return *skew,
            Cells::List { .. } => self.rows.iter().copied().filter(|rows| *rows > 0.0).collect(),
            Cells::Range { edges, closed_until, .. } => {
                self.closed(edges[1..].iter().map(Edge::position), *closed_until)
            }
            Cells::Spans { spans, closed_until, .. } => {
                self.closed(spans.iter().map(|span| span.upper.first.position()), *closed_until)
            }
        };
        let mean = closed.iter().sum::<f64>() / closed.len().max(1) as f64;
        if mean > 0.0 {
            closed.iter().copied().fold(0.0, f64::max) / mean * (1.0 + self.inner_skew) - 1.0
        } else {
            0.0
        }
    }

    /// Rows of the shards of ranges that end by a position, but for empty ones.
    fn closed(&self, ends: impl Iterator<Item = f64>, until: f64) -> Vec<f64> {
        let each = self.moduli.first().map_or(1, |modulus| *modulus as usize);
        let cells = self.rows.chunks(each.max(1)).zip(ends);
        let closed = cells.filter(|(_, end)| *end <= until).flat_map(|(rows, _)| rows).copied();
        closed.filter(|rows| *rows > 0.0).collect()
    }

    /// Cuts every cell once more by hash: into `moduli` shards, DEFAULT last,
    /// of equal rows but for `skew`. The key has the columns already.
    pub fn hashed(self, key: ShardKey, moduli: Vec<u32>, skew: f64) -> Self {
        let cells = self.cell_rows();
        let default_is_shard = moduli.last() == Some(&1);
        let mut rows = Vec::new();
        for (at, (cell, modulus)) in cells.iter().zip(&moduli).enumerate() {
            if !(default_is_shard && at + 1 == moduli.len()) {
                rows.extend(std::iter::repeat_n(cell / f64::from(*modulus), *modulus as usize));
            }
        }
        let default_rows = if default_is_shard { self.default_rows } else { 0.0 };
        Self { key, rows, default_rows, moduli, inner_skew: skew, ..self }
    }
}
