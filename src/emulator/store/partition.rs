//! The events of one partition, message by message in the order they were enqueued: their numbers, offsets and times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::emulator::publication::{Publication, Span};
use crate::emulator::selector::Position;
use crate::wire::event::Event;
use crate::wire::position::unix_millis;
use crate::wire::value::DecodeError;

use super::Place;

/// An event as a hub holds it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The partition that it lies in, from 0.
    pub partition_id: u32,
    /// Its place in the partition, counted from 0 without gaps.
    pub sequence_number: i64,
    /// Where it stands in the partition: grows from event to event, by no fixed step.
    pub offset: u64,
    /// When the hub took it, by the emulator's clock.
    pub enqueued_time: SystemTime,
    /// The key that chose its partition, if one did.
    pub partition_key: Option<Arc<str>>,
    /// The event as its publisher encoded it; it shares the memory of the message that it came in, unless it lay across two
    /// of the pieces that that came in.
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

/// One partition of one hub.
#[derive(Debug, Default)]
pub(super) struct Partition {
    chunks: VecDeque<Chunk>,
    pub(super) next_sequence: i64,
    next_offset: u64,
    last: Option<LastEnqueued>,
    /// Connections whose readers have read all there is.
    pub(super) waiting: Vec<Arc<Notify>>,
}

/// The events of one message.
#[derive(Debug)]
pub(super) struct Chunk {
    first_sequence: i64,
    first_offset: u64,
    pub(super) enqueued_time: SystemTime,
    pub(super) message: Publication,
}

/// The newest event that a partition ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct LastEnqueued {
    pub(in crate::emulator) sequence_number: i64,
    pub(in crate::emulator) offset: u64,
    pub(in crate::emulator) time: SystemTime,
}

/// What a partition says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct PartitionState {
    /// Of the oldest event that is held, or of the next one to come.
    pub(in crate::emulator) first_sequence: i64,
    pub(in crate::emulator) is_empty: bool,
    pub(in crate::emulator) last: Option<LastEnqueued>,
}

impl Partition {
    /// Adds a chunk and wakes those who wait; what it takes, in bytes.
    pub(super) fn append(&mut self, publication: Publication, enqueued_time: SystemTime) -> u64 {
        let chunk = Chunk {
            first_sequence: self.next_sequence,
            first_offset: self.next_offset,
            enqueued_time,
            message: publication,
        };
        self.next_sequence = chunk.end_sequence();
        self.next_offset += chunk.message.len as u64;
        let last = chunk.len() - 1;
        self.last = Some(LastEnqueued {
            sequence_number: chunk.first_sequence + last as i64,
            offset: chunk.offset(last),
            time: enqueued_time,
        });
        let memory = chunk.memory();
        self.chunks.push_back(chunk);
        for waiter in self.waiting.drain(..) {
            waiter.notify_one();
        }
        memory
    }

    pub(super) fn first_sequence(&self) -> i64 {
        self.chunks.front().map_or(self.next_sequence, |chunk| chunk.first_sequence)
    }

    pub(super) fn front_at(&self, first_sequence: i64) -> Option<&Chunk> {
        self.chunks.front().filter(|chunk| chunk.first_sequence == first_sequence)
    }

    pub(super) fn is_without_front_at_least(&self, count: u64) -> bool {
        let second = self.chunks.get(1);
        second.is_some_and(|chunk| (self.next_sequence - chunk.first_sequence) as u64 >= count)
    }

    /// Events from `sequence_number` on.
    pub(super) fn from(&self, partition_id: u32, sequence_number: i64) -> impl Iterator<Item = StoredEvent> + '_ {
        let at = self.chunks.partition_point(|chunk| chunk.end_sequence() <= sequence_number);
        self.chunks.range(at..).flat_map(move |chunk| {
            let skipped = usize::try_from(sequence_number - chunk.first_sequence).unwrap_or(0);
            (skipped..chunk.len()).map(move |index| chunk.event(partition_id, index))
        })
    }

    /// The number to begin reading with.
    pub(super) fn sequence_at(&self, position: &Position) -> i64 {
        match *position {
            Position::Latest => self.next_sequence,
            Position::SequenceNumber { from } => from.clamp(self.first_sequence(), self.next_sequence),
            Position::Offset { from } => self.sequence_of_offset(from),
            Position::EnqueuedTime { from_unix_millis } => self.sequence_of_time(from_unix_millis),
        }
    }

    pub(super) fn state(&self) -> PartitionState {
        PartitionState { first_sequence: self.first_sequence(), is_empty: self.chunks.is_empty(), last: self.last }
    }

    /// Has `waiter` told of the next event, once.
    pub(super) fn wait(&mut self, waiter: &Arc<Notify>) {
        // Those whose connection has ended are let go.
        self.waiting.retain(|other| Arc::strong_count(other) > 1);
        if !self.waiting.iter().any(|other| Arc::ptr_eq(other, waiter)) {
            self.waiting.push(Arc::clone(waiter));
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Chunk> {
        self.chunks.pop_front()
    }

    pub(super) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn sequence_of_offset(&self, from: i64) -> i64 {
        let Ok(from) = u64::try_from(from) else { return self.first_sequence() };
        let at = self.chunks.partition_point(|chunk| chunk.last_offset() < from);
        let Some(chunk) = self.chunks.get(at) else { return self.next_sequence };
        let within = (0..chunk.len()).find(|&index| chunk.offset(index) >= from);
        chunk.first_sequence + within.unwrap_or(0) as i64
    }

    fn sequence_of_time(&self, from_unix_millis: i64) -> i64 {
        let at = self.chunks.partition_point(|chunk| unix_millis(chunk.enqueued_time) < from_unix_millis);
        self.chunks.get(at).map_or(self.next_sequence, |chunk| chunk.first_sequence)
    }
}

impl Chunk {
    /// Its events.
    pub(super) fn len(&self) -> usize {
        self.message.spans.len()
    }

    fn end_sequence(&self) -> i64 {
        self.first_sequence + self.len() as i64
    }

    fn offset(&self, index: usize) -> u64 {
        let place = |span: &Span| self.message.parts[span.part as usize].at + span.start;
        let spans = &self.message.spans;
        self.first_offset + u64::from(place(&spans[index]) - place(&spans[0]))
    }

    fn last_offset(&self) -> u64 {
        self.offset(self.len() - 1)
    }

    fn event(&self, partition_id: u32, index: usize) -> StoredEvent {
        let span = self.message.spans[index];
        StoredEvent {
            partition_id,
            sequence_number: self.first_sequence + index as i64,
            offset: self.offset(index),
            enqueued_time: self.enqueued_time,
            partition_key: self.message.partition_key.clone(),
            encoded: self.message.encoded(span),
        }
    }

    /// Bytes that it takes, with its places in the lists.
    pub(super) fn memory(&self) -> u64 {
        (self.message.memory() + size_of::<Self>() + size_of::<Place>()) as u64
    }
}
