-- How the partitioned tables are cut that are ours or among those that $1 names (JSON: schema and name of each), on two
-- levels at most: a third one, or a key with an expression, makes a layout that is not known. A key is usual if it is
-- compared by the default operator classes of its types and the collations of its columns.
WITH roots AS (
    SELECT c.oid, n.nspname, c.relname
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'p' AND NOT c.relispartition
      AND (EXISTS (SELECT FROM presplit.sharded_tables AS t WHERE t.relation = c.oid)
           OR EXISTS (SELECT FROM jsonb_to_recordset($1::jsonb) AS w (schema text, name text)
                      WHERE w.schema = n.nspname AND w.name = c.relname))
), keys AS (
    SELECT p.partrelid, p.partstrat,
           (SELECT jsonb_agg(CASE WHEN a.attname IS NOT NULL THEN jsonb_build_object('name', a.attname, 'type', jsonb_build_object(
                'schema', n.nspname, 'name', t.typname, 'text', format_type(a.atttypid, a.atttypmod),
                'array', t.typcategory = 'A')) END ORDER BY k.place)
            FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (attnum, place)
            LEFT JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum AND k.attnum > 0
            LEFT JOIN pg_type AS t ON t.oid = a.atttypid
            LEFT JOIN pg_namespace AS n ON n.oid = t.typnamespace) AS columns,
           (SELECT bool_and(o.opcdefault AND k.collated = coalesce(a.attcollation, k.collated))
            FROM unnest(p.partattrs::int2[], p.partclass::oid[], p.partcollation::oid[]) AS k (attnum, opclass, collated)
            JOIN pg_opclass AS o ON o.oid = k.opclass
            LEFT JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum AND k.attnum > 0) AS usual
    FROM pg_partitioned_table AS p
)
SELECT jsonb_build_object(
    'schema', r.nspname, 'name', r.relname, 'strategy', k.partstrat, 'columns', k.columns, 'usual', k.usual,
    'parts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'name', c.relname, 'schema', (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = c.relnamespace), 'kind', c.relkind,
        'bound', pg_get_expr(c.relpartbound, c.oid), 'tablespace', s.spcname,
        'strategy', b.partstrat, 'columns', b.columns, 'usual', b.usual,
        'parts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', l.relname, 'schema', (SELECT n.nspname FROM pg_namespace AS n WHERE n.oid = l.relnamespace), 'kind', l.relkind,
            'bound', pg_get_expr(l.relpartbound, l.oid), 'tablespace', t.spcname,
            'strategy', d.partstrat, 'columns', d.columns, 'usual', d.usual,
            'parts', '[]'::jsonb) ORDER BY l.relname), '[]'::jsonb)
            FROM pg_inherits AS j
            JOIN pg_class AS l ON l.oid = j.inhrelid AND NOT j.inhdetachpending
            LEFT JOIN pg_tablespace AS t ON t.oid = l.reltablespace
            LEFT JOIN keys AS d ON d.partrelid = l.oid
            WHERE j.inhparent = c.oid)) ORDER BY c.relname), '[]'::jsonb)
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid AND NOT i.inhdetachpending
        LEFT JOIN pg_tablespace AS s ON s.oid = c.reltablespace
        LEFT JOIN keys AS b ON b.partrelid = c.oid
        WHERE i.inhparent = r.oid))::text
FROM roots AS r
JOIN keys AS k ON k.partrelid = r.oid
ORDER BY r.nspname, r.relname
