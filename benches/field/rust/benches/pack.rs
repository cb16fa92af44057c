//! What filling a batch costs: a plain copy, hubwire, fe2o3-amqp's encoder and the official SDK's batch, in one group.
//!
//! ```sh
//! cargo bench --manifest-path benches/field/rust/Cargo.toml --bench pack
//! ```
//!
//! The SDK makes its batches of a link, so that a sink stands behind it; nothing is sent while the clock runs.

use std::hint::black_box;
use std::net::TcpListener;
use std::thread;

use azure_messaging_eventhubs::models::EventData;
use azure_messaging_eventhubs::{EventDataBatchOptions, ProducerClient};
use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fe2o3_amqp::types::messaging::message::__private::Serializable;
use fe2o3_amqp::types::messaging::{Batch, Body, Data, Message};
use fe2o3_amqp::types::primitives::{Binary, Value};
use hubwire::bench::sink::{self, Counts};
use hubwire::rustls::crypto;
use hubwire_field::blast::Packer;
use tokio::runtime::Runtime;

const BATCH_LEN: usize = 1_048_576;
/// Events that every client gets into 1 MiB.
const FILLS: [(usize, usize); 3] = [(100, 7_000), (1_024, 950), (61_440, 16)];

fn pack(criterion: &mut Criterion) {
    crypto::aws_lc_rs::default_provider().install_default().expect("the first");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let producer = runtime.block_on(producer(port_of_a_sink()));
    for (event_len, count) in FILLS {
        let packer = Packer::of(event_len, count);
        let mut group = criterion.benchmark_group(format!("pack {count} x {event_len} B"));
        group.sample_size(20).throughput(Throughput::Elements(count as u64));
        group.bench_function("plain copy", |bencher| {
            let mut copy = BytesMut::with_capacity(BATCH_LEN);
            bencher.iter(|| {
                copy.clear();
                (0..count).for_each(|_| copy.extend_from_slice(black_box(packer.body())));
            });
        });
        group.bench_function("hubwire", |bencher| {
            let mut batch = hubwire::Batch::new(BATCH_LEN);
            bencher.iter(|| {
                batch.clear();
                (0..count).for_each(|_| assert!(batch.try_add(black_box(packer.body())).is_added()));
            });
        });
        group.bench_function("fe2o3-amqp", |bencher| bencher.iter(|| black_box(encoded_by_the_family(&packer))));
        group.bench_function("azure_messaging_eventhubs", |bencher| {
            bencher.iter(|| fill_the_sdks(&runtime, &producer, &packer));
        });
        group.finish();
    }
}

fn encoded_by_the_family(packer: &Packer) -> Vec<u8> {
    let event = [packer.inner_start(), packer.body()].concat();
    let events: Vec<Data> = (0..packer.count()).map(|_| Data(Binary::from(black_box(&event[..]).to_vec()))).collect();
    let message = Message::builder().body(Body::<Value>::Data(Batch::new(events))).build();
    serde_amqp::to_vec(&Serializable(message)).expect("it can be encoded")
}

fn fill_the_sdks(runtime: &Runtime, producer: &ProducerClient, packer: &Packer) {
    let options = EventDataBatchOptions { max_size_in_bytes: Some(BATCH_LEN as u64), ..EventDataBatchOptions::default() };
    let batch = runtime.block_on(producer.create_batch(Some(options))).expect("a batch");
    for _ in 0..packer.count() {
        let event = EventData::builder().with_body(black_box(packer.body()).to_vec()).build();
        assert!(batch.try_add_event_data(event, None).expect("an event"));
    }
}

async fn producer(port: u16) -> ProducerClient {
    let text = "Endpoint=sb://localhost;SharedAccessKeyName=any;SharedAccessKey=a2V5";
    let builder = ProducerClient::builder().with_custom_endpoint(format!("amqp://127.0.0.1:{port}"));
    builder.open_with_connection_string(text, Some("telemetry")).await.expect("a peer")
}

/// Where a sink serves whoever comes, as long as the process lives.
fn port_of_a_sink() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("a client");
            thread::spawn(move || sink::serve(stream, &Counts::default()));
        }
    });
    port
}

criterion_group!(benches, pack);
criterion_main!(benches);
