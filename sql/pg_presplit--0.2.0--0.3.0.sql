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
