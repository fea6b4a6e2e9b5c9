-- What values of a column are, if the caller may have them read; $1 schema, $2 table, $3 column.
WITH this AS (
    SELECT a.atttypid, a.atttypmod, a.attcollation, c.relowner,
           -- Read by functions of the server alone.
           greatest(t.oid, e.oid) < 16384 OR coalesce(e.typtype, t.typtype) = 'e' AS plain
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3
)
SELECT jsonb_build_object('type_oid', this.atttypid::bigint, 'modifier', this.atttypmod, 'collation', this.attcollation::bigint,
                          'owner', CASE WHEN NOT this.plain THEN this.relowner::bigint END)::text
FROM this WHERE this.plain OR pg_has_role(this.relowner, 'USAGE')
