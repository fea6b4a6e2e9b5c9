//! What runs in a load worker: batches come in, each a COPY of its own into
//! the staging table of its shard.
//!
//! The worker is the session's second hand: the same user, settings and
//! clock, a lock group with it. Its errors go to the leader word for word and
//! not into the log, where the leader's own will be. No frame owns anything
//! while it calls an unguarded function.

use std::cell::Cell;
use std::ffi::CString;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr::null;
use std::ptr::null_mut;
use std::sync::OnceLock;

use cee_scape::call_with_sigsetjmp;
use pgrx::pg_sys;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;

use crate::model::load::Filled;
use crate::model::load::Head;
use crate::model::load::answer;
use crate::model::load::order;
use crate::pg::error::raise;
use crate::pg::load_worker::server;
use crate::pg::load_worker::shared::Part;
use crate::pg::load_worker::shared::Shared;
use crate::pg::load_worker::uncounted;
use crate::pg::staging;

/// The workers' name in `pg_stat_activity.backend_type`.
pub const WORKER_TYPE: &str = "pg_presplit load worker";

/// Settings of a worker's own, whatever the leader has.
const SETTINGS: &[(&std::ffi::CStr, &std::ffi::CStr)] = &[
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    // Its commit counts when the leader's does, which comes later in the log.
    (c"synchronous_commit", c"off"),
    (c"lock_timeout", c"10s"),
    (c"log_min_messages", c"fatal"),
    (c"log_min_error_statement", c"panic"),
];

/// Writes down that staging tables exist, in the transaction that has made them.
pub type Register = fn(&Registered) -> Result<(), ErrorReport>;

/// What is written down of staging tables.
#[derive(Debug, Clone)]
pub struct Registered {
    pub load: u64,
    pub leader_pid: i32,
    pub shards: Vec<Oid>,
    pub staging: Vec<Oid>,
}

static REGISTER: OnceLock<Register> = OnceLock::new();

/// Tells what is to be done about new staging tables; called once, from `_PG_init`.
pub fn install(register: Register) {
    let _ = REGISTER.set(register);
}

/// A shard that this worker loads.
#[repr(C)]
struct Shard {
    oid: Oid,
    staging: Oid,
    rows: u64,
    next: *mut Shard,
}

/// Plain pointers and numbers: an error may jump over it.
struct Worker {
    shared: *const Shared,
    orders: *mut pg_sys::shm_mq_handle,
    answers: *mut pg_sys::shm_mq_handle,
    options: *mut pg_sys::List,
    columns: *mut pg_sys::List,
    memory: pg_sys::MemoryContext,
    /// Where a batch is parsed; emptied after each.
    scratch: pg_sys::MemoryContext,
    shards: *mut Shard,
    /// Rows of the batch at hand that came and were not read.
    piece: *const u8,
    piece_bytes: usize,
    /// Bytes of the batch that did not come yet.
    missing: u64,
    lines: *const u8,
    lines_bytes: usize,
    /// An error has undone what was loaded: it must not commit.
    has_failed: bool,
}

thread_local! {
    static WORKER: Cell<*mut Worker> = const { Cell::new(null_mut()) };
}

/// The entry of a load worker; the argument is the handle of the shared memory.
///
/// # Safety
/// Called by the postmaster's child.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn presplit_load_worker_main(argument: pg_sys::Datum) {
    // SAFETY: the order of things is that of PostgreSQL's own parallel workers.
    unsafe {
        let Some((shared, mut worker)) = pgrx_extern_c_guard(|| attach(argument)) else { return };
        if !pgrx_extern_c_guard(|| become_the_leader(shared)) {
            return;
        }
        pgrx_extern_c_guard(|| begin(shared, &mut worker));
        WORKER.set(&raw mut worker);
        pg_sys::before_shmem_exit(Some(uncounted::at_exit), pg_sys::Datum::from(0));
        if run(&mut worker) {
            server::CommitTransactionCommand();
            let done = [answer::DONE];
            server::shm_mq_send(worker.answers, 1, done.as_ptr().cast(), false, true);
        }
    }
}

/// # Safety
/// At the start of the process, with the worker's argument.
unsafe fn attach(argument: pg_sys::Datum) -> Option<(*const Shared, Worker)> {
    // SAFETY: the leader has filled the segment before it asked for workers.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(libc::SIGTERM, Some(terminate));
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(libc::SIGTERM, Some(terminate));
        pg_sys::BackgroundWorkerUnblockSignals();
        keep_memory();
        let memory = pg_sys::AllocSetContextCreateInternal(
            pg_sys::TopMemoryContext,
            c"presplit load worker".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        pg_sys::CurrentMemoryContext = memory;
        let segment = pg_sys::dsm_attach(argument.value() as u32);
        if segment.is_null() {
            return None;
        }
        let base = pg_sys::dsm_segment_address(segment).cast::<u8>();
        let shared = base.cast::<Shared>().cast_const();
        let mut number = [0; 8];
        for (to, from) in number.iter_mut().zip((*pg_sys::MyBgworkerEntry).bgw_extra) {
            *to = from as u8;
        }
        let number = usize::from_le_bytes(number);
        let (orders, answers) = (*shared).queues(number);
        let (orders, answers) = (base.add(orders).cast(), base.add(answers).cast());
        pg_sys::shm_mq_set_receiver(orders, pg_sys::MyProc);
        pg_sys::shm_mq_set_sender(answers, pg_sys::MyProc);
        let orders = pg_sys::shm_mq_attach(orders, segment, null_mut());
        let answers = pg_sys::shm_mq_attach(answers, segment, null_mut());
        server::pq_redirect_to_shm_mq(segment, answers);
        let worker = Worker {
            shared,
            orders,
            answers,
            options: null_mut(),
            columns: null_mut(),
            memory,
            scratch: null_mut(),
            shards: null_mut(),
            piece: null(),
            piece_bytes: 0,
            missing: 0,
            lines: null(),
            lines_bytes: 0,
            has_failed: false,
        };
        Some((shared, worker))
    }
}

/// What a batch needed is kept for the next, and not given back to the system
/// each time.
fn keep_memory() {
    #[cfg(target_env = "gnu")]
    {
        const BYTES: c_int = 32 * 1024 * 1024;
        // SAFETY: settings of the process's allocator.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, BYTES);
            libc::mallopt(libc::M_MMAP_THRESHOLD, BYTES);
        }
    }
}

/// SIGTERM: the server's own answer to it.
unsafe extern "C-unwind" fn terminate(signal: c_int) {
    // SAFETY: a signal handler of the server.
    unsafe { pg_sys::die(signal) };
}

/// Joins the leader's lock group and takes over its user, settings and clock;
/// false if it is gone.
///
/// # Safety
/// A segment that is attached.
unsafe fn become_the_leader(shared: *const Shared) -> bool {
    // SAFETY: as PostgreSQL's parallel workers do it, in their order. A load
    // worker is not one of them, for it has a transaction of its own.
    unsafe {
        let shared = &*shared;
        if !pg_sys::BecomeLockGroupMember(shared.leader, shared.leader_pid) {
            return false;
        }
        pg_sys::BackgroundWorkerInitializeConnectionByOid(
            shared.database,
            shared.authenticated_user,
            pg_sys::BGWORKER_BYPASS_ALLOWCONN,
        );
        server::StartTransactionCommand();
        pg_sys::RestoreLibraryState(place(shared, shared.libraries).cast());
        pg_sys::RestoreGUCState(place(shared, shared.settings).cast());
        pg_sys::SetCurrentRoleId(shared.current_user, shared.is_superuser);
        for (name, value) in SETTINGS {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_SESSION,
            );
        }
        let encoding = pg_sys::GetDatabaseEncoding();
        pg_sys::SetClientEncoding(encoding);
        server::CommitTransactionCommand();
        // `now` in the rows means the leader's time.
        pg_sys::ParallelWorkerNumber = 0;
        pg_sys::SetParallelStartTimestamps(shared.transaction_at, shared.statement_at);
        server::StartTransactionCommand();
        pg_sys::ParallelWorkerNumber = -1;
        true
    }
}

/// # Safety
/// A part of the segment that is attached.
unsafe fn place(shared: &Shared, part: Part) -> *mut u8 {
    // SAFETY: parts lie within the segment.
    unsafe { (&raw const *shared).cast::<u8>().cast_mut().add(part.at) }
}

/// # Safety
/// In the worker's transaction.
unsafe fn begin(shared: *const Shared, worker: &mut Worker) {
    // SAFETY: what the leader wrote, zero-terminated.
    unsafe {
        pg_sys::CurrentMemoryContext = worker.memory;
        worker.options = pg_sys::stringToNode(place(&*shared, (*shared).options).cast()).cast();
        worker.columns = pg_sys::stringToNode(place(&*shared, (*shared).columns).cast()).cast();
        worker.scratch = pg_sys::AllocSetContextCreateInternal(
            worker.memory,
            c"presplit batch".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        let name = pg_sys::get_rel_name((*shared).root);
        if !name.is_null() {
            let text = CString::new(format!("COPY {}", std::ffi::CStr::from_ptr(name).to_string_lossy()));
            pg_sys::pgstat_report_activity(
                pg_sys::BackendState::STATE_RUNNING,
                text.unwrap_or_default().as_ptr(),
            );
        }
    }
}

/// Carries out orders until there are none; whether to commit.
///
/// # Safety
/// In the worker's transaction; owns nothing.
unsafe fn run(worker: &mut Worker) -> bool {
    // SAFETY: messages are those that the leader sends, and stay until the
    // next is received.
    unsafe {
        loop {
            let (mut bytes, mut data) = (0, null_mut());
            if server::shm_mq_receive(worker.orders, &raw mut bytes, &raw mut data, false)
                != pg_sys::shm_mq_result::SHM_MQ_SUCCESS
                || bytes == 0
            {
                return false;
            }
            let message = std::slice::from_raw_parts(data.cast::<u8>(), bytes);
            match message[0] {
                order::BATCH => {
                    let Some(head) = Head::read(&message[1..]) else { return false };
                    load_or_tell(worker, head);
                }
                order::END => report(worker),
                order::COMMIT => return !worker.has_failed,
                _ => return false,
            }
        }
    }
}

/// Loads a batch. An error goes to the leader, and undoes everything; what
/// comes after it is loaded for nothing but the errors that it may have in
/// earlier lines.
///
/// # Safety
/// As [`run`]; the head is in the queue's memory.
unsafe fn load_or_tell(worker: &mut Worker, head: Head<'_>) {
    // SAFETY: a place for the server to jump to, as its own main loop has one,
    // for as long as this frame lives; what is jumped over owns nothing.
    unsafe {
        let (place, context) = (pg_sys::PG_exception_stack, pg_sys::error_context_stack);
        let worker: *mut Worker = worker;
        let jumped = call_with_sigsetjmp(false, |here| {
            pg_sys::PG_exception_stack = std::ptr::from_ref(here).cast_mut().cast();
            load(&mut *worker, head);
            0
        });
        pg_sys::PG_exception_stack = place;
        pg_sys::error_context_stack = context;
        if jumped != 0 {
            begin_anew(&mut *worker);
        }
    }
}

/// # Safety
/// After an error of the server, which is yet to be told.
unsafe fn begin_anew(worker: &mut Worker) {
    // SAFETY: as the server's main loop recovers from an error.
    unsafe {
        pg_sys::InterruptHoldoffCount += 1;
        server::EmitErrorReport();
        uncounted::count_again();
        server::AbortCurrentTransaction();
        pg_sys::CurrentMemoryContext = worker.memory;
        server::FlushErrorState();
        pg_sys::InterruptHoldoffCount -= 1;
        worker.has_failed = true;
        worker.shards = null_mut();
        server::MemoryContextReset(worker.scratch);
        while next_piece(worker) {}
        worker.piece_bytes = 0;
        server::StartTransactionCommand();
        pg_sys::CurrentMemoryContext = worker.memory;
    }
}

/// # Safety
/// As [`load_or_tell`].
unsafe fn load(worker: &mut Worker, head: Head<'_>) {
    // SAFETY: the lines are copied before anything else is received.
    unsafe {
        pg_sys::CurrentMemoryContext = worker.scratch;
        let lines = pg_sys::palloc(head.lines.len().max(1)).cast::<u8>();
        std::ptr::copy_nonoverlapping(head.lines.as_ptr(), lines, head.lines.len());
        (worker.lines, worker.lines_bytes) = (lines, head.lines.len());
        (worker.piece, worker.piece_bytes) = (null(), 0);
        worker.missing = head.bytes;
        let shard = shard_of(worker, Oid::from(head.shard));
        pg_sys::CurrentMemoryContext = worker.scratch;
        let relation = server::table_open((*shard).staging, pg_sys::RowExclusiveLock as _);
        let state = server::make_parsestate(null_mut());
        server::addRangeTableEntryForRelation(
            state,
            relation,
            pg_sys::RowExclusiveLock as _,
            null_mut(),
            false,
            false,
        );
        server::PushActiveSnapshot(server::GetTransactionSnapshot());
        let outer = pg_sys::error_context_stack;
        let mut callback = pg_sys::ErrorContextCallback {
            previous: outer,
            callback: Some(tell_lines),
            arg: (&raw mut *worker).cast(),
        };
        pg_sys::error_context_stack = &raw mut callback;
        let copy = server::BeginCopyFrom(
            state,
            relation,
            null_mut(),
            null(),
            false,
            Some(next_bytes),
            worker.columns,
            worker.options,
        );
        (*shard).rows += uncounted::copy_from(copy, relation);
        server::EndCopyFrom(copy);
        pg_sys::error_context_stack = outer;
        server::PopActiveSnapshot();
        server::free_parsestate(state);
        server::table_close(relation, pg_sys::NoLock as _);
        server::CommandCounterIncrement();
        pg_sys::CurrentMemoryContext = worker.memory;
        server::MemoryContextReset(worker.scratch);
    }
}

/// # Safety
/// As [`run`].
unsafe fn shard_of(worker: &mut Worker, oid: Oid) -> *mut Shard {
    // SAFETY: shards live in the worker's own memory.
    unsafe {
        let mut shard = worker.shards;
        while !shard.is_null() {
            if (*shard).oid == oid {
                return shard;
            }
            shard = (*shard).next;
        }
        let shared = &*worker.shared;
        let staging = pgrx_extern_c_guard(|| {
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            let staging = staging::create(oid, &staging::name(oid, shared.load));
            pg_sys::PopActiveSnapshot();
            staging
        });
        pg_sys::CurrentMemoryContext = worker.memory;
        let shard = pg_sys::palloc0(size_of::<Shard>()).cast::<Shard>();
        shard.write(Shard { oid, staging, rows: 0, next: worker.shards });
        worker.shards = shard;
        shard
    }
}

/// Writes the tables down and tells the leader that all rows are in.
///
/// # Safety
/// As [`run`].
unsafe fn report(worker: &Worker) {
    // SAFETY: the message is in the server's memory.
    unsafe {
        pgrx_extern_c_guard(|| write_down(worker));
        let mut count = 0;
        let mut shard = worker.shards;
        while !shard.is_null() {
            count += 1;
            shard = (*shard).next;
        }
        let message = pg_sys::palloc(1 + count * size_of::<Filled>()).cast::<u8>();
        message.write(answer::READY);
        let mut at = 1;
        let mut shard = worker.shards;
        while !shard.is_null() {
            let filled = Filled {
                shard: (*shard).oid.to_u32(),
                staging: (*shard).staging.to_u32(),
                rows: (*shard).rows,
            };
            let bytes = filled.bytes();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), message.add(at), bytes.len());
            at += bytes.len();
            shard = (*shard).next;
        }
        server::shm_mq_send(worker.answers, at, message.cast(), false, true);
    }
}

/// # Safety
/// As [`run`], in a guard.
unsafe fn write_down(worker: &Worker) {
    // SAFETY: shards live in the worker's own memory.
    unsafe {
        let shared = &*worker.shared;
        let mut registered = Registered {
            load: shared.load,
            leader_pid: shared.leader_pid,
            shards: Vec::new(),
            staging: Vec::new(),
        };
        let mut shard = worker.shards;
        while let Some(one) = shard.as_ref() {
            registered.shards.push(one.oid);
            registered.staging.push(one.staging);
            shard = one.next;
        }
        if registered.shards.is_empty() {
            return;
        }
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        if let Some(Err(error)) = REGISTER.get().map(|register| register(&registered)) {
            raise(error);
        }
        pg_sys::PopActiveSnapshot();
    }
}

/// Gives the server's parser the next bytes of the batch at hand.
unsafe extern "C-unwind" fn next_bytes(buffer: *mut c_void, least: c_int, most: c_int) -> c_int {
    // SAFETY: called by the server within `load`, with room for `most` bytes.
    unsafe {
        let worker = &mut *WORKER.get();
        let (buffer, most) = (buffer.cast::<u8>(), most as usize);
        let mut given = 0;
        while given < most && (given == 0 || given < least as usize) {
            if worker.piece_bytes == 0 && !next_piece(worker) {
                break;
            }
            let bytes = worker.piece_bytes.min(most - given);
            std::ptr::copy_nonoverlapping(worker.piece, buffer.add(given), bytes);
            worker.piece = worker.piece.add(bytes);
            worker.piece_bytes -= bytes;
            given += bytes;
        }
        given as c_int
    }
}

/// # Safety
/// Within a batch.
unsafe fn next_piece(worker: &mut Worker) -> bool {
    if worker.missing == 0 {
        return false;
    }
    // SAFETY: as in `run`. A leader that is gone leaves half a batch behind;
    // the process ends with its transaction.
    unsafe {
        let (mut bytes, mut data) = (0, null_mut());
        if server::shm_mq_receive(worker.orders, &raw mut bytes, &raw mut data, false)
            != pg_sys::shm_mq_result::SHM_MQ_SUCCESS
            || bytes < 1
            || *data.cast::<u8>() != order::ROWS
        {
            pg_sys::proc_exit(0);
        }
        worker.piece = data.cast::<u8>().add(1);
        worker.piece_bytes = bytes - 1;
        worker.missing = worker.missing.saturating_sub(worker.piece_bytes as u64);
        true
    }
}

/// Sends the lines of the batch at hand ahead of an error or notice, so that
/// the leader can say where in the input it is.
unsafe extern "C-unwind" fn tell_lines(worker: *mut c_void) {
    // SAFETY: called by the server within `load`.
    unsafe {
        let worker = &*worker.cast::<Worker>();
        let message = pg_sys::palloc(1 + worker.lines_bytes).cast::<u8>();
        message.write(answer::LINES);
        std::ptr::copy_nonoverlapping(worker.lines, message.add(1), worker.lines_bytes);
        server::shm_mq_send(worker.answers, 1 + worker.lines_bytes, message.cast(), false, true);
    }
}
