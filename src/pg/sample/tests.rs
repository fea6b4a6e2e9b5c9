//! The hook inside a server: what one execution leaves in the sketches.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[pgrx::pg_schema]
mod tests {
    use pgrx::Spi;
    use pgrx::pg_test;

    use crate::model::sample::SampledValues;
    use crate::pg::sample::drain;

    fn run(sql: &str) {
        Spi::run(sql).expect(sql);
    }

    /// What a statement leaves, as `access: value value`, of columns of table `t`.
    fn sampled(sql: &str) -> Vec<String> {
        let relation =
            Spi::get_one::<i64>("SELECT 't'::regclass::oid::bigint").expect("query").expect("an oid") as u32;
        drain();
        run(sql);
        let mut found: Vec<String> = drain()
            .iter()
            .filter(|one| one.relation == relation)
            .map(|one| {
                let values = SampledValues::of(one.access, &one.sketch);
                assert_eq!(one.sketch.sampled, 1, "{sql}");
                let mut texts: Vec<_> =
                    values.frequent.iter().map(|value| value.value.value.clone()).collect();
                texts.sort();
                format!("{} {}: {}", one.attribute, one.access.word(), texts.join(" "))
            })
            .collect();
        found.sort();
        found
    }

    /// Samples everything. The lock keeps the worker, and other tests, from
    /// taking out what one has sampled.
    fn begin() {
        run("LOCK TABLE presplit.sampled_columns");
        run("SET presplit.sample_rate = 1");
    }

    fn prepare() {
        begin();
        run(
            "CREATE TABLE t (id bigint PRIMARY KEY, tenant int, at timestamptz, name text, amount numeric, day date)",
        );
        run("CREATE INDEX ON t (tenant, name)");
        run("CREATE INDEX ON t (amount)");
    }

    #[pg_test]
    fn conditions_are_read() {
        prepare();
        for (sql, expected) in [
            ("SELECT * FROM t WHERE id = 7", vec!["1 equality: 7"]),
            ("SELECT * FROM t WHERE 7::int2 = id AND tenant = 2", vec!["1 equality: 7", "2 equality: 2"]),
            ("SELECT count(*) FROM t WHERE id IN (3, 1, 3)", vec!["1 in_list: 1 3"]),
            ("SELECT * FROM t WHERE id BETWEEN 5 AND 9", vec!["1 range_lower: 5", "1 range_upper: 9"]),
            ("SELECT * FROM t WHERE 5 > id", vec!["1 range_upper: 5"]),
            ("SELECT * FROM t WHERE tenant = 4 OR tenant = 6", vec!["2 in_list: 4 6"]),
            ("SELECT * FROM t WHERE tenant = 4 AND name = 'Zoë'", vec!["2 equality: 4", "4 equality: Zoë"]),
            (
                "SELECT * FROM t WHERE at >= '2024-02-03 04:05:06+02'",
                vec!["3 range_lower: 2024-02-03 02:05:06+00"],
            ),
            ("SELECT * FROM t WHERE day < '2024-02-03'", vec!["6 range_upper: 2024-02-03"]),
            ("SELECT * FROM t WHERE day = 'infinity'", vec!["6 equality: infinity"]),
            ("SELECT * FROM t WHERE amount = 1.50", vec!["5 equality: 1.5"]),
            ("UPDATE t SET name = 'x' WHERE id = 8", vec!["1 equality: 8"]),
            ("DELETE FROM t WHERE id = 9", vec!["1 equality: 9"]),
            // Nothing that could be a key, or no value yet.
            ("SELECT * FROM t WHERE id <> 7", vec![]),
            ("SELECT * FROM t WHERE id + 1 = 7", vec![]),
            ("SELECT * FROM t WHERE at > now()", vec![]),
            ("SELECT * FROM t WHERE id = NULL", vec![]),
            ("EXPLAIN SELECT * FROM t WHERE id = 7", vec![]),
            ("SELECT * FROM t AS a JOIN t AS b ON a.id = b.tenant", vec![]),
            // Constants are carried over joins; what is looked for twice counts once.
            ("SELECT * FROM t AS a JOIN t AS b ON a.id = b.id WHERE a.id = 3", vec!["1 equality: 3"]),
            ("WITH x AS MATERIALIZED (SELECT * FROM t WHERE id = 5) SELECT * FROM x", vec!["1 equality: 5"]),
            ("SELECT (SELECT name FROM t WHERE id = 6)", vec!["1 equality: 6"]),
            ("INSERT INTO t (id, tenant) VALUES (101, 5)", vec!["1 insert: 101", "2 insert: 5"]),
            (
                "INSERT INTO t (tenant, id) VALUES (5, 102), (5, 103), (6, 104)",
                vec!["1 insert: 102 103 104", "2 insert: 5 6"],
            ),
        ] {
            assert_eq!(sampled(sql), expected, "{sql}");
        }
    }

    #[pg_test]
    fn every_row_that_is_written_counts() {
        prepare();
        drain();
        run("INSERT INTO t (tenant, id) VALUES (5, 102), (5, 103), (6, 104)");
        let tenants = drain().into_iter().find(|one| one.attribute == 2).expect("a sample");
        let values = SampledValues::of(tenants.access, &tenants.sketch);
        assert_eq!((values.values, values.frequent[0].count, values.sampled), (3, 2, 1));
        assert!((values.executions - 1.0).abs() < 1e-9);
    }

    #[pg_test]
    fn parameters_are_read_in_generic_plans_too() {
        prepare();
        run("PREPARE p (bigint, text[]) AS SELECT * FROM t WHERE id = $1 AND name = ANY ($2)");
        for mode in ["force_custom_plan", "force_generic_plan"] {
            run(&format!("SET plan_cache_mode = {mode}"));
            let found = sampled("EXECUTE p (11, '{a,b}')");
            assert_eq!(found, ["1 equality: 11", "4 in_list: a b"], "{mode}");
            run("CREATE OR REPLACE FUNCTION f(x bigint) RETURNS bigint LANGUAGE plpgsql AS
                 $$ DECLARE found bigint; BEGIN SELECT count(*) INTO found FROM t WHERE id = x; RETURN found; END $$");
            assert_eq!(sampled("SELECT f(12)"), ["1 equality: 12"], "{mode}");
            run("CREATE OR REPLACE FUNCTION g(x bigint[]) RETURNS bigint LANGUAGE plpgsql AS
                 $$ DECLARE y bigint[] := x || 14::bigint; found bigint; BEGIN y[1] := 15;
                    SELECT count(*) INTO found FROM t WHERE id = ANY (y); RETURN found; END $$");
            assert_eq!(sampled("SELECT g('{13}')"), ["1 in_list: 14 15"], "{mode}");
        }
    }

    #[pg_test]
    fn partitions_are_their_root() {
        begin();
        run("CREATE TABLE t (pad int, id int, note text) PARTITION BY HASH (id)");
        run("CREATE TABLE t0 (note text, id int, pad int)");
        run("ALTER TABLE t ATTACH PARTITION t0 FOR VALUES WITH (MODULUS 2, REMAINDER 0)");
        run("CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1)");
        assert_eq!(sampled("SELECT * FROM t WHERE id > 3"), ["2 range_lower: 3"]);
        assert_eq!(sampled("SELECT * FROM t0 WHERE id = 3"), ["2 equality: 3"]);
        assert_eq!(sampled("SELECT * FROM t WHERE id = 3 AND note = 'x' AND pad = 1"), ["2 equality: 3"]);
        assert_eq!(sampled("INSERT INTO t (id) VALUES (8)"), ["2 insert: 8"]);
        // What is known of a relation is forgotten when it changes.
        run("CREATE INDEX ON t (pad)");
        assert_eq!(sampled("SELECT * FROM t WHERE pad = 1"), ["1 equality: 1"]);
    }

    #[pg_test]
    fn what_is_not_ours_is_left_alone() {
        prepare();
        run("CREATE TEMP TABLE own (id int PRIMARY KEY)");
        drain();
        run("SELECT * FROM own WHERE id = 1");
        run("SELECT * FROM pg_class WHERE oid = 1259");
        run("SET presplit.sample_rate = 0");
        run("SELECT * FROM t WHERE id = 1");
        assert!(drain().is_empty());
    }

    #[pg_test]
    fn lists_are_thinned() {
        prepare();
        drain();
        run("SELECT * FROM t WHERE id = ANY (ARRAY(SELECT generate_series(1, 10)))");
        assert!(drain().is_empty(), "a subquery is no value yet");
        let list: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        run(&format!("SELECT * FROM t WHERE id IN ({})", list.join(",")));
        let one = drain().pop().expect("a sample");
        assert_eq!(one.sketch.frequent.total(), 100);
    }
}
