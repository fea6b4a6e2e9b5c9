//! How a table is cut now, and what another way has to gain to replace it.
//!
//! Not here: words (`explain`); how a layout becomes a division
//! (`division::of_layout`). Invariant: the present way is priced at the horizon
//! as any other, by its own bounds, with the ranges that will be made ahead of
//! it until then; what comes back of it has its own names.

use crate::model::layout::Layout;
use crate::model::profile::TableKind;
use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::candidate::Candidate;
use crate::planning::proposal::candidate::Generator;
use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::division::of_layout::Laid;
use crate::planning::proposal::division::of_layout::of_layout;
use crate::planning::proposal::legality::Verdict;
use crate::planning::proposal::legality::null;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::option::replaces_partitions;
use crate::planning::proposal::subject::Subject;

/// The present way of a table, as it is; none if it is whole, or not known
/// bound by bound.
pub fn of(input: &ProposalInput, subject: &Subject, cut: &[Weighed]) -> Option<Weighed> {
    let laid = input.applied.get(&subject.name).and_then(|layout| weighed(input, subject, layout, cut));
    laid.map(|found| accepted(subject, found))
}

/// Why a table is left as it is that is partitioned already, though not in a
/// way that is known: what replaces it could not be compared with it.
pub fn not_analyzed(input: &ProposalInput, subject: &Subject) -> Option<String> {
    if subject.table.kind != TableKind::Partitioned {
        return None;
    }
    let by = subject.table.partition_key.as_ref().map_or(String::new(), |key| format!(" by {key}"));
    let why = match input.unlike_ours.get(&subject.name) {
        Some(why) => why.as_str(),
        None if input.applied.contains_key(&subject.name) => "its bounds cannot be placed among its rows",
        None => "a profile does not tell the bounds of its partitions",
    };
    Some(format!("It is partitioned{by} already, which is not analysed and stays as it is: {why}."))
}

/// A layout as a way to cut the table, with its own bounds and names.
pub fn weighed(
    input: &ProposalInput,
    subject: &Subject,
    layout: &Layout,
    cut: &[Weighed],
) -> Option<Weighed> {
    let Laid { division, layout } = of_layout(input, subject, layout)?;
    let known = cut.iter().find(|one| {
        let candidate = one.candidate.as_ref();
        candidate.is_some_and(|found| found.strategy == layout.strategy() && found.key == division.key)
    });
    let mut verdict = known.map_or_else(Verdict::default, |known| known.verdict.clone());
    // It may lack the DEFAULT that one of ours has.
    let warned = |of| null::warnings(subject.table, &layout.key_columns(), layout.strategy(), of);
    let (ours, own) = (warned(None), warned(Some(&layout)));
    verdict.warnings.retain(|warning| !ours.contains(warning));
    verdict.warnings.extend(own);
    // A key that nothing suggests but its being there.
    let unsuggested = || Candidate {
        strategy: layout.strategy(),
        key: division.key.clone(),
        generators: vec![Generator::PresentKey],
        stands_for: None,
    };
    Some(Weighed {
        candidate: Some(known.and_then(|known| known.candidate.clone()).unwrap_or_else(unsuggested)),
        cost: Cost::of(input, subject, &division),
        division,
        verdict,
        impossible: None,
        existing: Some(layout),
    })
}

/// What is there is legal, and replaces nothing.
fn accepted(subject: &Subject, weighed: Weighed) -> Weighed {
    let replaces = replaces_partitions(subject);
    let mut warnings = weighed.verdict.warnings.clone();
    warnings.retain(|warning| Some(warning) != replaces.as_ref());
    Weighed { verdict: Verdict { warnings, ..Verdict::default() }, impossible: None, ..weighed }
}

/// What another way has to save at least, milliseconds per second: a share of
/// the present cost, and enough to pay for moving the rows.
pub fn gain_least(input: &ProposalInput, subject: &Subject, present: &Weighed) -> f64 {
    let share = present.cost.total() * input.constants.change_gain_min;
    let move_ms = move_ms(input, subject);
    share.max(move_ms / input.constants.change_payback_seconds)
}

/// Milliseconds to move all rows.
fn move_ms(input: &ProposalInput, subject: &Subject) -> f64 {
    subject.size.rows_past * input.constants.change_row_ms
}

/// Seconds after which a gain has paid for the move; none if it never does.
pub fn payback_seconds(input: &ProposalInput, subject: &Subject, gain: f64) -> Option<f64> {
    (gain > 0.0).then(|| move_ms(input, subject) / gain)
}
