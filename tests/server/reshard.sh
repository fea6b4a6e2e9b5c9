#!/usr/bin/env bash
# Resharding online, as a whole: split, merge and move of range, list and hash tables while pgbench writes to them; no
# acknowledged write is lost or stored twice; operations that are cancelled, terminated or killed at every step, with the
# server too, leave the catalog as it was or go on where they were.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start reshard "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "max_worker_processes = 16" "presplit.reshard_rate_limit = 0" "presplit.databases = 'shards'" "autovacuum_naptime = 5s" \
    "presplit.cutover_budget = 3s"
cluster_use reshard
tmp=$(cluster_tmp reshard)
chmod a+rwx "$tmp"
as_cluster_user mkdir "$tmp/spare"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE shards'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit'
# A database that had no extension is left alone for a minute.
cluster_restart reshard

# Three tables of one shape: n counts the updates of a row, so that its sum counts the acknowledged ones.
rows=20000
run >/dev/null <<SQL
CREATE TABLE by_range (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, note text NOT NULL DEFAULT 'x') PARTITION BY RANGE (id);
CREATE TABLE by_range_low PARTITION OF by_range FOR VALUES FROM (MINVALUE) TO ($((rows / 2)));
CREATE TABLE by_range_high PARTITION OF by_range FOR VALUES FROM ($((rows / 2))) TO (MAXVALUE);
CREATE TABLE by_list (id bigint, kind text NOT NULL, n int NOT NULL DEFAULT 0, note text NOT NULL DEFAULT 'x',
    PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE by_list_few PARTITION OF by_list FOR VALUES IN ('0', '1', '2');
CREATE TABLE by_list_rest PARTITION OF by_list FOR VALUES IN ('3', '4');
CREATE TABLE by_hash (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, note text NOT NULL DEFAULT 'x') PARTITION BY HASH (id);
CREATE TABLE by_hash_0 PARTITION OF by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE by_hash_1 PARTITION OF by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON by_range (n);
CREATE INDEX ON by_list (n);
CREATE SEQUENCE ids START 1000000;
CREATE TABLESPACE spare LOCATION '$tmp/spare';
-- Every acknowledged insert and delete has its line here, in the same transaction.
CREATE TABLE told (tab text, id bigint, what text);
INSERT INTO by_range SELECT g FROM generate_series(1, $rows) AS g;
INSERT INTO by_list SELECT g, (g % 5)::text FROM generate_series(1, $rows) AS g;
INSERT INTO by_hash SELECT g FROM generate_series(1, $rows) AS g;
ANALYZE;
SQL

# What is told of a row is told in the transaction that changes it; an UPDATE or DELETE that finds no row ends the client.
script() { # TABLE
    cat <<SQL
\set id random(1, $rows)
BEGIN;
UPDATE $1 SET n = n + 1 WHERE id = :id RETURNING n AS after \gset
INSERT INTO told VALUES ('$1', :id, 'updated');
COMMIT;
SELECT nextval('ids') AS own \gset
BEGIN;
INSERT INTO $1 (id$([[ $1 != by_list ]] || echo ', kind')) VALUES (:own$([[ $1 != by_list ]] || echo ", (:own % 5)::text"));
INSERT INTO told VALUES ('$1', :own, 'added');
COMMIT;
\if :own % 4 = 0
BEGIN;
DELETE FROM $1 WHERE id = :own RETURNING id AS gone \gset
INSERT INTO told VALUES ('$1', :own, 'removed');
COMMIT;
\endif
SELECT count(*) AS seen FROM $1 WHERE id BETWEEN :id AND :id + 10 \gset
SQL
}
for table in by_range by_list by_hash; do
    script "$table" >"$tmp/$table.sql"
done
chmod a+r "$tmp"/*.sql

# Clients that go on after the server has crashed; what else they say is a fault.
writer() { # TABLE MODE
    while [[ ! -e $tmp/stop ]]; do
        pgbench -n -c 2 -R 300 -T 600 -M "$2" -f "$tmp/$1.sql" >/dev/null 2>>"$tmp/said" &
        echo $! >"$tmp/$1.$2.pid"
        wait $! || true
        sleep 0.2
    done
}
write_to() { # MODE TABLE...
    local table mode=$1
    shift
    rm -f "$tmp/stop"
    for table in "$@"; do
        writer "$table" "$mode" &
    done
    sleep 0.5
}
stop_writing() {
    touch "$tmp/stop"
    for file in "$tmp"/*.pid; do
        kill "$(cat "$file")" 2>/dev/null || true
        rm -f "$file"
    done
    wait
}
: >"$tmp/said"
said() { grep -E 'ERROR|error:|FATAL' "$tmp/said" | grep -vE "$1" | head -n 3 || true; }

# Every row that was told of is there once, with all its updates, in the shard that it belongs to.
all_is_there() { # NAME TABLE
    same "$1: $2 has every acknowledged row once, with every update" '0|0|0|0' "$(run <<SQL
WITH wanted AS (
    SELECT id FROM generate_series(1, $rows) AS id
    UNION ALL SELECT id FROM told WHERE tab = '$2' AND what = 'added'
    EXCEPT ALL SELECT id FROM told WHERE tab = '$2' AND what = 'removed'
), found AS (SELECT id, n FROM $2)
SELECT (SELECT count(*) FROM (SELECT id FROM wanted EXCEPT ALL SELECT id FROM found) AS lost),
       (SELECT count(*) FROM (SELECT id FROM found EXCEPT ALL SELECT id FROM wanted) AS doubled),
       (SELECT sum(n) FROM found) - (SELECT count(*) FROM told WHERE tab = '$2' AND what = 'updated'),
       (SELECT count(*) FROM (SELECT id FROM $2 GROUP BY id HAVING count(*) > 1) AS twice)
SQL
)"
}
shards() { run -c "SELECT string_agg(relid::regclass || ' ' || pg_get_expr(relpartbound, c.oid), E'\n' ORDER BY relid::regclass::text)
    FROM pg_partition_tree('$1') AS t JOIN pg_class AS c ON c.oid = t.relid WHERE isleaf"; }
wait_for() { run -c "SELECT wait_operation($1, '3 min')" 2>&1; }

# With the library not preloaded -------------------------------------------------------------------------------------
# (the cluster above has it; this one has a worker only because the operation starts it)
cluster_start bare "$version"
cluster_psql bare -qAt -d postgres >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100);
INSERT INTO t SELECT g, 'v' FROM generate_series(0, 99) AS g;
SQL
id=$(cluster_psql bare -qAt -d postgres -c "SELECT split_shard('t_1', at => '{50}')")
same "without preloading, a worker is started by the operation" done "$(cluster_psql bare -qAt -d postgres -c "SELECT wait_operation($id, '30 s')")"
same "and the rows are in two shards" '50|50' "$(cluster_psql bare -qAt -d postgres -c "
    SELECT string_agg(n::text, '|') FROM (SELECT count(*) AS n FROM t GROUP BY tableoid) AS c")"
log_is_clean bare
cluster_stop bare immediate

# Under writes ---------------------------------------------------------------------------------------------------------
write_to prepared by_range by_list by_hash
ids=()
ids+=("$(run -c "SELECT split_shard('by_range_low', at => '{5000}')")")
ids+=("$(run -c "SELECT split_shard('by_list_few', at => '{\"{0}\", \"{1,2}\"}')")")
ids+=("$(run -c "SELECT split_shard('by_hash_0')")")
for id in "${ids[@]}"; do
    same "split $id is done under writes" done "$(wait_for "$id")"
done
same "no client was told an error" '' "$(said '^$')"
stop_writing
for table in by_range by_list by_hash; do
    all_is_there split "$table"
    echo "# $table: $(shards "$table" | tr '\n' ';')"
done
run -F ' ' -c "SELECT '# cutover of ' || operation_id || ': ' || note FROM presplit.job_events WHERE note LIKE '%kept out%' OR note LIKE 'gave way%' ORDER BY entry"

# At every step ----------------------------------------------------------------------------------------------------------
points="preparing capturing copying indexing catching_up verifying cutting_over cutting_over.kept_out cutting_over.committed
    cutting_over.waited"
# A session that holds the lock on which a worker waits at a point; without a snapshot, which cutovers would wait for.
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    becomes_quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
becomes_quietly() { # EXPECTED QUERY
    local found='' end=$((SECONDS + 30))
    while ((SECONDS <= end)); do
        found=$(run -c "$2" 2>/dev/null) || true
        [[ $found == "$1" ]] && return
        sleep 0.05
    done
    not_ok "waiting for $1 of $2" "$found"
}
# Begins an operation that waits at a point, and waits until it is there.
begin_at() { # POINT SELECT
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h -c presplit.cutover_lock_timeout=10s" run -c "$2")
    becomes_quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    worker=$(run -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'")
}
catalog() {
    run <<'SQL'
SELECT 'class', c.oid, c.relname, c.relkind, c.relispartition, c.relpartbound IS NOT NULL, c.reltablespace, c.relowner, c.relacl::text,
       c.reloptions, c.relhasindex, c.relchecks, c.relnatts, c.relreplident, c.relpersistence, c.relfilenode
FROM pg_class AS c WHERE c.oid >= 16384 ORDER BY c.oid;
SELECT 'trigger', t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger AS t ORDER BY t.oid;
SELECT 'constraint', c.oid, c.conrelid, c.conname, c.convalidated, c.conislocal, c.coninhcount FROM pg_constraint AS c ORDER BY c.oid;
SELECT 'attribute', a.attrelid, a.attname, a.attnotnull, a.attislocal, a.attinhcount FROM pg_attribute AS a
WHERE a.attrelid >= 16384 ORDER BY 2, 3;
SELECT 'depend', d.* FROM pg_depend AS d WHERE d.objid >= 16384 ORDER BY d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid;
SELECT 'inherits', i.* FROM pg_inherits AS i ORDER BY 2, 3;
SELECT 'type', t.oid, t.typname FROM pg_type AS t WHERE t.oid >= 16384 ORDER BY t.oid;
SELECT 'index', i.indexrelid, i.indisvalid, i.indisready FROM pg_index AS i ORDER BY 2;
SELECT 'proc', p.oid FROM pg_proc AS p WHERE p.oid >= 16384 ORDER BY 2;
SELECT 'lock', l.locktype, l.relation, l.mode FROM pg_locks AS l WHERE l.pid <> pg_backend_pid() AND l.locktype <> 'virtualxid'
    AND l.pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'pg_presplit operation%');
SQL
}

for point in $points; do
    catalog >"$tmp/before"
    begin_at "$point" "SELECT split_shard('by_range_high', at => '{15000}')"
    same "cancel at $point" t "$(run -c "SELECT cancel_operation($id)")"
    release
    same "cancelled at $point" cancelled "$(wait_for "$id")"
    becomes_quietly 0 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"
    catalog >"$tmp/after"
    same "the catalog after a cancel at $point is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
done

# Back and forth, so that each operation finds what the last one has left.
other_way() { # one statement after the other: into two, and into one again
    if [[ $(run -c "SELECT count(*) FROM pg_inherits WHERE inhparent = 'by_range'::regclass") == 4 ]]; then
        echo "SELECT merge_shards(ARRAY(SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid
            WHERE inhparent = 'by_range'::regclass ORDER BY pg_get_expr(relpartbound, oid) LIKE '%MINVALUE%', oid DESC LIMIT 2))"
    else
        echo "SELECT split_shard((SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid
            WHERE inhparent = 'by_range'::regclass AND pg_get_expr(relpartbound, oid) LIKE '%MAXVALUE%'), at => '{15000}')"
    fi
}
write_to simple by_range
for point in $points; do
    begin_at "$point" "$(other_way)"
    run -c "SELECT pg_terminate_backend($worker)" >/dev/null
    release
    same "terminated at $point it goes on" done "$(wait_for "$id")"
done
same "no client was told an error" '' "$(said '^$')"
stop_writing
all_is_there terminated by_range

: >"$tmp/said"
write_to simple by_range
up() { becomes_quietly 1 'SELECT 1'; }
for point in $points; do
    begin_at "$point" "$(other_way)"
    kill -9 "$worker"
    sleep 0.2
    release
    up
    same "killed at $point it goes on after recovery" done "$(wait_for "$id")"
done
begin_at copying "$(other_way)"
cluster_kill reshard
release
cluster_up reshard
up
same "the server killed at copying" done "$(wait_for "$id")"
stop_writing
same "but for the crashes no client was told an error" '' \
    "$(said 'because of crash|server closed the connection|perhaps the backend died|could not create connection|could not connect|connection to server|recovery mode|Run was aborted|not yet accepting|starting up|shutting down|terminating connection')"
all_is_there killed by_range

# Pause, resume, switches ------------------------------------------------------------------------------------------------
begin_at copying "SELECT move_shard('by_list_rest', 'spare')"
same "pause" t "$(run -c "SELECT pause_operation($id)")"
release
becomes "it is paused" paused reshard 20 -d shards -c "SELECT phase FROM presplit.operations WHERE operation_id = $id"
becomes "and its worker has gone" 0 reshard 20 -d shards -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"
fails_with "another operation on the table is refused by its name" "operation $id works on table" \
    psql -qAtX -c "SELECT move_shard('by_list_rest', 'spare')"
fails_with "waiting has an end" 'is not over' psql -qAtX -c "SELECT wait_operation($id, '200 ms')"
same "resume" t "$(run -c "SELECT resume_operation($id)")"
same "and it is done" done "$(wait_for "$id")"
fails_with "in the transaction that records it nobody waits for it" 'transaction is still open' \
    psql -qAtX -v ON_ERROR_STOP=1 -c "BEGIN; SELECT wait_operation(split_shard('by_hash_1'))"
fails_with "nor where its end is not seen" 'READ COMMITTED' \
    psql -qAtX -v ON_ERROR_STOP=1 -c "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT wait_operation($id)"
same "what is over cannot be cancelled" f "$(run -c "SELECT cancel_operation($id)")"
fails_with "what is not there cannot be waited for" 'does not exist' psql -qAtX -c 'SELECT wait_operation(999999)'

for table in by_range by_list by_hash; do
    all_is_there 'in the end' "$table"
done
same "nothing is left of operations that are over" 0 "$(run -c "SELECT count(*) FROM presplit.job_objects AS o
    JOIN presplit.jobs AS j USING (operation_id) WHERE o.role <> 'retired'")"
log_is_clean reshard tests/server/allow/reshard
exit "$CHECKS_FAILED"
