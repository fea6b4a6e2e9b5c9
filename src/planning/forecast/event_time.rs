//! The growth curve that a table carries in itself.
//!
//! A time column that follows the physical order of the rows was filled as
//! they were inserted; its distribution is how the table grew, known even
//! from a backup without any history. Rows deleted since are not in it, so
//! the curve is that of the rows that stayed. What follows from the curve is
//! decided in `growth`.
//!
//! Invariant: a curve ascends strictly in time and does not fall in rows.

use crate::model::profile::Column;
use crate::model::profile::Table;
use crate::planning::forecast::EventTime;
use crate::planning::forecast::Observation;
use crate::planning::forecast::distribution::distribution;

/// Correlation with physical order above which a column follows insertion.
/// In PostgreSQL's scale 1 is fully ordered, and a time that comes in with a
/// delay of days in a table of months keeps more than 0.9.
const CORRELATION_MIN: f64 = 0.5;

/// What NOT NULL is worth, in correlation: a little more order does not make
/// up for rows of which nothing is known.
const NOT_NULL_BONUS: f64 = 0.2;

/// A column that is null in more rows than this says nothing of the table.
const NULL_FRACTION_MAX: f64 = 0.5;

/// The time column whose values follow insertion best; `None` if no time
/// column with statistics of at least two moments is correlated with the
/// physical order by more than 0.5 (either way).
///
/// The highest correlation wins; NOT NULL columns get a bonus of 0.2, of
/// equals the first column wins.
#[must_use]
pub fn event_time(table: &Table) -> Option<EventTime> {
    let mut best: Option<(f64, EventTime)> = None;
    for column in &table.columns {
        let Some(score) = insertion_order(column) else { continue };
        if best.as_ref().is_some_and(|(highest, _)| *highest >= score) {
            continue;
        }
        if let Some(curve) = curve(table, &column.name).filter(|curve| curve.len() >= 2) {
            let key_type = column.type_name.key_type();
            best = Some((score, EventTime { column: column.name.clone(), key_type, curve }));
        }
    }
    best.map(|(_, event_time)| event_time)
}

/// How well a time column follows insertion, without unit; `None` if it does
/// not.
fn insertion_order(column: &Column) -> Option<f64> {
    let statistics = column.statistics.as_ref().filter(|_| column.type_name.key_type().is_time())?;
    let correlation = statistics.correlation?.abs();
    let follows = correlation > CORRELATION_MIN && statistics.null_fraction <= NULL_FRACTION_MAX;
    follows.then_some(correlation + if column.not_null { NOT_NULL_BONUS } else { 0.0 })
}

/// The cumulative rows of a table along any of its time columns, whatever
/// the physical order; `None` if the column is not a time or nothing is known
/// of it. At each moment stand the rows up to and including it.
#[must_use]
pub fn curve(table: &Table, column: &str) -> Option<Vec<Observation>> {
    table.column(column).filter(|column| column.type_name.key_type().is_time())?;
    Some(curve_of(distribution(table, column)?))
}

/// A distribution over moments as a curve.
pub(super) fn curve_of(distribution: Vec<(f64, f64)>) -> Vec<Observation> {
    let mut curve: Vec<Observation> = Vec::new();
    for (position, rows) in distribution {
        // Positions of moments within 285 years of 1970 are whole and exact;
        // farther ones may fall together and then count once.
        let at = position as i64;
        match curve.last_mut() {
            Some(last) if last.at == at => last.value = rows,
            _ => curve.push(Observation { at, value: rows }),
        }
    }
    curve
}

/// Tables for the tests of this room.
#[cfg(test)]
pub(super) mod examples {
    use crate::model::profile::Column;
    use crate::model::profile::ColumnStatistics;
    use crate::model::profile::Counters;
    use crate::model::profile::Table;
    use crate::model::profile::TableKind;
    use crate::model::profile::TypeName;

    /// `public.t` with 100 bytes per row.
    pub(in crate::planning::forecast) fn table(rows: f64, columns: Vec<Column>) -> Table {
        Table {
            schema: "public".to_owned(),
            table: "t".to_owned(),
            kind: TableKind::Ordinary,
            rows,
            heap_bytes: 80.0 * rows,
            index_bytes: 20.0 * rows,
            toast_bytes: 0.0,
            unlogged: false,
            extension: false,
            inheritance: false,
            partition_key: None,
            row_security: false,
            counters: Counters::default(),
            columns,
            extended_statistics: Vec::new(),
            constraints: Vec::new(),
            indexes: Vec::new(),
            triggers: Vec::new(),
        }
    }

    /// A NOT NULL column with a histogram.
    pub(in crate::planning::forecast) fn column(
        name: &str,
        type_name: &str,
        correlation: f64,
        bounds: &[&str],
    ) -> Column {
        Column {
            name: name.to_owned(),
            type_name: TypeName {
                schema: "pg_catalog".to_owned(),
                name: type_name.to_owned(),
                text: type_name.to_owned(),
                array: false,
            },
            not_null: true,
            collation: None,
            generated: false,
            identity: false,
            orderable: true,
            hashable: true,
            statistics: Some(ColumnStatistics {
                null_fraction: 0.0,
                width: 8.0,
                distinct: -1.0,
                correlation: Some(correlation),
                common_values: Vec::new(),
                common_fractions: Vec::new(),
                common_hashes: Vec::new(),
                histogram: bounds.iter().map(|bound| (*bound).to_owned()).collect(),
            }),
            sampled: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::examples::column;
    use super::examples::table;
    use super::*;
    use crate::model::key::KeyType;
    use crate::planning::forecast::DAY;

    const YEAR: [&str; 3] = ["1970-01-01", "1970-07-01", "1971-01-01"];

    #[track_caller]
    fn check(columns: Vec<Column>, expected: Option<&str>) {
        let found = event_time(&table(1000.0, columns));
        assert_eq!(found.map(|event_time| event_time.column).as_deref(), expected);
    }

    fn nullable(mut column: Column, fraction: f64) -> Column {
        column.not_null = false;
        if let Some(statistics) = &mut column.statistics {
            statistics.null_fraction = fraction;
        }
        column
    }

    #[test]
    fn the_column_that_follows_insertion_is_chosen() {
        let date = |name: &str, correlation: f64| column(name, "date", correlation, &YEAR);
        check(vec![], None);
        check(vec![date("a", 0.9)], Some("a"));
        check(vec![date("a", -0.9)], Some("a"));
        check(vec![date("a", 0.5)], None);
        check(vec![date("a", f64::NAN)], None);
        check(vec![date("a", 0.8), date("b", 0.9)], Some("b"));
        check(vec![date("a", 0.9), date("b", 0.9)], Some("a"));
        check(vec![column("a", "integer", 1.0, &["1", "2", "3"])], None);
        check(vec![date("a", 0.9), column("b", "date", 1.0, &["infinity"])], Some("a"));
        check(vec![column("a", "timestamp without time zone", 1.0, &["1970-01-01 00:00:00"])], None);
        // NOT NULL counts, but not more than a clear order.
        check(vec![nullable(date("a", 0.99), 0.1), date("b", 0.9)], Some("b"));
        check(vec![nullable(date("a", 0.99), 0.1), date("b", 0.6)], Some("a"));
        check(vec![nullable(date("a", 0.99), 0.9)], None);
    }

    #[test]
    fn the_curve_counts_all_rows_with_a_value() {
        let shop = table(1000.0, vec![nullable(column("a", "date", 0.0, &YEAR), 0.2)]);
        let at = |day: i64, value: f64| Observation { at: day * DAY, value };
        assert_eq!(curve(&shop, "a"), Some(vec![at(0, 0.0), at(181, 400.0), at(365, 800.0)]));
        assert_eq!(curve(&shop, "b"), None);
        assert_eq!(curve(&table(1000.0, vec![column("a", "integer", 1.0, &["1", "2"])]), "a"), None);
        assert_eq!(curve(&table(0.0, vec![column("a", "date", 1.0, &YEAR)]), "a"), None);
    }

    #[test]
    fn days_that_are_all_common_values_make_a_curve() {
        let mut days = column("d", "date", 1.0, &[]);
        if let Some(statistics) = &mut days.statistics {
            statistics.common_values = ["1970-01-03", "1970-01-01", "infinity"].map(str::to_owned).to_vec();
            statistics.common_fractions = vec![0.5, 0.25, 0.25];
        }
        let found = event_time(&table(100.0, vec![days])).unwrap();
        let at = |day: i64, value: f64| Observation { at: day * DAY, value };
        assert_eq!(found.curve, [at(0, 25.0), at(2, 75.0)]);
        assert_eq!(found.key_type, KeyType::Date);
    }
}
