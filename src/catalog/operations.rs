//! Operations: those that run, as the server sees them now, and what is
//! written down of those that are over.
//!
//! A load is one transaction: what it writes down of itself is there when its
//! rows are. What came to nothing, and what runs for long, the worker writes
//! down from shared memory, so that it is known afterwards even if the
//! server crashes.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::model::operation::Kind;
use crate::model::operation::Phase;
use crate::pg::clock;
use crate::pg::context::as_extension_owner;
use crate::pg::operation;
use crate::pg::operation::shared::Entry;
use crate::pg::operation::shared::State;
use crate::pg::spi;

/// Loads that are over and still known.
const LOADS_MAX: i64 = 1000;

/// Microseconds after which a load that runs is written down.
const LONG: i64 = 10_000_000;

/// The number of a new operation; none if the extension in this database is too old.
pub fn new_id() -> Result<Option<i64>, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<i64>(
            "SELECT CASE WHEN to_regclass('presplit.operation_log') IS NOT NULL
                    THEN nextval(pg_get_serial_sequence('presplit.operation_log', 'operation_id')) END",
            &[],
        )
    })
}

/// The words of an operation's kind and phase.
#[must_use]
pub fn words(entry: &Entry) -> (&'static str, &'static str) {
    let kind = Kind::ALL.get(usize::from(entry.kind)).copied().unwrap_or(Kind::Load);
    let phase = Phase::ALL.get(usize::from(entry.phase)).copied().unwrap_or(Phase::Failed);
    (kind.word(), phase.word())
}

fn described(entry: &Entry) -> Value {
    let (kind, phase) = words(entry);
    let over = entry.finished != 0;
    json!({
        "id": entry.id, "kind": kind, "phase": phase, "schema": entry.schema.as_str(), "table": entry.table.as_str(),
        "relation": entry.relation, "rows": entry.rows, "bytes": entry.bytes,
        "total": (entry.bytes_total > 0).then_some(entry.bytes_total),
        "started": entry.started, "finished": over.then_some(entry.finished),
        "error": Some(entry.error.as_str()).filter(|error| !error.is_empty()),
        "detail": entry.detail.as_str(), "user": entry.user,
    })
}

/// Writes operations down, in the place of what is written of them already.
fn write(operations: &[Value]) -> Result<(), ErrorReport> {
    let operations = Value::from(operations).to_string();
    spi::run(
        "INSERT INTO presplit.operation_log (operation_id, kind, schema_name, table_name, relation, phase, rows_done,
             bytes_done, bytes_total, started_at, finished_at, error, detail, started_by)
         SELECT e.id, e.kind, e.schema, e.table, e.relation::oid, e.phase, e.rows, e.bytes, e.total,
                timestamptz '2000-01-01 00:00:00+00' + e.started * interval '1 microsecond',
                timestamptz '2000-01-01 00:00:00+00' + e.finished * interval '1 microsecond',
                e.error, e.detail, pg_get_userbyid(e.user::oid)
         FROM jsonb_to_recordset($1::jsonb) AS e (id bigint, kind text, schema name, \"table\" name, relation bigint,
             phase text, rows bigint, bytes bigint, total bigint, started bigint, finished bigint, error text,
             detail text, \"user\" bigint)
         ON CONFLICT (operation_id) DO UPDATE SET
             phase = EXCLUDED.phase, rows_done = EXCLUDED.rows_done, bytes_done = EXCLUDED.bytes_done,
             bytes_total = EXCLUDED.bytes_total, finished_at = EXCLUDED.finished_at, error = EXCLUDED.error,
             detail = EXCLUDED.detail",
        &[operations.as_str().into()],
    )
    .map(|_| ())
}

/// Writes down, in its transaction, an operation that has done its work.
pub fn write_done(entry: &Entry) -> Result<(), ErrorReport> {
    let mut done = described(entry);
    done["phase"] = json!(Phase::Done.word());
    as_extension_owner(|| write(&[done]))
}

/// Writes down what came to nothing, what has been running for long, and what
/// a crash has ended; forgets what was long ago.
pub fn fold() -> Result<(), ErrorReport> {
    // Shared memory first: what is no more in it is then seen to be over.
    let entries = operation::all();
    as_extension_owner(|| {
        let there = spi::one::<bool>("SELECT to_regclass('presplit.operation_log') IS NOT NULL", &[])?;
        if there != Some(true) {
            return Ok(());
        }
        let is = |entry: &&Entry, state: State| entry.state == state as u8;
        let ended: Vec<&Entry> = entries.iter().filter(|entry| is(entry, State::Ended)).collect();
        let latest = entries.iter().map(|entry| entry.started).max().unwrap_or(0);
        let now = clock::now().max(latest);
        let long = entries
            .iter()
            .filter(|entry| is(entry, State::Running) && !entry.is_isolated && now - entry.started > LONG);
        let rows: Vec<Value> = ended.iter().copied().chain(long).map(described).collect();
        if !rows.is_empty() {
            write(&rows)?;
        }
        let known: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        spi::run(
            "UPDATE presplit.operation_log AS o
             SET phase = 'failed', finished_at = clock_timestamp(), error = 'the server ended before the load did'
             WHERE o.operation_id IN (
                 SELECT l.operation_id FROM presplit.operation_log AS l
                 WHERE l.kind = 'load' AND l.finished_at IS NULL AND l.operation_id <> ALL ($1)
                 FOR UPDATE SKIP LOCKED)",
            &[known.into()],
        )?;
        spi::run(
            "DELETE FROM presplit.operation_log
             WHERE kind = 'load' AND finished_at IS NOT NULL AND operation_id <= (
                 SELECT operation_id FROM presplit.operation_log
                 WHERE kind = 'load' ORDER BY operation_id DESC OFFSET $1 LIMIT 1)",
            &[LOADS_MAX.into()],
        )?;
        operation::are_written(ended.iter().map(|entry| entry.id).collect());
        Ok(())
    })
}

/// How far an operation is, and what it waits for.
#[derive(Debug, Deserialize)]
pub struct Course {
    pub id: i64,
    pub rows: Option<i64>,
    pub bytes: Option<i64>,
    pub total: Option<i64>,
    /// The kind and the name of what its session waits for.
    pub wait_type: Option<String>,
    pub wait: Option<String>,
    pub blocked_by: Option<Vec<i32>>,
}

/// How far operations are that run, as the server sees them; what the user may
/// see of them was asked before.
pub fn courses(entries: &[Entry]) -> Result<Vec<Course>, ErrorReport> {
    let asked: Vec<Value> = entries
        .iter()
        .map(|entry| json!({"id": entry.id, "pid": entry.pid, "relation": entry.relation}))
        .collect();
    let asked = Value::from(asked).to_string();
    as_extension_owner(|| {
        spi::rows::<Course>(
            "SELECT jsonb_build_object('id', e.id, 'rows', p.param3, 'bytes', p.param1, 'total', nullif(p.param2, 0),
                    'wait_type', a.wait_event_type, 'wait', a.wait_event,
                    'blocked_by', nullif(pg_blocking_pids(e.pid), '{}'))::text
             FROM jsonb_to_recordset($1::jsonb) AS e (id bigint, pid int, relation bigint)
             JOIN pg_stat_activity AS a ON a.pid = e.pid
             LEFT JOIN pg_stat_get_progress_info('COPY') AS p ON p.pid = e.pid AND p.relid = e.relation::oid",
            &[asked.as_str().into()],
        )
    })
}
