//! Why a proposal could not be made.
//!
//! Not here: reasons to leave a table whole; those are answers, not errors.

use thiserror::Error;

use crate::model::key::Strategy;
use crate::model::layout::LayoutError;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_identifiers;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::planning::proposal::search::Interrupted;

/// A question that has no answer, or a proposal by hand that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposalError {
    #[error("table \"{relation:#}\" does not exist in the profile")]
    UndefinedTable { relation: QualifiedName, similar: Option<QualifiedName> },
    #[error("column \"{column}\" of table \"{relation:#}\" does not exist")]
    UndefinedColumn { relation: QualifiedName, column: String, columns: Vec<String> },
    #[error("cannot shard table \"{relation:#}\"")]
    NotShardable { relation: QualifiedName, reason: String },
    #[error("shard key of table \"{relation:#}\" does not fit strategy \"{}\"", .strategy.word())]
    Key { relation: QualifiedName, strategy: Strategy, reason: String },
    #[error("shard key is not legal for table \"{relation:#}\"")]
    Illegal { relation: QualifiedName, obstacles: Vec<String> },
    #[error("bounds do not fit strategy \"{}\"", .strategy.word())]
    Bounds { strategy: Strategy, reason: String },
    #[error("interval \"{0}\" is not valid")]
    Interval(String),
    #[error("value \"{value}\" is not valid for shard key column \"{column}\"")]
    Value {
        value: String,
        column: String,
        type_text: String,
        /// By PostgreSQL, if it was asked.
        said: Option<String>,
    },
    #[error("lists of the bounds share a value")]
    Shared {
        /// Their numbers, from one.
        lists: (usize, usize),
        /// As they are written in each; none is NULL.
        values: (Option<String>, Option<String>),
    },
    #[error("proposal would create {count} shards")]
    TooMany { count: usize, limit: usize },
    #[error("canceling proposal due to user request")]
    Interrupted,
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl ProposalError {
    pub(crate) fn undefined_column(table: &Table, column: String) -> Self {
        let columns = table.columns.iter().map(|column| column.name.clone()).collect();
        Self::UndefinedColumn { relation: table.name(), column, columns }
    }

    pub(crate) fn undefined_table(relation: &QualifiedName, profile: &Profile) -> Self {
        let similar = profile
            .tables
            .iter()
            .map(Table::name)
            .filter(|name| name.name == relation.name)
            .min()
            .or_else(|| profile.tables.iter().map(Table::name).min_by_key(|name| distance(name, relation)))
            .filter(|name| distance(name, relation).0 <= relation.name.len() / 3 + 1);
        Self::UndefinedTable { relation: relation.clone(), similar }
    }
}

/// How far two names are apart: edits of the name, then the name itself.
fn distance(name: &QualifiedName, other: &QualifiedName) -> (usize, String) {
    if name.name == other.name {
        return (0, name.to_string());
    }
    let (a, b): (Vec<_>, Vec<_>) = (name.name.chars().collect(), other.name.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    (row[b.len()], name.to_string())
}

impl Report for ProposalError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::UndefinedTable { .. } => SqlState::UndefinedTable,
            Self::UndefinedColumn { .. } => SqlState::UndefinedColumn,
            Self::NotShardable { .. } => SqlState::WrongObjectType,
            Self::Key { .. } | Self::Illegal { .. } => SqlState::InvalidObjectDefinition,
            Self::Bounds { .. } | Self::Interval(_) | Self::Value { .. } | Self::Shared { .. } => {
                SqlState::InvalidParameterValue
            }
            Self::TooMany { .. } => SqlState::ProgramLimitExceeded,
            Self::Interrupted => SqlState::QueryCanceled,
            Self::Layout(error) => error.sqlstate(),
        }
    }

    fn detail(&self) -> Option<String> {
        match self {
            Self::NotShardable { reason, .. } | Self::Key { reason, .. } | Self::Bounds { reason, .. } => {
                Some(reason.clone())
            }
            Self::Illegal { obstacles, .. } => Some(obstacles.join(" ")),
            Self::Interval(_) => Some(
                "An interval is a positive whole number and a unit: hour, day, week, month, quarter or year."
                    .to_owned(),
            ),
            Self::Value { type_text, said: None, .. } => Some(format!("The column has type {type_text}.")),
            Self::Value { type_text, said: Some(said), .. } => Some(format!(
                "The column has type {type_text}. PostgreSQL says: {}.",
                said.trim_end_matches('.')
            )),
            Self::Shared { lists: (first, second), values: (one, other) } => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
                let (one, other) = (shown(one), shown(other));
                Some(if one == other {
                    format!("Value {one} is in list {first} and in list {second}.")
                } else {
                    format!("Value {other} of list {second} equals value {one} of list {first}.")
                })
            }
            Self::TooMany { limit, .. } => Some(format!("The limit is {limit}.")),
            Self::Layout(error) => error.detail(),
            Self::UndefinedTable { .. } | Self::UndefinedColumn { .. } | Self::Interrupted => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::UndefinedTable { similar: Some(similar), .. } => {
                Some(format!("Perhaps you meant \"{similar:#}\"."))
            }
            Self::UndefinedTable { similar: None, .. } => Some(
                "Name a table that the profile has, as schema.table, or capture the profile again."
                    .to_owned(),
            ),
            Self::UndefinedColumn { columns, .. } if columns.is_empty() => None,
            Self::UndefinedColumn { columns, .. } => {
                Some(format!("The table has the columns {}.", quote_identifiers(columns)))
            }
            Self::Illegal { .. } => Some(
                "Choose another shard key; presplit.unique_policy lifts the rules for unique constraints only."
                    .to_owned(),
            ),
            Self::Interval(_) => Some("Write it as in {\"interval\": \"1 month\"}.".to_owned()),
            Self::Bounds { strategy, .. } => Some(bounds_hint(*strategy)),
            Self::Value { column, .. } => Some(format!(
                "Write values of column {} as strings in the text form of its type, ISO date style.",
                quote_identifier(column)
            )),
            Self::Shared { .. } => Some("Name each value in one list only.".to_owned()),
            Self::TooMany { limit: 0..=1, .. } => Some("Raise presplit.max_shards_per_table.".to_owned()),
            Self::TooMany { .. } => {
                Some("Name fewer shards, or raise presplit.max_shards_per_table.".to_owned())
            }
            Self::Layout(error) => error.hint(),
            Self::Key { strategy, .. } => Some(key_hint(*strategy)),
            Self::NotShardable { .. } => Some("Only ordinary tables of your own can be sharded.".to_owned()),
            Self::Interrupted => None,
        }
    }
}

impl From<Interrupted> for ProposalError {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

fn key_hint(strategy: Strategy) -> String {
    match strategy {
        Strategy::Hash => "A shard key of hash is one or more columns that can be hashed.",
        Strategy::List => "A shard key of list is one column whose values can be ordered.",
        Strategy::RangeHash => {
            "A shard key of range_hash is the column of the ranges, then the column that they are hashed by."
        }
        Strategy::ListHash => {
            "A shard key of list_hash is the column of the lists, then those that \"sub\" divides them by."
        }
        Strategy::Range => "A shard key of range is one or more columns that can be ordered.",
        Strategy::None => "A table that stays whole has none: write the key as '{}'.",
    }
    .to_owned()
}

fn bounds_hint(strategy: Strategy) -> String {
    match strategy {
        Strategy::Hash => "Write them as {\"modulus\": 16}.",
        Strategy::RangeHash => {
            "Write them as those of range, and \"modulus\": {\"interval\": \"1 month\", \"from\": \"2026-01-01\", \
             \"to\": \"2027-01-01\", \"modulus\": 8}."
        }
        Strategy::ListHash => {
            "Write them as {\"lists\": [[\"42\"]], \"sub\": [{\"of\": 0, \"shard_key\": [\"id\"], \"modulus\": 8}, \
             {\"of\": \"default\", \"shard_key\": [\"tenant_id\"], \"modulus\": 16}]}."
        }
        Strategy::List => "Write them as {\"lists\": [[\"a\", \"b\"], [\"c\"]]}.",
        Strategy::None => "Write them as {}: the table stays whole.",
        Strategy::Range => {
            "Write them as {\"split_points\": [\"a\", \"b\"]} or {\"interval\": \"1 month\", \
             \"from\": \"2026-01-01\", \"to\": \"2027-01-01\"}."
        }
    }
    .to_owned()
}
