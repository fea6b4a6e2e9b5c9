//! Depth-first branch and bound.
//!
//! The bound of a node is exact for the tables decided and takes the cheapest
//! option of every other, with costs moved beforehand (`ascent`). Where those
//! options agree with each other the bound is reached and the node is done.
//! Invariant: no assignment that is better than the answer by more than
//! `SLACK` is passed over, unless the nodes ran out.

use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::ascent::Moved;
use crate::planning::proposal::search::ascent::least;
use crate::planning::proposal::search::problem::Problem;

/// Relative difference that counts as none.
pub const SLACK: f64 = 1e-9;

/// Nodes between two looks at whether to stop.
const STRIDE: u64 = 64;

/// What a search of a subtree found.
#[derive(Debug, Clone, PartialEq)]
pub struct Branched {
    /// The best assignment with its cost, if one is better than the limit.
    pub best: Option<(Vec<usize>, f64)>,
    pub nodes: u64,
    /// Whether nothing was left out for want of nodes.
    pub complete: bool,
}

/// Looks for an assignment cheaper than `limit`, within `nodes_max`.
pub fn branch(
    problem: &Problem,
    rounds: usize,
    limit: f64,
    nodes_max: u64,
    stop: Stop<'_>,
) -> Result<Branched, Interrupted> {
    let moved = Moved::of(problem, rounds, stop)?;
    let lists = (0..problem.tables()).map(|table| moved.costs[table].clone()).collect();
    let mut tree = Tree {
        problem,
        pairs: &moved.pairs,
        costs: lists,
        decided: vec![None; problem.tables()],
        limit,
        best: None,
        nodes: 0,
        nodes_max,
        stop,
    };
    let complete = tree.descend(0.0)?;
    Ok(Branched { best: tree.best.map(|best| (best, tree.limit)), nodes: tree.nodes, complete })
}

struct Tree<'a> {
    problem: &'a Problem,
    pairs: &'a [Vec<f64>],
    /// Costs of the options beside the tables decided.
    costs: Vec<Vec<f64>>,
    decided: Vec<Option<usize>>,
    /// Cost of the best so far.
    limit: f64,
    best: Option<Vec<usize>>,
    nodes: u64,
    nodes_max: u64,
    stop: Stop<'a>,
}

impl Tree<'_> {
    /// Whether a node with this bound can hold something better.
    fn promises(&self, bound: f64) -> bool {
        bound < self.limit - SLACK * self.limit.abs()
    }

    /// Searches below the tables decided, which cost `settled`; whether all
    /// of it was searched.
    fn descend(&mut self, settled: f64) -> Result<bool, Interrupted> {
        if self.nodes.is_multiple_of(STRIDE) && (self.stop)() {
            return Err(Interrupted);
        }
        if self.nodes >= self.nodes_max {
            return Ok(false);
        }
        self.nodes += 1;
        let open = || (0..self.decided.len()).filter(|table| self.decided[*table].is_none());
        let rest: f64 = open().map(|table| least(&self.costs[table])).sum();
        if !self.promises(settled + rest) {
            return Ok(true);
        }
        let cheapest = self.cheapest();
        if self.agree(&cheapest) {
            self.take(cheapest);
            return Ok(true);
        }
        // The table whose second choice costs most: fewest branches survive.
        let regret = |table: usize| {
            let others = self.costs[table].iter().enumerate().filter(|(at, _)| *at != cheapest[table]);
            let second = others.map(|(_, cost)| *cost).fold(f64::INFINITY, f64::min);
            second - self.costs[table][cheapest[table]]
        };
        let mut next: Option<(usize, f64)> = None;
        for table in open() {
            let found = regret(table);
            if next.is_none_or(|(_, most)| found > most) {
                next = Some((table, found));
            }
        }
        let Some((table, _)) = next else { return Ok(true) };
        self.branch_on(table, settled, rest - least(&self.costs[table]))
    }

    fn branch_on(&mut self, table: usize, settled: f64, rest: f64) -> Result<bool, Interrupted> {
        let costs = self.costs[table].clone();
        let mut order: Vec<usize> = (0..costs.len()).collect();
        order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]).then(a.cmp(b)));
        let mut complete = true;
        for option in order {
            if !self.promises(settled + costs[option] + rest) {
                break;
            }
            let kept = self.decide(table, option);
            complete &= self.descend(settled + costs[option])?;
            self.decided[table] = None;
            for (other, costs) in kept {
                self.costs[other] = costs;
            }
            if !complete {
                break;
            }
        }
        Ok(complete)
    }

    /// Decides a table; the costs of its neighbours before.
    fn decide(&mut self, table: usize, option: usize) -> Vec<(usize, Vec<f64>)> {
        self.decided[table] = Some(option);
        let mut kept = Vec::new();
        for at in self.problem.incident(table) {
            let edge = &self.problem.edges()[*at];
            let other = edge.other(table);
            if self.decided[other].is_some() {
                continue;
            }
            kept.push((other, self.costs[other].clone()));
            for neighbour in 0..self.costs[other].len() {
                self.costs[other][neighbour] += self.moved(*at, table, option, neighbour);
            }
        }
        kept
    }

    fn moved(&self, at: usize, table: usize, option: usize, other: usize) -> f64 {
        let edge = &self.problem.edges()[at];
        let columns = self.problem.options(edge.b);
        let (row, column) = if table == edge.a { (option, other) } else { (other, option) };
        self.pairs[at][row * columns + column]
    }

    /// What is decided, and the cheapest option of every other table.
    fn cheapest(&self) -> Vec<usize> {
        let first = |costs: &Vec<f64>| {
            let mut best = 0;
            for (at, cost) in costs.iter().enumerate() {
                if *cost < costs[best] {
                    best = at;
                }
            }
            best
        };
        self.decided
            .iter()
            .zip(&self.costs)
            .map(|(decided, costs)| decided.unwrap_or_else(|| first(costs)))
            .collect()
    }

    /// Whether the undecided tables' options cost nothing together, so that
    /// the bound is reached.
    fn agree(&self, options: &[usize]) -> bool {
        let open = |table: usize| self.decided[table].is_none();
        let slack = SLACK * self.limit.abs() / self.pairs.len().max(1) as f64;
        self.problem.edges().iter().enumerate().all(|(at, edge)| {
            !open(edge.a)
                || !open(edge.b)
                || self.moved(at, edge.a, options[edge.a], options[edge.b]) <= slack
        })
    }

    fn take(&mut self, options: Vec<usize>) {
        let cost = self.problem.cost(&options);
        if cost < self.limit {
            self.limit = cost;
            self.best = Some(options);
        }
    }
}
