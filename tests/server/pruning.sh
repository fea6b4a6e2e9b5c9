#!/usr/bin/env bash
# What the analysis says of pruning is what PostgreSQL does: every statement of a list is analysed on an undivided table
# and explained on the same table divided by range, by list and by hash.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start pruning "$version" "shared_preload_libraries = 'pg_presplit'" "timezone = 'UTC'"
cluster_use pruning
psql -qX -d postgres -c 'CREATE DATABASE pruning'
export PGDATABASE=pruning
psql -qX -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pg_presplit' -f "$PRESPLIT_ROOT/tests/fixtures/pruning.sql" >/dev/null
psql -qX -v ON_ERROR_STOP=1 <<'SQL' >/dev/null
-- What the analysis says of column k of a table: prunable by order, by hash, by a join while running; all that it says.
CREATE FUNCTION public.claimed(sql text, name text, OUT by_order bool, OUT by_hash bool, OUT by_join bool, OUT said text)
LANGUAGE plpgsql AS $$
DECLARE
    covered int;
BEGIN
    PERFORM import_profile(jsonb_build_object(
        'format', 'pg_presplit profile', 'version', 2, 'captured_at', '2026-01-01T00:00:00Z',
        'server_version_num', 150000, 'database', 'd',
        -- With a table of its own the profile stands alone; what it does not have is looked up here.
        'tables', '[{"schema": "elsewhere", "table": "one", "kind": "ordinary", "rows": 0, "heap_bytes": 0, "index_bytes": 0, "toast_bytes": 0, "columns": []}]'::jsonb,
        'workload', jsonb_build_object('search_paths', '{"": ["whole", "public"]}'::jsonb, 'statements', jsonb_build_array(
            jsonb_build_object('queryid', 1, 'query', sql, 'calls', 1, 'exec_ms', 1, 'rows', 1)))), 'one');
    SELECT analyzed INTO covered FROM workload_coverage('one');
    IF covered <> 1 THEN
        said := 'not analysed';
        RETURN;
    END IF;
    SELECT coalesce(bool_or(a.prunable AND access <> 'join' AND a.reason IS DISTINCT FROM 'by hash alone: the type has no order'), false),
           coalesce(bool_or(a.prunable AND access <> 'join' AND a.reason NOT LIKE 'not by hash%' OR a.prunable AND access <> 'join' AND a.reason IS NULL), false),
           coalesce(bool_or(a.prunable AND access = 'join'), false),
           coalesce(string_agg(format('%s %s %s', access, prunable, a.reason), '; '), 'nothing')
    INTO by_order, by_hash, by_join, said
    FROM analyze_workload('one') AS a WHERE a.relation = 'whole.' || name AND a.columns = '{k}';
END
$$;
CREATE FUNCTION public.agrees(claimed bool, found bool, by_join bool) RETURNS bool LANGUAGE sql AS 'SELECT claimed = found OR (found AND by_join)';
CREATE TABLE public.cases (number int GENERATED ALWAYS AS IDENTITY, line text);
SQL
psql -qX -v ON_ERROR_STOP=1 -c '\copy cases (line) FROM pstdin' <"$PRESPLIT_ROOT/tests/fixtures/pruning.txt"

# A prunable join may prune while it runs, and need not; everything else must agree.
result=$(psql -qXAt -v ON_ERROR_STOP=1 <<'SQL'
SELECT CASE WHEN said = 'not analysed' OR NOT (agrees(by_order, by_range, by_join) AND agrees(by_order, by_list, by_join)
                                               AND agrees(by_hash, hash, by_join))
       THEN format('differs (range %s, list %s, hash %s; said: %s): %s', by_range, by_list, hash, said, sql)
       ELSE 'agrees' END
FROM (SELECT number, split_part(line, ' ', 1) AS name, substr(line, strpos(line, ' ') + 1) AS sql FROM cases) AS c
CROSS JOIN LATERAL claimed(sql, name) AS q
CROSS JOIN LATERAL (SELECT prunes(sql, 'by_range', name) AS by_range, prunes(sql, 'by_list', name) AS by_list,
                           prunes(sql, 'by_hash', name) AS hash) AS t
ORDER BY number
SQL
) || not_ok "the statements run" "see above"
agreed=$(grep -c '^agrees$' <<<"$result" || true)
same "statements whose pruning is told as it is" "$(wc -l <"$PRESPLIT_ROOT/tests/fixtures/pruning.txt")" "$agreed"
grep '^differs' <<<"$result" || true

log_is_clean pruning
exit "$CHECKS_FAILED"
