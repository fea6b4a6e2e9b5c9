--
-- Everything that belongs to the extension says what it is for: no rows.
--
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS undocumented
FROM pg_depend AS d
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
  AND d.classid <> 'pg_type'::regclass -- row types and arrays of tables and views
  AND coalesce(obj_description(d.objid, d.classid::regclass::name), '') = ''
  AND NOT (d.classid = 'pg_class'::regclass
           AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = d.objid AND c.relkind = 'S')) -- of identity columns
UNION ALL
SELECT format('column %I of %s', a.attname, c.oid::regclass)
FROM pg_depend AS d
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('r', 'v')
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e'
  AND coalesce(col_description(a.attrelid, a.attnum), '') = ''
ORDER BY 1;

SELECT 'extension' AS undocumented FROM pg_extension AS e
WHERE e.extname = 'pg_presplit' AND coalesce(obj_description(e.oid, 'pg_extension'), '') = '';

-- A comment begins in lower case, as in core, and does not end with a full stop.
SELECT pg_describe_object(d.classid, d.objid, 0) AS object, s.description AS not_in_style
FROM pg_depend AS d
JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
JOIN pg_description AS s ON s.classoid = d.classid AND s.objoid = d.objid
WHERE e.extname = 'pg_presplit' AND d.deptype = 'e' AND s.description ~ '^[A-Z][a-z]|\.$';

-- Every setting explains itself, in psql and in the view.
SELECT name AS undocumented FROM pg_settings
WHERE name LIKE 'presplit.%' AND (coalesce(short_desc, '') = '' OR coalesce(extra_desc, '') = '');
SELECT s.name AS differs, s.meaning, p.short_desc
FROM presplit.settings AS s FULL JOIN (SELECT * FROM pg_settings WHERE name LIKE 'presplit.%') AS p USING (name)
WHERE s.meaning IS DISTINCT FROM p.short_desc;
