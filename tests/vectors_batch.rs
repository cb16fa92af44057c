//! Batches of the official SDKs, byte for byte, and our own events through an independent decoder.
//!
//! `tests/data/batch-encodings.json` was made by azure-eventhub 5.15.1 (Python) and @azure/event-hubs 6.0.4 (JS).

use bytes::Bytes;
use fe2o3_amqp_types::messaging::message::__private::Deserializable;
use fe2o3_amqp_types::messaging::{Body, Message};
use hubwire::wire::batch::{Batch, BatchItem, BatchReader, MESSAGE_FORMAT, TryAdd};
use hubwire::wire::event::{Event, Header, MessageId};
use hubwire::wire::value::Value;
use serde_amqp::Value as Other;
use serde_json::Value as Json;

fn goldens(sdk: &str) -> Vec<Json> {
    let file = include_str!("data/batch-encodings.json");
    let file: Json = serde_json::from_str(file).expect("tests/data/batch-encodings.json");
    file[sdk].as_array().expect("a list of goldens").clone()
}

fn golden(id: &str) -> Json {
    let sdk = if id.starts_with("py") { "python" } else { "js" };
    let found = goldens(sdk).into_iter().find(|golden| golden["id"] == id);
    found.unwrap_or_else(|| panic!("no golden {id}"))
}

fn text<'a>(golden: &'a Json, key: &str) -> &'a str {
    golden[key].as_str().unwrap_or_else(|| panic!("no {key} in {golden}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).expect("hex") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Every encoded event in the goldens, with the text it was decoded to elsewhere, if there is one.
fn events() -> Vec<(Bytes, Option<Vec<String>>)> {
    let mut events = Vec::new();
    for golden in goldens("python").into_iter().chain(goldens("js")) {
        for (at, event) in golden["events_hex"].as_array().into_iter().flatten().enumerate() {
            events.push((unhex(event.as_str().unwrap()), lines(&golden["events_decoded"][at])));
        }
        if let Some(event) = golden["event_hex"].as_str() {
            events.push((unhex(event), lines(&golden["event_decoded"])));
        }
        for value in golden["values"].as_object().into_iter().flat_map(|values| values.values()) {
            if let Some(event) = value["event_hex"].as_str() {
                let decoded = vec![text(value, "decoded").to_owned(), "data binary(78)".to_owned()];
                events.push((unhex(event), Some(decoded)));
            }
        }
    }
    assert!(events.len() > 50, "only {} events", events.len());
    events
}

fn envelopes() -> Vec<(Bytes, Option<Vec<String>>)> {
    let goldens = goldens("python").into_iter().chain(goldens("js"));
    goldens
        .filter_map(|golden| {
            let envelope = golden["envelope_hex"].as_str()?;
            Some((unhex(envelope), lines(&golden["envelope_decoded"])))
        })
        .collect()
}

/// The decoded sections, without the count of fields, which an [`Event`] does not tell.
fn lines(decoded: &Json) -> Option<Vec<String>> {
    let lines = decoded.as_array()?.iter().filter_map(Json::as_str);
    let lines = lines.map(|line| match line.rsplit_once('[') {
        Some((section, _)) if line.ends_with("f]") => section.to_owned(),
        _ => line.to_owned(),
    });
    Some(lines.filter(|line| says_something(line)).collect())
}

/// Sections with nothing in them are left out on both sides: the JS SDK writes three before every body.
fn says_something(line: &str) -> bool {
    !["header{}", "message-annotations {}", "properties{}"].contains(&line)
}

/// An event as the goldens' texts show it.
fn shown(event: &Event) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(header) = event.header() {
        let durable = header.durable.map(|durable| format!("durable={}", shown_value(&durable.into())));
        lines.push(format!("header{{{}}}", durable.unwrap_or_default()));
    }
    if let Some(annotations) = event.message_annotations().filter(|all| !all.is_empty()) {
        let entries = annotations.iter().map(|(key, value)| (key.clone(), value.clone()));
        lines.push(format!("message-annotations {}", shown_value(&Value::Map(entries.collect()))));
    }
    if let Some(properties) = event.properties() {
        let mut fields = Vec::new();
        let mut field = |name: &str, value: Option<String>| {
            fields.extend(value.map(|value| format!("{name}={value}")));
        };
        field("message-id", properties.message_id.as_ref().map(shown_id));
        field("correlation-id", properties.correlation_id.as_ref().map(shown_id));
        field("content-type", properties.content_type.as_ref().map(|text| format!(":{text}")));
        lines.push(format!("properties{{{}}}", fields.join(", ")));
    }
    if !event.application_properties().is_empty() {
        let entries = event.application_properties().iter();
        let entries = entries.map(|(key, value)| (key.as_str().into(), value.clone()));
        lines.push(format!("application-properties {}", shown_value(&Value::Map(entries.collect()))));
    }
    lines.extend(event.data().map(|data| format!("data binary({})", hex(data))));
    lines.retain(|line| says_something(line));
    lines
}

fn shown_id(id: &MessageId) -> String {
    match id {
        MessageId::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

fn shown_value(value: &Value) -> String {
    let join = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".into(),
        Value::Boolean(true) => "True".into(),
        Value::Boolean(false) => "False".into(),
        Value::String(text) => format!("\"{text}\""),
        Value::Symbol(text) => format!(":{text}"),
        Value::Binary(bytes) => format!("binary({})", hex(bytes)),
        Value::Double(x) => format!("double({x})"),
        Value::Decimal128(bytes) => format!("decimal128({})", hex(bytes)),
        Value::Uuid(bytes) => format!("uuid({})", MessageId::Uuid(*bytes)),
        Value::List(values) => format!("[{}]", join(values.iter().map(shown_value).collect())),
        Value::Map(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(k, v)| format!("{}: {}", shown_value(k), shown_value(v)));
            format!("{{{}}}", join(entries.collect()))
        }
        number => format!("{}({})", number.kind(), number.as_i64().expect("a number")),
    }
}

fn batch_of<E: BatchItem + std::fmt::Debug + PartialEq>(
    mut batch: Batch,
    events: impl IntoIterator<Item = E>,
) -> Batch {
    for event in events {
        assert_eq!(batch.try_add(event), TryAdd::Added);
    }
    batch
}

fn same(batch: &Batch, id: &str) {
    let golden = golden(id);
    assert_eq!(hex(batch.encoded()), text(&golden, "envelope_hex"), "{id}");
    assert_eq!(batch.encoded_len(), golden["size_in_bytes"], "{id}");
    assert_eq!(batch.len(), golden["count"], "{id}");
    assert_eq!(format!("0x{MESSAGE_FORMAT:x}"), text(&golden, "message_format"), "{id}");
}

fn one_mib() -> Batch {
    Batch::new(1 << 20)
}

fn keyed() -> Batch {
    Batch::with_partition_key(1 << 20, "pk1").expect("a short key")
}

const THREE: [&str; 3] = ["first event", "second event", "third event"];

#[test]
fn batches_are_those_of_the_python_sdk() {
    same(&batch_of(one_mib(), ["first event"]), "py-1");
    same(&batch_of(one_mib(), THREE), "py-3");
    same(&batch_of(one_mib(), [""]), "py-empty-body");
    same(&batch_of(keyed(), ["first event"]), "py-pk");
    same(&batch_of(keyed(), THREE), "py-pk-3");
    same(&batch_of(keyed(), THREE.map(Event::new)), "py-pk-3");
    let numbered = [(1, "a"), (2, "b")].map(|(n, body)| Event::new(body).with_property("n", n));
    same(&batch_of(one_mib(), &numbered), "py-2props");
    let event = Event::new("first event")
        .with_property("k1", "v1")
        .with_content_type("text/plain")
        .with_message_id("id-1")
        .with_correlation_id("corr-1");
    same(&batch_of(one_mib(), [event]), "py-props");
    assert_eq!(keyed().encoded_len(), golden("py-pk")["empty_batch_size"]);
}

#[test]
fn single_events_are_those_of_the_python_sdk() {
    let event = Event::new("first event");
    assert_eq!(hex(&event.encode().unwrap()), text(&golden("py-single"), "event_hex"));
    let keyed = event.encode_with_partition_key("pk1").unwrap();
    assert_eq!(hex(&keyed), text(&golden("py-single-pk"), "event_hex"));
}

#[test]
fn property_values_are_those_of_the_python_sdk() {
    let uuid: [u8; 16] = unhex("12345678123456781234567812345678")[..].try_into().unwrap();
    let decimal: [u8; 16] = unhex("303e000000000000000000000000000f")[..].try_into().unwrap();
    let values: [(&str, Value); 15] = [
        ("str", "s".into()),
        ("bytes", vec![1, 2].into()),
        ("bool_t", true.into()),
        ("bool_f", false.into()),
        ("int0", 0.into()),
        ("int1", 1.into()),
        ("int_neg", (-1).into()),
        ("int127", 127.into()),
        ("int128", 128.into()),
        ("int_2_31_1", i32::MAX.into()),
        ("float", 1.5.into()),
        ("none", Value::Null),
        ("uuid", Value::Uuid(uuid)),
        ("datetime", Value::Timestamp(1_704_164_645_678)),
        ("decimal", Value::Decimal128(decimal)),
    ];
    let golden = golden("py-types");
    for (name, value) in values {
        let event = Event::new("x").with_property("p", value).encode().unwrap();
        assert_eq!(hex(&event), text(&golden["values"][name], "event_hex"), "{name}");
    }
}

#[test]
fn sizes_are_those_of_the_python_sdk() {
    for len in [227, 228, 229, 230, 240, 250] {
        let golden = golden(&format!("py-size-{len}"));
        let body = "x".repeat(len);
        let batch = batch_of(one_mib(), [&body]);
        assert_eq!(batch.encoded_len(), golden["size_in_bytes"], "{len}");
        assert_eq!(Event::new(body).encoded_len(), golden["event_len"], "{len}");
        let prefix = text(&golden, "envelope_prefix_hex");
        assert!(hex(batch.encoded()).starts_with(prefix), "{len}");
    }
}

#[test]
fn overflow_leaves_the_batch_as_the_python_sdk_does() {
    let golden = golden("py-overflow");
    let mut batch = batch_of(Batch::new(60), ["first event"]);
    let before = hex(batch.encoded());
    let body = "x".repeat(40);
    assert_eq!(batch.try_add(&body), TryAdd::Full(&body));
    assert_eq!(batch.len(), golden["count_after"]);
    assert_eq!(batch.encoded_len(), golden["size_after"]);
    assert_eq!(hex(batch.encoded()), before);
}

/// The largest body that Python takes at the limit of a hub.
#[test]
fn the_largest_body_of_a_hub_fits() {
    let largest = vec![0u8; 1_048_560];
    assert_eq!(one_mib().try_add(&largest), TryAdd::Added);
    let larger = vec![0u8; 1_048_561];
    assert_eq!(one_mib().try_add(&larger), TryAdd::TooLarge(&larger));
}

#[test]
fn every_event_of_the_sdks_says_what_it_says_elsewhere() {
    for (bytes, decoded) in events() {
        let event = Event::decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", hex(&bytes)));
        if let Some(decoded) = decoded {
            assert_eq!(shown(&event), decoded, "{}", hex(&bytes));
        }
    }
}

#[test]
fn every_batch_of_the_sdks_gives_its_events() {
    for (bytes, decoded) in envelopes() {
        let reader = BatchReader::new(bytes.clone()).expect("an envelope");
        let mut lines = shown(reader.envelope());
        assert_eq!(reader.partition_key().is_some(), lines.concat().contains("x-opt-partition-key"));
        for event in reader {
            let event = event.expect("an event");
            lines.push(format!("data binary({})", hex(&event)));
            Event::decode(&event).expect("an event that decodes");
        }
        assert_eq!(Some(lines), decoded, "{}", hex(&bytes));
    }
}

#[test]
fn owner_levels_and_sequence_numbers_are_annotations() {
    let envelope = unhex(text(&golden("js-idempotent"), "envelope_hex"));
    let event = BatchReader::new(envelope).unwrap().next().unwrap().unwrap();
    let event = Event::decode(&event).unwrap();
    let number = |name: &str| event.annotation(name).and_then(Value::as_i64);
    assert_eq!(number("com.microsoft:producer-epoch"), Some(3));
    assert_eq!(number("com.microsoft:producer-id"), Some(7));
    assert_eq!(number("com.microsoft:producer-sequence-number"), Some(42));
}

#[test]
fn no_prefix_or_change_of_a_golden_panics() {
    let all = events().into_iter().chain(envelopes());
    for (bytes, _) in all {
        for len in 0..=bytes.len() {
            open(&bytes.slice(..len));
        }
        for at in 0..bytes.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] ^= flip;
                open(&changed.into());
            }
        }
    }
}

/// Reads as far as it goes; what it reads is of the size it says.
fn open(bytes: &Bytes) {
    if let Ok(event) = Event::decode(bytes)
        && let Ok(encoded) = event.encode()
    {
        assert_eq!(encoded.len(), event.encoded_len());
    }
    if let Ok(reader) = BatchReader::new(bytes.clone()) {
        let _ = reader.filter_map(Result::ok).filter(|event| Event::decode(event).is_ok()).count();
    }
}

fn opened_elsewhere(event: &Event) -> Message<Body<Other>> {
    let bytes = event.encode().expect("a valid event");
    let message = serde_amqp::from_slice::<Deserializable<Message<Body<Other>>>>(&bytes);
    message.unwrap_or_else(|e| panic!("{}: {e}", hex(&bytes))).0
}

/// `serde_amqp` reads each type of property as what it was.
#[test]
fn an_independent_decoder_reads_our_properties() {
    let cases: [(Value, Other); 24] = [
        (Value::Null, Other::Null),
        (true.into(), Other::Bool(true)),
        (7u8.into(), Other::Ubyte(7)),
        (7u16.into(), Other::Ushort(7)),
        (0u32.into(), Other::Uint(0)),
        (300u32.into(), Other::Uint(300)),
        (0u64.into(), Other::Ulong(0)),
        (300u64.into(), Other::Ulong(300)),
        ((-7i8).into(), Other::Byte(-7)),
        ((-7i16).into(), Other::Short(-7)),
        ((-128).into(), Other::Int(-128)),
        (i32::MIN.into(), Other::Int(i32::MIN)),
        ((-128i64).into(), Other::Long(-128)),
        (i64::MIN.into(), Other::Long(i64::MIN)),
        (1.5f32.into(), Other::Float(1.5.into())),
        (1.5f64.into(), Other::Double(1.5.into())),
        ('ü'.into(), Other::Char('ü')),
        (Value::Timestamp(-5), Other::Timestamp((-5).into())),
        (Value::Uuid([7; 16]), Other::Uuid([7; 16].into())),
        (vec![7u8; 255].into(), Other::Binary(vec![7; 255].into())),
        (vec![7u8; 256].into(), Other::Binary(vec![7; 256].into())),
        ("x".repeat(255).into(), Other::String("x".repeat(255))),
        ("ü".repeat(128).into(), Other::String("ü".repeat(128))),
        (Value::symbol("name"), Other::Symbol("name".into())),
    ];
    for (value, expected) in cases {
        let event = Event::new("x").with_property("p", value.clone());
        let message = opened_elsewhere(&event);
        let properties = message.application_properties.expect("a section");
        let found = properties.0.get("p").cloned().map(Other::from);
        assert_eq!(found, Some(expected), "{value:?}");
    }
}

#[test]
fn an_independent_decoder_reads_our_sections() {
    let event = Event::new("x".repeat(255))
        .with_header(Header { ttl_millis: Some(60_000), priority: Some(4), ..Header::default() })
        .with_annotation("x-opt-list", vec![Value::from(1), "a".into()])
        .with_message_id(7u64)
        .with_correlation_id([7; 16])
        .with_user_id("me")
        .with_subject("about")
        .with_content_encoding("gzip")
        .with_creation_unix_millis(1_700_000_000_000)
        .with_group_sequence(9)
        .with_reply_to_group_id("group")
        .with_footer("sum", 5u64);
    let message = opened_elsewhere(&event);
    let header = message.header.expect("a header");
    assert_eq!((header.ttl, header.priority.0, header.durable), (Some(60_000), 4, false));
    let properties = message.properties.expect("properties");
    assert_eq!(properties.message_id, Some(7u64.into()));
    assert_eq!(properties.subject.as_deref(), Some("about"));
    assert_eq!(properties.content_encoding.map(|text| text.0), Some("gzip".to_owned()));
    assert_eq!(properties.creation_time.map(|time| time.milliseconds()), Some(1_700_000_000_000));
    assert_eq!(properties.group_sequence, Some(9));
    assert_eq!(properties.reply_to_group_id.as_deref(), Some("group"));
    assert_eq!(message.message_annotations.expect("annotations").0.len(), 1);
    assert_eq!(message.footer.expect("a footer").0.len(), 1);
    let Body::Data(data) = message.body else {
        panic!("data");
    };
    assert_eq!(data.into_iter().next().expect("one section").0.len(), 255);
}
