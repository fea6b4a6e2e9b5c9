//! What a table is under a lock, as of now: also where the transaction's
//! snapshot still has what it was before.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ptr::null_mut;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

use crate::model::name::QualifiedName;
use crate::pg::table_lock::Mode;

unsafe extern "C-unwind" {
    fn find_all_inheritors(
        parent: Oid,
        mode: pg_sys::LOCKMODE,
        parents: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;
}

/// A table that is locked until the transaction ends.
#[derive(Debug, Clone)]
pub struct TableState {
    pub name: QualifiedName,
    pub owner: Oid,
    pub is_partition: bool,
    /// Whether its rows are in partitions.
    pub is_partitioned: bool,
    pub has_rules: bool,
    pub has_row_security: bool,
    pub triggers: Vec<Trigger>,
}

/// A trigger of a table, also one of a constraint.
#[derive(Debug, Clone)]
pub struct Trigger {
    pub name: String,
    /// Made by the server or by us: its table's owner could not have made it.
    pub is_internal: bool,
    pub is_of_constraint: bool,
    /// The server's own, of a primary key or unique constraint that can be deferred: it evaluates
    /// nothing of its owner's.
    pub is_of_key: bool,
}

/// Locks a table and looks at it; none if it is gone. Waits no longer than `lock_timeout`.
#[must_use]
pub fn lock_and_look(relation: Oid, mode: Mode) -> Option<TableState> {
    // SAFETY: in a transaction. The relation is open while it is read, and keeps its lock when it is
    // closed; its triggers are read again whenever they change.
    unsafe {
        let opened = pg_sys::try_relation_open(relation, mode.server());
        if opened.is_null() {
            return None;
        }
        let form = &*(*opened).rd_rel;
        let state = TableState {
            name: QualifiedName::new(
                text(pg_sys::get_namespace_name(form.relnamespace)),
                text(form.relname.data.as_ptr()),
            ),
            owner: form.relowner,
            is_partition: form.relispartition,
            is_partitioned: form.relkind.cast_unsigned() == pg_sys::RELKIND_PARTITIONED_TABLE,
            // Whether pg_class says so is only put right by VACUUM.
            has_rules: !(*opened).rd_rules.is_null(),
            has_row_security: form.relrowsecurity,
            triggers: triggers((*opened).trigdesc),
        };
        pg_sys::relation_close(opened, pg_sys::NoLock as _);
        Some(state)
    }
}

/// Locks the partitions of a table on all levels, which is locked itself, and says which they are.
#[must_use]
pub fn lock_partitions(root: Oid, mode: Mode) -> Vec<u32> {
    // SAFETY: in a transaction. The list is the server's own, of as many oids as it says.
    unsafe {
        let list = pg_guard_ffi_boundary(|| find_all_inheritors(root, mode.server(), null_mut()));
        let Some(found) = list.as_ref() else { return Vec::new() };
        let count = usize::try_from(found.length).unwrap_or(0);
        (0..count)
            .map(|at| (*found.elements.add(at)).oid_value)
            .filter(|oid| *oid != root)
            .map(Oid::to_u32)
            .collect()
    }
}

/// # Safety
/// Null, or the triggers of a relation that is open.
unsafe fn triggers(of: *const pg_sys::TriggerDesc) -> Vec<Trigger> {
    // SAFETY: the array has as many as it says.
    unsafe {
        let Some(of) = of.as_ref() else { return Vec::new() };
        let count = usize::try_from(of.numtriggers).unwrap_or(0);
        (0..count)
            .map(|at| {
                let trigger = &*of.triggers.add(at);
                Trigger {
                    name: text(trigger.tgname),
                    is_internal: trigger.tgisinternal && !trigger.tgisclone,
                    is_of_constraint: trigger.tgconstraint != pg_sys::InvalidOid,
                    is_of_key: is_of_key(trigger),
                }
            })
            .collect()
    }
}

/// # Safety
/// A trigger of a relation that is locked.
unsafe fn is_of_key(trigger: &pg_sys::Trigger) -> bool {
    let recheck = Oid::from(pg_sys::F_UNIQUE_KEY_RECHECK);
    if !trigger.tgisinternal || trigger.tgfoid != recheck || trigger.tgconstrindid == pg_sys::InvalidOid {
        return false;
    }
    // SAFETY: the index is open while it is read; its table's lock keeps it from being dropped.
    unsafe {
        let index = pg_sys::index_open(trigger.tgconstrindid, pg_sys::AccessShareLock as _);
        let is_key = !(*(*index).rd_index).indisexclusion;
        pg_sys::index_close(index, pg_sys::NoLock as _);
        is_key
    }
}

/// # Safety
/// Null, or zero-terminated.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
