//! How many parts are left where they are pruned while a plan runs.

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::analyze::pointers;

/// PostgreSQL's own guesses of what a range leaves: `DEFAULT_INEQ_SEL` and
/// `DEFAULT_RANGE_INEQ_SEL`.
const HALF_OPEN_SHARE: f64 = 1.0 / 3.0;
const CLOSED_SHARE: f64 = 0.005;

/// Share of the parts that are reached where they are pruned while the plan
/// runs: one of all for equality, PostgreSQL's guesses for ranges. `oid` tells
/// the table of an entry.
///
/// # Safety
/// Pruning of an append of the plan.
pub unsafe fn share_of(
    pruning: *mut pg_sys::PartitionPruneInfo,
    parts: usize,
    oid: impl Fn(pg_sys::Index) -> Option<pg_sys::Oid>,
) -> f64 {
    let one = 1.0 / (parts.max(1) as f64);
    let mut share = 1.0;
    // SAFETY: lists of the node types that the server documents for them.
    unsafe {
        for table in pointers::<pg_sys::List>((*pruning).prune_infos) {
            for level in pointers::<pg_sys::PartitionedRelPruneInfo>(table) {
                let hash = oid((*level).rtindex).is_some_and(|oid| is_hash(oid));
                let [first, later] = [(*level).initial_pruning_steps, (*level).exec_pruning_steps]
                    .map(|steps| steps_share(steps, one, hash));
                share *= first.min(later);
            }
        }
    }
    share.clamp(one, 1.0)
}

/// Whether a table is divided by hash.
///
/// # Safety
/// In a transaction.
unsafe fn is_hash(oid: pg_sys::Oid) -> bool {
    /// `Anum_pg_partitioned_table_partstrat`.
    const PARTSTRAT: i16 = 2;
    let cache = pg_sys::SysCacheIdentifier::PARTRELID as i32;
    // SAFETY: the strategy is one byte of the tuple, read while it is held.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(oid));
        if tuple.is_null() {
            return false;
        }
        let mut null = false;
        let strategy = pg_sys::SysCacheGetAttr(cache, tuple, PARTSTRAT, &mut null);
        pg_sys::ReleaseSysCache(tuple);
        !null && strategy.value() as u8 == b'h'
    }
}

/// # Safety
/// A list of pruning steps.
unsafe fn steps_share(steps: *mut pg_sys::List, one: f64, hash: bool) -> f64 {
    let (mut equal, mut ranges) = (false, 0);
    // SAFETY: the tag says what the step is.
    unsafe {
        for step in pointers::<pg_sys::Node>(steps) {
            if (*step).type_ != NodeTag::T_PartitionPruneStepOp {
                continue;
            }
            let step = &*step.cast::<pg_sys::PartitionPruneStepOp>();
            // Hash knows equality alone, as strategy one.
            if hash || u32::from(step.opstrategy) == pg_sys::BTEqualStrategyNumber {
                equal = true;
            } else {
                ranges += 1;
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
