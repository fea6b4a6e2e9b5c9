//! PostgreSQL's own partition hash of values.

use std::ffi::CString;

use pgrx::pg_sys;

use crate::pg::context::in_subtransaction;

unsafe extern "C-unwind" {
    // Without the guard of pgrx's own: the functions that [`Hasher`] calls raise no errors.
    fn FunctionCall2Coll(
        function: *mut pg_sys::FmgrInfo,
        collation: pg_sys::Oid,
        one: pg_sys::Datum,
        two: pg_sys::Datum,
    ) -> pg_sys::Datum;
}

/// `HASH_PARTITION_SEED` of the server's `partition.h`.
const SEED: u64 = 0x7A5B_2236_7996_DCFD;

/// What `hash_combine64(0, h)` adds to `h`.
const COMBINE: u64 = 0x49A0_F4DD_15E5_A8E3;

/// The hash of each value of a type, as `compute_partition_hash_value` makes
/// it for a key of that one column, so that `% modulus` is the remainder.
/// Values are in text form; none if the type cannot be hashed, or a value is
/// not one of the type.
pub fn partition_hashes(type_oid: pg_sys::Oid, values: &[String]) -> Option<Vec<u64>> {
    in_subtransaction(|| {
        // SAFETY: the type cache entry lives as long as the session; input
        // and hash functions are those of the type's own default operator
        // class, called with its collation; errors end the subtransaction.
        unsafe {
            let entry = pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_HASH_EXTENDED_PROC_FINFO as _);
            if (*entry).hash_extended_proc == pg_sys::InvalidOid {
                return None;
            }
            let mut input = pg_sys::InvalidOid;
            let mut parameter = pg_sys::InvalidOid;
            pg_sys::getTypeInputInfo(type_oid, &mut input, &mut parameter);
            let mut hashes = Vec::with_capacity(values.len());
            for value in values {
                let text = CString::new(value.as_str()).ok()?;
                let datum = pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1);
                let hash = pg_sys::FunctionCall2Coll(
                    &raw mut (*entry).hash_extended_proc_finfo,
                    (*entry).typcollation,
                    datum,
                    pg_sys::Datum::from(SEED),
                );
                hashes.push((hash.value() as u64).wrapping_add(COMBINE));
            }
            Some(hashes)
        }
    })
    .ok()
    .flatten()
}

/// The partition hash of single values of an integer type or of uuid.
#[derive(Debug, Clone, Copy)]
pub struct Hasher {
    function: *mut pg_sys::FmgrInfo,
}

impl Hasher {
    /// None for other types, which may raise errors or ask for a collation.
    #[must_use]
    pub fn of(type_oid: pg_sys::Oid) -> Option<Self> {
        if !matches!(type_oid, pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID | pg_sys::UUIDOID) {
            return None;
        }
        // SAFETY: the type cache entry lives as long as the session.
        unsafe {
            let entry = pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_HASH_EXTENDED_PROC_FINFO as _);
            let function = &raw mut (*entry).hash_extended_proc_finfo;
            ((*entry).hash_extended_proc != pg_sys::InvalidOid).then_some(Self { function })
        }
    }

    /// As [`partition_hashes`].
    #[inline]
    #[must_use]
    pub fn integer(&self, value: i64) -> u64 {
        // SAFETY: an integer of either length is passed by value and hashed without an error.
        unsafe { self.datum(pg_sys::Datum::from(value)) }
    }

    /// Likewise.
    #[inline]
    #[must_use]
    pub fn uuid(&self, value: &[u8; 16]) -> u64 {
        // SAFETY: a uuid is its sixteen bytes, which are only read.
        unsafe { self.datum(pg_sys::Datum::from(value.as_ptr().cast_mut())) }
    }

    #[inline]
    unsafe fn datum(&self, value: pg_sys::Datum) -> u64 {
        // SAFETY: as above.
        unsafe {
            let seed = pg_sys::Datum::from(SEED);
            let hash = FunctionCall2Coll(self.function, pg_sys::InvalidOid, value, seed);
            (hash.value() as u64).wrapping_add(COMBINE)
        }
    }
}
