//! The problem: tables with priced options, and gains of two options.
//!
//! Not here: how it is solved. Invariants: every table has an option; costs
//! and gains are finite; a pair of tables has one matrix, of the lower table
//! by the higher one.

use std::collections::BTreeMap;

/// Gains of the options of two tables, as costs: a gain is negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    pub a: usize,
    /// Greater than `a`.
    pub b: usize,
    /// One row an option of `a`, one column an option of `b`.
    pub values: Vec<f64>,
}

impl Edge {
    /// The other table.
    pub const fn other(&self, table: usize) -> usize {
        if self.a == table { self.b } else { self.a }
    }

    /// The value for an option of `table` and one of the other table.
    pub fn value(&self, table: usize, option: usize, other: usize, columns: usize) -> f64 {
        if table == self.a {
            self.values[option * columns + other]
        } else {
            self.values[other * columns + option]
        }
    }
}

/// Tables, the costs of their options, and what two of them gain together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problem {
    costs: Vec<Vec<f64>>,
    edges: Vec<Edge>,
    /// Edges of each table.
    incident: Vec<Vec<usize>>,
    places: BTreeMap<(usize, usize), usize>,
}

impl Problem {
    /// Tables by the costs of their options, without gains. What is not
    /// finite is taken as dear.
    pub fn new(mut costs: Vec<Vec<f64>>) -> Self {
        for costs in &mut costs {
            if costs.is_empty() {
                costs.push(0.0);
            }
            for cost in costs.iter_mut().filter(|cost| !cost.is_finite()) {
                *cost = DEAR;
            }
        }
        let incident = vec![Vec::new(); costs.len()];
        Self { costs, edges: Vec::new(), incident, places: BTreeMap::new() }
    }

    /// Adds what an option of one table and an option of another gain
    /// together. A table gains nothing with itself.
    pub fn add_gain(&mut self, one: (usize, usize), other: (usize, usize), gain: f64) {
        self.add_cost(one, other, -gain);
    }

    /// The same as a cost.
    pub fn add_cost(&mut self, one: (usize, usize), other: (usize, usize), cost: f64) {
        if one.0 == other.0 || cost == 0.0 || !cost.is_finite() {
            return;
        }
        let (low, high) = if one.0 < other.0 { (one, other) } else { (other, one) };
        let columns = self.costs[high.0].len();
        let at = *self.places.entry((low.0, high.0)).or_insert_with(|| {
            let values = vec![0.0; self.costs[low.0].len() * columns];
            self.edges.push(Edge { a: low.0, b: high.0, values });
            self.incident[low.0].push(self.edges.len() - 1);
            self.incident[high.0].push(self.edges.len() - 1);
            self.edges.len() - 1
        });
        self.edges[at].values[low.1 * columns + high.1] += cost;
    }

    pub const fn tables(&self) -> usize {
        self.costs.len()
    }

    pub fn options(&self, table: usize) -> usize {
        self.costs[table].len()
    }

    pub fn costs(&self, table: usize) -> &[f64] {
        &self.costs[table]
    }

    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges of a table.
    pub fn around(&self, table: usize) -> impl Iterator<Item = &Edge> + Clone {
        self.incident[table].iter().map(|edge| &self.edges[*edge])
    }

    /// Places of the edges of a table.
    pub fn incident(&self, table: usize) -> &[usize] {
        &self.incident[table]
    }

    /// The value of an edge for two options, whichever table is the lower.
    pub fn together(&self, edge: &Edge, table: usize, option: usize, other: usize) -> f64 {
        edge.value(table, option, other, self.options(edge.b))
    }

    /// The sum of an assignment: one option a table.
    pub fn cost(&self, assignment: &[usize]) -> f64 {
        let alone: f64 = self.costs.iter().zip(assignment).map(|(costs, option)| costs[*option]).sum();
        let together: f64 = self
            .edges
            .iter()
            .map(|edge| self.together(edge, edge.a, assignment[edge.a], assignment[edge.b]))
            .sum();
        alone + together
    }

    /// What an option of a table costs beside the options of its neighbours.
    pub fn beside(&self, assignment: &[usize], table: usize, option: usize) -> f64 {
        let around = self.around(table);
        let together: f64 =
            around.map(|edge| self.together(edge, table, option, assignment[edge.other(table)])).sum();
        self.costs[table][option] + together
    }

    /// What is left for `tables` (ascending) and their `allowed` options
    /// where every other table has one option left; the second is what those
    /// cost among themselves.
    pub fn restricted(&self, tables: &[usize], allowed: &[Vec<usize>]) -> (Self, f64) {
        let mut place = vec![None; self.tables()];
        for (at, table) in tables.iter().enumerate() {
            place[*table] = Some(at);
        }
        let left = |table: usize| allowed[table].iter().map(move |option| self.costs[table][*option]);
        let mut found = Self::new(tables.iter().map(|table| left(*table).collect()).collect());
        let mut settled: f64 =
            (0..self.tables()).filter(|table| place[*table].is_none()).flat_map(|t| left(t).take(1)).sum();
        for edge in &self.edges {
            match (place[edge.a], place[edge.b]) {
                (None, None) => {
                    settled += self.together(edge, edge.a, allowed[edge.a][0], allowed[edge.b][0]);
                }
                (Some(at), None) | (None, Some(at)) => {
                    let (table, other) =
                        if place[edge.a].is_some() { (edge.a, edge.b) } else { (edge.b, edge.a) };
                    for (option, cost) in allowed[table].iter().zip(&mut found.costs[at]) {
                        *cost += self.together(edge, table, *option, allowed[other][0]);
                    }
                }
                (Some(a), Some(b)) => {
                    for (i, left) in allowed[edge.a].iter().enumerate() {
                        for (j, right) in allowed[edge.b].iter().enumerate() {
                            found.add_cost((a, i), (b, j), self.together(edge, edge.a, *left, *right));
                        }
                    }
                }
            }
        }
        (found, settled)
    }
}

/// The cost of what has none.
const DEAR: f64 = 1e100;
