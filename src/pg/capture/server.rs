//! The server's own functions without the guard that pgrx puts around them,
//! as in `pg::copy`: the trigger calls several for each changed row of a
//! user's. Errors jump over the frames that call these, so those own nothing.

use std::ffi::c_int;

use pgrx::pg_sys;
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::Relation;

unsafe extern "C-unwind" {
    pub fn LockRelationOid(relation: Oid, mode: pg_sys::LOCKMODE);
    pub fn RelationIdGetRelation(relation: Oid) -> Relation;
    pub fn RelationClose(relation: Relation);
    pub fn pgstat_init_relation(relation: Relation);
    pub fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, number: c_int);
    pub fn heap_form_tuple(
        descriptor: pg_sys::TupleDesc,
        values: *const Datum,
        nulls: *const bool,
    ) -> pg_sys::HeapTuple;
    pub fn heap_freetuple(tuple: pg_sys::HeapTuple);
    pub fn heap_insert(
        relation: Relation,
        tuple: pg_sys::HeapTuple,
        command: pg_sys::CommandId,
        options: c_int,
        bulk: pg_sys::BulkInsertState,
    );
    pub fn GetCurrentCommandId(used: bool) -> pg_sys::CommandId;
    pub fn pg_detoast_datum_packed(datum: *mut pg_sys::varlena) -> *mut pg_sys::varlena;
    pub fn pfree(pointer: *mut std::ffi::c_void);
}

/// Takes a row apart, up to a column, unless it is already.
///
/// # Safety
/// A slot with a row of at least as many columns.
pub unsafe fn take_apart(slot: *mut pg_sys::TupleTableSlot, columns: usize) {
    // SAFETY: as above.
    unsafe {
        if ((*slot).tts_nvalid as usize) < columns {
            slot_getsomeattrs_int(slot, columns as c_int);
        }
    }
}
