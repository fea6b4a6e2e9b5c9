#!/usr/bin/env bash
# profile_backup(): the dump of one database in every format gives the same profile; it says of the schema what
# capture_profile() says of the source, and of the rows what ANALYZE finds, within tolerances; nothing of a dump is
# run; what is no whole dump is refused with the reason, and a cancel ends the work and the program.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start backup "$version" "shared_preload_libraries = 'pg_presplit'" "autovacuum = off"
cluster_use backup
tmp=$(cluster_tmp backup)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

# A source with everything that is awkward to describe, and two tables whose statistics matter.
run -d postgres -c 'CREATE DATABASE source' -c 'CREATE DATABASE target'
PGOPTIONS='-c client_min_messages=error' run -d source -f "$PRESPLIT_ROOT/tests/fixtures/hostile_schema.sql" >/dev/null
run -d source >/dev/null <<'SQL'
-- The server itself runs some of it here.
SET log_min_messages = error;
SET client_min_messages = error;
CREATE SEQUENCE public.touched;
CREATE FUNCTION public.planted(v anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM pg_catalog.nextval('public.touched'); RAISE WARNING 'planted'; RETURN true; END $$;
CREATE FUNCTION public.planted_cast(v int) RETURNS other."st.at""us" LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN RAISE WARNING 'planted'; RETURN 'new'; END $$;
CREATE CAST (int AS other."st.at""us") WITH FUNCTION public.planted_cast(int) AS IMPLICIT;
CREATE DOMAIN public.watched AS int CHECK (public.planted(VALUE));
CREATE TABLE public.trap (
  id public.watched, a int DEFAULT 7 + public.planted(1)::int, b int GENERATED ALWAYS AS (public.planted(1)::int) STORED,
  state other."st.at""us" DEFAULT 1::other."st.at""us",
  CONSTRAINT planted CHECK (public.planted(a) AND a IS NOT NULL)
);
CREATE INDEX trap_planted ON public.trap (public.planted(a), a) WHERE public.planted(a);
CREATE VIEW public.trap_view AS SELECT public.planted(id::int) AS p, id FROM public.trap;
CREATE TABLE public."'; DROP TABLE public.orders; --" ("); SELECT planted(1); --" int PRIMARY KEY);
CREATE TABLE public.orders (
  id bigint PRIMARY KEY, placed_at timestamptz NOT NULL, customer int NOT NULL, status text NOT NULL,
  amount numeric(10,2), note text, at_address inet, took interval, flag boolean, rate float8
);
INSERT INTO public.orders
SELECT g, '2024-01-01 UTC'::timestamptz + g * interval '5 minutes', (g * 7919::bigint) % 5000,
       (ARRAY['new', 'paid', 'sent', 'sent', 'done', 'done', 'done', 'done'])[1 + g % 8],
       CASE WHEN g % 5 > 0 THEN (g % 1000) / 10.0 END, repeat('text ', g % 20), ('10.0.' || g % 250 || '.1')::inet,
       (g % 300) * interval '1 minute', g % 3 = 0, sqrt(g)
FROM generate_series(1, 120000) AS g;
CREATE INDEX orders_placed ON public.orders (placed_at);
CREATE INDEX orders_customer ON public.orders (customer, status);
CREATE TABLE public.measures (device int NOT NULL, at timestamp NOT NULL, v float8, PRIMARY KEY (device, at)) PARTITION BY RANGE (at);
CREATE TABLE public.measures_1 PARTITION OF public.measures FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE public.measures_2 (v float8, at timestamp NOT NULL, device int NOT NULL) WITH (fillfactor = 70);
ALTER TABLE public.measures ATTACH PARTITION public.measures_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO public.measures SELECT g % 50, '2024-01-01'::timestamp + g * interval '1 minute', g FROM generate_series(0, 80000) AS g;
-- Types that nobody uses, ranges with and without a name for their multirange, collations of every place.
CREATE SCHEMA signs;
CREATE COLLATION signs.own FROM "C";
CREATE DOMAIN signs.plain AS text;
CREATE DOMAIN signs.sorted AS text COLLATE "C";
CREATE DOMAIN signs.deeper AS signs.sorted COLLATE signs.own;
CREATE TYPE signs.unused AS ENUM ('a');
CREATE TYPE signs."my_range" AS RANGE (subtype = varchar, collation = "C");
CREATE TYPE signs.spans AS RANGE (subtype = signs.plain, multirange_type_name = other.many_spans);
CREATE TYPE signs.pair AS (t text COLLATE "C", n name, m signs."my_multirange");
CREATE TABLE signs.typed OF signs.pair (n NOT NULL);
CREATE TABLE signs.collated (
  a text, b text COLLATE "C", c text COLLATE signs.own, d signs.sorted, e signs.sorted COLLATE "default", f signs.deeper,
  g name, h name COLLATE "default", i text[] COLLATE signs.own, j other.many_spans, k other.many_spans[], l signs.spans
);
CREATE TABLE signs.below (z int) INHERITS (signs.collated);
CREATE VIEW signs.guarded WITH (security_barrier) AS SELECT a FROM signs.collated;
CREATE VIEW signs.unguarded WITH (security_barrier = false) AS SELECT a FROM signs.collated;
CREATE VIEW signs.checked WITH (check_option = local, security_barrier = yes) AS SELECT a FROM signs.collated WHERE a > 'm';
CREATE FUNCTION signs.f(character, bit, interval, numeric, "char", anyelement, VARIADIC "any") RETURNS bpchar
  LANGUAGE internal AS 'pg_num_nulls';
CREATE FUNCTION signs.f(a int, OUT b int, c timestamp(3)[] DEFAULT NULL, INOUT d bit varying DEFAULT '1', e time = '0:00') RETURNS SETOF record
  LANGUAGE sql STABLE ROWS 7 COST 3 AS 'SELECT 1, $3';
CREATE FUNCTION signs.out(OUT unused signs.collated) LANGUAGE sql STRICT AS 'SELECT NULL::signs.collated';
CREATE FUNCTION signs.f() RETURNS TABLE (x int) LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT 1; END;
CREATE FUNCTION signs.ranked() RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE AS 'window_row_number';
CREATE FUNCTION signs."last"(internal) RETURNS date LANGUAGE internal AS 'pg_typeof';
CREATE FUNCTION signs.nothing("left" void) RETURNS void LANGUAGE internal AS 'pg_typeof';
CREATE FUNCTION signs.done(signs.pair) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION signs.step(signs.pair, int, VARIADIC text[]) RETURNS signs.pair LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION signs.done_all(signs.pair, int, VARIADIC text[]) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';
CREATE AGGREGATE signs.agg(n int, VARIADIC "te xt" text[]) (SFUNC = signs.step, STYPE = signs.pair, FINALFUNC = signs.done);
CREATE AGGREGATE signs.agg_all(int, VARIADIC text[]) (SFUNC = signs.step, STYPE = signs.pair, FINALFUNC = signs.done_all, FINALFUNC_EXTRA);
CREATE AGGREGATE signs.counted(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
CREATE AGGREGATE signs.rest(anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray, INITCOND = '{}');
CREATE FUNCTION signs.nth(anycompatiblearray, float8) RETURNS float8 LANGUAGE sql AS 'SELECT $2';
CREATE AGGREGATE signs.nth(float8 ORDER BY anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray, FINALFUNC = signs.nth);
CREATE FUNCTION other.of_pair(signs.pair, int[]) RETURNS bool LANGUAGE sql STABLE STRICT AS 'SELECT true';
CREATE OPERATOR signs.<=> (LEFTARG = signs.pair, RIGHTARG = int[], FUNCTION = other.of_pair, COMMUTATOR = OPERATOR(signs.<==>));
CREATE OPERATOR signs.@@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE AGGREGATE signs.average(int8) (SFUNC = int8_avg_accum, STYPE = internal, FINALFUNC = numeric_poly_avg);
SELECT pg_catalog.setval('public.touched', 1, false);
VACUUM ANALYZE;
SQL
run -d source -c 'CREATE EXTENSION pg_presplit'
run -d target -c 'CREATE EXTENSION pg_presplit'

pg_dump -Fc -f "$tmp/custom" source
pg_dump -Fd -j2 -f "$tmp/directory" source
pg_dump -Ft -f "$tmp/tar" source
pg_dump -v -f "$tmp/plain" source 2>/dev/null
pg_dump --inserts -f "$tmp/inserts" source
pg_dump --column-inserts --rows-per-insert=97 -Fc -f "$tmp/column_inserts" source
pg_dump -s -f "$tmp/schema" source
chmod -R a+rX "$tmp"

# Same profile ----------------------------------------------------------------------------------------------------

facts="profile - 'captured_at' - 'database'"
for kind in custom directory tar plain inserts column_inserts; do
    same "profile of $kind" "$kind" "$(run -d target -c "SELECT profile_backup('$tmp/$kind', '$kind')" 2>&1)"
done
same "all formats give the same profile" 1 \
    "$(run -d target -c "SELECT count(DISTINCT $facts) FROM presplit.stored_profiles")"
same "also within the source, where the functions exist" t "$(run -d source -c "SELECT profile_backup('$tmp/plain')" >/dev/null 2>&1
    run -d source -c "SELECT ($facts) ->> 'tables' = (SELECT ($facts) ->> 'tables' FROM presplit.stored_profiles) FROM presplit.stored_profiles")"
same "no function of the dump was run" f "$(run -d source -c 'SELECT is_called FROM public.touched')"
same "the moment is that of the dump" t "$(run -d target -c \
    "SELECT bool_and(abs(extract(epoch FROM now() - (profile->>'captured_at')::timestamptz)) < 600) FROM presplit.stored_profiles")"
same "the database and its version are known" "source|$version" "$(run -d target -c \
    "SELECT profile->>'database', (profile->>'server_version_num')::int / 10000 FROM presplit.stored_profiles WHERE name = 'tar'")"

# Same schema as the source ---------------------------------------------------------------------------------------

run -d source -c "SELECT capture_profile()" >"$tmp/captured"
chmod a+r "$tmp/captured"
run -d target >/dev/null <<SQL
CREATE TABLE captured AS SELECT convert_from(pg_read_binary_file('$tmp/captured'), 'UTF8')::jsonb AS profile;
CREATE VIEW both_profiles AS
SELECT 'captured' AS origin, profile FROM captured
UNION ALL SELECT 'dump', profile FROM presplit.stored_profiles WHERE name = 'custom';
CREATE VIEW tables AS
SELECT origin, t->>'schema' AS schema, t->>'table' AS name, t
FROM both_profiles, jsonb_array_elements(profile->'tables') AS t;
CREATE VIEW columns AS
SELECT origin, schema, name, c->>'name' AS column, c, c->'statistics' AS s, (t->>'rows')::float8 AS rows
FROM tables, jsonb_array_elements(t->'columns') AS c;
SQL
differences() { # SELECT of the dump's and the source's, as text: lines that are on one side only
    run -d target -c "SELECT coalesce(string_agg(format('%s: %s', origin, left(line, 300)), E'\n'), '') FROM (
        SELECT min(origin) AS origin, line FROM ($1) AS q (origin, line) GROUP BY line HAVING count(*) = 1 ORDER BY line LIMIT 8) AS d"
}
same "tables are the same" "" "$(differences \
    "SELECT origin, (t - '{rows,heap_bytes,index_bytes,toast_bytes,counters,columns,extended_statistics}'::text[])::text FROM tables")"
same "columns are the same" "" "$(differences "SELECT origin, schema || name || (c - 'statistics')::text FROM columns")"
same "types are the same" "" "$(differences "SELECT origin, x::text FROM both_profiles, jsonb_array_elements(profile->'types') AS x")"
for list in collations functions operators; do
    same "$list are the same" "" "$(differences "SELECT origin, x::text FROM both_profiles, jsonb_array_elements(profile->'$list') AS x
        WHERE x->>'name' NOT IN ('@@@', 'average')")"
done
same "many signatures are compared" t "$(run -d target -c "SELECT count(*) >= 48 FROM both_profiles, jsonb_array_elements(profile->'functions')")"
same "what rests on functions of the server is named" 't|{captured}' "$(run -d target -c "
    SELECT (SELECT profile->'workload'->>'note' LIKE '%does not define are left out: signs.average, signs.\"@@@\"%' FROM both_profiles WHERE origin = 'dump'),
           (SELECT array_agg(DISTINCT origin) FROM both_profiles, jsonb_array_elements(profile->'functions' || (profile->'operators')) AS x
            WHERE x->>'name' IN ('@@@', 'average'))")"
same "views are the same" "" "$(differences "SELECT origin, x::text FROM both_profiles, jsonb_array_elements(profile->'views') AS x")"
same "rows are the same" "" "$(differences "SELECT origin, schema || name || (t->>'rows')::float8 FROM tables WHERE t->>'kind' <> 'foreign'")"
# Generated values are not in a dump.
same "the same values travel" "" "$(differences "SELECT origin, x FROM both_profiles, jsonb_array_elements_text(profile->'values_of') AS x
    WHERE x NOT LIKE '%doubled%'")"

# Same statistics as ANALYZE, within tolerances -------------------------------------------------------------------

run -d target >/dev/null <<'SQL'
CREATE VIEW pairs AS
SELECT a.schema, a.name, a.column, a.s AS a, b.s AS b, a.rows
FROM columns AS a JOIN columns AS b USING (schema, name, "column")
WHERE a.origin = 'captured' AND b.origin = 'dump' AND a.s <> 'null' AND b.s <> 'null';
CREATE FUNCTION off(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
  EXECUTE 'SELECT coalesce(string_agg(format(''%s.%s: %s / %s'', name, "column", left(a::text, 200), left(b::text, 200)), E''\n''), '''') FROM pairs WHERE NOT coalesce(' || condition || ', true)' INTO found;
  RETURN found;
END $$;
SQL
off() { run -d target -c "SELECT off(\$\$$1\$\$)"; }
same "many columns are compared" t "$(run -d target -c 'SELECT count(*) > 40 FROM pairs')"
same "null fractions agree within 0.01" "" "$(off "abs((a->>'null_fraction')::float8 - (b->>'null_fraction')::float8) < 0.01")"
# How well text compresses is not known, and of composites their text alone.
same "widths agree within a tenth, or a byte" "" "$(off \
    "\"column\" IN ('body', 'both_of') OR abs((a->>'width')::float8 - (b->>'width')::float8) <= greatest(1, 0.1 * (a->>'width')::float8)")"
distinct() { echo "(CASE WHEN ($1->>'distinct')::float8 < 0 THEN -($1->>'distinct')::float8 * rows ELSE ($1->>'distinct')::float8 END)"; }
same "distinct values agree within a fifth" "" "$(off \
    "(a->>'distinct')::float8 = 0 OR abs(ln(greatest(1, $(distinct a)) / greatest(1, $(distinct b)))) < 0.2")"
# That of a partitioned table depends on the order of its partitions.
same "correlations agree within 0.1" "" "$(off "name = 'events' OR abs((a->>'correlation')::float8 - (b->>'correlation')::float8) < 0.1")"
same "the most common value is as common within 0.02" "" "$(off \
    "abs((a->'common_fractions'->>0)::float8 - (b->'common_fractions'->>0)::float8) < 0.02")"
same "common values of small tables are the same" "" "$(off "rows > 30000 OR a->'common_values' = b->'common_values'")"
same "histograms of small tables are the same" "" "$(off "rows > 30000 OR a->'histogram' = b->'histogram'")"
same "the median of a time agrees within two hundredths of its span" t "$(run -d target -c "
    SELECT bool_and(abs(extract(epoch FROM (a->'histogram'->>50)::timestamptz - (b->'histogram'->>50)::timestamptz))
                    < 0.02 * extract(epoch FROM (a->'histogram'->>100)::timestamptz - (a->'histogram'->>0)::timestamptz))
    FROM pairs WHERE \"column\" = 'placed_at'")"
# ANALYZE takes more rows of a partition with a low fill factor, a dump has as many of each: the median is the truth.
same "that of a partitioned table is the truth" t "$(run -d target -c "
    SELECT bool_and(abs(extract(epoch FROM (s->'histogram'->>50)::timestamp - ('2024-01-01'::timestamp + interval '40000 minutes'))) < 0.02 * 80000 * 60)
    FROM columns WHERE origin = 'dump' AND name = 'measures' AND \"column\" = 'at'")"
size() { # PART: tables whose sizes differ by more than a tenth and 8 pages
    run -d target -c "SELECT coalesce(string_agg(format('%s: %s / %s', name, a, b), '; '), '') FROM (
        SELECT name, max((t->>'$1')::float8) FILTER (WHERE origin = 'captured') AS a, max((t->>'$1')::float8) FILTER (WHERE origin = 'dump') AS b
        FROM tables WHERE t->>'kind' <> 'foreign' AND name <> 'events' GROUP BY schema, name) AS s WHERE abs(a - b) > 65536 + $2 * a"
}
same "heaps have their size within a tenth" "" "$(size heap_bytes 0.1)"
same "indexes have their size within a quarter" "" "$(size index_bytes 0.25)"

# A proposal from it ----------------------------------------------------------------------------------------------

same "a proposal is made of it" t "$(run -d target -c \
    "SELECT count(*) > 10 FROM propose_shards(profile => 'custom')")"
same "growth is forecast from the times of the rows" t "$(run -d target -c \
    "SELECT bool_and(rows > 120000) FROM predict_growth('public.orders', '30 days', 'custom')")"
same "the schema alone is a profile too" "0|t" "$(run -d target -c "SELECT profile_backup('$tmp/schema', 'schema')" >/dev/null
    run -d target -c "SELECT max((t->>'rows')::float8), bool_or(profile->'workload'->>'note' LIKE '%no rows%')
                      FROM presplit.stored_profiles, jsonb_array_elements(profile->'tables') AS t WHERE name = 'schema'")"
if ((version >= 18)); then
    pg_dump --statistics -Fc -f "$tmp/statistics" source
    chmod a+r "$tmp/statistics"
    run -d target -c "SELECT profile_backup('$tmp/statistics', 'statistics')" >/dev/null
    same "statistics of the dump are taken as they are" "" "$(run -d target -c "SELECT string_agg(format('%s.%s %s', name, \"column\", s), '; ') FROM (
        SELECT name, \"column\", min(s::text) AS s FROM (
            SELECT t->>'table' AS name, c->>'name' AS column,
                   jsonb_build_array(c->'statistics'->'distinct', c->'statistics'->'null_fraction', c->'statistics'->'common_values', c->'statistics'->'histogram') AS s
            FROM (SELECT profile FROM captured UNION ALL SELECT profile FROM presplit.stored_profiles WHERE name = 'statistics') AS p,
                 jsonb_array_elements(p.profile->'tables') AS t, jsonb_array_elements(t->'columns') AS c
            WHERE t->>'table' IN ('orders', 'measures', 'parent')) AS q
        GROUP BY name, \"column\" HAVING count(DISTINCT s) > 1) AS d")"
fi

# What is no whole dump -------------------------------------------------------------------------------------------

refuses() { # NAME PATTERN PATH
    fails_with "$1" "$2" psql -qAtX -v VERBOSITY=verbose -v ON_ERROR_STOP=1 -d target -c "SELECT profile_backup('$3', 'bad')"
}
head -c 200000 "$tmp/plain" >"$tmp/cut"
head -c 60000 "$tmp/custom" >"$tmp/cut_custom"
pg_dump -a -f "$tmp/data" -t public.parent source
gzip -c "$tmp/schema" >"$tmp/schema.gz"
mkfifo "$tmp/fifo"
mkdir "$tmp/empty"
echo 'SELECT 1;' >"$tmp/text"
pg_dumpall -f "$tmp/all"
pg_dump --encoding=SJIS -t public.parent -f "$tmp/sjis" source
cp -r "$tmp/directory" "$tmp/damaged"
for file in "$tmp"/damaged/*.gz; do head -c 3 "$file" >"$file.cut"; mv "$file.cut" "$file"; done
chmod -R a+rX "$tmp"
refuses "a missing file is refused" '58030.*No such file' "$tmp/none"
refuses "a folder that is no dump is refused" '58030.*is not a dump' "$tmp/empty"
refuses "a pipe is refused" '58030.*is not a regular file' "$tmp/fifo"
refuses "a text that is no dump is refused" '58030.*is not a dump' "$tmp/text"
refuses "a dump without its end is refused" '58030.*is not complete' "$tmp/cut"
refuses "an archive without its end is refused, in pg_restore's words" 'pg_restore: error' "$tmp/cut_custom"
refuses "a damaged folder is refused, in pg_restore's words" 'pg_restore: error' "$tmp/damaged"
refuses "data alone are refused" '58030.*defines no tables' "$tmp/data"
refuses "a compressed text is refused" '58030.*is compressed' "$tmp/schema.gz"
refuses "several databases are refused" '0A000.*several databases' "$tmp/all"
refuses "an encoding that hides letters is refused" '0A000.*SJIS' "$tmp/sjis"
same "and nothing was stored" 0 "$(run -d target -c "SELECT count(*) FROM presplit.stored_profiles WHERE name = 'bad'")"

# Another encoding ------------------------------------------------------------------------------------------------

run -d postgres -c "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
run -d latin -c "SET client_encoding = 'UTF8'" -c "CREATE TYPE mood AS ENUM ('größer', 'a')" \
    -c "CREATE TABLE \"Straße\" (\"maß\" text PRIMARY KEY, m mood)" \
    -c "INSERT INTO \"Straße\" SELECT 'ü', 'größer'" -c "CREATE INDEX ON \"Straße\" (m)" -c "CREATE TABLE many (t text)" \
    -c "INSERT INTO many SELECT 'é' || g % 3 FROM generate_series(1, 100) AS g" -c 'CREATE INDEX ON many (t)'
pg_dump -Fc -f "$tmp/latin" latin
chmod a+r "$tmp/latin"
run -d target -c "SELECT profile_backup('$tmp/latin', 'latin')" >/dev/null
same "text in Latin 1 is converted" 'Straße|maß|["é1", "é0", "é2"]' "$(run -d target -c "
    SELECT (SELECT t->>'table' FROM jsonb_array_elements(profile->'tables') AS t WHERE t->>'table' LIKE 'S%'),
           (SELECT t->'columns'->0->>'name' FROM jsonb_array_elements(profile->'tables') AS t WHERE t->>'table' LIKE 'S%'),
           (SELECT t->'columns'->0->'statistics'->'common_values' FROM jsonb_array_elements(profile->'tables') AS t WHERE t->>'table' = 'many')
    FROM presplit.stored_profiles WHERE name = 'latin'")"

# What another version wrote --------------------------------------------------------------------------------------

{
    echo '-- PostgreSQL database dump'
    echo 'CREATE TABLE public.known (id integer NOT NULL);'
    echo 'CREATE TABLE public.newer (id integer, CONSTRAINT x SOMETHING NEW (id));'
    printf 'COPY public.known (id) FROM stdin;\n1\n2\n\\.\nCOPY public.newer (id) FROM stdin;\n1\n\\.\n'
    echo '-- PostgreSQL database dump complete'
} >"$tmp/newer"
chmod a+r "$tmp/newer"
run -d target -c "SELECT profile_backup('$tmp/newer', 'newer')" >/dev/null
same "what cannot be read is named" 't|t|["known"]' "$(run -d target -c "SELECT profile->'workload'->>'note' LIKE '%CREATE TABLE public.newer%syntax error%',
    profile->'workload'->>'note' LIKE '%does not define are left out: public.newer%', jsonb_path_query_array(profile, '\$.tables[*].table') FROM presplit.stored_profiles WHERE name = 'newer'")"

# A cancel --------------------------------------------------------------------------------------------------------

{
    echo '-- PostgreSQL database dump'
    echo 'CREATE TABLE public.wide (t text);'
    echo 'COPY public.wide (t) FROM stdin;'
} >"$tmp/endless"
truncate -s 200G "$tmp/endless"
# Hours of data in a small file: a gzip file may be many in a row.
head -c 64M /dev/zero | gzip -1 >"$tmp/part.gz"
for turn in {1..300}; do cat "$tmp/part.gz"; done >"$tmp/much.gz"
cp -r "$tmp/directory" "$tmp/long"
for file in "$tmp"/long/*.gz; do ln -f "$tmp/much.gz" "$file"; done
chmod -R a+rX "$tmp"
cancelled() { # NAME PATH
    local begin end
    begin=$(date +%s%N)
    fails_with "$1" 'statement timeout' psql -qAtX -d target -c "SET statement_timeout = '700ms'" -c "SELECT profile_backup('$2', 'bad')"
    end=$(date +%s%N)
    same "$1, at once" t "$( (((end - begin) / 1000000 < 1900)) && echo t)"
}
cancelled "a row without an end is cancelled" "$tmp/endless"
cancelled "a program at work is cancelled" "$tmp/long"
same "no program is left" "" "$(pgrep -f "pg_restore .*$tmp/long" || true)"

log_is_clean backup "$PRESPLIT_ROOT/tests/server/allow/profile_backup"
exit "$CHECKS_FAILED"
