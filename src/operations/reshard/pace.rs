//! When a job may go on and how fast: switches, the window, replicas, disk,
//! its settings, and the points where tests have it wait.

use std::ffi::CString;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs::Job;
use crate::catalog::places::Place;
use crate::model::job::Window;
use crate::pg::advisory;
use crate::pg::advisory::Key;
use crate::pg::advisory::Mode;
use crate::pg::context::with_settings;
use crate::pg::disk;
use crate::pg::guc;
use crate::pg::spi;
use crate::pg::transaction;
use crate::pg::transaction::Failed;
use crate::pg::transaction::Isolation;

/// A number setting of the job's caller.
pub fn number(job: &Job, name: &str) -> i64 {
    job.settings.get(name).and_then(serde_json::Value::as_i64).unwrap_or_else(|| guc::number(name) as i64)
}

/// What a job that writes to `places` waits for before its next step; none = nothing.
pub fn obstacle(places: &[Place]) -> Result<Option<String>, ErrorReport> {
    if !guc::on("operations_enabled") {
        return Ok(Some("presplit.operations_enabled is off".to_owned()));
    }
    if let Some(window) = closed_window()? {
        return Ok(Some(window));
    }
    if let Some(lag) = replica_lag()? {
        return Ok(Some(lag));
    }
    Ok(scarce_disk(places))
}

fn closed_window() -> Result<Option<String>, ErrorReport> {
    let text = guc::text("window");
    if text.trim().is_empty() {
        return Ok(None);
    }
    let Some(window) = Window::parse(&text) else {
        return Ok(Some(format!("presplit.window, which cannot be read: \"{text}\"")));
    };
    let minute = spi::one::<i32>(
        "SELECT (60 * extract(hour FROM t.at) + extract(minute FROM t.at))::int
         FROM (SELECT clock_timestamp() AT TIME ZONE coalesce($1, current_setting('TimeZone')) AS at) AS t",
        &[window.zone.clone().into()],
    )?;
    let is_open = minute.is_some_and(|minute| window.contains(minute as u32));
    Ok((!is_open).then(|| format!("the window {text}")))
}

fn replica_lag() -> Result<Option<String>, ErrorReport> {
    let most = guc::number("max_replica_lag");
    if most <= 0.0 {
        return Ok(None);
    }
    let lag = spi::one::<f64>(
        "SELECT max(extract(epoch FROM r.replay_lag))::float8 FROM pg_catalog.pg_stat_replication AS r",
        &[],
    )?;
    Ok(lag.filter(|lag| *lag > most).map(|lag| format!("a replica that is {lag:.0} s behind")))
}

fn scarce_disk(places: &[Place]) -> Option<String> {
    let least = guc::number("min_free_disk");
    let free = places.iter().filter_map(|place| Some((place, disk::free_percent(&place.path)?)));
    let (place, free) = free.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
    (free < least).then(|| {
        format!(
            "disk space: {free:.0} % is free where {} is, presplit.min_free_disk is {least:.0} %",
            place.name
        )
    })
}

/// A number between 0 and 1 that is different each time.
pub fn chance() -> f64 {
    f64::from((crate::pg::clock::now() % 1_000_003) as i32) / 1_000_003.0
}

/// Runs `work` while no lock is waited for longer than the job's settings and
/// `most` say, in milliseconds.
pub fn with_lock_timeout<R>(job: &Job, most: Option<i64>, work: impl FnOnce() -> R) -> R {
    let own = number(job, "cutover_lock_timeout").max(1);
    let timeout = most.map_or(own, |most| own.min(most.max(1)));
    let timeout = CString::new(timeout.to_string()).unwrap_or_default();
    with_settings(&[(c"lock_timeout", timeout.as_c_str())], work)
}

/// Waits at a point that a test has named, until the test lets go of its lock.
pub fn pause_at(job: &Job, point: &str) -> Result<(), Failed> {
    let stored = job.settings.get("pause_at").and_then(serde_json::Value::as_str).unwrap_or_default();
    let own = guc::text("pause_at");
    if !stored.split(',').chain(own.split(',')).any(|named| named.trim() == point) {
        return Ok(());
    }
    let key = transaction::run(Isolation::ReadCommitted, || Key::of_names("presplit.pause_at", point))?;
    transaction::run_bare(|| drop(advisory::take(key, Mode::Exclusive)))
}
