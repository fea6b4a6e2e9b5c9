-- What the replaced shards ($1) of a partitioned table ($2) take, with their identity indexes ($3), and its DEFAULT.
SELECT jsonb_build_object(
    'table_bytes', (SELECT coalesce(sum(pg_table_size(s)), 0) FROM unnest($1::oid[]) AS s),
    'all_index_bytes', (SELECT coalesce(sum(pg_indexes_size(s)), 0) FROM unnest($1::oid[]) AS s),
    'identity_bytes', (SELECT coalesce(sum(pg_relation_size(x)), 0) FROM unnest($3::oid[]) AS x),
    'default', (SELECT jsonb_build_object('schema', n.nspname, 'name', c.relname)
                FROM pg_partitioned_table AS p
                JOIN pg_class AS c ON c.oid = p.partdefid
                JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE p.partrelid = $2::oid AND p.partdefid <> ALL ($1::oid[])))::text
