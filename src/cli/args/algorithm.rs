//! The arguments of `hubwire algorithm`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::WhereTo;
use super::values::{size, time};
use crate::cli::trace::TraceArgs;

const EXAMPLES: &str = r#"Examples:
  hubwire algorithm
  echo '{"content_type":"json","data":{"events":["first event"]}}' | hubwire algorithm --emulator --response -
  hubwire algorithm --trace-file /tmp/algorithm.txt"#;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct AlgorithmArgs {
    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Send to an emulator inside this process: needs no connection string, and its events end with it
    #[arg(long, conflicts_with_all = ["ca_file", "platform_roots", "endpoint", "websocket", "proxy"])]
    pub(in crate::cli) emulator: bool,

    /// Where answers go: the host's FIFO, a file that they are added to, or `-` for standard output
    #[arg(long, value_name = "PATH", default_value = "/tmp/algoout")]
    pub(in crate::cli) response: PathBuf,

    /// What the elements of `events` are
    #[arg(long, value_enum, default_value_t = ElementsArg::Strings)]
    pub(in crate::cli) elements: ElementsArg,

    /// Send empty elements as empty events instead of refusing them
    #[arg(long)]
    pub(in crate::cli) keep_empty: bool,

    /// Bytes of the largest message that the hub takes, as far as is known before it says so
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = size)]
    pub(in crate::cli) max_message_size: u64,

    /// Time for a request, from reading it to its answer. The platform gives up after 5 minutes
    #[arg(long, value_name = "TIME", default_value = "4m", value_parser = time)]
    pub(in crate::cli) timeout: Duration,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}

/// What the elements of `events` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ElementsArg {
    /// Each is a string, and its text a body
    Strings,
    /// Each is any JSON value, and its text without blanks a body
    Json,
    /// Each is a string of base64, and what it stands for a body
    Base64,
}
