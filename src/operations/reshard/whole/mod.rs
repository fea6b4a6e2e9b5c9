//! A whole table gives way to another one: what is different from shards that
//! give way to shards.
//!
//! ```text
//!  staging  ─→ the new table under a name aside, with all its shards, empty
//!  indexing ─→ its indexes, shard by shard
//!  swap     ─→ the old table goes aside, the new one takes its name
//! ```
//!
//! Between them the engine does what it always does: rows go into the new table
//! itself, and the server routes them.

pub mod aside;
pub mod indexing;
pub mod staging;
pub mod swap;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::leaves;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Rebuilt;
use crate::operations::convert;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::rebuild::Rebuilding;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::staged;
use crate::planning::provision::staged::Index;

/// A change with all that is known of its table now.
pub struct Known<'a> {
    pub change: &'a Change,
    pub rebuilt: &'a Rebuilt,
    pub rebuilding: Rebuilding,
    pub anatomy: Anatomy,
    pub indexes: Vec<Index>,
    pub owner: Oid,
}

impl<'a> Known<'a> {
    /// # Errors
    /// If the table is not the one that it was.
    pub fn read(change: &'a Change) -> Result<Self, ErrorReport> {
        let Some(rebuilt) = &change.rebuilt else {
            return Err(altered(change, "The change is not one of a whole table.".to_owned()));
        };
        if leaves::find(&change.root)? != Some(Oid::from(change.root_oid)) {
            return Err(altered(change, "It has another name, or is gone.".to_owned()));
        }
        let rebuilding = rebuild::read(change)?;
        let anatomy = with_pinned_search_path(|| convert::dissect(&change.root))?;
        let read = rebuild::read_definitions(&anatomy)?;
        let indexes = staged::indexes(rebuilding.armed().as_ref(), &anatomy, &read)?;
        Ok(Self { change, rebuilt, rebuilding, anatomy, indexes, owner: leaves::owner(change.root_oid)? })
    }

    /// The new table.
    pub fn made(&self) -> Oid {
        Oid::from(self.change.targets.first().and_then(|target| target.oid).unwrap_or_default())
    }
}

/// The error of a table that is no more what it was.
pub fn altered(change: &Change, detail: String) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("table \"{:#}\" was altered while the operation was under way", change.root),
        Some(detail),
        Some("Begin it anew with resume_operation().".to_owned()),
    )
}
