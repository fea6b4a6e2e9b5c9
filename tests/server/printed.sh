#!/usr/bin/env bash
# What proposal_ddl() prints runs as it is printed, with psql and ON_ERROR_STOP, whatever tables, columns, keys and
# types are called: of a table that is here, and of one that only a profile knows.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start printed "$version" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'" "autovacuum = off"
cluster_use printed
tmp=$(cluster_tmp printed)
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

# Each name is that of a schema, a table, its columns, keys, indexes, type and collation.
cat >"$tmp/names.sql" <<'SQL'
CREATE TABLE names (number int GENERATED ALWAYS AS IDENTITY, name text);
INSERT INTO names (name) VALUES ('Capital "quoted"'), ('select'), ('日本語 表'), (E'new\nline'), (E'back\\slash'), ('$do$'), ('$1'),
    (' lead and trail '), ('-- a comment'), ('/* another */'), ('; DROP TABLE names; --'), ('it''s'), ('a.b'), ('%I %s'),
    (repeat('ü', 31)), ('NULL'), ('default'), (E'tab\tand\rreturn'), ('"'), ('{x}');
CREATE FUNCTION make(name text) RETURNS void LANGUAGE plpgsql AS $make$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', name);
    EXECUTE format('CREATE TYPE %I.%I AS ENUM (%L, ''other'')', name, left(name, 20) || '~', name);
    EXECUTE format('CREATE COLLATION %I.%I (locale = ''C'')', name, name);
    EXECUTE format('CREATE TABLE %I.%I (%I int PRIMARY KEY)', name, name || '!', name);
    EXECUTE format('CREATE TABLE %1$I.%1$I (%1$I bigint NOT NULL, at timestamptz NOT NULL, kind %1$I.%2$I, %3$I text COLLATE %1$I.%1$I DEFAULT %4$L,
        other int, CONSTRAINT %5$I PRIMARY KEY (%1$I, at), CHECK (%3$I <> %4$L))', name, left(name, 20) || '~', left(name, 20) || '?', name, left(name, 20) || '=');
    EXECUTE format('CREATE INDEX %I ON %I.%I (%I)', left(name, 20) || '#', name, name, left(name, 20) || '?');
    EXECUTE format('CREATE UNIQUE INDEX ON %1$I.%1$I (%1$I, at, other)', name);
    EXECUTE format('ALTER TABLE %1$I.%1$I ADD CONSTRAINT %2$I FOREIGN KEY (other) REFERENCES %1$I.%3$I', name, left(name, 20) || '>', name || '!');
    EXECUTE format('COMMENT ON TABLE %1$I.%1$I IS %2$L', name, name);
    EXECUTE format('COMMENT ON COLUMN %1$I.%1$I.%1$I IS %2$L', name, name);
END
$make$;
SQL
made='SELECT make(name) FROM names ORDER BY number'
# Where the partitions of a table are: how many, on how many levels, by what.
shape="SELECT n.number, p.partstrat, count(*) FILTER (WHERE t.isleaf), max(t.level)
       FROM names AS n LEFT JOIN pg_class AS c ON c.relname = n.name AND c.relnamespace = to_regnamespace(quote_ident(n.name))
       LEFT JOIN pg_partitioned_table AS p ON p.partrelid = c.oid LEFT JOIN LATERAL pg_partition_tree(c.oid) AS t ON true
       GROUP BY 1, 2 ORDER BY 1"
# Each form of bounds, in turn.
registered="SELECT n.number, register_proposal(format('%I.%I', name, name), f.strategy,
        ARRAY(SELECT CASE k WHEN 'id' THEN name WHEN 'text' THEN left(name, 20) || '?' ELSE k END FROM unnest(f.key) AS k),
        replace(f.bounds, '@', to_jsonb(name)::text)::jsonb)
    FROM names AS n JOIN (VALUES
        (0, 'hash', '{id}'::text[], '{\"modulus\": 3}'),
        (1, 'range', '{at}', '{\"interval\": \"1 month\", \"from\": \"2026-01-01\", \"to\": \"2026-03-01\"}'),
        (2, 'list', '{text}', '{\"lists\": [[@, null], [\"b\"]]}'),
        (3, 'range', '{text}', '{\"split_points\": [@]}'),
        (4, 'list', '{kind}', '{\"lists\": [[@]]}'),
        (5, 'range_hash', '{at,id}', '{\"interval\": \"1 month\", \"from\": \"2026-01-01\", \"to\": \"2026-03-01\", \"modulus\": 2}'),
        (6, 'list_hash', '{text}', '{\"lists\": [[@]], \"sub\": [{\"of\": 0, \"shard_key\": [\"other\"], \"modulus\": 2}]}'))
        AS f (at, strategy, key, bounds) ON f.at = (n.number + :turn) % 7"

# DATABASE TURN: registers, prints, and runs what was printed, each table by itself.
printed() {
    local number id
    run -d "$1" -v turn="$2" -F ' ' <<<"SET presplit.unique_policy = 'per_shard'; $registered;" >"$tmp/ids"
    while read -r number id; do
        run -d "$1" -c "SELECT proposal_ddl($id)" >"$tmp/printed.sql"
        run -d "$1" -f "$tmp/printed.sql" >"$tmp/out" 2>&1 || echo "$number: $(grep -m 2 -E 'ERROR|DETAIL' "$tmp/out" | tr '\n' ' ')"
        run -d "$1" -c "SELECT proposal_ddl($id)" | grep -v '^-- Table ' | sed "s/^/$number again: /" | head -n 1
    done <"$tmp/ids"
}

for turn in 0; do
    run -d postgres -c "CREATE DATABASE here_$turn" -c "CREATE DATABASE there_$turn"
    run -d "here_$turn" -c 'CREATE EXTENSION pg_presplit' -f "$tmp/names.sql" -c "$made" >/dev/null
    run -d "here_$turn" -c 'SELECT capture_profile()' >"$tmp/profile.json"
    same "what is printed of tables that are here runs, forms $turn" '' "$(printed "here_$turn" "$turn")"
    # A table of a profile needs its types, its collation, and where it points.
    run -d "there_$turn" -c 'CREATE EXTENSION pg_presplit' -f "$tmp/names.sql" -c "$made" -c "SET client_min_messages = error" \
        -c "DO \$\$ BEGIN EXECUTE (SELECT string_agg(format('DROP TABLE %1\$I.%1\$I', name), ';') FROM names); END \$\$" >/dev/null
    run -d "there_$turn" -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/profile.json" >/dev/null
    same "and of tables that a profile knows, forms $turn" '' "$(printed "there_$turn" "$turn")"
    same "both are divided alike, forms $turn" "$(run -d "here_$turn" -c "$shape")" "$(run -d "there_$turn" -c "$shape")"
    same "and all are, forms $turn" 20 "$(run -d "there_$turn" -c "SELECT count(*) FROM ($shape) AS s WHERE partstrat IS NOT NULL")"
done
log_is_clean printed
cluster_stop_all
exit "$CHECKS_FAILED"
