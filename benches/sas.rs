//! What it costs to sign, read and verify a token.

use std::hint::black_box;
use std::time::{SystemTime, UNIX_EPOCH};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubwire::wire::sas::{SasToken, sign_until};

const AUDIENCE: &str = "sb://test-azure-eh-namespace.servicebus.windows.net/myhub";
const KEY_NAME: &str = "RootManageSharedAccessKey";
const KEY: &str = "+FehbdIzXYc6Hk2sckMuX0iTfLV4wWuZMkCGeNImi6s=";
const NOW: SystemTime = UNIX_EPOCH;

fn tokens(c: &mut Criterion) {
    let token = sign_until(AUDIENCE, KEY_NAME, KEY, 1_700_003_600);
    let mut group = c.benchmark_group("sas");
    group.throughput(Throughput::Elements(1));
    group.bench_function("sign", |b| {
        b.iter(|| sign_until(black_box(AUDIENCE), KEY_NAME, black_box(KEY), 1_700_003_600));
    });
    group.bench_function("parse", |b| b.iter(|| SasToken::parse(black_box(token.as_str()))));
    group.bench_function("verify", |b| b.iter(|| token.verify(black_box(KEY), NOW)));
    group.bench_function("covers", |b| b.iter(|| token.covers(black_box(AUDIENCE))));
    group.finish();
}

criterion_group!(benches, tokens);
criterion_main!(benches);
