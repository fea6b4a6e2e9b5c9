//! What a part of a table is expected to hold and to take in: a key range, a
//! value, a bucket of a hash, or a shard that exists.
//!
//! The table's growth is divided by how its rows lie along the key. Along the
//! event time those to come lie ahead; along any other column they lie as those
//! do that are there; a shard with a history of its own goes on as it went.
//!
//! Invariant: amounts are finite, not negative, and `lower <= value <= upper`.

use crate::model::profile::SizeReading;
use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Growth;
use crate::planning::forecast::Observation;
use crate::planning::forecast::distribution::rows_between;
use crate::planning::forecast::recorded::Recorded;
use crate::planning::forecast::trend::Trend;

/// Rows that ANALYZE looks at for each bound of a histogram, from
/// PostgreSQL's `std_typanalyze`.
const SAMPLED_PER_BOUND: f64 = 300.0;

/// Standard deviations in which 90 % of a normal distribution lie.
const NINETY_PERCENT: f64 = 1.645;

const SECOND: f64 = 1e6;

/// A part of a table. Positions are those of `KeyValue::position`;
/// infinities stand for `MINVALUE` and `MAXVALUE`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part<'a> {
    /// From `lower` (inclusive) to `upper` (exclusive) along the event time,
    /// microseconds since 1970 UTC. `distribution` is that of
    /// [`crate::planning::forecast::distribution()`], or the curve of an
    /// event time or id.
    Period { distribution: &'a [(f64, f64)], lower: f64, upper: f64 },
    /// The same along another column.
    Range { distribution: &'a [(f64, f64)], lower: f64, upper: f64 },
    /// A share of the rows, as that of one value (its fraction in
    /// `common_fractions`) or of a bucket of a hash.
    Fraction(f64),
    /// A shard that exists, with its readings and its size now. Too short a
    /// history counts as none: it then takes the share that it has.
    Shard { schema: &'a str, name: &'a str, history: &'a [SizeReading], rows: f64, bytes: f64 },
}

/// What a part holds at the horizon, and what it takes in until then. The
/// bounds are those of 90 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// At the horizon, and not less what was deleted of a period.
    pub rows: ForecastPoint,
    pub bytes: ForecastPoint,
    /// Rows per second that come in: the mean of the time in which some do.
    pub rows_per_second: ForecastPoint,
}

/// What is expected of a part of a table, of whose growth is known.
#[must_use]
pub fn share(growth: &Growth, part: &Part<'_>) -> Share {
    let whole = Whole::of(growth);
    match part {
        Part::Period { distribution, lower, upper } => whole.period(distribution, *lower, *upper),
        Part::Range { distribution, lower, upper } => {
            let total = distribution.last().map_or(0.0, |entry| entry.1);
            let rows = rows_between(distribution, *lower, *upper);
            let fraction = if total > 0.0 { rows / total } else { 0.0 };
            whole.fraction(fraction, doubt_of(fraction, distribution.len()))
        }
        Part::Fraction(fraction) => whole.fraction(*fraction, 0.0),
        Part::Shard { schema, name, history, rows, bytes } => {
            whole.shard(Recorded::of((schema, name), history), *rows, *bytes)
        }
    }
}

/// How far a share may be off that comes from a sample of as many rows as
/// this many bounds need.
fn doubt_of(fraction: f64, entries: usize) -> f64 {
    let sample = SAMPLED_PER_BOUND * entries.max(2) as f64;
    NINETY_PERCENT * (fraction * (1.0 - fraction) / sample).max(0.0).sqrt()
}

/// The growth of the table, with what the parts are taken from.
struct Whole<'a> {
    growth: &'a Growth,
    end: i64,
    rows: ForecastPoint,
    bytes_per_row: f64,
}

impl<'a> Whole<'a> {
    fn of(growth: &'a Growth) -> Self {
        let now = |value: f64| ForecastPoint { at: growth.origin, value, lower: value, upper: value };
        let rows = growth.rows.last().copied().unwrap_or_else(|| now(growth.rows_now));
        let bytes = growth.bytes.last().copied().unwrap_or_else(|| now(growth.bytes_now));
        let bytes_per_row = if rows.value > 0.0 { bytes.value / rows.value } else { 0.0 };
        Self { growth, end: rows.at, rows, bytes_per_row }
    }

    fn in_bytes(&self, rows: ForecastPoint) -> ForecastPoint {
        scaled(rows, self.bytes_per_row)
    }

    /// Seconds from the origin to the horizon.
    fn seconds(&self) -> f64 {
        (self.end as f64 - self.growth.origin as f64) / SECOND
    }

    /// What has come in by a moment, in microseconds: between two points in
    /// proportion. Where inflow is not told, growth stands for it.
    fn inflow(&self, at: f64) -> ForecastPoint {
        let (origin, points) = (self.growth.origin, &self.growth.flow.inflow);
        let told = !points.is_empty();
        let points = if told { points } else { &self.growth.rows };
        let less = if told { 0.0 } else { self.growth.rows_now };
        let came = |point: &ForecastPoint| {
            let count = |rows: f64| (rows - less).max(0.0);
            ForecastPoint {
                at: point.at,
                value: count(point.value),
                lower: count(point.lower),
                upper: count(point.upper),
            }
        };
        let mut before = ForecastPoint { at: origin, value: 0.0, lower: 0.0, upper: 0.0 };
        for point in points.iter().map(came) {
            if point.at as f64 >= at {
                let span = point.at as f64 - before.at as f64;
                let share = if span > 0.0 { ((at - before.at as f64) / span).clamp(0.0, 1.0) } else { 1.0 };
                let between = |from: f64, to: f64| from + (to - from) * share;
                return ForecastPoint {
                    at: at as i64,
                    value: between(before.value, point.value),
                    lower: between(before.lower, point.lower),
                    upper: between(before.upper, point.upper),
                };
            }
            before = point;
        }
        before
    }

    fn period(&self, distribution: &[(f64, f64)], lower: f64, upper: f64) -> Share {
        let total = distribution.last().map_or(0.0, |entry| entry.1);
        let known = if total > 0.0 { rows_between(distribution, lower, upper) / total } else { 0.0 };
        let past = known * self.growth.rows_now;
        let past_doubt = doubt_of(known, distribution.len()) * self.growth.rows_now;
        let (origin, end) = (self.growth.origin as f64, self.end as f64);
        let (from, to) = (lower.clamp(origin, end), upper.clamp(origin, end));
        let (before, after) = (self.inflow(from), self.inflow(to));
        let came = if to > from { (after.value - before.value).max(0.0) } else { 0.0 };
        // Of the doubt until its end a period has at least the part that it
        // would have if days were independent of one another.
        let half = |point: &ForecastPoint| (point.upper - point.lower) / 2.0;
        let part = if to > from { ((to - from) / (to - origin)).sqrt() } else { 0.0 };
        let doubt = (half(&after) - half(&before)).max(half(&after) * part);
        let doubt = if to > from { doubt } else { 0.0 };
        let rows = point(self.end, past + came, past_doubt + doubt);
        let seconds = (to - from) / SECOND;
        let pace = if seconds > 0.0 { 1.0 / seconds } else { 0.0 };
        Share {
            rows,
            bytes: self.in_bytes(rows),
            rows_per_second: scaled(point(self.end, came, doubt), pace),
        }
    }

    fn fraction(&self, fraction: f64, doubt: f64) -> Share {
        let fraction = if fraction.is_finite() { fraction.clamp(0.0, 1.0) } else { 0.0 };
        let of = |point: ForecastPoint| ForecastPoint {
            at: point.at,
            value: point.value * fraction,
            lower: point.lower * (fraction - doubt).max(0.0),
            upper: point.upper * (fraction + doubt).min(1.0),
        };
        let rows = of(self.rows);
        let seconds = self.seconds();
        let pace = if seconds > 0.0 { 1.0 / seconds } else { 0.0 };
        Share {
            rows,
            bytes: self.in_bytes(rows),
            rows_per_second: scaled(of(self.inflow(self.end as f64)), pace),
        }
    }

    fn shard(&self, recorded: Option<Recorded>, rows: f64, bytes: f64) -> Share {
        let recorded = recorded.filter(|recorded| recorded.rows.span_days() >= 1.0);
        let Some(recorded) = recorded else {
            let now = self.growth.rows_now;
            return self.fraction(if now > 0.0 { rows / now } else { 0.0 }, 0.0);
        };
        let ahead = |trend: &Trend, value: f64| {
            let point = trend.point(Observation { at: self.growth.origin, value }, self.end);
            positive(point)
        };
        let inflow = recorded.inflow.as_ref().unwrap_or(&recorded.rows);
        let seconds = self.seconds();
        let pace = if seconds > 0.0 { 1.0 / seconds } else { 0.0 };
        Share {
            rows: ahead(&Trend::of(&recorded.rows), rows),
            bytes: ahead(&Trend::of(&recorded.bytes), bytes),
            rows_per_second: scaled(ahead(&Trend::of(inflow), 0.0), pace),
        }
    }
}

fn point(at: i64, value: f64, half: f64) -> ForecastPoint {
    positive(ForecastPoint { at, value, lower: value - half, upper: value + half })
}

fn scaled(point: ForecastPoint, factor: f64) -> ForecastPoint {
    ForecastPoint {
        at: point.at,
        value: point.value * factor,
        lower: point.lower * factor,
        upper: point.upper * factor,
    }
}

fn positive(point: ForecastPoint) -> ForecastPoint {
    ForecastPoint {
        at: point.at,
        value: point.value.max(0.0),
        lower: point.lower.max(0.0),
        upper: point.upper.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::forecast::DAY;
    use crate::planning::forecast::Flow;

    /// 1,000 rows in days 0 to 100, and ten a day to come until day 200.
    fn growth() -> Growth {
        let point = |day: i64, value: f64| ForecastPoint {
            at: day * DAY,
            value,
            lower: value * 0.9,
            upper: value * 1.1,
        };
        let points =
            |from: f64| (1..=100).map(|day| point(100 + day, from + 10.0 * day as f64)).collect::<Vec<_>>();
        Growth {
            rows_now: 1000.0,
            bytes_now: 100_000.0,
            rows: points(1000.0),
            bytes: points(1000.0).into_iter().map(|point| scaled(point, 100.0)).collect(),
            origin: 100 * DAY,
            stale: false,
            event_time: None,
            model: String::new(),
            flow: Flow { inflow: points(0.0), ..Flow::default() },
            scale: None,
        }
    }

    const EVEN: [(f64, f64); 2] = [(0.0, 0.0), (100.0 * DAY as f64, 1000.0)];

    fn period(lower: f64, upper: f64) -> Share {
        let share = share(
            &growth(),
            &Part::Period { distribution: &EVEN, lower: lower * DAY as f64, upper: upper * DAY as f64 },
        );
        for point in [share.rows, share.bytes, share.rows_per_second] {
            assert!(
                0.0 <= point.lower && point.lower <= point.value && point.value <= point.upper,
                "{point:?}"
            );
            assert!(point.upper.is_finite());
        }
        share
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{found} is not {expected}");
    }

    #[test]
    fn rows_to_come_lie_ahead_in_time() {
        let pace = 10.0 / 86_400.0;
        for (lower, upper, rows, per_second) in [
            (0.0, 50.0, 500.0, 0.0),
            (90.0, 110.0, 200.0, pace),
            (150.0, 160.0, 100.0, pace),
            (150.5, 150.75, 2.5, pace),
            (190.0, f64::INFINITY, 100.0, pace),
            (f64::NEG_INFINITY, f64::INFINITY, 2000.0, pace),
            (300.0, 310.0, 0.0, 0.0),
        ] {
            let found = period(lower, upper);
            near(found.rows.value, rows);
            near(found.bytes.value, 100.0 * rows);
            near(found.rows_per_second.value, per_second);
        }
        // A day far ahead is less certain, for its size, than all of it.
        let (day, all) = (period(150.0, 151.0).rows, period(100.0, 200.0).rows);
        assert!((day.upper - day.value) / day.value > (all.upper - all.value) / all.value);
        assert!(period(0.0, 50.0).rows.upper > 500.0, "a sample was taken");
    }

    #[test]
    fn shards_of_time_add_up_to_the_table() {
        let cuts: Vec<f64> = (0..=20).map(|cut| f64::from(cut) * 10.0).collect();
        let sum: f64 = cuts.windows(2).map(|pair| period(pair[0], pair[1]).rows.value).sum();
        near(sum, 2000.0);
    }

    #[test]
    fn other_keys_take_their_share_of_what_comes() {
        let found = share(
            &growth(),
            &Part::Range { distribution: &[(0.0, 0.0), (8.0, 80.0)], lower: 2.0, upper: 4.0 },
        );
        near(found.rows.value, 500.0);
        near(found.rows_per_second.value, 2.5 / 86_400.0);
        assert!(found.rows.lower < 450.0 && found.rows.upper > 550.0, "{:?}", found.rows);
        let found = share(&growth(), &Part::Fraction(0.1));
        near(found.rows.value, 200.0);
        near(found.rows.upper, 220.0);
        for nonsense in [f64::NAN, -1.0, f64::INFINITY] {
            assert!(share(&growth(), &Part::Fraction(nonsense)).rows.upper <= 2200.0);
        }
        let nothing = Part::Range { distribution: &[], lower: 0.0, upper: 1.0 };
        near(share(&growth(), &nothing).rows.upper, 0.0);
    }

    #[test]
    fn a_shard_goes_on_as_it_went() {
        let history: Vec<SizeReading> = (1..=9)
            .map(|day| SizeReading {
                schema: "s".to_owned(),
                table: "t1".to_owned(),
                at: format!("1970-04-0{day}T00:00:00Z"),
                rows: 100.0 + 2.0 * f64::from(day),
                bytes: 1000.0,
                inserted: Some(5.0 * f64::from(day)),
                ..SizeReading::default()
            })
            .collect();
        let part = |history| Part::Shard { schema: "s", name: "t1", history, rows: 200.0, bytes: 1000.0 };
        let found = share(&growth(), &part(&history));
        near(found.rows.value, 400.0);
        near(found.bytes.value, 1000.0);
        near(found.rows_per_second.value, 5.0 / 86_400.0);
        // Without a history it keeps its share.
        near(share(&growth(), &part(&history[..1])).rows.value, 400.0);
        near(share(&growth(), &part(&[])).rows_per_second.value, 2.0 / 86_400.0);
    }

    #[test]
    fn growth_stands_for_an_inflow_that_is_not_told() {
        let mut growth = growth();
        growth.flow.inflow.clear();
        let part = Part::Period { distribution: &EVEN, lower: 100.0 * DAY as f64, upper: 200.0 * DAY as f64 };
        near(share(&growth, &part).rows.value, 1000.0);
        growth.rows.clear();
        growth.bytes.clear();
        near(share(&growth, &part).rows.value, 0.0);
    }
}
