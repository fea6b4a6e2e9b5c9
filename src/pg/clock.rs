//! How long a piece of work takes: the only look at a clock.

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

    /// Milliseconds since it was started.
    #[must_use]
    pub fn ms(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1000.0
    }
}
