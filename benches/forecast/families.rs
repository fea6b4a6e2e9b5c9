//! Generated series: eleven ways in which tables grow, hour by hour.
//!
//! A series is made of hourly inflows and what is taken away again, with the
//! noise of hours and of days, and added up. Everything follows from a seed.
//! There are two sets with different parameters and seeds: the forecaster was
//! built looking at the one, the other was held out.

use pg_presplit::planning::forecast;
use pg_presplit::planning::forecast::Event;
use pg_presplit::planning::forecast::Observation;

pub const HOUR: i64 = 3_600_000_000;

/// Days before the origin and after it.
pub const PAST: usize = 56;
pub const AHEAD: usize = 30;

const HOURS: usize = (PAST + AHEAD) * 24;

/// Repeatable noise (splitmix64, and Box and Muller's normal).
pub struct Noise(pub u64);

impl Noise {
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, (least, most): (f64, f64)) -> f64 {
        least + (most - least) * self.uniform()
    }

    fn chance(&mut self, share: f64) -> bool {
        self.uniform() < share
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Around one, never negative, with this spread.
    fn factor(&mut self, spread: f64) -> f64 {
        (spread * self.normal() - spread * spread / 2.0).exp()
    }
}

/// What the parameters are drawn from.
pub struct Set {
    pub name: &'static str,
    /// First seed.
    pub seed: u64,
    /// Spread of the noise of hours and of days.
    hour_noise: (f64, f64),
    day_noise: (f64, f64),
    /// Swing of the day, share of the weekend.
    swing: (f64, f64),
    weekend: (f64, f64),
    /// Days in which an exponential rate doubles.
    doubling: (f64, f64),
    /// Days over which an S-curve rises.
    rise: (f64, f64),
    /// Factors of a rate that breaks: down or up.
    slower: (f64, f64),
    faster: (f64, f64),
    /// Size of a level shift in days of growth.
    shift: (f64, f64),
    /// Days that are kept where old days are dropped.
    kept: &'static [usize],
    /// Bursts per hour, and the exponent of their size.
    bursts: (f64, f64),
    tail: (f64, f64),
    /// Share of readings that are missing, where readings are missing.
    missing: (f64, f64),
}

pub const TUNING: Set = Set {
    name: "tuning",
    seed: 1,
    hour_noise: (0.1, 0.5),
    day_noise: (0.02, 0.15),
    swing: (0.3, 0.95),
    weekend: (0.3, 0.9),
    doubling: (20.0, 90.0),
    rise: (5.0, 15.0),
    slower: (0.2, 0.6),
    faster: (1.8, 5.0),
    shift: (3.0, 30.0),
    kept: &[7, 14, 30],
    bursts: (0.01, 0.05),
    tail: (1.5, 3.0),
    missing: (0.1, 0.4),
};

pub const HELD_OUT: Set = Set {
    name: "held out",
    seed: 7_000_001,
    hour_noise: (0.05, 0.8),
    day_noise: (0.0, 0.25),
    swing: (0.1, 1.0),
    weekend: (0.05, 1.4),
    doubling: (12.0, 150.0),
    rise: (3.0, 25.0),
    slower: (0.05, 0.75),
    faster: (1.4, 10.0),
    shift: (2.0, 60.0),
    kept: &[3, 10, 21, 45],
    bursts: (0.005, 0.1),
    tail: (1.2, 4.0),
    missing: (0.0, 0.7),
};

/// A generated series: what was observed up to the origin, and what came.
pub struct Sample {
    /// Of [`PAST`] days, the last one at the origin.
    pub observed: Vec<Observation>,
    /// One each hour of the whole time, the origin among them.
    pub truth: Vec<Observation>,
}

impl Sample {
    fn of(values: &[f64]) -> Self {
        let truth = observations(values);
        Self { observed: truth[..=PAST * 24].to_vec(), truth }
    }
}

/// Hourly values from the first of January 2026 on.
fn observations(values: &[f64]) -> Vec<Observation> {
    const START: i64 = 1_767_225_600_000_000;
    (0..).zip(values).map(|(hour, value)| Observation { at: START + hour * HOUR, value: *value }).collect()
}

type Family = fn(&mut Noise, &Set) -> Sample;

pub const FAMILIES: &[(&str, Family)] = &[
    ("linear", linear),
    ("daily and weekly season", seasonal),
    ("exponential", exponential),
    ("S-curve", s_curve),
    ("rate break", rate_break),
    ("level shift", level_shift),
    ("retention, net size", retention_net),
    ("retention, drops known", retention_known),
    ("nightly batch", nightly),
    ("idle", idle),
    ("bursty", bursty),
    ("gaps and uneven readings", uneven),
];

/// Rows or bytes per hour: from a log table to a firehose.
fn scale(noise: &mut Noise) -> f64 {
    10_f64.powf(noise.between((1.0, 6.0)))
}

/// The shape of a day and a week, hour by hour, around one.
fn season(noise: &mut Noise, set: &Set, weekly: bool) -> impl Fn(usize) -> f64 + use<> {
    let (swing, phase) = (noise.between(set.swing), noise.between((0.0, 24.0)));
    let weekend = if weekly { noise.between(set.weekend) } else { 1.0 };
    let mean = (5.0 + 2.0 * weekend) / 7.0;
    let saturday = noise.between((0.0, 7.0)) as usize;
    move |hour| {
        let of_day = 1.0 + swing * (std::f64::consts::TAU * (hour as f64 - phase) / 24.0).sin();
        of_day * if (hour / 24 + saturday) % 7 < 2 { weekend } else { 1.0 } / mean
    }
}

/// Inflow per hour: `rate` of the hour with the noise of the set.
fn inflow(noise: &mut Noise, set: &Set, rate: impl Fn(usize) -> f64) -> Vec<f64> {
    let (of_hours, of_days) = (noise.between(set.hour_noise), noise.between(set.day_noise));
    let mut day = 1.0;
    (0..HOURS)
        .map(|hour| {
            if hour % 24 == 0 {
                day = noise.factor(of_days);
            }
            rate(hour) * day * noise.factor(of_hours)
        })
        .collect()
}

/// Values from inflows: the first one is what was there before.
fn added_up(start: f64, inflow: &[f64]) -> Vec<f64> {
    let mut value = start;
    let steps = inflow.iter().map(|more| {
        value += more;
        value
    });
    std::iter::once(start).chain(steps).collect()
}

/// What was there before: nothing up to more than a year of growth.
fn start(noise: &mut Noise, per_hour: f64) -> f64 {
    24.0 * per_hour * noise.between((0.0, 400.0))
}

fn grown(noise: &mut Noise, set: &Set, rate: impl Fn(usize) -> f64) -> Sample {
    let per_hour = scale(noise);
    let start = start(noise, per_hour);
    let inflow = inflow(noise, set, |hour| per_hour * rate(hour));
    Sample::of(&added_up(start, &inflow))
}

fn linear(noise: &mut Noise, set: &Set) -> Sample {
    grown(noise, set, |_| 1.0)
}

fn seasonal(noise: &mut Noise, set: &Set) -> Sample {
    let season = season(noise, set, true);
    grown(noise, set, season)
}

fn exponential(noise: &mut Noise, set: &Set) -> Sample {
    let season = season(noise, set, false);
    let doubling = noise.between(set.doubling) * 24.0;
    grown(noise, set, |hour| season(hour) * (hour as f64 / doubling).exp2())
}

/// Logistic growth: the rate rises, turns and fades.
fn s_curve(noise: &mut Noise, set: &Set) -> Sample {
    let (middle, rise) = (noise.between((10.0, 70.0)) * 24.0, noise.between(set.rise) * 24.0);
    grown(noise, set, |hour| {
        let at = (hour as f64 - middle) / rise;
        4.0 / (1.0 + (-at).exp()) / (1.0 + at.exp())
    })
}

fn rate_break(noise: &mut Noise, set: &Set) -> Sample {
    let season = season(noise, set, false);
    let at = noise.between((10.0, 54.0)) * 24.0;
    let factors = if noise.chance(0.5) { set.slower } else { set.faster };
    let factor = noise.between(factors);
    grown(noise, set, |hour| season(hour) * if hour as f64 >= at { factor } else { 1.0 })
}

/// A bulk load or two, or one and a purge.
fn level_shift(noise: &mut Noise, set: &Set) -> Sample {
    let season = season(noise, set, false);
    let per_hour = scale(noise);
    let mut inflow = inflow(noise, set, |hour| per_hour * season(hour));
    let shifts = if noise.chance(0.5) { 1 } else { 2 };
    for number in 0..shifts {
        let size = 24.0 * per_hour * noise.between(set.shift) * if number == 1 { -0.5 } else { 1.0 };
        inflow[noise.between((2.0 * 24.0, 55.0 * 24.0)) as usize] += size;
    }
    Sample::of(&added_up(24.0 * per_hour * 100.0, &inflow))
}

/// Inflow, and what is dropped at midnight because it is older than what is
/// kept; the table has been at this for long.
fn retention(noise: &mut Noise, set: &Set) -> (f64, Vec<f64>, Vec<f64>) {
    let season = season(noise, set, false);
    let per_hour = scale(noise);
    let inflow = inflow(noise, set, |hour| per_hour * season(hour));
    let kept = set.kept[(noise.uniform() * set.kept.len() as f64) as usize];
    let of_day = |day: usize| inflow[24 * day..24 * (day + 1)].iter().sum::<f64>();
    let dropped = (0..HOURS)
        .map(|hour| match (hour % 24, (hour / 24).checked_sub(kept)) {
            (0, Some(day)) => of_day(day),
            (0, None) => 24.0 * per_hour,
            _ => 0.0,
        })
        .collect();
    (24.0 * per_hour * kept as f64, inflow, dropped)
}

fn retention_net(noise: &mut Noise, set: &Set) -> Sample {
    let (start, inflow, dropped) = retention(noise, set);
    let net: Vec<f64> = inflow.iter().zip(&dropped).map(|(more, less)| more - less).collect();
    Sample::of(&added_up(start, &net))
}

/// The same with the drops known as events: what then is forecast, by every
/// method, is the size with the events taken out, and what comes is inflow.
fn retention_known(noise: &mut Noise, set: &Set) -> Sample {
    let (start, inflow, dropped) = retention(noise, set);
    let net: Vec<f64> = inflow.iter().zip(&dropped).map(|(more, less)| more - less).collect();
    let observed = observations(&added_up(start, &net)[..=PAST * 24]);
    let events: Vec<Event> = (0..PAST * 24)
        .filter(|hour| dropped[*hour] > 0.0)
        .map(|hour| Event {
            from: observed[hour].at,
            until: observed[hour + 1].at,
            change: Some(-dropped[hour]),
        })
        .collect();
    let observed = forecast::without_events(&observed, &events);
    let last = observed.last().map_or(0.0, |last| last.value);
    let mut truth = observations(&added_up(start, &inflow));
    let shift = last - truth[PAST * 24].value;
    truth.iter_mut().for_each(|point| point.value += shift);
    Sample { observed, truth }
}

/// Everything comes in one hour of the night, on some tables not at weekends.
fn nightly(noise: &mut Noise, set: &Set) -> Sample {
    let hour_of_day = noise.between((0.0, 24.0)) as usize;
    let weekend = if noise.chance(0.5) { 0.0 } else { 1.0 };
    let saturday = noise.between((0.0, 7.0)) as usize;
    grown(noise, set, |hour| match (hour % 24 == hour_of_day, (hour / 24 + saturday) % 7) {
        (true, 0 | 1) => 24.0 * weekend,
        (true, _) => 24.0,
        _ => 0.01,
    })
}

/// Nothing at all, or a row now and then.
fn idle(noise: &mut Noise, _: &Set) -> Sample {
    let per_hour = if noise.chance(0.6) { 0.0 } else { noise.between((0.002, 0.02)) };
    let start = (1e6 * noise.uniform()).round();
    let inflow: Vec<f64> = (0..HOURS).map(|_| f64::from(noise.chance(per_hour))).collect();
    Sample::of(&added_up(start, &inflow))
}

/// A trickle, and bursts of any size that last some hours.
fn bursty(noise: &mut Noise, set: &Set) -> Sample {
    let (per_hour, tail) = (noise.between(set.bursts), noise.between(set.tail));
    let trickle = noise.between((0.1, 0.3));
    let (mut left, mut height) = (0, 0.0);
    let shape: Vec<f64> = (0..HOURS)
        .map(|_| {
            if left == 0 && noise.chance(per_hour) {
                left = noise.between((1.0, 7.0)) as usize;
                // No burst is more than a hundred times the smallest.
                height = (1.0 - noise.uniform()).powf(-1.0 / tail).min(100.0) / per_hour / 5.0;
            }
            let burst = if left > 0 { height } else { 0.0 };
            left = left.saturating_sub(1);
            trickle + burst
        })
        .collect();
    grown(noise, set, |hour| shape[hour])
}

/// A seasonal series of which readings are missing, up to two days on end,
/// and those that are there come up to half an hour late.
fn uneven(noise: &mut Noise, set: &Set) -> Sample {
    let mut sample = seasonal(noise, set);
    let missing = noise.between(set.missing);
    let gaps: Vec<usize> = (0..3).map(|_| noise.between((0.0, PAST as f64 * 24.0)) as usize).collect();
    let lengths: Vec<usize> = (0..3).map(|_| noise.between((2.0, 48.0)) as usize).collect();
    let all = std::mem::take(&mut sample.observed);
    let last = all.len() - 1;
    for (hour, point) in all.iter().enumerate() {
        let in_gap = gaps.iter().zip(&lengths).any(|(gap, length)| (*gap..gap + length).contains(&hour));
        if hour != last && hour != 0 && (in_gap || noise.chance(missing)) {
            continue;
        }
        let late = if hour == last { 0.0 } else { noise.between((0.0, 0.5)) };
        let next = all.get(hour + 1).map_or(point.value, |next| next.value);
        let value = point.value + late * (next - point.value);
        sample.observed.push(Observation { at: point.at + (late * HOUR as f64) as i64, value });
    }
    sample
}
