//! Measures what the cost model takes as given, on this server.
//!
//! Everything is made, timed and rolled back in one subtransaction: a schema
//! of our own, its tables and the rows that we put there. No table of a user
//! is read, no statistics are written, and nothing is left. PostgreSQL's own
//! `EXPLAIN` says what planning and execution took, the fastest of some tries
//! counts. Not here: what is plausible (`planning::proposal::calibration`).
//!
//! Invariant: a part that fails or does not fit the lock table leaves its
//! constants unmeasured and the others as they are.

use std::collections::BTreeMap;

use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::catalog::calibration;
use crate::model::report::SqlState;
use crate::operations::advise::server_facts;
use crate::pg::analyze::define;
use crate::pg::analyze::define_by_query;
use crate::pg::clock::Clock;
use crate::pg::context;
use crate::pg::context::as_extension_owner;
use crate::pg::disk;
use crate::pg::error;
use crate::pg::hook;
use crate::pg::spi;
use crate::planning::proposal::PLANNED_SHARDS;
use crate::planning::proposal::Settled;
use crate::planning::proposal::TimedScan;
use crate::planning::proposal::page_and_row;
use crate::planning::proposal::settled;

/// The schema, which nobody else ever sees.
const SCHEMA: &str = "presplit_calibration";

/// Time after which no larger number of shards is tried.
const PLANNING_MS_MAX: f64 = 8000.0;

/// Part of the lock table that calibration may take.
const LOCK_SHARE: f64 = 0.4;

/// A shard and its index.
const LOCKS_PER_SHARD: f64 = 2.0;

const NARROW_ROWS: u32 = 150_000;
/// One fills a page.
const WIDE_ROWS: u32 = 3_000;
const DESCENTS: u32 = 20_000;
const MOVED_ROWS: u32 = 10_000;
const ROUTED_SHARDS: usize = 32;

/// Tries of a measurement.
const TRIES: usize = 4;

type Measured = BTreeMap<String, f64>;

/// Measures, stores what is plausible, and returns all constants as they will
/// be used.
///
/// # Errors
/// If another session is at it, or nothing can be created here.
pub fn calibrate(user: &str) -> Result<Vec<Settled>, ErrorReport> {
    let alone = spi::one::<bool>("SELECT pg_try_advisory_xact_lock(hashtext('presplit.calibrate'), 0)", &[])?;
    if alone != Some(true) {
        return Err(error::new(
            SqlState::ObjectInUse,
            "calibration is running in another session",
            Some("Two at a time would measure each other.".to_owned()),
            Some("Call calibrate() when that one has ended.".to_owned()),
        ));
    }
    let found = as_extension_owner(|| {
        hook::bypass(|| context::in_rolled_back_subtransaction(|| context::with_settings(SETTINGS, measure)))
    });
    let measured = found.map_err(|caught| {
        let state = match caught.sqlstate.as_str() {
            "25006" => SqlState::ReadOnlySqlTransaction,
            _ => SqlState::ObjectNotInPrerequisiteState,
        };
        error::new(state, "could not calibrate", Some(format!("PostgreSQL said: {}.", caught.message)), None)
    })?;
    let settled = settled(&measured);
    calibration::store(&settled, user)?;
    Ok(settled)
}

/// Plans that do what is to be measured, whatever the session likes.
const SETTINGS: &[(&std::ffi::CStr, &std::ffi::CStr)] = &[
    (c"max_parallel_workers_per_gather", c"0"),
    (c"enable_partition_pruning", c"on"),
    (c"enable_partitionwise_join", c"off"),
    (c"enable_seqscan", c"on"),
    (c"enable_indexscan", c"on"),
    (c"enable_indexonlyscan", c"off"),
    (c"enable_bitmapscan", c"off"),
    (c"enable_memoize", c"off"),
    (c"enable_mergejoin", c"off"),
    (c"enable_hashjoin", c"on"),
    (c"enable_nestloop", c"on"),
    (c"work_mem", c"64MB"),
    (c"hash_mem_multiplier", c"2"),
    (c"default_tablespace", c""),
    (c"default_table_access_method", c"heap"),
    (c"client_min_messages", c"error"),
];

fn measure() -> Measured {
    define(&format!("CREATE SCHEMA {SCHEMA}"));
    let mut found = Measured::new();
    for part in [planning, scans, writes] {
        // What fails is left out; what a part has found until then stays.
        let mut parts = Measured::new();
        let done = context::in_subtransaction(|| part(&mut parts));
        found.append(&mut parts);
        if let Err(caught) = done {
            pgrx::log!("part of a calibration failed: {}", caught.message);
        }
    }
    if let Some((sequential, random)) = disk::read_ms() {
        found.insert("page_read_ms".to_owned(), sequential);
        found.extend(random.map(|random| ("page_random_ms".to_owned(), random)));
    }
    found
}

/// What `EXPLAIN` says, without the word that is no statement.
fn explain(options: &str, sql: &str) -> Option<Value> {
    let explained = spi::one::<pgrx::Json>(&format!("EXPLAIN ({options}, FORMAT json) {sql}"), &[]);
    explained.ok().flatten().map(|json| json.0)
}

/// The least of some tries, milliseconds.
fn least(tries: usize, options: &str, figure: &str, sql: &str) -> Option<f64> {
    let tried = (0..tries).filter_map(|_| explain(options, sql)?.get(0)?.get(figure)?.as_f64());
    tried.min_by(f64::total_cmp)
}

fn planned_ms(tries: usize, sql: &str) -> Option<f64> {
    least(tries, "SUMMARY, COSTS off", "Planning Time", sql)
}

fn executed_ms(tries: usize, sql: &str) -> Option<f64> {
    least(tries, "ANALYZE, TIMING off, BUFFERS off, SUMMARY", "Execution Time", sql)
}

/// Planning over more and more shards, as far as locks and time go.
fn planning(found: &mut Measured) {
    let clock = Clock::start();
    let room = server_facts().lock_slots * LOCK_SHARE / LOCKS_PER_SHARD;
    define(&format!("CREATE TABLE {SCHEMA}.shards (k integer NOT NULL, id bigint) PARTITION BY RANGE (k)"));
    define(&format!("CREATE INDEX ON {SCHEMA}.shards (id)"));
    let mut made = 0;
    let mut executed: Vec<(f64, f64)> = Vec::new();
    for count in PLANNED_SHARDS {
        // The next number takes about as many times as long as it is larger.
        if count as f64 > room || clock.ms() * 3.0 > PLANNING_MS_MAX {
            break;
        }
        for number in made..count {
            pgrx::check_for_interrupts!();
            define(&format!(
                "CREATE TABLE {SCHEMA}.s{number} PARTITION OF {SCHEMA}.shards FOR VALUES FROM ({number}) TO ({})",
                number + 1
            ));
        }
        made = count;
        let scan = format!("SELECT k FROM {SCHEMA}.shards WHERE id = 1");
        let join = format!("SELECT a.k FROM {SCHEMA}.shards AS a JOIN {SCHEMA}.shards AS b ON a.k = b.k");
        let tries = if count > 128 { 2 } else { TRIES };
        found.extend(planned_ms(tries, &scan).map(|ms| (format!("planning_scan_{count}_ms"), ms)));
        found.extend(planned_ms(tries, &join).map(|ms| (format!("planning_join_{count}_ms"), ms)));
        let pruned = planned_ms(TRIES, &format!("SELECT k FROM {SCHEMA}.shards WHERE k = 1"));
        found.extend(pruned.map(|ms| ("planning_pruned_ms".to_owned(), ms)));
        let run = executed_ms(tries, &format!("SELECT count(*) FROM {SCHEMA}.shards"));
        executed.extend(run.map(|ms| (count as f64, ms)));
    }
    if let (Some(few), Some(many)) = (executed.first(), executed.last())
        && many.0 > few.0
    {
        found.insert("open_ms".to_owned(), (many.1 - few.1) / (many.0 - few.0));
    }
}

/// Rows that are visible without a look at their transaction, as those of a
/// table that has rested are: a materialized view is filled so. A body stays
/// in its row, however long it is.
fn filled(name: &str, columns: &str, rows: u32) {
    define_by_query(&format!(
        "CREATE MATERIALIZED VIEW {SCHEMA}.{name} AS SELECT {columns} FROM pg_catalog.generate_series(1, {rows}) AS g WITH NO DATA"
    ));
    if columns.contains("body") {
        define(&format!("ALTER MATERIALIZED VIEW {SCHEMA}.{name} ALTER COLUMN body SET STORAGE PLAIN"));
    }
    define(&format!("REFRESH MATERIALIZED VIEW {SCHEMA}.{name}"));
}

fn pages(name: &str) -> Option<f64> {
    let sql = "SELECT (pg_relation_size($1::text::regclass) / 8192)::float8";
    spi::one::<f64>(sql, &[format!("{SCHEMA}.{name}").as_str().into()]).ok().flatten()
}

/// Pages, rows, descents and hash tables of memory.
fn scans(found: &mut Measured) {
    filled("narrow", "g::bigint AS id, g AS k", NARROW_ROWS);
    filled("wide", "g AS k, pg_catalog.repeat('x', 7000) AS body", WIDE_ROWS);
    define(&format!("CREATE INDEX ON {SCHEMA}.narrow (id)"));
    let timed = |name: &str, rows: u32| {
        let ms = executed_ms(2 * TRIES, &format!("SELECT count(*) FROM {SCHEMA}.{name} WHERE k > 0"))?;
        Some(TimedScan { pages: pages(name)?, rows: f64::from(rows), ms })
    };
    let Some((narrow, wide)) = timed("narrow", NARROW_ROWS).zip(timed("wide", WIDE_ROWS)) else { return };
    let (page_ms, row_ms) = page_and_row(narrow, wide).unwrap_or_default();
    if row_ms > 0.0 {
        found.insert("page_cached_ms".to_owned(), page_ms);
        found.insert("row_ms".to_owned(), row_ms);
    }
    let series = format!("pg_catalog.generate_series(1, {DESCENTS}) AS g");
    let alone = executed_ms(TRIES, &format!("SELECT count(*) FROM {series}"));
    let looked_up =
        context::with_settings(&[(c"enable_hashjoin", c"off"), (c"enable_seqscan", c"off")], || {
            // Places far apart, in no order.
            let place = format!("(g::bigint * 7919) % {NARROW_ROWS}");
            executed_ms(
                TRIES,
                &format!("SELECT count(*) FROM {series} JOIN {SCHEMA}.narrow AS n ON n.id = {place}"),
            )
        });
    if let Some((alone, looked_up)) = alone.zip(looked_up) {
        let each = (looked_up - alone) / f64::from(DESCENTS);
        found.insert("descent_ms".to_owned(), each - page_ms - row_ms);
    }
    let joined = context::with_settings(&[(c"enable_nestloop", c"off")], || {
        executed_ms(
            TRIES,
            &format!("SELECT count(*) FROM {SCHEMA}.narrow AS a JOIN {SCHEMA}.narrow AS b ON a.k = b.k"),
        )
    });
    if let Some(joined) = joined {
        let hashed = joined - 2.0 * narrow.ms;
        found.insert("hash_row_ms".to_owned(), hashed / (2.0 * f64::from(NARROW_ROWS)));
    }
}

/// Rows routed, moved and copied into new shards.
fn writes(found: &mut Measured) {
    let rows = f64::from(NARROW_ROWS);
    filled("source", "g::bigint AS id, g AS k", NARROW_ROWS);
    define(&format!("CREATE TABLE {SCHEMA}.plain (id bigint, k integer)"));
    define(&format!("CREATE TABLE {SCHEMA}.routed (id bigint, k integer) PARTITION BY HASH (id)"));
    for number in 0..ROUTED_SHARDS {
        define(&format!(
            "CREATE TABLE {SCHEMA}.r{number} PARTITION OF {SCHEMA}.routed \
             FOR VALUES WITH (MODULUS {ROUTED_SHARDS}, REMAINDER {number})"
        ));
    }
    let insert = |name: &str, tries: usize| {
        executed_ms(tries, &format!("INSERT INTO {SCHEMA}.{name} SELECT id, k FROM {SCHEMA}.source"))
    };
    let (plain, routed) = (insert("plain", 2), insert("routed", 2));
    if let Some((plain, routed)) = plain.zip(routed) {
        found.insert("route_ms".to_owned(), (routed - plain) / rows);
    }
    define(&format!("CREATE TABLE {SCHEMA}.halves (id bigint, k integer) PARTITION BY RANGE (k)"));
    define(&format!("CREATE INDEX ON {SCHEMA}.halves (id)"));
    let half = NARROW_ROWS / 2;
    for (name, from, to) in
        [("low", "MINVALUE".to_owned(), half.to_string()), ("high", half.to_string(), "MAXVALUE".to_owned())]
    {
        define(&format!(
            "CREATE TABLE {SCHEMA}.{name} PARTITION OF {SCHEMA}.halves FOR VALUES FROM ({from}) TO ({to})"
        ));
    }
    let split = insert("halves", 1);
    found.extend(split.map(|ms| ("split_row_ms".to_owned(), ms / rows)));
    let moved = executed_ms(
        1,
        &format!("UPDATE {SCHEMA}.halves SET k = k + {half} WHERE k BETWEEN 1 AND {MOVED_ROWS}"),
    );
    let scanned =
        executed_ms(TRIES, &format!("SELECT count(*) FROM {SCHEMA}.low WHERE k BETWEEN 1 AND {MOVED_ROWS}"));
    if let Some((moved, scanned)) = moved.zip(scanned) {
        found.insert("move_ms".to_owned(), (moved - scanned) / f64::from(MOVED_ROWS));
    }
}
