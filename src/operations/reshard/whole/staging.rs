//! The new table, with all its shards, under a name aside: empty, nobody else's
//! to write to, and left out of dumps.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Role;
use crate::catalog::leaves;
use crate::catalog::whole_table;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Part;
use crate::operations::reshard::objects;
use crate::operations::reshard::whole::Known;
use crate::pg::error;
use crate::planning::provision::staged;

/// Creates it; returns the change with what was made.
///
/// # Errors
/// Errors of the statements are raised.
pub fn create(change: &Change, operation_id: i64) -> Result<Change, ErrorReport> {
    let known = Known::read(change)?;
    let staging = &known.rebuilt.staging;
    let layout = known.rebuilding.staged_layout();
    let tablespace = known.anatomy.tablespace.as_deref().unwrap_or_default();
    let made = staged::create(&change.root, layout.as_ref(), staging, &known.anatomy);
    objects::run_as(known.owner, tablespace, &made)?;
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
                becomes: known.rebuilding.becomes(&part.name),
            })
            .collect();
    }
    for (oid, name) in made.made() {
        objects::run_as(known.owner, "", &leaves::default_grants(oid.into())?)?;
        objects::run_above([&format!("ALTER EXTENSION pg_presplit ADD TABLE {name}")])?;
        jobs::record_object(operation_id, Role::Staging, oid.into(), &name.to_string())?;
    }
    let identity = known.indexes.iter().find(|index| index.identifies(&change.identity));
    match identity {
        None => {}
        Some(index) if index.on_shards => {
            for (number, shard) in leaves_by_name(&made).into_iter().enumerate() {
                let (_, text) = index.on_shard(&change.root, shard, number + 1);
                objects::run_as(known.owner, &index.tablespace, [&text])?;
            }
        }
        Some(index) => {
            objects::run_as(known.owner, &index.tablespace, [&index.everywhere(&change.root, staging)])?;
        }
    }
    Ok(made)
}

/// The shards in the order in which a restore numbers them.
pub fn leaves_by_name(change: &Change) -> Vec<&QualifiedName> {
    let parts = change.rebuilt.iter().flat_map(|rebuilt| &rebuilt.partitions);
    let mut names: Vec<&QualifiedName> = parts.filter(|part| part.is_leaf).map(|part| &part.name).collect();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    names
}
