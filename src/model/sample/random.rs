//! Random numbers for sampling: fast, small, of no use for secrets.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
#[derive(Debug, Clone, Copy)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, every one as likely but for one part in 2⁶⁴ ÷ bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number above 0 and up to 1.
    pub fn unit(&mut self) -> f64 {
        const BITS: u32 = 53;
        ((self.bits() >> (u64::BITS - BITS)) + 1) as f64 / (1_u64 << BITS) as f64
    }
}

/// How many executions are left out before the next one that is drawn, if
/// each is drawn by itself with this probability: a geometric number. So what
/// is not drawn costs a countdown, not a random number.
#[must_use]
pub fn skipped(rate: f64, random: &mut Random) -> u64 {
    if rate >= 1.0 {
        return 0;
    }
    if rate <= 0.0 {
        return u64::MAX;
    }
    // A float becomes the nearest u64 at the ends, so nothing overflows.
    (random.unit().ln() / (-rate).ln_1p()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_has_its_rate() {
        let mut random = Random::new(7);
        for rate in [1.0, 0.5, 0.1, 0.01] {
            let draws = 20_000;
            let executions: u64 = (0..draws).map(|_| skipped(rate, &mut random) + 1).sum();
            let found = f64::from(draws) / executions as f64;
            assert!((found / rate - 1.0).abs() < 0.03, "{rate}: {found}");
        }
        assert_eq!(skipped(1.0, &mut random), 0);
        assert_eq!(skipped(0.0, &mut random), u64::MAX);
        assert!(skipped(f64::MIN_POSITIVE, &mut random) > 1_000_000_000);
    }

    #[test]
    fn numbers_stay_in_their_bounds() {
        let mut random = Random::new(0);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[random.below(10) as usize] += 1;
            let unit = random.unit();
            assert!(unit > 0.0 && unit <= 1.0);
        }
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
        assert_eq!(random.below(1), 0);
    }
}
