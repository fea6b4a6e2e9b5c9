//! Calls in expressions: which of them the planner may run.

use std::ffi::c_void;

use pgrx::PgList;
use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::signature::Volatility;
use crate::pg::analyze::Analyzer;
use crate::pg::analyze::pointers;
use crate::pg::what_if::value::is_builtin;
use crate::pg::what_if::value::is_of_names;

/// What an expression is, as far as it may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It calls nothing, or only what comes with the server and depends on its
    /// arguments alone, or what the planner never runs.
    Own,
    /// Stable arithmetic on times, of the server's own.
    OfTimes,
    Foreign,
}

/// Whether a function tells the moment at which the transaction or statement
/// began.
pub fn is_now(function: pg_sys::Oid) -> bool {
    [pg_sys::F_NOW, pg_sys::F_TRANSACTION_TIMESTAMP, pg_sys::F_STATEMENT_TIMESTAMP]
        .contains(&function.to_u32())
}

/// Whether a function's answer depends on its arguments alone, on those and
/// the statement, or on more; of a stub what the function promises.
pub fn volatility(function: pg_sys::Oid, analyzer: &Analyzer<'_>) -> Volatility {
    if let Some(promised) = analyzer.promises().get(&function.to_u32()) {
        return *promised;
    }
    // SAFETY: a catalog look-up of a function that exists.
    match unsafe { pg_sys::func_volatile(function) } as u8 {
        pg_sys::PROVOLATILE_IMMUTABLE => Volatility::Immutable,
        pg_sys::PROVOLATILE_STABLE => Volatility::Stable,
        _ => Volatility::Volatile,
    }
}

/// What an expression is.
///
/// # Safety
/// A valid node of an analysed query.
pub unsafe fn of(node: *mut pg_sys::Node, analyzer: &Analyzer<'_>) -> Call {
    // SAFETY: the tag says what the node is.
    unsafe {
        let called = functions(node);
        let arguments = arguments(node);
        if called.iter().chain(&operators(node)).any(|called| !is_builtin(*called)) {
            return Call::Foreign;
        }
        match (*node).type_ {
            NodeTag::T_RowCompareExpr => {
                let families = (*node.cast::<pg_sys::RowCompareExpr>()).opfamilies;
                if !oids(families).iter().all(|family| is_builtin(*family)) {
                    return Call::Foreign;
                }
            }
            NodeTag::T_SubscriptingRef => {
                let container = (*node.cast::<pg_sys::SubscriptingRef>()).refcontainertype;
                let plain =
                    is_builtin(container) || pg_sys::get_element_type(container) != pg_sys::InvalidOid;
                return if plain { Call::Own } else { Call::Foreign };
            }
            _ if !calls(node) => return Call::Own,
            _ => {}
        }
        let of_enums = called.iter().any(|function| is_of_enums(*function)) || is_enum_text(node);
        let result = pg_sys::exprType(node);
        let known = |of_type: &pg_sys::Oid| is_trusted(*of_type) || (of_enums && is_enum(*of_type));
        // A row of the server's own function is harmless as long as nothing is done with it.
        if !arguments.iter().all(known) || !(is_builtin(result) || known(&result)) {
            return Call::Foreign;
        }
        let stable = called.iter().any(|function| volatility(*function, analyzer) == Volatility::Stable)
            || (*node).type_ == NodeTag::T_CoerceViaIO;
        if !stable {
            return Call::Own;
        }
        let of_times = arguments.iter().chain([&result]).any(|of_type| is_time(*of_type))
            && arguments.iter().chain([&result]).all(|of_type| is_time(*of_type) || is_plain(*of_type));
        match (*node).type_ {
            NodeTag::T_CoerceViaIO
                if !is_of_names(result) && !arguments.iter().any(|of| is_of_names(*of)) =>
            {
                if of_times {
                    Call::OfTimes
                } else {
                    Call::Own
                }
            }
            NodeTag::T_Aggref | NodeTag::T_WindowFunc => Call::Own,
            _ if of_times => Call::OfTimes,
            _ => Call::Foreign,
        }
    }
}

/// A call on times whose arguments are all constants becomes its value.
///
/// # Safety
/// A call that is [`Call::OfTimes`].
pub unsafe fn folded(node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the caller's promise: a built-in function of built-in types runs.
    unsafe {
        let list = match (*node).type_ {
            NodeTag::T_FuncExpr => (*node.cast::<pg_sys::FuncExpr>()).args,
            NodeTag::T_OpExpr => {
                pg_sys::set_opfuncid(node.cast());
                (*node.cast::<pg_sys::OpExpr>()).args
            }
            NodeTag::T_CoerceViaIO => {
                let argument = (*node.cast::<pg_sys::CoerceViaIO>()).arg;
                pg_sys::lappend(std::ptr::null_mut(), argument.cast())
            }
            _ => return node,
        };
        let constant = |argument: &*mut pg_sys::Node| (**argument).type_ == NodeTag::T_Const;
        if !pointers::<pg_sys::Node>(list).iter().all(constant) {
            return node;
        }
        let (of_type, modifier) = (pg_sys::exprType(node), pg_sys::exprTypmod(node));
        pg_sys::evaluate_expr(node.cast(), of_type, modifier, pg_sys::exprCollation(node)).cast()
    }
}

/// The functions that an expression calls itself.
///
/// # Safety
/// A valid node of an analysed query.
pub unsafe fn functions(node: *mut pg_sys::Node) -> Vec<pg_sys::Oid> {
    // SAFETY: the tag says what the node is; operators exist.
    unsafe {
        match (*node).type_ {
            NodeTag::T_FuncExpr => vec![(*node.cast::<pg_sys::FuncExpr>()).funcid],
            NodeTag::T_Aggref => vec![(*node.cast::<pg_sys::Aggref>()).aggfnoid],
            NodeTag::T_WindowFunc => vec![(*node.cast::<pg_sys::WindowFunc>()).winfnoid],
            NodeTag::T_ArrayCoerceExpr => {
                let parts = parts((*node.cast::<pg_sys::ArrayCoerceExpr>()).elemexpr.cast());
                parts.into_iter().flat_map(|part| functions(part)).collect()
            }
            _ => operators(node).into_iter().map(|operator| pg_sys::get_opcode(operator)).collect(),
        }
    }
}

/// The operators of an expression: how they are estimated may be foreign too.
///
/// # Safety
/// A valid node of an analysed query.
unsafe fn operators(node: *mut pg_sys::Node) -> Vec<pg_sys::Oid> {
    // SAFETY: the tag says what the node is.
    unsafe {
        match (*node).type_ {
            // The three have one shape.
            NodeTag::T_OpExpr | NodeTag::T_DistinctExpr | NodeTag::T_NullIfExpr => {
                vec![(*node.cast::<pg_sys::OpExpr>()).opno]
            }
            NodeTag::T_ScalarArrayOpExpr => vec![(*node.cast::<pg_sys::ScalarArrayOpExpr>()).opno],
            NodeTag::T_RowCompareExpr => oids((*node.cast::<pg_sys::RowCompareExpr>()).opnos),
            _ => Vec::new(),
        }
    }
}

/// Whether an expression of that kind runs functions.
///
/// # Safety
/// A valid node.
unsafe fn calls(node: *mut pg_sys::Node) -> bool {
    // SAFETY: the caller's promise.
    let tag = unsafe { (*node).type_ };
    #[cfg(not(feature = "pg15"))]
    if matches!(tag, NodeTag::T_JsonConstructorExpr) {
        return true;
    }
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    if matches!(tag, NodeTag::T_JsonExpr) {
        return true;
    }
    matches!(
        tag,
        NodeTag::T_FuncExpr
            | NodeTag::T_OpExpr
            | NodeTag::T_DistinctExpr
            | NodeTag::T_NullIfExpr
            | NodeTag::T_ScalarArrayOpExpr
            | NodeTag::T_RowCompareExpr
            | NodeTag::T_Aggref
            | NodeTag::T_WindowFunc
            | NodeTag::T_CoerceViaIO
            | NodeTag::T_ArrayCoerceExpr
            | NodeTag::T_MinMaxExpr
            | NodeTag::T_XmlExpr
    )
}

/// The types of the arguments of a call.
///
/// # Safety
/// A valid node of an analysed query.
unsafe fn arguments(node: *mut pg_sys::Node) -> Vec<pg_sys::Oid> {
    let mut children: Vec<*mut pg_sys::Node> = Vec::new();
    // SAFETY: the caller's promise; the vector outlives the walk.
    unsafe {
        if !calls(node) {
            return Vec::new();
        }
        pg_sys::expression_tree_walker(node, Some(collect), (&raw mut children).cast());
        children.into_iter().flat_map(|child| types(child)).collect()
    }
}

/// The types of an expression, or of those in a list.
///
/// # Safety
/// Null or a valid node of an analysed query.
unsafe fn types(node: *mut pg_sys::Node) -> Vec<pg_sys::Oid> {
    if node.is_null() {
        return Vec::new();
    }
    // SAFETY: the tag says what the node is.
    unsafe {
        match (*node).type_ {
            NodeTag::T_List => {
                let nodes = PgList::<pg_sys::Node>::from_pg(node.cast());
                nodes.iter_ptr().flat_map(|node| types(node)).collect()
            }
            NodeTag::T_TargetEntry => types((*node.cast::<pg_sys::TargetEntry>()).expr.cast()),
            NodeTag::T_SortGroupClause => Vec::new(),
            _ => vec![pg_sys::exprType(node)],
        }
    }
}

/// An expression and all in it, subqueries' queries left out.
///
/// # Safety
/// Null or a valid node of an analysed query.
pub unsafe fn parts(top: *mut pg_sys::Node) -> Vec<*mut pg_sys::Node> {
    let mut found = Vec::new();
    let mut pending = vec![top];
    while let Some(node) = pending.pop() {
        // SAFETY: the caller's promise; the vector outlives the walk.
        unsafe {
            if node.is_null() || (*node).type_ == NodeTag::T_Query {
                continue;
            }
            found.push(node);
            let mut children: Vec<*mut pg_sys::Node> = Vec::new();
            pg_sys::expression_tree_walker(node, Some(collect), (&raw mut children).cast());
            pending.extend(children.into_iter().rev());
        }
    }
    found
}

/// Collects the children of a node.
#[pg_guard]
pub unsafe extern "C-unwind" fn collect(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: `context` is the vector of the caller.
    unsafe { (*context.cast::<Vec<*mut pg_sys::Node>>()).push(node) };
    false
}

/// # Safety
/// A list of oids.
unsafe fn oids(list: *mut pg_sys::List) -> Vec<pg_sys::Oid> {
    // SAFETY: the caller's promise.
    unsafe { PgList::<pg_sys::Oid>::from_pg(list) }.iter_oid().collect()
}

/// Whether functions of the server's own on values of the type run nothing
/// foreign: it is built in, and so is the way in which its values compare.
fn is_trusted(of_type: pg_sys::Oid) -> bool {
    if !is_builtin(of_type) || of_type == pg_sys::RECORDOID || of_type == pg_sys::RECORDARRAYOID {
        return false;
    }
    if [pg_sys::REGCONFIGOID, pg_sys::REGDICTIONARYOID].contains(&of_type) {
        return false;
    }
    // SAFETY: catalog look-ups.
    unsafe {
        let element = pg_sys::get_element_type(of_type);
        let element = if element == pg_sys::InvalidOid { of_type } else { element };
        [pg_sys::BTREE_AM_OID, pg_sys::HASH_AM_OID]
            .into_iter()
            .all(|method| is_builtin(pg_sys::GetDefaultOpClass(element, method)))
    }
}

/// Whether a type is an enum whose values compare as enums do, or an array of
/// one.
fn is_enum(of_type: pg_sys::Oid) -> bool {
    // SAFETY: catalog look-ups.
    unsafe {
        let element = pg_sys::get_element_type(of_type);
        let element = if element == pg_sys::InvalidOid { of_type } else { element };
        pg_sys::get_typtype(element) as u8 == b'e'
            && [pg_sys::BTREE_AM_OID, pg_sys::HASH_AM_OID]
                .into_iter()
                .all(|method| is_builtin(pg_sys::GetDefaultOpClass(element, method)))
    }
}

/// The comparisons of enums.
fn is_of_enums(function: pg_sys::Oid) -> bool {
    [
        pg_sys::F_ENUM_EQ,
        pg_sys::F_ENUM_NE,
        pg_sys::F_ENUM_LT,
        pg_sys::F_ENUM_GT,
        pg_sys::F_ENUM_LE,
        pg_sys::F_ENUM_GE,
    ]
    .contains(&function.to_u32())
}

/// Whether a cast between an enum and text, which the server does itself.
///
/// # Safety
/// A valid node.
unsafe fn is_enum_text(node: *mut pg_sys::Node) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*node).type_ == NodeTag::T_CoerceViaIO }
}

fn is_time(of_type: pg_sys::Oid) -> bool {
    [
        pg_sys::DATEOID,
        pg_sys::TIMESTAMPOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::INTERVALOID,
        pg_sys::TIMEOID,
        pg_sys::TIMETZOID,
    ]
    .contains(&of_type)
}

/// Types that functions of times also take.
fn is_plain(of_type: pg_sys::Oid) -> bool {
    [
        pg_sys::TEXTOID,
        pg_sys::BOOLOID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
        pg_sys::FLOAT8OID,
        pg_sys::NUMERICOID,
        pg_sys::UNKNOWNOID,
    ]
    .contains(&of_type)
}
