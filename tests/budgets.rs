//! What a publisher may cost, where that can be counted: heap allocations and round trips.
//!
//! Each test says what it counted and what it may count at most; `.ci/budget` puts these lines into its table. A count that
//! falls may be lowered here; one that rises has to be looked at.

mod support;

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use hubwire::bench::sink::{self, Counts};
use hubwire::{Authorization, Batch, Connection, ConnectionString, Handshake, Options, Sender};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use support::HUB;

/// Batches before anything is counted: every buffer has its size by then.
const WARM_UP: usize = 20;
const BATCHES: usize = 100;
/// What a hub takes, and so does the sink.
const MESSAGE_LEN: usize = 1_048_576;
/// Events of 100 B that one frame of 64 KiB holds.
const IN_A_FRAME: usize = 500;

/// Tells what was counted and what is allowed, and holds the one against the other.
#[track_caller]
fn check(what: &str, measured: f64, budget: f64) {
    println!("budget | {what} | {measured} | {budget}");
    assert!(measured <= budget, "{what}: {measured}, of {budget} allowed");
}

/// Allocations on this thread while `run` runs. What another thread allocates in the meantime, a peer's, does not count.
fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

/// Adds events of 100 B, as many as `max` and as fit.
fn fill(mut batch: Batch, max: usize) -> Batch {
    while batch.len() < max && batch.try_add(&[7; 100]).is_added() {}
    batch
}

#[test]
fn adding_to_a_buffer_that_is_there_allocates_nothing() {
    let mut batch = fill(Batch::new(MESSAGE_LEN), usize::MAX);
    let events = batch.len();
    batch.clear();
    let counted = allocations(|| while batch.try_add(&[7; 100]).is_added() {});
    assert_eq!(batch.len(), events);
    check("allocations of try_add, for each event", counted as f64 / events as f64, 0.0);
}

/// A publisher on this thread, and a sink on another.
struct Publisher {
    runtime: Runtime,
    connection: Connection,
    sender: Sender,
    sink: thread::JoinHandle<std::io::Result<()>>,
}

impl Publisher {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let sink = thread::spawn(move || sink::serve(listener.accept()?.0, &Counts::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (connection, sender) = runtime.block_on(async {
            let connection = Connection::open(&string(address), &Options::default()).await.expect("a sink");
            let sender = connection.sender(HUB).await.expect("a link");
            (connection, sender)
        });
        Self { runtime, connection, sender, sink }
    }

    /// Packs a batch of up to `events`, sends it and waits for its outcome, again and again.
    fn publish(&self, mut batch: Batch, events: usize, batches: usize) -> Batch {
        for _ in 0..batches {
            let sending = self.sender.send(fill(batch, events));
            batch = self.runtime.block_on(sending).expect("accepted").into_batch();
        }
        batch
    }

    /// Allocations for each batch, once all is warm.
    fn counted(&self, events: usize) -> f64 {
        let batch = self.publish(self.sender.batch(), events, WARM_UP);
        let counted = allocations(|| drop(self.publish(batch, events, BATCHES)));
        counted as f64 / BATCHES as f64
    }

    fn stop(self) {
        let Self { runtime, connection, sender, sink } = self;
        drop(sender);
        runtime.block_on(connection.close());
        sink.join().expect("no panic").expect("a peer that speaks AMQP");
    }
}

fn string(address: SocketAddr) -> ConnectionString {
    let text =
        format!("Endpoint=sb://{address};SharedAccessKeyName=any;SharedAccessKey=a2V5;UseDevelopmentEmulator=true");
    ConnectionString::parse(&text).expect("well-formed")
}

#[test]
fn publishing_allocates_for_batches_and_not_for_events() {
    let publisher = Publisher::start();
    let (one, many, full) = (publisher.counted(1), publisher.counted(IN_A_FRAME), publisher.counted(usize::MAX));
    publisher.stop();
    check(
        "allocations of publishing, for each event beyond a batch's first",
        (many - one).max(0.0) / (IN_A_FRAME - 1) as f64,
        0.0,
    );
    check("allocations of publishing, for each batch of one frame", one.max(many), 4.0);
    check("allocations of publishing, for each batch of 1 MiB, in 17 frames", full, 4.0);
}

/// What a word takes to get there and an answer to come back, on the paused clock.
const ROUND_TRIP: Duration = Duration::from_millis(1_000);

/// Since `began`. The clock stands still but on the way, give or take the millisecond that timers are exact to.
fn round_trips_since(began: tokio::time::Instant) -> f64 {
    began.elapsed().as_secs_f64() / ROUND_TRIP.as_secs_f64()
}

/// By default SASL header; SASL init; all up to the `$cbs` attaches; token; attach; batch. Optimistic: the first three at
/// once. With SASL PLAIN the token's is saved.
#[tokio::test(start_paused = true)]
async fn the_first_accepted_event_is_six_round_trips_away_or_four() {
    for (handshake, authorization, how, expected) in [
        (Handshake::Stepwise, Authorization::Cbs, "", 6.0),
        (Handshake::Optimistic, Authorization::Cbs, ", optimistic handshake", 4.0),
        (Handshake::Stepwise, Authorization::SaslPlain, ", SASL PLAIN", 5.0),
        (Handshake::Optimistic, Authorization::SaslPlain, ", both", 3.0),
    ] {
        let emulator = support::emulator();
        let (connection_string, stream) = (support::connection_string(&emulator), far_from(emulator.connect()));
        let began = support::now();
        let options = support::options().handshake(handshake).authorization(authorization);
        let connection = Connection::open_over(stream, &connection_string, &options).await.expect("opens");
        let sender = connection.sender(HUB).await.expect("attached");
        sender.send(support::batch_of(sender.batch(), ["event"])).await.expect("accepted");
        let what = format!("round trips from a connected stream to the first accepted event{how}");
        check(&what, round_trips_since(began).round(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_is_filled_however_far_the_hub_is() {
    const WINDOW: usize = 8;
    let emulator = support::emulator();
    let (connection_string, stream) = (support::connection_string(&emulator), far_from(emulator.connect()));
    let options = support::options().max_in_flight_batches(WINDOW).send_timeout(Duration::from_secs(3_600));
    let connection = Connection::open_over(stream, &connection_string, &options).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");

    let began = support::now();
    for _ in 0..BATCHES {
        sender.send(support::batch_of(sender.batch(), ["event"])).await.expect("accepted");
    }
    check("round trips of a batch, one at a time", round_trips_since(began) / BATCHES as f64, 1.002);

    let began = support::now();
    for _ in 0..WINDOW * BATCHES {
        // Its outcome is waited for by the flush.
        drop(sender.enqueue(support::batch_of(sender.batch(), ["event"])).await.expect("room"));
    }
    sender.flush().await;
    let windows = round_trips_since(began) / BATCHES as f64;
    assert_eq!(connection.counters().accepted_batches, (BATCHES + WINDOW * BATCHES) as u64);
    check("round trips of a window of 8 batches", windows, 1.0 / 0.95);
}

/// A stream to `peer`, half a round trip away: what is said in one go arrives in one go, however much that is.
fn far_from(peer: DuplexStream) -> DuplexStream {
    let (client, near) = tokio::io::duplex(1 << 20);
    let (near_read, near_write) = tokio::io::split(near);
    let (peer_read, peer_write) = tokio::io::split(peer);
    tokio::spawn(carry(near_read, peer_write));
    tokio::spawn(carry(peer_read, near_write));
    client
}

/// Writes what was read half a round trip after it was read.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
    let (sent, mut on_its_way) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((at, bytes)) = on_its_way.recv().await {
            tokio::time::sleep_until(at).await;
            let bytes: Vec<u8> = bytes;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if sent.send((support::now() + ROUND_TRIP / 2, buffer[..len].to_vec())).is_err() {
            return;
        }
    }
}
