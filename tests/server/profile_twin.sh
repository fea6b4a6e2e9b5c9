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

script=$PRESPLIT_ROOT/sql/capture_profile.sql
# The moment differs, and so do the statements: each capture is one more of them.
normal="SELECT jsonb_pretty(p - 'captured_at' - 'workload') FROM (SELECT convert_from(pg_read_binary_file('%s'), 'UTF8')::jsonb AS p) AS x"
differences() { # FILE OF THE SCRIPT, FILE OF THE FUNCTION
    chmod a+r "$1" "$2"
    # shellcheck disable=SC2059
    psql -qXAt -d hostile -c "$(printf "$normal" "$1")" >"$tmp/a"
    # shellcheck disable=SC2059
    psql -qXAt -d hostile -c "$(printf "$normal" "$2")" >"$tmp/b"
    [[ -s $tmp/a ]] || echo "nothing was captured"
    diff "$tmp/a" "$tmp/b" | head -n 20 || true
}
compare() { # NAME USER [RELATIONS]
    local oids=''
    [[ -z ${3:-} ]] || oids=$(psql -qXAt -d hostile -c "SELECT string_agg(r::oid::text, ',') FROM unnest($3) AS r")
    psql -qXAt -U "$2" -v ON_ERROR_STOP=1 -d hostile ${oids:+-v relations="$oids"} -f "$script" >"$tmp/script.$2" 2>/dev/null
    psql -qXAt -U "$2" -v ON_ERROR_STOP=1 -d hostile -c "SELECT public.capture_profile(${3:-})" >"$tmp/function.$2"
    same "$1" '' "$(differences "$tmp/script.$2" "$tmp/function.$2")"
}
fact() { psql -qXAt -d hostile -c "SELECT $2 FROM (SELECT convert_from(pg_read_binary_file('$1'), 'UTF8')::jsonb AS p) AS x"; }

compare "one table and one partition: the same" postgres "ARRAY['public.child', 'other.events_2025_0']::regclass[]"
same "they are the table and the partition's root" '["child", "events"]' \
    "$(fact "$tmp/script.postgres" "jsonb_path_query_array(p, '\$.tables[*].\"table\"')")"
compare "a superuser's profile is the same" postgres
compare "and that of a role that only monitors" hostile_monitor
same "whose hidden tables are those with row security and with extended statistics" \
    '["public.correlated", "public.dog", "public.rows_secured"]' "$(fact "$tmp/script.hostile_monitor" "p->'hidden_statistics_of'")"
compare "and that of a role without any right" hostile_nobody
export PGOPTIONS='-c default_transaction_read_only=on -c default_transaction_isolation=serializable'
compare "and in a read-only transaction" postgres
unset PGOPTIONS

psql -qXAt -d hostile -v ON_ERROR_STOP=1 -v values=none -f "$script" >"$tmp/none" 2>/dev/null
chmod a+r "$tmp/none"
same "without values none travel, fractions do" "f|0|t" "$(fact "$tmp/none" "p @? '\$.tables[*].columns[*].statistics ? (@.common_values.size() > 0 || @.histogram.size() > 0 || @.common_hashes.size() > 0)'
    OR p @? '\$.tables[*].extended_statistics[*] ? (@.common_values.size() > 0)', jsonb_array_length(p->'values_of'),
    p @? '\$.tables[*].extended_statistics[*] ? (@.common_fractions.size() > 0)'")"
same "extended statistics: all are there, and combinations of values" '["of_expressions", "private_too", "s.t\"at"]|40' "$(fact "$tmp/script.postgres" \
    "(SELECT jsonb_agg(e->'name' ORDER BY e->>'name') FROM jsonb_path_query(p, '\$.tables[*] ? (@.\"table\" == \"correlated\").extended_statistics[*]') AS e),
     (SELECT max(jsonb_array_length(e->'common_values')) FROM jsonb_path_query(p, '\$.tables[*].extended_statistics[*]') AS e)")"
same "but none of a column that is no key" 0 "$(grep -c 'private 1' "$tmp/script.postgres")"
found=$(psql -qXAt -d hostile -v file="$tmp/script.postgres" -f "$PRESPLIT_ROOT/tests/fixtures/hash_partitions.sql" 2>&1) || true
same "PostgreSQL routes the common values where their hashes say" "20|466" "$found"

# A table that somebody holds is captured all the same, and while it is held.
psql -qXAt -d hostile >/dev/null 2>&1 -c "DO \$\$ BEGIN LOCK TABLE public.child; FOR i IN 1 .. 300 LOOP
    EXIT WHEN (pg_stat_file('$tmp/enough', true)).size IS NOT NULL; PERFORM pg_sleep(0.1); END LOOP; END \$\$" &
holder=$!
held="SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'public.child'::regclass AND mode = 'AccessExclusiveLock')"
becomes "somebody locks a table" t twin 10 -d hostile -c "$held"
child=$(psql -qXAt -d hostile -c "SELECT 'public.child'::regclass::oid")
psql -qXAt -U hostile_monitor -v ON_ERROR_STOP=1 -d hostile -v relations="$child" -f "$script" >"$tmp/locked" 2>/dev/null || true
same "it is captured without waiting" t "$(psql -qXAt -d hostile -c "$held")"
touch "$tmp/enough"
chmod a+r "$tmp/enough" "$tmp/locked"
wait "$holder"
same "with its size" t "$(fact "$tmp/locked" "(p->'tables'->0->>'heap_bytes')::float8 > 0")"

succeeds "the script's profile is read" bash -c "psql -qX -v ON_ERROR_STOP=1 -d hostile -f $PRESPLIT_ROOT/sql/import_profile.sql <$tmp/script.postgres"
same "statements are in it, normalised, with their calls" "3" "$(psql -qAtX -d hostile -c \
    "SELECT s->>'calls' FROM jsonb_array_elements(capture_profile()->'workload'->'statements') AS s WHERE s->>'query' LIKE '%simple WHERE id = \$1%'" | cut -d. -f1)"
same "and are understood" "public.simple|{id}|equality|t" "$(psql -qAtX -d hostile -c \
    "SELECT relation, columns, access, prunable FROM analyze_workload() WHERE relation = 'public.simple' AND access = 'equality'")"
same "an analysis leaves nothing behind" "0" "$(psql -qAtX -d hostile -c "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'presplit\_%'")"
same "the growth of a table is forecast" "100|t|t" "$(psql -qAtX -d hostile -c \
    "SELECT count(*), bool_and(rows_lower <= rows AND rows <= rows_upper), bool_and(bytes >= 0) FROM predict_growth('public.simple', '100 days')")"

# A standby: the script and the function write nothing.
standby=$(mktemp -d "${PRESPLIT_TMP:-/tmp}/presplit.XXXXXX")
CLUSTER_DIR[standby]=$standby
CLUSTER_BIN[standby]=$(cluster_bin twin)
chmod 711 "$standby"
[[ $(id -u) != 0 ]] || chown "$CLUSTER_USER" "$standby"
as_cluster_user "$(cluster_bin twin)/pg_basebackup" -h "$PGHOST" -U postgres -D "$standby/data" -R -c fast >/dev/null 2>&1
echo "unix_socket_directories = '$standby'" >>"$standby/data/postgresql.conf"
cluster_up standby
primary=$PGHOST
PGHOST=$standby
psql -qXAt -v ON_ERROR_STOP=1 -d hostile -f "$script" >"$tmp/script.standby" 2>/dev/null
psql -qXAt -v ON_ERROR_STOP=1 -d hostile -c 'SELECT public.capture_profile()' >"$tmp/function.standby"
PGHOST=$primary
same "on a standby: the same" '' "$(differences "$tmp/script.standby" "$tmp/function.standby")"
cluster_stop standby

log_is_clean twin
exit "$CHECKS_FAILED"
