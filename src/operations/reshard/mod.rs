//! Resharding online: some shards of a table give way to others.

pub mod check;
pub mod indexing;
mod objects;
pub mod retire;
pub mod staging;
pub mod swap;
#[cfg(feature = "pg_test")]
mod tests;
