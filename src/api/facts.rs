//! Facts: profiles, statements and growth.

use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::required;
use crate::api::without_nulls;
use crate::api::writes;
use crate::catalog::arming::current_user;
use crate::catalog::profiles;
use crate::catalog::relations;
use crate::model::name::QualifiedName;
use crate::model::profile::Profile;
use crate::model::profile::Table;
use crate::model::report::SqlState;
use crate::operations::advise;
use crate::operations::growth;
use crate::pg::document::Document;
use crate::pg::error;
use crate::pg::moment;
use crate::planning::forecast;
use crate::planning::workload;

#[pg_extern(
    stable,
    parallel_restricted,
    sql = "CREATE FUNCTION capture_profile(relations regclass[] DEFAULT NULL) RETURNS jsonb
STABLE PARALLEL RESTRICTED SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn capture_profile(relations: default!(Option<Vec<Option<Oid>>>, "NULL")) -> Result<JsonB, ErrorReport> {
    let oids = relations.map(|oids| without_nulls(oids, "relations")).transpose()?;
    if let Some(oids) = &oids {
        for oid in oids {
            let name = relations::name_of(*oid)?;
            check_is_table(&name)?;
        }
    }
    Ok(JsonB(profiles::capture(oids.as_deref())?))
}

/// Views, sequences and others are not tables.
fn check_is_table(name: &QualifiedName) -> Result<(), ErrorReport> {
    match relations::find(name)? {
        Some(live) if !matches!(live.kind.as_str(), "r" | "p" | "f") => Err(error::new(
            SqlState::WrongObjectType,
            format!("\"{name:#}\" is not a table"),
            Some(format!("It is {}.", live.what())),
            None,
        )),
        _ => Ok(()),
    }
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn import_profile(
    profile: Option<Document>,
    name: default!(Option<&str>, "'imported'"),
) -> Result<String, ErrorReport> {
    writes("import_profile")?;
    let (profile, name) = (required(profile, "profile")?, required(name, "name")?);
    let user = current_user()?;
    profiles::check_name(name, &user)?;
    // What is stored is what was checked, not what was given.
    let checked = match Profile::from_text(profile.text()) {
        Some(profile) => profile,
        None => Profile::from_json(profile.read()?)?,
    };
    profiles::store(name, &checked, &user)?;
    Ok(name.to_owned())
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn analyze_workload(
    profile: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(relation, String),
            name!(columns, Vec<String>),
            name!(access, String),
            name!(prunable, bool),
            name!(calls, f64),
            name!(exec_ms, f64),
            name!(share, f64),
            name!(statements, i32),
            name!(reason, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let analyzed = advise::analyzed(&advise::meant(profile)?)?;
    Ok(TableIterator::new(workload::accesses(&analyzed).into_iter().map(|row| {
        (
            row.relation.to_string(),
            row.columns,
            row.kind.word().to_owned(),
            row.prunable,
            row.calls,
            row.exec_ms,
            row.share,
            i32::try_from(row.statements).unwrap_or(i32::MAX),
            row.reason,
        )
    })))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn workload_coverage(
    profile: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(statements, i32),
            name!(analyzed, i32),
            name!(calls_share, f64),
            name!(exec_share, f64),
            name!(seconds, Option<f64>),
            name!(source, String),
            name!(note, Option<String>),
        ),
    >,
    ErrorReport,
> {
    let profile = advise::meant(profile)?;
    let coverage = workload::coverage(&advise::analyzed(&profile)?);
    Ok(TableIterator::once((
        i32::try_from(coverage.statements).unwrap_or(i32::MAX),
        i32::try_from(coverage.analyzed).unwrap_or(i32::MAX),
        coverage.calls_share,
        coverage.exec_share,
        profile.workload.seconds,
        profile.workload.source,
        profile.workload.note,
    )))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn predict_growth(
    relation: Option<&str>,
    horizon: default!(Option<Interval>, "'90 days'"),
    profile: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (
            name!(at, TimestampWithTimeZone),
            name!(rows, f64),
            name!(rows_lower, f64),
            name!(rows_upper, f64),
            name!(bytes, f64),
            name!(bytes_lower, f64),
            name!(bytes_upper, f64),
            name!(model, String),
        ),
    >,
    ErrorReport,
> {
    let (relation, horizon) = (required(relation, "relation")?, required(horizon, "horizon")?);
    let mut profile = advise::meant(profile)?;
    let name = with_declared(&mut profile, relation)?;
    let table = table_of(&profile, &name.to_string())?;
    let growth = growth::of(&profile, table, advise::micros(horizon, &profile)?)?;
    let rows: Vec<_> = growth
        .rows
        .iter()
        .zip(&growth.bytes)
        .map(|(rows, bytes)| {
            Ok((
                moment::timestamp(rows.at)?,
                rows.value,
                rows.lower,
                rows.upper,
                bytes.value,
                bytes.lower,
                bytes.upper,
                growth.model.clone(),
            ))
        })
        .collect::<Result<_, ErrorReport>>()?;
    Ok(TableIterator::new(rows))
}

/// The name that a text means. A table that is neither here nor in the profile
/// is added to it if its growth was declared.
fn with_declared(profile: &mut Profile, text: &str) -> Result<QualifiedName, ErrorReport> {
    let known: Vec<_> = profile.tables.iter().map(Table::name).collect();
    let name = relations::resolve(text, &known)?;
    if profile.table(&name).is_some() || relations::find(&name)?.is_some() {
        return Ok(name);
    }
    let Some(table) = growth::declared_only(&name)? else {
        let how = "import a profile of its source with import_profile(), or declare its growth with configure_shards()";
        return Err(unknown_table(&name, &format!("Check the name, {how}.")));
    };
    profile.tables.push(table);
    Ok(name)
}

fn unknown_table(name: &QualifiedName, hint: &str) -> ErrorReport {
    let message = format!("table \"{name:#}\" does not exist here or in the profile");
    error::new(SqlState::UndefinedTable, message, None, Some(hint.to_owned()))
}

/// The table of a profile that a text names.
pub fn table_of<'a>(profile: &'a Profile, text: &str) -> Result<&'a Table, ErrorReport> {
    let known: Vec<_> = profile.tables.iter().map(Table::name).collect();
    let name = relations::resolve(text, &known)?;
    if let Some(table) = profile.table(&name) {
        return Ok(table);
    }
    check_is_table(&name)?;
    if let Some(live) = relations::find(&name)? {
        let (detail, hint) = if live.partition {
            ("It is a partition; its table stands for it.", "Name the table that it is a part of.")
        } else if name.schema.starts_with("pg_temp") {
            ("It is temporary: it ends with its session.", "Name a table that stays.")
        } else {
            ("It belongs to the system or to this extension.", "Name a table of your own.")
        };
        let message = format!("profiles leave out \"{text}\"");
        return Err(error::new(
            SqlState::WrongObjectType,
            message,
            Some(detail.to_owned()),
            Some(hint.to_owned()),
        ));
    }
    Err(unknown_table(&name, "Import a profile of its source with import_profile(), or check the name."))
}

#[pg_extern(immutable, parallel_safe)]
#[search_path(pg_catalog, pg_temp)]
#[expect(clippy::type_complexity, reason = "the pinned columns")]
fn forecast_series(
    observed: Option<Vec<Option<TimestampWithTimeZone>>>,
    value: Option<Vec<Option<f64>>>,
    horizon: Option<Interval>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(at, TimestampWithTimeZone),
            name!(value, f64),
            name!(value_lower, f64),
            name!(value_upper, f64),
            name!(model, String),
        ),
    >,
    ErrorReport,
> {
    let no_nulls = || {
        error::new(
            SqlState::InvalidParameterValue,
            "arrays of a series must not contain nulls",
            None,
            Some("Leave out the observations that are missing.".to_owned()),
        )
    };
    let (observed, value) = (required(observed, "observed")?, required(value, "value")?);
    let horizon = required(horizon, "horizon")?;
    let times = observed
        .into_iter()
        .map(|at| at.ok_or_else(no_nulls).and_then(moment::micros))
        .collect::<Result<Vec<i64>, ErrorReport>>()?;
    let values =
        value.into_iter().map(|v| v.ok_or_else(no_nulls)).collect::<Result<Vec<f64>, ErrorReport>>()?;
    let observations = forecast::observations(&times, &values)?;
    let horizon = moment::duration(&horizon);
    let forecast = forecast::forecast(&observations, horizon, forecast::POINTS_MAX, None)?;
    let rows: Vec<_> = forecast
        .points
        .iter()
        .map(|point| {
            Ok((moment::timestamp(point.at)?, point.value, point.lower, point.upper, forecast.model.clone()))
        })
        .collect::<Result<_, ErrorReport>>()?;
    Ok(TableIterator::new(rows))
}
