//! What a shard accepts.
//!
//! A bound is a value in PostgreSQL's own terms: a range is lower inclusive,
//! upper exclusive; a list holds values and perhaps null; hash is modulus and
//! remainder. Values are in the key type's text form.

use std::cmp::Ordering;

use serde::Deserialize;
use serde::Serialize;

use crate::model::key::KeyType;
use crate::model::name::quote_literal;

/// One column of a range bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeDatum {
    MinValue,
    Value(String),
    MaxValue,
}

impl RangeDatum {
    fn sql(&self) -> String {
        match self {
            Self::MinValue => "MINVALUE".to_owned(),
            Self::MaxValue => "MAXVALUE".to_owned(),
            Self::Value(value) => quote_literal(value).trim_start().to_owned(),
        }
    }

    /// The order of two bounds of one column; `None` where only PostgreSQL
    /// knows it: text, and numbers that are alike as floats.
    #[must_use]
    pub fn compare(&self, other: &Self, kind: KeyType) -> Option<Ordering> {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) if a == b => Some(Ordering::Equal),
            (Self::Value(a), Self::Value(b)) => {
                let order = kind.read(a)?.compare(&kind.read(b)?)?;
                (kind != KeyType::Numeric || order != Ordering::Equal).then_some(order)
            }
            (a, b) => Some(a.rank().cmp(&b.rank())),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::MinValue => 0,
            Self::Value(_) => 1,
            Self::MaxValue => 2,
        }
    }
}

/// A point of a range bound, one entry per key column.
pub type RangePoint = Vec<RangeDatum>;

/// What one shard accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Range {
        /// Inclusive.
        lower: RangePoint,
        /// Exclusive.
        upper: RangePoint,
    },
    List {
        /// `None` is SQL's null.
        values: Vec<Option<String>>,
    },
    Hash {
        modulus: u32,
        remainder: u32,
    },
    /// Whatever no other shard accepts.
    Default,
}

impl Bound {
    /// The clause of `CREATE TABLE … PARTITION OF`.
    #[must_use]
    pub fn sql(&self) -> String {
        match self {
            Self::Range { lower, upper } => format!(
                "FOR VALUES FROM ({}) TO ({})",
                lower.iter().map(RangeDatum::sql).collect::<Vec<_>>().join(", "),
                upper.iter().map(RangeDatum::sql).collect::<Vec<_>>().join(", ")
            ),
            Self::List { values } => {
                let values = values.iter().map(|value| match value {
                    Some(value) => quote_literal(value).trim_start().to_owned(),
                    None => "NULL".to_owned(),
                });
                format!("FOR VALUES IN ({})", values.collect::<Vec<_>>().join(", "))
            }
            Self::Hash { modulus, remainder } => {
                format!("FOR VALUES WITH (modulus {modulus}, remainder {remainder})")
            }
            Self::Default => "DEFAULT".to_owned(),
        }
    }
}

/// A point of a range for people: values as they are, separated by commas.
#[must_use]
pub fn write_point(point: &[RangeDatum]) -> String {
    let datum = |datum: &RangeDatum| match datum {
        RangeDatum::Value(value) => value.clone(),
        open => open.sql(),
    };
    point.iter().map(datum).collect::<Vec<_>>().join(", ")
}

/// Compares two points of a range, column by column; a `MINVALUE` or
/// `MAXVALUE` decides for all that follow it, as in PostgreSQL.
#[must_use]
pub fn compare_points(a: &[RangeDatum], b: &[RangeDatum], kinds: &[KeyType]) -> Option<Ordering> {
    for ((a, b), kind) in a.iter().zip(b).zip(kinds) {
        match a.compare(b, *kind)? {
            Ordering::Equal if !matches!(a, RangeDatum::Value(_)) => return Some(Ordering::Equal),
            Ordering::Equal => {}
            order => return Some(order),
        }
    }
    Some(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_as_sql() {
        let value = |text: &str| RangeDatum::Value(text.to_owned());
        for (bound, expected) in [
            (
                Bound::Range { lower: vec![RangeDatum::MinValue], upper: vec![value("2013-01-01")] },
                "FOR VALUES FROM (MINVALUE) TO ('2013-01-01')",
            ),
            (Bound::Hash { modulus: 4, remainder: 3 }, "FOR VALUES WITH (modulus 4, remainder 3)"),
            (Bound::List { values: vec![Some("it's".to_owned()), None] }, "FOR VALUES IN ('it''s', NULL)"),
            (Bound::Default, "DEFAULT"),
        ] {
            assert_eq!(bound.sql(), expected);
        }
    }

    #[test]
    fn numbers_that_are_alike_as_floats_have_no_order_here() {
        let order = |a: &str, b: &str| {
            RangeDatum::Value(a.to_owned()).compare(&RangeDatum::Value(b.to_owned()), KeyType::Numeric)
        };
        assert_eq!(order("9007199254740992", "9007199254740993"), None);
        assert_eq!(order("1", "1.00"), None);
        assert_eq!(order("1", "1"), Some(Ordering::Equal));
        assert_eq!(order("9007199254740992", "9007199254740994"), Some(Ordering::Less));
    }

    #[test]
    fn points_are_ordered_column_by_column() {
        let point = |a: &str, b: &str| vec![RangeDatum::Value(a.to_owned()), RangeDatum::Value(b.to_owned())];
        let kinds = [KeyType::Integer, KeyType::Integer];
        assert_eq!(compare_points(&point("9", "5"), &point("10", "1"), &kinds), Some(Ordering::Less));
        assert_eq!(compare_points(&point("10", "5"), &point("10", "1"), &kinds), Some(Ordering::Greater));
        let open = vec![RangeDatum::Value("10".to_owned()), RangeDatum::MaxValue];
        assert_eq!(compare_points(&point("10", "1"), &open, &kinds), Some(Ordering::Less));
    }
}
