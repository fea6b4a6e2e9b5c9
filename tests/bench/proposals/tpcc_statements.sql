-- All statements of TPC-C's five transactions with the rates of the mix (45 new orders, 43 payments, 4 of each other a
-- second), and values for the executions that are measured. $1 of `arguments` is the number of the execution.
\set w '(1 + $1 * 37 % 1000)'
\set d '(1 + $1 * 7 % 10)'
\set c '(1 + $1 * 11 % 5)'
\set i '(1 + $1 * 389 % 100)'
\set o '(1 + $1 * 13 % 5)'
INSERT INTO measure.statements (statement, calls_per_second, arguments) VALUES
-- New order: ten lines.
('SELECT w_tax FROM warehouse WHERE w_id = $1', 45, 'SELECT format(''(%s)'', ' || :'w' || ')'),
('SELECT d_tax, d_next_o_id FROM district WHERE d_w_id = $1 AND d_id = $2 FOR UPDATE', 45, 'SELECT format(''(%s, %s)'', ' || :'w' || ', ' || :'d' || ')'),
('UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = $1 AND d_id = $2', 45, 'SELECT format(''(%s, %s)'', ' || :'w' || ', ' || :'d' || ')'),
('SELECT c_discount, c_last, c_credit FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3', 45, 'SELECT format(''(%s, %s, %s)'', ' || :'w' || ', ' || :'d' || ', ' || :'c' || ')'),
('INSERT INTO orders (o_id, o_d_id, o_w_id, o_c_id, o_entry_d, o_ol_cnt, o_all_local) VALUES ($1, $2, $3, $4, $5, $6, $7)', 45, 'SELECT format(''(%s, %s, %s, %s, now(), 5, 1)'', 1000 + $1, ' || :'d' || ', ' || :'w' || ', ' || :'c' || ')'),
('INSERT INTO new_order (no_o_id, no_d_id, no_w_id) VALUES ($1, $2, $3)', 45, 'SELECT format(''(%s, %s, %s)'', ' || '1 + $1 % 3' || ', ' || :'d' || ', ' || :'w' || ')'),
('SELECT i_price, i_name, i_data FROM item WHERE i_id = $1', 450, 'SELECT format(''(%s)'', ' || :'i' || ')'),
('SELECT s_quantity, s_data, s_dist FROM stock WHERE s_i_id = $1 AND s_w_id = $2 FOR UPDATE', 450, 'SELECT format(''(%s, %s)'', ' || :'i' || ', ' || :'w' || ')'),
('UPDATE stock SET s_quantity = $1, s_ytd = s_ytd + $2, s_order_cnt = s_order_cnt + 1 WHERE s_i_id = $3 AND s_w_id = $4', 450, 'SELECT format(''(50, 5, %s, %s)'', ' || :'i' || ', ' || :'w' || ')'),
('INSERT INTO order_line (ol_o_id, ol_d_id, ol_w_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_dist_info) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)', 450, 'SELECT format(''(%s, %s, %s, 99, %s, %s, 5, 10, ''''d'''')'', ' || :'o' || ', ' || :'d' || ', ' || :'w' || ', ' || :'i' || ', ' || :'w' || ')'),
-- Payment: 60 % of the customers by name.
('UPDATE warehouse SET w_ytd = w_ytd + $1 WHERE w_id = $2', 43, 'SELECT format(''(10, %s)'', ' || :'w' || ')'),
('SELECT w_street, w_city, w_name FROM warehouse WHERE w_id = $1', 43, 'SELECT format(''(%s)'', ' || :'w' || ')'),
('UPDATE district SET d_ytd = d_ytd + $1 WHERE d_w_id = $2 AND d_id = $3', 43, 'SELECT format(''(10, %s, %s)'', ' || :'w' || ', ' || :'d' || ')'),
('SELECT d_street, d_name FROM district WHERE d_w_id = $1 AND d_id = $2', 43, 'SELECT format(''(%s, %s)'', ' || :'w' || ', ' || :'d' || ')'),
('SELECT count(c_id) FROM customer WHERE c_last = $1 AND c_d_id = $2 AND c_w_id = $3', 26, 'SELECT format(''(''''ABLE'''', %s, %s)'', ' || :'d' || ', ' || :'w' || ')'),
('SELECT c_first, c_id, c_credit, c_balance FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_last = $3 ORDER BY c_first', 26, 'SELECT format(''(%s, %s, ''''PRI'''')'', ' || :'w' || ', ' || :'d' || ')'),
('SELECT c_first, c_last, c_credit, c_balance FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3 FOR UPDATE', 17, 'SELECT format(''(%s, %s, %s)'', ' || :'w' || ', ' || :'d' || ', ' || :'c' || ')'),
('UPDATE customer SET c_balance = $1, c_ytd_payment = c_ytd_payment + $2, c_payment_cnt = c_payment_cnt + 1 WHERE c_w_id = $3 AND c_d_id = $4 AND c_id = $5', 43, 'SELECT format(''(1, 1, %s, %s, %s)'', ' || :'w' || ', ' || :'d' || ', ' || :'c' || ')'),
('INSERT INTO history (h_c_d_id, h_c_w_id, h_c_id, h_d_id, h_w_id, h_date, h_amount, h_data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', 43, 'SELECT format(''(%s, %s, %s, %s, %s, now(), 10, ''''h'''')'', ' || :'d' || ', ' || :'w' || ', ' || :'c' || ', ' || :'d' || ', ' || :'w' || ')'),
-- Order status.
('SELECT c_balance, c_first, c_last FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_last = $3 ORDER BY c_first', 2.4, 'SELECT format(''(%s, %s, ''''ESE'''')'', ' || :'w' || ', ' || :'d' || ')'),
('SELECT o_id, o_carrier_id, o_entry_d FROM orders WHERE o_w_id = $1 AND o_d_id = $2 AND o_c_id = $3 ORDER BY o_id DESC LIMIT 1', 4, 'SELECT format(''(%s, %s, %s)'', ' || :'w' || ', ' || :'d' || ', ' || :'c' || ')'),
('SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line WHERE ol_o_id = $1 AND ol_d_id = $2 AND ol_w_id = $3', 4, 'SELECT format(''(%s, %s, %s)'', ' || :'o' || ', ' || :'d' || ', ' || :'w' || ')'),
-- Delivery: ten districts.
('SELECT no_o_id FROM new_order WHERE no_d_id = $1 AND no_w_id = $2 ORDER BY no_o_id ASC LIMIT 1', 40, 'SELECT format(''(%s, %s)'', ' || :'d' || ', ' || :'w' || ')'),
('DELETE FROM new_order WHERE no_d_id = $1 AND no_w_id = $2 AND no_o_id = $3', 40, 'SELECT format(''(%s, %s, %s)'', ' || :'d' || ', ' || :'w' || ', 4 + $1 % 2)'),
('SELECT o_c_id FROM orders WHERE o_id = $1 AND o_d_id = $2 AND o_w_id = $3', 40, 'SELECT format(''(%s, %s, %s)'', ' || :'o' || ', ' || :'d' || ', ' || :'w' || ')'),
('UPDATE orders SET o_carrier_id = $1 WHERE o_id = $2 AND o_d_id = $3 AND o_w_id = $4', 40, 'SELECT format(''(3, %s, %s, %s)'', ' || :'o' || ', ' || :'d' || ', ' || :'w' || ')'),
('UPDATE order_line SET ol_delivery_d = $1 WHERE ol_o_id = $2 AND ol_d_id = $3 AND ol_w_id = $4', 40, 'SELECT format(''(now(), %s, %s, %s)'', ' || :'o' || ', ' || :'d' || ', ' || :'w' || ')'),
('SELECT sum(ol_amount) AS ol_total FROM order_line WHERE ol_o_id = $1 AND ol_d_id = $2 AND ol_w_id = $3', 40, 'SELECT format(''(%s, %s, %s)'', ' || :'o' || ', ' || :'d' || ', ' || :'w' || ')'),
('UPDATE customer SET c_balance = c_balance + $1, c_delivery_cnt = c_delivery_cnt + 1 WHERE c_id = $2 AND c_d_id = $3 AND c_w_id = $4', 40, 'SELECT format(''(1, %s, %s, %s)'', ' || :'c' || ', ' || :'d' || ', ' || :'w' || ')'),
-- Stock level.
('SELECT d_next_o_id FROM district WHERE d_w_id = $1 AND d_id = $2', 4, 'SELECT format(''(%s, %s)'', ' || :'w' || ', ' || :'d' || ')'),
('SELECT count(DISTINCT s_i_id) FROM order_line, stock WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id < $3 AND ol_o_id >= $4 AND s_w_id = $5 AND s_i_id = ol_i_id AND s_quantity < $6', 4, 'SELECT format(''(%s, %s, 6, 3, %s, 15)'', ' || :'w' || ', ' || :'d' || ', ' || :'w' || ')');
