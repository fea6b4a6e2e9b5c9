--
-- Statements as the pg_dump of other major versions writes them: what differs
-- from the dumps of 15 and 18, which the server scripts restore whole.
--
\a
\t on
SET client_min_messages = warning;
CREATE ROLE regress_dumps_owner;
CREATE SCHEMA dumps;
GRANT ALL ON SCHEMA dumps TO regress_dumps_owner;
CREATE TABLE dumps.t (id bigint NOT NULL, at timestamptz NOT NULL, note text);
SELECT register_proposal('dumps.t', 'hash', '{id}', '{"modulus": 2}') AS proposal \gset
DROP TABLE dumps.t;
SELECT DISTINCT state FROM create_shards(:proposal);
SELECT pg_catalog.set_config('search_path', '', false);

-- 13: no compression of columns; statistics objects name their kinds; EXECUTE PROCEDURE of old scripts.
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE dumps.t (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    note text
)
WITH (autovacuum_enabled='true')\;
ALTER TABLE ONLY dumps.t ALTER COLUMN note SET STORAGE MAIN;
ALTER TABLE dumps.t OWNER TO regress_dumps_owner;
CREATE SEQUENCE dumps.t_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER TABLE dumps.t_id_seq OWNER TO regress_dumps_owner;
ALTER SEQUENCE dumps.t_id_seq OWNED BY dumps.t.id;
ALTER TABLE ONLY dumps.t ALTER COLUMN id SET DEFAULT nextval('dumps.t_id_seq'::regclass);
COPY dumps.t (id, at, note) FROM stdin;
1	2024-01-01 00:00:00+00	one
2	2024-01-02 00:00:00+00	\N
\.
SELECT pg_catalog.setval('dumps.t_id_seq', 2, true);
ALTER TABLE ONLY dumps.t
    ADD CONSTRAINT t_pkey PRIMARY KEY (id);
CREATE STATISTICS dumps.t_stat (ndistinct, dependencies) ON id, note FROM dumps.t\;
ALTER STATISTICS dumps.t_stat OWNER TO regress_dumps_owner;
CREATE FUNCTION dumps.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER touch BEFORE INSERT ON dumps.t FOR EACH ROW EXECUTE PROCEDURE dumps.touch();
CREATE PUBLICATION regress_dumps WITH (publish = 'insert, update, delete, truncate');
ALTER PUBLICATION regress_dumps ADD TABLE ONLY dumps.t;
REVOKE ALL ON TABLE dumps.t FROM regress_dumps_owner;
GRANT SELECT,INSERT ON TABLE dumps.t TO regress_dumps_owner;
SELECT tests.anatomy('dumps.t');
SELECT pubviaroot FROM pg_publication WHERE pubname = 'regress_dumps';
SELECT id, note FROM dumps.t ORDER BY id;
DROP PUBLICATION regress_dumps;
DROP TABLE dumps.t;

-- 14: compression, as a statement of the table's own entry; REPLICA IDENTITY in one of its index.
CREATE TABLE dumps.t (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    note text
)\;
ALTER TABLE ONLY dumps.t ALTER COLUMN note SET COMPRESSION pglz\;
ALTER TABLE ONLY dumps.t FORCE ROW LEVEL SECURITY;
CREATE UNIQUE INDEX t_id_at ON dumps.t USING btree (id, at)\;
ALTER TABLE ONLY dumps.t REPLICA IDENTITY USING INDEX t_id_at;
ALTER TABLE ONLY dumps.t CLUSTER ON t_id_at;
ALTER TABLE dumps.t ENABLE ROW LEVEL SECURITY;
SELECT tests.anatomy('dumps.t');
DROP TABLE dumps.t;

-- 16: publications with columns and rows; a check that is not valid in an entry of its own.
CREATE TABLE dumps.t (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    note text,
    CONSTRAINT t_note_check CHECK ((note <> ''::text)) NO INHERIT
)
WITH (fillfactor='80', toast.autovacuum_enabled='false');
ALTER TABLE dumps.t
    ADD CONSTRAINT t_late_check CHECK ((id > 0)) NOT VALID;
ALTER TABLE ONLY dumps.t
    ADD CONSTRAINT t_pkey PRIMARY KEY (id) INCLUDE (at)\;
ALTER TABLE dumps.t CLUSTER ON t_pkey;
CREATE PUBLICATION regress_dumps WITH (publish = 'insert');
ALTER PUBLICATION regress_dumps ADD TABLE ONLY dumps.t (id, note) WHERE ((id > 0));
SELECT tests.anatomy('dumps.t');
DROP PUBLICATION regress_dumps;
DROP TABLE dumps.t;

-- 17: identity columns, whose values come along in INSERT.
CREATE UNLOGGED TABLE dumps.t (
    id bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    note text
);
ALTER TABLE dumps.t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME dumps.t_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO dumps.t (id, at, note) OVERRIDING SYSTEM VALUE VALUES
	(1, '2024-01-01 00:00:00+00', 'one'),
	(2, '2024-01-02 00:00:00+00', NULL);
SELECT pg_catalog.setval('dumps.t_id_seq', 2, true);
ALTER TABLE ONLY dumps.t
    ADD CONSTRAINT t_at_key UNIQUE NULLS NOT DISTINCT (at, id) DEFERRABLE INITIALLY DEFERRED;
SELECT tests.anatomy('dumps.t');
SELECT id, note FROM dumps.t ORDER BY id;
INSERT INTO dumps.t (at) VALUES ('2024-01-03') RETURNING id;

RESET search_path;
DROP SCHEMA dumps CASCADE;
CALL tests.forget();
DROP ROLE regress_dumps_owner;
