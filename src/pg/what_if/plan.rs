//! What a plan would look at, read off its tree.
//!
//! Rows looked at are what `EXPLAIN (ANALYZE)` would show of the scans: rows
//! returned and rows removed by filters, times loops. A scan below `LIMIT` is
//! charged with the share of it that is pulled. Where shards are pruned only
//! while the plan runs, each counts with the share of the executions that is
//! expected to reach it.
//!
//! A subquery that depends on rows is run for each row that it is asked about,
//! not for those that it lets pass. What is below a join that wants one partner
//! is left at the first one.

use std::collections::BTreeMap;

use pgrx::PgList;
use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::model::name::QualifiedName;
use crate::model::what_if::Planned;
use crate::model::what_if::Touched;
use crate::pg::analyze::pointers;
use crate::pg::what_if::call;
use crate::pg::what_if::pruning::share_of;
use crate::pg::what_if::seen::Scan;
use crate::pg::what_if::seen::Way;
use crate::pg::what_if::world::World;

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

const ONCE: Run = Run { loops: 1.0, pulled: 1.0, processes: 1.0, reached: 1.0 };

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
            runs: BTreeMap::new(),
            trying: false,
            leaves: BTreeMap::new(),
            rows: BTreeMap::new(),
        };
        reader.node((*statement).planTree, ONCE);
        // A subplan is asked for by the statement and by subplans after it.
        while let Some((number, run)) = reader.runs.pop_last() {
            reader.subplan(number, run);
        }
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
    /// Subplans that are still to be read, and how they are run.
    runs: BTreeMap<i32, Run>,
    /// Whether what is read is not counted.
    trying: bool,
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
    unsafe fn scan(&mut self, scan: *mut pg_sys::Plan, fetched: f64, run: Run) {
        // SAFETY: every scan begins with the same fields.
        unsafe {
            let number = i32::try_from((*scan.cast::<pg_sys::Scan>()).scanrelid).unwrap_or(0);
            let Some(oid) = self.oid(number) else { return };
            let Some(relation) = self.world.relation(oid) else { return };
            let tuples = relation.supposed.rows;
            let each = fetched.clamp(0.0, tuples);
            let processes = if (*scan).parallel_aware { 1.0 } else { run.processes };
            let looked_at = each * run.loops * run.pulled * processes * run.reached;
            *self.rows.entry(relation.supposed.relation.clone()).or_default() += looked_at;
            // Each loop may reach it.
            let ever = 1.0 - (1.0 - run.reached.min(1.0)).powf(run.loops.max(1.0));
            let reached = self.leaves.entry(oid.to_u32()).or_default();
            *reached = reached.max(ever);
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
                NodeTag::T_NestLoop => self.nested(plan.cast(), run),
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
                    let again = (*plan).type_ == NodeTag::T_Material && run.loops > 1.0;
                    let pulled = if again { 1.0 } else { run.pulled };
                    self.node((*plan).lefttree, Run { loops, pulled, ..run });
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

    /// Reads a nested loop. Where one partner is wanted, what is below is read
    /// until it is found.
    ///
    /// # Safety
    /// A nested loop of the plan.
    unsafe fn nested(&mut self, nested: *mut pg_sys::NestLoop, run: Run) {
        // SAFETY: the caller's promise.
        unsafe {
            let join = &(*nested).join;
            let (outer, inner) = (join.plan.lefttree, join.plan.righttree);
            self.node(outer, run);
            let rows = (*outer).plan_rows.max(1.0);
            let pulled = match join.jointype {
                pg_sys::JoinType::JOIN_SEMI | pg_sys::JoinType::JOIN_ANTI if !self.trying => {
                    let found = (join.plan.plan_rows / rows).clamp(0.0, 1.0);
                    let anti = join.jointype == pg_sys::JoinType::JOIN_ANTI;
                    let share = if anti { 1.0 - found } else { found };
                    let known = self.world.seen.joined(join.jointype, join.plan.plan_rows).partners;
                    let partners = known.unwrap_or_else(|| (*inner).plan_rows / share.max(f64::EPSILON));
                    let filtered = !join.joinqual.is_null() || filters(inner);
                    until_found(self.looked_at(inner), share, partners, filtered)
                }
                _ => 1.0,
            };
            self.node(inner, Run { loops: run.loops * rows * run.pulled, pulled, ..run });
        }
    }

    /// Rows that a part of the plan looks at if it is run once, and of which
    /// nothing is counted.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn looked_at(&mut self, plan: *mut pg_sys::Plan) -> f64 {
        let rows = std::mem::take(&mut self.rows);
        let (runs, leaves) = (self.runs.clone(), self.leaves.clone());
        self.trying = true;
        // SAFETY: the caller's promise.
        unsafe { self.node(plan, ONCE) };
        self.trying = false;
        (self.runs, self.leaves) = (runs, leaves);
        std::mem::replace(&mut self.rows, rows).values().sum()
    }

    /// Reads a scan of a table; false for other nodes.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn scan_of_table(&mut self, plan: *mut pg_sys::Plan, run: Run) -> bool {
        // SAFETY: the tag says what the node is.
        unsafe {
            let rounded = match (*plan).type_ {
                NodeTag::T_SeqScan | NodeTag::T_SampleScan => f64::INFINITY,
                NodeTag::T_TidScan
                | NodeTag::T_TidRangeScan
                | NodeTag::T_IndexScan
                | NodeTag::T_IndexOnlyScan => (*plan).plan_rows,
                NodeTag::T_BitmapHeapScan => (*(*plan).lefttree).plan_rows,
                _ => return false,
            };
            let seen = self.seen(plan);
            self.scan(plan, seen.map_or(rounded, |scan| scan.fetched), run);
        }
        true
    }

    /// The path that a scan of a table was.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn seen(&self, plan: *mut pg_sys::Plan) -> Option<Scan> {
        // SAFETY: the tag says what the node is.
        unsafe {
            let way = match (*plan).type_ {
                NodeTag::T_SeqScan => Way::Whole,
                NodeTag::T_IndexScan => Way::Index((*plan.cast::<pg_sys::IndexScan>()).indexid.to_u32()),
                NodeTag::T_IndexOnlyScan => {
                    Way::Index((*plan.cast::<pg_sys::IndexOnlyScan>()).indexid.to_u32())
                }
                NodeTag::T_BitmapHeapScan => Way::Bitmap,
                _ => return None,
            };
            let number = i32::try_from((*plan.cast::<pg_sys::Scan>()).scanrelid).unwrap_or(0);
            self.world.seen.scan(self.oid(number)?, way, (*plan).total_cost, (*plan).plan_rows)
        }
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
            let oid = |number: pg_sys::Index| self.oid(i32::try_from(number).ok()?);
            let share = pruning.map_or(1.0, |pruning| share_of(pruning, parts.len(), oid));
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

    /// Finds the subplans in the expressions of a node. One that depends on
    /// rows is run for each that it is asked about.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn subplans_of(&mut self, plan: *mut pg_sys::Plan, run: Run) {
        // SAFETY: the tag says what the node is.
        unsafe {
            let joined = is_join(plan).then(|| (*plan.cast::<pg_sys::Join>()).joinqual);
            for list in [Some((*plan).targetlist), Some((*plan).qual), joined].into_iter().flatten() {
                let of = call::parts(list.cast()).into_iter();
                let mut subplans = of.filter(|part| (**part).type_ == NodeTag::T_SubPlan).peekable();
                if subplans.peek().is_none() {
                    continue;
                }
                let passed = list == (*plan).targetlist;
                let rows = if passed { None } else { self.asked(plan) };
                // A plan of several processes tells the rows of each.
                let rows = rows.unwrap_or((*plan).plan_rows * run.processes);
                for subplan in subplans {
                    let subplan: &pg_sys::SubPlan = &*subplan.cast();
                    let depends = !subplan.useHashTable && !subplan.parParam.is_null();
                    let times = if depends { run.loops * run.pulled * run.reached * rows } else { 0.0 };
                    self.run(subplan, times);
                }
            }
            for first in pointers::<pg_sys::SubPlan>((*plan).initPlan) {
                self.run(&*first, 0.0);
            }
        }
    }

    /// Rows about which the subqueries in a node's conditions are asked, if the
    /// planner told.
    ///
    /// # Safety
    /// A node of the plan.
    unsafe fn asked(&self, plan: *mut pg_sys::Plan) -> Option<f64> {
        // SAFETY: the tag says what the node is.
        unsafe {
            if is_join(plan) {
                self.world.seen.joined((*plan.cast::<pg_sys::Join>()).jointype, (*plan).plan_rows).asked
            } else {
                self.seen(plan)?.asked
            }
        }
    }

    /// Runs a subplan so many times more, at least once in all.
    fn run(&mut self, subplan: &pg_sys::SubPlan, times: f64) {
        let run = self.runs.entry(subplan.plan_id).or_insert(Run { loops: 0.0, ..ONCE });
        run.loops = if times > 0.0 { run.loops + times } else { run.loops.max(1.0) };
        // As the planner charges them: the first row answers, or one in the middle.
        run.pulled = match subplan.subLinkType {
            pg_sys::SubLinkType::EXISTS_SUBLINK => 0.0,
            pg_sys::SubLinkType::ALL_SUBLINK | pg_sys::SubLinkType::ANY_SUBLINK if times > 0.0 => 0.5,
            _ => 1.0,
        };
    }

    /// Reads a subplan.
    ///
    /// # Safety
    /// The number of a subplan of the statement.
    unsafe fn subplan(&mut self, number: i32, run: Run) {
        let at = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        let Some(below) = self.subplans.get(at).copied().filter(|below| !below.is_null()) else { return };
        // SAFETY: a plan of the statement.
        unsafe {
            let first = 1.0 / (*below).plan_rows.max(1.0);
            self.node(below, Run { pulled: run.pulled.max(first), ..run });
        }
        // Those before it alone are asked by it.
        self.runs.retain(|other, _| *other < number);
    }
}

/// # Safety
/// A node of the plan.
unsafe fn is_join(plan: *mut pg_sys::Plan) -> bool {
    // SAFETY: the caller's promise.
    let tag = unsafe { (*plan).type_ };
    matches!(tag, NodeTag::T_NestLoop | NodeTag::T_MergeJoin | NodeTag::T_HashJoin)
}

/// Whether conditions below leave out rows that were looked at.
///
/// # Safety
/// A node of the plan.
unsafe fn filters(plan: *mut pg_sys::Plan) -> bool {
    // SAFETY: the tag says what the node is.
    unsafe {
        let mut pending = vec![plan];
        while let Some(node) = pending.pop() {
            if node.is_null() {
                continue;
            }
            if !(*node).qual.is_null() || is_join(node) {
                return true;
            }
            pending.extend([(*node).lefttree, (*node).righttree]);
            match (*node).type_ {
                NodeTag::T_Append => {
                    pending.extend(pointers::<pg_sys::Plan>((*node.cast::<pg_sys::Append>()).appendplans))
                }
                NodeTag::T_MergeAppend => {
                    pending.extend(pointers::<pg_sys::Plan>((*node.cast::<pg_sys::MergeAppend>()).mergeplans))
                }
                _ => {}
            }
        }
    }
    false
}

/// Processes that run a plan with so many workers: the leader helps, the less
/// the more workers it serves, as the planner supposes.
fn processes(workers: i32) -> f64 {
    let workers = f64::from(workers.max(0));
    workers + (1.0 - 0.3 * workers).max(0.0)
}

/// Share of the rows below that are looked at if it is left at the first
/// partner. `rows` are all, of which each row of `share` has so many partners;
/// if some are left out after they were looked at, the others look in vain.
fn until_found(rows: f64, share: f64, partners: f64, filtered: bool) -> f64 {
    if rows <= 0.0 {
        return 1.0;
    }
    let (there, in_vain) = if filtered { (rows, rows) } else { (rows / share.max(f64::EPSILON), 0.0) };
    // One is looked at to be found, however many there are by another reckoning.
    let first = ((there + 1.0) / (partners.max(1.0) + 1.0)).max(1.0);
    let looked_at = share * first.min(there) + (1.0 - share) * in_vain;
    (looked_at / rows).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_partner_is_the_sooner_found_the_more_there_are() {
        // Each row has two of ten.
        assert!((until_found(10.0, 1.0, 2.0, true) - 11.0 / 30.0).abs() < 1e-9);
        // Half of the rows have partners, which an index finds at once.
        assert!((until_found(5.0, 0.5, 10.0, false) - 0.1).abs() < 1e-9);
        // A filter leaves none for half of them.
        assert!((until_found(1.0, 0.5, 1.0, true) - 1.0).abs() < 1e-9);
        assert_eq!(until_found(0.0, 0.5, 1.0, true), 1.0);
        // More partners than rows.
        assert!((until_found(100.0, 1.0, 6000.0, true) - 0.01).abs() < 1e-9);
    }
}
