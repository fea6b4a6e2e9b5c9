#!/usr/bin/env bash
# Operations that are under way when their server is lost: a standby that is promoted goes on with them or takes them back, and
# a clone of the server does the same with what it has, without the other. Before that a standby refuses every verb, and one
# that lags keeps operations waiting.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start prime "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.databases = 'shards'" "presplit.cutover_budget = 5s" \
    "wal_level = replica" "max_wal_senders = 6" "wal_receiver_status_interval = 1s" "autovacuum = off"
cluster_use prime
tmp=$(cluster_tmp prime)
chmod a+rwx "$tmp"
base=$(dirname "$tmp")
bin=$(cluster_bin prime)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE shards'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart prime
rows=2000
run >/dev/null <<SQL
CREATE SEQUENCE ids START 1000000;
CREATE TABLE told (tab text, id bigint, what text);
CREATE TABLE s (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE s_all PARTITION OF s FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
CREATE TABLE t (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);
CREATE INDEX ON s (n);
CREATE INDEX ON t (n);
INSERT INTO s SELECT g FROM generate_series(1, $rows) AS g;
INSERT INTO t SELECT g FROM generate_series(1, $rows) AS g;
ANALYZE;
SQL
for table in s t; do
    cat >"$tmp/$table.sql" <<SQL
\\set id random(1, $rows)
BEGIN;
UPDATE $table SET n = n + 1 WHERE id = :id RETURNING n AS after \\gset
INSERT INTO told VALUES ('$table', :id, 'updated');
COMMIT;
SELECT nextval('ids') AS own \\gset
BEGIN;
INSERT INTO $table (id) VALUES (:own);
INSERT INTO told VALUES ('$table', :own, 'added');
COMMIT;
\\if :own % 4 = 0
BEGIN;
DELETE FROM $table WHERE id = :own RETURNING id AS gone \\gset
INSERT INTO told VALUES ('$table', :own, 'removed');
COMMIT;
\\endif
SQL
done
chmod a+r "$tmp"/*.sql
: >"$tmp/said"
writers=()
write_to() { # TABLE...
    local table
    for table in "$@"; do
        pgbench -n -c 2 -R 100 -T 600 -f "$tmp/$table.sql" >/dev/null 2>>"$tmp/said" 7>&- &
        writers+=("$!")
    done
}
stop_writing() {
    kill "${writers[@]}" 2>/dev/null || true
    wait "${writers[@]}" 2>/dev/null || true
    writers=()
}
all_is_there() { # NAME
    local table
    for table in s t; do
        same "$1: $table has every acknowledged row once, with every update" '0|0|0|0' "$(run <<SQL
WITH wanted AS (
    SELECT id FROM generate_series(1, $rows) AS id
    UNION ALL SELECT id FROM told WHERE tab = '$table' AND what = 'added'
    EXCEPT ALL SELECT id FROM told WHERE tab = '$table' AND what = 'removed'
), found AS (SELECT id, n FROM $table)
SELECT (SELECT count(*) FROM (SELECT id FROM wanted EXCEPT ALL SELECT id FROM found) AS lost),
       (SELECT count(*) FROM (SELECT id FROM found EXCEPT ALL SELECT id FROM wanted) AS doubled),
       (SELECT sum(n) FROM found) - (SELECT count(*) FROM told WHERE tab = '$table' AND what = 'updated'),
       (SELECT count(*) FROM (SELECT id FROM $table GROUP BY id HAVING count(*) > 1) AS twice)
SQL
)"
    done
}
quietly() { # EXPECTED QUERY [SECONDS]
    local found='' end=$((SECONDS + ${3:-60}))
    while ((SECONDS <= end)); do
        found=$(run -c "$2" 2>/dev/null) || true
        [[ $found == "$1" ]] && return
        sleep 0.05
    done
    not_ok "waiting for $1 of $2" "$found $(run -c 'SELECT operation_id, phase, waiting_for, error FROM presplit.operations ORDER BY 1 DESC LIMIT 2' 2>&1)"
}
hold() { # POINT...
    local point
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    for point in "$@"; do
        echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$point'));" >&7
        quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = hashtext('$point')::bigint & 4294967295"
    done
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
begin() { # POINT SELECT
    PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h -c presplit.cutover_lock_timeout=10s" run -c "$2"
}
arrive() { quietly "$1" "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"; } # HOW MANY
at_end() { # ID
    quietly t "SELECT phase IN ('done', 'failed', 'cancelled') FROM presplit.operations WHERE operation_id = $1" 180
    run -c "SELECT phase || coalesce(': ' || error, '') FROM presplit.operations WHERE operation_id = $1"
}
at_work() { run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"; }
# A copy of the server that PGHOST names, in a folder; -R makes it a standby.
copy_server() { # NAME [pg_basebackup option...]
    local dir=$base/$1
    shift
    as_cluster_user "$bin/pg_basebackup" -c fast -D "$dir" -X stream "$@" -h "$PGHOST" -U postgres >/dev/null 2>&1
    as_cluster_user mkdir -p "$dir.socket"
    printf '%s\n' "unix_socket_directories = '$dir.socket'" "cluster_name = '$(basename "$dir")'" "log_min_messages = debug1" >>"$dir/postgresql.conf"
    server "$(basename "$dir")" start
}
server() { # NAME VERB
    as_cluster_user "$bin/pg_ctl" -D "$base/$1" -l "$base/$1.log" -m immediate -w -t 60 -s "$2" 7>&- 9>&-
}
on() { # NAME psql-option...
    local host=$base/$1.socket
    shift
    psql -qAtX -v ON_ERROR_STOP=1 -h "$host" "$@"
}
catches_up() { # NAME
    local wanted end=$((SECONDS + 30))
    wanted=$(run -c 'SELECT pg_current_wal_flush_lsn()')
    until [[ $(on "$1" -c "SELECT pg_last_wal_replay_lsn() >= '$wanted'") == t ]]; do
        ((SECONDS <= end)) || { not_ok "the standby catches up"; return; }
        sleep 0.05
    done
}
# The primary is gone for good, and a standby takes its place.
promote() { # OLD NEW
    if [[ $1 == prime ]]; then cluster_kill prime; else server "$1" stop; fi
    release
    stop_writing
    on "$2" -c 'SELECT pg_promote()' >/dev/null
    PGHOST=$base/$2.socket
    quietly f 'SELECT pg_is_in_recovery()'
}
catalog() {
    run <<'SQL'
SELECT 'class', c.oid, c.relname, c.relkind, c.relispartition, c.relhasindex, c.relchecks FROM pg_class AS c WHERE c.oid >= 16384 ORDER BY c.oid;
SELECT 'trigger', t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger AS t ORDER BY t.oid;
SELECT 'constraint', c.oid, c.conrelid, c.conname, c.convalidated FROM pg_constraint AS c ORDER BY c.oid;
SELECT 'depend', d.* FROM pg_depend AS d WHERE d.objid >= 16384 ORDER BY d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid;
SELECT 'ledger', o.* FROM presplit.job_objects AS o;
SQL
}
leaf() { run -c "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 's'::regclass ORDER BY inhrelid DESC LIMIT 1"; }

# A standby -------------------------------------------------------------------------------------------------------------
copy_server second -R
hold copying verifying
by_hash=$(run -c "SELECT register_proposal('t', 'hash', '{id}', '{\"modulus\": 3}')")
split=$(begin copying "SELECT split_shard('s_all', at => '{1000}')")
divided=$(begin verifying "SELECT shard_table('t', $by_hash)")
arrive 2
catches_up second
same "a standby shows what is under way" 'copying|verifying' "$(on second -c "SELECT string_agg(phase, '|' ORDER BY operation_id) FROM presplit.operations")"
for verb in "split_shard('s_all')" "move_shard('s_all', 'pg_default')" "merge_shards('{s_all}')" "shard_table('t', $by_hash)" "cancel_operation($split)" \
    "pause_operation($split)" "resume_operation($split)" "undo_operation($split)"; do
    fails_with "on a standby: ${verb%%(*}" "cannot execute ${verb%%(*}\(\) during recovery" on second -c "SELECT $verb"
done
fails_with "on a standby: wait_operation" 'is not over' on second -c "SELECT wait_operation($split, '3 s')"
same "on a standby nobody is at work" 0 "$(on second -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg_presplit%'")"
same "nor asked for" 0 "$(grep -c 'registering background worker "pg_presplit operation"' "$base/second.log" || true)"

# A replica that lags ---------------------------------------------------------------------------------------------------
on second -c 'SELECT pg_wal_replay_pause()' >/dev/null
run -c "ALTER SYSTEM SET presplit.max_replica_lag = 1" -c 'SELECT pg_reload_conf()' >/dev/null
write_to s t
quietly t "SELECT coalesce(max(replay_lag) > interval '1.5 s', false) FROM pg_stat_replication"
release
quietly 2 "SELECT count(*) FROM presplit.operations WHERE waiting_for ~ '^a replica that is [0-9]+ s behind$'"
same "a replica that lags is waited for, and both say so" 'copying|verifying' \
    "$(run -c "SELECT string_agg(phase, '|' ORDER BY operation_id) FROM presplit.operations WHERE waiting_for LIKE 'a replica%'")"
sleep 1
same "as long as it lags" 2 "$(run -c "SELECT count(*) FROM presplit.operations WHERE finished_at IS NULL")"
on second -c 'SELECT pg_wal_replay_resume()' >/dev/null
same "then the split goes on" done "$(at_end "$split")"
same "and the table is divided" done "$(at_end "$divided")"
stop_writing
all_is_there "after the lag"
run -c "ALTER SYSTEM RESET presplit.max_replica_lag" -c 'SELECT pg_reload_conf()' >/dev/null

# Promotion: it goes on -------------------------------------------------------------------------------------------------
run -c "UPDATE presplit.retired_shards SET drop_after = retired_at"
quietly 0 'SELECT count(*) FROM presplit.retired_shards'
hold copying cutting_over.waited
write_to s t
by_hash=$(run -c "SELECT register_proposal('t', 'hash', '{id}', '{\"modulus\": 2}')")
split=$(begin copying "SELECT split_shard('$(leaf)', at => '{1500}')")
divided=$(begin cutting_over.waited "SELECT shard_table('t', $by_hash)")
arrive 2
sleep 0.5
catches_up second
promote prime second
same "promoted, the split goes on" done "$(at_end "$split")"
same "promoted in the cutover, the table is divided" done "$(at_end "$divided")"
all_is_there "promoted"
same "the promoted server has the shards" '3|2' "$(run -c "SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 's'::regclass), (SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass)")"
same "and nothing else of it" 0 "$(run -c 'SELECT count(*) FROM presplit.job_objects')"

# Promotion: it is taken back -------------------------------------------------------------------------------------------
run -c "UPDATE presplit.retired_shards SET drop_after = retired_at"
quietly 0 'SELECT count(*) FROM presplit.retired_shards'
copy_server third -R
by_hash=$(run -c "SELECT register_proposal('t', 'hash', '{id}', '{\"modulus\": 5}')")
catalog >"$tmp/before"
hold cutting_over.committed indexing
write_to s t
split=$(begin cutting_over.committed "SELECT split_shard('$(leaf)', at => '{1800}')")
divided=$(begin indexing "SELECT shard_table('t', $by_hash)")
arrive 2
# What was wished before the end is carried out by who comes after.
run -c "SELECT cancel_operation($divided)" -c "SELECT pause_operation($split)" >/dev/null
catches_up third
promote second third
same "promoted, a wish of before is carried out" cancelled "$(at_end "$divided")"
quietly paused "SELECT phase FROM presplit.operations WHERE operation_id = $split"
run -c "SELECT cancel_operation($split)" >/dev/null
same "promoted, the split is taken back" cancelled "$(at_end "$split")"
catalog >"$tmp/after"
same "the catalog is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
all_is_there "taken back"

# A clone ---------------------------------------------------------------------------------------------------------------
hold copying
write_to s t
divided=$(begin copying "SELECT shard_table('t', $by_hash)")
arrive 1
copy_server clone
original=$PGHOST
PGHOST=$base/clone.socket
same "a clone goes on with what it has" done "$(at_end "$divided")"
all_is_there "in the clone"
PGHOST=$original
same "the original has nothing of it" copying "$(run -c "SELECT phase FROM presplit.operations WHERE operation_id = $divided")"
server clone stop
release
same "and comes to its own end" done "$(at_end "$divided")"
stop_writing
all_is_there "beside a clone"
same "nobody is at work" 0 "$(at_work)"
server third stop
same "but for the servers that were lost no client was told an error" '' "$(grep -E 'ERROR|error:|FATAL' "$tmp/said" \
    | grep -vE 'server closed the connection|perhaps the backend died|connection to server|Run was aborted|terminating connection' | head -n 3 || true)"
for log in second third clone; do
    same "log of $log" '' "$(grep -aE '(ERROR|PANIC):|terminated by signal' "$base/$log.log" \
        | grep -avE 'during recovery|is not over|canceling statement due to user request|canceling autovacuum' | head -n 3 || true)"
done
exit "$CHECKS_FAILED"
