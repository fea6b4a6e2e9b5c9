--
-- Tables that are partitioned already: what they have is kept, told of as it is, and not made twice.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE SCHEMA present;
-- One proposal of several that were made by hand.
CREATE FUNCTION present.together(proposals bigint[]) RETURNS bigint LANGUAGE sql AS $$
    SELECT import_proposal(jsonb_set(export_proposal(proposals[1]), '{proposal,relations}',
        (SELECT jsonb_agg(r ORDER BY r->'relation'->>'name')
         FROM unnest(proposals) AS i CROSS JOIN LATERAL jsonb_array_elements(export_proposal(i)->'proposal'->'relations') AS r)))
$$;
CREATE TABLE present.a (id int PRIMARY KEY, at timestamptz);
CREATE TABLE present.b (id int, flag bool);
CREATE TABLE present.c (id int, v numeric(10,2));
CREATE TABLE present.d (id int, tenant text, number int);
SELECT present.together(ARRAY[
    register_proposal('present.a', 'hash', '{id}', '{"modulus": 2}'),
    register_proposal('present.b', 'list', '{flag}', '{"lists": [["false"], [true, null]]}'),
    register_proposal('present.c', 'range', '{v}', '{"split_points": ["-3", "1.5", "20"]}'),
    register_proposal('present.d', 'list_hash', '{tenant}',
        '{"lists": [["x"], ["y", "z"]], "sub": [{"of": 1, "shard_key": ["number"], "modulus": 2}]}')]) AS id \gset
-- Of some tables they are there: made by us, and by hand in another order and under other names.
SELECT relation, shard FROM create_shards(:id, relations => '{present.a}');
DROP TABLE present.b;
CREATE TABLE present.b (id int, flag bool) PARTITION BY LIST (flag);
CREATE TABLE present."Both" PARTITION OF present.b FOR VALUES IN (NULL, true);
CREATE TABLE present.no PARTITION OF present.b FOR VALUES IN (false);
CREATE TABLE present.rest PARTITION OF present.b DEFAULT;
INSERT INTO present.b VALUES (1, true);
SELECT proposal_ddl(:id, '{present.a,present.b}');
SET client_min_messages = notice;
SELECT relation, shard, state FROM create_shards(:id);
SELECT relation, shard, state FROM create_shards(:id);
SET client_min_messages = warning;
SELECT relation, state FROM presplit.proposals WHERE proposal_id = :id ORDER BY relation;
SELECT tableoid::regclass, * FROM present.b;
SELECT relation, count(*) FROM presplit.shards WHERE relation::text LIKE 'present.%' GROUP BY relation ORDER BY relation::text;

-- Divided otherwise: nothing is done, and the message says how they differ.
CREATE FUNCTION present.divided(VARIADIC statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    DROP TABLE present.c;
    FOR at IN 1 .. cardinality(statements) LOOP
        EXECUTE statements[at];
    END LOOP;
    RETURN QUERY SELECT tests.outcome(format('SELECT create_shards(%s)', (SELECT max(proposal_id) FROM presplit.proposals)));
END
$$;
DROP TABLE present.a;
CREATE TABLE present.a (id int PRIMARY KEY, at timestamptz);
SELECT present.divided('CREATE TABLE present.c (id int, v numeric(10,2)) PARTITION BY HASH (id)', 'CREATE TABLE present.c1 PARTITION OF present.c FOR VALUES WITH (MODULUS 1, REMAINDER 0)');
SELECT present.divided('CREATE TABLE present.c (id int, v numeric(10,2)) PARTITION BY RANGE (v)', 'CREATE TABLE present.c1 PARTITION OF present.c FOR VALUES FROM (MINVALUE) TO (-3)',
    'CREATE TABLE present.c2 PARTITION OF present.c FOR VALUES FROM (-3) TO (1.5)', 'CREATE TABLE present.c3 PARTITION OF present.c FOR VALUES FROM (1.5) TO (20)', 'CREATE TABLE present.c4 PARTITION OF present.c FOR VALUES FROM (21) TO (MAXVALUE)',
    'CREATE TABLE present.c5 PARTITION OF present.c DEFAULT');
SELECT present.divided('CREATE TABLE present.c (id int, v numeric(10,2)) PARTITION BY RANGE ((v + 1))');
SELECT present.divided('CREATE TABLE present.c (id int, v numeric(10,2)) PARTITION BY RANGE (v)');
SELECT present.divided('CREATE TABLE present.c (id int, v numeric(10,2)) PARTITION BY HASH (id)', 'CREATE TABLE present.c1 PARTITION OF present.c FOR VALUES WITH (MODULUS 2, REMAINDER 0)');
SELECT tests.outcome(format('SELECT proposal_ddl(%s)', :id));
SELECT relkind FROM pg_class WHERE oid = 'present.a'::regclass;
SELECT relation, count(*) FROM create_shards(:id, relations => '{present.a,present.d}') GROUP BY relation;
CREATE ROLE regress_present;
GRANT USAGE ON SCHEMA present TO regress_present;
SET ROLE regress_present;
SELECT tests.outcome(format('SELECT create_shards(%s, relations => ''{present.b}'')', :id));
RESET ROLE;

-- In forms that are none of ours: they stay, with the reason and without shards that nobody made.
CREATE TABLE present.expression (t text) PARTITION BY LIST (lower(t));
CREATE TABLE present.class (t text) PARTITION BY RANGE (t text_pattern_ops);
CREATE TABLE present.class_1 PARTITION OF present.class FOR VALUES FROM ('a') TO ('b');
CREATE TABLE present.collated (t text) PARTITION BY LIST (t COLLATE "C");
CREATE TABLE present.collated_1 PARTITION OF present.collated FOR VALUES IN ('a');
CREATE TABLE present.none_yet (id int) PARTITION BY HASH (id);
CREATE TABLE present.elsewhere (id int) PARTITION BY RANGE (id);
CREATE SCHEMA present_other;
CREATE TABLE present_other.elsewhere_1 PARTITION OF present.elsewhere DEFAULT;
CREATE TABLE present.unlike (id int) PARTITION BY HASH (id);
CREATE TABLE present.unlike_1 PARTITION OF present.unlike FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE present.unlike_2 PARTITION OF present.unlike FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE present.unlike_3 PARTITION OF present.unlike FOR VALUES WITH (MODULUS 4, REMAINDER 3);
CREATE TABLE present.third (id int, k int) PARTITION BY RANGE (id);
CREATE TABLE present.third_1 PARTITION OF present.third DEFAULT PARTITION BY HASH (k);
CREATE TABLE present.third_2 PARTITION OF present.third_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY LIST (k);
CREATE TABLE present.listed (id int, k int) PARTITION BY RANGE (id);
CREATE TABLE present.listed_1 PARTITION OF present.listed FOR VALUES FROM (1) TO (2) PARTITION BY LIST (k);
CREATE TABLE present.gap (t text) PARTITION BY RANGE (t);
CREATE TABLE present.gap_1 PARTITION OF present.gap FOR VALUES FROM ('m') TO ('p');
CREATE TABLE present.gap_2 PARTITION OF present.gap FOR VALUES FROM ('p') TO (MAXVALUE);
CREATE TABLE present.gap_3 PARTITION OF present.gap FOR VALUES FROM (MINVALUE) TO ('d');
SELECT relation, strategy, shard_count, jsonb_array_length(shards), reason FROM propose_shards()
WHERE relation LIKE 'present.%' AND relation NOT IN ('present.a', 'present.b', 'present.c', 'present.d') AND relation <> 'present.gap' ORDER BY relation;
-- One with gaps is known.
INSERT INTO present.gap SELECT 'a' || g FROM generate_series(1, 1000) AS g;
ANALYZE present.gap;
SET presplit.predicted_data_volume = '100GB';
SELECT relation, strategy, shard_key, (SELECT jsonb_agg(s->'bound') FROM jsonb_array_elements(shards) AS s) FROM propose_shards('present.gap');
RESET presplit.predicted_data_volume;
SELECT register_proposal('present.none_yet', 'hash', '{id}', '{"modulus": 2}') AS id \gset
SELECT tests.outcome(format('SELECT proposal_ddl(%s)', :id));

-- What is imported is asked of PostgreSQL as what is named by hand.
CREATE TABLE present.e (n numeric(10,2), d date, s varchar(3), m int);
CREATE FUNCTION present.tampered(id bigint, path text, value text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT tests.outcome(format('SELECT import_proposal(%L)', jsonb_set(export_proposal(id), ('{proposal,relations,0,layout,shards,' || path || '}')::text[], value::jsonb)))
$$;
SELECT register_proposal('present.e', 'range', '{d}', '{"split_points": ["2026-01-01", "2026-02-01"]}') AS d \gset
SELECT register_proposal('present.e', 'list', '{n}', '{"lists": [["1.50"], ["2"]]}') AS n \gset
SELECT register_proposal('present.e', 'list', '{s}', '{"lists": [["a"], ["b"]]}') AS s \gset
SELECT register_proposal('present.e', 'range', '{n,m}', '{"split_points": [["1", "1"], ["1", "5"]]}') AS m \gset
SELECT import_proposal(export_proposal(:d)) = :d, import_proposal(export_proposal(:n)) = :n, import_proposal(export_proposal(:m)) = :m;
SELECT present.tampered(:d, '0,bound,range,upper', '[{"value": "2026-02-30"}]');
SELECT present.tampered(:d, '0,bound,range,upper', '[{"value": "soon"}]');
SELECT present.tampered(:n, '1,bound,list,values', '["1.5"]');
SELECT present.tampered(:n, '1,bound,list,values', '["1.504"]');
SELECT present.tampered(:n, '1,bound,list,values', '["123456789012"]');
SELECT present.tampered(:n, '1,bound,list,values', '["none"]');
SELECT present.tampered(:s, '1,bound,list,values', '["long"]');
SELECT present.tampered(:m, '1,bound,range,lower,1', '{"value": "7"}');
SELECT present.tampered(:m, '1,bound,range,upper', '[{"value": "1"}, {"value": "99999999999"}]');
-- A time that another session would read as another one is written as all do.
SELECT import_proposal(jsonb_set(export_proposal(:d), '{proposal,relations,0,layout,shards,0,bound,range,upper}', '[{"value": "January 1, 2026"}]')) = :d;

-- A column that went: nothing is printed that would fail.
ALTER TABLE present.e DROP COLUMN m;
SELECT tests.outcome(format('SELECT proposal_ddl(%s)', :m));
SELECT tests.outcome(format('SELECT create_shards(%s)', :m));
SELECT tests.outcome(format('SELECT import_proposal(%L)', export_proposal(:m)));

DROP SCHEMA present, present_other CASCADE;
CALL tests.forget();
DROP ROLE regress_present;
