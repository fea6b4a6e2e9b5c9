#!/usr/bin/env bash
# What gets in the way of an operation from outside: prepared transactions, dumps, serializable sessions, full disks, replicas
# that lag, times of day, failures that are mended and resumed; and what is refused before anything is done.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start faults "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.min_free_disk = 0" "max_prepared_transactions = 4" "presplit.cutover_budget = 5s"
cluster_use faults
tmp=$(cluster_tmp faults)
chmod a+rwx "$tmp"
export PGDATABASE=postgres
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, note text) PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10000);
INSERT INTO t SELECT g, 0, repeat('x', 100) FROM generate_series(0, 4999) AS g;
CREATE TABLE h (id int PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE h_0 PARTITION OF h FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO h SELECT generate_series(1, 3000);
SQL
open_session() { # NAME
    mkfifo "$tmp/$1.in"
    psql -qAtX <"$tmp/$1.in" >"$tmp/$1.out" 2>&1 &
    eval "exec {fd_$1}>\"$tmp/$1.in\""
}
say() { # NAME STATEMENT...
    local name=$1 fd="fd_$1"
    shift
    printf '%s;\n' "$@" >&"${!fd}"
}
answer() { # NAME
    local mark="mark-$RANDOM$RANDOM" end=$((SECONDS + 20))
    say "$1" "SELECT '$mark'"
    while ((SECONDS <= end)); do
        if grep -q "$mark" "$tmp/$1.out" 2>/dev/null; then
            { grep -v '^mark-' "$tmp/$1.out" || true; } | tail -n 1
            return
        fi
        sleep 0.02
    done
    echo "no answer"
}
close_session() { # NAME
    local fd="fd_$1"
    printf '\\q\n' >&"${!fd}"
    eval "exec ${!fd}>&-"
    rm -f "$tmp/$1.in"
}
until_true() { # QUERY
    local found='' end=$((SECONDS + 20))
    while ((SECONDS <= end)); do
        found=$(run -c "$1") && [[ $found == t ]] && return
        sleep 0.02
    done
    not_ok "waiting for: $1" "$(run -c 'SELECT phase, waiting_for, error FROM presplit.operations ORDER BY operation_id DESC LIMIT 1')"
}
hold() { # POINT
    open_session holder
    say holder "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'))"
    answer holder >/dev/null
}
begin_at() { # POINT STATEMENT
    hold "$1"
    id=$(PGOPTIONS="-c presplit.pause_at=$1" run -c "$2")
    until_true "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}
release() { close_session holder; }
is_done() { same "$1" done "$(run -c "SELECT wait_operation($id, '3 min')" 2>&1)"; }
waits_for() { # NAME PATTERN
    until_true "SELECT waiting_for LIKE '$2' FROM presplit.operations WHERE operation_id = $id"
    same "$1" t "$(run -c "SELECT coalesce(waiting_for LIKE '$2', false) FROM presplit.operations WHERE operation_id = $id")"
}
setting() { # NAME VALUE: for everybody
    run -c "ALTER SYSTEM SET presplit.\"$1\" = '$2'" -c 'SELECT pg_reload_conf()' >/dev/null
}
leaf() { run -c "SELECT string_agg(inhrelid::regclass::text, ',' ORDER BY inhrelid) FROM pg_inherits WHERE inhparent = '$1'::regclass"; }
other_way() { # of t
    if [[ $(leaf t) == *,* ]]; then echo "SELECT merge_shards('{$(leaf t)}')"; else echo "SELECT split_shard('$(leaf t)', at => '{2500}')"; fi
}
rows() { run -c "SELECT count(*) || ' ' || sum(n) FROM t"; }

# A prepared transaction that has written is waited for, and what it wrote is there.
begin_at catching_up "$(other_way)"
run -c BEGIN -c 'UPDATE t SET n = n + 1 WHERE id = 77' -c 'INSERT INTO t VALUES (9000)' -c "PREPARE TRANSACTION 'p'"
release
waits_for "a prepared transaction is waited for by its name" '%prepared transaction%'
run -c "COMMIT PREPARED 'p'"
is_done "and then the cutover goes on"
same "what it wrote is there" '5001 1' "$(rows)"
run -c BEGIN -c 'UPDATE t SET n = n + 1 WHERE id = 78' -c "PREPARE TRANSACTION 'p'"
id=$(run -c "$(other_way)")
sleep 1.5
same "one that was there before is waited for too" capturing "$(run -c "SELECT phase FROM presplit.operations WHERE operation_id = $id")"
run -c "ROLLBACK PREPARED 'p'"
is_done "until it is gone"

# A dump that begins before the cutover has all rows.
begin_at cutting_over "$(other_way)"
run -c BEGIN -c 'UPDATE t SET n = 5 WHERE id = 5' -c COMMIT
expected=$(run -c 'SELECT count(*) FROM t')
mkfifo "$tmp/dump"
pg_dump -a --inserts -t 't*' >"$tmp/dump" &
dumping=$!
exec 6<"$tmp/dump"
read -r -u 6 _
release
until_true "SELECT count(*) > 0 FROM presplit.job_events WHERE operation_id = $id AND phase = 'cutting_over'"
cat <&6 >"$tmp/dumped"
wait "$dumping" || not_ok "pg_dump meanwhile"
exec 6<&-
same "a dump that began before the cutover has all rows" "$expected" "$(grep -cE '^INSERT INTO public.t' "$tmp/dumped")"
is_done "a dump keeps the cutover waiting and no longer"

# Sessions above READ COMMITTED, across the swap.
for level in 'REPEATABLE READ' SERIALIZABLE; do
    begin_at cutting_over.caught_up "$(other_way)"
    open_session old
    say old "BEGIN ISOLATION LEVEL $level" 'SELECT count(*) FROM h'
    answer old >/dev/null
    run -c 'INSERT INTO t SELECT max(id) + 1 FROM t'
    expected=$(($(run -c 'SELECT count(*) FROM t') - 1))
    release
    sleep 0.5
    say old 'SELECT count(*) FROM t'
    same "$level: what was there is seen across the swap" "$expected" "$(answer old)"
    say old 'UPDATE t SET n = n + 1 WHERE id = 10 RETURNING 1'
    same "$level: and written" 1 "$(answer old)"
    say old COMMIT
    answer old >/dev/null
    close_session old
    is_done "$level: it waits for them"
done

# When work may be done. The name is a word of SQL, so it needs quotes there.
for bad in nonsense 25:00-26:00 01:00 '01:00-02:00 Nowhere/Land' 01:00-01:00; do
    fails_with "a window that cannot be is refused: $bad" 'invalid value for parameter "presplit.window"' run -c "ALTER SYSTEM SET presplit.\"window\" = '$bad'"
done
fails_with "and it is said why" 'no time zone "Nowhere/Land"' run -c "ALTER SYSTEM SET presplit.\"window\" = '01:00-02:00 Nowhere/Land'"
now=$(run -c "SELECT to_char(now() AT TIME ZONE 'Asia/Tokyo' + interval '2 hours', 'HH24:MI') || '-' || to_char(now() AT TIME ZONE 'Asia/Tokyo' + interval '4 hours', 'HH24:MI')")
setting window "$now Asia/Tokyo"
id=$(run -c "$(other_way)")
waits_for "outside of the window nothing is done, and that is said" "the window $now Asia/Tokyo"
same "nothing is made" 0 "$(run -c 'SELECT count(*) FROM presplit.job_objects')"
setting window ''
is_done "without a window it goes on"
setting operations_enabled off
id=$(run -c "$(other_way)")
waits_for "switched off" 'presplit.operations_enabled is off'
setting operations_enabled on
is_done "and on"
setting min_free_disk 100
id=$(run -c "$(other_way)")
waits_for "too little disk space is waited for" 'disk space: %'
setting min_free_disk 0
is_done "until there is more"

# What failed and was mended.
begin_at indexing "$(other_way)"
run -c 'ALTER TABLE t ADD COLUMN extra int'
release
same "what was altered meanwhile ends the operation" failed "$(run -c "SELECT wait_operation($id, '3 min')")"
before=$(rows)
same "it is resumed" t "$(run -c "SELECT resume_operation($id)")"
is_done "from its beginning"
same "with all rows" "$before" "$(rows)"

# While everybody has to wait.
: >"$tmp/use.log"
echo 'SELECT count(*) FROM t WHERE id = 17; UPDATE t SET n = n + 1 WHERE id = 17;' >"$tmp/use.sql"
chmod a+r "$tmp/use.sql"
before=$(run -c 'SELECT n FROM t WHERE id = 17')
pgbench -n -c 2 -t 2000 -f "$tmp/use.sql" >"$tmp/use.out" 2>"$tmp/use.log" &
using=$!
sleep 0.3
statement=$(other_way)
id=$(run -c "${statement%)}, online => false)")
is_done "offline, with use meanwhile"
wait "$using" || true
same "nobody was told an error" '' "$(grep -i error "$tmp/use.log" | head -n 2 || true)"
same "every update is there once" 4000 "$(run -c "SELECT n - $before FROM t WHERE id = 17")"

# Hash into many, by doubling; one job for each table; the rate.
id=$(run -c "SELECT split_shard('h_0', parts => 16)")
fails_with "one operation works on a table" "operation $id works on table" run -c "SELECT split_shard('h_0')"
is_done "one hash shard becomes sixteen"
same "with all rows, in their places" '16|3000|16' "$(run -c "SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'h'::regclass), (SELECT count(*) FROM h), (SELECT count(DISTINCT tableoid) FROM h)")"
bytes=$(run -c "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 't'::regclass")
id=$(PGOPTIONS="-c presplit.reshard_rate_limit=256" run -c "$(other_way)")
is_done "with a limit of 256 kB/s"
# An event is written when its phase is over: the copying begins with the end of the one before.
took=$(run -c "SELECT (1000 * (min(extract(epoch FROM at)) FILTER (WHERE phase = 'indexing') - min(extract(epoch FROM at)) FILTER (WHERE phase = 'capturing')))::int
    FROM presplit.job_events WHERE operation_id = $id")
if ((took * 256 * 1024 / 1000 * 10 >= bytes * 9)); then ok "the limit is kept: $bytes bytes in $took ms"; else not_ok "the limit is kept" "$bytes bytes in $took ms: $(run -c "SELECT at, phase, seconds, note FROM presplit.job_events WHERE operation_id = $id ORDER BY entry")"; fi

# A disk that becomes full, where a small one can be mounted.
disk=$tmp/disk
mkdir "$disk"
if [[ $(id -u) == 0 ]] && mount -t tmpfs -o size=8m tmpfs "$disk" 2>/dev/null; then
    chown "$CLUSTER_USER" "$disk"
    run -c "CREATE TABLESPACE small LOCATION '$disk'"
    run -c 'CREATE TABLE big (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)' -c 'CREATE TABLE big_1 PARTITION OF big FOR VALUES FROM (0) TO (100000)' \
        -c "INSERT INTO big SELECT g, repeat('x', 1000) FROM generate_series(0, 9999) AS g" -c 'ANALYZE big'
    fails_with "too small a disk is told before anything is done" 'MB are free there' run -c "SELECT move_shard('big_1', 'small')"
    mount -o remount,size=64m "$disk"
    begin_at copying "SELECT move_shard('big_1', 'small')"
    mount -o remount,size=6m "$disk" 2>/dev/null || mount -o remount,size=8m "$disk"
    release
    until_true "SELECT coalesce(error, '') LIKE '%No space left%' FROM presplit.operations WHERE operation_id = $id"
    same "a disk that is full in the middle is told, and the operation waits" t "$(run -c "SELECT finished_at IS NULL AND error LIKE '%No space left%' FROM presplit.operations WHERE operation_id = $id")"
    same "nobody is in the way of the table" 10000 "$(run -c 'SELECT count(*) FROM big')"
    mount -o remount,size=64m "$disk"
    same "with room again it goes on" done "$(run -c "SELECT wait_operation($id, '3 min')" 2>&1)"
    same "the shard is where it should be" small "$(run -c "SELECT spcname FROM pg_tablespace JOIN pg_class AS c ON reltablespace = pg_tablespace.oid JOIN pg_inherits ON inhrelid = c.oid WHERE inhparent = 'big'::regclass")"
    same "with all rows" 10000 "$(run -c 'SELECT count(*) FROM big')"

    # Room that is to stay free: where the new shard is, and where what is written ahead is.
    fill() { # FOLDER: leaves a twentieth
        local kilobytes
        kilobytes=$(df -k --output=avail,size "$1" | awk 'NR == 2 {print int($1 - $2 / 20)}')
        as_cluster_user dd if=/dev/zero of="$1/filler" bs=1k count="$kilobytes" status=none
    }
    run -c 'CREATE TABLE big_2 PARTITION OF big FOR VALUES FROM (100000) TO (200000)' -c 'INSERT INTO big SELECT id + 100000, v FROM big WHERE id < 2000'
    begin_at copying "SELECT move_shard('big_2', 'small')"
    fill "$disk"
    setting min_free_disk 6
    release
    waits_for "a tablespace that becomes full is waited for by its name" 'disk space: % is free where tablespace small is, presplit.min_free_disk is 6 \%'
    rm "$disk/filler"
    is_done "until there is room"
    setting min_free_disk 0
    cluster_stop faults
    mkdir "$tmp/wal"
    mount -t tmpfs -o size=48m tmpfs "$tmp/wal"
    chown "$CLUSTER_USER" "$tmp/wal"
    as_cluster_user "$(cluster_bin faults)/pg_resetwal" --wal-segsize=1 -D "${CLUSTER_DIR[faults]}/data" >/dev/null
    as_cluster_user mv "${CLUSTER_DIR[faults]}/data/pg_wal" "$tmp/wal/pg_wal"
    as_cluster_user ln -s "$tmp/wal/pg_wal" "${CLUSTER_DIR[faults]}/data/pg_wal"
    printf '%s\n' 'min_wal_size = 2MB' 'max_wal_size = 8MB' >>"${CLUSTER_DIR[faults]}/data/postgresql.conf"
    cluster_up faults
    begin_at copying "$(other_way)"
    fill "$tmp/wal"
    setting min_free_disk 6
    release
    waits_for "what is written ahead may be elsewhere: it is waited for too" 'disk space: % is free where pg\_wal is, presplit.min_free_disk is 6 \%'
    rm "$tmp/wal/filler"
    is_done "until there is room for it"
    cluster_stop faults
    if check_log faults tests/server/allow/reshard_faults; then ok "log of the server"; else not_ok "log of the server"; fi
    umount "$disk" "$tmp/wal"
else
    echo '# no small disk could be mounted: the test of a full one is left out'
    log_is_clean faults tests/server/allow/reshard_faults
fi
exit "$CHECKS_FAILED"
