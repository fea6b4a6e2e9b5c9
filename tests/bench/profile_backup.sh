#!/usr/bin/env bash
# How fast profile_backup() reads, how much memory it takes, and how near its sizes are. Prints figures, judges nothing.
# Usage: tests/bench/profile_backup.sh [15|18] [millions of rows]
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-18} millions=${2:-5}

install_extension "$(pg_config_of "$version")" --release >/dev/null
cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "autovacuum = off" "max_wal_size = '8GB'"
cluster_use bench
tmp=$(cluster_tmp bench)
run() { psql -qAtX -v ON_ERROR_STOP=1 -d postgres "$@"; }
run -c 'CREATE EXTENSION pg_presplit'
# A table in the manner of nycflights13, and one with text of all widths.
run -v rows="${millions}000000" >/dev/null <<'SQL'
CREATE TABLE flights (
  year int, month int, day int, dep_time int, sched_dep_time int, dep_delay float8, arr_time int, sched_arr_time int,
  arr_delay float8, carrier text, flight int, tailnum text, origin text, dest text, air_time float8, distance float8,
  hour float8, minute float8, time_hour timestamptz
);
INSERT INTO flights
SELECT 2013, 1 + g % 12, 1 + g % 28, CASE WHEN g % 40 > 0 THEN 500 + g % 1800 END, 500 + g % 1800,
       CASE WHEN g % 40 > 0 THEN g % 60 - 10 END, CASE WHEN g % 40 > 0 THEN 700 + g % 1600 END, 700 + g % 1600, CASE WHEN g % 40 > 0 THEN g % 90 - 30 END,
       (ARRAY['UA', 'B6', 'EV', 'DL', 'AA', 'MQ', 'US'])[1 + g % 7], g % 5000, CASE WHEN g % 100 > 0 THEN 'N' || 10000 + g % 4000 END,
       (ARRAY['EWR', 'JFK', 'LGA'])[1 + g % 3], 'D' || g % 100, 50 + g % 300, 100 + g % 2500, 5 + g % 18, g % 60,
       '2013-01-01 05:00 UTC'::timestamptz + g * interval '5 seconds'
FROM generate_series(1, :rows) AS g;
CREATE INDEX ON flights (time_hour);
CREATE INDEX ON flights (carrier, flight);
CREATE TABLE notes (id bigint PRIMARY KEY, at timestamptz, amount numeric(12,2), body text, flags boolean[]);
INSERT INTO notes
SELECT g, now() + g * interval '1 second', g / 7.0, left(repeat(md5(g::text), 40), 1 + (g * 31 % 1200)::int), ARRAY[true, g % 2 = 0]
FROM generate_series(1, :rows / 20) AS g;
VACUUM ANALYZE;
CHECKPOINT;
SQL
pg_dump -f "$tmp/plain" postgres -T 'presplit.*'
pg_dump -Fc -f "$tmp/custom" postgres -T 'presplit.*'
pg_dump --inserts -t notes -f "$tmp/inserts" postgres
chmod -R a+r "$tmp"
text=$(stat -c %s "$tmp/plain")
echo "PostgreSQL $version, $((text >> 20)) MB of plain text, $(($(stat -c %s "$tmp/custom") >> 20)) MB in custom format"
measure() { # KIND BYTES
    local begin end peak ticks
    cat "$tmp/$1" >/dev/null
    begin=$(date +%s%N)
    # The backend's own time, user and system, in hundredths of a second: the clock also counts what else runs here.
    read -r peak ticks < <(run -F ' ' -c "SELECT profile_backup('$tmp/$1', '$1')" -c "
        SELECT regexp_replace(pg_read_file('/proc/' || pg_backend_pid() || '/status'), '.*VmHWM:\s+(\d+) kB.*', '\1'), s[14]::int + s[15]::int
        FROM string_to_array(pg_read_file('/proc/' || pg_backend_pid() || '/stat'), ' ') AS s" | tail -n 1)
    end=$(date +%s%N)
    printf '%-8s %5d MB/s of plain text by the clock (%.2f s), %5d MB/s by the time of the backend (%.2f s), peak %d MB\n' "$1" \
        $(($2 * 1000 / (end - begin))) "$(bc -l <<<"($end - $begin) / 1000000000")" \
        $(($2 / 10000 / ticks)) "$(bc -l <<<"$ticks / 100")" $((peak >> 10))
}
measure plain "$text"
measure custom "$text"
measure inserts "$(stat -c %s "$tmp/inserts")"
begin=$(date +%s%N)
pg_restore -f /dev/null "$tmp/custom"
printf 'pg_restore -f /dev/null alone: %5.2f s\n' "$(bc -l <<<"($(date +%s%N) - $begin) / 1000000000")"
echo 'estimated / real size:'
run -F ' ' <<'SQL'
SELECT format('  %s: heap %s, indexes %s, TOAST %s', t->>'table',
    round(((t->>'heap_bytes')::float8 / (r->>'heap_bytes')::float8)::numeric, 3),
    round(((t->>'index_bytes')::float8 / nullif((r->>'index_bytes')::float8, 0))::numeric, 3),
    round(((t->>'toast_bytes')::float8 / greatest(1, (r->>'toast_bytes')::float8))::numeric, 3))
FROM presplit.stored_profiles, jsonb_array_elements(profile->'tables') AS t
JOIN jsonb_array_elements(capture_profile()->'tables') AS r ON r->>'table' = t->>'table'
WHERE name = 'plain';
SQL
