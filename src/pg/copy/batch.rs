//! Rows that wait for their shard: as formed tuples, one after another in a
//! piece of memory per shard, so that a shard gets hundreds at once.
//!
//! PostgreSQL's own COPY keeps 1,000 rows or 64 kB for all partitions
//! together, and a slot per row. Here a shard alone has that much, a waiting
//! row costs its tuple and 16 bytes, and all shards together stay within
//! `maintenance_work_mem`. Rows of one shard keep their order.

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

/// Bytes of a shard's waiting rows.
const BYTES_MAX: usize = 64 * 1024;

/// Bytes that a shard begins with, and how much more it gets when they are full.
const BYTES_FIRST: usize = 4 * 1024;
const GROWTH: usize = 4;

/// What all shards may have, whatever the setting says.
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

/// The rows that wait for one shard.
pub struct Shard {
    result: *mut ResultRelInfo,
    bulk: BulkInsert,
    bytes: *mut u8,
    capacity: usize,
    used: usize,
    rows: usize,
    next: *mut Shard,
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
    first: *mut Shard,
    slots: *mut *mut TupleTableSlot,
    tuples: *mut HeapTupleData,
    made: usize,
    /// What the slots were made for; they have room for that many columns.
    descriptor: pg_sys::TupleDesc,
    held: usize,
    budget: usize,
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
                first: null_mut(),
                slots: server::MemoryContextAllocZero(memory, ROWS_MAX * size_of::<*mut TupleTableSlot>())
                    .cast(),
                tuples: server::MemoryContextAllocZero(memory, ROWS_MAX * size_of::<HeapTupleData>()).cast(),
                made: 0,
                descriptor: null_mut(),
                held: 0,
                budget: setting.max(BUDGET_MIN),
                written: 0,
                errors: Errors { relation: (&raw const (*(*root).rd_rel).relname).cast(), line: 0 },
            });
            batches
        }
    }

    /// Adds a tuple to those that wait for its shard.
    ///
    /// # Safety
    /// A plain heap shard of this COPY and a tuple of its row type.
    #[inline]
    pub unsafe fn add(&mut self, result: *mut ResultRelInfo, tuple: HeapTuple, line: u64) {
        // SAFETY: the shard's memory is as large as `capacity` says.
        unsafe {
            let shard = self.shard_of(result);
            let length = (*tuple).t_len as usize;
            let size = HEADER + aligned(length);
            if (*shard).used + size > (*shard).capacity || (*shard).rows == ROWS_MAX {
                self.errors.line = line;
                if size > BYTES_MAX {
                    self.write(shard);
                    return self.write_large(shard, tuple, line);
                }
                self.make_room(shard, size);
            }
            let place = (*shard).bytes.add((*shard).used);
            #[expect(clippy::cast_ptr_alignment, reason = "pieces and sizes are aligned")]
            place.cast::<Waiting>().write(Waiting { line, length: (*tuple).t_len });
            std::ptr::copy_nonoverlapping((*tuple).t_data.cast::<u8>(), place.add(HEADER), length);
            (*shard).used += size;
            (*shard).rows += 1;
        }
    }

    #[inline]
    unsafe fn shard_of(&mut self, result: *mut ResultRelInfo) -> *mut Shard {
        // SAFETY: the server keeps this pointer for its own COPY, which is not running.
        unsafe {
            let known = (*result).ri_CopyMultiInsertBuffer.cast::<Shard>();
            if !known.is_null() {
                return known;
            }
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
                bytes: null_mut(),
                capacity: 0,
                used: 0,
                rows: 0,
                next: self.first,
            });
            self.first = shard;
            (*result).ri_CopyMultiInsertBuffer = shard.cast();
            shard
        }
    }

    /// Makes room for one more row of at most `BYTES_MAX`.
    unsafe fn make_room(&mut self, shard: *mut Shard, size: usize) {
        // SAFETY: memory is the server's; nothing points into a piece but its shard.
        unsafe {
            if (*shard).used + size > BYTES_MAX || (*shard).rows == ROWS_MAX {
                self.write(shard);
                if size <= (*shard).capacity {
                    return;
                }
            }
            let mut capacity = (*shard).capacity.max(BYTES_FIRST / GROWTH);
            while capacity < (*shard).used + size {
                capacity = (capacity * GROWTH).min(BYTES_MAX);
            }
            if self.held + capacity - (*shard).capacity > self.budget {
                self.write_all();
                self.release_all();
                capacity = size.next_power_of_two().max(BYTES_FIRST);
            }
            self.held += capacity - (*shard).capacity;
            (*shard).bytes = if (*shard).bytes.is_null() {
                server::MemoryContextAlloc(self.memory, capacity).cast()
            } else {
                server::repalloc((*shard).bytes.cast(), capacity).cast()
            };
            (*shard).capacity = capacity;
        }
    }

    /// Writes what waits; the line is the one that was read last.
    ///
    /// # Safety
    /// As [`Batches::add`].
    pub unsafe fn flush(&mut self, line: u64) {
        self.errors.line = line;
        // SAFETY: as above.
        unsafe { self.write_all() };
    }

    unsafe fn write_all(&mut self) {
        // SAFETY: shards live as long as the batches.
        unsafe {
            let mut shard = self.first;
            while !shard.is_null() {
                self.write(shard);
                server::check_for_interrupts();
                shard = (*shard).next;
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

    unsafe fn release_all(&mut self) {
        // SAFETY: nothing waits any more.
        unsafe {
            let mut shard = self.first;
            while !shard.is_null() {
                if !(*shard).bytes.is_null() {
                    server::pfree((*shard).bytes.cast());
                }
                ((*shard).bytes, (*shard).capacity) = (null_mut(), 0);
                shard = (*shard).next;
            }
            self.held = 0;
        }
    }

    /// Writes the rows that wait for one shard.
    unsafe fn write(&mut self, shard: *mut Shard) {
        // SAFETY: the piece holds `rows` rows, each behind its header.
        unsafe {
            let rows = (*shard).rows;
            if rows == 0 {
                return;
            }
            self.prepare_slots((*shard).result, rows);
            let mut place = (*shard).bytes;
            for at in 0..rows {
                #[expect(clippy::cast_ptr_alignment, reason = "pieces and sizes are aligned")]
                let length = (*place.cast::<Waiting>()).length;
                self.fill(at, (*shard).result, place.add(HEADER).cast(), length);
                place = place.add(HEADER + aligned(length as usize));
            }
            self.insert(shard, rows, (*shard).bytes, 0);
            ((*shard).used, (*shard).rows) = (0, 0);
        }
    }

    /// Writes a row that is too large to wait.
    unsafe fn write_large(&mut self, shard: *mut Shard, tuple: HeapTuple, line: u64) {
        // SAFETY: the tuple lives in the memory of its row, which is not reset meanwhile.
        unsafe {
            self.prepare_slots((*shard).result, 1);
            self.fill(0, (*shard).result, (*tuple).t_data, (*tuple).t_len);
            self.insert(shard, 1, null_mut(), line);
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
    unsafe fn fill(
        &mut self,
        at: usize,
        result: *mut ResultRelInfo,
        data: pg_sys::HeapTupleHeader,
        length: u32,
    ) {
        // SAFETY: slot and tuple of this number exist; the slot has room for the shard's columns.
        unsafe {
            let (slot, tuple) = (*self.slots.add(at), self.tuples.add(at));
            (*tuple).t_len = length;
            (*tuple).t_self.ip_blkid.bi_hi = u16::MAX;
            (*tuple).t_self.ip_blkid.bi_lo = u16::MAX;
            (*tuple).t_self.ip_posid = 0;
            (*tuple).t_tableOid = (*(*result).ri_RelationDesc).rd_id;
            (*tuple).t_data = data;
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
    unsafe fn insert(&mut self, shard: *mut Shard, rows: usize, waiting: *mut u8, line: u64) {
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
                let mut place = waiting;
                for at in 0..rows {
                    if place.is_null() {
                        self.errors.line = line;
                    } else {
                        #[expect(clippy::cast_ptr_alignment, reason = "pieces and sizes are aligned")]
                        let header = &*place.cast::<Waiting>();
                        self.errors.line = header.line;
                        place = place.add(HEADER + aligned(header.length as usize));
                    }
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
            let mut shard = self.first;
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
    unsafe fn let_go(&mut self) {
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
