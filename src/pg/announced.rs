//! What was read from a table of ours and is still true: whoever changes the
//! table announces it, as the server does for what it keeps of relations.
//!
//! For questions that are asked at every statement. Announcements travel with
//! the transaction that makes them, and come back if it is rolled back.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys;

/// A state of a table: as long as it is the same, what was read is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    table: pg_sys::Oid,
    changes: u64,
}

thread_local! {
    /// Counts what the server says has changed of any relation.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    static WATCHED: Cell<pg_sys::Oid> = const { Cell::new(pg_sys::InvalidOid) };
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

/// The state of the one table that is watched, of schema `presplit`; none if
/// it is not there, or if this transaction does not see the latest rows.
/// Must be called in a transaction.
pub fn state(name: &CStr) -> Option<State> {
    // SAFETY: look-ups in the server's caches, which are brought up to date
    // before; the callback is registered once and lives as long as the process.
    unsafe {
        if !LISTENING.replace(true) {
            pg_sys::CacheRegisterRelcacheCallback(Some(changed), pg_sys::Datum::from(0));
        }
        pg_sys::AcceptInvalidationMessages();
        let table = table(name)?;
        WATCHED.set(table);
        Some(State { table, changes: CHANGES.get() })
    }
}

/// Whether this transaction sees what others commit while it runs: what is
/// read by an older snapshot is not to be kept.
#[must_use]
pub fn sees_latest() -> bool {
    // SAFETY: reads a variable of the process.
    unsafe { pg_sys::XactIsoLevel < pg_sys::XACT_REPEATABLE_READ as i32 }
}

/// Tells all sessions that the table changes; to be called before the change.
pub fn announce(name: &CStr) {
    // SAFETY: in a transaction, of a relation that is there; the message is
    // sent at commit, and to this session at the end of the next command.
    unsafe {
        if let Some(table) = table(name) {
            pg_sys::CacheInvalidateRelcacheByRelid(table);
        }
    }
}

/// # Safety
/// In a transaction.
unsafe fn table(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: look-ups in the server's caches.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"presplit".as_ptr(), true);
        if schema == pg_sys::InvalidOid {
            return None;
        }
        let table = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (table != pg_sys::InvalidOid).then_some(table)
    }
}

/// The server says that a relation has changed, or all may have.
unsafe extern "C-unwind" fn changed(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    if relation == pg_sys::InvalidOid || relation == WATCHED.get() {
        CHANGES.set(CHANGES.get().wrapping_add(1));
    }
}
