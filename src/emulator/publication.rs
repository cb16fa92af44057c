//! A received message, checked whole before any event of it is stored.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::wire::batch::{BatchReader, MESSAGE_FORMAT};
use crate::wire::condition;
use crate::wire::event::Event;
use crate::wire::frame::PeerError;

/// Messages below this many bytes are moved to memory of their own. What arrives is a slice of the connection's read
/// buffer, and an event of 50 bytes must not keep 64 KiB alive; a larger message is worth its buffer.
const OWN_MEMORY_BELOW: usize = 32 * 1024;

/// A message, and where in it its events are: they stand as they were encoded by the publisher.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) partition_key: Option<Arc<str>>,
    pub(super) payload: Bytes,
    /// One or more.
    pub(super) spans: Box<[Span]>,
}

/// Where an event is in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Publication {
    /// Reads a message of either format; an error refuses all of it.
    pub(super) fn read(message_format: u32, payload: Bytes) -> Result<Self, PeerError> {
        if payload.is_empty() {
            return Err(malformed("The message is empty."));
        }
        let payload = if payload.len() < OWN_MEMORY_BELOW { Bytes::copy_from_slice(&payload) } else { payload };
        match message_format {
            0 => Self::single(payload),
            MESSAGE_FORMAT => Self::batch(payload),
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
        let spans = Box::new([Span { start: 0, end: payload.len() as u32 }]);
        Ok(Self { partition_key: event.partition_key().map(Arc::from), payload, spans })
    }

    fn batch(payload: Bytes) -> Result<Self, PeerError> {
        let memory = payload.as_ptr().addr();
        let envelope_error = |error| malformed(format!("The batch does not decode: {error}."));
        let reader = BatchReader::new(payload.clone()).map_err(envelope_error)?;
        let partition_key = reader.partition_key().map(Arc::from);
        let mut spans = Vec::new();
        for (index, encoded) in reader.enumerate() {
            let encoded = encoded.map_err(envelope_error)?;
            check_event(index, &encoded)?;
            // A slice of the payload.
            let start = encoded.as_ptr().addr() - memory;
            spans.push(Span { start: start as u32, end: (start + encoded.len()) as u32 });
        }
        if spans.is_empty() {
            return Err(malformed("The batch holds no events."));
        }
        Ok(Self { partition_key, payload, spans: spans.into() })
    }
}

fn check_event(index: usize, encoded: &Bytes) -> Result<(), PeerError> {
    if encoded.is_empty() {
        return Err(malformed(format!("Event {index} of the batch is empty.")));
    }
    if is_body_alone(encoded) {
        return Ok(());
    }
    match Event::decode(encoded) {
        Ok(_) => Ok(()),
        Err(error) => Err(malformed(format!("Event {index} of the batch does not decode: {error}."))),
    }
}

/// Whether an event is one `data` section and no more, which most are: nothing can be wrong with it.
fn is_body_alone(encoded: &[u8]) -> bool {
    match *encoded {
        [0x00, 0x53, 0x75, 0xa0, len, ref body @ ..] => body.len() == usize::from(len),
        [0x00, 0x53, 0x75, 0xb0, a, b, c, d, ref body @ ..] => body.len() == u32::from_be_bytes([a, b, c, d]) as usize,
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

    fn events(publication: &Publication) -> Vec<Bytes> {
        publication.spans.iter().map(|span| publication.payload.slice(span.range())).collect()
    }

    /// A batch of these encoded events, whatever they are.
    fn raw_batch(events: &[&[u8]]) -> Bytes {
        let sections = events.iter().flat_map(|event| [&[0x00, 0x53, 0x75, 0xa0, event.len() as u8], *event].concat());
        sections.collect()
    }

    #[test]
    fn a_batch_is_read_to_its_events() {
        let publication = Publication::read(MESSAGE_FORMAT, batch(Some("pk1"), &["one", "two"])).unwrap();
        assert_eq!(publication.partition_key.as_deref(), Some("pk1"));
        let bodies: Vec<_> = events(&publication).iter().map(|event| Event::decode(event).unwrap()).collect();
        assert_eq!(bodies[0].data().unwrap(), "one");
        assert_eq!(bodies[1].data().unwrap(), "two");
    }

    #[test]
    fn a_single_event_is_stored_as_it_was_encoded() {
        let encoded = Event::new("solo").encode_with_partition_key("pk1").unwrap();
        let publication = Publication::read(0, encoded.clone()).unwrap();
        assert_eq!(publication.partition_key.as_deref(), Some("pk1"));
        assert_eq!(events(&publication), [encoded]);
    }

    #[test]
    fn the_events_of_a_large_batch_are_slices_of_the_received_message() {
        let body = "x".repeat(OWN_MEMORY_BELOW);
        let payload = batch(None, &[&body]);
        let memory = payload.as_ptr_range();
        let publication = Publication::read(MESSAGE_FORMAT, payload).unwrap();
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
            let error = Publication::read(format, payload).unwrap_err();
            assert_eq!(error.condition, condition, "{words}");
            let description = error.description.unwrap();
            assert!(description.starts_with(words), "{description} | {words}");
        }
    }

    #[test]
    fn no_prefix_of_a_batch_is_taken_for_all_of_it() {
        let whole = batch(Some("pk1"), &["one", "two"]);
        let first = events(&Publication::read(MESSAGE_FORMAT, whole.clone()).unwrap())[0].len();
        for len in 0..whole.len() {
            // A cut between two events is a shorter batch, and nothing else is one.
            if let Ok(publication) = Publication::read(MESSAGE_FORMAT, whole.slice(..len)) {
                assert_eq!((publication.spans.len(), events(&publication)[0].len()), (1, first), "{len} bytes");
            }
        }
    }
}
