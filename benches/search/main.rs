//! How good and how fast the choice of tables is, as Markdown:
//! `cargo bench --no-default-features --bench search`.
//!
//! Regret is against the optimum of the same problem where that is known: by
//! elimination with as much memory as it takes, or by branch and bound. Only
//! the times differ from run to run.

#![expect(clippy::expect_used, reason = "a benchmark fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

#[path = "../../tests/schemas/mod.rs"]
mod schemas;

use std::time::Instant;

use pg_presplit::model::sample::random::Random;
use pg_presplit::planning::proposal::propose;
use pg_presplit::planning::proposal::search::Effort;
use pg_presplit::planning::proposal::search::Method;
use pg_presplit::planning::proposal::search::Problem;
use pg_presplit::planning::proposal::search::Solution;
use pg_presplit::planning::proposal::search::solve;
use schemas::Schema;

const SEEDS: u64 = 10;

fn main() {
    problems();
    proposals();
}

/// Tables with a few keys in some sizes; about `joins` pairs beside a tree.
fn problem(seed: u64, tables: usize, joins: usize) -> Problem {
    const KEYS: usize = 4;
    const SIZES: usize = 5;
    let mut random = Random::new(seed);
    let scale: Vec<f64> = (0..tables).map(|_| 10_f64.powf(random.unit() * 3.0)).collect();
    let costs = scale.iter().map(|scale| (0..=KEYS * SIZES).map(|_| scale * (0.3 + random.unit())).collect());
    let mut problem = Problem::new(costs.collect());
    let mut join = |a: usize, b: usize, random: &mut Random| {
        let (left, right) = (random.below(KEYS as u64) as usize, random.below(KEYS as u64) as usize);
        let gain = random.unit() * scale[a].min(scale[b]);
        for size in 0..SIZES {
            problem.add_gain((a, 1 + left * SIZES + size), (b, 1 + right * SIZES + size), gain);
        }
    };
    for a in 1..tables {
        let b = random.below(a as u64) as usize;
        join(a, b, &mut random);
    }
    for _ in 0..joins {
        let (a, b) = (random.below(tables as u64) as usize, random.below(tables as u64) as usize);
        if a != b {
            join(a, b, &mut random);
        }
    }
    problem
}

struct Row {
    regret: Option<f64>,
    gap: f64,
    seconds: f64,
}

fn timed(problem: &Problem, effort: &Effort) -> (Solution, f64) {
    let start = Instant::now();
    let found = solve(problem, effort, &|| false).expect("nothing stops it");
    (found, start.elapsed().as_secs_f64())
}

fn problems() {
    println!(
        "| tables | joins | method | mean regret | worst regret | mean gap | worst gap | mean ms | worst ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (tables, joins) in
        [(10, 5), (10, 45), (30, 15), (30, 30), (30, 60), (100, 50), (100, 100), (100, 300)]
    {
        let neighborhoods = Effort { exact_tables_max: 0, values_max: 0, ..Effort::default() };
        let exact = Effort { values_max: 0, ..Effort::default() };
        let mut methods = vec![("as it is", Effort::default()), ("large neighbourhoods", neighborhoods)];
        if tables == 10 {
            methods.push(("branch and bound", exact));
        }
        let optima: Vec<Option<f64>> =
            (0..SEEDS).map(|seed| optimum(&problem(seed, tables, joins))).collect();
        for (name, effort) in methods {
            let rows: Vec<Row> = (0..SEEDS)
                .zip(&optima)
                .map(|(seed, optimum)| {
                    let (found, seconds) = timed(&problem(seed, tables, joins), &effort);
                    let regret = optimum.map(|optimum| ((found.cost - optimum) / optimum.abs()).max(0.0));
                    Row { regret, gap: found.gap(), seconds }
                })
                .collect();
            println!("| {tables} | {} | {name} | {} |", tables - 1 + joins, told(&rows));
        }
    }
    println!();
}

/// The optimum, if it can be had.
fn optimum(problem: &Problem) -> Option<f64> {
    let effort = Effort { values_max: 100_000_000, nodes_max: 0, ..Effort::default() };
    let found = timed(problem, &effort).0;
    (found.method < Method::LargeNeighborhoods && found.gap() < 1e-9).then_some(found.cost)
}

fn told(rows: &[Row]) -> String {
    let percent = |value: f64| format!("{:.2} %", value * 100.0);
    let mean = |value: &dyn Fn(&Row) -> f64| rows.iter().map(value).sum::<f64>() / rows.len() as f64;
    let worst = |value: &dyn Fn(&Row) -> f64| rows.iter().map(value).fold(0.0, f64::max);
    let known: Vec<f64> = rows.iter().filter_map(|row| row.regret).collect();
    let regret = if known.is_empty() {
        "not known | not known".to_owned()
    } else {
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        format!("{} | {}", percent(mean), percent(known.iter().copied().fold(0.0, f64::max)))
    };
    format!(
        "{regret} | {} | {} | {:.1} | {:.1}",
        percent(mean(&|row| row.gap)),
        percent(worst(&|row| row.gap)),
        mean(&|row| row.seconds) * 1000.0,
        worst(&|row| row.seconds) * 1000.0
    )
}

fn proposals() {
    println!("| tables | statements | method | gap | sharded | groups | seconds |");
    println!("|---|---|---|---|---|---|---|");
    for (tables, statements) in [(10, 500), (30, 1500), (100, 5000)] {
        for seed in 0..3 {
            let schema = Schema::generated(seed, tables, statements);
            let start = Instant::now();
            let proposal = propose(&schema.input()).expect("a proposal");
            let seconds = start.elapsed().as_secs_f64();
            let search = proposal.search.as_ref().expect("a search");
            let groups = proposal.relations.iter().filter_map(|one| one.colocation_group).max().unwrap_or(0);
            println!(
                "| {tables} | {statements} | {:?} | {:.3} % | {} | {groups} | {seconds:.2} |",
                search.method,
                search.gap * 100.0,
                proposal.relations.iter().filter(|one| one.layout.is_some()).count(),
            );
        }
    }
}
