#!/usr/bin/env bash
# import_log() reads what a real server logs: simple, prepared and multi-statement texts in a csvlog and a jsonlog give the
# calls that pg_stat_statements counts on the same run, text by text. Files that are no logs are refused, and a cancel works.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start log "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" "logging_collector = on" \
    "log_destination = 'stderr,csvlog,jsonlog'" "log_directory = 'logs'" "log_filename = 'server.log'" \
    "log_min_duration_statement = 0" "pg_stat_statements.track = top"
cluster_use log
tmp=$(cluster_tmp log)
logs=${CLUSTER_DIR[log]}/data/logs
psql -qX -d postgres -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE DATABASE shop' -c 'CREATE DATABASE other'
shop() { psql -qAtX -d shop "$@"; }
shop -v ON_ERROR_STOP=1 -o /dev/null -c 'CREATE EXTENSION pg_presplit' -c 'CREATE SCHEMA w' \
    -c 'CREATE TABLE w.items (id int PRIMARY KEY, kind int, name text, price numeric(8,2), at date)' \
    -c "INSERT INTO w.items SELECT g, g % 10, 'item ' || g, g, '2026-01-01'::date + g % 100 FROM generate_series(1, 1000) AS g"

# --- What runs ---------------------------------------------------------------------------------------------------

PGOPTIONS='-c client_min_messages=error' shop >/dev/null 2>&1 <<'SQL' || true
SELECT * FROM w.items WHERE id = 5;
select *  from w.items
  where id = 6; -- the same
SELECT name FROM w.items WHERE kind IN (1, 2, 3) AND price > -1.5 ORDER BY 1 LIMIT 3;
SELECT name FROM w.items WHERE kind IN (4, 5) AND price > -2 ORDER BY 1 LIMIT 5;
SELECT kind, sum(price)::numeric(10,2) FROM w.items WHERE name LIKE 'item 1%' OR name = E'it\'s' GROUP BY 1 HAVING count(*) > 0;
SELECT count(*) FROM w.items WHERE at >= date '2026-01-05' AND at < date '2026-01-05' + interval '1 day';
SELECT count(*) FROM w.items AS a JOIN w.items AS b ON true WHERE a.name IS NULL AND b.id = 1;
UPDATE w.items SET price = price + 1, name = NULL WHERE id = 7;
INSERT INTO w.items (id, kind, name) VALUES (2001, 1, 'a "quoted" name'), (2002, 2, $$two
lines$$);
DELETE FROM w.items WHERE id = 2001;
SELECT 1 FROM w.items WHERE id = 1 \; SELECT 2 FROM w.items WHERE id = 2 \; SELECT count(*) FROM w.items;
SELECT 1 / 0 FROM w.items;
SELECT nothing FROM w.items;
BEGIN;
WITH x AS (SELECT id FROM w.items WHERE id < 10) SELECT count(*) FROM x;
COMMIT;
CREATE ROLE secret PASSWORD 'w.secret';
DROP ROLE secret;
PREPARE p (int, text) AS SELECT * FROM w.items WHERE id = $1 AND name <> $2 AND kind <> 99;
EXECUTE p (1, 'it''s');
EXECUTE p (2, 'b');
EXECUTE p (3, 'c');
SET log_min_duration_statement = -1;
SET log_statement = 'all';
SELECT max(price) FROM w.items WHERE kind = 3;
SELECT max(price) FROM w.items WHERE kind = 1 / 0;
SET log_duration = on;
SELECT min(price) FROM w.items WHERE kind = 4;
EXECUTE p (4, 'd');
SQL
if ((version >= 16)); then
    shop -o /dev/null <<<"SELECT * FROM w.items WHERE kind = \$1 AND name = \$2 \\bind 3 'it''s' \\g"
fi
printf '%s\n' '\set i random(1, 1000)' 'SELECT name FROM w.items WHERE id = :i;' 'UPDATE w.items SET kind = kind + 1 WHERE id = :i;' >"$tmp/run.sql"
for mode in simple extended prepared; do
    pgbench -n -M $mode -c 2 -t 40 -f "$tmp/run.sql" shop >/dev/null 2>&1
done
psql -qAtX -d other -o /dev/null -c 'SELECT 1 AS elsewhere'

# The collector may lag: the last statement of all must have come through.
becomes_written() { # FILE
    for _ in {1..100}; do
        grep -q elsewhere "$1" && return
        sleep 0.1
    done
    not_ok "the collector wrote $1"
}
becomes_written "$logs/server.csv"
becomes_written "$logs/server.json"

# --- The same as pg_stat_statements ------------------------------------------------------------------------------

# Texts in one form: no case, no spaces, parameters without numbers, lists without length, PREPARE without its head.
plain="regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(lower(query), '--.*?(\n|\$)|/[*].*?[*]/', '', 'g'),
       '^\s*prepare [^(]*([(].*?[)] )?as', ''), '\s+', '', 'g'), '[\$]\d+', '?', 'g'), 'in[(][?](,[?])*[)]', 'in(?)', 'g')"
counted=$(psql -qAtX -d postgres -c "SELECT text, sum(calls)::bigint FROM (SELECT $plain AS text, calls FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'shop') AND query LIKE '%w.items%' AND query !~* '^(create|grant|drop)') AS x
    GROUP BY text ORDER BY text COLLATE \"C\"")
measured=$(psql -qAtX -d postgres -c "SELECT sum(total_exec_time) FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'shop') AND query LIKE '%w.items%' AND query !~* '^(create|grant|drop)'")
for format in csv json; do
    read=$(shop -c "SELECT import_log('logs/server.$format', '${format}log', '$format')")
    found=$(shop -c "SELECT text, sum(calls)::bigint FROM (SELECT $plain AS text, calls FROM presplit.stored_profiles AS p
        CROSS JOIN LATERAL jsonb_to_recordset(p.profile->'workload'->'statements') AS s (query text, calls float8)
        WHERE p.name = '$format' AND query LIKE '%w.items%') AS x GROUP BY text ORDER BY text COLLATE \"C\"")
    same "calls by text of the ${format}log are those of pg_stat_statements" "$counted" "$found"
    same "and all executions are told" "t" "$(shop -c "SELECT $read >= $(awk -F'|' '{n += $2} END {print n}' <<<"$found")")"
    same "their time is at least that of execution alone" "t" "$(shop -c "SELECT sum(exec_ms) > 0.9 * $measured FROM presplit.stored_profiles AS p
        CROSS JOIN LATERAL jsonb_to_recordset(p.profile->'workload'->'statements') AS s (query text, exec_ms float8) WHERE p.name = '$format'")"
done
same "more than a dozen texts were compared" "t" "$( (($(wc -l <<<"$counted") > 12)) && echo t)"
# Lines of two sessions may stand in another order, and so are others sampled of many.
same "both formats give the same statements and values" "1" "$(shop -c "SELECT count(DISTINCT all_of_it) FROM (SELECT jsonb_agg(jsonb_build_array(query, calls,
    round(exec_ms, 2), CASE WHEN calls <= 20 THEN samples END) ORDER BY query COLLATE \"C\") AS all_of_it FROM presplit.stored_profiles AS p
    CROSS JOIN LATERAL jsonb_to_recordset(p.profile->'workload'->'statements') AS s (query text, calls numeric, exec_ms numeric, samples jsonb)
    WHERE query LIKE '%w.items%' GROUP BY p.name) AS x")"
same "values of EXECUTE, of parameters and of constants are kept" "t|t|t" "$(shop -c "SELECT bool_or(s @> '[[\"1\", \"it''s\", \"99\"]]'),
    bool_or(q LIKE '%kind = kind + %'), bool_or(q LIKE 'SELECT * FROM w.items WHERE id = \$1' AND s @> '[[\"5\"], [\"6\"]]')
    FROM presplit.stored_profiles AS p CROSS JOIN LATERAL jsonb_to_recordset(p.profile->'workload'->'statements') AS x (query text, samples jsonb)
    CROSS JOIN LATERAL (SELECT query AS q, samples AS s) AS y WHERE p.name = 'csv' AND samples IS NOT NULL")"
same "no password came along" "0" "$(shop -c "SELECT count(*) FROM presplit.stored_profiles WHERE profile::text LIKE '%secret%'")"
shop -o /dev/null -c "SELECT declare_workload((SELECT jsonb_agg(jsonb_build_object('sql', s->>'query', 'calls_per_second', 1)) FROM presplit.stored_profiles AS p
    CROSS JOIN LATERAL jsonb_array_elements(p.profile->'workload'->'statements') AS s WHERE p.name = 'csv' AND s->>'query' LIKE '%w.items%' AND s->>'query' !~ '(date|interval|generate_series)[ (][$]'))"
same "the statements are understood" "" "$(shop -c "SELECT query, reason FROM presplit.statements WHERE NOT analyzed AND query LIKE '%w.items%'")"
same "on live tables" "t" "$(shop -c "SELECT bool_or(columns = '{id}' AND access = 'equality' AND calls > 200) FROM analyze_workload('csv') WHERE relation = 'w.items'")"

# --- Files that are no logs, and a cancel ------------------------------------------------------------------------

mkfifo "$tmp/pipe"
head -c 300000 /dev/urandom >"$tmp/noise"
{ cat "$logs/server.csv"; head -c 40 "$logs/server.csv"; } >"$tmp/cut"
{ tail -c +50 "$logs/server.csv"; printf '\0\0\0\0'; head -n 3 "$logs/server.csv"; } >"$tmp/headless"
gzip -c "$logs/server.csv" >"$tmp/packed"
for _ in {1..200}; do cat "$logs/server.csv"; done >"$tmp/long"
chmod -R a+rX "$tmp"
chmod a+rw "$tmp/pipe"
import() { timeout 60 psql -qAtX -d shop -v ON_ERROR_STOP=1 -c "SELECT import_log('$tmp/$1', name => 'damaged')"; }
fails_with "a pipe is refused at once" 'is not a regular file' import pipe
fails_with "noise is no log" 'is not a csvlog' import noise
fails_with "nor is a compressed one" 'is not a csvlog' import packed
fails_with "a folder is refused" 'is not a regular file' import .
fails_with "a missing file is told" 'No such file' import nothing
whole=$(shop -c "SELECT import_log('logs/server.csv', name => 'whole')")
succeeds "a log whose last line was cut is read" test "$(import cut)" -ge $((whole - 20))
succeeds "and one whose first line was" test "$(import headless)" -ge $((whole - 20))
same "what was no record is said" "t" "$(shop -c "SELECT profile->'workload'->>'note' LIKE '%no records of a log%' FROM presplit.stored_profiles WHERE name = 'damaged'")"
fails_with "a long log can be cancelled" 'statement timeout' \
    psql -qAtX -d shop -v ON_ERROR_STOP=1 -c "SET statement_timeout = '30ms'" -c "SELECT import_log('$tmp/long')"

# The server's own messages went to the collector's files.
if grep -aE 'PANIC:|FATAL:|XX000|terminated by signal' "$logs/server.log"; then not_ok "log of the server"; else ok "log of the server"; fi
exit "$CHECKS_FAILED"
