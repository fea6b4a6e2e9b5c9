//! How a job goes on: how much it does at a time, how long it rests, and what
//! it does after a failure. Laws only; what is done is in `operations`.

/// Milliseconds that one transaction of a copy is to take.
const CHUNK_MS: f64 = 250.0;

const ROWS_FIRST: i64 = 2_000;
const ROWS_MIN: i64 = 100;
const ROWS_MAX: i64 = 200_000;

/// How many rows the next transaction copies, from what the last took: halves
/// what took too long, and grows step by step otherwise.
#[must_use]
pub fn next_rows(last: Option<(i64, f64)>) -> i64 {
    let Some((rows, ms)) = last else { return ROWS_FIRST };
    let next = if ms > 2.0 * CHUNK_MS {
        rows / 4
    } else if ms > CHUNK_MS {
        rows / 2
    } else if ms < CHUNK_MS / 4.0 {
        rows.saturating_mul(2)
    } else {
        rows + rows / 8 + 1
    };
    next.clamp(ROWS_MIN, ROWS_MAX)
}

/// Milliseconds to rest after bytes that took some time, so that the rate is
/// kept; the limit is in kB per second, 0 = none.
#[must_use]
pub fn rest_ms(bytes: i64, took_ms: f64, limit_kb: i64) -> u64 {
    if limit_kb <= 0 || bytes <= 0 {
        return 0;
    }
    let due = bytes as f64 / (limit_kb as f64 * 1024.0) * 1000.0;
    (due - took_ms).clamp(0.0, 60_000.0) as u64
}

/// Seconds until the next try: 1 and then the double, up to 60, more or less a
/// quarter. `random` is between 0 and 1.
#[must_use]
pub fn backoff_seconds(failures: u32, random: f64) -> f64 {
    let seconds = f64::from(1_u32 << failures.saturating_sub(1).min(6)).min(60.0);
    seconds * (0.75 + random.clamp(0.0, 1.0) / 2.0)
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Somebody was in the way, or something was short: it is tried again.
    Passes,
    /// It would fail again.
    Stays,
}

impl Failure {
    /// By the class of an error: locks, deadlocks, serialization, cancels, and
    /// resources pass.
    #[must_use]
    pub fn of(sqlstate: &str) -> Self {
        let passes = matches!(sqlstate, "55P03" | "55006" | "57014" | "58030" | "72000")
            || ["40", "53", "08"].iter().any(|class| sqlstate.starts_with(class));
        if passes { Self::Passes } else { Self::Stays }
    }
}

/// What a job waits for whose worker has the library in another version than
/// that of the extension.
#[must_use]
pub fn unfit(library: &str, extension: &str) -> String {
    let help = if numbers(extension) < numbers(library) {
        "ALTER EXTENSION pg_presplit UPDATE makes them the same"
    } else {
        "once that version is installed, restart the server if it preloads the library"
    };
    format!(
        "versions that fit: the library is of version {library}, the extension of version {extension}; {help}"
    )
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Cutovers that may have to give way, one after the other, before people are asked.
pub const TRIES_MAX: i64 = 500;

/// Seconds in which they may.
pub const TRYING_MAX: f64 = 86_400.0;

/// Tries after which it is said what would help.
const TRIES_UNTIL_ADVICE: i64 = 10;

/// Why a cutover gave way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    Snapshots,
    /// Who has read the table and has not ended his transaction.
    Readers,
    Lock,
    Budget,
    Deadlock,
    /// The table was altered since it was looked at.
    Altered,
    Wish,
    Other(String),
}

impl Hindrance {
    /// What an error of a class says that it has met.
    #[must_use]
    pub fn of(sqlstate: &str, message: &str) -> Self {
        match sqlstate {
            "55P03" => Self::Lock,
            "57014" => Self::Budget,
            "40P01" => Self::Deadlock,
            _ => Self::Other(message.to_owned()),
        }
    }

    /// What was waited for.
    #[must_use]
    pub fn said(&self) -> &str {
        match self {
            Self::Snapshots => "older snapshots",
            Self::Readers => "sessions that have read the table",
            Self::Lock => {
                "a lock that somebody else has on the table, or on one that foreign keys bind to it"
            }
            Self::Budget => "the end of cutover_budget",
            Self::Deadlock => "somebody who waited for it while it waited for him",
            Self::Altered => "an alteration of the table",
            Self::Wish => "a wish of a user",
            Self::Other(message) => message,
        }
    }

    /// What helps if it goes on like this.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Snapshots => {
                "end the sessions in blocked_by, raise presplit.cutover_budget, or set presplit.cutover_snapshots to relaxed"
            }
            Self::Readers | Self::Lock => {
                "end the sessions in blocked_by, or raise presplit.cutover_lock_timeout and presplit.cutover_budget"
            }
            Self::Budget => "raise presplit.cutover_budget, or have less written for a while",
            Self::Deadlock | Self::Altered | Self::Wish | Self::Other(_) => {
                "resume it when less is going on, or raise presplit.cutover_budget"
            }
        }
    }

    /// What stands in `waiting_for` after so many tries.
    #[must_use]
    pub fn told(&self, tries: i64) -> String {
        if tries < TRIES_UNTIL_ADVICE {
            return self.said().to_owned();
        }
        format!("{} ({tries} tries so far; {})", self.said(), self.advice())
    }

    /// Why an operation rests until somebody resumes it.
    #[must_use]
    pub fn parked(&self, operation_id: i64, tries: i64) -> String {
        format!(
            "gave way in {tries} tries to swap its shards, the last time because of {}: {}; then SELECT resume_operation({operation_id})",
            self.said(),
            self.advice()
        )
    }
}

/// Seconds until a cutover is tried again after so many that gave way: soon at
/// first, then as after failures.
#[must_use]
pub fn cutover_pause(tries: i64, random: f64) -> f64 {
    match u32::try_from(tries).unwrap_or(u32::MAX) {
        few @ 0..=3 => f64::from(few) / 10.0,
        many => backoff_seconds(many - 3, random),
    }
}

/// A time of day in which work may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Minutes since midnight.
    pub from: u32,
    pub to: u32,
    /// None = that of the server.
    pub zone: Option<String>,
}

impl Window {
    /// Reads `01:00-05:00 Europe/Berlin`; none if it is not of that form. An
    /// empty text is no window.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split_whitespace();
        let (from, to) = parts.next()?.split_once('-')?;
        let zone = parts.next().map(str::to_owned);
        if parts.next().is_some() {
            return None;
        }
        let (from, to) = (minute(from)?, minute(to)?);
        (from != to).then_some(Self { from, to: to % DAY, zone })
    }

    /// Whether a minute of the day is within it; it may go on past midnight.
    #[must_use]
    pub const fn contains(&self, minute: u32) -> bool {
        if self.from < self.to {
            minute >= self.from && minute < self.to
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

const DAY: u32 = 24 * 60;

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str, length: std::ops::RangeInclusive<usize>| {
        (length.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    let (hour, minute) = (digits(hour, 1..=2)?, digits(minute, 2..=2)?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_to_take_their_time() {
        // A server that copies 40 rows in a millisecond.
        let mut last = None;
        for _ in 0..60 {
            let rows = next_rows(last);
            last = Some((rows, rows as f64 / 40.0));
        }
        let (_, ms) = last.unwrap();
        assert!((60.0..=280.0).contains(&ms), "{ms}");
        assert_eq!(next_rows(Some((1_000_000, 0.0))), ROWS_MAX);
        assert_eq!(next_rows(Some((100, 1e9))), ROWS_MIN);
        assert_eq!(next_rows(Some((i64::MAX, 1.0))), ROWS_MAX);
    }

    #[test]
    fn the_rate_is_kept() {
        assert_eq!(rest_ms(1024 * 1024, 200.0, 1024), 800);
        assert_eq!(rest_ms(1024 * 1024, 2000.0, 1024), 0);
        assert_eq!(rest_ms(1024 * 1024, 200.0, 0), 0);
        assert_eq!(rest_ms(i64::MAX, 0.0, 1), 60_000);
    }

    #[test]
    fn tries_become_rarer() {
        let steady: Vec<f64> = (1..9).map(|n| backoff_seconds(n, 0.5)).collect();
        assert_eq!(steady, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
        assert_eq!(backoff_seconds(0, 0.5), 1.0);
        assert_eq!(backoff_seconds(u32::MAX, 1.0), 75.0);
        assert_eq!(backoff_seconds(1, 0.0), 0.75);
    }

    #[test]
    fn cutovers_are_tried_soon_then_rarely_and_say_what_helps() {
        let pauses: Vec<f64> = (1..=5).map(|tries| cutover_pause(tries, 0.5)).collect();
        assert_eq!(pauses, [0.1, 0.2, 0.3, 1.0, 2.0]);
        assert_eq!(cutover_pause(i64::MAX, 0.5), 60.0);
        let budget = Hindrance::of("57014", "");
        assert_eq!(budget.told(9), "the end of cutover_budget");
        assert!(
            budget.told(10).contains("10 tries so far; raise presplit.cutover_budget"),
            "{}",
            budget.told(10)
        );
        assert!(budget.parked(7, 500).ends_with("SELECT resume_operation(7)"));
        assert_eq!(Hindrance::of("53200", "out of memory").said(), "out of memory");
    }

    #[test]
    fn what_passes_is_tried_again() {
        for state in ["55P03", "40P01", "40001", "53100", "53200", "57014"] {
            assert_eq!(Failure::of(state), Failure::Passes, "{state}");
        }
        for state in ["42P01", "42501", "23505", "XX000", "XX001", "55000", "0A000", ""] {
            assert_eq!(Failure::of(state), Failure::Stays, "{state}");
        }
    }

    #[test]
    fn versions_that_do_not_fit_are_told_with_what_helps() {
        let update = "ALTER EXTENSION pg_presplit UPDATE makes";
        for (library, extension) in [("0.6.0", "0.5.0"), ("0.10.0", "0.9.1"), ("1.0.0", "0.6.0")] {
            assert!(unfit(library, extension).contains(update), "{library} {extension}");
            assert!(unfit(extension, library).contains("restart the server"), "{extension} {library}");
        }
        assert!(
            unfit("0.6.0", "0.5.0").contains("library is of version 0.6.0, the extension of version 0.5.0")
        );
    }

    #[test]
    fn windows_are_read() {
        let window = Window::parse("01:00-05:30 Europe/Berlin").unwrap();
        assert_eq!((window.from, window.to, window.zone.as_deref()), (60, 330, Some("Europe/Berlin")));
        assert!(window.contains(60) && window.contains(329) && !window.contains(330) && !window.contains(0));
        let night = Window::parse("22:00-4:00").unwrap();
        assert!(night.contains(1320) && night.contains(0) && night.contains(239) && !night.contains(240));
        let late = Window::parse("20:00-24:00").unwrap();
        assert!(late.contains(1439) && !late.contains(0));
        for text in [
            "",
            "1-2",
            "01:00",
            "01:00-01:00",
            "25:00-26:00",
            "01:60-02:00",
            "01:00-02:00 a b",
            "01:00 -02:00",
        ] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }
}
