//! A series: observations that a forecast can rest on.
//!
//! Here input is checked, put in order and thinned. Nothing is estimated.
//!
//! Invariant: a `Series` is not empty, its moments ascend strictly, and
//! its values are finite and at most [`VALUE_MAX`] in magnitude.

use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;
use crate::planning::forecast::error::ForecastError;

/// The largest magnitude of a value, no unit. Slopes over a microsecond that
/// are carried on for a century stay far inside the range of `f64`.
pub const VALUE_MAX: f64 = 1e100;

/// Fractional part of the golden ratio: its multiples, modulo one, are spread
/// evenly without ever falling into step with a period of the data.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Pairs times (microseconds since 1970 UTC) with values.
///
/// # Errors
/// [`ForecastError`] if the lengths differ, nothing is given, or a value is
/// not finite.
pub fn observations(times: &[i64], values: &[f64]) -> Result<Vec<Observation>, ForecastError> {
    if times.len() != values.len() {
        return Err(ForecastError::UnequalLengths { times: times.len(), values: values.len() });
    }
    let pairs = times.iter().zip(values);
    let observations: Vec<_> = pairs.map(|(at, value)| Observation { at: *at, value: *value }).collect();
    check(&observations)?;
    Ok(observations)
}

fn check(observations: &[Observation]) -> Result<(), ForecastError> {
    if observations.is_empty() {
        return Err(ForecastError::EmptySeries);
    }
    let bad = observations.iter().position(|observation| !in_range(observation.value));
    bad.map_or(Ok(()), |index| {
        Err(ForecastError::NotFinite { position: index + 1, value: observations[index].value })
    })
}

/// Whether a value can be calculated with.
pub(super) fn in_range(value: f64) -> bool {
    value.abs() <= VALUE_MAX // false for NaN and infinity
}

/// Checked observations in order of time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    observations: Vec<Observation>,
}

impl Series {
    /// Orders the observations; the last one given for a moment counts.
    ///
    /// # Errors
    /// [`ForecastError`] if there is none or a value is out of range.
    pub(super) fn new(observations: &[Observation]) -> Result<Self, ForecastError> {
        check(observations)?;
        let mut ordered = observations.to_vec();
        // Reversed before a stable sort, so that the last one given comes
        // first in its group and is the one that `dedup` keeps.
        ordered.reverse();
        ordered.sort_by_key(|observation| observation.at);
        ordered.dedup_by_key(|observation| observation.at);
        Ok(Self { observations: ordered })
    }

    pub(super) fn len(&self) -> usize {
        self.observations.len()
    }

    pub(super) fn first(&self) -> Observation {
        self.observations[0]
    }

    pub(super) fn last(&self) -> Observation {
        self.observations[self.observations.len() - 1]
    }

    /// Days from the first to the last observation.
    pub(super) fn span_days(&self) -> f64 {
        days_between(self.first().at, self.last().at)
    }

    pub(super) fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Whether no observation is below the one before.
    pub(super) fn never_fell(&self) -> bool {
        self.observations.windows(2).all(|pair| pair[0].value <= pair[1].value)
    }

    /// Observations in the last so many days.
    pub(super) fn readings_within(&self, days: usize) -> usize {
        let last = self.last().at;
        let from = self.observations.partition_point(|point| days_between(point.at, last) > days as f64);
        self.len() - from
    }

    /// How many of the last so many days, counted back from the last
    /// observation, have an observation.
    pub(super) fn observed_days(&self, days: usize) -> usize {
        let last = self.last().at;
        let of = |point: &Observation| days_between(point.at, last) as usize;
        let mut observed: Vec<usize> = self.observations.iter().map(of).filter(|day| *day < days).collect();
        observed.dedup();
        observed.len()
    }

    /// Whether all values are the same.
    pub(super) fn constant(&self) -> bool {
        self.observations.iter().all(|observation| observation.value == self.first().value)
    }

    /// At most `most` observations (at least two), the first and the last
    /// among them, one from each of equal stretches of the series.
    ///
    /// Within its stretch the place of the observation moves: taking every
    /// k-th would see a daily cycle always at the same hour and call the rest
    /// of the cycle certain.
    pub(super) fn thinned(&self, most: usize) -> Vec<Observation> {
        let inner = self.len().saturating_sub(2);
        let stretches = most.saturating_sub(2);
        if inner <= stretches {
            return self.observations.clone();
        }
        let width = inner as f64 / stretches.max(1) as f64;
        let mut thinned = vec![self.first()];
        for stretch in 0..stretches {
            let place = stretch as f64 + (stretch as f64 * GOLDEN).fract();
            let index = 1 + ((place * width) as usize).min(inner - 1);
            thinned.push(self.observations[index]);
        }
        thinned.push(self.last());
        thinned.dedup_by_key(|observation| observation.at);
        thinned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_values_are_paired() {
        let paired = observations(&[2, 1], &[20.0, 10.0]).unwrap();
        assert_eq!(paired, [Observation { at: 2, value: 20.0 }, Observation { at: 1, value: 10.0 }]);
        assert_eq!(
            observations(&[1], &[1.0, 2.0]),
            Err(ForecastError::UnequalLengths { times: 1, values: 2 })
        );
        assert_eq!(observations(&[], &[]), Err(ForecastError::EmptySeries));
        assert!(observations(&[1, 2], &[1.0, f64::NAN]).is_err());
    }

    #[test]
    fn the_last_value_of_a_moment_counts() {
        let given = observations(&[5, 1, 5, 3, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let series = Series::new(&given).unwrap();
        let values: Vec<_> = series.observations.iter().map(|o| (o.at, o.value)).collect();
        assert_eq!(values, [(1, 2.0), (3, 4.0), (5, 5.0)]);
    }

    #[test]
    fn thinning_keeps_both_ends_and_the_order() {
        for (len, most) in [(1, 300), (2, 2), (3, 2), (300, 300), (301, 300), (450, 300), (10_000, 300)] {
            let times: Vec<i64> = (0..len).collect();
            let values: Vec<f64> = times.iter().map(|at| *at as f64).collect();
            let series = Series::new(&observations(&times, &values).unwrap()).unwrap();
            let thinned = series.thinned(most);
            assert!(thinned.len() <= most && thinned.len() >= (most / 2).min(len as usize), "{len}");
            assert_eq!((thinned[0], thinned[thinned.len() - 1]), (series.first(), series.last()));
            assert!(thinned.windows(2).all(|pair| pair[0].at < pair[1].at));
        }
    }

    #[test]
    fn thinning_sees_every_hour_of_the_day() {
        let times: Vec<i64> = (0..24 * 300).collect();
        let values = vec![0.0; times.len()];
        let thinned = Series::new(&observations(&times, &values).unwrap()).unwrap().thinned(300);
        let hours: std::collections::BTreeSet<i64> = thinned.iter().map(|o| o.at % 24).collect();
        assert_eq!(hours.len(), 24);
    }
}
