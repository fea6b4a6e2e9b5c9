#!/usr/bin/env bash
# Calibration where it is not alone, not allowed, interrupted, or short of locks: it says so and leaves nothing.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start calibrate "$version" "max_locks_per_transaction = 10" "max_connections = 20" "statement_timeout = 0"
cluster_use calibrate
q() { psql -qAtX -v ON_ERROR_STOP=1 -d postgres "$@"; }
q -c 'CREATE EXTENSION pg_presplit'
# Whatever an event trigger or a default of the session does, it is no part of the measuring.
q -c "CREATE TABLE seen (tag text)" -c "CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS \$\$
      BEGIN INSERT INTO seen VALUES (tg_tag); RAISE 'seen'; END \$\$" \
    -c 'CREATE EVENT TRIGGER see ON ddl_command_end EXECUTE FUNCTION see()'
objects="SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_type)"
before=$(q -c "$objects")

succeeds "a small lock table is no error" q -o "$(cluster_tmp calibrate)/rows" -c 'SELECT * FROM calibrate()'
same "planning of many shards is not measured there" "t" \
    "$(q -c "SELECT count(*) FILTER (WHERE constant LIKE 'planning%1024%') = 0 AND count(*) FILTER (WHERE constant LIKE 'planning%32%') = 2 FROM presplit.calibration")"
same "the others are" "t" "$(q -c 'SELECT count(*) > 8 FROM presplit.calibration')"
same "nothing is left" "$before" "$(q -c "$objects")"
same "no event trigger fired" "0" "$(q -c 'SELECT count(*) FROM seen')"

stored=$(q -c 'SELECT * FROM presplit.calibration ORDER BY constant')
fails_with "a cancel ends it" 'canceling statement due to statement timeout' \
    q -c "SET statement_timeout = '300ms'" -c 'SELECT * FROM calibrate()'
same "a cancelled one stores nothing" "$stored" "$(q -c 'SELECT * FROM presplit.calibration ORDER BY constant')"
same "and leaves nothing" "$before" "$(q -c "$objects")"

q -c "BEGIN" -c "SELECT pg_advisory_xact_lock(hashtext('presplit.calibrate'), 0)" -c "SELECT pg_sleep(30)" >/dev/null 2>&1 &
holder=$!
until [[ $(q -c "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 1 ]]; do sleep 0.1; done
fails_with "one at a time" 'calibration is running in another session' q -c 'SELECT * FROM calibrate()'
q -c "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'" >/dev/null
wait "$holder" || true
