-- The other tables here that share bounds with table $1 by the proposal that it was made by.
SELECT jsonb_build_object('schema', n.nspname, 'name', c.relname)::text
FROM presplit.sharded_tables AS t
JOIN pg_class AS own ON own.oid = t.relation
JOIN pg_namespace AS space ON space.oid = own.relnamespace
JOIN presplit.proposal_relations AS r
    ON r.proposal_id = t.proposal_id AND r.schema_name = space.nspname AND r.table_name = own.relname
JOIN presplit.proposal_relations AS o
    ON o.proposal_id = t.proposal_id AND o.content->>'colocation_group' = r.content->>'colocation_group'
       AND (o.schema_name, o.table_name) <> (r.schema_name, r.table_name)
JOIN pg_namespace AS n ON n.nspname = o.schema_name
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = o.table_name
JOIN presplit.sharded_tables AS u ON u.relation = c.oid AND u.proposal_id = t.proposal_id
WHERE t.relation = $1::oid
ORDER BY n.nspname, c.relname
