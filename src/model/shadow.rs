//! Shadow tables: empty copies of a profile's tables, made for the time of an
//! analysis so that PostgreSQL itself reads the statements.
//!
//! `planning::workload::shadow` decides, `pg::analyze` makes them and rolls
//! them back.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::model::name::QualifiedName;

/// What to make for an analysis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShadowPlan {
    /// Schema of the profile → schema that stands for it.
    pub schemas: BTreeMap<String, String>,
    /// In the order in which they must run.
    pub steps: Vec<ShadowStep>,
    /// In any order; they may build on one another.
    pub views: Vec<ShadowView>,
    /// The types that are made, by their names in the profile.
    pub types: BTreeSet<QualifiedName>,
    /// Tables and types that cannot be rebuilt, with the reason.
    pub failed: BTreeMap<QualifiedName, String>,
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
    Type(QualifiedName),
    Table(QualifiedName),
    /// A key of a table, which can do without it.
    Key,
}

/// A view; its definition names tables as the profile does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowView {
    pub name: QualifiedName,
    pub definition: String,
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
