#!/usr/bin/env bash
# The ways out of an operation that is under way: break_glass.sql where the library cannot be loaded any more, DROP EXTENSION, a
# library of another version, standbys, dumps that are restored.
#   RESHARD_ALL_POINTS=1   break_glass.sql at every step and not only at some
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
glass=$PRESPLIT_ROOT/sql/break_glass.sql
points="copying cutting_over.kept_out cutting_over.waited"
[[ -z ${RESHARD_ALL_POINTS:-} ]] || points="preparing capturing copying indexing catching_up verifying cutting_over cutting_over.kept_out
    cutting_over.committed cutting_over.waited"

cluster_start out "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.databases = 'shards'" "presplit.cutover_budget = 5s" \
    "wal_level = replica" "max_wal_senders = 4"
cluster_use out
tmp=$(cluster_tmp out)
chmod a+rwx "$tmp"
psql -qAtX -d postgres -c 'CREATE DATABASE shards'
export PGDATABASE=shards
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10000);
CREATE INDEX ON t (n);
INSERT INTO t SELECT generate_series(0, 999);
SQL
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    until_true "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
until_true() { # QUERY
    local found='' end=$((SECONDS + 20))
    while ((SECONDS <= end)); do
        found=$(run -c "$1" 2>/dev/null) || true
        [[ $found == t ]] && return
        sleep 0.05
    done
    not_ok "waiting for: $1"
}
begin_at() { # POINT
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h" run -c "SELECT split_shard('$(run -c "SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 't'::regclass")', at => '{500}')")
    until_true "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}
catalog() {
    run <<'SQL'
SELECT 'class', c.oid, c.relname, c.relispartition, c.relacl::text, c.relhasindex, c.relchecks, c.relhastriggers FROM pg_class AS c WHERE c.oid >= 16384 AND c.relname !~ '^(t|t_1)$' ORDER BY c.oid;
SELECT 'trigger', t.* FROM pg_trigger AS t ORDER BY t.oid;
SELECT 'constraint', c.oid, c.conrelid, c.conname, c.convalidated FROM pg_constraint AS c ORDER BY c.oid;
SELECT 'depend', d.* FROM pg_depend AS d WHERE d.objid >= 16384 ORDER BY d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid;
SELECT 'type', t.oid FROM pg_type AS t WHERE t.oid >= 16384 ORDER BY 2;
SQL
}

# The library is gone: the functions' file cannot be found, and nothing is preloaded. A copy of it would not help who has only psql.
lose() {
    run -c "UPDATE pg_proc SET probin = replace(probin, 'pg_presplit', 'pg_presplit_gone') WHERE probin LIKE '%pg_presplit%'"
    run -c "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"
}
find_again() {
    run -c "UPDATE pg_proc SET probin = replace(probin, 'pg_presplit_gone', 'pg_presplit') WHERE probin LIKE '%pg_presplit%'"
    run -c 'ALTER SYSTEM RESET shared_preload_libraries'
    cluster_restart out
}
for point in $points; do
    catalog >"$tmp/before"
    expected=$(run -c 'SELECT count(*), sum(n) FROM t')
    begin_at "$point"
    lose
    # Whoever lets go first lets the worker finish with the library that it has.
    cluster_restart out immediate 7>&-
    release
    if [[ $point != preparing && $point != capturing ]]; then
        fails_with "$point: without the library the table cannot be written to" 'pg_presplit_gone' run -c 'UPDATE t SET n = n WHERE id = 5'
    fi
    succeeds "$point: break_glass.sql without the library" psql -X -v ON_ERROR_STOP=1 -f "$glass"
    catalog >"$tmp/after"
    same "$point: the catalog is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
    succeeds "$point: everybody can write again" run -c 'UPDATE t SET n = n WHERE id = 5' -c 'INSERT INTO t VALUES (5000)' -c 'DELETE FROM t WHERE id = 5000'
    same "$point: all rows are there" "$expected" "$(run -c 'SELECT count(*), sum(n) FROM t')"
    find_again
    same "$point: the operation is over" cancelled "$(run -c "SELECT phase FROM presplit.operations WHERE operation_id = $id")"
done
fails_with "only superusers may break the glass" 'must be superuser' \
    psql -X -v ON_ERROR_STOP=1 -c 'CREATE ROLE nobody' -c 'SET ROLE nobody' -f "$glass"

# A library of another version: nobody takes an operation up until they fit.
begin_at copying
same "pause" t "$(run -c "SELECT pause_operation($id)")"
release
until_true "SELECT phase = 'paused' FROM presplit.operations WHERE operation_id = $id"
run -c "UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'pg_presplit'" -c "SELECT resume_operation($id)" >/dev/null
sleep 2
same "with a library of another version nothing goes on" copying "$(run -c "SELECT replace(phase, 'paused', 'copying') FROM presplit.operations WHERE operation_id = $id")"
same "and no worker is there" 0 "$(run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'")"
run -c "UPDATE presplit.jobs SET system_identifier = system_identifier + 1 WHERE operation_id = $id"
same "in a copy of the server it is said that it does not belong here" t "$(run -c "SELECT waiting_for LIKE '%of which this one is a copy%' FROM presplit.operations WHERE operation_id = $id")"
run -c "UPDATE presplit.jobs SET system_identifier = system_identifier - 1 WHERE operation_id = $id"
run -c "UPDATE pg_extension SET extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'pg_presplit') WHERE extname = 'pg_presplit'"
same "with its own it does" done "$(run -c "SELECT wait_operation($id, '30 s')")"

# A standby and a dump in the middle of an operation.
run -c "DROP TABLE t CASCADE" -c 'CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)' \
    -c 'CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (0) TO (10000)' -c 'INSERT INTO t SELECT generate_series(0, 999)'
begin_at catching_up
pg_dump -Fp -f "$tmp/dump.sql"
same "a dump leaves out what is being filled" 0 "$(grep -cE 'changes_[0-9]|presplit_(capture|staging|truncate|bound)|t_s0' "$tmp/dump.sql" || true)"
psql -qAtX -d postgres -c 'CREATE DATABASE restored'
succeeds "and is restored" psql -X -v ON_ERROR_STOP=1 -d restored -f "$tmp/dump.sql"
same "without the operation" '1000|0' "$(psql -qAtX -d restored -c 'SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM presplit.jobs WHERE NOT is_over)')"
standby=$tmp/../standby
as_cluster_user pg_basebackup -c fast -D "$standby" -X stream -R -h "$PGHOST" -U postgres >/dev/null 2>&1
mkdir -p "$standby.socket"
[[ $(id -u) != 0 ]] || chown "$CLUSTER_USER" "$standby.socket"
cat >>"$standby/postgresql.conf" <<CONF
unix_socket_directories = '$standby.socket'
cluster_name = 'standby'
CONF
as_cluster_user "$(cluster_bin out)/pg_ctl" -D "$standby" -l "$standby.log" -w -t 60 -s start 7>&- 9>&-
on_standby() { psql -qAtX -v ON_ERROR_STOP=1 -h "$standby.socket" "$@"; }
same "a standby shows the operation" catching_up "$(on_standby -c "SELECT phase FROM presplit.operations WHERE operation_id = $id")"
fails_with "on a standby none begins" 'recovery|read-only' on_standby -c "SELECT split_shard('t_2', at => '{700}')"
same "and none is at work" 0 "$(on_standby -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'")"
as_cluster_user "$(cluster_bin out)/pg_ctl" -D "$standby" -m immediate -w -s stop 7>&- 9>&-
release
same "where it began it goes on" done "$(run -c "SELECT wait_operation($id, '30 s')")"
same "with all rows, in two shards" '1000|2' "$(run -c "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass)")"
exit "$CHECKS_FAILED"
