//! The log of changes: its keys taken out, for rows to be looked up by.
//!
//! Taken out is exactly what the transaction's snapshot sees. What commits
//! later is seen later, whatever its place in the log: so nothing is lost, and
//! no order of the changes is needed.

use std::ptr::null_mut;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;

/// Keys of changed rows, for the statements of this transaction. A key may be
/// in it more than once.
pub struct Keys {
    store: *mut pg_sys::Tuplestorestate,
    descriptor: pg_sys::TupleDesc,
    /// How many there are.
    pub count: i64,
    /// How many more the snapshot sees.
    pub left: i64,
    /// Everything was removed at once: the keys mean nothing.
    pub truncated: bool,
}

impl Keys {
    pub(super) const fn store(&self) -> *mut pg_sys::Tuplestorestate {
        self.store
    }

    pub(super) const fn descriptor(&self) -> pg_sys::TupleDesc {
        self.descriptor
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // After an error the end of the transaction does it.
        if !std::thread::panicking() {
            // SAFETY: made by `consume`; nobody reads it any more.
            unsafe { pg_sys::tuplestore_end(self.store) };
        }
    }
}

/// An open log, with its scan.
struct Scan {
    relation: pg_sys::Relation,
    scan: pg_sys::TableScanDesc,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Scan {
    /// # Safety
    /// In a transaction, with a snapshot that outlives the scan.
    unsafe fn begin(log: Oid, mode: u32, snapshot: pg_sys::Snapshot) -> Result<Self, ErrorReport> {
        // SAFETY: as above; the lock lasts until the transaction ends.
        unsafe {
            let relation = pg_sys::try_table_open(log, mode as pg_sys::LOCKMODE);
            if relation.is_null() {
                return Err(error::new(
                    SqlState::ObjectNotInPrerequisiteState,
                    "the log of changes is gone",
                    Some(format!("There is no table with oid {}.", log.to_u32())),
                    None,
                ));
            }
            let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
                | pg_sys::ScanOptions::SO_ALLOW_STRAT
                | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
            let scan = pg_sys::heap_beginscan(relation, snapshot, 0, null_mut(), null_mut(), flags);
            Ok(Self { relation, scan, slot: pg_sys::table_slot_create(relation, null_mut()) })
        }
    }

    /// Goes on to the next row; false at the end.
    ///
    /// # Safety
    /// Begun and not ended.
    unsafe fn next(&mut self) -> bool {
        // SAFETY: as above.
        unsafe {
            pgrx::check_for_interrupts!();
            pg_sys::heap_getnextslot(self.scan, pg_sys::ScanDirection::ForwardScanDirection, self.slot)
        }
    }

    /// Whether the row says that everything was removed.
    ///
    /// # Safety
    /// On a row.
    unsafe fn is_truncation(&mut self) -> bool {
        // SAFETY: an identity has at least one column.
        unsafe {
            pg_sys::slot_getsomeattrs_int(self.slot, 1);
            *(*self.slot).tts_isnull
        }
    }

    /// # Safety
    /// Begun and not ended.
    unsafe fn end(self) {
        // SAFETY: as above.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::heap_endscan(self.scan);
            pg_sys::table_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        }
    }
}

/// Takes keys out of a log, as many as `limit` if there are more.
///
/// # Errors
/// If the log is gone.
pub fn consume(log: Oid, limit: i64) -> Result<Keys, ErrorReport> {
    // SAFETY: in a transaction with an active snapshot, as all of SQL is. Nobody else deletes from the
    // log, so no row is gone when it is to be deleted.
    unsafe {
        // As of now in this transaction: what was taken out before is not seen again.
        pg_sys::PushCopiedSnapshot(pg_sys::GetActiveSnapshot());
        pg_sys::UpdateActiveSnapshotCommandId();
        let begun = Scan::begin(log, pg_sys::RowExclusiveLock, pg_sys::GetActiveSnapshot());
        let mut scan = match begun {
            Ok(scan) => scan,
            Err(gone) => {
                pg_sys::PopActiveSnapshot();
                return Err(gone);
            }
        };
        let mut keys = Keys {
            store: pg_sys::tuplestore_begin_heap(false, false, pg_sys::work_mem),
            descriptor: pg_sys::CreateTupleDescCopy((*scan.relation).rd_att),
            count: 0,
            left: 0,
            truncated: false,
        };
        while scan.next() {
            if keys.count >= limit {
                keys.left += 1;
                continue;
            }
            if scan.is_truncation() {
                keys.truncated = true;
            } else {
                pg_sys::tuplestore_puttupleslot(keys.store, scan.slot);
            }
            pg_sys::simple_heap_delete(scan.relation, &raw mut (*scan.slot).tts_tid);
            keys.count += 1;
        }
        scan.end();
        pg_sys::PopActiveSnapshot();
        pg_sys::CommandCounterIncrement();
        Ok(keys)
    }
}

/// How many keys a statement that begins now sees in a log.
///
/// # Errors
/// If the log is gone.
pub fn count(log: Oid) -> Result<i64, ErrorReport> {
    let mut count = 0;
    look(log, |_| {
        count += 1;
        true
    })?;
    Ok(count)
}

/// Whether somebody has removed everything at once, and committed it by now.
///
/// # Errors
/// If the log is gone.
pub fn is_truncated_now(log: Oid) -> Result<bool, ErrorReport> {
    let mut truncated = false;
    look(log, |is_truncation| {
        truncated = is_truncation;
        !truncated
    })?;
    Ok(truncated)
}

/// Shows the rows that are committed by now until `each` has seen enough.
fn look(log: Oid, mut each: impl FnMut(bool) -> bool) -> Result<(), ErrorReport> {
    // SAFETY: in a transaction; the snapshot is registered meanwhile.
    unsafe {
        let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot());
        let mut scan = Scan::begin(log, pg_sys::AccessShareLock, snapshot)?;
        while scan.next() {
            if !each(scan.is_truncation()) {
                break;
            }
        }
        scan.end();
        pg_sys::UnregisterSnapshot(snapshot);
        Ok(())
    }
}
