//! What people do to an operation that is under way: wait for it, cancel it,
//! pause it, and have it go on.
//!
//! They wish; the worker looks at what is wished between its steps. A wish
//! that nobody is there to fulfil starts a worker.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming::current_user;
use crate::catalog::jobs;
use crate::catalog::jobs::JobWish;
use crate::catalog::jobs::Known;
use crate::model::operation::Phase;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::History;
use crate::operations::reshard::check;
use crate::operations::reshard::keep;
use crate::operations::reshard::liveness;
use crate::operations::reshard::rebuild;
use crate::operations::reshard::start;
use crate::operations::reshard::undo;
use crate::pg::announced;
use crate::pg::clock::Clock;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::lone_call;
use crate::pg::operation_worker;
use crate::pg::server;

/// How long a waiting session sleeps between two looks, in milliseconds.
const LOOK_MS: u64 = 100;

/// Looks between two tries to find the operation a worker.
const LOOKS_PER_NUDGE: u32 = 20;

fn find(id: i64) -> Result<Known, ErrorReport> {
    jobs::known(id, &current_user()?)?.ok_or_else(|| {
        error::new(
            SqlState::UndefinedObject,
            format!("operation {id} does not exist"),
            None,
            Some("SELECT * FROM presplit.operations lists those that you may see.".to_owned()),
        )
    })
}

/// An operation of a table of one's own that a worker carries out.
pub fn find_own(id: i64, verb: &str) -> Result<Known, ErrorReport> {
    let known = find(id)?;
    if !known.is_own {
        return Err(error::new(
            SqlState::InsufficientPrivilege,
            format!("must be owner of table {}", known.table),
            None,
            None,
        ));
    }
    if !known.is_job {
        return Err(error::new(
            SqlState::WrongObjectType,
            format!("cannot {verb} operation {id}: it is a load"),
            Some("A load is part of the transaction of its COPY.".to_owned()),
            Some("Cancel the statement with pg_cancel_backend.".to_owned()),
        ));
    }
    Ok(known)
}

const fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Done | Phase::Failed | Phase::Cancelled)
}

fn phase_of(known: &Known) -> Phase {
    Phase::of(&known.phase).unwrap_or(Phase::Failed)
}

/// Waits until an operation is over; its final phase.
///
/// # Errors
/// 55000 for one of the caller's own open transaction and after the time,
/// 25001 if the transaction would not see the end, or if the operation comes to
/// wait for this very session: for what it has used of the table, or for a
/// snapshot that something beside this `call` could still use.
pub fn wait(id: i64, timeout_micros: i64, call: Oid) -> Result<String, ErrorReport> {
    if operation_worker::is_pending(id) {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("operation {id} has not begun: its transaction is still open"),
            None,
            Some("Commit first, then wait.".to_owned()),
        ));
    }
    if !announced::sees_latest() {
        return Err(error::new(
            SqlState::ActiveSqlTransaction,
            "wait_operation() must run in a READ COMMITTED transaction",
            Some("Others do not see the end of the operation, and the operation would wait for their snapshot.".to_owned()),
            Some("Call it outside of a transaction, or in one that is READ COMMITTED.".to_owned()),
        ));
    }
    let known = find_own(id, "wait for")?;
    if is_over(phase_of(&known)) {
        return Ok(known.phase);
    }
    if !known.is_given_up {
        refuse_copied(id, &known)?;
    }
    let tables = known.change.as_ref().map(tables_of).unwrap_or_default();
    let apart = lone_call::is_apart(call, &tables)?;
    // Cutovers leave the snapshot of who holds this lock out of account.
    let _waiting = apart.then(|| liveness::wait_mark(id)).transpose()?;
    let over = until_over(id, timeout_micros, apart)?;
    if apart {
        lone_call::see_latest();
    }
    Ok(over)
}

/// The tables that an operation replaces or makes.
fn tables_of(change: &Change) -> Vec<u32> {
    let sources = change.sources.iter().map(|source| source.oid);
    let made = change.made().into_iter().map(|(oid, _)| oid);
    [change.root_oid, change.parent_oid].into_iter().chain(sources).chain(made).collect()
}

/// `apart`: nothing of this session holds the operation up.
fn until_over(id: i64, timeout_micros: i64, apart: bool) -> Result<String, ErrorReport> {
    let clock = Clock::start();
    let mut looks = 0_u32;
    loop {
        match jobs::phase(id)? {
            Some(phase) if is_over(phase) => return Ok(phase.word().to_owned()),
            None => return Ok(find(id)?.phase),
            Some(phase) if clock.elapsed().as_micros() >= u128::try_from(timeout_micros).unwrap_or(0) => {
                return Err(timed_out(id, phase));
            }
            Some(_) => {}
        }
        if !apart && jobs::is_blocked_by(id, server::process_id())? {
            return Err(each_waits(id));
        }
        // Its worker may have been ended, and there may be no launcher.
        if looks % LOOKS_PER_NUDGE == LOOKS_PER_NUDGE - 1
            && jobs::runnable()?.contains(&id)
            && !liveness::is_alive(id)?
        {
            operation_worker::start();
        }
        looks = looks.wrapping_add(1);
        if apart {
            lone_call::release_horizon();
        }
        operation_worker::wait(LOOK_MS);
    }
}

fn each_waits(id: i64) -> ErrorReport {
    error::new(
        SqlState::ActiveSqlTransaction,
        format!("operation {id} waits for this session, which waits for it"),
        Some(
            "The transaction has used the table, or has a snapshot that something else could still use."
                .to_owned(),
        ),
        Some(format!(
            "Send SELECT wait_operation({id}) outside of transactions that use the table, while no cursor is open."
        )),
    )
}

fn timed_out(id: i64, phase: Phase) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("operation {id} is not over: the time to wait is up"),
        Some(format!("It is {} and goes on.", phase.word())),
        Some(format!("See SELECT * FROM presplit.operations WHERE operation_id = {id}.")),
    )
}

/// Nobody goes on with what was begun in a database of which this one is a copy:
/// what changes here is not written down.
fn refuse_copied(id: i64, known: &Known) -> Result<(), ErrorReport> {
    if !known.is_copied {
        return Ok(());
    }
    Err(error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("operation {id} belongs to another database, of which this one is a copy"),
        Some("Changes of its table are not written down here.".to_owned()),
        Some(format!("SELECT cancel_operation({id}) takes away here what it has made; then begin it anew.")),
    ))
}

/// Has an operation undo what it has made, also in a copy of its database; false if it is over.
pub fn cancel(id: i64) -> Result<bool, ErrorReport> {
    wish(id, "cancel", JobWish::Cancel)
}

/// Has an operation stop after its step; false if it is over.
pub fn pause(id: i64) -> Result<bool, ErrorReport> {
    wish(id, "pause", JobWish::Pause)
}

fn wish(id: i64, verb: &str, wish: JobWish) -> Result<bool, ErrorReport> {
    let known = find_own(id, verb)?;
    if is_over(phase_of(&known)) {
        return Ok(false);
    }
    if wish != JobWish::Cancel {
        refuse_copied(id, &known)?;
    }
    jobs::set_wish(id, wish, &current_user()?)?;
    operation_worker::start_at_commit(id);
    // An index that is being built may take hours more.
    if wish == JobWish::Cancel
        && let Some(pid) = liveness::worker(id)?
    {
        operation_worker::interrupt_at_commit(pid);
    }
    Ok(true)
}

/// Has an operation go on that is paused, or that has failed: from its
/// beginning then. False if there is nothing to resume.
pub fn resume(id: i64) -> Result<bool, ErrorReport> {
    let known = find_own(id, "resume")?;
    refuse_copied(id, &known)?;
    match phase_of(&known) {
        Phase::Done | Phase::Cancelled => return Ok(false),
        Phase::Failed => {
            let Some(change) = known.change else { return Ok(false) };
            start::refuse_second(&change)?;
            // Tables that the first attempt had made are gone.
            let mut anew = change;
            match (&anew.undo, &anew.rebuilt) {
                // The shards that come back were there before.
                (Some(undo), _) => anew = undo::plan(undo.operation_id)?,
                // Its shards may be others by now.
                (None, Some(rebuilt)) => {
                    let (proposal, history) = (rebuilt.proposal_id, rebuilt.history);
                    anew = match history {
                        History::Split => rebuild::plan(anew.root_oid, proposal, anew.online, history)?,
                        History::Keep => keep::plan(anew.root_oid, proposal, anew.online)?,
                    }
                    .change;
                }
                (None, None) => anew.unmake(),
            }
            let kind = jobs::kind(id)?;
            let shape = with_pinned_search_path(|| {
                start::refuse(&anew, kind, &check::findings(&anew)?)?;
                check::shape(&anew)
            })?;
            if !jobs::revive(id, &anew, &shape)? {
                start::refuse_second(&anew)?;
            }
            jobs::renew(id, &start::own_settings()?)?;
        }
        // Nobody is at it whom the row of an open transaction would keep waiting.
        Phase::Paused => jobs::renew(id, &start::own_settings()?)?,
        _ => {}
    }
    jobs::set_wish(id, JobWish::Run, &current_user()?)?;
    operation_worker::start_at_commit(id);
    Ok(true)
}
