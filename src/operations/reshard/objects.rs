//! Statements of ours about users' objects: each run as whom it must be run
//! as, with the hook looking away.

use std::ffi::CString;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::context::restricted_to;
use crate::pg::context::with_any_settings;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::hook;
use crate::pg::spi;

/// The check by which a staging table takes no row that is not its own.
pub const BOUND: &str = "presplit_bound";

/// The check by which the server need not look at the rows of a DEFAULT.
pub const PROOF: &str = "presplit_proof";

/// Runs statements as the owner of a table, who has written the expressions
/// that they may evaluate.
pub fn run_as<'a>(
    owner: Oid,
    tablespace: &str,
    statements: impl IntoIterator<Item = &'a String>,
) -> Result<(), ErrorReport> {
    as_owner(owner, tablespace, || {
        for statement in statements {
            pgrx::check_for_interrupts!();
            spi::run(statement, &[])?;
        }
        Ok(())
    })
}

/// Runs `work` as the owner of a table; what it makes comes into `tablespace`.
pub fn as_owner<R>(
    owner: Oid,
    tablespace: &str,
    work: impl FnOnce() -> Result<R, ErrorReport>,
) -> Result<R, ErrorReport> {
    let tablespace = CString::new(tablespace).map_err(|_| {
        error::new(SqlState::InvalidParameterValue, "the name of a tablespace holds a zero byte", None, None)
    })?;
    let settings = [(c"default_tablespace", tablespace.as_c_str()), (c"row_security", c"off")];
    with_pinned_search_path(|| with_any_settings(&settings, || hook::bypass(|| restricted_to(owner, work))))
}

/// Runs statements that only a superuser may run; they evaluate nothing of users'.
pub fn run_above<'a>(statements: impl IntoIterator<Item = &'a String>) -> Result<(), ErrorReport> {
    with_pinned_search_path(|| {
        hook::bypass(|| {
            for statement in statements {
                spi::run(statement, &[])?;
            }
            Ok(())
        })
    })
}
