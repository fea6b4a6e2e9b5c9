//! Server tests of the analysis.
//!
//! The text files hold cases: a statement, and indented below it what the
//! analysis says, one access a line.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

mod schema;

#[pgrx::pg_schema]
mod tests {
    use pgrx::Spi;
    use pgrx::pg_extern;
    use pgrx::pg_test;

    use crate::model::access::Analysis;
    use crate::model::shadow::ShadowPlan;
    use crate::pg::analyze::analyze;
    use crate::pg::analyze::tests::schema;

    /// The facts of one statement as text, for a look by hand.
    #[pg_extern]
    fn analyzed(sql: &str) -> String {
        schema::lines(sql).join("\n")
    }

    /// Compares every case of a file with what the analysis says now.
    fn check(cases: &str) {
        Spi::run("SET LOCAL TimeZone = 'UTC'").expect("set-up");
        let database =
            Spi::get_one::<String>("SELECT current_database()::text").expect("query").expect("a name");
        let cases = cases.replace("{database}", &database);
        let cases: Vec<(String, Vec<&str>)> = cases
            .split("\n\n")
            .filter(|case| !case.trim().is_empty())
            .map(|case| {
                let (lines, statement): (Vec<&str>, Vec<&str>) =
                    case.trim_matches('\n').lines().partition(|line| line.starts_with("    "));
                (statement.join(" "), lines.into_iter().map(str::trim).collect())
            })
            .collect();
        let statements: Vec<&str> = cases.iter().map(|(statement, _)| statement.as_str()).collect();
        let mut faults = String::new();
        for ((statement, expected), analysis) in cases.iter().zip(schema::analyses(&statements)) {
            let found = schema::shown(&analysis);
            if found != *expected {
                faults.push_str(&format!("\n{statement}\n  found    {found:#?}\n  expected {expected:#?}"));
            }
        }
        assert!(faults.is_empty(), "{faults}");
    }

    fn count(sql: &str) -> i64 {
        Spi::get_one::<i64>(sql).expect("query").expect("a number")
    }

    #[pg_test]
    fn analyze_reads_filters() {
        check(include_str!("filters.txt"));
    }

    #[pg_test]
    fn analyze_reads_joins() {
        check(include_str!("joins.txt"));
    }

    #[pg_test]
    fn analyze_sees_through_levels() {
        check(include_str!("levels.txt"));
    }

    #[pg_test]
    fn analyze_reads_writes() {
        check(include_str!("writes.txt"));
    }

    #[pg_test]
    fn analyze_repairs_and_refuses_texts() {
        check(include_str!("texts.txt"));
    }

    #[pg_test]
    fn analyze_reads_the_queries_of_tpc_h() {
        check(include_str!("tpch.txt"));
    }

    #[pg_test]
    fn analyze_leaves_nothing_behind() {
        let objects = "SELECT (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_namespace) \
                       + (SELECT count(*) FROM pg_type) + (SELECT count(*) FROM pg_depend)";
        let before = count(objects);
        let path = Spi::get_one::<String>("SELECT current_setting('search_path')").expect("query");
        for statement in ["SELECT * FROM orders", "SELECT * FROM nowhere", "SELECT * INTO x FROM orders"] {
            schema::lines(statement);
        }
        assert_eq!(count(objects), before);
        assert_eq!(Spi::get_one::<String>("SELECT current_setting('search_path')").expect("query"), path);
    }

    /// A hundred analyses: locks, temporary schemas, sequences and memory are
    /// as they were after the first few.
    #[pg_test]
    fn analyze_holds_on_to_nothing() {
        Spi::run(
            "CREATE SEQUENCE kept; SELECT nextval('kept'); CREATE TABLE live (id serial PRIMARY KEY);
             CREATE DOMAIN checked AS int CHECK (VALUE > 0); CREATE TABLE held (xs checked[])",
        )
        .expect("set-up");
        let round = || {
            schema::analyses(&[
                "SELECT * FROM orders o JOIN items i ON i.order_id = o.id WHERE o.mood = 'good'",
                "SELECT * FROM public.held WHERE xs = '{1}'",
                "SELECT * FROM generate_series($1, $2) g",
                "SELECT * FROM nowhere",
                "INSERT INTO public.live DEFAULT VALUES",
                "SELECT nextval('public.kept'), setval('public.kept', 9)",
            ]);
        };
        let state = "SELECT (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid') * 1000000
             + (SELECT last_value FROM kept) * 100000 + (SELECT count(*) FROM pg_backend_memory_contexts)
             + (SELECT count(*) FROM pg_proc) + (SELECT count(*) FROM pg_namespace)";
        let memory = "SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts";
        for _ in 0..3 {
            round();
        }
        let (before, memory_before) = (count(state), count(memory));
        for _ in 0..17 {
            round();
        }
        assert_eq!(count(state), before);
        let grown = count(memory) - memory_before;
        assert!(grown < 4_000_000, "{grown} bytes more");
    }

    /// Functions that fail as soon as they run, wherever a statement, a view
    /// or a live table may hold one.
    #[pg_test]
    fn analyze_runs_no_function() {
        Spi::run(
            "CREATE SCHEMA live;
             CREATE FUNCTION live.bomb(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql
                 AS 'BEGIN RETURN 1; END';
             CREATE OPERATOR live.@@@ (RIGHTARG = bigint, FUNCTION = live.bomb);
             CREATE DOMAIN live.checked AS bigint CHECK (live.bomb(VALUE) > 0);
             CREATE TABLE live.t (id bigint DEFAULT live.bomb(1), x live.checked, CHECK (live.bomb(id) > 0));
             CREATE INDEX ON live.t (live.bomb(id)) WHERE live.bomb(2) > 0;
             CREATE TYPE live.pair AS (x live.checked, t text);
             CREATE TYPE live.span AS RANGE (subtype = live.checked);
             CREATE TABLE live.held (id bigint, xs live.checked[], p live.pair, r live.span, ps live.pair[]);
             CREATE FUNCTION live.takes(live.checked[]) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT 1::bigint';
             CREATE VIEW live.v AS SELECT id, live.bomb(3) AS b FROM live.t WHERE live.bomb(4) = 1;
             CREATE OR REPLACE FUNCTION live.bomb(bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql
                 AS 'BEGIN RAISE EXCEPTION ''evaluated''; END';",
        )
        .expect("set-up");
        for (statement, expected) in [
            ("SELECT * FROM app.orders WHERE id = live.bomb(1)", "orders: equality(id)"),
            ("SELECT * FROM app.orders WHERE id = OPERATOR(live.@@@) 1::bigint", "orders: equality(id)"),
            ("SELECT * FROM app.orders LIMIT live.bomb(1)", "orders: nothing, limited"),
            ("SELECT * FROM live.v WHERE id = 2", "live.t: equality(id) 2"),
            ("INSERT INTO live.t DEFAULT VALUES", "live.t: insert(id)"),
            ("UPDATE live.t SET x = 5 WHERE live.bomb(6) = id", "live.t: update(x), live.t: equality(id)"),
            ("SELECT * FROM live.t WHERE x = '7'::live.checked", "live.t: equality(x)"),
            // Input of these types would check the domain.
            ("SELECT * FROM live.held WHERE xs = '{7}'", "live.held: equality(xs)"),
            (
                "SELECT * FROM live.held WHERE xs = '{7}'::live.checked[] AND id = '5'",
                "live.held: equality(xs), live.held: equality(id) 5",
            ),
            (
                "SELECT * FROM live.held WHERE p = '(7,a)'::live.pair OR p = '(8,b)'::live.pair",
                "live.held: in_list(p)",
            ),
            (
                "SELECT * FROM live.held WHERE r = '[1,2)' AND ps = '{}'",
                "live.held: equality(r), live.held: equality(ps)",
            ),
            (
                "INSERT INTO live.held (id, xs, p) VALUES (1, '{1}', '(1)'), (2, '{2}', NULL)",
                "live.held: insert(id, xs, p)",
            ),
            (
                "UPDATE live.held SET xs = '{1}' WHERE xs && ARRAY['5', '6']::live.checked[]",
                "live.held: update(xs)",
            ),
            (
                "SELECT live.takes('{1}') FROM live.held WHERE id = live.takes('{2}')",
                "live.held: equality(id)",
            ),
            (
                "SELECT CASE WHEN xs IN ('{1}', '{2}') THEN 1 END, COALESCE(xs, '{3}') FROM live.held",
                "live.held: nothing",
            ),
        ] {
            assert_eq!(schema::lines(statement).join(", "), expected, "{statement}");
        }
    }

    #[pg_test]
    fn analyze_takes_live_tables_where_there_is_no_shadow() {
        Spi::run("CREATE SCHEMA live; CREATE TABLE live.t (id bigint PRIMARY KEY, orders bigint)")
            .expect("set-up");
        let path = vec!["live".to_owned()];
        let statements = [("SELECT * FROM t WHERE id = 1".to_owned(), path)];
        let found = analyze(&ShadowPlan::default(), &statements);
        assert_eq!(schema::shown(&found[0]), ["live.t: equality(id) 1"]);
    }

    #[pg_test]
    fn analyze_keeps_row_security_below_outer_joins() {
        Spi::run(
            "CREATE SCHEMA live; CREATE TABLE live.a (id bigint); CREATE TABLE live.b (id bigint, tenant text);
             ALTER TABLE live.b ENABLE ROW LEVEL SECURITY; ALTER TABLE live.b FORCE ROW LEVEL SECURITY;
             CREATE POLICY p ON live.b USING (tenant = current_setting('app.tenant'));
             CREATE ROLE presplit_test_reader; GRANT USAGE ON SCHEMA live TO presplit_test_reader;
             SET LOCAL ROLE presplit_test_reader",
        )
        .expect("set-up");
        let sql = "SELECT * FROM a LEFT JOIN b ON a.id = b.id AND a.id = 3";
        let found = analyze(&ShadowPlan::default(), &[(sql.to_owned(), vec!["live".to_owned()])]);
        Spi::run("RESET ROLE").expect("role");
        let expected = [
            "live.a: equality(id) 3 unpruned - an outer join keeps rows without a match",
            "live.a: join(id) unpruned - live.b(id)",
            "live.b: equality(tenant)",
            "live.b: join(id) - live.a(id)",
        ];
        assert_eq!(schema::shown(&found[0]), expected);
    }

    #[pg_test]
    fn analyze_answers_every_statement_when_the_shadow_fails() {
        let mut plan = schema::plan();
        plan.steps.drain(..3);
        let statements = [("SELECT * FROM app.orders".to_owned(), vec![])];
        let found = analyze(&plan, &statements);
        let [Analysis::Refused { sqlstate, message }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(sqlstate, "42P01");
        assert_eq!(message, "relation app.orders could not be rebuilt: schema \"app\" does not exist");
    }

    #[pg_test]
    fn analyze_stands_deep_and_long_statements() {
        let nested = |depth: usize| {
            format!("SELECT * FROM orders WHERE id = {}1{}", "(".repeat(depth), "+1)".repeat(depth))
        };
        assert_eq!(schema::lines(&nested(300)), ["orders: equality(id)"]);
        assert!(schema::lines(&nested(4000))[0].starts_with("54001"));
        assert!(schema::lines(&nested(100_000))[0].starts_with("42601"));
        let list: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
        let long = format!("SELECT * FROM orders WHERE id IN ({})", list.join(","));
        assert_eq!(schema::lines(&long).len(), 1);
        let either: Vec<String> = (0..2000).map(|number| format!("id = {number}")).collect();
        let long = format!("SELECT * FROM orders WHERE {}", either.join(" OR "));
        assert_eq!(schema::lines(&long).len(), 1);
        let doubled = (1..60).fold("WITH c0 AS MATERIALIZED (SELECT id FROM orders)".to_owned(), |sql, at| {
            let last = at - 1;
            sql + &format!(
                ", c{at} AS MATERIALIZED (SELECT x.id + y.id AS id FROM c{last} x JOIN c{last} y ON x.id = y.id)"
            )
        });
        assert_eq!(schema::lines(&(doubled + " SELECT * FROM c59 WHERE id = 1")), ["orders: nothing"]);
        let levels = "SELECT * FROM (".repeat(60) + "SELECT * FROM orders" + &") s".repeat(60);
        assert_eq!(schema::lines(&format!("{levels} WHERE id = 1")), ["orders: equality(id) 1"]);
    }
}
