//! Whom the forecaster is measured against, all behind one signature.
//!
//! Only what is usual in practice: no change, the line through first and last
//! reading, least squares of the last week as Prometheus' `predict_linear`
//! calculates it, Theil–Sen of the last week, and, with feature
//! `bench_opponents`, crate `augurs`.

use pg_presplit::planning::forecast;
use pg_presplit::planning::forecast::DAY;
use pg_presplit::planning::forecast::ForecastPoint;
use pg_presplit::planning::forecast::Observation;

/// Points up to a horizon, evenly spaced, from observations in order of time.
/// Without an interval of its own a method gives NaN for its bounds.
pub struct Method {
    pub name: &'static str,
    pub run: fn(&[Observation], i64, usize) -> Vec<ForecastPoint>,
}

pub const OURS: Method = Method { name: "**pg_presplit**", run: ours };
pub const THEIL_SEN: Method = Method { name: "Theil–Sen, last 7 days", run: theil_sen };

pub const METHODS: &[Method] = &[
    Method { name: "naive (no change)", run: naive },
    Method { name: "drift (first to last)", run: drift },
    Method { name: "OLS, last 7 days", run: least_squares },
    THEIL_SEN,
    #[cfg(feature = "bench_opponents")]
    Method { name: "augurs MSTL + AutoETS", run: augurs::mstl_ets },
    OURS,
];

fn ours(observed: &[Observation], horizon: i64, points: usize) -> Vec<ForecastPoint> {
    forecast::forecast(observed, horizon, points, None).unwrap().points
}

fn days(from: i64, to: i64) -> f64 {
    (to - from) as f64 / DAY as f64
}

fn last(observed: &[Observation]) -> Observation {
    observed[observed.len() - 1]
}

fn last_week(observed: &[Observation]) -> &[Observation] {
    let until = last(observed).at;
    &observed[observed.partition_point(|point| point.at < until - 7 * DAY)..]
}

/// Values by days ahead, without an interval.
fn path(
    observed: &[Observation],
    horizon: i64,
    points: usize,
    value: impl Fn(f64) -> f64,
) -> Vec<ForecastPoint> {
    let origin = last(observed).at;
    (1..=points as i64)
        .map(|step| {
            let at = origin + horizon * step / points as i64;
            let value = value(days(origin, at));
            ForecastPoint { at, value, lower: f64::NAN, upper: f64::NAN }
        })
        .collect()
}

fn naive(observed: &[Observation], horizon: i64, points: usize) -> Vec<ForecastPoint> {
    path(observed, horizon, points, |_| last(observed).value)
}

fn drift(observed: &[Observation], horizon: i64, points: usize) -> Vec<ForecastPoint> {
    let (first, last) = (observed[0], last(observed));
    let rate = (last.value - first.value) / days(first.at, last.at);
    path(observed, horizon, points, |ahead| last.value + rate * ahead)
}

/// The line of least squares, from where the line is and not from the last
/// reading, with the prediction interval of the textbook.
fn least_squares(observed: &[Observation], horizon: i64, points: usize) -> Vec<ForecastPoint> {
    let (week, origin) = (last_week(observed), last(observed).at);
    if week.len() < 3 {
        return naive(observed, horizon, points);
    }
    let count = week.len() as f64;
    let mean_x = week.iter().map(|point| days(origin, point.at)).sum::<f64>() / count;
    let mean_y = week.iter().map(|point| point.value).sum::<f64>() / count;
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for point in week {
        let (x, y) = (days(origin, point.at) - mean_x, point.value - mean_y);
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
    }
    let rate = xy / xx;
    let spread = ((yy - rate * xy).max(0.0) / (count - 2.0)).sqrt();
    let mut found = path(observed, horizon, points, |ahead| mean_y + rate * (ahead - mean_x));
    for point in &mut found {
        let far = days(origin, point.at) - mean_x;
        let half = 1.645 * spread * (1.0 + 1.0 / count + far * far / xx).sqrt();
        (point.lower, point.upper) = (point.value - half, point.value + half);
    }
    found
}

/// The median of the slopes of all pairs, through the last reading.
fn theil_sen(observed: &[Observation], horizon: i64, points: usize) -> Vec<ForecastPoint> {
    let (week, last) = (last_week(observed), last(observed));
    let mut slopes: Vec<f64> = Vec::with_capacity(week.len() * week.len() / 2);
    for (index, from) in week.iter().enumerate() {
        slopes.extend(week[index + 1..].iter().map(|to| (to.value - from.value) / days(from.at, to.at)));
    }
    let middle = slopes.len() / 2;
    let rate = if slopes.is_empty() { 0.0 } else { *slopes.select_nth_unstable_by(middle, f64::total_cmp).1 };
    path(observed, horizon, points, |ahead| last.value + rate * ahead)
}

#[cfg(feature = "bench_opponents")]
mod augurs {
    //! Seasons of a day and, from two weeks on, of a week taken out by MSTL,
    //! the rest carried on by exponential smoothing chosen by its criterion.

    use augurs::ets::AutoETS;
    use augurs::mstl::MSTLModel;
    use augurs::prelude::*;
    use pg_presplit::planning::forecast::DAY;
    use pg_presplit::planning::forecast::ForecastPoint;
    use pg_presplit::planning::forecast::Observation;

    const HOUR: i64 = DAY / 24;

    /// It wants even readings: the last value of every hour, or of every day
    /// where readings are daily. Where it cannot be used the answer is empty.
    pub fn mstl_ets(observed: &[Observation], horizon: i64, points: usize) -> Vec<ForecastPoint> {
        let (first, last) = (observed[0].at, observed[observed.len() - 1].at);
        let step = if (last - first) / (observed.len() as i64 - 1).max(1) > 12 * HOUR { DAY } else { HOUR };
        let mut index = 0;
        let even: Vec<f64> = (0..=(last - first) / step)
            .map(|number| {
                let at = last - ((last - first) / step - number) * step;
                while observed.get(index + 1).is_some_and(|next| next.at <= at) {
                    index += 1;
                }
                observed[index].value
            })
            .collect();
        let periods: Vec<usize> = [DAY / step, 7 * DAY / step]
            .into_iter()
            .map(|period| period as usize)
            .filter(|period| *period > 1 && even.len() > 2 * period)
            .collect();
        if periods.is_empty() {
            return Vec::new();
        }
        let model = MSTLModel::new(periods, AutoETS::non_seasonal().into_trend_model());
        let steps = (horizon / step) as usize;
        let Some(found) = model.fit(&even).ok().and_then(|fitted| fitted.predict(steps, 0.9).ok()) else {
            return Vec::new();
        };
        (1..=points)
            .map(|number| {
                let place = (steps * number / points).max(1) - 1;
                let bound = |bounds: fn(&ForecastIntervals) -> &Vec<f64>| {
                    found.intervals.as_ref().map_or(f64::NAN, |intervals| bounds(intervals)[place])
                };
                ForecastPoint {
                    at: last + (place as i64 + 1) * step,
                    value: found.point[place],
                    lower: bound(|intervals| &intervals.lower),
                    upper: bound(|intervals| &intervals.upper),
                }
            })
            .collect()
    }
}
