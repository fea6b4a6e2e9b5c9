//! Exact by variable elimination: one table after the other is replaced by a
//! function of its neighbours.
//!
//! What it takes grows with the options to the power of the neighbours left,
//! so it suits tables that are joined sparsely, whatever their number, as
//! those of most schemas are. Invariant: an answer is an optimum.

use std::collections::BTreeSet;

use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Stop;
use crate::planning::proposal::search::problem::Problem;

/// A function of the options of some tables.
struct Factor {
    /// Ascending.
    tables: Vec<usize>,
    /// The last table's options change fastest.
    values: Vec<f64>,
}

impl Factor {
    /// How far apart the values of neighbouring options of a table lie; 0 if
    /// it is no function of that table.
    fn stride(&self, problem: &Problem, table: usize) -> usize {
        let Ok(at) = self.tables.binary_search(&table) else { return 0 };
        self.tables[at + 1..].iter().map(|later| problem.options(*later)).product()
    }
}

/// One table and the tables that its best option then depends on.
struct Step {
    table: usize,
    scope: Vec<usize>,
}

/// Steps between two looks at whether to stop.
const STRIDE: usize = 4096;

/// An optimum and the number of values looked at; `None` if that were more
/// than `values_max`.
pub fn eliminate(
    problem: &Problem,
    values_max: u64,
    stop: Stop<'_>,
) -> Result<Option<(Vec<usize>, u64)>, Interrupted> {
    let Some((steps, looked_at)) = plan(problem, values_max) else { return Ok(None) };
    let mut factors: Vec<Factor> = problem
        .edges()
        .iter()
        .map(|edge| Factor { tables: vec![edge.a, edge.b], values: edge.values.clone() })
        .collect();
    let mut buckets = Vec::with_capacity(steps.len());
    for step in &steps {
        let (bucket, rest): (Vec<_>, Vec<_>) =
            factors.into_iter().partition(|factor| factor.tables.contains(&step.table));
        factors = rest;
        let values = minimised(problem, step, &bucket, stop)?;
        factors.push(Factor { tables: step.scope.clone(), values });
        buckets.push(bucket);
    }
    let mut assignment = vec![0; problem.tables()];
    for (step, bucket) in steps.iter().zip(&buckets).rev() {
        let base = |factor: &Factor| -> usize {
            step.scope.iter().map(|table| factor.stride(problem, *table) * assignment[*table]).sum()
        };
        let bases: Vec<(usize, usize)> =
            bucket.iter().map(|factor| (base(factor), factor.stride(problem, step.table))).collect();
        assignment[step.table] = cheapest(problem, step.table, bucket, &bases).0;
    }
    Ok(Some((assignment, looked_at)))
}

/// The order of elimination, the table that makes the smallest function
/// first.
fn plan(problem: &Problem, values_max: u64) -> Option<(Vec<Step>, u64)> {
    let mut around: Vec<BTreeSet<usize>> = (0..problem.tables())
        .map(|table| problem.around(table).map(|edge| edge.other(table)).collect())
        .collect();
    let mut left: BTreeSet<usize> = (0..problem.tables()).collect();
    let mut steps = Vec::with_capacity(problem.tables());
    let mut total: u64 = 0;
    while !left.is_empty() {
        let size = |table: &usize| -> u64 {
            let scope = around[*table].iter().chain([table]);
            scope.fold(1, |size: u64, other| size.saturating_mul(problem.options(*other) as u64))
        };
        let table = left.iter().copied().min_by_key(|table| (size(table), *table))?;
        total = total.saturating_add(size(&table));
        if total > values_max {
            return None;
        }
        left.remove(&table);
        let scope: Vec<usize> = std::mem::take(&mut around[table]).into_iter().collect();
        for one in &scope {
            around[*one].remove(&table);
            around[*one].extend(scope.iter().copied().filter(|other| other != one));
        }
        steps.push(Step { table, scope });
    }
    Some((steps, total))
}

/// The least cost of the step's table and its bucket for every assignment of
/// the scope.
fn minimised(
    problem: &Problem,
    step: &Step,
    bucket: &[Factor],
    stop: Stop<'_>,
) -> Result<Vec<f64>, Interrupted> {
    let sizes: Vec<usize> = step.scope.iter().map(|table| problem.options(*table)).collect();
    let strides: Vec<Vec<usize>> = bucket
        .iter()
        .map(|factor| step.scope.iter().map(|table| factor.stride(problem, *table)).collect())
        .collect();
    let mut bases: Vec<(usize, usize)> =
        bucket.iter().map(|factor| (0, factor.stride(problem, step.table))).collect();
    let mut digits = vec![0; step.scope.len()];
    let mut values = Vec::with_capacity(sizes.iter().product());
    loop {
        if values.len() % STRIDE == 0 && stop() {
            return Err(Interrupted);
        }
        values.push(cheapest(problem, step.table, bucket, &bases).1);
        // Counts up, the last digit fastest.
        let Some(at) = (0..digits.len()).rev().find(|at| digits[*at] + 1 < sizes[*at]) else {
            return Ok(values);
        };
        digits[at] += 1;
        digits[at + 1..].fill(0);
        for (base, strides) in bases.iter_mut().zip(&strides) {
            base.0 = digits.iter().zip(strides).map(|(digit, stride)| digit * stride).sum();
        }
    }
}

/// The cheapest option of a table beside a bucket at certain places, and
/// what it costs; the lower option of two that cost the same.
fn cheapest(problem: &Problem, table: usize, bucket: &[Factor], bases: &[(usize, usize)]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (option, alone) in problem.costs(table).iter().enumerate() {
        let together: f64 = bucket
            .iter()
            .zip(bases)
            .map(|(factor, (base, stride))| factor.values[base + option * stride])
            .sum();
        if alone + together < best.1 {
            best = (option, alone + together);
        }
    }
    best
}
