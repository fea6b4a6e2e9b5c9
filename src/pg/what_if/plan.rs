//! What a plan would look at, read off its tree.
//!
//! Rows looked at are what `EXPLAIN (ANALYZE)` would show of the scans: rows
//! returned and rows removed by filters, times loops. A scan below `LIMIT` is
//! charged with the share of it that is pulled. Where shards are pruned only
//! while the plan runs, each counts with the share of the executions that is
//! expected to reach it.

use std::collections::BTreeMap;
use std::collections::HashMap;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::what_if::Planned;
use crate::model::what_if::Touched;
use crate::pg::analyze::pointers;
use crate::pg::what_if::call;
use crate::pg::what_if::world::IndexScan;
use crate::pg::what_if::world::World;

/// PostgreSQL's own guesses of what a range leaves: `DEFAULT_INEQ_SEL` and
/// `DEFAULT_RANGE_INEQ_SEL`.
const HALF_OPEN_SHARE: f64 = 1.0 / 3.0;
const CLOSED_SHARE: f64 = 0.005;

/// How a node is run.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// How often it is started, for one execution of the statement.
    loops: f64,
    /// Share of its rows that is pulled each time.
    pulled: f64,
    /// Processes that each run it, if it does not share its work out.
    processes: f64,
    /// Share of the executions that reach it at all.
    reached: f64,
}

/// Reads a plan.
///
/// # Safety
/// A statement that was just planned in `world`.
pub unsafe fn read(world: &World<'_>, statement: *mut pg_sys::PlannedStmt) -> Planned {
    // SAFETY: the caller's promise.
    unsafe {
        let mut reader = Reader {
            world,
            statement,
            entries: pointers((*statement).rtable),
            subplans: pointers((*statement).subplans),
            runs: HashMap::new(),
            leaves: BTreeMap::new(),
            rows: BTreeMap::new(),
        };
        let once = Run { loops: 1.0, pulled: 1.0, processes: 1.0, reached: 1.0 };
        reader.node((*statement).planTree, once);
        reader.written();
        let cost = (*(*statement).planTree).total_cost;
        Planned { cost, shard_by_shard: None, touched: reader.touched() }
    }
}

struct Reader<'w> {
    world: &'w World<'w>,
    statement: *mut pg_sys::PlannedStmt,
    entries: Vec<*mut pg_sys::RangeTblEntry>,
    subplans: Vec<*mut pg_sys::Plan>,
    /// Subplans that were read, and how often they are run.
    runs: HashMap<i32, f64>,
    /// Leaf → the share of executions that reach it.
    leaves: BTreeMap<u32, f64>,
    rows: BTreeMap<QualifiedName, f64>,
}

impl Reader<'_> {
    fn touched(&self) -> BTreeMap<QualifiedName, Touched> {
        let mut touched: BTreeMap<QualifiedName, Touched> = BTreeMap::new();
        for (leaf, reached) in &self.leaves {
            if let Some(relation) = self.world.relation(pg_sys::Oid::from(*leaf)) {
                let one = touched.entry(relation.supposed.relation.clone()).or_default();
                one.shards += reached * relation.supposed.stands_for;
                one.planned += relation.supposed.stands_for;
            }
        }
        for (relation, rows) in &self.rows {
            touched.entry(relation.clone()).or_default().rows += rows;
        }
        touched
    }

    /// An INSERT writes into one leaf, whatever the planner knows of it.
    ///
    /// # Safety
    /// A planned statement.
    unsafe fn written(&mut self) {
        // SAFETY: result relations are numbers of entries.
        unsafe {
            for number in PgList::<i32>::from_pg((*self.statement).resultRelations).iter_int() {
                let Some(oid) = self.oid(number) else { continue };
                let Some(relation) = self.world.relation(oid) else { continue };
                if (*self.statement).commandType == pg_sys::CmdType::CMD_INSERT && !relation.leaf {
                    let name = &relation.supposed.relation;
                    let first = self
                        .world
                        .relations
                        .iter()
                        .filter(|(_, other)| other.leaf && other.supposed.relation == *name);
                    if let Some(leaf) = first.map(|(oid, _)| *oid).min() {
                        self.leaves.entry(leaf).or_insert(1.0);
                    }
                } else if relation.leaf {
                    self.leaves.entry(oid.to_u32()).or_insert(1.0);
                }
            }
        }
    }

    /// The relation of an entry, by its number from one.
    ///
    /// # Safety
    /// A planned statement.
    unsafe fn oid(&self, number: i32) -> Option<pg_sys::Oid> {
        let entry = *self.entries.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        // SAFETY: an entry of the statement's range table.
        unsafe { ((*entry).rtekind == pg_sys::RTEKind::RTE_RELATION).then(|| (*entry).relid) }
    }

    /// Counts a scan of a leaf.
    ///
    /// # Safety
    /// A scan of the plan.
    unsafe fn scan(&mut self, scan: *mut pg_sys::Plan, rows: impl FnOnce(&World<'_>, f64) -> f64, run: Run) {
        // SAFETY: every scan begins with the same fields.
        unsafe {
            let number = i32::try_from((*scan.cast::<pg_sys::Scan>()).scanrelid).unwrap_or(0);
            let Some(oid) = self.oid(number) else { return };
            let Some(relation) = self.world.relation(oid) else { return };
            let tuples = relation.supposed.rows;
            let each = rows(self.world, tuples).clamp(0.0, tuples);
            let processes = if (*scan).parallel_aware { 1.0 } else { run.processes };
            let looked_at = each * run.loops * run.pulled * processes * run.reached;
            *self.rows.entry(relation.supposed.relation.clone()).or_default() += looked_at;
            let reached = self.leaves.entry(oid.to_u32()).or_default();
            *reached = reached.max(run.reached);
        }
    }

    /// Reads a node and what is below it.
    ///
    /// # Safety
    /// Null or a node of the plan.
    unsafe fn node(&mut self, plan: *mut pg_sys::Plan, run: Run) {
        if plan.is_null() {
            return;
        }
        // SAFETY: the tag says what the node is.
        unsafe {
            pg_sys::check_stack_depth();
            self.subplans_of(plan, run);
            match (*plan).type_ {
                NodeTag::T_Append | NodeTag::T_MergeAppend => self.append(plan, run),
                NodeTag::T_SubqueryScan => {
                    self.node((*plan.cast::<pg_sys::SubqueryScan>()).subplan, run);
                }
                NodeTag::T_NestLoop => {
                    let outer = (*plan).lefttree;
                    self.node(outer, run);
                    let inner = Run {
                        loops: run.loops * (*outer).plan_rows.max(1.0) * run.pulled,
                        pulled: 1.0,
                        ..run
                    };
                    self.node((*plan).righttree, inner);
                }
                NodeTag::T_Gather | NodeTag::T_GatherMerge => {
                    let workers = match (*plan).type_ {
                        NodeTag::T_Gather => (*plan.cast::<pg_sys::Gather>()).num_workers,
                        _ => (*plan.cast::<pg_sys::GatherMerge>()).num_workers,
                    };
                    self.node((*plan).lefttree, Run { processes: processes(workers), ..run });
                }
                NodeTag::T_Limit => {
                    let below = (*plan).lefttree;
                    let share = (*plan).plan_rows / (*below).plan_rows.max(1.0);
                    let pulled = (run.pulled * share).clamp(0.0, 1.0);
                    self.node(below, Run { pulled, ..run });
                }
                // They take all of their input, and give it again without running it.
                NodeTag::T_Material | NodeTag::T_Memoize => {
                    let loops = if (*plan).type_ == NodeTag::T_Memoize {
                        let entries = f64::from((*plan.cast::<pg_sys::Memoize>()).est_entries);
                        if entries > 0.0 { run.loops.min(entries) } else { run.loops }
                    } else if (*(*plan).lefttree).extParam.is_null() {
                        run.loops.min(1.0)
                    } else {
                        run.loops
                    };
                    self.node((*plan).lefttree, Run { loops, ..run });
                }
                NodeTag::T_Sort | NodeTag::T_Hash | NodeTag::T_SetOp => {
                    self.node((*plan).lefttree, Run { pulled: 1.0, ..run });
                    self.node((*plan).righttree, Run { pulled: 1.0, ..run });
                }
                NodeTag::T_Agg => {
                    let sorted = (*plan.cast::<pg_sys::Agg>()).aggstrategy == pg_sys::AggStrategy::AGG_SORTED;
                    let pulled = if sorted { run.pulled } else { 1.0 };
                    self.node((*plan).lefttree, Run { pulled, ..run });
                }
                _ if self.scan_of_table(plan, run) => {}
                _ => {
                    self.node((*plan).lefttree, run);
                    self.node((*plan).righttree, run);
                }
            }
        }
    }

    /// Reads a scan of a table; false for other nodes.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn scan_of_table(&mut self, plan: *mut pg_sys::Plan, run: Run) -> bool {
        // SAFETY: the tag says what the node is.
        unsafe {
            match (*plan).type_ {
                NodeTag::T_SeqScan | NodeTag::T_SampleScan => self.scan(plan, |_, tuples| tuples, run),
                NodeTag::T_TidScan | NodeTag::T_TidRangeScan => {
                    let rows = (*plan).plan_rows;
                    self.scan(plan, |_, _| rows, run);
                }
                NodeTag::T_IndexScan => {
                    self.index((*plan.cast::<pg_sys::IndexScan>()).indexid, plan, run);
                }
                NodeTag::T_IndexOnlyScan => {
                    self.index((*plan.cast::<pg_sys::IndexOnlyScan>()).indexid, plan, run);
                }
                NodeTag::T_BitmapHeapScan => {
                    // The rows that the bitmap has, which are rounded in its own node.
                    let rounded = (*(*plan).lefttree).plan_rows;
                    let key = IndexScan::bitmap((*plan).total_cost, (*plan).plan_rows);
                    self.scan(plan, |world, _| world.fetched(key).unwrap_or(rounded), run);
                }
                _ => return false,
            }
        }
        true
    }

    /// Reads the parts of an append.
    ///
    /// # Safety
    /// An append of the plan.
    unsafe fn append(&mut self, plan: *mut pg_sys::Plan, run: Run) {
        // SAFETY: the tag says what the node is.
        unsafe {
            match (*plan).type_ {
                NodeTag::T_Append => {
                    let append = &*plan.cast::<pg_sys::Append>();
                    let pruning = self.pruning_of_append(append);
                    let parts = pointers(append.appendplans);
                    let run = self.of_parts(plan, &parts, run, pruning);
                    parts.into_iter().for_each(|part| self.node(part, run));
                }
                NodeTag::T_MergeAppend => {
                    let append = &*plan.cast::<pg_sys::MergeAppend>();
                    let pruning = self.pruning_of_merge_append(append);
                    let parts = pointers(append.mergeplans);
                    let run = self.of_parts(plan, &parts, run, pruning);
                    for part in parts {
                        // The next row of each part is looked at beforehand.
                        let ahead = 1.0 / (*part).plan_rows.max(1.0);
                        self.node(part, Run { pulled: (run.pulled + ahead).min(1.0), ..run });
                    }
                }
                _ => {}
            }
        }
    }

    /// # Safety
    /// An index scan of the plan.
    unsafe fn index(&mut self, index: pg_sys::Oid, plan: *mut pg_sys::Plan, run: Run) {
        // SAFETY: the caller's promise.
        unsafe {
            let (cost, rows) = ((*plan).total_cost, (*plan).plan_rows);
            let fetched =
                |world: &World<'_>, _| world.fetched(IndexScan::new(index, cost, rows)).unwrap_or(rows);
            self.scan(plan, fetched, run);
        }
    }

    /// How the parts of an append are run.
    ///
    /// # Safety
    /// An append of the plan and its parts.
    unsafe fn of_parts(
        &self,
        append: *mut pg_sys::Plan,
        parts: &[*mut pg_sys::Plan],
        run: Run,
        pruning: Option<*mut pg_sys::PartitionPruneInfo>,
    ) -> Run {
        // SAFETY: the caller's promise.
        unsafe {
            // Processes share the parts out.
            let processes = if (*append).parallel_aware { 1.0 } else { run.processes };
            let share = pruning.map_or(1.0, |pruning| share_of(pruning, parts.len()));
            Run { processes, reached: run.reached * share, ..run }
        }
    }

    /// # Safety
    /// An append of the plan.
    #[cfg(not(feature = "pg18"))]
    unsafe fn pruning_of_append(&self, append: &pg_sys::Append) -> Option<*mut pg_sys::PartitionPruneInfo> {
        (!append.part_prune_info.is_null()).then_some(append.part_prune_info)
    }

    /// # Safety
    /// An append of the plan.
    #[cfg(not(feature = "pg18"))]
    unsafe fn pruning_of_merge_append(
        &self,
        append: &pg_sys::MergeAppend,
    ) -> Option<*mut pg_sys::PartitionPruneInfo> {
        (!append.part_prune_info.is_null()).then_some(append.part_prune_info)
    }

    /// # Safety
    /// An append of the plan.
    #[cfg(feature = "pg18")]
    unsafe fn pruning_of_append(&self, append: &pg_sys::Append) -> Option<*mut pg_sys::PartitionPruneInfo> {
        // SAFETY: the caller's promise.
        unsafe { self.pruning_at(append.part_prune_index) }
    }

    /// # Safety
    /// An append of the plan.
    #[cfg(feature = "pg18")]
    unsafe fn pruning_of_merge_append(
        &self,
        append: &pg_sys::MergeAppend,
    ) -> Option<*mut pg_sys::PartitionPruneInfo> {
        // SAFETY: the caller's promise.
        unsafe { self.pruning_at(append.part_prune_index) }
    }

    /// # Safety
    /// A planned statement.
    #[cfg(feature = "pg18")]
    unsafe fn pruning_at(&self, at: i32) -> Option<*mut pg_sys::PartitionPruneInfo> {
        // SAFETY: the caller's promise.
        let all = unsafe { pointers::<pg_sys::PartitionPruneInfo>((*self.statement).partPruneInfos) };
        all.get(usize::try_from(at).ok()?).copied()
    }

    /// Reads the subplans in the expressions of a node. One that depends on
    /// its rows is run for each of them.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn subplans_of(&mut self, plan: *mut pg_sys::Plan, run: Run) {
        // SAFETY: the tag says what the node is.
        unsafe {
            let mut found: Vec<(*mut pg_sys::SubPlan, bool)> = Vec::new();
            let joined = match (*plan).type_ {
                NodeTag::T_NestLoop | NodeTag::T_MergeJoin | NodeTag::T_HashJoin => {
                    (*plan.cast::<pg_sys::Join>()).joinqual
                }
                _ => std::ptr::null_mut(),
            };
            for list in [(*plan).targetlist, (*plan).qual, joined] {
                let parts = call::parts(list.cast()).into_iter();
                let subplans = parts.filter(|part| (**part).type_ == NodeTag::T_SubPlan);
                found.extend(subplans.map(|part| (part.cast(), false)));
            }
            found.extend(pointers::<pg_sys::SubPlan>((*plan).initPlan).into_iter().map(|part| (part, true)));
            for (subplan, first) in found {
                let subplan = &*subplan;
                let depends = !first && !subplan.useHashTable && !subplan.parParam.is_null();
                let loops = if depends { run.loops * (*plan).plan_rows.max(1.0) } else { 1.0 };
                if self.runs.insert(subplan.plan_id, loops).is_some() {
                    continue;
                }
                let at = usize::try_from(subplan.plan_id).unwrap_or(0).wrapping_sub(1);
                if let Some(below) = self.subplans.get(at).copied() {
                    self.node(below, Run { loops, pulled: 1.0, ..run });
                }
            }
        }
    }
}

/// Processes that run a plan with so many workers: the leader helps, the less
/// the more workers it serves, as the planner supposes.
fn processes(workers: i32) -> f64 {
    let workers = f64::from(workers.max(0));
    workers + (1.0 - 0.3 * workers).max(0.0)
}

/// Share of the parts that are reached where they are pruned while the plan
/// runs: one of all for equality, PostgreSQL's guesses for ranges.
///
/// # Safety
/// Pruning of an append of the plan.
unsafe fn share_of(pruning: *mut pg_sys::PartitionPruneInfo, parts: usize) -> f64 {
    let one = 1.0 / (parts.max(1) as f64);
    let mut share = 1.0;
    // SAFETY: lists of the node types that the server documents for them.
    unsafe {
        for table in pointers::<pg_sys::List>((*pruning).prune_infos) {
            for level in pointers::<pg_sys::PartitionedRelPruneInfo>(table) {
                let [first, later] = [(*level).initial_pruning_steps, (*level).exec_pruning_steps]
                    .map(|steps| steps_share(steps, one));
                share *= first.min(later);
            }
        }
    }
    share.clamp(one, 1.0)
}

/// # Safety
/// A list of pruning steps.
unsafe fn steps_share(steps: *mut pg_sys::List, one: f64) -> f64 {
    let (mut equal, mut ranges) = (false, 0);
    // SAFETY: the tag says what the step is.
    unsafe {
        for step in pointers::<pg_sys::Node>(steps) {
            if (*step).type_ != NodeTag::T_PartitionPruneStepOp {
                continue;
            }
            let step = &*step.cast::<pg_sys::PartitionPruneStepOp>();
            // Hash knows equality alone, as strategy one.
            match u32::from(step.opstrategy) {
                pg_sys::BTEqualStrategyNumber => equal = true,
                _ => ranges += 1,
            }
        }
    }
    match (equal, ranges) {
        (true, _) => one,
        (false, 0) => 1.0,
        (false, 1) => HALF_OPEN_SHARE,
        (false, _) => CLOSED_SHARE,
    }
}
