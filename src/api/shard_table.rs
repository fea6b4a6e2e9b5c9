//! Converting a whole table by a proposal, and the plan of it.

use pgrx::datum::Interval;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::required;
use crate::api::reshard::listed;
use crate::api::reshard::rows_of;
use crate::api::writes;
use crate::model::operation::Kind;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::History;
use crate::operations::reshard::check;
use crate::operations::reshard::keep;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::start;
use crate::pg::error;

/// The change that is asked for, if nothing stands in its way.
fn planned(
    relation: Option<Oid>,
    proposal_id: Option<i64>,
    online: Option<bool>,
    history: Option<&str>,
) -> Result<Change, ErrorReport> {
    let relation = required(relation, "relation")?;
    let proposal_id = required(proposal_id, "proposal_id")?;
    let online = required(online, "online")?;
    let word = required(history, "history")?;
    let history = History::of(word).ok_or_else(|| {
        error::new(
            SqlState::InvalidParameterValue,
            format!("history \"{word}\" is not known"),
            None,
            Some("It is \"split\" or \"keep\".".to_owned()),
        )
    })?;
    let rebuilding = match history {
        History::Split => rebuild::plan(relation.to_u32(), proposal_id, online, history)?,
        History::Keep => keep::plan(relation.to_u32(), proposal_id, online)?,
    };
    start::refuse(&rebuilding.change, Kind::ShardTable, &check::findings(&rebuilding.change)?)?;
    Ok(rebuilding.change)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION shard_table(relation regclass, proposal_id bigint, online boolean DEFAULT true,
    history text DEFAULT 'split')
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn shard_table(
    relation: Option<Oid>,
    proposal_id: Option<i64>,
    online: default!(Option<bool>, "true"),
    history: default!(Option<&str>, "'split'"),
) -> Result<i64, ErrorReport> {
    writes("shard_table")?;
    start::record(planned(relation, proposal_id, online, history)?, Kind::ShardTable)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION shard_table_plan(relation regclass, proposal_id bigint, online boolean DEFAULT true,
    history text DEFAULT 'split')
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
#[expect(clippy::type_complexity, reason = "the columns of the plan")]
fn shard_table_plan(
    relation: Option<Oid>,
    proposal_id: Option<i64>,
    online: default!(Option<bool>, "true"),
    history: default!(Option<&str>, "'split'"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(step, i32),
            name!(statement, String),
            name!(lock_mode, String),
            name!(reversible, bool),
            name!(locked, String),
            name!(max_lock_ms, i32),
            name!(bytes_needed, i64),
            name!(wal_bytes, i64),
            name!(estimated, Interval),
        ),
    >,
    ErrorReport,
> {
    let change = planned(relation, proposal_id, online, history)?;
    if change.keeps_rows() { Ok(rows_of(keep::steps(&change)?)) } else { listed(&change) }
}
