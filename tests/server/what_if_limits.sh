#!/usr/bin/env bash
# What the planner is asked where the server leaves little room or somebody is watching: few locks, few rights, tight
# settings, open transactions, event triggers, logs and counters of statements.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start limits "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" "max_parallel_workers_per_gather = 0" \
    "autovacuum = off" "jit = off" "max_locks_per_transaction = 10" "max_connections = 20" "pg_stat_statements.track = all" "log_statement = all"
cluster_use limits
psql -qX -d postgres -c 'CREATE DATABASE limits'
export PGDATABASE=limits
run() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }
ask() { psql -qXAt -v ON_ERROR_STOP=1 -c "$1" 2>&1; }
run <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_presplit;
CREATE EXTENSION pg_stat_statements;
CREATE SCHEMA app;
SET search_path = app, public;
CREATE FUNCTION make(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE app.%I (tenant int, id bigint, at timestamptz NOT NULL, state text, amount numeric, PRIMARY KEY (tenant, id))', t);
    EXECUTE format('INSERT INTO app.%I SELECT g %% 50, g, ''2025-01-01 00:00Z''::timestamptz + g * interval ''1 hour'', (ARRAY[''new'', ''open'', ''done''])[1 + g %% 3], g FROM generate_series(1, 5000) AS g', t);
    EXECUTE format('CREATE INDEX ON app.%I (at)', t);
END
$$;
SELECT make('t' || n) FROM generate_series(1, 12) AS n;
ANALYZE;
SELECT declare_workload((SELECT jsonb_agg(jsonb_build_object('calls_per_second', 10, 'mean_ms', 5, 'sql', format(s, n, 1 + n % 12)))
    FROM generate_series(1, 12) AS n, unnest(ARRAY['SELECT * FROM app.t%s WHERE tenant = $1 AND id = $2',
        'SELECT count(*), sum(a.amount) FROM app.t%s AS a JOIN app.t%s AS b ON b.tenant = a.tenant AND b.id = a.id WHERE a.amount >= b.amount',
        'UPDATE app.t%s SET amount = 0 WHERE tenant = $1']) AS s)) \g /dev/null
SQL
grown="SET presplit.predicted_data_volume = '4000GB'"
told="count(*), count(*) FILTER (WHERE strategy <> 'none'), count(*) FILTER (WHERE warnings::text LIKE '%could not be asked%')"

# Locks -------------------------------------------------------------------------------------------------------------

# 200 locks for all: not enough for twelve tables in shards. It is said, and nobody else goes short.
same "with too few locks the planner is not asked, which is said for each table" "12|12|12" \
    "$(run -c "$grown" -c "SELECT $told FROM propose_shards() WHERE relation LIKE 'app.t%'")"
ask "ALTER SYSTEM SET max_locks_per_transaction = 64" >/dev/null
cluster_restart limits
# 18 has room for more autovacuum workers, each with 64 locks.
held=$([[ $version -lt 18 ]] && echo 900 || echo 1800)
exec 7> >(psql -qX -o /dev/null)
echo "BEGIN; SELECT pg_advisory_lock(n) FROM generate_series(1, $held) AS n;" >&7
until [[ $(ask "SELECT count(*) >= $held FROM pg_locks WHERE locktype = 'advisory'") == t ]]; do sleep 0.1; done
same "nor where other sessions hold most of them" "12|12|12" \
    "$(run -c "$grown" -c "SELECT $told FROM propose_shards() WHERE relation LIKE 'app.t%'")"
exec 7>&-
until [[ $(ask "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0 ]]; do sleep 0.1; done
ask "ALTER SYSTEM SET max_locks_per_transaction = 400" >/dev/null
cluster_restart limits
same "with enough of them it is" "12|12|0" "$(run -c "$grown" -c "SELECT $told FROM propose_shards() WHERE relation LIKE 'app.t%'")"

# 12 tables of 35 shards with two indexes each are not made at once; nothing is lost of it: of 36 statements, all alike,
# those are planned that make up 95 % of the time.
same "shards that are made some after others are planned alike" "12|t|0" "$(run -c "$grown" -c "SELECT max(proposal_id) AS id FROM propose_shards()" \
    -c "SELECT count(DISTINCT relation), count(DISTINCT statement) >= 35, count(error) FROM proposal_evidence((SELECT max(proposal_id) FROM presplit.proposals))" | tail -n 1)"

# Rights ------------------------------------------------------------------------------------------------------------

run <<'SQL'
CREATE ROLE plain LOGIN;
GRANT USAGE ON SCHEMA app TO plain;
GRANT SELECT ON ALL TABLES IN SCHEMA app TO plain;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO plain;
SQL
same "a role that may not create schemas has its statements read, and is told what was not asked" \
    "1|list|{tenant}|{\"PostgreSQL's planner could not be asked: table app.t1 could not be rebuilt (permission denied for database limits).\"}" \
    "$(psql -qXAt -U plain <<SQL 2>&1
SELECT declare_workload('[{"sql": "SELECT * FROM app.t1 WHERE tenant = 3", "calls_per_second": 100}]', 'mine') \g /dev/null
$grown;
SELECT (SELECT sum(statements) FROM analyze_workload() WHERE relation = 'app.t1' AND access = 'equality'), strategy, shard_key, warnings FROM propose_shards('app.t1');
SQL
)"

# Settings ----------------------------------------------------------------------------------------------------------

for setting in "lock_timeout = '1ms'" 'temp_file_limit = 0' 'default_tablespace = pg_global' 'row_security = off' "search_path = ''" 'quote_all_identifiers = on' \
    'standard_conforming_strings = off' "DateStyle = 'German, DMY'" 'session_replication_role = replica' "default_transaction_isolation = 'serializable'" \
    'debug_print_plan = on' 'transform_null_equals = on' 'plan_cache_mode = force_generic_plan' 'enable_partitionwise_join = on' 'geqo_threshold = 2'; do
    same "with $setting" "list|{tenant}|f" \
        "$(run -c "SET $setting" -c "$grown" -c "SELECT strategy, shard_key, warnings::text LIKE '%could not be asked%' FROM public.propose_shards('app.t1')" 2>&1)"
done
wise() { # SETTING: what is said of settings that are off
    run -c "SET enable_partitionwise_join = $1" -c "SET enable_partitionwise_aggregate = $2" -c "SET work_mem = '64kB'" -c 'SET enable_mergejoin = off' -c 'SET enable_nestloop = off' -c "$grown" \
        -c "SELECT DISTINCT regexp_replace(w, '[0-9]+ statements?', 'N statements') FROM propose_shards(), unnest(warnings) AS w WHERE w LIKE '%which is not counted%' AND relation = 'app.t1'"
}
found=$(wise off off)
if [[ $found == "With enable_partitionwise_join = on and enable_partitionwise_aggregate = on, N statements on the table cost"*"% less by PostgreSQL's planner, which is not counted." ]]; then
    ok "what joins shard by shard would gain is named"
else
    not_ok "what joins shard by shard would gain is named" "$found"
fi
same "and no more once it is on" "" "$(wise on on)"

# Transactions ------------------------------------------------------------------------------------------------------

same "in a transaction with work of its own, which stays" "12
1
12
1" "$(run -c "$grown" -c 'BEGIN' -c 'CREATE TABLE app.prior AS SELECT 1 AS a' -c 'SAVEPOINT s' -c "SELECT count(*) FROM propose_shards() WHERE relation LIKE 'app.t%'" \
    -c 'ROLLBACK TO s' -c 'TABLE app.prior' -c "SELECT count(*) FROM propose_shards() WHERE relation LIKE 'app.t%'" -c 'COMMIT' -c 'TABLE app.prior')"
run <<'SQL'
CREATE FUNCTION app.inside() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE one record; n int := 0;
BEGIN
    FOR one IN SELECT * FROM public.propose_shards() WHERE relation LIKE 'app.t%' LOOP n := n + 1; END LOOP;
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN RETURN n || ' seen';
END
$$;
ALTER TABLE app.t1 ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.t1 FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON app.t1 USING (tenant = current_setting('app.tenant')::int);
SQL
same "in a function with an exception block and its owner's rights" "12 seen" "$(ask 'SELECT app.inside()')"
same "of a table with row security" "list|f" \
    "$(run -c "$grown" -c "SELECT strategy, warnings::text LIKE '%could not be asked%' FROM propose_shards('app.t1')")"
same "locks that are left, on tables of users" "" "$(run <<SQL | tail -n +2
$grown;
BEGIN;
SELECT count(*) FROM propose_shards();
SELECT l.mode, c.relname FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.oid >= 16384 AND c.relnamespace::regnamespace::text NOT IN ('presplit', 'pg_toast') AND l.mode <> 'AccessShareLock';
COMMIT;
SQL
)"

# Who is watching ---------------------------------------------------------------------------------------------------

run <<'SQL'
CREATE TABLE public.fired (event text, what text);
CREATE FUNCTION public.fire() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.fired VALUES (tg_event, tg_tag);
    IF tg_event = 'ddl_command_end' THEN INSERT INTO public.fired SELECT 'made', object_identity FROM pg_event_trigger_ddl_commands(); END IF;
    IF tg_event = 'sql_drop' THEN INSERT INTO public.fired SELECT 'dropped', object_identity FROM pg_event_trigger_dropped_objects(); END IF;
END
$$;
CREATE EVENT TRIGGER a ON ddl_command_start EXECUTE FUNCTION public.fire();
CREATE EVENT TRIGGER b ON ddl_command_end EXECUTE FUNCTION public.fire();
CREATE EVENT TRIGGER c ON sql_drop EXECUTE FUNCTION public.fire();
CREATE EVENT TRIGGER d ON table_rewrite EXECUTE FUNCTION public.fire();
TRUNCATE public.fired;
SQL
run -c "$grown" -c 'SELECT count(*) FROM propose_shards()' >/dev/null
same "event triggers do not see what is rolled back" "" "$(ask 'TABLE public.fired')"
run -c "$grown" -c 'CREATE TABLE app.kept AS SELECT * FROM propose_shards()'
same "nor inside a definition that they do see" "ddl_command_end|CREATE TABLE AS
ddl_command_start|CREATE TABLE AS
made|app.kept" "$(ask 'SELECT * FROM public.fired ORDER BY 1')"
same "none of it is logged as a statement" 0 "$(grep -c presplit_shadow "$(cluster_log limits)" || true)"
same "nor counted as one: neither definitions nor the statements that were planned" "0|0" \
    "$(ask "SELECT count(*) FILTER (WHERE query LIKE '%' || 'presplit' || '\_shadow%'), count(*) FILTER (WHERE query LIKE 'UPDATE app.t%') FROM pg_stat_statements")"
log_is_clean limits
