--
-- The extension installs, goes without a trace, and installs again; and what
-- the other files call.
--
CREATE SCHEMA elsewhere;
CREATE EXTENSION pg_presplit SCHEMA elsewhere;
SELECT n.nspname AS schema, e.extrelocatable AS relocatable
FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_presplit';
SELECT jsonb_typeof(elsewhere.capture_profile()->'tables') AS tables;
SELECT severity FROM elsewhere.check_shards() WHERE severity <> 'info';
DROP EXTENSION pg_presplit;
SELECT nspname FROM pg_namespace WHERE nspname = 'presplit';
SELECT evtname FROM pg_event_trigger;
SELECT proname FROM pg_proc WHERE probin LIKE '%presplit%' OR pronamespace = 'elsewhere'::regnamespace;
DROP SCHEMA elsewhere;

CREATE EXTENSION pg_presplit;
SELECT n.nspname AS schema, e.extrelocatable AS relocatable
FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_presplit';
SELECT name, superuser, trusted, relocatable, schema, requires
FROM pg_available_extension_versions WHERE name = 'pg_presplit' AND installed;

-- What travels with a dump of the database.
SELECT c.oid::regclass AS travels, f.condition
FROM pg_extension AS e
CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS f (relation, condition)
JOIN pg_class AS c ON c.oid = f.relation
WHERE e.extname = 'pg_presplit'
ORDER BY c.oid::regclass::text;

CREATE EXTENSION pg_presplit;
CREATE EXTENSION IF NOT EXISTS pg_presplit;

-- For the other files -----------------------------------------------------

CREATE SCHEMA tests;
GRANT USAGE ON SCHEMA tests TO PUBLIC;

-- What a statement answers: that there was no error, or the error in full.
-- The statement runs with the caller's search_path, so nothing else here may
-- depend on it.
CREATE FUNCTION tests.outcome(statement text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                            detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT state || ' ' || message;
    IF pg_catalog.length(detail) OPERATOR(pg_catalog.>) 0 THEN RETURN NEXT '  DETAIL: ' || detail; END IF;
    IF pg_catalog.length(hint) OPERATOR(pg_catalog.>) 0 THEN RETURN NEXT '  HINT: ' || hint; END IF;
END
$$;

-- How much the extension has written down. Sizes are recorded by the worker
-- at its own pace, so they are left out.
CREATE FUNCTION tests.contents() RETURNS text
LANGUAGE sql BEGIN ATOMIC
    SELECT format('%s profiles, %s proposals of %s tables, %s armed, %s sharded, %s log lines, %s settings',
                  (SELECT count(*) FROM presplit.stored_profiles), (SELECT count(*) FROM presplit.stored_proposals),
                  (SELECT count(*) FROM presplit.proposal_relations), (SELECT count(*) FROM presplit.armed_tables),
                  (SELECT count(*) FROM presplit.sharded_tables), (SELECT count(*) FROM presplit.restore_log),
                  (SELECT count(*) FROM presplit.table_settings));
END;

-- Forgets everything, so that each file begins with proposal 1.
CREATE PROCEDURE tests.forget()
LANGUAGE sql AS $$
    TRUNCATE presplit.stored_profiles, presplit.declared_workloads, presplit.stored_proposals, presplit.proposal_relations, presplit.armed_tables,
        presplit.sharded_tables, presplit.restore_log, presplit.table_settings RESTART IDENTITY
$$;

-- What a table is, with its shards: what a restore must not lose. Options of
-- attributes that the server sets for itself are left out, and what differs
-- between major versions.
CREATE FUNCTION tests.anatomy(root regclass) RETURNS SETOF text
LANGUAGE sql SET search_path = pg_catalog, pg_temp BEGIN ATOMIC
    WITH parts AS (
        SELECT c.*, format('%I', c.relname) AS shown
        FROM pg_class AS c
        WHERE c.oid = root OR c.oid IN (SELECT t.relid FROM pg_partition_tree(root) AS t)
    ), lines AS (
        SELECT p.relname, p.relispartition, 0 AS part, '' AS name,
               concat_ws(', ', CASE p.relkind WHEN 'p' THEN pg_get_partkeydef(p.oid) WHEN 'r' THEN 'table' ELSE p.relkind::text END,
                         pg_get_expr(p.relpartbound, p.oid),
                         CASE p.relpersistence WHEN 'u' THEN 'unlogged' END,
                         'of ' || pg_get_userbyid(p.relowner), array_to_string(p.reloptions, ' '),
                         (SELECT 'toast: ' || array_to_string(t.reloptions, ' ') FROM pg_class AS t WHERE t.oid = p.reltoastrelid),
                         CASE p.relreplident WHEN 'd' THEN NULL ELSE 'replica identity ' || p.relreplident::text END,
                         CASE WHEN p.relrowsecurity THEN 'row security' END,
                         CASE WHEN p.relforcerowsecurity THEN 'forced' END) AS line
        FROM parts AS p
        UNION ALL
        SELECT p.relname, p.relispartition, 1, a.attname,
               '  column ' || concat_ws(', ', quote_ident(a.attname),
                         'statistics ' || nullif(a.attstattarget, -1),
                         CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
                         (SELECT string_agg(o, ' ') FROM unnest(a.attoptions) AS o WHERE o !~ '^pg_attver'))
        FROM parts AS p
        JOIN pg_attribute AS a ON a.attrelid = p.oid AND a.attnum > 0
        JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE nullif(a.attstattarget, -1) IS NOT NULL OR a.attstorage <> t.typstorage
           OR EXISTS (SELECT FROM unnest(a.attoptions) AS o WHERE o !~ '^pg_attver')
        UNION ALL
        SELECT p.relname, p.relispartition, 2, x.relname,
               '  index ' || concat_ws(', ', quote_ident(x.relname), substring(pg_get_indexdef(x.oid) FROM ' USING (.*)$'),
                         CASE WHEN i.indisunique THEN 'unique' END, CASE WHEN NOT i.indisvalid THEN 'INVALID' END,
                         CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'replica identity' END)
        FROM parts AS p JOIN pg_index AS i ON i.indrelid = p.oid JOIN pg_class AS x ON x.oid = i.indexrelid
        UNION ALL
        SELECT p.relname, p.relispartition, 3, k.conname,
               '  constraint ' || concat_ws(', ', quote_ident(k.conname), pg_get_constraintdef(k.oid),
                         CASE WHEN NOT k.convalidated THEN 'NOT VALIDATED' END)
        FROM parts AS p JOIN pg_constraint AS k ON k.conrelid = p.oid
        WHERE k.contype IN ('p', 'u', 'c', 'f', 'x') AND NOT (k.contype = 'f' AND k.conparentid <> 0 AND (NOT p.relispartition OR k.confrelid IN (SELECT q.oid FROM parts AS q)))
        UNION ALL
        SELECT p.relname, p.relispartition, 4, g.tgname, '  trigger ' || concat_ws(', ', quote_ident(g.tgname), g.tgenabled::text)
        FROM parts AS p JOIN pg_trigger AS g ON g.tgrelid = p.oid WHERE NOT g.tgisinternal
    )
    SELECT CASE WHEN l.part = 0 THEN quote_ident(l.relname) || ': ' ELSE '' END || l.line
    FROM lines AS l
    ORDER BY l.relispartition, l.relname, l.part, l.name, l.line;
END;
