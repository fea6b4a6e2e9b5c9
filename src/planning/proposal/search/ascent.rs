//! A lower bound, by moving costs between tables and pairs of tables until
//! the cheapest options of all tables agree as far as they will (dual
//! ascent, "MPLP": Globerson and Jaakkola, NIPS 2007).
//!
//! Moving changes no assignment's cost. Invariant: no value of a pair is
//! negative, so the sum of the cheapest options is a lower bound, and it
//! never falls from one round to the next.

use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::problem::Problem;

/// A problem with its costs moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    pub costs: Vec<Vec<f64>>,
    /// In the order of the problem's edges, and laid out as theirs.
    pub pairs: Vec<Vec<f64>>,
}

/// Gain of the bound per round, of its size, below which rounds end.
const PROGRESS: f64 = 1e-7;

impl Moved {
    /// Moves costs for at most `rounds`.
    pub fn of(problem: &Problem, rounds: usize, stop: Stop<'_>) -> Result<Self, Interrupted> {
        let mut moved = Self {
            costs: (0..problem.tables()).map(|table| problem.costs(table).to_vec()).collect(),
            pairs: problem.edges().iter().map(|edge| edge.values.clone()).collect(),
        };
        let mut before = f64::NEG_INFINITY;
        for _ in 0..rounds.max(1) {
            for at in 0..problem.edges().len() {
                if stop() {
                    return Err(Interrupted);
                }
                moved.level(problem, at);
            }
            let bound = moved.bound();
            if bound - before <= PROGRESS * bound.abs() {
                break;
            }
            before = bound;
        }
        Ok(moved)
    }

    /// The sum of the cheapest options.
    pub fn bound(&self) -> f64 {
        self.costs.iter().map(|costs| least(costs)).sum()
    }

    /// Shares all of a pair's costs between its two tables, half each.
    fn level(&mut self, problem: &Problem, at: usize) {
        let edge = &problem.edges()[at];
        let pair = &mut self.pairs[at];
        let columns = problem.options(edge.b);
        let (mut rows, mut cols) =
            (vec![f64::INFINITY; problem.options(edge.a)], vec![f64::INFINITY; columns]);
        for (i, row) in pair.chunks_exact_mut(columns).enumerate() {
            let left = self.costs[edge.a][i];
            for (j, value) in row.iter_mut().enumerate() {
                *value += left + self.costs[edge.b][j];
                rows[i] = rows[i].min(*value);
                cols[j] = cols[j].min(*value);
            }
        }
        rows.iter_mut().chain(&mut cols).for_each(|value| *value /= 2.0);
        for (row, left) in pair.chunks_exact_mut(columns).zip(&rows) {
            for (value, right) in row.iter_mut().zip(&cols) {
                *value = (*value - left - right).max(0.0);
            }
        }
        self.costs[edge.a] = rows;
        self.costs[edge.b] = cols;
    }
}

/// The least value; infinite if there is none.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
