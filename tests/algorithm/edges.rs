//! The sample's edges, row by row. Source: algorithm-process 5.2. Beside each stands what the sample does with the newest SDK.

use hubwire::emulator::{Emulator, Tier};
use serde_json::{Value, json};

use super::host::{KEY, Told};
use super::support::road::Served;
use super::support::stored;
use super::{broker, host_of};

/// What hubwire does with an input.
enum Does {
    /// Sends these.
    Sends(&'static [&'static str]),
    /// Sends nothing, and says so in this type and with these words.
    Refuses(&'static str, &'static str),
}

use Does::{Refuses, Sends};

#[test]
fn the_samples_inputs_row_by_row() {
    let missing = "the object has no member `events`";
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let mut expected: Vec<&str> = Vec::new();
    for (input, sample, does) in [
        (json!({}), "TypeError, 0.5 s into the call", Refuses("InputError", missing)),
        (json!({"events": null}), "TypeError", Refuses("InputError", "events: expected an array of strings, got null")),
        (
            json!({"events": []}),
            "success, nothing sent",
            Refuses("InputError", "events: no events, the array is empty"),
        ),
        (
            json!({"events": "hello"}),
            "success, five one-letter events",
            Refuses("InputError", "events: expected an array of strings, got a string"),
        ),
        (
            json!({"events": {"a": 1, "b": 2}}),
            "success, two events `a` and `b`",
            Refuses("InputError", "events: expected an array of strings, got an object"),
        ),
        (
            json!({"events": 5}),
            "TypeError",
            Refuses("InputError", "events: expected an array of strings, got a number"),
        ),
        (
            json!({"events": ["a", 42]}),
            "malformed body sent",
            Refuses("InputError", "events[1]: expected a string, got a number"),
        ),
        (
            json!({"events": [1.5]}),
            "malformed body sent",
            Refuses("InputError", "events[0]: expected a string, got a number"),
        ),
        (
            json!({"events": [true]}),
            "malformed body sent",
            Refuses("InputError", "events[0]: expected a string, got a boolean"),
        ),
        (
            json!({"events": [{"k": "v"}]}),
            "malformed body sent",
            Refuses("InputError", "events[0]: expected a string, got an object"),
        ),
        (
            json!({"events": [{}]}),
            "an empty body",
            Refuses("InputError", "events[0]: expected a string, got an object"),
        ),
        (
            json!({"events": [[]]}),
            "no section at all",
            Refuses("InputError", "events[0]: expected a string, got an array"),
        ),
        (json!({"events": [null]}), "ValueError", Refuses("InputError", "events[0]: expected a string, got null")),
        (json!({"events": ["a", ""]}), "an empty body", Refuses("InputError", "events[1]: empty")),
        (
            json!({"events": [["x", "y"]]}),
            "one event with two data sections",
            Refuses("InputError", "events[0]: expected a string, got an array"),
        ),
        (
            json!({"events": [[1, 2]]}),
            "malformed body sent",
            Refuses("InputError", "events[0]: expected a string, got an array"),
        ),
        (
            json!({"events": [[{"a": 1}]]}),
            "malformed body sent",
            Refuses("InputError", "events[0]: expected a string, got an array"),
        ),
        (json!(["first event"]), "'list' object has no attribute 'get'", Refuses("InputError", "got an array")),
        (json!({"events": ["first event"], "more": 1}), "sent", Sends(&["first event"])),
    ] {
        let told = host.post(&input);
        match does {
            Sends(bodies) => {
                assert_eq!(told.accepted(), bodies.len() as u64, "{input} ({sample})");
                expected.extend(bodies);
            }
            Refuses(error_type, words) => {
                let (its_type, message) = told.error();
                assert_eq!(its_type, error_type, "{input} ({sample}): {message}");
                assert!(message.contains(words), "{input} ({sample}): {message}");
            }
        }
        assert_eq!(stored(&broker.emulator), expected, "{input}");
    }
}

#[test]
fn a_request_as_text_or_bytes_that_is_the_object_is_taken() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let text = r#"{"events": ["first event"]}"#;
    assert_eq!(host.post_line(json!({"content_type": "text", "data": text}).to_string().as_bytes()).accepted(), 1);
    let binary = br#"{"content_type":"binary","data":"eyJldmVudHMiOiBbInNlY29uZCBldmVudCJdfQ=="}"#;
    assert_eq!(host.post_line(binary).accepted(), 1);
    assert_eq!(stored(&broker.emulator), ["first event", "second event"]);
}

#[test]
fn the_largest_event_goes_and_one_byte_more_is_named() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    // 16 bytes of section starts.
    assert_eq!(host.post(&json!({"events": ["x".repeat(1_048_560)]})).accepted(), 1);
    for len in [1_048_561, 1_048_576] {
        let (error_type, message) = host.post(&json!({"events": ["a", "x".repeat(len)]})).error();
        let taken = len + 16;
        let words =
            format!("events[1]: takes {taken} bytes as a message, and the hub's limit is 1048576; make it smaller");
        assert_eq!((error_type.as_str(), message), ("TooLargeError", words));
    }
    assert_eq!(broker.stored(), 1);
}

#[test]
fn what_exceeds_a_batch_goes_in_as_many_as_it_takes() {
    let broker = broker();
    let mut host = host_of(&broker, &[]);
    let Told::Result { result, .. } = host.post(&json!({"events": vec!["x".repeat(1_000); 2_000]})) else {
        panic!("the sample sends nothing of it")
    };
    assert_eq!((&result["accepted"], &result["batches"]), (&2_000.into(), &2.into()));
    assert_eq!(broker.stored(), 2_000);
}

/// A hub's own limit is known with the link: what passed the first look is looked at again, before anything is sent.
#[test]
fn a_hub_that_takes_less_has_nothing_sent_that_it_would_refuse() {
    let broker = Served::start(Emulator::builder().rule("send", KEY).tier(Tier::Basic));
    let mut host = host_of(&broker, &[]);
    let words = "events[1]: takes 300016 bytes as a message, and the hub's limit is 262144; make it smaller";
    // The first is found with the link, when it is known how many there are.
    for (connections, rest) in [(1, "; accepted 0 of 2 events: none is stored"), (1, "")] {
        let (error_type, message) = host.post(&json!({"events": ["a", "x".repeat(300_000)]})).error();
        assert_eq!((error_type.as_str(), message), ("TooLargeError", format!("{words}{rest}")));
        assert_eq!((broker.stored(), broker.emulator.totals().connections), (0, connections));
    }
    assert_eq!(host.post(&json!({"events": vec!["x".repeat(200_000); 3]})).accepted(), 3);
}

#[test]
fn json_values_and_base64_are_taken_where_they_are_asked_for() {
    let broker = broker();
    let mut host = host_of(&broker, &["--elements", "json"]);
    let events = json!([42, 1.5, true, {"k": "v"}, {}, [], null, "", ["x", "y"], [{"a": 1}], "text"]);
    assert_eq!(host.post(&json!({ "events": events })).accepted(), 11);
    let texts: Vec<String> = events.as_array().expect("an array").iter().map(Value::to_string).collect();
    assert_eq!(stored(&broker.emulator), texts);

    let mut host = host_of(&broker, &["--elements", "base64"]);
    assert_eq!(host.post(&json!({"events": ["YWJj"]})).accepted(), 1);
    let (error_type, message) = host.post(&json!({"events": ["YWJj", "YWJj!"]})).error();
    assert!(error_type == "InputError" && message.starts_with("events[1]: not base64"), "{message}");
    assert_eq!(stored(&broker.emulator).last().map(String::as_str), Some("abc"));

    let mut host = host_of(&broker, &["--keep-empty"]);
    assert_eq!(host.post(&json!({"events": ["", "a"]})).accepted(), 2);
    assert_eq!(broker.stored(), 14);
}
