-- What the replaced shards ($1) of a partitioned table ($2, its sharded table $3) take, with their identity indexes ($4), and
-- whom their swap concerns.
SELECT jsonb_build_object(
    'table_bytes', (SELECT coalesce(sum(pg_table_size(s)), 0) FROM unnest($1::oid[]) AS s),
    'all_index_bytes', (SELECT coalesce(sum(pg_indexes_size(s)), 0) FROM unnest($1::oid[]) AS s),
    'identity_bytes', (SELECT coalesce(sum(pg_relation_size(x)), 0) FROM unnest($4::oid[]) AS x),
    'default', (SELECT jsonb_build_object('schema', n.nspname, 'name', c.relname)
                FROM pg_partitioned_table AS p
                JOIN pg_class AS c ON c.oid = p.partdefid
                JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE p.partrelid = $2::oid AND p.partdefid <> ALL ($1::oid[])),
    'referencing', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('schema', n.nspname, 'name', c.relname)), '[]'::jsonb)
                    FROM pg_constraint AS k
                    JOIN pg_class AS c ON c.oid = k.conrelid
                    JOIN pg_namespace AS n ON n.oid = c.relnamespace
                    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid IN ($2::oid, $3::oid)
                      AND NOT pg_partition_root(k.conrelid) IS NOT DISTINCT FROM $3::oid),
    'referenced', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('schema', n.nspname, 'name', c.relname)), '[]'::jsonb)
                   FROM pg_constraint AS k
                   JOIN pg_class AS c ON c.oid = k.confrelid
                   JOIN pg_namespace AS n ON n.oid = c.relnamespace
                   WHERE k.contype = 'f' AND k.conrelid = ANY ($1::oid[]) AND k.confrelid NOT IN ($2::oid, $3::oid)
                     AND NOT c.relispartition))::text
