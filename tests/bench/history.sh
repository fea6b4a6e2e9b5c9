#!/usr/bin/env bash
# What the size history costs the worker, with 1,000 and with 10,000 tables (or as many as named): milliseconds of a
# look, what is written, thinning of a history of two years, and what reading it costs.
# Usage: tests/bench/history.sh [15|18] [tables...]
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-18}
shift || true
(($# > 0)) || set -- 1000 10000

bench() { # TABLES
    local tables=$1 name=bench$1
    cluster_start "$name" "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
        "presplit.databases = 'bench'" "autovacuum = off" "max_locks_per_transaction = 1024" "max_wal_size = 8GB"
    cluster_use "$name"
    q() { psql -qAtX -v ON_ERROR_STOP=1 -d bench "$@"; }
    psql -qX -d postgres -c 'CREATE DATABASE bench'
    for ((from = 1; from <= tables; from += 1000)); do
        q -c "DO \$\$ BEGIN FOR i IN $from .. least($from + 999, $tables) LOOP
            EXECUTE format('CREATE TABLE some_table_%s (id bigint PRIMARY KEY, owner_id int, at timestamptz, note text)', i);
            EXECUTE format('CREATE INDEX ON some_table_%s (owner_id)', i);
            EXECUTE format('INSERT INTO some_table_%s SELECT g, g, now(), ''note'' FROM generate_series(1, 50) AS g', i);
        END LOOP; END \$\$"
    done
    q -c 'VACUUM ANALYZE' -c 'CREATE EXTENSION pg_presplit'
    look() { # [what else to set]: makes one due; prints what it took, without thinning
        local before
        before=$(q -c "UPDATE presplit.size_reading SET at = at - interval '1 day'${1:+, $1} RETURNING extract(epoch FROM at)")
        until [[ $(q -c "SELECT count(*) FROM presplit.size_reading WHERE extract(epoch FROM at) <> ${before:-0}") == 1 ]]; do sleep 0.2; done
        q -c "SELECT round(took_ms) || ' ms' FROM presplit.size_reading"
    }
    cpu() { # ms of CPU of all processes of the cluster that have ended, as the postmaster counts them
        awk -v hz="$(getconf CLK_TCK)" '{print int(($16 + $17) * 1000 / hz)}' "/proc/$(head -n 1 "${CLUSTER_DIR[$name]}/data/postmaster.pid")/stat"
    }
    costs() { # of a look with all that belongs to it, in CPU
        local from
        from=$(cpu)
        look "$1" >/dev/null
        sleep 1
        echo "$(($(cpu) - from)) ms of CPU"
    }
    lines() { q -c 'SELECT count(*) FROM presplit.size_history'; }
    timed() { q -c '\timing on' -c "$1" | sed -n 's/^Time: //p' | tail -n 1; }
    echo "=== $tables tables with two indexes and TOAST, PostgreSQL $version"
    echo "first look:                                $(look)"
    local before took=()
    before=$(lines)
    for _ in {1..5}; do took+=("$(look)"); done
    echo "nothing changed, five times:               ${took[*]}; $(($(lines) - before)) lines written"
    q -c "DO \$\$ BEGIN FOR i IN 1 .. $tables BY 10 LOOP EXECUTE format('INSERT INTO some_table_%s VALUES (100)', i); END LOOP; END \$\$"
    before=$(lines)
    echo "a tenth of them changed:                   $(look); $(($(lines) - before)) lines written"
    took=()
    for turn in 1 2 3; do
        for ((from = 1; from <= tables; from += 1000)); do
            q -c "DO \$\$ BEGIN FOR i IN $from .. least($from + 999, $tables) LOOP EXECUTE format('INSERT INTO some_table_%s VALUES (200 + $turn)', i); END LOOP; END \$\$"
        done
        took+=("$(look)")
    done
    echo "all of them changed, three times:          ${took[*]}"
    echo "stored last look:                          $(q -c "SELECT pg_size_pretty(pg_total_relation_size('presplit.size_reading'))")"
    echo "two years of 500 tables that always change, as they are kept, one table at rest for each of the others:"
    q -c "INSERT INTO presplit.size_history
          SELECT 'public', 'some_table_' || t, a.at, 50, 8192 * 3, extract(epoch FROM a.at) / 300, 0, 0, 8192, 16384, 0
          FROM generate_series(1, 500) AS t
          CROSS JOIN (SELECT generate_series(now() - interval '730 days', now() - interval '56 days', interval '1 day')
                      UNION ALL SELECT generate_series(now() - interval '56 days', now() - interval '2 days', interval '1 hour')
                      UNION ALL SELECT generate_series(now() - interval '2 days', now() - interval '10 minutes', interval '5 minutes')) AS a (at)
          ON CONFLICT DO NOTHING" \
      -c "INSERT INTO presplit.size_history
          SELECT 'public', 'some_table_' || t, a.at, 50, 8192 * 3, 0, 0, 0, 8192, 16384, 0
          FROM generate_series(501, $tables) AS t
          CROSS JOIN (SELECT generate_series(now() - interval '730 days', now() - interval '1 day', interval '1 day')) AS a (at)
          ON CONFLICT DO NOTHING" -c 'VACUUM ANALYZE presplit.size_history'
    echo "  lines, with indexes:                     $(lines), $(q -c "SELECT pg_size_pretty(pg_total_relation_size('presplit.size_history'))")"
    echo "  a look that thins nothing:               $(costs "thinned_at = at")"
    echo "  a look that thins an hour:               $(costs "thinned_at = at - interval '1 hour'")"
    echo "  a look that goes through all, each day:  $(costs "thinned_at = at - interval '1 day'")"
    echo "  capture_profile():                       $(timed 'SELECT length(capture_profile()::text)')"
    echo "  of which without any history:            $(q -c 'CREATE TABLE aside AS TABLE presplit.size_history' -c 'TRUNCATE presplit.size_history'; timed 'SELECT length(capture_profile()::text)')"
    q -c 'INSERT INTO presplit.size_history TABLE aside'
    echo "  predict_growth() of one table:           $(timed "SELECT count(*) FROM predict_growth('public.some_table_7')")"
    cluster_stop "$name" fast
}
for tables in "$@"; do bench "$tables"; done
