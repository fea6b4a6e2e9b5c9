#!/usr/bin/env bash
# Who waits for a cutover, or has a snapshot that is older: each kind of statement sees every committed row and changes
# every row that it means, and what is written by others in between is never missed.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start waiters "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16"
cluster_use waiters
tmp=$(cluster_tmp waiters)
chmod a+rwx "$tmp"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10000);
CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (10000) TO (20000);
INSERT INTO t SELECT g FROM generate_series(0, 999) AS g;
CREATE FUNCTION seen() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t WHERE id < 10000); END';
CREATE FUNCTION seen_now() RETURNS bigint VOLATILE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM t WHERE id < 10000); END';
CREATE FUNCTION seen_sql() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM t WHERE id < 10000';
ANALYZE t;
SQL

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
# The last line that a session has answered, once it has reached a mark.
answer() { # NAME
    local mark="mark-$RANDOM$RANDOM" end=$((SECONDS + 30))
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
    # Sessions that were opened later hold this end too: it is not closed by closing it here.
    printf '\\q\n' >&"${!fd}"
    eval "exec ${!fd}>&-"
    rm -f "$tmp/$1.in"
}
until_true() { # QUERY
    local found='' end=$((SECONDS + 30))
    while ((SECONDS <= end)); do
        found=$(run -c "$1") && [[ $found == t ]] && return
        sleep 0.02
    done
    not_ok "waiting for: $1"
}
hold() { # POINT
    open_session holder
    say holder "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'))"
    answer holder >/dev/null
}
release() { close_session holder; }
begin_at() { # POINT [setting...]
    local point=$1
    shift
    hold "$point"
    id=$(PGOPTIONS="-c presplit.pause_at=$point -c presplit.cutover_budget=20s -c presplit.cutover_lock_timeout=20s $*" \
        run -c "SELECT $next")
    until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}
# Each operation undoes the one before.
next=''
turn() {
    if [[ $(run -c "SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass") == 2 ]]; then
        next="split_shard((SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 't'::regclass
            AND pg_get_expr(relpartbound, oid) LIKE '%(10000)' AND relkind = 'r' AND pg_get_expr(relpartbound, oid) LIKE 'FOR VALUES FROM (0)%'), at => '{500}')"
    else
        next="merge_shards(ARRAY(SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid
            WHERE inhparent = 't'::regclass AND pg_get_expr(relpartbound, oid) NOT LIKE '%(20000)'))"
    fi
}
done_in_time() { same "$1: the operation is done" done "$(run -c "SELECT wait_operation($id, '3 min')")"; }
waits() { until_true "SELECT count(*) >= $1 FROM pg_locks WHERE NOT granted AND locktype = 'relation'"; }
count() { run -c 'SELECT count(*) FROM t WHERE id < 10000'; }

# Readers that wait for the swap with the snapshot that they began with, after the last changes and before they are read on
# the new shards: what was committed just before is there for each of them. An EXECUTE and a stable function keep that
# snapshot: had the changes come with the swap itself, they would not see them.
readers=("plain|SELECT count(*) FROM t WHERE id < 10000"
    "prepared, generic plan|EXECUTE generic"
    "prepared, custom plan|EXECUTE custom (10000)"
    "volatile function|SELECT seen_now()"
    "stable function|SELECT seen()"
    "stable function in SQL|SELECT seen_sql()"
    "cursor|DECLARE c CURSOR FOR SELECT count(*) FROM t WHERE id < 10000|FETCH c|COMMIT")
turn
begin_at cutting_over.caught_up
run -c 'INSERT INTO t SELECT g FROM generate_series(1000, 1099) AS g' -c 'DELETE FROM t WHERE id < 10' -c 'UPDATE t SET n = 5 WHERE id = 20'
expected=$(count)
# Somebody who keeps the swap waiting when it has locked the table itself, without a snapshot.
open_session keeper
say keeper 'BEGIN' 'LOCK TABLE t_low IN ACCESS SHARE MODE'
answer keeper >/dev/null
number=0
for reader in "${readers[@]}"; do
    number=$((number + 1))
    open_session "r$number"
    say "r$number" "SET plan_cache_mode = force_generic_plan" "PREPARE generic AS SELECT count(*) FROM t WHERE id < 10000" \
        "PREPARE custom (int) AS SELECT count(*) FROM t WHERE id < \$1" "EXECUTE generic" \
        "SET plan_cache_mode = auto" "EXECUTE custom (10000)" "SELECT seen()" "SELECT seen_now()" "SELECT seen_sql()"
    answer "r$number" >/dev/null
done
release
until_true "SELECT count(*) = 1 FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock' AND granted"
number=0
for reader in "${readers[@]}"; do
    number=$((number + 1))
    IFS='|' read -ra parts <<<"$reader"
    [[ ${parts[0]} != cursor ]] || say "r$number" BEGIN
    say "r$number" "${parts[@]:1}"
done
waits "${#readers[@]}"
say keeper COMMIT
done_in_time 'readers wait'
number=0
for reader in "${readers[@]}"; do
    number=$((number + 1))
    same "a reader that waited for the swap sees what was committed before: ${reader%%|*}" "$expected" "$(answer "r$number")"
    close_session "r$number"
done
close_session keeper

# Writers that wait for the first stage act on the new shards.
writers=("plain UPDATE|UPDATE t SET n = n + 1 WHERE id = 100 RETURNING n"
    "EXECUTE of an UPDATE|EXECUTE add (101)"
    "UPDATE of a row that was changed just before|EXECUTE add (20)"
    "DELETE|DELETE FROM t WHERE id = 102 RETURNING 1"
    "INSERT|INSERT INTO t VALUES (5000, 1) RETURNING n"
    "upsert|INSERT INTO t VALUES (103) ON CONFLICT (id) DO UPDATE SET n = t.n + 1 RETURNING n"
    "FOR UPDATE|SELECT 1 FROM t WHERE id = 104 FOR UPDATE")
turn
begin_at cutting_over.caught_up
run -c 'UPDATE t SET n = 0 WHERE id = 20'
number=0
for writer in "${writers[@]}"; do
    number=$((number + 1))
    open_session "w$number"
    say "w$number" 'PREPARE add (int) AS UPDATE t SET n = n + 1 WHERE id = $1 RETURNING n' "SET plan_cache_mode = force_generic_plan"
    answer "w$number" >/dev/null
done
# One that keeps the first stage waiting, so that the others queue behind it.
open_session keeper
say keeper 'BEGIN' 'UPDATE t SET n = n WHERE id = 900'
answer keeper >/dev/null
release
waits 1
number=0
for writer in "${writers[@]}"; do
    number=$((number + 1))
    say "w$number" "${writer#*|}"
done
waits 6
say keeper COMMIT
done_in_time 'writers wait'
number=0
for writer in "${writers[@]}"; do
    number=$((number + 1))
    same "a writer that waited for the cutover finds its row: ${writer%%|*}" 1 "$(answer "w$number")"
    close_session "w$number"
done
close_session keeper
same "and what they wrote is there" '1|1|1|0|1|1' "$(run -F '|' -c "SELECT (SELECT n FROM t WHERE id = 100), (SELECT n FROM t WHERE id = 101),
    (SELECT n FROM t WHERE id = 20), (SELECT count(*) FROM t WHERE id = 102), (SELECT n FROM t WHERE id = 5000), (SELECT n FROM t WHERE id = 103)")"

# A snapshot that is older than the copy holds the cutover up, and sees everything.
turn
expected=$(count)
open_session old
say old 'BEGIN ISOLATION LEVEL REPEATABLE READ' 'SELECT 1'
answer old >/dev/null
id=$(PGOPTIONS="-c presplit.cutover_budget=300ms" run -c "SELECT $next")
until_true "SELECT phase = 'cutting_over' AND waiting_for = 'older snapshots' FROM presplit.operations WHERE operation_id = $id"
same "it is said who holds the cutover up" t "$(run -c "SELECT blocked_by = ARRAY(SELECT pid FROM pg_stat_activity
    WHERE state = 'idle in transaction') FROM presplit.operations WHERE operation_id = $id")"
run -c 'INSERT INTO t SELECT g FROM generate_series(6000, 6009) AS g'
say old 'SELECT count(*) FROM t WHERE id < 10000'
same "an older snapshot sees what it saw" "$expected" "$(answer old)"
say old COMMIT
close_session old
done_in_time 'an older snapshot'
same "and nothing is lost that was written meanwhile" "$((expected + 10))" "$(count)"

# A session that waits for the operation in an older statement does not hold it up; nor is a reader that comes first.
turn
open_session waiter
hold copying
id=$(PGOPTIONS="-c presplit.pause_at=copying" run -c "SELECT $next")
say waiter "SELECT wait_operation($id, '3 min')"
until_true "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT wait_operation%' AND state = 'active'"
# Nor does it keep VACUUM from any row for as long as it waits.
until_true "SELECT bool_and(backend_xmin IS NULL) FROM pg_stat_activity WHERE query LIKE 'SELECT wait_operation%' AND state = 'active'"
release
same "who waits for the operation does not hold it up" done "$(answer waiter)"
close_session waiter

# Read first, then written: the worker gives way, the session goes on at once.
turn
begin_at cutting_over.caught_up -c presplit.cutover_budget=500ms -c presplit.cutover_lock_timeout=150ms
open_session both
say both 'BEGIN' 'SELECT count(*) FROM t WHERE id < 10000'
answer both >/dev/null
release
sleep 0.3
say both 'UPDATE t SET n = 77 WHERE id = 200 RETURNING n'
same "a session that read and then writes goes on" 77 "$(answer both)"
say both COMMIT
close_session both
done_in_time 'read, then written'
same "with what it wrote" 77 "$(run -c 'SELECT n FROM t WHERE id = 200')"

# TRUNCATE while it is copied: everything begins anew, and only what came after is there.
turn
begin_at catching_up
run -c 'TRUNCATE t' -c 'INSERT INTO t SELECT g FROM generate_series(0, 499) AS g'
release
done_in_time truncate
same "after TRUNCATE only what came later is there" 500 "$(count)"

log_is_clean waiters
exit "$CHECKS_FAILED"
