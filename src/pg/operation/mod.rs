//! Operations as they run: seen by all sessions from shared memory, though
//! their transactions are open.
//!
//! [`shared`] is the memory. An operation here is one of this session's: it
//! begins, says what it does, and is done; if its transaction, or the
//! subtransaction that it began in, comes to nothing, so does the operation,
//! with the error that was heard last ([`hear`]). How far a COPY is the server
//! knows itself, as `pg_stat_progress_copy` shows it.
//!
//! Without the library in `shared_preload_libraries` there is no memory to
//! share: then an operation is seen when it is written down.

pub mod copy;
pub mod shared;

use std::cell::RefCell;
use std::ffi::CStr;
use std::ffi::c_void;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

use crate::model::name::QualifiedName;
use crate::model::operation::Kind;
use crate::model::operation::Phase;
use crate::pg::clock;
use crate::pg::operation::shared::Entry;
use crate::pg::operation::shared::State;
use crate::pg::operation::shared::Text;

unsafe extern "C-unwind" {
    fn CopyErrorData() -> *mut pg_sys::ErrorData;
    fn FreeErrorData(error: *mut pg_sys::ErrorData);
}

/// One of this session's operations whose transaction is open.
struct Open {
    entry: Entry,
    slot: Option<usize>,
    subtransaction: pg_sys::SubTransactionId,
}

/// What an error has said.
struct Heard {
    message: String,
    cancelled: bool,
}

thread_local! {
    static OPEN: RefCell<Vec<Open>> = const { RefCell::new(Vec::new()) };
    static HEARD: RefCell<Option<Heard>> = const { RefCell::new(None) };
    /// Operations whose places are free when the transaction has committed.
    static WRITTEN: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// Asks for the memory and for word of transactions' ends; called once, from `_PG_init`.
pub fn install() {
    shared::request();
    // SAFETY: library initialisation on the main thread.
    unsafe {
        pg_sys::RegisterXactCallback(Some(transaction_ends), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(subtransaction_ends), std::ptr::null_mut());
    }
}

/// Begins an operation on a table in the current transaction.
pub fn begin(id: i64, kind: Kind, table: Oid, name: &QualifiedName, detail: &str) {
    HEARD.take();
    // SAFETY: plain reads of variables of the process.
    let (entry, subtransaction) = unsafe {
        let entry = Entry {
            state: State::Running as u8,
            kind: kind as u8,
            phase: Phase::Copying as u8,
            is_isolated: pg_sys::XactIsoLevel > pg_sys::XACT_READ_COMMITTED as i32,
            pid: pg_sys::MyProcPid,
            database: pg_sys::MyDatabaseId.to_u32(),
            relation: table.to_u32(),
            user: pg_sys::GetUserId().to_u32(),
            id,
            started: clock::now(),
            finished: 0,
            rows: 0,
            bytes: 0,
            bytes_total: 0,
            schema: Text::of(&name.schema),
            table: Text::of(&name.name),
            detail: Text::of(detail),
            error: Text::of(""),
        };
        (entry, pg_sys::GetCurrentSubTransactionId())
    };
    let slot = shared::claim(&entry);
    OPEN.with_borrow_mut(|open| open.push(Open { entry, slot, subtransaction }));
}

/// Changes the operation that began last, here and where others see it.
fn change(how: impl Fn(&mut Entry)) {
    OPEN.with_borrow_mut(|open| {
        let Some(last) = open.last_mut() else { return };
        how(&mut last.entry);
        if let Some(slot) = last.slot {
            shared::change(slot, last.entry.id, how);
        }
    });
}

/// Says where the operation that began last is.
pub fn set_phase(phase: Phase) {
    change(|entry| entry.phase = phase as u8);
}

/// Says how the operation that began last goes on.
pub fn set_detail(detail: &str) {
    change(|entry| entry.detail = Text::of(detail));
}

/// The operation that began last on a table has done its work: what there is
/// to say of it. It is over when its transaction commits.
pub fn done(table: &QualifiedName, rows: i64, detail: &str) -> Option<Entry> {
    let ours = OPEN.with_borrow(|open| {
        open.last().is_some_and(|last| {
            last.entry.state == State::Running as u8
                && last.entry.table.as_str() == table.name
                && last.entry.schema.as_str() == table.schema
        })
    });
    if !ours {
        return None;
    }
    HEARD.take();
    let of_copy = copy::last();
    let now = clock::now();
    change(|entry| {
        entry.state = State::Done as u8;
        entry.phase = Phase::CuttingOver as u8;
        entry.rows = rows;
        entry.bytes = of_copy.bytes;
        entry.bytes_total = of_copy.total;
        entry.finished = now;
        entry.detail = Text::of(detail);
    });
    OPEN.with_borrow(|open| open.last().map(|last| last.entry))
}

/// Forgets the operation that began last.
pub fn forget() {
    let last = OPEN.with_borrow_mut(Vec::pop);
    if let Some(Open { entry, slot: Some(slot), .. }) = last {
        shared::release(slot, entry.id);
    }
}

/// Frees the places of operations that came to nothing, when the transaction
/// that has written them down commits: until then others do not see it.
pub fn are_written(ids: Vec<i64>) {
    WRITTEN.replace(ids);
}

/// Operations of this database, those of others and those that came to nothing too.
#[must_use]
pub fn all() -> Vec<Entry> {
    shared::all()
}

/// Those of them that the user may see: of roles that it is a member of, of
/// tables that it owns, or all.
#[must_use]
pub fn shown() -> Vec<Entry> {
    // SAFETY: look-ups of roles in the server's caches, in a transaction.
    unsafe {
        let user = pg_sys::GetUserId();
        let is = |role: Oid| role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role);
        let all = is(Oid::from(pg_sys::ROLE_PG_READ_ALL_STATS));
        let mut entries = shared::all();
        entries.retain(|entry| {
            all || is(Oid::from(entry.user)) || owner(Oid::from(entry.relation)).is_some_and(is)
        });
        entries
    }
}

/// # Safety
/// In a transaction.
unsafe fn owner(table: Oid) -> Option<Oid> {
    // SAFETY: the tuple is read before it is released.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as _, pg_sys::Datum::from(table));
        if tuple.is_null() {
            return None;
        }
        let owner = (*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_class>(tuple)).relowner;
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

/// Whether the user may insert into any column of a table, in this transaction.
#[must_use]
pub fn may_insert(table: Oid) -> bool {
    // SAFETY: look-ups of rights in the server's caches, in a transaction.
    unsafe {
        let (user, insert) = (pg_sys::GetUserId(), pg_sys::ACL_INSERT as pg_sys::AclMode);
        let yes = pg_sys::AclResult::ACLCHECK_OK;
        !pg_sys::XactReadOnly
            && !pg_sys::IsInParallelMode()
            && (pg_sys::pg_class_aclcheck(table, user, insert) == yes
                || pg_sys::pg_attribute_aclcheck_all(table, user, insert, pg_sys::AclMaskHow::ACLMASK_ANY)
                    == yes)
    }
}

/// Where errors say where they come from: hears what they are about, for it is
/// what the operation has failed by if nobody catches them. Says nothing itself.
///
/// # Safety
/// Called by the server while an error is built.
pub unsafe extern "C-unwind" fn hear(_: *mut c_void) {
    // SAFETY: a copy of the error at hand, freed at once; not in the memory of
    // errors, which may be short.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = pg_sys::TopMemoryContext;
        let error = CopyErrorData();
        if (*error).elevel >= pg_sys::PGERROR as i32 && !(*error).message.is_null() {
            let message = CStr::from_ptr((*error).message).to_string_lossy().into_owned();
            let cancelled = (*error).sqlerrcode == pgrx::PgSqlErrorCode::ERRCODE_QUERY_CANCELED as i32;
            HEARD.replace(Some(Heard { message, cancelled }));
        }
        FreeErrorData(error);
        pg_sys::CurrentMemoryContext = before;
    }
}

unsafe extern "C-unwind" fn transaction_ends(event: pg_sys::XactEvent::Type, _: *mut c_void) {
    match event {
        pg_sys::XactEvent::XACT_EVENT_ABORT => {
            WRITTEN.take();
            come_to_nothing(0);
        }
        pg_sys::XactEvent::XACT_EVENT_COMMIT | pg_sys::XactEvent::XACT_EVENT_PREPARE => {
            let written = WRITTEN.take();
            if !written.is_empty() {
                shared::release_ended(&written);
            }
            for Open { entry, slot, .. } in OPEN.take() {
                if let Some(slot) = slot {
                    shared::release(slot, entry.id);
                }
            }
        }
        _ => {}
    }
}

unsafe extern "C-unwind" fn subtransaction_ends(
    event: pg_sys::SubXactEvent::Type,
    subtransaction: pg_sys::SubTransactionId,
    _: pg_sys::SubTransactionId,
    _: *mut c_void,
) {
    // Numbers grow: what began in an outer subtransaction goes on.
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        come_to_nothing(subtransaction);
    }
}

/// Operations that began in a subtransaction, or in one within it, have failed.
fn come_to_nothing(since: pg_sys::SubTransactionId) {
    let mut failed = Vec::new();
    OPEN.with_borrow_mut(|open| {
        while open.last().is_some_and(|last| last.subtransaction >= since) {
            failed.extend(open.pop());
        }
    });
    if failed.is_empty() {
        return;
    }
    let heard = HEARD.take();
    let of_copy = copy::last();
    let now = clock::now();
    for Open { entry, slot, .. } in failed {
        let Some(slot) = slot else { continue };
        let was_done = entry.state == State::Done as u8;
        let cancelled = heard.as_ref().is_some_and(|heard| heard.cancelled) && !was_done;
        let error = match &heard {
            Some(heard) if !was_done => heard.message.as_str(),
            _ => "the transaction was rolled back",
        };
        shared::change(slot, entry.id, |entry| {
            entry.state = State::Ended as u8;
            entry.phase = if cancelled { Phase::Cancelled } else { Phase::Failed } as u8;
            entry.error = Text::of(error);
            entry.finished = now;
            if !was_done {
                entry.rows = of_copy.rows;
                entry.bytes = of_copy.bytes;
                entry.bytes_total = of_copy.total;
            }
        });
    }
}
