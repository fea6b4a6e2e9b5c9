--
-- The analysis of statements: of a profile whose tables are not here, against
-- live tables, and what may not happen meanwhile.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA work;
CREATE TABLE work.customers (id int PRIMARY KEY, name text, region text);
CREATE TABLE work.orders (id bigint PRIMARY KEY, customer_id int NOT NULL REFERENCES work.customers, at timestamptz NOT NULL, note text);
CREATE VIEW work.recent AS SELECT * FROM work.orders WHERE at > '2026-01-01';
SELECT capture_profile('{work.orders,work.customers}') AS profile \gset
-- A profile with these statements: text, calls, milliseconds.
CREATE FUNCTION tests.with_statements(profile jsonb, statements text[]) RETURNS jsonb LANGUAGE sql BEGIN ATOMIC
    SELECT jsonb_set(profile, '{workload}', jsonb_build_object(
        'source', 'pg_stat_statements', 'seconds', 3600, 'search_paths', '{"": ["work"]}'::jsonb,
        'statements', (SELECT jsonb_agg(jsonb_build_object('queryid', at, 'query', statement, 'role', 'app', 'calls', 100, 'exec_ms', 10 * at, 'rows', 100) ORDER BY at)
                       FROM unnest(statements) WITH ORDINALITY AS s (statement, at))));
END;
SELECT import_profile(tests.with_statements(:'profile', ARRAY[
    'SELECT * FROM orders WHERE id = $1',
    'SELECT * FROM orders WHERE customer_id IN ($1, $2) AND at >= $3 AND at < $4',
    'SELECT o.note FROM orders AS o JOIN customers AS c ON c.id = o.customer_id WHERE c.id = $1',
    'SELECT count(*) FROM orders WHERE lower(note) = $1',
    'SELECT customer_id, count(*) FROM orders GROUP BY customer_id ORDER BY 1',
    'INSERT INTO orders VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING',
    'UPDATE orders SET note = $1 WHERE id = $2',
    'UPDATE orders SET customer_id = $1 WHERE id = $2',
    'DELETE FROM orders WHERE at < $1',
    'SELECT * FROM nothing WHERE id = $1',
    'this is not SQL',
    'VACUUM orders']), 'work');
DROP SCHEMA work CASCADE;
SELECT statements, analyzed, calls_share, exec_share FROM workload_coverage('work');
SELECT relation, columns, access, prunable, calls, statements, reason
FROM analyze_workload('work') ORDER BY relation, columns, access, prunable;
-- Nothing is left of the tables that were made for it.
SELECT nspname FROM pg_namespace WHERE nspname ~ 'work|shadow';
SELECT count(*) FROM pg_class WHERE relname IN ('orders', 'customers');

-- Nothing of a statement is run: not its functions, and not what it says.
CREATE SCHEMA work;
CREATE TABLE work.log (what text);
CREATE FUNCTION work.spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run'; END $$;
CREATE TABLE work.orders (id int PRIMARY KEY, k int);
SELECT import_profile(tests.with_statements(capture_profile('{work.orders}'), ARRAY[
    'SELECT * FROM orders WHERE k = work.spy(1)', 'SELECT * FROM orders WHERE id = (SELECT 1 / 0)', 'DROP TABLE orders',
    'INSERT INTO log VALUES (''x'')', 'SELECT * FROM orders WHERE k = $1; DROP TABLE orders', 'SELECT pg_sleep(100)']), 'spy');
SELECT statements FROM workload_coverage('spy');
SELECT columns, access, prunable FROM analyze_workload('spy') WHERE relation = 'work.orders' ORDER BY 1, 2;
SELECT (SELECT count(*) FROM work.log), to_regclass('work.orders');

-- Not more than what the caller may see.
CREATE ROLE regress_workload;
SET ROLE regress_workload;
SELECT tests.outcome('SELECT * FROM analyze_workload(''work'')');
SELECT statements, analyzed, calls_share, exec_share FROM workload_coverage();
RESET ROLE;
DROP ROLE regress_workload;

DROP SCHEMA work CASCADE;
DROP FUNCTION tests.with_statements;
CALL tests.forget();
