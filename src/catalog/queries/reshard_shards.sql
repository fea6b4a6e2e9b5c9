-- What the relations of some oids ($1) are among partitions, in the order of the oids; one that does not exist is left out.
SELECT jsonb_build_object(
    'oid', c.oid::bigint, 'name', jsonb_build_object('schema', n.nspname, 'name', c.relname), 'kind', c.relkind,
    'partition', c.relispartition, 'temporary', c.relpersistence = 't', 'detaching', coalesce(i.inhdetachpending, false),
    'bound', pg_get_expr(c.relpartbound, c.oid), 'tablespace', s.spcname,
    'may_place', c.reltablespace = 0 OR has_tablespace_privilege(r.relowner, s.oid, 'CREATE'),
    'may_create', has_schema_privilege(r.relowner, n.oid, 'CREATE'),
    'parent', p.oid::bigint,
    'parent_name', CASE WHEN p.oid IS NOT NULL THEN jsonb_build_object('schema', pn.nspname, 'name', p.relname) END,
    'root', r.oid::bigint,
    'root_name', CASE WHEN r.oid IS NOT NULL THEN jsonb_build_object('schema', rn.nspname, 'name', r.relname) END,
    'owner', r.relowner::bigint, 'owned', coalesce(pg_has_role(r.relowner, 'USAGE'), false))::text
FROM unnest($1::bigint[]) WITH ORDINALITY AS w (oid, place)
JOIN pg_class AS c ON c.oid = w.oid::oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_tablespace AS s ON s.oid = coalesce(nullif(c.reltablespace, 0),
                                               (SELECT d.dattablespace FROM pg_database AS d WHERE d.datname = current_database()))
LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid AND c.relispartition
LEFT JOIN pg_class AS p ON p.oid = i.inhparent
LEFT JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
LEFT JOIN pg_class AS r ON r.oid = pg_partition_root(c.oid)
LEFT JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
ORDER BY w.place
