//! Events as JSON: what `hubwire emulator --print-events` prints, and `hubwire send --format jsonl` reads.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::Event;
use crate::emulator::StoredEvent;
use crate::wire::event::{Body, MessageId};
use crate::wire::value::Value;

/// The members, in the order they are printed.
#[derive(Serialize)]
struct Line<'a> {
    event_hub: &'a str,
    partition: String,
    sequence_number: i64,
    offset: String,
    enqueued_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Json>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: Map<String, Json>,
}

/// One line for an event that `event_hub` holds.
pub(super) fn line(event_hub: &str, stored: &StoredEvent) -> String {
    // What the emulator stored decodes; an event without anything stands for one that would not.
    let event = stored.event().unwrap_or_default();
    let (body, body_base64) = body(&event);
    let properties = event.properties();
    let id = |id: Option<&MessageId>| id.map(message_id);
    let line = Line {
        event_hub,
        partition: stored.partition_id.to_string(),
        sequence_number: stored.sequence_number,
        offset: stored.offset.to_string(),
        enqueued_time: rfc3339(stored.enqueued_time),
        partition_key: stored.partition_key.as_deref(),
        body,
        body_base64,
        content_type: properties.and_then(|properties| properties.content_type.as_deref()),
        message_id: id(properties.and_then(|properties| properties.message_id.as_ref())),
        correlation_id: id(properties.and_then(|properties| properties.correlation_id.as_ref())),
        properties: application_properties(&event),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// The body as text if it is any, else in base64; null for a body that is no bytes.
fn body(event: &Event) -> (Option<Json>, Option<String>) {
    let joined;
    let bytes: &[u8] = match event.body() {
        Body::Data(bytes) => bytes,
        Body::DataSections(sections) => {
            joined = sections.concat();
            &joined
        }
        Body::Absent => &[],
        Body::Value(_) | Body::Sequences(_) => return (Some(Json::Null), None),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.into()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

fn application_properties(event: &Event) -> Map<String, Json> {
    event.application_properties().iter().map(|(name, value)| (name.clone(), property(value))).collect()
}

/// A property as the nearest that JSON has.
fn property(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(truth) => (*truth).into(),
        Value::Ubyte(number) => (*number).into(),
        Value::Ushort(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Ulong(number) => (*number).into(),
        Value::Byte(number) => (*number).into(),
        Value::Short(number) => (*number).into(),
        Value::Int(number) => (*number).into(),
        Value::Long(number) | Value::Timestamp(number) => (*number).into(),
        Value::Float(number) => float(f64::from(*number)),
        Value::Double(number) => float(*number),
        Value::Char(character) => character.to_string().into(),
        Value::String(text) | Value::Symbol(text) => text.as_str().into(),
        Value::Uuid(uuid) => uuid_text(uuid).into(),
        Value::Binary(bytes) => STANDARD.encode(bytes).into(),
        // Decimals, and what AMQP does not allow as a property at all.
        other => other.kind().name().into(),
    }
}

/// JSON has no infinity and no NaN: they become text.
fn float(number: f64) -> Json {
    serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Json::Number)
}

fn message_id(id: &MessageId) -> Json {
    match id {
        MessageId::Ulong(number) => (*number).into(),
        MessageId::Uuid(uuid) => uuid_text(uuid).into(),
        MessageId::Binary(bytes) => STANDARD.encode(bytes).into(),
        MessageId::String(text) => text.as_str().into(),
    }
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
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

/// `2026-11-22T09:05:00.123Z`. A clock before 1970 is taken for one that was never set.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.max(UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[test]
    fn a_line_tells_where_the_event_lies_and_what_is_in_it() {
        let event = Event::new("é\n").with_content_type("text/plain").with_message_id(7).with_property("p", 1.5);
        assert_eq!(
            line("telemetry", &stored(&event)),
            "{\"event_hub\":\"telemetry\",\"partition\":\"2\",\"sequence_number\":5,\"offset\":\"512\",\
             \"enqueued_time\":\"2024-02-29T23:59:59.007Z\",\"partition_key\":\"k\",\"body\":\"é\\n\",\
             \"content_type\":\"text/plain\",\"message_id\":7,\"properties\":{\"p\":1.5}}"
        );
    }

    #[test]
    fn bodies_that_are_no_text_are_base64_or_null() {
        for (event, printed) in [
            (Event::new(b"\x00\xff\x10"), r#""body_base64":"AP8Q""#),
            (Event::new(""), r#""body":"""#),
            (Event::from_body(Body::Absent).with_subject("s"), r#""body":"""#),
            (Event::from_body(Body::Value(Value::Long(1))), r#""body":null"#),
            (Event::from_body(Body::DataSections(vec!["a".into(), "b".into()])), r#""body":"ab""#),
        ] {
            let line = line("telemetry", &stored(&event));
            assert!(line.contains(printed), "{line}");
        }
    }

    #[test]
    fn properties_become_the_nearest_that_json_has() {
        for (value, printed) in [
            (Value::Double(f64::NAN), "\"NaN\""),
            (Value::Float(0.5), "0.5"),
            (Value::Ulong(u64::MAX), "18446744073709551615"),
            (Value::Binary(vec![0xff].into()), "\"/w==\""),
            (Value::Uuid([0x11; 16]), "\"11111111-1111-1111-1111-111111111111\""),
            (Value::Char('é'), "\"é\""),
            (Value::Decimal32([0; 4]), "\"decimal32\""),
        ] {
            assert_eq!(property(&value).to_string(), printed);
        }
    }
}
