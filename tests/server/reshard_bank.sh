#!/usr/bin/env bash
# Bank transfers and append-only histories while the tables under them are resharded all the time, in every way: split, merged,
# moved, undone, and divided by another key. What was acknowledged is there once, no money comes or goes, nothing that was
# deleted is back, and every list has its entries in the order in which they were appended. The same clients without any
# resharding first, so that a fault of theirs is not taken for one of it.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start bank "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.cutover_budget = 3s" "presplit.cutover_lock_timeout = 300ms" \
    "presplit.retired_shard_grace = 1h"
cluster_use bank
tmp=$(cluster_tmp bank)
chmod a+rwx "$tmp"
as_cluster_user mkdir "$tmp/spare"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
accounts=2000
run -c 'CREATE EXTENSION pg_presplit' -c "CREATE TABLESPACE spare LOCATION '$tmp/spare'"
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
DROP TABLE IF EXISTS halt;
CREATE TABLE halt AS SELECT 0 AS halted;
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
SELECT halted FROM halt \\gset
\\if :halted
\\sleep 50 ms
\\else
BEGIN;
-- Who is locked is there, whatever shard he is in by now; in one order, so that nobody waits in a circle.
SELECT pg_advisory_xact_lock(least(:a::int, :b::int)), pg_advisory_xact_lock(greatest(:a::int, :b::int));
UPDATE accounts SET balance = balance - :amount WHERE id = :a RETURNING 1 AS took \\gset
UPDATE accounts SET balance = balance + :amount, place = :place WHERE id = :b RETURNING 1 AS gave \\gset
INSERT INTO moves VALUES (:a, :b, :amount);
COMMIT;
BEGIN;
SELECT pg_advisory_xact_lock(- :list::int);
-- Whoever has read the table and waits to write is in the way of a cutover, and each of the clients does nothing else.
SELECT coalesce(max(place), 0) + 1 AS next FROM entries WHERE list = :list \\gset
INSERT INTO entries VALUES (:list, :next, 'v' || :client_id || '-' || :next);
INSERT INTO notes VALUES (:list, :next, 'v' || :client_id || '-' || :next);
COMMIT;
-- One that comes and goes.
SELECT nextval('fresh') AS own \\gset
INSERT INTO accounts VALUES (:place, :own, 0);
DELETE FROM accounts WHERE id = :own AND place = :place RETURNING 1 AS gone \\gset
\\endif
SQL
chmod a+r "$tmp/transfer.sql"

# Shards of a table, in the order of their bounds, or of their numbers.
shards() { # TABLE
    run -c "SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = '$1'::regclass
        ORDER BY pg_get_expr(relpartbound, oid) NOT LIKE '%FROM (MINVALUE)%',
            (regexp_match(pg_get_expr(relpartbound, oid), 'FROM \((\d+)\)'))[1]::int, inhrelid::regclass::text"
}
first() { shards "$1" | head -n 1; }
proposal() { run -c "SELECT register_proposal('$1', '$2', '$3', '$4')"; } # TABLE STRATEGY KEY DEFINITION
# Begins an operation and waits for its end; $id is its number.
operate() { # NAME SELECT [OPTIONS]
    local phase
    [[ ! -s $tmp/trouble ]] || return 0
    id=$(PGOPTIONS=${3:-} run -c "$2" 2>&1) || true
    phase=$(run -c "SELECT wait_operation($id, '4 min')" 2>&1) || true
    if [[ $phase == 'done' ]]; then
        echo "$1" >>"$tmp/done"
    else
        echo "$1: $id $phase $(run -c "SELECT error, waiting_for FROM presplit.operations WHERE operation_id = $id" 2>&1)" >>"$tmp/trouble"
    fi
}
# The names of a table that is kept aside are taken: those that were replaced as a whole go at once.
at_once='-c presplit.retired_shard_grace=0'
rid_of() { # TABLE
    local end=$((SECONDS + 20))
    until [[ $(run -c "SELECT to_regclass('$1_presplit_old') IS NULL") == t || $SECONDS -gt $end ]]; do sleep 0.1; done
}
reshard() {
    run -c "SELECT configure_shards('accounts', '{\"undo\": true}')" >/dev/null
    operate 'accounts: split' "SELECT split_shard('$(first accounts)')"
    operate 'accounts: split undone by what has changed' "SELECT undo_operation($id)"
    operate 'accounts: that undone' "SELECT undo_operation($id)"
    operate 'accounts: merged' "SELECT merge_shards('{$(shards accounts | head -n 2 | paste -sd,)}')"
    operate 'accounts: moved' "SELECT move_shard('$(first accounts)', 'spare')"
    run -c "SELECT configure_shards('accounts', '{\"undo\": false}')" >/dev/null
    operate 'accounts: moved back' "SELECT move_shard('$(first accounts)', 'pg_default')"
    operate 'accounts: that undone by copying' "SELECT undo_operation($id)"
    operate 'accounts: by another key' "SELECT shard_table('accounts', $(proposal accounts hash '{id}' '{"modulus": 2}'))" "$at_once"
    rid_of accounts
    operate 'accounts: a hash shard split' "SELECT split_shard('$(first accounts)')"
    operate 'accounts: by the first key' "SELECT shard_table('accounts', $(proposal accounts range '{place}' '{"split_points": ["1000"]}'))" "$at_once"
    rid_of accounts
    operate 'entries: split' "SELECT split_shard('$(first entries)')"
    operate 'entries: merged' "SELECT merge_shards('{$(shards entries | paste -sd,)}')"
    operate 'entries: that undone' "SELECT undo_operation($id)"
    operate 'entries: by range' "SELECT shard_table('entries', $(proposal entries range '{list}' '{"split_points": ["10", "30"]}'))" "$at_once"
    rid_of entries
    operate 'entries: by hash again' "SELECT shard_table('entries', $(proposal entries hash '{list}' '{"modulus": 2}'))" "$at_once"
    rid_of entries
}
# Half of the clients prepare their statements. What ends them is what they are told, or nothing.
transfer() { # MODE SECONDS
    pgbench -n -c 2 -T "$2" -M "$1" -f "$tmp/transfer.sql" >/dev/null 2>>"$tmp/said" &
    clients+=("$!")
}
clients=()
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
: >"$tmp/said"
transfer simple 4
transfer prepared 4
wait "${clients[@]}" || echo "exit status $?" >>"$tmp/said"
is_right 'without resharding'

tables
: >"$tmp/said"
: >"$tmp/done"
clients=()
transfer simple 900
transfer prepared 900
began=$SECONDS
reshard
took=$((SECONDS - began))
# Each comes to the end of what it is at.
run -c 'UPDATE halt SET halted = 1'
quiet="SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench' AND (state <> 'idle' OR query NOT LIKE '%halt%')"
until [[ $(run -c "$quiet") == t && $(sleep 0.2 && run -c "$quiet") == t ]]; do sleep 0.1; done
for client in "${clients[@]}"; do
    [[ -d /proc/$client ]] || echo "exit status of a client" >>"$tmp/said"
    kill "$client" 2>/dev/null || true
done
wait "${clients[@]}" 2>/dev/null || true
is_right 'while tables are resharded'
same "every operation was done" '' "$(head -n 3 "$tmp/trouble" 2>/dev/null || true)"
same "there were many, of every kind" 15 "$(wc -l <"$tmp/done")"
echo "# $(wc -l <"$tmp/done") operations in $took s, $(run -c 'SELECT count(*) FROM moves') transfers"
log_is_clean bank tests/server/allow/reshard_bank
exit "$CHECKS_FAILED"
