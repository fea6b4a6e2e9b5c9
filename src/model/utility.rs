//! What a utility statement says, as far as restoring into shards depends on it.
//!
//! `pg::utility` reads PostgreSQL's parse trees into these values, for the
//! hook and for `check_restore` alike; `planning::provision` decides on them;
//! `pg::hook` carries the decision out on the tree itself, so nothing is ever
//! written back to text and parsed again.

use crate::model::key::KeyType;
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
    /// `ALTER SCHEMA … RENAME TO`, which moves all tables of it.
    MoveSchema {
        from: String,
        /// What it would be called.
        schema: String,
    },
    /// `DROP EXTENSION` of ours, which would forget what is armed.
    DropExtension,
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
    /// `COMMENT ON CONSTRAINT` of a table.
    OnConstraint {
        relation: QualifiedName,
        name: String,
    },
    /// `COMMENT ON`, `ALTER` or `DROP INDEX`. Of what table is not written.
    OnIndex {
        what: &'static str,
        index: QualifiedName,
    },
    /// `CREATE PUBLICATION … FOR` tables, or `ALTER PUBLICATION … ADD`.
    Publish {
        publication: String,
        relations: Vec<QualifiedName>,
        /// `TABLES IN SCHEMA` these.
        schemas: Vec<String>,
        /// `ALL TABLES`.
        all: bool,
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
    /// Those of a type of `pg_catalog`, with what their order depends on.
    pub built_in: Vec<(String, KeyType)>,
    /// Those that are computed.
    pub generated: Vec<String>,
    /// Those that are declared `NOT NULL`.
    pub not_null: Vec<String>,
    pub unlogged: bool,
    pub inherits: bool,
    /// What it inherits from.
    pub parents: Vec<QualifiedName>,
    /// A check or not null of its own is `NO INHERIT`.
    pub no_inherit: bool,
    /// `OF type` or `LIKE`: columns come from elsewhere.
    pub typed: bool,
    /// Has `PARTITION BY` or `PARTITION OF` of its own.
    pub partitioned: bool,
    /// What it is a `PARTITION OF`.
    pub partition_of: Option<QualifiedName>,
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
        /// `WITHOUT OVERLAPS`: the last column is compared by overlap.
        temporal: bool,
    },
    AddExclusion {
        name: Option<String>,
        equal_columns: Vec<String>,
    },
    AddForeignKey {
        name: Option<String>,
        references: QualifiedName,
        columns: Vec<String>,
        /// Empty = the primary key.
        referenced_columns: Vec<String>,
        /// `MATCH FULL`.
        full: bool,
        not_valid: bool,
    },
    /// A check or not null that is `NO INHERIT`.
    AddNoInherit,
    /// `DROP`, `VALIDATE` or `ALTER CONSTRAINT`.
    Constraint {
        name: String,
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
    /// `SET COMPRESSION`, which reaches nothing but the table itself.
    Compression,
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

impl CreateIndex {
    /// How the name that PostgreSQL gives the index on a shard may begin behind
    /// the shard's own: up to the first underscore of its columns, as far as a
    /// long name is not cut. Two indexes of one table whose names can be the
    /// same have a stem in common; each has one or two, in order.
    #[must_use]
    pub fn name_stems(&self) -> Vec<String> {
        /// Less than is left of the longer half of a name that is cut.
        const STEM_MAX: usize = 24;
        let stem = |column: &str| {
            let mut stem = String::new();
            for character in column.chars().take_while(|character| *character != '_') {
                if stem.len() + character.len_utf8() > STEM_MAX {
                    break;
                }
                stem.push(character);
            }
            stem
        };
        // Which element is the first one is not known here: an expression may be.
        let first = self.columns.first().map(|column| stem(column));
        let mut stems: Vec<_> =
            first.into_iter().chain(self.expressions.then(|| "expr".to_owned())).collect();
        stems.sort();
        stems.dedup();
        stems
    }
}

/// Whether what follows `CREATE INDEX` in the same query, as `pg_restore` sends
/// it, makes the index the replica identity or clusters on it.
#[must_use]
pub fn marks_an_index(rest: &str) -> bool {
    let rest = rest.to_ascii_uppercase();
    ["CLUSTER ON ", "REPLICA IDENTITY USING INDEX "].iter().any(|words| rest.contains(words))
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
    /// Checks and not nulls without `NO INHERIT`.
    Inherit,
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
            Self::MoveSchema { .. } => "ALTER SCHEMA",
            Self::DropExtension => "DROP EXTENSION",
            Self::OnConstraint { .. } => "COMMENT ON CONSTRAINT",
            Self::OnIndex { what, .. } => what,
            Self::CreateIndex(_) => "CREATE INDEX",
            Self::Truncate { .. } => "TRUNCATE TABLE",
            Self::CopyFrom { .. } => "COPY",
            Self::CreateTrigger { .. } => "CREATE TRIGGER",
            Self::Publish { creates: true, .. } => "CREATE PUBLICATION",
            Self::Publish { .. } => "ALTER PUBLICATION",
        }
    }

    /// The relations that the statement names as what it is about.
    #[must_use]
    pub fn relations(&self) -> Vec<&QualifiedName> {
        match self {
            Self::CreateTable(table) => std::iter::once(&table.relation).chain(&table.parents).collect(),
            Self::OnIndex { .. } | Self::MoveSchema { .. } | Self::DropExtension => Vec::new(),
            Self::CreateOther { relation, .. }
            | Self::MoveTable { relation, .. }
            | Self::AlterTable { relation, .. }
            | Self::CopyFrom { relation, .. }
            | Self::OnConstraint { relation, .. }
            | Self::CreateTrigger { relation, .. } => vec![relation],
            Self::CreateIndex(index) => vec![&index.relation],
            Self::Truncate { relations, .. } => relations.iter().map(|(name, _)| name).collect(),
            Self::Publish { relations, .. } => relations.iter().collect(),
        }
    }

    /// Whether the statement is about every table of a schema.
    #[must_use]
    pub fn takes_all_of(&self, schema: &str) -> bool {
        match self {
            Self::Publish { schemas, all, .. } => *all || schemas.iter().any(|name| name == schema),
            Self::MoveSchema { schema: moved, .. } => moved == schema,
            Self::DropExtension => true,
            _ => false,
        }
    }

    /// The constraints and indexes of a table that must be there already.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        match self {
            Self::OnConstraint { name, .. } => vec![name],
            Self::OnIndex { index, .. } => vec![&index.name],
            Self::AlterTable { commands, .. } => commands
                .iter()
                .filter_map(|command| match command {
                    AlterCommand::Constraint { name }
                    | AlterCommand::ClusterOn { index: name }
                    | AlterCommand::ReplicaIdentity { index: Some(name) } => Some(name.as_str()),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_marked_by_what_follows_it() {
        for (rest, expected) in [
            (";\n\nALTER TABLE app.t CLUSTER ON i;\n", true),
            (";\n\nALTER TABLE ONLY app.t REPLICA IDENTITY USING INDEX i;\n", true),
            ("; alter table app.t cluster on i", true),
            (";\n\nALTER INDEX app.i ALTER COLUMN 1 SET STATISTICS 7;\n", false),
            ("", false),
        ] {
            assert_eq!(marks_an_index(rest), expected, "{rest}");
        }
    }

    #[test]
    fn indexes_that_may_be_called_the_same_have_a_stem_in_common() {
        let stems = |columns: &[&str], expressions| {
            let columns = columns.iter().map(|column| (*column).to_owned()).collect();
            let relation = QualifiedName::new("app", "t");
            let index = CreateIndex {
                relation,
                name: None,
                unique: false,
                columns,
                expressions,
                only: false,
                concurrently: false,
            };
            index.name_stems()
        };
        assert_eq!(stems(&["a", "b"], false), ["a"]);
        assert_eq!(stems(&["a_b"], false), ["a"]);
        assert_eq!(stems(&["_a"], false), [""]);
        assert_eq!(stems(&["k"], true), ["expr", "k"]);
        assert_eq!(stems(&["expr_1"], true), ["expr"]);
        assert_eq!(stems(&[], true), ["expr"]);
        assert_eq!(stems(&[&"x".repeat(60)], false), ["x".repeat(24)]);
        assert_eq!(stems(&[&"€".repeat(20)], false), ["€".repeat(8)]);
    }
}
