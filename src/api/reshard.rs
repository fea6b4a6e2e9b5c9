//! Resharding: split, merge and move shards, see beforehand what that takes,
//! and what people do to the operations that carry it out.

use std::ffi::CStr;

use pgrx::AnyArray;
use pgrx::datum::Interval;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::required;
use crate::api::restore::rows;
use crate::api::without_nulls;
use crate::api::writes;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::History;
use crate::model::reshard::Wish;
use crate::operations::reshard::check;
use crate::operations::reshard::control;
use crate::operations::reshard::keep;
use crate::operations::reshard::plan;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::start;
use crate::operations::reshard::undo;
use crate::pg::array;
use crate::pg::error;
use crate::pg::lone_call;
use crate::pg::moment;
use crate::planning::reshard::steps;

/// A row of a plan.
pub type Row = (i32, String, String, bool, String, i32, i64, i64, Interval);

/// A wish with the change that it comes to.
type Planned = (Wish, Change);

fn planned(wish: Wish, shards: &[Oid], online: Option<bool>) -> Result<Planned, ErrorReport> {
    let shards: Vec<u32> = shards.iter().map(|oid| oid.to_u32()).collect();
    let change = plan::plan(&wish, &shards, required(online, "online")?)?;
    Ok((wish, change))
}

/// An argument that is a list: of one dimension, without nulls.
fn list<T>(array: &AnyArray, argument: &str) -> Result<Vec<T>, ErrorReport>
where
    Vec<Option<T>>: FromDatum,
{
    let hint = match argument {
        "at" => Some("Write lists of values each as an array literal, as in ARRAY['{a,b}', '{c}']."),
        _ => None,
    };
    let elements = array::elements(array).ok_or_else(|| {
        let message = format!("{argument} must have one dimension");
        error::new(SqlState::InvalidParameterValue, message, None, hint.map(str::to_owned))
    })?;
    without_nulls(elements, argument)
}

fn splits(
    shard: Option<Oid>,
    at: Option<AnyArray>,
    parts: Option<i32>,
    online: Option<bool>,
) -> Result<Planned, ErrorReport> {
    let shard = required(shard, "shard")?;
    let at = at.map(|at| list::<String>(&at, "at")).transpose()?;
    // What is less than nothing is refused as nothing is.
    let parts = u32::try_from(required(parts, "parts")?).unwrap_or(0);
    planned(Wish::Split { at, parts }, &[shard], online)
}

fn merges(shards: Option<AnyArray>, online: Option<bool>) -> Result<Planned, ErrorReport> {
    let shards = list::<Oid>(&required(shards, "shards")?, "shards")?;
    planned(Wish::Merge, &shards, online)
}

fn moves(
    shard: Option<Oid>,
    tablespace: Option<&CStr>,
    online: Option<bool>,
) -> Result<Planned, ErrorReport> {
    let shard = required(shard, "shard")?;
    let tablespace = required(tablespace, "tablespace")?.to_string_lossy().into_owned();
    planned(Wish::Move { tablespace }, &[shard], online)
}

fn begun((wish, change): Planned) -> Result<i64, ErrorReport> {
    start::record(change, wish.kind())
}

fn told((wish, change): Planned) -> Result<TableIterator<'static, Row>, ErrorReport> {
    start::refuse(&change, wish.kind(), &check::findings(&change)?)?;
    listed(&change)
}

/// The steps of a change that nothing stands against.
pub fn listed(change: &Change) -> Result<TableIterator<'static, Row>, ErrorReport> {
    Ok(rows_of(steps::steps(change, &plan::facts(change)?)))
}

/// Steps as rows, numbered.
pub fn rows_of(steps: Vec<steps::Step>) -> TableIterator<'static, Row> {
    let row = |(at, step): (usize, steps::Step)| {
        (
            i32::try_from(at).unwrap_or(i32::MAX).saturating_add(1),
            step.statement,
            step.lock_mode.to_owned(),
            step.reversible,
            step.locked,
            step.max_lock_ms,
            step.bytes_needed,
            step.wal_bytes,
            Interval::from_seconds(step.seconds),
        )
    };
    TableIterator::new(steps.into_iter().enumerate().map(row))
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION split_shard(shard regclass, at text[] DEFAULT NULL, parts int DEFAULT 2, online boolean DEFAULT true)
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn split_shard(
    shard: Option<Oid>,
    at: default!(Option<AnyArray>, "NULL"),
    parts: default!(Option<i32>, "2"),
    online: default!(Option<bool>, "true"),
) -> Result<i64, ErrorReport> {
    writes("split_shard")?;
    begun(splits(shard, at, parts, online)?)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION split_shard_plan(shard regclass, at text[] DEFAULT NULL, parts int DEFAULT 2, online boolean DEFAULT true)
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
#[expect(clippy::type_complexity, reason = "the columns of the plan")]
fn split_shard_plan(
    shard: Option<Oid>,
    at: default!(Option<AnyArray>, "NULL"),
    parts: default!(Option<i32>, "2"),
    online: default!(Option<bool>, "true"),
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
    told(splits(shard, at, parts, online)?)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION merge_shards(shards regclass[], online boolean DEFAULT true)
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn merge_shards(
    shards: Option<AnyArray>,
    online: default!(Option<bool>, "true"),
) -> Result<i64, ErrorReport> {
    writes("merge_shards")?;
    begun(merges(shards, online)?)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION merge_shards_plan(shards regclass[], online boolean DEFAULT true)
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
#[expect(clippy::type_complexity, reason = "the columns of the plan")]
fn merge_shards_plan(
    shards: Option<AnyArray>,
    online: default!(Option<bool>, "true"),
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
    told(merges(shards, online)?)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION move_shard(shard regclass, tablespace name, online boolean DEFAULT true)
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn move_shard(
    shard: Option<Oid>,
    tablespace: Option<&CStr>,
    online: default!(Option<bool>, "true"),
) -> Result<i64, ErrorReport> {
    writes("move_shard")?;
    begun(moves(shard, tablespace, online)?)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION move_shard_plan(shard regclass, tablespace name, online boolean DEFAULT true)
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
#[expect(clippy::type_complexity, reason = "the columns of the plan")]
fn move_shard_plan(
    shard: Option<Oid>,
    tablespace: Option<&CStr>,
    online: default!(Option<bool>, "true"),
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
    told(moves(shard, tablespace, online)?)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION check_operation(relation regclass, proposal_id bigint)
RETURNS TABLE (severity text, object text, problem text, remedy text)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn check_operation(
    relation: Option<Oid>,
    proposal_id: Option<i64>,
) -> Result<
    TableIterator<
        'static,
        (name!(severity, String), name!(object, String), name!(problem, String), name!(remedy, String)),
    >,
    ErrorReport,
> {
    let relation = required(relation, "relation")?;
    if let Some(id) = proposal_id {
        let rebuilding = rebuild::plan(relation.to_u32(), id, true, History::Split)?;
        let mut found = rebuild::findings(&rebuilding)?;
        found.extend(keep::remarks(relation.to_u32(), id, &found)?);
        return Ok(TableIterator::new(rows(found)));
    }
    let mut found = Vec::new();
    for change in plan::all(relation.to_u32())? {
        found.extend(check::findings(&change)?);
    }
    Ok(TableIterator::new(rows(found)))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn wait_operation(
    operation_id: Option<i64>,
    timeout: default!(Option<Interval>, "'1 hour'"),
    call: pg_sys::FunctionCallInfo,
) -> Result<String, ErrorReport> {
    let operation_id = required(operation_id, "operation_id")?;
    let timeout = moment::duration(&required(timeout, "timeout")?);
    if timeout < 0 {
        return Err(error::new(SqlState::InvalidParameterValue, "timeout must not be negative", None, None));
    }
    control::wait(operation_id, timeout, lone_call::function_of(call))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn cancel_operation(operation_id: Option<i64>) -> Result<bool, ErrorReport> {
    writes("cancel_operation")?;
    control::cancel(required(operation_id, "operation_id")?)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn pause_operation(operation_id: Option<i64>) -> Result<bool, ErrorReport> {
    writes("pause_operation")?;
    control::pause(required(operation_id, "operation_id")?)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn resume_operation(operation_id: Option<i64>) -> Result<bool, ErrorReport> {
    writes("resume_operation")?;
    control::resume(required(operation_id, "operation_id")?)
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn undo_operation(operation_id: Option<i64>) -> Result<i64, ErrorReport> {
    writes("undo_operation")?;
    undo::begin(required(operation_id, "operation_id")?)
}
