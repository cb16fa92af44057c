//! The only place that asks what time it is.
#![allow(clippy::disallowed_methods, reason = "everything else takes the time as an argument")]

use std::time::{Instant, SystemTime};

/// Now, on the clock that tests can pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now, as the world counts it: for tokens and enqueued times.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A wall clock that goes with [`now`]: in a test with paused time, an hour slept is an hour here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    base: SystemTime,
    at: Instant,
}

impl WallClock {
    pub(crate) fn start() -> Self {
        Self::starting_at(wall())
    }

    /// A clock that shows `base` now.
    pub(crate) fn starting_at(base: SystemTime) -> Self {
        Self { base, at: now() }
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.base + now().saturating_duration_since(self.at)
    }

    /// When it will be `time`; `None` when that is further away than can be waited for.
    pub(crate) fn instant_of(&self, time: SystemTime) -> Option<Instant> {
        self.at.checked_add(time.duration_since(self.base).unwrap_or_default())
    }
}
