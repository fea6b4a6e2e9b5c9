--
-- Server logs: what is read of a csvlog and a jsonlog, what is refused.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA work;
CREATE TABLE work.orders (id bigint PRIMARY KEY, customer_id int NOT NULL, note text);
-- Lines of a log: session, second, message, detail.
CREATE TABLE work.line (number int GENERATED ALWAYS AS IDENTITY, session text, second int, message text, detail text,
                        username text DEFAULT 'app', dbname text DEFAULT current_database(), severity text DEFAULT 'LOG');
INSERT INTO work.line (session, second, message, detail) VALUES
    ('1.1', 0, 'duration: 2.000 ms  statement: SELECT * FROM work.orders WHERE id = 17', NULL),
    ('1.1', 1, 'statement: SELECT * FROM work.orders WHERE id = 18', NULL),
    ('1.1', 1, 'duration: 4.000 ms', NULL),
    ('2.2', 2, 'duration: 0.100 ms  parse s1: UPDATE work.orders SET note = $1 WHERE id = $2', NULL),
    ('2.2', 2, 'duration: 0.100 ms  bind s1: UPDATE work.orders SET note = $1 WHERE id = $2', 'Parameters: $1 = ''it''''s'', $2 = ''5'''),
    ('2.2', 2, 'duration: 6.000 ms  execute s1: UPDATE work.orders SET note = $1 WHERE id = $2', 'Parameters: $1 = ''it''''s'', $2 = ''5'''),
    ('2.2', 3, E'duration: 8.000 ms  statement: SELECT count(*) FROM work.orders\n WHERE customer_id IN (1, 2, "x", 3)', NULL),
    ('2.2', 3, E'duration: 8.000 ms  statement: SELECT count(*) FROM work.orders\n WHERE customer_id IN (1, 2, 3) -- many', NULL),
    ('2.2', 4, 'duration: 1.000 ms  statement: CREATE ROLE x PASSWORD ''secret''', NULL),
    ('2.2', 4, 'duration: 1.000 ms  statement: SELECT * FROM work.absent WHERE id = 1', NULL);
INSERT INTO work.line (session, second, message, dbname) VALUES ('3.3', 30, 'duration: 9.000 ms  statement: SELECT 9', 'another');
SELECT format($f$COPY (SELECT '2026-01-02 03:04:' || to_char(second %% 60, 'FM00') || '.000 UTC', username, dbname, 1, '[local]', session, number, 'SELECT',
    '2026-01-02 03:00:00 UTC', '3/1', 0, severity, '00000', message, detail, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'psql', 'client backend', NULL, 0
    FROM work.line ORDER BY number) TO %L (FORMAT csv)$f$, current_setting('data_directory') || '/presplit_test.csv') AS to_csv,
       format($f$COPY (SELECT json_strip_nulls(json_build_object('timestamp', '2026-01-02 03:04:' || to_char(second %% 60, 'FM00') || '.000 UTC', 'user', username,
    'dbname', dbname, 'pid', 1, 'session_id', session, 'line_num', number, 'error_severity', severity, 'message', message, 'detail', detail, 'query_id', 0))
    FROM work.line ORDER BY number) TO %L (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02')$f$, current_setting('data_directory') || '/presplit_test.json') AS to_json \gset
:to_csv;
:to_json;
SELECT import_log('presplit_test.csv');
SELECT import_log('presplit_test.json', 'jsonlog', 'json');
SELECT s->>'query' AS query, s->>'role' AS role, s->>'calls' AS calls, s->>'exec_ms' AS exec_ms, s->'samples' AS samples
FROM presplit.stored_profiles AS p CROSS JOIN LATERAL jsonb_array_elements(p.profile->'workload'->'statements') AS s
WHERE p.name = 'log' ORDER BY s->>'query' COLLATE "C";
SELECT profile->'workload'->>'source', profile->'workload'->>'seconds', profile->'workload'->>'note', jsonb_array_length(profile->'tables')
FROM presplit.stored_profiles WHERE name = 'log';
SELECT count(DISTINCT profile->'workload') FROM presplit.stored_profiles;
-- Analysed on live tables; no table is proposed from it that it does not have.
SELECT relation, columns, access, prunable, calls, exec_ms FROM analyze_workload('log') ORDER BY 1, 2, 3;
SELECT * FROM workload_coverage('log');
-- It is not the profile that is meant where none is named.
SELECT count(*) FROM presplit.statements WHERE query LIKE '%work.absent%';
-- Tables that are not here are those of the latest imported profile.
CREATE TABLE work.absent (id int PRIMARY KEY);
SELECT import_profile(capture_profile('{work.absent}'), 'old');
DROP TABLE work.absent;
SELECT import_log('presplit_test.csv');
SELECT relation, columns, access, calls FROM analyze_workload('log') WHERE relation = 'work.absent';
SELECT analyzed, statements FROM workload_coverage('log');
SELECT relation FROM propose_shards(profile => 'log') WHERE relation LIKE 'work.%' ORDER BY 1;

-- What is refused.
SELECT tests.outcome($$SELECT import_log('presplit_test.csv', name => 'old')$$);
SELECT tests.outcome($$SELECT import_log('presplit_test.csv', 'stderr')$$);
SELECT tests.outcome($$SELECT import_log('presplit_test.csv', 'jsonlog')$$);
SELECT tests.outcome($$SELECT import_log('presplit_test.json')$$);
SELECT tests.outcome($$SELECT import_log('PG_VERSION')$$);
SELECT tests.outcome($$SELECT import_log('global/pg_control')$$);
SELECT tests.outcome($$SELECT import_log('no/such/file')$$);
SELECT tests.outcome($$SELECT import_log('base')$$);
SELECT tests.outcome($$SELECT import_log('/dev/zero')$$);
SELECT tests.outcome($$SELECT import_log('')$$);
SELECT tests.outcome($$SELECT import_log('presplit_test.csv', name => '')$$);
SELECT import_log(NULL);
-- A log without a statement of this database says so.
SET client_min_messages = notice;
UPDATE work.line SET dbname = 'another';
:to_csv;
SELECT import_log('presplit_test.csv', name => 'empty');
SET client_min_messages = warning;
SELECT profile->'workload'->>'note' FROM presplit.stored_profiles WHERE name = 'empty';

-- Who may read files of the server.
CREATE ROLE regress_log;
GRANT EXECUTE ON FUNCTION import_log TO regress_log;
SET ROLE regress_log;
SELECT tests.outcome($$SELECT import_log('presplit_test.json', 'jsonlog', 'mine')$$);
RESET ROLE;
GRANT pg_read_server_files TO regress_log;
SET ROLE regress_log;
SELECT import_log('presplit_test.json', 'jsonlog', 'mine');
SELECT tests.outcome($$SELECT import_log('presplit_test.json', 'jsonlog', 'log')$$);
RESET ROLE;
DROP OWNED BY regress_log;
DROP ROLE regress_log;
DROP SCHEMA work CASCADE;
CALL tests.forget();
