//! Error and attempt -> wait this long, or give up. Pure: time and randomness are arguments.

use std::time::Duration;

/// When what was not sent is sent again, and when a lost link or connection is tried again.
///
/// A batch goes again by itself only when it is certain that it is not stored: nothing of it left, the hub released it, or
/// the hub refused it for now (throttling). What may be stored is told as
/// [`SendError::Unknown`](crate::SendError::Unknown) and is the caller's to decide; [`resend_unknown`](Self::resend_unknown)
/// makes it hubwire's, at the price of duplicates.
///
/// The wait before attempt `n` is drawn evenly from nothing to `base * 2^n`, at most `cap` (exponential with full jitter); a
/// busy hub is given 4 s on top, as the service asks for.
///
/// ```
/// use std::time::Duration;
/// use hubwire::Retry;
///
/// let retry = Retry::default().base(Duration::from_millis(100)).attempts(2);
/// assert_eq!(retry.wait(0, Duration::ZERO, 0.5), Some(Duration::from_millis(50)));
/// assert_eq!(retry.wait(1, Duration::ZERO, 0.5), Some(Duration::from_millis(100)));
/// assert_eq!(retry.wait(2, Duration::ZERO, 0.5), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Retry {
    attempts: u32,
    base: Duration,
    cap: Duration,
    total: Option<Duration>,
    resend_unknown: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(800),
            cap: Duration::from_secs(60),
            total: None,
            resend_unknown: false,
        }
    }
}

impl Retry {
    /// Nothing is sent again by itself. Lost links and connections are still restored, for what is sent later.
    pub fn none() -> Self {
        Self::default().attempts(0)
    }

    /// How often a batch is sent again, at most. Default 3, as the SDKs have it.
    pub fn attempts(mut self, count: u32) -> Self {
        self.attempts = count;
        self
    }

    /// Twice the mean of the first wait. Default 0.8 s, as most SDKs have it.
    pub fn base(mut self, wait: Duration) -> Self {
        self.base = wait;
        self
    }

    /// The longest wait, but for what a busy hub is given on top. Default 60 s.
    pub fn cap(mut self, wait: Duration) -> Self {
        self.cap = wait;
        self
    }

    /// No batch is sent again later than this after its `send` began. Default: only its deadline counts,
    /// [`Options::send_timeout`](crate::Options::send_timeout), which holds in any case.
    pub fn total(mut self, span: Duration) -> Self {
        self.total = Some(span);
        self
    }

    /// Whether a batch of unknown outcome is sent again as well: no event is lost, some may be stored twice. Default: no.
    pub fn resend_unknown(mut self, resend: bool) -> Self {
        self.resend_unknown = resend;
        self
    }

    /// The wait before attempt `attempt`, counted from 0; `None` when there is none any more.
    ///
    /// `minimum` comes on top; `random` is drawn evenly from 0 to 1.
    #[must_use]
    pub fn wait(&self, attempt: u32, minimum: Duration, random: f64) -> Option<Duration> {
        (attempt < self.attempts).then(|| minimum.saturating_add(self.jittered(attempt, random)))
    }

    /// The wait before a lost link or connection is tried again: there is no last time.
    pub(super) fn recovery_wait(&self, attempt: u32, minimum: Duration, random: f64) -> Duration {
        minimum.saturating_add(self.jittered(attempt, random))
    }

    fn jittered(&self, attempt: u32, random: f64) -> Duration {
        let ceiling =
            2_u32.checked_pow(attempt).map_or(self.cap, |factor| self.base.saturating_mul(factor).min(self.cap));
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    pub(super) fn resends_unknown(&self) -> bool {
        self.resend_unknown
    }

    /// Whether a batch may be sent again so long after its `send` began.
    pub(super) fn allows_after(&self, span: Duration) -> bool {
        self.total.is_none_or(|total| span <= total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end_after_the_last_attempt() {
        let retry = Retry::default().attempts(6).base(millis(100)).cap(millis(700));
        let waits: Vec<_> = (0..7).map(|attempt| retry.wait(attempt, Duration::ZERO, 1.0)).collect();
        let expected = [Some(100), Some(200), Some(400), Some(700), Some(700), Some(700), None];
        assert_eq!(waits, expected.map(|wait| wait.map(millis)));
    }

    #[test]
    fn jitter_is_full_and_a_minimum_comes_on_top() {
        let retry = Retry::default();
        for (random, wait) in [(0.0, 0), (0.25, 200), (0.999, 799), (7.0, 800), (-1.0, 0)] {
            assert_eq!(retry.wait(0, Duration::ZERO, random).unwrap().as_millis(), wait, "{random}");
            assert_eq!(retry.wait(0, millis(4_000), random).unwrap().as_millis(), 4_000 + wait, "{random}");
        }
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let retry = Retry::default().attempts(u32::MAX).base(Duration::MAX).cap(Duration::MAX);
        for attempt in [0, 31, 32, u32::MAX - 1] {
            assert_eq!(retry.wait(attempt, Duration::ZERO, 0.0), Some(Duration::ZERO));
        }
        assert_eq!(Retry::default().recovery_wait(u32::MAX, Duration::MAX, 1.0), Duration::MAX);
    }

    #[test]
    fn nothing_is_sent_again_where_nothing_is_asked_for() {
        assert_eq!(Retry::none().wait(0, Duration::ZERO, 0.5), None);
        assert!(Retry::default().total(millis(5)).allows_after(millis(5)));
        assert!(!Retry::default().total(millis(5)).allows_after(millis(6)));
    }
}
