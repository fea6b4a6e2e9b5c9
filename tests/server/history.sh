#!/usr/bin/env bash
# The size history against what really happened: loads, deletes, TRUNCATE, rewrites, drops, detached and attached
# partitions, resets of the counters, crashes, restores, copies of the database, dumps; and the profile that carries it.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start history "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "presplit.databases = 'nowhere'" "autovacuum = off"
cluster_use history
tmp=$(cluster_tmp history)
q() { psql -qAtX -v ON_ERROR_STOP=1 -d app "$@"; }
# Makes a look due, and waits until it is made. An empty statement lets this session's counters be seen first.
tick() { # [DATABASE]
    local before database=${1:-app}
    before=$(psql -qAtX -d "$database" -c "UPDATE presplit.size_reading SET at = at - interval '1 day' RETURNING extract(epoch FROM at)")
    for _ in {1..150}; do
        [[ $(psql -qAtX -d "$database" -c "SELECT extract(epoch FROM at) <> ${before:-0} FROM presplit.size_reading
            WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())") == t ]] && return
        sleep 0.1
    done
    not_ok "a look is made" "none within 15 s"
}
# rows, inserted, deleted, loaded, dropped, event of the last line.
last() { # TABLE [DATABASE]
    psql -qAtX -d "${2:-app}" -c "SELECT rows, inserted, deleted, loaded, dropped, event FROM presplit.size_history
        WHERE table_name = '$1' ORDER BY at DESC LIMIT 1"
}

psql -qX -d postgres -c 'CREATE DATABASE app'
q -c 'CREATE TABLE t (id int PRIMARY KEY, v text)' -c "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 1000) AS g"
q -c 'CREATE TABLE rest (id int)' -c 'CREATE EXTENSION pg_presplit'
q -c 'CREATE TABLE p (day int, v int) PARTITION BY RANGE (day)' -c 'CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (1) TO (2)' \
    -c 'CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (2) TO (3)' -c 'INSERT INTO p SELECT 1 + g % 2, g FROM generate_series(1, 1000) AS g'
psql -qX -d postgres -c "ALTER SYSTEM SET presplit.databases = 'app'" -c 'SELECT pg_reload_conf()' >/dev/null
becomes "the first look writes down how things are" "1000|0|0|0|0|" history 30 -d app -c \
    "SELECT rows, inserted, deleted, loaded, dropped, event FROM presplit.size_history WHERE table_name = 't'"
same "heap, indexes and TOAST apart" t "$(q -c "SELECT heap_bytes = pg_relation_size('t') AND index_bytes = pg_relation_size('t_pkey')
    AND toast_bytes = 8192 AND bytes = heap_bytes + index_bytes + toast_bytes FROM presplit.size_history WHERE table_name = 't'")"
same "of partitioned tables and of each of their shards" "p 1000, p1 500, p2 500" "$(q -c \
    "SELECT string_agg(table_name || ' ' || rows, ', ' ORDER BY table_name) FROM presplit.size_history WHERE table_name LIKE 'p%'")"

q -c "COPY (SELECT g, 'y' FROM generate_series(2001, 2500) AS g) TO '$tmp/rows'" -c "COPY t FROM '$tmp/rows'" -c 'DELETE FROM t WHERE id <= 100'
tick
same "COPY and DELETE are inflow and removal" "1400|500|100|0|0|" "$(last t)"
same "a table at rest writes nothing" 1 "$(q -c "SELECT count(*) FROM presplit.size_history WHERE table_name = 'rest'")"

q -c 'SELECT pg_stat_reset()' -o /dev/null
q -c 'INSERT INTO t SELECT g FROM generate_series(3001, 3010) AS g'
tick
same "a reset of the counters loses nothing" "1410|510|100|0|0|" "$(last t)"
q -c "SELECT pg_stat_reset_single_table_counters('rest'::regclass)" -o /dev/null
q -c 'INSERT INTO t SELECT g FROM generate_series(4001, 4010) AS g'
tick
same "nor does that of another table" "1420|520|100|0|0|" "$(last t)"
cluster_kill history
cluster_up history
q -c 'INSERT INTO t SELECT g FROM generate_series(5001, 5020) AS g'
tick
same "nor a crash" "1440|540|100|0|0|" "$(last t)"
cluster_restart history
q -c 'INSERT INTO t SELECT g FROM generate_series(6001, 6001) AS g'
tick
same "nor a restart" "1441|541|100|0|0|" "$(last t)"

q -c 'VACUUM FULL t'
tick
same "VACUUM FULL is a rewrite" "1441|541|100|0|0|rewrite" "$(last t)"
q -c 'TRUNCATE t'
tick
same "TRUNCATE is an event" "0|541|100|0|1441|truncate" "$(last t)"
q -c 'INSERT INTO t SELECT g FROM generate_series(1, 50) AS g'
tick
same "and what comes after it is inflow" "50|591|100|0|1441|" "$(last t)"

q -c 'ALTER TABLE p DETACH PARTITION p1'
tick
same "a detached partition" "500|0|0|0|500|detach" "$(last p)"
q -c 'ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (1) TO (2)'
tick
same "an attached one" "1000|0|0|500|500|attach" "$(last p)"
q -c 'DROP TABLE p1' -c 'CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (3) TO (4)' -c 'INSERT INTO p SELECT 3, g FROM generate_series(1, 70) AS g'
tick
same "a dropped one, and inflow into a new one" "570|70|0|500|1000|drop" "$(last p)"
same "whose own history goes with it" 0 "$(q -c "SELECT count(*) FROM presplit.size_history WHERE table_name = 'p1'")"
q -c 'BEGIN' -c 'CREATE TABLE p2a (LIKE p)' -c 'CREATE TABLE p2b (LIKE p)' -c 'INSERT INTO p2a SELECT * FROM p2 WHERE v % 3 = 0' \
    -c 'INSERT INTO p2b SELECT * FROM p2 WHERE v % 3 <> 0' -c 'DROP TABLE p2' -c 'UPDATE p2a SET day = 4' -c 'UPDATE p2b SET day = 5' \
    -c 'ALTER TABLE p ATTACH PARTITION p2a FOR VALUES FROM (4) TO (5)' -c 'ALTER TABLE p ATTACH PARTITION p2b FOR VALUES FROM (5) TO (6)' -c 'COMMIT'
tick
same "a split moves rows and nothing else" "570|70|0|500|1000|move" "$(last p)"
q -c 'CREATE TABLE loaded AS SELECT g AS id FROM generate_series(1, 3000) AS g'
tick
same "CREATE and a first load are no inflow" "3000|0|0|3000|0|load" "$(last loaded)"

# Our own restore: into a table that was armed.
pg_dump -Fc -t loaded -f "$tmp/loaded.dump" app
q -c "ALTER DATABASE app SET session_preload_libraries = 'pg_presplit'"
q -o /dev/null -c "SELECT create_shards(register_proposal('loaded', 'hash', '{id}', '{\"modulus\": 4}'), replace => true)"
pg_restore --clean --if-exists -d app "$tmp/loaded.dump"
tick
same "a restore of a table into shards moves it" "3000|0|0|3000|0|move" "$(last loaded)"
pg_restore --data-only -d app "$tmp/loaded.dump"
tick
same "what comes through the restore hook is loaded" "6000|0|0|6000|0|restore" "$(last loaded)"

# Somebody's lock.
q -c 'BEGIN; LOCK TABLE t; SELECT pg_sleep(4)' >/dev/null &
becomes "somebody locks a table" t history 10 -d app -c "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock')"
q -c 'INSERT INTO rest VALUES (1)'
tick
same "a lock keeps no other table from being looked at" t "$(q -c \
    "SELECT count(*) > 1 AND EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessExclusiveLock')
     FROM presplit.size_history WHERE table_name = 'rest'")"
wait

# A copy of the database goes on from the sums, with counters of its own.
psql -qX -d postgres -c 'CREATE DATABASE copy TEMPLATE app' >/dev/null
q -c 'INSERT INTO t SELECT g FROM generate_series(101, 110) AS g'
# Before the worker looks at it for the first time.
psql -qX -d copy -c 'INSERT INTO t SELECT g FROM generate_series(101, 103) AS g'
psql -qX -d postgres -c "ALTER SYSTEM SET presplit.databases = 'app, copy'" -c 'SELECT pg_reload_conf()' >/dev/null
tick
tick copy
same "the original does not notice its copy" "60|601|100|0|1441|" "$(last t)"
becomes "a copy begins with a look of its own" 1 history 20 -d copy -c \
    "SELECT count(*) FROM presplit.size_reading WHERE database = (SELECT oid FROM pg_database WHERE datname = 'copy')"
psql -qX -d copy -c 'INSERT INTO t SELECT g FROM generate_series(201, 205) AS g'
tick copy
same "and counts on from there" "596|100|0|1441" "$(last t copy | cut -d'|' -f2-5)"

# The profile carries it; so does a dump.
psql -qXAt -d app -f "$PRESPLIT_ROOT/sql/capture_profile.sql" >"$tmp/p.json" 2>/dev/null
same "script and function carry the same history" "$(q -c "SELECT md5((capture_profile()->'history')::text)")" \
    "$(q -v file="$tmp/p.json" <<<"SELECT md5((pg_read_file(:'file')::jsonb->'history')::text)")"
same "with its last line for t" "60|601" "$(q -c "SELECT h->>'rows', h->>'inserted' FROM jsonb_array_elements(capture_profile()->'history') AS h WHERE h->>'table' = 't' ORDER BY h->>'at' DESC LIMIT 1")"
same "but not of shards" 0 "$(q -c "SELECT count(*) FROM jsonb_array_elements(capture_profile()->'history') AS h WHERE h->>'table' IN ('p2', 'p3')")"
psql -qX -d postgres -c 'CREATE DATABASE target'
psql -qX -v ON_ERROR_STOP=1 -d target -c 'CREATE EXTENSION pg_presplit' -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/p.json" >/dev/null
same "and the target forecasts from it" t "$(psql -qAtX -d target -c "SELECT model LIKE '% recorded sizes, %' FROM predict_growth('t', '1 day')")"
q -c 'CREATE ROLE nobody' && same "whoever sees a table sees its history" t "$(q -c 'SET SESSION AUTHORIZATION nobody' -c \
    "SELECT jsonb_array_length(capture_profile()->'history') > 3")"
pg_dump -Fc -f "$tmp/app.dump" app
psql -qX -d postgres -c 'CREATE DATABASE again'
succeeds "a dump with the history loads" pg_restore --exit-on-error -d again "$tmp/app.dump"
same "with all of it" "$(q -c 'SELECT count(*), sum(inserted) FROM presplit.size_history')" \
    "$(psql -qAtX -d again -c 'SELECT count(*), sum(inserted) FROM presplit.size_history')"
same "and without the last look" 0 "$(psql -qAtX -d again -c 'SELECT count(*) FROM presplit.size_reading')"

# What is declared for tables that are here, that a profile knows, and that nobody knows.
model() { psql -qAtX -d "$1" -c "SELECT DISTINCT model FROM predict_growth('$2', '10 days')"; }
psql -qX -d target -c "SELECT configure_shards('later', '{\"expected_rows_per_day\": 100}')" >/dev/null
same "a table that nobody knows" "declared 100 rows per day, ±100 % of growth, nothing observed, its rows are assumed to take 100 bytes" "$(model target later)"
same "from nothing" "0 1000 2000 100000" "$(psql -qAtX -d target -c "SELECT rows_lower, rows, rows_upper, bytes FROM predict_growth('later', '10 days') ORDER BY at DESC LIMIT 1" | tr '|' ' ')"
psql -qX -d target -c "SELECT configure_shards('t', '{\"predicted_data_volume\": 1000}')" >/dev/null
same "the size of one table" t "$(psql -qAtX -d target -c "SELECT round(bytes) = 1000 * 1048576 AND bytes_lower < 1e8 AND model LIKE 'declared 1000 MB at the horizon, now %'
    FROM predict_growth('t', '10 days') ORDER BY at DESC LIMIT 1")"
same "the size of all of them" t "$(psql -qAtX -d target -c "SET presplit.predicted_data_volume = '3000MB'" -c \
    "SELECT sum(g.bytes) BETWEEN 2999 * 1048576.0 AND 3001 * 1048576.0
     FROM (SELECT DISTINCT format('%I.%I', t->>'schema', t->>'table') AS name FROM presplit.stored_profiles, jsonb_array_elements(profile->'tables') AS t) AS t
     CROSS JOIN LATERAL (SELECT bytes FROM predict_growth(t.name, '10 days') ORDER BY at DESC LIMIT 1) AS g")"
fails_with "and what nobody knows nor declared is an error" 'table "public.nowhere" does not exist here or in the profile' \
    psql -qX -d target -c "SELECT * FROM predict_growth('nowhere')"

log_is_clean history "$PRESPLIT_ROOT/tests/server/allow/history"
exit "$CHECKS_FAILED"
