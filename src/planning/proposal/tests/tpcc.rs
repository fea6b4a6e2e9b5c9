//! A wholesaler as in TPC-C: everything happens at a warehouse.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::key::Strategy;
use crate::model::profile::Counters;
use crate::planning::proposal::tests::fixture::*;

/// The tables with their columns and primary keys, rows per warehouse, bytes
/// of a row with its index entries, and distinct values of columns: per
/// warehouse if negative.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    f64,
    f64,
    &'static [(&'static str, f64)],
);

const TABLES: &[Row] = &[
    ("warehouse", &["w_id"], &["w_id"], 1.0, 400.0, &[("w_id", -1.0)]),
    ("district", &["d_w_id", "d_id"], &["d_w_id", "d_id"], 10.0, 300.0, &[("d_w_id", -1.0), ("d_id", 10.0)]),
    (
        "customer",
        &["c_w_id", "c_d_id", "c_id", "c_last"],
        &["c_w_id", "c_d_id", "c_id"],
        30_000.0,
        750.0,
        &[("c_w_id", -1.0), ("c_d_id", 10.0), ("c_id", 3000.0), ("c_last", 1000.0)],
    ),
    (
        "history",
        &["h_c_id", "h_c_d_id", "h_c_w_id", "h_d_id", "h_w_id"],
        &[],
        30_000.0,
        80.0,
        &[("h_c_id", 3000.0), ("h_c_d_id", 10.0), ("h_c_w_id", -1.0), ("h_d_id", 10.0), ("h_w_id", -1.0)],
    ),
    (
        "new_order",
        &["no_w_id", "no_d_id", "no_o_id"],
        &["no_w_id", "no_d_id", "no_o_id"],
        9000.0,
        80.0,
        &[("no_w_id", -1.0), ("no_d_id", 10.0), ("no_o_id", 900.0)],
    ),
    (
        "orders",
        &["o_w_id", "o_d_id", "o_id", "o_c_id"],
        &["o_w_id", "o_d_id", "o_id"],
        30_000.0,
        130.0,
        &[("o_w_id", -1.0), ("o_d_id", 10.0), ("o_id", 3000.0), ("o_c_id", 3000.0)],
    ),
    (
        "order_line",
        &["ol_w_id", "ol_d_id", "ol_o_id", "ol_number", "ol_supply_w_id", "ol_i_id"],
        &["ol_w_id", "ol_d_id", "ol_o_id", "ol_number"],
        300_000.0,
        140.0,
        &[
            ("ol_w_id", -1.0),
            ("ol_d_id", 10.0),
            ("ol_o_id", 3000.0),
            ("ol_number", 10.0),
            ("ol_supply_w_id", -1.0),
            ("ol_i_id", 100_000.0),
        ],
    ),
    (
        "stock",
        &["s_w_id", "s_i_id"],
        &["s_w_id", "s_i_id"],
        100_000.0,
        380.0,
        &[("s_w_id", -1.0), ("s_i_id", 100_000.0)],
    ),
    ("item", &["i_id"], &["i_id"], 0.0, 110.0, &[("i_id", 100_000.0)]),
];

const KEYS: &[(&str, &[&str], &str, &[&str])] = &[
    ("district", &["d_w_id"], "warehouse", &["w_id"]),
    ("customer", &["c_w_id", "c_d_id"], "district", &["d_w_id", "d_id"]),
    ("history", &["h_c_w_id", "h_c_d_id", "h_c_id"], "customer", &["c_w_id", "c_d_id", "c_id"]),
    ("history", &["h_w_id", "h_d_id"], "district", &["d_w_id", "d_id"]),
    ("new_order", &["no_w_id", "no_d_id", "no_o_id"], "orders", &["o_w_id", "o_d_id", "o_id"]),
    ("orders", &["o_w_id", "o_d_id", "o_c_id"], "customer", &["c_w_id", "c_d_id", "c_id"]),
    ("order_line", &["ol_w_id", "ol_d_id", "ol_o_id"], "orders", &["o_w_id", "o_d_id", "o_id"]),
    ("order_line", &["ol_supply_w_id", "ol_i_id"], "stock", &["s_w_id", "s_i_id"]),
    ("stock", &["s_w_id"], "warehouse", &["w_id"]),
    ("stock", &["s_i_id"], "item", &["i_id"]),
];

/// Tables of so many warehouses, without statements.
fn tables(warehouses: f64) -> Fixture {
    let mut fixture = Fixture::new();
    for (name, columns, primary, rows, width, distinct) in TABLES {
        let typed: Vec<_> = columns.iter().map(|column| (*column, "integer")).collect();
        let mut table = table(name, &typed);
        if !primary.is_empty() {
            table = table.keyed(primary);
        }
        for (from, columns, target, referenced) in KEYS.iter().filter(|key| key.0 == *name) {
            let key = format!("{from}_{target}_{}", columns.len());
            table.constraints.push(foreign_key(&key, columns, target, referenced));
        }
        let rows = if *name == "item" { 100_000.0 } else { rows * warehouses };
        for (column, values) in *distinct {
            let found = table.columns.iter_mut().find(|found| found.name == *column).unwrap();
            let values = if *values < 0.0 { -values * warehouses } else { *values };
            if let Some(statistics) = &mut found.statistics {
                statistics.distinct = values;
                statistics.width = 4.0;
            }
        }
        table.counters = Counters { inserted: rows, ..Counters::default() };
        let bytes = rows * width;
        (table.rows, table.heap_bytes, table.index_bytes) = (rows, bytes * 0.8, bytes * 0.2);
        let mut growth = growth(&table, bytes, 0.1);
        growth.rows_now = rows;
        let grown = &mut growth.rows[0];
        (grown.value, grown.lower, grown.upper) = (rows * 1.1, rows, rows * 1.2);
        fixture.growth.insert(table.name(), growth);
        fixture.profile.tables.push(table);
    }
    fixture
}

fn insert() -> Access {
    Access { columns: Vec::new(), ..Access::of(AccessKind::Insert, "") }
}

fn update(column: &str) -> Access {
    Access::of(AccessKind::Update, column)
}

/// The five transactions, so many of all kinds a second.
fn transactions(mut fixture: Fixture, per_second: f64) -> Fixture {
    let mut add = |share: f64, mentions: &[(&str, &[Access])]| {
        let calls = per_second * share * 86_400.0;
        fixture = fixture.clone().statement(calls, calls * 0.1, mentions);
    };
    let (new_order, payment, rare) = (0.45, 0.43, 0.04);
    let customer = [equality("c_w_id"), equality("c_d_id"), equality("c_id")];
    let by_name = [equality("c_w_id"), equality("c_d_id"), equality("c_last")];
    let district = [equality("d_w_id"), equality("d_id")];
    let lines = [equality("ol_w_id"), equality("ol_d_id"), equality("ol_o_id")];
    let stock = [equality("s_w_id"), equality("s_i_id")];
    // New order.
    add(new_order, &[("customer", &customer)]);
    add(new_order, &[("warehouse", &[equality("w_id")])]);
    add(new_order, &[("district", &district)]);
    add(new_order, &[("district", &[district.as_slice(), &[update("d_next_o_id")]].concat())]);
    add(new_order, &[("orders", &[insert()])]);
    add(new_order, &[("new_order", &[insert()])]);
    add(new_order * 10.0, &[("item", &[equality("i_id")])]);
    add(new_order * 10.0, &[("stock", &stock)]);
    add(new_order * 10.0, &[("stock", &[stock.as_slice(), &[update("s_quantity")]].concat())]);
    add(new_order * 10.0, &[("order_line", &[insert()])]);
    // Payment.
    add(payment, &[("warehouse", &[equality("w_id"), update("w_ytd")])]);
    add(payment, &[("district", &[district.as_slice(), &[update("d_ytd")]].concat())]);
    add(payment * 0.6, &[("customer", &by_name)]);
    add(payment, &[("customer", &[customer.as_slice(), &[update("c_balance")]].concat())]);
    add(payment, &[("history", &[insert()])]);
    // Order status.
    add(rare, &[("orders", &[equality("o_w_id"), equality("o_d_id"), equality("o_c_id")])]);
    add(rare, &[("order_line", &lines)]);
    // Delivery.
    let delete = Access { columns: Vec::new(), ..Access::of(AccessKind::Delete, "") };
    let next = [equality("no_w_id"), equality("no_d_id")];
    let order = [equality("o_w_id"), equality("o_d_id"), equality("o_id")];
    add(rare * 10.0, &[("new_order", &next)]);
    add(rare * 10.0, &[("new_order", &[next.as_slice(), &[equality("no_o_id"), delete]].concat())]);
    add(rare * 10.0, &[("orders", &[order.as_slice(), &[update("o_carrier_id")]].concat())]);
    add(rare * 10.0, &[("order_line", &[lines.as_slice(), &[update("ol_delivery_d")]].concat())]);
    // Stock level.
    let recent =
        [equality("ol_w_id"), equality("ol_d_id"), range("ol_o_id"), join("ol_i_id", "app.stock(s_i_id)")];
    let low = [equality("s_w_id"), join("s_i_id", "app.order_line(ol_i_id)")];
    add(rare, &[("order_line", &recent), ("stock", &low)]);
    fixture
}

/// Strategy, key, shards and group of every table.
fn told(fixture: &Fixture) -> Vec<String> {
    let proposal = fixture.propose().unwrap();
    let line = |found: &crate::planning::proposal::RelationProposal| {
        format!("{} {} {:?}", found.relation.name, shape(found), found.colocation_group)
    };
    proposal.relations.iter().map(line).collect()
}

#[test]
fn all_but_the_items_are_hashed_by_warehouse_together() {
    let expected = [
        "customer hash(c_w_id) x 8 Some(1)",
        "district hash(d_w_id) x 8 Some(1)",
        "history hash(h_c_w_id) x 8 Some(1)",
        "item none None",
        "new_order hash(no_w_id) x 8 Some(1)",
        "order_line hash(ol_w_id) x 8 Some(1)",
        "orders hash(o_w_id) x 8 Some(1)",
        "stock hash(s_w_id) x 8 Some(1)",
        "warehouse hash(w_id) x 8 Some(1)",
    ];
    for per_second in [20.0, 100.0, 1000.0] {
        assert_eq!(told(&transactions(tables(1000.0), per_second)), expected, "{per_second}");
    }
}

/// The modulus on which all sharded tables agree, if eight are hashed by
/// warehouse in one group and the items are left whole; else what there is.
fn agreed(fixture: &Fixture) -> Result<u32, String> {
    let told = told(fixture);
    let mut found = None;
    for line in &told {
        let words: Vec<&str> = line.split(' ').collect();
        let sound = match words[..] {
            ["item", "none", "None"] => true,
            [_, key, "x", modulus, "Some(1)"] if key.starts_with("hash(") && key.ends_with("w_id)") => {
                let modulus = modulus.parse::<u32>().ok();
                modulus.is_some() && *found.get_or_insert(modulus) == modulus
            }
            _ => false,
        };
        if !sound {
            return Err(told.join("\n"));
        }
    }
    found.flatten().ok_or_else(|| told.join("\n"))
}

#[test]
fn they_are_one_group_at_every_size_and_rate() {
    for warehouses in [300.0, 1000.0, 5000.0, 20_000.0] {
        for per_second in [1.0, 10.0, 100.0, 1000.0] {
            let found = agreed(&transactions(tables(warehouses), per_second));
            match found {
                Ok(modulus) => assert!((4..=128).contains(&modulus), "{warehouses} {per_second}: {modulus}"),
                Err(told) => panic!("{warehouses} warehouses, {per_second} transactions a second:\n{told}"),
            }
        }
    }
    // Too small for any.
    for per_second in [1.0, 10.0, 100.0, 1000.0] {
        let told = told(&transactions(tables(100.0), per_second));
        assert!(told.iter().all(|line| line.ends_with(" none None")), "{told:?}");
    }
}

#[test]
fn a_small_wholesaler_stays_whole() {
    // 12 warehouses: a gigabyte.
    let proposal = transactions(tables(12.0), 20.0).propose().unwrap();
    assert!(proposal.relations.iter().all(|found| found.strategy == Strategy::None));
}
