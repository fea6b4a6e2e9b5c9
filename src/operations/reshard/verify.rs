//! The comparison.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::model::reshard::Change;

/// What was compared.
pub struct Bucket {
    pub rows: i64,
    pub cursor: Option<Value>,
    pub finished: bool,
}

/// Compares some.
pub fn bucket(_change: &Change, _operation_id: i64, _cursor: Option<&Value>) -> Result<Bucket, ErrorReport> {
    Ok(Bucket { rows: 0, cursor: None, finished: true })
}
