//! Every input that is refused, by its message and before anything is connected.

use super::support::{KEY, Running, hubwire, send, send_to};

/// A connection string for which a connection would fail with another code than 2.
fn unreachable() -> String {
    super::support::connection_string(super::support::free_port())
}

#[test]
fn bad_documents_are_refused_by_index_before_connecting() {
    let shape = r#"expected {"events": ["...", "..."]}"#;
    let missing = format!("the object has no member `events`; {shape}");
    for (args, input, message) in [
        (&[][..], r#"{"events":["a",42]}"#, "events[1]: expected a string, got a number"),
        (&[], r#"{"events":["a","b",{"k":"v"}]}"#, "events[2]: expected a string, got an object"),
        (&[], r#"{"events":[null]}"#, "events[0]: expected a string, got null"),
        (&[], r#"{"events":"hello"}"#, "events: expected an array of strings, got a string"),
        (&[], r#"{"events":null}"#, "events: expected an array of strings, got null"),
        (&[], r#"{"events":{"a":1}}"#, "events: expected an array of strings, got an object"),
        (&[], r#"{"events":[]}"#, "events: no events, the array is empty"),
        (&[], "", "no events: the input is empty"),
        (&[], "\n\n", "no events: the input has only empty lines; --keep-empty sends them"),
        (
            &["--input", "tests"],
            "",
            "cannot read events from tests: it is a directory; name a file, or leave out --input",
        ),
        (&["--format", "json"], "{}", missing.as_str()),
        (&["--format", "json"], "", "no events: the input is empty"),
        (&["--format", "jsonl"], "", "no events: the input is empty"),
        (&["--format", "jsonl"], "{\"body\":1}", "line 1: body: expected a string, got a number"),
        (
            &["--input", "/nowhere/at/all"],
            "",
            "cannot read events from /nowhere/at/all: No such file or directory (os error 2); check the path; `-` is standard \
             input",
        ),
    ] {
        let run = send_to(&unreachable(), args, input);
        assert_eq!(run.code, 2, "{input}: {run:?}");
        assert_eq!(run.stderr, format!("error: {message}\n"), "{input}");
        let result = run.json();
        assert_eq!(result["error"]["kind"], "input", "{input}");
        assert_eq!(result["error"]["message"], message, "{input}");
        assert_eq!(run.counts(), [0; 4], "{input}");
    }
}

#[test]
fn an_object_with_events_that_goes_wrong_is_not_taken_for_a_line() {
    for input in ["{\"events\":[\"a\"]}\n{\"events\":[\"b\"]}\n", r#"{"events":["a",]}"#] {
        let run = send(&["--emulator"], input);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains("use --format lines"), "{run:?}");
        let run = send(&["--emulator", "--format", "lines", "--output", "json"], input);
        assert_eq!(run.json()["accepted"], input.lines().count(), "{run:?}");
    }
}

#[test]
fn members_beside_events_are_warned_about() {
    let run = send(&["--emulator"], r#"{"events":["a"],"partition_key":"k"}"#);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stderr, "warning: member `partition_key` beside `events` is ignored\n");
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (args, words) in [
        (&["--partition-key", "k", "--partition-id", "0", "a"][..], "cannot be used with"),
        (&["--format", "lines", "a"], "cannot be used with"),
        (&["--input", "file", "a"], "cannot be used with"),
        (&["--emulator", "--connection-string-file", "file", "a"], "cannot be used with"),
        (&["--timeout", "30", "a"], "expected a time such as 500ms, 30s or 2m"),
        (&["--in-flight", "0", "a"], "0 is not in 1..=1000"),
        (&["--property", "a", "a"], "expected NAME=VALUE"),
        (&["--emulator", "--property", "a=1", "--property", "a=2", "a"], "--property a is given twice"),
        (&["--emulator", "--partition-key", "", "a"], "--partition-key: the partition key is empty"),
        (&["--emulator", "--content-type", "é", "a"], "--content-type: `é` is not ASCII"),
        (&["--partition-id", "abc", "a"], "expected a whole number from 0"),
        (&["--nonsense"], "unexpected argument '--nonsense'"),
    ] {
        let run = send(args, "");
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
}

#[test]
fn a_connection_string_is_no_argument() {
    let text = format!("Endpoint=sb://ns;SharedAccessKeyName=send;SharedAccessKey={KEY}");
    let joined = format!("--connection-string={text}");
    for args in [
        &["send", "--connection-string", &text, "a"][..],
        &["send", &joined],
        &["send", "--connection-string"],
        &["--connection-string", &text],
        &["send", "--connection", &text],
        &["emulator", &text],
    ] {
        let run = hubwire(args, "", &[]);
        assert_eq!(run.code, 2, "{run:?}");
        let words = "set the environment variable CONNECTION_STR, or name a file with --connection-string-file";
        let is_told = run.stderr.contains(words);
        assert!(is_told, "{run:?}");
    }
}

#[test]
fn an_event_too_large_stops_all_of_a_document_before_anything_is_sent() {
    let large = "x".repeat(1_048_576);
    let input = format!(r#"{{"events":["a","{large}","b"]}}"#);
    let run = send(&["--emulator", "--output", "json"], input);
    assert_eq!(run.code, 2, "{run:?}");
    assert_eq!(run.counts(), [0, 0, 3, 0]);
    let expected =
        "error: events[1]: takes 1048592 bytes as a message, and the hub's limit is 1048576; make it smaller\n";
    assert_eq!(run.stderr, expected);
}

#[test]
fn the_largest_event_that_fits_is_sent() {
    let run = send(&["--emulator", "--output", "json", "--max-batch-bytes", "1KiB"], "x".repeat(1_008));
    assert_eq!(run.json()["bytes"], 1_024, "{run:?}");
    let run = send(&["--emulator", "--output", "json", "--max-batch-bytes", "1KiB"], "x".repeat(1_009));
    assert!(run.stderr.contains("line 1: takes 1025 bytes as a message, and --max-batch-bytes is 1024"), "{run:?}");
    assert!(run.stderr.ends_with("; raise --max-batch-bytes to 1025 or more\n"), "{run:?}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_input() {
    for (args, input) in [
        (&[][..], "\u{feff}{\"events\":[\"a\",\"b\"]}"),
        (&[], "\u{feff}a\nb\n"),
        (&["--format", "json"], "\u{feff}{\"events\":[\"a\",\"b\"]}"),
        (&["--format", "jsonl"], "\u{feff}\"a\"\n\"b\"\n"),
    ] {
        let mut emulator = Running::emulator(&["--event-hub", "telemetry:1", "--print-events"]);
        let run = send_to(emulator.connection_string(), args, input);
        assert_eq!(run.counts(), [2, 0, 0, 0], "{input}: {run:?}");
        assert_eq!([emulator.event(), emulator.event()].map(|event| event["body"].clone()), ["a", "b"], "{input}");
    }
    for format in ["auto", "json", "jsonl"] {
        for input in [b"\xff\xfe{\0}\0", b"\xfe\xff\0{\0}"] {
            let run = send(&["--emulator", "--format", format], input);
            let told = (run.code, run.stderr.as_str());
            assert_eq!(told, (2, "error: the input is UTF-16; save it as UTF-8\n"), "{format}");
        }
    }
    let run = send(&["--emulator", "--output", "json", "--format", "lines"], b"\xff\xfea");
    assert_eq!(run.counts(), [1, 0, 0, 0], "{run:?}");
}

#[test]
fn members_that_are_there_twice_are_refused_by_line() {
    for (line, message) in [
        (r#"{"body":"a","body":"b"}"#, "line 2: body: is there twice; keep the one that is meant"),
        (
            r#"{"body":"a","properties":{"k":1,"k":2}}"#,
            "line 2: properties: k: is there twice; keep the one that is meant",
        ),
    ] {
        let run = send(&["--emulator", "--format", "jsonl", "--output", "json"], format!("\"a\"\n{line}\n"));
        assert_eq!((run.code, run.stderr), (2, format!("error: {message}\n")));
    }
}
