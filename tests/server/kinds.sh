#!/usr/bin/env bash
# One dump that holds every kind of statement, restored in every way that pg_restore and psql know, in shards and, where
# the way itself leaves something out, also whole: the catalogs and the rows must be the same but for what is meant.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start kinds "$version" "shared_preload_libraries = 'pg_presplit'" "max_locks_per_transaction = 512" \
    "allow_in_place_tablespaces = on" "max_connections = 60" "wal_level = logical" "presplit.databases = 'none'" "autovacuum = off" \
    "full_page_writes = off" "max_wal_size = 4GB"
cluster_use kinds
tmp=$(cluster_tmp kinds)
fixtures=$PRESPLIT_ROOT/tests/fixtures
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

. "$PRESPLIT_ROOT/tests/lib/kinds.sh"
sharded=$(kinds_tables "$version")
describe() { kinds_describe "$1" "$version" "$sharded"; }

kinds_cluster ''
run -d postgres -c 'CREATE DATABASE source'
run -d source -f "$fixtures/kinds.sql" >/dev/null
[[ $version -lt 18 ]] || run -d source -f "$fixtures/kinds_18.sql"
describe source >"$tmp/source.txt"

# Dumps --------------------------------------------------------------------------------------------------------------
dump() { as_cluster_user "$(cluster_bin kinds)/pg_dump" -h "$PGHOST" -U postgres -f "$tmp/$1" "${@:2}" source; }
dump custom -Fc &
dump dir -Fd &
dump tar -Ft &
dump plain.sql -Fp &
wait
dump inserts -Fc --rows-per-insert=7 &
dump inserts.sql -Fp --column-inserts &
dump schema.sql -Fp --schema-only &
dump data.sql -Fp --data-only --disable-triggers 2>/dev/null &
[[ $version -lt 18 ]] || dump statistics -Fc --statistics &
wait
kinds_profile source >"$tmp/profile.json"

# A database in which all tables are armed; every way of restoring gets a copy of it.
run -d postgres -c 'CREATE DATABASE armed' -c "ALTER DATABASE armed SET client_min_messages = warning"
kinds_arm armed "$tmp/profile.json" "$sharded"
run -d postgres -c 'ALTER DATABASE armed ALLOW_CONNECTIONS false'

# Ways ---------------------------------------------------------------------------------------------------------------
verify() { # NAME DATABASE EXPECTED_FILE
    local found
    describe "$2" >"$tmp/$2.found" 2>&1 || true
    found=$(diff "$3" "$tmp/$2.found" | grep '^[<>]') || true
    if [[ -n $found ]]; then not_ok "$1: the same" "$(head -n 60 <<<"$found")"; else ok "$1: the same"; fi
    same "$1: in shards" "$(run -d "$2" -v sharded="${4:-$sharded}" <<<"SELECT cardinality(:'sharded'::text[])")" \
        "$(run -d "$2" -c "SELECT count(*) FROM pg_class WHERE relkind = 'p' AND NOT relispartition AND relname <> 'metrics'")"
    same "$1: nothing wrong" "" "$(run -d "$2" -c "SELECT object, problem FROM check_shards() WHERE severity = 'error'")"
}
database() { # NAME: an armed one
    run -d postgres -c "CREATE DATABASE $1 TEMPLATE armed" -c "ALTER DATABASE $1 ALLOW_CONNECTIONS true"
}
# A way that leaves something out is compared with itself where nothing is armed.
as_whole() { # NAME FUNCTION
    run -d postgres -c "CREATE DATABASE ${1}_whole"
    succeeds "$1: without us" "$2" "${1}_whole"
    describe "${1}_whole" >"$tmp/$1.txt"
    database "$1"
    succeeds "$1" "$2" "$1"
    verify "$1" "$1" "$tmp/$1.txt" "${3:-$sharded}"
}
as_source() { # NAME FUNCTION
    database "$1"
    succeeds "$1" "$2" "$1"
    verify "$1" "$1" "$tmp/source.txt"
}

plain() { pg_restore -d "$1" "$tmp/custom"; }
jobs_of_three() { pg_restore -j3 -d "$1" "$tmp/dir"; }
single_transaction() { pg_restore --single-transaction -d "$1" "$tmp/tar"; }
sections() {
    pg_restore --section=pre-data -d "$1" "$tmp/custom" && pg_restore --section=data -j2 -d "$1" "$tmp/custom" \
        && pg_restore --section=post-data -j2 -d "$1" "$tmp/custom"
}
schema_then_data() { pg_restore --schema-only -d "$1" "$tmp/custom" && pg_restore --data-only --disable-triggers -j2 -d "$1" "$tmp/custom"; }
no_owner() { pg_restore --no-owner --no-privileges -d "$1" "$tmp/custom"; }
schema_selected() {
    run -d "$1" -c 'CREATE SCHEMA app' -c 'GRANT ALL ON SCHEMA app TO PUBLIC' -c 'CREATE ACCESS METHOD heap_again TYPE TABLE HANDLER heap_tableam_handler' \
        -c 'CREATE PUBLICATION kinds_tables' -c 'CREATE PUBLICATION kinds_filtered' -c 'CREATE PUBLICATION kinds_generated'
    pg_restore -n app -j2 -d "$1" "$tmp/custom"
}
tables_selected() {
    run -d "$1" -c 'CREATE SCHEMA app'
    pg_restore -t carts -t lines -t customers -d "$1" "$tmp/custom"
}
by_psql() { run -d "$1" -f "$tmp/plain.sql"; }
by_psql_at_once() { run -1 -d "$1" -f "$tmp/plain.sql"; }
inserts() { pg_restore -j2 -d "$1" "$tmp/inserts"; }
inserts_by_psql() { run -d "$1" -f "$tmp/inserts.sql"; }
schema_and_data_by_psql() { run -d "$1" -f "$tmp/schema.sql" && run -d "$1" -f "$tmp/data.sql"; }
with_statistics() { pg_restore -j2 -d "$1" "$tmp/statistics"; }
again() { pg_restore --clean --if-exists -j2 -d "$1" "$tmp/custom"; }
again_without_asking() { pg_restore --clean -d "$1" "$tmp/custom"; }

at_most_two() { while (($(jobs -rp | wc -l) >= 2)); do wait -n || true; done; }
way() { # COMMAND...: in the background, its lines kept together
    [[ -z ${WAYS:-} || " $WAYS " == *" $2 "* ]] || return 0
    at_most_two
    { "$@" >"$tmp/out.$2" 2>&1; } &
}
three_times() {
    as_source plain plain
    # Everything that was rewritten is in the report.
    same "restore_report" "ALTER PUBLICATION,ALTER TABLE,$([[ $version -ge 17 ]] || echo 'COMMENT ON CONSTRAINT,COMMENT ON INDEX,')COPY,CREATE PUBLICATION,CREATE TABLE" \
        "$(run -d plain -c "SELECT string_agg(DISTINCT statement_kind, ',' ORDER BY statement_kind) FROM presplit.restore_report")"
    same "restore_report: rows" "$(run -d source -c "SELECT count(*) FROM app.orders")" \
        "$(run -d plain -c "SELECT sum(rows_loaded) FROM presplit.restore_report WHERE relation = 'app.orders' AND statement_kind = 'COPY'")"
    succeeds "--clean --if-exists" again plain
    verify "--clean --if-exists" plain "$tmp/source.txt"
    succeeds "--clean" again_without_asking plain
    verify "--clean" plain "$tmp/source.txt"
}
over_whole_tables() {
    database replaced
    run -d replaced -c 'SELECT count(disarm(relation)) FROM presplit.proposals' >/dev/null
    succeeds "nothing armed any more" plain replaced
    run -d replaced -c 'SELECT count(*) FROM presplit.proposals AS p, create_shards(p.proposal_id, replace => true)' >/dev/null
    succeeds "--clean over whole tables" again replaced
    verify "--clean over whole tables" replaced "$tmp/source.txt"
}
# Statistics of the whole table are nowhere in a dump; 18 can bring along those of a table without parts.
analyzed() { # DATABASE FUNCTION
    as_source "$1" "$2"
    same "$1: ANALYZE is named, of every sharded table" "$(run -d "$1" -c 'SELECT count(*) FROM presplit.sharded')" \
        "$(run -d "$1" -c "SELECT count(DISTINCT object) FROM check_shards() WHERE remedy LIKE 'ANALYZE %'")"
    run -d "$1" <<<"SELECT remedy FROM check_shards() WHERE remedy LIKE 'ANALYZE %' \gexec"
    same "$1: and not after it" 0 "$(run -d "$1" -c "SELECT count(*) FROM check_shards() WHERE remedy LIKE 'ANALYZE %'")"
}
way three_times plain
way over_whole_tables replaced
way analyzed jobs jobs_of_three
way as_source single single_transaction
way as_source sections sections
way as_source psql by_psql
way as_source psql_at_once by_psql_at_once
way as_source inserts inserts
way as_source inserts_psql inserts_by_psql
[[ $version -lt 18 ]] || way analyzed statistics with_statistics
way as_whole schema_data schema_then_data
way as_whole schema_data_psql schema_and_data_by_psql
way as_whole no_owner no_owner
way as_whole schema_selected schema_selected "${sharded%,*}}"
way as_whole tables_selected tables_selected '{app.carts,app.lines}'
wait

# Written down for a server without the extension: what comes before the data, the data, what comes after it.
scripted() {
    pg_restore -s -f "$tmp/dumped.sql" "$tmp/custom"
    # One proposal for all tables.
    (cd "$tmp" && run -d plain) >"$tmp/script.sql" <<'SQL' || return
\set schema `cat dumped.sql`
WITH exported AS (SELECT export_proposal(proposal_id) AS x FROM presplit.proposals)
SELECT import_proposal(jsonb_set((SELECT x FROM exported LIMIT 1), '{proposal,relations}',
    (SELECT jsonb_agg(r) FROM exported, jsonb_array_elements(x->'proposal'->'relations') AS r))) AS everything \gset
SELECT restore_script(:everything, :'schema');
SQL
    run -d postgres -c 'CREATE DATABASE scripted'
    sed '/^-- The data goes here/,$d' "$tmp/script.sql" | run -d scripted >/dev/null \
        && pg_restore --data-only -d scripted "$tmp/custom" \
        && sed -n '/^-- The data goes here/,$p' "$tmp/script.sql" | run -d scripted >/dev/null \
        && run -d scripted -c 'REFRESH MATERIALIZED VIEW app.best'
}
if [[ -z ${WAYS:-} || " $WAYS " == *" script "* ]]; then
    {
        succeeds "restore_script" scripted
        describe scripted >"$tmp/scripted.found" 2>&1 || true
        same "restore_script: the same" "" "$(diff "$tmp/source.txt" "$tmp/scripted.found" | grep '^[<>]' | head -n 40)"
        same "restore_script: in shards" "8" "$(run -d scripted -c "SELECT count(*) FROM pg_class WHERE relkind = 'p' AND NOT relispartition AND relname NOT IN ('metrics', 'modern', 'periods')")"
    } >"$tmp/out.script"
fi
cat "$tmp"/out.*
! grep -q '^not ok' "$tmp"/out.* || CHECKS_FAILED=1
[[ -z ${KINDS_SHELL:-} ]] || eval "$KINDS_SHELL"

log_is_clean kinds
exit "$CHECKS_FAILED"
