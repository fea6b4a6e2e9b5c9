//! Statements weighed: who reads and writes which column how often.

use crate::model::access::Analysis;

/// One statement with its weight and what PostgreSQL's analysis made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedStatement {
    pub queryid: i64,
    pub query: String,
    /// Calls in the observed time.
    pub calls: f64,
    /// Total execution time in the observed time, milliseconds.
    pub exec_ms: f64,
    /// Rows returned or affected in the observed time.
    pub rows: f64,
    pub analysis: Analysis,
}

/// All statements of a profile, analysed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalyzedWorkload {
    /// Seconds over which the statements were counted; none = unknown.
    pub seconds: Option<f64>,
    pub statements: Vec<AnalyzedStatement>,
}
pub mod shadow;
pub struct AccessRow {
    pub relation: crate::model::name::QualifiedName,
    pub columns: Vec<String>,
    pub kind: crate::model::access::AccessKind,
    pub prunable: bool,
    pub calls: f64,
    pub exec_ms: f64,
    pub share: f64,
    pub statements: usize,
    pub reason: Option<String>,
}
pub struct Coverage {
    pub statements: usize,
    pub analyzed: usize,
    pub calls_share: f64,
    pub exec_share: f64,
}
pub fn accesses(_w: &AnalyzedWorkload) -> Vec<AccessRow> {
    vec![]
}
pub fn coverage(_w: &AnalyzedWorkload) -> Coverage {
    Coverage { statements: 0, analyzed: 0, calls_share: 0.0, exec_share: 0.0 }
}
