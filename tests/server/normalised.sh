#!/usr/bin/env bash
# Texts as pg_stat_statements normalises them are understood, every one of a list that names the server's syntax: what
# the grammar no longer takes is repaired, types that the text no longer tells are found.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start normalised "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'"
cluster_use normalised
psql -qX -d postgres -c 'CREATE DATABASE normalised'
export PGDATABASE=normalised
psql -qX -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit' \
    -c 'CREATE TABLE norm (id int PRIMARY KEY, at timestamptz, note text, data jsonb)' \
    -c "INSERT INTO norm SELECT g, '2024-01-01'::timestamptz + g * interval '1 hour', 'n' || g FROM generate_series(1, 100) AS g" \
    -c 'CREATE SEQUENCE norm_seq' -c 'SELECT pg_stat_statements_reset()' >/dev/null
# A server built without libxml refuses what is about XML; that is all that may fail.
psql -qXAt <"$PRESPLIT_ROOT/tests/fixtures/normalised.sql" >/dev/null 2>"$(cluster_tmp normalised)/errors" || true
same "the statements run" "" "$(grep -E '^ERROR' "$(cluster_tmp normalised)/errors" | grep -v 'unsupported XML feature' || true)"

# Only what was read here: captured as a profile, without its tables, then analysed where the tables are and,
# with its tables, where they are not.
psql -qXAt -v ON_ERROR_STOP=1 -c 'SELECT capture_profile()' >"$(cluster_tmp normalised)/profile.json"
psql -qX -d postgres -c 'CREATE DATABASE elsewhere'
psql -qX -v ON_ERROR_STOP=1 -d elsewhere -c 'CREATE EXTENSION pg_presplit'
succeeds "the profile travels" bash -c "psql -qX -v ON_ERROR_STOP=1 -d elsewhere -f $PRESPLIT_ROOT/sql/import_profile.sql <$(cluster_tmp normalised)/profile.json"
refused="SELECT format('%s: %s', reason, query) FROM presplit.statements WHERE NOT analyzed AND query !~ 'pg_stat_statements_reset'"
same "every statement is understood where its tables are" "" "$(psql -qXAt -c "$refused")"
same "and where they are not" "" "$(psql -qXAt -d elsewhere -c "$refused")"
count=$(psql -qXAt -d elsewhere -c "SELECT statements FROM workload_coverage()")
if ((count > 40)); then ok "of more than 40 statements"; else not_ok "of more than 40 statements" "$count"; fi

log_is_clean normalised "$PRESPLIT_ROOT/tests/server/allow/normalised"
exit "$CHECKS_FAILED"
