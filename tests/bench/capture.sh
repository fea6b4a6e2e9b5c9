#!/usr/bin/env bash
# What a capture costs: seconds of the script and of the function in databases of 1,000 and 10,000 tables of 12 columns
# and 3 indexes, with foreign keys, statistics and 1,000 statements. Usage: tests/bench/capture.sh [15|18] [TABLES...]
# Promised: 1,000 tables in at most 3 seconds. Prints wall-clock time and CPU time of the backend; the latter is what to
# compare on a busy machine. Needs the extension installed in that server.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
shift || true
counts=("${@:-1000}")

cluster_start bench "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" \
    "max_locks_per_transaction = 256" "shared_buffers = '256MB'" "pg_stat_statements.max = 20000"
cluster_use bench

build() { # DATABASE TABLES
    psql -qX -d postgres -c "CREATE DATABASE $1"
    psql -qX -v ON_ERROR_STOP=1 -d "$1" -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit' >/dev/null
    psql -qXAt -v ON_ERROR_STOP=1 -d "$1" -v n="$2" >/dev/null <<'SQL'
SELECT format('CREATE TABLE public.t%s (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent_id bigint %s, tenant int NOT NULL, state text NOT NULL, at timestamptz NOT NULL, on_day date, amount numeric(12,2), key uuid, name varchar(40), flag boolean, note text, extra jsonb)', i, CASE WHEN i > 1 THEN format('REFERENCES public.t%s', 1 + (i - 2) / 3) END) FROM generate_series(1, :n) AS i \gexec
SELECT format('CREATE INDEX ON public.t%s (tenant, at)', i) FROM generate_series(1, :n) AS i \gexec
SELECT format('CREATE INDEX ON public.t%s (state)', i) FROM generate_series(1, :n) AS i \gexec
SELECT format('INSERT INTO public.t%s (tenant, state, at, on_day, amount, key, name, flag, note) SELECT g %% 20, (ARRAY[''new'',''paid'',''sent''])[1 + g %% 3], timestamptz ''2026-01-01'' + g * interval ''1 hour'', date ''2026-01-01'' + g, g / 7.0, md5(g::text)::uuid, ''name '' || g, g %% 3 = 0, ''note '' || g FROM generate_series(1, 300) AS g', i) FROM generate_series(1, :n) AS i \gexec
ANALYZE;
SELECT pg_stat_statements_reset() IS NULL;
SQL
    psql -qXAt -d "$1" -c "SELECT format('SELECT count(*) FROM public.t%s WHERE tenant = 1 AND at > now();', i) FROM generate_series(1, 1000) AS i" \
        | psql -qXAt -d "$1" >/dev/null
}

# The processor time of a backend, as Linux counts it in hundredths of a second.
cpu="(SELECT s[14]::int + s[15]::int FROM string_to_array(pg_read_file('/proc/self/stat', 0, 1000), ' ') AS s)"
timed() { # DATABASE WHAT psql-script
    local begin end used
    begin=$(date +%s.%N)
    used=$({
        echo "SELECT $cpu AS before \\gset"
        echo "\\o /dev/null"
        echo "$3"
        echo "\\o"
        echo "SELECT round(($cpu - :before) / 100.0, 2);"
    } | psql -qXAt -v ON_ERROR_STOP=1 -d "$1" 2>/dev/null | tail -n 1)
    end=$(date +%s.%N)
    printf 'PostgreSQL %s, %s, %s: %.2f s, %s s of CPU in the server\n' "$version" "$1" "$2" \
        "$(bc <<<"$end - $begin" 2>/dev/null || python3 -c "print($end - $begin)")" "$used"
}

for tables in "${counts[@]}"; do
    build "tables_$tables" "$tables"
    for _ in 1 2; do
        timed "tables_$tables" script "\\i $PRESPLIT_ROOT/sql/capture_profile.sql"
        timed "tables_$tables" function "SELECT public.capture_profile();"
    done
    psql -qXAt -d "tables_$tables" -f "$PRESPLIT_ROOT/sql/capture_profile.sql" 2>/dev/null | wc -c \
        | awk '{printf "  %.1f MB of JSON\n", $1 / 1e6}'
done
