//! The shared memory that running operations are seen in: a fixed number of
//! places under one lock.
//!
//! A place is its operation's until the transaction commits, or, if it came to
//! nothing, until the worker has written that down. When no place is free,
//! the oldest operation that is over gives way; when all run, the next is not
//! seen until it is over.
//!
//! Nothing of PostgreSQL is called while the lock is held, so nothing can
//! raise an error then.

use std::sync::OnceLock;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering;

use pgrx::pg_guard;
use pgrx::pg_sys;

/// Operations of all databases that are seen at a time.
const PLACES: usize = 128;

const NAME: &std::ffi::CStr = c"pg_presplit operations";

/// What a place holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    Free,
    Running,
    /// Its work is done, its transaction is open.
    Done,
    /// It came to nothing, which is to be written down.
    Ended,
}

/// A text of limited length.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Text<const BYTES: usize> {
    length: u16,
    bytes: [u8; BYTES],
}

impl<const BYTES: usize> Text<BYTES> {
    /// As much of a text as there is room for.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let length = (0..=text.len().min(BYTES)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let mut bytes = [0; BYTES];
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self { length: length as u16, bytes }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = usize::from(self.length).min(BYTES);
        std::str::from_utf8(&self.bytes[..length]).unwrap_or_default()
    }
}

/// An operation. All bytes zero are a free place. Moments are PostgreSQL's, in
/// microseconds since 2000.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Entry {
    pub state: u8,
    /// Places in [`crate::model::operation::Kind::ALL`] and [`crate::model::operation::Phase::ALL`].
    pub kind: u8,
    pub phase: u8,
    /// Its transaction does not see what others write down of it meanwhile, and would
    /// fail by it.
    pub is_isolated: bool,
    pub pid: i32,
    pub database: u32,
    pub relation: u32,
    pub user: u32,
    pub id: i64,
    pub started: i64,
    pub finished: i64,
    pub rows: i64,
    pub bytes: i64,
    /// 0 = not known.
    pub bytes_total: i64,
    pub schema: Text<64>,
    pub table: Text<64>,
    pub detail: Text<256>,
    pub error: Text<512>,
}

#[repr(C)]
struct Memory {
    entries: [Entry; PLACES],
}

/// Set once, by the postmaster; its children inherit both.
static MEMORY: AtomicPtr<Memory> = AtomicPtr::new(std::ptr::null_mut());
static LOCK: AtomicPtr<pg_sys::LWLockPadded> = AtomicPtr::new(std::ptr::null_mut());

static PREVIOUS_REQUEST: OnceLock<pg_sys::shmem_request_hook_type> = OnceLock::new();
static PREVIOUS_STARTUP: OnceLock<pg_sys::shmem_startup_hook_type> = OnceLock::new();

/// Asks for the memory if the library is being preloaded.
pub fn request() {
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
    // one of its children.
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

/// Does something with all places while nobody else does; none if there is no memory.
fn locked<R>(work: impl FnOnce(&mut [Entry; PLACES]) -> R) -> Option<R> {
    let memory = MEMORY.load(Ordering::Acquire);
    if memory.is_null() {
        return None;
    }
    // SAFETY: memory that is never freed, ours while the lock is held.
    unsafe {
        let lock = &raw mut (*LOCK.load(Ordering::Acquire)).lock;
        pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
        let result = work(&mut (*memory).entries);
        pg_sys::LWLockRelease(lock);
        Some(result)
    }
}

/// A place for an operation, if there is one.
pub fn claim(entry: &Entry) -> Option<usize> {
    locked(|entries| {
        let oldest = |state: State| {
            let of_state = |at: &usize| entries[*at].state == state as u8;
            (0..PLACES).filter(of_state).min_by_key(|at| entries[*at].finished)
        };
        let place = oldest(State::Free).or_else(|| oldest(State::Ended)).or_else(|| oldest(State::Done))?;
        entries[place] = *entry;
        Some(place)
    })
    .flatten()
}

/// Changes an operation, if the place is still its own.
pub fn change(place: usize, id: i64, how: impl FnOnce(&mut Entry)) {
    // SAFETY: a plain read of a variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    locked(|entries| {
        if let Some(entry) = entries.get_mut(place)
            && entry.id == id
            && entry.database == database
            && entry.state != State::Free as u8
        {
            how(entry);
        }
    });
}

/// Frees the place of an operation.
pub fn release(place: usize, id: i64) {
    change(place, id, |entry| entry.state = State::Free as u8);
}

/// Frees the places of operations that came to nothing, which is written down.
pub fn release_ended(ids: &[i64]) {
    // SAFETY: a plain read of a variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    locked(|entries| {
        for entry in entries.iter_mut() {
            if entry.state == State::Ended as u8 && entry.database == database && ids.contains(&entry.id) {
                entry.state = State::Free as u8;
            }
        }
    });
}

/// The operations of this database.
pub fn all() -> Vec<Entry> {
    // SAFETY: a plain read of a variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    let mut found = Vec::with_capacity(PLACES);
    locked(|entries| {
        let of_here = |entry: &&Entry| entry.state != State::Free as u8 && entry.database == database;
        found.extend(entries.iter().filter(of_here).copied());
    });
    found
}
