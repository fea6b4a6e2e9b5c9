//! The profile: facts of some tables and the statements that run on them.
//!
//! One type serves the live server, the JSON file that travels from source to
//! target, and the tests. `docs/profile.md` describes the JSON. A profile is
//! what was *found*; what follows from it is decided in `planning`.
//!
//! Units: sizes are bytes, times of statements milliseconds, moments
//! microseconds since 1970-01-01 UTC in Rust and ISO 8601 text in JSON.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

use crate::model::key::KeyType;
use crate::model::name::QualifiedName;
use crate::model::profile_laws;
use crate::model::report::Report;
use crate::model::report::SqlState;
use crate::model::sample::SampledValues;
use crate::model::signature::Function;
use crate::model::signature::Operator;
pub use crate::model::size::SizeReading;
pub use crate::model::statistics::ColumnStatistics;
use crate::model::statistics::ExtendedStatistics;

/// The word in `format` that tells a profile from any other JSON.
pub const FORMAT: &str = "pg_presplit profile";

/// The newest version that this build reads; it reads all before it too.
pub const VERSION: u32 = 2;

/// A JSON value that is not a profile of ours.
#[derive(Debug, Error)]
pub enum ProfileError {
    #[error("value is not a profile")]
    NotAProfile,
    #[error("profile has version {0}, which is not supported")]
    Version(u64),
    #[error("profile is damaged")]
    Damaged(String),
}

impl Report for ProfileError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Version(_) => SqlState::FeatureNotSupported,
            Self::NotAProfile | Self::Damaged(_) => SqlState::InvalidParameterValue,
        }
    }
    fn detail(&self) -> Option<String> {
        match self {
            Self::NotAProfile => {
                Some(format!("A profile is a JSON object whose \"format\" is \"{FORMAT}\"."))
            }
            Self::Version(_) => Some(format!("This release reads profiles up to version {VERSION}.")),
            Self::Damaged(what) => Some(format!("The JSON does not have the shape of a profile: {what}.")),
        }
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAProfile | Self::Damaged(_) => {
                "Write one with capture_profile.sql on the source and import the file as it is.".to_owned()
            }
            Self::Version(_) => {
                "Update pg_presplit here, or capture with the older capture_profile.sql.".to_owned()
            }
        })
    }
}

/// Facts of some tables and their workload at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub format: String,
    pub version: u32,
    /// ISO 8601, UTC.
    pub captured_at: String,
    /// As `server_version_num`: 150020.
    pub server_version_num: u32,
    pub database: String,
    /// The columns whose data values travel, as `schema.table.column`.
    #[serde(default)]
    pub values_of: Vec<String>,
    /// Tables whose statistics the capturing role could not see.
    #[serde(default)]
    pub hidden_statistics_of: Vec<String>,
    #[serde(default)]
    pub types: Vec<UserType>,
    /// Collations of users' own.
    #[serde(default)]
    pub collations: Vec<ObjectName>,
    /// Signatures of functions and operators that statements may call.
    #[serde(default)]
    pub functions: Vec<Function>,
    #[serde(default)]
    pub operators: Vec<Operator>,
    #[serde(default)]
    pub tables: Vec<Table>,
    #[serde(default)]
    pub views: Vec<View>,
    /// Recorded sizes, if the source recorded any.
    #[serde(default)]
    pub history: Vec<SizeReading>,
    #[serde(default)]
    pub workload: Workload,
    /// Tables of this server itself, and of each the columns whose statistics
    /// the role that reads them may not see. No part of the JSON: elsewhere no
    /// table lives.
    #[serde(skip)]
    pub live: BTreeMap<QualifiedName, BTreeSet<String>>,
}

impl Profile {
    /// Reads and checks the JSON of a profile.
    ///
    /// # Errors
    /// [`ProfileError`] if it is something else, newer, or damaged.
    pub fn from_json(value: serde_json::Value) -> Result<Self, ProfileError> {
        if value.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
            return Err(ProfileError::NotAProfile);
        }
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if (1..=u64::from(VERSION)).contains(&version) => {}
            Some(version) => return Err(ProfileError::Version(version)),
            None => return Err(ProfileError::Damaged("\"version\" is missing".to_owned())),
        }
        let profile: Self =
            serde_json::from_value(value).map_err(|error| ProfileError::Damaged(error.to_string()))?;
        profile_laws::checked(profile).map_err(ProfileError::Damaged)
    }

    /// Reads the text of a profile in a fraction of the memory that its JSON
    /// value takes. None if anything is wrong: [`Self::from_json`] tells what.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let profile: Self = serde_json::from_str(text).ok()?;
        let known = profile.format == FORMAT && (1..=VERSION).contains(&profile.version);
        if known { profile_laws::checked(profile).ok() } else { None }
    }

    /// The moment of the capture.
    #[must_use]
    pub fn captured_micros(&self) -> Option<i64> {
        self.captured_at.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
    }

    /// The type that a domain stands on; any other type is itself.
    #[must_use]
    pub fn below_domains(&self, of: &TypeName) -> TypeName {
        let mut found = of.clone();
        // A domain on a domain, and so on; a ring cannot be.
        for _ in 0..self.types.len() {
            let user = self.types.iter().find(|user| user.schema == found.schema && user.name == found.name);
            match user.map(|user| &user.kind) {
                Some(UserTypeKind::Domain { base, .. }) if !found.array => found = base.clone(),
                _ => break,
            }
        }
        found
    }

    /// The table of that name.
    #[must_use]
    pub fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.iter().find(|table| table.schema == name.schema && table.table == name.name)
    }
}

/// A type that is not of `pg_catalog`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserType {
    pub schema: String,
    pub name: String,
    #[serde(flatten)]
    pub kind: UserTypeKind,
}

/// What is needed to build an equivalent type elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum UserTypeKind {
    Enum {
        labels: Vec<String>,
    },
    /// Checks and defaults stay behind: they could call functions.
    Domain {
        base: TypeName,
        not_null: bool,
        /// None = that of the base.
        #[serde(default)]
        collation: Option<ObjectName>,
    },
    Composite {
        attributes: Vec<Attribute>,
    },
    /// Since version 2; before that ranges were `other`.
    Range {
        subtype: TypeName,
        /// None before PostgreSQL 14.
        #[serde(default)]
        multirange: Option<ObjectName>,
    },
    /// Base types and others that cannot be rebuilt from here.
    Other,
}

/// Schema and name of a collation or type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectName {
    pub schema: String,
    pub name: String,
}

/// A type as a column names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeName {
    /// `pg_catalog` for built-in types.
    pub schema: String,
    /// `typname`; the element type of an array.
    pub name: String,
    /// As `format_type` writes it, with modifiers: `numeric(10,2)`.
    pub text: String,
    #[serde(default)]
    pub array: bool,
}

impl TypeName {
    /// What the order of values of the type depends on.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        if self.schema != "pg_catalog" || self.array {
            return KeyType::Other;
        }
        let without_modifier: String = match (self.text.find('('), self.text.find(')')) {
            (Some(open), Some(close)) if open < close => {
                format!("{}{}", &self.text[..open], &self.text[close + 1..])
            }
            _ => self.text.clone(),
        };
        KeyType::of_builtin(&without_modifier)
    }
}

/// An attribute of a composite type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: TypeName,
}

/// What kind of relation a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    Ordinary,
    Partitioned,
    Foreign,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub schema: String,
    pub table: String,
    pub kind: TableKind,
    /// Estimated live rows (`reltuples`, or the counter if never analyzed).
    pub rows: f64,
    pub heap_bytes: f64,
    pub index_bytes: f64,
    pub toast_bytes: f64,
    #[serde(default)]
    pub unlogged: bool,
    /// Owned by an extension.
    #[serde(default)]
    pub extension: bool,
    /// Has parents or children by inheritance (partitions not counted).
    #[serde(default)]
    pub inheritance: bool,
    /// `pg_get_partkeydef` of a partitioned table.
    #[serde(default)]
    pub partition_key: Option<String>,
    #[serde(default)]
    pub row_security: bool,
    #[serde(default)]
    pub counters: Counters,
    pub columns: Vec<Column>,
    #[serde(default)]
    pub extended_statistics: Vec<ExtendedStatistics>,
    #[serde(default)]
    pub constraints: Vec<Constraint>,
    #[serde(default)]
    pub indexes: Vec<Index>,
    #[serde(default)]
    pub triggers: Vec<Trigger>,
}

impl Table {
    #[must_use]
    pub fn name(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, &self.table)
    }

    /// Heap, indexes and TOAST.
    #[must_use]
    pub fn total_bytes(&self) -> f64 {
        self.heap_bytes + self.index_bytes + self.toast_bytes
    }

    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Cumulative counters of `pg_stat_user_tables` since `since`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// When they began to count, ISO 8601; none = unknown.
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub inserted: f64,
    #[serde(default)]
    pub updated: f64,
    #[serde(default)]
    pub deleted: f64,
    #[serde(default)]
    pub sequential_scans: f64,
    #[serde(default)]
    pub index_scans: f64,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: TypeName,
    pub not_null: bool,
    /// None = the type's own.
    #[serde(default)]
    pub collation: Option<ObjectName>,
    #[serde(default)]
    pub generated: bool,
    #[serde(default)]
    pub identity: bool,
    /// Whether the type has a default btree operator class: range and list.
    #[serde(default)]
    pub orderable: bool,
    /// Whether the type has a default hash operator class.
    #[serde(default)]
    pub hashable: bool,
    #[serde(default)]
    pub statistics: Option<ColumnStatistics>,
    /// Values that executions used, one entry for each access that was
    /// sampled; only of a live profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sampled: Vec<SampledValues>,
}

/// Kinds of constraint, by `contype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintKind {
    PrimaryKey,
    Unique,
    ForeignKey,
    Check,
    Exclusion,
    Other,
}

/// One table constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraint {
    pub name: String,
    pub kind: ConstraintKind,
    pub columns: Vec<String>,
    /// Only of foreign keys.
    #[serde(default)]
    pub references: Option<Reference>,
    #[serde(default)]
    pub deferrable: bool,
    #[serde(default = "yes")]
    pub validated: bool,
    /// Only of exclusion constraints and of temporal keys: what they compare
    /// with `=`; none if that is not known.
    #[serde(default)]
    pub equal_columns: Option<Vec<String>>,
}

const fn yes() -> bool {
    true
}

/// What a foreign key points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    pub schema: String,
    pub table: String,
    pub columns: Vec<String>,
}

impl Reference {
    #[must_use]
    pub fn name(&self) -> QualifiedName {
        QualifiedName::new(&self.schema, &self.table)
    }
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub name: String,
    pub method: String,
    pub unique: bool,
    /// Key columns in order; `null` stands for an expression.
    pub columns: Vec<Option<String>>,
    #[serde(default)]
    pub partial: bool,
    /// Belongs to a constraint of the same name.
    #[serde(default)]
    pub of_constraint: bool,
}

/// One trigger that a user made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub name: String,
    pub row: bool,
    pub before: bool,
    #[serde(default)]
    pub transition_tables: bool,
}

/// A view, as `pg_get_viewdef` writes it with full qualification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub schema: String,
    pub view: String,
    pub definition: String,
    #[serde(default)]
    pub security_barrier: bool,
}

/// Statements and how long they were counted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Where the statements are from: `pg_stat_statements`, `log`, `declared`,
    /// or `none` with the reason in `note`.
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub note: Option<String>,
    /// Seconds over which they were counted; none = unknown.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// `search_path` that the statements ran with, by role; `""` is the
    /// database's.
    #[serde(default)]
    pub search_paths: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub statements: Vec<Statement>,
}

/// One normalised statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    pub queryid: i64,
    pub query: String,
    /// The role that ran it; its search_path applies.
    #[serde(default)]
    pub role: String,
    pub calls: f64,
    pub exec_ms: f64,
    /// 0 also where it is not known.
    pub rows: f64,
    /// Values of some executions, each as likely as any other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// The values of one execution: `$1` first.
pub type Sample = Vec<SampledValue>;

/// The value of a parameter in one execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SampledValue {
    Null,
    /// In text form.
    Value(String),
    /// All elements of a list of which the text shows the first two; of the
    /// first of these.
    List(Vec<Option<String>>),
    /// Not known, too long, or part of a list: `false`.
    Omitted(bool),
}

impl SampledValue {
    #[must_use]
    pub const fn omitted() -> Self {
        Self::Omitted(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::signature::Volatility;
    use serde_json::json;

    fn minimal() -> serde_json::Value {
        json!({"format": FORMAT, "version": 1, "captured_at": "2026-01-02T03:04:05Z",
               "server_version_num": 150020, "database": "d"})
    }

    #[test]
    fn a_minimal_profile_is_read() {
        let profile = Profile::from_json(minimal()).unwrap();
        assert_eq!(profile.captured_micros(), Some(1_767_323_045_000_000));
    }

    #[test]
    fn every_version_up_to_ours_is_read() {
        let mut newest = minimal();
        newest["version"] = json!(VERSION);
        newest["types"] = json!([{"schema": "app", "name": "span", "kind": "range",
            "subtype": {"schema": "pg_catalog", "name": "date", "text": "date"},
            "multirange": {"schema": "app", "name": "spans"}}]);
        newest["collations"] = json!([{"schema": "app", "name": "german"}]);
        newest["functions"] = json!([{"schema": "app", "name": "f", "kind": "function",
            "result": {"schema": "pg_catalog", "name": "int4", "text": "integer"}, "volatility": "stable"}]);
        let profile = Profile::from_json(newest).unwrap();
        assert_eq!(profile.functions[0].volatility, Volatility::Stable);
        assert!(Profile::from_json(minimal()).unwrap().functions.is_empty());
    }

    #[test]
    fn a_text_is_read_as_its_value_is() {
        let mut damaged = minimal();
        damaged["captured_at"] = json!("then");
        let mut newest = minimal();
        newest["version"] = json!(VERSION + 1);
        for value in [minimal(), damaged, newest, json!({}), json!([1]), json!({"format": "other"})] {
            assert_eq!(Profile::from_text(&value.to_string()), Profile::from_json(value).ok());
        }
        assert_eq!(Profile::from_text("{"), None);
    }

    #[test]
    fn other_values_are_refused_with_the_reason() {
        for (value, state) in [
            (json!({}), "22023"),
            (json!([1, 2]), "22023"),
            (json!({"format": "other"}), "22023"),
            (json!({"format": FORMAT}), "22023"),
            (json!({"format": FORMAT, "version": 99}), "0A000"),
            (json!({"format": FORMAT, "version": 0}), "0A000"),
            (json!({"format": FORMAT, "version": VERSION + 1}), "0A000"),
            (json!({"format": FORMAT, "version": 1}), "22023"),
            (json!({"format": FORMAT, "version": 2}), "22023"),
        ] {
            let error = Profile::from_json(value.clone()).unwrap_err();
            assert_eq!(error.sqlstate().code(), state, "{value}");
            assert!(error.detail().is_some() && error.hint().is_some());
        }
        let mut damaged = minimal();
        damaged["captured_at"] = json!("then");
        assert!(Profile::from_json(damaged).is_err());
        let mut damaged = minimal();
        damaged["workload"] = json!({"statements": [
            {"queryid": 1, "query": "", "calls": -1.0, "exec_ms": 0.0, "rows": 0.0}]});
        assert!(Profile::from_json(damaged).is_err());
    }

    #[test]
    fn key_types_ignore_modifiers() {
        let name = |text: &str| TypeName {
            schema: "pg_catalog".to_owned(),
            name: String::new(),
            text: text.to_owned(),
            array: false,
        };
        assert_eq!(name("timestamp(3) with time zone").key_type(), KeyType::TimestampTz);
        assert_eq!(name("numeric(10,2)").key_type(), KeyType::Numeric);
        assert_eq!(name("character varying(20)").key_type(), KeyType::Text);
    }
}
