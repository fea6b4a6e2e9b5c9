//! How long a piece of work takes: the only look at a clock.

use std::time::Duration;
use std::time::Instant;

/// A clock that was started.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since it was started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Milliseconds since it was started.
    #[must_use]
    pub fn ms(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1000.0
    }
}

/// The server's time, in microseconds since 2000.
#[must_use]
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pgrx::pg_sys::GetCurrentTimestamp() }
}
