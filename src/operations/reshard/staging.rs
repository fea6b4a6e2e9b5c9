//! The new tables.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Role;
use crate::model::reshard::Change;
use crate::pg::spi;

/// Creates them.
pub fn create(change: &Change, operation_id: i64) -> Result<Change, ErrorReport> {
    let mut change = change.clone();
    for target in &mut change.targets {
        let source = &change.sources[target.like];
        spi::run(&format!("CREATE TABLE {} (LIKE {} INCLUDING ALL)", target.name, source.name), &[])?;
        spi::run(&format!("ALTER EXTENSION pg_presplit ADD TABLE {}", target.name), &[])?;
        let name = target.name.to_string();
        let oid = spi::one::<Oid>("SELECT $1::regclass::oid", &[name.as_str().into()])?;
        target.oid = oid.map(Oid::to_u32);
        if let Some(oid) = oid {
            jobs::record_object(operation_id, Role::Staging, oid, &name)?;
        }
    }
    Ok(change)
}
