#!/usr/bin/env bash
# COPY into a sharded table by load workers, against PostgreSQL's own COPY into a twin of it: the same rows, tags and
# errors. Then everything that can go wrong while it runs: none of the rows or all of them, nothing left, nothing waits.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
. "$(dirname "$0")/../lib/twins.sh"
version=$1

cluster_start load "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'load'" "presplit.worker_naptime = 1" \
    "autovacuum = off" "max_worker_processes = 12" "max_prepared_transactions = 4" "presplit.load_workers = 2" "presplit.load_workers_min_size = '1kB'"
cluster_use load
tmp=$(cluster_tmp load)
run -d postgres -c 'CREATE DATABASE load' -c 'CREATE ROLE loader NOLOGIN' -c 'CREATE ROLE keeper'
export PGDATABASE=load
run -c 'CREATE EXTENSION pg_presplit' -c 'CREATE SCHEMA crew' -c 'CREATE SCHEMA root' -c 'GRANT USAGE ON SCHEMA crew, root TO loader, keeper'
# A database that had no extension is left alone for a minute.
cluster_restart load

TWIN=crew
note() { # TABLE: how its last COPY went
    run -c "SELECT regexp_replace(note, '^[0-9]+ rows ', '') FROM presplit.restore_report WHERE relation = 'crew.$1' AND statement_kind = 'COPY' ORDER BY at DESC LIMIT 1"
}
# twins NAME TABLE HOW: the script on standard input does the same to both tables, which are empty before.
twins() {
    local name=$1 how=$3 here there note differences
    compare_twins "$2" < <(printf '\\set QUIET on\nTRUNCATE %s;\n\\set QUIET off\n' "$2"; cat)
    if [[ $here != "$there" ]]; then
        not_ok "$name" "$(diff <(echo "$there") <(echo "$here") | head -n 20)"
    elif [[ -n $differences ]]; then
        not_ok "$name" "rows differ: $differences"
    elif [[ $how == error ]]; then
        if grep -q '^ERROR' <<<"$here"; then ok "$name"; else not_ok "$name" "no error: $here"; fi
    elif [[ $note != *"$how"* ]]; then
        not_ok "$name" "it was $note: $here"
    else
        ok "$name"
    fi
}
nothing_left() { # NAME
    becomes "$1: nothing is left" "0|0" load 20 -d load -c \
        "SELECT (SELECT count(*) FROM presplit.staging_tables), (SELECT count(*) FROM pg_class WHERE relname ~ '^load_[0-9]+_[0-9a-f]+$')"
}
settle() { # waits for the workers of the last load
    becomes "$1: no worker stays" 0 load 20 -d load -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit load worker'"
}

# The same rows ----------------------------------------------------------------------------------------------------
sharded t "gone int, id bigint NOT NULL, name text, at timestamptz NOT NULL, amount numeric(12,2), tags text[], body jsonb,
    flag boolean, twice bigint GENERATED ALWAYS AS (id * 2) STORED,
    CONSTRAINT amount_positive CHECK (amount >= 0)" hash '{id}' '{"modulus": 16}' "ALTER TABLE t DROP COLUMN gone;"
columns="id, name, at, amount, tags, body, flag"
rows() { # FROM TO [OPTIONS]
    run -c "COPY (SELECT i AS id, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN E'tab\\tback\\\\slash\\nline' ELSE 'n' || i END AS name,
        timestamptz '2024-01-01' + i * interval '1 hour' AS at, CASE WHEN i % 3 > 0 THEN i END::numeric AS amount, ARRAY['a', NULL, i::text] AS tags,
        jsonb_build_object('k', repeat(md5(i::text), CASE WHEN i % 997 = 0 THEN 9000 ELSE 1 END)) AS body, i % 2 = 0 AS flag
        FROM generate_series($1, $2) AS i) TO STDOUT ${3:-}"
}
{ echo "COPY t ($columns) FROM STDIN;"; rows 1 20000; echo '\.'; } | twins "text from the client" t "loaded by 2 workers"
nothing_left "after a load"
same "the rows are frozen, in files of their own" "t|t" "$(run -c "SELECT bool_and(age(relfrozenxid) < 1000 AND pg_relation_size(oid) > 0),
    bool_and(reltoastrelid::regclass::text = 'pg_toast.pg_toast_' || oid) FROM pg_class WHERE oid IN (SELECT relid FROM pg_partition_tree('crew.t') WHERE isleaf)")"
{ echo "COPY t ($columns) FROM STDIN WITH (FORMAT csv, HEADER);"; rows 1 5000 "WITH (FORMAT csv, HEADER)"; echo '\.'; } | twins "CSV with a header and newlines within quotes" t "loaded by 2 workers"
rows 1 5000 "WITH (DELIMITER '|', NULL 'none')" >"$tmp/rows"
chmod a+r "$tmp/rows"
echo "COPY t ($columns) FROM '$tmp/rows' WITH (DELIMITER '|', NULL 'none');" | twins "a file with options" t "loaded by 2 workers"
echo "COPY t ($columns) FROM PROGRAM 'cat $tmp/rows' WITH (DELIMITER '|', NULL 'none');" | twins "a program" t "loaded by 2 workers"
echo "COPY t ($columns) FROM PROGRAM 'cat $tmp/rows; exit 3' WITH (DELIMITER '|', NULL 'none');" | twins "a program that fails" t error
echo "COPY t (id) FROM PROGRAM '$tmp/no/such/program';" | twins "a program that does not exist" t error
echo "COPY t (id) FROM '$tmp/nowhere';" | twins "a file that does not exist" t error
echo "COPY t (id) FROM '$tmp';" | twins "a directory" t error
printf "SET datestyle = 'SQL, DMY'; SET timezone = 'Asia/Tokyo';\nCOPY t (id, at, name) FROM STDIN;\n%s\\.\n" "$(for i in {1..200}; do printf '%s\t31/01/2024 12:00\tn%s\\n' "$i" "$i"; done)" |
    sed 's/\\n/\n/g' | twins "the session's own settings" t "loaded by 2 workers"
echo "BEGIN; COPY t (id, at) FROM PROGRAM 'yes | head -n 300 | sed ''s/.*/7\tnow/'''; SELECT count(*) FROM t WHERE at <> now(); ROLLBACK;" | sed 's/\\t/\t/' >"$tmp/now.sql"
twins "now is the session's now" t "" <"$tmp/now.sql"
nothing_left "after a rollback"
sharded r "at timestamptz, id bigint, note text" range_hash '{at,id}' \
    '{"split_points": ["2024-02-01", "2024-03-01"], "modulus": 3, "default": true}'
{ echo "COPY r FROM STDIN;"; run -c "COPY (SELECT CASE WHEN i % 50 > 0 THEN timestamptz '2024-01-01' + i * interval '1 minute' END, i, 'x' FROM generate_series(1, 150000, 7) AS i) TO STDOUT"; echo '\.'; } |
    twins "two levels, and nulls in the default" r "loaded by 2 workers"

# Keys that are written plainly, which are not given to PostgreSQL one by one, and some that are not.
for type in smallint int bigint uuid; do
    sharded "by_$type" "note text, id $type NOT NULL" hash '{id}' '{"modulus": 7}'
    {
        echo "COPY by_$type FROM STDIN;"
        if [[ $type == uuid ]]; then
            run -c "COPY (SELECT i, CASE i % 3 WHEN 0 THEN md5(i::text)::uuid::text WHEN 1 THEN upper(md5(i::text)::uuid::text) ELSE '{' || md5(i::text) || '}' END FROM generate_series(1, 3000) AS i) TO STDOUT"
        else
            run -c "COPY (SELECT i, CASE WHEN i % 50 = 0 THEN ' ' || i WHEN i % 70 = 0 AND i > 0 THEN '+00' || i ELSE i::text END FROM generate_series(-3000, 3000) AS i
                UNION ALL SELECT 0, unnest(ARRAY['-32768', '32767', '-0'])) TO STDOUT"
            [[ $type == smallint ]] || printf 'x\t-2147483648\nx\t2147483647\n'
            [[ $type != bigint ]] || printf 'x\t-9223372036854775808\nx\t9223372036854775807\nx\t999999999999999999\n'
        fi
        echo '\.'
    } | twins "a key of type $type" "by_$type" "loaded by 2 workers"
done
printf 'COPY by_smallint FROM STDIN;\nx\t1\nx\t32768\n\\.\n' | twins "a number beyond its type" by_smallint error

# Errors, to the last word -----------------------------------------------------------------------------------------
bad() { # NAME ROW [COPY options] [LINE]
    { echo "COPY t (id, name, at, amount) FROM STDIN${3:-};"
        for ((i = 1; i <= 400; i++)); do
            if ((i == ${4:-250})); then printf '%b\n' "$2"; else printf '%s\tname %s\t2024-01-01\t1\n' "$i" "$i"; fi
        done
        echo '\.'
    } | twins "$1" t error
}
bad "a bad value in the middle" '9\ta\t2024-01-01\tzzz'
bad "in the first row" '9\ta\tyesterdays\t1' '' 1
bad "in the last row" '9\ta\tyesterdays\t1' '' 400
bad "a bad key" 'nine\ta\t2024-01-01\t1'
bad "a key that is too large" '99999999999999999999\ta\t2024-01-01\t1'
bad "a null where none may be" '9\ta\t\\N\t1'
bad "a check" '9\ta\t2024-01-01\t-1'
bad "a column too few" '9\ta'
bad "a column too many" '9\ta\t2024-01-01\t1\tx'
bad "bytes that are no characters" '9\t\xff\t2024-01-01\t1'
bad "a carriage return" '9\ta\r\t2024-01-01\t1'
# Of several bad rows it is the first, whichever worker meets its own first. Some of the shards have long rows.
{ echo "COPY t (id, name, at, amount) FROM STDIN;"
    run -c "COPY (SELECT i, repeat('x', CASE WHEN hashint8(i) % 16 = 3 THEN 3000 ELSE 3 END), timestamptz '2024-01-01', CASE WHEN i % 97 = 0 THEN -1 ELSE 1 END FROM generate_series(1, 20000) AS i) TO STDOUT"
    echo '\.'; } | twins "many bad rows" t error
{ echo "COPY t (id, name, at, amount) FROM STDIN;"
    run -c "COPY (SELECT i, repeat('x', 20000 / (1 + i / 50)), timestamptz '2024-01-01', CASE WHEN i >= 700 AND i % 3 = 0 THEN -1 ELSE 1 END FROM generate_series(1, 3000) AS i) TO STDOUT"
    echo '\.'; } | twins "many bad rows behind long ones" t error
sharded p "id bigint, note text" range '{id}' '{"split_points": ["100", "1000"], "default": false}' "DROP TABLE IF EXISTS nothing;"
run -c "DO \$\$ DECLARE part text; BEGIN FOR part IN SELECT c.oid::regclass FROM pg_class AS c JOIN pg_inherits AS i ON i.inhrelid = c.oid
    WHERE i.inhparent IN ('crew.p'::regclass, 'root.p'::regclass) AND pg_get_expr(c.relpartbound, c.oid) ~ 'MAXVALUE' LOOP EXECUTE 'DROP TABLE ' || part; END LOOP; END \$\$"
{ echo "COPY p FROM STDIN;"; for ((i = 1; i <= 300; i++)); do printf '%s\tx\n' $((i == 200 ? 5000 : i)); done; echo '\.'; } | twins "no shard for a row" p error
nothing_left "after errors"
settle "after errors"

# Rights -----------------------------------------------------------------------------------------------------------
run -c 'GRANT INSERT ON crew.t, root.t TO loader' -c 'GRANT loader TO postgres'
{ echo "SET ROLE loader; COPY t ($columns) FROM STDIN;"; rows 1 2000; echo '\.'; } | twins "a role that may only insert" t "loaded by 2 workers"
{ echo "SET ROLE keeper; COPY t ($columns) FROM STDIN;"; rows 1 200; echo '\.'; } | twins "a role that may not" t error

# In the session, and why ------------------------------------------------------------------------------------------
twin_of() { # NAME REASON BEFORE
    { echo "$3"; echo "COPY t ($columns) FROM STDIN;"; rows 1 300; echo '\.'; [[ $3 != BEGIN* ]] || echo "COMMIT;"; } | twins "$1" t "$2"
}
twin_of "switched off" "parallel_copy is off" "SET presplit.parallel_copy = off;"
twin_of "few rows" "batched by shard" "SET presplit.load_workers_min_size = '10MB';"
sharded many "id bigint NOT NULL, note text" hash '{id}' '{"modulus": 64}'
{ echo "SET presplit.load_workers_min_size = '64kB'; COPY many FROM STDIN;"; run -c "COPY (SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i) TO STDOUT"; echo '\.'; } |
    twins "too few for so many shards" many "batched by shard"
{ echo "SET presplit.load_workers_min_size = '32kB'; COPY many FROM STDIN;"; run -c "COPY (SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i) TO STDOUT"; echo '\.'; } |
    twins "enough for so many shards" many "loaded by 2 workers"
for ((i = 0; i < $(nproc); i++)); do
    psql -qAtX -c "SET max_parallel_workers_per_gather = 0" -c "SELECT 'spin', count(*) FROM generate_series(1, 100000) AS i, generate_series(1, 100000) AS j" >/dev/null 2>&1 &
done
becomes "the cores are busy" "$(nproc)" load 20 -d load -c "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT .spin' AND state = 'active'"
twin_of "no core is free" "no cores are free for workers" "SET presplit.load_workers = 0;"
twin_of "a number of workers that somebody wants" "loaded by 2 workers" "SET presplit.load_workers = 2;"
run -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT .spin'" >/dev/null
wait
twin_of "a repeatable read transaction" "above READ COMMITTED" "BEGIN ISOLATION LEVEL REPEATABLE READ;"
twin_of "a transaction that has changed tables" "the transaction has changed tables" "BEGIN; CREATE TEMP TABLE x (); "
twin_of "an open cursor" "a cursor is open" "BEGIN; DECLARE c CURSOR FOR SELECT * FROM t;"
run -c 'TRUNCATE crew.t' -c "INSERT INTO crew.t (id, at) VALUES (1, now())"
{ rows 1 300; } | run -c "COPY crew.t ($columns) FROM STDIN"
same "a shard with rows" "301|t" "$(run -c 'SELECT count(*) FROM crew.t')|$(note t | grep -q 'has rows already' && echo t)"
{ rows 301 303; } | PGOPTIONS='-c default_transaction_isolation=repeatable\ read' run -c "COPY crew.t ($columns) FROM STDIN"
same "of few rows nobody asks why" "batched by shard in the session" "$(note t)"

# What one COPY has begun to read is no other's: neither of the next in its session, when it failed, nor of one around it.
sharded given "id int NOT NULL, a text" hash '{id}' '{"modulus": 2}' "CREATE INDEX ON given (id)"
sharded around "id int NOT NULL, a text" hash '{id}' '{"modulus": 2}'
{ printf 'bad\tx\n'; seq 400000 | sed 's/$/\tabcdefghij/'; } >"$tmp/given.bad"
seq 100000 | sed 's/$/\tabcdefghij/' >"$tmp/given.many"
printf '1\ta\n' >"$tmp/given.good"
chmod a+r "$tmp"/given.*
for first in "\\copy crew.given from '$tmp/given.bad'" "COPY crew.given FROM '$tmp/given.bad';" "COPY crew.given FROM PROGRAM 'cat $tmp/given.bad';"; do
    same "a COPY after one that failed: ${first%%"$tmp"*}" 1 "$({
        echo "$first"
        echo "SET presplit.parallel_copy = off; TRUNCATE crew.given;"
        echo "\\copy crew.given from '$tmp/given.good'"
        echo "SELECT count(*) FROM crew.given;"
    } | psql -qAtX 2>/dev/null || true)"
done
run >/dev/null <<SQL
CREATE FUNCTION crew.copies() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    IF NEW.id = 50000 THEN EXECUTE 'COPY crew.given FROM ''$tmp/given.good'''; END IF;
    RETURN NEW;
END \$\$;
SELECT format('CREATE TRIGGER copies BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION crew.copies()', inhrelid::regclass)
    FROM pg_inherits WHERE inhparent = 'crew.around'::regclass \\gexec
TRUNCATE crew.given;
SET presplit.load_workers_min_size = 0;
COPY crew.around FROM '$tmp/given.many';
SQL
same "a COPY within a COPY" "100000|1" "$(run -c 'SELECT (SELECT count(*) FROM crew.around), (SELECT count(*) FROM crew.given)')"
same "each has its own line in the report" "t|t" "$(note around | grep -q 'a trigger, a foreign key' && echo t)|$(note given | grep -q 'not a statement of its own' && echo t)"

# While others are at it -------------------------------------------------------------------------------------------
rows 1 60000 >"$tmp/many"
chmod a+r "$tmp/many"
run -c 'TRUNCATE crew.t'
# Observers of every isolation level see none or all. They look at the table as often as they can.
for level in 'READ COMMITTED' 'REPEATABLE READ' 'SERIALIZABLE'; do
    (
        for _ in {1..60}; do
            echo "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM crew.t; SELECT pg_sleep(0.02) IS NULL; SELECT count(*) FROM crew.t; COMMIT;"
        done | psql -qAtX 2>&1 | grep -vx f | sort | uniq -c >"$tmp/seen.${level// /}"
    ) &
done
run -c "BEGIN; COPY crew.t ($columns) FROM '$tmp/many'; SELECT pg_sleep(0.3); COMMIT" >/dev/null
wait
for level in READCOMMITTED REPEATABLEREAD SERIALIZABLE; do
    same "$level sees none or all" "" "$(awk '$2 != 0 && $2 != 60000' "$tmp/seen.$level")"
done
same "and all is there" "60000" "$(run -c 'SELECT count(DISTINCT id) FROM crew.t')"

# The report is written by the session, so a hold on it is a way to stop a load right after its swap; a hold on a shard
# before it. A program that waits stops it in the middle.
start_load() { # SQL before the COPY; the load waits in its middle until $tmp/go is there
    rm -f "$tmp/go"
    run -c 'TRUNCATE crew.t'
    psql -qAtX -c "${1:-SELECT 1}" -c "COPY crew.t ($columns) FROM PROGRAM 'cat $tmp/many; while [ ! -e $tmp/go ]; do sleep 0.05; done; cat $tmp/rows2'" >"$tmp/load.out" 2>&1 &
    loading=$!
    for _ in {1..200}; do
        [[ $(run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit load worker'") == 2 ]] && break
        sleep 0.05
    done
    leader=$(run -c "SELECT pid FROM pg_stat_activity WHERE query ~ '^COPY crew.t' AND backend_type = 'client backend'")
}
end_load() { touch "$tmp/go"; chmod a+r "$tmp/go"; wait "$loading" || true; }
rows 60001 60100 >"$tmp/rows2"
chmod a+r "$tmp/rows2"
counted() { run -c 'SELECT count(*), count(DISTINCT id) FROM crew.t'; }

start_load
run -c "INSERT INTO crew.t (id, at) SELECT i, now() FROM generate_series(900001, 900100) AS i"
end_load
same "rows that came meanwhile stay, and all of ours" "60200|60200" "$(counted)"
nothing_left "after rows that came meanwhile"

start_load "SET lock_timeout = '1s'"
{ echo "BEGIN; SELECT count(*) FROM crew.t_s0003;"; sleep 4; echo "COMMIT;"; } | psql -qAtX >/dev/null &
holder=$!
sleep 0.5
end_load
wait "$holder"
same "a shard that somebody holds" "60100|60100" "$(counted)"

start_load
{ echo "BEGIN; SELECT count(*) FROM crew.t_s0003; SELECT pg_sleep(30);"; } | psql -qAtX >/dev/null 2>&1 &
holder=$!
sleep 0.5
touch "$tmp/go"
sleep 1.5
run -c "SELECT pg_cancel_backend($leader)" -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep.30' AND pid <> pg_backend_pid()" >/dev/null
wait "$loading" "$holder" || true
same "a cancel while it waits for a shard" "0|0|t" "$(counted)|$(grep -q 'canceling statement' "$tmp/load.out" && echo t)"
nothing_left "after that"

start_load
rows 700001 700100 | run -c "COPY crew.t ($columns) FROM STDIN"
same "a second load into the table goes its own way" "t" "$(note t | grep -qE 'another COPY|no background worker' && echo t)"
end_load
same "and both are whole" "60200|60200" "$(counted)"

start_load
( echo "BEGIN; LOCK TABLE crew.t IN ACCESS EXCLUSIVE MODE; SELECT count(*) FROM crew.t; COMMIT;" | psql -qAtX >"$tmp/bait" 2>&1 ) &
bait=$!
sleep 0.5
end_load
wait "$bait" || true
same "somebody who waits for the table" "60100|60100|60100" "$(counted)|$(cat "$tmp/bait")"

# It holds a shard, and then waits for the table that the load holds.
start_load
( echo "BEGIN; SELECT count(*) FROM crew.t_s0003; LOCK TABLE crew.t IN ACCESS EXCLUSIVE MODE; SELECT count(*) FROM crew.t; COMMIT;" | psql -qAtX >"$tmp/bait" 2>&1 ) &
bait=$!
sleep 0.5
end_load
wait "$bait" || true
same "in a deadlock it is the load that gives way" "60100|60100|0 60100" "$(counted)|$(paste -sd ' ' "$tmp/bait")"

# What ends a load -------------------------------------------------------------------------------------------------
start_load
run -c "SELECT pg_cancel_backend($leader)" >/dev/null
touch "$tmp/go"
wait "$loading" || true
same "a cancel" "0|0|t" "$(counted)|$(grep -q 'canceling statement' "$tmp/load.out" && echo t)"
settle "after a cancel"
start_load
run -c "SELECT pg_terminate_backend($leader)" >/dev/null
touch "$tmp/go"
wait "$loading" || true
same "the end of the session" "0|0" "$(counted)"
settle "after the end of the session"
start_load
run -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_presplit load worker' LIMIT 1" >/dev/null
end_load
same "the end of a worker" "0|0|t" "$(counted)|$(grep -q 'administrator command\|worker ended' "$tmp/load.out" && echo t)"
settle "after the end of a worker"
mkfifo "$tmp/pipe"
{ cat "$tmp/many"; sleep 20; } >"$tmp/pipe" &
psql -qAtX -c "COPY crew.t ($columns) FROM STDIN" <"$tmp/pipe" >/dev/null 2>&1 &
client=$!
for _ in {1..200}; do
    [[ $(run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit load worker'") == 2 ]] && break
    sleep 0.05
done
kill -9 "$client"
wait "$client" 2>/dev/null || true
settle "after the client is gone"
same "a client that is gone" "0|0" "$(counted)"
nothing_left "after ends of all kinds"

# Two sessions that ask at the same time have no more workers together than there may be.
sharded other "id int NOT NULL, a text" hash '{id}' '{"modulus": 4}'
rm -f "$tmp/go"
run -c 'TRUNCATE crew.t, crew.given, crew.other'
most=0
for _ in {1..5}; do
    for table in "t (id, name, at, amount, tags, body, flag)" other; do
        rows=$tmp/many
        [[ $table != other ]] || rows=$tmp/given.many
        psql -qAtX -c "COPY crew.$table FROM '$rows'" >/dev/null 2>&1 &
    done
    while [[ -n $(jobs -rp) ]]; do
        found=$(run -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit load worker'")
        ((found <= most)) || most=$found
    done
    run -c 'TRUNCATE crew.t, crew.other'
done
same "no more workers than there may be" 2 "$most"

# A load that is prepared may go either way, whoever looks at what it left meanwhile.
staged() { run -c "SELECT count(*) FROM presplit.staging_tables"; }
psql -qAtX -c "BEGIN; COPY crew.t ($columns) FROM '$tmp/many'; PREPARE TRANSACTION 'load'" >/dev/null
run -c "COPY crew.p (id) FROM PROGRAM 'seq 1 99'" -c "TRUNCATE crew.p"
sleep 2.5
same "nobody takes the rows of a prepared load for left behind" 16 "$(staged)"
run -c "COMMIT PREPARED 'load'"
same "a prepared load is committed" "60000|60000" "$(counted)"
nothing_left "after COMMIT PREPARED"
run -c 'TRUNCATE crew.t'
psql -qAtX -c "BEGIN; COPY crew.t ($columns) FROM '$tmp/many'; PREPARE TRANSACTION 'load'" >/dev/null
cluster_restart load
sleep 2.5
same "nor after a restart" 16 "$(staged)"
run -c "ROLLBACK PREPARED 'load'"
same "a prepared load is rolled back" "0|0" "$(counted)"
nothing_left "after ROLLBACK PREPARED"

# From 16 on a standby may have a logical slot of its own, which nobody sees here.
run -c "ALTER SYSTEM SET wal_level = logical"
cluster_restart load
decoded() { # [KIND HOW]: a load, with a slot of this kind
    run -c 'TRUNCATE crew.t'
    [[ $# == 0 ]] || run -c "SELECT pg_create_$1_replication_slot('s'$2)" >/dev/null
    rows 1 300 | run -c "COPY crew.t ($columns) FROM STDIN"
    [[ $# == 0 ]] || run -c "SELECT pg_drop_replication_slot('s')" >/dev/null
    note t
}
same "a logical slot" t "$(decoded logical ", 'pgoutput'" | grep -q 'would miss the rows' && echo t)"
((version < 16)) || same "a standby that lives on copies of the log" t "$(decoded | grep -q 'would miss the rows' && echo t)"
run -c "ALTER SYSTEM RESET wal_level" -c 'TRUNCATE crew.t'

# No slot is free: the launcher, logical replication, and the rest by us.
run -c "ALTER SYSTEM SET presplit.load_workers = 0" -c "ALTER SYSTEM SET max_worker_processes = 2"
cluster_restart load
rows 1 300 | run -c "COPY crew.t ($columns) FROM STDIN"
same "no worker to be had" "300|t" "$(run -c 'SELECT count(*) FROM crew.t')|$(note t | grep -q 'no background worker' && echo t)"
run -c "ALTER SYSTEM RESET presplit.load_workers" -c "ALTER SYSTEM SET max_worker_processes = 12"
cluster_restart load

# The file system of a tablespace is full.
run -c 'TRUNCATE crew.t'
if [[ $(id -u) == 0 ]] && mkdir -p "$tmp/small" && mount -t tmpfs -o size=1m tmpfs "$tmp/small" 2>/dev/null; then
    trap 'umount -l "$tmp/small" 2>/dev/null || true; cluster_exit' EXIT
    chown "$CLUSTER_USER" "$tmp/small"
    run -c "CREATE TABLESPACE small LOCATION '$tmp/small'"
    for shard in 3 7; do run -c "ALTER TABLE crew.t_s000$shard SET TABLESPACE small"; done
    fails_with "a tablespace that is full" 'No space left on device' psql -qAtX -c "COPY crew.t ($columns) FROM '$tmp/many'"
    same "and no row" "0|0" "$(counted)"
    nothing_left "after a full tablespace"
    for shard in 3 7; do run -c "ALTER TABLE crew.t_s000$shard SET TABLESPACE pg_default"; done
    run -c 'DROP TABLESPACE small'
    umount "$tmp/small"
fi

# Left behind by a session that rolls back; a dump does not see it.
psql -qAtX -c "BEGIN; COPY crew.t ($columns) FROM '$tmp/many'; ROLLBACK" >/dev/null
same "a rollback" "0|0" "$(counted)"
same "a dump does not see what is left" 0 "$(pg_dump -s load | grep -c 'load_[0-9]' || true)"
nothing_left "after a rollback"

for what in worker leader postmaster; do
    start_load
    case $what in
        worker) kill -9 "$(run -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_presplit load worker' LIMIT 1")" ;;
        leader) kill -9 "$leader" ;;
        postmaster) cluster_kill load ;;
    esac
    touch "$tmp/go"
    wait "$loading" || true
    [[ $what != postmaster ]] || cluster_up load
    becomes "kill -9 of the $what: no rows" "0" load 60 -d load -c 'SELECT count(*) FROM crew.t'
    nothing_left "after kill -9 of the $what"
done
run -c 'DROP EXTENSION pg_presplit'
same "the rows of shards do not need the extension" 0 "$(run -c 'SELECT count(*) FROM crew.t')"
log_is_clean load "$PRESPLIT_ROOT/tests/server/allow/load_workers"
exit "$CHECKS_FAILED"
