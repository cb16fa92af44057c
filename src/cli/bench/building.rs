//! Arguments, turned into a workload and a target.

use crate::bench::{Aside, Bench, Bodies, Keys, LocalHub, LocalHubError, Route, Sizes, Target, Workload};
use crate::cli::args::bench::{Against, BenchArgs, DEFAULT_PARTITIONS, DEFAULT_RETRIES, What};
use crate::cli::failure::Failure;
use crate::cli::settings::{self, Network};
use crate::cli::trace::Trace;
use crate::cli::{may_hold_secret, output, shown};
use crate::emulator::Emulator;
use crate::{Options, Retry};

/// What an emulator keeps: little, for memory is touched before the first event comes, which costs more than what is read into it.
const RETENTION_LEN: u64 = 64 << 20;
/// The same with readers, some of which may be slower than the publisher for a while.
const RETENTION_FOR_READERS_LEN: u64 = 1 << 30;
/// What is touched of it beforehand: all, unless there are readers.
const PRETOUCHED_LEN: u64 = 256 << 20;

pub(super) fn workload(args: &BenchArgs) -> Result<Workload, Failure> {
    let BenchArgs { what, pace, judged, .. } = args;
    refuse_secrets(what)?;
    let workload = Workload {
        sizes: what.sizes.clone(),
        bodies: what.bodies.clone(),
        keys: what.keys.clone(),
        route: what.route.clone(),
        properties: what.properties.clone(),
        max_batch_events: what.batch_events,
        max_batch_bytes: what.batch_bytes,
        linger: what.linger,
        connections: pace.connections,
        links: pace.links,
        in_flight: pace.in_flight,
        is_sequential: pace.sequential,
        events: pace.events,
        bytes: pace.bytes,
        duration: pace.duration,
        warm_up: pace.warm_up,
        rate: pace.rate.clone(),
        is_poisson: pace.poisson,
        catch_up: pace.catch_up,
        receive: pace.receive,
        rounds: judged.rounds,
        seed: what.seed,
    };
    workload.check().map_err(|error| Failure::input(error.to_string()))?;
    if args.against.sink && workload.route == Route::EachPartition {
        return Err(Failure::input("a sink tells of no partitions; name one with --partition N, or use --emulator"));
    }
    Ok(workload)
}

/// What stands in a path's place may be a connection string: it would be read as a file's name, and saved as one.
fn refuse_secrets(what: &What) -> Result<(), Failure> {
    let of_sizes = match &what.sizes {
        Sizes::File(path) => Some(("--size", path)),
        _ => None,
    };
    let of_bodies = match &what.bodies {
        Bodies::Template(path) | Bodies::Lines(path) => Some(("--body", path)),
        _ => None,
    };
    let of_keys = match &what.keys {
        Keys::File(path) => Some(("--keys", path)),
        _ => None,
    };
    let mut paths = [of_sizes, of_bodies, of_keys].into_iter().flatten();
    match paths.find(|(_, path)| may_hold_secret(path.as_os_str())) {
        Some((option, _)) => Err(Failure::input(format!(
            "{option} names a file, and was given what looks like a connection string or a token; name a file"
        ))),
        None => Ok(()),
    }
}

/// A bench, and what has to live as long as it.
pub(super) struct Ground {
    pub(super) bench: Bench,
    _hub: Option<LocalHub>,
    /// Where readers run.
    _aside: Option<Aside>,
}

impl Ground {
    /// Nothing is connected yet; a hub in this process is started.
    pub(super) fn new(args: &BenchArgs, trace: &Trace) -> Result<Self, Failure> {
        let (target, description, hub) = target(&args.against, args.pace.receive, trace)?;
        let failed = |error: std::io::Error| Failure::configuration(format!("cannot start a thread: {error}"));
        let aside = args.pace.receive.then(|| Aside::start("readers")).transpose().map_err(failed)?;
        let target = match &aside {
            Some(aside) => target.reading_on(aside),
            None => target,
        };
        let bench = Bench::new(target, description).with_target_options(options(&args.against));
        let bench = bench.precisely().map_err(failed)?;
        Ok(Self { bench, _hub: hub, _aside: aside })
    }
}

/// The options that lead to the target, without those that say by what right and over which way: they may hold more than a
/// report should.
pub(super) fn options(against: &Against) -> String {
    let mut words = Vec::new();
    let mut say = |name: &str, value: Option<String>| words.extend(value.map(|value| format!("--{name} {value}")));
    say("event-hub", against.to.event_hub.as_deref().map(shown));
    say("rtt", against.rtt.map(|rtt| humantime::format_duration(rtt).to_string().replace(' ', "")));
    say("throughput-units", against.throughput_units.map(|units| units.to_string()));
    say("partitions", (against.partitions != DEFAULT_PARTITIONS).then(|| against.partitions.to_string()));
    say("retries", (against.retries != DEFAULT_RETRIES).then(|| against.retries.to_string()));
    let peer = match (against.sink, against.emulator) {
        (true, _) => Some("--sink"),
        (_, true) => Some("--emulator"),
        _ => None,
    };
    let words: Vec<&str> = peer.into_iter().chain(words.iter().map(String::as_str)).collect();
    words.join(" ")
}

fn target(against: &Against, is_read: bool, trace: &Trace) -> Result<(Target, String, Option<LocalHub>), Failure> {
    let retry = Retry::default().attempts(against.retries);
    if against.sink || against.emulator {
        let event_hub = settings::local_event_hub(&against.to)?;
        let options = trace.of(settings::options(&against.to, "localhost", against.timeout)?.retry(retry));
        let (hub, description) = local(against, &event_hub, is_read)?;
        return Ok((hub.target(event_hub, &options), description, Some(hub)));
    }
    let Network { connection_string, event_hub, source } = settings::network(&against.to)?;
    connection_string.warnings().iter().for_each(|warning| output::warn(format_args!("{source}: {warning}")));
    let options = settings::options(&against.to, connection_string.host(), against.timeout)?.retry(retry);
    let options: Options = trace.of(options);
    let description = format!("{event_hub} of {}{}", connection_string.host(), way(against));
    Ok((Target::new(&connection_string, event_hub, &options), description, None))
}

fn way(against: &Against) -> &'static str {
    match (against.to.websocket, against.to.proxy.is_some()) {
        (true, true) => ", over WebSocket and a proxy",
        (true, false) => ", over WebSocket",
        (false, true) => ", over a proxy",
        (false, false) => "",
    }
}

fn local(against: &Against, event_hub: &str, is_read: bool) -> Result<(LocalHub, String), Failure> {
    let failed = |error: LocalHubError| Failure::configuration(error.to_string());
    if against.sink {
        return Ok((LocalHub::sink().map_err(failed)?, "a sink in this process, over loopback TCP".to_owned()));
    }
    let retention_len = if is_read { RETENTION_FOR_READERS_LEN } else { RETENTION_LEN };
    let mut builder = Emulator::builder().event_hub(event_hub, against.partitions).retention_bytes(retention_len);
    let mut description = format!("an emulator in this process, over loopback TCP, {} partitions", against.partitions);
    if let Some(rtt) = against.rtt {
        builder = builder.round_trip_time(rtt);
        description += &format!(", {} there and back", humantime::format_duration(rtt));
    }
    if let Some(units) = against.throughput_units {
        builder = builder.throughput_units(units);
        description += &format!(", {units} throughput units");
    }
    let emulator = builder.build().map_err(|error| Failure::configuration(error.to_string()))?;
    emulator.pretouch(PRETOUCHED_LEN);
    Ok((LocalHub::emulator(emulator).map_err(failed)?, description))
}
