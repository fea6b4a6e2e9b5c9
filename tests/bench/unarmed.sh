#!/usr/bin/env bash
# What the hook costs statements about tables that are not armed: pgbench with one client, in turns against a database
# whose sessions do not load the library, another one like it (how far two measurements of the same differ), one with
# library and extension, and one in which another table is armed.
# Usage: [SCRIPTS='copy temp'] tests/bench/unarmed.sh [15|18] [ROUNDS] [SECONDS]
# Prints the median latency without the library, and for each other database the median over the rounds of latency
# relative to that round's, and the least latency relative to the least: the latter says more on a busy machine. Needs the extension installed in that server, for figures that count a release build.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15} rounds=${2:-7} seconds=${3:-2}

cluster_start bench "$version" "synchronous_commit = off" "autovacuum = off" "full_page_writes = off" "max_wal_size = 4GB" \
    "checkpoint_timeout = '1h'"
cluster_use bench
tmp=$(cluster_tmp bench)
databases=(bare again loaded armed)
for database in "${databases[@]}"; do
    psql -qX -d postgres -c "CREATE DATABASE $database"
    psql -qXAt -v ON_ERROR_STOP=1 -d "$database" -c 'CREATE TABLE plain (id int PRIMARY KEY, v text)' \
        -c 'CREATE UNLOGGED TABLE sink (id int, v text)' -c "INSERT INTO plain SELECT g, 'v' FROM generate_series(1, 1000) AS g" -c 'VACUUM ANALYZE plain'
done
for database in loaded armed; do
    psql -qX -v ON_ERROR_STOP=1 -d "$database" -c 'CREATE EXTENSION pg_presplit' -c "ALTER DATABASE $database SET session_preload_libraries = 'pg_presplit'"
done
psql -qXAt -v ON_ERROR_STOP=1 -d armed >/dev/null <<'SQL'
CREATE TABLE other (id int, v text);
SELECT register_proposal('other', 'hash', '{id}', '{"modulus": 4}') AS id \gset
DROP TABLE other;
SELECT create_shards(:id);
SQL
printf '1\tone\n' >"$tmp/row"
chmod a+r "$tmp/row"

declare -A scripts=(
    [select]='SELECT v FROM plain WHERE id = 7;'
    [set]="SET work_mem = '4MB';"
    [copy]="COPY sink FROM '$tmp/row';"
    [comment]="COMMENT ON TABLE sink IS 'x';"
    [alter]='ALTER TABLE sink ALTER v SET STATISTICS 100;'
    [temp]=$'BEGIN;\nCREATE TEMP TABLE t (i int) ON COMMIT DROP;\nCOMMIT;'
    [index]=$'BEGIN;\nCREATE INDEX i ON sink (id);\nROLLBACK;'
)
median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
latency() { # DATABASE SCRIPT -> ms
    psql -qX -d "$1" -c 'TRUNCATE sink'
    pgbench -n -c 1 -T "$seconds" -f "$tmp/$2.sql" "$1" 2>/dev/null | sed -nE 's/^latency average = ([0-9.]+) ms.*/\1/p'
}
relative() { # DATABASE -> "median least"
    paste "$tmp/$1" "$tmp/bare" | awk '{print $1 / $2}' | median
    paste <(sort -g "$tmp/$1" | head -n 1) <(sort -g "$tmp/bare" | head -n 1) | awk '{print $1 / $2}'
}
printf '%-8s %12s %14s %14s %14s\n' statement 'without (ms)' again loaded armed
for script in ${SCRIPTS:-select set copy comment alter temp index}; do
    echo "${scripts[$script]}" >"$tmp/$script.sql"
    for database in "${databases[@]}"; do : >"$tmp/$database"; done
    for ((round = 1; round <= rounds; round++)); do
        # Each goes first as often as the others.
        for ((at = 0; at < 4; at++)); do
            database=${databases[(at + round) % 4]}
            latency "$database" "$script" >>"$tmp/$database"
        done
    done
    printf '%-8s %12.4f' "$script" "$(median <"$tmp/bare")"
    for database in again loaded armed; do
        # shellcheck disable=SC2046
        printf '   %5.2f %5.2f' $(relative "$database")
    done
    echo
done
