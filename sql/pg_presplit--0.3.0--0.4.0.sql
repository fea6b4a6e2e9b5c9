\echo Use "ALTER EXTENSION pg_presplit UPDATE TO '0.4.0'" to load this file. \quit

-- From 0.3.0 to 0.4.0. Afterwards everything is as after a fresh installation
-- of 0.4.0, which the release test compares object by object.

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
