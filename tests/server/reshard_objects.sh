#!/usr/bin/env bash
# What of a shard survives when others take its place, as pg_dump sees it; that dumps leave out what is under way and what
# was replaced; and the ways out: DROP EXTENSION and break_glass.sql.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start objects "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "presplit.reshard_rate_limit = 0" "presplit.databases = 'shards'" "presplit.retired_shard_grace = 3600"
cluster_use objects
tmp=$(cluster_tmp objects)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
as_cluster_user mkdir "$tmp/spare"
run -d postgres -c 'CREATE DATABASE shards' -c "CREATE TABLESPACE spare LOCATION '$tmp/spare'" -c 'GRANT CREATE ON TABLESPACE spare TO PUBLIC'
export PGDATABASE=shards
run -c 'CREATE EXTENSION pg_presplit'
cluster_restart objects
run -1 -f "$(dirname "$0")/../fixtures/rich_shard.sql"

# The statements of a dump of schema f: those about a shard, with its name taken out of them and without its bound; or
# those about none of them.
statements() { # DUMP about|besides NAME...
    python3 - "$@" <<'PY'
import re, sys
dump, which, shards = sys.argv[1], sys.argv[2], sys.argv[3:]
text = "\n".join(line for line in open(dump) if not re.match(r"--|SET |RESET |SELECT pg_catalog.set_config|\\", line))
text = re.sub(r"\n+", "\n", text)
found = []
for statement in re.split(r";\n", text):
    named = [name for name in shards if re.search(rf"\b{name}(?![a-z0-9])", statement)]
    if which == "besides" and not named:
        found.append(statement.strip())
    if which == "about" and named:
        statement = re.sub(rf"\b{shards[0]}_", "", statement)
        statement = re.sub(rf"\b{shards[0]}\b", "SHARD", statement)
        statement = re.sub(r" FOR VALUES .*", "", statement)
        # From 18 on NOT NULL has a name, which stays as those of checks do; the dump leaves it out where it is the usual one.
        statement = re.sub(r" CONSTRAINT t_s1_\w+_not_null NOT NULL", " NOT NULL", statement)
        found.append(statement.strip())
print("\n;\n".join(sorted(found)))
PY
}
dump() { pg_dump -s -n f -f "$tmp/$1.sql"; }
chmod a+rwx "$tmp"
content="SELECT count(*) || ' ' || md5(string_agg(t::text, ',' ORDER BY t.id)) FROM f.t"
before=$(run -c "$content")
dump before
run -c "INSERT INTO presplit.sharded_tables VALUES ('f.t', 1)"
id=$(run -c "SELECT split_shard('f.t_s1', at => ARRAY['50'])")
same "a split of a shard that has everything" done "$(run -c "SELECT wait_operation($id, '3 min')")"
same "its rows" "$before" "$(run -c "$content")"
mapfile -t new < <(run -c "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'f.t'::regclass ORDER BY 1")
same "new shards" 2 "${#new[@]}"
dump after
statements "$tmp/before.sql" about t_s1 "own Index" by_expression >"$tmp/wanted"
for shard in "${new[@]}"; do
    statements "$tmp/after.sql" about "$shard" >"$tmp/found"
    if diff "$tmp/wanted" "$tmp/found" >"$tmp/differs"; then ok "pg_dump finds on $shard what was on the old one"
    else not_ok "pg_dump finds on $shard what was on the old one" "$(head -c 1500 "$tmp/differs")"; fi
done
statements "$tmp/before.sql" besides t_s1 "own Index" by_expression >"$tmp/wanted"
statements "$tmp/after.sql" besides "${new[@]}" >"$tmp/found"
if diff "$tmp/wanted" "$tmp/found" >"$tmp/differs"; then ok "pg_dump finds everything else as it was, and not the old shard"
else not_ok "pg_dump finds everything else as it was, and not the old shard" "$(head -c 1500 "$tmp/differs")"; fi
if (($(wc -l <"$tmp/wanted") > 40)); then ok "there was much to compare"; else not_ok "there was much to compare"; fi
fails_with "the old one takes no rows" 'shard "f.t_s1" was replaced' run -c "DELETE FROM f.t_s1"
same "it is shown as retired" retired "$(run -c "SELECT state FROM presplit.shards WHERE shard = 'f.t_s1'::regclass")"

# A session that holds the lock on which a worker waits at a point.
hold() { # POINT
    rm -f "$tmp/hold"
    mkfifo "$tmp/hold"
    psql -qAtX <"$tmp/hold" >/dev/null 2>&1 &
    holder=$!
    exec 7>"$tmp/hold"
    echo "SELECT pg_advisory_lock(hashtext('presplit.pause_at'), hashtext('$1'));" >&7
    becomes "held at $1" t objects 20 -d shards -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND objid::bigint = hashtext('$1')::bigint & 4294967295"
}
release() {
    exec 7>&-
    wait "$holder" 2>/dev/null || true
}
leftovers() {
    run <<'SQL'
SELECT 'trigger', tgname, tgrelid::regclass FROM pg_trigger WHERE tgname LIKE 'presplit%'
UNION ALL SELECT 'check', conname, conrelid::regclass FROM pg_constraint WHERE conname LIKE 'presplit%'
UNION ALL SELECT 'table', c.relname, c.oid::regclass FROM pg_class AS c WHERE c.relname LIKE 'changes%'
UNION ALL SELECT 'ledger', name, object::regclass FROM presplit.job_objects WHERE role <> 'retired'
UNION ALL SELECT 'retired', '', shard::regclass FROM presplit.retired_shards ORDER BY 1, 2
SQL
}
tables() { run -c "SELECT string_agg(c.oid::regclass::text || c.relispartition, ' ' ORDER BY 1) FROM pg_class AS c WHERE c.relnamespace = 'f'::regnamespace AND c.relkind = 'r'"; }
were=$(tables)
hold catching_up
id=$(PGOPTIONS="-c presplit.pause_at=catching_up" run -c "SELECT split_shard('f.${new[0]}', at => ARRAY['25'])")
becomes "an operation that is under way" t objects 30 -d shards -c "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
dump during
if cmp -s <(grep -v '^\\' "$tmp/after.sql") <(grep -v '^\\' "$tmp/during.sql" | sed -E '/presplit_capture/d'); then ok "a dump does not see it"
else not_ok "a dump does not see it" "$(diff "$tmp/after.sql" "$tmp/during.sql" | head -c 800)"; fi
fails_with "DROP EXTENSION is refused meanwhile" "operation $id works on table \"f.t\"" run -c 'DROP EXTENSION pg_presplit'
fails_with "DROP EXTENSION CASCADE too" "operation $id works on table \"f.t\"" run -c 'DROP EXTENSION pg_presplit CASCADE'
fails_with "also without the library" "operation $id works on table \"f.t\"" run -c 'SET presplit.restore_hook = off' -c 'DROP EXTENSION pg_presplit'
fails_with "a new shard is not dropped by hand" 'extension pg_presplit requires it' \
    run -c "DROP TABLE $(run -c "SELECT object::regclass FROM presplit.job_objects WHERE role = 'staging' LIMIT 1")"

# Whoever has only psql.
succeeds "break_glass.sql" psql -X -v ON_ERROR_STOP=1 -f "$(dirname "$0")/../../sql/break_glass.sql"
same "nothing of operations is left" "" "$(leftovers)"
same "the tables are as they were" "$were" "$(tables)"
same "the operation is over" cancelled "$(run -c "SELECT phase FROM presplit.operations WHERE operation_id = $id")"
release
becomes "its worker has ended" 0 objects 20 -d shards -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit operation'"
same "and has made nothing" "$were" "$(tables)"
same "the rows are there" "$before" "$(run -c "$content")"
succeeds "a replaced shard can be written to" run -c "DELETE FROM f.t_s1 WHERE id = 77"
succeeds "break_glass.sql once more" psql -X -v ON_ERROR_STOP=1 -f "$(dirname "$0")/../../sql/break_glass.sql"

# And the extension goes.
run -c "DROP TABLE f.t_s1"
id=$(run -c "SELECT move_shard('f.${new[0]}', 'spare')")
same "an operation afterwards" done "$(run -c "SELECT wait_operation($id, '3 min')")"
dump before_drop
succeeds "DROP EXTENSION" run -c 'DROP EXTENSION pg_presplit'
dump after_drop
if cmp -s <(grep -v '^\\' "$tmp/before_drop.sql") <(grep -v '^\\' "$tmp/after_drop.sql"); then ok "it leaves ordinary partitioned tables"
else not_ok "it leaves ordinary partitioned tables" "$(diff "$tmp/before_drop.sql" "$tmp/after_drop.sql" | head -c 800)"; fi
same "with their rows" "$before" "$(run -c "$content")"
succeeds "break_glass.sql without the extension" psql -X -v ON_ERROR_STOP=1 -f "$(dirname "$0")/../../sql/break_glass.sql"
log_is_clean objects "$(dirname "$0")/allow/reshard_objects"
exit "$CHECKS_FAILED"
