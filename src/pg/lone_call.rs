//! Whether a function may wait with the snapshot that it was called with left
//! out of account: nothing else ever uses it.
//!
//! ```text
//!  the client's statement   a query of one volatile call and nothing that reads, or a DO or CALL
//!  what runs it             at most one function of a language, whose every statement has a snapshot of its own
//!  the transaction          has locked none of the tables, and has no cursor open
//! ```
//!
//! So the statement itself reads none of the tables, for those that it reads it
//! has locked; what it calls after the wait reads by [`see_latest`].

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::context::with_pinned_search_path;
use crate::pg::spi;

/// Levels of languages between the client's statement and the call: a function
/// and its statement.
const LEVELS_MAX: usize = 2;

/// Whether nothing but the call uses the snapshot, nor has anything of the
/// transaction to do with tables. To be asked within the function.
///
/// # Errors
/// If the locks and open cursors cannot be read.
pub fn is_apart(function: Oid, tables: &[u32]) -> Result<bool, ErrorReport> {
    Ok(is_all_of_statement(function) && !has_cursors()? && !has_locked(tables)?)
}

/// The function that a call is of.
#[must_use]
pub fn function_of(call: pg_sys::FunctionCallInfo) -> Oid {
    // SAFETY: the server's own argument of the function that runs.
    unsafe { call.as_ref().and_then(|call| call.flinfo.as_ref()).map_or(pg_sys::InvalidOid, |of| of.fn_oid) }
}

/// What is called later in the same statement sees what is committed by now.
/// Only where [`is_apart`] has said so.
pub fn see_latest() {
    // SAFETY: the snapshot on top was pushed for the statement of this call, at this level of
    // transactions, and whoever pushed it pops whatever is on top; that of the portal itself stays.
    unsafe {
        let top = pg_sys::GetActiveSnapshot();
        let of_portal = pg_sys::ActivePortal.as_ref().is_some_and(|portal| portal.portalSnapshot == top);
        if !of_portal {
            pg_sys::PopActiveSnapshot();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
    }
}

/// Until this session reads again, VACUUM need not keep what only its snapshot
/// could see. Only where [`is_apart`] has said so, each time before it sleeps;
/// a function or a block keeps it, whose variables may refer to rows.
pub fn release_horizon() {
    // SAFETY: the session's own entry, which the server resets likewise when no snapshot is left; the next
    // snapshot that is taken sets it again, and nothing reads by the one that the portal still has.
    unsafe {
        let is_direct = pg_sys::ActivePortal.as_ref().is_some_and(|portal| !portal.queryDesc.is_null());
        if is_direct && levels() == 0 && !pg_sys::MyProc.is_null() {
            (*pg_sys::MyProc).xmin = pg_sys::InvalidTransactionId;
        }
    }
}

/// Whether what the client sent does nothing beside one call.
fn is_all_of_statement(function: Oid) -> bool {
    let levels = levels();
    // SAFETY: the portal that runs and its plan live as long as the statement, of which this is a part;
    // casts follow the tags.
    unsafe {
        let Some(portal) = pg_sys::ActivePortal.as_ref() else { return false };
        let Some(all) = portal.stmts.as_ref().filter(|all| all.length == 1) else { return false };
        let Some(query) = portal.queryDesc.as_ref() else {
            let statement = (*all.elements).ptr_value.cast::<pg_sys::PlannedStmt>();
            let Some(utility) = (*statement).utilityStmt.as_ref() else { return false };
            return levels <= LEVELS_MAX && matches!(utility.type_, NodeTag::T_DoStmt | NodeTag::T_CallStmt);
        };
        // A function that only reads has no snapshots of its own, and these are of another level then.
        if levels > LEVELS_MAX || levels > 0 && pg_sys::GetCurrentTransactionNestLevel() > 1 {
            return false;
        }
        query.plannedstmt.as_ref().is_some_and(|statement| is_one_call(statement, function, levels))
    }
}

/// How many functions of languages, and statements of theirs, lie between.
fn levels() -> usize {
    let mut count = 0;
    // SAFETY: the list of those who have something to say of errors; they are on the stack below.
    unsafe {
        let mut callback = pg_sys::error_context_stack;
        while !callback.is_null() {
            count += 1;
            callback = (*callback).previous;
        }
    }
    count
}

/// Whether a query is of one row, and one volatile call with what cannot read.
///
/// # Safety
/// A plan of the server's.
unsafe fn is_one_call(statement: &pg_sys::PlannedStmt, function: Oid, levels: usize) -> bool {
    // SAFETY: casts follow the tags.
    unsafe {
        if statement.commandType != pg_sys::CmdType::CMD_SELECT || statement.hasModifyingCTE {
            return false;
        }
        let Some(plan) = statement.planTree.as_ref() else { return false };
        if !plan.lefttree.is_null() || !plan.qual.is_null() {
            return false;
        }
        let mut calls = Calls { function: (levels == 0).then_some(function), count: 0 };
        if !calls.of_list(plan.targetlist) {
            return false;
        }
        match plan.type_ {
            NodeTag::T_Result => {}
            NodeTag::T_FunctionScan => {
                let scan = statement.planTree.cast::<pg_sys::FunctionScan>();
                let Some(functions) = (*scan).functions.as_ref().filter(|all| all.length == 1) else {
                    return false;
                };
                let of = (*functions.elements).ptr_value.cast::<pg_sys::RangeTblFunction>();
                if !calls.of_node((*of).funcexpr) {
                    return false;
                }
            }
            _ => return false,
        }
        calls.count == 1
    }
}

/// The volatile calls in expressions.
struct Calls {
    /// The only one that there may be; none = any.
    function: Option<Oid>,
    count: usize,
}

impl Calls {
    /// False if something in the list could read.
    unsafe fn of_list(&mut self, list: *mut pg_sys::List) -> bool {
        // SAFETY: a list of nodes of the server's.
        unsafe {
            let Some(list) = list.as_ref() else { return true };
            (0..list.length as usize).all(|at| self.of_node((*list.elements.add(at)).ptr_value.cast()))
        }
    }

    /// False if the expression could read anything beside the one call.
    unsafe fn of_node(&mut self, node: *mut pg_sys::Node) -> bool {
        // SAFETY: a node of the server's; casts follow the tags.
        unsafe {
            let Some(tag) = node.as_ref().map(|node| node.type_) else { return true };
            match tag {
                NodeTag::T_Const | NodeTag::T_Var => true,
                NodeTag::T_Param => {
                    (*node.cast::<pg_sys::Param>()).paramkind == pg_sys::ParamKind::PARAM_EXTERN
                }
                NodeTag::T_TargetEntry => self.of_node((*node.cast::<pg_sys::TargetEntry>()).expr.cast()),
                NodeTag::T_RelabelType => self.of_node((*node.cast::<pg_sys::RelabelType>()).arg.cast()),
                NodeTag::T_OpExpr => {
                    let operator = node.cast::<pg_sys::OpExpr>();
                    is_pure((*operator).opfuncid) && self.of_list((*operator).args)
                }
                NodeTag::T_FuncExpr => self.of_call(node.cast()),
                _ => false,
            }
        }
    }

    unsafe fn of_call(&mut self, call: *mut pg_sys::FuncExpr) -> bool {
        // SAFETY: as above.
        unsafe {
            if is_pure((*call).funcid) {
                return self.of_list((*call).args);
            }
            self.count += 1;
            if self.function.is_some_and(|only| only != (*call).funcid)
                || pg_sys::func_volatile((*call).funcid) != pg_sys::PROVOLATILE_VOLATILE as std::ffi::c_char
            {
                return false;
            }
            // What the arguments read they have read before; a query among them has run by then.
            self.function.is_some() || self.of_list((*call).args)
        }
    }
}

fn is_pure(function: Oid) -> bool {
    // SAFETY: a look-up in the server's caches, of a function that a plan has.
    unsafe { pg_sys::func_volatile(function) == pg_sys::PROVOLATILE_IMMUTABLE as std::ffi::c_char }
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

/// Whether the transaction has used one of the tables.
fn has_locked(tables: &[u32]) -> Result<bool, ErrorReport> {
    let tables: Vec<i64> = tables.iter().map(|oid| i64::from(*oid)).collect();
    with_pinned_search_path(|| {
        spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM pg_locks AS l
                            WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.relation = ANY ($1::bigint[]::oid[]))",
            &[tables.into()],
        )
    })
    .map(Option::unwrap_or_default)
}
