//! Which columns the parameters of a statement are compared with.
//!
//! Comparisons by the default btree order of a column's type count, on a
//! column of a table or of a subquery or view that hands it through.

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::what_if::Parameter;
use crate::model::what_if::ParameterUse;
use crate::pg::analyze::Rewritten;
use crate::pg::analyze::owned;
use crate::pg::analyze::pointers;
use crate::pg::what_if::call;
use crate::pg::what_if::value::Reading;
use crate::pg::what_if::world::World;

/// Views within views that a column is followed through.
const DEPTH_MAX: usize = 32;

/// The parameters of a statement, in the order of their numbers.
///
/// # Safety
/// Valid analysed queries.
pub unsafe fn parameters(world: &World<'_>, rewritten: &Rewritten<'_>) -> Vec<Parameter> {
    let mut found = Found {
        world,
        parameters: (1..)
            .zip(rewritten.types)
            .map(|(number, of_type)| Parameter {
                number,
                uses: Vec::new(),
                readable: Reading::of(*of_type).is_some(),
            })
            .collect(),
    };
    for query in rewritten.queries {
        // SAFETY: the caller's promise.
        unsafe { found.query(*query, &mut Vec::new()) };
    }
    found.parameters
}

struct Found<'w> {
    world: &'w World<'w>,
    parameters: Vec<Parameter>,
}

impl Found<'_> {
    /// Looks through a query and all below it; `outer` are the queries that it
    /// is in, the outermost first.
    ///
    /// # Safety
    /// A valid analysed query.
    unsafe fn query(&mut self, query: *mut pg_sys::Query, outer: &mut Vec<*mut pg_sys::Query>) {
        // SAFETY: the caller's promise; the vector outlives the walk.
        unsafe {
            pg_sys::check_stack_depth();
            outer.push(query);
            if let Some(number) = parameter_in((*query).limitCount) {
                self.add(number, ParameterUse::Limit, None);
            }
            let mut pending: Vec<*mut pg_sys::Node> = Vec::new();
            pg_sys::query_tree_walker(
                query,
                Some(call::collect),
                (&raw mut pending).cast(),
                pg_sys::QTW_IGNORE_JOINALIASES as i32,
            );
            while let Some(node) = pending.pop() {
                if node.is_null() {
                    continue;
                }
                match (*node).type_ {
                    NodeTag::T_Query => {
                        self.query(node.cast(), outer);
                        continue;
                    }
                    NodeTag::T_OpExpr => self.comparison(&*node.cast(), outer),
                    NodeTag::T_ScalarArrayOpExpr => self.list(&*node.cast(), outer),
                    _ => {}
                }
                pg_sys::expression_tree_walker(node, Some(call::collect), (&raw mut pending).cast());
            }
            outer.pop();
        }
    }

    fn add(&mut self, number: usize, used: ParameterUse, column: Option<(QualifiedName, String)>) {
        if let Some(parameter) = number.checked_sub(1).and_then(|at| self.parameters.get_mut(at))
            && !parameter.uses.contains(&(used, column.clone()))
        {
            parameter.uses.push((used, column));
        }
    }

    /// # Safety
    /// A valid expression of the innermost query.
    unsafe fn comparison(&mut self, comparison: &pg_sys::OpExpr, outer: &[*mut pg_sys::Query]) {
        // SAFETY: the caller's promise.
        unsafe {
            let [left, right] = pointers::<pg_sys::Node>(comparison.args)[..] else { return };
            for (column, other, swapped) in [(left, right, false), (right, left, true)] {
                let Some((var, of_type)) = column_in(column) else { continue };
                let operator =
                    if swapped { pg_sys::get_commutator(comparison.opno) } else { comparison.opno };
                let Some(used) = strategy(operator, of_type) else { continue };
                let Some(column) = self.resolved(var, outer, DEPTH_MAX) else { continue };
                if let Some(number) = parameter_in(other) {
                    self.add(number, used, Some(column));
                } else if used == ParameterUse::Lower
                    && let Some(number) = span_before_now(other)
                {
                    self.add(number, ParameterUse::Ago, Some(column));
                }
            }
        }
    }

    /// # Safety
    /// A valid expression of the innermost query.
    unsafe fn list(&mut self, comparison: &pg_sys::ScalarArrayOpExpr, outer: &[*mut pg_sys::Query]) {
        // SAFETY: the caller's promise.
        unsafe {
            let [column, list] = pointers::<pg_sys::Node>(comparison.args)[..] else { return };
            let Some((var, of_type)) = column_in(column) else { return };
            if !comparison.useOr || strategy(comparison.opno, of_type) != Some(ParameterUse::Equality) {
                return;
            }
            let Some(column) = self.resolved(var, outer, DEPTH_MAX) else { return };
            if let Some(number) = parameter_in(list) {
                self.add(number, ParameterUse::List, Some(column));
            } else if (*list).type_ == NodeTag::T_ArrayExpr {
                for element in pointers::<pg_sys::Node>((*list.cast::<pg_sys::ArrayExpr>()).elements) {
                    if let Some(number) = parameter_in(element) {
                        self.add(number, ParameterUse::Equality, Some(column.clone()));
                    }
                }
            }
        }
    }

    /// The column of a table that a variable stands for.
    ///
    /// # Safety
    /// A variable of the innermost of the queries.
    unsafe fn resolved(
        &self,
        var: *const pg_sys::Var,
        outer: &[*mut pg_sys::Query],
        depth: usize,
    ) -> Option<(QualifiedName, String)> {
        // SAFETY: the caller's promise; lists have the entries that variables name.
        unsafe {
            let level = outer.len().checked_sub(1 + (*var).varlevelsup as usize)?;
            let query = outer[level];
            let at = usize::try_from((*var).varno).ok()?.checked_sub(1)?;
            let entry = *pointers::<pg_sys::RangeTblEntry>((*query).rtable).get(at)?;
            let number = usize::try_from((*var).varattno).ok()?.checked_sub(1)?;
            let depth = depth.checked_sub(1)?;
            let below = |expression: *mut pg_sys::Node, inside: &[*mut pg_sys::Query]| {
                let (var, _) = column_in(expression)?;
                self.resolved(var, inside, depth)
            };
            match (*entry).rtekind {
                pg_sys::RTEKind::RTE_RELATION => {
                    let relation = self.world.relation((*entry).relid)?;
                    let name = pg_sys::get_attname((*entry).relid, (*var).varattno, true);
                    Some((relation.supposed.relation.clone(), owned(name)))
                        .filter(|found| !found.1.is_empty())
                }
                pg_sys::RTEKind::RTE_SUBQUERY => {
                    let subquery = (*entry).subquery;
                    let inside: Vec<_> = outer[..=level].iter().copied().chain([subquery]).collect();
                    below(output(subquery, number)?, &inside)
                }
                pg_sys::RTEKind::RTE_JOIN => {
                    below(*pointers::<pg_sys::Node>((*entry).joinaliasvars).get(number)?, &outer[..=level])
                }
                #[cfg(feature = "pg18")]
                pg_sys::RTEKind::RTE_GROUP => {
                    below(*pointers::<pg_sys::Node>((*entry).groupexprs).get(number)?, &outer[..=level])
                }
                pg_sys::RTEKind::RTE_CTE => {
                    let level = level.checked_sub((*entry).ctelevelsup as usize)?;
                    let name = owned((*entry).ctename);
                    let ctes = pointers::<pg_sys::CommonTableExpr>((*outer[level]).cteList);
                    let cte = ctes.into_iter().find(|cte| owned((**cte).ctename) == name)?;
                    let subquery: *mut pg_sys::Query = (*cte).ctequery.cast();
                    let inside: Vec<_> = outer[..=level].iter().copied().chain([subquery]).collect();
                    below(output(subquery, number)?, &inside)
                }
                _ => None,
            }
        }
    }
}

/// The expression behind an output column.
///
/// # Safety
/// A valid analysed query.
unsafe fn output(query: *mut pg_sys::Query, number: usize) -> Option<*mut pg_sys::Node> {
    // SAFETY: the caller's promise.
    unsafe {
        let targets =
            if (*query).returningList.is_null() { (*query).targetList } else { (*query).returningList };
        let target = *pointers::<pg_sys::TargetEntry>(targets).get(number)?;
        Some((*target).expr.cast())
    }
}

/// The variable that an expression is, below casts that change no bits, and
/// the type that it is compared as.
///
/// # Safety
/// Null or a valid expression.
unsafe fn column_in(node: *mut pg_sys::Node) -> Option<(*const pg_sys::Var, pg_sys::Oid)> {
    let mut inner = node;
    // SAFETY: the tag says what the node is.
    unsafe {
        while !inner.is_null() {
            match (*inner).type_ {
                NodeTag::T_RelabelType => inner = (*inner.cast::<pg_sys::RelabelType>()).arg.cast(),
                NodeTag::T_Var => return Some((inner.cast(), pg_sys::exprType(node))),
                _ => return None,
            }
        }
    }
    None
}

/// The number of the parameter that an expression is, below casts.
///
/// # Safety
/// Null or a valid expression.
unsafe fn parameter_in(node: *mut pg_sys::Node) -> Option<usize> {
    let mut node = node;
    // SAFETY: the tag says what the node is.
    unsafe {
        while !node.is_null() {
            node = match (*node).type_ {
                NodeTag::T_RelabelType => (*node.cast::<pg_sys::RelabelType>()).arg.cast(),
                NodeTag::T_CoerceToDomain => (*node.cast::<pg_sys::CoerceToDomain>()).arg.cast(),
                NodeTag::T_CoerceViaIO => (*node.cast::<pg_sys::CoerceViaIO>()).arg.cast(),
                NodeTag::T_FuncExpr => {
                    let call = &*node.cast::<pg_sys::FuncExpr>();
                    let cast = call.funcformat != pg_sys::CoercionForm::COERCE_EXPLICIT_CALL;
                    PgList::<pg_sys::Node>::from_pg(call.args).head().filter(|_| cast)?
                }
                NodeTag::T_Param => {
                    let parameter = &*node.cast::<pg_sys::Param>();
                    let external = parameter.paramkind == pg_sys::ParamKind::PARAM_EXTERN;
                    return usize::try_from(parameter.paramid).ok().filter(|_| external);
                }
                _ => return None,
            }
        }
    }
    None
}

/// The parameter in `now() - $1`.
///
/// # Safety
/// A valid expression.
unsafe fn span_before_now(node: *mut pg_sys::Node) -> Option<usize> {
    // SAFETY: the tag says what the node is.
    unsafe {
        if (*node).type_ != NodeTag::T_OpExpr {
            return None;
        }
        let operation = &*node.cast::<pg_sys::OpExpr>();
        let [present, span] = pointers::<pg_sys::Node>(operation.args)[..] else { return None };
        let minus = owned(pg_sys::get_opname(operation.opno)) == "-";
        let of_span = pg_sys::exprType(span) == pg_sys::INTERVALOID;
        let tells_now = call::parts(present).into_iter().any(|part| match (*part).type_ {
            NodeTag::T_FuncExpr => call::is_now((*part.cast::<pg_sys::FuncExpr>()).funcid),
            NodeTag::T_SQLValueFunction => true,
            _ => false,
        });
        if minus && of_span && tells_now { parameter_in(span) } else { None }
    }
}

/// What an operator of the default btree order of a type says of the column on
/// its left.
fn strategy(operator: pg_sys::Oid, of_type: pg_sys::Oid) -> Option<ParameterUse> {
    // SAFETY: catalog look-ups by oid.
    let strategy = unsafe {
        let class = pg_sys::GetDefaultOpClass(of_type, pg_sys::BTREE_AM_OID);
        if class == pg_sys::InvalidOid || operator == pg_sys::InvalidOid {
            return None;
        }
        pg_sys::get_op_opfamily_strategy(operator, pg_sys::get_opclass_family(class))
    };
    match u32::try_from(strategy).ok()? {
        pg_sys::BTLessStrategyNumber | pg_sys::BTLessEqualStrategyNumber => Some(ParameterUse::Upper),
        pg_sys::BTEqualStrategyNumber => Some(ParameterUse::Equality),
        pg_sys::BTGreaterEqualStrategyNumber | pg_sys::BTGreaterStrategyNumber => Some(ParameterUse::Lower),
        _ => None,
    }
}
