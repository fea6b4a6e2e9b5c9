//! Sketches in shared memory, found by database, column and access.
//!
//! Of fixed size: sixteen parts with a lock and 32 sketches each, about 5 MB.
//! A sample never waits: if the lock of its part is taken, or the part has no
//! sketch free, it is dropped and counted as such. The worker takes sketches
//! out and writes them down; where no worker comes, the longest untouched one
//! gives way after an hour.
//!
//! Nothing of PostgreSQL is called while a lock is held, so nothing can raise
//! an error then.

use std::sync::atomic::AtomicPtr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use pgrx::pg_guard;
use pgrx::pg_sys;

use crate::model::sample::Access;
use crate::model::sample::Sketch;
use crate::model::sample::random::Random;
use crate::pg::sample::plan::Use;

const PARTS: usize = 16;
const SKETCHES: usize = 32;

/// Microseconds after which an untouched sketch may give way to another.
const UNTOUCHED_MAX: i64 = 3_600_000_000;

/// Whose a sketch is.
#[derive(Clone, Copy)]
#[repr(C)]
struct Owner {
    used: bool,
    access: u8,
    attribute: i16,
    database: u32,
    relation: u32,
    /// When it was last added to, in microseconds of the server's clock.
    touched: i64,
}

#[repr(C)]
struct Part {
    owners: [Owner; SKETCHES],
    sketches: [Sketch; SKETCHES],
}

#[repr(C)]
struct Memory {
    taken: AtomicU64,
    busy: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
    parts: [Part; PARTS],
}

/// Set once, by the postmaster; its children inherit both.
static MEMORY: AtomicPtr<Memory> = AtomicPtr::new(std::ptr::null_mut());
static LOCKS: AtomicPtr<pg_sys::LWLockPadded> = AtomicPtr::new(std::ptr::null_mut());

const NAME: &std::ffi::CStr = c"pg_presplit sample";

/// What became of samples since the server started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Added to a sketch.
    pub taken: u64,
    /// Dropped because somebody else was at the sketch.
    pub busy: u64,
    /// Dropped because there was no sketch left.
    pub full: u64,
    /// Executions whose look ended in an error.
    pub failed: u64,
}

/// A sketch of this database.
pub struct Sampled {
    pub relation: u32,
    pub attribute: i16,
    pub access: Access,
    pub sketch: Sketch,
}

static PREVIOUS_REQUEST: std::sync::OnceLock<pg_sys::shmem_request_hook_type> = std::sync::OnceLock::new();
static PREVIOUS_STARTUP: std::sync::OnceLock<pg_sys::shmem_startup_hook_type> = std::sync::OnceLock::new();

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
        pg_sys::RequestNamedLWLockTranche(NAME.as_ptr(), PARTS as i32);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn on_startup() {
    // SAFETY: called by the postmaster, which is alone, also after a crash of
    // one of its children. All bytes zero are valid for `Memory`, and a sketch
    // is cleared when it gets an owner: only the owners and counts are zeroed
    // here, so that what is never used is never touched.
    unsafe {
        if let Some(previous) = PREVIOUS_STARTUP.get().copied().flatten() {
            previous();
        }
        let mut found = false;
        let memory = pg_sys::ShmemInitStruct(NAME.as_ptr(), size_of::<Memory>(), &mut found).cast::<Memory>();
        if !found {
            for count in [
                &raw mut (*memory).taken,
                &raw mut (*memory).busy,
                &raw mut (*memory).full,
                &raw mut (*memory).failed,
            ] {
                count.write(AtomicU64::new(0));
            }
            for part in 0..PARTS {
                (&raw mut (*memory).parts[part].owners).write_bytes(0, 1);
            }
        }
        LOCKS.store(pg_sys::GetNamedLWLockTranche(NAME.as_ptr()), Ordering::Release);
        MEMORY.store(memory, Ordering::Release);
    }
}

/// Whether there is any memory.
pub fn is_there() -> bool {
    !MEMORY.load(Ordering::Acquire).is_null()
}

fn memory() -> Option<*mut Memory> {
    let memory = MEMORY.load(Ordering::Acquire);
    (!memory.is_null()).then_some(memory)
}

/// A part that is locked as long as this lives.
struct Locked {
    part: *mut Part,
    lock: *mut pg_sys::LWLock,
}

impl Locked {
    /// # Safety
    /// `memory` is ours, `part` less than [`PARTS`].
    unsafe fn new(memory: *mut Memory, part: usize, wait: bool) -> Option<Self> {
        // SAFETY: there are as many locks as parts.
        unsafe {
            let lock = &raw mut (*LOCKS.load(Ordering::Acquire).add(part)).lock;
            if wait {
                pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE);
            } else if !pg_sys::LWLockConditionalAcquire(lock, pg_sys::LWLockMode::LW_EXCLUSIVE) {
                return None;
            }
            Some(Self { part: &raw mut (*memory).parts[part], lock })
        }
    }

    fn part(&mut self) -> &mut Part {
        // SAFETY: in shared memory that is never freed, ours while the lock is held.
        unsafe { &mut *self.part }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: it was acquired in `new`.
        unsafe { pg_sys::LWLockRelease(self.lock) };
    }
}

impl Part {
    /// The sketch of this owner: its own, a free one, or one that nobody has
    /// touched for long.
    fn claim(&mut self, wanted: Owner) -> Option<&mut Sketch> {
        let same = |owner: &Owner| {
            owner.used
                && (owner.database, owner.relation, owner.attribute, owner.access)
                    == (wanted.database, wanted.relation, wanted.attribute, wanted.access)
        };
        if let Some(at) = self.owners.iter().position(same) {
            self.owners[at].touched = wanted.touched;
            return self.sketches.get_mut(at);
        }
        let stale = |owner: &Owner| wanted.touched - owner.touched > UNTOUCHED_MAX;
        let at = self.owners.iter().position(|owner| !owner.used || stale(owner))?;
        self.owners[at] = wanted;
        self.sketches[at].clear();
        self.sketches.get_mut(at)
    }
}

/// Adds what one execution used, which stands for `executions`.
pub fn add(uses: &[Use], executions: f64, mut random: Random) {
    let Some(memory) = memory() else { return };
    for one in uses {
        let owner = Owner {
            used: true,
            access: one.access as u8,
            attribute: one.attribute,
            // SAFETY: plain reads of variables of the process.
            database: unsafe { pg_sys::MyDatabaseId }.to_u32(),
            relation: one.relation.to_u32(),
            // SAFETY: as above; good enough for what is counted in hours.
            touched: unsafe { pg_sys::GetCurrentStatementStartTimestamp() },
        };
        // SAFETY: the memory is there, the part below the number of parts.
        unsafe {
            let count = match Locked::new(memory, part_of(&owner), false) {
                None => &(*memory).busy,
                Some(mut locked) => match locked.part().claim(owner) {
                    None => &(*memory).full,
                    Some(sketch) => {
                        sketch.add(executions, &one.values, one.keep, &mut random);
                        &(*memory).taken
                    }
                },
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn part_of(owner: &Owner) -> usize {
    let column = (u64::from(owner.relation) << 32)
        ^ u64::from(owner.database).rotate_left(20)
        ^ (u64::from(owner.attribute.unsigned_abs()) << 8)
        ^ u64::from(owner.access);
    (Random::new(column).bits() % PARTS as u64) as usize
}

/// Counts an execution whose look ended in an error.
pub fn count_failure() {
    if let Some(memory) = memory() {
        // SAFETY: an atomic in shared memory.
        unsafe { (*memory).failed.fetch_add(1, Ordering::Relaxed) };
    }
}

/// What became of samples; none if there is no memory.
pub fn counts() -> Option<Counts> {
    let memory = memory()?;
    // SAFETY: atomics in shared memory.
    unsafe {
        Some(Counts {
            taken: (*memory).taken.load(Ordering::Relaxed),
            busy: (*memory).busy.load(Ordering::Relaxed),
            full: (*memory).full.load(Ordering::Relaxed),
            failed: (*memory).failed.load(Ordering::Relaxed),
        })
    }
}

/// The sketches of this database, as they are.
pub fn snapshot() -> Vec<Sampled> {
    collect(false)
}

/// The sketches of this database, taken out.
pub fn drain() -> Vec<Sampled> {
    collect(true)
}

fn collect(take: bool) -> Vec<Sampled> {
    let Some(memory) = memory() else { return Vec::new() };
    // SAFETY: plain read of a variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    let mut found = Vec::new();
    for part in 0..PARTS {
        // SAFETY: the memory is there, the part below the number of parts.
        let Some(mut locked) = (unsafe { Locked::new(memory, part, true) }) else { continue };
        let part = locked.part();
        for (owner, sketch) in part.owners.iter_mut().zip(&part.sketches) {
            let access = Access::ALL.into_iter().find(|access| *access as u8 == owner.access);
            if let Some(access) = access
                && owner.used
                && owner.database == database
            {
                found.push(Sampled {
                    relation: owner.relation,
                    attribute: owner.attribute,
                    access,
                    sketch: *sketch,
                });
                owner.used = !take;
            }
        }
    }
    found
}
