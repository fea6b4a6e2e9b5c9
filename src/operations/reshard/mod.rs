//! Resharding online.

pub mod capture;
pub mod catch_up;
pub mod copy;
#[cfg(feature = "pg_test")]
mod data_tests;
mod transfer;
pub mod verify;
