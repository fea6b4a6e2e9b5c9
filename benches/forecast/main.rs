//! How good the forecaster is: scores as Markdown, reproducible to the digit.
//!
//! `make bench-forecast` sets everything up and runs this; by hand it is
//! `cargo bench --no-default-features --bench forecast -- [FAMILY ...]`, with
//! `--series N` for N series of each family instead of 40. Only the times
//! differ from run to run. `docs/forecast.md` keeps the output.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

mod families;
mod opponents;
mod real;
mod report;
mod score;
mod speed;

use pg_presplit::planning::forecast::DAY;
use rayon::prelude::*;

use crate::families::AHEAD;
use crate::families::FAMILIES;
use crate::families::HELD_OUT;
use crate::families::Noise;
use crate::families::PAST;
use crate::families::Set;
use crate::families::TUNING;
use crate::opponents::METHODS;
use crate::score::Case;
use crate::score::Outcome;

/// Days of history, and of the horizon with the points on the way.
const HISTORIES: [i64; 4] = [1, 3, 14, 56];
const HORIZONS: [(i64, usize); 2] = [(7, 84), (AHEAD as i64, 90)];

/// One method on one case.
pub struct Scored {
    pub family: &'static str,
    pub history: i64,
    pub horizon: i64,
    pub method: &'static str,
    pub outcome: Outcome,
}

fn main() {
    let (mut wanted, mut count) = (Vec::new(), 40);
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--series" => count = arguments.next().unwrap().parse().unwrap(),
            _ => wanted.push(argument),
        }
    }
    println!("### Generated series\n");
    println!(
        "{count} series of each of {} families, hourly readings. Errors are the mean distance over the way to the \
         horizon in units of the typical change over such a time: median / mean of errors cut off at 3.\n",
        FAMILIES.len()
    );
    let sets = [&TUNING, &HELD_OUT].map(|set| (set.name, generated(set, count, &wanted)));
    for (name, scored) in &sets {
        report::errors(name, scored);
    }
    for (name, scored) in &sets {
        report::intervals(name, scored);
    }
    for (name, scored) in &sets {
        report::families(name, scored);
    }
    let real = real_series(&wanted);
    report::real(&real);
    let times = speed::measure();
    report::targets(&sets, &real, &times);
}

/// All methods on all histories of a set.
fn generated(set: &Set, count: u64, wanted: &[String]) -> Vec<Scored> {
    let families = FAMILIES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name));
    let jobs: Vec<_> = families.flat_map(|family| (0..count).map(move |seed| (family, seed))).collect();
    let scored = jobs.par_iter().flat_map_iter(|((family, make), number)| {
        let sample = make(&mut Noise((set.seed + number).wrapping_mul(0x5851_F42D_4C95_7F2D)), set);
        HISTORIES.into_iter().flat_map(move |history| {
            let case = |(horizon, points): (i64, usize)| {
                let origin = PAST * 24;
                Case::new(&sample.observed, &sample.truth, origin, history * DAY, horizon * DAY, points)
            };
            HORIZONS.map(case).into_iter().flat_map(|case| scores(family, history, &case)).collect::<Vec<_>>()
        })
    });
    scored.collect()
}

fn scores(family: &'static str, history: i64, case: &Case) -> Vec<Scored> {
    let score = |method: &opponents::Method| {
        let found = (method.run)(&case.observed, case.horizon, case.came.len());
        let outcome = Outcome::of(case, &found)?;
        Some(Scored { family, history, horizon: case.horizon / DAY, method: method.name, outcome })
    };
    METHODS.iter().filter_map(score).collect()
}

/// The same on real series, as far as their history reaches.
fn real_series(wanted: &[String]) -> Vec<Scored> {
    let mut series = real::series();
    series.retain(|series| wanted.is_empty() || wanted.contains(&series.name));
    let jobs: Vec<_> =
        series.iter().flat_map(|series| series.origins.iter().map(move |at| (series, *at))).collect();
    let scored = jobs.par_iter().flat_map_iter(|(series, origin)| {
        let name: &'static str = series.name.clone().leak();
        let daily = name.starts_with("daily");
        let past = (series.readings[*origin].at - series.readings[0].at) / DAY;
        let from =
            series.readings.partition_point(|point| point.at < series.readings[*origin].at - 100 * DAY);
        let until =
            series.readings.partition_point(|point| point.at <= series.readings[*origin].at + 31 * DAY);
        let truth = &series.readings[from..until];
        HISTORIES.into_iter().filter(move |history| *history <= past && (*history > 1 || !daily)).flat_map(
            move |history| {
                let case = |(horizon, points): (i64, usize)| {
                    let points = if daily { horizon as usize } else { points };
                    Case::new(truth, truth, origin - from, history * DAY, horizon * DAY, points)
                };
                HORIZONS
                    .map(case)
                    .into_iter()
                    .flat_map(|case| scores(name, history, &case))
                    .collect::<Vec<_>>()
            },
        )
    });
    scored.collect()
}
