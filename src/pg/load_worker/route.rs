//! The shard of a key: PostgreSQL's own routing of a row that has only its
//! key columns.

use std::ffi::c_char;
use std::panic::AssertUnwindSafe;
use std::ptr::null_mut;

use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::pg_sys::panic::CaughtError;

use crate::pg::load_worker::crew::Words;
use crate::pg::load_worker::quick::Quick;
use crate::pg::load_worker::server;
use crate::pg::load_worker::server::PartitionTupleRouting;
use crate::pg::load_worker::target::Target;
use crate::pg::staging::attribute;

/// Where a row belongs.
pub enum Routed {
    /// The shard's number, in the order in which shards were first seen.
    Shard(usize),
    /// A key is not a value of its type: PostgreSQL will say so, whichever
    /// shard is given the row.
    Unreadable,
    /// No shard takes it; the server's words for that.
    Nowhere(Words),
}

/// How a key column is read.
struct Input {
    /// Its number in the table.
    number: usize,
    function: pg_sys::FmgrInfo,
    parameter: Oid,
    modifier: i32,
}

/// Finds shards; to be finished before they are swapped.
pub struct Router {
    estate: *mut pg_sys::EState,
    state: *mut pg_sys::ModifyTableState,
    root: *mut pg_sys::ResultRelInfo,
    routing: *mut PartitionTupleRouting,
    slot: *mut pg_sys::TupleTableSlot,
    memory: pg_sys::MemoryContext,
    inputs: Vec<Input>,
    /// Memory for one key, which grows with the longest.
    text: Vec<u8>,
    /// What spares most keys the way through the server.
    quick: Option<Quick>,
    shards: Vec<Oid>,
    /// For rows that no shard takes: PostgreSQL is to see them somewhere.
    any_leaf: Oid,
}

impl Router {
    #[must_use]
    pub fn new(target: &Target) -> Self {
        // SAFETY: the steps of the server's COPY up to its first row. The
        // relation stays open until the router is finished.
        unsafe {
            let relation = target.relation();
            let estate = pg_sys::CreateExecutorState();
            let parse = pg_sys::make_parsestate(null_mut());
            pg_sys::addRangeTableEntryForRelation(
                parse,
                relation,
                pg_sys::RowExclusiveLock as _,
                null_mut(),
                false,
                false,
            );
            init_range_table(estate, parse);
            let root = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
            (*root).type_ = pg_sys::NodeTag::T_ResultRelInfo;
            pg_sys::ExecInitResultRelation(estate, root, 1);
            let state =
                pg_sys::palloc0(size_of::<pg_sys::ModifyTableState>()).cast::<pg_sys::ModifyTableState>();
            (*state).ps.type_ = pg_sys::NodeTag::T_ModifyTableState;
            (*state).ps.state = estate;
            (*state).operation = pg_sys::CmdType::CMD_INSERT;
            (*state).mt_nrels = 1;
            (*state).resultRelInfo = root;
            (*state).rootResultRelInfo = root;
            let routing = pg_guard_ffi_boundary(|| server::ExecSetupPartitionTupleRouting(estate, relation));
            let slot = pg_sys::table_slot_create(relation, &mut (*estate).es_tupleTable);
            for at in 0..(*(*relation).rd_att).natts as usize {
                *(*slot).tts_isnull.add(at) = true;
            }
            let memory = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"presplit key".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            let inputs = target.keys().iter().map(|number| input_of(relation, *number)).collect();
            Self {
                estate,
                state,
                root,
                routing,
                slot,
                memory,
                inputs,
                text: Vec::new(),
                quick: Quick::of(target),
                shards: Vec::new(),
                any_leaf: target.leaves().first().copied().unwrap_or(pg_sys::InvalidOid),
            }
        }
    }

    /// The shard of a number; any if none has it yet.
    #[must_use]
    pub fn shard(&self, number: usize) -> Oid {
        self.shards.get(number).copied().unwrap_or(self.any_leaf)
    }

    /// How many key columns a row has.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.inputs.len()
    }

    /// Routes a row by the texts of its key columns; none = null.
    #[inline]
    pub fn route<'a>(&mut self, mut keys: impl Iterator<Item = Option<&'a [u8]>>) -> Routed {
        let first = keys.next().flatten();
        let place = self.quick.as_ref().zip(first).and_then(|(quick, key)| quick.place_of(key));
        let known = self.quick.as_ref().zip(place).and_then(|(quick, place)| quick.shard(place));
        match known {
            Some(shard) => Routed::Shard(shard),
            None => self.ask(std::iter::once(first).chain(keys), place),
        }
    }

    /// Has the server read the keys and find the shard.
    fn ask<'a>(&mut self, keys: impl Iterator<Item = Option<&'a [u8]>>, place: Option<usize>) -> Routed {
        // All texts in one piece, zero-terminated, because nothing may be
        // owned while the server may raise an error.
        self.text.clear();
        let mut starts = [usize::MAX; pg_sys::PARTITION_MAX_KEYS as usize * 2];
        for (key, start) in keys.zip(&mut starts) {
            if let Some(key) = key {
                *start = self.text.len();
                self.text.extend_from_slice(key);
                self.text.push(0);
            }
        }
        let mut readable = false;
        // SAFETY: where an error leaves it is not where it was.
        let memory = unsafe { pg_sys::CurrentMemoryContext };
        let found = PgTryBuilder::new(AssertUnwindSafe(|| Ok(self.find(&starts, &mut readable))))
            .catch_others(|caught| Err(words_of(caught)))
            .execute();
        // SAFETY: as above.
        unsafe { pg_sys::MemoryContextSwitchTo(memory) };
        match found {
            Ok(shard) => {
                if let (Some(quick), Some(place)) = (&mut self.quick, place) {
                    quick.learn(place, shard);
                }
                Routed::Shard(shard)
            }
            Err(words) if readable => Routed::Nowhere(words),
            Err(_) => Routed::Unreadable,
        }
    }

    fn find(&mut self, starts: &[usize], readable: &mut bool) -> usize {
        let (root, state, routing, estate, slot) =
            (self.root, self.state, self.routing, self.estate, self.slot);
        let (inputs, text, memory) = (self.inputs.as_mut_ptr(), self.text.as_mut_ptr(), self.memory);
        let count = self.inputs.len();
        // SAFETY: the closure owns nothing; texts are zero-terminated and stay
        // during the call; the key's memory is emptied before the next.
        let result = unsafe {
            let outer = pg_sys::MemoryContextSwitchTo(memory);
            server::MemoryContextReset(memory);
            if let Some(context) = (*estate).es_per_tuple_exprcontext.as_ref() {
                server::MemoryContextReset(context.ecxt_per_tuple_memory);
            }
            let guarded = pg_guard_ffi_boundary(|| {
                if let Some(clear) = (*(*slot).tts_ops).clear {
                    clear(slot);
                }
                for (at, start) in starts.iter().enumerate().take(count) {
                    let input = &mut *inputs.add(at);
                    let is_null = *start == usize::MAX;
                    *(*slot).tts_isnull.add(input.number) = is_null;
                    if !is_null {
                        let text = text.add(*start).cast::<c_char>();
                        *(*slot).tts_values.add(input.number) = server::InputFunctionCall(
                            &mut input.function,
                            text,
                            input.parameter,
                            input.modifier,
                        );
                    }
                }
                pg_sys::ExecStoreVirtualTuple(slot);
                *readable = true;
                pg_sys::MemoryContextSwitchTo(outer);
                server::ExecFindPartition(state, root, routing, slot, estate)
            });
            pg_sys::MemoryContextSwitchTo(outer);
            guarded
        };
        self.number_of(result)
    }

    /// The number of a shard, kept in a pointer that only the server's own
    /// COPY uses.
    fn number_of(&mut self, shard: *mut pg_sys::ResultRelInfo) -> usize {
        // SAFETY: the router's own result relation; the pointer is a number and is never followed.
        unsafe {
            let known = (*shard).ri_CopyMultiInsertBuffer.addr();
            if known > 0 {
                return known - 1;
            }
            self.shards.push((*(*shard).ri_RelationDesc).rd_id);
            (*shard).ri_CopyMultiInsertBuffer = std::ptr::without_provenance_mut(self.shards.len());
            self.shards.len() - 1
        }
    }

    /// Closes all shards; their locks stay.
    pub fn finish(self) {
        // SAFETY: as the server's COPY ends.
        unsafe {
            for at in
                0..(*self.estate).es_tuple_routing_result_relations.as_ref().map_or(0, |list| list.length)
            {
                let list = (*self.estate).es_tuple_routing_result_relations;
                let shard = (*(*list).elements.add(at as usize)).ptr_value.cast::<pg_sys::ResultRelInfo>();
                (*shard).ri_CopyMultiInsertBuffer = null_mut();
            }
            pg_sys::ExecResetTupleTable((*self.estate).es_tupleTable, false);
            pg_guard_ffi_boundary(|| server::ExecCleanupTupleRouting(self.state, self.routing));
            pg_sys::ExecCloseResultRelations(self.estate);
            pg_sys::ExecCloseRangeTableRelations(self.estate);
            pg_sys::FreeExecutorState(self.estate);
        }
    }
}

fn words_of(caught: CaughtError) -> Words {
    let (CaughtError::PostgresError(report)
    | CaughtError::ErrorReport(report)
    | CaughtError::RustPanic { ereport: report, .. }) = caught;
    Words {
        code: report.sql_error_code(),
        message: report.message().to_owned(),
        detail: report.detail().map(str::to_owned),
        hint: report.hint().map(str::to_owned),
    }
}

/// # Safety
/// An open relation and one of its columns.
unsafe fn input_of(relation: pg_sys::Relation, number: i16) -> Input {
    // SAFETY: catalog look-ups.
    unsafe {
        let column = &*attribute(relation, number);
        let (mut function, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::getTypeInputInfo(column.atttypid, &mut function, &mut parameter);
        let mut input = Input {
            number: number as usize - 1,
            function: pg_sys::FmgrInfo::default(),
            parameter,
            modifier: column.atttypmod,
        };
        pg_sys::fmgr_info(function, &mut input.function);
        input
    }
}

/// # Safety
/// The parse state has the table as its only entry.
unsafe fn init_range_table(estate: *mut pg_sys::EState, state: *mut pg_sys::ParseState) {
    // SAFETY: as above.
    unsafe {
        #[cfg(feature = "pg15")]
        pg_sys::ExecInitRangeTable(estate, (*state).p_rtable);
        #[cfg(any(feature = "pg16", feature = "pg17"))]
        pg_sys::ExecInitRangeTable(estate, (*state).p_rtable, (*state).p_rteperminfos);
        #[cfg(feature = "pg18")]
        pg_sys::ExecInitRangeTable(
            estate,
            (*state).p_rtable,
            (*state).p_rteperminfos,
            pg_sys::bms_make_singleton(1),
        );
    }
}
