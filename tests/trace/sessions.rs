//! Whole sessions between hubwire, or an SDK, and the emulator, traced in every form.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hubwire::emulator::{Builder, Emulator, Fault};
use hubwire::trace::{Form, Tap};
use hubwire::{Batch, Connection, Options, ReceiverOptions, Retry, TryAdd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::captures;
use crate::support::{HUB, batch_of, built, connection_string};

/// What is traced, by the name of its files.
pub(crate) const SESSIONS: [&str; 7] = ["publish", "throttle", "detach", "expiry", "refused", "receive", "python"];
const EXPIRY: &str =
    r#"detach condition=amqp:unauthorized-access text="ExpiredToken: the token has ended." after-deliveries=1"#;

/// Within the life of the captured tokens.
fn started_at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_377_000)
}

/// What a tap has written.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) text: Vec<u8>,
    pub(crate) json: Vec<u8>,
    pub(crate) pcapng: Vec<u8>,
    pub(crate) recording: Vec<u8>,
}

/// A file in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    pub(crate) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plays a session, and gives what a tap has made of it.
pub(crate) async fn traced(session: &str) -> Traced {
    let pages = [Page::default(), Page::default(), Page::default(), Page::default()];
    let [text, json, pcapng, recording] = pages.clone();
    let tap = Tap::builder()
        .to(Form::Text, text)
        .to(Form::Json, json)
        .to(Form::Pcapng, pcapng)
        .to(Form::Recording, recording)
        .starting_at(started_at())
        .build();
    play(session, &tap).await;
    tap.finish();
    let [text, json, pcapng, recording] = pages.map(|page| page.take());
    Traced { text, json, pcapng, recording }
}

async fn play(session: &str, tap: &Tap) {
    match session {
        "publish" => publish(tap).await,
        "throttle" => faulty(tap, "reject condition=com.microsoft:server-busy").await,
        "detach" => faulty(tap, "detach condition=amqp:link:detach-forced after-deliveries=1").await,
        "expiry" => faulty(tap, EXPIRY).await,
        "refused" => refused(tap).await,
        "receive" => receive(tap).await,
        "python" => python(tap).await,
        other => panic!("no session {other}"),
    }
}

fn emulator(builder: Builder) -> Emulator {
    built(builder.starts_at(started_at()))
}

fn options(tap: &Tap) -> Options {
    let retry = Retry::default();
    Options::default().tap(tap).container_id("traced").wall_clock(started_at).retry(retry).seed(7)
}

async fn connect(emulator: &Emulator, options: &Options) -> Connection {
    Connection::open_over(emulator.connect(), &connection_string(emulator), options).await.expect("it opens")
}

async fn publish(tap: &Tap) {
    let emulator = emulator(Emulator::builder());
    let connection = connect(&emulator, &options(tap)).await;
    let sender = connection.sender(HUB).await.expect("attached");
    sender.send(batch_of(sender.batch(), ["first event", "second event", "..."])).await.expect("accepted");
    let keyed = sender.batch_with_partition_key("device-42").expect("a key");
    sender.send(batch_of(keyed, ["21.5"])).await.expect("accepted");
    connection.event_hub_properties(HUB).await.expect("told");
    connection.close().await;
}

/// Two batches to an emulator that does something wrong in between.
async fn faulty(tap: &Tap, fault: &str) {
    let fault: Fault = fault.parse().expect("a fault");
    let emulator = emulator(Emulator::builder().fault(fault));
    let connection = connect(&emulator, &options(tap)).await;
    let sender = connection.sender(HUB).await.expect("attached");
    for event in ["first event", "second event"] {
        sender.send(batch_of(sender.batch(), [event])).await.expect("accepted in the end");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    connection.close().await;
}

async fn refused(tap: &Tap) {
    let emulator = emulator(Emulator::builder().rule("RootManageSharedAccessKey", "b3RoZXI="));
    let wrong = emulator.connection_string(None).replace("b3RoZXI=", "d3Jvbmc=");
    let wrong = hubwire::ConnectionString::parse(&wrong).expect("well-formed");
    let connection = Connection::open_over(emulator.connect(), &wrong, &options(tap)).await.expect("it opens");
    assert!(connection.sender(HUB).await.is_err());
    connection.close().await;
}

async fn receive(tap: &Tap) {
    let emulator = emulator(Emulator::builder());
    let publisher = connect(&emulator, &Options::default().wall_clock(started_at)).await;
    let sender = publisher.partition_sender(HUB, "0").await.expect("attached");
    let mut batch: Batch = sender.batch();
    for number in 0..3 {
        assert_eq!(batch.try_add(format!("event {number}")), TryAdd::Added);
    }
    sender.send(batch).await.expect("accepted");
    publisher.close().await;
    let connection = connect(&emulator, &options(tap)).await;
    let mut receiver = connection.receiver(HUB, "0", &ReceiverOptions::default()).await.expect("attached");
    for _ in 0..3 {
        receiver.recv().await.expect("an event");
    }
    connection.close().await;
}

/// The Python SDK, as it was captured; seen from the emulator.
async fn python(tap: &Tap) {
    let emulator = emulator(Emulator::builder().event_hub("eh1", 4).tap(tap));
    let mut stream = emulator.connect();
    let mut answers = vec![0; 64 * 1024];
    for frame in captures::of_client("py-2") {
        stream.write_all(&frame).await.expect("taken");
        // Long enough for the answer.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let _ = tokio::time::timeout(Duration::from_micros(1), stream.read(&mut answers)).await;
    }
    drop(stream);
    tokio::time::sleep(Duration::from_millis(1)).await;
}
