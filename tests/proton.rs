//! hubwire and a peer of another family, in both directions: Qpid Proton, through its Python binding.
//!
//! `tests/interop/setup` makes the environment that Proton runs in. Without it these tests say that they were skipped;
//! with `CI` or `HUBWIRE_INTEROP=1` set they fail instead.

#[path = "interop/json.rs"]
mod json;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use hubwire::emulator::Emulator;
use hubwire::wire::batch::MESSAGE_FORMAT;
use hubwire::wire::event::{Body, Header, MessageId, PARTITION_KEY, Properties};
use hubwire::wire::value::{Array, Value};
use hubwire::{Batch, Connection, ConnectionString, Error, Event, Options, SendError, Sender};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

const HUB: &str = "telemetry";
/// Nothing that is waited for takes this long; a peer that hangs must not hang the tests.
const PATIENCE: Duration = Duration::from_secs(60);
const FRAME_LEN: u32 = 65_536;

/// The interpreter of the environment that `tests/interop/setup` makes; `None`, said aloud, when it was not run.
fn python() -> Option<PathBuf> {
    let beside_target = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop-venv");
    let venv = std::env::var_os("HUBWIRE_INTEROP_VENV").map_or_else(beside_target, PathBuf::from);
    let python = venv.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    let skipped = format!("skipped: there is no {}; run tests/interop/setup", python.display());
    assert!(!is_required(), "{skipped}");
    println!("{skipped}");
    None
}

fn is_required() -> bool {
    std::env::var_os("CI").is_some() || std::env::var_os("HUBWIRE_INTEROP").is_some_and(|value| value == "1")
}

/// A script that runs, and what it prints. It ends when this is dropped.
struct Script {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Script {
    fn start(name: &str, argument: &str) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name);
        let mut command = Command::new(python()?);
        // `-B`: no byte code beside the sources.
        command.arg("-B").arg(path).arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::unbounded_channel();
        // Ends with the script's output.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Some(Self { child, lines })
    }

    /// The next line; `None` once the script has ended.
    async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, self.lines.recv()).await.expect("the script gets on")
    }

    /// The next line, which is JSON.
    async fn report(&mut self) -> Json {
        let line = self.line().await.expect("the script says more; what it died of is on its standard error");
        serde_json::from_str(&line).expect("a line of JSON")
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to Proton's hub, which takes frames of up to `max_frame_size` bytes; `None` when skipped.
async fn connected(max_frame_size: u32) -> Option<(Script, Connection)> {
    let mut hub = Script::start("proton_hub.py", &max_frame_size.to_string())?;
    let ready = hub.line().await.expect("a first line");
    let port = ready.strip_prefix("ready ").expect("ready");
    let text = format!(
        "Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true"
    );
    let connection_string = ConnectionString::parse(&text).expect("well-formed");
    let connection = Connection::open(&connection_string, &Options::default()).await.expect("Proton opens");
    Some((hub, connection))
}

/// A sender to the hub that takes everything; the request for its token has been read from `hub`.
async fn sender(hub: &mut Script, connection: &Connection) -> Sender {
    let sender = connection.sender(HUB).await.expect("Proton attaches");
    assert!(!hub.report().await["put_token"].is_null());
    sender
}

fn fill(mut batch: Batch, events: &[Event]) -> Batch {
    for event in events {
        assert!(batch.try_add(event).is_added(), "{event:?} fits");
    }
    batch
}

/// Sends `events` and returns what Proton has understood; what `Message` made of their bodies was compared already.
async fn understood(hub: &mut Script, sender: &Sender, batch: Batch, events: &[Event]) -> Json {
    let accepted = sender.send(fill(batch, events)).await.expect("Proton accepts");
    assert_eq!(accepted.events, events.len());
    let mut report = hub.report().await["message"].take();
    assert_eq!(report["message_format"], MESSAGE_FORMAT);
    assert_eq!(report["len"], accepted.message_len);
    assert_eq!(report["address"], HUB);
    let messages = report["messages"].take();
    assert_eq!(messages.as_array().map(Vec::len), Some(events.len()));
    for (event, message) in events.iter().zip(messages.as_array().expect("a list")) {
        compare_message(event, message);
    }
    report
}

/// The second witness: Proton's own `Message`, which is what its users see.
fn compare_message(event: &Event, message: &Json) {
    let names: Vec<_> = event.application_properties().iter().map(|(name, _)| name).collect();
    assert_eq!(message["properties"], json!(names));
    assert_eq!(message["subject"], json!(event.properties().and_then(|properties| properties.subject.as_ref())));
    if let Some(data) = event.data() {
        assert_eq!(message["body"], json::hex(data));
    }
}

fn described(events: &[Event]) -> Json {
    events.iter().map(json::event).collect()
}

fn every_simple_type() -> Vec<(&'static str, Value)> {
    vec![
        ("null", Value::Null),
        ("false", false.into()),
        ("true", true.into()),
        ("ubyte", u8::MAX.into()),
        ("ushort", u16::MAX.into()),
        ("uint 0", 0_u32.into()),
        ("uint 255", 255_u32.into()),
        ("uint 256", 256_u32.into()),
        ("uint", u32::MAX.into()),
        ("ulong 0", 0_u64.into()),
        ("ulong 255", 255_u64.into()),
        ("ulong", u64::MAX.into()),
        ("byte", i8::MIN.into()),
        ("short", i16::MIN.into()),
        ("int -128", (-128).into()),
        ("int 128", 128.into()),
        ("int", i32::MIN.into()),
        ("long -128", (-128_i64).into()),
        ("long 128", 128_i64.into()),
        ("long", i64::MIN.into()),
        ("float", f32::MIN_POSITIVE.into()),
        ("float nan", f32::NAN.into()),
        ("double", f64::MAX.into()),
        ("double infinite", f64::NEG_INFINITY.into()),
        ("decimal32", Value::Decimal32([0x22, 0x50, 0, 1])),
        ("decimal64", Value::Decimal64([0x22, 0x34, 0, 0, 0, 0, 0, 1])),
        ("decimal128", Value::Decimal128(*b"sixteen bytes ..")),
        ("char", 'é'.into()),
        ("char beyond", '🦀'.into()),
        ("timestamp", Value::Timestamp(1_700_000_000_123)),
        ("timestamp before", Value::Timestamp(-1)),
        ("uuid", Value::Uuid(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff")),
        ("binary", Bytes::from_static(b"\x00\xff").into()),
        ("binary 256", vec![7; 256].into()),
        ("string", "Füße 🦀".into()),
        ("string empty", "".into()),
        ("string 256", "x".repeat(256).into()),
        ("symbol", Value::symbol("name")),
        ("symbol 256", Value::symbol("x".repeat(256))),
        ("Schlüssel", "a name that is not ASCII".into()),
    ]
}

fn every_property() -> Properties {
    Properties {
        message_id: Some(MessageId::Ulong(u64::MAX)),
        user_id: Some(Bytes::from_static(b"\x00user")),
        to: Some("to".into()),
        subject: Some("Betreff ä".into()),
        reply_to: Some("reply-to".into()),
        correlation_id: Some(MessageId::Uuid(*b"0123456789abcdef")),
        content_type: Some("text/plain".into()),
        content_encoding: Some("gzip".into()),
        absolute_expiry_unix_millis: Some(1_700_000_000_123),
        creation_unix_millis: Some(-1),
        group_id: Some("group".into()),
        group_sequence: Some(u32::MAX),
        reply_to_group_id: Some("reply-group".into()),
    }
}

/// An event with every section, and every type in each place that takes it.
fn everything() -> Event {
    let header = Header {
        durable: Some(true),
        priority: Some(9),
        ttl_millis: Some(60_000),
        first_acquirer: Some(true),
        delivery_count: Some(3),
    };
    let event = Event::new("body")
        .with_header(header)
        .with_delivery_annotation("x-opt-hop", 1_u32)
        .with_annotation("x-opt-list", vec![Value::Null, Value::List(vec![]), "text".into()])
        .with_annotation("x-opt-map", Value::Map(vec![("key".into(), Value::Map(vec![])), (1_u64.into(), true.into())]))
        .with_annotation("x-opt-array", Array::strings(["one", "two"]))
        .with_annotation("x-opt-described", Value::described(Value::symbol("com.microsoft:timespan"), 10_000_i64))
        .with_properties(every_property())
        .with_footer("x-opt-end", Value::Binary(Bytes::from_static(b"end")));
    every_simple_type().into_iter().fold(event, |event, (name, value)| event.with_property(name, value))
}

/// [`everything`], the other kinds of ids, and the other kinds of bodies.
fn every_kind_of_event() -> Vec<Event> {
    vec![
        everything(),
        Event::new("").with_message_id("id").with_correlation_id(Bytes::from_static(b"\x00id")),
        Event::new("durable").with_header(Header { durable: Some(false), ..Header::default() }),
        Event::from_body(Body::DataSections(vec!["one".into(), "".into(), "three".into()])),
        Event::from_body(Body::Value(Value::Map(vec![("key".into(), 1.into())]))),
        Event::from_body(Body::Sequences(vec![vec![1.into()], vec![]])),
        Event::from_body(Body::Absent).with_subject("no body"),
    ]
}

#[tokio::test]
async fn proton_reads_every_section_and_type_as_it_was_sent() {
    let Some((mut hub, connection)) = connected(FRAME_LEN).await else { return };
    let sender = sender(&mut hub, &connection).await;
    let events = every_kind_of_event();
    let report = understood(&mut hub, &sender, sender.batch(), &events).await;
    assert_eq!(report["events"], described(&events));
    let nothing: Vec<_> =
        report["envelope"].as_object().expect("sections").values().filter(|it| !it.is_null()).collect();
    assert!(nothing.is_empty(), "{nothing:?}");
    connection.close().await;
}

#[tokio::test]
async fn proton_reads_the_partition_key_on_the_batch_and_on_each_event() {
    let Some((mut hub, connection)) = connected(FRAME_LEN).await else { return };
    let sender = sender(&mut hub, &connection).await;
    let events = every_kind_of_event();
    let key = "gerät-42";
    let batch = sender.batch_with_partition_key(key).expect("a fine key");
    let report = understood(&mut hub, &sender, batch, &events).await;
    let keyed: Vec<Event> = events.into_iter().map(|event| with_key(event, key)).collect();
    assert_eq!(report["events"], described(&keyed));
    assert_eq!(report["envelope"]["header"], json!({ "durable": { "bool": true } }));
    assert_eq!(report["envelope"]["message_annotations"], json!([[{ "symbol": PARTITION_KEY }, { "string": key }]]));
    connection.close().await;
}

/// `event` as a batch with a partition key makes it.
fn with_key(event: Event, key: &str) -> Event {
    let header = event.header().cloned().unwrap_or_default();
    event.with_header(Header { durable: Some(true), ..header }).with_annotation(PARTITION_KEY, key)
}

#[tokio::test]
async fn proton_reads_bodies_of_every_length() {
    let Some((mut hub, connection)) = connected(FRAME_LEN).await else { return };
    let sender = sender(&mut hub, &connection).await;
    let lengths = [0, 1, 249, 250, 251, 254, 255, 256, 70_000];
    let mut events: Vec<Event> = lengths.iter().map(|&len| Event::new(vec![0xe9; len])).collect();
    events.push(Event::new("Grüße, 世界, 🦀"));
    let report = understood(&mut hub, &sender, sender.batch(), &events).await;
    assert_eq!(report["events"], described(&events));
    connection.close().await;
}

#[tokio::test]
async fn a_mebibyte_reaches_proton_whole_in_many_frames() {
    for max_frame_size in [512, 4_096, 65_536] {
        let Some((mut hub, connection)) = connected(max_frame_size).await else { return };
        let sender = sender(&mut hub, &connection).await;
        assert_eq!(sender.max_message_size(), 1_048_576);
        let events: Vec<Event> = (0..104).map(|number| Event::new(vec![number; 10_000])).collect();
        let report = understood(&mut hub, &sender, sender.batch(), &events).await;
        assert!(report["events"] == described(&events), "frames of {max_frame_size} bytes");
        assert!(report["len"].as_u64() > Some(1_040_000), "{}", report["len"]);
        connection.close().await;
    }
}

#[tokio::test]
async fn many_batches_under_way_are_all_settled_by_proton() {
    let Some((mut hub, connection)) = connected(4_096).await else { return };
    let sender = sender(&mut hub, &connection).await;
    let mut sends = tokio::task::JoinSet::new();
    let sender = std::sync::Arc::new(sender);
    for number in 0..100_u8 {
        let (sender, batch) = (sender.clone(), fill(sender.batch(), &[Event::new(vec![number; 5_000])]));
        sends.spawn(async move { sender.send(batch).await });
    }
    assert!(sends.join_all().await.iter().all(Result::is_ok));
    let mut arrived = Vec::new();
    for _ in 0..100 {
        let body = hub.report().await["message"]["events"][0]["body"][0]["data"].take();
        arrived.push(body.as_str().expect("hex")[..2].to_owned());
    }
    arrived.sort_unstable();
    assert_eq!(arrived, (0..100_u8).map(|number| json::hex(&[number])).collect::<Vec<_>>());
    connection.close().await;
}

#[tokio::test]
async fn proton_reads_the_request_for_a_token() {
    let Some((mut hub, connection)) = connected(FRAME_LEN).await else { return };
    let _sender = connection.sender(HUB).await.expect("Proton attaches");
    let report = hub.report().await;
    assert_eq!(report["message_format"], 0);
    let request = &report["put_token"];
    let properties = request["application_properties"].as_array().expect("they are there");
    let property = |name| properties.iter().find(|pair| pair[0] == json!({ "string": name })).map(|pair| &pair[1]);
    assert_eq!(property("operation"), Some(&json!({ "string": "put-token" })));
    assert_eq!(property("type"), Some(&json!({ "string": "servicebus.windows.net:sastoken" })));
    let audience = property("name").and_then(|name| name["string"].as_str()).expect("a string");
    assert!(audience.ends_with("/telemetry"), "{audience}");
    assert!(property("expiration").is_some_and(|expiration| expiration["timestamp"].is_i64()), "{properties:?}");
    let token = request["body"][0]["value"]["string"].as_str().expect("an amqp-value that is a string");
    assert!(token.starts_with("SharedAccessSignature sr="), "{token}");
    assert!(!request["properties"]["message_id"].is_null() && !request["properties"]["reply_to"].is_null());
    connection.close().await;
}

#[tokio::test]
async fn what_proton_refuses_is_told_in_its_own_words() {
    let Some((_hub, connection)) = connected(FRAME_LEN).await else { return };
    let error = connection.sender("missing").await.expect_err("no such hub");
    assert!(matches!(&error, Error::Closed { condition, .. } if condition == "amqp:not-found"), "{error:?}");

    let sender = connection.sender("rejects").await.expect("Proton attaches");
    let error = sender.send(fill(sender.batch(), &[Event::new("event")])).await.expect_err("rejected");
    let told = |condition: &str, description: &str| condition == "amqp:not-allowed" && description == "not here";
    assert!(
        matches!(&error, SendError::Rejected { condition, description, .. } if told(condition, description)),
        "{error:?}"
    );

    let sender = connection.sender("releases").await.expect("the connection lives on");
    let error = sender.send(fill(sender.batch(), &[Event::new("event")])).await.expect_err("released");
    assert!(matches!(error, SendError::NotSent { cause: Error::Released, .. }), "{error:?}");
    connection.close().await;
}

/// What Proton's publisher sends, in its order: what it is, how many events, and the outcome or the condition.
const PUBLICATIONS: [(&str, usize, &str); 8] = [
    ("batch", 4, "accepted"),
    ("single", 1, "accepted"),
    ("batch of many frames", 300, "accepted"),
    ("message of many frames", 1, "accepted"),
    ("too large", 0, "amqp:link:message-size-exceeded"),
    ("no message", 0, "amqp:decode-error"),
    ("after the refusals", 1, "accepted"),
    ("keyed batch", 1, "accepted"),
];

#[tokio::test]
async fn the_emulator_serves_proton() {
    let emulator = Emulator::builder().event_hub(HUB, 4).build().expect("a hub");
    let listening = emulator.listen("127.0.0.1:0").await.expect("a free port");
    let Some(mut proton) = Script::start("proton_sender.py", &listening.connection_string(Some(HUB))) else { return };
    expect_authorization(&mut proton).await;

    let mut sent = Vec::new();
    for (what, events, outcome) in PUBLICATIONS {
        if what == "keyed batch" {
            assert_eq!(proton.report().await["attached"], HUB);
        }
        let report = proton.report().await;
        expect_outcome(&report, what, outcome);
        let described = report["events"].as_array().expect("a list");
        assert_eq!(described.len(), events, "{what}");
        sent.extend(described.iter().cloned());
    }
    assert_eq!(proton.report().await, json!({ "closed": null }));
    assert_eq!(proton.line().await, None);

    let (keyed, unkeyed): (Vec<_>, Vec<_>) =
        emulator.events(HUB).expect("there").into_iter().partition(|event| event.partition_key.is_some());
    assert_eq!(keyed.len(), 1);
    assert_eq!(keyed[0].partition_key.as_deref(), Some("device-42"));
    assert!(unkeyed.iter().all(|event| event.partition_id == 0));
    let stored = unkeyed.iter().chain(&keyed).map(|event| json::event(&event.event().expect("decodes")));
    assert!(stored.eq(sent), "what is stored is what was sent");
}

/// A wrong key and what comes of it, a hub that is not there, the right key for all that is.
async fn expect_authorization(proton: &mut Script) {
    expect_answer(&proton.report().await, 401, "InvalidSignature");
    expect_refusal(&proton.report().await, HUB, "amqp:unauthorized-access");

    expect_answer(&proton.report().await, 404, "could not be found");
    expect_answer(&proton.report().await, 202, "Accepted");
    expect_refusal(&proton.report().await, "unknown", "amqp:not-found");

    let attached = proton.report().await;
    assert_eq!(attached["attached"], format!("/{HUB}/Partitions/0"));
    assert_eq!(attached["max_message_size"], 1_048_576);
}

fn expect_answer(report: &Json, status: i32, words: &str) {
    assert_eq!(report["put_token"], status, "{report}");
    assert_eq!(report["status_type"], "int32", "{report}");
    assert_eq!(report["is_answer"], true, "{report}");
    assert!(report["description"].as_str().is_some_and(|description| description.contains(words)), "{report}");
}

fn expect_refusal(report: &Json, address: &str, condition: &str) {
    assert_eq!(report["refused"], address, "{report}");
    assert_eq!(report["condition"], condition, "{report}");
    assert!(report["target"].is_null(), "{report}");
}

fn expect_outcome(report: &Json, what: &str, outcome: &str) {
    assert_eq!(report["sent"], what);
    assert_eq!(report["settled"], true, "{what}");
    if outcome == "accepted" {
        assert_eq!(report["outcome"], "accepted", "{what}: {}", report["condition"]);
    } else {
        assert_eq!(report["outcome"], "rejected", "{what}");
        assert_eq!(report["condition"][0], outcome, "{what}: {}", report["condition"]);
    }
}
