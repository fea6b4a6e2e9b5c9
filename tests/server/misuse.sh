#!/usr/bin/env bash
# What people, their other extensions and hostile dumps do: names hidden by a search_path, roles without rights, several
# restores at once, other hooks and event triggers, statements that share a transaction, names that are cut to the same.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

# Other libraries with hooks of their own, before and behind; each session loads one more.
cluster_start misuse "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit,auto_explain'" "presplit.databases = 'none'" \
    "pg_stat_statements.track_utility = on" "pg_stat_statements.track = all" "auto_explain.log_min_duration = 0" "auto_explain.log_nested_statements = on" \
    "max_locks_per_transaction = 512" "log_error_verbosity = verbose"
cluster_use misuse
tmp=$(cluster_tmp misuse)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
# The SQLSTATE of the first error of a script, or "ok"; each line that comes in is a message of its own.
state() { # DATABASE [psql option...]
    local out
    if out=$(PGOPTIONS='-c client_min_messages=error' psql -qAtX -v ON_ERROR_STOP=1 -v VERBOSITY=sqlstate -d "$@" 2>&1 >/dev/null); then echo ok; else grep -oE '[0-9A-Z]{5}$' <<<"$out" | head -n 1; fi
}
shards() { run -d "$1" -c "SELECT count(*) FROM pg_partition_tree(to_regclass('$2')) WHERE isleaf AND level > 0"; }
hash='{"modulus": 4}'
arm() { # DATABASE TABLE COLUMNS [STRATEGY KEY BOUNDS]
    run -d "$1" -v name="$2" -v strategy="${4:-hash}" -v key="{${5:-id}}" -v bounds="${6:-$hash}" <<SQL >/dev/null
CREATE TABLE $2 ($3);
SELECT register_proposal(:'name', :'strategy', :'key', :'bounds') AS id \gset
DROP TABLE $2;
SELECT create_shards(:id);
SQL
}
run -d postgres -c 'CREATE DATABASE target' -c 'CREATE ROLE maker LOGIN' -c 'CREATE ROLE clerk LOGIN'
run -d target -c 'CREATE EXTENSION pg_presplit' -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE SCHEMA app' -c 'GRANT ALL ON SCHEMA app TO maker' \
    -c 'GRANT USAGE ON SCHEMA app TO clerk'
arm target app.t 'id int, k int, v text'

# Names that hide ours ------------------------------------------------------------------------------------------------

run -d target <<'SQL'
CREATE SCHEMA evil;
-- Whoever calls one of these is found out.
CREATE FUNCTION evil.caught() RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''caught'' USING ERRCODE = ''ZZ001''; END';
CREATE FUNCTION evil.pg_partition_tree(regclass) RETURNS TABLE (relid regclass, parentrelid regclass, isleaf bool, level int) LANGUAGE sql AS 'SELECT NULL::regclass, NULL::regclass, true, length(evil.caught())';
CREATE FUNCTION evil.format(text, VARIADIC "any") RETURNS text LANGUAGE internal AS 'text_format';
CREATE FUNCTION evil.jsonb_build_object(VARIADIC text[]) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb(evil.caught())';
CREATE FUNCTION evil.equal(name, text) RETURNS bool LANGUAGE sql AS 'SELECT evil.caught() IS NULL';
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.equal);
CREATE FUNCTION evil.equal(text, text) RETURNS bool LANGUAGE sql AS 'SELECT evil.caught() IS NULL';
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
CREATE FUNCTION evil.greater(int, int) RETURNS bool LANGUAGE sql AS 'SELECT evil.caught() IS NULL';
CREATE OPERATOR evil.> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.greater);
CREATE TABLE evil.pg_class (oid oid, relname name, relkind "char");
CREATE TABLE evil.armed_tables (x int);
CREATE VIEW evil.armed AS SELECT 1 AS x;
SQL
arm target app.r 'id int, at date NOT NULL' range at '{"interval": "1 month", "from": "2024-01-01", "to": "2024-04-01", "default": false}'
hidden() {
    state target <<'SQL'
SET search_path = evil, app, pg_catalog;
CREATE TABLE app.t (id int NOT NULL, k int, v text) WITH (fillfactor = 50);
ALTER TABLE app.t OWNER TO maker;
ALTER TABLE ONLY app.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
ALTER TABLE app.t CLUSTER ON t_pkey;
ALTER TABLE ONLY app.t REPLICA IDENTITY USING INDEX t_pkey;
TRUNCATE TABLE ONLY app.t;
COPY app.t (id) FROM stdin;
1
\.
CREATE PUBLICATION news FOR TABLE app.t;
COMMENT ON INDEX app.t_pkey IS 'x';
CREATE TABLE app.r (id int, at date NOT NULL) WITH (fillfactor = 50);
CREATE TABLE app.r_later PARTITION OF app.r FOR VALUES FROM ('2024-04-01') TO ('2024-05-01');
SELECT public.check_shards('app.t');
SELECT public.check_restore(1);
SQL
}
same "functions, operators and tables of an earlier schema are not used" ok "$(hidden)"
same "and everything is as it should be" "4|maker|i" "$(run -d target -c "SELECT count(*), min(relowner::regrole::text), min(relreplident) FROM pg_class
    WHERE oid IN (SELECT relid FROM pg_partition_tree('app.t') WHERE level > 0) AND reloptions = '{fillfactor=50}'")"
same "a later shard too" "{fillfactor=50}" "$(run -d target -c "SELECT reloptions FROM pg_class WHERE oid = 'app.r_later'::regclass")"
run -d target -c 'DROP PUBLICATION news' -c 'DROP TABLE app.t, app.r' -c 'DROP SCHEMA evil CASCADE' 2>/dev/null
arm target public.orders 'id int, v text'
temporary() {
    state target <<'SQL'
CREATE TEMP TABLE orders (x int);
CREATE TABLE public.orders (id int, v text);
ALTER TABLE ONLY orders ADD PRIMARY KEY (x);
ALTER TABLE ONLY public.orders ADD PRIMARY KEY (id);
SELECT 1 / (count(*) = 1)::int FROM pg_constraint WHERE conrelid = 'pg_temp.orders'::regclass AND contype = 'p';
SQL
}
same "a temporary table of the name is another table" "ok|t|4" "$(temporary)|$(run -d target -c \
    "SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid IN (SELECT relid FROM pg_partition_tree('public.orders'))")|$(shards target public.orders)"

# Several indexes of one table at once, as pg_restore -j makes them ----------------------------------------------------

arm target app.many 'id int, a_b int, c int'
run -d target -c 'CREATE TABLE app.many (id int, a_b int, c int)'
# PostgreSQL names the parts after the columns, and would choose the same names twice.
at_once() {
    run -d target -c 'BEGIN' -c 'CREATE INDEX many_1 ON app.many (a_b)' -c 'CREATE INDEX many_2 ON app.many ((c + 1), a_b)' \
        -c 'SELECT pg_sleep(1.5)' -c 'COMMIT' >/dev/null &
    while [[ $(run -d target -c "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(1.5)'") == 0 ]]; do sleep 0.02; done
    run -d target -c 'CREATE INDEX many_3 ON app.many USING hash (a_b)' &
    run -d target -c 'CREATE INDEX many_4 ON app.many ((c + 2), a_b)' &
    # Of other columns: does not wait.
    run -d target -c "SET lock_timeout = '1s'" -c 'CREATE INDEX many_5 ON app.many (c)' || return
    wait
}
succeeds "indexes of the same columns at once" at_once
same "all of them are there" "5|t" "$(run -d target -c "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indrelid = 'app.many'::regclass")"
# Each holds SHARE from its CREATE INDEX and then wants more: one after the other, as no lock can be given up.
marked() {
    run -d target -c "CREATE INDEX many_6 ON app.many (id); SELECT pg_sleep(1); ALTER TABLE app.many CLUSTER ON many_6" >/dev/null &
    while [[ $(run -d target -c "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX many_6%' AND wait_event = 'PgSleep'") == 0 ]]; do sleep 0.02; done
    run -d target -c "CREATE UNIQUE INDEX many_7 ON app.many (c, id); ALTER TABLE ONLY app.many REPLICA IDENTITY USING INDEX many_7" &
    # One that is not marked does not wait.
    run -d target -c "SET lock_timeout = '1s'" -c 'CREATE INDEX many_8 ON app.many (a_b)' || return
    local job
    for job in $(jobs -p); do wait "$job" || return; done
}
run -d target -c 'ALTER TABLE app.many ALTER c SET NOT NULL' -c 'ALTER TABLE app.many ALTER id SET NOT NULL'
succeeds "an index to cluster on and one that is the replica identity at once" marked
same "both are what they should be" "4|4" "$(run -d target -c "SELECT count(*) FILTER (WHERE indisclustered), count(*) FILTER (WHERE indisreplident)
    FROM pg_index WHERE indrelid IN (SELECT relid FROM pg_partition_tree('app.many') WHERE isleaf)")"
run -d target -c 'DROP TABLE app.many'

# Entries of a dump about one publication, each of which has to make it publish via the table.
arm target app.first 'id int'
arm target app.second 'id int'
run -d target -c 'CREATE TABLE app.first (id int)' -c 'CREATE TABLE app.second (id int)' -c 'CREATE PUBLICATION several' 2>/dev/null
published() {
    run -d target -c "ALTER PUBLICATION several ADD TABLE ONLY app.first; SELECT pg_sleep(1)" >/dev/null &
    while [[ $(run -d target -c "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER PUBLICATION several%' AND wait_event = 'PgSleep'") == 0 ]]; do sleep 0.02; done
    run -d target -c 'ALTER PUBLICATION several ADD TABLE ONLY app.second' || return
    wait "$!"
}
succeeds "two tables are added to a publication at once" published
same "it publishes both by their own names" "app.first,app.second" "$(run -d target -c \
    "SELECT string_agg(schemaname || '.' || tablename, ',' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = 'several'")"
run -d target -c 'DROP PUBLICATION several' -c 'DROP TABLE app.first, app.second'

# A dump of a database that has the extension itself -------------------------------------------------------------------

run -d postgres -c 'CREATE DATABASE with_it'
run -d with_it -c 'CREATE EXTENSION pg_presplit' -c 'CREATE SCHEMA brought' -c 'CREATE TABLE brought.w (id int PRIMARY KEY)' -c 'INSERT INTO brought.w SELECT generate_series(1, 100)'
pg_dump -Fc -f "$tmp/with_it.dump" with_it
chmod a+r "$tmp/with_it.dump"
run -d target -c 'CREATE SCHEMA brought'
arm target brought.w 'id int'
for _ in 1 2; do
    fails_with "--clean of a dump with the extension cannot drop it while a table is armed" 'cannot drop extension "pg_presplit": table ".*" is armed' \
        pg_restore --clean --if-exists -d target "$tmp/with_it.dump"
done
same "so that the table is not whole" "4|100" "$(shards target brought.w)|$(run -d target -c 'SELECT count(*) FROM brought.w')"
# Its number of the last proposal is not that of here.
succeeds "and proposals are numbered on" run -d target -c "SELECT register_proposal('brought.w', 'hash', '{id}', '{\"modulus\": 7}')"
same "and the extension is there" 1 "$(run -d target -c "SELECT count(*) FROM pg_extension WHERE extname = 'pg_presplit'")"
run -d target -c 'DROP TABLE brought.w' -c "SELECT disarm('brought.w')" >/dev/null

# Roles ---------------------------------------------------------------------------------------------------------------

foreign_hands() {
    local statement
    for statement in 'ALTER TABLE ONLY app.t ADD PRIMARY KEY (id)' 'ALTER TABLE app.t OWNER TO clerk' 'TRUNCATE TABLE ONLY app.t' \
        'CREATE INDEX ON app.t (k)' 'ALTER TABLE app.t SET (fillfactor = 50)'; do
        state target <<SQL
CREATE TABLE IF NOT EXISTS app.t (id int NOT NULL, k int, v text);
SET ROLE clerk;
$statement;
SQL
    done | xargs
}
same "who does not own a sharded table changes nothing of it" "42501 42501 42501 42501 42501" "$(foreign_hands)"
run -d target -c 'DROP TABLE app.t'
# A dump with owners, restored by somebody who cannot give tables away: the table is his, with all its shards.
run -d postgres -c 'CREATE DATABASE source'
run -d source -c 'CREATE SCHEMA app' -c 'CREATE TABLE app.t (id int PRIMARY KEY, k int, v text) WITH (fillfactor = 70)' \
    -c "INSERT INTO app.t SELECT g, g, 'v' FROM generate_series(1, 1000) AS g" -c 'ALTER TABLE app.t OWNER TO clerk' \
    -c 'CREATE TABLE app.u (id int PRIMARY KEY, v text)' -c "INSERT INTO app.u SELECT g, 'u' FROM generate_series(1, 1000) AS g"
pg_dump -Fc -f "$tmp/t.dump" -t app.t source
pg_dump -Fc -f "$tmp/u.dump" -t app.u source
chmod a+r "$tmp"/*.dump
fails_with "owners that cannot be set are the only errors" 'errors ignored on restore: 1$' pg_restore -U maker -d target "$tmp/t.dump"
same "the table and its shards are of one owner" "maker|5|1000" "$(run -d target -c "SELECT string_agg(DISTINCT relowner::regrole::text, ','), count(*),
    (SELECT count(*) FROM app.t) FROM pg_class WHERE oid IN (SELECT relid FROM pg_partition_tree('app.t'))")"
run -d target -c 'DROP TABLE app.t'

# Several restores at once -------------------------------------------------------------------------------------------

arm target app.u 'id int, v text'
run -d postgres -c 'CREATE DATABASE other'
run -d other -c 'CREATE EXTENSION pg_presplit' -c 'CREATE SCHEMA app'
arm other app.t 'id int, k int, v text'
statuses() { # waits for all jobs: a figure each
    local job
    for job in $(jobs -p); do wait "$job" && echo -n 0 || echo -n 1; done
}
for job in 'target t' 'target u' 'other t'; do
    read -r database table <<<"$job"
    pg_restore --no-owner -j2 -d "$database" "$tmp/$table.dump" >"$tmp/$database.$table" 2>&1 &
done
statuses >"$tmp/statuses"
same "two dumps into one database, one of them into another, at once" "000|4|4|4|1000|1000|1000" \
    "$(cat "$tmp/statuses")|$(shards target app.t)|$(shards target app.u)|$(shards other app.t)|$(run -d target -c 'SELECT count(*) FROM app.t')|$(
        run -d target -c 'SELECT count(*) FROM app.u')|$(run -d other -c 'SELECT count(*) FROM app.t')"
for _ in 1 2; do pg_restore --no-owner --clean --if-exists --single-transaction -d target "$tmp/t.dump" >>"$tmp/clean" 2>&1 & done
statuses >"$tmp/statuses"
if [[ $(cat "$tmp/statuses") == 11 ]]; then not_ok "of two --clean at once one succeeds" "$(cat "$tmp/clean")"; else ok "of two --clean at once one succeeds"; fi
same "with all rows once, in all shards" "1000|4|0" "$(run -d target -c 'SELECT count(*) FROM app.t')|$(shards target app.t)|$(run -d target -c 'SELECT count(*) FROM pg_index WHERE NOT indisvalid')"
run -d target -c 'DROP TABLE app.t, app.u'
run -d postgres -c 'DROP DATABASE other'

# Hooks and triggers of others ---------------------------------------------------------------------------------------

run -d target -c 'SELECT pg_stat_statements_reset()' >/dev/null
succeeds "with other hooks before and behind" env PGOPTIONS='-c session_preload_libraries=auto_explain' pg_restore --no-owner -d target "$tmp/t.dump"
same "which saw the statements as they came, once" "1|1|1" "$(run -d target -c "SELECT sum(calls) FILTER (WHERE query LIKE 'CREATE TABLE app.t (%'),
    sum(calls) FILTER (WHERE query ~ '^ALTER TABLE ONLY app.t\s+ADD CONSTRAINT'), sum(calls) FILTER (WHERE query LIKE 'COPY app.t %') FROM pg_stat_statements WHERE toplevel")"
same "and how many rows they moved" 1000 "$(run -d target -c "SELECT rows FROM pg_stat_statements WHERE query LIKE 'COPY app.t %'")"
run -d target <<'SQL'
DROP TABLE app.t;
CREATE TABLE seen (at text, tag text, what text);
CREATE FUNCTION notes() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_EVENT = 'ddl_command_end' THEN
        INSERT INTO public.seen SELECT TG_EVENT, command_tag, object_identity FROM pg_event_trigger_ddl_commands();
    ELSIF TG_EVENT = 'sql_drop' THEN
        INSERT INTO public.seen SELECT TG_EVENT, TG_TAG, object_identity FROM pg_event_trigger_dropped_objects() WHERE object_type = 'table';
    ELSE
        INSERT INTO public.seen VALUES (TG_EVENT, TG_TAG);
    END IF;
END
$$;
-- One that makes an armed table itself, whenever another table comes into being.
CREATE FUNCTION makes() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('app.u') IS NULL THEN CREATE TABLE app.u (id int, v text); END IF;
END
$$;
CREATE EVENT TRIGGER notes_start ON ddl_command_start EXECUTE FUNCTION notes();
CREATE EVENT TRIGGER notes_end ON ddl_command_end EXECUTE FUNCTION notes();
CREATE EVENT TRIGGER notes_drop ON sql_drop EXECUTE FUNCTION notes();
SQL
succeeds "with event triggers" pg_restore --no-owner -d target "$tmp/t.dump"
same "which hear of the table and of each shard" "app.t,app.t_s0001,app.t_s0002,app.t_s0003,app.t_s0004" "$(run -d target -c \
    "SELECT string_agg(DISTINCT what, ',' ORDER BY what) FROM seen WHERE at = 'ddl_command_end' AND tag = 'CREATE TABLE' AND what LIKE 'app.%'")"
succeeds "and of what is dropped" pg_restore --no-owner --clean --if-exists -d target "$tmp/t.dump"
same "table and shards" 5 "$(run -d target -c "SELECT count(*) FROM seen WHERE at = 'sql_drop'")"
run -d target -c 'DROP TABLE app.t' -c 'DROP EVENT TRIGGER notes_start' -c 'DROP EVENT TRIGGER notes_end' -c 'DROP EVENT TRIGGER notes_drop' \
    -c "CREATE EVENT TRIGGER makes ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION makes()"
# While a statement is rewritten, statements within it are not looked at; the guard that does not need the hook is.
fails_with "an event trigger that makes an armed table while another is made is refused" 'table "app.u" is armed for sharding but would be created whole' \
    pg_restore --exit-on-error --no-owner -d target "$tmp/t.dump"
same "and neither is there" "t|t" "$(run -d target -c "SELECT to_regclass('app.t') IS NULL, to_regclass('app.u') IS NULL")"
run -d target -c 'DROP EVENT TRIGGER makes'

# Statements that share a transaction --------------------------------------------------------------------------------

# psql sends what stands in one -c as one message, as pg_restore sends an entry.
table='CREATE TABLE app.t (id int NOT NULL, k int, v text) WITH (fillfactor = 60)'
same "an error at the end of a message takes everything back" "22012|0" "$(state target -c "$table; ALTER TABLE ONLY app.t ADD PRIMARY KEY (id); SELECT 1 / 0")|$(shards target app.t)"
same "a statement that is refused does, too" "42P17|0" "$(state target -c "$table; INSERT INTO app.t VALUES (1); ALTER TABLE ONLY app.t ADD PRIMARY KEY (k)")|$(shards target app.t)"
same "what was committed within a message stays" "42P17|4|0" "$(state target -c \
    "$table; INSERT INTO app.t VALUES (1); COMMIT; DELETE FROM app.t; COMMIT; ALTER TABLE ONLY app.t ADD PRIMARY KEY (k)")|$(shards target app.t)|$(run -d target -c 'SELECT count(*) FROM app.t')"
run -d target -c 'DROP TABLE app.t'
local_settings() {
    state target <<'SQL'
BEGIN\; SET LOCAL presplit.restore_hook = off\; CREATE TABLE app.other (id int)\; ROLLBACK\; CREATE TABLE app.t (id int NOT NULL, k int, v text);
SELECT 1 / (count(*) = 4)::int FROM pg_inherits WHERE inhparent = 'app.t'::regclass;
SET search_path = nowhere\; SET LOCAL search_path = app\; ALTER TABLE ONLY t ADD PRIMARY KEY (id)\; SELECT 1 / (current_setting('search_path') = 'app')::int;
SELECT 1 / (current_setting('search_path') = 'nowhere')::int;
BEGIN\; SET LOCAL default_tablespace = pg_default\; ALTER TABLE app.t SET (fillfactor = 55)\; SELECT 1 / (current_setting('default_tablespace') = 'pg_default')::int\; COMMIT;
SQL
}
same "SET LOCAL lasts to the end of its transaction" "ok|0|4" "$(local_settings)|$(run -d target -c 'SELECT count(*) FROM pg_index WHERE NOT indisvalid')|$(shards target app.t)"
run -d target -c 'DROP TABLE app.t'
savepoints() {
    state target <<'SQL'
BEGIN;
SAVEPOINT a;
CREATE TABLE app.t (id int NOT NULL, k int, v text);
ROLLBACK TO a;
CREATE TABLE app.t (id int NOT NULL, k int, v text);
SAVEPOINT b;
ALTER TABLE ONLY app.t ADD PRIMARY KEY (id);
ROLLBACK TO b;
ALTER TABLE ONLY app.t ADD PRIMARY KEY (id);
RELEASE a;
COMMIT;
SQL
}
same "savepoints" "ok|4|1" "$(savepoints)|$(shards target app.t)|$(run -d target -c "SELECT count(*) FROM pg_index WHERE indrelid = 'app.t'::regclass AND indisvalid")"
run -d target -c 'DROP TABLE app.t'
# plpgsql keeps the parse tree of what it runs, and runs it again.
again() {
    state target <<'SQL'
CREATE FUNCTION again() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1..3 LOOP
        CREATE TABLE app.t (id int NOT NULL, k int, v text) WITH (fillfactor = 60);
        ALTER TABLE ONLY app.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
        ASSERT (SELECT count(*) FROM pg_class WHERE reloptions = '{fillfactor=60}' AND relispartition) = 4;
        ASSERT (SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'app.t'::regclass);
        DROP TABLE app.t;
    END LOOP;
END
$$;
SELECT again();
SELECT again();
SQL
}
same "the same statement again and again" ok "$(again)"

# An arming by one session is known to another that has asked before; and so is its end.
run -d target -c "SELECT disarm('app.u')" >/dev/null
last="(SELECT max(proposal_id) FROM presplit.proposals WHERE relation = 'app.u')"
made="CREATE TABLE app.u (id int, v text); SELECT relkind FROM pg_class WHERE oid = 'app.u'::regclass; DROP TABLE app.u;"
both() {
    local step
    mkfifo "$tmp/first"
    run -d target <"$tmp/first" >"$tmp/second" 2>&1 &
    exec 7>"$tmp/first"
    for step in 'SELECT 0' "SELECT DISTINCT state FROM create_shards($last)" "SELECT disarm('app.u')"; do
        run -d target -c "$step" >/dev/null
        echo "$made SELECT '$((++number))';" >&7
        for _ in {1..100}; do ! grep -q "$number" "$tmp/second" || break; sleep 0.05; done
    done
    exec 7>&-
    wait $!
    xargs <"$tmp/second"
}
number=0
same "armings of another session are known at once" "r 1 p 2 r 3" "$(both)"
rolled_back() {
    run -d target <<SQL | xargs
$made
BEGIN;
SAVEPOINT s;
SELECT count(*) > 9 FROM create_shards($last) \g /dev/null
ROLLBACK TO s;
$made
SELECT count(*) > 9 FROM create_shards($last) \g /dev/null
$made
ROLLBACK;
$made
SQL
}
same "and those of a transaction that is rolled back are not" "r r p r" "$(rolled_back)"

# What a dump may be called and hold ----------------------------------------------------------------------------------

run -d postgres -c 'CREATE DATABASE strange' -c 'CREATE DATABASE strange_target'
run -d strange <<'SQL'
CREATE SCHEMA "we.ird ""schema";
SET search_path = "we.ird ""schema";
-- A name as long as names can be, of characters that are cut in the middle.
CREATE TABLE "€€€€€€€€€€€€€€€€€€€€€" ("ключ $do$ ; -- '" int NOT NULL, "a
b" text DEFAULT E'$do$\n;''', CONSTRAINT "€€€€€€€€€€€€€€€€€€€€c" UNIQUE ("ключ $do$ ; -- '"));
CREATE INDEX "€€€€€€€€€€€€€€€€€€€€i" ON "€€€€€€€€€€€€€€€€€€€€€" ("a
b");
INSERT INTO "€€€€€€€€€€€€€€€€€€€€€" SELECT g, E'\\.\n\\N\t\\x' || g FROM generate_series(1, 20) AS g;
COMMENT ON TABLE "€€€€€€€€€€€€€€€€€€€€€" IS E'\\! false\n\\connect nowhere\nCOPY x FROM stdin;\nINSERT INTO x\n\\.\n:name :''name'' :"name" \\gexec\n$do$ DROP $do1$';
COMMENT ON COLUMN "€€€€€€€€€€€€€€€€€€€€€"."a
b" IS '\restrict x';
-- A table called like a keyword, with a key called like one; functions called like ours.
CREATE TABLE "table" ("select" int PRIMARY KEY, "ONLY" text);
INSERT INTO "table" VALUES (1, 'ONLY'), (2, 'NOT VALID');
CREATE FUNCTION create_shards(bigint) RETURNS int LANGUAGE sql AS 'SELECT 1 / 0';
CREATE FUNCTION disarm(text) RETURNS bool LANGUAGE sql AS 'SELECT 1 / 0 = 1';
INSERT INTO "table" VALUES (99, 'nowhere');
-- As wide as a table can be.
SELECT 'CREATE TABLE wide (' || string_agg('c' || g || ' int', ', ') || ')' FROM generate_series(1, 1600) AS g \gexec
INSERT INTO wide (c1, c1600) SELECT g, g FROM generate_series(1, 50) AS g;
ALTER TABLE wide ADD PRIMARY KEY (c1);
-- Not valid: where it will be depends on the rows, and what is said of it must follow it.
ALTER TABLE "table" ADD CONSTRAINT "la te" FOREIGN KEY ("select") REFERENCES wide NOT VALID;
ALTER TABLE wide ADD CONSTRAINT fits FOREIGN KEY (c1) REFERENCES wide NOT VALID;
COMMENT ON CONSTRAINT "la te" ON "table" IS 'la te';
COMMENT ON CONSTRAINT fits ON wide IS 'fits';
SQL
pg_dump -Fc -f "$tmp/strange.dump" strange
pg_dump -f "$tmp/strange.sql" strange
chmod a+r "$tmp"/strange.*
psql -qXAt -d strange -f "$PRESPLIT_ROOT/sql/capture_profile.sql" 2>/dev/null >"$tmp/strange.json"
run -d strange_target -c 'CREATE EXTENSION pg_presplit' -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/strange.json" >/dev/null
run -d strange_target >/dev/null <<'SQL'
SELECT create_shards(register_proposal(relation, 'hash', key, '{"modulus": 3}'))
FROM (VALUES ('"we.ird ""schema"."€€€€€€€€€€€€€€€€€€€€€"', ARRAY['ключ $do$ ; -- ''']), ('"we.ird ""schema"."table"', '{select}'), ('"we.ird ""schema".wide', '{c1}')) AS v (relation, key);
SQL
same "strange names: check_restore foresees no refusal" "" "$(run -d strange_target -c \
    "SELECT c.object, c.problem FROM presplit.proposals AS p, check_restore(p.proposal_id, '$tmp/strange.dump') AS c WHERE c.severity = 'error'")"
content() {
    run -d "$1" <<'SQL'
SET search_path = "we.ird ""schema";
SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM "€€€€€€€€€€€€€€€€€€€€€" AS t;
SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM "table" AS t;
SELECT count(*), sum(c1600) FROM wide;
SELECT obj_description('"€€€€€€€€€€€€€€€€€€€€€"'::regclass, 'pg_class');
SELECT DISTINCT description FROM pg_description WHERE classoid = 'pg_constraint'::regclass AND description IN ('la te', 'fits') ORDER BY 1;
SQL
}
succeeds "strange names" pg_restore --exit-on-error -j2 -d strange_target "$tmp/strange.dump"
same "strange names: the same" "$(content strange)" "$(content strange_target)"
same "strange names: in shards, nothing wrong" "3|0" "$(run -d strange_target -c "SELECT (SELECT count(*) FROM presplit.sharded), count(*) FROM check_shards() WHERE severity = 'error'")"
succeeds "strange names: --clean" pg_restore --exit-on-error --clean --if-exists -d strange_target "$tmp/strange.dump"
run -d strange_target -c 'DROP SCHEMA "we.ird ""schema" CASCADE' 2>/dev/null
succeeds "strange names: by psql" run -d strange_target -f "$tmp/strange.sql"
same "strange names: by psql, the same" "$(content strange)" "$(content strange_target)"
written() {
    pg_restore -s -f "$tmp/strange_schema.sql" "$tmp/strange.dump"
    (cd "$tmp" && run -d strange_target) >"$tmp/strange_script.sql" <<'SQL' || return
\set schema `cat strange_schema.sql`
WITH exported AS (SELECT export_proposal(proposal_id) AS x FROM presplit.proposals)
SELECT import_proposal(jsonb_set((SELECT x FROM exported LIMIT 1), '{proposal,relations}',
    (SELECT jsonb_agg(r) FROM exported, jsonb_array_elements(x->'proposal'->'relations') AS r))) AS everything \gset
SELECT restore_script(:everything, :'schema');
SQL
    run -d postgres -c 'CREATE DATABASE written'
    sed '/^-- The data goes here/,$d' "$tmp/strange_script.sql" | run -d written >/dev/null && pg_restore --data-only -d written "$tmp/strange.dump" \
        && sed -n '/^-- The data goes here/,$p' "$tmp/strange_script.sql" | run -d written >/dev/null
}
succeeds "strange names: written down" written
same "strange names: written down, the same" "$(content strange)" "$(content written)"
same "strange names: written down, in shards" 9 "$(run -d written -c "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relispartition")"

# Names that are cut to the same are foretold: of two tables, and of two constraints that only shards have.
stem=$(printf 'x%.0s' {1..61})
run -d postgres -c 'CREATE DATABASE cut' -c 'CREATE DATABASE cut_target'
run -d cut -c "CREATE TABLE t${stem}a (id int, k int, v int)" -c "CREATE TABLE t${stem}b (id int, k int)" \
    -c "ALTER TABLE t${stem}a ADD CONSTRAINT c${stem}a UNIQUE (k)" -c "ALTER TABLE t${stem}a ADD CONSTRAINT c${stem}b UNIQUE (v)"
pg_dump -Fc -f "$tmp/cut.dump" cut
chmod a+r "$tmp/cut.dump"
run -d cut_target -c 'CREATE EXTENSION pg_presplit' -c "ALTER DATABASE cut_target SET presplit.unique_policy = per_shard"
arm cut_target "public.t${stem}a" 'id int, k int, v int'
arm cut_target "public.t${stem}b" 'id int, k int'
same "names that are cut to the same: foretold" "2|1" "$(run -d cut_target -c "SELECT count(*) FILTER (WHERE problem LIKE 'shards of %'), count(*) FILTER (WHERE problem LIKE 'on shard %')
    FROM presplit.proposals AS p, check_restore(p.proposal_id, '$tmp/cut.dump') AS c WHERE severity = 'error'")"
fails_with "names that are cut to the same: refused" 'already exists' pg_restore -d cut_target "$tmp/cut.dump"
same "and nothing is there whole" 0 "$(run -d cut_target -c "SELECT count(*) FROM pg_class WHERE relname LIKE 't${stem}_' AND relkind <> 'p'")"

same "no internal error in the log" 0 "$(grep -acE ' XX000|panicked|PANIC:|terminated by signal' "$(cluster_log misuse)" || true)"
exit "$CHECKS_FAILED"
