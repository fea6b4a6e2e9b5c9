//! SQL from inside the server: parameters always, owned values out.
//!
//! Structured results come as one JSON value and are read by serde: the world
//! is read once, as a value. Not here: any statement of ours; those stand
//! where they belong, in `catalog` and `operations`.

use pgrx::FromDatum;
use pgrx::IntoDatum;
use pgrx::Spi;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::spi::SpiTupleTable;
use serde::de::DeserializeOwned;

use crate::model::report::SqlState;
use crate::pg::error;
use crate::pg::server;

/// An argument of a statement: made with `.into()`.
pub type Argument<'a> = pgrx::datum::DatumWithOid<'a>;

fn failed(error: &pgrx::spi::Error) -> ErrorReport {
    error::new(SqlState::ExternalRoutineException, format!("could not read a result: {error}"), None, None)
}

/// Runs a statement; returns the number of rows it processed.
///
/// # Errors
/// Errors of the statement itself are raised, not returned.
pub fn run(sql: &str, arguments: &[Argument<'_>]) -> Result<usize, ErrorReport> {
    if server::in_recovery() {
        return Err(error::new(
            SqlState::ReadOnlySqlTransaction,
            "pg_presplit cannot change anything during recovery",
            None,
            Some("Connect to the primary server, or promote this one.".to_owned()),
        ));
    }
    Spi::connect_mut(|client| client.update(sql, None, arguments).map(|table| table.len()))
        .map_err(|error| failed(&error))
}

/// Runs a query and reads its rows. On a standby and beneath a parallel plan
/// it is read-only: the other way would want a transaction id, which neither
/// gives.
fn query<R>(
    sql: &str,
    limit: Option<i64>,
    arguments: &[Argument<'_>],
    read: impl FnOnce(SpiTupleTable<'_>) -> Result<R, pgrx::spi::Error>,
) -> Result<R, ErrorReport> {
    let result = if server::in_recovery() || server::in_parallel_mode() {
        Spi::connect(|client| read(client.select(sql, limit, arguments)?))
    } else {
        Spi::connect_mut(|client| read(client.update(sql, limit, arguments)?))
    };
    result.map_err(|error| failed(&error))
}

/// The first column of the first row; none if there is no row or it is null.
pub fn one<T: FromDatum + IntoDatum>(
    sql: &str,
    arguments: &[Argument<'_>],
) -> Result<Option<T>, ErrorReport> {
    query(sql, Some(1), arguments, |table| {
        let table = table.first();
        if table.is_empty() { Ok(None) } else { table.get_one::<T>() }
    })
}

/// The first column of all rows; nulls are left out.
pub fn column<T: FromDatum + IntoDatum>(
    sql: &str,
    arguments: &[Argument<'_>],
) -> Result<Vec<T>, ErrorReport> {
    query(sql, None, arguments, |table| {
        let mut values = Vec::new();
        for row in table {
            if let Some(value) = row.get::<T>(1)? {
                values.push(value);
            }
        }
        Ok(values)
    })
}

/// The rows of a query as values: the query must return one column of JSON
/// text, one row each.
pub fn rows<T: DeserializeOwned>(sql: &str, arguments: &[Argument<'_>]) -> Result<Vec<T>, ErrorReport> {
    column::<String>(sql, arguments)?
        .iter()
        .map(|text| {
            // One may be the whole of what was weighed for a table.
            pgrx::check_for_interrupts!();
            serde_json::from_str(text).map_err(|error| {
                error::new(
                    SqlState::DataCorrupted,
                    format!("could not read a stored value: {error}"),
                    None,
                    None,
                )
            })
        })
        .collect()
}
