--
-- Rows for which there is no place or that a key will not take: check_restore
-- says so beforehand, and what is known of them.
--
\a
\t on
SET client_min_messages = warning;
SET DateStyle = 'ISO';
CREATE SCHEMA places;
CREATE FUNCTION places.foretold(id bigint, dump text DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws('|', severity, object, problem, nullif(remedy, ''))
    FROM check_restore(id, schema_sql => dump)
    WHERE problem ~ 'DEFAULT shard|default shard|null' ORDER BY 1
$$;

-- Without a DEFAULT shard: nothing is known, all known values have a place, some have none.
CREATE TABLE places.visits (id int NOT NULL, at date NOT NULL);
SELECT register_proposal('places.visits', 'range', '{at}', '{"interval": "1 month", "from": "2024-01-01", "to": "2024-04-01", "default": false}') AS narrow \gset
SELECT register_proposal('places.visits', 'range', '{at}', '{"split_points": ["2024-01-01"], "default": false}') AS all_of_it \gset
SELECT places.foretold(:narrow);
SELECT places.foretold(:all_of_it);
INSERT INTO places.visits SELECT g, date '2024-01-01' + g % 91 FROM generate_series(0, 999) AS g;
ANALYZE places.visits;
SELECT places.foretold(:narrow);
INSERT INTO places.visits SELECT g, '2019-03-01' FROM generate_series(1, 5) AS g;
INSERT INTO places.visits VALUES (0, '2024-04-01'), (0, 'infinity');
ANALYZE places.visits;
SELECT places.foretold(:narrow);
-- What a profile of the source knows counts more than a table of that name that is here.
SELECT import_profile(capture_profile('{places.visits}'));
DELETE FROM places.visits WHERE at < '2024-01-01' OR at >= '2024-04-01';
VACUUM ANALYZE places.visits;
SELECT places.foretold(:narrow);
-- And so it is.
DROP TABLE places.visits;
SELECT DISTINCT state FROM create_shards(:narrow);
CREATE TABLE places.visits (id int NOT NULL, at date NOT NULL);
COPY places.visits FROM stdin;
1	2019-03-01
\.

-- Lists, and NULL.
CREATE TABLE places.tenants (id int NOT NULL, tenant int);
CREATE INDEX ON places.tenants (tenant);
SELECT register_proposal('places.tenants', 'list', '{tenant}', '{"lists": [["1"], ["2", "3"]], "default": false}') AS lists \gset
SELECT register_proposal('places.tenants', 'list', '{tenant}', '{"lists": [["1"], ["2", "3", "4", null]], "default": false}') AS with_null \gset
SELECT register_proposal('places.tenants', 'hash', '{tenant}', '{"modulus": 2}') AS hashed \gset
INSERT INTO places.tenants SELECT g, g % 4 + 1 FROM generate_series(1, 1000) AS g;
ANALYZE places.tenants;
SELECT places.foretold(:lists);
SELECT places.foretold(:with_null);
SELECT places.foretold(:hashed);
SELECT places.foretold(:lists, 'CREATE TABLE places.tenants (id int NOT NULL, tenant int NOT NULL);');
INSERT INTO places.tenants SELECT g FROM generate_series(1, 250) AS g;
ANALYZE places.tenants;
SELECT places.foretold(:lists);
SELECT places.foretold(:with_null);

-- A primary key to which a column is appended that may be null.
SET presplit.unique_policy = extend;
SELECT register_proposal('places.tenants', 'hash', '{tenant}', '{"modulus": 3}') AS extended \gset
\set dump 'CREATE TABLE places.tenants (id int NOT NULL, tenant int); ALTER TABLE ONLY places.tenants ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);'
SELECT places.foretold(:extended, :'dump');
DELETE FROM places.tenants WHERE tenant IS NULL;
VACUUM ANALYZE places.tenants;
SELECT places.foretold(:extended, :'dump');
DROP TABLE places.tenants;
SELECT places.foretold(:extended, :'dump');
-- Between the sections of a restore it can be mended.
SELECT DISTINCT state FROM create_shards(:extended);
CREATE TABLE places.tenants (id int NOT NULL, tenant int);
SELECT places.foretold(:extended, :'dump');
ALTER TABLE places.tenants ALTER COLUMN tenant SET NOT NULL;
SELECT places.foretold(:extended, :'dump');
ALTER TABLE ONLY places.tenants ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'places.tenants'::regclass AND contype = 'p';

DROP SCHEMA places CASCADE;
CALL tests.forget();
