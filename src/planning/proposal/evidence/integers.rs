//! Whole numbers without gaps, and the hash shards that they fall into.
//!
//! A key that has about as many values as there are numbers from its lowest to
//! its highest has those numbers. PostgreSQL's hash of each tells what a shard
//! has of them: of 1,000 values in 32 shards one may have half as many again as
//! another. Not here: keys with gaps, of which a shard is taken as a sample.

use crate::model::key::KeyType;
use crate::model::statistics::ColumnStatistics;

/// Most numbers that are hashed.
const NUMBERS_MAX: i128 = 65_536;

/// Values may be so much fewer or more than the numbers, as ANALYZE guesses
/// them.
const GUESS: f64 = 0.1;

/// `HASH_PARTITION_SEED` of the server's `partition.h`.
const SEED: u64 = 0x7A5B_2236_7996_DCFD;

/// What `hash_combine64(0, h)` adds to `h`.
const COMBINE: u64 = 0x49A0_F4DD_15E5_A8E3;

/// The numbers that a key has.
#[derive(Debug, Clone, PartialEq)]
pub struct Integers {
    /// The partition hash of each number, and its share of the rows.
    numbers: Vec<(u64, f64)>,
    /// Values for each of them.
    present: f64,
    nulls: f64,
}

impl Integers {
    /// The numbers of a column of so many rows; none if they have gaps, or are
    /// too many.
    #[must_use]
    pub fn of(key_type: KeyType, statistics: &ColumnStatistics, rows: f64) -> Option<Self> {
        if key_type != KeyType::Integer || statistics.histogram.len() < 2 {
            return None;
        }
        let read = |text: &String| text.parse::<i64>().ok();
        let common: Vec<i64> = statistics.common_values.iter().map(read).collect::<Option<_>>()?;
        let ends = [statistics.histogram.first()?, statistics.histogram.last()?].map(read);
        let [Some(first), Some(last)] = ends else { return None };
        let lowest = common.iter().copied().fold(first, i64::min);
        let highest = common.iter().copied().fold(last, i64::max);
        let count = i128::from(highest) - i128::from(lowest) + 1;
        if !(1..=NUMBERS_MAX).contains(&count) {
            return None;
        }
        let present = statistics.distinct_values(rows) / count as f64;
        if !((1.0 - GUESS)..=(1.0 + GUESS)).contains(&present) {
            return None;
        }
        let nulls = statistics.null_fraction.clamp(0.0, 1.0);
        let mut shares: Vec<Option<f64>> = vec![None; usize::try_from(count).ok()?];
        for (number, share) in common.iter().zip(&statistics.common_fractions) {
            let at = usize::try_from(i128::from(*number) - i128::from(lowest)).ok()?;
            *shares.get_mut(at)? = Some(share.clamp(0.0, 1.0));
        }
        let known: f64 = shares.iter().flatten().sum();
        let others = shares.iter().filter(|share| share.is_none()).count().max(1) as f64;
        let each = (1.0 - nulls - known).max(0.0) / others;
        let numbers = (lowest..=highest).zip(shares);
        let numbers =
            numbers.map(|(number, share)| (partition_hash(number), share.unwrap_or(each))).collect();
        Some(Self { numbers, present: present.min(1.0), nulls })
    }

    /// The share of the rows that a shard has. NULL falls into the first.
    #[must_use]
    pub fn share(&self, modulus: u32, remainder: u32) -> f64 {
        let nulls = if remainder == 0 { self.nulls } else { 0.0 };
        self.here(modulus, remainder).map(|(_, share)| share).sum::<f64>() + nulls
    }

    /// The values that a shard has.
    #[must_use]
    pub fn distinct(&self, modulus: u32, remainder: u32) -> f64 {
        self.here(modulus, remainder).count() as f64 * self.present
    }

    fn here(&self, modulus: u32, remainder: u32) -> impl Iterator<Item = &(u64, f64)> {
        let modulus = u64::from(modulus.max(1));
        self.numbers.iter().filter(move |(hash, _)| hash % modulus == u64::from(remainder))
    }
}

/// The hash by which PostgreSQL puts a number of any width into a shard, as a
/// key of its own: `value % modulus` is the remainder.
fn partition_hash(number: i64) -> u64 {
    hash_extended(number, SEED).wrapping_add(COMBINE)
}

/// The server's `hashint8extended`, which numbers of less width have alike.
fn hash_extended(number: i64, seed: u64) -> u64 {
    let (low, high) = (number as u32, (number >> 32) as u32);
    let folded = low ^ if number >= 0 { high } else { !high };
    let start = 0x9E37_79B9_u32.wrapping_add(4).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (start, start, start);
    if seed != 0 {
        a = a.wrapping_add((seed >> 32) as u32);
        b = b.wrapping_add(seed as u32);
        mix(&mut a, &mut b, &mut c);
    }
    a = a.wrapping_add(folded);
    last(&mut a, &mut b, &mut c);
    u64::from(b) << 32 | u64::from(c)
}

/// Bob Jenkins's reversible mixing of three words, as the server has it.
fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    for turns in [[4, 6, 8], [16, 19, 4]] {
        let [first, second, third] = turns;
        *a = a.wrapping_sub(*c) ^ c.rotate_left(first);
        *c = c.wrapping_add(*b);
        *b = b.wrapping_sub(*a) ^ a.rotate_left(second);
        *a = a.wrapping_add(*c);
        *c = c.wrapping_sub(*b) ^ b.rotate_left(third);
        *b = b.wrapping_add(*a);
    }
}

/// His last mixing, after which every bit depends on all.
fn last(a: &mut u32, b: &mut u32, c: &mut u32) {
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(14));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(11));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(25));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(16));
    *a = (*a ^ *c).wrapping_sub(c.rotate_left(4));
    *b = (*b ^ *a).wrapping_sub(a.rotate_left(14));
    *c = (*c ^ *b).wrapping_sub(b.rotate_left(24));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn statistics(distinct: f64, lowest: i64, highest: i64) -> ColumnStatistics {
        ColumnStatistics {
            distinct,
            histogram: [lowest, highest].map(|end| end.to_string()).to_vec(),
            ..ColumnStatistics::default()
        }
    }

    /// From PostgreSQL 15: `hashint8extended(n, 8816678312871386365)`.
    #[test]
    fn numbers_hash_as_in_postgresql() {
        let known = [
            (0, -4_403_592_609_991_167_795_i64),
            (1, 5_968_994_663_651_403_477),
            (-1, -5_017_072_347_659_237_694),
            (7, 1_708_571_371_176_205_364),
            (2_147_483_647, -6_050_265_599_104_649_060),
            (-2_147_483_648, 4_938_542_303_000_433_043),
            (i64::MAX, 4_938_542_303_000_433_043),
            (i64::MIN, -6_050_265_599_104_649_060),
            (4_294_967_296, 5_968_994_663_651_403_477),
        ];
        for (number, hash) in known {
            assert_eq!(hash_extended(number, SEED), hash as u64, "{number}");
        }
        // `satisfies_hash_partition` of 1 to 200, 32 shards, the sixth.
        let sixth: Vec<i64> = (1..=200).filter(|number| partition_hash(*number) % 32 == 5).collect();
        assert_eq!(sixth, [56, 96, 103, 164]);
    }

    /// From PostgreSQL 15: 1,000 numbers in 32 shards.
    #[test]
    fn shards_have_the_numbers_that_hash_to_them() {
        let found = Integers::of(KeyType::Integer, &statistics(-0.1, 1, 1000), 10_000.0).unwrap();
        let counts: Vec<f64> = (0..32).map(|remainder| found.distinct(32, remainder)).collect();
        assert_eq!((counts[0], counts[18], counts[23], counts[27]), (33.0, 41.0, 46.0, 19.0));
        assert!((found.share(32, 23) - 0.046).abs() < 1e-9);
    }

    #[test]
    fn keys_with_gaps_or_of_other_types_are_none() {
        let of = |statistics: &ColumnStatistics| Integers::of(KeyType::Integer, statistics, 10_000.0);
        assert!(of(&statistics(800.0, 1, 1000)).is_none());
        assert!(of(&statistics(1200.0, 1, 1000)).is_none());
        assert!(of(&statistics(-1.0, i64::MIN, i64::MAX)).is_none());
        assert!(of(&statistics(1000.0, 1000, 1)).is_none());
        assert!(Integers::of(KeyType::Numeric, &statistics(1000.0, 1, 1000), 10_000.0).is_none());
        let odd =
            ColumnStatistics { histogram: vec!["a".to_owned(), "b".to_owned()], ..statistics(2.0, 1, 2) };
        assert!(of(&odd).is_none());
    }

    proptest! {
        /// Every number, and every row, is in one shard.
        #[test]
        fn all_shards_together_are_the_table(
            lowest in -100_000_i64..100_000, count in 1_i64..600, log in 0_u32..8, nulls in 0.0_f64..0.5,
            heavy in proptest::collection::vec((0_i64..600, 0.0_f64..0.02), 0..20),
        ) {
            let mut statistics = statistics(count as f64, lowest, lowest + count - 1);
            statistics.null_fraction = nulls;
            for (at, share) in heavy {
                let value = (lowest + at % count).to_string();
                if !statistics.common_values.contains(&value) {
                    statistics.common_values.push(value);
                    statistics.common_fractions.push(share);
                }
            }
            let others = statistics.common_values.len() < count as usize;
            let found = Integers::of(KeyType::Integer, &statistics, 1e6).unwrap();
            let modulus = 1 << log;
            let distinct: f64 = (0..modulus).map(|remainder| found.distinct(modulus, remainder)).sum();
            let rows: f64 = (0..modulus).map(|remainder| found.share(modulus, remainder)).sum();
            prop_assert!((distinct - count as f64).abs() < 1e-6);
            prop_assert!(!others || (rows - 1.0).abs() < 1e-9, "{rows}");
        }
    }
}
