-- The columns by which rows of tables ($1) are told apart, one line for each index of each table that does: the primary key
-- first, then the narrowest.
SELECT jsonb_build_object('table', i.indrelid::bigint, 'index', i.indexrelid::bigint, 'columns', k.columns)::text
FROM pg_index AS i
JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = x.relam AND m.amname = 'btree'
CROSS JOIN LATERAL (
    SELECT jsonb_agg(a.attname ORDER BY u.place) AS columns, bool_and(a.attnotnull) AS not_null
    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
    LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum > 0
    WHERE u.place <= i.indnkeyatts) AS k
WHERE i.indrelid = ANY ($1::oid[]) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL AND k.not_null
ORDER BY NOT i.indisprimary, i.indnkeyatts, x.relname, i.indrelid
