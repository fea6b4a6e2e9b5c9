//! A finding: one row of `check_restore`, `check_shards` and `check_operation`.

use serde::Deserialize;
use serde::Serialize;

/// How much a finding matters. Nothing at `Error` means: it goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
    Info,
}

impl Severity {
    /// The word that the SQL surface shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that is not right, or worth knowing, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    /// The object concerned, quoted as in SQL.
    pub object: String,
    pub problem: String,
    pub remedy: String,
}

impl Finding {
    #[must_use]
    pub fn new(
        severity: Severity,
        object: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity, object: object.into(), problem: problem.into(), remedy: remedy.into() }
    }
}
