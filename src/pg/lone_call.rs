//! Whether a call of a function is all that its statement does, so that nothing
//! else ever uses the snapshot that it has.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::context::with_pinned_search_path;
use crate::pg::spi;

/// Whether this is `SELECT function(…)` and nothing more, sent by the client
/// itself, in a transaction that has no other query open. To be asked within
/// the function.
///
/// # Errors
/// If the open cursors cannot be read.
pub fn is_lone(function: Oid) -> Result<bool, ErrorReport> {
    Ok(is_all_of_statement(function) && !has_cursors()?)
}

/// The function that a call is of.
#[must_use]
pub fn function_of(call: pg_sys::FunctionCallInfo) -> Oid {
    // SAFETY: the server's own argument of the function that runs.
    unsafe { call.as_ref().and_then(|call| call.flinfo.as_ref()).map_or(pg_sys::InvalidOid, |of| of.fn_oid) }
}

/// Whether what the client sent is a query whose one column is a call of the function.
fn is_all_of_statement(function: Oid) -> bool {
    // SAFETY: the portal that runs and its plan live as long as the statement, of which this is a part;
    // casts follow the tags.
    unsafe {
        let Some(portal) = pg_sys::ActivePortal.as_ref() else { return false };
        let Some(query) = portal.queryDesc.as_ref() else { return false };
        let Some(statement) = query.plannedstmt.as_ref() else { return false };
        if statement.commandType != pg_sys::CmdType::CMD_SELECT
            || statement.hasModifyingCTE
            || portal.stmts.as_ref().is_none_or(|all| all.length != 1)
        {
            return false;
        }
        let Some(plan) = statement.planTree.as_ref() else { return false };
        // One row, of nothing.
        if plan.type_ != pg_sys::NodeTag::T_Result || !plan.lefttree.is_null() {
            return false;
        }
        let Some(columns) = plan.targetlist.as_ref() else { return false };
        if columns.length != 1 {
            return false;
        }
        let column = (*columns.elements).ptr_value.cast::<pg_sys::TargetEntry>();
        let value = (*column).expr.cast::<pg_sys::Node>();
        (*value).type_ == pg_sys::NodeTag::T_FuncExpr
            && (*value.cast::<pg_sys::FuncExpr>()).funcid == function
    }
}

/// Whether the transaction has other queries open. Those of earlier ones are
/// kept as rows, without a snapshot.
fn has_cursors() -> Result<bool, ErrorReport> {
    // SAFETY: as above; names are zero-terminated.
    let own = unsafe {
        pg_sys::ActivePortal.as_ref().map(|portal| CStr::from_ptr(portal.name).to_string_lossy().into_owned())
    };
    with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM pg_cursors AS c
                            WHERE c.creation_time >= transaction_timestamp() AND c.name IS DISTINCT FROM $1)",
            &[own.into()],
        )
    })
    .map(Option::unwrap_or_default)
}
