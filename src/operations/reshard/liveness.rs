//! Who lives: a worker holds the lock of its job, a session that waits for an
//! operation the lock of waiters. Both let go when they die, however they die.

use pgrx::pg_sys::panic::ErrorReport;

use crate::pg::advisory;
use crate::pg::advisory::Held;
use crate::pg::advisory::Key;
use crate::pg::advisory::Mode;
use crate::pg::spi;

const JOB: &str = "presplit.operation";
pub const WAITER: &str = "presplit.wait_operation";

/// The lock of a job's worker, if no other has it.
pub fn take_up(id: i64) -> Result<Option<Held>, ErrorReport> {
    Ok(advisory::try_take(Key::of(JOB, id)?, Mode::Exclusive))
}

/// The process id of the worker that is at a job.
pub fn worker(id: i64) -> Result<Option<i32>, ErrorReport> {
    spi::one::<i32>(
        "SELECT l.pid FROM pg_catalog.pg_locks AS l
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                             WHERE d.datname = pg_catalog.current_database())
           AND l.classid::bigint = pg_catalog.hashtext($1)::bigint & 4294967295
           AND l.objid::bigint = $2 & 4294967295",
        &[JOB.into(), id.into()],
    )
}

/// Whether a worker is at a job.
pub fn is_alive(id: i64) -> Result<bool, ErrorReport> {
    Ok(worker(id)?.is_some())
}

/// The mark of a session that waits for an operation.
pub fn wait_mark(id: i64) -> Result<Held, ErrorReport> {
    Ok(advisory::take(Key::of(WAITER, id)?, Mode::Shared))
}
