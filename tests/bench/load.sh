#!/usr/bin/env bash
# What COPY into a sharded table costs, batched by shard in the session, against PostgreSQL's own COPY through the root
# (presplit.restore_hook = off) and into a plain table of the same rows.
#
#   tests/bench/load.sh [VERSION [ROUNDS [ROWS]]]      default: 15 5 1500000
#
# Narrow rows have 8 columns and come shuffled into 2 to 256 hash shards, or in order of time into 256 ranges; wide ones,
# a twelfth as many, have 1 KB and 256 hash shards. Everything is read from a file on the server, into empty tables, and
# once per layout from a client. Printed are the medians of the backend's CPU seconds (user and system, by the scheduler)
# and of wall seconds, and the ratios to PostgreSQL's COPY through the root and into the plain table. All ways of one
# layout run in every round, in turns. Install a release build first (`make install`): a debug build tells nothing.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
rounds=${2:-5}
rows=${3:-1500000}
only=${PRESPLIT_BENCH_ONLY:-.}

cluster_start bench "$version" "presplit.load_workers_min_size = -1" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "autovacuum = off" \
    "shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "max_locks_per_transaction = 2048"
tmp=$(cluster_tmp bench)
run() { cluster_psql bench -qAt "$@"; }

run <<SQL
CREATE EXTENSION pg_presplit;
COPY (SELECT i, (hashint8(i) & 2147483647) % 100000, timestamptz '2024-01-01' + i * interval '1 minute', (i % 997)::float8 / 7,
             (i % 5)::int, md5(i::text), i % 2 = 0, (i % 10000)::numeric / 100
      FROM (SELECT i FROM generate_series(1, $rows) AS i ORDER BY hashint8(i)) AS s) TO '$tmp/narrow';
COPY (SELECT i, (hashint8(i) & 2147483647) % 100000, timestamptz '2024-01-01' + i * interval '1 minute', (i % 997)::float8 / 7,
             (i % 5)::int, md5(i::text), i % 2 = 0, (i % 10000)::numeric / 100
      FROM generate_series(1, $rows) AS i) TO '$tmp/ordered';
COPY (SELECT i, (hashint8(i) & 2147483647) % 100000, timestamptz '2024-01-01' + i * interval '1 minute', (i % 997)::float8 / 7,
             (i % 5)::int, repeat(md5(i::text), 30), i % 2 = 0, (i % 10000)::numeric / 100
      FROM (SELECT i FROM generate_series(1, $rows / 12) AS i ORDER BY hashint8(i)) AS s) TO '$tmp/wide';
SQL

columns="id bigint NOT NULL, customer int NOT NULL, at timestamptz NOT NULL, score float8, kind int, note text, flag boolean, total numeric"
table() { # NAME STRATEGY KEY BOUNDS
    run -c "CREATE TABLE $1 ($columns)" >/dev/null
    [[ $2 == plain ]] || run -c "SELECT count(*) FROM create_shards(register_proposal('public.$1', '$2', '{$3}', '$4'))" >/dev/null
}
table plain plain
for shards in 2 4 16 64 256; do table "hash$shards" hash id "{\"modulus\": $shards}"; done
# The last row comes $rows minutes after the first.
bounds=$(run -c "SELECT jsonb_build_object('split_points', jsonb_agg((timestamptz '2024-01-01' + p * $rows / 256 * interval '1 minute')::text)) FROM generate_series(1, 255) AS p")
table ranges256 range at "$bounds"

# CPU and wall seconds of one load.
measure() { # TABLE FILE HOOK SOURCE
    local copy="COPY $1 FROM '$tmp/$2';"
    [[ $4 == file ]] || copy="\\copy $1 FROM '$tmp/$2'"
    run <<SQL | tail -n 1
TRUNCATE $1;
CHECKPOINT;
SET presplit.restore_hook = $3;
SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 AS cpu, extract(epoch FROM clock_timestamp()) AS wall \\gset
$copy
SELECT (split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::float8 - :cpu) / 1e9, extract(epoch FROM clock_timestamp()) - :wall;
SQL
}

report() { # TITLE FOLDER
    awk -v title="$1" '
        function median(way, field,   i, j, t, n, x, count) {
            count = split(values[way, field], x, " ")
            for (i = 2; i <= count; i++) for (j = i; j > 1 && x[j - 1] + 0 > x[j] + 0; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
            return count % 2 ? x[(count + 1) / 2] : (x[count / 2] + x[count / 2 + 1]) / 2
        }
        { values[$1, "cpu"] = values[$1, "cpu"] " " $2; values[$1, "wall"] = values[$1, "wall"] " " $3 }
        END {
            printf "%-24s CPU s: plain %6.2f  root %6.2f  batched %6.2f   of root %.2f  of plain %.2f | wall s: %6.2f %6.2f %6.2f   of root %.2f  of plain %.2f\n", title,
                median("plain", "cpu"), median("root", "cpu"), median("batched", "cpu"),
                median("batched", "cpu") / median("root", "cpu"), median("batched", "cpu") / median("plain", "cpu"),
                median("plain", "wall"), median("root", "wall"), median("batched", "wall"),
                median("batched", "wall") / median("root", "wall"), median("batched", "wall") / median("plain", "wall")
        }' "$2"
}

compare() { # TITLE TABLE FILE SOURCE
    local way round order out
    grep -qE "$only" <<<"$1" || return 0
    : >"$tmp/times"
    for ((round = 0; round < rounds; round++)); do
        order=(plain root batched)
        ((round % 2 == 0)) || order=(batched root plain)
        for way in "${order[@]}"; do
            case $way in
                plain) out=$(measure plain "$3" on "$4") ;;
                root) out=$(measure "$2" "$3" off "$4") ;;
                batched) out=$(measure "$2" "$3" on "$4") ;;
            esac
            echo "$way ${out/|/ }" >>"$tmp/times"
        done
    done
    report "$1" "$tmp/times"
}

echo "PostgreSQL $version, $rows narrow rows, medians of $rounds rounds"
for shards in 2 4 16 64 256; do compare "narrow hash $shards" "hash$shards" narrow file; done
compare "narrow hash 64, client" hash64 narrow client
compare "narrow hash 256, client" hash256 narrow client
compare "ordered range 256" ranges256 ordered file
compare "shuffled range 256" ranges256 narrow file
compare "wide hash 64" hash64 wide file
compare "wide hash 256" hash256 wide file
