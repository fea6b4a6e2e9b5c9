//! A uniform sample of a stream in fixed space.
//!
//! Algorithm R of Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1),
//! 1985: after n values each of them is in the reservoir of size k with
//! probability k ÷ n.

use crate::model::sample::random::Random;
use crate::model::sample::value::Value;

/// Values kept.
pub const SIZE: usize = 64;

/// The sample.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Reservoir {
    seen: u64,
    used: u32,
    values: [Value; SIZE],
}

impl Reservoir {
    pub const EMPTY: Self = Self { seen: 0, used: 0, values: [Value::EMPTY; SIZE] };

    pub const fn clear(&mut self) {
        self.seen = 0;
        self.used = 0;
    }

    /// A sample of `seen` values that was stored.
    pub fn of(seen: u64, values: impl Iterator<Item = Value>) -> Self {
        let mut reservoir = Self::EMPTY;
        for (place, value) in reservoir.values.iter_mut().zip(values) {
            *place = value;
            reservoir.used += 1;
        }
        reservoir.seen = seen.max(u64::from(reservoir.used));
        reservoir
    }

    /// Values that the sample was drawn from.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// The sample, in no order.
    #[must_use]
    pub fn values(&self) -> &[Value] {
        &self.values[..self.used()]
    }

    fn used(&self) -> usize {
        (self.used as usize).min(SIZE)
    }

    /// Shows one more value to the sample.
    pub fn add(&mut self, value: &Value, random: &mut Random) {
        self.seen += 1;
        let used = self.used();
        if used < SIZE {
            self.values[used] = *value;
            self.used = used as u32 + 1;
        } else {
            let place = random.below(self.seen);
            if place < SIZE as u64 {
                self.values[place as usize] = *value;
            }
        }
    }

    /// Makes this the sample of both streams: each place is drawn from one
    /// side with the share that it still has of the values not yet drawn.
    pub fn merge(&mut self, other: &Self, random: &mut Random) {
        let (mut here, mut there) = (self.values().to_vec(), other.values().to_vec());
        let (mut here_left, mut there_left) = (self.seen, other.seen);
        let mut merged = Self::EMPTY;
        while merged.used() < SIZE {
            let from_here = match (here.is_empty(), there.is_empty()) {
                (true, true) => break,
                (false, true) => true,
                (true, false) => false,
                (false, false) => random.below(here_left + there_left) < here_left,
            };
            let (side, left) =
                if from_here { (&mut here, &mut here_left) } else { (&mut there, &mut there_left) };
            let drawn = side.swap_remove(random.below(side.len() as u64) as usize);
            *left = left.saturating_sub(1);
            merged.values[merged.used()] = drawn;
            merged.used += 1;
        }
        merged.seen = self.seen + other.seen;
        *self = merged;
    }
}
