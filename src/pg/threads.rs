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

fn block_signals() {
    // SAFETY: a signal set on this thread's stack, filled before it is used;
    // the mask is that of this thread alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}
