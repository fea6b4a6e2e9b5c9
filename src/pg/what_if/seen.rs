//! What the planner's paths tell that plans do not.
//!
//! Rows that a scan's condition fetches, before its filter and before they are
//! rounded; rows about which a subquery in a condition is asked; how soon a
//! join that wants one partner finds it. A node of the plan is told from
//! others by its rows, of several with as many by its cost: what is selected
//! may be charged to a path afterwards.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::analyze::pointers;

/// How a table is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Whole,
    /// By the index of that oid.
    Index(u32),
    Bitmap,
}

/// A scan of the paths.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scan {
    cost: f64,
    rows: f64,
    /// Rows that its condition fetches.
    pub fetched: f64,
    /// Rows that are left for subqueries in its filter, if it has any.
    pub asked: Option<f64>,
}

/// A join of the paths.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Join {
    /// Pairs that are left for subqueries in its condition, if it has any.
    pub asked: Option<f64>,
    /// Of a join that wants one partner: partners of a row that has any.
    pub partners: Option<f64>,
}

/// Paths of one statement.
#[derive(Default)]
pub struct Seen {
    scans: RefCell<HashMap<(u32, Way), Vec<Scan>>>,
    joins: RefCell<HashMap<(u64, pg_sys::JoinType::Type), Join>>,
}

impl Seen {
    /// Remembers the scans among the paths of a table.
    ///
    /// # Safety
    /// What the planner knows of a table of that oid.
    pub unsafe fn scans(&self, root: *mut pg_sys::PlannerInfo, rel: &pg_sys::RelOptInfo, oid: pg_sys::Oid) {
        let mut scans = self.scans.borrow_mut();
        let mut asked: HashMap<usize, Option<f64>> = HashMap::new();
        // SAFETY: the tag says what the path is.
        unsafe {
            let all = [rel.pathlist, rel.partial_pathlist].into_iter().flat_map(|list| pointers(list));
            for path in all {
                let path: *mut pg_sys::Path = path;
                let (way, fetched) = match (*path).type_ {
                    NodeTag::T_IndexPath => {
                        let scan = &*path.cast::<pg_sys::IndexPath>();
                        let index = (*scan.indexinfo).indexoid.to_u32();
                        (Way::Index(index), scan.indexselectivity * rel.tuples)
                    }
                    NodeTag::T_BitmapHeapPath => {
                        let (mut cost, mut selectivity) = (0.0, 0.0);
                        let bitmap = (*path.cast::<pg_sys::BitmapHeapPath>()).bitmapqual;
                        pg_sys::cost_bitmap_tree_node(bitmap, &mut cost, &mut selectivity);
                        (Way::Bitmap, selectivity * rel.tuples)
                    }
                    NodeTag::T_Path => (Way::Whole, rel.tuples),
                    _ => continue,
                };
                let outer = (*path).param_info;
                let left =
                    *asked.entry(outer as usize).or_insert_with(|| left_for_subplans(root, rel, outer));
                scans.entry((oid.to_u32(), way)).or_default().push(Scan {
                    cost: (*path).total_cost,
                    rows: (*path).rows,
                    fetched,
                    asked: left.map(|left| left.min(fetched)),
                });
            }
        }
    }

    /// Remembers a join.
    ///
    /// # Safety
    /// What the planner knows of a join.
    pub unsafe fn join(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: &pg_sys::RelOptInfo,
        kind: pg_sys::JoinType::Type,
        extra: &pg_sys::JoinPathExtraData,
    ) {
        let mut join = Join::default();
        // SAFETY: conditions of the join, in the planner's own nodes.
        unsafe {
            let (with, _) = apart(extra.restrictlist);
            if !with.is_null() {
                let share = pg_sys::clauselist_selectivity(root, with, 0, kind, extra.sjinfo);
                join.asked = (share > 0.0).then(|| rel.rows / share);
            }
        }
        if matches!(kind, pg_sys::JoinType::JOIN_SEMI | pg_sys::JoinType::JOIN_ANTI) {
            join.partners = Some(extra.semifactors.match_count);
        }
        if join != Join::default() {
            self.joins.borrow_mut().insert((rel.rows.to_bits(), kind), join);
        }
    }

    /// The scan that became a node of the plan.
    pub fn scan(&self, oid: pg_sys::Oid, way: Way, cost: f64, rows: f64) -> Option<Scan> {
        let scans = self.scans.borrow();
        let alike = scans.get(&(oid.to_u32(), way))?.iter().filter(|scan| scan.rows == rows);
        alike.min_by(|a, b| (a.cost - cost).abs().total_cmp(&(b.cost - cost).abs())).copied()
    }

    /// What is known of the join that became a node of the plan.
    pub fn joined(&self, kind: pg_sys::JoinType::Type, rows: f64) -> Join {
        self.joins.borrow().get(&(rows.to_bits(), kind)).copied().unwrap_or_default()
    }

    /// Forgets a statement that is done.
    pub fn forget(&self) {
        self.scans.borrow_mut().clear();
        self.joins.borrow_mut().clear();
    }
}

/// The conditions of a list with subqueries, and those without.
///
/// # Safety
/// A list of conditions.
unsafe fn apart(conditions: *mut pg_sys::List) -> (*mut pg_sys::List, *mut pg_sys::List) {
    let (mut with, mut without) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the caller's promise.
    unsafe {
        for condition in pointers::<pg_sys::RestrictInfo>(conditions) {
            let list =
                if pg_sys::contain_subplans((*condition).clause.cast()) { &mut with } else { &mut without };
            *list = pg_sys::lappend(*list, condition.cast());
        }
    }
    (with, without)
}

/// Rows of a table that are left by all conditions but those with subqueries,
/// which come last as the dearest; none if there are no subqueries.
///
/// # Safety
/// A table of the planner and the parameters of one of its paths.
unsafe fn left_for_subplans(
    root: *mut pg_sys::PlannerInfo,
    rel: &pg_sys::RelOptInfo,
    outer: *mut pg_sys::ParamPathInfo,
) -> Option<f64> {
    // SAFETY: the caller's promise.
    unsafe {
        let (with, mut without) = apart(rel.baserestrictinfo);
        if with.is_null() {
            return None;
        }
        if !outer.is_null() {
            without = pg_sys::list_concat(without, apart((*outer).ppi_clauses).1);
        }
        let number = i32::try_from(rel.relid).unwrap_or(0);
        let kind = pg_sys::JoinType::JOIN_INNER;
        Some(rel.tuples * pg_sys::clauselist_selectivity(root, without, number, kind, std::ptr::null_mut()))
    }
}
