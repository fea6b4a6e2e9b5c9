//! Ranges that a statement touches.
//!
//! Not here: lists and hash. Invariant: as many ranges as there are, at most.

use crate::planning::proposal::demand::cell;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::touch::Reach;
use crate::planning::proposal::touch::Touch;
use crate::planning::proposal::traffic::Use;
use crate::planning::proposal::traffic::Window;

impl Pruning<'_> {
    /// All ranges are hashed alike, DEFAULT perhaps otherwise.
    pub(super) fn by_ranges(&self, one: &Use) -> Touch {
        let (planned, opened) = self.ranges(one);
        let last = self.shares.len() - 1;
        let (inner, default, there) = (self.inner(one, 0), self.inner(one, last), self.there(last));
        Touch {
            planned: planned.cells * inner.planned + planned.default * default.planned * there,
            opened: opened.cells * inner.opened + opened.default * default.opened * there,
            share: opened.share * inner.share + opened.default * default.share * self.default_share(),
        }
    }

    /// What is planned and what is opened.
    fn ranges(&self, one: &Use) -> (Reach, Reach) {
        let cells = self.shares.len() as f64 - 1.0;
        let all = Reach { cells, share: 1.0 - self.default_share(), default: 1.0 };
        let Some(narrowing) = self.leading(one) else { return (all, all) };
        let mut found = self.window(&narrowing.window);
        found.cells = found.cells.clamp(0.0, cells);
        found.share = found.share.clamp(0.0, all.share);
        if narrowing.at_run_time { (all, found) } else { (found, found) }
    }

    /// A window of unknown place overhangs by half a shard at each unknown
    /// end.
    fn window(&self, window: &Window) -> Reach {
        let typical = self.typical;
        match window {
            Window::Values { count, known, .. } if !known.is_empty() && known.len() as f64 >= *count => {
                self.values(known)
            }
            Window::Values { count, .. } => self.drawn(*count),
            Window::Null => Reach { cells: 0.0, share: 0.0, default: 1.0 },
            Window::Exact { lower, upper } => self.exact(*lower, *upper),
            Window::Closed(share) => {
                Reach { cells: 1.0 + share / typical, share: share + typical, default: 0.0 }
            }
            // Shards ahead and DEFAULT cannot be pruned: they are cheap to
            // read but not to plan.
            Window::Newest(share) => Reach {
                cells: 0.5 + share / typical + self.empty,
                share: share + typical / 2.0,
                default: self.beyond(self.edges.last(), f64::INFINITY),
            },
            Window::Oldest(share) => Reach {
                cells: 0.5 + share / typical,
                share: share + typical / 2.0,
                default: self.beyond(self.edges.first(), f64::NEG_INFINITY),
            },
        }
    }

    /// Whether values beyond an outer edge belong to DEFAULT.
    fn beyond(&self, edge: Option<&f64>, end: f64) -> f64 {
        if edge.is_some_and(|edge| edge.total_cmp(&end).is_eq()) { 0.0 } else { 1.0 }
    }

    fn values(&self, known: &[f64]) -> Reach {
        let mut cells: Vec<Option<usize>> = known.iter().map(|value| cell(&self.edges, *value)).collect();
        cells.sort_unstable();
        cells.dedup();
        let inside: Vec<usize> = cells.iter().flatten().copied().collect();
        Reach {
            cells: inside.len() as f64,
            share: inside.iter().map(|at| self.shares[*at]).sum(),
            default: if inside.len() < cells.len() { 1.0 } else { 0.0 },
        }
    }

    /// Some values, drawn as statements ask for them.
    fn drawn(&self, count: f64) -> Reach {
        let last = self.shares.len() - 1;
        let default = self.chance(last, count);
        if count <= 1.0 {
            let asked_of_default = default * self.default_share();
            return Reach { cells: 1.0 - default, share: self.random - asked_of_default, default };
        }
        let mut reach = Reach { cells: 0.0, share: 0.0, default };
        for (at, share) in self.shares[..last].iter().enumerate() {
            let chance = self.chance(at, count);
            reach.cells += chance;
            reach.share += chance * share;
        }
        reach
    }

    fn exact(&self, lower: Option<f64>, upper: Option<f64>) -> Reach {
        let (edges, last) = (&self.edges, self.shares.len() - 1);
        // The first range that ends after `lower`, and the first that begins
        // at or after `upper`.
        let from = lower.map_or(0, |lower| edges.partition_point(|edge| *edge <= lower).saturating_sub(1));
        let until = upper.map_or(last, |upper| edges.partition_point(|edge| *edge < upper).min(last));
        let from = from.min(last);
        let (first_edge, last_edge) = (edges.first(), edges.last());
        let outside = |edge: Option<&f64>, value: f64, below: bool| {
            edge.is_none_or(|edge| if below { value < *edge } else { value > *edge })
        };
        let uncovered = outside(first_edge, lower.unwrap_or(f64::NEG_INFINITY), true)
            || outside(last_edge, upper.unwrap_or(f64::INFINITY), false);
        Reach {
            cells: until.saturating_sub(from) as f64,
            share: if until > from { self.sums[until] - self.sums[from] } else { 0.0 },
            default: if uncovered { 1.0 } else { 0.0 },
        }
    }
}
