//! Rows that wait for their shard: as formed tuples, one after another in
//! blocks of memory, with a list of pointers per shard.
//!
//! PostgreSQL's own COPY keeps 1,000 rows or 64 kB for all partitions
//! together, and a slot per row. Here the room grows with the number of shards
//! that rows wait for, up to `maintenance_work_mem`, so that each gets
//! hundreds at once; rows in the order of the shards need no more than there.
//! Tuples are written in sequence and read shard by shard: a piece of memory
//! per shard to write to would miss the caches at every row. Rows of one shard
//! keep their order.

use std::ffi::c_char;
use std::ffi::c_void;
use std::ptr::null_mut;

use pgrx::pg_sys;
use pgrx::pg_sys::Buffer;
use pgrx::pg_sys::BufferAccessStrategy;
use pgrx::pg_sys::EState;
use pgrx::pg_sys::ErrorContextCallback;
use pgrx::pg_sys::HeapTuple;
use pgrx::pg_sys::HeapTupleData;
use pgrx::pg_sys::MemoryContext;
use pgrx::pg_sys::ResultRelInfo;
use pgrx::pg_sys::TupleTableSlot;

use crate::pg::copy::server;

/// Rows of one shard that are written at once.
const ROWS_MAX: usize = 1000;

/// Bytes that wait for each of the shards that have any, and for all together at least.
const BYTES_PER_SHARD: usize = 16 * 1024;
const BYTES_MIN: usize = 64 * 1024;

/// Bytes of a block; larger rows have one of their own.
const BLOCK: usize = 64 * 1024;

/// Rows that a shard's list begins with, and that it may go on having room for.
const LIST_FIRST: usize = 32;
const LIST_KEPT: usize = 512;

/// What all rows together may have, whatever the setting says.
const BUDGET_MIN: usize = 1024 * 1024;

/// PostgreSQL's state of inserting many rows into one table, which its header
/// of that name describes. Ours share the ring of buffers that a COPY has, so
/// that many shards do not push everything else out of shared memory.
#[repr(C)]
struct BulkInsert {
    strategy: BufferAccessStrategy,
    /// Pinned.
    current: Buffer,
    #[cfg(not(feature = "pg15"))]
    next_free: pg_sys::BlockNumber,
    #[cfg(not(feature = "pg15"))]
    last_free: pg_sys::BlockNumber,
    #[cfg(not(feature = "pg15"))]
    extended_by: u32,
}

/// What precedes each waiting tuple.
#[repr(C)]
struct Waiting {
    line: u64,
    length: u32,
}

const HEADER: usize = aligned(size_of::<Waiting>());

const fn aligned(size: usize) -> usize {
    size.next_multiple_of(pg_sys::MAXIMUM_ALIGNOF as usize)
}

/// A piece of memory for rows, behind this head.
#[repr(C)]
struct Block {
    next: *mut Block,
    size: usize,
}

/// The rows that wait for one shard.
pub struct Shard {
    result: *mut ResultRelInfo,
    bulk: BulkInsert,
    /// Pages that the shard was extended by, and what the server was told of them.
    #[cfg(not(feature = "pg15"))]
    pages: u32,
    #[cfg(not(feature = "pg15"))]
    told: u32,
    rows: *mut *mut Waiting,
    count: usize,
    capacity: usize,
    /// Among all shards.
    next: *mut Shard,
    /// Among those that rows wait for.
    next_waiting: *mut Shard,
}

/// All waiting rows of a COPY. Allocated by the server, owns nothing.
pub struct Batches {
    estate: *mut EState,
    command: pg_sys::CommandId,
    /// Everything of ours, until the end.
    memory: MemoryContext,
    /// For the time of one shard's writing.
    scratch: MemoryContext,
    strategy: BufferAccessStrategy,
    shards: *mut Shard,
    /// In the order in which rows came.
    waiting: *mut Shard,
    last_waiting: *mut Shard,
    /// The block that rows are written to, those that are full, and free ones.
    block: *mut Block,
    used: usize,
    full: *mut Block,
    free: *mut Block,
    /// Bytes that wait, and how many may.
    bytes: usize,
    limit: usize,
    budget: usize,
    slots: *mut *mut TupleTableSlot,
    tuples: *mut HeapTupleData,
    made: usize,
    /// What the slots were made for; they have room for that many columns.
    descriptor: pg_sys::TupleDesc,
    pub written: i64,
    errors: Errors,
}

/// What an error says while rows are written that were read before.
struct Errors {
    relation: *const c_char,
    line: u64,
}

/// `CONTEXT: COPY orders, line 7`, in PostgreSQL's own words and language.
unsafe extern "C-unwind" fn say_line(errors: *mut c_void) {
    // SAFETY: called by the server while the batches live.
    unsafe {
        let errors = errors.cast::<Errors>();
        server::set_errcontext_domain(std::ptr::null());
        server::errcontext_msg(c"COPY %s, line %llu".as_ptr(), (*errors).relation, (*errors).line);
    }
}

impl Batches {
    /// # Safety
    /// In a statement, with an executor state that has the table open.
    pub unsafe fn new(estate: *mut EState, root: pg_sys::Relation, command: pg_sys::CommandId) -> *mut Self {
        // SAFETY: allocations of the server, in contexts that outlive the COPY's rows.
        unsafe {
            let memory = server::new_context(c"presplit load".as_ptr());
            let before = server::switch_to(memory);
            let scratch = server::new_context(c"presplit load: one shard".as_ptr());
            server::switch_to(before);
            let batches = server::MemoryContextAllocZero(memory, size_of::<Self>()).cast::<Self>();
            let setting = usize::try_from(server::maintenance_work_mem).unwrap_or(0) * 1024;
            batches.write(Self {
                estate,
                command,
                memory,
                scratch,
                strategy: server::GetAccessStrategy(pg_sys::BufferAccessStrategyType::BAS_BULKWRITE),
                shards: null_mut(),
                waiting: null_mut(),
                last_waiting: null_mut(),
                block: null_mut(),
                used: 0,
                full: null_mut(),
                free: null_mut(),
                bytes: 0,
                limit: BYTES_MIN,
                budget: setting.max(BUDGET_MIN),
                slots: server::MemoryContextAllocZero(memory, ROWS_MAX * size_of::<*mut TupleTableSlot>())
                    .cast(),
                tuples: server::MemoryContextAllocZero(memory, ROWS_MAX * size_of::<HeapTupleData>()).cast(),
                made: 0,
                descriptor: null_mut(),
                written: 0,
                errors: Errors { relation: (&raw const (*(*root).rd_rel).relname).cast(), line: 0 },
            });
            batches
        }
    }

    /// Adds a tuple to those that wait for its shard; if that is enough, all are written.
    ///
    /// # Safety
    /// A plain heap shard of this COPY and a tuple of its row type.
    #[inline]
    pub unsafe fn add(&mut self, result: *mut ResultRelInfo, tuple: HeapTuple, line: u64) {
        // SAFETY: a block has as many bytes as it says; lists have room for `capacity` rows.
        unsafe {
            let shard = self.shard_of(result);
            let length = (*tuple).t_len as usize;
            let size = HEADER + aligned(length);
            if self.block.is_null() || self.used + size > (*self.block).size {
                self.next_block(size);
            }
            let place = self.block.cast::<u8>().add(self.used);
            #[expect(clippy::cast_ptr_alignment, reason = "blocks and sizes are aligned")]
            let row = place.cast::<Waiting>();
            row.write(Waiting { line, length: (*tuple).t_len });
            std::ptr::copy_nonoverlapping((*tuple).t_data.cast::<u8>(), place.add(HEADER), length);
            self.used += size;
            self.bytes += size + size_of::<*mut Waiting>();
            if (*shard).count == (*shard).capacity {
                self.lengthen(shard);
            }
            if (*shard).count == 0 {
                self.await_more(shard);
                self.limit = (self.limit + BYTES_PER_SHARD).min(self.budget);
            }
            *(*shard).rows.add((*shard).count) = row;
            (*shard).count += 1;
            if self.bytes >= self.limit {
                self.flush(line);
            }
        }
    }

    #[inline]
    unsafe fn await_more(&mut self, shard: *mut Shard) {
        // SAFETY: shards live as long as the batches.
        unsafe {
            (*shard).next_waiting = null_mut();
            if self.waiting.is_null() {
                self.waiting = shard;
            } else {
                (*self.last_waiting).next_waiting = shard;
            }
            self.last_waiting = shard;
        }
    }

    #[inline]
    unsafe fn shard_of(&mut self, result: *mut ResultRelInfo) -> *mut Shard {
        // SAFETY: the server keeps this pointer for its own COPY, which is not running.
        unsafe {
            let known = (*result).ri_CopyMultiInsertBuffer.cast::<Shard>();
            if known.is_null() { self.new_shard(result) } else { known }
        }
    }

    #[cold]
    unsafe fn new_shard(&mut self, result: *mut ResultRelInfo) -> *mut Shard {
        // SAFETY: as above.
        unsafe {
            let shard = server::MemoryContextAllocZero(self.memory, size_of::<Shard>()).cast::<Shard>();
            shard.write(Shard {
                result,
                bulk: BulkInsert {
                    strategy: self.strategy,
                    current: pg_sys::InvalidBuffer as Buffer,
                    #[cfg(not(feature = "pg15"))]
                    next_free: pg_sys::InvalidBlockNumber,
                    #[cfg(not(feature = "pg15"))]
                    last_free: pg_sys::InvalidBlockNumber,
                    #[cfg(not(feature = "pg15"))]
                    extended_by: 0,
                },
                #[cfg(not(feature = "pg15"))]
                pages: 0,
                #[cfg(not(feature = "pg15"))]
                told: 0,
                rows: null_mut(),
                count: 0,
                capacity: 0,
                next: self.shards,
                next_waiting: null_mut(),
            });
            self.shards = shard;
            (*result).ri_CopyMultiInsertBuffer = shard.cast();
            shard
        }
    }

    /// Goes on in another block, which has room for a row.
    unsafe fn next_block(&mut self, size: usize) {
        // SAFETY: blocks are in one of the lists, or the current one.
        unsafe {
            if !self.block.is_null() {
                (*self.block).next = self.full;
                self.full = self.block;
            }
            let wanted = (size_of::<Block>() + size).max(BLOCK);
            if wanted == BLOCK && !self.free.is_null() {
                self.block = self.free;
                self.free = (*self.block).next;
            } else {
                self.block = server::MemoryContextAllocHuge(self.memory, wanted).cast();
                (*self.block).size = wanted;
            }
            self.used = size_of::<Block>();
        }
    }

    /// Makes room for more rows in a shard's list.
    unsafe fn lengthen(&mut self, shard: *mut Shard) {
        // SAFETY: a list of the server's memory, that nothing else points to.
        unsafe {
            let capacity = ((*shard).capacity * 2).max(LIST_FIRST);
            let bytes = capacity * size_of::<*mut Waiting>();
            (*shard).rows = if (*shard).rows.is_null() {
                server::MemoryContextAlloc(self.memory, bytes).cast()
            } else {
                server::repalloc((*shard).rows.cast(), bytes).cast()
            };
            (*shard).capacity = capacity;
        }
    }

    /// Writes what waits; the line is the one that was read last.
    ///
    /// # Safety
    /// As [`Batches::add`].
    pub unsafe fn flush(&mut self, line: u64) {
        // SAFETY: shards live as long as the batches; no row is looked at after its block is free.
        unsafe {
            while !self.waiting.is_null() {
                let shard = self.waiting;
                let mut from = 0;
                while from < (*shard).count {
                    self.errors.line = line;
                    let rows = ((*shard).count - from).min(ROWS_MAX);
                    self.write(shard, from, rows);
                    from += rows;
                    server::check_for_interrupts();
                }
                (*shard).count = 0;
                if (*shard).capacity > LIST_KEPT {
                    server::pfree((*shard).rows.cast());
                    ((*shard).rows, (*shard).capacity) = (null_mut(), 0);
                }
                self.waiting = (*shard).next_waiting;
            }
            (self.bytes, self.limit) = (0, BYTES_MIN);
            self.release_blocks();
        }
    }

    /// Keeps the blocks of the usual size for the next rows.
    unsafe fn release_blocks(&mut self) {
        // SAFETY: no row waits any more.
        unsafe {
            if !self.block.is_null() {
                (*self.block).next = self.full;
                self.full = self.block;
                self.block = null_mut();
            }
            while !self.full.is_null() {
                let block = self.full;
                self.full = (*block).next;
                if (*block).size == BLOCK {
                    (*block).next = self.free;
                    self.free = block;
                } else {
                    server::pfree(block.cast());
                }
            }
        }
    }

    /// Counts a row that was written without waiting.
    ///
    /// # Safety
    /// In the COPY that the batches were made for.
    pub unsafe fn count_one(&mut self) {
        self.written += 1;
        // SAFETY: a store into this backend's own status.
        unsafe {
            server::pgstat_progress_update_param(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED as i32, self.written);
        }
    }

    /// Writes some of the rows that wait for one shard.
    unsafe fn write(&mut self, shard: *mut Shard, from: usize, rows: usize) {
        // SAFETY: the list holds that many rows, each behind its header.
        unsafe {
            self.prepare_slots((*shard).result, rows);
            let list = (*shard).rows.add(from);
            for at in 0..rows {
                self.fill(at, (*shard).result, *list.add(at));
            }
            self.insert(shard, list, rows);
        }
    }

    /// Makes slots for so many rows of a shard. They belong to no relation and
    /// serve all shards, one after another.
    unsafe fn prepare_slots(&mut self, result: *mut ResultRelInfo, rows: usize) {
        // SAFETY: descriptors are copies that nobody counts references of.
        unsafe {
            let descriptor = (*(*result).ri_RelationDesc).rd_att;
            let before = server::switch_to(self.memory);
            if self.descriptor.is_null() || (*descriptor).natts > (*self.descriptor).natts {
                // Those with less room, if any, go with the memory at the end.
                (self.descriptor, self.made) = (server::CreateTupleDescCopy(descriptor), 0);
            }
            while self.made < rows {
                *self.slots.add(self.made) =
                    server::MakeTupleTableSlot(self.descriptor, &raw const server::TTSOpsHeapTuple);
                self.made += 1;
            }
            server::switch_to(before);
        }
    }

    /// Puts a tuple into a slot. The slot believes that it owns the tuple, or
    /// the server would copy it; [`Batches::empty`] sees to it that it frees nothing.
    #[inline]
    unsafe fn fill(&mut self, at: usize, result: *mut ResultRelInfo, row: *mut Waiting) {
        // SAFETY: slot and tuple of this number exist; the slot has room for the shard's columns.
        unsafe {
            let (slot, tuple) = (*self.slots.add(at), self.tuples.add(at));
            (*tuple).t_len = (*row).length;
            (*tuple).t_self.ip_blkid.bi_hi = u16::MAX;
            (*tuple).t_self.ip_blkid.bi_lo = u16::MAX;
            (*tuple).t_self.ip_posid = 0;
            (*tuple).t_tableOid = (*(*result).ri_RelationDesc).rd_id;
            (*tuple).t_data = row.cast::<u8>().add(HEADER).cast();
            (*slot).tts_tupleDescriptor = (*(*result).ri_RelationDesc).rd_att;
            server::ExecStoreHeapTuple(tuple, slot, true);
        }
    }

    #[inline]
    unsafe fn empty(&mut self, at: usize) {
        // SAFETY: as in `fill`.
        unsafe {
            let slot = *self.slots.add(at);
            (*slot).tts_flags &= !(pg_sys::TTS_FLAG_SHOULDFREE as u16);
            server::clear(slot);
        }
    }

    /// Inserts the rows of the slots into their shard, with their index
    /// entries and the checks that foreign keys ask for.
    unsafe fn insert(&mut self, shard: *mut Shard, list: *mut *mut Waiting, rows: usize) {
        // SAFETY: calls and contexts are those of the server's own COPY. The
        // callback is taken off again; after an error the server forgets it.
        unsafe {
            let result = (*shard).result;
            let relation = (*result).ri_RelationDesc;
            let outer = server::error_context_stack;
            let mut callback = ErrorContextCallback {
                previous: if outer.is_null() { outer } else { (*outer).previous },
                callback: Some(say_line),
                arg: (&raw mut self.errors).cast(),
            };
            server::error_context_stack = &raw mut callback;
            let before = server::switch_to(self.scratch);
            if let Some(insert) = (*(*relation).rd_tableam).multi_insert {
                insert(relation, self.slots, rows as i32, self.command, 0, (&raw mut (*shard).bulk).cast());
            }
            server::switch_to(before);
            let triggers = (*result).ri_TrigDesc;
            let after = !triggers.is_null() && (*triggers).trig_insert_after_row;
            if (*result).ri_NumIndices > 0 || after {
                for at in 0..rows {
                    self.errors.line = (**list.add(at)).line;
                    self.index(result, *self.slots.add(at));
                }
            }
            for at in 0..rows {
                self.empty(at);
            }
            self.written += rows as i64;
            server::pgstat_progress_update_param(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED as i32, self.written);
            server::error_context_stack = outer;
            server::MemoryContextReset(self.scratch);
            (*shard).let_go();
        }
    }

    unsafe fn index(&mut self, result: *mut ResultRelInfo, slot: *mut TupleTableSlot) {
        // SAFETY: the slot holds a row that was just inserted.
        unsafe {
            let recheck = if (*result).ri_NumIndices > 0 {
                index_entries(result, slot, self.estate)
            } else {
                null_mut()
            };
            server::ExecARInsertTriggers(self.estate, result, slot, recheck, null_mut());
            server::list_free(recheck);
        }
    }

    /// Ends it; everything is written.
    ///
    /// # Safety
    /// Made by [`Batches::new`]; not used afterwards.
    pub unsafe fn end(&mut self) {
        // SAFETY: the strategy is freed before the memory that knows of it.
        unsafe {
            let mut shard = self.shards;
            while !shard.is_null() {
                let result = (*shard).result;
                (*result).ri_CopyMultiInsertBuffer = null_mut();
                if let Some(finish) = (*(*(*result).ri_RelationDesc).rd_tableam).finish_bulk_insert {
                    finish((*result).ri_RelationDesc, 0);
                }
                shard = (*shard).next;
            }
            server::FreeAccessStrategy(self.strategy);
            server::MemoryContextDelete(self.memory);
        }
    }
}

impl Shard {
    /// Unpins the page that rows went to last: hundreds of shards would pin
    /// too many. What the server knows of pages further on is kept.
    /// The server extends a table again by as many pages as before, 64 at most;
    /// with hundreds of shards that would leave as many empty pages in each. So
    /// it is told of an eighth.
    unsafe fn let_go(&mut self) {
        #[cfg(not(feature = "pg15"))]
        {
            self.pages += self.bulk.extended_by - self.told;
            self.told = self.pages / 8;
            self.bulk.extended_by = self.told;
        }
        if self.bulk.current != pg_sys::InvalidBuffer as Buffer {
            // SAFETY: the server left it pinned for us.
            unsafe { server::ReleaseBuffer(self.bulk.current) };
            self.bulk.current = pg_sys::InvalidBuffer as Buffer;
        }
    }
}

/// Makes a row's index entries; returns the indexes to check again later.
///
/// # Safety
/// A row that was just inserted into this relation.
pub unsafe fn index_entries(
    result: *mut ResultRelInfo,
    slot: *mut TupleTableSlot,
    estate: *mut EState,
) -> *mut pg_sys::List {
    // SAFETY: as the server's own COPY does.
    unsafe {
        #[cfg(feature = "pg15")]
        return server::ExecInsertIndexTuples(result, slot, estate, false, false, null_mut(), null_mut());
        #[cfg(not(feature = "pg15"))]
        return server::ExecInsertIndexTuples(
            result,
            slot,
            estate,
            false,
            false,
            null_mut(),
            null_mut(),
            false,
        );
    }
}
