//! VACUUM of one table by a worker, in transactions of its own.
//!
//! Not for sessions: theirs are their clients'. The table's rows stay as they
//! are; only the place of dead ones becomes free.

use pgrx::PgMemoryContexts;
use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

use crate::pg::transaction;
use crate::pg::transaction::Failed;

/// Vacuums a table.
///
/// # Errors
/// What the server says, for example that it was cancelled.
pub fn vacuum(table: Oid) -> Result<(), Failed> {
    // What VACUUM reads must outlive the transactions that it begins.
    let mut memory = PgMemoryContexts::new("pg_presplit vacuum");
    // SAFETY: the statement is made of whole nodes in memory that lives until it has run; a worker has
    // no portal, so whatever was there before is put back; outside of a transaction block, as VACUUM wants.
    unsafe {
        let statement = memory.switch_to(|_| {
            let relation = pg_sys::makeVacuumRelation(std::ptr::null_mut(), table, std::ptr::null_mut());
            let statement = pg_sys::palloc0(size_of::<pg_sys::VacuumStmt>()).cast::<pg_sys::VacuumStmt>();
            (*statement).type_ = pg_sys::NodeTag::T_VacuumStmt;
            (*statement).rels = pg_sys::lappend(std::ptr::null_mut(), relation.cast());
            (*statement).is_vacuumcmd = true;
            statement
        });
        let portal = pg_sys::PortalContext;
        pg_sys::PortalContext = memory.value();
        let result = transaction::run_bare(|| {
            pg_sys::ExecVacuum(pg_sys::make_parsestate(std::ptr::null_mut()), statement, true);
        });
        pg_sys::PortalContext = portal;
        result
    }
}
