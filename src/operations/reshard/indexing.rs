//! Indexes.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::reshard::Change;

/// Builds the next one.
pub fn next(_change: &Change, _operation_id: i64) -> Result<bool, ErrorReport> {
    Ok(false)
}
