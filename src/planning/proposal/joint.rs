//! The choice of all tables together, as a problem for `search`.
//!
//! A table's options are to stay whole and each way that may be taken; a way
//! has to save `gain_min` of the whole table's cost. Two ways gain together
//! what `cost::join_gain` says, and tables that are worth sharding by
//! themselves may lose `colocation_tolerance` of their cost for the sake of
//! being aligned. Not here: common ends of ranges (`colocation`). Invariant:
//! what is taken is legal, laid out and not disqualified.

use rayon::iter::IntoParallelRefIterator;
use rayon::iter::ParallelIterator;

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::SearchSummary;
use crate::planning::proposal::choice::Ways;
use crate::planning::proposal::choice::same_key;
use crate::planning::proposal::cost::join_gain;
use crate::planning::proposal::earlier::Earlier;
use crate::planning::proposal::explain::rounded;
use crate::planning::proposal::link::Link;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::present;
use crate::planning::proposal::search::Effort;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Problem;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::solve;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::variant;
use crate::planning::proposal::variant::Open;
use crate::planning::proposal::variant::Role;

/// What was taken for each table; none = it stays whole.
pub struct Joint {
    pub taken: Vec<Option<Weighed>>,
    pub summary: SearchSummary,
}

/// Chooses a way for every table.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn choose(
    input: &ProposalInput,
    subjects: &[Subject],
    ways: &[Ways],
    links: &[Link],
    stop: Stop<'_>,
) -> Result<Joint, Interrupted> {
    let open = variant::open(input, subjects, ways, links, stop)?;
    let costs = subjects
        .iter()
        .zip(ways)
        .zip(&open)
        .map(|((subject, ways), open)| prices(input, subject, ways, open));
    let mut problem = Problem::new(costs.collect());
    let credits = credits(input, ways, &open, links);
    let gains: Result<Vec<Vec<Gain>>, Interrupted> = links
        .par_iter()
        .map(|link| if stop() { Err(Interrupted) } else { Ok(gains(input, subjects, &open, link)) })
        .collect();
    for ((link, gains), credit) in links.iter().zip(gains?).zip(credits) {
        for (a, b, gain) in gains {
            problem.add_gain((link.a, a + 1), (link.b, b + 1), gain + credit);
        }
    }
    let found = solve(&problem, &Effort::default(), stop)?;
    let taken = found.assignment.iter().zip(open.iter()).map(|(option, open)| {
        let taken = option.checked_sub(1).and_then(|at| open.get(at));
        taken.map(|taken| taken.weighed.clone())
    });
    let summary = SearchSummary {
        method: found.method,
        tables: open.iter().filter(|open| !open.is_empty()).count(),
        lower_bound: rounded(found.lower_bound),
        cost: rounded(found.cost),
        gap: rounded(found.gap()),
        nodes: found.nodes,
    };
    Ok(Joint { taken: taken.collect(), summary })
}

/// The costs of the options: the whole table, then each way, with what they
/// have to save. A variant is never better than the way that the table would
/// have by itself.
fn prices(input: &ProposalInput, subject: &Subject, ways: &Ways, open: &[Open]) -> Vec<f64> {
    let whole = ways.whole.cost.total();
    let (to_whole, to_cut) = match &ways.present {
        Some(present) => {
            let least = present::gain_least(input, subject, present);
            (least, least)
        }
        None => (0.0, whole * input.constants.gain_min),
    };
    // What was proposed before is proposed again unless another way is clearly better.
    let inertia = ways.earlier.inertia(input, whole);
    let again = open.iter().any(|one| one.role == Role::Earlier);
    let is_earlier = |one: &Open| {
        one.role == Role::Earlier || !again && one.role == Role::Present && ways.earlier.cut().is_some()
    };
    let cut = open.iter().map(|one| {
        let columns = one.weighed.candidate.as_ref().map_or(1, |candidate| candidate.key.columns().len());
        let simpler = if columns > 1 { whole * input.constants.second_column_gain_min } else { 0.0 };
        let cost = one.weighed.cost.total() + simpler + if is_earlier(one) { 0.0 } else { inertia };
        let own = ways.cut.iter().find(|own| same_key(own, &one.weighed));
        match one.role {
            Role::Present => cost,
            Role::Own => cost + to_cut,
            Role::Earlier => cost + to_cut - ways.earlier.noise(),
            Role::Variant => to_cut + own.map_or(cost, |own| cost.max(own.cost.total() + inertia)),
        }
    });
    let to_whole = if ways.earlier == Earlier::Whole { to_whole } else { to_whole + inertia };
    std::iter::once(whole + to_whole).chain(cut).collect()
}

/// Ways of the two tables of a link, and what they gain together.
type Gain = (usize, usize, f64);

fn gains(input: &ProposalInput, subjects: &[Subject], open: &[Vec<Open>], link: &Link) -> Vec<Gain> {
    let mut found = Vec::new();
    for (i, a) in open[link.a].iter().enumerate() {
        for (j, b) in open[link.b].iter().enumerate() {
            let (left, right) = (&a.weighed.division, &b.weighed.division);
            if link.joins(&a.weighed, &b.weighed) && left.same_bounds(right) {
                let gain = join_gain(input, &subjects[link.a], left, &subjects[link.b], right);
                found.push((i, j, gain));
            }
        }
    }
    found
}

/// What two aligned tables are credited with beside what they gain: each
/// spreads what it may lose over its links.
fn credits(input: &ProposalInput, ways: &[Ways], open: &[Vec<Open>], links: &[Link]) -> Vec<f64> {
    let worth: Vec<Option<f64>> =
        ways.iter().map(|ways| ways.worth(input).map(|best| best.cost.total())).collect();
    let counts: Vec<bool> = links
        .iter()
        .map(|link| {
            let joins = |a: &Open| open[link.b].iter().any(|b| link.joins(&a.weighed, &b.weighed));
            worth[link.a].is_some() && worth[link.b].is_some() && open[link.a].iter().any(joins)
        })
        .collect();
    let mut degree = vec![0.0; ways.len()];
    for (link, _) in links.iter().zip(&counts).filter(|(_, counts)| **counts) {
        degree[link.a] += 1.0;
        degree[link.b] += 1.0;
    }
    let part = |table: usize| worth[table].map_or(0.0, |cost| cost / f64::max(degree[table], 1.0));
    links
        .iter()
        .zip(counts)
        .map(|(link, counts)| {
            let both = part(link.a) + part(link.b);
            if counts { both * input.constants.colocation_tolerance } else { 0.0 }
        })
        .collect()
}
