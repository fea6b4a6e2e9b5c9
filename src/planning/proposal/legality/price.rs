//! The price of a rule that stands in the way of a shard key: what it would
//! take to meet it, in bytes, constraints and statements.
//!
//! Not here: the rules. Invariant: a price without parts is that of a key
//! which needs nothing changed.

use serde::Deserialize;
use serde::Serialize;

use crate::model::access::Analysis;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::profile::Column;
use crate::model::profile::Table;
use crate::planning::proposal::explain::bytes;

/// A foreign key that would have to carry the shard key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WidenedKey {
    /// The table that has it.
    pub relation: QualifiedName,
    pub name: String,
    /// Columns of the referenced table that it lacks.
    pub columns: Vec<String>,
    /// By which each row of its table grows: zero where the table has the
    /// columns already.
    pub bytes_per_row: f64,
    /// All rows of its table together.
    pub bytes_total: f64,
}

/// A unique constraint or index whose own columns are no longer unique.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weakened {
    pub name: String,
    pub columns: Vec<String>,
}

/// What a shard key costs beside its shards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// By which the index entries of a row grow.
    pub bytes_per_row: f64,
    /// By which indexes grow, all rows at the horizon.
    pub index_bytes_total: f64,
    pub foreign_keys_to_widen: Vec<WidenedKey>,
    pub uniqueness_weakened: Vec<Weakened>,
    /// Statements of the workload whose ON CONFLICT finds no unique index
    /// any more, and their calls per second.
    pub on_conflict_statements: usize,
    pub on_conflict_per_second: f64,
}

impl Price {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.foreign_keys_to_widen.is_empty()
            && self.uniqueness_weakened.is_empty()
            && self.on_conflict_statements == 0
    }

    /// A sentence with all of it; none where there is nothing to pay.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        if self.is_nothing() {
            return None;
        }
        let mut parts = Vec::new();
        if self.bytes_per_row > 0.0 {
            parts.push(format!(
                "{:.0} bytes per row of index{}",
                self.bytes_per_row,
                at_horizon(self.index_bytes_total)
            ));
        }
        if !self.foreign_keys_to_widen.is_empty() {
            let names: Vec<String> = self
                .foreign_keys_to_widen
                .iter()
                .map(|key| format!("{} of {}", quote_identifier(&key.name), key.relation))
                .collect();
            let total: f64 = self.foreign_keys_to_widen.iter().map(|key| key.bytes_total).sum();
            parts.push(format!("{} to widen ({})", names.join(", "), bytes(total)));
        }
        if !self.uniqueness_weakened.is_empty() {
            let names: Vec<String> =
                self.uniqueness_weakened.iter().map(|one| quote_identifier(&one.name)).collect();
            parts.push(format!("the uniqueness of {} by its own columns", names.join(", ")));
        }
        if self.on_conflict_statements > 0 {
            parts.push(format!(
                "{} with ON CONFLICT that would fail, {} calls per second",
                counted(self.on_conflict_statements, "statement"),
                rate(self.on_conflict_per_second)
            ));
        }
        Some(format!("The price: {}.", parts.join("; ")))
    }
}

/// A number of things.
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A rate with two significant digits.
pub fn rate(value: f64) -> String {
    match value {
        value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.1e}"),
    }
}

/// Width of a column whose statistics are missing, bytes.
const DEFAULT_WIDTH: f64 = 8.0;

/// Average bytes of a column.
fn width(column: &Column) -> f64 {
    column.statistics.as_ref().map(|found| found.width).filter(|width| *width > 0.0).unwrap_or({
        match column.type_name.name.as_str() {
            "bool" => 1.0,
            "int2" => 2.0,
            "int4" | "date" | "oid" | "float4" => 4.0,
            "uuid" => 16.0,
            _ => DEFAULT_WIDTH,
        }
    })
}

/// Average bytes of some columns of a table.
pub fn widths<'a>(table: &Table, columns: impl IntoIterator<Item = &'a String>) -> f64 {
    let each = columns.into_iter().map(|name| table.column(name).map_or(DEFAULT_WIDTH, width));
    // The sum of nothing is minus zero, which does not survive JSON.
    each.fold(0.0, |sum, one| sum + one)
}

/// Bytes at the horizon, in brackets; nothing where there are none.
pub fn at_horizon(total: f64) -> String {
    if total > 0.0 { format!(" ({} at the horizon)", bytes(total)) } else { String::new() }
}

/// Bytes by which an index entry grows, aligned as PostgreSQL aligns it.
pub fn widening_bytes(table: &Table, columns: &[String], added: &[&String]) -> f64 {
    let before = widths(table, columns);
    let after = before + widths(table, added.iter().copied());
    let aligned = |bytes: f64| (bytes / 8.0).ceil() * 8.0;
    aligned(after) - aligned(before)
}

/// Statements whose ON CONFLICT would find no unique index on a table that is
/// divided by `key`, and their calls. A constraint that is named is still
/// there if it was widened, `named_stay`.
pub fn conflicts<'a>(
    statements: impl Iterator<Item = (&'a Analysis, f64)>,
    table: &QualifiedName,
    key: &[String],
    named_stay: bool,
) -> (usize, f64) {
    let mut found = (0, 0.0);
    for (analysis, calls) in statements {
        let Analysis::Facts(facts) = analysis else { continue };
        let fails = facts.arbiters.iter().any(|arbiter| {
            arbiter.relation == *table
                && !(named_stay && arbiter.constraint.is_some())
                && key.iter().any(|column| !arbiter.columns.contains(column))
        });
        if fails {
            found = (found.0 + 1, found.1 + calls);
        }
    }
    found
}
