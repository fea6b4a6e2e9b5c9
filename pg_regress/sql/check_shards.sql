--
-- check_shards: each finding provoked, and gone when its remedy was taken.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA checks;
CREATE ROLE regress_check_owner;
CREATE ROLE regress_check_other;
GRANT ALL ON SCHEMA checks TO regress_check_owner, regress_check_other;
-- The worker may or may not run.
CREATE FUNCTION checks.findings(r regclass DEFAULT NULL) RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC
    SELECT concat_ws(' | ', f.severity, f.object, f.problem, f.remedy) FROM check_shards(r) AS f WHERE f.object <> 'pg_presplit worker';
END;
SELECT checks.findings();
CREATE TABLE checks.t (id int, at date NOT NULL DEFAULT '2026-01-01', note text);
CREATE TABLE checks.u (id int);
SELECT register_proposal('checks.t', 'range', '{id}', '{"split_points": ["0", "10"], "default": true}');
SELECT register_proposal('checks.u', 'list', '{id}', '{"lists": [["1"]]}');
-- Armed, and not there yet.
DROP TABLE checks.u;
SELECT shard FROM create_shards(2);
SELECT checks.findings();
-- Renamed into place without the hook, a whole table goes past the guard.
CREATE TABLE checks.late (id int);
ALTER TABLE checks.late RENAME TO u;
SET presplit.restore_hook = off;
ALTER TABLE checks.late RENAME TO u;
RESET presplit.restore_hook;
SELECT checks.findings();
DROP TABLE checks.u;
SELECT disarm('checks.u');
SELECT checks.findings();
-- Empty: nothing to say.
SELECT shard FROM create_shards(1);
SELECT checks.findings('checks.t');

-- An index on the table alone is not valid.
CREATE INDEX t_note ON ONLY checks.t (note);
CREATE UNIQUE INDEX t_id ON ONLY checks.t (id);
SELECT checks.findings('checks.t');
DROP INDEX checks.t_note;
DROP INDEX checks.t_id;
SELECT checks.findings('checks.t');

-- Owner and replica identity of the table alone, or of a shard alone.
ALTER TABLE checks.t OWNER TO regress_check_owner;
ALTER TABLE checks.t_s0002 OWNER TO regress_check_other;
ALTER TABLE checks.t_s0001 REPLICA IDENTITY FULL;
SELECT checks.findings('checks.t');
SELECT remedy FROM check_shards('checks.t') WHERE problem LIKE 'shard belongs%' \gexec
ALTER TABLE checks.t_s0001 REPLICA IDENTITY DEFAULT;
SELECT checks.findings('checks.t');

-- Constraints that were never checked.
ALTER TABLE checks.t ADD CONSTRAINT t_check CHECK (id < 1000) NOT VALID;
SELECT checks.findings('checks.t');
SELECT remedy FROM check_shards('checks.t') WHERE problem LIKE 'constraint%' AND object LIKE '%checks.t' \gexec
SELECT checks.findings('checks.t');

-- Publications that were made over the heads of the shards.
CREATE PUBLICATION regress_checks_schema FOR TABLES IN SCHEMA checks;
CREATE PUBLICATION regress_checks_all FOR ALL TABLES;
CREATE PUBLICATION regress_checks_table FOR TABLE checks.t;
CREATE PUBLICATION regress_checks_root FOR ALL TABLES WITH (publish_via_partition_root);
SELECT checks.findings('checks.t');
SELECT remedy FROM check_shards('checks.t') WHERE problem LIKE 'publication%' \gexec
SELECT checks.findings('checks.t');
DROP PUBLICATION regress_checks_schema, regress_checks_all, regress_checks_table, regress_checks_root;

-- Rows outside all ranges, and statistics.
INSERT INTO checks.t VALUES (1), (NULL);
SELECT checks.findings('checks.t');
SELECT remedy FROM check_shards('checks.t') WHERE problem LIKE 'table was never%' \gexec
SELECT checks.findings('checks.t');
DELETE FROM checks.t WHERE id IS NULL;
VACUUM checks.t;
SELECT checks.findings('checks.t');
TRUNCATE checks.t;
SELECT checks.findings('checks.t');

-- What a restore brought, counted since the table was made.
DROP TABLE checks.t;
SELECT DISTINCT state FROM create_shards(1);
CREATE TABLE checks.t (id int, at date NOT NULL DEFAULT '2026-01-01', note text);
COPY checks.t (id) FROM stdin;
1
2
\.
COPY checks.t (id) FROM stdin;
3
\.
SELECT checks.findings('checks.t');
DROP TABLE checks.t;
CREATE TABLE checks.t (id int, at date NOT NULL DEFAULT '2026-01-01', note text);
COPY checks.t (id) FROM stdin;
1
\.
ANALYZE checks.t;
SELECT checks.findings('checks.t');
SELECT checks.findings();
-- Tables that are not sharded, or not ours.
CREATE TABLE checks.plain (id int);
SELECT tests.outcome($$SELECT check_shards('checks.plain')$$);
SELECT tests.outcome($$SELECT check_shards('checks.t_s0001')$$);
CREATE VIEW checks.v AS SELECT 1;
SELECT tests.outcome($$SELECT check_shards('checks.v')$$);
SELECT tests.outcome($$SELECT check_shards('checks.nothing')$$);
SELECT tests.outcome($$SELECT check_shards(0)$$);

-- The view: shards with their bounds, rows and place.
SELECT relation, shard, bound, rows, bytes > 0 AS bytes, tablespace, state FROM presplit.shards ORDER BY shard::text;
SELECT sum(size_share) FROM presplit.shards;
DROP TABLE checks.t;
SELECT count(*) FROM presplit.shards;
SELECT checks.findings();

DROP SCHEMA checks CASCADE;
CALL tests.forget();
DROP ROLE regress_check_owner;
DROP ROLE regress_check_other;
