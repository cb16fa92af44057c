//! `hubwire algorithm` under a fake of its host's server: the conformance list T1 to T12, and the sample's edges.

mod conformance;
mod edges;
mod handlers;
mod host;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use hubwire::emulator::Emulator;
use serde_json::{Value, json};

use host::{Host, KEY};
use support::HUB;
use support::road::Served;

/// What the guide posts.
fn guide() -> Value {
    json!({"events": ["first event", "second event", "..."]})
}

/// A broker whose key is looked for in everything.
fn broker() -> Served {
    Served::start(Emulator::builder().rule("send", KEY))
}

/// The connection string of whatever listens on `port`.
fn connection_string(port: u16) -> String {
    format!(
        "Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath={HUB};\
         UseDevelopmentEmulator=true"
    )
}

/// What takes no longer than `limit` of itself does not, however busy the machine is, each time that it is tried.
#[track_caller]
fn once_within(limit: Duration, mut run: impl FnMut() -> Duration) {
    let mut took = Vec::new();
    while took.len() < 5 {
        took.push(run());
        if took.last().is_some_and(|last| *last < limit) {
            return;
        }
    }
    panic!("never within {limit:?}: {took:?}");
}

fn host_of(broker: &Served, args: &[&str]) -> Host {
    Host::start(&[("CONNECTION_STR", &connection_string(broker.port()))], args)
}
