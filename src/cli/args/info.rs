//! The arguments of `hubwire info`.

use std::time::Duration;

use clap::Args;

use super::values::{name, time};
use super::{EXIT_CODES, Output, WhereTo};
use crate::cli::trace::TraceArgs;

const EXAMPLES: &str = "Examples:
  hubwire info
  hubwire info --event-hub telemetry --output json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct InfoArgs {
    #[command(flatten)]
    pub(in crate::cli) to: WhereTo,

    /// Tell of this partition alone; may be repeated [default: all]
    #[arg(short, long = "partition-id", value_name = "N", value_parser = name)]
    pub(in crate::cli) partition_ids: Vec<String>,

    /// How it is told
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(in crate::cli) output: Output,

    /// Time for each of: connecting, and an answer
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(in crate::cli) timeout: Option<Duration>,

    #[command(flatten)]
    pub(in crate::cli) trace: TraceArgs,
}
