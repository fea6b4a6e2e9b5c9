//! The queries of TPC-H at scale 100, as PostgreSQL's analysis reads them.

use crate::model::access::Access;
use crate::model::access::AccessKind;
use crate::model::settings::UniquePolicy;
use crate::planning::proposal::tests::fixture::*;

/// What the analysis says of each query.
const QUERIES: &str = include_str!("../../../pg/analyze/tests/tpch.txt");

/// The tables with their columns and types, primary keys, millions of rows at
/// scale 100, and bytes of a row with its index entries.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], f64, f64);

const TABLES: &[Row] = &[
    ("region", &[("r_regionkey", "integer"), ("r_name", "text")], &["r_regionkey"], 5e-6, 120.0),
    (
        "nation",
        &[("n_nationkey", "integer"), ("n_regionkey", "integer"), ("n_name", "text")],
        &["n_nationkey"],
        25e-6,
        120.0,
    ),
    ("supplier", &[("s_suppkey", "integer"), ("s_nationkey", "integer")], &["s_suppkey"], 1.0, 180.0),
    (
        "customer",
        &[("c_custkey", "integer"), ("c_nationkey", "integer"), ("c_mktsegment", "text")],
        &["c_custkey"],
        15.0,
        190.0,
    ),
    (
        "part",
        &[("p_partkey", "integer"), ("p_size", "integer"), ("p_brand", "text"), ("p_container", "text")],
        &["p_partkey"],
        20.0,
        180.0,
    ),
    (
        "partsupp",
        &[("ps_partkey", "integer"), ("ps_suppkey", "integer")],
        &["ps_partkey", "ps_suppkey"],
        80.0,
        180.0,
    ),
    (
        "orders",
        &[
            ("o_orderkey", "bigint"),
            ("o_custkey", "integer"),
            ("o_orderdate", "date"),
            ("o_orderstatus", "text"),
        ],
        &["o_orderkey"],
        150.0,
        140.0,
    ),
    (
        "lineitem",
        &[
            ("l_orderkey", "bigint"),
            ("l_linenumber", "integer"),
            ("l_partkey", "integer"),
            ("l_suppkey", "integer"),
            ("l_shipdate", "date"),
            ("l_receiptdate", "date"),
            ("l_quantity", "numeric"),
            ("l_discount", "numeric"),
            ("l_shipmode", "text"),
            ("l_returnflag", "text"),
        ],
        &["l_orderkey", "l_linenumber"],
        600.0,
        160.0,
    ),
];

const KEYS: &[(&str, &[&str], &str, &[&str])] = &[
    ("nation", &["n_regionkey"], "region", &["r_regionkey"]),
    ("supplier", &["s_nationkey"], "nation", &["n_nationkey"]),
    ("customer", &["c_nationkey"], "nation", &["n_nationkey"]),
    ("partsupp", &["ps_partkey"], "part", &["p_partkey"]),
    ("partsupp", &["ps_suppkey"], "supplier", &["s_suppkey"]),
    ("orders", &["o_custkey"], "customer", &["c_custkey"]),
    ("lineitem", &["l_orderkey"], "orders", &["o_orderkey"]),
    ("lineitem", &["l_partkey", "l_suppkey"], "partsupp", &["ps_partkey", "ps_suppkey"]),
];

/// Distinct values, millions; other columns have a few thousand at most.
const DISTINCT: &[(&str, f64)] = &[
    ("s_suppkey", 1.0),
    ("c_custkey", 15.0),
    ("p_partkey", 20.0),
    ("ps_partkey", 20.0),
    ("ps_suppkey", 1.0),
    ("o_orderkey", 150.0),
    ("o_custkey", 10.0),
    ("l_orderkey", 150.0),
    ("l_partkey", 20.0),
    ("l_suppkey", 1.0),
    ("o_orderdate", 0.0024),
    ("l_shipdate", 0.0025),
    ("l_receiptdate", 0.0025),
];

fn tables() -> Fixture {
    let mut fixture = Fixture::new();
    for (name, columns, primary, millions, width) in TABLES {
        let mut table = table(name, columns).keyed(primary);
        for (from, columns, target, referenced) in KEYS.iter().filter(|key| key.0 == *name) {
            let key = format!("{from}_{target}");
            table.constraints.push(foreign_key(&key, columns, target, referenced));
        }
        for column in &mut table.columns {
            let millions =
                DISTINCT.iter().find(|found| found.0 == column.name).map_or(25e-6, |found| found.1);
            let Some(statistics) = &mut column.statistics else { continue };
            statistics.distinct = millions * 1e6;
            if column.type_name.text == "date" {
                statistics.histogram = (1992..1999)
                    .map(|year| format!("{year}-01-02"))
                    .chain(["1998-12-01".to_owned()])
                    .collect();
            }
        }
        let (rows, bytes) = (millions * 1e6, millions * 1e6 * width);
        (table.rows, table.heap_bytes, table.index_bytes) = (rows, bytes * 0.85, bytes * 0.15);
        let mut growth = growth(&table, bytes, 0.1);
        growth.rows_now = rows;
        let grown = &mut growth.rows[0];
        (grown.value, grown.lower, grown.upper) = (rows * 1.1, rows, rows * 1.2);
        fixture.growth.insert(table.name(), growth);
        fixture.profile.tables.push(table);
    }
    fixture
}

/// One line of the analysis: a table and what a query does to its columns.
fn access(line: &str) -> Option<(&str, Access)> {
    let (table, rest) = line.split_once(": ")?;
    let (word, rest) = rest.split_once('(')?;
    let (columns, rest) = rest.split_once(')')?;
    let kinds = [
        AccessKind::Equality,
        AccessKind::InList,
        AccessKind::Range,
        AccessKind::Prefix,
        AccessKind::Join,
        AccessKind::GroupBy,
        AccessKind::OrderBy,
    ];
    let kind = kinds.into_iter().find(|kind| kind.word() == word)?;
    let (rest, reason) = rest.split_once(" - ").map_or((rest, None), |(rest, reason)| (rest, Some(reason)));
    let words: Vec<&str> = rest.split_whitespace().collect();
    let constants =
        words.iter().find(|word| word.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase()));
    let mut found = Access::of(kind, "");
    found.columns = columns.split(", ").map(str::to_owned).collect();
    found.prunable = !words.contains(&"unpruned");
    (found.lower, found.upper) = (words.contains(&"lower"), words.contains(&"upper"));
    found.reason = reason.map(|other| format!("app.{other}"));
    found.constants = constants.map_or(Vec::new(), |found| found.split('|').map(str::to_owned).collect());
    Some((table, found))
}

/// All queries, each so often a day.
fn queries(mut fixture: Fixture, a_day: f64) -> Fixture {
    let mut read = 0;
    for block in QUERIES.split("\n\n") {
        let mut mentions: Vec<(&str, Vec<Access>)> = Vec::new();
        for (table, access) in block.lines().filter_map(|line| access(line.strip_prefix("    ")?)) {
            read += 1;
            match mentions.iter_mut().find(|mention| mention.0 == table) {
                Some(mention) => mention.1.push(access),
                None => mentions.push((table, vec![access])),
            }
        }
        let mentions: Vec<(&str, &[Access])> =
            mentions.iter().map(|(table, accesses)| (*table, accesses.as_slice())).collect();
        if !mentions.is_empty() {
            fixture = fixture.statement(a_day, a_day * 1e5, &mentions);
        }
    }
    assert!(read > 150, "{read} accesses");
    fixture
}

#[test]
fn orders_and_their_lines_lie_together_where_keys_stay_as_they_are() {
    let fixture = queries(tables(), 10.0).with(|fixture| {
        fixture.server.partitionwise_join = true;
        fixture.server.hash_mem_bytes = GB;
    });
    let (orders, lines) = (fixture.relation("orders"), fixture.relation("lineitem"));
    let count = orders.layout.as_ref().map_or(1, |layout| layout.shards().len());
    assert_eq!(shape(&orders), format!("hash(o_orderkey) x {count}"), "{:?}", orders.reason);
    assert_eq!(shape(&lines), format!("hash(l_orderkey) x {count}"), "{:?}", lines.reason);
    assert!(orders.colocation_group.is_some() && orders.colocation_group == lines.colocation_group);
    check(&fixture, "nation", "none");
    check(&fixture, "region", "none");
}

#[test]
fn lines_are_cut_by_ship_date_where_keys_may_be_extended() {
    let fixture =
        queries(tables(), 10.0).with(|fixture| fixture.settings.unique_policy = UniquePolicy::Extend);
    let lines = fixture.relation("lineitem");
    // Perhaps the ranges are hashed.
    let key = lines.layout.as_ref().map_or("", |layout| layout.shard_key()[0].as_str());
    assert!(shape(&lines).starts_with("range") && key == "l_shipdate", "{} {}", shape(&lines), lines.reason);
    assert!(lines.rows_scanned_share < 0.75, "{}", lines.rows_scanned_share);
}
