//! What is written down, and what PostgreSQL's own catalogs say: rows on one
//! side, values of `model` and `planning` on the other.
//!
//! Our tables are read and written as the extension's owner, with fixed
//! statements; the caller's rights are checked one floor up. User relations
//! are read with the caller's own rights.

pub mod arming;
pub mod calibration;
pub mod counters;
pub mod declared;
pub mod facets;
pub mod history;
pub mod job_objects;
pub mod jobs;
pub mod kept_table;
pub mod layouts;
pub mod leaves;
pub mod operations;
pub mod partitions;
pub mod places;
pub mod profiles;
pub mod proposals;
pub mod readings;
pub mod relations;
pub mod reshard_rows;
pub mod retired;
pub mod samples;
pub mod settings;
pub mod staging;
pub mod statistics;
pub mod succession;
pub mod whole_table;
