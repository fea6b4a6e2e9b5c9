//! What makes two proposals the same: the decision, not what it was expected
//! to do.
//!
//! The decision is how each table is to be cut, with whom, and under which
//! policies. Sizes, costs, forecasts, reasons, warnings and evidence move with
//! every row that comes in, and are no part of it. Neither are other ways that
//! were weighed, unless a person decided: what is chosen from is his.
//! Invariant: an identity has no number that is estimated.

use serde_json::Value;
use serde_json::json;

use crate::model::layout::Layout;
use crate::planning::proposal::CandidateSummary;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::RelationProposal;

impl Proposal {
    /// The decision as JSON. What a search found and what a person chose are
    /// told apart: what a person chose keeps the numbers that he saw.
    #[must_use]
    pub fn identity(&self) -> Value {
        let relations: Vec<Value> = self.relations.iter().map(decision).collect();
        let found = self.search.is_some();
        let by_person = self.relations.iter().filter(|_| !found);
        let chosen_from: Vec<Vec<Value>> = by_person.map(|one| ways(&one.candidates)).collect();
        json!({
            "chosen_from": chosen_from,
            "found": found,
            "unique_policy": self.settings.unique_policy,
            "retention_policy": self.settings.retention_policy,
            "relations": relations,
        })
    }

    /// This proposal with the numbers of one that decides the same. What was
    /// weighed keeps its rank, so that a rank names the same way tomorrow; what
    /// is new comes after, and what is no longer weighed leaves its rank free.
    #[must_use]
    pub fn refreshed(&self, fresh: &Self) -> Self {
        let mut refreshed = fresh.clone();
        for proposed in &mut refreshed.relations {
            let before = self.relations.iter().find(|before| before.relation == proposed.relation);
            if let Some(before) = before {
                keep_ranks(&before.candidates, &mut proposed.candidates);
            }
        }
        refreshed
    }
}

fn decision(proposed: &RelationProposal) -> Value {
    json!([
        proposed.relation,
        proposed.strategy,
        proposed.colocation_group,
        proposed.layout.as_ref().map(decided),
    ])
}

/// What each rank names.
fn ways(candidates: &[CandidateSummary]) -> Vec<Value> {
    let way = |one: &CandidateSummary| json!([one.rank, one.strategy, one.shard_key]);
    candidates.iter().map(way).collect()
}

/// What PostgreSQL would be told to make.
fn decided(layout: &Layout) -> Value {
    let branches = layout.branches().iter();
    let branches: Vec<Value> =
        branches.map(|branch| json!([branch.name, branch.bound, branch.shard_key])).collect();
    let shards = layout.shards().iter();
    let shards: Vec<Value> =
        shards.map(|shard| json!([shard.name, shard.bound, shard.tablespace, shard.of])).collect();
    json!({"key": layout.shard_key(), "branches": branches, "shards": shards})
}

fn keep_ranks(before: &[CandidateSummary], candidates: &mut [CandidateSummary]) {
    let same =
        |a: &CandidateSummary, b: &CandidateSummary| a.strategy == b.strategy && a.shard_key == b.shard_key;
    let mut next = before.iter().map(|known| known.rank).max().unwrap_or(0);
    for candidate in candidates.iter_mut() {
        candidate.rank = match before.iter().find(|known| same(known, candidate)) {
            Some(known) => known.rank,
            None => {
                next += 1;
                next
            }
        };
    }
    candidates.sort_by_key(|candidate| candidate.rank);
}
