-- Captures the profile of one database: facts of its tables and the statements
-- that run on them, as one JSON value on standard output.
--
--   psql source -qXAt -v ON_ERROR_STOP=1 -f capture_profile.sql > profile.json
--
-- Plain SQL for servers 12 to 18: the source needs no extension, nothing is
-- written, a read-only transaction or a standby will do. A role with
-- pg_monitor and pg_read_all_data sees everything except the statistics of
-- tables whose row security applies to it; what it cannot see is named in
-- "hidden_statistics_of" and in the note of the workload.
--
-- Variables (psql -v):
--   values=keys     (default) data values of columns that can become a key
--                   travel; "values_of" names them
--   values=none     no data values travel (the same for any other word)
--   relations=OIDS  a comma-separated list of oids; default: every user table
--
-- The JSON is described in docs/profile.md. The blocks between marker lines are
-- also run by the extension's function capture_profile(): there must be no psql
-- syntax in them but the variables statements_source, history_source, 'values'
-- and 'relations'.

\set ON_ERROR_STOP on
\set ON_ERROR_ROLLBACK off
\set QUIET on
\set ECHO none
\if :{?values}
\else
  \set values keys
\endif
\if :{?relations}
\else
  \set relations ''
\endif

BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

SET LOCAL client_encoding = 'UTF8';
-- Only a table that is being altered at this moment can make us wait.
SET LOCAL lock_timeout = '30s';

-- What the blocks rely on. pg_temp is named so that it comes last: a temporary
-- table must not hide a catalog. The next settings fix the text form of values.
-- The last two are about time: the planner has no statistics of a WITH query
-- and would choose nested loops over ten thousands of rows.
-- begin: settings
SET LOCAL standard_conforming_strings = on;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL DateStyle = 'ISO, YMD';
SET LOCAL IntervalStyle = 'postgres';
SET LOCAL TimeZone = 'UTC';
SET LOCAL extra_float_digits = 1;
SET LOCAL quote_all_identifiers = off;
SET LOCAL enable_nestloop = off;
SET LOCAL jit = off;
-- end: settings

DO $$
BEGIN
  IF current_setting('server_version_num')::int < 120000 THEN
    RAISE EXCEPTION 'server version % is not supported', current_setting('server_version')
      USING ERRCODE = 'feature_not_supported',
            DETAIL = 'A profile can be captured from PostgreSQL 12 or later.';
  END IF;
END
$$;

-- Whether psql knows \warn.
SELECT /* pg_presplit capture */ :VERSION_NUM >= 130000 AS can_warn
\gset

-- The text of a subquery that reads pg_stat_statements, or of one that says in
-- "note" why there is nothing to read. It always yields a row; a row without
-- "userid" only carries the first four columns.
-- begin: statements_source
WITH /* pg_presplit capture */ installed AS (
  SELECT n.nspname AS schema, c.oid AS view
  FROM pg_extension AS e
  JOIN pg_depend AS d
    ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
   AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
  JOIN pg_class AS c ON c.oid = d.objid AND c.relname = 'pg_stat_statements'
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE e.extname = 'pg_stat_statements'
),
state AS (
  SELECT
    i.schema,
    CASE
      WHEN i.view IS NULL
        THEN 'extension pg_stat_statements is not installed in this database'
      -- The library defines this setting only where the postmaster loaded it;
      -- shared_preload_libraries itself is hidden from most roles, and a mere
      -- line in postgresql.conf makes a placeholder of context "user".
      WHEN NOT EXISTS (
        SELECT FROM pg_settings
        WHERE name = 'pg_stat_statements.max' AND context = 'postmaster')
        THEN 'pg_stat_statements is not in shared_preload_libraries'
      WHEN NOT has_table_privilege(i.view, 'SELECT')
        OR NOT has_schema_privilege(i.schema, 'USAGE')
        THEN format('role %I may not read pg_stat_statements', current_user)
    END AS problem,
    -- The column was renamed in version 1.8, that is, PostgreSQL 13.
    CASE WHEN EXISTS (
      SELECT FROM pg_attribute
      WHERE attrelid = i.view AND attname = 'total_exec_time' AND NOT attisdropped)
      THEN 'total_exec_time' ELSE 'total_time' END AS exec_time,
    -- The view came with version 1.9, that is, PostgreSQL 14.
    (SELECT c.oid
     FROM pg_class AS c
     WHERE c.relname = 'pg_stat_statements_info'
       AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = i.schema)
       AND has_table_privilege(c.oid, 'SELECT')) IS NOT NULL AS with_info
  FROM (VALUES (1)) AS always (one)
  LEFT JOIN installed AS i ON true
)
SELECT
  CASE
    WHEN problem IS NOT NULL THEN format(
      $source$(
        SELECT 'none'::text AS source, %L::text AS note,
               NULL::timestamptz AS counted_since, NULL::bigint AS evictions,
               NULL::oid AS userid, NULL::bigint AS queryid, NULL::text AS query,
               NULL::float8 AS calls, NULL::float8 AS exec_ms, NULL::float8 AS rows)$source$,
      problem)
    ELSE format(
      $source$(
        SELECT 'pg_stat_statements'::text AS source, NULL::text AS note,
               i.stats_reset AS counted_since, i.dealloc AS evictions,
               s.userid, s.queryid, s.query, s.calls, s.exec_ms, s.rows
        FROM (%s) AS i
        LEFT JOIN (
          SELECT userid, queryid, query, calls::float8, %I::float8 AS exec_ms, rows::float8
          FROM %I.pg_stat_statements
          WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) AS s ON true)$source$,
      CASE
        WHEN with_info
          THEN format('SELECT stats_reset, dealloc FROM %I.pg_stat_statements_info', schema)
        ELSE 'SELECT NULL::timestamptz AS stats_reset, NULL::bigint AS dealloc'
      END,
      exec_time, schema)
  END AS statements_source
FROM state
-- end: statements_source
\gset

-- The text of a subquery that reads the size history, if the extension is
-- installed here and its tables may be read. A table has at most 180 readings:
-- all of the last hour, one an hour of two days, one a day of four months; what
-- was counted in between is in them. Of a time in which nothing changed
-- there are the ends. Only a table of the extension itself is read.
-- begin: history_source
SELECT /* pg_presplit capture */
  CASE max(h.columns)
    WHEN 15 THEN $source$(
      SELECT w.schema_name, w.table_name, w.at,
          json_strip_nulls(json_build_object(
            'schema', w.schema_name, 'table', w.table_name,
            'at', to_char(w.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'rows', w.rows, 'bytes', w.bytes, 'inserted', w.inserted, 'deleted', w.deleted,
            'loaded', nullif(w.loaded, 0), 'dropped', nullif(w.dropped, 0),
            'event_bytes', nullif(w.event_bytes, 0), 'event', w.event)) AS reading
      FROM (
        SELECT k.*, lag(k.state) OVER u AS before, lead(k.state) OVER u AS after
        FROM (
          SELECT h.*, ARRAY[h.rows, h.bytes, h.inserted, h.deleted, h.loaded, h.dropped, h.event_bytes] AS state
          FROM (
            SELECT schema_name, table_name, at, lead(at) OVER (PARTITION BY schema_name, table_name ORDER BY at) AS next
            FROM presplit.size_history
            WHERE at > statement_timestamp() - interval '120 days' AND at < 'infinity') AS n
          JOIN presplit.size_history AS h USING (schema_name, table_name, at)
          WHERE n.next IS NULL OR n.at > statement_timestamp() - interval '1 hour'
            OR CASE WHEN n.at > statement_timestamp() - interval '2 days'
                    THEN date_trunc('hour', n.at) <> date_trunc('hour', n.next)
                    ELSE date_trunc('day', n.at) <> date_trunc('day', n.next) END) AS k
        WINDOW u AS (PARTITION BY k.schema_name, k.table_name ORDER BY k.at)) AS w
      WHERE w.before IS DISTINCT FROM w.state OR w.after IS DISTINCT FROM w.state)$source$
    -- Releases before 0.3 counted as the server does.
    WHEN 8 THEN $source$(
      SELECT w.schema_name, w.table_name, w.at,
          json_build_object(
            'schema', w.schema_name, 'table', w.table_name,
            'at', to_char(w.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'rows', w.rows, 'bytes', w.bytes, 'inserted', w.inserted, 'deleted', w.deleted) AS reading
      FROM (
        SELECT h.*, lead(h.at) OVER (PARTITION BY h.schema_name, h.table_name ORDER BY h.at) AS next
        FROM presplit.size_history AS h
        WHERE h.at > statement_timestamp() - interval '120 days' AND h.at < 'infinity') AS w
      WHERE w.next IS NULL OR date_trunc('hour', w.at) <> date_trunc('hour', w.next))$source$
    ELSE $source$(
      SELECT NULL::name AS schema_name, NULL::name AS table_name, NULL::timestamptz AS at, NULL::json AS reading
      WHERE false)$source$
  END AS history_source
FROM (
  SELECT (SELECT count(*) FROM pg_attribute AS a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
  FROM pg_extension AS e
  JOIN pg_depend AS d
    ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
   AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
  JOIN pg_class AS c ON c.oid = d.objid AND c.relname = 'size_history' AND c.relkind = 'r'
  JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'presplit'
  WHERE e.extname = 'pg_presplit'
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
) AS h
-- end: history_source
\gset

SELECT
  captured.profile,
  summary.line AS summary
FROM (
-- begin: profile
WITH RECURSIVE /* pg_presplit capture */
setting AS (
  SELECT
    :'values' = 'keys' AS with_values,
    string_to_array(nullif(:'relations', ''), ',')::oid[] AS wanted,
    (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
    current_setting('block_size')::bigint AS block_size
),

-- == Which tables ==========================================================

user_schema AS (
  SELECT oid, nspname
  FROM pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> ALL ('{information_schema,presplit}')
),
extension_member AS (
  SELECT objid AS oid
  FROM pg_depend
  WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_extension'::regclass
    AND deptype = 'e'
),
-- Every table with itself, every partition with the root of its tree. The
-- catalog is read rather than pg_partition_tree(), which locks every member.
family AS (
  SELECT oid AS root, oid AS member
  FROM pg_class
  WHERE relkind IN ('r', 'p', 'f') AND NOT relispartition AND relpersistence <> 't'
  UNION ALL
  SELECT f.root, i.inhrelid
  FROM family AS f
  JOIN pg_inherits AS i ON i.inhparent = f.member
  JOIN pg_class AS c ON c.oid = i.inhrelid AND c.relispartition
),
-- The tables of the profile. Who asks for a partition gets its root.
relation AS (
  SELECT c.oid, s.nspname AS schema, c.relname AS name, c.relkind, c.relpersistence,
         c.relrowsecurity
  FROM setting
  CROSS JOIN pg_class AS c
  JOIN user_schema AS s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND (setting.wanted IS NULL
         OR c.oid IN (SELECT f.root FROM family AS f WHERE f.member = ANY (setting.wanted)))
),

-- == Sizes, rows and counters ==============================================

-- The members of the profile's tables, whose sizes are summed.
member AS (
  SELECT r.oid AS root, c.oid, c.relkind, c.relpages, c.reltuples, c.reltoastrelid
  FROM relation AS r
  JOIN family AS f ON f.root = r.oid
  JOIN pg_class AS c ON c.oid = f.member
),
file AS (
  SELECT root, 'heap' AS part, oid, relpages
  FROM member
  WHERE relkind = 'r'
  UNION ALL
  SELECT m.root, 'index', c.oid, c.relpages
  FROM member AS m
  JOIN pg_index AS i ON i.indrelid = m.oid
  JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
  UNION ALL
  SELECT m.root, 'toast', c.oid, c.relpages
  FROM member AS m
  JOIN pg_class AS c ON c.oid = m.reltoastrelid
  UNION ALL
  SELECT m.root, 'toast', c.oid, c.relpages
  FROM member AS m
  JOIN pg_index AS i ON i.indrelid = m.reltoastrelid
  JOIN pg_class AS c ON c.oid = i.indexrelid
),
-- pg_relation_size() takes an ACCESS SHARE lock for a moment. Where it would
-- have to wait for somebody, the page count of the last VACUUM does.
busy AS (
  SELECT DISTINCT l.relation AS oid
  FROM setting
  JOIN pg_locks AS l ON l.database = setting.database
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
    AND l.pid <> pg_backend_pid()
),
-- Each file by its own oid, never pg_table_size() or pg_indexes_size(): these
-- raise an error if an index vanishes under them, pg_relation_size() is NULL.
size AS (
  SELECT
    f.root,
    sum(s.bytes) FILTER (WHERE f.part = 'heap') AS heap,
    sum(s.bytes) FILTER (WHERE f.part = 'index') AS index,
    sum(s.bytes) FILTER (WHERE f.part = 'toast') AS toast
  FROM setting
  CROSS JOIN file AS f
  LEFT JOIN busy AS b ON b.oid = f.oid
  CROSS JOIN LATERAL (
    SELECT CASE WHEN b.oid IS NULL THEN pg_relation_size(f.oid)
                ELSE greatest(f.relpages, 0) * setting.block_size END AS bytes
  ) AS s
  GROUP BY f.root
),
activity AS (
  SELECT
    m.root,
    -- A table that was never analyzed has -1, before PostgreSQL 14 two zeros.
    sum(CASE
          WHEN m.relkind = 'p' THEN 0
          WHEN m.reltuples < 0 OR (m.reltuples = 0 AND m.relpages = 0)
            THEN coalesce(s.n_live_tup, 0)
          ELSE m.reltuples
        END::float8) AS rows,
    sum(s.n_tup_ins) AS inserted,
    sum(s.n_tup_upd) AS updated,
    sum(s.n_tup_del) AS deleted,
    sum(s.seq_scan) AS sequential_scans,
    sum(s.idx_scan) AS index_scans
  FROM member AS m
  LEFT JOIN pg_stat_all_tables AS s ON s.relid = m.oid
  GROUP BY m.root
),
-- Since 15 a database whose counters nobody reset has no reset time. It then
-- counts since all statistics were last discarded (first start, crash, promotion
-- of a restored backup), and that moment is the reset time of the
-- shared counters. The start of the postmaster is not: a clean restart keeps
-- the counters, and a crash discards them without a new postmaster.
counted AS (
  SELECT coalesce(
    (SELECT pg_stat_get_db_stat_reset_time(database) FROM setting),
    least((SELECT stats_reset FROM pg_stat_bgwriter),
          (SELECT stats_reset FROM pg_stat_archiver))) AS since
),

-- == Columns and types =====================================================

attribute AS (
  SELECT a.attrelid AS relation, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation,
         a.attnotnull, a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity
  FROM relation AS r
  JOIN pg_attribute AS a ON a.attrelid = r.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped
),
-- What statements may call, without what comes with extensions and without
-- what no statement can call. Never more than the first ten thousand.
extension_object AS MATERIALIZED (
  SELECT classid, objid
  FROM pg_depend
  WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND classid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass,
                    'pg_collation'::regclass)
  UNION ALL
  -- The constructors of a range come with the range.
  SELECT classid, objid
  FROM pg_depend
  WHERE classid = 'pg_proc'::regclass AND refclassid = 'pg_type'::regclass AND deptype = 'i'
),
callable AS MATERIALIZED (
  SELECT p.oid, s.nspname AS schema, p.proname AS name, p.prokind, p.proargtypes::oid[] AS arguments,
         p.proallargtypes, p.proargmodes, p.proargnames, p.pronargdefaults, p.provariadic,
         p.prorettype, p.proretset, p.provolatile, p.proisstrict
  FROM pg_proc AS p
  JOIN user_schema AS s ON s.oid = p.pronamespace
  WHERE p.prokind IN ('f', 'a', 'w')
    AND p.prorettype <> ALL ('{trigger,event_trigger,internal,cstring,language_handler}'::regtype[])
    AND NOT p.proargtypes::oid[] && '{internal,cstring}'::regtype[]::oid[]
    AND p.oid NOT IN (SELECT e.objid FROM extension_object AS e WHERE e.classid = 'pg_proc'::regclass)
  ORDER BY s.nspname, p.proname, p.proargtypes::oid[]
  LIMIT 10000
),
user_operator AS MATERIALIZED (
  SELECT o.oid, s.nspname AS schema, o.oprname AS name, nullif(o.oprleft, 0) AS left_type,
         o.oprright AS right_type, o.oprresult AS result, p.provolatile, p.proisstrict
  FROM pg_operator AS o
  JOIN user_schema AS s ON s.oid = o.oprnamespace
  JOIN pg_proc AS p ON p.oid = o.oprcode
  WHERE o.oprright <> 0
    AND o.oid NOT IN (SELECT e.objid FROM extension_object AS e
                      WHERE e.classid = 'pg_operator'::regclass)
  ORDER BY s.nspname, o.oprname, o.oprleft, o.oprright
  LIMIT 1000
),
argument AS (
  SELECT c.oid, k.position, k.type
  FROM callable AS c
  CROSS JOIN LATERAL unnest(c.arguments) WITH ORDINALITY AS k (type, position)
),
-- The columns of the result where it is a row: OUT, INOUT and TABLE.
result_column AS (
  SELECT c.oid, k.position, k.type, coalesce(k.name, '') AS name
  FROM callable AS c
  CROSS JOIN LATERAL unnest(c.proallargtypes, c.proargmodes, c.proargnames)
    WITH ORDINALITY AS k (type, mode, name, position)
  WHERE k.mode IN ('o', 'b', 't')
),
signature_type AS (
  SELECT type FROM argument
  UNION
  SELECT type FROM result_column
  UNION
  SELECT prorettype FROM callable
  UNION
  SELECT o.type FROM user_operator AS u
  CROSS JOIN LATERAL (VALUES (u.left_type), (u.right_type), (u.result)) AS o (type)
  WHERE o.type IS NOT NULL
),
-- Types that statements may name: made by users, and no row types of tables.
root_type AS (
  SELECT atttypid AS oid FROM attribute
  UNION
  SELECT type FROM signature_type
  UNION
  SELECT t.oid
  FROM pg_type AS t
  JOIN user_schema AS s ON s.oid = t.typnamespace
  LEFT JOIN pg_class AS c ON c.oid = t.typrelid
  WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
    AND t.oid NOT IN (SELECT e.objid FROM extension_object AS e WHERE e.classid = 'pg_type'::regclass)
),
-- Those types with everything they are made of: the base of a domain, the
-- element of an array, the attributes of a composite, the subtype of a range.
-- Multiranges came with 14, so their column is looked up by name.
component AS (
  SELECT oid AS whole, oid AS part
  FROM root_type
  UNION
  SELECT c.whole, inner_type.oid
  FROM component AS c
  JOIN pg_type AS t ON t.oid = c.part
  CROSS JOIN LATERAL (
    SELECT t.typbasetype WHERE t.typtype = 'd'
    UNION ALL
    SELECT e.oid FROM pg_type AS e WHERE e.oid = t.typelem AND e.typarray = t.oid
    UNION ALL
    SELECT a.atttypid
    FROM pg_attribute AS a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT r.rngsubtype FROM pg_range AS r WHERE t.typtype = 'r' AND r.rngtypid = t.oid
    UNION ALL
    SELECT r.rngtypid
    FROM pg_range AS r
    WHERE t.typtype = 'm' AND (to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid
  ) AS inner_type (oid)
),
part AS (
  SELECT t.oid, t.typname, t.typtype, t.typnamespace, t.typbasetype, t.typtypmod,
         t.typnotnull, t.typrelid, t.typcollation, e.oid AS element
  FROM pg_type AS t
  LEFT JOIN pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid
  WHERE t.oid IN (SELECT c.part FROM component AS c)
),
default_class AS (
  SELECT m.amname AS method, o.opcintype AS type, p.typname AS name
  FROM pg_opclass AS o
  JOIN pg_am AS m ON m.oid = o.opcmethod
  JOIN pg_type AS p ON p.oid = o.opcintype
  WHERE o.opcdefault AND m.amname IN ('btree', 'hash')
),
-- As PostgreSQL chooses a default operator class: of the type itself, of one
-- that it is binary coercible to (varchar: text), or of its pseudo-type.
part_class AS (
  SELECT DISTINCT p.oid, d.method
  FROM part AS p
  JOIN default_class AS d
    ON d.type = p.oid
    OR d.type IN (SELECT c.casttarget
                  FROM pg_cast AS c
                  WHERE c.castsource = p.oid AND c.castmethod = 'b' AND c.castcontext = 'i')
    OR d.name = CASE
         WHEN p.element IS NOT NULL THEN 'anyarray'
         WHEN p.typtype = 'e' THEN 'anyenum'
         WHEN p.typtype = 'r' THEN 'anyrange'
         WHEN p.typtype = 'm' THEN 'anymultirange'
         WHEN p.typtype = 'c' THEN 'record'
       END
),
-- A container compares only if all that is in it does: json[] has an operator
-- class and still cannot be compared.
comparison AS (
  SELECT
    c.whole,
    bool_and(p.typtype = 'd' OR b.oid IS NOT NULL) AS orderable,
    bool_and(p.typtype = 'd' OR h.oid IS NOT NULL) AS hashable
  FROM component AS c
  JOIN part AS p ON p.oid = c.part
  LEFT JOIN part_class AS b ON b.oid = p.oid AND b.method = 'btree'
  LEFT JOIN part_class AS h ON h.oid = p.oid AND h.method = 'hash'
  GROUP BY c.whole
),
-- Types that the target may lack. Arrays follow their elements.
user_type AS (
  SELECT p.*, n.nspname AS schema
  FROM part AS p
  JOIN pg_namespace AS n ON n.oid = p.typnamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.element IS NULL
),
composite_attribute AS (
  SELECT u.oid AS type, a.attnum, a.attname, a.atttypid, a.atttypmod
  FROM user_type AS u
  JOIN pg_attribute AS a ON a.attrelid = u.typrelid
  WHERE u.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
),
type_use AS (
  SELECT atttypid AS type, atttypmod AS modifier FROM attribute
  UNION
  SELECT atttypid, atttypmod FROM composite_attribute
  UNION
  SELECT typbasetype, typtypmod FROM user_type WHERE typtype = 'd'
  UNION
  SELECT type, -1 FROM signature_type
  UNION
  SELECT r.rngsubtype, -1 FROM pg_range AS r JOIN user_type AS u ON u.oid = r.rngtypid
),
type_name AS MATERIALIZED (
  SELECT
    u.type,
    u.modifier,
    json_build_object(
      'schema', n.nspname,
      'name', coalesce(e.typname, t.typname),
      'text', format_type(u.type, u.modifier),
      'array', e.oid IS NOT NULL) AS value
  FROM type_use AS u
  JOIN pg_type AS t ON t.oid = u.type
  LEFT JOIN pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid
  JOIN pg_namespace AS n ON n.oid = coalesce(e.typnamespace, t.typnamespace)
),
collation_name AS MATERIALIZED (
  SELECT c.oid, json_build_object('schema', n.nspname, 'name', c.collname) AS value
  FROM pg_collation AS c
  JOIN pg_namespace AS n ON n.oid = c.collnamespace
),
collation_list AS (
  SELECT json_agg(json_build_object('schema', s.nspname, 'name', c.collname)
                  ORDER BY s.nspname, c.collname) AS value
  FROM (SELECT DISTINCT collnamespace, collname
        FROM pg_collation
        WHERE oid NOT IN (SELECT e.objid FROM extension_object AS e
                          WHERE e.classid = 'pg_collation'::regclass)) AS c
  JOIN user_schema AS s ON s.oid = c.collnamespace
),
argument_list AS (
  SELECT a.oid, json_agg(t.value ORDER BY a.position) AS value
  FROM argument AS a
  JOIN type_name AS t ON t.type = a.type AND t.modifier = -1
  GROUP BY a.oid
),
result_column_list AS (
  SELECT r.oid, json_agg(json_build_object('name', r.name, 'type', t.value) ORDER BY r.position) AS value
  FROM result_column AS r
  JOIN type_name AS t ON t.type = r.type AND t.modifier = -1
  GROUP BY r.oid
),
function_list AS (
  SELECT json_agg(
    json_build_object(
      'schema', c.schema,
      'name', c.name,
      'kind', CASE c.prokind WHEN 'f' THEN 'function' WHEN 'a' THEN 'aggregate' ELSE 'window' END,
      'arguments', coalesce(a.value, '[]'),
      'argument_names', CASE
        WHEN c.proargnames IS NULL OR cardinality(c.arguments) = 0 THEN '[]'::json
        WHEN c.proargmodes IS NULL THEN
          (SELECT json_agg(n.name ORDER BY n.position)
           FROM unnest(c.proargnames) WITH ORDINALITY AS n (name, position)
           WHERE n.position <= cardinality(c.arguments))
        ELSE (SELECT json_agg(n.name ORDER BY n.position)
              FROM unnest(c.proargnames, c.proargmodes) WITH ORDINALITY AS n (name, mode, position)
              WHERE n.mode IN ('i', 'b', 'v')) END,
      'defaults', c.pronargdefaults,
      'variadic', c.provariadic <> 0,
      'result', t.value,
      'returns_set', c.proretset,
      'columns', coalesce(r.value, '[]'),
      'volatility', CASE c.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable'
                                       ELSE 'volatile' END,
      'strict', c.proisstrict)
    ORDER BY c.schema, c.name, c.arguments) AS value
  FROM callable AS c
  JOIN type_name AS t ON t.type = c.prorettype AND t.modifier = -1
  LEFT JOIN argument_list AS a ON a.oid = c.oid
  LEFT JOIN result_column_list AS r ON r.oid = c.oid
),
operator_list AS (
  SELECT json_agg(
    json_build_object(
      'schema', o.schema,
      'name', o.name,
      'left', l.value,
      'right', r.value,
      'result', t.value,
      'volatility', CASE o.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable'
                                       ELSE 'volatile' END,
      'strict', o.proisstrict)
    ORDER BY o.schema, o.name, o.left_type NULLS FIRST, o.right_type) AS value
  FROM user_operator AS o
  JOIN type_name AS r ON r.type = o.right_type AND r.modifier = -1
  JOIN type_name AS t ON t.type = o.result AND t.modifier = -1
  LEFT JOIN type_name AS l ON l.type = o.left_type AND l.modifier = -1
),
type_list AS (
  SELECT json_agg(
    CASE u.typtype
      WHEN 'e' THEN json_build_object(
        'schema', u.schema, 'name', u.typname, 'kind', 'enum',
        'labels', (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]')
                   FROM pg_enum AS e WHERE e.enumtypid = u.oid))
      -- Checks and defaults stay behind: they could call functions.
      WHEN 'd' THEN json_build_object(
        'schema', u.schema, 'name', u.typname, 'kind', 'domain',
        'base', (SELECT t.value FROM type_name AS t
                 WHERE t.type = u.typbasetype AND t.modifier = u.typtypmod),
        'not_null', u.typnotnull,
        'collation', (SELECT l.value FROM collation_name AS l
                      JOIN pg_type AS b ON b.oid = u.typbasetype
                      WHERE l.oid = u.typcollation AND u.typcollation <> b.typcollation))
      WHEN 'c' THEN json_build_object(
        'schema', u.schema, 'name', u.typname, 'kind', 'composite',
        'attributes', (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'type', t.value)
                                                ORDER BY a.attnum), '[]')
                       FROM composite_attribute AS a
                       JOIN type_name AS t ON t.type = a.atttypid AND t.modifier = a.atttypmod
                       WHERE a.type = u.oid))
      WHEN 'r' THEN json_build_object(
        'schema', u.schema, 'name', u.typname, 'kind', 'range',
        'subtype', (SELECT t.value FROM type_name AS t
                    JOIN pg_range AS r ON r.rngsubtype = t.type AND t.modifier = -1
                    WHERE r.rngtypid = u.oid),
        'multirange', (SELECT json_build_object('schema', n.nspname, 'name', m.typname)
                       FROM pg_range AS r
                       JOIN pg_type AS m ON m.oid = (to_jsonb(r) ->> 'rngmultitypid')::oid
                       JOIN pg_namespace AS n ON n.oid = m.typnamespace
                       WHERE r.rngtypid = u.oid))
      ELSE json_build_object('schema', u.schema, 'name', u.typname, 'kind', 'other')
    END
    ORDER BY u.schema, u.typname) AS value
  FROM user_type AS u
  WHERE u.typtype <> 'm'
),

-- == Constraints, indexes, triggers ========================================

-- Rows with a parent belong to partitions of the referenced table. Since 18
-- NOT NULL is a constraint too; here it is a property of the column.
table_constraint AS (
  SELECT c.oid, c.conrelid AS relation, c.conname, c.contype, c.conkey, c.conindid,
         c.confrelid, c.confkey, c.condeferrable, c.convalidated, c.conexclop,
         to_jsonb(c) ->> 'conperiod' = 'true' AS temporal
  FROM pg_constraint AS c
  JOIN relation AS r ON r.oid = c.conrelid
  WHERE c.conparentid = 0 AND c.contype <> 'n'
),
constraint_list AS (
  SELECT c.relation, json_agg(
    json_build_object(
      'name', c.conname,
      'kind', CASE c.contype
                WHEN 'p' THEN 'primary_key'
                WHEN 'u' THEN 'unique'
                WHEN 'f' THEN 'foreign_key'
                WHEN 'c' THEN 'check'
                WHEN 'x' THEN 'exclusion'
                ELSE 'other'
              END,
      'columns', (SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
                  FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
                  JOIN pg_attribute AS a ON a.attrelid = c.relation AND a.attnum = k.attnum
                  WHERE k.attnum > 0),
      'references', CASE WHEN c.contype = 'f' THEN (
        SELECT json_build_object(
          'schema', n.nspname,
          'table', t.relname,
          'columns', (SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
                      FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, position)
                      JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attnum))
        FROM pg_class AS t
        JOIN pg_namespace AS n ON n.oid = t.relnamespace
        WHERE t.oid = c.confrelid) END,
      'deferrable', c.condeferrable,
      'validated', c.convalidated,
      'equal_columns', CASE WHEN c.contype = 'x' THEN (
        SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
        FROM unnest(c.conkey, c.conexclop) WITH ORDINALITY AS k (attnum, operator, position)
        JOIN pg_operator AS o ON o.oid = k.operator AND o.oprname = '='
        JOIN pg_attribute AS a ON a.attrelid = c.relation AND a.attnum = k.attnum
        WHERE k.attnum > 0)
      -- The last column of a key WITHOUT OVERLAPS, and of a foreign key with PERIOD.
      WHEN c.temporal THEN (
        SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
        FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
        JOIN pg_attribute AS a ON a.attrelid = c.relation AND a.attnum = k.attnum
        WHERE k.position < cardinality(c.conkey)) END)
    ORDER BY c.conname, c.oid) AS value
  FROM table_constraint AS c
  GROUP BY c.relation
),
-- An invalid index neither enforces nor serves anything.
table_index AS (
  SELECT i.indrelid AS relation, i.indexrelid AS oid, c.relname AS name, m.amname AS method,
         i.indisunique, i.indpred IS NOT NULL AS partial,
         i.indkey::int2[] AS attnums, i.indnkeyatts AS keys
  FROM pg_index AS i
  JOIN relation AS r ON r.oid = i.indrelid
  JOIN pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_am AS m ON m.oid = c.relam
  WHERE i.indisvalid AND i.indislive
),
index_key AS (
  SELECT i.relation, i.oid, k.position, nullif(k.attnum, 0) AS attnum
  FROM table_index AS i
  CROSS JOIN LATERAL unnest(i.attnums) WITH ORDINALITY AS k (attnum, position)
  WHERE k.position <= i.keys
),
index_columns AS (
  SELECT k.oid, json_agg(a.attname ORDER BY k.position) AS value
  FROM index_key AS k
  LEFT JOIN pg_attribute AS a ON a.attrelid = k.relation AND a.attnum = k.attnum
  GROUP BY k.oid
),
index_list AS (
  SELECT i.relation, json_agg(
    json_build_object(
      'name', i.name,
      'method', i.method,
      'unique', i.indisunique,
      'columns', k.value,
      'partial', i.partial,
      'of_constraint', i.oid IN (SELECT c.conindid FROM table_constraint AS c
                                 WHERE c.contype IN ('p', 'u', 'x')))
    ORDER BY i.name) AS value
  FROM table_index AS i
  JOIN index_columns AS k ON k.oid = i.oid
  GROUP BY i.relation
),
-- Bit 0 of tgtype: for each row; bit 1: before.
trigger_list AS (
  SELECT t.tgrelid AS relation, json_agg(
    json_build_object(
      'name', t.tgname,
      'row', t.tgtype & 1 <> 0,
      'before', t.tgtype & 2 <> 0,
      'transition_tables', t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL)
    ORDER BY t.tgname) AS value
  FROM pg_trigger AS t
  JOIN relation AS r ON r.oid = t.tgrelid
  WHERE NOT t.tgisinternal
  GROUP BY t.tgrelid
),

-- == Statistics ============================================================

-- What makes a column a possible key: it is one already, or it is a time.
key_column AS (
  SELECT relation, attnum FROM index_key WHERE attnum > 0
  UNION
  SELECT c.relation, k.attnum
  FROM table_constraint AS c
  CROSS JOIN LATERAL unnest(c.conkey) AS k (attnum)
  WHERE c.contype IN ('p', 'u', 'f', 'x')
  UNION
  SELECT p.partrelid, k.attnum
  FROM pg_partitioned_table AS p
  CROSS JOIN LATERAL unnest(p.partattrs::int2[]) AS k (attnum)
  UNION
  SELECT relation, attnum
  FROM attribute
  WHERE atttypid IN ('date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
),
-- What of a column's values may leave the server. Text may be anything, a name
-- as well as a status: only short lists of frequent words travel.
disclosure AS (
  SELECT
    a.relation,
    a.attnum,
    t.oid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) AS is_text
  FROM setting
  CROSS JOIN attribute AS a
  JOIN key_column AS k ON k.relation = a.relation AND k.attnum = a.attnum
  JOIN pg_type AS t ON t.oid = a.atttypid
  WHERE setting.with_values
    AND (t.typtype = 'e'
         OR t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype,
                      'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype,
                      'uuid'::regtype, 'bool'::regtype,
                      'text'::regtype, 'varchar'::regtype, 'bpchar'::regtype))
),
-- Whether rows lie in the order of a column is a matter of each partition: a
-- sample of the whole tree is in the order of the partitions, and under hash
-- not in that of insertion.
partition_correlation AS (
  SELECT m.root AS relation, s.attname AS name,
         sum(s.correlation * m.reltuples) / sum(m.reltuples) AS correlation
  FROM member AS m
  JOIN pg_class AS c ON c.oid = m.oid
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_stats AS s ON s.schemaname = n.nspname AND s.tablename = c.relname
  WHERE m.relkind = 'r' AND m.oid <> m.root AND m.reltuples > 0
    AND NOT s.inherited AND s.correlation <> 'NaN'
  GROUP BY m.root, s.attname
),
-- pg_stats shows what this role may see. A partitioned table has only the
-- statistics of its whole tree, of others those of their own rows count.
column_statistics AS MATERIALIZED (
  SELECT
    a.relation,
    a.attnum,
    s.null_frac,
    s.avg_width,
    s.n_distinct,
    coalesce(p.correlation, nullif(s.correlation, 'NaN'))::float4 AS correlation,
    s.most_common_freqs,
    d.relation IS NOT NULL AND (NOT d.is_text OR s.n_distinct BETWEEN 1 AND 200) AS listed,
    CASE WHEN d.relation IS NOT NULL
          AND (NOT d.is_text OR s.n_distinct BETWEEN 1 AND 200)
      THEN s.most_common_vals::text::text[] END AS common_values,
    CASE WHEN d.relation IS NOT NULL AND NOT d.is_text
      THEN s.histogram_bounds::text::text[] END AS histogram
  FROM pg_stats AS s
  JOIN relation AS r ON r.schema = s.schemaname AND r.name = s.tablename
  JOIN attribute AS a ON a.relation = r.oid AND a.attname = s.attname
  LEFT JOIN partition_correlation AS p ON p.relation = r.oid AND p.name = s.attname
  LEFT JOIN disclosure AS d ON d.relation = a.relation AND d.attnum = a.attnum
  WHERE s.inherited = (r.relkind = 'p')
),
-- Where hash partitioning would put the common values: the hash of the type's
-- own operator class with the seed of partitioning, put together with the
-- nothing before it as hash_combine64() does, which is an addition in 64 bits.
-- The remainder of a modulus is that of this number. Times are hashed as the
-- integers that they are stored as. An enum's value is hashed by its oid, which
-- is another one elsewhere; text as the bytes that this encoding gives it.
common_hash AS (
  SELECT s.relation, s.attnum,
         json_agg(mod(h.hash::numeric + 18446744073709551616 + 5305509591434766563,
                      18446744073709551616) ORDER BY v.position) AS value
  FROM column_statistics AS s
  JOIN attribute AS a ON a.relation = s.relation AND a.attnum = s.attnum
  LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
  CROSS JOIN LATERAL unnest(s.common_values) WITH ORDINALITY AS v (value, position)
  CROSS JOIN LATERAL (
    SELECT CASE a.atttypid
      WHEN 'int2'::regtype THEN hashint2extended(v.value::int2, 8816678312871386365)
      WHEN 'int4'::regtype THEN hashint4extended(v.value::int4, 8816678312871386365)
      WHEN 'int8'::regtype THEN hashint8extended(v.value::int8, 8816678312871386365)
      WHEN 'numeric'::regtype THEN hash_numeric_extended(v.value::numeric, 8816678312871386365)
      WHEN 'date'::regtype THEN hashint4extended(
        CASE v.value WHEN 'infinity' THEN 2147483647 WHEN '-infinity' THEN -2147483648
                     ELSE v.value::date - date '2000-01-01' END, 8816678312871386365)
      WHEN 'timestamp'::regtype
        THEN timestamp_hash_extended(v.value::timestamp, 8816678312871386365)
      WHEN 'timestamptz'::regtype
        THEN timestamp_hash_extended(v.value::timestamptz AT TIME ZONE 'UTC', 8816678312871386365)
      WHEN 'uuid'::regtype THEN uuid_hash_extended(v.value::uuid, 8816678312871386365)
      WHEN 'bool'::regtype
        THEN hashcharextended(v.value::bool::int4::"char", 8816678312871386365)
      ELSE CASE WHEN c.collisdeterministic AND getdatabaseencoding() = 'UTF8' THEN
        CASE a.atttypid
          WHEN 'text'::regtype THEN hashtextextended(v.value, 8816678312871386365)
          WHEN 'varchar'::regtype THEN hashtextextended(v.value, 8816678312871386365)
          WHEN 'bpchar'::regtype THEN hashbpcharextended(v.value::bpchar, 8816678312871386365)
        END END
    END
  ) AS h (hash)
  GROUP BY s.relation, s.attnum
  HAVING bool_and(h.hash IS NOT NULL)
),

-- == Extended statistics ===================================================

-- What CREATE STATISTICS made. An object may stand on expressions too, since 14.
extended_object AS (
  SELECT s.oid, r.oid AS relation, r.relkind, n.nspname AS schema, s.stxname AS name,
         s.stxkeys::int2[] AS attnums,
         to_jsonb(s) ->> 'stxexprs' IS NOT NULL AS with_expressions
  FROM pg_statistic_ext AS s
  JOIN relation AS r ON r.oid = s.stxrelid
  JOIN pg_namespace AS n ON n.oid = s.stxnamespace
),
-- The view shows it to owners only, since 2024. Which rows are counted, as
-- with columns; the column that tells came with 15. Values travel if those of
-- each column may.
extended_found AS MATERIALIZED (
  SELECT
    o.oid,
    x.n_distinct::text::json AS counts,
    x.dependencies::text::json AS dependencies,
    x.most_common_freqs,
    CASE WHEN NOT o.with_expressions AND (
        SELECT count(*)
        FROM column_statistics AS s
        WHERE s.relation = o.relation AND s.attnum = ANY (o.attnums) AND s.listed
      ) = cardinality(o.attnums)
      THEN x.most_common_vals END AS common_values
  FROM extended_object AS o
  JOIN pg_stats_ext AS x
    ON x.statistics_schemaname = o.schema AND x.statistics_name = o.name
  WHERE coalesce((to_jsonb(x) ->> 'inherited')::bool, o.relkind = 'p') = (o.relkind = 'p')
),
-- The keys are column numbers: "1, 2" and "1, 2 => 3". Negative ones are
-- expressions. A column may be gone in another session meanwhile.
extended_count AS (
  SELECT e.oid, json_agg(json_build_object('columns', c.columns, 'distinct', i.value::float8)
                         ORDER BY i.position) AS value
  FROM extended_found AS e
  JOIN extended_object AS o ON o.oid = e.oid
  CROSS JOIN LATERAL json_each_text(e.counts) WITH ORDINALITY AS i (key, value, position)
  CROSS JOIN LATERAL (
    SELECT json_agg(a.attname ORDER BY k.position) AS columns
    FROM unnest(string_to_array(i.key, ', ')::int[]) WITH ORDINALITY AS k (attnum, position)
    LEFT JOIN pg_attribute AS a
      ON a.attrelid = o.relation AND a.attnum = k.attnum AND NOT a.attisdropped
    HAVING bool_and(a.attnum > 0)
  ) AS c
  GROUP BY e.oid
),
extended_dependency AS (
  SELECT e.oid, json_agg(json_build_object('from', c.columns, 'to', a.attname,
                                           'degree', i.value::float8)
                         ORDER BY i.position) AS value
  FROM extended_found AS e
  JOIN extended_object AS o ON o.oid = e.oid
  CROSS JOIN LATERAL json_each_text(e.dependencies) WITH ORDINALITY AS i (key, value, position)
  CROSS JOIN LATERAL (
    SELECT json_agg(a.attname ORDER BY k.position) AS columns
    FROM unnest(string_to_array(split_part(i.key, ' => ', 1), ', ')::int[])
           WITH ORDINALITY AS k (attnum, position)
    LEFT JOIN pg_attribute AS a
      ON a.attrelid = o.relation AND a.attnum = k.attnum AND NOT a.attisdropped
    HAVING bool_and(a.attnum > 0)
  ) AS c
  JOIN pg_attribute AS a
    ON a.attrelid = o.relation AND a.attnum = split_part(i.key, ' => ', 2)::int
   AND a.attnum > 0 AND NOT a.attisdropped
  GROUP BY e.oid
),
extended_list AS (
  SELECT o.relation, json_agg(
    json_build_object(
      'schema', o.schema,
      'name', o.name,
      'columns', (SELECT coalesce(json_agg(a.attname ORDER BY k.position), '[]')
                  FROM unnest(o.attnums) WITH ORDINALITY AS k (attnum, position)
                  JOIN pg_attribute AS a ON a.attrelid = o.relation AND a.attnum = k.attnum),
      'expressions', o.with_expressions,
      'counts', coalesce(n.value, '[]'),
      'dependencies', coalesce(d.value, '[]'),
      'common_values', coalesce(to_json(e.common_values), '[]'),
      'common_fractions', coalesce(to_json(e.most_common_freqs), '[]'))
    ORDER BY o.schema, o.name) AS value
  FROM extended_object AS o
  LEFT JOIN extended_found AS e ON e.oid = o.oid
  LEFT JOIN extended_count AS n ON n.oid = o.oid
  LEFT JOIN extended_dependency AS d ON d.oid = o.oid
  GROUP BY o.relation
),

-- == What travels and what was hidden ======================================

disclosed AS (
  SELECT json_agg(format('%I.%I.%I', r.schema, r.name, a.attname)
                  ORDER BY r.schema, r.name, a.attnum) AS value
  FROM (
    SELECT s.relation, s.attnum
    FROM column_statistics AS s
    WHERE s.common_values IS NOT NULL OR s.histogram IS NOT NULL
    UNION
    SELECT o.relation, k.attnum
    FROM extended_found AS e
    JOIN extended_object AS o ON o.oid = e.oid
    CROSS JOIN LATERAL unnest(o.attnums) AS k (attnum)
    WHERE e.common_values IS NOT NULL
  ) AS s
  JOIN relation AS r ON r.oid = s.relation
  JOIN attribute AS a ON a.relation = s.relation AND a.attnum = s.attnum
),
-- The conditions of pg_stats, turned around; then those of pg_stats_ext.
hidden AS (
  SELECT json_agg(format('%I.%I', r.schema, r.name) ORDER BY r.schema, r.name) AS value
  FROM relation AS r
  JOIN pg_class AS c ON c.oid = r.oid
  WHERE (r.relrowsecurity AND row_security_active(r.oid))
     OR (NOT has_table_privilege(r.oid, 'SELECT')
         AND EXISTS (SELECT FROM attribute AS a
                     WHERE a.relation = r.oid
                       AND NOT has_column_privilege(r.oid, a.attnum, 'SELECT')))
     OR (NOT pg_has_role(c.relowner, 'USAGE')
         AND r.oid IN (SELECT o.relation
                       FROM extended_object AS o
                       LEFT JOIN extended_found AS e ON e.oid = o.oid
                       WHERE e.oid IS NULL))
),
column_list AS (
  SELECT a.relation, json_agg(
    json_build_object(
      'name', a.attname,
      'type', t.value,
      'not_null', a.attnotnull,
      'collation', l.value,
      'generated', a.generated,
      'identity', a.identity,
      'orderable', c.orderable,
      'hashable', c.hashable,
      'statistics', CASE WHEN s.relation IS NOT NULL THEN json_build_object(
        'null_fraction', s.null_frac,
        'width', s.avg_width,
        'distinct', s.n_distinct,
        'correlation', s.correlation,
        'common_values', coalesce(to_json(s.common_values), '[]'),
        'common_fractions', coalesce(to_json(s.most_common_freqs), '[]'),
        'common_hashes', coalesce(h.value, '[]'),
        'histogram', coalesce(to_json(s.histogram), '[]')) END)
    ORDER BY a.attnum) AS value
  FROM attribute AS a
  JOIN type_name AS t ON t.type = a.atttypid AND t.modifier = a.atttypmod
  JOIN comparison AS c ON c.whole = a.atttypid
  JOIN pg_type AS y ON y.oid = a.atttypid
  LEFT JOIN collation_name AS l ON l.oid = a.attcollation AND a.attcollation <> y.typcollation
  LEFT JOIN column_statistics AS s ON s.relation = a.relation AND s.attnum = a.attnum
  LEFT JOIN common_hash AS h ON h.relation = a.relation AND h.attnum = a.attnum
  GROUP BY a.relation
),

-- == Tables and views ======================================================

-- Parents and children by INHERITS; partitions are another matter.
inheriting AS (
  SELECT i.inhrelid, i.inhparent
  FROM pg_inherits AS i
  JOIN pg_class AS c ON c.oid = i.inhrelid
  WHERE NOT c.relispartition AND c.relkind IN ('r', 'f')
),
table_list AS (
  SELECT json_agg(
    json_build_object(
      'schema', r.schema,
      'table', r.name,
      'kind', CASE r.relkind WHEN 'r' THEN 'ordinary' WHEN 'p' THEN 'partitioned'
                             ELSE 'foreign' END,
      'rows', coalesce(v.rows, 0),
      'heap_bytes', coalesce(z.heap, 0),
      'index_bytes', coalesce(z.index, 0),
      'toast_bytes', coalesce(z.toast, 0),
      'unlogged', r.relpersistence = 'u',
      'extension', r.oid IN (SELECT e.oid FROM extension_member AS e),
      'inheritance', r.oid IN (SELECT h.inhrelid FROM inheriting AS h)
                     OR r.oid IN (SELECT h.inhparent FROM inheriting AS h),
      'partition_key', CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
      'row_security', r.relrowsecurity,
      'counters', json_build_object(
        'since', to_char((SELECT w.since FROM counted AS w) AT TIME ZONE 'UTC',
                         'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'inserted', coalesce(v.inserted, 0),
        'updated', coalesce(v.updated, 0),
        'deleted', coalesce(v.deleted, 0),
        'sequential_scans', coalesce(v.sequential_scans, 0),
        'index_scans', coalesce(v.index_scans, 0)),
      'columns', coalesce(c.value, '[]'),
      'extended_statistics', coalesce(e.value, '[]'),
      'constraints', coalesce(o.value, '[]'),
      'indexes', coalesce(x.value, '[]'),
      'triggers', coalesce(t.value, '[]'))
    ORDER BY r.schema, r.name) AS value
  FROM relation AS r
  LEFT JOIN activity AS v ON v.root = r.oid
  LEFT JOIN size AS z ON z.root = r.oid
  LEFT JOIN column_list AS c ON c.relation = r.oid
  LEFT JOIN extended_list AS e ON e.relation = r.oid
  LEFT JOIN constraint_list AS o ON o.relation = r.oid
  LEFT JOIN index_list AS x ON x.relation = r.oid
  LEFT JOIN trigger_list AS t ON t.relation = r.oid
),
-- Views of extensions come with their extension. The visibility test reads
-- the present catalog: a view that was dropped since our snapshot is NULL there,
-- and pg_get_viewdef() would fail on what it refers to.
view_list AS (
  SELECT json_agg(
    json_build_object('schema', v.schema, 'view', v.name, 'definition', v.definition,
                      'security_barrier', v.barrier)
    ORDER BY v.schema, v.name) AS value
  FROM (
    SELECT s.nspname AS schema, c.relname AS name,
           coalesce((SELECT o.option_value::bool FROM pg_options_to_table(c.reloptions) AS o
                     WHERE o.option_name = 'security_barrier'), false) AS barrier,
           CASE WHEN pg_table_is_visible(c.oid) IS NOT NULL
             THEN pg_get_viewdef(c.oid) END AS definition
    FROM pg_class AS c
    JOIN user_schema AS s ON s.oid = c.relnamespace
    WHERE c.relkind = 'v' AND c.oid NOT IN (SELECT e.oid FROM extension_member AS e)
  ) AS v
  WHERE v.definition IS NOT NULL
),

-- == Workload ==============================================================

reading AS MATERIALIZED (
  SELECT
    s.*,
    -- begin: verdict
    CASE
      WHEN s.userid IS NULL THEN 'nothing'
      WHEN s.query = '<insufficient privilege>' THEN 'hidden'
      WHEN s.query IS NULL OR s.queryid IS NULL THEN 'lost'
      WHEN position('pg_presplit capture' IN s.query) > 0 THEN 'own'
      -- The first word after white space, parentheses and comments decides.
      -- Each comment must match to its end, and one with another inside does
      -- not match at all: a utility statement must not pass as a query,
      -- because it may hold a password.
      WHEN left(s.query, 10000) !~* $re$^(?:[ \t\n\r\f\v(]|--[^\n\r]*[\n\r]|/[*](?:(?![*]/|/[*]).)*[*]/)*(?:select|insert|update|delete|merge|with|values|table)\M$re$
        THEN 'utility'
      -- A text may hold more than its own statement, as in a function's body.
      WHEN s.query ~* $re$\m(?:create|alter)\s+(?:role|user|group|subscription|server)\M|\mpassword\s+'$re$
        THEN 'utility'
      -- What the next step could not take apart.
      WHEN s.query ~ $re$/[*](?:(?![*]/).)*/[*]|[$][^$0-9\s][^$\s]*[$]$re$
        THEN 'unclear'
      ELSE 'kept'
    END
    -- end: verdict
    AS verdict
  FROM :statements_source AS s
),
-- pg_stat_statements replaces constants by parameters, but not in comments, not
-- in every place, and not at all in the text of a statement that was prepared
-- before the entry was made. So comments become a blank, and strings that are
-- left parameters. What looks like either inside of quotes is none.
without_comments AS (
  SELECT
    s.userid, s.queryid, s.calls, s.exec_ms, s.rows,
    CASE
      WHEN s.query !~ $re$--|/[*]$re$ THEN s.query
      ELSE btrim(regexp_replace(s.query,
        $re$("[^"]*"|\m[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|[$][$](?:[^$]|[$](?![$]))*[$][$])|--[^\n\r]*|/[*](?:(?![*]/).)*[*]/$re$,
        '\1 ', 'g'), E' \t\r\n')
    END AS query
  FROM reading AS s
  WHERE s.verdict = 'kept'
),
clean AS (
  SELECT
    w.userid, w.queryid, w.calls, w.exec_ms, w.rows,
    CASE
      WHEN w.query !~ $re$'|[$][$]$re$ THEN w.query
      ELSE (
        SELECT string_agg(CASE WHEN p.position = 1 THEN p.piece
                               ELSE format('$%s%s', used.parameters + p.position - 1, p.piece) END,
                          '' ORDER BY p.position)
        FROM (
          SELECT coalesce(max(m.number[1]::int), 0) AS parameters
          FROM regexp_matches(w.query, $re$[$](\d{1,5})$re$, 'g') AS m (number)
        ) AS used
        -- A mark behind each quoted identifier and in place of each string; the
        -- former are taken back.
        CROSS JOIN unnest(string_to_array(
          replace(
            regexp_replace(w.query,
              $re$("[^"]*")|\m[eE]'(?:[^'\\]|\\.|'')*'|(?:\m(?:[bBxXnN]|[uU]&))?'(?:[^']|'')*'|[$][$](?:[^$]|[$](?![$]))*[$][$]$re$,
              E'\\1\x01', 'g'),
            E'"\x01', '"'),
          E'\x01')) WITH ORDINALITY AS p (piece, position))
    END AS query
  FROM without_comments AS w
),
-- One statement counts once for each role, also if it ran both by itself and
-- inside a function.
statement AS (
  SELECT coalesce(r.rolname, '') AS role, s.queryid, min(s.query COLLATE "C") AS query,
         sum(s.calls) AS calls, sum(s.exec_ms) AS exec_ms, sum(s.rows) AS rows
  FROM clean AS s
  LEFT JOIN pg_roles AS r ON r.oid = s.userid
  GROUP BY coalesce(r.rolname, ''), s.queryid
),
statement_list AS (
  SELECT json_agg(
    json_build_object('queryid', queryid, 'query', query, 'role', role,
                      'calls', calls, 'exec_ms', exec_ms, 'rows', rows)
    ORDER BY role, queryid) AS value
  FROM statement
),
reading_summary AS (
  SELECT
    min(source) AS source,
    -- A moment before PostgreSQL existed means that it was never recorded.
    extract(epoch FROM statement_timestamp() - min(counted_since)
      FILTER (WHERE counted_since > '2001-01-01 UTC'))::float8 AS seconds,
    nullif(concat_ws('; ',
      min(note),
      CASE WHEN count(*) FILTER (WHERE verdict = 'hidden') > 0 THEN
        format('%s statements of other roles are left out because role %I is not a member of pg_read_all_stats',
               count(*) FILTER (WHERE verdict = 'hidden'), current_user) END,
      CASE WHEN count(*) FILTER (WHERE verdict = 'lost') > 0 THEN
        format('%s statements are left out because their text is lost',
               count(*) FILTER (WHERE verdict = 'lost')) END,
      CASE WHEN count(*) FILTER (WHERE verdict = 'unclear') > 0 THEN
        format('%s statements are left out because their text has nested comments or tagged quotes',
               count(*) FILTER (WHERE verdict = 'unclear')) END,
      CASE WHEN max(evictions) > 0 THEN
        format('rare statements were discarded %s times; pg_stat_statements.max is %s',
               max(evictions), current_setting('pg_stat_statements.max', true)) END), '') AS note
  FROM reading
),
history_list AS (
  SELECT json_agg(h.reading ORDER BY h.schema_name, h.table_name, h.at) AS value
  FROM relation AS r
  JOIN :history_source AS h ON h.schema_name = r.schema AND h.table_name = r.name
),
-- A role's setting in this database goes before its setting anywhere, a
-- database's before the one for all databases. No role: everybody.
path_setting AS (
  SELECT DISTINCT ON (role) role, value
  FROM (
    SELECT coalesce(r.rolname, '') AS role, s.setdatabase, substr(c.entry, 13) AS value
    FROM setting
    JOIN pg_db_role_setting AS s ON s.setdatabase IN (0, setting.database)
    LEFT JOIN pg_roles AS r ON r.oid = s.setrole
    CROSS JOIN LATERAL unnest(s.setconfig) AS c (entry)
    WHERE left(c.entry, 12) = 'search_path=' AND (s.setrole = 0 OR r.oid IS NOT NULL)
  ) AS found
  ORDER BY role, setdatabase DESC
),
-- Where the database says nothing the server's configuration does. Our own
-- session shows it, unless our role has a setting of its own.
search_path AS (
  SELECT role, value FROM path_setting
  UNION ALL
  SELECT '', CASE WHEN session_user IN (SELECT role FROM path_setting)
               THEN boot_val ELSE reset_val END
  FROM pg_settings
  WHERE name = 'search_path' AND NOT EXISTS (SELECT FROM path_setting WHERE role = '')
),
search_path_item AS (
  SELECT p.role, m.position,
         coalesce(replace(m.parts[1], '""', '"'), lower(rtrim(m.parts[2], E' \t\r\n'))) AS name
  FROM search_path AS p
  CROSS JOIN LATERAL regexp_matches(p.value, $re$"((?:[^"]|"")*)"|([^\s,"][^,"]*)$re$, 'g')
    WITH ORDINALITY AS m (parts, position)
),
search_path_list AS (
  SELECT json_object_agg(p.role, (
    SELECT coalesce(json_agg(i.name ORDER BY i.position), '[]')
    FROM search_path_item AS i
    WHERE i.role = p.role AND i.name <> '') ORDER BY p.role) AS value
  FROM search_path AS p
)

SELECT json_build_object(
  'format', 'pg_presplit profile',
  'version', 2,
  'captured_at', to_char(statement_timestamp() AT TIME ZONE 'UTC',
                         'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
  'server_version_num', current_setting('server_version_num')::int,
  'database', current_database(),
  'values_of', coalesce((SELECT value FROM disclosed), '[]'),
  'hidden_statistics_of', coalesce((SELECT value FROM hidden), '[]'),
  'types', coalesce((SELECT value FROM type_list), '[]'),
  'collations', coalesce((SELECT value FROM collation_list), '[]'),
  'functions', coalesce((SELECT value FROM function_list), '[]'),
  'operators', coalesce((SELECT value FROM operator_list), '[]'),
  'tables', coalesce((SELECT value FROM table_list), '[]'),
  'views', coalesce((SELECT value FROM view_list), '[]'),
  'history', coalesce((SELECT value FROM history_list), '[]'),
  'workload', (
    SELECT json_build_object(
      'source', r.source,
      'note', r.note,
      'seconds', CASE WHEN r.seconds > 0 THEN r.seconds END,
      'search_paths', coalesce((SELECT value FROM search_path_list), '{}'),
      'statements', coalesce((SELECT value FROM statement_list), '[]'))
    FROM reading_summary AS r)) AS profile
-- end: profile
-- The subquery must be computed once, although two columns use it.
OFFSET 0
) AS captured
-- One pass over the whole text: each "->" would be another.
CROSS JOIN LATERAL json_to_record(captured.profile)
  AS part (tables json, workload json, values_of json, hidden_statistics_of json)
CROSS JOIN LATERAL (
  SELECT format(
    'pg_presplit: %s tables and %s statements; %s; %s',
    json_array_length(part.tables),
    json_array_length(part.workload -> 'statements'),
    CASE count(*)
      WHEN 0 THEN 'no data values travel'
      ELSE format('values of %s columns travel (-v values=none leaves them out): %s%s',
                  count(*),
                  replace(string_agg(c.name, ', ' ORDER BY c.position)
                            FILTER (WHERE c.position <= 20), E'\n', ' '),
                  CASE WHEN count(*) > 20 THEN ', ... (see values_of)' ELSE '' END)
    END,
    format('statistics of %s tables are hidden from this role%s',
           json_array_length(part.hidden_statistics_of),
           coalesce('; ' || (part.workload ->> 'note'), ''))) AS line
  FROM json_array_elements_text(part.values_of)
    WITH ORDINALITY AS c (name, position)
) AS summary
\gset

COMMIT;

\qecho :profile
\if :can_warn
  \warn :summary
\endif
