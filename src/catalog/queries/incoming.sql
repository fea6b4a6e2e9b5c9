-- Foreign keys of tables that reference a partitioned table or one that it is a partition of; $1 = its oid as bigint.
SELECT jsonb_build_object(
    'table', c.oid::bigint, 'name', k.conname,
    'holds', k.convalidated AND coalesce((to_jsonb(k)->>'conenforced')::bool, true),
    'drop', format('ALTER TABLE %I.%I DROP CONSTRAINT %I', n.nspname, c.relname, k.conname),
    'statement', format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s%s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid),
                        CASE WHEN k.convalidated AND coalesce((to_jsonb(k)->>'conenforced')::bool, true) THEN ' NOT VALID' ELSE '' END),
    'comment', CASE WHEN obj_description(k.oid, 'pg_constraint') IS NOT NULL
                    THEN format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, c.relname, obj_description(k.oid, 'pg_constraint')) END)::text
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND (k.confrelid = $1::bigint::oid OR k.confrelid IN (SELECT a.relid FROM pg_partition_ancestors($1::bigint::oid::regclass) AS a))
ORDER BY c.oid, k.conname
