//! PostgreSQL's own partition hash of values.

use std::ffi::CString;

use pgrx::pg_sys;

use crate::pg::context::in_subtransaction;

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
