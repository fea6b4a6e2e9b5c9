#!/usr/bin/env bash
# Statements and profiles as nobody should write them: each is answered, none raises an error out of the analysis, nothing
# of it remains, wherever the analysis is called.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start statements "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'"
cluster_use statements
psql -qX -d postgres -c 'CREATE DATABASE statements'
export PGDATABASE=statements
psql -qX -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit' >/dev/null
psql -qX -v ON_ERROR_STOP=1 <<'SQL' >/dev/null
CREATE FUNCTION profile(tables jsonb, statements text[], more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('format', 'pg_presplit profile', 'version', 2, 'captured_at', '2026-01-01T00:00:00Z',
        'server_version_num', 150000, 'database', 'd', 'tables', tables,
        'workload', jsonb_build_object('search_paths', '{"": ["app", "public"]}'::jsonb, 'statements', coalesce((
            SELECT jsonb_agg(jsonb_build_object('queryid', n, 'query', s, 'calls', 1, 'exec_ms', 1, 'rows', 1))
            FROM unnest(statements) WITH ORDINALITY AS x (s, n)), '[]'))) || more
$$;
CREATE FUNCTION type(name text, schema text DEFAULT 'pg_catalog') RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_build_object('schema', schema, 'name', name, 'text', name, 'array', false) $$;
CREATE FUNCTION tab(name text, columns jsonb, schema text DEFAULT 'app') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('schema', schema, 'table', name, 'kind', 'ordinary', 'rows', 10, 'heap_bytes', 8192,
                              'index_bytes', 0, 'toast_bytes', 0, 'columns', columns)
$$;
CREATE FUNCTION col(name text, of jsonb DEFAULT type('int4')) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_build_object('name', name, 'type', of, 'not_null', false) $$;
CREATE FUNCTION cols(VARIADIC names text[]) RETURNS jsonb LANGUAGE sql AS
    $$ SELECT jsonb_agg(col(n)) FROM unnest(names) AS n $$;
-- How many statements of a profile are analysed.
CREATE FUNCTION covered(p jsonb) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM import_profile(p, 'one');
    RETURN (SELECT analyzed || ' of ' || statements FROM workload_coverage('one'));
END
$$;
SQL
ask() { psql -qXAt -v ON_ERROR_STOP=1 -c "$1" 2>&1; }

# Statements -------------------------------------------------------------------------------------------------------

table="jsonb_build_array(tab('t', cols('a', 'b')), tab('u', cols('a')))"
covered() { ask "SELECT covered(profile($table, $1))"; }
same "statements that are cut, empty, several, or of no sense" "0 of 12" "$(covered "ARRAY['SELECT * FROM t WHERE a = ', 'SELECT ''open', '', ';', '--', 'SELECT 1; SELECT 2', E'\\\\x', 'SELECT * FROM dropped', 'SELECT nothing FROM t', 'SELECT f(', 'DO \$x\$BEGIN END\$x\$', 'DROP TABLE t']")"
same "each for itself among good ones" "2 of 4" "$(covered "ARRAY['SELECT * FROM t', 'SELECT * FROM x', 'SELECT a FROM t WHERE b = 1', 'SELEC']")"
same "a megabyte of text" "1 of 1" "$(covered "ARRAY['SELECT * FROM t WHERE a = 1 AND b = ' || repeat('1 + ', 250) || '1 /*' || repeat('x', 1000000) || '*/']")"
same "a hundred thousand elements" "1 of 1" "$(covered "ARRAY['SELECT * FROM t WHERE a IN (' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 100000) AS g) || ')']")"
same "and so many parameters" "1 of 1" "$(covered "ARRAY['SELECT * FROM t WHERE a IN (' || (SELECT string_agg('\$' || g, ',') FROM generate_series(1, 60000) AS g) || ')']")"
same "ten thousand parentheses" "0 of 1" "$(covered "ARRAY['SELECT * FROM t WHERE a = ' || repeat('(', 10000) || '1' || repeat(')', 10000)]")"
for depth in 500 1000 2000 3000 5000; do
    for form in "repeat('(1+', $depth) || 'a' || repeat(')', $depth)" "repeat('NOT (', $depth) || 'a=1' || repeat(')', $depth)" \
        "repeat('CASE WHEN a=1 THEN 1 ELSE ', $depth) || '1' || repeat(' END', $depth)" "repeat('a IN (SELECT ', $depth) || '1' || repeat(')', $depth)"; do
        found=$(covered "ARRAY['SELECT * FROM t WHERE (' || $form || ') IS NOT NULL']")
        [[ $found == ?" of 1" ]] || not_ok "depth $depth of $form" "$found"
    done
done
ok "depths that PostgreSQL takes or refuses"
same "five thousand columns and aliases" "1 of 1" "$(covered "ARRAY['SELECT ' || (SELECT string_agg('a AS x' || g, ',') FROM generate_series(1, 1600) AS g) || ' FROM t']")"
same "parameters without numbers that fit" "0 of 2" "$(covered "ARRAY['SELECT * FROM t WHERE a = \$0', 'SELECT \$99999999999']")"
same "two hundred joins" "1 of 1" "$(covered "ARRAY['SELECT 1 FROM t t0' || (SELECT string_agg(format(' JOIN t t%s ON t%s.a = t%s.a', g, g, g - 1), '') FROM generate_series(1, 200) AS g) || ' WHERE t0.a = 1']")"
# Profiles ---------------------------------------------------------------------------------------------------------

wide="(SELECT jsonb_agg(col('c' || g)) FROM generate_series(1, 10000) AS g)"
same "ten thousand columns: exactly their statements are refused" "1 of 2" "$(ask "SELECT covered(profile(jsonb_build_array(tab('w', $wide), tab('t', cols('a'))), ARRAY['SELECT c1 FROM w', 'SELECT a FROM t']))")"
same "with the reason" 'relation app.w could not be rebuilt: tables can have at most 1600 columns (42P01)' "$(ask "SELECT import_profile(profile(jsonb_build_array(tab('w', $wide)), ARRAY['SELECT c1 FROM w']), 'zz'); SELECT reason FROM presplit.statements WHERE query = 'SELECT c1 FROM w'" | tail -n 1)"
same "names that want to get out" "5 of 5" "$(ask "SELECT covered(profile(jsonb_build_array(
    tab('x\"; DROP TABLE y; --', cols('a\"b', 'select', 'übermäßig lang bis zur Grenze der Namen, die PostgreSQL noch')),
    tab('t', cols('a'), 'we\"ird'), tab('t', cols('a'), 'information_schema'), tab('tt', cols('a'), 'pg_temp')),
    ARRAY['SELECT \"a\"\"b\", \"select\" FROM app.\"x\"\"; DROP TABLE y; --\"', 'SELECT a FROM \"we\"\"ird\".t', 'SELECT a FROM information_schema.t',
          'SELECT a FROM pg_temp.tt', 'SELECT \"übermäßig lang bis zur Grenze der Namen, die PostgreSQL noch\" FROM app.\"x\"\"; DROP TABLE y; --\"']))")"
same "types that want to get out, or hold themselves" "0 of 3" "$(ask "SELECT covered(profile(jsonb_build_array(
    tab('e', jsonb_build_array(col('a', type('int4); DROP TABLE x; --')))), tab('r', jsonb_build_array(col('a', type('round', 'app')))),
    tab('l', jsonb_build_array(col('a', type('long', 'app'))))),
    ARRAY['SELECT a FROM e', 'SELECT a FROM r', 'SELECT a FROM l'],
    jsonb_build_object('types', jsonb_build_array(
        jsonb_build_object('schema', 'app', 'name', 'round', 'kind', 'composite', 'attributes', jsonb_build_array(jsonb_build_object('name', 'x', 'type', type('round', 'app')))),
        jsonb_build_object('schema', 'app', 'name', 'long', 'kind', 'enum', 'labels', jsonb_build_array(repeat('x', 100)))))))")"
same "views that name each other, that are none, that end" "2 of 5" "$(ask "SELECT covered(profile(jsonb_build_array(tab('t', cols('a'))),
    ARRAY['SELECT * FROM v1', 'SELECT * FROM v2', 'SELECT * FROM v3', 'SELECT * FROM v4', 'SELECT * FROM v5'],
    jsonb_build_object('views', jsonb_build_array(
        jsonb_build_object('schema', 'app', 'view', 'v1', 'definition', 'SELECT * FROM app.v2'),
        jsonb_build_object('schema', 'app', 'view', 'v2', 'definition', 'SELECT * FROM app.v1'),
        jsonb_build_object('schema', 'app', 'view', 'v3', 'definition', 'SELECT 1; DROP TABLE app.t'),
        jsonb_build_object('schema', 'app', 'view', 'v4', 'definition', 'SELECT a FROM app.t WITH CHECK OPTION; --'),
        jsonb_build_object('schema', 'app', 'view', 'v5', 'definition', 'SELECT a FROM app.t; -- ')))))")"
same "functions and operators that want to get out" "1 of 3" "$(ask "SELECT covered(profile(jsonb_build_array(tab('t', cols('a'))),
    ARRAY['SELECT app.f(a) FROM t WHERE app.g(a) IS NULL', 'SELECT app.h(a) FROM t', 'SELECT a OPERATOR(app.+) 1 FROM t'],
    jsonb_build_object('functions', jsonb_build_array(
        jsonb_build_object('schema', 'app', 'name', 'f', 'kind', 'function', 'arguments', jsonb_build_array(type('int4')), 'argument_names', jsonb_build_array('x int) RETURNS int AS '''' --'), 'result', type('int4'), 'volatility', 'stable'),
        jsonb_build_object('schema', 'app', 'name', 'g', 'kind', 'function', 'arguments', jsonb_build_array(type('int4')), 'result', type('trigger'), 'volatility', 'stable'),
        jsonb_build_object('schema', 'app', 'name', 'h', 'kind', 'function', 'arguments', jsonb_build_array(type('int4')), 'defaults', 99, 'variadic', false, 'result', type('text'), 'volatility', 'stable')),
    'operators', jsonb_build_array(jsonb_build_object('schema', 'app', 'name', '+ (LEFTARG = int)', 'left', type('int4'), 'right', type('int4'), 'result', type('int4'), 'volatility', 'stable')))))")"
same "a zero byte is no JSON" "22P05" "$(psql -qXAt -v VERBOSITY=sqlstate -c "SELECT import_profile('{\"format\": \"pg_presplit profile\\u0000\"}')" 2>&1 | grep -o '[0-9A-Z]\{5\}' | tail -n 1)"

# Where it is called ----------------------------------------------------------------------------------------------

psql -qX -v ON_ERROR_STOP=1 -c 'CREATE TABLE public.live (a int)' -c "SELECT import_profile(profile($table, ARRAY['SELECT * FROM t', 'SELECT * FROM public.live']), 'two')" >/dev/null
coverage="SELECT analyzed || ' of ' || statements FROM workload_coverage('two')"
state="SELECT count(*) FROM pg_class UNION ALL SELECT count(*) FROM pg_proc UNION ALL SELECT count(*) FROM pg_namespace UNION ALL SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()"
before=$(ask "$state")
same "in a subtransaction, then the transaction goes on" "2 of 2|2 of 2|1" "$(psql -qXAt -v ON_ERROR_STOP=1 <<SQL | paste -sd '|'
BEGIN;
SAVEPOINT s;
$coverage;
ROLLBACK TO s;
$coverage;
COMMIT;
SELECT 1;
SQL
)"
same "in a function with an exception block" "2 of 2" "$(psql -qXAt <<SQL
CREATE FUNCTION public.f() RETURNS text LANGUAGE plpgsql AS \$\$ DECLARE r text; BEGIN BEGIN $(sed 's/SELECT \(.*\) FROM workload/SELECT \1 INTO r FROM workload/' <<<"$coverage"); EXCEPTION WHEN OTHERS THEN r := SQLERRM; END; RETURN r; END \$\$;
SELECT public.f();
DROP FUNCTION public.f();
SQL
)"
same "in a read-only transaction what exists is analysed" "1 of 2" "$(psql -qXAt -c 'BEGIN READ ONLY' -c "$coverage" -c 'COMMIT')"
psql -qX -v ON_ERROR_STOP=1 -c "SELECT import_profile(profile($table, array_fill('SELECT * FROM t WHERE a IN (' || (SELECT string_agg(g::text, ',') FROM generate_series(1, 3000) AS g) || ')', ARRAY[3000])), 'long')" >/dev/null
same "a statement_timeout ends it" "57014" "$(psql -qXAt -v VERBOSITY=sqlstate -c "SET statement_timeout = '300ms'" -c "SELECT * FROM workload_coverage('long')" 2>&1 | grep -o '57014' | head -n 1)"
same "nothing remains" "$before" "$(ask "$state")"

log_is_clean statements "$PRESPLIT_ROOT/tests/server/allow/statements"
exit "$CHECKS_FAILED"
