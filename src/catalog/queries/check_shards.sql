-- Findings about sharded tables; $1 = oid of one table as bigint, null = all; $2 = whether the worker is there; $3 = oids of
-- the leaves of DEFAULT shards that have rows.
WITH roots AS (
    SELECT c.oid, c.relname, c.relnamespace, c.reltuples, c.relowner, c.relreplident, c.relrowsecurity, n.nspname, t.proposal_id, t.created_at,
           format('%I.%I', n.nspname, c.relname) AS relation
    FROM presplit.sharded AS t
    JOIN pg_class AS c ON c.oid = t.relation
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE $1 IS NULL OR c.oid::bigint = $1
), shards AS (
    SELECT r.relation AS root, r.oid AS root_oid, r.relowner AS root_owner, r.relreplident AS root_identity,
           c.oid, c.relowner, c.relreplident, c.relkind,
           format('%I.%I', n.nspname, c.relname) AS shard,
           pg_get_expr(c.relpartbound, c.oid) AS bound
    FROM roots AS r
    CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t
    JOIN pg_class AS c ON c.oid = t.relid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE t.level > 0
), worked_on AS (
    -- An operation may work on a table that was divided by hand.
    SELECT format('%I.%I', n.nspname, c.relname) AS relation
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE ($1 IS NULL OR c.oid::bigint = $1) AND c.relkind IN ('r', 'p')
), findings (severity, object, problem, remedy) AS (
    SELECT 'error', format('%I.%I', n.nspname, x.relname),
           format('index of %s is not valid: it enforces nothing and no plan uses it', i.indrelid::regclass),
           'Build the missing parts on the shards and attach them with ALTER INDEX ... ATTACH PARTITION, or drop and recreate it.'
    FROM (SELECT oid FROM roots UNION SELECT oid FROM shards) AS o
    JOIN pg_index AS i ON i.indrelid = o.oid AND NOT i.indisvalid
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = x.relnamespace
    UNION ALL
    SELECT 'error', s.shard,
           format('shard belongs to %I, its table to %I', pg_get_userbyid(s.relowner), pg_get_userbyid(s.root_owner)),
           format('ALTER TABLE %s OWNER TO %I;', s.shard, pg_get_userbyid(s.root_owner))
    FROM shards AS s WHERE s.relowner <> s.root_owner
    UNION ALL
    SELECT 'warning', s.shard, 'replica identity differs from that of its table',
           format('ALTER TABLE %s REPLICA IDENTITY %s;', s.shard,
                  CASE s.root_identity WHEN 'd' THEN 'DEFAULT' WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                       ELSE (SELECT format('USING INDEX %I', x.relname)
                             FROM pg_index AS i
                             CROSS JOIN LATERAL pg_partition_tree(i.indexrelid) AS t
                             JOIN pg_index AS p ON p.indexrelid = t.relid AND p.indrelid = s.oid
                             JOIN pg_class AS x ON x.oid = p.indexrelid
                             WHERE i.indrelid = s.root_oid AND i.indisreplident) END)
    -- An index that only the shards have identifies only them.
    FROM shards AS s WHERE s.relreplident <> s.root_identity AND NOT (s.root_identity = 'd' AND s.relreplident = 'i')
    UNION ALL
    -- As the dump had it, mostly. What a shard inherits is validated with its table; 18 has some that are never enforced.
    SELECT 'warning', format('%s on %s', quote_ident(k.conname), k.conrelid::regclass), 'constraint is not validated',
           format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', k.conrelid::regclass, k.conname)
    FROM (SELECT oid FROM roots UNION SELECT oid FROM shards) AS o
    JOIN pg_constraint AS k ON k.conrelid = o.oid AND NOT k.convalidated AND k.coninhcount = 0
     AND coalesce((to_jsonb(k) ->> 'conenforced')::bool, true)
    UNION ALL
    SELECT 'warning', s.shard,
           format('rows that fit no other shard of %s are in its DEFAULT', s.root),
           'Detach the DEFAULT shard, create a shard for them, and insert them again through the table.'
    FROM shards AS s
    JOIN pg_partitioned_table AS k ON k.partrelid = s.root_oid
    WHERE s.bound = 'DEFAULT'
      -- Values that no list names may be meant to be divided by hash.
      AND (s.relkind = 'r' OR k.partstrat <> 'l')
      AND EXISTS (SELECT FROM pg_partition_tree(s.oid) AS t WHERE t.relid::oid::bigint = ANY ($3::bigint[]))
    UNION ALL
    SELECT 'warning', r.relation, 'table was never analyzed as a whole: the planner knows nothing of it; autovacuum does not do it',
           format('ANALYZE %s;', r.relation)
    FROM roots AS r
    WHERE EXISTS (SELECT FROM shards AS s WHERE s.root_oid = r.oid AND s.relkind = 'r' AND pg_relation_size(s.oid) > 0)
      -- A dump's own statistics, which PostgreSQL 18 can restore, are those of a table without parts.
      AND (r.reltuples < 0
           OR pg_has_role(r.relowner, 'USAGE')
              AND NOT EXISTS (SELECT FROM pg_stats AS s WHERE s.schemaname = r.nspname AND s.tablename = r.relname AND s.inherited))
    UNION ALL
    SELECT 'info', c.relation,
           format('%s rows came in by COPY, statements: %s', sum(c.rows_loaded), count(*)),
           'Compare with SELECT count(*).'
    FROM presplit.restore_report AS c
    JOIN roots AS r ON r.relation = c.relation AND c.at >= r.created_at
    WHERE c.statement_kind = 'COPY'
    GROUP BY c.relation
    UNION ALL
    SELECT 'warning', r.relation,
           format('publication %I shows subscribers the shards, not the table', p.pubname),
           format('ALTER PUBLICATION %I SET (publish_via_partition_root = true);', p.pubname)
    FROM roots AS r
    JOIN pg_publication AS p ON NOT p.pubviaroot
     AND (p.puballtables
          OR EXISTS (SELECT FROM pg_publication_namespace AS n WHERE n.pnpubid = p.oid AND n.pnnspid = r.relnamespace)
          OR EXISTS (SELECT FROM pg_publication_rel AS t WHERE t.prpubid = p.oid AND t.prrelid = r.oid))
    UNION ALL
    SELECT CASE WHEN a.whole AND NOT a.replaces THEN 'error' ELSE 'warning' END, a.relation,
           CASE WHEN a.whole AND NOT a.replaces THEN 'table is armed for sharding, but it is there and whole'
                ELSE 'table is still armed: a restore would be rewritten' END,
           format('SELECT disarm(%L);', a.relation)
    FROM (SELECT format('%I.%I', v.schema_name, v.table_name) AS relation, v.replaces,
                 EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                         WHERE n.nspname = v.schema_name AND c.relname = v.table_name AND c.relkind <> 'p') AS whole
          FROM presplit.armed AS v) AS a
    WHERE $1 IS NULL AND NOT EXISTS (SELECT FROM roots AS r WHERE r.relation = a.relation)
    UNION ALL
    SELECT 'warning', r.relation, format('operation %s (%s) rests: %s', o.operation_id, o.kind, o.error),
           format('SELECT resume_operation(%s);', o.operation_id)
    FROM presplit.operations AS o JOIN worked_on AS r ON r.relation = o.relation
    WHERE o.phase = 'paused' AND o.error IS NOT NULL
    UNION ALL
    SELECT 'warning', r.relation, format('operation %s (%s) has failed: %s', o.operation_id, o.kind, o.error),
           format('SELECT resume_operation(%s);', o.operation_id)
    FROM presplit.operations AS o JOIN worked_on AS r ON r.relation = o.relation
    WHERE o.phase = 'failed' AND o.kind <> 'load'
      AND NOT EXISTS (SELECT FROM presplit.operations AS n
                      WHERE n.relation = o.relation AND n.kind <> 'load' AND n.operation_id > o.operation_id)
    UNION ALL
    SELECT 'info', 'pg_presplit worker', 'background worker is not running: sizes are not recorded',
           'Add pg_presplit to shared_preload_libraries and restart the server.'
    WHERE NOT $2
)
SELECT jsonb_build_object('severity', f.severity, 'object', f.object, 'problem', f.problem, 'remedy', f.remedy)::text
FROM findings AS f
ORDER BY array_position(ARRAY['error', 'warning', 'info'], f.severity), f.object, f.problem
