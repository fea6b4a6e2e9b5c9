//! Transactions of a worker: begun here, committed here, and rolled back when
//! something in them fails, which comes back as a value.
//!
//! For background workers only: a session's transactions are its client's.

use std::ffi::c_int;
use std::panic::AssertUnwindSafe;

use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::error;

/// The server's timer of statements, by its number in `utils/timeout.h`, the same from 15 to 18.
const STATEMENT_TIMEOUT: c_int = 3;

// What pgrx does not know; neither raises an error.
unsafe extern "C-unwind" {
    fn enable_timeout_after(timer: c_int, milliseconds: c_int);
    fn disable_timeout(timer: c_int, keep_indicator: bool);
}

/// What a transaction sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
}

/// Why a transaction was rolled back.
#[derive(Debug, Clone)]
pub struct Failed {
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
}

/// Runs `work` in a transaction of its own and commits it.
pub fn run<R>(isolation: Isolation, work: impl FnOnce() -> Result<R, ErrorReport>) -> Result<R, Failed> {
    begun(isolation, || {
        // SAFETY: in the transaction that has just begun.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        let result = work().unwrap_or_else(|report| error::raise(report));
        // SAFETY: the snapshot from above; nothing that ran has left another.
        unsafe {
            if pg_sys::ActiveSnapshotSet() {
                pg_sys::PopActiveSnapshot();
            }
        }
        result
    })
}

/// Runs `work` in a transaction that has no snapshot: nobody waits for it.
pub fn run_bare<R>(work: impl FnOnce() -> R) -> Result<R, Failed> {
    begun(Isolation::ReadCommitted, work)
}

/// The same as [`run`], and no longer than so many milliseconds: then it is
/// cancelled.
pub fn run_within<R>(
    isolation: Isolation,
    milliseconds: i64,
    work: impl FnOnce() -> Result<R, ErrorReport>,
) -> Result<R, Failed> {
    let most = i32::try_from(milliseconds).unwrap_or(i32::MAX).max(1);
    // SAFETY: the timer that every connected process has registered, and that nothing else of a
    // worker uses; it is off again before this returns.
    unsafe {
        enable_timeout_after(STATEMENT_TIMEOUT, most);
        let result = run(isolation, work);
        disable_timeout(STATEMENT_TIMEOUT, false);
        // It may have gone off when the work was done: what comes next is not meant.
        pg_sys::QueryCancelPending = 0;
        result
    }
}

fn begun<R>(isolation: Isolation, work: impl FnOnce() -> R) -> Result<R, Failed> {
    // SAFETY: the worker's main thread, outside of any transaction; the order of things is that of
    // PostgreSQL's own workers. Whatever fails, the transaction is rolled back before this returns.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        let result = PgTryBuilder::new(AssertUnwindSafe(|| {
            pg_sys::StartTransactionCommand();
            if isolation == Isolation::RepeatableRead {
                pg_sys::XactIsoLevel = pg_sys::XACT_REPEATABLE_READ as i32;
            }
            let result = work();
            pg_sys::CommitTransactionCommand();
            Ok(result)
        }))
        .catch_others(|caught| Err(read(&caught)))
        .catch_rust_panic(|caught| Err(read(&caught)))
        .execute();
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(true);
        result
    }
}

/// Runs `work` outside of any transaction; an interrupt that ends it is not an error.
pub fn uninterrupted(work: impl FnOnce()) {
    PgTryBuilder::new(AssertUnwindSafe(work)).catch_others(|_| ()).execute();
}

fn read(caught: &CaughtError) -> Failed {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = caught;
    Failed {
        sqlstate: error::sqlstate(report.sql_error_code()),
        message: report.message().to_owned(),
        detail: report.detail().map(str::to_owned),
    }
}
