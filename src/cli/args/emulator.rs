//! The arguments of `hubwire emulator`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use super::values::{consumer_group, hub, size, size_or_0, time};
use crate::cli::rule::{self, RuleArg};
use crate::cli::trace::TraceArgs;
use crate::emulator::Fault;

const EXAMPLES: &str = "Examples:
  hubwire emulator
  hubwire emulator --event-hub telemetry:4 --event-hub audit --print-events
  hubwire emulator --config Config.json --health 127.0.0.1:5300 --verbose
  hubwire emulator --tls --websocket 127.0.0.1:8443
  hubwire emulator --listen 127.0.0.1:0 --max-message-size 256KiB --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("speaks_tls").args(["tls", "tls_cert"]).multiple(true)))]
pub(in crate::cli) struct EmulatorArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:5672, with TLS 127.0.0.1:5671]
    #[arg(short, long, value_name = "ADDRESS")]
    pub(in crate::cli) listen: Option<String>,

    /// Event hubs and consumer groups from the official emulator's Config.json; options beside it add to it
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) config: Option<PathBuf>,

    /// An event hub, with its partitions if not 4; may be repeated [default: telemetry:4, unless --config is there]
    #[arg(short, long = "event-hub", value_name = "NAME[:PARTITIONS]", value_parser = hub)]
    pub(in crate::cli) event_hubs: Vec<(String, u32)>,

    /// A consumer group beside $Default; may be repeated
    #[arg(long = "consumer-group", value_name = "EVENT_HUB/GROUP", value_parser = consumer_group)]
    pub(in crate::cli) consumer_groups: Vec<(String, String)>,

    /// A shared access rule with a key of your own; may be repeated
    #[arg(
        long = "rule",
        value_name = "name=NAME,key-file=FILE[,rights=send+listen+manage][,event-hub=NAME]",
        value_parser = rule::parse
    )]
    pub(in crate::cli) rules: Vec<RuleArg>,

    /// The largest message taken, up to 20MiB [default: 1MiB, or the tier's]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(in crate::cli) max_message_size: Option<u64>,

    /// How long events are kept
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = time)]
    pub(in crate::cli) retention: Duration,

    /// What the stored events may take; the oldest are dropped
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    pub(in crate::cli) retention_bytes: u64,

    /// How much of their memory to touch right after the start, on a thread of its own; 0 for none, as events come
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size_or_0)]
    pub(in crate::cli) pretouch: u64,

    /// How many events of a partition are enough to keep [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(in crate::cli) retention_events: Option<u64>,

    /// The limits of a tier, with its throughput; options beside it count
    #[arg(long, value_name = "TIER")]
    pub(in crate::cli) tier: Option<EmulatedTier>,

    /// Throttle to this many throughput units: 1 MiB or 1,000 events a second each
    #[arg(long, value_name = "UNITS")]
    pub(in crate::cli) throughput_units: Option<u32>,

    /// Be so far away: bytes arrive half of it later, either way
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(in crate::cli) rtt: Option<Duration>,

    /// Cut off a peer that is silent for so long [default: 4m]
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(in crate::cli) idle_timeout: Option<Duration>,

    /// Detach a publisher's link that rests for so long [default: 10m]
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(in crate::cli) link_idle_timeout: Option<Duration>,

    /// Close a connection that has no link for so long [default: 5m, and 1m at its start]
    #[arg(long, value_name = "SPAN", value_parser = time)]
    pub(in crate::cli) linkless_timeout: Option<Duration>,

    /// Do something wrong, e.g. 'reject nth=2 condition=amqp:not-allowed'; may be repeated. See docs/emulator.md
    #[arg(long = "fault", value_name = "FAULT")]
    pub(in crate::cli) faults: Vec<Fault>,

    /// The same from a file: one fault a line
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) fault_file: Option<PathBuf>,
    /// Speak TLS, with a certificate made on start for localhost, 127.0.0.1 and ::1
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    pub(in crate::cli) tls: bool,

    /// Another name or IP address that the certificate is for; the first is in the connection string; may be repeated
    #[arg(long = "tls-name", value_name = "NAME", requires = "speaks_tls")]
    pub(in crate::cli) tls_names: Vec<String>,

    /// Where the certificate of the authority made for --tls goes [default: hubwire-emulator-ca.pem]
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(in crate::cli) tls_ca_out: Option<PathBuf>,

    /// Speak TLS with this certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(in crate::cli) tls_cert: Option<PathBuf>,

    /// The key to --tls-cert, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(in crate::cli) tls_key: Option<PathBuf>,

    /// Take AMQP over WebSocket here as well, at /$servicebus/websocket; over TLS if that is on
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) websocket: Option<String>,

    /// Answer GET /health over HTTP here; the official emulator's port is 5300
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) health: Option<String>,

    /// Print each event as a line of JSON as it comes
    #[arg(long)]
    pub(in crate::cli) print_events: bool,

    /// Tell each connection, token, link and batch in a line on standard error
    #[arg(short, long)]
    pub(in crate::cli) verbose: bool,

    /// Speak JSON on standard error: one object for the start, for each thing told, and for the totals
    #[arg(long)]
    pub(in crate::cli) json: bool,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum EmulatedTier {
    /// 256 KiB a message, one throughput unit
    Basic,
    /// 1 MiB a message, one throughput unit
    Standard,
    /// 1 MiB a message, no throughput units
    Premium,
}
