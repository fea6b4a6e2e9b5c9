--
-- Proposals made by hand, carried elsewhere, changed, and written as DDL.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE SCHEMA proposals;
CREATE TABLE proposals.t (
    id bigint, k int, d date NOT NULL, ts timestamp NOT NULL, tz timestamptz NOT NULL, u uuid, s text, n numeric, b bool, f float8,
    g int GENERATED ALWAYS AS (k) STORED, j json, p point
);
CREATE FUNCTION proposals.made(strategy text, key text[], bounds jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT x->>'name' || ' ' || (x->>'bound')
    FROM presplit.proposals AS p CROSS JOIN LATERAL jsonb_array_elements(p.shards) AS x
    WHERE p.proposal_id = (SELECT max(proposal_id) FROM presplit.proposals)
      AND (p.strategy, p.shard_key) = (made.strategy, made.key)
$$;

-- Each form of bounds.
SELECT register_proposal('proposals.t', 'hash', '{id}', '{"modulus": 2}');
SELECT proposals.made('hash', '{id}', NULL);
SELECT register_proposal('proposals.t', 'hash', '{id,s}', '{"modulus": 2}');
SELECT proposals.made('hash', '{id,s}', NULL);
SELECT register_proposal('proposals.t', 'range', '{id}', '{"split_points": ["-5", 100]}');
SELECT proposals.made('range', '{id}', NULL);
SELECT register_proposal('proposals.t', 'range', '{id}', '{"split_points": ["-5"], "default": false}');
SELECT register_proposal('proposals.t', 'range', '{id}', '{"split_points": []}');
SELECT proposals.made('range', '{id}', NULL);
SELECT register_proposal('proposals.t', 'range', '{k,d}', '{"split_points": [["1", "2026-01-01"], ["1", "2026-02-01"], ["2", "2026-01-01"]]}');
SELECT proposals.made('range', '{k,d}', NULL);
SELECT register_proposal('proposals.t', 'range', '{s}', '{"split_points": ["it''s", "m"]}');
SELECT proposals.made('range', '{s}', NULL);
SELECT register_proposal('proposals.t', 'range', '{n}', '{"split_points": ["0.5", 1.5]}');
SELECT proposals.made('range', '{n}', NULL);
SELECT register_proposal('proposals.t', 'range', '{u}', '{"split_points": ["80000000-0000-0000-0000-000000000000"]}');
SELECT proposals.made('range', '{u}', NULL);
SELECT register_proposal('proposals.t', 'range', '{d}', '{"interval": "1 year", "from": "2024-02-29", "to": "2026-03-01"}');
SELECT proposals.made('range', '{d}', NULL);
SELECT register_proposal('proposals.t', 'range', '{ts}', '{"interval": "1 month", "from": "2026-01-31", "to": "2026-03-31", "default": false}');
SELECT proposals.made('range', '{ts}', NULL);
SELECT register_proposal('proposals.t', 'range', '{tz}', '{"interval": "2 weeks", "from": "2026-03-20 00:00:00+02", "to": "2026-04-20"}');
SELECT proposals.made('range', '{tz}', NULL);
SELECT register_proposal('proposals.t', 'range', '{tz}', '{"interval": "6 hours", "from": "2026-03-20", "to": "2026-03-20 07:00:00"}');
SELECT proposals.made('range', '{tz}', NULL);
SELECT register_proposal('proposals.t', 'list', '{s}', '{"lists": [["a", "b''"], ["c", null]]}');
SELECT proposals.made('list', '{s}', NULL);
SELECT register_proposal('proposals.t', 'list', '{b}', '{"lists": [[true], ["false"]], "default": false}');
SELECT proposals.made('list', '{b}', NULL);
SELECT register_proposal('proposals.t', 'none', '{}', '{}');
SELECT relation, strategy, shard_key, shard_count, state, shards FROM presplit.proposals WHERE strategy = 'none';
SELECT proposal_id, relation, strategy, shard_key, shard_count, colocation_group, rows_scanned_share, confidence, state FROM presplit.proposals;

-- The same content is the same proposal; other settings are other content.
SELECT register_proposal('proposals.t', 'hash', '{id}', '{"modulus": 2}');
SELECT register_proposal('t', 'hash', '{id}', '{"modulus": 2}');
SET presplit.unique_policy = 'extend';
SELECT register_proposal('proposals.t', 'hash', '{id}', '{"modulus": 2}') > 1 AS new;
RESET presplit.unique_policy;
SELECT register_proposal('proposals.t', 'hash', '{id}', '{"modulus": 2}');

-- What does not fit.
CREATE FUNCTION proposals.refused(strategy text, key text, bounds text, relation text DEFAULT 'proposals.t') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT tests.outcome(format('SELECT register_proposal(%L, %L, %L, %L)', relation, strategy, key, bounds))
$$;
SELECT tests.contents();
SELECT proposals.refused('sorted', '{id}', '{"modulus": 2}');
SELECT proposals.refused('HASH', '{id}', '{"modulus": 2}');
SELECT proposals.refused('', '{id}', '{"modulus": 2}');
SELECT proposals.refused('range_hash', '{tz,id}', '{"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('list_hash', '{s,id}', '{"lists": [["a"]]}');
SELECT proposals.refused('hash', '{}', '{"modulus": 2}');
SELECT proposals.refused('hash', '{nothing}', '{"modulus": 2}');
SELECT proposals.refused('hash', '{ID}', '{"modulus": 2}');
SELECT proposals.refused('hash', '{id,id}', '{"modulus": 2}');
SELECT proposals.refused('hash', '{id,NULL}', '{"modulus": 2}');
SELECT proposals.refused('hash', '{g}', '{"modulus": 2}');
SELECT proposals.refused('hash', '{j}', '{"modulus": 2}');
SELECT proposals.refused('range', '{p}', '{"split_points": []}');
SELECT proposals.refused('list', '{id,k}', '{"lists": [["1"]]}');
SELECT proposals.refused('hash', '{id}', '{}');
SELECT proposals.refused('hash', '{id}', '[]');
SELECT proposals.refused('hash', '{id}', 'null');
SELECT proposals.refused('hash', '{id}', '{"modulus": 0}');
SELECT proposals.refused('hash', '{id}', '{"modulus": -4}');
SELECT proposals.refused('hash', '{id}', '{"modulus": 2.5}');
SELECT proposals.refused('hash', '{id}', '{"modulus": "4"}');
SELECT proposals.refused('hash', '{id}', '{"modulus": 99999999999}');
SELECT proposals.refused('hash', '{id}', '{"modulus": 1025}');
SELECT proposals.refused('hash', '{id}', '{"modulus": 2, "default": true}');
SELECT proposals.refused('hash', '{id}', '{"split_points": ["1"]}');
SELECT proposals.refused('range', '{id}', '{"modulus": 2}');
SELECT proposals.refused('range', '{id}', '{}');
SELECT proposals.refused('range', '{id}', '{"split_points": "1"}');
SELECT proposals.refused('range', '{id}', '{"split_points": ["2", "1"]}');
SELECT proposals.refused('range', '{id}', '{"split_points": ["1", "1"]}');
SELECT proposals.refused('range', '{id}', '{"split_points": ["one"]}');
SELECT proposals.refused('range', '{id}', '{"split_points": ["1e3"]}');
SELECT proposals.refused('range', '{id}', '{"split_points": [null]}');
SELECT proposals.refused('range', '{id}', '{"split_points": [["1", "2"]]}');
SELECT proposals.refused('range', '{id}', '{"split_points": ["99999999999999999999"]}');
SELECT proposals.refused('range', '{k}', '{"split_points": ["2147483648"]}');
SELECT proposals.refused('range', '{d}', '{"split_points": ["2026-02-30"]}');
SELECT proposals.refused('range', '{tz}', '{"split_points": ["infinity"]}');
SELECT proposals.refused('range', '{n}', '{"split_points": ["NaN"]}');
SELECT proposals.refused('range', '{u}', '{"split_points": ["x"]}');
SELECT proposals.refused('range', '{k,d}', '{"split_points": ["1"]}');
SELECT proposals.refused('range', '{tz}', '{"interval": "1 month", "from": "2026-03-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": "1 month", "from": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": "0 month", "from": "2026-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": "-1 month", "from": "2026-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": "a month", "from": "2026-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": 1, "from": "2026-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": "1 hour", "from": "2000-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{id}', '{"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01"}');
SELECT proposals.refused('range', '{tz}', '{"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01", "split_points": []}');
SELECT proposals.refused('range', '{tz}', '{"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01", "default": "yes"}');
SELECT proposals.refused('list', '{s}', '{"lists": [], "default": false}');
SELECT proposals.refused('list', '{s}', '{"lists": [[]]}');
SELECT proposals.refused('list', '{s}', '{"lists": ["a"]}');
SELECT proposals.refused('list', '{s}', '{"lists": [["a"], ["b", "a"]]}');
SELECT proposals.refused('list', '{s}', '{"lists": [[null], [null]]}');
SELECT proposals.refused('list', '{k}', '{"lists": [["a"]]}');
SELECT tests.contents();

-- What is weighed, chosen first; what was made by hand is not weighed against much.
SELECT rank, strategy, shard_key, shard_count, legal, relation FROM explain_proposal(1);
SELECT rank, strategy FROM explain_proposal(1, '{t}');
SELECT choose_alternative(1, 'proposals.t', 2) AS plain \gset
SELECT strategy, shard_key, shard_count, reason, state FROM presplit.proposals WHERE proposal_id = :plain;
SELECT choose_alternative(:plain, 't', 2) AS back \gset
SELECT strategy, shard_key, shard_count, state FROM presplit.proposals WHERE proposal_id = :back;
SELECT tests.outcome($$SELECT choose_alternative(1, 'proposals.t', 9)$$);
SELECT tests.outcome($$SELECT choose_alternative(1, 'proposals.t', 0)$$);
SELECT tests.outcome($$SELECT choose_alternative(1, 'proposals.t', -1)$$);
SELECT tests.outcome($$SELECT choose_alternative(1, 'proposals.u', 1)$$);
-- A proposal of nothing to do does nothing.
SELECT * FROM create_shards(:plain);
SELECT * FROM proposal_ddl(:plain);

-- There and back again.
SELECT export_proposal(1) AS exported \gset
SELECT jsonb_object_keys(:'exported'::jsonb);
SELECT import_proposal(:'exported');
CREATE ROLE regress_importer;
GRANT EXECUTE ON FUNCTION import_proposal TO regress_importer;
SET ROLE regress_importer;
SELECT import_proposal(:'exported') > 1 AS of_its_own;
SELECT strategy, shard_key, shard_count FROM presplit.proposals;
SELECT (SELECT export_proposal(proposal_id) FROM presplit.proposals) = :'exported'::jsonb AS the_same;
RESET ROLE;
-- Changed on the way.
CREATE FUNCTION proposals.tampered(path text, value text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT tests.outcome(format('SELECT import_proposal(%L)', jsonb_set(export_proposal(1), path::text[], value::jsonb)))
$$;
SELECT tests.outcome($$SELECT import_proposal('{}')$$);
SELECT tests.outcome($$SELECT import_proposal('[]')$$);
SELECT tests.outcome($$SELECT import_proposal('"x"')$$);
SELECT tests.outcome($$SELECT import_proposal('{"format": "pg_presplit profile", "version": 1}')$$);
SELECT tests.outcome($$SELECT import_proposal('{"format": "pg_presplit proposal", "version": 1}')$$);
SELECT proposals.tampered('{version}', '3');
SELECT proposals.tampered('{version}', '"1"');
SELECT proposals.tampered('{proposal}', '7');
SELECT proposals.tampered('{proposal,relations}', '{}');
SELECT proposals.tampered('{proposal,relations,0,strategy}', '"sorted"');
SELECT proposals.tampered('{proposal,relations,0,layout,shards}', '[]');
SELECT proposals.tampered('{proposal,relations,0,layout,shards,1,name}', '"t_s0001"');
SELECT proposals.tampered('{proposal,relations,0,layout,shards,1,bound,hash,remainder}', '0');
SELECT proposals.tampered('{proposal,relations,0,layout,shards,1,bound}', '{"default": null}');
SELECT proposals.tampered('{proposal,relations,0,layout,shards,1,bound}', '{"list": {"values": ["x"]}}');
SELECT proposals.tampered('{proposal,relations,0,layout,shard_key}', '[]');
SELECT proposals.tampered('{proposal,relations,0,layout,strategy}', '"range"');
SELECT proposals.tampered('{proposal,settings,unique_policy}', '"sometimes"');
SELECT tests.outcome(format('SELECT import_proposal(%L)', export_proposal(1) #- '{proposal,relations,0,layout}'));
SELECT proposals.tampered('{proposal,relations,0,strategy}', '"range"');
SELECT proposals.tampered('{proposal,relations}', (SELECT jsonb_build_array(r, r)::text FROM (SELECT export_proposal(1)->'proposal'->'relations'->0 AS r) AS x));
SELECT proposals.tampered('{proposal,relations,0,layout,shards,1,name}', to_jsonb(repeat('x', 64))::text);
SELECT proposals.tampered('{proposal,relations,0,layout,shards,1,name}', '""');
SELECT proposals.tampered('{proposal,relations,0,relation,name}', '""');
-- Names are quoted, whoever wrote them.
SELECT import_proposal(jsonb_set(:'exported', '{proposal,relations,0,layout,shards,1,name}', '"x; DROP TABLE proposals.t; --"')) AS planted \gset
SELECT * FROM proposal_ddl(:planted);

-- The statements run as they are, and make what create_shards makes.
CREATE TABLE proposals."O'r ders" ("K ey" int PRIMARY KEY, note text DEFAULT 'x', at date);
COMMENT ON COLUMN proposals."O'r ders".note IS 'a note';
SELECT register_proposal('proposals."O''r ders"', 'range', '{"K ey"}', '{"split_points": ["0", "10"]}') AS id \gset
\t off
\pset footer off
SELECT * FROM proposal_ddl(:id);
SELECT * FROM proposal_ddl(:id) \gexec
\t on
SELECT tests.anatomy('proposals."O''r ders"');
INSERT INTO proposals."O'r ders" VALUES (5);
SELECT tableoid::regclass, * FROM proposals."O'r ders";

-- Some tables of a proposal only.
SELECT tests.outcome($$SELECT create_shards(1, relations => '{proposals.nothing}')$$);
SELECT tests.outcome($$SELECT proposal_ddl(1, '{proposals.nothing}')$$);
SELECT tests.outcome($$SELECT explain_proposal(1, '{nothing}')$$);
SELECT tests.outcome($$SELECT create_shards(1, relations => '{NULL}')$$);
SELECT tests.outcome($$SELECT proposal_ddl(1, '{NULL,proposals.t}')$$);
SELECT * FROM create_shards(1, relations => '{}');
SELECT * FROM proposal_ddl(1, '{}');

-- From proposed to applied.
SELECT state FROM presplit.proposals WHERE proposal_id = 1;
SELECT shard, state FROM create_shards(1);
SELECT state FROM presplit.proposals WHERE proposal_id = 1;
DROP TABLE proposals.t;
SELECT shard, state FROM create_shards(1);
SELECT state FROM presplit.proposals WHERE proposal_id = 1;
SELECT shard, state FROM create_shards(2);
SELECT proposal_id, state FROM presplit.proposals WHERE proposal_id IN (1, 2) ORDER BY 1;
SELECT disarm('proposals.t');
SELECT proposal_id, state FROM presplit.proposals WHERE proposal_id IN (1, 2) ORDER BY 1;

DROP SCHEMA proposals CASCADE;
CALL tests.forget();
REVOKE EXECUTE ON FUNCTION import_proposal FROM regress_importer;
DROP ROLE regress_importer;
