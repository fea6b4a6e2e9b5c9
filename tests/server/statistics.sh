#!/usr/bin/env bash
# What a proposal that is made on the server sees of its tables: values of columns that no profile carries, with the
# caller's rights; and what it says of rows per shard is what is there once the shards are made and loaded.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start statistics "$version" "shared_preload_libraries = 'pg_presplit'" "autovacuum = off" "jit = off"
cluster_use statistics
psql -qX -d postgres -c 'CREATE DATABASE statistics'
export PGDATABASE=statistics
run() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }
ask() { psql -qXAt -v ON_ERROR_STOP=1 -c "$1" 2>&1; }
declared() { # STATEMENT...
    local one
    {
        echo "SELECT declare_workload(jsonb_agg(jsonb_build_object('sql', s, 'calls_per_second', 1, 'mean_ms', 100))) FROM (VALUES"
        for one in "$@"; do echo "(\$q\$$one\$q\$)${SEPARATOR:-,}"; done | sed '$ s/,$//'
        echo ") AS v (s)"
        echo '\g /dev/null'
    } | run
}

run <<'SQL'
CREATE EXTENSION pg_presplit;
CREATE SCHEMA app;
ALTER DATABASE statistics SET session_preload_libraries = 'pg_presplit';
ALTER DATABASE statistics SET presplit.predicted_data_volume = '200GB';
ALTER DATABASE statistics SET TimeZone = 'UTC';
SELECT setseed(0.42);
-- Tenants of which three are heavy, states of which four make up nearly all, nothing indexed but the id; a history of
-- versions whose rows are valid until infinity in part.
CREATE TABLE app.orders (id bigint NOT NULL, tenant int NOT NULL, state text, amount int, at timestamptz NOT NULL, valid_to date);
INSERT INTO app.orders
SELECT g, CASE WHEN r < 0.30 THEN 1 WHEN r < 0.42 THEN 2 WHEN r < 0.50 THEN 3 ELSE 10 + (random() * 2000)::int END,
       CASE WHEN s < 0.60 THEN 'done' WHEN s < 0.80 THEN 'open' WHEN s < 0.90 THEN 'new' WHEN s < 0.98 THEN 'gone' WHEN s < 0.99 THEN 'odd' END,
       (-ln(1 - random()) * 10000)::int, '2023-01-01'::timestamptz + sqrt(g / 150000.0) * interval '730 days',
       CASE WHEN s < 0.25 THEN 'infinity' ELSE '2023-01-01'::date + (random() * 730)::int END
FROM (SELECT g, random() AS r, random() AS s FROM generate_series(1, 150000) AS g OFFSET 0) AS x;
CREATE INDEX ON app.orders (id);
ANALYZE app.orders;
SQL
declared 'SELECT * FROM app.orders WHERE tenant = $1' 'SELECT * FROM app.orders WHERE state = $1 AND tenant > $2' \
    'SELECT * FROM app.orders WHERE amount BETWEEN $1 AND $2' 'SELECT * FROM app.orders WHERE at >= $1 AND at < $2' \
    'SELECT * FROM app.orders WHERE valid_to >= $1 AND valid_to < $2'

# What is there now is compared with what was predicted of it.
ask "SELECT configure_shards('app.orders', '{\"expected_rows_per_day\": 0}')" >/dev/null

# Values that no profile carries ------------------------------------------------------------------------------------

proposal=$(ask "SELECT max(proposal_id) FROM propose_shards('app.orders')")
ways() { ask "SELECT DISTINCT strategy || ' ' || array_to_string(shard_key, ',') FROM explain_proposal($proposal) ORDER BY 1"; }
same "a filtered column without an index is weighed for lists" 2 "$(ways | grep -cx 'list state\|list_hash tenant')"
same "its values stay out of a profile that is captured" 0 \
    "$(ask "SELECT count(*) FROM jsonb_path_query(capture_profile(), '\$.tables[*].columns[*] ? (@.name == \"tenant\" || @.name == \"state\" || @.name == \"amount\").statistics.common_values[*]')")"

# Rows per shard: predicted and found ---------------------------------------------------------------------------------

# Shards whose share of the rows is not the predicted one within 1.5 % of all rows, and skew that is off by a tenth.
agrees() { # NAME, SQL OF THE PROPOSAL'S NUMBER [TABLE]
    local found table=${3:-app.orders}
    found=$(run <<SQL 2>&1
BEGIN;
SET LOCAL client_min_messages = error;
CREATE TEMP TABLE proposed AS SELECT ($2) AS id;
CREATE TEMP TABLE predicted AS
    SELECT s->>'name' AS shard, (s->>'rows')::float8 / sum((s->>'rows')::float8) OVER () AS share, s->>'bound' AS bound
    FROM presplit.proposals AS p, jsonb_array_elements(p.shards) AS s
    WHERE p.proposal_id = (SELECT id FROM proposed) AND p.relation = '$table';
CREATE TEMP TABLE whole AS TABLE $table;
TRUNCATE $table;
SELECT count(*) > 1 FROM create_shards((SELECT id FROM proposed), relations => ARRAY['$table']) \g /dev/null
INSERT INTO $table TABLE whole;
CREATE TEMP TABLE found AS
    SELECT p.*, coalesce(f.share, 0) AS actual
    FROM predicted AS p
    LEFT JOIN (SELECT c.relname AS shard, count(*) / (sum(count(*)) OVER ())::float8 AS share
               FROM $table AS t JOIN pg_class AS c ON c.oid = t.tableoid GROUP BY 1) AS f USING (shard);
SELECT format('%s %s: predicted %s, found %s', shard, bound, round(share::numeric, 4), round(actual::numeric, 4))
FROM found WHERE NOT abs(share - actual) <= 0.015;
SELECT 'shards without rows that were predicted: all' FROM found HAVING NOT coalesce(sum(actual) > 0.999, false);
SELECT format('skew: predicted %s, found %s', max(share) * count(*) - 1, max(actual) * count(*) - 1)
FROM found WHERE bound <> 'DEFAULT' HAVING NOT abs(max(share) - max(actual)) <= 0.1 * max(actual);
ROLLBACK;
SQL
) || true
    same "$1" '' "$found"
}
alternative() { # STRATEGY, FIRST COLUMN
    echo "SELECT choose_alternative($proposal, 'app.orders', (SELECT rank FROM explain_proposal($proposal) WHERE strategy = '$1' AND shard_key[1] = '$2' AND legal ORDER BY rank LIMIT 1))"
}
agrees "hash by a column with heavy values: rows are where they were predicted" \
    "SELECT register_proposal('app.orders', 'hash', '{tenant}', '{\"modulus\": 8}')"
agrees "hash by a column of many values" "SELECT register_proposal('app.orders', 'hash', '{id}', '{\"modulus\": 16}')"
agrees "lists" "$(alternative list state)"
agrees "lists with NULL and values that nobody has" \
    "SELECT register_proposal('app.orders', 'list', '{state}', '{\"lists\": [[\"done\"], [\"open\", null], [\"never\"]]}')"
agrees "ranges at quantiles" "$(alternative range amount)"
agrees "ranges of the calendar" "$(alternative range at)"
agrees "ranges of the calendar, infinity in DEFAULT" "$(alternative range valid_to)"
agrees "heavy values apart, the rest hashed" "$(alternative list_hash tenant)"
agrees "ranges that a person gave, with open ends" \
    "SELECT register_proposal('app.orders', 'range', '{valid_to}', '{\"split_points\": [\"2023-07-01\", \"2024-01-01\", \"2024-07-01\"]}')"
by_end=$(ask "$(alternative range valid_to)")
same "rows that are never over are told" t \
    "$(ask "SELECT bool_or(w ~ 'in 2[3-7] % of all it is infinite') FROM presplit.proposals, unnest(warnings) AS w WHERE proposal_id = $by_end")"

# Types of every kind, names that need quotes, columns that are gone ----------------------------------------------------

run <<'SQL'
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN app.small AS int CHECK (value >= 0);
CREATE TYPE app.pair AS (a int, b text);
CREATE TABLE app."Odd ""Table" (
    gone1 int, "The ""id" bigint NOT NULL, mood app.mood, small app.small, "it's" varchar(20) COLLATE "C", u uuid, n numeric, f float8, gone2 text, i inet,
    tags text[], span int4range, doc jsonb, raw bytea, pair app.pair, ch char(4), bits bit(3), long text, lap interval, b bool, bc date, one date, nothing timestamptz, c "char");
ALTER TABLE app."Odd ""Table" DROP COLUMN gone1;
INSERT INTO app."Odd ""Table" ("The ""id", mood, small, "it's", u, n, f, i, tags, span, doc, raw, pair, ch, bits, long, lap, b, bc, one, c)
SELECT g, (ARRAY['sad', 'ok', 'ok', 'ok', 'happy']::app.mood[])[1 + g % 5], CASE WHEN g % 3 = 0 THEN 7 ELSE g % 60 END, CASE WHEN g % 4 = 0 THEN 'it''s "x", {y}\' ELSE 'v' || g % 3 END,
    md5((g % 50)::text)::uuid, CASE g % 5 WHEN 0 THEN 'NaN'::numeric WHEN 1 THEN 1.50 ELSE g END, CASE g % 5 WHEN 0 THEN 'NaN'::float8 WHEN 1 THEN '-Infinity' ELSE g / 7.0 END,
    ('10.0.0.' || g % 9)::inet, ARRAY['a,b', 'c' || g % 2], int4range(g % 5, g % 5 + 3), jsonb_build_object('k', g % 3), decode(lpad(to_hex(g % 4), 4, '0'), 'hex'), ROW(g % 2, 'x, "y"')::app.pair,
    'ab', (g % 8)::bit(3), repeat(md5(g::text), 60), make_interval(mins => g % 60), g % 10 = 0, CASE WHEN g % 2 = 0 THEN '0044-03-15 BC'::date ELSE '-infinity' END, '2024-01-01', 'x'
FROM generate_series(1, 20000) AS g;
ALTER TABLE app."Odd ""Table" DROP COLUMN gone2;
CREATE INDEX ON app."Odd ""Table" ("The ""id");
ANALYZE app."Odd ""Table";
SELECT configure_shards('app."Odd ""Table"', '{"expected_rows_per_day": 0}') \g /dev/null
SQL
odd='app."Odd ""Table"'
columns=('"The ""id"' mood small '"it'"'"'s"' u n f i tags span doc raw pair ch bits long lap b bc one nothing c)
statements=()
for column in "${columns[@]}"; do
    statements+=("SELECT * FROM $odd WHERE $column = \$1" "SELECT * FROM $odd WHERE $column > \$1 AND $column < \$2")
done
declared "${statements[@]}"
same "a proposal is made of all of them" t "$(ask "SELECT count(*) = 1 FROM propose_shards('app.\"Odd \"\"Table\"')")"
odd_id=$(ask "SELECT max(proposal_id) FROM presplit.proposals")
for column in mood small u b "it''s" ch; do
    agrees "hash by column $column: common values fall where they were predicted" \
        "SELECT register_proposal('app.\"Odd \"\"Table\"', 'hash', ARRAY['$column'], '{\"modulus\": 4}')" "$odd"
done

for way in "list tags" "list doc" "list raw" "list i" "list mood" "list u" "list it''s" "range it''s" "range u" "range n" "range f"; do
    agrees "$way: rows are where they were predicted" "SELECT choose_alternative($odd_id, '$odd',
        (SELECT rank FROM explain_proposal($odd_id) WHERE strategy = '${way%% *}' AND shard_key = ARRAY['${way#* }'] AND legal ORDER BY rank LIMIT 1))" "$odd"
done

run <<'SQL'
CREATE TABLE app.sorry (id bigint NOT NULL, nothing timestamptz, before date, never timestamptz, always date, unknown date, long text COLLATE "C");
INSERT INTO app.sorry (id, before, never, always, long)
SELECT g, CASE WHEN g % 2 = 0 THEN '0044-03-15 BC'::date ELSE '-infinity' END, CASE WHEN g % 3 = 0 THEN '2024-01-01'::timestamptz + g * interval '1 hour' ELSE 'infinity' END,
    '2024-01-01', repeat(md5(g::text), 60) FROM generate_series(1, 20000) AS g;
ANALYZE app.sorry (id, nothing, before, never, always, long);
CREATE TABLE app.empty (id bigint NOT NULL, at date);
ANALYZE app.empty;
SQL
statements=()
for column in nothing before never always unknown long; do
    statements+=("SELECT * FROM app.sorry WHERE $column > \$1 AND $column < \$2")
done
declared "${statements[@]}" 'SELECT * FROM app.empty WHERE at > $1'
sorry_id=$(ask "SELECT max(proposal_id) FROM propose_shards('app.sorry')")
told() { # COLUMN
    ask "SELECT substring(reason FROM 'predicates\. (.*)') FROM explain_proposal($sorry_id) WHERE shard_key = ARRAY['$1'] AND strategy = 'range' LIMIT 1"
}
same "values that are all NULL" 'All values of nothing are NULL.' "$(told nothing)"
same "years before the first" 'No value known of before is one that shards can begin at: infinite, NaN, or of no year from 1 to 9999.' "$(told before)"
same "mostly infinite" 'never is NULL, infinite or decades away from all other values in 67 % of the rows: no range of time has them.' "$(told never)"
same "a column that ANALYZE left out" 'There are no statistics of unknown, though of other columns: run ANALYZE app.sorry, with a statistics target above 0.' "$(told unknown)"
same "values that are too long for ANALYZE" 'ANALYZE kept no value of long: its type has no order, or each is longer than 1 kB.' "$(told long)"
empty_id=$(ask "SELECT max(proposal_id) FROM propose_shards('app.empty')")
same "no rows" 'none|There are no rows, and so no statistics of at.' \
    "$(ask "SELECT p.strategy, substring(e.reason FROM 'predicates\. (.*)') FROM presplit.proposals AS p, explain_proposal($empty_id) AS e WHERE p.proposal_id = $empty_id AND e.shard_key = '{at}'")"

# Texts that are equal and not alike hash alike, which only the server knows; a build without ICU has none.
if [[ $(ask "SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i' AND collname = 'und-x-icu')") == t ]]; then
    ask "CREATE COLLATION app.alike (provider = icu, locale = 'und-u-ks-level2', deterministic = false)" >/dev/null
    run <<'SQL'
CREATE TABLE app.alike (id bigint NOT NULL, name text COLLATE app.alike);
INSERT INTO app.alike SELECT g, (ARRAY['Ann', 'ann', 'BOB', 'bob', 'c' || g % 40])[1 + g % 5] FROM generate_series(1, 20000) AS g;
ANALYZE app.alike;
SQL
    declared 'SELECT * FROM app.alike WHERE name = $1'
    alike_id=$(ask "SELECT max(proposal_id) FROM propose_shards('app.alike')")
    alike_id=$(ask "SELECT choose_alternative($alike_id, 'app.alike', (SELECT rank FROM explain_proposal($alike_id) WHERE strategy = 'hash' AND shard_key = '{name}' LIMIT 1))")
    same "hashes under a collation that is not deterministic are not known" t \
        "$(ask "SELECT bool_or(w LIKE 'It is not known which shards the common values of name fall into%') FROM presplit.proposals, unnest(warnings) AS w WHERE proposal_id = $alike_id")"
fi

# Whose rights count ------------------------------------------------------------------------------------------------

run <<'SQL'
CREATE ROLE reader;
CREATE ROLE auditor IN ROLE pg_read_all_data;
GRANT USAGE ON SCHEMA app TO reader;
GRANT CREATE ON DATABASE statistics TO reader;
CREATE TABLE app.secret (id bigint NOT NULL, seen text, unseen text, at date);
INSERT INTO app.secret SELECT g, 'seen ' || g % 5, 'unseen ' || g % 5, '2024-01-01'::date + g % 700 FROM generate_series(1, 20000) AS g;
CREATE TABLE app.rows_secured (id bigint NOT NULL, kind text);
INSERT INTO app.rows_secured SELECT g, 'kind ' || g % 5 FROM generate_series(1, 20000) AS g;
ALTER TABLE app.rows_secured ENABLE ROW LEVEL SECURITY;
ANALYZE app.secret, app.rows_secured;
GRANT SELECT (seen, id) ON app.secret TO reader;
GRANT SELECT ON app.rows_secured TO reader;
SQL
declared 'SELECT * FROM app.secret WHERE seen = $1' 'SELECT * FROM app.secret WHERE unseen = $1' 'SELECT * FROM app.secret WHERE at > $1' \
    "SELECT * FROM app.rows_secured WHERE kind = 'kind 7'"
ask "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO reader, auditor" >/dev/null
mine=$(ask "SELECT max(proposal_id) FROM propose_shards('app.secret')")
lists() { ask "SET ROLE $1; SELECT coalesce(string_agg(shard_key[1], ',' ORDER BY shard_key[1]), '') FROM explain_proposal($2) WHERE strategy = 'list'" | tail -n 1; }
same "who may read all columns gets lists of each" "seen,unseen" "$(lists postgres "$mine")"
as_reader() { psql -qXAt -v ON_ERROR_STOP=1 -c 'SET ROLE reader' -c "SELECT declare_workload('[{\"sql\": \"SELECT * FROM app.secret WHERE seen = \$1\", \"calls_per_second\": 1, \"mean_ms\": 100}, {\"sql\": \"SELECT * FROM app.secret WHERE unseen = \$1\", \"calls_per_second\": 1, \"mean_ms\": 100}, {\"sql\": \"SELECT * FROM app.secret WHERE at > \$1\", \"calls_per_second\": 1, \"mean_ms\": 100}, {\"sql\": \"SELECT * FROM app.rows_secured WHERE kind = \$1\", \"calls_per_second\": 1, \"mean_ms\": 100}]', 'of reader')" -c "$1" 2>&1 | tail -n +2; }
as_reader "SELECT count(*) FROM propose_shards('app.secret', 'of reader')" >/dev/null
theirs=$(ask "SELECT max(proposal_id) FROM presplit.proposals WHERE relation = 'app.secret'")
same "who may read one gets a list of that one" "seen" "$(lists reader "$theirs")"
same "no value of the other is in what is stored" 0 \
    "$(ask "SELECT count(*) FROM presplit.proposal_relations WHERE proposal_id = $theirs AND (content::text LIKE '%unseen 1%' OR shards::text LIKE '%unseen 1%')")"
same "and is told what that takes" t \
    "$(ask "SELECT bool_or(reason LIKE '%This role may not see the statistics of at. That takes SELECT on the column%') FROM explain_proposal($theirs) WHERE shard_key = '{at}'")"
as_reader "SELECT count(*) FROM propose_shards('app.rows_secured', 'of reader')" >/dev/null
secured=$(ask "SELECT max(proposal_id) FROM presplit.proposals WHERE relation = 'app.rows_secured'")
same "row security hides statistics" "0|t" \
    "$(ask "SELECT (SELECT count(*) FROM explain_proposal($secured) WHERE strategy = 'list'), bool_or(w LIKE '%this role may not see them%') FROM presplit.proposals AS p, unnest(p.warnings) AS w WHERE p.proposal_id = $secured")"
same "texts of statements are in no reason and no warning" 0 \
    "$(ask "SELECT count(*) FROM presplit.proposal_relations WHERE content::text ~ 'SELECT \* FROM app' AND (content - 'evidence')::text ~ 'SELECT \* FROM app'")"

# Partitioned tables ------------------------------------------------------------------------------------------------

run <<'SQL'
CREATE TABLE app.parted (id bigint NOT NULL, at timestamptz NOT NULL, state text) PARTITION BY HASH (id);
SELECT format('CREATE TABLE app.parted_%s PARTITION OF app.parted FOR VALUES WITH (MODULUS 4, REMAINDER %s)', n, n) FROM generate_series(0, 3) AS n \gexec
INSERT INTO app.parted SELECT g, '2024-01-01'::timestamptz + g * interval '10 minutes', 's' || g % 4 FROM generate_series(1, 40000) AS g;
ANALYZE app.parted_0, app.parted_1, app.parted_2, app.parted_3;
SQL
declared 'SELECT * FROM app.parted WHERE at >= $1 AND at < $2' 'SELECT * FROM app.parted WHERE state = $1'
same "without statistics of its own it says what makes them" t \
    "$(ask "SELECT bool_or(w LIKE '%autovacuum makes none of a partitioned table as a whole. Run ANALYZE app.parted.') FROM propose_shards('app.parted'), unnest(warnings) AS w")"
ask 'ANALYZE app.parted' >/dev/null
same "order of insertion is that within the partitions" t \
    "$(ask "SELECT (c->'statistics'->>'correlation')::float8 > 0.95 FROM jsonb_path_query(capture_profile('{app.parted}'), '\$.tables[*].columns[*] ? (@.name == \"at\")') AS c")"
same "and its lists and ranges are found again" "list state,range at" \
    "$(ask "SELECT string_agg(DISTINCT strategy || ' ' || shard_key[1], ',' ORDER BY strategy || ' ' || shard_key[1]) FROM explain_proposal((SELECT max(proposal_id) FROM propose_shards('app.parted'))) WHERE strategy IN ('list', 'range')")"

log_is_clean statistics
exit "$CHECKS_FAILED"
