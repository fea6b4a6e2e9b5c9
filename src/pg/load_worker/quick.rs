//! The shards of keys that are written plainly, without asking the server for
//! each: it is asked once for each range, or remainder.
//!
//! Only where a table has one level of shards by one column of a type whose
//! order or hash is certain: the type's own operator class.

use pgrx::pg_sys;
use pgrx::pg_sys::Oid;

use crate::model::ranges::Plain;
use crate::model::ranges::Ranges;
use crate::model::remainders;
use crate::model::remainders::Plain::Integer;
use crate::model::remainders::Remainders;
use crate::model::remainders::Value;
use crate::pg::hash::Hasher;
use crate::pg::load_worker::target::Target;
use crate::pg::staging::attribute;

/// The number of `pg_partitioned_table.partclass`, the same in all versions.
const PARTCLASS: i16 = 6;

/// What is known of shards. A place is a range or a remainder.
pub enum Quick {
    Ranges(Ranges),
    Hashes(Remainders, Hasher),
}

impl Quick {
    /// None where the server has to be asked for each row.
    #[must_use]
    pub fn of(target: &Target) -> Option<Self> {
        let (relation, &[number]) = (target.relation(), target.keys()) else { return None };
        // SAFETY: an open target, whose shards have been looked at.
        unsafe {
            let hashes = || hashes_of(relation, number).map(|(places, hasher)| Self::Hashes(places, hasher));
            ranges_of(relation, number).map(Self::Ranges).or_else(hashes)
        }
    }

    /// The place of a key; none if the server has to read it.
    #[inline]
    #[must_use]
    pub fn place_of(&self, key: &[u8]) -> Option<usize> {
        match self {
            Self::Ranges(ranges) => ranges.range_of(key),
            Self::Hashes(remainders, hasher) => {
                let hash = match remainders.value(key)? {
                    Value::Integer(value) => hasher.integer(value),
                    Value::Uuid(value) => hasher.uuid(&value),
                };
                Some(remainders.remainder(hash))
            }
        }
    }

    /// The shard of a place, once it is known.
    #[inline]
    #[must_use]
    pub fn shard(&self, place: usize) -> Option<usize> {
        match self {
            Self::Ranges(ranges) => ranges.shard(place),
            Self::Hashes(remainders, _) => remainders.shard(place),
        }
    }

    /// Remembers the shard of a place.
    pub fn learn(&mut self, place: usize, shard: usize) {
        match self {
            Self::Ranges(ranges) => ranges.learn(place, shard),
            Self::Hashes(remainders, _) => remainders.learn(place, shard),
        }
    }
}

/// The ranges of a table that has one level of them by one column of a plain type.
///
/// # Safety
/// An open partitioned table and one of its columns.
unsafe fn ranges_of(relation: pg_sys::Relation, number: i16) -> Option<Ranges> {
    // SAFETY: the relation's own description, which an open relation keeps.
    unsafe {
        let column = &*attribute(relation, number);
        let plain = match column.atttypid {
            pg_sys::INT2OID | pg_sys::INT4OID | pg_sys::INT8OID => Plain::Integer,
            pg_sys::DATEOID => Plain::Date,
            pg_sys::TIMESTAMPOID if column.atttypmod < 0 => Plain::Timestamp,
            pg_sys::TIMESTAMPTZOID if column.atttypmod < 0 => Plain::TimestampTz,
            _ => return None,
        };
        let bounds = bounds_of(relation, b'r')?;
        if !has_own_class(relation, column.atttypid, pg_sys::BTREE_AM_OID) {
            return None;
        }
        let values = (0..bounds.ndatums as usize).map(|at| {
            let value = (**bounds.datums.add(at)).value();
            match **bounds.kind.add(at) {
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MINVALUE => i64::MIN,
                pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_MAXVALUE => i64::MAX,
                _ if column.attlen == 2 => i64::from(value as i16),
                _ if column.attlen == 4 => i64::from(value as i32),
                _ => value as i64,
            }
        });
        Ranges::new(plain, values.collect())
    }
}

/// The remainders of a table that has one level of hash shards by one column
/// of a plain type.
///
/// # Safety
/// An open partitioned table and one of its columns.
unsafe fn hashes_of(relation: pg_sys::Relation, number: i16) -> Option<(Remainders, Hasher)> {
    // SAFETY: as above.
    unsafe {
        let column = &*attribute(relation, number);
        let plain = match column.atttypid {
            pg_sys::INT2OID => Integer(i16::MIN.into(), i16::MAX.into()),
            pg_sys::INT4OID => Integer(i32::MIN.into(), i32::MAX.into()),
            pg_sys::INT8OID => Integer(i64::MIN, i64::MAX),
            pg_sys::UUIDOID => remainders::Plain::Uuid,
            _ => return None,
        };
        let bounds = bounds_of(relation, b'h')?;
        if !has_own_class(relation, column.atttypid, pg_sys::HASH_AM_OID) {
            return None;
        }
        // The server keeps a place for each remainder of the greatest modulus.
        Some((Remainders::new(plain, bounds.nindexes as usize)?, Hasher::of(column.atttypid)?))
    }
}

/// The bounds of a table that has one level of partitions of this strategy.
///
/// # Safety
/// An open partitioned table, which is to outlive the answer.
unsafe fn bounds_of<'a>(
    relation: pg_sys::Relation,
    strategy: u8,
) -> Option<&'a pg_sys::PartitionBoundInfoData> {
    // SAFETY: as above.
    unsafe {
        let parts = &*pg_sys::RelationGetPartitionDesc(relation, true);
        let bounds = parts.boundinfo.as_ref()?;
        let all_leaves = (0..parts.nparts as usize).all(|at| *parts.is_leaf.add(at));
        (bounds.strategy as u8 == strategy && all_leaves).then_some(bounds)
    }
}

/// Whether a table is partitioned by the type's own operator class.
///
/// # Safety
/// An open partitioned table.
unsafe fn has_own_class(relation: pg_sys::Relation, type_oid: Oid, method: Oid) -> bool {
    // SAFETY: look-ups in the server's caches.
    unsafe { class_of(relation) == Some(pg_sys::GetDefaultOpClass(type_oid, method)) }
}

/// The operator class of the first key column of a partitioned table.
///
/// # Safety
/// An open relation.
unsafe fn class_of(relation: pg_sys::Relation) -> Option<Oid> {
    // SAFETY: the catalog's tuple is read before it is released.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::PARTRELID as _,
            pg_sys::Datum::from((*relation).rd_id),
        );
        if tuple.is_null() {
            return None;
        }
        let mut is_null = false;
        let found = pg_sys::SysCacheGetAttr(
            pg_sys::SysCacheIdentifier::PARTRELID as _,
            tuple,
            PARTCLASS,
            &mut is_null,
        );
        let class = (!is_null).then(|| {
            let vector = &*found.cast_mut_ptr::<pg_sys::oidvector>();
            vector.values.as_slice(vector.dim1 as usize).first().copied()
        });
        pg_sys::ReleaseSysCache(tuple);
        class.flatten()
    }
}
