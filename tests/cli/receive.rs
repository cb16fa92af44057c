//! `hubwire receive` and `hubwire info`, against an emulator in a process of its own.

use serde_json::{Value as Json, json};

use crate::support::{KEY, Run, Running, hubwire};

/// Runs `command` against `emulator`.
fn against(emulator: &Running, command: &str, args: &[&str], input: &str) -> Run {
    let args = [&[command], args].concat();
    hubwire(&args, input, &[("CONNECTION_STR", emulator.connection_string())])
}

/// An emulator whose one hub, of two partitions, holds `one` to `three` in partition 1.
fn filled() -> Running {
    let emulator = Running::emulator(&["--event-hub", "telemetry:2", "--event-hub", "copy:2"]);
    for event in ["one", "two", "three"] {
        let run = against(&emulator, "send", &["-e", "telemetry", "--partition-id", "1", event], "");
        assert_eq!(run.code, 0, "{run:?}");
    }
    emulator
}

fn receive(emulator: &Running, args: &[&str]) -> Run {
    against(emulator, "receive", &[&["-e", "telemetry"], args].concat(), "")
}

#[test]
fn what_is_there_is_printed_and_that_is_all() {
    let emulator = filled();
    let run = receive(&emulator, &[]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "one\ntwo\nthree\n"), "{run:?}");
    assert!(run.stderr.starts_with("received 3 events ("), "{run:?}");
    assert!(run.stderr.contains(") from 2 partitions of telemetry in "), "{run:?}");
    let run = receive(&emulator, &["--quiet", "--output", "raw"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("onetwothree", ""));
}

#[test]
fn where_to_begin_and_how_many_can_be_said() {
    let emulator = filled();
    for (args, printed) in [
        (&["--from", "sequence:1"][..], "two\nthree\n"),
        (&["--from", "sequence:3"], ""),
        (&["--from", "sequence:0", "--count", "1"], "one\n"),
        (&["--from", "1h"], "one\ntwo\nthree\n"),
        (&["--from", "2100-01-01T00:00:00Z"], ""),
        (&["--partition-id", "0"], ""),
        (&["--partition-id", "1", "--print", "%p/%q %s|"], "1/0 one|1/1 two|1/2 three|"),
        (&["--follow", "--count", "2"], "one\ntwo\n"),
    ] {
        let run = receive(&emulator, args);
        assert_eq!((run.code, run.stdout.as_str()), (0, printed), "{args:?}: {run:?}");
    }
}

#[test]
fn what_does_not_come_is_waited_for_no_longer_than_asked() {
    let emulator = filled();
    let run = receive(&emulator, &["--follow", "--timeout", "3s"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "one\ntwo\nthree\n"), "{run:?}");
    let run = receive(&emulator, &["--follow", "--timeout", "3s", "--count", "4"]);
    assert_eq!((run.code, run.stdout.as_str()), (6, "one\ntwo\nthree\n"), "{run:?}");
    assert!(run.stderr.contains("error: 3 of 4 events came, and none for 3s"), "{run:?}");
}

#[test]
fn a_hub_is_copied_by_a_pipe() {
    let emulator = filled();
    let full = r#"{"body":"full","partition_key":"k","content_type":"text/plain","message_id":"11111111-1111-1111-1111-111111111111","message_id_type":"uuid","subject":"s","properties":{"i":5,"t":1700000000000,"n":null},"property_types":{"i":"int","t":"timestamp"}}
{"body_base64":"AP8Q"}
{"amqp_base64":"AFN3VAU="}"#;
    let run = against(&emulator, "send", &["-e", "telemetry", "--format", "jsonl"], full);
    assert_eq!(run.code, 0, "{run:?}");
    let original = receive(&emulator, &["--output", "jsonl"]);
    assert_eq!(original.stdout.lines().count(), 6, "{original:?}");
    let run = against(&emulator, "send", &["-e", "copy", "--format", "jsonl"], &original.stdout);
    assert_eq!(run.code, 0, "{run:?}");
    let copy = against(&emulator, "receive", &["-e", "copy", "--output", "jsonl"], "");
    assert_eq!(contents(&copy), contents(&original));
    assert!(full.lines().all(|line| contents(&copy).contains(&content(line))), "{copy:?}");
}

/// What was published, in an order of its own.
fn contents(run: &Run) -> Vec<String> {
    let mut contents: Vec<_> = run.stdout.lines().map(content).collect();
    contents.sort();
    contents
}

/// A line without what the hub says of it.
fn content(line: &str) -> String {
    let mut line: Json = serde_json::from_str(line).unwrap();
    let members = line.as_object_mut().unwrap();
    for hubs in ["event_hub", "partition", "sequence_number", "offset", "enqueued_time"] {
        members.remove(hubs);
    }
    line.to_string()
}

#[test]
fn metrics_say_how_far_behind_a_reader_is() {
    let emulator = filled();
    let run = receive(&emulator, &["--metrics", "--output", "jsonl", "--count", "1"]);
    let line: Json = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(line["last_enqueued"]["sequence_number"], 2, "{run:?}");
    assert!(run.stderr.contains("partition 1: 2 behind, at sequence number 0"), "{run:?}");
    assert!(run.stderr.contains("partition 0: nothing read"), "{run:?}");
}

#[test]
fn a_reader_that_follows_ends_with_ctrl_c_and_that_is_no_failure() {
    let emulator = filled();
    let mut reader =
        Running::receive(emulator.connection_string(), &["-e", "telemetry", "--follow", "--output", "jsonl"]);
    assert_eq!(reader.event()["body"], "one");
    assert_eq!(reader.event()["body"], "two");
    assert_eq!(reader.event()["body"], "three");
    assert_eq!(against(&emulator, "send", &["-e", "telemetry", "late"], "").code, 0);
    assert_eq!(reader.event()["body"], "late");
    let (code, stderr) = reader.end("-INT");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("received 4 events"), "{stderr}");
}

#[test]
fn what_is_not_there_is_told_at_once() {
    let emulator = filled();
    let wrong_key = emulator.connection_string().replace("SAS_KEY_VALUE", KEY);
    for (args, code, words) in [
        (&["receive", "-e", "none"][..], 4, "could not be found"),
        (&["receive", "-e", "telemetry", "-g", "none"], 4, "could not be found"),
        (&["receive", "-e", "telemetry", "-p", "7"], 4, "partition 7 of event hub telemetry"),
        (&["receive", "-e", "telemetry", "--from", "latest"], 2, "add --follow"),
        (&["receive", "-e", "telemetry", "--from", "yesterday"], 2, "expected earliest"),
        (&["receive", "-e", "telemetry", "--print", "%z"], 2, "%z is unknown"),
        (&["info", "-e", "none"], 4, "could not be found"),
        (&["info", "-e", "telemetry", "-p", "x"], 4, "partition x of event hub telemetry"),
    ] {
        let run = hubwire(args, "", &[("CONNECTION_STR", emulator.connection_string())]);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
        assert_eq!(run.stdout, "");
    }
    for command in ["receive", "info"] {
        let run = hubwire(&[command, "-e", "telemetry"], "", &[("CONNECTION_STR", &wrong_key)]);
        assert_eq!(run.code, 4, "{run:?}");
        assert!(run.stderr.contains("InvalidSignature"), "{run:?}");
    }
}

#[test]
fn info_tells_of_a_hub_in_a_table_or_in_json() {
    let emulator = filled();
    let run = against(&emulator, "info", &["-e", "telemetry"], "");
    assert_eq!(run.code, 0, "{run:?}");
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("telemetry of 127.0.0.1: 2 partitions, created "), "{run:?}");
    assert_eq!(lines[1].split_whitespace().next(), Some("partition"));
    assert!(lines[2].trim_start().starts_with("0  empty    -1"), "{run:?}");
    assert_eq!(lines[3].split_whitespace().take(3).collect::<Vec<_>>(), ["1", "0", "2"]);

    let run = against(&emulator, "info", &["-e", "telemetry", "-p", "1", "--output", "json"], "");
    let mut told = run.json();
    assert!(told["created_at"].take().is_string() && told["partitions"][0]["last_enqueued_time"].take().is_string());
    let offset = told["partitions"][0]["last_enqueued_offset"].take();
    assert!(offset.as_str().unwrap().parse::<u64>().is_ok(), "{run:?}");
    let expected = json!({
        "event_hub": "telemetry", "namespace": "127.0.0.1", "created_at": null, "partition_count": 2,
        "partitions": [{
            "id": "1", "beginning_sequence_number": 0, "last_enqueued_sequence_number": 2,
            "last_enqueued_offset": null, "last_enqueued_time": null, "is_empty": false,
        }],
    });
    assert_eq!(told, expected);
}
