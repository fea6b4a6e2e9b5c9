--
-- Who may make a profile of a dump, and what is refused.
--
\a
\t on
SET client_min_messages = warning;
CREATE ROLE regress_dump;
SET ROLE regress_dump;
SELECT tests.outcome($$SELECT profile_backup('/nonexistent/dump')$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION profile_backup TO regress_dump;
SET ROLE regress_dump;
SELECT tests.outcome($$SELECT profile_backup('/nonexistent/dump')$$);
RESET ROLE;
GRANT pg_read_server_files TO regress_dump;
SET ROLE regress_dump;
SELECT tests.outcome($$SELECT profile_backup('/nonexistent/dump')$$);
SELECT tests.outcome($$SELECT profile_backup('')$$);
SELECT tests.outcome($$SELECT profile_backup('/nonexistent/dump', '')$$);
SELECT tests.outcome($$SELECT profile_backup('/dev/null')$$);
SELECT tests.outcome('SELECT profile_backup(NULL)'), tests.outcome($$SELECT profile_backup('/nonexistent/dump', NULL)$$);
RESET ROLE;

-- A name that somebody else has is refused before the file is looked at.
SELECT import_profile(capture_profile('{}'), 'taken');
SET ROLE regress_dump;
SELECT tests.outcome($$SELECT profile_backup('/nonexistent/dump', 'taken')$$);
RESET ROLE;

-- An archive is read by a program, which is another right.
SELECT current_setting('data_directory') || '/regress_dump' AS dump \gset
COPY (SELECT 'PGDMP is no archive') TO :'dump';
SET ROLE regress_dump;
SELECT regexp_replace(tests.outcome(format('SELECT profile_backup(%L)', :'dump')), '".*/', '"');
RESET ROLE;
SELECT regexp_replace(tests.outcome(format('SELECT profile_backup(%L)', :'dump')), '".*/', '"');

-- A text, from its first comment to its last; what is written between them is
-- read and not run.
COPY (SELECT unnest(ARRAY[
    '-- PostgreSQL database dump', '-- Dumped from database version 14.2 (any)', '\restrict x', 'SET client_encoding = ''UTF8'';',
    'DROP TABLE regress_dumped; SELECT pg_sleep(3600);',
    'CREATE TABLE public.regress_dumped (id integer NOT NULL, at date, kind character varying(3), twice integer GENERATED ALWAYS AS (id * 2) STORED);',
    'INSERT INTO public.regress_dumped (id, at, kind, twice) VALUES (1, ''2024-01-01'', ''a'', DEFAULT);',
    'INSERT INTO public.regress_dumped (id, at, kind, twice) VALUES (2, ''2024-01-02'', ''a'', DEFAULT);',
    'INSERT INTO public.regress_dumped (id, at, kind, twice) VALUES (3, NULL, ''b;'''''', DEFAULT);',
    'ALTER TABLE ONLY public.regress_dumped ADD CONSTRAINT regress_dumped_pkey PRIMARY KEY (id);',
    'CREATE INDEX regress_dumped_kind ON public.regress_dumped USING btree (kind, lower(kind)) WHERE id > 1;',
    '-- PostgreSQL database dump complete', '\unrestrict x'])) TO :'dump' WITH (FORMAT csv, QUOTE E'\x01', DELIMITER E'\x02');
CREATE TABLE regress_dumped ();
SELECT profile_backup(:'dump', 'text');
SELECT jsonb_pretty(profile->'tables') FROM presplit.stored_profiles WHERE name = 'text';
SELECT profile->>'server_version_num' AS version, profile->'values_of' AS values_of, profile->'workload'->>'note' AS note
FROM presplit.stored_profiles WHERE name = 'text';
SELECT relation, strategy FROM propose_shards(profile => 'text');

DROP TABLE regress_dumped;
COPY (SELECT WHERE false) TO :'dump';
SELECT regexp_replace(tests.outcome(format('SELECT profile_backup(%L)', :'dump')), '".*/', '"');
REVOKE ALL ON FUNCTION profile_backup FROM regress_dump;
DROP ROLE regress_dump;
CALL tests.forget();
