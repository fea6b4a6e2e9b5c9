//! The search against brute force and against itself.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use rayon::ThreadPoolBuilder;

use crate::model::sample::random::Random;
use crate::planning::proposal::search::Effort;
use crate::planning::proposal::search::Interrupted;
use crate::planning::proposal::search::Method;
use crate::planning::proposal::search::Problem;
use crate::planning::proposal::search::Solution;
use crate::planning::proposal::search::ascent::Moved;
use crate::planning::proposal::search::solve;

const GO: &(dyn Fn() -> bool + Sync) = &|| false;

/// Tables joined at random: each with a few keys, each key in some sizes; a
/// join gains where both sides have its key and the same size. One pair in
/// `sparsity` is joined, beside a tree.
fn schema(seed: u64, tables: usize, keys: usize, sizes: usize, sparsity: u64) -> Problem {
    let mut random = Random::new(seed);
    let options = 1 + keys * sizes;
    let scale: Vec<f64> = (0..tables).map(|_| 10_f64.powf(random.unit() * 3.0)).collect();
    let costs = scale.iter().map(|scale| (0..options).map(|_| scale * (0.3 + random.unit())).collect());
    let mut problem = Problem::new(costs.collect());
    for a in 1..tables {
        let parent = random.below(a as u64) as usize;
        for b in 0..a {
            if b != parent && random.below(sparsity) != 0 {
                continue;
            }
            let (left, right) = (random.below(keys as u64) as usize, random.below(keys as u64) as usize);
            let gain = random.unit() * scale[a].min(scale[b]);
            for size in 0..sizes {
                problem.add_gain((a, 1 + left * sizes + size), (b, 1 + right * sizes + size), gain);
            }
        }
    }
    problem
}

/// Every pair of options gains something at random: as hard as it gets.
fn dense(seed: u64, tables: usize, options: usize) -> Problem {
    let mut random = Random::new(seed);
    let costs = (0..tables).map(|_| (0..options).map(|_| random.unit()).collect());
    let mut problem = Problem::new(costs.collect());
    for a in 0..tables {
        for b in 0..a {
            for i in 0..options {
                for j in 0..options {
                    problem.add_gain((a, i), (b, j), random.unit());
                }
            }
        }
    }
    problem
}

fn brute_force(problem: &Problem) -> f64 {
    let mut assignment = vec![0; problem.tables()];
    let mut best = f64::INFINITY;
    loop {
        best = best.min(problem.cost(&assignment));
        let next = (0..assignment.len()).find(|table| assignment[*table] + 1 < problem.options(*table));
        let Some(next) = next else { return best };
        assignment[next] += 1;
        assignment[..next].fill(0);
    }
}

/// Only branch and bound, only large neighbourhoods.
fn efforts() -> [Effort; 3] {
    let branch = Effort { values_max: 0, ..Effort::default() };
    [Effort::default(), branch, Effort { exact_tables_max: 0, ..branch }]
}

fn checked(problem: &Problem, effort: &Effort) -> Solution {
    let found = solve(problem, effort, GO).unwrap();
    let cost = problem.cost(&found.assignment);
    assert!((found.cost - cost).abs() <= 1e-9 * cost.abs().max(1.0));
    assert!(found.lower_bound <= found.cost);
    found
}

#[test]
fn small_problems_are_solved_exactly() {
    for seed in 0..200 {
        let tables = 1 + seed as usize % 10;
        let keys = if tables > 7 { 2 } else { 3 };
        let problem = match seed % 4 {
            0 => dense(seed, tables, 3),
            sparsity => schema(seed, tables, keys, 1, sparsity),
        };
        let best = brute_force(&problem);
        for effort in efforts() {
            let found = checked(&problem, &effort);
            let regret = (found.cost - best) / best.abs();
            let most = if found.method == Method::LargeNeighborhoods { 0.01 } else { 1e-9 };
            assert!(
                (-1e-9..=most).contains(&regret),
                "{seed}: {} for {best} by {:?}",
                found.cost,
                found.method
            );
            assert!(found.lower_bound <= best + 1e-9 * best.abs(), "{seed}: {found:?} {best}");
        }
        assert!(checked(&problem, &efforts()[1]).gap() < 1e-9, "{seed}");
    }
}

#[test]
fn many_options_of_ten_tables_are_still_exact() {
    for seed in 0..4 {
        let problem = schema(seed, 10, 4, 6, 2);
        let [elimination, branch, _] = efforts();
        let (one, other) = (checked(&problem, &elimination), checked(&problem, &branch));
        assert!((one.cost - other.cost).abs() < 1e-6 * one.cost.abs(), "{one:?} {other:?}");
        assert!(other.gap() < 1e-9 && other.method <= Method::BranchAndBound, "{other:?}");
    }
}

#[test]
fn thirty_tables_come_near_the_optimum() {
    for seed in 0..5 {
        // Sparse enough for elimination to tell the optimum.
        let problem = schema(seed, 30, 3, 4, 40);
        let [exact, _, neighborhoods] = efforts();
        let exact = checked(&problem, &Effort { values_max: 200_000_000, ..exact });
        assert!(exact.method <= Method::Elimination, "{exact:?}");
        let found = checked(&problem, &neighborhoods);
        let regret = (found.cost - exact.cost) / exact.cost.abs();
        assert!((-1e-9..=0.05).contains(&regret), "{seed}: {regret}");
        assert!(found.lower_bound <= exact.cost + 1e-9 * exact.cost.abs());
    }
}

#[test]
fn the_answer_does_not_depend_on_threads() {
    let problem = schema(7, 40, 4, 4, 6);
    let solved: Vec<Solution> = [1, 2, 7]
        .into_iter()
        .map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| checked(&problem, &efforts()[2]))
        })
        .collect();
    assert_eq!(solved[0].method, Method::LargeNeighborhoods);
    assert!(solved.iter().all(|found| *found == solved[0]), "{solved:?}");
}

#[test]
fn the_bound_of_a_tree_is_reached() {
    for seed in 0..20 {
        let problem = schema(seed, 25, 3, 3, u64::MAX);
        let best = checked(&problem, &Effort::default());
        let bound = Moved::of(&problem, 500, GO).unwrap().bound();
        let gap = (best.cost - bound) / best.cost.abs();
        assert!((-1e-9..0.01).contains(&gap), "{seed}: {gap}");
    }
}

#[test]
fn a_search_that_is_told_to_stop_stops() {
    let problem = dense(1, 20, 8);
    for effort in efforts() {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) >= 500;
        assert_eq!(solve(&problem, &effort, &stop), Err(Interrupted));
        // Every thread asks once more at most.
        assert!(asked.load(Ordering::Relaxed) < 600);
    }
}

#[test]
fn odd_problems_have_answers() {
    let empty = checked(&Problem::new(Vec::new()), &Effort::default());
    assert_eq!((empty.assignment, empty.cost, empty.lower_bound), (Vec::new(), 0.0, 0.0));
    let mut odd = Problem::new(vec![vec![f64::NAN, 2.0], Vec::new(), vec![0.0, f64::INFINITY]]);
    odd.add_gain((0, 0), (0, 1), 5.0);
    odd.add_gain((0, 1), (2, 1), f64::NAN);
    let found = checked(&odd, &Effort::default());
    assert_eq!((found.assignment, found.cost, found.method), (vec![1, 0, 0], 2.0, Method::Alone));
    // Of equals, the first.
    let equal = Problem::new(vec![vec![1.0; 4]; 3]);
    assert_eq!(checked(&equal, &Effort::default()).assignment, [0, 0, 0]);
}
