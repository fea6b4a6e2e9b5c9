//! Size history: how big each table and each shard was when, what came in and
//! what went, and what happened besides; looked at by the worker.
//!
//! One statement reads the sizes and counters of all tables, `ledger` tells
//! what happened since the last look, one statement writes it down.
//!
//! Invariant: storage is bounded. Readings of five minutes are kept for two
//! days, one an hour for eight weeks, one a day for two years; what does not
//! change is written once a day. Counts are sums since the history began, so
//! that of whatever is thinned nothing is lost. The last look is of this
//! database in this server: a copy of it begins with a look of its own, and
//! goes on from the sums that it inherited.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::catalog::counters::MOMENT;
use crate::catalog::profiles;
use crate::model::name::QualifiedName;
use crate::model::report::SqlState;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::moment;
use crate::pg::spi;
use crate::planning::forecast::ledger;
use crate::planning::forecast::ledger::Book;
use crate::planning::forecast::ledger::Bytes;
use crate::planning::forecast::ledger::Counted;
use crate::planning::forecast::ledger::Leaf;
use crate::planning::forecast::ledger::Look;
use crate::planning::forecast::ledger::Server;
use crate::planning::forecast::ledger::State;

/// A look is due after five minutes, and after a hundred times what the last
/// one took: no more than a hundredth of the time goes into them. One from the
/// future was made before the clock was set back. Nothing is due where nothing
/// can be written.
const DUE: &str = "
    SELECT current_setting('transaction_read_only') = 'off' AND NOT EXISTS (
        SELECT FROM presplit.size_reading
        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND at <= clock_timestamp()
          AND at > clock_timestamp() - make_interval(secs => greatest(300, took_ms / 10)))";

/// Every relation that holds rows, with its root, its size and its counters.
/// Files are measured one by one, as in `capture_profile.sql`: those that
/// somebody has locked are not, and one that vanishes meanwhile counts as none.
const LEAVES: &str = "
    WITH busy AS MATERIALIZED (
        SELECT DISTINCT l.relation AS oid FROM pg_locks AS l
        WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_backend_pid()
    ), leaf AS MATERIALIZED (
        SELECT c.oid, n.nspname, c.relname, c.relfilenode, c.reltuples, c.reltoastrelid,
               CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END AS root
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND c.relpersistence <> 't'
          AND n.nspname !~ '^pg_' AND n.nspname <> ALL ('{information_schema,presplit}')
    ), file AS (
        SELECT l.oid AS leaf, 'h' AS part, l.oid FROM leaf AS l
        UNION ALL
        SELECT l.oid, 'i', i.indexrelid
        FROM leaf AS l JOIN pg_index AS i ON i.indrelid = l.oid JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
        UNION ALL
        SELECT l.oid, 't', l.reltoastrelid FROM leaf AS l WHERE l.reltoastrelid <> 0
        UNION ALL
        SELECT l.oid, 't', i.indexrelid FROM leaf AS l JOIN pg_index AS i ON i.indrelid = l.reltoastrelid
    ), size AS (
        SELECT f.leaf, bool_or(b.oid IS NOT NULL) AS busy,
               coalesce(sum(s.bytes) FILTER (WHERE f.part = 'h'), 0) AS heap,
               coalesce(sum(s.bytes) FILTER (WHERE f.part = 'i'), 0) AS index,
               coalesce(sum(s.bytes) FILTER (WHERE f.part = 't'), 0) AS toast
        FROM file AS f
        LEFT JOIN busy AS b ON b.oid = f.oid
        CROSS JOIN LATERAL (SELECT CASE WHEN b.oid IS NULL THEN pg_relation_size(f.oid) END AS bytes) AS s
        GROUP BY f.leaf
    )
    SELECT json_build_array(
        l.oid::bigint, l.nspname, l.relname, CASE WHEN r.oid IS NOT NULL THEN json_build_array(rn.nspname, r.relname) END,
        l.relfilenode::bigint, pg_stat_get_live_tuples(l.oid),
        pg_stat_get_vacuum_count(l.oid) + pg_stat_get_autovacuum_count(l.oid)
            + pg_stat_get_analyze_count(l.oid) + pg_stat_get_autoanalyze_count(l.oid) > 0,
        l.reltuples, CASE WHEN NOT s.busy THEN json_build_array(s.heap, s.index, s.toast) END,
        json_build_array(pg_stat_get_tuples_inserted(l.oid), pg_stat_get_tuples_updated(l.oid),
                         pg_stat_get_tuples_deleted(l.oid)))::text
    FROM leaf AS l
    JOIN size AS s ON s.leaf = l.oid
    LEFT JOIN pg_class AS r ON r.oid = l.root
    LEFT JOIN pg_namespace AS rn ON rn.oid = r.relnamespace";

type LeafRow = (u32, String, String, Option<(String, String)>, u32, f64, bool, f64, Option<Bytes>, Counted);

fn leaf((oid, schema, name, root, filenode, live, maintained, estimated, bytes, counted): LeafRow) -> Leaf {
    let root = root.map(|(schema, name)| QualifiedName { schema, name });
    let name = QualifiedName { schema, name };
    Leaf { oid, name, root, filenode, live, maintained, estimated, bytes, counted }
}

/// Looks at all tables if it is time; whether it did.
pub fn record() -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        if !spi::one::<bool>(DUE, &[])?.unwrap_or_default() {
            return Ok(false);
        }
        let look = look()?;
        let (state, thinned) = last()?;
        let recorded = recorded(&ledger::unknown(state.as_ref(), &look))?;
        let advance = ledger::advance(state, &look, recorded);
        write(&advance.entries)?;
        forget(&advance.forgotten)?;
        store(look.at, &advance.state)?;
        thin(look.at, thinned)?;
        Ok(true)
    })
}

fn look() -> Result<Look, ErrorReport> {
    #[derive(Deserialize)]
    struct Moment(i64, String, i64);
    #[derive(Deserialize)]
    struct Restored(String, String, f64);
    let Some(Moment(at, timeline, started)) = spi::rows::<Moment>(MOMENT, &[])?.into_iter().next() else {
        return Ok(Look::default());
    };
    let micros = |moment: &str| {
        spi::one::<i64>(&format!("SELECT (extract(epoch FROM {moment}) * 1000000)::bigint"), &[])
    };
    let reset = micros(
        "(SELECT pg_stat_get_db_stat_reset_time(oid) FROM pg_database WHERE datname = current_database())",
    )?;
    let counts_since = micros(
        "least((SELECT stats_reset FROM pg_stat_bgwriter), (SELECT stats_reset FROM pg_stat_archiver))",
    )?;
    // There are many tables, and statistics of the catalogs may be old.
    let leaves = with_settings(&[(c"enable_nestloop", c"off")], || spi::rows::<LeafRow>(LEAVES, &[]))?;
    let restored = spi::rows::<Restored>(
        "SELECT json_build_array(schema_name, table_name, sum(rows_loaded))::text
         FROM presplit.restore_log WHERE rows_loaded > 0 GROUP BY schema_name, table_name",
        &[],
    )?;
    Ok(Look {
        at,
        server: Server { timeline, started, counts_since, reset },
        leaves: leaves.into_iter().map(leaf).collect(),
        restored: restored
            .into_iter()
            .map(|Restored(schema, name, rows)| (QualifiedName { schema, name }, rows))
            .collect(),
    })
}

/// The last look at this database, and when the history was thinned; none if
/// there was none, or it is of the database that this one was copied from.
fn last() -> Result<(Option<State>, Option<i64>), ErrorReport> {
    #[derive(Deserialize)]
    struct Row(Option<State>, Option<i64>);
    let rows = spi::rows::<Row>(
        "SELECT json_build_array(content, (extract(epoch FROM thinned_at) * 1000000)::bigint)::text
         FROM presplit.size_reading
         WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        &[],
    )?;
    Ok(rows.into_iter().next().map_or((None, None), |Row(state, thinned)| (state, thinned)))
}

fn store(at: i64, state: &State) -> Result<(), ErrorReport> {
    let content = json(state)?;
    spi::run(
        "DELETE FROM presplit.size_reading
         WHERE database <> (SELECT oid FROM pg_database WHERE datname = current_database())",
        &[],
    )?;
    spi::run(
        "INSERT INTO presplit.size_reading (database, at, took_ms, content)
         SELECT oid, $1, greatest(0, extract(epoch FROM clock_timestamp() - $1) * 1000), $2::json
         FROM pg_database WHERE datname = current_database()
         ON CONFLICT (database) DO UPDATE SET
             at = EXCLUDED.at, took_ms = EXCLUDED.took_ms, content = EXCLUDED.content",
        &[moment::timestamp(at)?.into(), content.as_str().into()],
    )?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String, ErrorReport> {
    serde_json::to_string(value).map_err(|cause| {
        error::new(SqlState::DataCorrupted, format!("could not write sizes: {cause}"), None, None)
    })
}

/// Names as JSON: `[[schema, name], ...]`.
fn list(names: &[QualifiedName]) -> Result<String, ErrorReport> {
    json(&names.iter().map(|name| (&name.schema, &name.name)).collect::<Vec<_>>())
}

/// What was written last for these names.
fn recorded(names: &[QualifiedName]) -> Result<BTreeMap<QualifiedName, Book>, ErrorReport> {
    #[derive(Deserialize)]
    struct Row(String, String, Book);
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = spi::rows::<Row>(
        "SELECT json_build_array(h.schema_name, h.table_name, json_build_object(
             'counted', json_build_array(h.inserted, h.updated, h.deleted),
             'loaded', h.loaded, 'dropped', h.dropped, 'event_bytes', h.event_bytes))::text
         FROM json_array_elements($1::json) AS n
         CROSS JOIN LATERAL (
             SELECT * FROM presplit.size_history AS h
             WHERE h.schema_name = n->>0 AND h.table_name = n->>1
             ORDER BY h.at DESC LIMIT 1) AS h",
        &[list(names)?.as_str().into()],
    )?;
    Ok(rows.into_iter().map(|Row(schema, name, book)| (QualifiedName { schema, name }, book)).collect())
}

fn write(entries: &[ledger::Entry]) -> Result<(), ErrorReport> {
    if entries.is_empty() {
        return Ok(());
    }
    spi::run(
        "INSERT INTO presplit.size_history
             (schema_name, table_name, at, rows, bytes, heap_bytes, index_bytes, toast_bytes,
              inserted, updated, deleted, loaded, dropped, event_bytes, event)
         SELECT e.schema_name, e.table_name, 'epoch'::timestamptz + e.at * interval '1 microsecond',
                e.rows, e.bytes, e.heap_bytes, e.index_bytes, e.toast_bytes,
                e.inserted, e.updated, e.deleted, e.loaded, e.dropped, e.event_bytes, e.event
         FROM json_to_recordset($1::json) AS e
             (schema_name text, table_name text, at bigint, rows float8, bytes float8,
              heap_bytes float8, index_bytes float8, toast_bytes float8, inserted float8, updated float8,
              deleted float8, loaded float8, dropped float8, event_bytes float8, event text)
         ON CONFLICT DO NOTHING",
        &[json(&entries)?.as_str().into()],
    )?;
    Ok(())
}

fn forget(names: &[QualifiedName]) -> Result<(), ErrorReport> {
    if names.is_empty() {
        return Ok(());
    }
    spi::run(
        "DELETE FROM presplit.size_history AS h USING json_array_elements($1::json) AS n
         WHERE h.schema_name = n->>0 AND h.table_name = n->>1",
        &[list(names)?.as_str().into()],
    )?;
    Ok(())
}

/// Of each bucket of a stretch of time the last reading stays, with the words
/// for what happened in all of it.
const THIN: &str = "
    WITH old AS MATERIALIZED (
        SELECT h.schema_name, h.table_name, h.at, h.event, date_trunc($3, h.at, 'UTC') AS bucket,
               lead(h.at) OVER (PARTITION BY h.schema_name, h.table_name ORDER BY h.at) AS next
        FROM presplit.size_history AS h
        WHERE h.at >= $1 AND h.at < $2
    ), superfluous AS (
        SELECT * FROM old WHERE date_trunc($3, next, 'UTC') = bucket
    ), gone AS (
        DELETE FROM presplit.size_history AS h USING superfluous AS s
        WHERE (h.schema_name, h.table_name, h.at) = (s.schema_name, s.table_name, s.at)
    ), eventful AS (
        SELECT s.schema_name, s.table_name, s.bucket, string_agg(s.event, ', ') AS event
        FROM superfluous AS s WHERE s.event IS NOT NULL
        GROUP BY s.schema_name, s.table_name, s.bucket
    )
    UPDATE presplit.size_history AS h
    SET event = (SELECT string_agg(DISTINCT w.word, ', ' ORDER BY w.word)
                 FROM regexp_split_to_table(concat_ws(', ', e.event, h.event), ', ') AS w (word))
    FROM eventful AS e
    JOIN old AS o ON (o.schema_name, o.table_name, o.bucket) = (e.schema_name, e.table_name, e.bucket)
                 AND date_trunc($3, o.next, 'UTC') IS DISTINCT FROM o.bucket
    WHERE (h.schema_name, h.table_name, h.at) = (o.schema_name, o.table_name, o.at)";

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// Ages from which readings are kept by the hour, by the day, not at all.
const HOURS_FROM: i64 = 2 * DAY;
const DAYS_FROM: i64 = 56 * DAY;
const NEVER_FROM: i64 = 731 * DAY;

/// Thins what became old since the last time, and once a day whatever is old:
/// a dump that was loaded brings readings of before.
fn thin(now: i64, last: Option<i64>) -> Result<(), ErrorReport> {
    let start = |at: i64, unit: i64| at - at.rem_euclid(unit);
    let same_day = last.filter(|last| *last <= now && start(*last, DAY) == start(now, DAY));
    for (unit, size, age, before) in
        [("hour", HOUR, HOURS_FROM, DAYS_FROM), ("day", DAY, DAYS_FROM, NEVER_FROM)]
    {
        let until = start(now - age, size);
        let from = same_day.map_or(start(now - before, DAY), |last| start(last - age, size));
        if from < until {
            spi::run(
                THIN,
                &[moment::timestamp(from)?.into(), moment::timestamp(until)?.into(), unit.into()],
            )?;
        }
    }
    if same_day.is_none() {
        spi::run(
            "DELETE FROM presplit.size_history WHERE at < $1",
            &[moment::timestamp(now - NEVER_FROM)?.into()],
        )?;
    }
    if same_day.is_none_or(|last| start(last, HOUR) != start(now, HOUR)) {
        spi::run("UPDATE presplit.size_reading SET thinned_at = $1", &[moment::timestamp(now)?.into()])?;
    }
    Ok(())
}

/// What stands for [`profiles::history_source`] where a caller may not read it.
pub const NONE: &str =
    "(SELECT NULL::name AS schema_name, NULL::name AS table_name, NULL::timestamptz AS at, NULL::json AS reading
      WHERE false)";

/// The recorded sizes of tables, as a profile carries them: as values of
/// their own, because they may be many.
pub fn of<T: serde::de::DeserializeOwned>(tables: &[(&str, &str)]) -> Result<Vec<T>, ErrorReport> {
    let names = json(&tables)?;
    as_extension_owner(|| {
        let source = spi::one::<String>(profiles::history_source(), &[])?.unwrap_or_default();
        let query = format!(
            "SELECT h.reading::text FROM {source} AS h
             JOIN json_array_elements($1::json) AS n ON h.schema_name = n->>0 AND h.table_name = n->>1
             ORDER BY h.schema_name, h.table_name, h.at"
        );
        with_settings(&[(c"TimeZone", c"UTC"), (c"enable_nestloop", c"off")], || {
            spi::rows::<T>(&query, &[names.as_str().into()])
        })
    })
}
