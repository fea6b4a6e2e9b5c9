//! How well a method did: one case, and many together.
//!
//! A case is a series, a history and a horizon. Its error is the mean distance
//! of the forecast from what came, over the way to the horizon, in units of
//! the change that is typical for a time as long as the horizon (the mean
//! absolute one in the whole series, past and future). At the horizon itself
//! the error is told too. Both have no unit.

use pg_presplit::planning::forecast::DAY;
use pg_presplit::planning::forecast::ForecastPoint;
use pg_presplit::planning::forecast::Observation;

/// Means are taken of errors cut off here, so that one failure is not all
/// that is seen.
const CLIP: f64 = 3.0;

/// What the 90 % interval leaves out.
const ALPHA: f64 = 0.1;

/// What is asked of a method, and what came.
pub struct Case {
    pub observed: Vec<Observation>,
    /// Microseconds.
    pub horizon: i64,
    /// Evenly spaced up to the horizon.
    pub came: Vec<Observation>,
    /// Typical change over the horizon.
    pub typical: f64,
    /// Mean absolute change from day to day in the history.
    pub daily: f64,
}

impl Case {
    /// The last `history` days before `origin` (a position in `truth`) of
    /// what was observed, and the way to the horizon in `points` steps.
    pub fn new(
        observed: &[Observation],
        truth: &[Observation],
        origin: usize,
        history: i64,
        horizon: i64,
        points: usize,
    ) -> Self {
        let now = truth[origin].at;
        let window = |point: &&Observation| point.at >= now - history && point.at <= now;
        let observed: Vec<Observation> = observed.iter().filter(window).copied().collect();
        let came = (1..=points as i64)
            .map(|step| {
                let at = now + horizon * step / points as i64;
                Observation { at, value: value_at(truth, at) }
            })
            .collect();
        Self { typical: typical(truth, horizon), daily: typical(&observed, DAY), observed, horizon, came }
    }
}

/// The value at a moment, between two readings in proportion.
pub fn value_at(series: &[Observation], at: i64) -> f64 {
    let after = series.partition_point(|point| point.at < at).min(series.len() - 1);
    let (before, after) = (series[after.saturating_sub(1)], series[after]);
    if after.at <= before.at || at >= after.at {
        return after.value;
    }
    before.value + (after.value - before.value) * (at - before.at) as f64 / (after.at - before.at) as f64
}

/// Mean absolute change over a time.
fn typical(series: &[Observation], time: i64) -> f64 {
    let last = series[series.len() - 1].at;
    let (mut sum, mut count) = (0.0, 0.0);
    for point in series.iter().filter(|point| point.at + time <= last) {
        sum += (value_at(series, point.at + time) - point.value).abs();
        count += 1.0;
    }
    sum / f64::max(count, 1.0)
}

/// How one method did on one case.
#[derive(Clone, Copy)]
pub struct Outcome {
    pub error: f64,
    pub error_at_horizon: f64,
    pub mase: f64,
    /// Share of the way that was inside the interval, and whether its end was.
    pub inside: f64,
    pub inside_at_horizon: f64,
    pub interval_score: f64,
}

/// The error in units of the typical change; where nothing ever changes,
/// nothing is right and anything else a failure.
fn in_units(error: f64, unit: f64) -> f64 {
    if error == 0.0 { 0.0 } else { (error / unit).min(1e3) }
}

impl Outcome {
    pub fn of(case: &Case, found: &[ForecastPoint]) -> Option<Self> {
        let last = found.last()?;
        let count = case.came.len() as f64;
        let mean = |value: &dyn Fn(&ForecastPoint, f64) -> f64| {
            found.iter().zip(&case.came).map(|(point, came)| value(point, came.value)).sum::<f64>() / count
        };
        // What is inside but for rounding is inside.
        let hair = 1e-9 * case.came.iter().map(|came| came.value.abs()).fold(0.0, f64::max);
        let inside = |point: &ForecastPoint, came: f64| {
            let inside = point.lower - hair <= came && came <= point.upper + hair;
            if point.lower.is_nan() { f64::NAN } else { f64::from(inside) }
        };
        let error = mean(&|point, came| (point.value - came).abs());
        let came = case.came[case.came.len() - 1].value;
        let score = mean(&|point, came| {
            let outside = (point.lower - came).max(0.0) + (came - point.upper).max(0.0);
            point.upper - point.lower + 2.0 / ALPHA * outside
        });
        Some(Self {
            error: in_units(if error <= hair { 0.0 } else { error }, case.typical),
            error_at_horizon: in_units(
                Some((last.value - came).abs()).filter(|error| *error > hair).unwrap_or(0.0),
                case.typical,
            ),
            mase: in_units(if error <= hair { 0.0 } else { error }, case.daily),
            inside: mean(&inside),
            inside_at_horizon: inside(last, came),
            interval_score: if score.is_nan() { score } else { in_units(score, case.typical) },
        })
    }
}

/// Many outcomes together.
#[derive(Default)]
pub struct Summary {
    pub count: usize,
    pub median: f64,
    pub clipped_mean: f64,
    pub median_at_horizon: f64,
    pub mase: f64,
    /// NaN without intervals, like the following.
    pub inside: f64,
    pub inside_at_horizon: f64,
    pub interval_score: f64,
}

impl Summary {
    pub fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let all: Vec<&Outcome> = outcomes.collect();
        let take =
            |value: fn(&Outcome) -> f64| all.iter().map(|outcome| value(outcome)).collect::<Vec<f64>>();
        Self {
            count: all.len(),
            median: median(take(|outcome| outcome.error)),
            clipped_mean: mean(&take(|outcome| outcome.error.min(CLIP))),
            median_at_horizon: median(take(|outcome| outcome.error_at_horizon)),
            mase: median(take(|outcome| outcome.mase)),
            inside: mean(&take(|outcome| outcome.inside)),
            inside_at_horizon: mean(&take(|outcome| outcome.inside_at_horizon)),
            interval_score: median(take(|outcome| outcome.interval_score)),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Unknown of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len => f64::midpoint(values[(len - 1) / 2], values[len / 2]),
    }
}
