//! The counters of pg_stat_statements as they are now: where they are, and one
//! reading of them.
//!
//! Invariant: what is called is the extension's own function, never one that
//! somebody put beside it: it is found as a member of the extension, is in C,
//! and has no namesake in its schema. Texts are asked for apart, because the
//! server reads them from a file.

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::profiles;
use crate::model::report::SqlState;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::server;
use crate::pg::spi;
use crate::planning::workload::reading;
use crate::planning::workload::reading::Reading;
use crate::planning::workload::reading::Server;
use crate::planning::workload::window::StatementKey;

/// Characters of a text that are written down; a longer one is not understood
/// once only its beginning is left.
const TEXT_LENGTH_MAX: i32 = 100_000;

const FIND: &str = "
    WITH /* pg_presplit capture */ member AS (
        SELECT p.oid, p.proname, p.pronamespace, p.proargnames
        FROM pg_extension AS e
        JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                           AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
        JOIN pg_proc AS p ON p.oid = d.objid
        JOIN pg_language AS l ON l.oid = p.prolang
        WHERE e.extname = 'pg_stat_statements' AND l.lanname = 'c' AND p.probin ~ 'pg_stat_statements'
          AND p.proname IN ('pg_stat_statements', 'pg_stat_statements_info')
          AND 1 = (SELECT count(*) FROM pg_proc AS o
                   WHERE o.proname = p.proname AND o.pronamespace = p.pronamespace)
    )
    SELECT json_build_object(
        'schema', (SELECT quote_ident(n.nspname) FROM member AS m JOIN pg_namespace AS n ON n.oid = m.pronamespace
                   WHERE m.proname = 'pg_stat_statements'),
        'with_since', (SELECT 'stats_since' = ANY (proargnames) FROM member WHERE proname = 'pg_stat_statements'),
        'problem', CASE
            WHEN NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')
                THEN 'extension pg_stat_statements is not installed in this database'
            -- A mere line in postgresql.conf makes a placeholder of context user.
            WHEN NOT EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max' AND context = 'postmaster')
                THEN 'pg_stat_statements is not in shared_preload_libraries'
            WHEN (SELECT count(*) FROM member) <> 2
              OR NOT (SELECT 'toplevel' = ANY (proargnames) FROM member WHERE proname = 'pg_stat_statements')
                THEN 'extension pg_stat_statements is older than version 1.9, or other functions of its names stand beside it'
            WHEN (SELECT NOT bool_and(has_function_privilege(oid, 'EXECUTE') AND has_schema_privilege(pronamespace, 'USAGE')) FROM member)
                THEN format('role %I may not read pg_stat_statements', current_user)
        END)::text";

/// Where the counters are.
#[derive(Debug, Deserialize)]
pub struct Source {
    /// The extension's schema, quoted.
    schema: Option<String>,
    /// Whether entries tell their age.
    with_since: Option<bool>,
    /// Why they cannot be read.
    problem: Option<String>,
}

/// Looks for the counters; the error is a text for people.
pub fn find() -> Result<Result<Source, String>, ErrorReport> {
    let found = with_pinned_search_path(|| spi::rows::<Source>(FIND, &[]))?.into_iter().next();
    Ok(match found {
        Some(Source { problem: None, schema: Some(schema), with_since }) => {
            Ok(Source { schema: Some(schema), with_since, problem: None })
        }
        Some(Source { problem: Some(problem), .. }) => Err(problem),
        _ => Err("pg_stat_statements was not found".to_owned()),
    })
}

/// A reading, and its entries as they are stored.
pub struct Taken {
    pub reading: Reading,
    pub entries: String,
}

#[derive(Deserialize)]
struct Information(i64, i64);

/// When all this began, and what server it is: the same for every role.
#[derive(Deserialize)]
struct Moment(i64, String, i64);

/// Now, the timeline, and the start of the server: of the checkpointer,
/// because it begins anew with the shared memory; after a crash the postmaster
/// lives on.
pub(super) const MOMENT: &str = "
    SELECT /* pg_presplit capture */ json_build_array(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
        left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
        (extract(epoch FROM coalesce(
            (SELECT max(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer'),
            pg_postmaster_start_time())) * 1000000)::bigint)::text";

fn damaged(cause: &serde_json::Error) -> ErrorReport {
    let message = format!("could not read the counters of pg_stat_statements: {cause}");
    error::new(SqlState::DataCorrupted, message, None, None)
}

impl Source {
    fn function(&self, name: &str) -> String {
        format!("{}.{name}", self.schema.as_deref().unwrap_or("pg_catalog"))
    }

    fn information(&self) -> Result<Option<Information>, ErrorReport> {
        let query = format!(
            "SELECT /* pg_presplit capture */ json_build_array(
                 (extract(epoch FROM i.stats_reset) * 1000000)::bigint, i.dealloc)::text
             FROM {}() AS i WHERE isfinite(i.stats_reset)",
            self.function("pg_stat_statements_info")
        );
        Ok(spi::rows(&query, &[])?.into_iter().next())
    }

    /// A reading of the entries of this database, as far as the current role
    /// may see them. None on a standby, which counts for itself, and if the
    /// counters were reset in this very moment.
    pub fn take(&self) -> Result<Option<Taken>, ErrorReport> {
        if server::in_recovery() {
            return Ok(None);
        }
        let query = format!(
            "SELECT /* pg_presplit capture */ coalesce(json_agg(json_build_array(
                 s.userid::bigint, s.queryid, s.toplevel, s.calls,
                 CASE WHEN s.total_exec_time BETWEEN 0 AND 1e300 THEN s.total_exec_time END, s.rows, {})), '[]')::text
             FROM {}(false) AS s
             WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.queryid IS NOT NULL",
            match self.with_since {
                Some(true) => "(extract(epoch FROM s.stats_since) * 1000000)::bigint",
                _ => "NULL::bigint",
            },
            self.function("pg_stat_statements")
        );
        let (moment, before, entries, after) = exactly(|| {
            let moment = as_extension_owner(|| spi::rows::<Moment>(MOMENT, &[]))?.into_iter().next();
            Ok::<_, ErrorReport>((
                moment,
                self.information()?,
                spi::one::<String>(&query, &[])?.unwrap_or_default(),
                self.information()?,
            ))
        })?;
        let (Some(Moment(at, timeline, started)), Some(before), Some(after)) = (moment, before, after) else {
            return Ok(None);
        };
        if before.0 != after.0 {
            return Ok(None);
        }
        let (sound, damaged) = reading::entries(&entries).map_err(|cause| damaged(&cause))?;
        let reading = Reading {
            at,
            server: Server { timeline, started },
            counted_since: before.0,
            evictions: before.1,
            entries: sound,
            damaged,
        };
        Ok(Some(Taken { reading, entries }))
    }

    /// The texts of these statements as a JSON array of `[userid, queryid,
    /// text]`; null for what is no part of a workload. Lost ones are left out.
    pub fn texts(&self, wanted: &[StatementKey]) -> Result<String, ErrorReport> {
        let keys: Vec<_> = wanted.iter().map(|key| (key.userid, key.queryid)).collect();
        let keys = serde_json::json!(keys).to_string();
        let query = format!(
            "SELECT /* pg_presplit capture */ coalesce(json_agg(json_build_array(r.userid::bigint, r.queryid,
                 CASE WHEN r.verdict = 'kept' THEN left(r.query, {TEXT_LENGTH_MAX}) END)), '[]')::text
             FROM (
                 SELECT s.userid, s.queryid, s.query, {} AS verdict
                 FROM (SELECT DISTINCT ON (t.userid, t.queryid) t.userid, t.queryid, t.query
                       FROM {}(true) AS t
                       JOIN (SELECT (k->>0)::oid AS userid, (k->>1)::bigint AS queryid
                             FROM json_array_elements($1::json) AS k) AS wanted USING (userid, queryid)
                       WHERE t.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                       ORDER BY t.userid, t.queryid, t.toplevel DESC) AS s
             ) AS r
             WHERE r.verdict <> 'lost'",
            profiles::verdict(),
            self.function("pg_stat_statements")
        );
        let texts = exactly(|| spi::one::<String>(&query, &[keys.as_str().into()]))?;
        Ok(texts.unwrap_or_else(|| "[]".to_owned()))
    }
}

/// Runs `work` so that numbers come as they are, and waits for nobody long.
fn exactly<R>(work: impl FnOnce() -> R) -> R {
    with_pinned_search_path(|| with_settings(&[(c"extra_float_digits", c"1")], work))
}
