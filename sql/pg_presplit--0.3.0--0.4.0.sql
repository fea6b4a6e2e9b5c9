\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.4.0'" to load this file. \quit

-- From 0.3.0 to 0.4.0. Afterwards everything is as after a fresh installation
-- of 0.4.0, which the release test compares object by object.

-- Loads by workers ----------------------------------------------------------

CREATE TABLE presplit.staging_tables (
    staging            oid PRIMARY KEY,
    shard              oid NOT NULL,
    load               bigint NOT NULL,
    leader_pid         integer NOT NULL,
    leader_transaction text,
    server_start       timestamptz NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT clock_timestamp()
);

REVOKE ALL ON TABLE presplit.staging_tables FROM PUBLIC;
COMMENT ON TABLE presplit.staging_tables IS 'tables that hold rows of a COPY until they take their shards'' places';
COMMENT ON COLUMN presplit.staging_tables.staging IS 'the table';
COMMENT ON COLUMN presplit.staging_tables.shard IS 'the shard that the rows belong to';
COMMENT ON COLUMN presplit.staging_tables.load IS 'number of the transaction of the COPY';
COMMENT ON COLUMN presplit.staging_tables.leader_pid IS 'process id of its session';
COMMENT ON COLUMN presplit.staging_tables.leader_transaction IS 'virtual transaction id of the COPY; while it is held, the COPY goes on';
COMMENT ON COLUMN presplit.staging_tables.server_start IS 'start of the server that the ids belong to';
COMMENT ON COLUMN presplit.staging_tables.created_at IS 'when the table was made';

-- Whether the statement that runs was looked at by the library's hook, and names no armed table.
CREATE FUNCTION presplit.is_looked_at() RETURNS bool
VOLATILE PARALLEL UNSAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'is_looked_at_wrapper';
COMMENT ON FUNCTION presplit.is_looked_at() IS
    'whether the library has looked at the statement that runs and found no armed table in it';

-- Returns at once where the library has looked, and while nothing is armed.
CREATE OR REPLACE FUNCTION presplit.refuse_unsharded() RETURNS event_trigger
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

-- A NULL where a value is needed is an error, in every function.
ALTER FUNCTION choose_alternative(bigint, text, int) CALLED ON NULL INPUT;
ALTER FUNCTION configure_shards(text, jsonb) CALLED ON NULL INPUT;
ALTER FUNCTION declare_workload(jsonb, text) CALLED ON NULL INPUT;
ALTER FUNCTION disarm(text) CALLED ON NULL INPUT;
ALTER FUNCTION export_proposal(bigint) CALLED ON NULL INPUT;
ALTER FUNCTION forecast_series(timestamptz[], double precision[], interval) CALLED ON NULL INPUT;
ALTER FUNCTION import_log(text, text, text) CALLED ON NULL INPUT;
ALTER FUNCTION import_profile(jsonb, text) CALLED ON NULL INPUT;
ALTER FUNCTION import_proposal(jsonb) CALLED ON NULL INPUT;
ALTER FUNCTION profile_backup(text, text) CALLED ON NULL INPUT;
ALTER FUNCTION register_proposal(text, text, text[], jsonb) CALLED ON NULL INPUT;
ALTER FUNCTION restore_script(bigint, text) CALLED ON NULL INPUT;

-- A proposal is known by what it decides, no more by every number in it.
COMMENT ON TABLE presplit.stored_proposals IS 'proposals; what each decides never changes';
COMMENT ON COLUMN presplit.stored_proposals.digest IS 'hash of what it decides and of its creator';

-- An arming lasts as long as any table of its proposal is being restored.
CREATE INDEX restore_log_by_proposal ON presplit.restore_log (proposal_id, at DESC);
CREATE OR REPLACE VIEW presplit.armed WITH (security_barrier) AS
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
