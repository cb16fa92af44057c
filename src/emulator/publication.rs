//! A received message, checked whole before any event of it is stored.

mod in_parts;

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::engine::Payload;
use crate::wire::batch::{BatchReader, MESSAGE_FORMAT};
use crate::wire::condition;
use crate::wire::event::Event;
use crate::wire::frame::PeerError;

/// Messages below this many bytes are moved to memory of their own. What arrives is a slice of the connection's read
/// buffer, and an event of 50 bytes must not keep 256 KiB alive; a larger message is worth its buffer.
const OWN_MEMORY_BELOW: usize = 64 * 1024;

/// A message, and where in it its events are: they stand as they were encoded by the publisher.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) partition_key: Option<Arc<str>>,
    /// Bytes of the message.
    pub(super) len: usize,
    pub(super) parts: Box<[Part]>,
    /// One or more.
    pub(super) spans: Box<[Span]>,
}

/// A piece of memory with events in it.
#[derive(Debug)]
pub(super) struct Part {
    /// Where its first byte stands in the message.
    pub(super) at: u32,
    pub(super) bytes: Bytes,
}

/// Where an event is: from a place in a part on, and on through the parts behind it if it does not end there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) part: u32,
    pub(super) start: u32,
    /// Counted from the part's first byte, though it may lie in a later one.
    pub(super) end: u32,
}

impl Span {
    fn new(part: usize, range: &Range<usize>) -> Self {
        Self { part: part as u32, start: range.start as u32, end: range.end as u32 }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Publication {
    /// Reads a message of either format; an error refuses all of it.
    pub(super) fn read(message_format: u32, payload: Payload) -> Result<Self, PeerError> {
        let len = payload.parts.iter().map(Bytes::len).sum::<usize>();
        if len == 0 {
            return Err(malformed("The message is empty."));
        }
        match message_format {
            0 if len < OWN_MEMORY_BELOW => Self::single(owned(payload)),
            0 => match in_parts::read_single(&payload.parts) {
                Some(publication) => Ok(publication),
                None => Self::single(payload.into_bytes()),
            },
            MESSAGE_FORMAT if len < OWN_MEMORY_BELOW => Self::batch(owned(payload)),
            MESSAGE_FORMAT => match in_parts::read(&payload.parts) {
                Some(publication) => Ok(publication),
                // Unusual or broken: in one piece it can be told which.
                None => Self::batch(payload.into_bytes()),
            },
            other => {
                let text = format!(
                    "Message format {other:#010x} is not served: send an event alone (0) or a batch ({MESSAGE_FORMAT:#x})."
                );
                Err(PeerError::new(condition::NOT_IMPLEMENTED, text))
            }
        }
    }

    fn single(payload: Bytes) -> Result<Self, PeerError> {
        let event =
            Event::decode(&payload).map_err(|error| malformed(format!("The event does not decode: {error}.")))?;
        let span = Span::new(0, &(0..payload.len()));
        Ok(Self::whole(event.partition_key(), payload, vec![span]))
    }

    fn batch(payload: Bytes) -> Result<Self, PeerError> {
        let envelope_error = |error| malformed(format!("The batch does not decode: {error}."));
        let mut reader = BatchReader::new(payload.clone()).map_err(envelope_error)?;
        let mut spans = Vec::new();
        while let Some(range) = reader.next_range() {
            let range = range.map_err(envelope_error)?;
            spans.push(Span::new(0, &range));
            if !is_body_alone(&payload[range.clone()], range.len()) {
                check_event(spans.len() - 1, &payload.slice(range))?;
            }
        }
        if spans.is_empty() {
            return Err(malformed("The batch holds no events."));
        }
        Ok(Self::whole(reader.partition_key(), payload, spans))
    }

    fn whole(partition_key: Option<&str>, bytes: Bytes, spans: Vec<Span>) -> Self {
        let partition_key = partition_key.map(Arc::from);
        Self { partition_key, len: bytes.len(), parts: Box::new([Part { at: 0, bytes }]), spans: spans.into() }
    }

    /// An event's bytes: a slice of what came, or gathered if it came in several parts.
    pub(super) fn encoded(&self, span: Span) -> Bytes {
        gathered(&self.parts, span)
    }

    /// The events' bytes, and what keeps them, in bytes.
    pub(super) fn memory(&self) -> usize {
        let bytes: usize = self.parts.iter().map(|part| part.bytes.len()).sum();
        bytes + size_of_val(&*self.parts) + size_of_val(&*self.spans)
    }
}

fn gathered(parts: &[Part], span: Span) -> Bytes {
    let range = span.range();
    let first = &parts[span.part as usize].bytes;
    if range.end <= first.len() {
        return first.slice(range);
    }
    let mut gathered = BytesMut::with_capacity(range.len());
    gathered.extend_from_slice(&first[range.start..]);
    for part in &parts[span.part as usize + 1..] {
        let missing = range.len() - gathered.len();
        gathered.extend_from_slice(&part.bytes[..missing.min(part.bytes.len())]);
    }
    gathered.freeze()
}

/// The bytes of a message in one piece; a small one in memory of its own.
fn owned(payload: Payload) -> Bytes {
    let bytes = payload.into_bytes();
    if bytes.len() < OWN_MEMORY_BELOW { Bytes::copy_from_slice(&bytes) } else { bytes }
}

fn check_event(index: usize, encoded: &Bytes) -> Result<(), PeerError> {
    if encoded.is_empty() {
        return Err(malformed(format!("Event {index} of the batch is empty.")));
    }
    match Event::decode(encoded) {
        Ok(_) => Ok(()),
        Err(error) => Err(malformed(format!("Event {index} of the batch does not decode: {error}."))),
    }
}

/// Whether an event of `len` bytes that begins with `head`, eight bytes or all, is one `data` section and no more, which most
/// are: nothing can be wrong with it.
fn is_body_alone(head: &[u8], len: usize) -> bool {
    match *head {
        [0x00, 0x53, 0x75, 0xa0, body_len, ..] => len == 5 + usize::from(body_len),
        [0x00, 0x53, 0x75, 0xb0, a, b, c, d, ..] => len == 8 + u32::from_be_bytes([a, b, c, d]) as usize,
        _ => false,
    }
}

fn malformed(text: impl Into<String>) -> PeerError {
    PeerError::new(condition::DECODE_ERROR, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::batch::Batch;

    fn batch(key: Option<&str>, bodies: &[&str]) -> Bytes {
        let mut batch = key.map_or_else(|| Batch::new(1 << 20), |key| Batch::with_partition_key(1 << 20, key).unwrap());
        for body in bodies {
            assert!(batch.try_add(*body).is_added());
        }
        Bytes::copy_from_slice(batch.encoded())
    }

    fn read(message_format: u32, payload: Bytes) -> Result<Publication, PeerError> {
        Publication::read(message_format, Payload { parts: vec![payload] })
    }

    fn events(publication: &Publication) -> Vec<Bytes> {
        publication.spans.iter().map(|span| publication.encoded(*span)).collect()
    }

    /// A batch of these encoded events, whatever they are.
    fn raw_batch(events: &[&[u8]]) -> Bytes {
        let sections = events.iter().flat_map(|event| [&[0x00, 0x53, 0x75, 0xa0, event.len() as u8], *event].concat());
        sections.collect()
    }

    #[test]
    fn a_batch_is_read_to_its_events() {
        let publication = read(MESSAGE_FORMAT, batch(Some("pk1"), &["one", "two"])).unwrap();
        assert_eq!(publication.partition_key.as_deref(), Some("pk1"));
        let bodies: Vec<_> = events(&publication).iter().map(|event| Event::decode(event).unwrap()).collect();
        assert_eq!(bodies[0].data().unwrap(), "one");
        assert_eq!(bodies[1].data().unwrap(), "two");
    }

    #[test]
    fn a_single_event_is_stored_as_it_was_encoded() {
        let encoded = Event::new("solo").encode_with_partition_key("pk1").unwrap();
        let publication = read(0, encoded.clone()).unwrap();
        assert_eq!(publication.partition_key.as_deref(), Some("pk1"));
        assert_eq!(events(&publication), [encoded]);
    }

    #[test]
    fn the_events_of_a_large_batch_are_slices_of_the_received_message() {
        let body = "x".repeat(OWN_MEMORY_BELOW);
        let payload = batch(None, &[&body]);
        let memory = payload.as_ptr_range();
        let publication = read(MESSAGE_FORMAT, payload).unwrap();
        assert!(memory.contains(&events(&publication)[0].as_ptr()));
    }

    #[test]
    fn what_is_malformed_is_refused_and_the_sentence_says_where() {
        let good: &[u8] = b"\x00\x53\x75\xa0\x01a";
        for (format, payload, condition, words) in [
            (0, Bytes::new(), condition::DECODE_ERROR, "The message is empty."),
            (0, Bytes::from_static(b"garbage"), condition::DECODE_ERROR, "The event does not decode: byte 0"),
            (MESSAGE_FORMAT, Bytes::new(), condition::DECODE_ERROR, "The message is empty."),
            (
                MESSAGE_FORMAT,
                Bytes::from_static(b"garbage"),
                condition::DECODE_ERROR,
                "The batch does not decode: byte 0",
            ),
            (MESSAGE_FORMAT, batch(Some("k"), &[]), condition::DECODE_ERROR, "The batch holds no events."),
            (
                MESSAGE_FORMAT,
                raw_batch(&[good, b"bad"]),
                condition::DECODE_ERROR,
                "Event 1 of the batch does not decode",
            ),
            (MESSAGE_FORMAT, raw_batch(&[good, b""]), condition::DECODE_ERROR, "Event 1 of the batch is empty."),
            (7, Bytes::from_static(good), condition::NOT_IMPLEMENTED, "Message format 0x00000007 is not served"),
        ] {
            let error = read(format, payload).unwrap_err();
            assert_eq!(error.condition, condition, "{words}");
            let description = error.description.unwrap();
            assert!(description.starts_with(words), "{description} | {words}");
        }
    }

    /// However a batch is cut into pieces, its events are those of the whole; and so are its errors.
    #[test]
    fn a_batch_in_pieces_reads_as_in_one() {
        let small = "x".repeat(100);
        // Large enough for the whole not to be moved to memory of its own.
        let large = "y".repeat(40_000);
        let with_properties = Event::new("z").with_property("k", 1).encode().unwrap();
        let mut whole = Vec::new();
        for key in [None, Some("pk1")] {
            let bodies = [small.as_str(), &large, "", &small, &large, &small];
            whole.push(batch(key, &bodies));
        }
        let plain = whole[0].clone();
        let mut mixed = plain.to_vec();
        mixed.extend_from_slice(&raw_batch(&[&with_properties, &with_properties]));
        whole.push(mixed.clone().into());
        mixed.extend_from_slice(&raw_batch(&[b"broken"]));
        whole.push(mixed.into());
        whole.push(plain.slice(..plain.len() - 1));
        for whole in whole {
            let expected = Publication::batch(whole.clone());
            for piece_len in [1, 3, 7, 4_096, 16_384, 20_013, 65_000] {
                let parts = (0..whole.len()).step_by(piece_len);
                let parts = parts.map(|at| whole.slice(at..whole.len().min(at + piece_len))).collect();
                let read = Publication::read(MESSAGE_FORMAT, Payload { parts });
                match (&expected, read) {
                    (Ok(expected), Ok(read)) => {
                        assert_eq!(events(&read), events(expected), "pieces of {piece_len}");
                        assert_eq!((read.len, &read.partition_key), (expected.len, &expected.partition_key));
                        assert!(
                            piece_len < 4_096 || read.parts.len() > 1,
                            "{} bytes with {:?}, in pieces of {piece_len}: moved",
                            whole.len(),
                            read.partition_key
                        );
                        let places = |publication: &Publication| -> Vec<u32> {
                            let place = |span: &Span| publication.parts[span.part as usize].at + span.start;
                            publication.spans.iter().map(place).collect()
                        };
                        assert!(places(&read).is_sorted_by(|a, b| a < b), "offsets grow");
                    }
                    (Err(expected), Err(read)) => assert_eq!(read.description, expected.description),
                    (expected, read) => panic!("{expected:?} {read:?}"),
                }
            }
        }
    }

    /// A large event alone, of one data section or of many, is taken in the pieces that it came in.
    #[test]
    fn a_single_event_in_pieces_reads_as_in_one() {
        let large = "y".repeat(OWN_MEMORY_BELOW);
        let sections = batch(None, &["a", &large, "b", &"c".repeat(300)]);
        let body = Event::new(large.as_str()).encode().unwrap();
        let with_key = Event::new(large.as_str()).encode_with_partition_key("pk1").unwrap();
        let cut = sections.slice(..sections.len() - 1);
        let value = Event::from_body(crate::wire::event::Body::Value(large.as_str().into())).encode().unwrap();
        for (whole, is_moved) in [(sections, false), (body, false), (with_key, false), (value, true), (cut, true)] {
            let expected = Publication::single(whole.clone());
            for piece_len in [1, 3, 7, 4_096, 16_384, 65_000] {
                let parts = (0..whole.len()).step_by(piece_len);
                let parts: Vec<_> = parts.map(|at| whole.slice(at..whole.len().min(at + piece_len))).collect();
                let count = parts.len();
                match (&expected, Publication::read(0, Payload { parts })) {
                    (Ok(expected), Ok(read)) => {
                        assert_eq!(events(&read), events(expected), "pieces of {piece_len}");
                        assert_eq!((read.len, &read.partition_key), (expected.len, &expected.partition_key));
                        // The envelope has to lie in the first piece.
                        if is_moved || piece_len >= 4_096 {
                            assert_eq!(read.parts.len(), if is_moved { 1 } else { count }, "pieces of {piece_len}");
                        }
                    }
                    (Err(expected), Err(read)) => assert_eq!(read.description, expected.description),
                    (expected, read) => panic!("{expected:?} {read:?}"),
                }
            }
        }
    }

    #[test]
    fn no_prefix_of_a_batch_is_taken_for_all_of_it() {
        let whole = batch(Some("pk1"), &["one", "two"]);
        let first = events(&read(MESSAGE_FORMAT, whole.clone()).unwrap())[0].len();
        for len in 0..whole.len() {
            // A cut between two events is a shorter batch, and nothing else is one.
            if let Ok(publication) = read(MESSAGE_FORMAT, whole.slice(..len)) {
                assert_eq!((publication.spans.len(), events(&publication)[0].len()), (1, first), "{len} bytes");
            }
        }
    }
}
