//! What becomes of deliveries: their fate, and when they are told of it.

use std::time::Instant;

use fe2o3_amqp_types::messaging::{DeliveryState, Modified, Released};

use crate::emulator::connection::later::Deferred;
use crate::emulator::connection::{Link, Peer};
use crate::emulator::faults::{Fate, What};
use crate::emulator::{settlements, throttle};
use crate::engine::{Connection, LinkId};
use crate::wire::frame::PeerError;

/// Whether a delivery is taken in spite of its fate.
pub(in super::super) fn is_kept(fate: Option<&Fate>) -> bool {
    matches!(fate, None | Some(Fate::NeverSettle))
}

impl Peer {
    pub(in super::super) fn fate(&self, id: LinkId, now: Instant) -> Option<Fate> {
        let path = self.links.get(&id).and_then(Link::path)?;
        self.shared.faults.fate(now, |aim| aim.is_link(self.number, path))
    }

    /// What the peer is told of a delivery, if anything.
    pub(in super::super) fn state(&self, result: Result<(), PeerError>, fate: Option<Fate>) -> Option<DeliveryState> {
        let rejected = |error: &PeerError| {
            self.shared.store().totals.rejected += 1;
            Some(settlements::state(Err(self.error(error))))
        };
        match fate {
            None => Some(settlements::state(result.map_err(|error| self.error(&error)))),
            Some(Fate::Reject(error)) => rejected(&error),
            Some(Fate::ServerBusy) => rejected(&throttle::busy()),
            Some(Fate::Release) => Some(DeliveryState::Released(Released {})),
            Some(Fate::Modify) => Some(DeliveryState::Modified(Modified {
                delivery_failed: Some(true),
                undeliverable_here: None,
                message_annotations: None,
            })),
            Some(Fate::NeverSettle | Fate::Lose) => None,
        }
    }

    /// Settles a delivery, later if outcomes are delayed.
    pub(in super::super) fn settle(
        &mut self,
        engine: &mut Connection,
        id: LinkId,
        number: u32,
        state: DeliveryState,
        now: Instant,
    ) {
        let path = self.links.get(&id).and_then(Link::path);
        let delay = path.and_then(|path| self.shared.faults.outcome_delay(now, |aim| aim.is_link(self.number, path)));
        match delay {
            Some(by) => self.defer(now, by, Deferred::Outcome(id, number, state)),
            None => self.settle_now(engine, id, number, state, now),
        }
    }

    pub(in super::super) fn settle_now(
        &mut self,
        engine: &mut Connection,
        id: LinkId,
        number: u32,
        state: DeliveryState,
        now: Instant,
    ) {
        let is_out_of_order = |path| self.is_out_of_order(path, now);
        if self.shared.faults.is_any() && self.links.get(&id).and_then(Link::path).is_some_and(is_out_of_order) {
            self.settlements.hold(id.session, number, state);
        } else {
            self.settlements.settle(engine, id.session, number, state);
        }
    }

    pub(in super::super) fn is_out_of_order(&self, path: &str, now: Instant) -> bool {
        // `$cbs` and `$management` are not spared: what they answer is what this is about.
        self.shared.faults.holds(now, &What::OutOfOrder, |aim| aim.is_connection(self.number, [path]))
    }
}
