//! Strategies, key types and key values.
//!
//! A [`KeyValue`] orders values of the types whose order does not depend on a
//! collation. Text has no order here: only PostgreSQL knows its collations.

use std::cmp::Ordering;

use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::civil::DateTime;
use serde::Deserialize;
use serde::Serialize;

/// How a table is divided. `None` is an answer too: it stays whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    None,
    Range,
    Hash,
    List,
    RangeHash,
    ListHash,
}

impl Strategy {
    /// The word that the SQL surface shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Range => "range",
            Self::Hash => "hash",
            Self::List => "list",
            Self::RangeHash => "range_hash",
            Self::ListHash => "list_hash",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Range, Self::Hash, Self::List, Self::RangeHash, Self::ListHash]
            .into_iter()
            .find(|strategy| strategy.word() == word)
    }
}

/// What the order and the arithmetic of a key column depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyType {
    Integer,
    Numeric,
    Date,
    Timestamp,
    TimestampTz,
    Uuid,
    Text,
    /// Boolean, enum, network and other types without arithmetic here.
    Other,
}

impl KeyType {
    /// The key type of a type of `pg_catalog`, named as `format_type` names it
    /// without modifiers.
    #[must_use]
    pub fn of_builtin(type_name: &str) -> Self {
        match type_name {
            "smallint" | "integer" | "bigint" | "oid" => Self::Integer,
            "numeric" | "real" | "double precision" => Self::Numeric,
            "date" => Self::Date,
            "timestamp without time zone" => Self::Timestamp,
            "timestamp with time zone" => Self::TimestampTz,
            "uuid" => Self::Uuid,
            "text" | "character varying" | "character" | "name" | "\"char\"" => Self::Text,
            _ => Self::Other,
        }
    }

    /// The key type of a type of `pg_catalog` by the name that the catalog and
    /// the parser have for it.
    #[must_use]
    pub fn of_internal(type_name: &str) -> Self {
        Self::of_builtin(match type_name {
            "int2" => "smallint",
            "int4" => "integer",
            "int8" => "bigint",
            "float4" => "real",
            "float8" => "double precision",
            "timestamp" => "timestamp without time zone",
            "timestamptz" => "timestamp with time zone",
            "varchar" => "character varying",
            "bpchar" => "character",
            "char" => "\"char\"",
            other => other,
        })
    }

    /// Whether bounds that were made for this type are bounds of another one,
    /// in the same order.
    #[must_use]
    pub const fn bounds_fit(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Integer, Self::Integer | Self::Numeric)
                | (Self::Numeric, Self::Numeric)
                | (Self::Uuid, Self::Uuid)
                | (Self::Text, Self::Text)
                | (Self::Other, _)
        ) || self.is_time() && other.is_time()
    }

    /// The word for the type in messages.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Integer => "an integer",
            Self::Numeric => "a number",
            Self::Date => "a date",
            Self::Timestamp | Self::TimestampTz => "a timestamp",
            Self::Uuid => "a uuid",
            Self::Text => "text",
            Self::Other => "of another type",
        }
    }

    /// Whether values of the type are moments.
    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp | Self::TimestampTz)
    }

    /// Reads a value in the type's text form (ISO date style); `None` if it
    /// is not one or the type has no order here.
    #[must_use]
    pub fn read(self, text: &str) -> Option<KeyValue> {
        let text = text.trim();
        match self {
            Self::Integer => text.parse::<i128>().ok().map(KeyValue::Integer),
            Self::Numeric => {
                text.parse::<f64>().ok().filter(|value| value.is_finite()).map(KeyValue::Numeric)
            }
            Self::Date => text
                .parse::<Date>()
                .ok()
                .map(|date| KeyValue::Micros(micros_of(date.to_datetime(jiff::civil::Time::midnight())))),
            Self::Timestamp => read_datetime(text).map(KeyValue::Micros),
            Self::TimestampTz => read_instant(text).map(KeyValue::Micros),
            Self::Uuid => {
                let digits: String = text.chars().filter(|c| !"{}-".contains(*c)).collect();
                (digits.len() == 32)
                    .then(|| u128::from_str_radix(&digits, 16).ok())
                    .flatten()
                    .map(KeyValue::Uuid)
            }
            Self::Text | Self::Other => None,
        }
    }

    /// The moment `micros` (since 1970 UTC) in the type's text form; `None`
    /// if the type is not a time or the moment is outside the calendar.
    #[must_use]
    pub fn write_moment(self, micros: i64) -> Option<String> {
        let at = EPOCH.checked_add(SignedDuration::from_micros(micros)).ok()?;
        let text = match self {
            Self::Date => at.date().to_string(),
            Self::Timestamp | Self::TimestampTz => {
                let mut text =
                    format!("{} {:02}:{:02}:{:02}", at.date(), at.hour(), at.minute(), at.second());
                let fraction = at.subsec_nanosecond() / 1000;
                if fraction != 0 {
                    text.push_str(&format!(".{fraction:06}"));
                }
                if self == Self::TimestampTz {
                    text.push_str("+00");
                }
                text
            }
            _ => return None,
        };
        Some(text)
    }
}

/// The moment from which microseconds are counted.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// Also of the last days of the year 9999, which are nobody's present but many
/// a row's end.
fn micros_of(at: DateTime) -> i64 {
    i64::try_from(at.duration_since(EPOCH).as_micros()).unwrap_or(i64::MAX)
}

fn read_datetime(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    text.parse::<DateTime>()
        .ok()
        .or_else(|| text.parse::<Date>().ok().map(|date| date.to_datetime(jiff::civil::Time::midnight())))
        .map(micros_of)
}

/// PostgreSQL writes offsets as `+00`, `+05:30` or `-03`, after the time.
fn read_instant(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').map_or_else(|| text.to_owned(), |rest| format!("{rest}+00"));
    let sign = text.rfind(['+', '-']).filter(|at| *at > 9)?;
    let local = read_datetime(text[..sign].trim())?;
    let mut parts = text[sign + 1..].split(':');
    let mut seconds = 0;
    for unit in [3600, 60, 1] {
        match parts.next() {
            Some(part) => seconds += part.parse::<i64>().ok()? * unit,
            None => break,
        }
    }
    let east = if text.as_bytes()[sign] == b'-' { -seconds } else { seconds };
    Some(local - east * 1_000_000)
}

/// One value of a key column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeyValue {
    Integer(i128),
    Numeric(f64),
    /// Microseconds since 1970-01-01 00:00 UTC.
    Micros(i64),
    Uuid(u128),
}

impl KeyValue {
    /// The order of two values of one type; `None` across types.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(b)),
            (Self::Numeric(a), Self::Numeric(b)) => a.partial_cmp(b),
            (Self::Micros(a), Self::Micros(b)) => Some(a.cmp(b)),
            (Self::Uuid(a), Self::Uuid(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// The value on a number line, for interpolation.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "interpolation needs no exact value")]
    pub fn position(&self) -> f64 {
        match self {
            Self::Integer(value) => *value as f64,
            Self::Numeric(value) => *value,
            Self::Micros(value) => *value as f64,
            Self::Uuid(value) => *value as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_postgresql_s_text_form() {
        let day = 86_400_000_000_i64;
        for (kind, text, expected) in [
            (KeyType::Date, "1970-01-02", day),
            (KeyType::Timestamp, "1970-01-02 00:00:01.5", day + 1_500_000),
            (KeyType::TimestampTz, "1970-01-02 00:00:00+00", day),
            (KeyType::TimestampTz, "1970-01-02 05:30:00+05:30", day),
            (KeyType::TimestampTz, "1970-01-01 19:00:00-05", day),
            (KeyType::TimestampTz, "1970-01-02T00:00:00Z", day),
            (KeyType::Date, "9999-12-31", 2_932_896 * day),
            (KeyType::TimestampTz, "9999-12-31 23:59:59+00", 2_932_897 * day - 1_000_000),
        ] {
            assert_eq!(kind.read(text), Some(KeyValue::Micros(expected)), "{text}");
        }
        assert_eq!(KeyType::Date.write_moment(2_932_896 * day).as_deref(), Some("9999-12-31"));
        for (kind, text) in [
            (KeyType::Date, "yesterday"),
            (KeyType::Date, "infinity"),
            (KeyType::TimestampTz, "1970-01-02"),
            (KeyType::Integer, "1.5"),
            (KeyType::Numeric, "NaN"),
            (KeyType::Text, "a"),
        ] {
            assert_eq!(kind.read(text), None, "{text}");
        }
    }

    #[test]
    fn moments_are_written_as_they_are_read() {
        for kind in [KeyType::Timestamp, KeyType::TimestampTz] {
            for micros in [0, 1, -1, 1_388_534_400_000_000, 1_388_534_399_999_999] {
                let text = kind.write_moment(micros).unwrap();
                assert_eq!(kind.read(&text), Some(KeyValue::Micros(micros)), "{text}");
            }
        }
        assert_eq!(KeyType::Date.write_moment(1_388_534_400_000_000).as_deref(), Some("2014-01-01"));
    }
}
