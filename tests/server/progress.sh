#!/usr/bin/env bash
# View presplit.operations and pg_stat_progress_copy while a COPY into shards runs, and what stays of it afterwards: loads
# within the session and by workers, done, failed, cancelled, rolled back, cut off by a crash; and who sees which.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start progress "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'load'" \
    "presplit.worker_naptime = 1" "max_worker_processes = 12" "presplit.load_workers = 2"
cluster_use progress
tmp=$(cluster_tmp progress)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE load' -c 'CREATE ROLE loader LOGIN' -c 'CREATE ROLE keeper' -c 'CREATE ROLE stranger' \
    -c 'CREATE ROLE watcher IN ROLE pg_read_all_stats'
export PGDATABASE=load
run -c 'CREATE EXTENSION pg_presplit'
# A database that had no extension is left alone for a minute.
cluster_restart progress
run >/dev/null <<'SQL'
CREATE TABLE t (id bigint NOT NULL, v text);
CREATE TEMP TABLE made AS SELECT register_proposal('public.t', 'hash', '{id}', '{"modulus": 4}') AS id;
DROP TABLE t;
SELECT count(*) FROM create_shards((SELECT id FROM made));
CREATE TABLE t (id bigint NOT NULL, v text);
GRANT INSERT ON t TO loader;
ALTER TABLE t OWNER TO keeper;
SQL
seq 1 80000 | sed 's/$/\tsome text that takes room/' >"$tmp/rows"
chmod a+r "$tmp/rows"
size=$(wc -c <"$tmp/rows")
# About the operation that was begun last.
last() { run -c "SELECT $1 FROM presplit.operations ORDER BY operation_id DESC LIMIT 1"; }
last_becomes() { becomes "$1" "$2" progress 20 -d load -c "SELECT $3 FROM presplit.operations ORDER BY operation_id DESC LIMIT 1"; }
# A COPY whose client sends the rows and then nothing until it is let go on.
hold() { # [psql option...]
    mkfifo "$tmp/hold"
    (cat "$tmp/rows" && cat "$tmp/hold") | psql -qAtX -v ON_ERROR_STOP=1 "$@" -c 'COPY t FROM STDIN' >"$tmp/held" 2>&1 &
    held=$!
    exec 7>"$tmp/hold"
    rm "$tmp/hold"
}
release() {
    exec 7>&-
    wait "$held" || true
}

# While it runs ----------------------------------------------------------------------------------------------------
for tier in session workers; do
    run -c 'TRUNCATE t'
    size_min=-1
    [[ $tier == session ]] || size_min=1kB
    export PGOPTIONS="-c presplit.load_workers_min_size=$size_min"
    hold -U loader
    unset PGOPTIONS
    last_becomes "$tier: it is seen while it runs" 'load|public.t|copying|t|t' \
        "kind, relation, phase, rows_done > 5000, bytes_done > 100000"
    same "$tier: nothing is said of what nobody knows" '|||||' "$(last 'rows_total, bytes_total, finished_at, eta, error, blocked_by')"
    same "$tier: it waits for its client" 'the client|1' "$(last 'waiting_for, attempts')"
    way='rows batched by shard in the session, % per second'
    [[ $tier == session ]] || way='rows loaded by 2 workers, % per second'
    last_becomes "$tier: how it goes on, and how fast" t "detail LIKE '$way'"
    same "$tier: PostgreSQL's own report shows the table" 't|COPY FROM|PIPE|t|t' "$(run -c "
        SELECT relid::regclass, command, type, tuples_processed > 5000, bytes_processed > 100000
        FROM pg_stat_progress_copy WHERE relid = 't'::regclass")"
    for role in loader keeper watcher postgres; do
        same "$tier: $role sees it" t "$(run -c "SET ROLE $role" -c "SELECT count(*) > 0 FROM presplit.operations WHERE finished_at IS NULL")"
    done
    same "$tier: a stranger does not" 0 "$(run -c 'SET ROLE stranger' -c 'SELECT count(*) FROM presplit.operations')"
    release
    same "$tier: then it is done" "done|80000|$size|||t|" "$(last 'phase, rows_done, bytes_done, eta, waiting_for, finished_at >= started_at, error')"
    same "$tier: and nothing runs" 0 "$(run -c 'SELECT count(*) FROM presplit.read_operations()')"
    for role in loader keeper watcher postgres; do
        same "$tier: $role sees that" t "$(run -c "SET ROLE $role" -c "SELECT count(*) > 0 FROM presplit.operations WHERE phase = 'done'")"
    done
    same "$tier: a stranger does not see that either" 0 "$(run -c 'SET ROLE stranger' -c 'SELECT count(*) FROM presplit.operations')"
done

# A file: the total is known, and so is the time left; another session is in the way.
run -c 'TRUNCATE t' -c 'CREATE UNIQUE INDEX one ON t (id)'
mkfifo "$tmp/in"
psql -qAtX <"$tmp/in" >/dev/null 2>&1 &
blocker=$!
exec 8>"$tmp/in"
echo "BEGIN; INSERT INTO t VALUES (79999, 'mine');" >&8
becomes "a session is in the way" 1 progress 20 -d load -c "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
pid=$(run -c "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'")
psql -qAtX -c "COPY t FROM '$tmp/rows'" >"$tmp/blocked" 2>&1 &
blocked=$!
last_becomes "who is in the way, and by what lock" "lock: transactionid|{$pid}" 'waiting_for, blocked_by'
same "of a file it is known how much it is, and how long it takes" "$size|t" "$(last "bytes_total, eta IS NOT NULL AND eta >= '0'")"
same "so PostgreSQL's report tells" "FILE|$size" "$(run -c "SELECT type, bytes_total FROM pg_stat_progress_copy")"
echo 'ROLLBACK;' >&8
wait "$blocked" || true
same "once it may, it is done" "done|80000|$size|$size" "$(last 'phase, rows_done, bytes_done, bytes_total')"
exec 8>&-
wait "$blocker" || true

# What comes to nothing --------------------------------------------------------------------------------------------
run -c 'DROP INDEX one' -c 'TRUNCATE t'
psql -qAtX -c "COPY t FROM STDIN" <<<$'1\ta\nx\tb' >/dev/null 2>&1 || true
same "a bad row: it has failed, and why" 'failed|invalid input syntax for type bigint: "x"' "$(last 'phase, error')"
last_becomes "a bad row: that is written down" 1 "(SELECT count(*) FROM presplit.operation_log AS o WHERE o.operation_id = operations.operation_id)"
becomes "a bad row: shared memory is free again" 0 progress 20 -d load -c 'SELECT count(*) FROM presplit.read_operations()'
same "a bad row: and is still told" 'failed|invalid input syntax for type bigint: "x"|t' "$(last 'phase, error, finished_at IS NOT NULL')"

hold
last_becomes "a load that will be cancelled" copying phase
run -c "SELECT pg_cancel_backend(pid) FROM pg_stat_progress_copy" >/dev/null
# A server that waits for its client does not hear of it.
release
last_becomes "cancelled: it says so" 'cancelled|canceling statement due to user request' 'phase, error'

hold
last_becomes "a session that will be ended" copying phase
run -c "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_copy" >/dev/null
last_becomes "ended: it says so" 'failed|terminating connection due to administrator command' 'phase, error'
release

run -c 'BEGIN' -c "COPY t FROM '$tmp/rows'" -c 'ROLLBACK'
same "rolled back afterwards: nothing of it is told as done" 'failed|the transaction was rolled back' "$(last 'phase, error')"
run -c 'BEGIN' -c 'SAVEPOINT s' -c "COPY t FROM '$tmp/rows'" -c 'ROLLBACK TO s' -c "COPY t FROM '$tmp/rows'" -c 'COMMIT'
same "a savepoint: the one that was rolled back, and the one that was not" 'failed,done' \
    "$(run -c "SELECT string_agg(phase, ',' ORDER BY operation_id) FROM (SELECT * FROM presplit.operations ORDER BY operation_id DESC LIMIT 2) AS o")"
same "the open transaction: others see that the rows are still to come" 'cutting_over|the end of its transaction|copying|the client' "$(
    mkfifo "$tmp/in2"
    psql -qAtX <"$tmp/in2" >/dev/null 2>&1 &
    exec 8>"$tmp/in2"
    echo "BEGIN; COPY t FROM '$tmp/rows'; COPY t FROM STDIN;" >&8
    for ((n = 0; n < 100; n++)); do
        found=$(run -c "SELECT string_agg(concat_ws('|', phase, waiting_for), '|' ORDER BY operation_id) FROM presplit.read_operations() WHERE finished_at IS NULL")
        [[ $found != *client* ]] || break
        sleep 0.1
    done
    echo "$found"
    echo '\.' >&8
    echo 'COMMIT;' >&8
    exec 8>&-
    wait
)"
same "both are done" 'done,done' \
    "$(run -c "SELECT string_agg(phase, ',' ORDER BY operation_id) FROM (SELECT * FROM presplit.operations ORDER BY operation_id DESC LIMIT 2) AS o")"
fails_with "who may not insert begins nothing" 'permission denied' psql -qX -c 'SET ROLE stranger' -c "COPY t FROM STDIN"
same "and so nothing is told of it" 0 "$(run -c "SELECT count(*) FROM presplit.operations WHERE error LIKE 'permission%'")"

# Quick loads of a table that is not armed leave nothing; those that fail do.
run -c "SELECT disarm('public.t')" >/dev/null
before=$(run -c 'SELECT count(*) FROM presplit.operations')
run -c 'COPY t FROM STDIN' <<<$'1\ta'
same "a quick load of a table that is armed no more is not remembered" "$before" "$(run -c 'SELECT count(*) FROM presplit.operations')"
psql -qAtX -c "COPY t FROM STDIN" <<<$'x\tb' >/dev/null 2>&1 || true
same "but it is if it fails" "$((before + 1))" "$(run -c 'SELECT count(*) FROM presplit.operations')"

# Only so many are kept.
run -c "INSERT INTO presplit.operation_log (operation_id, kind, schema_name, table_name, relation, phase, finished_at, started_by)
    SELECT -n, 'load', 's', 't', 0, 'done', now(), 'postgres' FROM generate_series(1, 1500) AS n"
becomes "the last thousand loads are kept" 1000 progress 20 -d load -c "SELECT count(*) FROM presplit.operation_log"

# A crash: what has been running for long is known to have ended ------------------------------------------------
hold
last_becomes "a load that a crash will end" copying phase
becomes "after ten seconds it is written down" 1 progress 30 -d load -c "SELECT count(*) FROM presplit.operation_log WHERE phase = 'copying'"
same "and is told once" 1 "$(run -c "SELECT count(*) FROM presplit.operations WHERE phase = 'copying'")"
kill -9 "$(run -c "SELECT pid FROM pg_stat_progress_copy")"
release
becomes "after the crash it has failed" 'failed|the server ended before the load did' progress 60 -d load \
    -c "SELECT phase, error FROM presplit.operations ORDER BY operation_id DESC LIMIT 1"
same "and none of its rows is there" t "$(run -c 'SELECT count(*) = 160001 FROM t')"

log_is_clean progress "$(dirname "$0")/allow/progress"
exit $CHECKS_FAILED
