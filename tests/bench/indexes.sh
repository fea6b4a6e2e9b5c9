#!/usr/bin/env bash
# What it brings to build the indexes of several shards at once. Usage: tests/bench/indexes.sh [15|18] [rows] [rounds] [shards ...]
#
# Prints, for tables of 1 (whole), 16, 64 and 256 shards with the same rows, medians of the seconds that a primary key, an
# index of a text and a gin index take: by one process, by PostgreSQL's own parallel workers, and by several shards at
# once, the ways one after the other in each round. Needs the extension, built with --release.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-18} rows=${2:-3000000} rounds=${3:-5}
shift $(($# < 3 ? $# : 3))
counts=("$@")
((${#counts[@]})) || counts=(1 16 64 256)

cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "shared_buffers = '1GB'" "max_wal_size = '16GB'" "autovacuum = off" \
    "max_locks_per_transaction = 512" "max_worker_processes = 12" "presplit.databases = 'nothing'"
cluster_use bench
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
columns='id bigint NOT NULL, v text NOT NULL, tags int[]'
run -c 'CREATE EXTENSION pg_presplit' -c "CREATE TABLE t1 ($columns)"
for shards in "${counts[@]}"; do
    ((shards > 1)) || continue
    run >/dev/null <<SQL
CREATE TABLE t$shards ($columns);
CREATE TEMP TABLE made AS SELECT register_proposal('public.t$shards', 'hash', '{id}', '{"modulus": $shards}') AS id;
DROP TABLE t$shards;
SELECT count(*) FROM create_shards((SELECT id FROM made));
CREATE TABLE t$shards ($columns);
SQL
done
for shards in "${counts[@]}"; do
    run -c "INSERT INTO t$shards SELECT n * 7919 % 1000000007, md5(n::text), ARRAY[n % 100, n % 7] FROM generate_series(1::bigint, $rows) AS n" -c 'CHECKPOINT'
done
ways=(one postgres together)
timed() { # SHARDS WAY STATEMENT
    local workers=2 hook=on
    case $2 in one) workers=0 ;; postgres) hook=off ;; esac
    run -c "SET presplit.restore_hook = $hook" -c "SET max_parallel_maintenance_workers = $workers" -c '\timing on' -c 'BEGIN' -c "$3" -c 'ROLLBACK' |
        sed -nE '2s/^Time: ([0-9.]+) ms.*/\1/p'
}
median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
echo "PostgreSQL $version, $rows rows, median of $rounds rounds, ms (of: of PostgreSQL's own with its parallel workers)"
printf '%-8s %-14s %10s %10s %10s %6s\n' shards index "${ways[@]}" of
for shards in "${counts[@]}"; do
    for index in "primary key|ALTER TABLE t$shards ADD PRIMARY KEY (id)" "text|CREATE INDEX ON t$shards (v)" "gin|CREATE INDEX ON t$shards USING gin (tags)"; do
        declare -A took=()
        for ((round = 0; round < rounds; round++)); do
            for way in "${ways[@]}"; do took[$way]+="$(timed "$shards" "$way" "${index#*|}")"$'\n'; done
        done
        for way in "${ways[@]}"; do took[$way]=$(median <<<"${took[$way]%$'\n'}"); done
        printf '%-8s %-14s %10.0f %10.0f %10.0f %6.2f\n' "$shards" "${index%%|*}" "${took[one]}" "${took[postgres]}" "${took[together]}" \
            "$(bc -l <<<"${took[together]} / ${took[postgres]}")"
    done
done
