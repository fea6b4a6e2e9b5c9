#!/usr/bin/env bash
# What the hook and the guard cost statements about tables that are not armed: one session each, in turns, in a database
# whose sessions do not load the library, another one like it (how far two measurements of the same differ), one with
# library and extension, and one in which another table is armed.
# Usage: [SCRIPTS='copy temp'] tests/bench/unarmed.sh [15|18] [ROUNDS] [SECONDS]
# Prints first what pgbench sees: the median latency without the library, and for each other database the median over the
# rounds of latency relative to that round's, and the least latency relative to the least. Then, as it tells more on a
# busy machine (and alone with 0 SECONDS), the processor time of the backend alone: its median without the library in microseconds a statement, for
# each other database the median over the rounds relative to that round's, in brackets between what the middle half of
# the rounds lie, and the least relative to the least. Needs the extension installed in that server, for figures that count a release build.
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
    [create]=$'BEGIN;\nCREATE TABLE t (i int);\nROLLBACK;'
    [view]=$'BEGIN;\nCREATE VIEW w AS SELECT 1;\nROLLBACK;'
    [index]=$'BEGIN;\nCREATE INDEX i ON sink (id);\nROLLBACK;'
)
median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
quarter() { sort -g | awk -v q="$1" '{v[NR] = $1} END {print v[int(q * (NR - 1) / 4 + 1.5)]}'; } # 1 or 3
names=${SCRIPTS:-select set copy comment alter temp create view index}
for script in $names; do echo "${scripts[$script]}" >"$tmp/$script.sql"; done
# Each goes first as often as the others.
in_turns() { # FUNCTION SCRIPT: its figures, one a round, in a file for each database
    local round at database
    for database in "${databases[@]}"; do : >"$tmp/$database"; done
    for ((round = 1; round <= rounds; round++)); do
        for ((at = 0; at < 4; at++)); do
            database=${databases[(at + round) % 4]}
            "$1" "$database" "$2" >>"$tmp/$database"
        done
    done
}
least() { paste <(sort -g "$tmp/$1" | head -n 1) <(sort -g "$tmp/bare" | head -n 1) | awk '{print $1 / $2}'; } # DATABASE
relative() { paste "$tmp/$1" "$tmp/bare" | awk '{print $1 / $2}'; } # DATABASE -> one a round

latency() { # DATABASE SCRIPT -> ms
    psql -qX -d "$1" -c 'TRUNCATE sink'
    pgbench -n -c 1 -T "$seconds" -f "$tmp/$2.sql" "$1" 2>/dev/null | sed -nE 's/^latency average = ([0-9.]+) ms.*/\1/p'
}
((seconds == 0)) || printf '%-8s %12s %14s %14s %14s\n' pgbench 'without (ms)' again loaded armed
for script in $names; do
    ((seconds > 0)) || continue
    in_turns latency "$script"
    printf '%-8s %12.4f' "$script" "$(median <"$tmp/bare")"
    for database in again loaded armed; do
        printf '   %5.2f %5.2f' "$(relative "$database" | median)" "$(least "$database")"
    done
    echo
done

# A session that stays, for each database: psql reads from a pipe and says when it is done.
declare -A backend to from
for database in "${databases[@]}"; do
    mkfifo "$tmp/$database.to" "$tmp/$database.from"
    psql -qXAt -d "$database" <"$tmp/$database.to" >"$tmp/$database.from" 2>/dev/null &
    exec {fd}>"$tmp/$database.to"
    to[$database]=$fd
    exec {fd}<"$tmp/$database.from"
    from[$database]=$fd
    echo 'SELECT pg_backend_pid();' >&"${to[$database]}"
    read -r "backend[$database]" <&"${from[$database]}"
    echo '\o /dev/null' >&"${to[$database]}"
done
statements=200
for script in $names; do
    for ((at = 0; at < statements; at++)); do cat "$tmp/$script.sql"; done >"$tmp/$script.many"
done
spent() { cut -d ' ' -f 1 "/proc/${backend[$1]}/schedstat"; } # ns
processor() { # DATABASE SCRIPT -> microseconds a statement
    local before after
    printf 'TRUNCATE sink;\n\\i %s\n\\echo done\n' "$tmp/$2.sql" >&"${to[$1]}"
    read -r <&"${from[$1]}"
    before=$(spent "$1")
    printf '\\i %s\n\\echo done\n' "$tmp/$2.many" >&"${to[$1]}"
    read -r <&"${from[$1]}"
    after=$(spent "$1")
    awk -v ns="$((after - before))" -v n="$statements" 'BEGIN {print ns / n / 1000}'
}
rounds=$((rounds * 5))
printf '\n%-8s %12s %26s %26s %26s\n' processor 'without (us)' again loaded armed
for script in $names; do
    in_turns processor "$script"
    printf '%-8s %12.1f' "$script" "$(median <"$tmp/bare")"
    for database in again loaded armed; do
        printf '   %5.3f [%5.3f %5.3f] %5.3f' "$(relative "$database" | median)" "$(relative "$database" | quarter 1)" \
            "$(relative "$database" | quarter 3)" "$(least "$database")"
    done
    echo
done
