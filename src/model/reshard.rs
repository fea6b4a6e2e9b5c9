//! What resharding replaces by what: some leaf partitions of one partitioned
//! table give way to others that accept the same keys.
//!
//! Here are the words, not how they are found (`planning::reshard`) or carried
//! out (`operations::reshard`). Invariant of a [`Change`] that exists: its
//! targets together accept exactly what its sources accept together, and every
//! row of a source belongs to one target.

use serde::Deserialize;
use serde::Serialize;

use crate::model::name::QualifiedName;
use crate::model::operation::Kind;

/// A leaf partition that is there and gives way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub oid: u32,
    pub name: QualifiedName,
    /// As PostgreSQL writes it: `FOR VALUES …` or `DEFAULT`.
    pub bound: String,
}

/// A leaf partition that comes: the table is created under its final name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub name: QualifiedName,
    pub bound: String,
    /// None = that of its source.
    pub tablespace: Option<String>,
    /// Which source it takes its leaf-level objects from: index into the sources.
    pub like: usize,
    /// Oid of the staging table, once it is created.
    #[serde(default)]
    pub oid: Option<u32>,
}

/// What an undo takes back. Its targets are there already: the shards that the
/// operation replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undo {
    pub operation_id: i64,
    /// Changes since the operation are written down: only those are brought
    /// back. Otherwise all rows are.
    pub captured: bool,
    /// The old shards were emptied after all: what is written down since the
    /// operation no more leads from what they have to what they should have.
    #[serde(default)]
    pub emptied: bool,
}

/// One operation's whole change, as it was planned. Stored with the operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The direct parent of the leaves: the table itself, or one of its branches.
    pub parent: QualifiedName,
    pub parent_oid: u32,
    /// The sharded table at the top; the parent if there is one level.
    pub root: QualifiedName,
    pub root_oid: u32,
    pub sources: Vec<Source>,
    pub targets: Vec<Target>,
    /// Columns of the primary key or of the unique index without nulls by which
    /// rows are told apart, in the index's order; the same on every source.
    /// Empty = there is none: only `online => false` is possible.
    pub identity: Vec<String>,
    pub online: bool,
    #[serde(default)]
    pub undo: Option<Undo>,
}

impl Change {
    /// The operation under whose number changes of the sources are written
    /// down: this one's own, or the one that it undoes.
    #[must_use]
    pub fn log_of(&self, operation_id: i64) -> i64 {
        self.undo.as_ref().filter(|undo| undo.captured).map_or(operation_id, |undo| undo.operation_id)
    }

    /// Whether only what is written down since an operation is brought back.
    #[must_use]
    pub fn is_captured(&self) -> bool {
        self.undo.as_ref().is_some_and(|undo| undo.captured)
    }
}

/// A verb's arguments, before they are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// `at`: split points in text form; none = chosen by size. `parts`: how many.
    Split {
        at: Option<Vec<String>>,
        parts: u32,
    },
    Merge,
    Move {
        tablespace: String,
    },
}

impl Wish {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Split { .. } => Kind::Split,
            Self::Merge => Kind::Merge,
            Self::Move { .. } => Kind::Move,
        }
    }
}
