//! Shards that were replaced and are to come back: filled where they are, with
//! the indexes and names that they have kept.
//!
//! While they are filled they are what staging tables are: nobody else writes
//! to them, nothing of their owner's acts on the rows, and the check of their
//! bound keeps out what is not theirs. Given up, they are replaced shards as before.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Job;
use crate::catalog::jobs::Object;
use crate::catalog::jobs::Role;
use crate::catalog::leaves;
use crate::catalog::leaves::Leaf;
use crate::catalog::leaves::Part;
use crate::catalog::retired;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::operations::reshard::capture;
use crate::operations::reshard::objects;
use crate::operations::reshard::objects::BOUND;
use crate::operations::reshard::staging;
use crate::pg::bound_check;
use crate::pg::error;
use crate::pg::table_lock::Mode;
use crate::pg::table_state;

/// Makes the targets of an undo ready to be filled.
///
/// # Errors
/// If one is no more what it was; errors of the statements are raised.
pub fn adopt(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    for (at, target) in change.targets.iter().enumerate() {
        let oid = Oid::from(target.oid.unwrap_or_default());
        let state = table_state::lock_and_look(oid, Mode::AccessExclusive)
            .filter(|state| state.name == target.name && !state.is_partition);
        let Some(state) = state else {
            return Err(error::new(
                SqlState::ObjectNotInPrerequisiteState,
                format!("replaced shard \"{:#}\" was altered", target.name),
                Some("It was dropped or renamed, or is a part of a table.".to_owned()),
                None,
            ));
        };
        objects::run_above(&leaves::strip(oid.to_u32())?)?;
        if !change.is_captured() {
            objects::run_as(state.owner, "", [&format!("TRUNCATE TABLE ONLY {}", target.name)])?;
        }
        let (says, bounds) = staging::accepted(change, at);
        objects::as_owner(state.owner, "", || {
            bound_check::add(Oid::from(change.parent_oid), oid, BOUND, &bounds, says)
        })?;
        jobs::record_object(operation_id, Role::Retired, oid, &target.name.to_string())?;
    }
    Ok(())
}

/// Makes a target of an undo that is given up a replaced shard again.
///
/// # Errors
/// Errors of the statements are raised.
pub fn give_back(change: &Change, object: &Object) -> Result<(), ErrorReport> {
    let place = change.targets.iter().position(|target| target.oid == Some(object.object));
    let (Some(at), Some(undo)) = (place, &change.undo) else { return Ok(()) };
    let target = &change.targets[at];
    let oid = Oid::from(object.object);
    if table_state::lock_and_look(oid, Mode::AccessExclusive).is_none_or(|state| state.name != target.name) {
        return Ok(());
    }
    bound_check::drop(oid, BOUND)?;
    if leaves::find(&change.sources[target.like].name)?.is_some() {
        put_on(&leaves::of_target(change, at)?, |part| part == Part::Own)?;
    }
    retired::block_writes(&target.name.to_string(), change.root_oid, undo.operation_id)
}

/// Puts on a shard what would have acted on the rows that came.
///
/// # Errors
/// Errors of the statements are raised.
pub fn put_on(leaf: &Leaf, wanted: impl Fn(Part) -> bool) -> Result<(), ErrorReport> {
    for act in leaf.after.iter().filter(|act| wanted(act.part)) {
        match act.role {
            Some(role) => objects::run_as(Oid::from(role), "", [&act.text])?,
            None => objects::run_above([&act.text])?,
        }
    }
    Ok(())
}

/// Ends the capture that an undo has used up without coming to its end: what
/// is written down since no more leads from the old shards to the new ones.
///
/// # Errors
/// Lock time-outs are raised.
pub fn give_up_capture(job: &Job, has_failed: bool) -> Result<(), ErrorReport> {
    match &job.change.undo {
        Some(undo) if !undo.captured || undo.emptied || has_failed => {
            capture::remove_reverse(undo.operation_id)
        }
        _ => Ok(()),
    }
}
