//! Edges of ranges, and how values of a column become places on a number line.
//!
//! Text has an order here only under the collations that compare bytes. Not
//! here: where edges are set (`range`). Invariant: the position of an edge is
//! never NaN, and what is written as a bound reads back in the key's type.

use crate::model::bound::RangeDatum;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::profile::Column;
use crate::model::profile::ColumnStatistics;

/// Midnight of the first of January of the year 1: PostgreSQL writes years
/// before it another way.
const YEAR_ONE: i64 = -62_135_596_800_000_000;

/// Bytes of a text that make its position: what a double holds exactly.
const BYTES: usize = 6;

/// One end of a range.
#[derive(Debug, Clone, PartialEq)]
pub enum Edge {
    Lowest,
    Value(KeyValue),
    /// A value that statistics have, as they write it.
    Written {
        text: String,
        position: f64,
    },
    Highest,
}

impl Edge {
    pub const fn of_micros(micros: i64) -> Self {
        Self::Value(KeyValue::Micros(micros))
    }

    pub fn position(&self) -> f64 {
        match self {
            Self::Lowest => f64::NEG_INFINITY,
            Self::Value(value) => value.position(),
            Self::Written { position, .. } => *position,
            Self::Highest => f64::INFINITY,
        }
    }

    /// The moment, if it is one.
    pub const fn micros(&self) -> Option<i64> {
        match self {
            Self::Value(KeyValue::Micros(micros)) => Some(*micros),
            _ => None,
        }
    }

    /// Whether it can be written as a bound.
    pub fn is_writable(&self) -> bool {
        match self {
            Self::Value(KeyValue::Micros(micros)) => {
                *micros >= YEAR_ONE && KeyType::Timestamp.write_moment(*micros).is_some()
            }
            Self::Value(KeyValue::Numeric(value)) => value.is_finite(),
            _ => true,
        }
    }

    /// As a bound of a column of that type.
    pub fn datum(&self, key_type: KeyType) -> Option<RangeDatum> {
        let text = match self {
            Self::Lowest => return Some(RangeDatum::MinValue),
            Self::Highest => return Some(RangeDatum::MaxValue),
            Self::Written { text, .. } => text.clone(),
            Self::Value(KeyValue::Micros(micros)) if *micros >= YEAR_ONE => key_type.write_moment(*micros)?,
            Self::Value(KeyValue::Micros(_)) => return None,
            Self::Value(KeyValue::Integer(value)) => value.to_string(),
            Self::Value(KeyValue::Numeric(value)) => value.to_string(),
            Self::Value(KeyValue::Uuid(value)) => written_uuid(*value),
        };
        Some(RangeDatum::Value(text))
    }
}

fn written_uuid(value: u128) -> String {
    let digits = format!("{value:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// Where a value lies on the line of its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// Before every position: `-infinity`, years before the first.
    Below,
    At(f64),
    /// After every position: `infinity`, `NaN`, years of five digits.
    Beyond,
}

/// How the texts of a column's values become positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    Typed(KeyType),
    /// Text that is compared by its bytes; all values known begin alike.
    Bytes {
        prefix: String,
    },
}

impl Scale {
    /// The scale of a column; `None` where values have no order here.
    pub fn of(column: &Column) -> Option<Self> {
        match column.type_name.key_type() {
            KeyType::Other => None,
            KeyType::Text if compares_bytes(column) => {
                let prefix = column.statistics.as_ref().map_or(String::new(), common_prefix);
                Some(Self::Bytes { prefix })
            }
            KeyType::Text => None,
            typed => Some(Self::Typed(typed)),
        }
    }

    pub fn position(&self, text: &str) -> Option<f64> {
        match self {
            Self::Typed(key_type) => key_type.read(text).map(|value| value.position()),
            Self::Bytes { prefix } => {
                let Some(rest) = text.strip_prefix(prefix.as_str()) else {
                    let after = text.as_bytes() > prefix.as_bytes();
                    return Some(if after { 256_f64.powi(BYTES as i32) } else { -1.0 });
                };
                let bytes = rest.bytes().chain(std::iter::repeat(0)).take(BYTES);
                Some(bytes.fold(0.0, |sum, byte| sum * 256.0 + f64::from(byte)))
            }
        }
    }

    /// The place of a value that PostgreSQL orders; `None` if the text is none.
    pub fn place(&self, text: &str) -> Option<Place> {
        match (self, self.position(text)) {
            (_, Some(at)) => Some(Place::At(at)),
            (Self::Typed(KeyType::Numeric), None) => match text.trim().parse::<f64>().ok()? {
                least if least == f64::NEG_INFINITY => Some(Place::Below),
                _ => Some(Place::Beyond),
            },
            (Self::Typed(typed), None) if typed.is_time() => of_no_calendar(text.trim()),
            _ => None,
        }
    }

    /// Whether a position is a value, so that an edge may lie between two
    /// values that are known.
    pub const fn is_continuous(&self) -> bool {
        matches!(
            self,
            Self::Typed(
                KeyType::Integer | KeyType::Uuid | KeyType::Date | KeyType::Timestamp | KeyType::TimestampTz
            )
        )
    }
}

/// The position of a value of a type, infinite for one that lies before or
/// after all others.
pub fn position_of(key_type: KeyType, text: &str) -> Option<f64> {
    Some(match Scale::Typed(key_type).place(text)? {
        Place::Below => f64::NEG_INFINITY,
        Place::At(at) => at,
        Place::Beyond => f64::INFINITY,
    })
}

/// A time that PostgreSQL knows and our calendar does not.
fn of_no_calendar(text: &str) -> Option<Place> {
    let year = text.split('-').next().unwrap_or_default();
    match text {
        "infinity" => Some(Place::Beyond),
        "-infinity" => Some(Place::Below),
        _ if text.ends_with(" BC") => Some(Place::Below),
        _ if year.len() > 4 && year.bytes().all(|byte| byte.is_ascii_digit()) => Some(Place::Beyond),
        _ => None,
    }
}

fn compares_bytes(column: &Column) -> bool {
    let type_name = column.type_name.name.as_str();
    match &column.collation {
        Some(collation) => {
            collation.schema == "pg_catalog"
                && matches!(collation.name.as_str(), "C" | "POSIX")
                && matches!(type_name, "text" | "varchar" | "name")
        }
        None => type_name == "name",
    }
}

/// What all values of the statistics begin with.
fn common_prefix(statistics: &ColumnStatistics) -> String {
    let mut values = statistics.histogram.iter().chain(&statistics.common_values);
    let Some(first) = values.next() else { return String::new() };
    let mut end = first.len();
    for value in values {
        let same = first.bytes().zip(value.bytes()).take_while(|(a, b)| a == b).count();
        end = end.min(same);
    }
    first[..first.floor_char_boundary(end)].to_owned()
}

/// The greatest value of an integer type; `None` for other types.
pub fn greatest_integer(column: &Column) -> Option<i128> {
    match column.type_name.name.as_str() {
        "int2" => Some(i128::from(i16::MAX)),
        "int4" => Some(i128::from(i32::MAX)),
        "int8" => Some(i128::from(i64::MAX)),
        "oid" => Some(i128::from(u32::MAX)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_position_lie_before_or_after_all_others() {
        let place = |key_type, text| Scale::Typed(key_type).place(text);
        for (key_type, text, expected) in [
            (KeyType::Date, "infinity", Some(Place::Beyond)),
            (KeyType::TimestampTz, "-infinity", Some(Place::Below)),
            (KeyType::Date, "0044-03-15 BC", Some(Place::Below)),
            (KeyType::TimestampTz, "0044-03-15 00:00:00+00 BC", Some(Place::Below)),
            (KeyType::Timestamp, "294276-12-31 23:59:59", Some(Place::Beyond)),
            (KeyType::Date, "1970-01-01", Some(Place::At(0.0))),
            (KeyType::Date, "9999-12-31", Some(Place::At(253_402_214_400e6))),
            (KeyType::Date, "never", None),
            (KeyType::Numeric, "NaN", Some(Place::Beyond)),
            (KeyType::Numeric, "Infinity", Some(Place::Beyond)),
            (KeyType::Numeric, "-Infinity", Some(Place::Below)),
            (KeyType::Numeric, "1.5", Some(Place::At(1.5))),
            (KeyType::Numeric, "x", None),
            (KeyType::Integer, "NaN", None),
            (KeyType::Uuid, "infinity", None),
        ] {
            assert_eq!(place(key_type, text), expected, "{text}");
        }
    }

    #[test]
    fn edges_are_written_in_their_type() {
        let written = |edge: Edge, key_type| match edge.datum(key_type) {
            Some(RangeDatum::Value(text)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(written(Edge::of_micros(0), KeyType::Date), "1970-01-01");
        assert_eq!(written(Edge::of_micros(YEAR_ONE - 1), KeyType::Date), "None");
        assert!(!Edge::of_micros(YEAR_ONE - 1).is_writable() && Edge::of_micros(YEAR_ONE).is_writable());
        assert_eq!(written(Edge::Value(KeyValue::Integer(-7)), KeyType::Integer), "-7");
        let uuid = Edge::Value(KeyValue::Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        assert_eq!(written(uuid, KeyType::Uuid), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(Edge::Lowest.datum(KeyType::Uuid), Some(RangeDatum::MinValue));
    }

    #[test]
    fn text_is_placed_by_the_bytes_after_what_all_share() {
        let scale = Scale::Bytes { prefix: "user".to_owned() };
        let places = ["a", "user", "user0", "user00001", "user1", "zeta"].map(|text| scale.position(text));
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{places:?}");
    }
}
