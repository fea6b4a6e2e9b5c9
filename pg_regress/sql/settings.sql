--
-- Settings: names, units, limits, and who may change them.
--
SELECT name, vartype AS type, boot_val AS "default", unit, context, min_val, max_val, enumvals
FROM pg_settings WHERE name LIKE 'presplit.%' ORDER BY name;

-- The view shows all of them, with the values of this session.
SELECT name, value, unit FROM presplit.settings ORDER BY name;
-- Core has no unit for percent.
SELECT s.name, s.value, p.setting, s.unit, p.unit
FROM presplit.settings AS s FULL JOIN (SELECT * FROM pg_settings WHERE name LIKE 'presplit.%') AS p USING (name)
WHERE s.value IS DISTINCT FROM p.setting OR nullif(s.unit, '') IS DISTINCT FROM p.unit
ORDER BY name;
SET presplit.predicted_data_volume = '400GB';
SET presplit.cutover_budget = '2s';
SET presplit.retention_grace = '1d';
SELECT name, value, unit FROM presplit.settings
WHERE name IN ('presplit.predicted_data_volume', 'presplit.cutover_budget', 'presplit.retention_grace')
ORDER BY name;
SHOW presplit.predicted_data_volume;
SHOW presplit.cutover_budget;
SHOW presplit.retention_grace;
RESET ALL;

-- Values that do not fit.
-- Major versions write the range of a unit differently.
SELECT regexp_replace(outcome, ' \(.*', '') AS outcome
FROM unnest(ARRAY['SET presplit.predicted_data_volume = ''-1GB''', 'SET presplit.cutover_lock_timeout = 0']) AS s (statement)
CROSS JOIN LATERAL tests.outcome(statement) AS outcome;
SET presplit.predicted_peak_qps = -1;
SET presplit.predicted_peak_qps = 'many';
SET presplit.predicted_peak_qps = 'NaN';
SET presplit.predicted_data_volume = '400 bananas';
SET presplit.predicted_data_volume = '3000TB';
SET presplit.rebalance_mode = 'sometimes';
SET presplit.unique_policy = '';
SET presplit.sample_rate = 1.5;
SET presplit.cutover_budget = '1 fortnight';
SET presplit.max_shards_per_table = 0;
SET presplit.max_shards_per_table = 32769;
SET presplit.parallel_copy = 'perhaps';
SET presplit.restore_hook TO DEFAULT;

-- A retention policy is read when it is set.
SET presplit.data_retention_policy = 'merge after 7 days into 1 month; archive after 90 days to tablespace cold; drop after 2 years';
SET presplit.data_retention_policy = 'delete after 90 days';
SET presplit.data_retention_policy = 'drop after a while';
SET presplit.data_retention_policy = 'drop after 30 days; archive after 90 days';
SHOW presplit.data_retention_policy;
RESET presplit.data_retention_policy;
SELECT outcome FROM unnest(ARRAY['drop after 90 days', 'drop after 30 days; merge after 60 days into 1 month', '']) AS p (policy)
CROSS JOIN LATERAL tests.outcome(format($$SELECT configure_shards('public.policied', '{"data_retention_policy": "%s"}')$$, policy)) AS outcome;
CALL tests.forget();

-- A name with a slip is an error, not a placeholder.
SET presplit.unique_polcy = 'extend';
SELECT set_config('presplit.nothing', 'x', false);
SHOW presplit.nothing;

-- Settings of the server file.
SET presplit.max_workers = 4;
SET presplit.databases = 'postgres';
SET presplit.worker_naptime = 5;
SET presplit.operations_enabled = off;
-- A keyword, so it wants quotes in SQL, not in the file.
SET presplit."window" = '01:00-05:00';
SET presplit.max_replica_lag = 5;
SET presplit.min_free_disk = 5;

-- An ordinary role changes its own settings, not those of a superuser.
CREATE ROLE regress_settings_user;
SET ROLE regress_settings_user;
SELECT name, tests_outcome.outcome AS outcome
FROM pg_settings
CROSS JOIN LATERAL tests.outcome(format('SET presplit.%I = %L', split_part(name, '.', 2), setting)) AS tests_outcome (outcome)
WHERE name LIKE 'presplit.%'
ORDER BY name;
ALTER ROLE regress_settings_user SET presplit.unique_policy = 'extend';
ALTER ROLE regress_settings_user SET presplit.restore_hook = off;
RESET ROLE;

-- A superuser may lend it.
GRANT SET ON PARAMETER presplit.restore_hook TO regress_settings_user;
SET ROLE regress_settings_user;
SET presplit.restore_hook = off;
RESET presplit.restore_hook;
RESET ROLE;
REVOKE SET ON PARAMETER presplit.restore_hook FROM regress_settings_user;
DROP ROLE regress_settings_user;

-- Settings of single tables.
\a
\t on
SELECT configure_shards('tests.later', '{"expected_rows_per_day": 100000, "rebalance_threshold": 0.8}');
SELECT configure_shards('tests.later', '{"undo": false, "rebalance_threshold": null}');
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"expected_rows_per_dy": 1}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"expected_rows_per_day": -1}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"expected_rows_per_day": 1e16}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"expected_rows_per_day": "1"}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"unique_policy": "sometimes"}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"max_shards_per_table": 0}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '{"undo": 1}')$$);
SELECT tests.outcome($$SELECT configure_shards('tests.later', '[]')$$);
SELECT schema_name, table_name, settings FROM presplit.table_settings;
CALL tests.forget();

-- Beneath a parallel plan there is no transaction id, and an old way to read
-- strings is the session's own: neither is noticed.
SELECT count(set_config(name, 'on', false)) FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode');
SELECT capture_profile() ->> 'format';
RESET ALL;
SET standard_conforming_strings = off;
SELECT capture_profile() ->> 'format';
SELECT statements >= 0 FROM workload_coverage();
RESET standard_conforming_strings;
