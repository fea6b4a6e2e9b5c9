//! Jobs: operations that a worker carries out in many transactions, and what
//! it needs to go on where it was.
//!
//! A job's line in the log of operations is what people see; its row here is
//! what the worker goes by. What users wish of it stands apart, so that their
//! open transactions are never in the worker's way.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

pub use crate::catalog::job_objects::Object;
pub use crate::catalog::job_objects::Role;
pub use crate::catalog::job_objects::forget_object;
pub use crate::catalog::job_objects::objects;
pub use crate::catalog::job_objects::record_object;
use crate::model::backlog::Backlog;
use crate::model::operation::Kind;
use crate::model::operation::Phase;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::pg::context::as_extension_owner;
use crate::pg::error;
use crate::pg::spi;

/// What a user wishes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobWish {
    Run,
    Pause,
    Cancel,
}

impl JobWish {
    const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Pause => "pause",
            Self::Cancel => "cancel",
        }
    }
}

/// A job, as its worker takes it up.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: i64,
    pub kind: Kind,
    pub change: Change,
    pub settings: Map<String, Value>,
    /// The step that is next.
    pub phase: Phase,
    /// How far the step is.
    pub state: Value,
    /// How it will have ended once everything of it is dropped.
    pub ending: Option<Phase>,
    pub fingerprint: String,
    /// Whether it was begun in this database, and not in one of which this is a copy.
    pub is_here: bool,
}

#[derive(Deserialize)]
struct Stored {
    kind: String,
    change: Change,
    settings: Map<String, Value>,
    phase: String,
    state: Value,
    ending: Option<String>,
    fingerprint: String,
    is_here: bool,
}

/// A job that is about to be.
pub struct NewJob<'a> {
    pub kind: Kind,
    pub change: &'a Change,
    pub settings: &'a Map<String, Value>,
    pub owner: Oid,
    pub shape: &'a Shape,
    pub user: &'a str,
}

/// What tables are and have.
pub struct Shape {
    /// A line for each thing.
    pub lines: String,
    /// A hash of the lines.
    pub fingerprint: String,
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, ErrorReport> {
    serde_json::to_string(value).map_err(|cause| {
        error::new(SqlState::DataCorrupted, format!("could not write a value down: {cause}"), None, None)
    })
}

/// Writes a new job down with its line in the log of operations; none if
/// another job works on the table.
pub fn insert(job: &NewJob<'_>) -> Result<Option<i64>, ErrorReport> {
    let (change, settings) = (text(job.change)?, text(job.settings)?);
    let root = i64::from(job.change.root_oid);
    as_extension_owner(|| {
        spi::one::<i64>(
            "WITH job AS (
                 INSERT INTO presplit.jobs (operation_id, root, change, settings, owner, database, system_identifier,
                     fingerprint, shape)
                 SELECT nextval(pg_get_serial_sequence('presplit.operation_log', 'operation_id')), $1::oid, $2::jsonb,
                     $3::jsonb, $4, d.oid, s.system_identifier, $5, $9
                 FROM pg_database AS d, pg_control_system() AS s WHERE d.datname = current_database()
                 ON CONFLICT (root) WHERE NOT is_over DO NOTHING
                 RETURNING operation_id),
             wish AS (
                 INSERT INTO presplit.job_wishes (operation_id, wish, wished_by)
                 SELECT operation_id, 'run', $8 FROM job)
             INSERT INTO presplit.operation_log (operation_id, kind, schema_name, table_name, relation, phase, started_by)
             SELECT operation_id, $6, $7::jsonb->>'schema', $7::jsonb->>'name', $1::oid, 'planned', $8 FROM job
             RETURNING operation_id",
            &[
                root.into(),
                change.as_str().into(),
                settings.as_str().into(),
                job.owner.into(),
                job.shape.fingerprint.as_str().into(),
                job.kind.word().into(),
                text(&job.change.root)?.as_str().into(),
                job.user.into(),
                job.shape.lines.as_str().into(),
            ],
        )
    })
}

/// The job that works on a table now: its number and what it does.
pub fn on_table(root: u32) -> Result<Option<(i64, String)>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<(i64, String)>(
            "SELECT jsonb_build_array(j.operation_id, o.kind)::text
             FROM presplit.jobs AS j JOIN presplit.operation_log AS o USING (operation_id)
             WHERE j.root = $1::oid AND NOT j.is_over",
            &[i64::from(root).into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// Jobs that a worker has something to do about, oldest first: those of this
/// database, and of one of which it is a copy what is to be taken back.
pub fn runnable() -> Result<Vec<i64>, ErrorReport> {
    as_extension_owner(|| {
        spi::column::<i64>(
            "SELECT j.operation_id
             FROM presplit.jobs AS j
             JOIN presplit.operation_log AS o USING (operation_id)
             JOIN presplit.job_wishes AS w USING (operation_id)
             WHERE NOT j.is_over AND j.next_try_at <= clock_timestamp()
               AND (w.wish <> 'pause' OR j.ending IS NOT NULL OR o.phase <> 'paused')
               AND (w.wish = 'cancel' OR j.ending IS NOT NULL
                    OR j.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                       AND j.system_identifier = (SELECT s.system_identifier FROM pg_control_system() AS s))
             ORDER BY j.operation_id",
            &[],
        )
    })
}

/// A job that is not over.
pub fn load(id: i64) -> Result<Option<Job>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Stored>(
            "SELECT jsonb_build_object('kind', o.kind, 'change', j.change, 'settings', j.settings, 'phase', j.phase,
                    'state', j.state, 'ending', j.ending, 'fingerprint', j.fingerprint,
                    'is_here', j.database = d.oid AND j.system_identifier = s.system_identifier)::text
             FROM presplit.jobs AS j JOIN presplit.operation_log AS o USING (operation_id)
             CROSS JOIN pg_control_system() AS s JOIN pg_database AS d ON d.datname = current_database()
             WHERE j.operation_id = $1 AND NOT j.is_over",
            &[id.into()],
        )
    })?;
    Ok(found.into_iter().next().map(|stored| Job {
        id,
        kind: Kind::of(&stored.kind).unwrap_or(Kind::Split),
        change: stored.change,
        settings: stored.settings,
        phase: Phase::of(&stored.phase).unwrap_or(Phase::Planned),
        state: stored.state,
        ending: stored.ending.as_deref().and_then(Phase::of),
        fingerprint: stored.fingerprint,
        is_here: stored.is_here,
    }))
}

/// The settings that an operation was begun with.
pub fn settings(id: i64) -> Result<Map<String, Value>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Map<String, Value>>(
            "SELECT settings::text FROM presplit.jobs WHERE operation_id = $1",
            &[id.into()],
        )
    })?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// What is wished of a job now.
pub fn wish(id: i64) -> Result<JobWish, ErrorReport> {
    let word = as_extension_owner(|| {
        spi::one::<String>("SELECT wish FROM presplit.job_wishes WHERE operation_id = $1", &[id.into()])
    })?;
    Ok(match word.as_deref() {
        Some("pause") => JobWish::Pause,
        Some("cancel") => JobWish::Cancel,
        _ => JobWish::Run,
    })
}

/// Wishes something of a job.
pub fn set_wish(id: i64, wish: JobWish, user: &str) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.job_wishes SET wish = $2, wished_by = $3, wished_at = clock_timestamp()
             WHERE operation_id = $1",
            &[id.into(), wish.word().into(), user.into()],
        )
        .map(|_| ())
    })
}

/// Goes over to a step, and says so; `note` is what the step before has come to.
pub fn set_phase(id: i64, phase: Phase, note: &str) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "WITH before AS (
                 SELECT j.phase, extract(epoch FROM clock_timestamp() - (
                     SELECT max(e.at) FROM presplit.job_events AS e WHERE e.operation_id = $1))::float8 AS seconds
                 FROM presplit.jobs AS j WHERE j.operation_id = $1)
             INSERT INTO presplit.job_events (operation_id, phase, seconds, note)
             SELECT $1, b.phase, b.seconds, $2 FROM before AS b",
            &[id.into(), note.into()],
        )?;
        spi::run(
            "UPDATE presplit.jobs SET phase = $2, state = '{}', waiting_for = NULL, blocked_by = NULL, seconds_left = NULL
             WHERE operation_id = $1",
            &[id.into(), phase.word().into()],
        )?;
        show(id, phase)
    })
}

/// Shows a phase in the view, unless somebody has ended the operation by force meanwhile.
pub fn show(id: i64, phase: Phase) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.operation_log SET phase = $2 WHERE operation_id = $1 AND phase <> $2 AND finished_at IS NULL",
            &[id.into(), phase.word().into()],
        )
        .map(|_| ())
    })
}

/// Writes a line into the history of a job.
pub fn note(id: i64, phase: Phase, seconds: Option<f64>, note: &str) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.job_events (operation_id, phase, seconds, note) VALUES ($1, $2, $3, $4)",
            &[id.into(), phase.word().into(), seconds.into(), note.into()],
        )
        .map(|_| ())
    })
}

/// The change as it is now: with the tables that were made for it.
pub fn set_change(id: i64, change: &Change) -> Result<(), ErrorReport> {
    let change = text(change)?;
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET change = $2::jsonb WHERE operation_id = $1",
            &[id.into(), change.as_str().into()],
        )
        .map(|_| ())
    })
}

/// How far a step is.
pub fn set_state(id: i64, state: &Value) -> Result<(), ErrorReport> {
    let state = text(state)?;
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET state = $2::jsonb WHERE operation_id = $1",
            &[id.into(), state.as_str().into()],
        )
        .map(|_| ())
    })
}

/// What a job has done, for people.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    pub rows: i64,
    pub bytes: i64,
    pub rows_total: Option<i64>,
    pub bytes_total: Option<i64>,
    pub seconds_left: Option<f64>,
}

/// Says how much a job has done.
pub fn set_done(id: i64, done: &Done, detail: &str) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.operation_log SET rows_done = $2, bytes_done = $3, rows_total = $4, bytes_total = $5, detail = $6
             WHERE operation_id = $1",
            &[
                id.into(),
                done.rows.into(),
                done.bytes.into(),
                done.rows_total.into(),
                done.bytes_total.into(),
                detail.into(),
            ],
        )?;
        spi::run(
            "UPDATE presplit.jobs SET seconds_left = $2, waiting_for = NULL, blocked_by = NULL WHERE operation_id = $1",
            &[id.into(), done.seconds_left.into()],
        )
        .map(|_| ())
    })
}

/// Says what a job waits for; none = nothing.
pub fn set_waiting(id: i64, what: Option<&str>, blocked_by: &[i32]) -> Result<(), ErrorReport> {
    let pids = (!blocked_by.is_empty()).then(|| blocked_by.to_vec());
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET waiting_for = $2, blocked_by = $3
             WHERE operation_id = $1 AND (waiting_for, blocked_by) IS DISTINCT FROM ($2, $3)",
            &[id.into(), what.map(str::to_owned).into(), pids.into()],
        )
        .map(|_| ())
    })
}

/// Counts cutovers that had to give way; how many there were, and the seconds
/// since the first.
pub fn count_tries(id: i64, more: i64) -> Result<(i64, f64), ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<(i64, f64)>(
            "UPDATE presplit.jobs AS j SET state = j.state || jsonb_build_object(
                 'tries', coalesce((j.state->>'tries')::bigint, 0) + $2,
                 'since', coalesce((j.state->>'since')::float8, extract(epoch FROM clock_timestamp())::float8))
             WHERE j.operation_id = $1
             RETURNING jsonb_build_array(j.state->'tries',
                 extract(epoch FROM clock_timestamp())::float8 - (j.state->>'since')::float8)::text",
            &[id.into(), more.into()],
        )
    })?;
    Ok(found.into_iter().next().unwrap_or_default())
}

/// What is known of the changes that are left for a step; none = they are few.
pub fn set_behind(id: i64, behind: Option<Backlog>) -> Result<(), ErrorReport> {
    let behind = behind.as_ref().map(text).transpose()?;
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET state = jsonb_strip_nulls(state || jsonb_build_object('behind', $2::jsonb))
             WHERE operation_id = $1 AND state->'behind' IS DISTINCT FROM $2::jsonb",
            &[id.into(), behind.into()],
        )
        .map(|_| ())
    })
}

/// Has a job rest until somebody resumes it, and says why.
pub fn park(id: i64, cause: &str) -> Result<(), ErrorReport> {
    set_wish(id, JobWish::Pause, "pg_presplit")?;
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.operation_log SET error = $2 WHERE operation_id = $1",
            &[id.into(), cause.into()],
        )
        .map(|_| ())
    })
}

/// Takes settings over into a job that rests, and forgets what it has tried.
pub fn renew(id: i64, settings: &Map<String, Value>) -> Result<(), ErrorReport> {
    let settings = text(settings)?;
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET settings = settings || $2::jsonb, state = state - 'tries' - 'since' - 'behind',
                 waiting_for = NULL, blocked_by = NULL
             WHERE operation_id = $1",
            &[id.into(), settings.as_str().into()],
        )
        .map(|_| ())
    })?;
    forgive(id)
}

/// Whether a cutover has given way to this process.
pub fn is_blocked_by(id: i64, pid: i32) -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT $2 = ANY (j.blocked_by) FROM presplit.jobs AS j WHERE j.operation_id = $1 AND NOT j.is_over",
            &[id.into(), pid.into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// What the tables of a job are like by now, which it goes on with.
pub fn set_shape(id: i64, shape: &Shape) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET fingerprint = $2, shape = $3 WHERE operation_id = $1",
            &[id.into(), shape.fingerprint.as_str().into(), shape.lines.as_str().into()],
        )
        .map(|_| ())
    })
}

/// What the tables of a job were like when it began.
pub fn shape(id: i64) -> Result<String, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<String>("SELECT shape FROM presplit.jobs WHERE operation_id = $1", &[id.into()])
    })
    .map(Option::unwrap_or_default)
}

/// A step has failed and is tried again after some seconds.
pub fn postpone(id: i64, cause: &str, seconds: f64) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET next_try_at = clock_timestamp() + $2 * interval '1 second' WHERE operation_id = $1",
            &[id.into(), seconds.into()],
        )?;
        spi::run(
            "UPDATE presplit.operation_log SET attempts = attempts + 1, error = $2 WHERE operation_id = $1",
            &[id.into(), cause.into()],
        )
        .map(|_| ())
    })
}

/// A step has gone well after all. Of a job that ends the error is why.
pub fn forgive(id: i64) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.operation_log AS o SET error = NULL
             WHERE o.operation_id = $1 AND o.error IS NOT NULL
               AND NOT EXISTS (SELECT FROM presplit.jobs AS j WHERE j.operation_id = $1 AND j.ending IS NOT NULL)",
            &[id.into()],
        )
        .map(|_| ())
    })
}

/// Decides how a job ends: everything of it is to be dropped first.
pub fn begin_ending(id: i64, ending: Phase, cause: Option<&str>) -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET ending = $2 WHERE operation_id = $1 AND NOT is_over",
            &[id.into(), ending.word().into()],
        )?;
        spi::run(
            "UPDATE presplit.operation_log SET error = $2 WHERE operation_id = $1",
            &[id.into(), cause.map(str::to_owned).into()],
        )
        .map(|_| ())
    })
}

/// The job is over.
pub fn finish(id: i64, phase: Phase, said: &str) -> Result<(), ErrorReport> {
    set_phase(id, phase, said)?;
    as_extension_owner(|| {
        spi::run("UPDATE presplit.jobs SET is_over = true WHERE operation_id = $1", &[id.into()])?;
        spi::run(
            "UPDATE presplit.operation_log SET finished_at = clock_timestamp() WHERE operation_id = $1",
            &[id.into()],
        )
        .map(|_| ())
    })
}

/// Begins a failed job anew, and here, wherever it was begun first; false if
/// another works on its table.
pub fn revive(id: i64, change: &Change, shape: &Shape) -> Result<bool, ErrorReport> {
    if let Some((_, _)) = on_table(change.root_oid)? {
        return Ok(false);
    }
    let change = text(change)?;
    as_extension_owner(|| {
        spi::run(
            "UPDATE presplit.jobs SET is_over = false, ending = NULL, phase = 'planned', state = '{}', change = $2::jsonb,
                 fingerprint = $3, shape = $4, next_try_at = clock_timestamp(),
                 database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()),
                 system_identifier = (SELECT s.system_identifier FROM pg_control_system() AS s)
             WHERE operation_id = $1",
            &[id.into(), change.as_str().into(), shape.fingerprint.as_str().into(), shape.lines.as_str().into()],
        )?;
        spi::run(
            "UPDATE presplit.operation_log SET phase = 'planned', error = NULL, finished_at = NULL, attempts = attempts + 1,
                 rows_done = 0, bytes_done = 0
             WHERE operation_id = $1",
            &[id.into()],
        )?;
        Ok(true)
    })
}

/// What a user asks of an operation before he does something to it.
#[derive(Debug, Clone, Deserialize)]
pub struct Known {
    /// The user has the rights of the table's owner, or the table is gone and he began it.
    pub is_own: bool,
    pub table: String,
    pub phase: String,
    /// Whether it is a job; loads are none.
    pub is_job: bool,
    /// Whether it is not over, and was begun in a database of which this one is a copy.
    pub is_copied: bool,
    /// Whether it is to be taken back, or is being.
    pub is_given_up: bool,
    pub change: Option<Change>,
}

/// An operation as a user sees it, if there is one of this number.
pub fn known(id: i64, user: &str) -> Result<Option<Known>, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<Known>(
            "SELECT jsonb_build_object(
                 'is_own', coalesce(pg_has_role($2::name, c.relowner, 'USAGE'),
                                    o.started_by = $2 OR (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = $2)),
                 'table', o.table_name, 'phase', o.phase, 'is_job', j.operation_id IS NOT NULL,
                 'is_copied', NOT coalesce(j.is_over OR j.database = d.oid AND j.system_identifier = s.system_identifier, true),
                 'is_given_up', coalesce(w.wish = 'cancel' OR j.ending IS NOT NULL, false), 'change', j.change)::text
             FROM presplit.operation_log AS o
             CROSS JOIN pg_control_system() AS s JOIN pg_database AS d ON d.datname = current_database()
             LEFT JOIN presplit.jobs AS j USING (operation_id)
             LEFT JOIN presplit.job_wishes AS w USING (operation_id)
             LEFT JOIN pg_class AS c ON c.oid = o.relation
             WHERE o.operation_id = $1",
            &[id.into(), user.into()],
        )
    })?;
    Ok(found.into_iter().next())
}

/// What an operation does.
pub fn kind(id: i64) -> Result<Kind, ErrorReport> {
    let word = as_extension_owner(|| {
        spi::one::<String>("SELECT kind FROM presplit.operation_log WHERE operation_id = $1", &[id.into()])
    })?;
    Ok(word.as_deref().and_then(Kind::of).unwrap_or(Kind::Split))
}

/// The phase of an operation.
pub fn phase(id: i64) -> Result<Option<Phase>, ErrorReport> {
    let word = as_extension_owner(|| {
        spi::one::<String>("SELECT phase FROM presplit.operation_log WHERE operation_id = $1", &[id.into()])
    })?;
    Ok(word.as_deref().and_then(Phase::of))
}
