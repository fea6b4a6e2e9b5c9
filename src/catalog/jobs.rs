//! The ledger of jobs.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

/// What an object is to its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Log,
    Trigger,
}

/// Writes an object down.
pub const fn record_object(
    _operation_id: i64,
    _role: Role,
    _object: Oid,
    _name: &str,
) -> Result<(), ErrorReport> {
    Ok(())
}

/// Forgets an object.
pub const fn forget_object(_operation_id: i64, _object: Oid) -> Result<(), ErrorReport> {
    Ok(())
}
