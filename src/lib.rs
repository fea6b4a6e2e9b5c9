//! pg_presplit
#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod model;
#[forbid(unsafe_code)]
pub mod planning;
