//! The range of a key that is written plainly, found without the server: a
//! number, a date or a time, as dumps have them.
//!
//! To read a time as the server does, with all that it understands, takes
//! longer than all the rest of finding a row's shard. What is written in any
//! other way than the strict one here, or may be no value at all, is left to
//! the server.

/// What a key column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Integer,
    /// Days since 2000.
    Date,
    /// Microseconds since 2000.
    Timestamp,
    /// Likewise, with an offset from UTC behind it.
    TimestampTz,
}

/// The ranges between bounds, and which shards they are.
#[derive(Debug)]
pub struct Ranges {
    plain: Plain,
    bounds: Vec<i64>,
    shards: Vec<Option<usize>>,
}

impl Ranges {
    /// Ranges below the first bound, between one and the next, and from the
    /// last on; none if the bounds do not ascend.
    #[must_use]
    pub fn new(plain: Plain, bounds: Vec<i64>) -> Option<Self> {
        let shards = vec![None; bounds.len() + 1];
        bounds.is_sorted().then_some(Self { plain, bounds, shards })
    }

    /// The range of a key; none if the server has to read it.
    #[inline]
    #[must_use]
    pub fn range_of(&self, key: &[u8]) -> Option<usize> {
        let value = value_of(self.plain, key)?;
        Some(self.bounds.partition_point(|bound| *bound <= value))
    }

    /// The shard of a range, once it is known.
    #[inline]
    #[must_use]
    pub fn shard(&self, range: usize) -> Option<usize> {
        self.shards.get(range).copied().flatten()
    }

    /// Remembers the shard of a range.
    pub fn learn(&mut self, range: usize, shard: usize) {
        if let Some(known) = self.shards.get_mut(range) {
            *known = Some(shard);
        }
    }
}

const DAY: i64 = 86_400_000_000;

/// The value of a key in plain writing.
#[inline]
fn value_of(plain: Plain, key: &[u8]) -> Option<i64> {
    match plain {
        Plain::Integer => integer(key),
        Plain::Date => {
            let (day, rest) = day(key)?;
            rest.is_empty().then_some(day)
        }
        Plain::Timestamp => {
            let (instant, rest) = instant(key)?;
            rest.is_empty().then_some(instant)
        }
        Plain::TimestampTz => {
            let (instant, rest) = instant(key)?;
            Some(instant - offset(rest)?)
        }
    }
}

/// `-42`; none beyond eighteen digits, which may be too large.
#[inline]
pub fn integer(key: &[u8]) -> Option<i64> {
    let (negative, digits) = match key.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, key),
    };
    if digits.len() > 18 {
        return None;
    }
    let value = number(digits)?;
    Some(if negative { -value } else { value })
}

/// Digits and nothing else.
#[inline]
fn number(digits: &[u8]) -> Option<i64> {
    let mut value = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
    }
    (!digits.is_empty()).then_some(value)
}

/// `2024-02-29` → days since 2000, and what follows.
#[inline]
fn day(key: &[u8]) -> Option<(i64, &[u8])> {
    let (date, rest) = key.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1 || day < 1 || day > last {
        return None;
    }
    // Years that begin in March, so that the odd day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    Some((days - 730_425, rest))
}

/// `2024-02-29 12:30:00.25` → microseconds since 2000, and what follows.
#[inline]
fn instant(key: &[u8]) -> Option<(i64, &[u8])> {
    let (day, rest) = day(key)?;
    let (time, mut rest) = rest.split_at_checked(9)?;
    if time[0] != b' ' || time[3] != b':' || time[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&time[1..3])?, number(&time[4..6])?, number(&time[7..])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 6 {
            return None;
        }
        micros = number(&fraction[..digits])? * 10_i64.pow(6 - digits as u32);
        rest = &fraction[digits..];
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some((day * DAY + seconds * 1_000_000 + micros, rest))
}

/// `+02` or `-03:30` → microseconds that a clock there is ahead of UTC.
#[inline]
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, digits) = text.split_first()?;
    let (hours, minutes) = match digits {
        [_, _] => (number(digits)?, 0),
        [_, _, b':', _, _] => (number(&digits[..2])?, number(&digits[3..])?),
        _ => return None,
    };
    let ahead = (hours * 60 + minutes) * 60_000_000;
    match sign {
        _ if hours > 15 || minutes > 59 => None,
        b'+' => Some(ahead),
        b'-' => Some(-ahead),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::DAY;
    use super::Plain;
    use super::Ranges;
    use super::value_of;

    #[test]
    fn what_dumps_have_is_read() {
        for (plain, text, value) in [
            (Plain::Integer, "0", 0),
            (Plain::Integer, "-42", -42),
            (Plain::Integer, "999999999999999999", 999_999_999_999_999_999),
            (Plain::Date, "2000-01-01", 0),
            (Plain::Date, "1999-12-31", -1),
            (Plain::Date, "2000-03-01", 60),
            (Plain::Date, "0001-01-01", -730_119),
            (Plain::Timestamp, "2000-01-02 00:00:00.5", DAY + 500_000),
            (Plain::Timestamp, "1999-12-31 23:59:59.999999", -1),
            (Plain::TimestampTz, "2000-01-01 02:00:00+02", 0),
            (Plain::TimestampTz, "1999-12-31 20:30:00.000001-03:30", 1),
        ] {
            assert_eq!(value_of(plain, text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn the_rest_is_left_to_the_server() {
        for (plain, text) in [
            (Plain::Integer, ""),
            (Plain::Integer, "-"),
            (Plain::Integer, "+1"),
            (Plain::Integer, " 1"),
            (Plain::Integer, "1e3"),
            (Plain::Integer, "1000000000000000000"),
            (Plain::Date, "2023-02-29"),
            (Plain::Date, "2024-13-01"),
            (Plain::Date, "2024-1-01"),
            (Plain::Date, "0000-01-01"),
            (Plain::Date, "infinity"),
            (Plain::Date, "2024-01-01 BC"),
            (Plain::Date, "01/02/2024"),
            (Plain::Timestamp, "2024-01-01"),
            (Plain::Timestamp, "2024-01-01 24:00:00"),
            (Plain::Timestamp, "2024-01-01 00:00:60"),
            (Plain::Timestamp, "2024-01-01 00:00:00.1234567"),
            (Plain::Timestamp, "2024-01-01 00:00:00."),
            (Plain::Timestamp, "2024-01-01 00:00:00+02"),
            (Plain::TimestampTz, "2024-01-01 00:00:00"),
            (Plain::TimestampTz, "2024-01-01 00:00:00+2"),
            (Plain::TimestampTz, "2024-01-01 00:00:00+16"),
            (Plain::TimestampTz, "2024-01-01 00:00:00 CET"),
            (Plain::TimestampTz, "2024-01-01 00:00:00+02:00:01"),
        ] {
            assert_eq!(value_of(plain, text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_bound_belongs_to_the_range_above_it() {
        let ranges = Ranges::new(Plain::Integer, vec![i64::MIN, 10, 20, i64::MAX]);
        let of = |key: &str| ranges.as_ref().and_then(|ranges| ranges.range_of(key.as_bytes()));
        let found = ["-5", "9", "10", "19", "20", "999999999999999999", "x"].map(of);
        assert_eq!(found, [Some(1), Some(1), Some(2), Some(2), Some(3), Some(3), None]);
        assert!(Ranges::new(Plain::Integer, vec![2, 1]).is_none());
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(days in -730_119_i64..2_921_939) {
            let date = jiff::civil::date(2000, 1, 1).checked_add(jiff::Span::new().days(days));
            prop_assert_eq!(date.ok().and_then(|date| value_of(Plain::Date, date.to_string().as_bytes())), Some(days));
        }

        #[test]
        fn nothing_goes_wrong_with_any_bytes(key in prop::collection::vec(any::<u8>(), 0..40)) {
            for plain in [Plain::Integer, Plain::Date, Plain::Timestamp, Plain::TimestampTz] {
                let _ = value_of(plain, &key);
            }
        }
    }
}
