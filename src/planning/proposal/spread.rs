//! How the rows of a table lie along one column.
//!
//! Built from an event time's curve or from a column's own statistics. Not
//! here: growth; a spread is what was found. Invariant: `below` ascends from
//! zero to one.

use std::cmp::Ordering;

use crate::model::profile::ColumnStatistics;
use crate::planning::forecast::Observation;
use crate::planning::proposal::edge::Scale;

/// Shares of the rows (without NULLs) along the number line of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// (position, share of the rows at or below), ascending in both, linear
    /// in between.
    curve: Vec<(f64, f64)>,
    /// (position, share): values that many rows have.
    common: Vec<(f64, f64)>,
    /// Every position of both, with the shares below and up to it.
    points: Vec<Point>,
}

/// Where the shares below bend or jump.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    at: f64,
    below: f64,
    /// With the values at the position itself.
    upto: f64,
}

impl Spread {
    /// From cumulative rows at moments.
    #[must_use]
    pub fn of_curve(observations: &[Observation]) -> Option<Self> {
        let total = observations.last()?.value;
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        let curve: Vec<_> =
            observations.iter().map(|seen| (seen.at as f64, (seen.value / total).clamp(0.0, 1.0))).collect();
        Self::checked(curve, Vec::new())
    }

    /// From most common values and histogram; `None` where there are no
    /// values that have an order here.
    #[must_use]
    pub fn of_statistics(statistics: &ColumnStatistics, scale: &Scale) -> Option<Self> {
        let position = |text: &String| scale.position(text);
        let mut common: Vec<_> = statistics
            .common_values
            .iter()
            .zip(&statistics.common_fractions)
            .filter_map(|(value, share)| Some((position(value)?, share.clamp(0.0, 1.0))))
            .collect();
        common.sort_by(|a, b| a.0.total_cmp(&b.0));
        // A histogram that comes from elsewhere need not be sorted.
        let mut bounds: Vec<_> = statistics.histogram.iter().filter_map(position).collect();
        bounds.sort_by(f64::total_cmp);
        let in_common: f64 = common.iter().map(|value| value.1).sum();
        let rest = if bounds.is_empty() {
            0.0
        } else {
            (1.0 - statistics.null_fraction.clamp(0.0, 1.0) - in_common).max(f64::EPSILON)
        };
        let total = in_common + rest;
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        for value in &mut common {
            value.1 /= total;
        }
        let steps = bounds.len().saturating_sub(1).max(1) as f64;
        let curve = bounds.iter().enumerate().map(|(at, bound)| {
            let done = if bounds.len() == 1 { 1.0 } else { at as f64 / steps };
            (*bound, done * rest / total)
        });
        Self::checked(curve.collect(), common)
    }

    /// From values, each as heavy as any other.
    #[must_use]
    pub fn of_values(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        if values.first() == values.last() {
            return Self::checked(Vec::new(), vec![(*values.first()?, 1.0)]);
        }
        let place = |(at, value): (usize, &f64)| (*value, at as f64 / (count - 1.0));
        Self::checked(values.iter().enumerate().map(place).collect(), Vec::new())
    }

    /// Of values with their shares, and a spread that has the rest.
    #[must_use]
    pub fn mixed(mut common: Vec<(f64, f64)>, rest: Option<&Self>, rest_share: f64) -> Option<Self> {
        let mut curve = Vec::new();
        if let Some(rest) = rest {
            curve = rest.curve.iter().map(|point| (point.0, point.1 * rest_share)).collect();
            common.extend(rest.common.iter().map(|value| (value.0, value.1 * rest_share)));
        }
        common.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = common.iter().map(|value| value.1).sum::<f64>() + curve.last().map_or(0.0, |last| last.1);
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        curve.iter_mut().chain(&mut common).for_each(|point| point.1 /= total);
        Self::checked(curve, common)
    }

    fn checked(curve: Vec<(f64, f64)>, common: Vec<(f64, f64)>) -> Option<Self> {
        let ascending = |pair: &[(f64, f64)]| {
            pair[0].0.partial_cmp(&pair[1].0).is_some_and(Ordering::is_le) && pair[0].1 <= pair[1].1
        };
        if !curve.windows(2).all(ascending) {
            return None;
        }
        if !curve.iter().chain(&common).all(|point| point.0.is_finite() && point.1.is_finite()) {
            return None;
        }
        let mut positions: Vec<f64> = curve.iter().chain(&common).map(|point| point.0).collect();
        positions.sort_by(f64::total_cmp);
        positions.dedup();
        if positions.is_empty() {
            return None;
        }
        let (mut values, mut passed) = (common.iter().peekable(), 0.0);
        let points = positions.into_iter().map(|at| {
            let below = curve_below(&curve, at) + passed;
            while let Some(value) = values.next_if(|value| value.0 <= at) {
                passed += value.1;
            }
            let upto = curve_below(&curve, at) + passed;
            Point { at, below: below.clamp(0.0, 1.0), upto: upto.clamp(0.0, 1.0) }
        });
        Some(Self { points: points.collect(), curve, common })
    }

    /// The lowest position that has rows.
    #[must_use]
    pub fn first(&self) -> f64 {
        self.points.first().map_or(0.0, |point| point.at)
    }

    /// The highest position that has rows.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.at)
    }

    /// Share of the rows below `position`.
    #[must_use]
    pub fn below(&self, position: f64) -> f64 {
        let after = self.points.partition_point(|point| point.at < position);
        match (after.checked_sub(1).map(|at| self.points[at]), self.points.get(after)) {
            (None, _) => 0.0,
            (Some(before), None) => before.upto,
            (Some(before), Some(after)) => {
                before.upto + (after.below - before.upto) * (position - before.at) / (after.at - before.at)
            }
        }
    }

    /// Share of the rows from `lower` up to but not including `upper`.
    #[must_use]
    pub fn between(&self, lower: f64, upper: f64) -> f64 {
        (self.below(upper) - self.below(lower)).max(0.0)
    }

    /// The position below which `share` of the rows lie; where a value has
    /// them, the next position after it.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let after = self.points.partition_point(|point| point.below < share);
        match (after.checked_sub(1).map(|at| self.points[at]), self.points.get(after)) {
            (None, _) => self.first(),
            (Some(before), _) if before.upto >= share => before.at.next_up(),
            (Some(before), None) => before.at,
            (Some(before), Some(after)) => {
                let part = (share - before.upto) / (after.below - before.upto);
                before.at + (after.at - before.at) * part.clamp(0.0, 1.0)
            }
        }
    }
}

/// Share of a curve below a position.
fn curve_below(curve: &[(f64, f64)], position: f64) -> f64 {
    let after = curve.partition_point(|point| point.0 < position);
    match (after.checked_sub(1).map(|at| curve[at]), curve.get(after)) {
        (None, _) => 0.0,
        (Some(before), None) => before.1,
        (Some(before), Some(after)) => {
            before.1 + (after.1 - before.1) * (position - before.0) / (after.0 - before.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyType;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn a_histogram_is_interpolated() {
        let statistics = ColumnStatistics {
            null_fraction: 0.2,
            common_values: vec!["5".to_owned()],
            common_fractions: vec![0.4],
            histogram: ["0", "10", "30"].map(str::to_owned).to_vec(),
            ..ColumnStatistics::default()
        };
        let spread = Spread::of_statistics(&statistics, &Scale::Typed(KeyType::Integer)).unwrap();
        near(spread.below(0.0), 0.0);
        near(spread.below(5.0), 0.125);
        near(spread.below(5.1), 0.1275 + 0.5);
        near(spread.below(10.0), 0.75);
        near(spread.below(20.0), 0.875);
        near(spread.below(31.0), 1.0);
        near(spread.between(10.0, 30.0), 0.25);
        near(spread.quantile(0.875), 20.0);
        assert_eq!((spread.first(), spread.last()), (0.0, 30.0));
    }

    #[test]
    fn values_without_an_order_give_no_spread() {
        let statistics = ColumnStatistics {
            histogram: ["infinity", "never"].map(str::to_owned).to_vec(),
            ..ColumnStatistics::default()
        };
        assert_eq!(Spread::of_statistics(&statistics, &Scale::Typed(KeyType::Date)), None);
        assert_eq!(
            Spread::of_statistics(&ColumnStatistics::default(), &Scale::Typed(KeyType::Integer)),
            None
        );
        assert_eq!(Spread::of_curve(&[]), None);
        assert_eq!(Spread::of_curve(&[Observation { at: 0, value: 0.0 }]), None);
    }
}
