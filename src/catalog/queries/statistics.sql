-- Columns, each as [schema, table, column], with what pg_stats shows of them to this role; of a partitioned table
-- that of its whole tree. Values of types whose arrays are not written with commas are left out.
SELECT jsonb_build_object(
         'schema', n.nspname,
         'table', c.relname,
         'column', a.attname,
         'visible', coalesce(has_column_privilege(c.oid, a.attnum, 'SELECT'), false)
                    AND NOT (c.relrowsecurity AND row_security_active(c.oid)),
         'statistics', CASE WHEN s.attname IS NOT NULL THEN jsonb_build_object(
           'null_fraction', s.null_frac,
           'width', s.avg_width,
           'distinct', s.n_distinct,
           'correlation', nullif(s.correlation, 'NaN'),
           'common_values', coalesce(CASE WHEN t.typdelim = ',' THEN to_jsonb(s.most_common_vals::text::text[]) END, '[]'),
           'common_fractions', coalesce(to_jsonb(s.most_common_freqs), '[]'),
           'histogram', coalesce(CASE WHEN t.typdelim = ',' THEN to_jsonb(s.histogram_bounds::text::text[]) END, '[]')) END)::text
FROM jsonb_array_elements($1::jsonb) AS w (name)
JOIN pg_namespace AS n ON n.nspname = w.name->>0
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = w.name->>1
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = w.name->>2 AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_stats AS s
  ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
 AND s.inherited = (c.relkind = 'p')
