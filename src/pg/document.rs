//! JSON as an argument of a function of ours.
//!
//! Every jsonb comes through, also one that the reader of JSON refuses (nested
//! too deep, a number out of range): that is the caller's error to report, not
//! an internal one.

use pgrx::FromDatum;
use pgrx::callconv::Arg;
use pgrx::callconv::ArgAbi;
use pgrx::nullable::Nullable;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use serde_json::Value;

use crate::model::report::SqlState;
use crate::pg::error;

/// An argument of type `jsonb`, as its text.
pub struct Document(String);

impl Document {
    /// As jsonb's output function writes it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The value.
    ///
    /// # Errors
    /// 22023 if it is nested too deep, or a number in it is out of range.
    pub fn read(&self) -> Result<Value, ErrorReport> {
        serde_json::from_str(&self.0).map_err(|cause| {
            error::new(
                SqlState::InvalidParameterValue,
                "JSON value cannot be read",
                Some(format!("The reader says: {cause}.")),
                Some("Nest it less deep, and write long numbers as strings.".to_owned()),
            )
        })
    }
}

// SAFETY: the same SQL type as pgrx's own `JsonB`, read by jsonb's own output
// function.
pgrx::impl_sql_translatable!(Document, "jsonb");

impl FromDatum for Document {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: a datum of type jsonb; the text is copied.
        unsafe {
            let detoasted = pg_sys::Datum::from(pg_sys::pg_detoast_datum(datum.cast_mut_ptr()));
            let text = pgrx::direct_function_call::<&std::ffi::CStr>(pg_sys::jsonb_out, &[Some(detoasted)])?;
            Some(Self(text.to_string_lossy().into_owned()))
        }
    }
}

// SAFETY: an argument is read as its datum says.
unsafe impl<'fcx> ArgAbi<'fcx> for Document {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the caller's promise; a strict function has no null.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or_else(|| Self("null".to_owned()))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: the caller's promise.
        unsafe { arg.unbox_arg_using_from_datum() }.into()
    }
}
