#!/usr/bin/env bash
# Owners who get in the way of an operation on their own table: what they put on a shard that is being filled never runs with
# more rights than theirs, they cannot write to it, and whatever fails is told and leaves nothing. Sessions with settings of
# their own, and ways to wait for an operation that would miss rows.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start hostile "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "max_worker_processes = 16" "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0"
cluster_use hostile
tmp=$(cluster_tmp hostile)
chmod a+rwx "$tmp"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
owner() { PGOPTIONS="-c role=owner ${PGOPTIONS:-}" psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE ROLE owner;
CREATE SCHEMA o AUTHORIZATION owner;
SET ROLE owner;
CREATE TABLE o.t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE o.t_s0001 PARTITION OF o.t FOR VALUES FROM (0) TO (1000);
INSERT INTO o.t SELECT g FROM generate_series(0, 999) AS g;
CREATE TABLE o.ran_as (who text);
GRANT ALL ON o.ran_as TO PUBLIC;
CREATE FUNCTION o.climb() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO o.ran_as VALUES (current_user);
    BEGIN
        EXECUTE 'ALTER ROLE owner SUPERUSER';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    RETURN NULL;
END $$;
SQL
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    becomes "held at $1" t hostile 20 -d postgres -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
begin_at() { # POINT STATEMENT [OPTIONS]
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1 ${3:-}" run -c "$2")
    becomes "the worker is at $1" t hostile 20 -d postgres -c "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    staging=$(run -c "SELECT min(object::regclass::text) FROM presplit.job_objects WHERE role = 'staging' AND operation_id = $id")
}
wait_for() { run -c "SELECT wait_operation($id, '3 min')" 2>&1; }
said() { run -c "SELECT error FROM presplit.operations WHERE operation_id = $id"; }
split="SELECT split_shard('o.t_s0001', '{500}')"
nothing_left() {
    same "$1: nothing of it is left" '0|0|1' "$(run -c "SELECT (SELECT count(*) FROM presplit.job_objects),
        (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'presplit%'), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'o.t'::regclass)")"
    same "$1: nobody has more rights" "f" "$(run -c "SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'")"
}

# Triggers of the owner's on a shard that is being filled.
begin_at catching_up "$split"
owner -c "CREATE TRIGGER climb BEFORE TRUNCATE ON $staging EXECUTE FUNCTION o.climb()" -c 'TRUNCATE o.t' \
    -c 'INSERT INTO o.t SELECT g FROM generate_series(0, 999) AS g'
release
same "a TRUNCATE trigger on a new shard ends the operation" failed "$(wait_for)"
same "and it is told" "new shard \"$staging\" was altered while it was filled: It has trigger climb." "$(said)"
same "the trigger did not run" 0 "$(run -c 'SELECT count(*) FROM o.ran_as')"
nothing_left 'TRUNCATE trigger'
begin_at copying "$split"
owner -c "CREATE CONSTRAINT TRIGGER climb AFTER INSERT ON $staging DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION o.climb()"
release
same "so does a trigger that would run at the end of the transaction" failed "$(wait_for)"
same "which did not run either" 0 "$(run -c 'SELECT count(*) FROM o.ran_as')"
nothing_left 'deferred trigger'

# Rows of the owner's in a shard that is compared already.
begin_at cutting_over "$split"
fails_with "nobody else writes to a new shard" 'takes no rows yet' owner -c "DELETE FROM $staging"
fails_with "nor empties it" 'takes no rows yet' owner -c "TRUNCATE $staging"
fails_with "nor as a superuser" 'takes no rows yet' run -c "UPDATE $staging SET n = 1"
fails_with "who owns it cannot switch that off" 'is a system trigger' owner -c "ALTER TABLE $staging DISABLE TRIGGER ALL"
owner -c "DROP TRIGGER presplit_staging_$id ON $staging" -c "DELETE FROM $staging"
release
same "with that dropped the operation fails" failed "$(wait_for)"
nothing_left 'write-block dropped'
same "the rows are there" 1000 "$(run -c 'SELECT count(*) FROM o.t')"

# A new shard that becomes a part of another table.
begin_at catching_up "$split"
owner -c 'CREATE TABLE o.other (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)' \
    -c "ALTER TABLE o.other ATTACH PARTITION $staging FOR VALUES FROM (0) TO (500)"
release
same "a new shard that is attached elsewhere ends the operation" failed "$(wait_for)"
same "it is no more a member of the extension" f "$(run -c "SELECT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
    AND objid = '$staging'::regclass AND deptype = 'e')")"
nothing_left 'attached elsewhere'
owner -c 'DROP TABLE o.other'

# Why a cutover gives way, in words.
begin_at cutting_over "$split" "-c presplit.cutover_lock_timeout=100ms"
exec 8> >(exec 7>&-; psql -qAtX >/dev/null 2>&1)
echo 'BEGIN; LOCK TABLE o.t IN ROW EXCLUSIVE MODE;' >&8
becomes "somebody has locked the table" t hostile 20 -d postgres -c "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'o.t'::regclass AND mode = 'RowExclusiveLock' AND granted"
release
becomes "it is said in words what a cutover waits for" t hostile 20 -d postgres -c "SELECT waiting_for = 'a lock that somebody else has on the table, or on one that foreign keys bind to it'
    FROM presplit.operations WHERE operation_id = $id"

# Waiting by a statement that goes on with what it saw before.
fails_with "who waits does nothing else" 'waits for this session, which waits for it' run -c "SELECT wait_operation($id), (SELECT count(*) FROM o.t)"
fails_with "nor in a table" 'waits for this session, which waits for it' run -c "SELECT wait_operation($id) FROM o.t"
fails_with "nor has a cursor open" 'waits for this session, which waits for it' \
    psql -qAtX -v ON_ERROR_STOP=1 -c "BEGIN; DECLARE c CURSOR FOR SELECT id FROM o.t; SELECT wait_operation($id)"
fails_with "nor writes" 'waits for this session, which waits for it' \
    run -c "WITH gone AS (DELETE FROM o.t WHERE id = 1 RETURNING 1) SELECT wait_operation($id)"
echo 'COMMIT;' >&8
exec 8>&-
same "alone it may, prepared too" done "$(run -c "PREPARE w (bigint) AS SELECT wait_operation(\$1, '3 min')" -c "EXECUTE w ($id)" 2>&1)"

# A session that writes everything otherwise.
odd="-c datestyle=German -c timezone=Asia/Tokyo -c intervalstyle=sql_standard -c bytea_output=escape -c extra_float_digits=-3
    -c quote_all_identifiers=on -c standard_conforming_strings=off -c lc_monetary=C"
odd=${odd//$'\n'/ }
run >/dev/null <<'SQL'
SET timezone = UTC;
CREATE TABLE o.at (at timestamptz PRIMARY KEY DEFAULT '2026-02-03 04:05:06+00', for_ interval DEFAULT '-1 day 02:03:04', raw bytea DEFAULT '\x0001ff',
    f float8 DEFAULT 0.1234567890123456, note text DEFAULT E'a\\b', CHECK (at > '2000-05-06 00:00+00' AND f < 1.0000000000000002)) PARTITION BY RANGE (at);
CREATE TABLE o.at_s0001 PARTITION OF o.at FOR VALUES FROM ('2026-01-02 00:00+00') TO ('2026-12-11 00:00+00');
INSERT INTO o.at (at) SELECT '2026-01-02 00:00+00'::timestamptz + g * interval '1 day' FROM generate_series(0, 300) AS g;
SQL
id=$(PGOPTIONS="$odd" run -c "SELECT split_shard('o.at_s0001', ARRAY['2026-04-03 00:00+00'])")
same "settings of a session do not matter" done "$(wait_for)"
same "nor for bounds" "2026-04-03 00:00:00+00" "$(PGOPTIONS='-c timezone=UTC' run -c "SELECT substring(pg_get_expr(relpartbound, oid) FROM 'TO \(''(.*)''\)')
    FROM pg_class WHERE relname = 'at_s0002'")"
same "defaults are what they were" 1 "$(PGOPTIONS='-c timezone=UTC' run -c "SELECT count(DISTINCT (SELECT string_agg(pg_get_expr(adbin, adrelid), ' ' ORDER BY adnum) FROM pg_attrdef WHERE adrelid = c.oid))
    FROM pg_class AS c WHERE relname IN ('at', 'at_s0002', 'at_s0003')")"
same "no row is lost" 301 "$(run -c 'SELECT count(*) FROM o.at')"

log_is_clean hostile tests/server/allow/reshard_hostile
exit "$CHECKS_FAILED"
