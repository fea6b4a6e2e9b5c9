//! A profile from a dump alone.
//!
//! ```text
//! text ─→ reader ─┬→ statements ─→ (the server's parser) ─→ draft ─────────┐
//!                 └→ rows ─→ collect: reservoir ─→ order, statistics, size ─┴→ build ─→ Profile
//! ```
//!
//! The text streams by once, whatever its size; memory is bounded by what the
//! schema and the samples of a few open tables take. Nothing of the dump is
//! run: statements are read as parse trees, and values are compared by this
//! room or by the comparison of a type of `pg_catalog`.

pub mod build;
pub mod collect;
pub mod draft;
pub mod insert;
pub mod order;
pub mod quotes;
pub mod reader;
pub mod reservoir;
pub mod restored;
pub mod row;
pub mod signatures;
pub mod size;
pub mod statistics;

#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod tests;
