//! Tables that hold a shard's rows until they take the shard's place: made
//! like the shard, filled elsewhere, swapped in whole.
//!
//! A staging table has the shard's row type to the last dropped column, its
//! storage and checks, and belongs to the shard's owner. It is a member of the
//! extension, so that a dump leaves it out and DROP EXTENSION takes it along.
//! The swap exchanges files as CLUSTER does: the shard stays the relation that
//! it was, with its owner, rights, comments and settings.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ptr::null_mut;
use std::time::Duration;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::clock::Clock;
use crate::pg::context::in_subtransaction;
use crate::pg::context::with_any_settings;
use crate::pg::error;

unsafe extern "C-unwind" {
    fn finish_heap_swap(
        old: Oid,
        new: Oid,
        is_system_catalog: bool,
        swap_toast_by_content: bool,
        check_constraints: bool,
        is_internal: bool,
        frozen: pg_sys::TransactionId,
        minimum: pg_sys::MultiXactId,
        persistence: c_char,
    );
    fn NewHeapCreateToastTable(relation: Oid, options: pg_sys::Datum, lock: pg_sys::LOCKMODE, old_toast: Oid);
    fn CheckTableForSerializableConflictIn(relation: pg_sys::Relation);
}

/// The schema of our own tables, which staging tables share.
const SCHEMA: &CStr = c"presplit";

/// Makes an empty table like a shard. Returns its oid.
///
/// # Safety
/// In a transaction; the shard exists and is a plain heap.
pub unsafe fn create(shard: Oid, name: &CStr) -> Oid {
    // SAFETY: catalog look-ups and the steps that CLUSTER takes to make its
    // new heap; the shard stays open, and so its descriptor, until the end.
    unsafe {
        let relation = pg_sys::table_open(shard, pg_sys::AccessShareLock as _);
        let form = &*(*relation).rd_rel;
        let options = storage_options(shard, true);
        let staging = pg_sys::heap_create_with_catalog(
            name.as_ptr(),
            pg_sys::get_namespace_oid(SCHEMA.as_ptr(), false),
            form.reltablespace,
            pg_sys::InvalidOid,
            pg_sys::InvalidOid,
            pg_sys::InvalidOid,
            form.relowner,
            form.relam,
            (*relation).rd_att,
            constraints(relation),
            pg_sys::RELKIND_RELATION as c_char,
            form.relpersistence as c_char,
            false,
            false,
            pg_sys::OnCommitAction::ONCOMMIT_NOOP,
            options,
            false,
            true,
            true,
            shard,
            null_mut(),
        );
        pg_sys::CommandCounterIncrement();
        if form.reltoastrelid != pg_sys::InvalidOid {
            let options = storage_options(form.reltoastrelid, false);
            pg_guard_ffi_boundary(|| {
                NewHeapCreateToastTable(
                    staging,
                    options,
                    pg_sys::AccessExclusiveLock as _,
                    form.reltoastrelid,
                );
            });
        }
        belong_to_extension(staging);
        pg_sys::CommandCounterIncrement();
        pg_sys::table_close(relation, pg_sys::NoLock as _);
        staging
    }
}

/// The expressions of generated columns and checks, cooked.
///
/// # Safety
/// An open relation.
unsafe fn constraints(relation: pg_sys::Relation) -> *mut pg_sys::List {
    // SAFETY: the relation's own description; expressions are parsed anew.
    unsafe {
        let found = (*(*relation).rd_att).constr;
        let mut list = null_mut();
        if found.is_null() {
            return list;
        }
        let mut add = |kind, number, name: *mut c_char, expression: *const c_char| {
            let one =
                pg_sys::palloc0(size_of::<pg_sys::CookedConstraint>()).cast::<pg_sys::CookedConstraint>();
            (*one).contype = kind;
            (*one).attnum = number;
            (*one).name = name;
            (*one).expr = pg_sys::stringToNode(expression).cast();
            (*one).is_local = true;
            #[cfg(feature = "pg18")]
            {
                (*one).is_enforced = true;
            }
            list = pg_sys::lappend(list, one.cast());
        };
        for at in 0..usize::from((*found).num_defval) {
            let default = &*(*found).defval.add(at);
            if (*attribute(relation, default.adnum)).attgenerated != 0 {
                add(pg_sys::ConstrType::CONSTR_DEFAULT, default.adnum, null_mut(), default.adbin);
            }
        }
        for at in 0..usize::from((*found).num_check) {
            let check = &*(*found).check.add(at);
            #[cfg(feature = "pg18")]
            if !check.ccenforced {
                continue;
            }
            add(pg_sys::ConstrType::CONSTR_CHECK, 0, pg_sys::pstrdup(check.ccname), check.ccbin);
        }
        list
    }
}

/// # Safety
/// An open relation and a number of one of its columns.
pub unsafe fn attribute(relation: pg_sys::Relation, number: i16) -> *mut pg_sys::FormData_pg_attribute {
    // SAFETY: as above.
    unsafe {
        #[cfg(feature = "pg18")]
        return pg_sys::TupleDescAttr((*relation).rd_att, i32::from(number) - 1);
        #[cfg(not(feature = "pg18"))]
        return (*(*relation).rd_att).attrs.as_mut_ptr().add(number as usize - 1);
    }
}

/// The storage options of a relation; autovacuum does not look at a table
/// that is about to go.
///
/// # Safety
/// In a transaction.
unsafe fn storage_options(relation: Oid, without_autovacuum: bool) -> pg_sys::Datum {
    // SAFETY: the options are copied out of the cached tuple.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as _, pg_sys::Datum::from(relation));
        if tuple.is_null() {
            return pg_sys::Datum::from(0);
        }
        let mut is_null = false;
        let options = pg_sys::SysCacheGetAttr(
            pg_sys::SysCacheIdentifier::RELOID as _,
            tuple,
            pg_sys::Anum_pg_class_reloptions as _,
            &mut is_null,
        );
        let mut options = if is_null {
            pg_sys::Datum::from(0)
        } else {
            pg_sys::Datum::from(pg_sys::pg_detoast_datum_copy(options.cast_mut_ptr()))
        };
        pg_sys::ReleaseSysCache(tuple);
        if without_autovacuum {
            let off = pg_sys::makeDefElem(
                pg_sys::pstrdup(c"autovacuum_enabled".as_ptr()),
                pg_sys::makeString(pg_sys::pstrdup(c"false".as_ptr())).cast(),
                -1,
            );
            let list = pg_sys::lappend(null_mut(), off.cast());
            options = pg_sys::transformRelOptions(options, list, null_mut(), null_mut(), false, false);
        }
        options
    }
}

/// # Safety
/// In a transaction.
unsafe fn belong_to_extension(table: Oid) {
    // SAFETY: a dependency between two objects that exist.
    unsafe {
        let member = address(pg_sys::RelationRelationId, table);
        let extension =
            address(pg_sys::ExtensionRelationId, pg_sys::get_extension_oid(c"pg_presplit".as_ptr(), false));
        pg_sys::recordDependencyOn(&member, &extension, pg_sys::DependencyType::DEPENDENCY_EXTENSION);
    }
}

fn address(class: Oid, object: Oid) -> pg_sys::ObjectAddress {
    pg_sys::ObjectAddress { classId: class, objectId: object, objectSubId: 0 }
}

/// A shard and the table with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Staged {
    pub shard: Oid,
    pub staging: Oid,
    pub rows: u64,
}

/// `InvalidSubTransactionId`.
const NO_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// How long the swap waits for its locks before it copies rows instead.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Between two attempts to get all locks.
const LOCK_PAUSE_MS: i64 = 50;

/// Longest wait for one of them, while others are held.
const LOCK_ONE_MS: i32 = 150;

/// Longest time that an attempt takes, for others wait meanwhile.
const LOCK_ALL: Duration = Duration::from_millis(500);

/// SQLSTATEs of a lock that was not to be had: in time, or in a deadlock.
const NOT_IN_TIME: &str = "55P03";
const DEADLOCK: &str = "40P01";

/// After so many deadlocks rows are copied: somebody waits for what we hold
/// until the transaction ends.
const DEADLOCKS: usize = 3;

/// Rows that are copied at once.
const ROWS_AT_ONCE: usize = 500;

/// Puts the rows of all tables into their shards: by exchanging files, or, if
/// one shard is in use for long or has got rows meanwhile, by copying all of
/// them. Never some this way and some that way: an old snapshot would then
/// see a part of them. Returns whether files were exchanged.
///
/// # Errors
/// If one of the tables is gone.
pub fn take_places(staged: &[Staged]) -> Result<bool, ErrorReport> {
    let swapped = lock_all_in_time(staged)? && staged.iter().all(|one| is_blank(one.shard));
    for one in staged {
        pgrx::check_for_interrupts!();
        if swapped {
            swap(*one)?;
        } else {
            append(*one)?;
        }
    }
    Ok(swapped)
}

/// Takes ACCESS EXCLUSIVE on all shards; whether it could in time. Each lock
/// is waited for shortly, and after a millisecond our own detector looks for a
/// deadlock, so that hardly ever another's finds it: we are to give way.
fn lock_all_in_time(staged: &[Staged]) -> Result<bool, ErrorReport> {
    let begin = Clock::start();
    // SAFETY: settings of the session, in milliseconds.
    let (own, detector) = unsafe { (pg_sys::LockTimeout, pg_sys::DeadlockTimeout) };
    let own = Duration::from_millis(u64::try_from(own).unwrap_or(0));
    let wait = if own.is_zero() { LOCK_WAIT } else { LOCK_WAIT.min(own) };
    let each = CString::new(format!("{}ms", LOCK_ONE_MS.min(detector / 2).max(1))).unwrap_or_default();
    let settings =
        [(c"lock_timeout", each.as_c_str()), (c"deadlock_timeout", c"1ms"), (c"log_lock_waits", c"off")];
    let mut deadlocks = 0;
    loop {
        match in_subtransaction(|| with_any_settings(&settings, || lock_all(staged))) {
            Ok(true) => return Ok(true),
            Err(caught) if caught.sqlstate == DEADLOCK => deadlocks += 1,
            Err(caught) if caught.sqlstate != NOT_IN_TIME => {
                return Err(error::again(&caught));
            }
            _ => {}
        }
        if begin.elapsed() > wait || deadlocks == DEADLOCKS {
            return Ok(false);
        }
        // SAFETY: the process's own latch.
        unsafe {
            pg_sys::WaitLatch(
                pg_sys::MyLatch,
                (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
                LOCK_PAUSE_MS,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        pgrx::check_for_interrupts!();
    }
}

/// Takes ACCESS EXCLUSIVE on all shards, or raises an error when one has to
/// be waited for too long. False, and no lock, when all together take too long.
fn lock_all(staged: &[Staged]) -> bool {
    let begin = Clock::start();
    for (at, one) in staged.iter().enumerate() {
        // SAFETY: shards that the caller has locked already.
        unsafe {
            if begin.elapsed() > LOCK_ALL {
                for taken in &staged[..at] {
                    pg_sys::UnlockRelationOid(taken.shard, pg_sys::AccessExclusiveLock as _);
                }
                return false;
            }
            pg_sys::LockRelationOid(one.shard, pg_sys::AccessExclusiveLock as _);
        }
    }
    true
}

/// Copies the rows of a staging table into its shard, and drops it. They have
/// met the shard's conditions already.
fn append(staged: Staged) -> Result<(), ErrorReport> {
    // SAFETY: both are heaps of one row type; slots and tuples are the
    // server's, and each slot owns its copy.
    unsafe {
        horizons(staged.staging)?;
        let from = pg_sys::table_open(staged.staging, pg_sys::AccessShareLock as _);
        let to = pg_sys::table_open(staged.shard, pg_sys::RowExclusiveLock as _);
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
            | pg_sys::ScanOptions::SO_ALLOW_STRAT
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let scan = pg_sys::heap_beginscan(from, snapshot, 0, null_mut(), null_mut(), flags);
        let read = pg_sys::table_slot_create(from, null_mut());
        let slots: Vec<*mut pg_sys::TupleTableSlot> = (0..ROWS_AT_ONCE)
            .map(|_| pg_sys::MakeSingleTupleTableSlot((*to).rd_att, &raw const pg_sys::TTSOpsHeapTuple))
            .collect();
        let scratch = pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"presplit append".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        let bulk = pg_sys::GetBulkInsertState();
        let command = pg_sys::GetCurrentCommandId(true);
        let mut more = true;
        while more {
            pgrx::check_for_interrupts!();
            let mut count = 0;
            while count < ROWS_AT_ONCE {
                more = pg_sys::heap_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, read);
                if !more {
                    break;
                }
                pg_sys::ExecForceStoreHeapTuple(pg_sys::ExecCopySlotHeapTuple(read), slots[count], true);
                count += 1;
            }
            if count > 0 {
                let mut batch = slots.clone();
                // It leaves memory behind.
                let before = pg_sys::MemoryContextSwitchTo(scratch);
                pg_sys::heap_multi_insert(to, batch.as_mut_ptr(), count as i32, command, 0, bulk);
                pg_sys::MemoryContextSwitchTo(before);
                pg_sys::MemoryContextReset(scratch);
            }
        }
        for slot in slots {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        pg_sys::FreeBulkInsertState(bulk);
        pg_sys::MemoryContextDelete(scratch);
        pg_sys::ExecDropSingleTupleTableSlot(read);
        pg_sys::heap_endscan(scan);
        pg_sys::UnregisterSnapshot(snapshot);
        pg_sys::table_close(to, pg_sys::NoLock as _);
        pg_sys::table_close(from, pg_sys::NoLock as _);
    }
    drop(staged.staging);
    Ok(())
}

/// Whether a shard has not a single page; with ACCESS EXCLUSIVE, it stays so.
#[must_use]
fn is_blank(shard: Oid) -> bool {
    // SAFETY: the caller holds a lock.
    unsafe {
        let relation = pg_sys::table_open(shard, pg_sys::NoLock as _);
        let blocks = pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM);
        pg_sys::table_close(relation, pg_sys::NoLock as _);
        blocks == 0
    }
}

/// Puts the rows of a staging table into its blank shard by exchanging their
/// files, and drops what is left.
///
/// # Errors
/// If one of the tables is gone.
fn swap(staged: Staged) -> Result<(), ErrorReport> {
    // SAFETY: ACCESS EXCLUSIVE on the shard is held, and taken on the staging table.
    unsafe {
        pg_sys::LockRelationOid(staged.staging, pg_sys::AccessExclusiveLock as _);
        let (frozen, minimum) = horizons(staged.staging)?;
        let relation = pg_sys::table_open(staged.shard, pg_sys::NoLock as _);
        pg_sys::CheckTableNotInUse(relation, c"COPY".as_ptr());
        pg_guard_ffi_boundary(|| CheckTableForSerializableConflictIn(relation));
        // What core's COPY would tell the statistics, so that autovacuum comes.
        pg_sys::pgstat_count_heap_insert(relation, staged.rows as i64);
        let persistence = (*(*relation).rd_rel).relpersistence as c_char;
        pg_sys::table_close(relation, pg_sys::NoLock as _);
        leave_extension(staged.staging);
        pg_guard_ffi_boundary(|| {
            finish_heap_swap(
                staged.shard,
                staged.staging,
                false,
                false,
                false,
                true,
                frozen,
                minimum,
                persistence,
            );
        });
        forget_new_file(staged.shard);
        Ok(())
    }
}

/// The file of the shard now is not of this transaction: it has been written
/// to disk at the commit of another one, and ours must log what it changes.
///
/// # Safety
/// An existing relation, locked.
unsafe fn forget_new_file(shard: Oid) {
    // SAFETY: fields of the open relation's cache entry, of this process alone.
    unsafe {
        let relation = pg_sys::table_open(shard, pg_sys::NoLock as _);
        #[cfg(feature = "pg15")]
        {
            (*relation).rd_newRelfilenodeSubid = NO_SUBTRANSACTION;
            (*relation).rd_firstRelfilenodeSubid = NO_SUBTRANSACTION;
        }
        #[cfg(not(feature = "pg15"))]
        {
            (*relation).rd_newRelfilelocatorSubid = NO_SUBTRANSACTION;
            (*relation).rd_firstRelfilelocatorSubid = NO_SUBTRANSACTION;
        }
        pg_sys::table_close(relation, pg_sys::NoLock as _);
    }
}

/// The oldest transaction that a table may have tuples of.
///
/// # Safety
/// In a transaction.
unsafe fn horizons(table: Oid) -> Result<(pg_sys::TransactionId, pg_sys::MultiXactId), ErrorReport> {
    // SAFETY: the tuple is read before it is released.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as _, pg_sys::Datum::from(table));
        if tuple.is_null() {
            return Err(error::new(
                SqlState::ObjectNotInPrerequisiteState,
                "a table with rows of this COPY was dropped before it could take its place",
                None,
                Some("Repeat the COPY; it has changed nothing.".to_owned()),
            ));
        }
        let form = &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_class>(tuple);
        let found = (form.relfrozenxid, form.relminmxid);
        pg_sys::ReleaseSysCache(tuple);
        Ok(found)
    }
}

/// # Safety
/// In a transaction.
unsafe fn leave_extension(table: Oid) {
    // SAFETY: removes a dependency of ours.
    unsafe {
        pg_sys::deleteDependencyRecordsForClass(
            pg_sys::RelationRelationId,
            table,
            pg_sys::ExtensionRelationId,
            pg_sys::DependencyType::DEPENDENCY_EXTENSION as c_char,
        );
    }
}

/// Drops a staging table, if it is still there and is one.
pub fn drop(staging: Oid) {
    // SAFETY: the lock comes first; then the table cannot go any more.
    unsafe {
        pg_sys::LockRelationOid(staging, pg_sys::AccessExclusiveLock as _);
        let schema = pg_sys::get_rel_namespace(staging);
        if schema == pg_sys::InvalidOid || schema != pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true) {
            return;
        }
        leave_extension(staging);
        pg_sys::CommandCounterIncrement();
        pg_sys::performDeletion(
            &address(pg_sys::RelationRelationId, staging),
            pg_sys::DropBehavior::DROP_RESTRICT,
            pg_sys::PERFORM_DELETION_INTERNAL as _,
        );
    }
}

/// The name of a shard's staging table in one load.
#[must_use]
pub fn name(shard: Oid, load: u64) -> CString {
    CString::new(format!("load_{}_{load:x}", shard.to_u32())).unwrap_or_default()
}
