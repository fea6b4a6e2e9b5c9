//! What ANALYZE would find in a sample.
//!
//! The definitions are those of PostgreSQL's `pg_stats`, so that a profile of
//! a backup and one of a live server mean the same: the number of distinct
//! values by Haas and Stokes' Duj1, common values only as far as they are
//! significantly more common than the others, an equi-depth histogram of the
//! rest, and the correlation of a value's rank with its place in the table.

use crate::model::profile::ColumnStatistics;

/// Common values and histogram bins at most, as with PostgreSQL's default
/// statistics target.
pub const TARGET: usize = 100;

/// Rows of a full sample, as ANALYZE takes them at that target.
pub const SAMPLE_ROWS: usize = 300 * TARGET;

/// The values of one column in a sample of a table.
#[derive(Debug, Clone, Default)]
pub struct ColumnSample {
    /// Rows of the sample.
    pub rows: usize,
    pub nulls: usize,
    /// Values too wide to be looked at, each taken for one of its own.
    pub wide: usize,
    /// Mean bytes of the values that are not null.
    pub width: f64,
    /// Of the other values, in the order of the table: equal values have equal
    /// ranks. Dense, from 0.
    pub ranks: Vec<u32>,
    /// Whether greater values have greater ranks.
    pub ordered: bool,
}

/// What was found. Values are given by rank.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    pub statistics: ColumnStatistics,
    pub common: Vec<u32>,
    pub histogram: Vec<u32>,
}

/// The statistics of a column of a table of `total` rows; none if there was
/// nothing to look at.
#[must_use]
pub fn find(sample: &ColumnSample, total: f64) -> Option<Found> {
    if sample.rows == 0 {
        return None;
    }
    let rows = sample.rows as f64;
    let null_fraction = sample.nulls as f64 / rows;
    let mut statistics = ColumnStatistics { null_fraction, width: sample.width, ..Default::default() };
    if sample.nulls == sample.rows {
        return Some(Found { statistics, ..Found::default() });
    }
    let counts = counts(&sample.ranks);
    let repeated = counts.iter().filter(|count| **count > 1).count();
    statistics.distinct = distinct(sample, counts.len(), repeated, total);

    let common = common(sample, &counts, statistics.distinct, total);
    statistics.common_fractions =
        common.iter().map(|rank| f64::from(counts[*rank as usize]) / rows).collect();
    let mut histogram = Vec::new();
    if sample.ordered {
        histogram = equal_parts(&counts, &common);
        statistics.correlation = correlation(&sample.ranks, counts.len());
    }
    Some(Found { statistics, common, histogram })
}

/// Values of each rank.
fn counts(ranks: &[u32]) -> Vec<u32> {
    let mut counts = vec![0; ranks.iter().max().map_or(0, |rank| *rank as usize + 1)];
    for rank in ranks {
        counts[*rank as usize] += 1;
    }
    counts
}

/// `n_distinct`: negative = a share of the rows.
fn distinct(sample: &ColumnSample, values: usize, repeated: usize, total: f64) -> f64 {
    let not_null = 1.0 - sample.nulls as f64 / sample.rows as f64;
    if repeated == 0 {
        // No value came twice: they are unique.
        return -not_null;
    }
    let found = if sample.wide == 0 && repeated == values {
        // Every value came twice: these are all.
        values as f64
    } else {
        let once = (values - repeated + sample.wide) as f64;
        duj1((sample.rows - sample.nulls) as f64, (values + sample.wide) as f64, once, total * not_null)
    };
    if found > 0.1 * total { -(found / total) } else { found }
}

/// Haas and Stokes' estimate of the distinct values among `total` rows, where
/// `sampled` of them have `values` different ones, `once` of which come once.
#[must_use]
pub fn duj1(sampled: f64, values: f64, once: f64, total: f64) -> f64 {
    let total = total.max(sampled);
    let estimate = sampled * values / (sampled - once + once * sampled / total);
    estimate.clamp(values, total).round()
}

/// The common values, the most common first.
fn common(sample: &ColumnSample, counts: &[u32], distinct: f64, total: f64) -> Vec<u32> {
    let mut ranks: Vec<u32> =
        (0..).zip(counts).filter(|(_, count)| **count > 1).map(|(rank, _)| rank).collect();
    // Of equally common values the smaller one comes first.
    ranks.sort_by_key(|rank| (std::cmp::Reverse(counts[*rank as usize]), *rank));
    if ranks.len() == counts.len() && sample.wide == 0 && distinct > 0.0 && ranks.len() <= TARGET {
        return ranks;
    }
    ranks.truncate(TARGET);
    let mut common: Vec<f64> = ranks.iter().map(|rank| f64::from(counts[*rank as usize])).collect();
    significant(&mut common, sample, distinct, total);
    ranks.truncate(common.len());
    ranks
}

/// Leaves out the least common values while they are not significantly more
/// common than the mean of those that are left out: by two standard
/// deviations of drawing without replacement.
fn significant(common: &mut Vec<f64>, sample: &ColumnSample, distinct: f64, total: f64) {
    let rows = sample.rows as f64;
    if rows >= total || total <= 1.0 {
        return;
    }
    let distinct = if distinct < 0.0 { -distinct * total } else { distinct };
    let nulls = sample.nulls as f64 / rows;
    let mut others: f64 = common.iter().sum();
    while let Some(least) = common.last().copied() {
        others -= least;
        let mut share = (1.0 - others / rows - nulls).clamp(0.0, 1.0);
        let left = distinct - (common.len() - 1) as f64;
        if left > 1.0 {
            share /= left;
        }
        let population = total * least / rows;
        let variance =
            rows * population * (total - population) * (total - rows) / (total * total * (total - 1.0));
        if least > share * rows + 2.0 * variance.max(0.0).sqrt() + 0.5 {
            return;
        }
        common.pop();
    }
}

/// The bounds of bins that hold equally many of the values that are not
/// common; none unless there are two.
fn equal_parts(counts: &[u32], common: &[u32]) -> Vec<u32> {
    let mut left = vec![true; counts.len()];
    for rank in common {
        left[*rank as usize] = false;
    }
    let values: Vec<(u32, u64)> = (0..)
        .zip(counts)
        .filter(|(rank, _)| left[*rank as usize])
        .map(|(rank, count)| (rank, u64::from(*count)))
        .collect();
    let bounds = values.len().min(TARGET + 1) as u64;
    if bounds < 2 {
        return Vec::new();
    }
    let total: u64 = values.iter().map(|(_, count)| count).sum();
    let mut found = Vec::new();
    let (mut at, mut passed) = (0, 0);
    for number in 0..bounds {
        let place = number * (total - 1) / (bounds - 1);
        while passed + values[at].1 <= place {
            passed += values[at].1;
            at += 1;
        }
        found.push(values[at].0);
    }
    found
}

/// Of a value's place in the order with its place in the table; equal values
/// are in the order of the table.
fn correlation(ranks: &[u32], values: usize) -> Option<f64> {
    let n = ranks.len() as f64;
    if ranks.len() < 2 {
        return None;
    }
    let mut next = vec![0_u64; values + 1];
    for rank in ranks {
        next[*rank as usize + 1] += 1;
    }
    for rank in 1..next.len() {
        next[rank] += next[rank - 1];
    }
    let mut sum = 0.0;
    for (place, rank) in ranks.iter().enumerate() {
        let sorted = &mut next[*rank as usize];
        sum += place as f64 * *sorted as f64;
        *sorted += 1;
    }
    let places = n * (n - 1.0) / 2.0;
    let squares = n * (n - 1.0) * 2.0_f64.mul_add(n, -1.0) / 6.0;
    Some(n.mul_add(sum, -(places * places)) / n.mul_add(squares, -(places * places)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(ranks: Vec<u32>) -> ColumnSample {
        ColumnSample { rows: ranks.len(), width: 4.0, ranks, ordered: true, ..ColumnSample::default() }
    }

    #[test]
    fn unique_values_are_a_share_of_the_rows() {
        let mut unique = sample((0..1000).collect());
        unique.rows = 2000;
        unique.nulls = 1000;
        let found = find(&unique, 1e6).unwrap();
        assert_eq!(found.statistics.distinct, -0.5);
        assert_eq!(found.statistics.null_fraction, 0.5);
        assert_eq!(found.statistics.correlation, Some(1.0));
        assert_eq!(found.histogram.len(), TARGET + 1);
        assert_eq!((found.histogram[0], found.histogram[TARGET]), (0, 999));
        assert!(found.common.is_empty());
    }

    #[test]
    fn a_short_list_of_values_is_known_whole() {
        let found = find(&sample((0..3000).map(|n| [0, 0, 0, 2, 1, 2][n % 6]).collect()), 1e6).unwrap();
        assert_eq!(found.statistics.distinct, 3.0);
        assert_eq!(found.common, [0, 2, 1]);
        assert_eq!(found.statistics.common_fractions, [0.5, 1.0 / 3.0, 1.0 / 6.0]);
        assert!(found.histogram.is_empty());
    }

    #[test]
    fn only_significant_values_are_common() {
        // One value is half of the sample, the others are as rare as each other.
        let ranks = (0..30_000).map(|n| if n % 2 == 0 { 0 } else { 1 + (n / 4) as u32 }).collect();
        let found = find(&sample(ranks), 1e6).unwrap();
        assert_eq!(found.common, [0]);
        // In a table that was read whole every repeated value is certain.
        let whole: Vec<u32> = (0..300).flat_map(|n| vec![n; if n < 50 { 2 } else { 1 }]).collect();
        let rows = whole.len() as f64;
        assert_eq!(find(&sample(whole), rows).unwrap().common.len(), 50);
    }

    #[test]
    fn duj1_has_its_published_limits() {
        // Nothing came once: what was seen is all there is.
        assert_eq!(duj1(1000.0, 100.0, 0.0, 1e6), 100.0);
        // Read whole: what was seen is all there is.
        assert_eq!(duj1(1000.0, 700.0, 500.0, 1000.0), 700.0);
        // n d / (n - f1 + f1 n / N), by hand.
        assert_eq!(duj1(1000.0, 600.0, 400.0, 10_000.0), (600_000.0_f64 / 640.0).round());
        assert_eq!(duj1(10.0, 10.0, 10.0, 100.0), 100.0);
    }

    #[test]
    fn correlation_follows_the_order_of_the_table() {
        assert_eq!(
            find(&sample((0..100).rev().collect()), 100.0).unwrap().statistics.correlation,
            Some(-1.0)
        );
        let mixed = find(&sample((0..100).map(|n| (n * 37) % 100).collect()), 100.0).unwrap();
        assert!(mixed.statistics.correlation.unwrap().abs() < 0.3);
        let one = find(&sample(vec![0; 50]), 50.0).unwrap();
        assert_eq!((one.statistics.correlation, one.common.len()), (Some(1.0), 1));
    }

    #[test]
    fn wide_values_count_as_different() {
        let wide =
            ColumnSample { rows: 100, wide: 90, width: 5000.0, ranks: vec![0; 10], ..Default::default() };
        let found = find(&wide, 100.0).unwrap();
        assert_eq!(found.statistics.distinct, -0.91);
        let nulls = ColumnSample { rows: 7, nulls: 7, ..ColumnSample::default() };
        assert_eq!(find(&nulls, 7.0).unwrap().statistics.null_fraction, 1.0);
        assert_eq!(find(&ColumnSample::default(), 0.0), None);
    }

    proptest! {
        #[test]
        fn the_laws_of_statistics_hold(
            values in proptest::collection::vec(0u32..200, 1..2000), more in 0usize..5000, nulls in 0usize..50,
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let ranks: Vec<u32> =
                values.iter().map(|v| sorted.binary_search(v).unwrap() as u32).collect();
            let sample = ColumnSample { rows: ranks.len() + nulls, nulls, ..sample(ranks) };
            let total = (sample.rows + more) as f64;
            let found = find(&sample, total).unwrap();
            let s = &found.statistics;
            prop_assert!(s.common_fractions.windows(2).all(|pair| pair[0] >= pair[1]));
            prop_assert!(s.common_fractions.iter().sum::<f64>() + s.null_fraction <= 1.0 + 1e-9);
            prop_assert!(found.histogram.windows(2).all(|pair| pair[0] < pair[1]
                || found.histogram.len() > sorted.len() - found.common.len()
                || pair[0] == pair[1]));
            prop_assert!(found.histogram.iter().all(|rank| !found.common.contains(rank)));
            prop_assert!(s.correlation.is_none_or(|c| (-1.0 - 1e-9..=1.0 + 1e-9).contains(&c)));
            let distinct = s.distinct_values(total);
            prop_assert!(distinct >= sorted.len() as f64 - 1e-6 && distinct <= total + 1e-6);
        }
    }
}
