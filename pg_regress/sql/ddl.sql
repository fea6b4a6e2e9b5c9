--
-- proposal_ddl: run as printed, the statements make what create_shards makes;
-- on one level and on two, with everything that a table can have.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
CREATE SCHEMA ddl;
CREATE ROLE regress_ddl_owner;
CREATE ROLE regress_ddl_reader;
GRANT USAGE, CREATE ON SCHEMA ddl TO regress_ddl_owner;
GRANT USAGE ON SCHEMA ddl TO regress_ddl_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA ddl GRANT ALL ON TABLES TO regress_ddl_reader;
CREATE TABLE ddl.customers (id int PRIMARY KEY);
CREATE TABLE ddl."Or.ders" (
    id serial,
    "n o" bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 5 CYCLE),
    dropped int,
    customer_id int NOT NULL CONSTRAINT to_customers REFERENCES ddl.customers (id) DEFERRABLE,
    at date NOT NULL DEFAULT '2026-01-01',
    total int GENERATED ALWAYS AS (customer_id * 2) STORED,
    note text COLLATE "C" DEFAULT 'it''s $do$ )',
    CONSTRAINT "check ""it" CHECK (customer_id > 0)
) WITH (fillfactor = 70);
ALTER TABLE ddl."Or.ders" DROP COLUMN dropped;
ALTER TABLE ddl."Or.ders" ADD CONSTRAINT orders_pkey PRIMARY KEY (id, at);
ALTER TABLE ddl."Or.ders" ADD CONSTRAINT "uni que" UNIQUE (note, at, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE ddl."Or.ders" ADD CONSTRAINT to_itself FOREIGN KEY (id, at) REFERENCES ddl."Or.ders";
CREATE INDEX "orders note" ON ddl."Or.ders" (lower(note)) WHERE note <> ')';
ALTER INDEX ddl."orders note" ALTER COLUMN 1 SET STATISTICS 400;
CREATE UNIQUE INDEX orders_identity ON ddl."Or.ders" (id, at) INCLUDE (note);
ALTER TABLE ddl."Or.ders" REPLICA IDENTITY USING INDEX orders_pkey;
ALTER TABLE ddl."Or.ders" CLUSTER ON orders_pkey;
ALTER TABLE ddl."Or.ders" ALTER COLUMN note SET STATISTICS 300;
ALTER TABLE ddl."Or.ders" ALTER COLUMN customer_id SET (n_distinct = -0.5);
SELECT nextval('ddl."Or.ders_id_seq"');
INSERT INTO ddl.customers VALUES (1);
INSERT INTO ddl."Or.ders" (customer_id) VALUES (1);
TRUNCATE ddl."Or.ders";
-- Pointing here.
CREATE TABLE ddl.lines (id int, at date, CONSTRAINT to_orders FOREIGN KEY (id, at) REFERENCES ddl."Or.ders" ON DELETE CASCADE);
COMMENT ON CONSTRAINT to_orders ON ddl.lines IS 'points';
-- Triggers, rules, statistics, policies, publications.
CREATE FUNCTION ddl.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER before_row BEFORE INSERT ON ddl."Or.ders" FOR EACH ROW WHEN (new.id > 0) EXECUTE FUNCTION ddl.fire('a', 'b');
CREATE TRIGGER disabled AFTER UPDATE OF note ON ddl."Or.ders" FOR EACH STATEMENT EXECUTE FUNCTION ddl.fire();
ALTER TABLE ddl."Or.ders" DISABLE TRIGGER disabled;
CREATE TRIGGER always BEFORE UPDATE ON ddl."Or.ders" FOR EACH ROW EXECUTE FUNCTION ddl.fire();
ALTER TABLE ddl."Or.ders" ENABLE ALWAYS TRIGGER always;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON ddl."Or.ders" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ddl.fire();
COMMENT ON TRIGGER always ON ddl."Or.ders" IS 'always';
CREATE RULE "no deletes" AS ON DELETE TO ddl."Or.ders" WHERE old.id = 0 DO INSTEAD NOTHING;
ALTER TABLE ddl."Or.ders" ENABLE REPLICA RULE "no deletes";
COMMENT ON RULE "no deletes" ON ddl."Or.ders" IS 'a rule';
CREATE STATISTICS ddl.orders_stat (dependencies, mcv) ON customer_id, note FROM ddl."Or.ders";
ALTER STATISTICS ddl.orders_stat SET STATISTICS 77;
COMMENT ON STATISTICS ddl.orders_stat IS 'statistics';
CREATE POLICY readers ON ddl."Or.ders" AS RESTRICTIVE FOR SELECT TO regress_ddl_reader, regress_ddl_owner USING (id > 0);
CREATE POLICY writers ON ddl."Or.ders" FOR UPDATE USING (note <> '') WITH CHECK (note <> ')');
COMMENT ON POLICY readers ON ddl."Or.ders" IS 'a policy';
ALTER TABLE ddl."Or.ders" ENABLE ROW LEVEL SECURITY;
ALTER TABLE ddl."Or.ders" FORCE ROW LEVEL SECURITY;
CREATE PUBLICATION regress_ddl FOR TABLE ddl."Or.ders" (id, at, customer_id) WHERE (id > 0), ddl.customers;
-- Words.
COMMENT ON TABLE ddl."Or.ders" IS 'it''s a table';
COMMENT ON COLUMN ddl."Or.ders".note IS 'a note';
COMMENT ON INDEX ddl."orders note" IS 'an index';
COMMENT ON CONSTRAINT orders_pkey ON ddl."Or.ders" IS 'the key';
COMMENT ON CONSTRAINT to_customers ON ddl."Or.ders" IS 'a foreign key';
COMMENT ON SEQUENCE ddl."Or.ders_n o_seq" IS 'a sequence';
ALTER TABLE ddl."Or.ders" OWNER TO regress_ddl_owner;
REVOKE ALL ON ddl."Or.ders" FROM regress_ddl_reader;
GRANT SELECT ON ddl."Or.ders" TO PUBLIC;
GRANT UPDATE ON ddl."Or.ders" TO regress_ddl_reader WITH GRANT OPTION;
GRANT INSERT (note) ON ddl."Or.ders" TO regress_ddl_reader;
GRANT USAGE ON SEQUENCE ddl."Or.ders_n o_seq" TO regress_ddl_reader;

-- All that the catalogs say of the schema's tables, without numbers that differ from one making to the next.
CREATE FUNCTION ddl.catalog() RETURNS SETOF text LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH parts AS (
        SELECT c.* FROM pg_class AS c WHERE c.relnamespace = 'ddl'::regnamespace AND c.relkind IN ('r', 'p')
    )
    SELECT concat_ws(' ', 'relation', c.oid::regclass, c.relkind, c.relpersistence, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
                     c.relowner::regrole, c.reloptions, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, obj_description(c.oid, 'pg_class'),
                     (SELECT string_agg(i.inhparent::regclass::text, ' ') FROM pg_inherits AS i WHERE i.inhrelid = c.oid)) FROM parts AS c
    UNION ALL
    SELECT concat_ws(' ', 'grant', c.oid::regclass, a.grantor::regrole, a.grantee::regrole, a.privilege_type, a.is_grantable)
    FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.relnamespace = 'ddl'::regnamespace
    UNION ALL
    SELECT concat_ws(' ', 'column', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
                     a.attcollation::regcollation, a.attstattarget, (SELECT string_agg(o, ' ') FROM unnest(a.attoptions) AS o WHERE o !~ '^pg_attver'), a.attstorage, a.attacl, pg_get_expr(d.adbin, d.adrelid),
                     col_description(c.oid, a.attnum))
    FROM parts AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisunique, i.indisprimary, i.indisclustered, i.indisreplident,
                     obj_description(i.indexrelid, 'pg_class'),
                     (SELECT string_agg(p.inhparent::regclass::text, ' ') FROM pg_inherits AS p WHERE p.inhrelid = i.indexrelid),
                     (SELECT string_agg(a.attstattarget::text, ' ') FROM pg_attribute AS a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0))
    FROM parts AS c JOIN pg_index AS i ON i.indrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'constraint', c.oid::regclass, CASE WHEN k.conparentid = 0 THEN k.conname END, pg_get_constraintdef(k.oid), k.convalidated,
                     k.connoinherit, k.coninhcount, k.conislocal, obj_description(k.oid, 'pg_constraint'))
    FROM parts AS c JOIN pg_constraint AS k ON k.conrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(g.oid), g.tgenabled, obj_description(g.oid, 'pg_trigger'))
    FROM parts AS c JOIN pg_trigger AS g ON g.tgrelid = c.oid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'rule', pg_get_ruledef(w.oid), w.ev_enabled, obj_description(w.oid, 'pg_rewrite'))
    FROM parts AS c JOIN pg_rewrite AS w ON w.ev_class = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'policy', c.oid::regclass, p.polname, p.polcmd, p.polpermissive, (SELECT string_agg(r::regrole::text, ' ' ORDER BY r::regrole::text) FROM unnest(p.polroles) AS r), pg_get_expr(p.polqual, c.oid),
                     pg_get_expr(p.polwithcheck, c.oid), obj_description(p.oid, 'pg_policy')) FROM parts AS c JOIN pg_policy AS p ON p.polrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(x.oid), x.stxowner::regrole, x.stxstattarget, obj_description(x.oid, 'pg_statistic_ext'))
    FROM parts AS c JOIN pg_statistic_ext AS x ON x.stxrelid = c.oid
    UNION ALL
    SELECT concat_ws(' ', 'publication', p.pubname, p.pubviaroot, c.oid::regclass, pg_get_expr(r.prqual, c.oid),
                     (SELECT string_agg(a.attname, ' ' ORDER BY a.attname) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs)))
    FROM parts AS c JOIN pg_publication_rel AS r ON r.prrelid = c.oid JOIN pg_publication AS p ON p.oid = r.prpubid
    UNION ALL
    SELECT concat_ws(' ', 'sequence', s.sequencename, s.sequenceowner, s.data_type, s.start_value, s.min_value, s.max_value, s.increment_by, s.cycle,
                     s.cache_size, s.last_value, pg_get_serial_sequence('ddl."Or.ders"', 'id'), pg_get_serial_sequence('ddl."Or.ders"', 'n o'),
                     obj_description(format('ddl.%I', s.sequencename)::regclass, 'pg_class'))
    FROM pg_sequences AS s WHERE s.schemaname = 'ddl'
    ORDER BY 1
$$;
-- Of the table as it is nothing but its shape is lost.
SELECT string_agg(line, E'\n') AS before FROM ddl.catalog() AS line WHERE line ~ '^(policy|rule|statistics|sequence|trigger.* ON ddl."Or.ders" )' \gset

SELECT register_proposal('ddl."Or.ders"', 'range', '{at}', '{"interval": "1 month", "from": "2026-01-01", "to": "2026-03-01"}') AS one \gset
SELECT register_proposal('ddl."Or.ders"', 'range_hash', '{at,id}', '{"split_points": ["2026-02-01"], "modulus": 2}') AS two \gset
SELECT register_proposal('ddl."Or.ders"', 'list_hash', '{at}',
       '{"lists": [["2026-01-01", "2026-01-02"]], "sub": [{"of": 0, "shard_key": ["id"], "modulus": 2}]}') AS three \gset

-- Each proposal carried out by the function, then by its statements.
BEGIN;
SELECT shard, bound FROM create_shards(:one);
SELECT string_agg(line, E'\n') AS by_function FROM ddl.catalog() AS line \gset
SELECT * FROM ddl.catalog() AS line WHERE line ~ '^(policy|rule|statistics|sequence|publication|trigger|constraint ddl.lines|relation)';
SELECT :'before' = string_agg(line, E'\n') AS kept FROM ddl.catalog() AS line
WHERE line ~ '^(policy|rule|statistics|sequence|trigger.* ON ddl."Or.ders" )';
ROLLBACK;
BEGIN;
\set ECHO none
\o /dev/null
SELECT proposal_ddl(:one) \gexec
\o
\set ECHO all
SELECT :'by_function' = string_agg(line, E'\n') AS the_same FROM ddl.catalog() AS line;
ROLLBACK;
BEGIN;
SELECT shard, bound FROM create_shards(:two);
SELECT string_agg(line, E'\n') AS by_function FROM ddl.catalog() AS line \gset
SELECT * FROM ddl.catalog() AS line WHERE line ~ '^(index|relation)';
SELECT * FROM check_shards('ddl."Or.ders"');
ROLLBACK;
BEGIN;
\set ECHO none
\o /dev/null
SELECT proposal_ddl(:two) \gexec
\o
\set ECHO all
SELECT :'by_function' = string_agg(line, E'\n') AS the_same FROM ddl.catalog() AS line;
INSERT INTO ddl."Or.ders" (customer_id, at) VALUES (1, '2026-01-31'), (1, '2026-02-01');
SELECT tableoid::regclass, at, "n o" FROM ddl."Or.ders" ORDER BY at;
ROLLBACK;
BEGIN;
SELECT shard, bound FROM create_shards(:three);
SELECT string_agg(line, E'\n') AS by_function FROM ddl.catalog() AS line \gset
ROLLBACK;
BEGIN;
\set ECHO none
\o /dev/null
SELECT proposal_ddl(:three) \gexec
\o
\set ECHO all
SELECT :'by_function' = string_agg(line, E'\n') AS the_same FROM ddl.catalog() AS line;
ROLLBACK;
-- A foreign key that points here needs a key that the policies weaken.
ALTER TABLE ddl.lines DROP CONSTRAINT to_orders;
ALTER TABLE ddl."Or.ders" DROP CONSTRAINT to_itself;
SET presplit.unique_policy = 'per_shard';
SELECT register_proposal('ddl."Or.ders"', 'hash', '{customer_id}', '{"modulus": 2}') AS four \gset
SET presplit.unique_policy = 'extend';
SELECT register_proposal('ddl."Or.ders"', 'hash', '{customer_id}', '{"modulus": 2}') AS five \gset
RESET presplit.unique_policy;
ALTER TABLE ddl.lines ADD CONSTRAINT to_orders FOREIGN KEY (id, at) REFERENCES ddl."Or.ders";
SELECT tests.outcome(format('SELECT create_shards(%s)', :five));
ALTER TABLE ddl.lines DROP CONSTRAINT to_orders;
BEGIN;
SELECT shard, bound FROM create_shards(:four);
SELECT string_agg(line, E'\n') AS by_function FROM ddl.catalog() AS line \gset
SELECT * FROM ddl.catalog() AS line WHERE line ~ '^index';
ROLLBACK;
BEGIN;
\set ECHO none
\o /dev/null
SELECT proposal_ddl(:four) \gexec
\o
\set ECHO all
SELECT :'by_function' = string_agg(line, E'\n') AS the_same FROM ddl.catalog() AS line;
ROLLBACK;
ALTER TABLE ddl."Or.ders" REPLICA IDENTITY NOTHING;
BEGIN;
SELECT shard, bound FROM create_shards(:five);
SELECT string_agg(line, E'\n') AS by_function FROM ddl.catalog() AS line \gset
SELECT * FROM ddl.catalog() AS line WHERE line ~ '^relation';
ROLLBACK;
BEGIN;
\set ECHO none
\o /dev/null
SELECT proposal_ddl(:five) \gexec
\o
\set ECHO all
SELECT :'by_function' = string_agg(line, E'\n') AS the_same FROM ddl.catalog() AS line;
ROLLBACK;

-- With rows, or with what would be lost, the first statement stops.
INSERT INTO ddl."Or.ders" (customer_id) VALUES (1);
SELECT ddl AS first FROM proposal_ddl(:one) AS ddl LIMIT 1 \gset
SELECT tests.outcome(:'first');
-- And the one that drops does.
SELECT ddl AS dropping FROM proposal_ddl(:one) AS ddl WHERE ddl ~ 'DROP TABLE' \gset
SELECT tests.outcome(:'dropping');
SELECT count(*) FROM ddl."Or.ders";
TRUNCATE ddl."Or.ders";
CREATE VIEW ddl.seen AS SELECT note FROM ddl."Or.ders";
SELECT ddl AS first FROM proposal_ddl(:one) AS ddl LIMIT 1 \gset
SELECT tests.outcome(:'first');
DROP VIEW ddl.seen;
DROP TABLE ddl."Or.ders";
DROP PUBLICATION regress_ddl;

-- Not here: from what a profile knows, or the shards alone.
SELECT capture_profile('{ddl.customers}'::regclass[]) AS profile \gset
CREATE TABLE ddl.known (id bigint NOT NULL, customer_id int REFERENCES ddl.customers, at timestamp(3) with time zone, name varchar(20) COLLATE "C",
                        CONSTRAINT known_pkey PRIMARY KEY (id, customer_id));
CREATE INDEX known_at ON ddl.known (at);
CREATE INDEX known_lower ON ddl.known (lower(name));
SELECT register_proposal('ddl.known', 'list_hash', '{customer_id}',
       '{"lists": [["1"]], "sub": [{"of": 0, "shard_key": ["id"], "modulus": 2}]}') AS known \gset
SELECT import_profile(capture_profile('{ddl.known}'::regclass[]), 'of known');
DROP TABLE ddl.known;
SELECT * FROM proposal_ddl(:known);
\set ECHO none
\o /dev/null
SELECT proposal_ddl(:known) \gexec
\o
\set ECHO all
SELECT tests.anatomy('ddl.known');
DROP TABLE ddl.known;
DELETE FROM presplit.stored_profiles;
SELECT * FROM proposal_ddl(:known);

-- In shards already: no statements would divide them anew.
CREATE TABLE ddl.cut (id int, "Gr""p" int);
SELECT register_proposal('ddl.cut', 'hash', '{id}', '{"modulus": 2}') AS two, register_proposal('ddl.cut', 'list', '{"Gr\"p"}', '{"lists": [["1"]]}') AS other \gset
SELECT count(*) FROM create_shards(:two);
SELECT * FROM proposal_ddl(:two);
SELECT proposal_ddl(:two) \gexec
SELECT tests.outcome(format('SELECT proposal_ddl(%s)', :other));
DROP TABLE ddl.cut;
CREATE TABLE ddl.cut (id int, "Gr""p" int) PARTITION BY RANGE (id);
SELECT tests.outcome(format('SELECT proposal_ddl(%s)', :two));
DROP TABLE ddl.cut;
CREATE VIEW ddl.cut AS SELECT 1 AS id;
SELECT tests.outcome(format('SELECT proposal_ddl(%s)', :two));
DROP VIEW ddl.cut;

DROP SCHEMA ddl CASCADE;
CALL tests.forget();
DROP ROLE regress_ddl_owner;
DROP ROLE regress_ddl_reader;
