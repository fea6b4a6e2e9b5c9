-- Rows in the proportions of TPC-C, with fewer of them for each warehouse: 100 warehouses of 10 districts, 30 customers
-- and 30 orders each, 1,000 items.
INSERT INTO warehouse SELECT w, 'W' || w, 'street', 'city', 0.05, 300000 FROM generate_series(1, 100) AS w;
INSERT INTO district SELECT w, d, 'D' || d, 'street', 0.05, 30000, 31 FROM generate_series(1, 100) AS w, generate_series(1, 10) AS d;
INSERT INTO customer
SELECT w, d, c, 'first' || c, (ARRAY['BAR', 'OUGHT', 'ABLE', 'PRI', 'PRES', 'ESE', 'ANTI', 'CALLY', 'ATION', 'EING'])[1 + (c * 7 + d) % 10], 'street',
       '2025-12-01 UTC'::timestamptz + (w * 300 + d * 30 + c) * interval '10 seconds', CASE WHEN c % 10 = 0 THEN 'BC' ELSE 'GC' END, 0.1, -10, 10, 1, 0, repeat('x', 250)
FROM generate_series(1, 100) AS w, generate_series(1, 10) AS d, generate_series(1, 30) AS c;
INSERT INTO item SELECT i, i % 100, 'item' || i, 1 + i % 100, repeat('i', 30) FROM generate_series(1, 1000) AS i;
INSERT INTO stock SELECT w, i, 10 + (i * 7 + w) % 91, repeat('d', 100), 0, 0, 0, repeat('s', 40) FROM generate_series(1, 100) AS w, generate_series(1, 1000) AS i;
-- Orders arrive in all districts at once.
INSERT INTO orders SELECT w, d, o, 1 + (o * 11 + d) % 30, CASE WHEN o <= 21 THEN 1 + o % 10 END, 5 + (o + d) % 11, 1,
       '2026-01-01 UTC'::timestamptz + ((o * 10 + d) * 100 + w) * interval '100 seconds'
FROM generate_series(1, 30) AS o, generate_series(1, 10) AS d, generate_series(1, 100) AS w;
INSERT INTO new_order SELECT o_w_id, o_d_id, o_id FROM orders WHERE o_id > 21;
INSERT INTO order_line
SELECT o_w_id, o_d_id, o_id, n, 1 + (o_id * 31 + n * 97 + o_d_id * 13 + o_w_id) % 1000,
       CASE WHEN (o_id * 7 + n * 3 + o_w_id) % 100 = 0 THEN 1 + (o_w_id + n) % 100 ELSE o_w_id END,
       CASE WHEN o_id <= 21 THEN o_entry_d + interval '1 hour' END, 5, 10, repeat('d', 24)
FROM orders, generate_series(1, o_ol_cnt) AS n;
INSERT INTO history SELECT c_id, c_d_id, c_w_id, c_d_id, c_w_id, c_since + interval '40 days', 10, 'initial payment' FROM customer;
