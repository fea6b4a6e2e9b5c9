//! Threads for pure work inside a backend.
//!
//! PostgreSQL knows one thread: others must neither call it nor run its signal
//! handlers. So every signal is blocked in these threads, and nothing of this
//! room is to be called from them; `pgrx` ends a thread that tries.

use std::sync::OnceLock;

use rayon::ThreadPool;
use rayon::ThreadPoolBuilder;

use crate::pg::server::cores;

static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();

/// Runs `work`, which must be pure, where `rayon` finds the threads; on the
/// calling thread if there are none to be had.
pub fn on_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match POOL.get_or_init(pool) {
        Some(pool) => pool.install(work),
        None => work(),
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
