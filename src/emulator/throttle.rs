//! Throughput units: what a namespace takes in a second. Source: event-hubs-wire 13.

use std::time::SystemTime;

use crate::wire::condition;
use crate::wire::frame::PeerError;

/// One unit's bytes in a second.
const UNIT_BYTES: f64 = 1_048_576.0;
/// One unit's events in a second.
const UNIT_EVENTS: f64 = 1_000.0;

/// What may still come in. Each second adds a second's worth, and no more than that is saved up.
///
/// A message is taken while anything is left, and may leave a debt: the service measures what came, it does not know
/// what will.
#[derive(Debug)]
pub(super) struct Throttle {
    units: u32,
    bytes: f64,
    events: f64,
    at: Option<SystemTime>,
}

impl Throttle {
    pub(super) fn new(units: u32) -> Self {
        let units_each = f64::from(units);
        Self { units, bytes: UNIT_BYTES * units_each, events: UNIT_EVENTS * units_each, at: None }
    }

    /// Counts a message in, or refuses it as the service does.
    pub(super) fn take(&mut self, bytes: usize, events: usize, now: SystemTime) -> Result<(), PeerError> {
        self.refill(now);
        if self.bytes <= 0.0 || self.events <= 0.0 {
            return Err(busy());
        }
        self.bytes -= bytes as f64;
        self.events -= events as f64;
        Ok(())
    }

    fn refill(&mut self, now: SystemTime) {
        let since = self.at.and_then(|at| now.duration_since(at).ok()).unwrap_or_default();
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        let (units, seconds) = (f64::from(self.units), since.as_secs_f64());
        self.bytes = (self.bytes + UNIT_BYTES * units * seconds).min(UNIT_BYTES * units);
        self.events = (self.events + UNIT_EVENTS * units * seconds).min(UNIT_EVENTS * units);
    }
}

/// Source: event-hubs-wire 10.1.
pub(super) fn busy() -> PeerError {
    let text = "The request was terminated because the entity is being throttled. Error code : 50002. Please wait 4 \
                seconds and try again.";
    PeerError::new(condition::SERVER_BUSY, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_unit_is_a_thousand_events_or_a_mebibyte_a_second() {
        for (bytes, events, taken) in [(0, 100, 10), (131_072, 1, 8)] {
            let mut throttle = Throttle::new(1);
            let mut now = UNIX_EPOCH;
            for second in 0..3 {
                let count = (0..100).filter(|_| throttle.take(bytes, events, now).is_ok()).count();
                assert_eq!(count, taken, "{bytes} bytes, {events} events, second {second}");
                now += Duration::from_secs(1);
            }
        }
    }

    #[test]
    fn a_large_message_is_taken_and_paid_off() {
        let mut throttle = Throttle::new(2);
        assert!(throttle.take(1, 6_000, UNIX_EPOCH).is_ok());
        let refused = throttle.take(1, 1, UNIX_EPOCH + Duration::from_secs(2)).unwrap_err();
        assert_eq!(refused.condition, condition::SERVER_BUSY);
        assert!(refused.description.unwrap().contains("50002"));
        assert!(throttle.take(1, 1, UNIX_EPOCH + Duration::from_millis(2_001)).is_ok());
    }

    #[test]
    fn nothing_is_saved_up_in_idle_times_and_a_clock_that_turns_back_gives_nothing() {
        let mut throttle = Throttle::new(1);
        let later = UNIX_EPOCH + Duration::from_secs(3_600);
        assert!(throttle.take(1, 1_000, later).is_ok());
        assert!(throttle.take(1, 1, UNIX_EPOCH).is_err());
        assert!(throttle.take(1, 1, later).is_err());
    }
}
