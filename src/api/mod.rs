//! Top floor: the SQL functions.
//!
//! Each one reads its arguments, checks what the caller may do, calls down and
//! shapes rows. An `if` about sharding does not belong here.
//!
//! | subject | file | functions |
//! |---|---|---|
//! | facts | `facts` | `capture_profile`, `import_profile`, `analyze_workload`, `workload_coverage`, `predict_growth`, `forecast_series` |
//! | calibration | `calibrate` | `calibrate` |
//! | backup | `backup` | `profile_backup` |
//! | proposals | `proposals` | `propose_shards`, `explain_proposal`, `choose_alternative`, `proposal_ddl`, `export_proposal`, `import_proposal`, `register_proposal` |
//! | evidence | `evidence` | `proposal_evidence` |
//! | restore | `restore` | `check_restore`, `restore_script`, `create_shards`, `disarm`, `check_shards`, `configure_shards` |
//! | resharding | `reshard` | `split_shard`, `merge_shards`, `move_shard`, their `_plan` twins, `check_operation`, `wait_operation`, `cancel_operation`, `pause_operation`, `resume_operation` |
//! | converting | `shard_table` | `shard_table` and its `_plan` twin |
//! | workloads | `workload` | `declare_workload`, `import_log` |
//! | views | `views` | what the views and the event trigger of schema `presplit` ask |
//!
//! All are SECURITY INVOKER with a pinned search_path, so a relation named
//! without a schema must be found exactly once in the database.

pub mod backup;
pub mod calibrate;
pub mod evidence;
pub mod facts;
pub mod proposals;
pub mod reshard;
pub mod restore;
pub mod shard_table;
pub mod views;
pub mod workload;

use pgrx::extension_sql_file;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;
use crate::pg::server;

/// An argument that must be given. No function with arguments is STRICT: an answer of
/// NULL would hide the slip.
fn required<T>(value: Option<T>, argument: &str) -> Result<T, ErrorReport> {
    value.ok_or_else(|| {
        error::new(SqlState::NullValueNotAllowed, format!("{argument} must not be null"), None, None)
    })
}

/// What every function that writes asks first: a transaction that may only
/// read, or a standby, is told so before any work.
///
/// # Errors
/// 25006, in PostgreSQL's words, with the name of the function.
fn writes(function: &str) -> Result<(), ErrorReport> {
    let refused = |when: &str, hint: &str| {
        let message = format!("cannot execute {function}() {when}");
        Err(error::new(SqlState::ReadOnlySqlTransaction, message, None, Some(hint.to_owned())))
    };
    if server::in_recovery() {
        return refused("during recovery", "Connect to the primary server, or promote this one.");
    }
    if server::in_read_only_transaction() {
        return refused("in a read-only transaction", "Call it in a transaction that is READ WRITE.");
    }
    Ok(())
}

/// The elements of an array argument, none of which may be null.
fn without_nulls<T>(elements: Vec<Option<T>>, argument: &str) -> Result<Vec<T>, ErrorReport> {
    elements.into_iter().collect::<Option<_>>().ok_or_else(|| {
        error::new(SqlState::NullValueNotAllowed, format!("{argument} must not contain nulls"), None, None)
    })
}

extension_sql_file!("../../sql/bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!(
    "../../sql/views.sql",
    name = "views",
    requires = [
        "bootstrap",
        views::presplit::read_operations,
        views::presplit::read_sampled_values,
        views::presplit::read_settings,
        views::presplit::read_statements
    ]
);
extension_sql_file!("../../sql/finalize.sql", name = "finalize", finalize);
