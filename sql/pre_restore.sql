-- What a backup tool runs on the target before it restores a dump: reads the
-- profile from the dump, proposes shards, checks that the restore will go
-- through, and arms the tables (or divides empty ones that are there).
--
--   psql target -X -v archive=/backups/shop.dump -f pre_restore.sql && pg_restore -d target /backups/shop.dump
--
-- Exits with a status that is not zero if anything is refused; then nothing
-- was changed. All is one transaction. Variables:
--
--   archive    the dump, a file on the server that the server may read
--   profile    a profile that was imported before; if absent, the dump is read
--   policy     presplit.unique_policy: strict (the default), extend, per_shard
--   tables     comma-separated names; if absent, all tables
--   replace    true if the restore drops and recreates tables (--clean); default false
--   valid_for  how long the tables stay armed after the last statement; default '1 day'

\set ON_ERROR_STOP on
\set ON_ERROR_ROLLBACK off
\set QUIET on
\if :{?archive}
\else
  \set archive ''
\endif
\if :{?policy}
\else
  \set policy strict
\endif
\if :{?tables}
\else
  \set tables ''
\endif
\if :{?replace}
\else
  \set replace false
\endif
\if :{?valid_for}
\else
  \set valid_for '1 day'
\endif

BEGIN READ WRITE;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT :'archive' = '' AS presplit_without_archive \gset
\if :presplit_without_archive
  DO $$ BEGIN RAISE EXCEPTION 'variable "archive" is not set' USING ERRCODE = 'invalid_parameter_value',
    HINT = 'Name the dump with -v archive=/path/on/the/server.'; END $$;
\endif
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_presplit') THEN
    RAISE EXCEPTION 'extension pg_presplit is not installed in database "%"', current_database()
      USING ERRCODE = 'undefined_object', HINT = 'Run CREATE EXTENSION pg_presplit there first.';
  END IF;
END
$$;
-- The functions may be in any schema; only the extension's own will do.
SELECT quote_ident(n.nspname) AS presplit_schema
FROM pg_extension AS e
JOIN pg_depend AS d
  ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_proc AS p ON p.oid = d.objid
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE e.extname = 'pg_presplit' AND p.proname = 'check_restore'
\gset

SELECT set_config('presplit.unique_policy', :'policy', true) AS presplit_policy \gset
\if :{?profile}
\else
  SELECT :presplit_schema.profile_backup(:'archive', 'pre_restore') AS profile \gset
\endif

CREATE TEMPORARY TABLE presplit_pre_restore (proposal_id bigint) ON COMMIT DROP;
SELECT :'tables' = '' AS presplit_all_tables \gset
\if :presplit_all_tables
  INSERT INTO pg_temp.presplit_pre_restore
  SELECT DISTINCT p.proposal_id FROM :presplit_schema.propose_shards(profile => :'profile') AS p;
\else
  INSERT INTO pg_temp.presplit_pre_restore
  SELECT DISTINCT p.proposal_id
  FROM unnest(string_to_array(:'tables', ',')) AS t(name),
       LATERAL :presplit_schema.propose_shards(btrim(t.name), profile => :'profile') AS p;
\endif

CREATE TEMPORARY TABLE presplit_findings ON COMMIT DROP AS
SELECT DISTINCT c.severity, c.object, c.problem, c.remedy
FROM pg_temp.presplit_pre_restore AS p, LATERAL :presplit_schema.check_restore(p.proposal_id, :'archive') AS c;
TABLE pg_temp.presplit_findings ORDER BY 1, 2, 3;
DO $$
DECLARE
  errors bigint;
BEGIN
  SELECT count(*) INTO errors FROM pg_temp.presplit_findings WHERE severity = 'error';
  IF errors > 0 THEN
    RAISE EXCEPTION 'the dump cannot be restored in shards: % findings at error', errors
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Each finding names its remedy; nothing was changed.';
  END IF;
END
$$;

SELECT s.relation, count(*) AS shards, min(s.state) AS state
FROM pg_temp.presplit_pre_restore AS p,
     LATERAL :presplit_schema.create_shards(p.proposal_id, replace => :'replace', valid_for => :'valid_for') AS s
GROUP BY s.relation
ORDER BY s.relation;
COMMIT;
