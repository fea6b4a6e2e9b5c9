--
-- Privileges: a powerless role tries everything; owners, members of the
-- database owner's role and readers get what is theirs, and a user's own
-- objects change nothing of what ours mean.
--
\a
\t on
SET client_min_messages = warning;
CREATE ROLE regress_powerless;
CREATE ROLE regress_owner;
CREATE ROLE regress_second;
CREATE ROLE regress_reader IN ROLE pg_read_all_data;
CREATE ROLE regress_database_owner;
CREATE ROLE regress_member IN ROLE regress_database_owner;
CREATE SCHEMA priv;
GRANT USAGE ON SCHEMA priv TO PUBLIC;
GRANT CREATE ON SCHEMA priv TO regress_owner, regress_member;
CREATE TABLE priv.t (id int PRIMARY KEY, note text);
ALTER TABLE priv.t OWNER TO regress_owner;
SELECT register_proposal('priv.t', 'hash', '{id}', '{"modulus": 2}') AS of_superuser \gset
SELECT export_proposal(:of_superuser) AS exported \gset
SELECT capture_profile('{priv.t}') AS profile \gset
SELECT import_profile(:'profile', 'of_superuser');

-- Every function of the extension, as a role that may do nothing. A subquery
-- is not folded away, so that the right is looked at even if the function
-- returns null for null.
CREATE TEMP TABLE calls AS
SELECT p.oid::regprocedure::text AS function,
       format('SELECT %I.%I(%s)', p.pronamespace::regnamespace, p.proname,
              (SELECT string_agg(format('(SELECT NULL::%s)', format_type(t, NULL)), ', ') FROM unnest(p.proargtypes) AS t)) AS call
FROM pg_depend AS d
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e';
GRANT SELECT ON calls TO PUBLIC;
SET ROLE regress_powerless;
SELECT function, outcome FROM calls CROSS JOIN LATERAL tests.outcome(call) AS outcome ORDER BY function;
-- What may be called shows nothing of others.
SELECT jsonb_path_query(capture_profile('{priv.t}'), '$.tables[*].table');
SELECT jsonb_path_query(capture_profile('{priv.t}'), '$.hidden_statistics_of');
SELECT tests.outcome('SELECT * FROM explain_proposal(1)');
SELECT tests.outcome('SELECT * FROM proposal_ddl(1)');
SELECT tests.outcome('SELECT export_proposal(1)');
SELECT tests.outcome($$SELECT * FROM predict_growth('priv.t', profile => 'of_superuser')$$);
SELECT tests.outcome($$SELECT * FROM workload_coverage('of_superuser')$$);
SELECT count(*) FROM check_shards() WHERE severity = 'error';
-- Each relation: what goes through.
SELECT c.oid::regclass AS relation,
       coalesce(string_agg(w.what, ', ' ORDER BY w.at) FILTER (WHERE o.outcome = 'no error'), 'nothing') AS allowed,
       string_agg(DISTINCT left(o.outcome, 5), ', ') FILTER (WHERE o.outcome <> 'no error') AS refused
FROM pg_class AS c
CROSS JOIN (VALUES (1, 'read', 'SELECT count(*) FROM %s'), (2, 'insert', 'INSERT INTO %s DEFAULT VALUES'), (3, 'delete', 'DELETE FROM %s'),
                   (4, 'truncate', 'TRUNCATE %s'), (5, 'lock', 'LOCK %s IN EXCLUSIVE MODE'),
                   (6, 'own', 'ALTER TABLE %s OWNER TO regress_powerless'), (7, 'index', 'CREATE INDEX ON %s ((1))')) AS w (at, what, statement)
CROSS JOIN LATERAL (SELECT o AS outcome FROM tests.outcome(format(w.statement, c.oid::regclass)) AS o LIMIT 1) AS o
WHERE c.relnamespace = 'presplit'::regnamespace AND (c.relkind = 'r' OR c.relkind = 'v' AND w.at IN (1, 5, 6))
GROUP BY c.oid ORDER BY c.oid::regclass::text;
SELECT tests.outcome('SELECT * FROM presplit.stored_profiles');
SELECT tests.outcome('SELECT * FROM presplit.statements');
SELECT tests.outcome($$SELECT nextval('presplit.stored_proposals_proposal_id_seq')$$);
SELECT tests.outcome('CREATE TABLE presplit.mine ()');
SELECT tests.outcome('CREATE VIEW presplit.mine AS SELECT 1');
SELECT tests.outcome('DROP EVENT TRIGGER presplit_never_silently_plain');
SELECT tests.outcome('ALTER EVENT TRIGGER presplit_never_silently_plain DISABLE');
SELECT tests.outcome('CREATE OR REPLACE FUNCTION presplit.refuse_unsharded() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$');
SELECT tests.outcome('DROP EXTENSION pg_presplit');
SELECT tests.outcome('SET presplit.restore_hook = off');
SELECT count(*) FROM presplit.proposals;
SELECT count(*) FROM presplit.restore_report;
SELECT count(*) FROM presplit.settings;
RESET ROLE;

-- EXECUTE granted, and nothing else: not the owner of the table, not of the
-- database, not the creator of the proposal.
GRANT EXECUTE ON FUNCTION import_profile, propose_shards, choose_alternative, import_proposal, register_proposal, check_restore,
    create_shards, disarm, configure_shards TO regress_powerless, regress_owner, regress_second, regress_reader, regress_member;
SET ROLE regress_powerless;
SELECT tests.outcome('SELECT * FROM create_shards(1)');
SELECT tests.outcome($$SELECT choose_alternative(1, 'priv.t', 2)$$);
SELECT tests.outcome('SELECT * FROM check_restore(1)');
SELECT tests.outcome($$SELECT disarm('priv.t')$$);
SELECT tests.outcome($$SELECT configure_shards('priv.t', '{}')$$);
SELECT tests.outcome($$SELECT configure_shards('priv.later', '{}')$$);
SELECT tests.outcome(format('SELECT import_profile(%L, ''of_superuser'')', :'profile'));
SELECT import_proposal(:'exported') AS mine \gset
SELECT tests.outcome(format('SELECT * FROM create_shards(%s)', :mine));
SELECT tests.outcome(format('SELECT * FROM create_shards(%s, replace => true)', :mine));
SELECT tests.outcome(format('SELECT * FROM check_restore(%s, archive => ''/etc/passwd'')', :mine));
SELECT tests.outcome(format('SELECT * FROM check_restore(%s, archive => ''/nonexistent'')', :mine));
SELECT relation FROM presplit.proposals;
SELECT import_profile(:'profile', 'mine');
RESET ROLE;
-- Somebody else's are not there.
SET ROLE regress_second;
SELECT tests.outcome(format('SELECT * FROM proposal_ddl(%s)', :mine));
SELECT tests.outcome(format('SELECT import_profile(%L, ''mine'')', :'profile'));
SELECT tests.outcome($$SELECT * FROM workload_coverage('mine')$$);
SELECT count(*) FROM presplit.proposals;
RESET ROLE;
-- A role that may read all data sees them.
SET ROLE regress_reader;
SELECT count(*) FROM presplit.proposals;
SELECT count(*) FROM proposal_ddl(:mine);
SELECT count(*) FROM workload_coverage('mine');
SELECT count(*) FROM workload_coverage('of_superuser');
SELECT tests.outcome(format('SELECT * FROM create_shards(%s)', :mine));
RESET ROLE;

-- The owner of a table may divide it when it is here, but not arm it.
SET ROLE regress_owner;
SELECT configure_shards('priv.t', '{"expected_rows_per_day": 10}');
SELECT register_proposal('priv.t', 'hash', '{id}', '{"modulus": 3}') AS of_owner \gset
SELECT DISTINCT state FROM create_shards(:of_owner);
DROP TABLE priv.t;
SELECT tests.outcome(format('SELECT * FROM create_shards(%s)', :of_owner));
SELECT tests.outcome($$SELECT configure_shards('priv.t', '{"expected_rows_per_day": 10}')$$);
RESET ROLE;
-- A member of the database owner's role may.
ALTER DATABASE :DBNAME OWNER TO regress_database_owner;
SET ROLE regress_member;
SELECT tests.outcome(format('SELECT * FROM create_shards(%s)', :of_owner));
SELECT import_proposal(:'exported') AS of_member \gset
SELECT DISTINCT state FROM create_shards(:of_member);
SELECT configure_shards('priv.t', '{"expected_rows_per_day": 20}');
RESET ROLE;
-- Whoever restores: the armed table is his, and the log is his to read.
SET ROLE regress_owner;
CREATE TABLE priv.t (id int, note text);
SELECT statement_kind, note FROM presplit.restore_report;
SELECT tests.outcome($$SELECT disarm('priv.t')$$);
RESET ROLE;
SELECT tests.anatomy('priv.t');
SET ROLE regress_second;
SELECT statement_kind, note FROM presplit.restore_report;
SELECT relation, proposal_id = :of_member AS armed FROM presplit.armed CROSS JOIN LATERAL format('%I.%I', schema_name, table_name) AS relation;
SELECT relation FROM presplit.sharded;
SELECT tests.outcome('DROP TABLE priv.t');
SELECT tests.outcome('ALTER TABLE priv.t OWNER TO regress_second');
SELECT tests.outcome('TRUNCATE ONLY priv.t');
SELECT tests.outcome('ALTER TABLE ONLY priv.t SET (fillfactor = 10)');
SELECT tests.outcome('ALTER TABLE priv.t CLUSTER ON nothing');
SELECT tests.outcome('CREATE INDEX ON priv.t (note)');
RESET ROLE;
SELECT tests.anatomy('priv.t');
SET ROLE regress_member;
SELECT disarm('priv.t');
RESET ROLE;
ALTER DATABASE :DBNAME OWNER TO postgres;

-- Planted objects: what is ours is found by its full name, whatever the path.
CREATE SCHEMA planted;
GRANT ALL ON SCHEMA planted TO regress_owner;
DROP TABLE priv.t;
SELECT DISTINCT state FROM create_shards(:of_superuser);
SET ROLE regress_owner;
CREATE TABLE planted.log (what text);
CREATE FUNCTION planted.planted(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO planted.log VALUES (planted.what); RETURN true; EXCEPTION WHEN OTHERS THEN RETURN true; END $$;
CREATE FUNCTION planted.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT planted.planted('format')::text $$;
CREATE FUNCTION planted.format(text, name, name) RETURNS text LANGUAGE sql AS $$ SELECT planted.planted('format')::text $$;
CREATE FUNCTION planted.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT CASE WHEN planted.planted('clock') THEN 'infinity'::timestamptz END $$;
CREATE FUNCTION planted.pg_has_role(name, text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('has_role') $$;
CREATE FUNCTION planted.pg_has_role(text, text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('has_role') $$;
CREATE FUNCTION planted.quote_ident(text) RETURNS text LANGUAGE sql AS $$ SELECT planted.planted('quote_ident')::text $$;
CREATE FUNCTION planted.same(text, text) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('=') $$;
CREATE FUNCTION planted.same(name, name) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('=') $$;
CREATE FUNCTION planted.same(name, text) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('=') $$;
CREATE FUNCTION planted.same(bigint, bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('=') $$;
CREATE FUNCTION planted.same(oid, oid) RETURNS boolean LANGUAGE sql AS $$ SELECT planted.planted('=') $$;
CREATE OPERATOR planted.= (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.same);
CREATE OPERATOR planted.= (LEFTARG = name, RIGHTARG = name, FUNCTION = planted.same);
CREATE OPERATOR planted.= (LEFTARG = name, RIGHTARG = text, FUNCTION = planted.same);
CREATE OPERATOR planted.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = planted.same);
CREATE OPERATOR planted.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = planted.same);
CREATE OPERATOR planted.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = planted.same);
CREATE TABLE planted.pg_class AS SELECT 1 AS oid, 't'::name AS relname, 1 AS relnamespace, 'r'::"char" AS relkind;
CREATE TABLE planted.pg_namespace AS SELECT 1 AS oid, 'priv'::name AS nspname;
CREATE TABLE planted.armed AS SELECT 'nowhere'::name AS schema_name, 'nothing'::name AS table_name;
CREATE TABLE planted.stored_proposals (x int);
CREATE TEMP TABLE pg_class AS SELECT 1 AS oid, 't'::name AS relname, 1 AS relnamespace, 'r'::"char" AS relkind;
CREATE TEMP TABLE stored_proposals (x int);
CREATE TEMP TABLE armed_tables (x int);
CREATE FUNCTION pg_temp.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT planted.planted('temp')::text $$;
SET search_path = planted, pg_temp, pg_catalog, public;
SELECT count(*) FROM presplit.proposals;
SELECT count(*) FROM presplit.armed;
SELECT count(*) FROM presplit.shards;
SELECT count(*) FROM check_shards() WHERE severity OPERATOR(pg_catalog.=) 'error';
SELECT tests.outcome('SELECT export_proposal(1)');
SELECT tests.outcome('SELECT * FROM create_shards(1)');
SELECT tests.outcome($$SELECT disarm('priv.t')$$);
SELECT register_proposal('planted.armed', 'hash', '{schema_name}', '{"modulus": 2}') OPERATOR(pg_catalog.>) 0;
-- The hook and the guard too.
CREATE TABLE priv.t (id int, note text);
ALTER TABLE ONLY priv.t ADD PRIMARY KEY (id);
COPY priv.t FROM stdin;
1	x
\.
ALTER TABLE priv.t CLUSTER ON t_pkey;
RESET search_path;
RESET ROLE;
SELECT tests.anatomy('priv.t');
SET ROLE regress_owner;
DROP TABLE priv.t;
RESET ROLE;
SET presplit.restore_hook = off;
SET ROLE regress_owner;
SET search_path = planted, pg_temp, pg_catalog, public;
CREATE TABLE priv.t (id int, note text);
RESET search_path;
SELECT what FROM planted.log;
RESET ROLE;
-- A superuser with that path runs nothing planted either.
SET presplit.restore_hook = on;
SET search_path = planted, pg_catalog, public;
SELECT count(*) FROM presplit.proposals;
SELECT proposal_id OPERATOR(pg_catalog.>) 0 FROM propose_shards('planted.armed');
SELECT count(*) FROM check_restore(:of_superuser, schema_sql => 'CREATE TABLE priv.t (id int);');
CREATE TABLE priv.t (id int, note text);
SELECT count(*) FROM check_shards('priv.t') WHERE severity OPERATOR(pg_catalog.=) 'error';
SELECT disarm('priv.t');
RESET search_path;
SELECT what FROM planted.log;

-- Shards are created in the schema of their table, which the caller and the owner of the table must be free to do.
CREATE SCHEMA closed;
GRANT USAGE ON SCHEMA closed TO regress_owner;
CREATE TABLE closed."T" (id int);
ALTER TABLE closed."T" OWNER TO regress_owner;
SELECT register_proposal('closed."T"', 'hash', '{id}', '{"modulus": 2}') AS closed \gset
SELECT tests.outcome(format('SELECT create_shards(%s)', :closed));
GRANT CREATE ON SCHEMA closed TO regress_owner;
SELECT tests.outcome(format('SELECT create_shards(%s)', :closed));

DISCARD TEMP;
DROP SCHEMA closed CASCADE;
DROP SCHEMA planted CASCADE;
DROP SCHEMA priv CASCADE;
CALL tests.forget();
REVOKE ALL ON FUNCTION import_profile, propose_shards, choose_alternative, import_proposal, register_proposal, check_restore,
    create_shards, disarm, configure_shards FROM regress_powerless, regress_owner, regress_second, regress_reader, regress_member;
DROP ROLE regress_powerless, regress_owner, regress_second, regress_reader, regress_member, regress_database_owner;
