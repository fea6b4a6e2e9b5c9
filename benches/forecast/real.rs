//! Real series: sums of what was counted by the hour or the day.
//!
//! `benches/forecast/fetch.py` has put them into the cache; where they are
//! absent the benchmark says so and goes on. Each series is forecast from
//! several origins, at least a week apart.

use std::fs;
use std::path::PathBuf;

use pg_presplit::planning::forecast::DAY;
use pg_presplit::planning::forecast::Observation;

use crate::families::AHEAD;
use crate::families::PAST;

/// Most origins of one series.
const ORIGINS_MAX: usize = 12;

pub struct RealSeries {
    pub name: String,
    pub readings: Vec<Observation>,
    /// Positions of the origins.
    pub origins: Vec<usize>,
}

/// All series in order of their names; empty where they were not fetched.
pub fn series() -> Vec<RealSeries> {
    let Ok(folder) = fs::read_dir(folder()) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = folder.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(read).collect()
}

fn folder() -> PathBuf {
    let cache = std::env::var("PRESPLIT_CACHE").unwrap_or_else(|_| "/var/cache/pg_presplit".to_owned());
    PathBuf::from(cache).join("data/series")
}

fn read(path: &PathBuf) -> Option<RealSeries> {
    let name = path.file_name()?.to_str()?.strip_suffix(".csv")?.to_owned();
    let text = fs::read_to_string(path).ok()?;
    let readings: Vec<Observation> = text
        .lines()
        .skip(1)
        .map(|line| {
            let (at, value) = line.split_once(',').unwrap();
            Observation { at: at.parse::<i64>().unwrap() * 1_000_000, value: value.parse().unwrap() }
        })
        .collect();
    let origins = origins(&readings);
    Some(RealSeries { name, readings, origins })
}

/// Evenly spread, with as much past as there is, at least a fortnight.
fn origins(readings: &[Observation]) -> Vec<usize> {
    let (first, last) = (readings[0].at, readings[readings.len() - 1].at);
    let latest = last - AHEAD as i64 * DAY;
    let past = (PAST as i64 * DAY).min(latest - first);
    let earliest = first + past.max(14 * DAY);
    let room = latest - earliest;
    if room < 0 {
        return Vec::new();
    }
    let count = ((room / (7 * DAY)) as usize + 1).min(ORIGINS_MAX);
    let origin = |number: usize| earliest + room * number as i64 / (count as i64 - 1).max(1);
    (0..count).map(|number| readings.partition_point(|point| point.at < origin(number))).collect()
}
