//! From `Query` nodes to the owned values of `tree`: levels and range tables.
//!
//! Expressions are read in `read_expression`. Nothing here or there plans or
//! evaluates: only catalogs are looked up.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::c_char;
use std::rc::Rc;

use pgrx::PgList;
use pgrx::pg_sys;

use crate::model::name::QualifiedName;
use crate::model::signature::Volatility;
use crate::pg::analyze::arbiter::arbiter;
use crate::pg::analyze::tree::Command;
use crate::pg::analyze::tree::Cte;
use crate::pg::analyze::tree::Entry;
use crate::pg::analyze::tree::Expr;
use crate::pg::analyze::tree::From;
use crate::pg::analyze::tree::JoinKind;
use crate::pg::analyze::tree::Query;
use crate::pg::analyze::tree::SetOperation;
use crate::pg::analyze::tree::TableFacts;
use crate::pg::analyze::tree::Target;
use crate::pg::analyze::tree::Window;
use crate::pg::analyze::tree::Write;

/// What was looked up in the catalogs, kept from statement to statement.
#[derive(Default)]
pub struct Lookups {
    tables: HashMap<u32, Rc<TableFacts>>,
    /// Type → default btree and hash operator families.
    families: HashMap<u32, [pg_sys::Oid; 2]>,
}

/// Reads trees.
pub struct Reader<'a> {
    /// Shadow schema → the schema that it stands for.
    pub originals: &'a BTreeMap<String, String>,
    /// What the functions promise for which there are stubs.
    pub promises: &'a HashMap<u32, Volatility>,
    pub lookups: &'a mut Lookups,
}

unsafe extern "C-unwind" {
    /// The tables that a partition is part of, its root last.
    fn get_partition_ancestors(relid: pg_sys::Oid) -> *mut pg_sys::List;
}

/// The elements of a list of nodes.
///
/// # Safety
/// `list` is null or a list of pointers to `T`.
pub unsafe fn pointers<T>(list: *mut pg_sys::List) -> Vec<*mut T> {
    // SAFETY: the caller's promise.
    unsafe { PgList::<T>::from_pg(list) }.iter_ptr().collect()
}

/// A copy of a C string; empty for null.
///
/// # Safety
/// `text` is null or zero-terminated.
pub unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl Reader<'_> {
    /// Whether a function's answer depends on its arguments alone, on those
    /// and the statement, or on more.
    pub(super) fn volatility(&self, function: pg_sys::Oid) -> Volatility {
        if let Some(promised) = self.promises.get(&function.to_u32()) {
            return *promised;
        }
        // SAFETY: a catalog look-up by oid.
        match unsafe { pg_sys::func_volatile(function) } as u8 {
            pg_sys::PROVOLATILE_IMMUTABLE => Volatility::Immutable,
            pg_sys::PROVOLATILE_STABLE => Volatility::Stable,
            _ => Volatility::Volatile,
        }
    }

    /// The default operator families of a type, of btree and of hash.
    pub(super) fn families(&mut self, of_type: pg_sys::Oid) -> [pg_sys::Oid; 2] {
        *self.lookups.families.entry(of_type.to_u32()).or_insert_with(|| {
            [pg_sys::BTREE_AM_OID, pg_sys::HASH_AM_OID].map(|method| {
                // SAFETY: catalog look-ups by oid.
                unsafe {
                    let class = pg_sys::GetDefaultOpClass(of_type, method);
                    if class == pg_sys::InvalidOid { class } else { pg_sys::get_opclass_family(class) }
                }
            })
        })
    }

    /// Reads one query level with all below it.
    ///
    /// # Safety
    /// `query` is a valid analysed query whose relations are locked.
    pub unsafe fn query(&mut self, query: *mut pg_sys::Query) -> Query {
        // SAFETY: `query` is valid by the caller's promise, and so is all that
        // hangs below it, by the types PostgreSQL documents for the fields.
        unsafe {
            pg_sys::check_stack_depth();
            let source = &*query;
            let mut read = Query {
                command: command(source.commandType),
                entries: Vec::new(),
                ctes: Vec::new(),
                from: self.join_list(source.jointree),
                result: position(source.resultRelation),
                targets: Vec::new(),
                writes: Vec::new(),
                arbiter: None,
                others: Vec::new(),
                having: self.optional_condition(source.havingQual),
                guards: Vec::new(),
                group: references(source.groupClause),
                distinct: references(source.distinctClause),
                distinct_on: source.hasDistinctOn,
                order: references(source.sortClause),
                windows: windows(source.windowClause),
                set_operation: set_operation(source.setOperations),
                grouping_sets: !source.groupingSets.is_null(),
                aggregates: source.hasAggs,
                window_functions: source.hasWindowFuncs,
                returns_sets: source.hasTargetSRFs,
                limited: !source.limitCount.is_null() || !source.limitOffset.is_null(),
                locks_rows: source.hasForUpdate,
                volatile: false,
                barrier: false,
            };
            for entry in pointers(source.rtable) {
                read.entries.push(self.entry(entry));
            }
            for cte in pointers(source.cteList) {
                if let Some(cte) = self.cte(cte) {
                    read.ctes.push(cte);
                }
            }
            for limit in [source.limitCount, source.limitOffset] {
                if !limit.is_null() {
                    read.others.push(self.expression(limit));
                }
            }
            self.outputs(source, &mut read);
            self.security(source, &mut read);
            read.volatile = read.has_volatile();
            read
        }
    }

    /// The output columns and, of a writing statement, the columns written.
    ///
    /// # Safety
    /// As for [`Self::query`].
    unsafe fn outputs(&mut self, source: &pg_sys::Query, read: &mut Query) {
        // SAFETY: lists of the node types that PostgreSQL documents.
        unsafe {
            if read.command == Command::Select {
                read.targets = self.targets(source.targetList);
                return;
            }
            read.targets = self.targets(source.returningList);
            if read.command == Command::Merge {
                self.merge(source, read);
                return;
            }
            self.write(read.command, source.targetList, read);
            if let Some(conflict) = source.onConflict.as_ref() {
                read.arbiter = arbiter(conflict);
                if conflict.action == pg_sys::OnConflictAction::ONCONFLICT_UPDATE {
                    self.write(Command::Update, conflict.onConflictSet, read);
                }
                if !conflict.onConflictWhere.is_null() {
                    read.others.push(self.expression(conflict.onConflictWhere));
                }
                if let Some(excluded) = position(conflict.exclRelIndex)
                    && let Some(entry) = read.entries.get_mut(excluded)
                {
                    *entry = Entry::Nothing;
                }
            }
        }
    }

    /// # Safety
    /// `targets` is a list of target entries.
    unsafe fn write(&mut self, command: Command, targets: *mut pg_sys::List, read: &mut Query) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut columns = Vec::new();
            for target in pointers::<pg_sys::TargetEntry>(targets) {
                if !(*target).resjunk && !columns.contains(&(*target).resno) {
                    columns.push((*target).resno);
                }
                read.others.push(self.expression((*target).expr.cast()));
            }
            read.writes.push(Write { command, columns });
        }
    }

    /// `MERGE` as a join of its source with the target, as the planner will
    /// make it: the target is on the nullable side if unmatched source rows
    /// do something, and the other way round.
    ///
    /// # Safety
    /// As for [`Self::query`].
    unsafe fn merge(&mut self, source: &pg_sys::Query, read: &mut Query) {
        // SAFETY: lists of the node types that PostgreSQL documents.
        unsafe {
            let (mut keeps_source, mut keeps_target) = (false, false);
            for action in pointers::<pg_sys::MergeAction>(source.mergeActionList) {
                let action = &*action;
                let (of_source, of_target) = unmatched(action);
                keeps_source |= of_source;
                keeps_target |= of_target;
                if !action.qual.is_null() {
                    read.others.push(self.expression(action.qual));
                }
                if action.commandType != pg_sys::CmdType::CMD_NOTHING {
                    self.write(command(action.commandType), action.targetList, read);
                }
            }
            let kind = match (keeps_source, keeps_target) {
                (false, false) => JoinKind::Inner,
                (true, false) => JoinKind::Left,
                (false, true) => JoinKind::Right,
                (true, true) => JoinKind::Full,
            };
            let Some(target) = read.result else { return };
            let mut items =
                std::mem::replace(&mut read.from, From::List { items: vec![], conditions: vec![] });
            let mut on = match &mut items {
                From::List { conditions, .. } => std::mem::take(conditions),
                _ => Vec::new(),
            };
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            on.extend(self.optional_condition(source.mergeJoinCondition));
            let joined = From::Join {
                kind,
                left: Box::new(items),
                right: Box::new(From::Entry(target)),
                on: Some(Expr::And(std::mem::take(&mut on))),
            };
            read.from = From::List { items: vec![joined], conditions: Vec::new() };
        }
    }

    /// Row security and security barriers: conditions on one entry each.
    ///
    /// # Safety
    /// As for [`Self::query`].
    unsafe fn security(&mut self, source: &pg_sys::Query, read: &mut Query) {
        // SAFETY: lists of the node types that PostgreSQL documents.
        unsafe {
            for (at, entry) in pointers::<pg_sys::RangeTblEntry>(source.rtable).into_iter().enumerate() {
                for condition in pointers::<pg_sys::Node>((*entry).securityQuals) {
                    read.guards.push((at, self.condition(condition, false)));
                }
            }
        }
    }

    /// # Safety
    /// `targets` is a list of target entries.
    unsafe fn targets(&mut self, targets: *mut pg_sys::List) -> Vec<Target> {
        // SAFETY: the caller's promise.
        unsafe {
            pointers::<pg_sys::TargetEntry>(targets)
                .into_iter()
                .map(|target| Target {
                    number: (*target).resno,
                    expr: self.expression((*target).expr.cast()),
                    reference: (*target).ressortgroupref,
                    hidden: (*target).resjunk,
                    of_type: pg_sys::exprType((*target).expr.cast()).to_u32(),
                })
                .collect()
        }
    }

    /// # Safety
    /// `node` is null or a valid condition.
    unsafe fn optional_condition(&mut self, node: *mut pg_sys::Node) -> Option<Expr> {
        // SAFETY: the caller's promise.
        (!node.is_null()).then(|| unsafe { self.condition(node, false) })
    }

    /// # Safety
    /// `from` is null or valid.
    unsafe fn join_list(&mut self, from: *mut pg_sys::FromExpr) -> From {
        // SAFETY: the caller's promise; items of a from list are join tree nodes.
        unsafe {
            let Some(from) = from.as_ref() else {
                return From::List { items: Vec::new(), conditions: Vec::new() };
            };
            let items = pointers(from.fromlist).into_iter().filter_map(|item| self.join_node(item)).collect();
            let conditions = self.optional_condition(from.quals).into_iter().collect();
            From::List { items, conditions }
        }
    }

    /// # Safety
    /// `node` is a valid join tree node.
    unsafe fn join_node(&mut self, node: *mut pg_sys::Node) -> Option<From> {
        // SAFETY: the tag says what the node is.
        unsafe {
            pg_sys::check_stack_depth();
            match (*node).type_ {
                pg_sys::NodeTag::T_RangeTblRef => {
                    position((*node.cast::<pg_sys::RangeTblRef>()).rtindex).map(From::Entry)
                }
                pg_sys::NodeTag::T_FromExpr => Some(self.join_list(node.cast())),
                pg_sys::NodeTag::T_JoinExpr => {
                    let join = &*node.cast::<pg_sys::JoinExpr>();
                    let kind = match join.jointype {
                        pg_sys::JoinType::JOIN_INNER => JoinKind::Inner,
                        pg_sys::JoinType::JOIN_LEFT => JoinKind::Left,
                        pg_sys::JoinType::JOIN_RIGHT => JoinKind::Right,
                        _ => JoinKind::Full,
                    };
                    Some(From::Join {
                        kind,
                        left: Box::new(self.join_node(join.larg)?),
                        right: Box::new(self.join_node(join.rarg)?),
                        on: self.optional_condition(join.quals),
                    })
                }
                _ => None,
            }
        }
    }

    /// # Safety
    /// `entry` is a valid range table entry of an analysed query.
    unsafe fn entry(&mut self, entry: *mut pg_sys::RangeTblEntry) -> Entry {
        use pg_sys::RTEKind as Kind;
        // SAFETY: the kind says which fields count.
        unsafe {
            let source = &*entry;
            match source.rtekind {
                Kind::RTE_RELATION => self.table(source.relid, source.relkind as u8),
                Kind::RTE_SUBQUERY if !source.subquery.is_null() => {
                    let mut query = self.query(source.subquery);
                    query.barrier = source.security_barrier;
                    Entry::Subquery(Box::new(query))
                }
                Kind::RTE_JOIN => Entry::Join(self.expressions(source.joinaliasvars)),
                Kind::RTE_CTE => Entry::Cte {
                    name: owned(source.ctename),
                    levels_up: source.ctelevelsup as usize,
                    recursive_reference: source.self_reference,
                },
                Kind::RTE_FUNCTION => Entry::Values("function", self.expressions(source.functions)),
                Kind::RTE_VALUES => Entry::Values("values", self.expressions(source.values_lists)),
                Kind::RTE_TABLEFUNC => {
                    Entry::Values("table function", vec![self.expression(source.tablefunc.cast())])
                }
                #[cfg(feature = "pg18")]
                Kind::RTE_GROUP => Entry::Group(self.expressions(source.groupexprs)),
                _ => Entry::Nothing,
            }
        }
    }

    /// # Safety
    /// `list` is null or a list of expression nodes (or lists of them).
    unsafe fn expressions(&mut self, list: *mut pg_sys::List) -> Vec<Expr> {
        // SAFETY: the caller's promise. A dropped join column is a null.
        unsafe {
            pointers::<pg_sys::Node>(list)
                .into_iter()
                .map(|node| if node.is_null() { Expr::Constant(None) } else { self.expression(node) })
                .collect()
        }
    }

    /// # Safety
    /// `cte` is a valid, analysed WITH query.
    unsafe fn cte(&mut self, cte: *mut pg_sys::CommonTableExpr) -> Option<Cte> {
        use pg_sys::CTEMaterialize as Materialize;
        // SAFETY: after analysis `ctequery` is a Query.
        unsafe {
            let source = &*cte;
            let node = source.ctequery;
            if node.is_null() || (*node).type_ != pg_sys::NodeTag::T_Query {
                return None;
            }
            let query = self.query(node.cast());
            if source.cterefcount == 0 && query.command == Command::Select {
                return None;
            }
            let asked = match source.ctematerialized {
                Materialize::CTEMaterializeAlways => false,
                Materialize::CTEMaterializeNever => true,
                _ => source.cterefcount == 1,
            };
            let inlined = asked
                && !source.cterecursive
                && query.command == Command::Select
                && !query.locks_rows
                && !query.volatile;
            Some(Cte { name: owned(source.ctename), query, inlined })
        }
    }

    /// A partition is reported as the table that it is part of.
    ///
    /// # Safety
    /// The relation is locked by parse analysis.
    unsafe fn table(&mut self, relid: pg_sys::Oid, kind: u8) -> Entry {
        if !matches!(kind, b'r' | b'p' | b'f' | b'm') {
            return Entry::Nothing;
        }
        if let Some(known) = self.lookups.tables.get(&relid.to_u32()) {
            return Entry::Table(Rc::clone(known));
        }
        // SAFETY: a locked relation is open-able; it is closed before return,
        // and names are copied while their memory lives.
        unsafe {
            let relation = pg_sys::RelationIdGetRelation(relid);
            if relation.is_null() {
                return Entry::Nothing;
            }
            let mut root = relid;
            if (*(*relation).rd_rel).relispartition {
                let ancestors = PgList::<pg_sys::Oid>::from_pg(get_partition_ancestors(relid));
                root = ancestors.iter_oid().last().unwrap_or(relid);
            }
            let schema = owned(pg_sys::get_namespace_name(pg_sys::get_rel_namespace(root)));
            let schema = self.originals.get(&schema).cloned().unwrap_or(schema);
            let name = owned(pg_sys::get_rel_name(root));
            let columns = (1..=(*(*relation).rd_rel).relnatts)
                .map(|attribute| owned(pg_sys::get_attname(relid, attribute, true)))
                .collect();
            let key = key_attributes(relation);
            pg_sys::RelationClose(relation);
            let facts = Rc::new(TableFacts { relation: QualifiedName::new(schema, name), columns, key });
            self.lookups.tables.insert(relid.to_u32(), Rc::clone(&facts));
            Entry::Table(facts)
        }
    }
}

/// The attributes of unique indexes.
///
/// # Safety
/// `relation` is open.
unsafe fn key_attributes(relation: pg_sys::Relation) -> Vec<i16> {
    // SAFETY: the caller's promise.
    unsafe {
        let indexes = PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(relation));
        let found = indexes.iter_oid().filter_map(|index| index_attributes(index));
        found.filter(|(unique, _)| *unique).flat_map(|(_, attributes)| attributes).collect()
    }
}

/// Whether an index is unique, and its plain key columns, read from
/// `pg_index` alone: opening it would fold its expressions, which runs
/// functions.
///
/// # Safety
/// In a transaction.
pub unsafe fn index_attributes(index: pg_sys::Oid) -> Option<(bool, Vec<i16>)> {
    // SAFETY: tuples of the cache are released after their copy; indkey is the
    // last fixed field and has indnatts entries.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::INDEXRELID as _, pg_sys::Datum::from(index));
        if tuple.is_null() {
            return None;
        }
        let form = pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_index>(tuple);
        let count = usize::try_from((*form).indnkeyatts).unwrap_or(0);
        let attributes = (&raw const (*form).indkey.values).cast::<i16>();
        let key = (0..count).map(|at| attributes.add(at).read_unaligned()).filter(|at| *at > 0).collect();
        let unique = (*form).indisunique;
        pg_sys::ReleaseSysCache(tuple);
        Some((unique, key))
    }
}

fn position(number: i32) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

fn command(kind: pg_sys::CmdType::Type) -> Command {
    match kind {
        pg_sys::CmdType::CMD_INSERT => Command::Insert,
        pg_sys::CmdType::CMD_UPDATE => Command::Update,
        pg_sys::CmdType::CMD_DELETE => Command::Delete,
        pg_sys::CmdType::CMD_MERGE => Command::Merge,
        _ => Command::Select,
    }
}

/// Whether the action is for source rows, target rows without a match.
#[cfg(any(feature = "pg15", feature = "pg16"))]
fn unmatched(action: &pg_sys::MergeAction) -> (bool, bool) {
    (!action.matched, false)
}

/// Whether the action is for source rows, target rows without a match.
#[cfg(any(feature = "pg17", feature = "pg18"))]
fn unmatched(action: &pg_sys::MergeAction) -> (bool, bool) {
    use pg_sys::MergeMatchKind as Kind;
    (
        action.matchKind == Kind::MERGE_WHEN_NOT_MATCHED_BY_TARGET,
        action.matchKind == Kind::MERGE_WHEN_NOT_MATCHED_BY_SOURCE,
    )
}

/// # Safety
/// `clauses` is a list of sort-group clauses.
unsafe fn references(clauses: *mut pg_sys::List) -> Vec<u32> {
    // SAFETY: the caller's promise.
    unsafe {
        pointers::<pg_sys::SortGroupClause>(clauses)
            .into_iter()
            .map(|clause| (*clause).tleSortGroupRef)
            .collect()
    }
}

/// # Safety
/// `clauses` is a list of window clauses.
unsafe fn windows(clauses: *mut pg_sys::List) -> Vec<Window> {
    // SAFETY: the caller's promise.
    unsafe {
        pointers::<pg_sys::WindowClause>(clauses)
            .into_iter()
            .map(|clause| Window {
                partition: references((*clause).partitionClause),
                order: references((*clause).orderClause),
            })
            .collect()
    }
}

/// # Safety
/// `node` is null or a tree of set operations.
unsafe fn set_operation(node: *mut pg_sys::Node) -> Option<SetOperation> {
    if node.is_null() {
        return None;
    }
    let mut found = SetOperation { arms: Vec::new(), except: false, union_all: true, types: Vec::new() };
    // SAFETY: the tag says what the node is; colTypes is a list of oids.
    unsafe {
        if (*node).type_ == pg_sys::NodeTag::T_SetOperationStmt {
            let types = PgList::<pg_sys::Oid>::from_pg((*node.cast::<pg_sys::SetOperationStmt>()).colTypes);
            found.types = types.iter_oid().map(|of| of.to_u32()).collect();
        }
    }
    let mut pending = vec![node];
    while let Some(node) = pending.pop() {
        // SAFETY: the tag says what the node is.
        unsafe {
            match (*node).type_ {
                pg_sys::NodeTag::T_SetOperationStmt => {
                    let operation = &*node.cast::<pg_sys::SetOperationStmt>();
                    found.except |= operation.op == pg_sys::SetOperation::SETOP_EXCEPT;
                    found.union_all &= operation.op == pg_sys::SetOperation::SETOP_UNION && operation.all;
                    pending.push(operation.rarg);
                    pending.push(operation.larg);
                }
                pg_sys::NodeTag::T_RangeTblRef => {
                    found.arms.extend(position((*node.cast::<pg_sys::RangeTblRef>()).rtindex));
                }
                _ => {}
            }
        }
    }
    Some(found)
}
