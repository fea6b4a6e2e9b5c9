-- What is written down: the tables of schema presplit, and the guard that
-- works without the library.
--
-- Nobody but the extension's owner has rights on the tables; people read the
-- views. A name of a table that may not exist yet is stored as schema_name and
-- table_name, an existing one as regclass; a role by its name, so that a dump
-- loads in a cluster that does not have the role.

-- The library reads and writes text as UTF-8; elsewhere a name could be mangled.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = pg_catalog.format('encoding "%s" of database "%s" is not supported',
                                        pg_catalog.getdatabaseencoding(), pg_catalog.current_database()),
            DETAIL = 'Extension pg_presplit works in databases whose encoding is UTF8.',
            HINT = 'Create the target with ENCODING ''UTF8'' TEMPLATE template0: pg_restore converts what it loads.';
    END IF;
END
$$;

CREATE SCHEMA presplit;

CREATE TABLE presplit.stored_profiles (
    name        text PRIMARY KEY,
    profile     jsonb NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    imported_by name NOT NULL
);

CREATE TABLE presplit.declared_workloads (
    profile     text PRIMARY KEY,
    statements  jsonb NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    declared_by name NOT NULL
);

CREATE TABLE presplit.stored_proposals (
    proposal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest      text NOT NULL UNIQUE,
    settings    jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by  name NOT NULL
);

CREATE TABLE presplit.proposal_relations (
    -- Not a foreign key: a parallel restore fills the tables of an extension in any order.
    proposal_id bigint NOT NULL,
    position    int NOT NULL,
    schema_name name NOT NULL,
    table_name  name NOT NULL,
    content     jsonb NOT NULL,
    shards      jsonb NOT NULL,
    state       text NOT NULL DEFAULT 'proposed'
                CHECK (state IN ('proposed', 'applied', 'superseded', 'disarmed')),
    PRIMARY KEY (proposal_id, position),
    UNIQUE (proposal_id, schema_name, table_name)
);

CREATE TABLE presplit.armed_tables (
    schema_name name NOT NULL,
    table_name  name NOT NULL,
    proposal_id bigint NOT NULL,
    replaces    boolean NOT NULL,
    valid_for   interval NOT NULL,
    armed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    armed_by    name NOT NULL,
    PRIMARY KEY (schema_name, table_name),
    FOREIGN KEY (proposal_id, schema_name, table_name)
        REFERENCES presplit.proposal_relations (proposal_id, schema_name, table_name) ON DELETE CASCADE
);

CREATE TABLE presplit.restore_log (
    entry          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name    name NOT NULL,
    table_name     name NOT NULL,
    proposal_id    bigint NOT NULL,
    statement_kind text NOT NULL,
    original       text NOT NULL,
    executed       text NOT NULL,
    note           text NOT NULL,
    rows_loaded    bigint,
    logged_by      name NOT NULL,
    at             timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX restore_log_by_table ON presplit.restore_log (schema_name, table_name, at DESC);
CREATE INDEX restore_log_by_proposal ON presplit.restore_log (proposal_id, at DESC);

CREATE TABLE presplit.sharded_tables (
    relation    regclass PRIMARY KEY,
    proposal_id bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE presplit.staging_tables (
    staging            oid PRIMARY KEY,
    shard              oid NOT NULL,
    load               bigint NOT NULL,
    leader_pid         integer NOT NULL,
    leader_transaction text,
    server_start       timestamptz NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE presplit.sampled_columns (
    relation  regclass NOT NULL,
    attribute smallint NOT NULL,
    access    text NOT NULL CHECK (access IN ('equality', 'in_list', 'range_lower', 'range_upper', 'insert')),
    sketch    jsonb NOT NULL,
    first_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, attribute, access)
);

-- Many lines: names are text, which takes a quarter of the space.
CREATE TABLE presplit.size_history (
    schema_name text COLLATE "C" NOT NULL,
    table_name  text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,
    rows        float8 NOT NULL,
    bytes       float8 NOT NULL,
    inserted    float8 NOT NULL,
    updated     float8 NOT NULL,
    deleted     float8 NOT NULL,
    heap_bytes  float8,
    index_bytes float8,
    toast_bytes float8,
    loaded      float8 NOT NULL DEFAULT 0,
    dropped     float8 NOT NULL DEFAULT 0,
    event_bytes float8 NOT NULL DEFAULT 0,
    event       text,
    PRIMARY KEY (schema_name, table_name, at)
);

CREATE INDEX size_history_by_time ON presplit.size_history (at);

-- Sizes and counters at the last look, and what the history has added up: of
-- this database in this server only, so no dump has them.
CREATE TABLE presplit.size_reading (
    database   oid PRIMARY KEY,
    at         timestamptz NOT NULL,
    took_ms    float8 NOT NULL,
    thinned_at timestamptz,
    content    json NOT NULL
);

-- The last reading of pg_stat_statements, what was counted in each hour before
-- it, and the texts: of this database in this server only, so no dump has them.
CREATE TABLE presplit.statement_reading (
    database       oid PRIMARY KEY,
    at             timestamptz NOT NULL,
    took_ms        float8 NOT NULL,
    timeline       text NOT NULL,
    server_started timestamptz NOT NULL,
    counted_since  timestamptz NOT NULL,
    evictions      bigint NOT NULL,
    entries        json NOT NULL
);

CREATE TABLE presplit.statement_hours (
    hour    timestamptz PRIMARY KEY,
    content json NOT NULL
);

CREATE TABLE presplit.statement_texts (
    userid  oid NOT NULL,
    queryid bigint NOT NULL,
    query   text,
    PRIMARY KEY (userid, queryid)
);

-- What calibrate() measured of this server, so no dump has it.
CREATE TABLE presplit.calibration (
    constant    text PRIMARY KEY,
    value       float8 NOT NULL,
    unit        text NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    measured_by name NOT NULL
);

CREATE TABLE presplit.table_settings (
    schema_name name NOT NULL,
    table_name  name NOT NULL,
    settings    jsonb NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by  name NOT NULL,
    PRIMARY KEY (schema_name, table_name)
);

-- Facts, decisions and settings travel with a dump of the database; an arming,
-- the log of one restore and sampled values do not.
SELECT pg_catalog.pg_extension_config_dump('presplit.stored_profiles', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.declared_workloads', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.stored_proposals', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.stored_proposals_proposal_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.proposal_relations', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.sharded_tables', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.size_history', '');
SELECT pg_catalog.pg_extension_config_dump('presplit.table_settings', '');

-- The tables that are armed now; names only, for everyone. An arming lasts as
-- long as any table of its proposal is being restored: keys and indexes come
-- only after the data of all tables. The log is looked
-- at only when an arming would have ended without it: parallel restores write
-- to it, and reading it would make serializable ones fail each other.
CREATE VIEW presplit.armed WITH (security_barrier) AS
SELECT a.schema_name, a.table_name, a.proposal_id, a.replaces,
       greatest(a.armed_at, (SELECT max(r.at)
                             FROM presplit.restore_log AS r
                             WHERE r.proposal_id = a.proposal_id AND r.at >= a.armed_at)) + a.valid_for AS valid_until
FROM presplit.armed_tables AS a
WHERE CASE WHEN pg_catalog.clock_timestamp() < a.armed_at + a.valid_for THEN true
           ELSE pg_catalog.clock_timestamp() < a.valid_for
                + (SELECT max(r.at)
                   FROM presplit.restore_log AS r
                   WHERE r.proposal_id = a.proposal_id AND r.at >= a.armed_at)
      END;

-- The tables that were created in shards; names only.
CREATE VIEW presplit.sharded WITH (security_barrier) AS
SELECT t.relation, t.proposal_id, t.created_at
FROM presplit.sharded_tables AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.relation;

-- Whether the statement that runs was looked at by the library's hook, and names no armed table. Without a search_path of
-- its own, which would cost more than the answer: it looks nothing up by name.
CREATE FUNCTION presplit.is_looked_at() RETURNS bool
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'is_looked_at_wrapper';

-- Never silently plain: if the library is not loaded, or its hook is switched
-- off, an armed table must not come into being as anything but a partitioned one.
-- With the owner's rights, so that whoever lost USAGE on the schema may still
-- create tables.
CREATE FUNCTION presplit.refuse_unsharded() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    created record;
BEGIN
    -- What every CREATE TABLE of a session with the library pays. A library before 0.4.0 has neither this setting nor the
    -- function; who only says that he has the setting gets the library loaded by the call, which has looked at nothing.
    IF pg_catalog.current_setting('presplit.load_workers_min_size', true) IS NOT NULL AND presplit.is_looked_at() THEN
        RETURN;
    END IF;
    -- What one of a session without it pays while nothing is armed.
    IF NOT EXISTS (SELECT FROM presplit.armed_tables) THEN
        RETURN;
    END IF;
    FOR created IN
        SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation, a.proposal_id
        FROM pg_catalog.pg_event_trigger_ddl_commands() AS d
        JOIN pg_catalog.pg_class AS c ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        JOIN presplit.armed AS a ON a.schema_name = n.nspname AND a.table_name = c.relname
        WHERE c.relkind <> 'p'
    LOOP
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = pg_catalog.format('table "%s" is armed for sharding but would be created whole', created.relation),
            DETAIL = pg_catalog.format('Proposal %s divides it, but the statement was not rewritten: library pg_presplit is not loaded in this session, or presplit.restore_hook is off.', created.proposal_id),
            HINT = pg_catalog.format('Reconnect after ALTER DATABASE %I SET session_preload_libraries = ''pg_presplit'', or give up with SELECT disarm(%L).', pg_catalog.current_database(), created.relation);
    END LOOP;
END
$function$;

CREATE EVENT TRIGGER presplit_never_silently_plain ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE', 'CREATE VIEW',
                 'CREATE MATERIALIZED VIEW', 'CREATE SCHEMA', 'IMPORT FOREIGN SCHEMA')
    EXECUTE FUNCTION presplit.refuse_unsharded();
-- Also where a session calls itself a replica.
ALTER EVENT TRIGGER presplit_never_silently_plain ENABLE ALWAYS;
