use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::wire::value::tests::{any_simple, any_value, hex};
use crate::wire::value::{Array, DecodeError, MAX_DEPTH};

fn round_trip(event: &Event) -> Event {
    let bytes = event.encode().expect("a valid event");
    assert_eq!(bytes.len(), event.encoded_len(), "{event:?}");
    Event::decode(&bytes).expect("what we encode")
}

fn refused(text: &str) -> String {
    let event = Event::decode(&hex(text));
    event.expect_err(text).to_string()
}

#[test]
fn a_body_is_all_that_an_event_needs() {
    for len in [0, 1, 254, 255, 256, 65_536] {
        let event = Event::new(vec![7u8; len]);
        let header = if len <= 255 { 5 } else { 8 };
        assert_eq!(event.encoded_len(), header + len, "body of {len} bytes");
        assert_eq!(round_trip(&event), event, "body of {len} bytes");
    }
    let small = size_of::<Event>();
    assert!(small <= size_of::<[usize; 8]>(), "{small} bytes");
}

#[test]
fn decoded_data_shares_the_input() {
    let bytes = Event::new("first event").encode().unwrap();
    let event = Event::decode(&bytes).unwrap();
    assert_eq!(event.data().unwrap().as_ptr(), bytes[5..].as_ptr());
}

#[test]
fn sections_stand_in_the_order_of_the_specification() {
    let event = Event::new("x")
        .with_footer("f", 1u64)
        .with_property("p", 1)
        .with_subject("s")
        .with_annotation("m", 1)
        .with_delivery_annotation("d", 1)
        .with_header(Header::default());
    let bytes = event.encode().unwrap();
    let written = "005370 c00605 4040404040
        005371 c10602 a30164 5401
        005372 c10602 a3016d 5401
        005373 c0100d 404040 a10173 404040404040404040
        005374 c10602 a10170 5401
        005375 a00178
        005378 c10602 a30166 5301";
    assert_eq!(bytes, hex(written));
    assert_eq!(round_trip(&event), event);
}

#[test]
fn setting_again_replaces_in_place() {
    let event = Event::new("x")
        .with_property("a", 1)
        .with_property("b", 2)
        .with_property("a", "three")
        .with_annotation("m", 1)
        .with_annotation("m", 2);
    let properties = [("a".to_owned(), "three".into()), ("b".to_owned(), 2.into())];
    assert_eq!(event.application_properties(), properties);
    assert_eq!(event.annotation("m"), Some(&2.into()));
    assert_eq!(event.message_annotations().map(Annotations::len), Some(1));
}

/// The key of the batch wins, in the place of the event's own; the rest of header and annotations stays.
#[test]
fn a_partition_key_merges_with_header_and_annotations() {
    let event = Event::new("x")
        .with_header(Header { durable: Some(false), ttl_millis: Some(1), ..Header::default() })
        .with_annotation(PARTITION_KEY, "own")
        .with_annotation("other", 1);
    let keyed = Event::decode(&event.encode_with_partition_key("pk1").unwrap()).unwrap();
    let header = keyed.header().unwrap();
    assert_eq!((header.durable, header.ttl_millis), (Some(true), Some(1)));
    assert_eq!(keyed.partition_key(), Some("pk1"));
    let expected = event.clone().with_annotation(PARTITION_KEY, "pk1");
    assert_eq!(keyed.message_annotations(), expected.message_annotations());

    let bare = Event::new("x").with_annotation("other", 1);
    let keyed = Event::decode(&bare.encode_with_partition_key("pk1").unwrap()).unwrap();
    let expected = bare.with_annotation(PARTITION_KEY, "pk1");
    assert_eq!(keyed.message_annotations(), expected.message_annotations());
}

#[test]
fn events_that_may_not_be_sent_are_refused() {
    let list = Value::List(vec![1.into()]);
    let deep = (0..=MAX_DEPTH).fold(Value::Null, |value, _| Value::List(vec![value]));
    let cases = [
        (
            Event::new("x").with_property("p", list),
            "application property `p` is of type list: only simple types may be sent",
        ),
        (
            Event::new("x").with_property("p", Array::strings(["a"])),
            "application property `p` is of type array: only simple types may be sent",
        ),
        (Event::new("x").with_property("p", Value::symbol("ü")), "application-properties: symbol `ü` is not ASCII"),
        (Event::new("x").with_annotation("ü", 1), "message-annotations: symbol `ü` is not ASCII"),
        (Event::new("x").with_content_type("ü"), "properties: symbol `ü` is not ASCII"),
        (Event::from_body(Body::Value(deep)), "amqp-value: values nest deeper than 32"),
    ];
    for (event, message) in cases {
        assert_eq!(event.encode().unwrap_err().to_string(), message);
    }
}

/// The deepest values that may be sent can be read in each place.
#[test]
fn the_deepest_values_are_read_back() {
    let nest = |depth| (0..depth).fold(Value::Null, |value, _| Value::List(vec![value]));
    let body = Event::from_body(Body::Value(nest(MAX_DEPTH)));
    assert_eq!(round_trip(&body), body);
    let sequence = |depth| Event::from_body(Body::Sequences(vec![vec![nest(depth)]]));
    assert_eq!(round_trip(&sequence(MAX_DEPTH - 1)), sequence(MAX_DEPTH - 1));
    assert!(sequence(MAX_DEPTH).encode().is_err());
    let annotated = |depth| Event::new("x").with_annotation("m", nest(depth));
    assert_eq!(round_trip(&annotated(MAX_DEPTH - 1)), annotated(MAX_DEPTH - 1));
    assert!(annotated(MAX_DEPTH).encode().is_err());
}

/// As peers send them: symbols for descriptors, short lists, several data sections, types that AMQP forbids.
#[test]
fn messages_of_other_peers_are_read() {
    let empty = Event::decode(&Bytes::new()).unwrap();
    assert_eq!(empty, Event::from_body(Body::Absent));

    let named = hex(&format!("00a310{} a00178", to_hex("amqp:data:binary")));
    assert_eq!(Event::decode(&named).unwrap(), Event::new("x"));
    let wide = hex("00800000000000000075 b00000000178");
    assert_eq!(Event::decode(&wide).unwrap(), Event::new("x"));

    let short = hex("005370c0020141 005373c00401a10161 005375a000");
    let short = Event::decode(&short).unwrap();
    assert_eq!(short.header().unwrap().durable, Some(true));
    assert_eq!(short.properties().unwrap().message_id, Some("a".into()));

    let several = hex("005375a00161 005375a00162 005375a00163");
    let several = Event::decode(&several).unwrap();
    assert_eq!(several.body(), &Body::DataSections(vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(round_trip(&several), several);

    let timespan = to_hex("com.microsoft:timespan");
    let timespan = hex(&format!("005374c11f02a10170 00a316{timespan} 5507"));
    let timespan = Event::decode(&timespan).unwrap();
    let described = Value::described(Value::symbol("com.microsoft:timespan"), 7i64);
    assert_eq!(timespan.property("p"), Some(&described));
}

fn to_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn refusals_tell_the_byte() {
    let cases = [
        ("40", "byte 0: expected a message section, found 0x40"),
        ("0053", "byte 2: ends where a smallulong was expected"),
        ("00537940", "byte 0: no message section has descriptor 0x79"),
        ("00a3016140", "byte 0: no message section has descriptor a"),
        ("005375a10178", "byte 3: expected a binary, found 0xa1"),
        ("005375a00178 00537740", "byte 6: a message has one kind of body, found amqp-value after another"),
        ("00537740 00537740", "byte 4: a message has one kind of body, found amqp-value after another"),
        ("005370c00301a10161", "byte 8: ends where a string was expected"),
        ("005370c00401a10161", "byte 6: expected durable, a boolean, found string"),
        ("005370c00706404040404040", "byte 11: expected the end of the header, found 1 more bytes"),
        ("005374c10201 40", "byte 6: a map of 1 elements leaves a key without its value"),
        ("005374c10302 4040", "byte 6: expected a key, which is a string, found null"),
        ("00537645 005376 40", "byte 7: expected an amqp-sequence list, found null"),
    ];
    for (text, message) in cases {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn debug_shows_no_contents() {
    let event = Event::new("secret").with_property("security_token", "secret");
    let shown = format!("{event:?}");
    assert!(!shown.contains("secret\""), "{shown}");
    assert!(shown.contains("Data(6 bytes)") && shown.contains("security_token"), "{shown}");
}

fn any_id() -> impl Strategy<Value = MessageId> {
    prop_oneof![
        any::<u64>().prop_map(MessageId::from),
        any::<[u8; 16]>().prop_map(MessageId::from),
        any::<[u8; 3]>().prop_map(|id| MessageId::Binary(id.to_vec().into())),
        "[a-z]{0,9}".prop_map(MessageId::from),
    ]
}

fn any_option(len: usize) -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::collection::vec(any::<char>(), 0..len).prop_map(String::from_iter))
}

fn any_properties() -> impl Strategy<Value = Properties> {
    let ids = (prop::option::of(any_id()), prop::option::of(any_id()));
    let texts = [any_option(5), any_option(5), any_option(70), any_option(5), any_option(5)];
    let symbols = prop::option::of("[a-z/]{0,9}");
    let numbers = any::<(Option<i64>, Option<i64>, Option<u32>, Option<[u8; 2]>)>();
    (ids, texts, symbols, numbers).prop_map(|(ids, texts, content_type, numbers)| {
        let [to, subject, reply_to, group_id, reply_to_group_id] = texts;
        Properties {
            message_id: ids.0,
            user_id: numbers.3.map(|bytes| bytes.to_vec().into()),
            to,
            subject,
            reply_to,
            correlation_id: ids.1,
            content_encoding: content_type.clone(),
            content_type,
            absolute_expiry_unix_millis: numbers.0,
            creation_unix_millis: numbers.1,
            group_id,
            group_sequence: numbers.2,
            reply_to_group_id,
        }
    })
}

fn any_header() -> impl Strategy<Value = Header> {
    any::<(Option<bool>, Option<u8>, Option<u32>, Option<bool>, Option<u32>)>().prop_map(|fields| Header {
        durable: fields.0,
        priority: fields.1,
        ttl_millis: fields.2,
        first_acquirer: fields.3,
        delivery_count: fields.4,
    })
}

fn any_body() -> impl Strategy<Value = Body> {
    let data = || prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let values = || prop::collection::vec(any_value(), 0..3);
    prop_oneof![
        Just(Body::Absent),
        data().prop_map(Body::Data),
        prop::collection::vec(data(), 2..4).prop_map(Body::DataSections),
        any_value().prop_map(Body::Value),
        prop::collection::vec(values(), 1..3).prop_map(Body::Sequences),
    ]
}

/// Any message that may be sent.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let named = || prop::collection::vec(("[a-z-]{0,9}", any_value()), 0..3);
    let properties = prop::collection::vec(("\\PC{0,9}", any_simple()), 0..6);
    let sections = (prop::option::of(any_header()), prop::option::of(any_properties()));
    (any_body(), sections, [named(), named(), named()], properties).prop_map(
        |(body, (header, properties), [delivery, message, footer], own)| {
            let mut event = Event::from_body(body);
            if let Some(header) = header {
                event = event.with_header(header);
            }
            if let Some(properties) = properties {
                event = event.with_properties(properties);
            }
            for (name, value) in delivery {
                event = event.with_delivery_annotation(name, value);
            }
            for (name, value) in message {
                event = event.with_annotation(name, value);
            }
            for (name, value) in footer {
                event = event.with_footer(name, value);
            }
            for (key, value) in own {
                event = event.with_property(key, value);
            }
            event
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(event in any_event()) {
        prop_assert_eq!(&round_trip(&event), &event);
    }

    #[test]
    fn a_keyed_event_is_of_the_size_it_says(event in any_event(), key in "\\PC{1,128}") {
        let bytes = event.encode_with_partition_key(&key).unwrap();
        prop_assert_eq!(bytes.len(), Encoding::new(&event, Some(&key)).len());
        let keyed = Event::decode(&bytes).unwrap();
        prop_assert_eq!(keyed.partition_key(), Some(key.as_str()));
        prop_assert_eq!(keyed.body(), event.body());
    }

    #[test]
    fn no_prefix_or_change_panics(
        event in any_event(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = event.encode().unwrap();
        for len in 0..bytes.len() {
            let _ = Event::decode(&bytes.slice(..len));
        }
        if !bytes.is_empty() {
            let mut changed = bytes.to_vec();
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            bytes = changed.into();
        }
        let decoded: Result<Event, DecodeError> = Event::decode(&bytes);
        if let Ok(event) = decoded && let Ok(encoded) = event.encode() {
            prop_assert_eq!(encoded.len(), event.encoded_len());
        }
    }
}
