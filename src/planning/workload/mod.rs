//! Statements weighed: who reads and writes which column how often.

pub mod shadow;

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
