#!/usr/bin/env bash
# What writers pay while changes of a shard are written down: single-row statements by pgbench on a table without and on
# one with the trigger, in turns, four clients, prepared.
# Usage: tests/bench/capture_trigger.sh [15|18] [ROUNDS] [SECONDS]
# Prints for each kind of statement the median over the rounds of transactions a second without the trigger, with it,
# and the ratio of each round (median, in brackets the middle half); then the same of the processor time that the server's
# sessions took for one transaction, and the bytes of WAL that a transaction wrote. A target: updates lose 10 % at most.
# Needs the extension installed in that server, for figures that count a release build.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15} rounds=${2:-7} seconds=${3:-5}

cluster_start bench "$version" "shared_buffers = '256MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "autovacuum = off" \
    "synchronous_commit = off"
cluster_use bench
tmp=$(cluster_tmp bench)
postmaster=$(head -n 1 "${CLUSTER_DIR[bench]}/data/postmaster.pid")
psql -qX -d postgres -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE TABLE presplit.changes_1 (k1 bigint) USING heap;
SELECT format($sql$
    CREATE TABLE %1$s (id bigint PRIMARY KEY, balance int NOT NULL, filler text) PARTITION BY RANGE (id);
    CREATE TABLE %1$s_1 PARTITION OF %1$s FOR VALUES FROM (0) TO (10000000);
    INSERT INTO %1$s SELECT g, 0, repeat('x', 80) FROM generate_series(1, 100000) AS g;$sql$, name)
FROM unnest(ARRAY['plain', 'captured']) AS name \gexec
SELECT format('CREATE TRIGGER capture AFTER INSERT OR UPDATE OR DELETE ON captured_1 FOR EACH ROW
    EXECUTE FUNCTION presplit.capture_change(1, %s, %s, %s, 1)', 'presplit.changes_1'::regclass::oid, d.oid, s.system_identifier)
FROM pg_database AS d, pg_control_system() AS s WHERE d.datname = current_database() \gexec
ALTER TABLE captured_1 ENABLE ALWAYS TRIGGER capture;
VACUUM ANALYZE;
CHECKPOINT;
SQL
script() { # KIND TABLE
    local id='\set id random(1, 100000)' new='\set new random(100001, 9999999)'
    case $1 in
        update) printf '%s\nUPDATE %s SET balance = balance + 1 WHERE id = :id;\n' "$id" "$2" ;;
        insert) printf '%s\nINSERT INTO %s VALUES (:new, 0, NULL) ON CONFLICT DO NOTHING;\n' "$new" "$2" ;;
    esac
}
# A bench ends when it has seen all; the sessions' time is known once they are gone.
ticks() { awk '{print $16 + $17}' "/proc/$postmaster/stat"; }
wal() { psql -qXAt -d postgres -c "SELECT pg_current_wal_insert_lsn() - '0/0'"; }
measure() { # KIND TABLE -> transactions a second, microseconds and bytes of WAL a transaction
    local before log
    script "$1" "$2" >"$tmp/$1.sql"
    psql -qX -d postgres -c 'TRUNCATE presplit.changes_1' -c "VACUUM $2"
    before=$(wal)
    local spent
    spent=$(ticks)
    log=$(pgbench -n -M prepared -c 4 -j 2 -T "$seconds" -f "$tmp/$1.sql" postgres 2>/dev/null)
    awk -v tps="$(sed -nE 's/^tps = ([0-9.]+).*/\1/p' <<<"$log")" \
        -v n="$(sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' <<<"$log")" \
        -v ticks="$(($(ticks) - spent))" -v hz="$(getconf CLK_TCK)" -v wal="$(($(wal) - before))" \
        'BEGIN {printf "%.1f %.2f %.0f\n", tps, ticks / hz * 1e6 / n, wal / n}'
}
quantile() { sort -g | awk -v q="$1" '{v[NR] = $1} END {print v[int(q * (NR - 1) + 1.5)]}'; }
ratios() { paste -d ' ' "$tmp/captured" "$tmp/plain" | awk -v c="$1" '{print $c / $(c + 3)}'; } # COLUMN

printf '%-7s %-24s %10s %10s   %s\n' statement '' without with 'with / without'
for kind in update insert; do
    : >"$tmp/captured"
    : >"$tmp/plain"
    for ((round = 0; round < rounds; round++)); do
        order=(plain captured)
        ((round % 2 == 0)) || order=(captured plain)
        for table in "${order[@]}"; do measure "$kind" "$table" >>"$tmp/$table"; done
    done
    column=0
    for what in 'transactions a second' 'processor us' 'WAL bytes'; do
        column=$((column + 1))
        printf '%-7s %-24s %10s %10s   %.3f [%.3f %.3f]\n' "$kind" "$what" \
            "$(cut -d ' ' -f $column "$tmp/plain" | quantile 0.5)" "$(cut -d ' ' -f $column "$tmp/captured" | quantile 0.5)" \
            "$(ratios $column | quantile 0.5)" "$(ratios $column | quantile 0.25)" "$(ratios $column | quantile 0.75)"
    done
done
