-- What tables are and have, one line for each: facet, object, text. $1 = their oids as bigint. Names of its own objects are
-- written without the table's, so that two tables that are alike have the same lines but for what is not theirs to choose:
-- their names and bounds. Names of indexes, keys and statistics come last, after " as ".
WITH this AS (
    SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS own
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::bigint[]::oid[])
), mine AS (
    SELECT x.oid, CASE WHEN starts_with(x.relname::text, this.relname::text || '_') THEN substr(x.relname, length(this.relname) + 2) ELSE x.relname::text END AS name
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid JOIN pg_class AS x ON x.oid = i.indexrelid
), facets (facet, object, text) AS (
    SELECT 'table', this.own, concat_ws(' ', this.relkind, this.relpersistence, this.relowner::regrole, this.relam, this.reloptions,
           (SELECT x.reloptions FROM pg_class AS x WHERE x.oid = this.reltoastrelid), this.relrowsecurity, this.relforcerowsecurity,
           this.relreplident, this.reloftype, obj_description(this.oid, 'pg_class'))
    FROM this
    UNION ALL
    SELECT 'tablespace', this.own, this.reltablespace::text FROM this
    UNION ALL
    SELECT 'privilege', this.own, a.ordinality || ' ' || a::text FROM this CROSS JOIN LATERAL aclexplode(this.relacl) WITH ORDINALITY AS a
    UNION ALL
    SELECT 'privilege', format('%s.%I', this.own, t.attname), t.attname || ' ' || a.ordinality || ' ' || a::text
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum > 0 AND NOT t.attisdropped CROSS JOIN LATERAL aclexplode(t.attacl) WITH ORDINALITY AS a
    UNION ALL
    SELECT 'column', format('%s.%I', this.own, t.attname), concat_ws(' ', t.attname, format_type(t.atttypid, t.atttypmod), t.attcollation, t.attnotnull,
           t.attgenerated, t.attstorage, t.attcompression, CASE WHEN t.attstattarget >= 0 THEN t.attstattarget END,
           pg_get_expr(d.adbin, d.adrelid), col_description(this.oid, t.attnum),
           (SELECT string_agg(o.option_name || '=' || o.option_value, ',' ORDER BY o.option_name) FROM pg_options_to_table(t.attoptions) AS o
            WHERE o.option_name IN ('n_distinct', 'n_distinct_inherited')))
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum > 0 AND NOT t.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = this.oid AND d.adnum = t.attnum
    UNION ALL
    SELECT 'identity', format('%s.%I', this.own, t.attname), concat_ws(' ', t.attname, t.attidentity)
    FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum > 0 AND NOT t.attisdropped AND t.attidentity <> ''
    UNION ALL
    SELECT CASE WHEN k.contype = 'f' THEN 'foreign key' ELSE 'constraint' END, format('%I on %s', k.conname, this.own), concat_ws(' ', CASE WHEN m.oid IS NULL THEN k.conname END, k.contype, k.convalidated, k.condeferrable, k.condeferred,
           CASE WHEN k.contype IN ('c', 'n') THEN k.connoinherit END, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'),
           ' as ' || m.name)
    FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid AND k.conname NOT IN ('presplit_bound', 'presplit_proof')
    LEFT JOIN mine AS m ON m.oid = k.conindid AND k.contype IN ('p', 'u', 'x')
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid)
    UNION ALL
    SELECT 'index', format('%I.%I', this.nspname, x.relname), concat_ws(' ', i.indisvalid, i.indisprimary, i.indisunique, i.indisclustered, i.indisreplident,
           substr(pg_get_indexdef(x.oid), position(' USING ' IN pg_get_indexdef(x.oid))), obj_description(x.oid, 'pg_class'),
           (SELECT string_agg(t.attnum || '=' || t.attstattarget, ',' ORDER BY t.attnum) FROM pg_attribute AS t WHERE t.attrelid = x.oid AND t.attstattarget >= 0),
           ' as ' || m.name)
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid JOIN pg_class AS x ON x.oid = i.indexrelid JOIN mine AS m ON m.oid = x.oid
    UNION ALL
    SELECT 'index tablespace', format('%I.%I', this.nspname, x.relname), concat_ws(' ', m.name, x.reltablespace)
    FROM this JOIN pg_index AS i ON i.indrelid = this.oid JOIN pg_class AS x ON x.oid = i.indexrelid JOIN mine AS m ON m.oid = x.oid
    UNION ALL
    SELECT 'statistics object', format('%I.%I', n.nspname, s.stxname), concat_ws(' ', s.stxowner::regrole, CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END, s.stxkind, pg_get_statisticsobjdef_columns(s.oid),
           obj_description(s.oid, 'pg_statistic_ext'),
           ' as ' || CASE WHEN starts_with(s.stxname::text, this.relname::text || '_') THEN substr(s.stxname, length(this.relname) + 2) ELSE s.stxname::text END)
    FROM this JOIN pg_statistic_ext AS s ON s.stxrelid = this.oid JOIN pg_namespace AS n ON n.oid = s.stxnamespace
    UNION ALL
    SELECT CASE WHEN g.tgparentid = 0 THEN 'trigger' ELSE 'trigger of the table' END, format('%I on %s', g.tgname, this.own), concat_ws(' ', replace(pg_get_triggerdef(g.oid), ' ON ' || this.own || ' ', ' ON this '), g.tgenabled, g.tgparentid <> 0,
           obj_description(g.oid, 'pg_trigger'))
    FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid AND NOT g.tgisinternal
    WHERE g.tgname !~ '^presplit_(capture|truncate|retired)'
    UNION ALL
    SELECT 'rule', format('%I on %s', w.rulename, this.own), concat_ws(' ', overlay(pg_get_ruledef(w.oid) PLACING ' TO this' FROM position(' TO ' || this.own IN pg_get_ruledef(w.oid)) FOR length(' TO ' || this.own)), w.ev_enabled, obj_description(w.oid, 'pg_rewrite'))
    FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    UNION ALL
    SELECT 'policy', format('%I on %s', p.polname, this.own), concat_ws(' ', p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
           pg_get_expr(p.polwithcheck, p.polrelid), obj_description(p.oid, 'pg_policy'))
    FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    UNION ALL
    SELECT 'publication', format('%I of %s', p.pubname, this.own), concat_ws(' ', p.pubname, pg_get_expr(r.prqual, this.oid),
           (SELECT string_agg(t.attname, ',' ORDER BY t.attname) FROM pg_attribute AS t WHERE t.attrelid = this.oid AND t.attnum = ANY (r.prattrs)))
    FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid JOIN pg_publication AS p ON p.oid = r.prpubid
    UNION ALL
    SELECT 'sequence', d.objid::regclass::text, concat_ws(' ', d.objid::regclass, t.attname, d.deptype)
    FROM this JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute AS t ON t.attrelid = this.oid AND t.attnum = d.refobjsubid
    UNION ALL
    SELECT 'foreign key of another table', format('%I on %s', k.conname, k.conrelid::regclass), concat_ws(' ', k.conrelid::regclass, k.conname, k.convalidated, pg_get_constraintdef(k.oid))
    FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT 'partition key', this.own, pg_get_partkeydef(this.oid) FROM this WHERE this.relkind = 'p'
)
SELECT jsonb_build_array(f.facet, f.object, f.text)::text FROM facets AS f ORDER BY f.facet, f.object, f.text
