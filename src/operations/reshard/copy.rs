//! The copy: chunk after chunk in the order of the identity, each in a
//! transaction of one snapshot.
//!
//! First come the changes that were written down meanwhile: rows up to the
//! last copied one are copied again, those beyond are not there yet and will
//! be read as they are then. So after each chunk the targets have exactly the
//! sources' rows up to a key, as the snapshot sees them, and no conflict can
//! arise between what is copied and what was changed.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::catalog::reshard_rows;
use crate::model::reshard::Change;
use crate::operations::reshard::transfer;
use crate::operations::reshard::transfer::Transfer;
use crate::pg::clock::Clock;

/// What one transaction has copied.
pub struct Chunk {
    pub rows: i64,
    pub bytes: i64,
    /// How far the copying is.
    pub cursor: Option<Value>,
    pub finished: bool,
    /// How many changes there were when it began.
    pub changes: i64,
    /// A source was truncated: begin anew, with empty targets and without a cursor.
    pub restart: bool,
    /// How long the copying alone took, without the changes before it.
    pub ms: f64,
}

/// Changed rows that may always be brought over before some are copied: as fast
/// as others write, however few rows are copied at a time.
const CHANGES_MIN: i64 = 5_000;

/// Copies some rows: none while there are many more changes.
///
/// # Errors
/// If what was copied is not what the sources have.
pub fn chunk(
    change: &Change,
    operation_id: i64,
    cursor: Option<&Value>,
    rows: i64,
) -> Result<Chunk, ErrorReport> {
    let rows = rows.max(1);
    let after = transfer::of_stored(cursor)?;
    let transfer = Transfer::begin(change, operation_id)?;
    let before = reshard_rows::bytes(change)?;
    let mut chunk = Chunk {
        rows: 0,
        bytes: 0,
        cursor: cursor.cloned(),
        finished: false,
        changes: 0,
        restart: false,
        ms: 0.0,
    };
    let Some(keys) = transfer.bring_changes(Some(after.as_ref()), rows.max(CHANGES_MIN))? else {
        return Ok(Chunk { cursor: None, restart: true, ..chunk });
    };
    chunk.changes = keys.count.saturating_add(keys.left);
    if keys.left == 0 {
        let clock = Clock::start();
        let copied = transfer.copy(after.as_ref(), rows)?;
        chunk.ms = clock.ms();
        chunk.rows = copied.digest.rows;
        chunk.finished = copied.digest.rows < rows;
        if let Some(last) = &copied.last {
            chunk.cursor = Some(transfer::stored(last));
        }
    }
    chunk.bytes = (reshard_rows::bytes(change)? - before).max(0);
    Ok(chunk)
}
