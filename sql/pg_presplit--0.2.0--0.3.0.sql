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
