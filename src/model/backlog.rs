//! Changes that wait to be brought over while others go on writing: how many
//! are taken at a time, whether they become fewer, and what is said if not.

use serde::Deserialize;
use serde::Serialize;

use crate::model::job::TRYING_MAX;

/// Milliseconds that one transaction is to take that brings changes over.
const ROUND_MS: f64 = 1_000.0;

const KEYS_FIRST: i64 = 2_000;
const KEYS_MIN: i64 = 500;
const KEYS_MAX: i64 = 500_000;

/// Rounds that may be made of what is left: each looks at all of it.
const LOOKS_MAX: i64 = 50;

/// Changes that are always few.
pub const FEW: i64 = 1_000;

/// By how much they must have become fewer to count as such.
const FEWER: f64 = 0.9;

/// Seconds after which it is said that they do not become fewer.
const SAID_AFTER: f64 = 60.0;

/// The share of a cutover's budget that the last changes are to take, and that
/// they may take if they have not become fewer for long.
const RESIDUAL_SHARE: f64 = 0.1;
const RESIDUAL_SHARE_MAX: f64 = 0.5;

/// The budget of a cutover, in milliseconds, in which few changes are brought over.
const BUDGET_OF_FEW: f64 = 500.0;

/// How many changes the next transaction takes, from how many the last one
/// took, in what time, and how many it left. Each reads all of them, so of many
/// it takes more; the more it takes, the more are of the same rows, which go
/// over once.
#[must_use]
pub fn next_keys(last: Option<(i64, f64)>, left: i64) -> i64 {
    let next = match last {
        None => KEYS_FIRST,
        Some((keys, ms)) if ms > 2.0 * ROUND_MS => keys / 2,
        Some((keys, ms)) if ms < ROUND_MS / 2.0 => keys.saturating_mul(2),
        Some((keys, _)) => keys,
    };
    next.clamp(KEYS_MIN, KEYS_MAX).max(left / LOOKS_MAX)
}

/// How many changes there were at least, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    least: i64,
    /// Seconds of the server's clock.
    since: f64,
}

impl Backlog {
    /// After a look that has found so many; none if they are few.
    #[must_use]
    pub fn after(before: Option<Self>, changes: i64, now: f64) -> Option<Self> {
        if changes <= FEW {
            return None;
        }
        match before {
            Some(before) if changes as f64 > before.least as f64 * FEWER => Some(before),
            _ => Some(Self { least: changes, since: now }),
        }
    }

    /// For how many seconds they have not become fewer. A clock that was set back counts as none.
    #[must_use]
    pub fn stuck(self, now: f64) -> f64 {
        (now - self.since).max(0.0)
    }

    /// Whether it is to be said.
    #[must_use]
    pub fn is_stuck(self, now: f64) -> bool {
        self.stuck(now) >= SAID_AFTER
    }

    /// Whether it is left to people.
    #[must_use]
    pub fn is_hopeless(self, now: f64) -> bool {
        self.stuck(now) > TRYING_MAX
    }

    /// What stands in `waiting_for`.
    #[must_use]
    pub fn told(self, changes: i64, now: f64, at_cutover: bool) -> String {
        let minutes = (self.stuck(now) / 60.0) as i64;
        format!(
            "rows that are changed faster than they are brought over: {changes} are left, for {minutes} min no fewer ({})",
            advice(at_cutover)
        )
    }

    /// Why an operation rests until somebody resumes it.
    #[must_use]
    pub fn parked(operation_id: i64, at_cutover: bool) -> String {
        format!(
            "rows were changed faster than they were brought over, for a day: {}; then SELECT resume_operation({operation_id})",
            advice(at_cutover)
        )
    }
}

const fn advice(at_cutover: bool) -> &'static str {
    if at_cutover {
        "have less written for a while, or raise presplit.cutover_budget"
    } else {
        "have less written for a while, or begin it anew when less is written"
    }
}

/// What may be left when writers are kept out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    pub keys: i64,
    /// Milliseconds that the last round may have taken.
    pub ms: f64,
}

impl Residual {
    /// Of a budget, in milliseconds. What does not become fewer for long may
    /// take more of it, but never more than the budget.
    #[must_use]
    pub fn within(budget_ms: f64, is_stuck: bool) -> Self {
        if is_stuck {
            return Self { keys: i64::MAX, ms: budget_ms * RESIDUAL_SHARE_MAX };
        }
        let keys = FEW as f64 * (budget_ms / BUDGET_OF_FEW).max(1.0);
        Self { keys: keys as i64, ms: budget_ms * RESIDUAL_SHARE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_come_to_take_their_time() {
        assert_eq!(next_keys(None, 0), KEYS_FIRST);
        // One that brings over 20 changes in a millisecond, and a slow one.
        for (each_ms, expected) in [(0.05, 10_000..=40_000), (2.0, 500..=1_000), (0.0, KEYS_MAX..=KEYS_MAX)] {
            let mut last = None;
            for _ in 0..40 {
                let keys = next_keys(last, 0);
                last = Some((keys, keys as f64 * each_ms));
            }
            assert!(expected.contains(&last.unwrap().0), "{each_ms}: {last:?}");
        }
        assert_eq!(next_keys(Some((i64::MAX, 0.0)), i64::MAX), i64::MAX / 50);
        assert_eq!(next_keys(Some((1_000, 1e9)), 80_000), 1_600);
    }

    #[test]
    fn what_does_not_become_fewer_is_noticed() {
        let mut backlog = None;
        // Slowly fewer: every look is a tenth and more below the last.
        for (at, changes) in [90_000, 70_000, 50_000, 30_000].into_iter().enumerate() {
            backlog = Backlog::after(backlog, changes, at as f64 * 50.0);
            assert!(!backlog.unwrap().is_stuck(at as f64 * 50.0));
        }
        // Then no more, whatever the ups and downs.
        for (at, changes) in [(160.0, 31_000), (180.0, 28_000), (220.0, 500_000)] {
            backlog = Backlog::after(backlog, changes, at);
        }
        let stuck = backlog.unwrap();
        assert!(!stuck.is_stuck(200.0) && stuck.is_stuck(210.0));
        assert!(!stuck.is_hopeless(86_000.0) && stuck.is_hopeless(86_600.0));
        assert!(!stuck.is_stuck(-1e9), "a clock that was set back");
        assert_eq!(
            stuck.told(28_000, 300.0, true),
            "rows that are changed faster than they are brought over: 28000 are left, for 2 min no fewer \
             (have less written for a while, or raise presplit.cutover_budget)"
        );
        assert!(Backlog::parked(7, false).ends_with("then SELECT resume_operation(7)"));
        assert_eq!(Backlog::after(backlog, FEW, 300.0), None);
    }

    #[test]
    fn a_larger_budget_lets_more_be_left() {
        assert_eq!(Residual::within(500.0, false), Residual { keys: 1_000, ms: 50.0 });
        assert_eq!(Residual::within(100.0, false), Residual { keys: 1_000, ms: 10.0 });
        assert_eq!(Residual::within(5_000.0, false), Residual { keys: 10_000, ms: 500.0 });
        assert_eq!(Residual::within(500.0, true), Residual { keys: i64::MAX, ms: 250.0 });
    }
}
