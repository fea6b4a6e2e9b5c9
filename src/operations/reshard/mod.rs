//! Resharding carried out: live facts become a change, which is checked and
//! then recorded as an operation.

pub mod check;
pub mod control;
pub mod plan;
mod points;
pub mod start;
