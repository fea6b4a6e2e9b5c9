//! Another of the ways that were weighed, put in place of the chosen one.
//!
//! Invariant: only a way that is legal and was laid out can be chosen; the
//! rest of the proposal stays as it is.

use thiserror::Error;

use crate::model::key::Strategy;
use crate::model::name::QualifiedName;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::planning::proposal::Proposal;

/// An alternative that cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AlternativeError {
    #[error("proposal says nothing about table \"{0}\"")]
    UndefinedTable(QualifiedName),
    #[error("table \"{relation:#}\" has no alternative {rank}")]
    UndefinedRank { relation: QualifiedName, rank: i64, ranks: usize },
    #[error("alternative {rank} of table \"{relation:#}\" is not legal")]
    Illegal { relation: QualifiedName, rank: i64, reason: String },
}

impl Report for AlternativeError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::UndefinedTable(_) => SqlState::UndefinedTable,
            Self::UndefinedRank { .. } => SqlState::InvalidParameterValue,
            Self::Illegal { .. } => SqlState::InvalidObjectDefinition,
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::UndefinedTable(_) => None,
            Self::UndefinedRank { ranks: 0, .. } => Some("It has none.".to_owned()),
            Self::UndefinedRank { ranks: 1, .. } => Some("It has one, of rank 1.".to_owned()),
            Self::UndefinedRank { ranks, .. } => Some(format!("They are ranked from 1 to {ranks}.")),
            Self::Illegal { reason, .. } => Some(reason.clone()),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UndefinedTable(_) => "View \"presplit.proposals\" lists its tables.".to_owned(),
            Self::UndefinedRank { .. } => "explain_proposal() lists them by rank.".to_owned(),
            Self::Illegal { .. } => {
                "Set \"presplit.unique_policy\" before propose_shards(), if that is what stands in the way."
                    .to_owned()
            }
        })
    }
}

impl Proposal {
    /// The proposal with the candidate of that rank in place for a table.
    ///
    /// # Errors
    /// [`AlternativeError`] if there is none of that rank or it is not legal.
    pub fn choose(&self, relation: &QualifiedName, rank: impl Into<i64>) -> Result<Self, AlternativeError> {
        let rank = rank.into();
        let mut changed = Self { search: None, ..self.clone() };
        let proposed = changed
            .relations
            .iter_mut()
            .find(|proposed| proposed.relation == *relation)
            .ok_or_else(|| AlternativeError::UndefinedTable(relation.clone()))?;
        let ranks = proposed.candidates.len();
        let Some(at) = proposed.candidates.iter().position(|candidate| i64::from(candidate.rank) == rank)
        else {
            return Err(AlternativeError::UndefinedRank { relation: relation.clone(), rank, ranks });
        };
        let chosen = proposed.candidates.remove(at);
        if !chosen.legal || (chosen.strategy != Strategy::None && chosen.layout.is_none()) {
            let reason = chosen.reason;
            return Err(AlternativeError::Illegal { relation: relation.clone(), rank, reason });
        }
        proposed.strategy = chosen.strategy;
        proposed.layout.clone_from(&chosen.layout);
        proposed.colocation_group = None;
        proposed.evidence.clear();
        proposed.rows_scanned_share = chosen.rows_scanned_share;
        proposed.skew = chosen.skew;
        proposed.warnings.clone_from(&chosen.warnings);
        proposed.reason = format!("Chosen by hand. {}", chosen.reason);
        proposed.candidates.insert(0, chosen);
        for (rank, candidate) in (1..).zip(&mut proposed.candidates) {
            candidate.rank = rank;
        }
        Ok(changed)
    }
}
