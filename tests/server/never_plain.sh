#!/usr/bin/env bash
# Never silently plain: without the library nothing is armed, and what was armed is refused rather than restored whole.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start plain "$version"
cluster_use plain
tmp=$(cluster_tmp plain)
psql -qX -d postgres -c 'CREATE DATABASE source' -c 'CREATE DATABASE "Tar get"'
psql -qX -v ON_ERROR_STOP=1 -d source -c 'CREATE TABLE t (id int PRIMARY KEY, v text)' \
    -c "INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 1000) AS g"
pg_dump -Fc -f "$tmp/t.dump" source
psql -qX -v ON_ERROR_STOP=1 -d "Tar get" -c 'CREATE EXTENSION pg_presplit'
psql -qXAt -d source -f "$PRESPLIT_ROOT/sql/capture_profile.sql" 2>/dev/null >"$tmp/p.json"
psql -qX -v ON_ERROR_STOP=1 -d "Tar get" -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/p.json" >/dev/null
proposal=$(psql -qAtX -d "Tar get" -c "SELECT register_proposal('t', 'hash', '{id}', '{\"modulus\": 4}')")

fails_with "arming is refused while new sessions do not load the library" \
    'ALTER DATABASE "Tar get" SET session_preload_libraries' \
    psql -qX -v ON_ERROR_STOP=1 -d "Tar get" -c "SELECT create_shards($proposal)"
same "nothing is armed after the refusal" "0" "$(psql -qAtX -d "Tar get" -c 'SELECT count(*) FROM presplit.armed')"

psql -qX -d postgres -c "ALTER DATABASE \"Tar get\" SET session_preload_libraries = 'pg_presplit'"
succeeds "arming after ALTER DATABASE" psql -qX -v ON_ERROR_STOP=1 -d "Tar get" -c "SELECT create_shards($proposal)"

psql -qX -d postgres -c 'ALTER DATABASE "Tar get" RESET session_preload_libraries'
fails_with "a restore without the library is refused" 'armed for sharding but would be created whole' \
    pg_restore --exit-on-error -d "Tar get" "$tmp/t.dump"
# Of a parallel restore, whose connections are several, none makes it either, and no row moves.
fails_with "so is one with -j2" 'armed for sharding but would be created whole' pg_restore -j2 -d "Tar get" "$tmp/t.dump"
same "and left no table" "0" "$(psql -qAtX -d "Tar get" -c "SELECT count(*) FROM pg_class WHERE relname = 't'")"

psql -qX -d postgres -c "ALTER DATABASE \"Tar get\" SET session_preload_libraries = 'pg_stat_statements', '\$libdir/pg_presplit'"
fails_with "a restore with the hook switched off is refused" 'armed for sharding but would be created whole' \
    env PGOPTIONS='-c presplit.restore_hook=off' pg_restore --exit-on-error -d "Tar get" "$tmp/t.dump"

psql -qX -d postgres -c "CREATE ROLE other SUPERUSER LOGIN" -c "ALTER ROLE other SET session_preload_libraries = 'pg_stat_statements'"
same "a role that does not load the library is named" "1" "$(psql -qAtX -d "Tar get" -c \
    "SELECT count(*) FROM check_restore($proposal) WHERE severity = 'warning' AND object = 'role other'")"
fails_with "and refused" 'armed for sharding but would be created whole' \
    pg_restore --exit-on-error -U other -d "Tar get" "$tmp/t.dump"

# A dump that has the extension itself would drop it first, and with it what is armed.
psql -qX -v ON_ERROR_STOP=1 -d source -c 'CREATE EXTENSION pg_presplit'
pg_dump -Fc -f "$tmp/own.dump" source
psql -qX -d source -c 'DROP EXTENSION pg_presplit'
for how in "with the library:-U postgres" "without the library:-U other"; do
    fails_with "--clean of a dump that has the extension, ${how%%:*}" 'cannot drop extension "pg_presplit": table "public.t" is armed' \
        pg_restore ${how#*:} --clean --if-exists --exit-on-error -d "Tar get" "$tmp/own.dump"
done
fails_with "also where the statement is one of a block" 'cannot drop extension "pg_presplit"' \
    psql -qX -U other -v ON_ERROR_STOP=1 -d "Tar get" -c "DO \$\$ BEGIN EXECUTE 'DROP EXTENSION IF EXISTS pg_presplit CASCADE'; END \$\$"
psql -qX -v ON_ERROR_STOP=1 -d "Tar get" -c 'CREATE EXTENSION pg_stat_statements'
succeeds "another extension may be dropped" psql -qX -U other -v ON_ERROR_STOP=1 -d "Tar get" -c 'DROP EXTENSION pg_stat_statements'
same "the arming is there" "public.t" "$(psql -qAtX -d "Tar get" -c "SELECT schema_name || '.' || table_name FROM presplit.armed")"

succeeds "with the library it goes through" pg_restore -d "Tar get" "$tmp/t.dump"
same "in shards" "4" "$(psql -qAtX -d "Tar get" -c "SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass")"
same "with all rows" "1000" "$(psql -qAtX -d "Tar get" -c 'SELECT count(*) FROM t')"
succeeds "of a table in its shards nothing is forgotten" \
    psql -qX -U other -v ON_ERROR_STOP=1 -d "Tar get" -c BEGIN -c 'DROP EXTENSION pg_presplit' -c ROLLBACK

# Another database of the same cluster, without the extension: untouched.
psql -qX -d postgres -c 'CREATE DATABASE elsewhere' \
    -c "ALTER DATABASE elsewhere SET session_preload_libraries = 'pg_presplit'"
succeeds "a database without the extension" pg_restore -d elsewhere "$tmp/t.dump"
same "restores whole" "r" "$(psql -qAtX -d elsewhere -c "SELECT relkind FROM pg_class WHERE relname = 't'")"

log_is_clean plain "$PRESPLIT_ROOT/tests/server/allow/never_plain"
exit "$CHECKS_FAILED"
