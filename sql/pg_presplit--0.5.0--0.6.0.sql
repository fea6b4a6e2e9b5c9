\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.6.0'" to load this file. \quit

-- From 0.5.0 to 0.6.0. Afterwards everything is as after a fresh installation
-- of 0.6.0, which the release test compares object by object.

CREATE FUNCTION undo_operation(operation_id bigint) RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'undo_operation_wrapper';

REVOKE ALL ON FUNCTION undo_operation(bigint) FROM PUBLIC;
COMMENT ON FUNCTION undo_operation(bigint) IS
    'puts back the shards that an operation has replaced, with all that was written since, while they are kept';

CREATE FUNCTION shard_table(relation regclass, proposal_id bigint, online boolean DEFAULT true,
    history text DEFAULT 'split')
RETURNS bigint
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'shard_table_wrapper';

CREATE FUNCTION shard_table_plan(relation regclass, proposal_id bigint, online boolean DEFAULT true,
    history text DEFAULT 'split')
RETURNS TABLE (step int, statement text, lock_mode text, reversible boolean, locked text, max_lock_ms int,
    bytes_needed bigint, wal_bytes bigint, estimated interval)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', 'shard_table_plan_wrapper';

REVOKE ALL ON FUNCTION shard_table(regclass, bigint, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION shard_table(regclass, bigint, boolean, text) IS
    'divides a table that has rows as a proposal says, or makes it plain, while people use it; returns the number of the operation';

COMMENT ON FUNCTION shard_table_plan(regclass, bigint, boolean, text) IS
    'the steps that shard_table() would take, with their locks and estimates; changes nothing';

COMMENT ON FUNCTION check_operation(regclass, bigint) IS
    'everything that stands against replacing shards of a table, or the whole table by a proposal, at once and beforehand';
