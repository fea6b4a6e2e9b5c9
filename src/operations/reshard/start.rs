//! The beginning of a job: what is to be changed is looked at and written down
//! in the caller's transaction; a worker takes it up when that commits.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Map;
use serde_json::Value;

use crate::catalog::arming::current_user;
use crate::catalog::jobs;
use crate::catalog::jobs::NewJob;
use crate::catalog::settings;
use crate::model::finding::Finding;
use crate::model::finding::Severity;
use crate::model::operation::Kind;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::settings::Kind as Type;
use crate::model::settings::SETTINGS;
use crate::operations::reshard::check;
use crate::pg::context::as_extension_owner;
use crate::pg::context::with_pinned_search_path;
use crate::pg::error;
use crate::pg::guc;
use crate::pg::operation_worker;
use crate::pg::server;
use crate::pg::spi;

/// The settings that an operation takes from its caller.
const KEPT: &[&str] = &[
    "cutover_budget",
    "cutover_lock_timeout",
    "cutover_snapshots",
    "max_snapshot_age",
    "pause_at",
    "reshard_rate_limit",
    "retired_shard_grace",
];

/// Writes an operation down; its number. It begins when the transaction commits.
///
/// # Errors
/// If something stands against it, or another operation works on the table.
/// Then nothing has happened.
pub fn record(change: Change, kind: Kind) -> Result<i64, ErrorReport> {
    if server::in_recovery() {
        return Err(error::new(
            SqlState::ReadOnlySqlTransaction,
            "an operation cannot begin during recovery",
            None,
            Some("Connect to the primary server, or promote this one.".to_owned()),
        ));
    }
    let user = current_user()?;
    let owner = owner_of(&change, &user)?;
    refuse_second(&change)?;
    with_pinned_search_path(|| {
        refuse(&change, kind, &check::findings(&change)?)?;
        let shape = check::shape(&change)?;
        let settings = kept_settings(&change)?;
        let job = NewJob { kind, change: &change, settings: &settings, owner, shape: &shape, user: &user };
        let Some(id) = jobs::insert(&job)? else {
            refuse_second(&change)?;
            return Err(error::new(
                SqlState::ObjectInUse,
                format!("another operation works on table \"{}\"", change.root),
                None,
                Some("Try it again.".to_owned()),
            ));
        };
        operation_worker::start_at_commit(id);
        Ok(id)
    })
}

/// The owner of the table, whose rights the user must have.
fn owner_of(change: &Change, user: &str) -> Result<Oid, ErrorReport> {
    let found = as_extension_owner(|| {
        spi::rows::<(u32, bool)>(
            "SELECT jsonb_build_array(c.relowner::bigint, pg_has_role($2::name, c.relowner, 'USAGE'))::text
             FROM pg_class AS c WHERE c.oid = $1::oid",
            &[i64::from(change.root_oid).into(), user.into()],
        )
    })?;
    match found.first() {
        Some((owner, true)) => Ok(Oid::from(*owner)),
        Some((_, false)) => Err(error::new(
            SqlState::InsufficientPrivilege,
            format!("must be owner of table {}", change.root.name),
            None,
            None,
        )),
        None => Err(error::new(
            SqlState::UndefinedTable,
            format!("table \"{}\" does not exist", change.root),
            None,
            None,
        )),
    }
}

/// One operation at a time works on a table.
pub fn refuse_second(change: &Change) -> Result<(), ErrorReport> {
    let Some((id, kind)) = jobs::on_table(change.root_oid)? else { return Ok(()) };
    Err(error::new(
        SqlState::ObjectInUse,
        format!("operation {id} works on table \"{}\"", change.root),
        Some(format!("Its kind is {kind}; one operation at a time works on a table.")),
        Some(format!(
            "Wait for it with SELECT wait_operation({id}), or end it with SELECT cancel_operation({id})."
        )),
    ))
}

/// Refuses what would not go through: the first reason as the message, all as the detail.
pub fn refuse(change: &Change, kind: Kind, findings: &[Finding]) -> Result<(), ErrorReport> {
    let against: Vec<&Finding> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    let Some(first) = against.first() else { return Ok(()) };
    let detail = against
        .iter()
        .map(|finding| format!("{}: {}.", finding.object, finding.problem.trim_end_matches('.')))
        .collect::<Vec<_>>()
        .join("\n");
    Err(error::new(
        SqlState::ObjectNotInPrerequisiteState,
        match kind {
            Kind::ShardTable => format!("cannot shard table \"{:#}\": {}", change.root, first.problem),
            _ => {
                format!("cannot {} shards of table \"{}\" online: {}", verb(kind), change.root, first.problem)
            }
        },
        Some(detail),
        Some(first.remedy.clone()).filter(|remedy| !remedy.is_empty()),
    ))
}

const fn verb(kind: Kind) -> &'static str {
    match kind {
        Kind::Split => "split",
        Kind::Merge => "merge",
        Kind::Move => "move",
        Kind::Undo => "put back",
        _ => "change",
    }
}

fn setting(name: &str) -> Option<Value> {
    let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
    Some(match setting.kind {
        Type::Int { .. } => Value::from(guc::number(name) as i64),
        Type::Real { .. } => Value::from(guc::number(name)),
        Type::Bool { .. } => Value::from(guc::on(name)),
        Type::Text { .. } | Type::Choice { .. } => Value::from(guc::text(name)),
    })
}

/// What the caller has set in this session, which an operation that is resumed
/// goes on with.
pub fn own_settings() -> Result<Map<String, Value>, ErrorReport> {
    let names: Vec<String> = KEPT.iter().map(|name| format!("presplit.{name}")).collect();
    let set = with_pinned_search_path(|| {
        spi::column::<String>(
            "SELECT substr(s.name, 10) FROM pg_settings AS s
             WHERE s.name = ANY ($1::text[]) AND s.source IN ('client', 'session')",
            &[names.into()],
        )
    })?;
    Ok(set.into_iter().filter_map(|name| setting(&name).map(|value| (name, value))).collect())
}

/// The caller's settings, those of the table before them.
fn kept_settings(change: &Change) -> Result<Map<String, Value>, ErrorReport> {
    let mut kept: Map<String, Value> =
        KEPT.iter().filter_map(|name| Some(((*name).to_owned(), setting(name)?))).collect();
    for (name, value) in settings::load(&change.root)? {
        kept.insert(name, value);
    }
    Ok(kept)
}
