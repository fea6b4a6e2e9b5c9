#!/usr/bin/env bash
# COPY into a sharded table, batched by shard in the session, against PostgreSQL's own COPY into a twin of it: the same
# rows in the same shards in the same order, the same command tag, and the same errors to the last word. Then what goes
# wrong from outside: cancel, kill -9, a full disk, a client that goes away; and memory.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
. "$(dirname "$0")/../lib/twins.sh"
version=$1

cluster_start load "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "autovacuum = off" "presplit.load_workers_min_size = -1" \
    "max_locks_per_transaction = 512" "max_connections = 30" "full_page_writes = off"
cluster_use load
tmp=$(cluster_tmp load)
run -d postgres -c 'CREATE DATABASE load' -c 'CREATE ROLE loader' -c 'CREATE ROLE keeper' -c 'CREATE ROLE peeper'
export PGDATABASE=load
run -c 'CREATE EXTENSION pg_presplit'
TWIN=batch
run <<'SQL'
CREATE SCHEMA batch;
CREATE SCHEMA root;
CREATE TYPE mood AS ENUM ('sad', 'so so', 'glad');
CREATE TYPE pair AS (x int, "y y" text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE FUNCTION pure_even(i int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN i % 2 = 0; END';
CREATE FUNCTION now_and_then() RETURNS text LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN ''fixed''; END';
GRANT USAGE ON SCHEMA batch, root TO loader, keeper, peeper;
SQL

# twins NAME TABLE TIER: the script on standard input does the same to both; TIER is batched, error, or a word of the
# reason why PostgreSQL routes the rows itself.
twins() {
    local name=$1 tier=$3 here there note differences
    compare_twins "$2"
    if [[ $here != "$there" ]]; then
        not_ok "$name" "$(diff <(echo "$there") <(echo "$here") | head -n 20)"
    elif [[ -n $differences ]]; then
        not_ok "$name" "rows differ: $differences"
    elif [[ $tier == error ]]; then
        if grep -qE '^(ERROR|FATAL)' <<<"$here"; then ok "$name"; else not_ok "$name" "no error: $here"; fi
    elif grep -qE '^(ERROR|FATAL)' <<<"$here"; then
        not_ok "$name" "$here"
    elif [[ $tier == batched && $note != 'batched by shard in the session'* ]] || [[ $tier != batched && $note != *"$tier"* ]]; then
        not_ok "$name" "it was $note"
    else
        ok "$name"
    fi
}

# Every type and format -------------------------------------------------------------------------------------------
sharded t "id int NOT NULL, name text DEFAULT 'nobody', at timestamptz NOT NULL DEFAULT '2024-01-01', amount numeric(12,2), tags text[],
    body jsonb, raw bytea, rank positive, mood mood, pair pair, flag boolean DEFAULT true, twice int GENERATED ALWAYS AS (id * 2) STORED,
    CONSTRAINT amount_positive CHECK (amount >= 0), CONSTRAINT never_thirteen CHECK (tableoid::regclass::text <> '' AND id <> 13)" \
    hash '{id}' '{"modulus": 8}'
row() { # FROM TO: rows in text format
    run -c "COPY (SELECT i AS id, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN E'tab\\tback\\\\slash\\nline' ELSE 'n' || i END AS name,
        timestamptz '2024-01-01' + i * interval '1 hour' AS at, CASE WHEN i % 3 > 0 THEN i END::numeric AS amount, ARRAY['a', NULL, i::text] AS tags,
        jsonb_build_object('k', i) AS body, decode(md5(i::text), 'hex') AS raw, i % 9 + 1 AS rank, mood 'so so' AS mood, ROW(i, 'q\"')::pair AS pair, i % 2 = 0 AS flag
        FROM generate_series($1, $2) AS i) TO STDOUT ${3:-}"
}
columns="id, name, at, amount, tags, body, raw, rank, mood, pair, flag"
{ echo "COPY t ($columns) FROM STDIN;"; row 20 3000; echo '\.'; } | twins "text" t batched
same "rows of a shard keep their order" 0 "$(run -c "SELECT count(*) FROM (SELECT id < lag(id) OVER (PARTITION BY tableoid ORDER BY ctid) AS back FROM batch.t) AS s WHERE back")"
{ echo "COPY t (flag, id) FROM STDIN;"; printf 't\t1\nf\t2\n\\N\t3\n\\.\n'; } | twins "a column list in another order, defaults" t batched
{ echo "COPY t ($columns) FROM STDIN WITH (FORMAT csv, HEADER match);"; row 1 12 "WITH (FORMAT csv, HEADER)"; echo '\.'; } | twins "CSV, the header has to match" t batched
{ echo "COPY t (id, name) FROM STDIN WITH (FORMAT csv, NULL 'null', DELIMITER ';', QUOTE '''', ESCAPE '#', FORCE_NOT_NULL (name));"
    printf "1;null\n2;'a\n#'b;'\n3;\n\\.\n"; } | twins "CSV with options of its own" t batched
{ echo "COPY t (id, name) FROM STDIN WITH (FORMAT csv, FORCE_NULL (name));"; printf '1,""\n2,x\n\\.\n'; } | twins "CSV, FORCE_NULL" t batched
{ echo "COPY t (id, name) FROM STDIN WITH (DELIMITER '|', NULL '');"; printf '1|\n2|a\\|b\n3|\\x41\\101\n\\.\n'; } | twins "text with options of its own" t batched
printf 'COPY t (id, name) FROM STDIN;\n1\ta\r\n2\tb\r\n\\.\r\n' | twins "CRLF" t batched
printf 'COPY t (id, name) FROM STDIN;\n\\.\n' | twins "nothing" t batched
row 4000 4050 "WITH (FORMAT binary)" >"$tmp/binary"
chmod a+r "$tmp/binary"
echo "COPY t ($columns) FROM '$tmp/binary' WITH (FORMAT binary);" | twins "binary, from a file" t batched
echo "\\copy t ($columns) FROM '$tmp/binary' WITH (FORMAT binary)" | twins "binary, from the client" t batched
echo "COPY t (id, name) FROM PROGRAM 'printf \"5\\ta\\n6\\tb\\n\"';" | twins "a program" t batched
printf "SET client_encoding = 'LATIN1';\nCOPY t (id, name) FROM STDIN;\n7\t\xe9\xfc\n\\.\nRESET client_encoding;\n" | twins "another encoding of the client" t batched
printf "COPY t (id, name) FROM STDIN WITH (ENCODING 'LATIN1');\n8\t\xe9\n\\.\n" | twins "another encoding by an option" t batched
printf "PREPARE p AS SELECT 1;\nBEGIN;\nSAVEPOINT a;\nCOPY t (id) FROM STDIN;\n1\nx\n\\.\nROLLBACK TO a;\nCOPY t (id) FROM STDIN;\n2\n\\.\nSAVEPOINT b;\nCOPY t (id) FROM STDIN;\n3\n\\.\nCOMMIT;\n" >"$tmp/sub.sql"
twins "in subtransactions, after an error" t error <"$tmp/sub.sql"
same "rows of both good ones are there" 2 "$(run -c "SELECT count(*) FROM (SELECT id FROM batch.t WHERE name = 'nobody' AND id IN (2, 3) GROUP BY id) AS s")"
if ((version >= 16)); then
    printf "COPY t (id, name, flag) FROM STDIN WITH (DEFAULT '\\\\D');\n1\t\\D\t\\D\n2\tx\tf\n\\.\n" | twins "the DEFAULT marker" t batched
fi

# Errors ----------------------------------------------------------------------------------------------------------
bad() { # NAME: "COPY … \n rows" by printf
    printf 'COPY t (id, name, amount, rank) FROM STDIN%s;\n%b\\.\n' "${3:-}" "$2" | twins "$1" t error
}
bad "a bad value in the first row" 'x\ta\t1\t1\n2\tb\t1\t1\n'
bad "in the last row" '1\ta\t1\t1\n2\tb\tzzz\t1\n'
bad "a column too few" '1\ta\t1\t1\n2\tb\n'
bad "a column too many" '1\ta\t1\t1\t1\n'
bad "a check of a row" '1\ta\t1\t1\n2\tb\t-1\t1\n3\tc\t1\t1\n'
bad "a check that is about the shard" '1\ta\t1\t1\n13\tb\t1\t1\n'
bad "a domain" '1\ta\t1\t0\n'
bad "NULL where there must be none" '\\N\ta\t1\t1\n'
bad "a long bad line is cut" "1\t$(printf 'y%.0s' {1..300})\t-1\t1\n"
bad "an encoding that is not" '1\t\xff\xfe\t1\t1\n'
bad "CSV, an open quote" '1,"a\n2,b\n' " WITH (FORMAT csv)"
bad "CSV, the line of an error behind quoted newlines" '1,"a\nb\nc",1,1\n2,"d\ne",-1,1\n' " WITH (FORMAT csv)"
bad "a header that does not match" 'id\tnome\tamount\trank\n' " WITH (HEADER match)"
bad "an option that does not exist" '' " WITH (FORMAT csv, NONSENSE 1)"
bad "options that do not fit" '' " WITH (FORMAT binary, DELIMITER ',')"
bad "FREEZE" '' " WITH (FREEZE)"
{ echo "COPY t (id, name, amount, rank) FROM STDIN;"; run -c "COPY (SELECT i, 'x', CASE WHEN i = 2500 THEN -1 ELSE 1 END, 1 FROM generate_series(100, 5000) AS i) TO STDOUT"; echo '\.'; } |
    twins "in the middle of many rows" t error
echo "COPY t (id, nothing) FROM STDIN;" | twins "a column that does not exist" t error
echo "COPY t (id, twice) FROM STDIN;" | twins "a generated column" t error
echo "COPY t (id, id) FROM STDIN;" | twins "a column twice" t error
echo "COPY t FROM '$tmp/nowhere';" | twins "a file that does not exist" t error
echo "COPY t (id) FROM PROGRAM 'echo 1; exit 3';" | twins "a program that fails" t error
printf "BEGIN READ ONLY;\nCOPY t (id) FROM STDIN;\nROLLBACK;\n" | twins "a read-only transaction" t error
for who in loader peeper; do
    printf "SET ROLE %s;\nCOPY t (id) FROM STDIN;\n1\n\\.\n" $who | twins "without the right to insert, $who" t error
done
run -c 'GRANT INSERT (id) ON batch.t, root.t TO loader'
printf "SET ROLE loader;\nCOPY t (id) FROM STDIN;\n1\n\\.\n" | twins "with the right to one column" t batched
printf "SET ROLE loader;\nCOPY t (id, name) FROM STDIN;\n" | twins "without the right to another" t error
printf "SET ROLE loader;\nCOPY t (id) FROM '%s';\n" "$tmp/binary" | twins "a file without the right to read files" t error
printf "SET ROLE loader;\nCOPY t (id) FROM PROGRAM 'true';\n" | twins "a program without the right to run one" t error
if ((version >= 17)); then
    printf "COPY t (id, amount) FROM STDIN WITH (ON_ERROR ignore);\n1\t1\nx\t1\n3\ty\n\\.\n" | twins "rows with errors left out" t "an option"
fi

# WHERE -----------------------------------------------------------------------------------------------------------
where() { # NAME TIER CONDITION
    printf 'COPY t (id, name) FROM STDIN WHERE %s;\n1\ta\n2\tb\n3\t\\N\n4\td\n\\.\n' "$3" | twins "WHERE $1" t "$2"
}
where "a condition" batched "id > 1 AND name <> 'b'"
where "is null" batched "NULLIF(name, 'a') IS NULL"
where "a function" batched "pure_even(id)"
where "nothing at all" batched "false"
where "volatile" "WHERE condition" "random() >= 0"
where "a generated column" error "twice > 1 AND nonsense"
where "not a boolean" error "id + 1"
where "a subquery" error "id IN (SELECT 1)"
where "that fails" error "1 / (id - 2) > -5"

# Indexes, keys, triggers -----------------------------------------------------------------------------------------
run -c 'CREATE TABLE customers (id int PRIMARY KEY)' -c 'INSERT INTO customers SELECT generate_series(1, 100)'
sharded keyed "id int, customer int, note text" hash '{id}' '{"modulus": 16}' \
    "ALTER TABLE keyed ADD PRIMARY KEY (id);
     ALTER TABLE keyed ADD CONSTRAINT keyed_customer FOREIGN KEY (customer) REFERENCES public.customers DEFERRABLE;
     CREATE INDEX keyed_note ON keyed (lower(note)) WHERE note IS NOT NULL;"
{ echo "COPY keyed FROM STDIN;"; run -c "COPY (SELECT i, i % 100 + 1, 'N' || i FROM generate_series(1, 3000) AS i) TO STDOUT"; echo '\.'; } | twins "with keys and indexes" keyed batched
printf 'COPY keyed FROM STDIN;\n5001\t1\ta\n5002\t1\tb\n17\t1\tc\n5003\t1\td\n\\.\n' | twins "a duplicate of a row that is there" keyed error
printf 'COPY keyed FROM STDIN;\n5001\t1\ta\n5002\t1\tb\n5001\t1\tc\n5003\t1\td\n\\.\n' | twins "a duplicate within" keyed error
printf 'COPY keyed FROM STDIN;\n5001\t1\ta\n5002\t999\tb\n\\.\n' | twins "a customer who does not exist" keyed error
printf 'BEGIN;\nSET CONSTRAINTS ALL DEFERRED;\nCOPY keyed FROM STDIN;\n5001\t1\ta\n5002\t999\tb\n\\.\nCOMMIT;\n' | twins "found at the end of the transaction" keyed error
same "every index entry is there" "3000|3000" "$(run -c "SET enable_seqscan = off" -c "SELECT count(*), (SELECT count(*) FROM batch.keyed WHERE lower(note) > 'n') FROM batch.keyed WHERE id > 0")"
same "statistics count the rows" 3000 "$(run -c "SELECT pg_stat_force_next_flush()" -c "SELECT sum(n_tup_ins) - 0 FROM pg_stat_user_tables WHERE schemaname = 'batch' AND relname LIKE 'keyed\_s%' AND n_tup_ins > 0" | tail -n 1 | awk '{print ($1 >= 3000) ? 3000 : $1}')"

run -c "CREATE TABLE seen (what text, who text, id int)" -c "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
    \$\$ BEGIN INSERT INTO seen VALUES (TG_WHEN || ' ' || TG_LEVEL, TG_TABLE_SCHEMA, CASE WHEN TG_LEVEL = 'ROW' THEN NEW.id END); RETURN NEW; END \$\$"
sharded watched "id int, note text" hash '{id}' '{"modulus": 8}' \
    "CREATE TRIGGER b BEFORE INSERT ON watched FOR EACH STATEMENT EXECUTE FUNCTION public.see();
     CREATE TRIGGER a AFTER INSERT ON watched FOR EACH STATEMENT EXECUTE FUNCTION public.see();"
printf 'COPY watched FROM STDIN;\n1\ta\n2\tb\n\\.\n' | twins "triggers of the statement" watched batched
same "both are fired, once" "AFTER STATEMENT 1 1, BEFORE STATEMENT 1 1" "$(run -c "SELECT string_agg(format('%s %s %s', what, b, r), ', ' ORDER BY what) FROM (SELECT what, count(*) FILTER (WHERE who = 'batch') AS b, count(*) FILTER (WHERE who = 'root') AS r FROM seen GROUP BY what) AS s")"
# A shard that has a trigger of its own, and one in the middle of the rest.
for schema in batch root; do
    run -c "SET search_path = $schema" -c "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id % 11 = 0 THEN RETURN NULL; END IF; NEW.note := upper(NEW.note); RETURN NEW; END'" \
        -c "CREATE TRIGGER s BEFORE INSERT ON watched_s0003 FOR EACH ROW EXECUTE FUNCTION $schema.shout()" \
        -c "CREATE TRIGGER s AFTER INSERT ON watched_s0005 FOR EACH ROW EXECUTE FUNCTION public.see()"
done
{ echo "COPY watched FROM STDIN;"; run -c "COPY (SELECT i, 'n' || i FROM generate_series(1, 500) AS i) TO STDOUT"; echo '\.'; } | twins "triggers of single shards" watched batched
same "the shard's trigger saw the same rows" t "$(run -c "SELECT count(*) FILTER (WHERE who = 'batch') = count(*) FILTER (WHERE who = 'root') AND count(*) > 10 FROM seen WHERE what = 'AFTER ROW'")"
for schema in batch root; do run -c "CREATE TRIGGER r AFTER INSERT ON $schema.watched FOR EACH ROW EXECUTE FUNCTION public.see()"; done
printf 'COPY watched FROM STDIN;\n1\ta\n2\tb\n\\.\n' | twins "triggers of the rows" watched "a trigger"
sharded tallied "id int" hash '{id}' '{"modulus": 8}' \
    "CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen SELECT ''tally'', TG_TABLE_SCHEMA, count(*) FROM added; RETURN NULL; END';
     CREATE TRIGGER t AFTER INSERT ON tallied REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally();"
printf 'COPY tallied FROM STDIN;\n1\n2\n\\.\n' | twins "transition tables" tallied "a trigger"
sharded volatile "id int, note text DEFAULT public.now_and_then(), no serial" hash '{id}' '{"modulus": 8}'
printf 'COPY volatile (id) FROM STDIN;\n1\n2\n\\.\n' | twins "a volatile default" volatile "a default"
printf 'COPY volatile (id, note) FROM STDIN;\n1\ta\n2\tb\n\\.\n' | twins "nextval is none" volatile batched
sharded secret "id int" hash '{id}' '{"modulus": 8}' \
    "GRANT INSERT, SELECT ON secret TO keeper; ALTER TABLE secret ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secret USING (id > 1);"
printf 'SET ROLE keeper;\nCOPY secret FROM STDIN;\n' | twins "row security" secret error
printf 'SET ROLE keeper;\nSET row_security = off;\nCOPY secret FROM STDIN;\n' | twins "row security that is off" secret error
printf 'COPY secret FROM STDIN;\n1\n2\n\\.\n' | twins "row security does not concern the owner" secret batched

# Layouts ---------------------------------------------------------------------------------------------------------
sharded timed "at date, id int, note text" range_hash '{at,id}' '{"interval": "1 month", "from": "2024-01-01", "to": "2024-07-01", "modulus": 4}'
{ echo "COPY timed FROM STDIN;"; run -c "COPY (SELECT date '2023-12-01' + i % 260, i, 'n' FROM generate_series(1, 2000) AS i) TO STDOUT"; printf '\\N\t1\ta\n\\.\n'; } | twins "two levels and a default" timed batched
sharded listed "k text, v int" list '{k}' '{"lists": [["a", null], ["b"], ["c"], ["d"], ["e"], ["f"]], "default": false}'
printf 'COPY listed FROM STDIN;\na\t1\n\\N\t2\nf\t3\nc\t4\n\\.\n' | twins "lists" listed batched
printf 'COPY listed FROM STDIN;\na\t1\nb\t2\nzz\t3\nc\t4\n\\.\n' | twins "no shard takes the row" listed error
# Shards whose columns stand in another order, one of which has dropped some.
sharded mixed "a int, b text, c numeric, d int GENERATED ALWAYS AS (a + 1) STORED, e text CHECK (e <> 'bad')" hash '{a}' '{"modulus": 6}'
for schema in batch root; do
    run >/dev/null <<SQL
SET search_path = $schema;
CREATE FUNCTION swap(shard text, columns text) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE bound text := (SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = shard::regclass);
BEGIN
    EXECUTE format('DROP TABLE %s; CREATE TABLE %s (%s); ALTER TABLE %s DROP COLUMN IF EXISTS gone; ALTER TABLE mixed ATTACH PARTITION %s %s',
                   shard, shard, columns, shard, shard, bound);
END \$\$;
SELECT swap('mixed_s0002', 'e text CONSTRAINT mixed_e_check CHECK (e <> ''bad''), gone int, d int GENERATED ALWAYS AS (a + 1) STORED, c numeric, a int, b text');
SELECT swap('mixed_s0004', 'gone int, a int, b text, c numeric, d int GENERATED ALWAYS AS (a + 1) STORED, e text CONSTRAINT mixed_e_check CHECK (e <> ''bad'')');
SQL
done
{ echo "COPY mixed (a, b, c, e) FROM STDIN;"; run -c "COPY (SELECT i, 'n' || i, i / 7.0, NULLIF(i % 5, 0) FROM generate_series(1, 3000) AS i) TO STDOUT"; echo '\.'; } | twins "columns in another order" mixed batched
for i in 1 2 3 4 5 6 7 8 9; do echo "$i"; done | sed "s/\$/\tx\t1\tbad/" >"$tmp/bad_rows"
while read -r line; do { echo "COPY mixed (a, b, c, e) FROM STDIN;"; printf '100\tx\t1\tok\n%s\n\\.\n' "$line"; } | twins "a check there, row ${line%%[!0-9]*}" mixed error; done <"$tmp/bad_rows"
for schema in batch root; do
    run -c "SET search_path = $schema" -c "ALTER TABLE mixed DROP COLUMN c" -c "ALTER TABLE mixed ADD COLUMN f int DEFAULT 7" -c "CREATE UNIQUE INDEX ON mixed (a, b)"
done
{ echo "COPY mixed (a, b, e) FROM STDIN;"; run -c "COPY (SELECT i, 'n' || i, 'e' FROM generate_series(4000, 5000) AS i) TO STDOUT"; echo '\.'; } | twins "after columns were dropped and added" mixed batched
printf 'COPY mixed (a, b, e) FROM STDIN;\n6001\tx\te\n4002\tn4002\te\n\\.\n' | twins "a duplicate there" mixed error
sharded wide "id int, note text, more text" hash '{id}' '{"modulus": 8}'
{ echo "COPY wide FROM STDIN;"; run -c "COPY (SELECT i, repeat(md5(i::text), (i * 37) % 800), CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 30000) END FROM generate_series(1, 400) AS i) TO STDOUT"; echo '\.'; } | twins "rows of up to 1 MB" wide batched
{ echo "COPY wide FROM STDIN;"; run -c "COPY (SELECT i, (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 20 + i % 80) AS j), 'x' FROM generate_series(1, 600) AS i) TO STDOUT"; echo '\.'; } | twins "rows that hardly fit into a page, or not" wide batched
sharded few "id int, note text" hash '{id}' '{"modulus": 2}'
printf 'COPY few FROM STDIN;\n1\ta\n2\tb\n\\.\n' | twins "two shards" few batched
# Not a table of ours: never touched.
run -c 'CREATE TABLE other (id int) PARTITION BY HASH (id)' -c "DO 'BEGIN FOR i IN 0..7 LOOP EXECUTE format(''CREATE TABLE other_%s PARTITION OF other FOR VALUES WITH (MODULUS 8, REMAINDER %s)'', i, i); END LOOP; END'"
psql -qX -c 'COPY other FROM STDIN' <<<"1"
same "a table of others is not in the report" 0 "$(run -c "SELECT count(*) FROM presplit.restore_report WHERE relation LIKE '%other%'")"
# Disarmed: still ours, without the report.
run -c "SELECT disarm('batch.timed')" >/dev/null
before=$(run -c 'SELECT count(*) FROM presplit.restore_report')
same "a sharded table that is not armed" "COPY 2" "$(printf '2024-01-01\t1\ta\n2024-02-01\t2\tb\n' | psql -X -c 'COPY batch.timed FROM STDIN')"
same "writes no report" "$before" "$(run -c 'SELECT count(*) FROM presplit.restore_report')"
if [[ -e $("$(pg_config_of "$version")" --sharedir)/extension/postgres_fdw.control ]]; then
    run -c 'CREATE EXTENSION postgres_fdw' -c "CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$PGHOST', port '5432', dbname 'load')" \
        -c 'CREATE USER MAPPING FOR postgres SERVER here OPTIONS (user '"'postgres'"')'
    for schema in batch root; do
        run -c "SET search_path = $schema" -c "CREATE TABLE far (k text, v int)" -c "ALTER TABLE listed DETACH PARTITION listed_s0003" \
            -c "CREATE FOREIGN TABLE listed_far PARTITION OF listed FOR VALUES IN ('c') SERVER here OPTIONS (schema_name '$schema', table_name 'far')"
    done
    printf 'COPY listed FROM STDIN;\na\t1\nc\t2\nf\t3\nc\t4\nb\t5\n\\.\n' | twins "a foreign shard among the others" listed batched
fi

# From functions, within each other, at the same time.
seq 1 3000 >"$tmp/numbers"
chmod a+r "$tmp/numbers"
sharded outer_t "id int" hash '{id}' '{"modulus": 8}' \
    "CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN EXECUTE format(''COPY %I.inner_t FROM %L'', TG_TABLE_SCHEMA, ''$tmp/numbers''); RETURN NULL; END';
     CREATE TRIGGER also BEFORE INSERT ON outer_t FOR EACH STATEMENT EXECUTE FUNCTION also();"
sharded inner_t "id int" hash '{id}' '{"modulus": 8}'
printf 'COPY outer_t FROM STDIN;\n1\n2\n\\.\n' | twins "a trigger that loads another table" outer_t batched
same "the other table has its rows" "3000|3000" "$(run -c 'SELECT (SELECT count(*) FROM batch.inner_t), (SELECT count(*) FROM root.inner_t)')"
same "and its own line in the report" "3000 rows batched by shard in the session" "$(run -c "SELECT note FROM presplit.restore_report WHERE relation = 'batch.inner_t' AND statement_kind = 'COPY'")"
run <<SQL
DO \$\$ BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            EXECUTE format('COPY batch.inner_t FROM %L', '$tmp/numbers');
            IF i = 2 THEN RAISE EXCEPTION 'x'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL; END;
    END LOOP;
END \$\$;
SQL
same "in a function that catches an error" 9000 "$(run -c 'SELECT count(*) FROM batch.inner_t')"
for _ in 1 2 3; do run -c "COPY batch.inner_t FROM '$tmp/numbers'" & done
wait
same "three at the same time" 18000 "$(run -c 'SELECT count(*) FROM batch.inner_t')"

# What is written is no larger.
sharded sized "id int, note text" hash '{id}' '{"modulus": 64}'
run -c "COPY batch.sized FROM PROGRAM 'seq 1 100000 | sed s/\$/\\\\tnote/'" -c 'SET presplit.restore_hook = off' -c "COPY root.sized FROM PROGRAM 'seq 1 100000 | sed s/\$/\\\\tnote/'"
size() { run -c "SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('$1.sized') WHERE isleaf"; }
if (($(size batch) * 100 <= $(size root) * 115)); then ok "shards are no larger"; else not_ok "shards are no larger" "$(size batch), $(size root)"; fi

# From outside ----------------------------------------------------------------------------------------------------
sharded big "id int, note text" hash '{id}' '{"modulus": 64}'
slow='seq 1 200000; sleep 60'
copying() { # starts a COPY that has read some rows and goes on; its backend is $backend
    psql -qX -c "COPY batch.big (id) FROM PROGRAM '$slow'" >"$tmp/out" 2>&1 &
    client=$!
    becomes "a load is under way" t load 30 -d load -c "SELECT coalesce(max(tuples_processed), 0) > 50000 FROM pg_stat_progress_copy"
    backend=$(run -c "SELECT pid FROM pg_stat_progress_copy")
}
nothing_left() { # NAME
    same "$1: nothing is visible" 0 "$(run -c 'SELECT count(*) FROM batch.big')"
    same "$1: nothing is held" 0 "$(run -c "SELECT count(*) FROM pg_locks WHERE relation IN (SELECT relid FROM pg_partition_tree('batch.big')) AND pid <> pg_backend_pid()")"
}
copying
run -c "SELECT pg_cancel_backend($backend)" >/dev/null
wait "$client" || true
same "cancel" "ERROR:  canceling statement due to user request" "$(head -n 1 "$tmp/out")"
nothing_left "cancel"
mkfifo "$tmp/pipe"
psql -qX -c "COPY batch.big (id) FROM STDIN" <"$tmp/pipe" >"$tmp/out" 2>&1 &
client=$!
exec 7>"$tmp/pipe"
seq 1 200000 >&7
becomes "a client's load is under way" t load 30 -d load -c "SELECT coalesce(max(tuples_processed), 0) > 50000 FROM pg_stat_progress_copy"
{ kill -9 "$client" && wait "$client"; } 2>/dev/null || true
exec 7>&-
becomes "a client that goes away ends it" 0 load 30 -d load -c "SELECT count(*) FROM pg_stat_progress_copy"
nothing_left "a client that went away"
# A tablespace on a file system that fills up.
if [[ $(id -u) == 0 ]] && mkdir -p "$tmp/small" && mount -t tmpfs -o size=1m tmpfs "$tmp/small" 2>/dev/null; then
    trap 'umount -l "$tmp/small" 2>/dev/null || true; cluster_exit' EXIT
    chown "$CLUSTER_USER" "$tmp/small"
    run -c "CREATE TABLESPACE small LOCATION '$tmp/small'"
    sharded stuffed "id int, note text" hash '{id}' '{"modulus": 16}' "ALTER TABLE stuffed_s0007 SET TABLESPACE small; ALTER TABLE stuffed_s0008 SET TABLESPACE small;"
    fails_with "a full disk" 'No space left on device' psql -qX -c "COPY batch.stuffed FROM PROGRAM 'seq 1 300000 | sed \"s/\$/	some longer note for this row/\"'"
    same "a full disk: nothing is visible" 0 "$(run -c 'SELECT count(*) FROM batch.stuffed')"
    run -c 'DROP TABLE batch.stuffed, root.stuffed' -c 'DROP TABLESPACE small'
    umount "$tmp/small"
fi
copying
kill -9 "$backend"
# The program has the session's socket too, so its client would wait for it.
{ kill "$client" && wait "$client"; } 2>/dev/null || true
for _ in {1..300}; do grep -q 'all server processes terminated' "$(cluster_log load)" && break; sleep 0.1; done
for _ in {1..100}; do run -c 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.2; done
nothing_left "kill -9"

# 256 shards and rows of 1 MB: what waits stays within maintenance_work_mem, here 2 MB, which is half of what so many
# shards would have.
run >/dev/null <<SQL
CREATE TABLE batch.many (id int, note text);
SELECT count(*) FROM create_shards(register_proposal('batch.many', 'hash', '{id}', '{"modulus": 256}'));
SQL
psql -qX >"$tmp/memory" 2>&1 <<SQL
SET maintenance_work_mem = '2MB';
COPY batch.many FROM PROGRAM 'seq 1 60000 | sed "s/\$/	some note for a row that is one hundred bytes and more, with words that do not say much about anything/"';
COPY batch.many FROM PROGRAM 'note=\$(head -c 1000000 /dev/zero | tr "\\\\0" y); for i in \$(seq 60001 60300); do echo "\$i	\$note"; done';
SELECT CASE WHEN substring(pg_read_file('/proc/self/status') from 'VmHWM:\s+(\d+)')::bigint / 1024 < 400 THEN 'small' ELSE 'large' END AS peak;
SQL
same "60,000 rows in 256 shards, and rows of 1 MB" "60000|300" "$(run -c 'SELECT count(*) FILTER (WHERE id <= 60000), count(*) FILTER (WHERE length(note) = 1000000) FROM batch.many')"
same "in little memory" small "$(grep -oE 'small|large' "$tmp/memory" || cat "$tmp/memory")"
# A descriptor, a pin or a lock that was left would be a warning of the server.
same "nothing leaked" 0 "$(grep -acE 'leak|still referenced|PANIC|TRAP' "$(cluster_log load)" || true)"
exit "$CHECKS_FAILED"
