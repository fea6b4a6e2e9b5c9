#!/usr/bin/env bash
# Operations that are under way in a database that is copied by CREATE DATABASE, or in a server that pg_upgrade makes another one
# of; and where the extension is updated under the worker. A copy says that they are not its own, and takes them back where it
# is asked to; what was done and is undone in a copy does not rely on what was not written down there.
# pg_upgrade goes from PostgreSQL 15 if the same version of the extension is installed there, else from the version itself.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
from=$version
control_of() { grep default_version "$("$(pg_config_of "$1")" --sharedir)/extension/pg_presplit.control" 2>/dev/null || echo none; }
if [[ $version != 15 && $(control_of 15) == "$(control_of "$version")" ]]; then from=15; fi

settings=("shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" "max_worker_processes = 16" "presplit.reshard_rate_limit = 0"
    "presplit.min_free_disk = 0" "presplit.cutover_budget = 5s" "autovacuum = off")
cluster_start old "$from" "${settings[@]}"
cluster_use old
tmp=$(cluster_tmp old)
chmod a+rwx "$tmp"
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'CREATE DATABASE shards'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart old
run >/dev/null <<'SQL'
CREATE TABLE s (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE s_all PARTITION OF s FOR VALUES FROM (0) TO (10000);
CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
CREATE TABLE h (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY HASH (id);
CREATE TABLE h_0 PARTITION OF h FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE u (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);
CREATE TABLE u_all PARTITION OF u FOR VALUES FROM (0) TO (10000);
CREATE INDEX ON s (n);
CREATE INDEX ON t (n);
INSERT INTO s SELECT generate_series(0, 999);
INSERT INTO t SELECT generate_series(0, 999);
INSERT INTO h SELECT generate_series(0, 999);
INSERT INTO u SELECT generate_series(0, 999);
SQL
quietly() { # EXPECTED QUERY [psql-option...]
    local found='' end=$((SECONDS + 30)) expected=$1 query=$2
    shift 2
    while ((SECONDS <= end)); do
        found=$(run "$@" -c "$query" 2>/dev/null) || true
        [[ $found == "$expected" ]] && return
        sleep 0.05
    done
    not_ok "waiting for $expected of $query" "$found $(run "$@" -c 'SELECT operation_id, phase, waiting_for, error FROM presplit.operations ORDER BY 1 DESC LIMIT 2' 2>&1)"
}
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    quietly t "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
begin() { # POINT SELECT
    PGOPTIONS="-c presplit.pause_at=$1 -c presplit.cutover_budget=1h" run -c "$2"
}
arrive() { quietly "$1" "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"; } # HOW MANY
gone() { quietly 0 "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"; }
outcome() { # ID [psql-option...]
    local id=$1
    shift
    run "$@" -c "SELECT wait_operation($id, '1 minute')" 2>&1 || true
    run "$@" -c "SELECT error FROM presplit.operations WHERE operation_id = $id AND error IS NOT NULL"
}
catalog() {
    run "$@" <<'SQL'
SELECT 'class', c.oid, c.relname, c.relkind, c.relispartition, c.relhasindex, c.relchecks FROM pg_class AS c WHERE c.oid >= 16384 ORDER BY c.oid;
SELECT 'trigger', t.oid, t.tgrelid, t.tgname, t.tgenabled FROM pg_trigger AS t ORDER BY t.oid;
SELECT 'constraint', c.oid, c.conrelid, c.conname, c.convalidated FROM pg_constraint AS c ORDER BY c.oid;
SELECT 'depend', d.* FROM pg_depend AS d WHERE d.objid >= 16384 ORDER BY d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, d.refobjsubid;
SELECT 'ledger', o.* FROM presplit.job_objects AS o;
SQL
}
rows() { # TABLE [psql-option...]
    local table=$1
    shift
    run "$@" -c "SELECT count(*) || ' ' || sum(n) || ' ' || sum(id) FROM $table"
}
waits_as_a_copy() { # ID [psql-option...]
    local id=$1
    shift
    run "$@" -c "SELECT waiting_for LIKE 'nothing: it belongs to another database%cancel_operation($id)%' FROM presplit.operations WHERE operation_id = $id"
}

# The extension is updated under a worker ------------------------------------------------------------------------------
other_version() { run -c "UPDATE pg_extension SET extversion = '$1' WHERE extname = 'pg_presplit'"; }
own=$(run -c "SELECT extversion FROM pg_extension WHERE extname = 'pg_presplit'")
hold copying
id=$(begin copying "SELECT split_shard('h_0')")
arrive 1
other_version 999.0
release
quietly t "SELECT waiting_for LIKE 'versions that fit: the library is of version $own, the extension of version 999.0; %restart the server%' FROM presplit.operations WHERE operation_id = $id"
gone
same "a worker stops when the extension is updated, and says so" 'copying|' "$(run -c "SELECT phase, error FROM presplit.operations WHERE operation_id = $id")"
other_version 0.0.1
quietly t "SELECT waiting_for LIKE '%ALTER EXTENSION pg_presplit UPDATE%' FROM presplit.operations WHERE operation_id = $id"
ok "and what helps"
other_version "$own"
same "with the same version it goes on" done "$(outcome "$id")"
# In the middle of the swap, with tables that the library does not know.
hold cutting_over.waited
id=$(begin cutting_over.waited "SELECT split_shard((SELECT min(inhrelid::regclass::text)::regclass FROM pg_inherits WHERE inhparent = 'h'::regclass))")
arrive 1
run -c 'ALTER TABLE presplit.retired_shards RENAME drop_after TO drop_then' -c "UPDATE pg_extension SET extversion = '999.0' WHERE extname = 'pg_presplit'"
release
gone
same "what fails on tables of another version has not failed" cutting_over "$(run -c "SELECT phase FROM presplit.jobs WHERE operation_id = $id AND ending IS NULL")"
succeeds "and nobody is kept out" run -c 'UPDATE h SET n = n + 0'
run -c 'ALTER TABLE presplit.retired_shards RENAME drop_then TO drop_after' -c "UPDATE pg_extension SET extversion = '$own' WHERE extname = 'pg_presplit'"
same "it goes on after that too" done "$(outcome "$id")"
same "with all rows" '1000 0 499500' "$(rows h)"

# CREATE DATABASE ... TEMPLATE -----------------------------------------------------------------------------------------
by_hash=$(run -c "SELECT register_proposal('t', 'hash', '{id}', '{\"modulus\": 3}')")
# One that has failed: resumed, it begins anew.
run -c 'CREATE TABLE f (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)' -c 'CREATE TABLE f_all PARTITION OF f FOR VALUES FROM (0) TO (10000)' \
    -c 'INSERT INTO f SELECT generate_series(0, 999)'
hold indexing
failed=$(begin indexing "SELECT split_shard('f_all', at => '{500}')")
arrive 1
run -c 'ALTER TABLE f ADD COLUMN extra int'
release
same "one has failed" failed "$(outcome "$failed" | head -n 1)"
catalog >"$tmp/before"
hold copying
split=$(begin copying "SELECT split_shard('s_all', at => '{500}')")
divided=$(begin copying "SELECT shard_table('t', $by_hash)")
arrive 2
run -c "SELECT pause_operation($split), pause_operation($divided)" >/dev/null
release
quietly 2 "SELECT count(*) FROM presplit.operations WHERE phase = 'paused'"
# psql and workers leave in a moment; the server itself waits five seconds for them.
succeeds "a database is copied in the middle" psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE DATABASE copied TEMPLATE shards'
for id in "$split" "$divided"; do
    same "the copy says that operation $id is not its own" t "$(waits_as_a_copy "$id" -d copied)"
    for verb in pause resume wait; do
        fails_with "$verb is refused there" 'belongs to another database, of which this one is a copy' run -d copied -c "SELECT ${verb}_operation($id)"
    done
done
fails_with "another operation is refused by its name" "operation $split works on table" run -d copied -c "SELECT split_shard('s_all', at => '{600}')"
for table in s t; do
    same "writes to $table go through in the copy, with one warning for each session" '1 1|1' "$(run -d copied -c "UPDATE $table SET n = n + 1 WHERE id = 1 RETURNING 1" \
        -c "UPDATE $table SET n = n + 1 WHERE id = 2 RETURNING 1" 2>"$tmp/said" | xargs)|$(grep -c 'are not written down' "$tmp/said" || true)"
done
sleep 1.5
same "nobody is at them there" 2 "$(run -d copied -c 'SELECT count(*) FROM presplit.jobs WHERE NOT is_over')"
for id in "$split" "$divided"; do
    same "cancelled in the copy it is taken back" t "$(run -d copied -c "SELECT cancel_operation($id)")"
    same "at once" cancelled "$(outcome "$id" -d copied)"
done
gone
catalog -d copied >"$tmp/after"
same "the catalog of the copy is what it was before" '' "$(diff "$tmp/before" "$tmp/after" | head -n 5)"
same "what was cancelled can be begun anew" done "$(outcome "$(run -d copied -c "SELECT split_shard('s_all', at => '{500}')")" -d copied)"
same "and so can the other" done "$(outcome "$(run -d copied -c "SELECT shard_table('t', $by_hash)")" -d copied)"
same "with what was written there" '1000 2 499500|1000 2 499500' "$(rows s -d copied)|$(rows t -d copied)"
run -d copied -c "SELECT resume_operation($failed)" >/dev/null
same "one that had failed begins anew there" done "$(outcome "$failed" -d copied)"
run -d postgres -c 'DROP DATABASE copied WITH (FORCE)'
run -c "SELECT configure_shards('u', '{\"undo\": true}')" >/dev/null
captured=$(run -c "SELECT split_shard('u_all', at => '{500}')")
same "a split that can be undone by what changes" done "$(outcome "$captured")"
gone
run -c 'UPDATE u SET n = n + 1 WHERE id < 100'
succeeds "another copy, of what was done" psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE DATABASE copied TEMPLATE shards'
run -d copied -c 'UPDATE u SET n = n + 1 WHERE id >= 900' -c 'DELETE FROM u WHERE id = 950' -c 'INSERT INTO u VALUES (5000, 7)' 2>/dev/null
there=$(rows u -d copied)
undone=$(run -d copied -c "SELECT undo_operation($captured)")
same "undone there" done "$(outcome "$undone" -d copied)"
same "by all rows, for what changed was not written down" t "$(run -d copied -c "SELECT detail LIKE '%all rows are copied back%' FROM presplit.operations WHERE operation_id = $undone")"
same "with every change" "$there" "$(rows u -d copied)"
run -d postgres -c 'DROP DATABASE copied WITH (FORCE)'

# The original has nothing of that. What it has goes on, but for two that pg_upgrade comes upon.
for id in "$split" "$divided"; do
    run -c "SELECT resume_operation($id)" >/dev/null
    same "where it belongs it goes on" done "$(outcome "$id")"
done
same "with all rows" '1000 0 499500|1000 0 499500' "$(rows s)|$(rows t)"

# pg_upgrade ------------------------------------------------------------------------------------------------------------
run -c "UPDATE presplit.retired_shards SET drop_after = retired_at WHERE operation_id = $divided"
quietly t "SELECT to_regclass('t_presplit_old') IS NULL"
by_range=$(run -c "SELECT register_proposal('t', 'range', '{id}', '{\"split_points\": [\"500\"]}')")
hold copying
second=$(begin copying "SELECT split_shard((SELECT max(inhrelid::regclass::text)::regclass FROM pg_inherits WHERE inhparent = 's'::regclass), at => '{700}')")
rekeyed=$(begin copying "SELECT shard_table('t', $by_range)")
arrive 2
there="$(rows s)|$(rows t)|$(rows u)|$(rows h)"
retired=$(run -c 'SELECT string_agg(shard::regclass::text, chr(44) ORDER BY shard) FROM presplit.retired_shards')
# A server of Debian's marks columns with an option that only it knows, and pg_upgrade asks the newer pg_dump.
run -c "UPDATE pg_attribute SET attoptions = nullif(ARRAY(SELECT o FROM unnest(attoptions) AS o WHERE o NOT LIKE 'pg_attver=%'), '{}')
    WHERE attrelid >= 16384 AND attoptions IS NOT NULL"
cluster_stop old
release
cluster_start new "$version" "${settings[@]}"
if [[ $version != "$from" ]]; then
    # A server of this age does not know of data checksums by default.
    cluster_stop new
    as_cluster_user rm -rf "${CLUSTER_DIR[new]}/data.away"
    as_cluster_user cp "${CLUSTER_DIR[new]}/data/postgresql.conf" "${CLUSTER_DIR[new]}/kept.conf"
    as_cluster_user rm -rf "${CLUSTER_DIR[new]}/data"
    as_cluster_user "$(cluster_bin new)/initdb" -D "${CLUSTER_DIR[new]}/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-data-checksums >/dev/null
    as_cluster_user cp "${CLUSTER_DIR[new]}/kept.conf" "${CLUSTER_DIR[new]}/data/postgresql.conf"
else
    cluster_stop new
fi
upgrade() {
    (cd "$(cluster_tmp new)" && as_cluster_user bash -c "cd '$(cluster_tmp new)' && exec '$(cluster_bin new)/pg_upgrade' -b '$(cluster_bin old)' -B '$(cluster_bin new)' \
        -d '${CLUSTER_DIR[old]}/data' -D '${CLUSTER_DIR[new]}/data' -s '$(cluster_tmp new)' -p 50432 -P 50433 -U postgres")
}
if upgrade >"$tmp/upgrade.log" 2>&1; then
    ok "pg_upgrade from $from to $version with operations under way"
else
    not_ok "pg_upgrade from $from to $version" "$(tail -n 20 "$tmp/upgrade.log"; find "${CLUSTER_DIR[new]}/data/pg_upgrade_output.d" -name '*.log' -exec grep -hE 'ERROR|error' {} + 2>/dev/null | head -n 5)"
fi
cluster_use new
export PGDATABASE=shards
cluster_up new
same "every row came along" "$there" "$(rows s)|$(rows t)|$(rows u)|$(rows h)"
same "and what was replaced" "$retired" "$(run -c 'SELECT string_agg(shard::regclass::text, chr(44) ORDER BY shard) FROM presplit.retired_shards')"
fails_with "which takes no rows" 'was replaced' run -c "INSERT INTO ${retired%%,*} VALUES (1)"
same "everybody can write, and nobody is warned" '' "$(run -c 'UPDATE s SET n = n + 1 WHERE id > 990' -c 'UPDATE t SET n = n + 1 WHERE id > 990' 2>&1)"
for id in "$second" "$rekeyed"; do
    same "operation $id is not the new server's own" t "$(waits_as_a_copy "$id")"
    same "it is taken back there" t "$(run -c "SELECT cancel_operation($id)")"
    same "at once" cancelled "$(outcome "$id")"
done
same "nothing of them is left" '0|0' "$(run -c "SELECT (SELECT count(*) FROM pg_class WHERE relname ~ '_presplit_new' OR relname IN ('changes_$second', 'changes_$rekeyed')),
    (SELECT count(*) FROM presplit.job_objects WHERE operation_id IN ($second, $rekeyed))")"
same "then the split is done" done "$(outcome "$(run -c "SELECT split_shard((SELECT max(inhrelid::regclass::text)::regclass FROM pg_inherits WHERE inhparent = 's'::regclass), at => '{700}')")")"
same "and the table divided otherwise" done "$(outcome "$(run -c "SELECT shard_table('t', $by_range)")")"
run -c 'UPDATE u SET n = n + 1 WHERE id < 500'
there=$(rows u)
if ((version >= 18 && from < 18)); then
    # NOT NULL constraints get names of their own there, by which old and new shards are no more alike. It is refused, no more.
    fails_with "what was done before is not undone" 'is no more like "public.u_all"' run -c "SELECT undo_operation($captured)"
else
    same "what was done before is undone" done "$(outcome "$(run -c "SELECT undo_operation($captured)")")"
fi
same "with every change" "$there|1000 9 499500|1000 9 499500" "$(rows u)|$(rows s)|$(rows t)"
same "check_shards() finds nothing wrong" '' "$(run -c "SELECT * FROM check_shards() WHERE severity = 'error'")"
succeeds "DROP EXTENSION" run -c 'DROP EXTENSION pg_presplit'
log_is_clean old tests/server/allow/reshard_copies
log_is_clean new tests/server/allow/reshard_copies
exit "$CHECKS_FAILED"
