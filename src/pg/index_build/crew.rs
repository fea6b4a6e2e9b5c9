//! The session and its parallel workers, who fill empty indexes, each one at
//! a time, the largest shard first.
//!
//! Each of them has its part of `maintenance_work_mem`. In parallel mode nobody
//! may change a catalog: so they call the access method itself, as the server
//! does around it, and the session lets the server finish afterwards.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use pgrx::pg_sys;
use pgrx::pg_sys::IndexInfo;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::Relation;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;

use crate::pg::index_build::Made;
use crate::pg::index_build::server;
use crate::pg::index_build::target::Plan;

const KEY: u64 = 1;

/// One index to fill, and what came of it.
#[repr(C)]
struct Task {
    heap: Oid,
    index: Oid,
    heap_tuples: f64,
    index_tuples: f64,
    broken_chain: bool,
}

/// What one worker has used.
#[repr(C)]
struct Used {
    buffers: pg_sys::BufferUsage,
    wal: pg_sys::WalUsage,
}

/// What all of them share; tasks and then what was used follow.
#[repr(C)]
struct Work {
    next: AtomicU32,
    workers: u32,
    tasks: u32,
    memory_kb: c_int,
}

impl Work {
    const fn bytes(tasks: usize, workers: usize) -> usize {
        Self::used_at(tasks) + workers * size_of::<Used>()
    }

    const fn tasks_at() -> usize {
        size_of::<Self>().next_multiple_of(align_of::<Task>())
    }

    const fn used_at(tasks: usize) -> usize {
        (Self::tasks_at() + tasks * size_of::<Task>()).next_multiple_of(align_of::<Used>())
    }

    /// # Safety
    /// Shared memory that [`build`] has filled, and a number less than `tasks`.
    unsafe fn task(work: *mut Self, at: usize) -> *mut Task {
        // SAFETY: as above.
        unsafe { work.cast::<u8>().add(Self::tasks_at()).cast::<Task>().add(at) }
    }

    /// # Safety
    /// As [`Work::task`], with the number of a worker.
    unsafe fn used(work: *mut Self, at: usize) -> *mut Used {
        // SAFETY: as above.
        unsafe {
            let at_byte = Self::used_at((*work).tasks as usize);
            work.cast::<u8>().add(at_byte).cast::<Used>().add(at)
        }
    }
}

thread_local! {
    static FINISHING: Cell<*const Task> = const { Cell::new(std::ptr::null()) };
}

/// Fills the indexes; returns how many processes did. Owns nothing: errors jump.
///
/// # Safety
/// Empty indexes that this transaction has made, on tables that it has locked.
pub unsafe fn build(plan: &Plan, made: *mut Made) -> usize {
    // SAFETY: the order of things is that of the server's own parallel index build.
    unsafe {
        server::pgstat_progress_start_command(
            pg_sys::ProgressCommandType::PROGRESS_COMMAND_CREATE_INDEX,
            plan.root,
        );
        server::pgstat_progress_update_param(
            pg_sys::PROGRESS_CREATEIDX_PARTITIONS_TOTAL as c_int,
            plan.count as i64,
        );
        server::PushActiveSnapshot(server::GetTransactionSnapshot());
        server::EnterParallelMode();
        let workers = plan.processes - 1;
        let context = server::CreateParallelContext(
            c"pg_presplit".as_ptr(),
            c"presplit_index_worker_main".as_ptr(),
            workers as c_int,
        );
        let bytes = Work::bytes(plan.count, workers);
        (*context).estimator.space_for_chunks += bytes.next_multiple_of(pg_sys::ALIGNOF_BUFFER as usize);
        (*context).estimator.number_of_keys += 1;
        server::InitializeParallelDSM(context);
        let work = server::shm_toc_allocate((*context).toc, bytes).cast::<Work>();
        fill(work, plan, made, workers);
        server::shm_toc_insert((*context).toc, KEY, work.cast());
        server::LaunchParallelWorkers(context);
        let launched = (*context).nworkers_launched as usize;
        // Alone, the session has all the memory.
        let memory = if launched == 0 { pg_sys::maintenance_work_mem } else { (*work).memory_kb };
        take_part(work, memory);
        server::WaitForParallelWorkersToFinish(context);
        for at in 0..launched {
            let used = Work::used(work, at);
            server::InstrAccumParallelQuery(&raw mut (*used).buffers, &raw mut (*used).wal);
        }
        let tasks = server::palloc0(plan.count * size_of::<Task>()).cast::<Task>();
        std::ptr::copy_nonoverlapping(Work::task(work, 0), tasks, plan.count);
        server::DestroyParallelContext(context);
        server::ExitParallelMode();
        server::PopActiveSnapshot();
        for at in 0..plan.count {
            finish(tasks.add(at));
            server::pgstat_progress_update_param(
                pg_sys::PROGRESS_CREATEIDX_PARTITIONS_DONE as c_int,
                at as i64 + 1,
            );
        }
        server::pgstat_progress_end_command();
        launched + 1
    }
}

/// Writes down what is to be done, the largest first.
///
/// # Safety
/// Memory of the size that was asked for.
unsafe fn fill(work: *mut Work, plan: &Plan, made: *mut Made, workers: usize) {
    // SAFETY: as above; the server has zeroed nothing, so all of it is written.
    unsafe {
        work.cast::<u8>().write_bytes(0, Work::bytes(plan.count, workers));
        work.write(Work {
            next: AtomicU32::new(0),
            workers: workers as u32,
            tasks: plan.count as u32,
            memory_kb: pg_sys::maintenance_work_mem / plan.processes as c_int,
        });
        for at in 0..plan.count {
            let one = *made.add((*plan.shards.add(at)).order);
            Work::task(work, at).write(Task {
                heap: one.heap,
                index: one.index,
                heap_tuples: 0.0,
                index_tuples: 0.0,
                broken_chain: false,
            });
        }
    }
}

/// What runs in a parallel worker.
///
/// # Safety
/// Called by the server in a parallel worker that was launched by [`build`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn presplit_index_worker_main(
    _: *mut pg_sys::dsm_segment,
    toc: *mut pg_sys::shm_toc,
) {
    // SAFETY: as above.
    unsafe {
        let work = server::shm_toc_lookup(toc, KEY, false).cast::<Work>();
        server::InstrStartParallelQuery();
        take_part(work, (*work).memory_kb);
        let number = pg_sys::ParallelWorkerNumber as usize;
        if number < (*work).workers as usize {
            let used = Work::used(work, number);
            server::InstrEndParallelQuery(&raw mut (*used).buffers, &raw mut (*used).wal);
        }
    }
}

/// Fills indexes until there are none left.
///
/// # Safety
/// In parallel mode, with the shared memory of [`build`].
unsafe fn take_part(work: *mut Work, memory_kb: c_int) {
    // SAFETY: each task is done by one process.
    unsafe {
        let level = server::NewGUCNestLevel();
        pgrx_extern_c_guard(|| set_memory(memory_kb));
        loop {
            let at = (*work).next.fetch_add(1, Ordering::Relaxed) as usize;
            if at >= (*work).tasks as usize {
                break;
            }
            fill_index(Work::task(work, at));
        }
        server::AtEOXact_GUC(false, level);
    }
}

/// A setting of this part of the statement; in parallel mode that is allowed.
fn set_memory(memory_kb: c_int) {
    let value = std::ffi::CString::new(format!("{memory_kb}kB")).unwrap_or_default();
    // SAFETY: the caller has opened a level for it.
    unsafe {
        pg_sys::set_config_option(
            c"maintenance_work_mem".as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// Fills one index, with the rights of the table's owner, as the server does.
///
/// # Safety
/// In parallel mode; owns nothing.
unsafe fn fill_index(task: *mut Task) {
    // SAFETY: the locks are those of the server's own workers.
    unsafe {
        let heap = server::table_open((*task).heap, pg_sys::ShareLock as c_int);
        let index = server::index_open((*task).index, pg_sys::AccessExclusiveLock as c_int);
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        server::GetUserIdAndSecContext(&raw mut user, &raw mut context);
        server::SetUserIdAndSecContext(
            (*(*heap).rd_rel).relowner,
            context | pg_sys::SECURITY_RESTRICTED_OPERATION as c_int,
        );
        let level = server::NewGUCNestLevel();
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        server::RestrictSearchPath();
        let info = server::BuildIndexInfo(index);
        if let Some(build) = (*(*index).rd_indam).ambuild {
            let result = build(heap, index, info);
            (*task).heap_tuples = (*result).heap_tuples;
            (*task).index_tuples = (*result).index_tuples;
            (*task).broken_chain = (*info).ii_BrokenHotChain;
        }
        server::AtEOXact_GUC(false, level);
        server::SetUserIdAndSecContext(user, context);
        server::index_close(index, pg_sys::NoLock as c_int);
        server::table_close(heap, pg_sys::NoLock as c_int);
    }
}

/// Lets the server do the rest for an index that is filled: what is said of
/// it and its table in the catalog, the empty copy of an unlogged one.
///
/// # Safety
/// A task that is done; no more in parallel mode.
unsafe fn finish(task: *const Task) {
    // SAFETY: the access method's description is a copy that belongs to the
    // open index, and is put back before the index is closed. After an error
    // the index is gone with the transaction.
    unsafe {
        let heap = server::table_open((*task).heap, pg_sys::NoLock as c_int);
        let index = server::index_open((*task).index, pg_sys::NoLock as c_int);
        let info = server::BuildIndexInfo(index);
        let method = (*index).rd_indam;
        let build = (*method).ambuild;
        FINISHING.set(task);
        (*method).ambuild = Some(is_filled);
        server::index_build(heap, index, info, false, false);
        (*method).ambuild = build;
        FINISHING.set(std::ptr::null());
        server::index_close(index, pg_sys::NoLock as c_int);
        server::table_close(heap, pg_sys::NoLock as c_int);
        server::CommandCounterIncrement();
    }
}

/// In the place of an access method's build: the index is filled already.
unsafe extern "C-unwind" fn is_filled(
    _: Relation,
    _: Relation,
    info: *mut IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    let task = FINISHING.get();
    if task.is_null() {
        return null_mut();
    }
    // SAFETY: called by the server within `finish`.
    unsafe {
        (*info).ii_BrokenHotChain = (*task).broken_chain;
        let result =
            server::palloc0(size_of::<pg_sys::IndexBuildResult>()).cast::<pg_sys::IndexBuildResult>();
        (*result).heap_tuples = (*task).heap_tuples;
        (*result).index_tuples = (*task).index_tuples;
        result
    }
}
