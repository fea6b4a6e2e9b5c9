//! The beginning of an operation.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::operation::Kind;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::operations::reshard::check;
use crate::pg::error;

/// Writes an operation down; its number.
pub fn record(change: Change, kind: Kind) -> Result<i64, ErrorReport> {
    refuse(&change, kind, &check::findings(&change)?)?;
    Err(unsupported())
}

/// Refuses what would not go through.
pub fn refuse(change: &Change, kind: Kind, findings: &[Finding]) -> Result<(), ErrorReport> {
    let Some(first) = findings.iter().find(|finding| finding.severity == Severity::Error) else {
        return Ok(());
    };
    Err(error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("cannot {} shards of table \"{:#}\"", kind.word(), change.root),
        Some(first.problem.clone()),
        Some(first.remedy.clone()),
    ))
}

pub fn unsupported() -> ErrorReport {
    error::new(SqlState::FeatureNotSupported, "operations are not supported yet", None, None)
}
