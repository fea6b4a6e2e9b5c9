//! How the rows of a table lie along one column.
//!
//! Built from an event time's curve or from a column's own statistics. Not
//! here: growth; a spread is what was found. Invariant: `below` ascends from
//! zero to one; positions are finite, and what lies before or after all of them
//! is counted apart.

use std::cmp::Ordering;

use crate::model::profile::ColumnStatistics;
use crate::planning::forecast::Observation;
use crate::planning::proposal::edge::Place;
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
    outside: Outside,
}

/// Shares of the rows (without NULLs) whose values have no position: infinity,
/// NaN, moments of no calendar.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Outside {
    pub below: f64,
    pub beyond: f64,
}

impl Outside {
    pub const fn share(self) -> f64 {
        self.below + self.beyond
    }

    fn add(&mut self, place: Place, share: f64) {
        match place {
            Place::Below => self.below += share,
            Place::Beyond => self.beyond += share,
            Place::At(_) => {}
        }
    }

    /// What ANALYZE found; of the bins of a histogram those that begin and end
    /// outside.
    pub fn of_statistics(statistics: &ColumnStatistics, scale: &Scale) -> Self {
        let found = Found::read(statistics, scale);
        let mut outside = found.outside;
        if found.total > 0.0 {
            outside.below /= found.total;
            outside.beyond /= found.total;
        }
        outside
    }
}

/// Shares of all rows, as ANALYZE found them.
struct Found {
    common: Vec<(f64, f64)>,
    /// Ascending positions of the bounds of equally full bins.
    bounds: Vec<f64>,
    /// Rows in the bins.
    binned: f64,
    outside: Outside,
    total: f64,
}

impl Found {
    fn read(statistics: &ColumnStatistics, scale: &Scale) -> Self {
        let place = |text: &String| scale.place(text);
        let pairs = statistics.common_values.iter().zip(&statistics.common_fractions);
        let mut outside = Outside::default();
        let mut common = Vec::new();
        for (place, share) in pairs.filter_map(|(value, share)| Some((place(value)?, share.clamp(0.0, 1.0))))
        {
            match place {
                Place::At(at) => common.push((at, share)),
                _ => outside.add(place, share),
            }
        }
        common.sort_by(|a, b| a.0.total_cmp(&b.0));
        let in_common = common.iter().map(|value| value.1).sum::<f64>() + outside.share();
        // A histogram that comes from elsewhere need not be sorted.
        let places: Vec<Place> = statistics.histogram.iter().filter_map(place).collect();
        let position = |place: &Place| match place {
            Place::At(at) => Some(*at),
            _ => None,
        };
        let mut bounds: Vec<f64> = places.iter().filter_map(position).collect();
        bounds.sort_by(f64::total_cmp);
        let rest = if places.is_empty() {
            0.0
        } else {
            (1.0 - statistics.null_fraction.clamp(0.0, 1.0) - in_common).max(f64::EPSILON)
        };
        let mut binned = rest;
        for end in [Place::Below, Place::Beyond] {
            let count = places.iter().filter(|place| **place == end).count();
            let bins = places.len().saturating_sub(1).max(1) as f64;
            // One bound alone ends a bin of values that do have positions.
            let whole = if bounds.is_empty() { count } else { count.saturating_sub(1) };
            let share = (rest * whole as f64 / bins).min(binned);
            outside.add(end, share);
            binned -= share;
        }
        Self { common, bounds, binned, outside, total: in_common + rest }
    }
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
        Self::checked(curve, Vec::new(), Outside::default())
    }

    /// From most common values and histogram; `None` where there are no
    /// values that have an order here.
    #[must_use]
    pub fn of_statistics(statistics: &ColumnStatistics, scale: &Scale) -> Option<Self> {
        let Found { mut common, bounds, binned, mut outside, total } = Found::read(statistics, scale);
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        for share in
            common.iter_mut().map(|value| &mut value.1).chain([&mut outside.below, &mut outside.beyond])
        {
            *share /= total;
        }
        let steps = bounds.len().saturating_sub(1).max(1) as f64;
        let curve = bounds.iter().enumerate().map(|(at, bound)| {
            let done = if bounds.len() == 1 { 1.0 } else { at as f64 / steps };
            (*bound, done * binned / total)
        });
        Self::checked(curve.collect(), common, outside)
    }

    /// The same rows, and beside them some that have no position.
    #[must_use]
    pub fn beside(&self, outside: Outside) -> Option<Self> {
        let inside = (1.0 - outside.share()).clamp(0.0, 1.0);
        let scaled = |line: &[(f64, f64)]| line.iter().map(|point| (point.0, point.1 * inside)).collect();
        Self::checked(scaled(&self.curve), scaled(&self.common), outside)
    }

    /// From values, each as heavy as any other.
    #[must_use]
    pub fn of_values(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        if values.first() == values.last() {
            return Self::checked(Vec::new(), vec![(*values.first()?, 1.0)], Outside::default());
        }
        let place = |(at, value): (usize, &f64)| (*value, at as f64 / (count - 1.0));
        Self::checked(values.iter().enumerate().map(place).collect(), Vec::new(), Outside::default())
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
        Self::checked(curve, common, Outside::default())
    }

    fn checked(curve: Vec<(f64, f64)>, common: Vec<(f64, f64)>, outside: Outside) -> Option<Self> {
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
        let (mut values, mut passed) = (common.iter().peekable(), outside.below);
        let points = positions.into_iter().map(|at| {
            let below = curve_below(&curve, at) + passed;
            while let Some(value) = values.next_if(|value| value.0 <= at) {
                passed += value.1;
            }
            let upto = curve_below(&curve, at) + passed;
            Point { at, below: below.clamp(0.0, 1.0), upto: upto.clamp(0.0, 1.0) }
        });
        Some(Self { points: points.collect(), curve, common, outside })
    }

    /// Rows that have no position.
    #[must_use]
    pub const fn outside(&self) -> Outside {
        self.outside
    }

    /// The same rows, single values at the ends that stand for "always" or
    /// "never" counted as outside: those at least `gap` away from all others.
    #[must_use]
    pub fn without_sentinels(self, gap: f64) -> Self {
        let single = |point: &Point| self.common.iter().any(|value| value.0.total_cmp(&point.at).is_eq());
        let mut kept = self.points.as_slice();
        while let [first, .., last] = kept {
            let (second, before) = (&kept[1], &kept[kept.len() - 2]);
            if single(last) && last.at - before.at >= gap {
                kept = &kept[..kept.len() - 1];
            } else if single(first) && second.at - first.at >= gap {
                kept = &kept[1..];
            } else {
                break;
            }
        }
        let (Some(first), Some(last)) = (kept.first().copied(), kept.last().copied()) else { return self };
        if kept.len() == self.points.len() {
            return self;
        }
        let inside = |value: &(f64, f64)| value.0 >= first.at && value.0 <= last.at;
        let common = self.common.iter().copied().filter(inside).collect();
        let outside = Outside { below: first.below, beyond: 1.0 - last.upto };
        let curve = self.curve.clone();
        Self::checked(curve, common, outside).unwrap_or(self)
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

    /// Share of the rows below `position`; none lie below minus infinity, and
    /// all below infinity.
    #[must_use]
    pub fn below(&self, position: f64) -> f64 {
        if position.is_infinite() {
            return if position > 0.0 { 1.0 } else { 0.0 };
        }
        let after = self.points.partition_point(|point| point.at < position);
        match (after.checked_sub(1).map(|at| self.points[at]), self.points.get(after)) {
            (None, _) => self.outside.below,
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
    fn infinite_values_are_counted_apart() {
        let text = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let found = |common: &[&str], fractions: &[f64], histogram: &[&str]| {
            let statistics = ColumnStatistics {
                null_fraction: 0.2,
                common_values: text(common),
                common_fractions: fractions.to_vec(),
                histogram: text(histogram),
                ..ColumnStatistics::default()
            };
            Spread::of_statistics(&statistics, &Scale::Typed(KeyType::Date))
        };
        let day = 86_400e6;
        // Of 0.8 with a value half are never over.
        let spread = found(&["infinity"], &[0.4], &["1970-01-01", "1970-01-02", "1970-01-03"]).unwrap();
        near(spread.outside().beyond, 0.5);
        near(spread.below(day), 0.25);
        near(spread.below(1e300), 0.5);
        near(spread.below(f64::INFINITY), 1.0);
        near(spread.between(f64::NEG_INFINITY, 1.0), 0.0);
        assert_eq!((spread.first(), spread.last(), spread.quantile(0.9)), (0.0, 2.0 * day, 2.0 * day));
        // Bins from one infinite bound to the next; years before the first.
        let spread = found(
            &["0044-03-15 BC"],
            &[0.4],
            &["1970-01-01", "1970-01-03", "infinity", "infinity", "infinity"],
        )
        .unwrap();
        near(spread.outside().below, 0.5);
        near(spread.outside().beyond, 0.25);
        near(spread.below(-1.0), 0.5);
        near(spread.below(1e300), 0.75);
        assert_eq!(spread.last(), 2.0 * day);
        // One bound alone may be a single row.
        let spread = found(&[], &[], &["-infinity", "1970-01-01", "1970-01-03", "infinity"]).unwrap();
        near(spread.outside().share(), 0.0);
        near(spread.below(day), 0.5);
        assert_eq!(found(&["infinity"], &[0.8], &[]), None);
    }

    #[test]
    fn values_that_stand_for_never_are_no_end() {
        let statistics = ColumnStatistics {
            common_values: ["9999-12-31", "1900-01-01"].map(str::to_owned).to_vec(),
            common_fractions: vec![0.3, 0.1],
            histogram: ["2020-01-01", "2026-01-01"].map(str::to_owned).to_vec(),
            ..ColumnStatistics::default()
        };
        let year = 365.0 * 86_400e6;
        let spread = Spread::of_statistics(&statistics, &Scale::Typed(KeyType::Date)).unwrap();
        assert_eq!(spread.clone().without_sentinels(1e5 * year), spread);
        let spread = spread.without_sentinels(20.0 * year);
        near(spread.outside().below, 0.1);
        near(spread.outside().beyond, 0.3);
        near(spread.below(spread.first()), 0.1);
        near(spread.below(spread.last().next_up()), 0.7);
        assert_eq!((spread.first(), spread.last()), (1_577_836_800e6, 1_767_225_600e6));
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
