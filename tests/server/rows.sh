#!/usr/bin/env bash
# An empty table is one without rows, not without pages: what was rolled back or deleted does not count, and what
# others put in meanwhile is waited for and never lost, whatever the isolation of the transaction.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start rows "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "autovacuum = off"
cluster_use rows
tmp=$(cluster_tmp rows)
psql -qX -d postgres -c 'CREATE DATABASE app'
export PGDATABASE=app
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -c 'CREATE EXTENSION pg_presplit' -c 'CREATE ROLE rows_owner IN ROLE pg_read_all_data' -c 'GRANT CREATE ON SCHEMA public TO rows_owner' \
    -c 'GRANT EXECUTE ON FUNCTION create_shards TO rows_owner' -c 'GRANT USAGE ON SCHEMA presplit TO rows_owner'

# A table as it was created, and the two ways to divide it.
anew() { # further statement...
    run -c 'SET client_min_messages = warning' -c 'DROP TABLE IF EXISTS t' -c 'CREATE TABLE t (id int PRIMARY KEY, note text)' "${@:2}" >/dev/null
    proposal=$(run -c "SELECT register_proposal('public.t', 'hash', '{id}', '{\"modulus\": 2}')")
    run -c "SELECT proposal_ddl($proposal)" >"$tmp/script.sql"
}
by_function() { run -c "SELECT count(*) FROM create_shards($proposal)"; }
by_script() { run -f "$tmp/script.sql"; }
by_script_at_once() { run -1 -f "$tmp/script.sql"; }
kind() { run -c "SELECT relkind FROM pg_class WHERE oid = 't'::regclass" -c 'SELECT count(*) FROM t' | tr '\n' ' '; }

for way in by_function by_script by_script_at_once; do
    anew
    run -c 'BEGIN' -c "INSERT INTO t SELECT g, repeat('x', 99) FROM generate_series(1, 1000) AS g" -c 'ROLLBACK' -c 'INSERT INTO t VALUES (1)' -c 'DELETE FROM t'
    same "$way: the table has pages" t "$(run -c "SELECT pg_relation_size('t') > 0")"
    succeeds "$way: rows that were rolled back or deleted do not count" "$way"
    same "$way: in shards" "p 0 " "$(kind)"

    anew
    run -c 'INSERT INTO t VALUES (1)'
    fails_with "$way: a row counts" '55000|table "public.t" has rows' "$way"
    same "$way: it stays" "r 1 " "$(kind)"

    # Another session has put a row in and ends when somebody waits for it.
    for end in COMMIT ROLLBACK; do
        anew
        run <<SQL >"$tmp/other" 2>&1 &
BEGIN;
INSERT INTO t VALUES (7);
DO \$\$ BEGIN
    FOR n IN 1 .. 400 LOOP
        EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass);
        PERFORM pg_sleep(0.05);
    END LOOP;
END \$\$;
SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass);
$end;
SQL
        other=$!
        becomes "$way, $end: the other session has its row" t rows 20 -d app -c \
            "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock' AND granted)"
        if [[ $end == COMMIT ]]; then
            fails_with "$way, $end: has rows" 'table "public.t" has rows' "$way"
            expected="r 1 "
        else
            succeeds "$way, $end: empty after all" "$way"
            expected="p 0 "
        fi
        wait "$other"
        same "$way, $end: it was waited for" t "$(cat "$tmp/other")"
        same "$way, $end: nothing is lost" "$expected" "$(kind)"
    done
done

# A snapshot from before the row does not show it.
later() { # STATEMENTS: in a transaction whose snapshot is older than a row
    {
        echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t;'
        echo "\\! psql -qX -c 'INSERT INTO t VALUES (9)'"
        cat "$1"
        echo ';COMMIT;'
    } | run
}
anew
echo "SELECT count(*) FROM create_shards($proposal)" >"$tmp/call.sql"
fails_with "REPEATABLE READ: create_shards() sees the row" 'table "public.t" has rows' later "$tmp/call.sql"
same "REPEATABLE READ: nothing is lost" "r 1 " "$(kind)"
anew
fails_with "REPEATABLE READ: the script sees the row" 'table "public.t" has rows' later "$tmp/script.sql"
same "REPEATABLE READ: the script loses nothing" "r 1 " "$(kind)"
anew
fails_with "SERIALIZABLE: create_shards() is refused" 'isolation serializable' \
    run -c 'BEGIN ISOLATION LEVEL SERIALIZABLE' -c "SELECT count(*) FROM create_shards($proposal)"

# Row security hides rows from their owner, not from us.
anew
run -c 'INSERT INTO t VALUES (1)' -c 'ALTER TABLE t OWNER TO rows_owner' -c 'CREATE POLICY none ON t USING (false)' \
    -c 'ALTER TABLE t ENABLE ROW LEVEL SECURITY' -c 'ALTER TABLE t FORCE ROW LEVEL SECURITY'
as_owner() { run -c 'SET ROLE rows_owner' -c "$1"; }
same "row security hides the row" 0 "$(as_owner 'SELECT count(*) FROM t')"
fails_with "row security: create_shards()" 'table "public.t" has rows' as_owner "SELECT count(*) FROM create_shards($proposal)"
script_as_owner() { (echo 'SET ROLE rows_owner;'; cat "$tmp/script.sql") | run; }
fails_with "row security: the script" 'table "public.t" has rows' script_as_owner
same "row security: it stays" "r 1 " "$(kind)"

log_is_clean rows tests/server/allow/rows
cluster_stop_all
exit "$CHECKS_FAILED"
