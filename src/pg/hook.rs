//! The statement hook: shows each utility statement about relations to a
//! handler and carries out, on the parse tree itself, what it decides.
//!
//! Not here: any decision. The handler is a pair of functions that the floor
//! above registers. Statements that the handler does not want run untouched
//! and cost one look at their tag. Other extensions' hooks are chained.

use std::cell::Cell;
use std::ffi::c_char;
use std::ffi::c_void;
use std::sync::OnceLock;

use pgrx::PgList;
use pgrx::PgMemoryContexts;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pg_sys::panic::pgrx_extern_c_guard;

use crate::model::name::QualifiedName;
use crate::model::utility::Edit;
use crate::model::utility::Utility;
use crate::pg::announced::State;
use crate::pg::context::close_settings;
use crate::pg::context::open_partitionable_tablespace;
use crate::pg::context::with_pinned_search_path;
use crate::pg::copy;
use crate::pg::copy::copy_into;
use crate::pg::edit;
use crate::pg::error::raise;
use crate::pg::index_build;
use crate::pg::load_worker::attempt;
use crate::pg::load_worker::attempt::Ended;
use crate::pg::load_worker::attempt::Outcome;
use crate::pg::operation;
use crate::pg::server;
use crate::pg::spi;
use crate::pg::utility;

/// One thing to run in place of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// The statement itself, or only its `command`th command, with edits.
    Statement { command: Option<usize>, edits: Vec<Edit> },
    /// The same on another relation; names of indexes and constraints that it
    /// would create get the suffix.
    OnRelation { command: Option<usize>, relation: QualifiedName, suffix: String },
    /// The same about another relation's constraint or index of that name.
    OnPart { command: Option<usize>, relation: QualifiedName, name: String },
    /// A statement of ours, under a pinned search_path.
    Sql(String),
    /// A COPY whose rows are batched by shard if that changes nothing else.
    Load,
}

impl Work {
    /// The statement as it is.
    pub const fn unchanged() -> Self {
        Self::Statement { command: None, edits: Vec::new() }
    }
}

/// What to run in place of a statement; none = the statement as it is.
pub type Decision = Result<Option<Vec<Work>>, ErrorReport>;

/// The floor above.
pub struct Handler {
    /// Whether no statement can be wanted but one that makes a partition;
    /// asked of each, so cheap.
    pub idle: fn() -> bool,
    /// Whether this one can be wanted, as far as can be told without looking;
    /// asked of each while others are wanted.
    pub may_concern: fn(&Utility) -> bool,
    /// The state of what these two know; none if they know nothing.
    pub known: fn() -> Option<State>,
    /// What to run in place of the statement, given its text and what follows
    /// it in the same query; none = leave it alone.
    pub decide: fn(&Utility, &str, &str) -> Decision,
    /// Told after a statement that was decided on, with the rows it processed.
    pub finished: fn(&Utility, &str, u64) -> Result<(), ErrorReport>,
}

static HANDLER: OnceLock<Handler> = OnceLock::new();
static PREVIOUS: OnceLock<pg_sys::ProcessUtility_hook_type> = OnceLock::new();

thread_local! {
    /// Set while a statement of ours runs, for those are left alone: the
    /// subtransaction in which it began.
    static INSIDE: Cell<Option<pg_sys::SubTransactionId>> = const { Cell::new(None) };
    /// What was known when the statement that now runs was found not to be
    /// wanted; none if it was not looked at, or is wanted. Every statement
    /// begins with none, so that what an error leaves here is nobody's.
    static LOOKED_AT: Cell<Option<State>> = const { Cell::new(None) };
}

/// Whether the statement that now runs was looked at and is not wanted, by
/// what is known at this moment.
pub fn is_looked_at() -> bool {
    let now = || HANDLER.get().and_then(|handler| (handler.known)());
    LOOKED_AT.get().is_some_and(|then| now() == Some(then))
}

unsafe extern "C-unwind" {
    /// The server's own function without the guard that pgrx puts around it.
    /// A guard would rebuild every error that passes and lose its context,
    /// position and names; so errors jump over our frames, which therefore
    /// own nothing while they call this.
    #[link_name = "standard_ProcessUtility"]
    fn server_process_utility(
        statement: *mut pg_sys::PlannedStmt,
        query: *const c_char,
        read_only: bool,
        context: pg_sys::ProcessUtilityContext::Type,
        params: pg_sys::ParamListInfo,
        environment: *mut pg_sys::QueryEnvironment,
        dest: *mut pg_sys::DestReceiver,
        completion: *mut pg_sys::QueryCompletion,
    );
}

/// Registers the hook; called once, from `_PG_init`.
pub fn install(handler: Handler) {
    if HANDLER.set(handler).is_err() {
        return;
    }
    // SAFETY: library initialisation on the main thread; the previous hook is
    // kept and called by ours.
    unsafe {
        let _ = PREVIOUS.set(pg_sys::ProcessUtility_hook);
        pg_sys::ProcessUtility_hook = Some(process_utility);
        pg_sys::RegisterXactCallback(Some(transaction_ends), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(subtransaction_ends), std::ptr::null_mut());
    }
}

/// An error that jumped over our frames has left `INSIDE` set.
unsafe extern "C-unwind" fn transaction_ends(event: pg_sys::XactEvent::Type, _: *mut c_void) {
    if event == pg_sys::XactEvent::XACT_EVENT_ABORT {
        INSIDE.set(None);
        LOOKED_AT.set(None);
    }
}

unsafe extern "C-unwind" fn subtransaction_ends(
    event: pg_sys::SubXactEvent::Type,
    subtransaction: pg_sys::SubTransactionId,
    _: pg_sys::SubTransactionId,
    _: *mut c_void,
) {
    if event != pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        return;
    }
    // Of a statement that failed, or of one around it: that is looked at by others then.
    LOOKED_AT.set(None);
    // Numbers grow: what began in an outer subtransaction goes on.
    if INSIDE.get().is_some_and(|began| began >= subtransaction) {
        INSIDE.set(None);
    }
}

/// Runs `work` with the hook looking away: for statements of ours.
pub fn bypass<R>(work: impl FnOnce() -> R) -> R {
    let _guard = Inside::enter();
    work()
}

struct Inside(Option<pg_sys::SubTransactionId>);

impl Inside {
    fn enter() -> Self {
        Self(enter())
    }
}

/// Looks away from here on; returns what to set `INSIDE` to afterwards.
fn enter() -> Option<pg_sys::SubTransactionId> {
    let before = INSIDE.get();
    if before.is_none() {
        // SAFETY: plain read of the transaction state.
        INSIDE.set(Some(unsafe { pg_sys::GetCurrentSubTransactionId() }));
    }
    before
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// Everything that a utility hook is called with, besides the statement.
#[derive(Clone, Copy)]
struct Call {
    query: *const c_char,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    dest: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
}

impl Call {
    /// Passes a statement on to the next hook, or to the server.
    ///
    /// # Safety
    /// As the hook itself was called.
    unsafe fn pass(&self, statement: *mut pg_sys::PlannedStmt, read_only: bool) {
        // SAFETY: the server's own calling convention, arguments as we got them.
        unsafe {
            match PREVIOUS.get().copied().flatten() {
                Some(previous) => previous(
                    statement,
                    self.query,
                    read_only,
                    self.context,
                    self.params,
                    self.environment,
                    self.dest,
                    self.completion,
                ),
                None => server_process_utility(
                    statement,
                    self.query,
                    read_only,
                    self.context,
                    self.params,
                    self.environment,
                    self.dest,
                    self.completion,
                ),
            }
        }
    }
}

impl Call {
    /// Carries out a COPY into a sharded table. Owns nothing: errors jump.
    ///
    /// # Safety
    /// As the hook itself was called.
    unsafe fn load(&self, statement: *mut pg_sys::PlannedStmt, read_only: bool) {
        // SAFETY: as above.
        unsafe {
            // Who has put a hook beneath this one is to see the statement: audits, statistics.
            const ROUTED: &str = "rows routed by PostgreSQL in the session";
            if PREVIOUS.get().copied().flatten().is_some() {
                operation::set_detail(ROUTED);
                self.pass(statement, read_only);
                attempt::set_ended(None);
                copy::set_outcome(Some(copy::Reason::Hook));
                return;
            }
            let top_level = self.context == pg_sys::ProcessUtilityContext::PROCESS_UTILITY_TOPLEVEL;
            let outcome = attempt::attempt(statement, top_level, self.completion);
            if let Outcome::InSession { started, .. } = outcome {
                let source = attempt::source(started);
                let reason = copy::load(statement, self.query, self.completion, source);
                if reason.is_some() {
                    operation::set_detail(ROUTED);
                }
                if reason.is_some() && started {
                    attempt::in_session(statement, self.completion);
                } else if reason.is_some() {
                    self.pass(statement, read_only);
                }
                // Only what this COPY handed over: a COPY around it may be reading yet, and one that
                // failed has left what its transaction's end has closed.
                if started {
                    pgrx_extern_c_guard(attempt::end_source);
                }
                copy::set_outcome(reason);
            }
            // Not before: triggers of this COPY may have run others.
            attempt::set_ended(Some(Ended::from(&outcome)));
        }
    }
}

#[allow(clippy::too_many_arguments)] // PostgreSQL's signature.
unsafe extern "C-unwind" fn process_utility(
    statement: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    params: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    dest: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    let call = Call { query, context, params, environment, dest, completion };
    // SAFETY: called by the server with a valid statement. What is ours runs
    // in a guard; between the guards this frame owns nothing, so that the
    // server's errors may jump over it. What was decided belongs to the
    // memory context.
    unsafe {
        let around = LOOKED_AT.replace(None);
        let decided = pgrx_extern_c_guard(|| {
            look_at(statement, query).map_or(std::ptr::null_mut(), |decided| {
                PgMemoryContexts::CurrentMemoryContext.leak_and_drop_on_delete(decided)
            })
        });
        if decided.is_null() {
            call.pass(statement, read_only);
            LOOKED_AT.set(around);
            return;
        }
        // Triggers and functions of an unchanged statement are watched like any other.
        let unchanged = (*decided).is_unchanged();
        let before = if unchanged { INSIDE.get() } else { enter() };
        let settings = pgrx_extern_c_guard(open_partitionable_tablespace);
        for at in 0..(*decided).work.len() {
            let step = pgrx_extern_c_guard(|| prepare(statement, read_only, &(*decided).work, at));
            match step {
                Step::Statement { statement, read_only } => {
                    // Who has put a hook beneath this one is to see the statement do its work.
                    let watched = PREVIOUS.get().copied().flatten().is_some();
                    let ahead = index_build::begin(statement, query, watched);
                    call.pass(statement, read_only);
                    index_build::end(ahead);
                }
                Step::OnShard { statement } => {
                    let inner = Call {
                        context: pg_sys::ProcessUtilityContext::PROCESS_UTILITY_SUBCOMMAND,
                        completion: std::ptr::null_mut(),
                        ..call
                    };
                    inner.pass(statement, false);
                }
                Step::Load => {
                    let mut callback = pg_sys::ErrorContextCallback {
                        previous: pg_sys::error_context_stack,
                        callback: Some(operation::hear),
                        arg: std::ptr::null_mut(),
                    };
                    pg_sys::error_context_stack = &raw mut callback;
                    call.load(statement, read_only);
                    pg_sys::error_context_stack = callback.previous;
                }
                Step::Nothing => {}
            }
        }
        pgrx_extern_c_guard(|| close_settings(settings));
        enter();
        pgrx_extern_c_guard(|| {
            let processed = if completion.is_null() { 0 } else { (*completion).nprocessed };
            let Decided { utility, original, .. } = &*decided;
            if let Some(handler) = HANDLER.get()
                && let Err(error) = (handler.finished)(utility, original, processed)
            {
                raise(error);
            }
        });
        INSIDE.set(before);
        LOOKED_AT.set(around);
    }
}

/// Whether a statement of this kind can concern a sharded table at all.
const fn concerns_relations(tag: NodeTag) -> bool {
    matches!(
        tag,
        NodeTag::T_CreateStmt
            | NodeTag::T_CreateForeignTableStmt
            | NodeTag::T_CreateTableAsStmt
            | NodeTag::T_ViewStmt
            | NodeTag::T_ExplainStmt
            | NodeTag::T_AlterTableStmt
            | NodeTag::T_RenameStmt
            | NodeTag::T_AlterObjectSchemaStmt
            | NodeTag::T_IndexStmt
            | NodeTag::T_TruncateStmt
            | NodeTag::T_CopyStmt
            | NodeTag::T_CreateTrigStmt
            | NodeTag::T_CreatePublicationStmt
            | NodeTag::T_AlterPublicationStmt
            | NodeTag::T_CommentStmt
            | NodeTag::T_DropStmt
    )
}

/// Whether a statement makes a partition of another table.
///
/// # Safety
/// A utility statement's node.
unsafe fn makes_partition(node: *mut pg_sys::Node) -> bool {
    // SAFETY: the cast follows the tag.
    unsafe {
        (*node).type_ == NodeTag::T_CreateStmt && !(*node.cast::<pg_sys::CreateStmt>()).partbound.is_null()
    }
}

/// What is known, if that will be asked for: by the event trigger, at the end of
/// a statement that creates a relation.
///
/// # Safety
/// A utility statement's node, in a transaction.
unsafe fn known_if_creates(node: *mut pg_sys::Node) -> Option<State> {
    // SAFETY: reads the tag.
    let tag = unsafe { (*node).type_ };
    let creates = matches!(
        tag,
        NodeTag::T_CreateStmt
            | NodeTag::T_CreateForeignTableStmt
            | NodeTag::T_CreateTableAsStmt
            | NodeTag::T_ViewStmt
    );
    HANDLER.get().filter(|_| creates).and_then(|handler| (handler.known)())
}

/// A statement that the handler wants to change or to hear of.
struct Decided {
    utility: Utility,
    original: String,
    work: Vec<Work>,
}

impl Decided {
    fn is_unchanged(&self) -> bool {
        match self.work.as_slice() {
            [Work::Statement { command: None, edits }] => edits.is_empty(),
            [Work::Load] => true,
            _ => false,
        }
    }
}

/// # Safety
/// A utility statement, as the server gives it to a hook.
unsafe fn look_at(statement: *mut pg_sys::PlannedStmt, query: *const c_char) -> Option<Decided> {
    // SAFETY: reads of a valid statement; look-ups happen in a transaction,
    // which all statements of these kinds need.
    unsafe {
        let node = (*statement).utilityStmt;
        if INSIDE.get().is_some() || !concerns_relations((*node).type_) || !pg_sys::IsTransactionState() {
            return None;
        }
        // The server says so of the statement itself, not of what we would write down. Only EXPLAIN it lets through.
        if server::in_read_only_transaction() && (*node).type_ != NodeTag::T_ExplainStmt {
            return None;
        }
        // Most COPYs are not into shards: they pay for one look into the caches.
        if copy_into(node).is_some_and(|copy| !copy::is_into_partitioned(copy)) {
            return None;
        }
        let handler = HANDLER.get()?;
        // Rows also come into tables that are armed no more.
        if (handler.idle)() && !makes_partition(node) && copy_into(node).is_none() {
            LOOKED_AT.set(known_if_creates(node));
            return None;
        }
        let _guard = Inside::enter();
        // A database without the extension, or with one being installed, and a
        // server in binary upgrade have nothing armed; a standby creates nothing.
        if pg_sys::IsBinaryUpgrade || server::in_recovery() || pg_sys::creating_extension {
            return None;
        }
        let Some(utility) = utility::read_node(node, utility::Names::Resolved).filter(handler.may_concern)
        else {
            LOOKED_AT.set(known_if_creates(node));
            return None;
        };
        if !extension_stays() {
            return None;
        }
        let query = utility::text_of(query).unwrap_or_default();
        let (location, length) = ((*statement).stmt_location, (*statement).stmt_len);
        let original = utility::slice(&query, location, length);
        match (handler.decide)(&utility, &original, utility::rest(&query, location, length)) {
            Ok(work) => work.map(|work| Decided { utility, original, work }),
            Err(error) => raise(error),
        }
    }
}

/// Whether the extension is installed, and cannot be dropped any more before
/// the end of the transaction: whoever is dropping it is waited for here, and
/// not at its tables, which would be missed afterwards.
///
/// # Safety
/// In a transaction.
unsafe fn extension_stays() -> bool {
    // SAFETY: catalog look-ups; the lock is the one that DROP EXTENSION waits
    // for, and taking it brings the caches up to date.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"pg_presplit".as_ptr(), true);
        if extension == pg_sys::InvalidOid {
            return false;
        }
        pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, pg_sys::AccessShareLock as _);
        pg_sys::get_extension_oid(c"pg_presplit".as_ptr(), true) != pg_sys::InvalidOid
    }
}

/// What is left to do for one piece of work.
#[derive(Clone, Copy)]
enum Step {
    Statement { statement: *mut pg_sys::PlannedStmt, read_only: bool },
    OnShard { statement: *mut pg_sys::PlannedStmt },
    Load,
    Nothing,
}

/// Makes the statement of one piece of work, or carries it out.
///
/// # Safety
/// As the hook itself was called.
unsafe fn prepare(statement: *mut pg_sys::PlannedStmt, read_only: bool, work: &[Work], at: usize) -> Step {
    // SAFETY: edits are made on copies; the server sees complete statements.
    unsafe {
        if at > 0 {
            pg_sys::CommandCounterIncrement();
        }
        match &work[at] {
            Work::Statement { command: None, edits } if edits.is_empty() => {
                Step::Statement { statement, read_only }
            }
            Work::Statement { command, edits } => {
                let copy = copy_of(statement, *command);
                let mut left = true;
                for change in edits {
                    left &= edit::apply((*copy).utilityStmt, change);
                }
                if left { Step::Statement { statement: copy, read_only: false } } else { Step::Nothing }
            }
            Work::OnRelation { command, relation, suffix } => {
                let copy = copy_of(statement, *command);
                edit::redirect((*copy).utilityStmt, relation, suffix);
                Step::OnShard { statement: copy }
            }
            Work::OnPart { command, relation, name } => {
                let copy = copy_of(statement, *command);
                edit::redirect_to_part((*copy).utilityStmt, relation, name);
                Step::OnShard { statement: copy }
            }
            Work::Load => Step::Load,
            Work::Sql(sql) => {
                if let Err(error) = with_pinned_search_path(|| spi::run(sql, &[])) {
                    raise(error);
                }
                Step::Nothing
            }
        }
    }
}

/// A copy to edit: the original may belong to a cached plan.
///
/// # Safety
/// A utility statement.
unsafe fn copy_of(statement: *mut pg_sys::PlannedStmt, command: Option<usize>) -> *mut pg_sys::PlannedStmt {
    // SAFETY: copyObject makes a deep copy in the current memory context.
    unsafe {
        let copy = pg_sys::copyObjectImpl(statement.cast()).cast::<pg_sys::PlannedStmt>();
        let node = (*copy).utilityStmt;
        if let Some(at) = command
            && (*node).type_ == NodeTag::T_AlterTableStmt
        {
            let alter = node.cast::<pg_sys::AlterTableStmt>();
            let commands = PgList::<pg_sys::AlterTableCmd>::from_pg((*alter).cmds);
            let mut one = PgList::<pg_sys::AlterTableCmd>::new();
            if let Some(chosen) = commands.get_ptr(at) {
                one.push(chosen);
            }
            (*alter).cmds = one.into_pg();
        }
        copy
    }
}
