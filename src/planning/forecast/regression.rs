//! A line through the changes of days that sees through the week: least
//! squares, by `linfa`, of a straight line in time and an effect of each day
//! of the week.
//!
//! Not here: when a line is worth a try, and what it is compared with (`rate`,
//! `choice`).

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::Array1;
use ndarray::Array2;

use crate::planning::forecast::rate::WEEK;

/// Fewest days: two of each day of the week.
const DAYS_MIN: usize = 2 * WEEK;

/// The rate of the last day, per day, with the mean effect of all days of the
/// week, and the change of the rate per day. `None` if there are too few days,
/// or nothing ever changed.
pub(super) fn weekly_line(changes: &[f64]) -> Option<(f64, f64)> {
    let days = changes.len();
    let scale = changes.iter().fold(0.0_f64, |largest, change| largest.max(change.abs()));
    if days < DAYS_MIN || scale <= 0.0 || !scale.is_finite() {
        return None;
    }
    // The time, and a column for each day of the week but the first, which the
    // intercept stands for.
    let inputs = Array2::from_shape_fn((days, WEEK), |(day, column)| match column {
        0 => day as f64 / days as f64,
        weekday => f64::from(u8::from(day % WEEK == weekday)),
    });
    let targets: Array1<f64> = changes.iter().map(|change| change / scale).collect();
    let model = LinearRegression::new().fit(&Dataset::new(inputs, targets)).ok()?;
    let effects: f64 = model.params().iter().skip(1).sum();
    let slope = scale * model.params().first()? / days as f64;
    let rate = scale * (model.intercept() + effects / WEEK as f64) + slope * (days - 1) as f64;
    (rate.is_finite() && slope.is_finite()).then_some((rate, slope))
}
