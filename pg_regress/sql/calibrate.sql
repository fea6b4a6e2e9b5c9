--
-- Calibration: which constants, in which unit; values differ from run to run.
-- What it made to measure is gone, and later proposals use what it found.
--
SET client_min_messages = warning;
SELECT (SELECT count(*) FROM pg_class) AS relations, (SELECT count(*) FROM pg_namespace) AS schemas,
       (SELECT count(*) FROM pg_type) AS types, (SELECT count(*) FROM pg_depend) AS dependencies \gset
BEGIN;
SELECT constant, value > 0 AS positive, unit FROM calibrate();
SELECT (SELECT count(*) FROM pg_class) - :relations AS relations, (SELECT count(*) FROM pg_namespace) - :schemas AS schemas,
       (SELECT count(*) FROM pg_type) - :types AS types, (SELECT count(*) FROM pg_depend) - :dependencies AS dependencies;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation::regclass::text LIKE '%calibration.%';
-- Planning of a few shards can be measured anywhere.
SELECT constant, unit, measured_by = current_user AS by_me FROM presplit.calibration
WHERE constant IN ('planning_scan_32_ms', 'planning_join_32_ms') ORDER BY constant;
ROLLBACK;
SELECT count(*) FROM presplit.calibration;

-- A row that costs ten times as much makes the table cost more.
CREATE TABLE measured (id int PRIMARY KEY, note text);
INSERT INTO measured SELECT g, 'note' FROM generate_series(1, 10000) AS g;
ANALYZE measured;
SELECT declare_workload('[{"sql": "SELECT count(*) FROM measured WHERE note = $1", "calls_per_second": 100}]', 'calibrate') AS declared;
CREATE FUNCTION pg_temp.cost() RETURNS float8 LANGUAGE sql AS $$
    SELECT e.cost FROM propose_shards('measured', horizon => '1 day') AS p, explain_proposal(p.proposal_id) AS e
    WHERE e.strategy = 'none'
$$;
SELECT pg_temp.cost() AS cost \gset
BEGIN;
INSERT INTO presplit.calibration VALUES ('row_ms', 0.001, 'ms', now(), current_user);
SELECT pg_temp.cost() > 5 * :cost AS dearer;
-- What is not plausible, or of another release, is not used.
UPDATE presplit.calibration SET value = 'infinity';
INSERT INTO presplit.calibration VALUES ('of_another_release', 1, 'ms', now(), current_user);
SELECT pg_temp.cost() = :cost AS same;
ROLLBACK;

-- It has to make its tables.
BEGIN READ ONLY;
SELECT calibrate();
ROLLBACK;
CREATE ROLE regress_calibrate;
SET ROLE regress_calibrate;
SELECT calibrate();
SELECT * FROM presplit.calibration;
RESET ROLE;
DROP ROLE regress_calibrate;
SELECT declare_workload('[]', 'calibrate') AS declared;
DROP TABLE measured;
