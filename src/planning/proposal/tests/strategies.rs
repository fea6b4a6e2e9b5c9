//! Which keys are weighed from which facts, and how each strategy cuts.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::bound::Bound;
use crate::model::key::Strategy;
use crate::model::layout::Layout;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;
use crate::model::profile::ConstraintKind;
use crate::model::profile::ObjectName;
use crate::model::profile::Table;
use crate::model::profile::TableKind;
use crate::model::sample::Access as Sampled;
use crate::model::sample::FrequentValue;
use crate::model::sample::SampledValues;
use crate::model::sample::ShownValue;
use crate::model::statistics::ExtendedStatistics;
use crate::planning::proposal::Generator;
use crate::planning::proposal::option;
use crate::planning::proposal::option::Weighed;
use crate::planning::proposal::stem;
use crate::planning::proposal::subject;
use crate::planning::proposal::tests::fixture::*;

/// Every way that is weighed for a table, with its layout.
fn ways(fixture: &Fixture, table: &str) -> Vec<(Weighed, Option<Layout>)> {
    let input = fixture.input();
    let stems = stem::stems(input.profile);
    let subjects = subject::subjects(&input, &stems, &|| false).unwrap();
    let subject = subjects.iter().find(|subject| subject.name == name(table)).expect("it is there");
    let found = option::options(&input, subject, &|| false).unwrap();
    found.into_iter().map(|one| (one.clone(), one.division.layout(subject))).collect()
}

/// The ways of one strategy and key.
fn of(fixture: &Fixture, table: &str, strategy: Strategy, key: &[&str]) -> Vec<(Weighed, Option<Layout>)> {
    let mut found = ways(fixture, table);
    found.retain(|(one, _)| {
        one.candidate
            .as_ref()
            .is_some_and(|candidate| candidate.strategy == strategy && candidate.key.columns() == key)
    });
    found
}

fn generators(ways: &[(Weighed, Option<Layout>)]) -> Vec<Generator> {
    ways.first().and_then(|way| way.0.candidate.clone()).map_or(Vec::new(), |found| found.generators)
}

fn bounds(way: &(Weighed, Option<Layout>)) -> Vec<String> {
    let Some(layout) = &way.1 else { return vec![way.0.impossible.clone().unwrap_or_default()] };
    let first = layout.first_level();
    first.iter().map(|part| part.bound.sql().replace("FOR VALUES ", "")).collect()
}

fn statistics(column: &mut Column) -> &mut ColumnStatistics {
    column.statistics.get_or_insert_default()
}

fn edit_column(table: &mut Table, name: &str, change: impl FnOnce(&mut Column)) {
    change(table.columns.iter_mut().find(|column| column.name == name).expect("it is there"));
}

/// A column of a table with values of these shares, and a histogram.
fn values(
    fixture: Fixture,
    table: &str,
    column: &str,
    common: &[(&str, f64)],
    histogram: &[&str],
) -> Fixture {
    fixture.edit(table, |table| {
        edit_column(table, column, |column| {
            let found = statistics(column);
            found.common_values = common.iter().map(|value| value.0.to_owned()).collect();
            found.common_fractions = common.iter().map(|value| value.1).collect();
            found.histogram = histogram.iter().map(|value| (*value).to_owned()).collect();
        });
    })
}

fn distinct(fixture: Fixture, table: &str, column: &str, distinct: f64) -> Fixture {
    fixture.edit(table, |table| edit_column(table, column, |column| statistics(column).distinct = distinct))
}

/// Orders of tenants, by a key of both.
fn orders(key: &[&str]) -> Fixture {
    let columns = [("tenant", "bigint"), ("id", "bigint"), ("state", "text"), ("amount", "numeric")];
    Fixture::new()
        .table(table("orders", &columns).keyed(key), 400.0)
        .statement(1e6, 1e6, &[("orders", &[equality("tenant")])])
        .statement(1e6, 1e6, &[("orders", &[equality("tenant"), equality("id")])])
}

/// With orders of another size.
fn sized(fixture: Fixture, gigabytes: f64) -> Fixture {
    fixture.with(|fixture| {
        let grown = growth(&fixture.profile.tables[0], gigabytes * GB, 0.1);
        fixture.growth.insert(name("orders"), grown);
    })
}

#[test]
fn any_key_with_an_order_is_cut_at_quantiles() {
    let asked = sized(orders(&["id"]), 30.0).statement(1e6, 1e6, &[("orders", &[range("id")])]);
    let known = values(asked.clone(), "orders", "id", &[], &["0", "100", "200", "300", "1000"]);
    let found = of(&known, "orders", Strategy::Range, &["id"]);
    assert_eq!(generators(&found), [Generator::RangePredicate]);
    // 36 GB at the 90th percentile, shards of 10 GB; and DEFAULT.
    let counts: Vec<usize> = found.iter().map(|one| one.0.division.shard_count()).collect();
    assert_eq!(counts, [5, 3, 9]);
    let four = &found[0];
    assert_eq!(
        bounds(four),
        [
            "FROM (MINVALUE) TO ('100')",
            "FROM ('100') TO ('200')",
            "FROM ('200') TO ('300')",
            "FROM ('300') TO (MAXVALUE)",
            "DEFAULT"
        ]
    );
    assert!(four.0.division.skew() < 1e-6 && four.0.division.default_rows < 1.0);
    // Edges move to constants that statements compare with.
    let until =
        Access { upper: true, constants: vec!["210".to_owned()], ..Access::of(AccessKind::Range, "id") };
    let near = known.clone().statement(1e6, 1e6, &[("orders", &[until])]);
    let found = of(&near, "orders", Strategy::Range, &["id"]);
    let four = &found[0];
    assert_eq!(bounds(four)[1], "FROM ('100') TO ('210')");
    // Without values there are no quantiles.
    let unknown = of(&asked, "orders", Strategy::Range, &["id"]);
    assert!(unknown[0].0.impossible.as_ref().unwrap().contains("no values of id"));
}

#[test]
fn numbers_and_text_are_cut_at_values_that_are_known() {
    let asked = orders(&["id"]).statement(1e6, 1e6, &[("orders", &[range("amount")])]).statement(
        1e6,
        1e6,
        &[("orders", &[range("state")])],
    );
    let amounts = values(asked.clone(), "orders", "amount", &[], &["0.10", "2.25", "3.75", "9.99"]);
    let found = of(&amounts, "orders", Strategy::Range, &["amount"]);
    for way in &found {
        let all = bounds(way).join(" ");
        assert!(all.contains("'2.25'") || all.contains("'3.75'"), "{all}");
    }
    let states = values(asked, "orders", "state", &[], &["ab1", "ab3", "ab4", "ab7"]);
    let found = of(&states, "orders", Strategy::Range, &["state"]);
    assert!(found[0].0.impossible.as_ref().unwrap().contains("order of state is known to PostgreSQL alone"));
    let bytewise = states.edit("orders", |table| {
        edit_column(table, "state", |column| {
            column.collation = Some(ObjectName { schema: "pg_catalog".to_owned(), name: "C".to_owned() });
        });
    });
    let found = of(&bytewise, "orders", Strategy::Range, &["state"]);
    assert_eq!(bounds(&found[found.len() - 1])[0], "FROM (MINVALUE) TO ('ab3')");
}

/// Events with an id that ascends with event time.
fn numbered(correlation: f64) -> Fixture {
    let columns = [("id", "bigint"), ("ts", "timestamp with time zone"), ("body", "text")];
    let asked = Fixture::new()
        .table(table("events", &columns).keyed(&["id"]), 40.0)
        .statement(8640.0, 9e6, &[("events", &[equality("id")])])
        .edit("events", |table| {
            edit_column(table, "id", |column| statistics(column).correlation = Some(correlation));
            edit_column(table, "ts", |column| statistics(column).correlation = Some(1.0));
        });
    values(asked, "events", "id", &[], &["1000", "380000"])
}

#[test]
fn an_id_that_follows_event_time_is_cut_by_the_calendar() {
    let found = of(&numbered(0.99), "events", Strategy::Range, &["id"]);
    assert_eq!(generators(&found), [Generator::Correlation, Generator::FollowsTime]);
    let (weighed, layout) = &found[0];
    assert!(weighed.legal(), "{:?}", weighed.verdict);
    assert!(
        weighed.verdict.warnings.concat().contains("its greatest ts has to be looked at"),
        "{:?}",
        weighed.verdict.warnings
    );
    let by_time = of(&numbered(0.99), "events", Strategy::Range, &["ts"]);
    assert!(!by_time[0].0.legal(), "the primary key forbids it");
    let monthly = found.iter().find(|one| one.0.division.shard_count() == 17).expect("months");
    // 379 days and as many thousands of ids: January ends with day 31.
    let shown = bounds(monthly);
    assert_eq!(shown[..2], ["FROM (MINVALUE) TO ('32000')", "FROM ('32000') TO ('60000')"]);
    assert_eq!(shown[16], "DEFAULT");
    let future = layout.as_ref().unwrap().shards().iter().filter(|shard| shard.future).count();
    assert!(future >= 2, "{future}");
    // Rows come in at the end only: that is what keeps the others clean.
    assert!(matches!(
        monthly.0.division.cells,
        crate::planning::proposal::division::Cells::Range { follows: true, .. }
    ));
    // An id in no order, or one that is not unique, stands for no time.
    for fixture in [
        numbered(0.3),
        numbered(0.99).edit("events", |table| {
            table.constraints.clear();
            table.indexes.clear();
        }),
    ] {
        let found = of(&fixture, "events", Strategy::Range, &["id"]);
        assert!(!generators(&found).contains(&Generator::FollowsTime));
    }
}

#[test]
fn ids_to_come_stay_within_their_type() {
    let small = numbered(0.99).edit("events", |table| {
        edit_column(table, "id", |column| {
            column.type_name = crate::model::profile::TypeName {
                name: "int4".to_owned(),
                text: "integer".to_owned(),
                ..column.type_name.clone()
            }
        });
    });
    let small = values(small, "events", "id", &[], &["1000", "2147480000"]);
    let found = of(&small, "events", Strategy::Range, &["id"]);
    let shown = bounds(&found[0]);
    assert!(shown[shown.len() - 2].ends_with("TO (MAXVALUE)"), "{shown:?}");
}

#[test]
fn few_values_are_put_into_lists_by_weight() {
    let states = [("new", 0.4), ("paid", 0.2), ("sent", 0.2), ("done", 0.1), ("lost", 0.05), ("odd", 0.05)];
    let asked = sized(orders(&["id"]), 32.0).statement(1e6, 1e6, &[("orders", &[equality("state")])]);
    let few = distinct(values(asked.clone(), "orders", "state", &states, &[]), "orders", "state", 6.0);
    let found = of(&few, "orders", Strategy::List, &["state"]);
    assert_eq!(generators(&found), [Generator::EqualityPredicate, Generator::HeavyValues]);
    assert_eq!(bounds(&found[found.len() - 1]).len(), 7, "each value alone");
    let two = found.iter().find(|one| one.0.division.shard_count() == 3).expect("a way of two lists");
    assert_eq!(bounds(two), ["IN ('new', 'done')", "IN ('paid', 'sent', 'lost', 'odd')", "DEFAULT"]);
    assert_eq!(found[0].0.division.shard_count(), 5, "38 GB, shards of 10 GB, and DEFAULT");
    assert_eq!(bounds(&found[0])[0], "IN ('new')", "the heavy one is alone");
    // Many values, or values that are not known, make no lists.
    let many = distinct(few.clone(), "orders", "state", 5000.0);
    assert!(of(&many, "orders", Strategy::List, &["state"]).is_empty());
    let unknown = values(few, "orders", "state", &states[..2], &[]);
    assert!(of(&unknown, "orders", Strategy::List, &["state"]).is_empty());
}

#[test]
fn a_tenant_with_many_rows_is_divided_by_another_column() {
    let heavy = [("42", 0.4), ("7", 0.02)];
    let skewed = values(orders(&["tenant", "id"]), "orders", "tenant", &heavy, &["1", "1000"]);
    let skewed = distinct(skewed, "orders", "tenant", 1000.0);
    let found = of(&skewed, "orders", Strategy::ListHash, &["tenant", "id"]);
    assert!(generators(&found).contains(&Generator::HeavyValues));
    let (weighed, layout) = &found[0];
    assert!(weighed.legal(), "{:?}", weighed.verdict);
    let layout = layout.as_ref().expect("it can be written");
    let branches: Vec<String> = layout
        .branches()
        .iter()
        .map(|branch| format!("{} by {}", branch.bound.sql(), branch.shard_key.concat()))
        .collect();
    assert_eq!(branches, ["FOR VALUES IN ('42') by id", "DEFAULT by tenant"]);
    let of_heavy = layout.shards().iter().filter(|shard| shard.of == Some(0)).count();
    let of_rest = layout.shards().iter().filter(|shard| shard.of == Some(1)).count();
    assert_eq!((of_heavy, of_rest), (32, 32), "shards of 10 GB of 192 GB and of 288 GB");
    assert!(weighed.division.skew() < 0.6, "{}", weighed.division.skew());
    // Hash alone cannot part the tenant.
    let hashed = of(&skewed, "orders", Strategy::Hash, &["tenant"]);
    assert!(hashed[0].0.division.skew() > 10.0);
    assert!(weighed.cost.total() < hashed[0].0.cost.total(), "{:?} {:?}", weighed.cost, hashed[0].0.cost);
    // Where unique constraints have the tenant alone, it at least stands alone.
    let alone = of(&skewed, "orders", Strategy::ListHash, &["tenant"]);
    let layout = alone[0].1.as_ref().expect("it can be written");
    assert_eq!(layout.shards()[0].bound, Bound::List { values: vec![Some("42".to_owned())] });
    assert_eq!(layout.branches().len(), 1);
    let even = values(orders(&["tenant", "id"]), "orders", "tenant", &[("7", 0.02)], &["1", "1000"]);
    assert!(of(&even, "orders", Strategy::ListHash, &["tenant", "id"]).is_empty());
}

#[test]
fn time_and_tenant_are_two_levels() {
    let fixture = events(400.0).with(|fixture| fixture.workload.statements[1].exec_ms = 5e6);
    let found = of(&fixture, "events", Strategy::RangeHash, &["ts", "tenant"]);
    assert!(!found.is_empty() && found.iter().all(|one| one.1.is_some()));
    let layout = found[0].1.as_ref().unwrap();
    assert_eq!(layout.shard_key(), ["ts", "tenant"]);
    assert_eq!(layout.branches().len() + 1, layout.first_level().len(), "DEFAULT is one shard");
    assert!(layout.first_level().len() <= 128, "most of the ranges are planned for a tenant");
    let moduli: std::collections::BTreeSet<u32> = found.iter().map(|one| one.0.division.moduli[0]).collect();
    assert!(moduli.len() > 1, "{moduli:?}");
    // A tenth of the time is too little for a second column.
    assert!(of(&events(400.0), "events", Strategy::RangeHash, &["ts", "tenant"]).is_empty());
}

#[test]
fn two_columns_are_hashed_where_both_are_named() {
    let found = of(&orders(&["tenant", "id"]), "orders", Strategy::Hash, &["tenant", "id"]);
    assert_eq!(generators(&found), [Generator::EqualityPredicate]);
    assert!(found[0].0.legal());
    assert_eq!(found[0].1.as_ref().unwrap().shard_key(), ["tenant", "id"]);
    let apart = orders(&["id"]).with(|fixture| {
        fixture.workload.statements.truncate(1);
    });
    let apart = apart.statement(1e6, 1e6, &[("orders", &[equality("id")])]);
    assert!(of(&apart, "orders", Strategy::Hash, &["tenant", "id"]).is_empty());
}

#[test]
fn pairs_that_many_rows_have_are_placed_by_both_hashes() {
    let both = |share: f64| {
        let fixture = values(orders(&["tenant", "id"]), "orders", "tenant", &[("1", 0.5)], &["2", "9"]);
        values(fixture, "orders", "id", &[("7", 0.5)], &["8", "9"])
            .edit("orders", |table| {
                table.extended_statistics.push(ExtendedStatistics {
                    columns: vec!["id".to_owned(), "tenant".to_owned()],
                    common_values: vec![vec![Some("7".to_owned()), Some("1".to_owned())]],
                    common_fractions: vec![share],
                    ..ExtendedStatistics::default()
                });
            })
            .with(|fixture| {
                fixture.hash_values.insert((name("orders"), "tenant".to_owned()), vec![1]);
                fixture.hash_values.insert((name("orders"), "id".to_owned()), vec![2]);
            })
    };
    let rows = |share: f64| {
        let found = of(&both(share), "orders", Strategy::Hash, &["tenant", "id"]);
        let four = found.iter().find(|one| one.0.division.shard_count() == 4).expect("a modulus of four");
        four.0.division.rows.iter().map(|rows| four.0.division.share(*rows)).collect::<Vec<_>>()
    };
    // 1 ^ (2 + (1 << 54)) is 3 modulo 4.
    let placed = rows(0.4);
    assert!((placed[3] - 0.55).abs() < 1e-9 && (placed[0] - 0.15).abs() < 1e-9, "{placed:?}");
}

#[test]
fn every_modulus_within_the_limits_is_offered_and_the_suitable_one_first() {
    let found = of(&accounts(400.0), "accounts", Strategy::Hash, &["id"]);
    let counts: Vec<usize> = found.iter().map(|one| one.0.division.shard_count()).collect();
    assert_eq!(counts, [64, 2, 4, 8, 16, 32, 128, 256, 512, 1024]);
    let limited = accounts(400.0).with(|fixture| fixture.settings.shards_per_table_max = 20);
    let found = of(&limited, "accounts", Strategy::Hash, &["id"]);
    let counts: Vec<usize> = found.iter().map(|one| one.0.division.shard_count()).collect();
    assert_eq!(counts, [16, 2, 4, 8]);
}

#[test]
fn statements_that_take_no_time_suggest_nothing() {
    let rare = accounts(400.0).statement(1.0, 10.0, &[("accounts", &[equality("born")])]);
    assert!(of(&rare, "accounts", Strategy::Hash, &["born"]).is_empty());
    let often = accounts(400.0).statement(1e5, 1e5, &[("accounts", &[equality("born")])]);
    assert!(!of(&often, "accounts", Strategy::Hash, &["born"]).is_empty());
}

#[test]
fn parents_suggest_the_column_that_they_are_found_by() {
    let lines = [("order_id", "bigint"), ("line", "bigint"), ("tenant", "bigint"), ("id", "bigint")];
    let mut lines = table("lines", &lines).keyed(&["id"]);
    lines.constraints.push(foreign_key("lines_order", &["order_id"], "orders", &["id"]));
    let fixture = orders(&["tenant", "id"]).table(lines, 400.0);
    let fixture = fixture.statement(1e5, 1e5, &[("lines", &[equality("order_id")])]);
    let found = of(&fixture, "lines", Strategy::Hash, &["tenant"]);
    assert_eq!(generators(&found), [Generator::ForeignKeyPath]);
    assert_eq!(generators(&of(&fixture, "lines", Strategy::Hash, &["id"])), [Generator::PrimaryKey]);
    let grouped = fixture.statement(1e5, 1e5, &[("lines", &[Access::of(AccessKind::GroupBy, "line")])]);
    assert_eq!(generators(&of(&grouped, "lines", Strategy::Hash, &["line"])), [Generator::GroupBy]);
}

#[test]
fn retention_suggests_event_time() {
    let kept = events(200.0).with(|fixture| {
        fixture.settings.retention_policy = "drop after 90 days".to_owned();
        fixture.workload.statements.remove(0);
    });
    let found = of(&kept, "events", Strategy::Range, &["ts"]);
    assert_eq!(generators(&found), [Generator::EventTime, Generator::Retention]);
}

#[test]
fn of_a_partitioned_table_the_present_key_is_weighed_too() {
    let partitioned = |key: &str| {
        accounts(400.0).edit("accounts", |table| {
            table.kind = TableKind::Partitioned;
            table.partition_key = Some(key.to_owned());
        })
    };
    let by_hash = of(&partitioned("HASH (id)"), "accounts", Strategy::Hash, &["id"]);
    assert!(generators(&by_hash).contains(&Generator::PresentKey));
    let told = "The table is partitioned by HASH (id) today: the shards would replace its partitions.";
    assert!(by_hash[0].0.verdict.warnings.iter().any(|warning| warning == told));
    let by_list = of(&partitioned("LIST (email)"), "accounts", Strategy::List, &["email"]);
    assert_eq!(generators(&by_list), [Generator::PresentKey]);
    let by_both = of(&partitioned("HASH (id, email)"), "accounts", Strategy::Hash, &["id", "email"]);
    assert_eq!(generators(&by_both), [Generator::PresentKey]);
    let by_expression = ways(&partitioned("HASH (lower(email))"), "accounts");
    assert!(
        by_expression
            .iter()
            .all(|one| !generators(std::slice::from_ref(one)).contains(&Generator::PresentKey))
    );
}

#[test]
fn without_a_workload_only_tables_that_grow_are_cut_by_time() {
    let silent = |updated: f64| {
        events(200.0).with(|fixture| fixture.workload.statements.clear()).edit("events", |table| {
            table.counters.inserted = 1e6;
            table.counters.updated = updated;
            table.constraints.push(constraint("k", ConstraintKind::PrimaryKey, &["id", "ts"]));
        })
    };
    let grows = ways(&silent(0.0), "events");
    assert!(grows.iter().all(|one| generators(std::slice::from_ref(one)) == [Generator::EventTime]));
    assert!(!grows.is_empty() && ways(&silent(1e6), "events").is_empty());
    check(&silent(1e6), "events", "none");
}

#[test]
fn values_that_were_sampled_stand_for_those_of_statements() {
    let sampled = |column: &mut Column| {
        let value = |text: &str| ShownValue { value: text.to_owned(), hash: None };
        column.sampled.push(SampledValues {
            access: Sampled::Equality,
            sampled: 1000,
            executions: 1e6,
            values: 1000,
            frequent: vec![FrequentValue { value: value("900"), count: 900, error: 0 }],
            reservoir: (0..100).map(|at| value(&(10 * at).to_string())).collect(),
            reservoir_of: 1000,
        });
    };
    let asked = orders(&["id"]).statement(1e6, 1e6, &[("orders", &[range("tenant")])]);
    let plain = values(asked, "orders", "tenant", &[("5", 0.5)], &["0", "1000"]);
    let known = plain.clone().edit("orders", |table| edit_column(table, "tenant", sampled));
    let share = |fixture: &Fixture| {
        let found = of(fixture, "orders", Strategy::Range, &["tenant"]);
        let way = found.iter().find(|one| one.0.division.shard_count() > 3).expect("ranges");
        way.0.division.asked.clone()
    };
    let (by_rows, by_samples) = (share(&plain), share(&known));
    assert!((by_rows.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!((by_samples.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let heavy = by_rows.iter().position(|share| *share > 0.5).expect("the heavy value is somewhere");
    assert!(by_samples[heavy] < 0.1, "{by_rows:?} {by_samples:?}");
    assert!(by_samples.iter().any(|share| *share > 0.9));
    // Too few samples say nothing.
    let few = plain.clone().edit("orders", |table| {
        edit_column(table, "tenant", |column| {
            sampled(column);
            column.sampled[0].sampled = 10;
        });
    });
    assert_eq!(share(&few), by_rows);
}
