#!/usr/bin/env bash
# The background worker: records sizes, stands in nobody's way, survives what happens to databases and to itself.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start worker "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1"
cluster_use worker
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE DATABASE early'
psql -qX -v ON_ERROR_STOP=1 -d early -c 'CREATE TABLE t AS SELECT g FROM generate_series(1, 10000) AS g'
psql -qX -v ON_ERROR_STOP=1 -d early -c 'ANALYZE t' -c 'CREATE EXTENSION pg_presplit'

becomes "the launcher runs" 1 worker 20 -d early -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit launcher' AND datname IS NULL"
becomes "check_shards() sees it, whoever asks" 0 worker 20 -d early -c 'SET SESSION AUTHORIZATION pg_database_owner' \
    -c "SELECT count(*) FROM check_shards() WHERE object = 'pg_presplit worker'"
becomes "sizes are recorded, also where the extension came later" t worker 90 -d early -c \
    "SELECT count(*) = 1 AND bool_and(rows = 10000) AND bool_and(bytes > 300000) FROM presplit.size_history WHERE table_name = 't'"
sleep 3
same "but not more often than every five minutes" 1 "$(psql -qAtX -d early -c "SELECT count(*) FROM presplit.size_history WHERE table_name = 't'")"
due() { psql -qX -v ON_ERROR_STOP=1 -d early -c "UPDATE presplit.size_reading SET at = at - interval '6 minutes', thinned_at = thinned_at - interval '1 day'"; }
psql -qX -d early -c 'INSERT INTO t VALUES (0)'
due
becomes "and then again" 2 worker 20 -d early -c "SELECT count(*) FROM presplit.size_history WHERE table_name = 't'"

# Old readings become fewer: 5 minutes for 2 days, hours for 8 weeks, days for 2 years.
psql -qX -v ON_ERROR_STOP=1 -d early <<'SQL'
INSERT INTO presplit.size_history (schema_name, table_name, at, rows, bytes, inserted, updated, deleted, event)
SELECT 'public', 'old', at, 1, 1, row_number() OVER (ORDER BY at), 0, 0,
       CASE WHEN at::time BETWEEN '11:30' AND '11:45' THEN 'truncate' WHEN at::time BETWEEN '12:00' AND '12:15' THEN 'load, truncate' END
FROM generate_series(date_trunc('day', now() - interval '800 days', 'UTC'), now() - interval '1 day', interval '20 minutes') AS at;
SQL
due
becomes "and old readings are thinned" t worker 30 -d early -c \
    "SELECT count(*) BETWEEN 2000 AND 2300 AND min(at) > now() - interval '732 days' FROM presplit.size_history WHERE table_name = 'old'"
same "to the last of each day, each hour, and all of two days" "23:40:00|40|00:20:00" "$(psql -qAtX -d early -c \
    "WITH h AS (SELECT at AT TIME ZONE 'UTC' AS at, lead(at) OVER (ORDER BY at) - at AS pause FROM presplit.size_history WHERE table_name = 'old')
     SELECT (SELECT min(at::time) FROM h WHERE at < now() - interval '58 days'),
            (SELECT min(extract(minute FROM at)::int) FROM h WHERE at BETWEEN now() - interval '50 days' AND now() - interval '3 days'),
            (SELECT max(pause) FROM h WHERE at > now() - interval '46 hours')")"
same "what happened in a day is still told" "load, truncate" "$(psql -qAtX -d early -c \
    "SELECT DISTINCT event FROM presplit.size_history WHERE table_name = 'old' AND at < now() - interval '58 days'")"
same "and nothing that came in is lost" t "$(psql -qAtX -d early -c \
    "SELECT max(inserted) - min(inserted) > 71 * 729 FROM presplit.size_history WHERE table_name = 'old'")"

# Nobody is connected for long: these fail if a worker stays.
for turn in 1 2 3; do
    succeeds "CREATE DATABASE … TEMPLATE while it runs ($turn)" psql -qX -d postgres -c "CREATE DATABASE copy TEMPLATE early"
    succeeds "ALTER DATABASE … RENAME ($turn)" psql -qX -d postgres -c 'ALTER DATABASE copy RENAME TO renamed'
    succeeds "DROP DATABASE ($turn)" psql -qX -d postgres -c 'DROP DATABASE renamed'
done

# A table under somebody's lock does not stop the rest.
psql -qX -d early -c 'CREATE TABLE locked (a int)' -c "INSERT INTO locked VALUES (1)"
psql -qX -d early -c 'BEGIN; LOCK TABLE locked; SELECT pg_sleep(4)' >/dev/null &
due
sleep 4.5
wait
becomes "a lock only delays" t worker 20 -d early -c "SELECT count(*) > 0 FROM presplit.size_history WHERE table_name = 'locked'"

# Settings are read again on SIGHUP.
psql -qX -d postgres -c "ALTER SYSTEM SET presplit.databases = 'nowhere'" -c 'SELECT pg_reload_conf()' >/dev/null
sleep 2
psql -qX -d early -c "TRUNCATE presplit.size_history, presplit.size_reading"
sleep 3
same "databases that are not named are left alone" 0 "$(psql -qAtX -d early -c 'SELECT count(*) FROM presplit.size_history')"
psql -qX -d postgres -c "ALTER SYSTEM SET presplit.databases = 'postgres, early'" -c 'SELECT pg_reload_conf()' >/dev/null
becomes "and named ones are served" t worker 90 -d early -c "SELECT count(*) > 0 FROM presplit.size_history WHERE table_name = 't'"

psql -qX -d early -c 'DROP EXTENSION pg_presplit'
sleep 2
succeeds "the extension can be dropped and created again" psql -qX -v ON_ERROR_STOP=1 -d early -c 'CREATE EXTENSION pg_presplit'

# Whoever creates a table while the extension is being dropped gets it, from the library as from the server.
psql -qX -v ON_ERROR_STOP=1 -d early -c 'BEGIN' -c 'DROP EXTENSION pg_presplit' -c 'SELECT pg_sleep(2)' -c 'COMMIT' >/dev/null &
sleep 1
succeeds "a table can be created while the extension is dropped" psql -qX -v ON_ERROR_STOP=1 -d early -c 'CREATE TABLE meanwhile (a int)'
wait
psql -qX -v ON_ERROR_STOP=1 -d early -c 'CREATE EXTENSION pg_presplit'

# The launcher starts again when it is ended.
first=$(psql -qAtX -d postgres -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_presplit launcher'")
psql -qX -d postgres -c "SELECT pg_terminate_backend($first)" >/dev/null
becomes "the launcher comes back" t worker 20 -d postgres -c \
    "SELECT count(*) = 1 AND bool_and(pid <> $first) FROM pg_stat_activity WHERE backend_type = 'pg_presplit launcher'"

start=$(date +%s%N)
cluster_stop worker fast
took=$((($(date +%s%N) - start) / 1000000))
if ((took < 3000)); then ok "shutdown does not wait for it"; else not_ok "shutdown does not wait for it" "$took ms"; fi

log_is_clean worker
exit "$CHECKS_FAILED"
