//! Which way of carrying on deserves trust, by what it would have said before.
//!
//! Every way is tried from earlier days of the history (rolling origins,
//! Tashman 2000) and its misses are counted at all distances. Theil–Sen stays
//! unless the mixture of the best would have been clearly better, from enough
//! origins to tell. The misses of what was chosen make the interval.
//!
//! Invariant: everything is decided by the history alone, and the same
//! history gives the same choice.

use crate::planning::forecast::days::Days;
use crate::planning::forecast::interval::EXPONENT;
use crate::planning::forecast::interval::Miss;
use crate::planning::forecast::interval::ORIGINS_TO_JUDGE;
use crate::planning::forecast::jump::last_break;
use crate::planning::forecast::rate::AFTER_A_BREAK;
use crate::planning::forecast::rate::Pace;
use crate::planning::forecast::rate::Past;
use crate::planning::forecast::rate::THEIL_SEN;
use crate::planning::forecast::rate::WAYS;
use crate::planning::forecast::rate::WEEK;
use crate::planning::forecast::rate::Way;
use crate::planning::forecast::rhythm::Rhythm;
use crate::planning::forecast::slope::even_slope;

/// Days of history from which the best ways are mixed. Waiting for 56 was
/// measured and is worse: the guard below is what protects.
const DAYS_TO_CHOOSE: usize = 14;

/// The mixture must have missed by less than this share of what Theil–Sen did,
/// or its advantage is luck.
const BETTER: f64 = 0.9;

/// Misses below this share of a day's change are rounding.
const NEGLIGIBLE: f64 = 1e-6;

/// Theil–Sen and nothing else.
const ALONE: &[(usize, f64)] = &[(THEIL_SEN, 1.0)];

/// Ways that are mixed.
const MIXED: usize = 3;

/// Days from which a rhythm of the week is looked for, most that it is taken
/// from, and the weeks that weigh as much as the even rhythm.
const DAYS_FOR_WEEK: usize = 14;
const RHYTHM_DAYS: usize = 56;
const WEEKS_PRIOR: f64 = 2.0;

/// Most origins.
const ORIGINS_MAX: usize = 20;

/// Misses farther ahead than so many days do not judge a way, and what is
/// older than so many days does so less (by a factor of e): ways are chosen for
/// what the series is now. Calibrated.
const JUDGED_DAYS: usize = 14;
const JUDGED_AGE: f64 = 25.0;

/// Hours between the values that slopes are taken from, at the origins and
/// now; they must be fewer where there are many slopes to take.
const HOURS_APART: usize = 3;
const HOURS_APART_NOW: usize = 1;

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// Ways and their weights, which sum to one.
    pub(super) mix: Vec<(Way, f64)>,
    /// How they carry on, in the same order.
    pub(super) paces: Vec<(Pace, f64)>,
    pub(super) week: Rhythm,
    pub(super) misses: Vec<Miss>,
    /// Days since the rate broke, if that is less than a week ago.
    pub(super) broke: Option<usize>,
}

impl Choice {
    pub(super) fn of(days: &Days) -> Self {
        let now = Standpoint::at(days, days.len(), HOURS_APART_NOW);
        let trials = trials(days);
        let scores: Vec<Option<f64>> = (0..WAYS.len())
            .map(|way| now.paces[way].and_then(|_| score(&trials, days.len(), &[(way, 1.0)])))
            .collect();
        let since = days.len() - now.broke;
        let broke = (now.broke > 0 && since < WEEK).then_some(since);
        let mix = if broke.is_some() {
            // The slope of a week would be that of two rates.
            vec![(AFTER_A_BREAK, 1.0)]
        } else {
            guarded(mixture(&scores), &trials, days)
        };
        Self {
            misses: trials.iter().flat_map(|trial| trial.misses_of(&mix)).collect(),
            paces: mix.iter().filter_map(|(way, weight)| Some((now.paces[*way]?, *weight))).collect(),
            mix: mix.iter().map(|(way, weight)| (WAYS[*way], *weight)).collect(),
            week: now.week,
            broke,
        }
    }
}

/// What is known at the end of a day: how each way carries on, and the week.
struct Standpoint {
    paces: Vec<Option<Pace>>,
    week: Rhythm,
    /// The day from which the present rate holds.
    broke: usize,
}

impl Standpoint {
    fn at(days: &Days, end: usize, hours_apart: usize) -> Self {
        let all = &days.changes[..end];
        let first = end.saturating_sub(RHYTHM_DAYS);
        let week =
            if end >= DAYS_FOR_WEEK { Rhythm::of(&all[first..], WEEK, WEEKS_PRIOR) } else { Rhythm::even() };
        let flat = week.taken_out(all);
        let broke = match last_break(&flat[first..]) {
            0 => 0,
            day => first + day,
        };
        let (ticks, per_day) = days.ticks(end, WEEK, hours_apart);
        let theil_sen = even_slope(&ticks) * per_day as f64;
        let past = Past { all: &flat, since_break: &flat[broke..], theil_sen, rising: days.rising };
        Self { paces: WAYS.iter().map(|way| way.pace(&past)).collect(), week, broke }
    }
}

/// What every way would have missed from one earlier day on.
struct Trial {
    /// The day.
    origin: usize,
    /// Distances in days, ascending.
    reach: Vec<usize>,
    /// By way, then by distance; `None` where a way had too little history.
    misses: Vec<Option<Vec<f64>>>,
    /// Rate per day of each way; `None` where something shrank, because a rate
    /// that may be of either sign tells no proportion.
    rates: Vec<Option<f64>>,
}

impl Trial {
    /// The miss of a mixture at the distance at `index`.
    fn miss(&self, mix: &[(usize, f64)], index: usize) -> Option<f64> {
        mix.iter().map(|(way, weight)| Some(weight * self.misses[*way].as_ref()?[index])).sum()
    }

    /// Those of a mixture, or of Theil–Sen where one of its ways had too
    /// little history.
    fn misses_of<'a>(&'a self, mix: &'a [(usize, f64)]) -> impl Iterator<Item = Miss> + 'a {
        let known = mix.iter().all(|(way, _)| self.misses[*way].is_some());
        let mix = if known { mix } else { ALONE };
        let rate: f64 = mix.iter().filter_map(|(way, weight)| Some(weight * self.rates[*way]?)).sum();
        self.reach.iter().enumerate().filter_map(move |(index, distance)| {
            let miss = self.miss(mix, index)?;
            Some(Miss { origin: self.origin, distance: *distance as f64, miss, rate })
        })
    }
}

fn trials(days: &Days) -> Vec<Trial> {
    let distances = distances(days.len());
    let trial = |origin: usize| {
        let there = Standpoint::at(days, origin, HOURS_APART);
        let reach: Vec<usize> =
            distances.iter().copied().filter(|distance| origin + distance <= days.len()).collect();
        let misses =
            |pace: &Option<Pace>| Some(misses(&days.changes[origin..], &reach, &(*pace)?, &there.week));
        Trial {
            origin,
            misses: there.paces.iter().map(misses).collect(),
            rates: there
                .paces
                .iter()
                .map(|pace| pace.filter(|_| days.rising).map(|pace| pace.day(0)))
                .collect(),
            reach,
        }
    };
    origins(days.len()).map(trial).collect()
}

/// Days to look ahead from, evenly spread.
fn origins(days: usize) -> impl Iterator<Item = usize> {
    let first = (days / 4).clamp(3, 28).min(days - 1);
    let count = (days - first).min(ORIGINS_MAX);
    (0..count).map(move |index| first + index * (days - first) / count)
}

/// Distances at which misses are looked at: every day at first, then ever
/// wider apart.
fn distances(most: usize) -> Vec<usize> {
    let further = |distance: &usize| Some((distance + 1).max(distance * 23 / 20));
    std::iter::successors(Some(1), further).take_while(|distance| *distance <= most).collect()
}

/// What came less what a pace and a week said, at each distance in `reach`.
fn misses(came: &[f64], reach: &[usize], pace: &Pace, week: &Rhythm) -> Vec<f64> {
    let mut reach = reach.iter().peekable();
    let mut miss = 0.0;
    let mut found = Vec::with_capacity(reach.len());
    for (day, change) in came.iter().enumerate() {
        miss += change - week.with(pace.day(day), day);
        if reach.next_if_eq(&&(day + 1)).is_some() {
            found.push(miss);
        }
        if reach.peek().is_none() {
            break;
        }
    }
    found
}

/// Mean miss of a mixture in proportion to the distance, recent ones first;
/// `None` if one of its ways could not be tried everywhere.
fn score(trials: &[Trial], days: usize, mix: &[(usize, f64)]) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for trial in trials {
        let weight = (-((days - trial.origin) as f64) / JUDGED_AGE).exp();
        for (index, distance) in trial.reach.iter().enumerate().take_while(|(_, d)| **d <= JUDGED_DAYS) {
            sum += weight * trial.miss(mix, index)?.abs() / (*distance as f64).powf(EXPONENT);
            weights += weight;
        }
    }
    (weights > 0.0).then(|| sum / weights)
}

/// The best ways, weighed by the inverse square of their errors.
fn mixture(scores: &[Option<f64>]) -> Vec<(usize, f64)> {
    let ranked = scores.iter().enumerate().filter_map(|(way, score)| Some((way, (*score)?)));
    let mut ranked: Vec<(usize, f64)> = ranked.collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    ranked.truncate(MIXED);
    let Some(&(best, least)) = ranked.first() else { return ALONE.to_vec() };
    if least <= 0.0 {
        return vec![(best, 1.0)];
    }
    ranked.iter_mut().for_each(|(_, score)| *score = (least / *score).powi(2));
    let sum: f64 = ranked.iter().map(|(_, weight)| weight).sum();
    ranked.into_iter().map(|(way, weight)| (way, weight / sum)).collect()
}

/// The mixture if it would have been clearly better than Theil–Sen.
fn guarded(mix: Vec<(usize, f64)>, trials: &[Trial], days: &Days) -> Vec<(usize, f64)> {
    if days.len() < DAYS_TO_CHOOSE || trials.len() < ORIGINS_TO_JUDGE {
        return ALONE.to_vec();
    }
    let typical = days.changes.iter().map(|change| change.abs()).sum::<f64>() / days.len() as f64;
    match (score(trials, days.len(), &mix), score(trials, days.len(), ALONE)) {
        (Some(mixed), Some(guard)) if mixed < BETTER * guard && guard > NEGLIGIBLE * typical => mix,
        _ => ALONE.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(changes: Vec<f64>) -> Days {
        let rising = changes.iter().all(|change| *change >= 0.0);
        Days { changes, hours: Vec::new(), rising, jumps: 0 }
    }

    #[test]
    fn an_even_history_leaves_theil_sen() {
        for len in [3, 14, 56, 200] {
            let choice = Choice::of(&days(vec![5.0; len]));
            assert_eq!(choice.mix, [(Way::TheilSen, 1.0)], "{len} days");
            assert!(choice.week.is_even() && choice.broke.is_none());
            assert!(choice.misses.iter().all(|miss| miss.miss.abs() < 1e-9));
        }
    }

    #[test]
    fn what_is_clearly_better_is_mixed() {
        // A week sees one batch or none; the mean sees what they come to.
        let choice = Choice::of(&days((0..60).map(|day| if day % 9 == 0 { 90.0 } else { 0.0 }).collect()));
        assert!(choice.mix.iter().all(|(way, _)| *way != Way::TheilSen), "{:?}", choice.mix);
        let rate: f64 = choice.paces.iter().map(|(pace, weight)| weight * pace.day(0)).sum();
        assert!((6.0..=14.0).contains(&rate), "{rate}");
        assert!((choice.mix.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_break_of_this_week_is_not_averaged_away() {
        let changes = (0..40).map(|day| if day < 36 { 10.0 } else { 50.0 } + f64::from(day % 3)).collect();
        let choice = Choice::of(&days(changes));
        assert_eq!(choice.broke, Some(4));
        let rate: f64 = choice.paces.iter().map(|(pace, weight)| weight * pace.day(0)).sum();
        assert!((50.0..=52.0).contains(&rate), "{rate}");
    }

    #[test]
    fn origins_and_distances_are_bounded() {
        for len in [3, 4, 14, 56, 731] {
            let found: Vec<usize> = origins(len).collect();
            assert!((1..=ORIGINS_MAX).contains(&found.len()) && found.iter().all(|origin| *origin < len));
            let distances = distances(len);
            assert!(distances.len() <= 45 && distances.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(distances.last().is_some_and(|last| *last <= len));
        }
    }
}
