//! Grouping expressions in normalised statements.
//!
//! `SELECT date_trunc('day', t) … GROUP BY date_trunc('day', t)` is normalised
//! to texts in which the two are no longer the same: `date_trunc($1, t)` above
//! and the constant, or `$3`, below. They were the same when the statement
//! ran, so where they differ in constants and parameters alone they are made
//! the same again. This is tried when the server says that they are not.

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::analyze::names::into_parameter;
use crate::pg::analyze::names::nodes_of;
use crate::pg::analyze::read::pointers;

/// Makes grouping and ordering expressions the same as what is selected, on
/// every level.
///
/// # Safety
/// `statement` is a raw parse tree that no one else holds.
pub unsafe fn unify(statement: *mut pg_sys::Node) {
    // SAFETY: the tree is valid; constants become parameters in place, which
    // are smaller nodes.
    unsafe {
        for select in
            nodes_of(statement, false).into_iter().filter(|node| (**node).type_ == NodeTag::T_SelectStmt)
        {
            unify_level(&*select.cast::<pg_sys::SelectStmt>());
        }
    }
}

unsafe fn unify_level(select: &pg_sys::SelectStmt) {
    // SAFETY: the lists hold the node types that the grammar puts there.
    unsafe {
        let mut users: Vec<*mut pg_sys::Node> = Vec::new();
        for list in [select.targetList, select.sortClause] {
            users.extend(nodes_of(list.cast(), false));
        }
        users.extend(nodes_of(select.havingClause, false));
        for group in pointers::<pg_sys::Node>(select.groupClause) {
            unify_all(group, &users);
        }
        for target in pointers::<pg_sys::ResTarget>(select.targetList) {
            for sort in pointers::<pg_sys::SortBy>(select.sortClause) {
                unify_all((*target).val, &[(*sort).node]);
            }
        }
    }
}

/// Makes every one of `users` that differs from `model` in constants alone
/// the same as `model`.
unsafe fn unify_all(model: *mut pg_sys::Node, users: &[*mut pg_sys::Node]) {
    // SAFETY: valid raw nodes; copies are compared and left to their context.
    unsafe {
        if matches!((*model).type_, NodeTag::T_ColumnRef | NodeTag::T_A_Const | NodeTag::T_ParamRef) {
            return;
        }
        let plain = without_constants(model);
        for user in users {
            if *user != model
                && (**user).type_ == (*model).type_
                && pg_sys::equal(plain.cast(), without_constants(*user).cast())
            {
                for (one, other) in constants(model).into_iter().zip(constants(*user)) {
                    same(one, other);
                }
            }
        }
    }
}

/// A copy in which every constant and parameter is `$0`.
unsafe fn without_constants(node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the copy is ours.
    unsafe {
        let copy: *mut pg_sys::Node = pg_sys::copyObjectImpl(node.cast()).cast();
        for constant in constants(copy) {
            into_parameter(constant, 0);
        }
        copy
    }
}

/// Makes two constants or parameters one parameter, unless both are constants.
unsafe fn same(one: *mut pg_sys::Node, other: *mut pg_sys::Node) {
    // SAFETY: both are constants or parameters.
    unsafe {
        match ((*one).type_, (*other).type_) {
            (NodeTag::T_ParamRef, _) => into_parameter(other, (*one.cast::<pg_sys::ParamRef>()).number),
            (_, NodeTag::T_ParamRef) => into_parameter(one, (*other.cast::<pg_sys::ParamRef>()).number),
            _ => {}
        }
    }
}

/// The constants and parameters of an expression in their order; those of
/// type names stay constants.
unsafe fn constants(node: *mut pg_sys::Node) -> Vec<*mut pg_sys::Node> {
    // SAFETY: a valid raw node.
    unsafe {
        let mut all = nodes_of(node, false);
        all.retain(|node| matches!((**node).type_, NodeTag::T_A_Const | NodeTag::T_ParamRef));
        all
    }
}
