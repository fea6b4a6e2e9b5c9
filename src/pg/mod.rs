//! PostgreSQL made safe: the only room with `unsafe`.
//!
//! It knows names, reports and the other words of `model`, but nothing of
//! sharding: what is decided comes from above as values. Every `unsafe` block
//! says which obligation it meets.

pub mod advisory;
pub mod analyze;
pub mod announced;
pub mod array;
pub mod bound_check;
pub mod capture;
pub mod clock;
pub mod context;
pub mod copy;
pub mod definition;
pub mod disk;
pub mod document;
pub mod edit;
pub mod encoding;
pub mod error;
pub mod guc;
pub mod hash;
pub mod hook;
pub mod index_build;
pub mod key_value;
pub mod load_worker;
pub mod lone_call;
pub mod moment;
pub mod operation;
pub mod operation_worker;
pub mod parse;
pub mod rows;
pub mod sample;
pub mod server;
pub mod spi;
pub mod staging;
pub mod table_lock;
pub mod table_state;
pub mod threads;
pub mod transaction;
pub mod unseen;
pub mod utility;
pub mod vacuum;
pub mod what_if;
pub mod worker;
