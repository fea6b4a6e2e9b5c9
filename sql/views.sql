-- What people read. Views run with the rights of the extension's owner and
-- show each row only to those who may see it.

CREATE VIEW presplit.shards WITH (security_barrier) AS
WITH leaves AS (
    SELECT t.relation, t.proposal_id, p.relid::regclass AS shard, c.relname, c.reltuples, c.reltablespace,
           pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS bound,
           pg_catalog.pg_total_relation_size(c.oid) AS bytes
    FROM presplit.sharded_tables AS t
    CROSS JOIN LATERAL pg_catalog.pg_partition_tree(t.relation) AS p
    JOIN pg_catalog.pg_class AS c ON c.oid = p.relid
    WHERE p.isleaf AND p.level > 0
), counted AS (
    SELECT l.*,
           coalesce(s.n_live_tup, 0) AS live,
           coalesce(s.seq_tup_read, 0) + coalesce(s.idx_tup_fetch, 0) AS reads,
           coalesce(s.n_tup_ins, 0) + coalesce(s.n_tup_upd, 0) + coalesce(s.n_tup_del, 0) AS writes,
           greatest(1, extract(epoch FROM pg_catalog.clock_timestamp()
                               - coalesce(d.stats_reset, pg_catalog.pg_postmaster_start_time())))::float8 AS seconds
    FROM leaves AS l
    LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = l.shard
    LEFT JOIN pg_catalog.pg_stat_database AS d ON d.datname = pg_catalog.current_database()
), foreseen AS (
    SELECT r.proposal_id, f.name, f.bytes, f.future
    FROM presplit.proposal_relations AS r
    CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(r.shards) AS f (name text, bytes float8, future boolean)
)
SELECT c.relation,
       c.shard,
       c.bound,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::float8 ELSE c.live::float8 END AS rows,
       c.bytes,
       c.bytes / nullif(sum(c.bytes) OVER (PARTITION BY c.relation), 0)::float8 AS size_share,
       c.reads / c.seconds AS reads_per_second,
       c.writes / c.seconds AS writes_per_second,
       (c.reads + c.writes) / nullif(sum(c.reads + c.writes) OVER (PARTITION BY c.relation), 0)::float8 AS load_share,
       f.bytes AS bytes_at_horizon,
       coalesce(s.spcname, d.spcname) AS tablespace,
       CASE WHEN f.future AND c.live = 0 AND c.reltuples <= 0 THEN 'future' ELSE 'active' END AS state
FROM counted AS c
LEFT JOIN foreseen AS f ON f.proposal_id = c.proposal_id AND f.name = c.relname
LEFT JOIN pg_catalog.pg_tablespace AS s ON s.oid = c.reltablespace
JOIN pg_catalog.pg_database AS b ON b.datname = pg_catalog.current_database()
JOIN pg_catalog.pg_tablespace AS d ON d.oid = b.dattablespace
UNION ALL
SELECT r.relation::regclass,
       r.shard::regclass,
       r.bound,
       CASE WHEN c.reltuples >= 0 THEN c.reltuples::float8 ELSE 0 END,
       pg_catalog.pg_total_relation_size(c.oid),
       NULL, NULL, NULL, NULL, NULL,
       coalesce(s.spcname, d.spcname),
       'retired'
FROM presplit.retired_shards AS r
JOIN pg_catalog.pg_class AS c ON c.oid = r.shard AND NOT c.relispartition
LEFT JOIN pg_catalog.pg_tablespace AS s ON s.oid = c.reltablespace
JOIN pg_catalog.pg_database AS b ON b.datname = pg_catalog.current_database()
JOIN pg_catalog.pg_tablespace AS d ON d.oid = b.dattablespace
ORDER BY relation, shard;

-- What the library sees of operations that run comes before what is written
-- down of them, unless they are over.
CREATE VIEW presplit.operations WITH (security_barrier) AS
WITH running AS (
    SELECT r.* FROM presplit.read_operations() AS r
), known AS (
    SELECT o.operation_id, o.kind, o.schema_name, o.table_name, o.phase, o.rows_done, o.rows_total, o.bytes_done,
           o.bytes_total, o.started_at, o.finished_at, j.seconds_left, o.error,
           CASE WHEN j.ending IS NULL AND (j.database <> d.oid OR j.system_identifier <> y.system_identifier)
                THEN pg_catalog.format('nothing: it belongs to another database, of which this one is a copy; '
                     'SELECT cancel_operation(%s) takes away here what it has made', o.operation_id)
                ELSE j.waiting_for END AS waiting_for,
           j.blocked_by, o.attempts, o.detail
    FROM presplit.operation_log AS o
    CROSS JOIN pg_catalog.pg_control_system() AS y
    JOIN pg_catalog.pg_database AS d ON d.datname = pg_catalog.current_database()
    LEFT JOIN presplit.jobs AS j ON j.operation_id = o.operation_id AND NOT j.is_over
    WHERE (o.started_by = current_user OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
           OR EXISTS (SELECT FROM pg_catalog.pg_class AS c
                      WHERE c.oid = o.relation AND pg_catalog.pg_has_role(c.relowner, 'USAGE')))
      AND (o.finished_at IS NOT NULL OR o.operation_id NOT IN (SELECT r.operation_id FROM running AS r))
    UNION ALL
    SELECT r.operation_id, r.kind, r.schema_name::name, r.table_name::name, r.phase, r.rows_done, NULL, r.bytes_done,
           r.bytes_total, r.started_at, r.finished_at, r.seconds_left, r.error, r.waiting_for, r.blocked_by, 1, r.detail
    FROM running AS r
    WHERE NOT EXISTS (SELECT FROM presplit.operation_log AS o
                      WHERE o.operation_id = r.operation_id AND o.finished_at IS NOT NULL)
)
SELECT k.operation_id,
       k.kind,
       pg_catalog.format('%I.%I', k.schema_name, k.table_name) AS relation,
       k.phase,
       k.rows_done,
       k.rows_total,
       k.bytes_done,
       k.bytes_total,
       k.started_at,
       k.finished_at,
       pg_catalog.make_interval(secs => k.seconds_left) AS eta,
       k.error,
       k.waiting_for,
       k.blocked_by,
       k.attempts,
       k.detail
FROM known AS k
ORDER BY k.operation_id;

CREATE VIEW presplit.proposals WITH (security_barrier) AS
SELECT r.proposal_id,
       pg_catalog.format('%I.%I', r.schema_name, r.table_name) AS relation,
       r.content->>'strategy' AS strategy,
       CASE WHEN r.content->>'strategy' = 'none' THEN '{}'::text[]
            ELSE ARRAY(SELECT pg_catalog.jsonb_array_elements_text(r.content->'layout'->'shard_key')) END AS shard_key,
       CASE WHEN r.content->>'strategy' = 'none' THEN 1
            ELSE pg_catalog.jsonb_array_length(r.shards) END AS shard_count,
       (r.content->>'colocation_group')::int AS colocation_group,
       (r.content->>'rows_scanned_share')::float8 AS rows_scanned_share,
       (r.content->>'skew')::float8 AS skew,
       (r.content->>'bytes_at_horizon')::float8 AS bytes_at_horizon,
       r.content->>'confidence' AS confidence,
       r.content->>'reason' AS reason,
       ARRAY(SELECT pg_catalog.jsonb_array_elements_text(r.content->'warnings')) AS warnings,
       (SELECT coalesce(pg_catalog.jsonb_agg(s.value - 'future' ORDER BY s.ordinality), '[]')
        FROM pg_catalog.jsonb_array_elements(r.shards) WITH ORDINALITY AS s) AS shards,
       p.created_at,
       CASE WHEN EXISTS (SELECT FROM presplit.armed AS a
                         WHERE a.proposal_id = r.proposal_id
                           AND a.schema_name = r.schema_name AND a.table_name = r.table_name)
            THEN 'armed' ELSE r.state END AS state
FROM presplit.proposal_relations AS r
JOIN presplit.stored_proposals AS p USING (proposal_id)
WHERE p.created_by = current_user OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
ORDER BY r.proposal_id, r.position;

CREATE VIEW presplit.restore_report WITH (security_barrier) AS
SELECT pg_catalog.format('%I.%I', l.schema_name, l.table_name) AS relation,
       l.statement_kind, l.original, l.executed, l.note, l.at, l.rows_loaded
FROM presplit.restore_log AS l
WHERE l.logged_by = current_user OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
ORDER BY l.entry;

CREATE VIEW presplit.sampled_values AS
SELECT s.relation::regclass AS relation, s.column_name, s.access, s.value, s.share, s.executions, s.share_max, s.sampled
FROM presplit.read_sampled_values() AS s;

CREATE VIEW presplit.settings AS
SELECT s.name, s.value, s.unit, s.meaning
FROM presplit.read_settings() AS s;

CREATE VIEW presplit.statements AS
SELECT s.queryid, s.query, s.calls, s.exec_ms, s.analyzed, s.reason
FROM presplit.read_statements() AS s;
