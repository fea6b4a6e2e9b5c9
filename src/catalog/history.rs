//! Size history: how big each table was when, recorded by the worker.
//!
//! Invariant: storage is bounded. Readings of five minutes are kept for two
//! days, one an hour for eight weeks, one a day for two years.

use pgrx::pg_sys::panic::ErrorReport;

use crate::model::name::QualifiedName;
use crate::model::profile::SizeReading;
use crate::pg::context::as_extension_owner;
use crate::pg::spi;

/// Seconds between two readings of a table.
pub const SECONDS_BETWEEN_READINGS: i64 = 300;

/// Records the size of every ordinary and partitioned table, unless the last
/// reading is recent; returns the number of readings made. A partitioned
/// table's reading is the sum of its leaves, which have readings of their own.
pub fn record() -> Result<usize, ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.size_history (schema_name, table_name, at, rows, bytes, inserted, updated, deleted)
             SELECT n.nspname, c.relname, now(),
                    sum(CASE WHEN l.reltuples >= 0 AND coalesce(s.n_live_tup, 0) = 0 THEN l.reltuples
                             ELSE coalesce(s.n_live_tup, 0) END),
                    sum(coalesce(pg_total_relation_size(l.oid), 0)),
                    sum(coalesce(s.n_tup_ins, 0)), sum(coalesce(s.n_tup_upd, 0)), sum(coalesce(s.n_tup_del, 0))
             FROM pg_class AS c
             JOIN pg_namespace AS n ON n.oid = c.relnamespace
             CROSS JOIN LATERAL (SELECT c.oid AS relid WHERE c.relkind = 'r'
                                 UNION ALL
                                 SELECT t.relid FROM pg_partition_tree(c.oid) AS t WHERE c.relkind = 'p' AND t.isleaf) AS t
             JOIN pg_class AS l ON l.oid = t.relid
             LEFT JOIN pg_stat_all_tables AS s ON s.relid = l.oid
             WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
               AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'presplit')
               AND NOT EXISTS (
                   SELECT FROM presplit.size_history AS h
                   WHERE h.schema_name = n.nspname AND h.table_name = c.relname
                     AND h.at > now() - make_interval(secs => $1))
             GROUP BY n.nspname, c.relname
             ON CONFLICT DO NOTHING",
            &[(SECONDS_BETWEEN_READINGS as f64).into()],
        )
    })
}

/// Thins what is old; returns the number of readings dropped.
pub fn thin() -> Result<usize, ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "DELETE FROM presplit.size_history AS h
             USING (
                 SELECT schema_name, table_name, at,
                        row_number() OVER (
                            PARTITION BY schema_name, table_name,
                                CASE WHEN at > now() - interval '56 days' THEN date_trunc('hour', at)
                                     ELSE date_trunc('day', at) END
                            ORDER BY at) AS n
                 FROM presplit.size_history
                 WHERE at < now() - interval '2 days') AS old
             WHERE (h.schema_name, h.table_name, h.at) = (old.schema_name, old.table_name, old.at)
               AND (old.n > 1 OR h.at < now() - interval '2 years')",
            &[],
        )
    })
}

/// The recorded sizes of a table, oldest first.
pub fn load(relation: &QualifiedName) -> Result<Vec<SizeReading>, ErrorReport> {
    as_extension_owner(|| {
        spi::rows::<SizeReading>(
            "SELECT jsonb_build_object('schema', schema_name, 'table', table_name, 'rows', rows, 'bytes', bytes,
                        'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))::text
             FROM presplit.size_history WHERE schema_name = $1 AND table_name = $2 ORDER BY at",
            &[relation.schema.as_str().into(), relation.name.as_str().into()],
        )
    })
}
