//! Shadow tables: empty copies of a profile's tables, made for the time of an
//! analysis so that PostgreSQL itself reads the statements.
//!
//! `planning::workload::shadow` decides, `pg::analyze` makes them and rolls
//! them back.

use std::collections::BTreeMap;

use crate::model::name::QualifiedName;
use crate::model::signature::Volatility;

/// What to make for an analysis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShadowPlan {
    /// Schema of the profile → schema that stands for it.
    pub schemas: BTreeMap<String, String>,
    /// In the order in which they must run.
    pub steps: Vec<ShadowStep>,
    /// In any order; they may build on one another.
    pub views: Vec<ShadowView>,
    /// Tables and types that cannot be rebuilt, with the reason.
    pub failed: BTreeMap<QualifiedName, String>,
    /// Functions and operators that cannot, likewise.
    pub failed_functions: BTreeMap<QualifiedName, String>,
}

/// One statement of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowStep {
    pub sql: String,
    pub makes: ShadowPart,
}

/// What a step makes, by its name in the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShadowPart {
    Schema,
    Collation(QualifiedName),
    Type(QualifiedName),
    /// A range and its multirange, with functions of the same names.
    Range(Vec<QualifiedName>),
    Table(QualifiedName),
    /// A stub, which is volatile so that nothing runs it, whatever the
    /// function promises.
    Function(QualifiedName, Volatility),
    Aggregate(QualifiedName),
    Operator(QualifiedName),
    /// A key or index of a table, which can do without it.
    Key,
    /// A part of a table that is not the same without it.
    Shard(QualifiedName),
}

/// A view; its definition names tables as the profile does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowView {
    pub name: QualifiedName,
    pub definition: String,
    pub security_barrier: bool,
}

impl ShadowPlan {
    /// The tables that are made.
    pub fn tables(&self) -> impl Iterator<Item = &QualifiedName> {
        self.steps.iter().filter_map(|step| match &step.makes {
            ShadowPart::Table(name) => Some(name),
            _ => None,
        })
    }

    /// The statements of the definition.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.sql.as_str())
    }
}
