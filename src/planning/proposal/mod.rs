//! Proposals: which tables to shard, by what, into which shards, and why.
//!
//! ```text
//! subject (size, spreads, traffic) ─→ candidate ─→ legality
//!                                        │            │
//!                            range, list, hash ─→ touch ─→ cost ─→ option ─→ choice
//!                                                                              │
//!                                 link, follower, variant ─→ joint (search) ─→ colocation ─→ explain
//! ```
//!
//! Here are the values that come in and go out, and the order of the steps.
//! Strategies: all of them, by one column or two. Not here: DDL (`provision`),
//! growth (`forecast`), the reading of statements (`workload`).
//!
//! Invariant: the same input yields the same proposal, byte for byte; every
//! layout in it covers the key space exactly once; every proposal names
//! `none` among its candidates.

mod alternative;
mod calendar;
mod calibration;
mod candidate;
mod choice;
mod colocation;
mod constants;
mod cost;
mod demand;
mod division;
mod document;
mod earlier;
mod edge;
mod error;
pub mod evidence;
mod explain;
mod follower;
mod hash;
mod identity;
mod joint;
mod key;
mod legality;
mod limits;
mod link;
mod list;
mod option;
mod present;
mod range;
mod register;
pub mod search;
mod server;
mod spread;
mod stem;
mod subject;
#[cfg(test)]
mod tests;
mod touch;
mod traffic;
mod two_level;
mod unknown;
mod variant;
mod wanted;

use std::collections::BTreeMap;

use rayon::iter::IndexedParallelIterator;
use rayon::iter::IntoParallelRefIterator;
use rayon::iter::ParallelIterator;
use serde::Deserialize;
use serde::Serialize;

use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::retention::RetentionPolicy;
use crate::model::settings::Settings;
use crate::planning::forecast::Growth;
use crate::planning::proposal::choice::Choice;
use crate::planning::proposal::choice::Ways;
use crate::planning::proposal::evidence::Evidence;
use crate::planning::proposal::search::Interrupted;
use crate::planning::workload::AnalyzedWorkload;

pub use crate::planning::proposal::alternative::AlternativeError;
pub use crate::planning::proposal::calendar::CalendarUnit;
pub use crate::planning::proposal::calendar::Interval;
pub use crate::planning::proposal::calibration::PLANNED_SHARDS;
pub use crate::planning::proposal::calibration::Settled;
pub use crate::planning::proposal::calibration::TimedScan;
pub use crate::planning::proposal::calibration::page_and_row;
pub use crate::planning::proposal::calibration::settled;
pub use crate::planning::proposal::candidate::Generator;
pub use crate::planning::proposal::constants::CostConstants;
pub use crate::planning::proposal::document::DocumentError;
pub use crate::planning::proposal::error::ProposalError;
pub use crate::planning::proposal::legality::Price;
pub use crate::planning::proposal::legality::Weakened;
pub use crate::planning::proposal::legality::WidenedKey;
pub use crate::planning::proposal::legality::null::null_without_place;
pub use crate::planning::proposal::legality::null::without_place;
pub use crate::planning::proposal::register::by_hand;
pub use crate::planning::proposal::register::inexact_number;
pub use crate::planning::proposal::search::Method;
pub use crate::planning::proposal::search::Stop;
pub use crate::planning::proposal::server::ServerFacts;
pub use crate::planning::proposal::wanted::columns_weighed;

/// Hash values of the most common values of columns, in the order of
/// `common_values`: PostgreSQL's own extended hash, combined as a partition
/// key of that one column, so that `value % modulus` is the remainder.
pub type HashValues = BTreeMap<(QualifiedName, String), Vec<u64>>;

/// Everything that a proposal depends on.
#[derive(Debug, Clone)]
pub struct ProposalInput<'a> {
    pub profile: &'a Profile,
    pub workload: &'a AnalyzedWorkload,
    /// A table without an entry is taken as not growing.
    pub growth: &'a BTreeMap<QualifiedName, Growth>,
    /// One table; none = all of the profile.
    pub only: Option<QualifiedName>,
    /// Microseconds from each table's `Growth::origin`.
    pub horizon_micros: i64,
    pub settings: &'a Settings,
    /// How long the data of single tables are kept; the others follow the
    /// settings.
    pub retention: &'a BTreeMap<QualifiedName, RetentionPolicy>,
    /// Columns may be missing; the skew is then an upper estimate.
    pub hash_values: &'a HashValues,
    /// Cores of the server that will hold the shards.
    pub cores: u32,
    /// Bytes of pages that it keeps in memory.
    pub cache_bytes: f64,
    /// Its settings that decide what a layout gains.
    pub server: ServerFacts,
    /// `server_version_num` of the server that will hold the shards: what is
    /// legal depends on it.
    pub target_version_num: u32,
    pub constants: &'a CostConstants,
    /// Ways that are listed but not chosen.
    pub disqualified: &'a [Disqualification],
    /// How tables are cut already; a table without an entry is whole, or cut
    /// in a way that is none of ours.
    pub applied: &'a BTreeMap<QualifiedName, Layout>,
    /// What of the partitions of others is none of ours, as a clause.
    pub unlike_ours: &'a BTreeMap<QualifiedName, String>,
    /// What was proposed before from the same kind of facts; none = to leave the
    /// table whole.
    pub earlier: &'a BTreeMap<QualifiedName, Option<Layout>>,
}

/// A way to cut a table that PostgreSQL's planner showed to be worse than it
/// looked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disqualification {
    pub relation: QualifiedName,
    pub strategy: Strategy,
    pub shard_key: Vec<String>,
    /// One or more full sentences.
    pub reason: String,
}

/// What is proposed for some tables. Its JSON is what is stored; what of it is
/// its identity, `identity` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The settings that it was made under; restores obey these.
    pub settings: Settings,
    pub horizon_micros: i64,
    /// Sorted by name.
    pub relations: Vec<RelationProposal>,
    /// How the ways were chosen; none for what a person chose, and for
    /// proposals from before version 0.3.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSummary>,
}

/// How good the choice of all tables together is known to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchSummary {
    pub method: Method,
    /// Tables that had a way to be cut.
    pub tables: usize,
    /// No choice has a smaller sum than this.
    pub lower_bound: f64,
    /// The sum that was minimised: milliseconds of server time per second,
    /// less what aligned tables are credited with, more what a change has to
    /// gain at least.
    pub cost: f64,
    /// How much smaller the sum could be at most, as a share of the bound.
    pub gap: f64,
    /// Choices looked at.
    pub nodes: u64,
}

impl Proposal {
    /// The same without what the planner made of it.
    #[must_use]
    pub fn without_evidence(&self) -> Self {
        let mut bare = self.clone();
        bare.relations.iter_mut().for_each(|relation| relation.evidence.clear());
        bare
    }

    /// The tables that are to be sharded, those of a colocation group
    /// together; by the first of each.
    #[must_use]
    pub fn sharded_together(&self) -> Vec<Vec<&RelationProposal>> {
        let mut together: Vec<Vec<&RelationProposal>> = Vec::new();
        for proposed in self.relations.iter().filter(|proposed| proposed.layout.is_some()) {
            let group = proposed.colocation_group;
            let begun = together.iter_mut().find(|one| group.is_some() && one[0].colocation_group == group);
            match begun {
                Some(begun) => begun.push(proposed),
                None => together.push(vec![proposed]),
            }
        }
        together
    }
}

/// How much the facts behind a proposal bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// No statements, no growth seen, or a declared volume.
    Low,
    Medium,
    /// Statements with many calls, and an event time or sampled values.
    High,
}

impl Confidence {
    /// The word that the SQL surface shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What is proposed for one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelationProposal {
    pub relation: QualifiedName,
    pub strategy: Strategy,
    /// None if the table stays whole.
    pub layout: Option<Layout>,
    /// Tables of one number have the same key type and the same modulus or
    /// bounds; numbered from 1 within the proposal.
    pub colocation_group: Option<u32>,
    /// Share of the rows that the statements on the table have to look at,
    /// weighted by execution time; 1 for the whole table.
    pub rows_scanned_share: f64,
    /// Largest over mean of closed, non-default shards at the horizon, less 1.
    pub skew: f64,
    /// Heap, indexes and TOAST, expected.
    pub bytes_at_horizon: f64,
    pub confidence: Confidence,
    /// One or two sentences.
    pub reason: String,
    pub warnings: Vec<String>,
    /// What was weighed, the chosen one first; `none` is always among them.
    pub candidates: Vec<CandidateSummary>,
    /// What PostgreSQL's planner made of it, statement by statement; empty if
    /// it was not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// One named part of a cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostTerm {
    pub name: String,
    pub value: f64,
    pub unit: String,
}

/// One way that was weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateSummary {
    /// From 1, the chosen one.
    pub rank: u32,
    pub strategy: Strategy,
    pub shard_key: Vec<String>,
    /// 1 for the whole table; 0 if no shards could be laid out.
    pub shard_count: usize,
    /// Sum of the terms: milliseconds of server time per second of workload.
    pub cost: f64,
    /// Of the cost of the whole table; 1 where that is zero.
    pub cost_share: f64,
    /// Whether PostgreSQL would take it under the settings.
    pub legal: bool,
    /// Why it was taken or not; what a violated rule would cost to meet.
    pub reason: String,
    /// What suggested the key.
    pub generators: Vec<Generator>,
    pub terms: Vec<CostTerm>,
    /// What it takes to have the key beside its shards.
    #[serde(default, skip_serializing_if = "Price::is_nothing")]
    pub price: Price,
    pub layout: Option<Layout>,
    /// As in the proposal, if this one is chosen.
    pub rows_scanned_share: f64,
    pub skew: f64,
    pub warnings: Vec<String>,
}

/// Proposes shards for one table or for all tables of a profile.
///
/// # Errors
/// [`ProposalError::UndefinedTable`] if `only` is not a table of the profile.
pub fn propose(input: &ProposalInput) -> Result<Proposal, ProposalError> {
    propose_unless(input, &|| false)
}

/// The same, given up as soon as `stop` says so.
///
/// # Errors
/// [`ProposalError::UndefinedTable`] if `only` is not a table of the profile,
/// [`ProposalError::Interrupted`].
pub fn propose_unless(input: &ProposalInput, stop: Stop<'_>) -> Result<Proposal, ProposalError> {
    if let Some(only) = &input.only
        && input.profile.table(only).is_none()
    {
        return Err(ProposalError::undefined_table(only, input.profile));
    }
    let stems = stem::stems(input.profile);
    let subjects = subject::subjects(input, &stems, stop)?;
    let ways: Vec<Ways> =
        subjects.par_iter().map(|subject| Ways::of(input, subject, stop)).collect::<Result<_, _>>()?;
    let links = link::links(&subjects);
    let carried = follower::carried(input, &subjects, &ways, &links, stop)?;
    let mut found = joint::choose(input, &subjects, &ways, &carried, stop)?;
    let settled = colocation::settle(input, &subjects, &ways, &links, &mut found.taken, stop)?;
    let relations: Result<Vec<_>, Interrupted> = subjects
        .par_iter()
        .zip(ways)
        .zip(found.taken)
        .map(|((subject, ways), taken)| {
            if stop() {
                return Err(Interrupted);
            }
            let choice = Choice::of(input, subject, ways, taken);
            let group = settled.groups.get(&subject.name).copied();
            let mut proposed = explain::relation_proposal(input, subject, choice, group, &found.summary);
            proposed.warnings.extend(settled.apart.get(&subject.name).cloned());
            Ok(proposed)
        })
        .collect();
    Ok(Proposal {
        settings: input.settings.clone(),
        horizon_micros: input.horizon_micros,
        relations: relations?,
        search: Some(found.summary),
    })
}
