use proptest::prelude::*;

use super::*;
use crate::wire::event::tests::any_event;
use crate::wire::value::Value;

/// What a batch holds, to be compared before and after.
fn state(batch: &Batch) -> (usize, Vec<u8>) {
    (batch.len(), batch.encoded().to_vec())
}

fn keyed(max_message_size: usize) -> Batch {
    Batch::with_partition_key(max_message_size, "pk1").expect("a short key")
}

/// 5 bytes of section header to 255, 8 from 256; for the body, and for the event around it.
#[test]
fn sections_grow_a_longer_header_at_256() {
    for (body_len, event_len, section_len) in [
        (0, 5, 10),
        (249, 254, 259),
        (250, 255, 260),
        (251, 256, 264),
        (254, 259, 267),
        (255, 260, 268),
        (256, 264, 272),
    ] {
        let mut batch = Batch::new(1_024);
        assert_eq!(batch.try_add(vec![0; body_len]), TryAdd::Added);
        assert_eq!(Event::new(vec![0; body_len]).encoded_len(), event_len);
        assert_eq!(batch.encoded_len(), section_len, "body of {body_len} bytes");
    }
    for (body_len, section_len) in [(206, 260), (207, 264), (255, 312), (256, 316)] {
        let mut batch = keyed(1_024);
        assert_eq!(batch.try_add(vec![0; body_len]), TryAdd::Added);
        assert_eq!(batch.encoded_len(), 44 + section_len, "body of {body_len} bytes");
    }
}

#[test]
fn an_event_fits_exactly_or_not_by_a_byte() {
    for make in [Batch::new, keyed] {
        for body_len in [0, 1, 200, 206, 207, 249, 250, 251, 254, 255, 256, 70_000] {
            let body = vec![b'x'; body_len];
            let mut probe = make(1 << 20);
            assert_eq!(probe.try_add(&body), TryAdd::Added);
            let one = probe.encoded_len();
            assert_eq!(probe.try_add(&body), TryAdd::Added);
            let two = probe.encoded_len();

            let mut exact = make(two);
            assert_eq!(exact.try_add(&body), TryAdd::Added, "{body_len}");
            assert_eq!(exact.try_add(&body), TryAdd::Added, "{body_len}");
            assert_eq!((exact.encoded(), exact.remaining()), (probe.encoded(), 0));

            let mut short = make(two - 1);
            assert_eq!(short.try_add(&body), TryAdd::Added, "{body_len}");
            let before = state(&short);
            assert_eq!(short.try_add(&body), TryAdd::Full(&body), "{body_len}");
            assert_eq!(state(&short), before, "{body_len}");

            let mut shorter = make(one - 1);
            let before = state(&shorter);
            assert_eq!(shorter.try_add(&body), TryAdd::TooLarge(&body), "{body_len}");
            assert_eq!(state(&shorter), before, "{body_len}");
        }
    }
}

/// In a batch with events in it as well: no waiting helps an event that is too large.
#[test]
fn too_large_is_told_from_full() {
    let mut batch = Batch::new(100);
    assert_eq!(batch.try_add(&[0; 40]), TryAdd::Added);
    assert_eq!(batch.try_add(&[0; 90]), TryAdd::Full(&[0; 90]));
    assert_eq!(batch.try_add(&[0; 91]), TryAdd::TooLarge(&[0; 91]));
}

#[test]
fn events_that_may_not_be_sent_come_back() {
    let mut batch = Batch::new(1_024);
    let event = Event::new("x").with_property("p", Value::List(vec![]));
    let TryAdd::Invalid(back, why) = batch.try_add(event.clone()) else {
        panic!("a list is no property");
    };
    assert_eq!(back, event);
    assert!(matches!(why, EncodeError::PropertyNotSimple { .. }));
    assert_eq!(state(&batch), (0, Vec::new()));
}

#[test]
fn any_form_of_an_event_is_taken() {
    let mut batch = Batch::new(1_024);
    let event = Event::new("x");
    assert!(batch.try_add("x").is_added());
    assert!(batch.try_add(String::from("x")).is_added());
    assert!(batch.try_add(b"x").is_added());
    assert!(batch.try_add(&b"x"[..]).is_added());
    assert!(batch.try_add(vec![b'x']).is_added());
    assert!(batch.try_add(Bytes::from_static(b"x")).is_added());
    assert!(batch.try_add(&event).is_added());
    assert!(batch.try_add(event).is_added());
    let sections = batch.encoded().chunks(11).collect::<Vec<_>>();
    assert_eq!(sections, [b"\x00\x53\x75\xa0\x06\x00\x53\x75\xa0\x01x"; 8]);
}

#[test]
fn keys_are_of_1_to_128_characters() {
    let longest = "ü".repeat(128);
    assert!(Batch::with_partition_key(1_024, &longest).is_ok());
    let refused = |key: &str| Batch::with_partition_key(1_024, key).unwrap_err().to_string();
    assert_eq!(refused(""), "the partition key is empty");
    let message = "the partition key has 129 characters; at most 128 are allowed";
    assert_eq!(refused(&"ü".repeat(129)), message);
}

#[test]
fn a_limit_below_the_envelope_holds_nothing() {
    let mut batch = keyed(43);
    assert_eq!(batch.remaining(), 0);
    assert_eq!(batch.try_add(""), TryAdd::TooLarge(""));
}

#[test]
fn clear_keeps_the_envelope_and_the_memory() {
    let mut batch = keyed(1 << 20);
    let fresh = state(&batch);
    while batch.try_add(&[0; 100]).is_added() {}
    let (capacity, start) = (batch.message.capacity(), batch.encoded().as_ptr());
    let full = state(&batch);
    batch.clear();
    assert_eq!(state(&batch), fresh);
    while batch.try_add(&[0; 100]).is_added() {}
    assert_eq!(state(&batch), full);
    assert_eq!((batch.message.capacity(), batch.encoded().as_ptr()), (capacity, start));
}

#[test]
fn memory_grows_with_events_up_to_the_limit() {
    for max_message_size in [100, 1_000, 262_144, 1_048_576, 1_048_577] {
        let mut batch = Batch::new(max_message_size);
        assert_eq!(batch.message.capacity(), 0);
        let mut growths = 0;
        let mut capacity = 0;
        while batch.try_add(&[0; 20]).is_added() {
            if batch.message.capacity() != capacity {
                capacity = batch.message.capacity();
                growths += 1;
                assert!(capacity < (2 * batch.encoded_len()).max(2 * MIN_CAPACITY), "{capacity}");
            }
        }
        assert!(growths <= 12, "{growths}");
        // Halving rounds up, so doubling may end a few bytes above.
        assert!(capacity <= max_message_size + 4_096, "{capacity} of {max_message_size}");
    }
}

#[test]
fn a_message_is_given_away_and_taken_back_without_a_copy() {
    let mut batch = keyed(1_024);
    assert!(batch.try_add("first event").is_added());
    let (before, start) = (state(&batch), batch.encoded().as_ptr());
    let capacity = batch.message.capacity();

    let message = batch.into_message();
    assert_eq!((message.len(), &message.bytes[..]), (1, &before.1[..]));
    let mut batch = Batch::from_message(message);
    assert_eq!(state(&batch), before);
    assert_eq!((batch.encoded().as_ptr(), batch.message.capacity()), (start, capacity));
    assert!(batch.try_add("second event").is_added());
    assert_eq!(batch.partition_key(), Some("pk1"));
}

#[test]
fn a_message_that_is_still_held_is_copied() {
    let mut batch = Batch::new(1_024);
    assert!(batch.try_add("first event").is_added());
    let before = state(&batch);
    let message = batch.into_message();
    let held = message.bytes.slice(5..);
    let mut batch = Batch::from_message(message);
    assert_eq!(state(&batch), before);
    batch.clear();
    assert!(batch.try_add("other event").is_added());
    assert_eq!(held, before.1[5..]);
}

#[test]
fn debug_shows_counts() {
    let mut batch = keyed(1_024);
    assert!(batch.try_add("body").is_added());
    let shown = "Batch { len: 1, encoded_len: 102, max_message_size: 1024, partition_key: Some(\"pk1\") }";
    assert_eq!(format!("{batch:?}"), shown);
}

#[test]
fn readers_refuse_other_bodies_and_stop_at_errors() {
    let value = Bytes::from_static(b"\x00\x53\x77\x40");
    assert!(BatchReader::new(value.clone()).is_err());
    let data = Bytes::from_static(b"\x00\x53\x75\xa0\x00");
    let mixed = Bytes::from([&data[..], &value[..], &data[..]].concat());
    let mut reader = BatchReader::new(mixed).unwrap();
    assert_eq!(reader.next(), Some(Ok(Bytes::new())));
    let error = reader.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "byte 5: a batch holds data sections only, found amqp-value");
    assert_eq!(reader.next(), None);
    assert_eq!(BatchReader::new(Bytes::new()).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_added_is_read_back(
        events in prop::collection::vec(any_event(), 0..6),
        key in prop::option::of("\\PC{1,128}"),
        max_message_size in 0usize..4_000,
    ) {
        let mut batch = match &key {
            Some(key) => Batch::with_partition_key(max_message_size, key).unwrap(),
            None => Batch::new(max_message_size),
        };
        let mut added = Vec::new();
        for event in &events {
            let before = state(&batch);
            match batch.try_add(event) {
                TryAdd::Added => added.push(match &key {
                    Some(key) => event.encode_with_partition_key(key).unwrap(),
                    None => event.encode().unwrap(),
                }),
                TryAdd::Full(back) | TryAdd::TooLarge(back) => {
                    prop_assert_eq!(back, event);
                    prop_assert_eq!(state(&batch), before);
                }
                TryAdd::Invalid(_, why) => prop_assert!(false, "{}", why),
            }
            prop_assert!(batch.is_empty() || batch.encoded_len() <= max_message_size);
        }
        let envelope = if key.is_some() { batch.parts.prefix().len() } else { 0 };
        let sections: usize = added.iter().map(|event| data_section_len(event.len())).sum();
        prop_assert_eq!(batch.encoded_len(), envelope + sections);

        let message = batch.into_message();
        let reader = BatchReader::new(message.bytes.clone()).unwrap();
        prop_assert_eq!(reader.partition_key(), key.as_deref());
        let read: Vec<_> = reader.map(Result::unwrap).collect();
        prop_assert_eq!(read, added);
    }

    #[test]
    fn no_prefix_of_a_batch_panics(events in prop::collection::vec(any_event(), 1..3)) {
        let mut batch = keyed(1 << 20);
        for event in &events {
            prop_assert!(batch.try_add(event).is_added());
        }
        let bytes = batch.into_message().bytes;
        for len in 0..bytes.len() {
            if let Ok(reader) = BatchReader::new(bytes.slice(..len)) {
                prop_assert!(reader.filter(Result::is_ok).count() <= events.len());
            }
        }
    }
}
