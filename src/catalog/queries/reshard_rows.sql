-- What the statements are made of that bring rows from sources ($1, oids) to targets ($2, oids) in the order of an
-- identity ($3, names of its columns). One row of JSON for each index that may be the identity's, the best first; without
-- an identity one.
SELECT jsonb_build_object(
    'owner', t.relowner::bigint,
    'tables', jsonb_build_object(
        'sources', (SELECT jsonb_agg(format('%I.%I', n.nspname, c.relname) ORDER BY s.at)
                    FROM unnest($1::oid[]) WITH ORDINALITY AS s (oid, at)
                    JOIN pg_class AS c ON c.oid = s.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace),
        'targets', coalesce(
            (SELECT jsonb_agg(jsonb_build_object(
                        'name', format('%I.%I', n.nspname, c.relname), 'divided', c.relkind = 'p',
                        -- Of checks that the sources have too, every row meets those of every target.
                        'conditions', CASE WHEN cardinality($2::oid[]) = 1 THEN '[]'::jsonb ELSE coalesce(
                            (SELECT jsonb_agg(pg_get_expr(k.conbin, k.conrelid) ORDER BY k.conname)
                             FROM pg_constraint AS k
                             WHERE k.conrelid = c.oid AND k.contype = 'c' AND NOT EXISTS (
                                 SELECT FROM pg_constraint AS o
                                 WHERE o.conrelid = ANY ($1::oid[]) AND o.contype = 'c' AND o.conname = k.conname)),
                            '[]'::jsonb) END) ORDER BY s.at)
             FROM unnest($2::oid[]) WITH ORDINALITY AS s (oid, at)
             JOIN pg_class AS c ON c.oid = s.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace), '[]'::jsonb),
        'written', (SELECT jsonb_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute AS a
                    WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
        'compared', (SELECT jsonb_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute AS a
                     WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated IN ('', 's')),
        'identity', coalesce((SELECT jsonb_agg(jsonb_build_object(
                                'name', quote_ident(a.attname),
                                'type', format_type(a.atttypid, -1),
                                'type_oid', a.atttypid::bigint,
                                'collation', (SELECT format('%I.%I', n.nspname, l.collname)
                                              FROM pg_collation AS l JOIN pg_namespace AS n ON n.oid = l.collnamespace
                                              WHERE l.oid = i.indcollation[k.at - 1] AND l.oid <> a.attcollation),
                                'operators', (SELECT jsonb_agg(format('%I.%s', n.nspname, o.oprname) ORDER BY p.amopstrategy)
                                              FROM pg_opclass AS d
                                              JOIN pg_amop AS p ON p.amopfamily = d.opcfamily
                                                  AND p.amoplefttype = d.opcintype AND p.amoprighttype = d.opcintype
                                                  AND p.amopstrategy BETWEEN 1 AND 5 AND p.amoppurpose = 's'
                                              JOIN pg_operator AS o ON o.oid = p.amopopr
                                              JOIN pg_namespace AS n ON n.oid = o.oprnamespace
                                              WHERE d.oid = i.indclass[k.at - 1])) ORDER BY k.at)
                     FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, at)
                     JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                     WHERE k.at <= i.indnkeyatts), '[]'::jsonb)))::text
FROM pg_class AS t
LEFT JOIN (pg_index AS i
           JOIN pg_class AS x ON x.oid = i.indexrelid
           JOIN pg_am AS m ON m.oid = x.relam AND m.amname = 'btree')
    ON i.indrelid = t.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
       AND ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, at)
                 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                 WHERE k.at <= i.indnkeyatts ORDER BY k.at) = $3::text[]
WHERE t.oid = ($1::oid[])[1] AND (i.indexrelid IS NOT NULL OR cardinality($3::text[]) = 0)
ORDER BY i.indisprimary DESC, i.indimmediate DESC, i.indexrelid
