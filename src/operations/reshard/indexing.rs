//! Indexes, constraints and statistics of the staging tables, once their rows
//! are there: one in each transaction.
//!
//! What is there already is passed over, so whoever goes on after a crash
//! builds what is missing. In the end a staging table has an index for each of
//! the shard that it is like, and so for each of the sharded table: attaching
//! it builds nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::leaves;
use crate::catalog::leaves::Leaf;
use crate::model::reshard::Change;
use crate::model::reshard::Target;
use crate::operations::reshard::objects;
use crate::operations::reshard::whole;

thread_local! {
    /// Staging tables that this process has analyzed: once is enough, twice does no harm.
    static ANALYZED: RefCell<BTreeSet<(i64, u32)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Does the next thing; false if nothing is left.
///
/// # Errors
/// Errors of the statements are raised.
pub fn next(change: &Change, operation_id: i64) -> Result<bool, ErrorReport> {
    if change.rebuilt.is_some() && whole::indexing::next(change)? {
        return Ok(true);
    }
    // What was made is empty.
    if change.keeps_rows() {
        return Ok(false);
    }
    for (at, target) in change.targets.iter().enumerate() {
        let leaf = leaves::of_target(change, at)?;
        let owner = Oid::from(leaf.owner);
        // A shard that comes back has kept its own.
        if change.rebuilt.is_none() && change.undo.is_none() && make(&leaf, target)? {
            return Ok(true);
        }
        let table = (operation_id, target.oid.unwrap_or_default());
        if ANALYZED.with_borrow(|analyzed| !analyzed.contains(&table)) {
            objects::run_as(owner, "", [&format!("ANALYZE {}", target.name)])?;
            ANALYZED.with_borrow_mut(|analyzed| analyzed.insert(table));
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes an index or a statistics object that a target lacks; false if it lacks none.
fn make(leaf: &Leaf, target: &Target) -> Result<bool, ErrorReport> {
    let owner = Oid::from(leaf.owner);
    for index in &leaf.indexes {
        if leaves::find(&target.name.sibling(&index.name))?.is_none() {
            objects::run_as(owner, &index.tablespace, &index.statements)?;
            return Ok(true);
        }
    }
    for statistics in &leaf.statistics {
        if !leaves::has_statistics(&statistics.schema, &statistics.name)? {
            objects::run_as(owner, "", &statistics.statements)?;
            objects::run_above(&statistics.owner)?;
            return Ok(true);
        }
    }
    Ok(false)
}
