//! What the official Python and JavaScript SDKs were seen to send, sent again: the emulator answers as the peer did that
//! satisfied them then. The frames are those of `tests/data/wire-captures.json`.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use hubwire::emulator::Emulator;
use hubwire::wire::event::{Body, Event};
use hubwire::wire::value::Value;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Within the life of the captured tokens, which end on 2026-11-22 at about 20:00.
const CAPTURED_AT_UNIX_SECS: u64 = 1_795_377_000;

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// The bytes of a captured frame. Only opens were left out, for what they told of a machine.
fn bytes(frame: &Json) -> Vec<u8> {
    match frame["hex"].as_str() {
        Some(text) => hex(text),
        None => {
            assert!(frame["text"].as_str().expect("a text").starts_with("ch0 open{"), "{frame}");
            // open[container-id "c", hostname "h"]
            hex("0000001402000000005310c00702a10163a10168")
        }
    }
}

fn frames<'a>(connection: &'a Json, from: &str) -> Vec<&'a Json> {
    connection["frames"].as_array().expect("frames").iter().filter(|frame| frame["from"] == *from).collect()
}

/// One thing that a peer has said, as text: what of it a client relies on.
type Facts = BTreeSet<String>;

/// What the frames in `stream` say, headers and SASL aside.
fn facts(stream: &[u8]) -> Facts {
    let mut facts = Facts::new();
    let mut names = HashMap::new();
    let mut rest = stream;
    while rest.len() >= 8 {
        if rest.starts_with(b"AMQP") {
            rest = &rest[8..];
            continue;
        }
        let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (frame, after) = rest.split_at(len);
        rest = after;
        if frame[5] == 0 && frame.len() > 8 {
            let channel = u16::from_be_bytes([frame[6], frame[7]]);
            let body = Bytes::copy_from_slice(&frame[8..]);
            let (performative, used) = Value::decode_prefix(&body).expect("a performative");
            tell(&mut facts, &mut names, channel, &performative, &body.slice(used..));
        }
    }
    assert!(rest.is_empty(), "{} bytes of half a frame", rest.len());
    facts
}

fn tell(
    facts: &mut Facts,
    names: &mut HashMap<(u16, i64), String>,
    channel: u16,
    performative: &Value,
    payload: &Bytes,
) {
    let (code, fields) = fields(performative);
    let field = |index: usize| fields.get(index).unwrap_or(&Value::Null);
    let number = |index: usize| field(index).as_i64().unwrap_or(0);
    let link = |names: &HashMap<(u16, i64), String>, index| names.get(&(channel, number(index))).cloned();
    match code {
        0x10 => drop(facts.insert("open".to_owned())),
        0x11 => drop(facts.insert(format!("begin of {:?} on {channel}", field(0)))),
        0x12 => {
            let name = field(0).as_str().expect("a name").to_owned();
            let address = |index| self::fields(field(index)).1.first().cloned();
            facts.insert(format!("attach {name}: {:?} from {:?} to {:?}", field(2), address(5), address(6)));
            names.insert((channel, number(1)), name);
        }
        0x14 => message(facts, &link(names, 0).expect("an attached link"), payload),
        0x15 => {
            let (state, _) = self::fields(field(4));
            for id in number(1)..=field(2).as_i64().unwrap_or(number(1)) {
                facts.insert(format!("disposition of {id} on {channel}: {state:#x}, settled {:?}", field(3)));
            }
        }
        0x16 => drop(facts.insert(format!("detach {:?}, closed {:?}", link(names, 0), field(1)))),
        0x17 => drop(facts.insert(format!("end on {channel}"))),
        0x18 => drop(facts.insert("close".to_owned())),
        // Credit is each peer's own to give.
        0x13 => {}
        other => panic!("performative {other:#x}"),
    }
}

/// The answer to a request: its status, whom it answers, and the types in its map.
fn message(facts: &mut Facts, link: &str, payload: &Bytes) {
    let message = Event::decode(payload).expect("a message");
    let correlation_id = message.properties().and_then(|properties| properties.correlation_id.clone());
    facts.insert(format!("to {link}: {:?} for {correlation_id:?}", message.property("status-code")));
    if let Body::Value(Value::Map(entries)) = message.body() {
        for (key, value) in entries {
            facts.insert(format!("to {link}: {key:?} is a {}", value.kind()));
        }
    }
}

fn fields(described: &Value) -> (i64, Vec<Value>) {
    match described {
        Value::Described(parts) => match &**parts {
            (code, Value::List(fields)) => (code.as_i64().expect("a code"), fields.clone()),
            other => panic!("{other:?}"),
        },
        _ => (0, Vec::new()),
    }
}

/// Sends `frames` one by one, each when the one before it has been dealt with; everything that came back.
async fn replay(emulator: &Emulator, frames: &[&Json]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(emulator.connect());
    let answers = tokio::spawn(async move {
        let mut answers = Vec::new();
        reader.read_to_end(&mut answers).await.expect("an end");
        answers
    });
    for frame in frames {
        writer.write_all(&bytes(frame)).await.expect("a peer");
        // The time is paused: it passes when nobody has anything left to do.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // It may have left already.
    let _ = writer.shutdown().await;
    answers.await.expect("no panic")
}

#[tokio::test(start_paused = true)]
async fn what_sdks_sent_is_answered_as_they_were_content_with() {
    let captures: Json = serde_json::from_str(include_str!("../data/wire-captures.json")).expect("JSON");
    for connection in captures["connections"].as_array().expect("connections") {
        let starts_at = UNIX_EPOCH + Duration::from_secs(CAPTURED_AT_UNIX_SECS);
        let builder = Emulator::builder().event_hub("eh1", 2).starts_at(starts_at);
        let emulator = builder.build().unwrap();
        let answers = facts(&replay(&emulator, &frames(connection, "client")).await);
        let peer: Vec<u8> = frames(connection, "scratch peer").iter().flat_map(|frame| bytes(frame)).collect();
        let expected = facts(&peer);
        let id = &connection["id"];
        let missing: Vec<_> = expected.difference(&answers).collect();
        assert!(missing.is_empty(), "{id}: not said {missing:#?}, but {answers:#?}");
        // Goodbyes that the captured peer had no time for; and more about a partition.
        let is_more = |fact: &&String| !["detach", "end", "close", "to "].iter().any(|start| fact.starts_with(start));
        let more: Vec<_> = answers.difference(&expected).filter(is_more).collect();
        assert!(more.is_empty(), "{id}: said besides {more:#?}");
    }
}
