//! Restore: check beforehand, arm, disarm, check afterwards; settings of tables.

use pgrx::JsonB;
use pgrx::datum::Interval;
use pgrx::iter::SetOfIterator;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_extern;
use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Value;

use crate::api::proposals::name_in;
use crate::api::required;
use crate::api::without_nulls;
use crate::api::writes;
use crate::catalog::arming;
use crate::catalog::arming::current_user;
use crate::catalog::proposals;
use crate::catalog::relations;
use crate::catalog::settings;
use crate::model::finding::Finding;
use crate::model::report::SqlState;
use crate::model::retention::RetentionPolicy;
use crate::model::settings::SETTINGS;
use crate::operations::archive;
use crate::operations::check;
use crate::operations::provision;
use crate::operations::provision::Request;
use crate::operations::rephrase;
use crate::operations::values::shortened;
use crate::pg::document::Document;
use crate::pg::error;
use crate::pg::moment;

/// Longest time that an arming may last, in microseconds.
const VALID_FOR_MAX: i64 = 36_525 * 86_400_000_000;

/// Findings as rows.
pub(super) fn rows(found: Vec<Finding>) -> impl Iterator<Item = (String, String, String, String)> {
    found
        .into_iter()
        .map(|finding| (finding.severity.word().to_owned(), finding.object, finding.problem, finding.remedy))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn check_restore(
    proposal_id: Option<i64>,
    archive: default!(Option<&str>, "NULL"),
    schema_sql: default!(Option<&str>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (name!(severity, String), name!(object, String), name!(problem, String), name!(remedy, String)),
    >,
    ErrorReport,
> {
    let stored = proposals::load(required(proposal_id, "proposal_id")?, &current_user()?)?;
    let schema = match (archive, schema_sql) {
        (Some(_), Some(_)) => {
            return Err(error::new(
                SqlState::InvalidParameterValue,
                "archive and schema_sql cannot be given together",
                None,
                Some("Name the file on the server, or pass the output of pg_restore -s.".to_owned()),
            ));
        }
        (Some(path), None) => Some(archive::schema_of(path)?),
        (None, Some(text)) => Some(archive::schema_in(text)?),
        (None, None) => None,
    };
    Ok(TableIterator::new(rows(check::restore(&stored, schema.as_deref())?)))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn restore_script(
    proposal_id: Option<i64>,
    schema_sql: Option<&str>,
) -> Result<SetOfIterator<'static, String>, ErrorReport> {
    let (proposal_id, schema_sql) =
        (required(proposal_id, "proposal_id")?, required(schema_sql, "schema_sql")?);
    let stored = proposals::load(proposal_id, &current_user()?)?;
    let schema = archive::schema_in(schema_sql)?;
    Ok(SetOfIterator::new(rephrase::statements(&stored, &schema)?))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn create_shards(
    proposal_id: Option<i64>,
    target: default!(Option<&str>, "'local'"),
    replace: default!(Option<bool>, "false"),
    valid_for: default!(Option<Interval>, "'1 day'"),
    relations: default!(Option<Vec<Option<String>>>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (name!(relation, String), name!(shard, String), name!(bound, String), name!(state, String)),
    >,
    ErrorReport,
> {
    writes("create_shards")?;
    let proposal_id = required(proposal_id, "proposal_id")?;
    let replace = required(replace, "replace")?;
    let valid_for = required(valid_for, "valid_for")?;
    match required(target, "target")? {
        "local" => {}
        "citus" => {
            return Err(error::new(
                SqlState::FeatureNotSupported,
                "target \"citus\" is not supported yet",
                None,
                Some("Use target => 'local'.".to_owned()),
            ));
        }
        other => {
            return Err(error::new(
                SqlState::InvalidParameterValue,
                format!("target \"{other}\" does not exist"),
                None,
                Some("Use target => 'local'.".to_owned()),
            ));
        }
    }
    // More would leave the calendar, and everybody's CREATE TABLE looks at the end of every arming.
    if !(1..=VALID_FOR_MAX).contains(&moment::duration(&valid_for)) {
        return Err(error::new(
            SqlState::InvalidParameterValue,
            "valid_for is outside the supported range",
            Some("It must be more than zero and at most 36525 days (100 years).".to_owned()),
            None,
        ));
    }
    let user = current_user()?;
    let relations = match relations {
        Some(texts) => {
            let stored = proposals::load(proposal_id, &user)?;
            let texts = without_nulls(texts, "relations")?;
            Some(texts.iter().map(|text| name_in(&stored, text)).collect::<Result<_, _>>()?)
        }
        None => None,
    };
    let request = Request { proposal_id, replace, valid_for, relations, user: &user };
    let rows = provision::create_shards(&request)?;
    Ok(TableIterator::new(
        rows.into_iter().map(|row| (row.relation, row.shard, row.bound, row.state.to_owned())),
    ))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn disarm(relation: Option<&str>) -> Result<bool, ErrorReport> {
    writes("disarm")?;
    let relation = required(relation, "relation")?;
    provision::check_may_arm_here()?;
    let armed = arming::names()?;
    let name = relations::resolve(relation, &armed)?;
    arming::disarm(&name)
}

#[pg_extern(
    volatile,
    parallel_unsafe,
    sql = "CREATE FUNCTION check_shards(relation regclass DEFAULT NULL)
RETURNS TABLE (severity text, object text, problem text, remedy text)
VOLATILE PARALLEL UNSAFE SET search_path TO pg_catalog, pg_temp
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';"
)]
fn check_shards(
    relation: default!(Option<Oid>, "NULL"),
) -> Result<
    TableIterator<
        'static,
        (name!(severity, String), name!(object, String), name!(problem, String), name!(remedy, String)),
    >,
    ErrorReport,
> {
    Ok(TableIterator::new(rows(check::shards(relation.map(|oid| oid.to_u32()))?)))
}

/// Settings of a table that are not also variables of the server.
const TABLE_ONLY: &[&str] = &["expected_rows_per_day", "undo"];

/// No server takes in more; a forecast of more could not be told in numbers.
const ROWS_PER_DAY_MAX: f64 = 1e15;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn configure_shards(relation: Option<&str>, settings: Option<Document>) -> Result<JsonB, ErrorReport> {
    writes("configure_shards")?;
    let (relation, settings) = (required(relation, "relation")?, required(settings, "settings")?);
    let user = current_user()?;
    let name = relations::resolve(relation, &[])?;
    let live = relations::find(&name)?;
    provision::check_own(live.as_ref(), &name, "configure")?;
    if live.is_none() {
        provision::check_may_arm_here()?;
    }
    let Value::Object(changes) = settings.read()? else {
        return Err(error::new(
            SqlState::InvalidParameterValue,
            "settings of a table must be a JSON object",
            None,
            Some("Write them as {\"expected_rows_per_day\": 100000}.".to_owned()),
        ));
    };
    let mut stored = settings::load(&name)?;
    for (key, value) in changes {
        check_table_setting(&key, &value)?;
        if value.is_null() {
            stored.remove(&key);
        } else {
            stored.insert(key, value);
        }
    }
    settings::store(&name, &stored, &user)?;
    Ok(JsonB(Value::Object(stored)))
}

/// A setting must be known and its value must fit; null takes it away.
fn check_table_setting(key: &str, value: &Value) -> Result<(), ErrorReport> {
    if TABLE_ONLY.contains(&key) {
        let fits = match key {
            "undo" => value.is_boolean(),
            _ => value.as_f64().is_some_and(|number| (0.0..=ROWS_PER_DAY_MAX).contains(&number)),
        };
        let takes = match key {
            "undo" => "true or false".to_owned(),
            _ => format!("a number from 0 to {ROWS_PER_DAY_MAX:e}"),
        };
        return if fits || value.is_null() { Ok(()) } else { Err(wrong_value(key, value, &takes)) };
    }
    if let ("data_retention_policy", Some(policy)) = (key, value.as_str()) {
        RetentionPolicy::parse(policy)?;
    }
    match SETTINGS.iter().find(|setting| setting.name == key) {
        Some(setting) if setting.admits(value) || value.is_null() => Ok(()),
        Some(setting) => Err(wrong_value(key, value, &setting.takes())),
        None => Err(error::new(
            SqlState::UndefinedObject,
            format!("setting \"{key}\" does not exist"),
            None,
            Some(
                "View \"presplit.settings\" lists the settings; also expected_rows_per_day and undo."
                    .to_owned(),
            ),
        )),
    }
}

fn wrong_value(key: &str, value: &Value, takes: &str) -> ErrorReport {
    error::new(
        SqlState::InvalidParameterValue,
        format!("value {} does not fit setting \"{key}\"", shortened(&value.to_string())),
        Some(format!("It takes {takes}, or null for that of the server.")),
        Some("View \"presplit.settings\" tells what each setting means.".to_owned()),
    )
}
