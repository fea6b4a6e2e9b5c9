#!/usr/bin/env bash
# How long a query cancel takes, at random moments of the calls that take long:
#
#   bash tests/bench/cancel.sh [15|18] [CANCELS]
#
# The promise is 100 ms. Builds and installs a release build first; PRESPLIT_BUILD= for a debug build. A chain of 60
# tables is asked about by 480 statements, and is expected to become 4000 GB. Each call is run to its end once; then it
# is cancelled at moments spread evenly over that time, and from pg_cancel_backend() to the end of the call is measured
# in the server; the time in which it waited for a core, which others had, is told apart. Prints figures and where in
# the call the slowest ones were, judges nothing.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
version=${1:-15} cancels=${2:-60}

# shellcheck disable=SC2086
[[ -n ${PRESPLIT_INSTALLED:-} ]] || install_extension "$(pg_config_of "$version")" ${PRESPLIT_BUILD---release} >/dev/null 2>&1
cluster_start bench "$version" "shared_preload_libraries = 'pg_presplit'" "autovacuum = off" "max_locks_per_transaction = 256"
cluster_use bench
export PGDATABASE=postgres
run() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }
run >/dev/null <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION pg_presplit;
CREATE SCHEMA app;
DO $$
BEGIN
    FOR t IN 1 .. 60 LOOP
        EXECUTE format('CREATE TABLE app.t%s (id bigint, parent bigint, tenant int NOT NULL, at timestamptz NOT NULL, state text, amount numeric, PRIMARY KEY (tenant, id)%s)',
            t, CASE WHEN t > 1 THEN format(', FOREIGN KEY (tenant, parent) REFERENCES app.t%s', t - 1) ELSE '' END);
        EXECUTE format('INSERT INTO app.t%s SELECT g, %s, g %% 97, ''2025-01-01 UTC''::timestamptz + g * interval ''1 hour'', (ARRAY[''new'', ''open'', ''done''])[1 + g %% 3], g FROM generate_series(1, 2000) AS g',
            t, CASE WHEN t > 1 THEN 'g' ELSE 'NULL' END);
        EXECUTE format('CREATE INDEX ON app.t%s (parent)', t);
        EXECUTE format('CREATE INDEX ON app.t%s (tenant, at)', t);
    END LOOP;
END
$$;
ANALYZE;
SELECT declare_workload((SELECT jsonb_agg(jsonb_build_object('calls_per_second', 1 + n % 7, 'mean_ms', 2, 'sql', format((ARRAY[
    'SELECT state AS x%3$s FROM app.t%1$s WHERE tenant = $1 AND id = $2',
    'SELECT count(*) AS x%3$s FROM app.t%1$s WHERE at >= $1 AND at < $2',
    'SELECT a.id AS x%3$s, b.amount FROM app.t%1$s AS a JOIN app.t%2$s AS b ON b.tenant = a.tenant AND b.parent = a.id WHERE a.tenant = $1 AND a.id = $2',
    'SELECT a.id AS x%3$s, b.amount FROM app.t%1$s AS a JOIN app.t%2$s AS b ON b.tenant = a.tenant AND b.parent = a.id WHERE a.tenant = $1',
    'UPDATE app.t%1$s SET amount = amount + %3$s WHERE tenant = $1 AND id = $2',
    'INSERT INTO app.t%1$s (id, parent, tenant, at, amount) VALUES ($1, $2, $3, $4, %3$s)',
    'SELECT sum(amount) AS x%3$s FROM app.t%1$s WHERE tenant = $1 AND at > $2',
    'SELECT id AS x%3$s FROM app.t%1$s WHERE tenant = $1 ORDER BY at DESC LIMIT $2'])[1 + n % 8], 1 + n / 8 % 60, 1 + (n / 8 + 1) % 60, n)))
    FROM generate_series(1, 480) AS n));
-- Cancels another session's statement; from then to its end, in milliseconds.
CREATE TABLE cancelled (call text, at_ms float8, took_ms float8, waited_ms float8);
-- How long a backend was ready to run and had no core, in milliseconds.
CREATE FUNCTION waited(worker int) RETURNS float8 LANGUAGE sql AS $$
    SELECT split_part(pg_read_file(format('/proc/%s/schedstat', worker)), ' ', 2)::float8 / 1e6
$$;
CREATE PROCEDURE cancel(call text, worker int, at_ms float8) LANGUAGE plpgsql AS $$
DECLARE begun timestamptz; running boolean; waited_before float8;
BEGIN
    LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT query_start INTO begun FROM pg_stat_activity WHERE pid = worker AND state = 'active';
        EXIT WHEN begun IS NOT NULL;
        PERFORM pg_sleep(0.001);
    END LOOP;
    PERFORM pg_sleep(greatest(0, at_ms / 1000 - extract(epoch FROM clock_timestamp() - begun)));
    waited_before := waited(worker);
    begun := clock_timestamp();
    PERFORM pg_cancel_backend(worker);
    LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT state = 'active' INTO running FROM pg_stat_activity WHERE pid = worker;
        EXIT WHEN NOT running;
        PERFORM pg_sleep(0.001);
    END LOOP;
    INSERT INTO cancelled VALUES (call, at_ms, extract(epoch FROM clock_timestamp() - begun) * 1000, waited(worker) - waited_before);
END
$$;
SQL
set_up="SET presplit.predicted_data_volume = '4000GB'; SET enable_partitionwise_join = on"
id=$(run -c "$set_up" -c "SELECT DISTINCT proposal_id FROM propose_shards()")
# The same without evidence, which is then made by the call itself.
bare=$(run -c "SELECT import_proposal(jsonb_set(jsonb_set(p, '{proposal,horizon_micros}', '1'), '{proposal,relations}', (SELECT jsonb_agg(r - 'evidence') FROM jsonb_array_elements(p->'proposal'->'relations') AS r)))
    FROM export_proposal($id) AS p")
declare -A calls=(
    [propose_shards]="SELECT count(*) FROM propose_shards()"
    [explain_proposal]="SELECT count(*) FROM explain_proposal($id)"
    [proposal_evidence]="SELECT count(*) FROM proposal_evidence($bare)"
    [analyze_workload]="SELECT count(*) FROM analyze_workload()"
)
for call in propose_shards proposal_evidence explain_proposal analyze_workload; do
    whole=$(run <<<"$set_up; SELECT clock_timestamp() AS start \gset
        ${calls[$call]} \g /dev/null
        SELECT round(extract(epoch FROM clock_timestamp() - :'start'::timestamptz) * 1000)")
    # One session is cancelled again and again: what a cancel leaves behind would show.
    coproc worker { psql -qXAt 2>&1; }
    echo "$set_up; SELECT pg_backend_pid();" >&"${worker[1]}"
    read -r pid <&"${worker[0]}"
    for n in $(seq 1 "$cancels"); do
        run -c "CALL cancel('$call', $pid, $whole * ($n - random()) / $cancels)" &
        canceller=$!
        sleep 0.1
        echo "${calls[$call]};" >&"${worker[1]}"
        # A call may end by itself before: then the time is that of the next look.
        wait "$canceller"
        read -r -t 5 answer <&"${worker[0]}" || answer=
        [[ $answer != *terminat* && $answer != *crash* ]] || { echo "$answer"; exit 1; }
    done
    echo '\q' >&"${worker[1]}"
    wait "$worker_PID" || true
    run -v call="$call" -v whole="$whole" <<'SQL'
SELECT format('%s, %s ms long, %s cancels: median %s ms, p99 %s ms, max %s ms; without waits for a core median %s ms, max %s ms; slowest: %s', :'call', :'whole',
    count(*), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY took_ms)::numeric, 1), round(percentile_cont(0.99) WITHIN GROUP (ORDER BY took_ms)::numeric, 1),
    round(max(took_ms)::numeric, 1), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY took_ms - waited_ms)::numeric, 1), round(max(took_ms - waited_ms)::numeric, 1),
    (SELECT string_agg(format('%s ms (at %s ms)', round(took_ms), round(at_ms)), ', ' ORDER BY took_ms DESC)
        FROM (SELECT * FROM cancelled WHERE call = :'call' ORDER BY took_ms DESC LIMIT 5) AS slowest))
FROM cancelled WHERE call = :'call';
SQL
done
