//! Ways to carry on what came day by day.
//!
//! Each way turns the changes of past days, free of the rhythm of the week,
//! into the changes of days to come, without that rhythm again. None of them
//! judges itself: that is done in `choice`.
//!
//! Invariant: what is carried on is finite; where nothing ever shrank it is
//! not negative.

use crate::planning::forecast::regression::weekly_line;
use crate::planning::forecast::slope::median;

/// A way to carry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Median slope of the last seven days.
    TheilSen,
    /// Nothing more comes.
    Still,
    /// The mean of all days.
    Drift,
    /// The mean of the days, halved in weight with every so many.
    Recent(u8),
    /// The rate itself grows or fades by a factor a day, ever less.
    Growing,
    /// Least squares of a line in time.
    Line,
}

pub(super) const WAYS: [Way; 9] = [
    Way::TheilSen,
    Way::Still,
    Way::Drift,
    Way::Recent(1),
    Way::Recent(3),
    Way::Recent(7),
    Way::Recent(14),
    Way::Growing,
    Way::Line,
];

/// Where the guard stands among them, and what is taken after a break: in
/// effect the mean of the days since.
pub(super) const THEIL_SEN: usize = 0;
pub(super) const AFTER_A_BREAK: usize = 6;

/// Days that the Theil–Sen slope is taken from.
pub(super) const WEEK: usize = 7;

/// Days that growth of the rate is taken from, and fewest of them.
const GROWTH_DAYS: usize = 28;
const GROWTH_DAYS_MIN: usize = 10;

/// Most growth of the rate a day, in logarithms: damped, eleven times the rate
/// in the end. Whatever grows faster is a start and not a pace.
const GROWTH_MAX: f64 = 0.1;

/// What is left, after a day, of the growth of the rate.
const DAMPING: f64 = 0.96;

/// Fewest days for a line of least squares, and most.
const LINE_DAYS_MIN: usize = 21;
const LINE_DAYS: usize = 56;

/// What a way was given to carry on.
pub(super) struct Past<'a> {
    /// Changes of days, the last one just ended: all, and those at the present
    /// rate.
    pub(super) all: &'a [f64],
    pub(super) since_break: &'a [f64],
    /// Theil–Sen slope of the last [`WEEK`], per day.
    pub(super) theil_sen: f64,
    /// Whether nothing ever shrank.
    pub(super) rising: bool,
}

/// A rate that changes: per day at the start, and how it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    rate: f64,
    /// Factor per day in logarithms, damped.
    growth: f64,
    /// Change of the rate per day, damped.
    slope: f64,
    rising: bool,
}

impl Pace {
    pub(super) const fn steady(rate: f64) -> Self {
        Self { rate, growth: 0.0, slope: 0.0, rising: false }
    }

    /// The change of the day at `index`; 0 is the first one to come.
    pub(super) fn day(&self, index: usize) -> f64 {
        // Sum of DAMPING^1 ... DAMPING^(index + 1).
        let days = DAMPING * (1.0 - DAMPING.powi(index as i32 + 1)) / (1.0 - DAMPING);
        let rate = self.rate * (self.growth * days).exp() + self.slope * days;
        if self.rising { rate.max(0.0) } else { rate }
    }
}

impl Way {
    /// How this way carries on; `None` if there is too little for it.
    pub(super) fn pace(self, past: &Past) -> Option<Pace> {
        let steady = |rate| Pace { rising: past.rising, ..Pace::steady(rate) };
        match self {
            Self::TheilSen => Some(steady(past.theil_sen)),
            Self::Still => Some(steady(0.0)),
            Self::Drift => Some(steady(mean(past.all))),
            Self::Recent(days) => Some(steady(recent(past.since_break, f64::from(days)))),
            Self::Growing => growing(past),
            Self::Line => {
                let changes = &past.since_break[past.since_break.len().saturating_sub(LINE_DAYS)..];
                if changes.len() < LINE_DAYS_MIN {
                    return None;
                }
                let (rate, slope) = weekly_line(changes)?;
                Some(Pace { slope, ..steady(rate) })
            }
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TheilSen => f.write_str("Theil-Sen"),
            Self::Still => f.write_str("no change"),
            Self::Drift => f.write_str("mean of all days"),
            Self::Recent(days) => write!(f, "recent mean (half-life {days} days)"),
            Self::Growing => f.write_str("growing rate, damped"),
            Self::Line => f.write_str("seasonal regression"),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The mean, with weights halved every `half_life` days back.
fn recent(changes: &[f64], half_life: f64) -> f64 {
    let keep = (-1.0 / half_life).exp2();
    let (mut weight, mut sum, mut weights) = (1.0, 0.0, 0.0);
    for change in changes.iter().rev() {
        (sum, weights) = (sum + weight * change, weights + weight);
        weight *= keep;
        if weight < 1e-6 {
            break;
        }
    }
    if weights > 0.0 { sum / weights } else { 0.0 }
}

/// The middle factor between days of the last weeks.
fn growing(past: &Past) -> Option<Pace> {
    let changes = &past.since_break[past.since_break.len().saturating_sub(GROWTH_DAYS)..];
    if changes.len() < GROWTH_DAYS_MIN || changes.iter().any(|change| *change <= 0.0) {
        return None;
    }
    let logs: Vec<f64> = changes.iter().map(|change| change.ln()).collect();
    let mut slopes = Vec::with_capacity(logs.len() * logs.len() / 2);
    for (index, from) in logs.iter().enumerate() {
        slopes.extend(logs[index + 1..].iter().zip(1..).map(|(to, days)| (to - from) / f64::from(days)));
    }
    let growth = median(&mut slopes).clamp(-GROWTH_MAX, GROWTH_MAX);
    // The rate at the end, as each of the last days sees it.
    let last = logs.len() - 1;
    let week = WEEK.min(logs.len());
    let now = (0..week).map(|back| changes[last - back] * (growth * back as f64).exp()).sum::<f64>();
    let rate = now / week as f64;
    (rate.is_finite() && growth.is_finite()).then_some(Pace { rate, growth, slope: 0.0, rising: past.rising })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(way: Way, changes: &[f64]) -> Option<Pace> {
        let rising = changes.iter().all(|change| *change >= 0.0);
        way.pace(&Past { all: changes, since_break: changes, theil_sen: 4.0, rising })
    }

    #[test]
    fn each_way_carries_on_as_it_says() {
        let line: Vec<f64> = (0..28).map(f64::from).collect();
        let day = |way, index| pace(way, &line).map(|pace| pace.day(index));
        assert_eq!(day(Way::TheilSen, 5), Some(4.0));
        assert_eq!(day(Way::Still, 5), Some(0.0));
        assert_eq!(day(Way::Drift, 5), Some(13.5));
        assert!(day(Way::Recent(1), 5).is_some_and(|rate| (25.9..=26.1).contains(&rate)));
        assert!(day(Way::Line, 0).is_some_and(|rate| (27.0..=28.1).contains(&rate)));
        assert_eq!(day(Way::Growing, 0), None, "a day without change has no factor");
    }

    #[test]
    fn growth_of_the_rate_is_damped_and_bounded() {
        let doubling: Vec<f64> = (0..28).map(|day| (f64::from(day) / 14.0).exp2()).collect();
        let pace = pace(Way::Growing, &doubling).unwrap();
        assert!((pace.day(0) / 4.0 - 1.0).abs() < 0.05, "{pace:?}");
        assert!(pace.day(13) > 1.5 * pace.day(0) && pace.day(13) < 2.0 * pace.day(0));
        assert!(pace.day(10_000) < 4.0 * pace.day(0));
        let bursting: Vec<f64> = (0..28).map(|day| 10_f64.powi(3 * day)).collect();
        let pace = self::pace(Way::Growing, &bursting).unwrap();
        assert!(pace.day(90) <= 12.0 * 10_f64.powi(81), "{}", pace.day(90));
    }

    #[test]
    fn what_never_shrank_is_not_carried_on_below_zero() {
        let fading: Vec<f64> = (0..28).map(|day| f64::from(30 - day)).collect();
        let pace = pace(Way::Line, &fading).unwrap();
        assert!((0..100).all(|day| pace.day(day) >= 0.0));
    }

    #[test]
    fn the_regression_sees_through_the_week() {
        let changes: Vec<f64> =
            (0..28).map(|day| 100.0 + 2.0 * f64::from(day) + if day % 7 < 2 { -70.0 } else { 0.0 }).collect();
        let (rate, slope) = weekly_line(&changes).unwrap();
        assert!((slope - 2.0).abs() < 1e-9, "{slope}");
        assert!((rate - (100.0 + 54.0 - 20.0)).abs() < 1e-9, "{rate}");
        assert_eq!(weekly_line(&[1.0; 8]), None);
        assert_eq!(weekly_line(&[0.0; 30]), None);
    }
}
