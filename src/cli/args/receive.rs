//! The arguments of `hubwire receive`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{name, time};
use super::{EXIT_CODES, WhereTo};
use crate::DEFAULT_CONSUMER_GROUP;
use crate::cli::receive::{format, from, from::From};
use crate::cli::trace::TraceArgs;

const EXAMPLES: &str = r#"Examples:
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

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{FORMAT}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct ReceiveArgs {
    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Read this partition alone; may be repeated [default: all]
    #[arg(short, long = "partition-id", value_name = "N", value_parser = name)]
    pub(in crate::cli) partition_ids: Vec<String>,

    /// Read as this consumer group
    #[arg(short = 'g', long, value_name = "GROUP", default_value = DEFAULT_CONSUMER_GROUP, value_parser = name)]
    pub(in crate::cli) consumer_group: String,

    /// Where to begin: earliest, latest, offset:N, sequence:N (that event included), a time such as 2026-11-22T09:05:00Z,
    /// or a span such as 15m before now
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = from::parse)]
    pub(in crate::cli) from: From,

    /// Go on with what comes, until Ctrl-C, --count or --timeout
    #[arg(short = 'F', long)]
    pub(in crate::cli) follow: bool,

    /// End after so many events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,

    /// End when no event has come for so long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) timeout: Option<Duration>,

    /// How events are printed
    #[arg(short, long, value_enum, default_value_t = Rendering::Text)]
    pub(in crate::cli) output: Rendering,

    /// Print each event by this format; see --help
    #[arg(long, value_name = "FORMAT", value_parser = format::Format::parse, conflicts_with = "output")]
    pub(in crate::cli) print: Option<format::Format>,

    /// Be the only reader of these partitions: take them over from readers of a lower level
    #[arg(long, value_name = "LEVEL")]
    pub(in crate::cli) owner_level: Option<i64>,

    /// Ask how far each partition has come: told in jsonl, and at the end
    #[arg(long)]
    pub(in crate::cli) metrics: bool,

    /// Events that a partition may have under way
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) credit: u32,

    /// Say nothing but errors on standard error
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}

/// How a received event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Rendering {
    /// Each body, and a line's end
    Text,
    /// Each event as a line of JSON, as `hubwire send --format jsonl` takes it
    Jsonl,
    /// The bodies, one behind the other, as they are
    Raw,
}
