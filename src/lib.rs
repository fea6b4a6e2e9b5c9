//! # pg_presplit
//!
//! A PostgreSQL extension that decides how a table should be sharded *before*
//! its data is restored, creates those shards (declarative partitions), lets a
//! stock `pg_restore` load into them, and watches over them afterwards.
//!
//! ## Bird's eye
//!
//! ```text
//!         api            SQL functions: parse, check privilege, call down, shape rows
//!          │  ╲
//!     operations ╲       carry out: advise, provision, restore hook, checks, worker
//!          │  ╲   ╲
//!          │   catalog   what is written down: rows ↔ values
//!          │  ╱   │
//!      planning   pg     facts in, decisions out │ PostgreSQL made safe, the only unsafe
//!           ╲    ╱
//!           model        words and their laws
//! ```
//!
//! Arrows point down only; `tests/architecture.rs` holds the table. `model` and
//! `planning` are the pure face: they compile and are tested without
//! PostgreSQL (`cargo test --no-default-features`). The server rooms exist only
//! with a `pg15` … `pg18` feature.
//!
//! ## The flow
//!
//! [`model::profile::Profile`] (facts of some tables and their statements, live
//! from a file, or of a dump by [`planning::backup`]; statements also from
//! recorded readings, a log, or declared) → analysis of the statements by PostgreSQL itself
//! (`pg::analyze`, [`planning::workload`]) and forecast of growth
//! ([`planning::forecast`], from sizes that `catalog::history` recorded) →
//! [`planning::proposal`] (with constants that `operations::calibrate` may have
//! measured; a
//! [`model::layout::Layout`] with its reasons, stored), which PostgreSQL's
//! planner is asked about (`pg::what_if`, `operations::what_if`) → arming
//! (`operations::provision`) → the restore hook (`pg::hook` shows statements,
//! `operations::restore` asks [`planning::provision`], the hook edits the parse
//! tree) → `check_shards`.
//!
//! ## Entry points
//!
//! - `_PG_init` below: settings, hook, launcher.
//! - `api`: every SQL function.
//! - `pg::hook::process_utility`: every utility statement of a session.
//! - `pg::copy::load`: every COPY into a sharded table.
//! - `pg::sample::executor_start`: every execution, of which it may sample values.
//! - `pg::unseen::executor_start`: every execution, which it refuses if its snapshot misses moved rows.
//! - `pg::worker`: the launcher and the workers of single databases.
//!
//! ## Invariants
//!
//! - Threads never call PostgreSQL; `unsafe` is in `pg` alone.
//! - Our tables are touched as the extension's owner with fixed statements
//!   only; everything of a user's runs with the user's own rights.
//! - A statement about a table that is not armed is never changed. An armed
//!   table never comes into being whole: the hook rewrites, and an event
//!   trigger that does not need the library refuses what the hook missed.
//! - `check_restore` and the hook ask the same function, so what was foretold
//!   is what happens.
//! - The same facts yield the same proposal, byte for byte.
//!
//! ## Cross-cutting
//!
//! - *Errors*: pure error types implement [`model::report::Report`]; `pg::error`
//!   turns them into PostgreSQL errors.
//! - *Cancellation*: loops of the server rooms check for interrupts;
//!   subtransactions let a cancel through.
//! - *Crash*: whatever a statement does for an armed table is in that
//!   statement's transaction, so a crash leaves nothing half made.
//! - *Privilege*: EXECUTE is revoked from PUBLIC on what changes state; verbs on
//!   a table need its ownership, arming the database owner's role.
#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod model;
#[forbid(unsafe_code)]
pub mod planning;

#[cfg(feature = "server")]
mod api;
#[cfg(feature = "server")]
mod catalog;
#[cfg(feature = "server")]
mod operations;
#[cfg(feature = "server")]
#[allow(unsafe_code, reason = "the one room that talks to PostgreSQL's C API")]
mod pg;

#[cfg(feature = "server")]
pgrx::pg_module_magic!(name, version);

#[cfg(feature = "server")]
#[allow(non_snake_case)]
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    pg::error::without_backtraces();
    pg::guc::declare();
    operations::restore::install();
    operations::load_workers::install();
    pg::sample::install();
    pg::operation::install();
    pg::unseen::install();
    operations::reshard::register();
    operations::worker::register();
}

/// What `cargo pgrx test` wants at the root of the crate.
#[cfg(all(test, feature = "pg_test"))]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec!["shared_preload_libraries = 'pg_presplit'"]
    }
}
