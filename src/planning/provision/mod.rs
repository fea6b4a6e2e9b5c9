//! Provision: from a layout to the shards, before the data comes.
//!
//! `ddl` writes the statements that create a sharded table's shards; `rewrite`
//! decides what becomes of each statement of a restore that concerns an armed
//! table. Both only decide: `operations` and `pg::hook` carry out.

pub mod ddl;
pub mod rewrite;
#[cfg(test)]
mod rewrite_tests;
