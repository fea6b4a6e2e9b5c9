//! What the planner is to suppose of the shadow, and what it was seen to do.
//!
//! A [`World`] maps oids of tables and shards that exist for the time of a
//! what-if to sizes and statistics. Not here: how the planner comes to ask
//! (`hooks`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;

use pgrx::PgMemoryContexts;
use pgrx::pg_sys;

use crate::model::name::QualifiedName;
use crate::model::shadow::ShadowPlan;
use crate::model::what_if::Supposed;
use crate::model::what_if::SupposedColumn;
use crate::pg::analyze::pointers;
use crate::pg::what_if::seen::Seen;
use crate::pg::what_if::tuple;
use crate::pg::what_if::tuple::Shape;

/// Bytes of a page.
const PAGE_BYTES: f64 = pg_sys::BLCKSZ as f64;

/// Bytes of an index entry besides its columns, which begin at multiples of
/// eight: header, and item pointer.
const HEADER_BYTES: f64 = 8.0;
const POINTER_BYTES: f64 = 4.0;

/// How full index pages are.
const INDEX_FILL: f64 = 0.8;

/// Children of an inner page of a btree.
const FANOUT: f64 = 256.0;

/// Bytes of a column of which nothing is known.
const UNKNOWN_WIDTH: f64 = 8.0;

/// One table or shard.
pub struct Relation<'s> {
    pub supposed: &'s Supposed,
    /// Whether rows lie in it: a shard, or a table without shards.
    pub leaf: bool,
}

/// Everything that is supposed.
pub struct World<'s> {
    pub relations: HashMap<u32, Relation<'s>>,
    shape: Shape,
    /// Tuples live in here, as long as the world.
    memory: RefCell<PgMemoryContexts>,
    tuples: RefCell<HashMap<(u32, i16), pg_sys::HeapTuple>>,
    /// What the paths of a statement tell that its plan does not.
    pub seen: Seen,
}

impl<'s> World<'s> {
    /// The world of a shadow that exists.
    pub fn new(shadow: &ShadowPlan, supposed: &'s [Supposed]) -> Self {
        let mut relations = HashMap::new();
        let mut divided = Vec::new();
        for one in supposed {
            let root = relation_oid(shadow, &one.relation, &one.relation.name);
            let Some(oid) =
                relation_oid(shadow, &one.relation, one.shard.as_ref().unwrap_or(&one.relation.name))
            else {
                continue;
            };
            if one.shard.is_some() {
                divided.extend(root);
            }
            relations.insert(oid, Relation { supposed: one, leaf: true });
        }
        for root in divided {
            if let Some(relation) = relations.get_mut(&root) {
                relation.leaf = false;
            }
        }
        Self {
            relations,
            shape: Shape::of_statistics(),
            memory: RefCell::new(PgMemoryContexts::new("pg_presplit statistics")),
            tuples: RefCell::default(),
            seen: Seen::default(),
        }
    }

    pub fn relation(&self, oid: pg_sys::Oid) -> Option<&Relation<'s>> {
        self.relations.get(&oid.to_u32())
    }

    fn column(&self, oid: pg_sys::Oid, attribute: i16) -> Option<&'s SupposedColumn> {
        let at = usize::try_from(attribute).ok()?.checked_sub(1)?;
        self.relation(oid)?.supposed.columns.get(at)?.as_ref()
    }

    /// The average width of a column, if it is known.
    pub fn width(&self, oid: pg_sys::Oid, attribute: i16) -> Option<f64> {
        Some(self.column(oid, attribute)?.statistics.width).filter(|width| *width > 0.0)
    }

    /// Sets the sizes of a table or shard and of its indexes.
    ///
    /// # Safety
    /// What the planner has found out of the relation of that oid.
    pub unsafe fn size(&self, oid: pg_sys::Oid, rel: &mut pg_sys::RelOptInfo) {
        let Some(relation) = self.relation(oid).filter(|relation| relation.leaf) else { return };
        rel.tuples = relation.supposed.rows;
        rel.pages = pages(relation.supposed.pages);
        // As after VACUUM, before and after alike.
        rel.allvisfrac = 1.0;
        // SAFETY: a list of descriptions of indexes, whose keys are as many as
        // its columns.
        unsafe {
            for index in pointers::<pg_sys::IndexOptInfo>(rel.indexlist) {
                let index = &mut *index;
                let columns = usize::try_from(index.ncolumns).unwrap_or(0);
                let width: f64 = (0..columns)
                    .map(|at| self.width(oid, *index.indexkeys.add(at) as i16).unwrap_or(UNKNOWN_WIDTH))
                    .sum();
                let entry = ((width + HEADER_BYTES) / 8.0).ceil() * 8.0 + POINTER_BYTES;
                let leaves = (relation.supposed.rows * entry / INDEX_FILL / PAGE_BYTES).ceil().max(1.0);
                index.tuples = relation.supposed.rows;
                // With the page that tells where the root is, which alone may be a leaf.
                index.pages = pages(leaves + (leaves / FANOUT).ceil());
                if index.relam == pg_sys::BTREE_AM_OID {
                    index.tree_height = leaves.log(FANOUT).ceil() as i32;
                }
            }
        }
    }

    /// The row of `pg_statistic` of a column; null if nothing is known.
    pub fn tuple(&self, oid: pg_sys::Oid, attribute: i16) -> pg_sys::HeapTuple {
        let key = (oid.to_u32(), attribute);
        if let Some(known) = self.tuples.borrow().get(&key) {
            return *known;
        }
        let made = self.column(oid, attribute).map_or(std::ptr::null_mut(), |column| {
            let memory = &mut *self.memory.borrow_mut();
            // SAFETY: the tuple lives as long as the context, which is the world's.
            unsafe { memory.switch_to(|_| tuple::form(&self.shape, oid, attribute, column)) }
        });
        self.tuples.borrow_mut().insert(key, made);
        made
    }
}

fn pages(pages: f64) -> pg_sys::BlockNumber {
    // A cast of a float saturates.
    pages.ceil().max(1.0) as pg_sys::BlockNumber
}

/// The oid of a table or shard of the shadow.
fn relation_oid(shadow: &ShadowPlan, root: &QualifiedName, name: &str) -> Option<u32> {
    let schema = CString::new(shadow.schemas.get(&root.schema)?.as_str()).ok()?;
    let name = CString::new(name).ok()?;
    // SAFETY: look-ups by name in the system cache, in a transaction.
    unsafe {
        let namespace = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        let found = pg_sys::get_relname_relid(name.as_ptr(), namespace);
        (found != pg_sys::InvalidOid).then(|| found.to_u32())
    }
}
