//! Catalog entries of indexes on shards, with the names that PostgreSQL gives
//! them when it makes an index on each partition itself.

use std::ffi::c_char;
use std::ptr::null_mut;

use pgrx::pg_sys;
use pgrx::pg_sys::IndexStmt;
use pgrx::pg_sys::Node;
use pgrx::pg_sys::NodeTag;
use pgrx::pg_sys::Oid;

use crate::pg::index_build::Made;
use crate::pg::index_build::server;
use crate::pg::index_build::target;
use crate::pg::index_build::target::Plan;

/// Makes an empty index on each shard of a plan. Owns nothing: errors jump.
///
/// # Safety
/// The statement that the plan was made from, in its transaction.
pub unsafe fn make(node: *mut Node, query: *const c_char, plan: &Plan) -> *mut Made {
    // SAFETY: the server's own steps for an index on one table.
    unsafe {
        let made = server::palloc0(plan.count * size_of::<Made>()).cast::<Made>();
        for at in 0..plan.count {
            let heap = (*plan.shards.add(at)).oid;
            let statement = statement_for(node, heap);
            let statement = server::transformIndexStmt(heap, statement, query);
            *made.add(at) = Made { index: define(heap, statement, !plan.is_index), heap };
            server::CommandCounterIncrement();
        }
        made
    }
}

/// # Safety
/// A table and a statement about it that was analysed.
unsafe fn define(heap: Oid, statement: *mut IndexStmt, is_alter_table: bool) -> Oid {
    let none = pg_sys::InvalidOid;
    // SAFETY: as above; rights were checked on the table, and are on the shard.
    unsafe {
        #[cfg(feature = "pg15")]
        let made = server::DefineIndex(
            heap,
            statement,
            none,
            none,
            none,
            is_alter_table,
            true,
            !is_alter_table,
            true,
            true,
        );
        #[cfg(not(feature = "pg15"))]
        let made = server::DefineIndex(
            heap,
            statement,
            none,
            none,
            none,
            -1,
            is_alter_table,
            true,
            !is_alter_table,
            true,
            true,
        );
        made.objectId
    }
}

/// The statement as one about a shard, for which the server chooses the name.
///
/// # Safety
/// A statement that a plan was made from.
unsafe fn statement_for(node: *mut Node, heap: Oid) -> *mut IndexStmt {
    // SAFETY: deep copies in the current memory context.
    unsafe {
        let statement = match target::constraint_of(node) {
            Some(constraint) => statement_of(server::copyObjectImpl(constraint.cast()).cast()),
            None => server::copyObjectImpl(node.cast()).cast::<IndexStmt>(),
        };
        (*statement).idxname = null_mut();
        let schema = server::get_namespace_name(server::get_rel_namespace(heap));
        (*statement).relation = server::makeRangeVar(schema, server::get_rel_name(heap), -1);
        statement
    }
}

/// The index that a key wants, as the server derives it.
///
/// # Safety
/// A key of a statement.
unsafe fn statement_of(constraint: *mut pg_sys::Constraint) -> *mut IndexStmt {
    // SAFETY: nodes are zeroed, which is what the server begins with.
    unsafe {
        let constraint = &*constraint;
        let statement = server::palloc0(size_of::<IndexStmt>()).cast::<IndexStmt>();
        (*statement).type_ = NodeTag::T_IndexStmt;
        (*statement).unique = true;
        (*statement).primary = constraint.contype == pg_sys::ConstrType::CONSTR_PRIMARY;
        (*statement).isconstraint = true;
        (*statement).nulls_not_distinct = constraint.nulls_not_distinct;
        (*statement).accessMethod = if constraint.access_method.is_null() {
            c"btree".as_ptr().cast_mut()
        } else {
            constraint.access_method
        };
        (*statement).options = constraint.options;
        (*statement).tableSpace = constraint.indexspace;
        (*statement).reset_default_tblspc = constraint.reset_default_tblspc;
        (*statement).indexParams = elements(constraint.keys);
        (*statement).indexIncludingParams = elements(constraint.including);
        statement
    }
}

/// # Safety
/// A list of names.
unsafe fn elements(names: *mut pg_sys::List) -> *mut pg_sys::List {
    let mut list = null_mut();
    if names.is_null() {
        return list;
    }
    // SAFETY: as above.
    unsafe {
        for at in 0..(*names).length as usize {
            let name = (*(*names).elements.add(at)).ptr_value.cast::<pg_sys::String>();
            let element = server::palloc0(size_of::<pg_sys::IndexElem>()).cast::<pg_sys::IndexElem>();
            (*element).type_ = NodeTag::T_IndexElem;
            (*element).name = (*name).sval;
            (*element).ordering = pg_sys::SortByDir::SORTBY_DEFAULT;
            (*element).nulls_ordering = pg_sys::SortByNulls::SORTBY_NULLS_DEFAULT;
            list = server::lappend(list, element.cast());
        }
    }
    list
}
