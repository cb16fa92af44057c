//! The binary, run as a user runs it.

mod decode;
mod emulator;
mod failures;
mod faults;
mod input;
mod proxy;
mod receive;
mod replay;
mod streams;
mod support;
mod trace;
mod ways;

use serde_json::json;
use support::{GUIDE, send};

#[test]
fn the_guides_input_is_accepted() {
    let run = send(&["--emulator"], GUIDE);
    assert_eq!(run.code, 0, "{run:?}");
    let expected = "accepted 3 events in telemetry of an emulator in this process (1 batch, 56 B) in ";
    assert!(run.stdout.starts_with(expected), "{run:?}");
    assert_eq!(run.stderr, "");
}

#[test]
fn the_result_can_be_had_as_json() {
    let run = send(&["--emulator", "--output", "json", "--event-hub", "audit"], GUIDE);
    let mut result = run.json();
    assert!(result["elapsed_ms"].take().is_f64(), "{run:?}");
    let expected = json!({
        "accepted": 3, "rejected": 0, "not_sent": 0, "unknown": 0, "batches": 1, "bytes": 56,
        "event_hub": "audit", "namespace": "localhost", "emulator": true, "elapsed_ms": null,
    });
    assert_eq!(result, expected);
    assert_eq!(run.code, 0);
}

#[test]
fn arguments_are_events_as_they_stand() {
    let run = send(&["--emulator", "--output", "json", "one", "", "{\"events\":[]}", "--", "--three"], "");
    assert_eq!(run.json()["accepted"], 4, "{run:?}");
}

#[test]
fn quiet_is_quiet_when_all_is_well() {
    let run = send(&["--emulator", "--quiet"], GUIDE);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}

#[test]
fn help_and_version_are_answers_not_errors() {
    for args in [
        &["--help"][..],
        &["send", "--help"],
        &["send", "-h"],
        &["receive", "--help"],
        &["info", "-h"],
        &["decode", "--help"],
        &["emulator", "--help"],
    ] {
        let run = support::hubwire(args, "", &[]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("Usage: hubwire"), "{run:?}");
    }
    let version = support::hubwire(&["--version"], "", &[]);
    assert_eq!(version.stdout, format!("hubwire {}\n", env!("CARGO_PKG_VERSION")));
}
