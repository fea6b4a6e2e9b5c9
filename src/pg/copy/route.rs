//! The rows of a COPY, read by the server's own parser and routed by its own
//! executor: the same steps in the same order as its CopyFrom, but that rows
//! wait in [`Batches`] and not in its buffers.

use std::ffi::c_void;
use std::ptr::null_mut;

use pgrx::pg_sys;
use pgrx::pg_sys::CopyFromState;
use pgrx::pg_sys::CopyStmt;
use pgrx::pg_sys::EState;
use pgrx::pg_sys::ErrorContextCallback;
use pgrx::pg_sys::ExprContext;
use pgrx::pg_sys::ExprState;
use pgrx::pg_sys::MemoryContext;
use pgrx::pg_sys::ModifyTableState;
use pgrx::pg_sys::NodeTag;
use pgrx::pg_sys::ResultRelInfo;
use pgrx::pg_sys::TupleTableSlot;

use crate::pg::copy::batch;
use crate::pg::copy::batch::Batches;
use crate::pg::copy::server;
use crate::pg::copy::server::PartitionTupleRouting;
use crate::pg::copy::target::Target;
use crate::pg::copy::target::has_trigger;
use crate::pg::copy::target::is_before;
use crate::pg::load_worker::source::tell_input;

/// Everything that a row meets on its way. Plain pointers: an error may jump
/// over whoever has it.
struct Route {
    copy: CopyFromState,
    target: Target,
    estate: *mut EState,
    context: *mut ExprContext,
    state: *mut ModifyTableState,
    routing: *mut PartitionTupleRouting,
    condition: *mut ExprState,
    /// The row as the table has it.
    slot: *mut TupleTableSlot,
    batches: *mut Batches,
    command: pg_sys::CommandId,
    /// The memory that the statement runs in.
    query_memory: MemoryContext,
    row_memory: MemoryContext,
    excluded: i64,
    heap: *const pg_sys::TableAmRoutine,
}

/// Loads all rows of a COPY; returns how many went in.
///
/// # Safety
/// A target that was opened for this statement; own nothing, errors pass.
pub unsafe fn load(statement: &CopyStmt, target: Target, source: pg_sys::copy_data_source_cb) -> u64 {
    // SAFETY: the order of things is that of the server's DoCopy and CopyFrom.
    unsafe {
        let (file, is_program) = match source {
            Some(_) => (null_mut(), false),
            None => (statement.filename, statement.is_program),
        };
        let copy = server::BeginCopyFrom(
            target.parse_state,
            target.relation,
            target.condition,
            file,
            is_program,
            source,
            statement.attlist,
            statement.options,
        );
        if source.is_some() {
            tell_input();
        }
        let mut route = Route::prepare(copy, target);
        let root = (*route.state).resultRelInfo;
        server::ExecBSInsertTriggers(route.estate, root);
        let mut callback = ErrorContextCallback {
            previous: server::error_context_stack,
            callback: Some(server::CopyFromErrorCallback),
            arg: copy.cast::<c_void>(),
        };
        server::error_context_stack = &raw mut callback;
        while route.row() {}
        (*route.batches).flush(target.line.read(copy));
        server::error_context_stack = callback.previous;
        server::switch_to(route.query_memory);
        let loaded = (*route.batches).written;
        route.finish(root);
        server::EndCopyFrom(copy);
        u64::try_from(loaded).unwrap_or(0)
    }
}

impl Route {
    /// # Safety
    /// As [`load`].
    unsafe fn prepare(copy: CopyFromState, target: Target) -> Self {
        // SAFETY: as the server's CopyFrom prepares itself.
        unsafe {
            let estate = server::CreateExecutorState();
            let command = server::GetCurrentCommandId(true);
            init_range_table(estate, target);
            let root = server::palloc0(size_of::<ResultRelInfo>()).cast::<ResultRelInfo>();
            (*root).type_ = NodeTag::T_ResultRelInfo;
            server::ExecInitResultRelation(estate, root, 1);
            check_target(root);
            server::ExecOpenIndices(root, false);
            let state = server::palloc0(size_of::<ModifyTableState>()).cast::<ModifyTableState>();
            (*state).ps.type_ = NodeTag::T_ModifyTableState;
            (*state).ps.state = estate;
            (*state).operation = pg_sys::CmdType::CMD_INSERT;
            (*state).mt_nrels = 1;
            (*state).resultRelInfo = root;
            (*state).rootResultRelInfo = root;
            (*root).ri_BatchSize = 1;
            server::AfterTriggerBeginQuery();
            let routing = server::ExecSetupPartitionTupleRouting(estate, target.relation);
            let condition = if target.condition.is_null() {
                null_mut()
            } else {
                server::ExecInitQual(target.condition.cast(), &raw mut (*state).ps)
            };
            let slot = server::table_slot_create(target.relation, &raw mut (*estate).es_tupleTable);
            let batches = Batches::new(estate, target.relation, command);
            let context = server::MakePerTupleExprContext(estate);
            Self {
                copy,
                target,
                estate,
                context,
                state,
                routing,
                condition,
                slot,
                batches,
                command,
                query_memory: server::CurrentMemoryContext,
                row_memory: (*context).ecxt_per_tuple_memory,
                excluded: 0,
                heap: server::GetHeapamTableAmRoutine(),
            }
        }
    }

    /// Reads a row and takes it where it belongs; false at the end.
    #[inline]
    unsafe fn row(&mut self) -> bool {
        // SAFETY: as the loop of the server's CopyFrom.
        unsafe {
            server::check_for_interrupts();
            server::MemoryContextReset(self.row_memory);
            let slot = self.slot;
            server::switch_to(self.row_memory);
            server::clear(slot);
            if !server::NextCopyFrom(self.copy, self.context, (*slot).tts_values, (*slot).tts_isnull) {
                return false;
            }
            server::ExecStoreVirtualTuple(slot);
            (*slot).tts_tableOid = (*self.target.relation).rd_id;
            server::switch_to(self.query_memory);
            if !self.is_wanted() {
                self.excluded += 1;
                server::pgstat_progress_update_param(
                    pg_sys::PROGRESS_COPY_TUPLES_EXCLUDED as i32,
                    self.excluded,
                );
                return true;
            }
            let root = (*self.state).resultRelInfo;
            let shard = server::ExecFindPartition(self.state, root, self.routing, slot, self.estate);
            let map = self.map_to(shard);
            let slot = if map.is_null() {
                slot
            } else {
                server::execute_attr_map_slot((*map).attrMap, slot, (*shard).ri_PartitionTupleSlot)
            };
            (*slot).tts_tableOid = (*(*shard).ri_RelationDesc).rd_id;
            if self.can_wait(shard) {
                self.check(shard, slot);
                self.wait(shard, slot);
            } else {
                self.insert_at_once(shard, slot);
            }
            true
        }
    }

    /// Whether the row meets the condition of `WHERE`.
    #[inline]
    unsafe fn is_wanted(&mut self) -> bool {
        if self.condition.is_null() {
            return true;
        }
        // SAFETY: as the server's ExecQual.
        unsafe {
            (*self.context).ecxt_scantuple = self.slot;
            let before = server::switch_to(self.row_memory);
            let mut is_null = false;
            let wanted = (*self.condition)
                .evalfunc
                .is_none_or(|evaluate| evaluate(self.condition, self.context, &raw mut is_null).value() != 0);
            server::switch_to(before);
            wanted && !is_null
        }
    }

    /// From the columns of the table to those of the shard; null = they are the same.
    #[inline]
    unsafe fn map_to(&self, shard: *mut ResultRelInfo) -> *mut pg_sys::TupleConversionMap {
        // SAFETY: the shard's own description.
        unsafe {
            #[cfg(feature = "pg15")]
            return (*shard).ri_RootToPartitionMap;
            #[cfg(not(feature = "pg15"))]
            return server::ExecGetRootToChildMap(shard, self.estate);
        }
    }

    /// Whether a shard is a plain heap without triggers that see each row first.
    #[inline]
    unsafe fn can_wait(&self, shard: *mut ResultRelInfo) -> bool {
        // SAFETY: the shard's own description.
        unsafe {
            if !(*shard).ri_CopyMultiInsertBuffer.is_null() {
                return true;
            }
            let before = has_trigger((*shard).ri_TrigDesc, is_before);
            !before
                && (*shard).ri_FdwRoutine.is_null()
                && std::ptr::eq((*(*shard).ri_RelationDesc).rd_tableam, self.heap)
        }
    }

    /// Computes what is generated and checks what the shard demands.
    #[inline]
    unsafe fn check(&self, shard: *mut ResultRelInfo, slot: *mut TupleTableSlot) {
        // SAFETY: as the server's CopyFrom.
        unsafe {
            let constraints = (*(*(*shard).ri_RelationDesc).rd_att).constr;
            if constraints.is_null() {
                return;
            }
            if (*constraints).has_generated_stored {
                server::ExecComputeStoredGenerated(shard, self.estate, slot, pg_sys::CmdType::CMD_INSERT);
            }
            if (*shard).ri_FdwRoutine.is_null() {
                server::ExecConstraints(shard, slot, self.estate);
            }
        }
    }

    /// Puts a checked row to those that wait for its shard.
    #[inline]
    unsafe fn wait(&self, shard: *mut ResultRelInfo, slot: *mut TupleTableSlot) {
        // SAFETY: the slot has a row of the shard's type.
        unsafe {
            let descriptor = (*(*shard).ri_RelationDesc).rd_att;
            if i32::from((*slot).tts_nvalid) < (*descriptor).natts {
                server::slot_getsomeattrs_int(slot, (*descriptor).natts);
            }
            server::switch_to(self.row_memory);
            let tuple = server::heap_form_tuple(descriptor, (*slot).tts_values, (*slot).tts_isnull);
            server::switch_to(self.query_memory);
            (*self.batches).add(shard, tuple, self.target.line.read(self.copy));
        }
    }

    /// Inserts a row into a shard that takes rows one by one.
    #[cold]
    unsafe fn insert_at_once(&mut self, shard: *mut ResultRelInfo, slot: *mut TupleTableSlot) {
        // SAFETY: as the server's CopyFrom without buffers. What waits is
        // written first, for triggers may look at it.
        unsafe {
            (*self.batches).flush(self.target.line.read(self.copy));
            let relation = (*shard).ri_RelationDesc;
            let triggers = (*shard).ri_TrigDesc;
            let before_row = !triggers.is_null() && (*triggers).trig_insert_before_row;
            if before_row && !server::ExecBRInsertTriggers(self.estate, shard, slot) {
                return;
            }
            self.check(shard, slot);
            if before_row && (*(*relation).rd_rel).relispartition {
                server::ExecPartitionCheck(shard, slot, self.estate, true);
            }
            let (mut slot, mut recheck) = (slot, null_mut());
            if (*shard).ri_FdwRoutine.is_null() {
                if let Some(insert) = (*(*relation).rd_tableam).tuple_insert {
                    insert(relation, slot, self.command, 0, null_mut());
                }
                if (*shard).ri_NumIndices > 0 {
                    recheck = batch::index_entries(shard, slot, self.estate);
                }
            } else if let Some(insert) = (*(*shard).ri_FdwRoutine).ExecForeignInsert {
                slot = insert(self.estate, shard, slot, null_mut());
                if slot.is_null() {
                    return;
                }
                (*slot).tts_tableOid = (*relation).rd_id;
            }
            server::ExecARInsertTriggers(self.estate, shard, slot, recheck, null_mut());
            server::list_free(recheck);
            (*self.batches).count_one();
        }
    }

    /// Ends the statement; everything is written.
    unsafe fn finish(&mut self, root: *mut ResultRelInfo) {
        // SAFETY: as the server's CopyFrom and DoCopy end.
        unsafe {
            server::ExecASInsertTriggers(self.estate, root, null_mut());
            server::AfterTriggerEndQuery(self.estate);
            server::ExecResetTupleTable((*self.estate).es_tupleTable, false);
            (*self.batches).end();
            server::ExecCleanupTupleRouting(self.state, self.routing);
            server::ExecCloseResultRelations(self.estate);
            server::ExecCloseRangeTableRelations(self.estate);
            server::FreeExecutorState(self.estate);
        }
    }
}

/// # Safety
/// The target's parse state has the table as its only entry.
unsafe fn init_range_table(estate: *mut EState, target: Target) {
    // SAFETY: as above.
    unsafe {
        let state = target.parse_state;
        #[cfg(feature = "pg15")]
        server::ExecInitRangeTable(estate, (*state).p_rtable);
        #[cfg(any(feature = "pg16", feature = "pg17"))]
        server::ExecInitRangeTable(estate, (*state).p_rtable, (*state).p_rteperminfos);
        #[cfg(feature = "pg18")]
        server::ExecInitRangeTable(
            estate,
            (*state).p_rtable,
            (*state).p_rteperminfos,
            server::bms_make_singleton(1),
        );
    }
}

/// Whether the table takes inserts at all; the server raises it if not.
///
/// # Safety
/// A result relation of an executor state.
unsafe fn check_target(root: *mut ResultRelInfo) {
    // SAFETY: as above.
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        server::CheckValidResultRel(root, pg_sys::CmdType::CMD_INSERT);
        #[cfg(feature = "pg17")]
        server::CheckValidResultRel(root, pg_sys::CmdType::CMD_INSERT, null_mut());
        #[cfg(feature = "pg18")]
        server::CheckValidResultRel(
            root,
            pg_sys::CmdType::CMD_INSERT,
            pg_sys::OnConflictAction::ONCONFLICT_NONE,
            null_mut(),
        );
    }
}
