#!/usr/bin/env bash
# Bank transfers and append-only histories while the shards under them are split and merged all the time: what was acknowledged
# is there once, no money comes or goes, nothing that was deleted is back, and every list has its entries in the order in which
# they were appended. The same clients without any resharding first, so that a fault of theirs is not taken for one of it.
#   RESHARD_BANK_SECONDS   how long the clients run each time (6)
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
seconds=${RESHARD_BANK_SECONDS:-6}

cluster_start bank "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.cutover_budget = 3s" "presplit.cutover_lock_timeout = 300ms" \
    "presplit.retired_shard_grace = 1h"
cluster_use bank
tmp=$(cluster_tmp bank)
chmod a+rwx "$tmp"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
accounts=2000
run -c 'CREATE EXTENSION pg_presplit'
# Accounts lie where their place says, which transfers change: rows go from shard to shard. A move is a DELETE and an INSERT, so
# each change says by its guard how many rows it meant.
tables() {
    run >/dev/null <<SQL
SET client_min_messages = warning;
DO \$\$ DECLARE r record; BEGIN
    FOR r IN DELETE FROM presplit.retired_shards USING pg_class AS c WHERE c.oid = shard RETURNING shard::regclass AS s LOOP
        EXECUTE format('ALTER EXTENSION pg_presplit DROP TABLE %s', r.s);
        EXECUTE format('DROP TABLE %s', r.s);
    END LOOP;
END \$\$;
DROP TABLE IF EXISTS entries, notes, moves CASCADE;
DROP TABLE IF EXISTS accounts CASCADE;
DROP SEQUENCE IF EXISTS fresh;
CREATE TABLE accounts (place int NOT NULL, id int NOT NULL, balance bigint NOT NULL, PRIMARY KEY (place, id)) PARTITION BY RANGE (place);
CREATE TABLE accounts_s1 PARTITION OF accounts FOR VALUES FROM (0) TO (1000);
CREATE TABLE accounts_s2 PARTITION OF accounts FOR VALUES FROM (1000) TO (2000);
INSERT INTO accounts SELECT g % 2000, g, 1000 FROM generate_series(1, $accounts) AS g;
CREATE TABLE moves (a int, b int, amount int);
CREATE TABLE entries (list int NOT NULL, place int NOT NULL, value text NOT NULL, PRIMARY KEY (list, place)) PARTITION BY HASH (list);
CREATE TABLE entries_s1 PARTITION OF entries FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE notes (list int, place int, value text);
CREATE SEQUENCE fresh START 1000000;
SQL
}
cat >"$tmp/transfer.sql" <<SQL
\\set a random(1, $accounts)
\\set b random(1, $accounts)
\\set amount random(1, 50)
\\set place random(0, 1999)
\\set list random(1, 40)
BEGIN;
-- Who is locked is there, whatever shard he is in by now; in one order, so that nobody waits in a circle.
SELECT pg_advisory_xact_lock(least(:a::int, :b::int)), pg_advisory_xact_lock(greatest(:a::int, :b::int));
UPDATE accounts SET balance = balance - :amount WHERE id = :a RETURNING 1 AS took \\gset
UPDATE accounts SET balance = balance + :amount, place = :place WHERE id = :b RETURNING 1 AS gave \\gset
INSERT INTO moves VALUES (:a, :b, :amount);
COMMIT;
BEGIN;
SELECT pg_advisory_xact_lock(- :list::int);
SELECT coalesce(max(place), 0) + 1 AS next FROM entries WHERE list = :list \\gset
INSERT INTO entries VALUES (:list, :next, 'v' || :client_id || '-' || :next);
INSERT INTO notes VALUES (:list, :next, 'v' || :client_id || '-' || :next);
COMMIT;
-- One that comes and goes.
SELECT nextval('fresh') AS own \\gset
INSERT INTO accounts VALUES (:place, :own, 0);
DELETE FROM accounts WHERE id = :own AND place = :place RETURNING 1 AS gone \\gset
SQL
chmod a+r "$tmp/transfer.sql"

# One operation after the other until the clients are done: how many were done.
reshard() {
    local id phase shards
    : >"$tmp/done"
    while [[ ! -e $tmp/stop ]]; do
        for id in "$(run -c "SELECT CASE WHEN count(*) = 2 THEN split_shard(min(inhrelid::regclass::text)::regclass)
                ELSE merge_shards((array_agg(inhrelid::regclass ORDER BY (regexp_match(pg_get_expr(relpartbound, oid), 'FROM \\((\\d+)\\)'))[1]::int))[1:2]) END
                FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'accounts'::regclass" 2>&1)" \
            "$(run -c "SELECT CASE WHEN count(*) = 1 THEN split_shard(min(inhrelid::regclass::text)::regclass) ELSE merge_shards(array_agg(inhrelid::regclass)) END
                FROM pg_inherits WHERE inhparent = 'entries'::regclass" 2>&1)"; do
            phase=$(run -c "SELECT wait_operation($id, '3 min')" 2>&1) || true
            [[ $phase == 'done' ]] && echo "$id" >>"$tmp/done"
            [[ $phase == 'done' ]] || echo "$id $phase $(run -c "SELECT error FROM presplit.operations WHERE operation_id = $id" 2>&1)" >>"$tmp/trouble"
        done
    done
}
transfers() {
    pgbench -n -c 4 -j 2 -T "$seconds" -M "$1" -f "$tmp/transfer.sql" >"$tmp/pgbench" 2>"$tmp/said" || echo "exit status $?" >>"$tmp/said"
}
is_right() { # NAME
    same "$1: no client was told an error" '' "$(grep -E 'rror|exit status|aborted' "$tmp/said" | head -n 3 || true)"
    same "$1: no money came or went, nobody is lost, twice or back" "$((accounts * 1000))|$accounts|$accounts|0" "$(run -c "SELECT sum(balance), count(*), count(DISTINCT id),
        count(*) FILTER (WHERE id >= 1000000) FROM accounts")"
    same "$1: every account has what its transfers say" 0 "$(run -c "WITH wanted AS (SELECT id, 1000 + coalesce(sum(change), 0) AS balance FROM generate_series(1, $accounts) AS id
        LEFT JOIN (SELECT a AS who, -amount AS change FROM moves UNION ALL SELECT b, amount FROM moves) AS m ON who = id GROUP BY id)
        SELECT count(*) FROM wanted FULL JOIN accounts USING (id) WHERE wanted.balance IS DISTINCT FROM accounts.balance")"
    same "$1: every list has what was appended, in order" '0|0' "$(run -c "SELECT (SELECT count(*) FROM (TABLE entries EXCEPT ALL TABLE notes) AS s) + (SELECT count(*) FROM (TABLE notes EXCEPT ALL TABLE entries) AS s),
        (SELECT count(*) FROM (SELECT place, row_number() OVER (PARTITION BY list ORDER BY place) AS n FROM entries) AS s WHERE place <> n)")"
    same "$1: something happened" t "$(run -c 'SELECT count(*) > 100 FROM moves')"
}

tables
transfers simple
is_right 'without resharding'

for mode in simple prepared; do
    tables
    rm -f "$tmp/stop" "$tmp/trouble"
    reshard &
    resharding=$!
    transfers "$mode"
    touch "$tmp/stop"
    wait "$resharding" || true
    is_right "while shards are split and merged ($mode)"
    same "every operation was done ($mode)" '' "$(head -n 3 "$tmp/trouble" 2>/dev/null || true)"
    if [[ -s $tmp/done ]]; then ok "there were some ($mode)"; else not_ok "there were some ($mode)"; fi
    echo "# $mode: $(wc -l <"$tmp/done") operations, $(run -c 'SELECT count(*) FROM moves') transfers"
done
log_is_clean bank tests/server/allow/reshard_bank
exit "$CHECKS_FAILED"
