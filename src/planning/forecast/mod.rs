//! Growth: from what was observed to what is expected, with an honest interval.

use crate::model::key::KeyType;

/// One observation of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Microseconds since 1970-01-01 UTC.
    pub at: i64,
    pub value: f64,
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
}
