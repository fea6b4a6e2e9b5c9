//! What one execution uses, read off its plan.
//!
//! The plan, not the statement: by now views are expanded, constants carried
//! over joins, and parameters of custom plans are constants. Scans tell what
//! is looked for, also by UPDATE, DELETE and MERGE; rows of INSERT … VALUES
//! what is written. Conditions of joins select nothing by value.

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::sample::Access;
use crate::model::sample::Value;
use crate::pg::sample::condition;
use crate::pg::sample::condition::Scope;
use crate::pg::sample::condition::Site;

/// Plan nodes that are looked at.
const NODES_MAX: usize = 256;

/// Columns, times accesses, of one execution.
const USES_MAX: usize = 64;

/// Values of one use; of a longer list every nth.
pub const VALUES_MAX: usize = 100;

/// The values of one column that an execution used in one way.
pub struct Use {
    /// The root, if the table is a partition.
    pub relation: pg_sys::Oid,
    pub attribute: i16,
    pub access: Access,
    /// Whether the reservoir may keep them: text only counts.
    pub keep: bool,
    pub values: Vec<Value>,
}

/// Everything that an execution used.
#[derive(Default)]
pub struct Uses(Vec<Use>);

impl Uses {
    /// Adds values. What is looked for counts once, however many partitions
    /// or nodes look for it; every row that is written counts.
    pub fn add(&mut self, site: &Site, access: Access, values: impl IntoIterator<Item = Value>) {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        let key = (site.relation.root, site.column.attribute, access);
        let at = match self.0.iter().position(|one| (one.relation, one.attribute, one.access) == key) {
            Some(at) => at,
            None if self.0.len() >= USES_MAX => return,
            None => {
                self.0.push(Use {
                    relation: key.0,
                    attribute: key.1,
                    access,
                    keep: !site.column.kind.is_text(),
                    values: Vec::new(),
                });
                self.0.len() - 1
            }
        };
        let known = &mut self.0[at].values;
        for value in values {
            if known.len() < VALUES_MAX && (access == Access::Insert || !known.contains(&value)) {
                known.push(value);
            }
        }
    }
}

/// What a query that has been started uses. `own` is the schema of the
/// extension.
///
/// # Safety
/// A query between the start and the end of its execution.
pub unsafe fn uses(query: *mut pg_sys::QueryDesc, own: pg_sys::Oid) -> Vec<Use> {
    // SAFETY: the plan is alive and not changed by executing it.
    unsafe {
        let statement = (*query).plannedstmt;
        if statement.is_null() {
            return Vec::new();
        }
        let scope = Scope {
            range_table: (*statement).rtable,
            index_targets: std::ptr::null_mut(),
            params: (*query).params,
            own,
        };
        let mut uses = Uses::default();
        let mut open = vec![(*statement).planTree];
        open.extend(PgList::<pg_sys::Plan>::from_pg((*statement).subplans).iter_ptr());
        let mut looked_at = 0;
        while let Some(plan) = open.pop() {
            if plan.is_null() {
                continue;
            }
            if looked_at == NODES_MAX {
                break;
            }
            looked_at += 1;
            node(&scope, plan, &mut uses);
            children(plan, &mut open);
        }
        uses.0
    }
}

/// Records what one node compares or writes itself.
///
/// # Safety
/// A node of the plan of that scope.
unsafe fn node(scope: &Scope, plan: *mut pg_sys::Plan, uses: &mut Uses) {
    // SAFETY: tags are checked before each cast.
    unsafe {
        match (*plan).type_ {
            NodeTag::T_SeqScan | NodeTag::T_SampleScan | NodeTag::T_TidScan | NodeTag::T_TidRangeScan => {
                condition::all(scope, (*plan).qual, uses);
            }
            NodeTag::T_IndexScan => {
                condition::all(scope, (*plan.cast::<pg_sys::IndexScan>()).indexqualorig, uses);
                condition::all(scope, (*plan).qual, uses);
            }
            NodeTag::T_IndexOnlyScan => {
                let scan = plan.cast::<pg_sys::IndexOnlyScan>();
                let scope = Scope { index_targets: (*scan).indextlist, ..*scope };
                condition::all(&scope, (*scan).indexqual, uses);
                condition::all(&scope, (*plan).qual, uses);
            }
            NodeTag::T_BitmapHeapScan => {
                condition::all(scope, (*plan.cast::<pg_sys::BitmapHeapScan>()).bitmapqualorig, uses);
                condition::all(scope, (*plan).qual, uses);
            }
            NodeTag::T_ModifyTable => {
                let modify = plan.cast::<pg_sys::ModifyTable>();
                if (*modify).operation == pg_sys::CmdType::CMD_INSERT {
                    inserted(scope, modify, uses);
                }
            }
            _ => {}
        }
    }
}

/// Puts the nodes below one on the list of those to look at.
///
/// # Safety
/// A node of a plan.
unsafe fn children(plan: *mut pg_sys::Plan, open: &mut Vec<*mut pg_sys::Plan>) {
    // SAFETY: tags are checked before each cast.
    unsafe {
        let list = match (*plan).type_ {
            // Whose conditions the heap scan repeats.
            NodeTag::T_BitmapHeapScan => return,
            NodeTag::T_Append => (*plan.cast::<pg_sys::Append>()).appendplans,
            NodeTag::T_MergeAppend => (*plan.cast::<pg_sys::MergeAppend>()).mergeplans,
            NodeTag::T_CustomScan => (*plan.cast::<pg_sys::CustomScan>()).custom_plans,
            NodeTag::T_SubqueryScan => {
                open.push((*plan.cast::<pg_sys::SubqueryScan>()).subplan);
                std::ptr::null_mut()
            }
            _ => std::ptr::null_mut(),
        };
        open.extend(PgList::<pg_sys::Plan>::from_pg(list).iter_ptr().take(NODES_MAX));
        open.push((*plan).lefttree);
        open.push((*plan).righttree);
    }
}

/// Records the values of the rows of INSERT … VALUES.
///
/// # Safety
/// An INSERT of the plan of that scope.
unsafe fn inserted(scope: &Scope, modify: *mut pg_sys::ModifyTable, uses: &mut Uses) {
    // SAFETY: tags are checked before each cast; the node below gives the
    // columns of the table in their order.
    unsafe {
        let Some(target) = (*(*modify).resultRelations)
            .elements
            .as_ref()
            .and_then(|cell| usize::try_from(cell.int_value).ok()?.checked_sub(1))
        else {
            return;
        };
        let below = (*modify).plan.lefttree;
        let Some(relation) = condition::relation_at(scope.range_table, target) else { return };
        if below.is_null() {
            return;
        }
        let rows = match (*below).type_ {
            NodeTag::T_Result => None,
            NodeTag::T_ValuesScan => {
                let lists =
                    PgList::<pg_sys::List>::from_pg((*below.cast::<pg_sys::ValuesScan>()).values_lists);
                Some(lists.iter_ptr().collect::<Vec<_>>())
            }
            _ => return,
        };
        for target in PgList::<pg_sys::TargetEntry>::from_pg((*below).targetlist).iter_ptr() {
            let Some(site) = condition::site_of(scope, (relation, (*target).resno)) else { continue };
            let expression = (*target).expr.cast::<pg_sys::Node>();
            let single = |node| condition::single(scope, node, site.column.kind);
            match &rows {
                None => uses.add(&site, Access::Insert, single(expression)),
                Some(rows) if (*expression).type_ == NodeTag::T_Var => {
                    let number = (*expression.cast::<pg_sys::Var>()).varattno;
                    let at = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
                    let cells = condition::thinned(rows)
                        .filter_map(|row| PgList::<pg_sys::Node>::from_pg(*row).get_ptr(at));
                    uses.add(&site, Access::Insert, cells.filter_map(single));
                }
                // One value for all rows, which says little, or a default.
                Some(_) => {}
            }
        }
    }
}
