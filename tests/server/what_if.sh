#!/usr/bin/env bash
# What the planner is asked about layouts that do not exist: nothing of it remains, nothing foreign runs, no lock keeps
# anybody out, and what it says of rows is what EXPLAIN (ANALYZE) says once the layout is there.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start what_if "$version" "shared_preload_libraries = 'pg_presplit'" "max_parallel_workers_per_gather = 0" \
    "autovacuum = off" "jit = off"
cluster_use what_if
psql -qX -d postgres -c 'CREATE DATABASE what_if'
export PGDATABASE=what_if
run() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }
ask() { psql -qXAt -v ON_ERROR_STOP=1 -c "$1" 2>&1; }
run <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE SCHEMA app;
SET search_path = app, public;
CREATE TABLE orders (id bigint PRIMARY KEY, customer int NOT NULL, at timestamptz NOT NULL, state text, amount numeric);
CREATE INDEX ON orders (customer);
CREATE INDEX ON orders (at);
CREATE TABLE lines (order_id bigint, n int, product int, PRIMARY KEY (order_id, n));
INSERT INTO orders SELECT g, g * 7 % 1000, '2025-01-01 00:00Z'::timestamptz + g * interval '15 minutes', (ARRAY['new', 'open', 'done'])[1 + g % 3], g % 100
    FROM generate_series(1, 20000) AS g;
INSERT INTO lines SELECT g / 4, g % 4, g % 500 FROM generate_series(4, 80003) AS g;
VACUUM ANALYZE orders, lines;
-- The evidence of a proposal, one line for each statement.
CREATE FUNCTION told(id bigint) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws('|', relation, shards_before, shards_after, rows_before::numeric(12, 1), rows_after::numeric(12, 1), error) || ' ' || statement
    FROM proposal_evidence(id) ORDER BY relation, statement COLLATE "C"
$$;
SQL
declared() { # JSON of statements
    run -v statements="$1" <<'SQL'
SELECT declare_workload((SELECT jsonb_agg(jsonb_build_object('sql', s, 'calls_per_second', 1, 'mean_ms', 1)) FROM jsonb_array_elements_text(:'statements') AS s))
\g /dev/null
SQL
}

# What it says ------------------------------------------------------------------------------------------------------

declared '["SELECT * FROM app.orders WHERE id = 77", "SELECT count(*) FROM app.orders WHERE at >= '"'2025-03-01 00:00Z'"' AND at < '"'2025-03-20 00:00Z'"' AND state = '"'new'"'",
    "SELECT * FROM app.orders WHERE customer = 12", "SELECT count(*) FROM app.orders", "SELECT o.id FROM app.orders AS o JOIN app.lines AS l ON l.order_id = o.id WHERE o.id = 12",
    "DELETE FROM app.orders WHERE id = 5", "SELECT * FROM app.orders ORDER BY at DESC LIMIT 10"]'
hash=$(ask "SELECT register_proposal('app.orders', 'hash', '{id}', '{\"modulus\": 8}')")
same "a hash layout" "app.orders|1|1|1.0|1.0 DELETE FROM app.orders WHERE id = 5
app.orders|1|8|20.0|20.0 SELECT * FROM app.orders WHERE customer = 12
app.orders|1|1|1.0|1.0 SELECT * FROM app.orders WHERE id = 77
app.orders|1|8|20000.0|20000.0 SELECT count(*) FROM app.orders
app.orders|1|1|1.0|1.0 SELECT o.id FROM app.orders AS o JOIN app.lines AS l ON l.order_id = o.id WHERE o.id = 12" \
    "$(ask "SELECT app.told($hash)" | grep -v 'at [>D]')"
range=$(run <<'SQL'
SET presplit.unique_policy = extend;
SELECT register_proposal('app.orders', 'range', '{at}', '{"interval": "1 month", "from": "2025-01-01", "to": "2025-10-01"}');
SQL
)
same "a range is pruned to what is asked for" "app.orders|1|1" \
    "$(ask "SELECT app.told($range)" | grep 'at >=' | cut -d'|' -f1-3)"

# The same once it is there: rows returned and removed, times loops, of all scans of orders.
run <<'SQL'
CREATE FUNCTION app.looked_at(plan jsonb, relation text) RETURNS numeric LANGUAGE sql AS $$
    SELECT coalesce(sum(CASE WHEN plan->>'Relation Name' ~ ('^' || relation || '(_s\d+|_default|_[0-9a-z]+)?$') AND plan->>'Node Type' LIKE '%Scan' THEN
        ((plan->>'Actual Rows')::numeric + coalesce((plan->>'Rows Removed by Filter')::numeric, 0) + coalesce((plan->>'Rows Removed by Index Recheck')::numeric, 0))
            * (plan->>'Actual Loops')::numeric ELSE 0 END), 0)
        + (SELECT coalesce(sum(app.looked_at(child, relation)), 0) FROM jsonb_array_elements(plan->'Plans') AS child)
$$;
CREATE FUNCTION app.measured(statement text, relation text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE found json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, FORMAT json) ' || statement INTO found;
    RETURN round(app.looked_at((found->0->'Plan')::jsonb, relation));
END
$$;
SQL
for proposal in "$hash" "$range"; do
    run -v id="$proposal" <<'SQL' >/dev/null
BEGIN;
CREATE TEMP TABLE predicted AS SELECT statement, rows_after FROM proposal_evidence(:id);
CREATE TEMP TABLE whole AS TABLE app.orders;
TRUNCATE app.orders;
SET LOCAL search_path = app;
SELECT statement FROM public.proposal_ddl(:id) AS statement \gexec
INSERT INTO app.orders SELECT * FROM whole;
ANALYZE app.orders;
DO $$
DECLARE one record; actual numeric;
BEGIN
    FOR one IN SELECT * FROM predicted LOOP
        actual := app.measured(one.statement, 'orders');
        IF abs(actual - one.rows_after) > greatest(0.1 * actual, 4) THEN
            RAISE EXCEPTION '% looked at % rows, not %', one.statement, actual, one.rows_after;
        END IF;
    END LOOP;
END
$$;
ROLLBACK;
SQL
done
ok "rows looked at are those that EXPLAIN (ANALYZE) counts once the layout is there"

# Nothing remains ---------------------------------------------------------------------------------------------------

run <<'SQL'
CREATE FUNCTION app.remains() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_attribute),
        (SELECT count(*) FROM pg_depend), (SELECT count(*) FROM pg_index), (SELECT count(*) FROM pg_inherits), (SELECT count(*) FROM pg_statistic), (SELECT count(*) FROM pg_proc))
$$;
SQL
files() {
    ask 'CHECKPOINT' >/dev/null
    ask "SELECT count(*) FROM pg_ls_dir('base/' || (SELECT oid FROM pg_database WHERE datname = current_database())) AS f WHERE f ~ '^[0-9]+$'"
}
before=$(ask 'SELECT app.remains()') files=$(files)
ask "SELECT count(*) FROM proposal_evidence($hash)" >/dev/null
same "no row of a catalog remains" "$before" "$(ask 'SELECT app.remains()')"
same "no file" "$files" "$(files)"
same "no lock, in the transaction itself, on anything but our own and the system's" "" "$(run <<SQL | tail -n +2
BEGIN;
SELECT count(*) FROM proposal_evidence($hash);
SELECT l.mode, c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.oid >= 16384 AND c.relnamespace::regnamespace::text <> 'presplit' AND l.mode <> 'AccessShareLock';
COMMIT;
SQL
)"
run -c 'BEGIN; LOCK TABLE app.orders, app.lines IN EXCLUSIVE MODE; SELECT pg_sleep(6)' -c 'COMMIT' >/dev/null &
holder=$!
for _ in {1..50}; do
    [[ $(ask "SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation = 'app.orders'::regclass AND granted") == 1 ]] && break
    sleep 0.1
done
same "whoever holds all but ACCESS SHARE keeps it from nothing" 7 \
    "$(ask "SET lock_timeout = '1ms'; SELECT count(*) FROM proposal_evidence($hash)")"
wait $holder
same "a transaction that may only read is told so" \
    "|PostgreSQL's planner could not be asked: table app.lines could not be rebuilt (cannot execute CREATE SCHEMA in a read-only transaction)." \
    "$(ask "BEGIN READ ONLY; SELECT statement, error FROM proposal_evidence($hash)")"

# Cancelled in between, it leaves nothing and every hook as it was.
run <<'SQL'
SELECT declare_workload((SELECT jsonb_agg(jsonb_build_object('sql', format('SELECT count(*) AS x%s FROM app.orders AS a JOIN app.orders AS b USING (customer) JOIN app.orders AS c ON c.at = b.at WHERE a.state = $1', n),
    'calls_per_second', 1, 'mean_ms', 1)) FROM generate_series(1, 300) AS n), 'declared')
\g /dev/null
SQL
big=$(ask "SELECT register_proposal('app.orders', 'hash', '{id}', '{\"modulus\": 64}')")
for timeout in 30 100 400; do
    found=$(ask "SET statement_timeout = '${timeout}ms'; SELECT count(*) FROM proposal_evidence($big)" || true)
    [[ $found == *"canceling statement due to statement timeout"* ]] || not_ok "cancelled after $timeout ms" "$found"
done
same "cancelled, it leaves nothing" "$before" "$(ask 'SELECT app.remains()')"
same "and plans are as before" "1" "$(psql -qXAt <<SQL 2>/dev/null | tail -n 1
SET statement_timeout = '150ms';
SELECT count(*) FROM proposal_evidence($big);
RESET statement_timeout;
EXPLAIN (COSTS off) SELECT 1;
SELECT 1;
SQL
)"

# Nothing foreign runs ----------------------------------------------------------------------------------------------

# A sequence counts every call, whatever is rolled back.
run <<'SQL'
CREATE SCHEMA evil;
SET search_path = evil, public;
CREATE SEQUENCE calls;
CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN $1; END';
CREATE FUNCTION s(int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN $1; END';
CREATE FUNCTION inlined(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT evil.f($1) + 1';
CREATE FUNCTION rows_of(int) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT evil.s($1)';
CREATE FUNCTION pairs(OUT a int, OUT b int) RETURNS SETOF record LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM nextval(''evil.calls''); END';
CREATE FUNCTION t(text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN true; END';
CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN $1 = $2; END';
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = same, RESTRICT = eqsel, JOIN = eqjoinsel, COMMUTATOR = ===);
CREATE DOMAIN checked AS int CHECK (f(VALUE) > 0);
CREATE DOMAIN listed AS int[] CHECK (t('x'));
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN ''1''; END';
CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood);
CREATE TYPE held AS (a checked, b mood);
CREATE AGGREGATE summed(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN 1; END';
CREATE AGGREGATE stepped(int) (SFUNC = step, STYPE = int, INITCOND = '0');
CREATE FUNCTION point_cmp(point, point) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN 0; END';
CREATE FUNCTION point_lt(point, point) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN true; END';
CREATE OPERATOR <<< (LEFTARG = point, RIGHTARG = point, FUNCTION = point_lt);
CREATE OPERATOR =<= (LEFTARG = point, RIGHTARG = point, FUNCTION = point_lt);
CREATE OPERATOR =>= (LEFTARG = point, RIGHTARG = point, FUNCTION = point_lt);
CREATE OPERATOR >>> (LEFTARG = point, RIGHTARG = point, FUNCTION = point_lt);
CREATE OPERATOR === (LEFTARG = point, RIGHTARG = point, FUNCTION = point_lt);
CREATE OPERATOR CLASS points DEFAULT FOR TYPE point USING btree AS
    OPERATOR 1 <<<, OPERATOR 2 =<=, OPERATOR 3 ===, OPERATOR 4 =>=, OPERATOR 5 >>>, FUNCTION 1 point_cmp(point, point);
CREATE TABLE t (id int, k int DEFAULT f(1) CHECK (f(k) > -1), c checked, m mood, l listed, h held, p point, v int,
    g int GENERATED ALWAYS AS (f(v)) STORED);
CREATE INDEX ON t (f(k));
CREATE INDEX ON t (k) WHERE f(v) > 0;
CREATE INDEX ON t (p);
CREATE INDEX ON t (m);
CREATE VIEW seen AS SELECT id, f(k) AS k, s(v) AS v FROM t WHERE f(id) > 0;
CREATE FUNCTION rule(int) RETURNS bool LANGUAGE plpgsql STABLE LEAKPROOF AS 'BEGIN PERFORM nextval(''evil.calls''); RETURN true; END';
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
ALTER TABLE t FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (rule(id));
INSERT INTO t (id, k, c, m, l, h, p, v) SELECT g, g, 1 + g % 7, 'ok', ARRAY[g], ROW(1, 'sad'::mood)::held, point(g, g), g FROM generate_series(1, 2000) AS g;
ANALYZE t;
SQL
declared '["SELECT * FROM evil.t WHERE id = evil.f(3)", "SELECT * FROM evil.t WHERE id = evil.inlined(3)", "SELECT * FROM evil.t WHERE id = evil.s(3)", "SELECT * FROM evil.t WHERE evil.f(id) = 3",
    "SELECT * FROM evil.t WHERE 1 OPERATOR(evil.===) 1 AND id OPERATOR(evil.===) 3", "SELECT * FROM evil.t WHERE c = 3", "SELECT * FROM evil.t WHERE c = $1::evil.checked", "SELECT * FROM evil.t WHERE c = 3::evil.checked",
    "SELECT * FROM evil.t WHERE m = '"'ok'"'", "SELECT * FROM evil.t WHERE m = ANY ('"'{ok,sad}'"'::evil.mood[])", "SELECT * FROM evil.t WHERE l = '"'{1}'"'", "SELECT * FROM evil.t WHERE h = ROW(1, '"'sad'"')::evil.held",
    "SELECT * FROM evil.t WHERE to_json('"'ok'"'::evil.mood)::text = '"'1'"'", "SELECT * FROM evil.t WHERE json_build_array('"'ok'"'::evil.mood)::text = '"'1'"'", "SELECT evil.summed(id), evil.stepped(id) FROM evil.t GROUP BY evil.f(k)",
    "SELECT evil.stepped(id) OVER (PARTITION BY evil.f(k)) FROM evil.t", "SELECT * FROM evil.t, evil.rows_of(3) AS r WHERE r = id", "SELECT * FROM evil.t, evil.pairs() AS r WHERE r.a = id", "SELECT * FROM evil.t, LATERAL evil.rows_of(t.id) AS r",
    "SELECT * FROM evil.seen WHERE k = 3", "SELECT * FROM evil.t WHERE id IN (SELECT evil.f(2)) OR id = (SELECT evil.f(1))", "INSERT INTO evil.t (id, c) VALUES (evil.f(1), 2)", "INSERT INTO evil.t (id) VALUES (7)",
    "UPDATE evil.t SET k = evil.f(2), c = 5 WHERE id = 3", "DELETE FROM evil.t WHERE id = evil.f(1) RETURNING evil.f(id)", "SELECT * FROM evil.t WHERE p OPERATOR(evil.===) point(1, 1)", "SELECT * FROM evil.t WHERE ARRAY[point(1, 1)] = ARRAY[point(2, 2)]",
    "SELECT * FROM evil.t WHERE (ARRAY[point(1, 1)] < ARRAY[point(2, 2)]) = true ORDER BY p LIMIT 1", "SELECT greatest(point(1, 1), point(2, 2)), t.* FROM evil.t", "SELECT * FROM evil.t WHERE table_to_xml('"'evil.seen'"', true, true, '"''"') IS NOT NULL AND id = 1",
    "SELECT * FROM evil.t WHERE k = length(table_to_xml('"'evil.seen'"', true, true, '"''"')::text)", "SELECT * FROM evil.t WHERE id = CASE WHEN evil.f(1) = 1 THEN 2 ELSE evil.f(3) END", "SELECT * FROM evil.t ORDER BY evil.f(id) LIMIT evil.f(10)",
    "WITH w AS MATERIALIZED (SELECT evil.f(1) AS a) SELECT * FROM evil.t JOIN w ON w.a = t.id", "SELECT * FROM evil.t WHERE (id, k) < (evil.f(1), 2)", "SELECT coalesce(evil.f(1), id), nullif(evil.f(2), 2) FROM evil.t",
    "MERGE INTO evil.t USING (SELECT evil.f(3) AS id) AS x ON x.id = t.id WHEN MATCHED THEN UPDATE SET k = evil.f(4) WHEN NOT MATCHED THEN INSERT (id) VALUES (x.id)"]'
evil=$(ask "SELECT register_proposal('evil.t', 'hash', '{id}', '{\"modulus\": 4}')")
calls=$(ask 'SELECT last_value FROM evil.calls')
found=$(ask "SELECT count(*), count(shards_after) FROM proposal_evidence($evil)")
same "nothing foreign runs" "$calls" "$(ask 'SELECT last_value FROM evil.calls')"
same "though all of it is planned that can be read" "36|36" "$found"
ask "SELECT error, statement FROM proposal_evidence($evil) WHERE error IS NOT NULL" | sed 's/^/    /'
# Whoever names values of a domain has them read, as by CREATE TABLE ... PARTITION OF; what is made of them has not.
listed=$(ask "SELECT register_proposal('evil.t', 'list', '{c}', '{\"lists\": [[\"1\"], [\"2\"]]}')" || true)
calls=$(ask 'SELECT last_value FROM evil.calls')
ask "SELECT count(*) FROM proposal_evidence(${listed//[^0-9]/0})" >/dev/null 2>&1 || true
same "nor is a domain checked by the bounds of shards" "$calls" "$(ask 'SELECT last_value FROM evil.calls')"

# Whatever there is -------------------------------------------------------------------------------------------------

run <<'SQL'
CREATE SCHEMA "Odd ""Schema";
SET search_path = "Odd ""Schema", public;
CREATE TYPE mood AS ENUM ('sad', 'o"k', 'happy, very');
CREATE DOMAIN cents AS int;
CREATE TABLE "t;--" ("select" int PRIMARY KEY, "Ünï" mood, "a b" cents, tags text[], "$1" text);
INSERT INTO "t;--" SELECT g, (ARRAY['sad', 'o"k', 'happy, very'])[1 + g % 3]::mood, g % 10, ARRAY['x', g::text], g FROM generate_series(1, 3000) AS g;
CREATE TABLE parent (id int, at date);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER away FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int) SERVER away;
CREATE VIEW seen AS SELECT t."select" AS id, p.at FROM "t;--" AS t JOIN parts AS p ON p.id = t."select";
CREATE MATERIALIZED VIEW kept AS SELECT 1 AS id;
SELECT format('CREATE TABLE wide (%s)', string_agg(format('c%s %s', n, CASE WHEN n = 1 THEN 'int PRIMARY KEY' ELSE 'text' END), ', ')) FROM generate_series(1, 1600) AS n \gexec
INSERT INTO wide (c1) SELECT generate_series(1, 1000);
ANALYZE "t;--", parts, wide, parent;
PREPARE p AS SELECT 1;
SQL
odd='\"Odd \"\"Schema\"'
declared "[\"SELECT * FROM $odd.\\\"t;--\\\" WHERE \\\"select\\\" = \$1\", \"SELECT * FROM $odd.\\\"t;--\\\" WHERE \\\"Ünï\\\" = \$1 AND \\\"a b\\\" = \$2\", \"SELECT * FROM $odd.\\\"t;--\\\" WHERE \\\"select\\\" = ANY (\$1)\",
    \"SELECT * FROM $odd.\\\"t;--\\\" WHERE \\\"Ünï\\\" = ANY (\$1) AND tags @> \$2\", \"SELECT * FROM $odd.\\\"t;--\\\" WHERE \\\"select\\\" IN (\$1, \$2, \$3)\", \"SELECT * FROM $odd.seen WHERE id = \$1\",
    \"SELECT * FROM $odd.parent JOIN $odd.\\\"t;--\\\" AS t ON t.\\\"select\\\" = parent.id\", \"SELECT * FROM $odd.far JOIN $odd.\\\"t;--\\\" AS t ON t.\\\"select\\\" = far.id\", \"SELECT * FROM $odd.wide WHERE c1 = \$1 AND c1600 = \$2\",
    \"WITH RECURSIVE r AS (SELECT \$1::int AS x UNION ALL SELECT x + 1 FROM r WHERE x < \$2) SELECT * FROM r JOIN $odd.\\\"t;--\\\" AS t ON t.\\\"select\\\" = x\", \"WITH d AS (DELETE FROM $odd.\\\"t;--\\\" WHERE \\\"select\\\" = \$1 RETURNING *) INSERT INTO $odd.parts (id) SELECT \\\"select\\\" FROM d\",
    \"MERGE INTO $odd.\\\"t;--\\\" AS t USING $odd.parts AS p ON p.id = t.\\\"select\\\" AND t.\\\"select\\\" = \$1 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (\\\"select\\\") VALUES (p.id)\", \"SELECT * FROM $odd.\\\"t;--\\\" TABLESAMPLE SYSTEM (\$1)\",
    \"SELECT * FROM $odd.\\\"t;--\\\" AS t WHERE t.\\\"select\\\" = \$1 FOR UPDATE\", \"SELECT count(*) FROM $odd.\\\"t;--\\\" AS a, $odd.\\\"t;--\\\" AS b\", \"SELECT t FROM $odd.\\\"t;--\\\" AS t WHERE t IS NOT NULL\"]"
odd_id=$(ask "SELECT register_proposal('\"Odd \"\"Schema\".\"t;--\"', 'hash', '{select}', '{\"modulus\": 8}')")
found=$(ask "SELECT count(*) || ' of them, ' || count(error) || ' with an error' FROM proposal_evidence($odd_id)")
same "names, views, CTEs, MERGE, inheritance, partitions, foreign tables" "15 of them, 0 with an error" "$found"
ask "SELECT error, statement FROM proposal_evidence($odd_id) WHERE error IS NOT NULL" | sed 's/^/    /'
same "a parameter is drawn for what it is compared with" "1
1
1" "$(ask "SELECT shards_after FROM proposal_evidence($odd_id) WHERE statement LIKE '%\"select\" = \$1' OR statement LIKE '%FOR UPDATE' OR statement LIKE '%seen%'")"
wide_id=$(ask "SELECT register_proposal('\"Odd \"\"Schema\".wide', 'hash', '{c1}', '{\"modulus\": 64}')")
same "1,600 columns" "1|1|" "$(ask "SELECT shards_before, shards_after, error FROM proposal_evidence($wide_id)")"

# Statements that fail, and who may ask ------------------------------------------------------------------------------

declared '["INSERT INTO app.orders (id, customer, at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"]'
same "a statement that would fail says why" \
    "1||ERROR 42P10: there is no unique or exclusion constraint matching the ON CONFLICT specification" \
    "$(ask "SELECT shards_before, shards_after, error FROM proposal_evidence($range)")"
run <<'SQL'
CREATE ROLE clerk LOGIN;
CREATE ROLE owner LOGIN;
GRANT CREATE ON DATABASE what_if TO owner;
CREATE TABLE public.own (id int PRIMARY KEY, v int);
INSERT INTO public.own SELECT g, g FROM generate_series(1, 1000) AS g;
ANALYZE public.own;
ALTER TABLE public.own OWNER TO owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO owner, clerk;
SQL
same "a proposal that is not theirs is hidden from others" "ERROR:  proposal $range does not exist" \
    "$(psql -qXAt -U clerk -c "SELECT * FROM proposal_evidence($range)" 2>&1 | grep ERROR)"
same "an ordinary owner" "1|4" "$(psql -qXAt -U owner <<'SQL' 2>&1
SELECT declare_workload('[{"sql": "SELECT * FROM public.own WHERE v = $1", "calls_per_second": 1}]', 'mine') \g /dev/null
SELECT register_proposal('public.own', 'hash', '{id}', '{"modulus": 4}') AS id \gset
SELECT shards_before, shards_after FROM proposal_evidence(:id);
SQL
)"
same "and after all of it nothing is left" "0" "$(ask "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'presplit\_shadow%'")"
log_is_clean what_if "$(dirname "$0")/allow/what_if"
