-- The way out of resharding where the library cannot be used: plain SQL that takes away what unfinished operations have
-- put into this database. Run it with psql as a superuser, in the database concerned:
--
--     psql -X -v ON_ERROR_STOP=1 -d DATABASE -f break_glass.sql
--
-- What it does, in one transaction:
--   * it ends all unfinished operations except loads: they are cancelled;
--   * it drops the triggers "presplit_capture..." and "presplit_truncate..." with which changes are written down;
--   * it drops the new shards and tables that are not in use yet, and the tables with written-down changes;
--   * it drops the triggers "presplit_retired" that keep replaced shards and tables from being written to. These become
--     ordinary tables of their own, which nothing drops any more. Their rows are in the sharded table: drop them by hand.
--
-- Shards in use, their rows and the sharded tables are not touched. It may be repeated, works if parts of the extension
-- are missing, and waits for each table at most five seconds: end whoever holds it, and repeat.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';

DO $break_glass$
DECLARE
    found record;
    extension oid := (SELECT e.oid FROM pg_extension AS e WHERE e.extname = 'pg_presplit');
    has_ledger bool := to_regclass('presplit.job_objects') IS NOT NULL;
    staging oid[] := '{}';
    replaced oid[] := '{}';
BEGIN
    IF NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'must be superuser to run break_glass.sql';
    END IF;

    -- First nobody goes on: a worker looks here before each of its steps.
    IF to_regclass('presplit.jobs') IS NOT NULL THEN
        EXECUTE 'UPDATE presplit.jobs SET is_over = true WHERE NOT is_over';
    END IF;
    IF to_regclass('presplit.operation_log') IS NOT NULL THEN
        EXECUTE 'UPDATE presplit.operation_log SET phase = ''cancelled'', finished_at = clock_timestamp(), error = ''ended by break_glass.sql''
                 WHERE kind <> ''load'' AND finished_at IS NULL';
    END IF;

    -- What is not in use yet: by the ledger, and by the trigger that only new tables have; parts of the extension may be missing.
    staging := ARRAY(SELECT DISTINCT t.tgrelid FROM pg_trigger AS t WHERE t.tgname LIKE 'presplit\_staging\_%');
    IF has_ledger THEN
        EXECUTE 'SELECT $1 || coalesce(array_agg(object), ''{}'') FROM presplit.job_objects WHERE role IN (''staging'', ''log'')'
            INTO staging USING staging;
    END IF;

    FOR found IN
        SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger AS t
        WHERE t.tgname LIKE 'presplit\_capture%' OR t.tgname LIKE 'presplit\_truncate%' OR t.tgname = 'presplit_retired'
            OR t.tgname LIKE 'presplit\_staging\_%'
        ORDER BY t.tgrelid, t.tgname
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.relation);
        RAISE NOTICE 'dropped trigger % of %', found.tgname, found.relation;
    END LOOP;

    -- A whole table that was replaced has its shards below it.
    IF to_regclass('presplit.retired_shards') IS NOT NULL THEN
        EXECUTE 'SELECT coalesce(array_agg(m.oid), ''{}'') FROM presplit.retired_shards AS r,
                     LATERAL (SELECT r.shard AS oid UNION SELECT t.relid::oid FROM pg_partition_tree(r.shard) AS t) AS m' INTO replaced;
    END IF;
    -- A new table that is to take the place of a whole one goes with its shards; what others have put into it is theirs.
    FOR found IN
        SELECT c.oid, c.oid::regclass AS relation FROM pg_class AS c
        JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
            AND d.refobjid = extension AND d.deptype = 'e'
        WHERE c.oid = ANY (staging) AND NOT c.oid = ANY (replaced) AND (c.relispartition OR c.relkind = 'p')
        ORDER BY c.oid
    LOOP
        EXECUTE format('ALTER EXTENSION pg_presplit DROP TABLE %s', found.relation);
    END LOOP;
    FOR found IN
        SELECT i.inhparent::regclass AS parent, i.inhrelid::regclass AS relation
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent AND c.relkind = 'p'
        WHERE i.inhparent = ANY (staging) AND NOT i.inhrelid = ANY (staging)
        ORDER BY i.inhrelid
    LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', found.parent, found.relation);
        RAISE NOTICE 'table % is no partition of % any more', found.relation, found.parent;
    END LOOP;
    FOR found IN
        SELECT c.oid, c.oid::regclass AS relation,
               EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
                                                    AND d.refobjid = extension AND d.deptype = 'e') AS is_member,
               c.oid = ANY (staging) OR c.relname LIKE 'changes\_%' AND c.relnamespace = to_regnamespace('presplit')
               OR EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.conname = 'presplit_bound') AS is_ours
        FROM pg_class AS c
        -- One that is a shard has its place.
        WHERE (c.relkind = 'r' OR c.relkind = 'p' AND c.oid = ANY (staging)) AND NOT c.relispartition
        ORDER BY c.oid
    LOOP
        CONTINUE WHEN found.oid = ANY (replaced) OR NOT found.is_ours OR NOT found.is_member AND NOT found.oid = ANY (staging);
        IF found.is_member THEN
            EXECUTE format('ALTER EXTENSION pg_presplit DROP TABLE %s', found.relation);
        END IF;
        EXECUTE format('DROP TABLE %s', found.relation);
        RAISE NOTICE 'dropped table %', found.relation;
    END LOOP;
    IF has_ledger THEN
        EXECUTE 'DELETE FROM presplit.job_objects';
    END IF;

    IF to_regclass('presplit.retired_shards') IS NOT NULL THEN
        FOR found IN EXECUTE
            'SELECT c.oid::regclass AS relation FROM unnest($1) AS r (shard) JOIN pg_class AS c ON c.oid = r.shard
             JOIN pg_depend AS d ON d.classid = ''pg_class''::regclass AND d.objid = c.oid AND d.refclassid = ''pg_extension''::regclass AND d.deptype = ''e''
             ORDER BY c.oid' USING replaced
        LOOP
            EXECUTE format('ALTER EXTENSION pg_presplit DROP TABLE %s', found.relation);
            -- One that an undo was filling.
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS presplit_bound', found.relation);
            RAISE NOTICE 'replaced shard % is an ordinary table', found.relation;
        END LOOP;
        EXECUTE 'DELETE FROM presplit.retired_shards';
    END IF;
END
$break_glass$;
COMMIT;
