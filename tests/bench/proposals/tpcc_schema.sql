-- A schema like TPC-C's: nine tables, of which eight carry the warehouse.
CREATE TABLE warehouse (w_id int PRIMARY KEY, w_name text NOT NULL, w_street text NOT NULL, w_city text NOT NULL, w_tax numeric(4, 4) NOT NULL, w_ytd numeric(12, 2) NOT NULL);
CREATE TABLE district (d_w_id int NOT NULL REFERENCES warehouse, d_id int NOT NULL, d_name text NOT NULL, d_street text NOT NULL, d_tax numeric(4, 4) NOT NULL,
    d_ytd numeric(12, 2) NOT NULL, d_next_o_id int NOT NULL, PRIMARY KEY (d_w_id, d_id));
CREATE TABLE customer (c_w_id int NOT NULL, c_d_id int NOT NULL, c_id int NOT NULL, c_first text NOT NULL, c_last text NOT NULL, c_street text NOT NULL, c_since timestamptz NOT NULL,
    c_credit char(2) NOT NULL, c_discount numeric(4, 4) NOT NULL, c_balance numeric(12, 2) NOT NULL, c_ytd_payment numeric(12, 2) NOT NULL, c_payment_cnt int NOT NULL,
    c_delivery_cnt int NOT NULL, c_data text NOT NULL, PRIMARY KEY (c_w_id, c_d_id, c_id), FOREIGN KEY (c_w_id, c_d_id) REFERENCES district);
CREATE INDEX customer_by_name ON customer (c_w_id, c_d_id, c_last, c_first);
CREATE TABLE history (h_c_id int NOT NULL, h_c_d_id int NOT NULL, h_c_w_id int NOT NULL, h_d_id int NOT NULL, h_w_id int NOT NULL, h_date timestamptz NOT NULL,
    h_amount numeric(6, 2) NOT NULL, h_data text NOT NULL,
    FOREIGN KEY (h_c_w_id, h_c_d_id, h_c_id) REFERENCES customer, FOREIGN KEY (h_w_id, h_d_id) REFERENCES district);
CREATE TABLE orders (o_w_id int NOT NULL, o_d_id int NOT NULL, o_id int NOT NULL, o_c_id int NOT NULL, o_carrier_id int, o_ol_cnt int NOT NULL, o_all_local int NOT NULL,
    o_entry_d timestamptz NOT NULL, PRIMARY KEY (o_w_id, o_d_id, o_id), FOREIGN KEY (o_w_id, o_d_id, o_c_id) REFERENCES customer);
CREATE INDEX orders_by_customer ON orders (o_w_id, o_d_id, o_c_id, o_id);
CREATE TABLE new_order (no_w_id int NOT NULL, no_d_id int NOT NULL, no_o_id int NOT NULL, PRIMARY KEY (no_w_id, no_d_id, no_o_id), FOREIGN KEY (no_w_id, no_d_id, no_o_id) REFERENCES orders);
CREATE TABLE item (i_id int PRIMARY KEY, i_im_id int NOT NULL, i_name text NOT NULL, i_price numeric(5, 2) NOT NULL, i_data text NOT NULL);
CREATE TABLE stock (s_w_id int NOT NULL REFERENCES warehouse, s_i_id int NOT NULL REFERENCES item, s_quantity int NOT NULL, s_dist text NOT NULL, s_ytd int NOT NULL, s_order_cnt int NOT NULL,
    s_remote_cnt int NOT NULL, s_data text NOT NULL, PRIMARY KEY (s_w_id, s_i_id));
CREATE TABLE order_line (ol_w_id int NOT NULL, ol_d_id int NOT NULL, ol_o_id int NOT NULL, ol_number int NOT NULL, ol_i_id int NOT NULL, ol_supply_w_id int NOT NULL, ol_delivery_d timestamptz,
    ol_quantity int NOT NULL, ol_amount numeric(6, 2) NOT NULL, ol_dist_info text NOT NULL, PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number),
    FOREIGN KEY (ol_w_id, ol_d_id, ol_o_id) REFERENCES orders, FOREIGN KEY (ol_supply_w_id, ol_i_id) REFERENCES stock);
