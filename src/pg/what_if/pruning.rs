//! How many parts are left where they are pruned while a plan runs.

use pgrx::pg_sys;
use pgrx::pg_sys::NodeTag;

use crate::pg::analyze::pointers;

/// PostgreSQL's own guesses of what a range leaves: `DEFAULT_INEQ_SEL` and
/// `DEFAULT_RANGE_INEQ_SEL`.
const HALF_OPEN_SHARE: f64 = 1.0 / 3.0;
const CLOSED_SHARE: f64 = 0.005;

/// Share of the parts that are reached where they are pruned while the plan
/// runs: one of all for equality, PostgreSQL's guesses for ranges.
///
/// # Safety
/// Pruning of an append of the plan.
pub unsafe fn share_of(pruning: *mut pg_sys::PartitionPruneInfo, parts: usize) -> f64 {
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
