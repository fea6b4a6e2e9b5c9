//! Server tests of the what-if.

#![expect(clippy::expect_used, reason = "a test that cannot be set up has failed")]

#[pgrx::pg_schema]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use pgrx::pg_sys;
    use pgrx::pg_test;

    use crate::model::name::QualifiedName;
    use crate::model::shadow::ShadowPart;
    use crate::model::shadow::ShadowPlan;
    use crate::model::shadow::ShadowStep;
    use crate::model::statistics::ColumnStatistics;
    use crate::model::what_if::Draw;
    use crate::model::what_if::Drawn;
    use crate::model::what_if::Draws;
    use crate::model::what_if::Parameter;
    use crate::model::what_if::ParameterUse;
    use crate::model::what_if::Plans;
    use crate::model::what_if::Supposed;
    use crate::model::what_if::SupposedColumn;
    use crate::model::what_if::Touched;
    use crate::pg::context;
    use crate::pg::guc;
    use crate::pg::what_if::Question;
    use crate::pg::what_if::hooks;
    use crate::pg::what_if::plans;
    use crate::pg::what_if::world::World;

    fn name() -> QualifiedName {
        QualifiedName::new("app", "t")
    }

    /// A table of two columns, two hash shards, and an index.
    fn shadow() -> ShadowPlan {
        let step = |sql: &str, makes| ShadowStep { sql: sql.to_owned(), makes };
        let shard = || ShadowPart::Shard(name());
        ShadowPlan {
            schemas: BTreeMap::from([("app".to_owned(), "presplit_test".to_owned())]),
            steps: vec![
                step("CREATE SCHEMA presplit_test", ShadowPart::Schema),
                step(
                    "CREATE TABLE presplit_test.t (id int, k int) PARTITION BY HASH (id)",
                    ShadowPart::Table(name()),
                ),
                step("CREATE INDEX ON presplit_test.t (k)", ShadowPart::Key),
                step(
                    "CREATE TABLE presplit_test.t_1 PARTITION OF presplit_test.t FOR VALUES WITH (modulus 2, remainder 0)",
                    shard(),
                ),
                step(
                    "CREATE TABLE presplit_test.t_2 PARTITION OF presplit_test.t FOR VALUES WITH (modulus 2, remainder 1)",
                    shard(),
                ),
            ],
            ..ShadowPlan::default()
        }
    }

    fn supposed(common: &str) -> Vec<Supposed> {
        let statistics = |statistics: ColumnStatistics| {
            Some(SupposedColumn { distinct: statistics.distinct, statistics: Arc::new(statistics) })
        };
        let columns = vec![
            statistics(ColumnStatistics { width: 4.0, distinct: -1.0, ..ColumnStatistics::default() }),
            statistics(ColumnStatistics {
                width: 4.0,
                distinct: 1000.0,
                common_values: vec![common.to_owned()],
                common_fractions: vec![0.25],
                histogram: ["0", "500", "999"].map(str::to_owned).to_vec(),
                correlation: Some(0.0),
                ..ColumnStatistics::default()
            }),
        ];
        [None, Some("t_1"), Some("t_2")]
            .map(|shard| Supposed {
                relation: name(),
                shard: shard.map(str::to_owned),
                stands_for: 1.0,
                rows: if shard.is_some() { 50_000.0 } else { 100_000.0 },
                pages: if shard.is_some() { 5_000.0 } else { 10_000.0 },
                columns: columns.clone(),
            })
            .to_vec()
    }

    fn planned(common: &str, statements: &[&str], draws: &Draws<'_>) -> Plans {
        let (shadow, supposed) = (shadow(), supposed(common));
        let statements: Vec<_> =
            statements.iter().map(|sql| ((*sql).to_owned(), vec!["app".to_owned()])).collect();
        let question = Question {
            shadow: &shadow,
            supposed: &supposed,
            statements: &statements,
            moment: 0,
            draws,
            shard_by_shard: &|at| at == 1,
        };
        plans(&question).map_err(|failure| failure.reason).expect("the shadow is made")
    }

    fn without_values(_: usize, _: &[Parameter], _: usize) -> Vec<Draw> {
        vec![Draw { weight: 1.0, values: Vec::new() }]
    }

    fn touched(plans: &Plans, at: usize) -> Touched {
        plans[at].as_ref().expect("it is planned").touched[&name()]
    }

    #[pg_test]
    fn what_if_statistics_reach_the_planner() {
        pgrx::Spi::run("SET LOCAL max_parallel_workers_per_gather = 0").expect("set-up");
        let found = planned(
            "7",
            &[
                "SELECT * FROM t",
                "SELECT * FROM t WHERE k = 8",
                "SELECT * FROM t WHERE k = 7",
                "SELECT * FROM t WHERE id = 3",
                "SELECT * FROM u",
            ],
            &without_values,
        );
        assert_eq!(touched(&found, 0), Touched { shards: 2.0, planned: 2.0, rows: 100_000.0 });
        // Three quarters of the rows for 999 values.
        let rows = touched(&found, 1).rows;
        assert!((rows - 75_000.0 / 999.0).abs() < 1.0, "{rows}");
        assert!(touched(&found, 2).rows >= 25_000.0);
        assert_eq!(touched(&found, 3), Touched { shards: 1.0, planned: 1.0, rows: 50_000.0 });
        assert_eq!(found[4].as_ref().map_err(|refusal| refusal.sqlstate.as_str()).err(), Some("42P01"));
    }

    #[pg_test]
    fn what_if_values_that_cannot_be_read_are_left_out() {
        let found = planned("seven", &["SELECT * FROM t WHERE k = 7"], &without_values);
        assert_eq!(touched(&found, 0).shards, 2.0);
    }

    #[pg_test]
    fn what_if_parameters_are_found_and_take_their_values() {
        let sql = "WITH x AS (SELECT id AS i, k FROM t) SELECT * FROM x WHERE i = $1 AND k BETWEEN $2 AND $3 LIMIT $4";
        let uses = [
            (ParameterUse::Equality, Some("id")),
            (ParameterUse::Lower, Some("k")),
            (ParameterUse::Upper, Some("k")),
            (ParameterUse::Limit, None),
        ];
        let draws = |_: usize, parameters: &[Parameter], _: usize| {
            for (parameter, (used, column)) in parameters.iter().zip(uses) {
                let column = column.map(|column| (name(), column.to_owned()));
                assert!(parameter.readable && parameter.uses == [(used, column)], "{parameter:?}");
            }
            let value = |text: &str| Drawn::Value(text.to_owned());
            let draw =
                |id: &str| Draw { weight: 1.0, values: vec![value(id), value("1"), value("2"), value("5")] };
            vec![draw("1"), draw("2")]
        };
        assert_eq!(touched(&planned("7", &[sql], &draws), 0).shards, 1.0);
    }

    #[pg_test]
    fn what_if_hooks_are_put_back_after_an_error() {
        let (shadow, supposed) = (ShadowPlan::default(), Vec::new());
        let world = World::new(&shadow, &supposed);
        // SAFETY: plain reads of pointers on the backend's only thread.
        let hook = || unsafe { pg_sys::get_relation_info_hook.map(|hook| hook as usize) };
        let before = hook();
        let caught = context::in_subtransaction(|| {
            hooks::with_world(&world, || {
                assert_ne!(hook(), before);
                pgrx::error!("on purpose");
            });
        });
        assert!(caught.is_err());
        assert_eq!(hook(), before);
    }

    #[pg_test]
    fn what_if_joins_go_shard_by_shard_where_that_is_asked_for() {
        let join = "SELECT count(*) FROM t AS a JOIN t AS b ON b.id = a.id";
        let plans = planned("7", &[join, join], &without_values);
        let [first, second] = [0, 1].map(|at| plans[at].as_ref().expect("it is planned"));
        assert_eq!((first.shard_by_shard, first.cost), (None, second.cost));
        assert!(second.shard_by_shard.is_some_and(|cost| cost > 0.0 && cost <= second.cost));
        assert_eq!(first.touched, second.touched);
        assert_eq!(guc::core_text(c"enable_partitionwise_join"), "off");
    }

    /// A subquery in a condition is run for the rows that it is asked about, in
    /// both shards, and not for the third of them that it is guessed to pass.
    #[pg_test]
    fn what_if_subqueries_are_run_for_the_rows_that_ask() {
        let sql = "SELECT * FROM t WHERE k = 8 AND id > (SELECT avg(s.id) FROM t AS s WHERE s.k = t.k)";
        let rows = touched(&planned("7", &[sql], &without_values), 0).rows;
        let asking = 75_000.0 / 999.0;
        // Each finds the rows of one value of 1,000.
        let expected = asking + asking * 100.0;
        assert!((rows / expected - 1.0).abs() < 0.05, "{rows} of {expected}");
    }

    #[pg_test]
    fn what_if_the_first_partner_ends_the_search() {
        // With the equality alone the planner would rather find all values of k once.
        let sql =
            "SELECT * FROM t WHERE id = 3 AND EXISTS (SELECT FROM t AS s WHERE s.k = t.k AND s.id <> t.id)";
        let rows = touched(&planned("7", &[sql], &without_values), 0).rows;
        assert!((50_000.5..50_010.0).contains(&rows), "{rows}");
    }

    #[pg_test]
    fn what_if_more_values_are_tried_where_the_plan_depends_on_them() {
        let times = std::cell::RefCell::new(Vec::new());
        let draws = |at: usize, _: &[Parameter], often: usize| {
            times.borrow_mut().push((at, often));
            let draw = |k: &str| Draw { weight: 1.0, values: vec![Drawn::Value(k.to_owned())] };
            vec![draw("7"), draw("8")]
        };
        let statements = ["SELECT * FROM t WHERE id = 3 AND k = $1", "SELECT * FROM t WHERE k + 0 = $1"];
        planned("7", &statements, &draws);
        // The second statement looks at all rows, whatever the value.
        assert_eq!(*times.borrow(), [(0, 1), (0, 8), (1, 1)]);
    }
}
