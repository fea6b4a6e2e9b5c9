#!/usr/bin/env bash
# How long the planner is asked about proposals for 10 and for 100 tables, by the statements that make up 95 % of the time:
#
#   bash tests/bench/what_if.sh [15|18] [STATEMENTS]
#
# The promise is 10 seconds for 10 tables and 60 for 100. Builds and installs a release build first. The tables exist in
# the profile alone; each is divided into 64 shards by hash of its primary key, which statements use and do not use.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15} statements=${2:-500}

install_extension "$(pg_config_of "$version")" --release >/dev/null 2>&1
cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'"
cluster_use bench
psql -qX -d postgres -c 'CREATE EXTENSION pg_presplit'
for tables in 10 100; do
    psql -qXAt -v ON_ERROR_STOP=1 -v statements="$statements" -v tables="$tables" -d postgres <<'SQL'
CREATE FUNCTION pg_temp.type_of(n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('schema', 'pg_catalog', 'name', t, 'text', t, 'array', false)
    FROM unnest(ARRAY['int8', 'int8', 'timestamptz', 'text', 'numeric', 'int4', 'bool', 'date']) WITH ORDINALITY AS x (t, o) WHERE o = n
$$;
CREATE FUNCTION pg_temp.statistics_of(n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('null_fraction', 0, 'width', 8, 'distinct', CASE n WHEN 1 THEN -1 ELSE -0.1 END, 'correlation', 0.5, 'histogram',
        CASE WHEN n IN (1, 2, 6) THEN (SELECT jsonb_agg((g * 10000)::text) FROM generate_series(0, 100) AS g)
             WHEN n = 3 THEN (SELECT jsonb_agg(to_char('2025-01-01'::timestamp + g * interval '3 days', 'YYYY-MM-DD HH24:MI:SS') || '+00') FROM generate_series(0, 100) AS g)
             ELSE '[]' END)
$$;
SELECT import_profile(jsonb_build_object(
    'format', 'pg_presplit profile', 'version', 2, 'captured_at', '2026-01-01T00:00:00Z', 'server_version_num', 150000,
    'database', 'bench',
    'tables', (SELECT jsonb_agg(jsonb_build_object(
        'schema', 'app', 'table', 't' || t, 'kind', 'ordinary', 'rows', 1e9, 'heap_bytes', 1e11, 'index_bytes', 1e10, 'toast_bytes', 0,
        'columns', (SELECT jsonb_agg(jsonb_build_object('name', 'c' || c, 'type', pg_temp.type_of(c), 'not_null', c = 1, 'statistics', pg_temp.statistics_of(c),
                                                        'orderable', true, 'hashable', true)) FROM generate_series(1, 8) AS c),
        'constraints', jsonb_build_array(jsonb_build_object('name', 't' || t || '_pkey', 'kind', 'primary_key', 'columns', '["c1"]'::jsonb)),
        'indexes', jsonb_build_array(
            jsonb_build_object('name', 't' || t || '_pkey', 'method', 'btree', 'unique', true, 'columns', '["c1"]'::jsonb, 'of_constraint', true),
            jsonb_build_object('name', 'i' || t, 'method', 'btree', 'unique', false, 'columns', '["c2", "c3"]'::jsonb)))
        ) FROM generate_series(1, :tables) AS t),
    'workload', jsonb_build_object('source', 'declared', 'seconds', 86400, 'search_paths', '{"": ["app"]}'::jsonb, 'statements',
        (SELECT jsonb_agg(jsonb_build_object('queryid', i, 'role', 'r', 'calls', 1000, 'exec_ms', 10, 'rows', 1000, 'query',
            format((ARRAY[
                'SELECT c4 AS x%3$s FROM t%1$s WHERE c1 = $1',
                'SELECT count(*) AS x%3$s FROM t%1$s WHERE c3 >= $1 AND c3 < $2',
                'SELECT a.c1, b.c5 AS x%3$s FROM t%1$s a JOIN t%2$s b ON b.c1 = a.c1 WHERE a.c1 = $1',
                'UPDATE t%1$s SET c6 = c6 + %3$s WHERE c1 = $1',
                'INSERT INTO t%1$s (c1, c2, c6) VALUES ($1, $2, %3$s) ON CONFLICT (c1) DO NOTHING',
                'SELECT c1 AS x%3$s FROM t%1$s WHERE c2 = $1 ORDER BY c3 DESC LIMIT $2'
                ])[1 + i % 6],
                1 + i / 6 % :tables, 1 + (i / 6 * 7 + 3) % :tables, i)))
         FROM generate_series(1, :statements) AS i))), 'imported') \gset
SELECT import_proposal(jsonb_build_object('format', 'pg_presplit proposal', 'version', 1, 'proposal', jsonb_build_object(
    'settings', export_proposal((SELECT proposal_id FROM propose_shards('app.t1') LIMIT 1))->'proposal'->'settings', 'horizon_micros', 0, 'relations',
    (SELECT jsonb_agg(jsonb_build_object('relation', jsonb_build_object('schema', 'app', 'name', 't' || t), 'strategy', 'hash', 'colocation_group', NULL,
        'rows_scanned_share', 0, 'skew', 0, 'bytes_at_horizon', 1e11, 'confidence', 'low', 'reason', '', 'warnings', '[]'::jsonb, 'candidates', '[]'::jsonb,
        'layout', jsonb_build_object('strategy', 'hash', 'shard_key', '["c1"]'::jsonb, 'key_types', '["integer"]'::jsonb, 'shards',
            (SELECT jsonb_agg(jsonb_build_object('name', format('t%s_s%s', t, s), 'bound', jsonb_build_object('hash', jsonb_build_object('modulus', 64, 'remainder', s)),
                'rows', 1, 'bytes', 1)) FROM generate_series(0, 63) AS s)))) FROM generate_series(1, :tables) AS t)))) AS id \gset
SELECT clock_timestamp() AS start, split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 AS busy \gset
SELECT count(*) AS lines, count(DISTINCT statement) AS statements, count(error) AS errors FROM proposal_evidence(:id) \gset
SELECT round(extract(epoch FROM clock_timestamp() - :'start'::timestamptz)::numeric, 2) AS seconds,
    round(((split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 - :busy) / 1e9)::numeric, 2) AS core \gset
SELECT clock_timestamp() AS start \gset
SELECT count(*) FILTER (WHERE strategy <> 'none') AS sharded FROM propose_shards(profile => 'imported') \gset
SELECT round(extract(epoch FROM clock_timestamp() - :'start'::timestamptz)::numeric, 2) AS whole \gset
\echo :tables tables of 64 shards, :statements statements (:lines lines, :errors errors): :seconds s, of which :core s on a core; propose_shards with all its rounds (:sharded sharded): :whole s
SQL
done
