-- What a shard lacks that the others of its table have and PostgreSQL does not pass on to one that is made later; $1 = oid
-- of one table as bigint, null = all; $2 = oid of one shard as bigint, null = all.
--
-- A property is the table's if more than half of its shards have it: what somebody gave to one of them is nobody else's
-- business, and nothing that a shard has of its own is taken from it.
WITH leaf AS (
    SELECT r.oid AS root, format('%I.%I', rn.nspname, r.relname) AS root_name, c.oid, c.relname, c.relpersistence, c.relreplident, c.relam, c.relacl, c.relowner,
           format('%I.%I', n.nspname, c.relname) AS shard, count(*) OVER (PARTITION BY r.oid) AS shards, r.relreplident AS root_identity,
           c.reloptions, (SELECT x.reloptions FROM pg_class AS x WHERE x.oid = c.reltoastrelid) AS toast_options
    FROM presplit.sharded AS t
    JOIN pg_class AS r ON r.oid = t.relation AND r.relkind = 'p'
    JOIN pg_namespace AS rn ON rn.oid = r.relnamespace
    CROSS JOIN LATERAL pg_partition_tree(r.oid) AS p
    JOIN pg_class AS c ON c.oid = p.relid AND c.relkind = 'r'
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE p.level > 0 AND ($1 IS NULL OR r.oid::bigint = $1)
), had (root, oid, place, facet, value) AS (
    -- One row for each thing that a shard has.
    SELECT root, oid, 1, 'persistence', relpersistence::text FROM leaf
    UNION ALL
    SELECT l.root, l.oid, 2, 'method', a.amname::text FROM leaf AS l JOIN pg_am AS a ON a.oid = l.relam
    UNION ALL
    SELECT l.root, l.oid, 3, format('%I', o.option_name), o.option_value FROM leaf AS l CROSS JOIN LATERAL pg_options_to_table(l.reloptions) AS o
    UNION ALL
    SELECT l.root, l.oid, 3, format('toast.%I', o.option_name), o.option_value FROM leaf AS l CROSS JOIN LATERAL pg_options_to_table(l.toast_options) AS o
    UNION ALL
    SELECT l.root, l.oid, 4, a.attname, a.attstattarget::text
    FROM leaf AS l JOIN pg_attribute AS a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
    UNION ALL
    SELECT l.root, l.oid, 5, a.attname, CASE a.attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END
    FROM leaf AS l JOIN pg_attribute AS a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attcompression <> ''
    UNION ALL
    SELECT l.root, l.oid, 6, a.attname, CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END
    FROM leaf AS l JOIN pg_attribute AS a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attstorage <> t.typstorage
), part AS (
    -- Constraints and indexes that the table itself does not have, as they are written but for their names.
    SELECT l.root, l.oid, k.oid AS object, 'pg_constraint'::regclass AS class, k.conname AS name, k.contype AS kind, pg_get_constraintdef(k.oid) AS definition,
           k.conindid AS index, obj_description(k.oid, 'pg_constraint') AS note
    FROM leaf AS l JOIN pg_constraint AS k ON k.conrelid = l.oid AND k.conparentid = 0 AND k.contype IN ('p', 'u', 'x', 'f')
    UNION ALL
    SELECT l.root, l.oid, x.oid, 'pg_class'::regclass, x.relname, 'i'::"char",
           CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || substr(pg_get_indexdef(x.oid), length(format('CREATE %sINDEX %I ON %s USING ',
               CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname, l.shard)) + 1),
           x.oid, obj_description(x.oid, 'pg_class')
    FROM leaf AS l JOIN pg_index AS i ON i.indrelid = l.oid AND i.indisvalid JOIN pg_class AS x ON x.oid = i.indexrelid AND NOT x.relispartition
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = x.oid AND k.contype IN ('p', 'u', 'x'))
), place AS (
    -- What identifies and clusters a shard: the index by that of the table, or by how it is written.
    SELECT l.root, l.oid, i.indexrelid AS index, i.indisclustered, i.indisreplident,
           CASE WHEN x.relispartition THEN pg_partition_root(x.oid)::oid::text
                ELSE (SELECT p.kind::text || p.definition FROM part AS p WHERE p.index = x.oid ORDER BY p.kind LIMIT 1) END AS same
    FROM leaf AS l JOIN pg_index AS i ON i.indrelid = l.oid JOIN pg_class AS x ON x.oid = i.indexrelid
), usual AS (
    SELECT h.root, h.place, h.facet, h.value FROM had AS h JOIN leaf AS l ON l.oid = h.oid GROUP BY h.root, h.place, h.facet, h.value, l.shards HAVING count(*) * 2 > l.shards
), usual_part AS (
    SELECT p.root, p.kind, p.definition, (array_agg(p.name ORDER BY p.oid))[1] AS name, max(p.note) AS note
    FROM part AS p JOIN leaf AS l ON l.oid = p.oid GROUP BY p.root, p.kind, p.definition, l.shards HAVING count(DISTINCT p.oid) * 2 > l.shards
), lacking AS (
    SELECT l.*, u.place, u.facet, u.value
    FROM leaf AS l JOIN usual AS u ON u.root = l.root
    WHERE NOT EXISTS (SELECT FROM had AS h WHERE h.oid = l.oid AND h.place = u.place AND h.facet = u.facet AND (u.place > 2 OR h.value = u.value))
), lacking_part AS (
    SELECT l.*, u.kind, u.definition, u.note,
           -- Numbered names end in the number of the shard; the next that is free.
           CASE WHEN u.name ~ '_s[0-9]{4,}$' AND u.kind <> 'f' THEN
               regexp_replace(u.name, '[0-9]+$', '') || regexp_replace('000' || (
                   (SELECT coalesce(max(substring(x.relname FROM '_s([0-9]{4,9})$')::int), 0) FROM pg_class AS x
                    WHERE x.relnamespace = (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = l.oid)
                      AND regexp_replace(x.relname, '_s[0-9]+$', '') = regexp_replace(u.name, '_s[0-9]+$', ''))
                   + row_number() OVER (PARTITION BY l.root, u.name ORDER BY l.oid))::text, '^0+(?=[0-9]{4})', '')
               ELSE u.name END AS name
    FROM leaf AS l JOIN usual_part AS u ON u.root = l.root
    WHERE NOT EXISTS (SELECT FROM part AS p WHERE p.oid = l.oid AND p.kind = u.kind AND p.definition = u.definition)
), findings (root, oid, shard, step, severity, problem, remedy) AS (
    SELECT root, oid, shard, place, CASE WHEN place = 1 THEN 'warning' ELSE 'info' END,
           CASE place WHEN 1 THEN CASE value WHEN 'u' THEN 'shard is logged, the other shards are not' ELSE 'shard is unlogged, the other shards are not' END
                WHEN 2 THEN format('shard does not have the access method of the other shards, %I', value)
                WHEN 3 THEN format('shard lacks a storage parameter of the other shards: %s', facet)
                WHEN 4 THEN format('column %I of the shard lacks the statistics target of the other shards', facet)
                WHEN 5 THEN format('column %I of the shard lacks the compression of the other shards', facet)
                ELSE format('column %I of the shard lacks the storage of the other shards', facet) END,
           format('ALTER TABLE %s %s;', shard,
                  CASE place WHEN 1 THEN CASE value WHEN 'u' THEN 'SET UNLOGGED' ELSE 'SET LOGGED' END
                       WHEN 2 THEN format('SET ACCESS METHOD %I', value)
                       WHEN 3 THEN format('SET (%s = %L)', facet, value)
                       WHEN 4 THEN format('ALTER COLUMN %I SET STATISTICS %s', facet, value)
                       WHEN 5 THEN format('ALTER COLUMN %I SET COMPRESSION %s', facet, value)
                       ELSE format('ALTER COLUMN %I SET STORAGE %s', facet, value) END)
    FROM lacking
    UNION ALL
    SELECT root, oid, shard, 7, CASE WHEN kind IN ('p', 'u', 'x') OR definition LIKE 'UNIQUE %' THEN 'error' ELSE 'warning' END,
           format('shard lacks what the other shards have: %s', CASE WHEN kind = 'i' THEN 'an index, ' ELSE '' END || definition),
           CASE WHEN kind = 'i' THEN format('CREATE %sINDEX %I ON %s USING %s;', CASE WHEN definition LIKE 'UNIQUE %' THEN 'UNIQUE ' ELSE '' END, name, shard,
                                            regexp_replace(definition, '^UNIQUE ', ''))
                ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s;', shard, name, definition) END
           || CASE WHEN note IS NULL THEN ''
                   WHEN kind = 'i' THEN format(' COMMENT ON INDEX %s.%I IS %L;', (SELECT format('%I', n.nspname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                                                                                  WHERE c.oid = p.oid), name, note)
                   ELSE format(' COMMENT ON CONSTRAINT %I ON %s IS %L;', name, shard, note) END
    FROM lacking_part AS p
    UNION ALL
    SELECT l.root, l.oid, l.shard, 9, 'info', 'shard is not clustered on the index that the other shards are clustered on',
           format('ALTER TABLE %s CLUSTER ON %I;', l.shard, (SELECT x.relname FROM pg_class AS x WHERE x.oid = p.index))
    FROM leaf AS l
    JOIN place AS p ON p.oid = l.oid
    WHERE NOT EXISTS (SELECT FROM place AS o WHERE o.oid = l.oid AND o.indisclustered)
      AND (SELECT count(*) FROM place AS o WHERE o.root = l.root AND o.same = p.same AND o.indisclustered) * 2 > l.shards
    UNION ALL
    -- What differs from the table itself is a finding of its own.
    SELECT l.root, l.oid, l.shard, 10, 'warning', 'replica identity is not that of the other shards',
           format('ALTER TABLE %s REPLICA IDENTITY %s;', l.shard, u.identity)
    FROM leaf AS l
    CROSS JOIN LATERAL (
        SELECT CASE o.relreplident WHEN 'd' THEN 'DEFAULT' WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
                    ELSE 'USING INDEX ' || (SELECT format('%I', x.relname) FROM place AS p JOIN pg_class AS x ON x.oid = p.index
                                            WHERE p.oid = l.oid AND p.same IN (SELECT q.same FROM place AS q WHERE q.root = l.root AND q.indisreplident)
                                            ORDER BY x.relname LIMIT 1) END AS identity
        FROM leaf AS o
        WHERE o.root = l.root GROUP BY o.relreplident HAVING count(*) * 2 > l.shards AND o.relreplident <> l.relreplident AND o.relreplident <> 'd') AS u
    WHERE u.identity IS NOT NULL AND l.root_identity = 'd'
    UNION ALL
    SELECT l.root, l.oid, l.shard, 11, 'warning', format('shard has privileges of its own, the other shards have none: rows are reached past %s and its policies', l.root_name),
           format('REVOKE ALL ON %s FROM %s;', l.shard, (SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ')
                                                         FROM aclexplode(l.relacl) AS a WHERE a.grantee <> l.relowner))
    FROM leaf AS l
    WHERE EXISTS (SELECT FROM aclexplode(l.relacl) AS a WHERE a.grantee <> l.relowner)
      AND (SELECT count(*) FROM leaf AS o WHERE o.root = l.root AND NOT EXISTS (SELECT FROM aclexplode(o.relacl) AS a WHERE a.grantee <> o.relowner)) * 2 > l.shards
)
SELECT jsonb_build_object('severity', f.severity, 'object', f.shard, 'problem', f.problem, 'remedy', f.remedy)::text
FROM findings AS f
WHERE $2 IS NULL OR f.oid::bigint = $2
ORDER BY f.shard, f.step, f.problem
