//! A batch's whole way, in memory and over loopback.
//!
//! In memory it goes through client and emulator: pack, send, store, settle, come back. The emulator shares the thread, so this
//! is the cost of both. Beside it stands the plain copy of the same bytes.
//!
//! Over loopback up to eight batches are on their way to a sink on another thread; beside hubwire stand a client without
//! protocol logic, which packs by plain copies, and fe2o3-amqp's `Sender`. `throughput` measures the same in long rounds.

mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hubwire::emulator::Emulator;
use hubwire::{Batch, Connection, ConnectionString, Options, Sender};
use support::blast::{Blaster, Layout, Packer};
use support::family::{self, Family};
use support::publisher::Publisher;
use support::served::SinkThread;
use tokio::runtime::Runtime;

const HUB: &str = "telemetry";

async fn connected() -> (Connection, Sender) {
    let emulator = Emulator::builder().event_hub(HUB, 1).build().expect("a hub");
    let connection_string = ConnectionString::parse(&emulator.connection_string(None)).expect("well-formed");
    let options = Options::default();
    let connection = Connection::open_over(emulator.connect(), &connection_string, &options).await.expect("opens");
    let sender = connection.sender(HUB).await.expect("attached");
    (connection, sender)
}

fn fill(mut batch: Batch, body: &[u8]) -> Batch {
    while batch.try_add(body).is_added() {}
    batch
}

fn publish(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("publish a 1 MiB batch");
    group.sample_size(20);
    for event_len in [100, 1_024, 60 * 1_024] {
        let body = vec![7_u8; event_len];
        let events = fill(Batch::new(1_048_576), &body).len();
        group.throughput(Throughput::Elements(events as u64));
        group.bench_function(BenchmarkId::new("through the emulator", event_len), |bencher| {
            bencher.iter_custom(|rounds| timed_rounds(&runtime, &body, rounds));
        });
        group.bench_function(BenchmarkId::new("plain copy of its bytes", event_len), |bencher| {
            let batch = fill(Batch::new(1_048_576), &body);
            let mut copy = Vec::with_capacity(batch.encoded_len());
            bencher.iter(|| {
                copy.clear();
                copy.extend_from_slice(std::hint::black_box(batch.encoded()));
            });
        });
    }
    group.finish();
}

/// What `rounds` batches take, on as many fresh emulators as keep the memory small.
#[allow(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed_rounds(runtime: &Runtime, body: &[u8], rounds: u64) -> std::time::Duration {
    const ROUNDS_IN_A_ROW: u64 = 64;
    let mut took = std::time::Duration::ZERO;
    let mut left = rounds;
    while left > 0 {
        let now = left.min(ROUNDS_IN_A_ROW);
        left -= now;
        took += runtime.block_on(async {
            let (connection, sender) = connected().await;
            let mut batch = sender.batch();
            let began = std::time::Instant::now();
            for _ in 0..now {
                batch = sender.send(fill(batch, body)).await.expect("accepted").into_batch();
            }
            let took = began.elapsed();
            connection.close().await;
            took
        });
    }
    took
}

/// Batches on their way without an outcome.
const WINDOW: usize = 8;

fn over_loopback(criterion: &mut Criterion) {
    support::stay_on_core(0);
    let mut group = criterion.benchmark_group("publish a 1 MiB batch over loopback");
    group.sample_size(20);
    for event_len in [100, 1_024, 60 * 1_024] {
        let packer = Packer::full(event_len);
        group.throughput(Throughput::Elements(packer.count() as u64));
        group.bench_function(BenchmarkId::new("hubwire", event_len), |bencher| {
            bencher.iter_custom(|rounds| by_hubwire(&packer, rounds as usize));
        });
        group.bench_function(BenchmarkId::new("plain copies, no protocol logic", event_len), |bencher| {
            bencher.iter_custom(|rounds| by_blast(&packer, rounds as usize));
        });
        group.bench_function(BenchmarkId::new("fe2o3-amqp's Sender", event_len), |bencher| {
            bencher.iter_custom(|rounds| by_the_family(&packer, rounds as usize));
        });
    }
    group.finish();
}

fn by_hubwire(packer: &Packer, batches: usize) -> std::time::Duration {
    let sink = SinkThread::start();
    let to = ConnectionString::parse(&sink.connection_string()).expect("well-formed");
    let took = support::runtime().block_on(async {
        let publisher = Publisher::open(&to, Options::default(), WINDOW).await;
        publisher.publish(packer, 2 * WINDOW).await;
        let took = publisher.publish(packer, batches).await;
        publisher.close().await;
        took.time
    });
    sink.join();
    took * batches as u32
}

fn by_blast(packer: &Packer, batches: usize) -> std::time::Duration {
    let sink = SinkThread::start();
    let mut message = Vec::with_capacity(packer.message_len());
    let mut layout = Layout::new(2, packer.message_len());
    let mut blaster = Blaster::open(sink.connect()).expect("a sink");
    let memory = std::slice::from_mut(&mut message);
    let mut round = |batches| blaster.blast(&mut layout, WINDOW, batches, memory, |message| packer.pack(message));
    round(2 * WINDOW).expect("a sink");
    let took = round(batches).expect("a sink");
    drop(blaster);
    sink.join();
    took
}

fn by_the_family(packer: &Packer, batches: usize) -> std::time::Duration {
    let sink = SinkThread::start();
    let took = support::runtime().block_on(async {
        let mut family = Family::open(sink.connect()).await;
        family.publish(WINDOW, 2 * WINDOW, || family::batch(packer)).await;
        let took = family.publish(WINDOW, batches, || family::batch(packer)).await;
        family.close().await;
        took.time
    });
    sink.join();
    took * batches as u32
}

criterion_group!(benches, publish, over_loopback);
criterion_main!(benches);
