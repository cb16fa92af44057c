//! What it costs to read a connection string.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hubwire::wire::connection_string::ConnectionString;

const KEY: &str = "Endpoint=sb://test-azure-eh-namespace.servicebus.windows.net/;\
    SharedAccessKeyName=RootManageSharedAccessKey;\
    SharedAccessKey=+FehbdIzXYc6Hk2sckMuX0iTfLV4wWuZMkCGeNImi6s=;EntityPath=myhub";

const TOKEN: &str = "Endpoint=sb://test-azure-eh-namespace.servicebus.windows.net/;\
    SharedAccessSignature=SharedAccessSignature \
    sr=sb%3A%2F%2Ftest-azure-eh-namespace.servicebus.windows.net%2Fmyhub\
    &sig=cKwZDJOgAvRtYkmEXQO1lY7Yp38UnVz5hx8s%2F4N2Fso%3D&se=1700003600\
    &skn=RootManageSharedAccessKey;EntityPath=myhub";

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("connection_string");
    for (name, text) in [("key", KEY), ("token", TOKEN)] {
        ConnectionString::parse(text).expect("a good connection string");
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| ConnectionString::parse(black_box(text))));
    }
    group.finish();
}

criterion_group!(benches, parse);
criterion_main!(benches);
