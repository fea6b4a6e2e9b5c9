//! The comparison of all rows before the new shards take the old ones' place.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::model::reshard::Change;
use crate::operations::reshard::transfer;
use crate::operations::reshard::transfer::Transfer;

/// Rows that are compared in one transaction.
const ROWS: i64 = 50_000;

/// What one transaction has compared.
pub struct Bucket {
    pub rows: i64,
    /// How far the comparison is.
    pub cursor: Option<Value>,
    pub finished: bool,
}

/// Compares the next rows. In the same transaction all changes that it sees
/// must have been brought over.
///
/// # Errors
/// If the new shards do not have the rows of the old ones.
pub fn bucket(change: &Change, operation_id: i64, cursor: Option<&Value>) -> Result<Bucket, ErrorReport> {
    bucket_of(change, operation_id, cursor, ROWS)
}

/// The same with so many rows at most.
pub fn bucket_of(
    change: &Change,
    operation_id: i64,
    cursor: Option<&Value>,
    rows: i64,
) -> Result<Bucket, ErrorReport> {
    let after = transfer::of_stored(cursor)?;
    let read = Transfer::begin(change, operation_id)?.verify(after.as_ref(), rows)?;
    Ok(match read {
        // A source was truncated: the next transaction sees it.
        None => Bucket { rows: 0, cursor: cursor.cloned(), finished: false },
        Some(read) => Bucket {
            rows: read.digest.rows,
            cursor: read.last.as_ref().map(transfer::stored),
            finished: read.digest.rows < rows,
        },
    })
}
