//! Resharding online: some shards of a table give way to others while people
//! read and write it.
//!
//! ```text
//!  start ──→ worker: run ──→ steps: staging, capture, copy, indexing, catch_up, verify
//!                     │                                        │
//!  control: wishes ──→┤                                     cutover ─→ swap, later retire
//!                     └→ rollback (cancelled, failed): whatever the ledger has is dropped
//! ```
//!
//! Invariants: each step is a short transaction that writes down in itself what
//! it has done, so a crash at any moment leaves a state from which the next
//! worker goes on. The sources are the authority until the swap commits. The
//! worker gives way to everybody: it never ends anybody's session, and no one
//! waits for it longer than the cutover's budget.

mod adoption;
mod altered;
mod behind;
pub mod capture;
pub mod catch_up;
pub mod check;
pub mod control;
pub mod copy;
mod cutover;
#[cfg(feature = "pg_test")]
mod data_tests;
mod guard;
pub mod indexing;
pub mod keep;
mod liveness;
mod objects;
mod offline;
mod pace;
pub mod plan;
mod points;
pub mod rebuild;
pub mod retire;
mod rollback;
mod run;
mod snapshots;
pub mod staging;
pub mod start;
mod steps;
pub mod swap;
#[cfg(feature = "pg_test")]
mod tests;
mod transfer;
pub mod undo;
pub mod verify;
mod whole;

pub use run::chore;
pub use run::register;
