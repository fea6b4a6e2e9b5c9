//! A uniform sample of a stream of unknown length, in bounded memory.
//!
//! Every row has a random key, and the rows with the smallest keys are the
//! sample. Once it is full, the number of rows up to the next one with a small
//! enough key is drawn at once (the skips of Li's algorithm L), so that a row
//! that is passed costs a decrement. Because the keys are kept, a sample can be
//! made smaller at any time and stays uniform: that is how wide rows are held
//! within a budget of bytes. The same stream yields the same sample.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::RngCore;
use rand_xoshiro::rand_core::SeedableRng;

/// A row of the sample.
#[derive(Debug, Clone)]
pub struct Kept {
    key: f64,
    /// Its place in the stream, from 1.
    pub position: u64,
    pub row: Box<[u8]>,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Kept {}
impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key).then(self.position.cmp(&other.position))
    }
}

/// The sample, while the stream goes on.
#[derive(Debug)]
pub struct Reservoir {
    capacity: usize,
    seen: u64,
    /// Rows to pass before the next that is kept.
    skip: u64,
    /// The largest key of a full sample; 1 before it is full.
    threshold: f64,
    kept: BinaryHeap<Kept>,
    bytes: usize,
    random: SplitMix64,
}

/// What a row of the sample costs besides its own bytes.
const ROW_BYTES: usize = size_of::<Kept>() + 16;

impl Reservoir {
    #[must_use]
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self {
            capacity: capacity.max(1),
            seen: 0,
            skip: 0,
            threshold: 1.0,
            kept: BinaryHeap::new(),
            bytes: 0,
            random: SplitMix64::seed_from_u64(seed),
        }
    }

    /// Rows of the stream so far.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Memory that the sample takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts the next row of the stream; true if it is to be kept.
    pub const fn wants(&mut self) -> bool {
        self.seen += 1;
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        true
    }

    /// Keeps the row that was wanted.
    pub fn keep(&mut self, row: Box<[u8]>) {
        let key = self.uniform() * self.threshold;
        self.bytes += row.len() + ROW_BYTES;
        self.kept.push(Kept { key, position: self.seen, row });
        self.settle();
    }

    /// Makes the sample smaller until it takes at most so much memory.
    pub fn shrink(&mut self, bytes: usize) {
        while self.bytes > bytes && self.kept.len() > 1 {
            self.drop_largest();
            self.capacity = self.kept.len();
        }
        self.settle();
    }

    fn settle(&mut self) {
        while self.kept.len() > self.capacity {
            self.drop_largest();
        }
        if self.kept.len() == self.capacity
            && let Some(largest) = self.kept.peek()
        {
            self.threshold = largest.key;
            let skip = (self.uniform().ln() / (-self.threshold).ln_1p()).floor();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            let skip = skip as u64;
            self.skip = skip;
        }
    }

    fn drop_largest(&mut self) {
        if let Some(dropped) = self.kept.pop() {
            self.bytes -= dropped.row.len() + ROW_BYTES;
        }
    }

    /// Above 0 and below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    fn uniform(&mut self) -> f64 {
        ((self.random.next_u64() >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
    }

    /// The sample in the order of the stream.
    #[must_use]
    pub fn into_rows(self) -> Vec<Kept> {
        let mut rows = self.kept.into_vec();
        rows.sort_unstable_by_key(|kept| kept.position);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(rows: u64, capacity: usize, seed: u64, shrink_at: Option<u64>) -> Vec<u64> {
        let mut reservoir = Reservoir::new(capacity, seed);
        for number in 1..=rows {
            if reservoir.wants() {
                reservoir.keep(Box::new([0; 8]));
            }
            if Some(number) == shrink_at {
                let half = reservoir.bytes() / 2;
                reservoir.shrink(half);
            }
        }
        assert_eq!(reservoir.seen(), rows);
        reservoir.into_rows().into_iter().map(|kept| kept.position).collect()
    }

    /// Chi-square of the counts of 20 equal parts of the stream.
    fn chi_square(rows: u64, capacity: usize, shrink_at: Option<u64>) -> f64 {
        let mut counts = [0.0_f64; 20];
        for seed in 0..400 {
            for position in sample(rows, capacity, seed, shrink_at) {
                counts[((position - 1) * 20 / rows) as usize] += 1.0;
            }
        }
        let expected = counts.iter().sum::<f64>() / 20.0;
        counts.iter().map(|count| (count - expected).powi(2) / expected).sum()
    }

    #[test]
    fn every_part_of_the_stream_is_as_likely() {
        // 19 degrees of freedom: above 43.8 by chance once in a thousand.
        assert!(chi_square(10_000, 50, None) < 43.8);
        assert!(chi_square(200, 50, None) < 43.8);
    }

    #[test]
    fn a_sample_that_was_made_smaller_is_uniform_still() {
        for at in [60, 1000, 9000] {
            assert!(chi_square(10_000, 100, Some(at)) < 43.8, "{at}");
        }
    }

    #[test]
    fn bytes_are_bounded() {
        let mut reservoir = Reservoir::new(1000, 1);
        for _ in 0..100_000 {
            if reservoir.wants() {
                reservoir.keep(vec![0; 10_000].into());
                if reservoir.bytes() > 1_000_000 {
                    reservoir.shrink(500_000);
                }
            }
            assert!(reservoir.bytes() <= 1_000_000);
        }
        assert!(reservoir.into_rows().len() >= 40);
    }

    proptest! {
        #[test]
        fn it_holds_what_it_may_and_repeats(rows in 0u64..500, capacity in 1usize..60, seed: u64) {
            let first = sample(rows, capacity, seed, None);
            prop_assert_eq!(first.len() as u64, rows.min(capacity as u64));
            prop_assert!(first.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(first, sample(rows, capacity, seed, None));
        }
    }
}
