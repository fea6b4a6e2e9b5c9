//! Where the rows of a table lie along one of its columns.
//!
//! A distribution is a list of (position, cumulative rows): the position is
//! that of `KeyValue::position` (for times microseconds since 1970 UTC), both
//! ascend, the first entry has no rows. Between two entries rows lie evenly;
//! a value that holds rows by itself has two entries at one position, before
//! and after. It comes from what ANALYZE found: most common values with their
//! fractions, and a histogram of equally full bins for the others.
//!
//! Types without an order here (text) have no distribution. Invariant: a
//! distribution has at least one row, and its last entry holds all rows with
//! a readable value.

use crate::model::profile::ColumnStatistics;
use crate::model::profile::Table;
use crate::planning::forecast::series::in_range;

/// Most parts that quantiles divide into: as many shards as
/// `presplit.max_shards_per_table` can ask for.
pub const PARTS_MAX: usize = 32_768;

/// The cumulative rows of a table along a column of an ordered type;
/// `None` if the column is not there, has no order, statistics or rows.
///
/// Infinite and unreadable values are left out: rows of such common values
/// are missing in the sum, and a bin that such a bound ends is not counted.
#[must_use]
pub fn distribution(table: &Table, column: &str) -> Option<Vec<(f64, f64)>> {
    let column = table.column(column)?;
    let kind = column.type_name.key_type();
    along(column.statistics.as_ref()?, table.rows, |text| kind.read(text).map(|value| value.position()))
}

/// The same along whatever line values have a place on.
pub(super) fn along(
    statistics: &ColumnStatistics,
    rows: f64,
    position: impl Fn(&str) -> Option<f64>,
) -> Option<Vec<(f64, f64)>> {
    let masses = Masses::read(statistics, rows, position)?;
    let mut cumulative = Vec::new();
    let mut common_before = 0.0;
    let mut next_common = masses.common.iter().peekable();
    for position in masses.positions() {
        let mut common = 0.0;
        while let Some((_, rows)) = next_common.next_if(|(at, _)| *at <= position) {
            common += rows;
        }
        let (before, until) = masses.histogram_shares(position);
        let before = common_before + masses.histogram_rows * before;
        common_before += common;
        let until = common_before + masses.histogram_rows * until;
        cumulative.push((position, before));
        if until > before {
            cumulative.push((position, until));
        }
    }
    let total = cumulative.last().map_or(0.0, |(_, rows)| *rows);
    (total > 0.0 && in_range(total)).then_some(cumulative)
}

/// What ANALYZE found, in rows.
struct Masses {
    /// Position and rows of each common value, ascending.
    common: Vec<(f64, f64)>,
    /// Bounds of equally full bins, ascending.
    bounds: Vec<f64>,
    histogram_rows: f64,
}

impl Masses {
    fn read(
        statistics: &ColumnStatistics,
        rows: f64,
        position: impl Fn(&str) -> Option<f64>,
    ) -> Option<Self> {
        let position = |text: &String| position(text);
        let with_value = (1.0 - share(statistics.null_fraction)).max(0.0);
        let pairs = statistics.common_values.iter().zip(&statistics.common_fractions);
        let fractions: Vec<(Option<f64>, f64)> =
            pairs.map(|(text, fraction)| (position(text), share(*fraction))).collect();
        let mut bounds: Vec<f64> = statistics.histogram.iter().filter_map(position).collect();
        bounds.sort_by(f64::total_cmp);
        let listed: f64 = fractions.iter().map(|(_, fraction)| fraction).sum();
        // Without a histogram the common values stand for all values; and
        // rounded fractions must not add up to more than there is.
        let scale = if listed > 0.0 && (bounds.is_empty() || listed > with_value) {
            with_value / listed
        } else {
            1.0
        };
        let mut common: Vec<(f64, f64)> = fractions
            .into_iter()
            .filter_map(|(at, fraction)| at.map(|at| (at, fraction * scale * rows)))
            .collect();
        common.sort_by(|a, b| a.0.total_cmp(&b.0));
        let histogram_rows =
            if bounds.is_empty() { 0.0 } else { (with_value - listed * scale).max(0.0) * rows };
        (!bounds.is_empty() || !common.is_empty()).then_some(Self { common, bounds, histogram_rows })
    }

    /// All positions once, ascending.
    fn positions(&self) -> Vec<f64> {
        let common = self.common.iter().map(|(at, _)| *at);
        let mut positions: Vec<f64> = self.bounds.iter().copied().chain(common).collect();
        positions.sort_by(f64::total_cmp);
        positions.dedup();
        positions
    }

    /// Share of the histogram's rows below a position, and up to it.
    fn histogram_shares(&self, position: f64) -> (f64, f64) {
        let below = self.bounds.partition_point(|bound| *bound < position);
        let until = self.bounds.partition_point(|bound| *bound <= position);
        let bins = self.bounds.len().saturating_sub(1) as f64;
        if until == 0 {
            (0.0, 0.0)
        } else if below == self.bounds.len() {
            (1.0, 1.0)
        } else if bins == 0.0 {
            (0.0, 1.0) // a single bound holds everything
        } else if below < until {
            (below as f64 / bins, (until - 1) as f64 / bins)
        } else {
            let (lower, upper) = (self.bounds[below - 1], self.bounds[below]);
            let inside = (position - lower) / (upper - lower);
            let share = ((below - 1) as f64 + inside) / bins;
            (share, share)
        }
    }
}

/// A fraction as statistics should have it.
fn share(fraction: f64) -> f64 {
    if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 }
}

/// Rows from `lower` (inclusive) to `upper` (exclusive), as a shard accepts
/// them; infinities stand for `MINVALUE` and `MAXVALUE`. Zero if `upper` is
/// not above `lower`.
#[must_use]
pub fn rows_between(distribution: &[(f64, f64)], lower: f64, upper: f64) -> f64 {
    (rows_below(distribution, upper) - rows_below(distribution, lower)).max(0.0)
}

/// Rows strictly below a position.
#[must_use]
pub fn rows_below(distribution: &[(f64, f64)], position: f64) -> f64 {
    let after = distribution.partition_point(|entry| entry.0 < position);
    if after == 0 {
        return 0.0;
    }
    let from = distribution[after - 1];
    distribution.get(after).map_or(from.1, |to| {
        from.1 + (to.1 - from.1) * ((position - from.0) / (to.0 - from.0)).clamp(0.0, 1.0)
    })
}

/// The positions that divide the rows into `parts` equal parts (at most
/// [`PARTS_MAX`]), ascending, without the ends. A value that holds more than
/// one part appears once, so there can be fewer than `parts - 1`.
#[must_use]
pub fn quantiles(distribution: &[(f64, f64)], parts: usize) -> Vec<f64> {
    let parts = parts.min(PARTS_MAX);
    let total = distribution.last().map_or(0.0, |entry| entry.1);
    let mut found: Vec<f64> = (1..parts)
        .filter_map(|part| position_of(distribution, total * (part as f64 / parts as f64)))
        .collect();
    found.dedup();
    found
}

/// The least position up to which there are `rows` rows; `None` if there are
/// not so many.
#[must_use]
pub fn position_of(distribution: &[(f64, f64)], rows: f64) -> Option<f64> {
    let reached = distribution.partition_point(|entry| entry.1 < rows);
    let to = distribution.get(reached)?;
    let Some(from) = reached.checked_sub(1).and_then(|before| distribution.get(before)) else {
        return Some(to.0);
    };
    Some(from.0 + (to.0 - from.0) * ((rows - from.1) / (to.1 - from.1)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::forecast::event_time::examples::column;
    use crate::planning::forecast::event_time::examples::table;

    type Statistics<'a> = (f64, &'a [(&'a str, f64)], &'a [&'a str]);

    /// A table of 1000 rows with these null fraction, common values and
    /// bounds.
    fn along(type_name: &str, (nulls, common, bounds): Statistics<'_>) -> Option<Vec<(f64, f64)>> {
        let mut found = column("k", type_name, 0.0, bounds);
        if let Some(statistics) = &mut found.statistics {
            statistics.null_fraction = nulls;
            statistics.common_values = common.iter().map(|(value, _)| (*value).to_owned()).collect();
            statistics.common_fractions = common.iter().map(|(_, fraction)| *fraction).collect();
        }
        distribution(&table(1000.0, vec![found]), "k")
    }

    #[track_caller]
    fn check(type_name: &str, statistics: Statistics<'_>, expected: &[(f64, f64)]) {
        let found = along(type_name, statistics).unwrap_or_default();
        let close = found.len() == expected.len()
            && found.iter().zip(expected).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 1e-6);
        assert!(close, "{found:?} is not {expected:?}");
    }

    #[test]
    fn histogram_and_common_values_add_up() {
        check("integer", (0.0, &[], &["0", "10", "30"]), &[(0.0, 0.0), (10.0, 500.0), (30.0, 1000.0)]);
        check("integer", (0.2, &[], &["0", "10"]), &[(0.0, 0.0), (10.0, 800.0)]);
        check(
            "integer",
            (0.1, &[("5", 0.3)], &["0", "10"]),
            &[(0.0, 0.0), (5.0, 300.0), (5.0, 600.0), (10.0, 900.0)],
        );
        // Common values outside the histogram, and in any order.
        check(
            "integer",
            (0.0, &[("20", 0.4), ("-5", 0.1)], &["0", "10"]),
            &[(-5.0, 0.0), (-5.0, 100.0), (0.0, 100.0), (10.0, 600.0), (20.0, 600.0), (20.0, 1000.0)],
        );
        // A bound that is there several times holds rows by itself.
        check(
            "numeric",
            (0.0, &[], &["1.5", "2", "2", "2.5", "4"]),
            &[(1.5, 0.0), (2.0, 250.0), (2.0, 500.0), (2.5, 750.0), (4.0, 1000.0)],
        );
        check("date", (0.0, &[], &["1970-01-01", "1970-01-02"]), &[(0.0, 0.0), (86_400e6, 1000.0)]);
    }

    #[test]
    fn common_values_alone_stand_for_all() {
        check(
            "integer",
            (0.5, &[("1", 0.3), ("2", 0.1)], &[]),
            &[(1.0, 0.0), (1.0, 375.0), (2.0, 375.0), (2.0, 500.0)],
        );
        check("integer", (0.0, &[], &["7"]), &[(7.0, 0.0), (7.0, 1000.0)]);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        check(
            "timestamp with time zone",
            (0.0, &[("infinity", 0.25)], &["-infinity", "1970-01-01 00:00:00+00", "1970-01-01 00:00:01+00"]),
            &[(0.0, 0.0), (1e6, 750.0)],
        );
        for (type_name, statistics) in [
            ("text", (0.0, &[("a", 1.0)][..], &["a", "b"][..])),
            ("integer", (0.0, &[], &[])),
            ("integer", (0.0, &[], &["x"])),
            ("integer", (1.0, &[], &["1", "2"])),
            ("numeric", (0.0, &[("NaN", 1.0)], &[])),
        ] {
            assert_eq!(along(type_name, statistics), None, "{type_name} {statistics:?}");
        }
        assert_eq!(distribution(&table(1000.0, vec![]), "k"), None);
    }

    #[test]
    fn damaged_fractions_do_no_harm() {
        for fraction in [f64::NAN, f64::INFINITY, -1.0, 7.0] {
            let found = along("integer", (fraction, &[("5", fraction), ("6", 0.9)], &["0", "10"]));
            let total = found.and_then(|entries| entries.last().copied()).map_or(0.0, |entry| entry.1);
            assert!((0.0..=1_000.000_001).contains(&total), "{fraction}: {total}");
        }
    }

    #[test]
    fn rows_are_counted_as_a_shard_accepts_them() {
        let found = along("integer", (0.0, &[("5", 0.5)], &["0", "10"])).unwrap();
        let infinity = f64::INFINITY;
        for (lower, upper, expected) in [
            (-infinity, infinity, 1000.0),
            (0.0, 5.0, 250.0),
            (5.0, 10.0, 750.0),
            (5.0, 5.0, 0.0),
            (7.5, infinity, 125.0),
            (-infinity, -1.0, 0.0),
            (10.0, 0.0, 0.0),
            (f64::NAN, 5.0, 250.0),
        ] {
            let rows = rows_between(&found, lower, upper);
            assert!((rows - expected).abs() < 1e-9, "{lower}..{upper}: {rows}");
        }
        assert_eq!(rows_between(&[], 0.0, 1.0), 0.0);
    }

    #[test]
    fn quantiles_divide_evenly() {
        let even = along("integer", (0.0, &[], &["0", "100"])).unwrap();
        assert_eq!(quantiles(&even, 4), [25.0, 50.0, 75.0]);
        assert_eq!(quantiles(&even, 0), Vec::<f64>::new());
        assert_eq!(quantiles(&even, 1), Vec::<f64>::new());
        assert_eq!(quantiles(&[], 4), Vec::<f64>::new());
        let heavy = along("integer", (0.0, &[("50", 0.8)], &["0", "100"])).unwrap();
        assert_eq!(quantiles(&heavy, 4), [50.0]);
        assert!(quantiles(&even, usize::MAX).len() < PARTS_MAX);
    }
}
