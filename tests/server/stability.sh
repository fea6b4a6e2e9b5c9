#!/usr/bin/env bash
# Proposals stay what they were while only numbers change: a number names a decision, layouts that are there are kept as
# they are, and what replaces them says what it gains. Ranges of two columns are made as they are proposed.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start stability "$version" "shared_preload_libraries = 'pg_presplit'" "session_preload_libraries = 'pg_presplit'" \
    "autovacuum = off" "jit = off" "max_locks_per_transaction = 256"
cluster_use stability
psql -qX -d postgres -c 'CREATE DATABASE stability'
export PGDATABASE=stability
run() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }
# What is small here is to be large: a declared volume.
ask() { PGOPTIONS="-c presplit.predicted_data_volume=${volume:-400GB} -c client_min_messages=warning" psql -qXAt -v ON_ERROR_STOP=1 -c "$1" 2>&1; }
propose() { ask "SELECT DISTINCT proposal_id FROM propose_shards()"; }
told() { ask "SELECT strategy || ' ' || shard_key::text || ' ' || shard_count FROM propose_shards('app.$1')"; }
reason() { ask "SELECT reason FROM propose_shards('app.$1')"; }
declare_all() { # JSON of [statement, calls per second, milliseconds]
    run -v statements="$1" <<'SQL'
SELECT declare_workload((SELECT jsonb_agg(jsonb_build_object('sql', s->>0, 'calls_per_second', s->1, 'mean_ms', s->2)) FROM jsonb_array_elements(:'statements') AS s))
\g /dev/null
SQL
}
run <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE SCHEMA app;
SET search_path = app, public;
CREATE TABLE events (at timestamptz NOT NULL, device int NOT NULL, note text);
CREATE TABLE points (k bigint NOT NULL, note text);
CREATE TABLE places (country text NOT NULL, note text);
CREATE TABLE orders (region_id int NOT NULL, id bigint NOT NULL, note text, PRIMARY KEY (region_id, id));
CREATE INDEX ON points (k);
CREATE INDEX ON places (country);
-- Rows of the last year; values that crowd at the low end; few values; a region with four in ten of the rows.
CREATE FUNCTION fill(first int, last int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO app.events SELECT now() - interval '365 days' * (1 - g / 20000.0), g % 500, repeat('x', 40) FROM generate_series(first, last) AS g;
    INSERT INTO app.points SELECT (g % 9973)::bigint * (g % 9973) * 37, repeat('y', 40) FROM generate_series(first, last) AS g;
    INSERT INTO app.places SELECT (ARRAY['fr','fr','fr','de','de','it','es','pl','pt','nl','at','be','se'])[1 + g % 13], repeat('z', 40) FROM generate_series(first, last) AS g;
    INSERT INTO app.orders SELECT CASE WHEN g % 10 < 4 THEN 3 ELSE 10 + g % 30 END, g, repeat('o', 40) FROM generate_series(first, last) AS g;
$$;
SELECT fill(1, 20000);
ANALYZE;
SQL
statements='[["SELECT count(*) FROM app.events WHERE at >= $1 AND at < $2", 1, 100], ["SELECT sum(length(note)) FROM app.points WHERE k BETWEEN $1 AND $2", 1, 100],
    ["SELECT count(*) FROM app.places WHERE country = $1", 1, 100], ["SELECT count(note) FROM app.orders WHERE region_id = $1 AND id BETWEEN $2 AND $3", 1, 100]]'
declare_all "$statements"

# One decision, one number -------------------------------------------------------------------------------------------

first=$(propose)
same "two calls in a row" "$first" "$(propose)"
ask "SELECT relation, strategy, shard_key, shard_count FROM presplit.proposals WHERE proposal_id = $first" | sed 's/^/# /'
seen=$first
for step in 1 2 3 4 5; do
    run -c "SELECT app.fill(20000 + 200 * ($step - 1) + 1, 20000 + 200 * $step); ANALYZE" >/dev/null
    seen+=" $(propose)"
done
same "a table that is written to" "$first $first $first $first $first $first" "$seen"
same "the numbers are of today, and the same everywhere" "t" "$(ask "
    CREATE TABLE app.today AS SELECT * FROM propose_shards();
    SELECT bool_and(p.reason = s.reason AND p.bytes_at_horizon = s.bytes_at_horizon AND p.shards = s.shards AND e.reason LIKE s.reason || '%')
    FROM app.today AS p JOIN presplit.proposals AS s USING (proposal_id, relation)
    JOIN explain_proposal($first) AS e ON e.relation = s.relation AND e.rank = 1")"
run -c "DROP TABLE app.today"
same "ranks keep their meaning" "0" "$(ask "
    CREATE TABLE app.before AS SELECT * FROM explain_proposal($first);
    SELECT app.fill(21001, 21100);
    ANALYZE;
    DO 'BEGIN PERFORM FROM propose_shards(); END';
    SELECT count(*) FROM app.before AS b JOIN explain_proposal($first) AS e USING (relation, rank)
    WHERE (b.strategy, b.shard_key) IS DISTINCT FROM (e.strategy, e.shard_key)" | tail -n 1)"
run -c "DROP TABLE app.before"
# A person's choice keeps the numbers that he saw.
chosen=$(ask "SELECT choose_alternative($first, 'app.events', 1)")
before=$(ask "SELECT reason FROM presplit.proposals WHERE proposal_id = $chosen ORDER BY relation")
run -c "SELECT app.fill(21101, 21400); ANALYZE" >/dev/null
same "the proposal found goes on" "$first" "$(propose)"
same "the chosen one is another, and is not touched" "$before" "$(ask "SELECT reason FROM presplit.proposals WHERE proposal_id = $chosen ORDER BY relation")"
[[ $chosen != "$first" ]] && ok "a choice has a number of its own" || not_ok "a choice has a number of its own"
same "exported and imported it is itself" "$first" "$(ask "SELECT import_proposal(export_proposal($first))")"
other=$(volume=4TB propose)
[[ $other != "$first" ]] && ok "ten times the volume is another decision" || not_ok "ten times the volume is another decision"
declare_all '[["SELECT count(*) FROM app.events WHERE device = $1", 1, 100]]'
other=$(propose)
[[ $other != "$first" ]] && ok "other statements are another decision" || not_ok "other statements are another decision" "$other"
declare_all "$statements"

# Imported where it was not found, a proposal stays as it was seen, though the search comes to the same.
clear() { run -c "TRUNCATE presplit.stored_proposals, presplit.proposal_relations, presplit.armed_tables"; }
by_time() { ask "SELECT proposal_id FROM propose_shards('app.events')"; }
stored() { ask "SELECT md5(string_agg(settings::text || content::text, '' ORDER BY position)) FROM presplit.proposal_relations JOIN presplit.stored_proposals USING (proposal_id) WHERE proposal_id = $1"; }
clear
run -c "CREATE TABLE app.exported AS SELECT export_proposal($(by_time)) AS content"
clear
imported=$(ask "SELECT import_proposal(content) FROM app.exported")
before=$(stored "$imported")
same "what was imported is found again, and not touched" "$imported $before" "$(by_time) $(stored "$imported")"
run -c "DROP TABLE app.exported"
clear

# The same decision of two transactions, of which the first is not in the snapshot of the second.
late() { # CALL
    psql -qXAt 2>&1 <<SQL
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT 1 \g /dev/null
\! psql -qXAt -c "SELECT $1" >/dev/null
DO \$do\$ BEGIN PERFORM $1; EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLSTATE; END \$do\$;
COMMIT;
SQL
}
same "above READ COMMITTED it is a failure to serialize" "NOTICE:  40001" "$(late "register_proposal('app.events', 'hash', '{device}', jsonb_build_object('modulus', 24))")"

# A transaction stays open after it proposed: nobody waits for it, though it proposes the same.
open_while() { # CALL COMMAND... -> what the call yields in a transaction, then what the commands yield before its end
    local call=$1
    shift
    PGOPTIONS="-c presplit.predicted_data_volume=400GB" psql -qXAt 2>&1 <<SQL
BEGIN;
SELECT $call;
$(for command in "$@"; do
        echo "\\! PGOPTIONS='-c presplit.predicted_data_volume=400GB -c client_min_messages=warning -c statement_timeout=20s' psql -qXAt -c \"SELECT $command\" 2>&1"
    done)
COMMIT;
SQL
}
register() { echo "register_proposal('app.events', 'hash', '{device}', jsonb_build_object('modulus', $1))"; }
by_search="min(proposal_id) FROM propose_shards('app.events')"
clear
first=$(by_time)
same "a proposal that is there already is found by others meanwhile" "$first
$first" "$(open_while "$by_search" "$by_search")"
numbers=($(open_while "$(register 12)" "$(register 12)" "$(register 20)" "$(register 12)"))
same "so is one that is not seen yet, by numbers of their own" "4 t t t" "${#numbers[@]} $(ask "SELECT ${numbers[1]} > ${numbers[0]}, ${numbers[2]} > ${numbers[1]}, ${numbers[3]} = ${numbers[1]}" | tr '|' ' ')"
same "of which the first stays" "${numbers[0]}" "$(ask "SELECT $(register 12)")"
same "each with all that it decides" "12|12|20" "$(ask "SELECT string_agg(jsonb_array_length(shards)::text, '|' ORDER BY proposal_id) FROM presplit.proposals WHERE proposal_id IN ($(IFS=,; echo "${numbers[*]}"))")"
same "what is rolled back is not found" "t" "$(PGOPTIONS="-c presplit.predicted_data_volume=400GB" run <<SQL
BEGIN;
SELECT $(register 28) AS lost \\gset
ROLLBACK;
SELECT $(register 28) > :lost;
SQL
)"
for n in 1 2 3 4; do ask "SELECT $(register 36)" >"$(cluster_tmp stability)/same.$n" & done
wait
same "four at once that end are one" "1" "$(sort -u "$(cluster_tmp stability)"/same.? | wc -l)"

# Made, loaded, kept -------------------------------------------------------------------------------------------------

first=$(propose)
orders=$(ask "SELECT shard_key::text || ' ' || strategy FROM presplit.proposals WHERE proposal_id = $first AND relation = 'app.orders'")
same "the heavy region is divided by id" "{region_id,id} range" "$orders"
run -c "TRUNCATE app.events, app.points, app.places, app.orders"
succeeds "shards are created" run -c "SELECT * FROM create_shards($first)"
same "bounds are as proposed" "0" "$(ask "
    SELECT count(*) FROM presplit.proposals AS p CROSS JOIN jsonb_to_recordset(p.shards) AS s (name text, bound text)
    LEFT JOIN pg_class AS c ON c.relname = s.name AND c.relnamespace = 'app'::regnamespace
    WHERE p.proposal_id = $first AND p.strategy = 'range'
      AND replace(replace(pg_get_expr(c.relpartbound, c.oid), '''', ''), ' ', '') IS DISTINCT FROM replace(replace(s.bound, '''', ''), ' ', '')")"
run -c "SELECT app.fill(1, 22000); ANALYZE" >/dev/null
same "a value that is not divided is in one shard, the heavy one in some" "t|t" "$(ask "
    SELECT max(n) FILTER (WHERE region_id <> 3) = 1, max(n) FILTER (WHERE region_id = 3) > 2
    FROM (SELECT region_id, count(DISTINCT tableoid) AS n FROM app.orders GROUP BY 1) AS x")"
pruned() { ask "EXPLAIN $1" | grep -oE ' on orders_(s[0-9]+|default)( |$)' | sort -u | grep -c . || true; }
all=$(pruned "SELECT * FROM app.orders WHERE id = 77")
some=$(pruned "SELECT * FROM app.orders WHERE region_id = 3")
one=$(pruned "SELECT * FROM app.orders WHERE region_id = 3 AND id = 77")
few=$(pruned "SELECT * FROM app.orders WHERE region_id = 3 AND id < 77")
light=$(pruned "SELECT * FROM app.orders WHERE region_id = 17")
# By the region alone DEFAULT is kept: it could have rows without an id.
same "PostgreSQL prunes as it is priced" "t 1 1 2 t" "$( ((all == $(ask "SELECT shard_count FROM presplit.proposals WHERE proposal_id = $first AND relation = 'app.orders'"))) && echo t || echo f) $one $few $light $( ((some > 2 && some < all)) && echo t || echo f)"
same "what was made is what is proposed" "$first" "$(propose)"
same "and says so" "4" "$(ask "SELECT count(*) FROM propose_shards() WHERE reason LIKE 'It is cut so already%'")"
applied=$(ask "SELECT md5(string_agg(content::text, '' ORDER BY position)) FROM presplit.proposal_relations WHERE proposal_id = $first")
run -c "SELECT app.fill(22001, 22600); ANALYZE" >/dev/null
same "with more rows too" "$first" "$(propose)"
same "what is applied is never altered" "$applied" "$(ask "SELECT md5(string_agg(content::text, '' ORDER BY position)) FROM presplit.proposal_relations WHERE proposal_id = $first")"
run -c "CREATE TABLE app.\"far Ahead\" PARTITION OF app.events FOR VALUES FROM (now() + interval '3 years') TO (now() + interval '5 years')"
extended=$(propose)
same "a partition that was added by hand belongs to what is kept" "far Ahead|1" "$(ask "
    SELECT s->>'name', count(*) FROM presplit.proposals CROSS JOIN jsonb_array_elements(shards) AS s
    WHERE proposal_id = $extended AND s->>'name' = 'far Ahead' AND reason LIKE 'It is cut so already%' GROUP BY 1")"
declare_all '[["SELECT count(*) FROM app.events WHERE device = $1", 100, 1000], ["SELECT sum(length(note)) FROM app.points WHERE k BETWEEN $1 AND $2", 1, 100]]'
changed=$(ask "SELECT shard_key::text || ' ' || reason FROM propose_shards('app.events')")
if [[ $changed =~ ^'{device} It is cut now as range by at in '[0-9]+' shards: the change saves '[0-9.]+' % of that cost and pays for moving '[0-9]+' rows within ' ]]; then
    ok "other statements replace what is there, with gain and payback"
else
    not_ok "other statements replace what is there, with gain and payback" "$changed"
fi

# What was registered by hand ----------------------------------------------------------------------------------------

# Nobody asks for much: nothing pays for a move.
declare_all '[["SELECT count(*) FROM app.t WHERE tenant = $1 AND id = $2", 0.00001, 1], ["SELECT count(*) FROM app.t WHERE code = $1", 0.00001, 1]]'
form() { # NAME STRATEGY KEY BOUNDS
    run -c "DROP TABLE IF EXISTS app.t; CREATE TABLE app.t (tenant int NOT NULL, id bigint NOT NULL, at timestamptz NOT NULL, code text NOT NULL)" 2>/dev/null
    local id found
    id=$(ask "SELECT register_proposal('app.t', '$2', '$3', '$4')")
    run -c "SELECT create_shards($id)" >/dev/null
    run -c "INSERT INTO app.t SELECT CASE WHEN g % 10 < 4 THEN 7 ELSE g % 50 END, g, '2025-01-01 00:00Z'::timestamptz + g * interval '20 minutes', chr(97 + g % 26) FROM generate_series(1, 20000) AS g; ANALYZE app.t"
    found=$(volume=40GB ask "
        WITH made AS (SELECT shards FROM presplit.proposals WHERE proposal_id = $id)
        SELECT split_part(p.reason, ':', 1) || ' ' || (SELECT count(*) FROM jsonb_array_elements(p.shards) AS a
                   WHERE NOT EXISTS (SELECT FROM made CROSS JOIN jsonb_array_elements(made.shards) AS b
                                     WHERE a->>'name' = b->>'name' AND a->>'of_bound' IS NOT DISTINCT FROM b->>'of_bound' AND a->>'bound' = b->>'bound'))
               || ' ' || (SELECT jsonb_array_length(p.shards) - jsonb_array_length(made.shards) FROM made)
        FROM propose_shards('app.t') AS p")
    case $found in
        'It is cut so already 0 0' | 'It is cut so already.'*' 0 0') ok "kept as it is: $1" ;;
        *) not_ok "kept as it is: $1" "$found" ;;
    esac
}
form "hash" hash '{id}' '{"modulus": 6}'
form "hash of two columns" hash '{tenant,id}' '{"modulus": 8}'
form "odd ranges of time" range '{at}' '{"split_points": ["2025-01-20 04:00:00+00", "2025-02-03 00:00:00+00", "2025-08-01 00:00:00+00"]}'
form "ranges of ids" range '{id}' '{"split_points": ["-5", "10000", "15000"], "default": false}'
form "ranges of text" range '{code}' '{"split_points": ["d", "m", "q"]}'
form "ranges of two columns" range '{tenant,id}' '{"split_points": [["7", "-1"], ["7", "9000"], ["8", "3"]]}'
form "lists" list '{tenant}' '{"lists": [["7"], ["8", "9"], ["1000"]]}'
form "ranges hashed" range_hash '{at,tenant}' '{"interval": "1 quarter", "from": "2025-01-01", "to": "2026-01-01", "modulus": 4}'
form "lists hashed" list_hash '{tenant}' '{"lists": [["7"], ["8"]], "sub": [{"of": 0, "shard_key": ["id"], "modulus": 4}, {"of": "default", "shard_key": ["tenant"], "modulus": 2}]}'

log_is_clean stability
