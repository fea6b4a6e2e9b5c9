//! The running server: where its programs are, and what it may do.

use std::ffi::CStr;
use std::path::PathBuf;

use pgrx::pg_sys;

/// The directory of the server's own programs.
#[must_use]
pub fn bin_directory() -> PathBuf {
    // SAFETY: a zero-terminated path that the postmaster set at start.
    let program = unsafe { CStr::from_ptr((&raw const pg_sys::my_exec_path).cast()) };
    let program = PathBuf::from(program.to_string_lossy().into_owned());
    program.parent().map_or_else(PathBuf::new, std::path::Path::to_path_buf)
}

/// Whether this server is a standby, or still recovering.
#[must_use]
pub fn in_recovery() -> bool {
    // SAFETY: reads a flag of shared memory.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Whether the transaction may only read.
#[must_use]
pub fn in_read_only_transaction() -> bool {
    // SAFETY: reads a variable of the process.
    unsafe { pg_sys::XactReadOnly }
}

/// Whether a parallel plan is being run: no transaction id can be had.
#[must_use]
pub fn in_parallel_mode() -> bool {
    // SAFETY: reads a variable of the process.
    unsafe { pg_sys::IsInParallelMode() }
}

/// Cores of the machine, as the process may use them.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// `maintenance_work_mem`, in bytes.
#[must_use]
pub fn maintenance_bytes() -> usize {
    // SAFETY: reads a setting of the session, in kB.
    usize::try_from(unsafe { pg_sys::maintenance_work_mem }).unwrap_or(0) * 1024
}

/// The number of the current transaction, which it gets now if it had none;
/// no other transaction of this server ever has it.
pub fn transaction_id() -> u64 {
    // SAFETY: in a transaction, as all callers are.
    unsafe { pg_sys::GetTopFullTransactionId().value }
}

/// The number of this process.
pub fn process_id() -> i32 {
    // SAFETY: a plain read of a variable of the process.
    unsafe { pg_sys::MyProcPid }
}
