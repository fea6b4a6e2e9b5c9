//! Arrays of arguments, as long as they are lists.

use pgrx::AnyArray;
use pgrx::FromDatum;
use pgrx::pg_sys;

/// The elements of an array, none being NULL; nothing if it has more than one
/// dimension. It must be of the type that is asked for.
#[must_use]
pub fn elements<T>(array: &AnyArray) -> Option<Vec<Option<T>>>
where
    Vec<Option<T>>: FromDatum,
{
    // SAFETY: a datum that the server has passed as an array; a copy is made if it is packed.
    unsafe {
        let plain = pg_sys::pg_detoast_datum(array.datum().cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        if (*plain).ndim > 1 {
            return None;
        }
        Vec::<Option<T>>::from_polymorphic_datum(pg_sys::Datum::from(plain), false, array.oid())
    }
}
