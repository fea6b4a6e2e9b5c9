//! What PostgreSQL's planner makes of a proposal, statement by statement.

use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::proposals::chosen;
use crate::api::proposals::load;
use crate::api::required;
use crate::catalog::arming::current_user;
use crate::catalog::proposals;
use crate::operations::what_if;
use crate::planning::proposal::evidence::Side;
use crate::planning::proposal::evidence::without_constants;

/// What is shown of a text that the caller may not read, as by
/// pg_stat_statements.
const HIDDEN: &str = "<insufficient privilege>";

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn proposal_evidence(
    proposal_id: Option<i64>,
    relations: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(statement, Option<String>),
            name!(calls, f64),
            name!(shards_before, Option<i32>),
            name!(shards_after, Option<i32>),
            name!(rows_before, Option<f64>),
            name!(rows_after, Option<f64>),
            name!(planner_cost_before, Option<f64>),
            name!(planner_cost_after, Option<f64>),
            name!(relation, String),
            name!(error, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let stored = load(required(proposal_id, "proposal_id")?)?;
    let wanted: Vec<_> = chosen(&stored, relations)?.into_iter().map(|one| one.relation.clone()).collect();
    let shown = proposals::shows_texts(stored.proposal_id, &current_user()?)?;
    let mut rows = Vec::new();
    for (relation, evidence) in what_if::evidence(&stored.proposal)? {
        if !wanted.contains(&relation) {
            continue;
        }
        for one in evidence {
            let whole = shown || one.statement.is_empty();
            let error = one
                .error
                .as_deref()
                .map(|error| if whole { error } else { without_constants(error) }.to_owned());
            let shards = |side: Option<Side>| side.map(|side| side.shards.round() as i32);
            rows.push((
                match one.statement {
                    // No statement: why there is no evidence.
                    text if text.is_empty() => None,
                    text if shown => Some(text),
                    _ => Some(HIDDEN.to_owned()),
                },
                one.calls,
                shards(one.before),
                shards(one.after),
                one.before.map(|side| side.rows),
                one.after.map(|side| side.rows),
                one.before.map(|side| side.cost),
                one.after.map(|side| side.cost),
                relation.to_string(),
                error,
            ));
        }
    }
    Ok(TableIterator::new(rows))
}
