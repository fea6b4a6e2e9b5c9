#!/usr/bin/env bash
# The rules without which changes would get lost, each where it matters, in a fixed order of events: what a replica writes, keys
# that change, TRUNCATE, transactions that end late, rows that change while they are copied, statements that wait for the swap,
# shards that were replaced, and new shards that are attached without a look at their rows.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start capture "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "log_min_messages = debug1" "presplit.cutover_budget = 5s" \
    "max_prepared_transactions = 4"
cluster_use capture
tmp=$(cluster_tmp capture)
chmod a+rwx "$tmp"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -c 'CREATE EXTENSION pg_presplit'

# Fifty even numbers in one shard, whose key is not its identity and may be null.
table() {
    run >/dev/null <<'SQL'
SET client_min_messages = warning;
DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT shard::regclass AS s FROM presplit.retired_shards WHERE to_regclass(shard::regclass::text) IS NOT NULL LOOP
        EXECUTE format('ALTER EXTENSION pg_presplit DROP TABLE %s', r.s);
        EXECUTE format('DROP TABLE %s', r.s);
    END LOOP;
    DELETE FROM presplit.retired_shards;
END $$;
DROP TABLE IF EXISTS t, t_1 CASCADE;
CREATE TABLE t (k int, id int NOT NULL, n int NOT NULL DEFAULT 0, UNIQUE (id, k)) PARTITION BY RANGE (k);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000);
ALTER TABLE t_1 ADD PRIMARY KEY (id);
INSERT INTO t SELECT g, g FROM generate_series(0, 98, 2) AS g;
SQL
}
# Sessions that are told what to do, and answer when they can.
open_session() { # NAME
    mkfifo "$tmp/$1.in"
    psql -qAtX <"$tmp/$1.in" >"$tmp/$1.out" 2>&1 &
    eval "exec {fd_$1}>\"$tmp/$1.in\""
}
say() { # NAME STATEMENT...
    local name=$1 fd="fd_$1"
    shift
    printf '%s;\n' "$@" >&"${!fd}"
}
answer() { # NAME
    local mark="mark-$RANDOM$RANDOM" end=$((SECONDS + 20))
    say "$1" "SELECT '$mark'"
    while ((SECONDS <= end)); do
        if grep -q "$mark" "$tmp/$1.out" 2>/dev/null; then
            { grep -v '^mark-' "$tmp/$1.out" || true; } | tail -n 1
            return
        fi
        sleep 0.02
    done
    echo "no answer"
}
close_session() { # NAME
    local fd="fd_$1"
    printf '\\q\n' >&"${!fd}"
    eval "exec ${!fd}>&-"
    rm -f "$tmp/$1.in"
}
until_true() { # QUERY
    local found='' end=$((SECONDS + 20))
    while ((SECONDS <= end)); do
        found=$(run -c "$1") && [[ $found == t ]] && return
        sleep 0.02
    done
    not_ok "waiting for: $1"
}
begin_at() { # POINT [setting...]
    open_session holder
    say holder "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'))"
    answer holder >/dev/null
    id=$(PGOPTIONS="-c presplit.pause_at=$1 ${*:2}" run -c "SELECT split_shard('t_1', at => '{50}')")
    until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}
release() { close_session holder; }
content="SELECT count(*) || ' ' || coalesce(sum(id), 0) || ' ' || coalesce(sum(n), 0) || ' ' || count(DISTINCT id) FROM t"
# The operation ends well, and t has what it had before.
ends_with() { # NAME
    local expected phase
    expected=$(run -c "$content")
    release
    phase=$(run -c "SELECT wait_operation($id, '2 min')" 2>&1) || true
    [[ $phase == 'done' ]] || phase=$(run -c "SELECT phase || ': ' || coalesce(error, waiting_for, '') FROM presplit.operations WHERE operation_id = $id")
    same "$1" "done $expected" "$phase $(run -c "$content")"
    [[ $phase == 'done' ]] || run -c "SELECT cancel_operation($id)" >/dev/null 2>&1 || true
    becomes "$1: its worker has ended" 0 capture 20 -d postgres -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"
}

# What replication applies fires no ordinary triggers. After the comparison, when nothing else would notice.
table
begin_at cutting_over
run -c 'SET session_replication_role = replica' -c 'INSERT INTO t VALUES (1, 1, 5)' -c 'UPDATE t SET n = 3 WHERE id = 60' -c 'DELETE FROM t WHERE id = 2'
ends_with "changes by a replica's apply worker are not lost"

# Of a key that changes, both are written down.
table
begin_at cutting_over
run -c 'UPDATE t SET id = 1001 WHERE id = 4' -c 'UPDATE t SET k = 51, id = 53 WHERE id = 6' -c 'UPDATE t SET id = CASE id WHEN 10 THEN 12 ELSE 10 END * -1 WHERE id IN (10, 12)'
ends_with "of a row whose key changes the old one goes"

table
begin_at cutting_over
run -c 'TRUNCATE t' -c 'INSERT INTO t VALUES (7, 7, 7)'
ends_with "TRUNCATE after the comparison is not lost"

# A transaction that wrote first and commits last: others that came later have been taken out of the log by then.
table
begin_at copying
open_session late
say late BEGIN 'UPDATE t SET n = 100 WHERE id = 20' 'DELETE FROM t WHERE id = 70' 'INSERT INTO t VALUES (3, 3, 3)'
answer late >/dev/null
run -c 'UPDATE t SET n = 1 WHERE id = 30'
open_session holder2
say holder2 "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('cutting_over'))"
answer holder2 >/dev/null
run -c "UPDATE presplit.jobs SET settings = settings || '{\"pause_at\": \"cutting_over\"}' WHERE operation_id = $id"
release
until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
say late COMMIT
answer late >/dev/null
close_session late
open_session holder
close_session holder2
ends_with "what was written early and committed late is not lost"

# A row that changes while the chunk that has it is being copied: its shard's check waits, so the copy does.
table
run >/dev/null <<'SQL'
CREATE OR REPLACE FUNCTION stays(n int) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    IF n = 13 AND pg_try_advisory_xact_lock_shared(13) = false THEN PERFORM pg_advisory_xact_lock_shared(13); END IF;
    RETURN true;
END $$;
ALTER TABLE t_1 ADD CHECK (stays(n));
INSERT INTO t VALUES (40, 41, 13);
SQL
begin_at copying
open_session gate
say gate 'SELECT pg_advisory_lock(13)'
answer gate >/dev/null
release
until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 13"
run -c 'UPDATE t SET n = 77 WHERE id = 2' -c 'DELETE FROM t WHERE id = 8' -c 'UPDATE t SET n = 78 WHERE id = 90'
open_session holder
close_session gate
ends_with "what changes while it is copied is not lost"

# A statement that took its snapshot before the last changes came over, and waits for the swap, which has locked the table
# itself and not yet the shard.
table
run -c "CREATE OR REPLACE FUNCTION seen() RETURNS text STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t); END'"
begin_at cutting_over.caught_up -c presplit.cutover_budget=20s -c presplit.cutover_lock_timeout=20s
run -c 'INSERT INTO t SELECT g, g FROM generate_series(101, 149, 2) AS g'
open_session keeper
say keeper BEGIN 'LOCK TABLE t_1 IN ACCESS SHARE MODE'
answer keeper >/dev/null
open_session reader
say reader 'SELECT seen()'
answer reader >/dev/null
expected=$(run -c 'SELECT count(*) FROM t')
release
until_true "SELECT count(*) = 1 FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock' AND granted"
say reader 'SELECT seen()'
until_true "SELECT count(*) = 1 FROM pg_locks WHERE relation = 't'::regclass AND NOT granted"
say keeper COMMIT
open_session holder
same "a stable function that waits for the swap sees what was committed before" "$expected" "$(answer reader)"
close_session keeper
close_session reader
ends_with "and the swap is done"

# Nobody writes to what was replaced, whatever his session says.
fails_with "a replaced shard takes no rows" 'was replaced' run -c 'INSERT INTO t_1 VALUES (1, 2001)'
fails_with "nor from a replica's apply worker" 'was replaced' run -c 'SET session_replication_role = replica' -c 'DELETE FROM t_1'

# A new shard whose key may be null is attached without a look at its rows, under the lock that keeps everybody out.
count_in_log() { grep -cE "$1" "$(cluster_log capture)" || true; }
same "new shards are attached by what their checks say" '2' "$(grep -aoE 'partition constraint for table "t_s[0-9]+" is implied' "$(cluster_log capture)" | sort -u | wc -l)"
same "the server looked at no rows of theirs to find that out" 0 "$(count_in_log 'verifying table "t_s[0-9]+"')"
log_is_clean capture tests/server/allow/reshard_capture
exit "$CHECKS_FAILED"
