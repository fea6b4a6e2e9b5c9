//! Which columns of a relation can become a key, remembered per backend.
//!
//! The rule is that of a profile (docs/profile.md, "Which values travel"): a
//! key column of an index, a column of a foreign key or of the partition key,
//! or a date or timestamp; of a built-in type or an enum. Columns of a
//! partition are those of its root.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::CString;
use std::rc::Rc;

use pgrx::PgList;
use pgrx::pg_sys;

use crate::pg::sample::quietly;
use crate::pg::sample::value::Kind;

/// Relations remembered.
const RELATIONS_MAX: usize = 1000;

/// A column that can become a key.
#[derive(Debug, Clone, Copy)]
pub struct KeyColumn {
    /// Its number in the root.
    pub attribute: i16,
    pub kind: Kind,
    /// The operator family of its type's default btree operator class.
    pub family: pg_sys::Oid,
}

/// A relation whose values are sampled.
#[derive(Debug)]
pub struct Relation {
    pub root: pg_sys::Oid,
    /// By attribute number less one.
    columns: Vec<Option<KeyColumn>>,
}

impl Relation {
    pub fn column(&self, attribute: i16) -> Option<KeyColumn> {
        let at = usize::try_from(attribute).ok()?.checked_sub(1)?;
        self.columns.get(at).copied().flatten()
    }
}

type Known = HashMap<u32, Option<Rc<Relation>>>;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
    /// Counts what the server says has changed.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
    static LISTENING: Cell<bool> = const { Cell::new(false) };
}

/// What is sampled of a relation; none if nothing is. `own` is the schema of
/// the extension.
///
/// # Safety
/// In a transaction.
pub unsafe fn of(relation: pg_sys::Oid, own: pg_sys::Oid) -> Option<Rc<Relation>> {
    if relation.to_u32() < pg_sys::FirstNormalObjectId {
        return None;
    }
    if !LISTENING.replace(true) {
        // SAFETY: once in a backend; the callback lives as long as it.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(changed), pg_sys::Datum::from(0)) };
    }
    let known = KNOWN.with_borrow(|known| known.get(&relation.to_u32()).cloned());
    if let Some(known) = known {
        return known;
    }
    // What changes while we look is not remembered.
    let before = CHANGES.get();
    // SAFETY: in a transaction.
    let found = unsafe { look(relation, own) };
    if CHANGES.get() == before {
        KNOWN.with_borrow_mut(|known| {
            if known.len() >= RELATIONS_MAX {
                known.clear();
            }
            known.insert(relation.to_u32(), found.clone());
        });
    }
    found
}

/// The server says that a relation has changed, or all may have.
unsafe extern "C-unwind" fn changed(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    CHANGES.set(CHANGES.get().wrapping_add(1));
    KNOWN.with(|known| {
        // It is never borrowed while the server is called.
        let Ok(mut known) = known.try_borrow_mut() else { return };
        if relation == pg_sys::InvalidOid {
            known.clear();
        } else if !known.is_empty() {
            known.retain(|oid, entry| {
                *oid != relation.to_u32() && entry.as_ref().is_none_or(|entry| entry.root != relation)
            });
        }
    });
}

/// Looks into the catalogs with a resource owner of our own, so that an error
/// in the middle leaves nothing pinned.
///
/// # Safety
/// In a transaction.
unsafe fn look(relation: pg_sys::Oid, own: pg_sys::Oid) -> Option<Rc<Relation>> {
    use pg_sys::ResourceReleasePhase as Phase;
    // SAFETY: the owner is made, released in the order that the server wants,
    // and deleted here; `quietly` puts the current one back.
    unsafe {
        let owner = pg_sys::ResourceOwnerCreate(pg_sys::CurrentResourceOwner, c"pg_presplit sample".as_ptr());
        let found = quietly(|| {
            pg_sys::CurrentResourceOwner = owner;
            read(relation, own)
        });
        let whole = found.is_some();
        for phase in [
            Phase::RESOURCE_RELEASE_BEFORE_LOCKS,
            Phase::RESOURCE_RELEASE_LOCKS,
            Phase::RESOURCE_RELEASE_AFTER_LOCKS,
        ] {
            pg_sys::ResourceOwnerRelease(owner, phase, whole, false);
        }
        pg_sys::ResourceOwnerDelete(owner);
        found.flatten().map(Rc::new)
    }
}

/// # Safety
/// In a transaction.
unsafe fn read(relation: pg_sys::Oid, own: pg_sys::Oid) -> Option<Relation> {
    // SAFETY: the executor has opened and locked the relation; the relcache
    // entry is pinned while it is read, and null if there is none.
    unsafe {
        let open = pg_sys::RelationIdGetRelation(relation);
        if open.is_null() {
            return None;
        }
        let class = (*open).rd_rel;
        let sampled = matches!((*class).relkind as u8, b'r' | b'p')
            && (*class).relpersistence as u8 != b't'
            && (*class).relnamespace != own;
        let (partition, columns) = ((*class).relispartition, (*class).relnatts);
        let mut keys = Vec::new();
        if sampled {
            of_indexes(open, &mut keys);
            of_foreign_keys(open, &mut keys);
        }
        pg_sys::RelationClose(open);
        if !sampled {
            return None;
        }
        let root = if partition {
            let root = pg_sys::OidFunctionCall1Coll(
                pg_sys::F_PG_PARTITION_ROOT.into(),
                pg_sys::InvalidOid,
                pg_sys::Datum::from(relation),
            );
            pg_sys::Oid::from(root.value() as u32)
        } else {
            relation
        };
        let divides = of_partition_key(root);
        let columns = (1..=columns).map(|attribute| {
            let kind = Kind::of(pg_sys::get_atttype(relation, attribute))?;
            let in_root = number_in(root, relation, attribute)?;
            let key = kind.is_time() || keys.contains(&attribute) || divides.contains(&in_root);
            key.then(|| column(relation, attribute, in_root, kind))
        });
        Some(Relation { root, columns: columns.collect() })
    }
}

/// # Safety
/// An attribute of a relation of this kind.
unsafe fn column(relation: pg_sys::Oid, attribute: i16, in_root: i16, kind: Kind) -> KeyColumn {
    // SAFETY: entries of the type cache live as long as the session.
    let family = unsafe {
        let type_oid = pg_sys::get_atttype(relation, attribute);
        (*pg_sys::lookup_type_cache(type_oid, pg_sys::TYPECACHE_BTREE_OPFAMILY as i32)).btree_opf
    };
    KeyColumn { attribute: in_root, kind, family }
}

/// The number of a partition's column in its root, by name.
///
/// # Safety
/// In a transaction.
unsafe fn number_in(root: pg_sys::Oid, relation: pg_sys::Oid, attribute: i16) -> Option<i16> {
    if root == relation {
        return Some(attribute);
    }
    // SAFETY: look-ups in the system cache; the name is copied.
    unsafe {
        let name = pg_sys::get_attname(relation, attribute, true);
        if name.is_null() {
            return None;
        }
        let name = CString::from(CStr::from_ptr(name));
        let number = pg_sys::get_attnum(root, name.as_ptr());
        (number > 0).then_some(number)
    }
}

/// # Safety
/// An open relation.
unsafe fn of_indexes(open: pg_sys::Relation, keys: &mut Vec<i16>) {
    // SAFETY: the list is a copy; each tuple is read while it is held, and
    // indkey is its first field of variable length.
    unsafe {
        let indexes = pg_sys::RelationGetIndexList(open);
        for index in PgList::<()>::from_pg(indexes).iter_oid() {
            let tuple = pg_sys::SearchSysCache1(
                pg_sys::SysCacheIdentifier::INDEXRELID as i32,
                pg_sys::Datum::from(index),
            );
            if tuple.is_null() {
                continue;
            }
            let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_index>(tuple);
            if (*form).indisvalid {
                let numbers = (&raw const (*form).indkey.values).cast::<i16>();
                let count = usize::try_from((*form).indnkeyatts).unwrap_or(0);
                keys.extend(std::slice::from_raw_parts(numbers, count));
            }
            pg_sys::ReleaseSysCache(tuple);
        }
    }
}

/// # Safety
/// An open relation.
unsafe fn of_foreign_keys(open: pg_sys::Relation, keys: &mut Vec<i16>) {
    // SAFETY: the list belongs to the open relation and is read at once.
    unsafe {
        let list = PgList::<pg_sys::ForeignKeyCacheInfo>::from_pg(pg_sys::RelationGetFKeyList(open));
        for foreign_key in list.iter_ptr() {
            let count = usize::try_from((*foreign_key).nkeys).unwrap_or(0);
            keys.extend((*foreign_key).conkey.iter().take(count));
        }
    }
}

/// The columns of a partition key; none if the relation has no partitions.
///
/// # Safety
/// In a transaction.
unsafe fn of_partition_key(root: pg_sys::Oid) -> Vec<i16> {
    /// `Anum_pg_partitioned_table_partattrs`.
    const PARTATTRS: i16 = 5;
    // SAFETY: partattrs is a vector of int2 inside the tuple, read while it is held.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::PARTRELID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(root));
        if tuple.is_null() {
            return Vec::new();
        }
        let mut null = false;
        let datum = pg_sys::SysCacheGetAttr(cache, tuple, PARTATTRS, &mut null);
        let mut keys = Vec::new();
        if !null {
            let vector = datum.cast_mut_ptr::<pg_sys::int2vector>();
            let numbers = (&raw const (*vector).values).cast::<i16>();
            let count = usize::try_from((*vector).dim1).unwrap_or(0);
            keys.extend(std::slice::from_raw_parts(numbers, count));
        }
        pg_sys::ReleaseSysCache(tuple);
        keys
    }
}
