-- What a database holds, one line for each property of each object, so that two databases can be compared: the
-- source of a dump and its copy in shards. A sharded table is described as the plain table that it stands for:
-- what only its shards can have is taken from them, all of which must say the same.
--
-- Differences that are meant, and therefore not described:
--   * n_distinct of a sharded table is n_distinct_inherited;
--   * publications of sharded tables publish via the root;
--   * an unlogged table is listed in a publication FOR ALL TABLES, which publishes nothing of it;
--   * the sequence of an identity column of an unlogged table is logged;
--   * a check or not null of a sharded table is never NO INHERIT;
--   * an exclusion constraint before PostgreSQL 17 is one on each shard, so its name is not that of the dump;
--   * a foreign key that is not valid may be valid, or be one on each shard (before PostgreSQL 18);
--   * what is the extension's.
--
-- -v sharded="{app.orders,...}": the tables that are meant to be in shards; one that is plain is described as it is.
-- -v fk=18 where foreign keys may be NOT VALID on a partitioned table.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;
SET TimeZone = 'UTC';
SET row_security = off;
SET extra_float_digits = 1;
SET jit = off;

CREATE TEMPORARY TABLE meant AS SELECT x::regclass AS oid FROM unnest(:'sharded'::text[]) AS x WHERE to_regclass(x) IS NOT NULL;
-- The tables, and where the rows of each are.
CREATE TEMPORARY TABLE carrier AS
SELECT c.oid AS relation, coalesce(t.relid::oid, c.oid) AS carrier, m.oid IS NOT NULL AS sharded
FROM pg_class AS c
LEFT JOIN meant AS m ON m.oid = c.oid AND c.relkind = 'p'
LEFT JOIN LATERAL (SELECT t.relid FROM pg_partition_tree(m.oid) AS t WHERE t.isleaf) AS t ON true
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'
  AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace, 'information_schema'::regnamespace)
  AND c.relnamespace IS DISTINCT FROM to_regnamespace('presplit')
  AND NOT EXISTS (SELECT FROM meant AS r CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t WHERE t.relid = c.oid AND t.level > 0);
CREATE TEMPORARY TABLE relation AS SELECT DISTINCT relation AS oid, sharded, relation::regclass::text AS name FROM carrier;
-- Indexes of the tables, and the parts of each on the shards.
CREATE TEMPORARY TABLE part AS
SELECT r.oid AS relation, r.sharded, i.indexrelid AS index, coalesce(t.relid::oid, i.indexrelid) AS part
FROM relation AS r
JOIN pg_index AS i ON i.indrelid = r.oid
LEFT JOIN LATERAL (SELECT t.relid FROM pg_partition_tree(i.indexrelid) AS t WHERE t.isleaf) AS t ON r.sharded;

ANALYZE meant, carrier, relation, part;

SELECT line FROM (
    SELECT format('%s: kind %s, owner %s, persistence %s, method %s, tablespace %s, replica identity %s, row security %s%s, type %s, acl %s',
        r.name, CASE WHEN r.sharded THEN 'r' ELSE c.relkind::text END, pg_get_userbyid(c.relowner),
        (SELECT string_agg(DISTINCT CASE c.relkind WHEN 'S' THEN '-' ELSE l.relpersistence::text END, ' ') FROM carrier AS k JOIN pg_class AS l ON l.oid = k.carrier WHERE k.relation = r.oid),
        (SELECT string_agg(DISTINCT a.amname, ' ') FROM carrier AS k JOIN pg_class AS l ON l.oid = k.carrier JOIN pg_am AS a ON a.oid = l.relam WHERE k.relation = r.oid),
        (SELECT string_agg(DISTINCT coalesce(s.spcname, '-'), ' ') FROM carrier AS k JOIN pg_class AS l ON l.oid = k.carrier LEFT JOIN pg_tablespace AS s ON s.oid = l.reltablespace WHERE k.relation = r.oid),
        (SELECT string_agg(DISTINCT l.relreplident::text, ' ') FROM pg_class AS l WHERE l.oid = r.oid OR r.sharded AND l.oid IN (SELECT t.relid FROM pg_partition_tree(r.oid) AS t)),
        c.relrowsecurity, c.relforcerowsecurity, CASE WHEN c.reloftype > 0 THEN c.reloftype::regtype END,
        (SELECT string_agg(x, ' ' ORDER BY x COLLATE "C") FROM unnest(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))::text[]) AS x)) AS line
    FROM relation AS r JOIN pg_class AS c ON c.oid = r.oid
    UNION ALL
    -- Also of what is between a table and its shards.
    SELECT format('%s: partition %s has owner %s and acl %s', r.name, t.relid, pg_get_userbyid(l.relowner), l.relacl)
    FROM relation AS r JOIN pg_class AS c ON c.oid = r.oid CROSS JOIN LATERAL pg_partition_tree(r.oid) AS t JOIN pg_class AS l ON l.oid = t.relid
    WHERE r.sharded AND t.level > 0 AND (l.relowner <> c.relowner OR EXISTS (SELECT FROM aclexplode(l.relacl) AS a WHERE a.grantee <> l.relowner))
    UNION ALL
    SELECT format('%s: options %s', r.name, (SELECT string_agg(DISTINCT coalesce((SELECT string_agg(o, ' ' ORDER BY o COLLATE "C") FROM unnest(l.reloptions) AS o), '-')
                          || ' toast ' || coalesce((SELECT string_agg(o, ' ' ORDER BY o COLLATE "C") FROM unnest(t.reloptions) AS o), '-'), ' | ')
             FROM carrier AS k JOIN pg_class AS l ON l.oid = k.carrier LEFT JOIN pg_class AS t ON t.oid = l.reltoastrelid WHERE k.relation = r.oid))
    FROM relation AS r JOIN pg_class AS c ON c.oid = r.oid WHERE c.relkind <> 'S'
    UNION ALL
    -- Columns by place and name: dropped ones are not in a dump. What a shard has must be what its table has.
    SELECT format('%s.%s: column %s %s collation %s not null %s identity %s generated %s default %s storage %s compression %s statistics %s options %s acl %s',
        r.name, quote_ident(a.attname), (SELECT count(*) FROM pg_attribute AS b WHERE b.attrelid = a.attrelid AND b.attnum > 0 AND NOT b.attisdropped AND b.attnum <= a.attnum),
        format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attidentity, a.attgenerated,
        pg_get_expr(f.adbin, f.adrelid), s.storage, s.compression, s.target,
        (SELECT string_agg(CASE WHEN r.sharded THEN replace(o.option_name, '_inherited', '') ELSE o.option_name END || '=' || o.option_value, ' ' ORDER BY o.option_name)
         FROM pg_options_to_table(a.attoptions) AS o
         WHERE o.option_name <> 'pg_attver' AND NOT (o.option_name = 'n_distinct_inherited' AND NOT r.sharded)) ,
        (SELECT string_agg(x, ' ' ORDER BY x COLLATE "C") FROM unnest(a.attacl::text[]) AS x))
    FROM relation AS r
    JOIN pg_class AS c ON c.oid = r.oid AND c.relkind <> 'S'
    JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    CROSS JOIN LATERAL (
        SELECT string_agg(DISTINCT b.attstorage::text, ' ') AS storage, string_agg(DISTINCT b.attcompression::text, ' ') AS compression,
               string_agg(DISTINCT coalesce(nullif(b.attstattarget, -1)::text, '-'), ' ') AS target
        FROM pg_attribute AS b
        WHERE b.attname = a.attname AND (b.attrelid = r.oid OR b.attrelid IN (SELECT k.carrier FROM carrier AS k WHERE k.relation = r.oid))) AS s
    UNION ALL
    -- Exclusion constraints are looked for where they are; a not null of 18 is compared by name too.
    SELECT format('%s: constraint %s %s%s%s', r.name,
               CASE WHEN k.contype = 'x' THEN '(exclusion)' ELSE quote_ident(k.conname) END,
               regexp_replace(replace(CASE WHEN k.contype IN ('c', 'n') THEN replace(pg_get_constraintdef(k.oid), ' NO INHERIT', '')
                    ELSE pg_get_constraintdef(k.oid) END, ' ON ONLY ', ' ON '), CASE WHEN k.contype = 'f' AND :fk < 18 THEN ' NOT VALID$' ELSE '^$' END, ''),
               CASE WHEN k.condeferrable THEN ' deferrable' END, CASE WHEN k.contype = 'x' AND r.sharded AND k.conrelid <> r.oid THEN
               CASE WHEN (SELECT count(*) FROM pg_constraint AS o WHERE o.contype = 'x' AND o.conrelid IN (SELECT x.carrier FROM carrier AS x WHERE x.relation = r.oid)
                          AND pg_get_constraintdef(o.oid) = pg_get_constraintdef(k.oid))
                       = (SELECT count(*) FROM carrier AS x WHERE x.relation = r.oid) THEN '' ELSE ' not on every shard' END END)
    FROM relation AS r
    JOIN pg_constraint AS k ON k.conrelid = r.oid
        -- One of the shards speaks for all, as far as the table itself does not.
        OR k.contype IN ('x', 'f') AND k.conparentid = 0 AND k.conrelid = (SELECT min(x.carrier::oid) FROM carrier AS x WHERE x.relation = r.oid AND r.sharded)
           AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conrelid = r.oid AND o.conname = k.conname)
    WHERE k.contype <> 't' AND NOT (k.contype = 'f' AND k.conparentid <> 0)
    UNION ALL
    SELECT format('%s: constraint %s is not validated', r.name, k.conname)
    FROM relation AS r JOIN pg_constraint AS k ON k.conrelid = r.oid
    WHERE NOT k.convalidated AND NOT (k.contype = 'f' AND (:fk < 18 OR k.conparentid <> 0))
    UNION ALL
    -- A foreign key to a sharded table has one of its own for each shard, called after it and a number. They are a part of
    -- it, as the shards are of the table, as long as they are as valid as it is.
    SELECT format('%s: constraint %s, a part of %s, is not as valid as that', r.name, k.conname, w.conname)
    FROM relation AS r JOIN pg_constraint AS k ON k.conrelid = r.oid JOIN pg_constraint AS w ON w.oid = k.conparentid
    WHERE k.contype = 'f' AND (k.convalidated <> w.convalidated
       OR coalesce((to_jsonb(k) ->> 'conenforced')::bool, true) <> coalesce((to_jsonb(w) ->> 'conenforced')::bool, true))
    UNION ALL
    SELECT format('%s: index %s %s%s%s%s%s%s, tablespace %s, statistics %s, options %s', r.name, CASE WHEN i.indisexclusion THEN '(exclusion)' ELSE p.index::regclass::text END,
               regexp_replace(pg_get_indexdef(p.index), '^CREATE (UNIQUE )?INDEX .*? ON (ONLY )?', 'CREATE \1INDEX ON '),
               CASE WHEN i.indisprimary THEN ' primary' END, CASE WHEN NOT i.indimmediate THEN ' deferrable' END,
               CASE WHEN i.indisclustered OR EXISTS (SELECT FROM part AS q JOIN pg_index AS j ON j.indexrelid = q.part AND j.indisclustered WHERE q.index = p.index)
                    THEN ' clustered on ' || (SELECT count(*) FILTER (WHERE NOT j.indisclustered) FROM part AS q JOIN pg_index AS j ON j.indexrelid = q.part WHERE q.index = p.index) || ' not' END,
               CASE WHEN i.indisreplident THEN ' identity, not of ' || (SELECT count(*) FILTER (WHERE NOT j.indisreplident) FROM part AS q JOIN pg_index AS j ON j.indexrelid = q.part WHERE q.index = p.index) END,
               CASE WHEN i.indisvalid AND (SELECT bool_and(j.indisvalid) FROM part AS q JOIN pg_index AS j ON j.indexrelid = q.part WHERE q.index = p.index) THEN ''
                    ELSE ' INVALID' END
               || CASE WHEN r.sharded AND (SELECT count(*) FROM part AS q WHERE q.index = p.index) <> (SELECT count(*) FROM carrier AS k WHERE k.relation = r.oid)
                       THEN ' NOT ON EVERY SHARD' ELSE '' END,
               (SELECT string_agg(DISTINCT coalesce(s.spcname, '-'), ' ') FROM part AS q JOIN pg_class AS l ON l.oid = q.part LEFT JOIN pg_tablespace AS s ON s.oid = l.reltablespace WHERE q.index = p.index),
               (SELECT string_agg(DISTINCT b.attnum || ':' || b.attstattarget, ' ') FROM part AS q JOIN pg_attribute AS b ON b.attrelid = q.part AND b.attstattarget >= 0 WHERE q.index = p.index),
               (SELECT string_agg(DISTINCT coalesce(l.reloptions::text, '-'), ' ') FROM part AS q JOIN pg_class AS l ON l.oid = q.part WHERE q.index = p.index))
    FROM relation AS r JOIN (SELECT DISTINCT relation, index FROM part) AS p ON p.relation = r.oid JOIN pg_index AS i ON i.indexrelid = p.index
    WHERE NOT i.indisexclusion
    UNION ALL
    SELECT format('%s: trigger %s enabled %s, with %s clones', r.name, pg_get_triggerdef(g.oid),
               g.tgenabled::text, CASE WHEN r.sharded AND g.tgtype & 1 = 1 THEN
                   (SELECT CASE WHEN count(*) = (SELECT count(*) FROM carrier AS k WHERE k.relation = r.oid) AND bool_and(h.tgenabled = g.tgenabled)
                                THEN 'all' ELSE 'wrong' END FROM pg_trigger AS h WHERE h.tgparentid = g.oid) ELSE 'all' END)
    FROM relation AS r JOIN pg_trigger AS g ON g.tgrelid = r.oid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT format('%s: rule %s %s', r.name, pg_get_ruledef(w.oid), w.ev_enabled) FROM relation AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid
    UNION ALL
    SELECT format('%s: policy %s %s %s %s %s %s', r.name, p.polname, p.polcmd, p.polpermissive, (SELECT string_agg(o::regrole::text, ',' ORDER BY o::regrole::text) FROM unnest(p.polroles) AS o),
               pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
    UNION ALL
    SELECT format('%s: statistics %s owner %s target %s', r.name, pg_get_statisticsobjdef(s.oid), pg_get_userbyid(s.stxowner), nullif(s.stxstattarget, -1))
    FROM relation AS r JOIN pg_statistic_ext AS s ON s.stxrelid = r.oid
    UNION ALL
    SELECT format('publication %s owner %s: all %s, %s %s %s %s', p.pubname, pg_get_userbyid(p.pubowner), p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate) FROM pg_publication AS p
    UNION ALL
    SELECT format('publication %s has %s %s %s', p.pubname, coalesce(r.name, 'NOT A TABLE ' || t.prrelid::regclass),
               (SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_attribute AS a WHERE a.attrelid = t.prrelid AND a.attnum = ANY (t.prattrs)), pg_get_expr(t.prqual, t.prrelid))
    FROM pg_publication_rel AS t JOIN pg_publication AS p ON p.oid = t.prpubid LEFT JOIN relation AS r ON r.oid = t.prrelid
    UNION ALL
    -- What subscribers see, as far as it concerns sharded tables.
    SELECT format('publication %s shows %I.%I', t.pubname, t.schemaname, t.tablename)
    FROM pg_publication_tables AS t
    WHERE EXISTS (SELECT FROM meant AS m CROSS JOIN LATERAL (SELECT m.oid AS relid UNION SELECT relid FROM pg_partition_tree(m.oid)) AS s
                  WHERE s.relid = format('%I.%I', t.schemaname, t.tablename)::regclass)
      AND NOT EXISTS (SELECT FROM pg_partition_tree(format('%I.%I', t.schemaname, t.tablename)::regclass) AS s JOIN pg_class AS c ON c.oid = s.relid AND c.relpersistence = 'u')
    UNION ALL
    SELECT format('publication %s has schema %s', p.pubname, n.pnnspid::regnamespace) FROM pg_publication_namespace AS n JOIN pg_publication AS p ON p.oid = n.pnpubid
    UNION ALL
    SELECT format('%s: inherits %s', r.name, i.inhparent::regclass) FROM relation AS r JOIN pg_inherits AS i ON i.inhrelid = r.oid
    UNION ALL
    SELECT format('sequence %s: %s %s %s %s %s, at %s, of %s', r.name, s.seqstart, s.seqincrement, s.seqmin, s.seqcache, s.seqcycle,
               pg_sequence_last_value(r.oid::regclass),
               (SELECT format('%s.%I %s', d.refobjid::regclass, a.attname, d.deptype) FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
    FROM relation AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid
    UNION ALL
    SELECT format('comment on %s %s: %L', i.type, i.identity, d.description)
    FROM pg_description AS d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i
    WHERE d.objoid >= 16384 AND i.identity !~ '\mpresplit\M' AND i.identity !~ '\mno_overlap'
      AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
      AND i.type NOT IN ('extension', 'event trigger', 'language')
    UNION ALL
    SELECT DISTINCT format('comment on exclusion constraint or index of %s: %L', r.name, d.description)
    FROM relation AS r JOIN carrier AS k ON k.relation = r.oid JOIN pg_constraint AS x ON x.contype = 'x' AND x.conparentid = 0 AND x.conrelid IN (k.carrier, r.oid)
    LEFT JOIN pg_description AS d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = x.oid OR d.classoid = 'pg_class'::regclass AND d.objoid = x.conindid
    UNION ALL
    SELECT format('function %s owner %s acl %s: %s', p.oid::regprocedure, pg_get_userbyid(p.proowner), p.proacl, pg_get_functiondef(p.oid))
    FROM pg_proc AS p
    WHERE p.pronamespace IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('app', 'Odd Schema')) AND p.prokind = 'f'
    UNION ALL
    SELECT format('type %s owner %s acl %s', t.oid::regtype, pg_get_userbyid(t.typowner), t.typacl)
    FROM pg_type AS t WHERE t.typnamespace IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('app', 'Odd Schema'))
      AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = t.typrelid AND c.relispartition) AND t.typelem = 0
    UNION ALL
    SELECT format('schema %s owner %s acl %s', n.nspname, pg_get_userbyid(n.nspowner), n.nspacl) FROM pg_namespace AS n WHERE n.nspname IN ('app', 'Odd Schema')
    UNION ALL
    SELECT format('default privileges of %s in %s: %s %s', pg_get_userbyid(d.defaclrole), d.defaclnamespace::regnamespace, d.defaclobjtype, d.defaclacl) FROM pg_default_acl AS d
) AS lines
ORDER BY line COLLATE "C";

-- The rows, in whatever order and wherever they are.
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM ONLY %s AS t', name || ': rows', name)
FROM relation AS r JOIN pg_class AS c ON c.oid = r.oid WHERE c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated
UNION ALL
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM %s AS t', name || ': rows', name)
FROM relation AS r JOIN pg_class AS c ON c.oid = r.oid WHERE c.relkind = 'p'
ORDER BY 1
\gexec
