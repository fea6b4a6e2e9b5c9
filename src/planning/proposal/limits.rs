//! How many shards a server can carry: planning at peak, and the lock table.
//!
//! Not here: what fewer shards cost, and the limits of people (`settings`).
//! Invariant: a limit is at least `shards_budget_min`, unless the lock table
//! has not even room for one statement on so many.

use crate::planning::proposal::ProposalInput;
use crate::planning::proposal::subject::Subject;
use crate::planning::proposal::traffic::Use;

/// Most shards of a table, given which of its statements cannot be pruned.
pub fn shards_max(input: &ProposalInput, subject: &Subject, unpruned: impl Fn(&Use) -> bool) -> usize {
    let uses: Vec<&Use> = subject.traffic.uses.iter().filter(|one| unpruned(one)).collect();
    by_planning(input, &uses).min(by_locks(input, subject, &uses))
}

/// So many that planning of unpruned statements takes no more than its part of
/// the cores: below that it is weighed as a cost.
fn by_planning(input: &ProposalInput, uses: &[&Use]) -> usize {
    let constants = input.constants;
    let budget = f64::from(input.cores.max(1)) * 1000.0 * constants.planning_budget_share;
    let spent = |shards: usize| -> f64 {
        let each =
            uses.iter().map(|one| one.calls_per_second * constants.planning_ms(shards as f64, one.joined));
        each.sum()
    };
    let mut most = constants.shards_pruned_max;
    while most > constants.shards_budget_min && spent(most) > budget {
        most /= 2;
    }
    most.max(constants.shards_budget_min)
}

/// So many that the statements which run at a time find room for their locks:
/// one for each shard and each of its indexes. One runs at least, as whoever
/// dumps or drops the table locks its shards too, and no more than the cores
/// can carry: the others wait.
fn by_locks(input: &ProposalInput, subject: &Subject, uses: &[&Use]) -> usize {
    let server = &input.server;
    let running: f64 = uses.iter().map(|one| running(input, one)).sum();
    let carried = f64::from(input.cores.max(1)) * input.constants.statements_per_core;
    let transactions = running.min(server.connections).min(carried).max(1.0);
    let each = 1.0 + subject.table.indexes.len() as f64;
    let room = server.lock_slots * input.constants.lock_share / each;
    let alone = room.floor().max(1.0) as usize;
    ((room / transactions) as usize).max(input.constants.shards_budget_min).min(alone)
}

/// How many of a statement run at a time, by its mean execution time.
fn running(input: &ProposalInput, one: &Use) -> f64 {
    let statement = one.place.and_then(|place| input.workload.statements.get(place.0));
    let mean_ms = statement
        .filter(|statement| statement.calls > 0.0 && statement.exec_ms > 0.0)
        .map_or(0.0, |statement| statement.exec_ms / statement.calls);
    one.calls_per_second * mean_ms / 1000.0
}
