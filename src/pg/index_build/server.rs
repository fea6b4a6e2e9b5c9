//! The server's own functions without the guard that pgrx puts around them:
//! see `copy::server` for why.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;

use pgrx::pg_sys;
use pgrx::pg_sys::IndexStmt;
use pgrx::pg_sys::ObjectAddress;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::ParallelContext;
use pgrx::pg_sys::Relation;

/// The oid of `pg_constraint`, the same in all versions.
const PG_CONSTRAINT: u32 = 2606;

unsafe extern "C-unwind" {
    pub fn palloc0(size: usize) -> *mut c_void;
    pub fn copyObjectImpl(node: *const c_void) -> *mut c_void;
    pub fn lappend(list: *mut pg_sys::List, item: *mut c_void) -> *mut pg_sys::List;
    pub fn makeRangeVar(schema: *mut c_char, name: *mut c_char, location: c_int) -> *mut pg_sys::RangeVar;
    pub fn get_rel_name(relation: Oid) -> *mut c_char;
    pub fn get_rel_namespace(relation: Oid) -> Oid;
    pub fn get_namespace_name(schema: Oid) -> *mut c_char;
    pub fn transformIndexStmt(
        relation: Oid,
        statement: *mut IndexStmt,
        query: *const c_char,
    ) -> *mut IndexStmt;
    #[cfg(feature = "pg15")]
    pub fn DefineIndex(
        relation: Oid,
        statement: *mut IndexStmt,
        index: Oid,
        parent_index: Oid,
        parent_constraint: Oid,
        is_alter_table: bool,
        check_rights: bool,
        check_not_in_use: bool,
        skip_build: bool,
        quiet: bool,
    ) -> ObjectAddress;
    #[cfg(not(feature = "pg15"))]
    pub fn DefineIndex(
        relation: Oid,
        statement: *mut IndexStmt,
        index: Oid,
        parent_index: Oid,
        parent_constraint: Oid,
        parts: c_int,
        is_alter_table: bool,
        check_rights: bool,
        check_not_in_use: bool,
        skip_build: bool,
        quiet: bool,
    ) -> ObjectAddress;
    pub fn CommandCounterIncrement();
    pub fn has_superclass(relation: Oid) -> bool;
    pub fn get_relation_constraint_oid(relation: Oid, name: *const c_char, missing_ok: bool) -> Oid;
    fn EventCacheLookup(event: c_int) -> *mut pg_sys::List;
    fn performDeletion(object: *const ObjectAddress, behavior: pg_sys::DropBehavior::Type, flags: c_int);

    pub fn table_open(relation: Oid, lock: c_int) -> Relation;
    pub fn table_close(relation: Relation, lock: c_int);
    pub fn index_open(relation: Oid, lock: c_int) -> Relation;
    pub fn index_close(relation: Relation, lock: c_int);
    pub fn BuildIndexInfo(index: Relation) -> *mut pg_sys::IndexInfo;
    pub fn index_build(
        heap: Relation,
        index: Relation,
        info: *mut pg_sys::IndexInfo,
        again: bool,
        parallel: bool,
    );
    pub fn GetUserIdAndSecContext(user: *mut Oid, context: *mut c_int);
    pub fn SetUserIdAndSecContext(user: Oid, context: c_int);
    pub fn NewGUCNestLevel() -> c_int;
    pub fn AtEOXact_GUC(commit: bool, level: c_int);
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    pub fn RestrictSearchPath();

    pub fn EnterParallelMode();
    pub fn ExitParallelMode();
    pub fn CreateParallelContext(
        library: *const c_char,
        function: *const c_char,
        workers: c_int,
    ) -> *mut ParallelContext;
    pub fn InitializeParallelDSM(context: *mut ParallelContext);
    pub fn LaunchParallelWorkers(context: *mut ParallelContext);
    pub fn WaitForParallelWorkersToFinish(context: *mut ParallelContext);
    pub fn DestroyParallelContext(context: *mut ParallelContext);
    pub fn shm_toc_allocate(toc: *mut pg_sys::shm_toc, bytes: usize) -> *mut c_void;
    pub fn shm_toc_insert(toc: *mut pg_sys::shm_toc, key: u64, address: *mut c_void);
    pub fn shm_toc_lookup(toc: *mut pg_sys::shm_toc, key: u64, missing_ok: bool) -> *mut c_void;
    pub fn InstrStartParallelQuery();
    pub fn InstrEndParallelQuery(buffers: *mut pg_sys::BufferUsage, wal: *mut pg_sys::WalUsage);
    pub fn InstrAccumParallelQuery(buffers: *mut pg_sys::BufferUsage, wal: *mut pg_sys::WalUsage);
    pub fn GetTransactionSnapshot() -> pg_sys::Snapshot;
    pub fn PushActiveSnapshot(snapshot: pg_sys::Snapshot);
    pub fn PopActiveSnapshot();

    pub fn pgstat_progress_start_command(command: pg_sys::ProgressCommandType::Type, relation: Oid);
    pub fn pgstat_progress_update_param(index: c_int, value: i64);
    pub fn pgstat_progress_end_command();
}

/// Drops an index of ours, with its constraint.
///
/// # Safety
/// An index that this transaction has made.
pub unsafe fn drop_index(index: Oid) {
    // SAFETY: an object of this transaction, locked by it.
    unsafe {
        let constraint = pg_sys::get_index_constraint(index);
        let object = if constraint == pg_sys::InvalidOid {
            ObjectAddress { classId: pg_sys::RelationRelationId, objectId: index, objectSubId: 0 }
        } else {
            ObjectAddress { classId: Oid::from(PG_CONSTRAINT), objectId: constraint, objectSubId: 0 }
        };
        performDeletion(
            &raw const object,
            pg_sys::DropBehavior::DROP_RESTRICT,
            pg_sys::PERFORM_DELETION_INTERNAL as c_int,
        );
    }
}

/// An event trigger as the server keeps it; in `utils/evtcache.h`.
#[repr(C)]
struct EventTriggerCacheItem {
    function: Oid,
    enabled: c_char,
    tags: *mut pg_sys::Bitmapset,
}

/// Whether an event trigger is to see `CREATE INDEX`, or `ALTER TABLE`: before it is carried out, or what it has made.
///
/// # Safety
/// In a transaction, in a guard.
pub unsafe fn is_watched(is_index: bool) -> bool {
    /// `EVT_DDLCommandStart` and `EVT_DDLCommandEnd`, the same in all versions.
    const EVENTS: [c_int; 2] = [0, 1];
    let tag = if is_index {
        pg_sys::CommandTag::CMDTAG_CREATE_INDEX
    } else {
        pg_sys::CommandTag::CMDTAG_ALTER_TABLE
    };
    EVENTS.iter().any(|event| {
        // SAFETY: a list in the server's cache, read before anything can change it.
        unsafe {
            let items = pgrx::PgList::<EventTriggerCacheItem>::from_pg(EventCacheLookup(*event));
            items.iter_ptr().any(|item| {
                let tags = (*item).tags;
                tags.is_null() || pg_sys::bms_is_member(tag as c_int, tags)
            })
        }
    })
}
