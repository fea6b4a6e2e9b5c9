//! Statements about the rows of some keys: the keys are a table to them,
//! [`KEYS`], with a column `k1`, `k2` … for each of the identity's.
//!
//! No right is needed to read the keys, and none to read them again: they are
//! the statement's own.

use std::ffi::CStr;
use std::ffi::CString;

use pgrx::Spi;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;

use crate::model::report::SqlState;
use crate::pg::capture::Digest;
use crate::pg::capture::Keys;
use crate::pg::capture::digest::Receiver;
use crate::pg::error;

/// The name of the keys in a statement.
pub const KEYS: &str = "presplit_keys";

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub digest: Digest,
    /// The key of the last row, in text form.
    pub last: Option<Vec<String>>,
}

/// Runs a statement and returns how many rows it has processed.
///
/// # Errors
/// Errors of the statement itself are raised, not returned.
pub fn run(sql: &str, keys: Option<&Keys>) -> Result<u64, ErrorReport> {
    execute(sql, keys, std::ptr::null_mut())
}

/// Runs a statement that returns rows, and tells what they are. `key` says
/// which columns are the key, from 0.
///
/// # Errors
/// Errors of the statement itself are raised, not returned.
pub fn read(
    sql: &str,
    keys: Option<&Keys>,
    key: &[usize],
    types: &[pg_sys::Oid],
) -> Result<Read, ErrorReport> {
    let mut receiver = Receiver::new(key);
    execute(sql, keys, receiver.head())?;
    let last = receiver.last().map(|values| {
        values.into_iter().zip(types).map(|(value, type_oid)| text_of(value, *type_oid)).collect()
    });
    Ok(Read { digest: receiver.digest(), last })
}

/// A value in text form.
fn text_of(value: pg_sys::Datum, type_oid: pg_sys::Oid) -> String {
    let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: a value of the type, not null; the text is copied.
    unsafe {
        pg_sys::getTypeOutputInfo(type_oid, &mut output, &mut is_varlena);
        let text = pg_sys::OidOutputFunctionCall(output, value);
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        pg_sys::pfree(text.cast());
        owned
    }
}

fn execute(sql: &str, keys: Option<&Keys>, receiver: *mut pg_sys::DestReceiver) -> Result<u64, ErrorReport> {
    let text = CString::new(sql).map_err(|_| {
        error::new(SqlState::InvalidParameterValue, "a statement has a zero byte in it", None, None)
    })?;
    let name = CString::new(KEYS).unwrap_or_default();
    Spi::connect_mut(|_| {
        // SAFETY: connected; name, keys and receiver outlive the statement. The server copies nothing
        // of the relation's description, so it stays until it is taken back.
        unsafe {
            let mut relation = pg_sys::EphemeralNamedRelationData::default();
            if let Some(keys) = keys {
                relation.md.name = name.as_ptr().cast_mut();
                relation.md.tupdesc = keys.descriptor();
                relation.md.enrtype = pg_sys::EphemeralNameRelationType::ENR_NAMED_TUPLESTORE;
                relation.md.enrtuples = keys.count as f64;
                relation.reldata = keys.store().cast();
                pg_sys::SPI_register_relation(&raw mut relation);
            }
            let options = pg_sys::SPIExecuteOptions { dest: receiver, ..Default::default() };
            let code = pg_sys::SPI_execute_extended(text.as_ptr(), &raw const options);
            if keys.is_some() {
                pg_sys::SPI_unregister_relation(name.as_ptr());
            }
            if code < 0 {
                return Err(error::new(
                    SqlState::ExternalRoutineException,
                    format!("could not run a statement: SPI error {code}"),
                    None,
                    None,
                ));
            }
            Ok(pg_sys::SPI_processed)
        }
    })
}
