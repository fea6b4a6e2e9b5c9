-- What lies outside of tables ($1 = their oids as bigint) and by whose names their definitions are written, and what needs
-- their row types: one line for each, with its version. What this very transaction has written is left out.
WITH this AS (
    SELECT c.* FROM pg_class AS c WHERE c.oid = ANY ($1::bigint[]::oid[])
), views AS (
    SELECT DISTINCT w.oid AS rule, w.ev_class
    FROM this JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS w ON w.oid = d.objid AND w.ev_class <> this.oid
), own (class, oid) AS (
    SELECT 'pg_class'::regclass, this.oid FROM this
    UNION SELECT 'pg_class'::regclass, i.indexrelid FROM this JOIN pg_index AS i ON i.indrelid = this.oid
    UNION SELECT 'pg_constraint'::regclass, k.oid FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
    UNION SELECT 'pg_constraint'::regclass, k.oid FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.contype = 'f' AND k.conparentid = 0
    UNION SELECT 'pg_trigger'::regclass, g.oid FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid AND NOT g.tgisinternal
    UNION SELECT 'pg_rewrite'::regclass, w.oid FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    UNION SELECT 'pg_policy'::regclass, p.oid FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    UNION SELECT 'pg_statistic_ext'::regclass, s.oid FROM this JOIN pg_statistic_ext AS s ON s.stxrelid = this.oid
    UNION SELECT 'pg_rewrite'::regclass, v.rule FROM views AS v
    UNION SELECT 'pg_class'::regclass, v.ev_class FROM views AS v
    UNION SELECT 'pg_proc'::regclass, f.oid
    FROM this JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid AND d.classid = 'pg_proc'::regclass
    JOIN pg_proc AS f ON f.oid = d.objid AND f.prosqlbody IS NOT NULL
), named (class, oid) AS (
    SELECT d.refclassid::regclass, d.refobjid FROM own JOIN pg_depend AS d ON d.classid = own.class AND d.objid = own.oid
    UNION
    SELECT d.refclassid::regclass, d.refobjid
    FROM own JOIN pg_shdepend AS d ON d.classid = own.class AND d.objid = own.oid
        AND d.dbid = (SELECT b.oid FROM pg_database AS b WHERE b.datname = current_database())
    UNION
    -- Sequences of its columns.
    SELECT d.classid::regclass, d.objid
    FROM this JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid AND d.refobjsubid > 0
        AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION
    SELECT 'pg_publication'::regclass, r.prpubid FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid
), parts AS (
    SELECT t.relid::oid AS oid FROM this CROSS JOIN LATERAL pg_partition_tree(this.oid) AS t
), inside (class, oid) AS (
    SELECT own.class, own.oid FROM own
    UNION SELECT 'pg_class'::regclass, p.oid FROM parts AS p
    UNION SELECT 'pg_class'::regclass, i.indexrelid FROM parts AS p JOIN pg_index AS i ON i.indrelid = p.oid
), outside AS (
    SELECT n.* FROM named AS n WHERE n.oid <> 0 AND NOT EXISTS (SELECT FROM inside AS i WHERE i.class = n.class AND i.oid = n.oid)
), relations AS (
    SELECT c.oid, c.relnamespace, c.relkind, c.xmin FROM outside AS o JOIN pg_class AS c ON c.oid = o.oid WHERE o.class = 'pg_class'::regclass
), routines AS (
    SELECT f.oid, f.pronamespace, f.xmin FROM outside AS o JOIN pg_proc AS f ON f.oid = o.oid WHERE o.class = 'pg_proc'::regclass
), types AS (
    SELECT t.oid, t.typnamespace, t.xmin FROM outside AS o JOIN pg_type AS t ON t.oid = o.oid WHERE o.class = 'pg_type'::regclass
), schemas AS (
    SELECT this.relnamespace AS oid FROM this
    UNION SELECT r.relnamespace FROM relations AS r
    UNION SELECT f.pronamespace FROM routines AS f
    UNION SELECT t.typnamespace FROM types AS t
), found (kind, oid, part, version) AS (
    SELECT 'relation', r.oid, 0, r.xmin FROM relations AS r
    UNION ALL
    SELECT 'column', r.oid, a.attnum::int, a.xmin
    FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT 'routine', f.oid, 0, f.xmin FROM routines AS f
    UNION ALL
    SELECT 'type', t.oid, 0, t.xmin FROM types AS t
    UNION ALL
    SELECT 'schema', n.oid, 0, n.xmin FROM schemas AS s JOIN pg_namespace AS n ON n.oid = s.oid
    UNION ALL
    SELECT 'role', r.oid, 0, r.xmin FROM outside AS o JOIN pg_authid AS r ON r.oid = o.oid WHERE o.class = 'pg_authid'::regclass
    UNION ALL
    SELECT 'operator', p.oid, 0, p.xmin FROM outside AS o JOIN pg_operator AS p ON p.oid = o.oid WHERE o.class = 'pg_operator'::regclass
    UNION ALL
    SELECT 'collation', l.oid, 0, l.xmin FROM outside AS o JOIN pg_collation AS l ON l.oid = o.oid WHERE o.class = 'pg_collation'::regclass
    UNION ALL
    SELECT 'publication', p.oid, 0, p.xmin FROM outside AS o JOIN pg_publication AS p ON p.oid = o.oid WHERE o.class = 'pg_publication'::regclass
    UNION ALL
    SELECT 'subscription', r.srsubid, 0, r.xmin FROM this JOIN pg_subscription_rel AS r ON r.srrelid = this.oid
    UNION ALL
    SELECT 'user of the row type: ' || d.classid::regclass, d.objid, d.objsubid, d.xmin
    FROM this JOIN pg_type AS t ON t.oid = this.reltype
    JOIN pg_depend AS d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray) AND d.deptype = 'n'
)
SELECT concat_ws(' ', f.kind, f.oid, f.part, f.version)
FROM found AS f WHERE f.version IS DISTINCT FROM pg_current_xact_id_if_assigned()::xid
ORDER BY 1
