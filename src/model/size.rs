//! A line of a table's size history, as a profile carries it.

use serde::Deserialize;
use serde::Serialize;

/// One look at the size of a table. Counts are those since the history began;
/// a smaller one than before has begun anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeReading {
    pub schema: String,
    pub table: String,
    /// ISO 8601.
    pub at: String,
    pub rows: f64,
    /// Heap, indexes and TOAST.
    pub bytes: f64,
    /// Rows that came in, without loads; none = not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inserted: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<f64>,
    /// Rows that came in by loads and with attached partitions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub loaded: f64,
    /// Rows that went with drops, TRUNCATE and detached partitions.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: f64,
    /// By how many bytes these and rewrites changed the size.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub event_bytes: f64,
    /// What happened since the reading before, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}
