--
-- Uniqueness that does not include the shard key: what becomes of it is the
-- proposal's business, not that of the restoring session.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA policy;
CREATE TABLE policy.t (id int, k int, a text, b text, during int4range);
SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 2}');
SET presplit.unique_policy = 'extend';
SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 2}');
SET presplit.unique_policy = 'per_shard';
SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 2}');
RESET presplit.unique_policy;
-- The rule is already known when the proposal is made.
ALTER TABLE policy.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
SELECT tests.outcome($$SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 2}')$$);
SET presplit.unique_policy = 'extend';
SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 4}');
SET presplit.unique_policy = 'per_shard';
SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 4}');
SELECT unnest(warnings) FROM presplit.proposals WHERE proposal_id IN (4, 5);
RESET presplit.unique_policy;
DROP TABLE policy.t;

-- strict: refused, and nothing happened.
SELECT DISTINCT state FROM create_shards(1);
SET presplit.unique_policy = 'per_shard';
CREATE TABLE policy.t (id int NOT NULL, k int NOT NULL, a text, b text, during int4range);
SELECT tests.outcome('ALTER TABLE ONLY policy.t ADD CONSTRAINT t_pkey PRIMARY KEY (id)');
SELECT tests.outcome('ALTER TABLE ONLY policy.t ADD CONSTRAINT t_a_key UNIQUE (a)');
SELECT tests.outcome('ALTER TABLE ONLY policy.t ADD UNIQUE (a, b)');
SELECT tests.outcome('CREATE UNIQUE INDEX t_b_idx ON policy.t (b)');
SELECT tests.outcome('CREATE UNIQUE INDEX t_lower_idx ON policy.t (lower(b))');
SELECT tests.outcome('ALTER TABLE ONLY policy.t ADD CONSTRAINT t_excluded EXCLUDE USING gist (during WITH &&)');
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_k_key UNIQUE (k, id);
CREATE UNIQUE INDEX t_lower_idx ON policy.t (lower(b), k);
SELECT tests.anatomy('policy.t');
SELECT statement_kind, note FROM presplit.restore_report;
DROP TABLE policy.t;

-- extend: the key is appended.
SELECT DISTINCT state FROM create_shards(2);
SET presplit.unique_policy = 'strict';
CREATE TABLE policy.t (id int NOT NULL, k int NOT NULL, a text, b text, during int4range);
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_a_key UNIQUE (a) INCLUDE (b) DEFERRABLE;
CREATE UNIQUE INDEX t_b_idx ON policy.t (b DESC) INCLUDE (a) WHERE b <> '';
CREATE UNIQUE INDEX t_lower_idx ON policy.t (lower(b));
SELECT tests.outcome('ALTER TABLE ONLY policy.t ADD CONSTRAINT t_excluded EXCLUDE USING gist (during WITH &&)');
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_k_key UNIQUE (k, id);
SELECT tests.anatomy('policy.t');
SELECT statement_kind, note, executed FROM presplit.restore_report WHERE note LIKE '%extend%';
INSERT INTO policy.t (id, k) VALUES (1, 1), (1, 2);
INSERT INTO policy.t (id, k) VALUES (1, 1);
DROP TABLE policy.t;

-- per_shard: unique inside each shard, and it says so.
SELECT DISTINCT state FROM create_shards(3);
TRUNCATE presplit.restore_log;
CREATE TABLE policy.t (id int NOT NULL, k int NOT NULL, a text, b text, during int4range);
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_a_key UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b);
ALTER TABLE ONLY policy.t ADD UNIQUE (b, a);
CREATE UNIQUE INDEX t_b_idx ON policy.t (b DESC) INCLUDE (a) WHERE b <> '';
CREATE UNIQUE INDEX t_lower_idx ON policy.t (lower(b));
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_excluded EXCLUDE USING gist (during WITH &&) WHERE (id > 0);
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_k_key UNIQUE (k, id);
SELECT tests.anatomy('policy.t');
SELECT statement_kind, note, executed FROM presplit.restore_report WHERE note LIKE '%per_shard%';
DROP TABLE policy.t;

-- An empty table that is here obeys the policy too.
SELECT disarm('policy.t');
RESET presplit.unique_policy;
CREATE TABLE policy.t (id int NOT NULL, k int NOT NULL, a text, b text, during int4range);
ALTER TABLE policy.t ADD CONSTRAINT l PRIMARY KEY (id);
ALTER TABLE policy.t ADD CONSTRAINT "a)" UNIQUE (a) INCLUDE (b);
CREATE UNIQUE INDEX n ON policy.t (b DESC) INCLUDE (a) WHERE b <> ')';
CREATE UNIQUE INDEX "policy.t" ON policy.t (lower(b), (a || ')'));
SELECT tests.outcome('SELECT create_shards(1)');
BEGIN;
SELECT DISTINCT state FROM create_shards(2);
SELECT tests.anatomy('policy.t');
ROLLBACK;
ALTER TABLE policy.t ADD CONSTRAINT x EXCLUDE USING gist (during WITH &&) WHERE (id > 0);
SELECT DISTINCT state FROM create_shards(3);
SELECT tests.anatomy('policy.t');
DROP TABLE policy.t;

-- An exclusion that compares the shard key with = holds everywhere.
CREATE TABLE policy.t (id int, k int4range, during int4range);
SELECT register_proposal('policy.t', 'hash', '{k}', '{"modulus": 2}') AS by_range \gset
DROP TABLE policy.t;
SELECT DISTINCT state FROM create_shards(:by_range);
TRUNCATE presplit.restore_log;
CREATE TABLE policy.t (id int, k int4range, during int4range);
ALTER TABLE ONLY policy.t ADD CONSTRAINT t_excluded EXCLUDE USING gist (k WITH =, during WITH &&);
INSERT INTO policy.t VALUES (1, '[1,2)', '[1,5)'), (2, '[2,3)', '[1,5)');
SELECT count(*) FROM policy.t;
SELECT count(*) FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
WHERE c.relnamespace = 'policy'::regnamespace AND k.contype = 'x' AND c.relkind = 'r' AND k.convalidated;
SELECT statement_kind, count(*) FROM presplit.restore_report GROUP BY 1;
\set VERBOSITY sqlstate
INSERT INTO policy.t VALUES (3, '[2,3)', '[4,9)');
\set VERBOSITY default

DROP SCHEMA policy CASCADE;
CALL tests.forget();
