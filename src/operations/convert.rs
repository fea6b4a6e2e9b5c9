//! An empty table that exists becomes a sharded one, in the caller's transaction.
//!
//! The table is recreated by the statements of `planning::provision::rebuild`,
//! which are run here and printed by `proposal_ddl`. What cannot be carried
//! over is refused by name beforehand; nothing is lost silently.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::operations::provision::check_empty;
use crate::operations::provision::server_major;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::hook;
use crate::pg::spi;
use crate::pg::utility;
use crate::planning::proposal::ProposalError;
use crate::planning::provision::rebuild;
use crate::planning::provision::rebuild::Anatomy;
use crate::planning::provision::rewrite::Armed;

/// Shards an empty table.
///
/// # Errors
/// 0A000 naming every object that could not be carried over; refusals of the
/// rewrite rules; errors of the statements themselves are raised.
pub fn shard_empty_table(name: &QualifiedName, layout: &Layout, stored: &Stored) -> Result<(), ErrorReport> {
    with_pinned_search_path(|| {
        hook::bypass(|| {
            check_isolation()?;
            spi::run(&format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"), &[])?;
            check_still_whole(name)?;
            // Whoever had put rows in has committed them or not by now.
            check_empty(name)?;
            let anatomy = dissect(name)?;
            if !anatomy.obstacles.is_empty() {
                return Err(error::new(
                    SqlState::FeatureNotSupported,
                    format!("cannot shard table \"{name:#}\" in place"),
                    Some(format!("These would be lost: {}.", anatomy.obstacles.join(", "))),
                    Some("Drop them first, or shard the table while it is restored.".to_owned()),
                ));
            }
            let statements = statements(name, layout, stored, &anatomy)?;
            // The table is in the database's own tablespace, or it would have been refused.
            with_settings(&[(c"default_tablespace", c"")], || {
                for statement in &statements {
                    pgrx::check_for_interrupts!();
                    spi::run(statement, &[])?;
                }
                Ok(())
            })
        })
    })
}

/// Somebody else may have divided it while this waited for the lock.
fn check_still_whole(name: &QualifiedName) -> Result<(), ErrorReport> {
    if relations::find(name)?.is_none_or(|live| !live.is_partitioned()) {
        return Ok(());
    }
    Err(error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("table \"{name:#}\" was partitioned in the meantime"),
        None,
        Some("Call create_shards() again: a table that has the proposed shards is passed over.".to_owned()),
    ))
}

/// A snapshot from before the lock would show the table as it was then: an
/// index that was made meanwhile would be lost.
fn check_isolation() -> Result<(), ErrorReport> {
    let level = guc::core_text(c"transaction_isolation");
    if level.starts_with("read ") {
        return Ok(());
    }
    Err(error::new(
        SqlState::ActiveSqlTransaction,
        format!("create_shards() cannot divide a table that is here in a transaction of isolation {level}"),
        Some("It must see what others have changed until it has locked the table.".to_owned()),
        Some("Call it in a READ COMMITTED transaction.".to_owned()),
    ))
}

/// The statements that would shard a table that is here, to be run by hand:
/// they stop at once if the table has rows or what would be lost.
pub fn printed(name: &QualifiedName, layout: &Layout, stored: &Stored) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        let anatomy = dissect(name)?;
        let mut all = vec![rebuild::guard(name, &anatomy.obstacles)];
        all.extend(statements(name, layout, stored, &anatomy)?);
        Ok(all)
    })
}

fn statements(
    name: &QualifiedName,
    layout: &Layout,
    stored: &Stored,
    anatomy: &Anatomy,
) -> Result<Vec<String>, ErrorReport> {
    let columns = relations::columns(name)?;
    if let Some(column) = layout.key_columns().into_iter().find(|column| !columns.contains(column)) {
        return Err(ProposalError::UndefinedColumn { relation: name.clone(), column, columns }.into());
    }
    let armed = Armed::empty(name, layout, stored.proposal.settings.unique_policy, server_major());
    let mut read = Vec::new();
    for definition in &anatomy.definitions {
        let found = utility::read_text(&definition.text)
            .map_err(|caught| error::new(SqlState::SyntaxError, caught.message, None, None))?;
        read.push(found.into_iter().next());
    }
    Ok(rebuild::statements(&armed, anatomy, &read)?)
}

/// What a table has that would have to be rebuilt, and what could not be.
///
/// # Errors
/// If it is gone.
pub fn dissect(name: &QualifiedName) -> Result<Anatomy, ErrorReport> {
    let found = spi::rows::<Anatomy>(
        include_str!("../catalog/queries/anatomy.sql"),
        &[name.schema.as_str().into(), name.name.as_str().into()],
    )?;
    found.into_iter().next().ok_or_else(|| {
        error::new(SqlState::UndefinedTable, format!("relation \"{name:#}\" does not exist"), None, None)
    })
}
