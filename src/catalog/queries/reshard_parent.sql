-- By what a partitioned table ($1) is divided, and into what. A key column that is an expression is known by its text if it
-- is the only one.
SELECT jsonb_build_object(
    'strategy', p.partstrat,
    'columns', (SELECT jsonb_agg(jsonb_build_object(
        'name', coalesce(a.attname::text, e.expression, 'expression ' || k.place), 'attribute', a.attname,
        'expression', coalesce(quote_ident(a.attname), '(' || e.expression || ')'),
        'type_oid', v.type::bigint, 'modifier', coalesce(a.atttypmod, -1), 'collation', k.collated::bigint,
        'class', k.opclass::bigint, 'type_text', format_type(v.type, a.atttypmod),
        'type_name', format_type(v.type, NULL)) ORDER BY k.place)
        FROM unnest(p.partattrs::int2[], p.partclass::oid[], p.partcollation::oid[])
             WITH ORDINALITY AS k (attnum, opclass, collated, place)
        JOIN pg_opclass AS o ON o.oid = k.opclass
        LEFT JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = k.attnum AND k.attnum > 0
        LEFT JOIN LATERAL (
            SELECT pg_get_expr(p.partexprs, p.partrelid) AS expression
            WHERE a.attname IS NULL AND (SELECT count(*) FROM unnest(p.partattrs::int2[]) AS z (attnum) WHERE z.attnum = 0) = 1) AS e ON true
        CROSS JOIN LATERAL (SELECT coalesce(a.atttypid, o.opcintype) AS type) AS v),
    'partitions', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'oid', c.oid::bigint, 'name', jsonb_build_object('schema', n.nspname, 'name', c.relname),
        'bound', pg_get_expr(c.relpartbound, c.oid)) ORDER BY c.oid), '[]'::jsonb)
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid AND NOT i.inhdetachpending
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE i.inhparent = p.partrelid))::text
FROM pg_partitioned_table AS p
WHERE p.partrelid = $1::oid
