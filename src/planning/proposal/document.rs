//! Proposals as JSON: from rehearsal to production, and into version control.
//!
//! Version 2 has layouts of two levels; a proposal without them is written as
//! version 1, which older releases read. Invariant: what is read obeys the laws
//! of layouts and names, whoever wrote it; nothing in it is believed beyond that.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::json;
use thiserror::Error;

use crate::model::bound::Bound;
use crate::model::bound::RangeDatum;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::name::IDENTIFIER_BYTES_MAX;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::planning::proposal::Proposal;
use crate::planning::proposal::RelationProposal;

/// The word that tells an exported proposal from any other JSON.
const FORMAT: &str = "pg_presplit proposal";
/// No count of rows or bytes is larger.
const NUMBER_MAX: f64 = 1e30;
/// The newest version that is read; all before it are read too.
const VERSION: u64 = 2;

/// A JSON value that is not a proposal of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentError {
    #[error("value is not a proposal")]
    NotAProposal,
    #[error("value is not a proposal")]
    Version,
    #[error("value is not a proposal")]
    Damaged(String),
}

impl Report for DocumentError {
    fn sqlstate(&self) -> SqlState {
        SqlState::InvalidParameterValue
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NotAProposal => format!("A proposal is a JSON object whose \"format\" is \"{FORMAT}\"."),
            Self::Version => format!("This release reads versions 1 to {VERSION}."),
            Self::Damaged(why) => why.clone(),
        })
    }

    fn hint(&self) -> Option<String> {
        Some("Import what export_proposal() wrote, as it is.".to_owned())
    }
}

impl Proposal {
    /// The proposal as it is exported.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let layouts = self.relations.iter().flat_map(layouts);
        let two_levels = layouts.into_iter().any(|layout| !layout.branches().is_empty());
        json!({"format": FORMAT, "version": if two_levels { VERSION } else { 1 }, "proposal": self})
    }

    /// Reads and checks what was exported.
    ///
    /// # Errors
    /// [`DocumentError`] if it is something else, newer, or damaged.
    pub fn from_json(value: &Value) -> Result<Self, DocumentError> {
        if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(DocumentError::NotAProposal);
        }
        match value.get("version").and_then(Value::as_u64) {
            Some(1..=VERSION) => {}
            _ => return Err(DocumentError::Version),
        }
        let proposal = value.get("proposal").cloned().unwrap_or(Value::Null);
        let read: Self = serde_json::from_value(proposal)
            .map_err(|cause| DocumentError::Damaged(format!("The JSON does not have its shape: {cause}.")))?;
        match read.flaw() {
            Some(flaw) => Err(DocumentError::Damaged(flaw)),
            None => Ok(read),
        }
    }

    /// What is wrong with a proposal that was written elsewhere, if anything:
    /// its layouts obey their laws by their type, the rest is looked at here.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        let mut seen = BTreeSet::new();
        self.relations.iter().find_map(|proposed| {
            let relation = &proposed.relation;
            if !seen.insert(relation) {
                return Some(format!("Table {relation} is there twice."));
            }
            let chosen = std::iter::once((proposed.strategy, &proposed.layout));
            let weighed = proposed
                .candidates
                .iter()
                .filter(|candidate| candidate.layout.is_some())
                .map(|candidate| (candidate.strategy, &candidate.layout));
            let agree = |(strategy, layout): (Strategy, &Option<Layout>)| {
                strategy == layout.as_ref().map_or(Strategy::None, Layout::strategy)
            };
            if !chosen.chain(weighed).all(agree) {
                return Some(format!("Strategy and layout of table {relation} do not agree."));
            }
            let mut ranks = BTreeSet::new();
            if !proposed.candidates.iter().all(|candidate| ranks.insert(candidate.rank)) {
                return Some(format!("Alternatives of table {relation} have the same rank."));
            }
            let names = [&relation.schema, &relation.name];
            let mut names = names.into_iter().chain(layouts(proposed).into_iter().flat_map(names_of));
            if let Some(name) = names.find(|name| !is_name(name)) {
                return Some(format!(
                    "{name:?} of table {relation} is not a name of 1 to {IDENTIFIER_BYTES_MAX} bytes."
                ));
            }
            let own = |layout: &&Layout| layout.names().any(|name| *name == relation.name);
            if layouts(proposed).iter().any(own) {
                return Some(format!("A shard of table {relation} has the table's own name."));
            }
            let sizes = layouts(proposed).into_iter().flat_map(Layout::shards);
            let sizes = sizes.flat_map(|shard| [shard.rows, shard.bytes]);
            let numbers = [proposed.rows_scanned_share, proposed.bytes_at_horizon];
            if sizes.chain(numbers).any(|number| !(0.0..=NUMBER_MAX).contains(&number)) {
                return Some(format!("A number of table {relation} is negative, or larger than any is."));
            }
            let mut values = layouts(proposed).into_iter().flat_map(values_of);
            values
                .any(|value| value.contains('\0'))
                .then(|| format!("A bound of table {relation} has a character of code zero."))
        })
    }
}

/// The layouts that a proposal has for a table, the chosen one first.
fn layouts(proposed: &RelationProposal) -> Vec<&Layout> {
    let candidates = proposed.candidates.iter().filter_map(|candidate| candidate.layout.as_ref());
    proposed.layout.iter().chain(candidates).collect()
}

fn names_of(layout: &Layout) -> impl Iterator<Item = &String> {
    let keys = layout.branches().iter().flat_map(|branch| &branch.shard_key);
    let tablespaces = layout.shards().iter().filter_map(|shard| shard.tablespace.as_ref());
    layout.names().chain(layout.shard_key()).chain(keys).chain(tablespaces)
}

fn is_name(name: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&name.len()) && !name.contains('\0')
}

/// The values that bounds name.
fn values_of(layout: &Layout) -> impl Iterator<Item = &str> {
    let of_branches = layout.branches().iter().map(|branch| &branch.bound);
    of_branches.chain(layout.shards().iter().map(|shard| &shard.bound)).flat_map(|bound| match bound {
        Bound::Range { lower, upper } => lower
            .iter()
            .chain(upper)
            .filter_map(|datum| match datum {
                RangeDatum::Value(value) => Some(value.as_str()),
                RangeDatum::MinValue | RangeDatum::MaxValue => None,
            })
            .collect::<Vec<_>>(),
        Bound::List { values } => values.iter().flatten().map(String::as_str).collect(),
        Bound::Hash { .. } | Bound::Default => Vec::new(),
    })
}
