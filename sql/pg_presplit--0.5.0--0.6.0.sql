\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.6.0'" to load this file. \quit

-- From 0.5.0 to 0.6.0. Afterwards everything is as after a fresh installation
-- of 0.6.0, which the release test compares object by object.

CREATE FUNCTION undo_operation(operation_id bigint) RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'undo_operation_wrapper';

REVOKE ALL ON FUNCTION undo_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION undo_operation(bigint) IS
    'puts back the shards that an operation has replaced, with all that was written since, while they are kept';

CREATE FUNCTION shard_table(relation regclass, proposal_id bigint, online boolean DEFAULT true,
    history text DEFAULT 'split')
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'shard_table_wrapper';

CREATE FUNCTION shard_table_plan(relation regclass, proposal_id bigint, online boolean DEFAULT true,
    history text DEFAULT 'split')
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'shard_table_plan_wrapper';

REVOKE ALL ON FUNCTION shard_table(regclass, bigint, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION shard_table(regclass, bigint, boolean, text) IS
    'divides a table that has rows as a proposal says, or makes it plain, while people use it; returns the number of the operation';

COMMENT ON FUNCTION shard_table_plan(regclass, bigint, boolean, text) IS
    'the steps that shard_table() would take, with their locks and estimates; changes nothing';

COMMENT ON FUNCTION check_operation(regclass, bigint) IS
    'everything that stands against replacing shards of a table, or the whole table by a proposal, at once and beforehand';

CREATE OR REPLACE VIEW presplit.operations WITH (security_barrier) AS
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
