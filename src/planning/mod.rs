//! First floor: facts in, decisions out.
//!
//! ```text
//! Profile ─→ workload ─┐
//!    └─────→ forecast ─┴→ proposal ─→ provision ─→ (restore, load, reshard)
//! ```
//!
//! `backup` makes a profile from a dump, `routing` finds rows in what `COPY`
//! reads. `reshard` says which shards come in the place of which.
//!
//! Pure functions: deterministic, bounded, no clock, no I/O, no PostgreSQL.
//! Whatever an algorithm needs of the outside comes in as a value.

pub mod backup;
pub mod forecast;
pub mod load;
pub mod proposal;
pub mod provision;
pub mod reshard;
pub mod routing;
pub mod workload;
