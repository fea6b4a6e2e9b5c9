//! The executor hook that samples values of key columns.
//!
//! `presplit.sample_rate` of all executions are looked at: at the start of
//! one, its plan tells which columns it compares with which values
//! ([`plan`], [`condition`]); what can become a key ([`column`]) goes in text
//! form ([`value`]) into sketches in shared memory ([`shared`]).
//!
//! Invariants: a statement never notices. Every error in here is caught,
//! interrupts are held meanwhile, memory and time are bounded, nothing of a
//! user's is called, and no lock is waited for but those that every look-up
//! in a catalog takes. Other extensions' hooks are chained.

mod column;
mod condition;
mod plan;
mod shared;
mod value;

use std::cell::Cell;
use std::ffi::c_int;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;

use pgrx::PgTryBuilder;
use pgrx::pg_sys;

use crate::model::sample::random::Random;
use crate::model::sample::random::skipped;
use crate::pg::guc;

pub use crate::pg::sample::shared::counts;
pub use crate::pg::sample::shared::drain;
pub use crate::pg::sample::shared::snapshot;

static PREVIOUS: OnceLock<pg_sys::ExecutorStart_hook_type> = OnceLock::new();

unsafe extern "C-unwind" {
    /// The server's own function without the guard that pgrx puts around it:
    /// errors jump over our frame, which owns nothing while it calls this.
    #[link_name = "standard_ExecutorStart"]
    fn server_executor_start(query: *mut pg_sys::QueryDesc, flags: c_int);
}

/// How far it is to the next execution that is drawn.
#[derive(Clone, Copy)]
struct Turn {
    /// The rate that the distance was drawn with.
    rate: f64,
    left: u64,
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn { rate: 0.0, left: 0 }) };
    /// Emptied after each sample; made at the first.
    static MEMORY: Cell<pg_sys::MemoryContext> = const { Cell::new(std::ptr::null_mut()) };
}

/// Registers the hook, and the shared memory if the library is being
/// preloaded; called once, from `_PG_init`.
pub fn install() {
    // SAFETY: library initialisation on the main thread; the previous hook is
    // kept and called by ours.
    unsafe {
        if PREVIOUS.set(pg_sys::ExecutorStart_hook).is_ok() {
            pg_sys::ExecutorStart_hook = Some(executor_start);
        }
    }
    shared::request();
}

/// A source of random numbers, seeded by the server's own.
#[must_use]
pub fn random() -> Random {
    // SAFETY: the state belongs to this process and was seeded at its start.
    Random::new(unsafe { pg_sys::pg_prng_uint64(&raw mut pg_sys::pg_global_prng_state) })
}

unsafe extern "C-unwind" fn executor_start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: the server's own calling convention, arguments as we got them.
    unsafe {
        match PREVIOUS.get().copied().flatten() {
            Some(previous) => previous(query, flags),
            None => server_executor_start(query, flags),
        }
    }
    let rate = guc::sample_rate();
    if rate > 0.0 && is_drawn(rate) {
        sample(query, flags, rate);
    }
}

/// Counts down to the next execution that is drawn.
fn is_drawn(rate: f64) -> bool {
    let mut turn = TURN.get();
    #[expect(clippy::float_cmp, reason = "whether it is still the very same setting")]
    if turn.rate != rate {
        turn = Turn { rate, left: skipped(rate, &mut random()) };
    }
    let drawn = turn.left == 0;
    turn.left = if drawn { skipped(rate, &mut random()) } else { turn.left - 1 };
    TURN.set(turn);
    drawn
}

#[cold]
fn sample(query: *mut pg_sys::QueryDesc, flags: c_int, rate: f64) {
    // A parallel worker runs a part of what its leader has counted; EXPLAIN
    // without ANALYZE runs nothing.
    // SAFETY: plain read of a variable of the process.
    let worker = unsafe { pg_sys::ParallelWorkerNumber } >= 0;
    if worker || flags & (pg_sys::EXEC_FLAG_EXPLAIN_ONLY as c_int) != 0 || !shared::is_there() {
        return;
    }
    let done = quietly(|| {
        // SAFETY: a context of our own for the life of the process, entered
        // here and left by `quietly`; the query is the one that has just been
        // started, so its plan and parameters are alive.
        unsafe {
            if MEMORY.get().is_null() {
                MEMORY.set(pg_sys::AllocSetContextCreateInternal(
                    pg_sys::TopMemoryContext,
                    c"pg_presplit sample".as_ptr(),
                    pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                    pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                    pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
                ));
            }
            pg_sys::MemoryContextSwitchTo(MEMORY.get());
            let schema = pg_sys::get_namespace_oid(c"presplit".as_ptr(), true);
            // Without the extension nobody would ever read what is sampled.
            if schema != pg_sys::InvalidOid {
                shared::add(&plan::uses(query, schema), 1.0 / rate, random());
            }
        }
    });
    if !MEMORY.get().is_null() {
        // SAFETY: our own context, which nothing points into any more.
        unsafe { pg_sys::MemoryContextReset(MEMORY.get()) };
    }
    if done.is_none() {
        shared::count_failure();
    }
}

/// Runs `work` without anybody noticing: interrupts wait, and an error is
/// forgotten. There is no subtransaction, which a parallel operation would not
/// allow: `work` must hold nothing that one would have to give back.
fn quietly<R>(work: impl FnOnce() -> R) -> Option<R> {
    // SAFETY: what the server keeps per process is read before and put back
    // after, also after an error, which resets the counts of held interrupts.
    unsafe {
        let interrupts = pg_sys::InterruptHoldoffCount;
        let cancels = pg_sys::QueryCancelHoldoffCount;
        let memory = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::InterruptHoldoffCount = interrupts + 1;
        let result = PgTryBuilder::new(AssertUnwindSafe(|| Some(work())))
            .catch_others(|_| None)
            .catch_rust_panic(|_| None)
            .execute();
        pg_sys::InterruptHoldoffCount = interrupts;
        pg_sys::QueryCancelHoldoffCount = cancels;
        pg_sys::MemoryContextSwitchTo(memory);
        pg_sys::CurrentResourceOwner = owner;
        result
    }
}

#[cfg(feature = "pg_test")]
mod tests;
