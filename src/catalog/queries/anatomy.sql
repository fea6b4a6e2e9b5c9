-- What has to be rebuilt of a table, and what stands in the way; $1 schema, $2 table.
WITH this AS (
    SELECT c.*, n.nspname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2
), obstacles AS (
    SELECT pg_describe_object('pg_trigger'::regclass, g.oid, 0) AS what
    FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT pg_describe_object('pg_rewrite'::regclass, w.oid, 0)
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    UNION ALL
    SELECT pg_describe_object('pg_policy'::regclass, p.oid, 0)
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    UNION ALL
    SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0)
    FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.conrelid <> this.oid
    UNION ALL
    SELECT pg_describe_object('pg_statistic_ext'::regclass, x.oid, 0)
    FROM this JOIN pg_statistic_ext AS x ON x.stxrelid = this.oid
    UNION ALL
    SELECT 'publication ' || quote_ident(p.pubname)
    FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid JOIN pg_publication AS p ON p.oid = r.prpubid
    UNION ALL
    SELECT 'inheritance from or to ' || (CASE WHEN i.inhrelid = this.oid THEN i.inhparent ELSE i.inhrelid END)::regclass
    FROM this JOIN pg_inherits AS i ON this.oid IN (i.inhrelid, i.inhparent)
    UNION ALL
    SELECT 'membership in ' || pg_describe_object(d.refclassid, d.refobjid, 0)
    FROM this JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = this.oid AND d.deptype = 'e'
    UNION ALL
    SELECT 'type ' || this.reloftype::regtype FROM this WHERE this.reloftype <> 0
    UNION ALL
    SELECT 'row security' FROM this WHERE this.relrowsecurity OR this.relforcerowsecurity
    UNION ALL
    SELECT 'replica identity' FROM this WHERE this.relreplident <> 'd'
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
    WHERE d.classid NOT IN ('pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
                            'pg_publication_rel'::regclass, 'pg_statistic_ext'::regclass, 'pg_attrdef'::regclass)
      AND NOT (d.classid = 'pg_class'::regclass AND d.objid = this.oid)
      AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
               SELECT FROM pg_index AS i WHERE i.indrelid = this.oid AND i.indexrelid = d.objid))
), definitions AS (
    SELECT 1 AS step, k.conname AS name,
           format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', this.nspname, this.relname, k.conname,
                  pg_get_constraintdef(k.oid)) AS text
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
    WHERE k.contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT 2, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 3, k.conname,
           format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', this.nspname, this.relname, k.conname,
                  pg_get_constraintdef(k.oid))
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
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
    SELECT 2, format('COMMENT ON INDEX %I.%I IS %L', this.nspname, x.relname, obj_description(x.oid, 'pg_class'))
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid JOIN pg_class AS x ON x.oid = i.indexrelid
    WHERE obj_description(x.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 2, format('COMMENT ON CONSTRAINT %I ON %I.%I IS %L', k.conname, this.nspname, this.relname,
                  obj_description(k.oid, 'pg_constraint'))
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
    WHERE k.contype IN ('p', 'u', 'f') AND obj_description(k.oid, 'pg_constraint') IS NOT NULL
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
), sequences AS (
    SELECT d.objid::regclass::text AS sequence, t.attname
    FROM this
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
                       AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum = d.refobjsubid
), identities AS (
    -- LIKE makes new sequences: these had the names, the values and the grants.
    SELECT t.attname AS column, s.relname AS name, pg_sequence_last_value(s.oid::regclass) AS last,
           (SELECT coalesce(jsonb_agg(format('%s ON SEQUENCE %s TO %s%s', a.privilege_type, format('%I.%I', n.nspname, s.relname),
                       CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                       CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) ORDER BY a.grantee, a.privilege_type), '[]')
            FROM aclexplode(s.relacl) AS a WHERE a.grantee <> s.relowner) AS grants
    FROM this
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
                       AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_namespace AS n ON n.oid = s.relnamespace
    JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum = d.refobjsubid
)
SELECT jsonb_build_object(
    'owner', pg_get_userbyid(this.relowner),
    'unlogged', this.relpersistence = 'u',
    'options', (SELECT coalesce(jsonb_agg(format('%s = %L', o.option_name, o.option_value)), '[]')
                FROM (SELECT r.option_name, r.option_value FROM pg_options_to_table(this.reloptions) AS r
                      UNION ALL
                      SELECT 'toast.' || r.option_name, r.option_value
                      FROM pg_class AS x CROSS JOIN LATERAL pg_options_to_table(x.reloptions) AS r
                      WHERE x.oid = this.reltoastrelid) AS o),
    'access_method', CASE WHEN m.amname <> 'heap' THEN m.amname END,
    'comment', obj_description(this.oid, 'pg_class'),
    'obstacles', (SELECT coalesce(jsonb_agg(DISTINCT what), '[]') FROM obstacles),
    'definitions', (SELECT coalesce(jsonb_agg(text ORDER BY step, name), '[]') FROM definitions),
    'afterwards', (SELECT coalesce(jsonb_agg(text ORDER BY step, text), '[]') FROM afterwards),
    'sequences', (SELECT coalesce(jsonb_agg(jsonb_build_array(sequence, attname) ORDER BY sequence), '[]') FROM sequences),
    'identities', (SELECT coalesce(jsonb_agg(i ORDER BY i.column), '[]') FROM identities AS i),
    'clustered', (SELECT x.relname FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid
                  WHERE i.indrelid = this.oid AND i.indisclustered)
)::text
FROM this JOIN pg_am AS m ON m.oid = this.relam
