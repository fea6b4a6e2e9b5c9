//! Tables whose last rows some snapshots do not see although they should: who
//! would read one by such a snapshot is told to begin his transaction again.
//!
//! Rows that have moved were written anew, by a transaction that is younger
//! than many a snapshot. Whoever moves them waits for these, but cannot for
//! those of sessions that wait for him: so he says here which transaction of
//! his has written the last rows of which tables, before he lets anybody in.
//! A statement compares its snapshot with that when its execution begins; one
//! comparison of numbers is all that it costs where nothing has moved lately.
//!
//! In shared memory, so only where the library is preloaded; no snapshot
//! outlives a crash, nor does this memory. Nothing of PostgreSQL is called
//! while the lock is held, so nothing can raise an error then.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use pgrx::PgList;
use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;

use crate::model::report::SqlState;
use crate::pg::error;

/// Moves that are remembered: the oldest gives way.
const PLACES: usize = 128;

/// Tables of one move.
pub const TABLES_MAX: usize = 24;

const NAME: &std::ffi::CStr = c"pg_presplit unseen";

/// All bytes zero are a free place.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry {
    /// Which has written the last rows; 0 = free.
    transaction: u64,
    database: u32,
    tables: [u32; TABLES_MAX],
}

#[repr(C)]
struct Memory {
    /// The youngest of all transactions that were ever put in.
    youngest: AtomicU64,
    entries: [Entry; PLACES],
}

/// Set once, by the postmaster; its children inherit both.
static MEMORY: AtomicPtr<Memory> = AtomicPtr::new(std::ptr::null_mut());
static LOCK: AtomicPtr<pg_sys::LWLockPadded> = AtomicPtr::new(std::ptr::null_mut());

static PREVIOUS_REQUEST: OnceLock<pg_sys::shmem_request_hook_type> = OnceLock::new();
static PREVIOUS_STARTUP: OnceLock<pg_sys::shmem_startup_hook_type> = OnceLock::new();
static PREVIOUS: OnceLock<pg_sys::ExecutorStart_hook_type> = OnceLock::new();

unsafe extern "C-unwind" {
    /// The server's own function without the guard that pgrx puts around it:
    /// errors jump over our frame, which owns nothing while it calls this.
    #[link_name = "standard_ExecutorStart"]
    fn server_executor_start(query: *mut pg_sys::QueryDesc, flags: c_int);
}

/// Asks for the memory and watches executions, if the library is being
/// preloaded: otherwise there would be sessions that nobody watches.
pub fn install() {
    // SAFETY: flags and hooks of the postmaster while it loads libraries; the
    // previous hooks are kept and called by ours.
    unsafe {
        if !pg_sys::process_shared_preload_libraries_in_progress || pg_sys::IsBinaryUpgrade {
            return;
        }
        let _ = PREVIOUS_REQUEST.set(pg_sys::shmem_request_hook);
        pg_sys::shmem_request_hook = Some(on_request);
        let _ = PREVIOUS_STARTUP.set(pg_sys::shmem_startup_hook);
        pg_sys::shmem_startup_hook = Some(on_startup);
        if PREVIOUS.set(pg_sys::ExecutorStart_hook).is_ok() {
            pg_sys::ExecutorStart_hook = Some(executor_start);
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_request() {
    // SAFETY: called by the postmaster where requests are allowed.
    unsafe {
        if let Some(previous) = PREVIOUS_REQUEST.get().copied().flatten() {
            previous();
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Memory>());
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), 1);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    // SAFETY: called by the postmaster, which is alone, also after a crash of
    // one of its children. All bytes zero are valid.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP.get().copied().flatten() {
            previous();
        }
        let mut found = false;
        let memory = pg_sys::ShmemInitStruct(NAME.as_ptr(), size_of::<Memory>(), &mut found).cast::<Memory>();
        if !found {
            memory.write_bytes(0, 1);
        }
        LOCK.store(pg_sys::GetNamedLWLockTranche(NAME.as_ptr()), Ordering::Release);
        MEMORY.store(memory, Ordering::Release);
    }
}

/// Does something with all places while nobody else does, or nobody else
/// changes them; none if there is no memory.
fn locked<R>(mode: pg_sys::LWLockMode::Type, work: impl FnOnce(*mut Memory) -> R) -> Option<R> {
    let memory = MEMORY.load(Ordering::Acquire);
    if memory.is_null() {
        return None;
    }
    // SAFETY: memory that is never freed; `work` keeps to what the lock's mode allows.
    unsafe {
        let lock = &raw mut (*LOCK.load(Ordering::Acquire)).lock;
        pg_sys::LWLockAcquire(lock, mode);
        let result = work(memory);
        pg_sys::LWLockRelease(lock);
        Some(result)
    }
}

fn database() -> u32 {
    // SAFETY: a plain read of a variable of the process.
    unsafe { pg_sys::MyDatabaseId }.to_u32()
}

/// From now on who reads one of these tables by a snapshot that does not see
/// `transaction` is refused. To be said before anybody can read them.
pub fn put(transaction: u64, tables: &[u32]) {
    let mut entry = Entry { transaction, database: database(), tables: [0; TABLES_MAX] };
    for (to, from) in entry.tables.iter_mut().zip(tables) {
        *to = *from;
    }
    locked(pg_sys::LWLockMode::LW_EXCLUSIVE, |memory| {
        // SAFETY: ours while the lock is held.
        unsafe {
            let entries = &mut (*memory).entries;
            if let Some(place) = entries.iter_mut().min_by_key(|entry| entry.transaction) {
                *place = entry;
            }
            (*memory).youngest.fetch_max(transaction, Ordering::Release);
        }
    });
}

/// Forgets what was put for a transaction: the tables are not there after all.
pub fn take_back(transaction: u64) {
    locked(pg_sys::LWLockMode::LW_EXCLUSIVE, |memory| {
        // SAFETY: ours while the lock is held.
        let entries = unsafe { &mut (*memory).entries };
        for entry in entries.iter_mut().filter(|entry| entry.transaction == transaction) {
            entry.transaction = 0;
        }
    });
}

unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: the server's own calling convention, arguments as we got them.
    unsafe {
        if may_miss(query) && flags & (pg_sys::EXEC_FLAG_EXPLAIN_ONLY as c_int) == 0 {
            pgrx_extern_c_guard(|| refuse(query));
        }
        match PREVIOUS.get().copied().flatten() {
            Some(previous) => previous(query, flags),
            None => server_executor_start(query, flags),
        }
    }
}

/// Whether a snapshot is older than any move, as far as one number tells it.
fn may_miss(query: *mut pg_sys::QueryDesc) -> bool {
    let memory = MEMORY.load(Ordering::Acquire);
    // SAFETY: memory that is never freed; the query that is about to begin.
    unsafe {
        let youngest = if memory.is_null() { 0 } else { (*memory).youngest.load(Ordering::Acquire) };
        let snapshot = (*query).snapshot;
        youngest > 0
            && !snapshot.is_null()
            && (*snapshot).snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC
            // Transactions before `xmin` are seen; numbers go in a circle, and a wrong yes is set right later.
            && u32::from((*snapshot).xmin).wrapping_sub(youngest as u32) as i32 <= 0
    }
}

/// # Safety
/// The query is about to begin.
#[cold]
unsafe fn refuse(query: *mut pg_sys::QueryDesc) {
    // SAFETY: as above; its plan and snapshot are alive.
    unsafe {
        // A parallel worker runs a part of what its leader was asked about.
        if pg_sys::ParallelWorkerNumber >= 0 {
            return;
        }
        let snapshot = (*query).snapshot;
        let moved: Vec<Entry> = unseen(snapshot);
        if moved.is_empty() {
            return;
        }
        let Some(table) = read_by((*query).plannedstmt)
            .into_iter()
            .find(|table| moved.iter().any(|entry| entry.tables.contains(table)))
        else {
            return;
        };
        let name = pg_sys::get_rel_name(Oid::from(table));
        let name = if name.is_null() {
            table.to_string()
        } else {
            std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned()
        };
        error::raise(error::new(
            SqlState::SerializationFailure,
            format!("could not serialize access due to concurrent resharding of \"{name}\""),
            Some(
                "The rows were moved after the snapshot was taken, which would not see the last of them."
                    .to_owned(),
            ),
            Some("The transaction might succeed if retried.".to_owned()),
        ));
    }
}

/// The moves in this database that a snapshot does not see.
///
/// # Safety
/// A snapshot of the MVCC kind.
unsafe fn unseen(snapshot: pg_sys::Snapshot) -> Vec<Entry> {
    let own = database();
    let found = locked(pg_sys::LWLockMode::LW_SHARED, |memory| {
        // SAFETY: nobody changes them while the lock is held.
        let entries = unsafe { &(*memory).entries };
        entries.iter().filter(|entry| entry.transaction > 0 && entry.database == own).copied().collect()
    });
    let mut found: Vec<Entry> = found.unwrap_or_default();
    // SAFETY: as above. The next number is not far from the snapshot's, so its own is known in full.
    unsafe {
        let next = pg_sys::ReadNextFullTransactionId().value;
        let oldest = next.saturating_sub(u64::from((next as u32).wrapping_sub(u32::from((*snapshot).xmin))));
        found.retain(|entry| {
            entry.transaction >= oldest
                && pg_sys::XidInMVCCSnapshot(pg_sys::TransactionId::from(entry.transaction as u32), snapshot)
        });
    }
    found
}

/// The tables that a statement reads: not those that it only inserts into.
///
/// # Safety
/// A plan that is alive.
unsafe fn read_by(plan: *mut pg_sys::PlannedStmt) -> Vec<u32> {
    // SAFETY: as above; its lists hold what the server says.
    unsafe {
        let inserts = (*plan).commandType == pg_sys::CmdType::CMD_INSERT;
        let inserted = PgList::<std::ffi::c_void>::from_pg((*plan).resultRelations);
        let written: Vec<usize> =
            if inserts { inserted.iter_int().map(|at| at as usize).collect() } else { Vec::new() };
        PgList::<pg_sys::RangeTblEntry>::from_pg((*plan).rtable)
            .iter_ptr()
            .enumerate()
            .filter(|(at, entry)| {
                (**entry).rtekind == pg_sys::RTEKind::RTE_RELATION && !written.contains(&(at + 1))
            })
            .map(|(_, entry)| (*entry).relid.to_u32())
            .collect()
    }
}
