\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.5.0'" to load this file. \quit

-- From 0.4.0 to 0.5.0. Afterwards everything is as after a fresh installation
-- of 0.5.0, which the release test compares object by object.

-- Operations that a worker carries out in many transactions, and what it needs to go on after a crash: of this database
-- in this server only, so no dump has them.
CREATE TABLE presplit.jobs (
    operation_id      bigint PRIMARY KEY,
    root              oid NOT NULL,
    change            jsonb NOT NULL,
    settings          jsonb NOT NULL,
    phase             text NOT NULL DEFAULT 'planned'
                      CHECK (phase IN ('planned', 'preparing', 'capturing', 'copying', 'indexing', 'catching_up',
                                       'verifying', 'cutting_over', 'done', 'failed', 'cancelled')),
    state             jsonb NOT NULL DEFAULT '{}',
    ending            text CHECK (ending IN ('failed', 'cancelled')),
    is_over           boolean NOT NULL DEFAULT false,
    owner             oid NOT NULL,
    database          oid NOT NULL,
    system_identifier bigint NOT NULL,
    fingerprint       text NOT NULL,
    shape             text NOT NULL DEFAULT '',
    next_try_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds_left      float8,
    waiting_for       text,
    blocked_by        int[]
);

-- One at a time for each table.
CREATE UNIQUE INDEX jobs_by_table ON presplit.jobs (root) WHERE NOT is_over;

-- Apart from the jobs: a user's open transaction must not keep a worker from writing down how far it is.
CREATE TABLE presplit.job_wishes (
    operation_id bigint PRIMARY KEY,
    wish         text NOT NULL CHECK (wish IN ('run', 'pause', 'cancel')),
    wished_by    name NOT NULL,
    wished_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What a job has made, written down in the transaction that makes it; whatever is in it is dropped when the job fails.
CREATE TABLE presplit.job_objects (
    operation_id bigint NOT NULL,
    object       oid NOT NULL,
    role         text NOT NULL CHECK (role IN ('staging', 'log', 'trigger', 'retired')),
    name         text NOT NULL,
    entry        bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (operation_id, role, object)
);

CREATE TABLE presplit.job_events (
    entry        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_id bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    phase        text NOT NULL,
    seconds      float8,
    note         text NOT NULL
);

CREATE INDEX job_events_by_operation ON presplit.job_events (operation_id, entry);

REVOKE ALL ON TABLE presplit.jobs, presplit.job_wishes, presplit.job_objects, presplit.job_events FROM PUBLIC;
REVOKE ALL ON SEQUENCE presplit.job_objects_entry_seq, presplit.job_events_entry_seq FROM PUBLIC;
COMMENT ON TABLE presplit.jobs IS 'operations that a worker carries out in many transactions';
COMMENT ON COLUMN presplit.jobs.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.jobs.root IS 'the sharded table; one operation at a time works on it';
COMMENT ON COLUMN presplit.jobs.change IS 'what gives way to what';
COMMENT ON COLUMN presplit.jobs.settings IS 'settings of who began it, and of the table';
COMMENT ON COLUMN presplit.jobs.phase IS 'the step that is next, also while it is paused';
COMMENT ON COLUMN presplit.jobs.state IS 'how far the step is';
COMMENT ON COLUMN presplit.jobs.ending IS 'how it will have ended once everything of it is dropped';
COMMENT ON COLUMN presplit.jobs.is_over IS 'whether nothing is left to be done';
COMMENT ON COLUMN presplit.jobs.owner IS 'owner of the table, with whose rights it runs';
COMMENT ON COLUMN presplit.jobs.database IS 'database that it belongs to; a copy of it does not go on';
COMMENT ON COLUMN presplit.jobs.system_identifier IS 'server that it belongs to; a copy of it does not go on';
COMMENT ON COLUMN presplit.jobs.fingerprint IS 'what the tables were like when it began';
COMMENT ON COLUMN presplit.jobs.shape IS 'what the tables were like when it began, object by object';
COMMENT ON COLUMN presplit.jobs.next_try_at IS 'when it is tried again after a failure';
COMMENT ON COLUMN presplit.jobs.seconds_left IS 'time that the rest of the rows will take';
COMMENT ON COLUMN presplit.jobs.waiting_for IS 'what it waits for';
COMMENT ON COLUMN presplit.jobs.blocked_by IS 'process ids of the sessions that it waits for';

COMMENT ON TABLE presplit.job_wishes IS 'what is wished of operations';
COMMENT ON COLUMN presplit.job_wishes.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.job_wishes.wish IS 'run, pause or cancel';
COMMENT ON COLUMN presplit.job_wishes.wished_by IS 'role that wished it';
COMMENT ON COLUMN presplit.job_wishes.wished_at IS 'when';

COMMENT ON TABLE presplit.job_objects IS 'what operations have made and not yet handed over';
COMMENT ON COLUMN presplit.job_objects.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.job_objects.object IS 'the table or trigger';
COMMENT ON COLUMN presplit.job_objects.role IS 'staging, log, trigger or retired';
COMMENT ON COLUMN presplit.job_objects.name IS 'its name, for people';
COMMENT ON COLUMN presplit.job_objects.entry IS 'order in which they were made';

COMMENT ON TABLE presplit.job_events IS 'what happened to operations, step by step';
COMMENT ON COLUMN presplit.job_events.entry IS 'order in which it happened';
COMMENT ON COLUMN presplit.job_events.operation_id IS 'number of the operation';
COMMENT ON COLUMN presplit.job_events.at IS 'when';
COMMENT ON COLUMN presplit.job_events.phase IS 'the step';
COMMENT ON COLUMN presplit.job_events.seconds IS 'how long it took';
COMMENT ON COLUMN presplit.job_events.note IS 'what happened';

-- Shards that others have taken the places of, kept for a while: of this database in this server only, so no dump has
-- them.
CREATE TABLE presplit.retired_shards (
    shard        oid PRIMARY KEY,
    relation     oid NOT NULL,
    parent       oid NOT NULL,
    bound        text NOT NULL,
    operation_id bigint NOT NULL,
    retired_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    drop_after   timestamptz NOT NULL
);

REVOKE ALL ON TABLE presplit.retired_shards FROM PUBLIC;
COMMENT ON TABLE presplit.retired_shards IS 'shards that others have taken the places of, kept for a while';
COMMENT ON COLUMN presplit.retired_shards.shard IS 'the replaced shard';
COMMENT ON COLUMN presplit.retired_shards.relation IS 'the sharded table';
COMMENT ON COLUMN presplit.retired_shards.parent IS 'the table that it was a partition of: the sharded table or one of its branches';
COMMENT ON COLUMN presplit.retired_shards.bound IS 'what it accepted';
COMMENT ON COLUMN presplit.retired_shards.operation_id IS 'operation that replaced it';
COMMENT ON COLUMN presplit.retired_shards.retired_at IS 'when it was replaced';
COMMENT ON COLUMN presplit.retired_shards.drop_after IS 'when it may be dropped';

-- Rows that are written to a replaced shard would be seen by nobody: whoever waited for the swap with a statement that
-- names the shard itself is told so. Without the library. Of one argument: a shard that an operation fills, to which only
-- the session that holds the operation's lock may write.
CREATE FUNCTION presplit.refuse_write() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
    IF TG_NARGS = 1 THEN
        IF EXISTS (SELECT FROM pg_catalog.pg_locks AS l
                   WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                     AND l.mode = 'ExclusiveLock'
                     AND l.classid::bigint = pg_catalog.hashtext('presplit.operation')::bigint & 4294967295
                     AND l.objid::bigint = TG_ARGV[0]::bigint & 4294967295) THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = pg_catalog.format('table "%I.%I" takes no rows yet', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            DETAIL = pg_catalog.format('Operation %s fills it, to make it a shard.', TG_ARGV[0]),
            HINT = 'Write to the sharded table.';
    END IF;
    RAISE EXCEPTION USING
        ERRCODE = 'object_not_in_prerequisite_state',
        MESSAGE = pg_catalog.format('shard "%I.%I" was replaced', TG_TABLE_SCHEMA, TG_TABLE_NAME),
        DETAIL = pg_catalog.format('Operation %s has put others in its place; it is kept for a while and takes no rows.', TG_ARGV[1]),
        HINT = pg_catalog.format('Write to table "%s", of which it was a part.', TG_ARGV[0]::pg_catalog.oid::pg_catalog.regclass);
END
$function$;
COMMENT ON FUNCTION presplit.refuse_write() IS 'refuses writes to a shard that was replaced or is being filled, also without the library';

CREATE OR REPLACE VIEW presplit.operations WITH (security_barrier) AS
WITH running AS (
    SELECT r.* FROM presplit.read_operations() AS r
), known AS (
    SELECT o.operation_id, o.kind, o.schema_name, o.table_name, o.phase, o.rows_done, o.rows_total, o.bytes_done,
           o.bytes_total, o.started_at, o.finished_at, j.seconds_left, o.error,
           CASE WHEN j.database <> d.oid OR j.system_identifier <> y.system_identifier
                THEN 'nothing: it belongs to another database, of which this one is a copy; see sql/break_glass.sql'
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

COMMENT ON COLUMN presplit.operations.phase IS 'where it is: planned, preparing, capturing, copying, indexing, catching_up, verifying, cutting_over, or paused, and then done, failed or cancelled; of a load copying and cutting_over';

CREATE OR REPLACE FUNCTION presplit.refuse_forgetting() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    waiting record;
BEGIN
    IF pg_catalog.strpos(pg_catalog.lower(pg_catalog.current_query()), 'pg_presplit') = 0 THEN
        RETURN;
    END IF;
    FOR waiting IN
        SELECT pg_catalog.format('%I.%I', o.schema_name, o.table_name) AS relation, o.operation_id
        FROM presplit.operation_log AS o
        WHERE o.kind <> 'load' AND o.finished_at IS NULL
        ORDER BY o.operation_id
    LOOP
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = pg_catalog.format('cannot drop extension "pg_presplit": operation %s works on table "%s"', waiting.operation_id, waiting.relation),
            DETAIL = 'What it has brought into new shards would be lost, and its triggers would stay on the old ones.',
            HINT = pg_catalog.format('Wait for it, or give it up: SELECT cancel_operation(%s).', waiting.operation_id);
    END LOOP;
    FOR waiting IN
        SELECT pg_catalog.format('%I.%I', a.schema_name, a.table_name) AS relation
        FROM presplit.armed AS a
        LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = a.schema_name
        LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = a.table_name
        -- One that is in its shards has had its restore.
        WHERE c.relkind IS DISTINCT FROM 'p'
        ORDER BY 1
    LOOP
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = pg_catalog.format('cannot drop extension "pg_presplit": table "%s" is armed for sharding', waiting.relation),
            DETAIL = 'The arming would be forgotten, and a restore would create the table whole.',
            HINT = pg_catalog.format('Give the arming up: SELECT disarm(%L).', waiting.relation);
    END LOOP;
END
$function$;
COMMENT ON FUNCTION presplit.refuse_forgetting() IS
    'refuses DROP EXTENSION pg_presplit while an armed table is not in its shards or an operation is under way, also without the library';
COMMENT ON EVENT TRIGGER presplit_never_forgotten IS
    'refuses DROP EXTENSION pg_presplit while an armed table is not in its shards or an operation is under way, also without the library';

-- The trigger that writes down which rows change while shards are being replaced: it writes to the log that its arguments
-- name, without asking for anybody's rights, so nobody but us may make such triggers.
CREATE FUNCTION presplit.capture_change() RETURNS trigger
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'presplit_capture_change';
REVOKE ALL ON FUNCTION presplit.capture_change() FROM PUBLIC;
COMMENT ON FUNCTION presplit.capture_change() IS
    'trigger on shards that are being replaced: writes down the identity of each changed row';

-- Replaced shards are shown while they are kept.
CREATE OR REPLACE VIEW presplit.shards WITH (security_barrier) AS
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
COMMENT ON COLUMN presplit.shards.state IS 'active; future = made ahead and still empty; retired = replaced, and dropped after its grace';

-- Resharding -----------------------------------------------------------------

CREATE FUNCTION split_shard(shard regclass, at text[] DEFAULT NULL, parts int DEFAULT 2, online boolean DEFAULT true)
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'split_shard_wrapper';

CREATE FUNCTION split_shard_plan(shard regclass, at text[] DEFAULT NULL, parts int DEFAULT 2, online boolean DEFAULT true)
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'split_shard_plan_wrapper';

CREATE FUNCTION merge_shards(shards regclass[], online boolean DEFAULT true)
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'merge_shards_wrapper';

CREATE FUNCTION merge_shards_plan(shards regclass[], online boolean DEFAULT true)
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'merge_shards_plan_wrapper';

CREATE FUNCTION move_shard(shard regclass, tablespace name, online boolean DEFAULT true)
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'move_shard_wrapper';

CREATE FUNCTION move_shard_plan(shard regclass, tablespace name, online boolean DEFAULT true)
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'move_shard_plan_wrapper';

CREATE FUNCTION check_operation(relation regclass, proposal_id bigint)
RETURNS TABLE (severity text, object text, problem text, remedy text)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'check_operation_wrapper';

CREATE FUNCTION wait_operation(operation_id bigint, timeout interval DEFAULT '1 hour') RETURNS text
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'wait_operation_wrapper';

CREATE FUNCTION cancel_operation(operation_id bigint) RETURNS boolean
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'cancel_operation_wrapper';

CREATE FUNCTION pause_operation(operation_id bigint) RETURNS boolean
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'pause_operation_wrapper';

CREATE FUNCTION resume_operation(operation_id bigint) RETURNS boolean
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'resume_operation_wrapper';

REVOKE ALL ON FUNCTION split_shard(regclass, text[], int, boolean) FROM PUBLIC;
COMMENT ON FUNCTION split_shard(regclass, text[], int, boolean) IS
    'divides one shard into several, online; returns the number of the operation that does it';

COMMENT ON FUNCTION split_shard_plan(regclass, text[], int, boolean) IS
    'the steps that split_shard() would take, with their locks and estimates; changes nothing';

REVOKE ALL ON FUNCTION merge_shards(regclass[], boolean) FROM PUBLIC;
COMMENT ON FUNCTION merge_shards(regclass[], boolean) IS
    'makes one shard of several, online; returns the number of the operation that does it';

COMMENT ON FUNCTION merge_shards_plan(regclass[], boolean) IS
    'the steps that merge_shards() would take, with their locks and estimates; changes nothing';

REVOKE ALL ON FUNCTION move_shard(regclass, name, boolean) FROM PUBLIC;
COMMENT ON FUNCTION move_shard(regclass, name, boolean) IS
    'moves a shard to another tablespace, online; returns the number of the operation that does it';

COMMENT ON FUNCTION move_shard_plan(regclass, name, boolean) IS
    'the steps that move_shard() would take, with their locks and estimates; changes nothing';

COMMENT ON FUNCTION check_operation(regclass, bigint) IS
    'everything that stands against replacing shards of a table, at once and beforehand';

COMMENT ON FUNCTION wait_operation(bigint, interval) IS
    'waits until an operation is over; returns its final phase';

REVOKE ALL ON FUNCTION cancel_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION cancel_operation(bigint) IS
    'has an operation take back what it has done; false if it is over';

REVOKE ALL ON FUNCTION pause_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION pause_operation(bigint) IS
    'has an operation stop after its step; false if it is over';

REVOKE ALL ON FUNCTION resume_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION resume_operation(bigint) IS
    'has an operation go on that was paused, or has failed; false if there is nothing to resume';
