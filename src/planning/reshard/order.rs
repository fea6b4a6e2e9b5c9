//! The order of key values, as PostgreSQL told it.
//!
//! Invariant: values of one rank are equal to PostgreSQL, whatever they look
//! like (`1` and `1.00`, or `a` and `A` under some collations). A value that it
//! was not asked about compares as its text does, behind all others.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::model::bound::RangeDatum;

/// A value's place among all that were asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub rank: usize,
    /// As its type's output function writes it.
    pub text: String,
}

/// The rank of a value, or its text if it has none.
pub type Identity<'a> = (usize, &'a str);

/// The columns of a key with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyOrder {
    /// By name; an expression by its text.
    columns: Vec<(String, BTreeMap<String, Place>)>,
}

impl KeyOrder {
    #[must_use]
    pub const fn new(columns: Vec<(String, BTreeMap<String, Place>)>) -> Self {
        Self { columns }
    }

    /// Names of the key's columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    #[must_use]
    pub const fn width(&self) -> usize {
        self.columns.len()
    }

    /// The name of a column; empty if there is none.
    #[must_use]
    pub fn column(&self, at: usize) -> &str {
        self.columns.get(at).map_or("", |(name, _)| name)
    }

    /// What two values of a column have in common if they are one to PostgreSQL.
    fn place<'a>(&self, column: usize, text: &'a str) -> Identity<'a> {
        let known = self.columns.get(column).and_then(|(_, known)| known.get(text));
        known.map_or((usize::MAX, text), |place| (place.rank, ""))
    }

    /// The same of an entry of a list; none is NULL.
    #[must_use]
    pub fn entry<'a>(&self, value: Option<&'a str>) -> Option<Identity<'a>> {
        value.map(|text| self.place(0, text))
    }

    /// The order of two values of a column.
    #[must_use]
    pub fn compare(&self, column: usize, a: &str, b: &str) -> Ordering {
        self.place(column, a).cmp(&self.place(column, b))
    }

    /// The value as its type writes it.
    #[must_use]
    pub fn text(&self, column: usize, text: &str) -> String {
        let known = self.columns.get(column).and_then(|(_, known)| known.get(text));
        known.map_or_else(|| text.to_owned(), |place| place.text.clone())
    }

    /// The order of two points of a range, column by column; an open end
    /// decides for all that follow it, as in PostgreSQL.
    #[must_use]
    pub fn compare_points(&self, a: &[RangeDatum], b: &[RangeDatum]) -> Ordering {
        let open = |datum: &RangeDatum| match datum {
            RangeDatum::MinValue => 0,
            RangeDatum::Value(_) => 1,
            RangeDatum::MaxValue => 2,
        };
        for (column, pair) in a.iter().zip(b).enumerate() {
            let order = match pair {
                (RangeDatum::Value(a), RangeDatum::Value(b)) => self.compare(column, a, b),
                (a, b) if open(a) == open(b) => return Ordering::Equal,
                (a, b) => open(a).cmp(&open(b)),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    /// A point with its values as their types write them.
    #[must_use]
    pub fn point(&self, point: &[RangeDatum]) -> Vec<RangeDatum> {
        let datum = |(column, datum): (usize, &RangeDatum)| match datum {
            RangeDatum::Value(text) => RangeDatum::Value(self.text(column, text)),
            open => open.clone(),
        };
        point.iter().enumerate().map(datum).collect()
    }
}

/// Orders for tests: numbers, and letters without regard to case.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Columns of whole numbers from -50 to 400.
    pub fn numbers(columns: &[&str]) -> KeyOrder {
        let values = || {
            (-50..=400_i32).map(|value| {
                let rank = usize::try_from(value + 50).unwrap_or_default();
                (value.to_string(), Place { rank, text: value.to_string() })
            })
        };
        let spelled = || {
            let other = |value: i32| (format!("{value}.0"), value);
            (0..=400_i32).map(other).map(|(text, value)| {
                let rank = usize::try_from(value + 50).unwrap_or_default();
                (text, Place { rank, text: value.to_string() })
            })
        };
        let column = |name: &&str| ((*name).to_owned(), values().chain(spelled()).collect());
        KeyOrder::new(columns.iter().map(column).collect())
    }

    pub fn letters() -> KeyOrder {
        let known = ('a'..='z').enumerate().flat_map(|(rank, letter)| {
            let text = letter.to_string();
            [
                (text.clone(), Place { rank, text: text.clone() }),
                (text.to_uppercase(), Place { rank, text: text.to_uppercase() }),
            ]
        });
        KeyOrder::new(vec![("letter".to_owned(), known.collect())])
    }
}

#[cfg(test)]
mod tests {
    use super::testing::letters;
    use super::testing::numbers;
    use super::*;

    fn value(text: &str) -> RangeDatum {
        RangeDatum::Value(text.to_owned())
    }

    #[test]
    fn points_are_ordered_as_postgresql_orders_them() {
        let order = numbers(&["a", "b"]);
        let compare = |a: &[RangeDatum], b: &[RangeDatum]| order.compare_points(a, b);
        assert_eq!(compare(&[value("9"), value("5")], &[value("10"), value("1")]), Ordering::Less);
        assert_eq!(
            compare(&[value("9"), value("5")], &[value("9"), RangeDatum::MinValue]),
            Ordering::Greater
        );
        assert_eq!(compare(&[value("9"), value("5")], &[value("9"), RangeDatum::MaxValue]), Ordering::Less);
        assert_eq!(compare(&[value("9"), value("5")], &[value("9.0"), value("5")]), Ordering::Equal);
        let (low, high) = (RangeDatum::MinValue, RangeDatum::MaxValue);
        assert_eq!(compare(&[low.clone(), low.clone()], &[low.clone(), low]), Ordering::Equal);
        assert_eq!(compare(&[high.clone(), high], &[value("400"), value("400")]), Ordering::Greater);
    }

    #[test]
    fn values_are_told_as_their_type_writes_them() {
        let order = numbers(&["a"]);
        assert_eq!(order.text(0, "7.0"), "7");
        assert_eq!(order.text(0, "what"), "what");
        assert_eq!(order.entry(Some("7.0")), order.entry(Some("7")));
        assert_ne!(order.entry(Some("7")), order.entry(Some("8")));
        assert_ne!(order.entry(Some("7")), order.entry(None));
        assert_eq!(letters().entry(Some("a")), letters().entry(Some("A")));
    }

    #[test]
    fn values_that_nobody_was_asked_about_are_not_equal_to_others() {
        let order = numbers(&["a"]);
        assert_ne!(order.entry(Some("x")), order.entry(Some("y")));
        assert_eq!(order.entry(Some("x")), order.entry(Some("x")));
        assert_eq!(order.compare(0, "400", "x"), Ordering::Less);
    }
}
