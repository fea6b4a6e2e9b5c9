//! COPY into sharded tables: which of them are batched by shard in the
//! session or loaded by workers, and what the report of an armed one says of it.
//!
//! The rows themselves are `pg::copy`'s. A table that this extension has
//! neither armed nor created in shards is never touched.

use std::cell::RefCell;
use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming;
use crate::catalog::arming::Rewritten;
use crate::model::name::QualifiedName;
use crate::operations::progress;
use crate::pg::copy;
use crate::pg::guc;
use crate::pg::hook::Work;
use crate::pg::load_worker::attempt;
use crate::pg::load_worker::attempt::Ended;
use crate::pg::load_worker::reason::Reason;
use crate::pg::operation::copy::last;

thread_local! {
    /// The proposals of armed tables into which a COPY has begun. It may take longer
    /// than the arming: what was begun in time is reported, and makes it last.
    static BEGUN: RefCell<BTreeMap<QualifiedName, i64>> = const { RefCell::new(BTreeMap::new()) };
}

/// What to do about a COPY into a relation; none = leave it alone.
pub fn decide(relation: &QualifiedName) -> Result<Option<Vec<Work>>, ErrorReport> {
    // A look into the server's caches spares every other COPY our look-ups.
    let Some(table) = copy::partitioned_table(relation) else { return Ok(None) };
    let armed = arming::find(relation)?;
    let ours = armed.is_some() || arming::is_sharded(table)?;
    if ours {
        progress::begin(relation, table)?;
    }
    BEGUN.with_borrow_mut(|begun| match armed {
        Some(arming) => begun.insert(relation.clone(), arming.proposal_id),
        None => begun.remove(relation),
    });
    Ok(ours.then(|| vec![Work::Load]))
}

/// Counts the rows of a COPY in the report of an armed table.
pub fn finished(relation: &QualifiedName, original: &str, rows: u64) -> Result<(), ErrorReport> {
    let proposal_id = BEGUN.with_borrow_mut(|begun| begun.remove(relation));
    let way = match attempt::ended() {
        Some(Ended::ByWorkers { workers }) => format!("rows {}", by_workers(workers)),
        // Of few rows nobody asks why they have no workers.
        Some(Ended::InSession(reason)) if reason != Reason::Small && is_large() => {
            format!("{}; no workers, because {}", in_session(), reason.text())
        }
        _ => in_session(),
    };
    progress::done(relation, rows, &way, proposal_id.is_some())?;
    let Some(proposal_id) = proposal_id else { return Ok(()) };
    let note = format!("{rows} {way}");
    arming::log(&Rewritten {
        relation,
        proposal_id,
        kind: "COPY",
        original,
        executed: original,
        note: &note,
        rows_loaded: i64::try_from(rows).ok(),
    })
}

/// Whether this COPY has brought as much as workers are started for.
fn is_large() -> bool {
    let bytes = last().bytes as f64;
    bytes >= guc::number("load_workers_min_size") * 1024.0
}

/// What is said of rows that workers have loaded, or are loading.
pub fn by_workers(workers: usize) -> String {
    if workers == 1 { "loaded by 1 worker".to_owned() } else { format!("loaded by {workers} workers") }
}

/// What is said of rows that the session itself has loaded.
fn in_session() -> String {
    match copy::outcome() {
        None => "rows batched by shard in the session".to_owned(),
        Some(reason) => {
            format!("rows routed by PostgreSQL in the session, because {}", reason.text())
        }
    }
}
