//! The rights that PostgreSQL itself wants for the server's files and programs.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::spi;

/// Whether the caller has the privileges of a predefined role. `what` says
/// what it is needed for, `instead` what the caller can do without it.
///
/// # Errors
/// 42501 if not.
pub fn check_role(role: &str, what: &str, instead: Option<&str>) -> Result<(), ErrorReport> {
    let member = with_pinned_search_path(|| {
        spi::one::<bool>("SELECT pg_has_role(current_user, $1::name, 'USAGE')", &[role.into()])
    })?;
    if member == Some(true) {
        return Ok(());
    }
    Err(error::new(
        SqlState::InsufficientPrivilege,
        format!("permission denied to {what}"),
        Some(format!("Only roles with privileges of role \"{role}\" may do it.")),
        instead.map(str::to_owned),
    ))
}
