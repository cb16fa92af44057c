//! What is done later than it was asked for.

use std::time::Instant;

use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives::Attach;

use super::requests::Node;
use crate::engine::{LinkId, Step};
use crate::wire::event::Event as Message;

/// What waits for its time.
pub(super) enum Deferred {
    Step(Step),
    Attach(LinkId, Box<Attach>),
    Request(LinkId, Node, Box<Message>),
    /// By delivery id.
    Outcome(LinkId, u32, DeliveryState),
}

/// In the order of its time; what is due at the same time, in the order of its coming.
#[derive(Default)]
pub(super) struct Later {
    queue: Vec<(Instant, Deferred)>,
}

impl Later {
    pub(super) fn push(&mut self, due: Instant, deferred: Deferred) {
        let at = self.queue.partition_point(|(other, _)| *other <= due);
        self.queue.insert(at, (due, deferred));
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(due, _)| *due)
    }

    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Deferred> {
        let count = self.queue.partition_point(|(due, _)| *due <= now);
        self.queue.drain(..count).map(|(_, deferred)| deferred).collect()
    }

    /// Drops what links wait for that are gone.
    pub(super) fn forget(&mut self, gone: impl Fn(LinkId) -> bool) {
        self.queue.retain(|(_, deferred)| match deferred {
            Deferred::Step(_) => true,
            Deferred::Attach(id, _) | Deferred::Request(id, ..) | Deferred::Outcome(id, ..) => !gone(*id),
        });
    }
}
