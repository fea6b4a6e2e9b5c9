--
-- Bad input: a clear error with SQLSTATE, detail and hint, and nothing changed.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE SCHEMA bad;
CREATE SCHEMA worse;
CREATE TABLE bad.t (id int PRIMARY KEY, at timestamptz);
CREATE TABLE bad.twice (id int);
CREATE TABLE worse.twice (id int);
CREATE VIEW bad.v AS SELECT id FROM bad.t;
CREATE MATERIALIZED VIEW bad.m AS SELECT 1 AS id;
CREATE SEQUENCE bad.s;
CREATE INDEX i ON bad.t (at);
CREATE TYPE bad.c AS (id int);
CREATE FOREIGN DATA WRAPPER regress_bad;
CREATE SERVER regress_bad FOREIGN DATA WRAPPER regress_bad;
CREATE FOREIGN TABLE bad.f (id int) SERVER regress_bad;
CREATE TABLE bad.p (id int) PARTITION BY LIST (id);
CREATE TABLE bad.p_1 PARTITION OF bad.p DEFAULT;
CREATE TABLE bad.parent (id int);
CREATE TABLE bad.heir () INHERITS (bad.parent);
CREATE TEMP TABLE temporary (id int);
SELECT register_proposal('bad.t', 'hash', '{id}', '{"modulus": 2}');
SELECT tests.contents();

-- Proposals that are not there.
SELECT tests.outcome('SELECT * FROM explain_proposal(9)');
SELECT tests.outcome($$SELECT choose_alternative(9, 'bad.t', 1)$$);
SELECT tests.outcome('SELECT * FROM proposal_ddl(9)');
SELECT tests.outcome('SELECT export_proposal(9)');
SELECT tests.outcome('SELECT * FROM check_restore(9)');
SELECT tests.outcome('SELECT * FROM create_shards(9)');
SELECT tests.outcome('SELECT * FROM create_shards(-1)');
SELECT tests.outcome($$SELECT * FROM create_shards(9, relations => '{bad.t}')$$);

-- Names that do not parse, do not exist, or mean several tables.
SELECT name || ': ' || string_agg(outcome, E'\n' ORDER BY line) FROM unnest(ARRAY['', ' ', '.', 'a.', '.a', 'a.b.c', 'a b', 'a"b', '"a', '""', 'a."', '1a', 'a;b', 'a--', 'bad.t,bad.t']) WITH ORDINALITY AS n (name, at)
CROSS JOIN LATERAL tests.outcome(format('SELECT register_proposal(%L, ''hash'', ''{id}'', ''{"modulus": 2}'')', name)) AS outcome
ORDER BY at, outcome DESC;
SELECT tests.outcome($$SELECT register_proposal('twice', 'hash', '{id}', '{"modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('nothing', 'hash', '{id}', '{"modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('bad.nothing', 'hash', '{id}', '{"modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('nowhere.t', 'hash', '{id}', '{"modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('BAD.T', 'hash', '{id}', '{"modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('"BAD".t', 'hash', '{id}', '{"modulus": 2}')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('twice')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('bad.nothing')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('a b')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('twice')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.nothing')$$);
SELECT tests.outcome($$SELECT disarm('a.b.c')$$);
SELECT tests.outcome($$SELECT disarm('twice')$$);
SELECT disarm('bad.nothing');
SELECT tests.outcome($$SELECT configure_shards('twice', '{}')$$);
SELECT tests.outcome($$SELECT configure_shards('a.b.c', '{}')$$);
SELECT tests.outcome($$SELECT configure_shards('bad.v', '{}')$$);
SELECT tests.outcome($$SELECT configure_shards('bad.t', '7')$$);
SELECT tests.outcome($$SELECT configure_shards('bad.t', 'null')$$);
SELECT tests.outcome($$SELECT capture_profile('{bad.nothing}')$$);
SELECT tests.outcome($$SELECT capture_profile('{bad.v}')$$);
SELECT tests.outcome($$SELECT capture_profile('{bad.t,bad.s}')$$);
SELECT tests.outcome($$SELECT capture_profile('{bad.i}')$$);
SELECT tests.outcome($$SELECT capture_profile('{0}')$$);
SELECT tests.outcome($$SELECT capture_profile('{NULL}')$$);

-- What is not an ordinary table of its own.
SELECT name || ': ' || string_agg(outcome, E'\n' ORDER BY line) FROM unnest(ARRAY['bad.v', 'bad.m', 'bad.s', 'bad.i', 'bad.c', 'bad.f', 'bad.p', 'bad.p_1', 'bad.parent', 'bad.heir', 'temporary',
                                       'pg_catalog.pg_class', 'information_schema.tables', 'presplit.stored_profiles', 'presplit.shards']) WITH ORDINALITY AS n (name, at)
CROSS JOIN LATERAL tests.outcome(format('SELECT register_proposal(%L, ''hash'', ''{id}'', ''{"modulus": 2}'')', name)) AS outcome
ORDER BY at, outcome DESC;
SELECT tests.outcome($$SELECT * FROM propose_shards('bad.v')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.s')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.v')$$);

-- Profiles.
SELECT tests.outcome($$SELECT import_profile('{}')$$);
SELECT tests.outcome($$SELECT import_profile('[]')$$);
SELECT tests.outcome($$SELECT import_profile('null')$$);
SELECT tests.outcome($$SELECT import_profile('"pg_presplit profile"')$$);
SELECT tests.outcome($$SELECT import_profile('not json')$$);
SELECT tests.outcome($$SELECT import_profile('{"format": "pg_presplit proposal", "version": 1}')$$);
SELECT tests.outcome($$SELECT import_profile('{"format": "pg_presplit profile"}')$$);
SELECT tests.outcome($$SELECT import_profile('{"format": "pg_presplit profile", "version": 3}')$$);
SELECT tests.outcome($$SELECT import_profile('{"format": "pg_presplit profile", "version": "1"}')$$);
SELECT tests.outcome($$SELECT import_profile('{"format": "pg_presplit profile", "version": 1}')$$);
SELECT capture_profile('{bad.t}') AS profile \gset
CREATE FUNCTION bad.damaged(path text, value text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT tests.outcome(format('SELECT import_profile(%L)', jsonb_set(capture_profile('{bad.t}'), path::text[], value::jsonb)))
$$;
SELECT bad.damaged('{captured_at}', '"yesterday"');
SELECT bad.damaged('{tables}', '{}');
SELECT bad.damaged('{tables,0,rows}', '-1');
SELECT bad.damaged('{tables,0,rows}', '"many"');
SELECT bad.damaged('{tables,0,columns,0}', '7');
SELECT bad.damaged('{tables,0,columns,1,name}', '"id"');
SELECT bad.damaged('{tables}', (SELECT jsonb_build_array(t, t)::text FROM (SELECT :'profile'::jsonb->'tables'->0 AS t) AS x));
SELECT bad.damaged('{workload,statements}', '{}');
SELECT tests.outcome(format('SELECT import_profile(%L, %L)', :'profile', ''));
SELECT tests.outcome(format('SELECT import_profile(%L, %L)', :'profile', repeat('x', 201)));
SELECT tests.outcome($$SELECT * FROM propose_shards(profile => 'nothing')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards(profile => '')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.t', profile => 'nothing')$$);
SELECT tests.outcome($$SELECT * FROM analyze_workload('nothing')$$);
SELECT tests.outcome($$SELECT * FROM workload_coverage('nothing')$$);
-- Without pg_stat_statements there is no workload, and the profile says so.
SELECT jsonb_path_query(:'profile'::jsonb, '$.workload.note'), jsonb_path_query(:'profile'::jsonb, '$.workload.source');

-- Arming.
DROP VIEW bad.v;
DROP TABLE bad.t;
SELECT tests.outcome($$SELECT * FROM create_shards(1, target => 'citus')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, target => 'moon')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, target => '')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, target => 'Local')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, valid_for => '0')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, valid_for => '-1 day')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, valid_for => '1 month -30 days')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, valid_for => '101 years')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, valid_for => '178000000 years')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, relations => '{a b}')$$);
SELECT tests.outcome($$SELECT * FROM create_shards(1, relations => '{twice}')$$);

-- Dumps.
SELECT tests.outcome($$SELECT * FROM check_restore(1, archive => '/x', schema_sql => 'x')$$);
SELECT tests.outcome($$SELECT * FROM check_restore(1, archive => '/nonexistent/app.dump')$$);
SELECT tests.outcome($$SELECT * FROM check_restore(1, archive => '')$$);
SELECT tests.outcome(format('SELECT * FROM check_restore(1, archive => %L)', '/dev/null'));
SELECT regexp_replace(outcome, '"/.*/', '"') FROM tests.outcome(format('SELECT * FROM check_restore(1, archive => %L)', current_setting('data_directory'))) AS outcome;
SELECT regexp_replace(outcome, '"/.*/', '"') FROM tests.outcome(format('SELECT * FROM check_restore(1, archive => %L)', current_setting('data_directory') || '/PG_VERSION')) AS outcome;
SELECT severity, object, problem FROM check_restore(1, schema_sql => 'this is not SQL');
SELECT severity, object, problem FROM check_restore(1, schema_sql => '');
SELECT severity, object, problem FROM check_restore(1, schema_sql => 'CREATE TABLE bad.t (x int);');
SELECT severity, object, problem FROM check_restore(1, schema_sql => 'CREATE VIEW bad.t AS SELECT 1;');
SELECT severity, object, problem, remedy FROM check_restore(1, schema_sql => 'CREATE TABLE bad.t (id int); ALTER TABLE ONLY bad.t ADD CONSTRAINT t_pkey PRIMARY KEY (id); ALTER TABLE ONLY bad.t ADD UNIQUE (at); CREATE TABLE other (id int); ALTER TABLE bad.t OWNER TO x;');

-- Series.
SELECT tests.outcome($$SELECT * FROM forecast_series('{}', '{}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01}', '{}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,NULL}', '{1,2}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1,NULL}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1,NaN}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1,Infinity}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,infinity}', '{1,2}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{-infinity,2026-01-02}', '{1,2}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1,2}', '-1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1,2}', '0')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-02}', '{1,2}', '100000000 years')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{{2026-01-01,2026-01-02},{2026-01-01,2026-01-02}}', '{1,2}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{4713-01-01 BC,294276-01-01}', '{1,2}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM forecast_series('{2026-01-01,2026-01-01}', '{1,2}', '1 day')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.twice', '-1 day')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.twice', '0')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('bad.twice', horizon => '-90 days')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.twice', '100000000 years')$$);
SELECT tests.outcome($$SELECT * FROM predict_growth('bad.twice', '178000000 years')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('bad.twice', horizon => '178000000 years')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('bad.twice', horizon => '-178000000 years')$$);
SELECT tests.outcome($$SELECT * FROM propose_shards('bad.twice', horizon => '101 years')$$);

-- Nulls where nothing else is meant by them: an error in every function.
SELECT call || ': ' || string_agg(outcome, E'\n' ORDER BY line) FROM unnest(ARRAY[
    'import_profile(NULL)', 'import_profile(NULL, NULL)', $$import_profile('{}', NULL)$$, 'predict_growth(NULL)', $$predict_growth('bad.twice', NULL)$$,
    $$forecast_series(NULL, '{1}', '1 day')$$, $$forecast_series('{2026-01-01}', '{1}', NULL)$$, 'propose_shards(NULL, NULL, NULL)',
    'explain_proposal(NULL)', $$choose_alternative(NULL, 't', 1)$$, 'choose_alternative(1, NULL, 1)', $$choose_alternative(1, 'bad.t', NULL)$$,
    'proposal_ddl(NULL)', 'export_proposal(NULL)', 'import_proposal(NULL)', $$register_proposal(NULL, 'hash', '{id}', '{}')$$,
    $$register_proposal('bad.twice', NULL, '{id}', '{}')$$, $$register_proposal('bad.twice', 'hash', NULL, '{}')$$,
    $$register_proposal('bad.twice', 'hash', '{id}', NULL)$$, 'check_restore(NULL)', 'create_shards(NULL)', 'create_shards(1, NULL)',
    'create_shards(1, replace => NULL)', 'create_shards(1, valid_for => NULL)', 'disarm(NULL)', $$configure_shards(NULL, '{}')$$,
    $$configure_shards('bad.twice', NULL)$$, 'restore_script(NULL, NULL)', $$restore_script(1, NULL)$$, 'declare_workload(NULL)', $$declare_workload('[]', NULL)$$,
    'import_log(NULL)', $$import_log('/x', NULL)$$, 'profile_backup(NULL)', 'proposal_evidence(NULL)']) WITH ORDINALITY AS c (call, at)
CROSS JOIN LATERAL tests.outcome('SELECT ' || call) WITH ORDINALITY AS o (outcome, line)
GROUP BY at, call ORDER BY at;

-- Before any work: a transaction that may only read.
BEGIN READ ONLY;
SELECT call || ': ' || string_agg(outcome, E'\n' ORDER BY line) FROM unnest(ARRAY[
    $$import_profile('{}')$$, 'propose_shards(NULL)', $$choose_alternative(9, 't', 1)$$, $$import_proposal('{}')$$, $$register_proposal('nothing', 'x', '{}', '7')$$,
    'create_shards(9)', $$disarm('nothing')$$, $$configure_shards('nothing', '7')$$, $$declare_workload('7')$$, $$import_log('/x')$$, $$profile_backup('/x')$$,
    'calibrate()', $$explain_proposal(9)$$]) WITH ORDINALITY AS c (call, at)
CROSS JOIN LATERAL tests.outcome('SELECT ' || call) WITH ORDINALITY AS o (outcome, line)
GROUP BY at, call ORDER BY at;
COMMIT;

-- What nobody shards is refused as what it is, also without its schema, and has no settings.
CREATE VIEW bad.v AS SELECT 1 AS id;
SELECT name || ': ' || string_agg(outcome, E'\n' ORDER BY line) FROM unnest(ARRAY['pg_class', 'temporary', 'pg_temp.temporary', 'pg_catalog.nothing', 'information_schema.tables',
    'presplit.shards', 'bad.v', 'v', 'bad.m', 'bad.f', 'bad.p_1', 'bad.s', 'bad.twice', 'bad.not_yet']) WITH ORDINALITY AS n (name, at)
CROSS JOIN LATERAL tests.outcome(format('SELECT configure_shards(%L, ''{"undo": true}'')', name)) WITH ORDINALITY AS o (outcome, line)
GROUP BY at, name ORDER BY at;
SELECT name || ': ' || string_agg(outcome, E'\n' ORDER BY line) FROM unnest(ARRAY['pg_class', 'temporary', 'pg_temp.temporary', 'pg_temp.nothing']) WITH ORDINALITY AS n (name, at)
CROSS JOIN LATERAL tests.outcome(format('SELECT register_proposal(%L, ''hash'', ''{id}'', ''{"modulus": 2}'')', name)) WITH ORDINALITY AS o (outcome, line)
GROUP BY at, name ORDER BY at;

SELECT tests.contents();

DROP SCHEMA bad CASCADE;
DROP SCHEMA worse CASCADE;
DROP SERVER regress_bad;
DROP FOREIGN DATA WRAPPER regress_bad;
CALL tests.forget();
