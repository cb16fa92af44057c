//! `hubwire replay`: what was recorded becomes a test of whoever meets it.

use crate::support::{Running, hubwire, send_to};

/// A recording of the repository's.
fn recording(name: &str) -> String {
    format!("{}/tests/data/traces/{name}.rec", env!("CARGO_MANIFEST_DIR"))
}

fn replay(args: &[&str]) -> Running {
    Running::command(&[&["replay", "--listen", "127.0.0.1:0"], args].concat())
}

/// A file in the tests' own folder. Removed when dropped.
struct Scratch(String);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(format!("{}/replay-{}-{name}", env!("CARGO_TARGET_TMPDIR"), std::process::id()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_rejected_publisher_meets_the_same_hub_again() {
    let file = Scratch::new("rejected");
    let emulator = Running::emulator(&["--fault", "reject condition=amqp:not-allowed"]);
    let recorded = send_to(emulator.connection_string(), &["--event-hub", "telemetry", "--record", &file.0, "one"], "");
    assert_eq!(recorded.code, 5, "{recorded:?}");
    let hub = replay(&[&file.0, "--fast"]);
    let run = send_to(hub.connection_string(), &["--event-hub", "telemetry", "another"], "");
    assert_eq!((run.code, run.counts()), (5, [0, 1, 0, 0]), "{run:?}");
    assert_eq!(run.json()["error"]["condition"], "amqp:not-allowed");
    assert_eq!(hub.wait().0, 0);
}

#[test]
fn a_client_that_leaves_early_is_told_of() {
    let hub = replay(&[&recording("throttle"), "--fast"]);
    let run = send_to(hub.connection_string(), &["--event-hub", "telemetry", "--retries", "0", "one"], "");
    assert_eq!(run.code, 5, "{run:?}");
    let (code, rest) = hub.wait();
    assert_eq!(code, 6, "{rest}");
    assert!(
        rest.contains("connection 1: played 15 of 18 frames: the client says goodbye, and owes transfer"),
        "{rest}"
    );
}

#[test]
fn a_refusal_is_heard_in_its_own_words() {
    let hub = replay(&[&recording("refused"), "--fast"]);
    let run = send_to(hub.connection_string(), &["--event-hub", "telemetry", "one"], "");
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stdout.contains("InvalidSignature: The token has an invalid signature."), "{run:?}");
    let (code, rest) = hub.wait();
    assert_eq!((code, rest.as_str()), (0, "connection 1: played 12 frames\n"));
}

#[test]
fn what_was_received_is_received_again() {
    let hub = replay(&[&recording("receive"), "--fast"]);
    let env = [("CONNECTION_STR", hub.connection_string())];
    let args = ["receive", "--event-hub", "telemetry", "--partition-id", "0", "--follow", "--count", "3"];
    let run = hubwire(&args, "", &env);
    assert_eq!((run.code, run.stdout.as_str()), (0, "event 0\nevent 1\nevent 2\n"), "{run:?}");
    let (code, rest) = hub.wait();
    assert_eq!(code, 0, "{rest}");
}

#[test]
fn what_was_asked_is_answered_to_whoever_asks_now() {
    let file = Scratch::new("asked");
    let emulator = Running::emulator(&["--event-hub", "elsewhere:2"]);
    let env = [("CONNECTION_STR", emulator.connection_string())];
    let recorded = hubwire(&["info", "--event-hub", "elsewhere", "--record", &file.0], "", &env);
    assert_eq!(recorded.code, 0, "{recorded:?}");
    let hub = replay(&[&file.0]);
    let again = hubwire(&["info", "--event-hub", "elsewhere"], "", &[("CONNECTION_STR", hub.connection_string())]);
    assert_eq!((again.code, again.stdout), (0, recorded.stdout));
    assert_eq!(hub.wait().0, 0);
}

#[test]
fn a_client_that_does_not_come_is_not_waited_for_for_ever() {
    let (code, rest) = replay(&[&recording("publish"), "--patience", "100ms"]).wait();
    assert_eq!(
        (code, rest.as_str()),
        (6, "error: no client came for connection 1; start one, or wait longer: --patience\n")
    );
}

#[test]
fn what_is_no_recording_is_refused() {
    let manifest = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    let capture = Scratch::new("capture");
    std::fs::write(&capture.0, b"\x0a\x0d\x0d\x0a\xff\xfe").unwrap();
    for (args, words) in [
        (&["replay", "/no/such/file"][..], "cannot read /no/such/file"),
        (&["replay", &manifest], "line 1, column "),
        // What never ends is not read to its end, and what is no text is told of as any other.
        (&["replay", "/dev/zero"], "/dev/zero is longer than 256 MiB"),
        (&["replay", &capture.0], "line 3, column 1: expected an object of a trace; name a file that `--record`"),
        (&["replay", &recording("publish"), "--connection", "9"], "has no such connection"),
    ] {
        let run = hubwire(args, "", &[]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.stderr.contains(words), "{run:?}");
    }
    let run = hubwire(&["replay", &recording("publish"), "--listen", "0.0.0.0:0"], "", &[]);
    assert_eq!(run.code, 3, "{run:?}");
}
