//! A stored event as a receiver gets it: with the hub's annotations. Source: event-hubs-wire 8.

use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::event::{
    Annotations, ENQUEUED_TIME, Event, HUBS_ANNOTATIONS, MessageReader, OFFSET, PARTITION_KEY, SEQUENCE_NUMBER, Section,
};
use crate::wire::position::unix_millis;
use crate::wire::value::{DecodeError, Scalar, put_map_start};

use super::store::{LastEnqueued, StoredEvent};

/// What is told of the partition beside an event, to a receiver that asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metrics {
    pub(super) last: LastEnqueued,
    pub(super) now: SystemTime,
}

/// Encodes `stored` for a receiver: the publisher's bytes, and among them the hub's annotations.
pub(super) fn render(stored: &StoredEvent, metrics: Option<&Metrics>) -> Bytes {
    let parts = Parts::of(&stored.encoded).unwrap_or_else(|_| Parts::body_alone(&stored.encoded));
    let mut out = BytesMut::with_capacity(stored.encoded.len() + 256);
    out.put_slice(&parts.header);
    if let Some(metrics) = metrics {
        put_metrics(&mut out, metrics);
    }
    put_annotations(&mut out, stored, &parts.annotations);
    out.put_slice(&parts.rest);
    out.freeze()
}

/// The sections of an encoded event, those apart that come before its message annotations.
struct Parts {
    header: Bytes,
    annotations: Annotations,
    rest: Bytes,
}

impl Parts {
    fn body_alone(encoded: &Bytes) -> Self {
        Self { header: Bytes::new(), annotations: Annotations::default(), rest: encoded.clone() }
    }

    fn of(encoded: &Bytes) -> Result<Self, DecodeError> {
        let mut parts = Self::body_alone(encoded);
        let mut reader = MessageReader::new(encoded);
        let mut scratch = Event::default();
        while let Some(section) = reader.next_section()? {
            let start = reader.section_at();
            match section {
                Section::Header | Section::DeliveryAnnotations | Section::MessageAnnotations => {}
                _ => {
                    parts.rest = encoded.slice(start..);
                    break;
                }
            }
            reader.read_into(section, &mut scratch)?;
            if section == Section::Header {
                parts.header = encoded.slice(start..reader.at());
            }
            parts.rest = encoded.slice(reader.at()..);
        }
        // Delivery annotations were the publisher's word to the hub, and end here.
        parts.annotations = scratch.message_annotations().cloned().unwrap_or_default();
        Ok(parts)
    }
}

fn put_annotations(out: &mut BytesMut, stored: &StoredEvent, own: &Annotations) {
    let mut content = BytesMut::with_capacity(192);
    let mut count = 0;
    for (key, value) in own.iter().filter(|(key, _)| !key.as_str().is_some_and(is_hubs)) {
        key.encode(&mut content);
        value.encode(&mut content);
        count += 1;
    }
    let offset = stored.offset.to_string();
    let mut put = |name, value: Scalar<'_>| {
        Scalar::Symbol(name).encode(&mut content);
        value.encode(&mut content);
        count += 1;
    };
    put(SEQUENCE_NUMBER, Scalar::Long(stored.sequence_number));
    put(OFFSET, Scalar::String(&offset));
    put(ENQUEUED_TIME, Scalar::timestamp(unix_millis(stored.enqueued_time)));
    if let Some(key) = &stored.partition_key {
        put(PARTITION_KEY, Scalar::String(key));
    }
    put_map(out, 0x72, count, &content);
}

fn put_metrics(out: &mut BytesMut, metrics: &Metrics) {
    let mut content = BytesMut::with_capacity(192);
    let offset = metrics.last.offset.to_string();
    let mut put = |name, value: Scalar<'_>| {
        Scalar::Symbol(name).encode(&mut content);
        value.encode(&mut content);
    };
    put("last_enqueued_sequence_number", Scalar::Long(metrics.last.sequence_number));
    put("last_enqueued_offset", Scalar::String(&offset));
    put("last_enqueued_time_utc", Scalar::timestamp(unix_millis(metrics.last.time)));
    put("runtime_info_retrieval_time_utc", Scalar::timestamp(unix_millis(metrics.now)));
    put_map(out, 0x71, 4, &content);
}

fn put_map(out: &mut BytesMut, section: u8, pairs: usize, content: &[u8]) {
    out.put_slice(&[0x00, 0x53, section]);
    put_map_start(out, pairs, content.len());
    out.put_slice(content);
}

/// Whether only the hub may say it.
fn is_hubs(annotation: &str) -> bool {
    HUBS_ANNOTATIONS.contains(&annotation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::event::Header;
    use crate::wire::value::Value;
    use std::time::{Duration, UNIX_EPOCH};

    fn stored(encoded: Bytes, partition_key: Option<&str>) -> StoredEvent {
        StoredEvent {
            partition_id: 1,
            sequence_number: 7,
            offset: 524,
            enqueued_time: UNIX_EPOCH + Duration::from_millis(1_795_374_629_914),
            partition_key: partition_key.map(Into::into),
            encoded,
        }
    }

    fn rendered(event: &Event, partition_key: Option<&str>, metrics: Option<&Metrics>) -> Event {
        Event::decode(&render(&stored(event.encode().unwrap(), partition_key), metrics)).unwrap()
    }

    #[test]
    fn the_hubs_annotations_have_the_types_that_sdks_need() {
        let event = rendered(&Event::new("body"), Some("pk1"), None);
        assert_eq!(event.data().unwrap(), "body");
        assert_eq!(event.annotation(SEQUENCE_NUMBER), Some(&Value::Long(7)));
        assert_eq!(event.annotation(OFFSET), Some(&Value::from("524")));
        assert_eq!(event.annotation(ENQUEUED_TIME), Some(&Value::Timestamp(1_795_374_629_914)));
        assert_eq!(event.partition_key(), Some("pk1"));
        assert!(event.delivery_annotations().is_none_or(Annotations::is_empty));
    }

    #[test]
    fn the_rest_stays_as_the_publisher_wrote_it_in_the_order_of_sections() {
        let published = Event::new("body")
            .with_header(Header { durable: Some(true), ..Header::default() })
            .with_delivery_annotation("x-to-the-hub", 1)
            .with_annotation("x-own", "kept")
            .with_annotation(OFFSET, "a lie")
            .with_property("k", "v")
            .with_message_id("id")
            .with_footer("f", 1);
        let event = rendered(&published, None, None);
        assert_eq!(event.header(), published.header());
        assert_eq!(event.annotation("x-own"), Some(&Value::from("kept")));
        assert_eq!(event.annotation(OFFSET), Some(&Value::from("524")));
        assert!(event.delivery_annotations().is_none_or(Annotations::is_empty));
        assert_eq!(event.properties(), published.properties());
        assert_eq!(event.application_properties(), published.application_properties());
        assert_eq!(event.footer(), published.footer());
        let bytes = render(&stored(published.encode().unwrap(), None), None);
        let at = |section: u8| bytes.windows(3).position(|window| window == [0x00, 0x53, section]).unwrap();
        assert!(at(0x70) < at(0x72) && at(0x72) < at(0x73));
    }

    #[test]
    fn metrics_stand_between_header_and_annotations() {
        let last = LastEnqueued { sequence_number: 9, offset: 600, time: UNIX_EPOCH + Duration::from_secs(5) };
        let metrics = Metrics { last, now: UNIX_EPOCH + Duration::from_secs(6) };
        let event = rendered(&Event::new("body"), None, Some(&metrics));
        let told = event.delivery_annotations().unwrap();
        assert_eq!(told.get("last_enqueued_sequence_number"), Some(&Value::Long(9)));
        assert_eq!(told.get("last_enqueued_offset"), Some(&Value::from("600")));
        assert_eq!(told.get("last_enqueued_time_utc"), Some(&Value::Timestamp(5_000)));
        assert_eq!(told.get("runtime_info_retrieval_time_utc"), Some(&Value::Timestamp(6_000)));
    }

    #[test]
    fn an_event_without_a_body_is_rendered_too() {
        let event = Event::default().with_annotation("x-own", 1);
        assert_eq!(rendered(&event, None, None).annotation("x-own"), Some(&Value::Int(1)));
        assert!(rendered(&Event::default().with_message_id(5), None, None).annotation(OFFSET).is_some());
    }
}
