//! Readings of pg_stat_statements as they are kept: the last one, what was
//! counted in each hour, and the texts; and the live workload made of them.
//!
//! Invariant: storage is bounded. There is one reading; hours are kept for two
//! weeks, each with the 500 heaviest statements and the weight of the others;
//! texts are kept for the 5,000 heaviest statements of these hours. They speak
//! of this database in this server and travel in no dump: a copy of the
//! database that inherits them begins anew.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::counters;
use crate::catalog::counters::Source;
use crate::catalog::counters::Taken;
use crate::model::profile::Statement;
use crate::model::profile::Workload;
use crate::model::report::SqlState;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::moment;
use crate::pg::spi;
use crate::planning::workload::reading;
use crate::planning::workload::reading::Reading;
use crate::planning::workload::reading::Server;
use crate::planning::workload::window;
use crate::planning::workload::window::Known;
use crate::planning::workload::window::Observed;
use crate::planning::workload::window::StatementKey;

/// Statements kept one by one in an hour.
const STATEMENTS_PER_HOUR_MAX: usize = 500;

/// Statements whose texts are kept.
const TEXTS_MAX: usize = 5_000;

const HOUR: i64 = 3_600_000_000;

/// A reading is due after five minutes, and after a hundred times what the
/// last one took: no more than a hundredth of the time goes into them. One
/// from the future was made before the clock was set back. Nothing is due
/// where nothing can be written.
const DUE: &str = "
    SELECT current_setting('transaction_read_only') = 'off' AND NOT EXISTS (
        SELECT FROM presplit.statement_reading
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND at <= clock_timestamp()
          AND at > clock_timestamp() - make_interval(secs => greatest(300, took_ms / 10)))";

/// Takes a reading if one is due, and writes down what happened since the last
/// one; whether it did.
pub fn record() -> Result<bool, ErrorReport> {
    if !as_extension_owner(|| spi::one::<bool>(DUE, &[]))?.unwrap_or_default() {
        return Ok(false);
    }
    let Ok(source) = counters::find()? else { return Ok(false) };
    let Some(taken) = source.take()? else { return Ok(false) };
    match last()? {
        None => forget()?,
        Some(earlier) => add_to_hour(&source, &earlier, &taken.reading)?,
    }
    store(&taken)?;
    Ok(true)
}

fn stored<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ErrorReport> {
    serde_json::from_str(text).map_err(|cause| unreadable(&cause))
}

fn unreadable(cause: &serde_json::Error) -> ErrorReport {
    let message = format!("could not read a stored reading: {cause}");
    let hint = "TRUNCATE presplit.statement_reading, presplit.statement_hours lets readings begin anew.";
    error::new(SqlState::DataCorrupted, message, None, Some(hint.to_owned()))
}

/// The last reading of this database; none if it is of the database that this
/// one was copied from.
fn last() -> Result<Option<Reading>, ErrorReport> {
    #[derive(Deserialize)]
    struct Row(i64, String, i64, i64, i64);
    const OF_THIS: &str = "FROM presplit.statement_reading AS r
         WHERE r.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let (row, entries) = as_extension_owner(|| {
        let row = spi::rows::<Row>(
            &format!(
                "SELECT json_build_array((extract(epoch FROM r.at) * 1000000)::bigint, r.timeline,
                     (extract(epoch FROM r.server_started) * 1000000)::bigint,
                     (extract(epoch FROM r.counted_since) * 1000000)::bigint, r.evictions)::text {OF_THIS}"
            ),
            &[],
        )?;
        Ok::<_, ErrorReport>((row, spi::one::<String>(&format!("SELECT r.entries::text {OF_THIS}"), &[])?))
    })?;
    let (Some(Row(at, timeline, started, counted_since, evictions)), Some(entries)) =
        (row.into_iter().next(), entries)
    else {
        return Ok(None);
    };
    let (entries, damaged) = reading::entries(&entries).map_err(|cause| unreadable(&cause))?;
    let server = Server { timeline, started };
    Ok(Some(Reading { at, server, counted_since, evictions, entries, damaged }))
}

/// Forgets what was read in another database.
fn forget() -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        for table in ["statement_reading", "statement_hours", "statement_texts"] {
            spi::run(&format!("DELETE FROM presplit.{table}"), &[])?;
        }
        Ok(())
    })
}

fn store(taken: &Taken) -> Result<(), ErrorReport> {
    let reading = &taken.reading;
    let timestamp = moment::timestamp;
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.statement_reading
                 (database, at, took_ms, timeline, server_started, counted_since, evictions, entries)
             SELECT oid, $1, greatest(0, extract(epoch FROM clock_timestamp() - $1) * 1000), $2, $3, $4, $5, $6::json
             FROM pg_database WHERE datname = current_database()
             ON CONFLICT (database) DO UPDATE SET
                 at = EXCLUDED.at, took_ms = EXCLUDED.took_ms, timeline = EXCLUDED.timeline,
                 server_started = EXCLUDED.server_started, counted_since = EXCLUDED.counted_since,
                 evictions = EXCLUDED.evictions, entries = EXCLUDED.entries",
            &[
                timestamp(reading.at)?.into(),
                reading.server.timeline.as_str().into(),
                timestamp(reading.server.started)?.into(),
                timestamp(reading.counted_since)?.into(),
                reading.evictions.into(),
                taken.entries.as_str().into(),
            ],
        )
    })?;
    Ok(())
}

/// Adds what happened between two readings to the hour in which it ended.
fn add_to_hour(source: &Source, earlier: &Reading, later: &Reading) -> Result<(), ErrorReport> {
    let hour = moment::timestamp(later.at - later.at.rem_euclid(HOUR))?;
    let content = as_extension_owner(|| {
        spi::one::<String>(
            "SELECT content::text FROM presplit.statement_hours WHERE hour = $1",
            &[hour.into()],
        )
    })?;
    let begins = content.is_none();
    let mut observed: Observed = content.as_deref().map(stored).transpose()?.unwrap_or_default();
    observed.add_delta(&reading::difference(earlier, later));
    observed.keep_heaviest(STATEMENTS_PER_HOUR_MAX);
    add_texts(source, &observed)?;
    let content = serde_json::json!(observed).to_string();
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.statement_hours (hour, content) VALUES ($1, $2::json)
             ON CONFLICT (hour) DO UPDATE SET content = EXCLUDED.content",
            &[hour.into(), content.as_str().into()],
        )
    })?;
    if begins { thin() } else { Ok(()) }
}

/// Writes down the texts that are not yet: the server reads a file for them.
fn add_texts(source: &Source, observed: &Observed) -> Result<(), ErrorReport> {
    let known: BTreeSet<StatementKey> = texts(Vec::new())?.into_keys().collect();
    let missing: Vec<_> = observed.statements.keys().filter(|key| !known.contains(key)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let found = source.texts(&missing)?;
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.statement_texts (userid, queryid, query)
             SELECT (t->>0)::oid, (t->>1)::bigint, t->>2 FROM json_array_elements($1::json) AS t
             ON CONFLICT DO NOTHING",
            &[found.as_str().into()],
        )
    })?;
    Ok(())
}

/// The texts of these statements; of all that have one, without it, if none
/// are named.
fn texts(wanted: Vec<StatementKey>) -> Result<BTreeMap<StatementKey, Option<String>>, ErrorReport> {
    let rows = as_extension_owner(|| {
        if wanted.is_empty() {
            return spi::rows::<Text>(
                "SELECT json_build_array(userid::bigint, queryid, NULL)::text FROM presplit.statement_texts",
                &[],
            );
        }
        spi::rows::<Text>(
            "SELECT json_build_array(t.userid::bigint, t.queryid, t.query)::text
             FROM presplit.statement_texts AS t
             JOIN json_array_elements($1::json) AS k
               ON t.userid = (k->>0)::oid AND t.queryid = (k->>1)::bigint",
            &[keys(wanted).as_str().into()],
        )
    })?;
    Ok(rows.into_iter().map(Text::entry).collect())
}

/// A statement's role, its number and its text.
#[derive(Deserialize)]
struct Text(u32, i64, Option<String>);

impl Text {
    fn entry(self) -> (StatementKey, Option<String>) {
        (StatementKey { userid: self.0, queryid: self.1 }, self.2)
    }
}

fn rows_of_texts(json: &str) -> Result<Vec<(StatementKey, Option<String>)>, ErrorReport> {
    Ok(stored::<Vec<Text>>(json)?.into_iter().map(Text::entry).collect())
}

/// Statements as JSON: `[[userid, queryid], ...]`.
fn keys(statements: impl IntoIterator<Item = StatementKey>) -> String {
    let keys: Vec<_> = statements.into_iter().map(|key| (key.userid, key.queryid)).collect();
    serde_json::json!(keys).to_string()
}

/// Drops hours that are over for two weeks, and texts that no hour needs.
fn thin() -> Result<(), ErrorReport> {
    as_extension_owner(|| {
        spi::run(
            "DELETE FROM presplit.statement_hours WHERE hour < clock_timestamp() - interval '14 days'",
            &[],
        )
    })?;
    let kept = keys(hours()?.heaviest(TEXTS_MAX));
    as_extension_owner(|| {
        spi::run(
            "DELETE FROM presplit.statement_texts
             WHERE (userid, queryid) NOT IN (
                 SELECT (k->>0)::oid, (k->>1)::bigint FROM json_array_elements($1::json) AS k)",
            &[kept.as_str().into()],
        )
    })?;
    Ok(())
}

/// The sum of all hours that are kept.
fn hours() -> Result<Observed, ErrorReport> {
    let hours = as_extension_owner(|| {
        spi::column::<String>(
            "SELECT content::text FROM presplit.statement_hours
             WHERE hour >= clock_timestamp() - interval '14 days' ORDER BY hour",
            &[],
        )
    })?;
    let mut sum = Observed::default();
    for hour in &hours {
        sum.add(&stored::<Observed>(hour)?);
    }
    Ok(sum)
}

/// The current role, and whether it may see what others ran: the rule of
/// pg_stat_statements itself.
#[derive(Deserialize)]
struct Viewer(u32, bool);

fn viewer() -> Result<Viewer, ErrorReport> {
    let found = with_pinned_search_path(|| {
        spi::rows::<Viewer>(
            "SELECT json_build_array(oid::bigint, pg_has_role(oid, 'pg_read_all_stats', 'USAGE'))::text
             FROM pg_roles WHERE rolname = current_user",
            &[],
        )
    })?;
    Ok(found.into_iter().next().unwrap_or(Viewer(0, false)))
}

/// What was observed, as far as the current role may see it: the hours that
/// are kept and what happened since the last reading; none without readings.
fn observed(source: Option<&Source>) -> Result<Option<Observed>, ErrorReport> {
    let Some(mut earlier) = last()? else { return Ok(None) };
    let Viewer(userid, sees_all) = viewer()?;
    let mut sum = hours()?;
    if !sees_all {
        earlier.entries.retain(|key, _| key.userid == userid);
        sum.keep_role(userid);
    }
    if let Some(now) = source.map(Source::take).transpose()?.flatten() {
        sum.add_delta(&reading::difference(&earlier, &now.reading));
    }
    Ok(Some(sum))
}

/// Replaces the counters since the last reset, which `workload` holds, by what
/// readings say, once they say more; leaves our own statements out; and says
/// in the note which it is.
pub fn apply(workload: &mut Workload) -> Result<(), ErrorReport> {
    if workload.source != "pg_stat_statements" {
        return Ok(());
    }
    let functions = own_functions()?;
    let source = counters::find()?.ok();
    let which = match observed(source.as_ref())? {
        Some(observed) if observed.speaks(workload.seconds) => {
            let note = observed.note();
            workload.seconds = Some(observed.seconds);
            let present = std::mem::take(&mut workload.statements);
            workload.statements = statements(&observed, present, source.as_ref())?;
            note
        }
        other => {
            let since = match workload.seconds {
                Some(seconds) => {
                    format!("all that pg_stat_statements counted in {}", window::duration(seconds))
                }
                None => "all that pg_stat_statements counted since its last reset".to_owned(),
            };
            let readings = match other {
                Some(observed) => format!("readings cover {} yet", window::duration(observed.seconds)),
                None => "the worker has recorded no readings in this database".to_owned(),
            };
            format!("{since}; {readings}")
        }
    };
    workload.statements.retain(|statement| !window::is_own(&statement.query, &functions));
    workload.note =
        Some(workload.note.take().map_or_else(|| which.clone(), |note| format!("{which}; {note}")));
    Ok(())
}

/// The statements of what was observed, with the texts that are there now or
/// were written down.
fn statements(
    observed: &Observed,
    present: Vec<Statement>,
    source: Option<&Source>,
) -> Result<Vec<Statement>, ErrorReport> {
    let roles = with_pinned_search_path(|| {
        spi::rows::<(u32, String)>("SELECT json_build_array(oid::bigint, rolname)::text FROM pg_roles", &[])
    })?;
    let roles: BTreeMap<u32, String> = roles.into_iter().collect();
    let present: BTreeMap<(String, i64), String> =
        present.into_iter().map(|statement| ((statement.role, statement.queryid), statement.query)).collect();
    let gone = |key: &&StatementKey| {
        let role = roles.get(&key.userid).cloned().unwrap_or_default();
        !present.contains_key(&(role, key.queryid))
    };
    let gone: Vec<_> = observed.statements.keys().filter(gone).copied().collect();
    let mut stored = if gone.is_empty() { BTreeMap::new() } else { texts(gone.clone())? };
    // New since the last reading, and no part of a workload: else it would be present.
    let unknown: Vec<_> = gone.into_iter().filter(|key| !stored.contains_key(key)).collect();
    if let Some(source) = source.filter(|_| !unknown.is_empty()) {
        stored.extend(rows_of_texts(&source.texts(&unknown)?)?);
    }
    let (mut statements, lost, mut rest) =
        window::statements(observed, &Known { roles: &roles, present: &present, stored: &stored });
    rest.add(observed.rest);
    statements.extend(window::rest_as_statement(lost, rest));
    Ok(statements)
}

/// Names of our functions, by which statements of ours are known.
fn own_functions() -> Result<BTreeSet<String>, ErrorReport> {
    let names = with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT p.proname::text
             FROM pg_extension AS e
             JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                                AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
             JOIN pg_proc AS p ON p.oid = d.objid
             WHERE e.extname = 'pg_presplit'",
            &[],
        )
    })?;
    Ok(names.into_iter().collect())
}
