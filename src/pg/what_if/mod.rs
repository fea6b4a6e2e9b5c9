//! What if: PostgreSQL's own planner on layouts that do not exist.
//!
//! ```text
//! shadow with shards (`analyze`) ─→ world (sizes, statistics) ─→ hooks
//! text ─→ parse analysis, rewriting (`analyze`) ─→ parameters ─→ draws
//!      ─→ safe copy with values ─→ planner ─→ plan ─→ shards, rows, cost
//! ```
//!
//! Everything happens in a subtransaction that is rolled back; nothing is
//! executed. No lock is taken on a user's table beyond ACCESS SHARE, and the
//! planner finds nothing foreign to evaluate (`safe`).
//!
//! Not here: what is supposed and which values are drawn
//! (`planning::proposal::evidence`), and what follows (`operations::what_if`).

mod call;
mod hooks;
mod parameter;
mod plan;
mod pruning;
mod safe;
mod seen;
#[cfg(feature = "pg_test")]
mod tests;
mod tuple;
mod value;
mod world;

use std::ffi::CStr;
use std::ffi::CString;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys;

use crate::model::name::QualifiedName;
use crate::model::shadow::ShadowPlan;
use crate::model::what_if::Draw;
use crate::model::what_if::Draws;
use crate::model::what_if::NotPlanned;
use crate::model::what_if::Planned;
use crate::model::what_if::Plans;
use crate::model::what_if::Supposed;
use crate::pg::analyze;
use crate::pg::analyze::Analyzer;
use crate::pg::analyze::Reach;
use crate::pg::analyze::Refusal;
use crate::pg::analyze::Rewritten;
use crate::pg::analyze::owned;
use crate::pg::analyze::pointers;
use crate::pg::context;
use crate::pg::what_if::safe::Safe;
use crate::pg::what_if::world::World;

/// What lets the planner join and aggregate shard by shard.
const SHARD_BY_SHARD: [(&CStr, &CStr); 2] =
    [(c"enable_partitionwise_join", c"on"), (c"enable_partitionwise_aggregate", c"on")];

/// Times as many values are tried of a statement that depends on them.
const MORE_DRAWS: usize = 8;

/// What is to be planned.
pub struct Question<'a> {
    pub shadow: &'a ShadowPlan,
    pub supposed: &'a [Supposed],
    /// Texts, each with the schemas of its `search_path`.
    pub statements: &'a [(String, Vec<String>)],
    /// Of the profile, microseconds since 1970: what `now()` tells.
    pub moment: i64,
    pub draws: &'a Draws<'a>,
    /// Whether the statement of that number is planned a second time, with
    /// joins and aggregates shard by shard.
    pub shard_by_shard: &'a dyn Fn(usize) -> bool,
}

/// Why nothing could be planned at all, or for a table.
#[derive(Debug, Clone)]
pub struct Failure {
    /// None = all of it.
    pub relation: Option<QualifiedName>,
    pub reason: String,
}

/// Has the planner plan every statement. Nothing is left behind.
///
/// # Errors
/// If the tables or shards of which something is supposed cannot be made.
pub fn plans(question: &Question<'_>) -> Result<Plans, Failure> {
    let work = |analyzer: &Analyzer<'_>| {
        let wanted = |one: &&Supposed| analyzer.failed().contains_key(&one.relation);
        if let Some(one) = question.supposed.iter().find(wanted) {
            let relation = Some(one.relation.clone());
            return Err(Failure { relation, reason: analyzer.failed()[&one.relation].clone() });
        }
        let world = World::new(question.shadow, question.supposed);
        Ok(hooks::with_world(&world, || {
            let each = question.statements.iter().enumerate();
            each.map(|(at, statement)| planned(question, analyzer, &world, at, statement)).collect()
        }))
    };
    analyze::in_shadow(question.shadow, Reach::Shadow, work)
        .unwrap_or_else(|caught| Err(Failure { relation: None, reason: caught.message }))
}

/// Plans one statement with all its draws.
fn planned(
    question: &Question<'_>,
    analyzer: &Analyzer<'_>,
    world: &World<'_>,
    at: usize,
    (sql, path): &(String, Vec<String>),
) -> Result<Planned, NotPlanned> {
    let mut consume = |rewritten: &Rewritten<'_>| {
        // SAFETY: queries that were just analysed and rewritten.
        let parameters = unsafe {
            for query in rewritten.queries {
                only_known(world, *query)?;
            }
            parameter::parameters(world, rewritten)
        };
        let tried = |times: usize| {
            let mut found = Vec::new();
            for draw in (question.draws)(at, &parameters, times) {
                pgrx::check_for_interrupts!();
                let plan = || one_draw(question, analyzer, world, rewritten, &draw);
                let mut planned = plan()?;
                if (question.shard_by_shard)(at) {
                    // Costs alone are wanted; scans are told apart anew.
                    world.seen.forget();
                    planned.shard_by_shard = Some(context::with_settings(&SHARD_BY_SHARD, plan)?.cost);
                }
                found.push((draw.weight, planned));
            }
            Ok::<_, Refusal>(found)
        };
        let mut found = tried(1)?;
        if Planned::wants_more(&found) {
            found = tried(MORE_DRAWS)?;
        }
        Planned::mean(&found).ok_or_else(|| Refusal::new("XX000", "no values were drawn"))
    };
    let result = analyzer.statement(sql, path, &mut consume);
    world.seen.forget();
    result.map_err(|refusal| NotPlanned { sqlstate: refusal.sqlstate, message: refusal.message })
}

/// Plans the queries of a statement with the values of one draw; an error of
/// the planner is the statement's.
fn one_draw(
    question: &Question<'_>,
    analyzer: &Analyzer<'_>,
    world: &World<'_>,
    rewritten: &Rewritten<'_>,
    draw: &Draw,
) -> Result<Planned, Refusal> {
    let mut memory = PgMemoryContexts::new("pg_presplit plan");
    let work = || {
        let mut sum = Planned::default();
        for query in rewritten.queries {
            let mut safe = Safe::new(analyzer, question.moment, rewritten.types.len(), &draw.values);
            // SAFETY: the copy is ours; it is planned as the server would plan
            // it, and what is read off the plan is made of owned values.
            let planned = unsafe {
                let copy = safe.copy(*query);
                let text = CString::default();
                let options = pg_sys::CURSOR_OPT_PARALLEL_OK as i32;
                let statement = pg_sys::standard_planner(copy, text.as_ptr(), options, std::ptr::null_mut());
                plan::read(world, statement)
            };
            sum.cost += planned.cost;
            for (relation, touched) in planned.touched {
                let one = sum.touched.entry(relation).or_default();
                one.shards += touched.shards;
                one.planned += touched.planned;
                one.rows += touched.rows;
            }
        }
        sum
    };
    // SAFETY: what comes out is made of owned values.
    let result = context::in_rolled_back_subtransaction(|| unsafe { memory.switch_to(|_| work()) });
    result.map_err(|caught| Refusal::new(&caught.sqlstate, caught.message))
}

/// Whether a query is on tables of the shadow and on the server's own alone.
///
/// # Safety
/// A valid analysed query.
unsafe fn only_known(world: &World<'_>, query: *mut pg_sys::Query) -> Result<(), Refusal> {
    let mut pending = vec![query.cast::<pg_sys::Node>()];
    while let Some(node) = pending.pop() {
        // SAFETY: the tag says what the node is; the vector outlives the walk.
        unsafe {
            if node.is_null() {
                continue;
            }
            if (*node).type_ != pg_sys::NodeTag::T_Query {
                pg_sys::expression_tree_walker(node, Some(call::collect), (&raw mut pending).cast());
                continue;
            }
            for entry in pointers::<pg_sys::RangeTblEntry>((*node.cast::<pg_sys::Query>()).rtable) {
                let of_relation = (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION;
                let kind = (*entry).relkind as u8;
                if of_relation
                    && kind != pg_sys::RELKIND_VIEW
                    && !value::is_builtin((*entry).relid)
                    && world.relation((*entry).relid).is_none()
                {
                    let name = owned(pg_sys::get_rel_name((*entry).relid));
                    return Err(Refusal::new("42P01", format!("relation \"{name}\" has no shadow")));
                }
            }
            pg_sys::query_tree_walker(node.cast(), Some(call::collect), (&raw mut pending).cast(), 0);
        }
    }
    Ok(())
}
