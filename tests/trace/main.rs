//! What a tap makes of whole sessions, in every form: as it is kept in `tests/data/traces`.
//!
//! `HUBWIRE_BLESS=1 cargo test --all-features --test trace` writes the files anew, to be looked through before they are kept.

mod captures;
mod passing;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod tshark;

use std::path::PathBuf;

use sessions::{SESSIONS, Traced};

fn path(session: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/traces").join(format!("{session}.{extension}"))
}

/// Compares with what is kept, or keeps it.
#[track_caller]
fn assert_kept(session: &str, extension: &str, found: &[u8]) {
    let path = path(session, extension);
    if std::env::var_os("HUBWIRE_BLESS").is_some() {
        return std::fs::write(&path, found).expect("written");
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    if kept == found {
        return;
    }
    let (kept, found) = (String::from_utf8_lossy(&kept), String::from_utf8_lossy(found));
    for (number, (kept, found)) in kept.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, kept, "{} line {}", path.display(), number + 1);
    }
    panic!("{}: {} lines are kept, {} found", path.display(), kept.lines().count(), found.lines().count());
}

/// Sessions go the same way every time: time is paused, and one thread runs all.
#[tokio::test(start_paused = true)]
async fn whole_sessions_are_what_is_kept() {
    for session in SESSIONS {
        let Traced { text, json, pcapng, recording } = sessions::traced(session).await;
        assert_kept(session, "txt", &text);
        assert_kept(session, "jsonl", &json);
        assert_kept(session, "pcapng", &pcapng);
        assert_kept(session, "rec", &recording);
    }
}

/// What people look for in the lines.
#[tokio::test(start_paused = true)]
async fn lines_say_what_happens() {
    for (session, sentences) in [
        (
            "publish",
            &[
                "-> transfer $cbs delivery-id=0 put-token sb://localhost/telemetry type=servicebus.windows.net:sastoken",
                "<- transfer $cbs/answers settled delivery-id=0 answer to put-token after 0.0 ms: 202 \"Accepted\"",
                "-> transfer telemetry delivery-id=0 events=3 ",
                "<- disposition telemetry settled delivery-id=0 accepted after 0.0 ms",
                "READ telemetry type=com.microsoft:eventhub",
                "(6 to the first accepted)",
            ][..],
        ),
        (
            "throttle",
            &["rejected after 0.0 ms error=com.microsoft:server-busy", "calls for sending again on the same link"],
        ),
        ("detach", &["<- detach telemetry closed error=amqp:link:detach-forced", "calls for another link"]),
        ("expiry", &["error=amqp:unauthorized-access", "calls for a fresh token"]),
        ("refused", &["answer to put-token after 0.0 ms: 401", "to do: "]),
        ("receive", &["telemetry/$Default/0", "first event"]),
        ("python", &["put-token sb://localhost:5673/eh1", "events=2 "]),
    ] {
        let text = String::from_utf8(sessions::traced(session).await.text).expect("text");
        for sentence in sentences {
            assert!(text.contains(sentence), "{session}: {sentence} is not in\n{text}");
        }
    }
}
