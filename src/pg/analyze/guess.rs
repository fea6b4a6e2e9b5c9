//! Types of parameters that a normalised text no longer tells.
//!
//! `generate_series(1, 10)` is normalised to `generate_series($1, $2)`, which
//! could be of numbers or of times, and `(VALUES (1, 'x'))` to `(VALUES ($1,
//! $2))`, whose columns would be text. The statement ran, so types that fit
//! exist: where the server asks for them, some are tried, within a budget, and
//! the first with which the statement is read are taken. Which they are
//! matters little: what is compared with columns has the columns' types.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::analyze::names::last_name;
use crate::pg::analyze::names::nodes_of;
use crate::pg::analyze::read::pointers;
use crate::pg::context::Caught;

/// Most tries for one statement.
pub const TRIES_MAX: usize = 60;

/// Types to try, the likely ones first; the names as messages write them.
const TYPES: [(&str, u32); 11] = [
    ("integer", 23),
    ("timestamp with time zone", 1184),
    ("numeric", 1700),
    ("text", 25),
    ("bigint", 20),
    ("date", 1082),
    ("timestamp without time zone", 1114),
    ("uuid", 2950),
    ("interval", 1186),
    ("double precision", 701),
    ("jsonb", 3802),
];

/// Parameters that get their types together.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    /// Of all calls of one name: functions, operators, rows.
    pub calls: BTreeMap<String, BTreeSet<i32>>,
    /// Of `VALUES` or of what is selected: a column; of an array: elements.
    pub columns: Vec<BTreeSet<i32>>,
}

impl Groups {
    /// The groups of a raw statement.
    ///
    /// # Safety
    /// `statement` is a raw parse tree.
    pub unsafe fn of(statement: *mut pg_sys::Node) -> Self {
        let mut found = Self::default();
        // SAFETY: the tag says what the node is.
        unsafe {
            for node in nodes_of(statement, false) {
                match (*node).type_ {
                    NodeTag::T_FuncCall => {
                        let call = &*node.cast::<pg_sys::FuncCall>();
                        found.call(last_name(call.funcname), &pointers(call.args));
                    }
                    NodeTag::T_A_Expr => {
                        let expr = &*node.cast::<pg_sys::A_Expr>();
                        found.call(last_name(expr.name), &[expr.lexpr, expr.rexpr]);
                    }
                    NodeTag::T_RowExpr => {
                        let fields = pointers((*node.cast::<pg_sys::RowExpr>()).args);
                        found.call(Some("row".to_owned()), &fields);
                    }
                    NodeTag::T_A_ArrayExpr => {
                        let elements = pointers((*node.cast::<pg_sys::A_ArrayExpr>()).elements);
                        found.columns.push(parameters(&elements));
                    }
                    NodeTag::T_SelectStmt => found.select(&*node.cast()),
                    _ => {}
                }
            }
        }
        found.calls.retain(|_, group| !group.is_empty());
        found.columns.retain(|group| !group.is_empty());
        found
    }

    /// # Safety
    /// Null or valid raw nodes.
    unsafe fn call(&mut self, name: Option<String>, arguments: &[*mut pg_sys::Node]) {
        // SAFETY: the caller's promise.
        let found = unsafe { parameters(arguments) };
        self.calls.entry(name.unwrap_or_default()).or_default().extend(found);
    }

    /// # Safety
    /// A valid raw node.
    unsafe fn select(&mut self, select: &pg_sys::SelectStmt) {
        // SAFETY: rows of VALUES are lists; targets are ResTarget nodes.
        unsafe {
            let mut columns: Vec<BTreeSet<i32>> = Vec::new();
            for row in pointers::<pg_sys::List>(select.valuesLists) {
                for (at, value) in pointers::<pg_sys::Node>(row).into_iter().enumerate() {
                    if columns.len() <= at {
                        columns.push(BTreeSet::new());
                    }
                    columns[at].extend(parameters(&[value]));
                }
            }
            for target in pointers::<pg_sys::ResTarget>(select.targetList) {
                columns.push(parameters(&[(*target).val]));
            }
            self.columns.extend(columns);
        }
    }

    /// The groups whose types the error asks for, those of the name that it
    /// mentions first.
    pub fn asked(&self, error: &Caught) -> Vec<BTreeSet<i32>> {
        match error.sqlstate.as_str() {
            // Ambiguous function, indeterminate type.
            "42725" | "42P18" => {
                let (mut named, others): (Vec<_>, Vec<_>) =
                    self.calls.iter().partition(|(name, _)| error.message.contains(name.as_str()));
                named.extend(others);
                named.into_iter().map(|(_, group)| group.clone()).collect()
            }
            // Undefined function, type mismatch.
            "42883" | "42804" => self.columns.clone(),
            // A field of a row whose type is not known.
            "XX000" if error.message.contains("from unknown to") => {
                self.calls.get("row").into_iter().cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// The parameters among nodes.
///
/// # Safety
/// Null or valid raw nodes.
unsafe fn parameters(nodes: &[*mut pg_sys::Node]) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    for node in nodes.iter().filter(|node| !node.is_null()) {
        // SAFETY: the tag says what the node is.
        unsafe {
            if (**node).type_ == NodeTag::T_ParamRef {
                found.insert((*node.cast::<pg_sys::ParamRef>()).number);
            }
        }
    }
    found
}

/// The types to try, those first that the message names.
pub fn candidates(error: &Caught) -> Vec<u32> {
    let (mut named, others): (Vec<_>, Vec<_>) =
        TYPES.iter().partition(|(name, _)| *name != "text" && error.message.contains(name));
    named.extend(others);
    named.into_iter().map(|(_, oid)| oid).collect()
}
