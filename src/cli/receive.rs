//! `hubwire receive`.

pub(super) mod format;
pub(super) mod from;
mod reading;

use std::io;
use std::time::{Duration, Instant};

use super::args::receive::{ReceiveArgs, Rendering};
use super::failure::{Failure, Kind};
use super::printer::Printer;
use super::settings::{self, Network};
use super::signal::Signals;
use super::trace::Trace;
use super::{json, output};
use crate::words::{counted, size, time};
use crate::{Position, ReceivedEvent, clock};
use from::From;
use reading::{Ended, Partition, Reading};

/// Without `--follow` and `--timeout`: a hub that owes events and sends none for so long has something wrong with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the command; the exit code.
pub(super) async fn run(args: Box<ReceiveArgs>) -> u8 {
    match traced(&args).await {
        Ok(()) => 0,
        Err(failure) => {
            output::complain(&failure);
            failure.kind.exit_code()
        }
    }
}

async fn traced(args: &ReceiveArgs) -> Result<(), Failure> {
    let trace = Trace::start(&args.trace)?;
    let received = receive(args, &trace).await;
    trace.finish().await;
    received
}

async fn receive(args: &ReceiveArgs, trace: &Trace) -> Result<(), Failure> {
    if !args.follow && args.from == From::At(Position::Latest) {
        return Err(Failure::input("--from latest reads only what is still to come; add --follow"));
    }
    let network = settings::network(&args.to)?;
    let options = trace.of(settings::options(&args.to, network.connection_string.host(), None)?);
    if !args.quiet {
        let warn = |warning| output::warn(format_args!("{}: {warning}", network.source));
        network.connection_string.warnings().iter().for_each(warn);
    }
    let failed = |error: io::Error| Failure::configuration(format!("cannot read: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let printer = Printer::start().map_err(failed)?;
    let mut sink = Sink::new(args, &network, printer);
    let mut reading = Reading::new(args, &network, &options);
    let ended = reading.run(&mut sink, &mut signals).await;
    let printed = sink.printer.finish().await;
    if !args.quiet && !reading.partitions().is_empty() {
        tell(args, &network.event_hub, &sink.tally, reading.partitions());
    }
    verdict(args, ended?, printed, &sink.tally)
}

/// Where events are printed, and how many have been.
struct Sink<'a> {
    args: &'a ReceiveArgs,
    event_hub: &'a str,
    printer: Printer,
    tally: Tally,
}

#[derive(Debug)]
struct Tally {
    events: u64,
    /// Of the messages that came.
    bytes: u64,
    started: Instant,
}

impl<'a> Sink<'a> {
    fn new(args: &'a ReceiveArgs, network: &'a Network, printer: Printer) -> Self {
        let tally = Tally { events: 0, bytes: 0, started: clock::now() };
        Self { args, event_hub: &network.event_hub, printer, tally }
    }

    /// How many more are wanted.
    fn is_full(&self) -> bool {
        self.args.count.is_some_and(|count| self.tally.events >= count)
    }

    async fn print(&mut self, partition_id: &str, received: ReceivedEvent) -> io::Result<()> {
        self.tally.events += 1;
        self.tally.bytes += received.encoded_len as u64;
        let piece = self.rendered(partition_id, received);
        self.printer.print(piece).await
    }

    fn rendered(&self, partition_id: &str, received: ReceivedEvent) -> Vec<u8> {
        let mut out = Vec::new();
        match (&self.args.print, self.args.output) {
            (Some(format), _) => format.print(&mut out, self.event_hub, partition_id, &received),
            (None, Rendering::Raw) => out.extend_from_slice(&format::body(&received.event)),
            (None, Rendering::Text) => {
                out.extend_from_slice(&format::body(&received.event));
                out.push(b'\n');
            }
            (None, Rendering::Jsonl) => {
                out = json::received_line(self.event_hub, partition_id, received).into_bytes();
                out.push(b'\n');
            }
        }
        out
    }
}

/// What was read, to standard error.
fn tell(args: &ReceiveArgs, event_hub: &str, tally: &Tally, partitions: &[Partition]) {
    let elapsed = clock::now().duration_since(tally.started);
    let events = counted(tally.events, "event", "events");
    let from = counted(partitions.len() as u64, "partition", "partitions");
    let bytes = size(tally.bytes);
    output::note(format_args!("received {events} ({bytes}) from {from} of {event_hub} in {}", time(elapsed)));
    for partition in partitions.iter().filter(|_| args.metrics) {
        output::note(partition);
    }
}

fn verdict(args: &ReceiveArgs, ended: Ended, printed: io::Result<()>, tally: &Tally) -> Result<(), Failure> {
    match (ended, printed) {
        (_, Err(error)) if !output::is_reader_gone(&error) => {
            Err(Failure::configuration(format!("cannot print: {error}; check where standard output goes")))
        }
        // Whoever read the pipe has seen enough.
        (_, Err(_)) | (Ended::Unread | Ended::Complete, Ok(())) => Ok(()),
        (Ended::Signal(_), Ok(())) if args.follow && args.count.is_none() => Ok(()),
        (Ended::Signal(kind), Ok(())) => Err(Failure::new(kind, "ended by a signal before all events were read")),
        (Ended::Quiet(limit), Ok(())) => quiet(args, limit, tally),
    }
}

/// Nothing came for `limit`: that is the end only if no more was owed.
fn quiet(args: &ReceiveArgs, limit: Duration, tally: &Tally) -> Result<(), Failure> {
    let limit = humantime::format_duration(limit);
    match args.count {
        Some(count) => {
            let events = tally.events;
            Err(Failure::new(Kind::Unreachable, format!("{events} of {count} events came, and none for {limit}")))
        }
        None if args.follow => Ok(()),
        None => {
            let text =
                format!("no event came for {limit}, and the end was not reached; try again from where it stopped");
            Err(Failure::new(Kind::Unreachable, text))
        }
    }
}
