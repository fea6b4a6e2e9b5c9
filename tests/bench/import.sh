#!/usr/bin/env bash
# What an import costs: a generated profile of 50 MB through sql/import_profile.sql: seconds, and the most memory that
# psql and the backend had. Usage: tests/bench/import.sh [15|18] [MEGABYTES]. Needs the extension in that server.
set -euo pipefail
# shellcheck source=tests/lib/cluster.sh
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
megabytes=${2:-50}

cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "log_statement = all" "log_min_duration_statement = 0"
cluster_use bench
tmp=$(cluster_tmp bench)
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE EXTENSION pg_presplit' >/dev/null
python3 - "$megabytes" "$PRESPLIT_ROOT/tests/fixtures/profile_15.json" >"$tmp/profile.json" <<'PYTHON'
import copy, json, sys
profile = json.load(open(sys.argv[2]))
model = next(t for t in profile["tables"] if t["table"] == "correlated")
size = len(json.dumps(model))
profile["tables"] = []
for i in range(int(float(sys.argv[1]) * 1e6 / size)):
    table = copy.deepcopy(model)
    table["table"] = "t%d" % i
    profile["tables"].append(table)
print(json.dumps(profile))
PYTHON

# The most memory of a backend is in /proc until it ends: it is asked at the end of the same session.
{
    cat "$PRESPLIT_ROOT/sql/import_profile.sql"
    echo "\\o $tmp/memory"
    echo "SELECT pg_read_file('/proc/self/status', 0, 4000);"
} >"$tmp/import.sql"
begin=$(date +%s.%N)
psql -qX -v ON_ERROR_STOP=1 -d postgres -f "$tmp/import.sql" <"$tmp/profile.json" >/dev/null &
client=$!
most=0
while kill -0 "$client" 2>/dev/null; do
    now=$(awk '/^VmHWM/ {print $2}' "/proc/$client/status" 2>/dev/null || echo 0)
    ((${now:-0} > most)) && most=$now
    sleep 0.05
done
wait "$client"
end=$(date +%s.%N)
backend=$(grep -oE 'VmHWM:[^0-9]*[0-9]+' "$tmp/memory" | grep -oE '[0-9]+')
python3 - <<PYTHON
import os
size = os.path.getsize("$tmp/profile.json") / 1e6
print("PostgreSQL %s: %.1f MB in %.2f s; psql had %.0f MB, the backend %.0f MB at most; the log grew to %.1f kB"
      % ("$version", size, $end - $begin, $most / 1024, $backend / 1024, os.path.getsize("$(cluster_log bench)") / 1e3))
PYTHON
