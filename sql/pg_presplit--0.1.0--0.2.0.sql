\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.2.0'" to load this file. \quit

-- From 0.1.0 to 0.2.0. Afterwards everything is as after a fresh installation
-- of 0.2.0, which the release test compares object by object.

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
