//! Workers that load the shards of one COPY, each in a transaction of its own.
//!
//! ```text
//!  leader (the session)                          worker
//!  source ─ rows ─ route ─→ crew ══ queue ══→ worker: COPY … FREEZE into staging tables
//!                            ↑  ══ answers ══     commits when it is told to
//!                            └ then the swap
//! ```
//!
//! [`source`] reads what the client, a file or a program sends; [`target`] is
//! the table and its COPY; [`route`] finds the shard of a key; [`crew`] starts
//! workers and carries messages; [`worker`] is what runs in them. Which rows go
//! where and when is decided one floor up.
//!
//! Invariants: workers are members of the leader's lock group, so that no lock
//! of either is in the other's way and the deadlock detector sees them as one.
//! The leader never waits but for its latch. A worker whose leader is gone
//! finds its queue detached and ends; it commits only on an order.

pub mod attempt;
pub mod crew;
pub mod pool;
mod quick;
pub mod reason;
pub mod route;
mod server;
mod shared;
pub mod source;
pub mod target;
mod uncounted;
pub mod worker;
