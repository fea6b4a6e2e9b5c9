//! Tables that are joined on their keys, and bounds on the calendar.

use crate::model::bound::Bound;
use crate::planning::forecast::Observation;
use crate::planning::proposal::tests::fixture::*;

/// Customers and their orders, hashed by customer; sizes in GB.
fn shop(customers: f64, orders: f64, order_key: &str) -> Fixture {
    let mut order =
        table("orders", &[("customer", order_key), ("number", "bigint")]).keyed(&["customer", "number"]);
    order.constraints.push(foreign_key("orders_customer", &["customer"], "customers", &["id"]));
    Fixture::new()
        .table(table("customers", &[("id", "bigint")]).keyed(&["id"]), customers)
        .table(order, orders)
        .statement(1e6, 1e6, &[("customers", &[equality("id")])])
        .statement(1e6, 1e6, &[("orders", &[equality("customer")])])
}

#[test]
fn joined_tables_get_the_same_modulus() {
    let fixture = shop(100.0, 400.0, "bigint");
    let customers = check(&fixture, "customers", "hash(id) x 64");
    let orders = check(&fixture, "orders", "hash(customer) x 64");
    assert_eq!((customers.colocation_group, orders.colocation_group), (Some(1), Some(1)));
    assert!(customers.warnings.iter().any(|warning| warning.contains("enable_partitionwise_join = on")));
    // Of another type, PostgreSQL would not join them shard by shard.
    let other = shop(100.0, 400.0, "integer");
    assert_eq!(check(&other, "customers", "hash(id) x 16").colocation_group, None);
    // A small table is left whole.
    let small = shop(0.5, 400.0, "bigint");
    check(&small, "customers", "none");
    assert_eq!(small.relation("orders").colocation_group, None);
}

#[test]
fn tables_without_a_join_stand_alone() {
    let fixture = shop(100.0, 400.0, "bigint").edit("orders", |table| {
        table.constraints.retain(|found| found.references.is_none());
    });
    check(&fixture, "customers", "hash(id) x 16");
    let joined = fixture.statement(
        1.0,
        1.0,
        &[
            ("customers", &[join("id", "app.orders(customer)")]),
            ("orders", &[join("customer", "app.customers(id)")]),
        ],
    );
    assert_eq!(check(&joined, "customers", "hash(id) x 64").colocation_group, Some(1));
}

#[test]
fn ranges_get_the_same_bounds_if_it_costs_little() {
    let two = |a: f64, b: f64| {
        let columns = [("ts", "timestamp with time zone"), ("x", "bigint")];
        Fixture::new().table(table("a", &columns), a).table(table("b", &columns), b).statement(
            8640.0,
            1e6,
            &[("a", &[range("ts"), join("ts", "app.b(ts)")]), ("b", &[range("ts"), join("ts", "app.a(ts)")])],
        )
    };
    let same = two(40.0, 40.0).with(|fixture| {
        // One table is younger: its first shards are empty.
        let growth = fixture.growth.get_mut(&name("b")).unwrap();
        let curve = &mut growth.event_time.as_mut().unwrap().curve;
        curve.retain(|seen: &Observation| seen.at >= micros("2025-03-05"));
    });
    let (a, b) = (same.relation("a"), same.relation("b"));
    assert_eq!((a.colocation_group, b.colocation_group), (Some(1), Some(1)));
    let bounds = |found: &crate::planning::proposal::RelationProposal| -> Vec<Bound> {
        found.layout.as_ref().unwrap().shards().iter().map(|shard| shard.bound.clone()).collect()
    };
    assert_eq!(bounds(&a), bounds(&b));
    // Weeks for one, years for the other: not worth it.
    let unlike = two(2000.0, 4.0);
    assert_eq!(unlike.relation("a").colocation_group, None);
}

#[test]
fn bounds_lie_on_the_calendar() {
    let over = |from: &str, to: &str, gigabytes: f64, kind: &str| {
        let fixture = Fixture::new()
            .table(table("t", &[("ts", kind)]), gigabytes)
            .statement(8640.0, 1e6, &[("t", &[range("ts")])])
            .with(|fixture| {
                fixture.horizon_days = 1;
                let growth = fixture.growth.get_mut(&name("t")).unwrap();
                growth.origin = micros(to);
                let seen = |at: &str, value| Observation { at: micros(at), value };
                growth.event_time.as_mut().unwrap().curve = vec![seen(from, 0.0), seen(to, 1.0)];
            });
        let found = fixture.relation("t");
        let shards = found.layout.unwrap().shards().to_vec();
        let last = shards[shards.len() - 2].bound.sql();
        (shards[0].bound.sql(), last)
    };
    let months = over("2024-01-31 12:00:00", "2024-12-30 00:00:00", 40.0, "timestamp without time zone");
    assert_eq!(months.0, "FOR VALUES FROM ('2024-01-01 00:00:00') TO ('2024-02-01 00:00:00')");
    // The week of that Monday ends in January.
    assert_eq!(months.1, "FOR VALUES FROM ('2025-03-01 00:00:00') TO ('2025-04-01 00:00:00')");
    let quarters = over("2024-02-29", "2025-11-30", 10.0, "date");
    assert_eq!(quarters.0, "FOR VALUES FROM ('2024-01-01') TO ('2024-04-01')");
    assert_eq!(quarters.1, "FOR VALUES FROM ('2026-04-01') TO ('2026-07-01')");
    let weeks = over("2021-01-01", "2021-06-30", 60.0, "date");
    assert_eq!(weeks.0, "FOR VALUES FROM ('2020-12-28') TO ('2021-01-04')");
    let years = over("1999-12-31", "2024-02-29", 30.0, "date");
    assert_eq!(years.0, "FOR VALUES FROM ('1999-01-01') TO ('2000-01-01')");
    assert_eq!(years.1, "FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')");
    let hours = over("2026-01-01", "2026-01-03", 200.0, "timestamp with time zone");
    assert_eq!(hours.0, "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-01-01 01:00:00+00')");
}

#[test]
fn outliers_go_to_the_default_shard() {
    let outlier = events(40.0).with(|fixture| {
        let growth = fixture.growth.get_mut(&name("events")).unwrap();
        let curve = &mut growth.event_time.as_mut().unwrap().curve;
        let total = curve[curve.len() - 1].value;
        curve.insert(0, Observation { at: micros("1900-01-01"), value: 0.0 });
        curve[1].value = total * 0.001;
    });
    let found = outlier.relation("events");
    assert!(found.layout.as_ref().unwrap().shards().len() < 25, "{}", shape(&found));
    assert!(found.warnings.iter().any(|warning| warning.contains("go to the default shard")));
}

#[test]
fn shards_ahead_start_where_the_data_end() {
    // Twelve months of 2013 in a profile of 2026.
    let stale = events(40.0).with(|fixture| {
        let growth = fixture.growth.get_mut(&name("events")).unwrap();
        growth.origin = micros("2013-12-31 23:00:00");
        growth.stale = true;
        let day = |day: i64| Observation { at: micros("2013-01-01 05:00:00") + day * DAY, value: day as f64 };
        growth.event_time.as_mut().unwrap().curve = (0..365).map(day).collect();
    });
    let expected = "range(ts) x 16, FOR VALUES FROM ('2013-01-01 00:00:00+00') TO ('2013-02-01 00:00:00+00')";
    let found = check(&stale, "events", expected);
    let shards = found.layout.unwrap().shards().to_vec();
    assert_eq!(shards.iter().filter(|shard| shard.future).count(), 3);
    assert_eq!(
        shards[14].bound.sql(),
        "FOR VALUES FROM ('2014-03-01 00:00:00+00') TO ('2014-04-01 00:00:00+00')"
    );
    assert!(shards[12].rows > 0.0 && shards[12].bytes > 0.0, "the rate goes on");
    assert!(found.skew < 0.3, "{}", found.skew);
    let told = "The newest value of ts is 12.0 years older than the profile: shards ahead start there.";
    assert!(found.warnings.iter().any(|warning| warning == told), "{:?}", found.warnings);
}

#[test]
fn a_column_that_does_not_follow_time_ends_with_its_values() {
    let shipped = Fixture::new()
        .table(table("lines", &[("shipped", "date")]), 100.0)
        .statement(8640.0, 1e6, &[("lines", &[range("shipped")])])
        .edit("lines", |table| {
            if let Some(found) = &mut table.columns[0].statistics {
                found.histogram = ["1992-01-02", "1995-06-17", "1998-12-01"].map(str::to_owned).to_vec();
                found.null_fraction = 0.05;
            }
        });
    let expected = "range(shipped) x 87, FOR VALUES FROM ('1992-01-01') TO ('1992-02-01')";
    let found = check(&shipped, "lines", expected);
    let shards = found.layout.unwrap().shards().to_vec();
    assert_eq!(shards[85].bound.sql(), "FOR VALUES FROM ('1999-02-01') TO ('1999-03-01')");
    let total: f64 = shards.iter().map(|shard| shard.rows).sum();
    assert!((shards[86].rows / total - 0.05).abs() < 1e-6, "NULLs go to DEFAULT");
    let told = "The newest value of shipped is 27.1 years older than the profile: shards ahead start there.";
    assert!(found.warnings.iter().any(|warning| warning == told), "{:?}", found.warnings);
}
