#!/usr/bin/env bash
# shard_table() under faults: at every step of an operation that replaces a whole table its worker is terminated and killed, and
# it is paused and resumed, while people write; the server is killed; it is cancelled, and given up with break_glass.sql. What
# was acknowledged is stored once, what is taken back leaves the catalog as it was, and nothing of it is left.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
glass=$PRESPLIT_ROOT/sql/break_glass.sql
points="preparing capturing copying indexing catching_up verifying cutting_over cutting_over.caught_up cutting_over.kept_out
    cutting_over.committed cutting_over.waited"

cluster_start table_faults "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.databases = 'shards'" "presplit.cutover_budget = 5s" \
    "autovacuum = off"
cluster_use table_faults
tmp=$(cluster_tmp table_faults)
chmod a+rwx "$tmp"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE shards'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit' -c 'CREATE SEQUENCE ids START 1000000' -c 'CREATE TABLE told (tab text, id bigint, what text)'
# A database that had no extension is left alone for a minute.
cluster_restart table_faults

rows=3000
make() { # TABLE
    run >/dev/null <<SQL
CREATE TABLE $1 (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, note text NOT NULL DEFAULT 'x' CHECK (note <> ''));
CREATE INDEX ${1}_n ON $1 (n);
INSERT INTO $1 SELECT g FROM generate_series(1, $rows) AS g;
SQL
}
# Every acknowledged change has its line in the same transaction.
cat >"$tmp/write.sql" <<SQL
\\set id random(1, $rows)
BEGIN;
UPDATE :tab SET n = n + 1 WHERE id = :id RETURNING n AS after \\gset
INSERT INTO told VALUES (':tab', :id, 'updated');
COMMIT;
SELECT nextval('ids') AS own \\gset
BEGIN;
INSERT INTO :tab (id) VALUES (:own);
INSERT INTO told VALUES (':tab', :own, 'added');
COMMIT;
\\if :own % 4 = 0
BEGIN;
DELETE FROM :tab WHERE id = :own RETURNING id AS gone \\gset
INSERT INTO told VALUES (':tab', :own, 'removed');
COMMIT;
\\endif
SQL
chmod a+r "$tmp/write.sql"
: >"$tmp/said"
# Clients that go on after a crash; what else they say is a fault.
writer() { # TABLE
    while [[ ! -e $tmp/stop ]]; do
        pgbench -n -c 2 -R 100 -T 600 -D tab="$1" -f "$tmp/write.sql" >/dev/null 2>>"$tmp/said" &
        echo $! >"$tmp/writer.pid"
        wait $! || true
        sleep 0.1
    done
}
write_to() { # TABLE
    rm -f "$tmp/stop"
    writer "$1" 7>&- &
    writing=$!
}
stop_writing() {
    touch "$tmp/stop"
    kill "$(cat "$tmp/writer.pid")" 2>/dev/null || true
    wait "$writing" 2>/dev/null || true
}
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
quietly() { # EXPECTED QUERY [SECONDS]
    local found='' end=$((SECONDS + ${3:-60}))
    while ((SECONDS <= end)); do
        found=$(run -c "$2" 2>/dev/null) || true
        [[ $found == "$1" ]] && return
        sleep 0.05
    done
    not_ok "waiting for $1 of $2" "$found $(run -c 'SELECT operation_id, phase, waiting_for, error FROM presplit.operations ORDER BY 1 DESC LIMIT 1' 2>/dev/null)"
}
hold() { # POINT
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
worker() { run -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation' ORDER BY backend_start LIMIT 1"; }
arrives() { quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"; }
begin_at() { # POINT SELECT
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h -c presplit.cutover_lock_timeout=10s" run -c "$2")
    arrives
}
gone() { quietly 0 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"; }
at_end() { # ID: also if the server has gone down meanwhile
    quietly t "SELECT phase IN ('done', 'failed', 'cancelled') FROM presplit.operations WHERE operation_id = $1" 180
    run -c "SELECT phase || coalesce(': ' || error, '') FROM presplit.operations WHERE operation_id = $1"
}
catalog() {
    run <<'SQL'
SELECT 'class', c.oid, c.relname, c.relkind, c.relispartition, c.reltablespace, c.relowner, c.relacl::text,
       c.reloptions, c.relhasindex, c.relchecks, c.relnatts, c.relreplident, c.relpersistence, c.relfilenode
FROM pg_class AS c WHERE c.oid >= 16384 ORDER BY c.oid;
SELECT 'trigger', t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger AS t ORDER BY t.oid;
SELECT 'constraint', c.oid, c.conrelid, c.conname, c.convalidated, c.conislocal, c.coninhcount FROM pg_constraint AS c ORDER BY c.oid;
SELECT 'attribute', a.attrelid, a.attname, a.attnotnull, a.attidentity FROM pg_attribute AS a WHERE a.attrelid >= 16384 ORDER BY 2, 3;
SELECT 'depend', d.* FROM pg_depend AS d WHERE d.objid >= 16384 ORDER BY d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid;
SELECT 'ledger', o.* FROM presplit.job_objects AS o;
SELECT 'retired', r.shard, r.operation_id FROM presplit.retired_shards AS r ORDER BY 2;
SELECT 'sharded', s.relation FROM presplit.sharded_tables AS s ORDER BY 2;
SQL
}
hash_of() { run -c "SELECT register_proposal('$1', 'hash', '{id}', '{\"modulus\": $2}')"; }
nothing_left() { # NAME
    same "$1: nothing of it is left" '0|0|0' "$(run -c "SELECT (SELECT count(*) FROM presplit.job_objects),
        (SELECT count(*) FROM pg_trigger WHERE tgname ~ '^presplit_(capture|truncate|staging)'),
        (SELECT count(*) FROM pg_class WHERE relname ~ '_presplit_new' OR relname LIKE 'changes\_%')")"
}

# All that may happen to a worker, at every point, under writers ------------------------------------------------------
number=0
for point in $points; do
    number=$((number + 1))
    table=t$number
    make "$table"
    write_to "$table"
    begin_at "$point" "SELECT shard_table('$table', $(hash_of "$table" 3))"
    before=$(worker)
    run -c "SELECT pg_terminate_backend($before)" >/dev/null
    quietly t "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
        WHERE l.locktype = 'advisory' AND NOT l.granted AND a.backend_type = 'pg_presplit operation' AND a.pid <> $before"
    run -c "SELECT pause_operation($id)" >/dev/null
    release
    quietly paused "SELECT phase FROM presplit.operations WHERE operation_id = $id"
    gone
    same "paused at $point there is no lock on the table" 0 "$(run -c "SELECT count(*) FROM pg_locks WHERE relation = '$table'::regclass AND mode <> 'AccessShareLock' AND mode <> 'RowExclusiveLock'")"
    hold "$point"
    run -c "SELECT resume_operation($id)" >/dev/null
    arrives
    kill -9 "$(worker)"
    release
    same "terminated, paused, resumed and killed at $point it is done" done "$(at_end "$id")"
    stop_writing
    all_is_there "$point" "$table"
    same "$point: in its shards" 'p|3|3' "$(run -c "SELECT relkind, (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid),
        (SELECT count(*) FROM pg_index WHERE indrelid = ANY (SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid) AND indisvalid AND indisprimary)
        FROM pg_class AS c WHERE oid = '$table'::regclass")"
    nothing_left "$point"
done

# The server itself, and another key ----------------------------------------------------------------------------------
drop_old() { # TABLE
    run -c "UPDATE presplit.retired_shards SET drop_after = retired_at WHERE shard = '$1_presplit_old'::regclass"
    quietly t "SELECT to_regclass('$1_presplit_old') IS NULL"
}
number=0
for point in preparing copying indexing cutting_over.committed cutting_over.waited; do
    number=$((number + 1))
    table=t$number
    drop_old "$table"
    write_to "$table"
    begin_at "$point" "SELECT shard_table('$table', $(hash_of "$table" 2))"
    cluster_kill table_faults
    release
    cluster_up table_faults
    same "another key: the server is killed at $point, and it is done" done "$(at_end "$id")"
    stop_writing
    all_is_there "the server killed at $point" "$table"
    same "the server killed at $point: in its shards" 2 "$(run -c "SELECT count(*) FROM pg_inherits WHERE inhparent = '$table'::regclass")"
    nothing_left "the server killed at $point"
done
same "but for the crashes no client was told an error" '' "$(grep -E 'ERROR|error:|FATAL' "$tmp/said" \
    | grep -vE 'because of crash|server closed the connection|perhaps the backend died|could not create connection|could not connect|connection to server|recovery mode|Run was aborted|not yet accepting|starting up|shutting down|terminating connection' | head -n 3 || true)"

# Taken back ------------------------------------------------------------------------------------------------------------
# A plain table, and one of shards, of which there will be some on two levels.
make plain
run <<SQL
CREATE TABLE two (id bigint, k int NOT NULL DEFAULT 1, n int NOT NULL DEFAULT 0, PRIMARY KEY (id, k)) PARTITION BY HASH (id);
CREATE TABLE two_0 PARTITION OF two FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE two_1 PARTITION OF two FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO two SELECT g, g % 7 FROM generate_series(1, $rows) AS g;
SQL
plain=$(hash_of plain 4)
keyed=$(run -c "SELECT register_proposal('two', 'range_hash', '{id, k}', '{\"split_points\": [\"1000\", \"2000\"], \"modulus\": 2}')")
for table in plain two; do
    proposal=$([[ $table == plain ]] && echo "$plain" || echo "$keyed")
    for point in capturing cutting_over.caught_up cutting_over.committed; do
        catalog >"$tmp/before"
        there=$(run -c "SELECT count(*), sum(n), sum(id) FROM $table")
        begin_at "$point" "SELECT shard_table('$table', $proposal)"
        if [[ $point == cutting_over.caught_up ]]; then
            same "$table: a dump knows nothing of it" 0 "$(pg_dump shards | grep -cE 'presplit_(new|capture|truncate|staging)|changes_[0-9]|${table}_s0' || true)"
        fi
        # Its worker dies first, and comes back with the wish.
        kill -9 "$(worker)"
        # The server may notice a moment later, and starts anew then.
        quietly t "SELECT cancel_operation($id)"
        release
        same "$table: killed and cancelled at $point" cancelled "$(at_end "$id")"
        gone
        catalog >"$tmp/after"
        same "$table: the catalog after it is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
        same "$table: and so are the rows" "$there" "$(run -c "SELECT count(*), sum(n), sum(id) FROM $table")"
    done
done

# break_glass.sql -------------------------------------------------------------------------------------------------------
# Replaced tables become ordinary ones: not part of what is compared.
succeeds "break_glass.sql after operations" psql -qAtX -v ON_ERROR_STOP=1 -f "$glass"
same "no replaced table belongs to the extension" 0 "$(run -c "SELECT count(*) FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.classid = 'pg_class'::regclass AND c.relnamespace <> 'presplit'::regnamespace")"
succeeds "a replaced table is an ordinary one" psql -qAtX -v ON_ERROR_STOP=1 -c 'INSERT INTO t1_presplit_old (id) VALUES (-1)' -c 'DROP TABLE t1_presplit_old'
for table in plain two; do
    proposal=$([[ $table == plain ]] && echo "$plain" || echo "$keyed")
    for point in copying cutting_over.waited; do
        catalog >"$tmp/before"
        there=$(run -c "SELECT count(*), sum(n), sum(id) FROM $table")
        begin_at "$point" "SELECT shard_table('$table', $proposal)"
        # Another worker that comes sees that, and locks nothing.
        run -c "SELECT pause_operation($id)" -c "SELECT pg_terminate_backend($(worker))" >/dev/null
        PGOPTIONS='-c client_min_messages=warning' succeeds "$table: break_glass.sql at $point" psql -qAtX -v ON_ERROR_STOP=1 -f "$glass"
        release
        gone
        catalog >"$tmp/after"
        same "$table: the catalog after it is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
        same "$table: and so are the rows" "$there" "$(run -c "SELECT count(*), sum(n), sum(id) FROM $table")"
        same "$table: the operation is over" cancelled "$(run -c "SELECT phase FROM presplit.operations WHERE operation_id = $id")"
        succeeds "$table: everybody can write" psql -qAtX -v ON_ERROR_STOP=1 -c "INSERT INTO $table (id) VALUES (-1)" -c "DELETE FROM $table WHERE id = -1"
    done
done
same "and it is divided after all" done "$(at_end "$(run -c "SELECT shard_table('plain', $plain)")")"
same "and the other" done "$(at_end "$(run -c "SELECT shard_table('two', $keyed)")")"
same "with every row" "$rows|$rows" "$(run -c 'SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM two)')"
succeeds "break_glass.sql where shards of two levels came" psql -qAtX -v ON_ERROR_STOP=1 -f "$glass"
same "leaves all of them shards, that of the rest too" 7 "$(run -c "SELECT count(*) FROM pg_partition_tree('two') WHERE isleaf")"
succeeds "DROP EXTENSION" psql -qAtX -v ON_ERROR_STOP=1 -c 'DROP EXTENSION pg_presplit'
same "leaves the tables with their rows" "$rows|p" "$(run -c "SELECT count(*), (SELECT relkind FROM pg_class WHERE oid = 'plain'::regclass) FROM plain")"
log_is_clean table_faults tests/server/allow/reshard_undo
exit "$CHECKS_FAILED"
