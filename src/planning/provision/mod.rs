//! Provision: from a layout to the shards, before the data comes.
//!
//! `ddl` writes the statements that create a sharded table's shards; `rewrite`
//! decides what becomes of each statement of a restore that concerns an armed
//! table; `rebuild` makes an empty table that is here anew, `blank` one that is
//! known from a profile only, `staged` one that has rows and is in use, and `kept` says what such a one becomes as
//! the first shard of itself; `rephrase` writes down what the hook would run,
//! on the text that `token` takes apart. All only decide: `operations` and `pg::hook`
//! carry out.

pub mod blank;
pub mod ddl;
pub mod kept;
#[cfg(test)]
mod parts_tests;
pub mod rebuild;
#[cfg(test)]
mod rebuild_tests;
pub mod refusal;
pub mod rephrase;
#[cfg(test)]
mod rephrase_tests;
pub mod rewrite;
#[cfg(test)]
mod rewrite_tests;
pub mod staged;
pub mod token;
