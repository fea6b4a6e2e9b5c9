//! A series seen as days and hours, counted back from the last observation.
//!
//! Days end when the last observation was made, so no calendar and no time
//! zone is needed, and moving the series in time changes nothing. Between two
//! observations the change is spread evenly. Single jumps, a bulk load or a
//! purge, are taken out (`jump`), because they say nothing of the rate.
//!
//! Invariant: there are at least [`DAYS_MIN`] days, most of them observed.

use crate::planning::forecast::DAY;
use crate::planning::forecast::Observation;
use crate::planning::forecast::jump::without_jumps;
use crate::planning::forecast::series::Series;
use crate::planning::forecast::slope::median;

/// Fewest days that a rhythm is looked for in.
pub(super) const DAYS_MIN: usize = 3;

/// The same where readings do not tell the hours: there is no rhythm to find
/// before that of the week, and every reading counts for a line.
const COARSE_DAYS_MIN: usize = 14;

/// Most days that are looked at: two years, as long as sizes are kept.
const DAYS_MAX: usize = 731;

/// Most days whose hours are looked at.
const FINE_DAYS_MAX: usize = 56;

/// Readings a day that tell the hours apart.
const FINE: f64 = 8.0;

/// Share of the days that must have been observed; a rhythm of days cannot be
/// told from a reading a week.
const OBSERVED_MIN: f64 = 0.7;

/// Differences smaller than this share of the values are rounding.
const ROUNDING: f64 = 1e-13;

pub(super) const HOURS: usize = 24;

/// What came day by day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Days {
    /// Change of each day, oldest first.
    pub(super) changes: Vec<f64>,
    /// Change of each hour of the last days, oldest first; empty if readings
    /// are not that close.
    pub(super) hours: Vec<f64>,
    /// Whether nothing ever shrank.
    pub(super) rising: bool,
    /// Jumps that were taken out.
    pub(super) jumps: usize,
}

impl Days {
    /// The days of a series; `None` if they are too few or too thinly read for
    /// a rhythm.
    pub(super) fn of(series: &Series) -> Option<Self> {
        let days = (series.span_days() as usize).min(DAYS_MAX);
        if days < DAYS_MIN || (series.observed_days(days) as f64) < OBSERVED_MIN * days as f64 {
            return None;
        }
        let fine = fine_days(series, days);
        if fine == 0 && days < COARSE_DAYS_MIN {
            return None;
        }
        let mut changes = steps(series, days, DAY);
        let mut hours = steps(series, fine * HOURS, DAY / HOURS as i64);
        let typical = typical_day(&changes);
        let coarse = days - fine;
        let mut jumps = without_jumps(&mut hours, days, typical);
        jumps += without_jumps(&mut changes[..coarse], days, typical);
        for (day, hours) in changes[coarse..].iter_mut().zip(hours.chunks(HOURS)) {
            *day = hours.iter().sum();
        }
        let rising = changes.iter().chain(&hours).all(|change| *change >= 0.0);
        Some(Self { changes, hours, rising, jumps })
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Values over the `days` days before the end of day `end` (a count of
    /// days), so many hours apart (a divisor of 24) where hours are known, and
    /// how many of them make a day. They start at zero.
    pub(super) fn ticks(&self, end: usize, days: usize, apart: usize) -> (Vec<f64>, usize) {
        let start = end.saturating_sub(days);
        let coarse = self.len() - self.hours.len() / HOURS;
        let (steps, per_day): (Vec<f64>, usize) = if start >= coarse && !self.hours.is_empty() {
            let hours = &self.hours[(start - coarse) * HOURS..(end - coarse) * HOURS];
            (hours.chunks(apart).map(|part| part.iter().sum()).collect(), HOURS / apart)
        } else {
            (self.changes[start..end].to_vec(), 1)
        };
        let mut value = 0.0;
        let ticks = std::iter::once(0.0).chain(steps.iter().map(|step| {
            value += step;
            value
        }));
        (ticks.collect(), per_day)
    }
}

/// The middle of the changes of single days, in magnitude.
fn typical_day(changes: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = changes.iter().map(|change| change.abs()).collect();
    median(&mut sizes)
}

/// The last days whose hours can be told apart.
fn fine_days(series: &Series, days: usize) -> usize {
    let mut fine = days.min(FINE_DAYS_MAX);
    while fine > 0 && (series.readings_within(fine) as f64) < FINE * fine as f64 {
        fine /= 2;
    }
    if fine < DAYS_MIN { 0 } else { fine }
}

/// Changes over the last `count` steps of `width` microseconds.
pub(super) fn steps(series: &Series, count: usize, width: i64) -> Vec<f64> {
    let observations = series.observations();
    let last = series.last();
    let mut values = Vec::with_capacity(count + 1);
    let mut after = observations.len() - 1;
    for step in 0..=count as i64 {
        let at = last.at.saturating_sub(step * width);
        while after > 0 && observations[after - 1].at >= at {
            after -= 1;
        }
        values.push(between(observations, after, at));
    }
    // Interpolation leaves differences that are only rounding.
    let hair = ROUNDING * values.iter().map(|value| value.abs()).fold(0.0, f64::max);
    let step = |pair: &[f64]| Some(pair[0] - pair[1]).filter(|step| step.abs() > hair).unwrap_or(0.0);
    values.windows(2).rev().map(step).collect()
}

/// The value at a moment that lies at or before observation `after`, and
/// after the one before it.
fn between(observations: &[Observation], after: usize, at: i64) -> f64 {
    let to = observations[after];
    let Some(from) = after.checked_sub(1).map(|before| observations[before]) else { return to.value };
    let share =
        (i128::from(to.at) - i128::from(at)) as f64 / (i128::from(to.at) - i128::from(from.at)) as f64;
    to.value - (to.value - from.value) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly(count: i64, value: impl Fn(i64) -> f64) -> Series {
        let hour = DAY / HOURS as i64;
        let at = |hours: i64| Observation { at: hours * hour + 1234, value: value(hours) };
        Series::new(&(0..count).map(at).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn days_are_counted_back_from_the_last_observation() {
        let days = Days::of(&hourly(24 * 4 + 8, |hour| (hour * hour) as f64)).unwrap();
        assert_eq!((days.len(), days.hours.len()), (4, 4 * 24));
        let last: f64 = 24.0 * 4.0 + 7.0;
        assert!((days.changes[3] - (last * last - (last - 24.0).powi(2))).abs() < 1e-6);
        assert!((days.hours[95] - (2.0 * last - 1.0)).abs() < 1e-6);
        assert!(days.rising);
    }

    #[test]
    fn short_and_thin_histories_have_no_days() {
        assert_eq!(Days::of(&hourly(24 * 3, |hour| hour as f64)), None, "a little less than three days");
        let every = |days: i64, count: i64| {
            let at = |n: i64| Observation { at: n * days * DAY, value: n as f64 };
            Series::new(&(0..count).map(at).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(Days::of(&every(1, 14)), None, "thirteen days, read daily");
        assert!(Days::of(&every(1, 15)).is_some_and(|days| days.hours.is_empty()));
        assert_eq!(Days::of(&every(7, 60)), None, "read weekly");
    }

    #[test]
    fn gaps_are_filled_evenly() {
        let all = hourly(24 * 10 + 1, |hour| 3.0 * hour as f64);
        let kept: Vec<Observation> =
            all.observations().iter().enumerate().filter(|(n, _)| n % 5 != 1).map(|(_, o)| *o).collect();
        let days = Days::of(&Series::new(&kept).unwrap()).unwrap();
        assert!(days.hours.iter().all(|hour| (hour - 3.0).abs() < 1e-9));
    }

    #[test]
    fn a_jump_is_no_day() {
        let days = Days::of(&hourly(24 * 10 + 1, |hour| hour as f64 + if hour > 100 { 1e6 } else { 0.0 }));
        let days = days.unwrap();
        assert_eq!(days.jumps, 1);
        assert!(days.changes.iter().all(|day| (day - 24.0).abs() < 1e-6), "{:?}", days.changes);
    }

    #[test]
    fn ticks_are_hours_where_hours_are_known() {
        let days = Days::of(&hourly(24 * 80 + 1, |hour| hour as f64)).unwrap();
        assert_eq!(days.ticks(80, 7, 3), ((0..=56).map(|tick| f64::from(tick) * 3.0).collect(), 8));
        assert_eq!(days.ticks(20, 7, 3), ((0..=7).map(|day| f64::from(day) * 24.0).collect(), 1));
    }
}
