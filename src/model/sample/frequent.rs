//! Frequent values of a stream in fixed space: Space-Saving.
//!
//! Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and
//! top-k elements in data streams", ICDT 2005: with k counters over n values
//!
//! - a counter never counts too little, and too much by at most its `error`;
//! - no error is greater than n ÷ k;
//! - so every value seen more than n ÷ k times has a counter.
//!
//! Merging keeps all three (Agarwal and others, "Mergeable summaries", PODS
//! 2012): a value that only one side counts may have been seen by the other as
//! often as that side's smallest counter says.

use crate::model::sample::value::Value;

/// Counters of a sketch: what is more frequent than 1 in 64 is not missed.
pub const COUNTERS: usize = 64;

/// How often a value was seen: at most `count`, at least `count - error`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Counter {
    pub value: Value,
    pub count: u64,
    pub error: u64,
}

/// The sketch.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Frequent {
    total: u64,
    used: u32,
    counters: [Counter; COUNTERS],
}

impl Frequent {
    pub const EMPTY: Self =
        Self { total: 0, used: 0, counters: [Counter { value: Value::EMPTY, count: 0, error: 0 }; COUNTERS] };

    pub const fn clear(&mut self) {
        self.total = 0;
        self.used = 0;
    }

    /// A sketch of `total` values with these counters, the greatest of them
    /// if there are too many.
    pub fn of(total: u64, counters: impl Iterator<Item = Counter>) -> Self {
        let mut all: Vec<Counter> = counters.collect();
        all.sort_by_key(|counter| std::cmp::Reverse(counter.count));
        let mut sketch = Self::EMPTY;
        sketch.total = total;
        for (place, counter) in sketch.counters.iter_mut().zip(all) {
            *place = counter;
            sketch.used += 1;
        }
        sketch
    }

    /// Values seen.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The counters in use, in no order.
    #[must_use]
    pub fn counters(&self) -> &[Counter] {
        &self.counters[..self.used()]
    }

    fn used(&self) -> usize {
        (self.used as usize).min(COUNTERS)
    }

    /// How often a value without a counter may have been seen.
    #[must_use]
    pub fn unseen_max(&self) -> u64 {
        if self.used() < COUNTERS {
            return 0;
        }
        self.counters().iter().map(|counter| counter.count).min().unwrap_or(0)
    }

    /// Counts one value.
    pub fn add(&mut self, value: &Value) {
        self.total += 1;
        let used = self.used();
        if let Some(counter) = self.counters[..used].iter_mut().find(|counter| counter.value == *value) {
            counter.count += 1;
        } else if used < COUNTERS {
            self.counters[used] = Counter { value: *value, count: 1, error: 0 };
            self.used = used as u32 + 1;
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|counter| counter.count) {
            *least = Counter { value: *value, count: least.count + 1, error: least.count };
        }
    }

    /// Adds what another sketch has counted.
    pub fn merge(&mut self, other: &Self) {
        let (here, there) = (self.unseen_max(), other.unseen_max());
        let mut all: Vec<Counter> = Vec::with_capacity(2 * COUNTERS);
        for counter in self.counters() {
            let same = other.counters().iter().find(|theirs| theirs.value == counter.value);
            let (count, error) = same.map_or((there, there), |theirs| (theirs.count, theirs.error));
            all.push(Counter { count: counter.count + count, error: counter.error + error, ..*counter });
        }
        let new = other
            .counters()
            .iter()
            .filter(|theirs| !self.counters().iter().any(|counter| counter.value == theirs.value));
        all.extend(new.map(|theirs| Counter {
            count: theirs.count + here,
            error: theirs.error + here,
            ..*theirs
        }));
        *self = Self::of(self.total + other.total, all.into_iter());
    }
}
