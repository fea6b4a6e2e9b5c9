//! A profile from a dump.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::required;
use crate::api::writes;
use crate::catalog::arming::current_user;
use crate::catalog::profiles;
use crate::operations::backup;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn profile_backup(
    path: Option<&str>,
    name: default!(Option<&str>, "'backup'"),
) -> Result<String, ErrorReport> {
    writes("profile_backup")?;
    let (path, name) = (required(path, "path")?, required(name, "name")?);
    let user = current_user()?;
    // Before hours of reading.
    profiles::check_name(name, &user)?;
    let profile = backup::profile_of(path)?;
    profiles::store(name, &profile, &user)?;
    Ok(name.to_owned())
}
