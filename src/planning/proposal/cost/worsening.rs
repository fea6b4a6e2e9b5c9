//! The statement that pays for what others gain: a sum over all statements does
//! not show it.
//!
//! Inserts are not compared: what they cost a whole table is not modelled.
//! Invariant: a division is never worse than itself.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::cost::Execution;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::touch::Pruning;
use crate::planning::proposal::traffic::Use;

/// A hot statement that takes longer than on the whole table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worsened {
    /// Of the weight of all that read the table.
    pub share: f64,
    /// By how much of its time.
    pub by: f64,
    /// Shards that the planner keeps.
    pub planned: f64,
}

/// The hot statement of a table that a division makes worst, if that is more
/// than statements may get worse.
pub fn worsened(input: &ProposalInput, subject: &Subject, division: &Division) -> Option<Worsened> {
    let constants = input.constants;
    let reads = || subject.traffic.uses.iter().filter(|one| one.reads);
    let total: f64 = reads().map(|one| one.weight).sum();
    let whole = Division::whole(subject.size.rows);
    let (before, after) = (Pruning::of(&whole), Pruning::of(division));
    let worse = |one: &Use| {
        let [before, now] =
            [&before, &after].map(|pruning| Execution::of(input, subject, pruning, one).total());
        let planned = after.touch(one).planned;
        (before > 0.0).then(|| Worsened { share: one.weight / total, by: now / before - 1.0, planned })
    };
    reads()
        .filter(|one| total > 0.0 && one.weight >= total * constants.hot_share)
        .filter_map(worse)
        .filter(|found| found.by > constants.worsening_max)
        .max_by(|a, b| a.by.total_cmp(&b.by))
}
