//! What a reader knows an event by.

use std::time::Duration;

use crate::Event;
use crate::wire::value::Value;

/// The application property that it travels in.
pub(super) const NAME: &str = "hubwire-bench";
const LEN: usize = 32;

/// Which event it is, of which run, and when it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) run: u64,
    pub(super) lane: u32,
    /// The key's or the partition's number: within it, a lane's events keep their order.
    pub(super) route: u32,
    /// Within the lane.
    pub(super) sequence: u64,
    /// Since the start of the run.
    pub(super) due: Duration,
}

impl Mark {
    /// `run, lane, route, sequence, due in nanoseconds`, all big-endian.
    pub(super) fn value(&self) -> Value {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend_from_slice(&self.run.to_be_bytes());
        bytes.extend_from_slice(&self.lane.to_be_bytes());
        bytes.extend_from_slice(&self.route.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&u64::try_from(self.due.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
        Value::Binary(bytes.into())
    }

    /// The mark of an event that has one.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Some(Value::Binary(bytes)) = event.property(NAME) else { return None };
        let bytes: &[u8; LEN] = bytes.as_ref().try_into().ok()?;
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(word)
        };
        let places = number(8);
        Some(Self {
            run: number(0),
            lane: (places >> 32) as u32,
            route: places as u32,
            sequence: number(16),
            due: Duration::from_nanos(number(24)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_travels_in_an_event() {
        let mark = Mark { run: 7, lane: 1, route: 2, sequence: 1 << 40, due: Duration::from_nanos(1_500) };
        let event = Event::new("body").with_property(NAME, mark.value());
        let event = Event::decode(&event.encode().unwrap()).unwrap();
        assert_eq!(Mark::of(&event), Some(mark));
        assert_eq!(Mark::of(&Event::new("body")), None);
        assert_eq!(Mark::of(&Event::new("body").with_property(NAME, "short")), None);
    }
}
