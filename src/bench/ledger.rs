//! What was published beside what was read: loss, duplicates, order.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::mark::Mark;

/// What is known of an event.
mod state {
    pub(super) const ACCEPTED: u8 = 1;
    /// It came back: nobody should ever read it.
    pub(super) const REFUSED: u8 = 2;
    pub(super) const SEEN: u8 = 4;
}

/// How a batch of events ended, as far as readers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Accepted,
    /// Rejected, or not sent.
    Refused,
    Unknown,
}

/// Every event of a round, by lane and number.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lanes: Vec<Vec<u8>>,
    /// The last number that was seen of a lane's route in a partition.
    last: HashMap<(u32, u32, u32), u64>,
    accepted: u64,
    /// Of the accepted ones.
    accepted_seen: u64,
    received: Received,
}

/// What readers found. All but the first count is 0 when all is well. The counts are of what came: where `lost` is not known, more
/// may have been there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Events of this run that came, those of the warm-up among them.
    pub events: u64,
    /// Accepted, and never read; `None` where that is not known: a reader failed, or was waited for no longer.
    pub lost: Option<u64>,
    /// Read more than once: how often more.
    pub duplicates: u64,
    /// Read behind a later event of the same link and key in the same partition.
    pub out_of_order: u64,
    /// Read, although the hub had refused them or they had not been sent.
    pub refused_but_read: u64,
    /// Read, where the publisher was told no outcome.
    pub unknown_but_read: u64,
}

impl Ledger {
    pub(super) fn new(lanes: u32) -> Self {
        Self { lanes: vec![Vec::new(); lanes as usize], ..Self::default() }
    }

    pub(super) fn end(&mut self, lane: u32, sequences: &[u64], fate: Fate) {
        for &sequence in sequences {
            let Some(cell) = self.cell(lane, sequence) else { continue };
            match fate {
                Fate::Accepted => *cell |= state::ACCEPTED,
                Fate::Refused => *cell |= state::REFUSED,
                Fate::Unknown => continue,
            }
            let was_seen = *cell & state::SEEN != 0;
            self.accepted += u64::from(fate == Fate::Accepted);
            self.accepted_seen += u64::from(fate == Fate::Accepted && was_seen);
        }
    }

    pub(super) fn arrive(&mut self, partition: u32, mark: &Mark) {
        let Some(cell) = self.cell(mark.lane, mark.sequence) else { return };
        let (was_seen, is_accepted) = (*cell & state::SEEN != 0, *cell & state::ACCEPTED != 0);
        *cell |= state::SEEN;
        self.received.events += 1;
        if was_seen {
            self.received.duplicates += 1;
            return;
        }
        self.accepted_seen += u64::from(is_accepted);
        let last = self.last.entry((mark.lane, mark.route, partition)).or_insert(mark.sequence);
        if mark.sequence < *last {
            self.received.out_of_order += 1;
        }
        *last = mark.sequence.max(*last);
    }

    /// Events that were accepted and have not been read.
    pub(super) fn missing(&self) -> u64 {
        self.accepted - self.accepted_seen
    }

    /// Events that came so far, duplicates among them.
    pub(super) fn seen(&self) -> u64 {
        self.received.events
    }

    /// What was found. `is_complete` says that all was waited for.
    pub(super) fn received(&self, is_complete: bool) -> Received {
        let mut received = Received { lost: is_complete.then(|| self.missing()), ..self.received };
        for cell in self.lanes.iter().flatten().filter(|cell| **cell & state::SEEN != 0) {
            received.refused_but_read += u64::from(cell & state::REFUSED != 0);
            received.unknown_but_read += u64::from(cell & (state::REFUSED | state::ACCEPTED) == 0);
        }
        received
    }

    /// `None` for what no lane can have sent.
    fn cell(&mut self, lane: u32, sequence: u64) -> Option<&mut u8> {
        /// Events of a lane that are looked at, at most: a byte of memory each.
        const MAX_EVENTS: u64 = 1 << 30;
        let cells = self.lanes.get_mut(lane as usize).filter(|_| sequence < MAX_EVENTS)?;
        let at = sequence as usize;
        if at >= cells.len() {
            cells.resize(at + 1, 0);
        }
        cells.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn mark(lane: u32, route: u32, sequence: u64) -> Mark {
        Mark { run: 1, lane, route, sequence, due: Duration::ZERO }
    }

    #[test]
    fn all_is_well_when_each_comes_once_and_in_order() {
        let mut ledger = Ledger::new(2);
        // An arrival may be seen before the outcome.
        for (lane, sequence) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            ledger.arrive(3, &mark(lane, 0, sequence));
            ledger.end(lane, &[sequence], Fate::Accepted);
        }
        assert_eq!(ledger.received(true), Received { events: 4, lost: Some(0), ..Received::default() });
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let mut ledger = Ledger::new(1);
        ledger.end(0, &[0, 1, 2, 3], Fate::Accepted);
        ledger.end(0, &[4, 5], Fate::Refused);
        ledger.end(0, &[6, 7], Fate::Unknown);
        for sequence in [0, 2, 1, 2, 4, 6] {
            ledger.arrive(0, &mark(0, 0, sequence));
        }
        let expected = Received {
            events: 6,
            lost: Some(1),
            duplicates: 1,
            out_of_order: 1,
            refused_but_read: 1,
            unknown_but_read: 1,
        };
        assert_eq!(ledger.received(true), expected);
        assert_eq!(ledger.received(false), Received { lost: None, ..expected });
        assert_eq!(ledger.missing(), 1);
    }

    #[test]
    fn order_is_that_of_a_route_in_a_partition() {
        let mut ledger = Ledger::new(1);
        for (partition, route, sequence) in [(0, 0, 5), (0, 1, 2), (1, 0, 1), (0, 0, 6), (1, 0, 4)] {
            ledger.arrive(partition, &mark(0, route, sequence));
        }
        assert_eq!(ledger.received(true).out_of_order, 0);
        ledger.arrive(0, &mark(0, 1, 0));
        assert_eq!(ledger.received(true).out_of_order, 1);
    }

    #[test]
    fn what_no_lane_sent_is_not_counted() {
        let mut ledger = Ledger::new(1);
        ledger.arrive(0, &mark(1, 0, 0));
        ledger.arrive(0, &mark(0, 0, u64::MAX));
        assert_eq!(ledger.received(true), Received { lost: Some(0), ..Received::default() });
    }
}
