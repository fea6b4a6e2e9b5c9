//! Conditions of a plan that compare a key column with a value.
//!
//! Known forms: `column op value` and `value op column` with the operators of
//! the type's own btree family, `column = ANY (array)`, a list of
//! alternatives on one column, and all of these below AND. A value is a
//! constant or a parameter of the statement; whatever must be computed first
//! (another column, an expression) is no value yet.

use std::cell::Cell;
use std::ffi::CStr;
use std::ffi::c_int;
use std::rc::Rc;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::sample::Access;
use crate::model::sample::Value;
use crate::pg::sample::column;
use crate::pg::sample::column::KeyColumn;
use crate::pg::sample::plan::Uses;
use crate::pg::sample::plan::VALUES_MAX;
use crate::pg::sample::value;
use crate::pg::sample::value::Kind;

/// Levels of AND and OR that are followed.
const DEPTH_MAX: usize = 8;

/// What the expressions of a plan node are read with.
#[derive(Clone, Copy)]
pub struct Scope {
    pub range_table: *mut pg_sys::List,
    /// What `INDEX_VAR` counts in; null where there is none.
    pub index_targets: *mut pg_sys::List,
    pub params: pg_sys::ParamListInfo,
    /// The schema of the extension.
    pub own: pg_sys::Oid,
}

/// A key column that an expression names.
pub struct Site {
    pub relation: Rc<column::Relation>,
    pub column: KeyColumn,
}

/// Records what the conditions of a list, all of which hold, compare.
///
/// # Safety
/// A list of expressions of a plan, and the scope of their node.
pub unsafe fn all(scope: &Scope, list: *mut pg_sys::List, uses: &mut Uses) {
    // SAFETY: passed on.
    unsafe { each(scope, list, 0, uses) };
}

/// # Safety
/// As [`all`].
unsafe fn each(scope: &Scope, list: *mut pg_sys::List, depth: usize, uses: &mut Uses) {
    // SAFETY: the list holds nodes; tags are checked before each cast.
    unsafe {
        for node in PgList::<pg_sys::Node>::from_pg(list).iter_ptr() {
            if node.is_null() || depth > DEPTH_MAX {
                continue;
            }
            match (*node).type_ {
                NodeTag::T_OpExpr => {
                    if let Some((site, access, value)) = comparison(scope, node.cast()) {
                        uses.add(&site, access, [value]);
                    }
                }
                NodeTag::T_ScalarArrayOpExpr => membership(scope, node.cast(), uses),
                NodeTag::T_BoolExpr => {
                    let bool_expr = node.cast::<pg_sys::BoolExpr>();
                    match (*bool_expr).boolop {
                        pg_sys::BoolExprType::AND_EXPR => each(scope, (*bool_expr).args, depth + 1, uses),
                        pg_sys::BoolExprType::OR_EXPR => alternatives(scope, (*bool_expr).args, uses),
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

/// `column op value`, either way round.
///
/// # Safety
/// As [`all`].
unsafe fn comparison(scope: &Scope, node: *mut pg_sys::OpExpr) -> Option<(Site, Access, Value)> {
    /// Strategies of a btree: `<`, `<=`, `=`, `>=`, `>`; six less one is the
    /// one of the commuted operator.
    const COMMUTED: i32 = 6;
    // SAFETY: the arguments of the node; look-ups in the system cache.
    unsafe {
        let arguments = PgList::<pg_sys::Node>::from_pg((*node).args);
        let (left, right) = (arguments.get_ptr(0)?, arguments.get_ptr(1)?);
        let (variable, other, turned) = match (variable_of(scope, left), variable_of(scope, right)) {
            (Some(variable), None) => (variable, right, false),
            (None, Some(variable)) => (variable, left, true),
            _ => return None,
        };
        let (type_oid, datum) = known(scope, other)?;
        let site = site_of(scope, variable)?;
        let kind = Kind::of(type_oid).filter(|kind| site.column.kind.reads(*kind))?;
        let strategy = pg_sys::get_op_opfamily_strategy((*node).opno, site.column.family);
        let access = match if turned && strategy > 0 { COMMUTED - strategy } else { strategy } {
            1 | 2 => Access::RangeUpper,
            3 => Access::Equality,
            4 | 5 => Access::RangeLower,
            _ => return None,
        };
        Some((site, access, value::read(kind, datum)?))
    }
}

/// `column = ANY (array)`.
///
/// # Safety
/// As [`all`].
unsafe fn membership(scope: &Scope, node: *mut pg_sys::ScalarArrayOpExpr, uses: &mut Uses) {
    // SAFETY: the arguments of the node; look-ups in the system cache.
    unsafe {
        let arguments = PgList::<pg_sys::Node>::from_pg((*node).args);
        let (Some(left), Some(right)) = (arguments.get_ptr(0), arguments.get_ptr(1)) else { return };
        let Some(site) = variable_of(scope, left).and_then(|variable| site_of(scope, variable)) else {
            return;
        };
        let strategy = pg_sys::get_op_opfamily_strategy((*node).opno, site.column.family);
        if !(*node).useOr || strategy != pg_sys::BTEqualStrategyNumber as i32 {
            return;
        }
        if let Some(values) = list_of(scope, right, site.column.kind) {
            uses.add(&site, Access::InList, values);
        }
    }
}

/// The values of an array, thinned evenly if there are too many.
///
/// # Safety
/// As [`all`].
unsafe fn list_of(scope: &Scope, node: *mut pg_sys::Node, wanted: Kind) -> Option<Vec<Value>> {
    // SAFETY: tags are checked before each cast; values are of the kind that
    // their type says.
    unsafe {
        let node = without_relabel(node);
        if (*node).type_ == NodeTag::T_ArrayExpr {
            let elements = PgList::<pg_sys::Node>::from_pg((*node.cast::<pg_sys::ArrayExpr>()).elements);
            let nodes: Vec<_> = elements.iter_ptr().collect();
            let values = thinned(&nodes).filter_map(|node| single(scope, *node, wanted));
            return Some(values.collect());
        }
        let (_, datum) = known(scope, node)?;
        let (kind, datums) = value::elements(datum)?;
        wanted.reads(kind).then(|| thinned(&datums).filter_map(|datum| value::read(kind, *datum)).collect())
    }
}

/// At most [`VALUES_MAX`] elements, evenly out of all.
pub fn thinned<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(VALUES_MAX).max(1))
}

/// An expression as one value that a column of this kind is given.
///
/// # Safety
/// As [`all`].
pub unsafe fn single(scope: &Scope, node: *mut pg_sys::Node, wanted: Kind) -> Option<Value> {
    // SAFETY: the value is of the kind that its type says.
    unsafe {
        let (type_oid, datum) = known(scope, node)?;
        let kind = Kind::of(type_oid).filter(|kind| wanted.reads(*kind))?;
        value::read(kind, datum)
    }
}

/// `column = a OR column = b`: a list, if every arm is one.
///
/// # Safety
/// As [`all`].
unsafe fn alternatives(scope: &Scope, arms: *mut pg_sys::List, uses: &mut Uses) {
    // SAFETY: tags are checked before each cast.
    unsafe {
        let arms = PgList::<pg_sys::Node>::from_pg(arms);
        if arms.len() > VALUES_MAX {
            return;
        }
        let mut first: Option<Site> = None;
        let mut values = Vec::new();
        for arm in arms.iter_ptr() {
            if (*arm).type_ != NodeTag::T_OpExpr {
                return;
            }
            let Some((site, Access::Equality, value)) = comparison(scope, arm.cast()) else { return };
            let same = first.as_ref().is_none_or(|first| {
                (first.relation.root, first.column.attribute) == (site.relation.root, site.column.attribute)
            });
            if !same {
                return;
            }
            first.get_or_insert(site);
            values.push(value);
        }
        if let Some(site) = first {
            uses.add(&site, Access::InList, values);
        }
    }
}

/// The relation and attribute number of a plain column of a table.
///
/// # Safety
/// As [`all`].
unsafe fn variable_of(scope: &Scope, node: *mut pg_sys::Node) -> Option<(pg_sys::Oid, i16)> {
    // SAFETY: tags are checked before each cast; numbers are looked up only
    // inside their lists.
    unsafe {
        let mut node = without_relabel(node);
        if (*node).type_ != NodeTag::T_Var {
            return None;
        }
        let mut variable = node.cast::<pg_sys::Var>();
        if (*variable).varno as i64 == i64::from(pg_sys::INDEX_VAR) {
            let targets = PgList::<pg_sys::TargetEntry>::from_pg(scope.index_targets);
            let at = usize::try_from((*variable).varattno).ok()?.checked_sub(1)?;
            node = without_relabel((*targets.get_ptr(at)?).expr.cast());
            if (*node).type_ != NodeTag::T_Var {
                return None;
            }
            variable = node.cast();
        }
        let at = usize::try_from((*variable).varno).ok()?.checked_sub(1)?;
        let relation = relation_at(scope.range_table, at)?;
        ((*variable).varattno > 0).then_some((relation, (*variable).varattno))
    }
}

/// The table at a place of the range table, counted from zero.
///
/// # Safety
/// The range table of a plan.
pub unsafe fn relation_at(range_table: *mut pg_sys::List, at: usize) -> Option<pg_sys::Oid> {
    // SAFETY: the list holds range table entries.
    unsafe {
        let entry = PgList::<pg_sys::RangeTblEntry>::from_pg(range_table).get_ptr(at)?;
        ((*entry).rtekind == pg_sys::RTEKind::RTE_RELATION).then_some((*entry).relid)
    }
}

/// # Safety
/// In a transaction.
pub unsafe fn site_of(scope: &Scope, variable: (pg_sys::Oid, i16)) -> Option<Site> {
    // SAFETY: in a transaction, on behalf of the executor that has opened the relation.
    let relation = unsafe { column::of(variable.0, scope.own) }?;
    let column = relation.column(variable.1)?;
    Some(Site { relation, column })
}

/// # Safety
/// A node.
unsafe fn without_relabel(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: the tag is checked before the cast.
    unsafe {
        while (*node).type_ == NodeTag::T_RelabelType {
            node = (*node.cast::<pg_sys::RelabelType>()).arg.cast();
        }
        node
    }
}

/// The type and the value of a constant or a parameter that is not null.
///
/// # Safety
/// As [`all`].
unsafe fn known(scope: &Scope, node: *mut pg_sys::Node) -> Option<(pg_sys::Oid, pg_sys::Datum)> {
    // SAFETY: tags are checked before each cast.
    unsafe {
        let node = without_relabel(node);
        match (*node).type_ {
            NodeTag::T_Const => {
                let constant = node.cast::<pg_sys::Const>();
                (!(*constant).constisnull).then_some(((*constant).consttype, (*constant).constvalue))
            }
            NodeTag::T_Param => {
                let parameter = node.cast::<pg_sys::Param>();
                ((*parameter).paramkind == pg_sys::ParamKind::PARAM_EXTERN)
                    .then(|| parameter_value(scope.params, (*parameter).paramid))
                    .flatten()
            }
            _ => None,
        }
    }
}

/// # Safety
/// The parameters of a query that has been started.
unsafe fn parameter_value(params: pg_sys::ParamListInfo, id: c_int) -> Option<(pg_sys::Oid, pg_sys::Datum)> {
    // SAFETY: the list says how many it has, or has a function that knows;
    // called as speculation it must not fail, and if it does it is guarded.
    unsafe {
        if params.is_null() || id < 1 || id > (*params).numParams {
            return None;
        }
        let mut place = pg_sys::ParamExternData::default();
        let found = match (*params).paramFetch {
            None => (*params).params.as_mut_ptr().add(id as usize - 1),
            Some(fetch) => {
                let place = &raw mut place;
                // Of other languages we know nothing.
                if !is_of_plpgsql(fetch as *const ()) {
                    return None;
                }
                pg_sys::ffi::pg_guard_ffi_boundary(|| fetch(params, id, true, place))
            }
        };
        let known = !found.is_null() && !(*found).isnull && (*found).ptype != pg_sys::InvalidOid;
        known.then(|| ((*found).ptype, (*found).value))
    }
}

/// Whether a function is one of PL/pgSQL's, which hands out variables without
/// running anything.
fn is_of_plpgsql(function: *const ()) -> bool {
    thread_local! {
        static ASKED: Cell<(usize, bool)> = const { Cell::new((0, false)) };
    }
    let (address, answer) = ASKED.get();
    if address == function.addr() {
        return answer;
    }
    // SAFETY: the structure is filled on success; the name lives as long as
    // the library is loaded.
    let answer = unsafe {
        let mut found: libc::Dl_info = std::mem::zeroed();
        libc::dladdr(function.cast(), &mut found) != 0
            && !found.dli_fname.is_null()
            && CStr::from_ptr(found.dli_fname).to_bytes().ends_with(b"/plpgsql.so")
    };
    ASKED.set((function.addr(), answer));
    answer
}
