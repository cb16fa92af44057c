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
    sending.write("one\ntwo\n");
    // Both have arrived although the input goes on.
    assert_eq!(emulator.event()["body"], "one");
    assert_eq!(emulator.event()["body"], "two");
    let run = sending.end("-INT");
    assert_eq!(run.code, 130, "{run:?}");
    assert_eq!(run.counts(), [2, 0, 0, 0], "{run:?}");
    assert_eq!(run.json()["error"]["kind"], "interrupted");
}

#[test]
fn a_line_too_large_is_the_only_thing_wrong_when_nothing_waits_before_it() {
    let large = "y".repeat(2_000_000);
    let json = format!("{{\"body\":\"{large}\"}}\n\"never sent\"\n");
    let small = "y".repeat(2_000) + "\n";
    for (args, input, len, whose) in [
        (&[][..], large.as_str(), 2_000_016, "the hub's limit is 1048576"),
        (&["--format", "jsonl"], json.as_str(), 2_000_016, "the hub's limit is 1048576"),
        (&["--max-batch-bytes", "1KiB"], small.as_str(), 2_016, "--max-batch-bytes is 1024"),
    ] {
        let run = send(&[&["--emulator", "--output", "json"], args].concat(), input);
        assert_eq!(run.code, 2, "{run:?}");
        assert_eq!(run.json()["error"]["kind"], "input", "{run:?}");
        let [accepted, rejected, not_sent, unknown] = run.counts();
        assert_eq!((accepted, rejected, unknown), (0, 0, 0), "{run:?}");
        assert!((1..=2).contains(&not_sent), "{run:?}");
        assert!(run.stderr.starts_with(&format!("error: line 1: takes {len} bytes")), "{run:?}");
        assert!(run.stderr.contains(whose), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
}

#[test]
fn a_line_too_large_after_a_pause_is_the_only_thing_wrong() {
    let mut emulator = Running::emulator(&["--print-events", "--max-message-size", "1KiB"]);
    let mut sending = super::support::Sending::start(emulator.connection_string(), &[]);
    sending.write("one\n");
    assert_eq!(emulator.event()["body"], "one");
    sending.write(&("y".repeat(2_000) + "\n"));
    let run = sending.finish();
    assert_eq!((run.code, run.counts()), (2, [1, 0, 1, 0]), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[cfg(unix)]
#[test]
#[expect(clippy::disallowed_methods, reason = "the wait of a real process is the subject")]
fn a_second_signal_ends_it_without_a_goodbye() {
    let emulator = Running::emulator(&[]);
    let port: u16 = emulator.told("hubwire emulator ready on 127.0.0.1:").parse().unwrap();
    let (silent, was_said) = super::support::silent_after("last word", port);
    let text = emulator.connection_string().replace(&port.to_string(), &silent.to_string());
    let mut sending = super::support::Sending::start(&text, &[]);
    sending.write("one\nlast word\n");
    was_said.recv().unwrap();
    let asked = std::time::Instant::now();
    sending.signal("-INT");
    let run = sending.end("-TERM");
    assert_eq!((run.code, run.counts()), (130, [0, 0, 0, 2]), "{run:?}");
    // A goodbye that nobody answers takes five seconds.
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{run:?}");
}

#[cfg(unix)]
#[test]
fn whole_lines_leave_before_the_first_piece_ends_in_the_middle_of_one() {
    let mut emulator = Running::emulator(&["--event-hub", "telemetry:1", "--print-events"]);
    let mut sending = super::support::Sending::start(emulator.connection_string(), &[]);
    sending.write("a\nb\nc");
    assert_eq!(emulator.event()["body"], "a");
    assert_eq!(emulator.event()["body"], "b");
    let run = sending.end("-INT");
    assert_eq!((run.code, run.counts()), (130, [2, 0, 0, 0]), "{run:?}");
}

#[cfg(unix)]
#[test]
fn lines_that_were_read_are_counted_when_no_connection_comes_of_it() {
    let (connected, is_connected) = std::sync::mpsc::channel();
    let silent = super::support::peer(move |mut stream| {
        connected.send(()).unwrap();
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    let mut sending = super::support::Sending::start(&super::support::connection_string(silent), &[]);
    sending.write("a\nb\nc");
    is_connected.recv().unwrap();
    let run = sending.end("-INT");
    assert_eq!((run.code, run.counts()), (130, [0, 0, 2, 0]), "{run:?}");
}
