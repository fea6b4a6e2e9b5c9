//! What a utility statement says, as far as restoring into shards depends on it.
//!
//! `pg::utility` reads PostgreSQL's parse trees into these values, for the
//! hook and for `check_restore` alike; `planning::provision` decides on them;
//! `pg::hook` carries the decision out on the tree itself, so nothing is ever
//! written back to text and parsed again.

use crate::model::key::Strategy;
use crate::model::name::QualifiedName;

/// One utility statement about relations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Utility {
    CreateTable(CreateTable),
    /// `CREATE TABLE AS`, `SELECT INTO`, `CREATE VIEW`, a foreign table or a
    /// materialized view of that name: never a sharded table.
    CreateOther {
        relation: QualifiedName,
        what: &'static str,
    },
    /// `ALTER TABLE … RENAME TO` or `SET SCHEMA`.
    MoveTable {
        from: QualifiedName,
        /// What it would be called.
        relation: QualifiedName,
    },
    AlterTable {
        relation: QualifiedName,
        only: bool,
        commands: Vec<AlterCommand>,
    },
    CreateIndex(CreateIndex),
    Truncate {
        relations: Vec<(QualifiedName, bool)>,
        /// Neither `RESTART IDENTITY` nor `CASCADE`: it does nothing else.
        plain: bool,
    },
    CopyFrom {
        relation: QualifiedName,
        freeze: bool,
    },
    CreateTrigger {
        relation: QualifiedName,
        name: String,
        row: bool,
        transition_tables: bool,
    },
    /// `CREATE PUBLICATION … FOR TABLE` or `ALTER PUBLICATION … ADD TABLE`.
    Publish {
        publication: String,
        relations: Vec<QualifiedName>,
        via_root: bool,
        /// `CREATE PUBLICATION`, not `ALTER`.
        creates: bool,
    },
}

/// `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    pub relation: QualifiedName,
    pub columns: Vec<String>,
    pub unlogged: bool,
    pub inherits: bool,
    /// `OF type` or `LIKE`: columns come from elsewhere.
    pub typed: bool,
    /// Has `PARTITION BY` or `PARTITION OF` of its own.
    pub partitioned: bool,
    /// Storage parameters as they are written, `toast.x = 'y'`.
    pub options: Vec<String>,
    pub access_method: Option<String>,
}

/// One command of `ALTER TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterCommand {
    Owner,
    AddUnique {
        name: Option<String>,
        primary: bool,
        columns: Vec<String>,
        using_index: bool,
    },
    AddExclusion {
        name: Option<String>,
        equal_columns: Vec<String>,
    },
    AddForeignKey {
        name: Option<String>,
        references: QualifiedName,
        /// Empty = the primary key.
        referenced_columns: Vec<String>,
        not_valid: bool,
    },
    ClusterOn {
        index: String,
    },
    /// `DEFAULT`, `FULL`, `NOTHING`, or an index.
    ReplicaIdentity {
        index: Option<String>,
    },
    ColumnOptions {
        column: String,
    },
    StorageParameters,
    Persistence,
    Tablespace,
    RowSecurity,
    Identity,
    Inherit,
    AttachPartition,
    /// Any other; recursion makes it right.
    Other,
}

/// `CREATE INDEX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateIndex {
    pub relation: QualifiedName,
    pub name: Option<String>,
    pub unique: bool,
    /// Plain key columns.
    pub columns: Vec<String>,
    pub expressions: bool,
    pub only: bool,
    pub concurrently: bool,
}

/// A change of a statement's parse tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// `PARTITION BY` this key; storage parameters, access method and
    /// `UNLOGGED` are taken away, the shards have them.
    Partition { strategy: Strategy, shard_key: Vec<String> },
    /// Without `ONLY`.
    Recurse,
    /// Without `ONLY` at this one of the tables of a `TRUNCATE`.
    RecurseInto(QualifiedName),
    /// A foreign key without `NOT VALID`.
    Validate,
    /// `n_distinct` becomes `n_distinct_inherited`.
    InheritedDistinct,
    /// These columns appended to the key columns of a constraint or index.
    AppendKey(Vec<String>),
    /// These relations left out of `TRUNCATE`.
    Without(Vec<QualifiedName>),
}

impl Utility {
    /// The word for it in `presplit.restore_report`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateOther { what, .. } => what,
            Self::AlterTable { .. } | Self::MoveTable { .. } => "ALTER TABLE",
            Self::CreateIndex(_) => "CREATE INDEX",
            Self::Truncate { .. } => "TRUNCATE TABLE",
            Self::CopyFrom { .. } => "COPY",
            Self::CreateTrigger { .. } => "CREATE TRIGGER",
            Self::Publish { creates: true, .. } => "CREATE PUBLICATION",
            Self::Publish { .. } => "ALTER PUBLICATION",
        }
    }

    /// The relations that the statement is about.
    #[must_use]
    pub fn relations(&self) -> Vec<&QualifiedName> {
        match self {
            Self::CreateTable(table) => vec![&table.relation],
            Self::CreateOther { relation, .. }
            | Self::MoveTable { relation, .. }
            | Self::AlterTable { relation, .. }
            | Self::CopyFrom { relation, .. }
            | Self::CreateTrigger { relation, .. } => vec![relation],
            Self::CreateIndex(index) => vec![&index.relation],
            Self::Truncate { relations, .. } => relations.iter().map(|(name, _)| name).collect(),
            Self::Publish { relations, .. } => relations.iter().collect(),
        }
    }
}
