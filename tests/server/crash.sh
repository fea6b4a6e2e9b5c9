#!/usr/bin/env bash
# kill -9 of the server in the middle of a restore: nothing half made is left, and the restore can be repeated.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

# Without parallel builds: a leader that has lost a worker and then finds the postmaster gone while it aborts logs
# "AbortTransaction while in ABORT state", with and without this library, and that warning is to be found if it is ours.
cluster_start crash "$version" "shared_preload_libraries = 'pg_presplit'" "max_parallel_maintenance_workers = 0"
cluster_use crash
tmp=$(cluster_tmp crash)
psql -qX -d postgres -c 'CREATE ROLE shop_clerk' -c 'CREATE DATABASE source' -c 'CREATE DATABASE target'
psql -qX -v ON_ERROR_STOP=1 -d source -f "$PRESPLIT_ROOT/tests/fixtures/shop.sql"
psql -qX -v ON_ERROR_STOP=1 -d source -c \
    "INSERT INTO app.orders (id, customer_id, created_at, total) SELECT g, 1, '2024-06-01'::timestamptz + g * interval '1 second', 1 FROM generate_series(100000, 500000) AS g"
pg_dump -Fc -Z0 -f "$tmp/shop.dump" source
psql -qXAt -d source -f "$PRESPLIT_ROOT/sql/capture_profile.sql" 2>/dev/null >"$tmp/p.json"
psql -qX -v ON_ERROR_STOP=1 -d target -c 'CREATE EXTENSION pg_presplit' -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/p.json" >/dev/null
psql -qX -v ON_ERROR_STOP=1 -d target -c "SELECT count(*) FROM create_shards(register_proposal('app.orders', 'range', '{created_at}',
    '{\"interval\": \"1 month\", \"from\": \"2024-01-01\", \"to\": \"2025-01-01\"}'))" >/dev/null
expected=$(psql -qAtX -d source -c 'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.orders AS t')

# In the middle of COPY, and in the middle of the indexes.
for moment in 'COPY app.orders' 'CREATE INDEX|ADD CONSTRAINT'; do
    pg_restore --clean --if-exists -j2 -d target "$tmp/shop.dump" >"$tmp/restore.log" 2>&1 &
    restoring=$!
    for _ in {1..400}; do
        busy=$(psql -qAtX -d postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname = 'target' AND query ~ '$moment' AND state = 'active'")
        [[ $busy == 0 ]] || break
        sleep 0.02
    done
    cluster_kill crash
    wait "$restoring" || true
    cluster_up crash
    # Whatever is there is whole: either no table, or one with all its shards.
    same "after a crash in $moment: all shards or none" t "$(psql -qAtX -d target -c \
        "SELECT count(*) IN (0, 13) FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent WHERE c.relname = 'orders' AND c.relkind = 'p'")"
    if [[ $(psql -qAtX -d target -c "SELECT to_regclass('app.orders') IS NULL") == f ]]; then
        same "after a crash in $moment: all rows or none" t "$(psql -qAtX -d target -c \
            'SELECT count(*) IN (0, 420001) FROM app.orders')"
    fi
    same "after a crash in $moment: still armed" 1 "$(psql -qAtX -d target -c 'SELECT count(*) FROM presplit.armed')"
done

# The client is gone in the middle of COPY: its backend notices, and nothing of the table's rows stays.
pg_restore --clean --if-exists -d target "$tmp/shop.dump" >"$tmp/restore.log" 2>&1 &
restoring=$!
for _ in {1..400}; do
    busy=$(psql -qAtX -d postgres -c "SELECT count(*) FROM pg_stat_activity WHERE datname = 'target' AND query ~ 'COPY app.orders' AND state = 'active'")
    [[ $busy == 0 ]] || break
    sleep 0.02
done
kill -9 "$restoring"
wait "$restoring" 2>/dev/null || true
becomes "after the client was killed: no session of it" 0 crash 20 -c \
    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'target' AND application_name = 'pg_restore'"
same "after the client was killed: all shards and no rows" "13|0" "$(psql -qAtX -d target -c \
    "SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'app.orders'::regclass), (SELECT count(*) FROM app.orders)")"

# No room for a file of more than 17 MB, which June's shard would have.
limited=0
if command -v prlimit >/dev/null && prlimit --pid "$(head -n 1 "${CLUSTER_DIR[crash]}/data/postmaster.pid")" --fsize=17825792:; then
    limited=1
    fails_with "a restore without room" 'could not (extend|write)' pg_restore --clean --if-exists -d target "$tmp/shop.dump"
    same "after it: all shards and no rows" "13|0" "$(psql -qAtX -d target -c \
        "SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'app.orders'::regclass), (SELECT count(*) FROM app.orders)")"
    prlimit --pid "$(head -n 1 "${CLUSTER_DIR[crash]}/data/postmaster.pid")" --fsize=unlimited:
fi

# A database in a tablespace that fills up: while rows come in, and once more while indexes are built.
small=${CLUSTER_DIR[crash]}/small
unmount() { ! mountpoint -q "$small" || umount -l "$small"; }
trap 'unmount; cluster_exit' EXIT
mkdir "$small"
if [[ $(id -u) == 0 ]] && mount -t tmpfs -o size=32m,mode=0700,uid="$(id -u "$CLUSTER_USER")" presplit "$small" 2>/dev/null; then
    psql -qX -d postgres -c "CREATE TABLESPACE small LOCATION '$small'" -c 'CREATE DATABASE filled TABLESPACE small'
    psql -qX -v ON_ERROR_STOP=1 -d filled -c 'CREATE EXTENSION pg_presplit' -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/p.json" >/dev/null
    psql -qX -v ON_ERROR_STOP=1 -d filled -c "SELECT count(*) FROM create_shards(register_proposal('app.orders', 'range', '{created_at}',
        '{\"interval\": \"1 month\", \"from\": \"2024-01-01\", \"to\": \"2025-01-01\"}'))" >/dev/null
    state='SELECT (SELECT count(*) FROM pg_inherits AS i WHERE i.inhparent = to_regclass($$app.orders$$)),
                  (SELECT count(*) FROM pg_index WHERE NOT indisvalid)'
    fails_with "a restore into a full tablespace" 'No space left on device' pg_restore -d filled "$tmp/shop.dump"
    same "after it: all shards, nothing invalid" "13|0" "$(psql -qAtX -d filled -c "$state")"
    same "after it: no rows" 0 "$(psql -qAtX -d filled -c 'SELECT count(*) FROM app.orders')"
    fails_with "and at once" 'No space left on device' pg_restore --clean --if-exists --single-transaction -d filled "$tmp/shop.dump"
    same "after that: as before" "13|0" "$(psql -qAtX -d filled -c "$state")"
    # What was given up still fills files until a checkpoint.
    mount -o remount,size=56m "$small"
    psql -qX -d filled -c CHECKPOINT
    fails_with "a restore without room for the indexes" 'No space left on device' pg_restore --clean --if-exists -j2 -d filled "$tmp/shop.dump"
    same "after it: all rows or none, nothing invalid" "13|0|t" "$(psql -qAtX -F '|' -d filled -c "$state" -c 'SELECT count(*) IN (0, 420001) FROM app.orders' | paste -sd '|')"
    mount -o remount,size=400m "$small"
    succeeds "with room the restore replaces what is there" pg_restore --clean --if-exists -j2 -d filled "$tmp/shop.dump"
    same "a full tablespace: the same content" "$expected" "$(psql -qAtX -d filled -c 'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.orders AS t')"
    same "a full tablespace: nothing wrong" 0 "$(psql -qAtX -d filled -c "SELECT count(*) FROM check_shards() WHERE severity = 'error'")"
    psql -qX -d postgres -c 'DROP DATABASE filled' -c 'DROP TABLESPACE small'
    unmount
else
    echo "# NOT TESTED: no file system can be mounted here, so no tablespace fills up; a limit on files stands for it"
    same "a limit on files stands for a full disk" 1 "$limited"
fi

succeeds "the restore can be repeated" pg_restore --clean --if-exists -j2 -d target "$tmp/shop.dump"
same "with the same content" "$expected" "$(psql -qAtX -d target -c 'SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.orders AS t')"
same "and nothing wrong" 0 "$(psql -qAtX -d target -c "SELECT count(*) FROM check_shards() WHERE severity = 'error'")"
log_is_clean crash "$PRESPLIT_ROOT/tests/server/allow/crash"
exit "$CHECKS_FAILED"
