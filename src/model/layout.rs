//! A layout: all shards of one table.
//!
//! Invariant: a layout that exists covers the key space exactly once. Ranges
//! do not overlap and what lies outside them goes to a DEFAULT shard (or was
//! refused on purpose); lists share no value; hash shards fill their modulus.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

use crate::model::bound::Bound;
use crate::model::bound::compare_points;
use crate::model::bound::write_point;
use crate::model::key::KeyType;
use crate::model::key::KeyValue;
use crate::model::key::Strategy;
use crate::model::report::Report;
use crate::model::report::SqlState;

/// Most shards that one layout may have (the limit of
/// `presplit.max_shards_per_table`).
pub const SHARDS_MAX: usize = 32_768;

/// One shard and what is expected in it at the horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Relation name, in the schema of its table.
    pub name: String,
    pub bound: Bound,
    /// Rows at the horizon.
    pub rows: f64,
    /// Bytes at the horizon, with indexes.
    pub bytes: f64,
    #[serde(default)]
    pub tablespace: Option<String>,
    /// Made ahead: nothing belongs into it yet.
    #[serde(default)]
    pub future: bool,
}

/// A layout that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LayoutError {
    #[error("layout has no shards")]
    Empty,
    #[error("layout would have {0} shards")]
    TooMany(usize),
    #[error("shard \"{0}\" is named twice")]
    DuplicateName(String),
    #[error("bound of shard \"{0}\" does not fit the strategy")]
    WrongBound(String),
    #[error("split points are not in ascending order")]
    NotAscending { first: String, second: String },
    #[error("shard \"{second}\" overlaps shard \"{first}\"")]
    Overlap { first: String, second: String },
    #[error("hash shards do not fill modulus {modulus}")]
    Remainders { modulus: u32, found: usize },
    #[error("shard key must have at least one column")]
    NoKey,
}

impl Report for LayoutError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::TooMany(_) => SqlState::ProgramLimitExceeded,
            _ => SqlState::InvalidParameterValue,
        }
    }
    fn detail(&self) -> Option<String> {
        match self {
            Self::TooMany(_) => Some(format!("The limit is {SHARDS_MAX}.")),
            Self::NotAscending { first, second } => Some(format!("Bound {first} is followed by {second}.")),
            Self::Remainders { modulus, found } => {
                Some(format!("{found} of {modulus} remainders have a shard."))
            }
            _ => None,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::TooMany(_) => Some("Name fewer split points, or a longer interval.".to_owned()),
            _ => None,
        }
    }
}

/// All shards of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Layout {
    strategy: Strategy,
    shard_key: Vec<String>,
    key_types: Vec<KeyType>,
    shards: Vec<Shard>,
}

/// What is read before it is checked: stored JSON obeys the same laws.
#[derive(Deserialize)]
struct Unchecked {
    strategy: Strategy,
    shard_key: Vec<String>,
    key_types: Vec<KeyType>,
    shards: Vec<Shard>,
}

impl TryFrom<Unchecked> for Layout {
    type Error = LayoutError;

    fn try_from(read: Unchecked) -> Result<Self, LayoutError> {
        Self::new(read.strategy, read.shard_key, read.key_types, read.shards)
    }
}

impl Layout {
    /// A layout of one level: range, list or hash.
    ///
    /// # Errors
    /// [`LayoutError`] if the shards do not cover the key space exactly once.
    pub fn new(
        strategy: Strategy,
        shard_key: Vec<String>,
        key_types: Vec<KeyType>,
        shards: Vec<Shard>,
    ) -> Result<Self, LayoutError> {
        if shard_key.is_empty() || shard_key.len() != key_types.len() {
            return Err(LayoutError::NoKey);
        }
        if shards.is_empty() {
            return Err(LayoutError::Empty);
        }
        if shards.len() > SHARDS_MAX {
            return Err(LayoutError::TooMany(shards.len()));
        }
        let mut names = BTreeSet::new();
        if let Some(shard) = shards.iter().find(|shard| !names.insert(shard.name.as_str())) {
            return Err(LayoutError::DuplicateName(shard.name.clone()));
        }
        match strategy {
            Strategy::Range => check_ranges(&shards, &key_types)?,
            Strategy::List => check_lists(&shards, &key_types)?,
            Strategy::Hash => check_hash(&shards)?,
            Strategy::None | Strategy::RangeHash | Strategy::ListHash => {
                return Err(LayoutError::WrongBound(shards[0].name.clone()));
            }
        }
        Ok(Self { strategy, shard_key, key_types, shards })
    }

    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    #[must_use]
    pub fn shard_key(&self) -> &[String] {
        &self.shard_key
    }

    #[must_use]
    pub fn key_types(&self) -> &[KeyType] {
        &self.key_types
    }

    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }
}

fn check_ranges(shards: &[Shard], kinds: &[KeyType]) -> Result<(), LayoutError> {
    let mut previous: Option<(&Shard, &Vec<_>)> = None;
    for shard in shards {
        let (lower, upper) = match &shard.bound {
            Bound::Range { lower, upper } if lower.len() == kinds.len() && upper.len() == kinds.len() => {
                (lower, upper)
            }
            Bound::Default => continue,
            _ => return Err(LayoutError::WrongBound(shard.name.clone())),
        };
        // Where only PostgreSQL knows the order (text), it checks at creation.
        if matches!(compare_points(lower, upper, kinds), Some(Ordering::Greater | Ordering::Equal)) {
            return Err(LayoutError::NotAscending { first: write_point(lower), second: write_point(upper) });
        }
        if let Some((before, end)) = previous
            && compare_points(end, lower, kinds) == Some(Ordering::Greater)
        {
            return Err(LayoutError::Overlap { first: before.name.clone(), second: shard.name.clone() });
        }
        previous = Some((shard, upper));
    }
    one_default(shards)
}

fn check_lists(shards: &[Shard], kinds: &[KeyType]) -> Result<(), LayoutError> {
    let mut seen = BTreeMap::new();
    for shard in shards {
        match &shard.bound {
            // PostgreSQL takes one column for list.
            Bound::List { values } if !values.is_empty() && kinds.len() == 1 => {
                for value in values {
                    let same = value.as_deref().map(|value| same_form(value, kinds[0]));
                    if let Some(first) = seen.insert(same, shard.name.as_str()) {
                        return Err(LayoutError::Overlap {
                            first: first.to_owned(),
                            second: shard.name.clone(),
                        });
                    }
                }
            }
            Bound::Default => {}
            _ => return Err(LayoutError::WrongBound(shard.name.clone())),
        }
    }
    one_default(shards)
}

/// A text that equal values share: `1` and `01` are one integer.
fn same_form(value: &str, kind: KeyType) -> String {
    match kind.read(value) {
        // Read as a float, long numerics that differ would look the same.
        None | Some(KeyValue::Numeric(_)) => value.to_owned(),
        Some(read) => format!("{read:?}"),
    }
}

fn one_default(shards: &[Shard]) -> Result<(), LayoutError> {
    let mut defaults = shards.iter().filter(|shard| shard.bound == Bound::Default);
    match (defaults.next(), defaults.next()) {
        (Some(first), Some(second)) => {
            Err(LayoutError::Overlap { first: first.name.clone(), second: second.name.clone() })
        }
        _ => Ok(()),
    }
}

fn check_hash(shards: &[Shard]) -> Result<(), LayoutError> {
    // One modulus for all: unequal moduli exist only after splits.
    let mut remainders = BTreeSet::new();
    let mut common = None;
    for shard in shards {
        match shard.bound {
            Bound::Hash { modulus, remainder }
                if remainder < modulus && *common.get_or_insert(modulus) == modulus =>
            {
                remainders.insert(remainder);
            }
            _ => return Err(LayoutError::WrongBound(shard.name.clone())),
        }
    }
    let modulus = common.unwrap_or(0);
    if remainders.len() == shards.len() && remainders.len() == modulus as usize {
        Ok(())
    } else {
        Err(LayoutError::Remainders { modulus, found: remainders.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bound::RangeDatum;

    fn shard(name: &str, bound: Bound) -> Shard {
        Shard { name: name.to_owned(), bound, rows: 0.0, bytes: 0.0, tablespace: None, future: false }
    }

    fn range(name: &str, lower: &str, upper: &str) -> Shard {
        let point = |text: &str| vec![RangeDatum::Value(text.to_owned())];
        shard(name, Bound::Range { lower: point(lower), upper: point(upper) })
    }

    fn ranges(shards: Vec<Shard>) -> Result<Layout, LayoutError> {
        Layout::new(Strategy::Range, vec!["k".to_owned()], vec![KeyType::Integer], shards)
    }

    #[test]
    fn overlapping_and_reversed_ranges_are_refused() {
        assert!(ranges(vec![range("a", "1", "5"), range("b", "5", "9")]).is_ok());
        assert!(matches!(
            ranges(vec![range("a", "1", "6"), range("b", "5", "9")]),
            Err(LayoutError::Overlap { .. })
        ));
        assert!(matches!(ranges(vec![range("a", "5", "1")]), Err(LayoutError::NotAscending { .. })));
        assert!(matches!(
            ranges(vec![shard("a", Bound::Default), shard("b", Bound::Default)]),
            Err(LayoutError::Overlap { .. })
        ));
        assert_eq!(ranges(vec![]), Err(LayoutError::Empty));
    }

    #[test]
    fn hash_shards_fill_their_modulus() {
        let hash = |modulus, remainders: &[u32]| {
            let shards = remainders
                .iter()
                .map(|r| shard(&format!("s{r}"), Bound::Hash { modulus, remainder: *r }))
                .collect();
            Layout::new(Strategy::Hash, vec!["k".to_owned()], vec![KeyType::Text], shards)
        };
        assert!(hash(2, &[0, 1]).is_ok());
        assert!(matches!(hash(4, &[0, 1]), Err(LayoutError::Remainders { .. })));
        assert!(matches!(hash(2, &[0, 2]), Err(LayoutError::WrongBound(_))));
    }

    #[test]
    fn lists_share_no_value() {
        let list = |a: &[Option<&str>], b: &[Option<&str>]| {
            let bound = |values: &[Option<&str>]| Bound::List {
                values: values.iter().map(|value| value.map(str::to_owned)).collect(),
            };
            Layout::new(
                Strategy::List,
                vec!["k".to_owned()],
                vec![KeyType::Text],
                vec![shard("a", bound(a)), shard("b", bound(b))],
            )
        };
        assert!(list(&[Some("x")], &[Some("y"), None]).is_ok());
        assert!(list(&[Some("x"), None], &[None]).is_err());
        assert!(list(&[], &[None]).is_err());
    }
}
