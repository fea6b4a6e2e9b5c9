//! What a person expects of a table, and how it is weighed against what was
//! observed.
//!
//! A declared pace counts like two weeks of observation. What was observed
//! before it was declared was known to who declared it and does not speak
//! against it; what was observed since does, day by day. A declared volume is
//! taken as it is. In both cases the interval reaches from what was observed to
//! what was declared: who is right is not known.

use crate::planning::forecast::ForecastError;
use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;
use crate::planning::forecast::series::in_range;
use crate::planning::forecast::trend::Trend;

/// Days of observation that a declared pace is worth.
pub const DAYS_WORTH: f64 = 14.0;

/// What a person expects.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Declared {
    /// Rows by which the table grows every day.
    pub rows_per_day: Option<f64>,
    /// When that was declared, microseconds since 1970 UTC; none = now.
    pub since: Option<i64>,
    /// The size at the horizon; goes before the pace.
    pub volume: Option<Volume>,
}

/// A declared size at the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Volume {
    /// Bytes of the table.
    pub bytes: f64,
    /// Bytes of all tables, if it was declared for these.
    pub of_all: Option<f64>,
}

impl Declared {
    /// Refuses what no forecast can be made of.
    pub(super) fn check(&self) -> Result<(), ForecastError> {
        if let Some(rate) = self.rows_per_day.filter(|rate| !in_range(*rate)) {
            return Err(ForecastError::ExpectedRate(rate));
        }
        let wrong = |bytes: &f64| !(in_range(*bytes) && *bytes >= 0.0);
        if let Some(bytes) = self.volume.map(|volume| volume.bytes).filter(wrong) {
            return Err(ForecastError::ExpectedVolume(bytes));
        }
        Ok(())
    }
}

/// A pace between the declared and the observed one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blend {
    declared: f64,
    observed: f64,
    pub(super) rate: f64,
    /// Share of the declared one.
    pub(super) weight: f64,
}

impl Blend {
    /// `days` were observed since the declaration.
    pub(super) fn of(declared: f64, observed: f64, days: f64) -> Self {
        let weight = DAYS_WORTH / (DAYS_WORTH + days.max(0.0));
        Self { declared, observed, rate: weight * declared + (1.0 - weight) * observed, weight }
    }

    /// A line at this pace. Its doubt is that of the observations, and at least
    /// as far as to what was declared and to what was observed: where nothing
    /// was, ±100 % of the growth.
    pub(super) fn point(&self, trend: &Trend, anchor: Observation, at: i64) -> ForecastPoint {
        let days = days_between(anchor.at, at);
        let value = anchor.value + self.rate * days;
        let contradiction = (self.rate - self.observed).abs().max((self.rate - self.declared).abs()) * days;
        let half = trend.half_width(anchor.at, at).max(contradiction);
        ForecastPoint { at, value, lower: value - half, upper: value + half }
    }
}

/// On the straight way from `now` to a declared size at the horizon, of which
/// `share` has passed, with `forecast` as what speaks against it.
pub(super) fn towards(now: f64, declared: f64, share: f64, forecast: ForecastPoint) -> ForecastPoint {
    let value = now + (declared - now) * share;
    let doubt = (forecast.upper - forecast.lower) / 2.0;
    let half = doubt.max((forecast.value - value).abs());
    ForecastPoint { at: forecast.at, value, lower: value - half, upper: value + half }
}

/// Divides a declared size of all tables: those with one of their own keep it,
/// the others share the rest in proportion to their forecasts (in bytes).
#[must_use]
pub fn divided(all: f64, tables: &[(f64, Option<f64>)]) -> Vec<f64> {
    let own: f64 = tables.iter().filter_map(|(_, own)| *own).sum();
    let forecast: f64 = tables.iter().filter(|(_, own)| own.is_none()).map(|(forecast, _)| forecast).sum();
    let rest = (all - own).max(0.0);
    let part = |forecast: f64, sum: f64| if sum > 0.0 { rest * forecast / sum } else { 0.0 };
    tables.iter().map(|(bytes, own)| own.unwrap_or_else(|| part(*bytes, forecast))).collect()
}

/// Bytes as PostgreSQL writes sizes.
pub(super) fn pretty(bytes: f64) -> String {
    let mut amount = bytes;
    for unit in ["bytes", "kB", "MB", "GB", "TB"] {
        if amount.abs() < 10_240.0 {
            return format!("{amount:.0} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.0} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_observed_since_speaks_against_what_was_declared() {
        for (days, rate) in [(0.0, 50.0), (-3.0, 50.0), (14.0, 30.0), (42.0, 20.0), (1e9, 10.0)] {
            let blend = Blend::of(50.0, 10.0, days);
            assert!((blend.rate - rate).abs() < 1e-3, "{days}: {blend:?}");
            assert!((0.0..=1.0).contains(&blend.weight));
        }
    }

    #[test]
    fn the_interval_reaches_both() {
        let trend = Trend::unknown(0);
        let day = crate::planning::forecast::DAY;
        for days in [0.0, 7.0, 100.0] {
            let point =
                Blend::of(50.0, 10.0, days).point(&trend, Observation { at: 0, value: 1000.0 }, 10 * day);
            assert!(point.lower <= 1100.0 + 1e-9 && point.upper >= 1500.0 - 1e-9, "{days}: {point:?}");
        }
        let seen = ForecastPoint { at: 1, value: 50.0, lower: 45.0, upper: 55.0 };
        let point = towards(10.0, 210.0, 0.5, seen);
        assert_eq!((point.lower, point.value, point.upper), (50.0, 110.0, 170.0));
        let point = towards(10.0, 90.0, 0.5, seen);
        assert_eq!((point.lower, point.value, point.upper), (45.0, 50.0, 55.0));
    }

    #[test]
    fn a_volume_of_all_tables_is_divided() {
        assert_eq!(divided(100.0, &[(10.0, None), (30.0, None)]), [25.0, 75.0]);
        assert_eq!(divided(100.0, &[(10.0, None), (30.0, None), (1.0, Some(60.0))]), [10.0, 30.0, 60.0]);
        assert_eq!(divided(100.0, &[(10.0, None), (1.0, Some(600.0))]), [0.0, 600.0]);
        assert_eq!(divided(100.0, &[(0.0, None)]), [0.0]);
        assert_eq!(divided(100.0, &[]), [0.0; 0]);
    }

    #[test]
    fn sizes_are_written_as_postgresql_does() {
        for (bytes, text) in
            [(0.0, "0 bytes"), (10_240.0, "10 kB"), (4e11, "373 GB"), (1e15, "909 TB"), (1e20, "88818 PB")]
        {
            assert_eq!(pretty(bytes), text);
        }
    }

    #[test]
    fn unusable_declarations_are_refused() {
        let volume = |bytes| Declared { volume: Some(Volume { bytes, of_all: None }), ..Declared::default() };
        for bytes in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(volume(bytes).check().is_err());
        }
        assert!(Declared { rows_per_day: Some(f64::NAN), ..Declared::default() }.check().is_err());
        assert!(volume(0.0).check().is_ok());
    }
}
