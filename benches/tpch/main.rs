//! Writes the tables of TPC-H as files for COPY (text, `|`), and its queries.
//!
//! Usage: `tpch FOLDER SCALE`. The data and the queries are those of crate
//! `tpchgen`; parameters are the specification's validation values. Not here:
//! a server. Invariant: the same scale gives the same bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot write has failed")]

use std::fmt::Display;
use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;

use tpchgen::generators::CustomerGenerator;
use tpchgen::generators::LineItemGenerator;
use tpchgen::generators::NationGenerator;
use tpchgen::generators::OrderGenerator;
use tpchgen::generators::PartGenerator;
use tpchgen::generators::PartSuppGenerator;
use tpchgen::generators::RegionGenerator;
use tpchgen::generators::SupplierGenerator;
use tpchgen::q_and_a::queries;

/// Values of `:1`, `:2` … of each query (TPC-H 3.0.1, "Query Validation").
const PARAMETERS: [&[&str]; 22] = [
    &["90"],
    &["15", "BRASS", "EUROPE"],
    &["BUILDING", "1995-03-15"],
    &["1993-07-01"],
    &["ASIA", "1994-01-01"],
    &["1994-01-01", "0.06", "24"],
    &["FRANCE", "GERMANY"],
    &["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"],
    &["green"],
    &["1993-10-01"],
    &["GERMANY", "0.0001"],
    &["MAIL", "SHIP", "1994-01-01"],
    &["special", "requests"],
    &["1995-09-01"],
    &["1996-01-01"],
    &["Brand#45", "MEDIUM POLISHED", "49", "14", "23", "45", "19", "3", "36", "9"],
    &["Brand#23", "MED BOX"],
    &["300"],
    &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
    &["forest", "1994-01-01", "CANADA"],
    &["SAUDI ARABIA"],
    &["13", "31", "23", "29", "30", "18", "17"],
];

fn main() {
    // Cargo passes `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| !one.starts_with("--")).collect();
    let [folder, scale] = arguments.as_slice() else {
        println!("usage: tpch FOLDER SCALE");
        return;
    };
    let (folder, scale) = (Path::new(folder), scale.parse::<f64>().unwrap());
    std::fs::create_dir_all(folder).unwrap();
    table(folder, "region", RegionGenerator::new(scale, 1, 1).iter());
    table(folder, "nation", NationGenerator::new(scale, 1, 1).iter());
    table(folder, "supplier", SupplierGenerator::new(scale, 1, 1).iter());
    table(folder, "part", PartGenerator::new(scale, 1, 1).iter());
    table(folder, "partsupp", PartSuppGenerator::new(scale, 1, 1).iter());
    table(folder, "customer", CustomerGenerator::new(scale, 1, 1).iter());
    table(folder, "orders", OrderGenerator::new(scale, 1, 1).iter());
    table(folder, "lineitem", LineItemGenerator::new(scale, 1, 1).iter());
    for (number, (query, values)) in (1..).zip(all_queries().into_iter().zip(PARAMETERS)) {
        std::fs::write(folder.join(format!("q{number:02}.sql")), filled(query, values)).unwrap();
    }
}

/// One row a line, without the separator that TBL has at its end.
fn table(folder: &Path, name: &str, rows: impl Iterator<Item = impl Display>) {
    let mut file = BufWriter::new(File::create(folder.join(format!("{name}.tbl"))).unwrap());
    for row in rows {
        let line = row.to_string();
        writeln!(file, "{}", line.strip_suffix('|').unwrap_or(&line)).unwrap();
    }
    file.flush().unwrap();
}

fn all_queries() -> [&'static str; 22] {
    [
        queries::Q1,
        queries::Q2,
        queries::Q3,
        queries::Q4,
        queries::Q5,
        queries::Q6,
        queries::Q7,
        queries::Q8,
        queries::Q9,
        queries::Q10,
        queries::Q11,
        queries::Q12,
        queries::Q13,
        queries::Q14,
        queries::Q15,
        queries::Q16,
        queries::Q17,
        queries::Q18,
        queries::Q19,
        queries::Q20,
        queries::Q21,
        queries::Q22,
    ]
}

/// The query with its parameters filled in, the last ones first: `:10` begins
/// like `:1`.
fn filled(query: &str, values: &[&str]) -> String {
    let mut text = query.trim().to_owned();
    for (at, value) in values.iter().enumerate().rev() {
        text = text.replace(&format!(":{}", at + 1), value);
    }
    // PostgreSQL knows no precision of days, and a view would outlive the query.
    text = text.replace(" day (3)", " day");
    if text.starts_with("create view") { AS_VIEW.replace(":1", values[0]) } else { text }
}

/// Q15 in the specification's variant without a view.
const AS_VIEW: &str = "with revenue (supplier_no, total_revenue) as (
    select l_suppkey, sum(l_extendedprice * (1 - l_discount)) from lineitem
    where l_shipdate >= date ':1' and l_shipdate < date ':1' + interval '3' month
    group by l_suppkey)
select s_suppkey, s_name, s_address, s_phone, total_revenue from supplier, revenue
where s_suppkey = supplier_no and total_revenue = (select max(total_revenue) from revenue)
order by s_suppkey;";
