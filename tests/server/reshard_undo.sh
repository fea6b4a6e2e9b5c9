#!/usr/bin/env bash
# Undoing operations: split, merge and move are undone while pgbench writes, with the table's setting undo and without it;
# no acknowledged write is lost, and the table has the shards, names and objects that it had before. What cannot be undone is
# refused with its reason, and an undo that is cancelled or killed loses nothing.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start undo "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "max_worker_processes = 16" "presplit.reshard_rate_limit = 0" "presplit.databases = 'shards'" "presplit.cutover_budget = 3s" \
    "wal_level = logical"
cluster_use undo
tmp=$(cluster_tmp undo)
chmod a+rwx "$tmp"
as_cluster_user mkdir "$tmp/spare"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE shards'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart undo

rows=20000
run >/dev/null <<SQL
CREATE TABLESPACE spare LOCATION '$tmp/spare';
CREATE ROLE reader;
CREATE TABLE kinds (kind int PRIMARY KEY);
INSERT INTO kinds SELECT generate_series(0, 4);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE t (id bigint PRIMARY KEY, kind int NOT NULL REFERENCES kinds, n int NOT NULL DEFAULT 0, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (MINVALUE) TO ($((rows / 2)));
CREATE TABLE t_high PARTITION OF t FOR VALUES FROM ($((rows / 2))) TO (MAXVALUE);
CREATE INDEX ON t (n);
CREATE INDEX own_name ON t_high (kind);
CREATE STATISTICS t_high_s ON id, kind FROM t_high;
CREATE TRIGGER of_table BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TRIGGER of_shard BEFORE INSERT ON t_high FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE POLICY own ON t_high FOR SELECT TO reader USING (true);
ALTER TABLE t_high ENABLE ROW LEVEL SECURITY;
ALTER TABLE t_high REPLICA IDENTITY FULL;
GRANT SELECT ON t, t_high TO reader;
CREATE SEQUENCE ids START 1000000;
CREATE SEQUENCE owned OWNED BY t_high.n;
CREATE PUBLICATION p FOR TABLE t_high;
INSERT INTO t SELECT g, g % 5 FROM generate_series(1, $rows) AS g;
CREATE TABLE told (id bigint, what text);
ANALYZE;
SQL
cat >"$tmp/write.sql" <<SQL
\set id random(1, $rows)
BEGIN;
UPDATE t SET n = n + 1 WHERE id = :id RETURNING n AS after \gset
INSERT INTO told VALUES (:id, 'updated');
COMMIT;
SELECT nextval('ids') AS own \gset
BEGIN;
INSERT INTO t (id, kind) VALUES (:own, :own % 5);
INSERT INTO told VALUES (:own, 'added');
COMMIT;
\if :own % 4 = 0
BEGIN;
DELETE FROM t WHERE id = :own RETURNING id AS gone \gset
INSERT INTO told VALUES (:own, 'removed');
COMMIT;
\endif
SQL
chmod a+r "$tmp/write.sql"
write() {
    pgbench -n -c 3 -R 300 -T 600 -f "$tmp/write.sql" >/dev/null 2>>"$tmp/said" &
    writer=$!
    sleep 0.3
}
stop() {
    kill "$writer" 2>/dev/null || true
    wait "$writer" 2>/dev/null || true
}
: >"$tmp/said"
all_is_there() { # NAME
    same "$1: every acknowledged row is there once, with every update" '0|0' "$(run <<SQL
WITH wanted AS (
    SELECT id FROM generate_series(1, $rows) AS id
    UNION ALL SELECT id FROM told WHERE what = 'added'
    EXCEPT ALL SELECT id FROM told WHERE what = 'removed')
SELECT (SELECT count(*) FROM (SELECT id FROM t) AS a FULL JOIN wanted AS w USING (id) WHERE a IS NULL OR w IS NULL),
       (SELECT sum(n) FROM t) - (SELECT count(*) FROM told WHERE what = 'updated');
SQL
)"
}
# The table, its shards and all that they have; oids too, for the shards that come back are the same tables.
catalog() {
    run <<'SQL'
WITH shards AS (SELECT relid, relid::regclass AS shard FROM pg_partition_tree('t'))
SELECT 'shard', s.relid, c.relname, pg_get_expr(c.relpartbound, c.oid), c.reltablespace, c.relreplident, c.relrowsecurity, c.relowner,
       ARRAY(SELECT a::text FROM unnest(c.relacl) AS a ORDER BY 1), c.relchecks, c.reloptions FROM shards AS s JOIN pg_class AS c ON c.oid = s.relid
UNION ALL SELECT 'index', i.indexrelid, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), NULL, NULL, i.indisvalid, NULL, NULL,
       (SELECT count(*) FROM pg_inherits WHERE inhrelid = i.indexrelid)::int, NULL FROM shards AS s JOIN pg_index AS i ON i.indrelid = s.relid
ORDER BY 1, 2;
WITH shards AS (SELECT relid FROM pg_partition_tree('t'))
SELECT 'constraint', k.conrelid::regclass, k.conname, k.convalidated, k.conislocal, k.coninhcount, pg_get_constraintdef(k.oid)
FROM shards AS s JOIN pg_constraint AS k ON k.conrelid = s.relid ORDER BY 2, 3;
SELECT 'trigger', g.tgrelid::regclass, g.tgname, g.tgenabled, g.tgparentid <> 0 FROM pg_partition_tree('t') JOIN pg_trigger AS g ON g.tgrelid = relid
WHERE NOT g.tgisinternal ORDER BY 2, 3;
SELECT 'policy', p.* FROM pg_policies AS p JOIN pg_partition_tree('t') AS s ON s.relid = format('%I.%I', p.schemaname, p.tablename)::regclass ORDER BY p.tablename;
SELECT 'publication', p.* FROM pg_publication_tables AS p ORDER BY p.tablename;
SELECT 'statistics', stxrelid::regclass, stxname FROM pg_statistic_ext JOIN pg_partition_tree('t') ON relid = stxrelid ORDER BY 2, 3;
SELECT 'sequence', d.objid::regclass, d.refobjid::regclass, d.refobjsubid FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
WHERE d.deptype = 'a' AND d.classid = 'pg_class'::regclass ORDER BY 2;
SQL
}
wait_for() { run -c "SELECT wait_operation($1, '2 minutes')"; }
outcome() { echo "$(wait_for "$1")$(run -c "SELECT coalesce(': ' || error, '') FROM presplit.operations WHERE operation_id = $1")"; }
detail() { run -c "SELECT detail FROM presplit.operations WHERE operation_id = $1"; }
captures() { run -c "SELECT count(*) FROM pg_trigger JOIN pg_partition_tree('t') ON relid = tgrelid WHERE tgname LIKE 'presplit%'"; }

split="SELECT split_shard('t_high', at => '{15000}')"
merge="SELECT merge_shards(ARRAY['t_low', 't_high']::regclass[])"
move="SELECT move_shard('t_high', 'spare')"
for undo in true false; do
    run -c "SELECT configure_shards('t', '{\"undo\": $undo}')" >/dev/null
    for what in split move; do
        catalog >"$tmp/before"
        write
        id=$(run -c "${!what}")
        same "$what, undo $undo" done "$(outcome "$id")"
        if [[ $undo == true ]]; then
            same "$what: its new shards are watched" t "$(run -c "SELECT $(captures) > 0")"
        else
            same "$what: nothing watches its new shards" 0 "$(captures)"
        fi
        sleep 0.5
        back=$(run -c "SELECT undo_operation($id)")
        same "$what is undone, undo $undo" done "$(outcome "$back")"
        stop
        case $undo in
            true) same "$what: only changes are brought back" 1 "$(detail "$back" | grep -c 'what has changed since')" ;;
            *) same "$what: all rows are copied back" 1 "$(detail "$back" | grep -c 'all rows are copied back')" ;;
        esac
        all_is_there "$what, undo $undo"
        catalog >"$tmp/after"
        same "$what, undo $undo: the table is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 8)"
    done
done
fails_with "what is undone is not undone again" "Operation $back has replaced" psql -qAtX -c "SELECT undo_operation($id)"
fails_with "an operation that is not there" 'does not exist' psql -qAtX -c 'SELECT undo_operation(99999)'

# What one shard alone has stands against a merge.
run >/dev/null <<'SQL'
DROP INDEX own_name;
DROP STATISTICS t_high_s;
DROP TRIGGER of_shard ON t_high;
DROP POLICY own ON t_high;
ALTER TABLE t_high DISABLE ROW LEVEL SECURITY;
ALTER TABLE t_high REPLICA IDENTITY DEFAULT;
ALTER SEQUENCE owned OWNED BY NONE;
REVOKE ALL ON t_high FROM reader, postgres;
DROP PUBLICATION p;
SQL
run -c "UPDATE pg_class SET relacl = NULL WHERE oid = 't_high'::regclass"
for undo in true false; do
    run -c "SELECT configure_shards('t', '{\"undo\": $undo}')" >/dev/null
    catalog >"$tmp/before"
    write
    id=$(run -c "$merge")
    same "merge, undo $undo" done "$(outcome "$id")"
    sleep 0.5
    back=$(run -c "SELECT undo_operation($id)")
    same "merge is undone, undo $undo" done "$(outcome "$back")"
    stop
    all_is_there "merge, undo $undo"
    catalog >"$tmp/after"
    same "merge, undo $undo: the table is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 8)"
done
same "no client was told an error" '' "$(grep -E 'ERROR|error:|FATAL' "$tmp/said" | head -n 3 || true)"

# Cancelled, killed ------------------------------------------------------------------------------------------------------
run -c "SELECT configure_shards('t', '{\"undo\": true}')" >/dev/null
write
id=$(run -c "$split")
same "split before a cancel" done "$(outcome "$id")"
catalog >"$tmp/before"
hold() {
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    sleep 0.5
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
hold verifying
back=$(PGOPTIONS='-c presplit.pause_at=verifying' run -c "SELECT undo_operation($id)")
becomes "an undo waits" t undo 20 -d shards -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
run -c "SELECT cancel_operation($back)" >/dev/null
release
same "an undo is cancelled" cancelled "$(outcome "$back")"
catalog >"$tmp/after"
same "and the table is what it was" '' "$(diff "$tmp/before" "$tmp/after" | head -n 8)"
fails_with "a replaced shard refuses writes again" 'was replaced' psql -qAtX -c 'DELETE FROM t_high'
hold verifying
back=$(PGOPTIONS='-c presplit.pause_at=verifying' run -c "SELECT undo_operation($id)")
becomes "another undo waits" t undo 20 -d shards -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
stop
kill -9 "$(run -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'")"
sleep 1
release
becomes "an undo whose worker is killed goes on" done undo 60 -d shards -c "SELECT phase FROM presplit.operations WHERE operation_id = $back"
all_is_there killed
same "an undo is undone" done "$(outcome "$(run -c "SELECT undo_operation($back)")")"
all_is_there 'undo of an undo'

# TRUNCATE: what was written down is of no use, so all rows are copied back.
last=$(run -c 'SELECT max(operation_id) FROM presplit.operations')
run -c "TRUNCATE t" -c "INSERT INTO t SELECT g, g % 5 FROM generate_series(1, $rows) AS g" -c 'TRUNCATE told'
same "undo after TRUNCATE" done "$(outcome "$(run -c "SELECT undo_operation($last)")")"
all_is_there truncated

# Refused ----------------------------------------------------------------------------------------------------------------
id=$(run -c "$split")
same "split before a refusal" done "$(outcome "$id")"
run -c 'ALTER TABLE t ADD COLUMN more int'
fails_with "a table that was altered" 'no more like "public.t_high"' psql -qAtX -c "SELECT undo_operation($id)"
run -c 'ALTER TABLE t DROP COLUMN more'
run -c 'GRANT INSERT ON t TO reader' -c "GRANT UPDATE ON $(run -c "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 't'::regclass AND inhrelid::regclass::text LIKE 't\_s%'") TO reader"
fails_with "one new shard that was altered" 'not like the others that replaced "public.t_high"' psql -qAtX -c "SELECT undo_operation($id)"
run -c 'CREATE ROLE other' -c 'GRANT EXECUTE ON FUNCTION undo_operation(bigint) TO other'
fails_with "somebody else's operation" 'must be owner of table' psql -qAtX -c 'SET ROLE other' -c "SELECT undo_operation($id)"
same "dumps leave the log out" 0 "$(pg_dump shards | grep -cE 'changes_|presplit_capture' || true)"
cp "$(dirname "$0")/../../sql/break_glass.sql" "$tmp/break_glass.sql"
succeeds "break_glass.sql" psql -qAtX -v ON_ERROR_STOP=1 -f "$tmp/break_glass.sql"
same "takes the capture away" 0 "$(captures)"
fails_with "then nothing can be undone" 'is gone' psql -qAtX -c "SELECT undo_operation($id)"
run -c "DROP TABLE t_high"
shard=$(run -c "SELECT relid::regclass FROM pg_partition_tree('t') WHERE isleaf ORDER BY relid DESC LIMIT 1")
id=$(PGOPTIONS='-c presplit.retired_shard_grace=2' run -c "SELECT move_shard('$shard', 'spare')")
same "move with a short grace" done "$(outcome "$id")"
becomes "its capture ends with the grace" 0 undo 30 -d shards -c "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'presplit_capture%'"
fails_with "the time is over" 'is gone|time is over' psql -qAtX -c "SELECT undo_operation($id)"
shard=$(run -c "SELECT relid::regclass FROM pg_partition_tree('t') WHERE isleaf ORDER BY relid DESC LIMIT 1")
id=$(run -c "SELECT move_shard('$shard', 'pg_default')")
same "move before the extension goes" done "$(outcome "$id")"
succeeds "DROP EXTENSION" psql -qAtX -v ON_ERROR_STOP=1 -c 'DROP EXTENSION pg_presplit'
same "takes the triggers along" 0 "$(captures)"
log_is_clean undo tests/server/allow/reshard_undo
exit "$CHECKS_FAILED"
