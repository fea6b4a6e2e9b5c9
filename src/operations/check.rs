//! `check_restore` and `check_shards`: what is not right, or will not be.
//!
//! `check_restore` asks the very rules that the hook obeys, so that what it
//! passes goes through. Both only look.

use std::collections::BTreeMap;
use std::collections::HashMap;

use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::arming;
use crate::catalog::proposals::Stored;
use crate::catalog::relations;
use crate::catalog::staging;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::layout::Layout;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::profile::Table;
use crate::model::report::SqlState;
use crate::model::settings::UniquePolicy;
use crate::operations::foresee;
use crate::operations::known;
use crate::operations::later;
use crate::operations::provision::library_loads;
use crate::operations::provision::load_hint;
use crate::operations::provision::roles_without_library;
use crate::operations::uncovered;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::sample;
use crate::pg::server;
use crate::pg::spi;
use crate::pg::utility;
use crate::pg::utility::Statement;
use crate::planning::proposal::null_without_place;
use crate::planning::proposal::without_place;

/// What stands in the way of restoring into the shards of a proposal.
/// `schema` is the dump's schema as SQL text; none = only what is known here.
pub fn restore(stored: &Stored, schema: Option<&str>) -> Result<Vec<Finding>, ErrorReport> {
    let mut found = Vec::new();
    check_guards(&mut found)?;
    for (proposed, layout) in stored.sharded() {
        check_target(&proposed.relation, layout, &mut found)?;
        for warning in proposed.warnings.iter().filter(|warning| !warning.contains(NO_PLACE)) {
            let object = proposed.relation.to_string();
            found.push(Finding::new(Severity::Info, object, warning.clone(), String::new()));
        }
    }
    check_shard_names(stored, &mut found)?;
    let read = schema.map(utility::read_statements);
    let known = known_tables(stored)?;
    match &read {
        Some(Ok(statements)) => foresee::statements(stored, statements, &known, &mut found)?,
        Some(Err(caught)) => found.push(Finding::new(
            Severity::Error,
            "dump",
            format!("its schema cannot be read here: {} ({})", caught.message, caught.sqlstate),
            "Restore into the major version that the dump was made for, or a later one.",
        )),
        None => {}
    }
    check_places(stored, &known, read.and_then(Result::ok).as_deref(), &mut found)?;
    found.sort_by_key(|finding| finding.severity);
    Ok(found)
}

/// What a proposal's warnings say of rows without a place: here it is said of
/// what the dump has.
const NO_PLACE: &str = "no default shard: PostgreSQL will refuse";

/// What is known of the tables whose values matter.
fn known_tables(stored: &Stored) -> Result<BTreeMap<QualifiedName, Table>, ErrorReport> {
    let extends = stored.proposal.settings.unique_policy == UniquePolicy::Extend;
    let matter = |layout: &Layout| {
        extends || without_place(layout).is_some() || !null_without_place(layout).is_empty()
    };
    let named = stored.sharded().filter(|(_, layout)| matter(layout));
    known::tables(&named.map(|(proposed, _)| proposed.relation.clone()).collect::<Vec<_>>())
}

/// Rows for which a layout has no place.
fn check_places(
    stored: &Stored,
    known: &BTreeMap<QualifiedName, Table>,
    statements: Option<&[Statement]>,
    found: &mut Vec<Finding>,
) -> Result<(), ErrorReport> {
    for (proposed, layout) in stored.sharded() {
        let name = &proposed.relation;
        let table = known.get(name);
        let declared = statements.and_then(|read| foresee::declared_not_null(name, read));
        let may_be_null = |column: &str| match (&declared, table) {
            (Some(declared), _) => !declared.iter().any(|name| name == column),
            (None, Some(table)) => table.column(column).is_some_and(|column| !column.not_null),
            (None, None) => {
                let said = format!("Column {} may be NULL", quote_identifier(column));
                proposed.warnings.iter().any(|warning| warning.starts_with(&said))
            }
        };
        found.extend(uncovered::findings(name, layout, table, may_be_null)?);
    }
    Ok(())
}

fn check_guards(found: &mut Vec<Finding>) -> Result<(), ErrorReport> {
    if !library_loads()? {
        found.push(Finding::new(
            Severity::Error,
            "pg_presplit",
            "new sessions of this database do not load the library",
            load_hint()?,
        ));
    }
    for role in roles_without_library()? {
        found.push(Finding::new(
            Severity::Warning,
            format!("role {}", quote_identifier(&role)),
            "its own session_preload_libraries keeps the library from being loaded",
            "Restore as another role, or add pg_presplit to the role's setting.",
        ));
    }
    if !guc::on("restore_hook") {
        found.push(Finding::new(
            Severity::Error,
            "presplit.restore_hook",
            "the setting is off: armed tables would be refused",
            "SET presplit.restore_hook = on, where it was switched off.",
        ));
    }
    Ok(())
}

fn check_target(name: &QualifiedName, layout: &Layout, found: &mut Vec<Finding>) -> Result<(), ErrorReport> {
    let object = name.to_string();
    if let Some(live) = relations::find(name)? {
        let (severity, problem, remedy) = match live.kind.as_str() {
            "r" if !live.partition && relations::is_empty(name)? => (
                Severity::Info,
                "the table exists and is empty".to_owned(),
                "create_shards() divides it now; restore with --data-only.",
            ),
            "r" | "p" if !live.partition => (
                Severity::Warning,
                "the table exists already".to_owned(),
                "Pass replace => true to create_shards() and restore with --clean --if-exists.",
            ),
            _ => (
                Severity::Error,
                format!("the name is taken by {}", live.what()),
                "Drop or rename it, or leave the table out of the proposal.",
            ),
        };
        found.push(Finding::new(severity, object, problem, remedy));
        return Ok(());
    }
    for partition in layout.names() {
        let shard = name.sibling(partition);
        if relations::find(&shard)?.is_some() {
            found.push(Finding::new(
                Severity::Error,
                shard.to_string(),
                format!("a relation of that name exists, but shard of \"{name:#}\" would have it"),
                "Drop or rename it.",
            ));
        }
    }
    Ok(())
}

/// Long names of tables are cut for their shards, so that two tables may want
/// the same: of the proposal, or one of it and one that is armed.
fn check_shard_names(stored: &Stored, found: &mut Vec<Finding>) -> Result<(), ErrorReport> {
    let mut wanted: HashMap<QualifiedName, QualifiedName> = HashMap::new();
    for armed in arming::names()?.iter() {
        if stored.sharded().all(|(proposed, _)| proposed.relation != *armed)
            && let Some(arming) = arming::find(armed)?
        {
            wanted.extend(arming.layout.names().map(|name| (armed.sibling(name), armed.clone())));
        }
    }
    for (proposed, layout) in stored.sharded() {
        let name = &proposed.relation;
        for shard in layout.names().map(|shard| name.sibling(shard)) {
            if let Some(other) = wanted.insert(shard.clone(), name.clone())
                && other != *name
            {
                found.push(Finding::new(
                    Severity::Error,
                    shard.to_string(),
                    format!("shards of \"{other}\" and of \"{name}\" would have the same name"),
                    "Rename one of the tables before the dump is made, or leave it out of the proposal.",
                ));
                break;
            }
        }
    }
    Ok(())
}

/// What is not right with the sharded tables here; none = all of them.
pub fn shards(relation: Option<u32>) -> Result<Vec<Finding>, ErrorReport> {
    if let Some(oid) = relation {
        let name = relations::name_of(oid.into())?;
        let sharded = with_pinned_search_path(|| {
            spi::one::<bool>(
                "SELECT EXISTS (SELECT FROM presplit.sharded AS t WHERE t.relation::oid::bigint = $1)",
                &[i64::from(oid).into()],
            )
        })?;
        if sharded != Some(true) {
            return Err(error::new(
                SqlState::WrongObjectType,
                format!("\"{name:#}\" is not a sharded table"),
                None,
                Some("View \"presplit.sharded\" lists the tables that were created in shards.".to_owned()),
            ));
        }
    }
    // A standby has no worker. Types of processes are shown to their owners and to
    // pg_read_all_stats only.
    let works = server::in_recovery() || is_worker_there()?;
    let mut found = with_pinned_search_path(|| {
        spi::rows::<Finding>(
            include_str!("../catalog/queries/check_shards.sql"),
            &[relation.map(i64::from).into(), works.into(), relations::filled_defaults(relation)?.into()],
        )
    })?;
    found.extend(with_pinned_search_path(|| later::lacking(relation, None))?);
    if relation.is_none() {
        check_sampling(&mut found);
        check_leftovers(&mut found)?;
    }
    found.sort_by_key(|finding| finding.severity);
    Ok(found)
}

/// Tables with rows of loads that are over.
fn check_leftovers(found: &mut Vec<Finding>) -> Result<(), ErrorReport> {
    let count = staging::count_leftovers()?;
    if count > 0 {
        found.push(Finding::new(
            Severity::Warning,
            "presplit.staging_tables",
            format!("{count} tables hold rows of a COPY that is over"),
            "The background worker drops them at its next turn, or the next COPY by load workers does.",
        ));
    }
    Ok(())
}

fn is_worker_there() -> Result<bool, ErrorReport> {
    as_extension_owner(|| {
        spi::one::<bool>(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_presplit launcher')",
            &[],
        )
    })
    .map(Option::unwrap_or_default)
}

/// Sampling that cannot be, and samples that were dropped.
fn check_sampling(found: &mut Vec<Finding>) {
    const OBJECT: &str = "presplit.sample_rate";
    let rate = guc::sample_rate();
    match sample::counts() {
        None if rate > 0.0 => found.push(Finding::new(
            Severity::Warning,
            OBJECT,
            format!("the setting is {rate}, but nothing is sampled: the server does not preload the library"),
            "Add pg_presplit to shared_preload_libraries and restart the server.",
        )),
        Some(counts) if counts.busy + counts.full + counts.failed > 0 => found.push(Finding::new(
            Severity::Info,
            OBJECT,
            format!(
                "samples taken: {}, dropped: {} while another session sampled the same column, {} for want of room, {} after an error",
                counts.taken, counts.busy, counts.full, counts.failed
            ),
            "Shares stay right, as chance decides; lower the rate if many are dropped.",
        )),
        _ => {}
    }
}
