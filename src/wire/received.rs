//! An event as a receiver gets it: what its publisher wrote, and what the hub says of it. Source: event-hubs-wire 8.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::event::{Annotations, ENQUEUED_TIME, Event, OFFSET, SEQUENCE_NUMBER};
use super::position::Position;
use super::value::{DecodeError, Value};

/// An event that came from a hub.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceivedEvent {
    /// The event, with the hub's annotations in it; [`Event::into_published`] takes them out.
    pub event: Event,
    /// Its place in the partition.
    pub sequence_number: i64,
    /// Where it stands in the partition: an opaque text.
    pub offset: String,
    /// When the hub took it, to the millisecond.
    pub enqueued_time: SystemTime,
    /// The key that chose its partition, if one did.
    pub partition_key: Option<String>,
    /// Bytes of the message, the hub's annotations included.
    pub encoded_len: usize,
    /// How far the partition has come, if the receiver asked for that.
    pub last_enqueued: Option<LastEnqueued>,
}

/// The last event of a partition, as the hub knew it when it handed out another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEnqueued {
    /// Its place in the partition.
    pub sequence_number: i64,
    /// Where it stands in the partition.
    pub offset: String,
    /// When the hub took it, to the millisecond.
    pub enqueued_time: SystemTime,
    /// When the hub looked.
    pub retrieved_at: SystemTime,
}

/// Why a message cannot be taken for an event of a hub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceivedError {
    /// It is no AMQP message.
    #[error("the message does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The hub did not say where the event stands.
    #[error("the message has no annotation `{name}` of the right type")]
    Annotation {
        /// Which annotation.
        name: &'static str,
    },
}

impl ReceivedEvent {
    /// Reads the message that a hub sent.
    ///
    /// # Errors
    /// [`ReceivedError`], for a message that no hub sends.
    pub fn decode(message: &Bytes) -> Result<Self, ReceivedError> {
        let event = Event::decode(message)?;
        let annotation = |name: &'static str| event.annotation(name).ok_or(ReceivedError::Annotation { name });
        let missing = |name: &'static str| ReceivedError::Annotation { name };
        let sequence_number = annotation(SEQUENCE_NUMBER)?.as_i64().ok_or(missing(SEQUENCE_NUMBER))?;
        let offset = annotation(OFFSET)?.as_str().ok_or(missing(OFFSET))?.to_owned();
        let enqueued_time = annotation(ENQUEUED_TIME)?.as_i64().ok_or(missing(ENQUEUED_TIME)).map(time_of)?;
        Ok(Self {
            sequence_number,
            offset,
            enqueued_time,
            partition_key: event.partition_key().map(str::to_owned),
            encoded_len: message.len(),
            last_enqueued: event.delivery_annotations().and_then(LastEnqueued::of),
            event,
        })
    }

    /// Where a reader goes on that has seen this event.
    #[must_use]
    pub fn position(&self) -> Position {
        Position::AfterSequenceNumber(self.sequence_number)
    }
}

impl LastEnqueued {
    fn of(annotations: &Annotations) -> Option<Self> {
        let number = |name| annotations.get(name).and_then(Value::as_i64);
        Some(Self {
            sequence_number: number("last_enqueued_sequence_number")?,
            offset: annotations.get("last_enqueued_offset")?.as_str()?.to_owned(),
            enqueued_time: number("last_enqueued_time_utc").map(time_of)?,
            retrieved_at: number("runtime_info_retrieval_time_utc").map(time_of)?,
        })
    }
}

/// The time that `unix_millis` counts; one that no clock can show is 1970.
pub(crate) fn time_of(unix_millis: i64) -> SystemTime {
    let span = Duration::from_millis(unix_millis.unsigned_abs());
    let time = if unix_millis < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    time.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated() -> Event {
        Event::new("body")
            .with_annotation(SEQUENCE_NUMBER, 41_i64)
            .with_annotation(OFFSET, "8590")
            .with_annotation(ENQUEUED_TIME, Value::Timestamp(1_700_000_000_123))
    }

    fn decoded(event: &Event) -> Result<ReceivedEvent, ReceivedError> {
        ReceivedEvent::decode(&event.encode().unwrap())
    }

    #[test]
    fn the_hubs_annotations_say_where_an_event_stands() {
        let received = decoded(&annotated().with_annotation("x-opt-partition-key", "k")).unwrap();
        assert_eq!(received.event.data().unwrap(), &b"body"[..]);
        assert_eq!((received.sequence_number, received.offset.as_str()), (41, "8590"));
        assert_eq!(received.enqueued_time, UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
        assert_eq!(received.partition_key.as_deref(), Some("k"));
        assert_eq!(received.position(), Position::AfterSequenceNumber(41));
        assert_eq!(received.last_enqueued, None);
    }

    #[test]
    fn metrics_are_there_whole_or_not_at_all() {
        let event = annotated()
            .with_delivery_annotation("last_enqueued_sequence_number", 99_i64)
            .with_delivery_annotation("last_enqueued_offset", "9000")
            .with_delivery_annotation("last_enqueued_time_utc", Value::Timestamp(5));
        assert_eq!(decoded(&event).unwrap().last_enqueued, None);
        let event = event.with_delivery_annotation("runtime_info_retrieval_time_utc", Value::Timestamp(-6));
        let expected = LastEnqueued {
            sequence_number: 99,
            offset: "9000".into(),
            enqueued_time: UNIX_EPOCH + Duration::from_millis(5),
            retrieved_at: UNIX_EPOCH - Duration::from_millis(6),
        };
        assert_eq!(decoded(&event).unwrap().last_enqueued, Some(expected));
    }

    #[test]
    fn what_no_hub_sends_is_refused_by_name() {
        assert_eq!(decoded(&Event::new("body")), Err(ReceivedError::Annotation { name: SEQUENCE_NUMBER }));
        let odd = annotated().with_annotation(OFFSET, 8_590_i64);
        assert_eq!(decoded(&odd), Err(ReceivedError::Annotation { name: OFFSET }));
        assert!(matches!(ReceivedEvent::decode(&Bytes::from_static(b"junk")), Err(ReceivedError::Decode(_))));
    }

    #[test]
    fn a_time_that_no_clock_shows_does_not_panic() {
        let event = annotated().with_annotation(ENQUEUED_TIME, Value::Timestamp(i64::MIN));
        assert!(decoded(&event).is_ok());
    }
}
