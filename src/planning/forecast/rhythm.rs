//! What the hours of a day and the days of a week have of its growth.
//!
//! Rhythms are counted back from the last observation. Where nothing ever
//! shrank a phase has a share of the growth, otherwise a distance from the
//! mean. Both are drawn towards the even rhythm: by how short the history is,
//! and by how much of them may be noise (James and Stein 1961).
//!
//! Invariant: an even rhythm changes nothing, and a whole period sums to what
//! the rate alone gives.

/// What each phase of a period adds, counted from the last observation on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rhythm {
    /// Shares around one, or distances around zero.
    phases: Vec<f64>,
    shares: bool,
}

impl Rhythm {
    pub(super) const fn even() -> Self {
        Self { phases: Vec::new(), shares: true }
    }

    /// The rhythm of `steps`, which end with the last observation. `prior` is
    /// the number of periods that weigh as much as the even rhythm.
    pub(super) fn of(steps: &[f64], period: usize, prior: f64) -> Self {
        let periods: Vec<&[f64]> = steps.rchunks_exact(period).collect();
        let shares = steps.iter().all(|step| *step >= 0.0);
        let count = periods.len() as f64;
        if periods.len() < 2 {
            return Self::even();
        }
        // Each period is compared with its own mean, so that growth of the
        // rate is no rhythm.
        let mut sums = vec![0.0; period];
        let mut squares = vec![0.0; period];
        let mut used: f64 = 0.0;
        for steps in &periods {
            let mean = steps.iter().sum::<f64>() / period as f64;
            if shares && mean <= 0.0 {
                continue;
            }
            used += 1.0;
            for (phase, step) in steps.iter().enumerate() {
                let value = if shares { step / mean - 1.0 } else { step - mean };
                sums[phase] += value;
                squares[phase] += value * value;
            }
        }
        if used < 2.0 {
            return Self::even();
        }
        let between = sums.iter().map(|sum| (sum / used).powi(2)).sum::<f64>() / (period - 1) as f64;
        let spread = |(sum, square): (&f64, &f64)| (square - sum * sum / used).max(0.0) / (used - 1.0);
        let within = sums.iter().zip(&squares).map(spread).sum::<f64>() / period as f64 / used;
        if between <= 0.0 {
            return Self::even();
        }
        let kept = (1.0 - within / between).max(0.0) * count / (count + prior);
        let centre = if shares { 1.0 } else { 0.0 };
        let phases: Vec<f64> = sums.iter().map(|sum| centre + kept * sum / used).collect();
        Self { phases, shares }
    }

    pub(super) fn is_even(&self) -> bool {
        self.phases.is_empty()
    }

    /// The change of the step at `index` (0 is the first one after the last
    /// observation) where the even rhythm has `change`.
    pub(super) fn with(&self, change: f64, index: usize) -> f64 {
        match self.phases.len() {
            0 => change,
            period if self.shares => change * self.phases[index % period],
            period => change + self.phases[index % period],
        }
    }

    /// What a part of a whole period has of its change; `part` is in 0..=1.
    pub(super) fn part(&self, change: f64, part: f64) -> f64 {
        let period = self.phases.len();
        if period == 0 {
            return change * part;
        }
        let even = change / period as f64;
        let steps = part * period as f64;
        let whole = (steps as usize).min(period - 1);
        let before: f64 = (0..whole).map(|step| self.with(even, step)).sum();
        before + self.with(even, whole) * (steps - whole as f64)
    }

    /// Multiplies what a rhythm has in the unit of the series.
    pub(super) fn scale(&mut self, factor: f64) {
        if !self.shares {
            self.phases.iter_mut().for_each(|phase| *phase *= factor);
        }
    }

    /// Steps, ending with the last observation, with the rhythm taken out.
    pub(super) fn taken_out(&self, steps: &[f64]) -> Vec<f64> {
        let period = self.phases.len();
        if period == 0 {
            return steps.to_vec();
        }
        let first = (period - steps.len() % period) % period;
        let flat = |(index, step): (usize, &f64)| {
            let phase = self.phases[(first + index) % period];
            if self.shares { step / phase.max(0.05) } else { step - phase }
        };
        steps.iter().enumerate().map(flat).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two on the first half of each period of four, nothing on the other.
    fn halves(periods: usize) -> Vec<f64> {
        (0..4 * periods).map(|step| if step % 4 < 2 { 2.0 } else { 0.0 }).collect()
    }

    #[test]
    fn a_rhythm_is_found_and_shrunk_by_how_short_the_history_is() {
        for (periods, kept) in [(2, 0.4), (3, 0.5), (57, 0.95)] {
            let found = Rhythm::of(&halves(periods), 4, 3.0);
            assert!((found.with(1.0, 0) - (1.0 + kept)).abs() < 1e-9, "{periods}: {found:?}");
            assert!((found.with(1.0, 6) - (1.0 - kept)).abs() < 1e-9);
        }
        assert!(Rhythm::of(&halves(1), 4, 3.0).is_even());
        assert!(Rhythm::of(&[], 4, 3.0).is_even());
        assert!(Rhythm::of(&[0.0; 40], 4, 3.0).is_even());
    }

    #[test]
    fn noise_is_no_rhythm() {
        let steps: Vec<f64> = (0..400_u64).map(|step| (step * step * 7919 % 101) as f64).collect();
        let found = Rhythm::of(&steps, 7, 2.0);
        assert!((0..7).all(|step| (found.with(1.0, step) - 1.0).abs() < 0.1), "{found:?}");
    }

    #[test]
    fn a_whole_period_keeps_its_sum() {
        let falling: Vec<f64> = halves(10).iter().map(|step| step - 1.5).collect();
        for steps in [halves(10), falling] {
            let found = Rhythm::of(&steps, 4, 3.0);
            assert!((found.part(8.0, 1.0) - 8.0).abs() < 1e-9 && found.part(8.0, 0.0) == 0.0);
            assert!(found.part(8.0, 0.5) > 4.5, "{found:?}");
            let flat = found.taken_out(&steps);
            let spread = |steps: &[f64]| steps.iter().map(|step| step.abs()).fold(0.0, f64::max);
            assert!(spread(&flat) <= spread(&steps) * 1.5);
        }
        assert_eq!(Rhythm::even().part(8.0, 0.25), 2.0);
    }
}
