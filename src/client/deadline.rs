//! One deadline for a call, whatever its steps.

use std::future::Future;
use std::time::{Duration, Instant};

use super::error::{Error, Step};
use crate::clock;

/// When a call has to be over, and how long it was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    given: Duration,
}

impl Deadline {
    pub(crate) fn after(given: Duration) -> Self {
        let now = clock::now();
        // Further off than the clock can count is never: a century will do.
        let at = now.checked_add(given).unwrap_or(now + Duration::from_secs(3_155_760_000));
        Self { at, given }
    }

    /// Runs one step of the call.
    pub(crate) async fn limit<T>(self, step: Step, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout_at(self.at.into(), work).await.map_err(|_| self.passed(step))
    }

    /// An equal share of what is left, for the next of `parts` attempts.
    pub(crate) fn share(self, parts: usize) -> Self {
        let share = self.left() / u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        Self { at: clock::now() + share, ..self }
    }

    /// What is left of it.
    pub(crate) fn left(self) -> Duration {
        self.at.saturating_duration_since(clock::now())
    }

    pub(crate) fn passed(self, step: Step) -> Error {
        Error::TimedOut { step, after: self.given }
    }
}
