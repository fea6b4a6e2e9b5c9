--
-- What the planner makes of proposals: shards and rows before and after, and what speaks against a layout.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET max_parallel_workers_per_gather = 0;
CREATE SCHEMA evidence;
CREATE FUNCTION evidence.typed(name text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('schema', 'pg_catalog', 'name', name, 'text', format_type(to_regtype(name), NULL))
$$;
-- A hundred million events of a year, which exist in a profile alone.
CREATE FUNCTION evidence.profile(statements jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('format', 'pg_presplit profile', 'version', 2, 'captured_at', '2026-01-01T00:00:00Z',
        'server_version_num', 150000, 'database', 'd',
        'tables', jsonb_build_array(jsonb_build_object('schema', 'evidence', 'table', 'events', 'kind', 'ordinary', 'rows', 1e8, 'heap_bytes', 4e10,
            'index_bytes', 1e10, 'toast_bytes', 0,
            'columns', jsonb_build_array(
                jsonb_build_object('name', 'id', 'type', evidence.typed('int8'), 'not_null', true, 'orderable', true, 'hashable', true, 'statistics',
                    jsonb_build_object('null_fraction', 0, 'width', 8, 'distinct', -1, 'correlation', 1,
                        'histogram', (SELECT jsonb_agg((1000000 * g)::text) FROM generate_series(0, 100) AS g))),
                jsonb_build_object('name', 'tenant', 'type', evidence.typed('int4'), 'not_null', true, 'orderable', true, 'hashable', true, 'statistics',
                    jsonb_build_object('null_fraction', 0, 'width', 4, 'distinct', 1000, 'correlation', 0,
                        'histogram', (SELECT jsonb_agg((10 * g)::text) FROM generate_series(0, 100) AS g))),
                jsonb_build_object('name', 'at', 'type', evidence.typed('timestamptz'), 'not_null', true, 'orderable', true, 'hashable', true, 'statistics',
                    jsonb_build_object('null_fraction', 0, 'width', 8, 'distinct', -1, 'correlation', 1, 'histogram',
                        (SELECT jsonb_agg(to_char(timestamp '2025-01-01' + g * interval '87.6 hours', 'YYYY-MM-DD HH24:MI:SS') || '+00') FROM generate_series(0, 100) AS g)))),
            'constraints', '[{"name": "events_pkey", "kind": "primary_key", "columns": ["id"]}]'::jsonb,
            'indexes', '[{"name": "events_pkey", "method": "btree", "unique": true, "columns": ["id"], "of_constraint": true},
                         {"name": "events_tenant", "method": "btree", "unique": false, "columns": ["tenant"]}]'::jsonb)),
        'workload', jsonb_build_object('source', 'declared', 'seconds', 86400, 'search_paths', '{"": ["evidence"]}'::jsonb, 'statements',
            (SELECT jsonb_agg(jsonb_build_object('queryid', o, 'query', s->>0, 'calls', s->1, 'exec_ms', s->2, 'rows', s->1)) FROM jsonb_array_elements(statements) WITH ORDINALITY AS x (s, o))))
$$;
CREATE FUNCTION evidence.told(id bigint) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', shards_before, '->', shards_after, 'shards,', rows_before::numeric(12, 0), '->', rows_after::numeric(12, 0), 'rows, cost',
        CASE WHEN planner_cost_after < 0.5 * planner_cost_before THEN 'halved' WHEN planner_cost_after > 1.1 * planner_cost_before THEN 'higher' ELSE 'alike' END, error) || E'\n    ' || statement
    FROM proposal_evidence(id) ORDER BY statement COLLATE "C"
$$;
SELECT import_profile(evidence.profile('[
    ["SELECT count(*) FROM events WHERE at >= $1 AND at < $2", 1000, 9e6],
    ["SELECT count(*) FROM events WHERE at > now() - $1::interval", 1000, 9e6],
    ["SELECT count(*) FROM events WHERE at >= ''2025-03-01'' AND at < ''2025-04-01''", 10, 1e6],
    ["SELECT * FROM events WHERE tenant = $1 AND at >= $2", 100, 2e6]]'), 'evidence');
-- Kept in the order of time: what is asked for is in few shards.
SET presplit.unique_policy = extend;
SELECT strategy, shard_key, warnings FROM propose_shards('evidence.events', 'evidence');
SELECT max(proposal_id) AS id FROM presplit.proposals \gset
SELECT strategy, shard_key, shard_count > 12 AS many FROM presplit.proposals WHERE proposal_id = :id;
SELECT evidence.told(:id);
-- It belongs to the proposal: another profile of the name changes nothing of it.
CREATE TEMP TABLE before AS SELECT * FROM proposal_evidence(:id);
SELECT import_profile(evidence.profile('[["SELECT 1", 1, 1]]'), 'evidence');
SELECT count(*) FROM (TABLE before EXCEPT ALL SELECT * FROM proposal_evidence(:id)) AS x;
-- Texts are shown to those who may read statements.
CREATE ROLE regress_auditor IN ROLE pg_read_all_data;
SET ROLE regress_auditor;
SELECT DISTINCT statement FROM proposal_evidence(:id);
RESET ROLE;
DROP ROLE regress_auditor;
-- It does not travel, and is no part of what makes two proposals the same.
SELECT export_proposal(:id)::text ~ 'evidence' AND export_proposal(:id)::text !~ 'planner_cost|queryid';
SELECT count(*) FROM proposal_evidence(import_proposal(export_proposal(:id)), '{}');
-- Hot look-ups that would have to try every shard speak against it.
SELECT import_profile(evidence.profile('[
    ["SELECT count(*) FROM events WHERE at >= $1 AND at < $2", 1000, 9e6],
    ["SELECT * FROM events WHERE id = $1", 50000000, 9e6]]'), 'evidence');
SELECT strategy, shard_key FROM propose_shards('evidence.events', 'evidence');
SELECT strategy, shard_key, regexp_replace(substring(reason FROM 'PostgreSQL''s planner objects\. [^:]*:'), '\d+(\.\d+)? ', 'N ', 'g') FROM explain_proposal((SELECT max(proposal_id) FROM presplit.proposals))
WHERE strategy = 'range' AND shard_key = '{at}';
-- So does a statement that would fail.
SELECT import_profile(evidence.profile('[
    ["SELECT count(*) FROM events WHERE at >= $1 AND at < $2", 1000, 9e6],
    ["INSERT INTO events VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING", 1000, 10]]'), 'evidence');
SELECT strategy, shard_key FROM propose_shards('evidence.events', 'evidence');
SELECT strategy, shard_key, substring(reason FROM 'PostgreSQL''s planner objects\. .* specification\.') FROM explain_proposal((SELECT max(proposal_id) FROM presplit.proposals))
WHERE strategy = 'range' AND shard_key = '{at}';
-- A person may take it all the same.
SELECT choose_alternative(proposal_id, 'evidence.events', rank) AS id
FROM (SELECT max(proposal_id) AS proposal_id FROM presplit.proposals) AS p, explain_proposal(p.proposal_id)
WHERE strategy = 'range' AND shard_key = '{at}' \gset
SELECT evidence.told(:id);
SELECT count(*) FROM proposal_evidence(:id, '{}');
SELECT tests.outcome($$SELECT proposal_evidence(1, '{nothing}')$$);
SELECT tests.outcome('SELECT proposal_evidence(NULL)');
SELECT tests.outcome('SELECT proposal_evidence(999999)');
DROP TABLE before;
-- Of a table that is in shards, "before" is as it is.
CREATE TABLE evidence.cut (id int NOT NULL, grp int NOT NULL);
SELECT register_proposal('evidence.cut', 'hash', '{id}', '{"modulus": 4}') AS cut, register_proposal('evidence.cut', 'hash', '{grp}', '{"modulus": 8}') AS grp \gset
SELECT count(*) FROM create_shards(:cut);
INSERT INTO evidence.cut SELECT g, g % 50 FROM generate_series(1, 10000) AS g;
ANALYZE evidence.cut;
SELECT declare_workload('[{"sql": "SELECT * FROM evidence.cut WHERE id = 7", "calls_per_second": 1, "mean_ms": 1}, {"sql": "SELECT count(*) FROM evidence.cut WHERE grp = 7", "calls_per_second": 1, "mean_ms": 1}]', 'of cut');
SELECT p.name, statement, shards_before, shards_after, error FROM (VALUES ('cut', :cut), ('grp', :grp)) AS p (name, id), proposal_evidence(p.id)
WHERE relation = 'evidence.cut' ORDER BY p.name, statement COLLATE "C";
DROP SCHEMA evidence CASCADE;
CALL tests.forget();
