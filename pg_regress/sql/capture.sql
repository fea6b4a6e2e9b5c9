-- The trigger that writes down which rows change: every kind of write, by whomever.
CREATE ROLE regress_capture_app;
CREATE SCHEMA capture_app;
GRANT USAGE ON SCHEMA capture_app TO regress_capture_app;
SET search_path = capture_app;

-- As an operation makes it: the log, and internal triggers that always fire. The identity is not in the columns' order.
CREATE TABLE orders (
    gone   int,
    code   text COLLATE "C",
    id     bigint,
    amount int DEFAULT 0,
    PRIMARY KEY (id, code)
) PARTITION BY RANGE (id);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (1000);
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM (1000) TO (2000);
ALTER TABLE orders DROP COLUMN gone;
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON orders TO regress_capture_app;
CREATE TABLE presplit.changes_900 (k1 bigint, k2 text COLLATE "C") USING heap;
CREATE FUNCTION watch(relation text, operation int, log regclass, database oid, VARIADIC numbers int[]) RETURNS void
LANGUAGE plpgsql SET client_min_messages = warning AS $$
DECLARE
    called text := format('EXECUTE FUNCTION presplit.capture_change(%s)', array_to_string(
        ARRAY[operation, log::oid::bigint, database::bigint, (SELECT system_identifier FROM pg_control_system())] || numbers::bigint[], ', '));
BEGIN
    EXECUTE format('CREATE TRIGGER capture AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW %s', relation, called);
    EXECUTE format('CREATE TRIGGER emptied AFTER TRUNCATE ON %s FOR EACH STATEMENT %s', relation, called);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER capture', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER emptied', relation);
END
$$;
SELECT watch('orders_1', 900, 'presplit.changes_900', d.oid, 3, 2) FROM pg_database AS d WHERE datname = current_database();
-- What is written down, and forgets it.
CREATE FUNCTION written() RETURNS SETOF presplit.changes_900
BEGIN ATOMIC
    SELECT * FROM presplit.changes_900 ORDER BY ctid;
END;
CREATE FUNCTION forget() RETURNS bigint LANGUAGE sql AS
    'WITH d AS (DELETE FROM presplit.changes_900 RETURNING 1) SELECT count(*) FROM d';

-- A role without any right on the log.
SET ROLE regress_capture_app;
INSERT INTO orders (id, code) VALUES (1, 'a'), (2, 'b'), (1500, 'elsewhere');
UPDATE orders SET amount = 1 WHERE id = 1;
DELETE FROM orders WHERE id = 2;
TABLE presplit.changes_900;
RESET ROLE;
SELECT * FROM written();
SELECT forget();

-- A changed key: both. A key that is written again: once.
UPDATE orders SET code = 'A' WHERE id = 1;
UPDATE orders SET id = 1, code = 'A' WHERE id = 1;
SELECT * FROM written();
SELECT forget();

-- Two keys swapped.
INSERT INTO orders VALUES ('x', 10, 10), ('y', 11, 11);
SELECT forget();
BEGIN;
UPDATE orders SET id = 0 WHERE id = 10;
UPDATE orders SET id = 10 WHERE id = 11;
UPDATE orders SET id = 11 WHERE id = 0;
COMMIT;
SELECT * FROM written();
SELECT forget();

-- Out of the shard, into it, and by its own name.
UPDATE orders SET id = 1010 WHERE id = 11;
UPDATE orders SET id = 12 WHERE id = 1500;
UPDATE orders_1 SET amount = 5 WHERE id = 12;
SELECT * FROM written();
SELECT forget();

-- ON CONFLICT: inserted, updated, left alone.
INSERT INTO orders VALUES ('c', 20, 0) ON CONFLICT (id, code) DO UPDATE SET amount = 1;
INSERT INTO orders VALUES ('c', 20, 0) ON CONFLICT (id, code) DO UPDATE SET amount = 1;
INSERT INTO orders VALUES ('c', 20, 0) ON CONFLICT DO NOTHING;
SELECT * FROM written();
SELECT forget();

-- MERGE, COPY, a key in its own table of oversized values.
MERGE INTO orders AS o USING (VALUES (20, 'c'), (21, 'd')) AS v (id, code) ON o.id = v.id
    WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, code) VALUES (v.id, v.code);
COPY orders (id, code) FROM stdin;
30	copied
1700	elsewhere
\.
INSERT INTO orders (id, code) SELECT 31, string_agg(md5(g::text), '') FROM generate_series(1, 60) AS g;
SELECT k1, left(k2, 10) AS k2, length(k2) FROM written();
UPDATE orders SET amount = 7 WHERE id = 31;
DELETE FROM orders WHERE id = 31;
SELECT count(*), count(DISTINCT k2) FROM written() WHERE k1 = 31;
SELECT forget();

-- What is rolled back was not written down.
BEGIN;
DELETE FROM orders WHERE id = 30;
SAVEPOINT one;
INSERT INTO orders (id, code) VALUES (40, 'undone');
ROLLBACK TO one;
INSERT INTO orders (id, code) VALUES (41, 'kept');
COMMIT;
BEGIN;
DELETE FROM orders;
ROLLBACK;
SELECT * FROM written();
SELECT forget();

-- Where changes are replicated; and by a function in a block that fails.
SET session_replication_role = replica;
INSERT INTO orders (id, code) VALUES (50, 'replicated');
RESET session_replication_role;
DO $$
BEGIN
    INSERT INTO capture_app.orders (id, code) VALUES (51, 'failed');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    INSERT INTO capture_app.orders (id, code) VALUES (52, 'handled');
END
$$;
SELECT * FROM written();
SELECT forget();

-- Everything at once: a row without a key.
SET ROLE regress_capture_app;
TRUNCATE orders;
RESET ROLE;
SELECT * FROM written();
SELECT forget();

-- A key that is altered meanwhile: the change goes through, with one warning.
ALTER TABLE orders_1 DISABLE TRIGGER emptied;
CREATE TABLE whole (id int PRIMARY KEY);
CREATE TABLE presplit.changes_901 (k1 int) USING heap;
SELECT watch('whole', 901, 'presplit.changes_901', d.oid, 1) FROM pg_database AS d WHERE datname = current_database();
INSERT INTO whole VALUES (1);
ALTER TABLE whole ALTER id TYPE text;
INSERT INTO whole VALUES ('2');
INSERT INTO whole VALUES ('3');
TABLE presplit.changes_901;
ALTER TABLE whole ALTER id TYPE int USING id::int;
INSERT INTO whole VALUES (4);
TABLE presplit.changes_901;

-- Triggers that came into a copy of the database, or whose log is gone or another table.
DROP TRIGGER capture ON whole;
DROP TRIGGER emptied ON whole;
SELECT watch('whole', 901, 'presplit.changes_901', 1, 1);
INSERT INTO whole VALUES (5);
DROP TRIGGER capture ON whole;
DROP TRIGGER emptied ON whole;
SELECT watch('whole', 902, 'presplit.changes_901', d.oid, 1) FROM pg_database AS d WHERE datname = current_database();
INSERT INTO whole VALUES (6);
DROP TRIGGER capture ON whole;
DROP TRIGGER emptied ON whole;
CREATE TABLE changes_903 (k1 int);
SELECT watch('whole', 903, 'changes_903', d.oid, 1) FROM pg_database AS d WHERE datname = current_database();
INSERT INTO whole VALUES (7);
TABLE changes_903;
DROP TRIGGER capture ON whole;
DROP TRIGGER emptied ON whole;
SELECT watch('whole', 901, 'presplit.changes_901', d.oid, 1) FROM pg_database AS d WHERE datname = current_database();
INSERT INTO whole VALUES (8);
DROP TABLE presplit.changes_901;
UPDATE whole SET id = 9 WHERE id = 8;
TRUNCATE whole;

-- Nobody but us makes such triggers, and none before the change.
CREATE TRIGGER before BEFORE INSERT ON whole FOR EACH ROW EXECUTE FUNCTION presplit.capture_change();
INSERT INTO whole VALUES (10);
DROP TRIGGER before ON whole;
DROP TRIGGER capture ON whole;
CREATE TRIGGER capture AFTER INSERT ON whole FOR EACH ROW EXECUTE FUNCTION presplit.capture_change('900');
INSERT INTO whole VALUES (11);
GRANT CREATE ON SCHEMA capture_app TO regress_capture_app;
SET ROLE regress_capture_app;
CREATE TABLE mine (id int);
CREATE TRIGGER capture AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION presplit.capture_change('900');
SELECT presplit.capture_change();
RESET ROLE;

SET client_min_messages = warning;
RESET search_path;
DROP SCHEMA capture_app CASCADE;
DROP TABLE presplit.changes_900;
DROP ROLE regress_capture_app;
