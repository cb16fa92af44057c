//! `hubwire send`.

use super::args::Output;
use super::args::send::SendArgs;
use super::failure::Failure;
use super::input::{self, Content, Input};
use super::output;
use super::progress::Progress;
use super::publish::{Limits, Publisher};
use super::report::{Report, interrupted};
use super::settings::{self, Destination};
use super::signal::Signals;
use super::trace::Trace;
use crate::clock;
use crate::emulator::Emulator;
use crate::wire::connection_string::ConnectionString;
use crate::{Connection, ConnectionEvent, Options, Retry, Sender};

/// Partitions of the hub in an emulator that lives as long as the command.
const EMULATOR_PARTITIONS: u32 = 4;

/// Runs the command; the exit code.
pub(super) async fn run(args: Box<SendArgs>) -> u8 {
    let mut report = Report { is_emulator: args.emulator, ..Report::default() };
    let sent = match Trace::start(&args.trace) {
        Ok(trace) => {
            let sent = send(&args, &trace, &mut report).await;
            trace.finish().await;
            sent
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = sent {
        report.tally.fail(failure);
    }
    tell(&args, &report);
    report.tally.exit_code()
}

/// Settings first, then input, then the network: a mistake of ours costs no connection.
async fn send(args: &SendArgs, trace: &Trace, report: &mut Report) -> Result<(), Failure> {
    let destination = settings::destination(&args.to, args.emulator)?;
    report.event_hub = Some(destination.event_hub().to_owned());
    let options = trace.of(watched(args, settings::options(&args.to, destination.host(), args.timeout)?));
    let source = destination.source().to_owned();
    let mut peer = Peer::new(destination)?;
    report.namespace = Some(peer.connection_string.host().to_owned());
    if !args.quiet {
        let warn = |warning| output::warn(format_args!("{source}: {warning}"));
        peer.connection_string.warnings().iter().for_each(warn);
    }

    let failed = |error| Failure::configuration(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::listen().map_err(failed)?;
    let input = tokio::select! {
        input = input::open(args) => input?,
        signal = signals.next() => return Err(interrupted(signal)),
    };

    let started = clock::now();
    let result = publish(args, &mut peer, &options, input, &mut signals, report).await;
    report.elapsed.get_or_insert_with(|| clock::now().duration_since(started));
    result
}

/// What happens on the way is told as it happens: a hub that is busy, a connection that is lost.
fn watched(args: &SendArgs, options: Options) -> Options {
    let options = options.retry(Retry::default().attempts(args.retries));
    if args.quiet {
        return options;
    }
    warning(options)
}

/// Options that tell what is worth a warning as it happens.
pub(super) fn warning(options: Options) -> Options {
    options.on_event(|event| match event {
        // Told at the end, with what it led to.
        ConnectionEvent::GaveUp { .. } | ConnectionEvent::Closed { .. } => {}
        event if event.is_warning() => output::warn(event),
        _ => {}
    })
}

async fn publish(
    args: &SendArgs,
    peer: &mut Peer,
    options: &Options,
    input: Input,
    signals: &mut Signals,
    report: &mut Report,
) -> Result<(), Failure> {
    let started = clock::now();
    let (read, total) = match &input.content {
        Content::Whole(items) => (items.len() as u64, Some(items.len() as u64)),
        Content::Stream(stream) => (stream.waiting_count(), None),
    };
    let connected = tokio::select! {
        connected = peer.connect(options, args.partition_id) => connected,
        signal = signals.next() => Err(interrupted(signal)),
    };
    let (connection, sender) = connected.inspect_err(|_| report.tally.not_sent = read)?;
    let limits = Limits { max_batch_len: args.max_batch_bytes, max_in_flight: args.in_flight.into() };
    let progress = Progress::new(!args.quiet && !args.no_progress && !args.trace.is_on_stderr(), total);
    let publisher = Publisher::new(connection.clone(), sender, &limits, signals, progress);
    report.tally = publisher.publish(input).await;
    if args.emulator {
        // What differed was the sizes of batches.
        report.tally.failures.dedup();
    }
    report.elapsed = Some(clock::now().duration_since(started));
    if !signals.are_urgent() {
        tokio::select! {
            () = connection.close() => {}
            _ = signals.next() => {}
        }
    }
    Ok(())
}

/// Whom the events go to.
struct Peer {
    connection_string: ConnectionString,
    event_hub: String,
    /// Kept for as long as the connection to it.
    emulator: Option<Emulator>,
}

impl Peer {
    fn new(destination: Destination) -> Result<Self, Failure> {
        match destination {
            Destination::Network { connection_string, event_hub, .. } => {
                Ok(Self { connection_string: *connection_string, event_hub, emulator: None })
            }
            Destination::Emulator { event_hub } => {
                let (emulator, connection_string) = emulator_of(&event_hub)?;
                Ok(Self { connection_string, event_hub, emulator: Some(emulator) })
            }
        }
    }

    async fn connect(&mut self, options: &Options, partition_id: Option<u32>) -> Result<(Connection, Sender), Failure> {
        let opened = match &self.emulator {
            Some(emulator) => Connection::open_over(emulator.connect(), &self.connection_string, options).await,
            None => Connection::open(&self.connection_string, options).await,
        };
        let connection = opened.map_err(|error| Failure::of_error(&error))?;
        let attached = match partition_id {
            Some(id) => connection.partition_sender(&self.event_hub, &id.to_string()).await,
            None => connection.sender(&self.event_hub).await,
        };
        match attached {
            Ok(sender) => Ok((connection, sender)),
            Err(error) => {
                connection.close().await;
                Err(Failure::of_error(&error))
            }
        }
    }
}

/// An emulator with this event hub, and what leads to it.
pub(super) fn emulator_of(event_hub: &str) -> Result<(Emulator, ConnectionString), Failure> {
    let built = Emulator::builder().event_hub(event_hub, EMULATOR_PARTITIONS).build();
    let emulator = built.map_err(|error| Failure::configuration(error.to_string()))?;
    let parsed = ConnectionString::parse(&emulator.connection_string(Some(event_hub)));
    Ok((emulator, parsed.map_err(|error| Failure::configuration(error.to_string()))?))
}

/// Errors to standard error; the result to standard output.
fn tell(args: &SendArgs, report: &Report) {
    let is_fine = report.tally.failures.is_empty();
    let text = match args.output {
        Output::Json => Some(report.json()),
        Output::Text if report.has_counts() && !(is_fine && args.quiet) => Some(report.to_string()),
        Output::Text => None,
    };
    // The events are where they are: a result that is lost must not read as a reason to send them again.
    if let Some(text) = text
        && let Err(error) = output::line(&text)
        && !output::is_reader_gone(&error)
    {
        output::complain(format_args!("cannot write the result to standard output: {error}; it is: {text}"));
    }
    report.tally.failures.iter().for_each(output::complain);
}
