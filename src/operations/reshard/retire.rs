//! Shards that were replaced: dropped when their time is over, but nothing of
//! others with them.

use pgrx::log;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::retired;
use crate::catalog::retired::Expired;
use crate::operations::reshard::objects;
use crate::pg::context::in_subtransaction;
use crate::pg::error;
use crate::pg::table_lock;
use crate::pg::table_lock::Mode;

/// Shards that are dropped in one turn: each keeps its lock until the turn ends.
const AT_ONCE: usize = 8;

/// Drops the shards whose time is over. One that cannot be dropped now, because
/// somebody reads it or something of a user's needs it, is tried again later.
///
/// # Errors
/// If the list cannot be read.
pub fn expired() -> Result<(), ErrorReport> {
    for shard in retired::expired()?.iter().take(AT_ONCE) {
        let work = || drop_one(shard).unwrap_or_else(|failed| error::raise(failed));
        if let Err(caught) = in_subtransaction(work) {
            log!(
                "pg_presplit: could not drop the replaced shard with OID {}: {}",
                shard.shard,
                caught.message
            );
            retired::postpone(shard.shard)?;
        }
    }
    Ok(())
}

fn drop_one(shard: &Expired) -> Result<(), ErrorReport> {
    if let Some(table) = &shard.table {
        // From now on nobody puts a table of his own into it.
        table_lock::lock(Oid::from(shard.shard), Mode::AccessExclusive);
        objects::run_above(&retired::release_statements(shard.shard)?)?;
        let leave =
            shard.members.iter().map(|table| format!("ALTER EXTENSION pg_presplit DROP TABLE {table}"));
        let statements: Vec<String> = leave.chain([format!("DROP TABLE {table}")]).collect();
        objects::run_above(&statements)?;
    }
    retired::forget(shard.shard)
}
