//! The leader's side: starts workers, sends orders, hears answers. Never waits
//! but for the latch, where an interrupt is answered.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_void;
use std::ptr::null_mut;

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

use crate::model::load::Filled;
use crate::model::load::answer;
use crate::model::load::line_of_input;
use crate::model::report::Report;
use crate::pg::error;
use crate::pg::load_worker::server;
use crate::pg::load_worker::shared;
use crate::pg::load_worker::shared::Part;
use crate::pg::load_worker::shared::Shared;
use crate::pg::load_worker::target::Target;
use crate::pg::load_worker::worker::WORKER_TYPE;

/// How long the leader sleeps at most before it looks at its workers again,
/// whatever wakes it; in milliseconds.
const LOOK_MS: i64 = 1000;

/// Where a message to a worker went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Whole,
    /// The queue is full; the very same message is to be sent again.
    Later,
    /// The worker is gone.
    Gone,
}

/// What a worker said.
#[derive(Debug)]
pub enum Answer {
    Ready(Vec<Filled>),
    Done,
    /// It has failed, and nothing of its is left.
    Failed(Failure),
    /// It is gone without a word.
    Gone,
}

/// An error in the server's own form, to be raised by the leader: of a worker,
/// or of its own about a row.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    error: *mut pg_sys::ErrorData,
    /// The line of the input; 0 if it is about none.
    pub line: u64,
    /// What the server is to say of the place; null if the error says it.
    place: *mut Place,
}

/// What an error says.
#[derive(Debug, Clone)]
pub struct Words {
    pub code: PgSqlErrorCode,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl From<&dyn Report> for Words {
    fn from(report: &dyn Report) -> Self {
        Self {
            code: error::code(report.sqlstate()),
            message: report.to_string(),
            detail: report.detail(),
            hint: report.hint(),
        }
    }
}

/// A row of the input, in the server's memory.
struct Place {
    table: *const c_char,
    line: u64,
    /// The beginning of the row; null = it is not shown.
    text: *const c_char,
}

/// Bytes of a row that the server shows in an error.
const SHOWN_BYTES: usize = 100;

impl Failure {
    /// An error about a row of a COPY into `table`, as the server's COPY would
    /// raise it. With the row, the error is also one of a relation: of the
    /// one whose name is quoted in it.
    #[must_use]
    pub fn of_row(words: &Words, table: &str, schema: &str, line: u64, row: Option<&[u8]>) -> Self {
        // SAFETY: allocations of the server, which the transaction's end frees.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
            let error = pg_sys::palloc0(size_of::<pg_sys::ErrorData>()).cast::<pg_sys::ErrorData>();
            (*error).elevel = pg_sys::PGERROR as i32;
            (*error).sqlerrcode = words.code as i32;
            (*error).message = kept(&words.message);
            (*error).detail = words.detail.as_deref().map_or(null_mut(), kept);
            (*error).hint = words.hint.as_deref().map_or(null_mut(), kept);
            if row.is_some()
                && let Some(name) = words.message.split('"').nth(1)
            {
                (*error).table_name = kept(name);
                (*error).schema_name = kept(schema);
            }
            let place = pg_sys::palloc0(size_of::<Place>()).cast::<Place>();
            place.write(Place {
                table: kept(table),
                line,
                text: row.map_or(std::ptr::null(), |row| kept(&shown(row)).cast_const()),
            });
            pg_sys::MemoryContextSwitchTo(before);
            Self { error, line, place }
        }
    }
}

/// As much of a row as the server shows, without its line end.
fn shown(row: &[u8]) -> String {
    let end = row.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(&row[..end]);
    if text.len() <= SHOWN_BYTES {
        return text.into_owned();
    }
    let cut = (0..=SHOWN_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..cut])
}

/// `CONTEXT: COPY orders, line 7: "…"`, in the server's own words and language.
unsafe extern "C-unwind" fn say_place(place: *mut c_void) {
    // SAFETY: called by the server while the error is built.
    unsafe {
        let place = &*place.cast::<Place>();
        server::set_errcontext_domain(std::ptr::null());
        if place.text.is_null() {
            server::errcontext_msg(c"COPY %s, line %llu".as_ptr(), place.table, place.line);
        } else {
            let format = c"COPY %s, line %llu: \"%s\"";
            server::errcontext_msg(format.as_ptr(), place.table, place.line, place.text);
        }
    }
}

struct Worker {
    orders: *mut pg_sys::shm_mq_handle,
    answers: *mut pg_sys::shm_mq_handle,
    lines: Vec<u8>,
    gone: bool,
}

/// The workers of one load. Dropping it lets them go: those that have not
/// committed roll back.
pub struct Crew {
    segment: *mut pg_sys::dsm_segment,
    workers: Vec<Worker>,
    /// Names that only the workers know their tables by, and what to say instead.
    load: u64,
    root_name: String,
}

impl Crew {
    /// Starts up to so many workers; none if not one could be had.
    #[must_use]
    pub fn start(target: &Target, workers: usize, load: u64) -> Option<Self> {
        // SAFETY: on the session's main thread in a transaction. The segment
        // belongs to the transaction's resource owner, so that an error lets
        // go of it and the workers find their queues detached.
        unsafe {
            pg_sys::BecomeLockGroupLeader();
            let segment = fill(target, workers, load);
            let base = pg_sys::dsm_segment_address(segment).cast::<u8>();
            let mut crew = Self { segment, workers: Vec::new(), load, root_name: target.name().to_owned() };
            for number in 0..workers {
                let (orders, answers) = (*base.cast::<Shared>()).queues(number);
                let orders = pg_sys::shm_mq_create(base.add(orders).cast(), shared::ORDERS_BYTES);
                let answers = pg_sys::shm_mq_create(base.add(answers).cast(), shared::ANSWERS_BYTES);
                pg_sys::shm_mq_set_sender(orders, pg_sys::MyProc);
                pg_sys::shm_mq_set_receiver(answers, pg_sys::MyProc);
                let mut handle = null_mut();
                let mut description = describe(segment, number, target.name());
                if !pg_sys::RegisterDynamicBackgroundWorker(&mut description, &mut handle) {
                    break;
                }
                crew.workers.push(Worker {
                    orders: pg_sys::shm_mq_attach(orders, segment, handle),
                    answers: pg_sys::shm_mq_attach(answers, segment, handle),
                    lines: Vec::new(),
                    gone: false,
                });
            }
            if crew.workers.is_empty() {
                crew.let_go();
                return None;
            }
            Some(crew)
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Sends one message, made of a first byte and two parts.
    pub fn send(&mut self, worker: usize, first: u8, parts: [&[u8]; 2]) -> Sent {
        let worker = &self.workers[worker];
        if worker.gone {
            return Sent::Gone;
        }
        let first = [first];
        let piece = |bytes: &[u8]| pg_sys::shm_mq_iovec { data: bytes.as_ptr().cast(), len: bytes.len() };
        let mut pieces = [piece(&first), piece(parts[0]), piece(parts[1])];
        // SAFETY: the parts outlive the call; what is not sent is sent again
        // from the same bytes.
        let result = unsafe { pg_sys::shm_mq_sendv(worker.orders, pieces.as_mut_ptr(), 3, true, true) };
        match result {
            pg_sys::shm_mq_result::SHM_MQ_SUCCESS => Sent::Whole,
            pg_sys::shm_mq_result::SHM_MQ_WOULD_BLOCK => Sent::Later,
            _ => Sent::Gone,
        }
    }

    /// What a worker has said since it was last listened to; none = nothing.
    pub fn hear(&mut self, number: usize) -> Option<Answer> {
        loop {
            if self.workers[number].gone {
                return None;
            }
            let (mut bytes, mut data): (usize, *mut c_void) = (0, null_mut());
            // SAFETY: the message stays until the next one is received.
            let message = unsafe {
                let answers = self.workers[number].answers;
                let result = pg_sys::shm_mq_receive(answers, &mut bytes, &mut data, true);
                match result {
                    pg_sys::shm_mq_result::SHM_MQ_WOULD_BLOCK => return None,
                    pg_sys::shm_mq_result::SHM_MQ_SUCCESS => {
                        std::slice::from_raw_parts(data.cast::<u8>(), bytes)
                    }
                    _ => {
                        self.workers[number].gone = true;
                        return Some(Answer::Gone);
                    }
                }
            };
            match message.split_first() {
                Some((&answer::READY, rest)) => return Some(Answer::Ready(Filled::read_all(rest))),
                Some((&answer::DONE, _)) => return Some(Answer::Done),
                Some((&answer::LINES, rest)) => self.workers[number].lines = rest.to_vec(),
                Some((&b'E', rest)) => {
                    return Some(Answer::Failed(self.error(number, rest)));
                }
                Some((&b'N', rest)) => {
                    let notice = self.error(number, rest);
                    // SAFETY: below ERROR this returns.
                    unsafe { pg_guard_ffi_boundary(|| server::ThrowErrorData(notice.error)) };
                }
                _ => {}
            }
        }
    }

    /// Sleeps until something happens.
    pub fn wait(&self) {
        // SAFETY: the process's own latch.
        unsafe {
            pg_sys::WaitLatch(
                pg_sys::MyLatch,
                (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32,
                LOOK_MS,
                pg_sys::PG_WAIT_EXTENSION,
            );
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        pgrx::check_for_interrupts!();
    }

    /// Reads an error, as the server sends it, and puts it into the words of
    /// the leader: its table, its lines.
    fn error(&self, worker: usize, message: &[u8]) -> Failure {
        // SAFETY: the message is copied into the server's memory, which the
        // transaction's end frees.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(pg_sys::TopTransactionContext);
            let text = pg_sys::makeStringInfo();
            pg_sys::appendBinaryStringInfo(text, message.as_ptr().cast(), message.len() as i32);
            let error = pg_sys::palloc0(size_of::<pg_sys::ErrorData>()).cast::<pg_sys::ErrorData>();
            pg_guard_ffi_boundary(|| server::pq_parse_errornotice(text, error));
            // The end of a worker is no reason for the session to end.
            (*error).elevel = (*error).elevel.min(pg_sys::PGERROR as i32);
            let mut line = 0;
            if let Some(context) = text_of((*error).context) {
                let told = self.retell_context(&context, &self.workers[worker].lines, &mut line);
                (*error).context = kept(&told);
            }
            let own = |text: *mut c_char| match text_of(text) {
                Some(text) => kept(&self.retell(&text)),
                None => text,
            };
            (*error).message = own((*error).message);
            (*error).detail = own((*error).detail);
            (*error).hint = own((*error).hint);
            let shard = text_of((*error).table_name).and_then(|name| self.shard_named(&name));
            if let Some((shard, schema)) = shard {
                (*error).table_name = kept(&shard);
                (*error).schema_name = kept(&schema);
            }
            pg_sys::MemoryContextSwitchTo(before);
            Failure { error, line, place: null_mut() }
        }
    }

    /// `COPY load_16400_5f, line 3` → `COPY orders, line 712`.
    fn retell_context(&self, context: &str, lines: &[u8], line: &mut u64) -> String {
        let mut told: Vec<String> = Vec::new();
        for one in context.split('\n') {
            let mut one = one.to_owned();
            if let Some(name) = self.name_in(&one) {
                let after = one.find(&name).map_or(0, |at| at + name.len());
                let digits = one[after..].find(|c: char| c.is_ascii_digit()).map(|at| after + at);
                if let Some(from) = digits {
                    let to =
                        one[from..].find(|c: char| !c.is_ascii_digit()).map_or(one.len(), |at| from + at);
                    if let Ok(number) = one[from..to].parse() {
                        *line = line_of_input(lines, number);
                        one.replace_range(from..to, &line.to_string());
                    }
                }
                one = one.replacen(&name, &self.root_name, 1);
            }
            told.push(one);
        }
        told.join("\n")
    }

    /// The name of a staging table of this load in a text.
    fn name_in(&self, text: &str) -> Option<String> {
        let end = format!("_{:x}", self.load);
        let mut from = 0;
        while let Some(at) = text[from..].find("load_").map(|at| from + at) {
            let digits = text[at + 5..].bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 && text[at + 5 + digits..].starts_with(&end) {
                return Some(text[at..at + 5 + digits + end.len()].to_owned());
            }
            from = at + 5;
        }
        None
    }

    /// Staging tables are called by the names of their shards.
    fn retell(&self, text: &str) -> String {
        let mut told = text.to_owned();
        while let Some(name) = self.name_in(&told) {
            let Some((shard, _)) = self.shard_named(&name) else { break };
            told = told.replace(&name, &shard);
        }
        told
    }

    /// The shard's name and schema.
    fn shard_named(&self, staging: &str) -> Option<(String, String)> {
        let name = self.name_in(staging).filter(|name| name == staging)?;
        let oid = name.strip_prefix("load_")?.split('_').next()?.parse::<u32>().ok()?;
        // SAFETY: look-ups in the server's caches; the shard is locked.
        unsafe {
            let oid = pg_sys::Oid::from(oid);
            let shard = text_of(pg_sys::get_rel_name(oid))?;
            let schema = text_of(pg_sys::get_namespace_name(pg_sys::get_rel_namespace(oid)))?;
            Some((shard, schema))
        }
    }

    /// Lets go of the workers.
    pub fn dismiss(mut self) {
        self.let_go();
    }

    fn let_go(&mut self) {
        if !self.segment.is_null() {
            // SAFETY: attached by `start`, and not yet detached.
            unsafe { pg_sys::dsm_detach(self.segment) };
            self.segment = null_mut();
            self.workers.clear();
        }
    }
}

/// Raises an error, word for word. Own nothing: it jumps.
///
/// # Safety
/// In the transaction of the load.
pub unsafe fn throw(failure: Failure) {
    // SAFETY: the error lives until the transaction ends, and the callback as
    // long as this frame; after an error the server forgets it.
    unsafe {
        let mut callback = pg_sys::ErrorContextCallback {
            previous: pg_sys::error_context_stack,
            callback: Some(say_place),
            arg: failure.place.cast(),
        };
        if !failure.place.is_null() {
            pg_sys::error_context_stack = &raw mut callback;
        }
        server::ThrowErrorData(failure.error);
    }
}

/// # Safety
/// Zero-terminated, or null.
unsafe fn text_of(text: *const c_char) -> Option<String> {
    // SAFETY: as above.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// A copy in the server's memory.
fn kept(text: &str) -> *mut c_char {
    // SAFETY: an allocation of the length and a zero.
    unsafe { pg_sys::pnstrdup(text.as_ptr().cast(), text.len()) }
}

/// Makes the segment and writes what all workers read.
///
/// # Safety
/// In a transaction.
unsafe fn fill(target: &Target, workers: usize, load: u64) -> *mut pg_sys::dsm_segment {
    // SAFETY: parts are written within the sizes that were laid out for them.
    unsafe {
        let (options, columns) = target.texts();
        let sizes = [
            pg_sys::EstimateLibraryStateSpace(),
            pg_sys::EstimateGUCStateSpace(),
            options.to_bytes_with_nul().len(),
            columns.to_bytes_with_nul().len(),
        ];
        let (parts, queues_at, bytes) = shared::lay_out(sizes, workers);
        let segment = pg_sys::dsm_create(bytes, 0);
        let base = pg_sys::dsm_segment_address(segment).cast::<u8>();
        let [libraries, settings, options_part, columns_part] = parts;
        pg_sys::SerializeLibraryState(libraries.bytes, base.add(libraries.at).cast());
        pg_sys::SerializeGUCState(settings.bytes, base.add(settings.at).cast());
        let write = |part: Part, text: &CStr| {
            std::ptr::copy_nonoverlapping(text.as_ptr().cast::<u8>(), base.add(part.at), part.bytes);
        };
        write(options_part, options);
        write(columns_part, columns);
        let user = pg_sys::GetUserId();
        base.cast::<Shared>().write(Shared {
            leader: pg_sys::MyProc,
            leader_pid: pg_sys::MyProcPid,
            database: pg_sys::MyDatabaseId,
            authenticated_user: pg_sys::GetAuthenticatedUserId(),
            current_user: user,
            is_superuser: pg_sys::superuser_arg(user),
            root: target.oid(),
            load,
            transaction_at: pg_sys::GetCurrentTransactionStartTimestamp(),
            statement_at: pg_sys::GetCurrentStatementStartTimestamp(),
            libraries,
            settings,
            options: options_part,
            columns: columns_part,
            queues_at,
        });
        segment
    }
}

/// # Safety
/// A segment of ours.
unsafe fn describe(
    segment: *mut pg_sys::dsm_segment,
    number: usize,
    table: &str,
) -> pg_sys::BackgroundWorker {
    let mut worker = pg_sys::BackgroundWorker::default();
    let put = |to: &mut [c_char], text: &str| {
        for (to, from) in to.iter_mut().zip(text.bytes().chain([0])) {
            *to = from as c_char;
        }
        if let Some(last) = to.last_mut() {
            *last = 0;
        }
    };
    put(&mut worker.bgw_name, &format!("{WORKER_TYPE} of {table}"));
    put(&mut worker.bgw_type, WORKER_TYPE);
    put(&mut worker.bgw_library_name, "pg_presplit");
    put(&mut worker.bgw_function_name, "presplit_load_worker_main");
    for (to, from) in worker.bgw_extra.iter_mut().zip(number.to_le_bytes()) {
        *to = from as c_char;
    }
    worker.bgw_flags = (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as i32;
    worker.bgw_start_time = pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished;
    worker.bgw_restart_time = pg_sys::BGW_NEVER_RESTART;
    // SAFETY: reads a handle and the process's own id.
    unsafe {
        worker.bgw_main_arg = pg_sys::Datum::from(pg_sys::dsm_segment_handle(segment) as usize);
        worker.bgw_notify_pid = pg_sys::MyProcPid;
    }
    worker
}
