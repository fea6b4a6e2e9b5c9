//! What a statement does to the columns of tables.
//!
//! The analyser in `pg` yields these values, `planning::workload` weighs them.

use serde::Deserialize;
use serde::Serialize;

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

/// One use of one column, or of a whole row (`columns` empty: insert of all
/// columns, delete).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Access {
    pub kind: AccessKind,
    pub columns: Vec<String>,
    /// Whether PostgreSQL could prune partitions by it.
    pub prunable: bool,
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
            reason: None,
            lower: false,
            upper: false,
            constants: Vec::new(),
        }
    }
}

/// One mention of a table in a statement, with all that is done through it.
/// A self-join mentions its table twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mention {
    pub relation: QualifiedName,
    pub accesses: Vec<Access>,
}

/// What one statement does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StatementFacts {
    pub mentions: Vec<Mention>,
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
