//! The rate of a series, robust against single observations.
//!
//! Only the slope is estimated here, not the level: lines go through an
//! anchor that others choose. Invariant: slopes of finite observations in
//! range are finite.

use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;

/// Fewest observations of a recent part: a slope of fewer is mostly noise.
const RECENT_MIN: usize = 8;

/// Median of the slopes of all pairs (Theil 1950, Sen 1968), per day. Up to
/// 29 % of the observations may be anything without turning the line.
///
/// `points` ascend strictly in time; fewer than two have no slope, which is
/// zero here. Takes time and space in the square of their number.
pub(super) fn theil_sen(points: &[Observation]) -> f64 {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, from) in points.iter().enumerate() {
        for to in &points[index + 1..] {
            slopes.push((to.value - from.value) / days_between(from.at, to.at));
        }
    }
    median(&mut slopes)
}

/// The same of values that are evenly spaced, per step.
pub(super) fn even_slope(values: &[f64]) -> f64 {
    let mut slopes = Vec::with_capacity(values.len() * values.len().saturating_sub(1) / 2);
    for (index, from) in values.iter().enumerate() {
        slopes.extend(values[index + 1..].iter().zip(1..).map(|(to, steps)| (to - from) / f64::from(steps)));
    }
    median(&mut slopes)
}

/// The last observations of a series: those of the last `share` of its time,
/// and never fewer than [`RECENT_MIN`].
pub(super) fn recent(points: &[Observation], share: f64) -> &[Observation] {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return points };
    let days = days_between(first.at, last.at) * share;
    let from = points.partition_point(|point| days_between(point.at, last.at) > days);
    &points[from.min(points.len().saturating_sub(RECENT_MIN))..]
}

/// The middle value, or the mean of the two in the middle; zero of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if even {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        lower / 2.0 + upper / 2.0
    } else {
        upper
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::forecast::DAY;

    #[test]
    fn the_middle_is_found() {
        for (mut values, expected) in
            [(vec![], 0.0), (vec![3.0], 3.0), (vec![4.0, 2.0], 3.0), (vec![9.0, 1.0, 5.0], 5.0)]
        {
            assert_eq!(median(&mut values), expected);
        }
    }

    #[test]
    fn the_recent_part_is_counted_in_time_and_bounded_below() {
        let points: Vec<Observation> =
            (0..101).map(|day| Observation { at: day * DAY, value: 0.0 }).collect();
        for (share, expected) in [(1.0, 101), (0.5, 51), (0.25, 26), (0.0, RECENT_MIN)] {
            assert_eq!(recent(&points, share).len(), expected, "{share}");
        }
        assert_eq!(recent(&points[..3], 0.25).len(), 3);
        assert_eq!(recent(&[], 0.25).len(), 0);
    }

    #[test]
    fn sen_s_example_has_its_published_slope() {
        // Sen (1968), section 6: t = 1, 2, 3, 4, 10, 12, 18; b = 4.
        let times = [1, 2, 3, 4, 10, 12, 18];
        let values = [9.0, 15.0, 19.0, 20.0, 45.0, 55.0, 78.0];
        let points: Vec<Observation> =
            times.iter().zip(values).map(|(day, value)| Observation { at: day * DAY, value }).collect();
        assert!((theil_sen(&points) - 4.0).abs() < 1e-12);
    }
}
