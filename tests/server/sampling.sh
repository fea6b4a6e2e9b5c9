#!/usr/bin/env bash
# Sampling of values: every way to execute a statement is survived and counted once, partitions are their root, a
# skewed workload is seen as it is, restarts keep what was written down, and nobody sees values who may not.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start sampling "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.worker_naptime = 1" \
    "presplit.sample_rate = 1" "max_prepared_transactions = 5" "presplit.databases = 'none'"
cluster_use sampling
tmp=$(cluster_tmp sampling)
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE EXTENSION pg_presplit'
PGOPTIONS='-c presplit.sample_rate=0' psql -qX -v ON_ERROR_STOP=1 -d postgres <<'SQL'
CREATE TABLE orders (id bigint PRIMARY KEY, tenant int NOT NULL, at timestamptz NOT NULL DEFAULT '2024-01-01', note text);
CREATE INDEX ON orders (tenant);
INSERT INTO orders SELECT g, g % 100, '2024-01-01'::timestamptz + g * interval '1 minute', 'n' || g FROM generate_series(1, 20000) AS g;
CREATE TABLE items (order_id bigint REFERENCES orders, line int, PRIMARY KEY (order_id, line));
INSERT INTO items SELECT 1 + g / 3, g % 3 FROM generate_series(0, 29999) AS g;
CREATE TABLE events (day date NOT NULL, id int, kind text) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE events_2 (kind text, id int, day date NOT NULL);
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE VIEW january AS SELECT * FROM events WHERE day < '2024-02-01';
ANALYZE;
SQL

# What statements leave in the sketches: "table.column access value executions", without the rest.
seen() { # WHERE
    PGOPTIONS='-c presplit.sample_rate=0' psql -qAtX -v ON_ERROR_STOP=1 -d postgres -c "
        SELECT string_agg(format('%s.%s %s %s x%s', relation, column_name, access, value, round(executions)), '; '
                          ORDER BY relation::text, column_name, access, value)
        FROM presplit.sampled_values WHERE value IS NOT NULL AND ($1)"
}
# Each case uses values of its own, so that nothing has to be emptied between.
leaves() { # NAME EXPECTED WHERE psql-argument...
    local name=$1 expected=$2 where=$3 out
    shift 3
    if out=$(psql -qAtX -v ON_ERROR_STOP=1 -d postgres "$@" 2>&1 </dev/null); then
        same "$name" "$expected" "$(seen "$where")"
    else
        not_ok "$name" "$out"
    fi
}

leaves "a simple statement" "orders.id equality 101 x1" "value = '101'" -c 'SELECT * FROM orders WHERE id = 101'
leaves "a prepared one, with custom and with generic plans" "orders.id equality 102 x12" "value = '102'" \
    -c 'PREPARE p (bigint) AS SELECT * FROM orders WHERE id = $1' -c 'SET plan_cache_mode = force_custom_plan' \
    -c 'EXECUTE p (102); EXECUTE p (102)' -c 'SET plan_cache_mode = auto' \
    -c 'EXECUTE p (102); EXECUTE p (102); EXECUTE p (102); EXECUTE p (102)' -c 'SET plan_cache_mode = force_generic_plan' \
    -c 'EXECUTE p (102); EXECUTE p (102); EXECUTE p (102); EXECUTE p (102); EXECUTE p (102); EXECUTE p (102)'
leaves "a list" "orders.id in_list 103 x1; orders.id in_list 104 x1" "value IN ('103', '104')" \
    -c 'SELECT * FROM orders WHERE id IN (103, 104)'
leaves "a range" "orders.id range_lower 105 x1; orders.id range_upper 106 x1" "value IN ('105', '106')" \
    -c 'SELECT * FROM orders WHERE id BETWEEN 105 AND 106'
leaves "a join carries its constant" "items.order_id equality 107 x1; orders.id equality 107 x1" "value = '107'" \
    -c 'SELECT * FROM orders AS o JOIN items AS i ON i.order_id = o.id WHERE o.id = 107'
leaves "update and delete" "items.order_id equality 108 x1; orders.id equality 108 x1" "value = '108'" \
    -c "UPDATE orders SET note = '' WHERE id = 108" -c 'DELETE FROM items WHERE order_id = 108'
leaves "insert, with the look-up of its foreign key" \
    "items.order_id insert 109 x1; orders.id equality 109 x1" "value = '109'" \
    -c 'INSERT INTO items VALUES (109, 99)'
leaves "merge" "orders.id equality 110 x1" "value = '110'" -c \
    "MERGE INTO orders AS o USING (SELECT 110 AS id) AS s ON o.id = s.id AND o.id = 110 WHEN MATCHED THEN UPDATE SET note = 'm'"
leaves "a query in parallel, counted once" "orders.tenant equality 11 x1" "value = '11'" \
    -c 'SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET enable_indexscan = off; SET enable_bitmapscan = off' \
    -c "SET $([[ $version == 15 ]] && echo force_parallel_mode || echo debug_parallel_query) = on" \
    -c 'SELECT count(*) FROM orders WHERE tenant = 11'
leaves "partitions are their root" "events.day equality 2024-01-05 x2" "value = '2024-01-05'" \
    -c "SELECT * FROM events WHERE day = '2024-01-05'" -c "SELECT * FROM events_1 WHERE day = '2024-01-05'"
leaves "whatever the order of their columns" "events.day equality 2024-02-05 x2; events.day insert 2024-02-05 x1" "value = '2024-02-05'" \
    -c "SELECT * FROM events WHERE day = '2024-02-05'" -c "SELECT * FROM events_2 WHERE day = '2024-02-05'" \
    -c "INSERT INTO events VALUES ('2024-02-05', 1)"
leaves "views" "events.day equality 2024-01-06 x1" "value = '2024-01-06'" -c "SELECT * FROM january WHERE day = '2024-01-06'"
leaves "dates do not follow the session" "orders.at equality 2024-03-04 03:06:07+00 x1" "column_name = 'at' AND access = 'equality'" \
    -c "SET DateStyle = 'SQL, DMY'; SET TimeZone = 'Asia/Tokyo'" -c "SELECT * FROM orders WHERE at = '04/03/2024 12:06:07'"
leaves "CTEs and subqueries" "orders.id equality 111 x1; orders.id equality 112 x1; orders.id equality 113 x1" "value IN ('111', '112', '113')" \
    -c 'WITH w AS MATERIALIZED (SELECT * FROM orders WHERE id = 111) SELECT *, (SELECT id FROM orders WHERE id = 112) FROM w WHERE EXISTS (SELECT FROM orders WHERE id = 113 OFFSET 0)'
leaves "a cursor counts when it is opened" "orders.id equality 114 x1" "value = '114'" \
    -c 'BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders WHERE id = 114; FETCH c; FETCH c; COMMIT; FETCH c'
leaves "EXPLAIN counts when it runs" "orders.id equality 116 x1" "value IN ('115', '116')" \
    -c 'EXPLAIN SELECT * FROM orders WHERE id = 115' -c 'EXPLAIN ANALYZE SELECT * FROM orders WHERE id = 116'
leaves "functions, also in triggers" "orders.id equality 117 x8; orders.id equality 118 x1" "value IN ('117', '118')" \
    -c "CREATE FUNCTION look(x bigint) RETURNS text LANGUAGE plpgsql AS 'DECLARE t text; BEGIN SELECT note INTO t FROM orders WHERE id = x; RETURN t; END'" \
    -c 'SELECT look(117) FROM generate_series(1, 8)' \
    -c "CREATE FUNCTION looks() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM look(118); RETURN NEW; END'" \
    -c 'CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION looks()' \
    -c 'INSERT INTO items VALUES (1, 77)' -c 'DROP TRIGGER t ON items'
leaves "functions in SQL" "orders.id equality 119 x1" "value = '119'" \
    -c "CREATE FUNCTION sql_look(x bigint) RETURNS SETOF text LANGUAGE sql VOLATILE AS 'SELECT note FROM orders WHERE id = x FOR UPDATE'" -c 'SELECT sql_look(119)'
leaves "errors in the middle" "orders.id equality 121 x2" "value = '121'" \
    -c "DO \$\$ BEGIN PERFORM 1 / (id - id) FROM orders WHERE id = 121; EXCEPTION WHEN division_by_zero THEN PERFORM FROM orders WHERE id = 121; END \$\$"
leaves "a prepared transaction" "orders.id equality 122 x1" "value = '122'" \
    -c "BEGIN; UPDATE orders SET note = 'p' WHERE id = 122; PREPARE TRANSACTION 'x'" -c "COMMIT PREPARED 'x'"
leaves "long texts and odd ones" "odd.t equality a'b\"c\\ x1; odd.t equality $(printf 'é%.0s' {1..27})… x1" "column_name = 't'" \
    -c 'CREATE TABLE odd (t text PRIMARY KEY)' -c "SELECT * FROM odd WHERE t = repeat('é', 1000)" -c "SELECT * FROM odd WHERE t = 'a''b\"c\\'" \
    -c "SELECT * FROM odd WHERE t = repeat('x', 100000)"
leaves "nothing of temporary tables and of columns that are no key" "" "value IN ('123', '124')" \
    -c 'CREATE TEMP TABLE own (id int PRIMARY KEY); SELECT * FROM own WHERE id = 123' -c "SELECT * FROM orders WHERE note = '124'"
leaves "a table that is dropped is not shown" "" "value = '125'" \
    -c 'CREATE TABLE gone (id int PRIMARY KEY)' -c 'SELECT * FROM gone WHERE id = 125' -c 'DROP TABLE gone'
leaves "a read-only transaction, an aborted one" "orders.id equality 126 x2" "value = '126'" \
    -c 'BEGIN READ ONLY; SELECT * FROM orders WHERE id = 126; COMMIT' -c 'BEGIN; SELECT * FROM orders WHERE id = 126; ROLLBACK'
psql -qAtX -d postgres -c "SELECT * FROM orders WHERE id = 127 AND 1 / (id - 127) = 1" >/dev/null 2>"$tmp/error" || true
same "an error of the statement itself stays" "ERROR:  division by zero" "$(cat "$tmp/error")"
printf 'SELECT count(*) FROM orders WHERE id = :id\n' >"$tmp/one.sql"
for protocol in simple extended prepared; do
    pgbench -n -M "$protocol" -D id=130 -t 20 -f "$tmp/one.sql" postgres >/dev/null 2>&1
done
same "all protocols" "orders.id equality 130 x60" "$(seen "value = '130'")"

# Who may see values.
psql -qX -d postgres -c 'CREATE ROLE nobody_special LOGIN' -c 'CREATE ROLE reader LOGIN' -c 'GRANT pg_read_all_data TO reader'
fails_with "values are not for everybody" 'permission denied' psql -qX -U nobody_special -d postgres -c 'SELECT * FROM presplit.sampled_values'
fails_with "nor what is written down" 'permission denied' psql -qX -U nobody_special -d postgres -c 'SELECT * FROM presplit.sampled_columns'
fails_with "nor may everybody sample" 'permission denied to set parameter' psql -qX -U nobody_special -d postgres -c 'SET presplit.sample_rate = 1'
same "but for who may read all data" t "$(psql -qAtX -U reader -d postgres -c 'SELECT count(*) > 10 FROM presplit.sampled_values')"
same "a profile that is written has none" 0 "$(psql -qAtX -d postgres -c "SELECT count(*) FROM jsonb_path_query(capture_profile(), '\$.**.sampled')")"
same "an analysis reads them" t "$(psql -qAtX -d postgres -c 'SELECT count(*) >= 0 FROM analyze_workload()')"

# Written down: not more often than every minute, and kept over a crash.
psql -qX -d postgres -c "ALTER SYSTEM SET presplit.databases = 'postgres'" -c 'SELECT pg_reload_conf()' >/dev/null
becomes "the worker writes down" t sampling 60 -c "SELECT count(*) > 10 FROM presplit.sampled_columns"
before=$(seen true)
cluster_kill sampling
cluster_up sampling
same "after a crash all of it is there" "$before" "$(seen true)"
psql -qX -d postgres -c 'SELECT * FROM orders WHERE id = 102' >/dev/null
same "and goes on being counted" "orders.id equality 102 x13" "$(seen "value = '102'")"
psql -qX -d postgres -c "UPDATE presplit.sampled_columns SET last_at = last_at - interval '2 minutes'" -c 'DROP TABLE items' -c 'ALTER TABLE orders DROP COLUMN tenant'
becomes "what is gone is forgotten" 0 sampling 30 -c \
    "SELECT count(*) FROM presplit.sampled_columns WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation AND attnum = attribute AND NOT attisdropped)"
same "and the two are one sketch" "orders.id equality 102 x13" "$(seen "value = '102'")"

# A skewed workload, many sessions at once: zipfian with exponent 1.2 over 10,000 values.
cat >"$tmp/zipf.sql" <<'SQL'
\set id random_zipfian(1, 10000, 1.2)
SELECT note FROM hot WHERE id = :id;
SQL
PGOPTIONS='-c presplit.sample_rate=0' psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE TABLE hot (id bigint PRIMARY KEY, note text)' \
    -c 'INSERT INTO hot SELECT g FROM generate_series(1, 10000) AS g' -c 'ANALYZE hot' -c 'ALTER SYSTEM SET presplit.sample_rate = 0.2' -c 'SELECT pg_reload_conf()' >/dev/null
sleep 0.5
pgbench -n -M prepared -c 8 -j 2 -T 6 -f "$tmp/zipf.sql" postgres >"$tmp/pgbench" 2>&1
same "no session failed" t "$(grep -qE 'number of failed transactions: 0 ' "$tmp/pgbench" && echo t)"
transactions=$(sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' "$tmp/pgbench")
# The share of k is k^-1.2 over their sum: 4.77 for 10,000. Of n samples the standard deviation is sqrt(p (1 - p) / n).
same "the frequent values are those, with their shares" "1 2 3 4 5|t" "$(psql -qAtX -d postgres -c "
    WITH n AS (SELECT sum(k ^ -1.2) AS of_all FROM generate_series(1, 10000) AS k),
    top AS (SELECT v.*, v.value::int ^ -1.2 / n.of_all AS p, row_number() OVER (ORDER BY share_max DESC) AS place
            FROM presplit.sampled_values AS v, n WHERE relation = 'hot'::regclass AND access = 'equality' AND value IS NOT NULL)
    SELECT string_agg(value, ' ' ORDER BY value::int),
           bool_and(share - 5 * sqrt(p / sampled) <= p AND p <= share_max + 5 * sqrt(p / sampled) AND share_max - share <= 1 / 64.0)
    FROM top WHERE place <= 5")"
same "and the executions are about those that ran" t "$(psql -qAtX -d postgres -c "
    SELECT abs(sum(executions) / $transactions - 1) < 0.15 FROM presplit.sampled_values WHERE relation = 'hot'::regclass AND access = 'equality'")"

# A standby samples what runs there, and keeps it in memory.
as_cluster_user "$(cluster_bin sampling)/pg_basebackup" -h "$PGHOST" -U postgres -D "$tmp/standby" -R -c fast
as_cluster_user "$(cluster_bin sampling)/pg_ctl" -D "$tmp/standby" -o '-p 5433' -l "$tmp/standby.log" -w -s start 9>&-
PGPORT=5433 PGOPTIONS='-c presplit.sample_rate=1' psql -qX -d postgres -c 'SELECT * FROM orders WHERE id = 131' >/dev/null
same "a standby samples too" "orders.id equality 131 x1" "$(PGPORT=5433 seen "value = '131'")"
same "and only there" "" "$(seen "value = '131'")"
as_cluster_user "$(cluster_bin sampling)/pg_ctl" -D "$tmp/standby" -m fast -w -s stop

# Off, and where it cannot be.
psql -qX -d postgres -c "ALTER SYSTEM SET presplit.sample_rate = 0" -c 'SELECT pg_reload_conf()' >/dev/null
sleep 0.5
leaves "off is off" "" "value = '140'" -c 'SELECT * FROM orders WHERE id = 140'
leaves "without the extension in a database nothing happens" "" "value = '141'" \
    -c 'CREATE DATABASE other' -c '\c other' -c 'SET presplit.sample_rate = 1' -c 'CREATE TABLE t (id int PRIMARY KEY)' -c 'SELECT * FROM t WHERE id = 141'
log_is_clean sampling "$PRESPLIT_ROOT/tests/server/allow/sampling"
cluster_stop sampling

cluster_start loaded "$version" "session_preload_libraries = 'pg_presplit'" "presplit.sample_rate = 1"
cluster_use loaded
psql -qX -d postgres -c 'CREATE EXTENSION pg_presplit' -c 'CREATE TABLE t (id int PRIMARY KEY)' -c 'SELECT * FROM t WHERE id = 1' >/dev/null
same "a library that only sessions load samples nothing" 0 "$(psql -qAtX -d postgres -c 'SELECT count(*) FROM presplit.sampled_values')"
same "and says so" "warning|t" "$(psql -qAtX -d postgres -c \
    "SELECT severity, problem LIKE '%nothing is sampled%' FROM check_shards() WHERE object = 'presplit.sample_rate'")"
log_is_clean loaded
exit "$CHECKS_FAILED"
