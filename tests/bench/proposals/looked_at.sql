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

-- One row for each table that the statement scans; `shards` are those opened.
CREATE FUNCTION measure.looked_at(statement text, OUT relation text, OUT rows float8, OUT shards int)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, TIMING OFF, SUMMARY OFF, FORMAT JSON) ' || statement INTO plan;
    RETURN QUERY
    SELECT coalesce(pg_partition_root(leaf.oid), leaf.oid)::regclass::text,
           sum(((n ->> 'Actual Rows')::float8 + coalesce((n ->> 'Rows Removed by Filter')::float8, 0)
                + coalesce((n ->> 'Rows Removed by Index Recheck')::float8, 0)) * (n ->> 'Actual Loops')::float8),
           count(DISTINCT leaf.oid) FILTER (WHERE (n ->> 'Actual Loops')::float8 > 0)::int
    FROM measure.nodes(plan -> 0 -> 'Plan') AS n
    CROSS JOIN LATERAL (SELECT format('%I.%I', n ->> 'Schema', n ->> 'Relation Name')::regclass::oid AS oid) AS leaf
    WHERE n ->> 'Node Type' LIKE '%Scan' AND n ? 'Relation Name'
    GROUP BY 1;
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
