//! `hubwire emulator`, and `hubwire send` to it.

pub(crate) mod doors;
mod telling;

use super::support::{GUIDE, KEY, Running, hubwire, send_to};

/// An emulator with the rule `tested`, and its connection string with the key in it. `name`: of the key's file, the test's own.
pub(crate) fn with_rule(name: &str, key: &str, rights: &str) -> (Running, String) {
    let file = doors::Scratch::with(&format!("rule-{name}.key"), key);
    let emulator = Running::emulator(&["--rule", &format!("name=tested,key-file={},rights={rights}", file.path())]);
    let (shown, _) = emulator.connection_string().split_once(" (the key").expect("it names the file");
    let string = shown.replace("***", key);
    (emulator, string)
}

#[test]
fn it_says_what_it_serves_and_takes_events() {
    let mut emulator = Running::emulator(&["--print-events"]);
    assert_eq!(emulator.told("event hubs: "), "telemetry (4 partitions)");
    assert_eq!(
        emulator.told("limits: "),
        "1024 KiB a message, 300 messages of credit, no end of throughput, events kept for 1h, 256 MiB of them in all"
    );
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

#[cfg(target_os = "linux")]
#[test]
fn memory_for_events_is_touched_right_after_the_start() {
    let emulator =
        Running::emulator_at(&["--listen", "127.0.0.1:0", "--pretouch", "48MiB", "--retention-bytes", "128MiB"]);
    let resident_mib = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", emulator.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")).unwrap();
        line.trim().parse::<u64>().unwrap() >> 10
    };
    let is_touched = (0..12_000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        resident_mib() >= 48
    });
    assert!(is_touched, "{} MiB after a minute", resident_mib());
    assert_eq!(send_to(emulator.connection_string(), &[], GUIDE).code, 0);
    assert!(resident_mib() < 48 + 32, "{} MiB", resident_mib());
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
        (&["--rule", "send"], 2, "expected name=NAME,key-file=FILE"),
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
    let emulator = Running::emulator(&["--rule", &format!("name=send,key-file={}", path.to_str().unwrap())]);
    std::fs::remove_file(&path).unwrap();
    assert!(!emulator.introduction.concat().contains(KEY));
    let (shown, _) = emulator.connection_string().split_once(" (the key is in ").unwrap();
    assert!(shown.contains("SharedAccessKey=***"), "{shown}");
    let run = send_to(&shown.replace("***", KEY), &[], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn the_largest_message_is_the_hubs_to_say() {
    let emulator = Running::emulator(&["--max-message-size", "1KiB"]);
    let run = send_to(emulator.connection_string(), &[&*"x".repeat(1_009)], "");
    assert_eq!(run.code, 2, "{run:?}");
    let words = "argument 1: takes 1025 bytes as a message, and the hub's limit is 1024";
    assert!(run.stderr.contains(words), "{run:?}");
}

#[test]
fn a_key_given_in_place_of_its_file_is_not_shown() {
    for key in [KEY, "/slash/in/it", "with=sign"] {
        let run = hubwire(&["emulator", "--rule", &format!("name=send,key-file={key}")], "", &[]);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stderr.starts_with("error: cannot read the key from ***: "), "{run:?}");
        assert!(!run.stderr.contains(key), "{run:?}");
    }
}

#[cfg(unix)]
#[test]
fn every_accepted_event_is_printed_before_it_ends() {
    use std::io::BufRead;
    let mut emulator = Running::emulator(&["--print-events"]);
    // More than a pipe and the queue hold.
    let input = ("x".repeat(999) + "\n").repeat(1_000);
    assert_eq!(send_to(emulator.connection_string(), &[], input).counts(), [1_000, 0, 0, 0]);
    let stdout = emulator.stdout.take().unwrap();
    emulator.signal("-INT");
    // Nothing was read until now.
    assert_eq!(stdout.lines().count(), 1_000);
    let (code, rest) = emulator.wait();
    assert_eq!(code, 0, "{rest}");
    assert!(rest.starts_with("stored 1000 events in "), "{rest}");
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_the_printing_and_what_is_missing_is_told() {
    use std::io::BufRead;
    let mut emulator = Running::emulator(&["--print-events"]);
    let input = ("x".repeat(999) + "\n").repeat(1_000);
    assert_eq!(send_to(emulator.connection_string(), &[], input).counts(), [1_000, 0, 0, 0]);
    let stdout = emulator.stdout.take().unwrap();
    emulator.signal("-INT");
    let (code, rest) = emulator.end("-TERM");
    assert_eq!(code, 143, "{rest}");
    let read = stdout.lines().filter(|line| line.as_ref().is_ok_and(|line| line.ends_with('}'))).count();
    let told = format!("error: {} stored events were not printed: a second signal ended the printing\n", 1_000 - read);
    assert!(rest.ends_with(&told), "{read} read: {rest}");
}

#[cfg(target_os = "linux")]
#[test]
fn events_that_cannot_be_printed_end_it() {
    let emulator = Running::emulator_into("/dev/full", &["--print-events"]);
    let run = send_to(emulator.connection_string(), &["a"], "");
    assert_eq!(run.code, 0, "{run:?}");
    let (code, rest) = emulator.wait();
    assert_eq!(code, 3, "{rest}");
    assert!(rest.contains("error: cannot print events: No space left on device"), "{rest}");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let mut emulator = Running::emulator(&["--print-events"]);
    drop(emulator.stdout.take());
    send_to(emulator.connection_string(), &["a"], "");
    let (code, rest) = emulator.wait();
    assert_eq!((code, rest.lines().count()), (0, 1), "{rest}");
}
