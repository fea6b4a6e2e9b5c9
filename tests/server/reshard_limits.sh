#!/usr/bin/env bash
# Where an operation is at its limits: cutovers that have to give way again and again, rows that are changed faster than they are
# brought over, and what is altered or published meanwhile. It says what is the matter, rests, and goes on when it is resumed.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start limits "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "wal_level = logical" "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "presplit.cutover_budget = 300ms"
cluster_use limits
tmp=$(cluster_tmp limits)
chmod a+rwx "$tmp"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
-- What brings rows over is slow where they say so.
CREATE FUNCTION slow(n int) RETURNS bool VOLATILE LANGUAGE plpgsql AS $$
BEGIN
    IF n >= 1000 AND (SELECT a.backend_type = 'pg_presplit operation' FROM pg_stat_get_activity(pg_backend_pid()) AS a) THEN
        PERFORM pg_sleep(0.001);
    END IF;
    RETURN true;
END $$;
CREATE TABLE t (id bigserial PRIMARY KEY, n int NOT NULL DEFAULT 0 CHECK (slow(n))) PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
INSERT INTO t SELECT g FROM generate_series(1, 1000) AS g;
SELECT setval('t_id_seq', 1000);
ANALYZE t;
SQL

hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 8>&- &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    until_true "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
# A session that has a snapshot, and can be asked something by it.
open_old() { # [LEVEL]
    rm -f "$tmp/old"
    mkfifo "$tmp/old"
    psql -qAtX <"$tmp/old" >"$tmp/old.out" 2>&1 7>&- &
    old=$!
    exec 8>"$tmp/old"
    echo "BEGIN ISOLATION LEVEL ${1:-REPEATABLE READ}; SELECT 'open';" >&8
    until_file "$tmp/old.out" open
}
close_old() {
    exec 8>&-
    wait "$old" 2>/dev/null || true
}
until_file() { # FILE TEXT
    local end=$((SECONDS + 20))
    while ((SECONDS <= end)); do
        grep -q "$2" "$1" 2>/dev/null && return
        sleep 0.05
    done
    not_ok "waiting for $2" "$(tail -n 3 "$1")"
}
until_true() { # QUERY
    local found='' end=$((SECONDS + 30))
    while ((SECONDS <= end)); do
        found=$(run -c "$1") && [[ $found == t ]] && return
        sleep 0.05
    done
    not_ok "waiting for: $1"
}
begin_at() { # POINT STATEMENT
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1" run -c "$2")
    until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}
is_done() { same "$1" done "$(run -c "SELECT wait_operation($id, '1 min')" 2>&1)"; }
said() { run -c "SELECT phase || ': ' || coalesce(error, waiting_for, '') FROM presplit.operations WHERE operation_id = $id"; }
is_said() { # NAME PATTERN
    local found='' end=$((SECONDS + 30))
    while ((SECONDS <= end)); do
        found=$(said)
        grep -qE "$2" <<<"$found" && { ok "$1"; return; }
        sleep 0.1
    done
    not_ok "$1" "$found"
}
# Splits, or puts together again.
other_way() {
    if [[ $(run -c "SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass") == 1 ]]; then
        echo "SELECT split_shard((SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 't'::regclass), at => '{500}')"
    else
        echo "SELECT merge_shards(ARRAY(SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 't'::regclass))"
    fi
}

# The five hundredth try. Nobody waits half a day for it here: the tries before are written down as if they had been.
begin_at cutting_over "$(other_way)"
open_old
run -c "UPDATE presplit.jobs SET state = jsonb_build_object('tries', 499) WHERE operation_id = $id"
release
is_said "after 500 tries it rests, and says why" "^paused: gave way in 500 tries to swap its shards, the last time because of older snapshots: end the sessions in blocked_by.*; then SELECT resume_operation\($id\)\$"
same "check_shards() names it" 1 "$(run -c "SELECT count(*) FROM check_shards() AS c WHERE c::text LIKE '%gave way in 500 tries%'")"
run -c "INSERT INTO t VALUES (-1, 7)"
same "changes are still written down" 1 "$(run -c "SELECT count(*) FROM presplit.changes_$id")"
sleep 0.5
same "nobody is at it" 0 "$(run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'")"
run -c 'SET presplit.cutover_budget = 700' -c "SELECT resume_operation($id)" >/dev/null
same "it is resumed with what the session has set, and with that alone" '700|strict' \
    "$(run -c "SELECT settings->>'cutover_budget', settings->>'cutover_snapshots' FROM presplit.jobs WHERE operation_id = $id")"
is_said "the tries are counted anew" "^cutting_over: older snapshots\$"
run -c "SELECT pause_operation($id)" >/dev/null
is_said "it is paused" '^paused'
run -c 'SET presplit.cutover_snapshots = relaxed' -c "SELECT resume_operation($id)" >/dev/null
is_done "resumed so that older snapshots are not waited for, it is done"
echo "SELECT count(*) FROM t;" >&8
until_file "$tmp/old.out" 'ERROR'
same "whose snapshot was not waited for is told so, and shown nothing" "ERROR:  could not serialize access due to concurrent resharding of \"$(run -c "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 't'::regclass ORDER BY 1 LIMIT 1")\"" "$(grep ERROR "$tmp/old.out")"
close_old
same "nothing is lost" '1001|7' "$(run -c 'SELECT count(*), sum(n) FROM t')"

# A day of it.
begin_at cutting_over "$(other_way)"
open_old 'REPEATABLE READ'
run -c "UPDATE presplit.jobs SET state = jsonb_build_object('tries', 3, 'since', extract(epoch FROM clock_timestamp()) - 86401) WHERE operation_id = $id"
release
is_said "after a day it rests too" '^paused: gave way in 4 tries to swap its shards'
close_old
run -c "SELECT resume_operation($id)" >/dev/null
is_done "and goes on when it is resumed"

# More is written than is brought over.
begin_at catching_up "$(other_way)"
echo 'INSERT INTO t (n) SELECT 1000 FROM generate_series(1, 100);' >"$tmp/write.sql"
chmod a+r "$tmp/write.sql"
pgbench -n -c 2 -T 90 -R 30 -f "$tmp/write.sql" >"$tmp/write.out" 2>&1 7>&- 8>&- &
writers=$!
until_true "SELECT count(*) > 4000 FROM presplit.changes_$id"
release
until_true "SELECT state ? 'behind' FROM presplit.jobs WHERE operation_id = $id"
is_said "for a while nothing is said of it" '^(catching_up|verifying): $'
# Written down as if it had been so for long. The worker's step that is under way then fails and is done again.
long_ago() { # SECONDS PATTERN NAME
    local try end
    for try in 1 2 3; do
        run -c "UPDATE presplit.jobs SET state = jsonb_set(state, '{behind,since}', to_jsonb(extract(epoch FROM clock_timestamp() - timestamptz '2000-01-01 00:00:00+00') - $1))
            WHERE operation_id = $id AND state ? 'behind'"
        end=$((SECONDS + 20))
        while ((SECONDS <= end)); do
            grep -qE "$2" <<<"$(said)" && break 2
            sleep 0.1
        done
    done
    is_said "$3" "$2"
}
long_ago 130 '^(catching_up|verifying): rows that are changed faster than they are brought over: [0-9]+ are left, for 2 min no fewer \(have less written for a while, or begin it anew when less is written\)$' \
    "if they do not become fewer it says so"
long_ago 86500 "^paused: rows were changed faster than they were brought over, for a day: have less written for a while.*; then SELECT resume_operation\($id\)\$" \
    "in the end it rests"
kill "$writers" 2>/dev/null || true
wait "$writers" 2>/dev/null || true
run -c 'CREATE OR REPLACE FUNCTION slow(n int) RETURNS bool LANGUAGE sql AS $$ SELECT true $$'
expected=$(run -c 'SELECT count(*), sum(n), count(DISTINCT id) FROM t')
run -c "SELECT resume_operation($id)" >/dev/null
is_done "when less is written it is done"
same "with every row" "$expected" "$(run -c 'SELECT count(*), sum(n), count(DISTINCT id) FROM t')"
run -c 'DELETE FROM t WHERE id > 1000'

# What comes and goes meanwhile, and comes along; twice, so that it also goes.
run >/dev/null <<'SQL'
CREATE ROLE reader;
CREATE TABLE refers (id bigint);
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SQL
id=$(run -c "$(other_way)")
is_done "one shard again"
one=$(run -c "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 't'::regclass ORDER BY 1 LIMIT 1")
begin_at verifying "$(other_way)"
run -c "GRANT SELECT ON $one TO reader" -c "CREATE TRIGGER own AFTER INSERT ON $one FOR EACH ROW EXECUTE FUNCTION told()" \
    -c "CREATE POLICY own ON $one USING (id > 0)" -c "CREATE RULE silent AS ON DELETE TO $one WHERE OLD.id = 0 DO INSTEAD NOTHING" \
    -c "CREATE PUBLICATION named FOR TABLE $one" -c 'ALTER TABLE refers ADD CONSTRAINT to_t FOREIGN KEY (id) REFERENCES t'
release
is_done "what comes meanwhile is not in the way"
same "and comes along" '2|2|2|2|2|1' "$(run -c "SELECT (SELECT count(*) FROM pg_class WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 't'::regclass) AND relacl::text LIKE '%reader=r%'),
    (SELECT count(*) FROM pg_trigger WHERE tgname = 'own' AND tgrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 't'::regclass)),
    (SELECT count(*) FROM pg_policy WHERE polname = 'own' AND polrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 't'::regclass)),
    (SELECT count(*) FROM pg_rules WHERE rulename = 'silent' AND schemaname = 'public' AND format('%I', tablename)::regclass IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 't'::regclass)),
    (SELECT count(*) FROM pg_publication_rel WHERE prrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 't'::regclass)),
    (SELECT count(*) FROM pg_constraint WHERE conrelid = 'refers'::regclass AND confrelid = 't'::regclass AND contype = 'f' AND convalidated)")"
same "it is written down what was new" t "$(run -c "SELECT count(*) = 1 FROM presplit.job_events WHERE operation_id = $id AND note LIKE 'goes on with the table as it is now: %rivilege%'")"
fails_with "a foreign key that came meanwhile holds" 'violates foreign key constraint "to_t"' run -c 'INSERT INTO refers VALUES (5000000)'

# What does not come along ends it, by name.
run -c 'ALTER TABLE refers DROP CONSTRAINT to_t' -c 'DROP PUBLICATION named'
some=$(run -c "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 't'::regclass ORDER BY 1 LIMIT 1")
for alteration in "ALTER TABLE $some SET (fillfactor = 50)|Table public.* is different" "ALTER TABLE t ALTER n SET DEFAULT 5|[Cc]olumn public.t.*n is different" \
    "CREATE INDEX extra ON $some (n)|[Ii]ndex .*extra.* is new" "ALTER TABLE $some ADD CONSTRAINT few CHECK (n < 100000)|few.* is new"; do
    begin_at verifying "$(other_way)"
    run -c "${alteration%%|*}"
    release
    same "ends it: ${alteration%%|*}" failed "$(run -c "SELECT wait_operation($id, '1 min')")"
    is_said "and is named" "^failed: table \"public.t\" was altered while the operation was under way: .*${alteration#*|}"
    run -c "ALTER TABLE $some RESET (fillfactor)" -c 'ALTER TABLE t ALTER n SET DEFAULT 0' -c 'DROP INDEX IF EXISTS extra' -c "ALTER TABLE $some DROP CONSTRAINT IF EXISTS few"
done

# Publications of everything, which would send the rows of new shards to those who do not know them.
before=$(run -c 'SELECT count(*), sum(n), sum(id) FROM t')
for publication in 'FOR ALL TABLES' 'FOR TABLES IN SCHEMA public'; do
    for phase in copying cutting_over; do
        begin_at "$phase" "$(other_way)"
        run -c "SET client_min_messages = error" -c "CREATE PUBLICATION everything $publication"
        release
        same "a publication $publication that comes at $phase ends it" failed "$(run -c "SELECT wait_operation($id, '1 min')")"
        is_said "and is named" '^failed: publication everything publishes the new shards of table "public.t" while they are filled'
        fails_with "it is not begun anew while it is there" 'publication' run -c "SELECT resume_operation($id)"
        run -c 'DROP PUBLICATION everything'
    done
    run -c "SELECT resume_operation($id)" >/dev/null
    is_done "without it, it is done"
done
same "all rows are there" "$before" "$(run -c 'SELECT count(*), sum(n), sum(id) FROM t')"
log_is_clean limits "$(dirname "$0")/allow/reshard_limits"
exit "$CHECKS_FAILED"
