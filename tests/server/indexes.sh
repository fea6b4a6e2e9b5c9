#!/usr/bin/env bash
# Indexes and keys of a sharded table, built on several shards at once, against those that PostgreSQL builds alone on a
# twin: the same names, definitions, contents, errors. Then everything that can end the statement: nothing is left of it.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start indexes "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'nothing'" \
    "autovacuum = off" "max_worker_processes = 12" "min_parallel_table_scan_size = '64kB'" "wal_level = minimal" "max_wal_senders = 0"
cluster_use indexes
tmp=$(cluster_tmp indexes)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE shards' -c 'CREATE ROLE keeper' -c 'CREATE ROLE stranger'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit' -c 'CREATE SCHEMA here' -c 'CREATE SCHEMA there' \
    -c 'GRANT ALL ON SCHEMA here, there TO keeper' -c 'GRANT USAGE ON SCHEMA here, there TO stranger'

# sharded NAME COLUMNS STRATEGY KEY BOUNDS: an armed table in both schemas.
sharded() {
    local schema
    for schema in here there; do
        run >/dev/null <<SQL
SET search_path = $schema, public;
CREATE TABLE $1 ($2);
CREATE TEMP TABLE made AS SELECT register_proposal('$schema.$1', '$3', '$4', '$5') AS id;
DROP TABLE $1;
SELECT count(*) FROM create_shards((SELECT id FROM made));
CREATE ${6:-} TABLE $1 ($2);
SQL
    done
}
way() { # SCHEMA STATEMENT...: all that psql prints, every field of an error
    local schema=$1 workers=2
    shift
    [[ $schema == here ]] || workers=0
    {
        echo "SET search_path = $schema, public; SET max_parallel_maintenance_workers = $workers;"
        printf '\\set VERBOSITY verbose\n\\set SHOW_CONTEXT always\n'
        printf '%s;\n' "$@"
    } | psql -qAtX 2>&1 | sed -E "s/\b$schema\./SCHEMA./g; s/^(SCHEMA NAME:  )$schema/\1SCHEMA/; s/psql:<stdin>:[0-9]+: //; /^LOCATION:/d; /^CONTEXT:  parallel worker$/d" || true
}
dump() { pg_dump -s -n "$1" | sed "s/\b$1\b/SCHEMA/g; /^\\\\\(un\)\?restrict/d"; }
# Of each index what a dump does not tell.
catalog() {
    run -c "SELECT c.relname, i.indisunique, i.indisprimary, i.indisvalid, i.indisready, i.indcheckxmin, p.inhparent::regclass::text <> '' AS attached,
                   con.contype, con.conislocal, con.coninhcount, c.reltuples, replace(pg_get_indexdef(c.oid), '$1.', ''), pg_get_constraintdef(con.oid)
            FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid LEFT JOIN pg_inherits AS p ON p.inhrelid = c.oid
            LEFT JOIN pg_constraint AS con ON con.conindid = c.oid AND con.contype IN ('p', 'u')
            WHERE c.relnamespace = '$1'::regnamespace ORDER BY 1"
}
note() { # TABLE: how its last index was built
    run -c "SELECT note FROM presplit.restore_report WHERE relation = 'here.$1' AND note LIKE 'indexes %' ORDER BY at DESC LIMIT 1"
}
# twins NAME NOTE TABLE STATEMENT...: the same happens to both, with that note on the one.
twins() {
    local name=$1 expected=$2 table=$3 here there
    shift 3
    run -c "TRUNCATE presplit.restore_log"
    here=$(way here "$@")
    there=$(way there "$@")
    same "$name: as PostgreSQL's own" "$there" "$here"
    same "$name: the same in the catalog" "$(catalog there)" "$(catalog here)"
    same "$name: how" "$expected" "$(note "$table")"
}
none_left() { # NAME TABLE: no index but those that were there
    same "$1: nothing is left" "${3:-0}" "$(run -c "SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
        WHERE c.relnamespace = 'here'::regnamespace AND c.relname LIKE '$2%'")"
}
both='indexes of 8 shards built by 2 processes'

# Every kind of index ----------------------------------------------------------------------------------------------
sharded t "gone int, id bigint NOT NULL, name text NOT NULL, at timestamptz, place point, tags text[], amount int, body jsonb" \
    hash '{id}' '{"modulus": 8}'
for schema in here there; do
    run -c "ALTER TABLE $schema.t DROP COLUMN gone" -c "INSERT INTO $schema.t
        SELECT n, md5(n::text), '2026-01-01'::timestamptz + n * interval '1 minute', point(n, -n), ARRAY[(n % 7)::text, 'x'], n % 1000,
               jsonb_build_object('n', n % 10) FROM generate_series(1, 40000) AS n"
done
twins "primary key" "$both" t 'ALTER TABLE ONLY t ADD CONSTRAINT t_pkey PRIMARY KEY (id)'
twins "unique key with included columns" "$both" t 'ALTER TABLE ONLY t ADD CONSTRAINT by_name UNIQUE (name, id) INCLUDE (amount)'
twins "unique index" "$both" t 'CREATE UNIQUE INDEX one ON t (id, at DESC NULLS LAST)'
twins "index without a name" "$both" t 'CREATE INDEX ON t (amount)' 'CREATE INDEX ON t (amount)'
for method in hash gin gist spgist brin; do
    case $method in hash) on='(name)' ;; gin) on='(tags)' ;; gist | spgist) on='(place)' ;; brin) on='(at)' ;; esac
    twins "$method" "$both" t "CREATE INDEX by_$method ON t USING $method $on"
done
twins "an operator class, options, a storage parameter" "$both" t "CREATE INDEX by_path ON t USING gin (body jsonb_path_ops) WITH (fastupdate = off)" \
    "CREATE INDEX by_pattern ON t (name text_pattern_ops DESC, at) WITH (fillfactor = 70)"
same "all rows are found by each" "$(run -c 'SET enable_indexscan = off' -c 'SET enable_bitmapscan = off' -c 'SET enable_indexonlyscan = off' \
    -c "SELECT count(*), sum(id) FROM here.t WHERE amount = 7 OR name > 'f' OR tags @> '{3}' OR place <@ box '(0,0),(500,-500)'")" \
    "$(run -c 'SET enable_seqscan = off' -c "SELECT count(*), sum(id) FROM here.t WHERE amount = 7 OR name > 'f' OR tags @> '{3}' OR place <@ box '(0,0),(500,-500)'")"
if run -c 'CREATE EXTENSION amcheck' 2>"$tmp/amcheck"; then
    same "amcheck finds nothing in any btree, and every row" t "$(run -c "SELECT count(*) > 30 FROM (
        SELECT bt_index_parent_check(i.indexrelid, true) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'here'::regnamespace AND c.relkind = 'i' AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')) AS x")"
fi
twins "an expression is left to PostgreSQL" 'indexes built one shard after the other, because it has an expression or a condition' t \
    'CREATE INDEX by_expression ON t (lower(name))'
twins "a condition too" 'indexes built one shard after the other, because it has an expression or a condition' t \
    'CREATE INDEX by_condition ON t (name) WHERE amount = 5'
twins "a deferrable key too" 'indexes built one shard after the other, because the constraint is deferrable' t \
    'ALTER TABLE ONLY t ADD CONSTRAINT later UNIQUE (id, amount) DEFERRABLE'
twins "what PostgreSQL refuses is refused in its words" '' t 'CREATE INDEX bad ON t (nothing)' \
    'ALTER TABLE ONLY t ADD CONSTRAINT again PRIMARY KEY (id)' 'CREATE INDEX one ON t (amount)' 'SET ROLE stranger' 'CREATE INDEX mine ON t (amount)' \
    'ALTER TABLE ONLY t ADD CONSTRAINT mine UNIQUE (id)'
run -c "CREATE FUNCTION public.look() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN DROP INDEX IF EXISTS seen; END'" \
    -c "CREATE EVENT TRIGGER look ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION public.look()"
twins "an event trigger sees what the statement does" 'indexes built one shard after the other, because an event trigger or another library is to see the statement' t \
    'CREATE INDEX seen ON t (at)'
run -c 'DROP EVENT TRIGGER look'
twins "without memory for two" 'indexes built one shard after the other, because maintenance_work_mem is less than 64MB' t \
    "SET maintenance_work_mem = '63MB'" 'CREATE INDEX little ON t (at)'
twins "without a worker to be had" 'indexes of 8 shards built by the session, because no parallel worker was free' t 'SET max_parallel_workers = 0' 'CREATE INDEX alone ON t (at)'
run -c 'CREATE INDEX mine ON here.t_s0003 (at)' -c 'CREATE INDEX mine ON there.t_s0003 (at)'
twins "an index of a shard's own is adopted as always" 'indexes built one shard after the other, because a shard has an index of its own that may be meant' t \
    'CREATE INDEX adopting ON t (at)'

# In a transaction, and on tables of all kinds ------------------------------------------------------------------
sharded many "id bigint NOT NULL, v text, w int" range '{id}' '{"split_points": ["1000", "2000", "3000", "30000"]}'
rows="INSERT INTO many SELECT n % 4000, md5(n::text), 0 FROM generate_series(1, 20000) AS n"
twins "rows of the same transaction" 'indexes of 6 shards built by 2 processes' many 'BEGIN' "$rows" 'SAVEPOINT s' \
    'CREATE INDEX a ON many (v)' 'ROLLBACK TO s' 'CREATE INDEX b ON many (v)' 'DELETE FROM many WHERE id < 100' 'CREATE INDEX c ON many (v)' 'COMMIT' \
    'SET enable_seqscan = off' "SELECT count(*) FROM many WHERE v > '8'"
twins "rows that were changed in place" 'indexes of 6 shards built by 2 processes' many 'VACUUM many' 'BEGIN' 'DELETE FROM many WHERE id % 2 = 0' 'COMMIT' \
    'VACUUM many' 'BEGIN' 'UPDATE many SET w = id % 7 WHERE id % 3 = 0' 'CREATE INDEX d ON many (w)' 'COMMIT' 'SET enable_seqscan = off' \
    'SELECT count(*) FROM many WHERE w < 3'
same "as the last statement says of its indexes" 4 "$(run -c "SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indcheckxmin AND c.relkind = 'i' AND c.relname LIKE 'many%w_idx' AND c.relnamespace = 'here'::regnamespace")"
sharded skewed "id bigint NOT NULL, v text" range '{id}' '{"split_points": ["1000", "2000"]}'
twins "a shard with most of the rows is left to PostgreSQL" 'indexes of 3 shards built by 2 processes' skewed \
    "INSERT INTO skewed SELECT CASE WHEN n % 10 = 0 THEN n % 1000 WHEN n % 10 = 1 THEN 1500 ELSE 5000 END, md5(n::text) FROM generate_series(1, 30000) AS n" \
    'CREATE INDEX ON skewed (v)'
sharded deep "id bigint NOT NULL, part int NOT NULL" range_hash '{id,part}' '{"split_points": ["1000", "2000"], "modulus": 4, "default": false}'
twins "two levels, with an index of a part" 'indexes built one shard after the other, because shards are divided again' deep \
    "INSERT INTO deep SELECT n % 3000, n FROM generate_series(1, 60000) AS n" 'CREATE INDEX ON deep_b0001 (part)' 'CREATE INDEX ON deep (part)'
twins "two levels, with a key of a part" 'indexes built one shard after the other, because shards are divided again' deep \
    'ALTER TABLE deep_b0001 ADD PRIMARY KEY (id, part)' 'ALTER TABLE ONLY deep ADD CONSTRAINT deep_key PRIMARY KEY (id, part)'
sharded quick "id bigint NOT NULL, v text" hash '{id}' '{"modulus": 8}' UNLOGGED
twins "unlogged shards" "$both" quick "INSERT INTO quick SELECT n, md5(n::text) FROM generate_series(1, 20000) AS n" \
    'ALTER TABLE ONLY quick ADD CONSTRAINT quick_pkey PRIMARY KEY (id)'
twins "another owner" "$both" quick 'ALTER TABLE quick OWNER TO keeper' 'SET ROLE keeper' 'CREATE INDEX of_keeper ON quick (v)'
sharded small "id bigint NOT NULL" hash '{id}' '{"modulus": 8}'
twins "of small shards nothing is said" '' small 'INSERT INTO small VALUES (1), (2)' 'ALTER TABLE ONLY small ADD CONSTRAINT small_pkey PRIMARY KEY (id)'

same "a dump tells no difference" "$(dump there)" "$(dump here)"

# Two at once, as pg_restore -j sends them.
sharded pair "id bigint NOT NULL, v text, w text" hash '{id}' '{"modulus": 8}'
run -c "INSERT INTO here.pair SELECT n, md5(n::text), md5((-n)::text) FROM generate_series(1, 40000) AS n" -c "INSERT INTO there.pair TABLE here.pair"
for column in v w; do
    psql -qX -v ON_ERROR_STOP=1 -c "SET search_path = here, public" -c "CREATE INDEX pair_$column ON here.pair ($column)" >"$tmp/$column" 2>&1 &
    run -c "CREATE INDEX pair_$column ON there.pair ($column)"
done
wait
same "two at once" "$(catalog there)" "$(catalog here)"

# A duplicate ------------------------------------------------------------------------------------------------------
sharded twice "id bigint NOT NULL, v text" hash '{id}' '{"modulus": 8}'
for schema in here there; do
    run -c "INSERT INTO $schema.twice SELECT n, md5(n::text) FROM generate_series(1, 40000) AS n" -c "INSERT INTO $schema.twice VALUES (777, 'again')"
done
same "a duplicate: PostgreSQL's own error" "$(way there 'ALTER TABLE ONLY twice ADD CONSTRAINT twice_pkey PRIMARY KEY (id)')" \
    "$(way here 'ALTER TABLE ONLY twice ADD CONSTRAINT twice_pkey PRIMARY KEY (id)')"
none_left "a duplicate" twice
twins "names and columns are refused before rows are" '' twice 'CREATE UNIQUE INDEX one ON twice (id)' \
    'ALTER TABLE ONLY twice ADD CONSTRAINT one UNIQUE (id)' 'ALTER TABLE ONLY twice ADD UNIQUE (id, id)'
run -c "DELETE FROM here.twice WHERE v = 'again'"
# From 18 on PostgreSQL itself waits for readers of all shards.
if ((version < 18)); then
    shard=$(run -c "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'here.twice'::regclass LIMIT 1")
    psql -qX -c BEGIN -c "SELECT count(*) FROM $shard" -c 'SELECT pg_sleep(60)' >/dev/null 2>&1 &
    reader=$!
    becomes "a session that has read a shard" 1 indexes 20 -d shards -c "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
    succeeds "is not waited for by a unique key" psql -qX -v ON_ERROR_STOP=1 -c "SET lock_timeout = '5s'" -c 'ALTER TABLE ONLY here.twice ADD CONSTRAINT twice_id UNIQUE (id)'
    same "which is built together" "$both" "$(note twice)"
    run -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'" >/dev/null
    wait "$reader" || true
fi

# Whatever ends it -------------------------------------------------------------------------------------------------
sharded big "id bigint NOT NULL, v text" hash '{id}' '{"modulus": 8}'
run -c "INSERT INTO here.big SELECT n, md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text) FROM generate_series(1, 1000000) AS n" -c 'CHECKPOINT'
ended() { # NAME: ends what runs; the statement runs when it is called
    psql -qX -c "SET client_min_messages = fatal" -c 'CREATE INDEX big_v ON here.big (v)' >"$tmp/ended" 2>&1 &
    statement=$!
    becomes "$1: a worker runs" t indexes 20 -d shards -c "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'"
}
ended "a cancel"
run -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX big%' AND backend_type = 'client backend'" >/dev/null
wait "$statement" || true
none_left "a cancel" big
ended "the session ended"
run -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX big%' AND backend_type = 'client backend'" >/dev/null
wait "$statement" || true
becomes "the session ended: no worker stays" 0 indexes 20 -d shards -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'"
none_left "the session ended" big
ended "a worker ended"
run -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker'" >/dev/null
wait "$statement" || true
none_left "a worker ended" big
for who in "'parallel worker'" "'client backend' AND query LIKE 'CREATE INDEX big%'"; do
    ended "kill -9 of $who"
    # shellcheck disable=SC2046
    kill -9 $(run -c "SELECT pid FROM pg_stat_activity WHERE backend_type = $who") || true
    wait "$statement" || true
    becomes "kill -9 of $who: the server is back" 1 indexes 60 -d shards -c 'SELECT 1'
    none_left "kill -9 of $who" big
done
run -c 'CREATE INDEX big_v ON here.big (v)'
same "afterwards it can be built" 'indexes of 8 shards built by 2 processes' "$(note big)"
# With wal_level = minimal new files are not in the log.
run -c 'BEGIN' -c 'TRUNCATE here.big' -c "INSERT INTO here.big SELECT n, md5(n::text) FROM generate_series(1, 40000) AS n" \
    -c 'ALTER TABLE ONLY here.big ADD CONSTRAINT big_pkey PRIMARY KEY (id)' -c 'COMMIT'
cluster_kill indexes
cluster_up indexes
same "after a crash the new indexes are whole" 40000 "$(run -c 'SET enable_seqscan = off' -c "SELECT count(*) FROM here.big WHERE id > 0")"
same "and those of unlogged tables are empty" 0 "$(run -c 'SET enable_seqscan = off' -c "SELECT count(*) FROM here.quick WHERE id > 0")"
same "no index is invalid" 0 "$(run -c 'SELECT count(*) FROM pg_index WHERE NOT indisvalid')"

log_is_clean indexes "$(dirname "$0")/allow/indexes"
exit $CHECKS_FAILED
