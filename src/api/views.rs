//! What the views of schema `presplit` read from the library.

use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::access::Analysis;
use crate::model::settings::SETTINGS;
use crate::operations::advise;
use crate::pg::guc;

#[pgrx::pg_schema]
pub mod presplit {
    use super::ErrorReport;
    use super::TableIterator;
    use super::name;
    use super::pg_extern;
    use pgrx::prelude::*;

    #[pg_extern(stable, parallel_safe)]
    #[search_path(pg_catalog, pg_temp)]
    fn read_settings() -> TableIterator<
        'static,
        (name!(name, String), name!(value, String), name!(unit, String), name!(meaning, String)),
    > {
        super::settings()
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
