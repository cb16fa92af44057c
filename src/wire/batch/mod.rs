//! Batches: many events in one message.
//!
//! A batch is one AMQP message of format [`MESSAGE_FORMAT`] with one `data` section per event, and each section's
//! bytes are a whole encoded message of their own. [`Batch`] writes that message as events are added, once:
//!
//! ```text
//! 00 53 75 a0 10 | 00 53 75 a0 0b "first event"      an event of 16 bytes, in a section of 21
//! ------section- | --event---------------------
//! ```
//!
//! # Size
//!
//! ```text
//! batch = envelope + sum of (event + 5 if the event takes up to 255 bytes, event + 8 from 256)
//! event = its other sections + (body + 5 if the body takes up to 255 bytes, body + 8 from 256)
//! ```
//!
//! The envelope is empty without a partition key. With one it is a header and an annotation, which stand on every
//! event too: 41 bytes and those of the key, in UTF-8, each time (44 for `pk1`); a key of more than 231 bytes takes up
//! to 9 more.
//!
//! ```
//! use hubwire::wire::batch::{Batch, TryAdd};
//!
//! let mut batch = Batch::new(64); // bytes; a hub takes 1_048_576, or 262_144 in the basic tier
//! assert_eq!(batch.try_add("first event"), TryAdd::Added);
//! assert_eq!(batch.encoded_len(), 21);
//! assert_eq!(batch.try_add("second event"), TryAdd::Added);
//! assert_eq!(batch.try_add("third event"), TryAdd::Added);
//! assert_eq!(batch.encoded_len(), 64);
//! assert_eq!(batch.try_add("one more"), TryAdd::Full("one more"));
//! assert_eq!((batch.len(), batch.encoded_len()), (3, 64));
//! ```
//!
//! Source: AMQP 1.0 part 3, 3.2.6 (data); the format and the annotation are Event Hubs' own.

mod batches;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::{Bytes, BytesMut};

pub use batches::{Batches, Refused};
pub use reader::BatchReader;

use super::event::{EncodeError, Encoding, Event, data_section_len, key_sections, put_data_section};

/// The `message-format` of a transfer that carries a batch.
pub const MESSAGE_FORMAT: u32 = 0x8001_3700;

/// The longest partition key, in characters.
pub const MAX_PARTITION_KEY_CHARS: usize = 128;

/// The smallest buffer worth asking for, in bytes.
const MIN_CAPACITY: usize = 512;

/// Why a text is no partition key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionKeyError {
    /// No character at all; a batch without a key is made with [`Batch::new`].
    #[error("the partition key is empty")]
    Empty,
    /// Too many characters.
    #[error("the partition key has {chars} characters; at most {MAX_PARTITION_KEY_CHARS} are allowed")]
    TooLong {
        /// How many it has.
        chars: usize,
    },
}

/// What became of an event offered to a batch. Unless it was added it comes back, and the batch is as it was.
#[must_use = "an event that was not added is in here"]
#[derive(Debug, Clone, PartialEq)]
pub enum TryAdd<E> {
    /// It is in the batch.
    Added,
    /// It fits into an empty batch, but not into this one: send this one, and go on with the event.
    Full(E),
    /// No batch of this limit and partition key can hold it.
    TooLarge(E),
    /// It cannot be encoded, whatever the limit.
    Invalid(E, EncodeError),
}

impl<E> TryAdd<E> {
    /// Whether the event is in the batch now.
    pub fn is_added(&self) -> bool {
        matches!(self, Self::Added)
    }
}

/// Events, encoded as one message.
///
/// The limit holds for the whole message, in bytes. [`clear`](Self::clear) empties a batch and keeps its memory, so
/// that one batch can serve a whole stream without asking for more.
///
/// Memory grows by doubling, up to the limit, as events come; a large limit costs nothing by itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    message: BytesMut,
    parts: Parts,
}

/// All of a batch but its bytes.
#[derive(Clone, PartialEq, Eq)]
struct Parts {
    max_message_size: usize,
    /// Most batches have none, and are moved as often as others.
    key: Option<Box<Key>>,
    len: usize,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    partition_key: Box<str>,
    /// What it puts before the events, and at the front of each that has but a body.
    prefix: Bytes,
}

impl Parts {
    /// See [`Key::prefix`].
    fn prefix(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |key| &key.prefix)
    }
}

impl Batch {
    /// An empty batch for messages of up to `max_message_size` bytes: what the hub has named when the sender link
    /// was attached. Never more than 4 GiB.
    pub fn new(max_message_size: usize) -> Self {
        Self::with_key(max_message_size, None)
    }

    /// An empty batch whose events all go to the partition that the hub finds for `key`.
    ///
    /// # Errors
    /// If `key` is empty, or longer than [`MAX_PARTITION_KEY_CHARS`].
    ///
    /// ```
    /// use hubwire::wire::batch::Batch;
    ///
    /// let batch = Batch::with_partition_key(1_048_576, "pk1")?;
    /// assert_eq!(batch.encoded_len(), 44);
    /// # Ok::<(), hubwire::wire::batch::PartitionKeyError>(())
    /// ```
    pub fn with_partition_key(max_message_size: usize, key: impl AsRef<str>) -> Result<Self, PartitionKeyError> {
        let key = key.as_ref();
        match key.chars().count() {
            0 => Err(PartitionKeyError::Empty),
            1..=MAX_PARTITION_KEY_CHARS => {
                let key = Key { partition_key: key.into(), prefix: key_sections(key) };
                Ok(Self::with_key(max_message_size, Some(Box::new(key))))
            }
            chars => Err(PartitionKeyError::TooLong { chars }),
        }
    }

    fn with_key(max_message_size: usize, key: Option<Box<Key>>) -> Self {
        let parts = Parts {
            // AMQP can say no longer length.
            max_message_size: max_message_size.min(u32::MAX as usize),
            key,
            len: 0,
        };
        Self { message: BytesMut::from(parts.prefix()), parts }
    }

    /// The same batch, empty, in memory that another one had.
    pub(crate) fn in_memory(mut self, mut memory: BytesMut) -> Self {
        memory.clear();
        memory.extend_from_slice(self.parts.prefix());
        self.parts.len = 0;
        Self { message: memory, ..self }
    }

    /// Its memory alone.
    pub(crate) fn into_memory(self) -> BytesMut {
        self.message
    }

    /// The same, for messages of no more than `max_message_size` bytes.
    pub(crate) fn with_limit(mut self, max_message_size: usize) -> Self {
        self.parts.max_message_size = self.parts.max_message_size.min(max_message_size);
        self
    }

    /// Adds `event` if it fits.
    ///
    /// The event's exact size is known before a byte is written, and it is written once. What is not a whole
    /// [`Event`] is the body of one. Adding such a body allocates nothing while the batch has room in its memory.
    ///
    /// With a partition key, the event becomes durable and carries the key, in the place of one of its own.
    #[inline]
    pub fn try_add<E: BatchItem>(&mut self, event: E) -> TryAdd<E> {
        let added = match event.content() {
            sealed::Content::Body(body) => self.add_body(body),
            sealed::Content::Event(event) => self.add_event(event),
        };
        match added {
            Ok(()) => TryAdd::Added,
            Err(Refusal::Full) => TryAdd::Full(event),
            Err(Refusal::TooLarge) => TryAdd::TooLarge(event),
            Err(Refusal::Invalid(why)) => TryAdd::Invalid(event, why),
        }
    }

    /// The hot path: what there is to a small event beside copying is in this function.
    #[inline]
    fn add_body(&mut self, body: &[u8]) -> Result<(), Refusal> {
        if self.parts.key.is_some() {
            return self.add_body_with_key(body);
        }
        let event_len = data_section_len(body.len());
        let section_len = data_section_len(event_len);
        if self.message.len() + section_len > self.parts.max_message_size.min(self.message.capacity()) {
            make_room(&mut self.message, &self.parts, event_len)?;
        }
        put_section_starts(&mut self.message, event_len, body.len());
        self.message.extend_from_slice(body);
        self.parts.len += 1;
        Ok(())
    }

    fn add_body_with_key(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let event_len = self.parts.prefix().len() + data_section_len(body.len());
        make_room(&mut self.message, &self.parts, event_len)?;
        put_section_start(&mut self.message, event_len);
        self.message.extend_from_slice(self.parts.prefix());
        put_data_section(&mut self.message, body);
        self.parts.len += 1;
        Ok(())
    }

    fn add_event(&mut self, event: &Event) -> Result<(), Refusal> {
        event.check().map_err(Refusal::Invalid)?;
        let encoding = Encoding::new(event, self.parts.key.as_ref().map(|key| &*key.partition_key));
        let event_len = encoding.len();
        make_room(&mut self.message, &self.parts, event_len)?;
        put_section_start(&mut self.message, event_len);
        encoding.write(&mut self.message);
        self.parts.len += 1;
        Ok(())
    }

    /// All of `events`, in as many batches like this one as they need. Events are taken, and batches made, when they are
    /// asked for: however many there are, one batch and one event are held. What is in this batch already is dropped.
    ///
    /// ```
    /// use hubwire::wire::batch::Batch;
    ///
    /// let events = (0..1_000_000).map(|number| format!("event {number}"));
    /// let mut sent = 0;
    /// for batch in Batch::new(1_048_576).batches(events) {
    ///     sent += batch?.len(); // or send it; `Batches::next_in` fills the memory of one that was sent
    /// }
    /// assert_eq!(sent, 1_000_000);
    /// # Ok::<(), hubwire::wire::batch::Refused<String>>(())
    /// ```
    pub fn batches<I>(mut self, events: I) -> Batches<I::IntoIter>
    where
        I: IntoIterator<Item: BatchItem>,
    {
        self.clear();
        Batches::new(self, events.into_iter())
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.parts.len
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.parts.len == 0
    }

    /// Bytes of the message as it stands; without events, those of the envelope.
    pub fn encoded_len(&self) -> usize {
        self.message.len()
    }

    /// The most bytes the message may take.
    pub fn max_message_size(&self) -> usize {
        self.parts.max_message_size
    }

    /// Bytes left below the limit. An event takes its own bytes and 5 more, or 8 from 256.
    pub fn remaining(&self) -> usize {
        self.parts.max_message_size.saturating_sub(self.message.len())
    }

    /// The key that all events share, if there is one.
    pub fn partition_key(&self) -> Option<&str> {
        self.parts.key.as_ref().map(|key| &*key.partition_key)
    }

    /// The message: what a transfer of format [`MESSAGE_FORMAT`] carries.
    pub fn encoded(&self) -> &[u8] {
        &self.message
    }

    /// Removes every event. Limit, partition key and memory stay.
    pub fn clear(&mut self) {
        self.message.truncate(self.parts.prefix().len());
        self.parts.len = 0;
    }

    /// Gives the message away to be sent, without copying it; [`from_message`](Self::from_message) takes it back.
    pub(crate) fn into_message(mut self) -> Message {
        // Memory that has been shared once can be shared again, in each batch that it is lent to, without another allocation.
        drop(self.message.split_off(self.message.capacity()));
        Message { bytes: self.message.freeze(), parts: self.parts }
    }

    /// The batch that `message` was. Its memory is copied only if somebody else still holds `message.bytes`.
    pub(crate) fn from_message(message: Message) -> Self {
        let bytes = message.bytes.try_into_mut();
        Self { message: bytes.unwrap_or_else(|shared| BytesMut::from(&shared[..])), parts: message.parts }
    }
}

/// A batch on its way: bytes that can be shared, and what makes a batch of them again.
pub(crate) struct Message {
    /// The whole message. Frames may hold parts of it; once they are gone it can be a [`Batch`] again at no cost.
    pub(crate) bytes: Bytes,
    parts: Parts,
}

impl Message {
    /// How many events there are in it.
    pub(crate) fn len(&self) -> usize {
        self.parts.len
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("encoded_len", &self.encoded_len())
            .field("max_message_size", &self.max_message_size())
            .field("partition_key", &self.partition_key())
            .finish()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("len", &self.len()).field("encoded_len", &self.bytes.len()).finish()
    }
}

/// Why an event is not added.
enum Refusal {
    Full,
    TooLarge,
    Invalid(EncodeError),
}

/// `00 53 75` and the length of the binary that follows.
fn put_section_start(message: &mut BytesMut, event_len: usize) {
    match u8::try_from(event_len) {
        Ok(len) => message.extend_from_slice(&[0x00, 0x53, 0x75, 0xa0, len]),
        Err(_) => {
            // The limit is below 4 GiB, and the event within it.
            let [a, b, c, d] = (event_len as u32).to_be_bytes();
            message.extend_from_slice(&[0x00, 0x53, 0x75, 0xb0, a, b, c, d]);
        }
    }
}

/// The starts of both sections of an event that is a body alone, in one piece of a size that is known: what else there is
/// to a small event is copying.
fn put_section_starts(message: &mut BytesMut, event_len: usize, body_len: usize) {
    // The limit is below 4 GiB, and the event within it.
    let [e0, e1, e2, e3] = (event_len as u32).to_be_bytes();
    let [b0, b1, b2, b3] = (body_len as u32).to_be_bytes();
    if event_len <= 255 {
        message.extend_from_slice(&[0x00, 0x53, 0x75, 0xa0, e3, 0x00, 0x53, 0x75, 0xa0, b3]);
    } else if body_len <= 255 {
        message.extend_from_slice(&[0x00, 0x53, 0x75, 0xb0, e0, e1, e2, e3, 0x00, 0x53, 0x75, 0xa0, b3]);
    } else {
        let starts = [0x00, 0x53, 0x75, 0xb0, e0, e1, e2, e3, 0x00, 0x53, 0x75, 0xb0, b0, b1, b2, b3];
        message.extend_from_slice(&starts);
    }
}

/// Out of the way of the events that fit: sees to it that an event of `event_len` bytes may be written, and that there is memory for it.
fn make_room(message: &mut BytesMut, parts: &Parts, event_len: usize) -> Result<(), Refusal> {
    let section_len = data_section_len(event_len);
    let needed = message.len() + section_len;
    if parts.prefix().len() + section_len > parts.max_message_size {
        return Err(Refusal::TooLarge);
    }
    if needed > parts.max_message_size {
        return Err(Refusal::Full);
    }
    if needed > message.capacity() {
        let capacity = capacity_for(needed, parts.max_message_size);
        message.reserve(capacity - message.len());
    }
    Ok(())
}

/// The limit, halved as often as it still holds `needed` bytes: doubling from there ends at the limit, not beyond.
fn capacity_for(needed: usize, max_message_size: usize) -> usize {
    let needed = needed.max(MIN_CAPACITY);
    let mut capacity = max_message_size;
    while capacity.div_ceil(2) >= needed {
        capacity = capacity.div_ceil(2);
    }
    capacity
}

/// Bytes that `item` takes in a batch, or a few more; without a partition key.
pub(crate) fn room_for(item: &impl BatchItem) -> usize {
    match item.content() {
        sealed::Content::Body(body) => data_section_len(data_section_len(body.len())),
        sealed::Content::Event(event) => data_section_len(event.encoded_len()),
    }
}

/// What can be added to a batch: an [`Event`], owned or borrowed, or the body of one.
///
/// It is looked at where it is; a refused one is given back as it came.
pub trait BatchItem: sealed::Sealed {}

impl<T: sealed::Sealed> BatchItem for T {}

mod sealed {
    use bytes::Bytes;

    use super::Event;

    /// What an item amounts to.
    pub enum Content<'a> {
        Body(&'a [u8]),
        Event(&'a Event),
    }

    pub trait Sealed {
        fn content(&self) -> Content<'_>;
    }

    impl Sealed for Event {
        fn content(&self) -> Content<'_> {
            Content::Event(self)
        }
    }

    impl Sealed for &Event {
        fn content(&self) -> Content<'_> {
            Content::Event(self)
        }
    }

    macro_rules! bodies {
        ($($body:ty),*) => {$(
            impl Sealed for $body {
                fn content(&self) -> Content<'_> {
                    Content::Body(self.as_ref())
                }
            }
        )*};
    }

    bodies!(&[u8], &str, String, &String, Vec<u8>, &Vec<u8>, Bytes, &Bytes);

    impl<const N: usize> Sealed for &[u8; N] {
        fn content(&self) -> Content<'_> {
            Content::Body(*self)
        }
    }
}
