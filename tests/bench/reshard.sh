#!/usr/bin/env bash
# What resharding costs those who use the table meanwhile, and how fast it is.
#
#   tests/bench/reshard.sh [VERSION [ROWS [CLIENTS]]]      default: 15 5000000 4, some minutes for a million
#
# One table in one shard of all rows, which is split in two while pgbench reads and writes it, prepared and simple, at
# half of the rate that the machine can do: statements per second of before, the longest statement with and without.
# Then at full speed: what was acknowledged against what is stored. Then without load and rate limit: rows per second,
# against INSERT … SELECT into two tables with the same indexes, and WAL bytes against the bytes of the new shards. At last a
# plain table is made one of sixteen shards, by pg_rewrite where that is installed in the server, and by us.
# What writers pay for the capture is measured by tests/bench/capture_trigger.sh.
# Install a release build first (`make install`).
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
rows=${2:-5000000}
clients=${3:-4}
# As long as a split of so many rows takes, about: what is longest depends on how long one looks.
quiet_seconds=$((rows / 100000 + 10))

cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "shared_buffers = '1GB'" \
    "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "synchronous_commit = off" "presplit.retired_shard_grace = '1h'"
cluster_use bench
tmp=$(cluster_tmp bench)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
now() { date +%s.%N; }

run >/dev/null <<SQL
CREATE EXTENSION pg_presplit;
CREATE TABLE account (id bigint PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, changed timestamptz NOT NULL DEFAULT now(), note text);
SELECT count(*) FROM create_shards(register_proposal('public.account', 'range', '{id}', '{"split_points": ["$((rows * 10))"]}'));
INSERT INTO account (id, note) SELECT g, md5(g::text) FROM generate_series(1, $rows) AS g;
CREATE INDEX ON account (changed);
VACUUM (ANALYZE) account;
CHECKPOINT;
SQL
shard() { run -c "SELECT tableoid::regclass FROM account WHERE id = $1"; }

cat >"$tmp/mix.sql" <<SQL
\\set id random(1, $rows)
\\set new random($((rows + 1)), $((rows * 9)))
UPDATE account SET balance = balance + 1, changed = now() WHERE id = :id;
SELECT balance FROM account WHERE id = :id;
SELECT count(*) FROM account WHERE id BETWEEN :id AND :id + 20;
INSERT INTO account (id, balance, note) VALUES (:new, 1, 'new') ON CONFLICT (id) DO UPDATE SET balance = account.balance + 1;
SQL
chmod a+r "$tmp/mix.sql"

load() { # MODE SECONDS RATE PREFIX: pgbench; a rate of 0 = as fast as it can
    local rate=()
    (($3 > 0)) && rate=(--rate "$3")
    # In the background this process is pgbench itself.
    (cd "$tmp" && exec pgbench -n -M "$1" -c "$clients" -j 2 -T "$2" "${rate[@]}" -f "$tmp/mix.sql" -l --log-prefix="$tmp/$4" >"$tmp/$4.out" 2>&1)
}
# What it has written last is not in its log then: less than a second.
end_load() { # PID
    local child
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null) "$1"; do kill -TERM "$child" 2>/dev/null || true; done
    wait "$1" 2>/dev/null || true
}
tps() { sed -n 's/^tps = \([0-9.]*\) .*/\1/p' "$tmp/$1.out"; }
# pgbench's log: the latency of a transaction in microseconds is its third field, since it was due the schedule lag its last.
between() { # PREFIX FROM TO: transactions a second, and the longest in milliseconds without the time that it waited to be sent
    cat "$tmp/$1".[0-9]* | awk -v from="$2" -v to="$3" '
        { at = $5 + $6 / 1e6; if (at >= from && at < to) { n++; took = $3 - (NF > 6 ? $7 : 0); if (took > longest) longest = took } }
        END { printf "%.1f %.1f\n", n / (to - from), longest / 1000 }'
}
split() { # AT SETTINGS: splits the shard of row 1 there, waits; prints seconds
    local before after id
    before=$(now)
    id=$(run -c "$2" -c "SELECT split_shard('$(shard 1)', '{$1}')" | tail -n 1)
    [[ $(run -c "SELECT wait_operation($id, '1 hour')") == done ]] || { run -c "SELECT * FROM presplit.operations" >&2; exit 1; }
    after=$(now)
    awk -v a="$after" -v b="$before" 'BEGIN { print a - b }'
}

# How the cutover of the last operation went: tries that gave way, and where the time of the one that did not went.
laps() {
    run -F ' ' -c "SELECT '          cutover:', count(*) FILTER (WHERE note LIKE 'gave way%') || ' gave way,', max(note) FILTER (WHERE note LIKE 'the swap%')
        FROM presplit.job_events WHERE operation_id = (SELECT max(operation_id) FROM presplit.job_events)"
}
echo "PostgreSQL $version, $rows rows, $clients clients, $(nproc) cores"
part=$((rows / 2))
for mode in prepared simple; do
    load "$mode" 10 0 "full_$mode"
    full=$(tps "full_$mode")
    rate=$(awk -v t="$full" 'BEGIN { printf "%d", t / 2 }')
    load "$mode" 3600 "$rate" "half_$mode" &
    pid=$!
    sleep 3
    start=$(now); sleep "$quiet_seconds"; began=$(now)
    took=$(split "$part" "SET presplit.reshard_rate_limit = '32MB'")
    ended=$(now); sleep 3
    end_load "$pid"
    read -r quiet longest_quiet <<<"$(between "half_$mode" "$start" "$began")"
    read -r busy longest_busy <<<"$(between "half_$mode" "$began" "$ended")"
    awk -v m="$mode" -v f="$full" -v q="$quiet" -v b="$busy" -v lq="$longest_quiet" -v lb="$longest_busy" -v s="$took" 'BEGIN {
        printf "%-9s full %.0f tps; at half: before %.0f, during the split (%.1f s) %.0f tps, of before %.2f; longest transaction %.1f ms before, %.1f ms during, %.1f ms more\n", m, f, q, s, b, b / q, lq, lb, lb - lq }'
    laps
    part=$((part / 2))
done

# Acknowledged against stored: every transaction adds 2, an update of a row that is there and an insert or an update.
before=$(run -c 'SELECT sum(balance) FROM account')
load prepared 3600 0 unlimited &
pid=$!
sleep 2
unlimited=$(split "$part" "SET presplit.reshard_rate_limit = 0")
end_load "$pid"
sleep 1
part=$((part / 2))
# What is in its log was acknowledged; a transaction of each client may be stored without.
read -r sum count distinct <<<"$(run -F ' ' -c 'SELECT sum(balance), count(*), count(DISTINCT id) FROM account')"
done_=$(cat "$tmp"/unlimited.[0-9]* | wc -l)
awk -v d="$done_" -v s="$((sum - before))" -v c="$count" -v u="$distinct" -v t="$unlimited" 'BEGIN {
    printf "unlimited load: the split took %.1f s; at least %d transactions of 2 changes acknowledged, %d changes stored%s; %d rows, %d distinct\n", t, d, s, (s >= 2 * d ? "" : " (LOST)"), c, u }'
laps

# Speed, without load: the shard of the upper rows.
read -r moved bytes <<<"$(run -F ' ' -c "SELECT count(*), pg_total_relation_size('$(shard $((rows - 1)))') FROM $(shard $((rows - 1)))")"
old=$(shard $((rows - 1)))
middle=$(run -c "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM $old")
run -c "CREATE TABLE bare_1 (LIKE $old INCLUDING ALL)" -c "CREATE TABLE bare_2 (LIKE $old INCLUDING ALL)" -c CHECKPOINT
begun=$(now)
run -c "INSERT INTO bare_1 SELECT * FROM $old WHERE id < $middle" -c "INSERT INTO bare_2 SELECT * FROM $old WHERE id >= $middle"
bare=$(awk -v a="$(now)" -v b="$begun" 'BEGIN { print a - b }')
run -c CHECKPOINT
wal=$(run -c 'SELECT pg_current_wal_lsn()')
begun=$(now)
id=$(run -c "SET presplit.reshard_rate_limit = 0" -c "SELECT split_shard('$old', '{$middle}')" | tail -n 1)
[[ $(run -c "SELECT wait_operation($id, '1 hour')") == done ]]
took=$(awk -v a="$(now)" -v b="$begun" 'BEGIN { print a - b }')
written=$(run -c "SELECT pg_current_wal_lsn() - '$wal'::pg_lsn")
new=$(run -c "SELECT pg_total_relation_size('$(shard $((middle - 1)))') + pg_total_relation_size('$(shard $((middle + 1)))')")
awk -v n="$moved" -v t="$took" -v b="$bare" -v w="$written" -v s="$new" 'BEGIN {
    printf "split without load: %.0f rows/s, of INSERT … SELECT into two indexed tables (%.0f rows/s) %.2f; WAL of the bytes of the new shards %.2f\n", n / t, n / b, b / t, w / s }'

# A table that becomes its own first shard, of few rows and of many.
kept() { # ROWS: seconds
    local proposal id begun
    run >/dev/null -c "CREATE TABLE kept_$1 (id bigint PRIMARY KEY, note text)" -c "INSERT INTO kept_$1 SELECT g, md5(g::text) FROM generate_series(1, $1) AS g" \
        -c "CREATE INDEX ON kept_$1 (note)" -c "VACUUM (ANALYZE) kept_$1" -c CHECKPOINT
    proposal=$(run -c "SELECT register_proposal('public.kept_$1', 'range', '{id}', '{\"split_points\": [\"$(($1 * 2))\", \"$(($1 * 3))\"]}')")
    begun=$(now)
    id=$(run -c "SELECT shard_table('kept_$1', $proposal, history => 'keep')")
    [[ $(run -c "SELECT wait_operation($id, '1 hour')") == done ]]
    awk -v a="$(now)" -v b="$begun" 'BEGIN { print a - b }'
}
few=$(kept 10000)
many=$(kept "$rows")
awk -v f="$few" -v m="$many" -v r="$rows" 'BEGIN { printf "history keep: 10000 rows %.2f s, %d rows %.2f s, ratio %.2f\n", f, r, m, m / f }'
laps

# Conversion, against pg_rewrite where it is installed: the same plain table, the same load, sixteen shards.
if [[ ! -e $("$(pg_config_of "$version")" --sharedir)/extension/pg_rewrite.control ]]; then
    echo "conversion: pg_rewrite is not installed in this server, nothing to compare with"
    exit
fi
cluster_stop bench
# Newer minor versions of the server want the decoding plugin of pg_rewrite named.
trusted=()
if "$("$(pg_config_of "$version")" --bindir)/postgres" --describe-config | grep -q '^output_plugin_libraries'; then
    trusted=("output_plugin_libraries = 'pgoutput, test_decoding, pg_rewrite'")
fi
cluster_start peer "$version" "shared_preload_libraries = 'pg_rewrite,pg_presplit'" "wal_level = logical" "max_replication_slots = 4" "${trusted[@]}" \
    "presplit.databases = 'none'" "shared_buffers = '1GB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "synchronous_commit = off"
cluster_use peer
tmp=$(cluster_tmp peer)
run -c 'CREATE EXTENSION pg_rewrite' -c 'CREATE EXTENSION pg_presplit' >/dev/null
plain() { # NAME
    run >/dev/null <<SQL
CREATE TABLE $1 (id bigint PRIMARY KEY, balance bigint NOT NULL DEFAULT 0, changed timestamptz NOT NULL DEFAULT now(), note text);
INSERT INTO $1 (id, note) SELECT g, md5(g::text) FROM generate_series(1, $rows) AS g;
CREATE INDEX ON $1 (changed);
VACUUM (ANALYZE) $1;
CHECKPOINT;
SQL
    printf '\\set id random(1, %s)\nUPDATE %s SET balance = balance + 1 WHERE id = :id;\nSELECT balance FROM %s WHERE id = :id;\n' "$rows" "$1" "$1" >"$tmp/mix.sql"
    chmod a+r "$tmp/mix.sql"
}
converted() { # PREFIX COMMAND...: seconds, longest transaction in ms, WAL in MB
    local prefix=$1 start=0 end=0 wal
    shift
    load prepared 3600 500 "$prefix" &
    local pid=$!
    sleep 3
    wal=$(run -c 'SELECT pg_current_wal_lsn()')
    start=$(now)
    "$@" >/dev/null
    end=$(now)
    wal=$(run -c "SELECT round((pg_current_wal_lsn() - '$wal'::pg_lsn) / 1048576)")
    sleep 1
    end_load "$pid"
    read -r _ longest <<<"$(between "$prefix" "$start" "$end")"
    echo "$(awk -v a="$end" -v b="$start" 'BEGIN { printf "%.1f", a - b }') $longest $wal"
}
plain theirs
run >/dev/null <<SQL
CREATE TABLE theirs_new (LIKE theirs INCLUDING DEFAULTS) PARTITION BY HASH (id);
ALTER TABLE theirs_new ADD PRIMARY KEY (id);
CREATE INDEX ON theirs_new (changed);
SELECT format('CREATE TABLE theirs_%s PARTITION OF theirs_new FOR VALUES WITH (MODULUS 16, REMAINDER %s)', g, g) FROM generate_series(0, 15) AS g \gexec
SQL
read -r peer peer_longest peer_wal <<<"$(converted theirs run -c "SELECT rewrite_table('theirs', 'theirs_new', 'theirs_old')")"
echo "conversion to 16 shards by pg_rewrite at 500 transactions/s: $peer s, longest transaction $peer_longest ms, $peer_wal MB of WAL"
if [[ $(run -c "SELECT count(*) FROM pg_proc WHERE proname = 'shard_table'") == 0 ]]; then
    echo "conversion by shard_table: not in this version"
    exit
fi
plain ours
proposal=$(run -c "SELECT register_proposal('public.ours', 'hash', '{id}', '{\"modulus\": 16}')")
ours() {
    local id
    id=$(run -c "SET presplit.reshard_rate_limit = 0" -c "SELECT shard_table('ours', $proposal)" | tail -n 1)
    run -c "SELECT wait_operation($id, '1 hour')"
}
read -r own own_longest own_wal <<<"$(converted ours ours)"
awk -v o="$own" -v p="$peer" -v l="$own_longest" -v w="$own_wal" 'BEGIN {
    printf "conversion by shard_table: %.1f s, of the time of pg_rewrite %.2f; longest transaction %.1f ms, %d MB of WAL\n", o, o / p, l, w }'
laps
