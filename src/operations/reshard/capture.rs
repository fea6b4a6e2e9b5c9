//! The capture of changes: a log for the operation, and triggers on its
//! sources that write to it.
//!
//! The triggers are internal ones, as those of foreign keys: a dump leaves
//! them out, and who owns the table cannot switch them off. They fire for
//! everybody, also where changes are replicated.

use pgrx::pg_sys::Oid;
use pgrx::pg_sys::panic::ErrorReport;

use crate::catalog::jobs;
use crate::catalog::jobs::Role;
use crate::catalog::reshard_rows;
use crate::model::name::quote_identifier;
use crate::model::name::quote_literal;
use crate::model::report::SqlState;
use crate::model::reshard::Change;
use crate::model::reshard::Source;
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

/// Begins to write down which rows of the sources change. Writers that are at
/// it are waited for, so once this is committed no change goes unnoticed.
///
/// # Errors
/// If a source is gone, or has another identity; lock time-outs are raised.
pub fn install(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
    let log = create_log(change, operation_id)?;
    let mut sources: Vec<&Source> = change.sources.iter().collect();
    sources.sort_by_key(|source| source.oid);
    for source in sources {
        let arguments = reshard_rows::trigger_arguments(change, source.oid, operation_id, log)?;
        let arguments: Vec<String> = arguments.iter().map(|argument| quote_literal(argument)).collect();
        for (event, name) in triggers(operation_id) {
            create_trigger(source, operation_id, event, &name, &arguments.join(", "))?;
        }
    }
    Ok(())
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
        let comment = format!("keys of rows that change while operation {operation_id} is under way");
        spi::run(&format!("COMMENT ON TABLE presplit.{name} IS {}", quote_literal(&comment)), &[])?;
        spi::run(&format!("ALTER EXTENSION pg_presplit ADD TABLE presplit.{name}"), &[])
    })?;
    let log = reshard_rows::log(operation_id)?.ok_or_else(|| gone(change))?;
    jobs::record_object(operation_id, Role::Log, log, &format!("presplit.{name}"))?;
    Ok(log)
}

fn create_trigger(
    source: &Source,
    operation_id: i64,
    event: &str,
    name: &str,
    arguments: &str,
) -> Result<(), ErrorReport> {
    let table = source.name.to_string();
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
    let Some(oid) = reshard_rows::trigger(source.oid, name)? else {
        return Err(error::new(
            SqlState::ObjectNotInPrerequisiteState,
            format!("table \"{}\" is no more the shard that it was", source.name),
            Some(format!("There is another table of that name than the one with oid {}.", source.oid)),
            Some("Cancel the operation and begin it anew.".to_owned()),
        ));
    };
    as_extension_owner(|| {
        spi::run("UPDATE pg_catalog.pg_trigger SET tgisinternal = true WHERE oid = $1", &[oid.into()])?;
        spi::run(&format!("ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {quoted}"), &[])
    })?;
    jobs::record_object(operation_id, Role::Trigger, oid, &format!("{name} on {table}"))
}

/// Ends it, and drops the log with what is in it.
///
/// # Errors
/// Lock time-outs are raised.
pub fn remove(change: &Change, operation_id: i64) -> Result<(), ErrorReport> {
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

fn gone(change: &Change) -> ErrorReport {
    error::new(
        SqlState::ObjectNotInPrerequisiteState,
        format!("shards of table \"{}\" are no more what they were", change.root),
        Some(format!("They do not have the columns {}.", change.identity.join(", "))),
        Some("Cancel the operation and begin it anew.".to_owned()),
    )
}
