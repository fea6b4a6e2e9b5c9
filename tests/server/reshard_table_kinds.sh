#!/usr/bin/env bash
# Tables of every kind replaced whole by shard_table(): divided, divided otherwise again and again, and made plain; with what
# others alter meanwhile, at the moments at which it could be lost.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
compare=$(cd "$(dirname "$0")/../lib" && pwd)/compare_catalog.sql

cluster_start table_kinds "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "max_worker_processes = 16" "presplit.reshard_rate_limit = 0" "presplit.databases = 'kinds'" "presplit.cutover_budget = 3s"
cluster_use table_kinds
tmp=$(cluster_tmp table_kinds)
chmod a+rwx "$tmp"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE kinds'
export PGDATABASE=kinds
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart table_kinds
wait_for() {
    local outcome
    outcome=$(run -c "SELECT wait_operation($1, '60 s')" 2>&1) || true
    [[ $outcome == done ]] || echo "# $outcome: $(error_of "$1")" >&2
    echo "$outcome"
}
error_of() { run -c "SELECT coalesce(error, '') || coalesce(waiting_for, '') FROM presplit.operations WHERE operation_id = $1"; }
proposal() { # TABLE STRATEGY KEY DEFINITION
    run -c "SELECT register_proposal('$1', '$2', '$3', '$4')"
}
begin() { # TABLE STRATEGY KEY DEFINITION
    local made
    made=$(proposal "$@")
    run -c "SELECT shard_table('$1', $made)"
}
done_as() { # NAME TABLE STRATEGY KEY DEFINITION
    local name=$1 id
    shift
    id=$(begin "$@")
    same "$name" done "$(wait_for "$id")"
}
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    becomes "at $1: the lock is held" t table_kinds 30 -d kinds -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory'
        AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295" >/dev/null
}
# The number of an operation that waits at a point.
begin_at() { # POINT TABLE STRATEGY KEY DEFINITION
    local point=$1
    shift
    hold "$point"
    id=$(PGOPTIONS="-c presplit.pause_at=$point -c presplit.cutover_budget=1h" begin "$@")
    becomes "at $point: the worker waits" t table_kinds 30 -d kinds -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
shards() { run -c "SELECT coalesce(string_agg(t.relid::text, ' ' ORDER BY t.relid::text COLLATE \"C\"), 'plain') FROM pg_partition_tree('$1') AS t WHERE t.isleaf AND t.level > 0"; }
sum_of() { run -c "SELECT count(*), md5(string_agg(o::text, ',' ORDER BY o::text COLLATE \"C\")) FROM $1 AS o"; }

# What is altered meanwhile ------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE ROLE rk_a;
CREATE ROLE rk_b;
CREATE TABLE met (id int PRIMARY KEY, n int NOT NULL, note text);
CREATE TABLE other (id int PRIMARY KEY, word text);
CREATE FUNCTION first_word() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'first'; RETURN NEW; END$$;
CREATE FUNCTION second_word() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'second'; RETURN NEW; END$$;
CREATE TRIGGER words BEFORE INSERT ON met FOR EACH ROW EXECUTE FUNCTION first_word();
CREATE VIEW of_met AS SELECT m.id, m.n FROM met AS m JOIN other AS o USING (id);
CREATE VIEW named_met_1 AS SELECT id FROM met;
CREATE FUNCTION sum_met(OUT sum bigint) LANGUAGE sql BEGIN ATOMIC SELECT sum(n) FROM met; END;
GRANT EXECUTE ON FUNCTION sum_met TO rk_a;
CREATE POLICY own ON met TO rk_a USING (n > 0);
GRANT SELECT ON met TO rk_a;
INSERT INTO met SELECT g, g FROM generate_series(1, 500) AS g;
INSERT INTO other SELECT g, 'w' FROM generate_series(1, 10) AS g;
SQL
alter_met() { # how often
    run <<SQL
CREATE OR REPLACE VIEW of_met AS SELECT m.id, m.n * $1 AS n FROM met AS m JOIN other AS o USING (id) WHERE o.word = 'w';
ALTER VIEW of_met SET (security_barrier = true);
CREATE OR REPLACE FUNCTION sum_met(OUT sum bigint) LANGUAGE sql BEGIN ATOMIC SELECT sum(n) * $1 FROM met; END;
ALTER VIEW named_met_$(($1 - 1)) RENAME TO named_met_$1;
ALTER FUNCTION first_word() RENAME TO was_first_word;
ALTER FUNCTION second_word() RENAME TO first_word;
ALTER FUNCTION was_first_word() RENAME TO second_word;
ALTER ROLE rk_a RENAME TO rk_c;
ALTER ROLE rk_b RENAME TO rk_a;
ALTER ROLE rk_c RENAME TO rk_b;
REVOKE ALL ON met FROM rk_b;
GRANT SELECT ON met TO rk_a;
GRANT INSERT (n) ON met TO rk_b;
CREATE VIEW new_$1 AS SELECT count(*) AS count FROM met;
SQL
}
as_it_is() { # what of it is not bound to the table by its oid
    run <<'SQL'
SELECT g.tgname, p.prosrc FROM pg_trigger AS g JOIN pg_proc AS p ON p.oid = g.tgfoid WHERE g.tgrelid = 'met'::regclass AND NOT g.tgisinternal;
SELECT p.polname, p.polroles FROM pg_policy AS p WHERE p.polrelid = 'met'::regclass;
SELECT c.relacl, (SELECT string_agg(attacl::text, ' ') FROM pg_attribute WHERE attrelid = c.oid) FROM pg_class AS c WHERE c.oid = 'met'::regclass;
SELECT c.relname, c.reloptions, pg_get_viewdef(c.oid) FROM pg_class AS c WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace ORDER BY 1;
SELECT pg_get_functiondef(f.oid), f.proacl FROM pg_proc AS f WHERE f.proname = 'sum_met';
SELECT c.relname, d.refobjid = 'met'::regclass FROM pg_class AS c JOIN pg_rewrite AS w ON w.ev_class = c.oid JOIN pg_depend AS d ON d.objid = w.oid
WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace AND d.refobjid <> c.oid AND d.refobjid <> 'other'::regclass GROUP BY 1, 2 ORDER BY 1;
SQL
}
modulus=2
for point in cutting_over cutting_over.caught_up cutting_over.waited; do
    begin_at "$point" met hash '{id}' "{\"modulus\": $modulus}"
    alter_met "$modulus"
    as_it_is >"$tmp/before"
    release
    same "altered at $point: it is replaced" done "$(wait_for "$id")"
    as_it_is >"$tmp/after"
    same "altered at $point: as it was altered" '' "$(diff "$tmp/before" "$tmp/after")"
    same "altered at $point: views and functions read the new table" "501|$((modulus * 125251))" "$(run -c "INSERT INTO met VALUES (-$modulus, 1)" -c "DELETE FROM met WHERE id = 1 - $modulus" -c "SELECT count, sum_met() FROM new_$modulus")"
    modulus=$((modulus + 1))
done

# Partitions that others make ------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE ROLE rk_owner;
GRANT ALL ON SCHEMA public TO rk_owner;
SET ROLE rk_owner;
CREATE TABLE grown (id int, day date, PRIMARY KEY (id, day));
INSERT INTO grown SELECT g, date '2026-01-01' + g % 60 FROM generate_series(1, 400) AS g;
CREATE TABLE mine (id int NOT NULL, day date NOT NULL);
INSERT INTO mine SELECT g, '2030-01-01' FROM generate_series(1, 7) AS g;
SQL
begin_at copying grown range '{day}' '{"split_points": ["2026-02-01", "2026-03-01"], "default": false}'
succeeds "the owner can put a table of his own into the new one" run -c 'SET ROLE rk_owner' \
    -c 'ALTER TABLE grown_presplit_new DETACH PARTITION grown_s0003' \
    -c "ALTER TABLE grown_presplit_new ATTACH PARTITION mine FOR VALUES FROM ('2026-03-01') TO (MAXVALUE)"
release
same "it ends the operation" failed "$(wait_for "$id")"
same "with the reason" t "$(run -c "SELECT error ~ 'other partitions than those that were made' FROM presplit.operations WHERE operation_id = $id")"
same "his table is his with all of its rows" '7|f' "$(run -c "SELECT count(*), (SELECT relispartition FROM pg_class WHERE oid = 'mine'::regclass) FROM mine")"
same "nothing else is left" '' "$(run -c "SELECT relname FROM pg_class WHERE relname ~ '^grown.*(presplit|_s0)'")"
run -c 'ALTER TABLE mine DROP CONSTRAINT IF EXISTS mine_pkey'

day='{"split_points": ["2026-02-01", "2026-03-01"], "default": false}'
done_as "a table of ranges" grown range '{day}' "$day"
begin_at copying grown hash '{id}' '{"modulus": 2}'
run -c 'SET ROLE rk_owner' -c "CREATE TABLE grown_more (LIKE grown)" -c "INSERT INTO grown_more VALUES (1000, '2027-01-01')" \
    -c "ALTER TABLE grown DETACH PARTITION grown_s0003" -c "ALTER TABLE grown ATTACH PARTITION grown_s0003 FOR VALUES FROM ('2026-03-01') TO ('2027-01-01')" \
    -c "ALTER TABLE grown ATTACH PARTITION grown_more FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
release
same "a shard that came meanwhile ends the operation" failed "$(wait_for "$id")"
same "with the reason" t "$(run -c "SELECT error ~ 'grown|shards' FROM presplit.operations WHERE operation_id = $id")"
run -c "SELECT resume_operation($id)" >/dev/null
same "begun anew it takes that one too" done "$(wait_for "$id")"
same "with all of its rows" '401|plain' "$(run -c "SELECT count(*) FROM grown")|$(shards grown | grep -c more | sed 's/^0$/plain/')"
done_as "two levels" grown range_hash '{day,id}' '{"split_points": ["2026-02-01"], "modulus": 2, "default": false}'
same "their shards" 'grown_s0001 grown_s0002 grown_s0003 grown_s0004' "$(shards grown)"
# A branch gets a shard while writers are kept out of the table: only the branch is locked by it.
run -c "CREATE TABLE branched (k int, id int, PRIMARY KEY (k, id)) PARTITION BY LIST (k)" \
    -c "CREATE TABLE branched_b PARTITION OF branched FOR VALUES IN (1) PARTITION BY RANGE (id)" \
    -c "CREATE TABLE branched_b1 PARTITION OF branched_b FOR VALUES FROM (0) TO (100)" \
    -c "INSERT INTO branched SELECT 1, g FROM generate_series(0, 99) AS g" -c 'CREATE TABLE late (LIKE branched INCLUDING ALL)' \
    -c "INSERT INTO late VALUES (1, 100), (1, 101)" >/dev/null
begin_at cutting_over.waited branched hash '{id}' '{"modulus": 2}'
run -c "ALTER TABLE branched_b ATTACH PARTITION late FOR VALUES FROM (100) TO (200)"
release
same "a shard that came to a branch ends the operation" failed "$(wait_for "$id")"
same "no row is lost" 102 "$(run -c 'SELECT count(*) FROM branched')"

# Again and again, and plain --------------------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
SET ROLE rk_owner;
CREATE TABLE seen (
    gone int, id bigint GENERATED ALWAYS AS IDENTITY (INCREMENT 2 CACHE 5), "Mixed Case" text, other serial, twice int GENERATED ALWAYS AS (other * 2) STORED,
    above bigint, PRIMARY KEY (id)
) WITH (fillfactor = 90);
ALTER TABLE seen DROP COLUMN gone;
ALTER TABLE seen ADD CONSTRAINT seen_above FOREIGN KEY (above) REFERENCES seen;
CREATE INDEX "Seen Mixed" ON seen (lower("Mixed Case")) INCLUDE (other);
CREATE UNIQUE INDEX seen_id_other ON seen (other, id);
ALTER TABLE seen ALTER COLUMN other SET (n_distinct = -1);
ALTER TABLE seen CLUSTER ON seen_pkey;
ALTER TABLE seen ALTER COLUMN other SET NOT NULL, REPLICA IDENTITY USING INDEX seen_id_other;
CREATE TABLE points (seen bigint CONSTRAINT points_seen REFERENCES seen ON DELETE CASCADE);
CREATE VIEW of_seen AS SELECT id, "Mixed Case" FROM seen WHERE other > 0;
CREATE POLICY all_of_it ON seen USING (true);
ALTER TABLE seen ENABLE ROW LEVEL SECURITY;
ALTER TABLE seen ADD CONSTRAINT seen_checked CHECK (other > 0);
INSERT INTO seen ("Mixed Case") SELECT 'n' || g FROM generate_series(1, 300) AS g;
UPDATE seen SET above = 1 WHERE id > 100;
UPDATE seen SET other = -other WHERE id < 0;
INSERT INTO points SELECT id FROM seen WHERE id < 100;
ALTER TABLE seen ADD CONSTRAINT seen_unproven CHECK (other > 5) NOT VALID;
COMMENT ON CONSTRAINT seen_unproven ON seen IS 'of later ones';
RESET ROLE;
ANALYZE seen;
CREATE TABLE nextvals (n bigint DEFAULT nextval('seen_id_seq'));
SQL
describe() { run -v sharded="{seen}" -v fk="$([[ $version -ge 18 ]] && echo 18 || echo 0)" -f "$compare" | grep -E '^seen|points|of_seen' | grep -vE 'presplit_old|^seen_s0'; }
# The identity of a table goes on with the very sequence that it had, and with the same next value.
sequence=$(run -c "SELECT 'seen_id_seq'::regclass::oid")
rows=$(sum_of seen)
describe >"$tmp/seen"
as_before() { # NAME
    describe >"$tmp/now"
    same "$1: it has everything that it had" '' "$(diff "$tmp/seen" "$tmp/now" | head -n 20)"
    same "$1: and every row" "$rows" "$(sum_of seen)"
    same "$1: its identity's sequence" "$sequence|seen_id_seq" "$(run -c "SELECT s::oid, s::regclass FROM (SELECT pg_get_serial_sequence('seen', 'id')::regclass AS s) AS s" | sed 's/public\.//')"
    same "$1: check_shards() finds nothing wrong" '' "$(run -c "SELECT * FROM check_shards() WHERE severity = 'error' AND object ~ 'seen'")"
}
done_as "a table of everything becomes a sharded one" seen hash '{id}' '{"modulus": 3}'
as_before "hash"
done_as "it is divided otherwise" seen range '{id}' '{"split_points": ["200", "400"]}'
as_before "range"
done_as "and otherwise again, while what was replaced is kept" seen hash '{id}' '{"modulus": 2}'
as_before "hash again"
done_as "and once more" seen hash '{id}' '{"modulus": 4}'
as_before "four"
done_as "it is made plain" seen none '{}' '{}'
same "it has no shards" "plain|r" "$(shards seen)|$(run -c "SELECT relkind FROM pg_class WHERE oid = 'seen'::regclass")"
as_before "plain"
same "nothing says that it is sharded" '0|0' "$(run -c "SELECT count(*) FILTER (WHERE relation = 'seen'::regclass), (SELECT count(*) FROM presplit.shards WHERE relation = 'seen'::regclass AND state <> 'retired')
    FROM presplit.sharded_tables")"
same "the proposal is applied" applied "$(run -c "SELECT DISTINCT state FROM presplit.proposals WHERE strategy = 'none' AND relation = 'public.seen'")"
fails_with "it is not made plain twice" 'is not sharded' run -c "SELECT shard_table('seen', $(proposal seen none '{}' '{}'))"
same "what was replaced is kept under names of its own" 'seen_presplit_old seen_presplit_old2 seen_presplit_old3 seen_presplit_old4 seen_presplit_old5' \
    "$(run -c "SELECT string_agg(shard::regclass::text, ' ' ORDER BY shard::regclass::text) FROM presplit.retired_shards WHERE relation = 'seen'::regclass AND shard::regclass::text ~ '^seen_presplit'")"
same "its check holds for new rows" t "$(run -c "INSERT INTO seen (other) VALUES (3)" 2>&1 | grep -c seen_unproven | sed 's/1/t/')"
done_as "and divided once more" seen hash '{id}' '{"modulus": 2}'
as_before "the last time"
same "values go on" t "$(run -c "INSERT INTO nextvals DEFAULT VALUES RETURNING n" -c "INSERT INTO seen (\"Mixed Case\") VALUES ('x') RETURNING id" | sort -n | uniq | wc -l | sed 's/2/t/')"
# The names of shards that a split has replaced, which are kept.
run -c 'CREATE TABLE halved (id int PRIMARY KEY, n int)' -c 'CREATE INDEX ON halved (n)' -c 'INSERT INTO halved SELECT g, g FROM generate_series(1, 200) AS g'
done_as "a table that is to be split" halved hash '{id}' '{"modulus": 2}'
before=$(proposal halved hash '{id}' '{"modulus": 4}')
id=$(run -c "SELECT split_shard('halved_s0002')")
same "a shard of it is split" done "$(wait_for "$id")"
same "into these" 'halved_s0001 halved_s0003 halved_s0004' "$(shards halved)"
same "its names are there again, although the shard that was split is kept" done "$(wait_for "$(run -c "SELECT shard_table('halved', $before)")")"
same "all four of them" 'halved_s0001 halved_s0002 halved_s0003 halved_s0004' "$(shards halved)"
same "with their indexes" 'halved_s0002_n_idx halved_s0002_pkey' "$(run -c "SELECT string_agg(x.relname, ' ' ORDER BY x.relname) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = 'halved_s0002'::regclass")"
fails_with "the split is not undone any more" '.' run -c "SELECT undo_operation($id)"

# A table that is put into one that was replaced is not dropped together with it.
run -c 'CREATE TABLE listed (k int PRIMARY KEY)' -c 'INSERT INTO listed VALUES (1), (2)' -c 'CREATE TABLE later (k int NOT NULL)' -c 'INSERT INTO later VALUES (3)'
done_as "a table of lists" listed list '{k}' '{"lists": [["1"], ["2"]], "default": false}'
done_as "is hashed" listed hash '{k}' '{"modulus": 2}'
old=$(run -c "SELECT relname FROM pg_class WHERE relname ~ '^listed_presplit_old' AND relkind = 'p'")
run -c "ALTER TABLE $old ATTACH PARTITION later FOR VALUES IN (3)" -c "UPDATE presplit.retired_shards SET drop_after = retired_at WHERE shard = '$old'::regclass"
becomes "what was replaced is dropped" t table_kinds 30 -d kinds -c "SELECT to_regclass('$old') IS NULL AND to_regclass('listed_s0001_presplit_old') IS NULL"
same "without the table that was put into it" '1|f' "$(run -c "SELECT count(*), (SELECT relispartition FROM pg_class WHERE oid = 'later'::regclass) FROM later")"

# Kinds ------------------------------------------------------------------------------------------------------------------------
mkdir "$tmp/space"
chown postgres "$tmp/space"
run -d postgres -c "CREATE TABLESPACE rk_space LOCATION '$tmp/space'"
long=$(printf 'x%.0s' {1..63})
quoted='Se"pa.rate; --'
run >/dev/null <<SQL
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, u int NOT NULL, note text) TABLESPACE rk_space;
CREATE UNIQUE INDEX unlogged_u ON unlogged (u) TABLESPACE rk_space;
INSERT INTO unlogged SELECT g, g, 'n' FROM generate_series(1, 100) AS g;
CREATE TABLE "$long" (id int PRIMARY KEY, "${long:0:62}y" int);
CREATE INDEX ON "$long" ("${long:0:62}y");
CREATE INDEX ON "$long" (("${long:0:62}y" + 1));
INSERT INTO "$long" SELECT g, g FROM generate_series(1, 100) AS g;
CREATE SCHEMA "Sche ma";
CREATE TABLE "Sche ma"."${quoted//\"/\"\"}" ("i""d" int PRIMARY KEY, "sel ect" text COLLATE "C");
CREATE INDEX "in ""dex" ON "Sche ma"."${quoted//\"/\"\"}" ("sel ect");
INSERT INTO "Sche ma"."${quoted//\"/\"\"}" SELECT g, g FROM generate_series(1, 100) AS g;
CREATE TABLE keyed (id int PRIMARY KEY);
CREATE TABLE bound (id int, of_keyed int CONSTRAINT bound_of REFERENCES keyed) PARTITION BY LIST (id);
CREATE TABLE bound_1 PARTITION OF bound DEFAULT;
INSERT INTO keyed SELECT generate_series(1, 50);
INSERT INTO bound SELECT g, g FROM generate_series(1, 50) AS g;
SQL
before=$(sum_of unlogged)
id=$(PGOPTIONS='-c presplit.unique_policy=per_shard' begin unlogged hash '{id}' '{"modulus": 2}')
same "an unlogged table with a key of each shard" done "$(wait_for "$id")"
same "its shards are unlogged, where it was, with their keys" 'unlogged_s0001|u|rk_space|2
unlogged_s0002|u|rk_space|2' "$(run -c "SELECT c.relname, c.relpersistence, s.spcname, (SELECT count(*) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisunique)
    FROM pg_class AS c LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace WHERE c.relname ~ '^unlogged_s000.$' ORDER BY 1")"
same "the index is where it was" 'rk_space' "$(run -c "SELECT DISTINCT s.spcname FROM pg_class AS c JOIN pg_tablespace AS s ON s.oid = c.reltablespace WHERE c.relname ~ '^unlogged_u_s000'")"
same "and every row" "$before" "$(sum_of unlogged)"
same "a key of each shard keeps it from being made plain, by name" t "$(run -c "SELECT count(*) > 0 FROM check_operation('unlogged', $(proposal unlogged none '{}' '{}')) WHERE severity = 'error' AND object ~ 'unlogged_u_s0001'")"
run -c 'DROP INDEX unlogged_u_s0001, unlogged_u_s0002'
done_as "without them it is" unlogged none '{}' '{}'
same "unlogged, where it was" 'r|u|rk_space' "$(run -c "SELECT c.relkind, c.relpersistence, s.spcname FROM pg_class AS c LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace WHERE c.oid = 'unlogged'::regclass")"
same "with every row" "$before" "$(sum_of unlogged)"
run -c 'CREATE UNIQUE INDEX unlogged_u2 ON unlogged (u)' >/dev/null
id=$(PGOPTIONS='-c presplit.unique_policy=extend' begin unlogged hash '{id}' '{"modulus": 2}')
same "with a longer key" done "$(wait_for "$id")"
same "which the table has" t "$(run -c "SELECT pg_get_indexdef('unlogged_u2'::regclass) ~ '\(u, id\)'")"
done_as "it is made plain with that" unlogged none '{}' '{}'

name="\"$long\""
before=$(sum_of "$name")
done_as "a table with a long name" "$name" hash '{id}' '{"modulus": 3}'
done_as "is divided otherwise" "$name" hash '{id}' '{"modulus": 2}'
same "with two shards" 2 "$(shards "$name" | wc -w)"
done_as "and made plain" "$name" none '{}' '{}'
same "with every row" "$before" "$(sum_of "$name")"
same "its indexes have their names" 3 "$(run -c "SELECT count(*) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = '$name'::regclass AND x.relname !~ 'presplit'")"

name="\"Sche ma\".\"${quoted//\"/\"\"}\""
before=$(sum_of "$name")
done_as "a table with a quoted name" "$name" hash '{"i\"d"}' '{"modulus": 2}'
done_as "is divided otherwise" "$name" range '{"i\"d"}' '{"split_points": ["50"]}'
done_as "and made plain" "$name" none '{}' '{}'
same "with every row" "$before" "$(sum_of "$name")"

hash=$(proposal keyed hash '{id}' '{"modulus": 2}')
if ((version < 18)); then
    fails_with "a foreign key of a partitioned table is refused by name" 'bound_of|version 18' run -c "SELECT shard_table('keyed', $hash)"
else
    same "a foreign key of a partitioned table" done "$(wait_for "$(run -c "SELECT shard_table('keyed', $hash)")")"
    fails_with "holds" bound_of run -c 'DELETE FROM keyed WHERE id = 1'
    same "and is whole" 0 "$(run -c "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated")"
    done_as "it is made plain again" keyed none '{}' '{}'
    fails_with "the key holds" bound_of run -c 'DELETE FROM keyed WHERE id = 1'
fi

# Refused by name, and nothing is changed -----------------------------------------------------------------------------------------
run >/dev/null <<'SQL'
CREATE TABLE refused (id int PRIMARY KEY, n int);
INSERT INTO refused VALUES (1, 1);
CREATE MATERIALIZED VIEW kept_refused AS SELECT id FROM refused;
CREATE TABLE pairs (one refused);
CREATE FUNCTION whole_row(refused) RETURNS int LANGUAGE sql AS 'SELECT 1';
SQL
hash=$(proposal refused hash '{id}' '{"modulus": 2}')
run -c 'CREATE TABLE heirs () INHERITS (refused)'
found=$(run -c "SELECT string_agg(object, '; ') FROM check_operation('refused', $hash) WHERE severity = 'error'")
for what in 'inheritance from or to public.heirs' 'materialized view public.kept_refused' 'column one of table public.pairs' 'function public.whole_row'; do
    if [[ $found == *"$what"* ]]; then ok "refused: $what"; else not_ok "refused: $what" "$found"; fi
done
fails_with "shard_table() refuses them alike" 'kept_refused' run -c "SELECT shard_table('refused', $hash)"

# Altered while it runs: ended by name, or as it is then -----------------------------------------------------------------------------
run -c 'CREATE TABLE moved (id int PRIMARY KEY, n int)' -c 'INSERT INTO moved SELECT g, g FROM generate_series(1, 200) AS g'
altered() { # NAME PATTERN STATEMENT
    begin_at cutting_over moved hash '{id}' '{"modulus": 2}'
    run -c "$3" >/dev/null
    release
    same "$1: it ends" failed "$(wait_for "$id")"
    same "$1: with the reason" t "$(run -c "SELECT error ~ '$2' FROM presplit.operations WHERE operation_id = $id")"
}
altered "a new column" 'olumn public.moved.more is new' 'ALTER TABLE moved ADD COLUMN more int'
altered "a new index" 'ndex public.moved_n_idx is new' 'CREATE INDEX ON moved (n)'
altered "another name" 'name|altered' 'ALTER TABLE moved RENAME TO removed'
run -c 'ALTER TABLE removed RENAME TO moved'
altered "a user of its row type" 'row|function|lost' 'CREATE FUNCTION of_moved(moved) RETURNS int LANGUAGE sql AS $$SELECT 1$$'
run -c 'DROP FUNCTION of_moved'
same "nothing of them is left" '' "$(run -c "SELECT relname FROM pg_class WHERE relname ~ '^moved.*(presplit|_s0)'")"
altered "it is dropped" '.' 'DROP TABLE moved'
same "nothing of it is left" '' "$(run -c "SELECT relname FROM pg_class WHERE relname ~ '^moved'")"

# Sessions that go on across the swap -------------------------------------------------------------------------------------------------
run -c 'CREATE TABLE open (id int PRIMARY KEY, n int)' -c 'INSERT INTO open SELECT g, 0 FROM generate_series(1, 1000) AS g'
mkfifo "$tmp/session"
psql -qAtX <"$tmp/session" >"$tmp/session.out" 2>&1 &
session=$!
exec 8>"$tmp/session"
echo "PREPARE one AS SELECT n FROM open WHERE id = \$1; PREPARE two AS UPDATE open SET n = n + 1 WHERE id = \$1; EXECUTE one(1); EXECUTE two(1); EXECUTE one(1); EXECUTE one(1); EXECUTE one(1); EXECUTE one(1); EXECUTE one(1);
BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT id FROM open ORDER BY id; FETCH 2 FROM c; COMMIT;" >&8
becomes "a session has used the table" t table_kinds 10 -d kinds -c 'SELECT n = 1 FROM open WHERE id = 1'
for to in 'hash {id} {"modulus":2}' 'range {id} {"split_points":["500"]}' 'none {} {}'; do
    read -r strategy key bounds <<<"$to"
    done_as "used by others: $strategy" open "$strategy" "$key" "$bounds"
    echo "EXECUTE two(1); EXECUTE one(1); FETCH 1 FROM c;" >&8
done
exec 8>&-
wait "$session" || true
same "prepared statements and a held cursor go on" '0 1 1 1 1 1 1 2 2 3 3 4 4 5' "$(tr '\n' ' ' <"$tmp/session.out" | sed 's/ $//')"
mkfifo "$tmp/reader"
psql -qAtX <"$tmp/reader" >"$tmp/reader.out" 2>&1 &
session=$!
exec 8>"$tmp/reader"
echo "BEGIN; DECLARE c CURSOR FOR SELECT id FROM open ORDER BY id; FETCH 2 FROM c;" >&8
becomes "a transaction reads it" t table_kinds 10 -d kinds -c "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'idle in transaction'"
id=$(begin open hash '{id}' '{"modulus": 2}')
becomes "an open cursor is waited for" t table_kinds 30 -d kinds -c "SELECT waiting_for IS NOT NULL FROM presplit.operations WHERE operation_id = $id AND phase = 'cutting_over'"
echo "FETCH 1 FROM c; COMMIT;" >&8
exec 8>&-
wait "$session" || true
same "and reads on" '1 2 3' "$(tr '\n' ' ' <"$tmp/reader.out" | sed 's/ $//')"
same "then it is replaced" done "$(wait_for "$id")"

log_is_clean table_kinds tests/server/allow/reshard_table_kinds
cluster_stop table_kinds immediate
exit "$CHECKS_FAILED"
