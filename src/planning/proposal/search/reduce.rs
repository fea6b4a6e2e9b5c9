//! What needs no search: options that another one beats whatever the other
//! tables do, and tables that have nothing to do with each other.
//!
//! An option goes if another one of its table costs no more beside any
//! options of the neighbours (dead-end elimination). Invariant: an optimum of
//! what is left is one of the whole.

use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::problem::Problem;

/// The options that are left of each table, ascending; never none.
pub fn undominated(problem: &Problem, stop: Stop<'_>) -> Result<Vec<Vec<usize>>, Interrupted> {
    let mut allowed: Vec<Vec<usize>> =
        (0..problem.tables()).map(|table| (0..problem.options(table)).collect()).collect();
    let mut pending: Vec<bool> = vec![true; problem.tables()];
    while pending.contains(&true) {
        for table in 0..problem.tables() {
            if stop() {
                return Err(Interrupted);
            }
            if !std::mem::take(&mut pending[table]) {
                continue;
            }
            if thin(problem, table, &mut allowed) {
                for edge in problem.around(table) {
                    pending[edge.other(table)] = true;
                }
            }
        }
    }
    Ok(allowed)
}

/// Takes the beaten options of a table away; whether there were any.
fn thin(problem: &Problem, table: usize, allowed: &mut [Vec<usize>]) -> bool {
    let before = allowed[table].len();
    let mut at = 0;
    while at < allowed[table].len() && allowed[table].len() > 1 {
        let option = allowed[table][at];
        let beaten = allowed[table].iter().any(|other| {
            *other != option && {
                let excess = least_excess(problem, table, option, *other, allowed);
                excess > 0.0 || (excess == 0.0 && *other < option)
            }
        });
        if beaten {
            allowed[table].remove(at);
        } else {
            at += 1;
        }
    }
    allowed[table].len() < before
}

/// How much more an option costs than another one, at least.
fn least_excess(problem: &Problem, table: usize, option: usize, other: usize, allowed: &[Vec<usize>]) -> f64 {
    let costs = problem.costs(table);
    let mut excess = costs[option] - costs[other];
    for edge in problem.around(table) {
        let beside = allowed[edge.other(table)].iter().map(|neighbour| {
            problem.together(edge, table, option, *neighbour)
                - problem.together(edge, table, other, *neighbour)
        });
        excess += beside.fold(f64::INFINITY, f64::min);
    }
    excess
}

/// Sets of tables with more than one option that are connected by edges which
/// say something; each ascending, by their first.
pub fn components(problem: &Problem, allowed: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let open = |table: usize| allowed[table].len() > 1;
    let mut seen = vec![false; problem.tables()];
    let mut found = Vec::new();
    for first in (0..problem.tables()).filter(|table| open(*table)) {
        if seen[first] {
            continue;
        }
        seen[first] = true;
        let mut members = vec![first];
        let mut at = 0;
        while let Some(&table) = members.get(at) {
            at += 1;
            for edge in problem.around(table) {
                let other = edge.other(table);
                if open(other) && !seen[other] {
                    seen[other] = true;
                    members.push(other);
                }
            }
        }
        members.sort_unstable();
        found.push(members);
    }
    found
}
