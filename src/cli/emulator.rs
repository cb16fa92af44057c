//! `hubwire emulator`.
//!
//! Standard output is for events alone, if they are asked for; everything else goes to standard error.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::args::{EmulatedTier, EmulatorArgs};
use super::failure::{Failure, Kind};
use super::report::{counted, size};
use super::rule::RuleArg;
use super::signal::Signals;
use super::{json, output, shown};
use crate::emulator::{Builder, Emulator, Listening, Tier};
use crate::wire::connection_string::ConnectionString;

/// The hub of an emulator that is told of none.
pub(super) const DEFAULT_EVENT_HUB: &str = "telemetry";
/// Lines that wait to be printed.
const QUEUE_LEN: usize = 64;
/// When all that is left is to print, a reader that takes nothing for this long is waited for no more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command until a signal; the exit code.
pub(super) async fn run(args: EmulatorArgs) -> u8 {
    match serve(&args).await {
        Ok(()) => 0,
        Err(failure) => {
            output::complain(&failure);
            failure.kind.exit_code()
        }
    }
}

async fn serve(args: &EmulatorArgs) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let emulator = builder(args)?.build().map_err(|error| Failure::configuration(error.to_string()))?;
    let listening = emulator.listen(args.listen.as_str()).await.map_err(|error| refused(&args.listen, &error))?;
    introduce(args, &listening);

    let mut printing = args.print_events.then(|| Printing::start(args)).transpose().map_err(failed)?;
    let printed = tokio::select! {
        _ = signals.next() => None,
        written = print_events(&emulator, printing.as_mut()) => Some(written),
    };
    listening.stop();
    // Nothing is accepted from here on: what is stored now is all there is to print.
    emulator.end();
    let ended = match (printing, printed) {
        (_, Some(written)) => of_written(written),
        (Some(printing), None) => finish(printing, &emulator, &mut signals).await,
        (None, None) => Ok(()),
    };
    tell_totals(&emulator);
    ended
}

/// Prints the rest, as long as somebody reads it, or until a second signal.
async fn finish(printing: Printing, emulator: &Emulator, signals: &mut Signals) -> Result<(), Failure> {
    let written_count = Arc::clone(&printing.written_count);
    let (kind, why) = tokio::select! {
        written = printing.finish(emulator) => return of_written(written),
        kind = signals.next() => (kind, "a second signal ended the printing"),
        () = stands_still(&written_count) => (Kind::Configuration, "nobody read them for 10 s"),
    };
    let missing = emulator.totals().events.saturating_sub(written_count.load(Ordering::Acquire));
    let missing = counted(missing, "stored event was", "stored events were");
    Err(Failure::new(kind, format!("{missing} not printed: {why}")))
}

/// Ends when `count` has not changed for [`PATIENCE`].
async fn stands_still(count: &AtomicU64) {
    let mut before = None;
    loop {
        let now = Some(count.load(Ordering::Acquire));
        if now == before {
            return;
        }
        before = now;
        tokio::time::sleep(PATIENCE).await;
    }
}

fn of_written(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if !output::is_reader_gone(&error) => {
            Err(Failure::configuration(format!("cannot print events: {error}; check where standard output goes")))
        }
        _ => Ok(()),
    }
}

fn builder(args: &EmulatorArgs) -> Result<Builder, Failure> {
    let mut builder = Emulator::builder()
        .retention(args.retention)
        .retention_bytes(args.retention_bytes)
        // Warned about, as soon as it is known.
        .allow_remote(true);
    for (name, partition_count) in &args.event_hubs {
        builder = builder.event_hub(name, *partition_count);
    }
    for (event_hub, name) in &args.consumer_groups {
        builder = builder.consumer_group(event_hub, name);
    }
    for rule in &args.rules {
        builder = builder.access_rule(rule.read()?);
    }
    Ok(limited(builder, args))
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
    match args.throughput_units {
        Some(units) => builder.throughput_units(units),
        None => builder,
    }
}

fn refused(address: &str, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another emulator or broker may be running: stop it, or choose another port, e.g. --listen 127.0.0.1:0 for \
             a free one"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; use 127.0.0.1 or [::1]",
        io::ErrorKind::PermissionDenied => "use a port from 1024, e.g. --listen 127.0.0.1:5672",
        _ => "use an address and a port, e.g. --listen 127.0.0.1:5672",
    };
    Failure::configuration(format!("cannot listen on {}: {error}; {advice}", shown(address)))
}

/// What it serves, its limits, how to connect, and the line that scripts wait for.
fn introduce(args: &EmulatorArgs, listening: &Listening) {
    let hubs = args.event_hubs.iter().map(|(name, partition_count)| {
        let unit = if *partition_count == 1 { "partition" } else { "partitions" };
        format!("{name} ({partition_count} {unit})")
    });
    output::note(format_args!("event hubs: {}", hubs.collect::<Vec<_>>().join(", ")));
    output::note(format_args!("limits: {}", listening.emulator().limits()));
    output::note(format_args!("connection string: {}", connection_string(args, listening)));
    if listening.is_remote() {
        output::warn(format_args!(
            "{} is not a loopback address: anybody on the network can reach it, and reads what is sent, tokens included",
            listening.local_addr()
        ));
    }
    output::note(format_args!("hubwire emulator ready on {}", listening.local_addr()));
}

/// The string to paste. The default key is no secret; a key of the user's is masked.
fn connection_string(args: &EmulatorArgs, listening: &Listening) -> String {
    let event_hub = match args.event_hubs.as_slice() {
        [(name, _)] => Some(name.as_str()),
        _ => None,
    };
    let text = listening.connection_string(event_hub);
    let Some(RuleArg { key_file, .. }) = args.rules.first() else { return text };
    let redacted = ConnectionString::parse(&text).map_or_else(|error| error.to_string(), |parsed| parsed.redacted());
    format!("{redacted} (the key is in {})", key_file.display())
}

fn tell_totals(emulator: &Emulator) {
    let totals = emulator.totals();
    let events = counted(totals.events, "event", "events");
    let messages = counted(totals.batches, "message", "messages");
    let (bytes, rejected) = (size(totals.bytes), totals.rejected);
    let connections = counted(totals.connections, "connection", "connections");
    output::note(format_args!("stored {events} in {messages} ({bytes}), rejected {rejected}, over {connections}"));
}

/// Prints every event that is stored. Ends when nothing can be written any more; never, if nothing is to be printed.
async fn print_events(emulator: &Emulator, printing: Option<&mut Printing>) -> io::Result<()> {
    let Some(printing) = printing else { return std::future::pending().await };
    loop {
        tokio::select! {
            written = &mut printing.written => return of_thread(written),
            () = emulator.until_stored(printing.seen + 1) => {}
        }
        if !printing.print_new(emulator).await {
            return of_thread((&mut printing.written).await);
        }
    }
}

fn of_thread(written: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Result<()> {
    written.unwrap_or_else(|_| Err(io::Error::other("the printing was lost")))
}

/// How far the printing is, and the thread that does it: standard output may block for as long as its reader likes.
struct Printing {
    /// The next event of each event hub's partitions.
    positions: Vec<(String, u32, i64)>,
    /// Events stored when it last looked, printed or dropped by now.
    seen: u64,
    lines: mpsc::Sender<String>,
    /// What ended the writing.
    written: oneshot::Receiver<io::Result<()>>,
    /// Lines that are out.
    written_count: Arc<AtomicU64>,
}

impl Printing {
    fn start(args: &EmulatorArgs) -> io::Result<Self> {
        let (lines, mut queue) = mpsc::channel::<String>(QUEUE_LEN);
        let (finished, written) = oneshot::channel();
        let written_count = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&written_count);
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let mut result = Ok(());
            while result.is_ok()
                && let Some(line) = queue.blocking_recv()
            {
                result = output::line(line);
                count.fetch_add(u64::from(result.is_ok()), Ordering::Release);
            }
            // The queue closes before whoever waits is told.
            drop(queue);
            let _ = finished.send(result);
        })?;
        let partitions =
            |(name, count): &(String, u32)| (0..*count).map(|id| (name.clone(), id, 0)).collect::<Vec<_>>();
        let positions = args.event_hubs.iter().flat_map(partitions).collect();
        Ok(Self { positions, seen: 0, lines, written, written_count })
    }

    /// Prints what was stored since the last time; whether somebody still reads.
    ///
    /// Cancel: the next call goes on where this one was.
    async fn print_new(&mut self, emulator: &Emulator) -> bool {
        let seen = emulator.stored_count();
        for (event_hub, partition_id, next) in &mut self.positions {
            for stored in emulator.events_from(event_hub, *partition_id, *next).unwrap_or_default() {
                if self.lines.send(json::stored_line(event_hub, &stored)).await.is_err() {
                    return false;
                }
                *next = stored.sequence_number + 1;
            }
        }
        self.seen = seen;
        true
    }

    /// Prints what is stored by now, and waits until it is written.
    async fn finish(mut self, emulator: &Emulator) -> io::Result<()> {
        self.print_new(emulator).await;
        drop(self.lines);
        of_thread(self.written.await)
    }
}
