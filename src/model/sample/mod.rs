//! Sampled values of key columns: what executions looked for, in bounded
//! sketches.
//!
//! A [`Sketch`] is one plain value of fixed size without pointers, so that it
//! may live in shared memory: how many executions were sampled, the frequent
//! values with their counts ([`frequent`]), and a uniform sample of all values
//! ([`reservoir`]). [`SampledValues`] is the same to be stored and read.
//!
//! Not here: which executions are sampled and where values come from; only
//! the draw itself ([`random`]) is arithmetic.

pub mod frequent;
pub mod random;
pub mod reservoir;
pub mod value;

use serde::Deserialize;
use serde::Serialize;

pub use crate::model::sample::frequent::Frequent;
use crate::model::sample::random::Random;
pub use crate::model::sample::reservoir::Reservoir;
pub use crate::model::sample::value::Value;

/// How an execution used a value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    Equality,
    InList,
    /// `>` and `>=`.
    RangeLower,
    /// `<` and `<=`.
    RangeUpper,
    Insert,
}

impl Access {
    pub const ALL: [Self; 5] =
        [Self::Equality, Self::InList, Self::RangeLower, Self::RangeUpper, Self::Insert];

    /// The word that the SQL surface shows and the table stores.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Equality => "equality",
            Self::InList => "in_list",
            Self::RangeLower => "range_lower",
            Self::RangeUpper => "range_upper",
            Self::Insert => "insert",
        }
    }
}

/// What was sampled of one access to one column.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Sketch {
    /// Executions that were sampled.
    pub sampled: u64,
    /// Executions that these stand for: each counts one over the rate at
    /// which it was drawn.
    pub executions: f64,
    pub frequent: Frequent,
    pub reservoir: Reservoir,
}

impl Sketch {
    pub const EMPTY: Self =
        Self { sampled: 0, executions: 0.0, frequent: Frequent::EMPTY, reservoir: Reservoir::EMPTY };

    /// Forgets everything; cheaper than to write all of [`Self::EMPTY`].
    pub fn clear(&mut self) {
        self.sampled = 0;
        self.executions = 0.0;
        self.frequent.clear();
        self.reservoir.clear();
    }

    /// Counts one sampled execution that stands for `executions`, with the
    /// values that it used. `keep` says whether the reservoir may keep them.
    pub fn add(&mut self, executions: f64, values: &[Value], keep: bool, random: &mut Random) {
        self.sampled += 1;
        self.executions += executions;
        for value in values {
            self.frequent.add(value);
            if keep {
                self.reservoir.add(value, random);
            }
        }
    }

    /// Adds what another sketch of the same column and access has seen.
    pub fn merge(&mut self, other: &Self, random: &mut Random) {
        self.sampled += other.sampled;
        self.executions += other.executions;
        self.frequent.merge(&other.frequent);
        self.reservoir.merge(&other.reservoir, random);
    }
}

/// A sketch as it is stored, and as a profile shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledValues {
    pub access: Access,
    /// Executions that were sampled.
    pub sampled: u64,
    /// Executions that these stand for, an estimate.
    pub executions: f64,
    /// Values seen, all together.
    pub values: u64,
    /// Frequent values, the most frequent first.
    #[serde(default)]
    pub frequent: Vec<FrequentValue>,
    /// A uniform sample of the values seen; empty for text.
    #[serde(default)]
    pub reservoir: Vec<ShownValue>,
    /// Values that the reservoir was drawn from.
    #[serde(default)]
    pub reservoir_of: u64,
}

/// A value in text form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownValue {
    pub value: String,
    /// Of a value whose text was cut: the hash of all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<u64>,
}

/// A frequent value: it was seen at most `count` and at least `count - error`
/// times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrequentValue {
    #[serde(flatten)]
    pub value: ShownValue,
    pub count: u64,
    pub error: u64,
}

impl FrequentValue {
    /// How often it was seen at least.
    #[must_use]
    pub const fn certain(&self) -> u64 {
        self.count.saturating_sub(self.error)
    }

    /// Whether at least half of the count is certain: the others may only
    /// have come late into a full sketch.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.certain() >= self.error
    }
}

impl SampledValues {
    /// A sketch in the form to be stored.
    #[must_use]
    pub fn of(access: Access, sketch: &Sketch) -> Self {
        let mut frequent: Vec<FrequentValue> = sketch
            .frequent
            .counters()
            .iter()
            .map(|counter| FrequentValue {
                value: counter.value.shown(),
                count: counter.count,
                error: counter.error,
            })
            .collect();
        frequent.sort_by(|a, b| {
            b.count.cmp(&a.count).then(a.error.cmp(&b.error)).then_with(|| a.value.value.cmp(&b.value.value))
        });
        Self {
            access,
            sampled: sketch.sampled,
            executions: sketch.executions,
            values: sketch.frequent.total(),
            frequent,
            reservoir: sketch.reservoir.values().iter().map(Value::shown).collect(),
            reservoir_of: sketch.reservoir.seen(),
        }
    }

    /// The sketch again, cut to its bounds if somebody stored more.
    #[must_use]
    pub fn sketch(&self) -> Sketch {
        let frequent = self.frequent.iter().map(|shown| frequent::Counter {
            value: Value::from(&shown.value),
            count: shown.count,
            error: shown.error.min(shown.count),
        });
        Sketch {
            sampled: self.sampled,
            executions: if self.executions.is_finite() { self.executions.max(0.0) } else { 0.0 },
            frequent: Frequent::of(self.values, frequent),
            reservoir: Reservoir::of(self.reservoir_of, self.reservoir.iter().map(Value::from)),
        }
    }

    /// Values that are frequent for certain.
    pub fn holding(&self) -> impl Iterator<Item = &FrequentValue> {
        self.frequent.iter().filter(|value| value.holds())
    }
}

#[cfg(test)]
mod tests;
