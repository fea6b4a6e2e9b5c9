#!/usr/bin/env bash
# Shards of every kind of key are split and merged by the verbs, and every row stays what it was: range, list and hash, keys of
# several columns, DEFAULT, two levels, enums, numbers, nulls, collations; and in one transaction where nothing tells rows apart.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start kinds "$version" "shared_preload_libraries = 'pg_presplit'" "max_worker_processes = 16" \
    "presplit.reshard_rate_limit = 0" "presplit.cutover_budget = 5000"
run() { cluster_psql kinds -qAt "$@"; }
run -c 'CREATE EXTENSION pg_presplit'
run <<'SQL'
CREATE SCHEMA k;
CREATE TABLE k.range (id bigint PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE k.range_s0001 PARTITION OF k.range FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE k.range_s0002 PARTITION OF k.range FOR VALUES FROM (100) TO (200);
CREATE TABLE k.range_default PARTITION OF k.range DEFAULT;
INSERT INTO k.range SELECT g, 'v' || g FROM generate_series(-50, 1000) AS g;
CREATE TABLE k.pair (a int, b text COLLATE "C", PRIMARY KEY (a, b)) PARTITION BY RANGE (a, b);
CREATE TABLE k.pair_s0001 PARTITION OF k.pair FOR VALUES FROM (1, MINVALUE) TO (5, 'k');
INSERT INTO k.pair SELECT g % 3 + 1, g::text FROM generate_series(1, 500) AS g;
CREATE TABLE k.hash (id uuid PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE k.hash_s0001 PARTITION OF k.hash FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE k.hash_s0002 PARTITION OF k.hash FOR VALUES WITH (modulus 2, remainder 1);
INSERT INTO k.hash SELECT gen_random_uuid() FROM generate_series(1, 1000);
CREATE TABLE k.two (at date, id int, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE k.two_b0001 PARTITION OF k.two FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY HASH (id);
CREATE TABLE k.two_s0001 PARTITION OF k.two_b0001 FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE k.two_s0002 PARTITION OF k.two_b0001 FOR VALUES WITH (modulus 2, remainder 1);
INSERT INTO k.two SELECT '2026-01-15', g FROM generate_series(1, 1000) AS g;
CREATE TYPE k.mood AS ENUM ('sad', 'ok', 'happy', 'glad');
CREATE TABLE k.enum (m k.mood, id int, PRIMARY KEY (m, id)) PARTITION BY RANGE (m);
CREATE TABLE k.enum_s0001 PARTITION OF k.enum FOR VALUES FROM ('sad') TO ('glad');
INSERT INTO k.enum SELECT (enum_range(NULL::k.mood))[g % 3 + 1], g FROM generate_series(1, 300) AS g;
CREATE TABLE k.number (n numeric(6, 2), id int, PRIMARY KEY (n, id)) PARTITION BY LIST (n);
CREATE TABLE k.number_s0001 PARTITION OF k.number FOR VALUES IN (1.5, 2, 3);
INSERT INTO k.number SELECT (ARRAY[1.5, 2, 3])[g % 3 + 1], g FROM generate_series(1, 300) AS g;
CREATE TABLE k.list (t text COLLATE "C", id int, PRIMARY KEY (t, id)) PARTITION BY LIST (t);
CREATE TABLE k.list_s0001 PARTITION OF k.list FOR VALUES IN ('a', 'b''c');
CREATE TABLE k.list_default PARTITION OF k.list DEFAULT;
INSERT INTO k.list SELECT (ARRAY['a', 'b''c', 'p', 'q,r', 's'])[g % 5 + 1], g FROM generate_series(1, 500) AS g;
-- Nothing tells their rows apart: some are there twice, and some have a null for their key.
CREATE TABLE k.bare (t text, n int, twice int GENERATED ALWAYS AS (n * 2) STORED) PARTITION BY LIST (t);
CREATE TABLE k.bare_s0001 PARTITION OF k.bare FOR VALUES IN ('a', 'b', NULL);
CREATE TABLE k.bare_default PARTITION OF k.bare DEFAULT;
CREATE INDEX ON k.bare (n);
INSERT INTO k.bare SELECT (ARRAY['a', 'b', NULL, 'x'])[g % 4 + 1], g / 8 FROM generate_series(1, 400) AS g;
SQL

# Count and hash of all rows of each table, through the table itself.
rows() {
    run <<'SQL'
SELECT format('SELECT %L, count(*), sum(hashtextextended(x::text, 0)) FROM k.%I AS x', t, t)
FROM unnest('{range,pair,hash,two,enum,number,list,bare}'::text[]) AS t
\gexec
SQL
}

# The verb's operation ends well, and afterwards all rows are as before.
goes() { # NAME VERB
    local id found
    id=$(run -c "SELECT $2") || { not_ok "$1" "$id"; return; }
    found=$(run -c "SELECT wait_operation($id, '3 min')" 2>&1)
    [[ $found == 'done' ]] || found=$(run -c "SELECT phase, error, waiting_for FROM presplit.operations WHERE operation_id = $id")
    same "$1" "done $before" "$found $(rows)"
}

shards() { # PARENT
    echo "(SELECT array_agg(inhrelid::regclass) FROM pg_inherits WHERE inhparent = '$1'::regclass)"
}

before=$(rows)
goes "a range is split at a point" "split_shard('k.range_s0002', '{150}')"
goes "an open range is split by size" "split_shard('k.range_s0001')"
goes "ranges are cut out of a DEFAULT" "split_shard('k.range_default', '{200,300,MAXVALUE}')"
goes "and come back by a merge" "merge_shards('{k.range_default_2,k.range_s0007}')"
goes "ranges of two columns are split" "split_shard('k.pair_s0001', ARRAY['(2,MINVALUE)', '(3,3)'])"
goes "a hash shard is split into four" "split_shard('k.hash_s0001', parts => 4)"
goes "and merged again" "merge_shards('{k.hash_s0003,k.hash_s0004,k.hash_s0005,k.hash_s0006}')"
goes "a shard of the second level is split" "split_shard('k.two_s0002')"
goes "shards of the second level become one" "merge_shards('{k.two_s0003,k.two_s0004}')"
goes "a range of an enum is split" "split_shard('k.enum_s0001', '{happy}')"
goes "a list of numbers is split by size" "split_shard('k.number_s0001')"
goes "lists are cut out of a DEFAULT" "split_shard('k.list_default', ARRAY['{p,\"q,r\"}', '{s}'])"
goes "lists become one" "merge_shards('{k.list_s0002,k.list_s0001}')"

fails_with "without an identity it is refused online" "online" run -c "SELECT split_shard('k.bare_s0001', ARRAY['{NULL,a}'])"
goes "but split in one transaction" "split_shard('k.bare_s0001', ARRAY['{NULL,a}'], online => false)"
goes "also out of a DEFAULT" "split_shard('k.bare_default', ARRAY['{x}'], online => false)"
goes "and merged" "merge_shards('{k.bare_s0002,k.bare_s0003}', online => false)"
goes "with a DEFAULT too" "merge_shards($(shards k.bare), online => false)"
same "with its index" "1 valid" "$(run -c "SELECT count(*) || ' valid' FROM pg_index WHERE indisvalid AND indrelid = 'k.bare_default_3'::regclass")"
same "the shards are those that were asked for" "$(cat <<'EXPECTED'
k.bare_default_3|DEFAULT
k.enum_s0002|FOR VALUES FROM ('sad') TO ('happy')
k.enum_s0003|FOR VALUES FROM ('happy') TO ('glad')
k.hash_s0002|FOR VALUES WITH (modulus 2, remainder 1)
k.hash_s0007|FOR VALUES WITH (modulus 2, remainder 0)
k.list_default_2|DEFAULT
k.list_s0003|FOR VALUES IN ('s')
k.list_s0004|FOR VALUES IN ('p', 'q,r', 'a', 'b''c')
EXPECTED
)" "$(run -c "SELECT c.oid::regclass, pg_get_expr(c.relpartbound, c.oid) FROM pg_class AS c WHERE relispartition AND relkind = 'r'
    AND c.oid::regclass::text ~ '^k.(bare|enum|hash|list)' ORDER BY c.relname COLLATE \"C\"")"
same "nothing is left of them but retired shards" "0" \
    "$(run -c "SELECT count(*) FROM presplit.job_objects AS o JOIN presplit.jobs AS j USING (operation_id) WHERE o.role = 'staging'")"
log_is_clean kinds tests/server/allow/reshard_kinds
exit "$CHECKS_FAILED"
