//! The server's own functions without the guard that pgrx puts around them.
//!
//! A guard costs a `sigsetjmp` a call, and this room makes several a row; and
//! it rebuilds every error that passes and loses its context, position and
//! names, which are the server's own here to the last word. So errors jump
//! over the frames of this room, which therefore own nothing: what they
//! allocate belongs to memory contexts.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;

use pgrx::pg_sys;
use pgrx::pg_sys::Bitmapset;
use pgrx::pg_sys::CopyFromState;
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::EState;
use pgrx::pg_sys::ExprContext;
use pgrx::pg_sys::ExprState;
use pgrx::pg_sys::List;
use pgrx::pg_sys::MemoryContext;
use pgrx::pg_sys::ModifyTableState;
use pgrx::pg_sys::Node;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::ParseState;
use pgrx::pg_sys::Relation;
use pgrx::pg_sys::ResultRelInfo;
use pgrx::pg_sys::TupleDesc;
use pgrx::pg_sys::TupleTableSlot;

/// The server's state of routing rows, which only the server looks into.
#[repr(C)]
pub struct PartitionTupleRouting {
    hidden: [u8; 0],
}

unsafe extern "C-unwind" {
    pub static mut InterruptPending: c_int;
    pub static mut XactReadOnly: bool;
    pub static mut CurrentMemoryContext: MemoryContext;
    pub static mut error_context_stack: *mut pg_sys::ErrorContextCallback;
    pub static mut maintenance_work_mem: c_int;
    pub static TTSOpsHeapTuple: pg_sys::TupleTableSlotOps;

    pub fn ProcessInterrupts();
    pub fn IsInParallelMode() -> bool;
    pub fn GetUserId() -> Oid;
    pub fn has_privs_of_role(member: Oid, role: Oid) -> bool;
    pub fn check_enable_rls(relation: Oid, user: Oid, no_error: bool) -> c_int;
    pub fn CommandCounterIncrement();
    pub fn GetCurrentCommandId(used: bool) -> pg_sys::CommandId;
    pub fn pgstat_progress_update_param(index: c_int, value: i64);

    pub fn palloc0(size: usize) -> *mut c_void;
    pub fn MemoryContextAlloc(context: MemoryContext, size: usize) -> *mut c_void;
    pub fn MemoryContextAllocZero(context: MemoryContext, size: usize) -> *mut c_void;
    pub fn MemoryContextAllocHuge(context: MemoryContext, size: usize) -> *mut c_void;
    pub fn pfree(pointer: *mut c_void);
    pub fn repalloc(pointer: *mut c_void, size: usize) -> *mut c_void;
    pub fn MemoryContextReset(context: MemoryContext);
    pub fn MemoryContextDelete(context: MemoryContext);
    pub fn GetMemoryChunkSpace(pointer: *mut c_void) -> usize;
    pub fn AllocSetContextCreateInternal(
        parent: MemoryContext,
        name: *const c_char,
        minimum: usize,
        initial: usize,
        maximum: usize,
    ) -> MemoryContext;

    pub fn copyObjectImpl(node: *const c_void) -> *mut c_void;
    pub fn make_parsestate(parent: *mut ParseState) -> *mut ParseState;
    pub fn free_parsestate(state: *mut ParseState);
    pub fn addRangeTableEntryForRelation(
        state: *mut ParseState,
        relation: Relation,
        lock: c_int,
        alias: *mut pg_sys::Alias,
        inherits: bool,
        in_from: bool,
    ) -> *mut pg_sys::ParseNamespaceItem;
    pub fn addNSItemToQuery(
        state: *mut ParseState,
        item: *mut pg_sys::ParseNamespaceItem,
        to_joins: bool,
        to_relations: bool,
        to_columns: bool,
    );
    pub fn transformExpr(
        state: *mut ParseState,
        expression: *mut Node,
        kind: pg_sys::ParseExprKind::Type,
    ) -> *mut Node;
    pub fn coerce_to_boolean(state: *mut ParseState, node: *mut Node, construct: *const c_char) -> *mut Node;
    pub fn assign_expr_collations(state: *mut ParseState, expression: *mut Node);
    pub fn eval_const_expressions(root: *mut pg_sys::PlannerInfo, node: *mut Node) -> *mut Node;
    pub fn canonicalize_qual(condition: *mut pg_sys::Expr, is_check: bool) -> *mut pg_sys::Expr;
    pub fn make_ands_implicit(clause: *mut pg_sys::Expr) -> *mut List;
    pub fn pull_varattnos(node: *mut Node, varno: pg_sys::Index, found: *mut *mut Bitmapset);
    pub fn contain_volatile_functions(clause: *mut Node) -> bool;
    pub fn contain_volatile_functions_not_nextval(clause: *mut Node) -> bool;
    pub fn expression_planner(expression: *mut pg_sys::Expr) -> *mut pg_sys::Expr;
    pub fn build_column_default(relation: Relation, attribute: c_int) -> *mut Node;
    pub fn bms_add_member(set: *mut Bitmapset, member: c_int) -> *mut Bitmapset;
    pub fn bms_next_member(set: *const Bitmapset, after: c_int) -> c_int;
    pub fn list_member_int(list: *const List, member: c_int) -> bool;
    pub fn list_free(list: *mut List);

    pub fn table_openrv(name: *const pg_sys::RangeVar, lock: c_int) -> Relation;
    pub fn table_close(relation: Relation, lock: c_int);

    pub fn CopyGetAttnums(descriptor: TupleDesc, relation: Relation, names: *mut List) -> *mut List;
    pub fn BeginCopyFrom(
        state: *mut ParseState,
        relation: Relation,
        condition: *mut Node,
        file: *const c_char,
        is_program: bool,
        source: pg_sys::copy_data_source_cb,
        columns: *mut List,
        options: *mut List,
    ) -> CopyFromState;
    pub fn NextCopyFrom(
        copy: CopyFromState,
        context: *mut ExprContext,
        values: *mut Datum,
        nulls: *mut bool,
    ) -> bool;
    pub fn NextCopyFromRawFields(
        copy: CopyFromState,
        fields: *mut *mut *mut c_char,
        count: *mut c_int,
    ) -> bool;
    pub fn EndCopyFrom(copy: CopyFromState);
    pub fn CopyFromErrorCallback(copy: *mut c_void);

    pub fn CreateExecutorState() -> *mut EState;
    pub fn FreeExecutorState(estate: *mut EState);
    pub fn MakePerTupleExprContext(estate: *mut EState) -> *mut ExprContext;
    #[cfg(feature = "pg15")]
    pub fn ExecInitRangeTable(estate: *mut EState, range_table: *mut List);
    #[cfg(any(feature = "pg16", feature = "pg17"))]
    pub fn ExecInitRangeTable(estate: *mut EState, range_table: *mut List, permissions: *mut List);
    #[cfg(feature = "pg18")]
    pub fn ExecInitRangeTable(
        estate: *mut EState,
        range_table: *mut List,
        permissions: *mut List,
        unpruned: *mut Bitmapset,
    );
    #[cfg(feature = "pg18")]
    pub fn bms_make_singleton(member: c_int) -> *mut Bitmapset;
    #[cfg(feature = "pg15")]
    pub fn ExecCheckRTPerms(range_table: *mut List, raise: bool) -> bool;
    #[cfg(not(feature = "pg15"))]
    pub fn ExecCheckPermissions(range_table: *mut List, permissions: *mut List, raise: bool) -> bool;
    pub fn ExecInitResultRelation(estate: *mut EState, result: *mut ResultRelInfo, index: pg_sys::Index);
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    pub fn CheckValidResultRel(result: *mut ResultRelInfo, operation: pg_sys::CmdType::Type);
    #[cfg(feature = "pg17")]
    pub fn CheckValidResultRel(
        result: *mut ResultRelInfo,
        operation: pg_sys::CmdType::Type,
        merge_actions: *mut List,
    );
    #[cfg(feature = "pg18")]
    pub fn CheckValidResultRel(
        result: *mut ResultRelInfo,
        operation: pg_sys::CmdType::Type,
        on_conflict: pg_sys::OnConflictAction::Type,
        merge_actions: *mut List,
    );
    pub fn ExecOpenIndices(result: *mut ResultRelInfo, speculative: bool);
    pub fn ExecSetupPartitionTupleRouting(
        estate: *mut EState,
        relation: Relation,
    ) -> *mut PartitionTupleRouting;
    pub fn ExecFindPartition(
        state: *mut ModifyTableState,
        root: *mut ResultRelInfo,
        routing: *mut PartitionTupleRouting,
        slot: *mut TupleTableSlot,
        estate: *mut EState,
    ) -> *mut ResultRelInfo;
    pub fn ExecCleanupTupleRouting(state: *mut ModifyTableState, routing: *mut PartitionTupleRouting);
    pub fn ExecInitQual(condition: *mut List, parent: *mut pg_sys::PlanState) -> *mut ExprState;
    #[cfg(not(feature = "pg15"))]
    pub fn ExecGetRootToChildMap(
        result: *mut ResultRelInfo,
        estate: *mut EState,
    ) -> *mut pg_sys::TupleConversionMap;
    pub fn ExecComputeStoredGenerated(
        result: *mut ResultRelInfo,
        estate: *mut EState,
        slot: *mut TupleTableSlot,
        operation: pg_sys::CmdType::Type,
    );
    pub fn ExecConstraints(result: *mut ResultRelInfo, slot: *mut TupleTableSlot, estate: *mut EState);
    pub fn ExecPartitionCheck(
        result: *mut ResultRelInfo,
        slot: *mut TupleTableSlot,
        estate: *mut EState,
        raise: bool,
    ) -> bool;
    #[cfg(feature = "pg15")]
    pub fn ExecInsertIndexTuples(
        result: *mut ResultRelInfo,
        slot: *mut TupleTableSlot,
        estate: *mut EState,
        update: bool,
        no_duplicate_error: bool,
        conflict: *mut bool,
        arbiters: *mut List,
    ) -> *mut List;
    #[cfg(not(feature = "pg15"))]
    pub fn ExecInsertIndexTuples(
        result: *mut ResultRelInfo,
        slot: *mut TupleTableSlot,
        estate: *mut EState,
        update: bool,
        no_duplicate_error: bool,
        conflict: *mut bool,
        arbiters: *mut List,
        only_summarizing: bool,
    ) -> *mut List;
    pub fn ExecResetTupleTable(slots: *mut List, free: bool);
    pub fn ExecCloseResultRelations(estate: *mut EState);
    pub fn ExecCloseRangeTableRelations(estate: *mut EState);

    pub fn AfterTriggerBeginQuery();
    pub fn AfterTriggerEndQuery(estate: *mut EState);
    pub fn ExecBSInsertTriggers(estate: *mut EState, result: *mut ResultRelInfo);
    pub fn ExecASInsertTriggers(
        estate: *mut EState,
        result: *mut ResultRelInfo,
        capture: *mut pg_sys::TransitionCaptureState,
    );
    pub fn ExecBRInsertTriggers(
        estate: *mut EState,
        result: *mut ResultRelInfo,
        slot: *mut TupleTableSlot,
    ) -> bool;
    pub fn ExecARInsertTriggers(
        estate: *mut EState,
        result: *mut ResultRelInfo,
        slot: *mut TupleTableSlot,
        recheck: *mut List,
        capture: *mut pg_sys::TransitionCaptureState,
    );

    pub fn CreateTupleDescCopy(descriptor: TupleDesc) -> TupleDesc;
    pub fn MakeTupleTableSlot(
        descriptor: TupleDesc,
        operations: *const pg_sys::TupleTableSlotOps,
    ) -> *mut TupleTableSlot;
    pub fn table_slot_create(relation: Relation, registered: *mut *mut List) -> *mut TupleTableSlot;
    pub fn slot_getsomeattrs_int(slot: *mut TupleTableSlot, attribute: c_int);
    pub fn ExecStoreVirtualTuple(slot: *mut TupleTableSlot) -> *mut TupleTableSlot;
    pub fn ExecStoreHeapTuple(
        tuple: pg_sys::HeapTuple,
        slot: *mut TupleTableSlot,
        free: bool,
    ) -> *mut TupleTableSlot;
    pub fn execute_attr_map_slot(
        map: *mut pg_sys::AttrMap,
        from: *mut TupleTableSlot,
        to: *mut TupleTableSlot,
    ) -> *mut TupleTableSlot;
    pub fn heap_form_tuple(
        descriptor: TupleDesc,
        values: *const Datum,
        nulls: *const bool,
    ) -> pg_sys::HeapTuple;
    pub fn GetHeapamTableAmRoutine() -> *const pg_sys::TableAmRoutine;
    pub fn GetAccessStrategy(kind: pg_sys::BufferAccessStrategyType::Type) -> pg_sys::BufferAccessStrategy;
    pub fn FreeAccessStrategy(strategy: pg_sys::BufferAccessStrategy);
    pub fn ReleaseBuffer(buffer: pg_sys::Buffer);

    pub fn set_errcontext_domain(domain: *const c_char) -> c_int;
    pub fn errcontext_msg(format: *const c_char, ...) -> c_int;
}

/// Goes on in another memory context; returns the one before.
///
/// # Safety
/// A memory context.
#[inline]
pub unsafe fn switch_to(context: MemoryContext) -> MemoryContext {
    // SAFETY: the server's own variable, on its own thread.
    unsafe {
        let before = CurrentMemoryContext;
        CurrentMemoryContext = context;
        before
    }
}

/// A new memory context below the current one.
///
/// # Safety
/// In a statement.
pub unsafe fn new_context(name: *const c_char) -> MemoryContext {
    // SAFETY: the name is constant and zero-terminated, as the server wants it.
    unsafe {
        AllocSetContextCreateInternal(
            CurrentMemoryContext,
            name,
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        )
    }
}

/// Empties a slot.
///
/// # Safety
/// A slot of the server's.
#[inline]
pub unsafe fn clear(slot: *mut TupleTableSlot) {
    // SAFETY: every kind of slot has this operation.
    unsafe {
        if let Some(clear) = (*(*slot).tts_ops).clear {
            clear(slot);
        }
    }
}

/// Lets a cancel or a shutdown through.
///
/// # Safety
/// Where an error may be raised.
#[inline]
pub unsafe fn check_for_interrupts() {
    // SAFETY: the flag is set by signal handlers, so it is read anew each time.
    unsafe {
        if (&raw const InterruptPending).read_volatile() != 0 {
            ProcessInterrupts();
        }
    }
}
