//! Top floor: the SQL functions.
//!
//! Each one reads its arguments, checks what the caller may do, calls down and
//! shapes rows. An `if` about sharding does not belong here.
//!
//! | subject | file | functions |
//! |---|---|---|
//! | facts | `facts` | `capture_profile`, `import_profile`, `analyze_workload`, `workload_coverage`, `predict_growth`, `forecast_series` |
//! | proposals | `proposals` | `propose_shards`, `explain_proposal`, `choose_alternative`, `proposal_ddl`, `export_proposal`, `import_proposal`, `register_proposal` |
//! | restore | `restore` | `check_restore`, `create_shards`, `disarm`, `check_shards`, `configure_shards` |
//! | views | `views` | what the views of schema `presplit` read |
//!
//! All are SECURITY INVOKER with a pinned search_path, so a relation named
//! without a schema must be found exactly once in the database.

pub mod facts;
pub mod proposals;
pub mod restore;
pub mod views;

use pgrx::extension_sql_file;

extension_sql_file!("../../sql/bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!(
    "../../sql/views.sql",
    name = "views",
    requires = ["bootstrap", views::presplit::read_settings, views::presplit::read_statements]
);
extension_sql_file!("../../sql/finalize.sql", name = "finalize", finalize);
