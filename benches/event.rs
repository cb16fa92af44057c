//! What an event costs to encode and to read, beside a copy of its body.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubwire::wire::event::Event;

const BODY_LENS: [usize; 3] = [100, 1_024, 65_536];

fn with_properties(body_len: usize) -> Event {
    Event::new(vec![b'x'; body_len])
        .with_message_id("00000000-0000-0000-0000-000000000001")
        .with_content_type("application/json")
        .with_property("device", "device-42")
        .with_property("sequence", 42i64)
        .with_property("temperature", 21.5)
}

fn events(body_len: usize) -> [(&'static str, Event); 2] {
    [("body only", Event::new(vec![b'x'; body_len])), ("properties", with_properties(body_len))]
}

fn encode(criterion: &mut Criterion) {
    for body_len in BODY_LENS {
        let mut group = criterion.benchmark_group(format!("event/encode/{body_len} B"));
        group.throughput(Throughput::Bytes(body_len as u64));
        let body = vec![b'x'; body_len];
        group.bench_function("plain copy", |bencher| {
            bencher.iter(|| BytesMut::from(black_box(&body[..])).freeze());
        });
        for (name, event) in events(body_len) {
            group.bench_function(name, |bencher| {
                bencher.iter(|| black_box(&event).encode().expect("a valid event"));
            });
        }
    }
}

fn decode(criterion: &mut Criterion) {
    for body_len in BODY_LENS {
        let mut group = criterion.benchmark_group(format!("event/decode/{body_len} B"));
        group.throughput(Throughput::Bytes(body_len as u64));
        let body = Bytes::from(vec![b'x'; body_len]);
        group.bench_function("plain copy", |bencher| {
            bencher.iter(|| Bytes::copy_from_slice(black_box(&body)));
        });
        for (name, event) in events(body_len) {
            let encoded = event.encode().expect("a valid event");
            group.bench_function(name, |bencher| {
                bencher.iter(|| Event::decode(black_box(&encoded)).expect("an event"));
            });
        }
    }
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
