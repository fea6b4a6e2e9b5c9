//! pg_presplit
#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod model;
#[forbid(unsafe_code)]
pub mod planning;

#[cfg(feature = "server")]
#[allow(unsafe_code, reason = "the one room that talks to PostgreSQL's C API")]
mod pg;

#[cfg(feature = "server")]
pgrx::pg_module_magic!(name, version);
