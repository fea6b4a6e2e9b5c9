--
-- Declared statements: what is taken and what is refused, how their rates
-- weigh, and whose they are.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA work;
CREATE TABLE work.orders (id bigint PRIMARY KEY, customer_id int NOT NULL, at timestamptz NOT NULL, note text);
CREATE TABLE work.log (what text);
CREATE FUNCTION work.spy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN INSERT INTO work.log VALUES ('run'); RETURN 1; END $$;

SELECT declare_workload('[{"sql": "SELECT * FROM work.orders WHERE id = $1", "calls_per_second": 12.5, "mean_ms": 4},
                          {"sql": "SELECT * FROM work.orders WHERE customer_id = 7 AND at >= ''2026-01-01''", "calls_per_second": 2.5, "mean_ms": 20, "rows": 3}]');
-- Without a name, and by the name: a profile without tables means live ones.
SELECT columns, access, prunable, calls, exec_ms, share FROM analyze_workload() WHERE relation = 'work.orders' ORDER BY 1, 2;
SELECT columns, access, calls, exec_ms, share FROM analyze_workload('declared') WHERE relation = 'work.orders' ORDER BY 1, 2;
SELECT query, calls, analyzed FROM presplit.statements WHERE query LIKE '%work.orders%' ORDER BY 1;
-- It replaces what was there before; an empty list leaves nothing.
SELECT declare_workload('[{"sql": "UPDATE work.orders SET note = $1 WHERE id = $2", "calls_per_second": 1}]');
SELECT columns, access, calls, exec_ms, share FROM analyze_workload('declared') ORDER BY 1, 2;
SELECT declare_workload('[]');
SELECT tests.outcome($$SELECT * FROM analyze_workload('declared')$$);
SELECT declare_workload('[]', 'nothing');
-- The same statement twice counts twice; the search_path is the role's.
CREATE ROLE regress_declared;
ALTER ROLE regress_declared SET search_path = work;
SELECT declare_workload('[{"sql": "SELECT id FROM orders", "calls_per_second": 1, "mean_ms": 1, "role": "regress_declared"},
                          {"sql": "SELECT id FROM orders ORDER BY id", "calls_per_second": 1, "mean_ms": 1, "role": "regress_declared"},
                          {"sql": "SELECT id FROM orders ORDER BY id", "calls_per_second": 1, "mean_ms": 1, "role": "regress_declared"},
                          {"sql": "SELECT id FROM orders", "calls_per_second": 1, "mean_ms": 1}]', 'paths');
SELECT * FROM workload_coverage('paths');
SELECT columns, access, statements, share FROM analyze_workload('paths');
-- Beside the statements of a profile, in the seconds of these.
SELECT import_profile(jsonb_set(capture_profile('{work.orders}'), '{workload}',
    '{"source": "pg_stat_statements", "seconds": 100, "search_paths": {"": ["work"]}, "statements":
      [{"queryid": 1, "query": "SELECT * FROM orders WHERE at < $1", "role": "", "calls": 50, "exec_ms": 500, "rows": 50}]}'), 'paths');
SELECT columns, access, calls, exec_ms, share FROM analyze_workload('paths') ORDER BY 1, 2;
SELECT * FROM workload_coverage('paths');
-- Seconds that are not known are supposed to be those of a day.
SELECT import_profile(jsonb_set(capture_profile('{work.orders}'), '{workload}',
    '{"source": "pg_stat_statements", "search_paths": {"": ["work"]}, "statements":
      [{"queryid": 1, "query": "SELECT * FROM orders WHERE at < $1", "role": "", "calls": 86400, "exec_ms": 86400, "rows": 50}]}'), 'paths');
SELECT columns, access, calls, share FROM analyze_workload('paths') ORDER BY 1, 2;

-- Nothing of a statement is run.
SELECT declare_workload('[{"sql": "SELECT * FROM work.orders WHERE customer_id = work.spy(1)", "calls_per_second": 1},
                          {"sql": "SELECT * FROM work.orders WHERE id = 1 / 0", "calls_per_second": 1},
                          {"sql": "DELETE FROM work.orders", "calls_per_second": 1}]', 'spy');
SELECT statements, analyzed FROM workload_coverage('spy');
SELECT count(*) FROM work.log;

-- What is refused, with its place; nothing is stored then.
SELECT tests.outcome(format('SELECT declare_workload(%L)', list)) FROM unnest(ARRAY[
    '{}', 'null', '7', '[7]', '[{}]', '[{"sql": ""}]', '[{"sql": "SELECT 1"}]', '[{"sql": 1, "calls_per_second": 1}]',
    '[{"sql": "SELECT 1", "calls_per_second": -1}]', '[{"sql": "SELECT 1", "calls_per_second": 1e300}]',
    '[{"sql": "SELECT 1", "calls_per_second": "1"}]', '[{"sql": "SELECT 1", "calls_per_second": 1, "mean_ms": -1}]',
    '[{"sql": "SELECT 1", "calls_per_second": 1}, {"sql": "SELECT 1", "calls_per_second": 1, "rate": 2}]',
    '[{"sql": "SELECT 1", "calls_per_second": 1}, {"sql": "SELECT * FORM t WHERE", "calls_per_second": 1}]',
    '[{"sql": "SELECT ''größe'' FROM FROM", "calls_per_second": 1}]',
    '[{"sql": "SELECT ''open", "calls_per_second": 1}]', '[{"sql": "SELECT (", "calls_per_second": 1}]',
    '[{"sql": "-- nothing", "calls_per_second": 1}]', '[{"sql": "SELECT 1; SELECT 2", "calls_per_second": 1}]',
    '[{"sql": "VACUUM t", "calls_per_second": 1}]', '[{"sql": "CREATE ROLE r PASSWORD ''x''", "calls_per_second": 1}]',
    '[{"sql": "EXPLAIN SELECT 1", "calls_per_second": 1}]', '[{"sql": "SELECT 1 INTO t UNION SELECT 2", "calls_per_second": 1}]',
    '[{"sql": "PREPARE p AS SELECT 1", "calls_per_second": 1}]']) AS list;
SELECT tests.outcome(format('SELECT declare_workload(%L)', '[' || repeat('{"sql": "SELECT 1", "calls_per_second": 1},', 10000) || '{"sql": "SELECT 1", "calls_per_second": 1}]'));
SELECT tests.outcome(format('SELECT declare_workload(%L)', jsonb_build_array(jsonb_build_object('sql', 'SELECT ' || repeat('1 + ', 300000) || '1', 'calls_per_second', 1))));
SELECT tests.outcome(format('SELECT declare_workload(%L)', jsonb_build_array(jsonb_build_object('sql', 'SELECT ' || repeat('(', 100000), 'calls_per_second', 1))));
SELECT tests.outcome($$SELECT declare_workload('[]', '')$$);
SELECT tests.outcome($$SELECT declare_workload('[]', repeat('x', 201))$$);
SELECT declare_workload(NULL);
SELECT profile FROM presplit.declared_workloads ORDER BY 1;

-- Whose they are: a role sees its own, and replaces nobody else's.
SET ROLE regress_declared;
SELECT tests.outcome($$SELECT declare_workload('[]')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION declare_workload TO regress_declared;
SET ROLE regress_declared;
SELECT tests.outcome($$SELECT declare_workload('[]', 'paths')$$);
SELECT tests.outcome($$SELECT declare_workload('[]', 'spy')$$);
SELECT tests.outcome($$SELECT * FROM workload_coverage('spy')$$);
SELECT statements FROM workload_coverage();
SELECT declare_workload('[{"sql": "SELECT 1", "calls_per_second": 1}]', 'mine');
SELECT statements FROM workload_coverage('mine');
SELECT tests.outcome('SELECT * FROM presplit.declared_workloads');
RESET ROLE;
GRANT pg_read_all_data TO regress_declared;
SET ROLE regress_declared;
SELECT statements FROM workload_coverage('spy');
SELECT tests.outcome($$SELECT declare_workload('[]', 'spy')$$);
RESET ROLE;
REVOKE pg_read_all_data FROM regress_declared;
SELECT declare_workload('[]', 'mine');
DROP OWNED BY regress_declared;
DROP ROLE regress_declared;
DROP SCHEMA work CASCADE;
CALL tests.forget();
