-- What ANALYZE has seen of column $2 in table $1 alone; none if the caller may not see it.
SELECT jsonb_build_object('common', s.most_common_vals::text::text[], 'frequencies', s.most_common_freqs,
                          'bounds', s.histogram_bounds::text::text[], 'nulls', s.null_frac)::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = $2 AND NOT s.inherited
WHERE c.oid = $1::oid AND c.reltuples > 0
