--
-- Bounds by hand: register_proposal() takes exactly what CREATE TABLE ...
-- PARTITION OF takes, and create_shards() then makes exactly that.
--
\a
\t on
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
CREATE SCHEMA bounds;
CREATE TYPE bounds.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE bounds.pair AS (a int, b text);
CREATE TYPE bounds.dark AS (a int, b json);
CREATE DOMAIN bounds.small AS int CHECK (VALUE < 100);
CREATE DOMAIN bounds.smaller AS bounds.small CHECK (VALUE <> 7);
CREATE DOMAIN bounds.never AS text NOT NULL;
CREATE DOMAIN bounds.code AS varchar(3) CHECK (VALUE ~ '^[a-z]');
CREATE DOMAIN bounds.moment AS timestamptz;
CREATE DOMAIN bounds.day AS date CHECK (VALUE >= '2020-01-01');
CREATE DOMAIN bounds.amounts AS numeric(4,1)[];
CREATE TYPE bounds.span AS RANGE (subtype = bounds.small);

-- What PostgreSQL itself makes of bounds of table bounds.t: its partitions, or the error's SQLSTATE.
CREATE FUNCTION bounds.by_core(strategy text, key text, bounds jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    one jsonb;
    points text[] := '{}';
    width int := array_length(string_to_array(key, ', '), 1);
    made int := 0;
    written text;
BEGIN
    EXECUTE format('CREATE TABLE bounds.core (LIKE bounds.t) PARTITION BY %s (%s)', strategy, key);
    IF strategy = 'list' THEN
        FOR one IN SELECT * FROM jsonb_array_elements(bounds->'lists') LOOP
            made := made + 1;
            SELECT string_agg(coalesce(quote_literal(v), 'NULL'), ', ' ORDER BY at) INTO written
            FROM jsonb_array_elements_text(one) WITH ORDINALITY AS x (v, at);
            EXECUTE format('CREATE TABLE bounds.core_%s PARTITION OF bounds.core FOR VALUES IN (%s)', made, written);
        END LOOP;
    ELSE
        points := ARRAY[array_to_string(array_fill('MINVALUE'::text, ARRAY[width]), ', ')];
        FOR one IN SELECT * FROM jsonb_array_elements(bounds->'split_points') LOOP
            SELECT string_agg(quote_literal(v), ', ' ORDER BY at) INTO written
            FROM jsonb_array_elements_text(CASE jsonb_typeof(one) WHEN 'array' THEN one ELSE jsonb_build_array(one) END) WITH ORDINALITY AS x (v, at);
            points := points || written;
        END LOOP;
        points := points || array_to_string(array_fill('MAXVALUE'::text, ARRAY[width]), ', ');
        FOR made IN 1 .. array_length(points, 1) - 1 LOOP
            EXECUTE format('CREATE TABLE bounds.core_%s PARTITION OF bounds.core FOR VALUES FROM (%s) TO (%s)', made, points[made], points[made + 1]);
        END LOOP;
    END IF;
    CREATE TABLE bounds.core_default PARTITION OF bounds.core DEFAULT;
    SELECT string_agg(pg_get_expr(c.relpartbound, c.oid), ' | ' ORDER BY pg_get_expr(c.relpartbound, c.oid) COLLATE "C") INTO written
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'bounds.core'::regclass;
    DROP TABLE bounds.core;
    RETURN written;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
-- The same by us. A proposal that is taken and cannot be made is an error of the test.
CREATE FUNCTION bounds.by_us(strategy text, key text, bounds jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
    written text;
BEGIN
    BEGIN
        id := register_proposal('bounds.t', strategy, string_to_array(key, ', '), bounds);
    EXCEPTION WHEN OTHERS THEN
        RETURN SQLSTATE || ' ' || SQLERRM;
    END;
    PERFORM create_shards(id);
    SELECT string_agg(pg_get_expr(c.relpartbound, c.oid), ' | ' ORDER BY pg_get_expr(c.relpartbound, c.oid) COLLATE "C") INTO written
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'bounds.t'::regclass;
    RETURN written;
EXCEPTION WHEN OTHERS THEN
    RETURN 'taken, then ' || SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE FUNCTION bounds.compared(definition text, strategy text, key text, bounds jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    core text;
    us text;
BEGIN
    EXECUTE format('CREATE TABLE bounds.t (%s)', definition);
    core := bounds.by_core(strategy, key, bounds);
    us := bounds.by_us(strategy, key, bounds);
    DROP TABLE bounds.t;
    -- Within one list PostgreSQL keeps values that are equal and not the same; we keep one of them.
    IF core IS NOT DISTINCT FROM us THEN RETURN CASE WHEN length(core) = 5 THEN 'refused' ELSE 'taken' END; END IF;
    IF length(core) = 5 AND us ~ '^[0-9A-Z]{5} ' AND us !~ '^(XX|22004)' THEN RETURN 'refused'; END IF;
    RETURN format('core: %s us: %s', core, us);
END
$$;
CREATE TABLE bounds.cases (id int GENERATED ALWAYS AS IDENTITY, definition text, strategy text, key text DEFAULT 'k', bounds jsonb);
INSERT INTO bounds.cases (definition, strategy, bounds)
SELECT 'k ' || type, 'list', jsonb_build_object('lists', lists::jsonb)
FROM (VALUES
    ('numeric', '[["1"], ["1.00"]]'), ('numeric', '[["1"], ["2"]]'), ('numeric', '[["NaN"], ["nan"]]'), ('numeric', '[["NaN"], ["Infinity", null]]'),
    ('numeric(3,1)', '[["1.04"], ["1.0"]]'), ('numeric(3,1)', '[["100"]]'), ('numeric(3,1)', '[["99.9"], ["99.8"]]'), ('numeric', '[["1e400"], ["1e-400"]]'),
    ('float8', '[["1"], ["1.00"]]'), ('float8', '[["0"], ["-0"]]'), ('float8', '[["1e400"]]'), ('float8', '[["0.1"], ["0.10000000000000001"]]'), ('float8', '[["Infinity"], ["-Infinity"], ["NaN"]]'),
    ('float4', '[["0.1"], ["0.10000000149"]]'), ('float4', '[["1e38"], ["1e39"]]'),
    ('int', '[["1"], ["01"]]'), ('int', '[[" 1"], ["2 "]]'), ('int', '[["1"], ["+1"]]'), ('int', '[["1.0"]]'), ('int', '[["2147483648"]]'), ('int', '[["-2147483648"], ["2147483647"]]'), ('int', '[[""]]'),
    ('smallint', '[["32768"]]'), ('bigint', '[["9223372036854775807"], ["9223372036854775808"]]'), ('oid', '[["-1"], ["4294967295"]]'), ('oid', '[["4294967295"], ["0"]]'),
    ('bool', '[["t"], ["true"]]'), ('bool', '[["t"], ["off"]]'), ('bool', '[["maybe"]]'),
    ('varchar(3)', '[["abc"], ["abcd"]]'), ('varchar(3)', '[["abc"], ["abc  "]]'), ('varchar(3)', '[["abc"], ["ab"]]'), ('char(3)', '[["a"], ["a  "]]'), ('char(3)', '[["abcd"]]'), ('char(3)', '[["a"], ["b"]]'),
    ('text', '[["a"], ["a "]]'), ('text', '[["a"], ["A"]]'), ('text', '[[""], [null]]'), ('text', '[["null"], [null]]'), ('text', '[[null], [null]]'), ('text', '[["MINVALUE"], ["it''s \\\\ \"x\""]]'), ('text', '[["a", "b", "a"]]'),
    ('text COLLATE "C"', '[["a"], ["b"]]'), ('name', '[["a"], ["b"]]'), ('"char"', '[["a"], ["ab"]]'), ('"char"', '[["a"], ["b"]]'),
    ('bit(3)', '[["101"], ["1010"]]'), ('bit(3)', '[["101"], ["010"]]'), ('varbit(3)', '[["101"], ["10"]]'), ('varbit(3)', '[["1011"]]'), ('bytea', '[["\\\\x61"], ["a"]]'), ('bytea', '[["\\\\x61"], ["b"]]'),
    ('date', '[["2024-01-01"], ["20240101"]]'), ('date', '[["2024-01-01"], ["2024-02-30"]]'), ('date', '[["infinity"], ["-infinity"], ["0044-03-15 BC"], ["10000-01-01"]]'), ('date', '[["2024-01-01"], ["2024-01-01 12:00"]]'),
    ('timestamp', '[["2024-01-01"], ["2024-01-01 00:00"]]'), ('timestamp(0)', '[["2024-01-01 00:00:00.4"], ["2024-01-01 00:00:00"]]'), ('timestamp', '[["2024-01-01 00:00:00.4"], ["2024-01-01 00:00:00"]]'),
    ('timestamptz', '[["2024-01-01 00:00+00"], ["2024-01-01 02:00+02"]]'), ('timestamptz', '[["2024-01-01 00:00+00"], ["2024-01-01 00:00 America/New_York"]]'), ('timestamptz', '[["infinity"], ["2024-01-01"]]'),
    ('time', '[["24:00"], ["00:00"]]'), ('time', '[["1:00"], ["01:00"]]'), ('timetz', '[["00:00+00"], ["01:00+01"]]'), ('interval', '[["1 day"], ["24 hours"]]'), ('interval', '[["1 month"], ["31 days"]]'), ('interval year', '[["1 year"], ["1 year 2 months"]]'),
    ('uuid', '[["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], ["{A0EEBC999C0B4EF8BB6D6BB9BD380A11}"]]'), ('uuid', '[["a0eebc99"]]'), ('inet', '[["10.0.0.1"], ["10.0.0.1/32"]]'), ('inet', '[["10.0.0.1"], ["10.0.0.1/8"]]'), ('cidr', '[["10.0.0.1/8"]]'), ('macaddr', '[["08:00:2b:01:02:03"], ["08002b-010203"]]'),
    ('money', '[["1"], ["1.00"]]'), ('pg_lsn', '[["0/1"], ["0/01"]]'), ('jsonb', '[["{\"a\": 1}"], ["{\"a\":1}"]]'), ('jsonb', '[["{\"a\": 1}"], ["1"]]'), ('jsonb', '[["{"]]'), ('json', '[["1"]]'), ('xml', '[["x"]]'), ('point', '[["(1,2)"]]'),
    ('tsvector', '[["a b"], ["b a"]]'), ('int4range', '[["[1,3)"], ["[1,2]"]]'), ('int4range', '[["[1,3)"], ["[3,1)"]]'), ('int4multirange', '[["{[1,3)}"], ["{[1,2),[2,3)}"]]'),
    ('int[]', '[["{1,2}"], ["{01,2}"]]'), ('int[]', '[["{1,2}"], ["{2,1}"]]'), ('int[]', '[["{1,x}"]]'), ('int[]', '[["1"]]'), ('text[]', '[["{a,NULL}"], ["{a,\"NULL\"}"]]'), ('varchar(2)[]', '[["{abc}"]]'), ('point[]', '[["{\"(1,2)\"}"]]'),
    ('bounds.mood', '[["sad"], ["happy"]]'), ('bounds.mood', '[["sad"], ["glad"]]'), ('bounds.mood[]', '[["{sad,ok}"], ["{ sad , ok }"]]'), ('bounds.mood[]', '[["{sad}"], ["{glad}"]]'),
    ('bounds.small', '[["1"], ["01"]]'), ('bounds.small', '[["1"], ["100"]]'), ('bounds.small', '[["1"], [null]]'), ('bounds.smaller', '[["7"]]'), ('bounds.smaller', '[["6"], ["8"]]'), ('bounds.smaller', '[["100"]]'),
    ('bounds.never', '[["a"], [null]]'), ('bounds.never', '[["a"], ["b"]]'), ('bounds.code', '[["abc"], ["abcd"]]'), ('bounds.code', '[["abc"], ["Abc"]]'), ('bounds.code', '[["abc"], ["abd"]]'),
    ('bounds.moment', '[["2024-01-01"], ["2024-01-01 02:00+02"]]'), ('bounds.moment', '[["2024-01-01"], ["2024-01-02"]]'), ('bounds.day', '[["2019-12-31"]]'), ('bounds.day', '[["2020-01-01"], ["20200101"]]'), ('bounds.amounts', '[["{1.04}"], ["{1.0}"]]'), ('bounds.amounts', '[["{1000}"]]'), ('bounds.small[]', '[["{1}"], ["{100}"]]'),
    ('bounds.pair', '[["(1,a)"], ["(01,a)"]]'), ('bounds.pair', '[["(1,a)"], ["(1,b)"]]'), ('bounds.pair', '[["(1)"]]'), ('bounds.pair', '[["(1,)"], ["(,a)"]]'), ('bounds.dark', '[["(1,1)"], ["(2,1)"]]'), ('bounds.dark', '[["(1,1)"], ["(1,1)"]]'), ('bounds.span', '[["[1,2)"], ["[1,100)"]]'), ('bounds.span', '[["[1,2)"], ["[1,3)"]]')
) AS v (type, lists);
INSERT INTO bounds.cases (definition, strategy, bounds)
SELECT 'k ' || type, 'range', jsonb_build_object('split_points', points::jsonb)
FROM (VALUES
    ('numeric', '["9007199254740992", "9007199254740993"]'), ('numeric', '["1", "1.00"]'), ('numeric', '["2", "1"]'), ('numeric', '["-Infinity", "1", "Infinity", "NaN"]'), ('numeric', '["NaN", "Infinity"]'), ('numeric', '["1e400", "1e401"]'), ('numeric(3,1)', '["1.0", "1.04"]'), ('numeric(3,1)', '["1.0", "1.06"]'),
    ('float8', '["9007199254740992", "9007199254740993"]'), ('float8', '["9007199254740992", "9007199254740994"]'), ('float8', '["-Infinity", "NaN"]'), ('float4', '["16777216", "16777217"]'),
    ('int', '["1", "2"]'), ('int', '["2", "1"]'), ('int', '["1", "01"]'), ('int', '["9", "10"]'), ('text', '["9", "10"]'), ('text', '["10", "9"]'), ('text', '["a", "B"]'), ('text COLLATE "C"', '["B", "a"]'), ('text COLLATE "C"', '["a", "B"]'), ('varchar(2)', '["ab", "abc"]'), ('char(2)', '["a", "a "]'),
    ('bool', '["f", "t"]'), ('bit(3)', '["001", "010"]'), ('bit(3)', '["001", "01"]'), ('date', '["-infinity", "0044-03-15 BC", "2024-01-01", "infinity"]'), ('date', '["infinity", "2024-01-01"]'), ('date', '["2024-01-01", "2024-01-01 12:00"]'),
    ('timestamptz', '["2024-01-01 00:00+02", "2024-01-01 00:00+00"]'), ('timestamptz', '["2024-01-01 00:00+00", "2024-01-01 00:00+02"]'), ('timestamptz', '["2024-01-01", "12024-01-01", "infinity"]'), ('timestamp(0)', '["2024-01-01 00:00:00", "2024-01-01 00:00:00.2"]'), ('interval', '["1 month", "31 days"]'), ('interval', '["31 days", "1 month"]'), ('uuid', '["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]'),
    ('bounds.mood', '["sad", "happy"]'), ('bounds.mood', '["happy", "sad"]'), ('bounds.small', '["9", "10"]'), ('bounds.small', '["10", "9"]'), ('bounds.small', '["10", "100"]'), ('bounds.moment', '["2024-01-01 00:00+02", "2024-01-01"]'), ('bounds.moment', '["2024-01-01", "2024-01-01 00:00+02"]'), ('bounds.pair', '["(1,b)", "(2,a)"]'), ('bounds.pair', '["(2,a)", "(1,b)"]'), ('bounds.dark', '["(1,1)", "(2,1)"]'), ('bounds.dark', '["(1,1)", "(1,2)"]'),
    ('int[]', '["{9}", "{10}"]'), ('int[]', '["{10}", "{9,1}"]'), ('bounds.amounts', '["{9}", "{10}"]'), ('int4range', '["[1,3)", "[1,4)"]'), ('inet', '["9.0.0.0", "10.0.0.0"]'), ('inet', '["10.0.0.0", "9.0.0.0"]'), ('json', '["1", "2"]'), ('point', '["(1,2)"]'), ('jsonb', '["1", "2"]')
) AS v (type, points);
INSERT INTO bounds.cases (definition, strategy, key, bounds)
SELECT definition, 'range', 'a, b', jsonb_build_object('split_points', points::jsonb)
FROM (VALUES
    ('a int, b text', '[["1", "b"], ["1", "c"], ["2", "a"]]'), ('a int, b text', '[["1", "b"], ["01", "b"]]'), ('a int, b text', '[["1", "c"], ["1", "b"]]'), ('a numeric, b date', '[["1", "2024-01-02"], ["1.0", "2024-01-01"]]'), ('a numeric, b date', '[["1", "2024-01-02"], ["1.0", "20240103"]]'),
    ('a bounds.mood, b bounds.small', '[["sad", "99"], ["ok", "1"]]'), ('a bounds.mood, b bounds.small', '[["sad", "99"], ["ok", "101"]]'), ('a timestamptz, b int[]', '[["2024-01-01 00:00+02", "{1}"], ["2023-12-31 22:00+00", "{2}"]]')
) AS v (definition, points);

CREATE TABLE bounds.outcomes AS
SELECT c.*, bounds.compared(c.definition, c.strategy, c.key, c.bounds) AS outcome FROM bounds.cases AS c;
SELECT outcome, count(*) FROM bounds.outcomes WHERE outcome IN ('taken', 'refused') GROUP BY 1 ORDER BY 1;
-- A key without an order, which PostgreSQL takes until the first row comes, is refused by us.
SELECT definition, bounds, outcome FROM bounds.outcomes WHERE outcome NOT IN ('taken', 'refused') ORDER BY id;

-- Errors say which value it is.
CREATE TABLE bounds.t (n numeric, i int, v varchar(3), d date, small bounds.small, dark bounds.dark, at timestamptz, moment bounds.moment);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'list', '{n}', '{"lists": [["1", "7"], ["2", "1.00"]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'list', '{n}', '{"lists": [["1"], [null], [null]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'list', '{v}', '{"lists": [["ab"], ["abcd"]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'list', '{small}', '{"lists": [["1"], ["100"]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{dark}', '{"split_points": ["(1,1)", "(1,2)"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{n}', '{"split_points": ["1", "2", "2.0"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{n,i}', '{"split_points": [["1", 5], ["1.0", 4]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{i}', '{"split_points": ["1", null]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{i}', '{"split_points": ["1", {"a": 1}]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{n}', '{"split_points": [12345678901234567.5]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{n}', '{"split_points": [18446744073709551616]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{d}', '{"interval": "36 hours", "from": "2024-01-01", "to": "2024-02-01"}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{d}', '{"interval": "1 day", "from": "2024-01-01", "to": "2024-02-30"}')$$);
-- Values are stored as their type writes them: the settings of the session that reads them mean nothing.
SET TimeZone = 'America/New_York';
SET DateStyle = 'German, DMY';
SELECT register_proposal('bounds.t', 'range', '{at}', '{"split_points": ["2024-02-01", "2024-02-01 03:00 Europe/Berlin"]}') AS at,
       register_proposal('bounds.t', 'range', '{moment}', '{"split_points": ["2024-02-01", "2024-02-01 03:00 Europe/Berlin"]}') AS moment,
       register_proposal('bounds.t', 'range', '{d}', '{"split_points": ["2024-02-01"]}') AS d,
       register_proposal('bounds.t', 'list', '{n}', '{"lists": [["1", "1.00", 2.5], ["07"]], "default": false}') AS n \gset
SET DateStyle = 'ISO, MDY';
SELECT relation, bounds.bound FROM presplit.proposals AS p CROSS JOIN LATERAL (SELECT s->>'bound' FROM jsonb_array_elements(p.shards) AS s) AS bounds (bound)
WHERE p.proposal_id IN (:at, :moment, :d, :n) ORDER BY p.proposal_id, bound;
SET TimeZone = 'UTC';
SELECT count(*) FROM create_shards(:moment);
SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class AS c WHERE c.relnamespace = 'bounds'::regnamespace AND c.relispartition ORDER BY 1;
DROP TABLE bounds.t;

-- The functions of a user's type run with the rights of the table's owner, for those alone who have them.
CREATE ROLE regress_bounds_owner;
CREATE ROLE regress_bounds_other;
CREATE FUNCTION bounds.whose(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% asks', current_user; END $$;
CREATE DOMAIN bounds.spy AS int;
CREATE TABLE bounds.t (k bounds.spy);
ALTER TABLE bounds.t OWNER TO regress_bounds_owner;
ALTER DOMAIN bounds.spy ADD CHECK (bounds.whose(VALUE));
GRANT USAGE ON SCHEMA bounds TO regress_bounds_owner, regress_bounds_other;
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'list', '{k}', '{"lists": [["1"]]}')$$);
GRANT EXECUTE ON FUNCTION register_proposal TO regress_bounds_other;
SET ROLE regress_bounds_other;
SELECT register_proposal('bounds.t', 'list', '{k}', '{"lists": [["1"]]}') > 0 AS not_asked;
RESET ROLE;
DROP TABLE bounds.t;
REVOKE EXECUTE ON FUNCTION register_proposal FROM regress_bounds_other;

-- A table that is not here: what its type says.
CREATE TABLE bounds.t (n numeric(3,1), small bounds.small);
SELECT import_profile(capture_profile('{bounds.t}'), 'of bounds');
DROP TABLE bounds.t;
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'list', '{n}', '{"lists": [["1.04"], ["1.0"]]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{n}', '{"split_points": ["100"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{small}', '{"split_points": ["10", "9"]}')$$);
SELECT tests.outcome($$SELECT register_proposal('bounds.t', 'range', '{small}', '{"split_points": ["9", "100"]}')$$);
DROP DOMAIN bounds.small CASCADE;
SELECT register_proposal('bounds.t', 'range', '{small}', '{"split_points": ["10", "9"]}') > 0 AS cannot_be_asked;

DROP SCHEMA bounds CASCADE;
DROP ROLE regress_bounds_owner, regress_bounds_other;
CALL tests.forget();
