//! What filling a batch costs, beside copying the same bodies one after another.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubwire::wire::batch::{Batch, BatchItem, BatchReader};
use hubwire::wire::event::Event;

/// What a hub of the standard tier takes.
const MAX_MESSAGE_SIZE: usize = 1_048_576;

/// Bodies that fill most of a batch: their length, and how many.
const FILLS: [(usize, usize); 3] = [(100, 8_000), (1_024, 900), (65_536, 15)];

fn keyed() -> Batch {
    Batch::with_partition_key(MAX_MESSAGE_SIZE, "device-42").expect("a short key")
}

fn fill<E: BatchItem + Copy>(batch: &mut Batch, event: E, count: usize) {
    batch.clear();
    for _ in 0..count {
        assert!(batch.try_add(black_box(event)).is_added());
    }
}

fn add(criterion: &mut Criterion) {
    for (body_len, count) in FILLS {
        let mut group = criterion.benchmark_group(format!("batch/fill/{count} x {body_len} B"));
        group.throughput(Throughput::Bytes((body_len * count) as u64));
        let body = &vec![b'x'; body_len][..];
        let event = &Event::new(body).with_content_type("application/json").with_property("sequence", 42i64);

        let mut copy = BytesMut::with_capacity(MAX_MESSAGE_SIZE);
        group.bench_function("plain copy", |bencher| {
            bencher.iter(|| {
                copy.clear();
                for _ in 0..count {
                    copy.extend_from_slice(black_box(body));
                }
            });
        });
        // All that a batch holds, with the starts of its sections, in as many pieces.
        let mut batch = Batch::new(MAX_MESSAGE_SIZE);
        fill(&mut batch, body, 1);
        let encoded = batch.encoded().to_vec();
        group.bench_function("plain copy, section starts too", |bencher| {
            bencher.iter(|| {
                copy.clear();
                for _ in 0..count {
                    copy.extend_from_slice(black_box(&encoded));
                }
            });
        });
        let mut batch = Batch::new(MAX_MESSAGE_SIZE);
        group.bench_function("body only", |bencher| {
            bencher.iter(|| fill(&mut batch, body, count));
        });
        group.bench_function("body only, from new", |bencher| {
            bencher.iter(|| {
                let mut batch = Batch::new(MAX_MESSAGE_SIZE);
                fill(&mut batch, body, count);
                batch
            });
        });
        // Fewer, so that key and properties fit beside the bodies.
        let fewer = count / 2;
        group.throughput(Throughput::Bytes((body_len * fewer) as u64));
        let mut batch = keyed();
        group.bench_function("partition key", |bencher| {
            bencher.iter(|| fill(&mut batch, body, fewer));
        });
        let mut batch = Batch::new(MAX_MESSAGE_SIZE);
        group.bench_function("properties", |bencher| {
            bencher.iter(|| fill(&mut batch, event, fewer));
        });
    }
}

fn read(criterion: &mut Criterion) {
    for (body_len, count) in FILLS {
        let mut group = criterion.benchmark_group(format!("batch/read/{count} x {body_len} B"));
        group.throughput(Throughput::Bytes((body_len * count) as u64));
        let mut batch = Batch::new(MAX_MESSAGE_SIZE);
        fill(&mut batch, &vec![b'x'; body_len][..], count);
        let encoded = Bytes::copy_from_slice(batch.encoded());
        group.bench_function("plain copy", |bencher| {
            bencher.iter(|| Bytes::copy_from_slice(black_box(&encoded)));
        });
        group.bench_function("events", |bencher| {
            bencher.iter(|| {
                let reader = BatchReader::new(black_box(&encoded).clone()).expect("a batch");
                reader.map(|event| event.expect("an event").len()).sum::<usize>()
            });
        });
    }
}

criterion_group!(benches, add, read);
criterion_main!(benches);
