//! Calendar units and intervals in UTC: where range bounds may lie.
//!
//! Not here: which unit suits a table. Invariant: `floor` never lies after
//! its argument, and the argument lies before the next boundary.

use std::fmt;

use jiff::Span;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::Serialize;

/// A unit of the calendar, ascending in length. Weeks begin on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarUnit {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl CalendarUnit {
    /// All units, shortest first.
    pub const ALL: [Self; 6] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The word of the interval grammar.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// How a sentence names ranges of the unit.
    #[must_use]
    pub const fn adjective(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Quarter => "quarterly",
            Self::Year => "yearly",
        }
    }

    /// Fewest microseconds that the unit can have, to bound counts.
    #[must_use]
    pub const fn micros_min(self) -> i64 {
        const HOUR: i64 = 3_600_000_000;
        match self {
            Self::Hour => HOUR,
            Self::Day => 24 * HOUR,
            Self::Week => 7 * 24 * HOUR,
            Self::Month => 28 * 24 * HOUR,
            Self::Quarter => 90 * 24 * HOUR,
            Self::Year => 365 * 24 * HOUR,
        }
    }

    /// The last boundary at or before `micros` (since 1970 UTC); `None`
    /// outside the calendar (years -9999 to 9999).
    #[must_use]
    pub fn floor(self, micros: i64) -> Option<i64> {
        let at = civil(micros)?;
        let date = at.date();
        let floor = match self {
            Self::Hour => return micros_of(date.at(at.hour(), 0, 0, 0)),
            Self::Day => date,
            Self::Week => {
                let days = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(Span::new().try_days(days).ok()?).ok()?
            }
            Self::Month => date.first_of_month(),
            Self::Quarter => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).ok()?,
            Self::Year => date.first_of_year(),
        };
        micros_of(floor.at(0, 0, 0, 0))
    }

    /// `count` units after `micros`, by the calendar: the end of a month
    /// stays one.
    #[must_use]
    pub fn add(self, micros: i64, count: i64) -> Option<i64> {
        let span = Span::new();
        let span = match self {
            Self::Hour => span.try_hours(count),
            Self::Day => span.try_days(count),
            Self::Week => span.try_weeks(count),
            Self::Month => span.try_months(count),
            Self::Quarter => span.try_months(count.checked_mul(3)?),
            Self::Year => span.try_years(count),
        };
        micros_of(civil(micros)?.checked_add(span.ok()?).ok()?)
    }

    /// The first boundary at or after `micros`.
    #[must_use]
    pub fn ceil(self, micros: i64) -> Option<i64> {
        let floor = self.floor(micros)?;
        if floor == micros { Some(micros) } else { self.add(floor, 1) }
    }
}

fn civil(micros: i64) -> Option<DateTime> {
    Some(Timestamp::from_microsecond(micros).ok()?.to_zoned(TimeZone::UTC).datetime())
}

fn micros_of(at: DateTime) -> Option<i64> {
    at.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_microsecond())
}

/// `count` units, as `3 months`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub count: i64,
    pub unit: CalendarUnit,
}

impl Interval {
    /// Reads `N hour|day|week|month|quarter|year`, the unit perhaps in the
    /// plural, `N` perhaps left out for one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (count, word) = match text.split_once(char::is_whitespace) {
            Some((count, word)) => (count.parse::<i64>().ok()?, word.trim()),
            None => (1, text.as_str()),
        };
        let unit = CalendarUnit::ALL
            .into_iter()
            .find(|unit| word == unit.word() || word.strip_suffix('s') == Some(unit.word()))?;
        (count > 0).then_some(Self { count, unit })
    }

    /// Whether it is a number of whole days.
    #[must_use]
    pub const fn is_of_days(self) -> bool {
        !matches!(self.unit, CalendarUnit::Hour) || self.count % 24 == 0
    }

    /// `number` intervals after `micros`, in one step so that ends of months
    /// do not drift.
    #[must_use]
    pub fn after(self, micros: i64, number: i64) -> Option<i64> {
        self.unit.add(micros, self.count.checked_mul(number)?)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}{}", self.count, self.unit.word(), if self.count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::KeyType;
    use crate::model::key::KeyValue;

    fn micros(text: &str) -> i64 {
        match KeyType::Timestamp.read(text) {
            Some(KeyValue::Micros(micros)) => micros,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn check(unit: CalendarUnit, at: &str, floor: &str, next: &str) {
        let write = |micros| KeyType::Timestamp.write_moment(micros).unwrap();
        let found = unit.floor(micros(at)).unwrap();
        assert_eq!(write(found), floor, "{unit:?} {at}");
        assert_eq!(write(unit.add(found, 1).unwrap()), next, "{unit:?} {at}");
    }

    #[test]
    fn boundaries_follow_the_calendar() {
        use CalendarUnit::*;
        check(Hour, "2024-02-29 13:59:59.9", "2024-02-29 13:00:00", "2024-02-29 14:00:00");
        check(Day, "2024-02-29 13:00:00", "2024-02-29 00:00:00", "2024-03-01 00:00:00");
        check(Day, "2023-02-28 13:00:00", "2023-02-28 00:00:00", "2023-03-01 00:00:00");
        // Leap years: 2000 and 2024 are, 1900 and 2023 are not.
        check(Month, "2024-02-29 23:59:59", "2024-02-01 00:00:00", "2024-03-01 00:00:00");
        check(Day, "2000-02-29 01:00:00", "2000-02-29 00:00:00", "2000-03-01 00:00:00");
        check(Day, "1900-02-28 01:00:00", "1900-02-28 00:00:00", "1900-03-01 00:00:00");
        // ISO weeks: 2021-01-01 belongs to the week of Monday 2020-12-28.
        check(Week, "2021-01-01 00:00:00", "2020-12-28 00:00:00", "2021-01-04 00:00:00");
        check(Week, "2024-12-30 00:00:00", "2024-12-30 00:00:00", "2025-01-06 00:00:00");
        check(Quarter, "2013-03-31 23:00:00", "2013-01-01 00:00:00", "2013-04-01 00:00:00");
        check(Quarter, "2013-12-31 23:00:00", "2013-10-01 00:00:00", "2014-01-01 00:00:00");
        check(Year, "2024-12-31 23:59:59", "2024-01-01 00:00:00", "2025-01-01 00:00:00");
        // Before 1970.
        check(Month, "1969-12-31 23:59:59.999999", "1969-12-01 00:00:00", "1970-01-01 00:00:00");
        assert_eq!(Month.floor(i64::MAX), None);
        assert_eq!(Year.ceil(micros("2024-01-01")), Some(micros("2024-01-01")));
        assert_eq!(Year.ceil(micros("2024-01-02")), Some(micros("2025-01-01")));
    }

    #[test]
    fn intervals_are_read_and_do_not_drift() {
        for (text, expected) in [
            ("1 month", Some((1, CalendarUnit::Month))),
            ("3 Months", Some((3, CalendarUnit::Month))),
            ("week", Some((1, CalendarUnit::Week))),
            (" 2  quarters ", Some((2, CalendarUnit::Quarter))),
            ("0 days", None),
            ("-1 day", None),
            ("1.5 days", None),
            ("1 fortnight", None),
            ("", None),
            ("1 month 1 day", None),
        ] {
            let found = Interval::parse(text).map(|interval| (interval.count, interval.unit));
            assert_eq!(found, expected, "{text:?}");
        }
        let start = micros("2023-01-31");
        let month = Interval { count: 1, unit: CalendarUnit::Month };
        let ends: Vec<_> =
            (0..4).map(|n| KeyType::Date.write_moment(month.after(start, n).unwrap()).unwrap()).collect();
        assert_eq!(ends, ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30"]);
    }

    proptest::proptest! {
        #[test]
        fn a_moment_lies_between_its_boundaries(at in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
            for unit in CalendarUnit::ALL {
                let floor = unit.floor(at).unwrap();
                let next = unit.add(floor, 1).unwrap();
                assert!(floor <= at && at < next);
                assert_eq!(unit.floor(floor), Some(floor));
                assert_eq!(unit.floor(next), Some(next));
                assert!(next - floor >= unit.micros_min());
            }
        }
    }
}
