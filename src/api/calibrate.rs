//! Calibration of the cost model.

use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::writes;
use crate::catalog::arming::current_user;
use crate::operations::calibrate;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn calibrate() -> Result<
    TableIterator<
        'static,
        (name!(constant, String), name!(value, f64), name!(unit, String), name!(note, Option<String>)),
    >,
    ErrorReport,
> {
    writes("calibrate")?;
    let settled = calibrate::calibrate(&current_user()?)?;
    Ok(TableIterator::new(
        settled.into_iter().map(|one| (one.constant.to_owned(), one.value, one.unit.to_owned(), one.note)),
    ))
}
