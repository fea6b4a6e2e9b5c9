//! Recorded sizes as series: of rows and bytes without what events did to
//! them, of what came in and of what went.
//!
//! Loads, drops and the like are told by the readings themselves
//! (`ledger`), never guessed. Where they recur all along the history, as
//! retention does, they are how the table lives, and their mean goes on.
//!
//! Invariant: readings that cannot be used are counted.

use crate::model::profile::SizeReading;
use crate::planning::forecast::DAY;
use crate::planning::forecast::Event;
use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;
use crate::planning::forecast::event::without_events;
use crate::planning::forecast::evidence::moment;
use crate::planning::forecast::series::Series;
use crate::planning::forecast::series::in_range;

/// Fewest events that recur.
const RECUR_MIN: usize = 3;

/// The least share of the history that lies between the first and the last of
/// them, and the least of it in days: three loads in an afternoon are one.
const RECUR_SHARE: f64 = 0.5;
const RECUR_DAYS_MIN: f64 = 2.0;

/// Longest rest that is filled, in days: as long as sizes are kept.
const REST_DAYS_MAX: i64 = 731;

/// What the history of a table tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recorded {
    pub(super) rows: Series,
    pub(super) bytes: Series,
    /// Sums of what came in and what went, without events.
    pub(super) inflow: Option<Series>,
    pub(super) removal: Option<Series>,
    /// Events that were taken out.
    pub(super) events: usize,
    pub(super) recurring: Option<Recurring>,
    /// Readings that could be used, and that could not.
    pub(super) used: usize,
    pub(super) left_out: usize,
}

/// Events that go on: what they change in the mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Recurring {
    pub(super) rows_per_day: f64,
    pub(super) bytes_per_day: f64,
    /// The largest of them, either way.
    pub(super) largest_rows: f64,
    pub(super) largest_bytes: f64,
    pub(super) count: usize,
}

/// A reading in numbers.
#[derive(Clone, Copy, PartialEq)]
struct Numbers {
    at: i64,
    rows: f64,
    bytes: f64,
    inserted: Option<f64>,
    deleted: Option<f64>,
    loaded: f64,
    dropped: f64,
    event_bytes: f64,
}

/// What events did between two readings.
#[derive(Clone, Copy)]
struct Moved {
    from: i64,
    until: i64,
    rows: f64,
    bytes: f64,
}

impl Recorded {
    /// The usable readings of a table; none if there is no moment.
    pub(super) fn of((schema, name): (&str, &str), history: &[SizeReading]) -> Option<Self> {
        let of_table = |reading: &&SizeReading| reading.schema == schema && reading.table == name;
        let readings: Vec<&SizeReading> = history.iter().filter(of_table).collect();
        let mut usable: Vec<Numbers> = readings.iter().filter_map(|reading| numbers(reading)).collect();
        // Of several at one moment the last one counts, as in every series.
        usable.reverse();
        usable.sort_by_key(|reading| reading.at);
        usable.dedup_by_key(|reading| reading.at);
        let used = usable.len();
        let usable = with_rests(&usable);
        let moved: Vec<Moved> = usable.windows(2).filter_map(|pair| moved(pair[0], pair[1])).collect();
        let series = |value: fn(&Numbers) -> f64, change: fn(&Moved) -> f64| {
            let observed: Vec<Observation> =
                usable.iter().map(|reading| Observation { at: reading.at, value: value(reading) }).collect();
            let events: Vec<Event> = moved
                .iter()
                .map(|moved| Event { from: moved.from, until: moved.until, change: Some(change(moved)) })
                .collect();
            Series::new(&without_events(&observed, &events)).ok()
        };
        let rows = series(|reading| reading.rows, |moved| moved.rows)?;
        let bytes = series(|reading| reading.bytes, |moved| moved.bytes)?;
        Some(Self {
            recurring: recurring(&moved, rows.span_days()),
            rows,
            bytes,
            inflow: sums(&usable, |reading| reading.inserted),
            removal: sums(&usable, |reading| reading.deleted),
            events: moved.len(),
            used,
            left_out: readings.len() - readings.iter().filter(|reading| numbers(reading).is_some()).count(),
        })
    }

    /// What a reader should know besides the trend.
    pub(super) fn note(&self) -> String {
        let mut note = String::new();
        match (self.events, &self.recurring) {
            (0, _) => {}
            (_, Some(recurring)) => note.push_str(&format!(
                ", {} events taken out, which go on at {:+.1} rows per day",
                recurring.count, recurring.rows_per_day
            )),
            (1, None) => note.push_str(", 1 event taken out"),
            (events, None) => note.push_str(&format!(", {events} events taken out")),
        }
        if self.left_out > 0 {
            note.push_str(&format!(", {} unreadable left out", self.left_out));
        }
        note
    }
}

/// Readings with a day between those that are equal: nothing happened there,
/// and so nothing was written down.
fn with_rests(readings: &[Numbers]) -> Vec<Numbers> {
    let mut all: Vec<Numbers> = Vec::with_capacity(readings.len());
    for reading in readings {
        if let Some(before) =
            all.last().copied().filter(|before| Numbers { at: reading.at, ..*before } == *reading)
        {
            let days = (days_between(before.at, reading.at) as i64).min(REST_DAYS_MAX);
            let between = (1..=days).map(|day| Numbers { at: before.at.saturating_add(day * DAY), ..before });
            all.extend(between.filter(|between| between.at < reading.at));
        }
        all.push(*reading);
    }
    all
}

/// `None` if the moment or the size is unusable; counts that are count as not
/// told.
fn numbers(reading: &SizeReading) -> Option<Numbers> {
    let count = |value: f64| (in_range(value) && value >= 0.0).then_some(value);
    Some(Numbers {
        at: moment(&reading.at)?,
        rows: count(reading.rows)?,
        bytes: count(reading.bytes)?,
        inserted: reading.inserted.and_then(count),
        deleted: reading.deleted.and_then(count),
        loaded: count(reading.loaded).unwrap_or(0.0),
        dropped: count(reading.dropped).unwrap_or(0.0),
        event_bytes: if in_range(reading.event_bytes) { reading.event_bytes } else { 0.0 },
    })
}

/// The growth of a sum; one that is smaller than before has begun anew.
fn grown(earlier: f64, later: f64) -> f64 {
    if later >= earlier { later - earlier } else { later }
}

fn moved(earlier: Numbers, later: Numbers) -> Option<Moved> {
    let anew = later.loaded < earlier.loaded || later.dropped < earlier.dropped;
    let rows = grown(earlier.loaded, later.loaded) - grown(earlier.dropped, later.dropped);
    let bytes = if anew { later.event_bytes } else { later.event_bytes - earlier.event_bytes };
    (rows != 0.0 || bytes != 0.0).then_some(Moved { from: earlier.at, until: later.at, rows, bytes })
}

/// A count as one sum that never falls.
fn sums(readings: &[Numbers], count: fn(&Numbers) -> Option<f64>) -> Option<Series> {
    let told: Vec<(i64, f64)> =
        readings.iter().filter_map(|reading| Some((reading.at, count(reading)?))).collect();
    let mut sum = 0.0;
    let mut before = told.first()?.1;
    let observed = told.iter().map(|(at, count)| {
        sum += grown(before, *count);
        before = *count;
        Observation { at: *at, value: sum }
    });
    Series::new(&observed.collect::<Vec<_>>()).ok().filter(|series| series.len() > 1)
}

fn recurring(moved: &[Moved], span_days: f64) -> Option<Recurring> {
    let moved: Vec<&Moved> = moved.iter().filter(|moved| moved.rows != 0.0).collect();
    let (first, last) = (moved.first()?, moved.last()?);
    let between = days_between(first.until, last.until);
    if moved.len() < RECUR_MIN || between < RECUR_DAYS_MIN.max(RECUR_SHARE * span_days) {
        return None;
    }
    let largest = |size: fn(&Moved) -> f64| moved.iter().map(|moved| size(moved).abs()).fold(0.0, f64::max);
    // A pace: from the first to the last there is one pause less than events.
    let per_day = |size: fn(&Moved) -> f64| moved[1..].iter().map(|moved| size(moved)).sum::<f64>() / between;
    Some(Recurring {
        rows_per_day: per_day(|moved| moved.rows),
        bytes_per_day: per_day(|moved| moved.bytes),
        largest_rows: largest(|moved| moved.rows),
        largest_bytes: largest(|moved| moved.bytes),
        count: moved.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of days: (rows, inserted, loaded, dropped).
    fn readings(days: &[(f64, f64, f64, f64)]) -> Vec<SizeReading> {
        (1..)
            .zip(days)
            .map(|(day, (rows, inserted, loaded, dropped))| SizeReading {
                schema: "public".to_owned(),
                table: "t".to_owned(),
                at: format!("1970-01-{day:02}T00:00:00Z"),
                rows: *rows,
                bytes: 100.0 * rows,
                inserted: Some(*inserted),
                deleted: Some(0.0),
                loaded: *loaded,
                dropped: *dropped,
                event_bytes: 100.0 * (loaded - dropped),
                ..SizeReading::default()
            })
            .collect()
    }

    fn recorded(days: &[(f64, f64, f64, f64)]) -> Recorded {
        Recorded::of(("public", "t"), &readings(days)).unwrap()
    }

    fn values(series: &Series) -> Vec<f64> {
        series.observations().iter().map(|point| point.value).collect()
    }

    #[test]
    fn events_are_taken_out_of_the_size_and_not_of_the_inflow() {
        let found = recorded(&[
            (10.0, 10.0, 0.0, 0.0),
            (20.0, 20.0, 0.0, 0.0),
            (5.0, 30.0, 0.0, 25.0),
            (15.0, 40.0, 0.0, 25.0),
        ]);
        assert_eq!(values(&found.rows), [-15.0, -5.0, 5.0, 15.0]);
        assert_eq!(values(&found.bytes), [-1500.0, -500.0, 500.0, 1500.0]);
        assert_eq!(values(found.inflow.as_ref().unwrap()), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!((found.events, found.recurring), (1, None));
        assert_eq!(found.note(), ", 1 event taken out");
    }

    #[test]
    fn counts_that_begin_anew_lose_nothing_else() {
        let found = recorded(&[
            (10.0, 100.0, 5.0, 5.0),
            (20.0, 110.0, 5.0, 5.0),
            (30.0, 3.0, 0.0, 0.0),
            (40.0, 13.0, 0.0, 0.0),
        ]);
        assert_eq!(values(found.inflow.as_ref().unwrap()), [0.0, 10.0, 13.0, 23.0]);
        assert_eq!(values(&found.rows), [10.0, 20.0, 30.0, 40.0]);
    }

    #[test]
    fn drops_that_recur_go_on() {
        let days: Vec<_> =
            (0..12).map(|day| (100.0, 10.0 * f64::from(day), 0.0, 10.0 * f64::from(day))).collect();
        let found = recorded(&days);
        let recurring = found.recurring.unwrap();
        assert_eq!((recurring.rows_per_day, recurring.bytes_per_day, recurring.count), (-10.0, -1000.0, 11));
        assert_eq!(found.note(), ", 11 events taken out, which go on at -10.0 rows per day");
        // Not if they were over long ago, or few.
        let over: Vec<_> = (0..30).map(|day| (100.0, 0.0, 0.0, f64::from(day.min(4)))).collect();
        assert_eq!(recorded(&over).recurring, None);
        let few: Vec<_> = (0..8).map(|day| (100.0, 0.0, 0.0, f64::from(day / 4))).collect();
        assert_eq!(recorded(&few).recurring, None);
    }

    #[test]
    fn a_rest_is_a_reading_a_day() {
        let mut history = readings(&[
            (10.0, 10.0, 0.0, 0.0),
            (20.0, 20.0, 0.0, 0.0),
            (20.0, 20.0, 0.0, 0.0),
            (30.0, 30.0, 0.0, 0.0),
        ]);
        history[2].at = "1970-01-12T12:00:00Z".to_owned();
        history[3].at = "1970-01-20T00:00:00Z".to_owned();
        let found = Recorded::of(("public", "t"), &history).unwrap();
        // Days 3 to 12 had what day 2 had; nothing is known from 13 to 19.
        assert_eq!((found.rows.len(), found.rows.observed_days(19)), (14, 13));
        // Whatever the moments are.
        history[0].at = "-009999-01-02T01:59:59Z".to_owned();
        history[1] = SizeReading { at: "9999-12-30T22:00:00Z".to_owned(), ..history[0].clone() };
        assert_eq!(Recorded::of(("public", "t"), &history[..2]).unwrap().rows.len(), 733);
    }

    #[test]
    fn readings_of_older_releases_have_no_counts() {
        let mut history = readings(&[(10.0, 0.0, 0.0, 0.0), (20.0, 0.0, 0.0, 0.0)]);
        history.iter_mut().for_each(|reading| (reading.inserted, reading.deleted) = (None, None));
        history[0].rows = f64::NAN;
        let found = Recorded::of(("public", "t"), &history).unwrap();
        assert_eq!((found.inflow, found.removal, found.left_out), (None, None, 1));
    }
}
