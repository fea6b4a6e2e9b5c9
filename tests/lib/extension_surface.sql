-- Everything that the extension brought into a database, one line each: objects, bodies, privileges, comments.
-- Two databases that print the same have the same extension.
SET search_path = pg_catalog;
WITH members AS (
    SELECT d.classid, d.objid
    FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
), relations AS (
    SELECT c.* FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
), lines (line) AS (
    SELECT format('object %s: %s', pg_describe_object(classid, objid, 0), obj_description(objid, classid::regclass::name)) FROM members
    UNION ALL
    SELECT format('function %s: %s %s', p.oid::regprocedure, CASE WHEN p.prolang = 13 THEN regexp_replace(pg_get_functiondef(p.oid), '\s+', ' ', 'g') ELSE pg_get_functiondef(p.oid) END, p.proacl)
    FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    UNION ALL
    SELECT format('relation %s: %s %s %s %s', oid::regclass, relkind, relpersistence, reloptions, relacl) FROM relations
    UNION ALL
    SELECT format('view %s: %s', oid::regclass, pg_get_viewdef(oid)) FROM relations WHERE relkind = 'v'
    UNION ALL
    SELECT format('column %s.%s: %s %s %s %s %s %s', r.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                  a.attnotnull, a.attidentity, pg_get_expr(f.adbin, f.adrelid), a.attacl, col_description(r.oid, a.attnum))
    FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS f ON f.adrelid = r.oid AND f.adnum = a.attnum
    UNION ALL
    SELECT format('constraint %s of %s: %s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
    FROM relations AS r JOIN pg_constraint AS k ON k.conrelid = r.oid
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM relations AS r JOIN pg_index AS i ON i.indrelid = r.oid
    UNION ALL
    SELECT format('event trigger %s: %s %s %s %s', t.evtname, t.evtevent, t.evtfoid::regproc, t.evtenabled, t.evttags)
    FROM members AS m JOIN pg_event_trigger AS t ON m.classid = 'pg_event_trigger'::regclass AND t.oid = m.objid
    UNION ALL
    SELECT format('schema %s: %s', n.nspname, n.nspacl)
    FROM members AS m JOIN pg_namespace AS n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
    UNION ALL
    SELECT format('dumped %s: %s', c.oid::regclass, e.extcondition[array_position(e.extconfig, c.oid)])
    FROM pg_extension AS e JOIN pg_class AS c ON c.oid = ANY (e.extconfig) WHERE e.extname = 'pg_presplit'
)
SELECT line FROM lines ORDER BY line COLLATE "C";
