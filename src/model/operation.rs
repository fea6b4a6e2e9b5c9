//! What is done to a table for long, and how far it is: the words that people
//! and what is written down have for it.

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Load,
    Split,
    Merge,
    Move,
    ShardTable,
    Retention,
    Undo,
}

impl Kind {
    pub const ALL: [Self; 7] =
        [Self::Load, Self::Split, Self::Merge, Self::Move, Self::ShardTable, Self::Retention, Self::Undo];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Split => "split",
            Self::Merge => "merge",
            Self::Move => "move",
            Self::ShardTable => "shard_table",
            Self::Retention => "retention",
            Self::Undo => "undo",
        }
    }

    /// The kind that a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Where an operation is. Each kind has some of them, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Planned,
    Preparing,
    Capturing,
    Copying,
    Indexing,
    CatchingUp,
    Verifying,
    CuttingOver,
    Done,
    Paused,
    Failed,
    Cancelled,
}

impl Phase {
    pub const ALL: [Self; 12] = [
        Self::Planned,
        Self::Preparing,
        Self::Capturing,
        Self::Copying,
        Self::Indexing,
        Self::CatchingUp,
        Self::Verifying,
        Self::CuttingOver,
        Self::Done,
        Self::Paused,
        Self::Failed,
        Self::Cancelled,
    ];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Preparing => "preparing",
            Self::Capturing => "capturing",
            Self::Copying => "copying",
            Self::Indexing => "indexing",
            Self::CatchingUp => "catching_up",
            Self::Verifying => "verifying",
            Self::CuttingOver => "cutting_over",
            Self::Done => "done",
            Self::Paused => "paused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The phase that a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }
}

const SECOND: i64 = 1_000_000;

/// How it goes on, with its speed: bytes in so many microseconds.
#[must_use]
pub fn with_rate(detail: &str, bytes: i64, micros: i64) -> String {
    if bytes <= 0 || micros < SECOND / 10 {
        return detail.to_owned();
    }
    let speed = bytes as f64 / (micros as f64 / SECOND as f64);
    let (speed, unit) = match speed {
        speed if speed >= 1e6 => (speed / 1e6, "MB"),
        speed if speed >= 1e3 => (speed / 1e3, "kB"),
        speed => (speed, "bytes"),
    };
    let digits = usize::from(speed < 9.95 && unit != "bytes");
    format!("{detail}, {speed:.digits$} {unit} per second")
}

/// Seconds until the rest of the bytes has come, at the speed until now; none
/// if there is nothing to tell it from.
#[must_use]
pub fn seconds_left(bytes: i64, total: Option<i64>, micros: i64) -> Option<f64> {
    let rest = total? - bytes;
    (bytes > 0 && rest >= 0 && micros > 0)
        .then(|| rest as f64 * (micros as f64 / SECOND as f64) / bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::Kind;
    use super::Phase;
    use super::seconds_left;
    use super::with_rate;

    #[test]
    fn words_are_different() {
        let mut words: Vec<_> =
            Kind::ALL.map(Kind::word).into_iter().chain(Phase::ALL.map(Phase::word)).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Kind::ALL.len() + Phase::ALL.len());
    }

    #[test]
    fn words_are_found_again() {
        assert!(Kind::ALL.into_iter().all(|kind| Kind::of(kind.word()) == Some(kind)));
        assert!(Phase::ALL.into_iter().all(|phase| Phase::of(phase.word()) == Some(phase)));
        assert_eq!((Kind::of("splits"), Phase::of("")), (None, None));
    }

    #[test]
    fn numbers_of_words_are_their_places() {
        assert!(Kind::ALL.into_iter().enumerate().all(|(at, kind)| kind as usize == at));
        assert!(Phase::ALL.into_iter().enumerate().all(|(at, phase)| phase as usize == at));
    }

    #[test]
    fn speed_has_a_unit_and_two_digits_or_more() {
        let second = 1_000_000;
        assert_eq!(with_rate("a", 21_400_000, second), "a, 21 MB per second");
        assert_eq!(with_rate("a", 2_140_000, second), "a, 2.1 MB per second");
        assert_eq!(with_rate("a", 9_990_000, second), "a, 10 MB per second");
        assert_eq!(with_rate("a", 1_500, second), "a, 1.5 kB per second");
        assert_eq!(with_rate("a", 999, second), "a, 999 bytes per second");
        assert_eq!(with_rate("a", 0, second), "a");
        // Too short a time says nothing.
        assert_eq!(with_rate("a", 1_000_000, 99_999), "a");
    }

    #[test]
    fn the_rest_takes_as_long_as_what_came() {
        assert_eq!(seconds_left(50, Some(100), 2_000_000), Some(2.0));
        assert_eq!(seconds_left(100, Some(100), 2_000_000), Some(0.0));
        assert_eq!(seconds_left(0, Some(100), 2_000_000), None);
        assert_eq!(seconds_left(50, None, 2_000_000), None);
        assert_eq!(seconds_left(150, Some(100), 2_000_000), None);
    }
}
