//! What the statements of a dump define, as far as a profile tells it.
//!
//! `pg::definition` reads PostgreSQL's raw parse trees into these values,
//! `planning::backup` builds the profile from them. Nothing of a dump is ever
//! run: expressions are not even kept, but for the columns that they name.

use crate::model::name::QualifiedName;
use crate::model::profile::Constraint;
use crate::model::profile::Index;
use crate::model::profile::ObjectName;
use crate::model::profile::Trigger;
use crate::model::profile::TypeName;
use crate::model::profile::View;
use crate::model::signature::Function;

/// One statement of a dump.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// `SET client_encoding`.
    Encoding(String),
    Table(DefinedTable),
    AlterTable {
        relation: QualifiedName,
        changes: Vec<Change>,
    },
    Type {
        name: QualifiedName,
        kind: DefinedKind,
    },
    Index {
        relation: QualifiedName,
        index: Index,
    },
    Trigger {
        relation: QualifiedName,
        trigger: Trigger,
        /// Of a constraint trigger.
        constraint: Option<Constraint>,
    },
    View(View),
    Collation(QualifiedName),
    Function(DefinedFunction),
    Operator(DefinedOperator),
    /// `COPY … FROM stdin` or `INSERT`: rows of a table follow. No columns =
    /// all of them in order.
    Data {
        relation: QualifiedName,
        columns: Vec<String>,
    },
    /// `pg_restore_relation_stats` or `pg_restore_attribute_stats` of
    /// PostgreSQL 18: its arguments by name.
    Statistics {
        of_column: bool,
        arguments: Vec<(String, String)>,
    },
}

/// `CREATE TABLE` or `CREATE FOREIGN TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinedTable {
    pub relation: QualifiedName,
    pub foreign: bool,
    pub unlogged: bool,
    pub columns: Vec<DefinedColumn>,
    pub constraints: Vec<DefinedConstraint>,
    pub partition_key: Option<PartitionKey>,
    /// `PARTITION OF`.
    pub partition_of: Option<QualifiedName>,
    /// `INHERITS`.
    pub parents: Vec<QualifiedName>,
    /// `OF type`: its columns are the type's attributes.
    pub of_type: Option<QualifiedName>,
    /// Percent.
    pub fillfactor: Option<f64>,
}

/// `PARTITION BY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionKey {
    /// `RANGE (at)`.
    pub text: String,
    /// Without expressions.
    pub columns: Vec<String>,
}

/// One column as it is defined.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinedColumn {
    pub name: String,
    pub kind: ColumnType,
    /// As it is written; None = nothing is.
    pub collation: Option<ObjectName>,
    pub not_null: bool,
    pub generated: bool,
    pub identity: bool,
}

/// The type of a column, and what the server knows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnType {
    pub name: TypeName,
    /// None of types that are not of `pg_catalog`: the dump defines them.
    pub facts: Option<TypeFacts>,
}

/// How values of a type are kept and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeFacts {
    /// Bytes; negative = it varies.
    pub length: i16,
    /// Bytes.
    pub align: u8,
    pub orderable: bool,
    pub hashable: bool,
}

impl TypeFacts {
    /// Of a type of which nothing is known.
    pub const UNKNOWN: Self = Self { length: -1, align: 4, orderable: false, hashable: false };
}

/// What a `CREATE TYPE` or `CREATE DOMAIN` makes.
#[derive(Debug, Clone, PartialEq)]
pub enum DefinedKind {
    Enum(Vec<String>),
    Domain {
        base: ColumnType,
        not_null: bool,
        /// As it is written; None = nothing is.
        collation: Option<ObjectName>,
    },
    Composite(Vec<DefinedColumn>),
    Range {
        subtype: ColumnType,
        /// None = it is not named.
        multirange: Option<QualifiedName>,
    },
    /// Comes with the range of that name.
    Multirange(QualifiedName),
    /// Base and shell types.
    Other,
}

/// A constraint, and the index that comes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedConstraint {
    pub constraint: Constraint,
    pub index: Option<Index>,
    /// Not `NO INHERIT`.
    pub inheritable: bool,
}

/// One command of `ALTER TABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Constraint(DefinedConstraint),
    NotNull(String),
    Identity(String),
    RowSecurity,
    /// Of a view.
    SecurityBarrier(bool),
    AttachPartition(QualifiedName),
    Inherit(QualifiedName),
}

/// `CREATE FUNCTION` or `CREATE AGGREGATE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedFunction {
    /// The result of an aggregate with a final function is its state.
    pub signature: Function,
    pub final_function: Option<FinalFunction>,
}

/// The function that makes the result of an aggregate from its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalFunction {
    pub name: QualifiedName,
    pub arguments: Vec<TypeName>,
}

/// `CREATE OPERATOR`; its function says the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedOperator {
    pub name: QualifiedName,
    /// None of a prefix operator.
    pub left: Option<TypeName>,
    pub right: TypeName,
    pub function: QualifiedName,
}
