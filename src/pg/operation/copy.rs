//! How far this session's COPY is, in the server's own place for it: what
//! `pg_stat_progress_copy` shows.

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

/// What rows come from, as the server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    File,
    Program,
    Client,
}

/// What the server knows of the session's last COPY.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    pub rows: i64,
    pub bytes: i64,
    /// 0 = not known.
    pub total: i64,
}

/// What the server knows of the session's last COPY, which may be over.
#[must_use]
pub fn last() -> Progress {
    // SAFETY: the process's own entry, which only it writes to.
    unsafe {
        let Some(entry) = pg_sys::MyBEEntry.as_ref() else { return Progress::default() };
        let at = |parameter: u32| entry.st_progress_param[parameter as usize];
        Progress {
            rows: at(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED),
            bytes: at(pg_sys::PROGRESS_COPY_BYTES_PROCESSED),
            total: at(pg_sys::PROGRESS_COPY_BYTES_TOTAL),
        }
    }
}

/// Begins to show a COPY that is not the server's own.
pub fn begin(table: Oid, input: Input, total: Option<u64>) {
    // SAFETY: the process's own entry.
    unsafe {
        pg_sys::pgstat_progress_start_command(pg_sys::ProgressCommandType::PROGRESS_COMMAND_COPY, table);
        set(pg_sys::PROGRESS_COPY_COMMAND, i64::from(pg_sys::PROGRESS_COPY_COMMAND_FROM));
    }
    from(input, total);
}

/// Says what the rows come from, and how much there is.
pub fn from(input: Input, total: Option<u64>) {
    let kind = match input {
        Input::File => pg_sys::PROGRESS_COPY_TYPE_FILE,
        Input::Program => pg_sys::PROGRESS_COPY_TYPE_PROGRAM,
        Input::Client => pg_sys::PROGRESS_COPY_TYPE_PIPE,
    };
    set(pg_sys::PROGRESS_COPY_TYPE, i64::from(kind));
    set(pg_sys::PROGRESS_COPY_BYTES_TOTAL, total.map_or(0, |bytes| bytes as i64));
}

/// Says how much has been read.
pub fn advance(rows: u64, bytes: u64) {
    set(pg_sys::PROGRESS_COPY_BYTES_PROCESSED, bytes as i64);
    set(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED, rows as i64);
}

/// Ends what [`begin`] began.
pub fn end() {
    // SAFETY: as above.
    unsafe { pg_sys::pgstat_progress_end_command() };
}

fn set(parameter: u32, value: i64) {
    // SAFETY: the process's own entry.
    unsafe { pg_sys::pgstat_progress_update_param(parameter as i32, value) };
}
