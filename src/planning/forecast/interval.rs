//! How wrong a line was in the past, and so how wide its interval must be.
//!
//! Split conformal prediction (Vovk, Gammerman and Shafer 2005; Lei et al.
//! 2018) on rolling-origin residuals (Tashman 2000): the method is repeated
//! from earlier moments, and its misses there, grouped by how far they looked
//! ahead, bound what it may miss now. No distribution is assumed.
//!
//! Residuals of one series depend on each other, so the guarantee is not
//! exact; where it errs it is meant to be too wide. Misses that all fall on
//! one side speak of a rate that keeps changing, and are taken in proportion
//! to it.
//!
//! Invariant: half-widths are finite, not negative, and never shrink with the
//! distance.

use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;
use crate::planning::forecast::slope::recent;
use crate::planning::forecast::slope::theil_sen;

/// Share of outcomes that the interval is to cover.
const COVERAGE: f64 = 0.9;

/// Growth of a miss with the distance h, as h^0.8: between the square root of
/// a random walk and the straight line of a wrong rate. Calibrated on nine
/// families of synthetic series, not derived.
pub(super) const EXPONENT: f64 = 0.8;

/// The least growth of the half-width with the distance, as h^0.55: far misses
/// are few, and may have been small by luck. Calibrated like the other.
const EXPONENT_MIN: f64 = 0.55;

/// Days from which this holds. Nearer misses may be noise of the readings,
/// which does not grow.
const FAR: f64 = 4.0;

/// Misses that add up to this share of their sum are not noise: the rate
/// itself keeps rising or falling. They are then as large as the rate is, so
/// old ones must grow with it.
const ONE_SIDED: f64 = 0.8;

/// Most that an old miss grows: a rate near zero tells no proportion, and one
/// of zero none at all.
const RISEN_MAX: f64 = 3.0;

/// Fewest origins from which more than the size of misses is concluded; as
/// many as the choice among methods asks for.
pub(super) const ORIGINS_TO_JUDGE: usize = 6;

/// Fewest observations before an origin: with two, every line fits.
const TRAINING_MIN: usize = 3;

/// Most origins tried, so that the cost stays bounded.
const ORIGINS_MAX: usize = 24;

/// Most groups of distances. Each is half as far as the one before, so the
/// last one of 16 is a 65,536th of the history.
const GROUPS_MAX: i32 = 16;

/// Half-widths of the interval by distance.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Band {
    /// Distance in days and half-width, both ascending.
    steps: Vec<(f64, f64)>,
    /// The least half-width, as a share of the growth.
    growth_share: f64,
}

/// How far a forecast from an earlier moment was off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Miss {
    /// The moment, as a number that is its own.
    pub(super) origin: usize,
    /// Days ahead.
    pub(super) distance: f64,
    /// What came less what was said.
    pub(super) miss: f64,
    /// The rate per day that was said.
    pub(super) rate: f64,
}

impl Band {
    /// No doubt except of the growth itself.
    pub(super) fn of_growth(share: f64) -> Self {
        Self { growth_share: share, ..Self::default() }
    }

    /// A known miss at a distance in days.
    pub(super) fn with_miss(mut self, distance: f64, miss: f64) -> Self {
        self.steps.push((distance, miss));
        self
    }

    /// The band of past misses over `span` days of history, for a rate of
    /// `rate_now` per day.
    pub(super) fn of_misses(misses: &[Miss], span: f64, rate_now: f64, growth_share: f64) -> Self {
        let mut groups: Vec<Group> = (0..GROUPS_MAX).map(|_| Group::default()).collect();
        let (mut sum, mut signed) = (0.0, 0.0);
        let mut origins = 0;
        let mut last = None;
        for one in misses.iter().filter(|one| one.distance > 0.0) {
            let score = one.miss / one.distance.powf(EXPONENT);
            let risen = if one.rate == 0.0 { 1.0 } else { (rate_now / one.rate).abs().clamp(1.0, RISEN_MAX) };
            groups[group_of(one.distance, span)].add(one, score.abs(), risen);
            (sum, signed) = (sum + score.abs(), signed + score);
            origins += usize::from(last != Some(one.origin));
            last = Some(one.origin);
        }
        if origins >= ORIGINS_TO_JUDGE && signed.abs() > ONE_SIDED * sum {
            for group in &mut groups {
                std::mem::swap(&mut group.scores, &mut group.risen);
            }
        }
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for group in groups.iter_mut().rev().filter(|group| !group.scores.is_empty()) {
            let (distance, width) = group.step();
            let grown =
                |(near, width): &(f64, f64)| width * (distance / near.max(FAR)).max(1.0).powf(EXPONENT_MIN);
            let least = steps.last().map_or(0.0, grown);
            steps.push((distance, width.max(least)));
        }
        Self { steps, growth_share }
    }

    /// Multiplies all widths by a factor that is not negative.
    pub(super) fn scale(&mut self, factor: f64) {
        for step in &mut self.steps {
            step.1 *= factor;
        }
    }

    /// Half of the interval's width `distance` days ahead at `rate` per day.
    pub(super) fn half_width(&self, distance: f64, rate: f64) -> f64 {
        let distance = distance.max(0.0);
        self.residual(distance).max(self.growth_share * rate.abs() * distance)
    }

    fn residual(&self, distance: f64) -> f64 {
        let (Some(&first), Some(&last)) = (self.steps.first(), self.steps.last()) else {
            return 0.0;
        };
        if distance <= first.0 {
            return first.1; // noise does not vanish on a short way
        }
        if distance >= last.0 {
            // Beyond what was seen nothing limits how long a wrong rate lasts.
            return last.1 * (distance / last.0);
        }
        let after = self.steps.partition_point(|step| step.0 <= distance);
        let (a, b) = (self.steps[after - 1], self.steps[after]);
        a.1 + (b.1 - a.1) * (distance - a.0) / (b.0 - a.0)
    }
}

/// Misses over similar distances.
#[derive(Debug, Default)]
struct Group {
    /// Miss / distance^[`EXPONENT`].
    scores: Vec<f64>,
    /// The same, grown as the rate has since.
    risen: Vec<f64>,
    /// Sum of the distances, days.
    distances: f64,
    origins: usize,
    last: Option<usize>,
}

impl Group {
    fn add(&mut self, one: &Miss, score: f64, risen: f64) {
        self.scores.push(score);
        self.risen.push(score * risen);
        self.distances += one.distance;
        self.origins += usize::from(self.last != Some(one.origin));
        self.last = Some(one.origin);
    }

    /// Mean distance and the half-width there.
    fn step(&mut self) -> (f64, f64) {
        let distance = self.distances / self.scores.len() as f64;
        // Misses from one origin are much alike, so the finite-sample term of
        // conformal prediction counts origins, not misses.
        let level = COVERAGE * (1.0 + 1.0 / self.origins.max(1) as f64);
        self.scores.sort_by(f64::total_cmp);
        let rank = (level * self.scores.len() as f64).ceil() as usize;
        let score = self.scores[rank.clamp(1, self.scores.len()) - 1];
        // Fewer than nine origins cannot show a ninth decile: beyond the
        // largest miss the level itself is the allowance.
        (distance, score * level.max(1.0) * distance.powf(EXPONENT))
    }
}

/// 0 for the farther half of the history, 1 for the quarter before, and so on.
fn group_of(distance: f64, span: f64) -> usize {
    ((span / distance).log2().floor() as i32).clamp(0, GROUPS_MAX - 1) as usize
}

/// The misses of Theil–Sen lines through the last `window` (a share of the
/// time) of `points`, ascending in time, when drawn at earlier moments.
pub(super) fn misses_of_lines(points: &[Observation], window: f64) -> Vec<Miss> {
    let mut misses = Vec::new();
    for origin in origins(points.len()) {
        let rate = theil_sen(recent(&points[..=origin], window));
        let from = points[origin];
        misses.extend(points[origin + 1..].iter().map(|to| {
            let distance = days_between(from.at, to.at);
            Miss { origin, distance, miss: to.value - from.value - rate * distance, rate }
        }));
    }
    misses
}

/// Mean of miss / distance^[`EXPONENT`], and from how many origins.
pub(super) fn error_of(misses: &[Miss]) -> (f64, usize) {
    let sum: f64 = misses.iter().map(|one| one.miss.abs() / one.distance.powf(EXPONENT)).sum();
    let mut origins: Vec<usize> = misses.iter().map(|one| one.origin).collect();
    origins.dedup();
    (sum / misses.len().max(1) as f64, origins.len())
}

/// Indexes to look ahead from: the last two thirds of the series, because a
/// line through a few first points says little about one through all.
fn origins(len: usize) -> impl Iterator<Item = usize> {
    let first = (len / 3).max(TRAINING_MIN) - 1;
    let count = (len.saturating_sub(1)).saturating_sub(first);
    let tried = count.min(ORIGINS_MAX);
    (0..tried).map(move |index| first + index * count / tried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::forecast::DAY;

    #[test]
    fn origins_are_bounded_and_inside() {
        for (len, expected) in [(0, 0), (3, 0), (4, 1), (5, 2), (9, 6), (120, 24)] {
            let found: Vec<usize> = origins(len).collect();
            assert_eq!(found.len(), expected, "{len}");
            assert!(found.iter().all(|origin| *origin >= 2 && origin + 1 < len));
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn widths_never_shrink_with_the_distance() {
        let points: Vec<Observation> = (0..60)
            .map(|day| Observation { at: day * DAY, value: ((day * 7919) % 31) as f64 + day as f64 })
            .collect();
        let band = Band::of_misses(&misses_of_lines(&points, 1.0), 59.0, 1.0, 0.0);
        let widths: Vec<f64> =
            (0..400).map(|quarter| band.half_width(f64::from(quarter) / 2.0, 1.0)).collect();
        assert!(widths[0] > 0.0 && widths.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
        // Beyond the history the width grows in proportion.
        assert!((band.half_width(590.0, 0.0) - 10.0 * band.half_width(59.0, 0.0)).abs() < 1e-6);
    }

    #[test]
    fn a_lone_residual_is_not_taken_for_the_worst() {
        let at = |day: i64, value: f64| Observation { at: day * DAY, value };
        let points = [at(0, 0.0), at(1, 1.0), at(2, 2.0), at(3, 5.0)];
        let band = Band::of_misses(&misses_of_lines(&points, 1.0), 3.0, 1.0, 0.0);
        assert!((band.half_width(1.0, 0.0) - 2.0 * 1.8).abs() < 1e-9);
    }
}
