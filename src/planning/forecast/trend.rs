//! The line that a series follows, by as much as its history allows.
//!
//! The line goes through an anchor, usually the last observation, with the
//! rate of the series; where it may be wrong is the matter of `interval`.
//! Seasons, jumps and the choice among methods are not here.
//!
//! Invariant: rates and points are finite, `lower <= value <= upper`.

use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Observation;
use crate::planning::forecast::days_between;
use crate::planning::forecast::interval::Band;
use crate::planning::forecast::interval::ORIGINS_TO_JUDGE;
use crate::planning::forecast::series::Series;
use crate::planning::forecast::slope::recent;
use crate::planning::forecast::slope::theil_sen;

/// Fewest observations for a line by Theil–Sen; below it the drift decides.
const THEIL_SEN_MIN: usize = 4;

/// Most observations that the rate is taken from: 44,850 pairs, about a
/// millisecond.
const POINTS_FOR_RATE: usize = 300;

/// Most observations that residuals are taken from: the line is drawn again
/// from every origin, so they must be fewer.
const POINTS_FOR_RESIDUALS: usize = 120;

/// A rate with its doubt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trend {
    pub(super) rate_per_day: f64,
    pub(super) band: Band,
    /// The last moment that is known; doubt grows from there.
    pub(super) known_until: i64,
    pub(super) model: String,
}

/// Recent parts of the history that a line may be drawn through instead of
/// all of it, because rates change.
const WINDOWS: [f64; 2] = [0.5, 0.25];

/// A recent part must have missed by less than this share of what the longer
/// one did, or its advantage is luck.
const BETTER: f64 = 0.9;

impl Trend {
    /// The best line that the length of the history allows.
    pub(super) fn of(series: &Series) -> Self {
        let (count, span) = (series.len(), series.span_days());
        let (rate_per_day, band, model) = if count == 1 {
            (0.0, Band::default(), "flat: one observation, change unknown".to_owned())
        } else if series.constant() {
            let model = format!("flat: {count} equal observations over {}", duration(span));
            (0.0, Band::default(), model)
        } else if count < THEIL_SEN_MIN {
            let (rate, band) = drift(series);
            let model = format!("drift of {count} observations over {}, ±100 % of growth", duration(span));
            (rate, band, model)
        } else {
            robust(series)
        };
        Self { rate_per_day, band, known_until: series.last().at, model }
    }

    /// No line at all: what is known now stays.
    pub(super) fn unknown(known_until: i64) -> Self {
        Self { rate_per_day: 0.0, band: Band::default(), known_until, model: String::new() }
    }

    /// Turns the trend of a part into that of the whole.
    pub(super) fn scale(&mut self, factor: f64) {
        self.rate_per_day *= factor;
        self.band.scale(factor);
    }

    /// The line through `anchor`, at a moment (microseconds since 1970 UTC).
    pub(super) fn point(&self, anchor: Observation, at: i64) -> ForecastPoint {
        let value = anchor.value + self.rate_per_day * days_between(anchor.at, at);
        let half = self.half_width(anchor.at, at);
        ForecastPoint { at, value, lower: value - half, upper: value + half }
    }

    /// Half of the interval's width at a moment, anchored at another. A line
    /// that is anchored after the last known moment is older than it looks.
    pub(super) fn half_width(&self, anchor: i64, at: i64) -> f64 {
        self.band.half_width(days_between(anchor.min(self.known_until), at), self.rate_per_day)
    }
}

/// The line from the first to the last observation, with ±100 % of growth,
/// and no less than what the observations between them miss it by.
fn drift(series: &Series) -> (f64, Band) {
    let (first, last, span) = (series.first(), series.last(), series.span_days());
    let rate = (last.value - first.value) / span;
    let miss =
        |point: &Observation| (point.value - first.value - rate * days_between(first.at, point.at)).abs();
    let worst = series.thinned(THEIL_SEN_MIN).iter().map(miss).fold(0.0, f64::max);
    (rate, Band::of_growth(1.0).with_miss(span, worst))
}

/// The Theil–Sen line of the whole history, or of its recent part where that
/// would have been clearly better.
fn robust(series: &Series) -> (f64, Band, String) {
    // At three observations this meets the ±100 % of the drift.
    let growth_share = 1.0 / (series.len() - 2) as f64;
    let points = series.thinned(POINTS_FOR_RESIDUALS);
    let (mut window, mut best) = (1.0, Band::trial(&points, 1.0, growth_share));
    for shorter in WINDOWS {
        let trial = Band::trial(&points, shorter, growth_share);
        if trial.origins >= ORIGINS_TO_JUDGE && trial.error < BETTER * best.error {
            (window, best) = (shorter, trial);
        }
    }
    let rate = theil_sen(recent(&series.thinned(POINTS_FOR_RATE), window));
    let span = series.span_days();
    let model = if window < 1.0 {
        format!("Theil-Sen over the last {} of {}", duration(span * window), duration(span))
    } else {
        format!("Theil-Sen over {}", duration(span))
    };
    (rate, best.band, model)
}

/// A duration as people say it, given in days.
pub(super) fn duration(days: f64) -> String {
    let (hours, minutes) = (days * 24.0, days * 1440.0);
    if days >= 2.0 {
        format!("{days:.0} days")
    } else if hours >= 2.0 {
        format!("{hours:.0} hours")
    } else if minutes >= 2.0 {
        format!("{minutes:.0} minutes")
    } else {
        format!("{:.3} seconds", minutes * 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        for (days, expected) in
            [(365.2, "365 days"), (1.0, "24 hours"), (0.05, "72 minutes"), (0.0001, "8.640 seconds")]
        {
            assert_eq!(duration(days), expected);
        }
    }
}
