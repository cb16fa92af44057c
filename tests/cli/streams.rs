//! Lines, as many as there are.

use std::fmt::Write as _;

use super::support::{Running, send, send_to};

fn numbers(count: usize) -> String {
    (0..count).fold(String::new(), |mut text, number| {
        writeln!(text, "event {number}").unwrap();
        text
    })
}

#[test]
fn ten_thousand_lines_leave_in_several_batches_and_arrive_in_order() {
    let mut emulator = Running::emulator(&["--event-hub", "telemetry:1", "--print-events"]);
    let input = numbers(10_000);
    let run = send_to(emulator.connection_string(), &["--max-batch-bytes", "16KiB"], &input);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.counts(), [10_000, 0, 0, 0]);
    assert!(run.json()["batches"].as_u64().unwrap() >= 10, "{run:?}");
    for (number, line) in input.lines().enumerate() {
        let event = emulator.event();
        assert_eq!((event["body"].as_str(), event["sequence_number"].as_u64()), (Some(line), Some(number as u64)));
    }
}

#[test]
fn lines_are_sent_as_they_stand() {
    let mut emulator = Running::emulator(&["--print-events"]);
    let input = b"one\r\n\n\xff\xfe\n two \n".as_slice();
    let run = send_to(emulator.connection_string(), &["--keep-empty", "--partition-id", "1"], input);
    assert_eq!(run.counts(), [4, 0, 0, 0], "{run:?}");
    let events: Vec<_> = (0..4).map(|_| emulator.event()).collect();
    assert_eq!(events[0]["body"], "one");
    assert_eq!(events[1]["body"], "");
    assert_eq!(events[2]["body_base64"], "//4=");
    assert_eq!(events[3]["body"], " two ");
    assert!(events.iter().all(|event| event["partition"] == "1"));
    let run = send(&["--emulator", "--output", "json"], input);
    assert_eq!(run.counts(), [3, 0, 0, 0], "{run:?}");
}

#[test]
fn a_bad_line_ends_the_reading_and_the_lines_before_it_are_sent() {
    let mut input = numbers(5_000).lines().fold(String::new(), |text, line| text + "\"" + line + "\"\n");
    input += "{\"body\":\"a\",\"colour\":\"red\"}\n\"never sent\"\n";
    let run = send(&["--emulator", "--output", "json", "--format", "jsonl", "--max-batch-bytes", "4KiB"], input);
    assert_eq!(run.code, 2, "{run:?}");
    assert_eq!(run.counts(), [5_000, 0, 0, 0]);
    let message = "error: line 5001: colour: unknown member; take it out, or put it into `properties`\n";
    assert_eq!(run.stderr, message);
}

#[test]
fn a_line_too_large_ends_the_sending_and_the_lines_before_it_are_sent() {
    let input = numbers(300) + &"x".repeat(2_000) + "\nnever sent\n";
    let run = send(&["--emulator", "--output", "json", "--max-batch-bytes", "1KiB"], input);
    assert_eq!(run.code, 2, "{run:?}");
    let [accepted, rejected, not_sent, unknown] = run.counts();
    assert_eq!((accepted, rejected, unknown), (300, 0, 0), "{run:?}");
    // The large one itself; the line behind it as well, if it was read by then.
    assert!((1..=2).contains(&not_sent), "{run:?}");
    assert!(run.stderr.starts_with("error: line 301: takes 2016 bytes as a message"), "{run:?}");
}

#[test]
fn a_first_line_too_large_is_the_only_thing_told() {
    for (format, input) in [("lines", "x".repeat(2_000_000)), ("jsonl", format!("\"{}\"", "x".repeat(2_000_000)))] {
        let run = send(&["--emulator", "--output", "json", "--format", format], input);
        assert_eq!(run.code, 2, "{run:?}");
        assert_eq!(run.counts(), [0, 0, 1, 0], "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stderr.starts_with("error: line 1: takes 2000016 bytes as a message, and the hub's"), "{run:?}");
    }
    let run = send(&["--emulator", "--output", "json", "--max-batch-bytes", "1"], "event\n");
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("raise --max-batch-bytes from 1 to that or more"), "{run:?}");
}

#[test]
fn what_the_emulator_prints_can_be_sent_again() {
    let mut first = Running::emulator(&["--print-events"]);
    let input = concat!(
        r#"{"body":"a","partition_key":"device-42","properties":{"s":"x","n":1.5,"t":true},"content_type":"text/plain"}"#,
        "\n",
        r#"{"body_base64":"/w==","message_id":7,"correlation_id":"c"}"#,
        "\n\n\"b\"\n",
    );
    let run = send_to(first.connection_string(), &["--format", "jsonl"], input);
    assert_eq!(run.counts(), [3, 0, 0, 0], "{run:?}");
    let printed: Vec<_> = (0..3).map(|_| first.event()).collect();

    let mut second = Running::emulator(&["--print-events"]);
    let again = printed.iter().fold(String::new(), |text, event| text + &event.to_string() + "\n");
    let run = send_to(second.connection_string(), &["--format", "jsonl"], again);
    assert_eq!(run.counts(), [3, 0, 0, 0], "{run:?}");
    let what = |event: &serde_json::Value| {
        let said =
            ["body", "body_base64", "partition_key", "properties", "content_type", "message_id", "correlation_id"];
        said.map(|name| event[name].to_string())
    };
    let mut before: Vec<_> = printed.iter().map(what).collect();
    let mut after: Vec<_> = (0..3).map(|_| what(&second.event())).collect();
    before.sort();
    after.sort();
    assert_eq!(before, after);
}

#[test]
fn every_key_has_batches_of_its_own() {
    let input: String =
        (0..1_000).map(|number| format!("{{\"body\":\"b\",\"partition_key\":\"k{}\"}}\n", number % 300)).collect();
    let run = send(&["--emulator", "--output", "json", "--format", "jsonl"], input);
    assert_eq!(run.counts(), [1_000, 0, 0, 0], "{run:?}");
    assert!(run.json()["batches"].as_u64().unwrap() >= 300, "{run:?}");
}

#[cfg(unix)]
#[test]
fn an_open_input_is_sent_when_it_pauses_and_ctrl_c_ends_it() {
    let mut emulator = Running::emulator(&["--print-events"]);
    let mut sending = super::support::Sending::start(emulator.connection_string(), &[]);
    sending.write("one\ntwo\nthr");
    // Both have arrived although the input goes on, in the middle of a line.
    assert_eq!(emulator.event()["body"], "one");
    assert_eq!(emulator.event()["body"], "two");
    let run = sending.end("-INT");
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(run.counts(), [2, 0, 0, 0], "{run:?}");
    assert_eq!(run.json()["error"]["kind"], "interrupted");
}
