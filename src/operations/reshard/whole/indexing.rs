//! The indexes of the new table, once its rows are there: on the table alone,
//! then on each shard in a transaction of its own, which attaches it.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::leaves;
use crate::catalog::whole_table;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::operations::reshard::objects;
use crate::operations::reshard::whole::Known;
use crate::operations::reshard::whole::staging::leaves_by_name;
use crate::pg::error;
use crate::planning::provision::staged;
use crate::planning::provision::staged::Index;

/// Does the next thing; false if nothing is left.
///
/// # Errors
/// Errors of the statements are raised.
pub fn next(change: &Change) -> Result<bool, ErrorReport> {
    let known = Known::read(change)?;
    for index in &known.indexes {
        let done = if index.on_shards { on_shards(&known, index)? } else { on_parts(&known, index)? };
        if done {
            return Ok(true);
        }
    }
    Ok(false)
}

fn on_shards(known: &Known<'_>, index: &Index) -> Result<bool, ErrorReport> {
    for (number, shard) in leaves_by_name(known.change).into_iter().enumerate() {
        let (name, text) = index.on_shard(&known.change.root, shard, number + 1);
        if leaves::find(&shard.sibling(&name))?.is_none() {
            objects::run_as(known.owner, &index.tablespace, [&text])?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn on_parts(known: &Known<'_>, index: &Index) -> Result<bool, ErrorReport> {
    let (root, staging) = (&known.change.root, &known.rebuilt.staging);
    let Some(of_table) = leaves::find(&staging.sibling(staged::new_name(&index.name)))? else {
        objects::run_as(known.owner, &index.tablespace, [&index.on_table(root, staging)])?;
        return Ok(true);
    };
    let Some(part) = whole_table::lacking(known.made(), of_table)? else { return Ok(false) };
    objects::run_as(known.owner, &index.tablespace, [&index.on_part(root, &part.table, part.is_leaf)])?;
    let shards = leaves_by_name(known.change).len();
    let others: Vec<String> = known
        .indexes
        .iter()
        .filter(|other| other.on_shards)
        .flat_map(|other| (1..=shards).map(|number| other.name_on_shard(number)))
        .collect();
    let made = whole_table::unattached(part.oid, &others)?.ok_or_else(|| {
        error::new(
            SqlState::UndefinedObject,
            format!("index \"{}\" was not created on shard {}", index.name, part.table),
            None,
            None,
        )
    })?;
    let attach = format!("ALTER INDEX {} ATTACH PARTITION {made}", part.parent_index);
    objects::run_as(known.owner, "", [&attach])?;
    Ok(true)
}
