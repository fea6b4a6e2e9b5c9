//! The way a series is expected to go: what will have come by when.
//!
//! Days first, because rates and weeks are known by the day; inside a day the
//! rhythm of its hours. After three months the course is a straight line: no
//! rhythm or growth of the rate is carried on longer.
//!
//! Invariant: the change over no time is zero, and changes are finite.

use crate::planning::forecast::rate::Pace;
use crate::planning::forecast::rhythm::Rhythm;

/// Whole weeks that are laid out day by day.
const DAYS_LAID_OUT: usize = 91;

const WEEK: usize = 7;

/// Expected changes from the last known moment on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    /// Change up to the end of each day.
    days: Vec<f64>,
    hours: Rhythm,
    /// Change per day beyond.
    beyond: f64,
}

impl Course {
    /// The same change every day.
    pub(super) fn line(rate_per_day: f64) -> Self {
        Self { days: Vec::new(), hours: Rhythm::even(), beyond: rate_per_day }
    }

    /// A mixture of paces with the rhythms of a week and of a day.
    pub(super) fn of(paces: &[(Pace, f64)], week: &Rhythm, hours: Rhythm) -> Self {
        let even = |day: usize| paces.iter().map(|(pace, weight)| weight * pace.day(day)).sum::<f64>();
        let mut sum = 0.0;
        let days = (0..DAYS_LAID_OUT).map(|day| {
            sum += week.with(even(day), day);
            sum
        });
        let days = days.collect();
        Self { days, hours, beyond: even(DAYS_LAID_OUT) }
    }

    /// Mean change per day over the next week.
    pub(super) fn rate_per_day(&self) -> f64 {
        if self.days.is_empty() { self.beyond } else { self.up_to_day(WEEK) / WEEK as f64 }
    }

    fn up_to_day(&self, day: usize) -> f64 {
        let laid_out = self.days.len();
        let within = day.min(laid_out).checked_sub(1).map_or(0.0, |last| self.days[last]);
        within + self.beyond * day.saturating_sub(laid_out) as f64
    }

    /// The change over the first so many days; before the last known moment
    /// it goes back at the rate.
    pub(super) fn change(&self, days: f64) -> f64 {
        if days <= 0.0 {
            return self.rate_per_day() * days;
        }
        if days >= self.days.len() as f64 {
            return self.up_to_day(self.days.len()) + self.beyond * (days - self.days.len() as f64);
        }
        let day = days as usize;
        let (from, to) = (self.up_to_day(day), self.up_to_day(day + 1));
        from + self.hours.part(to - from, days - day as f64)
    }

    /// Turns the course of a part into that of the whole.
    pub(super) fn scale(&mut self, factor: f64) {
        self.days.iter_mut().for_each(|day| *day *= factor);
        self.hours.scale(factor);
        self.beyond *= factor;
    }
}
