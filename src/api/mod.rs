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
//! | workloads | `workload` | `declare_workload`, `import_log` |
//! | views | `views` | what the views of schema `presplit` read |
//!
//! All are SECURITY INVOKER with a pinned search_path, so a relation named
//! without a schema must be found exactly once in the database.

pub mod backup;
pub mod calibrate;
pub mod evidence;
pub mod facts;
pub mod proposals;
pub mod restore;
pub mod views;
pub mod workload;

use pgrx::extension_sql_file;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::error;

/// An argument that must be given. A function with other arguments that may
/// be null is not STRICT, so it has to look itself.
fn required<T>(value: Option<T>, argument: &str) -> Result<T, ErrorReport> {
    value.ok_or_else(|| {
        error::new(SqlState::NullValueNotAllowed, format!("{argument} must not be null"), None, None)
    })
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
        views::presplit::read_sampled_values,
        views::presplit::read_settings,
        views::presplit::read_statements
    ]
);
extension_sql_file!("../../sql/finalize.sql", name = "finalize", finalize);
