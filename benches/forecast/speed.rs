//! How long a forecast takes: series of 2,000 hourly points.

#![expect(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]

use std::time::Instant;

use pg_presplit::planning::forecast::DAY;
use pg_presplit::planning::forecast::Observation;
use rayon::prelude::*;

use crate::families::FAMILIES;
use crate::families::Noise;
use crate::families::TUNING;
use crate::opponents::METHODS;
use crate::opponents::Method;
use crate::opponents::OURS;
use crate::score::median;

const POINTS: usize = 2000;
const TABLES: usize = 1000;

/// The best of so many rounds is told: others may be using the machine.
const ROUNDS: usize = 5;

pub struct Times {
    /// Milliseconds per series of each method: median and worst.
    methods: Vec<(&'static str, f64, f64)>,
    /// Seconds for all tables.
    tables: f64,
    threads: usize,
}

/// One series of each family, made as long as is asked for.
fn series() -> Vec<Vec<Observation>> {
    let long = |(_, make): &(&str, fn(&mut Noise, &crate::families::Set) -> crate::families::Sample)| {
        let sample = make(&mut Noise(7), &TUNING);
        let hour = DAY / 24;
        let (first, last) = (sample.truth[0], sample.truth[sample.truth.len() - 1]);
        let again = (1..).flat_map(|round: i64| {
            let sample = &sample.truth;
            let shift = round * (last.at - first.at + hour);
            sample.iter().map(move |point| Observation {
                at: point.at + shift,
                value: point.value + round as f64 * (last.value - first.value),
            })
        });
        sample.truth.iter().copied().chain(again).take(POINTS).collect()
    };
    FAMILIES.iter().map(long).collect()
}

fn millis(method: &Method, series: &[Observation]) -> f64 {
    let times = (0..5).map(|_| {
        let started = Instant::now();
        std::hint::black_box((method.run)(std::hint::black_box(series), 30 * DAY, 90));
        started.elapsed().as_secs_f64() * 1e3
    });
    median(times.collect())
}

pub fn measure() -> Times {
    let series = series();
    let methods = METHODS.iter().map(|method| {
        let times: Vec<f64> = series.iter().map(|series| millis(method, series)).collect();
        (method.name, median(times.clone()), times.iter().copied().fold(0.0, f64::max))
    });
    let methods = methods.collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let all = || {
        let started = Instant::now();
        pool.install(|| {
            (0..TABLES).into_par_iter().for_each(|table| {
                std::hint::black_box((OURS.run)(&series[table % series.len()], 30 * DAY, 90));
            });
        });
        started.elapsed().as_secs_f64()
    };
    let tables = (0..ROUNDS).map(|_| all()).fold(f64::INFINITY, f64::min);
    Times { methods, tables, threads: pool.current_num_threads() }
}

impl Times {
    pub fn text(&self) -> String {
        let of = |(name, median, worst): &(&str, f64, f64)| format!("| {name} | {median:.2} | {worst:.2} |");
        let methods: Vec<String> = self.methods.iter().map(of).collect();
        format!(
            "| milliseconds per series of {POINTS} points | median of families | slowest family |\n|---|--:|--:|\n{}\n\n\
             {TABLES} tables of {POINTS} points on {} threads, best of {ROUNDS} rounds: {:.2} s (target ≤ 2 s; per series ≤ 5 ms).",
            methods.join("\n"),
            self.threads,
            self.tables
        )
    }
}
