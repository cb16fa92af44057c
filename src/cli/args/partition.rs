//! The arguments of `hubwire partition`.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::trace::TraceArgs;
use clap::Args;

use super::values::time;
use super::{Output, WhereTo};

const EXAMPLES: &str = "\
Examples:
  hubwire partition device-42 --partitions 32
  hubwire partition --input keys.txt --partitions 32
  cut -d, -f1 readings.csv | hubwire partition --event-hub telemetry";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct PartitionArgs {
    /// Partition keys. Without any, keys are read from --input, one a line
    #[arg(value_name = "KEY", conflicts_with = "input")]
    pub(in crate::cli) keys: Vec<String>,

    /// Read keys from this file, one a line; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(in crate::cli) input: PathBuf,

    /// How many partitions there are; else the event hub is asked
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) partitions: Option<u32>,

    /// How many of the keys that come most often are told
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(in crate::cli) hottest: usize,

    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Time for each of: connecting, and an answer
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) timeout: Option<Duration>,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}
