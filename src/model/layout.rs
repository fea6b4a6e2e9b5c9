//! A layout: all shards of one table, on one level or two.
//!
//! On two levels some partitions of the first one, the branches, are divided
//! by hash once more; shards are the leaves. Invariant: a layout that exists
//! covers the key space exactly once. Ranges do not overlap and what lies
//! outside them goes to a DEFAULT partition (or was refused on purpose); lists
//! share no value; hash shards fill the modulus of their table or branch.

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
    /// Among its siblings: of the table, or of its branch.
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
    /// Index into the layout's branches; none on the first level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
}

/// A partition of the first level that is itself divided by hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Relation name, in the schema of its table.
    pub name: String,
    pub bound: Bound,
    /// What its shards are hashed by.
    pub shard_key: Vec<String>,
    pub key_types: Vec<KeyType>,
}

/// A partition of the first level: a branch, or a shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part<'a> {
    pub name: &'a str,
    pub bound: &'a Bound,
    /// None if it is a shard itself.
    pub branch: Option<usize>,
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
    Overlap {
        first: String,
        second: String,
        /// What both would take, in a sentence.
        why: String,
    },
    #[error("hash shards do not fill modulus {modulus}")]
    Remainders { modulus: u32, found: usize },
    #[error("shard key must have at least one column")]
    NoKey,
    #[error("shard key does not fit strategy {}", .0.word())]
    WrongKey(Strategy),
    #[error("levels of the layout do not fit strategy {}", .0.word())]
    WrongLevels(Strategy),
    #[error("partition \"{0}\" has no shards of its own, or not side by side")]
    Scattered(String),
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
            Self::Overlap { why, .. } => Some(why.clone()),
            Self::Remainders { modulus, found } => {
                Some(format!("{found} of {modulus} remainders have a shard."))
            }
            Self::WrongKey(Strategy::RangeHash) => {
                Some("It is the column of the ranges, then the column that they are hashed by.".to_owned())
            }
            Self::WrongKey(Strategy::List | Strategy::ListHash) => {
                Some("PostgreSQL takes one column for list.".to_owned())
            }
            Self::WrongLevels(Strategy::RangeHash) => {
                Some("Every range is divided by the same column and modulus.".to_owned())
            }
            Self::WrongLevels(Strategy::ListHash) => Some("At least one list is divided by hash.".to_owned()),
            Self::WrongLevels(_) => Some("Its shards are on one level.".to_owned()),
            _ => None,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::TooMany(_) => Some("Name fewer split points, or a longer interval.".to_owned()),
            Self::NotAscending { .. } => Some("Name each point once, the lowest first.".to_owned()),
            Self::Overlap { .. } => Some("Every value belongs to one shard only.".to_owned()),
            _ => None,
        }
    }
}

/// All shards of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Layout {
    strategy: Strategy,
    /// For `range_hash` the column of the ranges and that of the hash, else
    /// the columns of the first level.
    shard_key: Vec<String>,
    key_types: Vec<KeyType>,
    /// In the order of their shards; empty on one level.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Branch>,
    shards: Vec<Shard>,
}

/// What is read before it is checked: stored JSON obeys the same laws.
#[derive(Deserialize)]
struct Unchecked {
    strategy: Strategy,
    shard_key: Vec<String>,
    key_types: Vec<KeyType>,
    #[serde(default)]
    branches: Vec<Branch>,
    shards: Vec<Shard>,
}

impl TryFrom<Unchecked> for Layout {
    type Error = LayoutError;

    fn try_from(read: Unchecked) -> Result<Self, LayoutError> {
        if read.branches.is_empty() {
            Self::new(read.strategy, read.shard_key, read.key_types, read.shards)
        } else {
            Self::two_level(read.strategy, read.shard_key, read.key_types, read.branches, read.shards)
        }
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
        let layout = Self { strategy, shard_key, key_types, branches: Vec::new(), shards };
        layout.check_size()?;
        match strategy {
            Strategy::Range | Strategy::List | Strategy::Hash => {}
            Strategy::None | Strategy::RangeHash | Strategy::ListHash => {
                return Err(LayoutError::WrongLevels(strategy));
            }
        }
        if layout.shards.iter().any(|shard| shard.of.is_some()) {
            return Err(LayoutError::WrongLevels(strategy));
        }
        check_parts(strategy, &layout.first_level(), &layout.key_types)?;
        Ok(layout)
    }

    /// A layout of two levels: `range_hash`, whose key is the column of the
    /// ranges and the column that every one of them is hashed by, or
    /// `list_hash`, whose key is the column of the lists and whose branches
    /// have a key of their own each. Shards of one branch stand side by side,
    /// branches in the order of their shards. A DEFAULT partition may be a
    /// branch or a shard, and so may a list.
    ///
    /// # Errors
    /// [`LayoutError`] if the shards do not cover the key space exactly once.
    pub fn two_level(
        strategy: Strategy,
        shard_key: Vec<String>,
        key_types: Vec<KeyType>,
        branches: Vec<Branch>,
        shards: Vec<Shard>,
    ) -> Result<Self, LayoutError> {
        let layout = Self { strategy, shard_key, key_types, branches, shards };
        layout.check_size()?;
        if layout.branches.is_empty() {
            return Err(LayoutError::WrongLevels(strategy));
        }
        let columns = match strategy {
            Strategy::RangeHash => 2,
            Strategy::ListHash => 1,
            _ => return Err(LayoutError::WrongLevels(strategy)),
        };
        if layout.shard_key.len() != columns {
            return Err(LayoutError::WrongKey(strategy));
        }
        layout.check_branches()?;
        check_parts(strategy, &layout.first_level(), &layout.key_types[..1])?;
        Ok(layout)
    }

    #[must_use]
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// For `range_hash` the column of the ranges and that of the hash, else
    /// the columns of the first level.
    #[must_use]
    pub fn shard_key(&self) -> &[String] {
        &self.shard_key
    }

    #[must_use]
    pub fn key_types(&self) -> &[KeyType] {
        &self.key_types
    }

    /// The partitions of the first level that are divided once more.
    #[must_use]
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The same with every shard in the database's own tablespace.
    #[must_use]
    pub fn without_tablespaces(&self) -> Self {
        let mut bare = self.clone();
        bare.shards.iter_mut().for_each(|shard| shard.tablespace = None);
        bare
    }

    /// The same under other names.
    #[must_use]
    pub fn named(&self, name: impl Fn(&str) -> String) -> Self {
        let mut other = self.clone();
        other.branches.iter_mut().for_each(|branch| branch.name = name(&branch.name));
        other.shards.iter_mut().for_each(|shard| shard.name = name(&shard.name));
        other
    }

    /// The branch that a shard of this layout is in.
    #[must_use]
    pub fn branch_of(&self, shard: &Shard) -> Option<&Branch> {
        self.branches.get(shard.of?)
    }

    /// How the first level is divided.
    #[must_use]
    pub const fn first_strategy(&self) -> Strategy {
        match self.strategy {
            Strategy::RangeHash => Strategy::Range,
            Strategy::ListHash => Strategy::List,
            one => one,
        }
    }

    /// The names of all partitions, branches first.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.branches.iter().map(|branch| &branch.name).chain(self.shards.iter().map(|shard| &shard.name))
    }

    /// The columns that divide the first level.
    #[must_use]
    pub fn first_key(&self) -> &[String] {
        match self.strategy {
            Strategy::RangeHash => &self.shard_key[..1],
            _ => &self.shard_key,
        }
    }

    /// The columns of all levels, each once: what a unique constraint has to
    /// include.
    #[must_use]
    pub fn key_columns(&self) -> Vec<String> {
        let mut columns = self.shard_key.clone();
        columns.extend(self.branches.iter().flat_map(|branch| branch.shard_key.iter().cloned()));
        let mut seen = BTreeSet::new();
        columns.retain(|column| seen.insert(column.clone()));
        columns
    }

    /// The partitions of the first level, in order.
    #[must_use]
    pub fn first_level(&self) -> Vec<Part<'_>> {
        let mut parts: Vec<Part<'_>> = Vec::new();
        for shard in &self.shards {
            match shard.of.and_then(|at| self.branches.get(at)) {
                None => parts.push(Part { name: &shard.name, bound: &shard.bound, branch: None }),
                Some(_) if parts.last().is_some_and(|last| last.branch == shard.of) => {}
                Some(branch) => {
                    parts.push(Part { name: &branch.name, bound: &branch.bound, branch: shard.of });
                }
            }
        }
        parts
    }

    fn check_size(&self) -> Result<(), LayoutError> {
        if self.shard_key.is_empty() || self.shard_key.len() != self.key_types.len() {
            return Err(LayoutError::NoKey);
        }
        if self.shards.is_empty() {
            return Err(LayoutError::Empty);
        }
        if self.shards.len() > SHARDS_MAX {
            return Err(LayoutError::TooMany(self.shards.len()));
        }
        let mut seen = BTreeSet::new();
        match self.names().find(|name| !seen.insert(*name)) {
            Some(twice) => Err(LayoutError::DuplicateName(twice.clone())),
            None => Ok(()),
        }
    }

    /// Shards of a branch fill its modulus, side by side; a range is divided
    /// as all the others are.
    fn check_branches(&self) -> Result<(), LayoutError> {
        let stray = |shard: &&Shard| shard.of.is_some_and(|of| of >= self.branches.len());
        if let Some(shard) = self.shards.iter().find(stray) {
            return Err(LayoutError::WrongBound(shard.name.clone()));
        }
        let order: Vec<usize> = self.first_level().iter().filter_map(|part| part.branch).collect();
        let mut places = 0..order.len().max(self.branches.len());
        if let Some(at) = places.find(|at| order.get(*at) != Some(at)) {
            let named = order.get(at).copied().unwrap_or(at);
            return Err(LayoutError::Scattered(self.branches[named].name.clone()));
        }
        let mut moduli = BTreeSet::new();
        for (at, branch) in self.branches.iter().enumerate() {
            if branch.shard_key.is_empty() || branch.shard_key.len() != branch.key_types.len() {
                return Err(LayoutError::NoKey);
            }
            let leaves = self.shards.iter().filter(|shard| shard.of == Some(at));
            moduli.insert(check_hash(leaves.map(|shard| (shard.name.as_str(), &shard.bound)))?);
        }
        if self.strategy != Strategy::RangeHash {
            return Ok(());
        }
        let same = self
            .branches
            .iter()
            .all(|branch| branch.shard_key == self.shard_key[1..] && branch.key_types == self.key_types[1..]);
        let whole =
            self.first_level().iter().any(|part| part.branch.is_none() && *part.bound != Bound::Default);
        if moduli.len() == 1 && same && !whole {
            Ok(())
        } else {
            Err(LayoutError::WrongLevels(self.strategy))
        }
    }
}

/// The partitions of the first level cover their key once.
fn check_parts(strategy: Strategy, parts: &[Part<'_>], kinds: &[KeyType]) -> Result<(), LayoutError> {
    match strategy {
        Strategy::Range | Strategy::RangeHash => check_ranges(parts, kinds),
        Strategy::List | Strategy::ListHash => check_lists(parts, kinds),
        Strategy::Hash => check_hash(parts.iter().map(|part| (part.name, part.bound))).map(|_| ()),
        Strategy::None => Err(LayoutError::WrongLevels(strategy)),
    }
}

fn check_ranges(parts: &[Part<'_>], kinds: &[KeyType]) -> Result<(), LayoutError> {
    let mut previous: Option<(&str, &Vec<_>)> = None;
    for part in parts {
        let (lower, upper) = match part.bound {
            Bound::Range { lower, upper } if lower.len() == kinds.len() && upper.len() == kinds.len() => {
                (lower, upper)
            }
            Bound::Default => continue,
            _ => return Err(LayoutError::WrongBound(part.name.to_owned())),
        };
        // Where only PostgreSQL knows the order (text), it checks at creation.
        if matches!(compare_points(lower, upper, kinds), Some(Ordering::Greater | Ordering::Equal)) {
            return Err(LayoutError::NotAscending { first: write_point(lower), second: write_point(upper) });
        }
        if let Some((before, end)) = previous
            && compare_points(end, lower, kinds) == Some(Ordering::Greater)
        {
            return Err(LayoutError::Overlap {
                first: before.to_owned(),
                second: part.name.to_owned(),
                why: format!("One ends at {}, the other begins at {}.", write_point(end), write_point(lower)),
            });
        }
        previous = Some((part.name, upper));
    }
    one_default(parts)
}

fn check_lists(parts: &[Part<'_>], kinds: &[KeyType]) -> Result<(), LayoutError> {
    let mut seen = BTreeMap::new();
    for part in parts {
        match part.bound {
            // PostgreSQL takes one column for list.
            Bound::List { values } if !values.is_empty() && kinds.len() == 1 => {
                for value in values {
                    let same = value.as_deref().map(|value| same_form(value, kinds[0]));
                    if let Some(first) = seen.insert(same, part.name) {
                        let value = value.as_deref().unwrap_or("null");
                        return Err(LayoutError::Overlap {
                            first: first.to_owned(),
                            second: part.name.to_owned(),
                            why: format!("Both lists have value {value}."),
                        });
                    }
                }
            }
            Bound::Default => {}
            _ => return Err(LayoutError::WrongBound(part.name.to_owned())),
        }
    }
    one_default(parts)
}

/// A text that equal values share: `1` and `01` are one integer.
fn same_form(value: &str, kind: KeyType) -> String {
    match kind.read(value) {
        // Read as a float, long numerics that differ would look the same.
        None | Some(KeyValue::Numeric(_)) => value.to_owned(),
        Some(read) => format!("{read:?}"),
    }
}

fn one_default(parts: &[Part<'_>]) -> Result<(), LayoutError> {
    let mut defaults = parts.iter().filter(|part| *part.bound == Bound::Default);
    match (defaults.next(), defaults.next()) {
        (Some(first), Some(second)) => Err(LayoutError::Overlap {
            first: first.name.to_owned(),
            second: second.name.to_owned(),
            why: "Both are DEFAULT.".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Shards of one table or branch; their modulus.
fn check_hash<'a>(shards: impl Iterator<Item = (&'a str, &'a Bound)>) -> Result<u32, LayoutError> {
    // One modulus for all: unequal moduli exist only after splits.
    let mut remainders = BTreeSet::new();
    let mut common = None;
    let mut count = 0_usize;
    for (name, bound) in shards {
        count += 1;
        match *bound {
            Bound::Hash { modulus, remainder }
                if remainder < modulus && *common.get_or_insert(modulus) == modulus =>
            {
                remainders.insert(remainder);
            }
            _ => return Err(LayoutError::WrongBound(name.to_owned())),
        }
    }
    let modulus = common.unwrap_or(0);
    if remainders.len() == count && remainders.len() == modulus as usize {
        Ok(modulus)
    } else {
        Err(LayoutError::Remainders { modulus, found: remainders.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bound::RangeDatum;

    fn shard(name: &str, bound: Bound) -> Shard {
        Shard {
            name: name.to_owned(),
            bound,
            rows: 0.0,
            bytes: 0.0,
            tablespace: None,
            future: false,
            of: None,
        }
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
