//! The new table and the shards ahead, under a name aside: empty, nobody
//! else's to write to, and left out of dumps.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Role;
use crate::catalog::leaves;
use crate::catalog::whole_table;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Part;
use crate::operations::reshard::keep;
use crate::operations::reshard::keep::Rows;
use crate::operations::reshard::objects;
use crate::operations::reshard::whole::Known;
use crate::pg::error;
use crate::planning::provision::staged;

/// Creates them; returns the change with what was made.
///
/// # Errors
/// If no shard is ahead of the table any more; errors of the statements are raised.
pub fn create(change: &Change, operation_id: i64) -> Result<Change, ErrorReport> {
    let known = Known::read(change)?;
    let layout = keep::layout(&known.rebuilding)?;
    let rows = Rows::read(change, layout)?;
    let kept =
        rows.kept(change, layout).ok_or_else(|| ErrorReport::from(rows.nothing_ahead(change, layout)))?;
    let ahead = kept.layout(layout)?;
    let staging = &known.rebuilt.staging;
    let mut statements = staged::create(&change.root, Some(&ahead), staging, &known.anatomy);
    if kept.ahead.is_empty() {
        statements.truncate(1);
    }
    let tablespace = known.anatomy.tablespace.as_deref().unwrap_or_default();
    objects::run_as(known.owner, tablespace, &statements)?;
    objects::run_as(known.owner, "", &whole_table::unproven(change.root_oid, staging)?)?;
    let root = leaves::find(staging)?.ok_or_else(|| {
        error::new(SqlState::UndefinedTable, format!("table \"{staging:#}\" was not created"), None, None)
    })?;
    let mut made = change.clone();
    for target in &mut made.targets {
        target.oid = Some(root.to_u32());
    }
    if let Some(rebuilt) = &mut made.rebuilt {
        let parts = whole_table::partitions(root)?.into_iter();
        rebuilt.partitions = parts
            .map(|part| Part {
                oid: part.oid,
                name: QualifiedName::new(&part.schema, &part.name),
                is_leaf: part.is_leaf,
                becomes: None,
            })
            .collect();
    }
    for (oid, name) in made.made() {
        objects::run_as(known.owner, "", &leaves::default_grants(oid.into())?)?;
        objects::run_above([&format!("ALTER EXTENSION pg_presplit ADD TABLE {name}")])?;
        jobs::record_object(operation_id, Role::Staging, oid.into(), &name.to_string())?;
    }
    Ok(made)
}
