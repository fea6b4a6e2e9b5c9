#!/usr/bin/env bash
# What an administrator or an attacker may do to the extension on a bad day: nothing hangs, nothing is created whole in
# silence, no internal error reaches anybody.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

# A server that was started in a developer's surroundings: no backtrace may come of it.
export RUST_LIB_BACKTRACE=1
cluster_start hostile "$version" "shared_preload_libraries = 'pg_presplit'" "max_locks_per_transaction = 256" \
    "presplit.worker_naptime = 1" "wal_level = replica" "log_error_verbosity = verbose"
unset RUST_LIB_BACKTRACE
cluster_use hostile
tmp=$(cluster_tmp hostile)

run() { psql -qAtX -v ON_ERROR_STOP=1 -v VERBOSITY=verbose "$@"; }
# The SQLSTATE of a statement, or "ok"; in a transaction of its own that is rolled back.
state_of() { # DATABASE STATEMENT...
    local database=$1 statement script='BEGIN;'
    shift
    for statement; do script+=$statement$';\n'; done
    if script=$(run -d "$database" <<<"${script}ROLLBACK" 2>&1 >/dev/null); then
        echo ok
    else
        grep -oE 'ERROR:  [0-9A-Z]{5}' <<<"$script" | head -n 1 | cut -c9-
    fi
}
kind_of() { run -d "$1" -c "SELECT relkind FROM pg_class WHERE oid = to_regclass('$2')"; }

# A source with tables of several kinds of keys, and a target that is armed.
run -d postgres -c 'CREATE DATABASE source'
run -d source <<'SQL'
CREATE TABLE ev (id int PRIMARY KEY, at timestamptz NOT NULL, v text);
INSERT INTO ev SELECT g, '2024-01-01'::timestamptz + g * interval '1 hour', 'v' FROM generate_series(1, 5000) AS g;
CREATE TABLE li (id int PRIMARY KEY, ev int REFERENCES ev, v text);
INSERT INTO li SELECT g, g, 'x' FROM generate_series(1, 5000) AS g;
CREATE INDEX ON ev (at);
CREATE TABLE wide (id int, v text);
SQL
pg_dump -Fd -f "$tmp/source.dir" source
pg_dump -Fc -f "$tmp/source.custom" source
chmod -R a+rX "$tmp"
psql -qAtX -d source -f "$PRESPLIT_ROOT/sql/capture_profile.sql" 2>/dev/null >"$tmp/profile.json"
target() { # NAME
    run -d postgres -c "CREATE DATABASE $1"
    run -d "$1" -c 'CREATE EXTENSION pg_presplit'
    run -d "$1" -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/profile.json" >/dev/null
    run -d "$1" >/dev/null <<'SQL'
SELECT create_shards(register_proposal('ev', 'hash', '{id}', '{"modulus": 4}'));
SELECT create_shards(register_proposal('li', 'hash', '{id}', '{"modulus": 4}'));
SQL
}
target armed

# Names -----------------------------------------------------------------------------------------------------------

same "EXPLAIN ANALYZE does not create an armed table whole" 42809 \
    "$(state_of armed 'EXPLAIN ANALYZE CREATE TABLE ev AS SELECT 1 AS id')"
same "nor with SELECT INTO" 42809 "$(state_of armed 'EXPLAIN (ANALYZE, COSTS off) SELECT 1 AS id INTO ev')"
same "EXPLAIN alone creates nothing and is left alone" ok \
    "$(state_of armed 'EXPLAIN CREATE TABLE ev AS SELECT 1 AS id' 'EXPLAIN (ANALYZE off) SELECT 1 AS id INTO ev')"
same "a table is not renamed to an armed name" 55000 \
    "$(state_of armed 'CREATE TABLE other (id int)' 'ALTER TABLE other RENAME TO ev')"
same "nor moved to it" 55000 \
    "$(state_of armed 'CREATE SCHEMA s CREATE TABLE ev (id int)' 'ALTER TABLE s.ev SET SCHEMA public')"
same "a sharded table may be renamed away and back" ok \
    "$(state_of armed 'CREATE TABLE ev (id int)' 'ALTER TABLE ev RENAME TO x' 'ALTER TABLE x RENAME TO ev')"
same "a table that is still to be replaced may be, too" ok "$(state_of armed 'CREATE TABLE wide (id int)' \
    "SELECT create_shards(register_proposal('wide', 'hash', '{id}', '{\"modulus\": 2}'), replace => true)" \
    'ALTER TABLE wide RENAME TO x' 'ALTER TABLE x RENAME TO wide')"
same "a publication that loses the table keeps its options" f "$(run -d armed <<'SQL' | tail -n 1
BEGIN;
SET client_min_messages = error;
CREATE TABLE ev (id int);
CREATE PUBLICATION news FOR TABLES IN SCHEMA public;
CREATE PUBLICATION more FOR TABLE ev;
ALTER PUBLICATION more SET (publish_via_partition_root = false);
ALTER PUBLICATION more DROP TABLE ev;
SELECT pubviaroot FROM pg_publication WHERE pubname = 'more';
ROLLBACK;
SQL
)"
same "columns of LIKE are not missing" ok \
    "$(state_of armed 'CREATE TABLE other (id int)' 'CREATE TABLE ev (LIKE other)')"
same "a system table is no table to shard" 42809 "$(state_of armed \
    "SELECT create_shards(import_proposal(jsonb_set(export_proposal(1), '{proposal,relations,0,relation}',
        '{\"schema\": \"presplit\", \"name\": \"table_settings\"}')))")"

# Settings of the session -------------------------------------------------------------------------------------------

same "default_tablespace may name the tablespace of the database" ok "$(state_of armed \
    'SET default_tablespace = pg_default' 'CREATE TABLE ev (id int, at int)' 'CREATE INDEX ON ev (at)' \
    'ALTER TABLE ONLY ev ADD PRIMARY KEY (id)' 'CREATE TABLE li (id int) TABLESPACE pg_default')"
same "quote_all_identifiers changes nothing" ok "$(state_of armed 'SET quote_all_identifiers = on' \
    'SET presplit.unique_policy = per_shard' 'CREATE TABLE wide (id int PRIMARY KEY, v text)' \
    "SELECT create_shards(register_proposal('wide', 'hash', '{v}', '{\"modulus\": 2}'))")"

target serializable
succeeds "parallel workers of a restore may be serializable" \
    env PGOPTIONS='-c default_transaction_isolation=serializable' pg_restore -j4 -d serializable "$tmp/source.dir"
same "with all rows" '5000|5000' "$(run -d serializable -c 'SELECT (SELECT count(*) FROM ev), (SELECT count(*) FROM li)')"

target revoked
run -d postgres -c 'CREATE ROLE clerk LOGIN'
run -d revoked -c 'REVOKE USAGE ON SCHEMA presplit FROM PUBLIC' -c 'GRANT CREATE ON SCHEMA public TO clerk'
succeeds "who lost USAGE on the schema restores too" \
    pg_restore --exit-on-error --no-owner -U clerk -d revoked "$tmp/source.custom"
same "into shards" p "$(kind_of revoked ev)"

# A restore that is long in committing keeps no other waiting.
target two
run -d two -c 'CREATE TABLE ev (id int)' -c 'DROP TABLE ev'
run -d two -c 'BEGIN; CREATE TABLE li (id int); SELECT pg_sleep(2); COMMIT' >/dev/null &
sleep 0.7
succeeds "two restores do not wait for each other" \
    psql -qX -v ON_ERROR_STOP=1 -d two -c "SET lock_timeout = '500ms'" -c 'CREATE TABLE ev (id int)'
wait $!

# Files -------------------------------------------------------------------------------------------------------------

mkfifo "$tmp/pipe"
mkdir "$tmp/folder"
mkfifo "$tmp/folder/toc.dat"
chmod -R a+rwX "$tmp/pipe" "$tmp/folder"
check() { timeout 20 psql -qX -v ON_ERROR_STOP=1 -d armed -c "SET statement_timeout = '10s'" -c "SELECT check_restore(1, '$1')"; }
fails_with "a pipe is not waited for" 'is not a regular file' check "$tmp/pipe"
fails_with "a device is not read" 'is not a regular file' check /dev/zero
fails_with "a pipe in an archive is not waited for" 'is not a dump' check "$tmp/folder"
printf 'PGDMP and no more' >"$tmp/- broken"
fails_with "a broken archive is named" 'could not read archive' check "$tmp/- broken"
succeeds "an archive is read" check "$tmp/source.custom"

# Values ------------------------------------------------------------------------------------------------------------

same "JSON that is nested too deep" 22023 \
    "$(state_of armed "SELECT import_proposal((repeat('[', 500) || repeat(']', 500))::jsonb)")"
same "JSON with a number out of range" 22023 "$(state_of armed "SELECT configure_shards('ev', '{\"undo\": 1e400}')")"
run -d postgres -c "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
fails_with "other encodings are refused before a name is mangled" 'encoding "LATIN1" of database "latin" is not supported' \
    psql -qX -v ON_ERROR_STOP=1 -d latin -c 'CREATE EXTENSION pg_presplit'
found=$(psql -qX -d armed -c "SET statement_timeout = '1ms'" -c 'SELECT count(*) FROM propose_shards()' 2>&1) || true
if grep -q 'begin_panic\|/src/' <<<"$found"; then not_ok "no backtrace for the client" "$found"; else ok "no backtrace for the client"; fi

# A dump of a database with the extension ---------------------------------------------------------------------------

pg_dump -Fc -f "$tmp/again.custom" serializable
run -d postgres -c 'CREATE DATABASE again'
succeeds "a database with sharded tables is dumped and restored" pg_restore --exit-on-error -d again "$tmp/again.custom"
same "and knows them" 'ev|4,li|4' "$(run -d again -c "SELECT string_agg(c.relname || '|' || (SELECT count(*)
    FROM pg_inherits WHERE inhparent = c.oid), ',' ORDER BY c.relname) FROM presplit.sharded AS s JOIN pg_class AS c ON c.oid = s.relation")"
same "new proposals get new numbers" t "$(run -d again -c "SELECT register_proposal('wide', 'hash', '{id}', '{\"modulus\": 2}') > 2")"
run -d again -c 'DROP EXTENSION pg_presplit'
same "without the extension they are partitioned tables" 5000 "$(run -d again -c 'SELECT count(*) FROM ev')"
succeeds "and no trigger is left" psql -qX -v ON_ERROR_STOP=1 -d again -c 'CREATE TABLE free (id int)'

# A standby ---------------------------------------------------------------------------------------------------------

standby=$tmp/standby
as_cluster_user "$(cluster_bin hostile)/pg_basebackup" -h "$PGHOST" -U postgres -D "$standby/data" -R -X stream -c fast
{
    echo "unix_socket_directories = '$standby'"
    echo "hot_standby = on"
} | as_cluster_user tee -a "$standby/data/postgresql.conf" >/dev/null
as_cluster_user chmod 755 "$standby"
as_cluster_user "$(cluster_bin hostile)/pg_ctl" -D "$standby/data" -l "$standby/log" -w -s start
export PGHOST=$standby
same "a standby answers what only looks" ok "$(state_of armed 'SELECT check_shards()' 'SELECT check_restore(1)' \
    'SELECT proposal_ddl(1)' 'SELECT predict_growth($$ev$$)' 'SELECT capture_profile()' 'TABLE presplit.proposals' \
    'SELECT analyze_workload()' 'SELECT workload_coverage()' 'TABLE presplit.statements')"
for call in "create_shards(1)" "propose_shards()" "disarm('ev')" "import_profile(capture_profile())" "configure_shards('ev', '{}')"; do
    same "a standby refuses $call" 25006 "$(state_of armed "SELECT $call")"
done
same "and creates no table" 25006 "$(state_of armed 'CREATE TABLE ev (id int)')"
as_cluster_user "$(cluster_bin hostile)/pg_ctl" -D "$standby/data" -w -s promote
run -d armed -c 'CREATE TABLE ev (id int)'
same "after promotion it shards" p "$(kind_of armed ev)"
same "no internal error on the standby" 0 "$(grep -acE 'XX000|panicked|PANIC|terminated by signal' "$standby/log" || true)"
as_cluster_user "$(cluster_bin hostile)/pg_ctl" -D "$standby/data" -m fast -w -s stop
export PGHOST=${CLUSTER_DIR[hostile]}

# The launcher ------------------------------------------------------------------------------------------------------

# Many databases, so that a shutdown is likely to come between two workers.
for number in {1..12}; do run -d postgres -c "CREATE DATABASE many$number"; done
stopped=0
for pause in 0.05 0.1 0.15 0.2 0.3 0.4; do
    sleep "$pause"
    cluster_restart hostile && stopped=$((stopped + 1))
done
same "the launcher obeys every shutdown" 6 "$stopped"
becomes "and is back" 1 hostile 20 -d postgres \
    -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_presplit launcher'"

same "no internal error in the log" 0 \
    "$(grep -acE ' XX000|panicked|PANIC:|terminated by signal|begin_panic' "$(cluster_log hostile)" || true)"
exit "$CHECKS_FAILED"
