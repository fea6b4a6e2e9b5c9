-- What values of a type are, if the caller may have them read; $1 type, $2 modifier, $3 collation or NULL.
SELECT jsonb_build_object('type_oid', t.oid::bigint, 'modifier', $2::int4,
                          'collation', CASE WHEN t.typcollation <> 0 THEN coalesce(to_regcollation($3::text)::oid, t.typcollation)::bigint ELSE 0 END,
                          'owner', CASE WHEN NOT p.plain THEN (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = current_user)::bigint END)::text
FROM pg_type AS t
LEFT JOIN pg_type AS e ON e.oid = t.typelem AND t.typcategory = 'A'
CROSS JOIN LATERAL (SELECT greatest(t.oid, e.oid) < 16384 OR coalesce(e.typtype, t.typtype) = 'e' AS plain) AS p
JOIN pg_roles AS o ON o.oid = t.typowner
WHERE t.oid = $1::oid AND t.typtype <> 'p'
  AND ($3::text IS NULL OR to_regcollation($3::text) IS NOT NULL)
  AND (p.plain OR o.rolsuper OR o.rolname = current_user)
