//! Values as bytes: whether two are stored alike, and what a row's are.
//!
//! Two values that are equal to SQL may differ here (`1.0` and `1.00`), never
//! the other way round.

use std::ffi::CStr;
use std::ffi::c_char;

use pgrx::pg_sys;
use pgrx::pg_sys::Datum;
use pgrx::varlena;

use crate::pg::capture::server;

/// How the values of a column are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    length: i16,
    by_value: bool,
}

/// As [`Storage::length`] says it: a varlena, a C string.
const VARLENA: i16 = -1;
const C_STRING: i16 = -2;

impl Storage {
    pub const NONE: Self = Self { length: 0, by_value: true };

    /// # Safety
    /// A descriptor, and the number of one of its columns from 0.
    pub unsafe fn of(descriptor: pg_sys::TupleDesc, at: usize) -> Self {
        // SAFETY: as above.
        unsafe {
            let attribute = &*attribute(descriptor, at);
            Self { length: attribute.attlen, by_value: attribute.attbyval }
        }
    }

    /// Whether two values are stored alike, as they lie there: a value that
    /// is stored elsewhere is the same only if it is at the same place.
    ///
    /// # Safety
    /// Values of this storage, neither null.
    pub unsafe fn is_same(self, a: Datum, b: Datum) -> bool {
        // SAFETY: as above.
        unsafe { a.value() == b.value() || !self.by_value && self.lying(a) == self.lying(b) }
    }

    #[must_use]
    pub const fn is_by_reference(self) -> bool {
        !self.by_value
    }

    /// A value as it lies there; none if it is by value.
    ///
    /// # Safety
    /// A value of this storage, not null; the bytes live as long as it does.
    pub unsafe fn by_reference<'a>(self, value: Datum) -> Option<&'a [u8]> {
        // SAFETY: as above.
        (!self.by_value).then(|| unsafe { self.lying(value) })
    }

    /// # Safety
    /// A value of this storage that is not by value.
    unsafe fn lying<'a>(self, value: Datum) -> &'a [u8] {
        let start = value.cast_mut_ptr::<u8>();
        // SAFETY: the value's own length.
        unsafe {
            let length = match self.length {
                VARLENA => varlena::varsize_any(start.cast()),
                C_STRING => CStr::from_ptr(start.cast::<c_char>()).count_bytes(),
                length => length.unsigned_abs() as usize,
            };
            std::slice::from_raw_parts(start, length)
        }
    }

    /// Shows the bytes of a value, wherever and however they are stored.
    ///
    /// # Safety
    /// A value of this storage, not null, in a transaction. `look` must not
    /// raise an error, nor own anything if the value cannot be fetched.
    pub unsafe fn with_bytes(self, value: Datum, look: impl FnOnce(&[u8])) {
        // SAFETY: as above; what was fetched is freed.
        unsafe {
            if self.by_value {
                return look(&value.value().to_ne_bytes());
            }
            if self.length != VARLENA {
                return look(self.lying(value));
            }
            let stored = value.cast_mut_ptr::<pg_sys::varlena>();
            let plain = if varlena::varatt_is_4b_u(stored) || is_short(stored) {
                stored
            } else {
                server::pg_detoast_datum_packed(stored)
            };
            let header = if is_short(plain) { pg_sys::VARHDRSZ_SHORT } else { pg_sys::VARHDRSZ };
            let all = self.lying(Datum::from(plain));
            look(&all[header.min(all.len())..]);
            if plain != stored {
                server::pfree(plain.cast());
            }
        }
    }
}

/// # Safety
/// A varlena.
unsafe fn is_short(value: *const pg_sys::varlena) -> bool {
    // SAFETY: as above.
    unsafe { varlena::varatt_is_1b(value) && !varlena::varatt_is_1b_e(value) }
}

/// # Safety
/// A descriptor, and the number of one of its columns from 0.
pub unsafe fn attribute(descriptor: pg_sys::TupleDesc, at: usize) -> *mut pg_sys::FormData_pg_attribute {
    // SAFETY: as above.
    unsafe {
        #[cfg(feature = "pg18")]
        return pg_sys::TupleDescAttr(descriptor, at as i32);
        #[cfg(not(feature = "pg18"))]
        return (*descriptor).attrs.as_mut_ptr().add(at);
    }
}
