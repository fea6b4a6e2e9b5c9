//! What PostgreSQL's catalogs say of tables whose rows go into others, and of
//! the log of their changes.

use std::ffi::CStr;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde::Deserialize;

use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::pg::context::with_pinned_search_path;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::spi;
use crate::planning::reshard::rows::Tables;

/// How values are written, in conditions and in keys, so that they are read as
/// what they are.
pub const AS_TEXT: &[(&CStr, &CStr)] = &[
    (c"DateStyle", c"ISO, YMD"),
    (c"IntervalStyle", c"postgres"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
];

/// Tables whose rows go into others.
#[derive(Debug, Clone, Deserialize)]
pub struct Rows {
    /// Who the first of the sources belongs to.
    pub owner: u32,
    pub tables: Tables,
}

/// Reads it for a change.
///
/// # Errors
/// If a table, or the index of the identity, is gone.
pub fn read(change: &Change) -> Result<Rows, ErrorReport> {
    let sources = oids(change.sources.iter().map(|source| source.oid));
    let targets = oids(change.targets.iter().filter_map(|target| target.oid));
    let found = with_pinned_search_path(|| {
        with_settings(AS_TEXT, || {
            spi::rows::<Rows>(
                include_str!("queries/reshard_rows.sql"),
                &[sources.into(), targets.into(), change.identity.clone().into()],
            )
        })
    })?;
    let rows = found.into_iter().next();
    rows.filter(|rows| {
        rows.tables.sources.len() == change.sources.len()
            && rows.tables.targets.len()
                == change.targets.iter().filter(|target| target.oid.is_some()).count()
    })
    .ok_or_else(|| {
        error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("shards of table \"{}\" are no more what they were", change.root),
            Some(format!("A shard is gone, or its unique index on {} is.", change.identity.join(", "))),
            Some("Cancel the operation and begin it anew.".to_owned()),
        )
    })
}

fn oids(numbers: impl Iterator<Item = u32>) -> Vec<Oid> {
    numbers.map(Oid::from).collect()
}

/// The name of an operation's log, in our schema.
#[must_use]
pub fn log_name(operation_id: i64) -> String {
    format!("changes_{operation_id}")
}

/// The log of an operation, if it is there.
pub fn log(operation_id: i64) -> Result<Option<Oid>, ErrorReport> {
    let name = log_name(operation_id);
    with_pinned_search_path(|| {
        spi::one::<Oid>(
            "SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = 'presplit' AND c.relname = $1",
            &[name.as_str().into()],
        )
    })
}

/// The log of an operation, if it is there and has more than so many pages.
pub fn log_larger_than(operation_id: i64, pages: i64) -> Result<Option<Oid>, ErrorReport> {
    let Some(log) = log(operation_id)? else { return Ok(None) };
    with_pinned_search_path(|| {
        spi::one::<Oid>(
            "SELECT $1 WHERE pg_relation_size($1) > $2 * current_setting('block_size')::bigint",
            &[log.into(), pages.into()],
        )
    })
}

/// The columns of a log, as they are declared: of the identity's types and collations.
pub fn log_columns(change: &Change) -> Result<Vec<String>, ErrorReport> {
    let Some(source) = change.sources.first() else { return Ok(Vec::new()) };
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT format('k%s %s%s', i.at, format_type(a.atttypid, a.atttypmod),
                 (SELECT format(' COLLATE %I.%I', n.nspname, l.collname)
                  FROM pg_collation AS l JOIN pg_namespace AS n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation))
             FROM unnest($2::text[]) WITH ORDINALITY AS i (name, at)
             JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = i.name AND NOT a.attisdropped
             ORDER BY i.at",
            &[Oid::from(source.oid).into(), change.identity.clone().into()],
        )
    })
}

/// What a trigger on a source is told: the numbers of the identity's columns
/// come last.
pub fn trigger_arguments(
    change: &Change,
    source: u32,
    operation_id: i64,
    log: Oid,
) -> Result<Vec<String>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT w.word FROM (
                 SELECT 0 AS rank, g.at, g.word
                 FROM pg_database AS d, pg_control_system() AS s,
                      unnest(ARRAY[$3::text, $4::text, d.oid::text, s.system_identifier::text])
                          WITH ORDINALITY AS g (word, at)
                 WHERE d.datname = current_database()
                 UNION ALL
                 SELECT 1, i.at, a.attnum::text
                 FROM unnest($2::text[]) WITH ORDINALITY AS i (name, at)
                 JOIN pg_attribute AS a ON a.attrelid = $1 AND a.attname = i.name AND NOT a.attisdropped) AS w
             ORDER BY w.rank, w.at",
            &[
                Oid::from(source).into(),
                change.identity.clone().into(),
                operation_id.to_string().into(),
                log.to_u32().to_string().into(),
            ],
        )
    })
}

/// A trigger by its name.
pub fn trigger(table: u32, name: &str) -> Result<Option<Oid>, ErrorReport> {
    with_pinned_search_path(|| {
        spi::one::<Oid>(
            "SELECT t.oid FROM pg_trigger AS t WHERE t.tgrelid = $1 AND t.tgname = $2",
            &[Oid::from(table).into(), name.into()],
        )
    })
}

/// How many bytes the targets' rows take.
pub fn bytes(change: &Change) -> Result<i64, ErrorReport> {
    let targets = oids(change.targets.iter().filter_map(|target| target.oid));
    let sum = with_pinned_search_path(|| {
        spi::one::<i64>(
            "SELECT coalesce(sum(pg_table_size(coalesce(p.relid, t.oid))), 0)::bigint
             FROM unnest($1::oid[]) AS t (oid) LEFT JOIN LATERAL pg_partition_tree(t.oid) AS p ON true",
            &[targets.into()],
        )
    })?;
    Ok(sum.unwrap_or(0))
}
