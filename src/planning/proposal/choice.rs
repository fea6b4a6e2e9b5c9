//! The candidates of one table weighed, and one of them taken.
//!
//! Not here: agreement between tables (`colocation`) and words (`explain`).
//! Invariant: the whole table is always among what was weighed, and what is
//! chosen is legal and can be laid out.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::candidate::never_sharded;
use crate::planning::proposal::option;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::subject::Subject;

/// Why a table stays whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Whole {
    /// It cannot be sharded; a full sentence.
    Never(String),
    /// Nothing suggested a key.
    NoKey,
    /// Every key that was suggested is refused.
    NoLegalKey,
    /// It is too small for two shards.
    Small,
    /// No key saves enough.
    NoGain,
}

/// What was weighed for one table and what was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The chosen one first, then by legality and cost.
    pub weighed: Vec<Weighed>,
    /// Why the first one is the whole table, if it is.
    pub whole: Option<Whole>,
}

impl Choice {
    /// Weighs every candidate of a table.
    pub fn make(input: &ProposalInput, subject: &Subject) -> Self {
        let whole = option::whole(input, subject);
        if let Some(reason) = never_sharded(subject) {
            return Self { weighed: vec![whole], whole: Some(Whole::Never(reason)) };
        }
        let mut weighed = option::foremost(option::options(input, subject));
        weighed.sort_by(|a, b| order(a).cmp(&order(b)).then(a.cost.total().total_cmp(&b.cost.total())));
        let reason = reason_to_stay(input, subject, &whole, &weighed);
        let place = usize::from(reason.is_none());
        // The whole table stands first if chosen, else among the legal by cost.
        let before = weighed[place..].iter().take_while(|other| {
            reason.is_none() && other.legal() && other.cost.total() <= whole.cost.total()
        });
        let at = place + before.count();
        weighed.insert(at, whole);
        Self { weighed, whole: reason }
    }

    pub fn chosen(&self) -> &Weighed {
        &self.weighed[0]
    }

    pub fn whole_cost(&self) -> f64 {
        let whole = self.weighed.iter().find(|weighed| weighed.candidate.is_none());
        whole.map_or(0.0, |whole| whole.cost.total())
    }

    /// The cheapest key that rules forbid, if it were worth choosing.
    pub fn blocked(&self, gain_min: f64) -> Option<&Weighed> {
        let worth = self.chosen().cost.total() * (1.0 - gain_min);
        let blocked = self.weighed.iter().filter(|one| one.impossible.is_none() && !one.legal());
        blocked
            .min_by(|a, b| a.cost.total().total_cmp(&b.cost.total()))
            .filter(|one| one.cost.total() <= worth)
    }
}

/// Legal ones first, impossible ones last.
fn order(weighed: &Weighed) -> u8 {
    u8::from(!weighed.legal()) + u8::from(weighed.impossible.is_some())
}

fn reason_to_stay(
    input: &ProposalInput,
    subject: &Subject,
    whole: &Weighed,
    weighed: &[Weighed],
) -> Option<Whole> {
    let constants = input.constants;
    let Some(best) = weighed.first() else { return Some(Whole::NoKey) };
    if subject.size.bytes_p90 < 2.0 * constants.shard_bytes_min {
        return Some(Whole::Small);
    }
    if !best.legal() {
        return Some(Whole::NoLegalKey);
    }
    let worth = whole.cost.total() * (1.0 - constants.gain_min);
    (best.cost.total() >= worth).then_some(Whole::NoGain)
}
