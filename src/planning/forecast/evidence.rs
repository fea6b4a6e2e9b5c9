//! What a table offers to learn its growth from.
//!
//! Recorded sizes of a day and more tell most, then the event time, then
//! shorter records, then the counters of the server. Each becomes a trend in
//! rows with the words that name it; what it means for the table is decided
//! in `growth`. What came in is told apart from what went where both were
//! counted.
//!
//! Invariant: evidence that was used is named, readings left out are counted.

use crate::model::profile::SizeReading;
use crate::model::profile::Table;
use crate::planning::forecast::Observation;
use crate::planning::forecast::course::Course;
use crate::planning::forecast::days_between;
use crate::planning::forecast::interval::Band;
use crate::planning::forecast::recorded::Recorded;
use crate::planning::forecast::recorded::Recurring;
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
    /// What comes in, where it is known apart from what goes.
    pub(super) inflow: Option<Trend>,
    /// Rows deleted one by one, per day.
    pub(super) removal_per_day: f64,
    pub(super) recurring: Option<Recurring>,
    /// The first moment that was observed.
    pub(super) observed_from: Option<i64>,
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
        event_time: Option<(&str, &[Observation])>,
    ) -> Self {
        let recorded = Recorded::of((&table.schema, &table.table), history);
        let of_history = |days_min| Self::of_history(recorded.as_ref(), captured_at, days_min);
        of_history(DAYS_MIN)
            .or_else(|| Self::of_events(event_time?, table.rows, captured_at))
            .or_else(|| of_history(0.0))
            .or_else(|| Self::of_counters(table, captured_at))
            .unwrap_or_else(|| Self::new(Trend::unknown(captured_at), captured_at, String::new()))
    }

    fn new(rows: Trend, origin: i64, source: String) -> Self {
        Self {
            rows,
            bytes: None,
            inflow: None,
            removal_per_day: 0.0,
            recurring: None,
            observed_from: None,
            origin,
            stale: false,
            source,
            note: String::new(),
        }
    }

    /// Names what was observed and what was made of it, for people; empty if
    /// nothing was.
    pub(super) fn observed(&self) -> Option<String> {
        (!self.source.is_empty()).then(|| format!("{}{}{}", self.source, self.rows.model, self.note))
    }

    /// Days that were observed since a moment.
    pub(super) fn days_since(&self, since: i64) -> f64 {
        self.observed_from.map_or(0.0, |from| days_between(from.max(since), self.rows.known_until).max(0.0))
    }

    /// Recorded sizes, if there are at least two moments over so many days.
    fn of_history(recorded: Option<&Recorded>, captured_at: i64, days_min: f64) -> Option<Self> {
        let recorded = recorded.filter(|recorded| recorded.rows.len() >= 2)?;
        if recorded.rows.span_days() < days_min {
            return None;
        }
        let source = format!("{} recorded sizes, ", recorded.used);
        let mut evidence = Self::new(Trend::of(&recorded.rows), captured_at, source);
        evidence.bytes = Some(Trend::of(&recorded.bytes));
        evidence.inflow = recorded.inflow.as_ref().map(Trend::of);
        evidence.removal_per_day =
            recorded.removal.as_ref().map_or(0.0, |removal| Trend::of(removal).rate_per_day().max(0.0));
        evidence.recurring = recorded.recurring;
        evidence.observed_from = Some(recorded.rows.first().at);
        evidence.note = recorded.note();
        Some(evidence)
    }

    /// The curve of the event time, as if all rows were on it.
    fn of_events((column, curve): (&str, &[Observation]), rows_now: f64, captured_at: i64) -> Option<Self> {
        let events = events(curve, captured_at);
        let series = Series::new(&evenly(events)).ok()?;
        let before = curve.iter().take_while(|point| point.at < series.first().at).last();
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
        let mut evidence = Self::new(rows, origin, format!("event time {column}, "));
        evidence.observed_from = Some(series.first().at);
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
        let drift = |rows: f64| Trend {
            course: Course::line(rows / days),
            never_falls: false,
            band: Band::of_growth(1.0),
            known_until: captured_at,
            model: format!("drift over {}, ±100 % of growth", duration(days)),
        };
        let source = "counters of inserted and deleted rows, ".to_owned();
        let mut evidence = Self::new(drift(net), captured_at, source);
        evidence.inflow = in_range(counters.inserted).then(|| drift(counters.inserted.max(0.0)));
        evidence.removal_per_day =
            if in_range(counters.deleted) { counters.deleted.max(0.0) / days } else { 0.0 };
        evidence.observed_from = Some(since);
        Some(evidence)
    }
}

/// ISO 8601 with an offset, in microseconds since 1970 UTC.
pub(super) fn moment(text: &str) -> Option<i64> {
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
