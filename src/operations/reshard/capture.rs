//! The capture of changes: a log for the operation, and triggers on its
//! sources that write to it.
//!
//! The triggers are internal ones, as those of foreign keys: a dump leaves
//! them out, and who owns the table cannot switch them off. They fire for
//! everybody, also where changes are replicated.
//!
//! With the table's setting `undo` the new shards have them from the swap on,
//! under the number of the operation that is over: so it can be undone with
//! what has changed since, and nothing else.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::job_objects;
use crate::catalog::jobs;
use crate::catalog::jobs::Object;
use crate::catalog::jobs::Role;
use crate::catalog::reshard_rows;
use crate::model::name::QualifiedName;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::pg::context::as_extension_owner;
use crate::pg::error;
use crate::pg::spi;

/// A log is vacuumed often, for it is read from its beginning; never
/// shortened, for that would make writers wait.
const STORAGE: &str = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, \
     autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_threshold = 2147483647, \
     vacuum_truncate = off";

/// The triggers of a source: what makes each fire, and its name.
fn triggers(operation_id: i64) -> [(&'static str, String); 2] {
    [
        ("INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW", format!("presplit_capture_{operation_id}")),
        ("TRUNCATE ON {} FOR EACH STATEMENT", format!("presplit_truncate_{operation_id}")),
    ]
}

/// Begins to write down which rows of the next source change; false if those of
/// all are written down. Writers that are at it are waited for, so once this is
/// committed no change of it goes unnoticed.
///
/// One source in a transaction: who has locked a second one and waits for the
/// first would be in our way, and we in his. Nothing is copied before the last.
///
/// # Errors
/// If a source is gone, or has another identity; lock time-outs are raised.
pub fn install_next(change: &Change, operation_id: i64) -> Result<bool, ErrorReport> {
    let [(_, of_rows), _] = triggers(operation_id);
    for source in &change.sources {
        if reshard_rows::trigger(source.oid, &of_rows)?.is_none() {
            install_on(change, vec![(source.oid, &source.name)], operation_id)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same of all sources at once.
#[cfg(feature = "pg_test")]
pub fn install(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    while install_next(change, operation_id)? {}
    Ok(())
}

/// Begins to write down which rows of the new shards change, which have just
/// taken their places. The triggers go with the extension, without being asked for.
///
/// # Errors
/// Errors of the statements are raised.
pub fn install_reverse(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    let targets =
        change.targets.iter().map(|target| (target.oid.unwrap_or_default(), &target.name)).collect();
    for trigger in install_on(change, targets, operation_id)? {
        as_extension_owner(|| {
            spi::run(
                "UPDATE pg_catalog.pg_depend SET deptype = 'a'
                 WHERE classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND objid = $1
                   AND refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass",
                &[trigger.into()],
            )
        })?;
    }
    Ok(())
}

/// Makes the log and the triggers of tables; the oids of these.
fn install_on(
    change: &Change,
    mut tables: Vec<(u32, &QualifiedName)>,
    operation_id: i64,
) -> Result<Vec<Oid>, ErrorReport> {
    let log = match reshard_rows::log(operation_id)? {
        Some(log) => log,
        None => create_log(change, operation_id)?,
    };
    tables.sort_by_key(|(oid, _)| *oid);
    let mut made = Vec::new();
    for (oid, name) in tables {
        let arguments = reshard_rows::trigger_arguments(change, oid, operation_id, log)?;
        let arguments: Vec<String> = arguments.iter().map(|argument| quote_literal(argument)).collect();
        for (event, trigger) in triggers(operation_id) {
            made.push(create_trigger((oid, name), operation_id, event, &trigger, &arguments.join(", "))?);
        }
    }
    Ok(made)
}

fn create_log(change: &Change, operation_id: i64) -> Result<Oid, ErrorReport> {
    let name = reshard_rows::log_name(operation_id);
    let columns = reshard_rows::log_columns(change)?;
    if columns.is_empty() || columns.len() != change.identity.len() {
        return Err(gone(change));
    }
    as_extension_owner(|| {
        let columns = columns.join(", ");
        spi::run(&format!("CREATE TABLE presplit.{name} ({columns}) USING heap WITH ({STORAGE})"), &[])?;
        let comment =
            format!("keys of rows that change while operation {operation_id} can be finished or undone");
        spi::run(&format!("COMMENT ON TABLE presplit.{name} IS {}", quote_literal(&comment)), &[])?;
        spi::run(&format!("ALTER EXTENSION pg_presplit ADD TABLE presplit.{name}"), &[])
    })?;
    let log = reshard_rows::log(operation_id)?.ok_or_else(|| gone(change))?;
    jobs::record_object(operation_id, Role::Log, log, &format!("presplit.{name}"))?;
    Ok(log)
}

fn create_trigger(
    (table_oid, table_name): (u32, &QualifiedName),
    operation_id: i64,
    event: &str,
    name: &str,
    arguments: &str,
) -> Result<Oid, ErrorReport> {
    let table = table_name.to_string();
    let event = event.replace("{}", &table);
    let quoted = quote_identifier(name);
    as_extension_owner(|| {
        spi::run(
            &format!(
                "CREATE TRIGGER {quoted} AFTER {event} EXECUTE FUNCTION presplit.capture_change({arguments})"
            ),
            &[],
        )
    })?;
    let Some(oid) = reshard_rows::trigger(table_oid, name)? else {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{table_name}\" is no more the shard that it was"),
            Some(format!("There is another table of that name than the one with oid {table_oid}.")),
            Some("Cancel the operation and begin it anew.".to_owned()),
        ));
    };
    as_extension_owner(|| {
        spi::run("UPDATE pg_catalog.pg_trigger SET tgisinternal = true WHERE oid = $1", &[oid.into()])?;
        spi::run(&format!("ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {quoted}"), &[])
    })?;
    jobs::record_object(operation_id, Role::Trigger, oid, &format!("{name} on {table}"))?;
    Ok(oid)
}

/// Ends it, and drops the log with what is in it.
///
/// # Errors
/// Lock time-outs are raised.
pub fn remove(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    let operation_id = change.log_of(operation_id);
    for source in &change.sources {
        for (_, name) in triggers(operation_id) {
            if let Some(oid) = reshard_rows::trigger(source.oid, &name)? {
                let (trigger, table) = (quote_identifier(&name), source.name.to_string());
                as_extension_owner(|| spi::run(&format!("DROP TRIGGER {trigger} ON {table}"), &[]))?;
                jobs::forget_object(operation_id, oid)?;
            }
        }
    }
    if let Some(log) = reshard_rows::log(operation_id)? {
        let name = reshard_rows::log_name(operation_id);
        as_extension_owner(|| {
            spi::run(&format!("ALTER EXTENSION pg_presplit DROP TABLE presplit.{name}"), &[])?;
            spi::run(&format!("DROP TABLE presplit.{name}"), &[])
        })?;
        jobs::forget_object(operation_id, log)?;
    }
    Ok(())
}

/// Takes from a source that goes what earlier operations have left on it for
/// their undo: they are undone by copying if it ever comes back.
///
/// # Errors
/// Errors of the statements are raised.
pub fn remove_of_others(source: u32) -> Result<(), ErrorReport> {
    for (operation_id, trigger) in job_objects::triggers_on(source)? {
        drop_object(operation_id, &trigger)?;
    }
    Ok(())
}

/// Ends the capture that an operation has left on its new shards.
///
/// # Errors
/// Lock time-outs are raised.
pub fn remove_reverse(operation_id: i64) -> Result<(), ErrorReport> {
    let mut objects = jobs::objects(operation_id)?;
    // While a trigger is there it wants its log.
    objects.sort_by_key(|object| (object.role == Role::Log, object.object));
    for object in objects.iter().filter(|object| matches!(object.role, Role::Trigger | Role::Log)) {
        drop_object(operation_id, object)?;
    }
    Ok(())
}

fn drop_object(operation_id: i64, object: &Object) -> Result<(), ErrorReport> {
    let statements = job_objects::drop_statements(object)?;
    as_extension_owner(|| statements.iter().try_for_each(|statement| spi::run(statement, &[]).map(|_| ())))?;
    jobs::forget_object(operation_id, Oid::from(object.object))
}

fn gone(change: &Change) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("shards of table \"{}\" are no more what they were", change.root),
        Some(format!("They do not have the columns {}.", change.identity.join(", "))),
        Some("Cancel the operation and begin it anew.".to_owned()),
    )
}
