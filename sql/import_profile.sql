-- Reads a profile from standard input and stores it on the target.
--
--   psql target -qX -v ON_ERROR_STOP=1 -f import_profile.sql < profile.json
--
-- Prints the name under which the profile is stored; -v name=NAME chooses it,
-- the default is "imported". A profile of that name is replaced.
--
-- The JSON travels as rows of COPY, so it stands on no command line and in no
-- statement that log_statement or pg_stat_statements could record. The one
-- exception is core's own: if COPY itself refuses a line (a byte that is not
-- UTF-8 text of the database), the server may log at most 100 characters of it
-- as context.

\set ON_ERROR_STOP on
\set ON_ERROR_ROLLBACK off
\set QUIET on
\set ECHO none
\set SHOW_CONTEXT never
\if :{?name}
\else
  \set name imported
\endif

BEGIN READ WRITE;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;

-- The function may be in any schema; only the extension's own will do.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_presplit') THEN
    RAISE EXCEPTION 'extension pg_presplit is not installed in database "%"', current_database()
      USING ERRCODE = 'undefined_object', HINT = 'Run CREATE EXTENSION pg_presplit there first.';
  END IF;
END
$$;
SELECT quote_ident(n.nspname) AS presplit_schema
FROM pg_extension AS e
JOIN pg_depend AS d
  ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_proc AS p ON p.oid = d.objid
JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE e.extname = 'pg_presplit' AND p.proname = 'import_profile'
  AND p.proargtypes[0] = 'jsonb'::regtype AND p.proargtypes[1] = 'text'::regtype
\gset

-- EXTERNAL: compressing what lives for a second is wasted time.
CREATE TEMPORARY TABLE presplit_profile_line (
  ordinal bigint GENERATED ALWAYS AS IDENTITY,
  line text
) ON COMMIT DROP;
ALTER TABLE pg_temp.presplit_profile_line ALTER COLUMN line SET STORAGE EXTERNAL;
CREATE TEMPORARY TABLE presplit_profile (document jsonb) ON COMMIT DROP;
ALTER TABLE pg_temp.presplit_profile ALTER COLUMN document SET STORAGE EXTERNAL;

-- JSON text has no control characters but white space: with two of them as
-- quote and delimiter each line of the file is one value, taken as it is.
\copy pg_temp.presplit_profile_line (line) from pstdin with (format csv, delimiter E'\x02', quote E'\x01', encoding 'UTF8')

-- The parser's own message would carry a piece of the file into the log.
DO $$
DECLARE
  reason text;
  lines bigint;
  characters bigint;
BEGIN
  SELECT count(*), coalesce(sum(length(line)), 0) INTO lines, characters
  FROM pg_temp.presplit_profile_line;
  -- Some editors put a byte order mark before the text.
  IF getdatabaseencoding() = 'UTF8' THEN
    UPDATE pg_temp.presplit_profile_line
    SET line = substr(line, 2)
    WHERE ordinal = 1 AND left(line, 1) = chr(65279);
  END IF;
  IF characters = 0 THEN
    RAISE EXCEPTION 'standard input is empty'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Redirect the file that capture_profile.sql wrote: < profile.json';
  END IF;
  BEGIN
    INSERT INTO pg_temp.presplit_profile
    SELECT string_agg(line, E'\n' ORDER BY ordinal)::jsonb FROM pg_temp.presplit_profile_line;
  EXCEPTION
    WHEN data_exception OR program_limit_exceeded THEN
      reason := SQLSTATE;
  END;
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION 'standard input is not JSON, or only a part of it'
      USING ERRCODE = reason,
            DETAIL = format('%s lines with %s characters were read.', lines, characters),
            HINT = 'Write the file again with capture_profile.sql on the source and import it as it is.';
  END IF;
END
$$;

SELECT :presplit_schema.import_profile(document, :'name') AS imported
FROM pg_temp.presplit_profile
\gset

COMMIT;

\qecho :imported
