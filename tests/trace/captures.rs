//! Every frame that the SDKs were captured with, as JSON: what `tests/data/wire-captures.json` says of it.

use std::collections::BTreeSet;

use hubwire::trace::{Form, Tap};
use serde_json::Value as Json;
use tokio::io::AsyncWriteExt;

use crate::sessions::Page;

fn connections() -> Vec<Json> {
    let text = include_str!("../data/wire-captures.json");
    let captures: Json = serde_json::from_str(text).expect("JSON");
    captures["connections"].as_array().expect("connections").clone()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// What the client has sent on the connection `id`. Only opens were left out of the captures, for what they told of a
/// machine.
pub(crate) fn of_client(id: &str) -> Vec<Vec<u8>> {
    let open = "0000001402000000005310c00702a10163a10168";
    let connection = connections().into_iter().find(|connection| connection["id"] == *id).expect("it was captured");
    let frames = connection["frames"].as_array().expect("frames");
    let of_client = frames.iter().filter(|frame| frame["from"] == "client");
    of_client.map(|frame| bytes_of(frame["hex"].as_str().unwrap_or(open))).collect()
}

/// The names of the fields in `transfer{handle=uint(1), state=accepted{}[0f]}[11f]`, the outer ones.
fn field_names(text: &str) -> BTreeSet<String> {
    let Some((_, fields)) = text.split_once('{') else { return BTreeSet::new() };
    let (mut names, mut depth, mut name, mut is_quoted) = (BTreeSet::new(), 0, String::new(), false);
    for c in fields.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            '=' if depth == 0 => drop(names.insert(std::mem::take(&mut name))),
            ',' if depth == 0 => name.clear(),
            ' ' => {}
            c if depth == 0 => name.push(c),
            _ => {}
        }
        if depth == 0 && !c.is_alphanumeric() && c != '-' {
            name.clear();
        }
    }
    names
}

#[tokio::test(start_paused = true)]
async fn every_captured_frame_decodes_to_what_the_file_says() {
    let mut seen = 0;
    for connection in connections() {
        for side in ["client", "scratch peer"] {
            let frames = connection["frames"].as_array().expect("frames").iter();
            let frames: Vec<_> = frames.filter(|frame| frame["from"] == *side && !frame["hex"].is_null()).collect();
            let page = Page::default();
            let tap = Tap::builder().to(Form::Json, page.clone()).build();
            let mut stream = tap.wrap(tokio::io::sink());
            for frame in &frames {
                stream.write_all(&bytes_of(frame["hex"].as_str().expect("hex"))).await.expect("a sink");
            }
            let lines = String::from_utf8(page.take()).expect("text");
            let lines: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert_eq!(lines.len(), frames.len());
            for (line, frame) in lines.iter().zip(frames) {
                let text = frame["text"].as_str().expect("a text");
                seen += 1;
                if text.starts_with("header") {
                    assert_eq!(line["performative"], "header");
                    continue;
                }
                let (channel, said) = text.split_once(' ').expect("channel and performative");
                let (name, _) = said.split_once('{').unwrap_or((said, ""));
                assert_eq!(line["performative"], *name, "{text}: {line}");
                if let Some(found) = line["channel"].as_u64() {
                    assert_eq!(format!("ch{found}"), channel);
                }
                let found: BTreeSet<String> = line["fields"]
                    .as_object()
                    .expect("fields")
                    .keys()
                    .map(|name| name.replace("sasl-server-", ""))
                    .collect();
                assert_eq!(found, field_names(said), "{text}");
            }
        }
    }
    assert!(seen > 300, "{seen}");
}
