\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.2.0'" to load this file. \quit

-- From 0.1.0 to 0.2.0. Afterwards everything is as after a fresh installation
-- of 0.2.0, which the release test compares object by object.

-- Declared workloads and server logs -----------------------------------------

CREATE TABLE presplit.declared_workloads (
    profile     text PRIMARY KEY,
    statements  jsonb NOT NULL,
    declared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    declared_by name NOT NULL
);

REVOKE ALL ON presplit.declared_workloads FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('presplit.declared_workloads', '');

CREATE FUNCTION "declare_workload"(
	"statements" jsonb,
	"name" TEXT DEFAULT 'declared'
) RETURNS INT
STRICT VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'declare_workload_wrapper';

CREATE FUNCTION "import_log"(
	"path" TEXT,
	"format" TEXT DEFAULT 'csvlog',
	"name" TEXT DEFAULT 'log'
) RETURNS INT
STRICT VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'import_log_wrapper';

REVOKE ALL ON FUNCTION declare_workload(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION declare_workload(jsonb, text) IS
    'stores statements with the rates at which they will run, replacing those declared under that name';

REVOKE ALL ON FUNCTION import_log(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION import_log(text, text, text) IS
    'reads the statements of this database from a log file of the server and stores them as a profile';

COMMENT ON TABLE presplit.declared_workloads IS 'declared statements by profile';
COMMENT ON COLUMN presplit.declared_workloads.profile IS 'name of the profile that they belong to';
COMMENT ON COLUMN presplit.declared_workloads.statements IS 'the list given to declare_workload()';
COMMENT ON COLUMN presplit.declared_workloads.declared_at IS 'when they were declared';
COMMENT ON COLUMN presplit.declared_workloads.declared_by IS 'role that declared them';
