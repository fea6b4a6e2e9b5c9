//! What of the shards' objects stands in the way of a change.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::finding::Finding;
use crate::model::reshard::Change;

/// Everything that stands in the way, or is worth knowing.
pub fn findings(_change: &Change) -> Result<Vec<Finding>, ErrorReport> {
    Ok(Vec::new())
}
