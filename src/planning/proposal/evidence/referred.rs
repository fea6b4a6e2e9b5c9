//! Distinct values of columns that refer to a key.
//!
//! ANALYZE guesses them from a sample, and guesses too few where each value is
//! in a few rows. A foreign key says how many there are at most; if most of
//! them are guessed, it is all of them, as a shard that ANALYZE reads to its end
//! will tell.

use crate::model::name::QualifiedName;
use crate::model::profile::Table;

/// Rows that ANALYZE reads: of a smaller table it knows what there is.
const SAMPLE_ROWS: f64 = 30_000.0;

/// Share of the rows that are referred to from which on all of them are
/// supposed to be.
const MOST: f64 = 0.7;

/// Distinct values above this share of the rows are told as a share, as in
/// `pg_stats`.
const TOLD_AS_SHARE: f64 = 0.1;

/// The table, with as many distinct values in columns that refer to another
/// table's key as that table has rows.
#[must_use]
pub fn counted<'t>(table: &Table, found: impl Fn(&QualifiedName) -> Option<&'t Table>) -> Table {
    let mut counted = table.clone();
    if table.rows <= SAMPLE_ROWS {
        return counted;
    }
    for constraint in &table.constraints {
        let (Some(reference), [name]) = (&constraint.references, &constraint.columns[..]) else { continue };
        let Some(keys) = found(&reference.name()).map(|target| target.rows) else { continue };
        let column = counted.columns.iter_mut().find(|column| column.name == *name);
        let Some(statistics) = column.and_then(|column| column.statistics.as_mut()) else { continue };
        let guessed = statistics.distinct_values(table.rows);
        let filled = table.rows * (1.0 - statistics.null_fraction.clamp(0.0, 1.0));
        if guessed < keys && guessed >= MOST * keys && keys <= filled {
            let share = keys / table.rows;
            statistics.distinct = if share > TOLD_AS_SHARE { -share } else { keys };
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(name: &str, rows: f64, distinct: f64) -> Table {
        let of = json!({"schema": "pg_catalog", "name": "integer", "text": "integer"});
        serde_json::from_value(json!({
            "schema": "app", "table": name, "kind": "ordinary", "rows": rows, "heap_bytes": 8192, "index_bytes": 0, "toast_bytes": 0,
            "columns": [{"name": "k", "type": of, "not_null": true,
                         "statistics": {"null_fraction": 0.0, "width": 4.0, "distinct": distinct}}],
            "constraints": [{"name": "f", "kind": "foreign_key", "columns": ["k"],
                             "references": {"schema": "app", "table": "keys", "columns": ["id"]}}]
        }))
        .unwrap()
    }

    fn distinct(rows: f64, distinct: f64, keys: f64) -> f64 {
        let keys = table("keys", keys, -1.0);
        let found = counted(&table("t", rows, distinct), |name| (name.name == "keys").then_some(&keys));
        found.columns[0].statistics.as_ref().unwrap().distinct
    }

    #[test]
    fn most_of_the_keys_are_all_of_them() {
        // Four lines of each order, of which 4.9 were guessed.
        assert_eq!(distinct(600_000.0, -0.2037, 150_000.0), -0.25);
        assert_eq!(distinct(600_000.0, 9_000.0, 10_000.0), 10_000.0);
    }

    #[test]
    fn what_is_known_or_far_off_stays() {
        assert_eq!(distinct(20_000.0, -0.2, 5_000.0), -0.2);
        assert_eq!(distinct(600_000.0, 5_000.0, 10_000.0), 5_000.0);
        assert_eq!(distinct(600_000.0, 12_000.0, 10_000.0), 12_000.0);
        assert_eq!(distinct(100_000.0, -0.9, 120_000.0), -0.9);
        let alone = table("t", 600_000.0, -0.2);
        assert_eq!(counted(&alone, |_| None), alone);
    }
}
