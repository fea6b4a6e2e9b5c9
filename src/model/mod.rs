//! Ground floor: the words of the project and their laws.
//!
//! Here are plain values only: names, keys, bounds, layouts, the profile and
//! its parts, settings, reports. There is no I/O, no clock and no PostgreSQL
//! here, and no decision either: decisions are made in `planning`.
//!
//! Invariant: a value that exists is valid. Constructors check, fields of
//! checked types stay private.

pub mod access;
pub mod backlog;
pub mod bound;
pub mod dump;
pub mod finding;
pub mod job;
pub mod key;
pub mod layout;
mod layout_bounds;
pub mod load;
pub mod name;
pub mod operation;
pub mod profile;
mod profile_laws;
pub mod ranges;
pub mod remainders;
pub mod report;
pub mod reshard;
pub mod retention;
pub mod sample;
pub mod settings;
pub mod shadow;
pub mod signature;
pub mod size;
pub mod statistics;
pub mod utility;
pub mod what_if;
pub mod written_bound;
