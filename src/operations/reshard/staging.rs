//! The new shards as staging tables: under their final names, empty, with all
//! that must be there before rows come.
//!
//! Each belongs to the owner of the shard that it is like, and nobody else has
//! rights on it until the swap. It is a member of the extension, so that a dump
//! leaves it out, and the check of its bound keeps rows out that are not its own.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Role;
use crate::catalog::leaves;
use crate::catalog::leaves::Leaf;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::operations::reshard::adoption;
use crate::operations::reshard::keep;
use crate::operations::reshard::objects;
use crate::operations::reshard::objects::BOUND;
use crate::operations::reshard::whole;
use crate::pg::bound_check;
use crate::pg::bound_check::Says;
use crate::pg::error;

/// Creates the staging tables of a change; returns it with their oids.
///
/// # Errors
/// If one cannot be made; errors of the statements are raised.
pub fn create(change: &Change, operation_id: i64) -> Result<Change, ErrorReport> {
    if change.undo.is_some() {
        adoption::adopt(change, operation_id)?;
        return Ok(change.clone());
    }
    if change.keeps_rows() {
        return keep::staging::create(change, operation_id);
    }
    if change.rebuilt.is_some() {
        return whole::staging::create(change, operation_id);
    }
    let mut made = change.clone();
    for at in 0..change.targets.len() {
        let leaf = leaves::of_target(change, at)?;
        let oid = create_one(change, at, &leaf)?;
        jobs::record_object(operation_id, Role::Staging, oid, &change.targets[at].name.to_string())?;
        made.targets[at].oid = Some(oid.to_u32());
    }
    Ok(made)
}

fn create_one(change: &Change, at: usize, leaf: &Leaf) -> Result<Oid, ErrorReport> {
    let target = &change.targets[at];
    let owner = Oid::from(leaf.owner);
    objects::run_as(owner, &leaf.tablespace, [&leaf.create])?;
    let oid = leaves::find(&target.name)?.ok_or_else(|| {
        error::new(
            SqlState::UndefinedTable,
            format!("table \"{:#}\" was not created", target.name),
            None,
            None,
        )
    })?;
    objects::run_as(owner, &leaf.tablespace, leaves::default_grants(oid)?.iter().chain(&leaf.shape))?;
    objects::run_above([&format!("ALTER EXTENSION pg_presplit ADD TABLE {}", target.name)])?;
    let (says, bounds) = accepted(change, at);
    objects::as_owner(owner, "", || {
        bound_check::add(Oid::from(change.parent_oid), oid, BOUND, &bounds, says)
    })?;
    for index in leaf.indexes.iter().filter(|index| index.identity).take(1) {
        objects::run_as(owner, &index.tablespace, &index.statements)?;
    }
    Ok(oid)
}

/// What the check of a target says: of a DEFAULT, that its rows belong to none
/// of the others that come with it. To those that stay no row of its source belongs.
pub fn accepted(change: &Change, at: usize) -> (Says, Vec<&str>) {
    let target = &change.targets[at];
    if !is_default(&target.bound) {
        return (Says::Within, vec![&target.bound]);
    }
    let others = change.targets.iter().filter(|other| !is_default(&other.bound));
    (Says::Outside, others.map(|other| other.bound.as_str()).collect())
}

/// Whether a bound is that of a partition that takes what no other accepts.
#[must_use]
pub fn is_default(bound: &str) -> bool {
    bound.trim().eq_ignore_ascii_case("default")
}
