//! The steps of a job: each a transaction, or part of one, that does one thing
//! and writes down in itself that it is done.

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;
use serde_json::json;

use crate::catalog::jobs;
use crate::catalog::jobs::Done;
use crate::catalog::jobs::Job;
use crate::catalog::places;
use crate::catalog::places::Place;
use crate::model::backlog::FEW;
use crate::model::backlog::next_keys;
use crate::model::job::next_rows;
use crate::model::job::rest_ms;
use crate::model::operation::Phase;
use crate::model::operation::seconds_left;
use crate::model::operation::with_rate;
use crate::model::reshard::Change;
use crate::model::reshard::Undo;
use crate::operations::reshard::behind;
use crate::operations::reshard::capture;
use crate::operations::reshard::catch_up;
use crate::operations::reshard::copy;
use crate::operations::reshard::cutover;
use crate::operations::reshard::guard;
use crate::operations::reshard::indexing;
use crate::operations::reshard::objects;
use crate::operations::reshard::offline;
use crate::operations::reshard::pace;
use crate::operations::reshard::staging;
use crate::operations::reshard::verify;
use crate::pg::clock::Clock;
use crate::pg::spi;
use crate::pg::table_lock::Mode;
use crate::pg::transaction;
use crate::pg::transaction::Failed;
use crate::pg::transaction::Isolation;

/// Bytes of a row where the server knows nothing of its table.
const BYTES_PER_ROW: i64 = 100;

/// What the worker does after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Again,
    /// Milliseconds.
    Rest(u64),
    Over,
}

/// What the worker remembers between turns; nothing that it could not do without.
#[derive(Debug, Default)]
pub struct Memory {
    entered: Option<Phase>,
    /// Rows of the last chunk and the milliseconds it took.
    last_chunk: Option<(i64, f64)>,
    /// When the copying began that this worker saw, and the rows that were done then.
    since: Option<(Clock, i64, i64)>,
    /// Changes that the last round has brought over, the milliseconds it took, and how many it left.
    last_round: Option<(i64, f64)>,
    left: i64,
    /// Where files are written to in a phase.
    places: Option<(Phase, Vec<Place>)>,
}

impl Memory {
    /// Whether a phase is entered just now.
    pub fn enter(&mut self, phase: Phase) -> bool {
        self.entered.replace(phase) != Some(phase)
    }

    /// Where the job writes files in its phase.
    ///
    /// # Errors
    /// If the catalogs cannot be read.
    pub fn places(&mut self, job: &Job) -> Result<&[Place], ErrorReport> {
        // Each turn of the indexing may have made an index in a tablespace of its own.
        if self.places.as_ref().is_none_or(|(phase, _)| *phase != job.phase || *phase == Phase::Indexing) {
            self.places = Some((job.phase, places::of(&job.change)?));
        }
        Ok(self.places.as_ref().map(|(_, places)| places.as_slice()).unwrap_or_default())
    }
}

/// Does the step that is next.
pub fn step(job: &Job, memory: &mut Memory) -> Result<Next, Failed> {
    match job.phase {
        Phase::Planned if !job.change.online => read_committed(|| {
            jobs::set_phase(job.id, Phase::Copying, "taken up; everybody waits until it is over")?;
            Ok(Next::Again)
        }),
        Phase::Copying if !job.change.online => offline::turn(job),
        Phase::Planned => read_committed(|| {
            jobs::set_phase(job.id, Phase::Preparing, "taken up")?;
            Ok(Next::Again)
        }),
        Phase::Preparing => read_committed(|| prepare(job)),
        Phase::Capturing => read_committed(|| install(job)),
        Phase::Copying => copy_chunk(job, memory),
        Phase::Indexing => read_committed(|| index(job)),
        Phase::CatchingUp => catch_up_round(job, memory),
        Phase::Verifying => verify_bucket(job, memory),
        Phase::CuttingOver => cutover::turn(job),
        Phase::Done | Phase::Paused | Phase::Failed | Phase::Cancelled => Ok(Next::Over),
    }
}

fn read_committed<R>(work: impl FnOnce() -> Result<R, ErrorReport>) -> Result<R, Failed> {
    transaction::run(Isolation::ReadCommitted, work)
}

fn repeatable_read<R>(work: impl FnOnce() -> Result<R, ErrorReport>) -> Result<R, Failed> {
    transaction::run(Isolation::RepeatableRead, work)
}

fn prepare(job: &Job) -> Result<Next, ErrorReport> {
    let change = pace::with_lock_timeout(job, None, || staging::create(&job.change, job.id))?;
    guard::keep_out(&change, job.id)?;
    jobs::set_change(job.id, &change)?;
    let done = if change.keeps_rows() { Done::default() } else { totals(&change)? };
    jobs::set_done(job.id, &done, &detail(&change))?;
    if change.keeps_rows() {
        jobs::set_phase(job.id, Phase::Indexing, "the new table and the shards ahead are there")?;
    } else if change.is_captured() {
        jobs::set_phase(job.id, Phase::CatchingUp, "the old shards are ready for what has changed since")?;
    } else {
        jobs::set_phase(job.id, Phase::Capturing, "staging tables are there")?;
    }
    Ok(Next::Again)
}

/// What the sources have, as the server estimates it.
fn totals(change: &Change) -> Result<Done, ErrorReport> {
    let sources: Vec<i64> = change.sources.iter().map(|source| i64::from(source.oid)).collect();
    let found = spi::rows::<(i64, i64)>(
        "SELECT jsonb_build_array(
             coalesce(sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples ELSE s.n_live_tup END)::bigint, 0),
             coalesce(sum(pg_catalog.pg_relation_size(c.oid)), 0))::text
         FROM pg_catalog.pg_class AS c LEFT JOIN pg_catalog.pg_stat_all_tables AS s ON s.relid = c.oid
         WHERE c.oid = ANY ($1::oid[])",
        &[sources.into()],
    )?;
    let (rows, bytes) = found.first().copied().unwrap_or_default();
    Ok(Done { rows_total: Some(rows), bytes_total: Some(bytes), ..Done::default() })
}

/// What becomes what.
pub fn detail(change: &Change) -> String {
    if change.rebuilt.as_ref().is_some_and(|rebuilt| rebuilt.plain) {
        return format!("{} into a plain table", change.root.name);
    }
    if let Some(rebuilt) = &change.rebuilt {
        let shards = rebuilt.partitions.iter().filter(|part| part.is_leaf).count();
        if change.keeps_rows() {
            return format!("{} as shard {}, {shards} more beside it", change.root.name, rebuilt.aside.name);
        }
        return format!("{} into {shards} shards", change.root.name);
    }
    let names = |names: Vec<&str>| names.join(", ");
    let way = match &change.undo {
        None => String::new(),
        Some(undo) if undo.captured && !undo.emptied => {
            format!(" again: what has changed since operation {} is brought back", undo.operation_id)
        }
        Some(undo) => {
            format!(" again: all rows are copied back, for operation {} is undone", undo.operation_id)
        }
    };
    format!(
        "{} into {}{way}",
        names(change.sources.iter().map(|source| source.name.name.as_str()).collect()),
        names(change.targets.iter().map(|target| target.name.name.as_str()).collect()),
    )
}

fn install(job: &Job) -> Result<Next, ErrorReport> {
    if !pace::with_lock_timeout(job, None, || capture::install_next(&job.change, job.id))? {
        jobs::set_phase(job.id, Phase::Copying, "changes are written down")?;
    }
    Ok(Next::Again)
}

fn number_in(state: &Value, name: &str) -> i64 {
    state.get(name).and_then(Value::as_i64).unwrap_or(0)
}

fn copy_chunk(job: &Job, memory: &mut Memory) -> Result<Next, Failed> {
    let rows = next_rows(memory.last_chunk);
    let clock = Clock::start();
    let (copied, next) = repeatable_read(|| {
        let chunk = copy::chunk(&job.change, job.id, job.state.get("cursor"), rows)?;
        if chunk.restart {
            begin_anew(job)?;
            return Ok((None, Next::Again));
        }
        let (rows, bytes) =
            (number_in(&job.state, "rows") + chunk.rows, number_in(&job.state, "bytes") + chunk.bytes);
        say_copied(job, memory, rows, bytes)?;
        if chunk.finished {
            jobs::set_phase(job.id, Phase::Indexing, &format!("{rows} rows, {bytes} bytes are copied"))?;
        } else {
            jobs::set_state(job.id, &json!({"cursor": chunk.cursor, "rows": rows, "bytes": bytes}))?;
            if chunk.rows == 0 {
                behind::look(job, chunk.changes)?;
            }
        }
        Ok((Some(chunk), Next::Again))
    })?;
    let took = clock.ms();
    let Some(chunk) = copied else {
        memory.since = None;
        return Ok(next);
    };
    if chunk.rows > 0 {
        memory.last_chunk = Some((rows, chunk.ms));
    }
    if memory.since.is_none() {
        memory.since = Some((clock, number_in(&job.state, "rows"), number_in(&job.state, "bytes")));
    }
    if chunk.rows == 0 {
        // Changes are brought over as fast as it goes, or there would be ever more.
        return Ok(next);
    }
    match rest_ms(chunk.bytes, took, pace::number(job, "reshard_rate_limit")) {
        0 => Ok(next),
        ms => Ok(Next::Rest(ms)),
    }
}

/// How much is copied, how fast, and how long the rest will take.
fn say_copied(job: &Job, memory: &Memory, rows: i64, bytes: i64) -> Result<(), ErrorReport> {
    let totals = totals(&job.change)?;
    let mut done = Done { rows, bytes, rows_total: totals.rows_total.map(|total| total.max(rows)), ..totals };
    let mut detail = detail(&job.change);
    if let Some((clock, rows_before, bytes_before)) = &memory.since {
        let micros = i64::try_from(clock.elapsed().as_micros()).unwrap_or(i64::MAX);
        detail = with_rate(&detail, bytes - bytes_before, micros);
        let rest = done.rows_total.map(|total| total - rows_before);
        done.seconds_left = seconds_left(rows - rows_before, rest, micros);
    }
    jobs::set_done(job.id, &done, &detail)
}

/// Somebody has truncated a source: what was copied is of no use.
pub fn begin_anew(job: &Job) -> Result<(), ErrorReport> {
    pace::with_lock_timeout(job, None, || {
        let tables = guard::check(&job.change, Mode::AccessExclusive)?;
        tables.iter().filter(|table| !table.is_partitioned).try_for_each(|table| {
            objects::run_as(table.owner, "", [&format!("TRUNCATE TABLE ONLY {}", table.name)])
        })
    })?;
    if let Some(undo) = &job.change.undo {
        let undo = Undo { emptied: true, ..undo.clone() };
        jobs::set_change(job.id, &Change { undo: Some(undo), ..job.change.clone() })?;
    }
    jobs::set_phase(job.id, Phase::Copying, "a source was truncated: copying begins anew")
}

fn index(job: &Job) -> Result<Next, ErrorReport> {
    if !indexing::next(&job.change, job.id)? {
        let then = if job.change.keeps_rows() { Phase::CuttingOver } else { Phase::CatchingUp };
        jobs::set_phase(job.id, then, "indexes and constraints are there")?;
    }
    Ok(Next::Again)
}

/// Brings changes over, as many as the last rounds advise.
fn bring_over(job: &Job, memory: &Memory) -> Result<catch_up::Round, ErrorReport> {
    let round = catch_up::round(&job.change, job.id, next_keys(memory.last_round, memory.left))?;
    if round.restart {
        begin_anew(job)?;
    }
    Ok(round)
}

impl Memory {
    fn keep(&mut self, round: &catch_up::Round, ms: f64) {
        if round.left > 0 {
            self.last_round = Some((round.keys, ms));
        }
        self.left = round.left;
    }
}

fn catch_up_round(job: &Job, memory: &mut Memory) -> Result<Next, Failed> {
    let clock = Clock::start();
    let round = repeatable_read(|| {
        let round = bring_over(job, memory)?;
        if round.restart {
            return Ok(round);
        }
        if round.left <= FEW {
            jobs::set_phase(job.id, Phase::Verifying, &format!("{} changed rows are left", round.left))?;
        } else {
            behind::look(job, round.found())?;
        }
        Ok(round)
    })?;
    memory.keep(&round, clock.ms());
    Ok(Next::Again)
}

fn verify_bucket(job: &Job, memory: &mut Memory) -> Result<Next, Failed> {
    let clock = Clock::start();
    let (round, bytes) = repeatable_read(|| {
        let round = bring_over(job, memory)?;
        if round.restart {
            return Ok((round, 0));
        }
        behind::look(job, round.found())?;
        if round.left > 0 {
            // Compared is what has no changes left, or there would be differences.
            return Ok((round, 0));
        }
        let bucket = verify::bucket(&job.change, job.id, job.state.get("cursor"))?;
        let rows = number_in(&job.state, "rows") + bucket.rows;
        if bucket.finished {
            jobs::set_phase(job.id, Phase::CuttingOver, &format!("{rows} rows are compared"))?;
        } else {
            jobs::set_state(job.id, &json!({"cursor": bucket.cursor, "rows": rows}))?;
        }
        Ok((round, bucket.rows.saturating_mul(bytes_per_row(&job.change)?)))
    })?;
    memory.keep(&round, clock.ms());
    // It reads as much as it would write: the same rate keeps it from filling the caches.
    match rest_ms(bytes, clock.ms(), pace::number(job, "reshard_rate_limit").saturating_mul(2)) {
        0 => Ok(Next::Again),
        ms => Ok(Next::Rest(ms)),
    }
}

/// How many bytes a row of the sources has, as the server estimates it.
fn bytes_per_row(change: &Change) -> Result<i64, ErrorReport> {
    let totals = totals(change)?;
    let (rows, bytes) = (totals.rows_total.unwrap_or_default(), totals.bytes_total.unwrap_or_default());
    Ok(if rows > 0 { bytes / rows } else { BYTES_PER_ROW })
}
