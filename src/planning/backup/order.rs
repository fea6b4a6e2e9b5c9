//! Values of a sample in the order of their type.
//!
//! Where the order is known in pure Rust it is taken from `model::key`;
//! otherwise the server is asked for ranks. Text is ordered by bytes: which
//! values are equal does not depend on a collation, and a histogram of text
//! does not travel.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::model::key::KeyType;
use crate::model::key::KeyValue;

/// How the values of a column are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Bytes,
    Key(KeyType),
    /// Floating-point numbers, which are exact here.
    Float,
    /// The labels of an enum, in their order.
    Labels(Vec<Vec<u8>>),
    /// By the server's own comparison of the type.
    Server,
    /// Equal or not: as bytes.
    None,
}

/// The ranks of values: of each its rank, of each rank one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked<'a> {
    pub ranks: Vec<u32>,
    pub values: Vec<&'a [u8]>,
    pub ordered: bool,
}

/// Ranks values. `server` ranks different values by the comparison of the
/// type: equal ones equally, from 0 and dense; none if it cannot.
pub fn rank<'a>(
    values: &[&'a [u8]],
    order: &Order,
    server: impl FnOnce(&[&'a [u8]]) -> Option<Vec<u32>>,
) -> Ranked<'a> {
    let mut distinct = values.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let of_distinct = match order {
        Order::Bytes => Some((0..distinct.len() as u32).collect()),
        Order::Key(kind) => by_key(&distinct, *kind, EXACT_DIGITS).or_else(|| server(&distinct)),
        Order::Float => by_key(&distinct, KeyType::Numeric, usize::MAX).or_else(|| server(&distinct)),
        Order::Labels(labels) => by_label(&distinct, labels),
        Order::Server => server(&distinct),
        Order::None => None,
    };
    let ordered = of_distinct.is_some();
    let of_distinct = of_distinct.unwrap_or_else(|| (0..distinct.len() as u32).collect());
    let count = of_distinct.iter().max().map_or(0, |rank| *rank as usize + 1);
    let mut by_rank: Vec<&[u8]> = vec![b""; count];
    // The first of equal values stands for them.
    for (value, rank) in distinct.iter().zip(&of_distinct).rev() {
        by_rank[*rank as usize] = value;
    }
    let ranks = values
        .iter()
        .map(|value| distinct.binary_search(value).map_or(0, |place| of_distinct[place]))
        .collect();
    Ranked { ranks, values: by_rank, ordered }
}

/// Digits that a floating-point number keeps apart.
const EXACT_DIGITS: usize = 15;

/// None if a value is beyond what can be compared here: infinity, NaN, years
/// before Christ, or more digits than a floating-point number has.
fn by_key(distinct: &[&[u8]], kind: KeyType, exact_digits: usize) -> Option<Vec<u32>> {
    let read = |value: &[u8]| {
        let text = std::str::from_utf8(value).ok()?;
        if kind == KeyType::Numeric && text.bytes().filter(u8::is_ascii_digit).count() > exact_digits {
            return None;
        }
        kind.read(text)
    };
    let keys: Vec<KeyValue> = distinct.iter().map(|value| read(value)).collect::<Option<_>>()?;
    let compare = |a: &usize, b: &usize| keys[*a].compare(&keys[*b]).unwrap_or(Ordering::Equal);
    let mut sorted: Vec<usize> = (0..distinct.len()).collect();
    sorted.sort_by(compare);
    let mut ranks = vec![0; distinct.len()];
    let mut rank = 0;
    for pair in sorted.windows(2) {
        if compare(&pair[0], &pair[1]) == Ordering::Less {
            rank += 1;
        }
        ranks[pair[1]] = rank;
    }
    Some(ranks)
}

/// None if a value is no label.
fn by_label(distinct: &[&[u8]], labels: &[Vec<u8>]) -> Option<Vec<u32>> {
    let known: BTreeMap<&[u8], usize> =
        labels.iter().enumerate().map(|(place, label)| (label.as_slice(), place)).collect();
    let places: Vec<usize> = distinct.iter().map(|value| known.get(value).copied()).collect::<Option<_>>()?;
    let mut sorted = places.clone();
    sorted.sort_unstable();
    Some(places.iter().map(|place| sorted.partition_point(|other| other < place) as u32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(values: &[&str], order: &Order) -> (Vec<u32>, bool) {
        let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
        let ranked = rank(&values, order, |_| None);
        assert!(ranked.values.iter().all(|value| values.contains(value)));
        (ranked.ranks, ranked.ordered)
    }

    #[test]
    fn values_are_ordered_as_their_type_says() {
        assert_eq!(ranks(&["10", "9", "9", "-1"], &Order::Key(KeyType::Integer)), (vec![2, 1, 1, 0], true));
        assert_eq!(ranks(&["1.50", "1.5", "1"], &Order::Key(KeyType::Numeric)), (vec![1, 1, 0], true));
        assert_eq!(ranks(&["2024-01-10", "2024-01-09"], &Order::Key(KeyType::Date)), (vec![1, 0], true));
        let labels = ["new", "paid", "gone"].map(|label| label.as_bytes().to_vec()).to_vec();
        assert_eq!(ranks(&["gone", "new", "gone"], &Order::Labels(labels)), (vec![1, 0, 1], true));
        assert_eq!(ranks(&["b", "a", "b"], &Order::Bytes), (vec![1, 0, 1], true));
    }

    #[test]
    fn what_cannot_be_compared_here_is_asked_of_the_server() {
        for (kind, value) in [
            (KeyType::Date, "infinity"),
            (KeyType::Numeric, "NaN"),
            (KeyType::Numeric, "1234567890123456.1"),
            (KeyType::TimestampTz, "0044-03-15 00:00:00+00 BC"),
        ] {
            let asked = rank(&[b"1", value.as_bytes()], &Order::Key(kind), |_| Some(vec![1, 0]));
            assert!(asked.ordered && asked.values.len() == 2, "{value}");
            assert!(!ranks(&["1", value], &Order::Key(kind)).1, "{value}");
        }
    }
}
