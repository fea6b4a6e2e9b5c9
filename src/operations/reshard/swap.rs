//! The swap.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::model::reshard::Change;
use crate::pg::spi;

/// Swaps.
pub fn run(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    for source in &change.sources {
        spi::run(&format!("ALTER TABLE {} DETACH PARTITION {}", change.parent, source.name), &[])?;
    }
    for target in &change.targets {
        spi::run(&format!("ALTER EXTENSION pg_presplit DROP TABLE {}", target.name), &[])?;
        let sql = format!("ALTER TABLE {} ATTACH PARTITION {} {}", change.parent, target.name, target.bound);
        spi::run(&sql, &[])?;
        jobs::forget_object(operation_id, Oid::from(target.oid.unwrap_or(0)))?;
    }
    Ok(())
}
