//! The arguments, and the texts that explain them.

pub(super) mod algorithm;
pub(super) mod bench;
pub(super) mod connection_string;
pub(super) mod decode;
pub(super) mod doctor;
pub(super) mod emulator;
pub(super) mod info;
pub(super) mod partition;
pub(super) mod proxy;
pub(super) mod receive;
pub(super) mod replay;
pub(super) mod sas;
pub(super) mod send;
pub(super) mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Why a connection string is no argument, and what to do instead.
pub(super) const CONNECTION_STRING_ADVICE: &str = "a connection string is not taken as an argument: every user of this \
    machine can read the arguments of a process, and shells keep them; set the environment variable CONNECTION_STR, or \
    name a file with --connection-string-file";

const EXIT_CODES: &str = "\
Exit codes:
    0  every event was accepted
    2  the arguments or the input are wrong; see the message for which line
    3  the connection string or another setting is wrong
    4  the hub refused: key, event hub or partition; change something before you try again
    5  the hub rejected a batch
    6  the hub could not be reached, or did not answer in time; safe to send again
    7  some outcomes are unknown; sending again may store events twice: decide
    8  what `hubwire decode` was given is malformed
    9  a limit of `bench` is broken: --fail-if
  130  ended by Ctrl-C (143 by SIGTERM)";

/// Publish events to Azure Event Hubs over AMQP 1.0, and learn what became of every one.
#[derive(Debug, Parser)]
#[command(name = "hubwire", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Send events: the arguments, a file, or standard input.
    ///
    /// The connection string is read from the environment variable CONNECTION_STR. Events go out in batches as large
    /// as the hub takes, several under way at a time; the result says how many were accepted, rejected, not sent, and
    /// of how many the outcome is unknown. What is certain not to be stored is sent again, --retries times at most; what may be
    /// stored is not: that is yours to decide.
    Send(Box<send::SendArgs>),
    /// Receive events from one partition or all, and print them.
    ///
    /// Reads what the event hub holds, oldest first in each partition, and ends there; with --follow it goes on with
    /// what comes. Events go to standard output, all else to standard error. What --output jsonl prints, `hubwire send
    /// --format jsonl` takes: a hub can be copied by a pipe.
    Receive(Box<receive::ReceiveArgs>),
    /// Tell what an event hub is: its partitions, and how far each has come.
    Info(Box<info::InfoArgs>),
    /// Show bytes of AMQP field by field: hex, raw bytes, a capture (pcap, pcapng), or a recorded trace.
    ///
    /// Frames, performatives, messages, and batches event by event, with the size of each part, and how many of its bytes
    /// are body. Malformed input is shown up to the byte where it breaks, with what was expected there. Tokens, keys and
    /// logins are masked.
    Decode(decode::DecodeArgs),
    /// Find out in seconds why a connection fails, or that it does not: each step, its time, the cause, what to try next.
    ///
    /// Name, TCP, TLS with its certificate, the clock, SASL, open, token, attach; with --send one event, with --round-trip
    /// there and back. At the first failure it says what is the matter in plain words. What it prints holds no secret and
    /// can be pasted into a ticket.
    Doctor(Box<doctor::DoctorArgs>),
    /// Sign a token, say what one grants, or whether a key signed it.
    Sas(Box<sas::SasArgs>),
    /// Say what is in a connection string and what is odd in it, or mask it for others to read.
    ConnectionString(Box<connection_string::ConnectionStringArgs>),
    /// Tell which partition a key goes to, and how the keys of a file spread.
    Partition(Box<partition::PartitionArgs>),
    /// Run an Event Hubs namespace on this machine, in memory, for programs to publish to.
    ///
    /// It prints a connection string to paste, then a line `hubwire emulator ready on <address>`, and runs until
    /// Ctrl-C or SIGTERM.
    Emulator(Box<emulator::EmulatorArgs>),
    /// Measure throughput and latency: of a hub, of an emulator, or of the client alone.
    ///
    /// Publishes a workload as fast as possible, or at a rate; tells what became of every event, latencies from the time
    /// events were due and from when they were sent, CPU, memory, and the throughput units that the rate needs. It ends
    /// after 10 s unless --duration, --events or --bytes say otherwise. See docs/benchmarking.md.
    Bench(Box<bench::BenchArgs>),
    /// Play the server's side of a recording to a client, on this machine.
    ///
    /// What `--record` has written is played once: each connection that comes is shown the next of the recording, as it went
    /// then, waits included, with the client's names of today in place of those it had. It ends with the last.
    Replay(replay::ReplayArgs),
    /// Run as the algorithm of a host that gives requests line by line and reads answers from a FIFO.
    ///
    /// Each request is `{"content_type": ..., "data": ...}` in a line of standard input, with {"events": ["...", "..."]} as its data;
    /// each answer is one JSON object. The connection string is read from the environment variable CONNECTION_STR, and only
    /// from there. The connection is kept between requests. It ends with its input.
    #[command(mut_arg("connection_string_file", |arg| arg.hide(true)))]
    Algorithm(Box<algorithm::AlgorithmArgs>),
    /// Let any SDK through to a namespace, and show both sides.
    ///
    /// It listens as an emulator does, so that SDKs connect in their emulator mode, without TLS; it goes on to the namespace of
    /// CONNECTION_STR with its credentials in place of the SDK's. Without --trace it shows lines. It runs until Ctrl-C or
    /// SIGTERM.
    Proxy(Box<proxy::ProxyArgs>),
}

/// Which event hub, and by what right.
#[derive(Debug, Args)]
pub(super) struct WhereTo {
    /// Read the connection string from this file instead of CONNECTION_STR
    #[arg(long, value_name = "FILE")]
    pub(super) connection_string_file: Option<PathBuf>,

    /// Not taken: arguments show in process lists
    #[arg(long, hide = true, num_args = 0..=1)]
    pub(super) connection_string: Option<Option<OsString>>,

    /// The event hub; else EVENTHUB_NAME from the environment, else EntityPath of the connection string
    #[arg(short, long, value_name = "NAME")]
    pub(super) event_hub: Option<String>,

    /// Trust the certificates in this PEM file beside the bundled ones, or the platform's
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,

    /// Trust the platform's certificates in place of the bundled ones
    #[arg(long)]
    pub(super) platform_roots: bool,

    /// Connect to this host instead of the namespace's own, e.g. a private endpoint; the names stay the namespace's
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) endpoint: Option<String>,

    /// Speak AMQP over WebSocket, which takes port 443
    #[arg(long)]
    pub(super) websocket: bool,

    /// Go through an HTTP proxy: http://HOST:PORT, a file that holds its URL, or `env` for HTTPS_PROXY or ALL_PROXY
    #[arg(long, value_name = "URL|FILE|env")]
    pub(super) proxy: Option<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// A sentence
    Text,
    /// One JSON object
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }
}
