--
-- Never silently plain: what the hook does not rewrite, an event trigger
-- refuses, until the arming ends.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA guard;
CREATE TABLE guard.t (id int, note text);
SELECT register_proposal('guard.t', 'hash', '{id}', '{"modulus": 2}');
DROP TABLE guard.t;
SELECT DISTINCT state FROM create_shards(1);

SET presplit.restore_hook = off;
SELECT tests.outcome('CREATE TABLE guard.t (id int, note text)');
SELECT tests.outcome('CREATE UNLOGGED TABLE IF NOT EXISTS guard.t (id int, note text)');
SELECT tests.outcome('CREATE TABLE guard.t AS SELECT 1 AS id');
SELECT tests.outcome('SELECT 1 AS id INTO guard.t');
SELECT tests.outcome('CREATE VIEW guard.t AS SELECT 1 AS id');
SELECT tests.outcome('CREATE MATERIALIZED VIEW guard.t AS SELECT 1 AS id');
SELECT tests.outcome('CREATE MATERIALIZED VIEW guard.t AS SELECT 1 AS id WITH NO DATA');
CREATE FOREIGN DATA WRAPPER regress_wrapper;
CREATE SERVER regress_server FOREIGN DATA WRAPPER regress_wrapper;
SELECT tests.outcome('CREATE FOREIGN TABLE guard.t (id int) SERVER regress_server');
DROP SERVER regress_server;
DROP FOREIGN DATA WRAPPER regress_wrapper;
CREATE TABLE guard.parent (id int);
SELECT tests.outcome('CREATE TABLE guard.t () INHERITS (guard.parent)');
CREATE TABLE guard.partitioned (id int) PARTITION BY LIST (id);
SELECT tests.outcome('CREATE TABLE guard.t PARTITION OF guard.partitioned DEFAULT');
-- The schema and its table at once.
ALTER SCHEMA guard RENAME TO guard_before;
SELECT tests.outcome('CREATE SCHEMA guard CREATE TABLE t (id int, note text)');
SELECT nspname FROM pg_namespace WHERE nspname = 'guard';
ALTER SCHEMA guard_before RENAME TO guard;
-- Named by the search_path, and by nobody in particular.
SET search_path = guard;
SELECT tests.outcome('CREATE TABLE t (id int, note text)');
RESET search_path;
CREATE ROLE regress_guard_user;
GRANT ALL ON SCHEMA guard TO regress_guard_user;
SET ROLE regress_guard_user;
SELECT tests.outcome('CREATE TABLE guard.t (id int, note text)');
RESET ROLE;
SET session_replication_role = replica;
SELECT tests.outcome('CREATE TABLE guard.t (id int, note text)');
RESET session_replication_role;
-- A partitioned table of its own is not whole.
CREATE TABLE guard.t (id int) PARTITION BY LIST (id);
DROP TABLE guard.t;
-- Other names, and temporary tables of this one, are nobody's business.
CREATE TABLE guard.other (id int);
CREATE TEMP TABLE t (id int);
CREATE VIEW pg_temp.v AS SELECT 1;
DROP VIEW pg_temp.v;
DROP TABLE pg_temp.t, guard.other;
SELECT relname FROM pg_class WHERE relnamespace = 'guard'::regnamespace ORDER BY 1;
SELECT severity, object, problem, remedy FROM check_restore(1);

-- The event trigger does not look again at what the hook has looked at: other tables of this session. What an error
-- within leaves behind is not taken for such a look.
CREATE FUNCTION guard.tells() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% was looked at: %', tg_tag, presplit.is_looked_at();
END
$$;
CREATE EVENT TRIGGER regress_tells ON ddl_command_end EXECUTE FUNCTION guard.tells();
SET client_min_messages = notice;
CREATE TABLE guard.other (id int);
CREATE TEMP TABLE t AS SELECT 1 AS id;
CREATE VIEW guard.seen AS SELECT 1 AS id;
COMMENT ON VIEW guard.seen IS 'no relation comes of it';
CREATE SCHEMA guard_3 CREATE TABLE t (id int);
SELECT tests.outcome('CREATE TABLE guard.t (id int, note text)');
-- Nor is what was looked at before a table was armed.
CREATE FUNCTION guard.arms() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM create_shards(1);
    RETURN 1;
END
$$;
CREATE TABLE guard.late AS SELECT guard.arms() AS id;
CREATE TABLE guard.later AS SELECT 1 AS id;
SET client_min_messages = warning;
DROP EVENT TRIGGER regress_tells;
DROP TABLE guard.late, guard.later;
DROP SCHEMA guard_3 CASCADE;
CREATE FUNCTION guard.fails_in_vain() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE guard.other (id int);
EXCEPTION WHEN duplicate_table THEN
    RETURN 1;
END
$$;
SELECT tests.outcome('CREATE TABLE guard.t AS SELECT guard.fails_in_vain() AS id');
DROP VIEW guard.seen;
DROP TABLE pg_temp.t, guard.other;
SELECT presplit.is_looked_at();

-- A transaction that may only read is told so of the statement that was sent.
SET presplit.restore_hook = on;
BEGIN READ ONLY;
CREATE TABLE guard.t (id int, note text);
ROLLBACK;

-- The hook rewrites again, and an error does not keep it from doing so.
SET presplit.restore_hook = on;
SELECT tests.outcome('CREATE TABLE guard.t AS SELECT 1 AS id');
CREATE TABLE guard.t (id int, note nothing);
CREATE TABLE guard.t (id int, note text);
ALTER TABLE guard.t OWNER TO regress_nobody;
ALTER TABLE guard.t OWNER TO regress_guard_user;
SELECT tests.anatomy('guard.t');
DROP TABLE guard.t;
SELECT tests.outcome('CREATE SCHEMA guard_2 CREATE TABLE guard.t (id int, note text)');
ALTER SCHEMA guard RENAME TO guard_before;
CREATE SCHEMA guard CREATE TABLE t (id int, note text) CREATE INDEX t_note ON t (note);
SELECT tests.anatomy('guard.t');
DROP SCHEMA guard CASCADE;
ALTER SCHEMA guard_before RENAME TO guard;

-- A schema that is given another name moves its tables.
CREATE SCHEMA guard_4;
CREATE TABLE guard_4.t (id int, note text);
ALTER SCHEMA guard RENAME TO guard_before;
SELECT tests.outcome('ALTER SCHEMA guard_4 RENAME TO guard');
DROP TABLE guard_4.t;
SELECT tests.outcome('ALTER SCHEMA guard_4 RENAME TO guard');
DROP SCHEMA guard;
ALTER SCHEMA guard_before RENAME TO guard;

-- The extension is not dropped while a table waits for its restore, as pg_restore --clean would of a dump that has it.
SELECT tests.outcome('DROP EXTENSION IF EXISTS pg_presplit');
SELECT tests.outcome('DROP EXTENSION regress_nothing');
SELECT severity, object, problem, remedy FROM check_restore(1, schema_sql =>
    'CREATE EXTENSION IF NOT EXISTS pg_presplit WITH SCHEMA public; CREATE TABLE guard.t (id int, note text); COMMENT ON TABLE guard.t IS ''CREATE EXTENSION IF NOT EXISTS pg_presplit'';');
CREATE TABLE guard.t (id int, note text);
BEGIN;
DROP EXTENSION pg_presplit;
ROLLBACK;
DROP TABLE guard.t;

-- Errors pass as the server made them, for armed tables and others.
CREATE TABLE guard.plain (id int CONSTRAINT plain_check CHECK (id > 0));
INSERT INTO guard.plain VALUES (1);
COPY guard.plain FROM stdin;
1
one
\.
CREATE FUNCTION guard.named(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation text;
    named text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS relation = TABLE_NAME, named = CONSTRAINT_NAME;
    RETURN concat_ws(' ', SQLSTATE, relation, named);
END
$$;
SELECT guard.named('ALTER TABLE guard.plain ADD CONSTRAINT plain_2_check CHECK (id > 1)');
CREATE TABLE guard.t (id int, note text);
INSERT INTO guard.t VALUES (1);
SELECT guard.named('ALTER TABLE guard.t ADD CONSTRAINT t_check CHECK (id > 1)');
-- After each of them the hook looks on; one that is caught inside a rewritten
-- statement does not make it look back too soon.
SELECT guard.named('ALTER TABLE ONLY guard.t ADD CONSTRAINT t_pkey PRIMARY KEY (id), ADD CONSTRAINT t_check CHECK (id > 1)');
CREATE FUNCTION guard.fails_within() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 / 0;
EXCEPTION WHEN division_by_zero THEN
    NULL;
END
$$;
CREATE EVENT TRIGGER regress_fails_within ON ddl_command_end EXECUTE FUNCTION guard.fails_within();
DROP TABLE guard.t;
CREATE TABLE guard.t (id int, note text);
ALTER TABLE guard.t OWNER TO regress_guard_user;
ALTER TABLE ONLY guard.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
DROP EVENT TRIGGER regress_fails_within;
SELECT tests.anatomy('guard.t');
DROP TABLE guard.t, guard.plain;

-- Disarmed, the name is free.
SELECT disarm('guard.t');
SELECT state FROM presplit.proposals;
SET presplit.restore_hook = off;
CREATE TABLE guard.t (id int, note text);
DROP TABLE guard.t;
SET presplit.restore_hook = on;
CREATE TABLE guard.t (id int, note text);
SELECT relkind FROM pg_class WHERE oid = 'guard.t'::regclass;
DROP TABLE guard.t;
SELECT disarm('guard.t');

-- The arming ends by itself, counted from the last rewritten statement.
SELECT DISTINCT state FROM create_shards(1, valid_for => '1 hour');
SELECT table_name, valid_until > now() + interval '59 minutes' AS lasts FROM presplit.armed;
UPDATE presplit.armed_tables SET armed_at = armed_at - interval '50 minutes';
CREATE TABLE guard.t (id int, note text);
SELECT relkind FROM pg_class WHERE oid = 'guard.t'::regclass;
SELECT table_name, valid_until > now() + interval '59 minutes' AS lasts FROM presplit.armed;
DROP TABLE guard.t;
UPDATE presplit.armed_tables SET armed_at = armed_at - interval '50 minutes';
UPDATE presplit.restore_log SET at = at - interval '50 minutes';
CREATE TABLE guard.t (id int, note text);
SELECT relkind FROM pg_class WHERE oid = 'guard.t'::regclass;
DROP TABLE guard.t;
UPDATE presplit.armed_tables SET armed_at = armed_at - interval '61 minutes';
UPDATE presplit.restore_log SET at = at - interval '61 minutes';
SELECT table_name FROM presplit.armed;
SELECT state FROM presplit.proposals;
CREATE TABLE guard.t (id int, note text);
SELECT relkind FROM pg_class WHERE oid = 'guard.t'::regclass;
DROP TABLE guard.t;
-- A COPY may take longer than that: what it began in time, the rest of the restore goes on with.
SELECT DISTINCT state FROM create_shards(1, valid_for => '1 hour');
CREATE FUNCTION guard.two_hours() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE presplit.armed_tables SET armed_at = armed_at - interval '2 hours';
    UPDATE presplit.restore_log SET at = at - interval '2 hours';
    RETURN 'late';
END
$$;
CREATE TABLE guard.t (id int NOT NULL, note text DEFAULT guard.two_hours());
COPY guard.t (id) FROM stdin;
1
\.
SELECT table_name, valid_until > now() + interval '59 minutes' AS lasts FROM presplit.armed;
ALTER TABLE ONLY guard.t ADD PRIMARY KEY (id);
SELECT indisvalid FROM pg_index WHERE indrelid = 'guard.t'::regclass;
DROP TABLE guard.t;
-- So does whatever is restored of the other tables of the proposal, meanwhile.
SELECT DISTINCT state FROM create_shards(1, valid_for => '1 hour');
CREATE TABLE guard.t (id int NOT NULL, note text);
UPDATE presplit.armed_tables SET armed_at = armed_at - interval '2 hours';
UPDATE presplit.restore_log SET at = at - interval '2 hours';
SELECT count(*) FROM presplit.armed;
INSERT INTO presplit.restore_log (schema_name, table_name, proposal_id, statement_kind, original, executed, note, logged_by)
VALUES ('guard', 'other', 1, 'COPY', 'COPY guard.other FROM stdin', '', '', current_user);
SELECT table_name, valid_until > now() + interval '59 minutes' AS lasts FROM presplit.armed;
ALTER TABLE ONLY guard.t ADD PRIMARY KEY (id);
SELECT indisvalid FROM pg_index WHERE indrelid = 'guard.t'::regclass;
DROP TABLE guard.t;
SELECT DISTINCT state FROM create_shards(1, valid_for => '200 milliseconds');
SELECT pg_sleep(0.3);
CREATE TABLE guard.t (id int, note text);
SELECT relkind FROM pg_class WHERE oid = 'guard.t'::regclass;
DROP TABLE guard.t;

-- Armed again, by a later proposal: the earlier one is superseded.
CREATE TABLE guard.t (id int, note text);
SELECT register_proposal('guard.t', 'hash', '{id}', '{"modulus": 3}');
SELECT register_proposal('guard.t', 'hash', '{id}', '{"modulus": 4}');
DROP TABLE guard.t;
SELECT DISTINCT state FROM create_shards(2);
SELECT DISTINCT state FROM create_shards(3);
SELECT proposal_id, shard_count, state FROM presplit.proposals;
CREATE TABLE guard.t (id int, note text);
SELECT count(*) FROM presplit.shards WHERE relation = 'guard.t'::regclass;

DROP SCHEMA guard CASCADE;
CALL tests.forget();
DROP ROLE regress_guard_user;
