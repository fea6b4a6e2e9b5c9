--
-- COPY into a sharded table: rows are batched by shard, and where PostgreSQL
-- routes them itself, the report says why. Errors are PostgreSQL's own.
--
\a
\t on
SET client_min_messages = warning;
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id bigint, customer int, note text);
SELECT register_proposal('shop.orders', 'hash', '{id}', '{"modulus": 8}') AS id \gset
DROP TABLE shop.orders;
SELECT count(*) FROM create_shards(:id);
CREATE TABLE shop.orders (
    id bigint PRIMARY KEY,
    customer int NOT NULL CHECK (customer > 0),
    note text DEFAULT 'none',
    "double" bigint GENERATED ALWAYS AS (id * 2) STORED
);
COPY shop.orders (id, customer, note) FROM stdin;
1	1	a
2	1	\N
3	2	c\td
4	2	e
\.
COPY shop.orders (id, customer) FROM stdin WITH (FORMAT csv, HEADER);
id,customer
5,3
6,4
\.
SELECT * FROM shop.orders ORDER BY id;
SELECT count(DISTINCT tableoid) > 1 AS spread FROM shop.orders;
\set SHOW_CONTEXT always
\set VERBOSITY default
-- The line that is wrong, also if it waited for its shard.
COPY shop.orders (id, customer) FROM stdin;
7	5
8	x
9	5
\.
COPY shop.orders (id, customer) FROM stdin;
7	5
8	0
9	5
\.
COPY shop.orders (id, customer) FROM stdin;
7	5
8	6
7	7
9	5
\.
COPY shop.orders (id, customer) FROM stdin WITH (FREEZE);
\.
SELECT count(*) FROM shop.orders;
-- What PostgreSQL does itself.
COPY shop.orders (id, customer) FROM stdin WHERE id <> 7 AND customer > random() - 1;
7	5
8	6
\.
CREATE FUNCTION shop.look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER look AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.look();
COPY shop.orders (id, customer) FROM stdin;
9	5
\.
ALTER TABLE shop.orders DISABLE TRIGGER ALL;
COPY shop.orders (id, customer) FROM stdin;
10	5
\.
ALTER TABLE shop.orders ENABLE TRIGGER ALL;
DROP TRIGGER look ON shop.orders;
ALTER TABLE shop.orders ALTER COLUMN note SET DEFAULT md5(random()::text);
COPY shop.orders (id, customer) FROM stdin;
11	5
\.
COPY shop.orders (id, customer, note) FROM stdin WHERE customer = 5;
12	5	x
13	6	y
\.
SET presplit.restore_hook = off;
COPY shop.orders (id, customer, note) FROM stdin;
14	5	x
\.
RESET presplit.restore_hook;
SELECT note, rows_loaded FROM presplit.restore_report WHERE relation = 'shop.orders' AND statement_kind = 'COPY';
SELECT id, customer FROM shop.orders WHERE id > 6 ORDER BY id;
-- Disarmed, it is loaded in the same way.
SELECT disarm('shop.orders');
COPY shop.orders (id, customer, note) FROM stdin;
15	5	x
\.
SELECT count(*) FROM presplit.restore_report WHERE statement_kind = 'COPY' AND relation = 'shop.orders';
-- Each is an operation, the failed ones too.
SELECT kind, phase, CASE WHEN phase = 'done' THEN rows_done END AS rows, error FROM presplit.operations
WHERE relation = 'shop.orders' ORDER BY operation_id;
DROP SCHEMA shop CASCADE;
