//! Indexes and keys of a sharded table, built on several shards at once.
//!
//! ```text
//!  CREATE INDEX, ADD PRIMARY KEY, ADD UNIQUE on the table
//!    1  [`target`]   may it be, and on which shards does it pay?
//!    2  [`entries`]  catalog entries on these shards, empty, by the server's DefineIndex
//!    3  [`crew`]     session and parallel workers fill them, each one at a time
//!    4  the statement itself, by the server: it finds the indexes and adopts them,
//!       and builds those that are missing
//! ```
//!
//! Workers are PostgreSQL's own parallel workers: members of the session's
//! transaction, which see what it has done, run as its user, and whose errors
//! are raised in it. So all is one transaction, and whatever ends it leaves
//! nothing behind. What a worker may not do, the session does afterwards: the
//! server's index_build finishes each index, with a stand-in for the access
//! method that hands over what was counted.
//!
//! Invariant: no frame owns anything while it calls the server outside a
//! guard, because errors jump over it.

mod crew;
mod entries;
mod server;
mod target;

use std::cell::Cell;
use std::ffi::c_char;

use pgrx::pg_sys;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;

/// Why an index is built by PostgreSQL alone, one shard after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing to gain, or nothing that we could do better.
    Small,
    Workers,
    Memory,
    Method,
    Expression,
    Types,
    Deferrable,
    Storage,
    OwnIndex,
    Nulls,
    Names,
    FewShards,
}

impl Reason {
    /// For people, after "because".
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Small => "the shards are small",
            Self::Workers => "max_parallel_maintenance_workers is 0",
            Self::Memory => "maintenance_work_mem is less than 64MB",
            Self::Method => "the access method is not one of PostgreSQL's own",
            Self::Expression => "it has an expression or a condition",
            Self::Types => "a column's type or operator class is not PostgreSQL's own",
            Self::Deferrable => "the constraint is deferrable",
            Self::Storage => "a shard is not an ordinary table",
            Self::OwnIndex => "a shard has an index of its own that may be meant",
            Self::Nulls => "a column of the key takes nulls",
            Self::Names => "a name that PostgreSQL would choose for a shard's index may be taken",
            Self::FewShards => "one shard has most of the rows",
        }
    }
}

/// How the indexes of the last statement were built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Together { shards: usize, processes: usize },
    Alone(Reason),
}

thread_local! {
    static OUTCOME: Cell<Option<Outcome>> = const { Cell::new(None) };
}

/// How the indexes of the last statement were built; none = it makes none.
#[must_use]
pub fn outcome() -> Option<Outcome> {
    OUTCOME.get()
}

/// The indexes that were made ahead, in the memory of the statement.
#[derive(Clone, Copy)]
#[repr(C)]
struct Made {
    index: pg_sys::Oid,
    heap: pg_sys::Oid,
}

/// Makes the indexes on shards for which that pays, if a statement wants one
/// on a sharded table. Returns what [`end`] wants to know. Owns nothing: errors jump.
///
/// # Safety
/// A utility statement that is about to be passed on, as a hook got it.
pub unsafe fn begin(statement: *mut pg_sys::PlannedStmt, query: *const c_char) -> Ahead {
    const NONE: Ahead = Ahead { made: std::ptr::null_mut(), count: 0 };
    OUTCOME.set(None);
    // SAFETY: the guarded part owns what it needs; the rest are plain pointers.
    unsafe {
        let found = pgrx_extern_c_guard(|| target::examine((*statement).utilityStmt));
        let plan = match found {
            Ok(Some(plan)) => plan,
            Ok(None) => return NONE,
            Err(reason) => {
                OUTCOME.set(Some(Outcome::Alone(reason)));
                return NONE;
            }
        };
        let made = entries::make((*statement).utilityStmt, query, &plan);
        let processes = crew::build(&plan, made);
        OUTCOME.set(Some(Outcome::Together { shards: plan.count, processes }));
        Ahead { made, count: plan.count }
    }
}

/// Indexes that were made ahead of their statement.
#[derive(Clone, Copy)]
pub struct Ahead {
    made: *mut Made,
    count: usize,
}

/// Drops what the statement has not adopted; there should be nothing.
///
/// # Safety
/// After the statement, with what [`begin`] returned.
pub unsafe fn end(ahead: Ahead) {
    // SAFETY: as many as were counted, in the memory of the statement.
    unsafe {
        if ahead.count > 0 {
            // What the statement did last is to be seen.
            server::CommandCounterIncrement();
        }
        for at in 0..ahead.count {
            let index = (*ahead.made.add(at)).index;
            if !server::has_superclass(index) {
                server::drop_index(index);
            }
        }
    }
}
