//! The cutover, in two stages, within one budget of time.
//!
//! ```text
//!  a  writers are kept out           session locks: parent, then sources
//!  b  the last changes are committed to the new shards
//!  c  older snapshots are waited for
//!  d  everybody is kept out          the swap, in one transaction
//! ```
//!
//! If that has failed some times, every other try keeps everybody out from (a) on.
//!
//! The changes are committed before anybody waits for the swap, so whoever has
//! waited for it sees them: also a prepared statement or a stable function that
//! took its snapshot first. Whenever the budget is used up, or somebody is in
//! the way, all locks are given back and it is tried again later.

use std::cell::RefCell;
use std::time::Duration;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::job_objects;
use crate::catalog::jobs;
use crate::catalog::jobs::Job;
use crate::catalog::jobs::JobWish;
use crate::catalog::reshard_rows;
use crate::model::backlog::FEW;
use crate::model::backlog::Residual;
use crate::model::backlog::next_keys;
use crate::model::job::Failure;
use crate::model::job::Hindrance;
use crate::model::job::TRIES_MAX;
use crate::model::job::TRYING_MAX;
use crate::model::job::cutover_pause;
use crate::model::operation::Phase;
use crate::model::reshard::Change;
use crate::operations::reshard::altered;
use crate::operations::reshard::behind;
use crate::operations::reshard::capture;
use crate::operations::reshard::catch_up;
use crate::operations::reshard::check;
use crate::operations::reshard::pace;
use crate::operations::reshard::snapshots;
use crate::operations::reshard::snapshots::Holder;
use crate::operations::reshard::snapshots::Moment;
use crate::operations::reshard::steps;
use crate::operations::reshard::steps::Next;
use crate::operations::reshard::swap;
use crate::pg::clock::Clock;
use crate::pg::operation_worker;
use crate::pg::server;
use crate::pg::table_lock;
use crate::pg::table_lock::Mode;
use crate::pg::transaction;
use crate::pg::transaction::Failed;
use crate::pg::transaction::Isolation;
use crate::pg::unseen;
use crate::pg::vacuum::vacuum;

/// Milliseconds in which changes are brought over before it looks at what is wished again.
const TURN_MS: f64 = 5_000.0;

/// Pages of a log from which on the places of changes that are brought over are made free before a
/// try: the log is read twice while writers are kept out, dead rows and all.
const LOG_PAGES_MAX: i64 = 128;

/// Rounds after which it is content with few changes, however long they take.
const SHORT_ROUNDS: u32 = 10;

/// Tries in which not even those who wait for us may have an older snapshot.
const PATIENT_TRIES: i64 = 3;

/// Between two tries to lock what others have locked.
const BETWEEN_LOOKS: Duration = Duration::from_micros(100);

/// What was found out before anybody is kept out.
struct Known {
    /// As long as the tables have the same, they are what they were.
    versions: String,
    prepared: swap::Prepared,
}

/// What came of a try.
enum Outcome {
    /// How the time went.
    Done(String),
    /// Why not, and who was in the way.
    GaveWay(Hindrance, Vec<i32>),
    /// A source was truncated.
    Anew,
}

/// One turn of the phase: catches up, and tries the cutover if nothing stands against it.
pub fn turn(job: &Job) -> Result<Next, Failed> {
    let ready = transaction::run(Isolation::ReadCommitted, || ready(job))?;
    let known = match ready {
        Ready::Yes(known) => known,
        Ready::Anew => return Ok(Next::Again),
        Ready::No => {
            catch_up(job)?;
            return Ok(Next::Rest(1000));
        }
    };
    if !catch_up(job)? || tidy_log(job)? && !catch_up(job)? {
        return Ok(Next::Again);
    }
    let caught_up = transaction::run(Isolation::ReadCommitted, snapshots::moment)?;
    pace::pause_at(job, "cutting_over.caught_up")?;
    let clock = Clock::start();
    let outcome = attempt(job, tries(job), &caught_up, &known);
    let ms = clock.ms();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(failed) if Failure::of(&failed.sqlstate) == Failure::Passes => gave_way(job, &failed)?,
        Err(failed) => return Err(failed),
    };
    match outcome {
        Outcome::Done(laps) => {
            let note = format!("the swap is committed; writers were kept out for {ms:.0} ms: {laps}");
            let seconds = Some(ms / 1000.0);
            transaction::run(Isolation::ReadCommitted, || {
                jobs::note(job.id, Phase::CuttingOver, seconds, &note)
            })?;
            Ok(Next::Over)
        }
        Outcome::Anew => Ok(Next::Again),
        Outcome::GaveWay(why, pids) => put_off(job, &why, &pids, ms),
    }
}

/// Cutovers of this job that had to give way.
fn tries(job: &Job) -> i64 {
    job.state.get("tries").and_then(serde_json::Value::as_i64).unwrap_or(0)
}

/// Whether it may be tried now.
enum Ready {
    Yes(Known),
    /// Not before it is looked at again.
    Anew,
    No,
}

/// Finds out what takes time before anybody is kept out: it is looked at again
/// under the locks, at what costs less.
fn ready(job: &Job) -> Result<Ready, ErrorReport> {
    if let Some((what, pids)) = snapshots::against(job)? {
        let (tries, seconds) = jobs::count_tries(job.id, 0)?;
        jobs::set_waiting(job.id, Some(&what), &pids)?;
        if seconds > TRYING_MAX {
            jobs::park(job.id, &Hindrance::Other(what).parked(job.id, tries))?;
        }
        return Ok(Ready::No);
    }
    let versions = check::versions(&job.change)?;
    if altered::look(job)? {
        return Ok(Ready::Anew);
    }
    Ok(Ready::Yes(Known { versions, prepared: swap::prepare(&job.change)? }))
}

/// Says why it gave way, and when it is tried again; after many tries not
/// before somebody resumes it.
fn put_off(job: &Job, why: &Hindrance, pids: &[i32], ms: f64) -> Result<Next, Failed> {
    transaction::run(Isolation::ReadCommitted, || {
        let (tries, seconds) = jobs::count_tries(job.id, 1)?;
        jobs::set_waiting(job.id, Some(&why.told(tries)), pids)?;
        let note = format!("gave way after {ms:.0} ms: {}", why.said());
        jobs::note(job.id, Phase::CuttingOver, Some(ms / 1000.0), &note)?;
        if tries >= TRIES_MAX || seconds > TRYING_MAX {
            jobs::park(job.id, &why.parked(job.id, tries))?;
            return Ok(Next::Again);
        }
        Ok(Next::Rest((cutover_pause(tries, pace::chance()) * 1000.0) as u64))
    })
}

fn gave_way(job: &Job, failed: &Failed) -> Result<Outcome, Failed> {
    let pids = transaction::run(Isolation::ReadCommitted, || snapshots::lockers(job))?;
    Ok(Outcome::GaveWay(Hindrance::of(&failed.sqlstate, &failed.message), pids))
}

/// Brings changes over until few are left; false if there were too many, or copying begins anew.
fn catch_up(job: &Job) -> Result<bool, Failed> {
    let most = Residual::within(pace::number(job, "cutover_budget") as f64, behind::is_stuck(job));
    let turn = Clock::start();
    let (mut last, mut left, mut number) = (None, 0, 0);
    let (found, is_caught_up) = loop {
        let clock = Clock::start();
        let round = transaction::run(Isolation::RepeatableRead, || {
            let round = catch_up::round(&job.change, job.id, next_keys(last, left))?;
            if round.restart {
                steps::begin_anew(job)?;
            }
            Ok(round)
        })?;
        if round.restart {
            return Ok(false);
        }
        // Those that came during the round are not counted: the next one, which is shorter, has them.
        let ms = clock.ms();
        let is_short = ms <= most.ms || number >= SHORT_ROUNDS && round.keys <= FEW;
        let is_caught_up = round.left <= FEW && round.keys <= most.keys && is_short;
        if is_caught_up || turn.ms() > TURN_MS {
            break (round.found(), is_caught_up);
        }
        (last, left, number) =
            (Some((round.keys, ms)).filter(|_| round.left > 0).or(last), round.left, number + 1);
    };
    if !is_caught_up || behind::known(job).is_some() {
        transaction::run(Isolation::ReadCommitted, || behind::look(job, found))?;
    }
    Ok(is_caught_up)
}

/// Vacuums the log if it has grown; whether it had.
fn tidy_log(job: &Job) -> Result<bool, Failed> {
    let log = transaction::run(Isolation::ReadCommitted, || {
        reshard_rows::log_larger_than(job.change.log_of(job.id), LOG_PAGES_MAX)
    })?;
    log.map_or(Ok(false), |log| vacuum(log).map(|()| true))
}

/// What is left of the time that anybody may be made to wait.
struct Budget {
    clock: Clock,
    all: Duration,
    laps: RefCell<Vec<(&'static str, f64)>>,
}

impl Budget {
    fn lap(&self, what: &'static str) {
        self.laps.borrow_mut().push((what, self.clock.ms()));
    }

    /// What took how long.
    fn told(&self) -> String {
        let mut before = 0.0;
        let mut told = Vec::new();
        for (what, at) in self.laps.borrow().iter() {
            told.push(format!("{what} {:.0}", at - before));
            before = *at;
        }
        told.join(", ")
    }

    fn left_ms(&self) -> i64 {
        let left = self.all.saturating_sub(self.clock.elapsed());
        i64::try_from(left.as_millis()).unwrap_or(i64::MAX)
    }
}

/// The locks that keep writers out, or everybody; dropping it gives them back.
struct KeptOut<'a>(&'a [Oid], Mode);

impl Drop for KeptOut<'_> {
    fn drop(&mut self) {
        for table in self.0 {
            table_lock::unlock_for_session(*table, self.1);
        }
    }
}

/// Whom a try keeps out first. Whoever has read the table and then waits to
/// write, because writers are kept out, is himself in the way of the swap: where
/// that is what everybody does, it would never come. Asked for the stronger lock
/// by one who has no weaker one, the server lets him write first.
const fn kept_out_first(tried: i64) -> Mode {
    if tried > PATIENT_TRIES + 1 && tried % 2 == 1 { Mode::AccessExclusive } else { Mode::ShareRowExclusive }
}

/// The parent, then the sources by number.
fn locked(job: &Job) -> Vec<Oid> {
    let parent = job.change.parent_oid;
    let mut sources: Vec<u32> =
        job.change.sources.iter().map(|source| source.oid).filter(|oid| *oid != parent).collect();
    sources.sort_unstable();
    std::iter::once(job.change.parent_oid).chain(sources).map(Oid::from).collect()
}

fn attempt(job: &Job, tried: i64, caught_up: &Moment, known: &Known) -> Result<Outcome, Failed> {
    let tables = locked(job);
    let all = Duration::from_millis(pace::number(job, "cutover_budget").max(1) as u64);
    let budget = Budget { clock: Clock::start(), all, laps: RefCell::default() };
    let mode = kept_out_first(tried);
    let _out = KeptOut(&tables, mode);
    transaction::run(Isolation::ReadCommitted, || {
        for table in &tables {
            pace::with_lock_timeout(job, Some(budget.left_ms()), || {
                table_lock::lock_for_session(*table, mode);
            });
        }
        Ok(())
    })?;
    budget.lap("locks");
    pace::pause_at(job, "cutting_over.kept_out")?;
    let Some(last) = consume(job, &budget)? else { return Ok(Outcome::Anew) };
    budget.lap("changes");
    pace::pause_at(job, "cutting_over.committed")?;
    // Who has an older snapshot sees rows that stay where they are as before.
    let strict = !job.change.keeps_rows()
        && job.settings.get("cutover_snapshots").and_then(serde_json::Value::as_str) != Some("relaxed");
    let patience = Patience { all: last.any && tried < PATIENT_TRIES, keeping: last.any };
    if strict && let Some(holders) = wait_for_snapshots(last.transaction, caught_up, &budget, patience)? {
        let pids = holders.iter().map(|holder| holder.pid).collect();
        return Ok(Outcome::GaveWay(Hindrance::Snapshots, pids));
    }
    budget.lap("snapshots");
    pace::pause_at(job, "cutting_over.waited")?;
    let outcome = transaction::run_within(Isolation::ReadCommitted, budget.left_ms(), || {
        let outcome = swap(job, known, &tables, &budget)?;
        // Who has waited for us with an older snapshot would not see them.
        if !job.change.keeps_rows() && (last.any || !strict) {
            unseen::put(last.transaction, &tables_of(&job.change));
        }
        Ok(outcome)
    });
    if !matches!(outcome, Ok(Outcome::Done(_))) {
        unseen::take_back(last.transaction);
    }
    budget.lap("commit");
    Ok(match outcome? {
        Outcome::Done(_) => Outcome::Done(budget.told()),
        other => other,
    })
}

/// The tables by which rows are found that have moved: the new ones, or what they are all parts of.
fn tables_of(change: &Change) -> Vec<u32> {
    let made: Vec<u32> = change.made().iter().map(|(oid, _)| *oid).collect();
    if made.len() <= unseen::TABLES_MAX {
        return made;
    }
    match &change.rebuilt {
        Some(_) => change.targets.iter().filter_map(|target| target.oid).collect(),
        None => vec![change.parent_oid],
    }
}

/// Whether it gives way to those who wait for us: to all, and to those who are
/// known to go on with the snapshot that they have.
#[derive(Clone, Copy)]
struct Patience {
    all: bool,
    keeping: bool,
}

impl Patience {
    const fn concerns(self, holder: &Holder) -> bool {
        !holder.waits_for_us || holder.is_old || self.all || self.keeping && holder.keeps
    }
}

/// The transaction that has brought the last changes.
struct Last {
    transaction: u64,
    /// Whether there were any.
    any: bool,
}

/// Commits the last changes to the new shards. None: copying begins anew.
fn consume(job: &Job, budget: &Budget) -> Result<Option<Last>, Failed> {
    transaction::run_within(Isolation::RepeatableRead, budget.left_ms(), || {
        let mut any = false;
        locked(job).into_iter().for_each(table_lock::tell_standbys);
        loop {
            let round = catch_up::round(&job.change, job.id, i64::from(i32::MAX))?;
            if round.restart {
                steps::begin_anew(job)?;
                return Ok(None);
            }
            any |= round.keys > 0;
            if round.left == 0 {
                // Without changes too: what was committed before is not older.
                return Ok(Some(Last { transaction: server::transaction_id(), any }));
            }
        }
    })
}

/// Waits until the snapshots are gone that are older than the residual; those
/// that are still there if the time is up.
fn wait_for_snapshots(
    residual: u64,
    caught_up: &Moment,
    budget: &Budget,
    patience: Patience,
) -> Result<Option<Vec<Holder>>, Failed> {
    let matters = |holder: &Holder| patience.concerns(holder);
    let look = || transaction::run(Isolation::ReadCommitted, || snapshots::holders(residual, caught_up));
    let mut waited: Vec<Holder> = look()?.into_iter().filter(|holder| matters(holder)).collect();
    loop {
        if waited.is_empty() {
            return Ok(None);
        }
        // Who waits for us does not end before we give way.
        if budget.left_ms() < 50 || waited.iter().any(|holder| holder.waits_for_us) {
            return Ok(Some(waited));
        }
        operation_worker::sleep(1);
        let now = look()?;
        waited = now
            .into_iter()
            .filter(|holder| matters(holder) && waited.iter().any(|before| before.is_same(holder)))
            .collect();
    }
}

/// Locks a table that is locked against writers already, against everybody;
/// false if others were in the way all the time. Tries again and again and does
/// not queue: whoever has read the table and now wants to write would at once
/// be told of a deadlock by the server if he found us waiting for him.
fn lock_unqueued(job: &Job, table: Oid, budget: &Budget) -> Result<bool, ErrorReport> {
    let clock = Clock::start();
    let most = pace::number(job, "cutover_lock_timeout").max(1);
    while !table_lock::try_lock(table, Mode::AccessExclusive) {
        if clock.ms() > most as f64 || budget.left_ms() <= 0 {
            return Ok(false);
        }
        // Readers without a pause leave moments that are much shorter than a millisecond.
        pgrx::check_for_interrupts!();
        std::thread::sleep(BETWEEN_LOOKS);
    }
    Ok(true)
}

/// The swap and everything that is true with it.
fn swap(job: &Job, known: &Known, tables: &[Oid], budget: &Budget) -> Result<Outcome, ErrorReport> {
    let others = swap::tables(&job.change)?;
    // Whoever reads a view has locked it before he comes to the table.
    let views = known.prepared.views();
    for table in views.iter().chain(tables) {
        if !lock_unqueued(job, *table, budget)? {
            return Ok(Outcome::GaveWay(Hindrance::Readers, snapshots::lockers(job)?));
        }
    }
    for table in &others {
        pace::with_lock_timeout(job, Some(budget.left_ms()), || {
            table_lock::lock(*table, Mode::AccessExclusive);
        });
    }
    budget.lap("all locks");
    if jobs::wish(job.id)? != JobWish::Run {
        return Ok(Outcome::GaveWay(Hindrance::Wish, Vec::new()));
    }
    // The hash takes long: only if something is new, which need not be an alteration.
    if let Some(blind) = blind_trigger(job)? {
        return Err(altered::error(job, format!("Trigger {blind} has not seen every change.")));
    }
    if check::versions(&job.change)? != known.versions
        && (job.change.rebuilt.is_some() || check::fingerprint(&job.change)? != job.fingerprint)
    {
        return Ok(Outcome::GaveWay(Hindrance::Altered, Vec::new()));
    }
    if catch_up::backlog(&job.change, job.id)? > 0 {
        return Ok(Outcome::GaveWay(
            Hindrance::Other("changes that came in spite of the locks".to_owned()),
            Vec::new(),
        ));
    }
    budget.lap("last look");
    capture::remove(&job.change, job.id)?;
    pace::with_lock_timeout(job, Some(budget.left_ms()), || swap::run(&job.change, job.id, &known.prepared))?;
    jobs::finish(job.id, Phase::Done, "the new shards are attached")?;
    budget.lap("swap");
    Ok(Outcome::Done(String::new()))
}

/// A trigger that did not see every change: of this operation, or of the one
/// whose log an undo reads.
fn blind_trigger(job: &Job) -> Result<Option<String>, ErrorReport> {
    let mut blind = job_objects::blind_triggers(job.id)?;
    let log = job.change.log_of(job.id);
    if log != job.id {
        blind.extend(job_objects::blind_triggers(log)?);
    }
    Ok(blind.into_iter().next())
}
