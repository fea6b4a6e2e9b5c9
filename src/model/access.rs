//! What a statement does to the columns of tables.
//!
//! The analyser in `pg` yields these values, `planning::workload` weighs them.

use serde::Deserialize;
use serde::Serialize;

use crate::model::key::Strategy;
use crate::model::name::QualifiedName;

/// How a statement uses a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    Equality,
    InList,
    Range,
    Prefix,
    NullTest,
    Join,
    GroupBy,
    OrderBy,
    Insert,
    Update,
    /// An update of a column that is part of a key.
    UpdateKey,
    Delete,
}

impl AccessKind {
    /// The word that the SQL surface shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Equality => "equality",
            Self::InList => "in_list",
            Self::Range => "range",
            Self::Prefix => "prefix",
            Self::NullTest => "null_test",
            Self::Join => "join",
            Self::GroupBy => "group_by",
            Self::OrderBy => "order_by",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::UpdateKey => "update_key",
            Self::Delete => "delete",
        }
    }

    /// Whether the access narrows the rows that are looked at.
    #[must_use]
    pub const fn narrows(self) -> bool {
        matches!(self, Self::Equality | Self::InList | Self::Range | Self::Prefix | Self::NullTest)
    }
}

/// The strategies by which PostgreSQL could prune with an access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrunedBy {
    #[default]
    All,
    /// Range and list: the comparison needs an order, or the hash operator
    /// family of the column's type does not have it.
    Order,
    /// Hash: the type has no order.
    Hash,
}

/// One use of one column, or of a whole row (`columns` empty: insert of all
/// columns, delete).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Access {
    pub kind: AccessKind,
    pub columns: Vec<String>,
    /// Whether PostgreSQL could prune partitions by it, of some strategy.
    pub prunable: bool,
    #[serde(default)]
    pub by: PrunedBy,
    /// Why not, or for a join the other side as `schema.table(column)`.
    pub reason: Option<String>,
    /// For a range: whether it has a lower and an upper end.
    #[serde(default)]
    pub lower: bool,
    #[serde(default)]
    pub upper: bool,
    /// The values compared with, in text form, where the statement has them.
    #[serde(default)]
    pub constants: Vec<String>,
}

impl Access {
    /// An access that PostgreSQL can prune by.
    #[must_use]
    pub fn of(kind: AccessKind, column: &str) -> Self {
        Self {
            kind,
            columns: vec![column.to_owned()],
            prunable: true,
            by: if kind == AccessKind::Range { PrunedBy::Order } else { PrunedBy::All },
            reason: None,
            lower: false,
            upper: false,
            constants: Vec::new(),
        }
    }
}

impl Access {
    /// Whether PostgreSQL could prune shards of that strategy by it, on the
    /// level whose key is the column.
    #[must_use]
    pub const fn prunes(&self, strategy: Strategy) -> bool {
        let fits = match strategy {
            Strategy::None => false,
            Strategy::Hash => !matches!(self.by, PrunedBy::Order),
            Strategy::Range | Strategy::List | Strategy::RangeHash | Strategy::ListHash => {
                !matches!(self.by, PrunedBy::Hash)
            }
        };
        self.prunable && fits
    }

    /// Why it is not prunable, or by which strategies it is not; for a join
    /// the other side.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let limits = match (self.prunable, self.by, self.kind) {
            (false, _, _) | (_, PrunedBy::All, _) => None,
            (_, PrunedBy::Order, AccessKind::Range) => Some("not by hash: it has no order"),
            (_, PrunedBy::Order, _) => Some("not by hash: its operator family lacks this comparison"),
            (_, PrunedBy::Hash, _) => Some("by hash alone: the type has no order"),
        };
        self.reason.clone().or_else(|| limits.map(str::to_owned))
    }
}

/// One mention of a table in a statement, with all that is done through it.
/// A self-join mentions its table twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mention {
    pub relation: QualifiedName,
    pub accesses: Vec<Access>,
}

/// By what an `INSERT ... ON CONFLICT` tells that a row is there already: it
/// needs a unique index on just these columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arbiter {
    pub relation: QualifiedName,
    /// Plain columns; expressions are left out.
    pub columns: Vec<String>,
    /// The constraint, where the statement names one instead of columns.
    #[serde(default)]
    pub constraint: Option<String>,
}

/// What one statement does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementFacts {
    pub mentions: Vec<Mention>,
    /// Of each `ON CONFLICT` that says on what.
    #[serde(default)]
    pub arbiters: Vec<Arbiter>,
    /// Whether a `LIMIT` cuts the result.
    #[serde(default)]
    pub limited: bool,
    /// Whether the result is aggregated (its rows say nothing of rows read).
    #[serde(default)]
    pub aggregated: bool,
}

/// What became of a statement in the analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Analysis {
    Facts(StatementFacts),
    /// PostgreSQL did not take it; its SQLSTATE and message.
    Refused {
        sqlstate: String,
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_prune_by_what_they_have() {
        let by = |kind, by| Access { by, ..Access::of(kind, "k") };
        let strategies =
            [Strategy::Range, Strategy::List, Strategy::Hash, Strategy::RangeHash, Strategy::None];
        for (access, expected) in [
            (Access::of(AccessKind::Equality, "k"), [true, true, true, true, false]),
            (Access::of(AccessKind::NullTest, "k"), [true, true, true, true, false]),
            (Access::of(AccessKind::Range, "k"), [true, true, false, true, false]),
            (by(AccessKind::Equality, PrunedBy::Order), [true, true, false, true, false]),
            (by(AccessKind::InList, PrunedBy::Hash), [false, false, true, false, false]),
            (Access { prunable: false, ..Access::of(AccessKind::Equality, "k") }, [false; 5]),
        ] {
            assert_eq!(strategies.map(|strategy| access.prunes(strategy)), expected, "{access:?}");
        }
    }

    #[test]
    fn a_remark_says_why_not_or_by_what_not() {
        let range = Access::of(AccessKind::Range, "k");
        assert_eq!(range.remark().as_deref(), Some("not by hash: it has no order"));
        let wrapped = Access { prunable: false, reason: Some("cast to date".to_owned()), ..range };
        assert_eq!(wrapped.remark().as_deref(), Some("cast to date"));
        assert_eq!(Access::of(AccessKind::Equality, "k").remark(), None);
    }
}
