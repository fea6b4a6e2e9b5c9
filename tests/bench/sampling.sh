#!/usr/bin/env bash
# What sampling costs a backend: CPU time per transaction of `pgbench -S` with one client, in interleaved pairs.
#
#   tests/bench/sampling.sh [VERSION [PAIRS [TRANSACTIONS]]]      default: 15 12 150000
#
#   preload   the library is not preloaded : it is, presplit.sample_rate = 0     (two servers)
#   sample    presplit.sample_rate = 0 : presplit.sample_rate = 0.01             (one server)
#   control   presplit.sample_rate = 0 : the same again, which shows the noise
#   every     presplit.sample_rate = 0 : presplit.sample_rate = 1, whose excess is what each sample costs
#
# for -M simple and -M prepared. CPU is the time that the scheduler gave the backend alone. Printed are the medians,
# the median and the quartiles of the ratios, one for each pair, and the ratio of the two fastest runs, which a busy
# machine disturbs least. Install a release build first (`make install`): a debug
# build tells nothing.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15}
pairs=${2:-12}
transactions=${3:-150000}

quiet=("autovacuum = off" "presplit.databases = 'none'" "shared_buffers = '256MB'" "checkpoint_timeout = '1h'" "max_wal_size = '4GB'")
cluster_start plain "$version" "${quiet[@]}"
cluster_start loaded "$version" "shared_preload_libraries = 'pg_presplit'" "${quiet[@]}"
export PATH="$(cluster_bin loaded):$PATH" PGUSER=postgres PGPORT=5432 PGDATABASE=postgres
for cluster in plain loaded; do
    cluster_psql "$cluster" -q -c 'CREATE EXTENSION pg_presplit'
    PGHOST=${CLUSTER_DIR[$cluster]} pgbench -q -i -s 5 >/dev/null 2>&1
    cluster_psql "$cluster" -q -c 'CREATE UNLOGGED TABLE reading (ns bigint)' -c 'VACUUM ANALYZE' -c 'CHECKPOINT'
done

# The transaction of `pgbench -S`; twice in a run the backend notes how long it has been on a CPU.
script=$(cluster_tmp loaded)/select.sql
cat >"$script" <<'SQL'
\set n :n + 1
\if :n = :first or :n = :last
INSERT INTO reading SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint;
\endif
\set aid random(1, 500000)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SQL

# CPU microseconds per transaction, after some to warm up.
measure() { # CLUSTER PROTOCOL RATE
    local options='' warm=2000
    [[ $1 == plain ]] || options="-c presplit.sample_rate=$3"
    PGHOST=${CLUSTER_DIR[$1]} PGOPTIONS=$options pgbench -n -M "$2" -c 1 -t $((transactions + warm)) -f "$script" \
        -D n=0 -D first=$warm -D last=$((transactions + warm)) >/dev/null 2>&1
    cluster_psql "$1" -qAt -c "SELECT (max(ns) - min(ns)) / 1e3 / $transactions FROM reading" -c 'TRUNCATE reading'
}

summary() { # TITLE: lines "A B" on standard input
    awk -v title="$1" '
        { a[NR] = $1; b[NR] = $2; r[NR] = $2 / $1 }
        function sort(x, n,   i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && x[j - 1] > x[j]; j--) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t } }
        function at(x, n, q,   p) { p = 1 + (n - 1) * q; return x[int(p)] + (p - int(p)) * (x[int(p) + (p > int(p))] - x[int(p)]) }
        END {
            sort(a, NR); sort(b, NR); sort(r, NR)
            printf "%-17s %6.2f us : %6.2f us   ratio %.4f (quartiles %.4f to %.4f, %d pairs), of the fastest %.4f\n",
                title, at(a, NR, 0.5), at(b, NR, 0.5), at(r, NR, 0.5), at(r, NR, 0.25), at(r, NR, 0.75), NR, b[1] / a[1]
        }'
}

# The order within a pair alternates, so that a drift does not favour one side.
compare() { # TITLE CLUSTER RATE CLUSTER RATE PROTOCOL
    local pair first second
    for ((pair = 0; pair < pairs; pair++)); do
        if ((pair % 2)); then
            second=$(measure "$4" "$6" "$5")
            first=$(measure "$2" "$6" "$3")
        else
            first=$(measure "$2" "$6" "$3")
            second=$(measure "$4" "$6" "$5")
        fi
        echo "$first $second"
    done | summary "$1 $6"
}

echo "PostgreSQL $version, $transactions transactions a run, backend CPU per transaction"
for protocol in prepared simple; do
    measure plain "$protocol" 0 >/dev/null
    measure loaded "$protocol" 0 >/dev/null
    compare preload plain 0 loaded 0 "$protocol"
    compare sample loaded 0 loaded 0.01 "$protocol"
    compare control loaded 0 loaded 0 "$protocol"
    compare every loaded 0 loaded 1 "$protocol"
done
