//! By what `INSERT ... ON CONFLICT` tells that a row is there already.

use pgrx::pg_sys;

use crate::pg::analyze::read::index_attributes;
use crate::pg::analyze::read::owned;
use crate::pg::analyze::read::pointers;
use crate::pg::analyze::tree::Arbiter;

/// The columns named, or those of the constraint that is named; `None` where
/// any unique index will do.
///
/// # Safety
/// `conflict` is of an analysed query whose relations are locked.
pub unsafe fn arbiter(conflict: &pg_sys::OnConflictExpr) -> Option<Arbiter> {
    // SAFETY: the caller's promise: elements are of the node types that
    // PostgreSQL documents, and a constraint that was found has an index.
    unsafe {
        if conflict.constraint != pg_sys::InvalidOid {
            let index = pg_sys::get_constraint_index(conflict.constraint);
            let (_, columns) = index_attributes(index)?;
            let constraint = Some(owned(pg_sys::get_constraint_name(conflict.constraint)));
            return Some(Arbiter { columns, constraint });
        }
        let elements = pointers::<pg_sys::InferenceElem>(conflict.arbiterElems);
        let mut columns = Vec::new();
        for element in &elements {
            let expr = (**element).expr;
            if !expr.is_null() && (*expr).type_ == pg_sys::NodeTag::T_Var {
                columns.push((*expr.cast::<pg_sys::Var>()).varattno);
            }
        }
        (!elements.is_empty()).then_some(Arbiter { columns, constraint: None })
    }
}
