-- Rows that a statement really looks at: EXPLAIN ANALYZE, and of every scan of
-- a table (or of its shards) the rows returned and those that a filter removed.
CREATE SCHEMA measure;

CREATE FUNCTION measure.nodes(plan jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$
    WITH RECURSIVE node (n) AS (
        SELECT plan
        UNION ALL
        SELECT child FROM node, jsonb_array_elements(node.n -> 'Plans') AS child)
    SELECT n FROM node
$$;

-- What the server has counted in this session: rows that scans read of each table, and entries that they read of each
-- index. EXPLAIN tells whole rows per loop alone, on the average: of an index that finds a row in every 32nd loop, none.
CREATE FUNCTION measure.counted() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_object_agg(oid, jsonb_build_array(pg_stat_get_xact_tuples_returned(oid), pg_stat_get_xact_tuples_fetched(oid)))
    FROM pg_class WHERE relkind IN ('r', 'i') AND oid >= 16384
$$;

-- One row for each table that the statement scans; `shards` are those opened. Where EXPLAIN rounds, the server's counts
-- are taken; what was read of an index alone is counted there.
CREATE FUNCTION measure.looked_at(statement text, OUT relation text, OUT rows float8, OUT shards int)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
    before jsonb := measure.counted();
    after jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || statement INTO plan;
    after := measure.counted();
    RETURN QUERY
    WITH scan AS (
        SELECT format('%I.%I', n ->> 'Schema', n ->> 'Relation Name')::regclass::oid AS leaf, n ->> 'Node Type' AS kind,
               (n ->> 'Actual Loops')::float8 AS loops,
               (n ->> 'Actual Rows')::float8 + coalesce((n ->> 'Rows Removed by Filter')::float8, 0)
               + coalesce((n ->> 'Rows Removed by Index Recheck')::float8, 0) AS each
        FROM measure.nodes(plan -> 0 -> 'Plan') AS n
        WHERE n ->> 'Node Type' LIKE '%Scan' AND n ? 'Relation Name'),
    told AS (
        SELECT leaf, sum(each * loops) AS rows, max(loops) AS loops,
               bool_or(kind = 'Index Only Scan') AS index_only, bool_or(kind LIKE 'Bitmap%') AS bitmap
        FROM scan GROUP BY leaf),
    counted AS (
        SELECT oid::oid, (v -> 0)::float8 - (before -> oid -> 0)::float8 AS returned, (v -> 1)::float8 - (before -> oid -> 1)::float8 AS fetched
        FROM jsonb_each(after) AS a (oid, v) WHERE v <> before -> oid),
    by_index AS (
        SELECT i.indrelid AS leaf, sum(c.returned) AS returned, sum(c.fetched) AS fetched
        FROM counted AS c JOIN pg_index AS i ON i.indexrelid = c.oid GROUP BY 1),
    found AS (
        SELECT told.leaf, told.loops,
               CASE WHEN told.loops <= 1 OR told.index_only AND told.bitmap THEN told.rows
                    WHEN told.index_only THEN coalesce(own.returned, 0) + coalesce(by_index.returned, 0)
                    ELSE coalesce(own.returned + own.fetched, 0) + coalesce(by_index.fetched, 0) END AS rows
        FROM told LEFT JOIN counted AS own ON own.oid = told.leaf LEFT JOIN by_index ON by_index.leaf = told.leaf)
    SELECT coalesce(pg_partition_root(leaf), leaf)::regclass::text, sum(found.rows), count(*) FILTER (WHERE loops > 0)::int
    FROM found GROUP BY 1;
END
$$;

CREATE TABLE measure.statements (
    number           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    statement        text NOT NULL,
    calls_per_second float8 NOT NULL,
    -- Gives the values of $1, $2 … of execution number i as SQL text; empty = no parameters.
    arguments        text NOT NULL DEFAULT ''
);
CREATE TABLE measure.looked (number int, phase text, relation text, rows float8, shards float8);

-- Runs every statement `executions` times (once if it has no parameters), undone each time.
CREATE PROCEDURE measure.run(phase text, executions int) LANGUAGE plpgsql AS $$
DECLARE
    one record;
    given text;
    found jsonb;
    i int;
    times int;
BEGIN
    FOR one IN SELECT * FROM measure.statements ORDER BY number LOOP
        EXECUTE format('PREPARE measured AS %s', one.statement);
        times := CASE WHEN one.arguments = '' THEN 1 ELSE executions END;
        FOR i IN 1 .. times LOOP
            given := '';
            IF one.arguments <> '' THEN
                EXECUTE one.arguments INTO given USING i;
            END IF;
            -- What the statement changes is undone; variables stay.
            BEGIN
                found := (SELECT jsonb_agg(to_jsonb(l)) FROM measure.looked_at(format('EXECUTE measured%s', given)) AS l);
                RAISE EXCEPTION USING ERRCODE = 'P0999', MESSAGE = 'undo';
            EXCEPTION WHEN SQLSTATE 'P0999' THEN
                NULL;
            END;
            INSERT INTO measure.looked
            SELECT one.number, run.phase, l.relation, l.rows / times, l.shards::float8 / times
            FROM jsonb_to_recordset(found) AS l (relation text, rows float8, shards int);
        END LOOP;
        DEALLOCATE measured;
    END LOOP;
END
$$;
