//! The server's own COPY of the rows of a batch, without counting its slots.
//!
//! It makes up to a thousand slots, each of which counts itself at the
//! relation's row type, and the resource owner searches its list of such pins
//! from the beginning: for batches that costs more than all their rows. So the
//! count is -1 meanwhile, which the server means by "not counted":
//! `PinTupleDesc` and `ReleaseTupleDesc` pass over it, and the resource owner
//! hears nothing of it. That is right, in PostgreSQL 15 to 18, because
//!
//! - pins only keep a row type from being freed, and the worker has the
//!   relation open: a cache entry in use is never dropped but built anew, and
//!   keeps its row type if the new one is equal (`RelationClearRelation`; from
//!   18 on `RelationRebuildRelation`);
//! - it is equal: the table was made in this transaction, so nobody else can
//!   see it, and no command of ours runs within `CopyFrom`;
//! - if it were not, the old row type would go the way of a count that never
//!   comes to zero: it would stay in memory, and not be freed under a slot;
//! - `CopyFrom` drops all slots that it has made before it returns, so that no
//!   pin is made under one count and released under another;
//! - where it does not return, [`count_again`] puts the count right before the
//!   end of the transaction takes the relation out of the cache, where a
//!   server that was built with assertions looks for a count.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::null_mut;

use pgrx::pg_sys;

use crate::pg::load_worker::server;

thread_local! {
    /// The row type whose pins are not counted at this moment, and its count.
    static ROW_TYPE: Cell<(pg_sys::TupleDesc, c_int)> = const { Cell::new((null_mut(), 0)) };
}

/// The rows that went in.
///
/// # Safety
/// A COPY into a relation of this transaction, which is open. Own nothing:
/// errors jump.
pub unsafe fn copy_from(copy: pg_sys::CopyFromState, relation: pg_sys::Relation) -> u64 {
    // SAFETY: as above.
    unsafe {
        let row_type = (*relation).rd_att;
        ROW_TYPE.set((row_type, (*row_type).tdrefcount));
        (*row_type).tdrefcount = -1;
        let rows = server::CopyFrom(copy);
        count_again();
        rows
    }
}

/// Counts again, if [`copy_from`] has not come to its end.
///
/// # Safety
/// In the transaction of the COPY.
pub unsafe fn count_again() {
    let (row_type, count) = ROW_TYPE.replace((null_mut(), 0));
    // SAFETY: the row type lives as long as the entry of the cache: until the transaction ends.
    if let Some(row_type) = unsafe { row_type.as_mut() } {
        row_type.tdrefcount = count;
    }
}

/// Likewise when the process ends, before its transaction does.
///
/// # Safety
/// A callback of the server.
pub unsafe extern "C-unwind" fn at_exit(_code: c_int, _argument: pg_sys::Datum) {
    // SAFETY: the transaction is still open.
    unsafe { count_again() };
}
