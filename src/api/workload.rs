//! Workloads: declared by hand, or read from a server log.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::operations::workload;
use crate::pg::document::Document;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn declare_workload(statements: Document, name: default!(&str, "'declared'")) -> Result<i32, ErrorReport> {
    let accepted = workload::declare(statements.read()?, name)?;
    Ok(i32::try_from(accepted).unwrap_or(i32::MAX))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn import_log(
    path: &str,
    format: default!(&str, "'csvlog'"),
    name: default!(&str, "'log'"),
) -> Result<i32, ErrorReport> {
    let executions = workload::import_log(path, format, name)?;
    Ok(i32::try_from(executions).unwrap_or(i32::MAX))
}
