-- The sharded table that relation $1.$2 is, or is a partition of, and the statements that make the relation's owner and
-- replica identity those of the table.
SELECT jsonb_build_object(
    'schema', n.nspname, 'name', r.relname, 'oid', r.oid::bigint, 'proposal_id', t.proposal_id, 'shard', c.oid::bigint,
    'own', to_jsonb(array_remove(ARRAY[
        CASE WHEN c.relowner <> r.relowner THEN format('ALTER TABLE %I.%I OWNER TO %I;', s.nspname, c.relname, pg_get_userbyid(r.relowner)) END,
        CASE WHEN r.relreplident <> c.relreplident AND r.relreplident <> 'd' THEN
            format('ALTER TABLE %I.%I REPLICA IDENTITY %s;', s.nspname, c.relname,
                   CASE r.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                        ELSE (SELECT format('USING INDEX %I', x.relname)
                              FROM pg_index AS i
                              CROSS JOIN LATERAL pg_partition_tree(i.indexrelid) AS p
                              JOIN pg_index AS j ON j.indexrelid = p.relid AND j.indrelid = c.oid
                              JOIN pg_class AS x ON x.oid = j.indexrelid
                              WHERE i.indrelid = r.oid AND i.indisreplident) END) END], NULL)))::text
FROM pg_class AS c
JOIN pg_namespace AS s ON s.oid = c.relnamespace
CROSS JOIN LATERAL pg_partition_ancestors(c.oid) AS a
JOIN presplit.sharded_tables AS t ON t.relation = a.relid
JOIN pg_class AS r ON r.oid = t.relation
JOIN pg_namespace AS n ON n.oid = r.relnamespace
WHERE s.nspname = $1 AND c.relname = $2
