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
//! is evaluated but input and output functions of constants.
//!
//! Not here: which shadow to build (`planning::workload::shadow`), and the
//! repair of normalised texts (`planning::workload::repair`), which comes
//! before.

mod alternatives;
mod build;
mod condition;
mod facts;
mod join_tree;
mod level;
mod names;
mod read;
mod read_expression;
mod scope;
#[cfg(feature = "pg_test")]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::ffi::CString;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys;

use crate::model::access::Analysis;
use crate::model::name::quote_identifier;
use crate::model::shadow::ShadowPlan;
use crate::pg::analyze::build::Shadow;
use crate::pg::analyze::names::Named;
use crate::pg::analyze::names::Names;
use crate::pg::analyze::read::Reader;
use crate::pg::analyze::read::owned;
use crate::pg::analyze::read::pointers;
use crate::pg::context;

/// Analyses statements, each with the schemas of its `search_path`, against
/// the shadow that `plan` describes; what the shadow does not have is looked
/// up in the database as it is. Nothing is left behind.
pub fn analyze(plan: &ShadowPlan, statements: &[(String, Vec<String>)]) -> Vec<Analysis> {
    let result = context::in_rolled_back_subtransaction(|| {
        let _hook = HookGuard::new();
        context::with_setting(c"DateStyle", c"ISO", || {
            let shadow = build::build(plan);
            let analyzer = Analyzer::new(plan, shadow);
            statements.iter().map(|(sql, path)| analyzer.statement(sql, path)).collect()
        })
    });
    result.unwrap_or_else(|caught| vec![caught.into(); statements.len()])
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

struct Analyzer<'a> {
    names: Names<'a>,
    failed: BTreeMap<crate::model::name::QualifiedName, String>,
    /// Shadow schema → the schema that it stands for.
    originals: BTreeMap<String, String>,
}

/// A statement that is refused before or after PostgreSQL looks at it.
struct Refusal {
    sqlstate: &'static str,
    message: String,
}

impl<'a> Analyzer<'a> {
    fn new(plan: &'a ShadowPlan, shadow: Shadow) -> Self {
        Self {
            names: Names { shadows: &plan.schemas, known: shadow.known },
            failed: shadow.failed,
            originals: plan.schemas.iter().map(|(schema, shadow)| (shadow.clone(), schema.clone())).collect(),
        }
    }

    /// Analyses one statement in a subtransaction and memory of its own.
    fn statement(&self, sql: &str, path: &[String]) -> Analysis {
        pgrx::check_for_interrupts!();
        let mut named = Vec::new();
        let result = context::in_rolled_back_subtransaction(|| {
            let work = || self.in_memory(sql, &mut named);
            let mut memory = PgMemoryContexts::new("pg_presplit analysis");
            // SAFETY: nothing that is allocated in there is used after it.
            unsafe {
                memory.switch_to(|_| context::with_setting(c"search_path", &self.search_path(path), work))
            }
        });
        match result {
            Ok(Ok(analysis)) => analysis,
            Ok(Err(refusal)) => {
                Analysis::Refused { sqlstate: refusal.sqlstate.to_owned(), message: refusal.message }
            }
            Err(caught) => {
                if caught.sqlstate == "42P01"
                    && let Some(reason) = named.iter().find_map(|named| self.reason(named, path))
                {
                    return Analysis::Refused { sqlstate: "42P01".to_owned(), message: reason };
                }
                Analysis::Refused { sqlstate: caught.sqlstate, message: self.translated(caught.message) }
            }
        }
    }

    fn in_memory(&self, sql: &str, named: &mut Vec<Named>) -> Result<Analysis, Refusal> {
        let refuse = |sqlstate, message: &str| Err(Refusal { sqlstate, message: message.to_owned() });
        let Ok(text) = CString::new(sql) else {
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
            let Some(query) = names::query_in((*raw).stmt) else {
                return refuse("0A000", &format!("{command} reads and writes no rows by a query"));
            };
            (*raw).stmt = query;
            named.extend(self.names.rewrite(query));
            if let Some(reason) =
                named.iter().filter(|named| named.schema.is_some()).find_map(|named| self.reason(named, &[]))
            {
                return refuse("42P01", &reason);
            }
            let query = analyzed(raw, &text);
            let mut reader = Reader::new(&self.originals);
            let mut queries = Vec::new();
            for query in pointers::<pg_sys::Query>(pg_sys::pg_rewrite_query(query)) {
                if (*query).commandType == pg_sys::CmdType::CMD_UTILITY {
                    return refuse("0A000", &format!("{command} reads and writes no rows by a query"));
                }
                queries.push(reader.query(query));
            }
            Ok(Analysis::Facts(facts::facts(&queries)))
        }
    }

    /// Why a relation that a statement names is not in the shadow.
    fn reason(&self, named: &Named, path: &[String]) -> Option<String> {
        let schemas = match &named.schema {
            Some(schema) => std::slice::from_ref(schema),
            None => path,
        };
        schemas.iter().find_map(|schema| {
            let name = crate::model::name::QualifiedName::new(schema, &named.name);
            let reason = self.failed.get(&name)?;
            Some(self.translated(format!("relation {name} could not be rebuilt: {reason}")))
        })
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

/// Parse analysis with types of parameters found out by the way.
///
/// # Safety
/// `raw` is a raw statement of `text` that no one else holds.
unsafe fn analyzed(raw: *mut pg_sys::RawStmt, text: &CStr) -> *mut pg_sys::Query {
    let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the caller's promise; the array of types is allocated there.
    unsafe {
        pg_sys::parse_analyze_varparams(raw, text.as_ptr(), &mut types, &mut count, std::ptr::null_mut())
    }
}
