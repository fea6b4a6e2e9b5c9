# shellcheck shell=bash
# Twins for tests/server: the same sharded table in two schemas, one of which is loaded with the hook and the other, root,
# by PostgreSQL alone. Sourced after cluster.sh and with cluster_use; $tmp is a folder that the server can read.
#
#   TWIN=batch                                             the schema that is loaded with the hook
#   sharded NAME COLUMNS STRATEGY KEY BOUNDS [SQL]         makes both; further SQL runs in both schemas
#   compare_twins TABLE                                    runs the script on standard input in both schemas; sets
#       $here, $there     all that psql printed, with every field of an error, without the names of the schemas
#       $note             how the COPY of the first went, without the number of rows
#       $differences      rows that only one of them has

run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }

sharded() {
    local schema
    for schema in "$TWIN" root; do
        cat <<SQL
SET search_path = $schema, public;
CREATE TABLE $1 ($2);
SELECT register_proposal('$schema.$1', '$3', '$4', '$5') AS made \gset
DROP TABLE $1;
SELECT count(*) FROM create_shards(:made);
CREATE TABLE $1 ($2);
${6:-};
SQL
    done | run >/dev/null
}

compare_twins() {
    local table=$1 schema
    cat >"$tmp/script.sql"
    for schema in "$TWIN" root; do
        {
            echo "SET search_path = $schema, public; SET presplit.restore_hook = $([[ $schema == root ]] && echo off || echo on); SET timezone = 'UTC';"
            cat "$tmp/script.sql"
        } >"$tmp/$schema.sql"
    done
    # Each script in a session of its own; what it leaves unfinished ends with its file.
    psql -AtX >"$tmp/both" 2>&1 <<SQL || true
\set QUIET on
SELECT count(*) FROM presplit.restore_report WHERE relation = '$TWIN.$table' AND statement_kind = 'COPY' \gset before_
\set VERBOSITY verbose
\set SHOW_CONTEXT always
\set QUIET off
\i $tmp/$TWIN.sql
\echo @@@@
\c
\echo @@@@
\i $tmp/root.sql
\echo @@@@
\set QUIET on
\set VERBOSITY terse
\c
SET search_path = pg_catalog;
SELECT CASE WHEN count(*) = :before_count THEN 'not in the report' ELSE
    (array_agg(regexp_replace(note, '^[0-9]+ rows ', '') ORDER BY at DESC))[1] END
FROM presplit.restore_report WHERE relation = '$TWIN.$table' AND statement_kind = 'COPY';
\echo @@@@
WITH a AS (SELECT replace(tableoid::regclass::text, '$TWIN.', ''), x::text AS r FROM $TWIN.$table AS x),
     b AS (SELECT replace(tableoid::regclass::text, 'root.', ''), x::text AS r FROM root.$table AS x)
(SELECT '<', * FROM (TABLE b EXCEPT ALL TABLE a) AS s LIMIT 5) UNION ALL (SELECT '>', * FROM (TABLE a EXCEPT ALL TABLE b) AS s LIMIT 5);
\echo @@@@
SQL
    local said
    said=$(sed -E "s/\b($TWIN|root)\./SCHEMA./g; s/^(SCHEMA NAME:  )($TWIN|root)$/\1SCHEMA/; s/^psql:[^:]*:[0-9]+: //; /^LOCATION:/d; /^SET$/d" "$tmp/both")
    said=$'\n'$said
    # shellcheck disable=SC2034 # for the caller
    IFS=$'\x01' read -r -d '' here said there note differences said <<<"${said//$'\n'@@@@/$'\x01'}" || true
    note=${note#$'\n'}
    differences=${differences#$'\n'}
    if [[ $(grep -cxF @@@@ "$tmp/both") != 5 ]]; then
        here="the script did not come to its end: $(cat "$tmp/both")"
    fi
}
