-- Rows in the proportions of TPC-C, with fewer of them for each warehouse: 1,000 warehouses of 10 districts, 5 customers
-- and 5 orders each, 100 items. Customers and stock are there from the beginning; orders and payments come in.
INSERT INTO warehouse SELECT w, 'W' || w, 'street', 'city', 0.05, 300000 FROM generate_series(1, 1000) AS w;
INSERT INTO district SELECT w, d, 'D' || d, 'street', 0.05, 30000, 6 FROM generate_series(1, 1000) AS w, generate_series(1, 10) AS d;
INSERT INTO customer
SELECT w, d, c, 'first' || c, (ARRAY['BAR', 'OUGHT', 'ABLE', 'PRI', 'PRES', 'ESE', 'ANTI', 'CALLY', 'ATION', 'EING'])[1 + (c * 7 + d) % 10], 'street',
       '2026-01-01 UTC', CASE WHEN c % 10 = 0 THEN 'BC' ELSE 'GC' END, 0.1, -10, 10, 1, 0, repeat('x', 250)
FROM generate_series(1, 1000) AS w, generate_series(1, 10) AS d, generate_series(1, 5) AS c;
INSERT INTO item SELECT i, i % 100, 'item' || i, 1 + i % 100, repeat('i', 30) FROM generate_series(1, 100) AS i;
INSERT INTO stock SELECT w, i, 10 + (i * 7 + w) % 91, repeat('d', 100), 0, 0, 0, repeat('s', 40) FROM generate_series(1, 1000) AS w, generate_series(1, 100) AS i;
-- Orders arrive in all districts at once.
INSERT INTO orders SELECT w, d, o, 1 + (o * 11 + d) % 5, CASE WHEN o <= 3 THEN 1 + o % 10 END, 5 + (o + d) % 11, 1,
       '2026-01-01 UTC'::timestamptz + ((o * 10 + d) * 1000 + w) * interval '10 minutes'
FROM generate_series(1, 5) AS o, generate_series(1, 10) AS d, generate_series(1, 1000) AS w;
INSERT INTO new_order SELECT o_w_id, o_d_id, o_id FROM orders WHERE o_id > 3;
INSERT INTO order_line
SELECT o_w_id, o_d_id, o_id, n, 1 + (o_id * 31 + n * 97 + o_d_id * 13 + o_w_id) % 100,
       CASE WHEN (o_id * 7 + n * 3 + o_w_id) % 100 = 0 THEN 1 + (o_w_id + n) % 1000 ELSE o_w_id END,
       CASE WHEN o_id <= 3 THEN o_entry_d + interval '1 hour' END, 5, 10, repeat('d', 24)
FROM orders, generate_series(1, o_ol_cnt) AS n;
INSERT INTO history SELECT o_c_id, o_d_id, o_w_id, o_d_id, o_w_id, o_entry_d, 10, 'payment' FROM orders;
