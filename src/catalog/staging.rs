//! The register of staging tables: which load made each, and whether that
//! load is still going on.
//!
//! A row is written in the transaction that makes the table, and deleted in
//! the one that puts it into its place or drops it.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// Writes down staging tables of the load that the session of this process id
/// leads, in its current transaction.
pub fn register(load: u64, leader_pid: i32, shards: &[Oid], staging: &[Oid]) -> Result<(), ErrorReport> {
    let (shards, staging) = (shards.to_vec(), staging.to_vec());
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.staging_tables (staging, shard, load, leader_pid, leader_transaction, server_start)
             SELECT one.staging, one.shard, $3, $4,
                    (SELECT l.virtualtransaction FROM pg_locks AS l
                     WHERE l.pid = $4 AND l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' LIMIT 1),
                    pg_postmaster_start_time()
             FROM unnest($1::oid[], $2::oid[]) AS one (staging, shard)",
            &[staging.into(), shards.into(), (load as i64).into(), leader_pid.into()],
        )
        .map(|_| ())
    })
}

/// Forgets the staging tables of a load that took their places.
pub fn forget(load: u64) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run("DELETE FROM presplit.staging_tables WHERE load = $1", &[(load as i64).into()]).map(|_| ())
    })
}

/// A table that its load has left behind.
#[derive(Debug, Deserialize)]
pub struct Leftover {
    pub staging: u32,
}

/// Takes the rows of loads that are over, however they ended. Those that their
/// own load is deleting are passed over: it may still roll back, also after it
/// was prepared and its session has gone.
pub fn take_leftovers() -> Result<Vec<Leftover>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<Leftover>(
            "WITH over AS (
                 SELECT s.staging FROM presplit.staging_tables AS s
                 WHERE (s.server_start <> pg_postmaster_start_time()
                    OR NOT EXISTS (
                        SELECT FROM pg_locks AS l
                        WHERE l.pid = s.leader_pid AND l.locktype = 'virtualxid'
                          AND l.virtualtransaction = s.leader_transaction))
                   AND NOT EXISTS (SELECT FROM pg_prepared_xacts AS p WHERE p.transaction = xid(s.load::text::xid8))
                 FOR UPDATE SKIP LOCKED),
             gone AS (
                 DELETE FROM presplit.staging_tables AS s USING over WHERE s.staging = over.staging
                 RETURNING s.staging)
             SELECT jsonb_build_object('staging', staging::oid::bigint)::text FROM gone",
            &[],
        )
    })
}

/// How many tables loads have left behind that are over.
pub fn count_leftovers() -> Result<i64, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<i64>(
            "SELECT count(*) FROM presplit.staging_tables AS s
             WHERE (s.server_start <> pg_postmaster_start_time()
                OR NOT EXISTS (
                    SELECT FROM pg_locks AS l
                    WHERE l.pid = s.leader_pid AND l.locktype = 'virtualxid'
                      AND l.virtualtransaction = s.leader_transaction))
               AND NOT EXISTS (SELECT FROM pg_prepared_xacts AS p WHERE p.transaction = xid(s.load::text::xid8))",
            &[],
        )
    })
    .map(Option::unwrap_or_default)
}

/// Whether any staging table is written down; the cheap first question.
pub fn any() -> Result<bool, ErrorReport> {
    as_extension_owner(|| spi::one::<bool>("SELECT EXISTS (SELECT FROM presplit.staging_tables)", &[]))
        .map(Option::unwrap_or_default)
}

/// Whether checks or generated columns of these tables, or checks of their
/// columns' types, call anything but PostgreSQL's own functions, or name the
/// table itself or its whole row.
pub fn has_foreign_expressions(tables: &[Oid]) -> Result<bool, ErrorReport> {
    let tables: Vec<Oid> = tables.to_vec();
    spi::one::<bool>(
        "WITH expressions AS (
             SELECT 'pg_constraint'::regclass AS class, c.oid FROM pg_constraint AS c
             WHERE c.conrelid = ANY ($1) AND c.contype = 'c'
             UNION ALL
             SELECT 'pg_attrdef'::regclass, d.oid FROM pg_attrdef AS d
             JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
             WHERE d.adrelid = ANY ($1) AND a.attgenerated <> '')
         SELECT EXISTS (
             SELECT FROM expressions AS e JOIN pg_depend AS d ON d.classid = e.class AND d.objid = e.oid
             WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass))
          OR EXISTS (
             SELECT FROM pg_constraint AS c WHERE c.conrelid = ANY ($1) AND c.contype = 'c'
               AND c.conbin::text ~ ':varattno (-|0)')
          OR EXISTS (
             SELECT FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
             WHERE d.adrelid = ANY ($1) AND a.attgenerated <> '' AND d.adbin::text ~ ':varattno (-|0)')
          OR EXISTS (
             SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
             LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typlen = -1
             WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
               AND (t.typtype IN ('d', 'c') OR e.typtype IN ('d', 'c')))",
        &[tables.into()],
    )
    .map(Option::unwrap_or_default)
}

/// Keeps other loads into a table out until the transaction ends; whether it could.
pub fn enter(table: Oid) -> Result<bool, ErrorReport> {
    spi::one::<bool>(
        "SELECT pg_try_advisory_xact_lock(hashtext('presplit.load'), $1::oid::bigint::bit(32)::int)",
        &[table.into()],
    )
    .map(Option::unwrap_or_default)
}

/// Whether a logical replication slot may read this database: it would find no
/// rows in files that are put in place. From 16 on, slots of a standby do so
/// too, and nothing tells here whether there is one: it may live on copies of
/// the log alone.
pub fn is_decoded() -> Result<bool, ErrorReport> {
    spi::one::<bool>(
        "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_type = 'logical' AND database = current_database())
             OR current_setting('server_version_num')::int >= 160000 AND current_setting('wal_level') = 'logical'",
        &[],
    )
    .map(Option::unwrap_or_default)
}

/// Other processes that keep a core busy at this moment. A COPY that waits for
/// its client counts: the client is at work, and more often than not nearby.
pub fn at_work() -> Result<i64, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<i64>(
            "SELECT count(*) FROM pg_stat_activity AS a
             WHERE pid <> pg_backend_pid()
               AND backend_type NOT IN ('checkpointer', 'background writer', 'walwriter', 'startup', 'walreceiver',
                   'archiver', 'walsummarizer', 'io worker')
               AND coalesce(state, '') NOT LIKE 'idle%'
               AND (coalesce(wait_event_type, 'IO') IN ('IO', 'LWLock', 'BufferPin')
                    OR wait_event_type = 'Client' AND EXISTS (
                        SELECT FROM pg_stat_progress_copy AS c WHERE c.pid = a.pid AND command = 'COPY FROM'))",
            &[],
        )
    })
    .map(Option::unwrap_or_default)
}

/// Background workers that run.
pub fn running_workers() -> Result<i64, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<i64>(
        "SELECT count(*) FROM pg_stat_activity
         WHERE backend_type NOT IN ('client backend', 'autovacuum launcher', 'autovacuum worker', 'checkpointer',
             'background writer', 'walwriter', 'walsender', 'startup', 'walreceiver', 'archiver', 'walsummarizer',
             'io worker', 'slotsync worker', 'standalone backend')",
        &[],
    )
    })
    .map(Option::unwrap_or_default)
}
