//! The server that will hold the shards, as far as the cost model asks.
//!
//! Cores, memory and version stand in the input itself; here are settings of
//! the server that decide what a layout gains. Not here: what they cost
//! (`cost`) or limit (`limits`).

/// Settings of the server that the cost model depends on. The default is a
/// server as it is installed, but for parallel plans, which it leaves out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerFacts {
    /// `enable_partitionwise_join`.
    pub partitionwise_join: bool,
    /// `enable_partitionwise_aggregate`.
    pub partitionwise_aggregate: bool,
    /// `work_mem`: what a sort may take.
    pub work_mem_bytes: f64,
    /// `work_mem` × `hash_mem_multiplier`: what a hash table may take.
    pub hash_mem_bytes: f64,
    /// Locks that all transactions can hold together:
    /// `max_locks_per_transaction` × (`max_connections` + `max_prepared_transactions`).
    pub lock_slots: f64,
    /// `max_connections`: transactions that may hold locks at a time.
    pub connections: f64,
    /// `max_parallel_workers_per_gather`, where `max_parallel_workers` allows it.
    pub parallel_workers: u32,
}

impl ServerFacts {
    /// The settings that let joins and aggregates go shard by shard and are off.
    #[must_use]
    pub fn off(&self) -> Vec<&'static str> {
        let settings = [
            (self.partitionwise_join, "enable_partitionwise_join"),
            (self.partitionwise_aggregate, "enable_partitionwise_aggregate"),
        ];
        settings.into_iter().filter(|(on, _)| !on).map(|(_, name)| name).collect()
    }
}

impl Default for ServerFacts {
    fn default() -> Self {
        const WORK_MEM: f64 = 4.0 * 1024.0 * 1024.0;
        Self {
            partitionwise_join: false,
            partitionwise_aggregate: false,
            work_mem_bytes: WORK_MEM,
            hash_mem_bytes: 2.0 * WORK_MEM,
            lock_slots: 6400.0,
            connections: 100.0,
            parallel_workers: 0,
        }
    }
}
