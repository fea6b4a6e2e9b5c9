-- What a shard has of its own, as the statements that give it to another table: $1 = the shard's oid as bigint, $2 = the
-- other table, quoted, $3 and $4 = names of the shard's indexes and statistics and what they are called there, $5 = the
-- tablespace there, null = that of the shard, $6 = columns of the identity.
WITH this AS (
    SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS own, $2::text AS there
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = $1::bigint::oid
), renamed AS (
    SELECT r.old, r.new FROM unnest($3::text[], $4::text[]) AS r (old, new)
), columns AS (
    SELECT t.* FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum > 0 AND NOT t.attisdropped
), constraints AS (
    SELECT k.*, coalesce((to_jsonb(k)->>'conenforced')::bool, true) AND k.convalidated AS holds, obj_description(k.oid, 'pg_constraint') AS note
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
), shape (step, text) AS (
    -- What LIKE makes hold, but does not hold here.
    SELECT 1, format('ALTER TABLE %s DROP CONSTRAINT %I', this.there, k.conname)
    FROM this CROSS JOIN constraints AS k WHERE k.contype IN ('c', 'n') AND NOT k.holds
    UNION ALL
    -- LIKE takes the names too; one that PostgreSQL has made of the table's own would look chosen on another.
    SELECT 1, format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', this.there, k.conname, n.there)
    FROM this CROSS JOIN constraints AS k
    JOIN columns AS t ON k.conkey = ARRAY[t.attnum]
    CROSS JOIN LATERAL (SELECT format('%s_%s_not_null', this.relname, t.attname),
                               format('%s_%s_not_null', (parse_ident(this.there))[2], t.attname)) AS n (here, there)
    WHERE k.contype = 'n' AND k.holds AND k.conname = n.here AND octet_length(n.there) < 64
    UNION ALL
    SELECT 2, format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', this.there, t.attname, t.attstattarget)
    FROM this CROSS JOIN columns AS t WHERE t.attstattarget >= 0
    UNION ALL
    SELECT 2, format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', this.there, t.attname,
                     string_agg(format('%I = %L', o.option_name, o.option_value), ', ' ORDER BY o.option_name))
    FROM this CROSS JOIN columns AS t CROSS JOIN LATERAL pg_options_to_table(t.attoptions) AS o
    WHERE o.option_name IN ('n_distinct', 'n_distinct_inherited')
    GROUP BY this.there, t.attname
    UNION ALL
    SELECT 3, format('COMMENT ON TABLE %s IS %L', this.there, obj_description(this.oid, 'pg_class'))
    FROM this WHERE obj_description(this.oid, 'pg_class') IS NOT NULL
), indexes AS (
    SELECT x.oid, x.relname, r.new, i.*, k.oid AS constraint_oid, k.contype, k.condeferrable, k.condeferred, k.note,
           k.contype = 'x' OR coalesce((to_jsonb(k)->>'conperiod')::bool, false) AS excludes, x.reltablespace, x.reloptions,
           (SELECT array_agg(t.attname::text ORDER BY p.place)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS p (attnum, place)
            LEFT JOIN columns AS t ON t.attnum = p.attnum WHERE p.place <= i.indnkeyatts) AS key
    FROM this
    JOIN pg_index AS i ON i.indrelid = this.oid AND i.indisvalid
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN renamed AS r ON r.old = x.relname
    LEFT JOIN constraints AS k ON k.conindid = x.oid AND k.contype IN ('p', 'u', 'x')
), index_steps (index, step, text) AS (
    SELECT x.oid, 1, format('CREATE %sINDEX %I ON %s USING %s', u.word, x.new, this.there,
                            substr(pg_get_indexdef(x.oid), length(format('CREATE %sINDEX %I ON %s USING ', u.word, x.relname, this.own)) + 1))
    FROM this CROSS JOIN indexes AS x CROSS JOIN LATERAL (SELECT CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END AS word) AS u
    WHERE x.excludes IS NOT TRUE
    UNION ALL
    SELECT x.oid, 2, format('ALTER TABLE %s ADD CONSTRAINT %I %s USING INDEX %I%s%s', this.there, x.new,
                            CASE x.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, x.new,
                            CASE WHEN x.condeferrable THEN ' DEFERRABLE' ELSE '' END, CASE WHEN x.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END)
    FROM this CROSS JOIN indexes AS x WHERE x.contype IN ('p', 'u') AND x.excludes IS NOT TRUE
    UNION ALL
    SELECT x.oid, 2, format('ALTER TABLE %s ADD CONSTRAINT %I %s', this.there, x.new, pg_get_constraintdef(x.constraint_oid))
    FROM this CROSS JOIN indexes AS x WHERE x.excludes
    UNION ALL
    SELECT x.oid, 3, format('ALTER INDEX %I.%I SET (%s)', this.nspname, x.new,
                            (SELECT string_agg(format('%I = %L', o.option_name, o.option_value), ', ') FROM pg_options_to_table(x.reloptions) AS o))
    FROM this CROSS JOIN indexes AS x WHERE x.excludes AND x.reloptions IS NOT NULL
    UNION ALL
    SELECT x.oid, 4, format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', this.nspname, x.new, t.attnum, t.attstattarget)
    FROM this CROSS JOIN indexes AS x JOIN pg_attribute AS t ON t.attrelid = x.oid AND t.attstattarget >= 0
    UNION ALL
    SELECT x.oid, 5, format('COMMENT ON INDEX %I.%I IS %L', this.nspname, x.new, obj_description(x.oid, 'pg_class'))
    FROM this CROSS JOIN indexes AS x WHERE obj_description(x.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT x.oid, 5, format('COMMENT ON CONSTRAINT %I ON %s IS %L', x.new, this.there, x.note)
    FROM this CROSS JOIN indexes AS x WHERE x.note IS NOT NULL
    UNION ALL
    SELECT x.oid, 6, format('ALTER TABLE %s CLUSTER ON %I', this.there, x.new)
    FROM this CROSS JOIN indexes AS x WHERE x.indisclustered
    UNION ALL
    SELECT x.oid, 6, format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', this.there, x.new)
    FROM this CROSS JOIN indexes AS x WHERE x.indisreplident AND this.relreplident = 'i'
), statistics AS (
    SELECT s.*, n.nspname AS schema, r.new, format('%I.%I', n.nspname, r.new) AS there_name, format('%I.%I', n.nspname, s.stxname) AS own_name
    FROM this JOIN pg_statistic_ext AS s ON s.stxrelid = this.oid
    JOIN pg_namespace AS n ON n.oid = s.stxnamespace
    JOIN renamed AS r ON r.old = s.stxname
), statistics_steps (object, step, text) AS (
    SELECT s.oid, 1, 'CREATE STATISTICS ' || s.there_name
                     || substr(d.text, length('CREATE STATISTICS ' || s.own_name) + 1, length(d.text) - length('CREATE STATISTICS ' || s.own_name) - length(this.own))
                     || this.there
    FROM this CROSS JOIN statistics AS s CROSS JOIN LATERAL pg_get_statisticsobjdef(s.oid) AS d (text)
    UNION ALL
    SELECT s.oid, 2, format('ALTER STATISTICS %s SET STATISTICS %s', s.there_name, s.stxstattarget) FROM statistics AS s WHERE s.stxstattarget >= 0
    UNION ALL
    SELECT s.oid, 2, format('COMMENT ON STATISTICS %s IS %L', s.there_name, obj_description(s.oid, 'pg_statistic_ext'))
    FROM statistics AS s WHERE obj_description(s.oid, 'pg_statistic_ext') IS NOT NULL
), before (step, text) AS (
    SELECT 1, format('ALTER TABLE %s ADD CONSTRAINT %I %s', this.there, k.conname, pg_get_constraintdef(k.oid))
    FROM this CROSS JOIN constraints AS k WHERE k.contype IN ('c', 'n') AND NOT k.holds
    UNION ALL
    SELECT 2, format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, this.there, k.note)
    FROM this CROSS JOIN constraints AS k WHERE k.contype IN ('c', 'n') AND NOT k.holds AND k.note IS NOT NULL
), foreign_keys AS (
    -- One that references a partitioned table has parts of its own for the partitions there; one that references this very
    -- table comes back from the table itself.
    SELECT k.*, pg_get_constraintdef(k.oid) AS definition
    FROM this CROSS JOIN constraints AS k
    WHERE k.contype = 'f'
      AND NOT EXISTS (SELECT FROM pg_constraint AS p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)
      AND NOT EXISTS (SELECT FROM pg_partition_ancestors(this.oid) AS a WHERE a.relid = k.confrelid)
), grants (place, role, text) AS (
    -- Who was given a right by somebody else comes after him: the order of the list.
    SELECT a.ordinality, a.grantor, format('GRANT %s ON TABLE %s TO %s%s', a.privilege_type, this.there,
                  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  CASE WHEN a.is_grantable AND a.grantee <> this.relowner THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM this CROSS JOIN LATERAL aclexplode(this.relacl) WITH ORDINALITY AS a
    UNION ALL
    SELECT 10000 + 1000 * t.attnum + a.ordinality, a.grantor, format('GRANT %s (%I) ON TABLE %s TO %s%s', a.privilege_type, t.attname, this.there,
                  CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  CASE WHEN a.is_grantable AND a.grantee <> this.relowner THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM this CROSS JOIN columns AS t CROSS JOIN LATERAL aclexplode(t.attacl) WITH ORDINALITY AS a
), triggers AS (
    SELECT g.*, p.tgenabled AS parent_enabled
    FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid
    LEFT JOIN pg_trigger AS p ON p.oid = g.tgparentid
    WHERE NOT g.tgisinternal AND g.tgname !~ '^presplit_(capture|truncate|retired)'
), after (step, role, text) AS (
    SELECT 1, this.relowner, format('REVOKE ALL ON TABLE %s FROM %I', this.there, pg_get_userbyid(this.relowner)) FROM this WHERE this.relacl IS NOT NULL
    UNION ALL
    SELECT 2 + g.place, g.role, g.text FROM grants AS g
    UNION ALL
    SELECT 2000001, this.relowner, overlay(pg_get_triggerdef(g.oid) PLACING format(' ON %s ', this.there)
                                           FROM position(format(' ON %s ', this.own) IN pg_get_triggerdef(g.oid)) FOR length(format(' ON %s ', this.own)))
    FROM this CROSS JOIN triggers AS g WHERE g.tgparentid = 0
    UNION ALL
    SELECT CASE WHEN g.tgparentid = 0 THEN 2000002 ELSE 2000012 END, this.relowner, format('ALTER TABLE %s %s TRIGGER %I', this.there,
                  CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END, g.tgname)
    FROM this CROSS JOIN triggers AS g WHERE g.tgenabled <> coalesce(g.parent_enabled, 'O')
    UNION ALL
    SELECT CASE WHEN g.tgparentid = 0 THEN 2000003 ELSE 2000013 END, this.relowner, format('COMMENT ON TRIGGER %I ON %s IS %L', g.tgname, this.there, obj_description(g.oid, 'pg_trigger'))
    FROM this CROSS JOIN triggers AS g WHERE obj_description(g.oid, 'pg_trigger') IS NOT NULL
    UNION ALL
    SELECT 2000004, this.relowner, overlay(rtrim(pg_get_ruledef(w.oid), ';') PLACING ' TO ' || this.there
                                           FROM position(' TO ' || this.own IN pg_get_ruledef(w.oid)) FOR length(' TO ' || this.own))
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    UNION ALL
    SELECT 2000005, this.relowner, format('ALTER TABLE %s %s RULE %I', this.there,
                  CASE w.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, w.rulename)
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid WHERE w.ev_enabled <> 'O'
    UNION ALL
    SELECT 2000005, this.relowner, format('COMMENT ON RULE %I ON %s IS %L', w.rulename, this.there, obj_description(w.oid, 'pg_rewrite'))
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid WHERE obj_description(w.oid, 'pg_rewrite') IS NOT NULL
    UNION ALL
    SELECT 2000006, this.relowner, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, this.there,
                  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                  (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY r)
                   FROM unnest(p.polroles) AS r))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    UNION ALL
    SELECT 2000007, this.relowner, format('COMMENT ON POLICY %I ON %s IS %L', p.polname, this.there, obj_description(p.oid, 'pg_policy'))
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid WHERE obj_description(p.oid, 'pg_policy') IS NOT NULL
    UNION ALL
    SELECT 2000008, this.relowner, format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', this.there) FROM this WHERE this.relrowsecurity
    UNION ALL
    SELECT 2000008, this.relowner, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', this.there) FROM this WHERE this.relforcerowsecurity
    UNION ALL
    SELECT 2000009, this.relowner, format('ALTER TABLE %s REPLICA IDENTITY %s', this.there, CASE this.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
    FROM this WHERE this.relreplident IN ('f', 'n')
    UNION ALL
    SELECT 2000010, NULL, format('ALTER PUBLICATION %I ADD TABLE %s', p.pubname, this.there)
           || coalesce((SELECT ' (' || string_agg(quote_ident(t.attname), ', ' ORDER BY k.position) || ')'
                        FROM unnest(r.prattrs) WITH ORDINALITY AS k (attnum, position)
                        JOIN columns AS t ON t.attnum = k.attnum), '')
           || coalesce(' WHERE (' || pg_get_expr(r.prqual, this.oid) || ')', '')
    FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid JOIN pg_publication AS p ON p.oid = r.prpubid
), sequences AS (
    -- One that dies with the shard's column must not take the default of others along.
    SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, this.there, t.attname) AS text
    FROM this
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN columns AS t ON t.attnum = d.refobjsubid
), retire (step, text) AS (
    -- What would still act on a shard that was replaced.
    SELECT 1, format('ALTER TABLE %s DROP CONSTRAINT %I', this.own, k.conname) FROM this CROSS JOIN foreign_keys AS k
    UNION ALL
    SELECT 2, format('ALTER PUBLICATION %I DROP TABLE %s', p.pubname, this.own)
    FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid JOIN pg_publication AS p ON p.oid = r.prpubid
)
SELECT jsonb_build_object(
    'owner', this.relowner::bigint,
    'create', format('CREATE %sTABLE %s (LIKE %s INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE) USING %I%s',
                     CASE this.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, this.there, this.own,
                     (SELECT coalesce(min(a.amname), 'heap') FROM pg_am AS a WHERE a.oid = this.relam),
                     (SELECT ' WITH (' || string_agg(format('%s = %L', o.option_name, o.option_value), ', ') || ')'
                      FROM (SELECT quote_ident(r.option_name) AS option_name, r.option_value FROM pg_options_to_table(this.reloptions) AS r
                            UNION ALL
                            SELECT 'toast.' || quote_ident(r.option_name), r.option_value
                            FROM pg_class AS x CROSS JOIN LATERAL pg_options_to_table(x.reloptions) AS r WHERE x.oid = this.reltoastrelid) AS o)),
    'tablespace', coalesce($5, (SELECT e.spcname FROM pg_tablespace AS e WHERE e.oid = this.reltablespace), ''),
    'shape', (SELECT coalesce(jsonb_agg(s.text ORDER BY s.step, s.text), '[]') FROM shape AS s),
    'indexes', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                    'name', x.new,
                    'identity', x.indisunique AND x.indimmediate AND x.indpred IS NULL AND x.excludes IS NOT TRUE AND x.key = $6::text[],
                    -- Those that are where the shard is go where it goes.
                    'tablespace', CASE WHEN $5 IS NOT NULL AND x.reltablespace = this.reltablespace THEN $5
                                       ELSE coalesce((SELECT e.spcname FROM pg_tablespace AS e WHERE e.oid = x.reltablespace), '') END,
                    'statements', (SELECT jsonb_agg(s.text ORDER BY s.step, s.text) FROM index_steps AS s WHERE s.index = x.oid))
                    ORDER BY x.contype IS DISTINCT FROM 'p', x.oid), '[]') FROM indexes AS x),
    'statistics', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', s.schema, 'name', s.new,
                    'statements', (SELECT jsonb_agg(t.text ORDER BY t.step, t.text) FROM statistics_steps AS t WHERE t.object = s.oid),
                    'owner', CASE WHEN s.stxowner <> this.relowner THEN format('ALTER STATISTICS %s OWNER TO %I', s.there_name, pg_get_userbyid(s.stxowner)) END)
                    ORDER BY s.oid), '[]') FROM statistics AS s),
    'before', (SELECT coalesce(jsonb_agg(b.text ORDER BY b.step, b.text), '[]') FROM before AS b),
    'foreign_keys', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                        'name', k.conname, 'holds', k.holds,
                        'statement', format('ALTER TABLE %s ADD CONSTRAINT %I %s%s', this.there, k.conname, k.definition, CASE WHEN k.holds THEN ' NOT VALID' ELSE '' END),
                        'comment', CASE WHEN k.note IS NOT NULL THEN format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname, this.there, k.note) END)
                        ORDER BY k.conname), '[]') FROM foreign_keys AS k),
    'after', (SELECT coalesce(jsonb_agg(jsonb_build_object('role', a.role::bigint, 'text', a.text,
                    'part', CASE WHEN a.step < 2000001 THEN 'right' WHEN a.step < 2000010 THEN 'own' ELSE 'attached' END) ORDER BY a.step, a.text), '[]') FROM after AS a),
    'sequences', (SELECT coalesce(jsonb_agg(s.text ORDER BY s.text), '[]') FROM sequences AS s),
    'retire', (SELECT coalesce(jsonb_agg(r.text ORDER BY r.step, r.text), '[]') FROM retire AS r))::text
FROM this
