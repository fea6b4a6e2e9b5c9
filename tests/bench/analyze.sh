#!/usr/bin/env bash
# How long the analysis of 5,000 distinct statements over 100 tables takes, and how much memory its backend needs:
#
#   bash tests/bench/analyze.sh [15|18] [STATEMENTS] [TABLES]
#
# The promise is 2 seconds and 200 MB. Builds and installs a release build first. The tables exist in the profile alone.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15} statements=${2:-5000} tables=${3:-100}

install_extension "$(pg_config_of "$version")" --release >/dev/null 2>&1
cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'"
cluster_use bench
psql -qX -d postgres -c 'CREATE EXTENSION pg_presplit'
psql -qXAt -v ON_ERROR_STOP=1 -v statements="$statements" -v tables="$tables" -d postgres <<'SQL'
-- Tables of 15 columns of mixed types, with a primary key, a foreign key and indexes; statements of ten forms.
CREATE FUNCTION pg_temp.type_of(n int) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('schema', 'pg_catalog', 'name', t, 'text', t, 'array', false)
    FROM unnest(ARRAY['int8', 'int8', 'timestamptz', 'text', 'numeric', 'int4', 'bool', 'date', 'varchar', 'uuid',
                      'int2', 'jsonb', 'float8', 'timestamp', 'text']) WITH ORDINALITY AS x (t, o) WHERE o = n
$$;
SELECT import_profile(jsonb_build_object(
    'format', 'pg_presplit profile', 'version', 2, 'captured_at', '2026-01-01T00:00:00Z', 'server_version_num', 150000,
    'database', 'bench',
    'tables', (SELECT jsonb_agg(jsonb_build_object(
        'schema', 'app', 'table', 't' || t, 'kind', 'ordinary', 'rows', 1e6, 'heap_bytes', 1e8, 'index_bytes', 1e7, 'toast_bytes', 0,
        'columns', (SELECT jsonb_agg(jsonb_build_object('name', 'c' || c, 'type', pg_temp.type_of(c), 'not_null', c = 1,
                                                        'orderable', c <> 12, 'hashable', c <> 12)) FROM generate_series(1, 15) AS c),
        'constraints', jsonb_build_array(jsonb_build_object('name', 't' || t || '_pkey', 'kind', 'primary_key', 'columns', '["c1"]'::jsonb)),
        'indexes', jsonb_build_array(
            jsonb_build_object('name', 't' || t || '_pkey', 'method', 'btree', 'unique', true, 'columns', '["c1"]'::jsonb, 'of_constraint', true),
            jsonb_build_object('name', 'i' || t, 'method', 'btree', 'unique', false, 'columns', '["c2", "c3"]'::jsonb)))
        ) FROM generate_series(1, :tables) AS t),
    'workload', jsonb_build_object('source', 'declared', 'seconds', 86400, 'search_paths', '{"": ["app"]}'::jsonb, 'statements',
        (SELECT jsonb_agg(jsonb_build_object('queryid', i, 'role', 'r', 'calls', 1000, 'exec_ms', 10, 'rows', 1000, 'query',
            format((ARRAY[
                'SELECT c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 AS x%4$s FROM t%1$s WHERE c1 = $1 AND c3 >= $2 AND c3 < $3 ORDER BY c3 DESC LIMIT $4',
                'SELECT a.c1, a.c4, b.c5, c.c6 AS x%4$s FROM t%1$s a JOIN t%2$s b ON b.c2 = a.c1 LEFT JOIN t%3$s c ON c.c1 = b.c2 WHERE a.c2 = $1 AND b.c6 IN ($2, $3, $4)',
                'WITH recent AS (SELECT c1, c2, c5 FROM t%1$s WHERE c3 > now() - interval $1), sums AS (SELECT c2, sum(c5) AS s%4$s FROM recent GROUP BY c2) SELECT * FROM sums JOIN t%2$s u ON u.c1 = sums.c2 WHERE u.c4 LIKE $2',
                'SELECT date_trunc($1, c3), count(*), avg(c5) AS x%4$s FROM t%1$s WHERE c8 BETWEEN $2 AND $3 AND c7 GROUP BY date_trunc($4, c3) ORDER BY date_trunc($5, c3)',
                'INSERT INTO t%1$s (c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (c1) DO UPDATE SET c4 = EXCLUDED.c4, c6 = t%1$s.c6 + %4$s',
                'UPDATE t%1$s SET c4 = $1, c6 = t%1$s.c6 + %4$s, c3 = now() FROM t%2$s s WHERE s.c1 = t%1$s.c2 AND t%1$s.c1 = $2 AND s.c6 > $3',
                'DELETE FROM t%1$s WHERE c3 < $1 AND c6 <> %4$s AND NOT EXISTS (SELECT FROM t%2$s s WHERE s.c2 = t%1$s.c1)',
                'SELECT c2, count(*) FILTER (WHERE c7) AS x%4$s, max(c5), row_number() OVER (PARTITION BY c2 ORDER BY max(c3)) FROM t%1$s WHERE c1 = ANY ($1) GROUP BY c2 HAVING count(*) > $2',
                'SELECT * FROM t%1$s a, LATERAL (SELECT c1, c5 AS x%4$s FROM t%2$s b WHERE b.c2 = a.c1 ORDER BY c3 DESC LIMIT $1) AS l WHERE a.c9 = $2 AND (a.c6 = $3 OR a.c6 IS NULL)',
                'SELECT c1 AS x%4$s, c4 FROM t%1$s WHERE (c2, c1) > ($1, $2) AND c10 = $3 UNION ALL SELECT c1, c4 FROM t%2$s WHERE c2 IN (SELECT c1 FROM t%3$s WHERE c6 = $4) ORDER BY 1 LIMIT $5'
                ])[1 + i % 10],
                1 + i % :tables, 1 + (i * 7 + 3) % :tables, 1 + (i * 13 + 5) % :tables, i)))
         FROM generate_series(1, :statements) AS i))), 'bench') \gset
SQL
for run in 1 2 3; do
    psql -qXAt -v ON_ERROR_STOP=1 -d postgres <<'SQL' | sed "s/^/run $run: /"
SELECT pg_backend_pid() AS pid, count(*) > 0 AS loaded FROM presplit.settings \gset
\set before `awk '/VmHWM/ {print $2}' /proc/:pid/status`
\set cpu_before `awk '{print ($14 + $15) * 10}' /proc/:pid/stat`
SELECT clock_timestamp() AS start \gset
SELECT statements, analyzed FROM workload_coverage('bench') \gset
SELECT round(extract(epoch FROM clock_timestamp() - :'start'::timestamptz)::numeric, 2) AS seconds \gset
\set after `awk '/VmHWM/ {print $2}' /proc/:pid/status`
\set cpu_after `awk '{print ($14 + $15) * 10}' /proc/:pid/stat`
SELECT format('%s of %s statements in %s s (%s s of CPU), %s MB more at the peak (of %s MB)', :analyzed, :statements, :seconds,
              round((:cpu_after - :cpu_before) / 1000.0, 2),
              (:after - :before) / 1024, :after / 1024);
SQL
done
