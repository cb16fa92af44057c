//! The events that the hubs hold, as long as they are retained.

mod partition;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use crate::spares::Spares;
use crate::wire::condition;
use crate::wire::frame::PeerError;
use crate::wire::partition::partition_for_key;

use super::namespace::{Destination, Hub};
use super::publication::Publication;
use super::selector::Position;
use partition::Partition;
pub use partition::StoredEvent;
pub(super) use partition::{LastEnqueued, PartitionState};

/// Buffers of dropped events that wait for the next read.
const MAX_SPARES: usize = 64;

/// What an emulator has done since it was built. Nothing in it ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections served.
    pub connections: u64,
    /// Connections turned away, for there were too many.
    pub refused_connections: u64,
    /// Publishers' links accepted.
    pub links: u64,
    /// Receivers' links accepted.
    pub receivers: u64,
    /// Messages stored: batches, and events sent alone.
    pub batches: u64,
    /// Events stored.
    pub events: u64,
    /// Bytes of the messages stored.
    pub bytes: u64,
    /// Messages rejected, throttled ones among them.
    pub rejected: u64,
    /// Messages rejected because the throughput units were used up.
    pub throttled: u64,
    /// Events handed to receivers.
    pub delivered: u64,
    /// Events dropped because they were past the retention.
    pub expired: u64,
    /// How often a [`Fault`](super::Fault) befell something.
    pub faults: u64,
}

/// What became of a message that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enqueued {
    pub(super) partition_id: u32,
    pub(super) first_sequence_number: i64,
    pub(super) events: u64,
    /// Of the message.
    pub(super) bytes: u64,
}

/// How long events are kept. What is past any of the three is dropped, the oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) age: Duration,
    /// Of all hubs together, index included.
    pub(super) bytes: u64,
    /// Of one partition.
    pub(super) events: u64,
}

/// What all hubs hold.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) totals: Totals,
    hubs: Vec<Log>,
    retention: Retention,
    /// Bytes.
    held: u64,
    /// Every chunk in the order of its coming; those that went before their turn are still listed.
    order: VecDeque<Place>,
    /// Where the memory of dropped events goes.
    pub(super) spares: Arc<Spares>,
}

/// Where a chunk is.
#[derive(Debug)]
struct Place {
    hub: usize,
    partition: usize,
    first_sequence: i64,
}

/// One hub's partitions.
#[derive(Debug)]
struct Log {
    partitions: Vec<Partition>,
    /// Whose turn it is, when neither link nor key says.
    turn: u32,
}

/// A partition of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PartitionRef {
    /// Index of the hub.
    pub(super) hub: usize,
    pub(super) partition: u32,
}

impl Store {
    pub(super) fn new(hubs: &[Hub], retention: Retention) -> Self {
        let log =
            |hub: &Hub| Log { partitions: (0..hub.partition_count).map(|_| Partition::default()).collect(), turn: 0 };
        Self {
            totals: Totals::default(),
            hubs: hubs.iter().map(log).collect(),
            retention,
            held: 0,
            order: VecDeque::new(),
            spares: Arc::new(Spares::new(MAX_SPARES)),
        }
    }

    /// Stores all events of a message in one partition, or none.
    pub(super) fn publish(
        &mut self,
        to: Destination,
        publication: Publication,
        now: SystemTime,
    ) -> Result<Enqueued, PeerError> {
        if let (Some(partition), Some(_)) = (to.partition, &publication.partition_key) {
            let text = format!(
                "A partition key is not allowed on a link to one partition, which is partition {partition}: leave out \
                 the key, or attach to the event hub."
            );
            return Err(PeerError::new(condition::NOT_ALLOWED, text));
        }
        let log = &mut self.hubs[to.hub];
        let partition_id = to.partition.unwrap_or_else(|| log.choose(publication.partition_key.as_deref()));
        let partition = &mut log.partitions[partition_id as usize];
        let enqueued = Enqueued {
            partition_id,
            first_sequence_number: partition.next_sequence,
            events: publication.spans.len() as u64,
            bytes: publication.len as u64,
        };
        self.totals.batches += 1;
        self.totals.events += enqueued.events;
        self.totals.bytes += enqueued.bytes;
        self.order.push_back(Place {
            hub: to.hub,
            partition: partition_id as usize,
            first_sequence: partition.next_sequence,
        });
        self.held += partition.append(publication, now);
        self.retain(to.hub, partition_id as usize, now);
        self.spares.fit(self.room_len());
        Ok(enqueued)
    }

    /// Bytes that may be held beyond those that are.
    fn room_len(&self) -> u64 {
        self.retention.bytes.saturating_sub(self.held)
    }

    /// Whether more memory may be touched beforehand, without more than the retention allows.
    pub(super) fn has_room_to_touch(&self) -> bool {
        self.spares.waiting_len() < self.room_len()
    }

    /// Drops what is past the retention.
    fn retain(&mut self, hub: usize, partition: usize, now: SystemTime) {
        // Kept are at least as many events as were promised: a chunk goes only when the rest is enough.
        while self.hubs[hub].partitions[partition].is_without_front_at_least(self.retention.events) {
            self.drop_front(hub, partition);
        }
        self.expire(now);
        while self.held > self.retention.bytes && self.order.len() > 1 {
            self.drop_oldest();
        }
    }

    /// Drops what is too old.
    fn expire(&mut self, now: SystemTime) {
        let age = self.retention.age;
        let is_past = |time: SystemTime| now.duration_since(time).is_ok_and(|old| old >= age);
        while let Some(place) = self.order.front() {
            match self.hubs[place.hub].partitions[place.partition].front_at(place.first_sequence) {
                Some(chunk) if !is_past(chunk.enqueued_time) => return,
                _ => self.drop_oldest(),
            }
        }
    }

    fn drop_oldest(&mut self) {
        let Some(place) = self.order.pop_front() else { return };
        if self.hubs[place.hub].partitions[place.partition].front_at(place.first_sequence).is_some() {
            self.drop_front(place.hub, place.partition);
        }
    }

    fn drop_front(&mut self, hub: usize, partition: usize) {
        if let Some(chunk) = self.hubs[hub].partitions[partition].pop_front() {
            self.held -= chunk.memory();
            self.totals.expired += chunk.len() as u64;
            for part in chunk.message.parts {
                self.spares.give_back(part.bytes);
            }
        }
        // What went before its turn need not wait for it to be forgotten.
        if self.order.len() > 1_024 && self.order.len() > 2 * self.chunk_count() {
            let hubs = &self.hubs;
            self.order
                .retain(|place| hubs[place.hub].partitions[place.partition].first_sequence() <= place.first_sequence);
        }
    }

    fn chunk_count(&self) -> usize {
        self.hubs.iter().flat_map(|log| &log.partitions).map(Partition::chunk_count).sum()
    }

    // ---- reading -----------------------------------------------------------------------------------------------

    fn partition(&self, at: PartitionRef) -> &Partition {
        &self.hubs[at.hub].partitions[at.partition as usize]
    }

    /// The events of a hub, by partition and sequence number.
    pub(super) fn events(&self, hub: usize) -> Vec<StoredEvent> {
        let partitions = self.hubs[hub].partitions.iter().zip(0..);
        partitions.flat_map(|(partition, id)| partition.from(id, 0)).collect()
    }

    /// The events of one partition from `sequence_number` on, if there is such a partition.
    pub(super) fn events_from(&self, hub: usize, partition_id: u32, sequence_number: i64) -> Option<Vec<StoredEvent>> {
        let partition = self.hubs[hub].partitions.get(partition_id as usize)?;
        Some(partition.from(partition_id, sequence_number).collect())
    }

    /// Up to `max_events` events from `sequence_number` on, which are `max_bytes` or the first alone; and what is last.
    pub(super) fn read(
        &mut self,
        at: PartitionRef,
        sequence_number: i64,
        max_events: usize,
        max_bytes: usize,
        now: SystemTime,
    ) -> Vec<StoredEvent> {
        self.expire(now);
        let mut bytes = 0;
        let events = self.partition(at).from(at.partition, sequence_number).take(max_events);
        let fits = |event: &StoredEvent| {
            let is_first = bytes == 0;
            bytes += event.encoded.len();
            is_first || bytes <= max_bytes
        };
        let events: Vec<StoredEvent> = events.take_while(fits).collect();
        self.totals.delivered += events.len() as u64;
        events
    }

    /// Has `waiter` told of the next event in a partition, once.
    pub(super) fn wait_at(&mut self, at: PartitionRef, waiter: &Arc<Notify>) {
        self.hubs[at.hub].partitions[at.partition as usize].wait(waiter);
    }

    /// The first event at `position`, by its sequence number; it may be yet to come.
    pub(super) fn sequence_at(&mut self, at: PartitionRef, position: &Position, now: SystemTime) -> i64 {
        self.expire(now);
        self.partition(at).sequence_at(position)
    }

    pub(super) fn state(&mut self, at: PartitionRef, now: SystemTime) -> PartitionState {
        self.expire(now);
        self.partition(at).state()
    }
}

impl Log {
    fn choose(&mut self, partition_key: Option<&str>) -> u32 {
        let count = self.partitions.len() as u32;
        if let Some(key) = partition_key {
            return partition_for_key(key, count);
        }
        let chosen = self.turn;
        self.turn = (chosen + 1) % count;
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::publication::{Part, Span};
    use crate::wire::event::Event;
    use std::time::UNIX_EPOCH;

    const FOREVER: Retention = Retention { age: Duration::MAX, bytes: u64::MAX, events: u64::MAX };

    fn hub(partition_count: u32) -> [Hub; 1] {
        [Hub { name: "hub".into(), partition_count, consumer_groups: Vec::new() }]
    }

    fn publication(key: Option<&str>, bodies: &[&str]) -> Publication {
        let mut payload = Vec::new();
        let spans = bodies.iter().map(|body| {
            let start = payload.len() as u32;
            payload.extend_from_slice(&Event::new(*body).encode().unwrap());
            Span { part: 0, start, end: payload.len() as u32 }
        });
        let spans = spans.collect();
        let part = Part { at: 0, bytes: payload.into() };
        Publication { partition_key: key.map(Arc::from), len: part.bytes.len(), parts: Box::new([part]), spans }
    }

    fn to(partition: Option<u32>) -> Destination {
        Destination { hub: 0, partition }
    }

    const FIRST: PartitionRef = PartitionRef { hub: 0, partition: 0 };

    fn partitions(store: &Store) -> Vec<u32> {
        store.events(0).iter().map(|event| event.partition_id).collect()
    }

    fn numbers(store: &Store, partition: u32) -> Vec<i64> {
        store.events_from(0, partition, 0).unwrap().iter().map(|event| event.sequence_number).collect()
    }

    fn at_millis(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn numbers_and_offsets_grow_within_a_partition() {
        let mut store = Store::new(&hub(2), FOREVER);
        store.publish(to(Some(1)), publication(None, &["a", "bb"]), UNIX_EPOCH).unwrap();
        store.publish(to(Some(1)), publication(None, &["c"]), UNIX_EPOCH).unwrap();
        store.publish(to(Some(0)), publication(None, &["d"]), UNIX_EPOCH).unwrap();
        let numbers: Vec<_> =
            store.events(0).iter().map(|event| (event.partition_id, event.sequence_number, event.offset)).collect();
        assert_eq!(numbers, [(0, 0, 0), (1, 0, 0), (1, 1, 6), (1, 2, 13)]);
    }

    #[test]
    fn a_partition_is_read_from_a_number_on() {
        let mut store = Store::new(&hub(2), FOREVER);
        store.publish(to(Some(1)), publication(None, &["a", "bb"]), UNIX_EPOCH).unwrap();
        let numbers = |from| {
            let events = store.events_from(0, 1, from).unwrap();
            events.iter().map(|event| event.sequence_number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(0), [0, 1]);
        assert_eq!(numbers(1), [1]);
        assert!(numbers(2).is_empty());
        assert!(numbers(9).is_empty());
        assert!(store.events_from(0, 2, 0).is_none());
    }

    #[test]
    fn a_read_is_bounded_by_count_and_bytes_but_never_stuck() {
        let mut store = Store::new(&hub(1), FOREVER);
        store.publish(to(None), publication(None, &["one", "two", "three"]), UNIX_EPOCH).unwrap();
        let mut read = |from, events, bytes| store.read(FIRST, from, events, bytes, UNIX_EPOCH).len();
        assert_eq!(read(0, 2, 1_000), 2);
        assert_eq!(read(1, 9, 1_000), 2);
        assert_eq!(read(0, 9, 16), 2, "two events of eight bytes");
        assert_eq!(read(0, 9, 1), 1, "the first, however large it is");
        assert_eq!(read(3, 9, 1_000), 0);
        assert_eq!(store.totals.delivered, 7);
    }

    #[test]
    fn every_kind_of_position_is_found() {
        let mut store = Store::new(&hub(1), FOREVER);
        store.publish(to(None), publication(None, &["a", "bb", "c"]), at_millis(1_000)).unwrap();
        store.publish(to(None), publication(None, &["d"]), at_millis(2_000)).unwrap();
        let offsets: Vec<u64> = store.events(0).iter().map(|event| event.offset).collect();
        assert_eq!(offsets, [0, 6, 13, 19]);
        for (position, sequence) in [
            (Position::Latest, 4),
            (Position::SequenceNumber { from: 2 }, 2),
            (Position::SequenceNumber { from: 0 }, 0),
            (Position::SequenceNumber { from: -5 }, 0),
            (Position::SequenceNumber { from: 99 }, 4),
            (Position::Offset { from: -1 }, 0),
            (Position::Offset { from: 0 }, 0),
            (Position::Offset { from: 1 }, 1),
            (Position::Offset { from: 13 }, 2),
            (Position::Offset { from: 14 }, 3),
            (Position::Offset { from: 20 }, 4),
            (Position::EnqueuedTime { from_unix_millis: 0 }, 0),
            (Position::EnqueuedTime { from_unix_millis: 1_000 }, 0),
            (Position::EnqueuedTime { from_unix_millis: 1_001 }, 3),
            (Position::EnqueuedTime { from_unix_millis: 2_001 }, 4),
        ] {
            assert_eq!(store.sequence_at(FIRST, &position, UNIX_EPOCH), sequence, "{position:?}");
        }
    }

    #[test]
    fn batches_without_a_key_take_turns_and_stay_whole() {
        let mut store = Store::new(&hub(3), FOREVER);
        for _ in 0..4 {
            store.publish(to(None), publication(None, &["a", "b"]), UNIX_EPOCH).unwrap();
        }
        assert_eq!(partitions(&store), [0, 0, 0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_key_always_leads_to_the_same_partition() {
        let mut store = Store::new(&hub(32), FOREVER);
        for _ in 0..3 {
            store.publish(to(None), publication(Some("device-42"), &["a"]), UNIX_EPOCH).unwrap();
        }
        assert_eq!(partitions(&store), [12, 12, 12]);
    }

    #[test]
    fn a_key_on_a_partition_link_is_not_allowed() {
        let mut store = Store::new(&hub(2), FOREVER);
        let error = store.publish(to(Some(1)), publication(Some("k"), &["a"]), UNIX_EPOCH).unwrap_err();
        assert_eq!(error.condition, condition::NOT_ALLOWED);
        assert!(store.events(0).is_empty());
    }

    #[test]
    fn past_the_bytes_the_oldest_of_all_goes_first() {
        let mut store = Store::new(&hub(2), FOREVER);
        store.publish(to(Some(0)), publication(None, &["a"]), UNIX_EPOCH).unwrap();
        let one = store.held;
        store.retention.bytes = 2 * one;
        store.publish(to(Some(1)), publication(None, &["b"]), UNIX_EPOCH).unwrap();
        assert_eq!(store.totals.expired, 0, "what is within the bound stays");
        store.publish(to(Some(1)), publication(None, &["c"]), UNIX_EPOCH).unwrap();
        assert_eq!((numbers(&store, 0), numbers(&store, 1)), (vec![], vec![0, 1]));
        store.publish(to(Some(0)), publication(None, &["d"]), UNIX_EPOCH).unwrap();
        assert_eq!((numbers(&store, 0), numbers(&store, 1)), (vec![1], vec![1]));
        assert_eq!((store.held, store.totals.expired), (2 * one, 2));
        let state = store.state(FIRST, UNIX_EPOCH);
        assert_eq!((state.first_sequence, state.is_empty), (1, false));
    }

    #[test]
    fn the_memory_of_what_is_dropped_is_read_into_again() {
        let mut store = Store::new(&hub(1), Retention { events: 1, ..FOREVER });
        let mut publish = |memory: &mut Vec<*const u8>| {
            let mut message = publication(None, &["a"]);
            let mut buffer = store.spares.take(1);
            buffer.extend_from_slice(&message.parts[0].bytes);
            memory.push(buffer.as_ptr());
            message.parts[0].bytes = buffer.freeze();
            store.publish(to(None), message, UNIX_EPOCH).unwrap();
        };
        let mut memory = Vec::new();
        (0..4).for_each(|_| publish(&mut memory));
        assert_eq!((memory[2], memory[3]), (memory[0], memory[1]));
    }

    #[test]
    fn what_is_held_and_what_was_touched_for_more_are_no_more_than_the_retention() {
        let mut store = Store::new(&hub(1), Retention { bytes: 200 << 18, ..FOREVER });
        while store.has_room_to_touch() {
            store.spares.add_touched();
        }
        assert_eq!(store.spares.len(), 200);
        // In memory of their own, as what comes in small pieces is.
        let body = "a".repeat(1 << 18);
        for events in 1..=200 {
            store.publish(to(None), publication(None, &[&body]), UNIX_EPOCH).unwrap();
            assert!(store.held <= store.retention.bytes && store.held >= (events - 1) << 18);
            assert!(store.spares.len() <= MAX_SPARES + (store.room_len() >> 18) as usize, "after {events} events");
        }
        assert_eq!(store.spares.len(), MAX_SPARES);
        assert!(!store.has_room_to_touch());
    }

    #[test]
    fn past_the_count_a_message_goes_once_the_rest_is_enough() {
        let mut store = Store::new(&hub(1), Retention { events: 2, ..FOREVER });
        store.publish(to(None), publication(None, &["a", "b", "c"]), UNIX_EPOCH).unwrap();
        store.publish(to(None), publication(None, &["d"]), UNIX_EPOCH).unwrap();
        assert_eq!(numbers(&store, 0), [0, 1, 2, 3], "without the first message one event would be left");
        store.publish(to(None), publication(None, &["e"]), UNIX_EPOCH).unwrap();
        assert_eq!(numbers(&store, 0), [3, 4]);
        for _ in 0..5_000 {
            store.publish(to(None), publication(None, &["f"]), UNIX_EPOCH).unwrap();
        }
        assert!(store.order.len() < 2_000, "{} places for 2 chunks", store.order.len());
    }

    #[test]
    fn what_is_too_old_is_gone_for_every_reader() {
        let mut store = Store::new(&hub(1), Retention { age: Duration::from_secs(60), ..FOREVER });
        store.publish(to(None), publication(None, &["a"]), at_millis(0)).unwrap();
        store.publish(to(None), publication(None, &["b"]), at_millis(30_000)).unwrap();
        assert_eq!(store.read(FIRST, 0, 9, 1_000, at_millis(59_999)).len(), 2);
        assert_eq!(store.read(FIRST, 0, 9, 1_000, at_millis(60_000))[0].sequence_number, 1);
        let state = store.state(FIRST, at_millis(90_000));
        assert_eq!((state.first_sequence, state.is_empty), (2, true));
        assert_eq!(state.last.unwrap().sequence_number, 1);
        assert_eq!(store.held, 0);
        // A reader that asks for what is gone begins with what is there.
        let gone = Position::SequenceNumber { from: 0 };
        assert_eq!(store.sequence_at(FIRST, &gone, at_millis(90_000)), 2);
    }

    #[test]
    fn whoever_waits_is_told_once_and_those_who_left_are_let_go() {
        let mut store = Store::new(&hub(1), FOREVER);
        let waiter = Arc::new(Notify::new());
        store.wait_at(FIRST, &Arc::new(Notify::new()));
        store.wait_at(FIRST, &waiter);
        store.wait_at(FIRST, &waiter);
        assert_eq!(store.partition(FIRST).waiting.len(), 1);
        store.publish(to(None), publication(None, &["a"]), UNIX_EPOCH).unwrap();
        assert!(store.partition(FIRST).waiting.is_empty());
        let mut told = std::pin::pin!(waiter.notified());
        assert!(told.as_mut().enable());
    }
}
