#!/usr/bin/env bash
# Releases: the frozen script of every release installs, updates to the present version, and is then the same as a
# fresh installation: objects, bodies, privileges, comments. A dump of a database with the extension restores.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start release "$version" "shared_preload_libraries = 'pg_presplit'"
cluster_use release
tmp=$(cluster_tmp release)
present=$(sed -nE 's/^version = "(.*)"/\1/p' "$PRESPLIT_ROOT/Cargo.toml" | head -n 1)
folder=$("$(pg_config_of "$version")" --sharedir)/extension
as_owner() { if [[ -w $folder ]]; then "$@"; else sudo "$@"; fi; }

surface() { psql -qAtX -v ON_ERROR_STOP=1 -d "$1" -f "$PRESPLIT_ROOT/tests/lib/extension_surface.sql"; }

psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'CREATE DATABASE fresh'
psql -qX -v ON_ERROR_STOP=1 -d fresh -c 'CREATE EXTENSION pg_presplit'
surface fresh >"$tmp/fresh"
same "a fresh installation has the version of the sources" "$present" \
    "$(psql -qAtX -d fresh -c "SELECT extversion FROM pg_extension WHERE extname = 'pg_presplit'")"

# The comparison must see what it is for.
for change in "COMMENT ON FUNCTION capture_profile(regclass[]) IS 'other'" 'GRANT EXECUTE ON FUNCTION disarm(text) TO PUBLIC' \
    'ALTER TABLE presplit.size_history ALTER rows DROP NOT NULL' 'REVOKE SELECT ON presplit.shards FROM PUBLIC' \
    'ALTER EVENT TRIGGER presplit_never_silently_plain DISABLE' 'CREATE OR REPLACE VIEW presplit.sharded AS SELECT relation, proposal_id, created_at FROM presplit.sharded_tables'; do
    psql -qX -d postgres -c 'CREATE DATABASE changed TEMPLATE fresh'
    psql -qX -v ON_ERROR_STOP=1 -d changed -c "$change"
    if surface changed | cmp -s - "$tmp/fresh"; then not_ok "noticed: $change"; else ok "noticed: $change"; fi
    psql -qX -d postgres -c 'DROP DATABASE changed'
done

frozen=("$PRESPLIT_ROOT"/sql/install/pg_presplit--*.sql)
if [[ -e $PRESPLIT_ROOT/sql/install/pg_presplit--$present.sql ]]; then
    ok "the present version has its frozen script"
else
    not_ok "the present version has its frozen script" "run: make freeze"
fi
for script in "${frozen[@]}"; do
    [[ -e $script ]] || continue
    release=${script##*--}
    release=${release%.sql}
    name=$release
    # The frozen script of the present version is installed beside the generated one, under another name.
    [[ $release != "$present" ]] || name=$release.frozen
    as_owner cp "$script" "$folder/pg_presplit--$name.sql"
    as_owner chmod a+r "$folder/pg_presplit--$name.sql"
    database=from_${release//./_}
    psql -qX -d postgres -c "CREATE DATABASE $database"
    succeeds "release $release installs" psql -qX -v ON_ERROR_STOP=1 -d "$database" -c "CREATE EXTENSION pg_presplit VERSION '$name'"
    if [[ $release != "$present" ]]; then
        succeeds "release $release updates" psql -qX -v ON_ERROR_STOP=1 -d "$database" -c 'ALTER EXTENSION pg_presplit UPDATE'
    fi
    as_owner rm -f "$folder/pg_presplit--$name.sql"
    if surface "$database" | diff - "$tmp/fresh" >"$tmp/differences"; then
        ok "release $release is then the same as a fresh installation"
    else
        not_ok "release $release is then the same as a fresh installation" "$(head -n 20 "$tmp/differences")"
    fi
done

# A database with the extension, its facts and a sharded table, through a dump.
psql -qX -v ON_ERROR_STOP=1 -d fresh -v n=1 >/dev/null <<'SQL'
CREATE TABLE t (id int PRIMARY KEY, v text);
SELECT create_shards(register_proposal('t', 'hash', '{id}', '{"modulus": 4}'));
INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 1000) AS g;
SELECT configure_shards('t', '{"expected_rows_per_day": 1000}');
SELECT import_profile(capture_profile());
SQL
# What a role wrote that the other cluster does not have is kept too.
psql -qX -d postgres -c 'CREATE ROLE gone SUPERUSER LOGIN'
psql -qX -v ON_ERROR_STOP=1 -U gone -d fresh -c "SELECT import_profile(capture_profile(), 'of a role that is gone')" >/dev/null
pg_dump -Fc -f "$tmp/fresh.dump" fresh
psql -qX -v ON_ERROR_STOP=1 -d postgres -c 'DROP ROLE gone'
psql -qX -d postgres -c 'CREATE DATABASE again'
succeeds "a database with the extension restores" pg_restore --exit-on-error -d again "$tmp/fresh.dump"
facts="SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM presplit.shards), (SELECT string_agg(state, ',') FROM presplit.proposals),
       (SELECT count(*) FROM presplit.stored_profiles), (SELECT settings FROM presplit.table_settings)"
same "with its rows, shards, proposals, profiles and settings" "$(psql -qAtX -d fresh -c "$facts")" "$(psql -qAtX -d again -c "$facts")"
same "and goes on numbering proposals" "2" "$(psql -qAtX -d again -c \
    "SELECT register_proposal('t2', 'hash', '{id}', '{\"modulus\": 2}') FROM (SELECT 1) AS x" 2>/dev/null \
    || psql -qAtX -d again -c "CREATE TABLE t2 (id int)" -c "SELECT register_proposal('t2', 'hash', '{id}', '{\"modulus\": 2}')")"

succeeds "DROP EXTENSION" psql -qX -v ON_ERROR_STOP=1 -d again -c 'DROP EXTENSION pg_presplit'
same "leaves an ordinary partitioned table with its rows" "p|1000|4" "$(psql -qAtX -d again -c \
    "SELECT c.relkind, (SELECT count(*) FROM t), (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid) FROM pg_class AS c WHERE relname = 't'")"
same "and no event trigger" "0" "$(psql -qAtX -d again -c 'SELECT count(*) FROM pg_event_trigger')"

log_is_clean release "$PRESPLIT_ROOT/tests/server/allow/release"
exit "$CHECKS_FAILED"
