//! The arguments, and the texts that explain them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::decode::Form;
use super::receive::{format, from, from::From};
use super::rule::{self, RuleArg};
use super::trace::TraceArgs;
use crate::DEFAULT_CONSUMER_GROUP;
use crate::emulator::Fault;
use crate::wire::dissect::Secrets;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

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
  130  ended by Ctrl-C (143 by SIGTERM)";

const SEND_EXAMPLES: &str = r#"Examples:
  hubwire send 'first event' 'second event'
  echo '{"events": ["first event", "second event"]}' | hubwire send
  hubwire send --input readings.txt --partition-key device-42 --output json
  hubwire send --emulator 'try it without Azure'"#;

const RECEIVE_EXAMPLES: &str = r#"Examples:
  hubwire receive
  hubwire receive --follow --from latest --output jsonl
  hubwire receive --partition-id 0 --from sequence:1000 --count 10
  hubwire receive --from 15m --print '%p %q %T %k: %s\n'
  hubwire receive --output jsonl | EVENTHUB_NAME=copy hubwire send --format jsonl"#;

const FORMAT: &str = "\
In --print:
  %s body              %S its bytes         %k partition key     %K its bytes
  %t event hub         %p partition id      %q sequence number   %o offset
  %T enqueued, in milliseconds since 1970   %D the same as a date
  %h properties as name=value,...           %% a percent sign    \\n \\t \\r \\0 \\\\ \\xHH";

const INFO_EXAMPLES: &str = "Examples:
  hubwire info
  hubwire info --event-hub telemetry --output json";

const DECODE_EXAMPLES: &str = "Examples:
  echo 414d515000010000 | hubwire decode
  hubwire decode capture.pcapng
  hubwire decode --as message --hex batch.bin
  hubwire decode --output json capture.pcap | jq .parts";

const DECODE_EXIT_CODES: &str = "\
Exit codes:
    0  all of it is decoded
    2  the arguments are wrong, or the input cannot be read; see the message
    3  standard output cannot be written to
    8  something is malformed; it is shown up to where it breaks";

const EMULATOR_EXAMPLES: &str = "Examples:
  hubwire emulator
  hubwire emulator --event-hub telemetry:4 --event-hub audit --print-events
  hubwire emulator --config Config.json --health 127.0.0.1:5300 --verbose
  hubwire emulator --tls --websocket 127.0.0.1:8443
  hubwire emulator --listen 127.0.0.1:0 --max-message-size 256KiB --json";

const REPLAY_EXAMPLES: &str = "Examples:
  hubwire send --record session.rec 'first event'
  hubwire replay session.rec
  hubwire replay session.rec --connection 2 --fast --listen 127.0.0.1:5672";

const PROXY_EXAMPLES: &str = "Examples:
  hubwire proxy
  hubwire proxy --listen 127.0.0.1:5672 --trace=json --trace-file sdk.jsonl --pcap sdk.pcapng
  hubwire proxy --fault 'cut written=2000'";

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
    #[command(after_help = SEND_EXAMPLES, after_long_help = format!("{SEND_EXAMPLES}\n\n{EXIT_CODES}"))]
    Send(Box<SendArgs>),
    /// Receive events from one partition or all, and print them.
    ///
    /// Reads what the event hub holds, oldest first in each partition, and ends there; with --follow it goes on with
    /// what comes. Events go to standard output, all else to standard error. What --output jsonl prints, `hubwire send
    /// --format jsonl` takes: a hub can be copied by a pipe.
    #[command(after_help = RECEIVE_EXAMPLES, after_long_help = format!("{RECEIVE_EXAMPLES}\n\n{FORMAT}\n\n{EXIT_CODES}"))]
    Receive(Box<ReceiveArgs>),
    /// Tell what an event hub is: its partitions, and how far each has come.
    #[command(after_help = INFO_EXAMPLES, after_long_help = format!("{INFO_EXAMPLES}\n\n{EXIT_CODES}"))]
    Info(Box<InfoArgs>),
    /// Show bytes of AMQP field by field: hex, raw bytes, a capture (pcap, pcapng), or a recorded trace.
    ///
    /// Frames, performatives, messages, and batches event by event, with the size of each part, and how many of its bytes
    /// are body. Malformed input is shown up to the byte where it breaks, with what was expected there. Tokens, keys and
    /// logins are masked.
    #[command(after_help = DECODE_EXAMPLES, after_long_help = format!("{DECODE_EXAMPLES}\n\n{DECODE_EXIT_CODES}"))]
    Decode(DecodeArgs),
    /// Run an Event Hubs namespace on this machine, in memory, for programs to publish to.
    ///
    /// It prints a connection string to paste, then a line `hubwire emulator ready on <address>`, and runs until
    /// Ctrl-C or SIGTERM.
    #[command(after_help = EMULATOR_EXAMPLES)]
    Emulator(Box<EmulatorArgs>),
    /// Play the server's side of a recording to a client, on this machine.
    ///
    /// What `--record` has written is played once: each connection that comes is shown the next of the recording, as it went
    /// then, waits included, with the client's names of today in place of those it had. It ends with the last.
    #[command(after_help = REPLAY_EXAMPLES, after_long_help = format!("{REPLAY_EXAMPLES}\n\n{EXIT_CODES}"))]
    Replay(ReplayArgs),
    /// Let any SDK through to a namespace, and show both sides.
    ///
    /// It listens as an emulator does, so that SDKs connect in their emulator mode, without TLS; it goes on to the namespace of
    /// CONNECTION_STR with its credentials in place of the SDK's. Without --trace it shows lines. It runs until Ctrl-C or
    /// SIGTERM.
    #[command(after_help = PROXY_EXAMPLES, after_long_help = format!("{PROXY_EXAMPLES}\n\n{EXIT_CODES}"))]
    Proxy(Box<ProxyArgs>),
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

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Events, one an argument. Without any, events are read from --input
    #[arg(value_name = "EVENT", conflicts_with_all = ["input", "format", "keep_empty"])]
    pub(super) events: Vec<OsString>,

    /// Read events from this file; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(super) input: PathBuf,

    /// How the input is divided into events
    #[arg(short, long, value_enum, default_value_t = Format::Auto)]
    pub(super) format: Format,

    /// Send empty lines as empty events instead of skipping them
    #[arg(long)]
    pub(super) keep_empty: bool,

    #[command(flatten)]
    pub(super) to: WhereTo,

    /// Send to an emulator inside this process: needs no connection string, and its events end with it
    #[arg(long, conflicts_with_all = ["connection_string_file", "ca_file", "platform_roots", "endpoint", "websocket", "proxy"])]
    pub(super) emulator: bool,

    /// Events with the same key go to the same partition; at most 128 characters
    #[arg(short = 'k', long, value_name = "KEY", conflicts_with = "partition_id")]
    pub(super) partition_key: Option<String>,

    /// Send to this partition
    #[arg(long, value_name = "N", value_parser = partition_id)]
    pub(super) partition_id: Option<u32>,

    /// Put an application property on every event; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    pub(super) properties: Vec<(String, String)>,

    /// The MIME type of the bodies, e.g. application/json
    #[arg(long, value_name = "TYPE")]
    pub(super) content_type: Option<String>,

    /// Make batches no larger than this, e.g. 64KiB; never larger than the hub takes
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) max_batch_bytes: Option<u64>,

    /// Time for each of: connecting, attaching, sending a batch. E.g. 500ms, 30s, 2m [default: 30s, 30s, 60s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) timeout: Option<Duration>,

    /// How often a batch is sent again that is certain not to be stored
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(super) retries: u32,

    /// Batches under way at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(super) in_flight: u16,

    /// How the result is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,

    /// Say nothing when all is well; no warnings, no progress
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Draw no progress bar
    #[arg(long)]
    pub(super) no_progress: bool,

    #[command(flatten)]
    pub(super) trace: TraceArgs,
}

/// How an input is divided into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As json if the input begins with an object that has a member `events`, else as lines
    Auto,
    /// Each line is an event's body, as it stands
    Lines,
    /// One object {"events": ["...", "..."]}, each string a body
    Json,
    /// Each line is a JSON string, or an object with `body` or `body_base64`
    Jsonl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// A sentence
    Text,
    /// One JSON object, on failure too
    Json,
}

#[derive(Debug, Args)]
pub(super) struct ReceiveArgs {
    #[command(flatten)]
    pub(super) to: WhereTo,

    /// Read this partition alone; may be repeated [default: all]
    #[arg(short, long = "partition-id", value_name = "N", value_parser = name)]
    pub(super) partition_ids: Vec<String>,

    /// Read as this consumer group
    #[arg(short = 'g', long, value_name = "GROUP", default_value = DEFAULT_CONSUMER_GROUP, value_parser = name)]
    pub(super) consumer_group: String,

    /// Where to begin: earliest, latest, offset:N, sequence:N (that event included), a time such as 2026-11-22T09:05:00Z,
    /// or a span such as 15m before now
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = from::parse)]
    pub(super) from: From,

    /// Go on with what comes, until Ctrl-C, --count or --timeout
    #[arg(short = 'F', long)]
    pub(super) follow: bool,

    /// End after so many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// End when no event has come for so long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) timeout: Option<Duration>,

    /// How events are printed
    #[arg(short, long, value_enum, default_value_t = Rendering::Text)]
    pub(super) output: Rendering,

    /// Print each event by this format; see --help
    #[arg(long, value_name = "FORMAT", value_parser = format::Format::parse, conflicts_with = "output")]
    pub(super) print: Option<format::Format>,

    /// Be the only reader of these partitions: take them over from readers of a lower level
    #[arg(long, value_name = "LEVEL")]
    pub(super) owner_level: Option<i64>,

    /// Ask how far each partition has come: told in jsonl, and at the end
    #[arg(long)]
    pub(super) metrics: bool,

    /// Events that a partition may have under way
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) credit: u32,

    /// Say nothing but errors on standard error
    #[arg(short, long)]
    pub(super) quiet: bool,

    #[command(flatten)]
    pub(super) trace: TraceArgs,
}

/// How a received event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Rendering {
    /// Each body, and a line's end
    Text,
    /// Each event as a line of JSON, as `hubwire send --format jsonl` takes it
    Jsonl,
    /// The bodies, one behind the other, as they are
    Raw,
}

#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    #[command(flatten)]
    pub(super) to: WhereTo,

    /// Tell of this partition alone; may be repeated [default: all]
    #[arg(short, long = "partition-id", value_name = "N", value_parser = name)]
    pub(super) partition_ids: Vec<String>,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = InfoOutput::Text)]
    pub(super) output: InfoOutput,

    /// Time for each of: connecting, and an answer
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) timeout: Option<Duration>,

    #[command(flatten)]
    pub(super) trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum InfoOutput {
    /// A table
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, Args)]
pub(super) struct DecodeArgs {
    /// What to decode; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub(super) input: PathBuf,

    /// How the bytes are written down
    #[arg(short, long, value_enum, default_value_t = Form::Auto)]
    pub(super) form: Form,

    /// What hex or raw bytes are
    #[arg(long, value_enum, default_value_t = What::Auto)]
    pub(super) r#as: What,

    /// How it is shown
    #[arg(short, long, value_enum, default_value_t = DecodeOutput::Text)]
    pub(super) output: DecodeOutput,

    /// Show the bytes of each part beside it
    #[arg(long)]
    pub(super) hex: bool,

    /// Show tokens, keys and logins as they are: whoever sees the output can use them
    #[arg(long)]
    pub(super) show_secrets: bool,
}

impl DecodeArgs {
    pub(super) fn secrets(&self) -> Secrets {
        if self.show_secrets { Secrets::Shown } else { Secrets::Masked }
    }
}

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum What {
    /// Found out by how they begin
    Auto,
    /// Protocol headers and frames, as on a connection
    Frames,
    /// A message: its sections, and its events if it is a batch
    Message,
    /// Values, one behind the other: a performative without its frame is one
    Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DecodeOutput {
    /// An indented tree: place, size, name, type, value
    Text,
    /// A JSON object a line for each frame or message, with the whole of every value
    Json,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("speaks_tls").args(["tls", "tls_cert"]).multiple(true)))]
pub(super) struct EmulatorArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:5672, with TLS 127.0.0.1:5671]
    #[arg(short, long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,

    /// Event hubs and consumer groups from the official emulator's Config.json; options beside it add to it
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// An event hub, with its partitions if not 4; may be repeated [default: telemetry:4, unless --config is there]
    #[arg(short, long = "event-hub", value_name = "NAME[:PARTITIONS]", value_parser = hub)]
    pub(super) event_hubs: Vec<(String, u32)>,

    /// A consumer group beside $Default; may be repeated
    #[arg(long = "consumer-group", value_name = "EVENT_HUB/GROUP", value_parser = consumer_group)]
    pub(super) consumer_groups: Vec<(String, String)>,

    /// A shared access rule with a key of your own; may be repeated
    #[arg(
        long = "rule",
        value_name = "name=NAME,key-file=FILE[,rights=send+listen+manage][,event-hub=NAME]",
        value_parser = rule::parse
    )]
    pub(super) rules: Vec<RuleArg>,

    /// The largest message taken, up to 20MiB [default: 1MiB, or the tier's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(super) max_message_size: Option<u64>,

    /// How long events are kept
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = time)]
    pub(super) retention: Duration,

    /// What the stored events may take; the oldest are dropped
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    pub(super) retention_bytes: u64,

    /// How many events of a partition are enough to keep [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(super) retention_events: Option<u64>,

    /// The limits of a tier, with its throughput; options beside it count
    #[arg(long, value_name = "TIER")]
    pub(super) tier: Option<EmulatedTier>,

    /// Throttle to this many throughput units: 1 MiB or 1,000 events a second each
    #[arg(long, value_name = "UNITS")]
    pub(super) throughput_units: Option<u32>,

    /// Cut off a peer that is silent for so long [default: 4m]
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(super) idle_timeout: Option<Duration>,

    /// Detach a publisher's link that rests for so long [default: 10m]
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(super) link_idle_timeout: Option<Duration>,

    /// Close a connection that has no link for so long [default: 5m, and 1m at its start]
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(super) linkless_timeout: Option<Duration>,

    /// Do something wrong, e.g. 'reject nth=2 condition=amqp:not-allowed'; may be repeated. See docs/emulator.md
    #[arg(long = "fault", value_name = "FAULT")]
    pub(super) faults: Vec<Fault>,

    /// The same from a file: one fault a line
    #[arg(long, value_name = "FILE")]
    pub(super) fault_file: Option<PathBuf>,
    /// Speak TLS, with a certificate made on start for localhost, 127.0.0.1 and ::1
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    pub(super) tls: bool,

    /// Another name or IP address that the certificate is for; the first is in the connection string; may be repeated
    #[arg(long = "tls-name", value_name = "NAME", requires = "speaks_tls")]
    pub(super) tls_names: Vec<String>,

    /// Where the certificate of the authority made for --tls goes [default: hubwire-emulator-ca.pem]
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(super) tls_ca_out: Option<PathBuf>,

    /// Speak TLS with this certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_cert: Option<PathBuf>,

    /// The key to --tls-cert, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(super) tls_key: Option<PathBuf>,

    /// Take AMQP over WebSocket here as well, at /$servicebus/websocket; over TLS if that is on
    #[arg(long, value_name = "ADDRESS")]
    pub(super) websocket: Option<String>,

    /// Answer GET /health over HTTP here; the official emulator's port is 5300
    #[arg(long, value_name = "ADDRESS")]
    pub(super) health: Option<String>,

    /// Print each event as a line of JSON as it comes
    #[arg(long)]
    pub(super) print_events: bool,

    /// Tell each connection, token, link and batch in a line on standard error
    #[arg(short, long)]
    pub(super) verbose: bool,

    /// Speak JSON on standard error: one object for the start, for each thing told, and for the totals
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) trace: TraceArgs,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// What `--record` has written, or `--trace=json --trace-hex`
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,

    /// Where to listen, on a loopback address; port 0 takes a free one
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(super) listen: String,

    /// Play this connection alone, as the trace counted it
    #[arg(long, value_name = "N")]
    pub(super) connection: Option<u64>,

    /// Do not wait as the server did then
    #[arg(long)]
    pub(super) fast: bool,

    /// How long a client may take for what it owes: to connect, or to say what it said then
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(super) patience: Duration,

    #[command(flatten)]
    pub(super) trace: TraceArgs,
}

#[derive(Debug, Args)]
pub(super) struct ProxyArgs {
    #[command(flatten)]
    pub(super) to: WhereTo,

    /// Where to listen, on a loopback address; port 0 takes a free one
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:5672")]
    pub(super) listen: String,

    /// Time for connecting to the namespace
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) timeout: Option<Duration>,

    /// Do something wrong to the client's stream: 'cut written=2000', 'silence for=10s', 'byte-by-byte'; may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    pub(super) faults: Vec<Fault>,

    #[command(flatten)]
    pub(super) trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EmulatedTier {
    /// 256 KiB a message, one throughput unit
    Basic,
    /// 1 MiB a message, one throughput unit
    Standard,
    /// 1 MiB a message, no throughput units
    Premium,
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn partition_id(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "expected a whole number from 0".to_owned())
}

fn consumer_group(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((event_hub, group)) => Ok((event_hub.to_owned(), group.to_owned())),
        None => Err("expected EVENT_HUB/GROUP, e.g. telemetry/readers".to_owned()),
    }
}

/// The name of a consumer group, or a partition's id, as Event Hubs has them. What is none would travel in an address, and
/// come back in the hub's words.
fn name(text: &str) -> Result<String, String> {
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_$".contains(&byte));
    if text.is_empty() || !is_name {
        return Err("use letters, digits, `.`, `-` and `_`".to_owned());
    }
    Ok(text.to_owned())
}

fn hub(text: &str) -> Result<(String, u32), String> {
    let Some((name, partitions)) = text.split_once(':') else { return Ok((text.to_owned(), 4)) };
    match partitions.parse() {
        Ok(partitions) => Ok((name.to_owned(), partitions)),
        Err(_) => Err("expected NAME or NAME:PARTITIONS, e.g. telemetry:4".to_owned()),
    }
}

/// Bytes: a whole number, alone or with `B`, `KiB` or `MiB` or `GiB`, in whatever case.
fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(unit)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "expected bytes, or a number with KiB, MiB or GiB; more than 0".to_owned())
}

/// A span such as `500ms`, `30s`, `2m` or `1m 30s`.
fn time(text: &str) -> Result<Duration, String> {
    let span = humantime::parse_duration(text).ok().filter(|span| !span.is_zero());
    span.ok_or_else(|| "expected a time such as 500ms, 30s or 2m; more than 0".to_owned())
}

fn split_unit(text: &str) -> (&str, &str) {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(unit_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("2GiB", Some(2_147_483_648)),
            ("7B", Some(7)),
            ("64kib", Some(65_536)),
            ("1MIB", Some(1_048_576)),
            ("", None),
            ("0", None),
            ("KiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("1MB", None),
            ("1 MiB", None),
            ("99999999999999999999", None),
            ("18446744073709551615KiB", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        for (text, millis) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("2m", Some(120_000)),
            ("30", None),
            ("0s", None),
            ("1h", Some(3_600_000)),
            ("1m 30s", Some(90_000)),
            ("s", None),
            ("-1s", None),
            ("18446744073709551615m", None),
        ] {
            assert_eq!(time(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn hubs_have_four_partitions_unless_they_say() {
        for (text, expected) in [
            ("telemetry", Some(("telemetry", 4))),
            ("audit:1", Some(("audit", 1))),
            ("audit:", None),
            ("audit:x", None),
            ("audit:1:2", None),
        ] {
            let expected = expected.map(|(name, partitions)| (name.to_owned(), partitions));
            assert_eq!(hub(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_property_is_split_at_the_first_equals_sign() {
        assert_eq!(property("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(property("a="), Ok(("a".to_owned(), String::new())));
        assert!(property("=b").is_err());
        assert!(property("a").is_err());
    }
}
