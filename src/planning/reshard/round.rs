//! Round values near a point: a range is cut at midnight of a month rather than
//! in the middle of a second, where few rows are between the two.
//!
//! Times are UTC, as everywhere in bounds.

use jiff::SignedDuration;
use jiff::civil::DateTime;

use crate::model::key::KeyType;
use crate::model::key::KeyValue;

/// From which moments are counted.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

const MICROS_OF_UNITS: [i64; 4] = [86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000];

/// The roundest value that is greater than `low` and not greater than `high`;
/// none if the type has no round values, or there is none in between.
#[must_use]
pub fn roundest(kind: KeyType, low: &str, high: &str) -> Option<String> {
    match (kind.read(low)?, kind.read(high)?) {
        (KeyValue::Integer(low), KeyValue::Integer(high)) => {
            let floor = |power: u32| {
                let unit = 10_i128.checked_pow(power)?;
                high.div_euclid(unit).checked_mul(unit)
            };
            (0..20).rev().filter_map(floor).find(|value| *value > low).map(|value| value.to_string())
        }
        (KeyValue::Micros(low), KeyValue::Micros(high)) => {
            let units = MICROS_OF_UNITS.iter().map(|unit| high.div_euclid(*unit).checked_mul(*unit));
            let mut floors = [begin_of(high, true), begin_of(high, false)].into_iter().chain(units).flatten();
            kind.write_moment(floors.find(|value| *value > low && *value <= high)?)
        }
        _ => None,
    }
}

/// The first moment of the year, or of the month.
fn begin_of(micros: i64, year: bool) -> Option<i64> {
    let date = EPOCH.checked_add(SignedDuration::from_micros(micros)).ok()?.date();
    let first = if year { date.first_of_year() } else { date.first_of_month() };
    i64::try_from(first.to_datetime(jiff::civil::Time::midnight()).duration_since(EPOCH).as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_with_zeros() {
        for (low, high, expected) in [
            ("1190000", "1234567", "1200000"),
            ("1234500", "1234567", "1234560"),
            ("1234566", "1234567", "1234567"),
            ("-17", "-12", "-12"),
            ("-27", "-12", "-20"),
            ("-5", "7", "0"),
            ("9", "10", "10"),
        ] {
            assert_eq!(roundest(KeyType::Integer, low, high).as_deref(), Some(expected), "{low} {high}");
        }
    }

    #[test]
    fn moments_begin_a_unit_of_the_calendar() {
        let kind = KeyType::TimestampTz;
        for (low, high, expected) in [
            ("2025-11-01 00:00:00+00", "2026-02-03 04:05:06+00", "2026-01-01 00:00:00+00"),
            ("2026-01-30 00:00:00+00", "2026-02-03 04:05:06+00", "2026-02-01 00:00:00+00"),
            ("2026-02-02 04:05:06+00", "2026-02-03 04:05:06+00", "2026-02-03 00:00:00+00"),
            ("2026-02-03 00:00:00+00", "2026-02-03 04:05:06+00", "2026-02-03 04:00:00+00"),
            ("2026-02-03 04:05:06+00", "2026-02-03 04:05:06.5+00", "2026-02-03 04:05:06.500000+00"),
        ] {
            let found = roundest(kind, low, high);
            let expected = Some(expected).filter(|text| !text.contains('.'));
            assert_eq!(found.as_deref(), expected, "{low} {high}");
        }
        assert_eq!(roundest(KeyType::Date, "2026-01-30", "2026-02-03").as_deref(), Some("2026-02-01"));
        assert_eq!(roundest(KeyType::Date, "1969-12-30", "1969-12-31").as_deref(), Some("1969-12-31"));
    }

    #[test]
    fn others_have_no_round_values() {
        assert_eq!(roundest(KeyType::Text, "a", "b"), None);
        assert_eq!(roundest(KeyType::Numeric, "1.5", "20.5"), None);
        assert_eq!(roundest(KeyType::Date, "2026-01-01", "infinity"), None);
    }
}
