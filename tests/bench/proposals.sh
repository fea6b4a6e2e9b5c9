#!/usr/bin/env bash
# What is proposed for TPC-H (scale 0.1), for a schema like TPC-C's and for a small database, and whether the statements
# then look at as many rows as was predicted: the layouts are really applied and every statement is run under EXPLAIN
# ANALYZE. Prints figures, judges nothing.
# Usage: tests/bench/proposals.sh [15|18] [tpch] [tpcc] [small]
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=15
[[ ${1:-} =~ ^[0-9]+$ ]] && { version=$1; shift; }
parts=${*:-tpch tpcc small}
here=$PRESPLIT_ROOT/tests/bench/proposals

# A debug build says the same, only later: PRESPLIT_BUILD= for it.
# shellcheck disable=SC2086
install_extension "$(pg_config_of "$version")" ${PRESPLIT_BUILD---release} >/dev/null
cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "session_preload_libraries = 'pg_presplit'" "autovacuum = off" "max_wal_size = '8GB'" \
    "shared_buffers = '512MB'" "max_parallel_workers_per_gather = 0" "max_locks_per_transaction = 256" "jit = off"
cluster_use bench
tmp=$(cluster_tmp bench)
run() { psql -qX -v ON_ERROR_STOP=1 -P pager=off "$@"; }
value() { run -At "$@"; }

database() { # NAME SCHEMA: an empty one with the extension
    value -d postgres -c "CREATE DATABASE $1"
    run -d "$1" -c 'CREATE EXTENSION pg_presplit' -f "$here/$2" -f "$here/looked_at.sql" >/dev/null
}

declare_all() { # DATABASE: declares what table measure.statements has
    value -d "$1" -c "SELECT format('%s statements declared, ', declare_workload(jsonb_agg(jsonb_build_object('sql', statement, 'calls_per_second', calls_per_second)))) FROM measure.statements"
    value -d "$1" -c "SELECT format('%s analysed', analyzed) FROM workload_coverage()"
}

SHOWN="SELECT relation, strategy, array_to_string(shard_key, ', ') AS key, shard_count AS shards, colocation_group AS grp, round(rows_scanned_share::numeric, 4) AS scanned, round(skew::numeric, 2) AS skew, confidence
       FROM presplit.proposals WHERE proposal_id = :id ORDER BY 1"

propose() { # DATABASE VOLUME POLICY: prints the proposal, leaves its number in $id
    local begin end
    begin=$(date +%s%N)
    id=$(value -d "$1" -c "SET presplit.predicted_data_volume = '$2'" -c "SET presplit.unique_policy = '$3'" -c 'SELECT DISTINCT proposal_id FROM propose_shards()')
    end=$(date +%s%N)
    echo "propose_shards() with $2 in $(bc -l <<<"scale=2; ($end - $begin) / 1000000000") s, unique_policy = $3:"
    run -d "$1" -v id="$id" <<<"$SHOWN"
    run -d "$1" -c "SELECT relation, reason FROM presplit.proposals WHERE proposal_id = $id AND relation LIKE 'public.%'" -P format=wrapped -P columns=160
}

# Applies a proposal to a copy of the database, loads it, runs everything there, and compares.
verify() { # DATABASE COPY ID SCHEMA LOADER
    local database=$1 copy=$2 id=$3 schema=$4 loader=$5
    if [[ $(value -d "$database" -c "SELECT count(*) FROM presplit.proposals WHERE proposal_id = $id AND strategy <> 'none'") == 0 ]]; then
        echo 'nothing to apply'
        return
    fi
    database "$copy" "$schema"
    value -d "$database" -c "SELECT export_proposal($id)" >"$tmp/proposal.json"
    run -d "$copy" -v ON_ERROR_STOP=1 >/dev/null <<SQL
\set proposal \`cat "$tmp/proposal.json"\`
SELECT import_proposal(:'proposal'::jsonb) AS id \gset
SELECT count(*) FROM create_shards(:id);
SQL
    "$loader" "$copy"
    value -d "$database" -c "COPY (SELECT statement, calls_per_second, arguments FROM measure.statements ORDER BY number) TO STDOUT" |
        run -d "$copy" -c "COPY measure.statements (statement, calls_per_second, arguments) FROM STDIN"
    run -d "$copy" -c "CALL measure.run('after', 100)"
    value -d "$copy" -c "COPY (SELECT * FROM measure.looked) TO STDOUT" | run -d "$database" -c "DELETE FROM measure.looked WHERE phase = 'after'" -c "COPY measure.looked FROM STDIN"
    value -d "$copy" -c "SELECT format('rows in default shards: %s', coalesce(sum(s.n_live_tup), 0)) FROM pg_stat_user_tables AS s JOIN pg_class AS c ON c.oid = s.relid WHERE pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT'"
    run -d "$database" -v id="$id" -f "$here/compare.sql"
}

load_tpch() {
    local table
    for table in region nation supplier part partsupp customer orders lineitem; do
        run -d "$1" -c "COPY $table FROM STDIN (DELIMITER '|')" <"$data/$table.tbl"
    done
    run -d "$1" -c 'VACUUM ANALYZE'
}

tpch() {
    local n
    data=$PRESPLIT_CACHE/data/tpch
    if [[ ! -e $data/complete ]]; then
        (cd "$PRESPLIT_ROOT" && cargo bench --quiet --no-default-features --features bench_data --bench tpch -- "$data" 0.1)
        touch "$data/complete"
    fi
    printf '\n== TPC-H, scale 0.1\n'
    database tpch tpch_schema.sql
    load_tpch tpch
    for n in $(seq -w 1 22); do
        run -d tpch -v sql="$(sed 's/;[[:space:]]*$//' "$data/q$n.sql")" <<<"INSERT INTO measure.statements (statement, calls_per_second) VALUES (:'sql', 0.01);"
    done
    run -d tpch -c "CALL measure.run('before', 1)"
    declare_all tpch
    # What joining shard by shard gains counts only where it is on, and where a shard's part fits into memory. What is
    # measured is measured so too.
    local -x PGOPTIONS='-c enable_partitionwise_join=on -c work_mem=1GB'
    for policy in strict extend; do
        propose tpch 300GB $policy
        verify tpch "tpch_$policy" "$id" tpch_schema.sql load_tpch
    done
}

load_tpcc() {
    run -d "$1" -f "$here/tpcc_load.sql" -c 'VACUUM ANALYZE'
}

tpcc() {
    printf '\n== Like TPC-C, 1,000 warehouses\n'
    database tpcc tpcc_schema.sql
    load_tpcc tpcc
    run -d tpcc -f "$here/tpcc_statements.sql" -c "CALL measure.run('before', 20)"
    declare_all tpcc
    propose tpcc 1TB strict
    verify tpcc tpcc_strict "$id" tpcc_schema.sql load_tpcc
}

small() {
    printf '\n== A small database\n'
    database small tpcc_schema.sql
    run -d small >/dev/null <<'SQL'
INSERT INTO warehouse SELECT w, 'W' || w, 'street', 'city', 0.05, 300000 FROM generate_series(1, 5) AS w;
INSERT INTO district SELECT w, d, 'D' || d, 'street', 0.05, 30000, 31 FROM generate_series(1, 5) AS w, generate_series(1, 10) AS d;
INSERT INTO customer SELECT w, d, c, 'first', 'last', 'street', '2025-12-01 UTC', 'GC', 0.1, -10, 10, 1, 0, repeat('x', 250)
FROM generate_series(1, 5) AS w, generate_series(1, 10) AS d, generate_series(1, 200) AS c;
ANALYZE;
SQL
    run -d small -f "$here/tpcc_statements.sql"
    declare_all small
    value -d small -c "SELECT format('size %s', pg_size_pretty(sum(pg_total_relation_size(oid)))) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    value -d small -c "SELECT format('%s of %s tables: none', count(*) FILTER (WHERE strategy = 'none'), count(*)) FROM propose_shards()"
}

for part in $parts; do "$part"; done
