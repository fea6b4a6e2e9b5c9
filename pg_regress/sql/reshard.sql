--
-- Splitting, merging and moving shards: what the plans say, and what is refused.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE SCHEMA re;
CREATE ROLE regress_re_owner;
CREATE ROLE regress_re_other;
GRANT USAGE, CREATE ON SCHEMA re TO regress_re_owner;
GRANT USAGE ON SCHEMA re TO regress_re_other;
GRANT EXECUTE ON FUNCTION split_shard, merge_shards, move_shard TO regress_re_owner, regress_re_other;
SET ROLE regress_re_owner;

CREATE TABLE re.r (id bigint PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE re.r_s0001 PARTITION OF re.r FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE re.r_s0002 PARTITION OF re.r FOR VALUES FROM (100) TO (200);
CREATE TABLE re.r_s0003 PARTITION OF re.r FOR VALUES FROM (200) TO (300);
CREATE TABLE re.r_default PARTITION OF re.r DEFAULT;
CREATE TABLE re.t (at timestamptz, id int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE re.t_s0001 PARTITION OF re.t FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-03-01 00:00+00');
CREATE TABLE re.m (a int, b text COLLATE "C", PRIMARY KEY (a, b)) PARTITION BY RANGE (a, b);
CREATE TABLE re.m_s0001 PARTITION OF re.m FOR VALUES FROM (1, MINVALUE) TO (5, 'k');
CREATE TABLE re.l (k text COLLATE "C", id int, UNIQUE (k, id)) PARTITION BY LIST (k);
CREATE TABLE re.l_s0001 PARTITION OF re.l FOR VALUES IN ('a', 'b''c', NULL);
CREATE TABLE re.l_s0002 PARTITION OF re.l FOR VALUES IN ('x');
CREATE TABLE re.l_default PARTITION OF re.l DEFAULT;
CREATE TABLE re.h (id uuid PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE re.h_s0001 PARTITION OF re.h FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE re.h_s0002 PARTITION OF re.h FOR VALUES WITH (modulus 4, remainder 1);
CREATE TABLE re.h_s0003 PARTITION OF re.h FOR VALUES WITH (modulus 4, remainder 3);
CREATE TABLE re.dim (id int PRIMARY KEY);
CREATE TABLE re.two (at date, id int REFERENCES re.dim, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE re.two_b0001 PARTITION OF re.two FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (id);
CREATE TABLE re.two_s0001 PARTITION OF re.two_b0001 FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE re.two_s0002 PARTITION OF re.two_b0001 FOR VALUES WITH (modulus 2, remainder 1);
CREATE TYPE re.mood AS ENUM ('sad', 'ok', 'happy', 'glad');
CREATE TABLE re.e (m re.mood PRIMARY KEY) PARTITION BY RANGE (m);
CREATE TABLE re.e_s0001 PARTITION OF re.e FOR VALUES FROM ('sad') TO ('glad');
CREATE TABLE re.n (n numeric(6, 2) PRIMARY KEY) PARTITION BY LIST (n);
CREATE TABLE re.n_s0001 PARTITION OF re.n FOR VALUES IN (1.5, 2, 3);
CREATE TABLE re.child (id int PRIMARY KEY, r bigint REFERENCES re.r);

-- A whole plan.
\x on
SELECT step, statement, lock_mode, reversible, locked, max_lock_ms, bytes_needed, wal_bytes, estimated
FROM split_shard_plan('re.r_s0002', '{150}');
\x off

SELECT statement, max_lock_ms FROM split_shard_plan('re.two_s0001') WHERE lock_mode = 'SHARE ROW EXCLUSIVE' OR statement LIKE 'LOCK TABLE re.dim %';

-- The new shards of every plan, which PostgreSQL must accept: the statements are run and rolled back, and all rows of the old
-- shards must find a place in the new ones.
CREATE FUNCTION pg_temp.new_shards(plan text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    statement text;
    said text[] = '{}';
    parent text;
    sources text[] = '{}';
BEGIN
    BEGIN
        FOR statement IN EXECUTE 'SELECT p.statement FROM ' || plan || ' AS p ORDER BY p.step' LOOP
            IF statement ~ ' (ATTACH|DETACH) PARTITION ' OR statement ~ '^CREATE TABLE ' THEN
                EXECUTE statement;
                parent = coalesce(substring(statement FROM '^ALTER TABLE (\S+) '), parent);
                sources = array_remove(sources || substring(statement FROM ' DETACH PARTITION (.*)$'), NULL);
                CONTINUE WHEN statement ~ '^CREATE';
                said = said || ('  ' || substring(statement FROM '(ATTACH|DETACH)') || substring(statement FROM ' PARTITION( .*)$'));
            END IF;
        END LOOP;
        FOREACH statement IN ARRAY sources LOOP
            EXECUTE format('INSERT INTO %s SELECT * FROM %s', parent, statement);
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = 'rolled back';
    EXCEPTION WHEN SQLSTATE 'P0099' THEN
        RETURN QUERY SELECT unnest(said);
    END;
END
$$;
SELECT pg_temp.new_shards($$split_shard_plan('re.r_s0002', '{150,175}')$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.r_s0001', '{-5}')$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.r_default', '{300,400,MAXVALUE}')$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.t_s0001', ARRAY['2026-02-01 02:00+02'])$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.m_s0001', ARRAY['(3,MINVALUE)', '(5,c)'])$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.l_s0001', ARRAY['{a,NULL}'], online => false)$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.l_default', ARRAY['{p,"q,r"}', '{s}'], online => false)$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.h_s0001', parts => 4)$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.two_s0002')$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.e_s0001', '{happy}')$$);
SELECT pg_temp.new_shards($$split_shard_plan('re.n_s0001', '{"{2.00}"}')$$);
SELECT pg_temp.new_shards($$merge_shards_plan('{re.r_s0003,re.r_s0002,re.r_s0001}')$$);
SELECT pg_temp.new_shards($$merge_shards_plan('{re.r_s0003,re.r_default}')$$);
SELECT pg_temp.new_shards($$merge_shards_plan('{re.l_s0001,re.l_s0002}', online => false)$$);
SELECT pg_temp.new_shards($$merge_shards_plan('{re.h_s0003,re.h_s0002}')$$);
SELECT pg_temp.new_shards($$merge_shards_plan('{re.two_s0001,re.two_s0002}')$$);

-- By size: statistics where there are some, else a sample; the collation of the key decides.
INSERT INTO re.r SELECT g FROM generate_series(100, 199) AS g;
SELECT pg_temp.new_shards($$split_shard_plan('re.r_s0002', parts => 4)$$);
ANALYZE re.r_s0002;
SELECT pg_temp.new_shards($$split_shard_plan('re.r_s0002')$$);
INSERT INTO re.m SELECT 3, chr(97 + g) FROM generate_series(0, 9) AS g;
SELECT pg_temp.new_shards($$split_shard_plan('re.m_s0001')$$);
INSERT INTO re.l SELECT CASE WHEN g <= 6 THEN NULL WHEN g <= 9 THEN 'a' ELSE 'b''c' END, g FROM generate_series(1, 12) AS g;
ANALYZE re.l_s0001;
SELECT pg_temp.new_shards($$split_shard_plan('re.l_s0001', online => false)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_s0001')$$);
CREATE TABLE re.c (k text COLLATE "C") PARTITION BY RANGE (k text_pattern_ops);
CREATE TABLE re.c_s0001 PARTITION OF re.c FOR VALUES FROM ('A') TO ('z');
INSERT INTO re.c VALUES ('B'), ('C'), ('Z'), ('a'), ('b'), ('c');
SELECT pg_temp.new_shards($$split_shard_plan('re.c_s0001', online => false)$$);
CREATE TABLE re.x (k text) PARTITION BY RANGE (lower(k));
CREATE TABLE re.x_s0001 PARTITION OF re.x FOR VALUES FROM ('a') TO ('z');
INSERT INTO re.x VALUES ('B'), ('c'), ('D'), ('e');
SELECT pg_temp.new_shards($$split_shard_plan('re.x_s0001', online => false)$$);
CREATE TABLE re.hot (k int, id int, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE re.hot_s0001 PARTITION OF re.hot FOR VALUES FROM (0) TO (10);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.hot_s0001')$$);
INSERT INTO re.hot SELECT CASE WHEN g < 7 THEN 5 ELSE g - 5 END, g FROM generate_series(1, 10) AS g;
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.hot_s0001')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.hot_s0001', parts => 20)$$);
DELETE FROM re.hot WHERE k = 5;
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.hot_s0001', parts => 6)$$);

-- Split points that are none.
SELECT point || ': ' || o FROM unnest(ARRAY['{99}', '{100}', '{200}', '{201}', '{150,120}', '{150,150}', '{then}', '{NULL}', '{}', '{MAXVALUE}', '{9223372036854775808}'])
WITH ORDINALITY AS p (point, at) CROSS JOIN LATERAL tests.outcome(format('SELECT * FROM split_shard_plan(%L, %L)', 're.r_s0002', point)) WITH ORDINALITY AS t (o, line) ORDER BY at, line;
SELECT point || ': ' || o FROM unnest(ARRAY['3', '(3', '(3)', '(3,a,b)', '(3,)', '(MINVALUE,a)', '(1,MINVALUE)', '(5,k)', '(5,l)', '(x,a)'])
WITH ORDINALITY AS p (point, at) CROSS JOIN LATERAL tests.outcome(format('SELECT * FROM split_shard_plan(%L, ARRAY[%L])', 're.m_s0001', point)) WITH ORDINALITY AS t (o, line) ORDER BY at, line;
SELECT point || ': ' || o FROM unnest(ARRAY['a', '{a', '{}', '{{a}}', '{z}', '{a,NULL,"b''c"}', '{,a}'])
WITH ORDINALITY AS p (point, at) CROSS JOIN LATERAL tests.outcome(format('SELECT * FROM split_shard_plan(%L, ARRAY[%L])', 're.l_s0001', point)) WITH ORDINALITY AS t (o, line) ORDER BY at, line;
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_s0001', ARRAY['{a}', '{a,NULL}'])$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_s0001', '{}')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_s0001', '{{a},{b}}')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_s0001', parts => 4)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_s0002')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_default', ARRAY['{x}'])$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.l_default')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_default')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_default', '{400}')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_default', '{250,400}')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.h_s0001', '{7}')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.h_s0001', parts => 3)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.h_s0001', parts => 1)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.h_s0001', parts => -2)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.h_s0001', parts => 2048)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_s0002', '{150}', parts => 3)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_s0002', '{150}', parts => 0)$$);

-- Merges that are none.
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{{re.r_s0001},{re.r_s0002}}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.r_s0001}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.r_s0001,re.r_s0001}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.r_s0003,re.r_s0001}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.r_s0003,re.l_s0001}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.h_s0001,re.h_s0002}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.r_s0003,NULL}')$$);
CREATE TABLE re.g (id int PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE re.g_0 PARTITION OF re.g FOR VALUES WITH (modulus 4, remainder 0);
CREATE TABLE re.g_1 PARTITION OF re.g FOR VALUES WITH (modulus 4, remainder 1);
CREATE TABLE re.g_2 PARTITION OF re.g FOR VALUES WITH (modulus 4, remainder 2);
CREATE TABLE re.g_3 PARTITION OF re.g FOR VALUES WITH (modulus 12, remainder 3);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.g_0,re.g_1}')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.g_0,re.g_1,re.g_2}')$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.g_0')$$);
SELECT pg_temp.new_shards($$merge_shards_plan('{re.g_2,re.g_0}')$$);

-- Moves that are none.
SELECT tests.outcome($$SELECT * FROM move_shard_plan('re.r_s0002', 'nowhere')$$);
SELECT tests.outcome($$SELECT * FROM move_shard_plan('re.r_s0002', 'pg_default')$$);
SELECT tests.outcome($$SELECT * FROM move_shard_plan('re.r_s0002', 'pg_global')$$);
SELECT tests.outcome($$SELECT * FROM move_shard_plan('re.r_s0002', NULL)$$);

-- Relations that are no shards.
RESET ROLE;
CREATE VIEW re.v AS SELECT 1 AS id;
CREATE TABLE re.plain (id int);
CREATE FOREIGN DATA WRAPPER regress_re;
CREATE SERVER regress_re FOREIGN DATA WRAPPER regress_re;
CREATE TABLE re.f (id int) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE re.f_1 PARTITION OF re.f FOR VALUES FROM (0) TO (9) SERVER regress_re;
CREATE TEMP TABLE tp (id int) PARTITION BY RANGE (id);
CREATE TEMP TABLE tp_1 PARTITION OF tp FOR VALUES FROM (0) TO (9);
SELECT name || ': ' || o FROM unnest(ARRAY['re.v', 're.plain', 're.r', 're.two_b0001', 're.f_1', 'tp_1', 're.r_pkey', '1', 'nothing'])
WITH ORDINALITY AS p (name, at) CROSS JOIN LATERAL tests.outcome(format('SELECT * FROM split_shard_plan(%L)', name)) WITH ORDINALITY AS t (o, line) ORDER BY at, line;
SELECT tests.outcome('SELECT * FROM split_shard_plan(NULL)');
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_s0002', parts => NULL)$$);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_s0002', online => NULL)$$);
SELECT tests.outcome('SELECT * FROM merge_shards_plan(NULL)');

-- Who may.
SET ROLE regress_re_other;
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_s0002')$$);
SELECT tests.outcome($$SELECT split_shard('re.r_s0002')$$);
SELECT tests.outcome($$SELECT merge_shards('{re.r_s0002,re.r_s0003}')$$);
SELECT tests.outcome($$SELECT move_shard('re.r_s0002', 'nowhere')$$);
SELECT tests.outcome($$SELECT * FROM check_operation('re.r', NULL)$$);
SELECT tests.outcome('SELECT cancel_operation(1)');
RESET ROLE;
REVOKE CREATE ON SCHEMA re FROM regress_re_owner;
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.r_s0002')$$);
GRANT CREATE ON SCHEMA re TO regress_re_owner;
BEGIN READ ONLY;
SELECT tests.outcome($$SELECT split_shard('re.r_s0002')$$);
SELECT count(*) FROM split_shard_plan('re.r_s0002');
COMMIT;

-- Tables that share their bounds.
CREATE TABLE re.one (id int PRIMARY KEY);
CREATE TABLE re.other (id int PRIMARY KEY);
SELECT register_proposal('re.one', 'hash', '{id}', '{"modulus": 2}') AS one \gset
SELECT count(*) FROM create_shards(:one);
INSERT INTO presplit.proposal_relations (proposal_id, position, schema_name, table_name, content, shards)
SELECT proposal_id, 2, 're', 'other', jsonb_set(content, '{colocation_group}', '1'), shards FROM presplit.proposal_relations WHERE proposal_id = :one;
UPDATE presplit.proposal_relations SET content = jsonb_set(content, '{colocation_group}', '1') WHERE proposal_id = :one;
SELECT pg_temp.new_shards($$split_shard_plan('re.one_s0001')$$);
INSERT INTO presplit.sharded_tables (relation, proposal_id) VALUES ('re.other', :one);
SELECT tests.outcome($$SELECT * FROM split_shard_plan('re.one_s0001')$$);
SELECT tests.outcome($$SELECT * FROM merge_shards_plan('{re.one_s0001,re.one_s0002}')$$);

-- What stands against it, beforehand.
SELECT * FROM check_operation('re.two', NULL);
SELECT * FROM check_operation('re.two_s0001', NULL);
SELECT tests.outcome($$SELECT * FROM check_operation('re.plain', NULL)$$);
SELECT tests.outcome('SELECT * FROM check_operation(1, NULL)');
SELECT tests.outcome('SELECT * FROM check_operation(NULL, NULL)');
SELECT tests.outcome($$SELECT * FROM check_operation('re.plain', 99)$$);
SELECT tests.outcome(format($$SELECT * FROM check_operation('re.plain', %s)$$, :one));

-- Whole tables: everything that stands against it at once; nothing is begun here.
CREATE TABLE re.whole (id int PRIMARY KEY, a int, b int);
CREATE VIEW re.of_whole AS SELECT id FROM re.whole;
CREATE MATERIALIZED VIEW re.kept_of_whole AS SELECT id FROM re.whole;
CREATE TABLE re.ready (id int PRIMARY KEY, a int);
CREATE TABLE re.unkeyed (id int);
INSERT INTO re.ready VALUES (1, 1);
SELECT register_proposal('re.whole', 'hash', '{id}', '{"modulus": 2}') AS whole \gset
-- What came after the proposal.
ALTER TABLE re.whole ADD UNIQUE (b);
SELECT register_proposal('re.ready', 'hash', '{id}', '{"modulus": 2}') AS ready \gset
SELECT register_proposal('re.unkeyed', 'hash', '{id}', '{"modulus": 2}') AS unkeyed \gset
SELECT severity, object, problem, remedy FROM check_operation('re.whole', :whole);
SELECT severity, object, problem, remedy FROM check_operation('re.ready', :ready);
SELECT tests.outcome(format($$SELECT shard_table('re.whole', %s)$$, :whole));
SELECT tests.outcome(format($$SELECT * FROM shard_table_plan('re.whole', %s)$$, :whole));
SELECT statement FROM shard_table_plan('re.ready', :ready, history => 'keep');
SELECT tests.outcome(format($$SELECT * FROM shard_table_plan('re.ready', %s)$$, :ready));
SELECT tests.outcome(format($$SELECT shard_table('re.unkeyed', %s)$$, :unkeyed));
SELECT tests.outcome(format($$SELECT shard_table('re.unkeyed', %s, online => false, history => 'keep')$$, :unkeyed));
SELECT tests.outcome(format($$SELECT shard_table('re.ready', %s)$$, :whole));
SELECT tests.outcome($$SELECT shard_table('re.ready', 99)$$);
SELECT tests.outcome(format($$SELECT shard_table('re.ready', %s, history => 'Keep')$$, :ready));
SELECT tests.outcome(format($$SELECT shard_table('re.ready', %s, history => NULL)$$, :ready));
SELECT tests.outcome(format($$SELECT shard_table(NULL, %s)$$, :ready));
SELECT tests.outcome($$SELECT shard_table('re.ready', NULL)$$);
SELECT tests.outcome(format($$SELECT shard_table('re.one', %s)$$, :one));
SELECT tests.outcome(format($$SELECT shard_table('re.r', %s)$$, :one));
SELECT tests.outcome(format($$SELECT shard_table('re.of_whole', %s)$$, :whole));
SELECT tests.outcome(format($$SELECT shard_table('re.r_s0002', %s)$$, :whole));
CREATE TEMPORARY TABLE passing (id int PRIMARY KEY);
SELECT tests.outcome(format($$SELECT shard_table('passing', %s)$$, :whole));
DROP TABLE passing;
SET ROLE regress_re_other;
SELECT tests.outcome(format($$SELECT * FROM check_operation('re.ready', %s)$$, :ready));
RESET ROLE;
SELECT count(*) FROM re.ready;
SELECT count(*) FROM presplit.operations WHERE relation ~ 'whole|ready|unkeyed';

-- What a sharded table becomes: divided otherwise, or plain.
CREATE TABLE re.cut (id int PRIMARY KEY, a int);
CREATE TABLE re.to_cut (id int REFERENCES re.cut);
SELECT register_proposal('re.cut', 'hash', '{id}', '{"modulus": 2}') AS cut \gset
SELECT count(*) FROM create_shards(:cut);
CREATE VIEW re.of_cut AS SELECT a FROM re.cut;
SELECT register_proposal('re.cut', 'range', '{id}', '{"split_points": ["10"], "default": false}') AS ranges \gset
SELECT register_proposal('re.cut', 'none', '{}', '{}') AS whole \gset
SELECT severity, object, problem, remedy FROM check_operation('re.cut', :ranges);
SELECT severity, object, problem, remedy FROM check_operation('re.cut', :whole);
SELECT step, statement, lock_mode, locked, max_lock_ms FROM shard_table_plan('re.cut', :ranges);
SELECT step, statement, lock_mode, locked, max_lock_ms FROM shard_table_plan('re.cut', :whole);
SELECT step, lock_mode, locked, max_lock_ms > 500 AS long FROM shard_table_plan('re.cut', :whole, online => false);
-- It has to fit a disk and be there some time: estimates are of all shards together.
SELECT count(*) FILTER (WHERE bytes_needed > 0), sum(wal_bytes) > 0 AS logged, bool_and(estimated >= '0') AS timed FROM shard_table_plan('re.cut', :ranges);
SELECT tests.outcome(format($$SELECT shard_table('re.cut', %s)$$, :cut));
-- One of tables that share their bounds.
SELECT severity, object, problem, remedy FROM check_operation('re.one', register_proposal('re.one', 'hash', '{id}', '{"modulus": 3}'));
SELECT tests.outcome(format($$SELECT shard_table('re.ready', %s)$$, register_proposal('re.ready', 'none', '{}', '{}')));

-- A table that becomes the first shard of itself.
CREATE TABLE re.kept (id int PRIMARY KEY, at date, a int);
CREATE INDEX kept_at ON re.kept (at);
INSERT INTO re.kept VALUES (1, '2024-01-01', 1), (9, '2024-06-01', 2);
SELECT register_proposal('re.kept', 'range', '{id}', '{"split_points": ["5", "10", "20"]}') AS kept \gset
SET presplit.unique_policy = per_shard;
SELECT register_proposal('re.kept', 'range', '{at}', '{"interval": "1 month", "from": "2024-01-01", "to": "2024-08-01", "default": false}') AS by_day \gset
SELECT register_proposal('re.kept', 'range', '{a}', '{"split_points": ["10"]}') AS unindexed \gset
SELECT register_proposal('re.kept', 'list', '{at}', '{"lists": [["2024-01-01"], ["2025-01-01", null]]}') AS lists \gset
SELECT register_proposal('re.kept', 'range_hash', '{at,id}', '{"split_points": ["2025-01-01"], "modulus": 2}') AS levels \gset
SET presplit.unique_policy = extend;
SELECT register_proposal('re.kept', 'range', '{at}', '{"split_points": ["2025-01-01"]}') AS extended \gset
RESET presplit.unique_policy;
CREATE TABLE re.of_kept (id int REFERENCES re.kept);
SELECT statement, lock_mode, reversible, locked, max_lock_ms, bytes_needed, estimated FROM shard_table_plan('re.kept', :kept, history => 'keep');
DROP TABLE re.of_kept;
SELECT statement FROM shard_table_plan('re.kept', :by_day, history => 'keep') WHERE statement ~ 'ATTACH|CREATE TABLE';
SELECT statement FROM shard_table_plan('re.kept', :lists, history => 'keep') WHERE statement ~ 'ATTACH|CREATE TABLE|SELECT';
SELECT * FROM check_operation('re.kept', :kept);
SELECT * FROM check_operation('re.kept', :unindexed);
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :unindexed));
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :levels));
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :extended));
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, online => false, history => 'keep')$$, :kept));
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :ready));
SELECT tests.outcome(format($$SELECT shard_table('re.one', %s, history => 'keep')$$, :one));
CREATE TABLE re.kept_s0003 ();
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :kept));
DROP TABLE re.kept_s0003;
INSERT INTO re.kept VALUES (15, NULL, 3), (20, '2023-01-01', 3);
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :kept));
SELECT tests.outcome(format($$SELECT shard_table('re.kept', %s, history => 'keep')$$, :by_day));
SELECT * FROM check_operation('re.kept', :by_day);
SELECT statement FROM shard_table_plan('re.kept', :lists, history => 'keep') WHERE statement ~ 'ATTACH|CREATE TABLE';
SELECT count(*) FROM presplit.operations WHERE relation ~ 'kept';

-- Functions of the key run with the rights of the table's owner, whoever plans.
SET ROLE regress_re_owner;
CREATE FUNCTION re.spy(k text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_user <> 'regress_re_owner' THEN RAISE EXCEPTION 'ran as %', current_user; END IF;
    RETURN k;
END
$$;
CREATE TABLE re.spied (k text) PARTITION BY RANGE (re.spy(k));
CREATE TABLE re.spied_s0001 PARTITION OF re.spied FOR VALUES FROM ('a') TO ('z');
INSERT INTO re.spied VALUES ('b'), ('c'), ('d');
CREATE DOMAIN re.checked AS text CHECK (re.spy(VALUE) IS NOT NULL);
CREATE TABLE re.domained (k re.checked PRIMARY KEY) PARTITION BY RANGE (k);
CREATE TABLE re.domained_s0001 PARTITION OF re.domained FOR VALUES FROM ('a') TO ('z');
RESET ROLE;
SELECT statement FROM split_shard_plan('re.spied_s0001', online => false) WHERE statement ~ 'ATTACH';
SELECT statement FROM split_shard_plan('re.domained_s0001', '{k}') WHERE statement ~ 'ATTACH';

CALL tests.forget();
DROP SCHEMA re CASCADE;
DROP SERVER regress_re;
DROP FOREIGN DATA WRAPPER regress_re;
DROP TABLE tp;
DROP FUNCTION pg_temp.new_shards(text);
REVOKE EXECUTE ON FUNCTION split_shard, merge_shards, move_shard FROM regress_re_owner, regress_re_other;
DROP ROLE regress_re_owner, regress_re_other;
