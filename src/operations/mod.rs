//! Second floor: plans carried out.
//!
//! Each step is thin: read what is written down, ask `planning` what to do, do
//! it through `pg` and `catalog`, write down what was done.

pub mod advise;
pub mod archive;
pub mod backup;
pub mod calibrate;
pub mod check;
pub mod convert;
pub mod foresee;
pub mod growth;
pub mod imported;
mod known;
pub mod later;
pub mod load;
pub mod load_choice;
pub mod load_workers;
pub mod progress;
pub mod provision;
pub mod rephrase;
pub mod restore;
mod rights;
pub mod script;
mod uncovered;
pub mod values;
pub mod what_if;
pub mod worker;
pub mod workload;
