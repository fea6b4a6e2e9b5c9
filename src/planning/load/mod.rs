//! A parallel load: which rows wait for which shard, and which worker gets
//! them next.
//!
//! [`gather`] keeps raw rows per shard until they are worth a message, within
//! one budget for all shards. Not here: how rows are found and routed, and how
//! messages travel.

pub mod gather;
