//! What the emulator costs each batch, beside a sink that reads the same bytes and no more.
//!
//! A client without protocol logic ("blast") writes pre-encoded batches of 1 MiB to a loopback socket, up to eight of them
//! unsettled. The peer is the emulator, or a sink that counts frames and settles each batch. Both run on a thread of their
//! own, so that the slower of the two ends is what is measured. Rounds alternate, and the median counts. Beside the time
//! stands the CPU time of the peer's thread for each batch, where the system tells it (Linux).
//!
//! Then hubwire's own client publishes to the emulator, packing each batch afresh, and the CPU time of each end is told: the
//! end that uses more of it is the one that holds the other up. First an emulator that holds as much as it may, and reads into
//! the memory of what it drops, as in any long run; then one that touches its memory for the first time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use hubwire::emulator::Emulator;
use hubwire::wire::event::{Body, Event};
use hubwire::wire::sas::sign;
use hubwire::wire::value::Value;
use hubwire::{Batch, Connection, ConnectionString, Options, Sender};
use tokio::task::JoinSet;

/// The largest message, and so the largest batch.
const BATCH_LEN: usize = 1_048_576;
const MAX_FRAME_LEN: usize = 65_536;
/// Batches on their way without an outcome.
const WINDOW: usize = 8;
const BATCHES_IN_A_ROUND: usize = 200;
const ROUNDS: usize = 7;
/// What the emulator holds at most.
const RETENTION_LEN: usize = 64 << 20;
/// Batches before a round counts: they fill what the emulator holds, so that the round finds it as a long run would.
const BATCHES_BEFORE: usize = RETENTION_LEN / BATCH_LEN + 2 * WINDOW;

fn main() {
    let is_trial = std::env::args().any(|arg| arg == "--test");
    let (batches, rounds) = if is_trial { (3, 1) } else { (BATCHES_IN_A_ROUND, ROUNDS) };
    println!("{:>10} {:>34} {:>34} {:>14} {:>9}", "event", "into a sink", "into the emulator", "time", "CPU");
    for event_len in [100, 1_024, 60 * 1_024] {
        let (payload, events) = packed(event_len);
        let (mut sink, mut emulated) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            sink.push(blast_at_sink(&payload, batches));
            emulated.push(blast_at_emulator(&payload, batches));
        }
        let (sink, emulated) = (median(sink), median(emulated));
        println!(
            "{event_len:>8} B {:>34} {:>34} {:>8.2} times {:>9.2}",
            sink.text(events),
            emulated.text(events),
            emulated.time.as_secs_f64() / sink.time.as_secs_f64(),
            emulated.cpu.as_secs_f64() / sink.cpu.as_secs_f64()
        );
    }
    for (is_full, title) in [(true, "full"), (false, "filling")] {
        println!("{:>10} {:>34} {:>34} {:>14}", "event", "hubwire's client", format!("the emulator, {title}"), "CPU");
        for event_len in [100, 1_024, 60 * 1_024] {
            let (_, events) = packed(event_len);
            let (clients, emulated) = (0..rounds).map(|_| publish_to_emulator(event_len, batches, is_full)).unzip();
            let (client, emulated) = (median(clients), median(emulated));
            println!(
                "{event_len:>8} B {:>34} {:>34} {:>8.2} times",
                client.text(events),
                emulated.text(events),
                emulated.cpu.as_secs_f64() / client.cpu.as_secs_f64()
            );
        }
    }
}

/// What a batch took in a round of them: on the clock, and of a thread's CPU.
#[derive(Clone, Copy)]
struct Took {
    time: Duration,
    cpu: Duration,
}

impl Took {
    fn of(time: Duration, cpu: Duration, batches: usize) -> Self {
        Self { time: time / batches as u32, cpu: cpu / batches as u32 }
    }

    fn text(self, events: usize) -> String {
        format!("{:.0?} ({:.0?} CPU) {}", self.time, self.cpu, rate(events, self.time))
    }
}

/// The median of each.
fn median(rounds: Vec<Took>) -> Took {
    let median = |of: fn(&Took) -> Duration| {
        let mut times: Vec<Duration> = rounds.iter().map(of).collect();
        times.sort();
        times[times.len() / 2]
    };
    Took { time: median(|took| took.time), cpu: median(|took| took.cpu) }
}

/// Where the system tells what this thread has used, if it does.
fn this_thread() -> PathBuf {
    Path::new("/proc").join(std::fs::read_link("/proc/thread-self").unwrap_or_default()).join("schedstat")
}

/// What a thread has used so far; nothing where the system does not tell.
fn cpu_of(thread: &Path) -> Duration {
    let told = std::fs::read_to_string(thread).unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

fn rate(events: usize, time: Duration) -> String {
    let per_second = events as f64 / time.as_secs_f64();
    if per_second >= 1e6 { format!("{:.2} M/s", per_second / 1e6) } else { format!("{:.0} k/s", per_second / 1e3) }
}

/// A full batch of events of `event_len` bytes, and how many there are.
fn packed(event_len: usize) -> (Vec<u8>, usize) {
    let mut batch = Batch::new(BATCH_LEN);
    let body = vec![7_u8; event_len];
    while batch.try_add(&body[..]).is_added() {}
    (batch.encoded().to_vec(), batch.len())
}

// ---- frames ------------------------------------------------------------------------------------------------------

fn frame(channel: u16, performative: &Value, payload: &[u8]) -> Vec<u8> {
    let mut body = BytesMut::new();
    performative.encode(&mut body);
    let mut frame = ((8 + body.len() + payload.len()) as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&[2, 0]);
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&body);
    frame.extend_from_slice(payload);
    frame
}

fn performative(code: u64, fields: Vec<Value>) -> Value {
    Value::described(code, Value::List(fields))
}

fn attach(name: &str, handle: u32, is_receiver: bool, source: &str, target: &str) -> Vec<u8> {
    let terminus = |code, address: &str| performative(code, vec![address.into()]);
    let fields = vec![
        name.into(),
        handle.into(),
        is_receiver.into(),
        Value::Null,
        Value::Null,
        terminus(0x28, source),
        terminus(0x29, target),
        Value::Null,
        Value::Null,
        0_u32.into(),
    ];
    frame(0, &performative(0x12, fields), &[])
}

fn transfer(handle: u32, delivery_id: u32, format: u32, more: bool, payload: &[u8]) -> Vec<u8> {
    let tag = Bytes::copy_from_slice(&delivery_id.to_be_bytes());
    let fields = vec![handle.into(), delivery_id.into(), tag.into(), format.into(), false.into(), more.into()];
    frame(0, &performative(0x14, fields), payload)
}

/// The frames of a batch, as they are written time and again: only the delivery's number changes.
struct Blast {
    frames: Vec<u8>,
    /// Where the number stands: as delivery-id and as delivery-tag.
    places: [usize; 2],
}

impl Blast {
    fn new(handle: u32, payload: &[u8]) -> Self {
        // A number of four bytes, whose bytes can be found again.
        const MARK: u32 = 0x7afe_c0de;
        let (first, mut rest) = payload.split_at(payload.len().min(MAX_FRAME_LEN - 64));
        let mut frames = transfer(handle, MARK, 0x8001_3700, !rest.is_empty(), first);
        let mut marks = frames.windows(4).enumerate().filter(|(_, window)| *window == MARK.to_be_bytes());
        let mut next = || marks.next().expect("the number, twice").0;
        let places = [next(), next()];
        while !rest.is_empty() {
            let (now, after) = rest.split_at(rest.len().min(MAX_FRAME_LEN - 64));
            let more: Value = (!after.is_empty()).into();
            let fields = vec![handle.into(), Value::Null, Value::Null, Value::Null, Value::Null, more];
            frames.extend(frame(0, &performative(0x14, fields), now));
            rest = after;
        }
        Self { frames, places }
    }

    fn number(&mut self, delivery_id: u32) -> &[u8] {
        for place in self.places {
            self.frames[place..place + 4].copy_from_slice(&delivery_id.to_be_bytes());
        }
        &self.frames
    }
}

/// What a peer says, frame by frame.
struct Frames {
    stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
}

impl Frames {
    fn new(stream: &TcpStream) -> Self {
        Self { stream: stream.try_clone().expect("a second handle"), buffer: Vec::new(), at: 0 }
    }

    fn more(&mut self) {
        let mut bytes = [0; 65_536];
        let len = self.stream.read(&mut bytes).expect("a peer");
        assert!(len > 0, "the peer left");
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(&bytes[..len]);
    }

    fn skip(&mut self, len: usize) {
        while self.buffer.len() - self.at < len {
            self.more();
        }
        self.at += len;
    }

    /// The code of the next performative, and its fields.
    fn next(&mut self) -> (u64, Vec<Value>) {
        loop {
            self.skip(4);
            let len = u32::from_be_bytes(self.buffer[self.at - 4..self.at].try_into().expect("four bytes")) as usize;
            self.at -= 4;
            self.skip(len);
            let frame = &self.buffer[self.at - len..self.at];
            if len > 8 {
                let (value, _) = Value::decode_prefix(&Bytes::copy_from_slice(&frame[8..])).expect("a performative");
                if let Value::Described(parts) = value
                    && let (Value::Ulong(code), Value::List(fields)) = *parts
                {
                    return (code, fields);
                }
            }
        }
    }

    fn until(&mut self, code: u64) -> Vec<Value> {
        loop {
            let (found, fields) = self.next();
            assert!(![0x16, 0x17, 0x18].contains(&found), "the peer refused: {fields:?}");
            if found == code {
                return fields;
            }
        }
    }
}

/// Opens a connection to the emulator up to a link that has credit.
fn open(stream: &mut TcpStream, frames: &mut Frames) {
    let mut init = BytesMut::new();
    performative(0x41, vec![Value::symbol("ANONYMOUS")]).encode(&mut init);
    stream.write_all(b"AMQP\x03\x01\x00\x00").expect("a peer");
    stream.write_all(&((8 + init.len()) as u32).to_be_bytes()).expect("a peer");
    stream.write_all(&[2, 1, 0, 0]).expect("a peer");
    stream.write_all(&init).expect("a peer");
    frames.skip(8);
    frames.until(0x40);
    frames.until(0x44);
    let mut say = |bytes: &[u8]| stream.write_all(bytes).expect("a peer");
    say(b"AMQP\x00\x01\x00\x00");
    frames.skip(8);
    let window: Value = 1_000_000_u32.into();
    say(&frame(0, &performative(0x10, vec!["blast".into(), "localhost".into(), (MAX_FRAME_LEN as u32).into()]), &[]));
    say(&frame(0, &performative(0x11, vec![Value::Null, 0_u32.into(), window.clone(), window]), &[]));
    say(&attach("answers", 0, true, "$cbs", "me"));
    say(&attach("requests", 1, false, "me", "$cbs"));
    let credit = vec![0_u32, 1_000_000, 0, 1_000_000, 0, 0, 10];
    say(&frame(0, &performative(0x13, credit.into_iter().map(Value::from).collect()), &[]));
    frames.until(0x13);
    say(&transfer(1, 0, 0, false, &put_token()));
    frames.until(0x14);
    say(&attach("events", 2, false, "me", "telemetry"));
    frames.until(0x13);
}

#[allow(clippy::disallowed_methods, reason = "a token is dated")]
fn put_token() -> Bytes {
    let audience = "sb://localhost/telemetry";
    let ttl = Duration::from_secs(3_600);
    let token = sign(audience, "RootManageSharedAccessKey", "SAS_KEY_VALUE", SystemTime::now(), ttl);
    let request = Event::from_body(Body::Value(token.as_str().into()))
        .with_message_id(1)
        .with_property("operation", "put-token")
        .with_property("type", "servicebus.windows.net:sastoken")
        .with_property("name", audience);
    request.encode().expect("a request")
}

/// Writes batches, and waits when too many have no outcome yet; the time from the first byte to the last outcome.
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn blast(stream: &mut TcpStream, frames: &mut Frames, blast: &mut Blast, first_id: u32, batches: usize) -> Duration {
    let began = Instant::now();
    let (mut sent, mut settled) = (0, 0);
    while settled < batches {
        while sent < batches && sent - settled < WINDOW {
            stream.write_all(blast.number(first_id + sent as u32)).expect("a peer");
            sent += 1;
        }
        let fields = frames.until(0x15);
        let first = fields[1].as_i64().expect("a delivery-id");
        let last = fields.get(2).and_then(Value::as_i64).unwrap_or(first);
        settled += (last - first + 1) as usize;
    }
    began.elapsed()
}

/// An emulator on a thread of its own.
struct Served {
    address: SocketAddr,
    connection_string: String,
    /// Where the CPU time of its thread stands.
    cpu: PathBuf,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Served {
    fn start() -> Self {
        let (told, heard) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            runtime().block_on(async {
                let builder = Emulator::builder().event_hub("telemetry", 4).retention_bytes(RETENTION_LEN as u64);
                let listening = builder.build().expect("a hub").listen("127.0.0.1:0").await.expect("a port");
                told.send((listening.local_addr(), listening.connection_string(None), this_thread()))
                    .expect("a listener");
                let _ = stopped.await;
            });
        });
        let (address, connection_string, cpu) = heard.recv().expect("an address");
        Self { address, connection_string, cpu, stop, thread }
    }

    fn stop(self) {
        let _ = self.stop.send(());
        self.thread.join().expect("no panic");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn blast_at_emulator(payload: &[u8], batches: usize) -> Took {
    let served = Served::start();
    let mut stream = TcpStream::connect(served.address).expect("a peer");
    stream.set_nodelay(true).expect("a socket");
    let mut frames = Frames::new(&stream);
    open(&mut stream, &mut frames);
    let mut pattern = Blast::new(2, payload);
    // Number 0 was the token's.
    blast(&mut stream, &mut frames, &mut pattern, 1, BATCHES_BEFORE);
    let cpu_before = cpu_of(&served.cpu);
    let time = blast(&mut stream, &mut frames, &mut pattern, 1 + BATCHES_BEFORE as u32, batches);
    let took = Took::of(time, cpu_of(&served.cpu) - cpu_before, batches);
    served.stop();
    took
}

/// What hubwire's own client takes for batches that it packs afresh, and what the emulator takes for them: one that holds
/// as much as it may, or one that touches its memory for the first time.
fn publish_to_emulator(event_len: usize, batches: usize, is_full: bool) -> (Took, Took) {
    let served = Served::start();
    let to = ConnectionString::parse(&served.connection_string).expect("well-formed");
    let took = runtime().block_on(async {
        let publisher = Publisher::open(&to).await;
        publisher.publish(event_len, if is_full { BATCHES_BEFORE } else { WINDOW }).await;
        let batches = if is_full { batches } else { batches.min(RETENTION_LEN / BATCH_LEN - WINDOW) };
        let cpu_before = cpu_of(&served.cpu);
        let client = publisher.publish(event_len, batches).await;
        let emulated = Took { time: client.time, cpu: (cpu_of(&served.cpu) - cpu_before) / batches as u32 };
        publisher.connection.close().await;
        (client, emulated)
    });
    served.stop();
    took
}

/// hubwire's own client.
struct Publisher {
    connection: Connection,
    sender: Arc<Sender>,
}

impl Publisher {
    async fn open(to: &ConnectionString) -> Self {
        let options = Options::default().max_in_flight_batches(WINDOW);
        let connection = Connection::open(to, &options).await.expect("a peer");
        let sender = Arc::new(connection.sender("telemetry").await.expect("a link"));
        Self { connection, sender }
    }

    #[allow(clippy::disallowed_methods, reason = "a bench measures time")]
    async fn publish(&self, event_len: usize, batches: usize) -> Took {
        let body = vec![7_u8; event_len];
        let thread = this_thread();
        let (began, cpu_before) = (Instant::now(), cpu_of(&thread));
        let (mut sends, mut spare) = (JoinSet::new(), Vec::new());
        for _ in 0..batches {
            if sends.len() == WINDOW {
                spare.push(sends.join_next().await.expect("a send").expect("no panic"));
            }
            let mut batch = spare.pop().unwrap_or_else(|| self.sender.batch());
            while batch.try_add(&body[..]).is_added() {}
            let sender = self.sender.clone();
            sends.spawn(async move { sender.send(batch).await.expect("accepted").into_batch() });
        }
        sends.join_all().await;
        Took::of(began.elapsed(), cpu_of(&thread) - cpu_before, batches)
    }
}

fn blast_at_sink(payload: &[u8], batches: usize) -> Took {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut pattern = Blast::new(2, payload);
    let batch_len = pattern.frames.len();
    let sink = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        // As much at once as the emulator may read.
        let mut buffer = vec![0; 262_144];
        let (mut read, mut settled) = (0, 0);
        while settled < batches {
            read += stream.read(&mut buffer).expect("a client");
            while settled < batches && read >= (settled + 1) * batch_len {
                let id = settled as u32;
                let accepted = performative(0x24, Vec::new());
                let fields = vec![true.into(), id.into(), id.into(), true.into(), accepted];
                stream.write_all(&frame(0, &performative(0x15, fields), &[])).expect("a client");
                settled += 1;
            }
        }
        cpu_of(&this_thread())
    });
    let mut stream = TcpStream::connect(address).expect("a peer");
    stream.set_nodelay(true).expect("a socket");
    let mut frames = Frames::new(&stream);
    let time = blast(&mut stream, &mut frames, &mut pattern, 0, batches);
    Took::of(time, sink.join().expect("no panic"), batches)
}
