#!/usr/bin/env bash
# Nothing foreign is evaluated: functions that tell when they run are planted in every place where a statement, a table, a
# view or a profile may hold one; whatever reads them, a superuser or the worker, none runs.
set -euo pipefail
. "$(dirname "$0")/../lib/cluster.sh"
. "$(dirname "$0")/../lib/checks.sh"
version=$1

cluster_start foreign "$version" "shared_preload_libraries = 'pg_stat_statements,pg_presplit'" "presplit.worker_naptime = 1"
cluster_use foreign
tmp=$(cluster_tmp foreign)
psql -qX -d postgres -c 'CREATE DATABASE foreign_code'
export PGDATABASE=foreign_code
psql -qX -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pg_stat_statements' -c 'CREATE EXTENSION pg_presplit' >/dev/null
psql -qX -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE SCHEMA spy;
CREATE SEQUENCE spy.fired;
-- Asleep while the set-up runs; awake, it leaves a trace that no rollback takes back, and a line in the log.
CREATE FUNCTION spy.fires(what text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_setting('spy.awake', true) = 'on' THEN
        PERFORM nextval('spy.fired');
        RAISE WARNING 'fired: %', what;
    END IF;
    RETURN true;
END
$$;
CREATE FUNCTION spy.immutable(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM spy.fires('immutable'); RETURN $1; END $$;
CREATE FUNCTION spy.stable(int DEFAULT spy.immutable(1)) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM spy.fires('stable'); RETURN $1; END $$;
CREATE FUNCTION spy.fickle(int) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM spy.fires('volatile'); RETURN $1; END $$;
CREATE FUNCTION spy.inlined(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT spy.immutable($1)';
CREATE FUNCTION spy.rows(int) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT spy.stable($1)';
CREATE FUNCTION spy.equal(int, int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN spy.fires('operator'); END $$;
CREATE OPERATOR spy.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = spy.equal);
CREATE AGGREGATE spy.total(int) (SFUNC = int4pl, STYPE = int, FINALFUNC = spy.immutable);
CREATE DOMAIN spy.checked AS int CHECK (spy.fires('domain ' || VALUE));
CREATE DOMAIN spy.word AS text DEFAULT 'w' CHECK (spy.fires('domain ' || VALUE));
CREATE TYPE spy.pair AS (a spy.checked, b text);
CREATE TYPE spy.span AS RANGE (subtype = spy.checked);
CREATE TYPE spy.wrapped AS (v int);
CREATE FUNCTION spy.wrap(int) RETURNS spy.wrapped LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM spy.fires('cast'); RETURN ROW($1); END $$;
CREATE FUNCTION spy.unwrap(spy.wrapped) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM spy.fires('cast'); RETURN $1.v; END $$;
CREATE CAST (int AS spy.wrapped) WITH FUNCTION spy.wrap(int) AS ASSIGNMENT;
CREATE CAST (spy.wrapped AS int) WITH FUNCTION spy.unwrap(spy.wrapped) AS IMPLICIT;
CREATE TABLE spy.t (
    id int PRIMARY KEY DEFAULT spy.immutable(7), c spy.checked, cs spy.checked[] DEFAULT '{1}', p spy.pair, r spy.span,
    w spy.wrapped, word spy.word, made int GENERATED ALWAYS AS (spy.immutable(3)) STORED,
    CHECK (spy.immutable(id) > 0));
CREATE INDEX ON spy.t ((spy.immutable(id))) WHERE spy.immutable(5) = 5;
CREATE STATISTICS spy.s ON (spy.immutable(id)), c FROM spy.t;
CREATE TABLE spy.part (id int, v int) PARTITION BY RANGE ((spy.immutable(id)));
CREATE TABLE spy.part_1 PARTITION OF spy.part FOR VALUES FROM (0) TO (100);
CREATE VIEW spy.v AS SELECT id, spy.immutable(2) AS two, spy.stable(3) AS three FROM spy.t WHERE spy.immutable(1) = 1;
CREATE VIEW spy.deep AS SELECT v.id FROM spy.v WHERE v.two OPERATOR(spy.===) spy.inlined(2);
CREATE VIEW spy.literal AS SELECT id FROM spy.t WHERE cs = '{4,5}' OR p = '(4,x)'::spy.pair;
CREATE TABLE spy.ruled (id int);
CREATE RULE also AS ON INSERT TO spy.ruled DO ALSO INSERT INTO spy.t (id) VALUES (spy.immutable(NEW.id));
CREATE TABLE spy.secured (id int, tenant int);
ALTER TABLE spy.secured ENABLE ROW LEVEL SECURITY;
ALTER TABLE spy.secured FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON spy.secured USING (tenant = spy.stable(4) AND spy.immutable(4) = 4);
INSERT INTO spy.t (id, c, cs, p, word) VALUES (1, 1, '{1}', '(1,a)', 'x');
INSERT INTO spy.part VALUES (1, 1);
ANALYZE spy.t;
SQL
cat >"$tmp/statements.sql" <<'SQL'
SELECT * FROM spy.t WHERE id = spy.immutable(1) AND spy.stable(2) = 2 AND c = spy.stable();
SELECT * FROM spy.t WHERE id = spy.inlined(1) OR id OPERATOR(spy.===) 3;
SELECT spy.total(id), count(*) FROM spy.t GROUP BY spy.immutable(id) HAVING spy.immutable(1) = 1 LIMIT spy.immutable(1);
SELECT * FROM spy.rows(1) AS q (x) JOIN spy.t ON t.id = q.x;
SELECT * FROM spy.t WHERE cs = '{1,2}' AND p = '(1,a)'::spy.pair AND c = '3'::spy.checked AND word = 'x'::spy.word;
SELECT '{1}'::spy.checked[], ARRAY['1', '2']::spy.checked[], '[1,2)'::spy.span, CAST('(5,b)' AS spy.pair), spy.checked '6', 7::spy.checked;
SELECT * FROM spy.t WHERE r @> 5::spy.checked AND cs && '{9}' AND (5::spy.wrapped)::int = 5 AND w::int = 1 + w;
SELECT CASE WHEN id = 1 THEN cs ELSE '{5}' END, coalesce(cs, '{6}'), nullif(p, '(1,b)'::spy.pair) FROM spy.t UNION ALL SELECT '{3}', '{4}', '(7,c)';
INSERT INTO spy.t (id, cs, p, w, word) VALUES (2, '{2}', '(2,b)', 5, 'y'), (3, '{3}', NULL, 6, 'z') ON CONFLICT (id) DO UPDATE SET cs = '{7}' WHERE t.id = spy.immutable(2);
INSERT INTO spy.t DEFAULT VALUES;
INSERT INTO spy.ruled VALUES (21), (22);
UPDATE spy.t SET cs = '{8}', p = '(8,c)', c = spy.immutable(8) WHERE id = spy.stable(2) RETURNING spy.immutable(id);
DELETE FROM spy.t WHERE id = spy.immutable(21) AND made = 3 AND p = ROW(1, 'a')::spy.pair;
MERGE INTO spy.t USING (VALUES (1, 2)) AS s (id, v) ON t.id = spy.immutable(s.id) WHEN MATCHED AND spy.immutable(1) = 2 THEN UPDATE SET cs = '{9}';
WITH c AS (SELECT spy.immutable(id) AS i FROM spy.v) SELECT * FROM c, spy.deep AS d WHERE c.i = spy.immutable(1) AND d.id = 1;
SELECT * FROM spy.literal WHERE id = 1;
SELECT * FROM spy.part WHERE id = 1 AND spy.immutable(id) = 1;
SELECT * FROM spy.part_1 WHERE id = spy.immutable(1);
SELECT * FROM spy.secured WHERE id = 5;
SELECT id FROM spy.t ORDER BY spy.immutable(1), id USING < FETCH FIRST 2 ROWS ONLY;
SELECT sum(id) OVER (ORDER BY id ROWS spy.immutable(1) PRECEDING) FROM spy.t TABLESAMPLE bernoulli (spy.immutable(100)::float4);
SQL
# Run once, asleep, so that pg_stat_statements has them; then also as a profile with their literals, for another database.
psql -qX -v ON_ERROR_STOP=1 <"$tmp/statements.sql" >/dev/null
psql -qXAt -v ON_ERROR_STOP=1 -c 'SELECT capture_profile()' >"$tmp/captured.json"
psql -qXAt -v ON_ERROR_STOP=1 -v body="$(cat "$tmp/statements.sql")" >"$tmp/literal.json" <<'SQL'
SELECT jsonb_set(capture_profile(), '{workload,statements}', (
    SELECT jsonb_agg(jsonb_build_object('queryid', n, 'query', line, 'role', '', 'calls', 1, 'exec_ms', 1, 'rows', 1))
    FROM regexp_split_to_table(:'body', E';\n') WITH ORDINALITY AS s (line, n) WHERE line <> ''))
SQL
psql -qX -d postgres -c 'CREATE DATABASE empty' -c 'CREATE DATABASE same TEMPLATE foreign_code'
psql -qX -v ON_ERROR_STOP=1 -d empty -c 'CREATE EXTENSION pg_presplit'
for database in foreign_code same empty; do
    for file in captured literal; do
        psql -qX -v ON_ERROR_STOP=1 -d "$database" -v name="$file" -f "$PRESPLIT_ROOT/sql/import_profile.sql" <"$tmp/$file.json" >/dev/null
    done
    psql -qX -d postgres -c "ALTER DATABASE $database SET spy.awake = on"
done

fired() { psql -qXAt -d "$1" -c 'SELECT is_called FROM spy.fired'; }
for database in foreign_code same empty; do
    for file in captured literal; do
        psql -qXAt -v ON_ERROR_STOP=1 -d "$database" >"$tmp/out.$database.$file" <<SQL || not_ok "$file statements in $database are analysed"
SELECT statements, analyzed FROM workload_coverage('$file');
SELECT count(*) FROM analyze_workload('$file');
SELECT count(*) FROM propose_shards(profile => '$file');
SQL
    done
    psql -qXAt -v ON_ERROR_STOP=1 -d "$database" >"$tmp/live.$database" <<'SQL' || not_ok "live facts of the database are read"
SELECT count(*) FROM presplit.statements;
SELECT count(*) FROM analyze_workload();
SELECT count(*) FROM propose_shards();
SELECT length(capture_profile()::text) > 100;
SQL
done
same "nothing ran where the functions are" f "$(fired foreign_code)"
same "nor where the same functions are and a profile is read" f "$(fired same)"
refused() { psql -qXAt -d "$1" -c "SELECT statements - analyzed FROM workload_coverage('$2')"; }
same "the statements are understood, with parameters" 0 "$(refused same captured)"
same "and with literals" 0 "$(refused same literal)"
# Casts do not travel, and a partition is not in the profile of its table: two statements and one.
same "and but three where nothing of it exists" 3 "$(refused empty literal)"

# The worker looks at the database too, now that all is awake; it may have looked before there were tables.
psql -qX -v ON_ERROR_STOP=1 -c "UPDATE presplit.size_reading SET at = at - interval '6 minutes'"
becomes "the worker has looked" t foreign 20 -d foreign_code -c "SELECT count(*) > 0 FROM presplit.size_history" || true
same "the worker ran nothing" f "$(fired foreign_code)"
if grep -aq 'fired:' "$(cluster_log foreign)"; then
    not_ok "the log" "$(grep -a 'fired:' "$(cluster_log foreign)" | head -n 5)"
else
    ok "the log"
fi
# The trap works.
psql -qXAt -d same -c "SELECT '{1}'::spy.checked[]" >/dev/null 2>&1
same "the functions do tell when they run" t "$(fired same)"

exit "$CHECKS_FAILED"
