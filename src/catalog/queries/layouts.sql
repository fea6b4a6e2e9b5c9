-- How the partitioned tables are cut that are ours or among those that $1 names (JSON: schema and name of each), on two
-- levels at most: a third one, or a key with an expression, makes a layout that is not known.
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
           (SELECT jsonb_agg(a.attname ORDER BY k.place)
            FROM unnest(p.partattrs::int2[]) WITH ORDINALITY AS k (attnum, place)
            LEFT JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum AND k.attnum > 0) AS columns
    FROM pg_partitioned_table AS p
)
SELECT jsonb_build_object(
    'schema', r.nspname, 'name', r.relname, 'strategy', k.partstrat, 'columns', k.columns,
    'parts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'name', c.relname, 'bound', pg_get_expr(c.relpartbound, c.oid), 'tablespace', s.spcname,
        'strategy', b.partstrat, 'columns', b.columns,
        'parts', (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', l.relname, 'bound', pg_get_expr(l.relpartbound, l.oid), 'tablespace', t.spcname,
            'strategy', d.partstrat, 'columns', d.columns, 'parts', '[]'::jsonb) ORDER BY l.relname), '[]'::jsonb)
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
