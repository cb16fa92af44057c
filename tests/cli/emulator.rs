//! `hubwire emulator`, and `hubwire send` to it.

use super::support::{GUIDE, KEY, Running, hubwire, send_to};

#[test]
fn it_says_what_it_serves_and_takes_events() {
    let mut emulator = Running::emulator(&["--print-events"]);
    assert_eq!(emulator.told("event hubs: "), "telemetry (4 partitions)");
    assert_eq!(emulator.told("limits: "), "1.0 MiB a message, 256.0 MiB of events in memory");
    let address = emulator.told("hubwire emulator ready on ").to_owned();
    let expected = format!(
        "Endpoint=sb://{address};SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=SAS_KEY_VALUE;\
         UseDevelopmentEmulator=true;EntityPath=telemetry"
    );
    assert_eq!(emulator.connection_string(), expected);

    let args = ["--partition-key", "device-42", "--property", "k=v", "--content-type", "text/plain"];
    let run = send_to(emulator.connection_string(), &args, GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
    let result = run.json();
    assert_eq!((&result["emulator"], &result["namespace"]), (&false.into(), &"127.0.0.1".into()));
    for (number, body) in ["first event", "second event", "..."].into_iter().enumerate() {
        let event = emulator.event();
        assert_eq!(event["body"], body);
        assert_eq!(event["sequence_number"], number);
        assert_eq!(event["event_hub"], "telemetry");
        assert_eq!(event["partition_key"], "device-42");
        assert_eq!(event["content_type"], "text/plain");
        assert_eq!(event["properties"]["k"], "v");
        assert!(event["partition"].is_string() && event["offset"].is_string(), "{event}");
        assert!(event["enqueued_time"].as_str().unwrap().ends_with('Z'), "{event}");
    }
}

#[cfg(unix)]
#[test]
fn either_signal_ends_it_well_with_totals() {
    for signal in ["-INT", "-TERM"] {
        let emulator = Running::emulator(&[]);
        assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).code, 0);
        let (code, rest) = emulator.end(signal);
        assert_eq!(code, 0);
        assert_eq!(rest, "stored 3 events in 1 message (56 B), rejected 0, over 1 connection\n");
    }
}

#[test]
fn an_address_in_use_is_told_with_what_to_do() {
    let emulator = Running::emulator(&[]);
    let address = emulator.told("hubwire emulator ready on ");
    let run = hubwire(&["emulator", "--listen", address], "", &[]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains(&format!("cannot listen on {address}")), "{run:?}");
    assert!(run.stderr.contains("--listen 127.0.0.1:0"), "{run:?}");
}

#[test]
fn what_cannot_be_served_is_refused() {
    for (args, code, words) in [
        (&["--event-hub", "a:0"][..], 3, "use 1 to 32"),
        (&["--event-hub", "a:x"], 2, "expected NAME or NAME:PARTITIONS"),
        (&["--event-hub", "a", "--event-hub", "A"], 3, "is there already"),
        (&["--max-message-size", "21MiB"], 3, "use 1 to 20971520"),
        (&["--listen", "nowhere"], 3, "use an address and a port"),
        (&["--rule", "send"], 2, "--rule-key-file"),
    ] {
        let run = hubwire(&[&["emulator"], args].concat(), "", &[]);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
}

#[test]
fn a_key_of_ones_own_is_not_shown() {
    let path = std::env::temp_dir().join(format!("hubwire-cli-key-{}", std::process::id()));
    std::fs::write(&path, format!("{KEY}\n")).unwrap();
    let emulator = Running::emulator(&["--rule", "send", "--rule-key-file", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert!(!emulator.introduction.concat().contains(KEY));
    let (shown, _) = emulator.connection_string().split_once(" (the key is in ").unwrap();
    assert!(shown.contains("SharedAccessKey=***"), "{shown}");
    let run = send_to(&shown.replace("***", KEY), &[], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_key_in_place_of_its_file_is_not_shown() {
    for args in [&["emulator", "--rule", "send", "--rule-key-file", KEY][..], &["send", "--ca-file", "/nowhere", "a"]] {
        let run = hubwire(args, "", &[("CONNECTION_STR", &super::support::connection_string(1))]);
        assert_eq!(run.code, 3, "{run:?}");
    }
}

#[cfg(unix)]
#[test]
fn every_event_is_printed_although_the_end_has_come() {
    let mut emulator = Running::emulator(&["--print-events"]);
    let input: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    let run = send_to(emulator.connection_string(), &["--partition-id", "0"], input);
    assert_eq!(run.counts(), [20_000, 0, 0, 0], "{run:?}");
    // Nothing has been read from it yet: most of the lines still wait.
    emulator.signal("-TERM");
    for number in 0..20_000 {
        assert_eq!(emulator.event()["body"], number.to_string());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_said_so() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let run = super::support::hubwire_to(full.into(), &["send", "--emulator", "event"]);
    assert_eq!(run.code, 0, "the event was accepted: {run:?}");
    assert!(run.stderr.contains("cannot write to standard output"), "{run:?}");
}

#[test]
fn the_largest_message_is_the_hubs_to_say() {
    let emulator = Running::emulator(&["--max-message-size", "1KiB"]);
    let run = send_to(emulator.connection_string(), &[&*"x".repeat(1_009)], "");
    assert_eq!(run.code, 2, "{run:?}");
    let words = "argument 1: takes 1025 bytes as a message, and the hub's limit is 1024";
    assert!(run.stderr.contains(words), "{run:?}");
}
