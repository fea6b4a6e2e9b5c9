//! The end of a job that was cancelled or has failed: whatever the ledger has
//! is dropped, triggers first, each in a transaction of its own. Then the
//! catalog is as it was. What others have put into a new table is let go first.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::job_objects;
use crate::catalog::jobs;
use crate::catalog::jobs::Job;
use crate::catalog::jobs::Object;
use crate::catalog::jobs::Role;
use crate::model::operation::Phase;
use crate::operations::reshard::adoption;
use crate::operations::reshard::objects;
use crate::operations::reshard::pace;
use crate::operations::reshard::steps::Next;
use crate::pg::spi;
use crate::pg::table_lock;
use crate::pg::table_lock::Mode;
use crate::pg::transaction;
use crate::pg::transaction::Failed;
use crate::pg::transaction::Isolation;

/// Drops one object, or says that the job is over.
pub fn turn(job: &Job, ending: Phase) -> Result<Next, Failed> {
    transaction::run(Isolation::ReadCommitted, || {
        let mut objects = jobs::objects(job.id)?;
        // While a trigger is there it wants its log.
        objects.sort_by_key(|object| match object.role {
            Role::Trigger => 0,
            Role::Log => 1,
            Role::Staging => 2,
            Role::Retired => 3,
        });
        let Some(object) = objects.first() else {
            pace::with_lock_timeout(job, None, || adoption::give_up_capture(job, ending == Phase::Failed))?;
            jobs::finish(job.id, ending, "everything of it is dropped")?;
            return Ok(Next::Over);
        };
        pace::with_lock_timeout(job, None, || drop_one(job, ending, object))?;
        Ok(Next::Again)
    })
}

fn drop_one(job: &Job, ending: Phase, object: &Object) -> Result<(), ErrorReport> {
    let id = job.id;
    if object.role == Role::Retired {
        adoption::give_back(&job.change, object)?;
        jobs::forget_object(id, Oid::from(object.object))?;
        return jobs::note(id, ending, None, &format!("{} is kept as before", object.name));
    }
    if object.role == Role::Staging {
        // From now on nobody puts a table of his own into it.
        table_lock::lock(Oid::from(object.object), Mode::AccessExclusive);
        for statement in job_objects::release_statements(id, object)? {
            objects::run_above([&statement])?;
            jobs::note(id, ending, None, &format!("not ours, so it is kept: {statement}"))?;
        }
    }
    for statement in job_objects::drop_statements(object)? {
        spi::run(&statement, &[])?;
    }
    jobs::forget_object(id, Oid::from(object.object))?;
    jobs::note(id, ending, None, &format!("dropped {}", object.name))
}
