//! What joins cost, and what two tables gain that are divided alike.

use crate::planning::proposal::cost::Cost;
use crate::planning::proposal::cost::join_gain;
use crate::planning::proposal::cost::join_gain_possible;
use crate::planning::proposal::division::Division;
use crate::planning::proposal::hash;
use crate::planning::proposal::key::ShardKey;
use crate::planning::proposal::stem::stems;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::subject::subjects;
use crate::planning::proposal::tests::fixture::*;

/// Customers and orders of `gigabytes` each, joined whole once an hour.
fn joined(gigabytes: f64) -> Fixture {
    Fixture::new()
        .table(table("customers", &[("id", "bigint"), ("region", "integer")]), gigabytes)
        .table(table("orders", &[("customer", "bigint"), ("number", "bigint")]), gigabytes)
        .statement(
            24.0,
            1e6,
            &[
                ("customers", &[join("id", "app.orders(customer)")]),
                ("orders", &[join("customer", "app.customers(id)")]),
            ],
        )
}

/// What `measure` says of customers and orders, each hashed by a column.
fn measured<R>(
    fixture: &Fixture,
    customers: (&str, u32),
    orders: (&str, u32),
    measure: impl Fn(&crate::planning::proposal::ProposalInput, (&Subject, &Division), (&Subject, &Division)) -> R,
) -> R {
    let input = fixture.input();
    let stems = stems(input.profile);
    let subjects = subjects(&input, &stems, &|| false).unwrap();
    let divided = |subject: &Subject, (column, modulus): (&str, u32)| {
        hash::divide(&input, subject, &[subject.table.column(column).unwrap()], modulus)
    };
    let (a, b) = (&subjects[0], &subjects[1]);
    measure(&input, (a, &divided(a, customers)), (b, &divided(b, orders)))
}

fn gain(fixture: &Fixture, customers: (&str, u32), orders: (&str, u32)) -> f64 {
    measured(fixture, customers, orders, |input, a, b| {
        let (there, back) = (join_gain(input, a.0, a.1, b.0, b.1), join_gain(input, b.0, b.1, a.0, a.1));
        assert!((there - back).abs() < 1e-9 * there.max(1.0), "{there} {back}");
        there
    })
}

fn partitionwise(fixture: Fixture) -> Fixture {
    fixture.with(|fixture| fixture.server.partitionwise_join = true)
}

#[test]
fn aligned_tables_spill_less_if_the_server_joins_by_shards() {
    let on = partitionwise(joined(100.0));
    let by_key = gain(&on, ("id", 64), ("customer", 64));
    assert!(by_key > 0.1, "{by_key}");
    // More memory: what fits whole has nothing to gain but the tie-break.
    let roomy = on.clone().with(|fixture| fixture.server.hash_mem_bytes = 1000.0 * GB);
    assert_eq!(gain(&roomy, ("id", 64), ("customer", 64)), roomy.constants.colocation_gain);
    // More shards: smaller hash tables.
    let large = on.with(|fixture| fixture.server.hash_mem_bytes = GB);
    let (many, few) =
        (gain(&large, ("id", 64), ("customer", 64)), gain(&large, ("id", 16), ("customer", 16)));
    assert!(many > 3.0 * few && few > by_key, "{many} {few}");
}

#[test]
fn a_gain_that_the_server_forgoes_counts_little_and_can_be_named() {
    let off = joined(100.0);
    let credited = gain(&off, ("id", 64), ("customer", 64));
    let possible = measured(&off, ("id", 64), ("customer", 64), |input, a, b| {
        join_gain_possible(input, a.0, a.1, b.0, b.1)
    });
    assert!(credited > 0.0 && credited < 0.1 * possible, "{credited} {possible}");
    let on = gain(&partitionwise(joined(100.0)), ("id", 64), ("customer", 64));
    assert!((on - possible - off.constants.colocation_gain).abs() < 1e-9 * on, "{on} {possible}");
}

#[test]
fn unlike_layouts_gain_nothing() {
    let on = partitionwise(joined(100.0));
    assert_eq!(gain(&on, ("id", 64), ("customer", 32)), 0.0);
    assert_eq!(gain(&on, ("id", 64), ("number", 64)), 0.0, "not the joined column");
    let other_type = on.clone().edit("orders", |table| table.columns[0] = column("customer", "integer"));
    assert_eq!(gain(&other_type, ("id", 64), ("customer", 64)), 0.0);
    let whole = measured(&on, ("id", 64), ("customer", 64), |input, a, b| {
        join_gain(input, a.0, &Division::whole(1.0), b.0, &Division::whole(1.0))
    });
    assert_eq!(whole, 0.0);
    let unrelated = on.with(|fixture| fixture.workload.statements.clear());
    assert_eq!(gain(&unrelated, ("id", 64), ("customer", 64)), 0.0);
}

#[test]
fn shards_of_two_levels_are_alike_on_both() {
    let on = partitionwise(joined(100.0));
    let gain = |customers: u32, orders: u32| {
        measured(&on, ("id", 8), ("customer", 8), |input, a, b| {
            let cut = |division: &Division, modulus: u32| {
                let key = ShardKey { second: division.key.first.clone(), ..division.key.clone() };
                division.clone().hashed(key, vec![modulus; 8], 0.0)
            };
            join_gain(input, a.0, &cut(a.1, customers), b.0, &cut(b.1, orders))
        })
    };
    assert!(gain(4, 4) > 0.0);
    assert_eq!(gain(4, 2), 0.0);
}

#[test]
fn a_foreign_key_alone_breaks_ties() {
    let linked = joined(100.0).with(|fixture| fixture.workload.statements.clear()).edit("orders", |table| {
        table.constraints.push(foreign_key("orders_customer", &["customer"], "customers", &["id"]));
    });
    assert_eq!(gain(&linked, ("id", 64), ("customer", 64)), linked.constants.colocation_gain);
    assert_eq!(gain(&linked, ("id", 64), ("number", 64)), 0.0);
}

#[test]
fn a_join_costs_what_it_hashes_and_what_does_not_fit() {
    let join_term = |fixture: &Fixture| {
        measured(fixture, ("id", 64), ("customer", 64), |input, a, _| {
            let divided = Cost::of(input, a.0, a.1).join;
            assert_eq!(divided, Cost::of(input, a.0, &Division::whole(a.0.size.rows)).join);
            divided
        })
    };
    let fits = joined(100.0).with(|fixture| fixture.server.hash_mem_bytes = 1000.0 * GB);
    let (spills, fits) = (join_term(&joined(100.0)), join_term(&fits));
    assert!(fits > 0.0 && spills > 1.5 * fits, "{spills} {fits}");
    // Rows that another table's rows look up one by one are not hashed.
    let looked_up = Fixture::new()
        .table(table("customers", &[("id", "bigint"), ("region", "integer")]).keyed(&["id"]), 100.0)
        .table(table("orders", &[("customer", "bigint"), ("number", "bigint")]), 100.0)
        .statement(
            24.0,
            1e6,
            &[
                ("customers", &[join("id", "app.orders(customer)")]),
                ("orders", &[join("customer", "app.customers(id)"), equality("number")]),
            ],
        );
    assert_eq!(join_term(&looked_up), 0.0);
}
