//! What ANALYZE found of columns, one by one and together.
//!
//! Values are in text form, moments in ISO date style and UTC; fractions are
//! shares of all rows.

use serde::Deserialize;
use serde::Serialize;

/// What ANALYZE found (`pg_stats`), values in text form, ISO date style.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    pub null_fraction: f64,
    pub width: f64,
    /// As in `pg_stats`: negative = share of rows.
    pub distinct: f64,
    #[serde(default)]
    pub correlation: Option<f64>,
    #[serde(default)]
    pub common_values: Vec<String>,
    #[serde(default)]
    pub common_fractions: Vec<f64>,
    /// The partition hash of each common value, so that `% modulus` is the
    /// remainder; empty if they cannot be told for another server.
    #[serde(default)]
    pub common_hashes: Vec<u64>,
    #[serde(default)]
    pub histogram: Vec<String>,
}

impl ColumnStatistics {
    /// Distinct values in a table of `rows` rows.
    #[must_use]
    pub fn distinct_values(&self, rows: f64) -> f64 {
        if self.distinct < 0.0 { -self.distinct * rows } else { self.distinct }
    }
}

/// What `CREATE STATISTICS` had ANALYZE find of several columns
/// (`pg_stats_ext`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExtendedStatistics {
    pub schema: String,
    pub name: String,
    pub columns: Vec<String>,
    /// Stands on expressions too, which are left out.
    #[serde(default)]
    pub expressions: bool,
    #[serde(default)]
    pub counts: Vec<DistinctCount>,
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// One value for each column; none = null.
    #[serde(default)]
    pub common_values: Vec<Vec<Option<String>>>,
    #[serde(default)]
    pub common_fractions: Vec<f64>,
}

/// How many combinations of values some columns have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistinctCount {
    pub columns: Vec<String>,
    pub distinct: f64,
}

/// In which share of rows some columns determine another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    pub from: Vec<String>,
    pub to: String,
    pub degree: f64,
}
