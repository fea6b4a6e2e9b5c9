\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.2.0'" to load this file. \quit

-- From 0.1.0 to 0.2.0. Afterwards everything is as after a fresh installation
-- of 0.2.0, which the release test compares object by object.

-- Readings of pg_stat_statements ---------------------------------------------

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

REVOKE ALL ON presplit.statement_reading, presplit.statement_hours, presplit.statement_texts FROM PUBLIC;

COMMENT ON TABLE presplit.statement_reading IS 'the last reading of pg_stat_statements, recorded by the worker';
COMMENT ON COLUMN presplit.statement_reading.database IS 'database whose entries they are; a copy of it begins anew';
COMMENT ON COLUMN presplit.statement_reading.at IS 'when';
COMMENT ON COLUMN presplit.statement_reading.took_ms IS 'how long it took; a hundred times that is the least time to the next';
COMMENT ON COLUMN presplit.statement_reading.timeline IS 'timeline of the server';
COMMENT ON COLUMN presplit.statement_reading.server_started IS 'when the shared memory of the server was made';
COMMENT ON COLUMN presplit.statement_reading.counted_since IS 'when all counters were last set to zero';
COMMENT ON COLUMN presplit.statement_reading.evictions IS 'how often entries were evicted since then';
COMMENT ON COLUMN presplit.statement_reading.entries IS 'userid, queryid, toplevel, calls, exec_ms, rows and age of each entry';

COMMENT ON TABLE presplit.statement_hours IS 'what was counted between readings of pg_stat_statements, by hour, for two weeks';
COMMENT ON COLUMN presplit.statement_hours.hour IS 'the hour';
COMMENT ON COLUMN presplit.statement_hours.content IS 'observed seconds, weights of the heaviest statements and of the rest, and what was lost';

COMMENT ON TABLE presplit.statement_texts IS 'texts of statements that readings found';
COMMENT ON COLUMN presplit.statement_texts.userid IS 'role that ran it';
COMMENT ON COLUMN presplit.statement_texts.queryid IS 'identifier of the statement in pg_stat_statements';
COMMENT ON COLUMN presplit.statement_texts.query IS 'normalised text; null for what is no part of a workload';

-- What the statements are from, and what is missing.
DROP FUNCTION workload_coverage(text);
CREATE  FUNCTION "workload_coverage"(
	"profile" TEXT DEFAULT NULL /* Option < & str > */
) RETURNS TABLE (
	"statements" INT,  /* i32 */
	"analyzed" INT,  /* i32 */
	"calls_share" double precision,  /* f64 */
	"exec_share" double precision,  /* f64 */
	"seconds" double precision,  /* Option < f64 > */
	"source" TEXT,  /* String */
	"note" TEXT  /* Option < String > */
)
VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c /* Rust */
AS 'MODULE_PATHNAME', 'workload_coverage_wrapper';
COMMENT ON FUNCTION workload_coverage(text) IS
    'how many statements of a profile could be analysed, by number, calls and execution time, and what they are from';

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

-- Sampled values --------------------------------------------------------------

CREATE TABLE presplit.sampled_columns (
    relation  regclass NOT NULL,
    attribute smallint NOT NULL,
    access    text NOT NULL CHECK (access IN ('equality', 'in_list', 'range_lower', 'range_upper', 'insert')),
    sketch    jsonb NOT NULL,
    first_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, attribute, access)
);

REVOKE ALL ON TABLE presplit.sampled_columns FROM PUBLIC;
COMMENT ON TABLE presplit.sampled_columns IS 'sampled values of key columns, written down by the worker';
COMMENT ON COLUMN presplit.sampled_columns.relation IS 'the table';
COMMENT ON COLUMN presplit.sampled_columns.attribute IS 'number of the column';
COMMENT ON COLUMN presplit.sampled_columns.access IS 'how the values were used: equality, in_list, range_lower, range_upper or insert';
COMMENT ON COLUMN presplit.sampled_columns.sketch IS 'frequent values with their counts and a sample, as docs/profile.md describes it';
COMMENT ON COLUMN presplit.sampled_columns.first_at IS 'when it was first written down';
COMMENT ON COLUMN presplit.sampled_columns.last_at IS 'when it was last written down';

CREATE  FUNCTION presplit."read_sampled_values"() RETURNS TABLE (
	"relation" oid,  /* Oid */
	"column_name" TEXT,  /* String */
	"access" TEXT,  /* String */
	"value" TEXT,  /* Option < String > */
	"share" double precision,  /* f64 */
	"executions" double precision,  /* f64 */
	"share_max" double precision,  /* f64 */
	"sampled" bigint  /* i64 */
)
STRICT VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c /* Rust */
AS 'MODULE_PATHNAME', 'read_sampled_values_wrapper';

CREATE VIEW presplit.sampled_values AS
SELECT s.relation::regclass AS relation, s.column_name, s.access, s.value, s.share, s.executions, s.share_max, s.sampled
FROM presplit.read_sampled_values() AS s;

REVOKE ALL ON FUNCTION presplit.read_sampled_values() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION presplit.read_sampled_values() TO pg_read_all_data;
GRANT SELECT ON presplit.sampled_values TO pg_read_all_data;
COMMENT ON FUNCTION presplit.read_sampled_values() IS 'what view presplit.sampled_values reads';
COMMENT ON VIEW presplit.sampled_values IS 'values of key columns that executions used, as far as presplit.sample_rate drew them';
COMMENT ON COLUMN presplit.sampled_values.relation IS 'the table; of a partition its root';
COMMENT ON COLUMN presplit.sampled_values.column_name IS 'the column';
COMMENT ON COLUMN presplit.sampled_values.access IS 'how it was used: equality, in_list, range_lower, range_upper or insert';
COMMENT ON COLUMN presplit.sampled_values.value IS 'a frequent value, cut after 54 bytes; null stands for all others together';
COMMENT ON COLUMN presplit.sampled_values.share IS 'its share of the values used so, at least';
COMMENT ON COLUMN presplit.sampled_values.executions IS 'executions with this value that the samples stand for, at least';
COMMENT ON COLUMN presplit.sampled_values.share_max IS 'its share of the values used so, at most';
COMMENT ON COLUMN presplit.sampled_values.sampled IS 'sampled executions that used the column so';

-- A profile from a dump ---------------------------------------------------------

CREATE FUNCTION "profile_backup"(
	"path" TEXT,
	"name" TEXT DEFAULT 'backup'
) RETURNS TEXT
STRICT VOLATILE PARALLEL UNSAFE
SET search_path TO pg_catalog, pg_temp
LANGUAGE c
AS 'MODULE_PATHNAME', 'profile_backup_wrapper';
REVOKE ALL ON FUNCTION profile_backup(text, text) FROM PUBLIC;
COMMENT ON FUNCTION profile_backup(text, text) IS
    'stores a profile of a dump file on the server: its schema, and statistics from a sample of its rows';
