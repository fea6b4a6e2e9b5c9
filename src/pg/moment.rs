//! Moments and durations between PostgreSQL's types and plain microseconds.

use pgrx::datum::Interval;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;

/// 2000-01-01, PostgreSQL's epoch, in microseconds since 1970-01-01 UTC.
const EPOCH: i64 = 946_684_800_000_000;

fn out_of_range() -> ErrorReport {
    error::new(SqlState::InvalidParameterValue, "timestamp out of range", None, None)
}

/// A moment in microseconds since 1970-01-01 UTC as a timestamp.
///
/// # Errors
/// 22023 outside PostgreSQL's calendar.
pub fn timestamp(micros: i64) -> Result<TimestampWithTimeZone, ErrorReport> {
    let value = micros.checked_sub(EPOCH).ok_or_else(out_of_range)?;
    TimestampWithTimeZone::try_from(value as pg_sys::TimestampTz).map_err(|_| out_of_range())
}

/// A moment as the server has it, in microseconds since 2000.
///
/// # Errors
/// 22023 outside PostgreSQL's calendar.
pub fn of_server(micros: i64) -> Result<TimestampWithTimeZone, ErrorReport> {
    TimestampWithTimeZone::try_from(micros as pg_sys::TimestampTz).map_err(|_| out_of_range())
}

/// A timestamp in microseconds since 1970-01-01 UTC.
///
/// # Errors
/// 22023 for infinity.
pub fn micros(at: TimestampWithTimeZone) -> Result<i64, ErrorReport> {
    let value = pg_sys::TimestampTz::from(at);
    if value == i64::MIN || value == i64::MAX {
        return Err(out_of_range());
    }
    value.checked_add(EPOCH).ok_or_else(out_of_range)
}

/// An interval in microseconds, months counted as 30 days as in `extract(epoch)`
/// of PostgreSQL's comparison of intervals.
#[must_use]
pub fn duration(interval: &Interval) -> i64 {
    const DAY: i64 = 86_400_000_000;
    let days = i64::from(interval.months()) * 30 + i64::from(interval.days());
    days.saturating_mul(DAY).saturating_add(interval.micros())
}
