--
-- Two levels end to end: ranges and lists that are divided once more by hash,
-- registered, restored, checked and looked at.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE ROLE regress_levels_owner;
CREATE SCHEMA levels;
GRANT USAGE, CREATE ON SCHEMA levels TO regress_levels_owner;
CREATE TABLE levels.events (id bigint, tenant int, at timestamptz, note text);
CREATE TABLE levels.tenants (tenant int, id bigint, note text);
SELECT register_proposal('levels.events', 'range_hash', '{at,id}',
    '{"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01", "modulus": 2}') AS events \gset
SELECT register_proposal('levels.tenants', 'list_hash', '{tenant}',
    '{"lists": [["42"], ["7", null]], "sub": [{"of": 0, "shard_key": ["id"], "modulus": 3}, {"of": "default", "shard_key": ["tenant"], "modulus": 2}]}') AS tenants \gset
SELECT relation, strategy, shard_key, shard_count, reason FROM presplit.proposals ORDER BY 1;
SELECT s->>'name', s->>'of', s->>'of_bound', s->>'bound' FROM presplit.proposals CROSS JOIN jsonb_array_elements(shards) AS s ORDER BY 1;
-- The errors in full; all of them are cases of the pure tests.
SELECT tests.outcome($$SELECT register_proposal('levels.events', 'range_hash', '{at}', '{"split_points": [], "modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.events', 'range_hash', '{at,id}', '{"split_points": [], "modulus": 1}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.tenants', 'list_hash', '{tenant}', '{"lists": [["1"]], "sub": [{"of": 1, "shard_key": ["id"], "modulus": 2}]}')$$);
-- Values that only PostgreSQL can read, compare and tell apart.
CREATE TYPE levels.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE levels.typed (m levels.mood, i inet, s text COLLATE "C", b bool, d levels.mood[], id int);
SELECT register_proposal('levels.typed', 'list_hash', '{m}', '{"lists": [["sad"], ["happy", "ok"]], "sub": [{"of": 1, "shard_key": ["id"], "modulus": 2}]}') > 0;
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'list', '{m}', '{"lists": [["sad"], ["angry"]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'list', '{b}', '{"lists": [["true"], ["f"], ["yes"]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{i}', '{"split_points": ["10.0.0.0/8", "nowhere"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{i}', '{"split_points": ["10.0.0.9", "10.0.0.10"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range_hash', '{i,id}', '{"split_points": ["10.0.0.10", "10.0.0.9"], "modulus": 2}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{s}', '{"split_points": ["a", "B"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{s}', '{"split_points": ["B", "a"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{m}', '{"split_points": ["ok", "happy"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{m}', '{"split_points": ["happy", "ok"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('levels.typed', 'range', '{m,id}', '{"split_points": [["ok", 1], ["glad", 2]]}')$$);
DROP TABLE levels.typed;
-- There and back.
SELECT import_proposal(export_proposal(:events)) = :events AS events, import_proposal(export_proposal(:tenants)) = :tenants AS tenants,
       export_proposal(:events)->'version' AS version;
SELECT choose_alternative(:tenants, 'levels.tenants', 2) AS whole \gset
SELECT strategy FROM presplit.proposals WHERE proposal_id = :whole;
SELECT choose_alternative(:whole, 'levels.tenants', 2) AS again \gset
SELECT strategy, shard_count FROM presplit.proposals WHERE proposal_id = :again;
DROP TABLE levels.events, levels.tenants;

-- A dump as pg_restore sends it.
SELECT shard, bound, state FROM create_shards(:events);
SELECT shard, bound, state FROM create_shards(:tenants);
SELECT * FROM check_restore(:tenants, schema_sql => 'CREATE TABLE levels.tenants (tenant int, note text);');
CREATE TABLE levels.parents (id bigint PRIMARY KEY);
INSERT INTO levels.parents SELECT generate_series(1, 20);
CREATE UNLOGGED TABLE levels.events (id bigint NOT NULL, tenant int, at timestamptz NOT NULL, note text) WITH (fillfactor = '60');
ALTER TABLE levels.events OWNER TO regress_levels_owner;
CREATE TABLE levels.tenants (tenant int, id bigint NOT NULL, note text);
ALTER TABLE levels.tenants OWNER TO regress_levels_owner;
BEGIN;
TRUNCATE TABLE ONLY levels.events;
COPY levels.events (id, at) FROM stdin;
1	2026-01-15
2	2026-01-16
3	2026-02-15
4	2026-02-16
5	2026-02-17
6	2027-01-01
\.
COMMIT;
INSERT INTO levels.tenants SELECT t.tenant, n FROM unnest(ARRAY[42, 7, NULL, 1, 2, 3]) AS t (tenant), generate_series(1, 4) AS n;
SELECT tests.outcome('ALTER TABLE ONLY levels.events ADD CONSTRAINT events_pkey PRIMARY KEY (at)');
ALTER TABLE ONLY levels.events ADD CONSTRAINT events_pkey PRIMARY KEY (id, at);
ALTER TABLE levels.events CLUSTER ON events_pkey;
ALTER TABLE ONLY levels.events REPLICA IDENTITY USING INDEX events_pkey;
CREATE INDEX events_note ON levels.events USING btree (note);
ALTER TABLE ONLY levels.tenants ADD CONSTRAINT tenants_key UNIQUE (tenant, id);
ALTER TABLE ONLY levels.tenants ADD CONSTRAINT tenants_fkey FOREIGN KEY (id) REFERENCES levels.parents (id);
ALTER TABLE ONLY levels.tenants REPLICA IDENTITY FULL;
CREATE FUNCTION levels.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER fires BEFORE UPDATE ON levels.tenants FOR EACH ROW EXECUTE FUNCTION levels.fire();
ALTER TABLE levels.tenants DISABLE TRIGGER fires;
SELECT tests.anatomy('levels.events');
SELECT tests.anatomy('levels.tenants');
SELECT relation, statement_kind, note, executed FROM presplit.restore_report WHERE statement_kind <> 'COPY';
SELECT count(*) AS invalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
WHERE c.relnamespace = 'levels'::regnamespace AND NOT i.indisvalid;
-- Every row is where its bounds say.
SELECT tableoid::regclass, id, at FROM levels.events ORDER BY id;
SELECT tableoid::regclass, tenant, count(*) FROM levels.tenants GROUP BY 1, 2 ORDER BY 1, 2;
ANALYZE levels.events;
ANALYZE levels.tenants;
SELECT severity, object, problem FROM check_shards() WHERE object <> 'pg_presplit worker';
-- A DEFAULT that is divided is meant to have rows; owners are looked at on both levels.
ALTER TABLE levels.events_b0001 OWNER TO CURRENT_USER;
SELECT severity, object, problem, remedy FROM check_shards('levels.events') WHERE severity = 'error';
SELECT remedy FROM check_shards('levels.events') WHERE severity = 'error' \gexec
SELECT count(*) FROM check_shards('levels.events') WHERE severity = 'error';
SELECT relation, shard, bound, state FROM presplit.shards ORDER BY shard::text;
SELECT count(DISTINCT size_share > 0), round(sum(size_share)) FROM presplit.shards WHERE relation = 'levels.tenants'::regclass;

-- per_shard: on the leaves alone.
DROP TABLE levels.events;
SELECT disarm('levels.events');
SET presplit.unique_policy = 'per_shard';
CREATE TABLE levels.events (id bigint, tenant int, at timestamptz, note text);
SELECT register_proposal('levels.events', 'range_hash', '{at,id}', '{"split_points": ["2026-01-01"], "modulus": 2, "default": false}') AS loose \gset
RESET presplit.unique_policy;
DROP TABLE levels.events;
SELECT DISTINCT state FROM create_shards(:loose);
CREATE TABLE levels.events (id bigint NOT NULL, tenant int, at timestamptz NOT NULL, note text);
ALTER TABLE ONLY levels.events ADD CONSTRAINT events_pkey PRIMARY KEY (id);
SELECT tests.anatomy('levels.events');

-- A name of a branch that is taken.
DROP TABLE levels.events;
CREATE TABLE levels.events_b0002 ();
SELECT severity, object, problem FROM check_restore(:loose);
SELECT tests.outcome('CREATE TABLE levels.events (id bigint NOT NULL, tenant int, at timestamptz NOT NULL, note text)');

DROP SCHEMA levels CASCADE;
CALL tests.forget();
DROP ROLE regress_levels_owner;
