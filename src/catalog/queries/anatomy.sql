-- What has to be rebuilt of a table, and what stands in the way; $1 schema, $2 table.
WITH this AS (
    SELECT c.*, n.nspname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
), carrier AS (
    -- What has the storage: of a partitioned table its first shard.
    SELECT x.*
    FROM this
    CROSS JOIN LATERAL (SELECT coalesce((SELECT t.relid::oid FROM pg_partition_tree(this.oid) AS t WHERE t.isleaf AND this.relkind = 'p' ORDER BY t.relid::oid LIMIT 1),
                                        this.oid) AS oid) AS o
    JOIN pg_class AS x ON x.oid = o.oid
), obstacles AS (
    SELECT 'inheritance from or to ' || (CASE WHEN i.inhrelid = this.oid THEN i.inhparent ELSE i.inhrelid END)::regclass AS what
    FROM this JOIN pg_inherits AS i ON this.oid IN (i.inhrelid, i.inhparent) AND this.relkind <> 'p'
    UNION ALL
    SELECT 'membership in ' || pg_describe_object(d.refclassid, d.refobjid, 0)
    FROM this JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = this.oid AND d.deptype = 'e'
    UNION ALL
    SELECT 'type ' || this.reloftype::regtype FROM this WHERE this.reloftype <> 0
    UNION ALL
    -- On a partitioned table it would hold for no row, and PostgreSQL refuses the most of them.
    SELECT 'NO INHERIT of ' || pg_describe_object('pg_constraint'::regclass, k.oid, 0)
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid AND k.connoinherit AND k.contype IN ('c', 'n')
    UNION ALL
    SELECT 'tablespace ' || quote_ident(e.spcname) || ' of ' || pg_describe_object('pg_class'::regclass, x.oid, 0)
    FROM this JOIN pg_class AS x ON x.oid = this.oid OR x.oid IN (SELECT i.indexrelid FROM pg_index AS i WHERE i.indrelid = this.oid)
    JOIN pg_tablespace AS e ON e.oid = x.reltablespace
    UNION ALL
    -- Views, functions and others that need the table, its columns or its row type.
    SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
    FROM this
    JOIN pg_depend AS d ON d.deptype = 'n'
     AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
          OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (this.reltype, (SELECT t.typarray FROM pg_type AS t WHERE t.oid = this.reltype)))
    WHERE d.classid NOT IN ('pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_publication_rel'::regclass,
                            'pg_statistic_ext'::regclass, 'pg_attrdef'::regclass)
      AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
               SELECT FROM pg_policy AS p WHERE p.oid = d.objid AND p.polrelid = this.oid))
      AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (
               SELECT FROM pg_rewrite AS w WHERE w.oid = d.objid AND w.ev_class = this.oid))
      AND NOT (d.classid = 'pg_class'::regclass AND d.objid = this.oid)
      AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
               SELECT FROM pg_index AS i WHERE i.indrelid = this.oid AND i.indexrelid = d.objid))
), unique_constraints AS (
    SELECT k.* FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid WHERE k.contype IN ('p', 'u', 'x')
), indexes AS (
    SELECT i.indexrelid, x.relname, k.oid AS of_constraint
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid JOIN pg_class AS x ON x.oid = i.indexrelid
    LEFT JOIN unique_constraints AS k ON k.conindid = i.indexrelid
), index_comments AS (
    SELECT x.indexrelid, 1 AS step,
           format('COMMENT ON INDEX %I.%I IS %L', this.nspname, x.relname, obj_description(x.indexrelid, 'pg_class')) AS text
    FROM this CROSS JOIN indexes AS x WHERE obj_description(x.indexrelid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT x.indexrelid, 3, format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', this.nspname, x.relname, a.attnum, a.attstattarget)
    FROM this CROSS JOIN indexes AS x JOIN pg_attribute AS a ON a.attrelid = x.indexrelid AND a.attstattarget >= 0
), constraint_comments AS (
    SELECT k.oid, 2 AS step, format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, this.nspname, this.relname,
                  obj_description(k.oid, 'pg_constraint')) AS text
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL
), definitions AS (
    SELECT 1 AS step, k.conname AS name,
           format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', this.nspname, this.relname, k.conname,
                  pg_get_constraintdef(k.oid)) AS text,
           (SELECT jsonb_agg(c.text ORDER BY c.step, c.text)
            FROM (SELECT i.step, i.text FROM index_comments AS i WHERE i.indexrelid = k.conindid
                  UNION ALL SELECT x.step, x.text FROM constraint_comments AS x WHERE x.oid = k.oid) AS c) AS after
    FROM this CROSS JOIN unique_constraints AS k
    UNION ALL
    SELECT 2, x.relname, replace(pg_get_indexdef(x.indexrelid), format(' ON ONLY %I.%I ', this.nspname, this.relname), format(' ON %I.%I ', this.nspname, this.relname)),
           (SELECT jsonb_agg(c.text ORDER BY c.step, c.text) FROM index_comments AS c WHERE c.indexrelid = x.indexrelid)
    FROM this CROSS JOIN indexes AS x WHERE x.of_constraint IS NULL
    UNION ALL
    SELECT 3, k.conname,
           format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', this.nspname, this.relname, k.conname,
                  pg_get_constraintdef(k.oid)),
           (SELECT jsonb_agg(c.text) FROM constraint_comments AS c WHERE c.oid = k.oid)
    -- Of a key that references a sharded table PostgreSQL keeps one more for each shard, as its parts.
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid AND k.conparentid = 0
    WHERE k.contype = 'f'
    UNION ALL
    SELECT 4, g.tgname, pg_get_triggerdef(g.oid),
           (SELECT jsonb_agg(x.text ORDER BY x.text) FROM (
                SELECT format('COMMENT ON TRIGGER %I ON %I.%I IS %L', g.tgname, this.nspname, this.relname,
                              obj_description(g.oid, 'pg_trigger')) AS text
                WHERE obj_description(g.oid, 'pg_trigger') IS NOT NULL
                UNION ALL
                SELECT format('ALTER TABLE %I.%I %s TRIGGER %I', this.nspname, this.relname,
                              CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname)
                WHERE g.tgenabled <> 'O') AS x)
    FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 5, w.rulename, rtrim(pg_get_ruledef(w.oid), ';'),
           (SELECT jsonb_agg(x.text ORDER BY x.text) FROM (
                SELECT format('COMMENT ON RULE %I ON %I.%I IS %L', w.rulename, this.nspname, this.relname,
                              obj_description(w.oid, 'pg_rewrite')) AS text
                WHERE obj_description(w.oid, 'pg_rewrite') IS NOT NULL
                UNION ALL
                SELECT format('ALTER TABLE %I.%I %s RULE %I', this.nspname, this.relname,
                              CASE w.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, w.rulename)
                WHERE w.ev_enabled <> 'O') AS x)
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    UNION ALL
    SELECT 6, p.pubname,
           format('ALTER PUBLICATION %I ADD TABLE %I.%I', p.pubname, this.nspname, this.relname)
           || coalesce((SELECT ' (' || string_agg(quote_ident(t.attname), ', ' ORDER BY k.position) || ')'
                        FROM unnest(r.prattrs) WITH ORDINALITY AS k (attnum, position)
                        JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum = k.attnum), '')
           || coalesce(' WHERE (' || pg_get_expr(r.prqual, this.oid) || ')', ''), NULL
    FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid JOIN pg_publication AS p ON p.oid = r.prpubid
), pointing AS (
    -- Foreign keys of other tables.
    SELECT format('%I.%I', n.nspname, c.relname) AS table, quote_ident(k.conname) AS name,
           jsonb_build_array(format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)))
           || CASE WHEN obj_description(k.oid, 'pg_constraint') IS NULL THEN '[]'::jsonb
                   ELSE jsonb_build_array(format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, n.nspname, c.relname,
                                                 obj_description(k.oid, 'pg_constraint'))) END AS statements
    FROM this
    JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.conrelid <> this.oid AND k.conparentid = 0
    JOIN pg_class AS c ON c.oid = k.conrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE k.contype = 'f'
), afterwards AS (
    SELECT 1 AS step, format('GRANT %s ON TABLE %I.%I TO %s%s', a.privilege_type, this.nspname, this.relname,
                  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS text
    FROM this CROSS JOIN LATERAL aclexplode(this.relacl) AS a
    WHERE a.grantee <> this.relowner
    UNION ALL
    SELECT 1, format('GRANT %s (%I) ON TABLE %I.%I TO %s%s', a.privilege_type, t.attname, this.nspname, this.relname,
                  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND NOT t.attisdropped
    CROSS JOIN LATERAL aclexplode(t.attacl) AS a
    UNION ALL
    SELECT 2, format('ALTER TABLE %I.%I ALTER COLUMN %I SET STATISTICS %s', this.nspname, this.relname, t.attname,
                  t.attstattarget)
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum > 0 AND NOT t.attisdropped
    WHERE t.attstattarget >= 0
    UNION ALL
    -- Of a partitioned table the planner only asks for the inherited one.
    SELECT 2, format('ALTER TABLE %I.%I ALTER COLUMN %I SET (n_distinct_inherited = %s)', this.nspname, this.relname, t.attname,
                  coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'n_distinct'), max(o.option_value)))
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum > 0 AND NOT t.attisdropped
    CROSS JOIN LATERAL pg_options_to_table(t.attoptions) AS o
    WHERE o.option_name IN ('n_distinct', 'n_distinct_inherited')
    GROUP BY this.nspname, this.relname, t.attname
    UNION ALL
    SELECT 3, pg_get_statisticsobjdef(x.oid)
    FROM this JOIN pg_statistic_ext AS x ON x.stxrelid = this.oid
    UNION ALL
    SELECT 4, v.text
    FROM this
    JOIN pg_statistic_ext AS x ON x.stxrelid = this.oid
    JOIN pg_namespace AS n ON n.oid = x.stxnamespace
    CROSS JOIN LATERAL (VALUES
        (format('ALTER STATISTICS %I.%I OWNER TO %I', n.nspname, x.stxname, pg_get_userbyid(x.stxowner))),
        (CASE WHEN x.stxstattarget >= 0 THEN format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, x.stxname, x.stxstattarget) END),
        (CASE WHEN obj_description(x.oid, 'pg_statistic_ext') IS NOT NULL
              THEN format('COMMENT ON STATISTICS %I.%I IS %L', n.nspname, x.stxname, obj_description(x.oid, 'pg_statistic_ext')) END)) AS v (text)
    WHERE v.text IS NOT NULL
    UNION ALL
    SELECT 5, format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s', p.polname, this.nspname, this.relname,
                  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                  (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY r)
                   FROM unnest(p.polroles) AS r))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    UNION ALL
    SELECT 6, format('COMMENT ON POLICY %I ON %I.%I IS %L', p.polname, this.nspname, this.relname, obj_description(p.oid, 'pg_policy'))
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid WHERE obj_description(p.oid, 'pg_policy') IS NOT NULL
    UNION ALL
    SELECT 6, format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', this.nspname, this.relname) FROM this WHERE this.relrowsecurity
    UNION ALL
    SELECT 6, format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', this.nspname, this.relname) FROM this WHERE this.relforcerowsecurity
    UNION ALL
    SELECT 7, format('COMMENT ON TABLE %I.%I IS %L', this.nspname, this.relname, obj_description(this.oid, 'pg_class'))
    FROM this WHERE obj_description(this.oid, 'pg_class') IS NOT NULL
), sequences AS (
    SELECT d.objid::regclass::text AS sequence, t.attname
    FROM this
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
                       AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum = d.refobjsubid
), identities AS (
    -- A later restore of the data alone relies on the names of their sequences.
    SELECT t.attname AS column, v.step, v.text
    FROM this
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
                       AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_sequence AS q ON q.seqrelid = s.oid
    JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum = d.refobjsubid
    CROSS JOIN LATERAL (
        SELECT 1 AS step, format('ALTER TABLE %I.%I ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %I.%I START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s)',
                    this.nspname, this.relname, t.attname, CASE t.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END,
                    n.nspname, s.relname, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache,
                    CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END) AS text
        UNION ALL
        SELECT 2, format('SELECT pg_catalog.setval(%L, %s)', format('%I.%I', n.nspname, s.relname), pg_sequence_last_value(s.oid::regclass))
        WHERE pg_sequence_last_value(s.oid::regclass) IS NOT NULL
        UNION ALL
        SELECT 3, format('GRANT %s ON SEQUENCE %I.%I TO %s%s', a.privilege_type, n.nspname, s.relname,
                    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM aclexplode(s.relacl) AS a WHERE a.grantee <> s.relowner
        UNION ALL
        SELECT 4, format('COMMENT ON SEQUENCE %I.%I IS %L', n.nspname, s.relname, obj_description(s.oid, 'pg_class'))
        WHERE obj_description(s.oid, 'pg_class') IS NOT NULL) AS v
)
SELECT jsonb_build_object(
    'owner', pg_get_userbyid(this.relowner),
    'unlogged', carrier.relpersistence = 'u',
    -- That of all shards, where the table itself says nothing.
    'tablespace', (SELECT e.spcname FROM pg_tablespace AS e
                   WHERE e.oid = CASE WHEN this.reltablespace <> 0 OR this.relkind <> 'p' THEN this.reltablespace
                                      ELSE (SELECT min(x.reltablespace) FROM pg_partition_tree(this.oid) AS t JOIN pg_class AS x ON x.oid = t.relid
                                            WHERE t.isleaf HAVING min(x.reltablespace) = max(x.reltablespace)) END),
    'options', (SELECT coalesce(jsonb_agg(format('%s = %L', o.option_name, o.option_value)), '[]')
                FROM (SELECT r.option_name, r.option_value FROM pg_options_to_table(carrier.reloptions) AS r
                      UNION ALL
                      SELECT 'toast.' || r.option_name, r.option_value
                      FROM pg_class AS x CROSS JOIN LATERAL pg_options_to_table(x.reloptions) AS r
                      WHERE x.oid = carrier.reltoastrelid) AS o),
    'access_method', CASE WHEN m.amname <> 'heap' THEN m.amname END,
    'obstacles', (SELECT coalesce(jsonb_agg(DISTINCT what), '[]') FROM obstacles),
    'definitions', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', d.name, 'text', d.text, 'then', coalesce(d.after, '[]'),
                                              'tablespace', (SELECT e.spcname FROM indexes AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_tablespace AS e ON e.oid = x.reltablespace
                                                             WHERE d.step < 3 AND x.relname = d.name))
                                              ORDER BY d.step, d.name), '[]') FROM definitions AS d),
    'references', (SELECT coalesce(jsonb_agg(p ORDER BY p.table, p.name), '[]') FROM pointing AS p),
    'afterwards', (SELECT coalesce(jsonb_agg(text ORDER BY step, text), '[]') FROM afterwards),
    'sequences', (SELECT coalesce(jsonb_agg(jsonb_build_array(sequence, attname) ORDER BY sequence), '[]') FROM sequences),
    'identities', (SELECT coalesce(jsonb_agg(i.text ORDER BY i.column, i.step, i.text), '[]') FROM identities AS i),
    'replica_identity', CASE this.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' END,
    'identified_by', (SELECT x.relname FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                      WHERE i.indrelid = this.oid AND i.indisreplident AND this.relreplident = 'i'),
    'clustered', (SELECT min(x.relname) FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                  WHERE i.indrelid = this.oid AND (i.indisclustered OR EXISTS (
                      SELECT FROM pg_inherits AS h JOIN pg_index AS p ON p.indexrelid = h.inhrelid
                      WHERE h.inhparent = i.indexrelid AND p.indisclustered)))
)::text
FROM this CROSS JOIN carrier JOIN pg_am AS m ON m.oid = carrier.relam
