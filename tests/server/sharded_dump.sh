#!/usr/bin/env bash
# The sharded database itself: dumped and restored with the extension and without it, upgraded with pg_upgrade; and
# pre_restore.sql, which prepares a restore from one psql call.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1
run() { psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
# What an upgrade starts from.
old=$version
if [[ $version == 18 && -e $("$PG_CONFIG_15" --pkglibdir)/pg_presplit.so ]]; then old=15; fi
cluster_start sharded "$old" "shared_preload_libraries = 'pg_presplit'" "presplit.databases = 'none'"
cluster_use sharded
tmp=$(cluster_tmp sharded)
run -d postgres -c 'CREATE ROLE shop_clerk' -c 'CREATE ROLE keeper LOGIN' -c 'CREATE DATABASE source' -c 'CREATE DATABASE target'
run -d source -f "$PRESPLIT_ROOT/tests/fixtures/shop.sql"
pg_dump -Fc -f "$tmp/shop.dump" source
chmod -R a+rX "$tmp"

# pre_restore.sql ------------------------------------------------------------------------------------------------
# What is proposed for so small a shop would be nothing.
pre_restore() { PGOPTIONS='-c presplit.predicted_data_volume=4TB' psql -X -d target "$@" -f "$PRESPLIT_ROOT/sql/pre_restore.sql"; }
fails_with "pre_restore.sql wants the extension" 'pg_presplit is not installed' pre_restore -v archive="$tmp/shop.dump"
run -d target -c 'CREATE EXTENSION pg_presplit'
fails_with "and an archive" 'variable "archive" is not set' pre_restore
fails_with "that is there" 'could not' pre_restore -v archive="$tmp/none"
fails_with "and a policy that exists" 'presplit.unique_policy' pre_restore -v archive="$tmp/shop.dump" -v policy=lax
run -d target -c 'CREATE SCHEMA app' -c 'CREATE VIEW app.orders AS SELECT 1'
fails_with "what stands in the way stops it" 'cannot be restored in shards' \
    pre_restore -v archive="$tmp/shop.dump" -v tables=app.orders
same "and nothing was changed" "0|0" "$(run -d target -c 'SELECT (SELECT count(*) FROM presplit.armed), (SELECT count(*) FROM presplit.proposals)')"
run -d target -c 'DROP SCHEMA app CASCADE'
succeeds "it arms what it proposes" pre_restore -v archive="$tmp/shop.dump" -v policy=extend -v valid_for='2 hours'
same "some of it" t "$(run -d target -c 'SELECT count(*) > 0 FROM presplit.armed')"
same "by the policy that was named" "extend" "$(run -d target -c "SELECT DISTINCT settings ->> 'unique_policy' FROM presplit.stored_proposals")"
run -d target -c "SELECT count(disarm(format('%I.%I', schema_name, table_name))) FROM presplit.armed" >/dev/null

# By hand, so that there are shards whatever is proposed for so small a shop.
run -d target >/dev/null <<'SQL'
SELECT count(*) FROM create_shards(register_proposal('app.orders', 'range', '{created_at}', '{"interval": "1 month", "from": "2024-01-01", "to": "2025-01-01"}'));
SELECT count(*) FROM create_shards(register_proposal('app.carts', 'hash', '{id}', '{"modulus": 4}'));
SQL
succeeds "the shop is restored in shards" pg_restore -d target "$tmp/shop.dump"
about() { # DATABASE: rows and shards
    run -d "$1" <<'SQL'
SELECT 'orders', count(*), sum(hashtextextended(t::text, 0)::numeric), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'app.orders'::regclass) FROM app.orders AS t
UNION ALL SELECT 'carts', count(*), sum(hashtextextended(t::text, 0)::numeric), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'app.carts'::regclass) FROM app.carts AS t
UNION ALL SELECT 'wrong', count(*), NULL, NULL FROM pg_index WHERE NOT indisvalid
SQL
}
expected=$(about target)

# Its own dump ----------------------------------------------------------------------------------------------------
pg_dump -Fc -f "$tmp/sharded.dump" target
run -d postgres -c 'CREATE DATABASE again' -c 'CREATE DATABASE without' -c 'ALTER DATABASE without OWNER TO keeper'
succeeds "a dump of the shards is restored with the extension" pg_restore -j2 -d again "$tmp/sharded.dump"
same "the same" "$expected" "$(about again)"
same "and nothing wrong with it" "" "$(run -d again -c "SELECT object, problem FROM check_shards() WHERE severity = 'error'")"
same "the proposals came along" "$(run -d target -c 'SELECT count(*) FROM presplit.proposals')" "$(run -d again -c 'SELECT count(*) FROM presplit.proposals')"
# Who may not create extensions has none; the schema public is the owner's.
pg_restore --no-owner --no-privileges -U keeper -d without "$tmp/sharded.dump" >"$tmp/without.out" 2>&1 || true
same "without the extension the only errors are about it" "" \
    "$(grep '^Command was: ' "$tmp/without.out" | grep -vE 'EXTENSION|presplit' | head -n 3)"
same "and everything else is there" "$expected" "$(about without)"

# pg_upgrade -------------------------------------------------------------------------------------------------------
if [[ $old != "$version" ]]; then
    run -d postgres -c 'DROP DATABASE again' -c 'DROP DATABASE without' -c 'DROP DATABASE source'
    # Some builds of 15 keep versions of columns as options, which 18 does not know.
    run -d target -c "UPDATE pg_attribute SET attoptions = nullif(ARRAY(SELECT o FROM unnest(attoptions) AS o WHERE o NOT LIKE 'pg_attver=%'), '{}')
                      WHERE attoptions IS NOT NULL"
    cluster_stop sharded
    # A cluster of the new version, which is only made here.
    bin=$("$(pg_config_of "$version")" --bindir)
    old_bin=$(cluster_bin sharded)
    dir=${CLUSTER_DIR[sharded]}
    as_cluster_user "$bin/initdb" -D "$dir/new" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-data-checksums >"$dir/initdb.log" 2>&1
    echo "shared_preload_libraries = 'pg_presplit'" >>"$dir/new/postgresql.conf"
    # What went wrong is at the end of its output, and of the log that it leaves.
    upgrade() {
        as_cluster_user bash -c "cd '$dir/tmp' && '$bin/pg_upgrade' -b '$old_bin' -B '$bin' -d '$dir/data' -D '$dir/new' -U postgres -s '$dir' -N" >"$dir/tmp/upgrade.out" 2>&1 \
            || { tail -n 4 "$dir"/new/pg_upgrade_output.d/*/log/*_dump_*.log "$dir/tmp/upgrade.out" | tail -c 590; return 1; }
    }
    chown "$CLUSTER_USER" "$dir/tmp"
    succeeds "pg_upgrade from $old to $version" upgrade
    mv "$dir/data" "$dir/old"
    mv "$dir/new" "$dir/data"
    {
        echo "listen_addresses = ''"
        echo "unix_socket_directories = '$dir'"
        echo "port = 5432"
        echo "fsync = off"
        echo "presplit.databases = 'none'"
        echo "timezone = 'UTC'"
    } >>"$dir/data/postgresql.conf"
    CLUSTER_BIN[sharded]=$bin
    cluster_use sharded
    cluster_up sharded
    same "the same after the upgrade" "$expected" "$(about target)"
    same "and nothing wrong after it" "" "$(run -d target -c "SELECT object, problem FROM check_shards() WHERE severity = 'error'")"
    succeeds "and the restore can be repeated" pg_restore --clean --if-exists -d target "$tmp/shop.dump"
    same "with the same content" "$expected" "$(about target)"
fi

exit "$CHECKS_FAILED"
