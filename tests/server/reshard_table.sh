#!/usr/bin/env bash
# Tables that have rows, divided online by shard_table(): under pgbench writes no acknowledged write is lost or stored
# twice; everything that a table has is there afterwards as it was; cancelled at any step nothing of it is left.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
compare=$(cd "$(dirname "$0")/../lib" && pwd)/compare_catalog.sql

cluster_start reshard_table "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "max_worker_processes = 16" "presplit.reshard_rate_limit = 0" "presplit.databases = 'tables'" "presplit.cutover_budget = 3s"
cluster_use reshard_table
tmp=$(cluster_tmp reshard_table)
chmod a+rwx "$tmp"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE tables'
export PGDATABASE=tables
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart reshard_table
wait_for() { run -c "SELECT wait_operation($1, '90 s')" 2>&1; }
why() { run -c "SELECT phase, error, waiting_for FROM presplit.operations WHERE operation_id = $1"; }
proposal() { # TABLE STRATEGY KEY DEFINITION
    run -c "SELECT register_proposal('$1', '$2', '$3', '$4')"
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
SQL
}

# Under writes ---------------------------------------------------------------------------------------------------------
rows=20000
for table in by_hash by_range; do
    run >/dev/null <<SQL
CREATE TABLE $table (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, note text NOT NULL DEFAULT 'x');
CREATE INDEX ${table}_n ON $table (n);
CREATE INDEX ${table}_note ON $table (lower(note)) WHERE n > 0;
INSERT INTO $table SELECT g FROM generate_series(1, $rows) AS g;
ANALYZE $table;
SQL
done
run -c "CREATE SEQUENCE ids START 1000000" -c "CREATE TABLE told (tab text, id bigint, what text)"
script() { # TABLE
    cat <<SQL
\set id random(1, $rows)
BEGIN;
UPDATE $1 SET n = n + 1 WHERE id = :id RETURNING n AS after \gset
INSERT INTO told VALUES ('$1', :id, 'updated');
COMMIT;
SELECT nextval('ids') AS own \gset
BEGIN;
INSERT INTO $1 (id) VALUES (:own);
INSERT INTO told VALUES ('$1', :own, 'added');
COMMIT;
\if :own % 4 = 0
BEGIN;
DELETE FROM $1 WHERE id = :own RETURNING id AS gone \gset
INSERT INTO told VALUES ('$1', :own, 'removed');
COMMIT;
\endif
SQL
}
pids=()
for table in by_hash by_range; do
    script "$table" >"$tmp/$table.sql"
    chmod a+r "$tmp/$table.sql"
    pgbench -n -c 2 -R 300 -T 600 -M prepared -f "$tmp/$table.sql" >/dev/null 2>>"$tmp/said" &
    pids+=($!)
done
sleep 0.5
hash=$(proposal by_hash hash '{id}' '{"modulus": 16}')
range=$(proposal by_range range '{id}' '{"split_points": ["5000", "10000", "15000", "1000000"]}')
one=$(run -c "SELECT shard_table('by_hash', $hash)")
two=$(run -c "SELECT shard_table('by_range', $range)")
same "a plain table becomes hash shards under writes" done "$(wait_for "$one")"
same "a plain table becomes range shards under writes" done "$(wait_for "$two")"
sleep 1
kill "${pids[@]}" 2>/dev/null || true
wait "${pids[@]}" 2>/dev/null || true
echo "# $(why "$one") $(why "$two")"
same "no client was told an error" '' "$(grep -E 'ERROR|error:|FATAL' "$tmp/said" | head -n 3 || true)"
all_is_there() { # TABLE
    same "$1 has every acknowledged row once, with every update" '0|0|0' "$(run <<SQL
WITH wanted AS (
    SELECT id FROM generate_series(1, $rows) AS id
    UNION ALL SELECT id FROM told WHERE tab = '$1' AND what = 'added'
    EXCEPT ALL SELECT id FROM told WHERE tab = '$1' AND what = 'removed'
), found AS (SELECT id, n FROM $1)
SELECT (SELECT count(*) FROM (SELECT id FROM wanted EXCEPT ALL SELECT id FROM found) AS lost),
       (SELECT count(*) FROM (SELECT id FROM found EXCEPT ALL SELECT id FROM wanted) AS doubled),
       (SELECT sum(n) FROM found) - (SELECT count(*) FROM told WHERE tab = '$1' AND what = 'updated')
SQL
)"
}
all_is_there by_hash
all_is_there by_range
same "the hash table has its shards" 'p|16' "$(run -c "SELECT relkind, (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid)
    FROM pg_class AS c WHERE oid = 'by_hash'::regclass")"
same "its indexes have their names, and are whole" "by_hash_n|t
by_hash_note|t
by_hash_pkey|t" "$(run -c "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'by_hash'::regclass
    ORDER BY indexrelid::regclass::text")"
same "those of a shard are named as the server names them" "by_hash_s0001_lower_idx
by_hash_s0001_n_idx
by_hash_s0001_pkey" "$(run -c "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'by_hash_s0001'::regclass
    ORDER BY indexrelid::regclass::text COLLATE \"C\"")"
same "the table is known as a sharded one" "by_hash|$hash" \
    "$(run -c "SELECT relation, proposal_id FROM presplit.sharded_tables WHERE relation = 'by_hash'::regclass")"
same "the old table is kept" 'by_hash_presplit_old' "$(run -c "SELECT shard::regclass FROM presplit.retired_shards WHERE relation = 'by_hash'::regclass")"
fails_with "and takes no rows" 'was replaced' run -c "INSERT INTO by_hash_presplit_old (id) VALUES (-1)"
fails_with "a table is not divided twice" 'has these shards already' run -c "SELECT shard_table('by_hash', $hash)"
same "check_shards() finds nothing wrong" '' "$(run -c "SELECT * FROM check_shards('by_hash') WHERE severity = 'error'")"
run -F ' ' -c "SELECT '# cutover of ' || operation_id || ': ' || note FROM presplit.job_events WHERE note LIKE '%kept out%' OR note LIKE 'gave way%' ORDER BY entry"

# Cancelled at every step ------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE TABLE gone (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, other serial UNIQUE, note text CHECK (note <> ''));
CREATE INDEX ON gone (note);
CREATE VIEW of_gone AS SELECT id, note FROM gone;
INSERT INTO gone (note) SELECT 'n' || g FROM generate_series(1, 5000) AS g;
SQL
gone=$(PGOPTIONS="-c presplit.unique_policy=per_shard" proposal gone hash '{id}' '{"modulus": 4}')
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    becomes "at $1: the lock is held" t reshard_table 30 -d tables -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory'
        AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295" >/dev/null
}
for point in preparing capturing copying indexing catching_up verifying cutting_over cutting_over.kept_out cutting_over.waited; do
    before=$(catalog)
    hold "$point"
    id=$(PGOPTIONS="-c presplit.pause_at=$point -c presplit.cutover_budget=1h" run -c "SELECT shard_table('gone', $gone)")
    becomes "at $point: the worker waits" t reshard_table 30 -d tables -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    run -c "SELECT cancel_operation($id)" >/dev/null
    exec 7>&-
    wait "$holder" 2>/dev/null || true
    same "at $point: it is cancelled" cancelled "$(wait_for "$id")"
    if diff <(echo "$before") <(catalog) >"$tmp/diff"; then ok "at $point: the catalog is as it was"; else not_ok "at $point: the catalog is as it was" "$(head -n 8 "$tmp/diff")"; fi
done

# All that a table can have ------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE ROLE rt_reader;
CREATE ROLE rt_owner;
CREATE SCHEMA app AUTHORIZATION rt_owner;
SET ROLE rt_owner;
CREATE TABLE app.kinds (kind int PRIMARY KEY, word text);
CREATE TABLE app.orders (
    id bigint GENERATED BY DEFAULT AS IDENTITY (START 10 INCREMENT 3),
    other serial,
    kind int NOT NULL DEFAULT 1 CONSTRAINT orders_of_kind REFERENCES app.kinds,
    above bigint,
    note text COLLATE "C" DEFAULT 'it''s',
    twice int GENERATED ALWAYS AS (kind * 2) STORED,
    gone int,
    doc jsonb,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_note CHECK (note <> ''),
    CONSTRAINT orders_above FOREIGN KEY (above) REFERENCES app.orders (id) DEFERRABLE
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE app.orders DROP COLUMN gone;
CREATE UNIQUE INDEX orders_id_other ON app.orders (id, other) INCLUDE (note);
CREATE INDEX "Orders Note" ON app.orders (lower(note) text_pattern_ops) WHERE kind > 0;
CREATE INDEX orders_doc ON app.orders USING gin (doc);
CREATE STATISTICS app.orders_s (dependencies) ON kind, note FROM app.orders;
CREATE TABLE app.items (item int PRIMARY KEY, of_order bigint CONSTRAINT items_of REFERENCES app.orders ON DELETE CASCADE);
CREATE FUNCTION app.stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.doc := '{"stamped": true}'; RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE INSERT ON app.orders FOR EACH ROW EXECUTE FUNCTION app.stamp();
CREATE TRIGGER never AFTER UPDATE ON app.orders FOR EACH STATEMENT EXECUTE FUNCTION app.stamp();
ALTER TABLE app.orders DISABLE TRIGGER never;
COMMENT ON TRIGGER stamp ON app.orders IS 'stamps';
CREATE RULE quiet AS ON DELETE TO app.orders WHERE old.id < 0 DO INSTEAD NOTHING;
CREATE POLICY own ON app.orders FOR SELECT TO rt_reader USING (kind = 1);
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT (note) ON app.orders TO rt_reader;
GRANT USAGE ON SCHEMA app TO rt_reader;
GRANT SELECT ON app.orders TO PUBLIC;
COMMENT ON TABLE app.orders IS 'the orders';
COMMENT ON COLUMN app.orders.note IS 'what is said';
COMMENT ON INDEX app.orders_doc IS 'of documents';
COMMENT ON CONSTRAINT orders_pkey ON app.orders IS 'the key';
ALTER TABLE app.orders ALTER COLUMN note SET STATISTICS 200;
ALTER TABLE app.orders CLUSTER ON orders_pkey;
ALTER TABLE app.orders REPLICA IDENTITY USING INDEX orders_pkey;
CREATE VIEW app.few WITH (security_barrier) AS SELECT id, note, kind FROM app.orders WHERE kind < 3;
CREATE VIEW app.fewer AS SELECT id FROM app.few;
GRANT SELECT ON app.few TO rt_reader;
INSERT INTO app.kinds SELECT g, 'k' FROM generate_series(1, 5) AS g;
INSERT INTO app.orders (kind, note) SELECT 1 + g % 5, 'n' || g FROM generate_series(1, 3000) AS g;
UPDATE app.orders SET above = 10 WHERE id > 100;
INSERT INTO app.items SELECT g, 10 + 3 * g FROM generate_series(1, 1000) AS g;
RESET ROLE;
CREATE PUBLICATION of_orders FOR TABLE app.orders WHERE (id > 0);
ANALYZE app.orders;
SQL
describe() { run -v sharded="{app.orders}" -v fk="$([[ $version -ge 18 ]] && echo 18 || echo 0)" -f "$compare"; }
orders=$(proposal app.orders hash '{id}' '{"modulus": 3}')
sums() { run -c "SELECT count(*), sum(id), sum(above), md5(string_agg(o::text, ',' ORDER BY id)) FROM app.orders AS o"; }
same "nothing stands against a table that has everything" '' \
    "$(run -c "SELECT * FROM check_operation('app.orders', $orders) WHERE severity = 'error'")"
rows_before=$(sums)
describe >"$tmp/before"
id=$(run -c "SELECT shard_table('app.orders', $orders)")
same "it is divided" done "$(wait_for "$id")"
echo "# $(why "$id")"
# Nothing needs the old table any more.
drop_old() { # TABLE
    run -c "UPDATE presplit.retired_shards SET drop_after = retired_at WHERE shard = '$1_presplit_old'::regclass"
    becomes "the old table is dropped" t reshard_table 30 -d tables -c "SELECT to_regclass('$1_presplit_old') IS NULL"
}
drop_old app.orders
describe >"$tmp/after"
if diff "$tmp/before" "$tmp/after" >"$tmp/diff"; then ok "it has everything that it had"; else not_ok "it has everything that it had" "$(head -n 40 "$tmp/diff")"; fi
same "and every row" "$rows_before" "$(sums)"
same "its identity goes on" '9010' "$(run -c "INSERT INTO app.orders (note) VALUES ('next') RETURNING id")"
same "its serial goes on" '3001' "$(run -c "SELECT max(other) FROM app.orders")"
same "its trigger fires" '{"stamped": true}' "$(run -c "SELECT doc FROM app.orders WHERE note = 'next'")"
same "views read the new table" '1|t' "$(run -c "SELECT count(*), (SELECT count(*) > 0 FROM app.fewer) FROM app.few WHERE note = 'next'")"
fails_with "what it refers to must be there" 'orders_of_kind' run -c "INSERT INTO app.orders (kind) VALUES (99)"
fails_with "what refers to it must find it" 'items_of' run -c "INSERT INTO app.items VALUES (-1, -1)"
same "foreign keys cascade" '0' "$(run -c "DELETE FROM app.orders WHERE id = 13";
    run -c "SELECT count(*) FROM app.items WHERE of_order = 13")"
same "every foreign key is whole" '0' "$(run -c "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")"

# Another key --------------------------------------------------------------------------------------------------------------
rows_before=$(sums)
describe >"$tmp/before"
orders=$(proposal app.orders range '{id}' '{"split_points": ["1000", "5000"]}')
id=$(run -c "SELECT shard_table('app.orders', $orders)")
same "a sharded table is divided otherwise" done "$(wait_for "$id")"
echo "# $(why "$id")"
drop_old app.orders
describe >"$tmp/after"
if diff "$tmp/before" "$tmp/after" >"$tmp/diff"; then ok "it has everything that it had"; else not_ok "it has everything that it had" "$(head -n 40 "$tmp/diff")"; fi
same "and every row" "$rows_before" "$(sums)"
same "its shards and their indexes have the names that they would have" "orders_default
orders_s0001
orders_s0002
orders_s0003" "$(run -c "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'app.orders'::regclass ORDER BY 1" | sed 's/app\.//')"
same "nothing has a name aside" '' "$(run -c "SELECT oid::regclass FROM pg_class WHERE relname ~ 'orders.*_presplit_' AND relkind <> 't'")"
same "check_shards() finds nothing wrong" '' "$(run -c "SELECT * FROM check_shards('app.orders') WHERE severity = 'error'")"

# Its names are taken as long as it is kept.
drop_old by_hash
before=$(catalog)
hash=$(proposal by_hash hash '{id}' '{"modulus": 3}')
hold cutting_over.waited
id=$(PGOPTIONS="-c presplit.pause_at=cutting_over.waited -c presplit.cutover_budget=1h" run -c "SELECT shard_table('by_hash', $hash)")
becomes "another key: the worker waits" t reshard_table 30 -d tables -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
run -c "SELECT cancel_operation($id)" >/dev/null
exec 7>&-
wait "$holder" 2>/dev/null || true
same "another key: it is cancelled" cancelled "$(wait_for "$id")"
same "another key: the catalog is as it was" "$before" "$(catalog)"
pgbench -n -c 2 -R 300 -T 600 -M prepared -f "$tmp/by_hash.sql" >/dev/null 2>>"$tmp/said" &
writer=$!
id=$(run -c "SELECT shard_table('by_hash', $hash)")
same "a sharded table is divided otherwise under writes" done "$(wait_for "$id")"
echo "# $(why "$id")"
sleep 1
kill "$writer" 2>/dev/null || true
wait "$writer" 2>/dev/null || true
same "no client was told an error" '' "$(grep -E 'ERROR|error:|FATAL' "$tmp/said" | head -n 3 || true)"
all_is_there by_hash

# Offline, and rows that no shard takes --------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE TABLE heap (k int, v text);
INSERT INTO heap SELECT g % 10, 'v' FROM generate_series(1, 1000) AS g;
CREATE TABLE bad (id int PRIMARY KEY);
INSERT INTO bad VALUES (1), (2000);
SQL
bad=$(proposal bad list '{id}' '{"lists": [["1"], ["2"]], "default": false}')
before=$(catalog)
id=$(run -c "SELECT shard_table('bad', $bad)")
same "a row that no shard takes ends it" failed "$(wait_for "$id")"
same "with the row named" t "$(run -c "SELECT error ~ '2000' FROM presplit.operations WHERE operation_id = $id")"
same "and the catalog is as it was" "$before" "$(catalog)"
heap=$(proposal heap hash '{k}' '{"modulus": 2}')
id=$(run -c "SELECT shard_table('heap', $heap, online => false)")
same "a table without a key is divided offline" done "$(wait_for "$id")"
same "with all its rows" '1000|2' "$(run -c "SELECT count(*), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'heap'::regclass) FROM heap")"

log_is_clean reshard_table tests/server/allow/reshard_table
cluster_stop reshard_table immediate
exit "$CHECKS_FAILED"
