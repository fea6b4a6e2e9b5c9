--
-- The surface of the extension: a change here is a change of the contract.
--
\a
\t on

-- Functions: name, arguments, result.
SELECT p.oid::regprocedure::text || E'\n  arguments: ' || pg_get_function_arguments(p.oid)
       || E'\n  result: ' || pg_get_function_result(p.oid)
FROM pg_depend AS d
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
ORDER BY p.pronamespace::regnamespace::text, p.proname;

-- Functions: how they run, and who else than their owner may call them.
\t off
SELECT p.pronamespace::regnamespace::text AS schema, p.proname AS function,
       CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
       p.proisstrict AS strict,
       CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
       p.prosecdef AS definer, l.lanname AS language, p.proleakproof AS leakproof,
       array_to_string(p.proconfig, '; ') AS configuration,
       CASE WHEN p.proacl IS NULL THEN 'PUBLIC'
            ELSE coalesce((SELECT string_agg(CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ', ')
                           FROM aclexplode(p.proacl) AS a WHERE a.grantee <> p.proowner), 'nobody') END AS callers
FROM pg_depend AS d
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
ORDER BY p.pronamespace::regnamespace::text, p.proname;

-- Relations: columns, and who else than the owner may do what.
SELECT c.oid::regclass::text AS relation,
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE c.relkind::text END AS kind,
       array_to_string(c.reloptions, ', ') AS options,
       coalesce((SELECT string_agg(a.privilege_type || ' to '
                                   || CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, ', '
                                   ORDER BY a.grantee, a.privilege_type)
                 FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner), 'nobody') AS others
FROM pg_depend AS d
JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
ORDER BY c.relkind, c.oid::regclass::text;

SELECT c.oid::regclass::text AS relation, a.attnum AS position, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS required, pg_get_expr(f.adbin, f.adrelid) AS "default", nullif(a.attidentity, '') AS identity
FROM pg_depend AS d
JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('r', 'v')
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS f ON f.adrelid = c.oid AND f.adnum = a.attnum
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
ORDER BY c.relkind, c.oid::regclass::text, a.attnum;

-- Constraints and indexes of the tables.
SELECT k.conrelid::regclass::text AS relation, k.conname AS constraint, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k
WHERE k.connamespace = 'presplit'::regnamespace AND k.contype <> 'n'
ORDER BY 1, 2;
SELECT pg_get_indexdef(i.indexrelid) AS index
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'presplit'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
ORDER BY 1;

-- The guard.
SELECT evtname AS event_trigger, evtevent AS event, evtfoid::regprocedure AS function, evtenabled AS enabled,
       unnest(evttags) AS tag
FROM pg_event_trigger WHERE evtname LIKE 'presplit%';

-- Schema: everybody may look in, nobody may create.
SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE 'owner' END AS role, a.privilege_type AS privilege
FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
WHERE n.nspname = 'presplit'
ORDER BY 1, 2;

-- Whatever else belongs to the extension.
SELECT DISTINCT d.classid::regclass::text AS catalog, count(*)
FROM pg_depend AS d
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
  AND d.classid <> 'pg_type'::regclass -- row types, members by themselves in some major versions only
GROUP BY 1 ORDER BY 1;
