-- An index by which the least and the greatest key of a table are found at once, and the key's columns as it orders them:
-- $1 = the table's oid as bigint, $2 = the columns. It orders as a partitioned table does: by the type's own operators and
-- the column's own collation.
WITH key AS (
    SELECT k.place, t.attnum, t.attname, t.atttypid, t.attcollation,
           t.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.conrelid = t.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[t.attnum]
                                          AND NOT n.convalidated) AS attnotnull
    FROM unnest($2::text[]) WITH ORDINALITY AS k (name, place)
    JOIN pg_attribute AS t ON t.attrelid = $1::bigint::oid AND t.attname = k.name AND t.attnum > 0 AND NOT t.attisdropped
), fitting AS (
    SELECT i.indexrelid, i.indclass
    FROM pg_index AS i
    JOIN pg_class AS x ON x.oid = i.indexrelid
    JOIN pg_am AS m ON m.oid = x.relam AND m.amname = 'btree'
    WHERE i.indrelid = $1::bigint::oid AND i.indisvalid AND i.indisready AND i.indpred IS NULL
      AND i.indnkeyatts >= cardinality($2::text[]) AND (SELECT count(*) FROM key) = cardinality($2::text[])
      AND NOT EXISTS (
          SELECT FROM key AS k JOIN pg_opclass AS c ON c.oid = i.indclass[k.place - 1]
          WHERE i.indkey[k.place - 1] <> k.attnum OR i.indcollation[k.place - 1] <> k.attcollation OR NOT c.opcdefault
             -- Ascending with nulls last or descending with nulls first, all of them alike: the greatest is at one end.
             OR i.indoption[k.place - 1] NOT IN (0, 3) OR i.indoption[k.place - 1] <> i.indoption[0])
    ORDER BY i.indnkeyatts, i.indexrelid
    LIMIT 1
)
SELECT jsonb_build_object(
    'index', f.indexrelid::regclass::text,
    'columns', (SELECT jsonb_agg(jsonb_build_object('name', k.attname, 'type_text', format_type(k.atttypid, -1), 'is_not_null', k.attnotnull,
                                                    'equal', o.equal, 'greater', o.greater) ORDER BY k.place)
                FROM key AS k
                JOIN pg_opclass AS c ON c.oid = f.indclass[k.place - 1]
                CROSS JOIN LATERAL (
                    SELECT max(p.name) FILTER (WHERE a.amopstrategy = 3) AS equal, max(p.name) FILTER (WHERE a.amopstrategy = 5) AS greater
                    FROM pg_amop AS a JOIN pg_operator AS q ON q.oid = a.amopopr JOIN pg_namespace AS n ON n.oid = q.oprnamespace
                    CROSS JOIN LATERAL format('OPERATOR(%I.%s)', n.nspname, q.oprname) AS p (name)
                    WHERE a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype
                      AND a.amopstrategy IN (3, 5)) AS o))::text
FROM fitting AS f
