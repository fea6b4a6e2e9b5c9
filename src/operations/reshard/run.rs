//! The worker of jobs: takes one up that nobody is at, does its steps one after
//! the other, listens to what is wished of it between them, and tries again
//! what passes by itself.

use pgrx::debug1;
use pgrx::log;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Job;
use crate::catalog::jobs::JobWish;
use crate::model::job::Failure;
use crate::model::job::backoff_seconds;
use crate::model::job::unfit;
use crate::model::operation::Phase;
use crate::operations::reshard::behind;
use crate::operations::reshard::check;
use crate::operations::reshard::liveness;
use crate::operations::reshard::pace;
use crate::operations::reshard::rollback;
use crate::operations::reshard::steps;
use crate::operations::reshard::steps::Memory;
use crate::operations::reshard::steps::Next;
use crate::pg::advisory::Held;
use crate::pg::clock::Clock;
use crate::pg::context::as_extension_owner;
use crate::pg::context::in_subtransaction;
use crate::pg::error;
use crate::pg::operation_worker;
use crate::pg::operation_worker::WORKER_TYPE;
use crate::pg::spi;
use crate::pg::transaction;
use crate::pg::transaction::Failed;
use crate::pg::transaction::Isolation;

/// The version whose tables the library knows.
const LIBRARY_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Milliseconds between two looks at what is wished of a job that rests.
const LOOK_MS: u64 = 250;

/// Tells the workers what they do; called once, from `_PG_init`.
pub fn register() {
    operation_worker::register(serve);
}

/// The launcher's worker looks for jobs that nobody is at: after a crash or a
/// restart, or because their worker was ended.
pub fn chore() -> Result<(), ErrorReport> {
    let there = spi::one::<bool>("SELECT to_regclass('presplit.jobs') IS NOT NULL", &[])?;
    if there != Some(true) {
        return Ok(());
    }
    for id in jobs::runnable()? {
        if !liveness::is_alive(id)? {
            operation_worker::start();
            break;
        }
    }
    Ok(())
}

/// Everything that a worker does.
fn serve() {
    loop {
        match transaction::run(Isolation::ReadCommitted, take_up) {
            Ok(Some((id, _held))) => drive(id),
            Ok(None) => return,
            Err(failed) => {
                log!("pg_presplit operation: {} ({})", failed.message, failed.sqlstate);
                return;
            }
        }
        operation_worker::reload_if_asked();
    }
}

/// The oldest job that nobody is at.
fn take_up() -> Result<Option<(i64, Held)>, ErrorReport> {
    if !fits()? {
        // Another version may have other tables.
        if let Err(caught) = in_subtransaction(|| say_unfit().unwrap_or_else(|failed| error::raise(failed))) {
            debug1!("pg_presplit operation: {} ({})", caught.message, caught.sqlstate);
        }
        return Ok(None);
    }
    if is_one_too_many()? {
        return Ok(None);
    }
    for id in jobs::runnable()? {
        if let Some(held) = liveness::take_up(id)? {
            // Another worker may have ended it since it was listed.
            if jobs::runnable()?.contains(&id) {
                return Ok(Some((id, held)));
            }
        }
    }
    Ok(None)
}

/// The version of the extension that is here, if it is.
fn extension_version() -> Result<Option<String>, ErrorReport> {
    spi::one::<String>(
        "SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'pg_presplit'",
        &[],
    )
}

/// Whether the extension is here, in the library's own version.
fn fits() -> Result<bool, ErrorReport> {
    extension_version().map(|version| version.as_deref() == Some(LIBRARY_VERSION))
}

/// Says of every job why nobody goes on with it.
fn say_unfit() -> Result<(), ErrorReport> {
    let Some(version) = extension_version()? else { return Ok(()) };
    let said = unfit(LIBRARY_VERSION, &version);
    for id in jobs::runnable()? {
        jobs::set_waiting(id, Some(&said), &[])?;
    }
    Ok(())
}

/// Whether as many workers as there may be were here before this one.
fn is_one_too_many() -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT count(*) >= $2
             FROM pg_stat_activity AS a, pg_stat_activity AS me
             WHERE me.pid = pg_backend_pid() AND a.backend_type = $1
               AND (a.backend_start, a.pid) < (me.backend_start, me.pid)",
            &[WORKER_TYPE.into(), operation_worker::workers_max().into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// Does a job's steps until it is over, or paused.
fn drive(id: i64) {
    let mut memory = Memory::default();
    let mut failures = 0_u32;
    loop {
        operation_worker::reload_if_asked();
        match turn(id, &mut memory) {
            Ok(Next::Over) => return,
            Ok(Next::Again) => {
                if failures > 0 {
                    failures = 0;
                    let _ = transaction::run(Isolation::ReadCommitted, || forgive(id));
                }
            }
            Ok(Next::Rest(ms)) => rest(id, ms),
            // What fails on tables of another version has not failed.
            Err(_) if matches!(transaction::run(Isolation::ReadCommitted, fits), Ok(false)) => return,
            Err(failed) => {
                failures = failures.saturating_add(1);
                let seconds = backoff_seconds(failures, pace::chance());
                if settle(id, &failed, seconds) {
                    rest(id, (seconds * 1000.0) as u64);
                }
            }
        }
    }
}

/// Forgets what has failed, but not why a job has come to rest.
fn forgive(id: i64) -> Result<(), ErrorReport> {
    if jobs::wish(id)? == JobWish::Run { jobs::forgive(id) } else { Ok(()) }
}

/// Writes a failure down; whether it is to be waited before the next try.
fn settle(id: i64, failed: &Failed, seconds: f64) -> bool {
    debug1!("pg_presplit operation {id}: {} ({})", failed.message, failed.sqlstate);
    let settled = transaction::run(Isolation::ReadCommitted, || {
        let Some(job) = jobs::load(id)? else { return Ok(false) };
        let said = said(failed);
        if job.ending.is_none() && Failure::of(&failed.sqlstate) == Failure::Stays {
            jobs::begin_ending(id, Phase::Failed, Some(&said))?;
            jobs::note(id, job.phase, None, &format!("failed: {said} ({})", failed.sqlstate))?;
            return Ok(false);
        }
        // What undoes a job has its reason written down already.
        if job.ending.is_none() {
            jobs::postpone(id, &said, seconds)?;
        }
        jobs::note(id, job.phase, None, &format!("to be tried again: {said} ({})", failed.sqlstate))?;
        Ok(true)
    });
    settled.unwrap_or(true)
}

fn said(failed: &Failed) -> String {
    match &failed.detail {
        Some(detail) => format!("{}: {detail}", failed.message),
        None => failed.message.clone(),
    }
}

/// One turn: what is wished, what stands in the way, and the step that is next.
fn turn(id: i64, memory: &mut Memory) -> Result<Next, Failed> {
    let Some((job, wish)) = transaction::run(Isolation::ReadCommitted, || look(id))? else {
        return Ok(Next::Over);
    };
    if let Some(ending) = job.ending {
        return rollback::turn(&job, ending);
    }
    match wish {
        JobWish::Cancel => {
            transaction::run(Isolation::ReadCommitted, || jobs::begin_ending(id, Phase::Cancelled, None))?;
            return Ok(Next::Again);
        }
        // In a copy of its database only what it has made is taken away.
        _ if !job.is_here => return Ok(Next::Over),
        JobWish::Pause => {
            transaction::run(Isolation::ReadCommitted, || {
                jobs::note(id, job.phase, None, "paused")?;
                jobs::show(id, Phase::Paused)
            })?;
            return Ok(Next::Over);
        }
        JobWish::Run => {}
    }
    let obstacle = transaction::run(Isolation::ReadCommitted, || {
        check::refuse_published(&job)?;
        let obstacle = pace::obstacle(memory.places(&job)?)?;
        // What a cutover gave way to is said until the next one, as are changes that do not become fewer.
        if obstacle.is_some() || job.phase != Phase::CuttingOver && behind::known(&job).is_none() {
            jobs::set_waiting(id, obstacle.as_deref(), &[])?;
        }
        jobs::show(id, job.phase)?;
        Ok(obstacle)
    });
    if obstacle?.is_some() {
        return Ok(Next::Rest(1000));
    }
    if memory.enter(job.phase) {
        operation_worker::report_activity(&format!(
            "{} of {}: {}",
            job.kind.word(),
            job.change.root,
            job.phase.word()
        ));
        pace::pause_at(&job, job.phase.word())?;
        // What is wished may have changed meanwhile.
        return Ok(Next::Again);
    }
    steps::step(&job, memory)
}

/// A job that is not over and what is wished of it; none too if the library
/// does not fit the extension any more.
fn look(id: i64) -> Result<Option<(Job, JobWish)>, ErrorReport> {
    if !fits()? {
        return Ok(None);
    }
    let Some(job) = jobs::load(id)? else { return Ok(None) };
    Ok(Some((job, jobs::wish(id)?)))
}

/// Rests, but not longer than until something else is wished.
fn rest(id: i64, ms: u64) {
    let clock = Clock::start();
    // A sleep ends early whenever something happens to the process.
    while let left @ 1.. = ms.saturating_sub(clock.ms() as u64) {
        operation_worker::sleep(left.min(LOOK_MS));
        if left > LOOK_MS
            && !matches!(
                transaction::run(Isolation::ReadCommitted, || jobs::wish(id)),
                Ok(JobWish::Run) | Err(_)
            )
        {
            return;
        }
    }
}
