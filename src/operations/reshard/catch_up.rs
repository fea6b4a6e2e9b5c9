//! Catching up: changes that were made after a row was copied.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::reshard_rows;
use crate::model::reshard::Change;
use crate::operations::reshard::transfer::Transfer;
use crate::pg::capture;

/// What one transaction has brought over.
pub struct Round {
    pub keys: i64,
    /// How many more changes its snapshot sees.
    pub left: i64,
    /// A source was truncated: copy anew.
    pub restart: bool,
}

impl Round {
    /// How many changes there were when it began.
    #[must_use]
    pub const fn found(&self) -> i64 {
        self.keys.saturating_add(self.left)
    }
}

/// Brings changes over, as many as `limit` if there are more. Everything must
/// have been copied.
///
/// # Errors
/// If what was brought over is not what the sources have.
pub fn round(change: &Change, operation_id: i64, limit: i64) -> Result<Round, ErrorReport> {
    // Rows that stay where they are change there.
    if change.keeps_rows() {
        return Ok(Round { keys: 0, left: 0, restart: false });
    }
    let transfer = Transfer::begin(change, operation_id)?;
    Ok(match transfer.bring_changes(None, limit.max(1))? {
        Some(keys) => Round { keys: keys.count, left: keys.left, restart: false },
        None => Round { keys: 0, left: 0, restart: true },
    })
}

/// How many changes are committed and not brought over.
///
/// # Errors
/// If the log is gone.
pub fn backlog(change: &Change, operation_id: i64) -> Result<i64, ErrorReport> {
    match reshard_rows::log(change.log_of(operation_id))? {
        Some(log) => capture::count(log),
        None => Ok(0),
    }
}
