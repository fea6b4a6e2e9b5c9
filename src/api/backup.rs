//! A profile from a dump.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::catalog::arming::current_user;
use crate::catalog::profiles;
use crate::operations::backup;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn profile_backup(path: &str, name: default!(&str, "'backup'")) -> Result<String, ErrorReport> {
    let user = current_user()?;
    // Before hours of reading.
    profiles::check_name(name, &user)?;
    let profile = backup::profile_of(path)?;
    profiles::store(name, &profile, &user)?;
    Ok(name.to_owned())
}
