//! Changes written down as they are made: the trigger that puts the identity
//! of each changed row into a log, and what is made of the log.
//!
//! ```text
//!  a write ─→ trigger ── cache: where the keys go ─→ log table     (every session)
//!  log table ─→ log: keys taken out ─→ statement: rows of these keys  (the worker)
//!                                          └─→ digest: what they are
//! ```
//!
//! The log has the columns of the identity and nothing else: the rows are
//! where they are, and who copies looks there. A row of nulls says that
//! everything was removed at once. A change's key is in the transaction, and
//! subtransaction, of the change: both are there or neither.
//!
//! Invariants: the trigger never fails a statement on behalf of the log. It
//! writes as the server does, not as a user: no privilege, policy, rule or
//! trigger of the log is asked. If the log is not the one that it was made for,
//! the change goes through and one warning says that nobody wrote it down.

mod cache;
mod digest;
mod image;
mod log;
mod server;
mod statement;

use std::ptr::null_mut;

use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::TriggerData;
use pgrx::pg_sys::TupleTableSlot;

pub use crate::pg::capture::digest::Digest;
pub use crate::pg::capture::log::Keys;
pub use crate::pg::capture::log::consume;
pub use crate::pg::capture::log::count;
pub use crate::pg::capture::log::is_truncated_now;
pub use crate::pg::capture::statement::KEYS;
pub use crate::pg::capture::statement::Read;
pub use crate::pg::capture::statement::read;
pub use crate::pg::capture::statement::run;

use crate::model::report::SqlState;
use crate::pg::capture::cache::Place;
use crate::pg::error;

/// Columns of an index at most.
const COLUMNS_MAX: usize = pg_sys::INDEX_MAX_KEYS as usize;

#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_presplit_capture_change() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}

/// `presplit.capture_change`: after each row, and after TRUNCATE.
///
/// Its arguments are those of [`cache`]. What the server's functions raise
/// jumps over the frames in here, which own nothing.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn presplit_capture_change(call: pg_sys::FunctionCallInfo) -> Datum {
    // SAFETY: the server's own call; the context is looked at before it is taken for a trigger's.
    unsafe {
        let context = (*call).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            not_a_trigger();
        }
        let data = &*context.cast::<TriggerData>();
        if data.tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK != pg_sys::TRIGGER_EVENT_AFTER {
            not_a_trigger();
        }
        if let Some((place, log)) = cache::open(data) {
            write(data, &place, log);
            server::RelationClose(log);
        }
        Datum::from(0)
    }
}

#[cold]
fn not_a_trigger() -> ! {
    error::raise(error::new(
        SqlState::FeatureNotSupported,
        "function presplit.capture_change can only be called as a trigger after a change",
        None,
        None,
    ))
}

/// # Safety
/// The data of an AFTER trigger, and its log.
unsafe fn write(data: &TriggerData, place: &Place, log: pg_sys::Relation) {
    // SAFETY: the slots of a row's trigger hold the row before and after; those of a statement's are
    // not looked at.
    unsafe {
        if data.tg_event & pg_sys::TRIGGER_EVENT_ROW == 0 {
            return put(log, &[Datum::null(); COLUMNS_MAX], &[true; COLUMNS_MAX]);
        }
        // An INSERT has its row where others have the old one.
        let key = Key::of(data.tg_trigslot, place);
        if data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE {
            let new = Key::of(data.tg_newslot, place);
            if !place.is_same(&key.values, &new.values) {
                put(log, &new.values, &new.nulls);
            }
        }
        put(log, &key.values, &key.nulls);
    }
}

/// The identity of a row.
struct Key {
    values: [Datum; COLUMNS_MAX],
    nulls: [bool; COLUMNS_MAX],
}

impl Key {
    /// # Safety
    /// A slot with a row of the table that the place was made for.
    unsafe fn of(slot: *mut TupleTableSlot, place: &Place) -> Self {
        let mut key = Self { values: [Datum::from(0); COLUMNS_MAX], nulls: [false; COLUMNS_MAX] };
        // SAFETY: the place has no more columns than the arrays, and knows that the table has them.
        unsafe {
            server::take_apart(slot, place.last as usize);
            for (at, column) in place.columns().enumerate() {
                let from = column.number as usize - 1;
                key.values[at] = *(*slot).tts_values.add(from);
                key.nulls[at] = *(*slot).tts_isnull.add(from);
            }
        }
        key
    }
}

/// Puts one row into the log. Logical decoding does not see it: it is nobody's data.
///
/// # Safety
/// An open heap with as many columns, of these types.
unsafe fn put(log: pg_sys::Relation, values: &[Datum; COLUMNS_MAX], nulls: &[bool; COLUMNS_MAX]) {
    // SAFETY: as above; the tuple is in the memory of one call of a trigger.
    unsafe {
        let tuple = server::heap_form_tuple((*log).rd_att, values.as_ptr(), nulls.as_ptr());
        let command = server::GetCurrentCommandId(true);
        server::heap_insert(log, tuple, command, pg_sys::HEAP_INSERT_NO_LOGICAL as i32, null_mut());
        server::heap_freetuple(tuple);
    }
}
