#!/usr/bin/env bash
# No constant that a statement carried is in a profile, whatever pg_stat_statements made of it: utility statements,
# several statements in one message, functions, cursors, comments, strings that are left in a text.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start secrets "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" \
    "pg_stat_statements.track = all" "pg_stat_statements.track_utility = on"
cluster_use secrets
tmp=$(cluster_tmp secrets)
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit'

# Each line is one message; a vertical tab stands for a line feed. psql's own -c sends it as it is, comments too.
# Most are one client, for speed: libpq's simple protocol is all that is needed.
options=()
while IFS= read -r line; do
    [[ $line == --* && $line != *$'\v'* ]] && continue
    options+=(-c "${line//$'\v'/$'\n'}")
done <"$PRESPLIT_ROOT/tests/fixtures/secrets.sql"
psql -qXAt -d postgres "${options[@]}" >/dev/null 2>&1 || true
seen() { psql -qXAt -d postgres -c "SELECT count(*) > $1 FROM pg_stat_statements WHERE query LIKE '%sEcrEt%'"; }
same "pg_stat_statements has many of them" t "$(seen 20)"

# A statement that is counted anew after a reset is not normalised any more.
psql -qXAt -d postgres >/dev/null <<'SQL'
CREATE FUNCTION public.cached(a int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE r int;
BEGIN
  SELECT id INTO r FROM public.acc AS cached
  WHERE pw = 'sEcrEt-K1' AND "id" = a AND pw <> E'sEcrEt-K2\'x' AND pw <> "pw" || 'it''s' /* 'sEcrEt-K3' */;
  RETURN r;
END $$;
SELECT public.cached(1);
SELECT pg_stat_statements_reset(0, 0, queryid) FROM pg_stat_statements WHERE query LIKE '%AS cached%' AND query LIKE 'SELECT id%';
SELECT public.cached(1);
SQL
same "one is there as it was written" t "$(psql -qXAt -d postgres -c \
    "SELECT count(*) = 1 FROM pg_stat_statements WHERE query LIKE 'SELECT id%AS cached%sEcrEt-K1%'")"

psql -qXAt -v ON_ERROR_STOP=1 -d postgres -f "$PRESPLIT_ROOT/sql/capture_profile.sql" >"$tmp/script" 2>"$tmp/said"
psql -qXAt -v ON_ERROR_STOP=1 -d postgres -c "SELECT jsonb_pretty(capture_profile())" >"$tmp/function"
statements() { psql -qXAt -d postgres -c "SELECT jsonb_path_query(capture_profile(), '\$.workload.statements[*].query') #>> '{}'"; }
# In views and partition keys constants are part of the definition: those say so.
for file in script function; do
    same "no constant in the profile of the $file" '' "$(grep -oE 'sEcrEt.{0,30}' "$tmp/$file" | grep -v in-view | head -n 5)"
done
same "what was prepared before is there without its strings" \
    'SELECT id FROM public.acc AS cached WHERE pw = $1 AND "id" = a AND pw <> $2 AND pw <> "pw" || $3' \
    "$(statements | tr -s ' \n' ' ' | grep -oE 'SELECT id FROM public.acc AS cached [^|]*\|\| \$3')"
same "a comment is a blank, also between words" 'SELECT id FROM public.acc WHERE id = $1' \
    "$(statements | tr -s ' \n' '  ' | grep -oE 'SELECT id FROM public.acc WHERE id = \$1' | head -n 1)"
same "what is left out is counted" t "$(psql -qXAt -d postgres -c \
    "SELECT capture_profile()->'workload'->>'note' LIKE '%statements are left out because their text has nested comments or tagged quotes%'")"
succeeds "all that is there is read" psql -qXAt -v ON_ERROR_STOP=1 -d postgres -c 'SELECT count(*) FROM analyze_workload()'
exit "$CHECKS_FAILED"
