//! The rows of a table divided: whole, by ranges of time, or by hash.
//!
//! A division is a layout in numbers, before it has names and SQL bounds.
//! Invariant: edges ascend; the rows of all shards and of DEFAULT add up to
//! the rows at the horizon.

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::layout::Shard;
use crate::model::name::default_shard_name;
use crate::model::name::shard_name;
use crate::planning::proposal::calendar::CalendarUnit;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::subject::Subject;

/// How a table is cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    Whole,
    Range {
        /// None where the edges do not lie on the calendar.
        unit: Option<CalendarUnit>,
        /// One more than there are shards; microseconds.
        edges: Vec<i64>,
        /// Shards that begin after it hold nothing yet.
        future_from: i64,
        /// Shards that end after it are not closed at the horizon.
        closed_until: i64,
        /// Whether new rows come in at `future_from`.
        follows: bool,
    },
    Hash {
        modulus: u32,
        /// Largest over mean less 1, with the chance of distinct values
        /// falling together.
        skew: f64,
    },
}

/// A table cut by a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Division {
    pub key: ShardKey,
    pub cells: Cells,
    /// Rows of each shard at the horizon, without DEFAULT.
    pub rows: Vec<f64>,
    pub default_rows: f64,
}

impl Division {
    /// The table as it is.
    pub fn whole(rows: f64) -> Self {
        Self { key: ShardKey::default(), cells: Cells::Whole, rows: vec![rows], default_rows: 0.0 }
    }

    pub const fn strategy(&self) -> Strategy {
        match self.cells {
            Cells::Whole => Strategy::None,
            Cells::Range { .. } => Strategy::Range,
            Cells::Hash { .. } => Strategy::Hash,
        }
    }

    /// Shards with DEFAULT; 1 for the whole table.
    pub fn shard_count(&self) -> usize {
        self.rows.len() + usize::from(matches!(self.cells, Cells::Range { .. }))
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
        let squares = self.rows.iter().chain([&self.default_rows]).map(|rows| self.share(*rows).powi(2));
        let sum: f64 = squares.sum();
        if sum > 0.0 { sum } else { 1.0 / self.rows.len().max(1) as f64 }
    }

    /// Share of the rows in the largest shard.
    pub fn largest_share(&self) -> f64 {
        let largest = self.rows.iter().copied().fold(self.default_rows, f64::max);
        match self.cells {
            Cells::Hash { modulus, skew } => ((1.0 + skew) / f64::from(modulus)).min(1.0),
            _ => self.share(largest),
        }
    }

    /// Largest over mean of the closed, non-default, non-empty shards at the
    /// horizon, less 1.
    pub fn skew(&self) -> f64 {
        let closed: Vec<f64> = match &self.cells {
            Cells::Whole => return 0.0,
            Cells::Hash { skew, .. } => return *skew,
            Cells::Range { edges, closed_until, .. } => self
                .rows
                .iter()
                .zip(&edges[1..])
                .filter(|(rows, upper)| **rows > 0.0 && **upper <= *closed_until)
                .map(|(rows, _)| *rows)
                .collect(),
        };
        let mean = closed.iter().sum::<f64>() / closed.len().max(1) as f64;
        if mean > 0.0 { closed.iter().copied().fold(0.0, f64::max) / mean - 1.0 } else { 0.0 }
    }

    /// The layout with names, bounds and sizes; `None` for a whole table, or
    /// if a bound cannot be written.
    pub fn layout(&self, subject: &Subject) -> Option<Layout> {
        let bytes_per_row = subject.size.bytes_per_row();
        let shard = |name, bound, rows: f64, future| Shard {
            name,
            bound,
            rows: rows.round(),
            bytes: (rows * bytes_per_row).round(),
            tablespace: None,
            future,
            of: None,
        };
        let shards: Option<Vec<Shard>> = match &self.cells {
            Cells::Whole => None,
            Cells::Range { edges, future_from, .. } => {
                let key_type = self.key.first.first()?.key_type;
                let ranges = edges.windows(2).zip(&self.rows).enumerate();
                let mut shards: Vec<Shard> = ranges
                    .map(|(at, (edge, rows))| {
                        let point = |micros| Some(vec![RangeDatum::Value(key_type.write_moment(micros)?)]);
                        let bound = Bound::Range { lower: point(edge[0])?, upper: point(edge[1])? };
                        let future = edge[0] > *future_from;
                        Some(shard(shard_name(subject.stem, at + 1), bound, *rows, future))
                    })
                    .collect::<Option<_>>()?;
                let name = default_shard_name(subject.stem);
                shards.push(shard(name, Bound::Default, self.default_rows, false));
                Some(shards)
            }
            Cells::Hash { modulus, .. } => Some(
                (0..*modulus)
                    .zip(&self.rows)
                    .map(|(remainder, rows)| {
                        let bound = Bound::Hash { modulus: *modulus, remainder };
                        shard(shard_name(subject.stem, remainder as usize + 1), bound, *rows, false)
                    })
                    .collect(),
            ),
        };
        Layout::new(self.strategy(), self.key.columns(), self.key.key_types(), shards?).ok()
    }
}
