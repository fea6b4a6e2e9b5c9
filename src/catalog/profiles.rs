//! Profiles: captured live, stored under a name, and merged for an analysis.

use std::collections::BTreeSet;
use std::ffi::CString;

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::catalog::arming::current_user;
use crate::catalog::declared;
use crate::catalog::history;
use crate::catalog::readings;
use crate::catalog::samples;
use crate::model::name::quote_literal;
use crate::model::profile::Profile;
use crate::model::profile::SizeReading;
use crate::model::profile::Workload;
use crate::model::report::SqlState;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_settings;
use crate::pg::error;
use crate::pg::spi;
use crate::planning::workload;

/// The script that a source runs; the extension runs its two blocks, so that
/// both write the same JSON.
const SCRIPT: &str = include_str!("../../sql/capture_profile.sql");

/// The text between the marker lines of a block of the script.
fn block(name: &str) -> &'static str {
    let begin = format!("-- begin: {name}\n");
    let end = format!("-- end: {name}");
    let start = SCRIPT.find(&begin).map_or(SCRIPT.len(), |at| at + begin.len());
    let rest = &SCRIPT[start..];
    rest[..rest.find(&end).unwrap_or(rest.len())].trim().trim_end_matches(';')
}

/// The expression that tells what a statement `s` of pg_stat_statements is to a
/// workload: `kept`, `lost`, or why it is no part of it.
pub fn verdict() -> &'static str {
    block("verdict")
}

/// The settings that the script's blocks rely on: its `SET LOCAL` lines.
pub fn script_settings() -> Vec<(CString, CString)> {
    block("settings")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("SET LOCAL ")?.trim_end_matches(';').split_once(" = "))
        .filter_map(|(name, value)| {
            Some((CString::new(name).ok()?, CString::new(value.trim_matches('\'')).ok()?))
        })
        .collect()
}

/// The JSON of a profile of these tables; none = every user table.
///
/// Sizes are no secret, so whoever sees a table sees its history, though the
/// table that keeps it is nobody's to read.
pub fn capture(relations: Option<&[Oid]>) -> Result<Value, ErrorReport> {
    let mut profile = without_history(relations)?;
    let tables = profile.get("tables").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let name = |table: &Value| {
        Some((table.get("schema")?.as_str()?.to_owned(), table.get("table")?.as_str()?.to_owned()))
    };
    let names: Vec<(String, String)> = tables.iter().filter_map(name).collect();
    let names: Vec<(&str, &str)> =
        names.iter().map(|(schema, table)| (schema.as_str(), table.as_str())).collect();
    profile["history"] = Value::Array(history::of::<Value>(&names)?);
    Ok(profile)
}

fn without_history(relations: Option<&[Oid]>) -> Result<Value, ErrorReport> {
    let list = relations.map_or_else(String::new, |oids| {
        oids.iter().map(|oid| oid.to_u32().to_string()).collect::<Vec<_>>().join(",")
    });
    let settings = script_settings();
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_c_str(), value.as_c_str())).collect();
    let text = with_settings(&settings, || {
        let statements = spi::one::<String>(block("statements_source"), &[])?.unwrap_or_default();
        let query = block("profile")
            .replace(":'values'", "'keys'")
            .replace(":'relations'", &quote_literal(&list))
            .replace(":statements_source", &statements)
            .replace(":history_source", history::NONE);
        spi::one::<String>(&format!("SELECT q.profile::text FROM ({query}) AS q"), &[])
    })?;
    serde_json::from_str(&text.unwrap_or_default()).map_err(|cause| {
        error::new(
            SqlState::DataCorrupted,
            format!("could not read the captured profile: {cause}"),
            None,
            None,
        )
    })
}

/// The text of the subquery that reads the size history.
pub fn history_source() -> &'static str {
    block("history_source")
}

/// The live profile, with the recorded size history, sampled values and, once
/// they say more than the counters since the last reset, the recorded readings
/// of statements.
pub fn live() -> Result<Profile, ErrorReport> {
    let mut profile = Profile::from_json(without_history(None)?)?;
    let names: Vec<(&str, &str)> =
        profile.tables.iter().map(|table| (table.schema.as_str(), table.table.as_str())).collect();
    profile.history = history::of::<SizeReading>(&names)?;
    readings::apply(&mut profile.workload)?;
    samples::add_to(&mut profile, &current_user()?)?;
    profile.live = profile.tables.iter().map(|table| (table.name(), BTreeSet::new())).collect();
    Ok(profile)
}

/// Stores a profile under a name, replacing one of that name.
pub fn store(name: &str, profile: &Profile, user: &str) -> Result<(), ErrorReport> {
    let text = serde_json::to_string(profile).map_err(|cause| {
        error::new(SqlState::DataCorrupted, format!("could not write a profile: {cause}"), None, None)
    })?;
    as_extension_owner(|| {
        spi::run(
            "INSERT INTO presplit.stored_profiles (name, profile, imported_by)
             VALUES ($1, $2::jsonb, $3)
             ON CONFLICT (name) DO UPDATE SET
                 profile = EXCLUDED.profile, imported_at = clock_timestamp(), imported_by = EXCLUDED.imported_by",
            &[name.into(), text.as_str().into(), user.into()],
        )
    })?;
    Ok(())
}

/// Who may see a stored profile: its creator, superusers and pg_read_all_data.
const VISIBLE: &str = "(imported_by = $1 OR pg_has_role($1, 'pg_read_all_data', 'USAGE'))";

/// The stored profile of a name, or the latest with tables; none if the user
/// sees none.
pub fn load(name: Option<&str>, user: &str) -> Result<Option<Profile>, ErrorReport> {
    let texts = as_extension_owner(|| match name {
        Some(name) => spi::column::<String>(
            &format!("SELECT profile::text FROM presplit.stored_profiles WHERE {VISIBLE} AND name = $2"),
            &[user.into(), name.into()],
        ),
        None => spi::column::<String>(
            &format!(
                "SELECT profile::text FROM presplit.stored_profiles
                 WHERE {VISIBLE} AND jsonb_array_length(profile->'tables') > 0
                 ORDER BY imported_at DESC, name LIMIT 1"
            ),
            &[user.into()],
        ),
    })?;
    let Some(text) = texts.first() else { return Ok(None) };
    if let Some(profile) = Profile::from_text(text) {
        return Ok(Some(profile));
    }
    let value: Value = serde_json::from_str(text).map_err(|cause| {
        error::new(SqlState::DataCorrupted, format!("could not read a stored profile: {cause}"), None, None)
    })?;
    Ok(Some(Profile::from_json(value)?))
}

/// Longest name of a profile, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Whether a user may store something under the name of a profile, replacing
/// what is there.
///
/// # Errors
/// 22023 for an empty or long name, 42501 for that of somebody else's profile.
pub fn check_name(name: &str, user: &str) -> Result<(), ErrorReport> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(error::new(
            SqlState::InvalidParameterValue,
            "name of a profile must not be empty or long",
            Some(format!("It may have 1 to {NAME_BYTES_MAX} bytes.")),
            None,
        ));
    }
    if owned_by_another(name, user)? || declared::owned_by_another(name, user)? {
        return Err(error::new(
            SqlState::InsufficientPrivilege,
            format!("profile \"{name}\" belongs to another role"),
            None,
            Some("Choose another name.".to_owned()),
        ));
    }
    Ok(())
}

/// Whether somebody else's profile has this name.
fn owned_by_another(name: &str, user: &str) -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            &format!(
                "SELECT EXISTS (SELECT FROM presplit.stored_profiles WHERE name = $2 AND NOT {VISIBLE})"
            ),
            &[user.into(), name.into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// Whether a stored profile of this name has tables.
pub fn has_tables(name: &str) -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM presplit.stored_profiles
                            WHERE name = $1 AND jsonb_array_length(profile->'tables') > 0)",
            &[name.into()],
        )
    })
    .map(Option::unwrap_or_default)
}

/// The profile that an argument means, with the declared statements: a name
/// means that profile alone; no name means live facts for tables that exist
/// here, and the latest imported profile for the rest. A profile without
/// tables is a workload on those.
pub fn meant(name: Option<&str>, user: &str) -> Result<Profile, ErrorReport> {
    let declared = declared::load(name, user)?;
    let stored = match name {
        Some(name) => load(Some(name), user)?,
        None => None,
    };
    let mut meant = match (name, stored) {
        (Some(_), Some(profile)) if !profile.tables.is_empty() => profile,
        (Some(_), Some(profile)) => with_workload(everything(user)?, profile.workload),
        (Some(_), None) if declared.is_some() => with_workload(everything(user)?, Workload::default()),
        (Some(name), None) => return Err(missing(name)),
        (None, _) => everything(user)?,
    };
    workload::declared::join(&mut meant.workload, &declared.unwrap_or_default());
    Ok(meant)
}

fn missing(name: &str) -> ErrorReport {
    error::new(
        SqlState::UndefinedObject,
        format!("profile \"{name}\" does not exist"),
        None,
        Some("Import one with import_profile(), or leave the argument out to use live facts.".to_owned()),
    )
}

/// Live facts, and those of the latest imported profile for the rest.
fn everything(user: &str) -> Result<Profile, ErrorReport> {
    let live = live()?;
    Ok(match load(None, user)? {
        Some(imported) => merge(live, imported),
        None => live,
    })
}

/// The same facts with another workload; what is known of the search_path of
/// roles stays.
fn with_workload(mut facts: Profile, mut other: Workload) -> Profile {
    for (role, path) in std::mem::take(&mut facts.workload.search_paths) {
        other.search_paths.entry(role).or_insert(path);
    }
    facts.workload = other;
    facts
}

/// Live facts win; statements of both are kept, brought to one duration.
fn merge(mut live: Profile, mut imported: Profile) -> Profile {
    imported.tables.retain(|table| live.table(&table.name()).is_none());
    if imported.tables.is_empty() {
        return live;
    }
    imported
        .views
        .retain(|view| !live.views.iter().any(|l| (&l.schema, &l.view) == (&view.schema, &view.view)));
    imported
        .types
        .retain(|kind| !live.types.iter().any(|l| (&l.schema, &l.name) == (&kind.schema, &kind.name)));
    let kept: Vec<_> =
        imported.tables.iter().map(|table| (table.schema.clone(), table.table.clone())).collect();
    imported.history.retain(|reading| kept.contains(&(reading.schema.clone(), reading.table.clone())));

    if live.tables.is_empty() {
        // Statements that ran here so far concern none of the tables.
        live.workload = imported.workload;
    } else {
        let scale = match (imported.workload.seconds, live.workload.seconds) {
            (Some(there), Some(here)) if here > 0.0 => there / here,
            _ => 1.0,
        };
        for mut statement in std::mem::take(&mut live.workload.statements) {
            statement.calls *= scale;
            statement.exec_ms *= scale;
            statement.rows *= scale;
            imported.workload.statements.push(statement);
        }
        imported.workload.search_paths.extend(std::mem::take(&mut live.workload.search_paths));
        let notes: Vec<String> =
            [imported.workload.note.take(), live.workload.note.take()].into_iter().flatten().collect();
        imported.workload.note = (!notes.is_empty()).then(|| notes.join("; "));
        live.workload = imported.workload;
    }
    live.tables.append(&mut imported.tables);
    live.tables.sort_by_key(crate::model::profile::Table::name);
    imported.functions.retain(|function| !live.functions.contains(function));
    imported.operators.retain(|operator| !live.operators.contains(operator));
    imported.collations.retain(|collation| !live.collations.contains(collation));
    live.functions.append(&mut imported.functions);
    live.operators.append(&mut imported.operators);
    live.collations.append(&mut imported.collations);
    live.views.append(&mut imported.views);
    live.types.append(&mut imported.types);
    live.history.append(&mut imported.history);
    live.values_of.append(&mut imported.values_of);
    if live.tables.len() == kept.len() {
        // Nothing live: the moment of the facts is that of the import.
        live.captured_at = imported.captured_at;
    }
    live
}
