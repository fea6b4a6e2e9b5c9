//! What a table offers to learn its growth from.
//!
//! Recorded sizes of a day and more tell most, then the event time, then
//! shorter records, then the counters of the server. Each becomes a trend in
//! rows with the words that name it; what it means for the table is decided
//! in `growth`. Drops, restores and bulk loads are not told apart from growth
//! here.
//!
//! Invariant: evidence that was used is named, readings left out are counted.

use crate::model::profile::SizeReading;
use crate::model::profile::Table;
use crate::planning::forecast::EventTime;
use crate::planning::forecast::Observation;
use crate::planning::forecast::course::Course;
use crate::planning::forecast::days_between;
use crate::planning::forecast::interval::Band;
use crate::planning::forecast::series::Series;
use crate::planning::forecast::series::in_range;
use crate::planning::forecast::trend::Trend;
use crate::planning::forecast::trend::duration;

/// Days without an event after which data count as old: a quiet month
/// happens in live tables.
const STALE_DAYS_MIN: f64 = 30.0;

/// The same as a share of the span of the events: a table that grew over ten
/// years is not old after a quiet year.
const STALE_SHARE: f64 = 0.1;

/// Records and counters over fewer days tell neither a daily cycle nor a bulk
/// load from growth.
const DAYS_MIN: f64 = 1.0;

/// Days after the capture beyond which a moment is not an event: 9999-12-31
/// means "for ever", while nobody books a flight ten years ahead.
const FUTURE_DAYS_MAX: f64 = 3653.0;

/// Fewest moments of a curve that are spread evenly in time; fewer are too
/// coarse to be interpolated.
const CURVE_MIN: usize = 4;

/// Most moments of a curve that are looked at: as many as rates are taken
/// from.
const CURVE_MAX: usize = 300;

/// What is known of the growth of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evidence {
    pub(super) rows: Trend,
    /// Only where bytes were observed too.
    pub(super) bytes: Option<Trend>,
    /// The moment from which to look ahead, see `Growth::origin`.
    pub(super) origin: i64,
    pub(super) stale: bool,
    /// Where the observations are from, as a prefix of the trend's model;
    /// empty if there are none.
    source: String,
    /// What a reader should know besides, as a suffix.
    note: String,
}

impl Evidence {
    /// The best evidence that there is, down to none.
    pub(super) fn of_table(
        table: &Table,
        history: &[SizeReading],
        captured_at: i64,
        event_time: Option<&EventTime>,
    ) -> Self {
        let recorded = |days_min| Self::of_history(table, history, captured_at, days_min);
        recorded(DAYS_MIN)
            .or_else(|| Self::of_events(event_time?, table.rows, captured_at))
            .or_else(|| recorded(0.0))
            .or_else(|| Self::of_counters(table, captured_at))
            .unwrap_or_else(|| Self::new(Trend::unknown(captured_at), captured_at, String::new()))
    }

    fn new(rows: Trend, origin: i64, source: String) -> Self {
        Self { rows, bytes: None, origin, stale: false, source, note: String::new() }
    }

    /// Names method and inputs, for people; `declared` is in rows per day.
    pub(super) fn model(&self, declared: Option<f64>) -> String {
        let observed = format!("{}{}{}", self.source, self.rows.model, self.note);
        match declared {
            None if self.source.is_empty() => {
                "flat: nothing is known of its growth, assumed to stay as it is".to_owned()
            }
            None => observed,
            Some(rate) if self.source.is_empty() => {
                format!("declared {rate} rows per day, ±100 % of growth, nothing observed")
            }
            Some(rate) => {
                let found = self.rows.rate_per_day();
                format!("declared {rate} rows per day, observed {found:.1} ({observed})")
            }
        }
    }

    /// Recorded sizes, if there are at least two moments over so many days.
    fn of_history(table: &Table, history: &[SizeReading], captured_at: i64, days_min: f64) -> Option<Self> {
        let of_table =
            |reading: &&SizeReading| reading.schema == table.schema && reading.table == table.table;
        let readings: Vec<&SizeReading> = history.iter().filter(of_table).collect();
        let usable: Vec<(i64, f64, f64)> = readings.iter().filter_map(|reading| read(reading)).collect();
        let series = |value: fn(&(i64, f64, f64)) -> f64| {
            let observed = usable.iter().map(|reading| Observation { at: reading.0, value: value(reading) });
            Series::new(&observed.collect::<Vec<_>>()).ok()
        };
        let (rows, bytes) = (series(|reading| reading.1)?, series(|reading| reading.2)?);
        if rows.len() < 2 || rows.span_days() < days_min {
            return None;
        }
        let source = format!("{} recorded sizes, ", rows.len());
        let mut evidence = Self::new(Trend::of(&rows), captured_at, source);
        evidence.bytes = Some(Trend::of(&bytes));
        let left_out = readings.len() - usable.len();
        if left_out > 0 {
            evidence.note = format!(", {left_out} unreadable left out");
        }
        Some(evidence)
    }

    /// The curve of the event time, as if all rows were on it.
    fn of_events(event_time: &EventTime, rows_now: f64, captured_at: i64) -> Option<Self> {
        let events = events(&event_time.curve, captured_at);
        let series = Series::new(&evenly(events)).ok()?;
        let before = event_time.curve.iter().take_while(|point| point.at < series.first().at).last();
        let on_curve = series.last().value - before.map_or(0.0, |point| point.value);
        if series.len() < 2 || on_curve <= 0.0 {
            return None;
        }
        let mut rows = Trend::of(&series);
        rows.scale(rows_now / on_curve);
        // Rows that were deleted are not on the curve, so it cannot fall.
        rows.never_falls = false;
        let last = series.last().at;
        let silence = days_between(last, captured_at);
        let stale = silence > STALE_DAYS_MIN.max(STALE_SHARE * series.span_days());
        let origin = if stale { last } else { captured_at };
        let mut evidence = Self::new(rows, origin, format!("event time {}, ", event_time.column));
        evidence.stale = stale;
        if stale {
            evidence.note =
                format!(", looking ahead from the last event, {} before the capture", duration(silence));
        }
        Some(evidence)
    }

    /// Rows inserted less rows deleted since the counters began.
    fn of_counters(table: &Table, captured_at: i64) -> Option<Self> {
        let counters = &table.counters;
        let since = moment(counters.since.as_deref()?)?;
        let days = days_between(since, captured_at);
        let net = counters.inserted - counters.deleted;
        if days < DAYS_MIN || !in_range(net) {
            return None;
        }
        let rows = Trend {
            course: Course::line(net / days),
            never_falls: false,
            band: Band::of_growth(1.0),
            known_until: captured_at,
            model: format!("drift over {}, ±100 % of growth", duration(days)),
        };
        Some(Self::new(rows, captured_at, "counters of inserted and deleted rows, ".to_owned()))
    }
}

/// Moment, rows and bytes of a reading; `None` if one of them is unusable.
fn read(reading: &SizeReading) -> Option<(i64, f64, f64)> {
    let usable = [reading.rows, reading.bytes].iter().all(|size| in_range(*size) && *size >= 0.0);
    moment(&reading.at).filter(|_| usable).map(|at| (at, reading.rows, reading.bytes))
}

/// ISO 8601 with an offset, in microseconds since 1970 UTC.
fn moment(text: &str) -> Option<i64> {
    text.trim().parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// The part of a curve that consists of events. Moments far in the future and
/// a lone first one of 1970-01-01 or before, farther from the others than
/// these are from each other, stand for "for ever" and "unknown".
///
/// Only such moments are taken off: a long quiet stretch before or after a
/// bulk load looks alike and must stay.
fn events(curve: &[Observation], captured_at: i64) -> &[Observation] {
    let end = curve.partition_point(|point| days_between(captured_at, point.at) <= FUTURE_DAYS_MAX);
    let mut curve = &curve[..end];
    while let [first, second, .., last] = curve {
        let lone = days_between(first.at, second.at) > days_between(second.at, last.at);
        if first.at > 0 || !lone {
            break;
        }
        curve = &curve[1..];
    }
    curve
}

/// A curve at as many moments, but evenly spaced. The bounds of a histogram
/// are close where rows are many; taken as they are, an hour of bulk load
/// would outvote a year.
fn evenly(curve: &[Observation]) -> Vec<Observation> {
    let (Some(first), Some(last)) = (curve.first(), curve.last()) else { return Vec::new() };
    if curve.len() < CURVE_MIN {
        return curve.to_vec();
    }
    let steps = curve.len().min(CURVE_MAX) as i128 - 1;
    let span = i128::from(last.at) - i128::from(first.at);
    let at = |step: i128| i64::try_from(i128::from(first.at) + span * step / steps).unwrap_or(last.at);
    (0..=steps).map(|step| Observation { at: at(step), value: value_at(curve, at(step)) }).collect()
}

/// The value of a curve at a moment, between two of its points in proportion.
fn value_at(curve: &[Observation], at: i64) -> f64 {
    let after = curve.partition_point(|point| point.at <= at);
    match (after.checked_sub(1).and_then(|before| curve.get(before)), curve.get(after)) {
        (Some(from), Some(to)) => {
            let share = days_between(from.at, at) / days_between(from.at, to.at);
            from.value + (to.value - from.value) * share
        }
        (Some(point), None) | (None, Some(point)) => point.value,
        (None, None) => 0.0,
    }
}
