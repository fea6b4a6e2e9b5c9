//! What stands against a change.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::finding::Finding;
use crate::model::reshard::Change;

/// Everything that stands against it.
pub fn findings(_change: &Change) -> Result<Vec<Finding>, ErrorReport> {
    Ok(Vec::new())
}

/// What the tables are like.
pub fn fingerprint(_change: &Change) -> Result<String, ErrorReport> {
    Ok(String::new())
}
