#!/usr/bin/env bash
# Readings of pg_stat_statements: what they say against what really ran, over evictions, resets, restarts and crashes;
# who sees them; whose search_path applies; and what cannot be read leaves no trace in the log.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start readings "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" \
    "presplit.worker_naptime = 1" "presplit.databases = 'nowhere'" "pg_stat_statements.max = 100" "pg_stat_statements.track_utility = off" "autovacuum = off"
cluster_use readings
q() { psql -qAtX -v ON_ERROR_STOP=1 -d app "$@"; }
# Every run of f is one more row of truth: what really ran.
run() { # QUERY TIMES
    local script='' turn
    for ((turn = 0; turn < $2; turn++)); do script+="$1;"$'\n'; done
    q -o /dev/null <<<"$script"
}
# Makes a reading due, and waits until it is there; the interval before it becomes longer by a day.
reading() {
    local before
    before=$(q -c "UPDATE presplit.statement_reading SET at = at - interval '1 day' RETURNING extract(epoch FROM at)" 2>/dev/null || true)
    for _ in {1..150}; do
        [[ $(q -c "SELECT extract(epoch FROM at) <> ${before:-0} FROM presplit.statement_reading" 2>/dev/null) == t ]] && return
        sleep 0.2
    done
    not_ok "a reading is made" "none within 30 s"
}
calls() { q -c "SELECT coalesce(sum(calls), 0)::bigint FROM presplit.statements WHERE query LIKE '$1'"; }
note() { q -c 'SELECT note FROM workload_coverage()'; }
has() { # NAME PATTERN FOUND
    if grep -qE -- "$2" <<<"$3"; then ok "$1"; else not_ok "$1" "$3"; fi
}
quiet() { psql -qX -v ON_ERROR_STOP=1 "$@" >/dev/null; }

quiet -d postgres -c 'CREATE DATABASE app' -c 'CREATE DATABASE other' -c 'CREATE DATABASE bare'
quiet -d bare -c 'CREATE EXTENSION pg_presplit'
quiet -d app -c 'CREATE SCHEMA shop' -c 'CREATE TABLE shop.a (id int PRIMARY KEY, b int)' -c 'INSERT INTO shop.a SELECT g, g FROM generate_series(1, 100) AS g' \
    -c 'CREATE SCHEMA "odd ""X"", y"' -c 'CREATE TABLE "odd ""X"", y".t (id int PRIMARY KEY)' -c 'CREATE EXTENSION pg_presplit'

# --- Without counters, and before there are readings
has "without the extension the reason is given" 'not installed in this database' "$(note)"
quiet -d app -c 'CREATE SCHEMA monitoring' -c 'CREATE EXTENSION pg_stat_statements SCHEMA monitoring'
quiet -d other -c 'CREATE TABLE a (id int, b int)'
# Not before: a database without the extension is left alone for a minute.
serve() { quiet -d postgres -c "ALTER SYSTEM SET presplit.databases = '$1'" -c 'SELECT pg_reload_conf()'; }
serve 'app, bare, copy, other'
becomes "the first reading is made" 1 readings 30 -d app -c 'SELECT count(*) FROM presplit.statement_reading'
run 'SELECT b FROM shop.a WHERE id = 1' 5
same "one reading alone says nothing: the counters are taken" 5 "$(calls '%b FROM shop.a WHERE id%')"
has "and the note says so" 'all that pg_stat_statements counted in .* readings cover' "$(note)"

# --- Nothing lost
reading
same "what ran between two readings" 5 "$(calls '%b FROM shop.a WHERE id%')"
has "is what the note says" '^sum of readings of pg_stat_statements over 24\.0 hours$' "$(note)"
run 'SELECT b FROM shop.a WHERE id = 1' 7
same "what ran since the last reading is in it" 12 "$(calls '%b FROM shop.a WHERE id%')"
same "with a text that is not stored yet" 3 "$(run 'SELECT id FROM shop.a WHERE b = 1' 3; calls '%id FROM shop.a WHERE b%')"
psql -qAtX -d other -c 'SELECT b FROM a WHERE id = 1' >/dev/null
reading
same "after the next reading it is the same" 12 "$(calls '%b FROM shop.a WHERE id%')"
same "statements of other databases are not in it" 0 "$(calls '%FROM a WHERE id%')"
same "nor our own, nor utility statements" 0 "$(q -c "SELECT count(*) FROM presplit.statements WHERE query ~ 'presplit|CREATE'")"
same "seconds are those of the readings" t "$(q -c 'SELECT seconds BETWEEN 172800 AND 173800 FROM workload_coverage()')"
reading
same "a reading without changes changes nothing" 12 "$(calls '%b FROM shop.a WHERE id%')"
same "the note has nothing to say" t "$(q -c "SELECT note !~ ';' FROM workload_coverage()")"

# --- A restart that keeps the counters
run 'SELECT b FROM shop.a WHERE id = 1' 2
cluster_restart readings
run 'SELECT b FROM shop.a WHERE id = 1' 3
reading
same "a restart loses nothing" 17 "$(calls '%b FROM shop.a WHERE id%')"
same "and is not a loss" t "$(q -c "SELECT note !~ ';' FROM workload_coverage()")"
same "nor is the pause observed time" t "$(q -c 'SELECT seconds < 4 * 86400 FROM workload_coverage()')"

# --- Resets: of one entry, of all
run 'SELECT b FROM shop.a WHERE id = 1' 2
q -o /dev/null -c "SELECT monitoring.pg_stat_statements_reset(userid, dbid, queryid) FROM monitoring.pg_stat_statements WHERE query LIKE 'SELECT b FROM shop.a WHERE id%'"
run 'SELECT b FROM shop.a WHERE id = 1' 4
reading
same "an entry that was reset is counted from its restart" 21 "$(calls '%b FROM shop.a WHERE id%')"
has "and the note says so" '1 entries began anew' "$(note)"
q -o /dev/null -c 'SELECT monitoring.pg_stat_statements_reset()'
run 'SELECT b FROM shop.a WHERE id = 1' 6
same "a reset since the last reading is seen at once" 27 "$(calls '%b FROM shop.a WHERE id%')"
reading
same "and counted once" 27 "$(calls '%b FROM shop.a WHERE id%')"
has "and the note says so too" 'all counters were reset 1 times' "$(note)"

# --- A crash: the server forgets its counters
cluster_kill readings
cluster_up readings
run 'SELECT b FROM shop.a WHERE id = 1' 30
reading
same "after a crash everything counts from the new start" 57 "$(calls '%b FROM shop.a WHERE id%')"
has "and the note says that counters were lost" 'the server lost its counters 1 times' "$(note)"
pid=$(q -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
kill -9 "$pid"
for _ in {1..100}; do q -c 'SELECT 1' >/dev/null 2>&1 && [[ $(q -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'" 2>/dev/null) != "$pid" ]] && break; sleep 0.2; done
run 'SELECT b FROM shop.a WHERE id = 1' 90
reading
same "so too where the postmaster lived on" 147 "$(calls '%b FROM shop.a WHERE id%')"
has "and the note counts it" 'the server lost its counters 2 times' "$(note)"

# --- Evictions: 600 statements in a table of 100 entries
many=''
for n in {1..600}; do
    many+='SELECT b'
    for ((bits = 1024 + n; bits > 1; bits /= 2)); do if ((bits % 2)); then many+=' + b'; else many+=' - b'; fi; done
    many+=" FROM shop.a WHERE b = 1;"$'\n'
done
for _ in 1 2 3; do q -o /dev/null <<<"$many"; run 'SELECT b FROM shop.a WHERE id = 1' 20; reading; done
found=$(calls 'SELECT b _ b _ b%')
if ((found > 0 && found <= 1800)); then ok "with evictions it is less than the truth, not more"; else not_ok "with evictions it is less than the truth, not more" "$found of 1800"; fi
same "a statement that is run often stays exact" 207 "$(calls '%b FROM shop.a WHERE id%')"
has "evictions are said" 'rare statements were discarded [0-9]+ times' "$(note)"
same "evicted statements keep their text" t "$(q -c "SELECT count(*) > (SELECT count(*) FROM monitoring.pg_stat_statements WHERE query LIKE 'SELECT b _ b _ b%') FROM presplit.statements WHERE query LIKE 'SELECT b _ b _ b%'")"
same "every statement is understood, or small, or lost" 0 "$(q -c "SELECT count(*) FROM presplit.statements WHERE NOT analyzed AND query NOT LIKE '-- statements of small weight%'")"
# Both read the live counters, one after the other; where a worker's own statements evict an entry in between, they count
# different statements. What they say of the same ones is the same, so it is in one of several tries.
for _ in {1..30}; do
    whole=$(q -c "SELECT CASE WHEN abs(c.exec_share - s.share) < 1e-9 THEN 'equal' ELSE c.exec_share || ' is not ' || s.share END
        FROM workload_coverage() AS c, (SELECT sum(exec_ms) FILTER (WHERE analyzed) / sum(exec_ms) AS share FROM presplit.statements) AS s")
    [[ $whole == equal ]] && break
    sleep 0.3
done
same "the shares are of the whole" equal "$whole"

# --- Bounds
same "an hour keeps 500 statements at most" t "$(q -c "SELECT bool_and(json_array_length(content->'statements') <= 500) FROM presplit.statement_hours")"
q -o /dev/null -c "INSERT INTO presplit.statement_hours SELECT h, '{\"seconds\": 3600, \"statements\": []}' FROM generate_series(now() - interval '30 days', now() - interval '2 hours', interval '1 hour') AS h ON CONFLICT DO NOTHING" \
    -c "UPDATE presplit.statement_hours SET hour = hour - interval '20 days' WHERE hour > now() - interval '1 hour'" \
    -c "INSERT INTO presplit.statement_texts SELECT 10, -g, 'SELECT ' || g FROM generate_series(1, 6000) AS g"
run 'SELECT b FROM shop.a WHERE id = 1' 9
reading
same "old hours are dropped" t "$(q -c "SELECT min(hour) >= now() - interval '14 days 1 hour' FROM presplit.statement_hours")"
same "and texts that no hour needs" t "$(q -c 'SELECT count(*) BETWEEN 1 AND 500 FROM presplit.statement_texts')"
same "and what they counted" 9 "$(calls '%b FROM shop.a WHERE id%')"

# --- Who sees what
quiet -d app -c 'CREATE ROLE clerk LOGIN' -c 'CREATE ROLE auditor LOGIN' -c 'GRANT pg_read_all_stats TO auditor' \
    -c 'GRANT USAGE ON SCHEMA shop, monitoring TO clerk' -c 'GRANT SELECT ON shop.a TO clerk' -c 'GRANT CREATE ON DATABASE app TO clerk' -c 'GRANT USAGE ON SCHEMA monitoring TO auditor'
psql -qAtX -U clerk -d app -c 'SELECT b + 1 FROM shop.a WHERE id = 2' >/dev/null
reading
coverage() { psql -qAtX -U "$1" -d app -c "SELECT statements, calls_share FROM workload_coverage()"; }
same "a role sees the statements that it ran" '1|1' "$(coverage clerk)"
quiet -d app -c 'GRANT SELECT ON presplit.statements TO clerk' -c 'GRANT EXECUTE ON FUNCTION presplit.read_statements() TO clerk'
same "and no texts of others, nor their weight" "SELECT b + \$1 FROM shop.a WHERE id = \$2 1" "$(psql -qAtX -U clerk -d app -c 'SELECT query, calls FROM presplit.statements' -F ' ')"
for table in statement_reading statement_hours statement_texts; do
    fails_with "it reads no $table" 'permission denied' psql -qAtX -U clerk -d app -c "SELECT FROM presplit.$table"
done
same "a member of pg_read_all_stats sees all" "$(q -c 'SELECT count(*) FROM presplit.statements')" "$(psql -qAtX -U auditor -d app -c 'SELECT count(*) FROM presplit.statements')"

# --- Whose search_path: role in database, role, database; "$user"; quoted names
quiet -d app -c 'CREATE SCHEMA one' -c 'CREATE SCHEMA two' -c 'CREATE SCHEMA three' -c 'CREATE SCHEMA ann' \
    -c 'CREATE TABLE one.t (id int)' -c 'CREATE TABLE two.t (id int)' -c 'CREATE TABLE three.t (id int)' -c 'CREATE TABLE ann.t (id int)' \
    -c "ALTER DATABASE app SET search_path = one" -c "ALTER DATABASE other SET search_path = two" \
    -c 'CREATE ROLE plain LOGIN' -c 'CREATE ROLE own LOGIN' -c 'CREATE ROLE mixed LOGIN' -c 'CREATE ROLE ann LOGIN' -c 'CREATE ROLE "Odd one" LOGIN' \
    -c 'ALTER ROLE own SET search_path = two' -c 'ALTER ROLE mixed SET search_path = two' -c 'ALTER ROLE mixed IN DATABASE app SET search_path = three' \
    -c 'ALTER ROLE mixed IN DATABASE other SET search_path = one' -c "ALTER ROLE ann SET search_path = \"\$user\", one" \
    -c 'ALTER ROLE "Odd one" IN DATABASE app SET search_path = "odd ""X"", y", one' \
    -c 'GRANT USAGE ON SCHEMA one, two, three, ann, "odd ""X"", y" TO PUBLIC' -c 'GRANT SELECT ON one.t, two.t, three.t, ann.t, "odd ""X"", y".t TO PUBLIC'
for role in plain own mixed ann 'Odd one'; do psql -qAtX -U "$role" -d app -c 'SELECT id FROM t WHERE id = 1' >/dev/null; done
reading
same "each role's statement is read with its path" \
    '"odd ""X"", y".t 1,ann.t 1,one.t 1,three.t 1,two.t 1' \
    "$(q -c "SELECT string_agg(relation || ' ' || calls, ',' ORDER BY relation COLLATE \"C\") FROM public.analyze_workload() WHERE access = 'equality' AND relation ~ 't\$'")"

# --- Copies and look-alikes
serve nowhere
sleep 2
for _ in {1..50}; do psql -qX -d postgres -c 'CREATE DATABASE copy TEMPLATE app' 2>/dev/null && break; sleep 0.2; done
has "a copy of the database does not take over its readings" 'recorded no readings' "$(psql -qAtX -d copy -c 'SELECT note FROM workload_coverage()')"
q -o /dev/null -c 'CREATE TABLE public.planted (what text)' -c "CREATE FUNCTION monitoring.pg_stat_statements(b boolean, more int DEFAULT 1) RETURNS SETOF monitoring.pg_stat_statements
    LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.planted VALUES (current_user); RETURN; END'"
before=$(q -c 'SELECT max(at) FROM presplit.statement_reading')
q -o /dev/null -c "UPDATE presplit.statement_reading SET at = at - interval '1 hour'"
serve 'app, bare, copy, other'
becomes "a copy begins anew" t readings 30 -d copy -c "SELECT count(*) = 1 AND (SELECT count(*) = 0 FROM presplit.statement_hours) FROM presplit.statement_reading AS r JOIN pg_database AS d ON d.oid = r.database WHERE d.datname = 'copy'"
sleep 2
same "a function beside the extension's own is not called" 0 "$(q -c 'SELECT count(*) FROM public.planted')"
same "and no reading is made" t "$(q -c "SELECT at < '$before' FROM presplit.statement_reading")"
q -o /dev/null -c 'DROP FUNCTION monitoring.pg_stat_statements(boolean, int)'
reading
same "until it is gone" 0 "$(q -c 'SELECT count(*) FROM public.planted')"
same "a database without pg_stat_statements has no readings" 0 "$(psql -qAtX -d bare -c 'SELECT count(*) FROM presplit.statement_reading')"

# Somebody's lock only delays.
q -o /dev/null -c "UPDATE presplit.statement_reading SET at = at - interval '1 hour'"
before=$(q -c 'SELECT at FROM presplit.statement_reading')
q -o /dev/null -c "BEGIN; LOCK TABLE presplit.statement_reading; SELECT pg_sleep(3)"
becomes "a lock only delays" t readings 20 -d app -c "SELECT at <> '$before' FROM presplit.statement_reading"

log_is_clean readings "$PRESPLIT_ROOT/tests/server/allow/readings"
exit "$CHECKS_FAILED"
