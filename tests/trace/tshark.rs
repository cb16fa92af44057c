//! Wireshark's own dissector reads the captures: the same performatives, in the same order, and packets without a fault.
//!
//! Without `tshark` this says that it was skipped; with `CI` or `HUBWIRE_INTEROP=1` set it fails instead.

use std::process::Command;

use serde_json::Value as Json;

use crate::sessions::{SESSIONS, traced};

fn is_required() -> bool {
    std::env::var_os("CI").is_some() || std::env::var_os("HUBWIRE_INTEROP").is_some_and(|value| value == "1")
}

/// What tshark prints of the capture, with checksums looked at; `None`, said aloud, when it is not installed.
fn tshark(name: &str, pcapng: &[u8], args: &[&str]) -> Option<String> {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tshark-{name}.pcapng"));
    std::fs::write(&path, pcapng).expect("written");
    let checked = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"];
    let run = Command::new("tshark").arg("-r").arg(&path).args(checked).args(args).output();
    let Ok(output) = run else {
        assert!(!is_required(), "tshark is not installed; run tests/interop/setup");
        println!("skipped: tshark is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

/// What is in the frames, in order, as tshark names it.
fn performatives(json: &[u8]) -> Vec<String> {
    let lines = std::str::from_utf8(json).expect("text").lines();
    let frames = lines.map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
    let names = frames
        .filter(|line| line["type"] == "frame")
        .map(|line| line["performative"].as_str().expect("a name").to_owned());
    names
        .map(|name| match name.as_str() {
            "header" => "Protocol-Header".to_owned(),
            name => name.replacen("sasl-", "sasl.", 1),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn wireshark_names_the_same_performatives_in_the_same_order() {
    for session in SESSIONS {
        let traced = traced(session).await;
        let Some(shown) = tshark(session, &traced.pcapng, &["-Y", "amqp"]) else { return };
        let found: Vec<String> = shown
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let at = words.iter().position(|word| *word == "AMQP").expect("AMQP");
                // Time, length, then what it is.
                words[at + 2].to_owned()
            })
            .collect();
        assert_eq!(found, performatives(&traced.json), "{session}");
        let odd = tshark(
            session,
            &traced.pcapng,
            &["-Y", "tcp.analysis.flags or ip.checksum.status == 0 or tcp.checksum.status == 0 or _ws.malformed"],
        );
        assert_eq!(odd.as_deref(), Some(""), "{session}");
    }
}
