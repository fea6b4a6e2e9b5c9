//! The shadow of a profile, made in the current (sub)transaction.
//!
//! Definitions run as parts of a larger command, so that event triggers stay
//! out, and past every hook: they are ours and end with the subtransaction.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::CString;

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::shadow::ShadowPart;
use crate::model::shadow::ShadowPlan;
use crate::model::shadow::ShadowView;
use crate::model::signature::Volatility;
use crate::pg::analyze::literal::Foreign;
use crate::pg::analyze::names::Known;
use crate::pg::analyze::names::Names;
use crate::pg::analyze::read::pointers;
use crate::pg::context;
use crate::pg::context::Caught;

/// The SQLSTATEs of a command that would write in a read-only transaction or
/// during recovery, and of one for which rights are missing.
const UNABLE: [&str; 2] = ["25006", "42501"];

/// What came of it.
#[derive(Default)]
pub struct Shadow {
    pub known: Known,
    /// Tables, views and types that are not there, with the reason.
    pub failed: BTreeMap<QualifiedName, String>,
    /// Functions and operators that are not.
    pub failed_functions: BTreeMap<QualifiedName, String>,
    /// What the functions promise whose stubs these are.
    pub promises: HashMap<u32, Volatility>,
    pub foreign: Foreign,
    /// Whether nothing can be made here at all: then what exists is looked up.
    pub unable: bool,
}

/// Makes the shadow. What fails is left out, with the reason.
///
/// # Errors
/// If it cannot be told which constants are safe to read.
pub fn build(plan: &ShadowPlan) -> Result<Shadow, Caught> {
    let mut shadow = Shadow {
        failed: plan.failed.clone(),
        failed_functions: plan.failed_functions.clone(),
        ..Shadow::default()
    };
    let mut without_schema = None;
    for step in &plan.steps {
        pgrx::check_for_interrupts!();
        let made = context::in_subtransaction(|| define(&step.sql));
        match (&step.makes, made) {
            (ShadowPart::Schema, Err(caught)) => {
                shadow.unable |= UNABLE.contains(&caught.sqlstate.as_str());
                without_schema = Some(caught.message);
            }
            // The first cause says more than what follows from it.
            (part, Err(caught)) => shadow.miss(part, without_schema.clone().unwrap_or(caught.message)),
            (part, Ok(made)) => shadow.add(part, made),
        }
    }
    shadow.foreign = Foreign::found()?;
    views(plan, &mut shadow);
    Ok(shadow)
}

impl Shadow {
    fn add(&mut self, part: &ShadowPart, made: pg_sys::Oid) {
        match part {
            ShadowPart::Type(name) | ShadowPart::Table(name) => {
                self.known.relations.insert(name.clone());
            }
            ShadowPart::Range(names) => {
                self.known.relations.extend(names.iter().cloned());
                self.known.functions.extend(names.iter().cloned());
            }
            ShadowPart::Function(name, promise) => {
                self.known.functions.insert(name.clone());
                self.promises.insert(made.to_u32(), *promise);
            }
            ShadowPart::Aggregate(name) => {
                self.known.functions.insert(name.clone());
            }
            ShadowPart::Operator(name) => {
                self.known.operators.insert(name.clone());
            }
            ShadowPart::Collation(name) => {
                self.known.collations.insert(name.clone());
            }
            ShadowPart::Schema | ShadowPart::Key | ShadowPart::Shard(_) => {}
        }
    }

    fn miss(&mut self, part: &ShadowPart, reason: String) {
        match part {
            ShadowPart::Type(name) | ShadowPart::Table(name) | ShadowPart::Shard(name) => {
                self.failed.entry(name.clone()).or_insert(reason);
            }
            ShadowPart::Range(names) => {
                self.failed.extend(names.iter().map(|name| (name.clone(), reason.clone())));
            }
            ShadowPart::Function(name, _) | ShadowPart::Aggregate(name) | ShadowPart::Operator(name) => {
                self.failed_functions.insert(name.clone(), reason);
            }
            ShadowPart::Collation(_) | ShadowPart::Schema | ShadowPart::Key => {}
        }
    }
}

/// Views may build on one another: each round makes those that can be made,
/// until none is left or a round makes none.
fn views(plan: &ShadowPlan, shadow: &mut Shadow) {
    // A view's own name must lead to its shadow in the views that use it, and
    // to nothing else before it is there.
    let mut names = Names { shadows: &plan.schemas, known: shadow.known.clone() };
    names.known.relations.extend(plan.views.iter().map(|view| view.name.clone()));
    let (mut pending, homeless): (Vec<&ShadowView>, Vec<&ShadowView>) =
        plan.views.iter().partition(|view| plan.schemas.contains_key(&view.name.schema));
    for view in homeless {
        shadow.failed.insert(view.name.clone(), "its schema has no shadow".to_owned());
    }
    loop {
        let before = pending.len();
        let mut left: Vec<(&ShadowView, Caught)> = Vec::new();
        for view in pending {
            pgrx::check_for_interrupts!();
            match context::in_subtransaction(|| define_view(view, &names, &shadow.foreign)) {
                Ok(()) => {
                    shadow.known.relations.insert(view.name.clone());
                }
                Err(caught) => left.push((view, caught)),
            }
        }
        if left.is_empty() || left.len() == before {
            for (view, caught) in left {
                shadow.failed.insert(view.name.clone(), caught.message);
            }
            return;
        }
        pending = left.into_iter().map(|(view, _)| view).collect();
    }
}

/// Runs one definition of ours, past hooks and event triggers; the oid of a
/// function that it makes.
pub fn define(sql: &str) -> pg_sys::Oid {
    let Ok(text) = CString::new(sql) else { refuse("definition holds a zero byte") };
    // SAFETY: the parse tree is ours and is used as the server itself would.
    unsafe {
        let raw = single(&text);
        if (*(*raw).stmt).type_ != NodeTag::T_CreateFunctionStmt {
            run(raw, &text);
            return pg_sys::InvalidOid;
        }
        let state = pg_sys::make_parsestate(std::ptr::null_mut());
        (*state).p_sourcetext = text.as_ptr();
        let made = pg_sys::CreateFunction(state, (*raw).stmt.cast());
        pg_sys::free_parsestate(state);
        pg_sys::CommandCounterIncrement();
        made.objectId
    }
}

/// Runs one definition of ours that is made of a query, as `CREATE ... AS`,
/// past hooks and event triggers.
pub fn define_by_query(sql: &str) {
    let Ok(text) = CString::new(sql) else { refuse("definition holds a zero byte") };
    // SAFETY: the parse tree is ours; the analysed statement takes its place,
    // as the server itself would have it.
    unsafe {
        let raw = single(&text);
        let query =
            pg_sys::parse_analyze_fixedparams(raw, text.as_ptr(), std::ptr::null(), 0, std::ptr::null_mut());
        if (*query).utilityStmt.is_null() {
            refuse("statement is no definition");
        }
        (*raw).stmt = (*query).utilityStmt;
        run(raw, &text);
    }
}

/// Makes a view whose definition is foreign text: it must be one query, and
/// no constant in it may be read by foreign code.
fn define_view(view: &ShadowView, names: &Names<'_>, foreign: &Foreign) {
    let sql = format!(
        "CREATE VIEW {}.{} {} AS {}",
        quote_identifier(&view.name.schema),
        quote_identifier(&view.name.name),
        if view.security_barrier { "WITH (security_barrier)" } else { "" },
        view.definition
    );
    let Ok(text) = CString::new(sql) else { refuse("definition holds a zero byte") };
    // SAFETY: the parse tree is ours; the query in it is looked at in a raw
    // statement of its own.
    unsafe {
        let raw = single(&text);
        if (*(*raw).stmt).type_ != NodeTag::T_ViewStmt {
            refuse("definition is not a view");
        }
        let statement = (*raw).stmt.cast::<pg_sys::ViewStmt>();
        names.rewrite((*statement).view.cast());
        names.rewrite((*statement).query);
        let query = pgrx::PgBox::<pg_sys::RawStmt>::alloc_node(NodeTag::T_RawStmt).into_pg();
        (*query).stmt = (*statement).query;
        if !foreign.blank(query, &text) {
            refuse("definition holds a constant whose type has an input function of its own");
        }
        run(raw, &text);
    }
}

/// The one statement of a text.
///
/// # Safety
/// In a transaction; the tree lives in the current memory context.
unsafe fn single(text: &CStr) -> *mut pg_sys::RawStmt {
    // SAFETY: a list of raw statements.
    let raw = unsafe { pointers::<pg_sys::RawStmt>(pg_sys::pg_parse_query(text.as_ptr())) };
    match raw[..] {
        [raw] => raw,
        _ => refuse("definition is not one statement"),
    }
}

/// # Safety
/// `raw` is a utility statement of `text` that no one else holds.
unsafe fn run(raw: *mut pg_sys::RawStmt, text: &CStr) {
    // SAFETY: the tree outlives the call in the current memory context; a
    // planned statement of a utility carries just that.
    unsafe {
        let statement = pgrx::PgBox::<pg_sys::PlannedStmt>::alloc_node(NodeTag::T_PlannedStmt).into_pg();
        (*statement).commandType = pg_sys::CmdType::CMD_UTILITY;
        (*statement).canSetTag = false;
        (*statement).utilityStmt = (*raw).stmt;
        (*statement).stmt_location = (*raw).stmt_location;
        (*statement).stmt_len = (*raw).stmt_len;
        pg_sys::standard_ProcessUtility(
            statement,
            text.as_ptr(),
            false,
            pg_sys::ProcessUtilityContext::PROCESS_UTILITY_SUBCOMMAND,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestNone),
            std::ptr::null_mut(),
        );
        pg_sys::CommandCounterIncrement();
    }
}

fn refuse(message: &str) -> ! {
    crate::pg::error::raise(crate::pg::error::new(
        crate::model::report::SqlState::InvalidObjectDefinition,
        message,
        None,
        None,
    ))
}
