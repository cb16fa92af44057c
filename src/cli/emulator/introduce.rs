//! What the emulator says of itself at the start, and at the end.

use serde_json::{Value as Json, json};

use super::doors::Doors;
use super::hints::{self, Hint};
use super::object::Object;
use super::voice::Voice;
use crate::cli::args::emulator::EmulatorArgs;
use crate::cli::output;
use crate::cli::rule::RuleArg;
use crate::emulator::{Emulator, Listening, Transport};
use crate::wire::connection_string::ConnectionString;
use crate::words::{counted, size};

/// What it serves, its limits, how to connect, where to look, and the line that scripts wait for.
pub(super) fn introduce(voice: Voice, args: &EmulatorArgs, doors: &Doors) {
    warn_of_others(voice, doors);
    match voice {
        Voice::Text => say_in_words(args, doors),
        Voice::Json => output::note(ready(args, doors)),
    }
}

fn warn_of_others(voice: Voice, doors: &Doors) {
    for listening in doors.listenings().filter(|listening| listening.is_remote()) {
        let addr = listening.local_addr();
        let and = if listening.transport().is_encrypted() { "" } else { ", and reads what is sent, tokens included" };
        voice.warn(format_args!("{addr} is not a loopback address: anybody on the network can reach it{and}"));
    }
    if let Some(health) = doors.health.as_ref().filter(|health| !health.local_addr().ip().is_loopback()) {
        let addr = health.local_addr();
        voice.warn(format_args!("{addr} is not a loopback address: anybody on the network can ask for its health"));
    }
}

fn say_in_words(args: &EmulatorArgs, doors: &Doors) {
    let emulator = doors.amqp.emulator();
    let hubs: Vec<String> = emulator.event_hubs().map(|(name, count)| described(name, count)).collect();
    output::note(format_args!("event hubs: {}", hubs.join(", ")));
    output::note(format_args!("limits: {}", emulator.limits()));
    output::note(format_args!("connection string: {}", connection_string(args, &doors.amqp)));
    if let Some(websocket) = &doors.websocket {
        output::note(format_args!("connection string for WebSocket: {}", connection_string(args, websocket)));
    }
    if let Some(path) = &doors.authority_file {
        output::note(format_args!("certificate authority, for clients to trust: {}", path.display()));
    }
    if let Some(health) = &doors.health {
        output::note(format_args!("health: http://{}/health", health.local_addr()));
    }
    output::note("how to connect, CONNECTION_STR being the connection string:");
    for Hint { sdk, code } in hints::all(doors) {
        output::note(format_args!("  {sdk:<11} {code}"));
    }
    if !args.verbose {
        output::note("to see each connection, link and batch: --verbose; each event: --print-events");
    }
    output::note(format_args!("hubwire emulator ready on {}", doors.amqp.local_addr()));
}

fn described(name: &str, partition_count: u32) -> String {
    let unit = if partition_count == 1 { "partition" } else { "partitions" };
    format!("{name} ({partition_count} {unit})")
}

/// The same as one object.
fn ready(args: &EmulatorArgs, doors: &Doors) -> Object {
    let emulator = doors.amqp.emulator();
    let hubs: Vec<Json> =
        emulator.event_hubs().map(|(name, count)| json!({ "name": name, "partition_count": count })).collect();
    let ways: Vec<Json> = doors.listenings().map(|listening| way(args, listening).into()).collect();
    let limits = emulator.limit_values().into_iter().map(|(name, value)| (name.to_owned(), value.into()));
    Object::new("ready")
        .with("address", doors.amqp.local_addr().to_string())
        .with("connection_string", shown(args, &doors.amqp))
        .with("listeners", ways)
        .with_some("health", doors.health.as_ref().map(|health| format!("http://{}/health", health.local_addr())))
        .with_some("ca_file", doors.authority_file.as_ref().map(|path| path.display().to_string()))
        .with_some("key_file", args.rules.first().map(|rule| rule.key_file.display().to_string()))
        .with("event_hubs", hubs)
        .with("limits", Json::Object(limits.collect()))
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("pid", std::process::id())
}

fn way(args: &EmulatorArgs, listening: &Listening) -> Object {
    let scheme = match listening.transport() {
        Transport::Tls => "amqps",
        Transport::WebSocket => "ws",
        Transport::WebSocketTls => "wss",
        _ => "amqp",
    };
    Object::of("scheme", scheme)
        .with("address", listening.local_addr().to_string())
        .with("authority", listening.authority())
        .with("connection_string", shown(args, listening))
}

/// The string to paste, and where its key is, if that is not shown.
fn connection_string(args: &EmulatorArgs, listening: &Listening) -> String {
    let text = shown(args, listening);
    match args.rules.first() {
        Some(RuleArg { key_file, .. }) => format!("{text} (the key is in {})", key_file.display()),
        None => text,
    }
}

/// The default key is no secret; a key of the user's is masked.
fn shown(args: &EmulatorArgs, listening: &Listening) -> String {
    let text = listening.connection_string(hints::only_hub(listening.emulator()));
    if args.rules.is_empty() {
        return text;
    }
    ConnectionString::parse(&text).map_or_else(|error| error.to_string(), |parsed| parsed.redacted())
}

pub(super) fn tell_totals(voice: Voice, emulator: &Emulator) {
    let totals = emulator.totals();
    let text = || {
        let events = counted(totals.events, "event", "events");
        let messages = counted(totals.batches, "message", "messages");
        let connections = counted(totals.connections, "connection", "connections");
        let (bytes, rejected) = (size(totals.bytes), totals.rejected);
        let faults = match totals.faults {
            0 => String::new(),
            count => format!(", with {}", counted(count, "fault", "faults")),
        };
        format!("stored {events} in {messages} ({bytes}), rejected {rejected}, over {connections}{faults}")
    };
    let object = || {
        Object::new("totals")
            .with("connections", totals.connections)
            .with("refused_connections", totals.refused_connections)
            .with("links", totals.links)
            .with("receivers", totals.receivers)
            .with("batches", totals.batches)
            .with("events", totals.events)
            .with("bytes", totals.bytes)
            .with("rejected", totals.rejected)
            .with("throttled", totals.throttled)
            .with("delivered", totals.delivered)
            .with("expired", totals.expired)
            .with("faults", totals.faults)
    };
    voice.say(text, object);
}
