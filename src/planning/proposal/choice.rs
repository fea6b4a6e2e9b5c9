//! The ways to cut one table, and the one that was taken.
//!
//! Not here: which one is taken (`joint`), agreement on bounds (`colocation`)
//! and words (`explain`). Invariant: the whole table is always among what was
//! weighed, and what is taken is legal and can be laid out.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::candidate::never_sharded;
use crate::planning::proposal::earlier::Earlier;
use crate::planning::proposal::option;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::present;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
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
    /// The keys that are legal were disqualified.
    Disqualified,
    /// It is too small for two shards.
    Small,
    /// No key saves enough.
    NoGain,
    /// It is partitioned in a way that is not known; a full sentence.
    Partitioned(String),
    /// The settings permit one shard only.
    Limit,
}

/// Whether a way may be taken, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Good,
    /// By a person only.
    Disqualified,
    Illegal,
    Impossible,
}

impl Standing {
    pub fn of(input: &ProposalInput, subject: &Subject, weighed: &Weighed) -> Self {
        if weighed.impossible.is_some() {
            Self::Impossible
        } else if !weighed.legal() {
            Self::Illegal
        } else if disqualified(input, subject, weighed).is_some() {
            Self::Disqualified
        } else {
            Self::Good
        }
    }
}

/// Why a way must not be chosen here, though it is legal.
pub fn disqualified<'a>(input: &ProposalInput<'a>, subject: &Subject, weighed: &Weighed) -> Option<&'a str> {
    let candidate = weighed.candidate.as_ref()?;
    let found = input.disqualified.iter().find(|one| {
        one.relation == subject.name
            && one.strategy == candidate.strategy
            && one.shard_key == candidate.key.columns()
    });
    found.map(|one| one.reason.as_str())
}

/// Every way to leave or to cut one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Ways {
    pub whole: Weighed,
    /// Of each key the way that suits the table alone, by standing and cost.
    pub cut: Vec<Weighed>,
    /// Other ways by the same keys, for tables to agree on.
    pub other: Vec<Weighed>,
    /// How the table is cut now, as far as that is known.
    pub present: Option<Weighed>,
    /// What was proposed before.
    pub earlier: Earlier,
    /// Why it is not to be cut whatever that costs.
    pub stays: Option<Whole>,
}

impl Ways {
    /// Weighs every candidate of a table.
    ///
    /// # Errors
    /// [`Interrupted`] if `stop` said so.
    pub fn of(input: &ProposalInput, subject: &Subject, stop: Stop<'_>) -> Result<Self, Interrupted> {
        let whole = option::whole(input, subject);
        if let Some(reason) = never_sharded(subject) {
            let stays = Some(Whole::Never(reason));
            let (cut, other) = (Vec::new(), Vec::new());
            return Ok(Self { whole, cut, other, present: None, earlier: Earlier::Nothing, stays });
        }
        let (mut cut, mut other): (Vec<Weighed>, Vec<Weighed>) = (Vec::new(), Vec::new());
        for one in option::options(input, subject, stop)? {
            // Ways by one key stand side by side, the one for the table alone first.
            let known = cut.last().is_some_and(|last| same_key(last, &one));
            if known { other.push(one) } else { cut.push(one) }
        }
        let standing = |one: &Weighed| Standing::of(input, subject, one);
        cut.sort_by(|a, b| standing(a).cmp(&standing(b)).then(a.cost.total().total_cmp(&b.cost.total())));
        let present = present::of(input, subject, &cut);
        let best = cut.first().map(standing);
        let small = subject.size.bytes_p90 < 2.0 * input.constants.shard_bytes_min;
        let unknown = present::not_analyzed(input, subject).filter(|_| present.is_none());
        let stays = match (unknown, best) {
            (Some(reason), _) => Some(Whole::Partitioned(reason)),
            (None, Some(_)) if input.settings.shards_per_table_max < 2 && !small => Some(Whole::Limit),
            (None, None) => Some(Whole::NoKey),
            (None, Some(_)) if small => Some(Whole::Small),
            (None, Some(Standing::Good)) => None,
            (None, Some(Standing::Disqualified)) => Some(Whole::Disqualified),
            (None, Some(Standing::Illegal | Standing::Impossible)) => Some(Whole::NoLegalKey),
        };
        let earlier = Earlier::of(input, subject, &cut, &other);
        Ok(Self { whole, cut, other, present, earlier, stays })
    }

    /// The best way of good standing, if it is worth it by itself.
    pub fn worth(&self, input: &ProposalInput) -> Option<&Weighed> {
        let best = self.cut.first().filter(|_| self.stays.is_none())?;
        (best.cost.total() < self.whole.cost.total() * (1.0 - input.constants.gain_min)).then_some(best)
    }
}

/// What was weighed for one table and what was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The chosen one first, then by standing and cost; of each key the best.
    pub weighed: Vec<Weighed>,
    /// Why the first one is the whole table, if it is.
    pub whole: Option<Whole>,
    /// How the table is cut now, as far as that is known.
    pub present: Option<Weighed>,
}

impl Choice {
    /// The way that was taken among the others; none = the whole table.
    pub fn of(input: &ProposalInput, subject: &Subject, ways: Ways, taken: Option<Weighed>) -> Self {
        let Ways { whole, cut, present, stays, .. } = ways;
        let reason = taken.is_none().then(|| stays.unwrap_or(Whole::NoGain));
        // The whole table stands first if chosen, else among the legal by cost.
        let cheaper = |other: &Weighed| {
            reason.is_none()
                && Standing::of(input, subject, other) == Standing::Good
                && other.cost.total() <= whole.cost.total()
        };
        let mut weighed: Vec<Weighed> = Vec::new();
        for one in taken.into_iter().chain(cut).chain(present.clone()) {
            if !weighed.iter().any(|other| same_key(other, &one)) {
                weighed.push(one);
            }
        }
        let taken = usize::from(reason.is_none());
        let at = taken + weighed[taken..].iter().take_while(|other| cheaper(other)).count();
        weighed.insert(at, whole);
        Self { weighed, whole: reason, present }
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

/// Whether two ways have the same strategy and key.
pub fn same_key(a: &Weighed, b: &Weighed) -> bool {
    match (&a.candidate, &b.candidate) {
        (Some(a), Some(b)) => a.strategy == b.strategy && a.key == b.key,
        (a, b) => a.is_none() && b.is_none(),
    }
}
