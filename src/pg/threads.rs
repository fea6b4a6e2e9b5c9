//! Threads for pure work inside a backend.
//!
//! PostgreSQL knows one thread: others must neither call it nor run its signal
//! handlers. So every signal is blocked in these threads, and nothing of this
//! room is to be called from them; `pgrx` ends a thread that tries.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;

use crate::pg::server::cores;

static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();

/// How long the backend sleeps between two looks at its interrupts.
const NAP: Duration = Duration::from_millis(20);

/// Runs `work`, which must be pure, where `rayon` finds the threads; on the
/// calling thread if there are none to be had.
///
/// While the threads work the backend waits and looks whether it is to cancel
/// or to die. If so, `work`'s argument says that it must end, which it has to
/// ask often; only when all of its threads have ended is the interrupt
/// processed, so that none outlives the ERROR.
pub fn on_threads<R: Send>(work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> R + Send) -> R {
    let result = match POOL.get_or_init(pool) {
        Some(pool) => waited_for(pool, work),
        None => work(&interrupted),
    };
    pgrx::check_for_interrupts!();
    result
}

/// Runs `work` in the pool, this thread waiting for its end.
fn waited_for<R: Send>(pool: &ThreadPool, work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> R + Send) -> R {
    let stop = AtomicBool::new(false);
    let told = || stop.load(Ordering::Relaxed);
    let (outcome, ended) = (Mutex::new(None), Condvar::new());
    let lock = || outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = pool.in_place_scope(|scope| {
        scope.spawn(|_| {
            // A panic must not leave the backend waiting; it is raised there.
            let found = catch_unwind(AssertUnwindSafe(|| work(&told)));
            *lock() = Some(found);
            ended.notify_all();
        });
        let mut found = lock();
        loop {
            if let Some(outcome) = found.take() {
                break outcome;
            }
            if interrupted() {
                stop.store(true, Ordering::Relaxed);
            }
            found = ended.wait_timeout(found, NAP).unwrap_or_else(PoisonError::into_inner).0;
        }
    });
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Whether the backend is to cancel its statement or to die.
fn interrupted() -> bool {
    // SAFETY: flags of this process that signal handlers set; they are read as
    // C reads `volatile sig_atomic_t`.
    unsafe {
        std::ptr::read_volatile(&raw const pgrx::pg_sys::QueryCancelPending) != 0
            || std::ptr::read_volatile(&raw const pgrx::pg_sys::ProcDiePending) != 0
    }
}

/// Runs `work`, which must be pure but for files and pipes, beside the backend.
///
/// # Errors
/// The system's, if there is no thread to be had.
pub fn beside(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    // A thread begins with its maker's mask, so that no signal comes before
    // it has one of its own.
    let before = block_signals();
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    // SAFETY: puts this thread's mask back as it was.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    spawned.map(drop)
}

fn pool() -> Option<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(cores() as usize)
        .spawn_handler(|thread| {
            let builder = std::thread::Builder::new().name(format!("presplit {}", thread.index()));
            builder.spawn(move || {
                block_signals();
                thread.run();
            })?;
            Ok(())
        })
        .build()
        .ok()
}

/// Blocks every signal in this thread; returns what was blocked before.
fn block_signals() -> libc::sigset_t {
    // SAFETY: signal sets on this thread's stack, filled before they are used;
    // the mask is that of this thread alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        before
    }
}

#[cfg(feature = "pg_test")]
#[pgrx::pg_schema]
#[expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use pgrx::pg_sys::panic::CaughtError;
    use pgrx::pg_test;
    use pgrx::prelude::*;
    use rayon::iter::IntoParallelIterator;
    use rayon::iter::ParallelIterator;

    use super::on_threads;

    static BUSY: AtomicUsize = AtomicUsize::new(0);

    /// Works on all threads until it is told to end; how many did.
    fn until_told(told: &(dyn Fn() -> bool + Sync)) -> usize {
        let work = |_| {
            BUSY.fetch_add(1, Ordering::SeqCst);
            while !told() {
                std::thread::sleep(Duration::from_millis(1));
            }
            BUSY.fetch_sub(1, Ordering::SeqCst);
            1
        };
        (0..4).into_par_iter().map(work).sum()
    }

    /// The SQLSTATE of an error that a signal from outside causes in the midst
    /// of the work.
    fn raised_by(signal: libc::c_int) -> PgSqlErrorCode {
        // SAFETY: this process's number.
        let me = unsafe { libc::getpid() };
        super::beside("alarm", move || {
            std::thread::sleep(Duration::from_millis(100));
            // SAFETY: a signal to this process; the backend's handler takes it.
            unsafe { libc::kill(me, signal) };
        })
        .expect("a thread");
        PgTryBuilder::new(|| {
            on_threads(until_told);
            PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION
        })
        .catch_others(|error| match error {
            CaughtError::PostgresError(error) | CaughtError::ErrorReport(error) => error.sql_error_code(),
            CaughtError::RustPanic { .. } => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        })
        .execute()
    }

    #[pg_test]
    fn threads_end_before_a_cancel_is_raised() {
        for _ in 0..3 {
            assert_eq!(raised_by(libc::SIGINT), PgSqlErrorCode::ERRCODE_QUERY_CANCELED);
            assert_eq!(BUSY.load(Ordering::SeqCst), 0);
        }
        // The pool is as good as before.
        assert_eq!(on_threads(|told| (0..100).into_par_iter().filter(|_| !told()).count()), 100);
    }

    #[pg_test]
    fn a_panic_of_a_thread_is_an_error() {
        let raised = PgTryBuilder::new(|| {
            on_threads(|_| (0..4).into_par_iter().for_each(|at| assert!(at < 3)));
            false
        });
        assert!(raised.catch_others(|_| true).execute());
        assert_eq!(on_threads(|_| 7), 7);
    }
}
