#!/usr/bin/env bash
# Every mode of pg_restore, and psql: the same dump lands in shards with the same content, nothing invalid, and an
# exit status of zero.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start modes "$version" "shared_preload_libraries = 'pg_presplit'" "max_locks_per_transaction = 256"
cluster_use modes
tmp=$(cluster_tmp modes)
psql -qX -d postgres -c 'CREATE ROLE shop_clerk' -c 'CREATE DATABASE source'
psql -qX -v ON_ERROR_STOP=1 -d source -f "$PRESPLIT_ROOT/tests/fixtures/shop.sql"

as_cluster_user "$(cluster_bin modes)/pg_dump" -h "$PGHOST" -U postgres -Fc -f "$tmp/shop.custom" source
as_cluster_user "$(cluster_bin modes)/pg_dump" -h "$PGHOST" -U postgres -Fd -f "$tmp/shop.dir" source
as_cluster_user "$(cluster_bin modes)/pg_dump" -h "$PGHOST" -U postgres -Ft -f "$tmp/shop.tar" source
as_cluster_user "$(cluster_bin modes)/pg_dump" -h "$PGHOST" -U postgres -Fp -f "$tmp/shop.sql" source
as_cluster_user "$(cluster_bin modes)/pg_dump" -h "$PGHOST" -U postgres -Fc --rows-per-insert=100 -f "$tmp/shop.inserts" source
chmod -R a+rX "$tmp"

# Content of all tables, independent of the order of rows and of where they are.
content() {
    psql -qAtX -d "$1" <<'SQL'
SELECT 'orders', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.orders AS t
UNION ALL SELECT 'lines', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.lines AS t
UNION ALL SELECT 'carts', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.carts AS t
UNION ALL SELECT 'customers', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.customers AS t
UNION ALL SELECT 'best', count(*), sum(hashtextextended(t::text, 0)::numeric) FROM app.best AS t
ORDER BY 1
SQL
}
expected=$(content source)

# What must hold of a restored database besides its content.
anatomy() {
    psql -qAtX -d "$1" <<'SQL'
SELECT 'invalid indexes', count(*) FROM pg_index WHERE NOT indisvalid
UNION ALL SELECT 'not validated', count(*) FROM pg_constraint WHERE NOT convalidated
UNION ALL SELECT 'sharded', count(*) FROM pg_class WHERE relkind = 'p' AND relnamespace = 'app'::regnamespace
UNION ALL SELECT 'foreign keys', count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND connamespace = 'app'::regnamespace
UNION ALL SELECT 'other owners', count(*) FROM pg_inherits AS i JOIN pg_class AS s ON s.oid = i.inhrelid
                                          JOIN pg_class AS r ON r.oid = i.inhparent WHERE s.relowner <> r.relowner
UNION ALL SELECT 'grants on shards', count(*) FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.relispartition AND a.grantee <> c.relowner
UNION ALL SELECT 'fill factor', count(*) FROM pg_class WHERE reloptions @> '{fillfactor=70}' AND relkind = 'r' AND relispartition
UNION ALL SELECT 'unlogged shards', count(*) FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r' AND relispartition
UNION ALL SELECT 'identity by index', count(*) FROM pg_class WHERE relreplident = 'i' AND relkind IN ('r', 'p')
UNION ALL SELECT 'clustered', count(*) FROM pg_index WHERE indisclustered
UNION ALL SELECT 'comments', count(*) FROM pg_description WHERE description IN ('the orders', 'without tax', 'for replication')
UNION ALL SELECT 'triggers off', count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'D' AND tgparentid = 0
ORDER BY 1
SQL
}
# 20000 orders of 25 minutes: 2024-01 to 2024-12 in twelve shards and a DEFAULT; carts in four.
expected_anatomy='clustered|13
comments|3
fill factor|13
foreign keys|3
grants on shards|0
identity by index|14
invalid indexes|0
not validated|0
other owners|0
sharded|2
triggers off|1
unlogged shards|4'

prepare() { # DATABASE [create_shards arguments]
    psql -qX -v ON_ERROR_STOP=1 -d postgres -c "CREATE DATABASE $1"
    psql -qX -v ON_ERROR_STOP=1 -d "$1" -c 'CREATE EXTENSION pg_presplit' \
        -c 'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO shop_clerk' \
        -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/profile.json" >/dev/null
    arm "$@"
}
arm() {
    psql -qAtX -v ON_ERROR_STOP=1 -d "$1" >/dev/null <<SQL
SELECT register_proposal('app.orders', 'range', '{created_at}', '{"interval": "1 month", "from": "2024-01-01", "to": "2025-01-01"}') AS orders \gset
SELECT register_proposal('app.carts', 'hash', '{id}', '{"modulus": 4}') AS carts \gset
SELECT count(*) FROM create_shards(:orders${2:+, $2});
SELECT count(*) FROM create_shards(:carts${2:+, $2});
SQL
}
verify() { # NAME DATABASE [ANATOMY]
    same "$1: content" "$expected" "$(content "$2")"
    same "$1: anatomy" "${3:-$expected_anatomy}" "$(anatomy "$2")"
    same "$1: nothing wrong" "0" "$(psql -qAtX -d "$2" -c "SELECT count(*) FROM check_shards() WHERE severity = 'error'")"
}

psql -qXAt -v ON_ERROR_STOP=1 -d source -f "$PRESPLIT_ROOT/sql/capture_profile.sql" >"$tmp/profile.json" 2>/dev/null

prepare m_plain
same "check_restore foresees no refusal" "0" "$(psql -qAtX -d m_plain -c \
    "SELECT count(*) FROM presplit.proposals AS p, check_restore(p.proposal_id, '$tmp/shop.custom') AS c WHERE c.severity = 'error'")"
same "check_restore reads a directory" "0" "$(psql -qAtX -d m_plain -c \
    "SELECT count(*) FROM check_restore(1, '$tmp/shop.dir') AS c WHERE c.severity = 'error'")"
same "check_restore reads a tar archive" "0" "$(psql -qAtX -d m_plain -c \
    "SELECT count(*) FROM check_restore(1, '$tmp/shop.tar') AS c WHERE c.severity = 'error'")"
same "check_restore reads a plain dump" "0" "$(psql -qAtX -d m_plain -c \
    "SELECT count(*) FROM check_restore(1, '$tmp/shop.sql') AS c WHERE c.severity = 'error'")"
succeeds "pg_restore" pg_restore -d m_plain "$tmp/shop.custom"
verify "pg_restore" m_plain

prepare m_jobs
succeeds "pg_restore -j3" pg_restore -j3 -d m_jobs "$tmp/shop.dir"
verify "pg_restore -j3" m_jobs

prepare m_single
succeeds "pg_restore --single-transaction" pg_restore --single-transaction -d m_single "$tmp/shop.custom"
verify "pg_restore --single-transaction" m_single

prepare m_sections
succeeds "--section=pre-data" pg_restore --section=pre-data -d m_sections "$tmp/shop.custom"
succeeds "--section=data" pg_restore --section=data -j2 -d m_sections "$tmp/shop.custom"
succeeds "--section=post-data" pg_restore --section=post-data -j2 -d m_sections "$tmp/shop.custom"
verify "--section" m_sections

prepare m_inserts
succeeds "INSERT statements" pg_restore -j2 -d m_inserts "$tmp/shop.inserts"
verify "INSERT statements" m_inserts

prepare m_psql
succeeds "psql" psql -qX -v ON_ERROR_STOP=1 -d m_psql -f "$tmp/shop.sql"
verify "psql" m_psql

# A rehearsal of the schema, then the data: --disable-triggers, since the foreign keys are there already.
prepare m_data
succeeds "--schema-only" pg_restore --schema-only -d m_data "$tmp/shop.custom"
succeeds "--data-only" pg_restore --data-only --disable-triggers -d m_data "$tmp/shop.custom"
# As without us: --disable-triggers enables all triggers at the end, and a materialized view is not refreshed.
psql -qX -d m_data -c 'REFRESH MATERIALIZED VIEW app.best'
verify "--data-only" m_data "${expected_anatomy/triggers off|1/triggers off|0}"

# Again over what is there; then over a database that was restored whole.
succeeds "--clean over shards" pg_restore --clean --if-exists -j2 -d m_jobs "$tmp/shop.custom"
verify "--clean over shards" m_jobs
psql -qX -d postgres -c 'CREATE DATABASE m_whole'
pg_restore -d m_whole "$tmp/shop.custom"
psql -qX -d m_whole -c 'CREATE EXTENSION pg_presplit'
arm m_whole "replace => true"
succeeds "--clean over a whole table" pg_restore --clean --if-exists -d m_whole "$tmp/shop.custom"
verify "--clean over a whole table" m_whole

# Two levels: quarters by hash of the id, and lists of which one and the rest are hashed.
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE DATABASE m_levels'
psql -qX -v ON_ERROR_STOP=1 -d m_levels -c 'CREATE EXTENSION pg_presplit' \
    -c 'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO shop_clerk' \
    -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/profile.json" >/dev/null
psql -qAtX -v ON_ERROR_STOP=1 -d m_levels >/dev/null <<'SQL'
SELECT register_proposal('app.orders', 'range_hash', '{created_at,id}',
    '{"interval": "1 quarter", "from": "2024-01-01", "to": "2025-01-01", "modulus": 2}') AS orders \gset
SELECT register_proposal('app.lines', 'list_hash', '{n}', '{"lists": [["1"]], "sub": [{"of": 0, "shard_key": ["order_id"], "modulus": 3},
    {"of": "default", "shard_key": ["order_id", "created_at"], "modulus": 2}]}') AS lines \gset
SELECT count(*) FROM create_shards(:orders);
SELECT count(*) FROM create_shards(:lines);
SQL
levels_anatomy='clustered|9
comments|3
fill factor|9
foreign keys|3
grants on shards|0
identity by index|14
invalid indexes|0
not validated|0
other owners|0
sharded|8
triggers off|1
unlogged shards|0'
same "two levels: check_restore foresees no refusal" "0" "$(psql -qAtX -d m_levels -c \
    "SELECT count(*) FROM presplit.proposals AS p, check_restore(p.proposal_id, '$tmp/shop.custom') AS c WHERE c.severity = 'error'")"
succeeds "two levels" pg_restore -j3 -d m_levels "$tmp/shop.dir"
verify "two levels" m_levels "$levels_anatomy"
same "two levels: every row is where its bounds say" "0" "$(psql -qAtX -d m_levels -c \
    "SELECT count(*) FROM (SELECT tableoid, created_at FROM app.orders) AS o JOIN pg_inherits AS i ON i.inhrelid = o.tableoid
     WHERE i.inhparent::regclass::text <> 'app.orders_b000' || extract(quarter FROM o.created_at AT TIME ZONE 'UTC')")"
same "two levels: nothing is in the DEFAULT" "0" "$(psql -qAtX -d m_levels -c 'SELECT count(*) FROM app.orders_default')"
same "two levels: all shards have rows" "5|8" "$(psql -qAtX -d m_levels -c \
    'SELECT (SELECT count(DISTINCT tableoid) FROM app.lines), (SELECT count(DISTINCT tableoid) FROM app.orders)')"
succeeds "two levels: --clean over shards" pg_restore --clean --if-exists --single-transaction -d m_levels "$tmp/shop.custom"
verify "two levels: --clean over shards" m_levels "$levels_anatomy"

# The same written down, for a server without the extension.
written() {
    pg_restore -s -f "$tmp/shop_schema.sql" "$tmp/shop.custom"
    (cd "$tmp" && psql -qAtX -v ON_ERROR_STOP=1 -d m_levels) >"$tmp/levels.sql" <<'SQL' || return
\set schema `cat shop_schema.sql`
WITH exported AS (SELECT export_proposal(proposal_id) AS x FROM presplit.proposals)
SELECT import_proposal(jsonb_set((SELECT x FROM exported LIMIT 1), '{proposal,relations}',
    (SELECT jsonb_agg(r) FROM exported, jsonb_array_elements(x->'proposal'->'relations') AS r))) AS everything \gset
SELECT restore_script(:everything, :'schema');
SQL
    psql -qX -d postgres -c 'CREATE DATABASE m_written'
    sed '/^-- The data goes here/,$d' "$tmp/levels.sql" | psql -qAtX -v ON_ERROR_STOP=1 -d m_written >/dev/null \
        && pg_restore --data-only -d m_written "$tmp/shop.custom" \
        && sed -n '/^-- The data goes here/,$p' "$tmp/levels.sql" | psql -qAtX -v ON_ERROR_STOP=1 -d m_written >/dev/null \
        && psql -qX -d m_written -c 'REFRESH MATERIALIZED VIEW app.best'
}
succeeds "two levels: written down" written
same "two levels: written down, content" "$expected" "$(content m_written)"
same "two levels: written down, anatomy" "$levels_anatomy" "$(anatomy m_written)"

# Not armed: as if the extension were not there.
psql -qX -d postgres -c 'CREATE DATABASE m_none'
psql -qX -d m_none -c 'CREATE EXTENSION pg_presplit'
succeeds "nothing armed" pg_restore -j2 -d m_none "$tmp/shop.custom"
same "nothing armed: nothing sharded" "0" "$(psql -qAtX -d m_none -c "SELECT count(*) FROM pg_class WHERE relkind = 'p'")"
same "nothing armed: nothing reported" "0" "$(psql -qAtX -d m_none -c 'SELECT count(*) FROM presplit.restore_report')"

# A table without rows that came from --schema-only is divided in place, where it has nothing in the way.
psql -qX -d postgres -c 'CREATE DATABASE m_place'
psql -qX -v ON_ERROR_STOP=1 -d m_place -c 'CREATE EXTENSION pg_presplit' \
    -c 'CREATE TABLE t (id int PRIMARY KEY, v text)' \
    -c "SELECT count(*) FROM create_shards(register_proposal('t', 'hash', '{id}', '{\"modulus\": 8}'))" >/dev/null
same "an empty table is divided in place" "8" "$(psql -qAtX -d m_place -c "SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass")"

log_is_clean modes
exit "$CHECKS_FAILED"
