//! Resharding: which shards come in the place of which.

pub mod rows;
