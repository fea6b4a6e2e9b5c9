//! Stand-in.

use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::model::operation::Kind;
use crate::operations::reshard::control;
use crate::operations::reshard::start;
use crate::pg::moment;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn record_change(change: JsonB, kind: &str) -> Result<i64, ErrorReport> {
    start::record(serde_json::from_value(change.0).unwrap(), Kind::of(kind).unwrap())
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn wait_operation(id: i64, timeout: pgrx::default!(Interval, "'1 hour'")) -> Result<String, ErrorReport> {
    control::wait(id, moment::duration(&timeout))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn cancel_operation(id: i64) -> Result<bool, ErrorReport> {
    control::cancel(id)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn pause_operation(id: i64) -> Result<bool, ErrorReport> {
    control::pause(id)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn resume_operation(id: i64) -> Result<bool, ErrorReport> {
    control::resume(id)
}
