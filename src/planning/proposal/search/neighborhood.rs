//! Large neighbourhoods: some tables are set free, and branch and bound looks
//! for better options of these beside the others as they are.
//!
//! As in Horticulture (Pavlo, Curino and Zdonik, SIGMOD 2012) a quarter of
//! the tables is free at first, and more where that finds nothing. Rounds are
//! batches of a fixed size, whose results are compared in order, so that the
//! answer depends on the seed alone and not on the threads. Invariant: the
//! answer costs no more than the start.

use rayon::iter::IntoParallelIterator;
use rayon::iter::ParallelIterator;

use crate::model::sample::random::Random;
use crate::planning::proposal::search::Effort;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::branch::SLACK;
use crate::planning::proposal::search::branch::branch;
use crate::planning::proposal::search::problem::Problem;

/// Neighbourhoods that are searched at a time.
const BATCH: u64 = 8;
/// Shares of the tables that are set free, and how much more a fruitless
/// round frees.
const SHARE_LEAST: f64 = 0.25;
const SHARE_MOST: f64 = 0.5;
const SHARE_STEP: f64 = 0.05;
const FREE_LEAST: usize = 5;
/// Nodes of one neighbourhood.
const NODES: u64 = 4000;
/// Rounds of ascent before one is searched.
const ROUNDS: usize = 15;
/// Fruitless rounds with most tables free after which no more is expected.
const FRUITLESS: u32 = 6;

/// The best found from `start`, with its cost and the nodes it took.
/// `bound`: what is known to be a lower bound.
pub fn improve(
    problem: &Problem,
    start: Vec<usize>,
    bound: f64,
    effort: &Effort,
    stop: Stop<'_>,
) -> Result<(Vec<usize>, f64, u64), Interrupted> {
    let mut cost = problem.cost(&start);
    let mut best = start;
    let (mut share, mut fruitless, mut nodes, mut round) = (SHARE_LEAST, 0, 0_u64, 0_u64);
    while nodes < effort.nodes_max && fruitless < FRUITLESS && cost - bound > SLACK * cost.abs() {
        let free = ((problem.tables() as f64 * share).ceil() as usize).max(FREE_LEAST);
        let found: Result<Vec<_>, Interrupted> = (0..BATCH)
            .into_par_iter()
            .map(|number| {
                let mut random = Random::new(effort.seed ^ (round * BATCH + number).wrapping_mul(SPREAD));
                let tables = neighborhood(problem, free, number, &mut random);
                searched(problem, &best, cost, &tables, stop)
            })
            .collect();
        let mut better: Option<(Vec<usize>, f64)> = None;
        for (candidate, looked_at) in found? {
            nodes += looked_at;
            let least = better.as_ref().map_or(cost - SLACK * cost.abs(), |better| better.1);
            if let Some(candidate) = candidate.filter(|candidate| candidate.1 < least) {
                better = Some(candidate);
            }
        }
        round += 1;
        match better {
            Some(found) => {
                (best, cost) = found;
                (share, fruitless) = (SHARE_LEAST, 0);
            }
            None if share < SHARE_MOST => share = (share + SHARE_STEP).min(SHARE_MOST),
            None => fruitless += 1,
        }
    }
    Ok((best, cost, nodes))
}

/// An odd number without pattern, so that the seeds of a batch lie apart.
const SPREAD: u64 = 0xD134_2543_DE82_EF95;

/// The tables to free: of a batch, every other one anywhere, the rest near
/// each other, where options depend on each other.
fn neighborhood(problem: &Problem, free: usize, number: u64, random: &mut Random) -> Vec<usize> {
    let count = problem.tables();
    let free = free.min(count);
    let mut chosen = vec![false; count];
    let mut taken: Vec<usize> = Vec::with_capacity(free);
    let near = number.is_multiple_of(2);
    while taken.len() < free {
        let mut edge: Vec<usize> = Vec::new();
        if near {
            let around = taken.iter().flat_map(|table| problem.around(*table).map(|edge| edge.other(*table)));
            edge.extend(around.filter(|table| !chosen[*table]));
            edge.sort_unstable();
            edge.dedup();
        }
        if edge.is_empty() {
            edge.extend((0..count).filter(|table| !chosen[*table]));
        }
        let next = edge[random.below(edge.len() as u64) as usize];
        chosen[next] = true;
        taken.push(next);
    }
    taken.sort_unstable();
    taken
}

/// A better assignment with its cost, and the nodes looked at.
type Searched = (Option<(Vec<usize>, f64)>, u64);

/// A better assignment that differs in `tables` only, if one is found, and
/// the nodes looked at.
fn searched(
    problem: &Problem,
    now: &[usize],
    cost: f64,
    tables: &[usize],
    stop: Stop<'_>,
) -> Result<Searched, Interrupted> {
    let mut allowed: Vec<Vec<usize>> = now.iter().map(|option| vec![*option]).collect();
    for table in tables {
        allowed[*table] = (0..problem.options(*table)).collect();
    }
    let (part, settled) = problem.restricted(tables, &allowed);
    let found = branch(&part, ROUNDS, cost - settled, NODES, stop)?;
    let better = found.best.map(|(options, _)| {
        let mut better = now.to_vec();
        for (table, option) in tables.iter().zip(options) {
            better[*table] = option;
        }
        let cost = problem.cost(&better);
        (better, cost)
    });
    Ok((better, found.nodes))
}
