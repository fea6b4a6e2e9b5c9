--
-- Shards that are made later, by hand: PostgreSQL passes on what the table
-- has; what only its shards have they get from the other shards.
--
\a
\t on
SET client_min_messages = warning;
CREATE ROLE regress_later_owner;
CREATE ROLE regress_later_member IN ROLE regress_later_owner;
CREATE ROLE regress_later_reader;
CREATE SCHEMA later;
GRANT ALL ON SCHEMA later TO regress_later_owner, regress_later_member;
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO regress_later_reader;
CREATE FUNCTION later.lacking(relation regclass) RETURNS SETOF text LANGUAGE sql SET search_path = public, pg_catalog AS
$$SELECT concat_ws(' | ', severity, object, problem, remedy) FROM check_shards(relation) WHERE remedy !~ '^ANALYZE|VALIDATE' AND object <> 'pg_presplit worker'$$;
CREATE TABLE later.t (id int NOT NULL, at date NOT NULL, a int, b text, c jsonb, during int4range);
SET presplit.unique_policy = 'per_shard';
SELECT register_proposal('later.t', 'range', '{at}', '{"interval": "1 month", "from": "2024-01-01", "to": "2024-04-01", "default": false}');
RESET presplit.unique_policy;
DROP TABLE later.t;
SELECT DISTINCT state FROM create_shards(1);
CREATE TABLE later.t (id int NOT NULL, at date NOT NULL, a int, b text, c jsonb, during int4range)
    WITH (fillfactor = 70, toast.autovacuum_enabled = false);
ALTER TABLE later.t OWNER TO regress_later_owner;
INSERT INTO later.t (id, at, a) VALUES (1, '2024-01-01', 1);
ALTER TABLE ONLY later.t ALTER b SET STATISTICS 300;
ALTER TABLE ONLY later.t ALTER b SET COMPRESSION pglz;
ALTER TABLE ONLY later.t ALTER c SET STORAGE EXTERNAL;
ALTER TABLE ONLY later.t ADD CONSTRAINT t_a_key UNIQUE (a) INCLUDE (b);
ALTER TABLE ONLY later.t ADD CONSTRAINT t_during EXCLUDE USING gist (during WITH &&);
CREATE UNIQUE INDEX t_lower ON later.t (lower(b)) WHERE b <> '';
CREATE UNIQUE INDEX t_id ON later.t (id);
COMMENT ON CONSTRAINT t_a_key ON later.t IS 'it''s one';
COMMENT ON INDEX later.t_lower IS 'another';
ALTER TABLE later.t CLUSTER ON t_id;
ALTER TABLE ONLY later.t REPLICA IDENTITY USING INDEX t_id;
SELECT tests.anatomy('later.t_s0001');
SELECT later.lacking('later.t');

-- Made by hand: like the others, with a line in the report.
CREATE TABLE later.t_april PARTITION OF later.t FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
SELECT tests.anatomy('later.t_april');
SELECT relacl::text ~ 'reader' AS granted FROM pg_class WHERE oid = 'later.t_april'::regclass;
SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conrelid = 'later.t_april'::regclass AND contype = 'u';
SELECT obj_description('later.t_lower_s0004'::regclass, 'pg_class');
SELECT later.lacking('later.t');
SELECT original, executed, note FROM presplit.restore_report WHERE note LIKE '%other shards%';
-- What the statement itself says stays.
CREATE TABLE later.t_may PARTITION OF later.t FOR VALUES FROM ('2024-05-01') TO ('2024-06-01') WITH (fillfactor = 50);
SELECT reloptions FROM pg_class WHERE oid = 'later.t_may'::regclass;
-- One that is there is nobody's business; a partition of another table neither.
CREATE TABLE IF NOT EXISTS later.t_may PARTITION OF later.t FOR VALUES FROM ('2024-05-01') TO ('2024-06-01');
CREATE TABLE later.other (id int) PARTITION BY LIST (id);
CREATE TABLE later.other_1 PARTITION OF later.other DEFAULT;
SELECT reloptions FROM pg_class WHERE oid = 'later.other_1'::regclass;
SELECT count(*) FROM presplit.restore_report WHERE note LIKE '%other shards%';

-- By a member of the owner, and by one who cannot give it away.
SET ROLE regress_later_member;
CREATE TABLE later.t_june PARTITION OF later.t FOR VALUES FROM ('2024-06-01') TO ('2024-07-01');
RESET ROLE;
SELECT pg_get_userbyid(relowner), relreplident FROM pg_class WHERE oid = 'later.t_june'::regclass;
REVOKE ALL ON SCHEMA later FROM regress_later_owner;
GRANT USAGE ON SCHEMA later TO regress_later_owner;
SET ROLE regress_later_member;
CREATE TABLE later.t_july PARTITION OF later.t FOR VALUES FROM ('2024-07-01') TO ('2024-08-01');
RESET ROLE;
SELECT pg_get_userbyid(relowner), relreplident FROM pg_class WHERE oid = 'later.t_july'::regclass;
SELECT later.lacking('later.t');
DROP TABLE later.t_july;
GRANT ALL ON SCHEMA later TO regress_later_owner;

-- Within a transaction that is rolled back, nothing stays.
BEGIN;
CREATE TABLE later.t_august PARTITION OF later.t FOR VALUES FROM ('2024-08-01') TO ('2024-09-01');
ROLLBACK;
SELECT count(*) FROM presplit.restore_report WHERE note LIKE '%other shards%';

-- Switched off, and attached: check_shards says what is lacking, and how to mend it.
SET presplit.restore_hook = off;
CREATE TABLE later.t_august PARTITION OF later.t FOR VALUES FROM ('2024-08-01') TO ('2024-09-01');
SELECT later.lacking('later.t');
DROP TABLE later.t_august;
RESET presplit.restore_hook;
CREATE UNLOGGED TABLE later.x (LIKE later.t INCLUDING DEFAULTS);
ALTER TABLE later.t ATTACH PARTITION later.x FOR VALUES FROM ('2024-09-01') TO ('2024-10-01');
SELECT later.lacking('later.t');
SELECT remedy FROM check_shards('later.t') WHERE object = 'later.x' \gexec
SELECT remedy FROM check_shards('later.t') WHERE object = 'later.x' \gexec
SELECT later.lacking('later.t');
SELECT tests.anatomy('later.x');
-- What one shard has of its own is not asked of the others.
CREATE INDEX ON later.t_s0002 (b);
ALTER TABLE later.t_s0002 SET (autovacuum_enabled = false);
GRANT SELECT ON later.t_s0002 TO regress_later_reader;
SELECT later.lacking('later.t');
DROP TABLE later.t;
DROP TABLE later.other;

-- Two levels: a branch, and a shard of it; unlogged.
CREATE TABLE later.l (id int NOT NULL, at date NOT NULL);
SELECT register_proposal('later.l', 'range_hash', '{at,id}', '{"interval": "1 month", "from": "2024-01-01", "to": "2024-03-01", "modulus": 2, "default": false}');
DROP TABLE later.l;
SELECT DISTINCT state FROM create_shards(2);
CREATE UNLOGGED TABLE later.l (id int NOT NULL, at date NOT NULL) WITH (fillfactor = 80);
ALTER TABLE ONLY later.l ADD CONSTRAINT l_pkey PRIMARY KEY (id, at);
ALTER TABLE ONLY later.l REPLICA IDENTITY USING INDEX l_pkey;
ALTER TABLE later.l OWNER TO regress_later_owner;
CREATE TABLE later.l_march PARTITION OF later.l FOR VALUES FROM ('2024-03-01') TO ('2024-04-01') PARTITION BY HASH (id);
CREATE TABLE later.l_march_1 PARTITION OF later.l_march FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE later.l_march_2 PARTITION OF later.l_march FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT tests.anatomy('later.l_march');
SELECT later.lacking('later.l');
DROP TABLE later.l;

-- A foreign key that rows violate is on each shard before 18, and on the table from then on.
CREATE TABLE later.r (id int PRIMARY KEY);
CREATE TABLE later.f (id int NOT NULL, r int);
SELECT register_proposal('later.f', 'list', '{id}', '{"lists": [["1"], ["2"]], "default": false}');
DROP TABLE later.f;
SELECT DISTINCT state FROM create_shards(3);
CREATE TABLE later.f (id int NOT NULL, r int);
INSERT INTO later.f VALUES (1, 1);
ALTER TABLE ONLY later.f ADD CONSTRAINT f_r FOREIGN KEY (r) REFERENCES later.r NOT VALID;
CREATE TABLE later.f_3 PARTITION OF later.f FOR VALUES IN (3);
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'later.f_3'::regclass AND contype = 'f';
SELECT later.lacking('later.f');

DROP SCHEMA later CASCADE;
ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM regress_later_reader;
CALL tests.forget();
DROP ROLE regress_later_owner, regress_later_member, regress_later_reader;
