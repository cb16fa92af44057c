//! `--trace` and what belongs to it, as a user runs it.

use crate::support::{GUIDE, Running, hubwire, send};

/// A file in the tests' own folder. Removed when dropped.
struct Scratch(String);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(format!("{}/trace-{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id()))
    }

    fn read(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8(self.read()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_trace_goes_to_standard_error_and_the_result_does_not() {
    let run = send(&["--emulator", "--trace"], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("accepted 3 events"), "{run:?}");
    for sentence in [
        "-> header SASL 1.0.0",
        "put-token sb://localhost/telemetry",
        "events=3 56 B",
        "accepted after",
        "connection 1, closed:",
        "(6 to the first accepted)",
    ] {
        assert!(run.stderr.contains(sentence), "{sentence}: {run:?}");
    }
    assert!(!run.stderr.contains('\x1b'), "no terminal, no colours");
}

#[test]
fn each_line_of_json_is_an_object() {
    let run = send(&["--emulator", "--trace=json"], GUIDE);
    let lines: Vec<serde_json::Value> = run.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let transfer = lines.iter().find(|line| line["link"] == "telemetry" && line["performative"] == "transfer").unwrap();
    assert_eq!(transfer["message"], serde_json::json!({ "bytes": 56, "events": 3, "transfers": 1 }));
    assert_eq!(transfer["fields"]["message-format"], 0x8001_3700_u32);
    assert_eq!(lines.last().unwrap()["type"], "summary");
}

#[test]
fn files_are_written_beside_each_other() {
    let (text, pcap, recording) = (Scratch::new("text"), Scratch::new("pcap"), Scratch::new("recording"));
    let args = ["--emulator", "--trace-file", &text.0, "--trace-hex", "--pcap", &pcap.0, "--record", &recording.0];
    let run = send(&args, GUIDE);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(text.text().contains("000000  41 4d 51 50 03 01 00 00"));
    assert!(pcap.read().starts_with(b"\x0a\x0d\x0d\x0a"));
    assert!(recording.text().lines().all(|line| line.contains("\"hex\":") || line.contains("\"type\":\"summary\"")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&pcap.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "for nobody else to read");
    }
}

#[test]
fn a_file_that_cannot_be_written_stops_the_command_before_anything_is_sent() {
    let run = send(&["--emulator", "--pcap", "/no/such/folder/file"], GUIDE);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("cannot write to /no/such/folder/file"), "{run:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_trace_and_not_the_run() {
    let run = send(&["--emulator", "--trace-file", "/dev/full"], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("accepted 3 events"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert!(run.stderr.starts_with("warning: the trace in /dev/full is not whole: No space left"), "{run:?}");
}

#[test]
fn every_command_that_speaks_amqp_can_be_traced_and_the_emulator_too() {
    let file = Scratch::new("emulator");
    let emulator = Running::emulator(&["--trace-file", &file.0]);
    let env = [("CONNECTION_STR", emulator.connection_string())];
    for args in [&["send", "x", "--trace"][..], &["receive", "--trace"], &["info", "--trace"]] {
        let run = hubwire(args, "", &env);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains("connection 1, closed:"), "{run:?}");
    }
    let (code, rest) = emulator.end("-TERM");
    assert_eq!(code, 0, "{rest}");
    let text = file.text();
    assert!(text.contains("<- sasl-init mechanism=ANONYMOUS"), "from the emulator's side: {text}");
    assert_eq!(text.matches(", closed:").count(), 3, "{text}");
}

#[test]
fn every_command_that_connects_has_it() {
    let emulator = Running::emulator(&["--event-hub", "telemetry:2"]);
    for args in [
        &["info"][..],
        &["doctor", "--send"],
        &["receive"],
        &["partition", "device-42"],
        &["bench", "--events", "10", "--quiet"],
        &["algorithm", "--response", "-"],
    ] {
        let to = [("CONNECTION_STR", emulator.connection_string()), ("EVENTHUB_NAME", "telemetry")];
        let input = r#"{"content_type":"json","data":{"events":["x"]}}"#.to_owned() + "\n";
        let run = hubwire(&[args, &["--trace"]].concat(), input, &to);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stderr.contains("-> header SASL 1.0.0"), "{args:?}: {run:?}");
        assert!(run.stderr.contains("put-token sb://"), "{args:?}: {run:?}");
        assert!(run.stderr.contains(", closed:"), "{args:?}: {run:?}");
    }
}

/// The ready word, and answers where they were asked for.
#[test]
fn the_trace_of_an_algorithm_leaves_standard_output_to_its_host() {
    let file = Scratch::new("algorithm");
    let input = r#"{"content_type":"json","data":{"events":["first event"]}}"#.to_owned() + "\n";
    for (args, is_told) in [(&["--trace"][..], true), (&["--trace-file", &file.0], false)] {
        let args = [&["algorithm", "--emulator", "--event-hub", "telemetry", "--response", "-"], args].concat();
        let run = hubwire(&args, &input, &[]);
        assert_eq!(run.code, 0, "{run:?}");
        let [ready, answer] = run.stdout.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {run:?}") };
        assert_eq!(ready, "PIPE_INIT_COMPLETE");
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer["result"]["accepted"], 1, "{run:?}");
        assert_eq!(run.stderr.contains("events=1 "), is_told, "{run:?}");
    }
    assert!(file.text().contains("events=1 ") && file.text().contains("connection 1, closed:"), "{}", file.text());
}

#[test]
fn a_trace_that_cannot_be_written_is_said_to_the_algorithms_host() {
    let input = r#"{"content_type":"json","data":{"events":["first event"]}}"#.to_owned() + "\n";
    let args = ["algorithm", "--emulator", "--event-hub", "x", "--response", "-", "--pcap", "/no/such/folder/file"];
    let run = hubwire(&args, input, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains(r#""error_type":"InitializationError""#), "{run:?}");
    assert!(run.stderr.contains("cannot write to /no/such/folder/file"), "{run:?}");
}

#[test]
fn what_would_do_nothing_or_spoil_a_file_is_refused() {
    let file = Scratch::new("twice");
    let recording = Scratch::new("played");
    let played = std::fs::read(format!("{}/tests/data/traces/publish.rec", env!("CARGO_MANIFEST_DIR"))).unwrap();
    std::fs::write(&recording.0, &played).unwrap();
    let other_name = recording.0.replace("/trace-", "/./trace-");
    for (args, words) in [
        (
            &["send", "--emulator", "--trace-secrets", "x"][..],
            "--trace-secrets has no trace to show secrets in; say --trace",
        ),
        (
            &["send", "--emulator", "--trace-file", &file.0, "--pcap", &file.0, "x"],
            "--trace-file and --pcap both write ",
        ),
        (
            &["send", "--emulator", "--pcap", &recording.0, "--record", &other_name, "x"],
            "--pcap and --record both write ",
        ),
        (&["replay", &recording.0, "--record", &other_name], "is the recording that is played"),
    ] {
        let run = hubwire(args, "", &[]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    assert!(!std::path::Path::new(&file.0).exists());
    assert_eq!(recording.read(), played);
    let run = send(&["--emulator", "--trace-file", "/dev/null", "--pcap", "/dev/null"], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
}
