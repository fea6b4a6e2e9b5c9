//! Growth: from what was observed to what is expected, with an honest interval.
//!
//! ```text
//! times and values ─→ event ─→ series ─→ trend ─┬───────────────→ forecast (any series)
//!   server ─→ ledger ─→ recorded (less events) ─┤
//!                                               └─→ evidence ─┬─→ growth ─→ share (of a shard)
//!   pg_stats ─→ distribution ─→ event_time, id_time ──────────┤
//!   what a person expects ─→ declared ────────────────────────┘
//!
//! trend = days (less jumps) ─→ rhythm, rate ─→ choice ─→ course ± interval
//! ```
//!
//! Here are the values that pass between the rooms and the entrance for any
//! series. What a table offers to learn from is weighed in `growth`. Nothing
//! is recorded or read here: observations come in as values.
//!
//! Invariant: `lower <= value <= upper` at every point, all three finite, and
//! the last point lies at the horizon.

mod choice;
mod course;
mod days;
pub mod declared;
pub mod distribution;
pub mod error;
mod event;
pub mod event_time;
mod evidence;
pub mod growth;
pub mod id_time;
mod interval;
mod jump;
pub mod ledger;
mod rate;
mod recorded;
mod regression;
mod rhythm;
pub mod series;
pub mod share;
mod slope;
mod trend;

use crate::model::key::KeyType;
use crate::planning::forecast::series::Series;
use crate::planning::forecast::trend::Trend;

pub use crate::planning::forecast::declared::Declared;
pub use crate::planning::forecast::declared::Volume;
pub use crate::planning::forecast::declared::divided;
pub use crate::planning::forecast::distribution::distribution;
pub use crate::planning::forecast::distribution::quantiles;
pub use crate::planning::forecast::distribution::rows_between;
pub use crate::planning::forecast::error::ForecastError;
pub use crate::planning::forecast::event::without_events;
pub use crate::planning::forecast::event_time::curve;
pub use crate::planning::forecast::event_time::event_time;
pub use crate::planning::forecast::growth::growth;
pub use crate::planning::forecast::series::observations;
pub use crate::planning::forecast::share::Part;
pub use crate::planning::forecast::share::Share;
pub use crate::planning::forecast::share::share;

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// The longest horizon, microseconds: 100 years. A plan for more is a slip of
/// the pen, and with this limit every moment stays inside the calendar.
pub const HORIZON_MAX: i64 = 36_525 * DAY;

/// Most points of one forecast: more would not fit a screen or a plot.
pub const POINTS_MAX: usize = 100;

/// One observation of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Microseconds since 1970-01-01 UTC.
    pub at: i64,
    pub value: f64,
}

/// Something that changed a value between two moments and is not growth: a
/// drop, a truncate, a restore, a move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Microseconds since 1970-01-01 UTC, like `until`.
    pub from: i64,
    pub until: i64,
    /// By how much, in the unit of the series; `None` takes what was observed.
    pub change: Option<f64>,
}

/// A point of a forecast with its 90 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForecastPoint {
    /// Microseconds since 1970-01-01 UTC.
    pub at: i64,
    pub value: f64,
    pub lower: f64,
    pub upper: f64,
}

/// What is expected of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Evenly spaced, the last one at the horizon.
    pub points: Vec<ForecastPoint>,
    /// Change of the value per day.
    pub rate_per_day: f64,
    /// Names the method and its inputs, for people.
    pub model: String,
}

/// A column that follows insertion: its histogram is the growth curve.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTime {
    pub column: String,
    pub key_type: KeyType,
    /// Cumulative rows at moments, ascending in both; the last value is the
    /// number of rows with a value.
    pub curve: Vec<Observation>,
}

/// What is expected of one table at the horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct Growth {
    pub rows_now: f64,
    pub bytes_now: f64,
    /// At most 100 points, the last one at the horizon.
    pub rows: Vec<ForecastPoint>,
    pub bytes: Vec<ForecastPoint>,
    /// The moment from which the forecast looks ahead: the capture, or the
    /// last event where the data are much older than the capture.
    pub origin: i64,
    /// Whether `origin` is the last event because the data are old.
    pub stale: bool,
    pub event_time: Option<EventTime>,
    /// Names the method and its inputs, for people.
    pub model: String,
    pub flow: Flow,
    /// A declared size over what the table's own pace makes of it: the tables
    /// are a small copy, whose rows and inflow are both that much larger. None
    /// if no size is declared.
    pub scale: Option<f64>,
}

/// What comes into a table and what goes, apart from what is left.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// Rows that come in from the origin until each moment of `rows`; without
    /// loads.
    pub inflow: Vec<ForecastPoint>,
    /// Rows deleted one by one, per day.
    pub removal_per_day: f64,
    /// A key that carries the moment of its making, where there is no column
    /// for it.
    pub id_time: Option<IdTime>,
}

/// Ids that carry the moment at which they were made.
#[derive(Debug, Clone, PartialEq)]
pub struct IdTime {
    pub column: String,
    pub kind: IdKind,
    /// As that of an [`EventTime`].
    pub curve: Vec<Observation>,
}

/// How a moment stands in an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// The first 48 bits are milliseconds since 1970 (RFC 9562).
    UuidV7,
    /// The bits above the lowest 22 are milliseconds since an epoch, which is
    /// in milliseconds since 1970.
    Snowflake { epoch: i64 },
}

/// Forecasts any series.
///
/// Observations may come in any order; of several at one moment the last one
/// given counts. The method follows the history (`trend`): one observation
/// stays as it is; two or three give a drift with ±100 % of the growth; up to
/// three days of close readings give their mean, thin readings a Theil–Sen
/// line; from three days on hours of the day, from two weeks on days of the
/// week are added, and the ways that would have been clearly better than
/// Theil–Sen in the past are mixed. The series may go below zero, so nothing
/// is cut off there, but one that never fell in two weeks and more is not
/// expected to.
///
/// What cannot be seen is not in the interval: a season longer than the
/// history, or a change of the rate that is still to come.
///
/// `horizon` is in microseconds, counted from `origin` (microseconds since
/// 1970 UTC), or from the last observation if that is later or there is no
/// `origin`. The number of points is brought into 1..=[`POINTS_MAX`].
///
/// # Errors
/// [`ForecastError`] if there is no observation, one is not finite, or the
/// horizon is not between one microsecond and [`HORIZON_MAX`].
pub fn forecast(
    observations: &[Observation],
    horizon: i64,
    points: usize,
    origin: Option<i64>,
) -> Result<Forecast, ForecastError> {
    check_horizon(horizon)?;
    let series = Series::new(observations)?;
    let trend = Trend::of(&series);
    let last = series.last();
    let origin = origin.map_or(last.at, |origin| origin.max(last.at));
    let points =
        moments(origin, horizon, points).map(|at| trend.point(last, at)).collect::<Vec<ForecastPoint>>();
    Ok(Forecast { points, rate_per_day: trend.rate_per_day(), model: trend.model })
}

/// Refuses a horizon (microseconds) outside 1..=[`HORIZON_MAX`].
fn check_horizon(horizon: i64) -> Result<(), ForecastError> {
    if (1..=HORIZON_MAX).contains(&horizon) { Ok(()) } else { Err(ForecastError::Horizon(horizon)) }
}

/// Evenly spaced moments after `origin`, the last one at the horizon.
fn moments(origin: i64, horizon: i64, points: usize) -> impl Iterator<Item = i64> {
    let points = points.clamp(1, POINTS_MAX) as i64;
    // `horizon * points` is below 3.2e15 * 100 and cannot overflow.
    (1..=points).map(move |step| origin.saturating_add(horizon * step / points))
}

/// Days from one moment to another, negative if it lies before.
fn days_between(from: i64, to: i64) -> f64 {
    // Moments may be anything, and their difference need not fit 64 bits.
    (i128::from(to) - i128::from(from)) as f64 / DAY as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(values: &[f64]) -> Vec<Observation> {
        values
            .iter()
            .enumerate()
            .map(|(day, value)| Observation { at: day as i64 * DAY, value: *value })
            .collect()
    }

    #[track_caller]
    fn check(values: &[f64], rate: f64, at_ten_days: (f64, f64, f64), model: &str) {
        let forecast = forecast(&daily(values), 10 * DAY, 5, None).unwrap();
        let last = forecast.points.last().unwrap();
        assert_eq!(forecast.points.len(), 5);
        assert_eq!(last.at, (values.len() as i64 - 1 + 10) * DAY);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
        assert!(close(forecast.rate_per_day, rate), "rate {}", forecast.rate_per_day);
        let found = (last.lower, last.value, last.upper);
        assert!(
            close(found.0, at_ten_days.0) && close(found.1, at_ten_days.1) && close(found.2, at_ten_days.2),
            "{found:?}"
        );
        assert_eq!(forecast.model, model);
    }

    #[test]
    fn the_method_follows_the_history() {
        check(&[7.0], 0.0, (7.0, 7.0, 7.0), "flat: one observation, change unknown");
        check(
            &[0.0, 5.0],
            5.0,
            (5.0, 55.0, 105.0),
            "drift of 2 observations over 24 hours, ±100 % of growth",
        );
        check(
            &[9.0, 8.0],
            -1.0,
            (-12.0, -2.0, 8.0),
            "drift of 2 observations over 24 hours, ±100 % of growth",
        );
        check(
            &[0.0, 5.0, 10.0],
            5.0,
            (10.0, 60.0, 110.0),
            "drift of 3 observations over 2 days, ±100 % of growth",
        );
        check(&[4.0; 2], 0.0, (4.0, 4.0, 4.0), "flat: 2 equal observations over 24 hours");
        check(&[0.0; 30], 0.0, (0.0, 0.0, 0.0), "flat: 30 equal observations over 29 days");
        // Exact lines keep 1 / (n - 2) of the growth as doubt.
        check(&[0.0, 1.0, 2.0, 3.0], 1.0, (8.0, 13.0, 18.0), "Theil-Sen over 3 days");
        let line: Vec<f64> = (0..102).map(f64::from).collect();
        check(&line, 1.0, (110.9, 111.0, 111.1), "Theil-Sen over the last 7 days of 101 days");
    }

    #[test]
    fn three_observations_that_disagree_are_not_certain() {
        let forecast = forecast(&daily(&[10.0, 0.0, 10.0]), DAY, 1, None).unwrap();
        assert!(forecast.points[0].upper >= 20.0, "{forecast:?}");
    }

    #[test]
    fn order_and_duplicates_do_not_matter() {
        let mut shuffled = daily(&[0.0, 3.0, 2.0, 4.0, 9.0, 6.0]);
        let expected = forecast(&shuffled, 10 * DAY, 3, None).unwrap();
        shuffled.insert(0, Observation { at: 5 * DAY, value: -100.0 });
        shuffled[1..6].reverse();
        assert_eq!(forecast(&shuffled, 10 * DAY, 3, None).unwrap(), expected);
    }

    #[test]
    fn an_outlier_does_not_turn_the_line() {
        let mut values: Vec<f64> = (0..50).map(f64::from).collect();
        values[20] = 1e6;
        assert!((forecast(&daily(&values), DAY, 1, None).unwrap().rate_per_day - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_that_changed_is_taken_from_the_recent_part() {
        let values: Vec<f64> = (0..60_i32).map(|day| f64::from(day.max(30 + 10 * (day - 30)))).collect();
        let found = forecast(&daily(&values), DAY, 1, None).unwrap();
        assert!(found.model.contains("over 59 days"), "{}", found.model);
        assert!((found.rate_per_day - 10.0).abs() < 0.1, "{}", found.rate_per_day);
    }

    #[test]
    fn the_origin_moves_the_horizon_and_widens_the_interval() {
        let values = daily(&[0.0, 1.0, 3.0, 3.0, 4.0, 6.0, 6.0]);
        let near = forecast(&values, 10 * DAY, 2, Some(0)).unwrap().points[1];
        let far = forecast(&values, 10 * DAY, 2, Some(16 * DAY)).unwrap().points[1];
        assert_eq!((near.at, far.at), (16 * DAY, 26 * DAY));
        assert!(far.value > near.value && far.upper - far.lower > near.upper - near.lower);
    }

    #[test]
    fn the_number_of_points_is_bounded() {
        for (asked, given) in [(0, 1), (1, 1), (7, 7), (usize::MAX, POINTS_MAX)] {
            let points = forecast(&daily(&[1.0, 2.0]), HORIZON_MAX, asked, None).unwrap().points;
            assert_eq!(points.len(), given);
            assert_eq!(points[given - 1].at, DAY + HORIZON_MAX);
        }
    }

    #[test]
    fn moments_at_the_ends_of_time_are_survived() {
        let ends = [i64::MIN, -1, 0, 1, i64::MAX].map(|at| Observation { at, value: at as f64 });
        let points = forecast(&ends, HORIZON_MAX, 10, Some(i64::MAX)).unwrap().points;
        assert!(points.iter().all(|point| point.lower.is_finite() && point.upper.is_finite()));
    }

    #[test]
    fn unusable_input_is_refused() {
        let series = daily(&[1.0, 2.0]);
        assert_eq!(forecast(&[], DAY, 1, None), Err(ForecastError::EmptySeries));
        for horizon in [0, -1, i64::MIN, HORIZON_MAX + 1, i64::MAX] {
            assert_eq!(forecast(&series, horizon, 1, None), Err(ForecastError::Horizon(horizon)));
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e101] {
            let error = forecast(&[series[0], Observation { at: 5, value }], DAY, 1, None).unwrap_err();
            assert!(matches!(error, ForecastError::NotFinite { position: 2, .. }), "{value}");
        }
    }
}
