//! Names of new shards: the table's stem and the next number.
//!
//! Invariant: a name is given once, is nobody's in the schema, and fits. A
//! replaced shard keeps its name while it is retired, so no number comes twice.

use std::collections::BTreeSet;

use crate::model::name::derived_name;
use crate::model::name::shard_name;

/// Digits of a shard's number at most; longer ones are parts of other names.
const DIGITS_MAX: usize = 9;

/// What new shards of a table are called.
#[derive(Debug, Clone)]
pub struct Naming {
    stem: String,
    taken: BTreeSet<String>,
    next: usize,
}

impl Naming {
    /// `shard` is one that is replaced, `table` its sharded table, `taken` all
    /// names of relations and types in the schema.
    #[must_use]
    pub fn new(shard: &str, table: &str, taken: BTreeSet<String>) -> Self {
        let stem = stem_of(shard).unwrap_or(table).to_owned();
        let numbered = |name: &String| {
            let number = number_of(name)?;
            (shard_name(&stem, number) == *name).then_some(number)
        };
        let next = taken.iter().filter_map(numbered).max().unwrap_or(0) + 1;
        Self { stem, taken, next }
    }

    /// The next shard's name.
    pub fn shard(&mut self) -> String {
        loop {
            let name = shard_name(&self.stem, self.next);
            self.next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// The name of a new shard for what no other accepts.
    pub fn default_shard(&mut self) -> String {
        let mut number = 1;
        loop {
            let name = match number {
                1 => derived_name(&self.stem, "default"),
                number => derived_name(&self.stem, &format!("default_{number}")),
            };
            number += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// The number that a shard's name ends with.
fn number_of(name: &str) -> Option<usize> {
    let (_, digits) = name.rsplit_once("_s")?;
    let fits = (4..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

/// What the names of the shards beside this one begin with.
fn stem_of(shard: &str) -> Option<&str> {
    if number_of(shard).is_some() {
        return shard.rsplit_once("_s").map(|(stem, _)| stem).filter(|stem| !stem.is_empty());
    }
    let (stem, rest) = shard.rsplit_once("_default")?;
    let number = rest.strip_prefix('_');
    let fits = rest.is_empty()
        || number
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    (fits && !stem.is_empty()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::IDENTIFIER_BYTES_MAX;

    fn taken(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn numbers_go_on_after_the_greatest() {
        let mut naming = Naming::new(
            "orders_s0003",
            "orders",
            taken(&["orders_s0003", "orders_s0007", "lines_s0040", "orders"]),
        );
        assert_eq!([naming.shard(), naming.shard()], ["orders_s0008", "orders_s0009"]);
        let mut naming = Naming::new("orders_s9999", "orders", taken(&["orders_s9999"]));
        assert_eq!(naming.shard(), "orders_s10000");
        // More digits than a number has are another name.
        let mut naming = Naming::new("orders_s0001", "orders", taken(&["orders_s99999999999999999999"]));
        assert_eq!(naming.shard(), "orders_s0001");
    }

    #[test]
    fn partitions_with_names_of_their_own_are_followed_by_shards_of_the_table() {
        let mut naming =
            Naming::new("orders_2026_01", "orders", taken(&["orders_2026_01", "orders_2026_s02"]));
        assert_eq!(naming.shard(), "orders_s0001");
        let mut naming = Naming::new("_s0001", "orders", taken(&[]));
        assert_eq!(naming.shard(), "orders_s0001");
    }

    #[test]
    fn what_no_other_accepts_has_a_name_of_its_own() {
        let mut naming = Naming::new("orders_default", "sales", taken(&["orders_default", "orders_s0002"]));
        assert_eq!([naming.default_shard(), naming.shard()], ["orders_default_2", "orders_s0003"]);
        let mut naming =
            Naming::new("orders_default_2", "sales", taken(&["orders_default", "orders_default_2"]));
        assert_eq!(naming.default_shard(), "orders_default_3");
        let mut naming = Naming::new("orders_default_x", "sales", taken(&[]));
        assert_eq!(naming.default_shard(), "sales_default");
    }

    #[test]
    fn names_fit_and_are_nobody_s_when_they_are_cut() {
        let table = "ü".repeat(31);
        let mut naming = Naming::new("p1", &table, BTreeSet::new());
        let first = naming.shard();
        assert!(first.len() <= IDENTIFIER_BYTES_MAX && first.ends_with("_s0001"), "{first}");
        let mut naming = Naming::new("p1", &table, BTreeSet::from([first]));
        assert!(naming.shard().ends_with("_s0002"));
        // A shard's name that was cut is the stem of the next.
        let long = shard_name(&"x".repeat(63), 1);
        let mut naming = Naming::new(&long, "x", BTreeSet::from([long.clone()]));
        let next = naming.shard();
        assert!(next.len() == IDENTIFIER_BYTES_MAX && next.ends_with("_s0002"), "{next}");
        // One digit more leaves the stem a letter less.
        let mut naming = Naming::new(&shard_name(&"x".repeat(63), 9999), "x", BTreeSet::new());
        naming.next = 10_000;
        assert_eq!(naming.shard().len(), IDENTIFIER_BYTES_MAX);
    }
}
