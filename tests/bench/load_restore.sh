#!/usr/bin/env bash
# What a whole pg_restore -j2 takes into tables of shards, by workers where cores are free, against the same into plain tables: of one
# big table with a primary key and two indexes in 16 shards, and of many middle-sized ones in 4 shards each.
#
#   tests/bench/load_restore.sh [VERSION [ROUNDS [ROWS]]]      default: 15 5 3000000
#
# Printed are the medians of wall seconds and of the CPU seconds of the whole server, and the ratios.
# Both ways run in every round, in turns. Install a release build first (`make install`): a debug build tells nothing.
# With other work on the machine, look at the CPU seconds.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
rounds=${2:-5}
rows=${3:-3000000}
tables=12

cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "autovacuum = off" \
    "presplit.load_workers_min_size = '${PRESPLIT_BENCH_MIN:-16MB}'" "shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" \
    "maintenance_work_mem = '256MB'" "max_locks_per_transaction = 1024"
cluster_use bench
tmp=$(cluster_tmp bench)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
postmaster=$(head -n 1 "${CLUSTER_DIR[bench]}/data/postmaster.pid")
columns="id bigint NOT NULL, customer int NOT NULL, at timestamptz NOT NULL, score float8, kind int, note text, flag boolean, total numeric"
filled() { # NAME FROM TO
    echo "CREATE TABLE $1 ($columns);
        INSERT INTO $1 SELECT i, (hashint8(i) & 2147483647) % 100000, timestamptz '2024-01-01' + i * interval '1 minute', (i % 997)::float8 / 7,
            (i % 5)::int, md5(i::text), i % 2 = 0, (i % 10000)::numeric / 100 FROM generate_series($2, $3) AS i;
        ALTER TABLE $1 ADD PRIMARY KEY (id); CREATE INDEX ON $1 (customer); CREATE INDEX ON $1 (at);"
}
names=()
for ((at = 1; at <= tables; at++)); do names+=("some$at"); done
run -d postgres -c 'CREATE DATABASE big' -c 'CREATE DATABASE many'
filled big 1 "$rows" | run -d big
for name in "${names[@]}"; do filled "$name" 1 $((rows / tables)); done | run -d many
for source in big many; do pg_dump -Fd -Z1 -j2 -f "$tmp/$source" "$source"; done

spent() { awk -v tick="$(getconf CLK_TCK)" '{ print ($16 + $17) / tick }' "/proc/$postmaster/stat"; }
restore() { # SOURCE WAY: wall, CPU of the server
    local before after name shards=4 begin end
    run -d postgres -c 'DROP DATABASE IF EXISTS target' -c 'CREATE DATABASE target'
    if [[ $2 == shards ]]; then
        [[ $1 != big ]] || shards=16
        for name in $([[ $1 == big ]] && echo big || echo "${names[@]}"); do
            echo "CREATE TABLE $name ($columns);
                SELECT register_proposal('public.$name', 'hash', '{id}', '{\"modulus\": $shards}') AS made \gset
                DROP TABLE $name;
                SELECT count(*) FROM create_shards(:made);"
        done | run -d target -c 'CREATE EXTENSION pg_presplit' -f - >/dev/null
    fi
    run -d target -c CHECKPOINT
    sleep 0.2
    before=$(spent)
    begin=$(date +%s.%N)
    pg_restore -j2 -d target "$tmp/$1" >&2
    end=$(date +%s.%N)
    sleep 0.3
    after=$(spent)
    [[ $2 != shards ]] || run -d target -c "SELECT DISTINCT regexp_replace(note, '^[0-9]+', 'N') FROM presplit.restore_report WHERE statement_kind = 'COPY'" >>"$tmp/notes"
    awk -v b="$before" -v a="$after" -v s="$begin" -v e="$end" 'BEGIN { print e - s, a - b }'
}

compare() { # TITLE SOURCE
    local round order way
    : >"$tmp/times"
    for ((round = 0; round < rounds; round++)); do
        order=(plain shards)
        ((round % 2 == 0)) || order=(shards plain)
        for way in "${order[@]}"; do echo "$way $(restore "$2" "$way")" >>"$tmp/times"; done
    done
    awk -v title="$1" '
        function median(way, field,   i, j, t, x, count) {
            count = split(values[way, field], x, " ")
            for (i = 2; i <= count; i++) for (j = i; j > 1 && x[j - 1] + 0 > x[j] + 0; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
            return count % 2 ? x[(count + 1) / 2] : (x[count / 2] + x[count / 2 + 1]) / 2
        }
        { for (f = 2; f <= 3; f++) values[$1, f] = values[$1, f] " " $f }
        END {
            printf "%-12s wall s: plain %6.2f  shards %6.2f  ratio %.2f | CPU s of the server: %6.2f %6.2f  ratio %.2f\n", title,
                median("plain", 2), median("shards", 2), median("shards", 2) / median("plain", 2),
                median("plain", 3), median("shards", 3), median("shards", 3) / median("plain", 3)
        }' "$tmp/times"
}

echo "PostgreSQL $version, pg_restore -j2 of $rows rows, medians of $rounds rounds, $(nproc) cores"
compare "one table" big
compare "$tables tables" many
sort "$tmp/notes" | uniq -c
