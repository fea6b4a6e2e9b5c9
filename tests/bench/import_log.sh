#!/usr/bin/env bash
# How fast import_log() reads a csvlog, and how much memory that takes.
# Usage: tests/bench/import_log.sh [15|18] [megabytes]; installs a release build into that server.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-18}
megabytes=${2:-250}

take_lock
claim_target
install_extension "$(pg_config_of "$version")" --release >/dev/null
cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'"
cluster_use bench
psql -qX -d postgres -c 'CREATE DATABASE shop' && psql -qX -d shop -c 'CREATE EXTENSION pg_presplit'
log=$(cluster_tmp bench)/bench.csv
python3 "$PRESPLIT_ROOT/tests/bench/csvlog.py" "$megabytes" "$log"
chmod a+r "$log"
psql -qAtX -d shop <<SQL
SELECT pg_backend_pid() AS pid \gset
\setenv PID :pid
\echo before: :pid
\! grep -E 'VmHWM' /proc/\$PID/status
SELECT clock_timestamp() AS begin \gset
SELECT import_log('$log') AS executions \gset
SELECT round(extract(epoch FROM clock_timestamp() - :'begin')::numeric, 2) AS seconds \gset
\! grep -E 'VmHWM' /proc/\$PID/status
SELECT format('%s executions, %s statements, %s MB in %s s: %s MB/s', :executions, (SELECT jsonb_array_length(profile->'workload'->'statements') FROM presplit.stored_profiles),
              round((pg_stat_file('$log')).size / 1e6), :seconds, round(((pg_stat_file('$log')).size / 1e6 / :seconds)::numeric));
SELECT profile->'workload'->>'note' FROM presplit.stored_profiles;
SQL
