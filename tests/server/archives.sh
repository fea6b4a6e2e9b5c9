#!/usr/bin/env bash
# Dumps that the pg_dump of 13, 14, 16 and 17 made of the fixture with every kind of statement (tests/fixtures/archives.sh)
# land in shards as they land whole: the same catalogs, the same rows.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
. "$(dirname "$0")/../lib/kinds.sh"
version=$1

cluster_start archives "$version" "shared_preload_libraries = 'pg_presplit'" "max_locks_per_transaction = 512" \
    "allow_in_place_tablespaces = on" "wal_level = logical" "presplit.databases = 'none'" "autovacuum = off" "full_page_writes = off"
cluster_use archives
tmp=$(cluster_tmp archives)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
tables=$(kinds_tables 15)
kinds_cluster ''
for file in "$PRESPLIT_ROOT"/tests/fixtures/archives/*.gz; do gunzip -c "$file" >"$tmp/$(basename "$file" .gz)"; done
chmod a+r "$tmp"/kinds_*

# What an older server does not know of a newer dump: a setting at its head.
script() { # FROM
    if [[ $1 -gt $version ]]; then grep -vE '^SET transaction_timeout = 0;$' "$tmp/kinds_$1.sql"; else cat "$tmp/kinds_$1.sql"; fi
}
by_psql() { script "$1" | run -d "$2" >/dev/null; }
by_pg_restore() { pg_restore -j2 -d "$2" "$tmp/kinds_$1.dump"; }
restored() { # FROM WAY
    local database=by_$2_$1 found
    run -d postgres -c "CREATE DATABASE $database TEMPLATE armed" -c "ALTER DATABASE $database ALLOW_CONNECTIONS true"
    if [[ $2 == pg_restore ]]; then
        same "$1: check_restore foresees no refusal" 0 "$(run -d "$database" -c \
            "SELECT count(*) FROM presplit.proposals AS p, check_restore(p.proposal_id, '$tmp/kinds_$1.dump') AS c WHERE c.severity = 'error'")"
    fi
    succeeds "$1: by $2" "by_$2" "$1" "$database"
    kinds_describe "$database" "$version" "$tables" >"$tmp/found_$1_$2" 2>&1 || true
    found=$(diff "$tmp/whole_$1" "$tmp/found_$1_$2" | grep '^[<>]') || true
    if [[ -n $found ]]; then not_ok "$1: by $2, the same" "$(head -n 40 <<<"$found")"; else ok "$1: by $2, the same"; fi
    same "$1: by $2, in shards" 8 "$(run -d "$database" -c "SELECT count(*) FROM presplit.sharded")"
    same "$1: by $2, nothing wrong" "" "$(run -d "$database" -c "SELECT object, problem FROM check_shards() WHERE severity = 'error'")"
}
whole() { # FROM: what it is compared with
    run -d postgres -c "CREATE DATABASE whole_$1"
    succeeds "$1: whole" by_psql "$1" "whole_$1"
    kinds_describe "whole_$1" "$version" "$tables" >"$tmp/whole_$1"
}
in_shards() { # FROM
    restored "$1" psql
    # The format of a newer archive is not known before its own version.
    [[ $1 -gt $version ]] || restored "$1" pg_restore
}

whole 17
run -d postgres -c 'CREATE DATABASE armed' -c 'ALTER DATABASE armed SET client_min_messages = warning'
kinds_profile whole_17 >"$tmp/profile.json"
kinds_arm armed "$tmp/profile.json" "$tables"
run -d postgres -c 'ALTER DATABASE armed ALLOW_CONNECTIONS false'
for from in 13 14 16 17; do
    {
        [[ $from == 17 ]] || whole "$from"
        in_shards "$from"
    } >"$tmp/out.$from" 2>&1 &
    while (($(jobs -rp | wc -l) >= 2)); do wait -n || true; done
done
wait
cat "$tmp"/out.*
! grep -q '^not ok' "$tmp"/out.* || CHECKS_FAILED=1
# The version of each is what it says.
same "dumps of four versions" "13 14 16 17" "$(sed -nE 's/^-- Dumped by pg_dump version ([0-9]+).*/\1/p' "$tmp"/kinds_*.sql | xargs)"
log_is_clean archives
exit "$CHECKS_FAILED"
