-- What stands in the way of other tables taking the place of a shard; $1 = the shard's oid as bigint, $2 = whether the
-- server can add a foreign key to a partitioned table without looking at its rows.
WITH this AS (
    SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS own, i.inhparent, i.inhdetachpending, p.relowner AS parent_owner,
           format('%I.%I', m.nspname, p.relname) AS parent
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_inherits AS i ON i.inhrelid = c.oid
    JOIN pg_class AS p ON p.oid = i.inhparent
    JOIN pg_namespace AS m ON m.oid = p.relnamespace
    WHERE c.oid = $1::bigint::oid
), ancestors AS (
    SELECT a.relid FROM this CROSS JOIN LATERAL pg_partition_ancestors(this.inhparent) AS a
), tree AS (
    -- Everything of the table at the top.
    SELECT t.relid FROM this CROSS JOIN LATERAL pg_partition_tree(pg_partition_root(this.oid)) AS t
), dependents AS (
    -- Views, functions and others that need the shard, its columns or its row type.
    SELECT DISTINCT CASE WHEN v.oid IS NULL THEN pg_describe_object(d.classid, d.objid, 0)
                         ELSE pg_describe_object('pg_class'::regclass, v.ev_class, 0) END AS what
    FROM this
    JOIN pg_depend AS d ON d.deptype = 'n'
     AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
          OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (this.reltype, (SELECT t.typarray FROM pg_type AS t WHERE t.oid = this.reltype)))
    LEFT JOIN pg_rewrite AS v ON d.classid = 'pg_rewrite'::regclass AND v.oid = d.objid AND v.rulename = '_RETURN'
    WHERE d.classid NOT IN ('pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_publication_rel'::regclass,
                            'pg_statistic_ext'::regclass, 'pg_attrdef'::regclass)
      AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (SELECT FROM pg_policy AS p WHERE p.oid = d.objid AND p.polrelid = this.oid))
      AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (SELECT FROM pg_rewrite AS w WHERE w.oid = d.objid AND w.ev_class = this.oid))
      AND NOT (d.classid = 'pg_class'::regclass AND d.objid = this.oid)
      AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = this.oid AND i.indexrelid = d.objid))
), findings (severity, object, problem, remedy) AS (
    SELECT 'error', this.own, CASE this.relkind WHEN 'f' THEN 'shard is a foreign table' ELSE 'shard is itself divided' END,
           CASE this.relkind WHEN 'f' THEN 'Rows of other servers stay where they are.' ELSE 'Name one of its own shards.' END
    FROM this WHERE this.relkind <> 'r'
    UNION ALL
    SELECT 'error', this.own, 'shard is temporary', 'Other sessions cannot reach it.' FROM this WHERE this.relpersistence = 't'
    UNION ALL
    SELECT 'error', this.own, 'shard is being detached', format('ALTER TABLE %s DETACH PARTITION %s FINALIZE;', this.parent, this.own) FROM this WHERE this.inhdetachpending
    UNION ALL
    SELECT 'error', this.own, format('shard and its table %s have different owners', this.parent), format('ALTER TABLE %s OWNER TO %I;', this.own, pg_get_userbyid(this.parent_owner))
    FROM this WHERE this.relowner <> this.parent_owner
    UNION ALL
    SELECT 'error', pg_describe_object(d.classid, d.objid, 0), format('belongs to %s', pg_describe_object(d.refclassid, d.refobjid, 0)), 'That extension decides on it.'
    FROM this JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid IN (this.oid, this.inhparent) AND d.deptype = 'e'
    UNION ALL
    SELECT 'error', this.own, format('shard is of type %s', this.reloftype::regtype), format('ALTER TABLE %s NOT OF;', this.own) FROM this WHERE this.reloftype <> 0
    UNION ALL
    SELECT 'error', d.what, format('needs shard %s itself', this.own), format('Drop it, or make it need table %s, before the operation.', this.parent)
    FROM this CROSS JOIN dependents AS d
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), format('references shard %s itself', this.own), format('ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname)
    FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'references a table from a part of it',
           format('ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname)
    FROM this JOIN pg_constraint AS k ON k.contype = 'f' AND k.conparentid = 0
    WHERE k.confrelid IN (SELECT relid FROM ancestors) AND k.conrelid IN (SELECT relid FROM tree)
      AND (k.conrelid NOT IN (SELECT relid FROM ancestors) OR NOT $2)
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'PostgreSQL can add a foreign key of a partitioned table only by reading all of its rows before version 18',
           format('ALTER TABLE %s DROP CONSTRAINT %I;', k.conrelid::regclass, k.conname)
    FROM this JOIN pg_constraint AS k ON k.contype = 'f' AND k.conparentid = 0 JOIN pg_class AS c ON c.oid = k.conrelid AND c.relkind = 'p'
    WHERE NOT $2 AND k.confrelid IN (SELECT relid FROM ancestors) AND k.conrelid NOT IN (SELECT relid FROM tree)
    UNION ALL
    SELECT 'error', pg_describe_object('pg_publication'::regclass, p.oid, 0), 'publishes tables while they are filled, under names that subscribers do not know',
           'Publish tables by name while the operation runs, or set wal_level to replica.'
    FROM this JOIN pg_publication AS p ON p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid AND s.pnnspid = this.relnamespace)
    WHERE current_setting('wal_level') = 'logical' AND this.relpersistence = 'p'
    UNION ALL
    SELECT 'warning', pg_describe_object('pg_publication'::regclass, p.oid, 0), 'publishes shards under their own names: subscribers stop at the first row of a new one that they do not have',
           format('Create the new shards at the subscribers first, or ALTER PUBLICATION %I SET (publish_via_partition_root = true);', p.pubname)
    FROM this JOIN pg_publication_rel AS r ON r.prrelid IN (SELECT this.oid UNION ALL SELECT relid FROM ancestors) JOIN pg_publication AS p ON p.oid = r.prpubid AND NOT p.pubviaroot
    WHERE current_setting('wal_level') = 'logical'
    UNION ALL
    SELECT 'error', this.own, 'row security is forced on its owner, who could not copy all of its rows', format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', this.own)
    FROM this JOIN pg_roles AS r ON r.oid = this.relowner WHERE this.relrowsecurity AND this.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
    UNION ALL
    SELECT 'error', format('%s.%I', this.own, t.attname), 'shard has an identity column of its own', format('ALTER TABLE %s ALTER COLUMN %I DROP IDENTITY;', this.own, t.attname)
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attidentity <> '' AND NOT t.attisdropped
    WHERE EXISTS (SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid AND d.refobjsubid = t.attnum
                                               AND d.classid = 'pg_class'::regclass AND d.deptype = 'i')
    UNION ALL
    SELECT 'error', i.indexrelid::regclass::text, 'index is invalid', format('REINDEX INDEX %s;', i.indexrelid::regclass)
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid AND NOT i.indisvalid
    UNION ALL
    SELECT 'error', x.indexrelid::regclass::text, format('index has no part on shard %s: it would be built while everybody waits', this.own),
           format('Create it on the shard, then ALTER INDEX %s ATTACH PARTITION it; or drop it.', x.indexrelid::regclass)
    FROM this JOIN pg_index AS x ON x.indrelid = this.inhparent
    WHERE NOT EXISTS (SELECT FROM pg_inherits AS h JOIN pg_index AS i ON i.indexrelid = h.inhrelid AND i.indrelid = this.oid WHERE h.inhparent = x.indexrelid)
    UNION ALL
    SELECT 'error', pg_describe_object('pg_constraint'::regclass, k.oid, 0), 'is WITHOUT OVERLAPS', 'Shards with such constraints cannot be replaced.'
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid AND coalesce((to_jsonb(k)->>'conperiod')::bool, false)
    UNION ALL
    SELECT 'error', pg_describe_object('pg_rewrite'::regclass, w.oid, 0), format('names shard %s in what it does', this.own), format('DROP RULE %I ON %s;', w.rulename, this.own)
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    CROSS JOIN LATERAL (SELECT substr(pg_get_ruledef(w.oid), position(' TO ' || this.own IN pg_get_ruledef(w.oid)) + length(' TO ' || this.own)) AS rest) AS r
    WHERE position(this.own IN r.rest) > 0
    UNION ALL
    SELECT 'error', pg_describe_object('pg_policy'::regclass, p.oid, 0), format('names shard %s in its condition', this.own), format('DROP POLICY %I ON %s;', p.polname, this.own)
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    WHERE position(this.own IN concat(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))) > 0
    UNION ALL
    SELECT 'error', format('schema %I', this.nspname), format('owner %I of the shard has no right to create tables there', pg_get_userbyid(this.relowner)),
           format('GRANT CREATE ON SCHEMA %I TO %I;', this.nspname, pg_get_userbyid(this.relowner))
    FROM this WHERE NOT has_schema_privilege(this.relowner, this.relnamespace, 'CREATE')
    UNION ALL
    SELECT 'error', f.oid::regprocedure::text, format('owner %I of the shard may not call the function, but its triggers do: %s', pg_get_userbyid(this.relowner),
                                                      string_agg(quote_ident(g.tgname), ', ' ORDER BY g.tgname)),
           format('GRANT EXECUTE ON FUNCTION %s TO %I;', f.oid::regprocedure, pg_get_userbyid(this.relowner))
    FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid AND NOT g.tgisinternal JOIN pg_proc AS f ON f.oid = g.tgfoid
    WHERE g.tgname !~ '^presplit_(capture|truncate|retired)' AND NOT has_function_privilege(this.relowner, f.oid, 'EXECUTE')
    GROUP BY f.oid, this.relowner
    UNION ALL
    SELECT 'error', this.own, format('shard has a security label of provider %s', l.provider), format('SECURITY LABEL FOR %I ON TABLE %s IS NULL;', l.provider, this.own)
    FROM this JOIN pg_seclabel AS l ON l.classoid = 'pg_class'::regclass AND l.objoid = this.oid
    UNION ALL
    SELECT 'error', this.parent, 'the shard key has a collation that is not its column''s', 'Such a key is compared otherwise than its column: its shards cannot be replaced.'
    FROM this WHERE position(' COLLATE ' IN pg_get_partkeydef(this.inhparent)) > 0
    UNION ALL
    SELECT 'warning', format('prepared transaction %L', x.gid), 'holds locks until it is ended: shards are not swapped before', format('COMMIT PREPARED %L; or ROLLBACK PREPARED %L;', x.gid, x.gid)
    FROM this JOIN pg_locks AS l ON l.locktype = 'relation' AND l.pid IS NULL AND l.relation IN (this.oid, this.inhparent) AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    JOIN pg_prepared_xacts AS x ON l.virtualtransaction = '-1/' || x.transaction
)
SELECT jsonb_build_object('severity', f.severity, 'object', f.object, 'problem', f.problem, 'remedy', f.remedy)::text
FROM (SELECT DISTINCT * FROM findings) AS f
ORDER BY array_position(ARRAY['error', 'warning', 'info'], f.severity), f.object, f.problem
