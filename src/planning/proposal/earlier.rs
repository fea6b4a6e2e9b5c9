//! What was proposed for a table before, so that facts that hardly changed do
//! not lead to another proposal.
//!
//! Quantiles, weights and sizes move with every row; an earlier proposal that
//! still fits is taken again unless another way is cheaper by
//! `drift_tolerance`. Not here: what is applied already (`present`). Invariant:
//! an earlier way has names that a new one would get, reaches as far ahead, and
//! is by a key that would be weighed and allowed today.

use crate::model::layout::Layout;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::choice::Standing;
use crate::planning::proposal::choice::same_key;
use crate::planning::proposal::division::Cells;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::edge::Edge;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::shards_max;
use crate::planning::proposal::present;
use crate::planning::proposal::subject::Subject;

/// What was proposed.
#[derive(Debug, Clone, PartialEq)]
pub enum Earlier {
    /// Nothing, or nothing that fits any more.
    Nothing,
    Whole,
    /// A way, and what of its skew is noise: milliseconds per second.
    Cut(Box<Weighed>, f64),
}

impl Earlier {
    /// What was proposed for a table, among the ways to cut it today.
    pub fn of(input: &ProposalInput, subject: &Subject, cut: &[Weighed], other: &[Weighed]) -> Self {
        match input.earlier.get(&subject.name) {
            None => Self::Nothing,
            Some(None) => Self::Whole,
            Some(Some(layout)) => match fitting(input, subject, layout, cut, other) {
                Some((found, noise)) => Self::Cut(Box::new(found), noise),
                None => Self::Nothing,
            },
        }
    }

    /// What another way has to save beyond this one, of a table that costs so
    /// much whole.
    pub fn inertia(&self, input: &ProposalInput, whole: f64) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Whole => whole * input.constants.drift_tolerance,
            Self::Cut(weighed, noise) => (weighed.cost.total() - noise) * input.constants.drift_tolerance,
        }
    }

    /// What of its cost is noise.
    pub const fn noise(&self) -> f64 {
        match self {
            Self::Cut(_, noise) => *noise,
            Self::Nothing | Self::Whole => 0.0,
        }
    }

    pub fn cut(&self) -> Option<&Weighed> {
        match self {
            Self::Cut(weighed, _) => Some(weighed),
            Self::Nothing | Self::Whole => None,
        }
    }
}

fn fitting(
    input: &ProposalInput,
    subject: &Subject,
    layout: &Layout,
    cut: &[Weighed],
    other: &[Weighed],
) -> Option<(Weighed, f64)> {
    let found = present::weighed(input, subject, layout, cut)?;
    let own = cut.iter().find(|one| same_key(one, &found))?;
    let division = &found.division;
    let fits = Standing::of(input, subject, own) == Standing::Good
        && division.shard_count() <= shards_max(input, subject, &division.key, found.strategy())
        && names_are_as_new(subject, &found)
        && reaches(input, division)
        && is_as_fine(division, &own.division)
        && division.skew() <= own.division.skew() + input.constants.drift_skew
        && division.share(division.default_rows)
            <= own.division.share(own.division.default_rows) + input.constants.outlier_share;
    if !fits {
        return None;
    }
    // What would come out today needs no keeping.
    let ways = cut.iter().chain(other).filter(|one| same_key(one, &found));
    let new = ways.into_iter().find(|one| one.division.same_bounds(division));
    // New bounds fit the sample that they were drawn from, the earlier ones another.
    let noise = if on_the_border(input, subject, division, &own.division) {
        (found.cost.total() - own.cost.total()).max(0.0)
    } else {
        (found.cost.skew - own.cost.skew).max(0.0)
    };
    Some((new.cloned().unwrap_or(found), noise))
}

fn names_are_as_new(subject: &Subject, found: &Weighed) -> bool {
    match (&found.existing, found.division.layout(subject)) {
        (Some(before), Some(new)) => before.names().eq(new.names()),
        _ => false,
    }
}

/// Whether ranges lie ahead as far as new ones would.
fn reaches(input: &ProposalInput, division: &Division) -> bool {
    let ahead = |ends: &mut dyn Iterator<Item = f64>, from: f64| {
        ends.filter(|end| *end > from).count() > input.constants.shards_ahead_min
    };
    let open = |last: Option<f64>| last.is_some_and(f64::is_infinite);
    division.to_come == 0
        && match &division.cells {
            Cells::Range { unit: None, edges, follows: true, future_from, .. } => {
                let mut ends = edges.iter().map(Edge::position);
                open(ends.clone().next_back()) || ahead(&mut ends, *future_from)
            }
            Cells::Spans { unit: None, spans, follows: true, future_from, .. } => {
                let mut ends = spans.iter().map(|span| span.upper.first.position());
                open(ends.clone().next_back()) || ahead(&mut ends, *future_from)
            }
            _ => true,
        }
}

/// Whether half as many shards, or twice as many, would come out of a size that
/// is a little smaller or larger.
fn on_the_border(input: &ProposalInput, subject: &Subject, earlier: &Division, own: &Division) -> bool {
    let (before, now) = (earlier.rows.len() as f64, own.rows.len() as f64);
    let wanted = subject.size.bytes_p90 / input.constants.shard_bytes_target;
    let swing = 1.0 + input.constants.drift_size;
    (now == 2.0 * before && wanted <= before * swing) || (before == 2.0 * now && wanted * swing >= now)
}

/// Whether there are at most twice, and at least half as many shards; units of
/// the calendar are compared by what they cost.
fn is_as_fine(earlier: &Division, own: &Division) -> bool {
    let (earlier_count, own_count) = (earlier.shard_count(), own.shard_count());
    let calendar = matches!(earlier.cells, Cells::Range { unit: Some(_), .. });
    calendar || (earlier_count <= 2 * own_count && own_count <= 2 * earlier_count)
}
