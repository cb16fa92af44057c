//! The arguments of `hubwire bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::values::{property, size, time};
use super::{EXIT_CODES, WhereTo};
use crate::bench::{Bodies, Keys, Limit, Route, Schedule, Sizes};
use crate::cli::trace::TraceArgs;

const EXAMPLES: &str = "Examples:
  hubwire bench --sink
  hubwire bench --emulator --rate 5000/s --size 100:0.7,1k:0.25,60k:0.05
  hubwire bench --emulator --rtt 20ms --throughput-units 2 --rate 500..4000/s:30s
  hubwire bench --event-hub telemetry --rate 1000/s --receive --save today.json --save today.html
  hubwire bench --sink --rounds 5 --baseline today.json --fail-if 'rate<-5%' --fail-if 'p99>+10%'
  hubwire bench --emulator --find-max --limit 'p99>50ms'
  hubwire bench compare yesterday.json today.json";

pub(in crate::cli) const DEFAULT_PARTITIONS: u32 = 4;
pub(in crate::cli) const DEFAULT_RETRIES: u32 = 3;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct BenchArgs {
    #[command(subcommand)]
    pub(in crate::cli) command: Option<BenchCommand>,

    #[command(flatten)]
    pub(in crate::cli) against: Against,

    #[command(flatten)]
    pub(in crate::cli) what: What,

    #[command(flatten)]
    pub(in crate::cli) pace: Pace,

    #[command(flatten)]
    pub(in crate::cli) judged: Judged,

    #[command(flatten)]
    pub(in crate::cli) told: Told,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BenchCommand {
    /// Compare two saved runs: the first is what was, the second what is.
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CompareArgs {
    /// A report, saved by --save FILE.json or --output json
    pub(in crate::cli) before: PathBuf,

    /// Another one
    pub(in crate::cli) after: PathBuf,

    /// Exit with code 9 if this comes true, e.g. 'p99>+10%' or 'rate<-5%'; may be repeated
    #[arg(long = "fail-if", value_name = "LIMIT", allow_hyphen_values = true)]
    pub(in crate::cli) limits: Vec<Limit>,
}

/// Whom it is published to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Against")]
pub(in crate::cli) struct Against {
    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// An emulator in this process, on a thread of its own: needs no connection string
    #[arg(long, conflicts_with_all = ["connection_string_file", "ca_file", "platform_roots", "endpoint", "websocket", "proxy", "sink"])]
    pub(in crate::cli) emulator: bool,

    /// A peer in this process that takes everything and keeps nothing: what the client alone can do
    #[arg(long, conflicts_with_all = ["connection_string_file", "ca_file", "platform_roots", "endpoint", "websocket", "proxy"])]
    pub(in crate::cli) sink: bool,

    /// How far the emulator is away, e.g. 20ms
    #[arg(long, value_name = "TIME", value_parser = time, requires = "emulator")]
    pub(in crate::cli) rtt: Option<Duration>,

    /// Have the emulator throttle to this many throughput units: 1 MiB or 1,000 events a second each
    #[arg(long, value_name = "UNITS", requires = "emulator", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) throughput_units: Option<u32>,

    /// Partitions of the emulator's hub
    #[arg(long, value_name = "N", requires = "emulator", default_value_t = DEFAULT_PARTITIONS, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(in crate::cli) partitions: u32,

    /// Time for each of: connecting, attaching, sending a batch [default: 30s, 30s, 60s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) timeout: Option<Duration>,

    /// How often a batch is sent again that is certain not to be stored
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RETRIES)]
    pub(in crate::cli) retries: u32,
}

/// What is published.
#[derive(Debug, Args)]
#[command(next_help_heading = "Events")]
pub(in crate::cli) struct What {
    /// Bytes of bodies: 1KiB, a range 100..2k, weights 100:0.7,1k:0.3, or file:PATH with one size a line
    #[arg(short, long = "size", value_name = "SIZES", default_value = "1KiB")]
    pub(in crate::cli) sizes: Sizes,

    /// What is in them: random, compressible, template:PATH or lines:PATH; the last two have a size of their own
    #[arg(long = "body", value_name = "BODIES", default_value = "random")]
    pub(in crate::cli) bodies: Bodies,

    /// Partition keys: none, round-robin:N, uniform:N, zipf:N[:EXPONENT] or file:PATH with one key a line
    #[arg(short, long, value_name = "KEYS", default_value = "none")]
    pub(in crate::cli) keys: Keys,

    /// Where they go: hub, a partition's number, or all partitions in turn
    #[arg(long = "partition", value_name = "WHERE", default_value = "hub")]
    pub(in crate::cli) route: Route,

    /// Put an application property on every event; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    pub(in crate::cli) properties: Vec<(String, String)>,

    /// Events of a batch at most [default: as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) batch_events: Option<u64>,

    /// Bytes of a batch at most, e.g. 64KiB [default: what the hub takes]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(in crate::cli) batch_bytes: Option<u64>,

    /// How long a batch's first event waits for others [default: 5ms with --rate, else until the batch is full]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(in crate::cli) linger: Option<Duration>,

    /// Where all that is random begins: the same seed, the same events
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) seed: u64,
}

/// How fast, and over what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pace")]
pub(in crate::cli) struct Pace {
    /// Events or bytes a second: 5000/s, 10MiB/s; steps 1000/s:10s,2000/s:10s; ramps 0..5000/s:30s [default: as fast as possible]
    #[arg(short, long, value_name = "RATE")]
    pub(in crate::cli) rate: Option<Schedule>,

    /// Events are due at random times of that rate, as those of many independent sources are
    #[arg(long, requires = "rate")]
    pub(in crate::cli) poisson: bool,

    /// Send what was due while nothing could be sent as soon as it can be, all at once; else it is missed
    #[arg(long, requires = "rate")]
    pub(in crate::cli) catch_up: bool,

    /// End after so many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) events: Option<u64>,

    /// End after so many bytes of bodies, e.g. 1GiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(in crate::cli) bytes: Option<u64>,

    /// End after so long [default: 10s, if nothing else ends it]
    #[arg(short, long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) duration: Option<Duration>,

    /// Before that, and left out of every figure
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(in crate::cli) warm_up: Duration,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) connections: u32,

    /// Links on each connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(in crate::cli) links: u32,

    /// Batches under way on each link, or with `--partition all` on those to all partitions together
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(in crate::cli) in_flight: u32,

    /// One batch at a time, as a program does that awaits each send
    #[arg(long, conflicts_with = "in_flight")]
    pub(in crate::cli) sequential: bool,

    /// Read on every partition: latency from end to end, and a check for loss, duplicates and order
    #[arg(long, conflicts_with = "sink")]
    pub(in crate::cli) receive: bool,
}

/// What is made of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Judgement")]
pub(in crate::cli) struct Judged {
    /// Run it so many times: the figures are those of the middle round, and their spread is known
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) rounds: u32,

    /// Compare with a saved report
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) baseline: Option<PathBuf>,

    /// Exit with code 9 if this comes true: 'p99>100ms', 'errors>0.1%', or a change of the baseline such as 'p99>+10%'; may be
    /// repeated
    #[arg(long = "fail-if", value_name = "LIMIT", allow_hyphen_values = true)]
    pub(in crate::cli) limits: Vec<Limit>,

    /// Raise the rate, from --rate or 1000/s on, until a limit is broken or the rate is not kept, and tell the knee
    #[arg(long, conflicts_with_all = ["baseline", "rounds", "events", "bytes", "sequential"])]
    pub(in crate::cli) find_max: bool,

    /// What breaks a rate of --find-max; may be repeated [default: p99>50ms, errors>0%]
    #[arg(long = "limit", value_name = "LIMIT", requires = "find_max", allow_hyphen_values = true)]
    pub(in crate::cli) max_limits: Vec<Limit>,
}

/// How it is told.
#[derive(Debug, Args)]
#[command(next_help_heading = "Report")]
pub(in crate::cli) struct Told {
    /// The report on standard output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub(in crate::cli) output: Form,

    /// Save the report as well, in the form that the name ends with: .json, .csv, .hlog or .html; may be repeated
    #[arg(long = "save", value_name = "FILE")]
    pub(in crate::cli) saves: Vec<PathBuf>,

    /// Print the workload, and run nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// Say nothing while it runs
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// Tables
    Text,
    /// One JSON object, with everything
    Json,
    /// A line of names and a line for each round
    Csv,
}
