//! The changes that are made meanwhile.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::reshard::Change;

/// Begins to write them down.
pub fn install(_change: &Change, _operation_id: i64) -> Result<(), ErrorReport> {
    Ok(())
}

/// Ends it.
pub fn remove(_change: &Change, _operation_id: i64) -> Result<(), ErrorReport> {
    Ok(())
}
