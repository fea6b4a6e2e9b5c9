-- The versions of all rows of catalogs by which tables are what they are: $1 = their oids as bigint, $2 = the parent whose
-- partitions count too. Each change of one is a new version. Some versions are new without a change that matters.
WITH this AS (
    SELECT t.oid::oid AS oid FROM unnest($1::bigint[]) AS t (oid)
), rows (kind, oid, version) AS (
    SELECT 1, c.oid, c.xmin FROM this JOIN pg_class AS c ON c.oid = this.oid
    UNION ALL
    SELECT 2, t.attnum::oid, t.xmin FROM this JOIN pg_attribute AS t ON t.attrelid = this.oid
    UNION ALL
    SELECT 3, d.oid, d.xmin FROM this JOIN pg_attrdef AS d ON d.adrelid = this.oid
    UNION ALL
    SELECT 4, k.oid, k.xmin FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
    UNION ALL
    SELECT 5, k.oid, k.xmin FROM this JOIN pg_constraint AS k ON k.confrelid = this.oid AND k.contype = 'f'
    UNION ALL
    SELECT 6, i.indexrelid, i.xmin FROM this JOIN pg_index AS i ON i.indrelid = this.oid
    UNION ALL
    SELECT 7, x.oid, x.xmin FROM this JOIN pg_index AS i ON i.indrelid = this.oid JOIN pg_class AS x ON x.oid = i.indexrelid
    UNION ALL
    SELECT 8, i.indexrelid, t.xmin FROM this JOIN pg_index AS i ON i.indrelid = this.oid
    JOIN pg_attribute AS t ON t.attrelid = i.indexrelid
    UNION ALL
    SELECT 9, g.oid, g.xmin FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid
    UNION ALL
    SELECT 10, w.oid, w.xmin FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
    UNION ALL
    SELECT 11, p.oid, p.xmin FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
    UNION ALL
    SELECT 12, r.oid, r.xmin FROM this JOIN pg_publication_rel AS r ON r.prrelid = this.oid
    UNION ALL
    SELECT 13, s.oid, s.xmin FROM this JOIN pg_statistic_ext AS s ON s.stxrelid = this.oid
    UNION ALL
    SELECT 14, d.objid, d.xmin FROM this JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = this.oid
    UNION ALL
    SELECT 15, c.oid, c.xmin FROM this JOIN pg_class AS o ON o.oid = this.oid JOIN pg_class AS c ON c.oid = o.reltoastrelid
    UNION ALL
    SELECT 16, i.inhrelid, i.xmin FROM pg_inherits AS i WHERE i.inhparent = $2::oid
    UNION ALL
    SELECT 17, c.oid, c.xmin FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = $2::oid
    UNION ALL
    SELECT 18, d.objoid, d.xmin FROM pg_description AS d WHERE d.objoid IN (
        SELECT oid FROM this
        UNION ALL SELECT k.oid FROM this JOIN pg_constraint AS k ON k.conrelid = this.oid
        UNION ALL SELECT i.indexrelid FROM this JOIN pg_index AS i ON i.indrelid = this.oid
        UNION ALL SELECT g.oid FROM this JOIN pg_trigger AS g ON g.tgrelid = this.oid
        UNION ALL SELECT w.oid FROM this JOIN pg_rewrite AS w ON w.ev_class = this.oid
        UNION ALL SELECT p.oid FROM this JOIN pg_policy AS p ON p.polrelid = this.oid
        UNION ALL SELECT s.oid FROM this JOIN pg_statistic_ext AS s ON s.stxrelid = this.oid)
)
SELECT md5(string_agg(concat_ws(' ', r.kind, r.oid, r.version), ',' ORDER BY r.kind, r.oid, r.version::text)) FROM rows AS r
