#!/usr/bin/env bash
# capture_profile() and its plain-SQL twin write the same JSON, on a schema full of odd names and kinds, for a
# superuser and for a role that only monitors; what they write is read back; statements of the live workload are in it.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start twin "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'"
cluster_use twin
tmp=$(cluster_tmp twin)
psql -qX -d postgres -c 'CREATE DATABASE hostile'
PGOPTIONS='-c client_min_messages=error' psql -qX -v ON_ERROR_STOP=1 -d hostile -f "$PRESPLIT_ROOT/tests/fixtures/hostile_schema.sql" >/dev/null
psql -qX -v ON_ERROR_STOP=1 -d hostile -c 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements' -c 'CREATE EXTENSION pg_presplit'
psql -qX -v ON_ERROR_STOP=1 -d hostile -c 'CREATE TABLE public.simple (id int PRIMARY KEY, at date)' \
    -c "INSERT INTO public.simple SELECT g, '2024-01-01'::date + g % 100 FROM generate_series(1, 1000) AS g" -c 'ANALYZE public.simple'
for turn in 1 2 3; do psql -qAtX -d hostile -c "SELECT count(*) FROM public.simple WHERE id = $turn" >/dev/null; done

# The moment differs, and so do the statements: each capture is one more of them.
normal="SELECT jsonb_pretty(p - 'captured_at' - 'workload') FROM (SELECT convert_from(pg_read_binary_file('%s'), 'UTF8')::jsonb AS p) AS x"
compare() { # NAME USER
    psql -qXAt -U "$2" -v ON_ERROR_STOP=1 -d hostile -f "$PRESPLIT_ROOT/sql/capture_profile.sql" >"$tmp/script.$2" 2>/dev/null
    psql -qXAt -U "$2" -v ON_ERROR_STOP=1 -d hostile -c 'SELECT public.capture_profile()' >"$tmp/function.$2"
    chmod a+r "$tmp/script.$2" "$tmp/function.$2"
    # shellcheck disable=SC2059
    psql -qXAt -d hostile -c "$(printf "$normal" "$tmp/script.$2")" >"$tmp/a"
    # shellcheck disable=SC2059
    psql -qXAt -d hostile -c "$(printf "$normal" "$tmp/function.$2")" >"$tmp/b"
    if [[ -s $tmp/a ]] && diff "$tmp/a" "$tmp/b" >"$tmp/differences"; then ok "$1"; else not_ok "$1" "$(head -n 20 "$tmp/differences")"; fi
}
compare "a superuser's profile is the same" postgres
psql -qX -d hostile -c 'CREATE ROLE watcher LOGIN' -c 'GRANT pg_monitor, pg_read_all_data TO watcher'
compare "and that of a role that only monitors" watcher

succeeds "the script's profile is read" bash -c "psql -qX -v ON_ERROR_STOP=1 -d hostile -f $PRESPLIT_ROOT/sql/import_profile.sql <$tmp/script.postgres"
same "statements are in it, normalised, with their calls" "3" "$(psql -qAtX -d hostile -c \
    "SELECT s->>'calls' FROM jsonb_array_elements(capture_profile()->'workload'->'statements') AS s WHERE s->>'query' LIKE '%simple WHERE id = \$1%'" | cut -d. -f1)"
same "and are understood" "public.simple|{id}|equality|t" "$(psql -qAtX -d hostile -c \
    "SELECT relation, columns, access, prunable FROM analyze_workload() WHERE relation = 'public.simple' AND access = 'equality'")"
same "an analysis leaves nothing behind" "0" "$(psql -qAtX -d hostile -c "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'presplit\_%'")"
same "the growth of a table is forecast" "100|t|t" "$(psql -qAtX -d hostile -c \
    "SELECT count(*), bool_and(rows_lower <= rows AND rows <= rows_upper), bool_and(bytes >= 0) FROM predict_growth('public.simple', '100 days')")"

log_is_clean twin
exit "$CHECKS_FAILED"
