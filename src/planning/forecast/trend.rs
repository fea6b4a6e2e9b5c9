//! The way that a series goes, by as much as its history allows.
//!
//! The way starts at an anchor, usually the last observation. Which way it is
//! follows the length of the history: nothing, a drift, a Theil–Sen line, the
//! rhythm of the day, of the week, and the choice among methods (`choice`);
//! where it may be wrong is the matter of `interval`.
//!
//! Invariant: points are finite, `lower <= value <= upper`.

use crate::planning::forecast::DAY;
use crate::planning::forecast::ForecastPoint;
use crate::planning::forecast::Observation;
use crate::planning::forecast::choice::Choice;
use crate::planning::forecast::course::Course;
use crate::planning::forecast::days::Days;
use crate::planning::forecast::days::HOURS;
use crate::planning::forecast::days::steps;
use crate::planning::forecast::days_between;
use crate::planning::forecast::interval::Band;
use crate::planning::forecast::interval::Miss;
use crate::planning::forecast::interval::ORIGINS_TO_JUDGE;
use crate::planning::forecast::interval::error_of;
use crate::planning::forecast::interval::misses_of_lines;
use crate::planning::forecast::rate::WEEK;
use crate::planning::forecast::rate::Way;
use crate::planning::forecast::rhythm::Rhythm;
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

/// Recent parts of the history that a line may be drawn through instead of
/// all of it, because rates change.
const WINDOWS: [f64; 2] = [0.5, 0.25];

/// A recent part must have missed by less than this share of what the longer
/// one did, or its advantage is luck.
const BETTER: f64 = 0.9;

/// Readings a day that show the whole day.
const READINGS_A_DAY: f64 = 6.0;

/// The least doubt of the rate of a single day, as a share of it: the next one
/// may be a Sunday. Calibrated, like the following.
const DAY_TO_DAY: f64 = 0.2;

/// Intervals are wider by this over the number of days: what short histories
/// have not seen yet.
const DAYS_UNSEEN: f64 = 3.0;

/// Days that weigh as much as an even rhythm of the day.
const DAYS_PRIOR: f64 = 3.0;

/// Days of history from which a series that never fell is not expected to.
const DAYS_TO_NEVER_FALL: f64 = 14.0;

/// A way to go on with its doubt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trend {
    pub(super) course: Course,
    pub(super) band: Band,
    /// The last moment that is known; doubt grows from there.
    pub(super) known_until: i64,
    /// Whether it never fell, and so is not expected to.
    pub(super) never_falls: bool,
    pub(super) model: String,
}

impl Trend {
    /// The best way that the length of the history allows.
    pub(super) fn of(series: &Series) -> Self {
        let (count, span) = (series.len(), series.span_days());
        if count > 1
            && !series.constant()
            && let Some(days) = Days::of(series)
        {
            return Self::of_days(series, &days);
        }
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
        let never_falls = span >= DAYS_TO_NEVER_FALL && series.never_fell();
        Self { course: Course::line(rate_per_day), band, known_until: series.last().at, never_falls, model }
    }

    /// From three days on: the chosen ways with the rhythms that were found.
    fn of_days(series: &Series, days: &Days) -> Self {
        let choice = Choice::of(days);
        let hours = Rhythm::of(&days.hours, HOURS, DAYS_PRIOR);
        let model = words(series, days, &choice, &hours);
        let course = Course::of(&choice.paces, &choice.week, hours);
        let growth_share = 1.0 / (series.len().max(3) - 2) as f64;
        let mut band =
            Band::of_misses(&choice.misses, days.len() as f64, course.rate_per_day(), growth_share);
        band.scale(1.0 + DAYS_UNSEEN / days.len() as f64);
        let never_falls = series.span_days() >= DAYS_TO_NEVER_FALL && series.never_fell();
        Self { course, band, known_until: series.last().at, never_falls, model }
    }

    /// No line at all: what is known now stays.
    pub(super) fn unknown(known_until: i64) -> Self {
        let (course, band) = (Course::line(0.0), Band::default());
        Self { course, band, known_until, never_falls: false, model: String::new() }
    }

    pub(super) fn rate_per_day(&self) -> f64 {
        self.course.rate_per_day()
    }

    /// Turns the trend of a part into that of the whole.
    pub(super) fn scale(&mut self, factor: f64) {
        self.course.scale(factor);
        self.band.scale(factor);
    }

    /// The way through `anchor`, at a moment (microseconds since 1970 UTC).
    pub(super) fn point(&self, anchor: Observation, at: i64) -> ForecastPoint {
        let ahead = |at: i64| self.course.change(days_between(self.known_until, at));
        let value = anchor.value + (ahead(at) - ahead(anchor.at));
        let half = self.half_width(anchor.at, at);
        let floor = if self.never_falls { anchor.value.min(value) } else { f64::NEG_INFINITY };
        ForecastPoint { at, value, lower: (value - half).max(floor), upper: value + half }
    }

    /// Half of the interval's width at a moment, anchored at another. A line
    /// that is anchored after the last known moment is older than it looks.
    pub(super) fn half_width(&self, anchor: i64, at: i64) -> f64 {
        self.band.half_width(days_between(anchor.min(self.known_until), at), self.rate_per_day())
    }
}

/// What was done, for people.
fn words(series: &Series, days: &Days, choice: &Choice, hours: &Rhythm) -> String {
    let span = duration(series.span_days());
    let method = match &choice.mix[..] {
        [(Way::TheilSen, _)] if days.len() > WEEK => {
            format!("Theil-Sen over the last 7 days of {span}")
        }
        [(Way::TheilSen, _)] => format!("Theil-Sen over {span}"),
        [(way, _)] => format!("{way} over {span}"),
        mix => {
            let part = |(way, weight): &(Way, f64)| format!("{way} {:.0} %", 100.0 * weight);
            format!("{} over {span}", mix.iter().map(part).collect::<Vec<_>>().join(" + "))
        }
    };
    let mut words = method;
    match (hours.is_even(), choice.week.is_even()) {
        (true, true) => {}
        (false, true) => words.push_str(", with hours of the day"),
        (true, false) => words.push_str(", with days of the week"),
        (false, false) => words.push_str(", with hours of the day and days of the week"),
    }
    if let Some(broke) = choice.broke {
        words.push_str(&format!(", the rate changed {broke} days ago"));
    }
    match days.jumps {
        0 => {}
        1 => words.push_str(", 1 jump left out"),
        jumps => words.push_str(&format!(", {jumps} jumps left out")),
    }
    words
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

/// The mean of one or two whole days: a line through a day and a half would be
/// tilted by the half.
fn mean_of_whole_days(series: &Series, misses: &[Miss]) -> (f64, Band, String) {
    let (span, whole) = (series.span_days(), series.span_days() as usize);
    let rate = steps(series, whole, DAY).iter().sum::<f64>() / whole as f64;
    let share = (1.0 / (series.len() - 2) as f64).max(DAY_TO_DAY / span);
    let band = Band::of_misses(misses, span, rate, share);
    (rate, band, format!("mean of the last {}", duration(whole as f64)))
}

/// The Theil–Sen line of the whole history, or of its recent part where that
/// would have been clearly better.
fn robust(series: &Series) -> (f64, Band, String) {
    // At three observations this meets the ±100 % of the drift.
    let growth_share = 1.0 / (series.len() - 2) as f64;
    let span = series.span_days();
    let points = series.thinned(POINTS_FOR_RESIDUALS);
    if span >= 1.0 && series.len() as f64 >= READINGS_A_DAY * span {
        return mean_of_whole_days(series, &misses_of_lines(&points, 1.0));
    }
    let (mut window, mut misses) = (1.0, misses_of_lines(&points, 1.0));
    for shorter in WINDOWS {
        let tried = misses_of_lines(&points, shorter);
        let (error, origins) = error_of(&tried);
        if origins >= ORIGINS_TO_JUDGE && error < BETTER * error_of(&misses).0 {
            (window, misses) = (shorter, tried);
        }
    }
    let rate = theil_sen(recent(&series.thinned(POINTS_FOR_RATE), window));
    let band = Band::of_misses(&misses, span, rate, growth_share);
    let model = if window < 1.0 {
        format!("Theil-Sen over the last {} of {}", duration(span * window), duration(span))
    } else {
        format!("Theil-Sen over {}", duration(span))
    };
    (rate, band, model)
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
