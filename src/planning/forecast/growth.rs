//! What becomes of one table, in rows and in bytes.
//!
//! The rate is that of the best evidence (`evidence`), weighed against what is
//! declared (`declared`). Where nothing is known the table stays as it is, and
//! the model says that this is an assumption. How much the server can hold is
//! no matter of this room.
//!
//! Invariant: rows and bytes never fall below zero, and both start at what
//! the table has now.

use crate::model::profile::Column;
use crate::model::profile::SizeReading;
use crate::model::profile::Table;
use crate::planning::forecast::DAY;
use crate::planning::forecast::Flow;
use crate::planning::forecast::ForecastError;
use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Growth;
use crate::planning::forecast::IdTime;
use crate::planning::forecast::Observation;
use crate::planning::forecast::POINTS_MAX;
use crate::planning::forecast::check_horizon;
use crate::planning::forecast::days_between;
use crate::planning::forecast::declared::Blend;
use crate::planning::forecast::declared::Declared;
use crate::planning::forecast::declared::pretty;
use crate::planning::forecast::declared::towards;
use crate::planning::forecast::event_time::event_time;
use crate::planning::forecast::evidence::Evidence;
use crate::planning::forecast::id_time::id_time;
use crate::planning::forecast::moments;
use crate::planning::forecast::recorded::Recurring;
use crate::planning::forecast::series::in_range;
use crate::planning::forecast::trend::duration;

/// Bytes of a row besides its values: tuple header (23, aligned to 24) and
/// line pointer (4), from PostgreSQL's `htup_details.h` and `itemid.h`.
const ROW_OVERHEAD: f64 = 28.0;

/// Width of a column without statistics, bytes: PostgreSQL's own guess for
/// types of variable length (`get_typavgwidth`).
const COLUMN_WIDTH: f64 = 32.0;

/// Bytes of a row of which nothing is known, with its share of indexes.
const ROW_ASSUMED: f64 = 100.0;

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
/// or what is declared is not a finite number.
pub fn growth(
    table: &Table,
    history: &[SizeReading],
    captured_at: i64,
    horizon: i64,
    declared: &Declared,
) -> Result<Growth, ForecastError> {
    check_horizon(horizon)?;
    let (rows_now, bytes_now) = sizes(table)?;
    declared.check()?;
    let event_time = event_time(table);
    let id_time = id_time(table, captured_at);
    let by_event = event_time.as_ref().map(|found| (found.column.as_str(), found.curve.as_slice()));
    let words = id_time.as_ref().map(IdTime::words);
    let by_id = id_time.as_ref().zip(words.as_deref()).map(|(found, words)| (words, found.curve.as_slice()));
    let evidence = Evidence::of_table(table, history, captured_at, by_event.or(by_id));
    let origin = evidence.origin;
    let blend = declared.rows_per_day.map(|rate| {
        let since = declared.since.unwrap_or(evidence.rows.known_until);
        Blend::of(rate, evidence.rows.rate_per_day(), evidence.days_since(since))
    });
    let outlook = Outlook {
        evidence: &evidence,
        blend,
        rows_now,
        bytes_now,
        row_bytes: bytes_per_row(table, rows_now, bytes_now),
    };
    let count = usize::try_from(horizon / DAY).unwrap_or(POINTS_MAX);
    let (mut rows, mut bytes, mut inflow) = (Vec::new(), Vec::new(), Vec::new());
    let mut scale = None;
    for at in moments(origin, horizon, count) {
        let (mut rows_then, mut bytes_then) = (outlook.rows(at), outlook.bytes(at));
        if let Some(volume) = declared.volume {
            scale = (bytes_then.value > 0.0).then(|| volume.bytes / bytes_then.value);
            let share = days_between(origin, at) / days_between(origin, origin.saturating_add(horizon));
            let rows_declared = rows_now + (volume.bytes - bytes_now) / outlook.row_bytes;
            rows_then = towards(rows_now, rows_declared, share, rows_then);
            bytes_then = towards(bytes_now, volume.bytes, share, bytes_then);
        }
        rows.push(not_negative(rows_then));
        bytes.push(not_negative(bytes_then));
        inflow.push(not_negative(outlook.inflow(at, rows_then, declared.volume.is_some())));
    }
    let model = model(declared, &outlook, bytes_now, table);
    let flow = Flow { inflow, removal_per_day: evidence.removal_per_day, id_time };
    Ok(Growth {
        rows_now,
        bytes_now,
        rows,
        bytes,
        origin,
        stale: evidence.stale,
        event_time,
        model,
        flow,
        scale,
    })
}

/// Where a table goes, by evidence and declared pace.
struct Outlook<'a> {
    evidence: &'a Evidence,
    blend: Option<Blend>,
    rows_now: f64,
    bytes_now: f64,
    row_bytes: f64,
}

impl Outlook<'_> {
    fn anchor(&self, value: f64) -> Observation {
        Observation { at: self.evidence.origin, value }
    }

    fn rows(&self, at: i64) -> ForecastPoint {
        let (trend, anchor) = (&self.evidence.rows, self.anchor(self.rows_now));
        match &self.blend {
            Some(blend) => blend.point(trend, anchor, at),
            None => self.with_recurring(trend.point(anchor, at), |recurring| {
                (recurring.rows_per_day, recurring.largest_rows)
            }),
        }
    }

    fn bytes(&self, at: i64) -> ForecastPoint {
        match (&self.blend, &self.evidence.bytes) {
            (None, Some(trend)) => self
                .with_recurring(trend.point(self.anchor(self.bytes_now), at), |recurring| {
                    (recurring.bytes_per_day, recurring.largest_bytes)
                }),
            _ => {
                let rows = self.rows(at);
                let bytes = |rows: f64| self.bytes_now + (rows - self.rows_now) * self.row_bytes;
                ForecastPoint {
                    at,
                    value: bytes(rows.value),
                    lower: bytes(rows.lower),
                    upper: bytes(rows.upper),
                }
            }
        }
    }

    /// Events that recur go on at their mean; when the next one comes is not
    /// known, and how large it is only as well as so many tell.
    fn with_recurring(&self, point: ForecastPoint, of: fn(&Recurring) -> (f64, f64)) -> ForecastPoint {
        let Some(recurring) = &self.evidence.recurring else { return point };
        let (per_day, largest) = of(recurring);
        let change = per_day * days_between(self.evidence.origin, point.at);
        let doubt = largest + change.abs() / recurring.count as f64;
        ForecastPoint {
            at: point.at,
            value: point.value + change,
            lower: point.lower + change - doubt,
            upper: point.upper + change + doubt,
        }
    }

    /// What comes in up to a moment: as counted; or else, or where something
    /// else is declared, what the table grows by and what is deleted of it.
    fn inflow(&self, at: i64, rows: ForecastPoint, declared: bool) -> ForecastPoint {
        match &self.evidence.inflow {
            Some(trend) if self.blend.is_none() && !declared => trend.point(self.anchor(0.0), at),
            _ => {
                let deleted = self.evidence.removal_per_day * days_between(self.evidence.origin, at);
                let came = |rows: f64| rows - self.rows_now + deleted;
                ForecastPoint {
                    at,
                    value: came(rows.value),
                    lower: came(rows.lower),
                    upper: came(rows.upper),
                }
            }
        }
    }
}

/// Names method and inputs, for people.
fn model(declared: &Declared, outlook: &Outlook<'_>, bytes_now: f64, table: &Table) -> String {
    let observed = outlook.evidence.observed();
    let mut words = match (&outlook.blend, declared.rows_per_day, &observed) {
        (Some(_), Some(rate), None) => {
            format!("declared {rate} rows per day, ±100 % of growth, nothing observed")
        }
        (Some(blend), Some(rate), Some(observed)) => {
            let found = outlook.evidence.rows.rate_per_day();
            let since = outlook.evidence.days_since(declared.since.unwrap_or(i64::MAX));
            let weighed = if since > 0.0 {
                format!(
                    ", {:.0} % of it after {} of observation since",
                    100.0 * blend.weight,
                    duration(since)
                )
            } else {
                String::new()
            };
            format!("declared {rate} rows per day{weighed}, observed {found:.1} ({observed})")
        }
        (_, _, Some(observed)) => observed.clone(),
        (_, _, None) => "flat: nothing is known of its growth, assumed to stay as it is".to_owned(),
    };
    if let Some(volume) = declared.volume {
        let what = match volume.of_all {
            Some(all) => format!("{} of the declared {} of all tables", pretty(volume.bytes), pretty(all)),
            None => format!("declared {}", pretty(volume.bytes)),
        };
        words = format!("{what} at the horizon, now {}; otherwise {words}", pretty(bytes_now));
    }
    if table.columns.is_empty() && table.rows == 0.0 {
        words.push_str(&format!(", its rows are assumed to take {ROW_ASSUMED} bytes"));
    }
    words
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
    if table.columns.is_empty() {
        return ROW_ASSUMED;
    }
    let width = |column: &Column| {
        let width = column.statistics.as_ref().map(|statistics| statistics.width);
        width.filter(|width| in_range(*width) && *width > 0.0).unwrap_or(COLUMN_WIDTH)
    };
    ROW_OVERHEAD + table.columns.iter().map(width).sum::<f64>()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyType;
    use crate::planning::forecast::event_time::examples::column;
    use crate::planning::forecast::event_time::examples::table;

    const HORIZON: i64 = 100 * DAY;

    fn reading(at: &str, rows: f64, bytes: f64) -> SizeReading {
        let (schema, table) = ("public".to_owned(), "t".to_owned());
        SizeReading { schema, table, at: at.to_owned(), rows, bytes, ..SizeReading::default() }
    }

    fn per_day(rows: f64) -> Declared {
        Declared { rows_per_day: Some(rows), ..Declared::default() }
    }

    /// A time column with a bound on each of these days since 1970.
    fn days(days: impl IntoIterator<Item = i64>) -> Column {
        let kind = KeyType::TimestampTz;
        let bounds: Vec<String> =
            days.into_iter().map(|day| kind.write_moment(day * DAY).unwrap_or_default()).collect();
        let bounds: Vec<&str> = bounds.iter().map(String::as_str).collect();
        column("seen_at", "timestamp with time zone", 0.99, &bounds)
    }

    fn counted(since: Option<&str>, inserted: f64, deleted: f64) -> Table {
        let mut found = table(1000.0, vec![]);
        found.counters.since = since.map(str::to_owned);
        (found.counters.inserted, found.counters.deleted) = (inserted, deleted);
        found
    }

    /// Captured on day `capture`, asked for 100 days: origin (day), rows then
    /// (lower, value, upper) and model.
    #[track_caller]
    fn check(
        (table, history, capture, declared): (&Table, &[SizeReading], i64, Option<f64>),
        origin: i64,
        rows: (f64, f64, f64),
        model: &str,
    ) -> Growth {
        let declared = Declared { rows_per_day: declared, ..Declared::default() };
        let growth = growth(table, history, capture * DAY, HORIZON, &declared).unwrap();
        let last = *growth.rows.last().unwrap();
        assert_eq!(growth.model, model);
        assert_eq!((growth.origin, last.at), (origin * DAY, (origin + 100) * DAY));
        assert_eq!((growth.rows.len(), growth.bytes.len()), (100, 100));
        for (found, expected) in [(last.lower, rows.0), (last.value, rows.1), (last.upper, rows.2)] {
            assert!((found - expected).abs() < 0.01, "{last:?} is not {rows:?}");
        }
        growth
    }

    #[test]
    fn nothing_known_stays_as_it_is() {
        let flat = "flat: nothing is known of its growth, assumed to stay as it is";
        let same = (1000.0, 1000.0, 1000.0);
        check((&table(1000.0, vec![]), &[], 500, None), 500, same, flat);
        check(
            (&table(1000.0, vec![]), &[reading("1971-01-01T00:00:00Z", 5.0, 5.0)], 500, None),
            500,
            same,
            flat,
        );
        check((&counted(None, 1e6, 0.0), &[], 500, None), 500, same, flat);
        check((&counted(Some("then"), 1e6, 0.0), &[], 500, None), 500, same, flat);
        check((&counted(Some("1970-01-10T12:00:00Z"), 1e6, 0.0), &[], 10, None), 10, same, flat);
        check((&counted(Some("1970-01-01T00:00:00Z"), f64::NAN, 0.0), &[], 10, None), 10, same, flat);
    }

    #[test]
    fn counters_give_a_drift() {
        let model = "counters of inserted and deleted rows, drift over 10 days, ±100 % of growth";
        let growing = counted(Some("1970-01-01T00:00:00Z"), 600.0, 100.0);
        check((&growing, &[], 10, None), 10, (1000.0, 6000.0, 11000.0), model);
        let shrinking = counted(Some("1970-01-01 00:00:00+00"), 0.0, 500.0);
        check((&shrinking, &[], 10, None), 10, (0.0, 0.0, 1000.0), model);
    }

    #[test]
    fn recorded_sizes_go_before_everything_else() {
        let mut grown = table(1000.0, vec![days(0..=100)]);
        grown.counters = counted(Some("1970-01-01T00:00:00Z"), 1e6, 0.0).counters;
        let mut other = reading("1970-03-01T00:00:00Z", 9e9, 9e9);
        other.table = "u".to_owned();
        let history = [
            reading("1970-01-03T00:00:00Z", 20.0, 4000.0),
            other,
            reading("soon", 7.0, 7.0),
            reading("1970-01-02T00:00:00Z", f64::NAN, 7.0),
            reading("1970-01-01T00:00:00Z", 10.0, 2000.0),
        ];
        let model =
            "2 recorded sizes, drift of 2 observations over 2 days, ±100 % of growth, 2 unreadable left out";
        let found = check((&grown, &history, 2, None), 2, (1000.0, 1500.0, 2000.0), model);
        // Bytes follow their own readings, from the size that is known now.
        assert!((found.bytes[99].value - (100_000.0 + 100.0 * 1000.0)).abs() < 0.01);
        // Capturing later than the last reading widens the interval.
        check((&grown, &history, 12, None), 12, (950.0, 1500.0, 2050.0), model);
        assert_eq!(found.event_time.map(|event_time| event_time.column).as_deref(), Some("seen_at"));
    }

    #[test]
    fn minutes_of_records_do_not_go_before_a_year_of_events() {
        let history =
            [reading("1970-04-10T00:00:00Z", 10.0, 2000.0), reading("1970-04-10T00:01:00Z", 990.0, 2000.0)];
        let found =
            growth(&table(1000.0, vec![days(0..=100)]), &history, 100 * DAY, HORIZON, &Declared::default())
                .unwrap();
        assert_eq!(found.model, "event time seen_at, Theil-Sen over the last 7 days of 100 days");
        let found =
            growth(&table(1000.0, vec![]), &history, 100 * DAY, HORIZON, &Declared::default()).unwrap();
        assert!(found.model.starts_with("2 recorded sizes, drift"), "{}", found.model);
    }

    #[test]
    fn many_records_give_a_line() {
        let history: Vec<SizeReading> = (1..=9)
            .map(|day| reading(&format!("1970-01-0{day}T00:00:00+00:00"), 10.0 * f64::from(day), 500.0))
            .collect();
        let share = 1000.0 / 7.0;
        let rows = (2000.0 - share, 2000.0, 2000.0 + share);
        let model = "9 recorded sizes, Theil-Sen over 8 days";
        let found = check((&table(1000.0, vec![]), &history, 8, None), 8, rows, model);
        assert_eq!(found.bytes[99].upper, 100_000.0);
    }

    #[test]
    fn event_time_is_the_history_of_a_backup() {
        let model = "event time seen_at, Theil-Sen over the last 7 days of 100 days";
        let even = table(1000.0, vec![days(0..=100)]);
        let share = 1000.0 / 99.0; // 1 / (n - 2) of the growth
        let rows = (2000.0 - share, 2000.0, 2000.0 + share);
        let found = check((&even, &[], 100, None), 100, rows, model);
        assert!((found.bytes[99].value - 200_000.0).abs() < 0.01 && !found.stale);
        // Null moments count as rows that came in the same way.
        let mut with_nulls = even.clone();
        with_nulls.columns[0].statistics.as_mut().unwrap().null_fraction = 0.5;
        check((&with_nulls, &[], 100, None), 100, rows, model);
        // A month of silence is not yet old.
        let found = growth(&even, &[], 130 * DAY, HORIZON, &Declared::default()).unwrap();
        assert!(!found.stale && found.origin == 130 * DAY);
        // Events ahead of the capture are planned ones.
        assert!(!growth(&even, &[], 50 * DAY, HORIZON, &Declared::default()).unwrap().stale);
    }

    #[test]
    fn old_data_look_ahead_from_their_last_event() {
        let old = table(1000.0, vec![days(0..=100)]);
        let model = "event time seen_at, Theil-Sen over the last 7 days of 100 days, \
             looking ahead from the last event, 4900 days before the capture";
        let share = 1000.0 / 99.0;
        let rows = (2000.0 - share, 2000.0, 2000.0 + share);
        assert!(check((&old, &[], 5000, None), 100, rows, model).stale);
        // A tenth of a long history is no silence.
        let long = table(1000.0, vec![days((0..=100).map(|step| step * 40))]);
        assert!(!growth(&long, &[], 4390 * DAY, HORIZON, &Declared::default()).unwrap().stale);
        assert!(growth(&long, &[], 4401 * DAY, HORIZON, &Declared::default()).unwrap().stale);
    }

    #[test]
    fn placeholders_for_never_are_no_events() {
        let ever = 2_932_896; // 9999-12-31
        let unknown = -25_567; // 1900-01-01
        for bounds in [
            (10_000..=10_100).chain([ever]).collect::<Vec<_>>(),
            [unknown, 0].into_iter().chain(10_000..=10_100).collect(),
            [unknown].into_iter().chain(10_000..=10_100).chain([ever]).collect(),
        ] {
            let found =
                growth(&table(1000.0, vec![days(bounds)]), &[], 10_200 * DAY, HORIZON, &Declared::default())
                    .unwrap();
            assert!(found.model.contains("100 days"), "{}", found.model);
            assert!(found.stale && found.origin == 10_100 * DAY);
            let rate = (found.rows[99].value - 1000.0) / 100.0;
            assert!((9.5..=10.5).contains(&rate), "{rate}");
        }
    }

    #[test]
    fn a_bulk_load_is_not_the_rate() {
        // A million rows on the first day, one percent of it in the year after.
        let moments = (0..=99).map(|step| step * DAY / 100).chain([365 * DAY]);
        let mut loaded = days([]);
        loaded.statistics.as_mut().unwrap().histogram =
            moments.map(|at| KeyType::TimestampTz.write_moment(at).unwrap_or_default()).collect();
        let found = growth(&table(1e6, vec![loaded]), &[], 365 * DAY, HORIZON, &Declared::default()).unwrap();
        let grown = found.rows[99].value - 1e6;
        assert!((2000.0..=4000.0).contains(&grown), "{grown}");
    }

    #[test]
    fn a_declared_rate_goes_before_what_was_observed() {
        let unknown = table(1000.0, vec![]);
        let model = "declared 50 rows per day, ±100 % of growth, nothing observed";
        check((&unknown, &[], 10, Some(50.0)), 10, (1000.0, 6000.0, 11000.0), model);
        let observed = table(1000.0, vec![days(0..=100)]);
        let model = "declared 50 rows per day, observed 10.0 \
             (event time seen_at, Theil-Sen over the last 7 days of 100 days)";
        let found = check((&observed, &[], 100, Some(50.0)), 100, (2000.0, 6000.0, 10000.0), model);
        assert!((found.bytes[99].value - 600_000.0).abs() < 0.01);
        // An empty table takes the width of its columns: 28 + 8 bytes a row.
        let empty = table(0.0, vec![column("id", "bigint", 0.0, &[])]);
        let found = growth(&empty, &[], 0, HORIZON, &per_day(1.0)).unwrap();
        assert!((found.bytes[99].value - 3600.0).abs() < 0.01, "{:?}", found.bytes[99]);
    }

    #[test]
    fn short_horizons_have_a_point_too() {
        let found = growth(&table(1000.0, vec![]), &[], 0, 1, &Declared::default()).unwrap();
        assert_eq!(found.rows.iter().map(|point| point.at).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn unusable_input_is_refused() {
        let good = table(1000.0, vec![]);
        assert_eq!(growth(&good, &[], 0, 0, &Declared::default()), Err(ForecastError::Horizon(0)));
        assert_eq!(
            growth(&good, &[], 0, 1, &per_day(f64::INFINITY)),
            Err(ForecastError::ExpectedRate(f64::INFINITY))
        );
        for rows in [f64::NAN, -1.0, f64::INFINITY] {
            let error = growth(&table(rows, vec![]), &[], 0, 1, &Declared::default()).unwrap_err();
            assert_eq!(error.to_string(), "size of table \"public.t\" is not a finite number in range");
        }
    }
}
