//! Workloads: declared by hand, or read from a server log.

use pgrx::pg_extern;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::api::required;
use crate::api::writes;
use crate::operations::workload;
use crate::pg::document::Document;

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn declare_workload(
    statements: Option<Document>,
    name: default!(Option<&str>, "'declared'"),
) -> Result<i32, ErrorReport> {
    writes("declare_workload")?;
    let (statements, name) = (required(statements, "statements")?, required(name, "name")?);
    let accepted = workload::declare(statements.read()?, name)?;
    Ok(i32::try_from(accepted).unwrap_or(i32::MAX))
}

#[pg_extern(volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn import_log(
    path: Option<&str>,
    format: default!(Option<&str>, "'csvlog'"),
    name: default!(Option<&str>, "'log'"),
) -> Result<i32, ErrorReport> {
    writes("import_log")?;
    let (path, format) = (required(path, "path")?, required(format, "format")?);
    let name = required(name, "name")?;
    let executions = workload::import_log(path, format, name)?;
    Ok(i32::try_from(executions).unwrap_or(i32::MAX))
}
