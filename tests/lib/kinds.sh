# shellcheck shell=bash
# What tests/fixtures/kinds.sql needs, how its tables are sharded, and how two copies of it are compared.
#
#   kinds_cluster SPACE              the roles and the tablespace; SPACE is its folder, '' for one in place
#   kinds_tables VERSION             the sharded tables as an array, for a server of that version and fixtures of its own
#   kinds_profile DATABASE          facts that kinds_arm wants
#   kinds_arm DATABASE PROFILE TABLES    arms those of TABLES in DATABASE by a file of captured facts
#   kinds_describe DATABASE VERSION TABLES   what is there, as tests/lib/compare_catalog.sql says it

KINDS_LONG=app.a234567890b234567890c234567890d234567890e234567890f234567890abc
# shellcheck disable=SC2016
KINDS_ODD='"Odd Schema"."Or.der'"'"'s ""x"'

kinds_cluster() { # SPACE
    psql -qXAt -v ON_ERROR_STOP=1 -d postgres -c 'CREATE ROLE kinds_owner' -c 'CREATE ROLE kinds_home' -c 'CREATE ROLE kinds_writer IN ROLE kinds_home' \
        -c 'CREATE ROLE kinds_reader' -c 'CREATE ROLE kinds_super SUPERUSER' -c "CREATE TABLESPACE kinds_space LOCATION '$1'"
}

kinds_tables() { # VERSION: 18 for what only that has
    local tables='{app.orders,app.lines,app.carts,app.bookings,app.readings,app.orphans,'$KINDS_LONG
    [[ $1 -lt 18 ]] || tables+=,app.modern,app.periods
    # The last one is the only one in its schema.
    tables+=',"\"Odd Schema\".\"Or.der'"'"'s \"\"x\""}'
    echo "$tables"
}

kinds_describe() { # DATABASE VERSION TABLES
    psql -X -v ON_ERROR_STOP=1 -v sharded="$3" -v fk="$2" -d "$1" -f "$PRESPLIT_ROOT/tests/lib/compare_catalog.sql"
}

kinds_profile() { # DATABASE
    psql -qXAt -v ON_ERROR_STOP=1 -d "$1" -f "$PRESPLIT_ROOT/sql/capture_profile.sql" 2>/dev/null
}

kinds_arm() { # DATABASE PROFILE TABLES
    psql -qXAt -v ON_ERROR_STOP=1 -d "$1" -c 'CREATE EXTENSION pg_presplit' -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$2" >/dev/null
    psql -qXAt -v ON_ERROR_STOP=1 -v tables="$3" -v odd="$KINDS_ODD" -v long="$KINDS_LONG" -d "$1" >/dev/null <<'SQL'
CREATE TEMP TABLE p AS SELECT * FROM (VALUES
    ('app.orders', 'range', '{created_at}', '{"interval": "1 month", "from": "2024-01-01", "to": "2024-06-01"}'),
    ('app.lines', 'range_hash', '{created_at,order_id}', '{"interval": "3 months", "from": "2024-01-01", "to": "2024-07-01", "modulus": 2}'),
    ('app.carts', 'hash', '{id}', '{"modulus": 3}'),
    ('app.bookings', 'hash', '{room}', '{"modulus": 3}'),
    ('app.readings', 'hash', '{sensor}', '{"modulus": 2}'),
    ('app.orphans', 'hash', '{id}', '{"modulus": 2}'),
    (:'long', 'range', '{k2345678901234567890123456789012345678901234567890123456789012}', '{"split_points": ["-10", "10"]}'),
    (:'odd', 'list', '{"Key \"x"}', '{"lists": [["it''s", null], ["b", "c\\"]]}'),
    ('app.modern', 'hash', '{id}', '{"modulus": 2}'),
    ('app.periods', 'hash', '{room}', '{"modulus": 2}')
) AS v (relation, strategy, shard_key, bounds)
WHERE relation = ANY (:'tables');
SELECT 1 / (count(DISTINCT relation) = cardinality(:'tables'::text[]))::int FROM p;
SELECT count(*) FROM p, LATERAL create_shards(register_proposal(relation, strategy, shard_key::text[], bounds::jsonb));
SQL
}
