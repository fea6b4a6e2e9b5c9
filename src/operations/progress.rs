//! Loads as operations: begun, done, and what people see of them meanwhile.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::operations;
use crate::catalog::operations::Course;
use crate::model::name::QualifiedName;
use crate::model::operation::Kind;
use crate::model::operation::seconds_left;
use crate::model::operation::with_rate;
use crate::pg::clock;
use crate::pg::operation;
use crate::pg::operation::shared::Entry;
use crate::pg::operation::shared::State;

/// Microseconds that a load takes at least to be remembered by itself.
const WORTH_TELLING: i64 = 1_000_000;

/// A COPY into a sharded table is about to begin.
pub fn begin(relation: &QualifiedName, table: Oid) -> Result<(), ErrorReport> {
    // The server is about to say that it may not.
    if operation::may_insert(table)
        && let Some(id) = operations::new_id()?
    {
        operation::begin(id, Kind::Load, table, relation, "rows batched by shard in the session");
    }
    Ok(())
}

/// A COPY has brought its rows. Loads of an armed table are remembered, others
/// if they took long.
pub fn done(relation: &QualifiedName, rows: u64, detail: &str, armed: bool) -> Result<(), ErrorReport> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    let Some(entry) = operation::done(relation, rows, detail) else { return Ok(()) };
    if armed || entry.finished - entry.started >= WORTH_TELLING {
        operations::write_done(&entry)
    } else {
        operation::forget();
        Ok(())
    }
}

/// An operation that is not yet written down as over, as its view shows it.
pub struct Shown {
    pub entry: Entry,
    pub kind: &'static str,
    pub phase: &'static str,
    pub rows: i64,
    pub bytes: i64,
    pub total: Option<i64>,
    pub seconds_left: Option<f64>,
    pub waiting_for: Option<String>,
    pub blocked_by: Option<Vec<i32>>,
    pub detail: String,
}

/// The operations in shared memory that the user may see.
pub fn shown() -> Result<Vec<Shown>, ErrorReport> {
    let entries = operation::shown();
    let active: Vec<Entry> =
        entries.iter().filter(|entry| entry.state != State::Ended as u8).copied().collect();
    let mut courses = if active.is_empty() { Vec::new() } else { operations::courses(&active)? };
    let now = clock::now();
    let shown = entries.into_iter().map(|entry| {
        let course =
            courses.iter().position(|course| course.id == entry.id).map(|at| courses.swap_remove(at));
        show(entry, course, now)
    });
    Ok(shown.collect())
}

fn show(entry: Entry, course: Option<Course>, now: i64) -> Shown {
    let (kind, phase) = operations::words(&entry);
    let runs = entry.state == State::Running as u8;
    let known = (entry.rows, entry.bytes, (entry.bytes_total > 0).then_some(entry.bytes_total));
    let (rows, bytes, total) = match &course {
        Some(course) if runs => (course.rows.unwrap_or(0), course.bytes.unwrap_or(0), course.total),
        _ => known,
    };
    let until = if runs { now } else { entry.finished };
    let elapsed = until - entry.started;
    let waiting_for = if entry.state == State::Done as u8 {
        Some("the end of its transaction".to_owned())
    } else {
        course.as_ref().and_then(waited_for)
    };
    Shown {
        kind,
        phase,
        rows,
        bytes,
        total,
        seconds_left: if runs { seconds_left(bytes, total, elapsed) } else { None },
        waiting_for,
        blocked_by: course.and_then(|course| course.blocked_by),
        detail: with_rate(entry.detail.as_str(), bytes, elapsed),
        entry,
    }
}

/// What a load waits for that goes on; waits that pass by themselves, as for a
/// disk, are none.
fn waited_for(course: &Course) -> Option<String> {
    match (course.wait_type.as_deref()?, course.wait.as_deref()) {
        ("Lock", Some(lock)) => Some(format!("lock: {lock}")),
        ("Client", _) => Some("the client".to_owned()),
        ("Extension", _) if course.blocked_by.is_some() => Some("lock of a load worker".to_owned()),
        ("Extension", _) => Some("its load workers".to_owned()),
        _ => None,
    }
}
