//! What the views of schema `presplit` read from the library, and what its event
//! trigger asks it.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::samples;
use crate::catalog::samples::ColumnSample;
use crate::model::access::Analysis;
use crate::model::sample::FrequentValue;
use crate::model::settings::SETTINGS;
use crate::operations::advise;
use crate::operations::progress;
use crate::pg::guc;
use crate::pg::hook;
use crate::pg::moment;
use crate::pg::operation::shared::State;

#[pgrx::pg_schema]
pub mod presplit {
    use super::ErrorReport;
    use super::TableIterator;
    use super::name;
    use super::pg_extern;
    use pgrx::datum::TimestampWithTimeZone;
    use pgrx::pg_sys::Oid;
    use pgrx::prelude::*;

    #[pg_extern(stable, parallel_safe)]
    #[search_path(pg_catalog, pg_temp)]
    fn read_settings() -> TableIterator<
        'static,
        (name!(name, String), name!(value, String), name!(unit, String), name!(meaning, String)),
    > {
        super::settings()
    }

    /// Created before the event trigger, in `sql/bootstrap.sql`.
    #[pg_extern(sql = false)]
    fn is_looked_at() -> bool {
        super::looked_at()
    }

    #[pg_extern(volatile, parallel_unsafe)]
    #[search_path(pg_catalog, pg_temp)]
    #[expect(clippy::type_complexity, reason = "the columns of the view")]
    fn read_sampled_values() -> Result<
        TableIterator<
            'static,
            (
                name!(relation, Oid),
                name!(column_name, String),
                name!(access, String),
                name!(value, Option<String>),
                name!(share, f64),
                name!(executions, f64),
                name!(share_max, f64),
                name!(sampled, i64),
            ),
        >,
        ErrorReport,
    > {
        super::sampled_values()
    }

    #[pg_extern(volatile, parallel_unsafe)]
    #[search_path(pg_catalog, pg_temp)]
    #[expect(clippy::type_complexity, reason = "the columns of the view")]
    fn read_operations() -> Result<
        TableIterator<
            'static,
            (
                name!(operation_id, i64),
                name!(kind, String),
                name!(schema_name, String),
                name!(table_name, String),
                name!(phase, String),
                name!(rows_done, i64),
                name!(bytes_done, i64),
                name!(bytes_total, Option<i64>),
                name!(started_at, TimestampWithTimeZone),
                name!(finished_at, Option<TimestampWithTimeZone>),
                name!(seconds_left, Option<f64>),
                name!(error, Option<String>),
                name!(waiting_for, Option<String>),
                name!(blocked_by, Option<Vec<i32>>),
                name!(detail, String),
            ),
        >,
        ErrorReport,
    > {
        super::operations()
    }

    #[pg_extern(volatile, parallel_unsafe)]
    #[search_path(pg_catalog, pg_temp)]
    #[expect(clippy::type_complexity, reason = "the columns of the view")]
    fn read_statements() -> Result<
        TableIterator<
            'static,
            (
                name!(queryid, i64),
                name!(query, String),
                name!(calls, f64),
                name!(exec_ms, f64),
                name!(analyzed, bool),
                name!(reason, Option<String>),
            ),
        >,
        ErrorReport,
    > {
        super::statements()
    }
}

fn looked_at() -> bool {
    hook::is_looked_at()
}

type SettingRow = (String, String, String, String);

fn settings() -> TableIterator<'static, SettingRow> {
    TableIterator::new(SETTINGS.iter().map(|setting| {
        (
            format!("presplit.{}", setting.name),
            guc::text(setting.name),
            setting.unit.word().to_owned(),
            setting.meaning.to_owned(),
        )
    }))
}

type SampleRow = (Oid, String, String, Option<String>, f64, f64, f64, i64);

fn sampled_values() -> Result<TableIterator<'static, SampleRow>, ErrorReport> {
    Ok(TableIterator::new(samples::all()?.into_iter().flat_map(|sample| sample_rows(&sample))))
}

/// A row for each value that is frequent for certain, and one for the rest.
fn sample_rows(sample: &ColumnSample) -> Vec<SampleRow> {
    let values = &sample.values;
    let all = values.values.max(1) as f64;
    let per_value = values.executions / (values.sampled.max(1) as f64);
    let row = |value: Option<String>, certain: u64, count: u64| {
        (
            Oid::from(sample.relation),
            sample.column.clone(),
            values.access.word().to_owned(),
            value,
            certain as f64 / all,
            certain as f64 * per_value,
            count as f64 / all,
            i64::try_from(values.sampled).unwrap_or(i64::MAX),
        )
    };
    let mut rows: Vec<_> = values
        .holding()
        .map(|frequent| {
            let shown = &frequent.value;
            let cut = if shown.hash.is_some() { "…" } else { "" };
            row(Some(format!("{}{cut}", shown.value)), frequent.certain(), frequent.count)
        })
        .collect();
    let certain: u64 = values.holding().map(FrequentValue::certain).sum();
    let rest = values.values.saturating_sub(certain);
    rows.push(row(None, rest, rest));
    rows
}

type OperationRow = (
    i64,
    String,
    String,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    TimestampWithTimeZone,
    Option<TimestampWithTimeZone>,
    Option<f64>,
    Option<String>,
    Option<String>,
    Option<Vec<i32>>,
    String,
);

fn operations() -> Result<TableIterator<'static, OperationRow>, ErrorReport> {
    let rows = progress::shown()?.into_iter().map(|shown| {
        let entry = shown.entry;
        let is_over = entry.state == State::Ended as u8;
        Ok((
            entry.id,
            shown.kind.to_owned(),
            entry.schema.as_str().to_owned(),
            entry.table.as_str().to_owned(),
            shown.phase.to_owned(),
            shown.rows,
            shown.bytes,
            shown.total,
            moment::of_server(entry.started)?,
            if is_over { Some(moment::of_server(entry.finished)?) } else { None },
            shown.seconds_left,
            is_over.then(|| entry.error.as_str().to_owned()),
            shown.waiting_for,
            shown.blocked_by,
            shown.detail,
        ))
    });
    Ok(TableIterator::new(rows.collect::<Result<Vec<_>, ErrorReport>>()?))
}

type StatementRow = (i64, String, f64, f64, bool, Option<String>);

fn statements() -> Result<TableIterator<'static, StatementRow>, ErrorReport> {
    let analyzed = advise::analyzed(&advise::meant(None)?)?;
    Ok(TableIterator::new(analyzed.statements.into_iter().map(|statement| {
        let reason = match &statement.analysis {
            Analysis::Facts(_) => None,
            Analysis::Refused { sqlstate, message } => Some(format!("{message} ({sqlstate})")),
        };
        let understood = reason.is_none();
        (statement.queryid, statement.query, statement.calls, statement.exec_ms, understood, reason)
    })))
}
