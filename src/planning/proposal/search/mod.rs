//! The least sum of costs over several tables, each with some options, where
//! options of two tables may gain together.
//!
//! ```text
//! problem ─→ reduce ─→ each component: eliminate │ branch │ greedy ─→ neighborhood
//!                                                  └─ ascent (lower bound) ─┘
//! ```
//!
//! Nothing here knows of SQL or shards. Up to ten tables that
//! depend on each other are solved exactly by branch and bound, more of them
//! too where they are connected sparsely (by elimination), the rest by large
//! neighbourhoods, with a lower bound. Invariants: the same problem and seed
//! give the same answer on any number of threads; `cost >= lower_bound`.

mod ascent;
mod branch;
mod eliminate;
mod greedy;
mod neighborhood;
mod problem;
mod reduce;
#[cfg(test)]
mod tests;

use serde::Deserialize;
use serde::Serialize;

use crate::planning::proposal::search::ascent::Moved;
pub use crate::planning::proposal::search::problem::Problem;

/// Asked often; true ends the search.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// The search was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// Rounds of ascent for the bound of a component.
const ROUNDS: usize = 200;

/// How much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    pub seed: u64,
    /// Most tables that depend on each other and are always solved exactly.
    pub exact_tables_max: usize,
    /// Nodes of the large neighbourhoods of a component.
    pub nodes_max: u64,
    /// Nodes of an exact branch and bound; more is not expected to be needed.
    pub nodes_exact_max: u64,
    /// Values that an elimination may look at.
    pub values_max: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            seed: 1,
            exact_tables_max: 10,
            nodes_max: 400_000,
            nodes_exact_max: 20_000_000,
            values_max: 2_000_000,
        }
    }
}

/// How the answer was found; of several components, the least sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// One option of each table was the best whatever the others took.
    Alone,
    Elimination,
    BranchAndBound,
    LargeNeighborhoods,
}

/// An assignment and how good it is known to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// One option a table.
    pub assignment: Vec<usize>,
    pub cost: f64,
    pub lower_bound: f64,
    pub method: Method,
    /// Nodes and values looked at.
    pub nodes: u64,
}

impl Solution {
    /// How far the cost may be from the optimum, relative to the bound.
    pub fn gap(&self) -> f64 {
        let apart = (self.cost - self.lower_bound).max(0.0);
        if apart <= 0.0 { 0.0 } else { apart / self.lower_bound.abs().max(f64::MIN_POSITIVE) }
    }
}

/// Solves a problem.
///
/// # Errors
/// [`Interrupted`] if `stop` said so.
pub fn solve(problem: &Problem, effort: &Effort, stop: Stop<'_>) -> Result<Solution, Interrupted> {
    let mut allowed = reduce::undominated(problem, stop)?;
    let mut found =
        Solution { assignment: Vec::new(), cost: 0.0, lower_bound: 0.0, method: Method::Alone, nodes: 0 };
    let mut slack = 0.0;
    for tables in reduce::components(problem, &allowed) {
        // Options of other components are not asked for: no edge leads there.
        let mut here = allowed.clone();
        for (table, left) in here.iter_mut().enumerate() {
            if tables.binary_search(&table).is_err() {
                left.truncate(1);
            }
        }
        let (part, _) = problem.restricted(&tables, &here);
        let solved = component(&part, effort, stop)?;
        found.method = found.method.max(solved.method);
        found.nodes += solved.nodes;
        slack += (solved.cost - solved.lower_bound).max(0.0);
        for (table, option) in tables.iter().zip(&solved.assignment) {
            allowed[*table] = vec![allowed[*table][*option]];
        }
    }
    found.assignment = allowed.iter().map(|left| left[0]).collect();
    found.cost = problem.cost(&found.assignment);
    found.lower_bound = found.cost - slack;
    Ok(found)
}

/// Solves tables that depend on each other.
fn component(part: &Problem, effort: &Effort, stop: Stop<'_>) -> Result<Solution, Interrupted> {
    if let Some((assignment, nodes)) = eliminate::eliminate(part, effort.values_max, stop)? {
        let cost = part.cost(&assignment);
        return Ok(Solution { assignment, cost, lower_bound: cost, method: Method::Elimination, nodes });
    }
    let moved = Moved::of(part, ROUNDS, stop)?;
    let start = greedy::best_start(part, &moved, effort.seed, stop)?;
    let cost = part.cost(&start);
    let bound = moved.bound().min(cost);
    if part.tables() <= effort.exact_tables_max {
        let exact = branch::branch(part, ROUNDS, cost, effort.nodes_exact_max, stop)?;
        let (assignment, cost) = exact.best.unwrap_or((start, cost));
        let lower_bound = if exact.complete { cost } else { bound.min(cost) };
        let (method, nodes) = (Method::BranchAndBound, exact.nodes);
        return Ok(Solution { assignment, cost, lower_bound, method, nodes });
    }
    let (assignment, cost, nodes) = neighborhood::improve(part, start, bound, effort, stop)?;
    let lower_bound = bound.min(cost);
    Ok(Solution { assignment, cost, lower_bound, method: Method::LargeNeighborhoods, nodes })
}
