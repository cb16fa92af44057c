//! The arguments of `hubwire send`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::{partition_id, property, size, time};
use super::{EXIT_CODES, Output, WhereTo};
use crate::cli::trace::TraceArgs;

const EXAMPLES: &str = r#"Examples:
  hubwire send 'first event' 'second event'
  echo '{"events": ["first event", "second event"]}' | hubwire send
  hubwire send --input readings.txt --partition-key device-42 --output json
  hubwire send --emulator 'try it without Azure'"#;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct SendArgs {
    /// Events, one an argument. Without any, events are read from --input
    #[arg(value_name = "EVENT", conflicts_with_all = ["input", "format", "keep_empty"])]
    pub(in crate::cli) events: Vec<OsString>,

    /// Read events from this file; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cli) input: PathBuf,

    /// How the input is divided into events
    #[arg(short, long, value_enum, default_value_t = Format::Auto)]
    pub(in crate::cli) format: Format,

    /// Send empty lines as empty events instead of skipping them
    #[arg(long)]
    pub(in crate::cli) keep_empty: bool,

    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Send to an emulator inside this process: needs no connection string, and its events end with it
    #[arg(long, conflicts_with_all = ["connection_string_file", "ca_file", "platform_roots", "endpoint", "websocket", "proxy"])]
    pub(in crate::cli) emulator: bool,

    /// Events with the same key go to the same partition; at most 128 characters
    #[arg(short = 'k', long, value_name = "KEY", conflicts_with = "partition_id")]
    pub(in crate::cli) partition_key: Option<String>,

    /// Send to this partition
    #[arg(long, value_name = "N", value_parser = partition_id)]
    pub(in crate::cli) partition_id: Option<u32>,

    /// Put an application property on every event; may be repeated
    #[arg(short, long = "property", value_name = "NAME=VALUE", value_parser = property)]
    pub(in crate::cli) properties: Vec<(String, String)>,

    /// The MIME type of the bodies, e.g. application/json
    #[arg(long, value_name = "TYPE")]
    pub(in crate::cli) content_type: Option<String>,

    /// Make batches no larger than this, e.g. 64KiB; never larger than the hub takes
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(in crate::cli) max_batch_bytes: Option<u64>,

    /// Time for each of: connecting, attaching, sending a batch. E.g. 500ms, 30s, 2m [default: 30s, 30s, 60s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) timeout: Option<Duration>,

    /// How often a batch is sent again that is certain not to be stored
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(in crate::cli) retries: u32,

    /// Batches under way at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(in crate::cli) in_flight: u16,

    /// How the result is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,

    /// Say nothing when all is well; no warnings, no progress
    #[arg(short, long)]
    pub(in crate::cli) quiet: bool,

    /// Draw no progress bar
    #[arg(long)]
    pub(in crate::cli) no_progress: bool,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}

/// How an input is divided into events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// As json if the input begins with an object that has a member `events`, else as lines
    Auto,
    /// Each line is an event's body, as it stands
    Lines,
    /// One object {"events": ["...", "..."]}, each string a body
    Json,
    /// Each line is a JSON string, or an object with `body` or `body_base64`
    Jsonl,
}
