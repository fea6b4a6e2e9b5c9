#!/usr/bin/env bash
# check_restore reads a dump and says beforehand what pg_restore will do: for each construct that cannot be restored
# in shards it reports an error exactly if pg_restore fails, and what it passes is restored with exit status 0.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start refusals "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "wal_level = logical"
cluster_use refusals
tmp=$(cluster_tmp refusals)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE source' -c 'CREATE DATABASE target'
run -d target -c 'CREATE EXTENSION pg_presplit' -c "ALTER DATABASE target SET client_min_messages = warning"

# One line for each case: what is foretold (passes or refused), unique_policy, name, and the statements that follow
# CREATE TABLE t (id int NOT NULL, k int NOT NULL, a int, during int4range, day date), which is sharded by hash of k.
# WHOLE in a name: the statements make t themselves. DAY: it is sharded by day.
cases() {
    cat <<'CASES'
passes  strict    key               ALTER TABLE t ADD PRIMARY KEY (id, k); CREATE INDEX ON t (a); CREATE UNIQUE INDEX ON t (k);
refused strict    primary           ALTER TABLE t ADD PRIMARY KEY (id);
passes  extend    primary_ext       ALTER TABLE t ADD PRIMARY KEY (id);
passes  per_shard primary_per       ALTER TABLE t ADD PRIMARY KEY (id);
refused strict    uniq              ALTER TABLE t ADD UNIQUE (id, a);
refused strict    uniq_index        CREATE UNIQUE INDEX ON t (id, a);
refused strict    uniq_expression   CREATE UNIQUE INDEX ON t ((a + 1));
passes  strict    expression        CREATE UNIQUE INDEX ON t ((a + 1), k);
passes  extend    uniq_ext          CREATE UNIQUE INDEX ON t ((a + 1)); ALTER TABLE t ADD UNIQUE (a) DEFERRABLE;
refused extend    referenced_ext    ALTER TABLE t ADD PRIMARY KEY (id); CREATE TABLE r (t int REFERENCES t);
refused per_shard referenced_per    ALTER TABLE t ADD UNIQUE (a); CREATE TABLE r (t int REFERENCES t (a));
passes  extend    referenced_key    ALTER TABLE t ADD UNIQUE (k); ALTER TABLE t ADD PRIMARY KEY (id); CREATE TABLE r (t int REFERENCES t (k));
refused extend    grouped           ALTER TABLE t ADD PRIMARY KEY (id); CREATE VIEW v AS SELECT id, a FROM t GROUP BY id;
refused per_shard grouped_per       ALTER TABLE t ADD PRIMARY KEY (id); CREATE VIEW v AS SELECT id, a FROM t GROUP BY id;
passes  strict    grouped_key       ALTER TABLE t ADD PRIMARY KEY (id, k); CREATE VIEW v AS SELECT id, k, a FROM t GROUP BY id, k;
passes  extend    grouped_all       ALTER TABLE t ADD PRIMARY KEY (id); CREATE VIEW v AS SELECT id, a FROM t GROUP BY id, a;
refused extend    grouped_matview   ALTER TABLE t ADD PRIMARY KEY (id); CREATE MATERIALIZED VIEW v AS SELECT x.a FROM (SELECT id, a FROM t GROUP BY id) AS x;
refused per_shard grouped_function  ALTER TABLE t ADD PRIMARY KEY (id); CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql BEGIN ATOMIC SELECT a FROM t GROUP BY id; END;
refused extend    grouped_rule      ALTER TABLE t ADD PRIMARY KEY (id); CREATE TABLE r (x int); CREATE RULE w AS ON INSERT TO r DO ALSO SELECT a FROM t GROUP BY id;
refused extend    grouped_policy    ALTER TABLE t ADD PRIMARY KEY (id); CREATE TABLE r (x int); CREATE POLICY p ON r USING (x IN (SELECT t.a FROM t GROUP BY t.id));
passes  extend    grouped_early     ALTER TABLE t ADD PRIMARY KEY (id); CREATE MATERIALIZED VIEW v AS SELECT id, a FROM t GROUP BY id, a; CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql BEGIN ATOMIC SELECT a FROM t GROUP BY id, a; END;
refused extend    nullable          ALTER TABLE t ALTER k DROP NOT NULL; ALTER TABLE t ADD PRIMARY KEY (id); INSERT INTO t (id) VALUES (1);
passes  per_shard nullable_per      ALTER TABLE t ALTER k DROP NOT NULL; ALTER TABLE t ADD PRIMARY KEY (id); INSERT INTO t (id) VALUES (1);
refused per_shard conflict_per      ALTER TABLE t ADD CONSTRAINT c UNIQUE (a); CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC INSERT INTO t (id, k) VALUES (1, 1) ON CONFLICT ON CONSTRAINT c DO NOTHING; END;
passes  extend    conflict_ext      ALTER TABLE t ADD CONSTRAINT c UNIQUE (a); CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC INSERT INTO t (id, k) VALUES (1, 1) ON CONFLICT ON CONSTRAINT c DO NOTHING; END;
passes  per_shard conflict_text     ALTER TABLE t ADD CONSTRAINT c UNIQUE (a); CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO t (id, k) VALUES (1, 1) ON CONFLICT ON CONSTRAINT c DO NOTHING; END';
passes  per_shard spoken_of         ALTER TABLE t ADD CONSTRAINT c UNIQUE (a); COMMENT ON CONSTRAINT c ON t IS 'x'; COMMENT ON INDEX c IS 'y'; ALTER TABLE t CLUSTER ON c; CREATE UNIQUE INDEX i ON t ((a + 1)); ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 7;
passes  per_shard identity_per      CREATE UNIQUE INDEX i ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX i;
passes  extend    identity_ext      CREATE UNIQUE INDEX i ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX i;
refused extend    identity_null     ALTER TABLE t ALTER k DROP NOT NULL; CREATE UNIQUE INDEX i ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX i;
refused strict    excluded          ALTER TABLE t ADD EXCLUDE USING gist (during WITH &&);
passes  per_shard excluded_per      ALTER TABLE t ADD EXCLUDE USING gist (during WITH &&);
refused strict    transition        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER g AFTER UPDATE ON t REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION f();
passes  strict    transition_once   CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER g AFTER UPDATE ON t REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION f();
refused strict    parent            CREATE TABLE child (x int) INHERITS (t);
refused strict    child_WHOLE       CREATE TABLE p (id int, k int); CREATE TABLE t () INHERITS (p);
refused strict    partitioned_WHOLE CREATE TABLE t (id int, k int) PARTITION BY LIST (id);
refused strict    view_WHOLE        CREATE VIEW t AS SELECT 1 AS id, 2 AS k;
refused strict    matview_WHOLE     CREATE MATERIALIZED VIEW t AS SELECT 1 AS id, 2 AS k;
refused strict    no_key_WHOLE      CREATE TABLE t (id int, kk int);
refused strict    generated_WHOLE   CREATE TABLE t (id int, k int GENERATED ALWAYS AS (id + 1) STORED);
passes  strict    more_WHOLE        CREATE TABLE t (k int, id int, more text);
refused strict    taken             CREATE TABLE t_s0001 (x int);
refused strict    taken_index       CREATE TABLE r (x int); CREATE INDEX t_s0002 ON r (x);
passes  strict    alone             ALTER TABLE t ADD CHECK (a > 0) NO INHERIT; ALTER TABLE t ADD CHECK (a > 1) NO INHERIT NOT VALID;
passes  strict    not_valid         CREATE TABLE r (x int PRIMARY KEY); INSERT INTO t (id, k) VALUES (1, 1); ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES r NOT VALID;
passes  strict    self_not_valid    ALTER TABLE t ADD PRIMARY KEY (k); INSERT INTO t (id, k, a) VALUES (1, 1, 9); ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES t NOT VALID;
passes  strict    published         CREATE PUBLICATION @ FOR TABLE t (id, k) WHERE (k > 0);
passes  strict    late_WHOLE        CREATE UNLOGGED TABLE t (id int, k int) WITH (fillfactor = 50); ALTER TABLE t SET (toast.autovacuum_enabled = off);
CASES
    if [[ $version -ge 18 ]]; then
        cat <<'CASES'
passes  strict    virtual           ALTER TABLE t ADD v int GENERATED ALWAYS AS (a * 2) VIRTUAL;
refused strict    virtual_WHOLE     CREATE TABLE t (id int, k int GENERATED ALWAYS AS (id + 1) VIRTUAL);
passes  strict    not_enforced      ALTER TABLE t ADD CHECK (a > 5) NOT ENFORCED; CREATE TABLE r (x int PRIMARY KEY); ALTER TABLE t ADD FOREIGN KEY (id) REFERENCES r NOT ENFORCED;
passes  strict    not_null          ALTER TABLE t ADD CONSTRAINT n NOT NULL a NO INHERIT; ALTER TABLE t ADD CONSTRAINT m NOT NULL day NOT VALID;
refused strict    overlaps          ALTER TABLE t ADD room int4range; ALTER TABLE t ADD PRIMARY KEY (room, during WITHOUT OVERLAPS);
refused extend    overlaps_more     ALTER TABLE t ADD room int4range; ALTER TABLE t ADD PRIMARY KEY (room, during WITHOUT OVERLAPS);
passes  per_shard overlaps_apart    ALTER TABLE t ADD room int4range; ALTER TABLE t ADD PRIMARY KEY (room, during WITHOUT OVERLAPS);
refused strict    overlaps_WHOLE    CREATE TABLE t (id int, room int4range, k int4range, PRIMARY KEY (room, k WITHOUT OVERLAPS));
CASES
    fi
}

plain='(id int NOT NULL, k int NOT NULL, a int, during int4range, day date)'
{
    while read -r _ _ name statements; do
        echo "CREATE SCHEMA c_$name; SET search_path = c_$name;"
        [[ $name == *_WHOLE ]] || echo "CREATE TABLE t $plain;"
        echo "${statements//@/refused_$name}"
    done < <(cases)
} | run -d source
# The proposals are made for the plain table, whatever the dump will have.
{
    while read -r _ policy name _; do
        name=c_${name,,}
        echo "CREATE SCHEMA $name;"
        echo "CREATE TABLE $name.t $plain; SET presplit.unique_policy = '$policy';"
        echo "INSERT INTO proposal SELECT '$name', register_proposal('$name.t', 'hash', '{k}', '{\"modulus\": 2}');"
        echo "DROP TABLE $name.t;"
    done < <(cases)
} | { echo 'CREATE TABLE proposal (name text, id bigint);'; cat; } | run -d target
run -d target -c 'SELECT count(*) FROM proposal, create_shards(id)' >/dev/null

one() { # EXPECTED NAME
    local name=c_${2,,} said='' did=passes
    as_cluster_user "$(cluster_bin refusals)/pg_dump" -h "$PGHOST" -U postgres -Fc -n "$name" -f "$tmp/$name" source
    # Publications have no schema.
    [[ $name != c_published ]] || run -d target -c "CREATE PUBLICATION refused_published"
    # Only -n leaves the schema out.
    said=$(run -d target -c "SELECT CASE WHEN count(*) = 0 THEN 'passes' ELSE 'refused' END FROM proposal AS p, check_restore(p.id, '$tmp/$name') AS c
                             WHERE p.name = '$name' AND c.severity = 'error'")
    pg_restore -n "$name" -d target "$tmp/$name" >"$tmp/$name.out" 2>&1 || did=refused
    if [[ $said == "$1" && $did == "$1" ]]; then
        ok "$2 $1"
    else
        not_ok "$2 $1" "check_restore: $said, pg_restore: $did $(head -c 400 "$tmp/$name.out") $(run -d target -c \
            "SELECT c.* FROM proposal AS p, check_restore(p.id, '$tmp/$name') AS c WHERE p.name = '$name' AND c.severity <> 'info'")"
    fi
}
while read -r expected _ name _; do
    one "$expected" "$name" </dev/null >"$tmp/result.$name" &
    while (($(jobs -rp | wc -l) >= 3)); do wait -n || true; done
done < <(cases)
wait
cat "$tmp"/result.*
! grep -q '^not ok' "$tmp"/result.* || CHECKS_FAILED=1
# A key WITHOUT OVERLAPS: what is registered can be made, and nothing is proposed that cannot.
if [[ $version -ge 18 ]]; then
    run -d target <<'SQL'
CREATE SCHEMA temporal;
CREATE TABLE temporal.rooms (room int4range, during daterange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
CREATE TABLE temporal.stays (guest int4range, room int4range, during daterange, FOREIGN KEY (room, PERIOD during) REFERENCES temporal.rooms);
SQL
    fails_with "a column that may not overlap is no shard key" 'Primary key rooms_pkey does not compare during with =' \
        psql -X -d target -c "SELECT register_proposal('temporal.rooms', 'hash', '{during}', '{\"modulus\": 2}')"
    same "a capture tells what is compared" 'rooms_pkey ["room"] stays_room_during_fkey ["room"]' "$(run -d target -c \
        "SELECT string_agg((c->>'name') || ' ' || (c->>'equal_columns'), ' ' ORDER BY c->>'name')
         FROM jsonb_path_query(capture_profile('{temporal.rooms,temporal.stays}'), '\$.tables[*].constraints[*]') AS c")"
    run -d target -c "SELECT import_profile(capture_profile('{temporal.rooms,temporal.stays}'), 'temporal')" >/dev/null
    run -d target -c "SELECT register_proposal('temporal.rooms', 'hash', '{room}', '{\"modulus\": 2}')" >"$tmp/rooms"
    same "the other is one" 2 "$(run -d target -c "SELECT count(*) FROM create_shards($(cat "$tmp/rooms"))")"
    run -d target -c 'DROP TABLE temporal.stays' -c 'DROP TABLE temporal.rooms'
    run -d target -c "SELECT proposal_ddl($(cat "$tmp/rooms"))" >"$tmp/rooms.sql"
    succeeds "and is written down as it was" psql -X -v ON_ERROR_STOP=1 -d target -f "$tmp/rooms.sql"
    same "with what may not overlap" 'PRIMARY KEY (room, during WITHOUT OVERLAPS)' "$(run -d target -c \
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'temporal.rooms'::regclass AND contype = 'p'")"
fi
# What was refused is not there whole, and nothing else is wrong.
same "nothing armed is there whole" "" "$(run -d target -c \
    "SELECT c.oid::regclass FROM pg_class AS c JOIN proposal AS p ON p.name = c.relnamespace::regnamespace::text WHERE c.relname = 't' AND c.relkind <> 'p'")"
same "no index is invalid" "" "$(run -d target -c "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid")"


# Two restores of the same table at once: one of them makes it, in shards, and the other changes nothing.
run -d source <<'SQL'
CREATE SCHEMA race;
CREATE TABLE race.t (id int PRIMARY KEY, v text);
INSERT INTO race.t SELECT g, repeat('x', 100) FROM generate_series(1, 20000) AS g;
SQL
as_cluster_user "$(cluster_bin refusals)/pg_dump" -h "$PGHOST" -U postgres -Fc -n race -f "$tmp/race" source
run -d target <<'SQL'
CREATE SCHEMA race;
CREATE TABLE race.t (id int PRIMARY KEY, v text);
SELECT register_proposal('race.t', 'hash', '{id}', '{"modulus": 4}') AS id \gset
DROP TABLE race.t;
SELECT count(*) > 0 AS armed FROM create_shards(:id);
CREATE ROLE nobody_here LOGIN;
SQL
# Without rights there is no table, neither whole nor in shards.
fails_with "a role without rights makes nothing" 'permission denied for schema race' \
    pg_restore --exit-on-error -U nobody_here -n race -d target "$tmp/race"
same "and nothing is there" "t" "$(run -d target -c "SELECT to_regclass('race.t') IS NULL")"
statuses=()
for _ in 1 2; do pg_restore --single-transaction -n race -d target "$tmp/race" >>"$tmp/race.out" 2>&1 & done
for job in $(jobs -p); do
    wait "$job" && statuses+=(0) || statuses+=(1)
done
same "of two restores at once one succeeds" "0 1" "$(printf '%s\n' "${statuses[@]}" | sort | xargs)"
same "its rows are there once, in all shards" "20000|4" "$(run -d target -c \
    "SELECT (SELECT count(*) FROM race.t), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'race.t'::regclass)")"
same "a search_path does not matter" "42P07" "$(run -d target -v VERBOSITY=sqlstate -c 'SET search_path = race' -c 'CREATE TABLE t (id int)' 2>&1 | grep -oE '42P07' || true)"

exit "$CHECKS_FAILED"
