//! Query trees in which the planner finds nothing foreign to evaluate.
//!
//! The planner runs immutable functions on constants, runs stable ones for its
//! estimates, and puts the bodies of SQL functions in place of their calls. So
//! every call of a function that does not come with the server, and every call
//! of the server's own on values of foreign types, becomes a parameter without
//! a value. Such a call still depends on its columns and still differs from
//! row to row if it did before: nothing is pruned by it that was not.
//!
//! Of the server's stable functions only arithmetic on times is left; its
//! moment is that of the profile, so that the same facts give the same plan.
//!
//! Not here: constants of foreign types, which parse analysis kept out, and
//! what tables bring along, of which the shadow has nothing.

use std::ffi::CString;
use std::ffi::c_void;

use pgrx::IntoDatum;
use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::signature::Volatility;
use crate::model::what_if::Drawn;
use crate::pg::analyze::Analyzer;
use crate::pg::what_if::call;
use crate::pg::what_if::call::Call;
use crate::pg::what_if::value::Reading;
use crate::pg::what_if::value::is_builtin;

/// 2000-01-01, the server's epoch, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// `random()`, whose constant has another name since PostgreSQL 17.
const RANDOM: u32 = 1598;

/// Copies trees, making them safe and putting values in place of parameters.
pub struct Safe<'a> {
    analyzer: &'a Analyzer<'a>,
    /// Of the profile, microseconds since 1970.
    moment: i64,
    values: &'a [Drawn],
    /// Calls that became parameters, and the numbers of these: equal calls
    /// stay equal.
    replaced: Vec<(*mut pg_sys::Node, i32)>,
    next: i32,
}

impl<'a> Safe<'a> {
    /// `parameters` is how many the statement has itself.
    pub fn new(analyzer: &'a Analyzer<'a>, moment: i64, parameters: usize, values: &'a [Drawn]) -> Self {
        let next = i32::try_from(parameters).unwrap_or(i32::MAX - 1) + 1;
        Self { analyzer, moment, values, replaced: Vec::new(), next }
    }

    /// A safe copy of a query, in the current memory context.
    ///
    /// # Safety
    /// `query` is a valid analysed query.
    pub unsafe fn copy(&mut self, query: *mut pg_sys::Query) -> *mut pg_sys::Query {
        // SAFETY: the caller's promise; the context is used by the mutator alone.
        unsafe { mutate_query(query, (&raw mut *self).cast()) }
    }

    /// # Safety
    /// `node` is a valid node of an analysed query.
    unsafe fn node(&mut self, node: *mut pg_sys::Node) -> *mut pg_sys::Node {
        let context: *mut c_void = (&raw mut *self).cast();
        // SAFETY: the tag says what the node is.
        unsafe {
            match (*node).type_ {
                NodeTag::T_Query => return mutate_query(node.cast(), context).cast(),
                NodeTag::T_Param => return self.parameter(node.cast()),
                NodeTag::T_SQLValueFunction => {
                    if let Some(constant) = self.moment_of(&*node.cast()) {
                        return constant;
                    }
                }
                NodeTag::T_FuncExpr if call::is_now((*node.cast::<pg_sys::FuncExpr>()).funcid) => {
                    return constant(pg_sys::TIMESTAMPTZOID, self.since_epoch());
                }
                // The domain's checks are not looked at.
                NodeTag::T_CoerceToDomain => {
                    let cast = &*node.cast::<pg_sys::CoerceToDomain>();
                    let argument = mutate(cast.arg.cast(), context);
                    let (of_type, modifier) = (cast.resulttype, cast.resulttypmod);
                    let relabelled = pg_sys::makeRelabelType(
                        argument.cast(),
                        of_type,
                        modifier,
                        cast.resultcollid,
                        pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
                    );
                    return relabelled.cast();
                }
                NodeTag::T_TableSampleClause
                    if !is_builtin((*node.cast::<pg_sys::TableSampleClause>()).tsmhandler) =>
                {
                    return std::ptr::null_mut();
                }
                NodeTag::T_RangeTblFunction => return self.function_in_from(node.cast()),
                _ => {}
            }
            let call = call::of(node, self.analyzer);
            if call == Call::Foreign {
                return self.stand_in(node);
            }
            let copy = pg_sys_mutate(node, context);
            if call == Call::OfTimes { call::folded(copy) } else { copy }
        }
    }

    /// A function in FROM. If it is foreign and its columns follow from what
    /// it is, they are written down.
    ///
    /// # Safety
    /// A valid node.
    unsafe fn function_in_from(&mut self, function: *mut pg_sys::RangeTblFunction) -> *mut pg_sys::Node {
        // SAFETY: the caller's promise; the copy is ours to change.
        unsafe {
            let called = (*function).funcexpr;
            let copy: *mut pg_sys::RangeTblFunction =
                pg_sys_mutate(function.cast(), (&raw mut *self).cast()).cast();
            let foreign = call::of(called, self.analyzer) == Call::Foreign;
            if !foreign || pg_sys::exprType(called) != pg_sys::RECORDOID || !(*copy).funccolnames.is_null() {
                return copy.cast();
            }
            let shape = pg_sys::get_expr_result_tupdesc(called, true);
            if !shape.is_null() {
                for attribute in pgrx::PgTupleDesc::from_pg_copy(shape).iter() {
                    let name = pg_sys::makeString(pg_sys::pstrdup(attribute.attname.data.as_ptr()));
                    (*copy).funccolnames = pg_sys::lappend((*copy).funccolnames, name.cast());
                    (*copy).funccoltypes = pg_sys::lappend_oid((*copy).funccoltypes, attribute.atttypid);
                    (*copy).funccoltypmods = pg_sys::lappend_int((*copy).funccoltypmods, attribute.atttypmod);
                    (*copy).funccolcollations =
                        pg_sys::lappend_oid((*copy).funccolcollations, attribute.attcollation);
                }
            }
            copy.cast()
        }
    }

    /// The value of a parameter, if it is known.
    ///
    /// # Safety
    /// A valid node.
    unsafe fn parameter(&self, parameter: *mut pg_sys::Param) -> *mut pg_sys::Node {
        // SAFETY: the caller's promise; a value is of the parameter's type by
        // its own input function.
        unsafe {
            let this = &*parameter;
            let at = usize::try_from(this.paramid).unwrap_or(0).wrapping_sub(1);
            let external = this.paramkind == pg_sys::ParamKind::PARAM_EXTERN;
            match self.values.get(at).filter(|_| external) {
                Some(Drawn::Null) => {
                    pg_sys::makeNullConst(this.paramtype, this.paramtypmod, this.paramcollid).cast()
                }
                Some(Drawn::Value(text)) if let Some(reading) = Reading::of(this.paramtype) => {
                    let text = CString::new(text.as_str()).unwrap_or_default();
                    pg_sys::makeConst(
                        this.paramtype,
                        this.paramtypmod,
                        this.paramcollid,
                        i32::from(reading.length),
                        reading.read(&text),
                        false,
                        reading.by_value,
                    )
                    .cast()
                }
                _ => pg_sys::copyObjectImpl(parameter.cast()).cast(),
            }
        }
    }

    fn since_epoch(&self) -> i64 {
        self.moment.saturating_sub(EPOCH_MICROS)
    }

    /// `CURRENT_TIMESTAMP` and its like, at the moment of the profile in UTC.
    fn moment_of(&self, function: &pg_sys::SQLValueFunction) -> Option<*mut pg_sys::Node> {
        use pg_sys::SQLValueFunctionOp as Op;
        Some(match function.op {
            Op::SVFOP_CURRENT_TIMESTAMP | Op::SVFOP_CURRENT_TIMESTAMP_N => {
                constant(pg_sys::TIMESTAMPTZOID, self.since_epoch())
            }
            Op::SVFOP_LOCALTIMESTAMP | Op::SVFOP_LOCALTIMESTAMP_N => {
                constant(pg_sys::TIMESTAMPOID, self.since_epoch())
            }
            Op::SVFOP_CURRENT_DATE => {
                let days = self.since_epoch().div_euclid(MICROS_PER_DAY);
                constant(pg_sys::DATEOID, i32::try_from(days).ok()?)
            }
            _ => return None,
        })
    }

    /// What stands for a foreign call: a parameter, behind a condition on what
    /// the call depends on.
    ///
    /// # Safety
    /// A valid expression.
    unsafe fn stand_in(&mut self, node: *mut pg_sys::Node) -> *mut pg_sys::Node {
        // SAFETY: the caller's promise; new nodes are filled as their tags want.
        unsafe {
            let (of_type, modifier) = (pg_sys::exprType(node), pg_sys::exprTypmod(node));
            let collation = pg_sys::exprCollation(node);
            let known = self.replaced.iter().find(|(other, _)| pg_sys::equal(other.cast(), node.cast()));
            let number = known.map_or(self.next, |(_, number)| *number);
            if number == self.next {
                self.replaced.push((node, number));
                self.next = self.next.saturating_add(1);
            }
            let parameter = || {
                let made = pgrx::PgBox::<pg_sys::Param>::alloc_node(NodeTag::T_Param).into_pg();
                (*made).paramkind = pg_sys::ParamKind::PARAM_EXTERN;
                (*made).paramid = number;
                (*made).paramtype = of_type;
                (*made).paramtypmod = modifier;
                (*made).paramcollid = collation;
                (*made).location = -1;
                made.cast::<pg_sys::Node>()
            };
            let aggregate = matches!((*node).type_, NodeTag::T_Aggref | NodeTag::T_WindowFunc);
            let dependence = if aggregate { None } else { self.dependence(node) };
            let Some(dependence) = dependence else { return parameter() };
            let test = pgrx::PgBox::<pg_sys::NullTest>::alloc_node(NodeTag::T_NullTest).into_pg();
            (*test).arg = dependence.cast();
            (*test).nulltesttype = pg_sys::NullTestType::IS_NULL;
            (*test).location = -1;
            let when = pgrx::PgBox::<pg_sys::CaseWhen>::alloc_node(NodeTag::T_CaseWhen).into_pg();
            (*when).expr = test.cast();
            (*when).result = parameter().cast();
            (*when).location = -1;
            let case = pgrx::PgBox::<pg_sys::CaseExpr>::alloc_node(NodeTag::T_CaseExpr).into_pg();
            (*case).casetype = of_type;
            (*case).casecollid = collation;
            (*case).args = pg_sys::lappend(std::ptr::null_mut(), when.cast());
            (*case).defresult = parameter().cast();
            (*case).location = -1;
            case.cast()
        }
    }

    /// A column that the call depends on, or a function that differs from row
    /// to row; none if its value is the same for a whole execution.
    ///
    /// # Safety
    /// A valid expression.
    unsafe fn dependence(&self, node: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
        // SAFETY: the caller's promise; a copy of a column stands where the
        // column stood, at the same level.
        unsafe {
            let parts = call::parts(node);
            let column = parts.iter().find(|part| (***part).type_ == NodeTag::T_Var);
            if let Some(column) = column {
                return Some(pg_sys::copyObjectImpl(column.cast()).cast());
            }
            let volatile = parts
                .iter()
                .flat_map(|part| call::functions(*part))
                .any(|function| call::volatility(function, self.analyzer) == Volatility::Volatile);
            volatile.then(|| {
                let random = pg_sys::makeFuncExpr(
                    pg_sys::Oid::from(RANDOM),
                    pg_sys::FLOAT8OID,
                    std::ptr::null_mut(),
                    pg_sys::InvalidOid,
                    pg_sys::InvalidOid,
                    pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
                );
                random.cast()
            })
        }
    }
}

/// A constant of a type of four or eight bytes that is passed by value.
fn constant(of_type: pg_sys::Oid, value: impl IntoDatum) -> *mut pg_sys::Node {
    let (mut length, mut by_value) = (0, false);
    // SAFETY: a look-up of a built-in type, and a node with a value of it.
    unsafe {
        pg_sys::get_typlenbyval(of_type, &mut length, &mut by_value);
        let value = value.into_datum().unwrap_or(pg_sys::Datum::null());
        pg_sys::makeConst(of_type, -1, pg_sys::InvalidOid, i32::from(length), value, false, by_value).cast()
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn mutate(node: *mut pg_sys::Node, context: *mut c_void) -> *mut pg_sys::Node {
    if node.is_null() {
        return node;
    }
    // SAFETY: `context` is the `Safe` of `copy`, which is not used meanwhile.
    unsafe { (*context.cast::<Safe<'_>>()).node(node) }
}

/// A copy of a node whose parts are made safe.
///
/// # Safety
/// A valid node of an analysed query; the context of `mutate`.
#[cfg(feature = "pg15")]
unsafe fn pg_sys_mutate(node: *mut pg_sys::Node, context: *mut c_void) -> *mut pg_sys::Node {
    // SAFETY: the caller's promise; the server calls the mutator with a node
    // and the context, whatever its header says of the arguments.
    unsafe { pg_sys::expression_tree_mutator(node, Some(untyped()), context) }
}

/// # Safety
/// A valid analysed query; the context of `mutate`.
#[cfg(feature = "pg15")]
unsafe fn mutate_query(query: *mut pg_sys::Query, context: *mut c_void) -> *mut pg_sys::Query {
    // SAFETY: as above.
    unsafe { pg_sys::query_tree_mutator(query, Some(untyped()), context, 0) }
}

/// The mutator in the type that the header of PostgreSQL 15 has for it.
#[cfg(feature = "pg15")]
fn untyped() -> unsafe extern "C-unwind" fn() -> *mut pg_sys::Node {
    type Typed = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> *mut pg_sys::Node;
    // SAFETY: function pointers are of one size; it is called with its own arguments.
    unsafe { std::mem::transmute::<Typed, unsafe extern "C-unwind" fn() -> *mut pg_sys::Node>(mutate) }
}

/// A copy of a node whose parts are made safe.
///
/// # Safety
/// A valid node of an analysed query; the context of `mutate`.
#[cfg(not(feature = "pg15"))]
unsafe fn pg_sys_mutate(node: *mut pg_sys::Node, context: *mut c_void) -> *mut pg_sys::Node {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::expression_tree_mutator_impl(node, Some(mutate), context) }
}

/// # Safety
/// A valid analysed query; the context of `mutate`.
#[cfg(not(feature = "pg15"))]
unsafe fn mutate_query(query: *mut pg_sys::Query, context: *mut c_void) -> *mut pg_sys::Query {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::query_tree_mutator_impl(query, Some(mutate), context, 0) }
}
