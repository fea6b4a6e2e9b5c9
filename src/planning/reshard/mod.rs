//! Resharding: which shards come in the place of which.
//!
//! ```text
//! arguments ─ literal → Cuts ┐
//! bounds of the shards ──────┼→ split │ merge → bounds of the new shards → steps
//! order of PostgreSQL ───────┘
//! ```
//!
//! Here is what a person may ask for and what comes of it; not here: live facts
//! (`operations::reshard::plan`) and how shards are replaced
//! (`operations::reshard`). Invariant: the new bounds accept together exactly
//! what the old ones do, each value once. Which value is before which only
//! PostgreSQL knows: it is asked beforehand, for all values at once
//! ([`order::KeyOrder`]).

pub mod error;
pub mod kept_steps;
pub mod literal;
pub mod merge;
pub mod naming;
pub mod order;
pub mod round;
pub mod rows;
pub mod size;
pub mod split;
pub mod steps;

#[cfg(test)]
mod laws;

pub use error::ReshardError;
pub use literal::Cuts;
pub use naming::Naming;
pub use order::KeyOrder;

use crate::model::bound::Bound;
use crate::model::name::QualifiedName;

/// A partition of the table whose shards are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub name: QualifiedName,
    pub bound: Bound,
}

/// How the shard's table is divided, by the bounds of its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Range,
    List,
    Hash,
}
