//! Workers that carry operations out: started when the transaction that
//! records an operation commits, in any session that has the library, also
//! where the server has not preloaded it.
//!
//! A worker connects to one database and does what the floor above gives it to
//! do. Nobody starts one again that was ended: the launcher's next look does,
//! where there is a launcher, and whoever waits for the operation.

use std::cell::Cell;
use std::cell::RefCell;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::sync::OnceLock;

use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::pg::guc;
use crate::pg::server;
use crate::pg::transaction;

/// The workers' name in `pg_stat_activity.backend_type`.
pub const WORKER_TYPE: &str = "pg_presplit operation";

/// Settings of a worker's own, whatever the database or its owner has set.
const SETTINGS: &[(&std::ffi::CStr, &std::ffi::CStr)] = &[
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"default_tablespace", c""),
    (c"default_table_access_method", c"heap"),
    (c"session_replication_role", c"origin"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    // Whoever waits for us and for whom we wait finds the worker giving way first; it also makes an
    // autovacuum give way within the time that the worker waits.
    (c"deadlock_timeout", c"20ms"),
    (c"standard_conforming_strings", c"on"),
    (c"quote_all_identifiers", c"off"),
    (c"check_function_bodies", c"off"),
    (c"client_min_messages", c"error"),
    (c"jit", c"off"),
    (c"DateStyle", c"ISO, YMD"),
    (c"IntervalStyle", c"postgres"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
    (c"lc_monetary", c"C"),
    (c"array_nulls", c"on"),
];

static SERVE: OnceLock<fn()> = OnceLock::new();

/// Tells what a worker does; called once, from `_PG_init`.
pub fn register(serve: fn()) {
    let _ = SERVE.set(serve);
}

thread_local! {
    /// Operations that this transaction has something new for.
    static PENDING: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
    /// Workers whose step is to be broken off when it commits.
    static INTERRUPTED: RefCell<Vec<i32>> = const { RefCell::new(Vec::new()) };
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

/// Has a worker started when the transaction commits.
pub fn start_at_commit(operation_id: i64) {
    if !LISTENING.replace(true) {
        // SAFETY: registered once; a plain function that lives as long as the process.
        unsafe { pg_sys::RegisterXactCallback(Some(transaction_ends), std::ptr::null_mut()) };
    }
    PENDING.with_borrow_mut(|pending| pending.push(operation_id));
}

/// Has the step that a worker is at broken off when the transaction commits, so
/// that it looks at once at what is wished. The step is done again otherwise.
pub fn interrupt_at_commit(pid: i32) {
    INTERRUPTED.with_borrow_mut(|pids| pids.push(pid));
}

/// Whether this transaction, which is still open, has something new for an operation.
#[must_use]
pub fn is_pending(operation_id: i64) -> bool {
    PENDING.with_borrow(|pending| pending.contains(&operation_id))
}

unsafe extern "C-unwind" fn transaction_ends(event: pg_sys::XactEvent::Type, _: *mut c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT => {
            for pid in INTERRUPTED.take() {
                // SAFETY: a worker of ours that lived a moment ago; a cancel harms nobody else either.
                unsafe { libc::kill(pid, libc::SIGINT) };
            }
            if !PENDING.take().is_empty() {
                start();
            }
        }
        pg_sys::XactEvent::XACT_EVENT_ABORT | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            INTERRUPTED.take();
            PENDING.take();
        }
        _ => {}
    }
}

/// Asks for a worker in this database; whether there was a place for one. One
/// that finds nothing to do ends at once.
pub fn start() -> bool {
    // It would keep its place until the server is promoted.
    if server::in_recovery() {
        return false;
    }
    let mut worker = pg_sys::BackgroundWorker::default();
    let put = |to: &mut [c_char], text: &str| {
        for (to, from) in to.iter_mut().zip(text.bytes().chain([0])) {
            *to = from as c_char;
        }
    };
    put(&mut worker.bgw_name, WORKER_TYPE);
    put(&mut worker.bgw_type, WORKER_TYPE);
    put(&mut worker.bgw_library_name, "pg_presplit");
    put(&mut worker.bgw_function_name, "presplit_operation_main");
    worker.bgw_flags = (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as i32;
    worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = pg_sys::BGW_NEVER_RESTART;
    // SAFETY: reads the process's own database; without a handle nothing is allocated, so that this
    // may be called at the end of a transaction.
    unsafe {
        worker.bgw_main_arg = pg_sys::Datum::from(pg_sys::MyDatabaseId);
        pg_sys::RegisterDynamicBackgroundWorker(&mut worker, std::ptr::null_mut())
    }
}

/// SIGTERM: the server's own answer to it.
unsafe extern "C-unwind" fn terminate(signal: c_int) {
    // SAFETY: a signal handler of the server.
    unsafe { pg_sys::die(signal) };
}

/// SIGHUP: the server's own answer to it.
unsafe extern "C-unwind" fn reload(signal: c_int) {
    // SAFETY: a signal handler of the server.
    unsafe { pg_sys::SignalHandlerForConfigReload(signal) };
}

/// The entry of a worker; the argument is its database.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn presplit_operation_main(argument: pg_sys::Datum) {
    // SAFETY: the order of things is that of PostgreSQL's own workers; who asked for the worker has
    // passed a database's oid.
    unsafe {
        #[cfg(feature = "pg18")]
        {
            pg_sys::pqsignal_be(libc::SIGTERM, Some(terminate));
            pg_sys::pqsignal_be(libc::SIGHUP, Some(reload));
        }
        #[cfg(not(feature = "pg18"))]
        {
            pg_sys::pqsignal(libc::SIGTERM, Some(terminate));
            pg_sys::pqsignal(libc::SIGHUP, Some(reload));
        }
        pg_sys::BackgroundWorkerUnblockSignals();
        let Some(database) = pg_sys::Oid::from_datum(argument, false) else { return };
        BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
        for (name, value) in SETTINGS {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
    if let Some(serve) = SERVE.get() {
        serve();
    }
}

/// Reads the configuration again if the server was told to; between transactions.
pub fn reload_if_asked() {
    // SAFETY: a flag that the signal handler sets; the worker's own main loop, outside of any transaction.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Sleeps between transactions, or until something happens; a cancel of the
/// worker's statement only ends the sleep.
pub fn sleep(milliseconds: u64) {
    transaction::uninterrupted(|| wait(milliseconds));
    reload_if_asked();
}

/// Sleeps in a session, which an interrupt ends with an error.
pub fn wait(milliseconds: u64) {
    let most = i64::try_from(milliseconds).unwrap_or(i64::MAX).clamp(1, 600_000);
    // SAFETY: the process's own latch.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
            most,
            pg_sys::PG_WAIT_EXTENSION,
        );
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    pgrx::check_for_interrupts!();
}

/// Says in `pg_stat_activity` what the worker does.
pub fn report_activity(what: &str) {
    let what = std::ffi::CString::new(what).unwrap_or_default();
    // SAFETY: the server copies the text.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, what.as_ptr()) };
}

/// How many workers there may be in the server.
#[must_use]
pub fn workers_max() -> i64 {
    guc::number("max_workers") as i64
}
