//! Jumps of the level and breaks of the rate, told from noise.
//!
//! A jump is a single step that is far beyond the others; a break is a moment
//! from which the days are other than before. Steps that recur are neither:
//! they are how the table lives. Invariant: nothing here depends on the unit
//! of the values.

use crate::planning::forecast::slope::median;

/// A jump is this many times as far from the middle as half of the steps are
/// (median absolute deviation): far beyond what daily cycles and noise make.
const JUMP_DEVIATIONS: f64 = 12.0;

/// And at least so many days of growth.
const JUMP_DAYS: f64 = 2.0;

/// As many jumps in one direction are a process: a nightly batch, a drop.
const PROCESS_MIN: usize = 3;

/// In a history of a few days two are one, because a batch may leave out the
/// weekend.
const PROCESS_MIN_AT_FIRST: usize = 2;
const FIRST_DAYS: usize = 4;

/// Puts the middle step in the place of jumps, and counts them. `days` is how
/// long the steps took, `typical` the change of a day.
pub(super) fn without_jumps(steps: &mut [f64], days: usize, typical: f64) -> usize {
    let process = if days < FIRST_DAYS { PROCESS_MIN_AT_FIRST } else { PROCESS_MIN };
    if steps.len() < PROCESS_MIN {
        return 0;
    }
    let middle = median(&mut steps.to_vec());
    let mut deviations: Vec<f64> = steps.iter().map(|step| (step - middle).abs()).collect();
    let least = (JUMP_DEVIATIONS * median(&mut deviations)).max(JUMP_DAYS * typical);
    let mut removed = 0;
    for up in [true, false] {
        let is_jump = |step: &f64| (step - middle).abs() > least && (*step > middle) == up;
        let count = steps.iter().filter(|step| is_jump(step)).count();
        if (1..process).contains(&count) {
            steps.iter_mut().filter(|step| is_jump(step)).for_each(|step| *step = middle);
            removed += count;
        }
    }
    removed
}

/// Fewest days before and after a break.
const BEFORE_MIN: usize = 5;
const AFTER_MIN: usize = 2;

/// How far the mean rates before and after must be apart, in standard errors
/// of their difference. Calibrated so that noise and weekends hardly ever
/// make one.
const BREAK_ERRORS: f64 = 5.0;

/// The least change of the rate that is called a break, as a share of the
/// larger one.
const BREAK_SHARE: f64 = 0.25;

/// Most breaks that are looked for, one after the other.
const BREAKS_MAX: usize = 3;

/// The day (a position) from which the present rate holds; 0 if there is no
/// break. `changes` are free of the rhythm of the week.
pub(super) fn last_break(changes: &[f64]) -> usize {
    let mut start = 0;
    for _ in 0..BREAKS_MAX {
        match strongest_break(&changes[start..]) {
            Some(found) => start += found,
            None => break,
        }
    }
    start
}

fn strongest_break(changes: &[f64]) -> Option<usize> {
    let total: f64 = changes.iter().sum();
    let count = changes.len() as f64;
    let noise = noise(changes);
    let (mut before, mut best) = (0.0, None);
    let mut strongest = BREAK_ERRORS;
    for (index, change) in changes.iter().enumerate() {
        let (left, right) = (index as f64, count - index as f64);
        if index >= BEFORE_MIN && changes.len() - index >= AFTER_MIN {
            let (a, b) = (before / left, (total - before) / right);
            let strength = (a - b).abs() * (left * right / count).sqrt();
            // A single odd day is no rate: the first and the last one must
            // both belong to what comes after.
            let belongs = |day: f64| (day - b).abs() < (day - a).abs();
            let last = changes[changes.len() - 1];
            let large = (a - b).abs() > BREAK_SHARE * a.abs().max(b.abs());
            if strength > strongest * noise && large && belongs(*change) && belongs(last) {
                strongest = strength / noise.max(f64::MIN_POSITIVE);
                best = Some(index);
            }
        }
        before += change;
    }
    best
}

/// Spread of single days, from the differences of neighbours, of which a break
/// makes only one (von Neumann 1941).
fn noise(changes: &[f64]) -> f64 {
    let squares: f64 = changes.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
    (squares / 2.0 / (changes.len().max(2) - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(steps: &[f64], days: usize, typical: f64, jumps: usize) {
        let mut found = steps.to_vec();
        assert_eq!(without_jumps(&mut found, days, typical), jumps, "{found:?}");
        if jumps == 0 {
            assert_eq!(found, steps);
        } else {
            assert!(found.iter().all(|step| step.abs() <= 2.0 * typical));
        }
    }

    #[test]
    fn lone_steps_are_jumps_and_recurring_ones_are_not() {
        let with = |jumps: &[(usize, f64)]| {
            let mut steps: Vec<f64> = (0..40_i32).map(|n| 10.0 + f64::from(n % 3)).collect();
            jumps.iter().for_each(|(index, jump)| steps[*index] = *jump);
            steps
        };
        check(&with(&[]), 40, 11.0, 0);
        check(&with(&[(7, 5000.0)]), 40, 11.0, 1);
        check(&with(&[(7, 5000.0), (30, 600.0), (31, -900.0)]), 40, 11.0, 3);
        check(&with(&[(7, 21.0)]), 40, 11.0, 0);
        check(&with(&[(5, -900.0), (15, -900.0), (25, -900.0)]), 40, 11.0, 0);
        check(&with(&[(5, 900.0), (25, 900.0)]), 3, 11.0, 0);
        check(&[0.0; 40], 40, 0.0, 0);
        check(&[1.0, 1e100], 40, 1.0, 0);
    }

    #[test]
    fn breaks_are_found_and_noise_is_not_one() {
        let noise = |day: usize| 10.0 + (day * 7919 % 13) as f64 / 4.0;
        let days = |count: usize, at: usize, factor: f64| {
            let rate = |day| if day < at { noise(day) } else { factor * noise(day) };
            (0..count).map(rate).collect::<Vec<f64>>()
        };
        assert_eq!(last_break(&days(40, 99, 1.0)), 0);
        assert_eq!(last_break(&days(40, 30, 4.0)), 30);
        assert_eq!(last_break(&days(40, 37, 0.2)), 37);
        assert_eq!(last_break(&days(40, 39, 9.0)), 0, "one day is no rate");
        assert_eq!(last_break(&[5.0; 40]), 0);
        assert_eq!(last_break(&[]), 0);
        let mut two = days(40, 20, 5.0);
        two[32..].iter_mut().for_each(|day| *day /= 20.0);
        assert_eq!(last_break(&two), 32);
    }
}
