//! What cannot be restored into shards, and the remedy.

use thiserror::Error;

use crate::model::name::QualifiedName;
use crate::model::report::Report;
use crate::model::report::SqlState;

/// A statement that cannot be made right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("cannot restore table \"{0}\" as a sharded table: the dump has it as {1}")]
    NotATable(QualifiedName, &'static str),
    #[error("cannot restore table \"{0}\" as a sharded table: it has no column \"{1}\"")]
    MissingKeyColumn(QualifiedName, String),
    #[error("cannot restore table \"{0}\" as a sharded table: its column \"{1}\" is generated")]
    GeneratedKey(QualifiedName, String),
    #[error("cannot restore table \"{relation:#}\" as a sharded table: its column \"{column}\" is {found}")]
    KeyType { relation: QualifiedName, column: String, found: &'static str, planned: &'static str },
    #[error("{what} of table \"{relation:#}\" does not include shard key column \"{column}\"")]
    Uniqueness { what: String, relation: QualifiedName, column: String },
    #[error("{what} of table \"{relation:#}\" cannot be kept across shards")]
    Exclusion { what: String, relation: QualifiedName },
    #[error("cannot add an existing index as a constraint of sharded table \"{0}\"")]
    UsingIndex(QualifiedName),
    #[error("row trigger \"{1}\" of table \"{0}\" uses a transition table")]
    TransitionTable(QualifiedName, String),
    #[error("cannot make sharded table \"{0}\" part of an inheritance tree")]
    Inheritance(QualifiedName),
    #[error("cannot make table \"{1}\" a child of sharded table \"{0}\"")]
    Child(QualifiedName, QualifiedName),
    #[error("cannot create an index concurrently on sharded table \"{0}\"")]
    Concurrently(QualifiedName),
    #[error("cannot give a table the name \"{0}\": it is armed for sharding")]
    Moved(QualifiedName),
    #[error("cannot drop extension \"pg_presplit\": table \"{0}\" is armed for sharding")]
    Forgotten(QualifiedName),
}

impl Report for Refusal {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::NotATable(..) => SqlState::WrongObjectType,
            Self::MissingKeyColumn(..) => SqlState::UndefinedColumn,
            Self::GeneratedKey(..) => SqlState::InvalidObjectDefinition,
            Self::KeyType { .. } => SqlState::InvalidObjectDefinition,
            Self::Uniqueness { .. } => SqlState::InvalidObjectDefinition,
            Self::Moved(_) | Self::Forgotten(_) => SqlState::ObjectNotInPrerequisiteState,
            _ => SqlState::FeatureNotSupported,
        }
    }

    fn detail(&self) -> Option<String> {
        Some(match self {
            Self::NotATable(..) => "Only an ordinary table of its own can be created in shards.".to_owned(),
            Self::MissingKeyColumn(..) => {
                "The proposal was made for a table of that name with other columns.".to_owned()
            }
            Self::KeyType { planned, .. } => {
                format!("The proposal's bounds are for a column that is {planned}.")
            }
            Self::GeneratedKey(..) => "A shard key cannot have generated columns.".to_owned(),
            Self::Uniqueness { .. } => {
                "A unique constraint on a partitioned table must include all partition key columns."
                    .to_owned()
            }
            Self::Exclusion { .. } => {
                "An exclusion constraint holds inside a shard only, unless it compares the shard key with =."
                    .to_owned()
            }
            Self::UsingIndex(_) => "PostgreSQL does not support it on partitioned tables.".to_owned(),
            Self::TransitionTable(..) => {
                "Row triggers with transition tables are not supported on partitions.".to_owned()
            }
            Self::Inheritance(_) => "A partitioned table has no parents by inheritance.".to_owned(),
            Self::Child(..) => "A partitioned table has no children by inheritance.".to_owned(),
            Self::Concurrently(_) => "PostgreSQL does not support it on partitioned tables.".to_owned(),
            Self::Moved(_) => "The table would be there whole, although a proposal divides it.".to_owned(),
            Self::Forgotten(_) => {
                "The arming would be forgotten, and a restore would create the table whole.".to_owned()
            }
        })
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotATable(relation, _) | Self::Inheritance(relation) | Self::Child(relation, _) => {
                format!("Restore it whole: SELECT disarm('{}').", relation.to_string().replace('\'', "''"))
            }
            Self::MissingKeyColumn(..) | Self::GeneratedKey(..) | Self::KeyType { .. } => {
                "Capture a profile of the dump's source and propose again.".to_owned()
            }
            Self::Uniqueness { .. } => "Choose a shard key that the constraint includes, or set \
                 \"presplit.unique_policy\" to extend or per_shard before propose_shards()."
                .to_owned(),
            Self::Exclusion { .. } => {
                "Choose a shard key that the constraint compares with =, or leave the table whole.".to_owned()
            }
            Self::UsingIndex(_) => "Add the constraint by its columns.".to_owned(),
            Self::TransitionTable(..) => "Make it a statement trigger.".to_owned(),
            Self::Concurrently(_) => "Create the index without CONCURRENTLY.".to_owned(),
            Self::Moved(relation) | Self::Forgotten(relation) => {
                format!("Give the arming up: SELECT disarm('{}').", relation.to_string().replace('\'', "''"))
            }
        })
    }
}
