//! From expression nodes to the owned values of `tree`.
//!
//! A condition is read with its negations pushed down, as the planner would
//! see it. Constants become text through their own built-in output functions;
//! no other function is called.

use std::ffi::c_void;

use pgrx::PgList;
use pgrx::pg_guard;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::access::PrunedBy;
use crate::model::signature::Volatility;
use crate::pg::analyze::read::Reader;
use crate::pg::analyze::read::owned;
use crate::pg::analyze::read::pointers;
use crate::pg::analyze::tree::Column;
use crate::pg::analyze::tree::Comparison;
use crate::pg::analyze::tree::Expr;
use crate::pg::analyze::tree::Order;
use crate::pg::analyze::tree::Other;
use crate::pg::analyze::tree::Side;
use crate::pg::analyze::tree::Subquery;
use crate::pg::analyze::tree::SubqueryKind;
use crate::pg::analyze::tree::Test;

/// Types below are PostgreSQL's own: their output functions are trusted.
const BUILT_IN_BELOW: u32 = 10_000;

/// `~~` of text, bpchar, name and bytea, and `^@`.
const PREFIX_OPERATORS: [u32; 5] = [1209, 1211, 1207, 2016, 3877];

/// `~` of text, bpchar and name.
const PATTERN_OPERATORS: [u32; 3] = [641, 1055, 639];

/// Longest constant that is kept: longer ones are no partition bounds.
const CONSTANT_BYTES_MAX: usize = 256;

/// Most elements of a list that are kept.
const CONSTANTS_MAX: usize = 1000;

impl Reader<'_> {
    /// Reads a condition, or its negation.
    ///
    /// # Safety
    /// `node` is a valid boolean expression of an analysed query.
    pub unsafe fn condition(&mut self, node: *mut pg_sys::Node, negated: bool) -> Expr {
        // SAFETY: the tag says what the node is.
        unsafe {
            pg_sys::check_stack_depth();
            let read = match (*node).type_ {
                NodeTag::T_List => {
                    let parts = pointers(node.cast());
                    Some(Expr::And(parts.into_iter().map(|part| self.condition(part, false)).collect()))
                }
                NodeTag::T_BoolExpr => Some(self.logic(&*node.cast(), negated)),
                NodeTag::T_OpExpr => self.operator(&*node.cast(), negated),
                NodeTag::T_DistinctExpr if negated => self.not_distinct(&*node.cast()),
                NodeTag::T_ScalarArrayOpExpr => self.any_of(&*node.cast(), negated),
                NodeTag::T_RowCompareExpr if !negated => self.row(&*node.cast()),
                NodeTag::T_NullTest => {
                    let test = &*node.cast::<pg_sys::NullTest>();
                    (!test.argisrow).then(|| Expr::NullTest {
                        argument: Box::new(self.expression(test.arg.cast())),
                        is_null: (test.nulltesttype == pg_sys::NullTestType::IS_NULL) != negated,
                    })
                }
                NodeTag::T_BooleanTest => self.boolean_test(&*node.cast(), negated),
                NodeTag::T_SubLink => Some(self.subquery(&*node.cast(), negated)),
                NodeTag::T_Var => {
                    Some(Expr::Truth { argument: Box::new(self.expression(node)), value: !negated })
                }
                _ => None,
            };
            read.unwrap_or_else(|| self.expression(node))
        }
    }

    unsafe fn logic(&mut self, source: &pg_sys::BoolExpr, negated: bool) -> Expr {
        // SAFETY: arguments of a boolean expression are conditions.
        unsafe {
            let mut parts = Vec::new();
            let negates = source.boolop == pg_sys::BoolExprType::NOT_EXPR;
            for part in pointers(source.args) {
                parts.push(self.condition(part, negated != negates));
            }
            match (source.boolop, negated) {
                (pg_sys::BoolExprType::OR_EXPR, false) | (pg_sys::BoolExprType::AND_EXPR, true) => {
                    Expr::Or(parts)
                }
                _ => Expr::And(parts),
            }
        }
    }

    unsafe fn operator(&mut self, source: &pg_sys::OpExpr, negated: bool) -> Option<Expr> {
        // SAFETY: arguments of an operator are expressions.
        unsafe {
            let arguments = pointers::<pg_sys::Node>(source.args);
            let [left, right] = arguments[..] else { return None };
            let operator = if negated { pg_sys::get_negator(source.opno) } else { source.opno };
            let comparison = self.comparison(operator, left, right, source.inputcollid)?;
            Some(Expr::Comparison(Box::new(comparison)))
        }
    }

    unsafe fn not_distinct(&mut self, source: &pg_sys::OpExpr) -> Option<Expr> {
        // SAFETY: arguments of an operator are expressions.
        unsafe {
            let arguments = pointers::<pg_sys::Node>(source.args);
            let [left, right] = arguments[..] else { return None };
            let comparison = self.comparison(source.opno, left, right, source.inputcollid)?;
            Some(Expr::NotDistinct(Box::new(Comparison { strict: false, ..comparison })))
        }
    }

    unsafe fn any_of(&mut self, source: &pg_sys::ScalarArrayOpExpr, negated: bool) -> Option<Expr> {
        // SAFETY: a scalar and an array expression.
        unsafe {
            let arguments = pointers::<pg_sys::Node>(source.args);
            let [left, right] = arguments[..] else { return None };
            let operator = if negated { pg_sys::get_negator(source.opno) } else { source.opno };
            if operator == pg_sys::InvalidOid {
                return None;
            }
            let side = self.side(operator, left)?;
            Some(Expr::AnyOf(Box::new(Comparison {
                left: self.expression(left),
                right: self.array(right),
                sides: [Some(side), None],
                // All elements of an empty array compare well with a null.
                strict: pg_sys::op_strict(operator) && source.useOr != negated,
                collation: source.inputcollid.to_u32(),
                leaky: leaky(operator),
            })))
        }
    }

    unsafe fn row(&mut self, source: &pg_sys::RowCompareExpr) -> Option<Expr> {
        // SAFETY: the lists are of one length; operators and collations are oids.
        unsafe {
            let left = pointers::<pg_sys::Node>(source.largs);
            let right = pointers::<pg_sys::Node>(source.rargs);
            let operator = PgList::<pg_sys::Oid>::from_pg(source.opnos).get_oid(0)?;
            let collation = PgList::<pg_sys::Oid>::from_pg(source.inputcollids).get_oid(0)?;
            let first = self.comparison(operator, *left.first()?, *right.first()?, collation)?;
            let mut rest = Vec::new();
            for node in left.iter().skip(1).chain(right.iter().skip(1)) {
                rest.push(self.expression(*node));
            }
            Some(Expr::Row(Box::new(first), rest))
        }
    }

    unsafe fn boolean_test(&mut self, source: &pg_sys::BooleanTest, negated: bool) -> Option<Expr> {
        use pg_sys::BoolTestType as Is;
        let argument: *mut pg_sys::Node = source.arg.cast();
        // SAFETY: the argument is a boolean expression.
        unsafe {
            let unknown =
                |is_null: bool, argument: Expr| Expr::NullTest { argument: Box::new(argument), is_null };
            match (source.booltesttype, negated) {
                (Is::IS_TRUE, false) | (Is::IS_NOT_TRUE, true) => Some(self.condition(argument, false)),
                (Is::IS_FALSE, false) | (Is::IS_NOT_FALSE, true) => Some(self.condition(argument, true)),
                (Is::IS_NOT_TRUE, false) | (Is::IS_TRUE, true) => Some(Expr::Or(vec![
                    self.condition(argument, true),
                    unknown(true, self.expression(argument)),
                ])),
                (Is::IS_NOT_FALSE, false) | (Is::IS_FALSE, true) => Some(Expr::Or(vec![
                    self.condition(argument, false),
                    unknown(true, self.expression(argument)),
                ])),
                // PostgreSQL 15 and 16 do not prune by it.
                (Is::IS_UNKNOWN, _) | (Is::IS_NOT_UNKNOWN, _)
                    if cfg!(any(feature = "pg17", feature = "pg18")) =>
                {
                    let is_null = (source.booltesttype == Is::IS_UNKNOWN) != negated;
                    Some(unknown(is_null, self.expression(argument)))
                }
                _ => None,
            }
        }
    }

    unsafe fn subquery(&mut self, source: &pg_sys::SubLink, negated: bool) -> Expr {
        // SAFETY: after analysis `subselect` is a Query.
        unsafe {
            let kind = match (source.subLinkType, negated) {
                (pg_sys::SubLinkType::EXISTS_SUBLINK, false) => SubqueryKind::Exists,
                (pg_sys::SubLinkType::EXISTS_SUBLINK, true) => SubqueryKind::NotExists,
                (pg_sys::SubLinkType::ANY_SUBLINK, false) => SubqueryKind::Any,
                _ => SubqueryKind::Other,
            };
            let test = (!source.testexpr.is_null()).then(|| {
                if kind == SubqueryKind::Any {
                    self.condition(source.testexpr, false)
                } else {
                    self.expression(source.testexpr)
                }
            });
            let query = self.query(source.subselect.cast());
            Expr::Subquery(Box::new(Subquery { kind, test, query }))
        }
    }

    /// None if no index or partition bound knows the operator.
    unsafe fn comparison(
        &mut self,
        operator: pg_sys::Oid,
        left: *mut pg_sys::Node,
        right: *mut pg_sys::Node,
        collation: pg_sys::Oid,
    ) -> Option<Comparison> {
        if operator == pg_sys::InvalidOid {
            return None;
        }
        // SAFETY: catalog look-ups; the nodes are valid expressions.
        unsafe {
            let by_pattern = |test| [Some(Side { test, own_family: true, by: PrunedBy::All }), None];
            let sides = if PREFIX_OPERATORS.contains(&operator.to_u32()) {
                by_pattern(Test::Prefix)
            } else if PATTERN_OPERATORS.contains(&operator.to_u32()) {
                by_pattern(Test::Pattern)
            } else {
                [self.side(operator, left), self.side(pg_sys::get_commutator(operator), right)]
            };
            sides.iter().any(Option::is_some).then(|| Comparison {
                left: self.expression(left),
                right: self.expression(right),
                sides,
                strict: pg_sys::op_strict(operator),
                collation: collation.to_u32(),
                leaky: leaky(operator),
            })
        }
    }

    /// What `key operator …` says of the key.
    unsafe fn side(&mut self, operator: pg_sys::Oid, key: *mut pg_sys::Node) -> Option<Side> {
        if operator == pg_sys::InvalidOid {
            return None;
        }
        // SAFETY: catalog look-ups; a relabel node has an argument.
        unsafe {
            let (order, mut by) = self.order(operator, pg_sys::exprType(key))?;
            let mut column = key;
            loop {
                column = match (*column).type_ {
                    NodeTag::T_RelabelType => (*column.cast::<pg_sys::RelabelType>()).arg.cast(),
                    NodeTag::T_CollateExpr => (*column.cast::<pg_sys::CollateExpr>()).arg.cast(),
                    _ => break,
                };
            }
            let mut own_family = true;
            if column != key {
                match self.order(operator, pg_sys::exprType(column)) {
                    Some((_, of_column)) => by = of_column,
                    None => own_family = false,
                }
            }
            Some(Side { test: Test::Order(order), own_family, by })
        }
    }

    /// The operator's place in the default operator families of the type, and
    /// in which of them it is.
    unsafe fn order(&mut self, operator: pg_sys::Oid, key: pg_sys::Oid) -> Option<(Order, PrunedBy)> {
        let [btree, hash] = self.families(key);
        let place = |family| match family {
            pg_sys::InvalidOid => 0,
            // SAFETY: a catalog look-up by oid.
            family => unsafe { pg_sys::get_op_opfamily_strategy(operator, family) },
        };
        let order = match place(btree) {
            1 => Some(Order::Less),
            2 => Some(Order::LessEqual),
            3 => Some(Order::Equal),
            4 => Some(Order::GreaterEqual),
            5 => Some(Order::Greater),
            _ => None,
        };
        match (order, place(hash) == 1) {
            (Some(order), true) => Some((order, PrunedBy::All)),
            (Some(order), false) => Some((order, PrunedBy::Order)),
            (None, true) => Some((Order::Equal, PrunedBy::Hash)),
            (None, false) => None,
        }
    }

    /// Reads an expression.
    ///
    /// # Safety
    /// `node` is a valid expression of an analysed query.
    pub unsafe fn expression(&mut self, node: *mut pg_sys::Node) -> Expr {
        // SAFETY: the tag says what the node is.
        unsafe {
            pg_sys::check_stack_depth();
            match (*node).type_ {
                NodeTag::T_Var => column(&*node.cast()),
                NodeTag::T_Const => Expr::Constant(constant(&*node.cast())),
                NodeTag::T_Param => {
                    let parameter = &*node.cast::<pg_sys::Param>();
                    if parameter.paramkind == pg_sys::ParamKind::PARAM_SUBLINK {
                        let number = usize::try_from(parameter.paramid).unwrap_or(0);
                        Expr::SubqueryOutput(number.saturating_sub(1))
                    } else {
                        Expr::Parameter
                    }
                }
                NodeTag::T_RelabelType => {
                    let relabel = &*node.cast::<pg_sys::RelabelType>();
                    self.relabel(relabel.arg, type_name(relabel.resulttype))
                }
                NodeTag::T_CollateExpr => {
                    let collate = &*node.cast::<pg_sys::CollateExpr>();
                    self.relabel(collate.arg, "another collation".to_owned())
                }
                NodeTag::T_ArrayExpr => {
                    let elements = pointers((*node.cast::<pg_sys::ArrayExpr>()).elements);
                    Expr::List(elements.into_iter().map(|element| self.expression(element)).collect())
                }
                NodeTag::T_SubLink => {
                    let Expr::Subquery(mut subquery) = self.subquery(&*node.cast(), false) else {
                        return Expr::Constant(None);
                    };
                    subquery.kind = SubqueryKind::Other;
                    Expr::Subquery(subquery)
                }
                _ => Expr::Other(Box::new(self.other(node))),
            }
        }
    }

    unsafe fn relabel(&mut self, argument: *mut pg_sys::Expr, type_name: String) -> Expr {
        // SAFETY: the argument of a cast is an expression.
        unsafe { Expr::Relabel { argument: Box::new(self.expression(argument.cast())), type_name } }
    }

    /// The array of `= ANY` or `= ALL`, its elements apart where they are constants.
    unsafe fn array(&mut self, node: *mut pg_sys::Node) -> Expr {
        // SAFETY: a constant of an array type holds an array.
        unsafe {
            if (*node).type_ == NodeTag::T_Const {
                let array = &*node.cast::<pg_sys::Const>();
                let element = pg_sys::get_element_type(array.consttype);
                if !array.constisnull && element != pg_sys::InvalidOid && element.to_u32() < BUILT_IN_BELOW {
                    return Expr::List(array_elements(array.constvalue, element));
                }
            }
            self.expression(node)
        }
    }

    unsafe fn other(&mut self, node: *mut pg_sys::Node) -> Other {
        // SAFETY: the tag says what the node is; expression_tree_walker takes
        // every expression node and calls back once for each child.
        unsafe {
            let mut other = self.description(node);
            let mut nodes: Vec<*mut pg_sys::Node> = Vec::new();
            pg_sys::expression_tree_walker(node, Some(collect), (&raw mut nodes).cast());
            if let Some(&first) = nodes.first()
                && implicit_cast(node)
                && (*first).type_ == NodeTag::T_Const
            {
                other.constant = constant(&*first.cast());
            }
            other.children = nodes.into_iter().map(|child| self.expression(child)).collect();
            other
        }
    }

    /// The expression without its children: how a reason names it and what its
    /// function promises.
    ///
    /// # Safety
    /// `node` is a valid expression.
    unsafe fn description(&self, node: *mut pg_sys::Node) -> Other {
        let mut other = Other {
            what: "...".to_owned(),
            cast: false,
            aggregate: false,
            volatile: false,
            immutable: true,
            strict: false,
            constant: None,
            children: Vec::new(),
        };
        let mut promised = |function: pg_sys::Oid| {
            let volatility = self.volatility(function);
            other.volatile = volatility == Volatility::Volatile;
            other.immutable = volatility == Volatility::Immutable;
            // SAFETY: a catalog look-up by oid.
            other.strict = unsafe { pg_sys::func_strict(function) };
        };
        // SAFETY: the tag says what the node is; names are copied from the catalogs.
        unsafe {
            match (*node).type_ {
                NodeTag::T_FuncExpr => {
                    let call = &*node.cast::<pg_sys::FuncExpr>();
                    promised(call.funcid);
                    other.cast = matches!(
                        call.funcformat,
                        pg_sys::CoercionForm::COERCE_EXPLICIT_CAST
                            | pg_sys::CoercionForm::COERCE_IMPLICIT_CAST
                    );
                    other.what = if other.cast {
                        type_name(call.funcresulttype)
                    } else {
                        format!("{}(...)", owned(pg_sys::get_func_name(call.funcid)))
                    };
                }
                NodeTag::T_OpExpr => {
                    let call = &*node.cast::<pg_sys::OpExpr>();
                    promised(pg_sys::get_opcode(call.opno));
                    let name = owned(pg_sys::get_opname(call.opno));
                    let unary = PgList::<pg_sys::Node>::from_pg(call.args).len() == 1;
                    other.what = if unary { format!("{name} ...") } else { format!("... {name} ...") };
                }
                NodeTag::T_CoerceViaIO
                | NodeTag::T_ArrayCoerceExpr
                | NodeTag::T_CoerceToDomain
                | NodeTag::T_ConvertRowtypeExpr => {
                    other.what = type_name(pg_sys::exprType(node));
                    other.cast = true;
                    other.strict = true;
                }
                NodeTag::T_Aggref | NodeTag::T_GroupingFunc => {
                    other.what = "an aggregate".to_owned();
                    other.aggregate = true;
                }
                NodeTag::T_NextValueExpr => {
                    other.what = "nextval(...)".to_owned();
                    other.volatile = true;
                }
                NodeTag::T_WindowFunc => other.what = "a window function".to_owned(),
                NodeTag::T_CoalesceExpr => other.what = "coalesce(...)".to_owned(),
                NodeTag::T_MinMaxExpr => other.what = "greatest(...)".to_owned(),
                NodeTag::T_CaseExpr => other.what = "CASE".to_owned(),
                NodeTag::T_NullIfExpr => other.what = "nullif(...)".to_owned(),
                _ => {}
            }
        }
        other
    }
}

/// Collects the children of a node, lists taken apart.
#[pg_guard]
unsafe extern "C-unwind" fn collect(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: `context` is the vector that `other` passed; the node is valid.
    unsafe {
        if node.is_null() {
            return false;
        }
        if (*node).type_ == NodeTag::T_List {
            return pg_sys::expression_tree_walker(node, Some(collect), context);
        }
        (*context.cast::<Vec<*mut pg_sys::Node>>()).push(node);
        false
    }
}

fn column(source: &pg_sys::Var) -> Expr {
    Expr::Column(Column {
        levels_up: source.varlevelsup as usize,
        entry: usize::try_from(source.varno).unwrap_or(0).saturating_sub(1),
        attribute: source.varattno,
        collation: source.varcollid.to_u32(),
    })
}

/// The text of a constant of a built-in type.
///
/// # Safety
/// `source` is a valid constant.
unsafe fn constant(source: &pg_sys::Const) -> Option<String> {
    if source.constisnull || source.consttype.to_u32() >= BUILT_IN_BELOW {
        return None;
    }
    // SAFETY: the value is of the type.
    let text = unsafe { text_of(source.constvalue, source.consttype) };
    (text.len() <= CONSTANT_BYTES_MAX).then_some(text)
}

/// # Safety
/// `value` is a value of the built-in type, not null.
unsafe fn text_of(value: pg_sys::Datum, of_type: pg_sys::Oid) -> String {
    // SAFETY: the type's own output function gets a value of the type.
    unsafe {
        let mut output = pg_sys::InvalidOid;
        let mut varlena = false;
        pg_sys::getTypeOutputInfo(of_type, &mut output, &mut varlena);
        owned(pg_sys::OidOutputFunctionCall(output, value))
    }
}

/// # Safety
/// `array` is an array of the built-in element type.
unsafe fn array_elements(array: pg_sys::Datum, element: pg_sys::Oid) -> Vec<Expr> {
    // SAFETY: deconstruct_array gets the element type's own properties and
    // returns as many values and null marks as it says.
    unsafe {
        let (mut length, mut by_value, mut align) = (0i16, false, 0 as std::ffi::c_char);
        pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut align);
        let mut values: *mut pg_sys::Datum = std::ptr::null_mut();
        let mut nulls: *mut bool = std::ptr::null_mut();
        let mut count = 0;
        let array = pg_sys::pg_detoast_datum(array.cast_mut_ptr());
        pg_sys::deconstruct_array(
            array.cast(),
            element,
            i32::from(length),
            by_value,
            align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        (0..usize::try_from(count).unwrap_or(0).min(CONSTANTS_MAX))
            .map(|at| {
                let null = *nulls.add(at);
                Expr::Constant((!null).then(|| text_of(*values.add(at), element)))
            })
            .collect()
    }
}

/// # Safety
/// `node` is valid.
unsafe fn implicit_cast(node: *mut pg_sys::Node) -> bool {
    // SAFETY: the tag says what the node is.
    unsafe {
        (*node).type_ == NodeTag::T_FuncExpr
            && (*node.cast::<pg_sys::FuncExpr>()).funcformat == pg_sys::CoercionForm::COERCE_IMPLICIT_CAST
    }
}

/// Whether the operator is not declared to keep its arguments to itself.
fn leaky(operator: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up by oid.
    unsafe { !pg_sys::get_func_leakproof(pg_sys::get_opcode(operator)) }
}

/// # Safety
/// In a transaction.
unsafe fn type_name(of_type: pg_sys::Oid) -> String {
    // SAFETY: a catalog look-up; unknown types come back as "???".
    unsafe { owned(pg_sys::format_type_be(of_type)) }
}
