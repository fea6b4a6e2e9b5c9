\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.6.0'" to load this file. \quit

-- From 0.5.0 to 0.6.0. Afterwards everything is as after a fresh installation
-- of 0.6.0, which the release test compares object by object.

CREATE FUNCTION undo_operation(operation_id bigint) RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'undo_operation_wrapper';

REVOKE ALL ON FUNCTION undo_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION undo_operation(bigint) IS
    'puts back the shards that an operation has replaced, with all that was written since, while they are kept';
