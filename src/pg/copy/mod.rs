//! COPY into a sharded table within the session: rows are batched by shard.
//!
//! PostgreSQL's own COPY shares one small buffer between all partitions: with
//! 256 of them a few rows reach each at a time. Here [`batch`] keeps as much
//! for every shard. All the rest is the server's: its parser reads the rows
//! ([`route`]), its executor finds the shard, computes and checks, its heap and
//! indexes take them. What it would refuse or do in another way that anyone
//! could see is left to it ([`target`]), with the [`Reason`] for the report.
//!
//! Invariant: no frame of this room owns anything while it calls the server,
//! because errors jump over it (see [`server`]).

mod batch;
mod line;
mod route;
mod server;
mod target;

use std::cell::Cell;
use std::ffi::CString;
use std::ffi::c_char;

use pgrx::pg_sys;
use pgrx::pg_sys::PlannedStmt;
use pgrx::pg_sys::QueryCompletion;

use crate::model::name::QualifiedName;
use crate::pg::copy::target::Target;
pub use crate::pg::copy::target::copy_into;

/// Why rows of a COPY are routed by PostgreSQL itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another library's hook lies beneath ours.
    Hook,
    /// It is going to raise an error, or it is not a sharded table at all.
    Refused,
    Options,
    Condition,
    Trigger,
    VolatileDefault,
    UnknownServer,
}

impl Reason {
    /// For people, after "because".
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Hook => "a library that was loaded before pg_presplit is to see the statement",
            Self::Refused => "the table does not take them in any other way",
            Self::Options => "an option of the COPY is about rows, not about their format",
            Self::Condition => "the WHERE condition is volatile or is about a generated or system column",
            Self::Trigger => "a trigger of the table sees the rows",
            Self::VolatileDefault => "a default is volatile",
            Self::UnknownServer => "the line number is not where PostgreSQL is known to keep it",
        }
    }
}

thread_local! {
    static OUTCOME: Cell<Option<Reason>> = const { Cell::new(None) };
}

/// Why the rows of the COPY that just ended were routed by PostgreSQL; none =
/// they were batched by shard.
#[must_use]
pub fn outcome() -> Option<Reason> {
    OUTCOME.get()
}

/// Remembers how a COPY ended, for [`outcome`].
pub fn set_outcome(reason: Option<Reason>) {
    OUTCOME.set(reason);
}

/// The partitioned table of that name, if there is one; costs no statement.
#[must_use]
pub fn partitioned_table(name: &QualifiedName) -> Option<pg_sys::Oid> {
    let schema = CString::new(name.schema.as_str()).ok()?;
    let table = CString::new(name.name.as_str()).ok()?;
    // SAFETY: look-ups in the server's caches, in a transaction, by zero-terminated names.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        let table = pg_sys::get_relname_relid(table.as_ptr(), schema);
        let partitioned = pg_sys::get_rel_relkind(table) == pg_sys::RELKIND_PARTITIONED_TABLE as c_char;
        partitioned.then_some(table)
    }
}

/// Whether a COPY is into a partitioned table, as far as can be seen before it is locked. One that becomes partitioned at
/// this moment has its rows routed by the server.
///
/// # Safety
/// A `COPY` with a relation, in a transaction.
#[must_use]
pub unsafe fn is_into_partitioned(copy: *mut pg_sys::CopyStmt) -> bool {
    // SAFETY: the name is looked up as the server is about to; nothing is locked.
    unsafe {
        let table = pg_sys::RangeVarGetRelidExtended(
            (*copy).relation,
            pg_sys::NoLock as pg_sys::LOCKMODE,
            pg_sys::RVROption::RVR_MISSING_OK,
            None,
            std::ptr::null_mut(),
        );
        table != pg_sys::InvalidOid
            && pg_sys::get_rel_relkind(table) == pg_sys::RELKIND_PARTITIONED_TABLE as c_char
    }
}

/// Carries out a `COPY … FROM` of a sharded table, or says why the server
/// should: then nothing has happened but that the table is locked. Rows that
/// have begun to come are read from `source`.
///
/// # Safety
/// As a utility hook is called; own nothing, the server's errors pass.
pub unsafe fn load(
    statement: *mut PlannedStmt,
    query: *const c_char,
    completion: *mut QueryCompletion,
    source: pg_sys::copy_data_source_cb,
) -> Option<Reason> {
    // SAFETY: a valid statement. The steps around the load are those that the
    // server's own utility function takes for a COPY.
    unsafe {
        let Some(copy) = copy_into((*statement).utilityStmt) else { return Some(Reason::Refused) };
        let target = match Target::open(&*copy, query) {
            Ok(target) => target,
            Err(reason) => return Some(reason),
        };
        let loaded = route::load(&*copy, target, source);
        server::table_close(target.relation, pg_sys::NoLock as i32);
        server::free_parsestate(target.parse_state);
        if !completion.is_null() {
            (*completion).commandTag = pg_sys::CommandTag::CMDTAG_COPY;
            (*completion).nprocessed = loaded;
        }
        server::CommandCounterIncrement();
        None
    }
}
