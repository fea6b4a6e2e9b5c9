//! Statements read by PostgreSQL itself, against empty shadow tables.
//!
//! ```text
//! text ─→ raw tree ─→ names replaced ─→ parse analysis ─→ rewriting (views)
//!      ─→ owned tree (`read`) ─→ levels and conditions (`scope`, `level`,
//!         `condition`) ─→ facts
//! ```
//!
//! All of it runs in a subtransaction that is rolled back in any case, each
//! statement in one of its own. The planner is never called, and no function
//! is evaluated but input and output functions of constants of built-in types
//! (`literal`).
//!
//! Not here: which shadow to build (`planning::workload::shadow`), and the
//! repair of normalised texts (`planning::workload::repair`), which comes
//! before.

mod alternatives;
mod arbiter;
mod build;
mod condition;
mod facts;
mod grouping;
mod guess;
mod join_tree;
mod level;
mod literal;
mod names;
mod read;
mod read_expression;
mod scope;
#[cfg(feature = "pg_test")]
mod tests;
mod tree;

pub use build::define;
pub use build::define_by_query;
pub use names::nodes_of;
pub use read::owned;
pub use read::pointers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::CString;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys;

use crate::model::access::Analysis;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::shadow::ShadowPlan;
use crate::model::signature::Volatility;
use crate::pg::analyze::build::Shadow;
use crate::pg::analyze::guess::Groups;
use crate::pg::analyze::literal::Foreign;
use crate::pg::analyze::names::Named;
use crate::pg::analyze::names::Names;
use crate::pg::analyze::read::Lookups;
use crate::pg::analyze::read::Reader;
use crate::pg::context;
use crate::pg::context::Caught;

/// Analyses statements, each with the schemas of its `search_path`, against
/// the shadow that `plan` describes; what the shadow does not have is looked
/// up in the database as it is. Nothing is left behind.
pub fn analyze(plan: &ShadowPlan, statements: &[(String, Vec<String>)]) -> Vec<Analysis> {
    let work = |analyzer: &Analyzer<'_>| {
        statements.iter().map(|(sql, path)| analyzer.analysis(sql, path)).collect::<Vec<_>>()
    };
    in_shadow(plan, Reach::Database, work).unwrap_or_else(|caught| vec![caught.into(); statements.len()])
}

/// Runs `work` where the shadow that `plan` describes exists; then nothing is
/// left of it. What `work` returns must be made of owned values.
///
/// # Errors
/// If the shadow cannot be made, or what `work` raised.
pub fn in_shadow<R>(
    plan: &ShadowPlan,
    reach: Reach,
    work: impl FnOnce(&Analyzer<'_>) -> R,
) -> Result<R, Caught> {
    let mut memory = PgMemoryContexts::new("pg_presplit shadow");
    let result = context::in_rolled_back_subtransaction(|| {
        let _hook = HookGuard::new();
        // Bodies of stubs need not be looked at; tables are made as anywhere,
        // whatever the session would have them be.
        let settings = [
            (c"DateStyle", c"ISO"),
            (c"check_function_bodies", c"off"),
            (c"default_tablespace", c""),
            (c"default_table_access_method", c"heap"),
        ];
        let work = || Ok(work(&Analyzer::new(plan, build::build(plan)?, reach)));
        // SAFETY: what comes out is made of owned values.
        unsafe { memory.switch_to(|_| context::with_settings(&settings, work)) }
    });
    result.and_then(|inner| inner)
}

/// Where statements may find their relations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// In the shadow first, then in the database.
    Database,
    /// In the shadow and among the server's own alone, so that no lock is
    /// taken on anything else.
    Shadow,
}

/// Keeps other extensions' look at analysed statements away: what is analysed
/// here is not run, and must not be counted as if it were.
struct HookGuard {
    hook: pg_sys::post_parse_analyze_hook_type,
}

impl HookGuard {
    fn new() -> Self {
        // SAFETY: a plain exchange of a pointer on the backend's only thread.
        unsafe {
            let hook = pg_sys::post_parse_analyze_hook;
            pg_sys::post_parse_analyze_hook = None;
            Self { hook }
        }
    }
}

impl Drop for HookGuard {
    fn drop(&mut self) {
        // SAFETY: puts back what the constructor took.
        unsafe { pg_sys::post_parse_analyze_hook = self.hook };
    }
}

/// Reads statements against a shadow that exists.
pub struct Analyzer<'a> {
    names: Names<'a>,
    failed: BTreeMap<QualifiedName, String>,
    failed_functions: BTreeMap<QualifiedName, String>,
    promises: HashMap<u32, Volatility>,
    foreign: Foreign,
    /// Whether no shadow can be made here: statements are then read against
    /// what exists.
    unable: bool,
    lookups: RefCell<Lookups>,
    /// Shadow schema → the schema that it stands for.
    originals: BTreeMap<String, String>,
    reach: Reach,
}

/// A statement, and the schemas in which it is read.
struct Text<'s> {
    sql: &'s str,
    schemas: &'s [String],
    path: CString,
}

/// A statement that is refused before or after PostgreSQL looks at it.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub sqlstate: String,
    pub message: String,
}

impl Refusal {
    pub fn new(sqlstate: &str, message: impl Into<String>) -> Self {
        Self { sqlstate: sqlstate.to_owned(), message: message.into() }
    }
}

/// A statement after parse analysis and rewriting: its queries, and the types
/// of its parameters.
pub struct Rewritten<'r> {
    pub queries: &'r [*mut pg_sys::Query],
    pub types: &'r [pg_sys::Oid],
}

/// What is done with a statement that could be read.
type Consume<'c, T> = dyn FnMut(&Rewritten<'_>) -> Result<T, Refusal> + 'c;

impl<'a> Analyzer<'a> {
    fn new(plan: &'a ShadowPlan, shadow: Shadow, reach: Reach) -> Self {
        Self {
            names: Names { shadows: &plan.schemas, known: shadow.known },
            failed: shadow.failed,
            failed_functions: shadow.failed_functions,
            promises: shadow.promises,
            foreign: shadow.foreign,
            unable: shadow.unable,
            lookups: RefCell::default(),
            originals: plan.schemas.iter().map(|(schema, shadow)| (shadow.clone(), schema.clone())).collect(),
            reach,
        }
    }

    /// The tables, views and types that are not in the shadow, with the reason.
    pub const fn failed(&self) -> &BTreeMap<QualifiedName, String> {
        &self.failed
    }

    /// What the functions promise for which there are stubs.
    pub const fn promises(&self) -> &HashMap<u32, Volatility> {
        &self.promises
    }

    fn analysis(&self, sql: &str, path: &[String]) -> Analysis {
        let mut facts = |rewritten: &Rewritten<'_>| {
            let lookups = &mut *self.lookups.borrow_mut();
            let mut reader = Reader { originals: &self.originals, promises: &self.promises, lookups };
            // SAFETY: queries that were just analysed, whose relations are locked.
            let queries: Vec<_> =
                rewritten.queries.iter().map(|query| unsafe { reader.query(*query) }).collect();
            Ok(Analysis::Facts(facts::facts(&queries)))
        };
        match self.statement(sql, path, &mut facts) {
            Ok(analysis) => analysis,
            Err(Refusal { sqlstate, message }) => Analysis::Refused { sqlstate, message },
        }
    }

    /// Reads one statement in memory of its own and hands it to `consume`; a
    /// normalised text may need more tries with what the first ones taught.
    /// Memory and locks are gone when it returns.
    ///
    /// # Errors
    /// Why it could not be read, or what `consume` returned or raised.
    pub fn statement<T>(
        &self,
        sql: &str,
        path: &[String],
        consume: &mut Consume<'_, T>,
    ) -> Result<T, Refusal> {
        let text = Text { sql, schemas: path, path: self.search_path(path) };
        let mut memory = PgMemoryContexts::new("pg_presplit analysis");
        let mut attempt = Attempt::default();
        match self.tried(&text, &mut memory, &mut attempt, consume) {
            Ok(done) => done,
            Err(caught) => {
                let mut tries = guess::TRIES_MAX;
                let guessed = self.guessed(&text, &mut memory, &mut attempt, &caught, &mut tries, consume);
                guessed.unwrap_or_else(|| Err(self.refused(caught, &attempt.named, path)))
            }
        }
    }

    /// Tries until nothing new is learned.
    fn tried<T>(
        &self,
        text: &Text<'_>,
        memory: &mut PgMemoryContexts,
        attempt: &mut Attempt,
        consume: &mut Consume<'_, T>,
    ) -> Result<Result<T, Refusal>, Caught> {
        loop {
            pgrx::check_for_interrupts!();
            let result = context::in_rolled_back_subtransaction(|| {
                let work = || self.attempt(text, attempt, consume);
                // SAFETY: nothing that is allocated in there is used after it
                // but the types of parameters, and those before it is deleted.
                unsafe { memory.switch_to(|_| context::with_settings(&[(c"search_path", &text.path)], work)) }
            });
            match result {
                Ok(done) => return Ok(done),
                Err(caught) if attempt.teaches(&caught.sqlstate) => {}
                Err(caught) => return Err(caught),
            }
        }
    }

    /// Tries types for the parameters that the error is about; what comes of a
    /// try that ends in another error is looked into further.
    fn guessed<T>(
        &self,
        text: &Text<'_>,
        memory: &mut PgMemoryContexts,
        attempt: &mut Attempt,
        error: &Caught,
        tries: &mut usize,
        consume: &mut Consume<'_, T>,
    ) -> Option<Result<T, Refusal>> {
        for group in attempt.groups.asked(error) {
            if attempt.guesses.iter().any(|(number, _)| group.contains(number)) {
                continue;
            }
            for of_type in guess::candidates(error) {
                *tries = tries.checked_sub(1)?;
                let mut guesses = attempt.guesses.clone();
                guesses.extend(group.iter().map(|number| (*number, of_type)));
                let mut next = Attempt { guesses, unify: attempt.unify, ..Attempt::default() };
                match self.tried(text, memory, &mut next, consume) {
                    Ok(done) => return Some(done),
                    Err(other) if other.message == error.message => {}
                    Err(other) => {
                        let found = self.guessed(text, memory, &mut next, &other, tries, consume);
                        if found.is_some() {
                            return found;
                        }
                    }
                }
            }
        }
        None
    }

    fn refused(&self, caught: Caught, named: &[Named], path: &[String]) -> Refusal {
        let missed = |function: bool| {
            let of_kind = |named: &&Named| named.function == function;
            named.iter().filter(of_kind).find_map(|named| self.reason(named, path))
        };
        let reason = match caught.sqlstate.as_str() {
            "42P01" => missed(false),
            "42883" => missed(true),
            "3F000" => missed(false).or_else(|| missed(true)),
            _ => None,
        };
        let message = reason.unwrap_or_else(|| self.translated(caught.message));
        Refusal { sqlstate: caught.sqlstate, message }
    }

    fn attempt<T>(
        &self,
        text: &Text<'_>,
        attempt: &mut Attempt,
        consume: &mut Consume<'_, T>,
    ) -> Result<T, Refusal> {
        let refuse = |sqlstate, message: &str| Err(Refusal::new(sqlstate, message));
        let schemas = text.schemas;
        let Ok(text) = CString::new(text.sql) else {
            return refuse("22021", "statement holds a zero byte");
        };
        // SAFETY: trees are made and used in the current memory context; the
        // raw tree is ours to change; parse analysis and rewriting take it in
        // the order in which the server itself would.
        unsafe {
            let raw = pointers::<pg_sys::RawStmt>(pg_sys::pg_parse_query(text.as_ptr()));
            let [raw] = raw[..] else {
                return if raw.is_empty() {
                    refuse("42601", "statement is empty")
                } else {
                    refuse("0A000", "text holds more than one statement")
                };
            };
            let command = owned(pg_sys::CreateCommandName((*raw).stmt));
            let no_query = format!("{command} reads and writes no rows by a query");
            let Some(query) = names::query_in((*raw).stmt) else {
                return refuse("0A000", &no_query);
            };
            (*raw).stmt = query;
            attempt.named = self.names.rewrite(query);
            if self.reach == Reach::Shadow
                && let Some(named) = attempt.named.iter().find(|named| self.is_outside(named, schemas))
            {
                return refuse("42P01", &format!("relation \"{}\" has no shadow", named.name));
            }
            let mut qualified =
                attempt.named.iter().filter(|named| named.schema.is_some() && !named.function);
            if !self.unable
                && let Some(reason) = qualified.find_map(|named| self.reason(named, &[]))
            {
                return refuse("42P01", &reason);
            }
            names::forget_constant_names(query);
            self.foreign.keep_out(raw, &text);
            attempt.groups = Groups::of(query);
            if attempt.unify {
                grouping::unify(query);
            }
            let query = attempt.analyzed(raw, &text);
            let queries = pointers::<pg_sys::Query>(pg_sys::pg_rewrite_query(query));
            if queries.iter().any(|query| (**query).commandType == pg_sys::CmdType::CMD_UTILITY) {
                return refuse("0A000", &no_query);
            }
            consume(&Rewritten { queries: &queries, types: &attempt.found_types() })
        }
    }

    /// Why a relation or function that a statement names is not in the shadow.
    fn reason(&self, named: &Named, path: &[String]) -> Option<String> {
        let schemas = match &named.schema {
            Some(schema) => std::slice::from_ref(schema),
            None => path,
        };
        schemas.iter().find_map(|schema| {
            let name = QualifiedName::new(schema, &named.name);
            let (what, failed) = match named.function {
                true => ("function", &self.failed_functions),
                false => ("relation", &self.failed),
            };
            let reason = failed.get(&name)?;
            Some(self.translated(format!("{what} {name} could not be rebuilt: {reason}")))
        })
    }

    /// Whether a relation of the database would be found by a name.
    fn is_outside(&self, named: &Named, path: &[String]) -> bool {
        let schemas = named.schema.as_ref().map_or(path, std::slice::from_ref);
        let in_shadow = |schema: &String| {
            self.names.shadows.contains_key(schema)
                && self.names.known.relations.contains(&QualifiedName::new(schema, &named.name))
        };
        !named.function
            && !schemas.iter().any(in_shadow)
            && schemas.iter().any(|schema| names::exists(schema, &named.name))
    }

    /// The shadows of the schemas first, then the schemas themselves.
    fn search_path(&self, path: &[String]) -> CString {
        let shadows = path.iter().filter_map(|schema| self.names.shadows.get(schema));
        let path: Vec<String> = shadows.chain(path).map(|schema| quote_identifier(schema)).collect();
        CString::new(path.join(", ")).unwrap_or_default()
    }

    /// A message in the words of the profile.
    fn translated(&self, message: String) -> String {
        self.originals
            .iter()
            .rev()
            .fold(message, |message, (shadow, schema)| message.replace(shadow.as_str(), schema))
    }
}

/// What is known of a statement from earlier tries.
struct Attempt {
    /// The relations that it names.
    named: Vec<Named>,
    /// Types of parameters as far as they were found; the array lives in the
    /// statement's memory.
    types: *mut pg_sys::Oid,
    count: i32,
    typed: bool,
    /// Whether grouping expressions are to be made the same.
    unify: bool,
    groups: Groups,
    /// Types that are tried for parameters.
    guesses: Vec<(i32, u32)>,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            named: Vec::new(),
            types: std::ptr::null_mut(),
            count: 0,
            typed: false,
            unify: false,
            groups: Groups::default(),
            guesses: Vec::new(),
        }
    }
}

impl Attempt {
    /// Whether another try may succeed where this one failed.
    fn teaches(&mut self, sqlstate: &str) -> bool {
        match sqlstate {
            // A parameter was used before its type was known: now it is.
            "42P08" => !std::mem::replace(&mut self.typed, true),
            "42803" | "42P10" => !std::mem::replace(&mut self.unify, true),
            _ => false,
        }
    }

    /// Sets the types that are tried, in the current memory context.
    fn guess(&mut self) {
        let last = self.guesses.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let Ok(count) = usize::try_from(last) else { return };
        if count == 0 {
            return;
        }
        // SAFETY: the array has `count` elements, all zero; numbers of
        // parameters that are tried are from one to `count`.
        unsafe {
            self.types = pg_sys::palloc0(count * size_of::<pg_sys::Oid>()).cast();
            self.count = last;
            for (number, of_type) in &self.guesses {
                if let Some(at) = usize::try_from(*number).ok().and_then(|at| at.checked_sub(1)) {
                    *self.types.add(at) = pg_sys::Oid::from(*of_type);
                }
            }
        }
    }

    /// The types of the parameters, by their numbers from one.
    fn found_types(&self) -> Vec<pg_sys::Oid> {
        let count = if self.types.is_null() { 0 } else { usize::try_from(self.count).unwrap_or(0) };
        // SAFETY: the array has `count` types.
        (0..count).map(|at| unsafe { *self.types.add(at) }).collect()
    }

    /// Parse analysis; the types of parameters are found out by the way.
    ///
    /// # Safety
    /// `raw` is a raw statement of `text` that no one else holds.
    unsafe fn analyzed(&mut self, raw: *mut pg_sys::RawStmt, text: &CStr) -> *mut pg_sys::Query {
        if self.types.is_null() {
            self.guess();
        }
        let (types, count) = (&raw mut self.types, &raw mut self.count);
        // SAFETY: the caller's promise; the array has `count` types.
        unsafe { pg_sys::parse_analyze_varparams(raw, text.as_ptr(), types, count, std::ptr::null_mut()) }
    }
}
