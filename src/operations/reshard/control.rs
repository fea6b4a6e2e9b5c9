//! What people do to an operation that is under way.

use pgrx::pg_sys::panic::ErrorReport;

use crate::operations::reshard::start::unsupported;

pub fn wait(_id: i64, _timeout_micros: i64) -> Result<String, ErrorReport> {
    Err(unsupported())
}

pub fn cancel(_id: i64) -> Result<bool, ErrorReport> {
    Err(unsupported())
}

pub fn pause(_id: i64) -> Result<bool, ErrorReport> {
    Err(unsupported())
}

pub fn resume(_id: i64) -> Result<bool, ErrorReport> {
    Err(unsupported())
}
