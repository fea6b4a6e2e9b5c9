//! Whose snapshots a cutover waits for.
//!
//! A statement that began before the last changes were committed to the new
//! shards would not see them there. So the cutover waits until every client's
//! snapshot of that time is gone, but for sessions that wait for a lock of the
//! cutover itself, directly or behind another that does: they would never end,
//! and what they do, they do on what they see once they have the lock. Sessions
//! in `wait_operation` read nothing while they wait, nor afterwards by the
//! same snapshot: it must be all that their statement does.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::jobs::Job;
use crate::model::report::SqlState;
use crate::operations::reshard::liveness;
use crate::operations::reshard::pace;
use crate::pg::context::as_extension_owner;
use crate::pg::error;
use crate::pg::spi;

/// A client that has a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Holder {
    pub pid: i32,
    /// Text: it is only compared.
    started: Option<String>,
    /// Waits for a lock of ours, directly or behind others.
    pub waits_for_us: bool,
    /// Its snapshot may be older than the last round of changes.
    pub is_old: bool,
    /// Its statement may go on with the snapshot that it has: an EXECUTE takes it before it waits.
    pub keeps: bool,
}

impl Holder {
    /// The same transaction, whatever it does by now.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started == other.started
    }
}

/// When the last round of changes was committed.
#[derive(Debug, Clone, Deserialize)]
pub struct Moment {
    /// Text: it is only given back.
    at: String,
    /// The oldest transaction that was open then. A snapshot whose own is younger came later.
    oldest: String,
}

/// The moment that later questions refer to.
pub fn moment() -> Result<Moment, ErrorReport> {
    let found = spi::rows::<Moment>(
        "SELECT pg_catalog.jsonb_build_object('at', pg_catalog.clock_timestamp()::text, 'oldest',
             pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text)::text",
        &[],
    )?;
    found.into_iter().next().ok_or_else(|| {
        error::new(SqlState::DataCorrupted, "could not read the time of the last changes", None, None)
    })
}

/// The clients of this database whose snapshots may be older than the end of
/// transaction `residual`. `caught_up` is when the round before it was committed.
pub fn holders(residual: u64, caught_up: &Moment) -> Result<Vec<Holder>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<Holder>(
            "WITH RECURSIVE held AS (
                 SELECT a.pid, a.xact_start, a.query ILIKE '%execute%' OR a.query = ''
                            OR length(a.query) >= pg_size_bytes(current_setting('track_activity_query_size')) - 4 AS keeps,
                        a.wait_event_type = 'Lock' AS waits,
                        age(a.backend_xmin) >= age(xid($4::text::xid8)) AS may_be_old
                 FROM pg_stat_activity AS a
                 WHERE a.backend_type = 'client backend' AND a.datname = current_database()
                   AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
                   -- Numbers of transactions go in a circle.
                   AND age(a.backend_xmin) >= age(xid($1::text::xid8))
                   AND NOT EXISTS (
                       SELECT FROM pg_locks AS l
                       WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                         AND l.classid::bigint = hashtext($3)::bigint & 4294967295)
             ), behind AS (
                 SELECT h.pid, h.pid AS at FROM held AS h WHERE h.waits
                 UNION
                 SELECT b.pid, blocking FROM behind AS b, unnest(pg_blocking_pids(b.at)) AS blocking
                 WHERE b.at <> pg_backend_pid()
             )
             SELECT jsonb_build_object('pid', h.pid, 'started', h.xact_start::text,
                 'keeps', h.keeps, 'waits_for_us', EXISTS (SELECT FROM behind AS b WHERE b.pid = h.pid AND b.at = pg_backend_pid()),
                 'is_old', h.may_be_old AND coalesce(h.xact_start < $2::timestamptz, true))::text
             FROM held AS h",
            &[
                residual.to_string().as_str().into(),
                caught_up.at.as_str().into(),
                liveness::WAITER.into(),
                caught_up.oldest.as_str().into(),
            ],
        )
    })
}

/// What stands against a cutover now, and the sessions that do; none = nothing.
pub fn against(job: &Job) -> Result<Option<(String, Vec<i32>)>, ErrorReport> {
    let age = pace::number(job, "max_snapshot_age");
    let mut tables = vec![i64::from(job.change.parent_oid)];
    tables.extend(job.change.sources.iter().map(|source| i64::from(source.oid)));
    let found = as_extension_owner(|| {
        spi::rows::<(String, Vec<i32>)>(
            "SELECT jsonb_build_array(w.what, w.pids)::text
             FROM (
                 SELECT format('snapshots older than %s s', $1) AS what, array_agg(a.pid ORDER BY a.xact_start) AS pids
                 FROM pg_stat_activity AS a
                 WHERE a.backend_type = 'client backend' AND a.datname = current_database()
                   AND a.pid <> pg_backend_pid() AND a.backend_xmin IS NOT NULL
                   AND a.xact_start < clock_timestamp() - $1 * interval '1 second'
                   AND NOT EXISTS (
                       SELECT FROM pg_locks AS l
                       WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                         AND l.classid::bigint = hashtext($3)::bigint & 4294967295)
                 HAVING count(*) > 0
                 UNION ALL
                 SELECT 'a prepared transaction that has locked the table', '{}'
                 FROM pg_locks AS l
                 WHERE l.pid IS NULL AND l.locktype = 'relation' AND l.relation = ANY ($2::oid[])
                   AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                 HAVING count(*) > 0
                 UNION ALL
                 SELECT 'a vacuum against wraparound', array_agg(DISTINCT a.pid)
                 FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid
                 WHERE a.backend_type = 'autovacuum worker' AND a.query LIKE '%(to prevent wraparound)'
                   AND l.locktype = 'relation' AND l.relation = ANY ($2::oid[])
                 HAVING count(*) > 0) AS w
             LIMIT 1",
            &[age.into(), tables.into(), liveness::WAITER.into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// Sessions that have locked the table or its shards, longest first: those
/// that a lock was waited for in vain.
pub fn lockers(job: &Job) -> Result<Vec<i32>, ErrorReport> {
    let mut tables = vec![i64::from(job.change.parent_oid)];
    tables.extend(job.change.sources.iter().map(|source| i64::from(source.oid)));
    as_extension_owner(|| {
        spi::column::<i32>(
            "SELECT l.pid
             FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
             WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY ($1::oid[])
               AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
               AND l.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - interval '100 ms'
             GROUP BY l.pid ORDER BY min(a.xact_start) LIMIT 10",
            &[tables.into()],
        )
    })
}
