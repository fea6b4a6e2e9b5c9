//! What becomes of one table: the evidence it offers, weighed.
//!
//! Recorded sizes tell most, then the event time, then the counters of the
//! server; a declared rate goes before all of them, with its distance to what
//! was observed as its doubt. Where nothing is known the table stays as it
//! is, and the model says that this is an assumption.
//!
//! Seasons, drops and restores are not told apart here. Invariant: rows and
//! bytes never fall below zero, and all evidence that was used is named.

use crate::model::profile::SizeReading;
use crate::model::profile::Table;
use crate::planning::forecast::DAY;
use crate::planning::forecast::EventTime;
use crate::planning::forecast::ForecastError;
use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Growth;
use crate::planning::forecast::Observation;
use crate::planning::forecast::POINTS_MAX;
use crate::planning::forecast::check_horizon;
use crate::planning::forecast::days_between;
use crate::planning::forecast::event_time::event_time;
use crate::planning::forecast::interval::Band;
use crate::planning::forecast::moments;
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

/// Counters over fewer days tell neither a daily cycle nor a bulk load from
/// growth.
const COUNTER_DAYS_MIN: f64 = 1.0;

/// Fewest moments that are left when outlying ones are taken off a curve.
const CURVE_MIN: usize = 4;

/// Bytes of a row besides its values: tuple header (23, aligned to 24) and
/// line pointer (4), from PostgreSQL's `htup_details.h` and `itemid.h`.
const ROW_OVERHEAD: f64 = 28.0;

/// Width of a column without statistics, bytes: PostgreSQL's own guess for
/// types of variable length (`get_typavgwidth`).
const COLUMN_WIDTH: f64 = 32.0;

/// What is expected of one table from `captured_at` (microseconds since 1970
/// UTC) to `horizon` microseconds later, in rows and in bytes.
///
/// `history` may hold readings of other tables too, and unreadable ones;
/// both are passed over. The forecast starts at the rows and bytes of
/// `table`. With old data it starts at the last event, see
/// [`Growth::origin`]. There is a point a day, at most [`POINTS_MAX`].
///
/// # Errors
/// [`ForecastError`] if the horizon is out of range, or a size of the table
/// or the declared rate is not a finite number.
pub fn growth(
    table: &Table,
    history: &[SizeReading],
    captured_at: i64,
    horizon: i64,
    expected_rows_per_day: Option<f64>,
) -> Result<Growth, ForecastError> {
    check_horizon(horizon)?;
    let (rows_now, bytes_now) = sizes(table)?;
    if let Some(rate) = expected_rows_per_day.filter(|rate| !in_range(*rate)) {
        return Err(ForecastError::ExpectedRate(rate));
    }
    let event_time = event_time(table);
    let evidence = Evidence::of_table(table, history, captured_at, event_time.as_ref());
    let origin = evidence.origin;
    let row_bytes = bytes_per_row(table, rows_now, bytes_now);
    let per_row = |point: ForecastPoint| ForecastPoint {
        at: point.at,
        value: bytes_now + (point.value - rows_now) * row_bytes,
        lower: bytes_now + (point.lower - rows_now) * row_bytes,
        upper: bytes_now + (point.upper - rows_now) * row_bytes,
    };
    let line = |trend: &Trend, now: f64, at: i64| trend.point(Observation { at: origin, value: now }, at);
    let count = usize::try_from(horizon / DAY).unwrap_or(POINTS_MAX);
    let (mut rows, mut bytes) = (Vec::new(), Vec::new());
    for at in moments(origin, horizon, count) {
        let (rows_then, bytes_then) = match expected_rows_per_day {
            Some(rate) => {
                let point = declared(&evidence.rows, rate, Observation { at: origin, value: rows_now }, at);
                (point, per_row(point))
            }
            None => {
                let point = line(&evidence.rows, rows_now, at);
                let bytes = evidence.bytes.as_ref();
                (point, bytes.map_or_else(|| per_row(point), |trend| line(trend, bytes_now, at)))
            }
        };
        rows.push(not_negative(rows_then));
        bytes.push(not_negative(bytes_then));
    }
    let model = match expected_rows_per_day {
        Some(rate) => format!("declared {rate} rows per day; observed: {}", evidence.model()),
        None => evidence.model(),
    };
    Ok(Growth { rows_now, bytes_now, rows, bytes, origin, stale: evidence.stale, event_time, model })
}

/// Rows and bytes of the table now.
fn sizes(table: &Table) -> Result<(f64, f64), ForecastError> {
    let (rows, bytes) = (table.rows, table.total_bytes());
    if [rows, bytes].iter().all(|size| in_range(*size) && *size >= 0.0) {
        Ok((rows, bytes))
    } else {
        Err(ForecastError::TableSize { table: table.name().to_string() })
    }
}

/// Bytes that a row takes with its share of indexes and TOAST; of an empty
/// table what its columns need at least.
fn bytes_per_row(table: &Table, rows: f64, bytes: f64) -> f64 {
    if rows >= 1.0 && bytes > 0.0 {
        return bytes / rows;
    }
    let width = |column: &crate::model::profile::Column| {
        let width = column.statistics.as_ref().map(|statistics| statistics.width);
        width.filter(|width| in_range(*width) && *width > 0.0).unwrap_or(COLUMN_WIDTH)
    };
    ROW_OVERHEAD + table.columns.iter().map(width).sum::<f64>()
}

/// A line at the declared rate. Its doubt is that of the observations, and at
/// least what they contradict it by: without any, ±100 % of the growth.
fn declared(observed: &Trend, rate: f64, anchor: Observation, at: i64) -> ForecastPoint {
    let days = days_between(anchor.at, at);
    let value = anchor.value + rate * days;
    let contradiction = (rate - observed.rate_per_day).abs() * days;
    let half = observed.half_width(anchor.at, at).max(contradiction);
    ForecastPoint { at, value, lower: value - half, upper: value + half }
}

/// A size is never negative.
fn not_negative(point: ForecastPoint) -> ForecastPoint {
    ForecastPoint {
        at: point.at,
        value: point.value.max(0.0),
        lower: point.lower.max(0.0),
        upper: point.upper.max(0.0),
    }
}

/// What is known of the growth of a table.
#[derive(Debug, Clone, PartialEq)]
struct Evidence {
    rows: Trend,
    /// Only where bytes were observed too.
    bytes: Option<Trend>,
    origin: i64,
    stale: bool,
    /// Where the observations are from, as a prefix of the trend's model.
    source: String,
    /// What a reader should know besides, as a suffix.
    note: String,
}

impl Evidence {
    fn of_table(
        table: &Table,
        history: &[SizeReading],
        captured_at: i64,
        event_time: Option<&EventTime>,
    ) -> Self {
        Self::of_history(table, history, captured_at)
            .or_else(|| Self::of_events(event_time?, table.rows, captured_at))
            .or_else(|| Self::of_counters(table, captured_at))
            .unwrap_or_else(|| {
                Self::new(
                    Trend {
                        rate_per_day: 0.0,
                        band: Band::default(),
                        known_until: captured_at,
                        model: "flat: nothing is known of its growth, assumed to stay as it is".to_owned(),
                    },
                    captured_at,
                    String::new(),
                )
            })
    }

    fn new(rows: Trend, origin: i64, source: String) -> Self {
        Self { rows, bytes: None, origin, stale: false, source, note: String::new() }
    }

    fn model(&self) -> String {
        format!("{}{}{}", self.source, self.rows.model, self.note)
    }

    /// Recorded sizes, if there are at least two moments.
    fn of_history(table: &Table, history: &[SizeReading], captured_at: i64) -> Option<Self> {
        let of_table = |reading: &&SizeReading| reading.schema == table.schema && reading.table == table.table;
        let readings: Vec<&SizeReading> = history.iter().filter(of_table).collect();
        let usable: Vec<(i64, f64, f64)> = readings.iter().filter_map(|reading| read(reading)).collect();
        let series = |value: fn(&(i64, f64, f64)) -> f64| {
            let observed = usable.iter().map(|reading| Observation { at: reading.0, value: value(reading) });
            Series::new(&observed.collect::<Vec<_>>()).ok().filter(|series| series.len() >= 2)
        };
        let rows = Trend::of(&series(|reading| reading.1)?);
        let mut evidence = Self::new(rows, captured_at, "recorded sizes, ".to_owned());
        evidence.bytes = Some(Trend::of(&series(|reading| reading.2)?));
        let left_out = readings.len() - usable.len();
        if left_out > 0 {
            evidence.note = format!(", {left_out} unreadable left out");
        }
        Some(evidence)
    }

    /// The curve of the event time, as if all rows were on it.
    fn of_events(event_time: &EventTime, rows_now: f64, captured_at: i64) -> Option<Self> {
        let curve = without_outliers(&event_time.curve);
        let on_curve = curve.last()?.value - curve.first()?.value.min(0.0);
        if on_curve <= 0.0 {
            return None;
        }
        let scale = rows_now / on_curve;
        let scaled = curve.iter().map(|point| Observation { at: point.at, value: point.value * scale });
        let series = Series::new(&scaled.collect::<Vec<_>>()).ok().filter(|series| series.len() >= 2)?;
        let mut rows = Trend::of(&series);
        rows.model = rows.model.replace(&format!(", {} observations", series.len()), "");
        let last = series.last().at;
        let silence = days_between(last, captured_at);
        let stale = silence > STALE_DAYS_MIN.max(STALE_SHARE * series.span_days());
        let origin = if stale { last } else { captured_at };
        let mut evidence = Self::new(rows, origin, format!("event time {}, ", event_time.column));
        evidence.stale = stale;
        if stale {
            evidence.note = format!(", looking ahead from the last event, {} before the capture", duration(silence));
        }
        Some(evidence)
    }

    /// Rows inserted less rows deleted since the counters began.
    fn of_counters(table: &Table, captured_at: i64) -> Option<Self> {
        let counters = &table.counters;
        let since = moment(counters.since.as_deref()?)?;
        let days = days_between(since, captured_at);
        let net = counters.inserted - counters.deleted;
        if days < COUNTER_DAYS_MIN || !in_range(net) {
            return None;
        }
        let rows = Trend {
            rate_per_day: net / days,
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

/// A curve without moments at its ends that are farther from the others than
/// these are from each other: 1900-01-01 and 9999-12-31 stand for "unknown"
/// and "for ever", not for events.
fn without_outliers(curve: &[Observation]) -> &[Observation] {
    let mut curve = curve;
    while let [first, second, .., before, last] = curve {
        if curve.len() <= CURVE_MIN {
            break;
        }
        if days_between(before.at, last.at) > days_between(first.at, before.at) {
            curve = &curve[..curve.len() - 1];
        } else if days_between(first.at, second.at) > days_between(second.at, last.at) {
            curve = &curve[1..];
        } else {
            break;
        }
    }
    curve
}
