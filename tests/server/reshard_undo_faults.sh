#!/usr/bin/env bash
# Undoing an operation is cancelled, killed and stopped by a crash of the server at each of its phases; is begun after later
# operations were undone, after keys were altered, and given up for good with break_glass.sql. No row is lost, what was replaced
# stays replaced until the end, and whatever an undo could not use it copies.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start undo_faults "$version" "shared_preload_libraries = 'pg_presplit'" "max_worker_processes = 16" "presplit.worker_naptime = 1" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.databases = 'postgres'" "presplit.cutover_budget = 5s"
cluster_use undo_faults
tmp=$(cluster_tmp undo_faults)
chmod a+rwx "$tmp"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
export PGDATABASE=postgres
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart undo_faults
run <<'SQL'
CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (1000);
CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (1000) TO (2000);
CREATE INDEX ON t (n);
CREATE TABLE other (id int, k int, PRIMARY KEY (id, k)) PARTITION BY RANGE (id);
CREATE TABLE other_all PARTITION OF other FOR VALUES FROM (0) TO (1000000);
INSERT INTO t SELECT generate_series(0, 1999);
INSERT INTO other SELECT g, g FROM generate_series(0, 999) AS g;
ANALYZE;
SQL
rows() { run -c "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM ${1:-t} AS t"; }
change() { # NUMBER
    run -c "UPDATE t SET n = n + 1 WHERE id % 10 = $1" -c "DELETE FROM t WHERE id % 100 = 50 + $1" -c "UPDATE t SET id = id - 400 WHERE id = 1${1}51" \
        -c "INSERT INTO t VALUES (150 + $1), (1450 + $1) ON CONFLICT DO NOTHING"
}
catalog() {
    run <<'SQL'
SELECT c.oid, c.relname, c.relkind, pg_get_expr(c.relpartbound, c.oid), c.relacl::text, c.reloptions, c.relchecks, c.relpersistence
FROM pg_class AS c WHERE c.oid >= 16384 AND c.relname !~ '^pg_toast' ORDER BY c.oid;
SELECT t.tgrelid, t.tgname, t.tgenabled, t.tgisinternal FROM pg_trigger AS t ORDER BY 1, 2;
SELECT c.oid, c.conrelid, c.conname, c.convalidated, c.conislocal, c.coninhcount FROM pg_constraint AS c WHERE c.oid >= 16384 ORDER BY c.oid;
SELECT i.* FROM pg_inherits AS i ORDER BY 1, 2;
SELECT d.classid::regclass, d.refclassid::regclass, d.refobjid, d.deptype, count(*) FROM pg_depend AS d WHERE d.refobjid >= 16384 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
SELECT shard, operation_id, drop_after FROM presplit.retired_shards ORDER BY 1;
SQL
}
quietly() { # EXPECTED QUERY
    local found='' end=$((SECONDS + 30))
    while ((SECONDS <= end)); do
        found=$(run -c "$2" 2>/dev/null) || true
        [[ $found == "$1" ]] && return
        sleep 0.05
    done
    not_ok "waiting for $1 of $2" "$found"
}
hold() {
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
begin_at() { # POINT SELECT
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h -c presplit.cutover_lock_timeout=10s" run -c "$2")
    quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    worker=$(run -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'")
}
outcome() { echo "$(run -c "SELECT wait_operation($1, '1 minute')")$(run -c "SELECT coalesce(': ' || error, '') FROM presplit.operations WHERE operation_id = $1")"; }
at_end() { # ID: also if the server has gone down meanwhile
    quietly t "SELECT phase IN ('done', 'failed', 'cancelled') FROM presplit.operations WHERE operation_id = $1"
    run -c "SELECT phase || coalesce(': ' || error, '') FROM presplit.operations WHERE operation_id = $1"
}
gone() { quietly 0 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"; }
detail() { run -c "SELECT detail FROM presplit.operations WHERE operation_id = $1"; }

for undo in true false; do
    run -c "SELECT configure_shards('t', '{\"undo\": $undo}')" >/dev/null
    split=$(run -c "SELECT split_shard('t_high', at => '{1500}')")
    same "split, undo $undo" done "$(outcome "$split")"
    change 1
    points='preparing catching_up cutting_over.committed cutting_over.waited'
    [[ $undo == true ]] || points='preparing capturing copying indexing verifying cutting_over.waited'
    # Logs that are of no more use go after a moment.
    quietly "$([[ $undo == true ]] && echo 1 || echo 0)" "SELECT count(*) FROM presplit.job_objects WHERE role = 'log'"
    for point in $points; do
        there=$(rows)
        catalog >"$tmp/before"
        begin_at "$point" "SELECT undo_operation($split)"
        run -c "SELECT cancel_operation($id)" >/dev/null
        release
        same "undo is cancelled at $point, undo $undo" cancelled "$(outcome "$id")"
        gone
        catalog >"$tmp/after"
        # Emptied, its indexes are new files, which is not looked at.
        same "and the catalog is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
        same "and the rows" "$there" "$(rows)"
        change 2
    done
    fails_with "what was replaced stays so" 'was replaced' psql -qAtX -c 'INSERT INTO t_high VALUES (1600)'
    change 3
    there=$(rows)
    begin_at verifying "SELECT undo_operation($split)"
    kill -9 "$worker"
    release
    same "undo is killed, undo $undo" done "$(at_end "$id")"
    same "killed: the rows, undo $undo" "$there" "$(rows)"
    if [[ $undo == true ]]; then
        same "it was not copied in spite of all that" 1 "$(detail "$id" | grep -c 'what has changed since')"
    fi
    # Undone, and that undone, the server being killed.
    there=$(rows)
    begin_at cutting_over.committed "SELECT undo_operation($id)"
    cluster_kill undo_faults
    release
    cluster_up undo_faults
    same "an undo goes on after a crash, undo $undo" done "$(at_end "$id")"
    same "crash: the rows, undo $undo" "$there" "$(rows)"
    same "and once more back" done "$(outcome "$(run -c "SELECT undo_operation($id)")")"
    same "back: the rows, undo $undo" "$there" "$(rows)"
done

# After later operations.
run -c "SELECT configure_shards('t', '{\"undo\": true}')" >/dev/null
first=$(run -c "SELECT split_shard('t_high', at => '{1500}')")
same "a first split" done "$(outcome "$first")"
shard=$(run -c "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 't'::regclass AND inhrelid::regclass::text LIKE 't\_s%'")
second=$(run -c "SELECT split_shard('$shard', at => '{1250}')")
same "a second split" done "$(outcome "$second")"
change 4
fails_with "the first is not undone before the second" "Undo that one first: SELECT undo_operation\($second\)" psql -qAtX -c "SELECT undo_operation($first)"
there=$(rows)
same "the second is undone" done "$(outcome "$(run -c "SELECT undo_operation($second)")")"
change 5
there=$(rows)
same "then the first" done "$(outcome "$(run -c "SELECT undo_operation($first)")")"
same "later operations: the rows" "$there" "$(rows)"
same "no log is left of those that are undone" 0 "$(run -c "SELECT count(*) FROM presplit.job_objects WHERE operation_id IN ($first, $second)")"

# One operation at a time.
split=$(run -c "SELECT split_shard('t_high', at => '{1500}')")
same "split before a second undo" done "$(outcome "$split")"
begin_at catching_up "SELECT undo_operation($split)"
fails_with "one undo at a time" "operation $id works on table" psql -qAtX -c "SELECT undo_operation($split)"
fails_with "no DROP EXTENSION meanwhile" 'operation' psql -qAtX -c 'DROP EXTENSION pg_presplit'
fails_with "nobody writes to a shard that comes back" 'takes no rows yet' psql -qAtX -c 'INSERT INTO t_high VALUES (1700)'
same "dumps know nothing of it" 0 "$(pg_dump postgres | grep -cE 'presplit_|changes_|t_high' || true)"
release
same "it goes on" done "$(outcome "$id")"

# A key that is altered under a capture: nobody's write fails, and the undo is refused.
run -c "SELECT configure_shards('other', '{\"undo\": true}')" >/dev/null
split=$(run -c "SELECT split_shard('other_all', at => '{500}')")
same "split before a key is altered" done "$(outcome "$split")"
run -c 'ALTER TABLE other ALTER COLUMN k TYPE bigint'
succeeds "writes go on" psql -qAtX -v ON_ERROR_STOP=1 -c 'INSERT INTO other VALUES (1000, 1)' -c 'UPDATE other SET k = k + 1 WHERE id > 990'
fails_with "undo after the key was altered" 'no more like "public.other_all"' psql -qAtX -c "SELECT undo_operation($split)"
run -c 'ALTER TABLE other ALTER COLUMN k TYPE int'
there=$(rows other)
undone=$(run -c "SELECT undo_operation($split)")
outcome "$undone" >"$tmp/said"
if ! grep -qx done "$tmp/said"; then
    ok "what is written down does not suffice, and it says so: $(head -c 200 "$tmp/said")"
    undone=$(run -c "SELECT undo_operation($split)")
    outcome "$undone" >"$tmp/said"
fi
same "with the old key again" done "$(cat "$tmp/said")"
same "the old key: the rows" "$there" "$(rows other)"

# The way out in the middle.
for undo in true false; do
    run -c "SELECT configure_shards('t', '{\"undo\": $undo}')" >/dev/null
    shard=$(run -c "SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid WHERE inhparent = 't'::regclass AND pg_get_expr(relpartbound, c.oid) LIKE '%TO (''2000'')'")
    split=$(run -c "SELECT split_shard('$shard', at => '{$([[ $undo == true ]] && echo 1500 || echo 1750)}')")
    same "split before break_glass.sql" done "$(outcome "$split")"
    there=$(rows)
    begin_at cutting_over.committed "SELECT undo_operation($split)"
    run -c "SELECT pg_terminate_backend($worker)" >/dev/null
    cp "$(dirname "$0")/../../sql/break_glass.sql" "$tmp/break_glass.sql"
    PGOPTIONS='-c client_min_messages=warning' succeeds "break_glass.sql in an undo" psql -qAtX -v ON_ERROR_STOP=1 -f "$tmp/break_glass.sql"
    release
    gone
    same "nothing of ours is left on tables" 0 "$(run -c "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'presplit%'")"
    same "nor a check" 0 "$(run -c "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'presplit%'")"
    same "break_glass.sql: the rows" "$there" "$(rows)"
    succeeds "what was replaced is a table" psql -qAtX -v ON_ERROR_STOP=1 -c "DROP TABLE $shard"
done
succeeds "DROP EXTENSION" psql -qAtX -v ON_ERROR_STOP=1 -c 'DROP EXTENSION pg_presplit'
log_is_clean undo_faults tests/server/allow/reshard_undo
exit "$CHECKS_FAILED"
