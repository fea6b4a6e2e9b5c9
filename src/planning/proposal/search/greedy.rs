//! Starts: assignments that are made quickly, each bettered table by table.
//!
//! Invariant: a start depends on the problem and the seed alone.

use crate::model::sample::random::Random;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::ascent::Moved;
use crate::planning::proposal::search::problem::Problem;

/// Random orders in which tables are decided.
const ORDERS: usize = 4;
/// Rounds of single changes after which a start is taken as it is.
const ROUNDS: usize = 50;

/// The cheapest of several starts.
pub fn best_start(
    problem: &Problem,
    moved: &Moved,
    seed: u64,
    stop: Stop<'_>,
) -> Result<Vec<usize>, Interrupted> {
    let count = problem.tables();
    let in_order: Vec<usize> = (0..count).collect();
    let mut starts = vec![
        alone(problem),
        one_by_one(problem, &in_order, |table| problem.costs(table).to_vec()),
        one_by_one(problem, &by_weight(problem), |table| problem.costs(table).to_vec()),
        in_moved(problem, moved, &by_weight(problem)),
    ];
    let mut random = Random::new(seed);
    for _ in 0..ORDERS {
        let mut order = in_order.clone();
        for at in (1..count).rev() {
            order.swap(at, random.below(at as u64 + 1) as usize);
        }
        starts.push(in_moved(problem, moved, &order));
    }
    let mut best: Option<(Vec<usize>, f64)> = None;
    for start in starts {
        if stop() {
            return Err(Interrupted);
        }
        let start = bettered(problem, start);
        let cost = problem.cost(&start);
        if best.as_ref().is_none_or(|best| cost < best.1) {
            best = Some((start, cost));
        }
    }
    Ok(best.map_or_else(Vec::new, |best| best.0))
}

/// Every table at its cheapest.
fn alone(problem: &Problem) -> Vec<usize> {
    (0..problem.tables()).map(|table| first_least(problem.costs(table))).collect()
}

/// Dearest tables first.
fn by_weight(problem: &Problem) -> Vec<usize> {
    let weight = |table: &usize| problem.costs(*table).iter().copied().fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..problem.tables()).collect();
    order.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then(a.cmp(b)));
    order
}

/// Decides tables in turn, by their own costs, what they cost beside those
/// decided, and the most that they can still gain with the others.
fn one_by_one(problem: &Problem, order: &[usize], costs: impl Fn(usize) -> Vec<f64>) -> Vec<usize> {
    let mut decided: Vec<Option<usize>> = vec![None; problem.tables()];
    for &table in order {
        let mut costs = costs(table);
        for edge in problem.around(table) {
            let other = edge.other(table);
            for (option, cost) in costs.iter_mut().enumerate() {
                *cost += match decided[other] {
                    Some(decided) => problem.together(edge, table, option, decided),
                    None => (0..problem.options(other))
                        .map(|beside| problem.together(edge, table, option, beside))
                        .fold(f64::INFINITY, f64::min),
                };
            }
        }
        decided[table] = Some(first_least(&costs));
    }
    decided.into_iter().map(Option::unwrap_or_default).collect()
}

/// The same by costs that were moved to where they count.
fn in_moved(problem: &Problem, moved: &Moved, order: &[usize]) -> Vec<usize> {
    let mut decided: Vec<Option<usize>> = vec![None; problem.tables()];
    for &table in order {
        let mut costs = moved.costs[table].clone();
        for at in problem.incident(table) {
            let edge = &problem.edges()[*at];
            let Some(other) = decided[edge.other(table)] else { continue };
            let columns = problem.options(edge.b);
            for (option, cost) in costs.iter_mut().enumerate() {
                let (row, column) = if table == edge.a { (option, other) } else { (other, option) };
                *cost += moved.pairs[*at][row * columns + column];
            }
        }
        decided[table] = Some(first_least(&costs));
    }
    decided.into_iter().map(Option::unwrap_or_default).collect()
}

/// Changes one table at a time as long as that helps.
fn bettered(problem: &Problem, mut assignment: Vec<usize>) -> Vec<usize> {
    for _ in 0..ROUNDS {
        let mut changed = false;
        for table in 0..problem.tables() {
            let costs: Vec<f64> = (0..problem.options(table))
                .map(|option| problem.beside(&assignment, table, option))
                .collect();
            let best = first_least(&costs);
            if costs[best] < costs[assignment[table]] {
                assignment[table] = best;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    assignment
}

/// The place of the least value, the first of equals.
fn first_least(values: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value < values[best] {
            best = at;
        }
    }
    best
}
