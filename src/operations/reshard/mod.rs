//! Resharding online.

pub mod capture;
pub mod catch_up;
pub mod copy;
mod transfer;
pub mod verify;
