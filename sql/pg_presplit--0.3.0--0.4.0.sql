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
