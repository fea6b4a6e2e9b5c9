//! Which shards a statement touches.
//!
//! As PostgreSQL prunes: ranges by equality and range at plan time, hash by
//! equality only, both by the rows of a nested loop while running; a
//! predicate that leaves values unbounded keeps DEFAULT. Not here: what
//! touching costs. Invariant: at least one shard, at most all.

use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
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

impl Touch {
    const fn pruned(shards: f64, share: f64) -> Self {
        Self { planned: shards, opened: shards, share }
    }
}

/// A division, ready to be asked by many statements.
#[derive(Debug, Clone, Copy)]
pub struct Pruning<'a> {
    pub division: &'a Division,
    /// Shards with DEFAULT.
    count: f64,
    /// Share of the rows in the shard of a row taken at random.
    pub random: f64,
    /// Shards without rows.
    empty: f64,
}

impl<'a> Pruning<'a> {
    pub fn of(division: &'a Division) -> Self {
        Self {
            division,
            count: division.shard_count() as f64,
            random: division.concentration(),
            empty: division.rows.iter().filter(|rows| **rows <= 0.0).count() as f64,
        }
    }

    /// What one use touches.
    pub fn touch(&self, one: &Use) -> Touch {
        let all = Touch { planned: self.count, opened: self.count, share: 1.0 };
        let Some(narrowing) = one.narrowings.get(self.division.key.leading()) else { return all };
        if narrowing.at_run_time && self.count > 1.0 {
            return Touch { planned: self.count, opened: 1.0, share: self.random };
        }
        if !narrowing.prunable {
            return all;
        }
        let found = match &self.division.cells {
            Cells::Whole => return all,
            Cells::Hash { modulus, .. } if narrowing.by_hash => {
                by_hash(f64::from(*modulus), self.random, narrowing)
            }
            Cells::Hash { .. } => return all,
            Cells::Range { edges, .. } => Some(self.by_range(edges, &narrowing.window)),
        };
        found.map_or(all, |touch| Touch {
            planned: touch.planned.clamp(1.0, self.count),
            opened: touch.opened.clamp(1.0, self.count),
            share: touch.share.clamp(0.0, 1.0),
        })
    }

    /// A window of unknown place overhangs by half a shard at each unknown
    /// end.
    fn by_range(&self, edges: &[i64], window: &Window) -> Touch {
        let (division, random) = (self.division, self.random);
        match window {
            Window::Values { count, known } if !known.is_empty() && known.len() as f64 >= *count => {
                let mut cells: Vec<Option<usize>> = known.iter().map(|value| cell(edges, *value)).collect();
                cells.sort_unstable();
                cells.dedup();
                let rows =
                    cells.iter().map(|cell| cell.map_or(division.default_rows, |at| division.rows[at]));
                Touch::pruned(cells.len() as f64, division.share(rows.sum()))
            }
            Window::Values { count, .. } => Touch::pruned(*count, count * random),
            Window::Exact { lower, upper } => exact(division, edges, *lower, *upper),
            Window::Closed(share) => Touch::pruned(1.0 + share / random, share + random),
            // Shards ahead and DEFAULT cannot be pruned: they are cheap to
            // read but not to plan.
            Window::Newest(share) => Touch::pruned(1.5 + share / random + self.empty, share + random / 2.0),
            Window::Oldest(share) => Touch::pruned(1.5 + share / random, share + random / 2.0),
        }
    }
}

/// Values fall into shards at random; ranges cannot be pruned.
fn by_hash(modulus: f64, random: f64, narrowing: &Narrowing) -> Option<Touch> {
    let Window::Values { count, .. } = narrowing.window else { return None };
    let opened = modulus * (1.0 - (1.0 - 1.0 / modulus).powf(count));
    Some(Touch::pruned(opened, (opened * random).min(1.0)))
}

/// The shard of a value; none = DEFAULT.
fn cell(edges: &[i64], value: f64) -> Option<usize> {
    let after = edges.partition_point(|edge| *edge as f64 <= value);
    (after >= 1 && after < edges.len()).then(|| after - 1)
}

fn exact(division: &Division, edges: &[i64], lower: Option<f64>, upper: Option<f64>) -> Touch {
    let first_edge = edges.first().map_or(0.0, |edge| *edge as f64);
    let last_edge = edges.last().map_or(0.0, |edge| *edge as f64);
    let uncovered =
        lower.is_none_or(|value| value < first_edge) || upper.is_none_or(|value| value > last_edge);
    let cells = edges.windows(2).zip(&division.rows).filter(|(edge, _)| {
        let begins_after = upper.is_some_and(|value| edge[0] as f64 >= value);
        let ends_before = lower.is_some_and(|value| edge[1] as f64 <= value);
        !begins_after && !ends_before
    });
    let (mut shards, mut rows) = (0.0, 0.0);
    for (_, inside) in cells {
        shards += 1.0;
        rows += inside;
    }
    if uncovered {
        shards += 1.0;
        rows += division.default_rows;
    }
    Touch::pruned(shards, division.share(rows))
}
