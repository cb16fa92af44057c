//! Stored events on their way to receivers: as many as credit allows, and no more in memory than is soon written.

use crate::emulator::readers::Seat;
use crate::emulator::rendition::{Metrics, render};
use crate::emulator::store::{PartitionRef, StoredEvent};
use crate::engine::{Connection, LinkId, Outgoing, SettleMode};

use super::{Link, Peer};

/// Bytes of events that may be queued on the readers of one connection, before those that a single turn adds.
const MAX_QUEUED: usize = 512 * 1024;
/// Events that a reader gets at a turn.
const EVENTS_IN_A_TURN: usize = 256;
/// Bytes that a reader gets at a turn; a larger event comes alone.
const BYTES_IN_A_TURN: usize = 64 * 1024;

/// A receiver's end of a partition.
pub(super) struct Reader {
    pub(super) path: String,
    partition: PartitionRef,
    /// The sequence number of the next event.
    next: i64,
    seat: Seat,
    wants_metrics: bool,
    settle_mode: SettleMode,
    is_in_line: bool,
    /// There was nothing more to read when it last looked.
    is_at_end: bool,
    /// Bytes queued on its link, and not on their way yet.
    queued: usize,
}

impl Reader {
    pub(super) fn new(
        path: String,
        partition: PartitionRef,
        next: i64,
        seat: Seat,
        wants_metrics: bool,
        settle_mode: SettleMode,
    ) -> Self {
        Self { path, partition, next, seat, wants_metrics, settle_mode, is_in_line: false, is_at_end: false, queued: 0 }
    }
}

impl Peer {
    /// A link has credit and an empty queue.
    pub(super) fn on_sendable(&mut self, engine: &mut Connection, id: LinkId) {
        match self.links.get_mut(&id) {
            Some(Link::Reader(reader)) => {
                self.queued -= std::mem::take(&mut reader.queued);
                self.line_up(id);
            }
            // A link of requests and answers has only what it has been asked for.
            _ => engine.exhausted(id),
        }
    }

    fn line_up(&mut self, id: LinkId) {
        if let Some(Link::Reader(reader)) = self.links.get_mut(&id)
            && !reader.is_in_line
        {
            reader.is_in_line = true;
            self.in_line.push_back(id);
        }
    }

    /// Something was stored in a partition that a reader has come to the end of.
    pub(super) fn line_up_those_at_the_end(&mut self) {
        let at_end = |link: &Link| matches!(link, Link::Reader(reader) if reader.is_at_end);
        let ids: Vec<LinkId> = self.links.iter().filter(|(_, link)| at_end(link)).map(|(&id, _)| id).collect();
        for id in ids {
            self.line_up(id);
        }
    }

    /// Queues events for those in line, while there is room.
    pub(super) fn feed_readers(&mut self, engine: &mut Connection) {
        while self.queued < MAX_QUEUED {
            let Some(id) = self.in_line.pop_front() else { return };
            self.feed(engine, id);
        }
    }

    fn feed(&mut self, engine: &mut Connection, id: LinkId) {
        let now = self.shared.clock.now();
        let Some(Link::Reader(reader)) = self.links.get_mut(&id) else { return };
        reader.is_in_line = false;
        // Still on their way from the turn before.
        if reader.queued > 0 {
            return;
        }
        let credit = engine.credit(id) as usize;
        if credit == 0 {
            return engine.exhausted(id);
        }
        let mut store = self.shared.store();
        let events = store.read(reader.partition, reader.next, credit.min(EVENTS_IN_A_TURN), BYTES_IN_A_TURN, now);
        reader.is_at_end = events.is_empty();
        if reader.is_at_end {
            store.wait_at(reader.partition, &self.mailbox.news);
            drop(store);
            return engine.exhausted(id);
        }
        let last = store.state(reader.partition, now).last.filter(|_| reader.wants_metrics);
        drop(store);
        self.counts.delivered += events.len() as u64;
        let metrics = last.map(|last| Metrics { last, now });
        let queued: usize = events.iter().map(|event| queue(engine, id, reader, event, metrics.as_ref())).sum();
        reader.queued = queued;
        self.queued += queued;
    }

    /// A reader has ended.
    pub(super) fn let_go(&mut self, reader: &Reader) {
        self.queued -= reader.queued;
        self.shared.readers().leave(&reader.seat);
    }
}

/// Queues one event; its bytes.
fn queue(
    engine: &mut Connection,
    id: LinkId,
    reader: &mut Reader,
    event: &StoredEvent,
    metrics: Option<&Metrics>,
) -> usize {
    let payload = render(event, metrics);
    let len = payload.len();
    reader.next = event.sequence_number + 1;
    // What a receiver makes of an event does not concern the hub. Source: event-hubs-wire 8.
    let outgoing = Outgoing { key: 0, message_format: 0, payload, settle_mode: reader.settle_mode };
    // A link that cannot take it has ended, and its reader goes with the event that says so.
    let _ = engine.send(id, outgoing);
    len
}
