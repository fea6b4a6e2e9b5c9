//! Whether a step keeps up with those who write: if the changes that are left
//! do not become fewer it says so, and rests in the end until somebody resumes
//! the operation. Nothing is lost meanwhile, for changes are still written down.

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Job;
use crate::model::backlog::Backlog;
use crate::model::operation::Phase;
use crate::pg::clock;

/// The server's time in seconds.
fn seconds() -> f64 {
    clock::now() as f64 / 1e6
}

/// What is known from earlier looks.
#[must_use]
pub fn known(job: &Job) -> Option<Backlog> {
    job.state.get("behind").and_then(|behind| serde_json::from_value(behind.clone()).ok())
}

/// Whether the changes have not become fewer for long.
#[must_use]
pub fn is_stuck(job: &Job) -> bool {
    known(job).is_some_and(|behind| behind.is_stuck(seconds()))
}

/// Takes note of how many changes there were when the round began that this
/// transaction has brought over.
///
/// # Errors
/// If it cannot be written down.
pub fn look(job: &Job, changes: i64) -> Result<(), ErrorReport> {
    let now = seconds();
    let before = known(job);
    let behind = Backlog::after(before, changes, now);
    jobs::set_behind(job.id, behind)?;
    let at_cutover = job.phase == Phase::CuttingOver;
    match behind {
        Some(behind) if behind.is_hopeless(now) => jobs::park(job.id, &Backlog::parked(job.id, at_cutover)),
        Some(behind) if behind.is_stuck(now) => {
            jobs::set_waiting(job.id, Some(&behind.told(changes, now, at_cutover)), &[])
        }
        // What else is waited for at the cutover stays said.
        _ if at_cutover && !before.is_some_and(|before| before.is_stuck(now)) => Ok(()),
        _ => jobs::set_waiting(job.id, None, &[]),
    }
}
