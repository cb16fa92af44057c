//! The events that the hubs hold: partition by partition, in the order they were enqueued.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::wire::condition;
use crate::wire::event::Event;
use crate::wire::frame::PeerError;
use crate::wire::partition::partition_for_key;
use crate::wire::value::DecodeError;

use super::namespace::{Destination, Hub};
use super::publication::Publication;

/// An event as a hub holds it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The partition that it lies in, from 0.
    pub partition_id: u32,
    /// Its place in the partition, counted from 0 without gaps.
    pub sequence_number: i64,
    /// Bytes of the events before it in the partition.
    pub offset: u64,
    /// When the hub took it, by the emulator's clock.
    pub enqueued_time: SystemTime,
    /// The key that chose its partition, if one did.
    pub partition_key: Option<Arc<str>>,
    /// The event as its publisher encoded it; it shares the memory of the message that it came in.
    pub encoded: Bytes,
}

impl StoredEvent {
    /// The event itself.
    ///
    /// # Errors
    /// Never for an event that the emulator has stored: what does not decode was rejected.
    pub fn event(&self) -> Result<Event, DecodeError> {
        Event::decode(&self.encoded)
    }
}

/// What an emulator has done since it was built. Nothing in it ever falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections served.
    pub connections: u64,
    /// Connections turned away, for there were too many.
    pub refused_connections: u64,
    /// Publishers' links accepted.
    pub links: u64,
    /// Messages stored: batches, and events sent alone.
    pub batches: u64,
    /// Events stored.
    pub events: u64,
    /// Bytes of the messages stored.
    pub bytes: u64,
    /// Messages rejected.
    pub rejected: u64,
}

/// What all hubs hold.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) totals: Totals,
    hubs: Vec<Log>,
    /// Bytes.
    memory_limit: u64,
    memory_used: u64,
}

/// One hub's partitions.
#[derive(Debug)]
struct Log {
    partitions: Vec<Partition>,
    /// Whose turn it is, when neither link nor key says.
    turn: u32,
}

#[derive(Debug, Default)]
struct Partition {
    events: Vec<StoredEvent>,
    next_offset: u64,
}

impl Store {
    pub(super) fn new(hubs: &[Hub], memory_limit: u64) -> Self {
        let log =
            |hub: &Hub| Log { partitions: (0..hub.partition_count).map(|_| Partition::default()).collect(), turn: 0 };
        Self { totals: Totals::default(), hubs: hubs.iter().map(log).collect(), memory_limit, memory_used: 0 }
    }

    /// Stores all events of a message in one partition, or none.
    pub(super) fn publish(
        &mut self,
        to: Destination,
        publication: Publication,
        now: SystemTime,
    ) -> Result<(), PeerError> {
        if let (Some(partition), Some(_)) = (to.partition, &publication.partition_key) {
            let text = format!(
                "A partition key is not allowed on a link to one partition, which is partition {partition}: leave out \
                 the key, or attach to the event hub."
            );
            return Err(PeerError::new(condition::NOT_ALLOWED, text));
        }
        self.take_memory(&publication)?;
        let log = &mut self.hubs[to.hub];
        let partition_id = to.partition.unwrap_or_else(|| log.choose(publication.partition_key.as_deref()));
        self.totals.batches += 1;
        self.totals.events += publication.events.len() as u64;
        self.totals.bytes += publication.size as u64;
        log.partitions[partition_id as usize].append(partition_id, publication, now);
        Ok(())
    }

    /// The events of a hub, by partition and sequence number.
    pub(super) fn events(&self, hub: usize) -> Vec<StoredEvent> {
        self.hubs[hub].partitions.iter().flat_map(|partition| &partition.events).cloned().collect()
    }

    /// The events of one partition from `sequence_number` on, if there is such a partition.
    pub(super) fn events_from(&self, hub: usize, partition_id: u32, sequence_number: i64) -> Option<Vec<StoredEvent>> {
        let partition = self.hubs[hub].partitions.get(partition_id as usize)?;
        // Numbers count from 0 without gaps: they are indices.
        let from = usize::try_from(sequence_number).unwrap_or(0);
        Some(partition.events.get(from..).unwrap_or_default().to_vec())
    }

    fn take_memory(&mut self, publication: &Publication) -> Result<(), PeerError> {
        let entries = publication.events.len() * size_of::<StoredEvent>();
        let needed = (publication.size + entries) as u64;
        let (used, limit) = (self.memory_used, self.memory_limit);
        if used.saturating_add(needed) > limit {
            let text = format!(
                "The emulator keeps every event in memory: it holds {used} bytes, this message needs {needed}, and its \
                 memory limit is {limit} bytes. Raise the limit or start the emulator anew."
            );
            return Err(PeerError::new(condition::RESOURCE_LIMIT_EXCEEDED, text));
        }
        self.memory_used += needed;
        Ok(())
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

impl Partition {
    fn append(&mut self, partition_id: u32, publication: Publication, enqueued_time: SystemTime) {
        for encoded in publication.events {
            let offset = self.next_offset;
            self.next_offset += encoded.len() as u64;
            self.events.push(StoredEvent {
                partition_id,
                sequence_number: self.events.len() as i64,
                offset,
                enqueued_time,
                partition_key: publication.partition_key.clone(),
                encoded,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn hub(partition_count: u32) -> [Hub; 1] {
        [Hub { name: "hub".into(), partition_count, consumer_groups: Vec::new() }]
    }

    fn publication(key: Option<&str>, bodies: &[&str]) -> Publication {
        let events: Vec<Bytes> = bodies.iter().map(|body| Event::new(*body).encode().unwrap()).collect();
        let size = events.iter().map(Bytes::len).sum();
        Publication { partition_key: key.map(Arc::from), events, size }
    }

    fn to(partition: Option<u32>) -> Destination {
        Destination { hub: 0, partition }
    }

    fn partitions(store: &Store) -> Vec<u32> {
        store.events(0).iter().map(|event| event.partition_id).collect()
    }

    #[test]
    fn numbers_and_offsets_grow_within_a_partition() {
        let mut store = Store::new(&hub(2), 1 << 20);
        store.publish(to(Some(1)), publication(None, &["a", "bb"]), UNIX_EPOCH).unwrap();
        store.publish(to(Some(1)), publication(None, &["c"]), UNIX_EPOCH).unwrap();
        store.publish(to(Some(0)), publication(None, &["d"]), UNIX_EPOCH).unwrap();
        let numbers: Vec<_> =
            store.events(0).iter().map(|event| (event.partition_id, event.sequence_number, event.offset)).collect();
        assert_eq!(numbers, [(0, 0, 0), (1, 0, 0), (1, 1, 6), (1, 2, 13)]);
    }

    #[test]
    fn a_partition_is_read_from_a_number_on() {
        let mut store = Store::new(&hub(2), 1 << 20);
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
    fn batches_without_a_key_take_turns_and_stay_whole() {
        let mut store = Store::new(&hub(3), 1 << 20);
        for _ in 0..4 {
            store.publish(to(None), publication(None, &["a", "b"]), UNIX_EPOCH).unwrap();
        }
        assert_eq!(partitions(&store), [0, 0, 0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_key_always_leads_to_the_same_partition() {
        let mut store = Store::new(&hub(32), 1 << 20);
        for _ in 0..3 {
            store.publish(to(None), publication(Some("device-42"), &["a"]), UNIX_EPOCH).unwrap();
        }
        assert_eq!(partitions(&store), [12, 12, 12]);
    }

    #[test]
    fn a_key_on_a_partition_link_is_not_allowed() {
        let mut store = Store::new(&hub(2), 1 << 20);
        let error = store.publish(to(Some(1)), publication(Some("k"), &["a"]), UNIX_EPOCH).unwrap_err();
        assert_eq!(error.condition, condition::NOT_ALLOWED);
        assert!(store.events(0).is_empty());
    }

    #[test]
    fn what_would_pass_the_memory_limit_is_refused_and_the_rest_stays() {
        let one = publication(None, &["a"]);
        let needed = (one.size + size_of::<StoredEvent>()) as u64;
        let mut store = Store::new(&hub(1), 2 * needed);
        store.publish(to(None), one, UNIX_EPOCH).unwrap();
        let error = store.publish(to(None), publication(None, &["a", "b"]), UNIX_EPOCH).unwrap_err();
        assert_eq!(error.condition, condition::RESOURCE_LIMIT_EXCEEDED);
        assert!(error.description.unwrap().contains(&format!("memory limit is {} bytes", 2 * needed)));
        store.publish(to(None), publication(None, &["b"]), UNIX_EPOCH).unwrap();
        assert_eq!(store.events(0).len(), 2);
    }
}
