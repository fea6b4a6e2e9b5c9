//! New shards while they are filled: only the worker writes to them, and nothing
//! of their owner's acts on what it does.
//!
//! A trigger that refuses everybody else is on them from their first commit to
//! the swap. It is an internal one, as those of captures: who owns the table
//! cannot switch it off. Triggers of the owner's own would run with the
//! worker's rights if they were deferred, so each transaction of the worker
//! that writes looks for them first, under a lock that keeps more from coming.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Role;
use crate::catalog::reshard_rows;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Part;
use crate::model::reshard::Target;
use crate::operations::reshard::objects;
use crate::pg::error;
use crate::pg::spi;
use crate::pg::table_lock::Mode;
use crate::pg::table_state;
use crate::pg::table_state::TableState;
use crate::pg::table_state::Trigger;

const PREFIX: &str = "presplit_staging_";

/// Keeps everybody but the worker from writing to the new shards, which have
/// just been made.
///
/// # Errors
/// Errors of the statements are raised.
pub fn keep_out(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    for (table_oid, table) in change.made() {
        let name = format!("{PREFIX}{operation_id}");
        objects::run_above([&format!(
            "CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}
             FOR EACH STATEMENT EXECUTE FUNCTION presplit.refuse_write({operation_id})"
        )])?;
        let Some(oid) = reshard_rows::trigger(table_oid, &name)? else {
            return Err(altered(table, "It is another table than the one that was made."));
        };
        spi::run("UPDATE pg_catalog.pg_trigger SET tgisinternal = true WHERE oid = $1", &[oid.into()])?;
        objects::run_above([&format!("ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {name}")])?;
        jobs::record_object(operation_id, Role::Trigger, oid, &format!("{name} on {table}"))?;
    }
    Ok(())
}

/// Lets everybody write to a new shard again, which takes its place now.
///
/// # Errors
/// Errors of the statement are raised.
pub fn let_in(table: u32, table_name: &QualifiedName, operation_id: i64) -> Result<(), ErrorReport> {
    let name = format!("{PREFIX}{operation_id}");
    if let Some(oid) = reshard_rows::trigger(table, &name)? {
        objects::run_above([&format!("DROP TRIGGER {name} ON {table_name}")])?;
        jobs::forget_object(operation_id, oid)?;
    }
    Ok(())
}

/// Locks the new shards until the transaction ends, and makes sure that they
/// are what they were made as.
///
/// # Errors
/// If one has been altered.
pub fn check(change: &Change, mode: Mode) -> Result<Vec<TableState>, ErrorReport> {
    match &change.rebuilt {
        None => change.targets.iter().map(|target| check_one(target, mode)).collect(),
        Some(rebuilt) => check_whole(change, &rebuilt.partitions, mode),
    }
}

/// The same of a whole new table: its partitions are those that were made, and no others.
fn check_whole(change: &Change, parts: &[Part], mode: Mode) -> Result<Vec<TableState>, ErrorReport> {
    // Nobody but the worker uses it; so nothing is attached to it, nor detached.
    let of_root = if mode == Mode::RowExclusive { Mode::ShareRowExclusive } else { mode };
    let mut states = Vec::new();
    for target in &change.targets {
        states.push(check_one(target, of_root)?);
        let mut there = table_state::lock_partitions(Oid::from(target.oid.unwrap_or_default()), mode);
        let mut made: Vec<u32> = parts.iter().map(|part| part.oid).collect();
        there.sort_unstable();
        made.sort_unstable();
        if there != made {
            return Err(altered(&target.name, "It has other partitions than those that were made."));
        }
    }
    for part in parts {
        states.push(check_table(part.oid, &part.name, true, mode)?);
    }
    Ok(states)
}

/// The same of one of them.
///
/// # Errors
/// If it has been altered.
pub fn check_one(target: &Target, mode: Mode) -> Result<TableState, ErrorReport> {
    check_table(target.oid.unwrap_or_default(), &target.name, false, mode)
}

fn check_table(oid: u32, name: &QualifiedName, is_part: bool, mode: Mode) -> Result<TableState, ErrorReport> {
    let Some(state) = table_state::lock_and_look(Oid::from(oid), mode) else {
        return Err(altered(name, "It was dropped."));
    };
    let what = if state.name != *name {
        format!("It is called {} now.", state.name)
    } else if state.is_partition && !is_part {
        "It is a part of another table.".to_owned()
    } else if state.has_rules {
        "It has a rule.".to_owned()
    } else if state.has_row_security {
        "Row security is on.".to_owned()
    } else if let Some(trigger) = state.triggers.iter().find(|trigger| !is_ours(trigger)) {
        format!("It has trigger {}.", trigger.name)
    } else {
        return Ok(state);
    };
    Err(altered(name, &what))
}

/// Ours, or that of a deferrable key, which the shard replaced has too.
fn is_ours(trigger: &Trigger) -> bool {
    trigger.is_of_key || trigger.is_internal && !trigger.is_of_constraint && trigger.name.starts_with(PREFIX)
}

fn altered(table: &QualifiedName, what: &str) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("new shard \"{table:#}\" was altered while it was filled"),
        Some(what.to_owned()),
        Some("Leave it alone, and begin the operation anew with resume_operation().".to_owned()),
    )
}
