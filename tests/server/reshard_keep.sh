#!/usr/bin/env bash
# Tables that become the first shard of themselves (shard_table() with history => 'keep'): no row is copied and no index
# built, whatever the size; under pgbench writes no acknowledged write is lost; everything that the table has is there
# afterwards as it was; shards that rows reach meanwhile are left out; cancelled at any step nothing of it is left.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
compare=$(cd "$(dirname "$0")/../lib" && pwd)/compare_catalog.sql

cluster_start reshard_keep "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "max_worker_processes = 16" "presplit.databases = 'tables'"
cluster_use reshard_keep
tmp=$(cluster_tmp reshard_keep)
chmod a+rwx "$tmp"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE tables'
export PGDATABASE=tables
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart reshard_keep
wait_for() { run -c "SELECT wait_operation($1, '90 s')" 2>&1; }
why() { run -c "SELECT phase, error, waiting_for, detail FROM presplit.operations WHERE operation_id = $1"; }
proposal() { # TABLE STRATEGY KEY DEFINITION
    run -c "SELECT register_proposal('$1', '$2', '$3', '$4')"
}
keep() { # TABLE PROPOSAL
    run -c "SELECT shard_table('$1', $2, history => 'keep')"
}
bounds() { # TABLE
    run -c "SELECT inhrelid::regclass, pg_get_expr(relpartbound, inhrelid) FROM pg_inherits JOIN pg_class AS c ON c.oid = inhrelid
        WHERE inhparent = '$1'::regclass ORDER BY inhrelid::regclass::text COLLATE \"C\""
}
# The files of a table and of its indexes.
files() { # TABLE
    run -c "SELECT c.oid, c.relfilenode FROM pg_class AS c WHERE c.oid = '$1'::regclass
        OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = '$1'::regclass) ORDER BY c.oid"
}
catalog() {
    run <<'SQL'
SELECT 'class', c.oid, c.relname, c.relkind, c.relispartition, c.reltablespace, c.relowner, c.relacl::text,
       c.reloptions, c.relhasindex, c.relchecks, c.relnatts, c.relreplident, c.relpersistence, c.relfilenode
FROM pg_class AS c WHERE c.oid >= 16384 ORDER BY c.oid;
SELECT 'trigger', t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger AS t ORDER BY t.oid;
SELECT 'constraint', c.oid, c.conrelid, c.conname, c.convalidated, c.conislocal, c.coninhcount FROM pg_constraint AS c ORDER BY c.oid;
SELECT 'attribute', a.attrelid, a.attname, a.attnotnull, a.attidentity FROM pg_attribute AS a WHERE a.attrelid >= 16384 ORDER BY 2, 3;
SELECT 'depend', d.* FROM pg_depend AS d WHERE d.objid >= 16384 ORDER BY d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid, d.deptype;
SQL
}
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    becomes "at $1: the lock is held" t reshard_keep 30 -d tables -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory'
        AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295" >/dev/null
}
let_go() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
waits_at() { # POINT TABLE PROPOSAL
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h" keep "$2" "$3")
    becomes "at $1: the worker waits" t reshard_keep 30 -d tables -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}

# Under writes ---------------------------------------------------------------------------------------------------------
rows=20000
for table in by_range by_list by_hash; do
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
for table in by_range by_list by_hash; do
    script "$table" >"$tmp/$table.sql"
    chmod a+r "$tmp/$table.sql"
    pgbench -n -c 2 -R 200 -T 600 -M prepared -f "$tmp/$table.sql" >/dev/null 2>>"$tmp/said" &
    pids+=($!)
done
sleep 0.5
range=$(proposal by_range range '{id}' '{"split_points": ["5000", "10000", "1100000", "1200000"]}')
list=$(proposal by_list list '{id}' '{"lists": [["-1", "-2"], ["7"], ["-3"]]}')
hash=$(proposal by_hash hash '{id}' '{"modulus": 16}')
for table in by_range by_list by_hash; do files "$table" >"$tmp/$table.files"; done
one=$(keep by_range "$range")
two=$(keep by_list "$list")
three=$(keep by_hash "$hash")
same "a table becomes the first of its ranges under writes" done "$(wait_for "$one")"
same "a table becomes the DEFAULT beside its lists under writes" done "$(wait_for "$two")"
same "a table becomes the only one of its hash shards under writes" done "$(wait_for "$three")"
sleep 1
kill "${pids[@]}" 2>/dev/null || true
wait "${pids[@]}" 2>/dev/null || true
for id in "$one" "$two" "$three"; do echo "# $(why "$id")"; done
run -F ' ' -c "SELECT '# cutover of ' || operation_id || ': ' || note FROM presplit.job_events WHERE note LIKE '%kept out%' OR note LIKE 'gave way%' ORDER BY entry"
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
for table in by_range by_list by_hash; do all_is_there "$table"; done
same "ranges begin at the first point that no row has reached" "by_range_default|DEFAULT
by_range_s0001|FOR VALUES FROM (MINVALUE) TO ('1100000')
by_range_s0004|FOR VALUES FROM ('1100000') TO ('1200000')
by_range_s0005|FOR VALUES FROM ('1200000') TO (MAXVALUE)" "$(bounds by_range)"
same "lists are those of which there is no value" "by_list_default|DEFAULT
by_list_s0001|FOR VALUES IN ('-1', '-2')
by_list_s0003|FOR VALUES IN ('-3')" "$(bounds by_list)"
same "of hashes there is one" "by_hash_s0001|FOR VALUES WITH (modulus 1, remainder 0)" "$(bounds by_hash)"
same "no file was written anew" "$(cat "$tmp/by_range.files" "$tmp/by_list.files" "$tmp/by_hash.files")" \
    "$(files by_range_s0001; files by_list_default; files by_hash_s0001)"
same "the table's indexes have their names, and are whole" "by_range_n|t
by_range_note|t
by_range_pkey|t" "$(run -c "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'by_range'::regclass
    ORDER BY indexrelid::regclass::text")"
same "those of the old one are parts of them" "by_range_s0001_n|by_range_n
by_range_s0001_note|by_range_note
by_range_s0001_pkey|by_range_pkey" "$(run -c "SELECT inhrelid::regclass, inhparent::regclass FROM pg_inherits
    JOIN pg_index ON indexrelid = inhrelid WHERE indrelid = 'by_range_s0001'::regclass ORDER BY inhrelid::regclass::text")"
run -c "INSERT INTO by_range (id) VALUES (1150000), (1250000), (4999)" -c "INSERT INTO by_list (id) VALUES (-2), (-9)" 2>"$tmp/twice" || true
same "what is there already is found" t "$(grep -q 'by_range_s0001_pkey' "$tmp/twice" && echo t)"
run -c "INSERT INTO by_range (id) VALUES (1150000), (1250000)" -c "INSERT INTO by_list (id) VALUES (-2), (-9)"
same "rows go where they belong" "by_list_default|-9
by_list_s0001|-2
by_range_s0004|1150000
by_range_s0005|1250000" "$(run -c "SELECT tableoid::regclass::text, id FROM by_range WHERE id IN (1150000, 1250000)
    UNION ALL SELECT tableoid::regclass::text, id FROM by_list WHERE id < 0 ORDER BY 1, 2")"
same "the table is known as a sharded one" "by_range|$range" \
    "$(run -c "SELECT relation, proposal_id FROM presplit.sharded_tables WHERE relation = 'by_range'::regclass")"
same "nothing is retired" 0 "$(run -c "SELECT count(*) FROM presplit.retired_shards")"
same "nothing of it is a member of the extension" 0 "$(run -c "SELECT count(*) FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid
    WHERE d.deptype = 'e' AND d.classid = 'pg_class'::regclass AND c.relname ~ '^by_'")"
for table in by_range by_list by_hash; do
    same "check_shards() finds nothing wrong with $table" '' "$(run -c "SELECT * FROM check_shards('$table') WHERE severity = 'error'")"
done
fails_with "it is not kept twice" 'is partitioned' keep by_range "$range"
id=$(run -c "SELECT split_shard('by_range_s0001', '{10000}')")
same "the first shard is split like any other" done "$(wait_for "$id")"
id=$(run -c "SELECT split_shard('by_hash_s0001', parts => 2)")
same "and the only one of a hash" done "$(wait_for "$id")"
all_is_there by_hash

# The same for any size ------------------------------------------------------------------------------------------------------
for size in 10000 1000000; do
    run >/dev/null <<SQL
CREATE TABLE sized_$size (id bigint PRIMARY KEY, at timestamptz NOT NULL, note text);
CREATE INDEX ON sized_$size (at);
INSERT INTO sized_$size SELECT g, '2020-01-01'::timestamptz + g * interval '1 minute', md5(g::text) FROM generate_series(1, $size) AS g;
SQL
    sized=$(PGOPTIONS="-c presplit.unique_policy=per_shard" proposal "sized_$size" range '{at}' \
        '{"interval": "1 year", "from": "2022-01-01 00:00+00", "to": "2026-01-01 00:00+00"}')
    files "sized_$size" >"$tmp/files"
    written=$(run -c "SELECT pg_current_wal_insert_lsn()")
    id=$(keep "sized_$size" "$sized")
    same "$size rows stay where they are" done "$(wait_for "$id")"
    shard=$(run -c "SELECT tableoid::regclass FROM sized_$size LIMIT 1")
    same "$size rows: no file was written anew" "$(cat "$tmp/files")" "$(files "$shard")"
    run -c "SELECT format('# %s rows: %s ms, %s kB of log', $size, round(1000 * extract(epoch FROM finished_at - started_at)),
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$written')::bigint / 1024) FROM presplit.operations WHERE operation_id = $id"
    bounds "sized_$size" | sed 's/^/# /' | head -n 3
done
same "a key that each shard has alone is on all of them" "5" "$(run -c "SELECT count(*) FROM pg_index JOIN pg_inherits ON inhrelid = indrelid
    WHERE inhparent = 'sized_10000'::regclass AND indisprimary AND indrelid::regclass::text ~ '_s'")"

# Cancelled at every step ------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE TABLE gone (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, other serial UNIQUE, note text CHECK (note <> ''));
CREATE INDEX ON gone (note);
ALTER TABLE gone REPLICA IDENTITY FULL, CLUSTER ON gone_other_key;
CREATE VIEW of_gone AS SELECT id, note FROM gone;
INSERT INTO gone (note) SELECT 'n' || g FROM generate_series(1, 5000) AS g;
SQL
gone=$(PGOPTIONS="-c presplit.unique_policy=per_shard" proposal gone range '{id}' '{"split_points": ["10000", "20000", "30000"]}')
for point in preparing indexing cutting_over cutting_over.kept_out cutting_over.waited; do
    before=$(catalog)
    waits_at "$point" gone "$gone"
    run -c "SELECT cancel_operation($id)" >/dev/null
    let_go
    same "at $point: it is cancelled" cancelled "$(wait_for "$id")"
    if diff <(echo "$before") <(catalog) >"$tmp/diff"; then ok "at $point: the catalog is as it was"; else not_ok "at $point: the catalog is as it was" "$(head -n 8 "$tmp/diff")"; fi
done

# Rows that come meanwhile -----------------------------------------------------------------------------------------------------
waits_at cutting_over gone "$gone"
run -c "INSERT INTO gone (id, note) OVERRIDING SYSTEM VALUE VALUES (10000, 'at the point')"
let_go
same "a row at the first point" done "$(wait_for "$id")"
same "has the first shard reach to the next" "gone_default|DEFAULT
gone_s0001|FOR VALUES FROM (MINVALUE) TO ('20000')
gone_s0003|FOR VALUES FROM ('20000') TO ('30000')
gone_s0004|FOR VALUES FROM ('30000') TO (MAXVALUE)" "$(bounds gone)"
same "what is said of each shard is said of those that are there" '5|4' "$(run -c "SELECT
    (SELECT count(*) FROM pg_partition_tree('gone') JOIN pg_class ON oid = relid WHERE relreplident = 'f'),
    (SELECT count(*) FROM pg_partition_tree('gone') JOIN pg_index ON indrelid = relid WHERE indisclustered)")"
same "nothing is left of the shard between" '' "$(run -c "SELECT to_regclass('gone_s0002')")"
same "its identity and its serial go on" '5001|5002' "$(run -c "INSERT INTO gone (note) VALUES ('next') RETURNING id, other")"
same "its view reads all of it" 5002 "$(run -c "SELECT count(*) FROM of_gone")"
run >/dev/null -c "CREATE TABLE past (id int, note text)" -c "CREATE INDEX ON past (id)" -c "INSERT INTO past VALUES (1)"
past=$(proposal past range '{id}' '{"split_points": ["10", "20"]}')
before=$(catalog)
waits_at cutting_over past "$past"
run -c "INSERT INTO past VALUES (20)"
let_go
same "a row behind the last point ends it" failed "$(wait_for "$id")"
same "and is named" t "$(run -c "SELECT error ~ 'no split point' AND error ~ 'greatest key is 20' FROM presplit.operations WHERE operation_id = $id")"
same "and the catalog is as it was" "$before" "$(catalog)"
run -c "DELETE FROM past WHERE id = 20"
waits_at cutting_over past "$past"
run -c "INSERT INTO past VALUES (NULL)"
let_go
same "a row without a key ends it" failed "$(wait_for "$id")"
same "and is told" t "$(run -c "SELECT error ~ 'without a value of id' FROM presplit.operations WHERE operation_id = $id")"
same "and the catalog is as it was" "$before" "$(catalog)"

# Older snapshots, and a worker that is ended ------------------------------------------------------------------------------
run >/dev/null -c "CREATE TABLE snap (id int PRIMARY KEY)" -c "INSERT INTO snap SELECT generate_series(1, 100)"
snap=$(proposal snap range '{id}' '{"split_points": ["1000", "2000"]}')
mkfifo "$tmp/old"
psql -qAtX <"$tmp/old" >"$tmp/seen" 2>&1 &
old=$!
exec 8>"$tmp/old"
echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'begun' FROM told LIMIT 1;" >&8
becomes "an older snapshot is held" t reshard_keep 30 -d tables -c "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL"
waits_at cutting_over.waited snap "$snap"
run -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'" >/dev/null
let_go
same "another worker goes on, and waits for no snapshot" done "$(wait_for "$id")"
run -c "INSERT INTO snap VALUES (101), (1500)"
echo "SELECT count(*) FROM snap; COMMIT; SELECT count(*) FROM snap;" >&8
exec 8>&-
wait "$old" 2>/dev/null || true
same "who has an older snapshot sees what he did before" "begun
100
102" "$(cat "$tmp/seen")"

# Keys of other types, in their own order -----------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE SCHEMA odd;
CREATE TYPE odd.mood AS ENUM ('low', 'middle', 'high', 'highest');
CREATE TABLE odd.moods (k odd.mood NOT NULL, v int);
CREATE INDEX ON odd.moods (k DESC);
INSERT INTO odd.moods VALUES ('low', 1), ('middle', 2);
CREATE TABLE odd."Two words" (a int NOT NULL, "b c" varchar(5) COLLATE "C" NOT NULL, v text, PRIMARY KEY (a, "b c"));
INSERT INTO odd."Two words" VALUES (1, 'x'), (2, 'm');
CREATE TABLE odd.empty (k uuid PRIMARY KEY);
SQL
moods=$(proposal odd.moods range '{k}' '{"split_points": ["middle", "high", "highest"]}')
words=$(proposal 'odd."Two words"' range '{a,b c}' '{"split_points": [["2", "a"], ["2", "n"], ["3", "a"]]}')
empty=$(proposal odd.empty range '{k}' '{"split_points": ["80000000-0000-0000-0000-000000000000"]}')
for one in "odd.moods $moods" "odd.\"Two words\" $words" "odd.empty $empty"; do
    id=$(keep "${one% *}" "${one##* }")
    same "${one% *} is kept" done "$(wait_for "$id")"
done
same "an enum in the order of its values" "FOR VALUES FROM (MINVALUE) TO ('high')" "$(bounds odd.moods | sed -n 's/^odd.moods_s0001|//p')"
same "two columns together" "FOR VALUES FROM (MINVALUE, MINVALUE) TO (2, 'n')" "$(bounds 'odd."Two words"' | sed -n 's/.*_s0001"|//p')"

# All that a table can have ------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE ROLE rk_reader;
CREATE ROLE rk_owner;
CREATE SCHEMA app AUTHORIZATION rk_owner;
SET ROLE rk_owner;
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
CREATE POLICY own ON app.orders FOR SELECT TO rk_reader USING (kind = 1);
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT (note) ON app.orders TO rk_reader;
GRANT USAGE ON SCHEMA app TO rk_reader;
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
GRANT SELECT ON app.few TO rk_reader;
INSERT INTO app.kinds SELECT g, 'k' FROM generate_series(1, 5) AS g;
INSERT INTO app.orders (kind, note) SELECT 1 + g % 5, 'n' || g FROM generate_series(1, 3000) AS g;
UPDATE app.orders SET above = 10 WHERE id > 100;
INSERT INTO app.items SELECT g, 10 + 3 * g FROM generate_series(1, 1000) AS g;
RESET ROLE;
CREATE PUBLICATION of_orders FOR TABLE app.orders WHERE (id > 0);
ANALYZE app.orders;
SQL
describe() { run -v sharded="{app.orders}" -v fk="$([[ $version -ge 18 ]] && echo 18 || echo 0)" -f "$compare"; }
orders=$(proposal app.orders range '{id}' '{"split_points": ["5000", "20000", "30000"]}')
sums() { run -c "SELECT count(*), sum(id), sum(above), md5(string_agg(o::text, ',' ORDER BY id)) FROM app.orders AS o"; }
same "nothing stands against a table that has everything" '' "$(run -c "SELECT * FROM check_operation('app.orders', $orders)")"
rows_before=$(sums)
files app.orders >"$tmp/files"
describe >"$tmp/before"
id=$(keep app.orders "$orders")
same "it is kept" done "$(wait_for "$id")"
echo "# $(why "$id")"
describe >"$tmp/after"
if diff "$tmp/before" "$tmp/after" >"$tmp/diff"; then ok "it has everything that it had"; else not_ok "it has everything that it had" "$(head -n 40 "$tmp/diff")"; fi
same "and every row" "$rows_before" "$(sums)"
same "in the same files" "$(cat "$tmp/files")" "$(files app.orders_s0001)"
same "its identity goes on" '9010' "$(run -c "INSERT INTO app.orders (note) VALUES ('next') RETURNING id")"
same "its serial goes on" '3001' "$(run -c "SELECT max(other) FROM app.orders")"
same "its trigger fires, in both" '{"stamped": true}|{"stamped": true}' "$(run -c "INSERT INTO app.orders (id, note) VALUES (25000, 'ahead')" \
    -c "SELECT string_agg(doc::text, '|') FROM app.orders WHERE note IN ('next', 'ahead')")"
same "views read the new table" '1|t' "$(run -c "SELECT count(*), (SELECT count(*) > 0 FROM app.fewer) FROM app.few WHERE note = 'ahead'")"
fails_with "what it refers to must be there" 'orders_of_kind' run -c "INSERT INTO app.orders (id, kind) VALUES (25001, 99)"
fails_with "what it refers to in itself too" 'orders_above' run -c "INSERT INTO app.orders (id, above) VALUES (25001, -5)"
succeeds "also in another shard" run -c "UPDATE app.orders SET above = 25000 WHERE id = 9010"
fails_with "what refers to it must find it" 'items_of' run -c "INSERT INTO app.items VALUES (-1, -1)"
succeeds "in a shard ahead too" run -c "INSERT INTO app.items VALUES (-1, 25000)"
same "foreign keys cascade" '0' "$(run -c "DELETE FROM app.orders WHERE id = 13";
    run -c "SELECT count(*) FROM app.items WHERE of_order = 13")"
same "every foreign key is whole" '0' "$(run -c "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")"
same "every unique index is whole" '0' "$(run -c "SELECT count(*) FROM pg_index WHERE NOT indisvalid")"
same "the old table has no rights, rules, policies and triggers of its own" '0|0|0|0' "$(run -c "SELECT
    (SELECT count(*) FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a WHERE c.oid = 'app.orders_s0001'::regclass AND a.grantee <> c.relowner),
    (SELECT count(*) FROM pg_rewrite WHERE ev_class = 'app.orders_s0001'::regclass),
    (SELECT count(*) FROM pg_policy WHERE polrelid = 'app.orders_s0001'::regclass),
    (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'app.orders_s0001'::regclass AND NOT tgisinternal AND tgparentid = 0)")"
same "nothing has a name aside" '' "$(run -c "SELECT oid::regclass FROM pg_class WHERE relname ~ 'orders.*_presplit_' AND relkind <> 't'")"
same "check_shards() finds nothing wrong" '' "$(run -c "SELECT * FROM check_shards('app.orders') WHERE severity = 'error'")"
fails_with "it cannot be undone" 'cannot undo operation' run -c "SELECT undo_operation($id)"

log_is_clean reshard_keep tests/server/allow/reshard_keep
cluster_stop reshard_keep immediate
exit "$CHECKS_FAILED"
