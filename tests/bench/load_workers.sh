#!/usr/bin/env bash
# What COPY into a sharded table takes by load workers, against PostgreSQL's own COPY through the root
# (presplit.restore_hook = off) and into a plain table of the same rows.
#
#   tests/bench/load_workers.sh [VERSION [ROUNDS [ROWS]]]      default: 15 5 3000000
#
# Narrow rows have 8 columns and come shuffled; wide ones, a sixth as many, have 1 KB. Everything is read from a file
# on the server into empty tables. Printed are the medians of wall seconds and of the CPU seconds of the session and its
# workers together, and the ratios; and the floor, which is what the CPU time of the plain COPY would take on all cores, as
# a share of the root's wall time: workers that parse rows with PostgreSQL's own COPY cannot get below it. All ways of one layout run in every round, in turns. Install a release build first
# (`make install`): a debug build tells nothing. With other work on the machine, look at the CPU seconds.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
rounds=${2:-5}
rows=${3:-3000000}
only=${PRESPLIT_BENCH_ONLY:-.}

cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "autovacuum = off" \
    "presplit.load_workers_min_size = '1MB'" "shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "max_locks_per_transaction = 1024"
tmp=$(cluster_tmp bench)
run() { cluster_psql bench -qAt "$@"; }
postmaster=$(head -n 1 "${CLUSTER_DIR[bench]}/data/postmaster.pid")

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
      FROM (SELECT i FROM generate_series(1, $rows / 6) AS i ORDER BY hashint8(i)) AS s) TO '$tmp/wide';
SQL

columns="id bigint NOT NULL, customer int NOT NULL, at timestamptz NOT NULL, score float8, kind int, note text, flag boolean, total numeric"
table() { # NAME STRATEGY KEY BOUNDS
    run -c "CREATE TABLE $1 ($columns)" >/dev/null
    [[ $2 == plain ]] || run -c "SELECT count(*) FROM create_shards(register_proposal('public.$1', '$2', '{$3}', '$4'))" >/dev/null
}
table plain plain
for shards in 16 64 256; do table "hash$shards" hash id "{\"modulus\": $shards}"; done
bounds=$(run -c "SELECT jsonb_build_object('split_points', jsonb_agg((timestamptz '2024-01-01' + p * $rows / 256 * interval '1 minute')::text)) FROM generate_series(1, 255) AS p")
table ranges256 range at "$bounds"

# CPU seconds of all processes that the server has had and that are over.
spent() { awk -v tick="$(getconf CLK_TCK)" '{ print ($16 + $17) / tick }' "/proc/$postmaster/stat"; }

measure() { # TABLE FILE HOOK: wall and CPU seconds
    local before after wall
    run -c "TRUNCATE $1" -c CHECKPOINT
    sleep 0.2
    before=$(spent)
    wall=$(run <<SQL | tail -n 1
SET presplit.restore_hook = $3;
SELECT extract(epoch FROM clock_timestamp()) AS wall \\gset
COPY $1 FROM '$tmp/$2';
SELECT extract(epoch FROM clock_timestamp()) - :wall;
SQL
    )
    sleep 0.3
    after=$(spent)
    echo "$wall $(awk -v a="$after" -v b="$before" 'BEGIN { print a - b }')"
}

report() { # TITLE
    awk -v title="$1" -v cores="$(nproc)" '
        function median(way, field,   i, j, t, x, count) {
            count = split(values[way, field], x, " ")
            for (i = 2; i <= count; i++) for (j = i; j > 1 && x[j - 1] + 0 > x[j] + 0; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
            return count % 2 ? x[(count + 1) / 2] : (x[count / 2] + x[count / 2 + 1]) / 2
        }
        { values[$1, "wall"] = values[$1, "wall"] " " $2; values[$1, "cpu"] = values[$1, "cpu"] " " $3 }
        END {
            printf "%-20s wall s: plain %6.2f  root %6.2f  workers %6.2f   of root %.2f (floor %.2f)  of plain %.2f | CPU s: %6.2f %6.2f %6.2f   of root %.2f  of plain %.2f\n", title,
                median("plain", "wall"), median("root", "wall"), median("workers", "wall"),
                median("workers", "wall") / median("root", "wall"), median("plain", "cpu") / cores / median("root", "wall"),
                median("workers", "wall") / median("plain", "wall"),
                median("plain", "cpu"), median("root", "cpu"), median("workers", "cpu"),
                median("workers", "cpu") / median("root", "cpu"), median("workers", "cpu") / median("plain", "cpu")
        }' "$tmp/times"
}

compare() { # TITLE TABLE FILE
    local way round order
    grep -qE "$only" <<<"$1" || return 0
    : >"$tmp/times"
    for ((round = 0; round < rounds; round++)); do
        order=(plain root workers)
        ((round % 2 == 0)) || order=(workers root plain)
        for way in "${order[@]}"; do
            case $way in
                plain) echo "$way $(measure plain "$3" on)" ;;
                root) echo "$way $(measure "$2" "$3" off)" ;;
                workers) echo "$way $(measure "$2" "$3" on)" ;;
            esac >>"$tmp/times"
        done
    done
    report "$1"
}

echo "PostgreSQL $version, $rows narrow rows, medians of $rounds rounds, $(nproc) cores"
for shards in 16 64 256; do compare "narrow hash $shards" "hash$shards" narrow; done
compare "wide hash 256" hash256 wide
compare "ordered range 256" ranges256 ordered
compare "shuffled range 256" ranges256 narrow
