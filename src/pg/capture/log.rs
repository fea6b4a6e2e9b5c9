//! The log of changes: its keys taken out, for rows to be looked up by.
//!
//! Taken out is exactly what the transaction's snapshot sees. What commits
//! later is seen later, whatever its place in the log: so nothing is lost, and
//! no order of the changes is needed.

use std::cell::RefCell;
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
    /// Takes a row out of the log.
    ///
    /// # Safety
    /// Of a row that the scan's transaction may delete.
    unsafe fn take(&mut self, scan: &Scan, row: pg_sys::HeapTuple) {
        // SAFETY: as above; the store copies the row.
        unsafe {
            if scan.is_truncation(row) {
                self.truncated = true;
            } else {
                pg_sys::tuplestore_puttuple(self.store, row);
            }
            pg_sys::simple_heap_delete(scan.relation, &raw mut (*row).t_self);
        }
        self.count += 1;
    }

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

thread_local! {
    /// The log that was read last, and its pages that had nothing more to tell.
    static SETTLED: RefCell<(Oid, Vec<pg_sys::XLogRecPtr>)> = const { RefCell::new((Oid::INVALID, Vec::new())) };
}

/// An open log, read page by page.
///
/// Nobody takes the place of dead rows away while an old snapshot is in use,
/// so a log may become long. A page whose rows were all taken out by committed
/// transactions is therefore remembered by its LSN, and passed over as long as
/// it has the same: whatever writes to a page gives it another.
struct Scan {
    relation: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
    next: u32,
    pages: u32,
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
            // After the snapshot was taken: what it sees is in these pages.
            let pages = pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM);
            SETTLED.with_borrow_mut(|(known, settled)| {
                if *known != log {
                    *known = log;
                    settled.clear();
                }
                settled.resize(pages as usize, 0);
            });
            Ok(Self { relation, snapshot, next: 0, pages })
        }
    }

    /// Copies of the rows of the next page that has any; None at the end.
    ///
    /// # Safety
    /// Begun and not ended.
    unsafe fn next(&mut self) -> Option<Vec<pg_sys::HeapTuple>> {
        while self.next < self.pages {
            pgrx::check_for_interrupts!();
            let page = self.next;
            self.next += 1;
            // SAFETY: a page that is there; nobody shortens a log.
            let rows = unsafe { self.read(page) };
            if !rows.is_empty() {
                return Some(rows);
            }
        }
        None
    }

    /// # Safety
    /// Of a page that the log has.
    unsafe fn read(&self, block: u32) -> Vec<pg_sys::HeapTuple> {
        let mut rows = Vec::new();
        // SAFETY: the buffer is pinned and locked while it is looked at; what is kept is copied.
        unsafe {
            let fork = pg_sys::ForkNumber::MAIN_FORKNUM;
            let mode = pg_sys::ReadBufferMode::RBM_NORMAL;
            let buffer = pg_sys::ReadBufferExtended(self.relation, fork, block, mode, null_mut());
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let lsn = pg_sys::BufferGetLSNAtomic(buffer);
            if lsn != 0 && SETTLED.with_borrow(|(_, settled)| settled[block as usize]) == lsn {
                pg_sys::UnlockReleaseBuffer(buffer);
                return rows;
            }
            let page = pg_sys::BufferGetPage(buffer);
            let mut is_settled = true;
            for offset in 1..=pg_sys::PageGetMaxOffsetNumber(page) {
                let item = pg_sys::PageGetItemId(page, offset);
                if (*item).lp_flags() != pg_sys::LP_NORMAL {
                    continue;
                }
                let mut row = pg_sys::HeapTupleData {
                    t_len: (*item).lp_len(),
                    t_tableOid: (*self.relation).rd_id,
                    t_data: pg_sys::PageGetItem(page, item).cast(),
                    ..Default::default()
                };
                pgrx::itemptr::item_pointer_set_all(&mut row.t_self, block, offset);
                if pg_sys::HeapTupleSatisfiesVisibility(&raw mut row, self.snapshot, buffer) {
                    rows.push(pg_sys::heap_copytuple(&raw mut row));
                }
                let state = pg_sys::HeapTupleSatisfiesVacuum(&raw mut row, pg_sys::RecentXmin, buffer);
                is_settled &= matches!(
                    state,
                    pg_sys::HTSV_Result::HEAPTUPLE_DEAD | pg_sys::HTSV_Result::HEAPTUPLE_RECENTLY_DEAD
                );
            }
            pg_sys::UnlockReleaseBuffer(buffer);
            SETTLED
                .with_borrow_mut(|(_, settled)| settled[block as usize] = if is_settled { lsn } else { 0 });
        }
        rows
    }

    /// Whether a row says that everything was removed.
    ///
    /// # Safety
    /// Of a row of this log.
    unsafe fn is_truncation(&self, row: pg_sys::HeapTuple) -> bool {
        // SAFETY: an identity has at least one column.
        unsafe { pg_sys::heap_attisnull(row, 1, (*self.relation).rd_att) }
    }

    /// # Safety
    /// Begun and not ended.
    unsafe fn end(self) {
        // SAFETY: as above.
        unsafe { pg_sys::table_close(self.relation, pg_sys::NoLock as pg_sys::LOCKMODE) };
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
        while let Some(rows) = scan.next() {
            for row in rows {
                if keys.count >= limit {
                    keys.left += 1;
                } else {
                    keys.take(&scan, row);
                }
                pg_sys::heap_freetuple(row);
            }
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
        'all: while let Some(rows) = scan.next() {
            for row in rows {
                let goes_on = each(scan.is_truncation(row));
                pg_sys::heap_freetuple(row);
                if !goes_on {
                    break 'all;
                }
            }
        }
        scan.end();
        pg_sys::UnregisterSnapshot(snapshot);
        Ok(())
    }
}
