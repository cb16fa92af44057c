//! `hubwire algorithm` under a fake of its host's server: the conformance list T1 to T12, and the sample's edges.

mod conformance;
mod edges;
mod handlers;
mod host;
mod settings;
#[path = "../support/mod.rs"]
mod support;

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

fn host_of(broker: &Served, args: &[&str]) -> Host {
    Host::start(&[("CONNECTION_STR", &connection_string(broker.port()))], args)
}
