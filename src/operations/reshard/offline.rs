//! The change in one transaction while everybody waits: for `online => false`,
//! the only way where nothing tells rows apart.
//!
//! The parent and the shards are locked against everybody from the beginning:
//! a lock that were strengthened at the end would meet those who wait for it
//! holding the other, and all copying would be lost. A crash, a cancel and an
//! error leave nothing, because nothing is committed before the end.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Done;
use crate::catalog::jobs::Job;
use crate::catalog::jobs::JobWish;
use crate::catalog::reshard_rows;
use crate::catalog::whole_table;
use crate::model::operation::Phase;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::operations::reshard::altered;
use crate::operations::reshard::check;
use crate::operations::reshard::indexing;
use crate::operations::reshard::pace;
use crate::operations::reshard::staging;
use crate::operations::reshard::steps;
use crate::operations::reshard::steps::Next;
use crate::operations::reshard::swap;
use crate::pg::context::restricted_to;
use crate::pg::context::with_any_settings;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::spi;
use crate::pg::table_lock;
use crate::pg::table_lock::Mode;
use crate::pg::transaction;
use crate::pg::transaction::Failed;
use crate::pg::transaction::Isolation;

/// Everything at once.
pub fn turn(job: &Job) -> Result<Next, Failed> {
    transaction::run(Isolation::ReadCommitted, || {
        lock(job)?;
        if check::fingerprint(&job.change)? != job.fingerprint {
            altered::look(job)?;
        }
        let change = staging::create(&job.change, job.id)?;
        jobs::set_change(job.id, &change)?;
        let rows = copy(job.id, &change)?;
        while indexing::next(&change, job.id)? {
            go_on(job.id)?;
        }
        let prepared = swap::prepare(&change)?;
        swap::run(&change, job.id, &prepared)?;
        let done = Done { rows, rows_total: Some(rows), ..Done::default() };
        jobs::set_done(job.id, &done, &steps::detail(&change))?;
        jobs::finish(job.id, Phase::Done, &format!("{rows} rows are copied, the new shards are attached"))?;
        Ok(Next::Over)
    })
}

/// The parent, then the shards by number, then all that the swap concerns.
fn lock(job: &Job) -> Result<(), ErrorReport> {
    let mut tables: Vec<u32> = job.change.sources.iter().map(|source| source.oid).collect();
    tables.sort_unstable();
    tables.insert(0, job.change.parent_oid);
    let others = swap::tables(&job.change)?;
    let views: Vec<u32> = match &job.change.rebuilt {
        Some(_) => whole_table::views(job.change.root_oid)?.iter().map(|view| view.oid).collect(),
        None => Vec::new(),
    };
    // Whoever reads a view has locked it before he comes to the table.
    for table in views.into_iter().chain(tables).map(Oid::from).chain(others) {
        pace::with_lock_timeout(job, None, || table_lock::lock(table, Mode::AccessExclusive));
    }
    Ok(())
}

/// All rows, each into the new shard that it belongs to; how many there are.
fn copy(id: i64, change: &Change) -> Result<i64, ErrorReport> {
    let found = reshard_rows::read(change)?;
    let tables = found.tables;
    let split = tables.targets.len() > 1;
    if split && tables.targets.iter().any(|target| target.conditions.is_empty()) {
        return Err(differ(change, "New shards have no checks of their bounds.".to_owned()));
    }
    // Expressions of the owner's get no more rights than he has, and row
    // security must not hide a row.
    let as_owner = |sql: &str| {
        with_pinned_search_path(|| {
            with_any_settings(&[(c"row_security", c"off")], || {
                restricted_to(Oid::from(found.owner), || spi::run(sql, &[]))
            })
        })
    };
    let mut copied = 0_i64;
    for target in 0..tables.targets.len() {
        copied =
            copied.saturating_add(i64::try_from(as_owner(&tables.copy_all(target))?).unwrap_or(i64::MAX));
        go_on(id)?;
    }
    let there = with_any_settings(&[(c"row_security", c"off")], || {
        restricted_to(Oid::from(found.owner), || spi::one::<i64>(&tables.count(), &[]))
    })?;
    let there = there.unwrap_or(0);
    if copied != there {
        return Err(differ(change, format!("The old shards have {there} rows, the new ones {copied}.")));
    }
    Ok(copied)
}

/// Whether it is still wished; all that was done is given up if not.
fn go_on(id: i64) -> Result<(), ErrorReport> {
    if jobs::wish(id)? == JobWish::Run {
        return Ok(());
    }
    Err(error::new(SqlState::QueryCanceled, format!("operation {id} is to stop"), None, None))
}

fn differ(change: &Change, detail: String) -> ErrorReport {
    error::new(
        SqlState::DataCorrupted,
        format!("new shards of table \"{:#}\" do not have the rows of the old ones", change.root),
        Some(detail),
        Some("The table is as it was.".to_owned()),
    )
}
