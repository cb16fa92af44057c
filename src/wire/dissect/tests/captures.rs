//! The tree says what another decoder said, in that one's notation.

use super::*;

/// A node as the files have it.
fn text(node: &Node) -> String {
    match (&node.value, node.kind) {
        (_, "frame") => frame_text(node),
        (_, "header") => {
            let number = |index: usize| node.children[index].value.as_ref().and_then(Value::as_i64).unwrap();
            format!("header AMQP id={} {}.{}.{}", number(0), number(1), number(2), number(3))
        }
        (Some(value), _) => value_text(value),
        (None, "array") => format!("array[{}]", texts(node)),
        (None, "list") => format!("[{}]", texts(node)),
        (None, "map") => map_text(node),
        (None, "described") => format!("{} {}", text(&node.children[0]), text(&node.children[1])),
        (None, name) => fields_text(name, node),
    }
}

fn frame_text(frame: &Node) -> String {
    let performative = &frame.children[4];
    assert_eq!(performative.kind, "performative");
    let channel = frame.children[3].value.as_ref().and_then(Value::as_i64).unwrap();
    format!("ch{channel} {}", fields_text(&performative.name, performative))
}

fn section_text(section: &Node) -> String {
    assert_eq!(section.kind, "section");
    match section.name.as_ref() {
        name @ ("header" | "properties") => fields_text(name, section),
        name @ ("application-properties" | "message-annotations" | "delivery-annotations" | "footer") => {
            format!("{name} {}", map_text(section))
        }
        name => match &section.value {
            Some(value) => format!("{name} {}", value_text(value)),
            None => format!("{name} {}", map_text(section)),
        },
    }
}

fn fields_text(name: &str, node: &Node) -> String {
    let is_there = |field: &&Node| field.value != Some(Value::Null);
    let field = |field: &Node| format!("{}={}", field.name.trim_start_matches("sasl-server-"), text(field));
    let fields: Vec<_> = node.children.iter().filter(is_there).map(field).collect();
    format!("{name}{{{}}}[{}f]", fields.join(", "), node.children.len())
}

fn map_text(node: &Node) -> String {
    let entry = |entry: &Node| match entry.key {
        Some(Kind::Symbol) => format!(":{}: {}", entry.name, text(entry)),
        _ => format!("{:?}: {}", entry.name, text(entry)),
    };
    format!("{{{}}}", node.children.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn texts(node: &Node) -> String {
    node.children.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn value_text(value: &Value) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        Value::Null => "None".into(),
        Value::Boolean(true) => "True".into(),
        Value::Boolean(false) => "False".into(),
        Value::String(text) => format!("\"{text}\""),
        Value::Symbol(text) => format!(":{text}"),
        Value::Binary(bytes) => format!("binary({})", hex(bytes)),
        Value::Uuid(uuid) => format!("uuid({})", crate::wire::event::MessageId::Uuid(*uuid)),
        Value::Float(number) => format!("float({number:?})"),
        Value::Double(number) => format!("double({number:?})"),
        Value::Char(c) => format!("char({c:?})"),
        other => format!("{}({})", other.kind(), other.as_i64().expect("a number")),
    }
}

#[test]
fn every_frame_of_the_captures_says_what_the_file_says() {
    let frames = frames();
    assert!(frames.len() > 300, "{}", frames.len());
    for (bytes, expected, sections) in frames {
        let found = whole(&bytes, Secrets::Shown);
        assert_eq!(text(&found[0].nodes[0]), expected);
        for dissection in &found {
            // The captured peer gave its targets the fields of a source.
            let faults = dissection.faults.iter().filter(|it| it.expected != "no more than 7 fields in target");
            assert_eq!((faults.count(), dissection.rests.len()), (0, 0), "{expected}: {dissection:?}");
        }
        let told: Vec<_> = found.get(1).map_or(&[][..], |it| &it.nodes[0].children).iter().collect();
        // Of a batch the file has the bytes; the events are compared below.
        if !told.iter().any(|section| section.name.starts_with("event ")) {
            assert_eq!(told.into_iter().map(section_text).collect::<Vec<_>>(), sections, "{expected}");
        }
    }
}

#[test]
fn every_batch_opens() {
    let batches = batches();
    assert!(batches.len() >= 15, "{}", batches.len());
    for Golden { id, bytes, events, .. } in batches {
        let Some(events) = events else { continue };
        for how in [Events::Within, Events::PerhapsWithin] {
            let found = message(&bytes, 0..bytes.len(), how, Secrets::Masked);
            assert_eq!(found.faults, [], "{id}");
            let message = &found.nodes[0];
            let opened: Vec<_> = message.children.iter().filter(|section| section.kind == "data").collect();
            let told: Vec<Vec<_>> =
                opened.iter().map(|event| event.children.iter().map(section_text).collect()).collect();
            assert_eq!(told, events, "{id}");
            let bodies: usize = opened.iter().map(|event| event.body_len.unwrap()).sum();
            assert_eq!(message.body_len, Some(bodies), "{id}");
        }
    }
}

#[test]
fn the_sections_of_every_batch_are_what_the_file_says() {
    for Golden { id, bytes, sections, .. } in batches() {
        let found = message(&bytes, 0..bytes.len(), Events::No, Secrets::Shown);
        assert_eq!(found.nodes[0].children.iter().map(section_text).collect::<Vec<_>>(), sections, "{id}");
        // Sections stand one behind the other, and are all there is.
        let mut at = 0;
        for section in &found.nodes[0].children {
            assert_eq!(section.range.start, at, "{id}");
            at = section.range.end;
        }
        assert_eq!(at, bytes.len(), "{id}");
    }
}

#[test]
fn requests_and_answers_are_named() {
    let notes: std::collections::BTreeSet<_> = frames()
        .into_iter()
        .filter_map(|(bytes, ..)| whole(&bytes, Secrets::Masked).get(1)?.nodes[0].note.clone())
        .map(|note| note.replace("5674", "5673"))
        .collect();
    for note in [
        "put-token for sb://localhost:5673/eh1",
        "READ com.microsoft:eventhub eh1",
        "READ com.microsoft:partition eh1 partition 0",
        "the answer 202 Accepted",
        "a batch of 1 event",
        "a batch of 2 events",
    ] {
        assert!(notes.contains(note), "{note} is not in {notes:?}");
    }
}

#[test]
fn overhead_is_what_is_no_body() {
    // 13 bytes of section and 5 of the batch's around the 11 of each body.
    let event = b"\x00\x53\x75\xa0\x0bfirst event";
    let batch = [b"\x00\x53\x75\xa0\x10".as_slice(), event, b"\x00\x53\x75\xa0\x10", event].concat();
    let found = message(&batch.into(), 0..42, Events::Within, Secrets::Masked);
    let message = &found.nodes[0];
    assert_eq!((message.range.len(), message.body_len), (42, Some(22)));
    assert_eq!((message.children[1].range.clone(), message.children[1].body_len), (21..42, Some(11)));
    // A value counts as it is encoded.
    let value = Bytes::from_static(b"\x00\x53\x77\xa1\x02ab");
    assert_eq!(self::message(&value, 0..7, Events::No, Secrets::Masked).nodes[0].body_len, Some(4));
}
