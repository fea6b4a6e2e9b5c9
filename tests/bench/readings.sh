#!/usr/bin/env bash
# What a reading of pg_stat_statements costs the worker: milliseconds of a reading with 5,000 entries, of its parts,
# and what is stored. Usage: tests/bench/readings.sh [15|18] [entries]
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-18}
entries=${2:-5000}

cluster_start bench "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" \
    "presplit.worker_naptime = 1" "pg_stat_statements.max = $((entries + 500))" "autovacuum = off"
cluster_use bench
q() { psql -qAtX -v ON_ERROR_STOP=1 -d bench "$@"; }
psql -qX -d postgres -c 'CREATE DATABASE bench'
q -c 'CREATE TABLE t (a int, b int)' -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit'

# Each text is of its own kind: another sequence of operators.
statements=$(awk -v n="$entries" 'BEGIN {for (i = 1; i <= n; i++) {
    s = "SELECT a"; for (bits = 65536 + i; bits > 1; bits = int(bits / 2)) s = s (bits % 2 ? " + b" : " - b")
    print s " AS some_column_with_a_name FROM t WHERE a = 1 AND b BETWEEN 2 AND 3;"}}')
reading() { # prints what it took
    local before
    before=$(q -c "UPDATE presplit.statement_reading SET at = at - interval '1 hour' RETURNING at")
    until [[ $(q -c "SELECT count(*) FROM presplit.statement_reading WHERE at <> '${before:-infinity}'") == 1 ]]; do sleep 0.2; done
    q -c 'SELECT round(took_ms) FROM presplit.statement_reading'
}
cpu() { # ms of CPU of all processes of the cluster that have ended, as the postmaster counts them
    awk -v hz="$(getconf CLK_TCK)" '{print int(($16 + $17) * 1000 / hz)}' "/proc/$(head -n 1 "${CLUSTER_DIR[bench]}/data/postmaster.pid")/stat"
}
echo "first reading, no entries:                        $(reading) ms"
q -o /dev/null <<<"$statements"
echo "entries of the database:                          $(q -c 'SELECT count(*) FROM pg_stat_statements(false) AS s JOIN pg_database AS d ON d.oid = s.dbid WHERE datname = current_database()')"
echo "all of them new, with 500 texts:                  $(reading) ms"
q -o /dev/null <<<"$statements"
echo "all of them changed, most of the texts known:     $(reading) ms"
took=()
for _ in {1..10}; do q -o /dev/null <<<"$(head -n 400 <<<"$statements")"; took+=("$(reading)"); done
echo "400 of them changed, ten times:                   ${took[*]} ms"
timed() { q -c '\timing on' -c "$1" | sed -n 's/^Time: //p'; }
echo "of which counters without texts:                  $(timed 'SELECT count(*) FROM pg_stat_statements(false)' | tail -n 1)"
echo "counters with texts, for comparison:              $(timed 'SELECT count(*) FROM pg_stat_statements(true)' | tail -n 1)"
echo "stored: last reading, hours, texts (bytes):       $(q -c "SELECT string_agg(pg_total_relation_size('presplit.' || t)::text, ', ') FROM unnest('{statement_reading,statement_hours,statement_texts}'::text[]) AS t")"
echo "stored: the reading itself (bytes, as stored):    $(q -c 'SELECT pg_column_size(entries) FROM presplit.statement_reading')"
from=$(cpu)
sleep 20
echo "CPU of launcher's workers in 20 s, nothing due:   $(($(cpu) - from)) ms"
q -o /dev/null -c "UPDATE presplit.statement_reading SET at = at - interval '2 days'"
sleep 2
q -o /dev/null -c "SELECT count(*) FROM analyze_workload()"
echo "analyze_workload() with readings:                 $(timed 'SELECT count(*) FROM analyze_workload()' | tail -n 1)"
echo "its note:                                         $(q -c 'SELECT note FROM workload_coverage()')"
