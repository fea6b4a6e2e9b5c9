//! Functions of the server that a worker or its leader calls without the guard
//! that pgrx puts around them, or that pgrx does not know.
//!
//! A guard rebuilds every error that passes and loses its context and names,
//! which are the server's own here to the last word. So errors jump over the
//! frames that call these, which own nothing meanwhile; whoever owns something
//! puts the guard around by himself.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

/// The server's state of routing rows, which only the server looks into.
#[repr(C)]
pub struct PartitionTupleRouting {
    hidden: [u8; 0],
}

/// How messages reach the client: the first members, up to what is used here.
#[repr(C)]
pub struct Messages {
    pub comm_reset: Option<unsafe extern "C-unwind" fn()>,
    pub flush: Option<unsafe extern "C-unwind" fn() -> c_int>,
    pub flush_if_writable: Option<unsafe extern "C-unwind" fn() -> c_int>,
    pub is_send_pending: Option<unsafe extern "C-unwind" fn() -> bool>,
    pub putmessage: Option<unsafe extern "C-unwind" fn(c_char, *const c_char, usize) -> c_int>,
}

unsafe extern "C-unwind" {
    pub static PqCommMethods: *const Messages;

    pub fn pq_startmsgread();
    pub fn pq_getbyte() -> c_int;
    pub fn pq_getmessage(message: pg_sys::StringInfo, most: c_int) -> c_int;
    pub fn pq_redirect_to_shm_mq(segment: *mut pg_sys::dsm_segment, queue: *mut pg_sys::shm_mq_handle);
    pub fn pq_parse_errornotice(message: pg_sys::StringInfo, error: *mut pg_sys::ErrorData);
    pub fn ThrowErrorData(error: *mut pg_sys::ErrorData);

    pub fn shm_mq_receive(
        queue: *mut pg_sys::shm_mq_handle,
        bytes: *mut usize,
        data: *mut *mut c_void,
        nowait: bool,
    ) -> pg_sys::shm_mq_result::Type;
    pub fn shm_mq_send(
        queue: *mut pg_sys::shm_mq_handle,
        bytes: usize,
        data: *const c_void,
        nowait: bool,
        force_flush: bool,
    ) -> pg_sys::shm_mq_result::Type;

    pub fn BeginCopyFrom(
        state: *mut pg_sys::ParseState,
        relation: pg_sys::Relation,
        condition: *mut pg_sys::Node,
        file: *const c_char,
        is_program: bool,
        source: pg_sys::copy_data_source_cb,
        columns: *mut pg_sys::List,
        options: *mut pg_sys::List,
    ) -> pg_sys::CopyFromState;
    pub fn CopyFrom(state: pg_sys::CopyFromState) -> u64;
    pub fn EndCopyFrom(state: pg_sys::CopyFromState);
    pub fn make_parsestate(parent: *mut pg_sys::ParseState) -> *mut pg_sys::ParseState;
    pub fn free_parsestate(state: *mut pg_sys::ParseState);
    pub fn addRangeTableEntryForRelation(
        state: *mut pg_sys::ParseState,
        relation: pg_sys::Relation,
        lock: c_int,
        alias: *mut pg_sys::Alias,
        inherits: bool,
        in_from: bool,
    ) -> *mut pg_sys::ParseNamespaceItem;
    pub fn table_openrv(name: *const pg_sys::RangeVar, lock: pg_sys::LOCKMODE) -> pg_sys::Relation;
    pub fn table_open(relation: Oid, lock: pg_sys::LOCKMODE) -> pg_sys::Relation;
    pub fn table_close(relation: pg_sys::Relation, lock: pg_sys::LOCKMODE);
    pub fn CommandCounterIncrement();
    pub fn StartTransactionCommand();
    pub fn CommitTransactionCommand();
    pub fn AbortCurrentTransaction();
    pub fn EmitErrorReport();
    pub fn FlushErrorState();
    pub fn GetTransactionSnapshot() -> pg_sys::Snapshot;
    pub fn PushActiveSnapshot(snapshot: pg_sys::Snapshot);
    pub fn PopActiveSnapshot();
    pub fn MemoryContextReset(context: pg_sys::MemoryContext);

    pub fn ExecSetupPartitionTupleRouting(
        state: *mut pg_sys::EState,
        relation: pg_sys::Relation,
    ) -> *mut PartitionTupleRouting;
    pub fn ExecCleanupTupleRouting(state: *mut pg_sys::ModifyTableState, routing: *mut PartitionTupleRouting);
    pub fn ExecFindPartition(
        state: *mut pg_sys::ModifyTableState,
        root: *mut pg_sys::ResultRelInfo,
        routing: *mut PartitionTupleRouting,
        slot: *mut pg_sys::TupleTableSlot,
        estate: *mut pg_sys::EState,
    ) -> *mut pg_sys::ResultRelInfo;
    pub fn InputFunctionCall(
        function: *mut pg_sys::FmgrInfo,
        text: *mut c_char,
        parameter: Oid,
        modifier: i32,
    ) -> pg_sys::Datum;
    pub fn errcontext_msg(format: *const c_char, ...) -> c_int;
    pub fn set_errcontext_domain(domain: *const c_char) -> c_int;
}
