//! Arguments and configuration, turned into an emulator.

use std::path::Path;
use std::time::Duration;

use super::config::Config;
use super::journal::Journal;
use crate::cli::args::emulator::{EmulatedTier, EmulatorArgs};
use crate::cli::failure::Failure;
use crate::cli::shown;
use crate::cli::trace::Trace;
use crate::emulator::{Builder, Emulator, Fault, Tier};

/// The hub of an emulator that is told of none.
pub(in crate::cli) const DEFAULT_EVENT_HUB: &str = "telemetry";
/// Its partitions.
const DEFAULT_PARTITION_COUNT: u32 = 4;

pub(super) fn emulator(
    args: &EmulatorArgs,
    config: Option<&Config>,
    journal: Option<&Journal>,
    trace: &Trace,
) -> Result<Emulator, Failure> {
    let mut builder = builder(args, config)?;
    if let Some(tap) = &trace.tap {
        builder = builder.tap(tap);
    }
    if let Some(journal) = journal {
        let writer = journal.writer();
        builder = builder.on_activity(move |activity| writer.write(activity));
    }
    builder.build().map_err(|error| Failure::configuration(error.to_string()))
}

fn builder(args: &EmulatorArgs, config: Option<&Config>) -> Result<Builder, Failure> {
    let mut builder = Emulator::builder()
        .retention(args.retention)
        .retention_bytes(args.retention_bytes)
        // Warned about, as soon as it is known.
        .allow_remote(true);
    for hub in config.iter().flat_map(|config| &config.event_hubs) {
        builder = builder.event_hub(&hub.name, hub.partition_count);
        for group in &hub.consumer_groups {
            builder = builder.consumer_group(&hub.name, group);
        }
    }
    if config.is_none() && args.event_hubs.is_empty() {
        builder = builder.event_hub(DEFAULT_EVENT_HUB, DEFAULT_PARTITION_COUNT);
    }
    for (name, partition_count) in &args.event_hubs {
        builder = builder.event_hub(name, *partition_count);
    }
    for (event_hub, name) in &args.consumer_groups {
        builder = builder.consumer_group(event_hub, name);
    }
    for rule in &args.rules {
        builder = builder.access_rule(rule.read()?);
    }
    for fault in args.faults.iter().cloned().chain(script(args.fault_file.as_deref())?) {
        builder = builder.fault(fault);
    }
    Ok(limited(builder, args))
}

/// The faults of a file.
fn script(file: Option<&Path>) -> Result<Vec<Fault>, Failure> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let path = shown(file);
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::configuration(format!("cannot read {path}: {error}; name a text file with one fault a line"))
    })?;
    Fault::script(&text).map_err(|error| Failure::configuration(format!("{path}: {error}")))
}

/// Sets the limits that were asked for.
fn limited(mut builder: Builder, args: &EmulatorArgs) -> Builder {
    if let Some(tier) = args.tier {
        builder = builder.tier(match tier {
            EmulatedTier::Basic => Tier::Basic,
            EmulatedTier::Standard => Tier::Standard,
            EmulatedTier::Premium => Tier::Premium,
        });
    }
    let set = |builder: Builder, value: Option<u64>, set: fn(Builder, u64) -> Builder| match value {
        Some(value) => set(builder, value),
        None => builder,
    };
    let set_time = |builder: Builder, value: Option<Duration>, set: fn(Builder, Duration) -> Builder| match value {
        Some(value) => set(builder, value),
        None => builder,
    };
    builder = set(builder, args.max_message_size, Builder::max_message_size);
    builder = set(builder, args.retention_events, Builder::retention_events);
    builder = set_time(builder, args.idle_timeout, Builder::idle_timeout);
    builder = set_time(builder, args.link_idle_timeout, Builder::link_idle_timeout);
    builder = set_time(builder, args.linkless_timeout, Builder::linkless_timeout);
    builder = set_time(builder, args.rtt, Builder::round_trip_time);
    match args.throughput_units {
        Some(units) => builder.throughput_units(units),
        None => builder,
    }
}
