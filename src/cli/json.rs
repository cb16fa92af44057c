//! Events as lines of JSON: what `hubwire receive` and `hubwire emulator --print-events` print, and `hubwire send --format
//! jsonl` reads.

mod typed;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::emulator::StoredEvent;
use crate::wire::event::{Body, Header, MessageId, Properties};
use crate::wire::value::Value;
use crate::{Event, LastEnqueued, ReceivedEvent};
pub(super) use typed::{read, uuid, written};

/// An event, and where it lies.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) event_hub: &'a str,
    pub(super) partition_id: &'a str,
    pub(super) sequence_number: i64,
    pub(super) offset: &'a str,
    pub(super) enqueued_time: SystemTime,
    pub(super) partition_key: Option<&'a str>,
    /// As its publisher wrote it.
    pub(super) event: &'a Event,
    pub(super) last_enqueued: Option<&'a LastEnqueued>,
}

/// The members, in the order they are printed.
#[derive(Serialize)]
struct Line<'a> {
    event_hub: &'a str,
    partition: &'a str,
    sequence_number: i64,
    offset: &'a str,
    enqueued_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    #[serde(flatten)]
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_enqueued: Option<Last<'a>>,
}

/// How far the partition has come.
#[derive(Serialize)]
struct Last<'a> {
    sequence_number: i64,
    offset: &'a str,
    enqueued_time: String,
    retrieved_at: String,
}

/// What the publisher said.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Members(Box<Members<'a>>),
    /// The whole message, when the members could not say all of it.
    Encoded {
        amqp_base64: String,
    },
}

#[derive(Default, Serialize)]
struct Members<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absolute_expiry_unix_millis: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_unix_millis: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_sequence: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to_group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    properties: Pairs<'a>,
    /// The AMQP types of those properties that JSON does not tell the type of.
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    property_types: Pairs<'a>,
}

/// An object whose members stay in their order.
#[derive(Default)]
struct Pairs<'a>(Vec<(&'a str, Json)>);

impl Pairs<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// One line.
pub(super) fn line(placed: &Placed<'_>) -> String {
    let line = Line {
        event_hub: placed.event_hub,
        partition: placed.partition_id,
        sequence_number: placed.sequence_number,
        offset: placed.offset,
        enqueued_time: rfc3339(placed.enqueued_time),
        partition_key: placed.partition_key,
        content: content(placed.event),
        last_enqueued: placed.last_enqueued.map(|last| Last {
            sequence_number: last.sequence_number,
            offset: &last.offset,
            enqueued_time: rfc3339(last.enqueued_time),
            retrieved_at: rfc3339(last.retrieved_at),
        }),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// One line for an event that the emulator's `event_hub` holds.
pub(super) fn stored_line(event_hub: &str, stored: &StoredEvent) -> String {
    line(&Placed {
        event_hub,
        partition_id: &stored.partition_id.to_string(),
        sequence_number: stored.sequence_number,
        offset: &stored.offset.to_string(),
        enqueued_time: stored.enqueued_time,
        partition_key: stored.partition_key.as_deref(),
        // What the emulator stored decodes; an event without anything stands for one that would not.
        event: &stored.event().unwrap_or_default().into_published(),
        last_enqueued: None,
    })
}

/// One line for an event that came from partition `partition_id` of `event_hub`.
pub(super) fn received_line(event_hub: &str, partition_id: &str, received: ReceivedEvent) -> String {
    let ReceivedEvent { event, sequence_number, offset, enqueued_time, partition_key, last_enqueued, .. } = received;
    line(&Placed {
        event_hub,
        partition_id,
        sequence_number,
        offset: &offset,
        enqueued_time,
        partition_key: partition_key.as_deref(),
        event: &event.into_published(),
        last_enqueued: last_enqueued.as_ref(),
    })
}

fn content(event: &Event) -> Content<'_> {
    match event.body() {
        Body::Data(body) if is_told_by_members(event) => Content::Members(Box::new(members(event, body))),
        _ => match event.encode() {
            Ok(encoded) => Content::Encoded { amqp_base64: STANDARD.encode(encoded) },
            // A property that AMQP does not allow: its type is told, and it cannot be sent.
            Err(_) => Content::Members(Box::new(members(event, &[]))),
        },
    }
}

/// Whether the members say all that there is beside the body. What a hub reads in a header is written anew.
fn is_told_by_members(event: &Event) -> bool {
    let is_plain = |header: &Header| Header { durable: None, ..header.clone() } == Header::default();
    event.header().is_none_or(is_plain)
        && event.message_annotations().is_none_or(|annotations| annotations.is_empty())
        && event.footer().is_none_or(|footer| footer.is_empty())
}

fn members<'a>(event: &'a Event, body: &'a [u8]) -> Members<'a> {
    let (body, body_base64) = match std::str::from_utf8(body) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(body))),
    };
    let mut members = event.properties().map(of_properties).unwrap_or_default();
    (members.body, members.body_base64) = (body, body_base64);
    for (name, value) in event.application_properties() {
        let (json, type_name) = written(value);
        members.properties.0.push((name, json));
        if let Some(type_name) = type_name {
            members.property_types.0.push((name, type_name.into()));
        }
    }
    members
}

fn of_properties(properties: &Properties) -> Members<'_> {
    let (message_id, message_id_type) = properties.message_id.as_ref().map(id).unzip();
    let (correlation_id, correlation_id_type) = properties.correlation_id.as_ref().map(id).unzip();
    Members {
        content_type: properties.content_type.as_deref(),
        content_encoding: properties.content_encoding.as_deref(),
        message_id,
        message_id_type: message_id_type.flatten(),
        correlation_id,
        correlation_id_type: correlation_id_type.flatten(),
        user_id_base64: properties.user_id.as_ref().map(|id| STANDARD.encode(id)),
        to: properties.to.as_deref(),
        subject: properties.subject.as_deref(),
        reply_to: properties.reply_to.as_deref(),
        absolute_expiry_unix_millis: properties.absolute_expiry_unix_millis,
        creation_unix_millis: properties.creation_unix_millis,
        group_id: properties.group_id.as_deref(),
        group_sequence: properties.group_sequence,
        reply_to_group_id: properties.reply_to_group_id.as_deref(),
        ..Members::default()
    }
}

/// An id, and its type where it is neither text nor number.
fn id(id: &MessageId) -> (Json, Option<&'static str>) {
    match id {
        MessageId::Ulong(number) => ((*number).into(), None),
        MessageId::String(text) => (text.as_str().into(), None),
        MessageId::Uuid(uuid) => written(&Value::Uuid(*uuid)),
        MessageId::Binary(bytes) => written(&Value::Binary(bytes.clone())),
    }
}

/// What a JSON value is, with its article.
pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// `2026-11-22T09:05:00.123Z`. A clock before 1970 is taken for one that was never set; one beyond the year 9999, where the
/// calendar of humantime ends with a panic, for its last moment.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_millis(253_402_300_799_999);
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_too_odd_for_a_date() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
            (253_402_300_800, "9999-12-31T23:59:59.999Z"),
            (i64::MAX as u64, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(secs)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    fn stored(event: &Event) -> StoredEvent {
        StoredEvent {
            partition_id: 2,
            sequence_number: 5,
            offset: 512,
            enqueued_time: UNIX_EPOCH + Duration::from_millis(1_709_251_199_007),
            partition_key: Some("k".into()),
            encoded: event.encode().unwrap(),
        }
    }

    fn told(event: &Event) -> String {
        stored_line("telemetry", &stored(event))
    }

    #[test]
    fn a_line_tells_where_the_event_lies_and_what_is_in_it() {
        let event = Event::new("é\n").with_content_type("text/plain").with_message_id(7).with_property("p", 1.5);
        assert_eq!(
            told(&event),
            "{\"event_hub\":\"telemetry\",\"partition\":\"2\",\"sequence_number\":5,\"offset\":\"512\",\
             \"enqueued_time\":\"2024-02-29T23:59:59.007Z\",\"partition_key\":\"k\",\"body\":\"é\\n\",\
             \"content_type\":\"text/plain\",\"message_id\":7,\"properties\":{\"p\":1.5}}"
        );
    }

    #[test]
    fn what_members_cannot_say_is_the_whole_message() {
        for event in [
            Event::from_body(Body::Value(Value::Long(1))),
            Event::from_body(Body::DataSections(vec!["a".into(), "b".into()])),
            Event::from_body(Body::Absent).with_subject("s"),
            Event::new("b").with_annotation("own", 1),
            Event::new("b").with_footer("own", 1),
            Event::new("b").with_header(Header { ttl_millis: Some(5), ..Header::default() }),
        ] {
            let expected = format!(r#""amqp_base64":"{}"}}"#, STANDARD.encode(event.encode().unwrap()));
            assert!(told(&event).ends_with(&expected), "{}", told(&event));
        }
    }

    #[test]
    fn what_is_the_hubs_own_is_not_the_publishers() {
        let event = Event::new("b")
            .with_header(Header { durable: Some(true), ..Header::default() })
            .with_annotation("x-opt-partition-key", "k")
            .with_annotation("x-opt-sequence-number", 1_i64);
        assert!(told(&event).ends_with(r#""partition_key":"k","body":"b"}"#), "{}", told(&event));
    }

    #[test]
    fn bytes_are_base64_and_types_are_named_where_json_has_none() {
        let event = Event::new(b"\x00\xff\x10")
            .with_message_id([0x11; 16])
            .with_property("f", f64::NAN)
            .with_property("i", Value::Int(5))
            .with_property("l", Value::List(vec![]));
        // A list is no property of AMQP's: what a peer sent all the same is told, and cannot be encoded.
        let line = line(&Placed {
            event_hub: "h",
            partition_id: "0",
            sequence_number: 0,
            offset: "0",
            enqueued_time: UNIX_EPOCH,
            partition_key: None,
            event: &event,
            last_enqueued: None,
        });
        let expected = r#""body_base64":"AP8Q","message_id":"11111111-1111-1111-1111-111111111111","message_id_type":"uuid","properties":{"f":"NaN","i":5,"l":null},"property_types":{"f":"double","i":"int","l":"list"}}"#;
        assert!(line.ends_with(expected), "{line}");
    }
}
