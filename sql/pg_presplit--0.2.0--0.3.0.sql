\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.3.0'" to load this file. \quit

-- From 0.2.0 to 0.3.0. Afterwards everything is as after a fresh installation
-- of 0.3.0, which the release test compares object by object.

-- What the planner makes of a proposal ----------------------------------------

CREATE  FUNCTION "proposal_evidence"(
	"proposal_id" bigint,
	"relations" TEXT[] DEFAULT NULL
) RETURNS TABLE (
	"statement" TEXT,
	"calls" double precision,
	"shards_before" INT,
	"shards_after" INT,
	"rows_before" double precision,
	"rows_after" double precision,
	"planner_cost_before" double precision,
	"planner_cost_after" double precision,
	"relation" TEXT,
	"error" TEXT
)
VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c /* Rust */
AS 'MODULE_PATHNAME', 'proposal_evidence_wrapper';

COMMENT ON FUNCTION proposal_evidence(bigint, text[]) IS
    'what PostgreSQL''s own planner makes of each statement on the proposed shards, before and after';

-- Calibration of the cost model ------------------------------------------------

CREATE TABLE presplit.calibration (
    constant    text PRIMARY KEY,
    value       float8 NOT NULL,
    unit        text NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    measured_by name NOT NULL
);
REVOKE ALL ON presplit.calibration FROM PUBLIC;

COMMENT ON TABLE presplit.calibration IS 'constants of the cost model as calibrate() last measured them on this server';
COMMENT ON COLUMN presplit.calibration.constant IS 'name of the constant';
COMMENT ON COLUMN presplit.calibration.value IS 'what was measured';
COMMENT ON COLUMN presplit.calibration.unit IS 'unit of the value';
COMMENT ON COLUMN presplit.calibration.measured_at IS 'when';
COMMENT ON COLUMN presplit.calibration.measured_by IS 'role that measured';

CREATE  FUNCTION "calibrate"() RETURNS TABLE (
	"constant" TEXT,  /* String */
	"value" double precision,  /* f64 */
	"unit" TEXT,  /* String */
	"note" TEXT  /* Option < String > */
)
STRICT VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c /* Rust */
AS 'MODULE_PATHNAME', 'calibrate_wrapper';
REVOKE ALL ON FUNCTION calibrate() FROM PUBLIC;
COMMENT ON FUNCTION calibrate() IS
    'measures on this server what the cost model takes as given, stores it for later proposals and returns it';

-- Size history ---------------------------------------------------------------

ALTER TABLE presplit.size_history
    ALTER schema_name TYPE text COLLATE "C",
    ALTER table_name TYPE text COLLATE "C",
    ADD heap_bytes  float8,
    ADD index_bytes float8,
    ADD toast_bytes float8,
    ADD loaded      float8 NOT NULL DEFAULT 0,
    ADD dropped     float8 NOT NULL DEFAULT 0,
    ADD event_bytes float8 NOT NULL DEFAULT 0,
    ADD event       text;

CREATE INDEX size_history_by_time ON presplit.size_history (at);

CREATE TABLE presplit.size_reading (
    database   oid PRIMARY KEY,
    at         timestamptz NOT NULL,
    took_ms    float8 NOT NULL,
    thinned_at timestamptz,
    content    json NOT NULL
);

REVOKE ALL ON presplit.size_reading FROM PUBLIC;

COMMENT ON TABLE presplit.size_history IS 'sizes of tables and shards over time, recorded by the worker';
COMMENT ON COLUMN presplit.size_history.inserted IS 'rows inserted since the history began, without loads';
COMMENT ON COLUMN presplit.size_history.updated IS 'rows updated since the history began';
COMMENT ON COLUMN presplit.size_history.deleted IS 'rows deleted since the history began';
COMMENT ON COLUMN presplit.size_history.heap_bytes IS 'of which heap; null in lines of release 0.2 and before';
COMMENT ON COLUMN presplit.size_history.index_bytes IS 'of which indexes';
COMMENT ON COLUMN presplit.size_history.toast_bytes IS 'of which TOAST with its index';
COMMENT ON COLUMN presplit.size_history.loaded IS 'rows that came in by loads and with attached partitions since the history began';
COMMENT ON COLUMN presplit.size_history.dropped IS 'rows that went with drops, TRUNCATE and detached partitions since the history began';
COMMENT ON COLUMN presplit.size_history.event_bytes IS 'by how many bytes these and rewrites changed the size since the history began';
COMMENT ON COLUMN presplit.size_history.event IS 'what happened since the line before: attach, detach, drop, load, move, restore, rewrite, truncate';

COMMENT ON TABLE presplit.size_reading IS 'sizes and counters at the last look of the worker';
COMMENT ON COLUMN presplit.size_reading.database IS 'database whose tables they are; a copy of it begins anew';
COMMENT ON COLUMN presplit.size_reading.at IS 'when';
COMMENT ON COLUMN presplit.size_reading.took_ms IS 'how long it took; a hundred times that is the least time to the next';
COMMENT ON COLUMN presplit.size_reading.thinned_at IS 'when the history was last thinned';
COMMENT ON COLUMN presplit.size_reading.content IS 'each leaf with its counters, and what the history has added up for each name';

COMMENT ON FUNCTION proposal_ddl(bigint, text[]) IS
    'the statements that make each table sharded, executable in order as they are';

-- The dump's schema, written down in shards ------------------------------------

CREATE FUNCTION restore_script(proposal_id bigint, schema_sql text) RETURNS SETOF text
STRICT VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'restore_script_wrapper';
COMMENT ON FUNCTION restore_script(bigint, text) IS
    'the output of pg_restore -s rewritten for a proposal, for servers without the extension';

-- Not a foreign key: a parallel restore fills the tables of an extension in any order.
ALTER TABLE presplit.proposal_relations DROP CONSTRAINT proposal_relations_proposal_id_fkey;
