-- Constraints and indexes of the shards of table $1.$2 that are called $3, or $4 and a number, while the table itself has
-- no $3.
WITH root AS (
    SELECT c.oid, c.relnamespace
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'p'
      AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.conname = $3)
      AND NOT EXISTS (SELECT FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND x.relname = $3)
), named AS (
    SELECT s.relid, p.name
    FROM root AS r
    CROSS JOIN LATERAL pg_partition_tree(r.oid) AS s
    CROSS JOIN LATERAL (
        SELECT k.conname AS name FROM pg_constraint AS k WHERE k.conrelid = s.relid AND k.conparentid = 0
        UNION
        SELECT x.relname FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
        WHERE i.indrelid = s.relid AND NOT x.relispartition) AS p
    WHERE s.isleaf AND s.level > 0
)
SELECT jsonb_build_object('partition', jsonb_build_object('schema', n.nspname, 'name', c.relname), 'index', d.name, 'leaf', true)::text
FROM named AS d
JOIN pg_class AS c ON c.oid = d.relid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE d.name = $3 OR starts_with(d.name::text, $4) AND substr(d.name::text, length($4) + 1) ~ '^[0-9]{4,}$'
ORDER BY c.relname
