//! The one entry: a COPY as the statement hook sees it is loaded by workers,
//! or left to the session with the reason.
//!
//! What is decided and done comes from the floor above as a function. Errors
//! of a worker leave from here, unchanged, when nothing is owned any more.

use std::cell::Cell;
use std::sync::OnceLock;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;

use crate::pg::copy::copy_into;
use crate::pg::error::raise;
use crate::pg::guc;
use crate::pg::load_worker::crew;
use crate::pg::load_worker::crew::Failure;
use crate::pg::load_worker::reason::Reason;
use crate::pg::load_worker::server;
use crate::pg::load_worker::source;
use crate::pg::load_worker::target::Target;

/// How a load by workers ended.
pub enum Outcome {
    Loaded {
        rows: u64,
        workers: usize,
    },
    /// The session is to do it. If `started`, the rows have begun to come and
    /// are to be read from [`source`].
    InSession {
        reason: Reason,
        started: bool,
    },
}

/// Why a load ends in an error.
pub enum Stop {
    /// An error about a row.
    Row(Failure),
    Other(ErrorReport),
}

impl From<ErrorReport> for Stop {
    fn from(report: ErrorReport) -> Self {
        Self::Other(report)
    }
}

thread_local! {
    static ENDED: Cell<Option<Ended>> = const { Cell::new(None) };
}

/// How the COPY that was attempted last went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    ByWorkers { workers: usize },
    InSession(Reason),
}

impl From<&Outcome> for Ended {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Loaded { workers, .. } => Self::ByWorkers { workers: *workers },
            Outcome::InSession { reason, .. } => Self::InSession(*reason),
        }
    }
}

/// How the COPY that was attempted last went.
#[must_use]
pub fn ended() -> Option<Ended> {
    ENDED.get()
}

/// Remembers how a COPY went, for [`ended`]; none = workers were not asked.
pub fn set_ended(ended: Option<Ended>) {
    ENDED.set(ended);
}

/// Where the session reads rows from that have begun to come.
#[must_use]
pub fn source(started: bool) -> pg_sys::copy_data_source_cb {
    if started { Some(source::reread) } else { None }
}

/// Ends what [`source`] read from, if it was used.
pub fn end_source() {
    source::end();
}

/// Loads an open target.
pub type Loader = fn(Target) -> Result<Outcome, Stop>;

static LOADER: OnceLock<Loader> = OnceLock::new();

/// Tells who loads; called once, from `_PG_init`.
pub fn install(loader: Loader) {
    let _ = LOADER.set(loader);
}

/// What is left after the guard; owns nothing.
enum Left {
    Outcome(Outcome),
    Throw(Failure),
}

/// Loads by workers what they may load.
///
/// # Safety
/// As a utility hook is called, with a `COPY` that the user may do: rights
/// have been checked. Own nothing, errors pass.
pub unsafe fn attempt(
    statement: *mut pg_sys::PlannedStmt,
    top_level: bool,
    completion: *mut pg_sys::QueryCompletion,
) -> Outcome {
    // SAFETY: a valid statement; between the guards this frame owns nothing.
    unsafe {
        let left = pgrx_extern_c_guard(|| guarded(statement, top_level));
        match left {
            Left::Outcome(outcome) => {
                if let Outcome::Loaded { rows, .. } = &outcome {
                    complete(completion, *rows);
                    pg_sys::CommandCounterIncrement();
                }
                outcome
            }
            Left::Throw(failure) => {
                crew::throw(failure);
                Outcome::InSession { reason: Reason::Refused, started: false }
            }
        }
    }
}

/// # Safety
/// Where to say what a statement did, or null.
unsafe fn complete(completion: *mut pg_sys::QueryCompletion, rows: u64) {
    if !completion.is_null() {
        // SAFETY: as above.
        unsafe {
            (*completion).commandTag = pg_sys::CommandTag::CMDTAG_COPY;
            (*completion).nprocessed = rows;
        }
    }
}

/// Loads the rows that have begun to come by the server's own COPY. Own
/// nothing: errors jump.
///
/// # Safety
/// A COPY whose rows were handed over to [`source::reread`]; where to say what it did.
pub unsafe fn in_session(statement: *mut pg_sys::PlannedStmt, completion: *mut pg_sys::QueryCompletion) {
    // SAFETY: as the server's DoCopy, for a statement without a condition.
    unsafe {
        let statement = (*statement).utilityStmt.cast::<pg_sys::CopyStmt>();
        let relation = server::table_openrv((*statement).relation, pg_sys::RowExclusiveLock as _);
        let state = server::make_parsestate(std::ptr::null_mut());
        server::addRangeTableEntryForRelation(
            state,
            relation,
            pg_sys::RowExclusiveLock as _,
            std::ptr::null_mut(),
            false,
            false,
        );
        let copy = server::BeginCopyFrom(
            state,
            relation,
            std::ptr::null_mut(),
            std::ptr::null(),
            false,
            Some(source::reread),
            (*statement).attlist,
            (*statement).options,
        );
        source::tell_input();
        let rows = server::CopyFrom(copy);
        server::EndCopyFrom(copy);
        server::free_parsestate(state);
        server::table_close(relation, pg_sys::NoLock as _);
        complete(completion, rows);
    }
}

unsafe fn guarded(statement: *mut pg_sys::PlannedStmt, top_level: bool) -> Left {
    let leave = |reason| Left::Outcome(Outcome::InSession { reason, started: false });
    // Workers are for those who ask for them.
    if guc::number("load_workers_min_size") < 0.0 {
        return leave(Reason::Small);
    }
    // SAFETY: as above.
    unsafe {
        let (Some(copy), Some(loader)) = (copy_into((*statement).utilityStmt), LOADER.get()) else {
            return leave(Reason::Refused);
        };
        let target = match Target::open(&*copy, top_level) {
            Ok(target) => target,
            Err(reason) => return leave(reason),
        };
        match loader(target) {
            Ok(outcome) => Left::Outcome(outcome),
            Err(Stop::Row(failure)) => Left::Throw(failure),
            Err(Stop::Other(report)) => raise(report),
        }
    }
}
